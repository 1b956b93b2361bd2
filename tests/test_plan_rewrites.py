"""A plan that is rewritten a thousand times while it is read: no state is ever shown that no version of it held."""

from __future__ import annotations

import random
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Any

import pytest

from buildwidget import events as ev
from buildwidget.model import BuildStatus, State
from buildwidget.session import BuildSession
from buildwidget.state import BuildState

from .planned import Files, phase, plan_text
from .projects import Project, until

COUNT = 1_000
STATUSES = ["not_started", "in_progress", "✅ COMPLETE"]


def version(number: int) -> str:
    """The plan as it is written the ``number``-th time: the longer, the later a cut is seen to be one."""
    chance = random.Random(number)
    done = chance.randrange(40)
    phases = [
        phase(str(n), f"Part {n} of {number}", STATUSES[2 if n < done else n == done], *["- [x] a deliverable"] * 9)
        for n in range(1, chance.randint(2, 40))
    ]
    return plan_text(*phases, title=f"Build: step {number}", header="in_progress")


WRITER = """
import os, random, sys, time
from tests.test_plan_rewrites import COUNT, version
path, mode = sys.argv[1:]
rng = random.Random(7)
settled = []
for n in range(COUNT):
    raw = version(n).encode()
    with open(path if mode == "in_place" else path + ".tmp", "wb", buffering=0) as file:
        at = 0
        while at < len(raw):
            size = rng.randint(1, 4000)
            file.write(raw[at : at + size])
            at += size
            if rng.random() < 0.2:
                time.sleep(rng.random() * 0.003)
    if mode == "replace":
        os.replace(path + ".tmp", path)
    pause = rng.choice([0, 0, 0, 0.001, 0.004, 0.02])
    if n % 100 == 99:
        pause = 0.5
        settled.append(str(n))
    time.sleep(pause)
print(" ".join(settled))
"""

Shown = tuple[str, tuple[tuple[str, str, str], ...]]


def shown(state: State) -> Shown | None:
    """What a state says of the plan: its title and phases; None before it was read."""
    if not state.components:
        return None
    features = tuple(sorted((item.feature_id, item.name, str(item.status)) for item in state.features))
    return state.components[0].name, features


@pytest.mark.parametrize("mode", ["in_place", "replace"])
@pytest.mark.timeout(120)
def test_a_thousand_rewrites_of_a_plan(tmp_path: Path, mode: str) -> None:
    project = Project(tmp_path / "harbour")
    path = project.write("builds/BUILD_harbour.md", version(0))
    fold, seen, troubles = BuildState(), [], []

    def heard(rows: list[Any]) -> None:
        for row in rows:
            fold.apply(row.event)
            if isinstance(row.event, ev.Warning_ | ev.Error):
                troubles.append(row.event)
        seen.append(shown(fold.snapshot()))

    session = BuildSession(project.root).open()
    try:
        session.listen(heard)
        until(lambda: session.loaded)
        done = subprocess.run(
            [sys.executable, "-c", WRITER, str(path), mode],
            capture_output=True,
            text=True,
            check=True,
            timeout=100,
            cwd=Path(__file__).parent.parent,
        )
        held = {shown(Files().write("builds/BUILD_harbour.md", version(n)).state()) for n in range(COUNT)}
        last = shown(Files().write("builds/BUILD_harbour.md", version(COUNT - 1)).state())
        until(lambda: shown(session.snapshot()) == last, 5)
    finally:
        session.close()
    assert troubles == []
    strange = [said for said in seen if said is not None and said not in held]
    assert strange == []
    assert {f"step {n}" for n in done.stdout.split()} <= {said[0] for said in seen if said}


def test_a_plan_whose_writer_pauses_is_not_cut_off(tmp_path: Path) -> None:
    """The writer is slower than the session, which goes on reading other files meanwhile."""
    project = Project(tmp_path / "harbour")
    path = project.write("builds/BUILD_harbour.md", version(3))
    whole = shown(Files().write("builds/BUILD_harbour.md", version(3)).state())
    session = BuildSession(project.root).open()
    try:
        until(lambda: shown(session.snapshot()) == whole)
        raw = version(4).encode()
        with path.open("wb", buffering=0) as file:
            for end in (len(raw) // 3, 2 * len(raw) // 3):
                file.write(raw[file.tell() : end])
                claim = {"phase": 99, "build": "crane", "name": f"lamp {end}"}
                project.write(f"locks/crane-phase-{end}/claim.json", claim)
                until(lambda end=end: any(one.name == f"lamp {end}" for one in session.snapshot().phases))
                features = [one.name for one in session.snapshot().features if one.component_id == "harbour"]
                assert all(name.endswith("of 3") for name in features)
                assert len(features) == len(whole[1]) if whole else False
            file.write(raw[file.tell() :])
        until(lambda: any(one.name.endswith("of 4") for one in session.snapshot().features))
        features = [one for one in session.snapshot().features if one.component_id == "harbour"]
        assert len(features) == version(4).count("### Phase")
    finally:
        session.close()


def test_a_session_that_opens_waits_for_a_plan_that_is_being_written(tmp_path: Path) -> None:
    """The plan that runs is written at this moment, all others are finished: nobody hears that all is done."""
    builds = tmp_path / ".buildrunner" / "builds"
    builds.mkdir(parents=True)
    for name in ("cart", "mail", "search"):
        (builds / f"BUILD_{name}.md").write_text(f"# Build: {name}\n\n### Phase 1: All\n\n**Status:** ✅ COMPLETE\n")
    heard: list[BuildStatus] = []
    session = BuildSession(tmp_path)
    session.listen(
        lambda rows: heard.extend(row.event.status for row in rows if isinstance(row.event, ev.BuildProgress))
    )
    now = builds / "BUILD_now.md"
    now.write_text("# Build: now\n\n### Phase 1: First\n\n**Status:** in_progress\n")
    stop = threading.Event()

    def write() -> None:
        end = time.monotonic() + 0.4
        while not stop.is_set() and time.monotonic() < end:
            now.write_text(now.read_text())
            time.sleep(0.003)

    writer = threading.Thread(target=write)
    writer.start()
    session.open()
    try:
        until(lambda: session.loaded)
        session.refresh()
        until(lambda: len(heard) > 0)
    finally:
        stop.set()
        writer.join()
        session.close()
    assert BuildStatus.COMPLETED not in heard

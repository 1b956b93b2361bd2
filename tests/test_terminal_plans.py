"""Builds of plans and phases in the terminal: the display, the lines, and the command that prints them."""

from __future__ import annotations

import re
import subprocess
import sys
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from io import StringIO
from pathlib import Path
from typing import Any

import msgspec
import pytest
from rich.console import Console

from buildwidget import events as ev
from buildwidget.model import (
    Activity,
    BuildStatus,
    Component,
    Feature,
    Phase,
    Progress,
    Session,
    State,
    Status,
    Task,
)
from buildwidget.terminal_view import milestones, render
from buildwidget.terminal_view.messages import message_line

NOW = datetime(2026, 3, 4, 12, 0, tzinfo=UTC)
EVIL = "[bold red]x[/] \x1b]0;owned\x07\x1b[2J\r\nnext\x9b5m \u202egnp.exe\x00"


def before(**ago: float) -> datetime:
    return NOW - timedelta(**ago)


def phase(plan: str, id_: str, status: Status, **more: Any) -> Feature:
    return Feature(feature_id=f"{plan}/{id_}", component_id=plan, feature_type="phase", status=status, **more)


def tours(**changes: Any) -> State:
    """Two plans at work and a finished one."""
    done, left = Status.COMPLETED, Status.NOT_STARTED
    features = [
        phase("tours", "1", done, name="Places"),
        phase("tours", "2", done, name="Map"),
        phase(
            "tours",
            "3",
            Status.IN_PROGRESS,
            name="Walking times",
            owner="host-a",
            heartbeat_at=before(seconds=12),
            conflict="the plan says not started",
        ),
        phase("tours", "4", done, name="Tickets", conflict="its lock phase-4 was left behind"),
        *(phase("tours", str(n), left, name=f"Step {n}", dependencies=["tours/3"]) for n in range(5, 9)),
        phase("audio", "1", Status.IN_PROGRESS, name="Voices", owner="host-b"),
        phase("login", "1", done),
    ]
    session = Session(
        project="travel-app",
        status=BuildStatus.IN_PROGRESS,
        system="buildrunner",
        present=["audio", "tours"],
        evidence_at=before(seconds=12),
        evidence="heartbeat of phase 3 · host-a",
        silent_after=1800.0,
        started_at=before(minutes=24),
    )
    return State(
        session=msgspec.structs.replace(session, **changes),
        components=[
            Component(component_id="audio", name="Audio guide", component_type="plan", status=Status.IN_PROGRESS),
            Component(component_id="login", name="Login", component_type="plan", status=done, progress=100.0),
            Component(component_id="tours", name="City tours", component_type="plan", status=Status.IN_PROGRESS),
        ],
        features=features,
        progress=Progress(percent=33.3, low=33.3, high=55.6, status=BuildStatus.IN_PROGRESS),
    )


def drawn(state: State, width: int = 100, height: int = 40, *, colour: bool = False) -> str:
    out = StringIO()
    console = Console(
        file=out,
        width=width,
        height=height,
        force_terminal=True,
        color_system="standard" if colour else None,
        legacy_windows=False,
    )
    console.print(render(state, now=NOW, width=width, height=height))
    return "\n".join(line.rstrip() for line in out.getvalue().splitlines())


def test_the_display_speaks_of_plans_and_phases() -> None:
    shown = drawn(tours())
    assert shown.startswith("travel-app  in progress  24 m 00 s\n")
    assert "3 of 9 phases, 2 running · up to 55.6 % with what runs · 2 in conflict" in shown
    assert "heartbeat of phase 3 · host-a, 12 s ago" in shown
    assert re.search(r"◐ City tours +in progress 3 of 8 phases, 1 running", shown)
    assert re.search(r"◐ +3 · Walking times +in progress 12 s ago · host-a · the plan says not started", shown)
    assert re.search(r"✓ +4 · Tickets +completed +its lock phase-4 was left behind", shown)
    assert re.search(r"○ +5 · Step 5 +not started waits for 3", shown)
    assert shown.index("City tours") < shown.index("Other plans") < shown.index("Login")
    assert "component" not in shown
    assert "feature" not in shown


def test_the_bar_tells_done_running_and_left_apart_without_colour() -> None:
    bar = drawn(tours(), width=109).splitlines()[1]
    assert [bar.count(character) for character in "━╍─"] == [33, 23, 44]
    assert bar.endswith(" 33.3 %")


@pytest.mark.parametrize(
    ("age", "status", "running", "word", "line"),
    [
        (timedelta(seconds=12), BuildStatus.IN_PROGRESS, True, "in progress", "heartbeat of phase 3 · host-a, 12 s"),
        (timedelta(minutes=14), BuildStatus.IN_PROGRESS, True, "in progress", "quiet for 14 min · heartbeat"),
        (timedelta(hours=2), BuildStatus.IN_PROGRESS, True, "silent", "silent since "),
        (timedelta(hours=2), BuildStatus.IN_PROGRESS, False, "idle", "idle, nothing is claimed · heartbeat"),
        (timedelta(days=3), BuildStatus.IN_PROGRESS, False, "dormant", "dormant since 2026-03-0"),
        (timedelta(days=3), BuildStatus.COMPLETED, False, "completed", "done · heartbeat of phase 3 · host-a, 3 d ago"),
    ],
)
def test_life_and_its_evidence(age: timedelta, status: BuildStatus, running: bool, word: str, line: str) -> None:
    state = tours(evidence_at=NOW - age, status=status)
    if not running:
        for item in state.features:
            if item.status is Status.IN_PROGRESS:
                item.status = Status.PAUSED
    shown = drawn(state).splitlines()
    assert shown[0].startswith(f"travel-app  {word}")
    assert shown[3].startswith(line)


GREEN = re.compile(r"\x1b\[(?:1;)?32m")


def test_the_header_is_green_only_where_all_is_done_and_nobody_says_otherwise() -> None:
    def header(change: Callable[[State], object]) -> str:
        state = tours(status=BuildStatus.COMPLETED, present=["login"])
        change(state)
        return "\n".join(drawn(state, colour=True).splitlines()[:3])

    assert GREEN.search(header(lambda state: None))
    plan = Component(component_id="login", status=Status.COMPLETED, conflict="its header says 'Paused'")
    doubts: list[Callable[[State], object]] = [
        lambda state: state.features.append(phase("login", "2", Status.NOT_STARTED)),
        lambda state: state.features.append(phase("login", "2", Status.ERROR)),
        lambda state: state.features.append(phase("login", "2", Status.COMPLETED, conflict="the plan says paused")),
        lambda state: state.components.__setitem__(1, plan),
        lambda state: state.tasks.append(Task(task_id="t", status=Status.ERROR)),
    ]
    for doubt in doubts:
        assert not GREEN.search(header(doubt))


def test_a_lock_left_behind_is_neither_red_nor_green() -> None:
    line = next(line for line in drawn(tours(), colour=True).splitlines() if "Tickets" in line)
    assert not re.search(r"\x1b\[(?:1;)?3[12]m", line)


def test_failures_of_other_work_are_told_apart() -> None:
    state = tours()
    state.tasks = [Task(task_id=str(n), name=f"old test {n}", status=Status.ERROR) for n in range(5)]
    state.features.append(phase("audio", "2", Status.ERROR, name="Player", error="no sound"))
    shown = drawn(state, width=120)
    assert "3 of 10 phases, 2 running · 1 failed · up to " in shown
    assert "2 in conflict · 5 failed elsewhere" in shown
    assert "✘ Player: no sound" in shown
    assert "old test" not in shown


@pytest.mark.parametrize("height", [6, 10, 16, 24, 60])
@pytest.mark.parametrize("width", [20, 40, 80, 200])
def test_it_fits(width: int, height: int) -> None:
    state = tours()
    state.features += [phase("tours", f"14.{n}", Status.NOT_STARTED, name="A long name " * 9) for n in range(60)]
    state.components += [
        Component(component_id=f"old-{n}", component_type="plan", status=Status.COMPLETED) for n in range(60)
    ]
    state.activity = [Activity(kind="claimed", text=f"phase {n}", time=NOW) for n in range(9)]
    state.features[2].error = "a session ended with code 1"
    shown = drawn(state, width, height).splitlines()
    assert len(shown) <= height
    assert all(len(line) <= width for line in shown)
    if height >= 16 and width >= 80:
        assert any("Walking times" in line for line in shown), "what runs is shown before what is left"
        assert any("more" in line for line in shown)


def test_many_plans_are_listed_the_newest_first() -> None:
    state = tours()
    ages = {"old": 30, "new": 2, "middle": 9}
    state.components += [
        Component(component_id=id_, component_type="plan", status=Status.COMPLETED, created_at=before(days=days))
        for id_, days in ages.items()
    ]
    shown = drawn(state)
    assert shown.index("new ") < shown.index("middle ") < shown.index("old ") < shown.index("Login")


def test_a_session_that_ended_is_said_in_the_header() -> None:
    state = tours()
    state.features[2].error = "a session ended with code 1 at 2026-03-04 11:59 UTC"
    shown = drawn(state)
    assert "3 · Walking times: a session ended with code 1" in shown
    assert "failed" not in shown


def test_locks_of_no_known_build_are_shown_as_they_are() -> None:
    state = tours(present=[])
    state.phases = [
        Phase(
            phase_id="phase-7", name="Roof", status=Status.IN_PROGRESS, owner="host-d", heartbeat_at=before(minutes=2)
        )
    ]
    shown = drawn(state)
    assert "0 of 1 phase, 1 running" in shown
    assert re.search(r"◐ phase-7 · Roof +in progress 2 min ago · host-d", shown)


def test_text_of_plans_is_inert() -> None:
    state = tours(project=EVIL, evidence=EVIL)
    state.components[2] = Component(component_id="tours", name=EVIL, component_type="plan", conflict=EVIL)
    state.features[2] = phase("tours", EVIL, Status.IN_PROGRESS, name=EVIL, owner=EVIL, conflict=EVIL, error=EVIL)
    state.activity = [Activity(kind=EVIL, text=EVIL, time=NOW, source=EVIL)]
    message = ev.FeatureUpdate(**msgspec.structs.asdict(state.features[2]), session_id="s", seq=1, timestamp=NOW)
    lines = [drawn(state, 200), *milestones(None, state), *milestones(State(), state), *map(str, message_line(message))]
    text = "\n".join(lines)
    assert "[bold red]x[/]" in text, "markup is shown as it was written"
    assert not re.search(r"[\x00-\x09\x0b-\x1f\x7f-\x9f\u202e]", text)


def test_lines_name_plan_and_phase_and_what_says_otherwise() -> None:
    first, *_ = milestones(None, tours())
    assert first == (
        "travel-app: in progress, 33.3 %, Audio guide: 0 of 1 phase, 1 running, "
        "City tours: 3 of 8 phases, 1 running, heartbeat of phase 3 · host-a"
    )
    state = tours()
    state.features[4] = phase("tours", "5", Status.IN_PROGRESS, name="Step 5", owner="host-c")
    state.features[2] = phase("tours", "3", Status.UNKNOWN, name="Walking times", conflict="released, result unknown")
    turns = [line.split("  ", 1)[1].strip() for line in milestones(tours(), state)]
    assert turns == [
        "City tours, phase 3 · Walking times: unknown (released, result unknown)",
        "City tours, phase 5 · Step 5: in progress (host-c)",
    ]


PLAN = """# Build: Bike shop

**Status:** in_progress

### Phase 1: Frames
**Status:** ✅ COMPLETE

### Phase 2: Wheels
**Status:** not_started

### Phase 3: Bells
**Status:** not_started
**Blocked by:** Phase 2
"""


def test_status_of_a_folder_with_a_plan_and_a_lock(tmp_path: Path) -> None:
    folder = tmp_path / ".buildrunner"
    lock = folder / "locks/phase-2"
    lock.mkdir(parents=True)
    (folder / "builds").mkdir()
    (folder / "builds/BUILD_bikes.md").write_text(PLAN, encoding="utf-8")
    claim = b'{"phase": 2, "build": "BUILD_bikes.md", "name": "Wheels", "host": "host-a"}'
    (lock / "claim.json").write_bytes(claim)
    beat = datetime.now(UTC).replace(microsecond=0)
    (lock / "heartbeat").write_text(f"{beat:%Y-%m-%dT%H:%M:%SZ}\n", encoding="utf-8")
    at = (beat + timedelta(minutes=3, seconds=20)).strftime("%Y-%m-%dT%H:%M:%SZ")
    done = subprocess.run(
        [sys.executable, "-m", "buildwidget", "status", str(tmp_path), "--at", at],
        capture_output=True,
        text=True,
        timeout=50,
        check=True,
    )
    assert "1 of 3 phases, 1 running · up to 66.7 % with what runs" in done.stdout
    assert "heartbeat of phase 2 · host-a, 3 min ago" in done.stdout
    assert "2 · Wheels" in done.stdout
    assert "waits for 2" in done.stdout

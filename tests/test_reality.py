"""Real projects, where they lie beside the repository: every file is read, and what is said of a project is true."""

from __future__ import annotations

import random
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

from buildwidget.errors import CheckpointError
from buildwidget.session.cold import read_state
from buildwidget.summary import Summary, summarise
from buildwidget.systems import Shape, parse, shape_of

from .corpus import MTIME, Moment, made_samples, moments, real_project_files, real_samples
from .planned import Files, phase
from .test_systems_hostile import look_over_record

TEXTS = (Shape.PLAN, Shape.JOURNAL, Shape.HEARTBEAT)


def test_every_real_file_is_read() -> None:
    for file in (*real_project_files(), *real_samples()):
        raw = file.raw
        if shape_of(file.path) is not None:
            look_over_record(parse(file.path, raw, MTIME))
            continue
        with suppress(CheckpointError):
            parse(file.path, raw, MTIME)


def _hostile_sources() -> list[tuple[str, bytes]]:
    """Files of the kinds that plans and locks consist of: invented ones, and real ones where they are."""
    kinds = {
        *TEXTS,
        Shape.CLAIM,
        Shape.EXIT,
        Shape.SIDECAR,
        Shape.SAVED,
        Shape.BATCHES,
        Shape.CURRENT_PHASE,
        Shape.LOCK,
    }
    made = Files().plan(
        "harbour", phase("1", "Dig", "✅ COMPLETE", "**Blocked by:** Phases 1-7", "- [x] `a` (NEW)", "```", "")
    )
    made.lock("phase-2", claim={"phase": 2, "build": "BUILD_x"}, beat=1, sidecar=({"node": "n"}, 1))
    made.lock("phase-2", exit_status=({"exit_code": 1, "timestamp": "2026-01-01T00:00:00Z"}, 1))
    made.write(
        "decisions.log",
        "[2026-01-01T00:00:00Z] [DECISION] x\n2026-01-01T00:00:00Z phase-review build=a phase=1 verdict=b\n",
    )
    made.write("autopilot-resume.json", {"build_spec": "BUILD_x.md", "last_completed_phase": 2})
    found = [(path, raw) for path, (raw, _) in made.all.items()]
    found += [(file.path, file.raw) for file in made_samples() if shape_of(file.path) in kinds]
    found += [(file.path, file.raw) for file in real_project_files() if shape_of(file.path) in kinds]
    return [(path, raw[:20_000]) for path, raw in found]


NOISE = [
    b"\0",
    b"\xff",
    b"\xed\xa0\x80",
    b"```\n",
    b"<!--",
    b"###### Phase ",
    b"|",
    b"**Status:** ",
    b"1e999",
    b"-1",
    b"{}",
    b"[]",
]
NOISE += [
    b"null",
    b"true",
    b'"',
    b"\r",
    b"\n\n",
    b"Phases 1-99999",
    b"((((((",
    b"\\",
    b"[" * 200,
    b"> " * 100,
    b"- " * 60,
]


def test_thousands_of_damaged_files_raise_nothing_but_the_one_error() -> None:
    chance = random.Random(9)
    sources = _hostile_sources()
    for _ in range(4_000):
        path, raw = chance.choice(sources)
        for _ in range(chance.randint(1, 4)):
            start = chance.randrange(len(raw) + 1)
            end = min(len(raw), start + chance.choice([0, 0, 1, 5, 200]))
            other = chance.choice(sources)[1]
            piece = chance.choice([*NOISE, other[:50], other[-300:], raw[start:end] * 3])
            raw = raw[:start] + piece + raw[end:]
        where = chance.choice([path, path, chance.choice(sources)[0]])
        try:
            said = parse(where, raw, MTIME)
        except CheckpointError:
            continue
        look_over_record(said)


# -- moments ----------------------------------------------------------------------------------------------------------


def test_what_is_said_of_real_projects_is_true(tmp_path: Path) -> None:
    wrong: dict[str, list[str]] = {}
    every = moments()
    for moment in every:
        root = moment.unpack(tmp_path)
        found = mistakes(moment, summarise(read_state(root, moment.at), moment.at))
        if found:
            wrong[moment.id] = found
    assert len(wrong) <= 1, wrong


def mistakes(moment: Moment, said: Summary) -> list[str]:
    """What is wrong in a summary, in words."""
    truth = moment.truth
    found: list[str] = []
    wanted, accepted = plans(truth["present_build"]), plans(truth["present_build_accept"])
    present = plans(said.present)
    one_of_many = bool(present) and present <= wanted | accepted and bool(accepted)
    if present != wanted and not one_of_many:
        found.append(f"present: {present}, not {wanted}")
    statuses = {plain(key): str(status) for key, status in said.features.items()}
    for key, status in truth["phases"].items():
        named = key if "/" in key else "/".join([*present, key]) if present else key
        if "/" in key and plain(key).split("/")[0] not in present:
            continue
        answer = statuses.get(plain(named))
        hidden = key in truth["not_in_files"] and answer in ("not_started", "in_progress", "unknown")
        if answer != status and not hidden and (status, answer) != ("blocked", "not_started"):
            found.append(f"{named}: {answer}, not {status}")
    low, high = truth["percent_band"] or (0, 100)
    if present != wanted and one_of_many:
        low, high = 0, 100
    if said.percent is None:
        found += [] if truth["percent_null_ok"] else ["no percentage"]
    elif not low - 5 <= said.percent <= high + 5:
        found.append(f"{said.percent} %, not {low} to {high}")
    life = "alive" if said.life == "quiet" else str(said.life)
    if life not in (truth["liveness"], *truth["liveness_accept"]):
        found.append(f"{said.life}, not {truth['liveness']}")
    return found


def plans(said: Any) -> set[str]:
    """The names of plans, plain."""
    names = said if isinstance(said, list) else [said]
    return {plain(name) for name in names if name}


def plain(name: str) -> str:
    """A plan, or a phase with its plan, without what names of files add."""
    return name.lower().removeprefix("build_").removesuffix(".md")


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({}, []),
        ({"present": ["other"]}, ["present", "other/1"]),
        ({"percent": 40.0}, ["40.0 %"]),
        ({"features": {"harbour/1": "completed"}}, ["harbour/1: completed"]),
        ({"life": "done"}, ["done, not alive"]),
    ],
)
def test_mistakes_are_found(change: dict[str, Any], words: list[str]) -> None:
    truth = {
        "present_build": "BUILD_harbour",
        "present_build_accept": None,
        "phases": {"1": "in_progress"},
        "not_in_files": [],
        "percent_band": [0, 20],
        "percent_null_ok": False,
        "liveness": "alive",
        "liveness_accept": [],
        "observed_at": "2026-01-01T00:00:00Z",
    }
    said: dict[str, Any] = {
        "system": "x",
        "present": ["harbour"],
        "features": {"harbour/1": "in_progress"},
        "percent": 0.0,
    }
    said |= {"low": None, "high": None, "life": "quiet", "since": None, "why": "", "conflicts": {}, **change}
    found = mistakes(Moment("x", truth), Summary(**said))
    assert len(found) == len(words)
    assert all(text.startswith(word) for text, word in zip(found, words, strict=True))

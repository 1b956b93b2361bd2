"""An invented BuildRunner project in memory: plans, locks and other files, each with its age."""

from __future__ import annotations

import json
import os
import random
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from buildwidget.merge import Merge
from buildwidget.model import Component, Feature, State
from buildwidget.state import BuildState
from buildwidget.summary import Summary, summarise
from buildwidget.systems import Record, parse, shape_of
from buildwidget.systems.buildrunner.plan import Plan, PlanPhase

NOW = datetime(2026, 5, 4, 12, 0, tzinfo=UTC)
ROOT = ".buildrunner/"


def ago(minutes: float) -> datetime:
    """The moment so many minutes before `NOW`."""
    return NOW - timedelta(minutes=minutes)


def iso(minutes: float) -> str:
    """The moment so many minutes before `NOW`, as a script writes it."""
    return ago(minutes).strftime("%Y-%m-%dT%H:%M:%SZ")


def phase(id_: str, title: str, status: str | None = None, *lines: str) -> str:
    """The section of a phase."""
    said = [] if status is None else [f"**Status:** {status}"]
    return "\n".join([f"### Phase {id_}: {title}", "", *said, *lines, ""])


def plan_text(*phases: str, header: str | None = None, title: str = "Build: Harbour lights") -> str:
    """A plan as a whole."""
    head = [f"# {title}", "", "**Created:** 2026-05-01"]
    return "\n".join([*head, *([] if header is None else [f"**Status:** {header}"]), "", *phases])


def read_plan(text: str | bytes, name: str = "BUILD_harbour.md") -> Plan:
    """What a plan says."""
    raw = text.encode() if isinstance(text, str) else text
    return parse(f"{ROOT}builds/{name}", raw, NOW).detail


def only(text: str) -> PlanPhase:
    """The phase of a plan that has one."""
    (found,) = read_plan(text).phases
    return found


class Files:
    """The files of a project: path → content and age in minutes."""

    def __init__(self) -> None:
        self.all: dict[str, tuple[bytes, float]] = {}

    def write(self, path: str, content: Any, age: float = 0.0) -> Files:
        """Add a file below ``.buildrunner``: text as it is, the rest as JSON."""
        raw = content if isinstance(content, bytes) else content.encode() if isinstance(content, str) else None
        self.all[ROOT + path] = (json.dumps(content).encode() if raw is None else raw, age)
        return self

    def plan(self, slug: str, *phases: str, age: float = 60.0, **head: str) -> Files:
        """Add a plan, written ``age`` minutes ago."""
        return self.write(f"builds/BUILD_{slug}.md", plan_text(*phases, **head), age)

    def lock(
        self,
        folder: str,
        age: float = 1.0,
        *,
        claim: dict[str, Any] | None = None,
        progress: dict[str, Any] | None = None,
        beat: float | None = None,
        **others: tuple[dict[str, Any], float],
    ) -> Files:
        """Add a lock. ``beat``: minutes since its heartbeat; ``others``: files by their names, without ``.json``."""
        if claim is not None:
            self.write(f"locks/{folder}/claim.json", claim, age)
        if progress is not None:
            self.write(f"locks/{folder}/progress.json", progress, age)
        if beat is not None:
            self.write(f"locks/{folder}/heartbeat", iso(beat) + "\n", beat)
        for name, (content, its_age) in others.items():
            self.write(f"locks/{folder}/{name.replace('_', '-')}.json", content, its_age)
        return self

    def without(self, path: str) -> Files:
        """These files without one."""
        made = Files()
        made.all = {name: file for name, file in self.all.items() if name != path}
        return made

    def records(self) -> dict[str, Record]:
        """The record of each file."""
        return {path: parse(path, raw, ago(age)) for path, (raw, age) in self.all.items() if shape_of(path)}

    def state(self, now: datetime = NOW) -> State:
        """The state that the files make when they are read at once."""
        merge, state = Merge("harbour"), BuildState()
        for change in state.diff(merge.update(self.records().items(), now), session_id="harbour", now=now):
            state.apply(*change)
        return state.snapshot()

    def summary(self, now: datetime = NOW) -> Summary:
        """What is said of them."""
        return summarise(self.state(now), now)

    def feature(self, id_: str, now: datetime = NOW) -> Feature:
        """One phase."""
        return next(item for item in self.state(now).features if item.feature_id == id_)

    def component(self, id_: str, now: datetime = NOW) -> Component:
        """One plan."""
        return next(item for item in self.state(now).components if item.component_id == id_)

    def put(self, root: Path, now: datetime) -> None:
        """Write the files to a folder, as old as they are at ``now``."""
        for path, (raw, age) in self.all.items():
            target = root / path
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_bytes(raw)
            moment = (now - timedelta(minutes=age)).timestamp()
            os.utime(target, (moment, moment))


def piecewise(files: Files, chance: random.Random, now: datetime = NOW) -> State:
    """The state that the files make when they come in any order, in batches, some twice, as a watcher tells of them."""
    told = list(files.records().items())
    told += chance.sample(told, len(told) // 3)
    chance.shuffle(told)
    merge, state = Merge("harbour"), BuildState()
    while told:
        size = chance.randint(1, 4)
        batch, told = told[:size], told[size:]
        for change in state.diff(merge.update(batch, now), session_id="harbour", now=now):
            state.apply(*change)
    return state.snapshot()

"""Builds whose whole truth is known, for tests of the forecast: who works on what and when is simulated step by step.

Nothing here comes from the forecast, and it is not built on the same ideas: workers take items from a list, one event
at a time; an item's duration is decided before it begins; what fails, what is reopened and what is added is decided by
rules of the build's own. A build is given as the frames that `History` has, or written as real checkpoint files.
"""

from __future__ import annotations

import heapq
import itertools
import json
import random
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from functools import cache
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pandas as pd

from tests.corpus import made_samples
from tests.projects import Project

START = datetime(2026, 3, 2, 8, 0, tzinfo=UTC)
STATUSES = [
    *("not_started", "in_progress", "completed", "error", "blocked", "skipped", "cancelled", "paused", "unknown"),
]
FAMILIES = ("lognormal", "real")
KIND = "feature"
SECOND = 1_000_000


@cache
def step_durations() -> tuple[float, ...]:
    """The seconds between the steps of lock files, as long-tailed as those of real ones."""
    found: list[float] = []
    for file in made_samples("lock_progress"):
        times = [_time(step.get("at")) for step in file.data.get("history") or [] if isinstance(step, dict)]
        for before, after in itertools.pairwise(times):
            if before is not None and after is not None and after > before:
                found.append((after - before).total_seconds())
    return tuple(sorted(found))


def _time(text: Any) -> datetime | None:
    try:
        time = datetime.fromisoformat(str(text))
    except ValueError:
        return None
    return time if time.tzinfo else time.replace(tzinfo=UTC)


@dataclass
class Item:
    """One item, and what will happen to it."""

    name: str
    needs: list[str]
    spans: list[tuple[float, str]]  # what each attempt takes in seconds, and how it ends
    pauses: list[float]  # the seconds after each attempt but the last
    estimated: int | None  # minutes
    first_seen: float = 0.0
    done_once: bool = False


@dataclass
class SimulatedBuild:
    """What happened, and when: every change of an item's status, in microseconds since `START`."""

    seed: int
    family: str
    workers: int
    in_order: bool  # whether the workers take the first item in the list that is ready
    items: list[Item]
    changes: list[tuple[int, str, str | None, str]] = field(default_factory=list)  # when, item, from, to
    length: int = 0  # microseconds from the start to the finish
    last: dict[str, str] = field(default_factory=dict)

    @property
    def start(self) -> pd.Timestamp:
        return pd.Timestamp(START).as_unit("us")

    @property
    def finish(self) -> pd.Timestamp:
        return self.at(1.0)

    def at(self, share: float) -> pd.Timestamp:
        """The moment when this share of the whole time was over."""
        return self.start + pd.Timedelta(round(self.length * share), unit="us")

    # -- as frames ------------------------------------------------------------------------------------------------

    def tables(self, until: pd.Timestamp | None = None) -> SimpleNamespace:
        """The frames that `History` would give after the checkpoints up to a time."""
        changes = [one for one in self.changes if until is None or self._ts(one[0]) <= until]
        seen = {one[1] for one in changes}
        items = [item for item in self.items if item.name in seen]
        transitions = pd.DataFrame(
            {
                "seq": pd.array(range(1, len(changes) + 1), dtype="Int64"),
                "session_id": _text(["build"] * len(changes)),
                "ts": _times([one[0] for one in changes]),
                "kind": _text([KIND] * len(changes)),
                "item_id": _text([one[1] for one in changes]),
                "from_status": _status([one[2] for one in changes]),
                "to_status": _status([one[3] for one in changes]),
                "progress": pd.array([_progress(one[3]) for one in changes], dtype="Float64"),
                "checkpoint_id": _text([self.checkpoint_id(one[0]) for one in changes]),
                "source": _text(["checkpoint"] * len(changes)),
            }
        )
        last = {one[1]: one for one in changes}
        count = len(items)
        present = pd.DataFrame(
            {
                "session_id": _text(["build"] * count),
                "kind": _text([KIND] * count),
                "item_id": _text([item.name for item in items]),
                "name": _text([item.name for item in items]),
                "parent_id": _text([None] * count),
                "status": _status([last[item.name][3] for item in items]),
                "status_raw": _text([last[item.name][3] for item in items]),
                "progress": pd.array([_progress(last[item.name][3]) for item in items], dtype="Float64"),
                "started_at": _times([None] * count),
                "ended_at": _times([None] * count),
                "first_seen": _times([round(item.first_seen * SECOND) for item in items]),
                "last_changed": _times([last[item.name][0] for item in items]),
                "estimated": pd.Series(
                    [None if item.estimated is None else timedelta(minutes=item.estimated) for item in items],
                    dtype="timedelta64[us]",
                ),
                "actual": pd.Series([None] * count, dtype="timedelta64[us]"),
                "error": _text([None] * count),
            }
        )
        edges = [(item.name, other) for item in items for other in item.needs]
        dependencies = pd.DataFrame(
            {
                "session_id": _text(["build"] * len(edges)),
                "kind": _text([KIND] * len(edges)),
                "item_id": _text([one for one, _ in edges]),
                "depends_on": _text([other for _, other in edges]),
                "known": pd.array([other in seen for _, other in edges], dtype="boolean"),
            }
        )
        moments = sorted({one[0] for one in changes})
        checkpoints = pd.DataFrame(
            {
                "session_id": _text(["build"] * len(moments)),
                "checkpoint_id": pd.array([self.checkpoint_id(one) for one in moments], dtype="string"),
                "ts": _times(moments),
            }
        )
        sessions = pd.DataFrame({"session_id": _text(["build"])})
        return SimpleNamespace(
            sessions=sessions,
            checkpoints=checkpoints,
            items=present,
            transitions=transitions,
            dependencies=dependencies,
            present_ts=self._ts(moments[-1]) if moments else pd.NaT,
        )

    @staticmethod
    def _ts(micros: int) -> pd.Timestamp:
        return pd.Timestamp(START).as_unit("us") + pd.Timedelta(micros, unit="us")

    @staticmethod
    def checkpoint_id(micros: int) -> str:
        return "checkpoint_" + (START + timedelta(microseconds=micros)).strftime("%Y%m%d_%H%M%S_%f")

    # -- as files -------------------------------------------------------------------------------------------------

    def write(self, root: Path) -> Path:
        """The build as a project on disk, with a checkpoint at each moment at which something changed."""
        project = Project(root)
        state: dict[str, str] = {}
        by_moment: dict[int, list[tuple[str, str]]] = {}
        for micros, name, _, status in self.changes:
            by_moment.setdefault(micros, []).append((name, status))
        for micros, found in sorted(by_moment.items()):
            state.update(found)
            features = [
                {
                    "id": item.name,
                    "name": item.name,
                    "status": state[item.name],
                    "progress": _progress(state[item.name]),
                    "dependencies": item.needs,
                    **({} if item.estimated is None else {"estimated_minutes": item.estimated}),
                }
                for item in self.items
                if item.name in state
            ]
            when = START + timedelta(microseconds=micros)
            project.write(
                f"checkpoints/{self.checkpoint_id(micros)}.json",
                json.dumps(
                    {
                        "id": self.checkpoint_id(micros),
                        "timestamp": when.isoformat(timespec="microseconds"),
                        "phase": "build",
                        "tasks_completed": [],
                        "files_created": [],
                        "status": "created",
                        "metadata": {"components": [], "features": features},
                    }
                ),
            )
        return root


def _text(values: list[Any]) -> Any:
    return pd.Categorical(values, categories=pd.Index(sorted({one for one in values if one is not None}), dtype="str"))


def _status(values: list[Any]) -> Any:
    return pd.Categorical(values, categories=STATUSES, ordered=True)


def _times(micros: list[int | None]) -> Any:
    times = [None if one is None else START + timedelta(microseconds=one) for one in micros]
    return pd.Series(times, dtype="datetime64[us, UTC]")


def _progress(status: str) -> float:
    return 100.0 if status == "completed" else 0.0


# -- what happens -----------------------------------------------------------------------------------------------------


def simulated_build(
    seed: int,
    *,
    size: int | None = None,
    family: str | None = None,
    rework: tuple[float, float] = (0.05, 0.15),
    growth: tuple[float, float] = (0.0, 0.25),
) -> SimulatedBuild:
    """Simulate one build.

    Parameters
    ----------
    seed
        Everything follows from it.
    size
        Items known at the start; by default 20 to 120.
    family
        ``lognormal`` durations, or ``real`` ones: drawn from those of the real lock files. By default by the seed.
    rework, growth
        Between which shares the seed chooses: of items that fail or are reopened, and of items that are added.
    """
    chance = random.Random(f"build {seed}")
    family = family or FAMILIES[seed % 2]
    size = size or chance.randint(20, 120)
    workers = chance.randint(2, 4)
    typical, spread = chance.uniform(300, 3600), chance.uniform(0.3, 1.0)
    redone, added = chance.uniform(*rework), chance.uniform(*growth)
    grows_by_time = chance.random() < 0.5
    in_order = chance.random() < 0.7  # else anyone takes what is ready, by chance
    density, reach = chance.uniform(0.3, 1.5), chance.randint(5, 40)
    estimated = chance.uniform(0.2, 0.7) if chance.random() < 0.5 else None

    def duration() -> float:
        if family == "real":
            return chance.choice(step_durations())
        return max(1.0, chance.lognormvariate(0.0, spread) * typical)

    def item(number: int, known: list[str]) -> Item:
        near = known[-reach:]
        needs = sorted(set(chance.sample(near, min(len(near), 3, int(chance.expovariate(1 / density))))))
        span = duration()
        spans, pauses = [(span, "completed")], []
        if chance.random() < redone:
            if chance.random() < 0.5:
                spans.insert(0, (span * chance.uniform(0.2, 1.0), "error"))
                pauses = [1 + chance.expovariate(1 / (0.1 * typical))]
            else:
                spans.append((max(1.0, duration() * chance.uniform(0.3, 1.0)), "completed"))
                pauses = [1 + chance.expovariate(1 / (2 * typical))]
        guess = None
        if estimated is not None and chance.random() < 0.9:
            guess = max(1, round(span / 60 * chance.lognormvariate(0.0, estimated)))
        return Item(f"item-{number:03d}", needs, spans, pauses, guess)

    items: list[Item] = []
    for number in range(size):
        items.append(item(number, [one.name for one in items]))
    planned = sum(sum(span for span, _ in one.spans) for one in items) / workers
    build = SimulatedBuild(seed, family, workers, in_order, items)
    _Run(build, chance).play(
        item,
        arrivals=sorted(chance.uniform(0, 0.8 * planned) for _ in range(round(added * size))) if grows_by_time else [],
        per_completion=0.0 if grows_by_time else added / (1 + added),
    )
    return build


class _Run:
    """The workers at work, one event after the other."""

    def __init__(self, build: SimulatedBuild, chance: random.Random) -> None:
        self.build = build
        self.chance = chance
        self.free = build.workers
        self.queue: list[tuple[float, int, str, str]] = []  # when, tie, what, item
        self.tie = 0
        self.status: dict[str, str] = {}
        self.shown: dict[str, str] = {}
        self.attempt: dict[str, int] = {}
        self.by_name = {item.name: item for item in build.items}

    def at(self, when: float, what: str, name: str = "") -> None:
        self.tie += 1
        heapq.heappush(self.queue, (when, self.tie, what, name))

    def play(self, make: Any, *, arrivals: list[float], per_completion: float) -> None:
        for item in self.build.items:
            self.status[item.name] = "not_started"
        for when in arrivals:
            self.at(when, "arrival")
        self.take(0.0)
        self.show(0.0)
        now = 0.0
        while any(status != "completed" for status in self.status.values()):
            now, _, what, name = heapq.heappop(self.queue)
            now = round(now, 3)
            if what == "end":
                self.end(now, name)
                if self.chance.random() < per_completion and self.status[name] == "completed":
                    self.add(now, make)
            elif what == "again":
                self.status[name] = "not_started"
            elif what == "arrival":
                self.add(now, make)
            self.take(now)
            self.show(now)
        self.build.length = round(now * SECOND)
        self.build.last = dict(self.shown)

    def add(self, now: float, make: Any) -> None:
        item = make(len(self.build.items), list(self.status))
        item.first_seen = now
        self.build.items.append(item)
        self.by_name[item.name] = item
        self.status[item.name] = "not_started"

    def end(self, now: float, name: str) -> None:
        item = self.by_name[name]
        attempt = self.attempt[name]
        self.status[name] = item.spans[attempt][1]
        item.done_once |= self.status[name] == "completed"
        self.attempt[name] += 1
        self.free += 1
        if attempt < len(item.pauses):
            self.at(now + item.pauses[attempt], "again", name)

    def take(self, now: float) -> None:
        """Give every free worker something that is ready."""
        ready = [
            item.name
            for item in self.build.items
            if self.status[item.name] == "not_started" and all(self.by_name[one].done_once for one in item.needs)
        ]
        if not self.build.in_order:
            self.chance.shuffle(ready)
        for name in ready[: self.free]:
            self.free -= 1
            self.status[name] = "in_progress"
            self.attempt.setdefault(name, 0)
            self.at(now + self.by_name[name].spans[self.attempt[name]][0], "end", name)

    def show(self, now: float) -> None:
        """What a checkpoint written now tells that the one before did not."""
        for name in sorted(self.status):
            before, after = self.shown.get(name), self.status[name]
            if before != after:
                self.build.changes.append((round(now * SECOND), name, before, after))
                self.shown[name] = after

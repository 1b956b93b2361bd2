"""What is kept up to date change by change is what is said of all files at once; and it costs what changed."""

from __future__ import annotations

import json
from datetime import datetime, timedelta
from typing import Any

import msgspec
from hypothesis import given, settings
from hypothesis import strategies as st

from buildwidget import systems
from buildwidget.merge import Merge
from buildwidget.model import State
from buildwidget.state import BuildState
from buildwidget.systems.record import Record

from . import strategies as my

BASE = ".buildrunner"
STATUSES = ["not_started", "in_progress", "completed", "error", "skipped", "blocked", "strange"]
Change = tuple[str, Record | None]


def at(minutes: float) -> datetime:
    return my.START + timedelta(minutes=minutes)


def parsed(path: str, body: Any, minutes: float) -> Change:
    raw = body if isinstance(body, str) else json.dumps(body)
    return path, systems.parse(path, raw.encode(), at(minutes))


def entry(name: str, status: str, progress: float | None, minutes: float) -> dict[str, Any]:
    return {
        "id": name,
        "name": name,
        "status": status,
        "progress": progress,
        "type": f"type of {name}",
        "started_at": at(minutes).isoformat(),
    }


entries = st.lists(
    st.builds(
        entry,
        st.sampled_from("abcdef"),
        st.sampled_from(STATUSES),
        st.floats(0, 100) | st.none(),
        st.integers(0, 60),
    ),
    max_size=5,
    unique_by=lambda one: one["id"],
)
minutes = st.integers(0, 3_000)  # two days, so that a day passes between some


def checkpoint(n: int, when: int, status: str, parts: list[Any], things: list[Any], phase: str) -> Change:
    body = {
        "id": f"cp{n}",
        "timestamp": at(when).isoformat(),
        "status": status,
        "phase": phase,
        "files_created": [f"{n % 2}.py", f"{n}.py"],
        "metadata": {"components": parts, "features": things},
    }
    return parsed(f"{BASE}/checkpoints/cp{n}.json", body, when)


def features(things: list[Any], status: str, when: int) -> Change:
    body = {"features": things, "status": status, "project": "named", "version": f"1.{when}"}
    return parsed(f"{BASE}/features.json", body | {"last_updated": at(when).isoformat()}, when)


def workflow(n: int, total: int, done: int, failed: int, when: int) -> Change:
    body = {
        "workflow_id": str(n),
        "phase": f"flow {n}",
        "timestamp": at(when).isoformat(),
        "state_data": {"status": "running", "total_items": total, "completed_count": done, "failed_count": failed},
        "completed_items": [f"item {one}" for one in range(done)],
    }
    return parsed(f"{BASE}/workflows/workflow_{n}_checkpoint.json", body, when)


def lock(folder: str, done: int, status: str, when: int) -> Change:
    body = {"phase": "1", "status": status, "tasks_total": 4, "tasks_done": done, "updated_at": at(when).isoformat()}
    return parsed(f"{BASE}/locks/{folder}/progress.json", body, when)


def claim(folder: str, build: str | None, when: int) -> Change:
    body = {"phase": "1", "claimed_at": at(when).isoformat(), "host": f"h{when}", "mode": f"m{when}"}
    return parsed(f"{BASE}/locks/{folder}/claim.json", body | ({"build": build} if build else {}), when)


def heartbeat(folder: str, when: int) -> Change:
    return parsed(f"{BASE}/locks/{folder}/heartbeat", at(when).isoformat(), when)


def plan(name: str, words: list[str], when: int) -> Change:
    phases = [
        f"### Phase {number}: Step {number}\n\n**Status:** {word}\n**Goal:** {when}\n"
        for number, word in enumerate(words, 1)
    ]
    return parsed(f"{BASE}/builds/BUILD_{name}.md", f"# Build: {name}\n\n**At:** {when}\n\n" + "\n".join(phases), when)


def current(build: str | None, when: int) -> Change:
    body = {"phase": str(when % 3), "name": "x", "started": at(when).isoformat()}
    body |= {"build": f"BUILD_{build}.md"} if build else {}
    return parsed(f"{BASE}/current-phase.json", body, when)


def batches(done: int, when: int) -> Change:
    body = {
        "total_phases": 4,
        "completed_phases": [str(n) for n in range(1, done + 1)],
        "updated": at(when).isoformat(),
    }
    body["batches"] = [{"id": "b", "phases": ["1", "2"], "status": "blocked" if when % 2 else "pending"}]
    return parsed(f"{BASE}/orchestration.json", body, when)


def journal(verdicts: list[tuple[str, str, str]], when: int) -> Change:
    lines = [
        f"[{at(when).isoformat()}] phase-review build=BUILD_{build} phase={phase} verdict={word}"
        for build, phase, word in verdicts
    ]
    return parsed(f"{BASE}/decisions.log", "\n".join([f"[{at(when).isoformat()}] [DECISION] {when}", *lines]), when)


def saved(build: str, last: int, when: int) -> Change:
    body = {"build_spec": f"BUILD_{build}.md", "last_completed_phase": last, "at": when}
    return parsed(f"{BASE}/autopilot-resume.json", body, when)


folders = st.sampled_from(["phase-1", "shop-phase-1", "shop-phase-2", "site-phase-1"])
few = st.integers(0, 3)


def written_again(change: Change, when: int) -> Change:
    """The same content, written at another time."""
    path, said = change
    assert said is not None
    return path, msgspec.structs.replace(said, written=at(when))


of_checkpoints = st.builds(
    checkpoint,
    few,
    minutes,
    st.sampled_from(["created", "rolled_back"]),
    entries,
    entries,
    st.sampled_from(["a_start", "a_complete", "a"]),
)
of_registries = st.builds(features, entries, st.sampled_from(STATUSES), minutes)
of_workflows = st.builds(workflow, few, st.integers(0, 6), few, few, minutes)
of_locks = (
    st.builds(lock, folders, few, st.sampled_from(["running", "done", "completed"]), minutes)
    | st.builds(claim, folders, st.sampled_from(["BUILD_shop", "BUILD_site", None]), minutes)
    | st.builds(heartbeat, folders, minutes)
)
of_plans = st.builds(
    plan,
    st.sampled_from(["shop", "site", "old"]),
    st.lists(st.sampled_from(["pending", "in_progress", "complete"]), min_size=1, max_size=3),
    minutes,
)
plans = st.sampled_from(["shop", "site", "old"])
of_projects = (
    st.builds(current, plans | st.none(), minutes)
    | st.builds(batches, few, minutes)
    | st.builds(saved, plans, few, minutes)
    | st.builds(
        journal,
        st.lists(st.tuples(plans, st.sampled_from("123"), st.sampled_from(["arbiter-approve", "block"])), max_size=2),
        minutes,
    )
)


def gone(change: Change) -> Change:
    return change[0], None


# What is seen of a lock is remembered when the lock is gone, so locks stay here.
any_change = (
    (of_checkpoints | of_checkpoints.map(gone))
    | (of_registries | of_registries.map(gone))
    | (of_workflows | of_workflows.map(gone))
    | (of_plans | of_plans.map(gone))
    | of_projects
    | of_locks
)
again = st.builds(written_again, of_registries | of_workflows | of_plans | of_projects | of_locks, minutes)
any_changes = st.lists(any_change | again, max_size=15)


class Build:
    """A merge and the state it leads to."""

    def __init__(self) -> None:
        self.merge, self.fold = Merge("project"), BuildState()

    def say(self, changes: list[Change], now: datetime) -> None:
        for change in self.fold.diff(self.merge.update(changes, now), session_id="s", now=now):
            self.fold.apply(*change)

    @property
    def state(self) -> State:
        state = self.fold.snapshot()
        for one in state.checkpoints:
            one.version = 1  # it counts what was seen
        return msgspec.structs.replace(state, updated_at=None, activity=[])  # what happened, not what is


@settings(max_examples=300, deadline=None)
@given(any_changes, st.lists(st.integers(1, 4), min_size=1))
def test_change_by_change_and_all_at_once_are_the_same(changes: list[Change], sizes: list[int]) -> None:
    live, cold = Build(), Build()
    now = at(3_000)
    rest = list(changes)
    turn = 0
    live.say([], now)
    while rest:
        size = sizes[turn % len(sizes)]
        live.say(rest[:size], now)
        del rest[:size]
        turn += 1
    cold.say([change for change in dict(changes).items() if change[1] is not None], now)
    a, b = live.state, cold.state
    for name in ("session", "progress", *a.__struct_fields__):
        assert msgspec.to_builtins(getattr(a, name)) == msgspec.to_builtins(getattr(b, name)), name

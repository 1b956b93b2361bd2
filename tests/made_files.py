"""Files of every kind, as builds write them, with one oddity each: all invented here.

`made()` gives them; nothing of them lies in the repository. The oddities are those of real files: a phase that is a
number, a fraction or a text, a step of 3.5, a time that nobody filled in, ``done`` with nothing done, ``running`` for
ever, batches without a status, keys that nobody knows.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any, Final, NamedTuple

__all__ = ["Made", "made"]


class Made(NamedTuple):
    """One invented file: its kind, its path in its project, what is special about it, and its bytes."""

    kind: str
    path: str
    about: str
    raw: bytes


def made() -> list[Made]:
    """All invented files, in a fixed order."""
    return [
        Made(kind, path, about, json.dumps(body, indent=2, ensure_ascii=False).encode() + b"\n")
        for kind, files in _KINDS.items()
        for path, about, body in files()
    ]


_File = tuple[str, str, dict[str, Any]]

# -- checkpoints ------------------------------------------------------------------------------------------------------


def _checkpoints() -> Iterator[_File]:
    for number, phase in enumerate(
        ["build_2b_batch_1_complete", "build_2b_production_ready", "build_3_seed_tools", "build_3c_start"]
    ):
        id_ = f"checkpoint_20260105_0{number}1530_004711"
        body: dict[str, Any] = {
            "id": id_,
            "timestamp": f"2026-01-05T0{number}:15:30.004718",
            "phase": phase,
            "tasks_completed": [],
            "files_created": [],
            "status": "created",
            "metadata": {
                "name": phase,
                "description": f"The lighthouse, step {number}",
                "created_by": "cli",
                "timestamp": f"2026-01-05T0{number}:15:30.004702",
            },
        }
        yield f".buildrunner/checkpoints/{id_}.json", phase, body


# -- agent chains and pools -------------------------------------------------------------------------------------------


def _workflows() -> Iterator[_File]:
    for chain, (step, done, failed) in {
        "0a1b2c3d": ("explore", 1, 0),
        "1b2c3d4e": ("implement", 3, 0),
        "2c3d4e5f": ("review", 2, 1),
    }.items():
        body: dict[str, Any] = {
            "checkpoint_id": f"{chain[::-1]}",
            "workflow_id": chain,
            "phase": step,
            "completed_items": [f"item-{chain[:2]}-{n}" for n in range(done)],
            "timestamp": f"2026-01-06T1{done}:20:07.236371",
            "state_data": {
                "status": "running",  # written one step too early, and never again
                "total_items": done + failed,
                "completed_count": done,
                "failed_count": failed,
            },
        }
        yield f".buildrunner/workflows/workflow_{chain}_checkpoint.json", f"{step}: running for ever", body


def _pools() -> Iterator[_File]:
    for pool, agents in {"a0b1c2d3": ["explore"], "b1c2d3e4": ["test", "review", "implement", "refactor"]}.items():
        results = {
            f"{pool[:4]}{n:04}": {
                "item_id": f"{pool[:4]}{n:04}",
                "agent_type": agent,
                "task_id": "lamp-room",
                "status": "completed",
                "duration_ms": 12.5 * (n + 1),
                "error_message": None,
            }
            for n, agent in enumerate(agents)
        }
        total = sum(12.5 * (n + 1) for n in range(len(agents)))
        body: dict[str, Any] = {
            "pool_id": pool,
            "timestamp": "2026-01-06T12:00:00.000001",
            "stats": {
                "total_items": len(agents),
                "completed_items": len(agents),
                "failed_items": 0,
                "total_duration_ms": total,
                "avg_item_duration_ms": total / len(agents),
            },
            "results": results,
        }
        yield f".buildrunner/workflows/pool_{pool}_checkpoint.json", f"{len(agents)} agents", body


# -- orchestration ----------------------------------------------------------------------------------------------------


def _states() -> Iterator[_File]:
    names = ["foundation", "tower", "lamp", "foghorn"]
    tasks = {
        f"task-{n}": {
            "id": f"task-{n}",
            "name": f"Build the {name}",
            "description": "",
            "file_path": f"src/{name}.py",
            "estimated_minutes": 90,
            "complexity": "medium",
            "domain": "backend",
            "dependencies": [f"task-{n - 1}"] if n else [],
            "acceptance_criteria": ["stands"],
            "status": "completed" if n < 1 else "pending",
            "queued_at": "2026-01-07T08:00:00.000003",
            "started_at": "2026-01-07T08:05:00.000003" if n < 1 else None,
            "completed_at": "2026-01-07T09:35:00.000003" if n < 1 else None,
            "error_message": None,
            "retry_count": 0,
        }
        for n, name in enumerate(names)
    }
    progress = dict.fromkeys(["failed", "in_progress", "blocked", "skipped"], 0)
    body: dict[str, Any] = {
        "version": "1.0",
        "timestamp": "2026-01-07T09:36:00.000003",
        "tasks": tasks,
        "execution_order": list(tasks),
        "progress": {"total": 4, "completed": 1, "pending": 3, "percent_complete": 25.0, **progress},
        "metadata": {},
    }
    yield ".buildrunner/state/orchestration_state.json", "tasks", body
    batches = [{"id": n, "tasks": [f"{name}_step_{k}" for k in range(n + 1)]} for n, name in enumerate(names[:3])]
    relative = {"batches": batches, "current_batch": 0, "total_tasks": 6, "completed_tasks": 0}
    yield ".buildrunner/orchestration_state.json", "batches of tasks", relative
    template = {"version": "1.0", "current_build": None, "phase": None}
    yield "templates/harbour/orchestration_state.json", "a template that says nothing", template


def _plans() -> Iterator[_File]:
    body: dict[str, Any] = {
        "mode": "autopilot",
        "batches": [{"id": 1, "phases": [1, 2]}, {"id": 2, "phases": [3, "3.5"]}],
        "current_batch": 1,
        "completed_phases": 1,
        "total_phases": 4,
        "started": "2026-01-08T07:50:00Z",
    }
    yield ".buildrunner/orchestration.json", "batches without a status", body
    unfilled = "$(date -u +%Y-%m-%dT%H:%M:%SZ)"
    yield ".buildrunner/orchestration.json", "a start that nobody filled in", {**body, "started": unfilled}
    blocked = [
        {"id": 1, "phases": [1, 2], "status": "complete"},
        {"id": 2, "phases": [3], "status": "blocked", "blocker": "waits for the glass"},
        {"id": 3, "phases": [4], "status": "pending", "blocked_by": [3]},
    ]
    stopped = {**body, "batches": blocked, "current_batch": 2, "completed_phases": 2, "full_send": True}
    del stopped["started"]
    yield ".buildrunner/orchestration.json", "a blocked batch", stopped


# -- phases -----------------------------------------------------------------------------------------------------------

_STEPS: Final = [
    (1, "setup", "Setup & sync", "done"),
    (2, "health_check", "Code health check", "done"),
    (3, "plan", "Writing the plan", "done"),
    (3.5, "tdd", "Writing failing tests", "skipped"),
    (4, "execute", "Implementing tasks", "done"),
]
# Seconds between two steps. Most are minutes, some are hours, as it is where a person looks in now and then.
_GAPS: Final = [
    [7, 90, 240, 1_800],
    [20, 45, 300, 900],
    [60, 60, 600, 2_700],
    [5, 180, 420, 7_200],
    [120, 150, 840, 1_300],
    [30, 240, 360, 18_000],
    [15, 75, 480, 3_600],
    [45, 300, 1_100, 57_600],
    [10, 210, 270, 1_500],
    [90, 120, 700, 2_100],
]


def _history(number: int) -> list[dict[str, Any]]:
    at = datetime(2026, 1, 9, 8, number, tzinfo=UTC)
    steps: list[dict[str, Any]] = []
    for (step, name, label, status), gap in zip(_STEPS, [*_GAPS[number % len(_GAPS)], 0], strict=True):
        steps.append({"step": step, "name": name, "label": label, "at": f"{at:%Y-%m-%dT%H:%M:%SZ}", "status": status})
        at += timedelta(seconds=gap)
    return steps


def _lock(phase: object, status: str, done: int, total: int, **fields: Any) -> dict[str, Any]:
    return {
        "phase": phase,
        "name": f"Storey {phase}",
        "step": 4,
        "step_name": "execute",
        "step_label": "Implementing tasks",
        "status": status,
        "tasks_total": total,
        "tasks_done": done,
        "current_task": None,
        "tests_written": 2,
        "tests_passing": 1,
        "commits": 0,
        "errors": [],
        "warnings": [],
        "started_at": "2026-01-09T10:00:00Z",
        "updated_at": "2026-01-09T11:00:00Z",
        **fields,
    }


def _locks() -> Iterator[_File]:
    for number, (folder, about, body) in enumerate(
        [
            ("phase-5", "at work", _lock(5, "active", 1, 4, current_task="5.2 — Glaze the lamp")),
            ("phase-8.5", "a number that is a text", _lock("8.5", "active", 0, 7, step=1)),
            ("phase-9.2", "a fraction", _lock(9.2, "active", 0, 5, step=0.5)),
            ("phase-2", "done with no tasks", _lock(2, "done", 0, 0)),
            ("phase-3", "active with no tasks", _lock(3, "active", 0, 0)),
            ("phase-4", "done with nothing done", _lock(4, "done", 0, 5)),
            ("phase-6", "COMPLETE", _lock(6, "COMPLETE", 7, 7, step=7)),
            ("phase-7", "a start that nobody filled in", _lock(7, "in_progress", 2, 9, started_at="PLACEHOLDER")),
            ("phase-10", "a task that is an object", _lock(10, "in_progress", 1, 9, current_task={"name": "stairs"})),
            ("harbour-phase-2", "another plan's phase 2", _lock(2, "active", 3, 6)),
            ("pier-works-phase-2", "and another's", _lock(2, "complete", 6, 6)),
            ("phase-11", "without a history", _lock(11, "active", 0, 3, history=[])),
        ]
    ):
        yield f".buildrunner/locks/{folder}/progress.json", about, {"history": _history(number), **body}


def _current() -> Iterator[_File]:
    path = ".buildrunner/current-phase.json"
    named = {"phase": 4, "name": "Glass and brass"}
    yield path, "started", {**named, "started": "2026-01-10T15:30:00Z", "mode": "autopilot"}
    yield (
        path,
        "started_at",
        {**named, "started_at": "2026-01-10T15:30:00Z", "build": "BUILD_lighthouse", "host": "Skerry"},
    )
    yield path, "in a batch", {**named, "started": "2026-01-10T15:30:00Z", "batch": 2, "parallel_with": [5, 6]}


# -- the registry -----------------------------------------------------------------------------------------------------


def _registries() -> Iterator[_File]:
    def feature(number: int, status: str, progress: int, **fields: Any) -> dict[str, Any]:
        return {
            "id": f"feat-{number:03}",
            "name": f"Feature {number}",
            "description": "Shines",
            "priority": ["critical", "high", "medium", "low"][number % 4],
            "status": status,
            "progress": progress,
            "components": [f"core/part_{number}.py", "docs/LAMP.md"],
            "tests": {"unit": 12, "integration": 3, "passing": True},
            "dependencies": [f"feat-{number - 1:03}"] if number > 1 else [],
            **fields,
        }

    features = [
        feature(1, "complete", 100, completed_at="2026-01-11T00:00:00Z"),
        feature(2, "in_progress", 40),
        feature(3, "planned", 0),
    ]
    body: dict[str, Any] = {
        "project": "lighthouse",
        "version": "0.3.0",
        "status": "in_development",
        "last_updated": "2026-01-11T18:00:00.000000Z",
        "features": features,
        "metrics": {"features_complete": 1, "features_total": 3},
    }
    path = ".buildrunner/features.json"
    yield path, "three features", body
    yield path, "unknown keys", {**body, "description": "A lamp on a rock", "enhancements": [{"id": "enh-1"}]}
    yield path, "all complete", {**body, "status": "active", "features": [features[0]]}


_KINDS: Final = {
    "build_checkpoint": _checkpoints,
    "workflow_checkpoint": _workflows,
    "pool_checkpoint": _pools,
    "orchestration_state": _states,
    "lock_progress": _locks,
    "orchestration_json": _plans,
    "current_phase": _current,
    "features_json": _registries,
}

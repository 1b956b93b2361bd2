"""The current state of the simulated build, as each of the files that a real build writes.

As in real projects, the files differ in their conventions: build checkpoints hold local times without a zone, lock
files UTC with ``Z``; the orchestrator writes camelCase, the command line snake_case; each has its own status words.
`buildwidget.formats` describes and reads all of them.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from typing import Any, Final

from .clock import Clock, in_minutes
from .product import PHASES, PROJECT
from .world import ComponentState, FeatureState, World, Write

__all__ = ["ROOT", "ProjectFiles", "as_json", "camel", "local", "zulu"]

ROOT: Final = ".buildrunner"
STEPS: Final = (
    (1, "setup", "Setup & sync"),
    (2, "health_check", "Code health check"),
    (3, "plan", "Writing implementation plan"),
    (3.5, "tdd", "Writing failing tests (TDD)"),
    (4, "execute", "Implementing tasks"),
    (5, "review", "Two-stage review"),
    (6, "verification", "Verification gate"),
    (7, "finalize", "Final commit & summary"),
)
REGISTRY_WORDS: Final = {"pending": "planned", "completed": "complete"}  # features.json has the same words otherwise
TASK_WORDS: Final = {"error": "failed"}


def local(at: datetime | None) -> str | None:
    """Format a time as local time without a zone, as checkpoints hold it."""
    return at.astimezone().replace(tzinfo=None).isoformat() if at else None


def zulu(at: datetime | None) -> str | None:
    """Format a time as UTC to the second with ``Z``, as lock files hold it."""
    return at.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ") if at else None


def micro(at: datetime | None) -> str | None:
    """Format a time as UTC to the microsecond with ``Z``, as the feature registry holds it."""
    return at.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ") if at else None


def camel(name: str) -> str:
    """Convert ``start_time`` to ``startTime``."""
    head, *rest = name.split("_")
    return head + "".join(part.title() for part in rest)


class ProjectFiles:
    """Renders the current state as files."""

    def __init__(self, world: Callable[[], World], clock: Clock, rng: random.Random) -> None:
        self._world = world
        self._clock = clock
        self._random = rng
        self._ids: dict[str, str] = {}
        self._failures: list[str] = []
        self._started = clock.now()

    def _files(self, state: FeatureState) -> list[str]:
        spec = self._world().components[state.spec.component].spec
        slug = state.spec.id.split(".")[1].replace("-", "_")
        test = f"tests/test_{slug}.py" if spec.suffix != ".tsx" else f"{spec.folder}/{slug}.test.tsx"
        return [f"{spec.folder}/{slug}{spec.suffix}", test]

    def _existing(self, names: tuple[str, ...]) -> list[str]:
        """Return those of the ids that are in the plan so far."""
        world = self._world()
        return [name for name in names if name in world.components or name in world.features]

    def _component(self, state: ComponentState, when: Callable[[datetime | None], str | None]) -> dict[str, Any]:
        return {
            "id": state.spec.id,
            "name": state.spec.name,
            "type": state.spec.type,
            "status": state.status,
            "progress": self._world().component_progress(state.spec.id),
            "dependencies": self._existing(state.spec.dependencies),
            "files": [
                p for f in self._world().features_of(state.spec.id) if f.status == "completed" for p in self._files(f)
            ],
            "tests_pass": state.tests_pass,
            "start_time": when(state.started),
            "end_time": when(state.ended),
            "error": state.error,
        }

    def _feature(self, state: FeatureState, when: Callable[[datetime | None], str | None]) -> dict[str, Any]:
        return {
            "id": state.spec.id,
            "name": state.spec.name,
            "description": state.spec.description,
            "priority": state.spec.priority,
            "component": state.spec.component,
            "status": state.status,
            "progress": state.progress,
            "tasks": [
                {"id": f"{state.spec.id}.{i}", "name": name, "completed": at is not None, "timestamp": when(at)}
                for i, (name, at) in enumerate(zip(state.spec.tasks, state.done, strict=True), 1)
            ],
            "estimated_time": in_minutes(self._clock.span(state.spec.estimate)),
            "actual_time": in_minutes(state.duration) if state.duration is not None else None,
            "dependencies": self._existing(state.spec.dependencies),
            "error": state.error,
        }

    # -- the files that change with every task --------------------------------------------------------------------

    def _state(self, *, every: bool = False) -> Iterator[Write]:
        yield from self._locks(every=every)
        yield self._registry()
        yield self._orchestration()

    def _registry(self) -> Write:
        """Return ``features.json``."""
        world = self._world()
        rows: list[dict[str, Any]] = []
        for state in world.features.values():
            row = self._feature(state, micro)
            rows.append({
                **{key: row[key] for key in ("id", "name", "description", "priority")},
                "status": REGISTRY_WORDS.get(state.status, state.status),
                "progress": state.progress,
                "components": self._files(state),
                "tests": {
                    "unit": 6 * state.tasks_done,
                    "integration": state.tasks_done,
                    "passing": state.error is None if state.tasks_done else None,
                },
                **{key: row[key] for key in ("dependencies", "tasks", "estimated_time", "actual_time")},
                "created_at": micro(self._started),
                "completed_at": micro(state.ended),
            })  # fmt: skip
        status = [state.status for state in world.features.values()]
        done = status.count("completed")
        return as_json("features.json", {
            "project": PROJECT,
            "version": "0.9.0",
            "status": "complete" if done == len(status) else "active",
            "last_updated": micro(self._clock.now()),
            "features": rows,
            "metrics": {
                "features_complete": done,
                "features_in_progress": status.count("in_progress"),
                "features_planned": status.count("pending"),
                "completion_percentage": round(100 * done / len(status)),
            },
        })  # fmt: skip

    def _orchestration(self) -> Write:
        """Return ``state/orchestration_state.json``, with one task for each feature."""
        world = self._world()
        name = {key: f"{key.replace('.', '_').replace('-', '_')}_task_{i}" for i, key in enumerate(world.features, 1)}
        tasks: dict[str, Any] = {}
        for key, state in world.features.items():
            before = self._existing(state.spec.dependencies)
            if not before:  # the first feature of a component depends on the last ones of the component's dependencies
                for other in self._existing(world.components[state.spec.component].spec.dependencies):
                    before += [f.spec.id for f in world.features_of(other) if not any(
                        f.spec.id in later.spec.dependencies for later in world.features_of(other))]  # fmt: skip
            status = TASK_WORDS.get(state.status, state.status)
            if status == "pending" and all(world.features[other].status == "completed" for other in before):
                status = "ready"
            tasks[name[key]] = {
                "id": name[key],
                "name": f"{world.components[state.spec.component].spec.name}: {state.spec.name}",
                "description": state.spec.description,
                "file_path": self._files(state)[0],
                "estimated_minutes": in_minutes(self._clock.span(state.spec.estimate)),
                "complexity": "complex"
                if state.spec.estimate >= 40
                else "medium"
                if state.spec.estimate > 20
                else "simple",
                "domain": world.components[state.spec.component].spec.type,
                "dependencies": [name[other] for other in before],
                "acceptance_criteria": list(state.spec.tasks),
                "status": status,
                "queued_at": local(self._started),
                "started_at": local(state.started),
                "completed_at": local(state.ended) if state.status == "completed" else None,
                "error_message": state.error,
                "retry_count": state.retries,
            }
        words = [task["status"] for task in tasks.values()]
        done = words.count("completed")
        return as_json("state/orchestration_state.json", {
            "version": "1.0",
            "timestamp": local(self._clock.now()),
            "tasks": tasks,
            "execution_order": list(tasks),
            "progress": {
                "total": len(words), "completed": done, "failed": words.count("failed"),
                "in_progress": words.count("in_progress"), "pending": words.count("pending") + words.count("ready"),
                "blocked": words.count("blocked"), "skipped": 0, "percent_complete": round(100 * done / len(words), 1),
            },
            "metadata": {"workers": 3},
        })  # fmt: skip

    # -- locks, plan, workflows and agent pools -------------------------------------------------------------------

    def _locks(self, *, every: bool = False) -> Iterator[Write]:
        for phase, status in self._world().phases.items():
            if status == "active" or (every and phase in self._world().phase_started):
                yield self._lock(phase, status)

    def _lock(self, phase: int, status: str) -> Write:
        world = self._world()
        components = [c for c in world.components.values() if c.spec.phase == phase]
        features = [f for c in components for f in world.features_of(c.spec.id)]
        current = next(
            (
                f"{phase}.{i} — {f.spec.tasks[f.tasks_done]}"
                for i, f in enumerate(features, 1)
                if f.status == "in_progress" and f.tasks_done < len(f.done)
            ),
            None,
        )
        built = all(f.status == "completed" for f in features)
        at = len(STEPS) - 1 if status == "complete" else 6 if built else 4
        step, name, label = STEPS[at]
        started = world.phase_started[phase]
        return as_json(f"locks/phase-{phase}/progress.json", {
            "phase": phase,
            "name": PHASES[phase],
            "step": step,
            "step_name": name,
            "step_label": label,
            "status": status,
            "tasks_total": sum(len(f.done) for f in features),
            "tasks_done": sum(f.tasks_done for f in features),
            "current_task": current,
            "tests_written": sum(c.tests for c in components),
            "tests_passing": sum(c.tests for c in components if c.tests_pass),
            "commits": sum(f.status == "completed" for f in features),
            "errors": list(self._failures) if status == "failed" else [],
            "warnings": [f"{c.spec.name}: tests fail" for c in components if c.tests_pass is False],
            "started_at": zulu(started),
            "updated_at": zulu(self._clock.now()),
            "history": [
                {
                    "step": number, "name": word, "label": text, "at": zulu(started),
                    "status": "skipped" if number == 3.5 else "done",
                }
                for number, word, text in STEPS[: at + (status == "complete")]
            ],
        })  # fmt: skip

    def _phase_file(self, phase: int) -> Write:
        return as_json("current-phase.json", {
            "phase": phase, "name": PHASES[phase], "build": f"BUILD_{PROJECT}", "started_at": zulu(self._clock.now()),
            "mode": "autopilot", "host": "workbench",
        })  # fmt: skip

    def _plan(self) -> Write:
        phases = self._world().phases
        done = sum(status == "complete" for status in phases.values())
        words = {"complete": "complete", "active": "in_progress"}
        return as_json("orchestration.json", {
            "mode": "autopilot",
            "batches": [{"id": n, "phases": [n], "status": words.get(status, status)} for n, status in phases.items()],
            "current_batch": min(done + 1, len(phases)),
            "completed_phases": done,
            "total_phases": len(phases),
            "started": zulu(self._started),
        })  # fmt: skip

    def _workflow(self, phase: int) -> Write:
        """Return the checkpoint of a workflow. It is written after every item and still says ``running`` at the end."""
        world = self._world()
        features = [f for f in world.features.values() if world.components[f.spec.component].spec.phase == phase]
        done = [self._hex(f.spec.id) for f in features if f.status == "completed"]
        failed = sum(f.status == "error" for f in features)
        ident = self._hex(f"workflow {phase}")
        return as_json(f"workflows/workflow_{ident}_checkpoint.json", {
            "checkpoint_id": self._hex(f"checkpoint {phase} {len(done)}"),
            "workflow_id": ident,
            "phase": "implement",
            "completed_items": done,
            "timestamp": local(self._clock.now()),
            "state_data": {
                "status": "running", "total_items": len(features), "completed_count": len(done), "failed_count": failed,
            },
        })  # fmt: skip

    def _pool(self, phase: int) -> Write:
        """Return the checkpoint of a phase's agent pool, which is written once, at the end of the phase."""
        ident = self._hex(f"pool {phase} {self._clock.now()}")
        results: dict[str, Any] = {}
        for component in self._world().components.values():
            for kind in ("review", "test") if component.spec.phase == phase else ():
                item = self._hex(f"{kind} {component.spec.id}")
                results[item] = {
                    "item_id": item, "agent_type": kind, "task_id": component.spec.id, "status": "completed",
                    "duration_ms": round(self._random.lognormvariate(10.5, 0.5) * self._clock.pace, 3),
                    "error_message": None,
                }  # fmt: skip
        total = sum(row["duration_ms"] for row in results.values())
        return as_json(f"workflows/pool_{ident}_checkpoint.json", {
            "pool_id": ident,
            "timestamp": local(self._clock.now()),
            "stats": {
                "total_items": len(results), "completed_items": len(results), "failed_items": 0,
                "total_duration_ms": round(total, 3), "avg_item_duration_ms": round(total / len(results), 3),
            },
            "results": results,
        })  # fmt: skip

    def _hex(self, key: str) -> str:
        return self._ids.setdefault(key, f"{self._random.getrandbits(32):08x}")


def as_json(path: str, data: Any) -> Write:
    """Return the write of a JSON file below ``.buildrunner``."""
    return Write(f"{ROOT}/{path}", data=data)

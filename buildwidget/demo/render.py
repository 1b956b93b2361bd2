"""The state of the simulated build as the files of a BuildRunner project.

The writers of such a project do not agree with one another, and neither do these: build checkpoints hold local times
without a zone, lock files UTC with ``Z``; the orchestrator writes camelCase, the command line snake_case; each has its
own words for a status. The shapes are those that `buildwidget.formats` reads.
"""

from __future__ import annotations

import random
import re
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from typing import Any, Final

from . import prose
from .product import PHASES, PROJECT
from .world import ComponentState, FeatureState, World, Write

__all__ = ["ROOT", "Renderer"]

ROOT: Final = ".buildrunner"
LOG: Final = f"{ROOT}/logs/build.log"
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
REGISTRY_WORDS: Final = {"pending": "planned", "completed": "complete"}  # the others are the same in features.json
TASK_WORDS: Final = {"error": "failed"}
PRINTED: Final = re.compile(r"\x1b\[[0-9;]*m")
PAD: Final = 96  # a line that follows an unfinished progress line is padded so that it covers it


def local(at: datetime | None) -> str | None:
    """Local time without a zone, as the checkpoint writer has it."""
    return at.astimezone().replace(tzinfo=None).isoformat() if at else None


def zulu(at: datetime | None) -> str | None:
    """UTC to the second with ``Z``, as the phase runner has it."""
    return at.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ") if at else None


def micro(at: datetime | None) -> str | None:
    """UTC to the microsecond with ``Z``, as the feature registry has it."""
    return at.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ") if at else None


def camel(name: str) -> str:
    """``start_time`` as ``startTime``."""
    head, *rest = name.split("_")
    return head + "".join(part.title() for part in rest)


class Renderer:
    """Makes the writes of each moment of a build."""

    def __init__(
        self, world: Callable[[], World], now: Callable[[], datetime], chance: random.Random
    ) -> None:
        self._world = world
        self._now = now
        self._random = chance
        self._partial = False
        self._newest = datetime.min.replace(tzinfo=UTC)
        self._checkpoints: list[dict[str, Any]] = []
        self._outputs = 0
        self._ids: dict[str, str] = {}
        self._failures: list[str] = []
        self._started = now()

    # -- the moments ----------------------------------------------------------------------------------------------

    def begin(self) -> Iterator[Write]:
        """The plan, before any work."""
        world = self._world()
        yield self._log(f"\x1b[1mBuildRunner\x1b[0m build of \x1b[36m{PROJECT}\x1b[0m: {len(world.components)} components, "
                        f"{len(world.features)} features, 3 workers")  # fmt: skip
        yield self._context("architecture", prose.architecture(world))
        yield self._context("blockers", prose.blockers([]))
        yield self._context("test-results", prose.test_results(world))
        yield self._phase_file(1)
        yield self._plan()
        yield from self._state()

    def tick(self, lead: FeatureState | None) -> Iterator[Write]:
        """A sign of life: the lock files, and a progress line that returns to its beginning."""
        yield from self._locks()
        if lead is not None and lead.status == "in_progress" and lead.tasks_done < len(lead.done):
            filled = round(lead.progress / 5)
            bar = "━" * filled + "\x1b[2m" + "━" * (20 - filled) + "\x1b[0m"
            text = f"  {lead.spec.component} · {lead.spec.tasks[lead.tasks_done]} {bar} {lead.progress:3.0f}%"
            self._partial = True
            yield Write(LOG, "\r" + self._padded(text), append=True)

    def work(self, state: FeatureState, what: str) -> Iterator[Write]:
        """A feature was started, one of its tasks was finished (``task``), or all of it (``done``)."""
        spec = state.spec
        name = f"\x1b[36m{spec.component}\x1b[0m {spec.name}"
        if what == "start":
            yield self._log(f"{name}: started, estimated {spec.estimate} min")
        elif what == "task":
            task = spec.tasks[max(0, state.tasks_done - 1)]
            yield self._log(f"{name}: {task} \x1b[2m({state.tasks_done}/{len(state.done)})\x1b[0m")
        else:
            yield self._log(f"{name}: \x1b[32mdone\x1b[0m in {state.minutes:.0f} min, commit {self._hex(spec.id + 'c')[:7]}")
            phase = self._world().components[spec.component].spec.phase
            yield self._workflow(phase)
        yield from self._state()
        yield self._context("current-work", prose.current_work(self._world()))

    def tests(self, component: ComponentState) -> Iterator[Write]:
        """The tests of a component ran."""
        lines = prose.test_run(component)
        yield self._log(*lines)
        self._outputs += 1
        yield Write(
            f"{ROOT}/context/command-outputs.md",
            ("# Command Outputs\n" if self._outputs == 1 else "") + prose.command_output(component, zulu(self._now()) or ""),
            append=True,
        )
        yield from self._state()
        yield self._context("test-results", prose.test_results(self._world()))

    def phase_done(self, phase: int) -> Iterator[Write]:
        """All components of a phase are complete."""
        yield self._log(f"\x1b[1;32mPhase {phase} complete\x1b[0m: {PHASES[phase]}")
        yield self._pool(phase)
        yield self._phase_file(min(phase + 1, len(PHASES)))
        yield self._plan()
        yield from self._state(every=True)

    def failed(self, state: FeatureState, *, final: bool) -> Iterator[Write]:
        """A task failed, for the first time or for good."""
        error = (state.error or "").splitlines()
        name = f"\x1b[36m{state.spec.component}\x1b[0m {state.spec.name}"
        if not final:
            yield self._log(f"{name}: \x1b[33mtask failed, trying again\x1b[0m", *(f"  \x1b[2m{line}\x1b[0m" for line in error))
        else:
            self._failures.append(f"{state.spec.name}: {error[-1]}")
            blocked = sorted(c.spec.name for c in self._world().components.values() if c.status == "blocked")
            yield self._log(
                f"{name}: \x1b[1;31mFAILED\x1b[0m after 1 retry",
                *(f"  \x1b[31m{line}\x1b[0m" for line in error),
                f"  blocked by this: {', '.join(blocked)}",
            )
            yield self._context("blockers", prose.blockers([(state.spec.name, state.error or "", ", ".join(blocked))]))
        yield from self._state(every=final)

    def rollback_decided(self, target: int) -> Iterator[Write]:
        """Why the build goes back to an earlier checkpoint."""
        name = self._checkpoints[target]["id"]
        yield self._log(
            "\x1b[1;31mload test: 14 of 20,000 slots were booked twice\x1b[0m",
            f"\x1b[33mrolling back to {name}\x1b[0m ({len(self._checkpoints) - target - 1} checkpoints are given up)",
        )
        yield self._context(
            "blockers", prose.blockers([("Double bookings under load", "14 of 20,000 slots were booked twice", name)])
        )

    def checkpoint_status(self, index: int, status: str) -> Iterator[Write]:
        """An earlier checkpoint, rewritten with another status."""
        self._checkpoints[index] = {**self._checkpoints[index], "status": status}
        yield self._checkpoint_file(index)

    def rolled_back(self) -> Iterator[Write]:
        """Every other file after a rollback: as it was then."""
        world = self._world()
        at = next((number for number, status in sorted(world.phases.items()) if status != "complete"), len(PHASES))
        yield self._log("\x1b[32mrolled back\x1b[0m; constraint moved into the database, the rest follows from there")
        yield self._phase_file(at)
        yield self._plan()
        yield from self._state(every=True)
        yield self._context("current-work", prose.current_work(world))
        yield self._context("blockers", prose.blockers([]))

    def grown(self, wave: tuple[str, ...]) -> Iterator[Write]:
        """The plan has become longer."""
        yield self._log(f"\x1b[35mscope change\x1b[0m: added {', '.join(wave)}")
        yield self._context("architecture", prose.architecture(self._world()))
        yield self._plan()
        yield from self._state(every=True)

    def end(self, failed: bool) -> Iterator[Write]:
        """The end of the build."""
        if failed:
            yield self._log("\x1b[1;31mBUILD FAILED\x1b[0m", *(f"  {line}" for line in self._failures))
        else:
            yield self._log(f"\x1b[1;32mBUILD COMPLETE\x1b[0m {len(self._world().features)} features, {self._world().commits} commits")
        yield self._plan()
        yield from self._state(every=True)
        yield self._context("current-work", prose.current_work(self._world()))

    # -- A: build checkpoints -------------------------------------------------------------------------------------

    def checkpoint(self, phase: str, note: str, by: str) -> Iterator[Write]:
        """A new build checkpoint."""
        world, now = self._world(), max(self._now(), self._newest + timedelta(microseconds=211))
        self._newest = now
        made = now - timedelta(microseconds=self._random.randint(4, 16))
        spelling, when = (camel, zulu) if by == "orchestrator" else (str, local)

        def spelled(item: dict[str, Any]) -> dict[str, Any]:
            return {spelling(key): value for key, value in item.items()}

        self._checkpoints.append({
            "id": made.astimezone().strftime("checkpoint_%Y%m%d_%H%M%S_%f"),
            "timestamp": local(now),
            "phase": phase.replace("-", "_"),
            "tasks_completed": [
                f"{f.spec.id}.{i}" for f in world.features.values() for i, at in enumerate(f.done, 1) if at
            ],
            "files_created": [path for f in world.features.values() if f.status == "completed" for path in self._files(f)],
            "status": "created",
            "metadata": {
                "name": phase.replace("-", "_"),
                "description": note,
                "created_by": by,
                "timestamp": local(made - timedelta(microseconds=7)),
                "components": [spelled(self._component(c, when)) for c in world.components.values()],
                "features": [spelled(self._feature(f, when)) for f in world.features.values()],
            },
        })  # fmt: skip
        yield self._checkpoint_file(len(self._checkpoints) - 1)

    def _checkpoint_file(self, index: int) -> Write:
        data = self._checkpoints[index]
        return _json(f"checkpoints/{data['id']}.json", data)

    def _files(self, state: FeatureState) -> list[str]:
        spec = self._world().components[state.spec.component].spec
        slug = state.spec.id.split(".")[1].replace("-", "_")
        test = f"tests/test_{slug}.py" if spec.suffix != ".tsx" else f"{spec.folder}/{slug}.test.tsx"
        return [f"{spec.folder}/{slug}{spec.suffix}", test]

    def _known(self, names: tuple[str, ...]) -> list[str]:
        """Of these ids, those that exist by now."""
        world = self._world()
        return [name for name in names if name in world.components or name in world.features]

    def _component(self, state: ComponentState, when: Callable[[datetime | None], str | None]) -> dict[str, Any]:
        return {
            "id": state.spec.id,
            "name": state.spec.name,
            "type": state.spec.type,
            "status": state.status,
            "progress": self._world().component_progress(state.spec.id),
            "dependencies": self._known(state.spec.dependencies),
            "files": [p for f in self._world().of(state.spec.id) if f.status == "completed" for p in self._files(f)],
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
            "estimated_time": state.spec.estimate,
            "actual_time": state.minutes if state.ended else None,
            "dependencies": self._known(state.spec.dependencies),
            "error": state.error,
        }

    # -- everything that follows the work -------------------------------------------------------------------------

    def _state(self, *, every: bool = False) -> Iterator[Write]:
        yield from self._locks(every=every)
        yield self._registry()
        yield self._orchestration()

    def _registry(self) -> Write:
        """H: ``features.json``."""
        world = self._world()
        rows: list[dict[str, Any]] = []
        for state in world.features.values():
            row = self._feature(state, micro)
            component = world.components[state.spec.component]
            rows.append({
                **{key: row[key] for key in ("id", "name", "description", "priority")},
                "status": REGISTRY_WORDS.get(state.status, state.status),
                "progress": state.progress,
                "components": self._files(state),
                "tests": {"unit": 6 * state.tasks_done, "integration": state.tasks_done, "passing": component.tests_pass is not False},
                **{key: row[key] for key in ("dependencies", "tasks", "estimated_time", "actual_time")},
                "created_at": micro(self._started),
                "completed_at": micro(state.ended),
            })  # fmt: skip
        status = [state.status for state in world.features.values()]
        done = status.count("completed")
        return _json("features.json", {
            "project": PROJECT,
            "version": "0.9.0",
            "status": "complete" if done == len(status) else "active",
            "last_updated": micro(self._now()),
            "features": rows,
            "metrics": {
                "features_complete": done,
                "features_in_progress": status.count("in_progress"),
                "features_planned": status.count("pending"),
                "completion_percentage": round(100 * done / len(status)),
            },
        })  # fmt: skip

    def _orchestration(self) -> Write:
        """C: ``state/orchestration_state.json``, one task for each feature."""
        world = self._world()
        name = {key: f"{key.replace('.', '_').replace('-', '_')}_task_{i}" for i, key in enumerate(world.features, 1)}
        tasks: dict[str, Any] = {}
        for key, state in world.features.items():
            before = self._known(state.spec.dependencies)
            if not before:  # the first of its component waits for the last ones of the components that it needs
                for other in self._known(world.components[state.spec.component].spec.dependencies):
                    before += [f.spec.id for f in world.of(other) if not any(
                        f.spec.id in later.spec.dependencies for later in world.of(other))]  # fmt: skip
            status = TASK_WORDS.get(state.status, state.status)
            if status == "pending" and all(world.features[other].status == "completed" for other in before):
                status = "ready"
            tasks[name[key]] = {
                "id": name[key],
                "name": f"{world.components[state.spec.component].spec.name}: {state.spec.name}",
                "description": state.spec.description,
                "file_path": self._files(state)[0],
                "estimated_minutes": state.spec.estimate,
                "complexity": "complex" if state.spec.estimate >= 40 else "medium" if state.spec.estimate > 20 else "simple",
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
        return _json("state/orchestration_state.json", {
            "version": "1.0",
            "timestamp": local(self._now()),
            "tasks": tasks,
            "execution_order": list(tasks),
            "progress": {
                "total": len(words), "completed": done, "failed": words.count("failed"),
                "in_progress": words.count("in_progress"), "pending": words.count("pending") + words.count("ready"),
                "blocked": words.count("blocked"), "skipped": 0, "percent_complete": round(100 * done / len(words), 1),
            },
            "metadata": {"workers": 3},
        })  # fmt: skip

    # -- D, E, G and the rest of H --------------------------------------------------------------------------------

    def _locks(self, *, every: bool = False) -> Iterator[Write]:
        for phase, status in self._world().phases.items():
            if status == "active" or (every and phase in self._world().phase_started):
                yield self._lock(phase, status)

    def _lock(self, phase: int, status: str) -> Write:
        world = self._world()
        components = [c for c in world.components.values() if c.spec.phase == phase]
        features = [f for c in components for f in world.of(c.spec.id)]
        current = next((f for f in features if f.status == "in_progress" and f.tasks_done < len(f.done)), None)
        built = all(f.status == "completed" for f in features)
        at = len(STEPS) - 1 if status == "complete" else 6 if built else 4
        step, name, label = STEPS[at]
        started = world.phase_started[phase]
        return _json(f"locks/phase-{phase}/progress.json", {
            "phase": phase,
            "name": PHASES[phase],
            "step": step,
            "step_name": name,
            "step_label": label,
            "status": status,
            "tasks_total": sum(len(f.done) for f in features),
            "tasks_done": sum(f.tasks_done for f in features),
            "current_task": f"{phase}.{features.index(current) + 1} — {current.spec.tasks[current.tasks_done]}" if current else None,
            "tests_written": sum(c.tests for c in components),
            "tests_passing": sum(c.tests for c in components if c.tests_pass),
            "commits": sum(f.status == "completed" for f in features),
            "errors": list(self._failures) if status == "failed" else [],
            "warnings": [f"{c.spec.name}: tests fail" for c in components if c.tests_pass is False],
            "started_at": zulu(started),
            "updated_at": zulu(self._now()),
            "history": [
                {"step": number, "name": word, "label": text, "at": zulu(started), "status": "skipped" if number == 3.5 else "done"}
                for number, word, text in STEPS[: at + (status == "complete")]
            ],
        })  # fmt: skip

    def _phase_file(self, phase: int) -> Write:
        return _json("current-phase.json", {
            "phase": phase, "name": PHASES[phase], "build": f"BUILD_{PROJECT}", "started_at": zulu(self._now()),
            "mode": "autopilot", "host": "workbench",
        })  # fmt: skip

    def _plan(self) -> Write:
        phases = self._world().phases
        done = sum(status == "complete" for status in phases.values())
        words = {"complete": "complete", "active": "in_progress"}
        return _json("orchestration.json", {
            "mode": "autopilot",
            "batches": [{"id": n, "phases": [n], "status": words.get(status, status)} for n, status in phases.items()],
            "current_batch": min(done + 1, len(phases)),
            "completed_phases": done,
            "total_phases": len(phases),
            "started": zulu(self._started),
        })  # fmt: skip

    def _workflow(self, phase: int) -> Write:
        """D: saved after every item, with the status of one item ago, as upstream does."""
        world = self._world()
        features = [f for f in world.features.values() if world.components[f.spec.component].spec.phase == phase]
        done = [self._hex(f.spec.id) for f in features if f.status == "completed"]
        failed = sum(f.status == "error" for f in features)
        ident = self._hex(f"workflow {phase}")
        return _json(f"workflows/workflow_{ident}_checkpoint.json", {
            "checkpoint_id": self._hex(f"checkpoint {phase} {len(done)}"),
            "workflow_id": ident,
            "phase": "implement",
            "completed_items": done,
            "timestamp": local(self._now()),
            "state_data": {"status": "running", "total_items": len(features), "completed_count": len(done), "failed_count": failed},
        })  # fmt: skip

    def _pool(self, phase: int) -> Write:
        """E: the agents of a phase, written once at its end."""
        ident = self._hex(f"pool {phase} {self._now()}")
        results: dict[str, Any] = {}
        for component in self._world().components.values():
            for kind in ("review", "test") if component.spec.phase == phase else ():
                item = self._hex(f"{kind} {component.spec.id}")
                results[item] = {
                    "item_id": item, "agent_type": kind, "task_id": component.spec.id, "status": "completed",
                    "duration_ms": round(self._random.lognormvariate(10.5, 0.5), 3), "error_message": None,
                }  # fmt: skip
        total = sum(row["duration_ms"] for row in results.values())
        return _json(f"workflows/pool_{ident}_checkpoint.json", {
            "pool_id": ident,
            "timestamp": local(self._now()),
            "stats": {
                "total_items": len(results), "completed_items": len(results), "failed_items": 0,
                "total_duration_ms": round(total, 3), "avg_item_duration_ms": round(total / len(results), 3),
            },
            "results": results,
        })  # fmt: skip

    # -- small ----------------------------------------------------------------------------------------------------

    def _hex(self, key: str) -> str:
        return self._ids.setdefault(key, f"{self._random.getrandbits(32):08x}")

    def _context(self, name: str, text: str) -> Write:
        return Write(f"{ROOT}/context/{name}.md", text)

    def _padded(self, text: str) -> str:
        return text + " " * max(0, PAD - len(PRINTED.sub("", text)))

    def _log(self, *lines: str) -> Write:
        """Lines of the log; the first covers an unfinished progress line."""
        stamp = f"\x1b[2m{self._now().astimezone():%H:%M:%S}\x1b[0m "
        text = [stamp + line for line in lines]
        if self._partial:
            text[0] = "\r" + self._padded(text[0])
            self._partial = False
        return Write(LOG, "\n".join(text) + "\n", append=True)


def _json(path: str, data: Any) -> Write:
    return Write(f"{ROOT}/{path}", data=data)

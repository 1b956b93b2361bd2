"""The events of the simulated build, as the file writes of a BuildRunner project."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

from . import prose
from .clock import Clock, in_words
from .files import ROOT, ProjectFiles, as_json, camel, local, zulu
from .log import BuildLog
from .product import PHASES, PROJECT
from .world import ComponentState, FeatureState, World, Write

__all__ = ["Renderer"]


class Renderer(ProjectFiles):
    """Returns the file writes of each event of a build."""

    def __init__(self, world: Callable[[], World], clock: Clock, rng: random.Random) -> None:
        super().__init__(world, clock, rng)
        self._log = BuildLog(clock)
        self._newest = datetime.min.replace(tzinfo=UTC)
        self._checkpoints: list[dict[str, Any]] = []
        self._outputs = 0

    # -- events ---------------------------------------------------------------------------------------------------

    def begin(self) -> Iterator[Write]:
        """Write the plan, before any work."""
        world = self._world()
        yield self._log.lines(
            f"\x1b[1mBuildRunner\x1b[0m \x1b[36m{PROJECT}\x1b[0m: {len(world.components)} components, "
            f"{len(world.features)} features, 3 workers"
        )
        yield self._context("architecture", prose.architecture(world))
        yield self._context("blockers", prose.blockers([]))
        yield self._context("test-results", prose.test_results(world))
        yield self._phase_file(1)
        yield self._plan()
        yield from self._state()

    def tick(self, lead: FeatureState | None) -> Iterator[Write]:
        """Update the lock files, and the progress line of one feature with a carriage return."""
        yield from self._locks()
        if lead is not None and lead.status == "in_progress" and lead.tasks_done < len(lead.done):
            yield self._log.progress(f"{lead.spec.component} · {lead.spec.tasks[lead.tasks_done]}", lead.progress)

    def work(self, state: FeatureState, what: str) -> Iterator[Write]:
        """Write the progress of a feature: started (``start``), one task finished (``task``), or all (``done``)."""
        spec = state.spec
        name = f"\x1b[36m{spec.component}\x1b[0m {spec.name}"
        if what == "start":
            yield self._log.lines(f"{name}: started, estimated {in_words(self._clock.span(spec.estimate))}")
        elif what == "task":
            task = spec.tasks[max(0, state.tasks_done - 1)]
            yield self._log.lines(f"{name}: {task} \x1b[2m({state.tasks_done}/{len(state.done)})\x1b[0m")
        else:
            took = f" in {in_words(state.duration)}" if state.duration is not None else ""
            yield self._log.lines(f"{name}: \x1b[32mdone\x1b[0m{took}, commit {self._hex(spec.id + 'c')[:7]}")
            phase = self._world().components[spec.component].spec.phase
            yield self._workflow(phase)
        yield from self._state()
        yield self._context("current-work", prose.current_work(self._world()))

    def tests(self, component: ComponentState) -> Iterator[Write]:
        """Write the results of a component's tests."""
        lines = prose.test_run(component)
        yield self._log.lines(*lines)
        self._outputs += 1
        yield Write(
            f"{ROOT}/context/command-outputs.md",
            ("# Command Outputs\n" if self._outputs == 1 else "")
            + prose.command_output(component, zulu(self._clock.now()) or ""),
            append=True,
        )
        yield from self._state()
        yield self._context("test-results", prose.test_results(self._world()))

    def phase_done(self, phase: int) -> Iterator[Write]:
        """Write that all components of a phase are complete."""
        yield self._log.lines(f"\x1b[1;32mPhase {phase} complete\x1b[0m: {PHASES[phase]}")
        yield self._pool(phase)
        yield self._phase_file(min(phase + 1, len(PHASES)))
        yield self._plan()
        yield from self._state(every=True)

    def failed(self, state: FeatureState, *, final: bool) -> Iterator[Write]:
        """Write that a task failed; with ``final``, it is not tried again."""
        error = (state.error or "").splitlines()
        name = f"\x1b[36m{state.spec.component}\x1b[0m {state.spec.name}"
        if not final:
            yield self._log.lines(
                f"{name}: \x1b[33mtask failed, trying again\x1b[0m", *(f"  \x1b[2m{line}\x1b[0m" for line in error)
            )
        else:
            self._failures.append(f"{state.spec.name}: {error[-1]}")
            blocked = sorted(c.spec.name for c in self._world().components.values() if c.status == "blocked")
            yield self._log.lines(
                f"{name}: \x1b[1;31mFAILED\x1b[0m after 1 retry",
                *(f"  \x1b[31m{line}\x1b[0m" for line in error),
                f"  blocked by this: {', '.join(blocked)}",
            )
            yield self._context("blockers", prose.blockers([(state.spec.name, state.error or "", ", ".join(blocked))]))
        yield from self._state(every=final)

    def rollback_decided(self, target: int) -> Iterator[Write]:
        """Write why the build returns to checkpoint number ``target``."""
        name = self._checkpoints[target]["id"]
        yield self._log.lines(
            "\x1b[1;31mload test: 14 of 20,000 slots were booked twice\x1b[0m",
            f"\x1b[33mrolling back to {name}\x1b[0m ({len(self._checkpoints) - target - 1} checkpoints are given up)",
        )
        yield self._context(
            "blockers", prose.blockers([("Double bookings under load", "14 of 20,000 slots were booked twice", name)])
        )

    def checkpoint_status(self, index: int, status: str) -> Iterator[Write]:
        """Rewrite an earlier checkpoint with another status."""
        self._checkpoints[index] = {**self._checkpoints[index], "status": status}
        yield self._checkpoint_file(index)

    def rolled_back(self) -> Iterator[Write]:
        """Rewrite all other files after a rollback, in the state of the restored checkpoint."""
        world = self._world()
        at = next((number for number, status in sorted(world.phases.items()) if status != "complete"), len(PHASES))
        yield self._log.lines(
            "\x1b[32mrolled back\x1b[0m; constraint moved into the database, the rest follows from there"
        )
        yield self._phase_file(at)
        yield self._plan()
        yield from self._state(every=True)
        yield self._context("current-work", prose.current_work(world))
        yield self._context("blockers", prose.blockers([]))

    def grown(self, wave: tuple[str, ...]) -> Iterator[Write]:
        """Write that items were added to the plan."""
        yield self._log.lines(f"\x1b[35mscope change\x1b[0m: added {', '.join(wave)}")
        yield self._context("architecture", prose.architecture(self._world()))
        yield self._plan()
        yield from self._state(every=True)

    def end(self, failed: bool) -> Iterator[Write]:
        """Write the end of the build."""
        if failed:
            yield self._log.lines("\x1b[1;31mBUILD FAILED\x1b[0m", *(f"  {line}" for line in self._failures))
        else:
            world = self._world()
            yield self._log.lines(
                f"\x1b[1;32mBUILD COMPLETE\x1b[0m {len(world.features)} features, {world.commits} commits"
            )
        yield self._plan()
        yield from self._state(every=True)
        yield self._context("current-work", prose.current_work(self._world()))

    # -- build checkpoints ----------------------------------------------------------------------------------------

    def checkpoint(self, phase: str, note: str, by: str) -> Iterator[Write]:
        """Write a new build checkpoint."""
        world, now = self._world(), max(self._clock.now(), self._newest + timedelta(microseconds=211))
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
            "files_created": [p for f in world.features.values() if f.status == "completed" for p in self._files(f)],
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
        return as_json(f"checkpoints/{data['id']}.json", data)

    # -- helpers --------------------------------------------------------------------------------------------------

    def _context(self, name: str, text: str) -> Write:
        return Write(f"{ROOT}/context/{name}.md", text)

"""The simulated build: a discrete-event simulation on a virtual clock, with a seed.

`Simulation` yields steps. A `Step` is what happens at a minute of the virtual clock, as the file writes that a real
build would make. It uses no system clock, no files and no unseeded random numbers: the same scenario, seed and start
give the same writes, byte for byte.
"""

from __future__ import annotations

import copy
import heapq
import random
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import datetime
from itertools import chain
from typing import Final

from .clock import Clock, in_words
from .product import AFTERTHOUGHTS, COMPONENTS, FEATURES, PHASES, PROJECT
from .render import Renderer
from .world import ComponentState, FeatureState, Scenario, Step, World, Write

__all__ = ["Scenario", "Simulation", "Step", "Write"]

WORKERS: Final = 3
TICK: Final = 1.0  # virtual minutes between two updates of the lock files and the progress line
STALL_AT: Final = 0.60  # share of the work that is done when the build stalls
ROLLBACK_AT: Final = 0.55  # share of the work that is done when it is rolled back
ROLLBACK_TO: Final = 0.40  # to the last checkpoint with at most this share
GROWTH_AT: Final = (0.12, 0.26, 0.42, 0.58)  # shares of the final plan at which the scope grows
PRIORITY: Final = {"critical": 0, "high": 1, "medium": 2, "low": 3}
FAILING_FEATURE: Final = "payments.refunds"
ERROR_TEXT: Final = (
    'File "services/payments/refunds.py", line 88, in create_refund\n'
    'ForeignKeyViolation: insert into "refunds" violates "refunds_payment_id_fkey": '
    "key (payment_id)=(pi_3QK9) is not present in payments"
)


@dataclass
class _Job:
    """A task that a worker is doing, and the minutes of its begin and end."""

    feature: str
    task: int
    begin: float
    end: float


class Simulation:
    """One build from its plan to its end.

    Parameters
    ----------
    scenario
        The course of events.
    seed
        The seed of the random numbers.
    start
        The time of the first write, aware.
    pace
        Seconds of file time per second of the virtual clock: 1 for a build of several hours, less for one that is
        played fast.
    dry
        Leave out the writes; the steps have only times and notes.
    only_checkpoints
        Leave out all writes but those of build checkpoints.

    Notes
    -----
    A feature takes its estimate times a lognormal factor (median 1, sigma 0.3), divided among its tasks at random.
    Three workers take the features that are ready: those whose dependencies, and whose component's dependencies, are
    completed.
    """

    def __init__(
        self,
        scenario: Scenario | str,
        seed: int = 0,
        *,
        start: datetime,
        pace: float = 1.0,
        dry: bool = False,
        only_checkpoints: bool = False,
    ) -> None:
        self.scenario = Scenario(scenario)
        self.clock = Clock(start, pace)
        self._dry = dry
        self._only_checkpoints = only_checkpoints
        self._random = random.Random(f"{self.scenario}:{seed}")
        self._events: list[tuple[float, int, str, str]] = []
        self._count = 0
        self._jobs: dict[str, _Job] = {}
        self._waves = self._plan_waves()
        hidden = {item for wave in self._waves for item in wave}
        self.world = World(
            components={spec.id: ComponentState(spec) for spec in COMPONENTS if spec.id not in hidden},
            features={
                spec.id: FeatureState(spec)
                for spec in FEATURES
                if spec.id not in hidden and spec.component not in hidden
            },
            phases=dict.fromkeys(PHASES, "pending"),
        )
        self._final_work = float(sum(spec.estimate for spec in (*FEATURES, *AFTERTHOUGHTS)))
        self._broken: str | None = None
        self._rolled_back = self.scenario is not Scenario.ROLLBACK
        self._saved: list[tuple[float, World]] = []  # one per checkpoint, in the order of writing
        self._is_reversed = False  # after a rollback, the work is done in reverse order of the phases
        # The texts have a generator of their own, so that a dry run takes the same course.
        self._render = Renderer(lambda: self.world, self.clock, random.Random(f"texts:{seed}"))

    # -- time -----------------------------------------------------------------------------------------------------

    def _at(self, minutes: float, kind: str, what: str = "") -> None:
        self._count += 1
        heapq.heappush(self._events, (self.clock.minute + minutes, self._count, kind, what))

    # -- the run --------------------------------------------------------------------------------------------------

    def steps(self) -> Iterator[Step]:
        """Yield every step of the build, in order of time. Can be called once."""
        yield self._step(self._render.begin(), f"{PROJECT}: {len(self.world.features)} features planned")
        self._at(0.4, "assign")
        self._at(TICK, "tick")
        while self._events:
            due, _, kind, what = heapq.heappop(self._events)
            self.clock.minute = max(self.clock.minute, due)  # a rollback has advanced the clock
            if kind == "tick":
                if self._idle():
                    break
                self._move()
                yield self._step(self._render.tick(self._lead()))
                self._at(TICK, "tick")
                continue
            yield from self._handle(kind, what)
            if self.scenario is Scenario.STALL and self.world.share_done() >= STALL_AT:
                return
            if not self._rolled_back and self.world.share_done() >= ROLLBACK_AT:
                yield from self._roll_back()
            yield from self._grow()
        yield from self._finish()

    def _idle(self) -> bool:
        return not self._jobs and not any(kind != "tick" for _, _, kind, _ in self._events)

    def _handle(self, kind: str, what: str) -> Iterator[Step]:
        if kind == "assign":
            yield from self._assign()
        elif kind == "task":
            yield from self._task_done(what)
        elif kind == "verify":
            yield from self._verify(what)
        elif kind == "retry":
            yield from self._retry(what)

    def _step(self, writes: Iterable[Write], note: str = "", *, checkpoint: Iterable[Write] = ()) -> Step:
        written = () if self._dry else tuple(checkpoint if self._only_checkpoints else chain(writes, checkpoint))
        return Step(self.clock.minute, written, note)

    def _move(self) -> None:
        """Update the progress of the features in work by the elapsed time of their current task."""
        for job in self._jobs.values():
            state = self.world.features[job.feature]
            part = (
                min(1.0, (self.clock.minute - job.begin) / (job.end - job.begin))
                if state.status == "in_progress"
                else 0.0
            )
            state.progress = round(100 * (state.tasks_done + 0.9 * part) / len(state.done), 1)

    def _lead(self) -> FeatureState | None:
        return self.world.features[next(iter(self._jobs))] if self._jobs else None

    # -- work -----------------------------------------------------------------------------------------------------

    def _ready(self) -> list[FeatureState]:
        world = self.world

        def completed(dependency: str) -> bool:
            if dependency in world.features:
                return world.features[dependency].status == "completed"
            return dependency not in world.components or world.components[dependency].status == "completed"

        found = [
            state
            for state in world.features.values()
            if (state.status == "pending" or (state.status == "in_progress" and state.spec.id not in self._jobs))
            and world.components[state.spec.component].error is None
            and all(map(completed, world.components[state.spec.component].spec.dependencies))
            and all(map(completed, state.spec.dependencies))
        ]
        turn = -1 if self._is_reversed else 1
        found.sort(
            key=lambda state: (
                state.status != "in_progress",
                turn * world.components[state.spec.component].spec.phase,
                PRIORITY[state.spec.priority],
                state.spec.id,
            )
        )
        return found

    def _assign(self) -> Iterator[Step]:
        for state in self._ready():
            if len(self._jobs) >= WORKERS:
                return
            fresh = state.status == "pending"
            state.status = "in_progress"
            state.started = state.started or self.clock.now()
            component = self.world.components[state.spec.component]
            first = component.status != "in_progress"
            component.status = "in_progress"
            component.started = component.started or self.clock.now()
            phase = component.spec.phase
            if self.world.phases[phase] != "active":
                self.world.phases[phase] = "active"
                self.world.phase_started.setdefault(phase, self.clock.now())
            self._begin_task(state)
            if first:
                yield self._milestone(
                    f"{component.spec.id}_start", f"Started {component.spec.name}", self._render.work(state, "start")
                )
            elif fresh:
                yield self._step(self._render.work(state, "start"))

    def _begin_task(self, state: FeatureState) -> None:
        if not state.minutes:
            state.minutes = round(state.spec.estimate * self._random.lognormvariate(0.0, 0.3), 1)
        share = self._random.uniform(0.7, 1.3) / len(state.done)
        minutes = max(0.5, state.minutes * share)
        index = state.tasks_done
        self._jobs[state.spec.id] = _Job(state.spec.id, index, self.clock.minute, self.clock.minute + minutes)
        self._at(minutes, "task", state.spec.id)

    def _task_done(self, feature: str) -> Iterator[Step]:
        if feature not in self._jobs:  # a rollback has ended the job
            return
        state, job = self.world.features[feature], self._jobs[feature]
        if self.scenario is Scenario.FAILURE and feature == FAILING_FEATURE and job.task == 2:
            yield from self._task_failed(state)
            return
        state.done[job.task] = self.clock.now()
        self._move()
        state.progress = round(100 * state.tasks_done / len(state.done), 1)
        if state.tasks_done < len(state.done):
            self._begin_task(state)
            yield self._step(self._render.work(state, "task"))
            return
        del self._jobs[feature]
        state.status, state.progress, state.ended = "completed", 100.0, self.clock.now()
        self.world.commits += 1
        component = self.world.components[state.spec.component]
        took = in_words(state.ended - (state.started or state.ended))
        yield self._milestone(
            f"{feature.replace('.', '_').replace('-', '_')}_complete",
            f"{component.spec.name}: {state.spec.name} done in {took} "
            f"(planned {in_words(self.clock.span(state.spec.estimate))})",
            self._render.work(state, "done"),
        )
        if all(other.status == "completed" for other in self.world.features_of(component.spec.id)):
            self._at(self._random.uniform(1.5, 4.0), "verify", component.spec.id)
        self._at(self._random.uniform(0.1, 0.5), "assign")

    def _verify(self, name: str) -> Iterator[Step]:
        """Run the tests of a component. With a probability of one in six they fail once and are run again."""
        component = self.world.components[name]
        if component.status != "in_progress" or any(
            other.status != "completed" for other in self.world.features_of(name)
        ):
            return
        component.tests = component.tests or self._random.randint(18, 95)
        component.tests_pass = component.tests_pass is False or self._random.random() > 0.17
        if not component.tests_pass:
            self._at(self._random.uniform(3.0, 6.0), "verify", name)
            yield self._milestone(f"{name}_tests_failing", f"{component.spec.name}: tests fail, mending",
                                  self._render.tests(component))  # fmt: skip
            return
        component.status, component.ended = "completed", self.clock.now()
        yield self._milestone(
            f"{name}_complete", f"{component.spec.name} is complete, {component.tests} tests pass",
            self._render.tests(component),
        )  # fmt: skip
        phase = component.spec.phase
        if all(other.status == "completed" for other in self.world.components.values() if other.spec.phase == phase):
            self.world.phases[phase] = "complete"
            self.clock.minute += 0.05
            yield self._milestone(
                f"build_phase_{phase}_complete", f"Phase {phase} ({PHASES[phase]}) is complete",
                self._render.phase_done(phase), by="cli",
            )  # fmt: skip
        self._at(self._random.uniform(0.1, 0.5), "assign")

    def _milestone(self, phase: str, note: str, writes: Iterable[Write], by: str = "orchestrator") -> Step:
        """Return a step that also writes a checkpoint."""
        self._move()
        world = copy.deepcopy(self.world) if not self._rolled_back else self.world
        self._saved.append((self.world.share_done(), world))
        return self._step(writes, note, checkpoint=self._render.checkpoint(phase, note, by))

    # -- failure --------------------------------------------------------------------------------------------------

    def _task_failed(self, state: FeatureState) -> Iterator[Step]:
        state.error = ERROR_TEXT
        state.retries += 1
        if state.retries == 1:
            yield self._step(self._render.failed(state, final=False), f"{state.spec.name}: a task failed, trying again")
            self._at(self._random.uniform(2.0, 4.0), "retry", state.spec.id)
            return
        del self._jobs[state.spec.id]
        state.status, state.ended = "error", self.clock.now()
        component = self.world.components[state.spec.component]
        component.status, component.error, component.tests_pass = "error", ERROR_TEXT, False
        component.ended = self.clock.now()
        self._broken = component.spec.id
        self._block(component.spec.id)
        yield self._milestone(
            f"{component.spec.id}_failed", f"{component.spec.name} failed: {ERROR_TEXT.splitlines()[-1]}",
            self._render.failed(state, final=True),
        )  # fmt: skip
        self._at(0.3, "assign")

    def _retry(self, feature: str) -> Iterator[Step]:
        state = self.world.features[feature]
        self._begin_task(state)
        yield self._step(self._render.work(state, "task"))

    def _block(self, failed: str) -> None:
        """Block the pending features of the failed component and of all components that depend on it."""
        world = self.world
        lost = {failed}
        while more := {
            name for name, other in world.components.items() if name not in lost and lost & set(other.spec.dependencies)
        }:
            lost |= more
        for name in lost - {failed}:
            world.components[name].status = "blocked"
        for state in world.features.values():
            if state.spec.component in lost and state.status == "pending":
                state.status = "blocked"

    # -- rollback -------------------------------------------------------------------------------------------------

    def _roll_back(self) -> Iterator[Step]:
        self._rolled_back = True
        target = max(i for i, (share, _) in enumerate(self._saved) if share <= ROLLBACK_TO)
        yield self._step(self._render.rollback_decided(target), "Load test finds double bookings: rolling back")
        for index in range(target, len(self._saved)):
            self.clock.minute += 0.12
            status = "active" if index == target else "rolled_back"
            yield self._step((), checkpoint=self._render.checkpoint_status(index, status))
        self.world = copy.deepcopy(self._saved[target][1])
        del self._saved[target + 1 :]
        self._jobs.clear()
        self._events.clear()
        self._is_reversed = True
        for state in self.world.features.values():
            if state.status != "completed":
                state.minutes = 0.0  # its duration is drawn again
        self.clock.minute += 0.3
        yield self._step(self._render.rolled_back(), "Rolled back; going on along another path")
        for name, component in self.world.components.items():
            if component.status == "in_progress" and all(f.status == "completed" for f in self.world.features_of(name)):
                self._at(2.0, "verify", name)
        self._at(0.5, "assign")
        self._at(TICK, "tick")

    # -- growth ---------------------------------------------------------------------------------------------------

    def _plan_waves(self) -> list[tuple[str, ...]]:
        """What is not yet thought of at the start, by the moment when it is."""
        if self.scenario is not Scenario.GROWTH:
            return []
        return [
            ("reminders", "auth.sessions", "patients.export"),
            ("payments", AFTERTHOUGHTS[1].id, "booking.waiting-list"),
            ("booking-site", AFTERTHOUGHTS[2].id),
            ("reporting", AFTERTHOUGHTS[0].id),
        ]

    def _grow(self) -> Iterator[Step]:
        grown = len(GROWTH_AT) - len(self._waves)
        if not self._waves or self.world.share_done(self._final_work) < GROWTH_AT[grown]:
            return
        wave = self._waves.pop(0)
        later = {item for other in self._waves for item in other}
        for spec in COMPONENTS:
            if spec.id in wave:
                self.world.components[spec.id] = ComponentState(spec)
        for spec in (*FEATURES, *AFTERTHOUGHTS):
            if spec.id in wave or (spec.component in wave and spec.id not in later):
                self.world.features[spec.id] = FeatureState(spec)
        for name, component in self.world.components.items():
            if component.status == "completed" and any(f.status == "pending" for f in self.world.features_of(name)):
                component.status, component.ended, component.tests_pass = "in_progress", None, None
            phase = component.spec.phase
            if component.status != "completed" and self.world.phases[phase] == "complete":
                self.world.phases[phase] = "active"
        self.clock.minute += 0.05
        yield self._milestone("scope_change", f"The scope grows: {', '.join(wave)}", self._render.grown(wave), by="cli")
        self._at(0.2, "assign")

    # -- the end --------------------------------------------------------------------------------------------------

    def _finish(self) -> Iterator[Step]:
        failed = self._broken is not None
        for phase, status in self.world.phases.items():
            mine = [other for other in self.world.components.values() if other.spec.phase == phase]
            if any(other.status == "error" for other in mine):
                self.world.phases[phase] = "failed"
            elif status != "complete" and any(other.status == "blocked" for other in mine):
                self.world.phases[phase] = "blocked"
        self.clock.minute += 0.5
        name = "build_failed" if failed else "build_complete"
        note = "The build failed" if failed else "The build is complete"
        yield self._milestone(name, note, self._render.end(failed), by="cli")

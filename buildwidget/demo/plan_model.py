"""The simulated build that is run from a plan: processes on a virtual clock, with a seed.

One process conducts: it claims the phases of a batch and waits for them. Each claimed phase is a process, and so is
whatever lags behind: the plan that does not yet say what its locks say, an amendment that somebody writes meanwhile. A
process is a generator that makes writes and yields the minutes until it goes on.
"""

from __future__ import annotations

import heapq
import random
from collections.abc import Iterator
from datetime import datetime, timedelta
from typing import Final

from .clock import Clock, in_words
from .log import BuildLog
from .plan_courses import COURSES, Failure
from .plan_files import Lock, PlanFiles
from .plan_product import ADDED, BATCHES, BUILD, DECISIONS, FINISHED, PHASES, PlanSpec
from .plan_text import PlanPhase, PlanState
from .world import Scenario, Step, Write

__all__ = ["PlanSimulation"]

Process = Iterator[float]

HOSTS: Final = ("workbench", "annex")
WORK: Final = 1.5  # what review and verification add to the planned work
BEAT: Final = 7.0  # minutes between two heartbeats at most
WRITTEN: Final = timedelta(minutes=5)  # the age of the plan when its build begins
LEFT_BEHIND: Final = "2"  # the phase whose lock nobody removes
#: The index of each step, and its share of the work of a phase.
SHARES: Final = ((0, 0.04), (1, 0.03), (2, 0.12), (4, 0.58), (5, 0.12), (6, 0.07), (7, 0.04))
PLAN: Final = 2
EXECUTE: Final = 4
REPORTED: Final = (0, 4, 7)  # the steps at which progress.json is written


class PlanSimulation:
    """One build by a plan, from its plan to its end.

    Parameters
    ----------
    scenario, seed, start, pace, dry
        As of `buildwidget.demo.model.Simulation`.
    """

    def __init__(
        self, scenario: Scenario | str, seed: int = 0, *, start: datetime, pace: float = 1.0, dry: bool = False
    ) -> None:
        self.scenario = Scenario(scenario)
        self.clock = Clock(start, pace)
        self.locks: dict[str, Lock] = {}
        self.plan = PlanState(BUILD.slug, BUILD.title, f"{start:%Y-%m-%d}", [PlanPhase(spec) for spec in PHASES])
        self._files = PlanFiles(self.clock, self.plan)
        self._log = BuildLog(self.clock)
        self._dry = dry
        self._random = random.Random(f"{self.scenario}:{seed}")
        self._queue: list[tuple[str, ...]] = list(BATCHES)
        self._batch = 0
        self._working: set[str] = set()  # the phases whose process goes on
        self._events: list[tuple[float, int, Process]] = []
        self._count = 0
        self._writes: list[Write] = []
        self._note = ""
        self._over = False
        self._stuck: list[str] = []  # the phases that nobody works on any more
        course = COURSES[self.scenario]
        self._amendments = list(course.amendments)
        self._amending = 0  # amendments that are being written
        self._failures = dict(course.failures)
        self._stalls, self._undone = course.stalls, course.undone

    # -- the run --------------------------------------------------------------------------------------------------

    def steps(self) -> Iterator[Step]:
        """Yield every step of the build, in order of time. Can be called once."""
        self._start(self._conduct())
        self._start(self._tick())
        while self._events:
            self.clock.minute, _, process = heapq.heappop(self._events)
            self._writes, self._note = [], ""
            delay = next(process, None)
            if self._writes or self._note:
                yield Step(self.clock.minute, () if self._dry else tuple(self._writes), self._note)
            if delay is not None:
                self._start(process, delay)

    def _start(self, process: Process, delay: float = 0.0) -> None:
        self._count += 1
        heapq.heappush(self._events, (self.clock.minute + delay, self._count, process))

    def _between(self, low: float, high: float) -> float:
        return self._random.uniform(low, high)

    def _tell(self, note: str) -> None:
        self._note = note

    def _write(self, *writes: Write) -> None:
        self._writes += writes

    def _say(self, *lines: str) -> None:
        self._write(self._log.lines(*lines))

    def _tick(self) -> Process:
        """Write the progress line of the phase that was claimed last."""
        while not self._over:
            lock = next((lock for lock in reversed(self.locks.values()) if lock.current), None)
            if lock is not None:
                percent = 100 * lock.worked / len(lock.spec.deliverables)
                self._write(self._log.progress(f"phase {lock.spec.id} · {lock.current}", percent))
            yield 1.0

    # -- the conductor --------------------------------------------------------------------------------------------

    def _conduct(self) -> Process:
        self._begin()
        yield 1.0
        while (self._queue or self._amending) and not self._stuck:
            if not self._queue:
                yield 0.5
                continue
            yield from self._run_batch(self._queue.pop(0))
            if self._undone and all(self.plan.phase(id_).complete for id_ in self._undone):
                yield from self._roll_back()
        self._over = True
        self._end()

    def _run_batch(self, batch: tuple[str, ...]) -> Process:
        self._batch += 1
        ids = ",".join(batch)
        self._write(
            self._files.journal(f"autopilot: dispatched batch={self._batch} phases={ids} build=BUILD_{self.plan.slug}")
        )
        self._say(f"\x1b[1mbatch {self._batch}\x1b[0m: phases {ids}")
        for number, id_ in enumerate(batch):
            self._working.add(id_)
            self._start(self._work(id_, HOSTS[number % len(HOSTS)]))
            yield self._between(0.5, 2.5)
        while self._working:
            yield 0.5
        yield self._between(1.0, 3.0)

    def _end(self) -> None:
        failed = [id_ for id_ in self._stuck if id_ in self._failures]
        if failed:
            self._say(f"\x1b[1;31mBUILD STOPPED\x1b[0m phase {', '.join(failed)} failed; nobody claims it again")
            self._tell("The build has stopped")
        elif not self._stuck:  # a build that stalls does not say so
            self._say(f"\x1b[1;32mBUILD COMPLETE\x1b[0m {self.plan.done} phases")
            self._tell("The build is complete")

    def _begin(self) -> None:
        count = len(self.plan.phases)
        self._write(
            # Before those of earlier weeks, and as old as a plan is that can be read at once: a project is not finished
            # for a moment.
            self._files.any_plan(self.plan, self.clock.at(0) - WRITTEN),
            *map(self._finished, FINISHED),
            self._files.batches(self._queue),
            self._files.journal(f"Created build spec: {self.plan.slug} with {count} phases", tag="DECISION"),
        )
        self._say(f"\x1b[1mBuildRunner\x1b[0m \x1b[36m{self.plan.slug}\x1b[0m: {count} phases, {len(HOSTS)} hosts")
        self._tell(f"{self.plan.title}: {count} phases planned")

    def _finished(self, spec: PlanSpec) -> Write:
        """Return a plan of an earlier week. Its date is of that time, and so is its file."""
        at = self.clock.at(0) - timedelta(days=spec.age)
        phases = [PlanPhase(phase) for phase in spec.phases]
        for phase in phases:
            phase.finish(ticked=spec.ticked)
        plan = PlanState(spec.slug, spec.title, f"{at:%Y-%m-%d}", phases, log=[f"- {at:%Y-%m-%d}: all phases complete"])
        plan.update_header()
        return self._files.any_plan(plan, at)

    # -- a phase --------------------------------------------------------------------------------------------------

    def _claim(self, id_: str, host: str) -> Lock:
        lock = Lock(self.plan.phase(id_).spec, host, self.clock.now(), reports=self._random.random() > 0.2)
        self.locks[id_] = lock
        self._write(*self._files.claim(lock), self._files.current_phase(lock))
        self._write(self._files.journal(f"phase-{id_}: START host={host}"))
        self._say(f"\x1b[36mphase {id_}\x1b[0m {lock.spec.title}: claimed by {host}")
        self._tell(f"Phase {id_} claimed: {lock.spec.title}")
        if self._random.random() < 0.6:  # else the plan never says that it is in progress
            self._start(self._mark(id_), self._between(5.0, 15.0))
        return lock

    def _mark(self, id_: str) -> Process:
        """Say in the plan what its lock has long said."""
        if id_ in self._working:
            self.plan.phase(id_).start()
            self._write(self._files.plan())
        yield from ()

    def _work(self, id_: str, host: str) -> Process:
        lock = self._claim(id_, host)
        failure = self._failures.get(id_)
        minutes = lock.spec.minutes * WORK * self._random.lognormvariate(0.0, 0.2)
        for index, share in SHARES:
            lock.step = index
            self._write(self._files.heartbeat(lock))
            if lock.reports and index in REPORTED:
                self._write(self._files.progress(lock))
            if index == PLAN and id_ in DECISIONS:
                self._write(self._files.journal(f"Phase {id_}: {DECISIONS[id_]}", tag="ARCHITECTURE"))
            tasks = lock.spec.deliverables if index == EXECUTE else [""]
            for number, task in enumerate(tasks):
                if task and number == len(tasks) // 2 and (failure is not None or id_ == self._stalls):
                    yield from self._break_off(lock, failure)
                    return
                lock.current, lock.worked = task or None, number
                yield from self._busy(lock, minutes * share / len(tasks) * self._between(0.8, 1.2))
                if task:
                    self._say(f"\x1b[36mphase {id_}\x1b[0m {task} \x1b[2m({number + 1}/{len(tasks)})\x1b[0m")
            lock.current = None
            if index == EXECUTE:
                lock.tasks_done = len(tasks)
        yield from self._complete(lock)

    def _break_off(self, lock: Lock, failure: Failure | None) -> Process:
        """The session of a phase ends, with a code or without a word. Its lock stays."""
        id_ = lock.spec.id
        lock.current = None
        if failure is None or not failure.again:
            self._stuck.append(id_)
        if failure is None:
            self._working.discard(id_)
            return
        yield self._between(1.5, 3.0)  # after its last heartbeat
        self._write(self._files.exit_status(lock, failure.code))
        self._say(
            f"\x1b[36mphase {id_}\x1b[0m {lock.spec.title}: \x1b[1;31msession ended with code {failure.code}\x1b[0m",
            *(f"  \x1b[31m{line}\x1b[0m" for line in failure.error),
        )
        self._tell(f"Phase {id_}: its session ended with code {failure.code}")
        if not failure.again:
            self._working.discard(id_)
            return
        yield self._between(20.0, 28.0)
        del self._failures[id_]
        self._write(
            self._files.release(lock), self._files.journal(f"Reclaim stale lock of phase {id_}", tag="DECISION")
        )
        yield from self._work(id_, next(host for host in HOSTS if host != lock.host))

    def _busy(self, lock: Lock, minutes: float) -> Process:
        """Work for a time, with a heartbeat now and then."""
        while minutes > BEAT:
            pause = self._between(0.6, 1.0) * BEAT
            yield pause
            minutes -= pause
            self._write(self._files.heartbeat(lock))
        yield minutes
        self._write(self._files.heartbeat(lock))

    def _complete(self, lock: Lock) -> Process:
        """The plan says so first; the lock goes a little later, or never."""
        id_, phase = lock.spec.id, self.plan.phase(lock.spec.id)
        if lock.reports and self._random.random() < 0.5:
            lock.complete = True
            self._write(self._files.progress(lock))
            yield self._between(0.5, 1.5)
        phase.finish()
        self.plan.log.append(f"- {self.clock.now():%Y-%m-%d}: Phase {id_} complete ({lock.spec.title})")
        self.plan.update_header()
        sha = f"{self._random.getrandbits(28):07x}"
        took = in_words(self.clock.now() - lock.claimed)
        self._write(
            self._files.plan(),
            self._files.no_current_phase(),
            self._files.journal(f"autopilot-phase-{id_}: COMPLETE sha={sha}"),
        )
        self._say(f"\x1b[36mphase {id_}\x1b[0m {lock.spec.title}: \x1b[32mcomplete\x1b[0m in {took}, commit {sha}")
        self._tell(f"Phase {id_} complete in {took}: {lock.spec.title}")
        self._amend_soon()
        yield self._between(2.0, 5.0)
        del self.locks[id_]
        if id_ != LEFT_BEHIND:
            self._write(self._files.release(lock))
        self._working.discard(id_)

    def _roll_back(self) -> Process:
        """Phases that were complete have not been started, after all."""
        ids, self._undone = self._undone, ()
        names = " and ".join(f"Phase {id_}" for id_ in ids)
        self._say(
            "\x1b[1;31mload test: 14 of 20,000 slots were booked twice\x1b[0m", f"\x1b[33mtaking back {names}\x1b[0m"
        )
        self._tell(f"Load test finds double bookings: {names} taken back")
        for id_ in ids:
            self.plan.phase(id_).reset()
        self.plan.log.append(f"- {self.clock.now():%Y-%m-%d}: {names} taken back, 14 of 20,000 slots were booked twice")
        self.plan.update_header()
        self._write(
            self._files.plan(),
            self._files.journal(f"{names} taken back: a slot must be unique in the database itself", tag="DECISION"),
        )
        self._queue[:0] = [(id_,) for id_ in ids]
        yield self._between(8.0, 15.0)

    # -- amendments -----------------------------------------------------------------------------------------------

    def _amend_soon(self) -> None:
        if self._amendments and self.plan.done >= self._amendments[0][0]:
            self._amending += 1
            self._start(self._amend(self._amendments.pop(0)[1]), self._between(6.0, 14.0))

    def _amend(self, ids: tuple[str, ...]) -> Process:
        """Add phases to the plan while it is built."""
        today = f"{self.clock.now():%Y-%m-%d}"
        specs = [spec for spec in ADDED if spec.id in ids]
        self.plan.phases += [PlanPhase(spec, added=today) for spec in specs]
        names = ", ".join(f"Phase {spec.id} ({spec.title})" for spec in specs)
        self.plan.log.append(f"- {today}: Amended with {names}")
        self.plan.update_header()
        self._queue.append(ids)
        self._amending -= 1
        self._write(
            self._files.plan(), self._files.journal(f"Added {names} to BUILD_{self.plan.slug}", tag="AMENDMENT")
        )
        self._say(f"\x1b[35mplan amended\x1b[0m: {names}")
        self._tell(f"The plan is amended: {names}")
        yield from ()

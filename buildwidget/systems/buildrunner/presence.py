"""Which builds are present, and the verdict on them. Each build is summed up once; they are kept in order of time.

The order of evidence:

1. a lock that is not over: everything within 30 minutes of the newest one is present together;
2. the plans written last, if a phase in them is in progress; or, if they are neither running nor complete, the plans
   that ran within a day of them;
3. a session that was saved, if that is the newest;
4. the plan of the last finished lock; the plan written last; of plans written together, those with the newest date in
   them, and of these the begun ones.
"""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Final, NamedTuple

from ...model import BuildStatus, Status
from ...ordered import Ordered
from ...progress import CLAIMS_SILENT_AFTER, SETTLED, rounded
from ..verdict import TOGETHER, Verdict
from .one_build import feature_id
from .owners import EPOCH, REWRITE, written

if TYPE_CHECKING:
    from collections.abc import Iterable

    from ..record import Record
    from .lock_folders import Lock
    from .one_build import Build, PhaseState

__all__ = ["NAME", "Presence", "Saved"]

NAME: Final = "buildrunner"
_DAY: Final = timedelta(days=1)
_HOUR: Final = timedelta(hours=1)


class Saved(NamedTuple):
    """The build of a session that was saved, when that was, and the last sign of life of any lock."""

    slug: str
    at: datetime
    newest_lock: datetime


class _OfLock(NamedTuple):
    slug: str
    folder: str


class _Sign(NamedTuple):
    """A sign of work on a phase."""

    slug: str
    phase: PhaseState

    @property
    def at(self) -> datetime:
        return self.phase.at or EPOCH

    @property
    def words(self) -> str:
        lock = self.phase.lock
        if lock is not None and self.phase.at == lock.at:
            return _words(lock, self.phase.id)
        return f"plan {self.slug} written"


class _Summary(NamedTuple):
    """What the verdict takes from one build."""

    counted: int
    completed: int
    running: int
    known: bool
    statuses: frozenset[Status]
    started: datetime | None
    newest: _Sign | None
    newest_running: _Sign | None


class _Present(NamedTuple):
    """The present builds, the rule that chose them, and when the clock alone may choose others."""

    slugs: list[str]
    why: str
    until: datetime | None = None


class Presence:
    """The builds of a project in the orders in which they are looked for."""

    def __init__(self) -> None:
        self._summaries: dict[str, _Summary] = {}
        self._live: Ordered[_OfLock] = Ordered()
        self._over: Ordered[_OfLock] = Ordered()
        self._written: Ordered[str] = Ordered()  # plans
        self._running: Ordered[str] = Ordered()  # builds, by the last sign of work
        self._running_plans: Ordered[str] = Ordered()
        self._dates: dict[str, str] = {}  # plan -> the newest date in it
        self._locks: dict[str, list[_OfLock]] = {}

    def put(self, slug: str, build: Build | None, plan: Record | None) -> None:
        """Take a build as it was decided now, and the record of its plan; None if there is no such build."""
        for lock in self._locks.pop(slug, ()):
            self._live.drop(lock)
            self._over.drop(lock)
        if build is None:
            self._summaries.pop(slug, None)
            self._dates.pop(slug, None)
            for order in (self._written, self._running, self._running_plans):
                order.drop(slug)
            return
        self._summaries[slug] = _summed_up(build)
        for order, locks in ((self._live, build.live), (self._over, build.over)):
            for lock in locks:
                key = _OfLock(slug, lock.folder)
                order.put(key, lock.at)
                self._locks.setdefault(slug, []).append(key)
        running = build.running_at
        self._running.put_if(slug, running)
        self._running_plans.put_if(slug, running if plan is not None else None)
        self._written.put_if(slug, written(plan) if plan is not None else None)
        if plan is not None:
            self._dates[slug] = plan.detail.newest_date
        else:
            self._dates.pop(slug, None)

    def verdict(self, now: datetime, saved: Saved | None, free: list[Lock]) -> Verdict:
        """The verdict on what is present.

        Parameters
        ----------
        now
            The present time.
        saved
            The session that was saved, if there is one.
        free
            The locks that belong to no build.
        """
        present = self._present(now, saved)
        if not present.slugs:
            return _of_unclaimed(free)
        builds = [self._summaries[slug] for slug in present.slugs if slug in self._summaries]
        total = sum(build.counted for build in builds)
        done = sum(build.completed for build in builds)
        running = sum(build.running for build in builds)
        known = any(build.known for build in builds)
        percent = rounded(100 * done / total) if total and known else None
        working = _newest(build.newest_running for build in builds)
        sign = working or _newest(build.newest for build in builds)
        return Verdict(
            system=NAME,
            present=tuple(present.slugs),
            why=present.why,
            total=total,
            completed=done,
            running=running,
            percent=percent,
            low=percent if running else None,
            high=rounded(100 * (done + running) / total) if running and percent is not None else None,
            status=_status(builds, known=known),
            evidence_at=sign.phase.at if sign else None,
            evidence=sign.words if sign else None,
            silent_after=CLAIMS_SILENT_AFTER,
            component=working.slug if working else present.slugs[0],
            feature=feature_id(working.slug, working.phase.id) if working else None,
            phase=(working.phase.title or working.phase.id) if working else None,
            started_at=min((build.started for build in builds if build.started is not None), default=None),
            valid_until=present.until,
        )

    def _present(self, now: datetime, saved: Saved | None) -> _Present:
        newest: datetime = self._live.highest or EPOCH
        newest_plan: datetime = self._written.highest or EPOCH
        if len(self._live) and (newest >= now - _DAY or newest >= newest_plan):
            slugs = {lock.slug for lock in self._live.since(newest - TOGETHER)}
            slugs.update(self._running_plans.since(newest - TOGETHER))
            return _Present(sorted(slugs), "the newest locks", newest + _DAY if newest < newest_plan else None)
        recent = self._written.since(newest_plan - REWRITE)
        begun = sorted(slug for slug in recent if slug in self._running)
        if begun:
            return _Present(begun, "the plan written last, in progress")
        lately = self._over.since(newest_plan - _HOUR)
        last = self._running_plans.highest
        is_idle = bool(recent) and not lately and not any(self._is_closed(slug) for slug in recent)
        if is_idle and last is not None and last >= newest_plan - _DAY:
            return _Present(sorted(self._running_plans.since(last - TOGETHER)), "plans in progress")
        if saved is not None and saved.slug in self._summaries and saved.at >= max(newest_plan, saved.newest_lock):
            return _Present([saved.slug], "a saved session")
        if not recent:
            slugs = {lock.slug for lock in self._over.keys}
            return _Present(sorted(slugs), "the last lock" if slugs else "")
        if lately:
            alone = recent if len(recent) == 1 else ()
            return _Present(sorted({lately[-1].slug, *alone}), "the last finished lock")
        return self._last_written(recent)

    def _last_written(self, recent: list[str]) -> _Present:
        if len(recent) == 1:
            return _Present(recent, "the plan written last")
        best = max(self._dates[slug] for slug in recent)
        chosen = sorted(slug for slug in recent if self._dates[slug] == best)
        begun = [slug for slug in chosen if self._summaries[slug].statuses & SETTLED]
        return _Present(begun or chosen, "plans written together, by the newest date in them")

    def _is_closed(self, slug: str) -> bool:
        statuses = self._summaries[slug].statuses
        return bool(statuses) and statuses <= SETTLED


def _summed_up(build: Build) -> _Summary:
    slug = build.evidence.slug
    counted = build.counted
    phases = list(build.phases.values())
    signs = [_Sign(slug, phase) for phase in phases if phase.at is not None]
    return _Summary(
        counted=len(counted),
        completed=sum(phase.status is Status.COMPLETED for phase in counted),
        running=sum(phase.status is Status.IN_PROGRESS for phase in counted),
        known=any(phase.status is not Status.UNKNOWN for phase in counted),
        statuses=frozenset(phase.status for phase in phases),
        started=min((phase.lock.claimed for phase in phases if phase.lock is not None), default=None),
        newest=_newest(signs),
        newest_running=_newest(sign for sign in signs if sign.phase.status is Status.IN_PROGRESS),
    )


def _newest(signs: Iterable[_Sign | None]) -> _Sign | None:
    return max((sign for sign in signs if sign is not None), key=lambda sign: (sign.at, sign.phase.id), default=None)


def _of_unclaimed(free: list[Lock]) -> Verdict:
    """The verdict where nothing tells which build the locks belong to: somebody works, on what is not known."""
    newest = max(free, key=lambda lock: (lock.finished is None, lock.at, lock.folder), default=None)
    if newest is None:
        return Verdict(system=NAME)
    runs = newest.finished is None
    return Verdict(
        system=NAME,
        why="locks that name no build",
        running=sum(lock.finished is None for lock in free),
        status=BuildStatus.IN_PROGRESS if runs else BuildStatus.UNKNOWN,
        evidence_at=newest.at,
        evidence=_words(newest),
        silent_after=CLAIMS_SILENT_AFTER,
        phase=(newest.name or newest.phase) if runs else None,
        started_at=min(lock.claimed for lock in free),
    )


def _words(lock: Lock, phase: str = "") -> str:
    """The last sign of life of a lock, in words."""
    beat = lock.heartbeat
    what = "heartbeat" if beat is not None and lock.at - beat <= REWRITE else "lock"
    return f"{what} of phase {phase or lock.phase}" + (f" · {lock.host}" if lock.host else "")


def _status(builds: list[_Summary], *, known: bool) -> BuildStatus:
    seen = frozenset[Status]().union(*(build.statuses for build in builds))
    if not known or not seen:
        return BuildStatus.UNKNOWN
    if Status.ERROR in seen and Status.IN_PROGRESS not in seen:
        return BuildStatus.FAILED
    if seen <= SETTLED:
        return BuildStatus.COMPLETED
    if seen & {Status.IN_PROGRESS, Status.COMPLETED}:
        return BuildStatus.IN_PROGRESS
    return BuildStatus.PENDING

"""All builds of a project: which plan each lock belongs to, and which builds are present.

`Builds` is told of records one by one and decides anew only what can have changed: a heartbeat concerns one build. The
order of evidence:

1. a lock that is not over: everything within 30 minutes of the newest one is present together;
2. the plans written last, if a phase in them is in progress; or, if they are neither running nor complete, the plans
   that ran within a day of them;
3. a session that was saved, if that is the newest;
4. the plan of the last finished lock; the plan written last; of plans written together, those with the newest date in
   them, and of these the begun ones.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from ...model import BuildStatus, Component, Feature, Phase, Status
from ...progress import CLAIMS_SILENT_AFTER, rounded
from ..record import Record, Shape
from ..verdict import Verdict
from .claims import folder_of
from .journal import Approval, Journal, SavedSession
from .lock_folders import LOCK_SHAPES, Lock, lock_of, phase_of, same_build, words_of
from .one_build import SETTLED, Build, Evidence, Released, decide, feature_id, items_of
from .plan import Plan, PlanPhase, slug_of
from .project import Batches, CurrentPhase

if TYPE_CHECKING:
    from collections.abc import Iterable

__all__ = ["NAME", "Builds", "Settled"]

NAME: Final = "buildrunner"
_TOGETHER: Final = timedelta(minutes=30)
_DAY: Final = timedelta(days=1)
_HOUR: Final = timedelta(hours=1)
_REWRITE: Final = timedelta(minutes=1)  # plans written within it were written together
_OVERLAP: Final = 0.6  # of the words of a lock's name that the title of its phase must hold
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)

_SHAPES: Final = frozenset({Shape.PLAN, Shape.JOURNAL, Shape.SAVED, Shape.CURRENT_PHASE, Shape.BATCHES, *LOCK_SHAPES})


class Settled(NamedTuple):
    """What `Builds.settle` decided anew: builds by their ids, and whether locks that belong to none may differ."""

    builds: set[str]
    unclaimed: bool


class Builds:
    """The builds of one project. Pure: the clock is an argument."""

    def __init__(self) -> None:
        self._plans: dict[str, Record] = {}  # slug -> its record
        self._folders: dict[str, dict[Shape, Record]] = {}
        self._locks: dict[str, Lock] = {}
        self._leaving: dict[str, tuple[Lock, str | None]] = {}  # a folder that is being removed -> what it was
        self._owner: dict[str, str | None] = {}  # folder -> slug
        self._of_build: dict[str, list[Lock]] = {}
        self._single: dict[Shape, Record] = {}  # journal, saved session, current phase, batches
        self._released: dict[str, dict[str, Released]] = {}
        self._builds: dict[str, Build] = {}
        self._items: dict[str, tuple[Component, list[Feature]]] = {}
        self._stale: set[str] = set()  # builds to decide anew
        self._reassign = False
        self._copied = False
        self._batch_owner: str | None = None

    # -- input ----------------------------------------------------------------------------------------------------

    @property
    def active(self) -> bool:
        """Whether plans or locks exist: then they decide, and no registry does."""
        return bool(self._plans) or any(lock.has_claim for lock in self._locks.values())

    @staticmethod
    def knows(shape: Shape) -> bool:
        """Whether files of a kind are read by this class."""
        return shape in _SHAPES

    @staticmethod
    def concerns(record: Record) -> bool:
        """Whether a record is of a kind that this class reads."""
        return record.shape in _SHAPES

    def update(self, path: str, record: Record | None, shape: Shape) -> None:
        """Take the new record of a file; None if the file is gone. ``shape`` is that of the file."""
        match shape:
            case Shape.PLAN:
                self._update_plan(slug_of(path), record)
            case Shape.JOURNAL | Shape.SAVED | Shape.CURRENT_PHASE | Shape.BATCHES:
                self._update_single(shape, record)
            case _:
                self._update_lock(folder_of(path), shape, record)

    def _update_plan(self, slug: str, record: Record | None) -> None:
        self._reassign = self._reassign or (slug in self._plans) != (record is not None and self._has_phases(record))
        self._reassign = self._reassign or self._depends_on_time()
        if record is None or not self._has_phases(record):
            self._plans.pop(slug, None)
        else:
            if slug in self._plans and self._names(self._plans[slug]) != self._names(record):
                self._reassign = True
            self._plans[slug] = record
        self._stale.add(slug)

    @staticmethod
    def _has_phases(record: Record) -> bool:
        return isinstance(record.detail, Plan) and bool(record.detail.phases)

    @staticmethod
    def _names(record: Record) -> list[tuple[str, str, Status]]:
        return [(phase.id, phase.title, phase.status) for phase in record.detail.phases]

    def _update_single(self, shape: Shape, record: Record | None) -> None:
        before = self._single.pop(shape, None)
        if record is not None:
            self._single[shape] = record
        if shape is Shape.CURRENT_PHASE:
            self._reassign = True
        for one in (before, record):
            detail: Any = one.detail if one is not None else None
            if isinstance(detail, Journal):
                self._stale.update(approval.build for approval in detail.approvals)
            elif isinstance(detail, SavedSession):
                self._stale.update(filter(None, [same_build(detail.build, self._plans)]))
            elif isinstance(detail, Batches):
                self._reassign = True

    def _update_lock(self, folder: str, shape: Shape, record: Record | None) -> None:
        files = self._folders.setdefault(folder, {})
        if record is None:
            files.pop(shape, None)
        else:
            files[shape] = record
        before = self._locks.get(folder)
        if record is not None:
            self._leaving.pop(folder, None)
        elif before is not None:  # the files of a folder go one by one, and each takes with it what it said
            self._leaving.setdefault(folder, (before, self._owner.get(folder)))
        lock = lock_of(folder, files, copied=self._copied) if files else None
        if lock is None:
            self._folders.pop(folder, None)
            self._locks.pop(folder, None)
            if folder in self._leaving:
                self._release(*self._leaving.pop(folder))
                self._reassign = True
            return
        self._locks[folder] = lock
        owner = self._owner.get(folder)
        if before is None or before.facts() != lock.facts() or owner is None or self._depends_on_time():
            self._reassign = True
        else:
            locks = self._of_build.get(owner, [])
            self._of_build[owner] = [lock if one.folder == folder else one for one in locks]
        if owner is not None:
            self._stale.add(owner)

    def _depends_on_time(self) -> bool:
        """Whether owners may depend on what was written last: a lock, or the list of batches, names no build."""
        return Shape.BATCHES in self._single or any(lock.said is None for lock in self._locks.values())

    def _release(self, lock: Lock, slug: str | None) -> None:
        """Remember a lock that went while the plan of its build, ``slug``, did not say that its phase is over."""
        if slug is None:
            return
        key = lock.phase.lower()
        if any(other.phase.lower() == key for other in self._of_build.get(slug, ()) if other.folder != lock.folder):
            return
        record = self._plans.get(slug)
        said = Status.UNKNOWN
        if record is not None:
            said = next((phase.status for phase in record.detail.phases if phase.id.lower() == key), Status.UNKNOWN)
        if said in SETTLED:
            return
        known = self._builds.get(slug)
        finished = lock.finished is not None or (
            known is not None and key in known.phases and known.phases[key].status is Status.COMPLETED
        )
        self._released.setdefault(slug, {})[key] = Released(lock.at, finished, said)
        self._stale.add(slug)

    def set_copied(self, copied: bool) -> None:
        """Say whether the folder is a copy: then the files' own times prove nothing."""
        if copied == self._copied:
            return
        self._copied = copied
        for folder, files in self._folders.items():
            lock = lock_of(folder, files, copied=copied)
            if lock is not None:
                self._locks[folder] = lock
        self._reassign = True

    # -- deciding -------------------------------------------------------------------------------------------------

    def settle(self) -> Settled:
        """Decide what may have changed, and return which items may be different."""
        if self._reassign:
            self._assign()
            self._reassign = False
        stale, self._stale = self._stale, set()
        for slug in stale:
            evidence = self._evidence(slug)
            if evidence.plan is None and not evidence.locks and not evidence.released:
                self._builds.pop(slug, None)
                self._items.pop(slug, None)
                continue
            build = decide(evidence)
            self._builds[slug] = build
            self._items[slug] = items_of(build)
        return Settled(stale, unclaimed=True)

    @property
    def ids(self) -> set[str]:
        """The ids of all builds."""
        return set(self._builds)

    def items(self, slug: str) -> tuple[Component, list[Feature]] | None:
        """The plan and its phases as items; None if there is no such build."""
        return self._items.get(slug)

    @property
    def journal(self) -> Record | None:
        """The record of the journal."""
        return self._single.get(Shape.JOURNAL)

    def phases(self, slug: str) -> list[tuple[Phase, datetime]]:
        """The locks of a build, as phases in execution, and the last sign of life of each."""
        build = self._builds.get(slug)
        if build is None:
            return []
        known = slug if self.active else None
        found: list[tuple[Phase, datetime]] = []
        for lock in build.evidence.locks:
            phase = build.phases.get(lock.phase.lower())
            feature = feature_id(slug, phase.id) if phase is not None and known else None
            found.append((phase_of(lock, known, feature, over=lock in build.over), lock.at))
        return found

    @property
    def unclaimed(self) -> list[tuple[Phase, datetime]]:
        """The locks that belong to no build."""
        return [(phase_of(lock, None, None, over=False), lock.at) for lock in self._free]

    @property
    def _free(self) -> list[Lock]:
        return [lock for folder, lock in self._locks.items() if not self._owner.get(folder)]

    def _evidence(self, slug: str) -> Evidence:
        record = self._plans.get(slug)
        journal, saved, batches = (self._single.get(shape) for shape in (Shape.JOURNAL, Shape.SAVED, Shape.BATCHES))
        approvals: Iterable[Approval] = journal.detail.approvals if journal is not None else ()
        session: SavedSession | None = saved.detail if saved is not None else None
        is_saved = session is not None and same_build(session.build, self._plans) == slug
        listed: Batches = batches.detail if batches is not None and self._batch_owner == slug else Batches()
        released = self._released.get(slug, {})
        if record is not None and released:
            released = {key: value for key, value in released.items() if not self._has_spoken(record, key, value)}
            self._released[slug] = released
        return Evidence(
            slug=slug,
            plan=record.detail if record is not None else None,
            path=record.path if record is not None else None,
            written=record.written if record is not None else None,
            locks=tuple(sorted(self._of_build.get(slug, ()), key=lambda lock: lock.folder)),
            approvals=tuple(approval for approval in approvals if approval.build == slug),
            journal=journal.path if journal is not None else "",
            batches=tuple(listed.phases),
            blocked=tuple(listed.blocked),
            batches_path=batches.path if batches is not None else "",
            saved=session.last_completed if session is not None and is_saved else None,
            saved_path=saved.path if saved is not None else "",
            released=dict(released),
        )

    @staticmethod
    def _has_spoken(record: Record, key: str, released: Released) -> bool:
        """Whether the plan says something else of a phase than when its lock went."""
        return any(phase.id.lower() == key and phase.status is not released.said for phase in record.detail.phases)

    # -- which lock belongs to which build ------------------------------------------------------------------------

    def _assign(self) -> None:
        before = self._owner
        owner: dict[str, str | None] = {}
        newest: dict[str, datetime] = {}  # build -> its newest lock
        for folder, lock in self._locks.items():
            slug = (same_build(lock.said, self._plans) or lock.said) if lock.said else None
            owner[folder] = slug
            if slug:
                newest[slug] = max(newest.get(slug, _EPOCH), lock.at)
        named = {folder for folder, slug in owner.items() if slug}
        for folder in sorted(self._locks):
            if folder not in named:
                owner[folder] = self._guess(self._locks[folder], owner, newest)
        self._owner = owner
        self._of_build = {}
        for folder, slug in owner.items():
            if slug:
                self._of_build.setdefault(slug, []).append(self._locks[folder])
        self._stale.update(slug for slug in {*before.values(), *owner.values()} if slug)
        batches = self._single.get(Shape.BATCHES)
        previous, self._batch_owner = self._batch_owner, None
        if batches is not None and isinstance(batches.detail, Batches):
            self._batch_owner = self._owner_of_batches(batches.detail)
        self._stale.update(filter(None, [previous, self._batch_owner]))

    def _guess(self, lock: Lock, owner: dict[str, str | None], newest: dict[str, datetime]) -> str | None:
        """The build of a lock that names none: by the name of its phase, by what else is written now."""
        key = lock.phase.lower()
        having = [slug for slug in self._plans if self._phase(slug, key) is not None]
        words = words_of(lock.name)
        found = [slug for slug in having if words and self._is_titled(slug, key, words)]
        found = self._last_written([slug for slug in found if self._is_open(slug, key)] or found)
        current = self._single.get(Shape.CURRENT_PHASE)
        hint: CurrentPhase | None = current.detail if current is not None else None
        if (
            not found
            and hint is not None
            and hint.build
            and current is not None
            and abs(lock.at - _written(current)) < _DAY
        ):
            found = [same_build(slug_of(hint.build), self._plans) or slug_of(hint.build)]
        if not found:  # that of the newest other lock; rather one whose plan has such a phase open, or that has no plan
            able = [slug for slug in newest if slug not in self._plans or self._is_open(slug, key)]
            found = sorted(able or newest, key=lambda slug: (newest[slug], slug), reverse=True)[:1]
        if not found:
            found = self._last_written([slug for slug in having if self._is_open(slug, key)])
        for slug in found:
            if any(owner.get(other.folder) == slug and other.phase.lower() == key for other in self._locks.values()):
                return slug  # its twin
        return found[0] if found else None

    def _last_written(self, slugs: list[str]) -> list[str]:
        """The plan written last, or none; of plans written together, a begun one, and the one with the newest date."""
        if not slugs:
            return []
        last = max(_written(self._plans[slug]) for slug in slugs)

        def key(slug: str) -> tuple[bool, str, datetime, str]:
            plan: Plan = self._plans[slug].detail
            begun = any(phase.status in (*SETTLED, Status.IN_PROGRESS) for phase in plan.phases)
            return begun, plan.newest_date, _written(self._plans[slug]), slug

        return [max((slug for slug in slugs if _written(self._plans[slug]) >= last - _REWRITE), key=key)]

    def _is_titled(self, slug: str, key: str, words: set[str]) -> bool:
        phase = self._phase(slug, key)
        return phase is not None and len(words & words_of(phase.title)) >= max(1.0, _OVERLAP * len(words))

    def _is_open(self, slug: str, key: str) -> bool:
        phase = self._phase(slug, key)
        return phase is not None and phase.status not in SETTLED

    def _phase(self, slug: str, key: str) -> PlanPhase | None:
        return next((phase for phase in self._plans[slug].detail.phases if phase.id.lower() == key), None)

    def _owner_of_batches(self, batches: Batches) -> str | None:
        ids = {id_.lower() for id_ in batches.phases}
        if not ids:
            return None
        locks = [lock for folder, lock in self._locks.items() if self._owner.get(folder) and lock.phase.lower() in ids]
        if locks:
            return self._owner[max(locks, key=lambda lock: (lock.at, lock.folder)).folder]
        current = self._single.get(Shape.CURRENT_PHASE)
        if current is not None and current.detail.build:
            named = slug_of(current.detail.build)
            return same_build(named, self._plans) or named
        if self._plans:
            slug = max(self._plans, key=lambda slug: (_written(self._plans[slug]), slug))
            if ids <= {phase.id.lower() for phase in self._plans[slug].detail.phases}:
                return slug
        return None

    # -- what is present ------------------------------------------------------------------------------------------

    def verdict(self, now: datetime) -> Verdict:
        """The verdict on what is present. Call `settle` before."""
        present, why, until = self._present(now)
        if not present:
            return self._of_unclaimed()
        builds = [self._builds[slug] for slug in present if slug in self._builds]
        counted = [phase for build in builds for phase in build.counted]
        done = sum(phase.status is Status.COMPLETED for phase in counted)
        running = [phase for phase in counted if phase.status is Status.IN_PROGRESS]
        known = any(phase.status is not Status.UNKNOWN for phase in counted)
        at, evidence, current = self._newest_evidence(builds)
        starts = [phase.lock.claimed for build in builds for phase in build.phases.values() if phase.lock is not None]
        percent = rounded(100 * done / len(counted)) if counted and known else None
        return Verdict(
            system=NAME,
            present=tuple(present),
            why=why,
            total=len(counted),
            completed=done,
            running=len(running),
            percent=percent,
            low=percent if running else None,
            high=rounded(100 * (done + len(running)) / len(counted)) if running and percent is not None else None,
            status=_status(builds, known=known),
            evidence_at=at,
            evidence=evidence,
            silent_after=CLAIMS_SILENT_AFTER,
            component=current[0] if current else present[0] if present else None,
            feature=feature_id(*current[:2]) if current else None,
            phase=current[2] if current else None,
            started_at=min(starts, default=None),
            valid_until=until,
        )

    def _of_unclaimed(self) -> Verdict:
        """The verdict where nothing tells which build the locks belong to: somebody works, on what is not known."""
        newest = max(self._free, key=lambda lock: (lock.finished is None, lock.at, lock.folder), default=None)
        if newest is None:
            return Verdict(system=NAME)
        runs = newest.finished is None
        return Verdict(
            system=NAME,
            why="locks that name no build",
            running=sum(lock.finished is None for lock in self._free),
            status=BuildStatus.IN_PROGRESS if runs else BuildStatus.UNKNOWN,
            evidence_at=newest.at,
            evidence=_words(newest),
            silent_after=CLAIMS_SILENT_AFTER,
            phase=(newest.name or newest.phase) if runs else None,
            started_at=min(lock.claimed for lock in self._free),
        )

    @staticmethod
    def _newest_evidence(
        builds: list[Build],
    ) -> tuple[datetime | None, str | None, tuple[str, str, str] | None]:
        """The newest sign of work on what is in progress; without such, the newest one at all."""
        phases = [(build, phase) for build in builds for phase in build.phases.values() if phase.at is not None]
        running = [(build, phase) for build, phase in phases if phase.status is Status.IN_PROGRESS]
        best = max(running or phases, key=lambda pair: (pair[1].at or _EPOCH, pair[1].id), default=None)
        if best is None:
            return None, None, None
        build, phase = best
        current = (build.evidence.slug, phase.id, phase.title or phase.id) if running else None
        if phase.lock is not None and phase.at == phase.lock.at:
            return phase.at, _words(phase.lock, phase.id), current
        return phase.at, f"plan {build.evidence.slug} written", current

    def _present(self, now: datetime) -> tuple[list[str], str, datetime | None]:
        live = [(lock.at, slug) for slug, build in self._builds.items() for lock in build.live]
        over = [(lock.at, slug) for slug, build in self._builds.items() for lock in build.over]
        newest = max(live, default=(_EPOCH, ""))[0]
        written = {slug: _written(self._plans[slug]) for slug in self._builds if slug in self._plans}
        newest_plan = max(written.values(), default=_EPOCH)
        running = {slug: at for slug, build in self._builds.items() if (at := build.running_at) is not None}
        until: datetime | None = None
        if live and (newest >= now - _DAY or newest >= newest_plan):
            if newest < newest_plan:
                until = newest + _DAY
            present = {slug for at, slug in live if at >= newest - _TOGETHER}
            present |= {slug for slug, at in running.items() if slug in self._plans and at >= newest - _TOGETHER}
            return sorted(present), "the newest locks", until
        recent = [slug for slug, at in written.items() if at >= newest_plan - _REWRITE]
        begun = sorted(slug for slug in recent if slug in running)
        if begun:
            return begun, "the plan written last, in progress", until
        lately = [(at, slug) for at, slug in over if at >= newest_plan - _HOUR]
        if written and not any(self._builds[slug].closed for slug in recent) and not lately:
            of_day = {slug: at for slug, at in running.items() if slug in written and at >= newest_plan - _DAY}
            last = max(of_day.values(), default=None)
            if last is not None:
                ran = sorted(slug for slug, at in running.items() if slug in written and at >= last - _TOGETHER)
                return ran, "plans in progress", until
        saved = self._saved_build(newest_plan, max((lock.at for lock in self._locks.values()), default=_EPOCH))
        if saved is not None:
            return [saved], "a saved session", until
        if not written:
            return sorted({slug for _, slug in over}), "the last lock" if over else "", until
        if lately:
            last_slug = max(lately)[1]
            return sorted({last_slug, *(recent if len(recent) == 1 else ())}), "the last finished lock", until
        if len(recent) == 1:
            return recent, "the plan written last", until
        dates = {slug: self._plans[slug].detail.newest_date for slug in recent}
        best = max(dates.values())
        chosen = sorted(slug for slug in recent if dates[slug] == best)
        done = [s for s in chosen if any(p.status in SETTLED for p in self._builds[s].phases.values())]
        return done or chosen, "plans written together, by the newest date in them", until

    def _saved_build(self, newest_plan: datetime, newest_lock: datetime) -> str | None:
        record = self._single.get(Shape.SAVED)
        if record is None or not isinstance(record.detail, SavedSession):
            return None
        slug = same_build(record.detail.build, self._plans) if record.detail.build else None
        at = _written(record)
        return slug if slug is not None and slug in self._builds and at >= newest_plan and at >= newest_lock else None


def _words(lock: Lock, phase: str = "") -> str:
    """The last sign of life of a lock, in words."""
    beat = lock.heartbeat
    what = "heartbeat" if beat is not None and lock.at - beat <= _REWRITE else "lock"
    return f"{what} of phase {phase or lock.phase}" + (f" · {lock.host}" if lock.host else "")


def _written(record: Record) -> datetime:
    return record.written or record.time


def _status(builds: list[Build], *, known: bool) -> BuildStatus:
    seen = {phase.status for build in builds for phase in build.phases.values()}
    if not known or not seen:
        return BuildStatus.UNKNOWN
    if Status.ERROR in seen and Status.IN_PROGRESS not in seen:
        return BuildStatus.FAILED
    if seen <= SETTLED:
        return BuildStatus.COMPLETED
    if seen & {Status.IN_PROGRESS, Status.COMPLETED}:
        return BuildStatus.IN_PROGRESS
    return BuildStatus.PENDING

"""All builds of a project: each is decided from its plan, its locks, the journal and the hints that concern it.

`Builds` is told of records one by one and decides anew only what can have changed: a heartbeat concerns one build.
`owners` tells which build a lock belongs to, `one_build` decides on one build, `presence` on which are present.
"""

from __future__ import annotations

from datetime import datetime
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from ...model import Component, Feature, Phase, Status
from ...progress import SETTLED
from ..record import Record, Shape
from ..verdict import Verdict
from .claims import folder_of
from .journal import Approval, Journal, SavedSession
from .lock_folders import LOCK_SHAPES, Lock, lock_of, phase_of, same_build
from .one_build import Build, Evidence, Released, decide, feature_id, items_of
from .owners import Owners, written
from .plan import Plan, slug_of
from .presence import Presence, Saved
from .project import Batches

if TYPE_CHECKING:
    from collections.abc import Iterable

__all__ = ["Builds", "Settled"]

_SHAPES: Final = frozenset({Shape.PLAN, Shape.JOURNAL, Shape.SAVED, Shape.CURRENT_PHASE, Shape.BATCHES, *LOCK_SHAPES})


class Settled(NamedTuple):
    """What `Builds.settle` decided anew: builds by their ids, and whether locks that belong to none may differ."""

    builds: set[str]
    unclaimed: bool


class _Leaving(NamedTuple):
    """A lock before its files began to go, and its build."""

    lock: Lock
    slug: str | None


class _Dated(NamedTuple):
    """A verdict and when it was given."""

    verdict: Verdict
    at: datetime


class Builds:
    """The builds of one project. Pure: the clock is an argument."""

    def __init__(self) -> None:
        self._plans: dict[str, Record] = {}  # slug -> its record
        self._folders: dict[str, dict[Shape, Record]] = {}
        self._locks: dict[str, Lock] = {}
        self._claimed: set[str] = set()  # folders with a claim
        self._leaving: dict[str, _Leaving] = {}  # folders that are being removed
        self._owners = Owners()
        self._presence = Presence()
        self._single: dict[Shape, Record] = {}  # journal, saved session, current phase, batches
        self._approvals: dict[str, list[Approval]] = {}  # build -> what the journal approves of it
        self._saved: str | None = None  # the build of the saved session
        self._saved_changed = False
        self._released: dict[str, dict[str, Released]] = {}
        self._builds: dict[str, Build] = {}
        self._items: dict[str, tuple[Component, list[Feature]]] = {}
        self._stale: set[str] = set()  # builds to decide anew
        self._copied = False
        self._verdict: _Dated | None = None

    # -- input ----------------------------------------------------------------------------------------------------

    @property
    def active(self) -> bool:
        """Whether plans or locks exist: then they decide, and no registry does."""
        return bool(self._plans) or bool(self._claimed)

    @staticmethod
    def knows(shape: Shape) -> bool:
        """Whether files of a kind are read by this class."""
        return shape in _SHAPES

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
        if record is not None and not self._has_phases(record):
            record = None
        self._saved_changed = self._saved_changed or (slug in self._plans) != (record is not None)
        if record is None:
            self._plans.pop(slug, None)
        else:
            self._plans[slug] = record
        self._owners.put_plan(slug, record)
        self._stale.add(slug)

    @staticmethod
    def _has_phases(record: Record) -> bool:
        return isinstance(record.detail, Plan) and bool(record.detail.phases)

    def _update_single(self, shape: Shape, record: Record | None) -> None:
        self._single.pop(shape, None)
        if record is not None:
            self._single[shape] = record
        self._verdict = None
        detail: Any = record.detail if record is not None else None
        match shape:
            case Shape.JOURNAL:
                self._update_approvals(detail.approvals if isinstance(detail, Journal) else ())
            case Shape.SAVED:
                self._saved_changed = True
                self._stale.update(filter(None, [self._saved]))
            case Shape.BATCHES:
                self._owners.put_batches(detail if isinstance(detail, Batches) else None)
            case _:
                self._owners.put_current(record)

    def _update_approvals(self, approvals: Iterable[Approval]) -> None:
        before, self._approvals = self._approvals, {}
        for approval in approvals:
            self._approvals.setdefault(approval.build, []).append(approval)
        for slug in before.keys() | self._approvals.keys():
            if before.get(slug) != self._approvals.get(slug):
                self._stale.add(slug)

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
            self._leaving.setdefault(folder, _Leaving(before, self._owners.of(folder)))
        lock = lock_of(folder, files, copied=self._copied) if files else None
        if lock is None:
            self._folders.pop(folder, None)
            if folder in self._leaving:
                self._release(*self._leaving.pop(folder))
        self._put_lock(folder, lock)

    def _put_lock(self, folder: str, lock: Lock | None) -> None:
        if lock is None:
            self._locks.pop(folder, None)
        else:
            self._locks[folder] = lock
        if lock is not None and lock.has_claim:
            self._claimed.add(folder)
        else:
            self._claimed.discard(folder)
        self._owners.put_lock(folder, lock)

    def _release(self, lock: Lock, slug: str | None) -> None:
        """Remember a lock that went while the plan of its build, ``slug``, did not say that its phase is over."""
        if slug is None:
            return
        key = lock.phase.lower()
        if any(other.phase.lower() == key for other in self._owners.locks_of(slug) if other.folder != lock.folder):
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
            self._put_lock(folder, lock_of(folder, files, copied=copied))

    # -- deciding -------------------------------------------------------------------------------------------------

    def settle(self) -> Settled:
        """Decide what may have changed, and return which items may be different."""
        self._settle_saved()
        stale, self._stale = self._stale | self._owners.settle(), set()
        for slug in stale:
            evidence = self._evidence(slug)
            if evidence.plan is None and not evidence.locks and not evidence.released:
                self._builds.pop(slug, None)
                self._items.pop(slug, None)
                self._presence.put(slug, None, None)
                continue
            build = decide(evidence)
            self._builds[slug] = build
            self._items[slug] = items_of(build)
            self._presence.put(slug, build, self._plans.get(slug))
        if stale or self._owners.free_changed:
            self._verdict = None
        return Settled(stale, self._owners.free_changed)

    def _settle_saved(self) -> None:
        if not self._saved_changed:
            return
        self._saved_changed = False
        record = self._single.get(Shape.SAVED)
        detail: Any = record.detail if record is not None else None
        saved = same_build(detail.build, self._plans) if isinstance(detail, SavedSession) and detail.build else None
        self._stale.update(filter(None, [self._saved, saved]))
        self._saved = saved

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
        over = {lock.folder for lock in build.over}
        found: list[tuple[Phase, datetime]] = []
        for lock in build.evidence.locks:
            phase = build.phases.get(lock.phase.lower())
            feature = feature_id(slug, phase.id) if phase is not None and known else None
            found.append((phase_of(lock, known, feature, over=lock.folder in over), lock.at))
        return found

    @property
    def unclaimed(self) -> list[tuple[Phase, datetime]]:
        """The locks that belong to no build."""
        return [(phase_of(lock, None, None, over=False), lock.at) for lock in self._owners.free]

    def _evidence(self, slug: str) -> Evidence:
        record = self._plans.get(slug)
        journal, saved, batches = (self._single.get(shape) for shape in (Shape.JOURNAL, Shape.SAVED, Shape.BATCHES))
        session: SavedSession | None = saved.detail if saved is not None else None
        listed: Batches = batches.detail if batches is not None and self._owners.batches_owner == slug else Batches()
        released = self._released.get(slug, {})
        if record is not None and released:
            released = {key: value for key, value in released.items() if not self._has_spoken(record, key, value)}
            self._released[slug] = released
        return Evidence(
            slug=slug,
            plan=record.detail if record is not None else None,
            path=record.path if record is not None else None,
            written=record.written if record is not None else None,
            locks=tuple(self._owners.locks_of(slug)),
            approvals=tuple(self._approvals.get(slug, ())),
            journal=journal.path if journal is not None else "",
            batches=tuple(listed.phases),
            blocked=tuple(listed.blocked),
            batches_path=batches.path if batches is not None else "",
            saved=session.last_completed if session is not None and self._saved == slug else None,
            saved_path=saved.path if saved is not None else "",
            released=dict(released),
        )

    @staticmethod
    def _has_spoken(record: Record, key: str, released: Released) -> bool:
        """Whether the plan says something else of a phase than when its lock went."""
        return any(phase.id.lower() == key and phase.status is not released.said for phase in record.detail.phases)

    # -- what is present ------------------------------------------------------------------------------------------

    def verdict(self, now: datetime) -> Verdict:
        """The verdict on what is present. Call `settle` before."""
        known = self._verdict
        if known is not None and known.at <= now:
            until = known.verdict.valid_until
            if until is None or now < until:
                return known.verdict
        saved = self._single.get(Shape.SAVED)
        session: Saved | None = None
        if saved is not None and self._saved is not None:
            session = Saved(self._saved, written(saved), self._owners.newest_lock)
        verdict = self._presence.verdict(now, session, self._owners.free)
        self._verdict = _Dated(verdict, now)
        return verdict

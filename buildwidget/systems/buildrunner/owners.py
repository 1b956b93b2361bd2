"""Which build each lock belongs to. Decided anew only for locks of which it can have changed."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Final

from ...model import Status
from ...ordered import Ordered
from ...progress import SETTLED
from .lock_folders import same_build, words_of
from .plan import Plan, PlanPhase, slug_of
from .project import Batches, CurrentPhase

if TYPE_CHECKING:
    from ..record import Record
    from .lock_folders import Lock

__all__ = ["EPOCH", "REWRITE", "Owners", "written"]

_DAY: Final = timedelta(days=1)
REWRITE: Final = timedelta(minutes=1)  # plans written within it were written together
_OVERLAP: Final = 0.6  # of the words of a lock's name that the title of its phase must hold
EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)


def written(record: Record) -> datetime:
    """When a file was written, as far as it is known."""
    return record.written or record.time


class Owners:
    """Locks and the builds that they belong to. Tell it of plans, locks and hints; then call `settle`."""

    def __init__(self) -> None:
        self._plans: dict[str, Record] = {}
        self._phases: dict[str, dict[str, PlanPhase]] = {}  # plan -> its phases by their ids in lower case
        self._plans_written: Ordered[str] = Ordered()
        self._locks: dict[str, Lock] = {}
        self._unnamed: set[str] = set()  # folders of locks that name no build
        self._at: Ordered[str] = Ordered()  # locks by their last sign of life
        self._owner: dict[str, str | None] = {}
        self._of_build: dict[str, dict[str, Lock]] = {}
        self._named: Ordered[str] = Ordered()  # builds that locks name, by the last sign of life of these
        self._phase_of: dict[str, str] = {}  # lock of a build -> its phase
        self._by_phase: dict[str, Ordered[str]] = {}
        self._resolved: dict[str, str] = {}  # what a lock says -> the build that it means
        self._current: Record | None = None
        self._batches: Batches | None = None
        self._moved: set[str] = set()  # locks to decide on
        self._resolve_all = self._guess_all = self._batches_changed = False
        self.free_changed = False
        self.batches_owner: str | None = None

    # -- input ----------------------------------------------------------------------------------------------------

    def put_plan(self, slug: str, record: Record | None) -> None:
        """Take the new record of a plan that has phases; None if there is no such plan."""
        self._resolve_all = self._resolve_all or (slug in self._plans) != (record is not None)
        self._guess_all = True
        if record is None:
            self._plans.pop(slug, None)
            self._phases.pop(slug, None)
            self._plans_written.drop(slug)
            return
        plan: Plan = record.detail
        self._plans[slug] = record
        self._phases[slug] = {phase.id.lower(): phase for phase in reversed(plan.phases)}
        self._plans_written.put(slug, written(record))

    def put_lock(self, folder: str, lock: Lock | None) -> None:
        """Take what a lock says now; None if it is gone."""
        self._moved.add(folder)
        if lock is None:
            self._locks.pop(folder, None)
            self._unnamed.discard(folder)
            self._at.drop(folder)
            return
        self._locks[folder] = lock
        self._at.put(folder, lock.at)
        if lock.said:
            self._unnamed.discard(folder)
        else:
            self._unnamed.add(folder)

    def put_current(self, record: Record | None) -> None:
        """Take the record that names the present phase, and perhaps the build."""
        self._current = record
        self._guess_all = True

    def put_batches(self, batches: Batches | None) -> None:
        """Take the list of batches, which names no build."""
        self._batches = batches
        self._batches_changed = True

    # -- the answer -----------------------------------------------------------------------------------------------

    def of(self, folder: str) -> str | None:
        """The build of a lock, as it was settled last."""
        return self._owner.get(folder)

    def locks_of(self, slug: str) -> list[Lock]:
        """The locks of a build, by their folders, as it was settled last."""
        found = self._of_build.get(slug, {})
        return [found[folder] for folder in sorted(found)]

    @property
    def free(self) -> list[Lock]:
        """The locks that belong to no build; they can only be some of those that name none."""
        return [self._locks[folder] for folder in sorted(self._unnamed) if not self._owner.get(folder)]

    @property
    def newest_lock(self) -> datetime:
        """The last sign of life of all locks."""
        return self._at.highest or EPOCH

    def settle(self) -> set[str]:
        """Decide what may have changed, and return the ids of the builds whose locks or batches did."""
        changed: set[str] = set()
        self.free_changed = False
        moved, self._moved = self._moved, set()
        if self._resolve_all:
            self._resolved.clear()
            moved = moved | self._locks.keys()
        for folder in moved & self._unnamed:
            self._give(folder, None, None, changed)  # it may have named its build before, which guesses depend on
        for folder in moved - self._unnamed:
            lock = self._locks.get(folder)
            self._give(folder, lock, self._meant(lock.said) if lock is not None and lock.said else None, changed)
        for folder in sorted(self._unnamed if self._guess_all else moved & self._unnamed):
            lock = self._locks[folder]
            self._give(folder, lock, self._guess(lock), changed)
        self._resolve_all = self._guess_all = False
        self._settle_batches(changed)
        return changed

    def _settle_batches(self, changed: set[str]) -> None:
        before, self.batches_owner = self.batches_owner, None
        if self._batches is not None:
            self.batches_owner = self._owner_of_batches(self._batches)
        if self._batches_changed or before != self.batches_owner:
            changed.update(filter(None, [before, self.batches_owner]))
        self._batches_changed = False

    def _meant(self, said: str) -> str:
        found = self._resolved.get(said)
        if found is None:
            found = self._resolved[said] = same_build(said, self._plans) or said
        return found

    def _give(self, folder: str, lock: Lock | None, slug: str | None, changed: set[str]) -> None:
        """Note the owner of a lock, and which builds that changes."""
        before = self._owner.get(folder)
        if lock is not None and before is not None and before == slug and self._of_build[before].get(folder) is lock:
            return
        self._owner.pop(folder, None)
        if before is not None:
            changed.add(before)
            locks = self._of_build[before]
            del locks[folder]
            if not locks:
                del self._of_build[before]
            self._by_phase[self._phase_of.pop(folder)].drop(folder)
        if before is None or slug is None:
            self.free_changed = True
        if lock is not None:
            self._owner[folder] = slug
            if slug is not None:
                changed.add(slug)
                self._of_build.setdefault(slug, {})[folder] = lock
                self._phase_of[folder] = lock.phase.lower()
                self._by_phase.setdefault(lock.phase.lower(), Ordered()).put(folder, lock.at)
        for build in filter(None, {before, slug}):
            self._rank(build)

    def _rank(self, build: str) -> None:
        """Note the last sign of life of the locks that name a build. If their order changes, so may the guesses."""
        newest = max((lock.at for lock in self._of_build.get(build, {}).values() if lock.said), default=None)
        was_known, was_last = build in self._named, self._named.last == build
        self._named.put_if(build, newest)
        if (build in self._named) != was_known or (was_known and not (was_last and self._named.last == build)):
            self._guess_all = True

    # -- guesses --------------------------------------------------------------------------------------------------

    def _guess(self, lock: Lock) -> str | None:
        """The build of a lock that names none: by the name of its phase, by what else is written now."""
        key = lock.phase.lower()
        having = [slug for slug, phases in self._phases.items() if key in phases]
        words = words_of(lock.name)
        titled = [slug for slug in having if words and self._is_titled(slug, key, words)]
        found = self._last_written([slug for slug in titled if self._is_open(slug, key)] or titled)
        if found is None:
            found = self._hinted(lock)
        if found is None:  # that of the newest other lock; rather one whose plan has such a phase open, or without plan
            known = self._named.keys
            able = [slug for slug in known if slug not in self._plans or self._is_open(slug, key)]
            found = next(reversed(able or known), None)
        return found or self._last_written([slug for slug in having if self._is_open(slug, key)])

    def _hinted(self, lock: Lock) -> str | None:
        current = self._current
        hint: CurrentPhase | None = current.detail if current is not None else None
        if current is None or hint is None or not hint.build or abs(lock.at - written(current)) >= _DAY:
            return None
        return self._meant(slug_of(hint.build))

    def _last_written(self, slugs: list[str]) -> str | None:
        """The plan written last, or none; of plans written together, a begun one, and the one with the newest date."""
        if not slugs:
            return None
        last = max(written(self._plans[slug]) for slug in slugs)

        def key(slug: str) -> tuple[bool, str, datetime, str]:
            plan: Plan = self._plans[slug].detail
            begun = any(phase.status in (*SETTLED, Status.IN_PROGRESS) for phase in plan.phases)
            return begun, plan.newest_date, written(self._plans[slug]), slug

        return max((slug for slug in slugs if written(self._plans[slug]) >= last - REWRITE), key=key)

    def _is_titled(self, slug: str, key: str, words: set[str]) -> bool:
        phase = self._phases[slug].get(key)
        return phase is not None and len(words & words_of(phase.title)) >= max(1.0, _OVERLAP * len(words))

    def _is_open(self, slug: str, key: str) -> bool:
        phase = self._phases[slug].get(key)
        return phase is not None and phase.status not in SETTLED

    def _owner_of_batches(self, batches: Batches) -> str | None:
        ids = {id_.lower() for id_ in batches.phases}
        if not ids:
            return None
        newest = [folder for id_ in ids if id_ in self._by_phase and (folder := self._by_phase[id_].last) is not None]
        if newest:
            return self._owner[max(newest, key=lambda folder: (self._locks[folder].at, folder))]
        current = self._current
        if current is not None and current.detail.build:
            return self._meant(slug_of(current.detail.build))
        slug = self._plans_written.last
        return slug if slug is not None and ids <= self._phases[slug].keys() else None

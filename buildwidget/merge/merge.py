"""`Merge` takes what files and programs say, and tells what may have changed in the build."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Final

from ..activity import of_change, of_journal
from ..file_warnings import FileWarnings
from ..model import BuildWarning, Progress, Runtime
from ..publish import ItemNews
from ..state import Delta
from ..systems.buildrunner.builds import Builds
from ..systems.record import Record, Shape
from ..systems.verdict import TOGETHER
from .items import Items, Key
from .overlay import overlaid
from .records import Change, Question, Records
from .sources import Source, SourceKind, Sources
from .whole import Published, whole

if TYPE_CHECKING:
    from collections.abc import Iterable

    from ..model import Feature
    from ..systems.buildrunner.journal import Entry
    from ..systems.verdict import Verdict

__all__ = ["Merge"]

_SEEN: Final = frozenset({"claimed", "completed"})  # lines of a journal that locks and plans say too
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_HINTS: Final = (Shape.BATCHES, Shape.CURRENT_PHASE)  # with plans, they name no phase that the plans do not


class Merge:
    """Stores the latest record of every file and computes the state of the whole build.

    Parameters
    ----------
    project
        The name shown when no file gives one.
    copied
        Whether the folder is a copy (`is_copied`), for callers that pass only some of its files. None: detected from
        the records passed to `update`.
    """

    def __init__(self, project: str = "", *, copied: bool | None = None) -> None:
        self._project = project
        self._records = Records(copied=copied)
        self._items = Items()
        self._sources = Sources(self._items)
        self._warnings = FileWarnings()
        self._builds = Builds()  # the plans and locks of BuildRunner
        self._is_planned = False  # whether there are plans or claimed locks
        self._chosen: dict[str, Record | None] = {}  # the checkpoints that components and features come from
        self._had_runtime = False
        self._published = Published()  # its progress holds until any file's content changes
        self._published_runtime: Runtime | None = None
        self._now = _EPOCH
        self._told_entries: list[Entry] = []  # of the journal
        self._verdict: Verdict | None = None  # of the plans and locks, while they decide

    # -- input ----------------------------------------------------------------------------------------------------

    def update(
        self,
        changes: Iterable[tuple[str, Record | BuildWarning | None]],
        now: datetime | None = None,
        *,
        live: bool = False,
    ) -> Delta:
        """Apply new records of some files, and return what may have changed in the build.

        Parameters
        ----------
        changes
            Pairs of a path and its `Record`; a `BuildWarning` for a file that cannot be read (its last good record
            stays); None for a file that is gone.
        now
            The present time, for what only the clock can decide; by default the time of the newest file.
        live
            Whether the changes happened just now, and are not what was there at the start: then they are activity.
        """
        touched: set[Key] = set()
        delta = Delta()
        changed = False
        for path, said in changes:
            if isinstance(said, BuildWarning):
                self._warnings.fail(said, delta)
            else:
                self._warnings.clear_failure(path, delta)
                changed = self._update_file(path, said, touched, delta) or changed
        if changed:
            self._published = self._published._replace(progress=None)
        if self._records.detect_copy():
            self._contribute_again(touched, *(shape for shape in Shape if shape is not Shape.CHECKPOINT))
        self._choose(touched)
        self._now = self._now if now is None else now
        self._decide_builds(touched)
        before = {key: self._items.get(key) for key in sorted(touched) if key.kind == "feature"} if live else {}
        self._sources.resolve(touched, delta)
        self._tell_activity(delta, before, live=live)
        self._judge(delta)
        self._warnings.refill(delta)
        if any(kind == "checkpoint" for kind, _ in delta.removed):
            delta.items += self._items.newest_checkpoints  # some may fit into the window now
        return delta

    @property
    def valid_until(self) -> datetime | None:
        """When the passing of time alone may change the build; None: never."""
        return self._verdict.valid_until if self._verdict is not None else None

    def tick(self, now: datetime) -> Delta | None:
        """Return what the passing of time has changed; None if nothing can have changed."""
        until = self.valid_until
        return None if until is None or now < until else self.update((), now)

    def publish(self, news: Iterable[ItemNews | Progress | Runtime], now: datetime) -> Delta:
        """Apply publications, and return what may have changed in the build.

        Raises
        ------
        PublishError
            If there are more than 10,000 items that no file contains. The publications before it stay applied.
        """
        delta = Delta()
        touched: set[Key] = set()
        changed = False
        for one in news:
            match one:
                case ItemNews():
                    touched.add(self._sources.publish(one, now))
                case Progress():
                    changed = changed or self._published.progress != one
                    self._published = self._published._replace(progress=one)
                case Runtime():
                    self._published_runtime = overlaid(self._runtime() or Runtime(), one)
        self._sources.resolve(touched, delta)
        first = self._published.first
        if changed or delta.items or first is None:  # repeating the same values is no activity
            self._published = self._published._replace(first=first or now, last=now)
        self._judge(delta)
        return delta

    def failed(self, path: str) -> bool:
        """Whether this file could not be read when it was last looked at."""
        return self._warnings.failed(path)

    # -- who says what --------------------------------------------------------------------------------------------

    def _update_file(self, path: str, said: Record | None, touched: set[Key], delta: Delta) -> bool:
        """Store the new record of a file; return whether its content changed."""
        old = self._records.get(path)
        change = self._records.replace(path, said)
        if change is Change.NOTHING:
            return False
        if old is not None and self._builds.knows(old.shape) and (said is None or said.shape is not old.shape):
            self._builds.update(path, None, old.shape)
        if said is not None and self._builds.knows(said.shape):
            self._builds.update(path, said, said.shape)
        if said is not None and said.written is not None:
            self._now = max(self._now, said.written)
        self._contribute(path, said, touched)
        if change is Change.WRITTEN:
            return False
        if said is not None and said.runtime:
            self._published_runtime = None
        self._warnings.replace(path, said, delta)
        return True

    def _contribute(self, path: str, record: Record | None, touched: set[Key]) -> None:
        """Replace the items of a file. Components and features of checkpoints are left to `_choose`."""
        items: list[Any] = []
        if record is not None:
            items += record.tasks
            if record.shape is not Shape.LOCK and not (self._is_planned and record.shape in _HINTS):
                items += record.phases
            if record.checkpoint is not None:
                items.append(record.checkpoint)
            if record.shape is not Shape.CHECKPOINT:
                items += record.components
                items += record.features
        self._replace(Source(SourceKind.FILE, path), record, items, touched)

    def _contribute_again(self, touched: set[Key], *shapes: Shape) -> None:
        for path, record in self._records.of(*shapes):
            self._contribute(path, record, touched)

    def _choose(self, touched: set[Key]) -> None:
        """Select the newest checkpoint with components, and the newest with features, as their only source."""
        for kind in ("component", "feature"):
            record = self._records.newest_holder(kind)
            if record is self._chosen.get(kind):
                continue
            self._chosen[kind] = record
            items: list[Any] = []
            if record is not None:
                items += record.components if kind == "component" else record.features
            self._replace(Source(SourceKind.CHOSEN, kind), record, items, touched)

    def _replace(self, source: Source, record: Record | None, items: list[Any], touched: set[Key]) -> None:
        time = self._records.time_of(record) if record is not None else _EPOCH
        self._sources.replace(source, ((item, time) for item in items), touched, record.shape if record else None)

    def _decide_builds(self, touched: set[Key]) -> None:
        """Replace the items of the builds that may have changed, and decide which of them are present."""
        self._builds.set_copied(self._records.copied)
        was_planned, self._is_planned = self._is_planned, self._builds.active
        settled = self._builds.settle()
        stale = settled.builds
        if self._is_planned != was_planned:
            stale = stale | self._builds.ids
            self._contribute_again(touched, *_HINTS)
        for slug in sorted(stale):
            found = self._builds.items(slug) if self._is_planned else None
            items = [found[0], *found[1]] if found else []
            self._sources.replace(Source(SourceKind.BUILD, slug), ((item, _EPOCH) for item in items), touched)
            self._sources.replace(Source(SourceKind.LOCKS, slug), self._builds.phases(slug), touched)
        if settled.unclaimed:
            self._sources.replace(Source(SourceKind.LOCKS, ""), self._builds.unclaimed, touched)
        verdict = self._builds.verdict(self._now) if self._is_planned else None
        if verdict is not None and self._checkpoint_is_newer(verdict):
            verdict = None
        self._verdict = verdict if verdict is not None and verdict.why else None

    def _checkpoint_is_newer(self, verdict: Verdict) -> bool:
        """Whether a checkpoint with items is newer than every sign of life of a plan: its build is the present one."""
        times = [order.highest[0] for order in self._records.holders.values() if order.highest is not None]
        return max(times, default=_EPOCH) > (verdict.evidence_at or _EPOCH) + TOGETHER

    def _tell_activity(self, delta: Delta, before: dict[Key, Feature | None], *, live: bool) -> None:
        """Add lines about what changed of the phases of known plans, and the new lines of the journal.

        ``before`` holds the features that may have changed, as they were.
        """
        journal = self._builds.journal
        entries: list[Entry] = journal.detail.entries if journal is not None else []
        if entries is not self._told_entries:
            lines = of_journal(self._told_entries, entries, journal.path if journal is not None else "")
            # What a lock or a plan says is told below, with its phase.
            delta.activity += [line for line in lines if not live or line.kind not in _SEEN]
            self._told_entries = entries
        # Phases of a plan that is new itself are no news.
        known = {was.component_id for was in before.values() if was is not None}
        for key, was in before.items():
            now = self._items.get(key)
            item = now or was
            if item is not None and item.feature_type is not None and item.component_id in known:
                line = of_change(was, now, self._now)
                if line is not None:
                    delta.activity.append(line)

    # -- the whole ------------------------------------------------------------------------------------------------

    def _judge(self, delta: Delta) -> None:
        found = whole(
            self._items,
            self._records,
            verdict=self._verdict,
            published=self._published,
            project=self._project,
            planned=self._is_planned,
            warnings=len(self._warnings),
        )
        delta.progress, delta.session = found.progress, found.session
        delta.runtime = self._runtime()

    def _runtime(self) -> Runtime | None:
        """Return the newest runtime record; an empty one when none is left after there was one."""
        newest = self._records.newest(Question.RUNTIME)
        runtime = self._published_runtime or (newest.runtime if newest is not None else None)
        self._had_runtime = self._had_runtime or runtime is not None
        return runtime or (Runtime() if self._had_runtime else None)

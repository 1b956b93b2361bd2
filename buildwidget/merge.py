"""Merge the records of many files into one build, by the rules below. Pure: no files, no clock.

The rules
---------
- A file is compared with *its own* previous record. Reading it again with the same content changes nothing.
- Components, and features, come from the newest checkpoint (time, then id) that is not rolled back and holds any; an
  empty list never removes. At equal times the one written last is the newest, except in a copied folder.
  ``features.json`` and other files add to them.
- The same kind and id in several files: the newest wins, field by field. A checkpoint has the time that it states; any
  other file its modification time, unless the whole folder is a copy (all files are newer than their stated times).
  Ties go to the checkpoint, then ``features.json``, then the orchestration state. A field that is None, empty or
  unknown is absent.
- An item is removed when no source contains it any more.
- A published value is newer than all files, and holds until a file changes its own value of the item: then the changed
  fields win. Reading a file again changes nothing. An item that exists only in publications stays.
- The build's percentage is the first known one of: components and features; the orchestration state; the lock of
  the present phase; ``orchestration.json``; workflows and pools. Its status comes from the same source. When none is
  known, the status is that of the newest checkpoint.
"""

from __future__ import annotations

from bisect import bisect_left, insort
from collections import Counter
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime, timedelta
from typing import Any, Final

import msgspec

from . import progress as pg
from .activity import of_change, of_journal
from .errors import PublishError
from .file_warnings import FileWarnings
from .model import (
    BuildStatus,
    BuildWarning,
    Checkpoint,
    Component,
    Counts,
    Feature,
    Phase,
    Progress,
    Runtime,
    Session,
    Status,
    TsSource,
)
from .publish import ItemNews
from .reading.items import Tally
from .reading.values import SKEW
from .state import CHECKPOINT_WINDOW, KINDS, Delta, checkpoint_key
from .systems.buildrunner.builds import Builds
from .systems.buildrunner.journal import Entry
from .systems.record import Record, Shape
from .systems.verdict import Verdict

__all__ = ["Merge", "is_copied"]

_Key = tuple[str, str]  # (kind, id)
_Entry = tuple[datetime, datetime, str, str]  # a checkpoint: its time, when it was written, its id and its path

_RANK: Final = {Shape.CHECKPOINT: 3, Shape.FEATURES: 2, Shape.ORCHESTRATION: 1}
_ABSENT: Final[tuple[Any, ...]] = (None, "", [], {}, Status.UNKNOWN)
_PUBLISHED: Final = "*published"  # the source name of publications
_MAX_PUBLISHED: Final = 10_000  # items that exist only in publications
_WRITTEN_ONCE: Final = (Shape.CHECKPOINT, Shape.RUNTIME)  # a rollback rewrites them, so their mtime is not their time
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_HINTS: Final = (Shape.BATCHES, Shape.CURRENT_PHASE)  # with plans, they name no phase that the plans do not
_TOGETHER_WITHIN: Final = timedelta(minutes=30)
_TOGETHER: Final = ("status", "status_raw", "progress")  # one source decides all three


class _Contribution(msgspec.Struct, frozen=True, eq=False):
    """One source's version of one item, with its time and rank."""

    time: datetime
    rank: int
    path: str
    item: Any


def is_copied(in_time: int, later: int) -> bool:
    """Whether a folder is a copy: every file that states a time was written later than the stated time.

    Parameters
    ----------
    in_time, later
        How many files were written at their stated time, within `SKEW`, and how many later. Files that state no time
        do not count.
    """
    return later > 0 and in_time == 0


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
        self._default_project = project
        self._copied_by_caller = copied
        self._records: dict[Shape, dict[str, Record]] = {shape: {} for shape in Shape}
        self._shape: dict[str, Shape] = {}
        self._contributions: dict[_Key, dict[str, _Contribution]] = {}
        self._merged: dict[str, dict[str, Any]] = {kind: {} for kind, _ in KINDS.values()}
        self._by_path: dict[str, set[_Key]] = {}
        self._holders: dict[str, list[_Entry]] = {"component": [], "feature": []}
        self._checkpoints: list[_Entry] = []  # all that are not rolled back
        self._versions: Counter[str] = Counter()
        self._files: Counter[str] = Counter()
        self._in_time = self._later = 0  # files written at their stated time, and later
        self._copied = False
        self._warnings = FileWarnings()
        self._had_runtime = False
        self._amended: set[_Key] = set()  # published items that a file contains too: removed with it
        self._only_published = 0
        self._published_at: tuple[datetime, datetime] | None = None  # the first and the last time
        self._published_progress: Progress | None = None  # until any file's content changes
        self._published_runtime: Runtime | None = None
        self._is_planned = False  # whether there are plans or claimed locks
        self._builds = Builds()  # the plans and locks of BuildRunner
        self._now = _EPOCH
        self._told_entries: list[Entry] = []  # of the journal
        self._verdict_now: Verdict | None = None  # of the plans and locks, while they decide

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
        touched: set[_Key] = set()
        delta = Delta()
        rebuilt = False
        for path, said in changes:
            if isinstance(said, BuildWarning):
                self._warnings.fail(said, delta)
                continue
            self._warnings.clear_failure(path, delta)
            old = self._records[self._shape[path]].pop(path) if path in self._shape else None
            if said is None:
                self._shape.pop(path, None)
            else:
                self._shape[path] = said.shape
                self._records[said.shape][path] = said
            if said == old or (said and old and msgspec.structs.replace(said, written=old.written) == old):
                if old and old.shape is Shape.CHECKPOINT:
                    self._records[old.shape][path] = old  # the lists of checkpoints are ordered by the old mtime
                continue
            self._count_written(old, -1)
            self._count_written(said, 1)
            rebuilt = True
            self._published_progress = None
            if said is not None and said.runtime:
                self._published_runtime = None
            self._reindex(path, old, said)
            for record in (old, said):
                if record is not None and self._builds.concerns(record):
                    self._builds.update(path, said if record is said else None, record.shape)
            if said is not None and said.written is not None:
                self._now = max(self._now, said.written)
            self._contribute(path, said, touched)
            self._warnings.replace(path, said, delta)
        if rebuilt:
            self._update_copied(touched)
            self._choose(touched)
        self._now = self._now if now is None else now
        self._decide_builds(touched)
        features = self._merged["feature"]
        before = {key: features.get(key[1]) for key in touched if key[0] == "feature"} if live else {}
        # Phases of a plan that is new itself are no news.
        known = {was.component_id for was in before.values() if was is not None}
        for key in sorted(touched):
            self._resolve(key, delta)
        self._tell_activity(delta, [(was, features.get(key[1])) for key, was in sorted(before.items())], known)
        delta.items.sort(key=_order)
        delta.progress, delta.session = self._overall()
        delta.runtime = self._runtime()
        self._refill(delta)
        return delta

    @property
    def valid_until(self) -> datetime | None:
        """When the passing of time alone may change the build; None: never."""
        return self._verdict_now.valid_until if self._verdict_now is not None else None

    def tick(self, now: datetime) -> Delta | None:
        """Return what the passing of time has changed; None if nothing can have changed."""
        until = self.valid_until
        return None if until is None or now < until else self.update((), now)

    def _tell_activity(
        self, delta: Delta, changes: list[tuple[Feature | None, Feature | None]], known: set[str | None]
    ) -> None:
        """Add lines about what changed of the phases of known plans, and the new lines of the journal."""
        journal = self._builds.journal
        entries: list[Entry] = journal.detail.entries if journal is not None else []
        if entries is not self._told_entries:
            delta.activity += of_journal(self._told_entries, entries, journal.path if journal is not None else "")
            self._told_entries = entries
        for was, now in changes:
            item = now or was
            if item is not None and item.feature_type is not None and item.component_id in known:
                line = of_change(was, now, self._now)
                if line is not None:
                    delta.activity.append(line)

    def _decide_builds(self, touched: set[_Key]) -> None:
        """Replace the items of the builds that may have changed, and decide which of them are present."""
        self._builds.set_copied(self._copied)
        was_planned, self._is_planned = self._is_planned, self._builds.active
        stale = self._builds.settle()
        if self._is_planned != was_planned:
            stale |= self._builds.ids
            for shape in _HINTS:
                for path, record in self._records[shape].items():
                    self._contribute(path, record, touched)
        for slug in sorted(stale):
            found = self._builds.items(slug) if self._is_planned else None
            self._replace_items(f"*build:{slug}", None, [found[0], *found[1]] if found else [], touched)
            self._replace_phases(f"*locks:{slug}", self._builds.phases(slug), touched)
        self._replace_phases("*locks", self._builds.unclaimed, touched)
        verdict = self._builds.verdict(self._now) if self._is_planned else None
        newest = max((holders[-1][0] for holders in self._holders.values() if holders), default=None)
        if verdict is not None and newest is not None:
            # A checkpoint that is newer than every sign of life of a plan: that build is the present one.
            seen = verdict.evidence_at or _EPOCH
            verdict = verdict if newest <= seen + _TOGETHER_WITHIN else None
        self._verdict_now = verdict if verdict is not None and verdict.why else None

    def publish(self, news: Iterable[ItemNews | Progress | Runtime], now: datetime) -> Delta:
        """Apply publications, and return what may have changed in the build.

        Raises
        ------
        PublishError
            If there are more than 10,000 items that no file contains. The publications before it stay applied.
        """
        delta = Delta()
        touched: set[_Key] = set()
        changed = False
        for one in news:
            match one:
                case ItemNews():
                    touched.add(self._publish_item(one, now))
                case Progress():
                    changed = changed or self._published_progress != one
                    self._published_progress = one
                case Runtime():
                    self._published_runtime = _overlay(self._runtime() or Runtime(), one)
        for key in sorted(touched):
            self._resolve(key, delta)
        if changed or delta.items or self._published_at is None:  # repeating the same values is no activity
            self._published_at = (self._published_at[0] if self._published_at else now, now)
        delta.items.sort(key=_order)
        delta.progress, delta.session = self._overall()
        delta.runtime = self._runtime()
        return delta

    def _publish_item(self, news: ItemNews, now: datetime) -> _Key:
        kind, id_field = KINDS[news.item]
        key = (kind, news.id)
        present = self._merged[kind].get(news.id)
        changes = dict(news.changes)
        if present is None:
            if self._only_published >= _MAX_PUBLISHED:
                raise PublishError(
                    f"this build has {_MAX_PUBLISHED:,} published items, the most allowed; reuse their ids"
                )
            present = news.item(**{id_field: news.id})
        if "metadata" in changes:
            changes["metadata"] = {**present.metadata, **changes["metadata"]}
        if news.item is Checkpoint:
            changes.setdefault("created_at", present.created_at or now)
        elif (
            "error" not in changes
            and hasattr(present, "error")
            and changes.get("status", present.status) != present.status
        ):
            changes["error"] = None  # an error goes with the status that it explains
        sources = self._contributions.setdefault(key, {})
        if not sources:
            self._only_published += 1
        elif _PUBLISHED not in sources:
            self._amended.add(key)
        sources[_PUBLISHED] = _Contribution(now, 0, _PUBLISHED, msgspec.structs.replace(present, **changes))
        return key

    def failed(self, path: str) -> bool:
        """Whether this file could not be read when it was last looked at."""
        return self._warnings.failed(path)

    def _runtime(self) -> Runtime | None:
        """Return the newest runtime record; an empty one when none is left after there was one."""
        newest = self._published_runtime or next(
            (r.runtime for r in reversed(self._of(Shape.RUNTIME)) if r.runtime), None
        )
        self._had_runtime = self._had_runtime or newest is not None
        return newest or (Runtime() if self._had_runtime else None)

    def _refill(self, delta: Delta) -> None:
        """Add items again that may now fit into the fold's windows. `BuildState.diff` drops those already there."""
        self._warnings.refill(delta)
        if any(kind == "checkpoint" for kind, _ in delta.removed):
            delta.items += sorted(self._merged["checkpoint"].values(), key=checkpoint_key)[-CHECKPOINT_WINDOW:]

    def _reindex(self, path: str, old: Record | None, new: Record | None) -> None:
        """Update the ordered lists of checkpoints, and the count of files they created."""
        for record, add in ((old, False), (new, True)):
            if record is None or record.checkpoint is None:
                continue
            if record.checkpoint.status == "rolled_back":
                continue
            self._place(path, record, record.checkpoint.checkpoint_id, add=add)
            made = set(record.checkpoint.files_created)
            if add:
                self._files.update(made)
            else:
                self._files.subtract(made)
                for name in made:
                    if self._files[name] <= 0:
                        del self._files[name]

    def _place(self, path: str, record: Record, id_: str, *, add: bool) -> None:
        """Add a checkpoint to the ordered lists, or remove it. At equal times the one written last is last."""
        written = record.written if record.written and not self._copied else _EPOCH
        entry = (record.time, written, id_, path)
        _change(self._checkpoints, entry, add)
        if record.components:
            _change(self._holders["component"], entry, add)
        if record.features:
            _change(self._holders["feature"], entry, add)

    def _count_written(self, record: Record | None, by: int) -> None:
        """Count a file that states a time as written at that time or later."""
        if record is None or record.written is None or record.ts_source is TsSource.MTIME:
            return
        if record.written - record.time <= SKEW:
            self._in_time += by
        else:
            self._later += by

    def _update_copied(self, touched: set[_Key]) -> None:
        """Detect whether the folder is a copy; if that changed, reorder everything: a copy's mtimes do not count."""
        copied = self._copied_by_caller
        if copied is None:
            copied = is_copied(self._in_time, self._later)
        if copied == self._copied:
            return
        self._copied = copied
        for entries in (self._checkpoints, *self._holders.values()):
            entries.clear()
        for path, record in self._records[Shape.CHECKPOINT].items():
            if record.checkpoint is not None and record.checkpoint.status != "rolled_back":
                self._place(path, record, record.checkpoint.checkpoint_id, add=True)
        for shape, records in self._records.items():
            if shape is not Shape.CHECKPOINT:
                for path, record in records.items():
                    self._contribute(path, record, touched)

    def _time_of(self, record: Record) -> datetime:
        """Return the time that orders a file among others (the newest wins): for a checkpoint, its stated time."""
        if self._copied or record.written is None or record.shape in _WRITTEN_ONCE:
            return record.time
        return max(record.time, record.written)

    def _contribute(self, path: str, record: Record | None, touched: set[_Key]) -> None:
        """Replace the items of ``path``. Components and features of checkpoints are left to `_choose`."""
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
        self._replace_items(path, record, items, touched)

    def _choose(self, touched: set[_Key]) -> None:
        """Select the newest checkpoint with components, and the newest with features, as their only source."""
        for kind, attribute in (("component", "components"), ("feature", "features")):
            holders = self._holders[kind]
            path = holders[-1][-1] if holders else None
            record = self._record(path) if path else None
            self._replace_items(
                f"*checkpoint:{kind}", record, list(getattr(record, attribute)) if record else [], touched
            )

    def _replace_phases(self, source: str, found: list[tuple[Phase, datetime]], touched: set[_Key]) -> None:
        times = {phase.phase_id: at for phase, at in found}
        self._replace_items(source, None, [phase for phase, _ in found], touched, times)

    def _replace_items(
        self,
        source: str,
        record: Record | None,
        items: list[Any],
        touched: set[_Key],
        times: Mapping[str, datetime] | None = None,
    ) -> None:
        old_keys = self._by_path.get(source, set())
        new_keys: set[_Key] = set()
        rank = _RANK.get(record.shape, 0) if record else 0
        of_record = self._time_of(record) if record else _EPOCH
        for item in items:
            kind, id_field = KINDS[type(item)]
            key = (kind, getattr(item, id_field))
            time = times[key[1]] if times is not None else of_record
            new_keys.add(key)
            sources = self._contributions.setdefault(key, {})
            before = sources.get(source)
            if before is None or before.item != item or (before.time, before.rank) != (time, rank):
                sources[source] = _Contribution(time, rank, source, item)
                touched.add(key)
                published = sources.get(_PUBLISHED)
                if published is not None and (before is None or before.item != item):
                    amended = _amend(published.item, before.item if before else None, item)
                    sources[_PUBLISHED] = _Contribution(time, rank, _PUBLISHED, amended)
        for key in old_keys - new_keys:
            sources = self._contributions[key]
            del sources[source]
            if sources.keys() == {_PUBLISHED} and key in self._amended:
                self._amended.discard(key)
                sources.clear()
            touched.add(key)
        if new_keys:
            self._by_path[source] = new_keys
        else:
            self._by_path.pop(source, None)

    def _resolve(self, key: _Key, delta: Delta) -> None:
        sources = self._contributions.get(key)
        if not sources:
            self._contributions.pop(key, None)
            if self._merged[key[0]].pop(key[1], None) is not None:
                delta.removed.append(key)
            return
        merged = self._merged[key[0]]
        published = sources.get(_PUBLISHED)
        ordered = [published] if published else sorted(sources.values(), key=lambda s: (s.time, s.rank, s.path))
        item = ordered[-1].item
        if isinstance(item, Checkpoint):
            before = merged.get(key[1])
            if before is None or msgspec.structs.replace(before, version=1) != item:
                self._versions[key[1]] += 1
            item = msgspec.structs.replace(item, version=self._versions[key[1]])
        elif len(ordered) > 1:
            item = ordered[0].item
            for source in ordered[1:]:
                item = _overlay(item, source.item)
        if merged.get(key[1]) != item:
            merged[key[1]] = item
            delta.items.append(item)

    # -- the whole ------------------------------------------------------------------------------------------------

    def _overall(self) -> tuple[Progress, Session]:
        by_kind = {kind: list(items.values()) for kind, items in self._merged.items() if kind != "checkpoint"}
        components: list[Component] = by_kind["component"]
        features: list[Feature] = by_kind["feature"]
        newest = self._newest()
        total, completed, percent, status, source = self._verdict(components, features, newest)
        verdict = self._verdict_now
        phase = self._present_phase()
        progress = Progress(
            total=total,
            completed=completed,
            percent=percent,
            status=status,
            current_component=_current(components, "component_id"),
            current_feature=_current(features, "feature_id"),
        )
        if verdict is not None:
            progress = Progress(
                total=verdict.total,
                completed=verdict.completed,
                percent=verdict.percent,
                status=verdict.status,
                current_component=verdict.component,
                current_feature=verdict.feature,
                low=verdict.low,
                high=verdict.high,
            )
            status, source = verdict.status, verdict.why
        if self._published_progress is not None:
            progress, source = _overlay_progress(progress, self._published_progress), "published"
            status = progress.status
        others = self._of(*(shape for shape in Shape if shape is not Shape.CHECKPOINT))
        starts = [i.started_at for k in ("component", "task", "phase") for i in by_kind[k] if i.started_at]
        starts += [r.started_at for r in others if r.started_at]
        # In a copied folder the mtimes are the time of the copy, not the end of any work.
        dated = [r for r in others if r.ended_at or not (self._copied and r.ts_source is TsSource.MTIME)]
        ends = [r.ended_at or r.time for r in dated]
        if self._published_at:
            starts.append(self._published_at[0])
            ends.append(self._published_at[1])
        if self._checkpoints:
            starts.append(self._checkpoints[0][0])
            ends.append(self._checkpoints[-1][0])
        over = status in (BuildStatus.COMPLETED, BuildStatus.FAILED)
        projects = [r.project for r in others if r.project]
        counts: dict[str, Any] = {f"{kind}s": len(items) for kind, items in self._merged.items()}
        session = Session(
            project=projects[-1] if projects else self._default_project,
            status=status,
            status_source=source,
            phase=phase or (newest.phase if newest else None) or self._workflow_phase(),
            started_at=min(starts) if starts else None,
            ended_at=max(ends) if over and ends else None,
            counts=Counts(
                **counts,
                files=len(self._files),
                warnings=len(self._warnings),
                by_type=self._by_type(),
            ),
        )
        if verdict is not None:
            session.system = verdict.system
            session.present = list(verdict.present)
            session.phase = verdict.phase
            session.evidence_at, session.evidence = verdict.evidence_at, verdict.evidence
            session.silent_after = verdict.silent_after
            session.started_at = verdict.started_at
            session.ended_at = verdict.evidence_at if over else None
        return progress, session

    def _by_type(self) -> dict[str, int]:
        types: Counter[str] = Counter()
        if self._is_planned:
            types.update(item.component_type for item in self._merged["component"].values() if item.component_type)
            types.update(item.feature_type for item in self._merged["feature"].values() if item.feature_type)
        return dict(sorted(types.items()))

    def _newest(self) -> Record | None:
        return self._record(self._checkpoints[-1][-1]) if self._checkpoints else None

    def _record(self, path: str) -> Record:
        return self._records[self._shape[path]][path]

    def _of(self, *shapes: Shape) -> list[Record]:
        """The records of these shapes, oldest first."""
        return sorted((r for s in shapes for r in self._records[s].values()), key=lambda r: (self._time_of(r), r.path))

    def _own_word(self) -> Status:
        """Return the own status of the newest file among those with components or features."""
        chosen = [self._record(holders[-1][-1]) for holders in self._holders.values() if holders]
        holding = chosen + [r for r in self._of(Shape.FEATURES) if r.features]
        spoken = [r for r in holding if r.own is not Status.UNKNOWN]
        return max(spoken, key=lambda r: (self._time_of(r), r.path)).own if spoken else Status.UNKNOWN

    def _workflow_phase(self) -> str | None:
        return next((r.phase for r in reversed(self._of(Shape.WORKFLOW)) if r.phase), None)

    def _present_phase(self) -> str | None:
        phases: list[Phase] = list(self._merged["phase"].values())
        named = [r.present_phase for r in self._of(Shape.CURRENT_PHASE) if r.present_phase]
        if named:
            return named[-1]
        running = [p for p in phases if p.status is Status.IN_PROGRESS and p.updated_at]
        dated = running or [p for p in phases if p.updated_at]
        return max(dated, key=lambda p: (p.updated_at, p.phase_id)).phase_id if dated else None

    def _verdict(
        self, components: list[Component], features: list[Feature], newest: Record | None
    ) -> tuple[int | None, int | None, float | None, BuildStatus, str]:
        """(total, completed, percent, status, source) of the build, by the published order of sources."""
        if components or features:
            items = [*components, *features]
            overall = pg.overall_percentage(components, features)
            percent = None if overall is None else pg.rounded(overall)
            phase = newest.phase if newest else None
            status, rule = pg.build_status(
                (i.status for i in items), percent=percent, phase=phase, own=self._own_word()
            )
            percent = pg.percentage_said(percent, (i.status for i in items), (status, rule))
            status, rule = _partly_done(status, rule, percent)
            done = sum(i.status is Status.COMPLETED for i in items)
            return len(items), done, percent, status, f"components_and_features:{rule}"
        present = self._present_phase()
        locks = [r for r in self._of(Shape.LOCK) if present is None or any(_is_phase(p, present) for p in r.phases)]
        for source, records in (
            ("orchestration_state", self._of(Shape.ORCHESTRATION)),
            ("lock", locks),
            ("orchestration", self._of(Shape.BATCHES)),
        ):
            for record in reversed(records):
                if record.percent is not None:
                    tally = record.tally or Tally()
                    status, rule = _partly_done(record.status, record.status_source, record.percent)
                    return tally.total, tally.completed, record.percent, status, f"{source}:{rule}"
        tallies = [r.tally for r in self._of(Shape.WORKFLOW, Shape.POOL) if r.tally and r.tally.total]
        if tallies:
            total = sum(t.total or 0 for t in tallies)
            done = sum(t.completed or 0 for t in tallies)
            failed = sum(t.failed for t in tallies)
            percent = pg.rounded(100 * done / total)
            if done + failed >= total:
                status = BuildStatus.FAILED if failed else BuildStatus.COMPLETED
            else:
                status = BuildStatus.IN_PROGRESS if done + failed else BuildStatus.PENDING
            return total, done, percent, status, "workflows:counts"
        for record in [newest, *reversed(self._of(Shape.LOCK, Shape.BATCHES, Shape.CURRENT_PHASE, Shape.RUNTIME))]:
            if record is not None and record.status is not BuildStatus.UNKNOWN:
                return None, None, record.percent, record.status, f"{record.shape}:{record.status_source}"
        return None, None, None, BuildStatus.UNKNOWN, ""


def _partly_done(status: BuildStatus, rule: str, percent: float | None) -> tuple[BuildStatus, str]:
    """Turn pending with some progress, or completed by a phase's name before 100 %, into in progress."""
    early = status is BuildStatus.COMPLETED and rule == "phase" and percent is not None
    if early or (status is BuildStatus.PENDING and percent):
        return BuildStatus.IN_PROGRESS, "partly done"
    return status, rule


def _is_phase(phase: Phase, name: str) -> bool:
    """Whether ``name`` is the id of a phase, or the number in its file (the folder's name may be longer)."""
    return phase.phase_id == name or str(phase.metadata.get("phase")) == name


def _order(item: Any) -> tuple[int, Any, str]:
    """Return the sort key of an item in a batch: by kind, then time (checkpoints only), then id."""
    kind, id_field = KINDS[type(item)]
    rank = ("phase", "component", "feature", "task", "checkpoint").index(kind)
    at = item.created_at.timestamp() if kind == "checkpoint" and item.created_at else 0.0
    return (rank, at, getattr(item, id_field))


def _change(entries: list[_Entry], entry: _Entry, add: bool) -> None:
    if add:
        insort(entries, entry)
        return
    at = bisect_left(entries, entry)
    if at < len(entries) and entries[at] == entry:
        del entries[at]


def _overlay(older: Any, newer: Any) -> Any:
    """Return the older record, updated with every field that is present in the newer one."""
    said: dict[str, Any] = {}
    has_status = getattr(newer, "status_raw", None) is not None or bool(getattr(newer, "progress", 0))
    for name in newer.__struct_fields__:
        value = getattr(newer, name)
        if name in _TOGETHER:
            if has_status:
                said[name] = value
        elif name == "metadata":
            said[name] = {**older.metadata, **value}
        elif value not in _ABSENT:
            said[name] = value
        elif name == "error" and has_status and newer.status != older.status:
            said[name] = None  # an error goes with the status that it explains
    return msgspec.structs.replace(older, **said)


def _amend(item: Any, before: Any | None, now: Any) -> Any:
    """Return a published item, updated with the fields that changed in a file (all, if the item is new there)."""
    if before is None:
        return _overlay(item, now)
    changed = {n for n in now.__struct_fields__ if getattr(before, n) != getattr(now, n)}
    if changed & set(_TOGETHER):
        changed.update(name for name in _TOGETHER if name in now.__struct_fields__)
    said = {name: getattr(now, name) for name in changed}
    if "metadata" in said:
        said["metadata"] = {**item.metadata, **now.metadata}
    return msgspec.structs.replace(item, **said)


def _overlay_progress(computed: Progress, published: Progress) -> Progress:
    """Return the published progress; fields that it lacks come from the computed one."""
    return msgspec.structs.replace(
        published,
        status=computed.status if published.status is BuildStatus.UNKNOWN else published.status,
        current_component=published.current_component or computed.current_component,
        current_feature=published.current_feature or computed.current_feature,
    )


def _current(items: list[Any], id_field: str) -> str | None:
    """The id of the item in progress that started last."""
    running = [i for i in items if i.status is Status.IN_PROGRESS]
    if not running:
        return None

    def key(item: Any) -> tuple[float, str]:
        started = getattr(item, "started_at", None)
        return (started.timestamp() if started else 0.0, getattr(item, id_field))

    return getattr(max(running, key=key), id_field)

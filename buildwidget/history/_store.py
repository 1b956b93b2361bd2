"""All data read, in columns: versions of files, and the items in them, each kept once.

Consecutive checkpoints say nearly the same: of thirty items one or two have changed. So the text of an item is looked
up before it is parsed, and what is kept for each checkpoint is the numbers of its items. Only what is beyond doubt goes
that way (`Store.add_plain`); any other file is read by `buildwidget.systems` as in the live view, warnings included.
"""

# numpy, pandas and pyarrow leave the types of elements open.
# pyright: reportUnknownMemberType=false, reportUnknownArgumentType=false, reportUnknownVariableType=false

from __future__ import annotations

import itertools
import math
import os
from array import array
from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any, Final

import msgspec
import numpy as np
from numpy.typing import NDArray

from ..errors import CheckpointError
from ..model import BuildStatus, Component, Feature, Phase, Status, Task, TsSource
from ..progress import build_status, percentage_said, rounded
from ..reading.files import stamp_of
from ..reading.items import warn_of_cycles
from ..reading.memo import Memo
from ..reading.plain import PlainComponent, PlainFeature
from ..reading.values import (
    MAX_WARNINGS,
    SKEW,
    UNKNOWN_WORD,
    ItemWarning,
    Reader,
    fits_utc,
    is_coarse,
    is_settled,
    parse_time,
    unknown_word,
    utc_of,
)
from ..systems import Record, Shape, parse
from ..words import is_known, map_status
from . import tables
from ._columns import BUILD_STATUSES, NONE, STATUSES, Pool, micros
from ._plain import (
    Head,
    NeedsFallbackError,
    TextList,
    one,
    read_component,
    read_components,
    read_feature,
    read_features,
    read_head,
)
from ._scan import Root

__all__ = ["Items", "Stamp", "Store"]

_STATUS: Final = {Status(name): at for at, name in enumerate(STATUSES)}
_BUILD_STATUS: Final = {BuildStatus(name): at for at, name in enumerate(BUILD_STATUSES)}
_LIFE: Final = frozenset({"created", "active", "rolled_back"})
_MANY_RUNS: Final = 1_000
_PACK: Final = 50_000  # rows
_MOST_GOOD: Final = 100_000
_MOST_KNOWN: Final = 200_000  # items that are remembered by what was written
_COMPLETED: Final = _STATUS[Status.COMPLETED]
_UNKNOWN: Final = _STATUS[Status.UNKNOWN]
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_SKEW: Final = SKEW // timedelta(microseconds=1)
_YEAR_2000: Final = 946_684_800_000_000
_MOST_MINUTES: Final = 2**62 // 60_000_000


class Stamp(msgspec.Struct, frozen=True):
    """What tells one version of a file from the next: size in bytes, times in ns, inode.

    The modification time can be set back by anybody; ``ctime_ns`` is the kernel's own. See `reading.files.stamp_of`.
    """

    size: int
    mtime_ns: int
    ctime_ns: int
    inode: int

    @classmethod
    def of(cls, found: os.stat_result) -> Stamp:
        """That of a file on disk."""
        mtime_ns, ctime_ns, size, inode = stamp_of(found)
        return cls(size, mtime_ns, ctime_ns, inode)


class Known(dict[bytes, int]):
    """Items by what was written. One that is not known gets a number now, and is read with others like it."""

    def __init__(self) -> None:
        super().__init__()
        self.count = 0  # numbers given
        self.unread: list[bytes] = []  # those with the newest numbers

    def __missing__(self, raw: bytes) -> int:
        if len(self) > _MOST_KNOWN:  # nothing repeats: what is remembered only costs
            self.clear()
        code = self[raw] = self.count
        self.count += 1
        self.unread.append(raw)
        return code


class Items:
    """All items of one kind: each different one once, and which of them every file holds."""

    def __init__(self, kinds: dict[str, str], id_field: str) -> None:
        self.id_field = id_field
        self.pool = Pool({**kinds, "needs": "count", "own_files": "count"})
        self.codes = array("i")  # of all files, one after the other
        self.counts = array("i")  # how many each file holds
        self.edge: list[int] = []  # per item: a number for its id and what it depends on
        self.edges: dict[tuple[str | None, int], int] = {}
        self.good: set[tuple[int, ...]] = set()  # which of them go together: no id twice, no cycle
        self.known = Known()
        self.needs_fallback: set[int] = set()  # numbers of items that only `systems` can read
        self.latest: list[int] = []  # per item: the latest time in it
        self.unknown_words: dict[int, str] = {}  # items with a status word that is not in the vocabulary
        names = list(self.pool.kinds)
        self._times_at = [at for at, kind in enumerate(self.pool.kinds.values()) if kind == "time"]
        self._status_at, self._word_at = names.index("status"), names.index("status_raw")

    def add(self, row: tuple[Any, ...], needs: int, own_files: int) -> int:
        """Add a new item; return its number. Every item that has a number must have been read."""
        code = self.known.count
        self.known.count += 1
        self.append((*row, needs, own_files))
        return code

    def append(self, row: tuple[Any, ...]) -> None:
        """Add an item that has a number already."""
        if row[self._status_at] == _UNKNOWN and not is_known(row[self._word_at]):
            self.unknown_words[len(self.edge)] = row[self._word_at]
        self.pool.add(row)
        self.edge.append(self.edges.setdefault((row[0], row[-2]), len(self.edges)))
        self.latest.append(max((row[at] for at in self._times_at), default=NONE))

    def extend(self, columns: Sequence[Sequence[Any]], *, as_rows: bool) -> None:
        """Add many items that have numbers already, given as columns."""
        if _UNKNOWN in columns[self._status_at]:
            first, words = len(self.edge), columns[self._word_at]
            self.unknown_words.update({first + at: word for at, word in enumerate(words) if not is_known(word)})
        if as_rows or len(columns[0]) < _PACK // 10:
            for row in zip(*columns, strict=True):
                self.pool.add(row)
        else:
            self.pool.extend(columns)
        edges = self.edges
        times = [columns[at] for at in self._times_at]
        self.latest += map(max, zip(*times, strict=True)) if times else itertools.repeat(NONE, len(columns[0]))
        self.edge += [edges.setdefault(key, len(edges)) for key in zip(columns[0], columns[-2], strict=True)]

    def of_files(self, rows: NDArray[Any]) -> NDArray[Any]:
        """The numbers of the items of these files, one file after the other."""
        counts = self.count().astype(np.int64)
        ends = np.cumsum(counts)
        codes = self.array()
        if not len(rows):
            return codes[:0]
        breaks = np.flatnonzero(np.diff(rows) != 1) + 1
        if len(breaks) <= _MANY_RUNS:  # nearly in order: by runs
            firsts, lasts = rows[np.append(0, breaks)], rows[np.append(breaks, len(rows)) - 1]
            runs = zip((ends - counts)[firsts].tolist(), ends[lasts].tolist(), strict=True)
            parts = [codes[first:last] for first, last in runs]
            return parts[0] if len(parts) == 1 else np.concatenate(parts)
        lengths = counts[rows]
        starts = np.cumsum(lengths) - lengths
        return codes[np.arange(int(lengths.sum())) - np.repeat(starts - (ends - counts)[rows], lengths)]

    def array(self) -> NDArray[Any]:
        """The numbers of the items of all files."""
        return np.frombuffer(self.codes, dtype=np.int32) if self.codes else np.zeros(0, dtype=np.int32)

    def count(self) -> NDArray[Any]:
        """How many items each file holds."""
        return np.frombuffer(self.counts, dtype=np.int32) if self.counts else np.zeros(0, dtype=np.int32)


class Store:
    """What was read of some projects.

    Parameters
    ----------
    roots
        The projects.
    sends
        Whether it sends what it has to another process (`drain`), and keeps no tables.
    """

    def __init__(self, roots: Iterable[Root], *, sends: bool = False) -> None:
        self.roots = list(roots)
        self.files = Pool(
            {
                **tables.FILE,
                "root": "count",
                "version": "count",
                "mtime_ns": "int",
                "ctime_ns": "int",
                "inode": "int",
                "done": "count",  # the lists of tasks completed and files created, see `lists`
                "made": "count",
                "plain": "bool",
            }
        )
        self.items: dict[str, Items] = {
            "component": Items(tables.COMPONENT, "component_id"),
            "feature": Items(tables.FEATURE, "feature_id"),
            "task": Items(tables.TASK, "task_id"),
            "phase": Items(tables.PHASE, "phase_id"),
        }
        self.lists: list[tuple[str, ...]] = [()]
        self._lists: dict[object, int] = {(): 0, b"": 0, b"null": 0, b"[]": 0}
        self.warnings: list[tuple[int, str, str, str]] = []  # root, path, code, message
        self.records: dict[tuple[int, str], Record] = {}  # the newest version of every file that is no checkpoint
        self.versions: dict[tuple[int, str], int] = {}
        self._times: dict[str, tuple[int, str] | None] = {}
        self._stated: dict[tuple[int, str], datetime] = {}  # the time that the newest version of a file states
        self._memo = Memo()
        self._statuses: dict[str | None, int] = {}
        self._dropped: set[int] = set()
        self._stamps: dict[tuple[int, str], Stamp] | None = None
        self.gone: set[tuple[int, str]] = set()  # files that are no longer on disk: past, but not present
        self._sent = {"lists": 1}  # see `drain`
        self._sends = sends
        self._maps: dict[str, array[int]] = {}  # numbers in the other store → here, see `absorb`
        self._derived = 0  # so many files have what follows from their items

    # -- lists of texts -------------------------------------------------------------------------------------------

    def list_of(self, texts: Iterable[str]) -> int:
        """The number of a list of texts."""
        key = tuple(texts)
        found = self._lists.get(key)
        if found is None:
            found = self._lists[key] = len(self.lists)
            self.lists.append(key)
        return found

    def _list_of_raw(self, raw: msgspec.Raw) -> int | None:
        """The number of a list as a file writes it; None if it is not simply a list of texts."""
        key = bytes(raw)
        found = self._lists.get(key)
        if found is None:
            try:
                found = self.list_of(msgspec.json.decode(key, type=TextList))
            except (msgspec.MsgspecError, UnicodeDecodeError):
                return None
            self._lists[key] = found
        return found

    def forget_lists(self) -> None:
        """The lists were replaced: know them by what is in them now."""
        self._lists = {b"": 0, b"null": 0, b"[]": 0}
        self._lists.update(zip(self.lists, itertools.count()))

    # -- which versions count -------------------------------------------------------------------------------------

    def drop(self, rows: NDArray[Any]) -> None:
        """Forget versions of files: they are in no table any more."""
        self._dropped.update(rows.tolist())

    def forget(self, paths: Iterable[str]) -> None:
        """Forget what was wrong with files of the only root, and how often they were read."""
        gone = set(paths)
        self.warnings = [warning for warning in self.warnings if warning[1] not in gone]
        for path in gone:
            self.versions.pop((0, path), None)

    def alive(self) -> NDArray[Any]:
        """Which versions count, as a truth value for each."""
        alive = np.ones(len(self.files), dtype=bool)
        alive[list(self._dropped)] = False
        return alive

    @property
    def has_dropped(self) -> bool:
        """Whether any version was forgotten."""
        return bool(self._dropped)

    def derived(self, count: int) -> None:
        """The first so many files have what follows from their items."""
        self._derived = count

    def newest_stamp(self, root: int, path: str) -> Stamp | None:
        """The stamp of the version of a file that was read last; None if there is none."""
        if self._stamps is None:
            files = self.files
            texts = files.texts("file_path")
            columns = [files.raw(name).tolist() for name in ("root", "file_path", *Stamp.__struct_fields__)]
            alive = self.alive().tolist()
            for of, place, version, counts in zip(*columns[:2], files.raw("version").tolist(), alive, strict=True):
                if counts:  # those of a cache have no count yet
                    key = (of, texts[place])
                    self.versions[key] = max(version, self.versions.get(key, 0))
            self._stamps = {(of, texts[place]): Stamp(*stamp) for of, place, *stamp in zip(*columns, strict=True)}
        return self._stamps.get((root, path))

    # -- one file more --------------------------------------------------------------------------------------------

    def add(self, root: int, path: str, data: bytes, stat: Stamp, *, plain: bool) -> bool:
        """Add a version of a file; a file that cannot be read becomes a warning, and False is returned.

        Parameters
        ----------
        root
            Its place in ``roots``.
        path
            Relative to the root, with ``/``.
        data
            What is in it.
        stat
            Its size, times and inode.
        plain
            Whether its place says that it is a build checkpoint.
        """
        if plain and self.add_plain(root, path, data, stat):
            return True
        try:
            record = parse(path, data, utc_of(stat.mtime_ns / 1e9), self._memo)
        except CheckpointError as error:
            place = f" ({error.place})" if error.place else ""
            self.warn(root, path, error.code, error.reason + place)
            return False
        self.add_record(root, record, stat)
        return True

    def pack(self) -> None:
        """Put new rows into arrays where there are more than `_PACK` of them, to save memory."""
        if not self._sends:
            for items in self.items.values():
                if items.pool.unpacked > _PACK:
                    items.pool.pack()

    def warn(self, root: int, path: str, code: str, message: str) -> None:
        """Note what is wrong with a file."""
        self.warnings.append((root, path, code, message))

    def add_plain(self, root: int, path: str, data: bytes, stat: Stamp) -> bool:
        """Add a checkpoint by the fast path; return False if it needs the fallback."""
        return not self.add_many(root, [(path, data, stat)])

    def add_many(self, root: int, files: Sequence[tuple[str, bytes, Stamp]]) -> list[int]:
        """Add checkpoints by the fast path; return the places of those that need the fallback."""
        components, features = self.items["component"], self.items["feature"]
        heads: list[tuple[int, Head, list[int], list[int]]] = []
        others: list[int] = []
        for at, (_, data, _) in enumerate(files):
            head = read_head(data)
            if head is None:
                others.append(at)
                continue
            mine = list(map(components.known.__getitem__, map(bytes, head.components))) if head.components else []
            theirs = list(map(features.known.__getitem__, map(bytes, head.features))) if head.features else []
            heads.append((at, head, mine, theirs))
        self._read_items(components, read_components, self._component_columns, self._component_row)
        self._read_items(features, read_features, self._feature_columns, self._feature_row)
        for at, head, mine, theirs in heads:
            path, _, stat = files[at]
            time = self._times.get(head.timestamp) or self._time(head.timestamp)
            done, made = self._list_of_raw(head.tasks_completed), self._list_of_raw(head.files_created)
            modified = stat.mtime_ns // 1000
            if (
                time is None
                or done is None
                or made is None
                or is_coarse(head.timestamp)
                or (modified >= _YEAR_2000 and self._may_be_later(head.timestamp, time, modified, mine, theirs))
                or not self._go_together(components, mine)
                or not self._go_together(features, theirs)
            ):
                others.append(at)
                continue
            self.files.add(
                (
                    *(head.id, time[0], time[1], "checkpoint", head.phase, head.status),
                    *(-1, None, math.nan, NONE, NONE),  # what follows from the items: see `derive`
                    *(
                        path,
                        stat.size,
                        modified,
                        root,
                        self._version(root, path),
                        stat.mtime_ns,
                        stat.ctime_ns,
                        stat.inode,
                    ),
                    *(done, made, 1),
                )
            )
            if components.unknown_words or features.unknown_words or not is_known(head.status):
                self._warn_of_words(root, path, mine, theirs, head.status)
            components.codes.extend(mine)
            components.counts.append(len(mine))
            features.codes.extend(theirs)
            features.counts.append(len(theirs))
            self.items["task"].counts.append(0)
            self.items["phase"].counts.append(0)
        return others

    def _may_be_later(
        self, text: str, time: tuple[int, str], modified: int, mine: list[int], theirs: list[int]
    ) -> bool:
        """Whether any time in a file may lie after the file was written, or be one of another zone."""
        latest = time[0]
        for kind, codes in (("component", mine), ("feature", theirs)):
            known = self.items[kind].latest
            if codes:
                latest = max(latest, *map(known.__getitem__, codes))
        if latest - modified > _SKEW:
            return True
        return time[1] != "file" and abs(time[0] - modified) > _SKEW and fits_utc(text, utc_of(modified / 1e6))

    def _warn_of_words(self, root: int, path: str, mine: list[int], theirs: list[int], own: str | None) -> None:
        """Warn of the status words in a file that nobody knows."""
        words: dict[str, None] = {}
        for kind, codes in (("component", mine), ("feature", theirs)):
            unknown_words = self.items[kind].unknown_words
            words |= dict.fromkeys(unknown_words[code] for code in codes if code in unknown_words)
        if own is not None and own.strip().lower() not in _LIFE and not is_known(own):
            words[own] = None
        for word in itertools.islice(words, MAX_WARNINGS):
            self._warn_of(root, path, unknown_word(word))

    @property
    def unique_warnings(self) -> list[tuple[int, str, str, str]]:
        """The warnings by project, file and code; an unknown word once for each project, at the first file with it."""
        unique: list[tuple[int, str, str, str]] = []
        words: set[tuple[int, str]] = set()
        for warning in sorted(self.warnings, key=lambda row: row[:3]):
            root, _, code, message = warning
            if code == UNKNOWN_WORD:
                if (root, message) in words:
                    continue
                words.add((root, message))
            unique.append(warning)
        return unique

    def _go_together(self, items: Items, codes: list[int]) -> bool:
        """Whether a file may hold these: none needs the fallback, no id comes twice, and nothing waits for itself."""
        if items.needs_fallback and not items.needs_fallback.isdisjoint(codes):
            return False
        edges = tuple(map(items.edge.__getitem__, codes))
        if edges in items.good:
            return True
        keys = list(items.edges)
        graph = {keys[edge][0] or "": list(self.lists[keys[edge][1]]) for edge in edges}
        reader = Reader("", _EPOCH)
        warn_of_cycles(reader, "item", graph)
        if len(graph) < len(edges) or reader.warnings:
            return False
        if len(items.good) > _MOST_GOOD:
            items.good.clear()
        items.good.add(edges)
        return True

    def _time(self, text: str) -> tuple[int, str] | None:
        found = parse_time(text)
        if found is None or not is_settled(text):
            return None
        if len(self._times) > 200_000:
            self._times.clear()
        self._times[text] = made = (micros(found[0]), str(found[1]))
        return made

    def _micros(self, text: str | None) -> int:
        """A time as a file writes it.

        Raises
        ------
        NeedsFallbackError
            If it is none.
        """
        if not text:
            return NONE
        found = self._times.get(text) or self._time(text)
        if found is None:
            raise NeedsFallbackError
        return found[0]

    def _read_items(self, items: Items, read: Any, columns_of: Any, row_of: Any) -> None:
        """Read the items that have a number and were not read: all at once, or one by one if any needs the fallback."""
        raws = items.known.unread
        if not raws:
            return
        found = read(raws)
        if found is not None:
            try:
                columns = columns_of(found)
            except NeedsFallbackError:
                found = None
            else:
                items.extend(columns, as_rows=self._sends)
        if found is None:
            for raw in raws:
                try:
                    row = row_of(raw)
                except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError, NeedsFallbackError):
                    items.needs_fallback.add(len(items.edge))
                    row = _nothing(items.pool.kinds)
                items.append(row)
        raws.clear()

    def _component_columns(self, found: list[PlainComponent]) -> list[list[Any]]:
        words = [item.status for item in found]
        statuses = list(map(self._status, words))
        micros_of, list_of = self._micros, self.list_of
        return [
            [item.id for item in found],
            [item.name or None for item in found],
            [item.type for item in found],
            statuses,
            words,
            _percents(statuses, [item.progress for item in found]),
            [_TRUTH[one(item.tests_pass, item.testsPass)] for item in found],
            [micros_of(one(item.start_time, item.startTime)) for item in found],
            [micros_of(one(item.end_time, item.endTime)) for item in found],
            [item.error for item in found],
            [list_of(item.dependencies) if item.dependencies else 0 for item in found],
            [list_of(item.files) if item.files else 0 for item in found],
        ]

    def _component_row(self, raw: bytes) -> tuple[Any, ...]:
        return tuple(column[0] for column in self._component_columns([read_component(raw)]))

    def _feature_columns(self, found: list[PlainFeature]) -> list[list[Any]]:
        words = [item.status for item in found]
        statuses = list(map(self._status, words))
        tasks = [item.tasks or () for item in found]
        done = [0] * len(found)
        percents_stated = [item.progress for item in found]
        for at, checklist in enumerate(tasks):
            if checklist:
                if len({task.id for task in checklist}) < len(checklist):
                    raise NeedsFallbackError
                for task in checklist:
                    self._micros(task.timestamp)
                done[at] = sum(task.completed for task in checklist)
                if percents_stated[at] is None:
                    percents_stated[at] = 100.0 * done[at] / len(checklist)
        return [
            [item.id for item in found],
            [item.name or None for item in found],
            [item.description for item in found],
            [item.component for item in found],
            statuses,
            words,
            _percents(statuses, percents_stated),
            [item.priority for item in found],
            list(map(len, tasks)),
            done,
            [_minutes(one(item.estimated_time, item.estimatedTime)) for item in found],
            [_minutes(one(item.actual_time, item.actualTime)) for item in found],
            [item.error for item in found],
            [self.list_of(item.dependencies) if item.dependencies else 0 for item in found],
            [0] * len(found),
        ]

    def _feature_row(self, raw: bytes) -> tuple[Any, ...]:
        return tuple(column[0] for column in self._feature_columns([read_feature(raw)]))

    def _status(self, word: str | None) -> int:
        """A status, by the word for it."""
        status = self._statuses.get(word)
        if status is None:
            if len(self._statuses) > 10_000:
                self._statuses.clear()
            status = self._statuses[word] = _STATUS[map_status(word)]
        return status

    # -- items ----------------------------------------------------------------------------------------------------

    def component(self, item: Component) -> int:
        """Keep a component; returns its number."""
        return self.items["component"].add(
            (
                *(item.component_id, item.name or None, item.component_type, _STATUS[item.status], item.status_raw),
                *(item.progress, _TRUTH[item.tests_pass], micros(item.started_at), micros(item.ended_at), item.error),
            ),
            self.list_of(item.dependencies),
            self.list_of(item.files),
        )

    def feature(self, item: Feature) -> int:
        """Keep a feature; returns its number."""
        done = sum(task.completed for task in item.tasks)
        return self.items["feature"].add(
            (
                *(item.feature_id, item.name or None, item.description, item.component_id, _STATUS[item.status]),
                *(item.status_raw, item.progress, item.priority, len(item.tasks), done),
                *(_minutes(item.estimated_minutes), _minutes(item.actual_minutes), item.error),
            ),
            self.list_of(item.dependencies),
            0,
        )

    def task(self, item: Task) -> int:
        """Keep a task; returns its number."""
        duration = NONE if item.duration_ms is None else round(item.duration_ms * 1000)
        return self.items["task"].add(
            (
                *(item.task_id, item.name or None, item.kind, item.parent_id, _STATUS[item.status], item.status_raw),
                *(item.progress, _minutes(item.estimated_minutes), micros(item.started_at), micros(item.completed_at)),
                *(duration, _count(item.retry_count), item.error),
            ),
            self.list_of(item.dependencies),
            0,
        )

    def phase(self, item: Phase) -> int:
        """Keep a phase; returns its number."""
        return self.items["phase"].add(
            (
                *(item.phase_id, item.name or None, math.nan if item.step is None else item.step, item.step_label),
                *(_STATUS[item.status], item.status_raw, _count(item.tasks_total), _count(item.tasks_done)),
                *(item.current_task, micros(item.started_at), micros(item.updated_at)),
            ),
            0,
            0,
        )

    def _kept(self, kind: str, add: Any, items: Iterable[Any]) -> list[int]:
        """The numbers of items of a record: those that are kept already, and new ones."""
        known = self.items[kind].known
        codes: list[int] = []
        for item in items:
            key = b"=" + msgspec.json.encode(item)  # as no JSON text begins
            code = known.get(key)
            if code is None:
                code = add(item)
                if len(known) > _MOST_KNOWN:
                    known.clear()
                known[key] = code
            codes.append(code)
        return codes

    def add_record(self, root: int, record: Record, stat: Stamp) -> None:
        """Add a version of a file that `systems` has read."""
        at = record.checkpoint
        if record.shape is not Shape.CHECKPOINT:
            record = self._renewed(root, record)
        self.files.add(
            (
                at.checkpoint_id if at else _name(record.path),
                *(micros(record.time), str(record.ts_source), str(record.shape), record.phase),
                *(at.status if at else None, _BUILD_STATUS[record.status], record.status_source or None),
                math.nan if record.percent is None else record.percent,
                *(micros(record.started_at), micros(record.ended_at), record.path, stat.size, stat.mtime_ns // 1000),
                *(root, self._version(root, record.path), stat.mtime_ns, stat.ctime_ns, stat.inode),
                *(self.list_of(at.tasks_completed if at else ()), self.list_of(at.files_created if at else ()), 0),
            )
        )
        for kind, add, found in (
            ("component", self.component, record.components),
            ("feature", self.feature, record.features),
            ("task", self.task, record.tasks),
            ("phase", self.phase, record.phases),
        ):
            items = self.items[kind]
            codes = self._kept(kind, add, found)
            items.codes.extend(codes)
            items.counts.append(len(codes))
        if self._stamps is not None:
            self._stamps[root, record.path] = stat
        if record.shape is not Shape.CHECKPOINT:
            self.records[root, record.path] = record
        for warning in record.warnings:
            self._warn_of(root, record.path, warning)

    def _renewed(self, root: int, record: Record) -> Record:
        """A version that states the time of the one before it, and says something else, is as old as its file."""
        key = (root, record.path)
        stated, before = record.time, self._stated.get(key)
        self._stated[key] = stated
        if before == stated and record.ts_source is not TsSource.MTIME and record.written and record.written > stated:
            return msgspec.structs.replace(record, time=record.written, ts_source=TsSource.MTIME)
        return record

    def _warn_of(self, root: int, path: str, warning: ItemWarning) -> None:
        self.warn(root, path, warning.code, warning.message)

    def _version(self, root: int, path: str) -> int:
        key = (root, path)
        version = self.versions.get(key, 0) + 1
        self.versions[key] = version
        return version

    # -- from and to another process ------------------------------------------------------------------------------

    def drain(self) -> dict[str, Any]:
        """Return and remove what was added since the last call, for `absorb`. Only for a store with ``sends``."""
        sent = self._sent
        answer = {
            "files": self.files.drain(),
            "lists": self.lists[sent["lists"] :],
            "warnings": self.warnings[:],
            "records": list(self.records.items()),
            "items": {
                kind: (items.pool.drain(), items.codes.tobytes(), items.counts.tobytes())
                for kind, items in self.items.items()
            },
        }
        sent["lists"] = len(self.lists)
        self.warnings.clear()
        self.records.clear()
        for items in self.items.values():
            items.codes, items.counts = array("i"), array("i")
        return answer

    def reset_maps(self) -> None:
        """Forget how the numbers of the last other store map to those here: a new one is about to send."""
        self._maps.clear()

    def absorb(self, root: int, answer: Mapping[str, Any]) -> None:
        """Add what another store has read of one root: one answer of its `drain`."""
        maps = self._maps
        lists = maps.setdefault("lists", array("i", [0]))
        lists.extend(map(self.list_of, answer["lists"]))
        for kind, (rows, codes, counts) in answer["items"].items():
            items = self.items[kind]
            known = maps.setdefault(kind, array("i"))
            known.extend(items.add(row[:-2], lists[row[-2]], lists[row[-1]]) for row in rows)
            if not codes:
                items.counts.frombytes(counts)
                continue
            items.codes.frombytes(np.frombuffer(known, dtype=np.int32)[np.frombuffer(codes, dtype=np.int32)].tobytes())
            items.counts.frombytes(counts)
        at = {name: place for place, name in enumerate(self.files.kinds)}
        for row in answer["files"]:
            mine = list(row)
            path = mine[at["file_path"]]
            mine[at["root"]], mine[at["version"]] = root, self._version(root, path)
            mine[at["done"]], mine[at["made"]] = lists[mine[at["done"]]], lists[mine[at["made"]]]
            self.files.add(tuple(mine))
        for (_, path), record in answer["records"]:
            self.records[root, path] = record
        self.warnings += [(root, *rest) for _, *rest in answer["warnings"]]

    # -- what follows from the items ------------------------------------------------------------------------------

    def derive(self) -> None:
        """Work out percentage, status and times of the files that `add_plain` added, as `systems` does for a file."""
        files = self.files
        plain = files.raw("plain")
        first, self._derived = self._derived, len(plain)
        rows = first + np.flatnonzero(plain[first:] == 1)
        if not len(rows):
            return
        flags = np.zeros(len(rows), dtype=np.int64)
        percents: list[NDArray[Any]] = []
        started = np.full(len(rows), NONE)
        ended = np.full(len(rows), NONE)
        for kind in ("component", "feature"):
            seen, percent = self._percent(kind, rows)
            flags |= seen
            percents.append(percent)
        of_components, of_features = percents
        both = of_components + 0.4 / (0.6 + 0.4) * (of_features - of_components)
        percent = np.where(np.isnan(of_components), of_features, np.where(np.isnan(of_features), of_components, both))
        started, ended = self._spans(rows)
        phases, lives = files.raw("phase")[rows].astype(np.int64), files.raw("status")[rows].astype(np.int64)
        known = np.where(np.isnan(percent), 0, np.where(percent >= 100, 2, 1))
        combined = np.stack([flags, known, phases, lives], axis=1)
        different, places = np.unique(combined, axis=0, return_inverse=True)
        places = places.reshape(-1)
        phase_texts, life_texts = files.texts("phase"), files.texts("status")
        statuses: list[int] = []
        rules: list[str] = []
        said: list[float] = []  # percentages that go with the verdict
        for flag, how, phase, life in different.tolist():
            word = life_texts[life] if life >= 0 else None
            own = map_status(word if word is None or word.strip().lower() not in _LIFE else None)
            held = [Status(name) for at, name in enumerate(STATUSES) if flag >> at & 1]
            status, rule = build_status(
                held,
                percent=(None, 50.0, 100.0)[how],
                phase=phase_texts[phase] if phase >= 0 else None,
                own=own,
            )
            statuses.append(_BUILD_STATUS[status])
            rules.append(rule)
            stated = percentage_said(-1.0, held, (status, rule))
            said.append(math.nan if stated is None else stated)
        status = np.array(statuses, dtype=np.int8)[places]
        files.fill("build_status", rows, status)
        files.fill_texts("status_source", rows, rules, places)
        by_word = np.array(said)[places]
        files.fill("percent", rows, _rounded(np.where(by_word == -1, percent, by_word)))
        files.fill("started_at", rows, started)
        over = (status == _BUILD_STATUS[BuildStatus.COMPLETED]) | (status == _BUILD_STATUS[BuildStatus.FAILED])
        files.fill("ended_at", rows, np.where(over, ended, NONE))

    def _segments(self, kind: str, rows: NDArray[Any]) -> tuple[NDArray[Any], NDArray[Any], NDArray[Any]]:
        """Of files with items: their places in ``rows``, where their items begin, and the items of all."""
        items = self.items[kind]
        counts = items.count().astype(np.int64)
        having = np.flatnonzero(counts[rows])
        lengths = counts[rows[having]]
        return having, np.cumsum(lengths) - lengths, items.of_files(rows[having])

    def _percent(self, kind: str, rows: NDArray[Any]) -> tuple[NDArray[Any], NDArray[Any]]:
        """Per file: which statuses occur, as bits, and the mean percentage of its items (NaN: it has none)."""
        flags = np.zeros(len(rows), dtype=np.int64)
        percent = np.full(len(rows), np.nan)
        having, starts, codes = self._segments(kind, rows)
        if len(having):
            pool = self.items[kind].pool
            status = pool.raw("status")[codes].astype(np.int64)
            flags[having] = np.bitwise_or.reduceat(np.left_shift(1, status), starts)
            counted = (status != _STATUS[Status.SKIPPED]) & (status != _STATUS[Status.CANCELLED])
            progress = np.where(status == _STATUS[Status.COMPLETED], 100.0, pool.raw("progress")[codes])
            total = np.add.reduceat(np.where(counted, progress, 0.0), starts)
            number = np.add.reduceat(counted.astype(np.int64), starts)
            percent[having] = np.where(number > 0, total / np.maximum(number, 1), 100.0)
        return flags, percent

    def _spans(self, rows: NDArray[Any]) -> tuple[NDArray[Any], NDArray[Any]]:
        """Per file: when the first of its components began, and when the last ended."""
        started, ended = np.full(len(rows), NONE), np.full(len(rows), NONE)
        having, starts, codes = self._segments("component", rows)
        if len(having):
            pool = self.items["component"].pool
            begun = pool.raw("started_at")[codes]
            latest = np.iinfo(np.int64).max
            first = np.minimum.reduceat(np.where(begun == NONE, latest, begun), starts)
            started[having] = np.where(first == latest, NONE, first)
            ended[having] = np.maximum.reduceat(pool.raw("ended_at")[codes], starts)  # NONE is the least
        return started, ended


def _rounded(percent: NDArray[Any]) -> NDArray[Any]:
    """`progress.rounded`, for many."""
    result = percent.copy()
    known = ~np.isnan(percent)
    different, places = np.unique(percent[known], return_inverse=True)
    result[known] = np.array([rounded(value) for value in different.tolist()], dtype=np.float64)[places]
    return result


def _name(path: str) -> str:
    """What stands for the id of a file that has none: its path below ``.buildrunner``, without the ending."""
    parts = path.split("/")
    below = parts[parts.index(".buildrunner") + 1 :] if ".buildrunner" in parts else parts
    return "/".join(below).removesuffix(".json")


_TRUTH: Final = {None: -1, False: 0, True: 1}


def _nothing(kinds: Mapping[str, str]) -> tuple[Any, ...]:
    """Return the placeholder row of an item that needs the fallback: it has a number, and is in no table."""
    none: dict[str, Any] = {"text": None, "status": -1, "float": math.nan, "bool": -1, "count": 0}
    return tuple(none.get(kind, NONE) for kind in kinds.values())


def _percents(statuses: list[int], progress: list[float | None]) -> list[float]:
    """The percentages of items, by `progress.item_percentage`."""
    return [
        100.0 if status == _COMPLETED else rounded(percent) if percent else 0.0
        for status, percent in zip(statuses, progress, strict=True)
    ]


def _count(value: int | None) -> int:
    return NONE if value is None else value


def _minutes(value: float | None) -> int:
    if value is None or value > _MOST_MINUTES:
        return NONE
    return round(value * 60_000_000)

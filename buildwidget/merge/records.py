"""The newest record of every file, and in which order they speak. Every list is kept in order; none is sorted anew."""

from __future__ import annotations

from collections import Counter
from datetime import UTC, datetime
from enum import Enum, auto
from typing import TYPE_CHECKING, Final

import msgspec

from ..model import BuildStatus, Status, TsSource
from ..ordered import Ordered
from ..reading.items import Tally
from ..reading.values import SKEW
from ..systems.record import Record, Shape

if TYPE_CHECKING:
    from collections.abc import Iterable

__all__ = ["Change", "Question", "Records", "is_copied"]

_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_WRITTEN_ONCE: Final = (Shape.CHECKPOINT, Shape.RUNTIME)  # a rollback rewrites them, so their mtime is not their time


def is_copied(in_time: int, later: int) -> bool:
    """Whether a folder is a copy: every file that states a time was written later than the stated time.

    Parameters
    ----------
    in_time, later
        How many files were written at their stated time, within `SKEW`, and how many later. Files that state no time
        do not count.
    """
    return later > 0 and in_time == 0


class Change(Enum):
    """What changed of a file. One that was only written again may be newer than others now."""

    NOTHING = auto()
    WRITTEN = auto()
    CONTENT = auto()


class Question(Enum):
    """What only some records answer; of those, the newest is asked."""

    RUNTIME = auto()
    PRESENT_PHASE = auto()
    PHASE_OF_WORKFLOW = auto()
    OWN_WORD = auto()  # of a file with features
    ORCHESTRATION_PERCENT = auto()
    LOCK_PERCENT = auto()
    BATCHES_PERCENT = auto()
    STATUS = auto()  # of files that say nothing of items
    PROJECT = auto()


def _answered(record: Record) -> set[Question]:
    """The questions that a record answers."""
    found: set[Question] = set()
    match record.shape:
        case Shape.RUNTIME if record.runtime is not None:
            found.add(Question.RUNTIME)
        case Shape.CURRENT_PHASE if record.present_phase:
            found.add(Question.PRESENT_PHASE)
        case Shape.WORKFLOW if record.phase:
            found.add(Question.PHASE_OF_WORKFLOW)
        case Shape.FEATURES if record.features and record.own is not Status.UNKNOWN:
            found.add(Question.OWN_WORD)
        case Shape.ORCHESTRATION if record.percent is not None:
            found.add(Question.ORCHESTRATION_PERCENT)
        case Shape.LOCK if record.percent is not None:
            found.add(Question.LOCK_PERCENT)
        case Shape.BATCHES if record.percent is not None:
            found.add(Question.BATCHES_PERCENT)
        case _:
            pass
    status_counts = record.shape in (Shape.LOCK, Shape.BATCHES, Shape.CURRENT_PHASE, Shape.RUNTIME)
    if status_counts and record.status is not BuildStatus.UNKNOWN:
        found.add(Question.STATUS)
    if record.shape is not Shape.CHECKPOINT and record.project:
        found.add(Question.PROJECT)
    return found


class Records:
    """The newest record of every file.

    Parameters
    ----------
    copied
        Whether the folder is a copy; None: detected from the records.

    Attributes
    ----------
    copied
        Whether the folder counts as a copy: then the times at which its files were written prove nothing.
    starts, ends
        Files other than checkpoints, by the start and the end of work that they tell of.
    checkpoints
        Those that are not rolled back, by time, then writing, then id; ``holders`` are those of them with components,
        and with features.
    files
        The files that these checkpoints created, and how many of them name each.
    tally
        The sum of the counts of workflows and pools.
    """

    def __init__(self, *, copied: bool | None = None) -> None:
        self._said_to_be_copied = copied
        self.copied = False
        self._records: dict[str, Record] = {}
        self._of_shape: dict[Shape, dict[str, None]] = {shape: {} for shape in Shape}
        self._answers: dict[Question, Ordered[str]] = {question: Ordered() for question in Question}
        self._locks: dict[str, Ordered[str]] = {}  # id or number of a phase -> its locks with a percentage
        self.starts: Ordered[str] = Ordered()
        self.ends: Ordered[str] = Ordered()
        self.checkpoints: Ordered[str] = Ordered()
        self.holders: dict[str, Ordered[str]] = {"component": Ordered(), "feature": Ordered()}
        self.files: Counter[str] = Counter()
        self.tally = Tally(total=0, completed=0)
        self._written: Counter[bool | None] = Counter()  # whether files were written later than they state

    # -- input ----------------------------------------------------------------------------------------------------

    def replace(self, path: str, new: Record | None) -> Change:
        """Store the new record of a file (None: it is gone); return what changed."""
        old = self._records.get(path)
        if new is None or old is None:
            same = new is old
        else:
            same = new == old or msgspec.structs.replace(new, written=old.written) == old
        # A checkpoint that is only written again keeps its place: that of the first time.
        if same and (new is None or old is None or new.shape is Shape.CHECKPOINT or new.written == old.written):
            return Change.NOTHING
        if old is not None:
            self._forget(path, old, keep=same)
        if new is not None:
            self._records[path] = new
            self._of_shape[new.shape][path] = None
            self._add(path, new, keep=same)
        return Change.WRITTEN if same else Change.CONTENT

    def _forget(self, path: str, old: Record, *, keep: bool) -> None:
        self._count(old, -1)
        self._out_of_order(path, old)
        if keep:
            return
        del self._records[path]
        del self._of_shape[old.shape][path]
        if _speaks(old) and old.checkpoint is not None:
            made = set(old.checkpoint.files_created)
            self.files.subtract(made)
            for name in made:
                if self.files[name] <= 0:
                    del self.files[name]

    def _add(self, path: str, new: Record, *, keep: bool) -> None:
        self._count(new, 1)
        self._into_order(path, new)
        if not keep and _speaks(new) and new.checkpoint is not None:
            self.files.update(set(new.checkpoint.files_created))

    def _count(self, record: Record, by: int) -> None:
        if record.written is not None and record.ts_source is not TsSource.MTIME:
            self._written[record.written - record.time > SKEW] += by
        tally = record.tally
        if record.shape in (Shape.WORKFLOW, Shape.POOL) and tally is not None and tally.total:
            self.tally = Tally(
                total=(self.tally.total or 0) + by * tally.total,
                completed=(self.tally.completed or 0) + by * (tally.completed or 0),
                failed=self.tally.failed + by * tally.failed,
            )

    def _into_order(self, path: str, record: Record) -> None:
        if record.shape is not Shape.CHECKPOINT:
            time = self.time_of(record)
            for question in _answered(record):
                self._answers[question].put(path, time)
                if question is Question.LOCK_PERCENT:
                    for name in _phases_of(record):
                        self._locks.setdefault(name, Ordered()).put(path, time)
            self.starts.put_if(path, record.started_at)
            # In a copied folder the mtimes are the time of the copy, not the end of any work.
            dated = record.ended_at is not None or not (self.copied and record.ts_source is TsSource.MTIME)
            self.ends.put_if(path, (record.ended_at or record.time) if dated else None)
        if _speaks(record) and record.checkpoint is not None:
            written = record.written if record.written and not self.copied else _EPOCH
            rank = (record.time, written, record.checkpoint.checkpoint_id)
            self.checkpoints.put(path, rank)
            self.holders["component"].put_if(path, rank if record.components else None)
            self.holders["feature"].put_if(path, rank if record.features else None)

    def _out_of_order(self, path: str, record: Record) -> None:
        for order in (*self._answers.values(), self.starts, self.ends, self.checkpoints, *self.holders.values()):
            order.drop(path)
        if record.shape is Shape.LOCK:
            for name in _phases_of(record):
                order = self._locks.get(name)
                if order is not None:
                    order.drop(path)
                    if not len(order):
                        del self._locks[name]

    def detect_copy(self) -> bool:
        """Detect whether the folder is a copy, and return whether that changed: then every order is another."""
        copied = self._said_to_be_copied
        if copied is None:
            copied = is_copied(self._written[False], self._written[True])
        if copied == self.copied:
            return False
        self.copied = copied
        for path, record in self._records.items():
            self._out_of_order(path, record)
            self._into_order(path, record)
        return True

    # -- questions ------------------------------------------------------------------------------------------------

    def get(self, path: str) -> Record | None:
        """The newest record of a file."""
        return self._records.get(path)

    def time_of(self, record: Record) -> datetime:
        """Return the time that orders a file among others (the newest wins): for a checkpoint, its stated time."""
        if self.copied or record.written is None or record.shape in _WRITTEN_ONCE:
            return record.time
        return max(record.time, record.written)

    def of(self, *shapes: Shape) -> Iterable[tuple[str, Record]]:
        """The files of these shapes, with their paths, in no order."""
        return [(path, self._records[path]) for shape in shapes for path in self._of_shape[shape]]

    def newest(self, question: Question) -> Record | None:
        """The newest record that answers a question."""
        return self._get(self._answers[question].last)

    def newest_lock(self, phase: str | None) -> Record | None:
        """The newest lock of a phase (None: of any phase) that states a percentage."""
        order = self._answers[Question.LOCK_PERCENT] if phase is None else self._locks.get(phase)
        return self._get(order.last) if order is not None else None

    @property
    def newest_checkpoint(self) -> Record | None:
        """The newest checkpoint that is not rolled back."""
        return self._get(self.checkpoints.last)

    def newest_holder(self, kind: str) -> Record | None:
        """The newest checkpoint with components (``kind`` is component), or with features."""
        return self._get(self.holders[kind].last)

    def _get(self, path: str | None) -> Record | None:
        return None if path is None else self._records[path]

    @property
    def own_word(self) -> Status:
        """The own status of the newest file among those with components or features."""
        found = [self.newest_holder("component"), self.newest_holder("feature"), self.newest(Question.OWN_WORD)]
        spoken = [record for record in found if record is not None and record.own is not Status.UNKNOWN]
        return max(spoken, key=lambda r: (self.time_of(r), r.path)).own if spoken else Status.UNKNOWN


def _speaks(record: Record) -> bool:
    """Whether a checkpoint counts: it is not rolled back."""
    return record.checkpoint is not None and record.checkpoint.status != "rolled_back"


def _phases_of(record: Record) -> set[str]:
    """The ids of a lock's phases, and the numbers in its file (the folder's name may be longer)."""
    return {name for phase in record.phases for name in (phase.phase_id, str(phase.metadata.get("phase")))}

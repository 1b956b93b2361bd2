"""Tables as columns of numpy arrays: how they are kept. (`_frames` makes DataFrames and Arrow tables of them.)

A column is kept as plain integers or floats with a sentinel for *not known*. Texts are kept once each, in a list, and
a column holds their places in it (dictionary encoding). Rows that occur many times, as an item does that is the same in
a thousand checkpoints, are kept once as well (`Pool`): a table then is those rows, taken by an array of their numbers.
"""

# numpy, pandas and pyarrow leave the types of elements open.
# pyright: reportUnknownMemberType=false, reportUnknownArgumentType=false, reportUnknownVariableType=false

from __future__ import annotations

import itertools
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from ..model import BuildStatus, Status

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = [
    "BUILD_STATUSES",
    "NONE",
    "STATUSES",
    "Column",
    "Pool",
    "Texts",
    "compact",
    "empty",
    "micros",
    "of",
]

NONE: Final = -(2**63)  # a time, a duration or a number that is not known, as an int64 (what NaT is)
STATUSES: Final = [str(status) for status in Status]
BUILD_STATUSES: Final = [str(status) for status in BuildStatus]
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)

# kind → what an array of it holds
_DTYPES: Final[dict[str, Any]] = {
    "text": np.int32,  # places in a list of texts; -1: none. A pandas categorical
    "words": np.int32,  # the same, for texts that hardly repeat. A pandas string
    "status": np.int8,  # places in STATUSES; -1: none
    "build_status": np.int8,  # places in BUILD_STATUSES
    "float": np.float64,  # NaN: none
    "int": np.int64,  # NONE: none
    "count": np.int32,  # never missing
    "bool": np.int8,  # -1: none
    "time": np.int64,  # microseconds since 1970, UTC; NONE: none
    "duration": np.int64,  # microseconds; NONE: none
}


def micros(moment: datetime | None) -> int:
    """A time as microseconds since 1970, UTC."""
    if moment is None:
        return NONE
    delta = moment - _EPOCH
    return (delta.days * 86_400 + delta.seconds) * 1_000_000 + delta.microseconds


@dataclass(slots=True)
class Column:
    """One column: an array, what it means, and for texts the texts it points to (sorted, all of them used)."""

    kind: str
    data: NDArray[Any]
    texts: list[str] | None = None

    def take(self, rows: NDArray[Any] | slice) -> Column:
        """The column at these rows."""
        return Column(self.kind, self.data[rows], self.texts)

    def repeat(self, counts: NDArray[Any]) -> Column:
        """Each value so many times."""
        return Column(self.kind, np.repeat(self.data, counts), self.texts)


class Texts:
    """Texts, each kept once."""

    def __init__(self, texts: Iterable[str] = ()) -> None:
        self.places: dict[str, int] = {text: at for at, text in enumerate(texts)}

    def __len__(self) -> int:
        return len(self.places)

    def place(self, text: str | None) -> int:
        """Where a text is; -1 for None."""
        if text is None:
            return -1
        places = self.places
        at = places.get(text)
        if at is None:
            at = places[text] = len(places)
        return at

    def places_of(self, texts: Sequence[str | None]) -> NDArray[Any]:
        """Where many texts are; -1 for None."""
        import pandas as pd  # here, because a process that only reads files needs none

        codes, different = pd.factorize(np.array(texts, dtype=object))
        places = np.array([*map(self.place, different), -1], dtype=np.int32)
        return places[codes]

    def column(self, data: NDArray[Any], kind: str = "text") -> Column:
        """A column of places in here, as one whose texts are sorted and all used: the same whatever came before."""
        texts = list(self.places)
        used = np.zeros(len(texts) + 1, dtype=bool)
        used[data] = True  # -1 marks the last, which is nobody
        wanted = np.flatnonzero(used[:-1])
        order = sorted(range(len(wanted)), key=[texts[at] for at in wanted.tolist()].__getitem__)
        new = np.full(len(texts) + 1, -1, dtype=_smallest(len(wanted)))
        new[wanted[order]] = np.arange(len(wanted))
        return Column(kind, new[data], [texts[wanted[at]] for at in order])


class Pool:
    """Rows that are kept once, with a number each.

    Parameters
    ----------
    columns
        Name → kind. Texts are given as `str` or None, times as microseconds, and so on: see `Column`.
    """

    def __init__(self, columns: Mapping[str, str]) -> None:
        self.kinds = dict(columns)
        self._fresh: list[tuple[Any, ...]] = []
        self.add = self._fresh.append  # a row: one value per column, in order. The hot path of a cold read
        self._done: dict[str, NDArray[Any]] = {}
        self._parts: dict[str, list[NDArray[Any]]] = {name: [] for name in columns}  # not joined yet
        self._texts: dict[str, Texts] = {name: Texts() for name, kind in columns.items() if kind in {"text", "words"}}
        self._columns: dict[str, Column] = {}
        self._settled = 0  # rows in arrays

    def __len__(self) -> int:
        return self._settled + len(self._fresh)

    def drain(self) -> list[tuple[Any, ...]]:
        """Give the new rows away."""
        rows = self._fresh[:]
        self._fresh.clear()
        return rows

    def load(self, columns: Mapping[str, Column]) -> None:
        """Begin with rows that were kept before."""
        for name, column in columns.items():
            self._done[name] = column.data
            if column.texts is not None:
                self._texts[name] = Texts(column.texts)
            self._settled = len(column.data)

    def extend(self, columns: Sequence[Sequence[Any]]) -> None:
        """Keep many more rows, given as columns."""
        self.pack()
        self._append(columns, len(columns[0]))

    def pack(self) -> None:
        """Put the new rows into arrays, which take a tenth of the memory."""
        rows = self._fresh
        self._append(zip(*rows, strict=True) if rows else itertools.repeat((), len(self.kinds)), len(rows))
        rows.clear()

    def _append(self, columns: Iterable[Sequence[Any]], count: int) -> None:
        for (name, kind), values in zip(self.kinds.items(), columns, strict=True):
            if name in self._texts:
                made = self._texts[name].places_of(values)
            else:
                made = np.fromiter(values, dtype=_DTYPES[kind], count=count)
            self._parts[name].append(made)
        self._settled += count
        self._columns.clear()

    @property
    def unpacked(self) -> int:
        """How many rows are not in arrays yet."""
        return len(self._fresh)

    def raw(self, name: str) -> NDArray[Any]:
        """One column's array, all rows; for texts the places in `texts`."""
        if self._fresh or not (self._done or self._parts[name]):
            self.pack()
        parts = self._parts[name]
        if parts:
            done = self._done.get(name)
            self._done[name] = np.concatenate(parts if done is None else [done, *parts])
            parts.clear()
        return self._done[name]

    def texts(self, name: str) -> list[str]:
        """The texts of a column, in the order in which they came."""
        self.raw(name)
        return list(self._texts[name].places)

    def fill(self, name: str, rows: NDArray[Any], values: NDArray[Any]) -> None:
        """Set a column at some rows."""
        self.raw(name)[rows] = values
        self._columns.pop(name, None)

    def fill_texts(self, name: str, rows: NDArray[Any], texts: Sequence[str], places: NDArray[Any]) -> None:
        """Set a column of texts at some rows to ``texts[places]``."""
        data = self.raw(name)
        known = self._texts[name]
        data[rows] = np.array([known.place(text) for text in texts], dtype=np.int32)[places]
        self._columns.pop(name, None)

    def column(self, name: str) -> Column:
        """One column, all rows."""
        data = self.raw(name)
        found = self._columns.get(name)
        if found is None:
            kind = self.kinds[name]
            found = self._texts[name].column(data, kind) if name in self._texts else Column(kind, data)
            self._columns[name] = found
        return found

    def take(self, name: str, rows: NDArray[Any], *, all_used: bool = False) -> Column:
        """One column at these rows, its texts those that occur there. ``all_used``: every row of the pool is there."""
        column = self.column(name)
        taken = Column(column.kind, column.data[rows], column.texts)
        return taken if all_used else compact(taken)


def compact(column: Column) -> Column:
    """The column without texts that do not occur in it."""
    texts = column.texts
    if texts is None:
        return column
    used = np.zeros(len(texts) + 1, dtype=bool)
    used[column.data] = True
    if used[:-1].all():
        return column
    new = (np.cumsum(used) - 1).astype(_smallest(int(used[:-1].sum())))
    new[-1] = -1
    return Column(column.kind, new[column.data], [text for text, is_used in zip(texts, used, strict=False) if is_used])


def _smallest(count: int) -> Any:
    """The type of the places in so many texts; it is that of pandas' categoricals."""
    return np.int8 if count < 128 else np.int16 if count < 32_768 else np.int32


def of(kind: str, values: Sequence[Any]) -> Column:
    """A column of Python values: texts or None, and otherwise what arrays of that kind hold."""
    if kind in {"text", "words"}:
        texts = Texts()
        return texts.column(texts.places_of(values), kind)
    return Column(kind, np.array(values, dtype=_DTYPES[kind]))


def empty(kinds: Mapping[str, str]) -> dict[str, Column]:
    """A table without rows."""
    return {name: of(kind, []) for name, kind in kinds.items()}

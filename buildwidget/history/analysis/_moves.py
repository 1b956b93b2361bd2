"""The changes of all items as arrays, sorted by item and then by time: what most analyses begin with."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from .._columns import NONE, Column
from ._core import (
    ABSENT,
    KINDS,
    Tables,
    check_kind,
    check_session,
    codes_in,
    micros_in,
    moment_of,
    numbers_in,
    session_codes,
    statuses_in,
    text,
    texts_in,
)

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = ["Moves", "by_item", "item_keys", "moves_of", "present_of", "spans"]


@dataclass(slots=True)
class Moves:
    """Changes of items, sorted by item and then by time. One array per field, a value per change.

    ``before`` is the status after the item's change before, so that changes add up whatever a frame leaves out.
    """

    key: NDArray[Any]  # the item's number
    session: NDArray[Any]
    kind: NDArray[Any]
    item: NDArray[Any]
    ts: NDArray[Any]
    before: NDArray[Any]
    after: NDArray[Any]
    progress: NDArray[Any]  # after
    step: NDArray[Any]  # how much the progress grew
    row: NDArray[Any]  # in the frame
    first: NDArray[Any]  # of its item
    last: NDArray[Any]
    sessions: list[str]
    kinds: list[str]
    items: list[str]

    def __len__(self) -> int:
        return len(self.key)

    @property
    def starts(self) -> NDArray[Any]:
        """The first change of every item."""
        return np.flatnonzero(self.first)

    @property
    def ends(self) -> NDArray[Any]:
        """The last change of every item."""
        return np.flatnonzero(self.last)

    def identity(self, rows: NDArray[Any], *names: str) -> dict[str, Column]:
        """The columns ``session_id``, ``kind`` and ``item_id`` (or those of ``names``) of some changes."""
        made = {
            "session_id": (self.session, self.sessions),
            "kind": (self.kind, self.kinds),
            "item_id": (self.item, self.items),
        }
        return {name: text(made[name][0][rows], made[name][1]) for name in names or made}

    def owners(self) -> list[tuple[str, str, str]]:
        """The project, kind and id of every item."""
        at = self.starts
        codes: list[list[int]] = np.stack([self.session[at], self.kind[at], self.item[at]], axis=1).tolist()
        return [(self.sessions[one], self.kinds[two], self.items[three]) for one, two, three in codes]

    def present(self, t: Tables) -> NDArray[Any]:
        """The time of the newest thing known of each session, by its place in ``sessions``."""
        ts = np.full(len(self.sessions), NONE)
        np.maximum.at(ts, self.session, self.ts)
        newest = present_of(t)
        return np.maximum(ts, np.array([newest.get(name, NONE) for name in self.sessions], dtype=np.int64))


def present_of(t: Tables) -> dict[str, int]:
    """The time of the newest thing known of each session: that of the whole history where there is but one."""
    sessions, changes = t.sessions, t.transitions
    newest: dict[str, int] = {}
    codes, texts = session_codes(changes)
    latest = np.full(len(texts) + 1, NONE)
    np.maximum.at(latest, codes, micros_in(changes["ts"]))
    names = texts_in(sessions["session_id"]) if len(sessions) else []
    for name, ts in (*zip(texts, latest, strict=False), *zip(names, micros_in(sessions["last_ts"]), strict=True)):
        newest[str(name)] = max(newest.get(str(name), NONE), int(ts))
    if len(newest) == 1:
        moment: Any = t.present_ts
        (only,) = newest
        newest[only] = max(newest[only], moment_of(moment, "present_ts"))
    return newest


def moves_of(t: Tables, *, kind: str | None, session_id: str | None, every: bool = False) -> Moves:
    """The changes of the items that an analysis looks at.

    Parameters
    ----------
    t
        The tables.
    kind
        One of `KINDS`. None: in each project the first of them that it has.
    session_id
        One project, or None for all.
    every
        All kinds, if ``kind`` is None.
    """
    frame: Any = t.transitions
    session, sessions = session_codes(frame)
    kind_codes, kinds = codes_in(frame["kind"])
    item, items = codes_in(frame["item_id"])
    check_session(t, session_id)
    check_kind(kind)
    ts = micros_in(frame["ts"])
    if len(ts) and ts.min() == NONE:
        raise ValueError(f"column 'ts' holds {int((ts == NONE).sum())} missing times; leave those rows out")
    keep = (session >= 0) & (kind_codes >= 0) & (item >= 0)
    if session_id is not None:
        keep &= session == (sessions.index(session_id) if session_id in sessions else -2)
    if kind is not None:
        keep &= kind_codes == (kinds.index(kind) if kind in kinds else -2)
    elif not every:
        keep &= _finest(session, kind_codes, kinds, len(sessions))
    rows = np.flatnonzero(keep)
    owner = (session[rows] * (len(kinds) + 1) + kind_codes[rows]) * (len(items) + 1) + item[rows]
    turn = numbers_in(frame["seq"])[rows] if "seq" in frame.columns else rows
    order = np.lexsort((turn, ts[rows], owner))
    rows, owner = rows[order], owner[order]
    first = np.ones(len(rows), dtype=bool)
    first[1:] = owner[1:] != owner[:-1]
    last = np.ones(len(rows), dtype=bool)
    last[:-1] = first[1:]
    after = statuses_in(frame["to_status"])[rows]
    before = np.roll(after, 1)
    before[first] = statuses_in(frame["from_status"])[rows][first]
    progress, step = _steps(frame, rows, first, before)
    return Moves(
        key=np.cumsum(first) - 1,
        session=session[rows],
        kind=kind_codes[rows],
        item=item[rows],
        ts=ts[rows],
        before=before,
        after=after,
        progress=progress,
        step=step,
        row=rows,
        first=first,
        last=last,
        sessions=sessions,
        kinds=kinds,
        items=items,
    )


def _finest(session: NDArray[Any], kind: NDArray[Any], kinds: list[str], n_sessions: int) -> NDArray[Any]:
    """Which rows are of the first of `KINDS` that their session has."""
    rank = np.array([*(KINDS.index(name) if name in KINDS else len(KINDS) for name in kinds), len(KINDS)])[kind]
    best = np.full(n_sessions + 1, len(KINDS))
    np.minimum.at(best, session, rank)
    return (rank == best[session]) & (rank < len(KINDS))


def _steps(frame: Any, rows: NDArray[Any], first: NDArray[Any], before: NDArray[Any]) -> tuple[NDArray[Any], ...]:
    """The progress after each change, and how much it grew: a new item from 0. One that goes keeps its progress."""
    progress = numbers_in(frame["progress"])[rows]
    # Where a frame does not know it, it is what it was.
    known = np.where(np.isnan(progress) & ~first, 0, np.arange(len(rows)))
    progress = progress[np.maximum.accumulate(known)] if len(rows) else progress
    was = np.roll(progress, 1)
    was[first] = np.where(before[first] == ABSENT, 0.0, progress[first])
    return progress, np.nan_to_num(progress - was)


def by_item(t: Tables, moves: Moves, values: NDArray[Any], missing: int) -> NDArray[Any]:
    """A value (a whole number) of each row of ``t.items``, for each item of the changes."""
    known: dict[Any, int] = dict(zip(item_keys(t.items), values.tolist(), strict=True))
    return np.array([known.get(owner, missing) for owner in moves.owners()], dtype=np.int64)


def item_keys(items: Any) -> Iterator[tuple[str | None, ...]]:
    """The project, kind and id of each row of ``items``."""
    return zip(texts_in(items["session_id"]), texts_in(items["kind"]), texts_in(items["item_id"]), strict=True)


def spans(numbers: NDArray[Any]) -> Iterator[tuple[int, slice]]:
    """Runs of equal numbers in a sorted array: the number, and where."""
    if not len(numbers):
        return
    bounds = np.flatnonzero(np.diff(numbers)) + 1
    for begin, end in zip([0, *bounds.tolist()], [*bounds.tolist(), len(numbers)], strict=True):
        yield int(numbers[begin]), slice(begin, end)

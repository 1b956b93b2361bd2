"""How work flows: burn-up, cumulative flow, and how long items take."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

import numpy as np
import pandas as pd

from .._columns import NONE, STATUSES
from ._core import (
    ABSENT,
    DONE,
    OVER,
    RUNNING,
    UNCOUNTED,
    WAITING,
    Tables,
    check_bins,
    codes_in,
    durations_in,
    floats,
    ints,
    lengths,
    micros_in,
    result,
    share,
    step_of,
    text,
    texts_in,
    times,
)
from ._moves import Moves, by_item, moves_of, spans

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = ["burnup", "cumulative_flow", "cycle_time", "spans_of_work", "time_in_status", "work_of"]

SOURCES: Final = ["bound", "recorded", "seen"]
_QUANTILES: Final = {"p50": 0.50, "p85": 0.85, "p95": 0.95}


def burnup(t: Tables, *, kind: str | None = None, freq: Any = None, session_id: str | None = None) -> pd.DataFrame:
    """How much there is to do and how much is done, over time: a burn-up chart's two lines.

    ``scope`` is the number of items that are known at the time and neither skipped nor cancelled; ``done`` is how many
    of them are completed. Both fall when items go, or are undone. Unlike a burn-down chart this tells work that was
    done from work that was taken away.

    Parameters
    ----------
    t
        The tables of a history.
    kind
        ``feature``, ``task``, ``component`` or ``phase``. None: the first of these that a project has.
    freq
        None: a row for each time at which a number changes. Otherwise a length of time such as ``"1h"``: a row for
        each multiple of it, with the numbers as they were then.
    session_id
        One project; None for all.

    Returns
    -------
    pandas.DataFrame
        ``session_id, ts, scope, done, percent``, by project and time. ``percent`` is 100 done / scope, NA where there
        is no scope. The last row of a project is its present state, at the time of the newest thing known.

    Raises
    ------
    ValueError
        If ``kind``, ``freq`` or ``session_id`` is not one that there can be.
    """
    moves = moves_of(t, kind=kind, session_id=session_id)
    # What a status adds to the scope, and to what is done; the last is that of what is not there.
    weights = np.zeros((len(STATUSES) + 1, 2), dtype=np.int64)
    weights[:-1, 0] = 1
    weights[UNCOUNTED, 0] = 0
    weights[DONE, 1] = 1
    session, ts, levels = _levels(t, moves, weights, freq)
    return result(
        {
            "session_id": text(session, moves.sessions),
            "ts": times(ts),
            "scope": ints(levels[:, 0]),
            "done": ints(levels[:, 1]),
            "percent": floats(100 * share(levels[:, 1], levels[:, 0])),
        },
        t,
    )


def cumulative_flow(
    t: Tables, *, kind: str | None = None, freq: Any = None, session_id: str | None = None
) -> pd.DataFrame:
    """How many items there were in each status, over time: a cumulative flow diagram's bands.

    The height of the bands between *not started* and *completed* is the work in progress, their width is how long items
    take; Little's law ties the two: mean work in progress = mean throughput × mean cycle time, in a steady state.

    Parameters
    ----------
    t, kind, freq, session_id
        As of `burnup`.

    Returns
    -------
    pandas.DataFrame
        ``session_id``, ``ts`` and a column of counts for each status, in the order of an item's life. A row adds up to
        the number of items that there were. The last row of a project is its present state.

    References
    ----------
    D. J. Anderson, *Kanban: Successful Evolutionary Change for Your Technology Business*, 2010. J. D. C. Little, "A
    Proof for the Queuing Formula L = λW", *Operations Research* 9(3), 1961.
    """
    moves = moves_of(t, kind=kind, session_id=session_id)
    weights = np.eye(len(STATUSES) + 1, len(STATUSES), dtype=np.int64)
    session, ts, levels = _levels(t, moves, weights, freq)
    counts = {name: ints(levels[:, at]) for at, name in enumerate(STATUSES)}
    return result({"session_id": text(session, moves.sessions), "ts": times(ts), **counts}, t)


def cycle_time(t: Tables, *, kind: str | None = None, session_id: str | None = None) -> pd.DataFrame:
    """How long each item that is completed now has taken.

    Parameters
    ----------
    t, kind, session_id
        As of `burnup`.

    Returns
    -------
    pandas.DataFrame
        One row per item, by project, kind and id: ``session_id, kind, item_id``; ``started``, when the work began;
        ``ended``, when it was completed last; ``cycle_time``; ``lead_time`` = ended - the time at which it was first
        seen; ``wait`` = started - the time at which it was first seen; ``at_least`` and ``source``. NaT where nobody
        knows: of an item that was completed when first seen there is only ``ended``.

        ``source`` says where the cycle time is from. ``recorded``: the build's own record of how long it took, which
        beats what was seen; ``started`` is so long before ``ended``, and never before the build began. ``seen``: ended
        - the time at which it was first in progress. ``bound``: it had got somewhere when it was first seen in
        progress, so its start is not known; it took at least ``at_least``, and has no ``cycle_time``. NA: nothing.

        ``attrs["quantiles"]`` holds ``p50``, ``p85`` and ``p95`` of ``cycle_time`` and ``lead_time`` in seconds, or
        None if there are none.
    """
    moves = moves_of(t, kind=kind, session_id=session_id)
    work = work_of(t, moves)
    at = np.flatnonzero(work.ended != NONE)
    seen, started, ended, cycle = work.seen[at], work.started[at], work.ended[at], work.cycle[at]
    watched = seen < ended  # its life began before it was completed
    lead = np.where(watched, ended - seen, NONE)
    quantiles = {name: _quantiles(values) for name, values in (("cycle_time", cycle), ("lead_time", lead))}
    return result(
        {
            **moves.identity(moves.starts[at]),
            "started": times(started),
            "ended": times(ended),
            "cycle_time": lengths(cycle),
            "lead_time": lengths(lead),
            "wait": lengths(np.where(started != NONE, np.maximum(started - seen, 0), NONE)),
            "at_least": lengths(np.where(work.bound[at], ended - work.first[at], NONE)),
            "source": text(work.source[at], SOURCES),
        },
        t,
        quantiles=quantiles,
    )


def spans_of_work(t: Tables, *, kind: str | None = None, session_id: str | None = None) -> pd.DataFrame:
    """Return start and end of the work on each item, finished or not.

    Parameters
    ----------
    t, kind, session_id
        As of `burnup`.

    Returns
    -------
    pandas.DataFrame
        One row per item, by project, kind and id: ``session_id, kind, item_id``; ``started``, when the work began, NaT
        if unknown; ``first``, when it was first seen in progress; ``ended``, when it was completed last, NaT if it
        is not completed now; ``source``, as of `cycle_time`, of those that are.
    """
    moves = moves_of(t, kind=kind, session_id=session_id)
    work = work_of(t, moves)
    return result(
        {
            **moves.identity(moves.starts),
            "started": times(work.started),
            "first": times(work.first),
            "ended": times(work.ended),
            "source": text(work.source, SOURCES),
        },
        t,
    )


@dataclass(slots=True)
class Work:
    """Start and end of the work on each item in microseconds; `NONE`: never, or unknown."""

    seen: NDArray[Any]  # when the item was first seen
    first: NDArray[Any]  # when it was first seen in progress
    started: NDArray[Any]  # when the work began, if that is known
    ended: NDArray[Any]  # when it was completed last, if it is completed now
    cycle: NDArray[Any]  # how long it took, if it is completed now and that is known
    bound: NDArray[Any]  # bool: it began at an unknown time before `first`
    source: NDArray[Any]  # place in `SOURCES`; -1: none


def work_of(t: Tables, moves: Moves) -> Work:
    """Return start and end of the work on each item, and their source.

    A recorded duration takes precedence over an observed one. A start is observed if an item goes from no progress to
    in progress; an item that has progress when it is first seen in progress began at an unknown time before.
    """
    seen, first, ended, bound = _seen(t, moves)
    recorded = by_item(t, moves, durations_in(t.items["actual"]), NONE)
    believed = (recorded > 0) & (ended != NONE)
    began = _began(t, moves)[moves.session[moves.starts]]
    started = np.where(bound, NONE, first)
    started = np.where(believed, np.minimum(np.maximum(ended - recorded, began), ended), started)
    known = (ended != NONE) & (started != NONE)
    cycle = np.where(believed, recorded, np.where(known, ended - started, NONE))
    bound &= ~believed
    source = np.select([believed, bound & (ended != NONE), known], [1, 0, 2], -1)
    return Work(seen, first, started, ended, cycle, bound, source)


def _began(t: Tables, moves: Moves) -> NDArray[Any]:
    """Return the start of each project: the recorded one, or the first event if that is earlier."""
    began = np.full(len(moves.sessions), np.iinfo(np.int64).max)
    np.minimum.at(began, moves.session, moves.ts)
    for column in {"started_at", "first_ts"} & set(t.sessions.columns):
        for name, moment in zip(texts_in(t.sessions["session_id"]), micros_in(t.sessions[column]), strict=True):
            if name in moves.sessions and moment != NONE:
                at = moves.sessions.index(name)
                began[at] = min(began[at], int(moment))
    return began


def _seen(t: Tables, moves: Moves) -> tuple[NDArray[Any], ...]:
    """Return, for each item, when it was first seen, first in progress and last completed, and if it began before.

    `NONE`: never; in the third array also if it is not completed now.
    """
    count = len(moves.starts)
    seen = moves.ts[moves.first]
    running = np.flatnonzero((moves.after == RUNNING) & (moves.before != RUNNING))[::-1]
    started = np.full(count, NONE)
    started[moves.key[running]] = moves.ts[running]  # the first is written last, and stays
    frame: Any = t.transitions
    told = np.zeros(len(moves), dtype=bool)
    if "source" in frame.columns:
        codes, names = codes_in(frame["source"])
        told = np.isin(codes, [at for at, name in enumerate(names) if name in {"times", "rollback"}])[moves.row]
    late = (moves.progress > 0) & ~told & np.isin(moves.before, [ABSENT, WAITING])
    bound = np.zeros(count, dtype=bool)
    bound[moves.key[running]] = late[running]
    won = np.flatnonzero((moves.after == DONE) & (moves.before != DONE))
    ended = np.full(count, NONE)
    ended[moves.key[won]] = moves.ts[won]
    ended[moves.after[moves.last] != DONE] = NONE
    started = np.where((ended != NONE) & (started > ended), NONE, started)
    return seen, started, ended, bound & (started != NONE)


def time_in_status(t: Tables, *, kind: str | None = None, session_id: str | None = None) -> pd.DataFrame:
    """How long each item has been in each status.

    The time in its present status runs to the newest thing known. It does not run in a status that is final:
    completed, error, skipped or cancelled. So the row of an item adds up to its life: from when it was first seen to
    its end, or to the present, without the time for which it was gone.

    Parameters
    ----------
    t, kind, session_id
        As of `burnup`.

    Returns
    -------
    pandas.DataFrame
        One row per item, by project, kind and id: ``session_id, kind, item_id`` and a duration for each status, in the
        order of an item's life.
    """
    moves = moves_of(t, kind=kind, session_id=session_id)
    rows = np.flatnonzero((moves.after != moves.before) | moves.first)
    key, ts, after = moves.key[rows], moves.ts[rows], moves.after[rows]
    last = np.ones(len(rows), dtype=bool)
    last[:-1] = key[1:] != key[:-1]
    until = np.roll(ts, -1)
    open_ = ~np.isin(after, [*OVER, ABSENT])
    until[last] = np.where(open_, moves.present(t)[moves.session[rows]], ts)[last]
    spent = np.zeros((len(moves.starts), len(STATUSES)), dtype=np.int64)
    there = after != ABSENT
    np.add.at(spent, (key[there], after[there]), np.maximum(until - ts, 0)[there])
    columns = {name: lengths(spent[:, at]) for at, name in enumerate(STATUSES)}
    return result({**moves.identity(moves.starts), **columns}, t)


def _quantiles(values: NDArray[Any]) -> dict[str, float | None]:
    known = values[values != NONE] / 1_000_000
    return {name: float(np.quantile(known, at)) if len(known) else None for name, at in _QUANTILES.items()}


def _levels(
    t: Tables, moves: Moves, weights: NDArray[Any], freq: Any
) -> tuple[NDArray[Any], NDArray[Any], NDArray[Any]]:
    """Sums over all items of the weights of their statuses, after each time at which they change, and now.

    Returns the sessions, the times and one row of sums for each.
    """
    order = np.lexsort((moves.ts, moves.session))
    session, ts = moves.session[order], moves.ts[order]
    # Items that a frame shows from the middle of their life were there before it begins.
    base = np.zeros((len(moves.sessions), weights.shape[1]), dtype=np.int64)
    np.add.at(base, moves.session[moves.first], weights[moves.before[moves.first]])
    present = moves.present(t)
    step = None if freq is None else step_of(freq)
    parts: list[tuple[NDArray[Any], ...]] = []
    for number, run in spans(session):
        rows = order[run]
        change = weights[moves.after[rows]] - weights[moves.before[rows]]
        at = np.flatnonzero(np.diff(ts[run], append=ts[run][-1] + 1))  # the last of those at one time
        when, level = ts[run][at], (base[number] + np.cumsum(change, axis=0))[at]
        differs = np.ones(len(at), dtype=bool)
        differs[1:] = (level[1:] != level[:-1]).any(axis=1)
        last, when, level = level[-1], when[differs], level[differs]
        end = int(present[number])
        if step is not None:
            begin = -(int(when[0]) // -step)  # the first multiple that is not before it
            check_bins(end // step - begin + 1, freq)
            grid: NDArray[Any] = np.arange(begin, end // step + 1) * step
            when, level = grid, level[np.searchsorted(when, grid, side="right") - 1]
        if not len(when) or when[-1] < end:
            when, level = np.append(when, end), np.vstack([level, last])
        parts.append((np.full(len(when), number), when, level))
    if not parts:
        return np.empty(0, np.int64), np.empty(0, np.int64), np.empty((0, weights.shape[1]), np.int64)
    return tuple(np.concatenate(one) for one in zip(*parts, strict=True))  # pyright: ignore[reportReturnType]

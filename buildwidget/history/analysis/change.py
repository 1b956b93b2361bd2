"""Rework: abandoned branches of checkpoints, churn and regressions."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from .._columns import Column, of
from ._core import (
    ABSENT,
    DONE,
    FAILED,
    Tables,
    bools,
    check_session,
    codes_in,
    floats,
    ints,
    numbers_in,
    result,
    share,
    status,
    take,
    text,
    times,
)
from ._files import Files
from ._moves import Moves, moves_of

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = ["churn", "lineage", "regressions"]


def lineage(t: Tables, *, session_id: str | None = None) -> pd.DataFrame:
    """Which checkpoint was built on which, and what rollbacks threw away.

    A rollback marks all later checkpoints as rolled back. A run of those is a branch that was abandoned; the next
    checkpoint that stands was built on the newest one before the run that stands. (Of several rollbacks without a
    checkpoint that stands between them only one can be seen.)

    Parameters
    ----------
    t
        The tables of a history.
    session_id
        One project; None for all.

    Returns
    -------
    pandas.DataFrame
        One row per build checkpoint, in its newest version, by project, time and id: ``session_id, checkpoint_id, ts,
        percent``; ``parent_id``, the checkpoint that it was built on, NA for the first; ``branch``, 0 for what stands,
        else the number of the abandoned branch; ``abandoned``, whether it was rolled back; ``is_tip``, whether it is
        the newest of its branch; ``lost_percent``, at the tip of an abandoned branch: its percentage less that of the
        checkpoint which the branch began at (0 if there was none), in points; else NA.
    """
    check_session(t, session_id)
    files = Files(t)
    percent = numbers_in(t.checkpoints["percent"])
    names = sorted(files.sessions) if session_id is None else [session_id]
    parts: list[dict[str, NDArray[Any]]] = []
    for name in names:
        rows = files.newest(files.of(name), build=True)
        if len(rows):
            parts.append(_branches(rows, files.undone[rows], percent[rows]))
    empty: dict[str, NDArray[Any]] = _branches(np.empty(0, np.int64), np.empty(0, bool), np.empty(0))
    made = {name: np.concatenate([part[name] for part in parts] or [empty[name]]) for name in empty}
    rows = made["row"]
    ids = files.ids
    return result(
        {
            "session_id": text(files.session[rows], files.sessions),
            "checkpoint_id": of("words", [ids[row] for row in rows]),
            "ts": times(files.ts[rows]),
            "percent": floats(percent[rows]),
            "parent_id": of("words", [ids[row] if row >= 0 else None for row in made["parent"]]),
            "branch": ints(made["branch"]),
            "abandoned": bools(files.undone[rows]),
            "is_tip": bools(made["tip"]),
            "lost_percent": floats(np.round(made["lost"], 6)),
        },
        t,
    )


def _branches(rows: NDArray[Any], undone: NDArray[Any], percent: NDArray[Any]) -> dict[str, NDArray[Any]]:
    """The branches of one project's checkpoints; ``row`` and ``parent`` are rows of the table."""
    place = np.arange(len(rows))
    stands = np.maximum.accumulate(np.where(undone, -1, place)) if len(rows) else place
    # What stands was built on the newest that stood before it; the rest on what was just before.
    parent = np.where(undone, place - 1, np.concatenate([[-1], stands[:-1]])) if len(rows) else place
    begins = undone & ~np.concatenate([[False], undone[:-1]]) if len(rows) else undone
    branch = np.where(undone, np.cumsum(begins), 0)
    tip = undone & ~np.concatenate([undone[1:], [False]]) if len(rows) else undone
    base = np.where(stands >= 0, percent[stands], 0.0)
    lost = np.where(tip, percent - base, np.nan)
    newest = place == (stands[-1] if len(rows) else -1)
    return {
        "row": rows,
        "parent": np.where(parent >= 0, rows[parent], -1),
        "branch": branch,
        "tip": tip | newest,
        "lost": lost,
    }


def churn(t: Tables, *, kind: str | None = None, session_id: str | None = None) -> pd.DataFrame:
    """Return how much work on each item was lost and redone, the most first.

    Parameters
    ----------
    t, kind, session_id
        As of `burnup`.

    Returns
    -------
    pandas.DataFrame
        One row per item: ``session_id, kind, item_id``; ``changes``, of status; ``reopened``, how often it ceased to
        be completed, also because it went; ``gained`` and ``lost``, the sums of the steps of its progress up and down,
        in points; ``ratio`` = lost / gained, NA if it gained nothing. By ``ratio``, ``lost``, ``reopened`` and
        ``changes``, the largest first, and by project, kind and id.
    """
    moves = moves_of(t, kind=kind, session_id=session_id)
    count = len(moves.starts)
    moved = (moves.before != moves.after) & (moves.before != ABSENT) & (moves.after != ABSENT)
    left = (moves.before == DONE) & (moves.after != DONE)
    changes, reopened = (np.bincount(moves.key[which], minlength=count) for which in (moved, left))
    gained = np.round(np.bincount(moves.key, np.maximum(moves.step, 0), count), 6)
    lost = np.round(np.bincount(moves.key, np.maximum(-moves.step, 0), count), 6)
    ratio = share(lost, gained)
    order = np.lexsort((np.arange(count), -changes, -reopened, -lost, -np.nan_to_num(ratio, nan=-1.0)))
    columns = {
        **moves.identity(moves.starts),
        "changes": ints(changes),
        "reopened": ints(reopened),
        "gained": floats(gained),
        "lost": floats(lost),
        "ratio": floats(ratio),
    }
    return result(take(columns, order), t)


def regressions(t: Tables, *, session_id: str | None = None) -> pd.DataFrame:
    """Return every regression: items reopened, removed or failed, and lost progress.

    Parameters
    ----------
    t
        The tables of a history.
    session_id
        One project; None for all.

    Returns
    -------
    pandas.DataFrame
        The transitions of items of all kinds that are a step back, in the order of ``transitions``: ``session_id, ts,
        kind, item_id``; ``what``, the first that holds of ``reopened`` (it was completed, and is something else),
        ``removed`` (it was completed, and is gone), ``failed`` (it went to ``error``) and ``lost_progress``;
        ``from_status, to_status``; ``progress_before, progress_after``; ``checkpoint_id``, which shows it;
        ``rolled_back``, whether a rollback did it.
    """
    moves = moves_of(t, kind=None, session_id=session_id, every=True)
    left = (moves.before == DONE) & (moves.after != DONE)
    failed = (moves.after == FAILED) & (moves.before != FAILED)
    what = np.select([left & (moves.after != ABSENT), left, failed, moves.step < 0], [3, 2, 0, 1], -1)
    rows = np.flatnonzero(what >= 0)
    rows = rows[np.argsort(moves.row[rows], kind="stable")]
    frame: Any = t.transitions
    was = moves.progress - moves.step
    was[moves.first & (moves.before == ABSENT)] = np.nan
    return result(
        {
            "session_id": text(moves.session[rows], moves.sessions),
            "ts": times(moves.ts[rows]),
            "kind": text(moves.kind[rows], moves.kinds),
            "item_id": text(moves.item[rows], moves.items),
            "what": text(what[rows], ["failed", "lost_progress", "removed", "reopened"]),
            "from_status": status(moves.before[rows]),
            "to_status": status(moves.after[rows]),
            "progress_before": floats(np.round(was[rows], 6)),
            "progress_after": floats(moves.progress[rows]),
            "checkpoint_id": _texts_at(frame, "checkpoint_id", moves, rows),
            "rolled_back": bools(_rolled_back(frame, moves, rows)),
        },
        t,
    )


def _texts_at(frame: Any, name: str, moves: Moves, rows: NDArray[Any]) -> Column:
    """Return a column of the transitions at some changes; missing values if the frame has no such column."""
    if name not in frame.columns:
        return of("text", [None] * len(rows))
    codes, texts = codes_in(frame[name])
    return text(codes[moves.row[rows]], texts)


def _rolled_back(frame: Any, moves: Moves, rows: NDArray[Any]) -> NDArray[Any]:
    if "source" not in frame.columns:
        return np.zeros(len(rows), dtype=bool)
    codes, texts = codes_in(frame["source"])
    return codes[moves.row[rows]] == (texts.index("rollback") if "rollback" in texts else -2)

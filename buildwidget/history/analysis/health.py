"""Health of a build: aging, flakiness and stalls."""

from __future__ import annotations

from bisect import bisect_left, insort
from collections import deque
from statistics import NormalDist
from typing import TYPE_CHECKING, Any, Final

import numpy as np
import pandas as pd

from ...progress import GAPS_KEPT, silent_after
from .._columns import NONE, of
from ._core import (
    ABSENT,
    DONE,
    FAILED,
    RUNNING,
    UNCOUNTED,
    Tables,
    bools,
    check_session,
    codes_in,
    floats,
    ints,
    lengths,
    micros_in,
    moment_of,
    numbers_in,
    result,
    session_codes,
    share,
    status,
    take,
    texts_in,
    times,
)
from ._moves import Moves, by_item, moves_of, present_of
from .flow import work_of

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = ["aging", "flakiness", "stalls"]

_Z: Final = NormalDist().inv_cdf(0.975)
_SECOND: Final = 1_000_000


def aging(t: Tables, *, now: Any = None, kind: str | None = None, session_id: str | None = None) -> pd.DataFrame:
    """The items that are not finished, by how long they have been worked on; the oldest first.

    An item that is older than most finished ones ever became is in trouble. What failed is not finished; what is
    completed, skipped or cancelled is.

    Parameters
    ----------
    t, kind, session_id
        As of `burnup`.
    now
        The time to count to, with a zone. None: the time of the newest thing known of the project.

    Returns
    -------
    pandas.DataFrame
        One row per item, by ``age``, project, kind and id, those that were never in progress last: ``session_id, kind,
        item_id, status``; ``started``, when it was first seen in progress; ``age`` = now - started, or more;
        ``percentile``, how many of 100 finished items of its kind in its project took no longer (NA if there are
        none); ``idle`` = now - the time of its last change.

    References
    ----------
    D. S. Vacanti, *Actionable Agile Metrics for Predictability*, 2015 (work item age).
    """
    moves = moves_of(t, kind=kind, session_id=session_id)
    work = work_of(t, moves)
    at, ends = moves.starts, moves.ends
    started, cycle = np.where(work.ended != NONE, work.started, work.first), work.cycle
    moment = moves.present(t)[moves.session[at]]
    if now is not None:
        moment = np.full(len(at), moment_of(now, "now"))
    age = np.where(started != NONE, np.maximum(moment - started, 0), NONE)
    percentile = np.full(len(at), np.nan)
    owner = moves.session[at] * (len(moves.kinds) + 1) + moves.kind[at]
    for one in np.unique(owner).tolist():
        of_kind = owner == one
        finished = np.sort(cycle[of_kind & (cycle != NONE)])
        if len(finished):
            mine = of_kind & (age != NONE)
            percentile[mine] = 100 * np.searchsorted(finished, age[mine], side="right") / len(finished)
    rows = np.flatnonzero(~np.isin(moves.after[ends], [DONE, *UNCOUNTED, ABSENT]))
    rows = rows[np.argsort(-age[rows].astype(np.float64), kind="stable")]
    return result(
        {
            **moves.identity(at[rows]),
            "status": status(moves.after[ends][rows]),
            "started": times(started[rows]),
            "age": lengths(age[rows]),
            "percentile": floats(percentile[rows]),
            "idle": lengths(np.maximum(moment - moves.ts[ends], 0)[rows]),
        },
        t,
    )


# -- what wavers ------------------------------------------------------------------------------------------------------


def flakiness(t: Tables, *, session_id: str | None = None) -> pd.DataFrame:
    """How often the tests of each component went from passing to failing and back; the worst first.

    Each checkpoint that says whether a component's tests pass is one observation. (The versions of one file that say
    the same are one: a rollback rewrites files.) The interval is Wilson's for a share, at 95 %; it takes observations
    for independent, so it is too narrow where checkpoints repeat what they heard.

    Parameters
    ----------
    t
        The tables of a history.
    session_id
        One project; None for all.

    Returns
    -------
    pandas.DataFrame
        One row per component: ``session_id, component_id, observations, passes``; ``flips``, how often an observation
        differs from the one before; ``flip_rate`` = flips / (observations - 1); ``pass_share`` = passes / observations,
        with the interval ``low`` to ``high``; ``oscillations``, how often the component or a feature of it went from
        error to in progress or back; what one checkpoint shows of several of them is one. By ``flips + oscillations``,
        the largest first, and by project and id.

    References
    ----------
    E. B. Wilson, "Probable Inference, the Law of Succession, and Statistical Inference", *JASA* 22, 1927.
    """
    check_session(t, session_id)
    observed, passes, flips = _observations(t)
    wavering = _oscillations(t)
    keys = sorted(key for key in {*observed, *wavering} if session_id in {None, key[0]})
    seen, passed, flipped, wavered = (
        np.array([counts.get(key, 0) for key in keys], dtype=np.int64) for counts in (observed, passes, flips, wavering)
    )
    part = share(passed, seen)
    low, high = wilson(passed, seen)
    columns = {
        "session_id": of("text", [key[0] for key in keys]),
        "component_id": of("text", [key[1] for key in keys]),
        "observations": ints(seen),
        "passes": ints(passed),
        "flips": ints(flipped),
        "flip_rate": floats(share(flipped, np.maximum(seen - 1, 0))),
        "pass_share": floats(part),
        "low": floats(low),
        "high": floats(high),
        "oscillations": ints(wavered),
    }
    return result(take(columns, np.argsort(-(flipped + wavered), kind="stable")), t)


def wilson(passes: NDArray[Any], count: NDArray[Any]) -> tuple[NDArray[Any], NDArray[Any]]:
    """Wilson's interval of a share at 95 %; NaN for a share of nothing."""
    part = share(passes, count)
    per = share(np.full(len(count), _Z * _Z), count)
    middle = (part + per / 2) / (1 + per)
    half = np.sqrt(part * (1 - part) * per + per * per / 4) / (1 + per)
    return np.clip(middle - half, 0, part), np.clip(middle + half, part, 1)


def _observations(t: Tables) -> list[dict[tuple[str, str], int]]:
    """By component: how many observations of its tests there are, how many pass, and how many differ from the last."""
    frame: Any = t.components
    session, sessions = session_codes(frame)
    item, items = codes_in(frame["component_id"])
    value = numbers_in(frame["tests_pass"])
    checkpoint, _ = codes_in(frame["checkpoint_id"])
    rows = np.flatnonzero(~np.isnan(value) & (session >= 0) & (item >= 0))
    rows = rows[np.argsort(session[rows] * (len(items) + 1) + item[rows], kind="stable")]
    owner, value, checkpoint = session[rows] * (len(items) + 1) + item[rows], value[rows], checkpoint[rows]
    same = np.zeros(len(rows), dtype=bool)
    same[1:] = (owner[1:] == owner[:-1]) & (checkpoint[1:] == checkpoint[:-1]) & (value[1:] == value[:-1])
    owner, value = owner[~same], value[~same]
    flip = np.zeros(len(owner), dtype=bool)
    flip[1:] = (owner[1:] == owner[:-1]) & (value[1:] != value[:-1])
    found: list[dict[tuple[str, str], int]] = []
    for weights in (np.ones(len(owner)), value, flip.astype(float)):
        counts = np.bincount(owner, weights)
        found.append(
            {
                (sessions[place // (len(items) + 1)], items[place % (len(items) + 1)]): int(counts[place])
                for place in np.unique(owner).tolist()
            }
        )
    return found


def _oscillations(t: Tables) -> dict[tuple[str, str], int]:
    """By component: how often it, or a feature of it, went between error and in progress; all components are there."""
    moves = moves_of(t, kind=None, session_id=None, every=True)
    wavers = ((moves.before == FAILED) & (moves.after == RUNNING)) | (
        (moves.before == RUNNING) & (moves.after == FAILED)
    )
    # A component that fails because its feature does fails once.
    times_of: dict[int, set[tuple[int, bool]]] = {}
    rows = np.flatnonzero(wavers)
    for key, when, failed in zip(
        moves.key[rows].tolist(), moves.ts[rows].tolist(), (moves.after[rows] == FAILED).tolist(), strict=True
    ):
        times_of.setdefault(key, set()).add((when, failed))
    codes, parents = codes_in(t.items["parent_id"])
    places: list[int] = by_item(t, moves, codes, -1).tolist()
    found: dict[tuple[str, str], set[tuple[int, bool]]] = {}
    for number, ((session, kind, item), place) in enumerate(zip(moves.owners(), places, strict=True)):
        if kind == "component":
            key = (session, item)
        elif kind == "feature" and place >= 0:
            key = (session, parents[place])
        else:
            continue
        found.setdefault(key, set()).update(times_of.get(number, ()))
    return {key: len(wavered) for key, wavered in found.items()}


# -- when nothing happened --------------------------------------------------------------------------------------------


def stalls(t: Tables, *, now: Any = None, kind: str | None = None, session_id: str | None = None) -> pd.DataFrame:
    """Return the stalls: gaps without events that are longer than earlier gaps explain.

    An event is a time at which a checkpoint was written or an item changed. A gap between two events is a stall if it
    is longer than max(120 s, 4 × the 95th percentile of the gaps before it) once there are 20 of them (of the newest
    1,000), and longer than 15 minutes before that: the rule by which the live view says *stalled*.

    Parameters
    ----------
    t, kind, session_id
        As of `burnup`; ``kind`` is that of the items which were in progress meanwhile.
    now
        The time until which nothing has happened, with a zone: the last gap of an unfinished build ends there, and is
        open. None: the time of the newest thing known.

    Returns
    -------
    pandas.DataFrame
        By project and time: ``session_id, started, ended, duration``; ``threshold``, the length from which it was a
        stall; ``open``, whether it still lasts at ``now``; ``in_progress``, how many items were in progress, and
        ``items``, a list of their ids.
    """
    moves = moves_of(t, kind=kind, session_id=session_id)
    beats = _beats(t)
    moment = None if now is None else moment_of(now, "now")
    newest = present_of(t)
    unfinished = _unfinished(t)
    rows: list[tuple[str, int, int, int, bool]] = []
    for session in sorted(name for name in beats if session_id in {None, name}):
        at = beats[session]
        end = newest.get(session, NONE) if moment is None else moment
        open_ = session in unfinished and len(at) > 0 and end > at[-1]
        at = np.append(at, end) if open_ else at
        gaps, limits = np.diff(at), _limits(np.diff(at))
        rows += [
            (session, int(at[one]), int(at[one + 1]), int(limits[one]), open_ and one == len(gaps) - 1)
            for one in np.flatnonzero(gaps > limits).tolist()
        ]
    working = [_working(moves, session, started) for session, started, *_ in rows]
    frame = result(
        {
            "session_id": of("text", [row[0] for row in rows]),
            "started": of("time", [row[1] for row in rows]),
            "ended": of("time", [row[2] for row in rows]),
            "duration": of("duration", [row[2] - row[1] for row in rows]),
            "threshold": of("duration", [row[3] for row in rows]),
            "open": bools(np.array([row[4] for row in rows], dtype=bool)),
            "in_progress": ints([len(items) for items in working]),
        },
        t,
    )
    frame["items"] = pd.Series(working, dtype=object)
    return frame


def _beats(t: Tables) -> dict[str, NDArray[Any]]:
    """The times of the events of each project, each once."""
    found: dict[str, list[NDArray[Any]]] = {}
    for frame in (t.checkpoints, t.transitions):
        codes, names = session_codes(frame)
        ts = micros_in(frame["ts"])
        for code, name in enumerate(names):
            found.setdefault(name, []).append(ts[(codes == code) & (ts != NONE)])
    return {name: np.unique(np.concatenate(parts)) for name, parts in found.items()}


def _unfinished(t: Tables) -> set[str]:
    """The projects that have not ended; without a table of them all have not."""
    names, states = (texts_in(t.sessions[name]) for name in ("session_id", "status"))
    if not names:
        return set(session_codes(t.transitions)[1])
    return {str(name) for name, state in zip(names, states, strict=True) if state not in {"completed", "failed"}}


def _limits(gaps: NDArray[Any]) -> NDArray[Any]:
    """Return the threshold above which each gap is a stall, from the gaps before it."""
    limits = np.empty(len(gaps), np.int64)
    window: deque[int] = deque()
    ordered: list[int] = []
    for at, gap in enumerate(gaps.tolist()):
        limits[at] = silent_after(ordered, _SECOND)
        if len(window) == GAPS_KEPT:
            del ordered[bisect_left(ordered, window.popleft())]
        window.append(gap)
        insort(ordered, gap)
    return limits


def _working(moves: Moves, session: str, moment: int) -> list[str]:
    """The ids of the items that were in progress at a time."""
    if session not in moves.sessions:
        return []
    rows = np.flatnonzero((moves.session == moves.sessions.index(session)) & (moves.ts <= moment))
    last = rows[np.diff(moves.key[rows], append=-1) != 0]
    return [moves.items[code] for code in moves.item[last[moves.after[last] == RUNNING]].tolist()]

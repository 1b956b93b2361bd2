"""Whether a build comes to an end."""

from __future__ import annotations

from dataclasses import dataclass
from statistics import NormalDist
from typing import TYPE_CHECKING, Any, Final

import numpy as np
import pandas as pd

from .._columns import of
from ._core import (
    DONE,
    HOUR,
    Tables,
    check_session,
    floats,
    ints,
    micros_in,
    numbers_in,
    result,
    session_names,
    share,
    times,
)
from ._files import Files
from ._moves import Moves, moves_of
from .flow import burnup

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = ["Convergence", "convergence", "theil_sen"]

_Z: Final = NormalDist().inv_cdf(0.975)
FEWEST: Final = 4  # points of which a slope is told


@dataclass(frozen=True)
class Convergence:
    """Whether a build comes to an end.

    Attributes
    ----------
    verdict
        ``converging``, ``flat``, ``churning`` or ``unknown``.
    reason
        Why, in a sentence.
    rows
        The windows that say so: see `convergence`. The last one gave the verdict.
    """

    verdict: str
    reason: str
    rows: pd.DataFrame


def convergence(t: Tables, *, window: int = 20, kind: str | None = None, session_id: str | None = None) -> Convergence:
    """Return whether the remaining work of a build decreases, and how much finished work is undone.

    What remains is 100 less the percentage of each build checkpoint (less that of `burnup`, where fewer than 4
    checkpoints know theirs and there is more of it). The checkpoints are cut into windows, counted from the last. The
    verdict is that on the last window, the first that holds:

    1. ``unknown``: it has fewer than 4 points, or all of them at one time.
    2. ``converging``: nothing remains.
    3. ``churning``: items lost more than half as much progress as they gained (lost / gained > 0.5), or more items
       ceased to be completed than became it.
    4. ``flat``: the slope of what remains is not surely negative: its 95 % interval includes 0, or lies above.
    5. ``converging``: what remains gets less.

    The slope is Theil and Sen's: the median of the slopes between all pairs of points, which up to 29 % of wild points
    cannot move. Its interval is Sen's, from the variance of Kendall's S with a correction for ties.

    Parameters
    ----------
    t, kind
        As of `burnup`; ``kind`` is that of the items whose steps are counted.
    window
        How many checkpoints a window has; at least 4.
    session_id
        The project; it can be left out if there is only one.

    Returns
    -------
    Convergence
        ``rows`` has one row per window, the oldest first: ``session_id, started, ended``; ``points``, its checkpoints;
        ``remaining``, at its end, in percent; ``slope``, in points per hour, with the interval ``low`` to ``high``;
        ``gained, lost``, the sums of the steps of the progress of items, up and down, and ``ratio`` = lost / gained;
        ``completed, reopened``; ``verdict``.

    Raises
    ------
    ValueError
        If the window is too small, or there are several projects and none is chosen.

    References
    ----------
    H. Theil, "A rank-invariant method of linear and polynomial regression analysis", 1950. P. K. Sen, "Estimates of the
    Regression Coefficient Based on Kendall's Tau", *JASA* 63, 1968.
    """
    check_session(t, session_id)
    if window < FEWEST:
        raise ValueError(f"window must be at least {FEWEST} checkpoints, got {window}")
    names = session_names(t)
    if session_id is None and len(names) > 1:
        raise ValueError(f"there are several projects: choose with session_id= one of {', '.join(names)}")
    session = session_id or (names[0] if names else None)
    ts, remaining = _remaining(t, session, kind)
    changes, totals = _totals(moves_of(t, kind=kind, session_id=session))
    sizes = [window] * (len(ts) // window)
    sizes = [len(ts) - sum(sizes), *sizes] if len(ts) % window else sizes
    rows: list[_Window] = []
    begin = 0
    for size in sizes:
        part = slice(begin, begin + size)
        since = int(ts[begin - 1]) if begin else None
        rows.append(_window(ts[part], remaining[part], changes, totals, since))
        begin += size
    verdict, reason = (
        rows[-1].verdict() if rows else ("unknown", "There is no checkpoint yet that knows its percentage.")
    )
    return Convergence(verdict, reason, _frame(rows, session, t))


@dataclass(frozen=True, slots=True)
class _Window:
    started: int
    ended: int
    points: int
    remaining: float
    slope: float
    low: float
    high: float
    gained: float
    lost: float
    completed: int
    reopened: int

    def verdict(self) -> tuple[str, str]:
        """The verdict on it, and why."""
        if np.isnan(self.slope):
            return "unknown", f"It takes {FEWEST} checkpoints at different times to tell, and there are {self.points}."
        if self.remaining <= 0:
            return "converging", "Nothing remains."
        last = f"over the last {self.points} checkpoints"
        if self.lost > 0.5 * self.gained:
            return "churning", f"Items lost {self.lost:.0f} points of progress and gained {self.gained:.0f} {last}."
        if self.reopened > self.completed:
            return "churning", f"{self.reopened} items ceased to be completed and {self.completed} became it {last}."
        between = f"{self.slope:+.2g} points per hour {last} (95 %: {self.low:+.2g} to {self.high:+.2g})"
        if self.low > 0:
            return "flat", f"What remains grows: {between}."
        if self.high >= 0:
            return "flat", f"What remains does not surely get less: {between}."
        return "converging", f"What remains gets less: {between}."


def _remaining(t: Tables, session: str | None, kind: str | None) -> tuple[NDArray[Any], NDArray[Any]]:
    """Return the remaining work over time, in percent."""
    if session is None:
        return np.empty(0, np.int64), np.empty(0)
    files = Files(t)
    rows = files.newest(files.of(session), build=True)
    percent = numbers_in(t.checkpoints["percent"])[rows]
    known = ~np.isnan(percent)
    ts, remaining = files.ts[rows][known], 100 - percent[known]
    if len(ts) >= FEWEST:
        return ts, remaining
    flow: Any = burnup(t, kind=kind, session_id=session)
    percent = numbers_in(flow["percent"])
    known = ~np.isnan(percent)
    return (micros_in(flow["ts"])[known], 100 - percent[known]) if known.sum() > len(ts) else (ts, remaining)


def _totals(moves: Moves) -> tuple[NDArray[Any], NDArray[Any]]:
    """The times of all changes, sorted, and how much was gained, lost, completed and reopened before each of them."""
    order = np.argsort(moves.ts, kind="stable")
    step, before, after = moves.step[order], moves.before[order], moves.after[order]
    columns = [
        np.maximum(step, 0),
        np.maximum(-step, 0),
        (after == DONE) & (before != DONE),
        (before == DONE) & (after != DONE),
    ]
    totals = np.zeros((len(order) + 1, len(columns)))
    totals[1:] = np.cumsum(np.stack(columns, axis=1), axis=0)
    return moves.ts[order], totals


def _window(
    ts: NDArray[Any], remaining: NDArray[Any], changes: NDArray[Any], totals: NDArray[Any], since: int | None
) -> _Window:
    """One window; the changes in it are those after ``since``, or all until its end."""
    begin = 0 if since is None else int(np.searchsorted(changes, since, side="right"))
    ended: int = ts[-1].item()
    end = int(np.searchsorted(changes, ended, side="right"))
    sums: list[float] = (totals[end] - totals[begin]).tolist()
    x: NDArray[Any] = (ts - ts[0]) / HOUR
    slope, low, high = theil_sen(x, remaining) if len(ts) >= FEWEST else (np.nan, np.nan, np.nan)
    return _Window(
        started=int(ts[0]) if since is None else since,
        ended=ended,
        points=len(ts),
        remaining=round(float(remaining[-1]), 6),
        slope=slope,
        low=low,
        high=high,
        gained=round(sums[0], 6),
        lost=round(sums[1], 6),
        completed=round(sums[2]),
        reopened=round(sums[3]),
    )


def theil_sen(x: NDArray[Any], y: NDArray[Any]) -> tuple[float, float, float]:
    """The median slope of all pairs of points with different ``x``, and its 95 % interval; NaN if there are none."""
    one, two = np.triu_indices(len(x), 1)
    apart = x[one] != x[two]
    one, two = one[apart], two[apart]
    slopes = np.sort((y[two] - y[one]) / (x[two] - x[one]))
    if not len(slopes):
        return np.nan, np.nan, np.nan
    spread = _Z * np.sqrt(max(_ties(len(x)) - _tied(x) - _tied(y), 0) / 18)
    low = max(round((len(slopes) - spread) / 2) - 1, 0)
    high = min(round((len(slopes) + spread) / 2), len(slopes) - 1)
    return float(np.median(slopes)), float(slopes[low]), float(slopes[high])


def _ties(count: Any) -> Any:
    return count * (count - 1) * (2 * count + 5)


def _tied(values: NDArray[Any]) -> int:
    _, counts = np.unique(values, return_counts=True)
    return int(_ties(counts[counts > 1]).sum())


def _frame(rows: list[_Window], session: str | None, t: Tables) -> pd.DataFrame:
    gained, lost = (np.array([getattr(row, name) for row in rows], dtype=np.float64) for name in ("gained", "lost"))
    return result(
        {
            "session_id": of("text", [session] * len(rows)),
            "started": times([row.started for row in rows]),
            "ended": times([row.ended for row in rows]),
            "points": ints([row.points for row in rows]),
            "remaining": floats([row.remaining for row in rows]),
            "slope": floats([row.slope for row in rows]),
            "low": floats([row.low for row in rows]),
            "high": floats([row.high for row in rows]),
            "gained": floats(gained),
            "lost": floats(lost),
            "ratio": floats(share(lost, gained)),
            "completed": ints([row.completed for row in rows]),
            "reopened": ints([row.reopened for row in rows]),
            "verdict": of("text", [row.verdict()[0] for row in rows]),
        },
        t,
    )

"""`backtest`: what the forecast would have said at moments of the past, and whether that came true."""

from __future__ import annotations

import html
from dataclasses import dataclass, field
from typing import Any, Final

import numpy as np
import pandas as pd

from ._attempts import STATUSES
from ._forecast import TIME, check_count, check_runs, forecast_at, moment_of
from ._known import Known, source_of
from ._simulate import PLURAL

__all__ = ["Backtest", "backtest"]

_FIRST: Final = 0.10
_LAST: Final = 0.95


@dataclass(frozen=True, slots=True)
class Backtest:
    """How the forecast would have done on a build that is finished.

    Attributes
    ----------
    rows : pandas.DataFrame
        One row per moment: ``at``, ``share_of_build`` (of the time), ``low``, ``median``, ``high``, ``actual_finish``
        (times in UTC), ``held`` (whether the actual finish lies in the interval), ``error`` (median less the actual
        finish). Where nothing could be said yet, low, median, high, held and error are missing.
    coverage : float
        The share of the forecasts that held; NaN if there are none. It should be about ``level`` over many builds. The
        forecasts of one build go wrong together, so one build alone may give anything.
    n : int
        Forecasts that could be made, at most as many as rows.
    level : float
    kind : str or None
    known : bool
        Whether the build is finished.
    reason : str
        If not: what is missing.
    """

    rows: pd.DataFrame = field(repr=False, compare=False)
    coverage: float
    n: int
    level: float
    kind: str | None
    known: bool
    reason: str

    def __repr__(self) -> str:
        if not self.known:
            return f"no backtest: {self.reason}"
        if not self.n:
            return f"none of {len(self.rows)} moments had enough to say anything"
        held = round(self.coverage * self.n)
        return (
            f"the {100 * self.level:g} % interval held the finish at {held} of {self.n} moments ({self.coverage:.0%})"
        )

    def _repr_html_(self) -> str:
        return f"<p>{html.escape(repr(self))}</p>"


def backtest(
    t: Any,
    *,
    points: int = 20,
    level: float = 0.8,
    n: int = 500,
    seed: int = 0,
    kind: str | None = None,
    session_id: str | None = None,
) -> Backtest:
    """Forecast a finished build from moments of its past, and compare with when it was finished.

    At moments evenly spread from 10 % to 95 % of its time, all tables are cut: the state of every item is rebuilt from
    the transitions up to the moment. What came later is not used, except for the estimates and the dependencies of
    items known then, of which only the present ones are known.

    Parameters
    ----------
    t
        `History`, or anything with its tables.
    points
        So many moments.
    level, n, seed, session_id
        As for `forecast`; the same seed at each moment.
    kind
        The kind of items; by default chosen as for `forecast`, from the whole history.

    Returns
    -------
    Backtest
        Unknown (no rows, and a ``reason``) if the build is not finished: some item is neither completed, skipped,
        cancelled nor dropped.

    Raises
    ------
    ValueError
        If an argument is out of its range.

    References
    ----------
    .. [1] Tashman (2000), Out-of-sample tests of forecasting accuracy: an analysis and review, International Journal of
       Forecasting 16, 437-450.
    """
    check_runs(n, level, seed)
    check_count("points", points, 10_000)
    _, micros = moment_of(t, None)
    source = source_of(t, session_id, kind, None)
    if source is None or micros is None:
        return Backtest(_rows([]), float("nan"), 0, level, kind, False, "there are no items yet")
    known = source.at(max(micros, int(source.changes.ts.max(initial=micros))))
    if reason := _unfinished(known, source.kind):
        return Backtest(_rows([]), float("nan"), 0, level, source.kind, False, reason)
    length = known.changed - known.began
    actual = _time(known.changed)
    found: list[tuple[Any, ...]] = []
    for share in np.linspace(_FIRST, _LAST, points) if points > 1 else [(_FIRST + _LAST) / 2]:
        at = _time(known.began + round(length * float(share)))
        made = forecast_at(source, at, n=n, level=level, seed=seed)
        within = bool(made.finish_low <= actual <= made.finish_high) if made.known else pd.NA
        found.append((at, float(share), made.finish_low, made.finish_median, made.finish_high, actual, within))
    rows = _rows(found)
    held: list[bool] = [row[-1] for row in found if row[-1] is not pd.NA]
    return Backtest(
        rows=rows,
        coverage=sum(held) / len(held) if held else float("nan"),
        n=len(held),
        level=level,
        kind=source.kind,
        known=True,
        reason="",
    )


def _unfinished(known: Known, kind: str) -> str:
    """Why a build is not finished; an empty text if it is."""
    what = PLURAL[kind]
    if not known.present.any():
        return f"no {what} are known"
    if not known.open.any():
        return "" if known.changed > known.began else f"all {what} were done when they were first seen"
    left = known.status[known.open]
    counts = [(int((left == at).sum()), one.replace("_", " ")) for at, one in enumerate(STATUSES) if (left == at).any()]
    return (
        f"the build is not finished: {len(left)} of {int(known.present.sum())} {what} are left "
        f"({', '.join(f'{number} {one}' for number, one in counts)}); a forecast of it can be checked when it is"
    )


def _rows(found: list[tuple[Any, ...]]) -> pd.DataFrame:
    columns: list[list[Any]] = (
        [list(column) for column in zip(*found, strict=True)] if found else [[] for _ in range(7)]
    )
    at, share, low, median, high, actual, held = columns
    middle: Any = pd.Series(median, dtype=TIME)
    end: Any = pd.Series(actual, dtype=TIME)
    return pd.DataFrame(
        {
            "at": pd.Series(at, dtype=TIME),
            "share_of_build": pd.array(share, dtype="Float64"),
            "low": pd.Series(low, dtype=TIME),
            "median": middle,
            "high": pd.Series(high, dtype=TIME),
            "actual_finish": end,
            "held": pd.array(held, dtype="boolean"),
            "error": (middle - end).astype("timedelta64[us]"),
        }
    )


def _time(micros: int) -> pd.Timestamp:
    stamp: Any = pd.Timestamp(micros, unit="us", tz="UTC")
    return stamp.as_unit("us")

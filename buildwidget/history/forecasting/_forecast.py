"""`forecast` and `what_if`: when a build will be finished, and when it would be."""

from __future__ import annotations

import html
import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final, cast

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from ._known import Known, Source, source_of
from ._simulate import PLURAL, seconds_left, too_little

__all__ = ["TIME", "Forecast", "check_count", "check_runs", "forecast", "forecast_at", "moment_of", "what_if"]

_pd: Any = pd  # whose functions have no types that say anything

TIME: Final = "datetime64[us, UTC]"
_QUANTILES: Final = np.round(np.arange(0.05, 0.96, 0.05), 2)
_NO_SAMPLES: Final[NDArray[Any]] = np.zeros(0, dtype="datetime64[us]")


@dataclass(frozen=True, slots=True)
class Forecast:
    """When a build will be finished, as far as that can be said.

    Attributes
    ----------
    finish_low, finish_median, finish_high : pandas.Timestamp
        The ends (UTC) of the central interval that holds the finish with a probability of ``level``, and the median.
        NaT if ``known`` is false.
    level : float
    n : int
        Runs of the simulation.
    now : pandas.Timestamp
        The moment for which the forecast is; it knows nothing that came later.
    kind : str or None
        The kind of items that are left to do.
    remaining : int
        So many of them.
    samples : numpy.ndarray
        When each run was finished, ``datetime64[us]`` in UTC, shape (n,); empty if ``known`` is false.
    known : bool
        Whether there was enough to say anything.
    reason : str
        If not: why, and what would help.
    """

    finish_low: pd.Timestamp
    finish_median: pd.Timestamp
    finish_high: pd.Timestamp
    level: float
    n: int
    now: pd.Timestamp
    kind: str | None
    remaining: int
    known: bool
    reason: str
    samples: NDArray[Any] = field(repr=False, compare=False)

    def frame(self) -> pd.DataFrame:
        """The quantiles: ``quantile`` (0.05, 0.10 … 0.95) and ``finish`` (UTC); no rows if ``known`` is false."""
        quantiles = _QUANTILES if self.known else _QUANTILES[:0]
        finish = [_utc(one) for one in _quantiles(self.samples, quantiles)]
        return pd.DataFrame({"quantile": quantiles, "finish": pd.Series(finish, dtype=TIME)})

    @property
    def data(self) -> pd.DataFrame:
        """The same as `frame`."""
        return self.frame()

    def __repr__(self) -> str:
        if not self.known:
            return f"no forecast: {self.reason}"
        low, median, high = self.finish_low, self.finish_median, self.finish_high
        clock = "%H:%M:%S" if high - low < pd.Timedelta(minutes=5) else "%H:%M"
        days = len({one.date() for one in (low, median, high)}) > 1
        form = f"%Y-%m-%d {clock}" if days else clock
        on = "" if days else f" on {low:%Y-%m-%d}"
        what = PLURAL.get(self.kind or "", "items") if self.remaining != 1 else self.kind
        return (
            f"{100 * self.level:g} % between {low.strftime(form)} and {high.strftime(form)} UTC{on}, half of the runs "
            f"by {median.strftime(form)}; {self.remaining} {what} {'are' if self.remaining != 1 else 'is'} left"
        )

    def _repr_html_(self) -> str:
        return f"<p>{html.escape(repr(self))}</p>"


def forecast(
    t: Any,
    *,
    n: int = 2000,
    level: float = 0.8,
    kind: str | None = None,
    seed: int = 0,
    now: Any = None,
    session_id: str | None = None,
) -> Forecast:
    """Forecast when a build will be finished, by simulating what is left of it many times.

    Each run draws

    - how long attempts take: from the durations seen so far, with the uncertainty of how few they are, with what
      estimates tell, and with the lengths of what is in progress given its age (`_durations`: a Dirichlet process, that
      is a Bayesian bootstrap with a predictive Student's t for what was not seen yet);
    - the number of workers: as many as were at work so far while more could have been begun;
    - which attempts fail and are made again, which completed items are reopened, and which new items come: at rates
      seen so far, drawn from their posteriors (`_simulate`: Beta, Beta, Gamma-Poisson);

    and lets the workers take what is ready, in the order of the list, until nothing is left (`_schedule`). An item is
    ready when all it depends on is done; a feature waits for its component's dependencies as well, if the build kept to
    that so far. When nothing was in progress for some share of the time, as at night, that share is taken of the time
    to come, too.

    Parameters
    ----------
    t
        `History`, or anything with its tables: sessions, items, transitions, dependencies and ``present_ts``.
    n
        Runs. 2,000 give quantiles that are right to about a percent of probability.
    level
        The probability that the interval shall hold the finish. Intervals of one seed are nested.
    kind
        ``feature``, ``task``, ``component`` or ``phase``. By default the first of those with items that are not done
        and enough to learn from.
    seed
        The same seed gives the same forecast.
    now
        The moment from which to look ahead, a time with a zone; by default the newest that is known. Nothing that came
        later is used, except for the estimates and the dependencies of items known then.
    session_id
        Which build, if there are several.

    Returns
    -------
    Forecast
        Absent (``known`` false, times NaT) if fewer than five durations were seen or nothing is left; ``reason`` says
        why.

    Raises
    ------
    ValueError
        If an argument is out of its range, or there are several builds and none is named.

    References
    ----------
    .. [1] Vose (2008), Risk Analysis: A Quantitative Guide, 3rd ed., chapter 19.
    .. [2] Magennis (2011), Forecasting and Simulating Software Development Projects.
    .. [3] Rubin (1981), The Bayesian bootstrap, Annals of Statistics 9, 130-134.
    """
    check_runs(n, level, seed)
    moment, micros = moment_of(t, now)
    source = source_of(t, session_id, kind, micros)
    return forecast_at(source, moment, n=n, level=level, seed=seed)


def forecast_at(source: Source | None, now: pd.Timestamp, *, n: int, level: float, seed: int) -> Forecast:
    """The forecast for one moment, from what the tables hold."""
    kind = source.kind if source is not None else None
    known = source.at(_micros(now)) if source is not None and not _pd.isna(now) else None
    reason = too_little(known, kind) if known is not None and kind is not None else "there are no items yet"
    left = int(known.open.sum()) if known is not None else 0
    if reason or known is None:
        nat: Any = pd.NaT
        return Forecast(nat, nat, nat, level, n, now, kind, left, False, reason, _NO_SAMPLES)
    samples = _samples(known, seconds_left(known, runs=n, seed=seed))
    low, median, high = (_utc(one) for one in _quantiles(samples, _ends(level)))
    return Forecast(low, median, high, level, n, now, kind, left, True, "", samples)


def what_if(
    t: Any,
    *,
    workers: int | Iterable[int] | None = None,
    speedup: float | Mapping[str, float] | None = None,
    n: int = 2000,
    level: float = 0.8,
    seed: int = 0,
    kind: str | None = None,
    now: Any = None,
    session_id: str | None = None,
) -> pd.DataFrame:
    """Forecast what would be with other workers, or if something went faster.

    All scenarios have the same chances (common random numbers), so their differences are far more exact than each is.

    Parameters
    ----------
    workers
        A number of workers, or several, each a scenario of its own.
    speedup
        How many times as fast the work will be: one number for all of it, or numbers for single items or whole
        components, by their ids; an item's own number comes before its component's.
    n, level, seed, kind, now, session_id
        As for `forecast`.

    Returns
    -------
    pandas.DataFrame
        One row per scenario, the baseline first: ``scenario`` (words), ``workers`` (where none are given, as many
        as were seen), ``speedup`` (NA where it differs from item to item), ``low``, ``median``, ``high`` (UTC; NaT if
        there is no forecast: then ``attrs["reason"]`` says why), ``saved`` (the baseline's median less this one's).

    Raises
    ------
    ValueError
        If an argument is out of its range, or an id is not known.

    References
    ----------
    .. [1] Law (2015), Simulation Modeling and Analysis, 5th ed., section 11.2 (common random numbers).
    """
    check_runs(n, level, seed)
    _, micros = moment_of(t, now)
    numbers = _workers(workers)
    source = source_of(t, session_id, kind, micros)
    known = source.at(micros) if source is not None and micros is not None else None
    reason = too_little(known, source.kind) if known is not None and source is not None else "there are no items yet"
    speed, speed_of, speed_label = _speedup(speedup, known)
    usual = max(math.ceil(known.workers - 0.05), 1) if known is not None else 0
    scenarios: list[tuple[str, int | None, float | None, dict[str, Any]]] = [("as so far", None, 1.0, {})]
    faster: dict[str, Any] = {} if speedup is None else {"speed": speed, "speed_of": speed_of}
    factor = None if speed_of else speed
    if numbers:
        for number in numbers:
            label = f"{number} worker{'s' if number != 1 else ''}" + (f", {speed_label}" if speed_label else "")
            scenarios.append((label, number, factor, {"workers": number, **faster}))
    elif speedup is not None:
        scenarios.append((speed_label, None, factor, faster))
    rows: list[list[Any]] = []
    for _, _, _, changes in scenarios:
        if reason or known is None:
            rows.append([pd.NaT, pd.NaT, pd.NaT])
        else:
            samples = _samples(known, seconds_left(known, runs=n, seed=seed, **changes))
            rows.append([_utc(one) for one in _quantiles(samples, _ends(level))])
    low, median, high = (pd.Series(column, dtype=TIME) for column in zip(*rows, strict=True))
    frame = pd.DataFrame(
        {
            "scenario": pd.array([label for label, *_ in scenarios], dtype="string"),
            "workers": pd.array([number or usual or pd.NA for _, number, *_ in scenarios], dtype="Int64"),
            "speedup": pd.array([pd.NA if one is None else one for _, _, one, _ in scenarios], dtype="Float64"),
            "low": low,
            "median": median,
            "high": high,
            "saved": _pd.Series(median.iloc[0] - median).astype("timedelta64[us]"),
        }
    )
    frame.attrs.update(level=level, n=n, reason=reason)
    return frame


# -- arguments --------------------------------------------------------------------------------------------------------


def check_count(name: str, value: Any, most: int) -> None:
    """Raise ValueError if something is no whole number from 1 to ``most``."""
    if isinstance(value, bool) or not isinstance(value, int | np.integer) or not 1 <= value <= most:
        raise ValueError(f"{name} must be a whole number from 1 to {most:,}, got {value!r}")


def check_runs(n: Any, level: Any, seed: Any) -> None:
    """Raise ValueError if any of these is out of its range."""
    check_count("n, the runs,", n, 1_000_000)
    if isinstance(level, bool) or not isinstance(level, float | np.floating) or not 0.0 < level < 1.0:
        raise ValueError(f"level must be a probability between 0 and 1, such as 0.8, got {level!r}")
    if isinstance(seed, bool) or not isinstance(seed, int | np.integer) or seed < 0:
        raise ValueError(f"seed must be a whole number of at least 0, got {seed!r}")


def moment_of(t: Any, now: Any) -> tuple[pd.Timestamp, int | None]:
    """The moment that is meant, as a time and in microseconds since 1970, UTC."""
    moment: Any = pd.Timestamp(t.present_ts if now is None else now)
    if _pd.isna(moment):
        if now is not None:
            raise ValueError(f"now must be a time, got {now!r}")
        return moment, None
    if moment.tzinfo is None:
        raise ValueError(f"now must have a zone, as 2026-03-01T09:00Z has, got {now!r}")
    moment = moment.tz_convert("UTC").as_unit("us")
    return moment, _micros(moment)


def _workers(workers: Any) -> list[int]:
    if workers is None:
        return []
    numbers: list[Any] = [workers] if isinstance(workers, int | float | str) else list(workers)
    for one in numbers:
        check_count("workers", one, 10_000)
    return [int(one) for one in numbers]


def _speedup(speedup: Any, known: Known | None) -> tuple[float, dict[int, float], str]:
    """The factor of all items, those of single ones by number, and both in words."""
    if speedup is None:
        return 1.0, {}, ""
    if not isinstance(speedup, Mapping):
        return _factor(speedup), {}, f"{_factor(speedup):g} times as fast"
    pairs = cast("Mapping[Any, Any]", speedup)
    given: dict[str, float] = {str(name): _factor(one) for name, one in pairs.items()}
    ids = known.ids if known is not None else []
    parents = known.parent if known is not None else []
    if strange := set(given) - set(ids) - {one for one in parents if one is not None}:
        raise ValueError(
            f"speedup names {', '.join(map(repr, sorted(strange)[:3]))}, which is no item and no component of the "
            f"build; there are {', '.join(ids[:5]) or 'none'}{', …' if len(ids) > 5 else ''}"
        )
    found: dict[int, float] = {}
    for at, (name, parent) in enumerate(zip(ids, parents, strict=True)):
        if name in given:
            found[at] = given[name]
        elif parent is not None and parent in given:
            found[at] = given[parent]
    shown = [f"{name} {one:g} times as fast" for name, one in list(given.items())[:3]]
    return 1.0, found, ", ".join(shown) + (f" and {len(given) - 3} more" if len(given) > 3 else "")


def _factor(value: Any) -> float:
    try:
        factor = float(value)
    except (TypeError, ValueError):
        factor = math.nan
    if isinstance(value, bool | str) or not (math.isfinite(factor) and factor > 0):
        raise ValueError(
            f"speedup must be a number above 0 (2 is twice as fast, 0.5 half as fast), or a mapping of ids to such "
            f"numbers, got {value!r}"
        )
    return factor


# -- times ------------------------------------------------------------------------------------------------------------


def _micros(moment: pd.Timestamp) -> int:
    value: Any = moment.tz_convert("UTC").tz_localize(None).as_unit("us").to_datetime64()
    return int(value.astype(np.int64))


def _samples(known: Known, seconds: NDArray[Any]) -> NDArray[Any]:
    """Times of the finish; no later than pandas can hold."""
    micros = np.minimum(np.ceil(seconds * 1e6), 2e17).astype(np.int64)
    made: NDArray[Any] = (known.now + micros).view("datetime64[us]")
    return made


def _ends(level: float) -> NDArray[Any]:
    return np.array([(1.0 - level) / 2.0, 0.5, (1.0 + level) / 2.0])


def _quantiles(samples: NDArray[Any], quantiles: NDArray[Any]) -> list[Any]:
    """Quantiles of times, each one of the samples."""
    if not len(quantiles):
        return []
    found: NDArray[Any] = np.quantile(samples.view(np.int64), quantiles, method="inverted_cdf")
    return list(found.astype(np.int64).view("datetime64[us]"))


def _utc(moment: Any) -> pd.Timestamp:
    stamp: Any = pd.Timestamp(moment)
    return stamp.as_unit("us").tz_localize("UTC")

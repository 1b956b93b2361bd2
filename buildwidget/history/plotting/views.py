"""What each chart shows: a frame and its words, made from a history. No library that draws is known here."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Final, TypeAlias

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from .. import analysis, forecasting
from ..analysis import KINDS, Tables
from .look import LIFECYCLE, STATUS_WORDS, count_of, date_words, duration_words, time_words

__all__ = [
    "MOST_ROWS",
    "TIME",
    "Burnup",
    "Chosen",
    "CycleTime",
    "Flow",
    "Forecast",
    "Frame",
    "Moment",
    "Timeline",
    "View",
    "burnup",
    "chosen_of",
    "cumulative_flow",
    "cycle_time",
    "forecast",
    "kinds_linked",
]

_pd: Any = pd  # it does not type its functions in full
Frame: TypeAlias = Any  # a pandas.DataFrame
Moment: TypeAlias = Any  # a pandas.Timestamp

MOST_ROWS: Final = 1_000  # of one chart; altair raises at 5,000
_SLOWEST: Final = 200  # dots that are kept whatever else is left out
_LOG_FROM: Final = 50  # a larger ratio is shown on a log scale
_BINS: Final = 36
_MINUTE, _HOUR, _DAY = 60, 3_600, 86_400
_STEPS: Final = (
    *(1, 2, 5, 10, 15, 30, *(one * _MINUTE for one in (1, 2, 5, 10, 15, 30))),
    *(*(one * _HOUR for one in (1, 2, 3, 6, 12)), *(one * _DAY for one in (1, 2, 7, 14, 28))),
)
TIME: Final = "datetime64[us, UTC]"


@dataclass(slots=True)
class View:
    """A chart before it is drawn.

    Attributes
    ----------
    title, notes
        The title, and the sentences below it.
    data
        The frame that the chart shows. Its columns are there even if it has no rows. Durations are in hours.
    empty
        Why there is nothing to draw; empty if there is.
    days
        The days that the time axis covers, in words.
    """

    title: str
    notes: list[str] = field(default_factory=list[str])
    data: Frame = field(default_factory=pd.DataFrame)
    empty: str = ""
    days: str = ""


@dataclass(slots=True)
class Cone:
    """When the rest may be done: from now to a time between `low` and `high`."""

    now: Moment
    low: Moment
    median: Moment
    high: Moment
    done: float
    scope: float
    words: str


@dataclass(slots=True)
class Words:
    """Words in a chart: where, how aligned, and how far from there in pixels (right and up)."""

    text: str
    ts: Moment
    at: float
    align: str
    dx: int
    dy: int


@dataclass(slots=True)
class Burnup(View):
    """``data``: ts, scope, done, percent."""

    noun: str = "item"
    end: Moment = None  # of the axis of time
    cone: Cone | None = None
    words: list[Words] = field(default_factory=list[Words])


@dataclass(slots=True)
class Flow(View):
    """``data``: ts and a column for each of `statuses`, which are in the order of the stack, from the ground."""

    noun: str = "item"
    statuses: list[str] = field(default_factory=list[str])
    labels: Frame = field(default_factory=pd.DataFrame)  # status, ts, at, words: names to write in the areas


@dataclass(slots=True)
class Timeline(View):
    """``data``: one row per bar, from above, with its item's name, kind, status, times and hours; the group it is in;
    ``head``, whether it is the bar of a group; ``critical``, whether it is on the critical path; ``open_start``,
    whether it began before the bar does, nobody knows when: then it has no ``hours``.
    """

    noun: str = "item"
    least: float = 0.0  # what is shorter, in hours, is too narrow for a bar
    rows: list[str] = field(default_factory=list[str])  # the names at the left, from above, with those of the groups
    heads: set[int] = field(default_factory=set[int])  # which of `rows` are names of groups
    statuses: list[str] = field(default_factory=list[str])
    now: Moment | None = None


@dataclass(slots=True)
class CycleTime(View):
    """``data``: item_id, name, kind, ended, and the cycle time in hours and in `unit`."""

    noun: str = "item"
    unit: str = "hours"
    log: bool = False
    marks: list[tuple[float, str]] = field(default_factory=list[tuple[float, str]])  # of lines across, with their words


@dataclass(slots=True)
class Forecast(View):
    """``data``: one row per bar: from, to, share (of the runs, in percent), inside (the interval)."""

    per: str = ""  # the width of a bar in words
    low: Moment = None
    median: Moment = None
    high: Moment = None
    words: tuple[str, str] = ("", "")  # of the interval, of the median

    @property
    def anchor(self) -> tuple[Moment, str]:
        """Where to write of the interval, and how aligned: above it, and inside the picture."""
        first, last = self.data["from"].iloc[0], self.data["to"].iloc[-1]
        middle = self.low + (self.high - self.low) / 2
        place = (middle - first) / (last - first)
        if place < 0.35:
            return max(self.low, first), "left"
        return (min(self.high, last), "right") if place > 0.65 else (middle, "center")


# -- one for each chart -----------------------------------------------------------------------------------------------


def burnup(t: Tables, *, kind: str | None, session_id: str | None, forecast: bool = False, **options: Any) -> Burnup:
    """Scope and done over time.

    Parameters
    ----------
    forecast
        Whether to show when the rest may be done.
    **options
        Of the forecast.
    """
    chosen = chosen_of(t, kind, session_id)
    frame = _plain(thin(_of_one(analysis.burnup(t, kind=chosen.kind, session_id=chosen.session))))
    view = Burnup("Burn-up", chosen.notes, frame, noun=chosen.kind)
    if frame.empty:
        view.empty = chosen.nothing
        return view
    last = frame.iloc[-1]
    view.end = last["ts"]
    view.days = date_words(frame["ts"].iloc[0], last["ts"])
    view.title = f"Burn-up: {int(last['done']):,} of {count_of(int(last['scope']), chosen.kind)} done"
    if not _pd.isna(last["percent"]):
        percent = round(float(last["percent"]), 6)
        view.title += f" ({percent if percent in {0, 100} else min(max(percent, 1), 99):.0f} %)"
    first, now = int(frame["scope"].iloc[0]), int(last["scope"])
    if first != now:
        view.notes.insert(0, f"The scope {'grew' if now > first else 'shrank'} from {first:,} to {now:,}.")
    if forecast:
        _add_cone(t, view, chosen, options)
    ts, done, scope = last["ts"], float(last["done"]), float(last["scope"])
    level = frame["scope"].to_numpy()
    begins = np.flatnonzero(np.append(True, level[1:] != level[:-1]))
    when = frame["ts"].iloc[begins].astype("int64").to_numpy()
    lasts = np.diff(when, append=ts.value // 1_000)
    if view.cone is not None:  # its words are at the right
        lasts[when - when[0] > 0.35 * (view.end.value // 1_000 - when[0])] = -1
    longest = int(begins[int(np.argmax(lasts))])
    view.words = [Words("scope", frame["ts"].iloc[longest], float(level[longest]), "left", 4, 10)]
    if done < 0.8 * scope:
        view.words.append(Words(f"done {done:,.0f}", ts, done, "right", 0, 10))
        if view.cone is None:
            view.words[0] = Words(f"scope {scope:,.0f}", ts, scope, "right", 0, 10)
    if view.cone is not None:
        high = max(scope, view.cone.scope)
        view.words.append(Words(view.cone.words, view.end, high, "right", 0, 10))
    return view


def _add_cone(t: Tables, view: Burnup, chosen: Chosen, options: dict[str, Any]) -> None:
    frame = view.data
    found = forecasting.forecast(t, kind=chosen.kind, session_id=chosen.session, **options)
    if not found.known:
        if "now" in options or frame["done"].iloc[-1] < frame["scope"].iloc[-1]:
            view.notes.append(f"No forecast: {found.reason}.")
        return
    then = frame[frame["ts"] <= found.now].iloc[-1]
    low, median, high = found.finish_low, found.finish_median, found.finish_high
    words = f"{_percent(found.level)}: all done {_between(low, high, found.now)}"
    view.cone = Cone(found.now, low, median, high, float(then["done"]), float(then["scope"]), words)
    view.end = max(frame["ts"].iloc[-1], high)
    if found.now < frame["ts"].iloc[-1]:
        view.notes.append(f"The forecast knows what was known at {time_words(found.now, found.now)}.")
    view.days = date_words(frame["ts"].iloc[0], view.end)


def cumulative_flow(t: Tables, *, kind: str | None, session_id: str | None, aspect: tuple[float, float]) -> Flow:
    """How many items there were in each status.

    Parameters
    ----------
    aspect
        Width and height of the area to draw in, in pixels: what a name fits into depends on it.
    """
    chosen = chosen_of(t, kind, session_id)
    found = analysis.cumulative_flow(t, kind=chosen.kind, session_id=chosen.session)
    frame = _plain(thin(_of_one(found)))
    statuses = [name for name in LIFECYCLE if name in frame.columns and frame[name].any()]
    frame = frame[["ts", *statuses]] if len(frame) else frame
    view = Flow("Cumulative flow", chosen.notes, frame, noun=chosen.kind, statuses=statuses)
    if frame.empty or not statuses:
        view.empty = chosen.nothing
        return view
    view.days = date_words(frame["ts"].iloc[0], frame["ts"].iloc[-1])
    going = frame["in_progress"] if "in_progress" in statuses else _pd.Series([0])
    view.title = f"Cumulative flow: {_tally(frame.iloc[-1], statuses)}"
    if int(going.max()):
        view.notes.insert(0, f"At most {count_of(int(going.max()), chosen.kind)} in progress at once.")
    view.labels = _places(frame, statuses, aspect)
    return view


def _tally(last: Any, statuses: list[str]) -> str:
    parts = [f"{int(last[name]):,} {STATUS_WORDS[name]}" for name in statuses if last[name]]
    return ", ".join(parts) or "nothing left"


def _places(frame: Frame, statuses: list[str], aspect: tuple[float, float]) -> Frame:
    """Where in its band each status can be written: where the largest gap is that is as long as the word."""
    ts = frame["ts"].astype("int64").to_numpy().astype(float)
    tops = np.cumsum(frame[statuses].to_numpy(dtype=float), axis=1)
    rows: list[dict[str, Any]] = []
    length, most = ts[-1] - ts[0], float(tops.max())
    grid = _spaced(ts[0], ts[-1], 240)
    at = np.clip(np.searchsorted(ts, grid, side="right") - 1, 0, len(ts) - 1)
    for number, name in enumerate(statuses):
        words = STATUS_WORDS[name]
        window = max(1, min(int(np.ceil((len(words) * 6.6 + 10) / max(aspect[0], 1) * len(grid))), len(grid)))
        high = tops[at, number]
        low = tops[at, number - 1] if number else np.zeros(len(grid))
        if not length or window == len(grid):
            continue
        windows: Any = np.lib.stride_tricks.sliding_window_view
        floor, ceiling = windows(low, window).max(axis=1), windows(high, window).min(axis=1)
        room = (ceiling - floor) / most * aspect[1]
        roomy = np.flatnonzero(room >= max(15.0, min(float(room.max()), 40.0)))
        if len(roomy):
            best = int(roomy[len(roomy) // 2])
            moment = _pd.Timestamp(int(grid[best + window // 2]), unit="us", tz="UTC").as_unit("us")
            rows.append({"status": name, "ts": moment, "at": (ceiling[best] + floor[best]) / 2, "words": words})
    return _pd.DataFrame(rows, columns=["status", "ts", "at", "words"])


def cycle_time(t: Tables, *, kind: str | None, session_id: str | None) -> CycleTime:
    """How long each completed item took, by when it was completed."""
    chosen = chosen_of(t, kind, session_id)
    frame = _of_one(analysis.cycle_time(t, kind=chosen.kind, session_id=chosen.session))
    unseen = int(frame["cycle_time"].isna().sum())
    frame = frame[frame["cycle_time"].notna()]
    hours = frame["cycle_time"].dt.total_seconds() / 3600
    names = _names(t, chosen)
    data = _pd.DataFrame(
        {
            "item_id": frame["item_id"].astype("str"),
            "name": frame["item_id"].astype(object).map(names).fillna(frame["item_id"].astype(object)).astype("str"),
            "kind": frame["kind"].astype("str"),
            "started": frame["started"],
            "ended": frame["ended"],
            "hours": hours.astype(float),
            "taken": hours.astype(float),
            "words": _pd.Series([duration_words(one * 3600) for one in hours], dtype="str", index=frame.index),
        }
    ).sort_values(["ended", "item_id"], kind="stable", ignore_index=True)
    view = CycleTime("Cycle time", chosen.notes, data, noun=chosen.kind)
    if data.empty:
        view.empty = f"No {chosen.kind} has been completed yet." if chosen.session else chosen.nothing
        if unseen:
            known = "it was" if unseen == 1 else "they were"
            view.empty = f"{count_of(unseen, chosen.kind)} completed, but when {known} begun is not known."
        return view
    p50, p85 = (float(data["hours"].quantile(at)) for at in (0.5, 0.85))
    positive = data["hours"][data["hours"] > 0]
    view.log = bool(len(positive)) and positive.max() / positive.min() > _LOG_FROM
    view.unit, size = _unit_of(p50 if p50 > 0 else float(data["hours"].max()))
    data["taken"] = data["hours"] / size
    if view.log:
        data["taken"] = data["taken"].clip(lower=float(positive.min()) / size)
    view.marks = [
        (p50 / size, f"half within {duration_words(p50 * 3600)}"),
        (p85 / size, f"85 % within {duration_words(p85 * 3600)}"),
    ]
    view.title = f"Cycle time: half of {count_of(len(data), chosen.kind)} took {duration_words(p50 * 3600)} or less"
    view.days = date_words(data["ended"].iloc[0], data["ended"].iloc[-1])
    if len(data) > MOST_ROWS:
        view.notes.append(
            f"{MOST_ROWS:,} of {len(data):,} dots are shown, the slowest among them; the lines are of all."
        )
        data = _fewer(data)
    if unseen:
        view.notes.append(f"{count_of(unseen, chosen.kind)} whose start nobody saw not shown.")
    view.data = data
    return view


def _fewer(data: Frame) -> Frame:
    slow = data["hours"].nlargest(_SLOWEST).index
    rest = data.index.difference(slow)
    kept = rest[_spaced(0, len(rest) - 1, MOST_ROWS - _SLOWEST).round().astype(int)]
    return data.loc[slow.union(kept)].reset_index(drop=True)


def _unit_of(hours: float) -> tuple[str, float]:
    """Return the unit that suits a duration, and its length in hours."""
    for unit, size in (("days", 24.0), ("hours", 1.0), ("minutes", 1 / 60)):
        if hours >= size:
            return unit, size
    return "seconds", 1 / 3600


def forecast(t: Tables, *, kind: str | None, session_id: str | None, **options: Any) -> Forecast:
    """When the build may end, as shares of the simulated runs."""
    chosen = chosen_of(t, kind, session_id)
    data = _pd.DataFrame({"from": [], "to": [], "share": [], "inside": []})
    view = Forecast("Forecast", chosen.notes, data.astype({"from": TIME, "to": TIME, "share": float, "inside": bool}))
    if not chosen.session:
        view.empty = chosen.nothing
        return view
    found = forecasting.forecast(t, kind=kind, session_id=chosen.session, **options)
    if not found.known:
        nothing_left = found.reason.startswith("nothing is left")
        stuck = found.reason.startswith(("the build has failed", "nothing of what is left"))
        view.title = "Forecast: too little to say"
        if nothing_left or stuck:
            view.title = "Forecast: nothing is left to do" if nothing_left else "Forecast: it cannot go on by itself"
        view.empty = f"{found.reason[:1].upper()}{found.reason[1:].rstrip('.')}."
        return view
    view.low, view.median, view.high = low, median, high = found.finish_low, found.finish_median, found.finish_high
    view.title = f"Forecast: half of the runs are done by {time_words(median, found.now)}"
    left = f"{count_of(found.remaining, found.kind or 'item')} left"
    view.notes.insert(0, f"{found.n:,} simulated runs from {time_words(found.now, found.now)} on, with {left}.")
    view.words = (
        f"{_percent(found.level)} {_between(low, high, found.now)}",
        f"half by {time_words(median, found.now)}",
    )
    edges, step = _bins(found.samples)
    counts, _ = np.histogram(found.samples.astype(np.int64), edges)
    begins, ends = (_pd.to_datetime(one, unit="us", utc=True).as_unit("us") for one in (edges[:-1], edges[1:]))
    middles = begins + (ends - begins) / 2
    view.data = _pd.DataFrame(
        {"from": begins, "to": ends, "share": 100 * counts / found.n, "inside": (middles >= low) & (middles <= high)}
    )
    beyond = 100 - float(view.data["share"].sum())
    if beyond > 1e-6:
        view.notes.append(f"{beyond:.2g} % of the runs take longer than the picture is wide.")
    view.per = duration_words(step / 1e6)
    view.days = date_words(begins[0], ends[-1])
    return view


def _bins(samples: NDArray[Any]) -> tuple[NDArray[Any], int]:
    """The edges of bars that hold all but the slowest hundredth, in microseconds, and their width, a round one."""
    micros = samples.astype(np.int64)
    first, last = int(micros.min()), int(np.quantile(micros, 0.99))
    steps = [one * 1_000_000 for one in _STEPS]
    step = next((one for one in steps if (last - first) // one < _BINS), -(-(last - first) // _BINS))
    return np.arange(first // step, last // step + 2) * step, step


# -- what they share --------------------------------------------------------------------------------------------------


@dataclass(slots=True)
class Chosen:
    """Which items of which project a chart shows."""

    kind: str
    session: str | None
    notes: list[str]
    nothing: str  # what to say if there are none


def chosen_of(t: Tables, kind: str | None, session_id: str | None, *, linked: bool = False) -> Chosen:
    """One project, the newest if none is named; one kind of items, the first of `KINDS` that it has if none is named.

    ``linked``: better the first kind that has dependencies, as the critical path takes it.
    """
    if kind is not None and kind not in KINDS:
        raise ValueError(f"kind must be one of {', '.join(KINDS)}, or None for the first that there is, got {kind!r}")
    sessions: Any = t.sessions
    names = [str(name) for name in sessions["session_id"]]
    if session_id is not None and session_id not in names:
        raise ValueError(
            f"there is no project {session_id!r} in this history; there are {', '.join(map(repr, names[:5])) or 'none'}"
        )
    notes: list[str] = []
    if session_id is None and names:
        order = sessions["last_ts"].fillna(_pd.Timestamp(0, tz="UTC")).to_numpy().argsort(kind="stable")
        session_id = names[int(order[-1])]
        if len(names) > 1:
            notes.append(f"{session_id}, the newest of {len(names):,} projects; session_id= shows another.")
    changes: Any = t.transitions
    here = changes["kind"][changes["session_id"] == session_id].unique()
    there = {str(name) for name in here}
    if kind is None:
        kinds = [*(kinds_linked(t, session_id) if linked else ()), *KINDS]
        kind = next((name for name in kinds if name in there), KINDS[0])
    nothing = f"There are no {kind}s in this history yet." if names else "There is no build in this history yet."
    return Chosen(kind, session_id, notes, nothing)


def kinds_linked(t: Tables, session: str | None) -> list[str]:
    """The kinds with dependencies between them."""
    edges: Any = t.dependencies
    there = set(edges["kind"][(edges["session_id"] == session) & edges["known"].fillna(value=False)].astype(object))
    return [kind for kind in KINDS if kind in there]


def _names(t: Tables, chosen: Chosen) -> dict[str, str]:
    items: Any = t.items
    items = items[(items["kind"] == chosen.kind) & (items["session_id"] == chosen.session) & items["name"].notna()]
    return dict(zip(items["item_id"].astype(object), items["name"].astype(object), strict=True))


def _of_one(frame: Any) -> Frame:
    """The frame of one project without the column that names it."""
    return frame.drop(columns="session_id").reset_index(drop=True)


def _plain(frame: Frame) -> Frame:
    """Return the frame with types that every library accepts: numbers as floats or integers."""
    made: Any = frame.copy()
    for name in made.columns:
        if str(made[name].dtype) == "Int64":
            made[name] = made[name].astype("int64")
        elif str(made[name].dtype) == "Float64":
            made[name] = made[name].astype("float64")
    made.attrs = {}
    return made


def thin(frame: Frame, most: int = MOST_ROWS) -> Frame:
    """At most so many rows of a frame sorted by ``ts``: the last in each of equal stretches of time, and the first.

    The values are steps that hold until the next row, so what is left out are moments, never a level that lasts. Of the
    rows of one millisecond only the last is kept: browsers know no shorter time, and would add them up in a stack.
    """
    ts = frame["ts"].astype(TIME).astype("int64").to_numpy() // 1_000
    if len(frame) <= most and len(np.unique(ts)) == len(ts):
        return frame
    if len(np.unique(ts)) <= most:
        return frame[np.append(ts[1:] != ts[:-1], True)].reset_index(drop=True)
    edges = _spaced(ts[0], ts[-1], most)
    rows = np.unique(np.searchsorted(ts, edges, side="right") - 1)
    return frame.iloc[rows].reset_index(drop=True)


def _percent(share: float) -> str:
    return f"{100 * share:g} %"


def _spaced(first: float, last: float, count: int) -> NDArray[Any]:
    spaced: Any = np.linspace(first, last, count)
    return spaced


def _between(low: Moment, high: Moment, now: Any) -> str:
    return f"between {time_words(low, now)} and {time_words(high, now)}"

"""The views as matplotlib figures.

No pyplot: a figure belongs to whoever asked for it, and no window opens. A picture cannot know what page it will be on,
so its text is a grey in the middle unless a theme is named.
"""

from __future__ import annotations

import io
from collections.abc import Sequence
from datetime import UTC
from typing import Any, Final

import numpy as np
import pandas as pd
from matplotlib import dates
from matplotlib.artist import Artist
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.markers import CARETLEFTBASE
from matplotlib.patches import Patch
from matplotlib.ticker import FuncFormatter, MaxNLocator

from .look import ACCENT, COLOURS, INKS, ON_FILL, OPEN_START, STATUS_WORDS, STRONG, Ink, lines_of
from .views import Burnup, CycleTime, Flow, Forecast, Timeline, View

__all__ = ["Drawing", "draw"]

_pd: Any = pd  # it does not type its functions in full
_DPI: Final = 100
_POINT: Final = 72 / _DPI  # points in a pixel
_SMALL, _TEXT, _HEAD = 11 * _POINT, 12 * _POINT, 15 * _POINT


class Drawing(Figure):
    """A figure that a notebook shows, also one that has not imported pyplot.

    Attributes
    ----------
    data : pd.DataFrame
        The frame that it shows.
    """

    data: pd.DataFrame

    def _repr_png_(self) -> tuple[bytes, dict[str, int]]:
        file = io.BytesIO()
        this: Any = self
        this.savefig(file, format="png", dpi=2 * _DPI)
        width, height = (round(inches * _DPI) for inches in this.get_size_inches())
        return file.getvalue(), {"width": width, "height": height}


def draw(view: View, *, width: int, height: int, theme: str | None) -> Drawing:
    """A view as a figure; the arguments are those of `vega.draw`."""
    pen = _Pen(view, width, height, INKS[theme or "neutral"])
    if view.empty:
        pen.nothing()
    elif isinstance(view, Burnup):
        _burnup(view, pen)
    elif isinstance(view, Flow):
        _flow(view, pen)
    elif isinstance(view, Timeline):
        _timeline(view, pen)
    elif isinstance(view, CycleTime):
        _cycle_time(view, pen)
    elif isinstance(view, Forecast):
        _forecast(view, pen)
    return pen.figure


class _Pen:
    """A figure with the view's words, and its axes with the look."""

    def __init__(self, view: View, width: int, height: int, ink: Ink) -> None:
        self.view, self.width, self.height, self.ink = view, width, height, ink
        made: Any = Drawing(figsize=(width / _DPI, height / _DPI), dpi=_DPI, layout="constrained", facecolor="none")
        self.figure: Any = made
        made.data = view.data
        title = lines_of(view.title, width - 20, size=16)
        notes = [line for note in view.notes for line in lines_of(note, width - 20)]
        down = 1 - 10 / height
        write = made.text
        write(10 / width, down, "\n".join(title), fontsize=_HEAD, weight="bold", color=ink.text, va="top")
        down -= (20 * len(title) + 2) / height
        if notes:
            write(10 / width, down, "\n".join(notes), fontsize=_TEXT, color=ink.text, va="top", linespacing=1.25)
            down -= 16 * len(notes) / height
        made.get_layout_engine().set(rect=(0, 0, 1, down), w_pad=0.08, h_pad=0.08)
        self.axes: Any = made.add_subplot(facecolor="none")
        for side, spine in self.axes.spines.items():
            spine.set_visible(side in {"left", "bottom"})
            spine.set_color(ink.grid)
        self.axes.tick_params(colors=ink.grid, labelcolor=ink.text, labelsize=_SMALL)
        self.axes.set_axisbelow(True)

    def nothing(self) -> None:
        """Why there is nothing to show."""
        self.axes.set_axis_off()
        words = "\n".join(lines_of(self.view.empty, self.width - 40, size=13))
        self.axes.text(
            *(0.5, 0.5, words),
            ha="center",
            va="center",
            fontsize=13 * _POINT,
            color=self.ink.text,
            transform=self.axes.transAxes,
        )

    def time(self, first: Any, last: Any) -> None:
        """The axis of time."""
        axis = self.axes.xaxis
        axis.set_major_locator(dates.AutoDateLocator(tz=UTC, minticks=3, maxticks=max(4, self.width // 90)))
        formatter = dates.ConciseDateFormatter(
            axis.get_major_locator(),
            tz=UTC,
            formats=["%Y", "%b", "%-d %b", "%H:%M", "%H:%M", "%H:%M:%S"],
            zero_formats=["", "%Y", "%b", "%-d %b", "%-d %b", "%H:%M"],
            show_offset=False,
        )
        axis.set_major_formatter(formatter)
        begin, end = _days(first), _days(last)
        self.axes.set_xlim(begin, max(end, begin + 1 / 86_400))
        self.axes.set_xlabel(f"{self.view.days}, UTC", color=self.ink.text, fontsize=_TEXT)

    def amount(self, words: str, *, whole: bool) -> None:
        """The axis of amounts."""
        self.axes.grid(axis="y", color=self.ink.grid, alpha=self.ink.grid_opacity, linewidth=0.8)
        self.axes.set_ylabel(words, color=self.ink.text, fontsize=_TEXT)
        if whole:
            self.axes.yaxis.set_major_locator(MaxNLocator(nbins=5, integer=True))
        self.axes.yaxis.set_major_formatter(FuncFormatter(_number))

    def say(
        self, words: str, x: Any, y: float, *, dx: float = 0, dy: float = 0, ha: str = "left", **options: Any
    ) -> None:
        """Words in the chart, moved by so many pixels."""
        settings = {"fontsize": _TEXT, "color": self.ink.text, "va": "center", **options}
        self.axes.annotate(
            words, (_days(x), y), xytext=(dx * _POINT, dy * _POINT), textcoords="offset points", ha=ha, **settings
        )

    def legend(self, handles: Sequence[Artist]) -> None:
        """What the colours mean, above the chart."""
        self.axes.legend(
            handles=handles,
            loc="lower left",
            bbox_to_anchor=(0, 1),
            ncols=min(len(handles), max(2, self.width // 110)),
            frameon=False,
            labelcolor=self.ink.text,
            fontsize=_TEXT,
            handlelength=1,
            handleheight=1,
            columnspacing=1.4,
            borderaxespad=0.2,
            borderpad=0.2,
        )


def _days(moments: Any) -> Any:
    """Times as matplotlib's numbers: days since 1970."""
    if isinstance(moments, _pd.Series):
        return moments.astype("datetime64[us, UTC]").astype("int64").to_numpy() / 86_400e6
    return _pd.Timestamp(moments).timestamp() / 86_400


def _number(value: float, _: int = 0) -> str:
    return f"{value:,.0f}" if value == int(value) else f"{value:,.3g}"


# -- one for each view ------------------------------------------------------------------------------------------------


def _burnup(view: Burnup, pen: _Pen) -> None:
    frame, cone = view.data, view.cone
    axes: Any = pen.axes
    x = _days(frame["ts"])
    green = COLOURS["completed"]
    axes.fill_between(x, frame["done"], step="post", color=green, alpha=0.75, linewidth=0)
    axes.step(x, frame["done"], where="post", color=green, linewidth=1.5)
    axes.step(x, frame["scope"], where="post", color=pen.ink.line, linewidth=2)
    if cone:
        at = [cone.done, cone.scope]
        now, low, median, high = (_days(one) for one in (cone.now, cone.low, cone.median, cone.high))
        axes.fill_betweenx(at, [now, low], [now, high], color=ACCENT, alpha=0.3, linewidth=0)
        axes.plot([now, median], at, color=ACCENT, linestyle="--", linewidth=1.5)
        ahead = _days(frame["ts"].iloc[-1]), _days(view.end)
        axes.plot(ahead, [float(frame["scope"].iloc[-1])] * 2, color=pen.ink.line, linestyle=":", linewidth=1.5)
    axes.set_ylim(0, max(float(frame["scope"].max()), 1.0) * 1.12)
    pen.time(frame["ts"].iloc[0], view.end)
    pen.amount(f"{view.noun}s", whole=True)
    for word in view.words:
        pen.say(word.text, word.ts, word.at, dx=word.dx, dy=word.dy, ha=word.align)


def _flow(view: Flow, pen: _Pen) -> None:
    frame = view.data
    axes: Any = pen.axes
    x = _days(frame["ts"])
    tops = np.cumsum(frame[view.statuses].to_numpy(dtype=float), axis=1)
    low = np.zeros(len(frame))
    for number, name in enumerate(view.statuses):
        axes.fill_between(x, low, tops[:, number], step="post", color=COLOURS[name], linewidth=0)
        low = tops[:, number]
    axes.set_ylim(0, max(float(tops.max()), 1.0) * 1.02)
    pen.time(frame["ts"].iloc[0], frame["ts"].iloc[-1])
    pen.amount(f"{view.noun}s", whole=True)
    pen.legend([Patch(color=COLOURS[name], label=STATUS_WORDS[name]) for name in view.statuses])
    for row in view.labels.itertuples():
        pen.say(str(row.words), row.ts, float(row.at), ha="center", color=ON_FILL)


def _timeline(view: Timeline, pen: _Pen) -> None:
    frame = view.data
    axes: Any = pen.axes
    started, ended = _days(frame["started"]), _days(frame["ended"])
    height = np.where(frame["head"], 0.45, 0.75)
    colours = [COLOURS[name] for name in frame["status"]]
    axes.barh(frame["row"], ended - started, left=started, height=height, color=colours)
    open_start = frame["open_start"].to_numpy()
    unseen = ~(frame["hours"] >= view.least).to_numpy() & ~open_start
    spread = height[unseen] / 2
    axes.vlines(
        started[unseen],
        frame["row"][unseen] - spread,
        frame["row"][unseen] + spread,
        linewidth=2,
        color=[colour for colour, is_unseen in zip(colours, unseen, strict=True) if is_unseen],
    )
    path = frame["critical"].to_numpy()
    axes.barh(
        frame["row"][path],
        (ended - started)[path],
        left=started[path],
        height=height[path],
        color="none",
        edgecolor=STRONG,
        linewidth=1.8,
    )
    handles: list[Artist] = [Patch(color=COLOURS[name], label=STATUS_WORDS[name]) for name in view.statuses]
    if path.any():
        handles.append(Patch(facecolor="none", edgecolor=STRONG, linewidth=1.8, label="critical path"))
    if open_start.any():  # an arrow at the start: it goes on to the left, nobody knows how far
        arrow: dict[str, Any] = {"marker": CARETLEFTBASE, "linestyle": "none", "color": pen.ink.text, "markersize": 6}
        axes.plot(started[open_start], frame["row"][open_start], clip_on=False, zorder=3, **arrow)
        handles.append(Line2D([], [], label=OPEN_START, **arrow))
    pen.legend(handles)
    pen.time(frame["started"].min(), frame["ended"].max())
    for row, end, words in zip(frame["row"], frame["ended"], frame["words"], strict=True):
        pen.say(words, end, row, dx=6, fontsize=_SMALL)
    names = [name if len(name) <= 26 else f"{name[:25]}…" for name in view.rows]
    axes.set_yticks(range(len(names)), names)
    for number, label in enumerate(axes.get_yticklabels()):
        label.set_fontweight("bold" if number in view.heads else "normal")
    axes.tick_params(axis="y", length=0, pad=8)
    axes.spines["left"].set_visible(False)
    axes.set_ylim(len(names) - 0.4, -0.6)
    if view.now is not None:
        axes.axvline(_days(view.now), color=pen.ink.line, linestyle=":", linewidth=1.2)


def _cycle_time(view: CycleTime, pen: _Pen) -> None:
    frame = view.data
    axes: Any = pen.axes
    axes.scatter(_days(frame["ended"]), frame["taken"], s=28, color=COLOURS["completed"], alpha=0.9, linewidths=0)
    if view.log:
        axes.set_yscale("log")
    else:
        axes.set_ylim(bottom=0)
    pen.time(frame["ended"].iloc[0], frame["ended"].iloc[-1])
    pen.amount(f"cycle time, {view.unit}{' (log scale)' if view.log else ''}", whole=False)
    for at, words in view.marks:
        axes.axhline(at, color=pen.ink.line, linestyle="--", linewidth=1.2)
        pen.say(words, frame["ended"].iloc[-1], at, dx=6)


def _forecast(view: Forecast, pen: _Pen) -> None:
    frame = view.data
    axes: Any = pen.axes
    begins, ends = _days(frame["from"]), _days(frame["to"])
    top = float(frame["share"].max())
    axes.axvspan(_days(view.low), _days(view.high), color=ACCENT, alpha=0.12, linewidth=0)
    colours = [ACCENT if inside else COLOURS["not_started"] for inside in frame["inside"]]
    axes.bar(begins, frame["share"], width=(ends - begins) * 0.94, align="edge", color=colours)
    axes.vlines(_days(view.median), 0, top * 1.16, color=pen.ink.text, linewidth=1.5)
    axes.set_ylim(0, top * 1.3)
    pen.time(frame["from"].iloc[0], frame["to"].iloc[-1])
    pen.amount(f"% of the runs, per {view.per}", whole=False)
    pen.say(view.words[1], view.median, top * 1.16, dx=5, dy=-4)
    ts, align = view.anchor
    pen.say(view.words[0], ts, top * 1.3, dy=-4, ha=align, va="top", weight="bold")

"""The views as Altair charts.

Text has the colour of the page's own text: a CSS variable of the host, so it follows when the reader switches from a
light theme to a dark one. Only SVG can do that, so the charts ask for it. Beside them lies a picture with a ground of
its own (`picture`). Times are shown in UTC, whatever the zone of the reader is.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

import altair as alt
import pandas as pd

from .look import ACCENT, COLOURS, INKS, ON_FILL, OPEN_START, STATUS_WORDS, STRONG, Ink, lines_of
from .picture import SVG, picture
from .views import Burnup, CycleTime, Flow, Forecast, Frame, Timeline, View

__all__ = ["MIME", "LayerChart", "draw"]

_pd: Any = pd  # it does not type its functions in full
MIME: Final = "application/vnd.vegalite.v5+json"  # what JupyterLab 4 and VS Code draw by themselves
_SCHEMA: Final = "https://vega.github.io/schema/vega-lite/v5.json"
FONT: Final = 'system-ui, -apple-system, "Segoe UI", Helvetica, Arial, sans-serif'
_TIMES: Final = {
    "milliseconds": "%H:%M:%S.%L",
    "seconds": "%H:%M:%S",
    "minutes": "%H:%M",
    "hours": "%H:%M",
    "date": "%-d %b",
    "week": "%-d %b",
    "month": "%b",
    "quarter": "%b",
    "year": "%Y",
}
_FULL: Final = "%-d %b %Y, %H:%M:%S UTC"


class LayerChart(alt.LayerChart):
    """A chart of layers that JupyterLab draws by itself, also where there is no internet.

    Altair's own default is a page that loads its scripts from a CDN: blank without it. Here what cannot draw by itself,
    such as a notebook that is exported as HTML, shows a picture that lies beside. A renderer that
    ``alt.renderers.enable`` chose is heeded.
    """

    def _repr_mimebundle_(self, *args: Any, **kwds: Any) -> Any:
        if alt.renderers.active not in {"default", "html"}:
            return super()._repr_mimebundle_(*args, **kwds)
        # JupyterLab ranks Vega-Lite above a picture, and both below HTML; exporters know pictures only.
        spec: dict[str, Any] = {**self.to_dict(), "$schema": _SCHEMA}
        made, why = picture(spec)
        bundle: dict[str, Any] = {MIME: spec, "text/plain": f"altair.LayerChart{f': {why}' if why else ''}"}
        if made is not None:
            bundle[SVG] = made
        return bundle


def draw(view: View, *, width: int, height: int, theme: str | None) -> LayerChart:
    """A view as a chart.

    Parameters
    ----------
    width, height
        Of the whole chart with titles, in pixels.
    theme
        ``light`` or ``dark``: colours for a page of which that is known. None: those of the page around.
    """
    pen = _Pen(view, width, height, INKS[theme or "page"])
    if view.empty:
        return pen.nothing()
    if isinstance(view, Burnup):
        return _burnup(view, pen)
    if isinstance(view, Flow):
        return _flow(view, pen)
    if isinstance(view, Timeline):
        return _timeline(view, pen)
    if isinstance(view, CycleTime):
        return _cycle_time(view, pen)
    assert isinstance(view, Forecast)
    return _forecast(view, pen)


class _Pen:
    """What all charts have in common."""

    def __init__(self, view: View, width: int, height: int, ink: Ink) -> None:
        self.view, self.width, self.height, self.ink = view, width, height, ink

    def time(self, field: str, first: Any, last: Any) -> alt.X:
        """The axis of time."""
        begin, end = _ms(first), _ms(last)
        return alt.X(
            field,
            type="temporal",
            scale=alt.Scale(type="utc", nice=False, domain=[begin, max(end, begin + 1_000)]),
            axis=alt.Axis(
                title=f"{self.view.days}, UTC",
                format=_TIMES,
                grid=False,
                tickCount=max(3, self.width // 110),
                labelOverlap="greedy",
                labelFlush=False,
            ),
        )

    def text(self, data: Frame, field: str = "words", **options: Any) -> alt.Chart:
        """Words in the chart, a line for each row."""
        options.setdefault("fontSize", 12)
        options.setdefault("color", self.ink.text)
        return alt.Chart(data).mark_text(**options).encode(text=f"{field}:N")

    def nothing(self) -> LayerChart:
        """A chart that says why there is nothing to show."""
        lines = lines_of(self.view.empty, self.width - 40, size=13)
        words = _pd.DataFrame({"words": lines, "line": range(len(lines))})
        layer = (
            alt.Chart(words)
            .mark_text(fontSize=13, color=self.ink.text)
            .encode(
                text="words:N",
                y=alt.Y("line:Q", axis=None, scale=alt.Scale(domain=[len(lines) + 2, -3], nice=False)),
                x=alt.value(self.width / 2 - 10),
            )
        )
        return self.chart([layer])

    def chart(self, layers: Sequence[Any]) -> LayerChart:
        """All layers, the view's words and the look."""
        notes = [line for note in self.view.notes for line in lines_of(note, self.width - 20)]
        title = alt.TitleParams(
            text=lines_of(self.view.title, self.width - 20, size=16),
            subtitle=notes or alt.Undefined,
            anchor="start",
            frame="bounds",
        )
        made: Any = LayerChart(
            data=self.view.data,
            layer=list(layers),
            title=title,
            width=self.width,
            height=self.height,
            autosize=alt.AutoSizeParams(type="fit", contains="padding"),
            background="transparent",
            usermeta={"embedOptions": {"renderer": "svg", "actions": {"export": {"svg": True, "png": False}}}},
        )
        text, grid, seen = self.ink.text, self.ink.grid, self.ink.grid_opacity
        return made.configure(
            font=FONT,
            padding={"left": 8, "right": 14, "top": 8, "bottom": 8},
            view=alt.ViewConfig(stroke=None),
            title=alt.TitleConfig(
                color=text,
                fontSize=15,
                fontWeight=600,
                subtitleColor=text,
                subtitleFontSize=12,
                subtitlePadding=5,
                offset=12,
            ),
            axis=alt.AxisConfig(
                labelColor=text,
                titleColor=text,
                labelFontSize=11,
                titleFontSize=12,
                titleFontWeight="normal",
                titlePadding=8,
                gridColor=grid,
                gridOpacity=seen,
                domainColor=grid,
                tickColor=grid,
            ),
            legend=alt.LegendConfig(
                labelColor=text,
                titleColor=text,
                labelFontSize=12,
                orient="top",
                direction="horizontal",
                title=None,
                symbolType="square",
                symbolSize=120,
                symbolOpacity=1,
                columnPadding=14,
                labelLimit=200,
                offset=14,
            ),
        )


def _ms(moment: Any) -> float:
    return _pd.Timestamp(moment).timestamp() * 1000


def _count_axis(noun: str) -> alt.Axis:
    return alt.Axis(title=f"{noun}s", tickMinStep=1, format=",d", tickCount=5)


def _with_words(chart: alt.Chart, *fields: str) -> alt.Chart:
    """With ``{field}_words`` for each time: a tooltip would show it in the zone of the reader, whatever it is told."""
    return chart.transform_calculate(
        **{f"{name}_words": f"utcFormat(datetime(datum.{name}), '{_FULL}')" for name in fields}
    )


def _when(field: str, title: str) -> alt.Tooltip:
    return alt.Tooltip(f"{field}_words:N", title=title)


# -- one for each view ------------------------------------------------------------------------------------------------


def _burnup(view: Burnup, pen: _Pen) -> LayerChart:
    frame, cone = view.data, view.cone
    x = pen.time("ts", frame["ts"].iloc[0], view.end)
    top = max(float(frame["scope"].max()), 1.0) * 1.12
    y = alt.Y("done", type="quantitative", axis=_count_axis(view.noun), scale=alt.Scale(domain=[0, top], nice=False))
    tips = [
        _when("ts", "time"),
        alt.Tooltip("done", type="quantitative", title="done"),
        alt.Tooltip("scope", type="quantitative", title="scope"),
        alt.Tooltip("percent", type="quantitative", title="done, %", format=".1f"),
    ]
    green = COLOURS["completed"]
    base = _with_words(alt.Chart(), "ts")
    layers: list[Any] = [
        base.mark_area(
            interpolate="step-after", color=green, opacity=0.75, line={"color": green, "strokeWidth": 2}
        ).encode(x=x, y=y, tooltip=tips),
        base.mark_line(interpolate="step-after", color=pen.ink.line, strokeWidth=2.5).encode(
            x=x, y="scope:Q", tooltip=tips
        ),
        base.mark_point(opacity=0, size=200).encode(x=x, y="scope:Q", tooltip=tips),
    ]
    if cone:
        shape = _pd.DataFrame(
            {"at": [cone.done, cone.scope], "from": [cone.now, cone.low], "to": [cone.now, cone.high]}
        )
        middle = _pd.DataFrame({"at": [cone.done, cone.scope], "ts": [cone.now, cone.median]})
        ahead = _pd.DataFrame({"at": [float(frame["scope"].iloc[-1])] * 2, "ts": [frame["ts"].iloc[-1], view.end]})
        layers += [
            alt.Chart(shape)
            .mark_area(orient="horizontal", color=ACCENT, opacity=0.3)
            .encode(x="from:T", x2="to:T", y="at:Q"),
            alt.Chart(middle).mark_line(color=ACCENT, strokeDash=[5, 4], strokeWidth=2).encode(x="ts:T", y="at:Q"),
            alt.Chart(ahead).mark_line(color=pen.ink.line, strokeDash=[2, 3], strokeWidth=2).encode(x="ts:T", y="at:Q"),
        ]
    for word in view.words:
        at = _pd.DataFrame({"ts": [word.ts], "at": [word.at], "words": [word.text]})
        layers.append(pen.text(at, align=word.align, dx=word.dx, dy=-word.dy).encode(x="ts:T", y="at:Q"))
    return pen.chart(layers)


def _flow(view: Flow, pen: _Pen) -> LayerChart:
    frame = view.data
    colours = alt.Color(
        "status:N",
        scale=alt.Scale(
            domain=[STATUS_WORDS[name] for name in view.statuses], range=[COLOURS[name] for name in view.statuses]
        ),
        legend=alt.Legend(columns=0),
    )
    names = {name: STATUS_WORDS[name] for name in view.statuses}
    tips = [_when("ts", "time"), *(alt.Tooltip(f"{name}:Q", title=words) for name, words in names.items())]
    x = pen.time("ts", frame["ts"].iloc[0], frame["ts"].iloc[-1])
    base = (
        _with_words(alt.Chart(), "ts")
        .transform_calculate(**{words: f"datum['{name}']" for name, words in names.items()})
        .transform_fold(list(names.values()), as_=["status", "count"])
        .transform_calculate(place=f"indexof({list(names.values())}, datum.status)")
    )
    area = base.mark_area(interpolate="step-after", opacity=1).encode(
        x=x,
        y=alt.Y("count:Q", stack="zero", axis=_count_axis(view.noun)),
        color=colours,
        order=alt.Order("place:Q"),
        tooltip=tips,
    )
    words = pen.text(view.labels, color=ON_FILL).encode(x="ts:T", y="at:Q")
    return pen.chart([area, words] if len(view.labels) else [area])


def _timeline(view: Timeline, pen: _Pen) -> LayerChart:
    frame = view.data
    first, last = frame["started"].min(), frame["ended"].max()
    x = pen.time("started", first, last)
    names = [name if len(name) <= 26 else f"{name[:25]}…" for name in view.rows]
    heads = " || ".join(f"datum.value == {row}" for row in sorted(view.heads)) or "false"
    y = alt.Y(
        "row",
        type="ordinal",
        sort=None,
        scale=alt.Scale(domain=list(range(len(view.rows))), paddingInner=0.25, paddingOuter=0.1),
        axis=alt.Axis(
            title=None,
            domain=False,
            ticks=False,
            labelExpr=f"{names}[datum.value]",
            labelFontWeight=_bold_if(heads),
            labelLimit=200,
            labelPadding=12,
        ),
    )
    scale = alt.Scale(
        domain=[STATUS_WORDS[name] for name in view.statuses], range=[COLOURS[name] for name in view.statuses]
    )
    colours = alt.Color("said:N", scale=scale)
    tips = [
        alt.Tooltip("name:N", title="name"),
        alt.Tooltip("kind:N", title="kind"),
        alt.Tooltip("said:N", title="status"),
        _when("started", "started"),
        _when("ended", "ended, or now"),
        alt.Tooltip("words:N", title="time"),
        alt.Tooltip("before:N", title="began before it was first seen"),
        alt.Tooltip("on_path:N", title="on the critical path"),
    ]
    base = _with_words(alt.Chart(), "started", "ended").transform_calculate(
        said=f"({STATUS_WORDS})[datum.status]",
        path="'critical path'",
        on_path="datum.critical ? 'yes' : 'no'",
        before="datum.open_start ? 'yes' : 'no'",
    )
    outline = alt.Stroke(
        "path:N",
        scale=alt.Scale(domain=["critical path"], range=[STRONG]),
        legend=alt.Legend(symbolStrokeWidth=2.5),
    )
    layers: list[Any] = []
    narrow = f"!datum.open_start && (!isValid(datum.hours) || datum.hours < {view.least})"
    for chosen, band in (("!datum.head", 1.0), ("datum.head", 0.6)):
        bars = base.transform_filter(chosen)
        layers.append(bars.mark_bar(height={"band": band}).encode(x=x, x2="ended:T", y=y, color=colours, tooltip=tips))
        if frame["critical"].any():
            path = bars.transform_filter("datum.critical").mark_bar(
                height={"band": band}, filled=False, strokeWidth=2.5
            )
            layers.append(path.encode(x=x, x2="ended:T", y=y, stroke=outline, tooltip=tips))
    if frame["open_start"].any():  # an arrow at the start: it goes on to the left, nobody knows how far
        layers.append(
            base.transform_filter("datum.open_start")
            .mark_point(filled=True, size=70, opacity=1, xOffset=-4)
            .encode(
                x=x,
                y=y,
                color=alt.value(pen.ink.text),
                shape=alt.Shape(
                    "start:N",
                    scale=alt.Scale(domain=[OPEN_START], range=["triangle-left"]),
                    legend=alt.Legend(symbolFillColor=pen.ink.text, symbolStrokeWidth=0),
                ),
                tooltip=tips,
            )
            .transform_calculate(start=f"'{OPEN_START}'")
        )
    layers += [
        base.transform_filter(narrow)
        .mark_tick(orient="vertical", thickness=2.5, opacity=1)
        .encode(x=x, y=y, color=colours, tooltip=tips),
        alt.Chart()
        .mark_text(align="left", dx=6, fontSize=11, color=pen.ink.text)
        .encode(x="ended:T", y=y, text="words:N"),
    ]
    if view.now is not None:
        now = _pd.DataFrame({"ended": [view.now]})
        layers += [
            alt.Chart(now).mark_rule(color=pen.ink.line, strokeDash=[3, 3]).encode(x="ended:T"),
            pen.text(now.assign(words="now"), fontSize=11, baseline="bottom").encode(x="ended:T", y=alt.value(-2)),
        ]
    return pen.chart(layers)


def _bold_if(test: str) -> Any:
    return {"condition": {"test": test, "value": "bold"}, "value": "normal"}


def _cycle_time(view: CycleTime, pen: _Pen) -> LayerChart:
    frame = view.data
    x = pen.time("ended", frame["ended"].iloc[0], frame["ended"].iloc[-1])
    scale = alt.Scale(type="log", nice=True) if view.log else alt.Scale(zero=True)
    y = alt.Y(
        "taken",
        type="quantitative",
        scale=scale,
        axis=alt.Axis(
            title=f"cycle time, {view.unit}{' (log scale)' if view.log else ''}", tickCount=5, format=",.3~r"
        ),
    )
    tips = [
        alt.Tooltip("name:N", title="name"),
        alt.Tooltip("words:N", title="cycle time"),
        _when("started", "started"),
        _when("ended", "completed"),
    ]
    base = _with_words(alt.Chart(), "started", "ended")
    dots = base.mark_circle(size=55, color=COLOURS["completed"], opacity=0.9).encode(x=x, y=y, tooltip=tips)
    lines = _pd.DataFrame(view.marks, columns=["at", "words"])
    rules = alt.Chart(lines).mark_rule(color=pen.ink.line, strokeDash=[5, 4], strokeWidth=1.5).encode(y="at:Q")
    words = pen.text(lines, align="left", dx=6).encode(x=alt.value("width"), y="at:Q")
    return pen.chart([dots, rules, words])


def _forecast(view: Forecast, pen: _Pen) -> LayerChart:
    frame = view.data
    first, last = frame["from"].iloc[0], frame["to"].iloc[-1]
    x = pen.time("from", first, last)
    top = float(frame["share"].max())
    y = alt.Y(
        "share",
        type="quantitative",
        scale=alt.Scale(domain=[0, top * 1.3], nice=False),
        axis=alt.Axis(title=f"% of the runs, per {view.per}", tickCount=4),
    )
    tips = [
        _when("from", "from"),
        _when("to", "to"),
        alt.Tooltip("share:Q", title="% of the runs", format=".1f"),
    ]
    colours = alt.Color(
        "inside:N", scale=alt.Scale(domain=[True, False], range=[ACCENT, COLOURS["not_started"]]), legend=None
    )
    band = _pd.DataFrame({"low": [view.low], "high": [view.high]})
    shade = alt.Chart(band).mark_rect(color=ACCENT, opacity=0.12).encode(x=alt.X("low:T"), x2="high:T")
    bars = (
        _with_words(alt.Chart(), "from", "to")
        .transform_calculate(zero="0")
        .mark_rect(stroke="#000", strokeOpacity=0.25, strokeWidth=0.5)
        .encode(x=x, x2="to:T", y=y, y2="zero:Q", color=colours, tooltip=tips)
    )
    middle = _pd.DataFrame({"ts": [view.median], "at": [0.0], "top": [top * 1.16], "words": [view.words[1]]})
    rule = alt.Chart(middle).mark_rule(color=pen.ink.text, strokeWidth=2).encode(x="ts:T", y="at:Q", y2="top:Q")
    half = pen.text(middle, align="left", dx=5, dy=4).encode(x="ts:T", y="top:Q")
    ts, align = view.anchor
    said = _pd.DataFrame({"ts": [ts], "at": [top * 1.3], "words": [view.words[0]]})
    interval = pen.text(said, align=align, baseline="top", dy=3, fontWeight=600).encode(x="ts:T", y="at:Q")
    return pen.chart([shade, bars, rule, half, interval])

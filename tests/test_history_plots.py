"""Charts show what the analyses say, in both libraries; they can be read in both themes; nothing makes them fail."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from xml.etree import ElementTree as ET

import altair as alt
import nbformat
import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from matplotlib.figure import Figure
from matplotlib.markers import CARETLEFTBASE
from playwright.sync_api import sync_playwright

from buildwidget.demo import prepare, write_instant
from buildwidget.history import History, read_history
from buildwidget.history.analysis import Given
from buildwidget.history.forecasting import forecast
from buildwidget.history.plots import BACKENDS, Plots
from buildwidget.history.plotting import look, picture, vega, views
from buildwidget.history.plotting.timeline import MOST_BARS
from tests.lab.jupyterlab import FLAGS, THEMES, Lab, find_chromium
from tests.projects import Project

ROOT = Path(__file__).resolve().parent.parent
METHODS = ("burnup", "cumulative_flow", "timeline", "cycle_time", "forecast")
COLUMNS = {
    "burnup": ["ts", "scope", "done", "percent"],
    "timeline": [
        *("row", "item_id", "name", "kind", "group", "head", "status", "started", "ended", "running", "hours"),
        *("open_start", "critical", "words"),
    ],
    "cycle_time": ["item_id", "name", "kind", "started", "ended", "hours", "taken", "words"],
    "forecast": ["from", "to", "share", "inside"],
}


def at(hour: int, minute: int = 0, day: int = 1) -> str:
    return f"2026-03-{day:02d}T{hour:02d}:{minute:02d}:00Z"


def stamp(hour: int, minute: int = 0, day: int = 1) -> pd.Timestamp:
    return pd.Timestamp(at(hour, minute, day))


def checkpoint(project: Project, number: int, ts: str, features: dict[str, Any], components: Any = None) -> None:
    """A checkpoint whose features are given as id → status, or (status, component)."""
    made = []
    for name, given_ in features.items():
        status, parent = given_ if isinstance(given_, tuple) else (given_, None)
        progress = 100 if status == "completed" else 0  # what has got nowhere yet was begun just now
        made.append({"id": name, "name": name.upper(), "status": status, "progress": progress, "component_id": parent})
    project.checkpoint(
        f"checkpoint_20260301_0900{number:02d}_000001", components=components or [], features=made, timestamp=ts
    )


@pytest.fixture
def small(tmp_path: Path) -> History:
    """Three features: one takes an hour, one takes two, one comes later and is not begun."""
    project = Project(tmp_path / "small")
    checkpoint(project, 1, at(9), {"a": "in_progress", "b": "not_started"})
    checkpoint(project, 2, at(10), {"a": "completed", "b": "in_progress"})
    checkpoint(project, 3, at(11), {"a": "completed", "b": "in_progress", "c": "not_started"})
    checkpoint(project, 4, at(12), {"a": "completed", "b": "completed", "c": "not_started"})
    return read_history(project.root, cache=False)


@pytest.fixture(scope="module")
def demos(tmp_path_factory: pytest.TempPathFactory) -> dict[str, History]:
    """What the demo's scenarios leave behind."""
    made = {}
    for scenario in ("success", "failure", "stall", "growth"):
        folder = prepare(tmp_path_factory.mktemp("demo") / scenario)
        write_instant(folder, scenario, 0, end=datetime(2026, 11, 24, 17, 5, tzinfo=UTC))
        made[scenario] = read_history(folder, cache=False)
    return made


def title(chart: Any) -> str:
    if isinstance(chart, Figure):
        return chart.texts[0].get_text().replace("\n", " ")
    found = chart.to_dict()["title"]["text"]
    return " ".join(found)


def notes(chart: Any) -> str:
    if isinstance(chart, Figure):
        return " ".join(text.get_text().replace("\n", " ") for text in chart.texts[1:])
    return " ".join(chart.to_dict()["title"].get("subtitle", []))


def sentence(chart: Any) -> str:
    """What an empty chart says."""
    if isinstance(chart, Figure):
        return " ".join(text.get_text() for text in chart.axes[0].texts).replace("\n", " ")
    spec = chart.to_dict()
    return " ".join(row["words"] for rows in spec["datasets"].values() for row in rows if "words" in row)


def check(chart: Any, backend: str) -> None:
    """It is the library's own object, it can be drawn, and it is small."""
    assert isinstance(chart.data, pd.DataFrame)
    if backend == "altair":
        assert isinstance(chart, alt.LayerChart)
        spec = json.loads(json.dumps(chart.to_dict(), allow_nan=False))  # validated by altair's schema
        assert all(len(rows) <= views.MOST_ROWS for rows in spec["datasets"].values())
        assert spec["background"] == "transparent"
    else:
        assert isinstance(chart, Figure)
        chart.canvas.draw()
        assert chart.get_facecolor()[3] == 0


# ------------------------------------------------------------------ what they show


@pytest.mark.parametrize("backend", BACKENDS)
def test_burnup(small: History, backend: str) -> None:
    chart = Plots(small).burnup(backend=backend)
    check(chart, backend)
    assert chart.data.columns.tolist() == COLUMNS["burnup"]
    assert chart.data["ts"].tolist() == [stamp(9), stamp(10), stamp(11), stamp(12)]
    assert chart.data["scope"].tolist() == [2, 2, 3, 3]
    assert chart.data["done"].tolist() == [0, 1, 1, 2]
    assert chart.data["percent"].round(1).tolist() == [0, 50, 33.3, 66.7]
    assert title(chart) == "Burn-up: 2 of 3 features done (67 %)"
    assert notes(chart) == "The scope grew from 2 to 3."


@pytest.mark.parametrize("backend", BACKENDS)
def test_cumulative_flow(small: History, backend: str) -> None:
    chart = Plots(small).cumulative_flow(backend=backend)
    check(chart, backend)
    assert chart.data.columns.tolist() == ["ts", "completed", "in_progress", "not_started"]  # from the ground
    assert chart.data.iloc[:, 1:].values.tolist() == [[0, 1, 1], [1, 1, 0], [1, 1, 1], [2, 0, 1]]
    assert title(chart) == "Cumulative flow: 2 done, 1 not started"


@pytest.mark.parametrize("backend", BACKENDS)
def test_timeline(small: History, backend: str) -> None:
    chart = Plots(small).timeline(backend=backend)
    check(chart, backend)
    assert chart.data.columns.tolist() == COLUMNS["timeline"]
    assert chart.data["name"].tolist() == ["A", "B"]
    assert chart.data["started"].tolist() == [stamp(9), stamp(10)]
    assert chart.data["ended"].tolist() == [stamp(10), stamp(12)]
    assert chart.data["hours"].tolist() == [1, 2]
    assert chart.data["words"].tolist() == ["1 h", "2 h"]
    assert title(chart) == "Timeline: 2 features in 3 h"
    assert notes(chart) == "1 feature not started."


@pytest.mark.parametrize("backend", BACKENDS)
def test_a_start_that_nobody_saw_is_drawn_as_none(tmp_path: Path, backend: str) -> None:
    project = Project(tmp_path)
    for number, (ts, status, progress) in enumerate(
        [(at(9), "not_started", 0), (at(11), "in_progress", 86), (at(12), "completed", 100)], 1
    ):
        item = {"id": "a", "name": "A", "status": status, "progress": progress}
        project.checkpoint(f"checkpoint_20260301_0900{number:02d}_000001", features=[item], timestamp=ts)
    chart = Plots(read_history(tmp_path, cache=False)).timeline(backend=backend)
    check(chart, backend)
    row = chart.data.iloc[0]
    assert row["open_start"]
    assert np.isnan(row["hours"])
    assert row["words"] == "more than 1 h"
    assert row["started"] == stamp(11)
    if backend == "altair":  # an arrow, said in the legend and in the tooltip; no tick that would say: here it began
        svg = chart._repr_mimebundle_()["image/svg+xml"]
        assert svg.count("began before it was first seen: yes") == 2  # of the bar and of the arrow
        assert ">began before</text>" in svg
        assert svg.count('class="mark-symbol') >= 2
        assert 'aria-roledescription="tick"' not in svg
    else:
        (axes,) = chart.axes
        (arrow,) = [line for line in axes.lines if line.get_marker() == CARETLEFTBASE]
        assert arrow.get_xdata().tolist() == [axes.patches[0].get_x()]
        assert "began before" in [text.get_text() for text in axes.get_legend().get_texts()]
        assert [one for one in axes.collections if len(one.get_paths())] == []


@pytest.mark.parametrize("backend", BACKENDS)
def test_a_timeline_of_seen_starts_has_no_arrow(small: History, backend: str) -> None:
    chart = Plots(small).timeline(backend=backend)
    if backend == "altair":
        assert "began before<" not in chart._repr_mimebundle_()["image/svg+xml"]
    else:
        assert "began before" not in [text.get_text() for text in chart.axes[0].get_legend().get_texts()]


@pytest.mark.parametrize("scenario", ["success", "failure", "growth"])
def test_times_of_the_demo_are_those_of_its_files(demos: dict[str, History], scenario: str) -> None:
    """The bars, the cycle times and the durations that the files hold agree within 5 %."""
    h = demos[scenario]
    items = h.items.query("kind == 'feature' and status == 'completed'").set_index("item_id")
    said = items["actual"].dt.total_seconds()
    assert len(said) > 20
    cycles = h.cycle_time(kind="feature").set_index("item_id")["cycle_time"].dt.total_seconds()
    assert (cycles[said.index] / said - 1).abs().max() < 0.05
    bars = h.plot.timeline(kind="feature").data
    bars = bars[~bars["head"] & (bars["status"] == "completed")].set_index("item_id")
    drawn = (bars["ended"] - bars["started"]).dt.total_seconds()
    assert (drawn / said[drawn.index] - 1).abs().max() < 0.05
    assert (bars["hours"] * 3600 / said[drawn.index] - 1).abs().max() < 0.05
    assert bars["started"].min() >= h.sessions["started_at"].iloc[0]


@pytest.mark.parametrize("backend", BACKENDS)
def test_cycle_time(small: History, backend: str) -> None:
    chart = Plots(small).cycle_time(backend=backend)
    check(chart, backend)
    assert chart.data.columns.tolist() == COLUMNS["cycle_time"]
    assert chart.data["hours"].tolist() == chart.data["taken"].tolist() == [1, 2]
    assert title(chart) == "Cycle time: half of 2 features took 1 h 30 min or less"
    said = json.dumps(chart.to_dict()) if backend == "altair" else str([one.get_text() for one in chart.axes[0].texts])
    assert "half within 1 h 30 min" in said
    assert "85 % within 1 h 51 min" in said  # 1 h + 0.85 of the hour between them


def test_a_bar_of_what_goes_on_ends_now_and_says_so(tmp_path: Path) -> None:
    project = Project(tmp_path)
    checkpoint(project, 1, at(9), {"a": "in_progress", "b": "in_progress", "c": "not_started"})
    checkpoint(project, 2, at(9, 30), {"a": "error", "b": "in_progress", "c": "completed"})
    data = Plots(read_history(tmp_path, cache=False)).timeline().data.set_index("item_id")
    assert data["ended"].tolist() == [stamp(9, 30)] * 3
    assert data["running"].to_dict() == {"a": False, "b": True, "c": False}
    assert data["words"].to_dict() == {"a": "error, 30 min", "b": "in progress, 30 min", "c": ""}
    assert np.isnan(data.loc["c", "hours"])  # nobody saw it begin: a mark at its end
    assert data.loc["c", "started"] == stamp(9, 30)


def test_features_are_below_their_components_and_the_critical_path_is_outlined(tmp_path: Path) -> None:
    project = Project(tmp_path)
    later = {"id": "api", "name": "API", "status": "in_progress", "dependencies": ["db"]}
    done = {"id": "db", "name": "Database", "status": "completed"}
    alone = {"id": "ui", "name": "UI", "status": "in_progress"}
    features = {"a": ("in_progress", "db"), "u": ("not_started", "ui"), "b": ("not_started", "api")}
    begins = [{**done, "status": "in_progress"}, {**later, "status": "not_started"}, {**alone, "status": "not_started"}]
    checkpoint(project, 1, at(9), features, begins)
    features |= {"a": ("completed", "db"), "b": ("in_progress", "api")}
    checkpoint(project, 2, at(10), features, [done, later, {**alone, "status": "not_started"}])
    checkpoint(project, 3, at(10, 10), features | {"u": ("in_progress", "ui")}, [done, later, alone])
    plots = Plots(read_history(tmp_path, cache=False))
    chart = plots.timeline(kind="feature")
    assert chart.data["name"].tolist() == ["Database", "A", "API", "B", "UI", "U"]
    assert chart.data["head"].tolist() == [True, False] * 3
    assert chart.data.loc[chart.data["critical"], "item_id"].tolist() == ["db", "api"]
    assert chart.data["row"].tolist() == [0, 1, 2, 3, 4, 5]
    assert notes(chart).startswith("Outlined: the critical path, 2 components that decide how long it takes.")
    assert "critical path" in json.dumps(chart.to_dict()["layer"])
    assert plots.timeline().data["kind"].unique().tolist() == ["component"]  # these have dependencies


def test_of_many_items_the_timeline_keeps_what_matters(tmp_path: Path) -> None:
    project = Project(tmp_path)
    names = [f"f{number:03d}" for number in range(100)]
    checkpoint(project, 1, at(9), dict.fromkeys(names, "in_progress"))
    checkpoint(project, 2, at(10), {name: "completed" if name < "f050" else "in_progress" for name in names})
    now = {name: "error" if name == "f077" else "completed" for name in names} | {"f099": "in_progress"}
    checkpoint(project, 3, at(11), now)
    for backend in BACKENDS:
        chart = Plots(read_history(tmp_path, cache=False)).timeline(backend=backend)
        check(chart, backend)
        kept = chart.data["item_id"].tolist()
        assert len(kept) == MOST_BARS
        assert {"f077", "f099"} <= set(kept)  # stuck, under way
        assert {"f050", "f098"} <= set(kept)  # two hours
        assert "40 are left out" in notes(chart)
        assert title(chart) == "Timeline: 100 features in 2 h"


def test_cycle_times_that_differ_much_have_a_log_scale(tmp_path: Path) -> None:
    project = Project(tmp_path)
    checkpoint(project, 1, at(9), {"a": "in_progress", "b": "in_progress"})
    checkpoint(project, 2, at(9, 1), {"a": "completed", "b": "in_progress"})
    checkpoint(project, 3, at(11), {"a": "completed", "b": "completed"})
    plots = Plots(read_history(tmp_path, cache=False))
    scales = json.dumps(plots.cycle_time().to_dict()["layer"][0]["encoding"]["y"])
    assert '"log"' in scales
    assert "log scale" in scales
    assert plots.cycle_time(backend="matplotlib").axes[0].get_yscale() == "log"


def test_of_several_projects_the_newest_is_shown_or_the_one_asked_for(tmp_path: Path) -> None:
    for name, day in (("old", 1), ("new", 2)):
        project = Project(tmp_path / name)
        checkpoint(project, 1, at(9, day=day), {name: "in_progress"})
        checkpoint(project, 2, at(10, day=day), {name: "completed"})
    plots = Plots(read_history(tmp_path, cache=False))
    chart = plots.timeline()
    assert chart.data["item_id"].tolist() == ["new"]
    assert "new, the newest of 2 projects" in notes(chart)
    chart = plots.timeline(session_id="old")
    assert chart.data["item_id"].tolist() == ["old"]
    assert "projects" not in notes(chart)


@pytest.mark.parametrize("scenario", ["failure", "stall", "growth"])
@pytest.mark.parametrize("method", METHODS)
def test_a_real_build_in_both_libraries(demos: dict[str, History], scenario: str, method: str) -> None:
    plots = Plots(demos[scenario])
    for kind in (None, "task"):
        one, other = (getattr(plots, method)(kind=kind, backend=backend) for backend in BACKENDS)
        check(one, "altair")
        check(other, "matplotlib")
        pd.testing.assert_frame_equal(one.data, other.data)
        assert title(one) == title(other)
        assert notes(one) == notes(other)


@pytest.mark.parametrize("method", METHODS)
def test_the_types_of_the_tables_make_no_difference(demos: dict[str, History], method: str) -> None:
    usual = demos["failure"]
    other = History(usual._store, dtype_backend="pyarrow")
    pd.testing.assert_frame_equal(getattr(Plots(usual), method)().data, getattr(Plots(other), method)().data)


# ------------------------------------------------------------------ the forecast


@pytest.mark.parametrize("backend", BACKENDS)
def test_forecast(demos: dict[str, History], backend: str) -> None:
    h = demos["stall"]
    chart = Plots(h).forecast(backend=backend, level=0.9, n=500)
    check(chart, backend)
    made = forecast(h, level=0.9, n=500)
    data = chart.data
    assert data.columns.tolist() == COLUMNS["forecast"]
    assert (data["to"].iloc[:-1].to_numpy() == data["from"].iloc[1:].to_numpy()).all()
    assert data["from"].iloc[0] <= pd.Timestamp(made.samples.min(), tz="UTC")
    assert 99 <= data["share"].sum() <= 100
    assert 80 <= data.loc[data["inside"], "share"].sum() <= 97  # nine tenths, as near as whole bars can be
    assert title(chart) == f"Forecast: half of the runs are done by {look.time_words(made.finish_median, made.now)}"
    assert f"500 simulated runs from 17:05 on, with {made.remaining} features left." in notes(chart)
    said = json.dumps(chart.to_dict()) if backend == "altair" else str([one.get_text() for one in chart.axes[0].texts])
    assert f"90 % between {look.time_words(made.finish_low, made.now)} and" in said


@pytest.mark.parametrize("backend", BACKENDS)
def test_a_forecast_that_cannot_be_made_says_why(small: History, demos: dict[str, History], backend: str) -> None:
    chart = Plots(small).forecast(backend=backend)
    check(chart, backend)
    assert title(chart) == "Forecast: too little to say"
    reason = forecast(small).reason
    assert sentence(chart) == f"{reason[0].upper()}{reason[1:]}."
    assert notes(Plots(small).burnup(backend=backend, forecast=True)).endswith(f"No forecast: {reason}.")
    chart = Plots(demos["growth"]).forecast(backend=backend)
    assert title(chart) == "Forecast: nothing is left to do"
    assert "No forecast" not in notes(Plots(demos["growth"]).burnup(backend=backend, forecast=True))


def test_burnup_shows_when_the_rest_may_be_done(demos: dict[str, History]) -> None:
    h = demos["growth"]
    now = pd.Timestamp("2026-11-24T13:00Z")
    made = forecast(h, now=now, kind="feature", n=300)
    view = views.burnup(h, kind=None, session_id=None, forecast=True, now=now, n=300)
    cone = view.cone
    assert cone is not None
    assert (cone.now, cone.low, cone.median, cone.high) == (now, made.finish_low, made.finish_median, made.finish_high)
    then = h.burnup(kind="feature").query("ts <= @now").iloc[-1]
    assert (cone.done, cone.scope) == (then["done"], then["scope"])
    assert view.end == max(made.finish_high, h.present_ts)
    assert "what was known at 13:00" in view.notes[-1]
    for backend in BACKENDS:
        chart = Plots(h).burnup(backend=backend, forecast=True, now=now, n=300)
        check(chart, backend)
        pd.testing.assert_frame_equal(chart.data, Plots(h).burnup(backend=backend).data)


@given(st.lists(st.integers(0, 10**13), min_size=1, max_size=200), st.integers(0, 2 * 10**15))
@settings(max_examples=60, deadline=None)
def test_bars_are_few_round_and_hold_all_but_the_slowest(seconds: list[int], begin: int) -> None:
    samples = (np.array(seconds) + begin).view("datetime64[us]")
    edges, step = views._bins(samples)
    assert 2 <= len(edges) <= 42
    assert (np.diff(edges) == step).all()
    assert edges[0] <= samples.astype(np.int64).min()
    assert (samples.astype(np.int64) < edges[-1]).mean() >= 0.99 - 1 / len(seconds)


# ------------------------------------------------------------------ nothing to show


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("method", METHODS)
def test_nothing_to_show_is_said(tmp_path: Path, method: str, backend: str) -> None:
    Project(tmp_path)
    chart = getattr(Plots(read_history(tmp_path, cache=False)), method)(backend=backend)
    check(chart, backend)
    assert chart.data.empty
    if method in COLUMNS:
        assert chart.data.columns.tolist() == COLUMNS[method]
    assert sentence(chart).endswith(".")
    assert re.search("no (features?|items|build)", sentence(chart), re.IGNORECASE)


def test_nothing_begun_and_nothing_completed_are_said(tmp_path: Path) -> None:
    checkpoint(Project(tmp_path), 1, at(9), {"a": "not_started"})
    plots = Plots(read_history(tmp_path, cache=False))
    assert sentence(plots.timeline()) == "No feature has been started yet."
    assert sentence(plots.cycle_time()) == "No feature has been completed yet."
    assert sentence(plots.burnup(kind="task")) == "There are no tasks in this history yet."


def test_what_was_over_when_first_seen_has_no_times(tmp_path: Path) -> None:
    checkpoint(Project(tmp_path), 1, at(9), {"a": "completed", "b": "completed"})
    plots = Plots(read_history(tmp_path, cache=False))
    assert sentence(plots.cycle_time()) == "2 features completed, but when they were begun is not known."
    assert sentence(plots.timeline()).startswith("When the 2 features were worked on is not known")
    for method in ("burnup", "cumulative_flow"):
        for backend in BACKENDS:
            check(getattr(plots, method)(backend=backend), backend)  # of one moment


# ------------------------------------------------------------------ large histories


def many(count: int) -> Given:
    """A build of so many features that begin and end one after the other, a second each."""
    items = np.repeat(np.array([f"f{number}" for number in range(count)], dtype=object), 3)
    moment = np.datetime64("2026-03-01T09:00:00", "us") + np.arange(count * 3) * np.timedelta64(1, "s")
    statuses = [str(name) for name in ("not_started", "in_progress", "completed")]
    frame = pd.DataFrame(
        {
            "seq": np.arange(1, count * 3 + 1),
            "session_id": "big",
            "ts": pd.Series(moment).dt.tz_localize("UTC"),
            "kind": "feature",
            "item_id": items,
            "from_status": [None, *statuses[:2]] * count,
            "to_status": statuses * count,
            "progress": [0.0, 0.0, 100.0] * count,
            "checkpoint_id": None,
            "source": "checkpoint",
        }
    )
    end = frame["ts"].iloc[-1]
    sessions = pd.DataFrame({"session_id": ["big"], "last_ts": [end]})
    present = pd.DataFrame(
        {
            "session_id": "big",
            "kind": "feature",
            "item_id": items[::3],
            "name": items[::3],
            "parent_id": None,
            "status": "completed",
            "progress": 100.0,
            "started_at": pd.Series(pd.NaT, index=range(count), dtype="datetime64[us, UTC]"),
            "actual": pd.Series(pd.NaT, index=range(count), dtype="timedelta64[us]"),
            "estimated": pd.Series(pd.NaT, index=range(count), dtype="timedelta64[us]"),
        }
    )
    return Given(transitions=frame, sessions=sessions, items=present)


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("method", [name for name in METHODS if name != "forecast"])
def test_a_large_history_is_thinned(method: str, backend: str) -> None:
    plots = Plots(many(6_000))
    chart = getattr(plots, method)(backend=backend)
    check(chart, backend)
    assert 0 < len(chart.data) <= views.MOST_ROWS
    if method == "burnup":
        assert chart.data["done"].iloc[-1] == chart.data["scope"].iloc[-1] == 6_000
    if method == "cycle_time":
        assert "1,000 of 6,000 dots" in notes(chart)


@given(
    moments=st.lists(st.integers(0, 10**9), min_size=1, max_size=300, unique=True).map(sorted),
    most=st.integers(2, 50),
)
@settings(max_examples=60, deadline=None)
def test_thinning_keeps_the_ends_and_every_level_where_it_looks(moments: list[int], most: int) -> None:
    ts = pd.Series(pd.to_datetime(moments, unit="ms", utc=True)).astype("datetime64[us, UTC]")
    frame = pd.DataFrame({"ts": ts, "level": range(len(moments))})
    found = views.thin(frame, most)
    assert len(found) <= max(most, 1)
    assert found["level"].iloc[0] == 0
    assert found["level"].iloc[-1] == len(moments) - 1
    assert found["ts"].is_monotonic_increasing
    if len(moments) > most:  # at each edge, the level is what it was
        edges = np.linspace(moments[0], moments[-1], most)
        before = np.searchsorted(moments, edges, side="right") - 1
        shown = np.searchsorted(found["ts"].astype("int64") // 1000, edges, side="right") - 1
        assert found["level"].to_numpy()[shown].tolist() == before.tolist()


def test_rows_of_one_millisecond_are_one(tmp_path: Path) -> None:
    ts = pd.to_datetime([1_000_000, 1_000_400, 2_000_000], unit="us", utc=True).astype("datetime64[us, UTC]")
    found = views.thin(pd.DataFrame({"ts": ts, "level": [1, 2, 3]}))
    assert found["level"].tolist() == [2, 3]


# ------------------------------------------------------------------ how they look


def test_all_colours_stand_out_in_both_themes() -> None:
    for name, colour in look.COLOURS.items():
        assert min(look.contrast(colour, "#ffffff"), look.contrast(colour, "#111111")) >= 3, name
        assert look.contrast(colour, look.ON_FILL) >= 4.5, name
    for colour in (look.STRONG, look.ACCENT, look.INKS["page"].line):
        assert min(look.contrast(colour, "#ffffff"), look.contrast(colour, "#111111")) >= 3


def test_text_can_be_read_in_both_themes() -> None:
    assert look.contrast("#ffffff", "#000000") == pytest.approx(21)
    assert look.contrast("#767676", "#ffffff") == pytest.approx(4.54, abs=0.01)  # WCAG's own example
    assert look.contrast(look.INKS["light"].text, "#ffffff") >= 7
    assert look.contrast(look.INKS["dark"].text, "#111111") >= 7
    # No grey does better on both: 4.34.
    grey = look.INKS["neutral"].text
    worst = min(look.contrast(grey, "#ffffff"), look.contrast(grey, "#111111"))
    best = max(
        min(look.contrast(f"#{level:02x}{level:02x}{level:02x}", page) for page in ("#ffffff", "#111111"))
        for level in range(256)
    )
    assert worst == pytest.approx(best)
    assert worst > 4.3


def test_colours_are_those_of_the_live_cell() -> None:
    styles = (ROOT / "js" / "src" / "views" / "tokens.css").read_text("utf-8")
    for token, status in (("done", "completed"), ("run", "in_progress"), ("fail", "error"), ("warn", "blocked")):
        assert look.COLOURS[status] in re.findall(rf"--bw-{token}-fill: (#\w+);", styles)
    assert set(look.COLOURS) == set(look.LIFECYCLE) == set(look.STATUS_WORDS)


@pytest.mark.parametrize("method", METHODS)
def test_text_of_altair_takes_the_colour_of_the_page(small: History, method: str) -> None:
    spec = getattr(Plots(small), method)().to_dict()
    config = spec["config"]
    assert {config["axis"]["labelColor"], config["legend"]["labelColor"], config["title"]["color"]} == {look.PAGE}
    assert spec["usermeta"]["embedOptions"]["renderer"] == "svg"  # a canvas knows no CSS
    fixed = getattr(Plots(small), method)(theme="dark").to_dict()
    assert fixed["config"]["title"]["color"] == look.INKS["dark"].text


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("method", METHODS)
def test_size_and_theme(small: History, method: str, backend: str) -> None:
    chart = getattr(Plots(small), method)(backend=backend, width=600, height=300, theme="light")
    check(chart, backend)
    if backend == "altair":
        spec = chart.to_dict()
        assert (spec["width"], spec["height"]) == (600, 300)
        assert spec["autosize"] == {"type": "fit", "contains": "padding"}  # of the whole chart
    else:
        assert (chart.get_size_inches() * chart.dpi).tolist() == [600, 300]
        assert chart.texts[0].get_color() == look.INKS["light"].text


def test_utc_is_said_once_with_the_day(small: History) -> None:
    for method in ("burnup", "cumulative_flow", "timeline", "cycle_time"):
        figure = getattr(Plots(small), method)(backend="matplotlib")
        figure.canvas.draw()
        texts = [text.get_text() for text in figure.findobj(lambda one: hasattr(one, "get_text"))]
        assert [text for text in texts if "UTC" in text] == ["1 March 2026, UTC"]
        spec = getattr(Plots(small), method)().to_dict()
        titles = re.findall(r'"title": "([^"]*UTC)"', json.dumps(spec))
        assert set(titles) == {"1 March 2026, UTC"}
        assert '"utc"' in json.dumps(spec)  # the scale


@pytest.mark.parametrize(
    ("seconds", "words"),
    [
        (0, "0 s"),
        (59.4, "59 s"),
        (60, "1 min"),
        (3599, "1 h"),
        (3600, "1 h"),
        (4800, "1 h 20 min"),
        (86_399, "1 d"),
        (273_600, "3 d 4 h"),
        (float("nan"), "unknown"),
    ],
)
def test_durations_in_words(seconds: float, words: str) -> None:
    assert look.duration_words(seconds) == words


def test_days_in_words() -> None:
    day = pd.Timestamp("2026-11-24T07:00Z")
    assert look.date_words(day, day) == "24 November 2026"
    assert look.date_words(day, pd.Timestamp("2026-11-26T00:00Z")) == "24–26 November 2026"
    assert look.date_words(day, pd.Timestamp("2026-12-01T00:00Z")) == "24 November – 1 December 2026"
    assert look.date_words(day, pd.Timestamp("2027-01-01T00:00Z")) == "24 November 2026 – 1 January 2027"


# ------------------------------------------------------------------ in a notebook


def test_jupyterlab_draws_by_itself(small: History) -> None:
    bundle = Plots(small).burnup()._repr_mimebundle_()
    assert bundle[vega.MIME]["$schema"].endswith("/v5.json")
    assert "text/html" not in bundle  # JupyterLab would take that, and load scripts from elsewhere
    assert "text/markdown" not in bundle  # an exporter would take it before the picture


GROUND = {"svg": "http://www.w3.org/2000/svg"}


@pytest.mark.parametrize("theme", [None, "light", "dark"])
@pytest.mark.parametrize("method", METHODS)
def test_a_picture_lies_beside_that_can_be_read_anywhere(small: History, method: str, theme: str | None) -> None:
    """It has a ground of its own, and its text 4.5 : 1 or more on that; no colour comes from elsewhere."""
    svg = getattr(Plots(small), method)(theme=theme)._repr_mimebundle_()["image/svg+xml"]
    assert "var(" not in svg
    assert "currentColor" not in svg
    assert not re.findall(r"https?://(?!www\.w3\.org)|<script|@import", svg)
    root = ET.fromstring(svg)
    ground = root.find("svg:rect", GROUND)
    assert ground is not None
    assert (ground.get("width"), ground.get("height")) == (root.get("width"), root.get("height"))
    fill = ground.get("fill", "")
    assert fill == ("#111111" if theme == "dark" else "#ffffff")
    inks = {text.get("fill") for text in root.iterfind(".//svg:text", GROUND) if text.text and text.get("fill")}
    assert inks
    for ink in inks - {look.ON_FILL}:
        assert look.contrast(str(ink), fill) >= 4.5


@pytest.mark.parametrize("method", [name for name in METHODS if name != "forecast"])
def test_the_picture_of_a_large_history_is_bounded(method: str) -> None:
    svg = getattr(Plots(many(6_000)), method)()._repr_mimebundle_()["image/svg+xml"]
    assert len(svg.encode()) <= picture.MOST_BYTES


@pytest.mark.parametrize("bound", ["MOST_BYTES", "MOST_SPEC"])
def test_what_is_too_large_for_a_picture_is_said(small: History, monkeypatch: pytest.MonkeyPatch, bound: str) -> None:
    monkeypatch.setattr(picture, bound, 1_000)
    bundle = Plots(small).timeline()._repr_mimebundle_()
    assert set(bundle) == {vega.MIME, "text/plain"}
    assert re.search(r"altair\.LayerChart: its .* bytes", bundle["text/plain"])


def test_without_the_converter_the_live_chart_is_shown(small: History, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "vl_convert", None)
    bundle = Plots(small).burnup()._repr_mimebundle_()
    assert set(bundle) == {vega.MIME, "text/plain"}
    assert "pip install 'buildwidget[plot]'" in bundle["text/plain"]


EXPORTED = """() => [...document.querySelectorAll('.jp-OutputArea-output img')]
  .map(image => [image.complete, image.naturalWidth, image.clientWidth, image.clientHeight])"""


@pytest.mark.timeout(180)
@pytest.mark.parametrize("theme", ["light", "dark"])
def test_an_executed_notebook_that_is_exported_shows_the_charts(small: History, tmp_path: Path, theme: str) -> None:
    """With `jupyter nbconvert`, in a browser without a network."""
    code = [
        "from buildwidget.history import read_history\nfrom buildwidget.history.plots import Plots",
        f"plots = Plots(read_history({str(tmp_path / 'small')!r}, cache=False))",
        *(f"plots.{method}()" for method in ("timeline", "burnup")),
    ]
    book = nbformat.v4.new_notebook(
        cells=[nbformat.v4.new_code_cell(one) for one in code],
        metadata={"kernelspec": {"name": "python3", "display_name": "Python 3"}},
    )
    nbformat.write(book, tmp_path / "charts.ipynb")
    subprocess.run(
        [
            *(sys.executable, "-m", "nbconvert", "--execute", "--to", "html"),
            *(f"--HTMLExporter.theme={theme}", "charts.ipynb"),
        ],
        cwd=tmp_path,
        check=True,
        capture_output=True,
        timeout=120,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
    )
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=find_chromium(), args=[*FLAGS])
        context = browser.new_context(offline=True, viewport={"width": 1000, "height": 1400})
        page = context.new_page()
        page.goto((tmp_path / "charts.html").as_uri(), wait_until="domcontentloaded")
        page.wait_for_function(f"({EXPORTED})().length === 2 && ({EXPORTED})().every(one => one[0])")
        for _, natural, width, height in page.evaluate(EXPORTED):
            assert natural == 680
            assert width > 500
            assert height > 140
        assert page.locator(".jp-OutputArea-output", has_text="LayerChart").count() == 0
        browser.close()


def test_a_renderer_that_was_chosen_is_heeded(small: History) -> None:
    chart = Plots(small).burnup()
    with alt.renderers.enable("json"):
        shown = str(chart._repr_mimebundle_())
    assert "application/json" in shown
    assert vega.MIME not in shown


def test_matplotlib_shows_itself_without_pyplot(small: History) -> None:
    figure = Plots(small).burnup(backend="matplotlib", width=500, height=300)
    png, size = figure._repr_png_()
    assert png.startswith(b"\x89PNG")
    assert size == {"width": 500, "height": 300}


# ------------------------------------------------------------------ errors


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"backend": "plotly"}, "backend must be one of altair, matplotlib, got 'plotly'"),
        ({"theme": "blue"}, "theme must be one of light, dark, or None for both, got 'blue'"),
        ({"width": 10}, "width must be at least 120 pixels, got 10"),
        ({"height": -1}, "height must be at least 120 pixels, got -1"),
        ({"kind": "bug"}, "kind must be one of feature, task, component, phase, or None"),
        ({"session_id": "nowhere"}, "there is no project 'nowhere' in this history; there are 'small'"),
    ],
)
@pytest.mark.parametrize("method", METHODS)
def test_what_cannot_be_is_refused(small: History, method: str, options: dict[str, Any], words: str) -> None:
    with pytest.raises(ValueError, match=re.escape(words)):
        getattr(Plots(small), method)(**options)


def test_options_of_the_forecast_need_it(small: History) -> None:
    with pytest.raises(TypeError, match="need forecast=True"):
        Plots(small).burnup(level=0.9)


@pytest.mark.parametrize("backend", ["altair", "matplotlib"])
def test_a_library_that_is_not_there(small: History, monkeypatch: pytest.MonkeyPatch, backend: str) -> None:
    module = {"altair": "vega", "matplotlib": "mpl"}[backend]
    monkeypatch.delitem(sys.modules, f"buildwidget.history.plotting.{module}", raising=False)
    monkeypatch.setitem(sys.modules, backend, None)
    draw: Callable[..., Any] = Plots(small).burnup
    with pytest.raises(ImportError, match=re.escape("pip install 'buildwidget[plot]'")):
        draw(backend=backend)


def test_it_says_what_there_is(small: History) -> None:
    assert all(method in repr(Plots(small)) for method in METHODS)


TEXTS = """cell => {
  const svg = document.querySelector(`[data-windowed-list-index='${cell}'] .vega-embed svg.marks`);
  const behind = node => {
    const colour = getComputedStyle(node).backgroundColor;
    return colour === 'rgba(0, 0, 0, 0)' && node.parentElement ? behind(node.parentElement) : colour;
  };
  return [...svg.querySelectorAll('text')]
    .filter(node => node.textContent.trim())
    .map(node => ({ text: node.textContent, ink: getComputedStyle(node).fill, page: behind(svg) }));
}"""


def hexed(colour: str) -> str:
    return "#" + "".join(f"{int(part):02x}" for part in re.findall(r"\d+", colour)[:3])


@pytest.mark.lab
@pytest.mark.xdist_group("lab")
@pytest.mark.timeout(120)
def test_in_jupyterlab(small: History, tmp_path: Path) -> None:
    """No script from elsewhere; text of at least 4.5 : 1, also after a change of theme; times in UTC for everybody."""
    root = tmp_path / "lab"
    shutil.copytree(tmp_path / "small", root / "small")
    begin = "from buildwidget.history import read_history\nfrom buildwidget.history.plots import Plots\n"
    cells = [
        f"{begin}plots = Plots(read_history('small', cache=False))",
        *(f"plots.{method}(width=560)" for method in ("timeline", "cycle_time", "burnup")),
        "plots.burnup(kind='task')",
    ]
    with Lab(root) as lab, sync_playwright() as playwright:
        elsewhere = {**os.environ, "TZ": "America/New_York"}
        browser = playwright.chromium.launch(executable_path=find_chromium(), args=[*FLAGS], env=elsewhere)
        page = lab.page(browser, 1000, 2000)
        foreign: list[str] = []
        page.on("request", lambda request: foreign.append(request.url) if "127.0.0.1" not in request.url else None)
        notebook = lab.open(page, cells)
        for cell in range(len(cells)):
            notebook.run(cell)
        for theme in THEMES:
            notebook.theme(theme)
            for cell in range(1, len(cells)):
                page.locator(f"[data-windowed-list-index='{cell}'] .vega-embed svg.marks text").first.wait_for()
                texts = page.evaluate(TEXTS, cell)
                assert texts
                for one in texts:
                    assert look.contrast(hexed(one["ink"]), hexed(one["page"])) >= 4.5, (theme, cell, one)
        page.locator("[data-windowed-list-index='1'] .vega-embed svg.marks .mark-rect path").first.hover()
        tip = page.locator("#vg-tooltip-element.visible")
        tip.wait_for()
        assert "1 Mar 2026, 09:00:00 UTC" in tip.inner_text()
        axis = [one["text"] for one in page.evaluate(TEXTS, 3)]
        assert "09:00" in axis
        assert "1 March 2026, UTC" in axis
        assert [url for url in foreign if not url.startswith(("data:", "blob:"))] == []
        browser.close()

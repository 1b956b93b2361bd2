"""``df.build``: the analyses on a frame of transitions, or of items."""

from __future__ import annotations

import io
import warnings
from typing import Any

import pandas as pd
import pytest
from pandas.testing import assert_frame_equal

from buildwidget import calculate_completion_percentage
from buildwidget.demo import prepare, write_instant
from buildwidget.history import _accessor, analysis, read_history
from buildwidget.model import Status
from tests.projects import Project

STATUSES = [str(status) for status in Status]
ON_TRANSITIONS = ["burnup", "cumulative_flow", "velocity", "cycle_time", "time_in_status", "churn", "regressions"]


@pytest.fixture(scope="module")
def build(tmp_path_factory):
    folder = prepare(tmp_path_factory.mktemp("demo") / "rollback")
    write_instant(folder, "rollback", 0)
    return read_history(folder)


class Unrecorded:
    """A history whose files say of no item how long it took: transitions hold no recorded durations."""

    def __init__(self, history):
        self._history = history
        self.items = history.items.assign(actual=pd.Series(pd.NaT, history.items.index, dtype="timedelta64[us]"))

    def __getattr__(self, name):
        return getattr(self._history, name)


@pytest.mark.parametrize("name", ON_TRANSITIONS)
def test_transitions_give_what_the_history_gives(build, name):
    expected = getattr(analysis, name)(Unrecorded(build))
    if name == "velocity":
        expected["minutes"] = pd.array([pd.NA] * len(expected), dtype="Float64")  # estimates are not in transitions
    found = getattr(build.transitions.build, name)()
    # The newest thing known of this build is a transition, so that both end at the same time.
    assert build.transitions["ts"].max() == build.present_ts
    assert_frame_equal(found, expected)
    assert found.attrs["seq"] == build.transitions.attrs["seq"]


def test_a_frame_may_be_filtered(build):
    tasks = build.transitions.query("kind == 'task'")
    found, expected = tasks.build.burnup(), analysis.burnup(build, kind="task")
    assert_frame_equal(found, expected.iloc[: len(found)])  # without the present, which is not in the frame
    assert found["done"].iloc[-1] == expected["done"].iloc[-1]
    assert_frame_equal(build.transitions.build.churn(kind="component"), analysis.churn(build, kind="component"))


def test_a_frame_may_come_from_a_file(build):
    frame = pd.read_csv(io.StringIO(build.transitions.to_csv(index=False)), parse_dates=["ts"], date_format="ISO8601")
    for name in ON_TRANSITIONS:
        expected, found = (getattr(one.build, name)() for one in (build.transitions, frame))
        assert_frame_equal(found, expected)


def test_the_smallest_frame_of_transitions(build):
    frame = build.transitions[list(_accessor.TRANSITIONS)]
    found = frame.build.burnup()
    assert set(found["session_id"]) == {"build"}
    assert found["done"].tolist() == analysis.burnup(build)["done"].tolist()
    back = frame.build.regressions()
    assert not back["rolled_back"].any()
    assert back["checkpoint_id"].isna().all()


def test_an_item_that_a_frame_shows_from_the_middle_was_there_before():
    frame = pd.DataFrame(
        {
            "ts": pd.to_datetime(["2026-03-01T10:00Z", "2026-03-01T11:00Z"]),
            "kind": "task",
            "item_id": ["a", "b"],
            "from_status": ["completed", "in_progress"],
            "to_status": ["error", "completed"],
            "progress": [90.0, 100.0],
        }
    )
    assert frame.build.burnup()[["scope", "done"]].to_numpy().tolist() == [[2, 0], [2, 1]]
    assert frame.build.cumulative_flow()[STATUSES].sum(axis=1).tolist() == [2, 2]
    assert frame.build.regressions()["what"].tolist() == ["reopened"]
    assert frame.build.churn()["lost"].tolist() == [0.0, 0.0]  # nobody knows what it was before


def test_an_empty_frame_gives_empty_frames(build):
    for name in ON_TRANSITIONS:
        found = getattr(build.transitions.iloc[:0].build, name)()
        assert len(found) == 0
        assert list(found.columns) == list(getattr(build.transitions.build, name)().columns)


def test_counts(build):
    found = build.items.build.counts()
    assert found["kind"].tolist() == ["component", "feature", "phase", "task"]
    for row in found.itertuples():
        items = build.items[build.items["kind"] == row.kind]
        assert [getattr(row, name) for name in STATUSES] == [(items["status"] == name).sum() for name in STATUSES]
        assert row.total == len(items)
    assert build.items.build.counts(kind="task")["kind"].tolist() == ["task"]
    assert len(build.items.build.counts(kind="task")) == 1


STATES: list[list[tuple[str, float]]] = [
    [("completed", 100), ("in_progress", 30), ("not_started", 0)],
    [("completed", 100), ("skipped", 0), ("cancelled", 50)],
    [("skipped", 0), ("skipped", 20)],
    [("error", 60), ("blocked", 10)],
]


@pytest.mark.parametrize("states", STATES)
def test_percent_is_the_percentage_of_the_live_view(tmp_path, states):
    project = Project(tmp_path)
    items = [{"id": str(at), "status": status, "progress": far} for at, (status, far) in enumerate(states)]
    project.checkpoint(components=items, timestamp="2026-03-01T09:00:00Z")
    found = read_history(tmp_path).items.build.percent()
    assert found[["kind", "percent"]].to_numpy().tolist() == [["component", calculate_completion_percentage(items)]]


def test_items_of_several_projects(tmp_path):
    for name, status in (("one", "completed"), ("two", "error")):
        Project(tmp_path / name).checkpoint(components=[{"id": "api", "status": status}], timestamp="2026-03-01T09:00Z")
    history = read_history(tmp_path)
    assert history.items.build.percent()[["session_id", "percent"]].to_numpy().tolist() == [
        ["one", 100.0],
        ["two", 0.0],
    ]
    assert history.items.build.counts()["error"].tolist() == [0, 1]
    assert history.transitions.build.burnup(session_id="one")["done"].tolist() == [1]


def test_empty_items(build):
    assert list(build.items.iloc[:0].build.counts().columns) == ["session_id", "kind", *STATUSES, "total"]
    assert len(build.items.iloc[:0].build.percent()) == 0


@pytest.mark.parametrize(
    ("frame", "found"),
    [(pd.DataFrame({"status": ["completed"], 7: [1]}), "found status, 7"), (pd.DataFrame(), "found no columns")],
)
def test_another_frame_is_told_what_is_needed(frame: Any, found: str):
    with pytest.raises(AttributeError, match=rf"transitions, with the columns ts, .*, or items, with .*; {found}$"):
        _ = frame.build


def test_a_frame_of_the_other_shape_is_told_what_is_needed(build):
    with pytest.raises(TypeError, match=r"\.build\.burnup\(\) needs transitions, with the columns ts, kind, .*found"):
        build.items.build.burnup()
    with pytest.raises(TypeError, match=r"\.build\.counts\(\) needs items, with the columns kind, item_id, status, "):
        build.transitions.build.counts()


def test_words_that_are_no_statuses_are_refused(build):
    frame = build.transitions.astype({"to_status": "object"}).fillna({"to_status": "started"})
    frame.loc[0, "to_status"] = "started"
    with pytest.raises(
        ValueError, match="column 'to_status' holds 'started', which is no status; expected one of not_started"
    ):
        frame.build.burnup()


def test_missing_times_are_refused(build):
    frame = build.transitions
    frame.loc[3, "ts"] = pd.NaT
    with pytest.raises(ValueError, match="column 'ts' holds 1 missing times"):
        frame.build.burnup()


def test_every_frame_has_it_without_a_warning():
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert pd.DataFrame.build is _accessor.BuildAccessor

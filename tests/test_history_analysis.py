"""What the history of a build means: small builds worked out by hand, and what holds for every build."""

from __future__ import annotations

import itertools
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pandas.testing import assert_frame_equal

from buildwidget.demo import prepare, write_instant
from buildwidget.history import analysis, read_history
from buildwidget.history.analysis.health import wilson
from buildwidget.history.analysis.trend import theil_sen
from buildwidget.model import Status
from tests.corpus import samples
from tests.projects import Project

STATUSES = [str(status) for status in Status]
FINAL = {"completed", "error", "skipped", "cancelled"}


def ts(clock: str) -> pd.Timestamp:
    """A time on the day of the builds below."""
    return pd.Timestamp(f"2026-03-01T{clock}Z")


def hours(number: float) -> pd.Timedelta:
    return pd.Timedelta(hours=number)


def save(project: Project, clock: str, features: dict[str, Any] | None = None, **fields: Any) -> None:
    """A checkpoint at a time, with features as ``{id: (status, progress)}`` and what more there is to say of them."""
    more = fields.pop("more", {})
    rows = [
        {"id": name, "name": name, "status": status, "progress": progress, **more.get(name, {})}
        for name, (status, progress) in (features or {}).items()
    ]
    name = f"checkpoint_20260301_{clock.replace(':', '')}00_000000"
    project.checkpoint(name, features=rows, timestamp=f"2026-03-01T{clock}:00Z", **fields)


TODO, DONE = ("not_started", 0), ("completed", 100)
MORE = {
    "api": {"component": "backend", "priority": "high", "estimatedTime": 30},
    "db": {"component": "backend", "priority": "low", "estimatedTime": 60},
    "ui": {"component": "frontend"},
}


@pytest.fixture
def story(tmp_path: Path) -> Any:
    """Two features; one is reopened; a third comes late and is skipped."""
    project = Project(tmp_path / "story")
    save(project, "09:00", {"api": TODO, "db": TODO}, more=MORE, phase="plan")
    save(project, "10:00", {"api": ("in_progress", 50), "db": TODO}, more=MORE, phase="make")
    save(project, "11:00", {"api": DONE, "db": ("in_progress", 20)}, more=MORE, phase="make")
    save(project, "12:00", {"api": DONE, "db": DONE, "ui": TODO}, more=MORE, phase="make")
    save(project, "13:00", {"api": ("in_progress", 60), "db": DONE, "ui": ("skipped", 0)}, more=MORE, phase="mend")
    save(project, "14:00", {"api": DONE, "db": DONE, "ui": ("skipped", 0)}, more=MORE, phase="mend")
    return read_history(project.root)


def rows(frame: Any, *columns: str) -> list[tuple[Any, ...]]:
    """Some columns as tuples, None for what is missing."""
    part = frame[list(columns)].astype(object)
    return [tuple(None if pd.isna(cell) else cell for cell in row) for row in part.itertuples(index=False)]


# -- flow -------------------------------------------------------------------------------------------------------------


def test_burnup(story):
    frame = analysis.burnup(story)
    assert rows(frame, "ts", "scope", "done", "percent") == [
        (ts("09:00"), 2, 0, 0.0),
        (ts("11:00"), 2, 1, 50.0),
        (ts("12:00"), 3, 2, pytest.approx(200 / 3)),
        (ts("13:00"), 2, 1, 50.0),
        (ts("14:00"), 2, 2, 100.0),
    ]
    assert set(frame["session_id"]) == {"story"}


def test_burnup_at_fixed_times(story):
    frame = analysis.burnup(story, freq="90min")
    assert rows(frame, "ts", "scope", "done") == [
        (ts("09:00"), 2, 0),
        (ts("10:30"), 2, 0),
        (ts("12:00"), 3, 2),
        (ts("13:30"), 2, 1),
        (ts("14:00"), 2, 2),  # the present
    ]


def test_a_build_that_is_shorter_than_the_frequency_has_its_present_state(story):
    assert rows(analysis.burnup(story, freq="7D"), "ts", "scope", "done") == [(ts("14:00"), 2, 2)]


def test_cumulative_flow(story):
    frame = analysis.cumulative_flow(story)
    assert list(frame.columns) == ["session_id", "ts", *STATUSES]
    assert rows(frame, "ts", "not_started", "in_progress", "completed", "skipped") == [
        (ts("09:00"), 2, 0, 0, 0),
        (ts("10:00"), 1, 1, 0, 0),
        (ts("11:00"), 0, 1, 1, 0),
        (ts("12:00"), 1, 0, 2, 0),
        (ts("13:00"), 0, 1, 1, 1),
        (ts("14:00"), 0, 0, 2, 1),
    ]


def test_velocity(story):
    assert rows(analysis.velocity(story), "ts", "completed", "minutes", "reopened", "net") == [
        (ts("09:00"), 0, 0.0, 0, 0),
        (ts("10:00"), 0, 0.0, 0, 0),
        (ts("11:00"), 1, 30.0, 0, 1),
        (ts("12:00"), 1, 60.0, 0, 1),
        (ts("13:00"), 0, 0.0, 1, -1),
        (ts("14:00"), 1, 30.0, 0, 1),
    ]


def test_minutes_are_not_known_where_nothing_has_an_estimate(tmp_path):
    project = Project(tmp_path)
    save(project, "09:00", {"api": TODO})
    save(project, "09:30", {"api": DONE})
    assert rows(analysis.velocity(read_history(tmp_path)), "completed", "minutes") == [(1, None)]


def test_throughput_by_component(story):
    frame = analysis.throughput(story)
    assert rows(frame, "component", "ts", "completed", "hours", "per_hour") == [
        ("backend", ts("09:00"), 3, 5.0, 0.6),
        ("frontend", ts("09:00"), 0, 5.0, 0.0),
    ]


def test_throughput_by_priority(story):
    assert rows(analysis.throughput(story, by="priority"), "priority", "completed") == [
        (None, 0),
        ("high", 2),
        ("low", 1),
    ]


def test_throughput_by_phase_counts_the_hours_of_the_phase(story):
    # What the checkpoint of 10:00 tells was done since that of 09:00.
    assert rows(analysis.throughput(story, by="phase"), "phase", "completed", "hours", "per_hour") == [
        ("make", 2, 3.0, pytest.approx(2 / 3)),
        ("mend", 1, 2.0, 0.5),
        ("plan", 0, 0.0, None),
    ]


def test_throughput_over_time(story):
    frame = analysis.throughput(story, by="kind", freq="2h")
    assert rows(frame, "kind", "ts", "completed", "hours", "per_hour") == [
        ("feature", ts("08:00"), 0, 1.0, 0.0),
        ("feature", ts("10:00"), 1, 2.0, 0.5),
        ("feature", ts("12:00"), 1, 2.0, 0.5),
        ("feature", ts("14:00"), 1, 0.0, None),
    ]


def test_cycle_time(story):
    frame = analysis.cycle_time(story)
    # Both had got somewhere when they were first seen in progress: nobody knows when they were begun.
    assert rows(frame, "item_id", "started", "ended", "cycle_time", "at_least", "source", "lead_time", "wait") == [
        ("api", None, ts("14:00"), None, hours(4), "bound", hours(5), None),
        ("db", None, ts("12:00"), None, hours(1), "bound", hours(3), None),
    ]
    assert frame.attrs["quantiles"]["cycle_time"] == {"p50": None, "p85": None, "p95": None}
    assert frame.attrs["quantiles"]["lead_time"]["p50"] == 4 * 3600


def test_a_recorded_duration_beats_an_observed_one_and_a_start_nobody_saw_is_a_bound(tmp_path):
    project = Project(tmp_path)
    begun, far = ("in_progress", 0), ("in_progress", 86)
    names = ("seen", "short", "long", "bound", "first")
    save(project, "09:00", dict.fromkeys(names, TODO) | {"first": far})
    save(project, "11:00", {"seen": begun, "short": begun, "long": far, "bound": far, "first": far})
    more = {"short": {"actualTime": 30}, "long": {"actualTime": 90}, "first": {"actualTime": 600}}
    save(project, "12:00", dict.fromkeys(names, DONE), more=more)
    history = read_history(tmp_path)
    frame = analysis.cycle_time(history)
    assert rows(frame, "item_id", "started", "cycle_time", "at_least", "source") == [
        ("bound", None, None, hours(1), "bound"),
        ("first", ts("09:00"), hours(10), None, "recorded"),  # the build began then, so nothing began before
        ("long", ts("10:30"), hours(1.5), None, "recorded"),
        ("seen", ts("11:00"), hours(1), None, "seen"),
        ("short", ts("11:30"), hours(0.5), None, "recorded"),
    ]
    assert frame.attrs["quantiles"]["cycle_time"]["p50"] == 1.25 * 3600
    worked = analysis.spans_of_work(history)
    assert rows(worked, "item_id", "started", "first", "ended", "source")[0] == (
        *("bound", None, ts("11:00"), ts("12:00"), "bound"),
    )


def test_one_failure_is_one_however_many_items_carry_it(tmp_path):
    project = Project(tmp_path)
    for clock, word in (("09:00", "in_progress"), ("10:00", "error"), ("11:00", "in_progress")):
        item = {"status": word, "progress": 10}
        features = [{"id": name, "component": "shop", **item} for name in ("shop.pay", "shop.cart")]
        save(project, clock, metadata={"components": [{"id": "shop", **item}], "features": features})
    frame = analysis.flakiness(read_history(tmp_path))
    assert rows(frame, "component_id", "oscillations") == [("shop", 2)]


def test_without_durations_there_is_no_critical_path(tmp_path):
    history = plan(tmp_path, {"a": {}, "b": {"dependencies": ["a"]}})
    path = analysis.critical_path(history)
    assert path.empty
    assert "no duration is known" in path.attrs["reason"]
    network = analysis.slack(history)
    assert rows(network, "item_id", "duration", "duration_source", "slack", "critical") == [
        ("a", None, "unknown", None, False),
        ("b", None, "unknown", None, False),
    ]
    assert analysis.critical_path(plan(tmp_path / "told", DIAMOND)).attrs["reason"] == ""


def test_cycle_time_of_a_component_is_that_of_its_own_times(tmp_path):
    project = Project(tmp_path)
    own = {"startTime": "2026-03-01T09:10:00Z", "endTime": "2026-03-01T09:40:00Z"}
    for clock, item in (
        ("09:00", {"id": "api", "status": "not_started"}),
        ("10:00", {"id": "api", "status": "completed", "progress": 100, **own}),
    ):
        save(project, clock, metadata={"components": [item]})
    frame = analysis.cycle_time(read_history(tmp_path))
    assert rows(frame, "kind", "started", "ended", "cycle_time", "wait") == [
        ("component", ts("09:10"), ts("09:40"), hours(0.5), hours(1 / 6))
    ]


def test_nobody_knows_how_long_it_took_what_was_completed_when_first_seen(tmp_path):
    project = Project(tmp_path)
    save(project, "09:00", {"api": DONE})
    frame = analysis.cycle_time(read_history(tmp_path))
    assert rows(frame, "started", "ended", "cycle_time", "lead_time", "wait") == [(None, ts("09:00"), None, None, None)]
    assert frame.attrs["quantiles"]["cycle_time"] == {"p50": None, "p85": None, "p95": None}


def test_time_in_status(story):
    frame = analysis.time_in_status(story)
    assert rows(frame, "item_id", "not_started", "in_progress", "completed", "skipped") == [
        ("api", hours(1), hours(2), hours(2), hours(0)),
        ("db", hours(2), hours(1), hours(0), hours(0)),
        ("ui", hours(1), hours(0), hours(0), hours(0)),
    ]


def test_the_time_in_an_open_status_runs_to_the_present_and_not_while_an_item_is_gone(tmp_path):
    project = Project(tmp_path)
    save(project, "09:00", {"api": ("in_progress", 10), "db": TODO})
    save(project, "10:00", {"db": TODO})
    save(project, "12:00", {"api": ("in_progress", 10), "db": TODO})
    save(project, "15:00", {"api": ("in_progress", 20), "db": TODO})
    frame = analysis.time_in_status(read_history(tmp_path))
    assert rows(frame, "item_id", "not_started", "in_progress") == [
        ("api", hours(0), hours(4)),
        ("db", hours(6), hours(0)),
    ]


# -- the network ------------------------------------------------------------------------------------------------------


def plan(root: Path, features: dict[str, dict[str, Any]], clock: str = "09:00") -> Any:
    project = Project(root)
    items = [{"id": name, "name": name, "status": "not_started", **fields} for name, fields in features.items()]
    save(project, clock, metadata={"features": items})
    return read_history(root)


DIAMOND = {
    "a": {"estimatedTime": 60},
    "b": {"estimatedTime": 30, "dependencies": ["a"]},
    "c": {"estimatedTime": 20, "dependencies": ["a"]},
    "d": {"estimatedTime": 10, "dependencies": ["b", "c", "not-there"]},
    "e": {},  # nobody says how long it takes
}


def test_slack(tmp_path):
    frame = analysis.slack(plan(tmp_path, DIAMOND))
    minutes = frame.assign(
        **{
            name: frame[name] / pd.Timedelta(minutes=1)
            for name in ("duration", "earliest_start", "earliest_finish", "latest_start", "latest_finish", "slack")
        }
    )
    assert rows(
        minutes, "item_id", "duration", "duration_source", "earliest_start", "earliest_finish", "latest_start", "slack"
    ) == [
        ("a", 60, "estimate", 0, 60, 0, 0),
        ("e", 25, "median", 0, 25, 75, 75),  # of the estimates of the others
        ("b", 30, "estimate", 60, 90, 60, 0),
        ("c", 20, "estimate", 60, 80, 70, 10),
        ("d", 10, "estimate", 90, 100, 90, 0),
    ]
    assert frame["critical"].tolist() == [True, False, True, False, True]
    assert frame.attrs["cycles"] == []


def test_critical_path(tmp_path):
    frame = analysis.critical_path(plan(tmp_path, DIAMOND))
    assert frame["item_id"].tolist() == ["a", "b", "d"]
    assert frame["duration"].sum() == pd.Timedelta(minutes=100)
    assert frame["critical"].all()


def test_dependencies_in_a_circle_are_told_and_do_no_harm(tmp_path):
    history = plan(
        tmp_path,
        {
            "a": {"dependencies": ["c"], "estimatedTime": 10},
            "b": {"dependencies": ["a"], "estimatedTime": 10},
            "c": {"dependencies": ["b"], "estimatedTime": 10},
            "d": {"dependencies": ["d"], "estimatedTime": 10},
        },
    )
    frame = analysis.critical_path(history)
    # a needs c, c needs b; that b needs a would close the circle
    assert frame.attrs["cycles"] == [[tmp_path.name, "b", "a"], [tmp_path.name, "d", "d"]]
    assert frame["item_id"].tolist() == ["b", "c", "a"]
    assert (analysis.slack(history)["slack"] >= hours(0)).all()


def test_where_durations_come_from(tmp_path):
    project = Project(tmp_path)
    states = [
        {"says": TODO, "seen": TODO, "open": TODO, "hint": TODO, "off": TODO},
        {"says": DONE, "seen": ("in_progress", 0), "open": TODO, "hint": TODO, "off": ("cancelled", 0)},
        {"says": DONE, "seen": DONE, "open": TODO, "hint": TODO, "off": ("cancelled", 0)},
    ]
    more = {
        "says": {"actualTime": 12, "estimatedTime": 99, "dependencies": ["hint"]},
        "hint": {"estimatedTime": 45},
        "off": {"estimatedTime": 45},
    }
    for clock, state in zip(["09:00", "10:00", "10:30"], states, strict=True):
        save(project, clock, state, more=more)
    frame = analysis.slack(read_history(tmp_path)).sort_values("item_id")
    minutes = frame.assign(duration=frame["duration"] / pd.Timedelta(minutes=1))
    assert rows(minutes, "item_id", "duration", "duration_source") == [
        ("hint", 45, "estimate"),
        ("off", 0, "none"),
        ("open", 21, "median"),  # of the two that are known
        ("says", 12, "actual"),
        ("seen", 30, "actual"),
    ]


def test_a_network_is_of_the_first_kind_that_has_dependencies(tmp_path):
    project = Project(tmp_path)
    api = {"id": "api", "status": "not_started", "dependencies": ["db"]}
    begun = {"id": "db", "status": "in_progress"}
    save(project, "09:00", {}, metadata={"components": [api, begun]})
    needs = [api, {"id": "db", "status": "completed"}]
    save(
        project,
        "10:00",
        {},
        metadata={"components": needs, "features": [{"id": "f", "status": "not_started", "estimatedTime": 9}]},
    )
    history = read_history(tmp_path)
    assert analysis.critical_path(history)["item_id"].tolist() == ["db", "api"]
    assert analysis.critical_path(history, kind="feature")["item_id"].tolist() == ["f"]


# -- changes ----------------------------------------------------------------------------------------------------------


def test_diff(story):
    frame = analysis.diff(story, "first", "checkpoint_20260301_120000_000000")
    assert rows(frame, "kind", "item_id", "change", "field", "before", "after") == [
        ("feature", "api", "changed", "status", "not_started", "completed"),
        ("feature", "api", "changed", "progress", 0.0, 100.0),
        ("feature", "db", "changed", "status", "not_started", "completed"),
        ("feature", "db", "changed", "progress", 0.0, 100.0),
        ("feature", "ui", "added", "status", None, "not_started"),
    ]
    assert frame.attrs["a"] == "checkpoint_20260301_090000_000000"


def test_diff_of_positions_times_and_everything(story):
    assert_frame_equal(analysis.diff(story, 0, -3), analysis.diff(story, "first", ts("12:59")))
    frame = analysis.diff(story, 0, 0, changes_only=False)
    assert set(frame["change"]) == {"same"}
    assert ("estimated", pd.Timedelta(minutes=30)) in rows(frame, "field", "before")
    gone = analysis.diff(story, "last", "first", changes_only=False).query("item_id == 'ui'")
    assert set(gone["change"]) == {"removed"}
    assert ("name", "ui", None) in rows(gone, "field", "before", "after")


def test_a_checkpoint_without_features_says_nothing_of_them(tmp_path):
    project = Project(tmp_path)
    save(project, "09:00", {"api": TODO})
    save(project, "10:00", {"api": ("in_progress", 50)}, status="rolled_back")
    save(project, "11:00")
    save(project, "12:00", {"api": DONE})
    history = read_history(tmp_path)
    assert not len(analysis.diff(history, 0, 2))  # what stood at 11:00 is what was said at 09:00
    assert rows(analysis.diff(history, 2, 3), "field", "before", "after") == [
        ("status", "not_started", "completed"),
        ("progress", 0.0, 100.0),
    ]


@pytest.mark.parametrize(
    ("wanted", "error", "says"),
    [
        ("checkpoint_x", ValueError, "no project holds 'checkpoint_x'"),
        (6, ValueError, "it has 6"),
        (-7, ValueError, "position -7"),
        (ts("08:00"), ValueError, "or before"),
        (ts("12:00").tz_localize(None), ValueError, "time zone"),
        (1.5, TypeError, "a checkpoint is an id, a time, a position"),
    ],
)
def test_diff_says_what_is_wrong(story, wanted, error, says):
    with pytest.raises(error, match=says):
        analysis.diff(story, wanted, "last")


def test_lineage_of_a_rollback(tmp_path):
    project = Project(tmp_path)
    save(project, "09:00", {"api": ("in_progress", 10)})
    save(project, "10:00", {"api": ("in_progress", 30)}, status="active")
    save(project, "11:00", {"api": ("in_progress", 50)}, status="rolled_back")
    save(project, "12:00", {"api": ("in_progress", 75)}, status="rolled_back")
    save(project, "13:00", {"api": ("in_progress", 40)})
    save(project, "14:00", {"api": ("in_progress", 45)}, status="rolled_back")
    save(project, "15:00", {"api": ("in_progress", 44)})
    frame = analysis.lineage(read_history(tmp_path))
    short = frame.assign(
        hour=frame["checkpoint_id"].str[20:22], parent=frame["parent_id"].str[20:22], lost=frame["lost_percent"]
    )
    assert rows(short, "hour", "parent", "branch", "abandoned", "is_tip", "lost") == [
        ("09", None, 0, False, False, None),
        ("10", "09", 0, False, False, None),
        ("11", "10", 1, True, False, None),
        ("12", "11", 1, True, True, 45.0),
        ("13", "10", 0, False, False, None),
        ("14", "13", 2, True, True, 5.0),
        ("15", "13", 0, False, True, None),
    ]


def test_lineage_where_nothing_stands(tmp_path):
    project = Project(tmp_path)
    save(project, "09:00", {"api": ("in_progress", 10)}, status="rolled_back")
    save(project, "10:00", {"api": ("in_progress", 30)}, status="rolled_back")
    frame = analysis.lineage(read_history(tmp_path))
    assert rows(frame, "branch", "is_tip", "lost_percent") == [(1, False, None), (1, True, 30.0)]
    assert frame["parent_id"].isna().tolist() == [True, False]


def test_churn(story):
    assert rows(analysis.churn(story), "item_id", "changes", "reopened", "gained", "lost", "ratio") == [
        ("api", 4, 1, 140.0, 40.0, pytest.approx(40 / 140)),
        ("db", 2, 0, 100.0, 0.0, 0.0),
        ("ui", 1, 0, 0.0, 0.0, None),
    ]


def test_regressions(story):
    frame = analysis.regressions(story)
    assert rows(
        frame, "ts", "item_id", "what", "from_status", "to_status", "progress_before", "progress_after", "rolled_back"
    ) == [(ts("13:00"), "api", "reopened", "completed", "in_progress", 100.0, 60.0, False)]
    assert frame["checkpoint_id"].tolist() == ["checkpoint_20260301_130000_000000"]


def test_every_kind_of_regression(tmp_path):
    project = Project(tmp_path)
    save(project, "09:00", {"a": DONE, "b": ("in_progress", 50), "c": ("in_progress", 50), "d": DONE, "e": DONE})
    save(project, "10:00", {"a": ("error", 90), "b": ("error", 50), "c": ("in_progress", 40), "e": DONE})
    save(project, "11:00", {"e": ("in_progress", 20), "f": ("error", 0)}, status="rolled_back")
    save(project, "12:00", {"a": ("error", 90), "b": ("error", 50), "c": ("in_progress", 40), "e": DONE})
    frame = analysis.regressions(read_history(tmp_path))
    assert rows(frame, "ts", "item_id", "what", "progress_before", "progress_after", "rolled_back") == [
        (ts("10:00"), "a", "reopened", 100.0, 90.0, False),
        (ts("10:00"), "b", "failed", 50.0, 50.0, False),
        (ts("10:00"), "c", "lost_progress", 50.0, 40.0, False),
        (ts("10:00"), "d", "removed", 100.0, 100.0, False),
        (ts("11:00"), "e", "reopened", 100.0, 20.0, False),
        (ts("11:00"), "f", "failed", None, 0.0, False),
        (ts("12:00"), "a", "failed", 90.0, 90.0, True),  # the rollback brings it back as it was
        (ts("12:00"), "b", "failed", 50.0, 50.0, True),
    ]


def test_a_file_that_was_written_again_is_one_checkpoint(tmp_path):
    project = Project(tmp_path)
    for clock, passing in (("09:00", True), ("10:00", False), ("11:00", True)):
        item = {"id": "api", "status": "in_progress", "progress": int(clock[:2]), "testsPass": passing}
        save(project, clock, metadata={"components": [item]})
    history = read_history(tmp_path)

    def again(frame: Any, **changes: Any) -> Any:
        """The frame as if the checkpoint of 11:00 had been read once more."""
        old = frame.astype({"checkpoint_id": "string"})
        last = old[old["checkpoint_id"].str.contains("_110000_")].assign(version=2, **changes)
        return pd.concat([old, last]).sort_values(["ts", "version"], kind="stable", ignore_index=True)

    tables = analysis.Given(
        sessions=history.sessions,
        checkpoints=again(history.checkpoints.astype({"status": "string"}), status="rolled_back"),
        components=again(history.components, progress=12.0),
        transitions=history.transitions,
    )
    line = analysis.lineage(tables)
    assert rows(line, "branch", "abandoned", "lost_percent") == [(0, False, None), (0, False, None), (1, True, 1.0)]
    assert rows(analysis.diff(tables, -2, -1), "field", "before", "after") == [
        ("progress", 10.0, 12.0),
        ("tests_pass", False, True),
    ]
    assert rows(analysis.flakiness(tables), "observations", "flips") == [(3, 2)]


# -- health -----------------------------------------------------------------------------------------------------------


def test_aging(tmp_path):
    project = Project(tmp_path)
    save(project, "08:00", {"quick": ("in_progress", 0), "slow": ("in_progress", 0), "old": TODO, "new": TODO})
    save(project, "09:00", {"quick": DONE, "slow": ("in_progress", 5), "old": ("in_progress", 1), "new": TODO})
    save(project, "11:00", {"quick": DONE, "slow": DONE, "old": ("error", 1), "new": TODO, "off": ("skipped", 0)})
    history = read_history(tmp_path)
    assert rows(analysis.aging(history), "item_id", "status", "started", "age", "percentile", "idle") == [
        ("old", "error", ts("09:00"), hours(2), 50.0, hours(0)),
        ("new", "not_started", None, None, None, hours(3)),
    ]
    late = analysis.aging(history, now=ts("14:00"))
    assert rows(late, "age", "percentile", "idle") == [(hours(5), 100.0, hours(3)), (None, None, hours(6))]
    with pytest.raises(ValueError, match="time zone"):
        analysis.aging(history, now="2026-03-01 14:00")


def test_flakiness(tmp_path):
    project = Project(tmp_path)
    steps = [("in_progress", True), ("error", False), ("in_progress", True), ("completed", True), ("completed", None)]
    for hour, (status, passing) in enumerate(steps, 9):
        flaky = {"id": "api", "status": status, "testsPass": passing}
        steady = {"id": "auth", "status": "in_progress", "testsPass": True}
        silent = {"id": "zoo", "status": "in_progress"}
        feature = {"id": "f", "component": "zoo", "status": "error" if hour == 10 else "in_progress"}
        save(project, f"{hour:02}:00", metadata={"components": [steady, flaky, silent], "features": [feature]})
    frame = analysis.flakiness(read_history(tmp_path))
    assert rows(
        frame, "component_id", "observations", "passes", "flips", "flip_rate", "pass_share", "oscillations"
    ) == [
        ("api", 4, 3, 2, pytest.approx(2 / 3), 0.75, 2),
        ("zoo", 0, 0, 0, None, None, 2),
        ("auth", 5, 5, 0, 0.0, 1.0, 0),
    ]
    assert rows(frame, "low", "high") == [
        (pytest.approx(0.3006, abs=5e-5), pytest.approx(0.9544, abs=5e-5)),
        (None, None),
        (pytest.approx(0.5655, abs=5e-5), 1.0),
    ]


@given(st.integers(1, 500), st.data())
def test_wilsons_interval_holds_the_share(count, data):
    passes = data.draw(st.integers(0, count))
    low, high = wilson(np.array([passes]), np.array([count]))
    assert 0 <= low[0] <= passes / count <= high[0] <= 1
    # The ends are where the share is 1.96 standard errors away.
    for end in {float(low[0]), float(high[0])} - {0.0, 1.0, passes / count}:
        assert abs(passes / count - end) == pytest.approx(1.959964 * np.sqrt(end * (1 - end) / count), rel=1e-4)


def minutes_after(root: Path, gaps: list[float], **fields: Any) -> Any:
    """A build with a checkpoint after each of these gaps, in minutes."""
    project = Project(root)
    moment = ts("06:00")
    for number, gap in enumerate([0, *gaps]):
        moment += pd.Timedelta(minutes=gap)
        items = [{"id": "api", "status": "in_progress", "progress": number}]
        name = f"checkpoint_{moment:%Y%m%d_%H%M%S}_000000"
        project.checkpoint(name, features=items, timestamp=f"{moment:%Y-%m-%dT%H:%M:%S}Z", **fields)
    return read_history(root)


def test_stalls_of_a_young_build_are_those_over_15_minutes(tmp_path):
    frame = analysis.stalls(minutes_after(tmp_path, [1, 15, 16, 2]))
    assert rows(frame, "started", "ended", "duration", "threshold", "open", "in_progress") == [
        (ts("06:16"), ts("06:32"), hours(16 / 60), hours(0.25), False, 1)
    ]
    assert frame["items"].tolist() == [["api"]]


def test_stalls_are_told_by_the_rhythm_of_the_build(tmp_path):
    # After 20 gaps of 1 minute: 4 × 1 minute. The long gap is one of 21 then, above their 95th percentile.
    frame = analysis.stalls(minutes_after(tmp_path, [1] * 20 + [5, 4, 3]))
    assert rows(frame, "started", "duration", "threshold") == [(ts("06:20"), hours(5 / 60), hours(4 / 60))]


def test_a_stall_is_never_shorter_than_two_minutes(tmp_path):
    frame = analysis.stalls(minutes_after(tmp_path, [0.25] * 20 + [1.75, 2.25]))
    assert rows(frame, "duration", "threshold") == [(pd.Timedelta(seconds=135), pd.Timedelta(seconds=120))]


def test_the_silence_of_an_unfinished_build_is_open(tmp_path):
    history = minutes_after(tmp_path / "on", [1, 2])
    assert not len(analysis.stalls(history))
    frame = analysis.stalls(history, now=ts("07:03"))
    assert rows(frame, "started", "ended", "open") == [(ts("06:03"), ts("07:03"), True)]
    project = Project(tmp_path / "over")
    save(project, "09:00", {"api": DONE})
    assert not len(analysis.stalls(read_history(project.root), now=ts("20:00")))


@pytest.mark.parametrize(
    ("progress", "verdict", "says"),
    [
        ([5, 10, 15, 20, 25, 30], "converging", "What remains gets less: -5 points per hour"),
        ([5, 6, 5.5, 6, 5.5, 6], "flat", "What remains does not surely get less"),
        ([60, 58, 57, 56, 55, 54], "flat", "What remains grows"),
        ([5, 40, 10, 40, 10, 45], "churning", "Items lost 120 points of progress and gained 210"),
        ([20, 40, 60, 80, 90, 100], "converging", "Nothing remains."),
        ([5, 10, 15], "unknown", "It takes 4 checkpoints at different times to tell, and there are 3."),
        ([], "unknown", "There is no checkpoint yet that knows its percentage."),
    ],
)
def test_convergence(tmp_path, progress, verdict, says):
    project = Project(tmp_path)
    for hour, percent in enumerate(progress, 6):
        status = "completed" if percent == 100 else "in_progress"
        save(project, f"{hour:02}:00", {"api": (status, percent), "steady": (status, percent)})
    found = analysis.convergence(read_history(tmp_path))
    assert (found.verdict, found.reason[: len(says)]) == (verdict, says)


def test_a_build_that_completes_less_than_it_reopens_is_churning(tmp_path):
    project = Project(tmp_path)
    names = [f"i{number}" for number in range(8)]
    for hour, done in enumerate([8, 7, 6, 6, 5], 9):  # each reopened one is nearly completed
        save(
            project,
            f"{hour:02}:00",
            {name: DONE if at < done else ("in_progress", 99) for at, name in enumerate(names)}
            | {"big": ("in_progress", 5 * hour)},
        )
    found = analysis.convergence(read_history(tmp_path), window=4)
    assert found.verdict == "churning"
    assert found.reason == "3 items ceased to be completed and 0 became it over the last 4 checkpoints."
    assert rows(found.rows, "started", "ended", "points", "completed", "reopened") == [
        (ts("09:00"), ts("09:00"), 1, 8, 0),
        (ts("09:00"), ts("13:00"), 4, 0, 3),
    ]


def test_convergence_without_percentages_goes_by_the_items(tmp_path):
    project = Project(tmp_path)
    tasks = {
        f"t{number}": {
            "id": f"t{number}",
            "status": "completed" if number < 6 else "pending",
            "started_at": f"2026-03-01T{8 + number:02}:00:00Z",
            "completed_at": f"2026-03-01T{9 + number:02}:00:00Z" if number < 6 else None,
        }
        for number in range(8)
    }
    project.write(
        "state/orchestration_state.json",
        {"version": "1.0", "timestamp": "2026-03-01T15:00:00Z", "tasks": tasks, "execution_order": list(tasks)},
    )
    found = analysis.convergence(read_history(tmp_path))
    assert found.rows["points"].tolist() == [len(analysis.burnup(read_history(tmp_path)))]
    assert found.rows["remaining"].tolist() == [25.0]


@pytest.mark.parametrize("window", [3, 0, -1])
def test_a_window_has_four_checkpoints_at_least(story, window):
    with pytest.raises(ValueError, match="window must be at least 4"):
        analysis.convergence(story, window=window)


def test_theil_and_sens_slope_does_not_mind_a_wild_point():
    x = np.arange(10.0)
    assert theil_sen(x, 3 - 2 * x) == (-2.0, -2.0, -2.0)
    wild = 3 - 2 * x
    wild[4] = 1000
    slope, low, high = theil_sen(x, wild)
    assert (slope, low, high) == (-2.0, -2.0, -2.0)
    assert np.isnan(theil_sen(np.zeros(3), np.arange(3.0))).all()


def test_sens_interval():
    # Worked by hand: 6 slopes, sorted [-1, 0.5, 1, 1, 1.5, 3]; Kendall's S has variance 4·3·13/18, and 1.96 of its
    # square roots are 5.77: places round(0.11) - 1, not below 0, and round(5.89), not above 5.
    assert theil_sen(np.arange(4.0), np.array([0.0, 3.0, 2.0, 3.0])) == (1.0, -1.0, 3.0)


# -- what is asked for ------------------------------------------------------------------------------------------------

EVERY = {
    "burnup": analysis.burnup,
    "burnup 1D": lambda t: analysis.burnup(t, freq="1D"),
    "cumulative_flow": analysis.cumulative_flow,
    "cumulative_flow 1D": lambda t: analysis.cumulative_flow(t, freq="1D"),
    "velocity": analysis.velocity,
    "throughput component": analysis.throughput,
    "throughput kind": lambda t: analysis.throughput(t, by="kind"),
    "throughput phase": lambda t: analysis.throughput(t, by="phase"),
    "throughput phase 1D": lambda t: analysis.throughput(t, by="phase", freq="1D"),
    "throughput priority": lambda t: analysis.throughput(t, by="priority"),
    "throughput type": lambda t: analysis.throughput(t, by="type"),
    "cycle_time": analysis.cycle_time,
    "time_in_status": analysis.time_in_status,
    "aging": analysis.aging,
    "slack": analysis.slack,
    "critical_path": analysis.critical_path,
    "lineage": analysis.lineage,
    "churn": analysis.churn,
    "regressions": analysis.regressions,
    "flakiness": analysis.flakiness,
    "stalls": lambda t: analysis.stalls(t, now="2030-01-01T00:00Z"),
    "convergence": lambda t: analysis.convergence(t, session_id=t.sessions["session_id"].iloc[0]).rows,
    "diff": lambda t: analysis.diff(t, "first", "last", session_id=t.sessions["session_id"].iloc[-1]),
}
SCENARIOS = ["success", "failure", "stall", "rollback", "growth"]


@pytest.fixture(scope="module")
def builds(tmp_path_factory):
    """Builds with files of every kind, and simulated ones, each in both kinds of dtypes."""
    base = tmp_path_factory.mktemp("builds")
    seen: dict[str, int] = {}
    for file in samples():  # files of one path are of different projects
        number = seen[file.path] = seen.get(file.path, 0) + 1
        file.write(base / "corpus" / f"project-{number:02}")
    folders = {"corpus": base / "corpus", "first of the corpus": base / "corpus" / "project-01"}
    for scenario in SCENARIOS:
        folders[scenario] = prepare(base / "demo" / scenario)
        write_instant(folders[scenario], scenario, 0)
    folders["all of the demo"] = base / "demo"
    return {
        name: {backend: read_history(folder, dtype_backend=backend) for backend in ("numpy_nullable", "pyarrow")}
        for name, folder in folders.items()
    }


@pytest.fixture(scope="module")
def nothing(tmp_path_factory):
    project = Project(tmp_path_factory.mktemp("nothing"))
    return read_history(project.root)


def schema(frame: Any) -> dict[str, str]:
    def told(dtype: Any) -> str:
        if not isinstance(dtype, pd.CategoricalDtype):
            return str(dtype)
        return f"ordered {list(dtype.categories)}" if dtype.ordered else "texts"

    return {name: told(dtype) for name, dtype in frame.dtypes.items()}


@pytest.mark.parametrize("name", [*SCENARIOS, "all of the demo", "corpus", "first of the corpus"])
def test_every_analysis_of_every_build(builds, nothing, name):
    for what, analyse in EVERY.items():
        found = analyse(builds[name]["numpy_nullable"])
        if what != "diff":
            assert schema(found) == schema(analyse(nothing)), what
        assert list(found.index) == list(range(len(found))), what
        assert_frame_equal(analyse(builds[name]["pyarrow"]), found, obj=what)


@pytest.mark.parametrize("what", [what for what in EVERY if what != "diff"])
def test_nothing_gives_empty_frames(nothing, what):
    assert len(EVERY[what](nothing)) == 0


def test_nothing_has_no_verdict(nothing):
    assert analysis.convergence(nothing).verdict == "unknown"
    with pytest.raises(ValueError, match="there is no checkpoint"):
        analysis.diff(nothing, "first", "last")


def test_results_say_what_they_were_made_of(story):
    assert analysis.burnup(story).attrs == {"epoch": "", "seq": 6}


@pytest.mark.parametrize("name", ["burnup", "cycle_time", "churn", "slack"])
def test_a_kind_that_is_none_is_refused(story, name):
    with pytest.raises(ValueError, match="kind must be one of feature, task, component, phase"):
        getattr(analysis, name)(story, kind="features")
    assert not len(getattr(analysis, name)(story, kind="phase"))


@pytest.mark.parametrize("name", [name for name in analysis.__all__ if name[0].islower() and name != "diff"])
def test_a_project_that_is_not_there_is_refused(story, name):
    with pytest.raises(ValueError, match="no project 'tale' in this history; there are 'story'"):
        getattr(analysis, name)(story, session_id="tale")


@pytest.mark.parametrize("freq", ["soon", "-1h", "0h", "1M", None, 0])
def test_a_frequency_is_a_length_of_time(story, freq):
    with pytest.raises(ValueError, match="freq must be a length of time"):
        analysis.velocity(story, freq=freq)


def test_bins_that_fill_the_memory_are_refused(story):
    with pytest.raises(ValueError, match=r"would make 18,000,001 rows"):
        analysis.velocity(story, freq="1ms")


def test_a_group_that_is_none_is_refused(story):
    with pytest.raises(ValueError, match="by must be one of component, kind, phase, priority, type"):
        analysis.throughput(story, by="colour")


def test_without_a_kind_each_project_has_its_own(tmp_path):
    first, second = Project(tmp_path / "one"), Project(tmp_path / "two")
    save(first, "09:00", {"f": TODO}, components=[{"id": "c", "status": "completed"}])
    save(second, "09:00", components=[{"id": "c", "status": "completed"}])
    history = read_history(tmp_path)
    assert rows(analysis.burnup(history), "session_id", "scope", "done") == [("one", 1, 0), ("two", 1, 1)]
    assert rows(analysis.churn(history), "session_id", "kind", "item_id") == [
        ("two", "component", "c"),
        ("one", "feature", "f"),
    ]
    assert rows(analysis.burnup(history, kind="component", session_id="one"), "scope", "done") == [(1, 1)]


def test_a_project_ends_with_what_is_known_of_itself(tmp_path):
    first, second = Project(tmp_path / "one"), Project(tmp_path / "two")
    for project, clock in ((first, "10:00"), (second, "20:00")):
        save(project, "09:00", {"f": TODO})
        save(project, clock, {"f": TODO})
    frame = analysis.time_in_status(read_history(tmp_path))
    assert rows(frame, "session_id", "not_started") == [("one", hours(1)), ("two", hours(11))]


def test_several_projects_are_told_apart_where_one_is_meant(builds):
    history = builds["all of the demo"]["numpy_nullable"]
    with pytest.raises(ValueError, match=r"several projects.*session_id= one of failure, growth"):
        analysis.convergence(history)
    with pytest.raises(ValueError, match=r"several projects.*session_id= one of failure, growth"):
        analysis.diff(history, "first", "last")
    ids = history.checkpoints.query("session_id == 'stall' and shape == 'checkpoint'")["checkpoint_id"].tolist()
    assert analysis.diff(history, ids[0], ids[-1]).attrs["session_id"] == "stall"


# -- what holds for every build ---------------------------------------------------------------------------------------

names = st.sampled_from("abcd")
state = st.tuples(st.sampled_from(STATUSES), st.integers(0, 100))
checkpoint = st.tuples(
    st.dictionaries(names, state, max_size=4), st.sampled_from(["created", "created", "rolled_back"])
)
needs = st.dictionaries(names, st.lists(names, max_size=3), max_size=4)


def made(folder: str, checkpoints: list[Any], links: dict[str, list[str]] | None = None) -> Any:
    project = Project(Path(folder) / "build")
    more = {name: {"dependencies": others} for name, others in (links or {}).items()}
    for number, (features, life) in enumerate(checkpoints):
        save(project, f"{6 + number:02}:00", features, status=life, more=more)
    return read_history(project.root)


def replayed(history: Any) -> list[tuple[pd.Timestamp, dict[str, str]]]:
    """The status of every feature after each time at which something changed."""
    states: dict[str, str] = {}
    found: dict[pd.Timestamp, dict[str, str]] = {}
    for change in history.transitions.itertuples():
        if change.kind == "feature":
            states.pop(change.item_id, None)
            if isinstance(change.to_status, str):
                states[change.item_id] = change.to_status
            found[change.ts] = dict(states)
    return list(found.items())


@settings(max_examples=40, deadline=None)
@given(st.lists(checkpoint, max_size=8), needs)
def test_the_analyses_agree_with_the_transitions_and_with_each_other(checkpoints, links):
    with tempfile.TemporaryDirectory() as folder:
        history = made(folder, checkpoints, links)
        items = history.items
        states = replayed(history)

        flow = analysis.cumulative_flow(history, kind="feature")
        for row in flow.itertuples():
            known = [known for moment, known in states if moment <= row.ts][-1]
            assert [getattr(row, name) for name in STATUSES] == [list(known.values()).count(name) for name in STATUSES]
        assert set(flow["ts"]) <= {moment for moment, _ in states} | {history.present_ts}
        burnup = analysis.burnup(history, kind="feature")
        if len(burnup):
            last = burnup.iloc[-1]
            assert last["done"] == (items["status"] == "completed").sum()
            assert last["scope"] == (~items["status"].isin(["skipped", "cancelled"])).sum()
            assert last["ts"] == flow["ts"].iloc[-1] == history.present_ts
            sampled = analysis.burnup(history, kind="feature", freq="45min")
            assert sampled.iloc[-1].tolist() == last.tolist()
        assert analysis.velocity(history)["net"].sum() == (items["status"] == "completed").sum()

        spent = analysis.time_in_status(history).set_index("item_id")[STATUSES].sum(axis=1)
        for name, lifetime in lives(history).items():
            assert spent[name] == lifetime

        churn = analysis.churn(history).set_index("item_id")
        back = analysis.regressions(history)
        assert churn["reopened"].sum() == back["what"].isin(["reopened", "removed"]).sum()
        fell = (back["progress_before"] - back["progress_after"]).clip(lower=0).sum()
        assert churn["lost"].sum() == pytest.approx(fell)

        network = analysis.slack(history)
        path = analysis.critical_path(history)
        known = network["slack"].notna()  # without any duration there is no slack, and it is said
        assert known.all() or network.attrs["reason"]
        assert (network["slack"][known] >= hours(0)).all()
        assert (network["critical"][known] == (network["slack"][known] == hours(0))).all()
        assert path["critical"].all()
        assert path["duration"].sum() == (network["earliest_finish"].max() if known.any() else hours(0))
        assert len(network) == len(items)
        assert (path["earliest_start"].iloc[1:].tolist()) == path["earliest_finish"].iloc[:-1].tolist()


def lives(history: Any) -> dict[str, pd.Timedelta]:
    """How long each feature was there, until it was final, by a walk over the transitions."""
    found: dict[str, pd.Timedelta] = {}
    for name, changes in history.transitions.groupby("item_id", observed=True):
        life, status, since = hours(0), None, None
        for change in changes.itertuples():
            after = change.to_status if isinstance(change.to_status, str) else None
            if after == status:
                continue
            if status is not None:
                life += change.ts - since
            status, since = after, change.ts
        if status is not None and status not in FINAL:
            life += history.present_ts - since
        found[name] = life
    return found


@settings(max_examples=30, deadline=None)
@given(st.lists(checkpoint, min_size=1, max_size=5), st.data())
def test_a_diff_is_mirrored(checkpoints, data):
    with tempfile.TemporaryDirectory() as folder:
        history = made(folder, checkpoints)
        one, two = (data.draw(st.integers(0, len(checkpoints) - 1)) for _ in "ab")
        assert not len(analysis.diff(history, one, one))
        there = analysis.diff(history, one, two)
        back = analysis.diff(history, two, one)
        mirror = {"added": "removed", "removed": "added", "changed": "changed"}
        assert rows(there, "kind", "item_id", "field", "before", "after") == rows(
            back, "kind", "item_id", "field", "after", "before"
        )
        assert [mirror[change] for change in there["change"]] == back["change"].tolist()


@settings(max_examples=25, deadline=None)
@given(st.lists(st.lists(st.integers(0, 99), min_size=3, max_size=3), min_size=1, max_size=6))
def test_a_build_that_only_goes_forward_has_no_regressions(steps):
    columns = [sorted(column) for column in zip(*steps, strict=True)]
    checkpoints = [
        (
            {name: ("in_progress" if far else "not_started", far) for name, far in zip("abc", row, strict=True)},
            "created",
        )
        for row in zip(*columns, strict=True)
    ]
    checkpoints.append((dict.fromkeys("abc", DONE), "created"))
    with tempfile.TemporaryDirectory() as folder:
        history = made(folder, checkpoints)
        assert not len(analysis.regressions(history))
        churn = analysis.churn(history)
        assert churn["lost"].sum() == 0
        assert churn["gained"].tolist() == [100.0] * 3
        line = analysis.lineage(history)
        assert line["branch"].sum() == 0
        assert line["is_tip"].tolist() == [False] * (len(line) - 1) + [True]


def test_analyses_leave_their_tables_alone(builds):
    history = builds["rollback"]["numpy_nullable"]
    tables = ["sessions", "checkpoints", "components", "features", "items", "transitions", "dependencies"]
    before = {name: getattr(history, name).copy(deep=True) for name in tables}
    for analyse in EVERY.values():
        analyse(history)
    for name in tables:
        assert_frame_equal(getattr(history, name), before[name])


def test_the_rows_of_a_frame_need_no_order(builds):
    history = builds["rollback"]["numpy_nullable"]
    mixed = history.transitions.sample(frac=1, random_state=1)
    for name in ("burnup", "cumulative_flow", "cycle_time", "time_in_status", "churn"):
        analyse = getattr(analysis, name)
        assert_frame_equal(
            analyse(analysis.Given(transitions=mixed)), analyse(analysis.Given(transitions=history.transitions))
        )


def test_what_is_exported():
    functions = [name for name in analysis.__all__ if callable(getattr(analysis, name))]
    assert sorted(itertools.chain(functions, ["KINDS"])) == sorted(analysis.__all__)

"""The forecast: right where it can be worked out by hand, right as often as it says on builds whose truth is known."""

from __future__ import annotations

import itertools
import json
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from buildwidget.demo import prepare, write_instant
from buildwidget.history import read_history
from buildwidget.history.forecasting import Backtest, Forecast, backtest, forecast, what_if
from buildwidget.history.forecasting._durations import posterior
from buildwidget.history.forecasting._known import Known, Source
from buildwidget.history.forecasting._schedule import Work, finish_times
from buildwidget.history.forecasting._simulate import seconds_left
from tests.projects import Project
from tests.simulated_builds import FAMILIES, STATUSES, Item, SimulatedBuild, simulated_build, step_durations

T0 = datetime(2026, 3, 2, 8, 0, tzinfo=UTC)
QUANTILES = [round(0.05 * at, 2) for at in range(1, 20)]
TIME = "datetime64[us, UTC]"


def at(minutes: float) -> pd.Timestamp:
    return pd.Timestamp(T0 + timedelta(minutes=minutes))


def write(
    root: Path,
    looks: list[tuple[float, dict[str, str]]],
    *,
    needs: dict[str, list[str]] | None = None,
    minutes: dict[str, int] | None = None,
    kind: str = "features",
    parents: dict[str, str] | None = None,
    components: list[dict[str, Any]] | None = None,
) -> Any:
    """Write checkpoints, each at a minute with the status of items, and read them."""
    project = Project(root)
    for minute, statuses in looks:
        when = T0 + timedelta(minutes=minute)
        items = [
            {
                "id": name,
                "name": name,
                "status": status,
                "progress": 100 if status == "completed" else 0,
                "dependencies": (needs or {}).get(name, []),
                **({"estimated_minutes": minutes[name]} if minutes and name in minutes else {}),
                **({"component": parents[name]} if parents and name in parents else {}),
            }
            for name, status in statuses.items()
        ]
        name = f"checkpoint_{when:%Y%m%d_%H%M%S_%f}"
        metadata: dict[str, Any] = {"components": components or [], "features": []}
        metadata[kind] = items
        body = {
            "id": name,
            "timestamp": when.isoformat(timespec="microseconds").replace("+00:00", "Z"),
            "phase": "build",
            "tasks_completed": [],
            "files_created": [],
            "status": "created",
            "metadata": metadata,
        }
        project.write(f"checkpoints/{name}.json", json.dumps(body))
    return read_history(root)


def one_by_one(root: Path, count: int, done: int, *, minutes: float = 10, **options: Any) -> Any:
    """So many items, one after the other, each of them so long; at the end so many are done."""
    names = [f"item-{number:02d}" for number in range(count)]
    looks: list[tuple[float, dict[str, str]]] = []
    for turn in range(done + 1):
        working = turn < min(count, done + 1) and turn < count
        statuses = {
            name: "completed" if number < turn else "in_progress" if number == turn and working else "not_started"
            for number, name in enumerate(names)
        }
        looks.append((turn * minutes, statuses))
    return write(root, looks, **options)


def known(h: Any, moment: pd.Timestamp, kind: str = "feature") -> Known:
    session = str(h.sessions["session_id"].iloc[0])
    return Source.of(h, session, kind).at(int(moment.tz_localize(None).as_unit("us").to_datetime64().astype(np.int64)))


@pytest.fixture(scope="module")
def build() -> SimulatedBuild:
    return simulated_build(50_002, size=40, family="lognormal")


@pytest.fixture(scope="module")
def half(build: SimulatedBuild) -> SimpleNamespace:
    """A build half way through."""
    return build.tables(until=build.at(0.5))


# -- how often it is right --------------------------------------------------------------------------------------------


@pytest.mark.timeout(180)
def test_the_interval_holds_as_often_as_it_says() -> None:
    held: dict[str, list[bool]] = {family: [] for family in FAMILIES}
    for seed in range(200):
        build = simulated_build(seed)
        made = forecast(build.tables(), now=build.at(0.5), n=400)
        assert made.known, made.reason
        held[build.family].append(bool(made.finish_low <= build.finish <= made.finish_high))
    every = [one for family in held.values() for one in family]
    assert len(every) == 200
    assert 0.74 <= np.mean(every) <= 0.86, {family: np.mean(found) for family, found in held.items()}
    for family, found in held.items():  # a hundred of each: two standard errors more to both sides
        assert 0.68 <= np.mean(found) <= 0.92, family


def test_the_simulated_builds_are_what_they_say() -> None:
    builds = [simulated_build(seed) for seed in range(40)]
    assert {build.family for build in builds} == set(FAMILIES)
    assert {build.workers for build in builds} == {2, 3, 4}
    added = redone = items = 0
    for build in builds:
        last = {name: status for _, name, _, status in build.changes}
        assert set(last.values()) == {"completed"}
        first = {item.name for item in build.items if item.first_seen == 0}
        assert 20 <= len(first) <= 120
        items += len(first)
        added += len(build.items) - len(first)
        redone += len({name for _, name, before, _ in build.changes if before in {"completed", "error"}})
        busy, most = 0, 0
        for _, _, before, after in sorted(build.changes, key=lambda one: (one[0], one[3] == "in_progress")):
            busy += (after == "in_progress") - (before == "in_progress")
            most = max(most, busy)
        assert most == build.workers
    assert 0.05 < added / items < 0.2
    assert 0.05 < redone / items < 0.15
    durations = step_durations()
    assert len(durations) > 10
    assert max(durations) > 100 * min(durations)


@pytest.mark.parametrize("seed", [50_000, 50_001])
def test_simulated_frames_are_those_of_real_files(tmp_path: Path, seed: int) -> None:
    build = simulated_build(seed, size=20)
    made, read = build.tables(), read_history(build.write(tmp_path / "build"))
    assert made.present_ts == read.present_ts
    for name in ("transitions", "items", "dependencies"):
        theirs: pd.DataFrame = getattr(read, name)
        ours: pd.DataFrame = getattr(made, name)
        assert list(ours.columns) == list(theirs.columns)
        kinds = [(str(one), str(two)) for one, two in zip(ours.dtypes, theirs.dtypes, strict=True)]
        assert all(one == two for one, two in kinds), kinds
        ordered = [
            frame.sort_values(by, ignore_index=True) for frame, by in ((ours, _KEYS[name]), (theirs, _KEYS[name]))
        ]
        for column in ours.columns:
            values = [frame[column].astype("object").where(frame[column].notna(), None).tolist() for frame in ordered]
            assert values[0] == values[1], (name, column)
    moment = build.at(0.5)
    one, two = forecast(made, now=moment, n=100), forecast(read, now=moment, n=100)
    assert one.known
    assert np.array_equal(one.samples, two.samples)


_KEYS = {"transitions": ["seq"], "items": ["item_id"], "dependencies": ["item_id", "depends_on"]}


# -- what it gives ----------------------------------------------------------------------------------------------------


def test_what_is_given(half: SimpleNamespace) -> None:
    made = forecast(half, n=500)
    assert isinstance(made, Forecast)
    assert made.known
    assert made.reason == ""
    assert (made.level, made.n, made.kind) == (0.8, 500, "feature")
    assert made.now == half.present_ts
    assert made.remaining == int((half.items["status"] != "completed").sum())
    assert made.now < made.finish_low < made.finish_median < made.finish_high
    assert str(made.finish_low.tz) == "UTC"
    assert made.samples.shape == (500,)
    assert made.samples.dtype == np.dtype("datetime64[us]")
    within = (made.samples >= made.finish_low.to_datetime64()) & (made.samples <= made.finish_high.to_datetime64())
    assert within.mean() == pytest.approx(0.8, abs=0.01)
    frame = made.frame()
    assert frame["quantile"].tolist() == QUANTILES
    assert frame["finish"].dtype == TIME
    assert frame["finish"].is_monotonic_increasing
    assert frame["finish"].iloc[9] == made.finish_median
    pd.testing.assert_frame_equal(frame, made.data)
    with pytest.raises(AttributeError):
        made.level = 0.5  # type: ignore[misc]


def test_in_words() -> None:
    def made(low: str, median: str, high: str, remaining: int = 2) -> Forecast:
        low_, median_, high_ = (pd.Timestamp(one, tz="UTC") for one in (low, median, high))
        return Forecast(
            low_, median_, high_, 0.8, 10, low_, "task", remaining, True, "", np.zeros(10, dtype="datetime64[us]")
        )

    words = made("2026-03-02T14:05", "2026-03-02T15:12", "2026-03-02T16:40")
    assert repr(words) == "80 % between 14:05 and 16:40 UTC on 2026-03-02, half of the runs by 15:12; 2 tasks are left"
    assert words._repr_html_() == f"<p>{words!r}</p>"
    long = made("2026-03-02T14:05", "2026-03-02T15:12", "2026-03-03T16:40", 1)
    assert repr(long) == (
        "80 % between 2026-03-02 14:05 and 2026-03-03 16:40 UTC, half of the runs by 2026-03-02 15:12; 1 task is left"
    )
    short = made("2026-03-02T14:05:01", "2026-03-02T14:05:30", "2026-03-02T14:06:10")
    assert "between 14:05:01 and 14:06:10 UTC" in repr(short)


def test_the_same_seed_gives_the_same(half: SimpleNamespace) -> None:
    one, two = forecast(half, n=300, seed=7), forecast(half, n=300, seed=7)
    assert one == two
    assert np.array_equal(one.samples, two.samples)
    assert not np.array_equal(one.samples, forecast(half, n=300, seed=8).samples)


@given(st.lists(st.floats(0.01, 0.99), min_size=2, max_size=6, unique=True))
@settings(max_examples=10)
def test_intervals_are_nested(levels: list[float]) -> None:
    build = simulated_build(50_004, size=20)
    tables, moment = build.tables(), build.at(0.5)
    made = [forecast(tables, now=moment, level=level, n=200) for level in sorted(levels)]
    for narrow, wide in itertools.pairwise(made):
        assert wide.finish_low <= narrow.finish_low <= narrow.finish_median <= narrow.finish_high <= wide.finish_high
        assert np.array_equal(narrow.samples, wide.samples)


def test_both_backends_give_the_same(tmp_path: Path, build: SimulatedBuild) -> None:
    root = build.write(tmp_path / "build")
    moment = build.at(0.4)
    made = [
        forecast(read_history(root, dtype_backend=backend), now=moment, n=100)
        for backend in ("numpy_nullable", "pyarrow")
    ]
    assert made[0].known
    assert np.array_equal(made[0].samples, made[1].samples)


# -- when there is too little -----------------------------------------------------------------------------------------


def absent(made: Forecast) -> str:
    assert not made.known
    assert made.samples.shape == (0,)
    assert all(pd.isna(one) for one in (made.finish_low, made.finish_median, made.finish_high))
    frame = made.frame()
    assert len(frame) == 0
    assert frame.dtypes.astype(str).to_dict() == {"quantile": "float64", "finish": TIME}
    assert repr(made) == f"no forecast: {made.reason}"
    return made.reason


def test_absent_while_too_few_are_done(tmp_path: Path) -> None:
    h = one_by_one(tmp_path / "p", 12, 4)
    made = forecast(h)
    reason = absent(made)
    assert made.remaining == 8
    assert reason.startswith("4 of the 5 durations that are needed were seen")
    assert "when more of the 8 that are left are done" in reason
    assert forecast(one_by_one(tmp_path / "q", 12, 5)).known


def test_absent_when_nothing_is_left(tmp_path: Path) -> None:
    h = one_by_one(tmp_path / "p", 6, 6)
    assert absent(forecast(h)) == "nothing is left: all 6 features are done"
    assert forecast(h, now=at(50)).known


def test_absent_when_nobody_saw_the_work_begin(tmp_path: Path) -> None:
    names = [f"item-{number}" for number in range(10)]
    looks = [
        (10.0 * turn, {name: "completed" if at_ < turn else "not_started" for at_, name in enumerate(names)})
        for turn in range(8)
    ]
    reason = absent(forecast(write(tmp_path / "p", looks)))
    assert reason.startswith("7 features were completed of which it is not known when they began")


def test_absent_without_items(tmp_path: Path) -> None:
    h = write(tmp_path / "p", [(0, {})])
    assert absent(forecast(h)) == "there are no items yet"
    assert absent(forecast(h, kind="task")) == "no tasks are known at that time"
    assert backtest(h).reason == "there are no items yet"
    frame = what_if(h, workers=2)
    assert frame["median"].isna().all()
    assert frame.attrs["reason"] == "there are no items yet"


def test_absent_before_the_beginning(half: SimpleNamespace) -> None:
    made = forecast(half, now="2020-01-01T00:00Z")
    assert absent(made) == "there are no items yet"
    assert absent(forecast(half, now="2020-01-01T00:00Z", kind="feature")) == "no features are known at that time"


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"n": 0}, "n, the runs, must be a whole number from 1 to 1,000,000, got 0"),
        ({"n": 2.5}, r"got 2\.5"),
        ({"n": True}, "got True"),
        ({"level": 0}, "level must be a probability between 0 and 1, such as 0.8, got 0"),
        ({"level": 1.0}, r"got 1\.0"),
        ({"level": float("nan")}, "got nan"),
        ({"level": "80 %"}, "got '80 %'"),
        ({"seed": -1}, "seed must be a whole number of at least 0, got -1"),
        ({"kind": "features"}, "kind must be one of feature, task, component, phase, got 'features'"),
        ({"now": "2026-03-02T10:00"}, "now must have a zone, as 2026-03-01T09:00Z has"),
        ({"session_id": "other"}, "there is no build 'other'; there are: build"),
    ],
)
def test_arguments_out_of_range(half: SimpleNamespace, arguments: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        forecast(half, **arguments)


def test_several_builds(tmp_path: Path) -> None:
    for name in ("one", "two"):
        one_by_one(tmp_path / name, 10, 6 if name == "one" else 7)
    h = read_history([tmp_path / "one", tmp_path / "two"])
    with pytest.raises(ValueError, match=r"here are 2: name one as session_id= \(one, two\)"):
        forecast(h)
    assert forecast(h, session_id="one", now=at(200), n=50).remaining == 4
    assert forecast(h, session_id="two", now=at(200), n=50).remaining == 3


# -- what it knows, worked out by hand --------------------------------------------------------------------------------


def test_attempts_by_hand(tmp_path: Path) -> None:
    h = write(
        tmp_path / "p",
        [
            (0, {"a": "in_progress", "b": "not_started", "c": "not_started", "d": "not_started"}),
            (10, {"a": "completed", "b": "in_progress", "c": "not_started", "d": "not_started"}),
            (14, {"a": "completed", "b": "error", "c": "in_progress", "d": "not_started"}),
            (16, {"a": "completed", "b": "in_progress", "c": "paused", "d": "not_started"}),
            (22, {"a": "not_started", "b": "completed", "c": "in_progress", "d": "not_started"}),
            (30, {"a": "in_progress", "b": "completed", "c": "completed", "d": "completed"}),
            (40, {"a": "in_progress", "b": "completed", "c": "completed", "d": "skipped", "e": "not_started"}),
        ],
    )
    seen = known(h, at(50))
    assert seen.ids == ["a", "b", "c", "d", "e"]
    # a: 10; b: 4 until it failed, then 6; c: 16, its pause in it; d: between the looks at 22 and 30, so half of 8
    assert sorted(zip(seen.duration_item.tolist(), seen.duration.tolist(), strict=True)) == [
        *((0, 600.0), (1, 240.0), (1, 360.0), (2, 960.0), (3, 240.0)),
    ]
    assert seen.done.tolist() == [False, True, True, True, False]
    assert seen.running.tolist() == [True, False, False, False, False]
    assert seen.age[0] == 20 * 60
    assert np.isnan(seen.age[1:]).all()
    assert (seen.tried, seen.failed) == (5, 1)
    assert (seen.completions, seen.reopened, seen.reopened_after) == (4, 1, 12 * 60.0)  # a, after 12 minutes
    assert seen.since_done.tolist()[1:4] == [28 * 60, 20 * 60, 20 * 60]
    assert seen.added.tolist() == [1]  # e
    assert seen.added_until == 1.0
    assert seen.unseen == 1


def test_items_that_are_dropped_are_not_left(tmp_path: Path) -> None:
    names = {f"item-{number}": "completed" for number in range(6)}
    looks = [(0.0, dict.fromkeys(names, "in_progress") | {"x": "not_started", "y": "not_started"})]
    looks += [(10.0, names | {"x": "not_started", "y": "in_progress"}), (20.0, names | {"y": "in_progress"})]
    h = write(tmp_path / "p", looks)
    assert forecast(h, now=at(15), n=20).remaining == 2
    assert forecast(h, n=20).remaining == 1


def test_workers_by_hand(tmp_path: Path) -> None:
    # Two work while others wait, for 20 minutes; then one item is left, and that one works alone says nothing.
    looks = [
        (0.0, {"a": "in_progress", "b": "in_progress", "c": "not_started", "d": "not_started", "e": "not_started"}),
        (10.0, {"a": "completed", "b": "completed", "c": "in_progress", "d": "in_progress", "e": "not_started"}),
        (20.0, {"a": "completed", "b": "completed", "c": "completed", "d": "completed", "e": "in_progress"}),
    ]
    seen = known(write(tmp_path / "p", looks), at(200))
    assert (seen.workers, seen.workers_error, seen.idle) == (2.0, 0.0, 0.0)
    # Where e waits for d, nothing waited while it could have begun except in the first 10 minutes.
    seen = known(write(tmp_path / "q", looks, needs={"e": ["d"], "c": ["a"], "d": ["a"]}), at(30))
    assert seen.workers == 2.0


def test_nights_are_taken_into_account(tmp_path: Path) -> None:
    names = [f"item-{number}" for number in range(12)]

    def look(done: int, running: int | None) -> dict[str, str]:
        return {
            name: "completed" if number < done else "in_progress" if number == running else "not_started"
            for number, name in enumerate(names)
        }

    looks: list[tuple[float, dict[str, str]]] = []
    for number in range(6):  # ten minutes of work, ten of rest
        looks += [(20.0 * number, look(number, number)), (20.0 * number + 10, look(number + 1, None))]
    looks.append((120.0, look(6, None)))
    seen = known(write(tmp_path / "p", looks), at(120))
    assert seen.idle == pytest.approx(0.5)
    made = forecast(read_history(tmp_path / "p"))
    left = (made.finish_median - made.now) / pd.Timedelta(minutes=1)
    assert left == pytest.approx(120, rel=0.15)


def test_equal_items_in_a_row(tmp_path: Path) -> None:
    h = one_by_one(tmp_path / "p", 40, 30)
    made = forecast(h)
    left = [
        (one - made.now) / pd.Timedelta(minutes=1) for one in (made.finish_low, made.finish_median, made.finish_high)
    ]
    assert left[1] == pytest.approx(100, rel=0.1)
    assert 90 < left[0] < left[2] < 140


def test_estimates_tell_what_is_long(tmp_path: Path) -> None:
    # Half of the items take 5 minutes, half 50; each estimate is right. Short ones are left, or long ones.
    lengths = [5, 50] * 6

    def half_way(name: str, left: int) -> Forecast:
        looks: list[tuple[float, dict[str, str]]] = []
        names = [f"item-{number:02d}" for number in range(len(lengths))] + [f"rest-{number}" for number in range(6)]
        minutes = dict(zip(names, [*lengths, *[left] * 6], strict=True))
        for turn in range(len(lengths) + 1):
            statuses = {
                one: "completed" if number < turn else "in_progress" if number == turn else "not_started"
                for number, one in enumerate(names)
            }
            looks.append((float(sum(lengths[:turn])), statuses))
        return forecast(write(tmp_path / name, looks, minutes=minutes), n=500)

    short, long = half_way("short", 5), half_way("long", 50)
    hours = [(one.finish_median - one.now) / pd.Timedelta(minutes=1) for one in (short, long)]
    assert hours[0] == pytest.approx(30, rel=0.4)
    assert hours[1] == pytest.approx(300, rel=0.3)


def test_items_in_progress_go_on_from_their_age(tmp_path: Path) -> None:
    h = one_by_one(tmp_path / "p", 31, 30)  # the last one begins at minute 300
    soon = forecast(h, now=at(301), n=500)
    later = forecast(h, now=at(309), n=500)
    assert soon.finish_median - at(300) == pytest.approx(pd.Timedelta(minutes=10), rel=0.1)
    assert later.finish_low >= at(309)
    assert later.finish_median < at(320)
    # It is far beyond what any took: the longer it has taken, the longer it will.
    beyond = [forecast(h, now=at(minute), n=500) for minute in (340, 400)]
    left = [one.finish_median - one.now for one in beyond]
    assert pd.Timedelta(0) < left[0] < left[1]


def test_features_wait_for_their_components_dependencies(tmp_path: Path) -> None:
    components = [
        {"id": "base", "name": "base", "status": "in_progress", "dependencies": []},
        {"id": "top", "name": "top", "status": "not_started", "dependencies": ["base"]},
    ]
    names = [f"base-{number}" for number in range(8)] + [f"top-{number}" for number in range(4)]
    looks = [
        (10.0 * turn, {one: "completed" if at_ < turn else "in_progress" if at_ == turn else "not_started"
                       for at_, one in enumerate(names)})
        for turn in range(7)
    ]  # fmt: skip
    parents = {name: name.split("-")[0] for name in names}
    seen = known(write(tmp_path / "p", looks, components=components, parents=parents), at(60))
    edges = {(seen.ids[one], seen.ids[two]) for one, two in zip(seen.before, seen.after, strict=True)}
    assert edges == {(one, two) for one in names[:8] for two in names[8:]}


def test_what_failed_was_reopened_and_was_added_will_be_again(half: SimpleNamespace) -> None:
    seen = replace(known(half, half.present_ts), failed=0, reopened=0, reopened_after=0.0, added=np.zeros(0, dtype=int))

    def median(**changes: Any) -> float:
        return float(np.median(seconds_left(replace(seen, **changes), runs=1000, seed=0)))

    without = median()
    assert median(failed=8) > 1.2 * without
    assert median(reopened=8, reopened_after=8 * 60.0) > 1.1 * without
    one_each = median(added=np.ones(8, dtype=int), added_until=1.0)
    assert one_each > 1.1 * without
    assert median(added=np.array([8, 8]), added_until=1.0) > one_each
    # Eight came in the first tenth of the build and none since: it is over.
    assert median(added=np.ones(8, dtype=int), added_until=0.1) == pytest.approx(without, rel=0.05)


_MINUTES = st.none() | st.integers(0, 10**6)


@st.composite
def odd_builds(draw: st.DrawFn) -> SimulatedBuild:
    """Items that do anything at any time."""
    names = [f"item-{number}" for number in range(draw(st.integers(1, 8)))]
    items = [Item(name, draw(st.lists(st.sampled_from(names), max_size=2)), [], [], draw(_MINUTES)) for name in names]
    build = SimulatedBuild(0, "odd", 1, True, items)
    shown: dict[str, str | None] = {}
    for micros in sorted(draw(st.lists(st.integers(0, 10**11), min_size=1, max_size=40))):
        name = draw(st.sampled_from(names))
        status = draw(st.sampled_from([*STATUSES, "in_progress", "completed", *([None] if name in shown else [])]))
        build.changes.append((micros, name, shown.get(name), status))  # type: ignore[arg-type]
        shown[name] = status
    return build


@given(odd_builds(), st.floats(0, 1.5))
@settings(max_examples=60)
def test_whatever_happened_there_is_an_answer(build: SimulatedBuild, share: float) -> None:
    tables = build.tables()
    now = build.start + share * (tables.present_ts - build.start)
    made = forecast(tables, now=now, n=20)
    assert made.known == (not made.reason)
    if made.known:
        assert made.remaining > 0
        assert (made.samples >= made.now.tz_localize(None).to_datetime64()).all()
    assert len(what_if(tables, now=now, workers=[1, 2], n=20)) == 3
    found = backtest(tables, points=3, n=20)
    assert found.known == (not found.reason)


def test_many_items_in_progress() -> None:
    # More are in progress than are learnt from one by one: all of them go on from their age all the same.
    names = [f"item-{number:03d}" for number in range(160)]
    build = SimulatedBuild(0, "many", 1, True, [Item(name, [], [], [], None) for name in names])
    build.changes = [(number * 1000, name, None, "in_progress") for number, name in enumerate(names)]
    build.changes += [(60_000_000 * (10 + n), names[n], "in_progress", "completed") for n in range(100)]
    tables = build.tables()
    made = forecast(tables, n=300)
    assert made.remaining == 60
    assert made.finish_low > made.now
    assert made.finish_median < made.now + 10 * (made.now - build.start)
    rng = np.random.default_rng(0)
    ages = np.full(60, 109 * 60.0)
    duration = known(tables, made.now).duration
    _, logs = posterior(duration, np.zeros(100), ages, np.zeros(60), rng, 2000)
    lasts = np.median(np.exp(logs), axis=0)
    assert (np.exp(logs) > ages - 1e-6).all()
    assert lasts.max() < 1.5 * lasts.min()  # equal ages, equal prospects, by whichever way they were drawn


# -- the schedule -----------------------------------------------------------------------------------------------------


def schedule(takes: list[float], workers: int, edges: list[tuple[int, int]], going: list[float] | None = None) -> float:
    none = np.zeros((1, 0))
    pairs = np.array(edges, dtype=np.int64).reshape(-1, 2)
    work = Work(
        workers=np.array([workers]),
        going=np.array([going or []], dtype=np.float64),
        takes=np.array([takes], dtype=np.float64),
        before=pairs[:, 0],
        after=pairs[:, 1],
        extra_of=none,
        extra_lag=none,
        extra_takes=none,
    )
    return float(finish_times(work)[0])


def test_schedules_by_hand() -> None:
    assert schedule([], 2, []) == 0
    assert schedule([3, 3, 3], 1, []) == 9
    assert schedule([3, 3, 3], 2, []) == 6
    assert schedule([3, 3, 3], 3, []) == 3
    # 0 → 2, 1 → 2: 2 begins at 5, the third has the other worker from 3 on
    assert schedule([3, 5, 2, 10], 2, [(0, 2), (1, 2)]) == 13
    assert schedule([3, 5, 2], 3, [(0, 1), (1, 2)]) == 10
    # one in progress until 4 (number 1): the one that waits for it begins then, though a worker is free
    assert schedule([2], 2, [(1, 0)], going=[4]) == 6
    # three in progress and now only one worker: it is free when the last one ends
    assert schedule([2], 1, [], going=[4, 7, 1]) == 9
    assert schedule([2], 2, [], going=[4, 7, 1]) == 7


def test_work_that_comes_back_by_hand() -> None:
    def done(parent: int, lag: float) -> float:
        work = Work(
            workers=np.array([1]),
            going=np.zeros((1, 0)),
            takes=np.array([[3.0, 4.0]]),
            before=np.zeros(0, dtype=np.int64),
            after=np.zeros(0, dtype=np.int64),
            extra_of=np.array([[parent, -2]]),
            extra_lag=np.array([[lag, 0.0]]),
            extra_takes=np.array([[5.0, 100.0]]),
        )
        return float(finish_times(work)[0])

    assert done(0, 0) == 12
    assert done(1, 0) == 12
    assert done(1, 1) == 7  # after all is done nothing comes back
    assert done(-1, 6) == 12  # known now, comes while the second is in progress


@st.composite
def projects(draw: st.DrawFn) -> tuple[list[float], list[tuple[int, int]], int]:
    takes = draw(st.lists(st.floats(0.5, 100), min_size=1, max_size=12))
    places = st.integers(0, len(takes) - 1)
    edges = draw(st.lists(st.tuples(places, places), max_size=20))
    return takes, sorted({(min(one), max(one)) for one in edges if one[0] != one[1]}), draw(st.integers(1, 5))


@given(projects())
@settings(max_examples=80)
def test_no_schedule_is_shorter_than_it_can_be(case: tuple[list[float], list[tuple[int, int]], int]) -> None:
    takes, edges, workers = case
    longest = list(takes)
    for one, two in sorted(edges, key=lambda edge: edge[1]):
        longest[two] = max(longest[two], longest[one] + takes[two])
    path, work = max(longest), sum(takes)
    made = schedule(takes, workers, edges)
    assert made >= path - 1e-9
    assert made >= work / workers - 1e-9
    assert made <= work / workers + path * (workers - 1) / workers + 1e-9  # Graham's bound
    assert schedule(takes, 1, edges) == pytest.approx(work)
    assert schedule(takes, len(takes), edges) == pytest.approx(path)


def test_dependencies_are_respected(build: SimulatedBuild) -> None:
    tables = build.tables(until=build.at(0.3))
    items = tables.items
    left = items.loc[items["status"] == "not_started", "item_id"].tolist()
    chain = pd.DataFrame(
        {
            "session_id": pd.Categorical(["build"] * (len(left) - 1)),
            "kind": pd.Categorical(["feature"] * (len(left) - 1)),
            "item_id": pd.Categorical(left[1:]),
            "depends_on": pd.Categorical(left[:-1]),
            "known": pd.array([True] * (len(left) - 1), dtype="boolean"),
        }
    )
    free, chained = (
        forecast(SimpleNamespace(**{**vars(tables), "dependencies": edges}), n=300) for edges in (chain[:0], chain)
    )
    hours = [(one.finish_median - one.now) / pd.Timedelta(hours=1) for one in (free, chained)]
    assert hours[1] > 0.7 * build.workers * hours[0]
    # No run is shorter than so many of the shortest seen. (A run may have a few that are shorter: hence the half.)
    shortest = known(tables, tables.present_ts).duration.min()
    first = chained.samples.min() - chained.now.tz_localize(None).to_datetime64()
    assert first > np.timedelta64(round(0.5 * shortest * len(left)), "s")


def test_a_cycle_of_dependencies_holds_nothing_up(tmp_path: Path) -> None:
    needs = {"item-08": ["item-09"], "item-09": ["item-08"], "item-07": ["item-07", "unknown"]}
    made = forecast(one_by_one(tmp_path / "p", 10, 6, needs=needs), n=100)
    assert made.known
    assert made.remaining == 4


# -- what if ----------------------------------------------------------------------------------------------------------


def test_more_workers_are_never_later(half: SimpleNamespace, build: SimulatedBuild) -> None:
    frame = what_if(half, workers=[1, 2, 3, 4, 8], n=500)
    assert list(frame.columns) == ["scenario", "workers", "speedup", "low", "median", "high", "saved"]
    assert frame.dtypes.astype(str).to_dict() == {
        "scenario": "string",
        "workers": "Int64",
        "speedup": "Float64",
        **dict.fromkeys(("low", "median", "high"), TIME),
        "saved": "timedelta64[us]",
    }
    assert frame["scenario"].tolist() == ["as so far", "1 worker", *(f"{one} workers" for one in (2, 3, 4, 8))]
    assert frame["workers"].tolist() == [build.workers, 1, 2, 3, 4, 8]
    base = forecast(half, n=500)
    assert frame.loc[0, ["low", "median", "high"]].tolist() == [base.finish_low, base.finish_median, base.finish_high]
    same = frame.iloc[1:].set_index("workers").loc[build.workers]
    assert same["median"] == base.finish_median
    assert same["saved"] == pd.Timedelta(0)
    left = (frame["median"].iloc[1:] - half.present_ts) / pd.Timedelta(hours=1)
    assert (left.diff().iloc[1:] <= 0.01 * left.iloc[:-1].to_numpy()).all()  # Graham: more may be a little later
    assert left.iloc[0] > 1.5 * left.iloc[1]
    assert (frame["saved"] == frame["median"].iloc[0] - frame["median"]).all()


def test_twice_as_fast_takes_about_half(half: SimpleNamespace) -> None:
    frame = what_if(half, speedup=2, n=500)
    left = (frame["median"] - half.present_ts) / pd.Timedelta(hours=1)
    assert left[1] / left[0] == pytest.approx(0.5, abs=0.04)
    assert frame["scenario"].tolist() == ["as so far", "2 times as fast"]
    assert frame["speedup"].tolist() == [1.0, 2.0]
    slow = what_if(half, speedup=0.5, workers=3, n=500)
    assert slow["scenario"].tolist()[1] == "3 workers, 0.5 times as fast"
    assert slow["saved"][1] < pd.Timedelta(0)


def test_single_items_and_components_that_are_faster(tmp_path: Path) -> None:
    components = [{"id": "front", "name": "front", "status": "in_progress"}]
    names = [f"item-{number:02d}" for number in range(12)]
    parents = {name: "front" for name in names if name > "item-08"}
    h = one_by_one(tmp_path / "p", 12, 8, components=components, parents=parents)
    whole = what_if(h, speedup=2.0, n=300)
    parts = [what_if(h, speedup=one, n=300) for one in ({"item-10": 2.0}, {"front": 2.0}, {"front": 2.0, "item-08": 2})]
    saved = [frame["saved"][1] for frame in (*parts, whole)]
    assert pd.Timedelta(0) < saved[0] < saved[1] < saved[2] <= saved[3]
    assert parts[0]["scenario"][1] == "item-10 2 times as fast"
    assert parts[0]["speedup"].isna().tolist() == [False, True]
    # An item's own number comes before its component's.
    same = what_if(h, speedup={"front": 2.0, "item-10": 1.0}, n=300)
    assert saved[0] < same["saved"][1] < saved[1]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"workers": 0}, "workers must be a whole number from 1 to 10,000, got 0"),
        ({"workers": [2, 1.5]}, r"got 1\.5"),
        ({"speedup": 0}, "speedup must be a number above 0"),
        ({"speedup": "2"}, "speedup must be a number above 0"),
        ({"speedup": {"item-001": float("inf")}}, "got inf"),
        ({"speedup": {"nobody": 2}}, "speedup names 'nobody', which is no item and no component of the build"),
        ({"workers": 2, "level": 2}, "level must be"),
    ],
)
def test_scenarios_out_of_range(half: SimpleNamespace, arguments: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        what_if(half, **arguments)


# -- back in time -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("share", [0.2, 0.5, 0.8])
def test_what_comes_later_changes_nothing(build: SimulatedBuild, share: float) -> None:
    moment = build.at(share)
    one, two = (forecast(tables, now=moment, n=100) for tables in (build.tables(), build.tables(until=moment)))
    assert one == two
    assert np.array_equal(one.samples, two.samples)


def test_backtest(build: SimulatedBuild) -> None:
    made = backtest(build.tables(), points=10, n=200)
    assert isinstance(made, Backtest)
    assert made.known
    rows = made.rows
    assert rows.dtypes.astype(str).to_dict() == {
        "at": TIME,
        "share_of_build": "Float64",
        **dict.fromkeys(("low", "median", "high", "actual_finish"), TIME),
        "held": "boolean",
        "error": "timedelta64[us]",
    }
    assert len(rows) == 10
    assert rows["share_of_build"].iloc[[0, -1]].tolist() == pytest.approx([0.1, 0.95])
    assert (rows["actual_finish"] == build.finish).all()
    passed = (rows["at"] - build.start) / (build.finish - build.start)
    assert passed.tolist() == pytest.approx(rows["share_of_build"].tolist(), abs=1e-6)
    told = rows[rows["held"].notna()]
    assert made.n == len(told) > 5
    assert made.coverage == pytest.approx(told["held"].mean())
    assert told["held"].tolist() == ((told["low"] <= build.finish) & (build.finish <= told["high"])).tolist()
    assert (told["error"] == told["median"] - told["actual_finish"]).all()
    for row in told.itertuples():  # what it knew then
        then = forecast(build.tables(until=row.at), now=row.at, n=200)
        assert (then.finish_low, then.finish_median, then.finish_high) == (row.low, row.median, row.high)
    held = int(told["held"].sum())
    share = f"{made.coverage:.0%}"
    assert repr(made) == f"the 80 % interval held the finish at {held} of {made.n} moments ({share})"
    assert made._repr_html_() == f"<p>{made!r}</p>"


def test_moments_with_too_little_are_missing(tmp_path: Path) -> None:
    made = backtest(one_by_one(tmp_path / "p", 10, 10), points=18, n=50)  # from 10 to 95 %: every 5 minutes
    told = made.rows["held"].notna()
    assert told.tolist() == (made.rows["share_of_build"] >= 0.4999).tolist()  # the fifth ends half way
    assert made.n == int(told.sum())
    assert made.rows.loc[~told, ["low", "median", "high", "error"]].isna().all(axis=None)


def test_no_backtest_of_a_build_that_is_not_finished(half: SimpleNamespace, tmp_path: Path) -> None:
    made = backtest(half)
    assert not made.known
    assert len(made.rows) == 0
    assert made.n == 0
    assert np.isnan(made.coverage)
    assert made.reason.startswith("the build is not finished: ")
    assert "not started" in made.reason
    assert repr(made) == f"no backtest: {made.reason}"
    failed = write(tmp_path / "p", [(0, {"a": "in_progress"}), (5, {"a": "error"})])
    assert "1 of 1 features are left (1 error)" in backtest(failed).reason
    at_once = write(tmp_path / "q", [(0, {"a": "completed"})])
    assert backtest(at_once).reason == "all features were done when they were first seen"
    with pytest.raises(ValueError, match="points must be a whole number from 1 to 10,000, got 0"):
        backtest(half, points=0)


@pytest.mark.parametrize("scenario", ["success", "rollback"])
def test_real_histories(tmp_path: Path, scenario: str) -> None:
    project = prepare(tmp_path / "shop")
    write_instant(project, scenario, 0)
    h = read_history(project)
    made = backtest(h, kind="component", n=200)
    assert made.known
    assert made.n >= 5
    assert made.coverage >= 0.5
    assert not forecast(h).known
    then = forecast(h, now=h.transitions["ts"].iloc[0] + (h.present_ts - h.transitions["ts"].iloc[0]) / 2, n=200)
    assert then.kind == "feature"
    assert then.finish_high > then.finish_low > then.now


def test_backtest_of_real_files(tmp_path: Path) -> None:
    build = simulated_build(50_006, size=20, family="real")
    h = read_history(build.write(tmp_path / "build"))
    assert backtest(h, points=4, n=100).rows.equals(backtest(build.tables(), points=4, n=100).rows)


# -- numbers that nobody made up --------------------------------------------------------------------------------------


def test_a_failed_build_has_no_interval_but_a_reason(tmp_path: Path) -> None:
    write_instant(prepare(tmp_path / "p"), "failure", end=at(600).to_pydatetime())
    h = read_history(tmp_path / "p")
    for kind in (None, "feature", "component", "task"):
        made = forecast(h, n=20, kind=kind)
        assert not made.known
        assert "failed" in made.reason
        assert pd.isna(made.finish_low)


def test_what_is_left_is_blocked(tmp_path: Path) -> None:
    done = {f"item-{number}": "completed" for number in range(6)}
    looks = [(0.0, dict.fromkeys(done, "in_progress") | {"x": "not_started", "y": "not_started"})]
    looks += [(10.0, done | {"x": "blocked", "y": "not_started"})]
    made = forecast(write(tmp_path / "p", looks, needs={"y": ["x"]}), n=20)
    assert not made.known
    assert "1 blocked" in made.reason
    # Where y waits for nothing, it can be done.
    assert forecast(write(tmp_path / "q", looks), n=20).known


def test_an_interval_never_ends_before_now(tmp_path: Path) -> None:
    h = one_by_one(tmp_path / "p", 20, 12)
    for minute in (120, 125, 300, 5000):
        made = forecast(h, now=at(minute), n=200)
        assert made.known
        assert made.now <= made.finish_low <= made.finish_median <= made.finish_high


def test_a_recorded_duration_beats_an_observed_one(tmp_path: Path) -> None:
    write_instant(prepare(tmp_path / "p"), "success", end=at(600).to_pydatetime(), only_checkpoints=True)
    h = read_history(tmp_path / "p")
    seen = known(h, h.present_ts)
    said = h.items.query("kind == 'feature'").set_index("item_id")["actual"].dt.total_seconds()
    assert len(seen.duration) == 40
    for item, duration in zip(seen.duration_item.tolist(), seen.duration.tolist(), strict=True):
        assert duration == pytest.approx(said[seen.ids[item]], rel=0.01)
    assert 2.5 < seen.workers < 3.1


def test_a_start_that_nobody_saw_is_a_bound(tmp_path: Path) -> None:
    project = Project(tmp_path)
    for minute, status, progress in ((0, "not_started", 0), (60, "in_progress", 86), (70, "completed", 100)):
        when = at(minute)
        features = [{"id": "a", "name": "a", "status": status, "progress": progress}]
        features.append(
            {"id": "b", "name": "b", "status": "completed" if minute > 60 else "in_progress", "progress": 86}
        )
        project.checkpoint(f"checkpoint_{when:%Y%m%d_%H%M%S_%f}", features=features, timestamp=when.isoformat())
    seen = known(read_history(tmp_path), at(80))
    assert (seen.duration_least.tolist(), seen.duration_most.tolist()) == ([600.0], [4200.0])
    # Of b nobody knows how long it was under way before the first look.
    assert seen.over.tolist() == [4200.0]


@pytest.mark.timeout(180)
def test_the_interval_holds_on_the_builds_of_the_demo(tmp_path: Path) -> None:
    held: list[bool] = []
    for seed in range(20_000, 20_040):
        folder = prepare(tmp_path / str(seed))
        write_instant(folder, "success", seed, end=at(600).to_pydatetime(), only_checkpoints=True)
        h = read_history(folder, cache=False)
        features = h.transitions.query("kind == 'feature'")
        begin, end = features["ts"].min(), features.loc[features["to_status"] == "completed", "ts"].max()
        for share in (0.25, 0.5, 0.75):
            made = forecast(h, now=begin + share * (end - begin), n=300, kind="feature")
            held.append(bool(made.finish_low <= end <= made.finish_high))
    # Three forecasts of each of 40 builds: some two standard errors to both sides. The benchmark has 400.
    assert 0.68 <= np.mean(held) <= 0.92

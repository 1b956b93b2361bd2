"""The tables of a history: the same by every road, typed, complete, and never stopped by one odd file."""

from __future__ import annotations

import contextlib
import json
import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import buildwidget as bw
from buildwidget.demo import prepare, write_instant
from buildwidget.failures import failures_of
from buildwidget.history import History, _cache, read_history
from buildwidget.history._columns import micros
from buildwidget.history._scan import roots_of
from buildwidget.history._store import Stamp, Store
from buildwidget.history.tables import TABLES
from buildwidget.session import BuildSession
from buildwidget.systems import parse
from tests.corpus import samples
from tests.projects import Project, component, until

SCENARIOS = ["success", "failure", "stall", "rollback", "growth"]


@pytest.fixture(autouse=True)
def cache_of_its_own(tmp_path_factory, monkeypatch) -> Path:
    folder = tmp_path_factory.mktemp("cache")
    monkeypatch.setenv("XDG_CACHE_HOME", str(folder))
    return folder


def same(one: History, other: History, *, but: tuple[str, ...] = ()) -> None:
    """All tables are equal, types and categories included."""
    for name in TABLES:
        if name not in but:
            left, right = one.frame(name), other.frame(name)
            left.attrs = right.attrs = {}
            pd.testing.assert_frame_equal(left, right, obj=name)


def age(project: Path, seconds: float = 60, *, first: int = 0) -> None:
    """Make files older than the cache distrusts, from the first. The time of change cannot be set: wait for it."""
    changed = 0
    for number, path in enumerate(sorted(project.rglob("*.json"))[first:]):
        moment = time.time() - seconds + number * 1e-4
        os.utime(path, (moment, moment))
        changed = max(changed, path.stat().st_ctime_ns)
    deadline = time.monotonic() + 10
    while time.time_ns() <= changed + _cache.TICK_NS:
        assert time.monotonic() < deadline
        time.sleep(0.01)


def demo(folder: Path, scenario: str = "failure", seed: int = 3) -> Path:
    project = prepare(folder / scenario)
    write_instant(project, scenario, seed)
    return project


@contextlib.contextmanager
def opened(project: Path):
    """A session that watches a project until the end of the block."""
    session = BuildSession(project).open()
    try:
        yield session
    finally:
        session.close()


def stamp(number: int) -> str:
    return f"2026-03-01T{9 + number // 3600:02d}:{number // 60 % 60:02d}:{number % 60:02d}Z"


def name_of(number: int) -> str:
    return f"checkpoint_20260301_{9 + number // 3600:02d}{number // 60 % 60:02d}{number % 60:02d}_000000"


def write(
    project: Project, number: int, components: list[Any], features: list[Any] | None = None, **fields: Any
) -> Path:
    return project.checkpoint(name_of(number), components, features, timestamp=stamp(number), **fields)


def told(frame: pd.DataFrame, *names: str) -> list[tuple[Any, ...]]:
    """Some columns as plain rows; what is missing is None."""
    chosen = frame[list(names)].astype(object)
    return list(chosen.where(chosen.notna(), None).itertuples(index=False, name=None))


def reads(monkeypatch) -> list[str]:
    """The checkpoints that are read from now on."""
    read: list[str] = []
    add_many = Store.add_many

    def note(self, root, files):
        read.extend(path for path, _, _ in files)
        return add_many(self, root, files)

    monkeypatch.setattr(Store, "add_many", note)
    return read


# -- one history, every road -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("scenario", SCENARIOS)
def test_every_road_gives_the_same(tmp_path, scenario) -> None:
    project = demo(tmp_path, scenario)
    age(project)
    cold = read_history(project, cache=False)
    assert len(cold.checkpoints) > 40
    assert len(cold.transitions) > 100
    same(cold, read_history(project, cache=False, processes=2))
    first = read_history(project)  # fills the cache
    assert _cache.place_of(roots_of(project)[0]).is_file()
    warm = read_history(project)
    same(cold, first)
    same(cold, warm)
    with opened(project) as session:
        same(cold, read_history(session))


def test_a_warm_read_reads_only_what_changed(tmp_path, monkeypatch) -> None:
    project = Project(tmp_path / "shop")
    for number in range(300):
        write(project, number, [component("api", number / 3), component("web", 10)])
    age(project.root)
    read_history(project.root)
    paths = sorted((project.dir / "checkpoints").iterdir())
    replaced = json.loads(paths[100].read_text())
    replaced["metadata"]["components"] = [component("api", 99), component("new", 1, description="A new one")]
    project.replace(paths[100], replaced)
    paths[200].unlink()
    write(project, 400, [component("api", 100, "completed")])
    age(project.root, 30, first=100)  # those before are as they were
    read = reads(monkeypatch)
    warm = read_history(project.root)
    assert len(read) == 200
    same(read_history(project.root, cache=False), warm)
    read.clear()
    same(read_history(project.root), warm)
    assert name_of(100) in " ".join(read) or not read


def test_ten_changed_files_are_ten_that_are_read(tmp_path, monkeypatch) -> None:
    project = Project(tmp_path / "shop")
    for number in range(50):
        write(project, number, [component("api", number)])
    age(project.root)
    read_history(project.root)
    for number in range(0, 50, 5):
        path = write(project, number, [component("api", 77)])
        os.utime(path, (time.time() - 30, time.time() - 30 + number))
    read = reads(monkeypatch)
    warm = read_history(project.root)
    assert len(read) == 10
    same(warm, read_history(project.root, cache=False))


def test_a_live_history_grows(tmp_path) -> None:
    project = Project(tmp_path / "shop")
    write(project, 0, [component("api", 10)])
    with opened(project.root) as session:
        until(lambda: session.loaded)
        history = read_history(session)
        assert len(history.checkpoints) == 1
        for number in range(1, 20):
            write(project, number, [component("api", 10 + number), component("web", number)])
        project.write("features.json", {"project": "Shop", "features": [{"id": "pay", "status": "complete"}]})
        until(lambda: len(history.checkpoints) == 21)
        same(history, read_history(project.root, cache=False))
        assert history.checkpoints.attrs == {"epoch": session.epoch, "seq": session.seq}
        write(project, 19, [component("api", 100, "completed")])  # the same file once more
        until(lambda: len(history.checkpoints) == 22)
        versions = history.checkpoints.loc[lambda t: t.checkpoint_id == name_of(19), "version"].tolist()
        assert versions == [1, 2]
        assert told(history.items.loc[lambda t: t.item_id == "api"], "status", "progress") == [("completed", 100.0)]
        os.unlink(project.dir / "features.json")
        until(lambda: "pay" not in history.items.item_id.tolist())
        assert "pay" in history.features.feature_id.tolist()  # it was there
    assert len(history.checkpoints) == 22


def test_the_history_of_a_widget(tmp_path) -> None:
    project = demo(tmp_path, "success")
    widget = bw.watch(project)
    try:
        history = widget.history
        assert history is widget.history
        until(lambda: widget.session.loaded)
        same(history, read_history(project, cache=False))
        present = widget.components
        mine = history.items.loc[lambda t: t.kind == "component"]
        assert mine.item_id.tolist() == present.component_id.tolist()
        assert mine.status.tolist() == present.status.tolist()
        assert mine.progress.tolist() == present.progress.tolist()
        assert history.sessions.percent.tolist() == [widget.percent]
    finally:
        widget.close()


@pytest.mark.parametrize("scenario", SCENARIOS)
def test_the_present_is_that_of_the_live_view(tmp_path, scenario) -> None:
    project = demo(tmp_path, scenario)
    history = read_history(project, cache=False)
    with opened(project) as session:
        until(lambda: session.loaded)
        state = session.snapshot()
    expected = {
        (kind, getattr(item, field)): (item.status.value, item.progress)
        for kind, field, items in (
            ("component", "component_id", state.components),
            ("feature", "feature_id", state.features),
            ("task", "task_id", state.tasks),
        )
        for item in items
    }
    items = history.items.loc[lambda t: t.kind != "phase"]
    found = {(kind, item): rest for kind, item, *rest in told(items, "kind", "item_id", "status", "progress")}
    assert {key: tuple(rest) for key, rest in found.items()} == expected
    (session_row,) = told(history.sessions, "status", "percent", "phase")
    assert session_row == (state.session.status.value, state.progress.percent, state.session.phase)


@pytest.mark.parametrize("scenario", SCENARIOS)
def test_the_last_transition_of_every_item_is_its_present_state(tmp_path, scenario) -> None:
    history = read_history(demo(tmp_path, scenario), cache=False)
    moves = history.transitions
    assert moves.seq.tolist() == list(range(1, len(moves) + 1))
    assert moves.ts.is_monotonic_increasing
    last = moves.groupby(["kind", "item_id"], observed=True).last(skipna=False)
    alive = last[last.to_status.notna()]
    items = history.items.set_index(["kind", "item_id"])
    assert set(alive.index) == set(items.index)
    for key, row in alive.iterrows():
        assert (row.to_status, row.progress) == (items.loc[key, "status"], items.loc[key, "progress"]), key
    chained = moves.assign(before=moves.groupby(["kind", "item_id"], observed=True).to_status.shift())
    follows = chained[chained.from_status.notna()]
    assert (follows.from_status.astype(object) == follows.before.astype(object)).all()


# -- the quick road and the careful one ------------------------------------------------------------------------------

TIMES = st.sampled_from([None, "", "2026-03-01T09:00:00Z", "2026-03-01T10:00:00.123+02:00", "2026-03-01", "soon", 5])
STATUSES = st.sampled_from(["pending", "IN PROGRESS", "done", "failed", "skipped", "blocked", "whatever", None, 3])
PROGRESS = st.sampled_from([0, 12.34, 50, 99.99, 100, None, 150, -1, "40", True])
IDS = st.sampled_from(["a", "b", "c", "ä", "", None, 7])
COMPONENTS = st.fixed_dictionaries(
    {"id": IDS, "status": STATUSES},
    optional={
        "name": st.sampled_from(["A", "", None, 5]),
        "type": st.sampled_from(["api", "service", None]),
        "progress": PROGRESS,
        "dependencies": st.lists(st.sampled_from(["a", "b", "c"]), max_size=2),
        "files": st.lists(st.sampled_from(["x.py", "y.py"]), max_size=2),
        "testsPass": st.sampled_from([True, False, None, "yes"]),
        "tests_pass": st.sampled_from([True, None]),
        "startTime": TIMES,
        "end_time": TIMES,
        "started_at": TIMES,
        "component_type": st.just("other"),
        "error": st.sampled_from([None, "it broke", {"message": "it broke"}]),
        "errorMessage": st.just("it broke"),
        "unknown": st.just({"deep": [1]}),
    },
)
CHECKLISTS = st.lists(
    st.fixed_dictionaries(
        {"id": st.sampled_from(["1", "2"]), "completed": st.booleans()},
        optional={"timestamp": TIMES, "name": st.just("n")},
    ),
    max_size=3,
)
FEATURES = st.fixed_dictionaries(
    {"id": IDS, "status": STATUSES},
    optional={
        "name": st.just("F"),
        "description": st.just("What it is"),
        "component": st.sampled_from(["a", None]),
        "componentId": st.just("b"),
        "priority": st.sampled_from(["high", None, 1]),
        "progress": PROGRESS,
        "tasks": CHECKLISTS,
        "dependencies": st.lists(st.sampled_from(["a", "b", "c"]), max_size=2),
        "estimatedTime": st.sampled_from([30, 1.5, None, "2h", -3]),
        "estimated_minutes": st.just(10),
        "actual_time": st.sampled_from([12, None]),
        "error": st.sampled_from([None, "it broke"]),
    },
)
FILES = st.fixed_dictionaries(
    {
        "timestamp": st.sampled_from(
            ["2026-03-01T09:00:00Z", "2026-03-01T09:00:00.5+01:00", "never", None, 1_772_355_600]
        )
    },
    optional={
        "id": st.sampled_from(["checkpoint_1", "", None]),
        "phase": st.sampled_from(["build_1_start", "build_2_complete", None, 4]),
        "status": st.sampled_from(["created", "active", "rolled_back", "failed", None]),
        "tasks_completed": st.sampled_from([[], ["t1", "t1"], ["t1", "t2"], "t1", None, [1]]),
        "filesCreated": st.just(["z.py"]),
        "files_created": st.sampled_from([[], ["x.py"], None]),
        "components": st.lists(COMPONENTS, max_size=3),
        "features": st.lists(FEATURES, max_size=3),
        "metadata": st.one_of(
            st.none(),
            st.just("text"),
            st.fixed_dictionaries({}, optional={"components": st.lists(COMPONENTS, max_size=3), "name": st.just("n")}),
        ),
        "error": st.just("it broke"),
    },
)


@settings(max_examples=300, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(FILES, min_size=1, max_size=3))
def test_the_quick_road_says_what_the_careful_one_says(bodies) -> None:
    """Where `add_plain` takes a file, every table is as when `systems` reads it."""
    from buildwidget.history._scan import Root

    stores = [Store([Root("shop", Path("/nowhere/shop"))]) for _ in range(2)]
    at = Stamp(100, 1_772_442_000_000_000_000, 0, 1)
    for number, body in enumerate(bodies):
        path = f".buildrunner/checkpoints/checkpoint_{number}.json"
        data = json.dumps(body, ensure_ascii=False).encode()
        if stores[0].add_plain(0, path, data, at):
            stores[1].add(0, path, data, at, plain=False)
    quick, careful = (History(store) for store in stores)
    same(quick, careful, but=("terminal",))
    for store in stores[1:]:  # what has something odd in it, but for an unknown word, is never taken quickly
        assert {code for _, _, code, _ in store.warnings} <= {"unknown_word"}


def test_nearly_all_files_go_the_quick_road(tmp_path) -> None:
    project = demo(tmp_path, "success")
    store = Store(roots_of(project))
    paths = sorted((project / ".buildrunner/checkpoints").iterdir())
    taken = [
        store.add_plain(
            0, f".buildrunner/checkpoints/{path.name}", path.read_bytes(), Stamp(1, path.stat().st_mtime_ns, 0, 1)
        )
        for path in paths
    ]
    assert all(taken)
    assert len(store.items["feature"].pool) < 0.5 * len(store.items["feature"].codes)  # most are seen again


# -- what is in the tables -------------------------------------------------------------------------------------------


def test_checkpoints_and_their_lists(tmp_path) -> None:
    project = Project(tmp_path / "shop")
    write(project, 0, [], tasks_completed=["t1"], files_created=["a.py", "b.py"], phase="build_1_start")
    write(project, 60, [component("api", 40)], tasks_completed=["t1", "t2"], status="active", phase=None)
    history = read_history(project.root, cache=False)
    assert told(history.checkpoints, "checkpoint_id", "shape", "phase", "status", "build_status", "percent") == [
        (name_of(0), "checkpoint", "build_1_start", "created", "in_progress", None),
        (name_of(60), "checkpoint", None, "active", "in_progress", 40.0),
    ]
    assert told(history.checkpoints, "n_components", "n_tasks_completed", "n_files_created") == [(0, 1, 2), (1, 2, 0)]
    assert told(history.checkpoint_tasks, "checkpoint_id", "position", "task") == [
        (name_of(0), 1, "t1"),
        (name_of(60), 1, "t1"),
        (name_of(60), 2, "t2"),
    ]
    assert told(history.checkpoint_files, "position", "file_path") == [(1, "a.py"), (2, "b.py")]
    assert history.checkpoints.ts.tolist() == [pd.Timestamp(stamp(0)), pd.Timestamp(stamp(60))]


def test_types(tmp_path) -> None:
    history = read_history(demo(tmp_path), cache=False)
    empty = read_history(Project(tmp_path / "empty").root, cache=False)
    for name in TABLES:
        full, none = history.frame(name), empty.frame(name)
        assert (
            full.dtypes.map(str).map(lambda text: text.split("(")[0]).to_dict()
            == none.dtypes.map(str).map(lambda text: text.split("(")[0]).to_dict()
            or name == "sessions"
        )
        assert list(full) == list(TABLES[name])
        for column, kind in TABLES[name].items():
            dtype = full[column].dtype
            if kind == "time":
                assert str(dtype) == "datetime64[us, UTC]"
            elif kind == "duration":
                assert str(dtype) == "timedelta64[us]"
            elif kind == "status":
                assert dtype.ordered
                assert list(dtype.categories)[:3] == ["not_started", "in_progress", "completed"]
    assert len(empty.sessions) == 1
    arrow = read_history(demo(tmp_path / "two"), cache=False, dtype_backend="pyarrow")
    assert str(arrow.components.progress.dtype) == "double[pyarrow]"
    assert str(arrow.components.ts.dtype) == "timestamp[us, tz=UTC][pyarrow]"
    assert arrow.components.status.dtype.ordered
    with pytest.raises(ValueError, match="numpy_nullable, pyarrow"):
        read_history(tmp_path, dtype_backend="numpy")


def test_a_frame_is_the_callers_own(tmp_path) -> None:
    history = read_history(demo(tmp_path), cache=False)
    frame = history.items
    frame["progress"] = 0.0
    frame.loc[0, "name"] = None
    assert (history.items.progress > 0).any()


def test_transitions_of_a_small_build(tmp_path) -> None:
    project = Project(tmp_path / "shop")
    write(project, 0, [component("api", 0, "pending"), component("web", 0, "pending")])
    write(project, 60, [component("api", 50, "running", startTime=stamp(30)), component("web", 0, "pending")])
    write(project, 120, [component("api", 50, "running", startTime=stamp(30)), component("web", 10, "running")])
    write(project, 180, [component("api", 100, "done", startTime=stamp(30), endTime=stamp(150))])
    write(project, 240, [component("api", 70, "failed"), component("db", 100, "done", startTime=stamp(200))])
    moves = read_history(project.root, cache=False).transitions
    second = [round((ts - pd.Timestamp(stamp(0))).total_seconds()) for ts in moves.ts]
    rows = told(moves, "item_id", "from_status", "to_status", "progress", "source")
    assert list(zip(second, rows, strict=True)) == [
        (0, ("api", None, "not_started", 0.0, "checkpoint")),
        (0, ("web", None, "not_started", 0.0, "checkpoint")),
        (30, ("api", "not_started", "in_progress", 50.0, "times")),
        (120, ("web", "not_started", "in_progress", 10.0, "checkpoint")),
        (150, ("api", "in_progress", "completed", 100.0, "times")),
        (180, ("web", "in_progress", None, 10.0, "checkpoint")),
        (200, ("db", None, "in_progress", 0.0, "times")),
        (240, ("api", "completed", "error", 70.0, "checkpoint")),
        (240, ("db", "in_progress", "completed", 100.0, "checkpoint")),
    ]


def test_a_rollback_is_told_and_the_work_after_it(tmp_path) -> None:
    project = Project(tmp_path / "shop")
    write(project, 0, [component("api", 20)], status="active")
    write(project, 60, [component("api", 60)], status="rolled_back")
    write(project, 120, [component("api", 100, "done")], status="rolled_back")
    history = read_history(project.root, cache=False)
    rows = told(history.transitions, "to_status", "progress", "source")
    assert rows == [
        ("in_progress", 20.0, "checkpoint"),
        ("in_progress", 60.0, "checkpoint"),
        ("completed", 100.0, "checkpoint"),
        ("in_progress", 20.0, "rollback"),
    ]
    assert history.items.progress.tolist() == [20.0]
    write(project, 180, [component("api", 30)])
    rows = told(read_history(project.root, cache=False).transitions, "progress", "source", "checkpoint_id")
    assert rows[-2:] == [(20.0, "rollback", name_of(0)), (30.0, "checkpoint", name_of(180))]


def test_several_projects(tmp_path) -> None:
    for number, name in enumerate(["one", "two"]):
        project = Project(tmp_path / "builds" / name)
        write(project, 60 * number, [component("api", 10 + number)])
    for wanted in (tmp_path / "builds", f"{tmp_path}/builds/*", [tmp_path / "builds/one", tmp_path / "builds/two"]):
        history = read_history(wanted, cache=False)
        assert told(history.components, "session_id", "component_id", "progress") == [
            ("one", "api", 10.0),
            ("two", "api", 11.0),
        ]
        assert history.sessions.session_id.tolist() == ["one", "two"]
        assert len(history.transitions) == 2
    same(read_history(tmp_path / "builds", cache=False), read_history(tmp_path / "builds", cache=False, processes=2))


def test_the_folder_of_checkpoints_alone(tmp_path) -> None:
    project = Project(tmp_path / "shop")
    write(project, 0, [component("api", 10)])
    project.write("features.json", {"features": [{"id": "pay"}]})
    history = read_history(project.dir / "checkpoints", cache=False)
    assert history.checkpoints["shape"].tolist() == ["checkpoint"]
    with pytest.raises(FileNotFoundError, match="nothing matches"):
        read_history(f"{tmp_path}/no*such")
    with pytest.raises(FileNotFoundError, match="no folder"):
        read_history(tmp_path / "nowhere")
    (tmp_path / "bare").mkdir()
    with pytest.raises(FileNotFoundError, match="no build"):
        read_history(tmp_path / "bare")


def test_the_output_of_the_build(tmp_path) -> None:
    project = Project(tmp_path / "shop")
    project.write("logs/build.log", "one\ntwo\r2 of 2\n\x1b[31mred\x1b[0m\nlast")
    lines = read_history(project.root, cache=False).terminal
    assert lines.line.tolist() == [1, 2, 3, 4]
    assert lines.text.tolist()[:2] == ["one", "2 of 2"]
    assert lines.text.tolist()[3] == "last"


# -- odd files -------------------------------------------------------------------------------------------------------


def test_one_odd_file_costs_only_itself_and_is_named(tmp_path) -> None:
    project = Project(tmp_path / "shop")
    for number in range(200):
        write(project, number, [component("api", number / 2)])
    folder = project.dir / "checkpoints"
    (folder / "checkpoint_20260301_100000_000001.json").write_text('{"id": "cut')
    (folder / "checkpoint_20260301_100000_000002.json").write_bytes(b"")
    (folder / "checkpoint_20260301_100000_000003.json").write_bytes(b'{"id": "x", "phase": "\xff"}')
    (folder / "checkpoint_20260301_100000_000004.json").write_text('[{"id": 1}]')
    os.mkfifo(folder / "checkpoint_20260301_100000_000005.json")
    (folder / "checkpoint_20260301_100000_000006.json").symlink_to("/etc/passwd")
    write(project, 5, [component("api", "half")], [{"id": "pay", "estimatedTime": "2h"}])
    age_only = [path for path in folder.iterdir() if path.is_file() and not path.is_symlink()]
    for path in age_only:
        os.utime(path, (time.time() - 60, time.time() - 60))
    for processes in (1, 2):
        history = read_history(project.root, cache=False, processes=processes)
        assert len(history.checkpoints) == 200
        warned = dict(told(history.warnings, "file_path", "code"))
        assert {Path(path).stem[-1]: code for path, code in warned.items() if "_1000" in path} == {
            "1": "not_json",
            "2": "empty",
            "3": "not_utf8",
            "4": "not_object",
            "5": "not_a_file",
            "6": "outside",
        }
        odd = history.warnings.loc[lambda t: t.file_path.str.contains(name_of(5))]
        assert odd.message.str.cat(sep=" ").count("read as unknown") == 2
        assert told(history.features, "feature_id", "estimated") == [("pay", None)]
    same(history, read_history(project.root, cache=False, processes=1))
    read_history(project.root)
    same(history, read_history(project.root))


def test_names_that_are_no_text(tmp_path) -> None:
    project = Project(tmp_path / "shop")
    write(project, 0, [component("api", 10)])
    path = os.fsencode(project.dir / "checkpoints") + b"/checkpoint_\xff.json"
    body = json.dumps({"id": "odd", "timestamp": stamp(60), "metadata": {"components": [component("api", 20)]}})
    with open(path, "w") as file:
        file.write(body)
    history = read_history(project.root, cache=False)
    assert history.components.progress.tolist() == [10.0, 20.0]
    assert len(history.arrow("checkpoints")) == 2
    assert history.checkpoints.file_path.iloc[1].endswith("checkpoint_\\xff.json")


def test_all_kinds_of_files(tmp_path) -> None:
    """Every file of a project, each in its place; values that are odd are nulls with a warning."""
    project = Project(tmp_path / "real")
    for file in samples():
        file.write(project.root)
    history = read_history(project.root, cache=False)
    inside = {file.path for file in samples() if file.path.startswith(".buildrunner/")}
    assert len(history.checkpoints) == len(inside)
    for name in TABLES:
        assert list(history.frame(name)) == list(TABLES[name])
    assert history.transitions.ts.notna().all()
    assert set(history.items.kind) >= {"phase", "task", "feature"}


# -- the cache -------------------------------------------------------------------------------------------------------


@pytest.fixture
def cached(tmp_path) -> tuple[Path, Path]:
    project = Project(tmp_path / "shop")
    for number in range(30):
        write(project, number, [component("api", number)])
    age(project.root)
    read_history(project.root)
    place = _cache.place_of(roots_of(project.root)[0])
    assert place.is_file()
    return project.root, place


@pytest.mark.parametrize("damage", ["empty", "cut", "noise", "other", "turned"])
def test_a_damaged_cache_is_read_over(cached, damage) -> None:
    project, place = cached
    data = place.read_bytes()
    rng = random.Random(1)
    place.write_bytes(
        {
            "empty": b"",
            "cut": data[: len(data) // 2],
            "noise": rng.randbytes(5000),
            "other": data[:8] + rng.randbytes(len(data) - 16) + data[-8:],
            "turned": data[:200] + bytes(byte ^ 255 for byte in data[200:400]) + data[400:],
        }[damage]
    )
    assert len(read_history(project).components) == 30
    assert place.read_bytes()[:8] == data[:8]


def test_a_cache_that_cannot_be_written_is_no_error(cached, monkeypatch) -> None:
    project, place = cached
    place.unlink()

    def full(*_: object, **__: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(_cache, "_write", full)
    assert len(read_history(project).components) == 30
    assert list(place.parent.iterdir()) == []


def test_a_writer_that_is_killed_leaves_the_old_cache(cached) -> None:
    project, place = cached
    before = place.read_bytes()
    code = (
        "import sys, time\n"
        "from buildwidget.history import _cache, read_history\n"
        "def slow(file, *_):\n"
        "    file.write(b'half'); file.flush(); print('writing', flush=True); time.sleep(60)\n"
        "_cache._write = slow\n"
        "_cache.load = lambda *_: None\n"
        f"read_history({str(project)!r})\n"
    )
    process = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True)
    assert process.stdout.readline().strip() == "writing"
    process.send_signal(signal.SIGKILL)
    process.wait(10)
    process.stdout.close()
    assert place.read_bytes() == before
    (left,) = [path for path in place.parent.iterdir() if path != place]
    os.utime(left, (1, 1))
    write(Project(project, make=False), 31, [component("api", 99)])
    age(project, 50)
    assert len(read_history(project).components) == 31
    place.unlink()
    read_history(project)
    assert [path.name for path in place.parent.iterdir()] == [place.name]


def test_two_readers_at_once(cached) -> None:
    project, place = cached
    place.unlink()
    code = (
        "from buildwidget.history import read_history\n"
        f"h = read_history({str(project)!r})\n"
        "print(len(h.components), len(h.transitions))\n"
    )
    readers = [subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True) for _ in range(3)]
    assert {reader.communicate(timeout=60)[0] for reader in readers} == {"30 30\n"}
    assert place.is_file()


def test_a_file_as_young_as_the_cache_is_read_again(tmp_path) -> None:
    """It may be changed again without a difference in time, size or inode."""
    project = Project(tmp_path / "shop")
    path = write(project, 0, [component("api", 11)])
    read_history(project.root)
    stat = path.stat()
    path.write_text(path.read_text().replace("11", "22"))
    os.utime(path, ns=(stat.st_atime_ns, stat.st_mtime_ns))
    assert read_history(project.root).components.progress.tolist() == [22.0]


@pytest.mark.parametrize("kept", ["once", "twice"])
def test_a_change_that_keeps_size_and_time_is_read(tmp_path, kept) -> None:
    """As `rsync -t --inplace` or a script that sets the time back leaves it: the same name, size, mtime and inode."""
    project = Project(tmp_path / "shop")
    path = write(project, 0, [component("api", 11)])
    write(project, 1, [component("api", 55)])
    age(project.root)
    assert read_history(project.root).components.progress.tolist() == [11.0, 55.0]
    assert _cache.place_of(roots_of(project.root)[0]).is_file()
    for progress in ("22", "33") if kept == "twice" else ("22",):
        before = path.stat()
        with path.open("r+") as file:
            text = file.read().replace("22" if progress == "33" else "11", progress)
            file.seek(0)
            file.write(text)
        os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))
        after = path.stat()
        assert [after.st_size, after.st_mtime_ns, after.st_ino] == [before.st_size, before.st_mtime_ns, before.st_ino]
        assert read_history(project.root).components.progress.tolist() == [float(progress), 55.0]


# -- copies -----------------------------------------------------------------------------------------------------------


def at(number: int) -> pd.Timestamp:
    return pd.Timestamp(stamp(number))


def touch(project: Path, moment: str, step: float = 0.0) -> None:
    """Set the modification times of all files, so many seconds apart."""
    first = pd.Timestamp(moment).timestamp()
    for number, path in enumerate(sorted(path for path in project.rglob("*") if path.is_file())):
        os.utime(path, (first + number * step,) * 2)


@pytest.mark.parametrize("cache", [False, True])
@pytest.mark.parametrize("step", [0.0, 7.0])
def test_nothing_ends_when_a_folder_was_copied(tmp_path, step, cache) -> None:
    """The time of the copy is in no table, whether all files have it or each its own."""
    project = Project(tmp_path / "shop")
    write(project, 0, [component("api", 50)])
    write(project, 600, [component("api", 100, "completed")])
    project.write("current-phase.json", {"phase": 1})
    project.write("locks/phase-1/progress.json", {"phase": 1, "status": "completed"})
    project.write("workflows/workflow_0a_checkpoint.json", {"workflow_id": "0a", "completed_items": ["i"]})
    touch(project.root, "2026-04-20T12:00:00Z", step)
    last = at(600)
    with opened(project.root) as session:
        histories = [read_history(project.root, cache=cache), read_history(session)]
        until(lambda: session.snapshot().session.ended_at)
        live = session.snapshot().session
    for history in histories:
        row = history.sessions.iloc[0]
        assert row.status == live.status.value == "completed"
        assert row.started_at == live.started_at == at(0)
        assert row.ended_at == live.ended_at == last
        assert row.last_ts == history.present_ts == last
        assert history.transitions.ts.max() == history.checkpoints.ts.max() == last
        assert history.items.last_changed.max() == last
        assert set(history.plot.timeline(kind="component").data.ended) == {last}


def test_a_file_that_states_no_time_is_as_old_as_its_modification_where_nothing_was_copied(tmp_path) -> None:
    project = Project(tmp_path / "shop")
    os.utime(write(project, 0, [component("api", 50)]), (at(0).timestamp(),) * 2)
    path = project.write("locks/phase-1/progress.json", {"phase": 1, "status": "completed"})
    os.utime(path, (at(900).timestamp(),) * 2)
    history = read_history(project.root, cache=False)
    assert history.present_ts == history.sessions.last_ts.iloc[0] == at(900)


@pytest.mark.parametrize("copied", [False, True])
def test_a_rollback_was_not_when_the_folder_was_copied(tmp_path, copied) -> None:
    project = Project(tmp_path / "shop")
    write(project, 0, [component("api", 20)])
    write(project, 60, [component("api", 60)], status="rolled_back")
    write(project, 120, [component("api", 90)], status="rolled_back")
    touch(project.root, "2026-04-20T12:00:00Z")
    if not copied:
        os.utime(min((project.dir / "checkpoints").iterdir()), (at(0).timestamp(),) * 2)
    moves = read_history(project.root, cache=False).transitions
    (moment,) = moves[moves.source == "rollback"].ts
    assert moment == (at(120) if copied else pd.Timestamp("2026-04-20T12:00:00Z"))


def test_the_other_process_may_die(tmp_path, monkeypatch) -> None:
    from buildwidget.history import _parallel

    project = Project(tmp_path / "shop")
    for number in range(60):
        write(project, number, [component("api", number)])
    monkeypatch.setattr(_parallel, "PIECE", 5)
    started: list[subprocess.Popen[bytes]] = []
    popen = subprocess.Popen

    def start(*args: Any, **options: Any) -> Any:
        started.append(popen(*args, **options))
        started[-1].kill()
        return started[-1]

    monkeypatch.setattr(_parallel.subprocess, "Popen", start)
    history = read_history(project.root, cache=False, processes=2)
    assert len(history.components) == 60
    assert started[0].poll() is not None

    def refuse(*args: Any, **options: Any) -> Any:
        raise OSError("no more processes")

    monkeypatch.setattr(_parallel.subprocess, "Popen", refuse)
    same(history, read_history(project.root, cache=False, processes=2))


def test_a_progress_bar_when_asked_for(tmp_path, capsys) -> None:
    project = Project(tmp_path / "shop")
    for number in range(600):
        write(project, number, [component("api", 1)])
    read_history(project.root, cache=False, progress=True)
    assert "reading" in capsys.readouterr().err
    read_history(project.root, cache=False)
    assert capsys.readouterr().err == ""


def test_micros_are_exact() -> None:
    moment = pd.Timestamp("2026-03-01T09:00:00.123457Z").to_pydatetime()
    assert pd.Timestamp(micros(moment), unit="us", tz="UTC") == moment


def test_the_same_as_systems_says(tmp_path) -> None:
    """A table row is what `systems` gives for the file."""
    project = demo(tmp_path)
    history = read_history(project, cache=False)
    paths = sorted((project / ".buildrunner/checkpoints").iterdir())
    record = parse(f".buildrunner/checkpoints/{paths[-1].name}", paths[-1].read_bytes(), pd.Timestamp.now("UTC"))
    mine = history.components.loc[lambda t: t.checkpoint_id == record.checkpoint.checkpoint_id]
    assert mine.component_id.tolist() == [item.component_id for item in record.components]
    assert mine.status.tolist() == [item.status.value for item in record.components]
    assert mine.progress.tolist() == [item.progress for item in record.components]
    row = history.checkpoints.loc[lambda t: t.checkpoint_id == record.checkpoint.checkpoint_id].iloc[0]
    assert (row.percent, row.build_status, row.status_source) == (
        record.percent,
        record.status.value,
        record.status_source,
    )


# -- links ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("cache", [False, True])
def test_linked_folders_are_read_as_the_live_view_reads_them(tmp_path, cache) -> None:
    plain, linked = Project(tmp_path / "a/shop"), Project(tmp_path / "b/shop", make=False)
    (linked.root / "store").mkdir()
    linked.dir.mkdir()
    for project, where in ((plain, plain.dir), (linked, linked.root / "store")):
        for name in ("checkpoints", "locks", "logs", "workflows"):
            (where / name).mkdir(exist_ok=True)
            if project is linked:
                (linked.dir / name).symlink_to(where / name)
        project.checkpoint(components=[{"id": "api", "status": "done"}])
        project.write(
            "locks/phase-1/progress.json", {"phase": 1, "status": "active", "updated_at": "2026-03-01T09:00:00Z"}
        )
        project.write("logs/x.log", "line\n")
        project.write("workflows/workflow_0a_checkpoint.json", {"workflow_id": "0a", "completed_items": ["i"]})
    outside = tmp_path / "outside"
    (outside / "checkpoints").mkdir(parents=True)
    (outside / "checkpoints/checkpoint_20260301_090000.json").write_text(
        '{"id": "x", "components": [{"id": "secret"}]}'
    )
    (linked.dir / "away").symlink_to(outside)
    (linked.dir / "up").symlink_to(linked.root)  # in circles
    (linked.dir / "twice").symlink_to(linked.root / "store/checkpoints")  # known by another name already
    one, two = (read_history(project.root, cache=cache) for project in (plain, linked))
    for name in ("components", "phases", "tasks", "terminal", "checkpoints"):
        assert len(one.frame(name)) == len(two.frame(name)) > 0, name
    assert one.warnings.empty
    assert two.warnings[["file_path", "code"]].to_numpy().tolist() == [[".buildrunner/away", "outside"]]


@pytest.mark.parametrize("folder", ["", "logs", "checkpoints"])
def test_a_link_round_in_a_circle_hides_nothing(tmp_path, folder) -> None:
    project = Project(tmp_path / "shop")
    project.checkpoint(components=[{"id": "api", "status": "done"}])
    project.write("logs/x.log", "line\n")
    (project.dir / folder / "one").symlink_to("two")
    (project.dir / folder / "two").symlink_to("one")
    history = read_history(project.root, cache=False)
    assert (len(history.components), len(history.terminal)) == (1, 1)
    with contextlib.closing(BuildSession(project.root).open()) as session:
        until(lambda: session.loaded and len(session.snapshot().terminal.tail) == 1)
        assert session.snapshot().warnings == []


@pytest.mark.parametrize("cache", [False, True])
def test_checkpoints_outside_the_project_are_not_read(tmp_path, cache) -> None:
    project = Project(tmp_path / "shop", make=False)
    project.dir.mkdir()
    (tmp_path / "outside").mkdir()
    (tmp_path / "outside/checkpoint_20260301_090000.json").write_text('{"id": "x", "components": [{"id": "secret"}]}')
    (project.dir / "checkpoints").symlink_to(tmp_path / "outside")
    history = read_history(project.root, cache=cache)
    assert history.components.empty
    assert history.warnings.code.tolist() == ["outside"]


@pytest.mark.parametrize("cache", [False, True])
def test_folders_that_lie_too_deep_are_told_as_in_the_live_view(tmp_path, cache) -> None:
    project = Project(tmp_path / "shop")
    write(project, 0, [component("api", 50)])
    deep = "/".join("abcdefgh")  # the eighth is the last that is read
    body = {"phase": 1, "status": "active", "updated_at": "2026-03-01T09:00:00Z"}
    project.write(f"{deep}/locks.json", body)
    project.write(f"{deep}/i/locks/phase-1/progress.json", body)
    project.write(f"{deep}/j.json", body)
    project.write("checkpoints/a/b/c/d/e/f/g/h/progress.json", body)
    (project.dir / deep / "linked").symlink_to(project.root)
    age(project.root)
    with opened(project.root) as session:
        until(lambda: len(session.snapshot().warnings) == 3)
        live = sorted((w.file_path, w.code, w.message) for w in session.snapshot().warnings)
    assert {code for _, code, _ in live} == {"folder_too_deep"}
    for _ in range(2):  # cold and warm
        warnings = read_history(project.root, cache=cache).warnings
        told = warnings[["file_path", "code", "message"]].itertuples(index=False, name=None)
        assert sorted(told) == live


def test_folders_inside_the_checkpoints_are_read_from_the_cache_too(tmp_path) -> None:
    project = Project(tmp_path / "shop")
    write(project, 0, [component("api", 50)])
    project.write(
        f"checkpoints/old/checkpoints/{name_of(1)}.json",
        {"id": name_of(1), "timestamp": stamp(1), "metadata": {"components": [component("api", 60)]}},
    )
    age(project.root)
    cold, warm = (read_history(project.root) for _ in range(2))
    assert cold.components.progress.tolist() == [50.0, 60.0]
    same(cold, warm)


def test_a_project_whose_names_are_no_utf8(tmp_path) -> None:
    """A project, its files and its logs with bytes in their names that are no UTF-8: told as Python escapes them."""
    project = Project(Path(os.fsdecode(os.fsencode(tmp_path) + b"/sh\xffop")))
    write(project, 0, [component("api", 50)])
    write(project, 60, [component("api", 100, "completed")])
    project.write("logs/" + os.fsdecode(b"\xfe.log"), "line\n")
    project.write("checkpoints/" + os.fsdecode(b"\xfd.json"), "{")
    history = read_history(project.root, cache=False)
    for name in TABLES:
        history.frame(name)
        history.arrow(name)
    row = history.sessions.iloc[0]
    assert (row.session_id, row.project, row.path) == ("sh\\xffop", "sh\\xffop", f"{tmp_path}/sh\\xffop")
    assert history.terminal[["text", "source"]].to_numpy().tolist() == [["line", ".buildrunner/logs/\\xfe.log"]]
    assert history.warnings.file_path.tolist() == [".buildrunner/checkpoints/\\xfd.json"]
    assert history.diff("first", "last").shape[0] > 0
    with opened(project.root) as session:
        assert read_history(session).sessions.path.tolist() == [row.path]
    (tmp_path / "all").mkdir()
    project.root.rename(tmp_path / "all" / project.root.name)
    assert read_history(tmp_path / "all", cache=False).sessions.session_id.tolist() == [row.session_id]


@pytest.mark.parametrize("scenario", SCENARIOS)
def test_one_failure_is_one_in_the_tables_as_on_the_faces(tmp_path, scenario) -> None:
    project = demo(tmp_path, scenario)
    with opened(project) as session:
        until(lambda: session.snapshot().session.ended_at or session.snapshot().components)
        history = read_history(session)
        assert history.sessions.n_failures.tolist() == [len(failures_of(session.snapshot()))]
    same(history, read_history(project, cache=False))


def test_a_failure_that_three_items_tell_is_one(tmp_path) -> None:
    project = Project(tmp_path / "shop")
    failed = {"status": "error", "error": "the disk is full"}
    write(
        project,
        0,
        [component("api", 50, "error", error="the disk is full"), component("web", 100, "completed")],
        [{"id": "login", "component": "api", **failed}, {"id": "logout", "component": "web", **failed}],
    )
    history = read_history(project.root, cache=False)
    assert history.items.status.eq("error").sum() == 3
    assert history.sessions.n_failures.tolist() == [1]

"""The demo: the same seed gives the same build, and its files are those of a real one."""

from __future__ import annotations

import json
import re
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from functools import cache
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest

from buildwidget.demo import DemoError, DemoRunner, Scenario, Simulation, Step, ensure_demo, prepare, write_instant
from buildwidget.demo.product import AFTERTHOUGHTS, COMPONENTS, FEATURES
from buildwidget.demo.runner import SECONDS_PER_MINUTE, length
from buildwidget.model import BuildStatus, State, Status
from buildwidget.session import BuildSession
from buildwidget.systems import parse, shape_of
from buildwidget.systems.record import Shape

START = datetime(2026, 1, 5, 9, 0, tzinfo=UTC)
SCENARIOS = [scenario for scenario in Scenario if not scenario.is_plan]
CHECKPOINTS = ".buildrunner/checkpoints/"
LOG = ".buildrunner/logs/build.log"


@cache
def steps(scenario: Scenario, seed: int = 0) -> list[Step]:
    return list(Simulation(scenario, seed, start=START).steps())


def whole(scenario: Scenario, name: str) -> Iterator[dict[str, Any]]:
    """Every content that a file gets, in order; ``name`` is how its path begins."""
    for step in steps(scenario):
        for write in step.writes:
            if write.path.startswith(f".buildrunner/{name}") and not write.append:
                yield write.data


def items(checkpoint: dict[str, Any], kind: str) -> dict[str, dict[str, Any]]:
    return {item["id"]: item for item in checkpoint["metadata"][kind]}


def acyclic(graph: dict[str, list[str]]) -> bool:
    left = {key: set(value) for key, value in graph.items()}
    while free := [key for key, value in left.items() if not value & left.keys()]:
        for key in free:
            del left[key]
    return not left


def seen_by_a_session(folder: Path) -> State:
    session = BuildSession(folder)
    session.open()
    try:
        session.refresh()
        return session.snapshot()
    finally:
        session.close()


# -- the plan ---------------------------------------------------------------------------------------------------------


def test_the_product_is_a_sound_graph() -> None:
    features = (*FEATURES, *AFTERTHOUGHTS)
    names = [spec.id for spec in (*COMPONENTS, *features)]
    assert len(COMPONENTS) == 12
    assert len(FEATURES) == 40
    assert len(names) == len(set(names))
    assert {dep for spec in (*COMPONENTS, *features) for dep in spec.dependencies} <= set(names)
    assert {spec.component for spec in features} == {spec.id for spec in COMPONENTS}
    assert acyclic({
        **{spec.id: list(spec.dependencies) for spec in COMPONENTS},
        # A feature needs its component's dependencies too.
        **{spec.id: [*spec.dependencies] for spec in features},
    })  # fmt: skip
    assert all(3 <= len(spec.tasks) <= 6 for spec in features)
    assert {spec.priority for spec in features} == {"critical", "high", "medium", "low"}


# -- the simulation ---------------------------------------------------------------------------------------------------


def flat(found: list[Step]) -> list[tuple[float, str, str, bool]]:
    return [(step.minute, write.path, write.content, write.append) for step in found for write in step.writes]


def test_the_same_seed_makes_the_same_writes() -> None:
    again = Simulation(Scenario.ROLLBACK, 0, start=START)
    assert flat(list(again.steps())) == flat(steps(Scenario.ROLLBACK))


def test_json_is_written_as_the_standard_library_writes_it() -> None:
    for write in (write for step in steps(Scenario.FAILURE)[-3:] for write in step.writes if write.data):
        assert write.content == json.dumps(write.data, indent=2, ensure_ascii=False) + "\n"


def test_another_seed_makes_another_build() -> None:
    other = [(step.minute, step.note) for step in Simulation("success", 1, start=START, dry=True).steps()]
    assert other != [(step.minute, step.note) for step in steps(Scenario.SUCCESS)]


@pytest.mark.parametrize("scenario", SCENARIOS)
def test_a_dry_run_takes_the_same_course(scenario: Scenario) -> None:
    dry = list(Simulation(scenario, 0, start=START, dry=True).steps())
    assert [(step.minute, step.note) for step in dry] == [(step.minute, step.note) for step in steps(scenario)]
    assert not any(step.writes for step in dry)


@pytest.mark.parametrize("scenario", SCENARIOS)
def test_the_clock_never_goes_back(scenario: Scenario) -> None:
    minutes = [step.minute for step in steps(scenario)]
    assert minutes == sorted(minutes)


@pytest.mark.parametrize("seed", range(12))
@pytest.mark.parametrize("scenario", SCENARIOS)
def test_every_seed_reaches_its_end(scenario: Scenario, seed: int) -> None:
    simulation = Simulation(scenario, seed, start=START, dry=True)
    found = list(simulation.steps())
    assert len(found) > 300
    status = {state.status for state in simulation.world.features.values()}
    expected = {
        Scenario.FAILURE: {"completed", "blocked", "error"},
        Scenario.STALL: {"completed", "in_progress", "pending"},
    }.get(scenario, {"completed"})
    assert status == expected


def test_the_demo_takes_two_to_three_minutes() -> None:
    for seed in range(8):
        assert 110 < length(Scenario.SUCCESS, seed) * SECONDS_PER_MINUTE < 190


@pytest.mark.parametrize("scenario", SCENARIOS)
def test_every_file_parses_at_every_step(scenario: Scenario) -> None:
    shapes: set[Shape] = set()
    for step in steps(scenario):
        for write in step.writes:
            if not write.path.endswith(".json"):
                continue
            record = parse(write.path, write.content.encode(), START + timedelta(minutes=step.minute))
            assert record.warnings == [], write.path
            assert record.shape is shape_of(write.path)
            shapes.add(record.shape)
    assert shapes == {
        Shape.CHECKPOINT, Shape.ORCHESTRATION, Shape.WORKFLOW, Shape.POOL, Shape.LOCK, Shape.FEATURES, Shape.BATCHES,
        Shape.CURRENT_PHASE,
    }  # fmt: skip


@pytest.mark.parametrize("scenario", SCENARIOS)
def test_every_checkpoint_is_whole(scenario: Scenario) -> None:
    for checkpoint in whole(scenario, "checkpoints/"):
        components, features = items(checkpoint, "components"), items(checkpoint, "features")
        for component in components.values():
            assert set(component["dependencies"]) <= components.keys()
        for feature in features.values():
            assert feature["component"] in components
            assert set(feature["dependencies"]) <= features.keys()
        done = [task["id"] for f in features.values() for task in f["tasks"] if task["completed"]]
        assert checkpoint["tasks_completed"] == done


@pytest.mark.parametrize("scenario", SCENARIOS)
def test_the_graph_of_tasks_has_no_cycle(scenario: Scenario) -> None:
    *_, last = whole(scenario, "state/")
    graph = {key: task["dependencies"] for key, task in last["tasks"].items()}
    assert {dep for value in graph.values() for dep in value} <= graph.keys()
    assert acyclic(graph)
    assert any(graph.values())


@pytest.mark.parametrize("scenario", [Scenario.SUCCESS, Scenario.FAILURE, Scenario.STALL, Scenario.GROWTH])
def test_finished_work_stays_finished(scenario: Scenario) -> None:
    before: set[str] = set()
    for checkpoint in whole(scenario, "checkpoints/"):
        now = set(checkpoint["tasks_completed"])
        assert before <= now
        before = now


def test_files_are_written_in_two_spellings_and_two_kinds_of_time() -> None:
    text = "".join(w.content for s in steps(Scenario.SUCCESS) for w in s.writes if w.path.startswith(CHECKPOINTS))
    for word in ('"testsPass"', '"tests_pass"', '"estimatedTime"', '"estimated_time"', '"startTime"', '"start_time"'):
        assert word in text
    assert re.search(r'"timestamp": "[-\dT:.]+"', text)
    lock = next(iter(whole(Scenario.SUCCESS, "locks/")))
    assert lock["updated_at"].endswith("Z")


def test_the_log_has_colour_and_progress_lines() -> None:
    text = "".join(w.content for s in steps(Scenario.SUCCESS) for w in s.writes if w.path == LOG)
    assert "\x1b[32m" in text
    assert text.count("\r") > 100
    assert text.endswith("\n")


# -- the scenarios, as a session sees them ----------------------------------------------------------------------------


def test_success(tmp_path: Path) -> None:
    write_instant(prepare(tmp_path / "p"), Scenario.SUCCESS)
    state = seen_by_a_session(tmp_path / "p")
    assert state.session.status is BuildStatus.COMPLETED
    assert state.progress.percent == 100
    assert (len(state.components), len(state.features)) == (12, 40)
    assert {c.status for c in state.components} == {Status.COMPLETED}
    assert {task.completed for f in state.features for task in f.tasks} == {True}
    assert state.warnings == []


def test_failure(tmp_path: Path) -> None:
    write_instant(prepare(tmp_path / "p"), Scenario.FAILURE)
    state = seen_by_a_session(tmp_path / "p")
    assert state.session.status is BuildStatus.FAILED
    status = {c.component_id: c.status for c in state.components}
    assert status["payments"] is Status.ERROR
    assert {key for key, value in status.items() if value is Status.BLOCKED} == {"booking-site", "reporting"}
    error = next(c.error for c in state.components if c.component_id == "payments")
    assert error is not None
    assert "ForeignKeyViolation" in error
    assert Status.IN_PROGRESS not in {f.status for f in state.features}
    blockers = (tmp_path / "p/.buildrunner/context/blockers.md").read_text("utf-8")
    assert "ForeignKeyViolation" in blockers


def test_stall(tmp_path: Path) -> None:
    end = datetime.now(UTC) - timedelta(hours=1)
    write_instant(prepare(tmp_path / "p"), Scenario.STALL, end=end)
    state = seen_by_a_session(tmp_path / "p")
    assert state.session.status is BuildStatus.IN_PROGRESS
    assert state.progress.percent is not None
    assert 50 < state.progress.percent < 70
    assert any(f.status is Status.IN_PROGRESS for f in state.features)
    assert not any("rolled_back" in str(step) for step in steps(Scenario.STALL)[-3:])


def test_rollback(tmp_path: Path) -> None:
    write_instant(prepare(tmp_path / "p"), Scenario.ROLLBACK)
    state = seen_by_a_session(tmp_path / "p")
    status = [c.status for c in state.checkpoints]
    assert status.count("active") == 1
    assert status.count("rolled_back") > 3
    at = status.index("active")
    lost = [i for i, word in enumerate(status) if word == "rolled_back"]
    assert lost == list(range(at + 1, at + 1 + len(lost))), "those after the active one, and no others"
    assert state.session.status is BuildStatus.COMPLETED


def test_a_rollback_rewrites_one_file_after_the_other_and_takes_the_work_back() -> None:
    seen: dict[str, dict[str, Any]] = {}
    rewritten: list[tuple[int, str, str]] = []
    for number, step in enumerate(steps(Scenario.ROLLBACK)):
        for write in step.writes:
            if write.path.startswith(CHECKPOINTS):
                data = write.data
                if write.path in seen:
                    assert {**data, "status": "created"} == seen[write.path], "only the status changes"
                    rewritten.append((number, write.path, data["status"]))
                seen.setdefault(write.path, data)
    assert [status for _, _, status in rewritten] == ["active"] + ["rolled_back"] * (len(rewritten) - 1)
    assert [path for _, path, _ in rewritten] == sorted(path for _, path, _ in rewritten)
    assert all(b - a == 1 for (a, _, _), (b, _, _) in pairwise(rewritten)), "each in a step of its own"
    progress = [state["progress"]["percent_complete"] for state in whole(Scenario.ROLLBACK, "state/")]
    assert any(later < earlier - 5 for earlier, later in pairwise(progress))
    assert progress[-1] == 100


def test_growth() -> None:
    checkpoints = list(whole(Scenario.GROWTH, "checkpoints/"))
    features = [len(c["metadata"]["features"]) for c in checkpoints]
    components = [len(c["metadata"]["components"]) for c in checkpoints]
    assert components[0] < components[-1] == len(COMPONENTS)
    assert features[-1] == len(FEATURES) + len(AFTERTHOUGHTS)
    grown = [i for i, (a, b) in enumerate(pairwise(features)) if b > a]
    assert len(grown) == 4, "in four waves"
    assert features == sorted(features)


# -- the runner -------------------------------------------------------------------------------------------------------


def torn_reads(folder: Path, *, replace: bool) -> tuple[int, int]:
    """Play a build while somebody reads one of its files; how many reads were no JSON, and how many there were."""
    count = iter(range(40))
    runner = DemoRunner(
        prepare(folder),
        Scenario.SUCCESS,
        replace=replace,
        speed=20,
        on_step=lambda _: next(count, None) is None and runner.stop(),
    )
    file = folder / ".buildrunner/features.json"
    over = threading.Event()

    def read() -> tuple[int, int]:
        torn = total = 0
        while not over.is_set():
            try:
                text = file.read_bytes()
            except FileNotFoundError:
                continue
            total += 1
            try:
                json.loads(text)
            except ValueError:
                torn += 1
        return torn, total

    with ThreadPoolExecutor(1) as pool:
        reader = pool.submit(read)
        try:
            runner.run()
        finally:
            over.set()
        return reader.result()


def test_files_are_rewritten_in_place_and_not_atomically(tmp_path: Path) -> None:
    torn, total = torn_reads(tmp_path / "p", replace=False)
    assert 0 < torn < total


def test_with_replace_no_reader_sees_half_a_file(tmp_path: Path) -> None:
    torn, total = torn_reads(tmp_path / "p", replace=True)
    assert torn == 0
    assert total > 0
    assert not list((tmp_path / "p").rglob("*.tmp"))


def test_the_runner_writes_what_the_simulation_says(tmp_path: Path) -> None:
    told: list[Step] = []
    assert DemoRunner(prepare(tmp_path / "p"), Scenario.STALL, duration=1.0, on_step=told.append).run()
    last: dict[str, str] = {}
    for step in told:
        for write in step.writes:
            last[write.path] = (last.get(write.path, "") if write.append else "") + write.content
    for path, text in last.items():
        assert (tmp_path / "p" / path).read_bytes() == text.encode(), path


def test_a_live_build_is_followed_to_its_end(tmp_path: Path) -> None:
    folder = prepare(tmp_path / "p")
    session = BuildSession(folder)
    session.open()
    try:
        assert DemoRunner(folder, Scenario.GROWTH, seed=3, duration=3.0).run()
        session.refresh()
        state = session.snapshot()
    finally:
        session.close()
    assert state.session.status is BuildStatus.COMPLETED
    assert len(state.features) == len(FEATURES) + len(AFTERTHOUGHTS)
    assert state.warnings == []


def test_a_stopped_runner_stops(tmp_path: Path) -> None:
    runner = DemoRunner(prepare(tmp_path / "p"), speed=1.0)
    thread = runner.start()
    runner.stop()
    thread.join(10)
    assert not thread.is_alive()


# -- places -----------------------------------------------------------------------------------------------------------


def test_a_foreign_build_is_left_alone(project: Path) -> None:
    with pytest.raises(DemoError, match="did not make"):
        prepare(project)
    assert (project / ".buildrunner/checkpoints").is_dir()


@pytest.mark.parametrize("name", ["notes.txt", ".git", "src"])
def test_a_folder_with_anything_in_it_is_left_alone(tmp_path: Path, name: str) -> None:
    held = tmp_path / "p" / name
    held.mkdir(parents=True)
    with pytest.raises(DemoError, match=rf"{name}.*--out"):
        prepare(tmp_path / "p")
    assert list((tmp_path / "p").iterdir()) == [held]
    (tmp_path / "empty").mkdir()
    assert prepare(tmp_path / "empty").is_dir()


def test_a_file_in_the_way_is_told(tmp_path: Path) -> None:
    (tmp_path / "p").write_text("mine")
    with pytest.raises(DemoError, match="--out"):
        prepare(tmp_path / "p")
    assert (tmp_path / "p").read_text() == "mine"


def test_an_earlier_demo_is_emptied(tmp_path: Path) -> None:
    folder = prepare(tmp_path / "p")
    (folder / ".buildrunner/checkpoints").mkdir(parents=True)
    (folder / "notes.txt").write_text("mine")
    prepare(folder)
    assert not (folder / ".buildrunner").exists()
    assert (folder / "notes.txt").read_text() == "mine"


def test_instant_times_lie_in_the_past(tmp_path: Path) -> None:
    before = datetime.now(UTC)
    count = write_instant(prepare(tmp_path / "p"), Scenario.SUCCESS)
    files = [path for path in (tmp_path / "p/.buildrunner").rglob("*") if path.is_file()]
    assert len(files) == count
    times = [datetime.fromtimestamp(path.stat().st_mtime, UTC) for path in files]
    assert max(times) < before
    assert max(times) - min(times) > timedelta(hours=4), "as long as a real build"


def test_ensure_demo(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("BUILDWIDGET_PROJECT", str(tmp_path))
    assert ensure_demo() == tmp_path
    monkeypatch.delenv("BUILDWIDGET_PROJECT")
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    monkeypatch.setattr("tempfile.tempdir", None)
    folder = ensure_demo("failure")
    assert folder.is_relative_to(tmp_path)
    assert seen_by_a_session(folder).session.status is BuildStatus.FAILED


# -- one clock --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("scenario", SCENARIOS)
def test_a_feature_took_the_time_between_its_start_and_its_end(scenario: Scenario) -> None:
    for pace in (1.0, 0.004):
        *_, last = Simulation(scenario, 3, start=START, pace=pace).steps()
        state = next(write.data for write in last.writes if write.path.endswith("orchestration_state.json"))
        registry = next(write.data for write in last.writes if write.path.endswith("features.json"))
        tasks = {task["name"].split(": ", 1)[1]: task for task in state["tasks"].values()}
        for feature in registry["features"]:
            task = tasks[feature["name"]]
            assert task["estimated_minutes"] == feature["estimated_time"]
            if task["completed_at"]:
                took = datetime.fromisoformat(task["completed_at"]) - datetime.fromisoformat(task["started_at"])
                assert feature["actual_time"] == pytest.approx(took.total_seconds() / 60, abs=1e-4)
                assert 0.2 < feature["actual_time"] / feature["estimated_time"] < 6 or scenario is Scenario.ROLLBACK


def test_modification_times_are_those_inside_the_files(tmp_path: Path) -> None:
    folder = prepare(tmp_path / "p")
    write_instant(folder, Scenario.SUCCESS)
    for path in (folder / CHECKPOINTS).glob("*.json"):
        said = datetime.fromisoformat(json.loads(path.read_bytes())["timestamp"]).astimezone(UTC)
        assert abs(datetime.fromtimestamp(path.stat().st_mtime, UTC) - said) < timedelta(seconds=0.01)


def test_a_demo_that_cannot_keep_up_puts_its_clock_back(tmp_path: Path) -> None:
    folder = prepare(tmp_path / "p")
    assert DemoRunner(folder, Scenario.SUCCESS, duration=0.2).run()  # faster than any disk
    late = [
        datetime.fromtimestamp(path.stat().st_mtime, UTC)
        - datetime.fromisoformat(json.loads(path.read_bytes())["timestamp"]).astimezone(UTC)
        for path in (folder / CHECKPOINTS).glob("*.json")
    ]
    assert timedelta(seconds=-0.05) < min(late)
    assert sorted(late)[len(late) // 2] < timedelta(seconds=0.5)


def test_only_checkpoints(tmp_path: Path) -> None:
    whole_, part = prepare(tmp_path / "whole"), prepare(tmp_path / "part")
    end = START + timedelta(hours=9)
    write_instant(whole_, Scenario.ROLLBACK, end=end)
    count = write_instant(part, Scenario.ROLLBACK, end=end, only_checkpoints=True)
    names = [sorted(path.name for path in (folder / CHECKPOINTS).iterdir()) for folder in (whole_, part)]
    assert count == len(names[0]) == len(names[1])
    assert [path.name for path in (part / ".buildrunner").iterdir()] == ["checkpoints"]

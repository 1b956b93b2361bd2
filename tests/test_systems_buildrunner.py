"""Every shape of file: what its record says."""

from __future__ import annotations

import json
import time
from datetime import UTC, datetime, timedelta

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from buildwidget.model import BuildStatus, Status, TsSource
from buildwidget.progress import item_stats
from buildwidget.reading import items, plain
from buildwidget.reading.memo import Memo
from buildwidget.reading.values import Reader, parse_time, time_of_name, utc_of
from buildwidget.systems import Shape, parse, shape_of

from .corpus import (
    CHECKPOINT,
    CURRENT,
    FEATURES,
    LOCK,
    MTIME,
    ORCHESTRATION,
    PLAN,
    POOL,
    WORKFLOW,
    made_samples,
    record,
    samples,
)

SHAPE_OF_FOLDER = {
    "build_checkpoint": Shape.CHECKPOINT,
    "workflow_checkpoint": Shape.WORKFLOW,
    "pool_checkpoint": Shape.POOL,
    "orchestration_state": Shape.ORCHESTRATION,
    "lock_progress": Shape.LOCK,
    "orchestration_json": Shape.BATCHES,
    "current_phase": Shape.CURRENT_PHASE,
    "features_json": Shape.FEATURES,
}
FILES = samples()


@pytest.fixture(params=["America/New_York", "Asia/Kolkata"])
def zone(request, monkeypatch):
    """A local time that is not UTC."""
    monkeypatch.setenv("TZ", request.param)
    time.tzset()
    yield request.param
    monkeypatch.undo()
    time.tzset()


def codes(said):
    return [warning.code for warning in said.warnings]


# -- files of every kind, invented and real ---------------------------------------------------------------------------


def test_there_is_a_file_of_every_kind():
    assert {file.kind for file in made_samples()} == SHAPE_OF_FOLDER.keys()
    assert {file.kind for file in FILES} == SHAPE_OF_FOLDER.keys()
    assert len({file.name for file in FILES}) == len(FILES)


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.name)
def test_every_file_is_read(file):
    said = file.parse()
    assert said.shape is SHAPE_OF_FOLDER[file.kind]
    assert said.time.tzinfo is not None
    for kept in (said.components, said.features, said.tasks, said.phases):
        stats = item_stats(kept)
        assert sum(n for name, n in stats.items() if name not in ("total", "completion_percentage")) == len(kept)
    assert said.percent is None or 0 <= said.percent <= 100
    # Only the times that nobody filled in, and the phase that is done with nothing done, are odd.
    for warning in said.warnings:
        if warning.code == "unknown_word":
            continue
        assert "PLACEHOLDER" in warning.message or "$(date" in warning.message or "0 of 5" in warning.message


def test_checkpoints_with_empty_lists_read_neither_zero_nor_in_progress_for_ever():
    files = samples("build_checkpoint")
    assert {file.data["phase"].split("_")[-1] for file in files} >= {"complete", "ready", "tools", "start"}
    for file in files:
        said, phase = file.parse(), file.data["phase"]
        expected = ("unknown", "nothing known", None)
        if phase.endswith(("_complete", "production_ready")):
            expected = ("completed", "phase", None)
        elif phase.endswith("_start"):
            expected = ("in_progress", "phase", None)
        assert (said.status.value, said.status_source, said.percent) == expected, phase


@pytest.mark.parametrize("file", samples("workflow_checkpoint"), ids=lambda file: file.name)
def test_a_workflow_that_says_running_with_everything_done_is_over(file):
    state = file.data["state_data"]
    assert state["status"] == "running"
    said = file.parse()
    assert said.status is (BuildStatus.FAILED if state["failed_count"] else BuildStatus.COMPLETED)
    summary, *done = said.tasks
    assert summary.task_id == file.data["workflow_id"]
    assert summary.name == file.data["phase"]
    assert summary.status_raw == "running"
    assert summary.progress == pytest.approx(100 * state["completed_count"] / state["total_items"], abs=0.05)
    assert [task.name for task in done] == file.data["completed_items"]
    assert [task.task_id for task in done] == [f"{summary.task_id}/{task.name}" for task in done]
    assert {task.parent_id for task in done} <= {summary.task_id}
    assert all(task.status is Status.COMPLETED and task.kind == "workflow" for task in done)


@pytest.mark.parametrize("file", samples("pool_checkpoint"), ids=lambda file: file.name)
def test_a_pool_gives_a_task_for_each_result(file):
    data, said = file.data, file.parse()
    summary, *results = said.tasks
    assert summary.task_id == data["pool_id"]
    assert summary.duration_ms == data["stats"]["total_duration_ms"]
    assert {task.task_id for task in results} == {f"{summary.task_id}/{item}" for item in data["results"]}
    for task in results:
        result = data["results"][task.metadata["item_id"]]
        assert (task.kind, task.parent_id) == ("pool", data["pool_id"])
        assert task.duration_ms == result["duration_ms"]
        assert task.metadata == {name: result[name] for name in ("item_id", "agent_type", "task_id")}
    assert said.status is BuildStatus.COMPLETED
    assert said.tally.total == data["stats"]["total_items"]


@pytest.mark.parametrize("file", samples("lock_progress"), ids=lambda file: file.name)
def test_a_lock_is_one_phase(file):
    data, said = file.data, file.parse()
    (phase,) = said.phases
    assert phase.status_raw == data["status"]
    assert phase.status is (Status.IN_PROGRESS if data["status"] in ("active", "in_progress") else Status.COMPLETED)
    assert (phase.tasks_total, phase.tasks_done) == (data["tasks_total"], data["tasks_done"])
    assert (phase.step, phase.step_label) == (data["step"], data["step_label"])
    assert len(phase.history) == len(data["history"])
    assert {"tests_written", "tests_passing", "commits"} <= phase.metadata.keys()
    share = 100 * data["tasks_done"] / data["tasks_total"] if data["tasks_total"] else None
    assert said.percent == pytest.approx(share, abs=0.05)


def test_ids_of_phases():
    ids = {file.path.split("/")[2]: file.parse().phases[0].phase_id for file in samples("lock_progress")}
    assert ids["phase-8.5"] == "8.5"  # a text
    assert ids["phase-9.2"] == "9.2"  # a number
    assert ids["phase-5"] == "5"
    # Another plan's phase 2 is not this plan's phase 2.
    assert ids["phase-2"] == "2"
    for folder, id_ in ids.items():
        assert id_ == (folder.removeprefix("phase-") if folder.startswith("phase-") else folder)


def test_a_phase_that_is_done_with_nothing_done():
    files = [
        file for file in samples("lock_progress")
        if file.data["status"] == "done" and file.data["tasks_total"] == 5 and file.data["tasks_done"] == 0
    ]  # fmt: skip
    assert files
    for said in (file.parse() for file in files):
        assert said.status is BuildStatus.COMPLETED
        assert said.percent == 0.0
        assert "says_complete_but_counts_disagree" in codes(said)


def test_the_orchestration_state():
    files = [file for file in samples("orchestration_state") if "tasks" in file.data]
    assert files
    for file in files:
        said = file.parse()
        assert [task.task_id for task in said.tasks] == list(file.data["tasks"])
        stated = file.data["progress"]
        assert (said.tally.total, said.tally.completed) == (stated["total"], stated["completed"])
        assert said.percent == pytest.approx(stated["percent_complete"], abs=0.06)
        assert {task.estimated_minutes for task in said.tasks} == {90.0}
        assert all(task.metadata["complexity"] == "medium" for task in said.tasks)


def test_the_relatives_of_the_orchestration_state():
    files = [file for file in samples("orchestration_state") if "tasks" not in file.data]
    batches = [file for file in files if "batches" in file.data]
    templates = [file for file in files if "current_build" in file.data]
    assert batches
    assert templates
    for file in batches:
        said = file.parse()
        assert said.tally.total == len(said.tasks) == file.data["total_tasks"]
        assert said.percent == 0.0
        assert {task.metadata["batch"] for task in said.tasks} == {"0", "1", "2"}
    for said in (file.parse() for file in templates):
        assert (said.status, said.percent, said.tally) == (BuildStatus.UNKNOWN, None, None)


@pytest.mark.parametrize("file", samples("orchestration_json"), ids=lambda file: file.name)
def test_a_plan(file):
    data, said = file.data, file.parse()
    assert [phase.phase_id for phase in said.phases] == [str(id_) for b in data["batches"] for id_ in b["phases"]]
    assert (said.tally.total, said.tally.completed) == (data["total_phases"], data["completed_phases"])
    assert said.percent == round(100 * data["completed_phases"] / data["total_phases"], 1)


def test_a_plan_with_a_blocked_batch():
    files = [f for f in samples("orchestration_json") if any(b.get("status") == "blocked" for b in f.data["batches"])]
    assert files
    for file in files:
        said = file.parse()
        by_id = {phase.phase_id: phase for phase in said.phases}
        for batch in file.data["batches"]:
            for phase in (by_id[str(number)] for number in batch["phases"]):
                expected = {"complete": Status.COMPLETED, "blocked": Status.BLOCKED, "pending": Status.NOT_STARTED}
                assert phase.status is expected[batch["status"]]
                assert phase.metadata["batch"] == str(batch["id"])
                assert phase.metadata.get("blocker") == batch.get("blocker")
                assert phase.metadata.get("blocked_by") == batch.get("blocked_by")
        assert said.status is BuildStatus.PENDING


@pytest.mark.parametrize("file", samples("current_phase"), ids=lambda file: file.name)
def test_a_current_phase(file):
    data, said = file.data, file.parse()
    (phase,) = said.phases
    assert said.present_phase == phase.phase_id == str(data["phase"])
    assert phase.name == said.phase == data["name"]
    assert phase.started_at == datetime.fromisoformat(data.get("started", data.get("started_at")))
    assert phase.status is Status.UNKNOWN
    known = {"phase", "name", "started", "started_at"}
    assert phase.metadata == {key: value for key, value in data.items() if key not in known}


@pytest.mark.parametrize("file", samples("features_json"), ids=lambda file: file.name)
def test_a_feature_registry(file):
    data, said = file.data, file.parse()
    assert said.project == data["project"]
    assert said.time == datetime.fromisoformat(data["last_updated"])
    # Two files hold several features under one id.
    assert {feature.feature_id for feature in said.features} == {entry["id"] for entry in data["features"]}
    for feature in said.features:
        entry = [e for e in data["features"] if e["id"] == feature.feature_id][-1]
        assert feature.component_id is None
        assert feature.metadata["components"] == entry["components"]
        assert feature.metadata["tests"] == entry["tests"]
        done = {"complete": Status.COMPLETED, "in_progress": Status.IN_PROGRESS, "planned": Status.NOT_STARTED}
        assert feature.status is done[entry["status"]]
    if all(entry["status"] == "complete" for entry in data["features"]):
        assert said.percent == (100.0 if data["features"] else None)


# -- which shape ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("path", "shape"),
    [
        (CHECKPOINT, Shape.CHECKPOINT),
        (".buildrunner/checkpoints/anything.json", Shape.CHECKPOINT),
        (ORCHESTRATION, Shape.ORCHESTRATION),
        (".buildrunner/orchestration_state.json", Shape.ORCHESTRATION),
        (".buildrunner/state/.buildrunner/state/orchestration_state.json", Shape.ORCHESTRATION),
        (WORKFLOW, Shape.WORKFLOW),
        (POOL, Shape.POOL),
        (LOCK, Shape.LOCK),
        (FEATURES, Shape.FEATURES),
        (PLAN, Shape.BATCHES),
        (CURRENT, Shape.CURRENT_PHASE),
        (".buildrunner/context/architecture.md", None),
        (".buildrunner/checkpoints/.checkpoint_1.json", None),
        (".buildrunner/checkpoints/checkpoint_1.json.tmp", None),
        (".buildrunner/locks/phase-5/claim.json", Shape.CLAIM),
        (".buildrunner/locks/phase-5/heartbeat", Shape.HEARTBEAT),
        (".buildrunner/locks/phase-5/exit-status.json", Shape.EXIT),
        (".buildrunner/locks/phase-5/sidecar.json", Shape.SIDECAR),
        (".buildrunner/locks/phase-5/notes.json", None),
        (".buildrunner/locks/claim.json", None),
        (".buildrunner/builds/BUILD_shop.md", Shape.PLAN),
        (".buildrunner/builds/README.md", None),
        (".buildrunner/decisions.log", Shape.JOURNAL),
        (".buildrunner/logs/decisions.log", None),
        (".buildrunner/autopilot-resume.json", Shape.SAVED),
        (".buildrunner/locks/progress.json", None),
        (".buildrunner/settings.json", None),
        ("features.json", None),
        (".buildrunner", None),
        ("", None),
    ],
)
def test_the_shape_by_path(path, shape):
    assert shape_of(path) is shape


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.name)
def test_the_shape_by_keys_is_the_same(file):
    elsewhere = record("some/copy.json", file.data)
    assert elsewhere.shape is SHAPE_OF_FOLDER[file.kind]


def test_a_runtime_checkpoint_is_known_by_its_schema():
    data = {
        "checkpoint_id": "cp-1",
        "task_id": "task-123",
        "runtime": "codex",
        "status": "running",
        "current_step": "review",
        "timestamp": "2026-04-16T12:00:00Z",
        "log_entries": [],
        "workspace_diff": "",
        "metadata": {"backend": "local", "runtimeSessionId": "s-9", "capabilities": ["edit", "run"]},
        "schema_version": "br3.runtime.checkpoint.v1",
    }
    said = record(".buildrunner/checkpoints/cp-1.json", data)
    assert said.shape is Shape.RUNTIME
    assert (said.status, said.phase) == (BuildStatus.IN_PROGRESS, "review")
    assert said.time == datetime(2026, 4, 16, 12, tzinfo=UTC)
    assert (said.checkpoint.checkpoint_id, said.checkpoint.status) == ("cp-1", "running")
    assert said.checkpoint.metadata["task_id"] == "task-123"
    assert said.checkpoint.metadata["schema_version"] == "br3.runtime.checkpoint.v1"
    assert said.runtime.runtime == "codex"
    assert said.runtime.backend == "local"
    assert said.runtime.runtime_session_id == "s-9"
    assert said.runtime.capabilities == ["edit", "run"]
    assert not said.warnings


# -- A: build checkpoints -------------------------------------------------------------------------------------------

CAMEL = {
    "id": "api",
    "name": "API",
    "type": "api",
    "status": "in_progress",
    "progress": 45.55,
    "dependencies": ["db"],
    "files": ["a.py"],
    "testsPass": True,
    "startTime": "2026-03-01T09:00:00Z",
    "endTime": "2026-03-01T10:00:00Z",
    "error": "boom",
    "owner": "ann",
    "metadata": {"colour": "red"},
}
SNAKE = {
    **{k: v for k, v in CAMEL.items() if k not in ("testsPass", "startTime", "endTime")},
    "tests_pass": True,
    "start_time": "2026-03-01T09:00:00Z",
    "end_time": "2026-03-01T10:00:00Z",
}
FEATURE = {
    "id": "login",
    "name": "Login",
    "description": "Sign in",
    "priority": "high",
    "component": "api",
    "status": "running",
    "tasks": [{"id": "t1", "name": "Form", "completed": True, "timestamp": 1772355600}, {"id": "t2", "name": "Check"}],
    "estimatedTime": 90,
    "actualTime": 30.5,
    "dependencies": [],
    "tests": {"unit": 3, "passing": True},
}


@pytest.mark.parametrize("place", ["top", "metadata"])
@pytest.mark.parametrize("component", [CAMEL, SNAKE], ids=["camelCase", "snake_case"])
def test_components_and_features_in_both_spellings_and_both_places(component, place):
    lists = {"components": [component], "features": [FEATURE]}
    data = {"id": "c", "timestamp": "2026-03-01T09:00:00Z", "phase": "p"}
    said = record(CHECKPOINT, {**data, **lists} if place == "top" else {**data, "metadata": {"name": "n", **lists}})
    (api,), (login,) = said.components, said.features
    assert (api.component_id, api.name, api.component_type) == ("api", "API", "api")
    assert (api.status, api.status_raw, api.progress) == (Status.IN_PROGRESS, "in_progress", 45.5)
    assert (api.files, api.dependencies, api.tests_pass) == (["a.py"], ["db"], True)
    assert api.started_at == datetime(2026, 3, 1, 9, tzinfo=UTC)
    assert api.ended_at == datetime(2026, 3, 1, 10, tzinfo=UTC)
    assert api.error == "boom"
    assert api.metadata == {"owner": "ann", "colour": "red"}
    assert (login.component_id, login.status, login.progress) == ("api", Status.IN_PROGRESS, 50.0)
    assert (login.estimated_minutes, login.actual_minutes) == (90.0, 30.5)
    assert [(task.id, task.completed) for task in login.tasks] == [("t1", True), ("t2", False)]
    assert login.tasks[0].timestamp == datetime(2026, 3, 1, 9, tzinfo=UTC)
    assert login.metadata == {"tests": {"unit": 3, "passing": True}}
    assert said.percent == pytest.approx(0.6 * 45.5 + 0.4 * 50, abs=0.051)
    assert (said.current_component, said.current_feature) == ("api", "login")
    assert said.status is BuildStatus.IN_PROGRESS
    # The lists are items now; they do not travel a second time inside the checkpoint.
    assert said.checkpoint.metadata == ({} if place == "top" else {"name": "n"})
    assert not said.warnings


def test_both_spellings_at_once_lose_nothing():
    said = record(CHECKPOINT, {"components": [{"id": "a", "testsPass": False, "tests_pass": True, "error": None}]})
    (item,) = said.components
    assert item.tests_pass is True
    assert item.metadata == {"testsPass": False}


def test_an_items_own_metadata_wins_over_an_unknown_key_and_nothing_is_lost():
    said = record(CHECKPOINT, {"components": [{"id": "a", "colour": "blue", "metadata": {"colour": "red"}}]})
    assert said.components[0].metadata == {"colour": "red", "colour_": "blue"}
    said = record(CHECKPOINT, {"components": [{"id": "a", "metadata": "just text"}]})
    assert said.components[0].metadata == {"metadata": "just text"}


def test_unknown_keys_of_a_checkpoint_are_kept():
    said = record(CHECKPOINT, {"id": "c", "git": {"sha": "abc"}, "metadata": {"name": "n"}, "components": "later"})
    assert said.checkpoint.metadata == {"name": "n", "git": {"sha": "abc"}, "components": "later"}


def test_the_life_of_a_checkpoint_is_not_the_status_of_the_build():
    for word in ("created", "active", "rolled_back", "Active"):
        said = record(CHECKPOINT, {"id": "c", "status": word})
        assert said.checkpoint.status == word
        assert said.status is BuildStatus.UNKNOWN
    assert record(CHECKPOINT, {"id": "c", "status": "failed", "error": "x"}).status is BuildStatus.FAILED


def test_empty_lists_mean_unknown():
    said = record(CHECKPOINT, {"id": "c", "tasks_completed": [], "files_created": [], "components": []})
    assert (said.percent, said.tally, said.status) == (None, None, BuildStatus.UNKNOWN)


def test_repeats_are_kept_and_counted_once():
    said = record(CHECKPOINT, {"id": "c", "tasks_completed": ["a", "b", "a"]})
    assert said.checkpoint.tasks_completed == ["a", "b", "a"]
    assert (said.tally.total, said.tally.completed) == (None, 2)


def test_items_keyed_by_id():
    said = record(CHECKPOINT, {"components": {"api": {"status": "done"}, "db": {"id": "database", "progress": 5}}})
    assert [(item.component_id, item.progress) for item in said.components] == [("api", 100.0), ("database", 5.0)]


@pytest.mark.parametrize(
    ("statuses", "verdict"),
    [
        (["completed", "skipped"], BuildStatus.COMPLETED),
        (["failed", "completed"], BuildStatus.FAILED),
        (["failed", "running"], BuildStatus.IN_PROGRESS),
        (["pending", "blocked"], BuildStatus.PENDING),
    ],
)
def test_the_verdict_of_a_checkpoint_with_items(statuses, verdict):
    data = {"phase": "build_1", "components": [{"id": str(n), "status": word} for n, word in enumerate(statuses)]}
    assert record(CHECKPOINT, data).status is verdict


# -- C to H, made up ------------------------------------------------------------------------------------------------


def test_an_orchestration_state_with_skipped_and_failed_tasks():
    tasks = {
        "a": {"id": "a", "name": "A", "status": "completed", "started_at": "2026-03-01T09:00:00Z",
              "completed_at": "2026-03-01T10:00:00Z", "retry_count": 2},
        "b": {"id": "b", "name": "B", "status": "skipped", "dependencies": ["a"]},
        "c": {"id": "c", "name": "C", "status": "failed", "error_message": "no disk", "estimated_minutes": 15},
    }  # fmt: skip
    said = record(ORCHESTRATION, {"timestamp": "2026-03-01T11:00:00Z", "tasks": tasks})
    a, b, c = said.tasks
    assert (a.retry_count, a.progress, a.kind) == (2, 100.0, "orchestration")
    assert b.dependencies == ["a"]
    assert (c.status, c.error, c.estimated_minutes) == (Status.ERROR, "no disk", 15.0)
    assert (said.status, said.percent) == (BuildStatus.FAILED, 50.0)
    assert said.started_at == a.started_at
    assert said.time == datetime(2026, 3, 1, 11, tzinfo=UTC)


def test_an_orchestration_state_that_only_counts():
    said = record(ORCHESTRATION, {"tasks": {}, "progress": {"total": 4, "completed": 3, "in_progress": 1}})
    assert (said.percent, said.status) == (75.0, BuildStatus.IN_PROGRESS)
    said = record(ORCHESTRATION, {"batches": [{"tasks": ["x", "y"]}], "total_tasks": 2, "completed_tasks": 2})
    assert (said.percent, said.status) == (100.0, BuildStatus.COMPLETED)
    assert all(task.status is Status.COMPLETED for task in said.tasks)


@pytest.mark.parametrize(
    ("state", "status", "verdict", "percent"),
    [
        ({"status": "running", "total_items": 4, "completed_count": 1}, "in_progress", "in_progress", 25),
        ({"status": "running", "total_items": 2, "completed_count": 1, "failed_count": 1}, "error", "failed", 50),
        ({"status": "paused", "total_items": 2, "completed_count": 1}, "paused", "pending", 50),
        ({"total_items": 2, "completed_count": 1}, "in_progress", "in_progress", 50),
        ({"total_items": 2, "completed_count": 0}, "not_started", "pending", 0),
        ({"status": "completed", "total_items": 2, "completed_count": 1}, "in_progress", "in_progress", 50),
        ({"status": "running"}, "in_progress", "in_progress", None),
        ({}, "unknown", "unknown", None),
    ],
)  # fmt: skip
def test_the_counts_of_a_workflow_decide(state, status, verdict, percent):
    said = record(WORKFLOW, {"workflow_id": "w", "completed_items": [], "phase": "explore", "state_data": state})
    assert said.tasks[0].status == status
    assert said.status == verdict
    assert said.percent == percent


def test_a_pool_with_a_failed_result():
    results = {
        "x": {"item_id": "x", "agent_type": "test", "status": "timeout", "error_message": "too slow", "duration_ms": 5},
        "y": {"item_id": "y", "agent_type": "test", "status": "completed"},
    }
    said = record(POOL, {"pool_id": "p", "results": results, "stats": {}})
    summary, x, _ = said.tasks
    assert (x.status, x.status_raw, x.error) == (Status.ERROR, "timeout", "too slow")
    assert (summary.status, said.status, said.percent) == (Status.ERROR, BuildStatus.FAILED, 50.0)


def test_items_of_different_pools_and_workflows_are_different_tasks():
    def pool(id_, **item):
        return record(POOL, {"pool_id": id_, "results": {"src/x.py": {"id": "src/x.py", **item}}}).tasks

    failed = pool("lint", status="failed", error_message="boom")
    done = pool("test", name="Unit tests", status="completed")
    flow = record(WORKFLOW, {"workflow_id": "flow", "completed_items": ["src/x.py"]}).tasks
    ids = [task.task_id for task in (*failed, *done, *flow)]
    assert ids == ["lint", "lint/src/x.py", "test", "test/src/x.py", "flow", "flow/src/x.py"]
    assert [task.name for task in (failed[1], done[1], flow[1])] == ["src/x.py", "Unit tests", "src/x.py"]
    for summary, item in (failed, done, flow):
        assert item.parent_id == summary.task_id
        assert item.metadata["item_id"] == "src/x.py"
    assert (failed[1].status, failed[1].error) == (Status.ERROR, "boom")
    assert (done[1].status, done[1].error) == (Status.COMPLETED, None)


def test_an_item_of_a_pool_may_have_its_id_and_depend_on_its_siblings():
    results = [{"id": "p"}, {"id": "q", "dependencies": ["p", "elsewhere"]}, {"id": "r", "dependencies": ["r"]}]
    for memo in (None, Memo()):
        for _ in range(2):
            said = parse(POOL, json.dumps({"pool_id": "p", "results": results}).encode(), MTIME, memo)
            assert {task.task_id: task.dependencies for task in said.tasks} == {
                "p": [],
                "p/p": [],
                "p/q": ["p/p", "elsewhere"],
                "p/r": ["p/r"],
            }
            assert codes(said) == ["dependency_cycle"]


def test_a_lock_with_errors():
    data = {"phase": 5, "status": "done", "errors": ["tests fail", {"message": "no disk"}], "tasks_total": 0}
    said = record(LOCK, data)
    assert said.status is BuildStatus.FAILED
    assert said.phases[0].errors == ["tests fail", "no disk"]
    assert record(LOCK, {**data, "status": "active"}).status is BuildStatus.IN_PROGRESS


@pytest.mark.parametrize(
    ("task", "shown"), [(None, None), ("5.1 — Do", "5.1 — Do"), ({"name": "panel"}, "panel"), ({}, None), (7, "7")]
)
def test_the_current_task_of_a_lock(task, shown):
    assert record(LOCK, {"phase": 5, "current_task": task}).phases[0].current_task == shown


@pytest.mark.parametrize(
    ("folder", "phase", "id_"),
    [
        ("phase-5", 5, "5"),
        ("phase-5", "5", "5"),
        ("phase_5", 5.0, "5"),
        ("Phase 5", 5, "5"),
        ("5", 5, "5"),
        ("phase-14.8", 14.8, "14.8"),
        ("phase-intel-1", "intel-1", "intel-1"),
        ("intel-1", "intel-1", "intel-1"),
        ("phase-7", None, "7"),
        ("hotfix", None, "hotfix"),
        ("deals-phase-2", 2, "deals-phase-2"),
        ("phase", None, "phase"),
    ],
)
def test_the_id_of_a_phase(folder, phase, id_):
    said = record(f".buildrunner/locks/{folder}/progress.json", {"phase": phase, "step": 0.5})
    assert said.phases[0].phase_id == id_
    assert said.phases[0].step == 0.5


def test_a_plan_that_lists_its_completed_phases():
    said = record(PLAN, {"completed_phases": [1, "2", 1], "total_phases": 4, "batches": [{"id": 9, "phases": [2, 3]}]})
    assert [(p.phase_id, p.status) for p in said.phases] == [
        ("1", Status.COMPLETED),
        ("2", Status.COMPLETED),
        ("3", Status.UNKNOWN),
    ]
    assert (said.tally.completed, said.percent) == (2, 50.0)


def test_a_plan_is_not_complete_because_its_listed_batches_are():
    batches = [{"id": 1, "phases": [1, 2], "status": "complete"}]
    said = record(PLAN, {"completed_phases": 2, "total_phases": 4, "batches": batches})
    assert (said.status, said.percent) == (BuildStatus.PENDING, 50.0)
    said = record(PLAN, {"completed_phases": 4, "total_phases": 4, "batches": batches})
    assert said.status is BuildStatus.COMPLETED


def test_a_registry_without_features_has_its_own_word():
    assert record(FEATURES, {"status": "in_development", "features": []}).status is BuildStatus.IN_PROGRESS
    assert record(FEATURES, {"status": "retrofit", "features": []}).status is BuildStatus.UNKNOWN
    planned = record(FEATURES, {"status": "active", "features": [{"id": "f", "status": "planned", "progress": 0}]})
    assert (planned.status, planned.percent) == (BuildStatus.PENDING, 0.0)


# -- times ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("written", "moment"),
    [
        ("2026-04-06T18:41:46Z", datetime(2026, 4, 6, 18, 41, 46, tzinfo=UTC)),
        ("2026-04-06T18:41:46.5+02:00", datetime(2026, 4, 6, 16, 41, 46, 500_000, tzinfo=UTC)),
        ("2024-11-24T18:00:00.000000Z", datetime(2024, 11, 24, 18, tzinfo=UTC)),
        (1772355600, datetime(2026, 3, 1, 9, tzinfo=UTC)),
        (1772355600.25, datetime(2026, 3, 1, 9, 0, 0, 250_000, tzinfo=UTC)),
        (1772355600250, datetime(2026, 3, 1, 9, 0, 0, 250_000, tzinfo=UTC)),
        ("1772355600", datetime(2026, 3, 1, 9, tzinfo=UTC)),
        ("1772355600250", datetime(2026, 3, 1, 9, 0, 0, 250_000, tzinfo=UTC)),
    ],
)
def test_times_that_need_no_zone(zone, written, moment):
    assert parse_time(written) == (moment, TsSource.FILE)


def test_times_without_a_zone_are_local(zone):
    for written in ("2025-11-17T21:30:05.705279", "2025-11-17 21:30:05.705279"):
        moment, source = parse_time(written)
        assert source is TsSource.ASSUMED_LOCAL
        assert moment.tzinfo is UTC
        assert moment.astimezone().replace(tzinfo=None) == datetime(2025, 11, 17, 21, 30, 5, 705279)
    assert moment.hour == {"America/New_York": 2, "Asia/Kolkata": 16}[zone]
    midnight, source = parse_time("2025-11-17")
    assert source is TsSource.ASSUMED_LOCAL
    assert midnight.astimezone().replace(tzinfo=None) == datetime(2025, 11, 17)


@pytest.mark.parametrize(
    "written",
    [
        *("PLACEHOLDER", "$(date -u +%Y-%m-%dT%H:%M:%SZ)", "", "soon", "2025-13-01", "0001-01-01"),
        *("9999-12-31T23:59:59-23:00", "9" * 17, "x" * 1000),
        *(0, 1, -5, 1e300, float("nan"), float("inf"), True, None, [], {}),
    ],
)
def test_what_is_not_a_time(zone, written):
    assert parse_time(written) is None


@settings(deadline=None)
@given(st.one_of(st.text(), st.integers(), st.floats(), st.datetimes().map(str), st.dates().map(str)))
def test_reading_a_time_never_fails(written):
    found = parse_time(written)
    assert found is None or found[0].utcoffset() == timedelta(0)


def test_the_time_of_a_checkpoint_falls_through(zone):
    name = "checkpoint_20251117_213005_705272"
    local = datetime(2025, 11, 17, 21, 30, 5, 705272).astimezone(UTC)
    said = {
        "file": record(CHECKPOINT, {"id": name, "timestamp": "2025-11-17T21:30:05Z"}),
        "assumed_local": record(CHECKPOINT, {"id": name, "timestamp": "2025-11-17T21:30:06"}),
        "filename": record(CHECKPOINT, {"id": name, "timestamp": "PLACEHOLDER"}),
        "mtime": record(".buildrunner/checkpoints/x.json", {"id": "x", "timestamp": "PLACEHOLDER"}),
    }
    for source, one in said.items():
        assert one.ts_source == one.checkpoint.ts_source == source
        assert one.time == one.checkpoint.created_at
    assert said["filename"].time == local
    assert said["mtime"].time == MTIME
    assert codes(said["filename"]) == codes(said["mtime"]) == ["odd_value"]
    # The file's name serves where its id tells no time.
    stem = record(f".buildrunner/checkpoints/{name}.json", {"id": "first"})
    assert (stem.time, stem.ts_source, stem.checkpoint.checkpoint_id) == (local, TsSource.FILENAME, "first")


@pytest.mark.parametrize("name", ["", "checkpoint", "checkpoint_20251399_999999", "a_20251117_2130", "1" * 5000])
def test_names_that_tell_no_time(name):
    assert time_of_name(name) is None


NAMED = ".buildrunner/checkpoints/checkpoint_20260301_090000_000001.json"
FUTURE_NAMED = ".buildrunner/checkpoints/checkpoint_20990301_090000_000001.json"


def test_a_time_well_after_the_file_was_written_is_not_believed():
    said = record(NAMED, {"timestamp": "2099-01-01T00:00:00Z", "phase": "build"})
    assert (said.time, said.ts_source) == (time_of_name(NAMED), TsSource.FILENAME)
    (warning,) = said.warnings
    assert warning.code == "future_time"
    assert "timestamp is '2099-01-01T00:00:00Z'" in warning.message
    assert "2026-05-01 12:00 UTC" in warning.message
    # A name in the future is no better.
    said = record(FUTURE_NAMED, {"timestamp": "2099-01-01T00:00:00Z", "phase": "build"})
    assert (said.time, said.ts_source, codes(said)) == (MTIME, TsSource.MTIME, ["future_time"] * 2)
    said = record(FUTURE_NAMED, {"phase": "build"})
    assert (said.time, said.ts_source, codes(said)) == (MTIME, TsSource.MTIME, ["future_time"])
    for path, field in ((LOCK, "updated_at"), (FEATURES, "last_updated"), (POOL, "timestamp"), (WORKFLOW, "timestamp")):
        said = record(path, {"phase": 1, field: "2099-01-01T00:00:00Z"})
        assert (said.time, said.ts_source) == (MTIME, TsSource.MTIME)
        assert codes(said).count("future_time") == 1


@pytest.mark.parametrize("ahead", [timedelta(0), timedelta(minutes=2), -timedelta(days=1)])
def test_clocks_that_differ_a_little_are_believed(ahead):
    said = record(CHECKPOINT, {"id": "c", "timestamp": (MTIME + ahead).isoformat()})
    assert (said.time, said.ts_source, said.warnings) == (MTIME + ahead, TsSource.FILE, [])


@pytest.mark.parametrize("year", [1, 1970, 1980])
def test_a_modification_time_that_nobody_measured_judges_nothing(year):
    """Archives and images write 1970 or 1980, and a file system may hold anything."""
    raw = json.dumps({"id": "c", "timestamp": "2026-03-01T09:00:00Z"}).encode()
    said = parse(CHECKPOINT, raw, datetime(year, 1, 1, tzinfo=UTC))
    assert (said.time, said.ts_source) == (datetime(2026, 3, 1, 9, tzinfo=UTC), TsSource.FILE)
    assert said.warnings == []


@pytest.mark.parametrize("seconds", [1e12, -1e11, 1e300, float("inf"), float("nan")])
def test_a_modification_time_that_no_date_holds_is_1970(seconds):
    assert utc_of(seconds) == datetime(1970, 1, 1, tzinfo=UTC)
    assert utc_of(MTIME.timestamp()) == MTIME


# -- the two paths --------------------------------------------------------------------------------------------------

WORDS = st.sampled_from(["completed", "running", "FAILED", "odd", ""])
TIMES = st.sampled_from(
    ["2026-03-01T09:00:00Z", "2026-03-01T09:00:00", "2026-03-01", "", "PLACEHOLDER", 1772355600, None]
)
NAMES = st.lists(st.sampled_from(["a", "b", "", 3, None]), max_size=3)
NUMBERS = st.one_of(st.none(), st.integers(-1, 101), st.floats(0, 100), st.just("2h"), st.booleans())
SHARED = {
    "id": st.sampled_from(["x", "y", 1, ""]),
    "name": st.sampled_from(["n", "", None, 5]),
    "status": WORDS,
    "progress": NUMBERS,
    "dependencies": NAMES,
    "error": st.sampled_from([None, "boom", False, {"message": "m"}]),
    "unknown": st.sampled_from([1, "u", None, [1.5]]),
    "metadata": st.sampled_from([None, {}, {"k": 1}, "text"]),
}
COMPONENT = st.fixed_dictionaries(
    {},
    optional={
        **SHARED,
        "type": st.sampled_from(["api", None]),
        "files": NAMES,
        "tests_pass": st.sampled_from([True, None, "yes"]),
        "testsPass": st.sampled_from([False, None]),
        "startTime": TIMES,
        "start_time": TIMES,
        "end_time": TIMES,
        "completed_at": TIMES,
        "component_type": st.just("db"),
    },
)
CHECKLIST = st.lists(
    st.fixed_dictionaries(
        {},
        optional={
            "id": st.sampled_from(["1", "2", 3]),
            "name": st.just("n"),
            "completed": st.booleans(),
            "timestamp": TIMES,
        },
    ),
    max_size=3,
)  # fmt: skip
FEATURES_MADE = st.fixed_dictionaries(
    {},
    optional={
        **SHARED,
        "tasks": CHECKLIST,
        "component": st.just("c"),
        "components": st.just(["a.py"]),
        "estimatedTime": NUMBERS,
        "estimated_time": NUMBERS,
        "actual_minutes": NUMBERS,
        "completed_at": TIMES,
    },
)
TASK = st.fixed_dictionaries(
    {},
    optional={
        **SHARED,
        "item_id": st.just("i"),
        "task_id": st.just("t"),
        "started_at": TIMES,
        "completed_at": TIMES,
        "duration_ms": NUMBERS,
        "retry_count": st.sampled_from([0, 2, -1, None, 1.5]),
        "estimated_minutes": NUMBERS,
        "error_message": st.sampled_from([None, "e"]),
    },
)


def _agree(fast, slow, entry):
    quick, careful = Reader("f", MTIME), Reader("f", MTIME)
    made = fast(quick, dict(entry))
    if made is not None:
        assert made == slow(careful, dict(entry))
        assert quick.warnings == careful.warnings
        assert {warning.code for warning in quick.warnings} <= {"unknown_word"}


@settings(deadline=None)
@given(COMPONENT)
def test_the_fast_path_of_components_agrees_with_the_lenient_one(entry):
    _agree(plain.component, lambda reader, e: items._component(reader, None, e), entry)


@settings(deadline=None)
@given(FEATURES_MADE)
def test_the_fast_path_of_features_agrees_with_the_lenient_one(entry):
    _agree(plain.feature, lambda reader, e: items._feature(reader, None, e), entry)


@settings(deadline=None)
@given(TASK)
def test_the_fast_path_of_tasks_agrees_with_the_lenient_one(entry):
    _agree(
        lambda reader, e: plain.task(reader, e, "pool", "p"),
        lambda reader, e: items._task(reader, None, e, "pool", "p"),
        entry,
    )


def test_ordinary_items_take_the_fast_path():
    reader = Reader("f", MTIME)
    for entry in (CAMEL, SNAKE):
        assert plain.component(reader, entry) is not None
    finished = {**FEATURE, "tasks": [{"id": "1", "name": "n", "completed": True}]}
    assert plain.feature(reader, finished) is not None
    task = next(iter(next(f for f in made_samples("orchestration_state") if "tasks" in f.data).data["tasks"].values()))
    assert plain.task(reader, task, "orchestration", None) is not None


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.name)
def test_a_number_that_is_none_changes_nothing_else(file):
    """NaN is no JSON: the whole file then takes the lenient way, and must say the same."""
    before = file.parse()
    text = json.dumps({**file.data, "x_odd": float("nan")})
    assert "NaN" in text
    after = file._replace(content=text.encode(), file=None).parse()
    for one in (before, after):
        if one.checkpoint is not None:
            one.checkpoint.metadata.pop("x_odd", None)
        for phase in one.phases:
            phase.metadata.pop("x_odd", None)
    assert after == before


def test_a_memo_changes_nothing_but_the_time_it_takes() -> None:
    """Versions of one file, with plain, odd and too deep items: read with and without a memo, warnings included."""
    deep: dict[str, object] = {}
    for _ in range(40):
        deep = {"deeper": deep}
    memo = Memo()
    for progress in (10, 20, 20, "half", 20, 30):
        items = [
            {"id": "a", "name": "A", "status": "active", "progress": progress},
            {"id": "b", "name": "B", "status": "done", "files": ["x.py"], "metadata": deep},
            {"id": "c", "name": "C", "progress": 400},
        ]
        raw = json.dumps(
            {"id": "cp", "timestamp": "2026-03-01T09:00:00", "components": items, "features": items}
        ).encode()
        path = ".buildrunner/checkpoints/cp.json"
        first, second = (parse(path, raw, MTIME, m) for m in (None, memo))
        assert first == second
        assert first.warnings


SAME_FOR_PYTHON = [
    0,
    0.0,
    False,
    1,
    1.0,
    True,
    None,
    float("nan"),
    2**70,
    2**70 + 1,
    {"k": 1},
    {"k": True},
    [0],
    [False],
]


@pytest.mark.parametrize("place", ["metadata", "unknown", "progress", "tests_pass"])
def test_a_memo_tells_numbers_from_truth_values(place):
    """Python says 0 == False and 1 == True; a file that changes from one to the other has changed."""
    memo = Memo()
    for before in SAME_FOR_PYTHON:
        for after in SAME_FOR_PYTHON:
            for value in (before, after):
                item = {"id": "a", "name": "A", place: {"ready": value} if place == "metadata" else value}
                raw = json.dumps({"id": "cp", "components": [item], "features": [item]}).encode()
                plainly, remembered = (parse(CHECKPOINT, raw, MTIME, m) for m in (None, memo))
                # As JSON: records that hold 0 and False are equal for Python.
                assert msgspec.json.encode(remembered) == msgspec.json.encode(plainly)


def test_a_memo_that_is_full_begins_anew():
    memo = Memo(limit=3)

    def first(*ids):
        raw = json.dumps({"id": "cp", "components": [{"id": id_} for id_ in ids]}).encode()
        return parse(CHECKPOINT, raw, MTIME, memo).components[0]

    old = first("a", "b", "c")
    assert first("a") is old
    new = first("d")  # one too many
    assert first("d") is new
    again = first("a")
    assert again == old
    assert first("a") is again

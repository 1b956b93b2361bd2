"""The original functions: names, fields and errors."""

from __future__ import annotations

import json
import os
from pathlib import Path
from types import SimpleNamespace

import pytest

import buildwidget
from buildwidget import CheckpointError, compat
from buildwidget.compat import (
    calculate_completion_percentage,
    extract_component_updates,
    extract_feature_updates,
    get_checkpoint_summary,
    parse_checkpoint,
)
from buildwidget.reading.files import MAX_BYTES

from .corpus import samples

STATS = {
    *("total", "completed", "in_progress", "pending", "failed", "completion_percentage"),
    *("blocked", "skipped", "cancelled", "paused", "unknown"),
}
DATA = {
    "id": "checkpoint_20260301_090000_000001",
    "timestamp": "2026-03-01T09:00:00.000005",
    "phase": "build_1",
    "tasks_completed": ["a", "b", "a"],
    "files_created": ["x.py"],
    "status": "created",
    "mood": {"big": 2**60},
    "metadata": {"created_by": "cli"},
    "components": [
        {"id": "api", "name": "API", "type": "api", "status": "completed"},
        {"id": "db", "type": "database", "status": "in_progress", "progress": 50, "startTime": "2026-03-01T09:00:00Z"},
    ],
    "features": [{"id": "login", "component": "api", "status": "running", "tasks": [{"id": "t", "completed": True}]}],
}


@pytest.fixture
def checkpoint(project: Path) -> Path:
    path = project / ".buildrunner" / "checkpoints" / "checkpoint_20260301_090000_000001.json"
    path.write_text(json.dumps(DATA), "utf-8")
    return path


def is_plain(value: object) -> bool:
    """Whether json.dumps and json.loads give the same back, NaN refused."""
    return json.loads(json.dumps(value, allow_nan=False)) == value


def test_the_documented_fields(checkpoint):
    said = parse_checkpoint(checkpoint)
    for name in ("id", "timestamp", "phase", "tasks_completed", "files_created", "status"):
        assert said[name] == DATA[name]
    assert said["metadata"] == {"created_by": "cli"}
    assert said["mood"] == {"big": str(2**60)}
    assert said["component_stats"].keys() == said["feature_stats"].keys() == STATS
    assert (said["component_stats"]["total"], said["component_stats"]["completed"]) == (2, 1)
    assert said["component_stats"]["completion_percentage"] == 75.0
    assert said["feature_stats"]["in_progress"] == 1
    assert said["overall_progress"] == {
        "tasks_completed": 2,
        "files_created": 1,
        "completion_percentage": 85.0,
        "status": "in_progress",
        "status_source": "items",
    }
    assert said["completion_percentage"] == 85.0
    assert is_plain(said)


def test_component_updates(checkpoint):
    api, db = extract_component_updates(checkpoint)
    assert (api["component_id"], api["id"], api["status"], api["progress"]) == ("api", "api", "completed", 100.0)
    assert (db["component_type"], db["type"], db["started_at"]) == ("database", "database", "2026-03-01T09:00:00Z")
    assert parse_checkpoint(checkpoint)["components"] == [api, db]
    assert is_plain([api, db])


def test_feature_updates(checkpoint):
    (login,) = extract_feature_updates(checkpoint)
    assert (login["feature_id"], login["id"], login["component_id"], login["component"]) == (
        "login",
        "login",
        "api",
        "api",
    )
    assert login["status_raw"] == "running"
    assert login["progress"] == 100.0
    assert login["tasks"] == [{"id": "t", "name": "", "completed": True, "timestamp": None}]
    assert parse_checkpoint(checkpoint)["features"] == [login]
    assert is_plain(login)


def test_the_summary(checkpoint):
    said = get_checkpoint_summary(checkpoint)
    assert said["id"] == DATA["id"]
    assert said["timestamp"].endswith("Z")
    assert (said["timestamp_source"], said["shape"], said["phase"]) == ("assumed_local", "checkpoint", "build_1")
    assert (said["status"], said["status_source"], said["checkpoint_status"]) == ("in_progress", "items", "created")
    assert (said["tasks_completed"], said["files_created"], said["completion_percentage"]) == (2, 1, 85.0)
    assert (said["total_components"], said["completed_components"]) == (2, 1)
    assert (said["total_features"], said["completed_features"]) == (1, 0)
    assert (said["current_component"], said["current_feature"]) == ("db", "login")
    assert said["warnings"] == []
    assert is_plain(said)


@pytest.mark.parametrize("read", [parse_checkpoint, extract_component_updates, extract_feature_updates])
def test_a_path_may_be_text_or_relative(checkpoint, monkeypatch, read):
    expected = read(checkpoint)
    assert read(str(checkpoint)) == expected
    for folder in (checkpoint.parent, checkpoint.parent.parent, checkpoint.parent.parent.parent):
        monkeypatch.chdir(folder)
        assert read(os.path.relpath(checkpoint)) == expected


def test_the_original_calculation():
    components = [{"status": "completed"}, {"status": "running", "progress": 45.5}, {"status": "skipped"}]
    assert calculate_completion_percentage(components) == pytest.approx(72.75)
    assert calculate_completion_percentage([]) == 0.0


def test_what_is_calculated_from_a_file_agrees(checkpoint):
    data = parse_checkpoint(checkpoint)
    assert calculate_completion_percentage(DATA["components"]) == 75.0
    assert calculate_completion_percentage(data["components"]) == 75.0
    assert calculate_completion_percentage(extract_component_updates(checkpoint)) == 75.0


@pytest.mark.parametrize("file", samples(), ids=lambda file: file.name)
def test_every_file_gives_plain_json(file, tmp_path):
    path = file.write(tmp_path)
    said, summary = parse_checkpoint(path), get_checkpoint_summary(path)
    assert is_plain(said)
    assert is_plain(summary)
    ours = {"components", "features"}
    for name, value in file.data.items():
        assert name in ours or said[name] == value
    assert said["overall_progress"]["status"] == summary["status"]
    assert said["completion_percentage"] == summary["completion_percentage"]
    # The same file under another name: its keys tell its shape.
    elsewhere = tmp_path / "copy.json"
    elsewhere.write_bytes(file.raw)
    assert get_checkpoint_summary(elsewhere)["shape"] == summary["shape"]


def test_checkpoints_with_empty_lists_are_not_at_zero(tmp_path):
    for file in samples("build_checkpoint"):
        assert parse_checkpoint(file.write(tmp_path))["completion_percentage"] is None


def test_odd_numbers_are_plain_json_too(checkpoint):
    checkpoint.write_text(
        '{"id": "c", "a": NaN, "b": [1e400, 1e308], "c": "\\ud800", "components": [{"id": "\\udfff"}]}'
    )
    said = parse_checkpoint(checkpoint)
    assert (said["a"], said["b"], said["c"]) == (None, [None, 1e308], "\ufffd")
    assert is_plain(said)


# -- errors ---------------------------------------------------------------------------------------------------------


def refused(path: str | Path, code: str, reason: str) -> CheckpointError:
    for read in (parse_checkpoint, extract_component_updates, extract_feature_updates, get_checkpoint_summary):
        with pytest.raises(CheckpointError) as caught:
            read(path)
        assert isinstance(caught.value, ValueError)
        assert caught.value.code == code
        assert reason in caught.value.reason
        assert str(path) in str(caught.value)
    return caught.value


def test_a_cut_file(checkpoint):
    checkpoint.write_bytes(checkpoint.read_bytes()[:100])
    assert refused(checkpoint, "not_json", "cut off").place.startswith("line 1, column ")


def test_an_empty_file(checkpoint):
    checkpoint.write_bytes(b"")
    refused(checkpoint, "empty", "empty")


def test_a_list(checkpoint):
    checkpoint.write_text("[]")
    refused(checkpoint, "not_object", "found a list")


def test_something_else_altogether(tmp_path):
    path = tmp_path / "package.json"
    path.write_text('{"scripts": {}}')
    refused(path, "wrong_shape", "'scripts'")


def test_no_file(tmp_path):
    refused(tmp_path / "gone.json", "unreadable", "no such file")
    refused(str(tmp_path / "gone.json"), "unreadable", "no such file")
    refused("a\0b", "unreadable", "cannot be opened")


def test_a_directory(tmp_path):
    refused(tmp_path, "not_a_file", "directory")


def test_a_fifo_is_refused_at_once(checkpoint):
    checkpoint.unlink()
    os.mkfifo(checkpoint)
    refused(checkpoint, "not_a_file", "FIFO")


def test_a_file_without_permission(checkpoint, monkeypatch):
    checkpoint.chmod(0)
    if os.access(checkpoint, os.R_OK):  # root may read anything: let the system say what it says to others

        def denied(*_args, **_kwargs):
            raise PermissionError(13, os.strerror(13))

        monkeypatch.setattr(compat.os, "open", denied)
    refused(checkpoint, "unreadable", "permission denied")


def test_a_huge_file_is_refused_without_reading_it_all(checkpoint):
    with checkpoint.open("r+b") as file:
        file.truncate(100 * 1024 * 1024)  # sparse
    error = refused(checkpoint, "too_big", "104,857,600 bytes")
    assert f"{MAX_BYTES:,}" in error.reason


def test_the_names_are_public():
    for name in compat.__all__:
        assert getattr(buildwidget, name) is getattr(compat, name)


@pytest.mark.parametrize("seconds", [10**12, -(10**11)])
def test_a_modification_time_that_no_date_holds_is_no_error(checkpoint, monkeypatch, seconds):
    # Few file systems hold such a time, so the system's answer is changed, and nothing else.
    def fstat(handle):
        about = real(handle)
        fields = {name: getattr(about, name) for name in dir(about) if name.startswith("st_")}
        return SimpleNamespace(**{**fields, "st_mtime": float(seconds)})

    real = os.fstat
    monkeypatch.setattr(compat.os, "fstat", fstat)
    checkpoint.write_text(json.dumps({"id": "c", "phase": "build_1"}), "utf-8")
    assert get_checkpoint_summary(checkpoint)["id"] == "c"
    lonely = checkpoint.with_name("x.json")
    lonely.write_text(json.dumps({"id": "x", "phase": "build_1"}), "utf-8")
    assert parse_checkpoint(lonely)["timestamp"] == "1970-01-01T00:00:00Z"


def test_a_plan_and_the_files_of_a_lock_are_read_too(tmp_path) -> None:
    """Files that are no JSON: what they say is in the same fields."""
    base = tmp_path / ".buildrunner"
    (base / "builds").mkdir(parents=True)
    (base / "locks" / "phase-1").mkdir(parents=True)
    plan = base / "builds" / "BUILD_shop.md"
    plan.write_text(
        "# Build: Shop\n\n### Phase 1: Cart\n\n**Status:** ✅ COMPLETE\n\n- [x] basket\n\n"
        "### Phase 2: Pay\n\n**Status:** planned\n"
    )
    found = parse_checkpoint(plan)
    assert found["completion_percentage"] == 50.0
    assert [(item["id"], item["status"]) for item in found["features"]] == [
        ("shop/1", "completed"),
        ("shop/2", "not_started"),
    ]
    assert found["components"][0]["name"] == "Shop"
    assert extract_component_updates(plan)[0]["type"] == "plan"
    assert get_checkpoint_summary(plan)["completed_features"] == 1
    beat = base / "locks" / "phase-1" / "heartbeat"
    beat.write_text("2026-03-01T09:00:00Z\n")
    assert parse_checkpoint(beat)["timestamp"] == "2026-03-01T09:00:00Z"
    beat.write_text("")
    with pytest.raises(CheckpointError):
        parse_checkpoint(beat)

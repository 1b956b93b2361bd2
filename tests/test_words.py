"""Status words: what is known, what is decoration, what stays unknown, and what that does to a build."""

from __future__ import annotations

import json
import subprocess
import sys
from datetime import UTC, datetime
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from buildwidget import read_history
from buildwidget.formats import parse
from buildwidget.merge import Merge
from buildwidget.model import BuildStatus, Status
from buildwidget.progress import build_status, calculate_completion_percentage
from buildwidget.state import BuildState
from buildwidget.words import STATUS_WORDS, is_known, map_status

NOW = datetime(2026, 3, 2, 9, tzinfo=UTC)
REGISTRY = ".buildrunner/features.json"


def registry(*words: object, own: object = "complete", path: str = REGISTRY) -> tuple[str, object]:
    features = [{"id": f"f{number}", "status": word} for number, word in enumerate(words)]
    return path, parse(path, json.dumps({"project": "p", "status": own, "features": features}).encode(), NOW)


def live(*files) -> tuple[Merge, BuildState]:
    merge, state = Merge(), BuildState()
    tell(merge, state, *files)
    return merge, state


def tell(merge: Merge, state: BuildState, *files) -> None:
    for change in state.diff(merge.update(files), session_id="s", now=NOW):
        state.apply(*change)


@pytest.mark.parametrize(
    ("words", "status"),
    [
        ("success|successful|succeeded|passed|Finished|**Done**|[x] done|✔", "completed"),
        ("complete ✅|✅ COMPLETE (2026-03-02) — all", "completed"),
        ("100% complete|COMPLETE - no tasks left|done.|`passed`|true", "completed"),
        ("failure|FAIL|errored|timed out|❌ failed", "error"),
        ("canceled|aborted|Won't do|wontfix|abandoned", "cancelled"),
        ("deprecated|archived|removed|retired|deferred|skip|N/A|obsolete|🗑️ REMOVED 2026-03-02 — gone", "skipped"),
        ("🚧 in_progress|In Progress|WIP|started", "in_progress"),
        ("on hold|paused (needs a decision)", "paused"),
        ("to-do|[ ]|false|backlog", "not_started"),
        ("retrofit|not complete|almost done|done?|complete ❌|50% complete|[ ] done|!!", "unknown"),
    ],
)  # fmt: skip
def test_words_with_and_without_decoration(words, status):
    for word in words.split("|"):
        assert map_status(word) == status, word


@given(st.text(max_size=60))
def test_any_text_has_a_status_and_the_same_one_again(text):
    assert map_status(text) is map_status(text)
    assert is_known(text) or map_status(text) is Status.UNKNOWN


def test_every_word_of_the_table_reads_as_itself():
    assert all(map_status(f" **{word.upper()}** ✨") is status for word, status in STATUS_WORDS.items())


def test_retired_items_do_not_count():
    assert calculate_completion_percentage([{"status": "complete"}, {"status": "deprecated"}]) == 100


@pytest.mark.parametrize(
    "word", ["deprecated", "canceled", "success", "passed", "aborted", "deferred", True, "retrofit"]
)
def test_a_registry_that_says_complete_ends(word):
    _, state = live(registry("complete", word))
    assert state.snapshot().session.status is BuildStatus.COMPLETED


def test_a_failure_is_heard_by_any_of_its_words():
    assert live(registry("complete", "failure"))[1].snapshot().session.status is BuildStatus.FAILED
    assert live(registry("complete", "pending", own="failed"))[1].snapshot().session.status is BuildStatus.FAILED


def test_the_own_word_is_not_heard_while_work_is_left_or_running():
    assert live(registry("complete", "running"))[1].snapshot().session.status is BuildStatus.IN_PROGRESS
    assert live(registry("complete", "pending"))[1].snapshot().session.status is BuildStatus.IN_PROGRESS
    assert build_status([Status.UNKNOWN], percent=0.0, own=Status.COMPLETED) == (BuildStatus.COMPLETED, "own word")


def test_an_unknown_word_is_shown_as_written_and_told_of_once():
    merge, state = live(registry(*["retrofit"] * 30, "zap"), registry("retrofit", path=".buildrunner/x/features.json"))
    snapshot = state.snapshot()
    assert {item.status_raw for item in snapshot.features} == {"retrofit", "zap"}
    (warning,) = snapshot.warnings
    assert (warning.file_path, warning.code) == (REGISTRY, "unknown_word")
    assert warning.message.count("'retrofit'") == warning.message.count("'zap'") == 1
    # The first file is mended: the word is told of where it still stands.
    tell(merge, state, registry("complete"))
    assert [warning.file_path for warning in state.snapshot().warnings] == [".buildrunner/x/features.json"]
    tell(merge, state, (".buildrunner/x/features.json", None))
    assert state.snapshot().warnings == []


def test_the_history_tells_of_an_unknown_word_once(tmp_path):
    folder = tmp_path / "shop/.buildrunner/checkpoints"
    folder.mkdir(parents=True)
    for number in range(5):
        name = f"checkpoint_20260302_09000{number}"
        body = {
            "id": name,
            "timestamp": f"2026-03-02T09:00:0{number}Z",
            "components": [{"id": "a", "status": "retrofit"}],
        }
        (folder / f"{name}.json").write_text(json.dumps(body))
    for cache in (False, True, True):
        history = read_history(tmp_path / "shop", cache=cache)
        assert history.warnings[["file_path", "code"]].to_numpy().tolist() == [
            [".buildrunner/checkpoints/checkpoint_20260302_090000.json", "unknown_word"]
        ]


def test_the_faces_have_the_same_table():
    tool = Path(__file__).resolve().parent.parent / "tools" / "generate_words.py"
    subprocess.run([sys.executable, str(tool), "--check"], check=True, timeout=30)

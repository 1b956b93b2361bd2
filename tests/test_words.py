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

from buildwidget import parse_checkpoint, read_history
from buildwidget.merge import Merge
from buildwidget.model import BuildStatus, Status
from buildwidget.progress import build_status, calculate_completion_percentage
from buildwidget.state import BuildState
from buildwidget.systems import parse
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
        ("to-do|[ ]|false|backlog|☐|⬜|⬜ todo|⏳ pending", "not_started"),
        ("retrofit|not complete|almost done|done?|complete ❌|50% complete|[ ] done|!!|⬜ done", "unknown"),
        # as people write them
        ('✅ Done|Done ✔️|• done|- done|* done|1. done|2) Done|> done|"done"|“done”|~~done~~|🟢 done', "completed"),
        ("done (2026-01-02)|done 2026-01-02|Completed on 2026-01-02|done 02/01/2026|Status: Done", "completed"),
        ("100%|100 %|100% done|done 100%|done (100 %)|done (coverage 85%)", "completed"),
        ("merged|shipped|verified|passed ✓|✓ passed|released|closed as completed", "completed"),
        ("In Progress…|In Progress...|WIP|w.i.p.|in_progress 50%|in-progress (50 %)", "in_progress"),
        ("in progress since 2026-01-02", "in_progress"),
        ("needs review|ready for review|awaiting review|in review|In QA", "in_progress"),
        ("changes requested|ready to merge", "in_progress"),
        ("N/A|n.a.|n/a|⏭️ skipped|duplicate", "skipped"),
        ("won't do|won’t do|WON'T FIX|rejected|closed as not planned", "cancelled"),
        ("ERR|🔴 failed|💥 crash", "error"),
        ("🚫 blocked|⛔ blocked", "blocked"),
        # a number is no word, a part of all is not all, a colour alone says nothing
        ("0|1|0%|50%|done 50%|done (50%)|done by 2026-01-02|done 3/5|100|❌ 100%|🟢|🔴|❌|⏳", "unknown"),
        # English only
        ("fertig|erledigt|in Arbeit|terminé|en cours|hecho|fatto|готово|完成", "unknown"),
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


@pytest.mark.parametrize("word", ["done?", "complete ❌", "[ ] done", "done 50%", "0", "fertig"])
def test_a_known_word_that_is_denied_is_told_of_too(word):
    assert not is_known(word)
    _, record = registry(word)
    assert [w.code for w in record.warnings] == ["unknown_word"]


@pytest.mark.parametrize(
    ("words", "said", "warned"),
    [
        ("yes|true|1|passed|passed ✓|✅|All passing|all pass|OK|green|success|✓ passed (12 of 12)", True, False),
        ("no|false|0|failed|FAIL|failing|❌|❌ failed|red|not passing|timeout|error: 3 of 12", False, False),
        # they did not end, or nobody says how
        ("pending|running|in progress|skipped|N/A|not started|done|unknown|tbd| |", None, False),
        ("perhaps|passed?|passed ❌|12 passed|bestanden|✅❌", None, True),
    ],
)
def test_words_for_whether_tests_pass(words, said, warned):
    for word in words.split("|"):
        path = ".buildrunner/checkpoints/checkpoint_a.json"
        record = parse(path, json.dumps({"id": "a", "components": [{"id": "c", "tests_pass": word}]}).encode(), NOW)
        assert record.components[0].tests_pass is said, word
        assert any(w.code == "odd_value" for w in record.warnings) is warned, word


def test_by_its_own_word_a_build_is_completed_at_100_percent_or_an_unknown_one():
    """What nobody knows is left out; "completed" below 100 % would contradict itself."""
    said = {"status": "complete", "features": [{"id": "a", "status": "done"}, {"id": "b", "status": "retrofit"}]}
    checkpoint = ".buildrunner/checkpoints/checkpoint_20260302_080000_000001.json"
    plan = {"status": "complete", "total_phases": 3, "completed_phases": 1}
    plan["batches"] = [{"id": 1, "phases": ["1", "2", "3"], "status": "retrofit"}]
    tasks = {"status": "complete", "tasks": {"a": {"status": "done"}, "b": {"status": "retrofit"}}}
    for path, data, percent in [
        (REGISTRY, said, 100),
        (checkpoint, said, 100),
        (REGISTRY, {**said, "features": [{"id": "b", "status": "retrofit", "progress": 40}]}, None),
        (REGISTRY, {**said, "status": "working"}, 50),
        (".buildrunner/orchestration.json", plan, None),
        (".buildrunner/orchestration_state.json", tasks, 100),
    ]:
        record = parse(path, json.dumps(data).encode(), NOW)
        assert record.percent == percent, path
        _, state = live((path, record))
        assert state.progress.percent == percent, path
        assert (state.session.status is BuildStatus.COMPLETED) is (data["status"] == "complete"), path


def test_the_history_agrees_on_the_percentage_of_the_own_word(tmp_path):
    folder = tmp_path / ".buildrunner" / "checkpoints"
    folder.mkdir(parents=True)
    for number, words in enumerate((["done", "retrofit"], ["retrofit"], ["done", "todo"])):
        id_ = f"checkpoint_20260302_08000{number}_000001"
        features = [{"id": f"f{at}", "status": word} for at, word in enumerate(words)]
        (folder / f"{id_}.json").write_text(json.dumps({"id": id_, "status": "complete", "features": features}))
    history = read_history(tmp_path, cache=False)
    percents = history.checkpoints["percent"].astype(object).where(lambda s: s.notna(), None).tolist()
    parsed = [parse_checkpoint(path)["completion_percentage"] for path in sorted(folder.iterdir())]
    assert percents == parsed == [100, None, 50]


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

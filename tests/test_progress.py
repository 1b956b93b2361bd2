"""Counts, percentages and the status of a file."""

from __future__ import annotations

import json
import math
from datetime import datetime, timedelta
from pathlib import Path

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from buildwidget import progress as pg
from buildwidget.model import BuildStatus, ChecklistTask, Component, Feature, State, Status

STATUSES = st.sampled_from(list(Status))
PERCENT = st.floats(0, 100)
COMPONENTS = st.lists(
    st.builds(Component, component_id=st.text(min_size=1, max_size=5), status=STATUSES, progress=PERCENT), max_size=8
)


# -- words ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("words", "status"),
    [
        ("not_started pending planned todo ready queued discovered created", Status.NOT_STARTED),
        ("in_progress active running executing dispatched in_development", Status.IN_PROGRESS),
        ("completed complete COMPLETE done finalized production_ready phase_complete", Status.COMPLETED),
        ("error failed timeout", Status.ERROR),
        ("blocked", Status.BLOCKED),
        ("skipped", Status.SKIPPED),
        ("cancelled", Status.CANCELLED),
        ("paused", Status.PAUSED),
    ],
)
def test_every_published_word_is_known(words, status):
    for word in words.split():
        for spelling in (word, word.upper(), word.title(), f" {word.replace('_', '-')} ", word.replace("_", " ")):
            assert pg.map_status(spelling) is status, spelling


@pytest.mark.parametrize("word", ["retrofit", "", "   ", "-", "not done", "done?", "x" * 10_000, None, 3, ["done"], {}])
def test_a_word_nobody_knows_is_unknown_and_no_error(word):
    assert pg.map_status(word) is Status.UNKNOWN


def test_a_status_maps_to_itself():
    assert [pg.map_status(status) for status in Status] == list(Status)


# -- items ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("status", "own", "tasks", "expected"),
    [
        (Status.COMPLETED, 10, [], 100.0),
        (Status.IN_PROGRESS, 45.5, [{"completed": True}], 45.5),
        (Status.IN_PROGRESS, 0, [{"completed": True}], 0.0),
        (Status.IN_PROGRESS, None, [{"completed": True}, {"completed": False}], 50.0),
        (Status.IN_PROGRESS, None, [ChecklistTask(id="1", completed=True), ChecklistTask(id="2")], 50.0),
        (Status.IN_PROGRESS, None, [{"status": "done"}, {"status": "pending"}], 50.0),
        (Status.UNKNOWN, None, [], 0.0),
        (Status.ERROR, -5, [], 0.0),
        (Status.ERROR, 1e308, [], 100.0),
        (Status.ERROR, 10**400, [], 100.0),
        (Status.ERROR, math.nan, [{"completed": True}], 100.0),
        (Status.ERROR, math.inf, [], 0.0),
        (Status.ERROR, -math.inf, [], 0.0),
        (Status.ERROR, "90", [], 0.0),
        (Status.ERROR, True, [], 0.0),
    ],
)
def test_item_percentage(status, own, tasks, expected):
    assert pg.item_percentage(status, own, tasks) == expected


@settings(deadline=None)
@given(STATUSES, st.one_of(st.floats(), st.integers(), st.text(), st.none(), st.booleans()))
def test_an_item_percentage_is_always_a_percentage(status, own):
    percent = pg.item_percentage(status, own)
    assert 0 <= percent <= 100
    assert math.copysign(1, percent) == 1


@pytest.mark.parametrize(
    ("percent", "shown"),
    [(0.0, 0.0), (-0.0, 0.0), (33.333, 33.3), (66.666, 66.7), (99.96, 99.9), (100.0, 100.0), (0.01, 0.1), (45.5, 45.5)],
)
def test_rounding_never_finishes_or_forgets_what_is_in_between(percent, shown):
    assert pg.rounded(percent) == shown
    assert str(pg.rounded(percent)) == str(shown)


# -- lists ----------------------------------------------------------------------------------------------------------


def test_the_mean_leaves_out_what_is_skipped_or_cancelled():
    items = [
        {"status": "completed"},
        {"status": "in_progress", "progress": 50},
        {"status": "skipped", "progress": 0},
        {"status": "cancelled"},
    ]
    assert pg.calculate_completion_percentage(items) == 75.0
    assert pg.calculate_completion_percentage(items[2:]) == 100.0
    assert pg.calculate_completion_percentage([]) == 0.0


def test_dicts_and_records_give_the_same_mean():
    dicts = [{"status": "COMPLETE", "progress": 3}, {"status": "running", "progress": 20.5}, {"progress": 10}]
    records = [
        Component(component_id="a", status=Status.COMPLETED, progress=100.0),
        Component(component_id="b", status=Status.IN_PROGRESS, progress=20.5),
        Feature(feature_id="c", progress=10.0),
    ]
    assert pg.calculate_completion_percentage(dicts) == pg.calculate_completion_percentage(records)
    assert pg.calculate_completion_percentage(dicts) == pytest.approx(43.5)
    assert pg.calculate_completion_percentage(iter(records)) == pytest.approx(43.5)


@settings(deadline=None)
@given(COMPONENTS)
def test_counts_always_add_up_to_the_total(items):
    stats = pg.item_stats(items)
    counts = [number for name, number in stats.items() if name not in ("total", "completion_percentage")]
    assert len(counts) == 9
    assert sum(counts) == stats["total"] == len(items)
    assert 0 <= stats["completion_percentage"] <= 100


def test_the_documented_counts():
    words = ["completed", "completed", "running", "pending", "failed", "blocked", "paused", "retrofit"]
    stats = pg.item_stats([{"status": word} for word in words])
    assert stats == {
        "total": 8,
        "completed": 2,
        "in_progress": 1,
        "pending": 1,
        "failed": 1,
        "blocked": 1,
        "skipped": 0,
        "cancelled": 0,
        "paused": 1,
        "unknown": 1,
        "completion_percentage": 25.0,
    }


def test_components_weigh_six_and_features_four():
    half = [{"status": "in_progress", "progress": 50}]
    done = [{"status": "completed"}]
    assert pg.overall_percentage(half, done) == pytest.approx(0.6 * 50 + 0.4 * 100)
    assert pg.overall_percentage(done, half) == pytest.approx(0.6 * 100 + 0.4 * 50)
    assert pg.overall_percentage(half, []) == 50
    assert pg.overall_percentage([], half) == 50
    assert pg.overall_percentage(half, [], 3.0) == 50
    assert pg.overall_percentage([], [], 3.0) == 3.0
    assert pg.overall_percentage([], []) is None


@settings(deadline=None)
@given(COMPONENTS, COMPONENTS)
def test_all_done_is_exactly_a_hundred(components, features):
    for item in (*components, *features):
        item.status = Status.COMPLETED
    assert pg.overall_percentage(components, features) == (100.0 if components or features else None)


@pytest.mark.parametrize(
    ("total", "completed", "skipped", "expected"),
    [
        (4, 1, 0, 25.0),
        (4, 3, 1, 100.0),
        (4, 0, 4, 100.0),
        (4, 9, 0, 100.0),
        (0, 0, 0, None),
        (None, 3, 0, None),
        (4, None, 0, None),
    ],
)
def test_task_percentage(total, completed, skipped, expected):
    assert pg.task_percentage(total, completed, skipped) == expected


# -- the status of a file -------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("phase", "status"),
    [
        ("build_3a_batch_2_complete", BuildStatus.COMPLETED),
        ("build_3a_production_ready", BuildStatus.COMPLETED),
        ("Build 7 - Phase Complete", BuildStatus.COMPLETED),
        ("build_9_done", BuildStatus.COMPLETED),
        ("api finalized", BuildStatus.COMPLETED),
        ("build_4e_start", BuildStatus.IN_PROGRESS),
        ("auth-in-progress", BuildStatus.IN_PROGRESS),
        ("deploy_failed", BuildStatus.FAILED),
        ("build_4a_migration_tools", None),
        ("build_", None),
        ("build_completely_new", None),
        ("restart", None),
        ("", None),
        (None, None),
        ("___", None),
    ],
)
def test_the_last_words_of_a_phase(phase, status):
    assert pg.phase_status(phase) is status


S = Status
B = BuildStatus


@pytest.mark.parametrize(
    ("statuses", "said", "expected"),
    [
        # 1. failed
        ([S.ERROR, S.COMPLETED], {}, (B.FAILED, "failed item")),
        ([S.ERROR, S.IN_PROGRESS], {}, (B.IN_PROGRESS, "items")),
        ([S.ERROR], {"percent": 100}, (B.FAILED, "failed item")),
        ([S.COMPLETED], {"errors": True, "own": S.COMPLETED}, (B.FAILED, "errors")),
        ([S.IN_PROGRESS], {"errors": True, "own": S.IN_PROGRESS}, (B.IN_PROGRESS, "items")),
        ([], {"errors": True, "own": S.ERROR}, (B.FAILED, "failed item")),
        ([], {"errors": True, "phase": "x_complete"}, (B.FAILED, "errors")),
        ([], {"errors": True}, (B.UNKNOWN, "nothing known")),
        # 2. completed
        ([S.COMPLETED, S.SKIPPED, S.CANCELLED], {}, (B.COMPLETED, "items")),
        ([S.SKIPPED], {}, (B.COMPLETED, "items")),
        ([S.COMPLETED, S.BLOCKED], {"percent": 50}, (B.PENDING, "nothing begun")),
        ([S.IN_PROGRESS], {"percent": 100}, (B.COMPLETED, "percentage")),
        # 3. in progress
        ([S.IN_PROGRESS, S.NOT_STARTED], {"percent": 10, "phase": "x_complete"}, (B.IN_PROGRESS, "items")),
        # 4. the phase
        ([S.NOT_STARTED], {"phase": "build_4e_start"}, (B.IN_PROGRESS, "phase")),
        ([], {"phase": "build_3a_batch_2_complete"}, (B.COMPLETED, "phase")),
        # 5. unknown or pending
        ([], {}, (B.UNKNOWN, "nothing known")),
        ([S.UNKNOWN], {}, (B.UNKNOWN, "nothing known")),
        ([S.UNKNOWN], {"percent": 0.0}, (B.PENDING, "nothing begun")),
        ([S.NOT_STARTED], {}, (B.PENDING, "nothing begun")),
        ([], {"phase": "build_4a_migration_tools"}, (B.UNKNOWN, "nothing known")),
        # a file's own word counts where it has no items
        ([], {"own": S.IN_PROGRESS}, (B.IN_PROGRESS, "items")),
        ([S.NOT_STARTED], {"own": S.COMPLETED}, (B.PENDING, "nothing begun")),
    ],
)
def test_build_status(statuses, said, expected):
    assert pg.build_status(statuses, **said) == expected


@settings(deadline=None)
@given(st.lists(STATUSES), st.one_of(st.none(), PERCENT), st.text(max_size=30), st.booleans(), STATUSES)
def test_how_a_phase_begins_decides_nothing(statuses, percent, phase, errors, own):
    plain = pg.build_status(statuses, percent=percent, phase=f"x_{phase}", errors=errors, own=own)
    build = pg.build_status(statuses, percent=percent, phase=f"build_{phase}", errors=errors, own=own)
    assert plain == build


# -- silence: the same cases as in js/test/derive.test.ts --------------------------------------------------------------

SILENCE = json.loads((Path(__file__).parent / "fixtures" / "silence.json").read_text())


@pytest.mark.parametrize("case", SILENCE, ids=lambda case: case["about"])
def test_which_silence_is_too_long(case):
    assert pg.silent_after(sorted(case["gaps"])) == case["silent_after"]
    assert (
        pg.silent_after(sorted(1_000_000 * gap for gap in case["gaps"]), 1_000_000) == 1_000_000 * case["silent_after"]
    )


# -- life: the same cases as in js/test/life.test.ts -------------------------------------------------------------------

LIFE = json.loads((Path(__file__).parent / "fixtures" / "life.json").read_text())
NOW = datetime.fromisoformat(LIFE["now"])


@pytest.mark.parametrize("case", LIFE["rule"], ids=lambda case: case["about"])
def test_how_alive_a_build_is(case):
    found = pg.life(
        BuildStatus(case["status"]),
        case["running"],
        work_left=case["work_left"],
        evidence_at=None if case["age"] is None else NOW - timedelta(seconds=case["age"]),
        silent_after=case["silent_after"],
        now=NOW,
        claims=case["claims"],
    )
    assert found == case["life"]


@pytest.mark.parametrize("case", LIFE["states"], ids=lambda case: case["about"])
def test_what_of_a_state_says_how_alive_it_is(case):
    assert pg.life_of(msgspec.convert(case["state"], State), NOW) == case["life"]


def test_every_life_has_a_case():
    assert {case["life"] for case in LIFE["rule"]} == set(pg.Life)

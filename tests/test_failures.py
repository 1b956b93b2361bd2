"""One failure is one, however many items tell of it. The same cases as in js/test/derive.test.ts."""

from __future__ import annotations

import json
import re
from datetime import UTC, datetime
from io import StringIO
from pathlib import Path

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.console import Console

from buildwidget.failures import failures, failures_of
from buildwidget.model import Component, Feature, State, Status, Task
from buildwidget.terminal_view import milestones, render
from buildwidget.widget._static import to_html, to_text

CASES = json.loads((Path(__file__).parent / "fixtures" / "failures.json").read_text("utf-8"))


@pytest.mark.parametrize("case", CASES, ids=[case["about"] for case in CASES])
def test_what_is_one_failure(case):
    state = msgspec.convert({key: value for key, value in case.items() if key not in ("about", "failures")}, State)
    found = [{"reason": f.reason, "items": [f"{i.kind} {i.id}" for i in f.items]} for f in failures_of(state)]
    assert found == case["failures"]


IDS = st.sampled_from("abcd")
STATUSES = st.sampled_from([Status.ERROR, Status.ERROR, Status.IN_PROGRESS])
REASONS = st.sampled_from([None, "", "x", " x", "y"])
STATES = st.builds(
    State,
    components=st.lists(st.builds(Component, component_id=IDS, status=STATUSES, error=REASONS), max_size=3),
    features=st.lists(
        st.builds(Feature, feature_id=IDS, component_id=st.none() | IDS, status=STATUSES, error=REASONS), max_size=4
    ),
    tasks=st.lists(st.builds(Task, task_id=IDS, parent_id=st.none() | IDS, status=STATUSES, error=REASONS), max_size=4),
)


@given(STATES)
def test_every_failed_item_is_told_once_and_nothing_else_is(state):
    found = failures_of(state)
    told = [(item.kind, item.id) for failure in found for item in failure.items if item.kind != "phase"]
    last = {
        (kind, getattr(item, f"{kind}_id")): item.status
        for kind in ("component", "feature", "task")
        for item in getattr(state, f"{kind}s")
    }
    assert sorted(told) == sorted(key for key, status in last.items() if status is Status.ERROR)
    assert all(failure.items for failure in found)
    reasons = [failure.reason for failure in found if failure.reason]
    assert len(reasons) == len(set(reasons))


@given(STATES)
def test_every_face_tells_the_same_number(state):
    number = len(failures_of(state))
    told = f"{number} failed" if number else ""
    for text in (to_text(state), to_html(state), milestones(None, state)[0]):
        assert re.findall(r"\b\d+ failed", text) == ([told] if told else [])
    console = Console(file=StringIO(), width=200, height=200, color_system=None, legacy_windows=False)
    console.print(render(state, now=datetime(2026, 1, 1, tzinfo=UTC), width=200, height=200))
    drawn = console.file.getvalue()
    assert re.findall(r"failed (\d+)", drawn) == ([str(number)] if number else [])
    assert len(re.findall(r"^✘ \w+: ", drawn, re.MULTILINE)) == min(number, 4)  # there is room for no more


def test_a_deep_and_wide_build_takes_time_in_proportion():
    """10,000 tasks, each in the one before, all failed: a walk to the root for each would be 50,000,000 steps."""
    chain = [Task(task_id=str(n), parent_id=str(n - 1), status=Status.ERROR) for n in range(10_000)]
    assert [len(f.items) for f in failures(tasks=chain)] == [10_000]
    going_on = [msgspec.structs.replace(task, status=Status.IN_PROGRESS) for task in chain]
    leaves = [Task(task_id=f"leaf {n}", parent_id="9999", status=Status.ERROR, error=str(n)) for n in range(10_000)]
    assert len(failures(tasks=[*going_on, *leaves])) == 10_000


def test_items_that_share_an_id_count_once():
    twice = [Component(component_id="a", status=Status.ERROR)] * 2
    assert len(failures(twice, [Feature(feature_id="a", status=Status.ERROR)])) == 2

"""What is published is checked: times above all."""

from __future__ import annotations

import msgspec
import pytest

from buildwidget import publish
from buildwidget.errors import PublishError
from buildwidget.model import State, Status
from buildwidget.session import BuildSession


@pytest.mark.parametrize(
    "text", ["0001-01-01T00:00:00Z", "0001-01-01T00:00:00+05:00", "9999-12-31T23:59:59-05:00", "9999-12-31T00:00:00"]
)
@pytest.mark.parametrize(
    ("kind", "field"),
    [
        ({"type": "checkpoint_update", "checkpoint_id": "c"}, "created_at"),
        ({"type": "component_update", "component_id": "c"}, "started_at"),
        ({"type": "task_update", "task_id": "t"}, "completed_at"),
        ({"type": "file_change", "file_path": "a.md", "change_type": "created"}, "modified"),
    ],
)
def test_a_time_at_the_edge_of_the_calendar_is_refused(text, kind, field):
    with pytest.raises(PublishError, match=f"message 2: .*{field}"):
        publish.read([{"type": "terminal_output", "output": "x"}, {**kind, field: text}])


def test_times_in_lists_are_checked_and_have_a_zone():
    task = {"id": "t", "timestamp": "2026-03-02T09:00:00"}
    (news,) = publish.read({"type": "feature_update", "feature_id": "f", "tasks": [task]})
    assert news.changes["tasks"][0].timestamp.isoformat() == "2026-03-02T09:00:00+00:00"
    with pytest.raises(PublishError, match=r"tasks\.timestamp"):
        publish.read(
            {"type": "feature_update", "feature_id": "f", "tasks": [{**task, "timestamp": "0001-01-01T00:00:00"}]}
        )


def test_the_words_of_a_checklist_are_mapped_like_those_of_items():
    boxes = [
        {"id": "1", "status": "done"},
        {"id": "2", "status": "running", "completed": False},
        {"id": "3", "completed": True},
        {"id": "4", "status": "resting"},
    ]
    (news,) = publish.read({"type": "feature_update", "feature_id": "f", "tasks": boxes})
    found = [(box.status, box.completed) for box in news.changes["tasks"]]
    assert found == [
        (Status.COMPLETED, True),
        (Status.IN_PROGRESS, False),
        (None, True),
        (Status.UNKNOWN, False),
    ]


def test_a_range_of_the_progress_is_kept_within_0_and_100():
    (progress,) = publish.read({"type": "build_progress", "percent": 50, "low": -3, "high": 187.53})
    assert (progress.percent, progress.low, progress.high) == (50.0, 0.0, 100.0)
    (progress,) = publish.read({"type": "build_progress", "total": 4, "completed": 2})
    assert (progress.low, progress.high) == (None, None)


def test_a_line_of_activity_is_bounded_and_its_time_has_a_zone():
    said = {"type": "activity", "kind": "claimed", "text": "x" * 10_000, "time": "2026-03-02T09:00:00+01:00"}
    (line,) = publish.read({**said, "item": "shop/3"})
    assert (line.kind, len(line.text), line.item, line.source) == ("claimed", publish.MAX_LINE, "shop/3", None)
    assert line.time.isoformat() == "2026-03-02T08:00:00+00:00"
    for wrong in ({"time": "9999-12-31T00:00:00"}, {"kind": None}, {"kind": " "}, {"item": 5}, {"more": 1}):
        with pytest.raises(PublishError, match="activity"):
            publish.read({**said, **wrong})


def test_text_that_utf_8_cannot_hold_is_replaced_wherever_it_stands():
    session = BuildSession(None)
    odd = "n\udfff"
    session.publish(
        [
            {"type": "component_update", "component_id": odd, "files": [odd], "metadata": {odd: [odd]}},
            {"type": "feature_update", "feature_id": "f", "tasks": [{"id": odd, "name": odd}]},
            {"type": "terminal_output", "output": odd + "\n"},
            {"type": "error", "error_message": odd},
            {"type": "activity", "kind": odd},
        ]
    )
    state = session.snapshot()
    assert state.components[0].metadata == {state.components[0].component_id: [state.components[0].files[0]]}
    assert "\udfff" not in repr(state)
    assert msgspec.json.decode(msgspec.json.encode(state), type=State) == state

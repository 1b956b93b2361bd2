"""What is published is checked: times above all."""

from __future__ import annotations

import pytest

from buildwidget import publish
from buildwidget.errors import PublishError


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

"""Hypothesis strategies for records and numbered messages."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import msgspec
from hypothesis import strategies as st

from buildwidget import events as ev
from buildwidget import model

START = datetime(2026, 3, 1, 9, 0, tzinfo=UTC)

ids = st.sampled_from(["api", "auth", "cart", "db", "ui", "\ue000", "\U0001f680", "é", "10.5", "2"])
texts = st.text(st.characters(exclude_categories=["Cs"]), max_size=12)
times = st.integers(0, 10**10).map(lambda us: START + timedelta(microseconds=us - us % 10**5 if us % 3 else us))
maybe_times = st.none() | times
percents = st.integers(0, 1000).map(lambda n: n / 10)
statuses = st.sampled_from(list(model.Status))
metadata = st.dictionaries(texts, st.none() | st.booleans() | st.integers(-(2**53), 2**53) | texts, max_size=3)

maybe_ids = st.none() | ids
maybe_texts = st.none() | texts
checklist = st.builds(
    model.ChecklistTask,
    id=ids,
    name=texts,
    completed=st.booleans(),
    timestamp=maybe_times,
    status=st.none() | statuses,
)
actions = st.builds(model.FileAction, path=texts, action=st.none() | st.sampled_from(["new", "modify", "merge"]))
sources = {"status_source": maybe_texts, "conflict": maybe_texts}
claims = {"owner": maybe_texts, "claimed_at": maybe_times, "heartbeat_at": maybe_times}

components = st.builds(
    model.Component,
    component_id=ids,
    name=texts,
    component_type=st.none() | st.sampled_from(["frontend", "api"]),
    status=statuses,
    status_raw=st.none() | texts,
    progress=percents,
    files=st.lists(texts, max_size=2),
    dependencies=st.lists(ids, max_size=2),
    tests_pass=st.none() | st.booleans(),
    started_at=maybe_times,
    ended_at=maybe_times,
    error=st.none() | texts,
    metadata=metadata,
    created_at=maybe_times,
    **sources,
)
features = st.builds(
    model.Feature,
    feature_id=ids,
    name=texts,
    component_id=st.none() | ids,
    status=statuses,
    progress=percents,
    tasks=st.lists(checklist, max_size=2),
    estimated_minutes=st.none() | percents,
    metadata=metadata,
    feature_type=st.none() | st.sampled_from(["phase", "story"]),
    files=st.lists(actions, max_size=2),
    **sources,
    **claims,
)
tasks = st.builds(model.Task, task_id=ids, name=texts, status=statuses, progress=percents, started_at=maybe_times)
phases = st.builds(
    model.Phase,
    phase_id=ids,
    name=texts,
    step=st.none() | percents,
    status=statuses,
    component_id=maybe_ids,
    feature_id=maybe_ids,
    mode=maybe_texts,
    exit_code=st.none() | st.integers(-9, 255),
    exit_at=maybe_times,
    **claims,
)
activity = st.builds(
    model.Activity,
    kind=st.sampled_from(["claimed", "completed", "decision", "a new kind"]),
    text=texts,
    time=maybe_times,
    item=maybe_ids,
    source=maybe_texts,
)
counts = st.builds(
    model.Counts, components=st.integers(0, 9), by_type=st.dictionaries(texts, st.integers(1, 9), max_size=2)
)
sessions = st.builds(
    model.Session,
    project=texts,
    started_at=maybe_times,
    status=st.sampled_from(list(model.BuildStatus)),
    counts=counts,
    system=st.none() | st.just("buildrunner"),
    present=st.lists(ids, max_size=2),
    evidence_at=maybe_times,
    evidence=maybe_texts,
    silent_after=st.none() | st.sampled_from([120.0, 1800.0]),
)
progress = st.builds(
    model.Progress,
    total=st.none() | st.integers(0, 99),
    percent=st.none() | percents,
    low=st.none() | percents,
    high=st.none() | percents,
)
checkpoint_ids = st.integers(0, 260).map("cp{:03d}".format)
checkpoints = st.builds(model.Checkpoint, checkpoint_id=checkpoint_ids, phase=st.none() | texts, created_at=maybe_times)

paths = st.sampled_from(
    [".buildrunner/context/a.md", ".buildrunner/context/b.md", ".buildrunner/features.json", "x/context/c.md"]
)


def _message(cls: Any) -> Any:
    return lambda item: cls(**msgspec.structs.asdict(item))


drafts = st.one_of(
    components.map(_message(ev.ComponentUpdate)),
    features.map(_message(ev.FeatureUpdate)),
    tasks.map(_message(ev.TaskUpdate)),
    phases.map(_message(ev.PhaseUpdate)),
    checkpoints.map(_message(ev.CheckpointUpdate)),
    sessions.map(_message(ev.SessionUpdate)),
    progress.map(_message(ev.BuildProgress)),
    activity.map(_message(ev.ActivityMessage)),
    st.builds(ev.RuntimeUpdate, runtime=st.none() | texts),
    st.builds(
        ev.Warning_, file_path=paths, code=st.sampled_from(["odd", "empty"]), message=texts, cleared=st.booleans()
    ),
    st.builds(
        ev.FileChange,
        file_path=paths,
        change_type=st.sampled_from(["created", "modified", "deleted", "moved"]),
        size=st.none() | st.integers(0, 9),
        modified=maybe_times,
    ),
    st.builds(
        ev.TerminalOutput,
        output=st.lists(texts, min_size=1, max_size=3).map("\n".join),
        line=st.integers(1, 40) | st.integers(1, 2000),
        source=st.none() | texts,
    ),
    st.builds(ev.Error, error_message=texts),
    st.builds(
        ev.Removed,
        kind=st.sampled_from(["component", "feature", "task", "phase", "checkpoint", "context"]),
        id=ids | checkpoint_ids | paths,
    ),
)


def number(messages: list[Any], first: int = 1) -> list[Any]:
    """Give messages consecutive numbers and times."""
    return [
        msgspec.structs.replace(m, seq=seq, session_id="s", timestamp=START + timedelta(milliseconds=37 * seq))
        for seq, m in enumerate(messages, first)
    ]


logs = st.lists(drafts, max_size=60).map(number)

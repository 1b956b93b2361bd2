"""The fold: what a snapshot and the messages after it give, and that nothing else can come out."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from buildwidget import events as ev
from buildwidget import model
from buildwidget.state import (
    ACTIVITY_WINDOW,
    CHECKPOINT_WINDOW,
    KINDS,
    TERMINAL_WINDOW,
    WARNING_WINDOW,
    BuildState,
    Delta,
    fold,
)

from . import strategies as my

NOW = my.START


def as_json(state: Any) -> Any:
    return json.loads(msgspec.json.encode(state))


@given(my.logs, st.data())
def test_a_snapshot_folded_with_what_follows_is_the_later_snapshot(log: list[Any], data: st.DataObject) -> None:
    cut = data.draw(st.integers(0, len(log)))
    early = fold(log[:cut])
    wire = msgspec.json.decode(msgspec.json.encode(early.snapshot()), type=model.State)
    late = fold([ev.decode(ev.encode(event)) for event in log[cut:]], wire, cut)
    assert as_json(late.snapshot()) == as_json(fold(log).snapshot())
    assert late.seq == len(log)


@given(my.logs)
def test_a_message_that_comes_twice_changes_nothing(log: list[Any]) -> None:
    state = fold(log)
    before = as_json(state.snapshot())
    for event in log:
        state.apply(event)
    assert as_json(state.snapshot()) == before


def test_an_item_that_comes_twice_in_one_delta_ends_as_the_last_one_says() -> None:
    before, other = model.Phase(phase_id="1", name="before"), model.Phase(phase_id="1", name="other")
    state = BuildState()
    for delta in (Delta(items=[before]), Delta(items=[other, before]), Delta(removed=[("phase", "1")], items=[before])):
        for change in state.diff(delta, session_id="s", now=NOW):
            state.apply(*change)
        assert state.get("phase", "1") == before


@given(st.lists(my.components | my.features | my.tasks | my.phases, max_size=12), my.logs)
def test_diff_then_apply_reaches_what_was_asked_for_and_then_rests(items: list[Any], log: list[Any]) -> None:
    state = fold(log)
    delta = Delta(items=items, progress=model.Progress(percent=12.5), session=model.Session(project="p"))
    changes = state.diff(delta, session_id="s", now=NOW)
    assert [event.seq for event, _ in changes] == list(range(state.seq + 1, state.seq + 1 + len(changes)))
    for change in changes:
        state.apply(*change)
    wanted = {(KINDS[type(i)][0], getattr(i, KINDS[type(i)][1])): i for i in items}
    for (kind, item_id), item in wanted.items():
        assert state.get(kind, item_id) == item
    again = Delta(items=list(wanted.values()), progress=delta.progress, session=delta.session)
    assert state.diff(again, session_id="s", now=NOW) == []


def test_the_fold_keeps_the_records_that_it_was_given_and_a_reader_of_the_messages_has_their_equals() -> None:
    items = [
        model.Component(component_id="a", files=["x.py"], metadata={"deep": [1]}),
        model.Feature(feature_id="a.1", tasks=[model.ChecklistTask(id="1", completed=True)]),
        model.Task(task_id="t"),
        model.Phase(phase_id="1", history=[model.PhaseStep(step=1.0)]),
        model.Checkpoint(checkpoint_id="c", created_at=NOW),
    ]
    assert {type(item) for item in items} == set(KINDS)
    warning = model.BuildWarning(file_path="f", code="torn", message="m")
    happened = model.Activity(kind="claimed", item="a.1", text="phase 1 is claimed", time=NOW, source="claim.json")
    session, progress = model.Session(project="p"), model.Progress(percent=1.0)
    delta = Delta(
        items=items,
        removed=[("checkpoint", "old")],
        messages=[ev.Error(error_message="e")],
        warnings=[(warning, False)],
        activity=[happened],
        runtime=model.Runtime(runtime="r"),
        progress=progress,
        session=session,
    )
    here, there = BuildState(), BuildState()
    changes = here.diff(delta, session_id="s", now=NOW)
    assert [ev.type_of(event) for event, record in changes if record is None] == ["removed", "error"]
    for event, record in changes:
        here.apply(event, record)
        there.apply(ev.decode(ev.encode(event)))  # a client: it has the messages only
        assert record is None or ev.item_of(event) == record
    for item in items:
        kind, id_field = KINDS[type(item)]
        assert here.get(kind, getattr(item, id_field)) is item
    kept = here.snapshot()
    assert (kept.session, kept.progress, kept.runtime) == (session, progress, delta.runtime)
    assert kept.session is session
    assert kept.progress is progress
    assert kept.runtime is delta.runtime
    assert kept.warnings[0] is warning
    assert kept.activity[0] is happened
    assert there.snapshot() == kept
    assert as_json(there.snapshot()) == as_json(kept)


def test_every_record_that_has_a_message_becomes_one_and_comes_back() -> None:
    """A message is its record and the common fields: no field is lost on the way down or up."""
    common = {"seq", "session_id", "timestamp", "cleared"}
    others = {model.Session, model.Progress, model.Runtime, model.BuildWarning, model.Activity}
    assert {*KINDS, *others} == set(ev.MESSAGES)
    for record, message in ev.MESSAGES.items():
        assert set(message.__struct_fields__) - common == set(record.__struct_fields__)


@given(my.logs)
def test_lists_are_sorted_and_windows_hold(log: list[Any]) -> None:
    state = fold(log).snapshot()
    assert [c.component_id for c in state.components] == sorted(c.component_id for c in state.components)
    assert [r.line for r in state.terminal.tail] == sorted({r.line for r in state.terminal.tail})
    assert state.terminal.next_line > max((r.line for r in state.terminal.tail), default=0)


def test_every_numbered_message_survives_the_wire() -> None:
    @settings(max_examples=200)
    @given(my.drafts)
    def check(message: Any) -> None:
        assert ev.decode(ev.encode(message)) == message

    check()


def test_the_newest_checkpoints_are_kept() -> None:
    items = [
        ev.CheckpointUpdate(checkpoint_id=f"c{n:04d}", created_at=NOW + timedelta(seconds=n % 300)) for n in range(300)
    ]
    state = fold(my.number(items)).snapshot()
    assert len(state.checkpoints) == CHECKPOINT_WINDOW
    assert state.checkpoints[0].checkpoint_id == "c0100"
    assert state.checkpoints[-1].checkpoint_id == "c0299"


def test_a_checkpoint_that_changes_its_time_moves() -> None:
    first = [ev.CheckpointUpdate(checkpoint_id=i, created_at=NOW + timedelta(hours=n)) for n, i in enumerate("abc")]
    moved = ev.CheckpointUpdate(checkpoint_id="a", created_at=NOW + timedelta(hours=9))
    state = fold(my.number([*first, moved])).snapshot()
    assert [c.checkpoint_id for c in state.checkpoints] == ["b", "c", "a"]


def test_terminal_lines_are_numbered_replaced_and_bounded() -> None:
    lines = [ev.TerminalOutput(output=f"line {n}\n", line=n) for n in range(1, TERMINAL_WINDOW + 101)]
    partial = ev.TerminalOutput(output="half", line=601)
    whole = ev.TerminalOutput(output="half and whole\nnext\n", line=601)
    terminal = fold(my.number([*lines, partial, whole])).snapshot().terminal
    assert (terminal.first_line, terminal.next_line, len(terminal.tail)) == (103, 603, TERMINAL_WINDOW)
    assert [r.text for r in terminal.tail[-2:]] == ["half and whole", "next"]


def test_warnings_are_bounded_and_can_be_cleared() -> None:
    many = [ev.Warning_(file_path=f"f{n:04d}", code="empty", message="m") for n in range(WARNING_WINDOW + 50)]
    cleared = ev.Warning_(file_path="f0000", code="empty", message="m", cleared=True)
    state = fold(my.number([*many, cleared])).snapshot()
    assert len(state.warnings) == WARNING_WINDOW - 1
    assert state.warnings[0].file_path == "f0001"


def test_the_newest_lines_of_activity_are_kept_in_the_order_of_their_arrival() -> None:
    lines = [model.Activity(kind="claimed", text=f"{n}", time=NOW - timedelta(seconds=n)) for n in range(230)]
    state = BuildState()
    for line in lines:
        for change in state.diff(Delta(activity=[line, line]), session_id="s", now=NOW):
            state.apply(*change)
    assert state.seq == 2 * len(lines)
    assert state.snapshot().activity == [line for line in lines for _ in "12"][-ACTIVITY_WINDOW:]
    assert BuildState(model.State(activity=lines)).snapshot().activity == lines[-ACTIVITY_WINDOW:]


# What the first edition had: its clients find every one of these, and nothing more where nothing more is known.
FIRST: dict[type, set[str]] = {
    model.ChecklistTask: {"id", "name", "completed", "timestamp"},
    model.Component: {
        *("component_id", "name", "component_type", "status", "status_raw", "progress", "files", "dependencies"),
        *("tests_pass", "started_at", "ended_at", "error", "metadata"),
    },
    model.Feature: {
        *("feature_id", "name", "description", "component_id", "status", "status_raw", "progress", "priority"),
        *("tasks", "dependencies", "estimated_minutes", "actual_minutes", "error", "metadata"),
    },
    model.Phase: {
        *("phase_id", "name", "step", "step_label", "status", "status_raw", "tasks_total", "tasks_done"),
        *("current_task", "errors", "warnings", "history", "started_at", "updated_at", "metadata"),
    },
    model.Counts: {"components", "features", "tasks", "phases", "checkpoints", "files", "warnings"},
    model.Session: {"project", "status", "status_source", "phase", "started_at", "ended_at", "counts"},
    model.Progress: {"total", "completed", "percent", "status", "current_component", "current_feature"},
    model.State: {
        *("session", "components", "features", "tasks", "phases", "checkpoints", "progress", "terminal", "context"),
        *("runtime", "warnings", "updated_at"),
    },
}


@pytest.mark.parametrize("record", FIRST)
def test_what_is_not_known_costs_nothing_on_the_wire_and_what_clients_rely_on_is_always_there(record: type) -> None:
    ids = {field.name: "x" for field in msgspec.structs.fields(record) if field.required}
    assert set(as_json(record(**ids))) == FIRST[record]
    if record in ev.MESSAGES:
        assert set(as_json(ev.MESSAGES[record](**ids))) == FIRST[record] | {"type", "seq", "session_id", "timestamp"}


def test_a_snapshot_of_the_first_edition_is_read() -> None:
    old = {"components": [{"component_id": "a"}], "features": [{"feature_id": "f", "tasks": [{"id": "1"}]}]}
    state = msgspec.convert(old, model.State)
    assert (state.features[0].files, state.features[0].tasks[0].status, state.activity) == ([], None, [])
    state.features[0].files.append(model.FileAction(path="a.py"))
    assert model.Feature(feature_id="g").files == []
    state.features[0].dependencies.append("a")
    state.features[0].metadata["a"] = 1
    assert model.Feature(feature_id="g") == model.Feature(feature_id="g", dependencies=[], metadata={})


def test_only_context_markdown_is_context() -> None:
    changes = [
        ev.FileChange(file_path=".buildrunner/context/a.md", change_type="created", size=1),
        ev.FileChange(file_path=".buildrunner/context/b.md", change_type="created", size=2),
        ev.FileChange(file_path=".buildrunner/features.json", change_type="modified", size=3),
        ev.FileChange(file_path=".buildrunner/context/a.md", change_type="deleted"),
    ]
    assert [c.file_path for c in fold(my.number(changes)).snapshot().context] == [".buildrunner/context/b.md"]


def test_the_time_of_the_state_is_that_of_its_newest_message() -> None:
    log = my.number([ev.Error(error_message="e"), ev.Error(error_message="f")])
    assert fold(log).snapshot().updated_at == log[-1].timestamp
    assert BuildState().snapshot().updated_at is None


def test_a_snapshot_does_not_change_later() -> None:
    state = fold(my.number([ev.ComponentUpdate(component_id="a", progress=1.0)]))
    before = state.snapshot()
    state.apply(ev.ComponentUpdate(component_id="a", progress=2.0, seq=2, timestamp=datetime(2026, 1, 1, tzinfo=UTC)))
    assert before.components[0].progress == 1.0
    assert state.snapshot().components[0].progress == 2.0


LOGS = sorted((Path(__file__).parent / "fixtures" / "logs").glob("*.json"))


@pytest.mark.parametrize("path", LOGS, ids=lambda p: p.stem)
def test_recorded_logs_fold_as_recorded(path: Path) -> None:
    """The same files are folded by the front end's tests: both languages agree."""
    recorded = json.loads(path.read_text("utf-8"))
    start = msgspec.convert(recorded["snapshot"], model.State, strict=True)
    log = [ev.decode(json.dumps(message)) for message in recorded["messages"]]
    result = fold(log, start, (log[0].seq or 1) - 1 if log else 0)
    assert as_json(result.snapshot()) == recorded["result"]


def test_there_are_recorded_logs() -> None:
    assert len(LOGS) >= 3

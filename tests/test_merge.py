"""Many files, one build: the published rules, one by one, and what must hold for any order of files."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import msgspec
from hypothesis import given
from hypothesis import strategies as st

from buildwidget.merge import Merge
from buildwidget.model import (
    BuildStatus,
    BuildWarning,
    Checkpoint,
    Component,
    Feature,
    Phase,
    Runtime,
    State,
    Status,
    Task,
    TsSource,
)
from buildwidget.reading.items import Tally
from buildwidget.reading.values import ItemWarning
from buildwidget.state import BuildState, Delta
from buildwidget.systems.record import Record, Shape

from . import strategies as my


def at(minutes: float) -> Any:
    return my.START + timedelta(minutes=minutes)


def record(path: str, shape: Shape, minutes: float, **fields: Any) -> Record:
    return Record(path=path, shape=shape, time=at(minutes), ts_source=TsSource.FILE, **fields)


def checkpoint(
    name: str, minutes: float, status: str = "created", files: list[str] | None = None, **fields: Any
) -> Any:
    made = Checkpoint(checkpoint_id=name, status=status, created_at=at(minutes), files_created=files or [])
    path = f".buildrunner/checkpoints/{name}.json"
    return path, record(path, Shape.CHECKPOINT, minutes, checkpoint=made, **fields)


def component(name: str, status: Status = Status.IN_PROGRESS, progress: float = 50.0, **fields: Any) -> Component:
    return Component(component_id=name, status=status, status_raw=str(status), progress=progress, **fields)


class Build:
    """A merge and the state it leads to."""

    def __init__(self) -> None:
        self.merge, self.fold = Merge("project"), BuildState()

    def say(self, *changes: Any) -> Delta:
        delta = self.merge.update(changes)
        for change in self.fold.diff(delta, session_id="s", now=my.START):
            self.fold.apply(*change)
        return delta

    @property
    def state(self) -> State:
        return self.fold.snapshot()

    def ids(self) -> list[str]:
        return [c.component_id for c in self.state.components]


def test_components_come_from_the_newest_checkpoint_that_holds_any() -> None:
    build = Build()
    build.say(checkpoint("a", 1, components=[component("old"), component("both")]))
    build.say(checkpoint("b", 2, components=[component("both", progress=80.0)]))
    assert build.ids() == ["both"]
    build.say(checkpoint("c", 3))  # an empty list never removes
    assert build.ids() == ["both"]
    assert build.state.components[0].progress == 80.0


def test_a_rolled_back_checkpoint_no_longer_speaks() -> None:
    build = Build()
    build.say(checkpoint("a", 1, components=[component("x", progress=10.0)], files=["one.py"]))
    build.say(
        checkpoint("b", 2, components=[component("x", progress=90.0), component("y")], files=["one.py", "two.py"])
    )
    assert build.state.session.counts.files == 2
    build.say(checkpoint("b", 2, "rolled_back", components=[component("x", progress=90.0), component("y")]))
    state = build.state
    assert [(c.component_id, c.progress) for c in state.components] == [("x", 10.0)]
    assert [(c.checkpoint_id, c.status) for c in state.checkpoints] == [("a", "created"), ("b", "rolled_back")]
    assert (state.session.counts.checkpoints, state.session.counts.files) == (2, 1)


def test_a_file_read_again_changes_nothing() -> None:
    build = Build()
    change = checkpoint("a", 1, components=[component("x")])
    build.say(change)
    seq = build.fold.seq
    delta = build.say((change[0], msgspec.convert(msgspec.to_builtins(change[1]), Record)))
    assert delta.items == []
    assert build.fold.seq == seq


def test_the_version_counts_contents() -> None:
    build = Build()
    build.say(checkpoint("a", 1))
    build.say(checkpoint("a", 1))
    assert build.state.checkpoints[0].version == 1
    build.say(checkpoint("a", 1, "rolled_back"))
    build.say(checkpoint("a", 1, "active"))
    assert build.state.checkpoints[0].version == 3


def test_the_newest_wins_field_by_field() -> None:
    build = Build()
    features = ".buildrunner/features.json"
    old = Feature(
        feature_id="f",
        name="Login",
        description="long",
        priority="high",
        status=Status.COMPLETED,
        status_raw="complete",
        progress=100.0,
    )
    new = Feature(feature_id="f", name="Log in", status=Status.IN_PROGRESS, status_raw="active", progress=40.0)
    build.say((features, record(features, Shape.FEATURES, 1, features=[old])))
    build.say(checkpoint("a", 2, features=[new]))
    [feature] = build.state.features
    assert (feature.name, feature.description, feature.priority) == ("Log in", "long", "high")
    assert (feature.status, feature.status_raw, feature.progress) == (Status.IN_PROGRESS, "active", 40.0)


def test_at_the_same_time_the_checkpoint_wins() -> None:
    for order in (1, -1):
        build = Build()
        features = ".buildrunner/features.json"
        said = [
            (features, record(features, Shape.FEATURES, 1, features=[Feature(feature_id="f", name="registry")])),
            checkpoint("a", 1, features=[Feature(feature_id="f", name="checkpoint")]),
        ]
        build.say(*said[::order])
        assert build.state.features[0].name == "checkpoint"


def test_an_item_goes_with_its_last_source() -> None:
    build = Build()
    one, two = ".buildrunner/state/orchestration_state.json", ".buildrunner/x/orchestration_state.json"
    for path in (one, two):
        build.say((path, record(path, Shape.ORCHESTRATION, 1, tasks=[Task(task_id="t", name=path)])))
    build.say((one, None))
    assert [t.task_id for t in build.state.tasks] == ["t"]
    delta = build.say((two, None))
    assert delta.removed == [("task", "t")]
    assert build.state.tasks == []


def test_a_broken_file_warns_and_keeps_what_it_said() -> None:
    build = Build()
    path, good = checkpoint("a", 1, components=[component("x")])
    build.say((path, good))
    build.say((path, BuildWarning(file_path=path, code="empty", message="it is empty")))
    assert build.ids() == ["x"]
    assert [(w.code, w.message) for w in build.state.warnings] == [("empty", "it is empty")]
    build.say((path, BuildWarning(file_path=path, code="not_json", message="cut")))
    assert [w.code for w in build.state.warnings] == ["not_json"]
    assert build.state.session.counts.warnings == 1
    build.say((path, good))
    assert build.state.warnings == []
    assert build.state.session.counts.warnings == 0


def test_odd_values_warn_until_they_are_mended() -> None:
    build = Build()
    path, odd = checkpoint("a", 1)
    odd.warnings = [ItemWarning("odd_value", "progress is text"), ItemWarning("odd_value", "another")]
    build.say((path, odd))
    assert [w.message for w in build.state.warnings] == ["progress is text (and 1 more)"]
    build.say(checkpoint("a", 1, "active"))
    assert build.state.warnings == []


def test_the_percentage_is_the_first_that_is_known() -> None:
    build = Build()
    plan, lock, orchestration = (
        ".buildrunner/orchestration.json",
        ".buildrunner/locks/5/progress.json",
        ".buildrunner/state/orchestration_state.json",
    )
    workflow = ".buildrunner/workflows/workflow_1_checkpoint.json"
    build.say((workflow, record(workflow, Shape.WORKFLOW, 1, percent=10.0, tally=Tally(total=10, completed=1))))
    assert (build.state.progress.percent, build.state.progress.total) == (10.0, 10)
    build.say((plan, record(plan, Shape.BATCHES, 1, percent=20.0)))
    assert build.state.progress.percent == 20.0
    phase = Phase(phase_id="5", status=Status.IN_PROGRESS, status_raw="active", updated_at=at(1))
    build.say((lock, record(lock, Shape.LOCK, 1, percent=30.0, phases=[phase])))
    assert build.state.progress.percent == 30.0
    assert build.state.session.phase == "5"
    build.say((orchestration, record(orchestration, Shape.ORCHESTRATION, 1, percent=40.0)))
    assert build.state.progress.percent == 40.0
    build.say(checkpoint("a", 1, components=[component("x", progress=50.0)]))
    assert build.state.progress.percent == 50.0
    assert build.state.session.status_source.startswith("components_and_features")


def test_nothing_known_is_unknown_not_zero() -> None:
    build = Build()
    build.say(checkpoint("a", 1))
    assert build.state.progress.percent is None
    assert build.state.session.status is BuildStatus.UNKNOWN


def test_a_pause_between_two_items_is_not_pending() -> None:
    build = Build()
    done, waiting = component("a", Status.COMPLETED, 100.0), component("b", Status.NOT_STARTED, 0.0)
    build.say(checkpoint("a", 1, components=[done, waiting]))
    assert build.state.session.status is BuildStatus.IN_PROGRESS


def test_the_end_of_a_phase_is_not_the_end_of_the_build() -> None:
    build = Build()
    done, waiting = component("a", Status.COMPLETED, 100.0), component("b", Status.NOT_STARTED, 0.0)
    build.say(checkpoint("a", 1, components=[done, waiting], phase="auth_complete"))
    assert build.state.session.status is BuildStatus.IN_PROGRESS
    build.say(checkpoint("b", 2, phase="build_1_complete"))
    assert build.state.session.status is BuildStatus.IN_PROGRESS
    build.say(checkpoint("c", 3, components=[done], phase="build_1_start"))
    assert build.state.session.status is BuildStatus.COMPLETED


def test_a_newer_word_that_says_the_same_is_newer_all_the_same() -> None:
    """Else the state would depend on the order in which the files were read."""
    path = ".buildrunner/features.json"
    working = Feature(feature_id="f", status=Status.IN_PROGRESS, status_raw="active", progress=40.0)
    done = Feature(feature_id="f", status=Status.COMPLETED, status_raw="done", progress=100.0)
    said = [
        checkpoint("a", 0, features=[working]),
        (path, record(path, Shape.FEATURES, 5, features=[done])),
        checkpoint("b", 10, features=[working]),
    ]
    live, cold = Build(), Build()
    for change in said:
        live.say(change)
    cold.say(*said)
    assert live.state.features == cold.state.features == [working]


def test_the_runtime_is_that_of_the_newest_file_and_goes_with_the_last() -> None:
    build = Build()
    new, old = ".buildrunner/checkpoints/a.json", ".buildrunner/checkpoints/b.json"
    build.say(
        (new, record(new, Shape.RUNTIME, 2, runtime=Runtime(runtime="new"))),
        (old, record(old, Shape.RUNTIME, 1, runtime=Runtime(runtime="old"))),
    )
    assert build.state.runtime == Runtime(runtime="new")
    build.say((new, None))
    assert build.state.runtime == Runtime(runtime="old")
    build.say((old, None))
    assert build.state.runtime == Runtime()


def test_an_error_goes_with_its_status() -> None:
    build = Build()
    path = ".buildrunner/features.json"
    failed = Feature(feature_id="f", status=Status.ERROR, status_raw="failed", error="boom")
    build.say((path, record(path, Shape.FEATURES, 1, features=[failed])))
    build.say(checkpoint("a", 2, features=[Feature(feature_id="f", status=Status.ERROR, status_raw="error")]))
    assert build.state.features[0].error == "boom"
    done = Feature(feature_id="f", status=Status.COMPLETED, status_raw="done", progress=100.0)
    build.say(checkpoint("b", 3, features=[done]))
    assert build.state.features[0].error is None


def test_what_had_no_room_in_a_window_is_shown_when_there_is_room() -> None:
    build = Build()
    paths = [f".buildrunner/checkpoints/{n:03d}.json" for n in range(250)]
    build.say(*((p, BuildWarning(file_path=p, code="empty", message="is empty")) for p in paths))
    assert len(build.state.warnings) == 200
    build.say(*((p, None) for p in paths[:245]))
    assert [w.file_path for w in build.state.warnings] == paths[245:]
    made = [checkpoint(f"cp{n:03d}", n) for n in range(250)]
    build.say(*made)
    build.say(*((path, None) for path, _ in made[100:]))
    assert len(build.state.checkpoints) == build.state.session.counts.checkpoints == 100


def test_start_and_end() -> None:
    build = Build()
    build.say(checkpoint("a", 5, components=[component("x", started_at=at(3))]))
    assert build.state.session.started_at == at(3)
    assert build.state.session.ended_at is None
    build.say(checkpoint("b", 9, components=[component("x", Status.COMPLETED, 100.0, started_at=at(3))]))
    assert build.state.session.ended_at == at(9)


names = st.sampled_from("abcd")
said = st.builds(
    lambda name, minutes, status, parts: checkpoint(name, minutes, status, components=parts),
    names,
    st.integers(0, 3),
    st.sampled_from(["created", "rolled_back"]),
    st.lists(my.components, max_size=3, unique_by=lambda c: c.component_id),
) | names.map(lambda name: (f".buildrunner/checkpoints/{name}.json", None))


@given(st.lists(said, max_size=12))
def test_the_state_is_what_the_last_word_of_each_file_means(changes: list[Any]) -> None:
    live = Build()
    live.say()
    for change in changes:
        live.say(change)
    cold = Build()
    cold.say(*dict(changes).items())
    a, b = live.state, cold.state
    assert a.components == b.components
    assert [(c.checkpoint_id, c.status) for c in a.checkpoints] == [(c.checkpoint_id, c.status) for c in b.checkpoints]
    assert a.session == b.session
    assert a.progress == b.progress


@given(st.lists(said, max_size=12))
def test_the_counts_are_those_of_the_lists(changes: list[Any]) -> None:
    build = Build()
    for change in changes:
        build.say(change)
    state = build.state
    assert state.session.counts.components == len(state.components)
    assert state.session.counts.checkpoints == len(state.checkpoints)

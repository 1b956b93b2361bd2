"""The demo that is run from a plan: its files are those of a real build, and what is said of them is true."""

from __future__ import annotations

import time
from collections.abc import Callable
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from functools import cache
from itertools import pairwise
from pathlib import Path

import pytest

from buildwidget.cli._demo import ScenarioName
from buildwidget.demo import DemoRunner, Scenario, Step, ensure_demo, prepare, write_instant
from buildwidget.demo.plan_product import ADDED, BATCHES, FINISHED, PHASES
from buildwidget.demo.runner import SECONDS_PER_MINUTE, length, simulate
from buildwidget.model import BuildStatus, Feature, State, Status
from buildwidget.progress import Life
from buildwidget.session import BuildSession
from buildwidget.session.cold import read_state
from buildwidget.summary import Summary, summarise
from buildwidget.systems import parse, shape_of
from buildwidget.systems.record import Shape

START = datetime(2026, 1, 5, 9, 0, tzinfo=UTC)
PLANS = [scenario for scenario in Scenario if scenario.is_plan]
PLAN = ".buildrunner/builds/BUILD_online-booking.md"


@cache
def steps(scenario: Scenario, seed: int = 0) -> list[Step]:
    return list(simulate(scenario, seed, start=START).steps())


def flat(found: list[Step]) -> list[tuple[float, str, str, bool]]:
    return [(step.minute, write.path, write.content, write.remove) for step in found for write in step.writes]


def plans(scenario: Scenario) -> list[str]:
    """Every text that the plan had."""
    return [write.text for step in steps(scenario) for write in step.writes if write.path == PLAN]


def at_end(folder: Path, scenario: Scenario, *, ago: timedelta = timedelta(minutes=4)) -> tuple[State, Summary]:
    """What is said of a build that has just ended."""
    now = datetime.now(UTC)
    write_instant(prepare(folder), scenario, end=now - ago)
    state = read_state(folder, now)
    return state, summarise(state, now)


def with_status(state: State, status: Status) -> set[str]:
    """The ids of the present build's phases that have a status."""
    return {
        item.feature_id.rpartition("/")[2]
        for item in state.features
        if item.component_id == "online-booking" and item.status is status
    }


def locked(folder: Path) -> set[str]:
    return {path.parent.name.removeprefix("phase-") for path in folder.glob(".buildrunner/locks/*/claim.json")}


def seen_while_it_runs(folder: Path, scenario: Scenario, look: Callable[[Step, State], None]) -> None:
    """Play a build, and look at its files after each of its milestones."""
    DemoRunner(
        prepare(folder),
        scenario,
        duration=1.5,
        on_step=lambda step: look(step, read_state(folder)) if step.note else None,
    ).run()


# -- all scenarios ----------------------------------------------------------------------------------------------------


def test_the_command_line_knows_every_scenario() -> None:
    assert {name.value for name in ScenarioName} == {scenario.value for scenario in Scenario}


def test_the_phases_are_a_sound_graph() -> None:
    specs = [*PHASES, *ADDED]
    ids = [spec.id for spec in specs]
    assert len(ids) == len(set(ids))
    done: set[str] = set()
    for batch in (*BATCHES, *((spec.id,) for spec in ADDED)):
        for id_ in batch:
            assert set(next(spec for spec in specs if spec.id == id_).blocked_by) <= done
        done |= set(batch)
    assert done == set(ids)
    for spec in (*specs, *(phase for plan in FINISHED for phase in plan.phases)):
        assert spec.files
        assert 3 <= len(spec.deliverables) <= 10


@pytest.mark.parametrize("scenario", PLANS)
def test_the_same_seed_makes_the_same_writes_and_another_one_others(scenario: Scenario) -> None:
    assert flat(list(simulate(scenario, 0, start=START).steps())) == flat(steps(scenario))
    assert flat(steps(scenario, 1)) != flat(steps(scenario))


@pytest.mark.parametrize("scenario", PLANS)
def test_a_dry_run_takes_the_same_course(scenario: Scenario) -> None:
    dry = list(simulate(scenario, 0, start=START, dry=True).steps())
    assert [(step.minute, step.note) for step in dry] == [(step.minute, step.note) for step in steps(scenario)]
    assert not any(step.writes for step in dry)


@pytest.mark.parametrize("scenario", PLANS)
def test_it_takes_two_to_three_minutes_with_every_seed(scenario: Scenario) -> None:
    for seed in range(12):
        assert 50 < length(scenario, seed) * SECONDS_PER_MINUTE < 240
        minutes = [step.minute for step in simulate(scenario, seed, start=START, dry=True).steps()]
        assert minutes == sorted(minutes)


@pytest.mark.parametrize("pace", [1.0, 0.004, 0.0001])
@pytest.mark.parametrize("scenario", PLANS)
def test_every_file_parses_at_every_step(scenario: Scenario, pace: float) -> None:
    shapes: set[Shape] = set()
    simulation = simulate(scenario, 0, start=START, pace=pace)
    for step in simulation.steps():
        for write in step.writes:
            shape = shape_of(write.path)
            if write.remove or shape is None:
                continue
            record = parse(write.path, write.content.encode(), simulation.clock.at(step.minute))
            assert record.warnings == [], (write.path, write.content)
            assert record.shape is shape
            shapes.add(record.shape)
    assert shapes >= {
        Shape.PLAN, Shape.CLAIM, Shape.HEARTBEAT, Shape.LOCK, Shape.JOURNAL, Shape.BATCHES, Shape.CURRENT_PHASE,
    }  # fmt: skip


@pytest.mark.parametrize("scenario", PLANS)
def test_times_are_those_of_one_clock(scenario: Scenario, tmp_path: Path) -> None:
    """A live build, however fast: no file tells a later time than its own, and none is much older."""
    folder = prepare(tmp_path / "p")
    assert DemoRunner(folder, scenario, duration=1.0).run()
    for path in folder.glob(".buildrunner/locks/*/heartbeat"):
        said = datetime.fromisoformat(path.read_text("utf-8").strip())
        assert abs(datetime.fromtimestamp(path.stat().st_mtime, UTC) - said) < timedelta(seconds=1)
    finished = [path for path in folder.glob(".buildrunner/builds/*.md") if path.name != PLAN.rpartition("/")[2]]
    assert len(finished) == len(FINISHED)
    for path in finished:
        age = datetime.now(UTC) - datetime.fromtimestamp(path.stat().st_mtime, UTC)
        assert age > timedelta(days=2), "a plan of an earlier week is as old as it says"


def test_a_heartbeat_is_never_cut(tmp_path: Path) -> None:
    """It is one line, and one write: a reader finds it whole or empty, as where a shell writes it."""
    folder = prepare(tmp_path / "p")
    runner = DemoRunner(folder, Scenario.PLAN, duration=3.0)
    sizes: set[int] = set()
    thread = runner.start()
    while thread.is_alive():
        for path in folder.glob(".buildrunner/locks/*/heartbeat"):
            with suppress(FileNotFoundError):
                sizes.add(len(path.read_bytes()))
    assert sizes - {0} == {len("2026-01-05T09:00:00.000Z\n")}


# -- a build that goes well -------------------------------------------------------------------------------------------


def test_plan(tmp_path: Path) -> None:
    state, summary = at_end(tmp_path / "p", Scenario.PLAN)
    assert state.session.status is BuildStatus.COMPLETED
    assert (summary.system, summary.present) == ("buildrunner", ["online-booking"])
    assert (summary.percent, summary.life) == (100, Life.DONE)
    assert with_status(state, Status.COMPLETED) == {str(n) for n in range(1, 10)}
    assert {item.component_id for item in state.components} == {"online-booking", *(plan.slug for plan in FINISHED)}
    assert {item.status for item in state.components} == {Status.COMPLETED}
    assert list(summary.conflicts) == ["online-booking/2"], "the lock left behind, and nothing else"
    assert "left behind" in summary.conflicts["online-booking/2"]
    assert state.warnings == []


def test_plan_while_it_runs(tmp_path: Path) -> None:
    folder, seen = tmp_path / "p", set[str]()
    percents: list[float] = []
    lagging = 0

    def look(step: Step, state: State) -> None:
        nonlocal lagging
        running = with_status(state, Status.IN_PROGRESS)
        assert running == locked(folder) - with_status(state, Status.COMPLETED)
        assert state.session.present == ["online-booking"]
        seen.update(running)
        percents.append(state.progress.percent or 0)
        if running:
            assert state.session.status is BuildStatus.IN_PROGRESS
            assert summarise(state, datetime.now(UTC)).life is Life.ALIVE
        lagging += sum(item.conflict == "the plan says not started" for item in state.features)

    seen_while_it_runs(folder, Scenario.PLAN, look)
    assert seen == {str(n) for n in range(1, 10)}
    assert lagging > 5, "the plan lags behind its locks"
    assert percents[0] == 0
    assert percents[-1] == 100


def test_boxes_are_ticked_all_at_once() -> None:
    for text in plans(Scenario.PLAN):
        for phase in text.split("### Phase ")[1:]:
            boxes = phase.count("- [x]"), phase.count("- [ ]")
            assert 0 in boxes
            assert ("✅ COMPLETE" in phase.split("**Goal")[0]) == (boxes[0] > 0)


def test_a_phase_is_added_while_the_build_runs() -> None:
    counts = [text.count("### Phase ") for text in plans(Scenario.PLAN)]
    assert counts == sorted(counts)
    assert (counts[0], counts[-1]) == (8, 9)
    assert "_(added: 2026-01-05)_" in plans(Scenario.PLAN)[-1]


def test_the_plan_is_complete_before_its_lock_goes() -> None:
    gone: dict[str, float] = {}
    complete: dict[str, float] = {}
    claimed: dict[str, float] = {}
    for step in steps(Scenario.PLAN):
        for write in step.writes:
            if write.path == PLAN:
                for phase in write.text.split("### Phase ")[1:]:
                    id_, _, rest = phase.partition(":")
                    if "**Status:** ✅" in rest:
                        complete.setdefault(id_, step.minute)
            elif write.path.endswith("claim.json"):
                claimed[write.path.split("/")[2].removeprefix("phase-")] = step.minute
            elif write.remove and "/locks/" in write.path:
                gone[write.path.split("/")[2].removeprefix("phase-")] = step.minute
    assert set(claimed) - set(gone) == {"2"}, "one lock is left behind"
    for id_, minute in gone.items():
        assert claimed[id_] < complete[id_] < minute < complete[id_] + 6


def test_a_session_follows_it_live(tmp_path: Path) -> None:
    folder = prepare(tmp_path / "p")
    session = BuildSession(folder)
    session.open()
    try:
        assert DemoRunner(folder, Scenario.PLAN, seed=3, duration=3.0).run()
        session.refresh()
        state = session.snapshot()
    finally:
        session.close()
    assert state.session.status is BuildStatus.COMPLETED
    assert state.progress.percent == 100
    assert state.warnings == []


def test_nobody_who_watches_is_told_that_it_is_finished_before_it_is(tmp_path: Path) -> None:
    """Plans of earlier weeks are finished, and they are written when the demo begins."""
    folder = prepare(tmp_path / "p")
    session = BuildSession(folder)
    session.open()
    early: set[float] = set()

    def soon(step: Step) -> None:
        if step.minute > 30:
            runner.stop()

    runner = DemoRunner(folder, Scenario.PLAN, duration=20.0, on_step=soon)
    try:
        thread = runner.start()
        while thread.is_alive():
            early.add(session.snapshot().progress.percent or 0)
        runner.stop()
        thread.join(10)
    finally:
        session.close()
    assert early == {0}


def test_ensure_demo_makes_one(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.delenv("BUILDWIDGET_PROJECT", raising=False)
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    state = read_state(ensure_demo())
    assert state.session.status is BuildStatus.COMPLETED
    assert state.session.counts.by_type == {"plan": 3, "phase": 14}


@pytest.mark.parametrize("share", [0.3, 0.5, 0.8])
def test_a_part_of_a_build_is_what_is_there_at_that_time(tmp_path: Path, share: float) -> None:
    end = START + timedelta(hours=9)
    write_instant(prepare(tmp_path / "p"), share=share, end=end)
    state = read_state(tmp_path / "p", end)
    assert state.session.status is BuildStatus.IN_PROGRESS
    assert 0 < state.progress.percent < 100
    working = [phase for phase in state.features if phase.status is Status.IN_PROGRESS]
    assert working
    for phase in working:
        assert phase.heartbeat_at is not None
        assert timedelta() <= end - phase.heartbeat_at <= timedelta(minutes=10)
    files = [path for path in (tmp_path / "p/.buildrunner").rglob("*") if path.is_file()]
    assert max(path.stat().st_mtime for path in files) <= end.timestamp()


# -- builds in which something goes wrong -----------------------------------------------------------------------------

HOUR = timedelta(hours=1)


def feature(state: State, id_: str) -> Feature:
    return next(item for item in state.features if item.feature_id == f"online-booking/{id_}")


def test_plan_failure(tmp_path: Path) -> None:
    state, summary = at_end(tmp_path / "p", Scenario.PLAN_FAILURE, ago=HOUR)
    assert state.session.status is BuildStatus.IN_PROGRESS, "no file says that the build has failed"
    assert (summary.percent, summary.low, summary.high, summary.life) == (87.5, 87.5, 100, Life.SILENT)
    assert with_status(state, Status.IN_PROGRESS) == {"7"}
    assert "ended with code 1" in (feature(state, "7").error or "")
    assert {item.exit_code for item in state.phases if item.phase_id == "7"} == {1}
    assert with_status(state, Status.COMPLETED) == {"1", "2", "3", "4", "5", "6", "8"}, "5 was claimed again"


def test_a_failed_phase_is_claimed_again(tmp_path: Path) -> None:
    told: list[tuple[Status, bool, str | None]] = []

    def look(_: Step, state: State) -> None:
        item = feature(state, "5")
        now = (item.status, item.error is not None, item.owner)
        if not told or told[-1] != now:
            told.append(now)

    seen_while_it_runs(tmp_path / "p", Scenario.PLAN_FAILURE, look)
    assert told == [
        (Status.NOT_STARTED, False, None),
        (Status.IN_PROGRESS, False, "annex"),
        (Status.IN_PROGRESS, True, "annex"),
        (Status.IN_PROGRESS, False, "workbench"),
        (Status.COMPLETED, False, None),
    ]


def test_plan_stall(tmp_path: Path) -> None:
    state, summary = at_end(tmp_path / "p", Scenario.PLAN_STALL, ago=HOUR)
    assert state.session.status is BuildStatus.IN_PROGRESS
    assert (summary.percent, summary.low, summary.high, summary.life) == (50, 50, 62.5, Life.SILENT)
    assert with_status(state, Status.IN_PROGRESS) == {"3"}
    assert summary.since is not None
    assert summary.since < datetime.now(UTC) - HOUR, "it fell silent before the others were done"
    assert "heartbeat of phase 3" in summary.why
    assert summarise(state, summary.since + timedelta(minutes=5)).life is Life.ALIVE
    assert summarise(state, summary.since + timedelta(minutes=20)).life is Life.QUIET


def test_plan_rollback(tmp_path: Path) -> None:
    state, summary = at_end(tmp_path / "p", Scenario.PLAN_ROLLBACK)
    assert state.session.status is BuildStatus.COMPLETED
    assert (summary.percent, summary.life) == (100, Life.DONE)
    done = [text.count("**Status:** ✅") for text in plans(Scenario.PLAN_ROLLBACK)]
    assert [(a, b) for a, b in pairwise(done) if b < a] == [(6, 4)], "two phases are taken back, once"
    assert done[-1] == 8


def test_what_was_taken_back_is_not_remembered_as_completed(tmp_path: Path) -> None:
    """A session that has seen the locks of these phases go believes the plan, which says that they are not started."""
    session = BuildSession(prepare(tmp_path / "p"))
    session.open()
    seen: list[set[str]] = []

    def look(step: Step) -> None:
        if "taken back" in step.note:
            end = time.monotonic() + 5
            while "3" not in (found := with_status(session.snapshot(), Status.NOT_STARTED)) and time.monotonic() < end:
                time.sleep(0.005)  # a plan is read when it is known to be whole
            seen.append(found)

    try:
        assert DemoRunner(tmp_path / "p", Scenario.PLAN_ROLLBACK, duration=3.0, on_step=look).run()
        session.refresh()
        state = session.snapshot()
    finally:
        session.close()
    assert seen == [{"3", "4", "6", "7"}]
    assert with_status(state, Status.COMPLETED) == {str(n) for n in range(1, 9)}


def test_plan_growth(tmp_path: Path) -> None:
    state, summary = at_end(tmp_path / "p", Scenario.PLAN_GROWTH)
    assert state.session.status is BuildStatus.COMPLETED
    assert (state.progress.total, summary.percent, summary.life) == (12, 100, Life.DONE)
    percents: list[float] = []

    def look(_: Step, state: State) -> None:
        percents.append(state.progress.percent or 0)

    seen_while_it_runs(tmp_path / "live", Scenario.PLAN_GROWTH, look)
    falls = [(before, after) for before, after in pairwise(percents) if after < before]
    assert len(falls) == 4, "each amendment leaves more to do"
    assert falls[-1] == (100, 91.7), "the last one comes when all seemed done"
    assert percents[-1] == 100


@pytest.mark.parametrize("scenario", PLANS)
@pytest.mark.parametrize("seed", range(6))
def test_every_seed_comes_to_the_same_end(scenario: Scenario, seed: int, tmp_path: Path) -> None:
    write_instant(prepare(tmp_path / "p"), scenario, seed)
    state = read_state(tmp_path / "p")
    expected = {
        Scenario.PLAN: (9, 9), Scenario.PLAN_FAILURE: (7, 8), Scenario.PLAN_STALL: (4, 8),
        Scenario.PLAN_ROLLBACK: (8, 8), Scenario.PLAN_GROWTH: (12, 12),
    }  # fmt: skip
    assert (state.progress.completed, state.progress.total) == expected[scenario]
    assert state.warnings == []

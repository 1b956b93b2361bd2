"""Plans and locks together: what is present, what each phase's status is, by which rule, and what says otherwise."""

from __future__ import annotations

import random
from datetime import timedelta
from pathlib import Path
from typing import Any

import msgspec
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from buildwidget.merge import Merge
from buildwidget.model import BuildStatus, State, Status
from buildwidget.session import BuildSession
from buildwidget.session.cold import read_state
from buildwidget.state import BuildState
from buildwidget.summary import Summary, summarise
from buildwidget.systems import parse

from .planned import NOW, ROOT, Files, ago, iso, phase, piecewise, plan_text
from .projects import until

CLAIM = {"phase": 2, "name": "Fill", "build": "BUILD_harbour.md", "host": "host-a", "claimed_at": iso(5)}
THREE = (phase("1", "Dig", "✅ COMPLETE"), phase("2", "Fill", "not_started"), phase("3", "Light", "not_started"))
CRANE = (phase("1", "Steel arm", "✅ COMPLETE"), phase("2", "Long cable", "pending"), phase("7", "Hook", "pending"))


def harbour(age: float = 60.0, **head: str) -> Files:
    return Files().plan("harbour", *THREE, age=age, **head)


def statuses(files: Files) -> dict[str, str]:
    return {id_: str(status) for id_, status in files.summary().features.items()}


# -- one lock ---------------------------------------------------------------------------------------------------------


def test_a_lock_is_ahead_of_the_plan() -> None:
    files = harbour().lock("phase-2", 5, claim=CLAIM, beat=1)
    found = files.feature("harbour/2")
    assert found.status is Status.IN_PROGRESS
    assert found.status_source == "lock:.buildrunner/locks/phase-2/claim.json"
    assert found.conflict == "the plan says not started"
    assert (found.owner, found.claimed_at, found.heartbeat_at) == ("host-a", ago(5), ago(1))
    said = files.summary()
    assert (said.present, said.percent, said.low, said.high, said.life) == (["harbour"], 33.3, 33.3, 66.7, "alive")


@pytest.mark.parametrize(
    ("folder", "claim"),
    [
        ("phase-2", {"phase": 2, "build": "BUILD_harbour.md"}),
        ("phase-2", {"phase": "2", "build": "BUILD_harbour"}),
        ("phase-2", {"phase": 2.0, "build": "harbour"}),
        ("phase-2", {"build": ".buildrunner/builds/BUILD_harbour.md"}),
        ("phase-2", {"phase": "Phase 2", "build": "Harbour"}),
        ("harbour-phase-2", {"phase": 2}),
        ("phase-harbour-2", {"phase": "harbour-2"}),
        ("phase-harbour-2", {}),
        ("harb-phase-2", {"phase": 2}),
        ("phase-2", {"phase": 2, "name": "Fill"}),
        ("phase-2", {"phase": 2, "name": "Fill & tamp the ground"}),
    ],
)
def test_the_names_of_folders_and_builds(folder: str, claim: dict[str, Any]) -> None:
    """The plan of the crane was written later and has a phase 2 too."""
    if claim.get("name") == "Fill & tamp the ground":
        files = Files().plan("harbour", phase("2", "Fill, tamp and level the ground", "pending"), age=90)
    else:
        files = harbour(90)
    files.plan("crane", *CRANE, age=60).lock(folder, 3, claim=claim, beat=1)
    assert files.summary().present == ["harbour"]
    assert statuses(files)["harbour/2"] == "in_progress"
    (lock,) = files.state().phases
    assert (lock.component_id, lock.feature_id) == ("harbour", "harbour/2")


def test_a_name_with_the_word_phase_in_it() -> None:
    files = Files().plan("multi-phase-crane", *CRANE).lock("multi-phase-crane-phase-2", 2, claim={}, beat=1)
    assert statuses(files)["multi-phase-crane/2"] == "in_progress"


def test_short_names_mean_a_plan_only_if_they_mean_one() -> None:
    files = harbour().plan("quay-layer-intelligence", *CRANE, age=50)
    assert files.lock("quay-phase-2", 3, claim={"phase": 2}).summary().present == ["quay-layer-intelligence"]
    files = Files().plan("quay-east", *CRANE).plan("quay-west", *CRANE).lock("quay-phase-2", 3, claim={"phase": 2})
    assert files.component("quay").conflict == "no plan of this name is in the project"


def test_a_claim_without_a_build_belongs_to_the_open_phase_of_its_name() -> None:
    done = Files().plan("old", phase("2", "Fill", "✅ COMPLETE"), age=20)
    files = done.plan("harbour", *THREE, age=90).lock("phase-2", 3, claim={"phase": 2, "name": "Fill"})
    assert files.summary().present == ["harbour"]


def test_a_claim_without_a_name_belongs_to_what_is_written_now() -> None:
    files = Files().plan("harbour", *THREE, age=90).plan("crane", *CRANE, age=60)
    lone = {"phase": 2, "name": "x"}
    assert files.lock("phase-2", 3, claim=lone).summary().present == ["crane"], "the plan written last"
    files.lock("harbour-phase-1", 10, claim={"phase": 1}, beat=2)
    assert files.feature("harbour/2").status is Status.IN_PROGRESS, "the build of the newest other lock"


def test_the_present_phase_is_a_hint_for_a_day() -> None:
    files = Files().plan("harbour", *THREE, age=90).plan("crane", *CRANE, age=60)
    files.lock("phase-2", 3, claim={"phase": 2, "name": "x"})
    hint = {"phase": 3, "name": "Light", "build": "BUILD_harbour"}
    assert files.write("current-phase.json", hint, 5).summary().present == ["harbour"]
    assert files.write("current-phase.json", hint, 25 * 60).summary().present == ["crane"]


def test_the_present_phase_decides_no_status() -> None:
    files = harbour(10).write("current-phase.json", {"phase": 3, "name": "Light", "build": "BUILD_harbour"}, 1)
    assert statuses(files) == {"harbour/1": "completed", "harbour/2": "not_started", "harbour/3": "not_started"}
    assert files.summary().life == "idle"
    assert files.state().phases == []


def test_two_folders_of_one_phase_are_one() -> None:
    files = harbour().lock("harbour-phase-2", 20, claim=CLAIM, beat=19)
    files.lock("phase-2", 2, progress={"phase": 2, "name": "Fill", "status": "active", "step": 4}, beat=2)
    found = files.feature("harbour/2")
    assert (found.status, found.owner) == (Status.IN_PROGRESS, "host-a")
    assert files.state().session.evidence_at == ago(2)
    assert [item.feature_id for item in files.state().features] == ["harbour/1", "harbour/2", "harbour/3"]


def test_a_finished_twin_outranks_an_older_folder() -> None:
    files = harbour().lock("harbour-phase-2", 20, claim=CLAIM, beat=19)
    files.lock("phase-2", 2, progress={"phase": 2, "name": "Fill", "status": "COMPLETE", "step": 7}, beat=2)
    assert files.feature("harbour/2").status is Status.COMPLETED


# -- when a lock is over ----------------------------------------------------------------------------------------------


def test_a_lock_beside_a_completed_phase_was_left_behind() -> None:
    files = Files().plan("harbour", phase("2", "Fill", "✅ COMPLETE"), age=10).lock("phase-2", 30, claim=CLAIM, beat=1)
    found = files.feature("harbour/2")
    assert (found.status, found.status_source) == (Status.COMPLETED, "plan:.buildrunner/builds/BUILD_harbour.md")
    assert "left behind" in (found.conflict or "")
    assert "11:59" in (found.conflict or "")
    assert files.summary().life == "done"


def test_a_claim_later_than_the_plan_begins_the_phase_again() -> None:
    plan = Files().plan("harbour", phase("2", "Fill", "✅ COMPLETE"), age=60)
    again = {**CLAIM, "claimed_at": iso(5)}
    assert plan.lock("phase-2", 5, claim=again, beat=1).feature("harbour/2").status is Status.IN_PROGRESS
    same = {**CLAIM, "claimed_at": iso(59.5)}
    assert plan.lock("phase-2", 5, claim=same, beat=1).feature("harbour/2").status is Status.COMPLETED


def test_heartbeats_without_a_claim_do_not_begin_a_phase_again() -> None:
    plan = Files().plan("harbour", phase("2", "Fill", "✅ COMPLETE"), age=60)
    plan.lock("harbour-phase-2", 5, progress={"phase": 2, "status": "active", "step": 7}, beat=4)
    assert plan.feature("harbour/2").status is Status.COMPLETED


@pytest.mark.parametrize(
    ("said", "status"),
    [
        ({"status": "COMPLETE", "step": 6}, Status.COMPLETED),
        ({"status": "completed", "step": 7}, Status.COMPLETED),
        ({"status": "done", "step": 7}, Status.COMPLETED),
        ({"status": "done", "step": 3}, Status.IN_PROGRESS),  # one step is done
        ({"status": "done"}, Status.IN_PROGRESS),
        ({"status": "active", "step": 7, "tasks_total": 3, "tasks_done": 3}, Status.IN_PROGRESS),
    ],
)
def test_what_the_progress_of_a_lock_says(said: dict[str, Any], status: Status) -> None:
    files = harbour().lock("phase-2", 5, claim=CLAIM, progress={"phase": 2, "name": "Fill", **said}, beat=1)
    found = files.feature("harbour/2")
    assert found.status is status
    assert found.conflict == "the plan says not started"
    if status is Status.COMPLETED:
        assert found.status_source == "lock:.buildrunner/locks/phase-2/progress.json"


def test_a_released_claim() -> None:
    found = harbour().lock("phase-2", 5, claim={**CLAIM, "status": "released"}, beat=1).feature("harbour/2")
    assert (found.status, found.status_source) == (Status.COMPLETED, "lock:.buildrunner/locks/phase-2/claim.json")


def test_a_forgotten_lock_does_not_hide_the_present_build() -> None:
    files = harbour(3).lock("crane-phase-9", 25 * 24 * 60, claim={"phase": 9, "build": "crane"}, beat=25 * 24 * 60)
    files.plan("crane", *CRANE, age=24 * 24 * 60).lock("phase-2", 2, claim=CLAIM, beat=1)
    assert files.summary().present == ["harbour"]
    del files.all[f"{ROOT}locks/phase-2/claim.json"], files.all[f"{ROOT}locks/phase-2/heartbeat"]
    assert files.summary().present == ["harbour"]


# -- signs of life ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("minutes", "life"), [(0, "alive"), (9.9, "alive"), (11, "quiet"), (29, "quiet"), (31, "silent"), (9999, "silent")]
)
def test_life_is_the_age_of_the_heartbeat(minutes: float, life: str) -> None:
    claim = {**CLAIM, "claimed_at": iso(minutes + 1)}
    files = harbour(10_000).lock("phase-2", minutes, claim=claim, beat=minutes)
    said = files.summary()
    assert said.life == life
    assert said.since == ago(minutes)
    assert "heartbeat of phase 2 · host-a" in said.why


@pytest.mark.parametrize("text", ["2027-01-01T00:00:00Z", "$(date -u +%Y-%m-%dT%H:%M:%SZ)", "PLACEHOLDER", "now"])
def test_a_heartbeat_that_tells_no_time_is_as_old_as_its_file(text: str) -> None:
    files = harbour().lock("phase-2", 45, claim=CLAIM).write("locks/phase-2/heartbeat", text, 15)
    found = files.summary()
    assert found.since == ago(15)


@pytest.mark.parametrize(
    "claimed", [iso(-57), iso(-120), iso(627), '"$(date -u +%FT%TZ)"', "2026-05-04", "PLACEHOLDER", "", None, 5, []]
)
def test_the_time_of_a_claim_is_no_sign_of_life(claimed: object) -> None:
    for file in ("claim.json", "progress.json"):
        name = {"claim.json": "claimed_at", "progress.json": "updated_at"}[file]
        body = {"phase": 2, "name": "Fill", "build": "BUILD_harbour", "status": "active", name: claimed}
        files = harbour().lock("phase-1", 20, claim={"phase": 1, "claimed_at": iso(20)}, beat=19)
        files.write(f"locks/harbour-phase-2/{file}", body, 15)
        said = files.summary()
        assert (said.life, said.since) == ("quiet", ago(15)), file
        if file == "claim.json":
            assert (files.feature("harbour/2").claimed_at or NOW) <= ago(13)


def test_an_old_spelling_of_the_claims_time() -> None:
    body = {"phase": 2, "build": "BUILD_harbour", "claimed": iso(30)}
    assert harbour().lock("phase-2", 29, claim=body).feature("harbour/2").claimed_at == ago(30)


def test_agents_and_a_fresh_journal_are_no_signs_of_life() -> None:
    agents = {"agents": {"a": {"phase": 2, "status": "running", "build": "BUILD_harbour"}}}
    files = harbour(2000).write("agents.json", agents, 1)
    files.write("decisions.log", f"[{iso(1)}] [DECISION] lamps\n{iso(1)} phase-2: START\n", 1)
    assert statuses(files)["harbour/2"] == "not_started"
    assert files.summary().life == "dormant"


def test_a_plan_without_locks_is_idle_then_dormant() -> None:
    assert harbour(60).summary().life == "idle"
    assert harbour(25 * 60).summary().life == "dormant"
    assert Files().plan("harbour", phase("1", "Dig", "in_progress"), age=5).summary().life == "alive"
    assert Files().plan("harbour", phase("1", "Dig", "in_progress"), age=45).summary().life == "silent"


def test_phases_of_unknown_status_are_not_done() -> None:
    some = Files().plan("harbour", phase("1", "Dig", "✅ COMPLETE"), phase("2", "Fill"), age=60)
    assert (some.summary().life, some.summary().percent) == ("idle", 50.0)
    none = Files().plan("harbour", phase("1", "Dig"), phase("2", "Fill"), age=60)
    assert (none.summary().life, none.summary().percent) == ("idle", None)


# -- how a session ended ----------------------------------------------------------------------------------------------


def test_the_end_of_a_session_counts_only_after_the_heartbeat() -> None:
    end: Any = {"exit_code": 1, "timestamp": iso(3)}
    late = harbour().lock("phase-2", 9, claim=CLAIM, beat=5, exit_status=(end, 3))
    found = late.feature("harbour/2")
    assert found.error == "a session ended with code 1 at 2026-05-04 11:57 UTC"
    assert found.status is Status.IN_PROGRESS
    early = harbour().lock("phase-2", 9, claim=CLAIM, beat=2, exit_status=(end, 3))
    assert early.feature("harbour/2").error is None
    good = harbour().lock("phase-2", 9, claim=CLAIM, beat=5, exit_status=({**end, "exit_code": 0}, 3))
    assert good.feature("harbour/2").error is None
    done = {"phase": 2, "name": "Fill", "status": "COMPLETE"}
    over = harbour().lock("phase-2", 9, claim=CLAIM, beat=5, progress=done, exit_status=(end, 3))
    assert (over.feature("harbour/2").error, over.feature("harbour/2").status) == (None, Status.COMPLETED)
    (lock,) = over.state().phases
    assert (lock.exit_code, lock.exit_at) == (1, ago(3))


def test_the_end_of_a_session_alone_is_no_work() -> None:
    files = harbour().lock("harbour-phase-2", exit_status=({"exit_code": 1, "timestamp": iso(3)}, 3))
    found = files.feature("harbour/2")
    assert (found.status, found.error) == (
        Status.NOT_STARTED,
        "a session ended with code 1 at 2026-05-04 11:57 UTC",
    )
    assert files.summary().life == "idle"


def test_a_sidecar_tells_where_and_is_no_sign_of_life() -> None:
    sidecar: Any = {
        "sidecar_pid": 1,
        "claude_pid": 2,
        "build_id": "redispatch-17",
        "node": "host-b",
        "started_at": iso(9),
    }
    claim = {"phase": 2, "build": "BUILD_harbour", "claimed_at": iso(45)}
    files = harbour().lock("phase-2", 45, claim=claim, beat=40, sidecar=(sidecar, 1))
    assert files.feature("harbour/2").owner == "host-b"
    assert (files.summary().life, files.summary().since) == ("silent", ago(40))


# -- other sources ----------------------------------------------------------------------------------------------------

REVIEW = "{at} phase-review build={build} phase={phase} revision=3 verdict={verdict}\n"


@pytest.mark.parametrize(
    ("status", "line", "expected"),
    [
        ("⏳ PENDING", {}, "completed"),
        (None, {}, "completed"),
        ("in_progress", {}, "in_progress"),
        ("paused", {}, "paused"),
        ("⏳ PENDING", {"verdict": "arbiter-partial-approve"}, "not_started"),
        ("⏳ PENDING", {"verdict": "arbiter-reject"}, "not_started"),
        ("⏳ PENDING", {"build": "BUILD_crane"}, "not_started"),
        ("⏳ PENDING", {"phase": "3"}, "not_started"),
    ],
)
def test_a_review_that_approves_a_built_phase(status: str | None, line: dict[str, str], expected: str) -> None:
    filled = {"at": iso(9), "build": "BUILD_harbour", "phase": "2", "verdict": "arbiter-approve", **line}
    files = Files().plan("harbour", phase("2", "Fill", status)).write("decisions.log", REVIEW.format(**filled), 5)
    assert statuses(files)["harbour/2"] == expected
    if expected == "completed":
        assert files.feature("harbour/2").status_source == "review:.buildrunner/decisions.log"


def test_of_two_reviews_of_a_phase_the_later_counts() -> None:
    rows = [{"at": iso(9), "build": "BUILD_harbour", "phase": "2", "verdict": v} for v in ("arbiter-approve", "block")]
    text = "".join(REVIEW.format(**row) for row in rows)
    files = Files().plan("harbour", phase("2", "Fill", "pending")).write("decisions.log", text)
    assert statuses(files)["harbour/2"] == "not_started"


def test_batches_that_are_blocked() -> None:
    batches = {
        "batches": [{"id": 1, "phases": [1, 2], "status": "blocked"}, {"id": 2, "phases": [3]}],
        "total_phases": 3,
    }
    files = harbour().write("orchestration.json", batches, 5)
    assert statuses(files) == {"harbour/1": "completed", "harbour/2": "blocked", "harbour/3": "not_started"}
    assert files.feature("harbour/2").status_source == "batches:.buildrunner/orchestration.json"
    assert files.summary().percent == 33.3
    files.lock("phase-2", 2, claim=CLAIM, beat=1)
    assert statuses(files)["harbour/2"] == "in_progress"


def test_counts_of_batches_are_not_believed() -> None:
    batches = {
        "batches": [{"id": 1, "phases": [1, 2, 3], "status": "complete"}],
        "total_phases": 8,
        "completed_phases": 8,
    }
    files = harbour().write("orchestration.json", batches, 5)
    assert (files.summary().percent, statuses(files)["harbour/2"]) == (33.3, "not_started")


def test_batches_of_a_build_without_a_plan_list_its_phases() -> None:
    batches = {"batches": [{"id": 1, "phases": [1, 2]}, {"id": 2, "phases": [3]}], "total_phases": 3}
    files = Files().write("orchestration.json", batches, 5)
    files.lock("phase-1", 3, claim={"phase": 1, "name": "Dig", "build": "BUILD_cellar.md"}, beat=1)
    files.lock("phase-2", 3, claim={"phase": 2, "name": "Wall", "build": "BUILD_cellar.md"}, beat=1)
    said = files.summary()
    assert said.present == ["cellar"]
    assert statuses(files) == {"cellar/1": "in_progress", "cellar/2": "in_progress", "cellar/3": "not_started"}
    assert (said.percent, said.high, said.life) == (0.0, 66.7, "alive")
    assert said.conflicts["cellar"] == "no plan of this name is in the project"


def test_a_saved_session() -> None:
    saved = {"state": "BATCH_2_IN_PROGRESS", "build_spec": "BUILD_harbour.md", "last_completed_phase": 2}
    files = Files().plan("harbour", phase("1", "Dig"), phase("2", "Fill"), phase("3", "Light"), age=90)
    files.plan("crane", *CRANE, age=80).write("autopilot-resume.json", saved, 10)
    said = files.summary()
    assert (said.present, said.life) == (["harbour"], "idle")
    assert statuses(files) == {"harbour/1": "completed", "harbour/2": "completed", "harbour/3": "unknown"}
    assert files.feature("harbour/1").status_source == "saved session:.buildrunner/autopilot-resume.json"
    assert files.write("autopilot-resume.json", saved, 95).summary().present == ["crane"]


def test_a_registry_never_outranks_work() -> None:
    registry = {
        "project": "harbour",
        "features": [{"id": str(n), "name": "f", "status": "complete"} for n in range(17)],
    }
    alone = Files().write("features.json", registry, 1)
    assert (alone.summary().present, alone.summary().percent) == ([], 100.0)
    planned = harbour().write("features.json", registry, 1)
    assert (planned.summary().percent, planned.state().session.status) == (33.3, BuildStatus.IN_PROGRESS)
    assert set(planned.summary().features) == {"harbour/1", "harbour/2", "harbour/3"}
    locked = Files().write("features.json", registry, 1).lock("phase-2", 2, claim=CLAIM, beat=1)
    assert locked.summary().percent == 0.0
    nameless = Files().write("features.json", registry, 1).lock("phase-2", 2, claim={"phase": 2}, beat=1)
    assert nameless.state().session.status is BuildStatus.IN_PROGRESS
    assert (nameless.summary().percent, nameless.summary().life) == (None, "alive")


# -- present builds ---------------------------------------------------------------------------------------------------


def test_builds_in_parallel_are_present_together() -> None:
    files = harbour().plan("crane", *CRANE, age=55).plan("old", phase("1", "x", "in_progress"), age=50)
    files.lock("phase-2", 2, claim=CLAIM, beat=1).lock("crane-phase-2", 25, claim={"phase": 2}, beat=25)
    said = files.summary()
    assert said.present == ["crane", "harbour"]
    assert said.percent == 33.3
    files.lock("crane-phase-2", 32, claim={"phase": 2}, beat=32)
    assert files.summary().present == ["harbour"]


def test_many_plans_written_at_once_are_told_apart_by_the_dates_in_them() -> None:
    files = Files()
    for name, date in (("a", "2026-03-01"), ("b", "2026-04-20"), ("c", "2026-04-01")):
        files.plan(name, phase("1", "Dig", "✅ COMPLETE", f"Done on {date}."), phase("2", "Fill", "pending"))
    text = plan_text(phase("1", "Dig", "pending", "Begun on 2026-04-20.")).replace("2026-05-01", "2026-02-01")
    for name in "abc":
        path = f"{ROOT}builds/BUILD_{name}.md"
        files.all[path] = (files.all[path][0].replace(b"2026-05-01", b"2026-02-01"), 60)
    assert files.summary().present == ["b"]
    assert files.write("builds/BUILD_d.md", text, 60).summary().present == ["b"], "a begun one first"


def test_the_plan_written_last() -> None:
    files = harbour(90).plan("crane", *CRANE, age=60)
    assert files.summary().present == ["crane"]
    files.plan("harbour", phase("1", "Dig", "in_progress"), age=200)
    assert files.summary().present == ["harbour"], (
        "the last one neither runs nor is complete, and this one ran that day"
    )
    files.plan("crane", phase("1", "Arm", "✅ COMPLETE"), age=60)
    assert files.summary().present == ["crane"]


def test_the_build_of_the_last_finished_lock() -> None:
    files = Files().plan("harbour", phase("2", "Fill", "✅ COMPLETE"), age=40)
    for name in ("a", "b"):
        files.plan(name, phase("1", "x", "✅ COMPLETE"), age=39.9)
    files.lock("phase-2", 45, claim={**CLAIM, "claimed_at": iso(45)}, beat=41)
    assert files.summary().present == ["harbour"]


def test_phases_that_are_added_to_a_complete_plan_open_it_again() -> None:
    done = [phase(id_, "Dig", "✅ COMPLETE") for id_ in "12"]
    files = Files().plan("harbour", *done, header="BUILD COMPLETE — All 2 Phases Done")
    assert (files.summary().percent, files.summary().life) == (100.0, "done")
    files.plan("harbour", *done, phase("3", "More", "not_started"), header="BUILD COMPLETE — All 2 Phases Done")
    said = files.summary()
    assert (said.percent, said.life) == (66.7, "idle")
    assert "2 of 3 phases" in said.conflicts["harbour"]


def test_skipped_phases_do_not_count() -> None:
    phases = (phase("1", "Dig", "✅ COMPLETE"), phase("2", "Fill", "🗑️ REMOVED 2026-04-05"))
    said = Files().plan("harbour", *phases).summary()
    assert (said.percent, said.life) == (100.0, "done")


def test_a_plan_without_phases_is_none() -> None:
    files = Files().write("builds/BUILD_prompt.md", "# Prompt\n\nBuild the harbour.\n", 1)
    assert files.summary().system is None
    assert harbour().write("builds/BUILD_prompt.md", "# Prompt\n", 1).summary().present == ["harbour"]


def test_a_copied_folder_lives_by_what_its_files_say() -> None:
    files = harbour(0).lock("phase-2", 0, claim={**CLAIM, "claimed_at": iso(500)})
    files.write("locks/phase-2/heartbeat", iso(400), 0)
    said = files.summary()
    assert (said.life, said.since) == ("silent", ago(400))


# -- what was seen ----------------------------------------------------------------------------------------------------


class Watched:
    """A project whose changes come one by one."""

    def __init__(self, files: Files) -> None:
        self.merge, self.state = Merge("harbour"), BuildState()
        self.tell(*files.records().items())

    def tell(self, *changes: Any) -> State:
        for change in self.state.diff(self.merge.update(changes, NOW), session_id="harbour", now=NOW):
            self.state.apply(*change)
        return self.state.snapshot()

    def of(self, id_: str) -> Any:
        return next(item for item in self.state.snapshot().features if item.feature_id == id_)


LOCK = f"{ROOT}locks/phase-2/"
PLAN = f"{ROOT}builds/BUILD_harbour.md"


@pytest.mark.parametrize("together", [True, False])
@pytest.mark.parametrize("finished", [True, False])
def test_a_lock_that_goes_before_the_plan_speaks(*, finished: bool, together: bool) -> None:
    progress = {"phase": 2, "name": "Fill", "status": "COMPLETE" if finished else "active", "step": 4}
    files = harbour().plan("crane", *CRANE, age=30).lock("phase-2", 5, claim=CLAIM, progress=progress, beat=1)
    watched = Watched(files)
    gone = [(LOCK + name, None) for name in ("progress.json", "claim.json", "heartbeat")]
    for batch in [gone] if together else [[one] for one in gone]:
        watched.tell(*batch)
    found = watched.of("harbour/2")
    assert found.status_source == "seen"
    if finished:
        assert found.status is Status.COMPLETED
        assert "not yet in the plan" in found.conflict
    else:
        assert found.status is Status.UNKNOWN
        assert "released at" in found.conflict
        assert "result unknown" in found.conflict
        assert summarise(watched.state.snapshot(), NOW).life == "idle"
    spoken = plan_text(*THREE[:1], phase("2", "Fill", "paused"), THREE[2]).encode()
    watched.tell((PLAN, parse(PLAN, spoken, NOW)))
    assert (watched.of("harbour/2").status, watched.of("harbour/2").conflict) == (Status.PAUSED, None)


@pytest.mark.parametrize("order", [0, 1])
def test_a_lock_that_goes_with_the_word_of_the_plan(order: int) -> None:
    watched = Watched(harbour().lock("phase-2", 5, claim=CLAIM, beat=1))
    plan = parse(PLAN, plan_text(*THREE[:1], phase("2", "Fill", "✅ COMPLETE")).encode(), NOW)
    changes: list[Any] = [(PLAN, plan), (LOCK + "claim.json", None), (LOCK + "heartbeat", None)]
    watched.tell(*(changes if order else changes[::-1]))
    found = watched.of("harbour/2")
    assert (found.status, found.conflict) == (Status.COMPLETED, None)


def test_a_phase_that_is_claimed_again_is_in_progress() -> None:
    files = harbour().lock("phase-2", 5, claim=CLAIM, beat=1)
    watched = Watched(files)
    watched.tell((LOCK + "claim.json", None), (LOCK + "heartbeat", None))
    assert watched.of("harbour/2").status is Status.UNKNOWN
    watched.tell(*files.records().items())
    assert watched.of("harbour/2").status is Status.IN_PROGRESS


# -- for all projects -------------------------------------------------------------------------------------------------

WORDS = ["✅ COMPLETE", "not_started", "in_progress", "paused", "REMOVED", "shimmering", None]
HEADERS = ["", "BUILD COMPLETE — All 3 Phases Done", "Phase 2 Blocked", "Phases 1-1 Complete — Phase 2 In Progress"]
AGES = [0, 0.5, 3, 20, 40, 70, 1500, 4000]
SLUGS = ["harbour", "harbour-east", "crane", "cellar"]


@st.composite
def projects(draw: st.DrawFn) -> Files:
    files = Files()
    ages, words, slugs = st.sampled_from(AGES), st.sampled_from(WORDS), st.sampled_from(SLUGS)
    titles = st.sampled_from(["Dig", "Fill the ground", "Light"])
    for slug in draw(st.lists(slugs, unique=True, max_size=4)):
        ids = draw(st.lists(st.sampled_from(["1", "2", "3", "10.5", "1A"]), unique=True, max_size=4))
        phases = [phase(id_, draw(titles), draw(words)) for id_ in ids]
        files.plan(slug, *phases, age=draw(ages), header=draw(st.sampled_from(HEADERS)))
    for number in range(draw(st.integers(0, 4))):
        id_ = draw(st.sampled_from(["1", "2", "3", "10.5", "1a", "9"]))
        folder = draw(st.sampled_from([f"phase-{id_}", f"{draw(slugs)}-phase-{id_}", f"phase-harb-{number}"]))
        claim: dict[str, Any] = {"phase": id_, "claimed_at": iso(draw(ages)), "host": "host-a"}
        if draw(st.booleans()):
            claim["build"] = f"BUILD_{draw(slugs)}.md"
        if draw(st.booleans()):
            claim["name"] = draw(titles)
        progress = {"phase": id_, "status": draw(st.sampled_from(["active", "COMPLETE", "done"])), "step": 4}
        files.lock(
            folder,
            draw(ages),
            claim=draw(st.sampled_from([claim, None])),
            progress=draw(st.sampled_from([progress, None])),
            beat=draw(st.none() | ages),
            **draw(st.sampled_from([{}, {"exit_status": ({"exit_code": 1, "timestamp": iso(3)}, 3)}])),
        )
    if draw(st.booleans()):
        files.write("current-phase.json", {"phase": 2, "name": "x", "build": f"BUILD_{draw(slugs)}"}, draw(ages))
    if draw(st.booleans()):
        listed = [{"id": 1, "phases": [1, 2], "status": draw(st.sampled_from(["blocked", "running"]))}]
        files.write("orchestration.json", {"batches": listed, "total_phases": 2}, draw(ages))
    if draw(st.booleans()):
        review = {"at": iso(9), "build": draw(slugs), "phase": "2", "verdict": "arbiter-approve"}
        files.write("decisions.log", REVIEW.format(**review), draw(ages))
    if draw(st.booleans()):
        saved = {"build_spec": f"BUILD_{draw(slugs)}.md", "last_completed_phase": 1}
        files.write("autopilot-resume.json", saved, draw(ages))
    return files


@settings(max_examples=300)
@given(projects(), st.randoms(use_true_random=False))
def test_the_order_in_which_files_come_changes_nothing(files: Files, chance: random.Random) -> None:
    assume(files.all)
    at_once, by_pieces = files.state(), piecewise(files, chance)
    assert verdict(by_pieces) == verdict(at_once)
    for name in ("components", "features", "phases", "session", "progress"):
        assert _plain(getattr(by_pieces, name)) == _plain(getattr(at_once, name)), name


def verdict(state: State) -> Summary:
    """What is said of a build, but for the time of the last message, which is that of reading."""
    return msgspec.structs.replace(summarise(state, NOW), since=state.session.evidence_at)


def _plain(value: Any) -> Any:
    data = msgspec.to_builtins(value)
    return sorted(data, key=str) if isinstance(data, list) else data


@settings(max_examples=200)
@given(projects())
def test_a_status_rests_on_the_file_that_is_named(files: Files) -> None:
    state = files.state()
    for item in (*state.features, *state.components):
        rule, _, path = (item.status_source or "").partition(":")
        if not path:
            assert rule == "" or item in state.components, item
            continue
        assert path in files.all, item
        kind, id_ = type(item), getattr(item, item.__struct_fields__[0])
        without = files.without(path).state()
        after = [one for one in (*without.features, *without.components) if type(one) is kind]
        same = next((one for one in after if getattr(one, one.__struct_fields__[0]) == id_), None)
        assert same is None or (same.status, same.status_source) != (item.status, item.status_source)


@settings(max_examples=300)
@given(projects())
def test_nothing_is_made_up(files: Files) -> None:
    state = files.state()
    said = summarise(state, NOW)
    ids = [item.feature_id for item in state.features]
    assert len(set(ids)) == len(ids)
    assert set(said.present) <= {item.component_id for item in state.components}
    counted = [s for s in said.features.values() if s not in (Status.SKIPPED, Status.CANCELLED)]
    if said.present and said.percent is not None:
        share = 100 * sum(s is Status.COMPLETED for s in counted) / len(counted) if counted else None
        assert share is not None
        assert abs(said.percent - share) < 0.11
        assert (said.percent == 100.0) == (share == 100.0)
    if said.life == "done":
        assert all(s in (Status.COMPLETED, Status.SKIPPED, Status.CANCELLED) for s in said.features.values())
    for item in state.features:
        assert item.status is not Status.UNKNOWN or item.status_source in (None, "seen")
        assert item.status_source is None or item.status_source.partition(":")[2] in {*files.all, ""}
    assert state.session.evidence_at is None or state.session.evidence_at <= NOW + timedelta(minutes=2)


@settings(max_examples=30)
@given(projects())
def test_a_folder_that_is_read_once_gives_the_same(tmp_path_factory: pytest.TempPathFactory, files: Files) -> None:
    root = tmp_path_factory.mktemp("read") / "harbour"
    root.mkdir()
    files.put(root, NOW)
    assert verdict(read_state(root, NOW)) == verdict(files.state())


def test_what_cannot_be_read_is_said_as_in_a_live_build(tmp_path: Path) -> None:
    """Whether a project is read once or watched: the same warnings, with the place of the fault."""
    locks = tmp_path / ".buildrunner" / "locks" / "phase-1"
    locks.mkdir(parents=True)
    (locks / "claim.json").write_text('{"phase": 1,\n "name": oops}')
    (locks / "heartbeat").mkdir()
    session = BuildSession(tmp_path).open()
    try:
        until(lambda: len(session.snapshot().warnings) == 2)
        assert read_state(tmp_path).warnings == session.snapshot().warnings
    finally:
        session.close()

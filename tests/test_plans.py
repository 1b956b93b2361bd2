"""Plans as people, models and scripts write them: headings, statuses, headers, boxes, dependencies, files."""

from __future__ import annotations

import pytest

from buildwidget.errors import CheckpointError
from buildwidget.model import Status
from buildwidget.systems import parse

from .planned import NOW, only, phase, plan_text, read_plan

PATH = ".buildrunner/builds/BUILD_harbour.md"


# -- headings ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("heading", "id_", "title"),
    [
        ("### Phase 3: Lamp posts", "3", "Lamp posts"),
        ("### PHASE 3: Lamp posts", "3", "Lamp posts"),
        ("## Phase 3: Lamp posts", "3", "Lamp posts"),
        ("## **Phase 3: Lamp posts**", "3", "Lamp posts"),
        ("#### Phase 3 — Lamp posts", "3", "Lamp posts"),
        ("### Phase 3 - Lamp posts", "3", "Lamp posts"),
        ("### Phase 3", "3", ""),
        ("### Phase 0: Survey", "0", "Survey"),
        ("### Phase 1A: Survey", "1A", "Survey"),
        ("### Phase 20L-1: Survey", "20L-1", "Survey"),
        ("### Phase 10.5: Survey", "10.5", "Survey"),
        ("### Phase 14.10: Survey", "14.10", "Survey"),
        ("### Phase B: Survey", "B", "Survey"),
        ("### ✅ Phase 2: Survey", "2", "Survey"),
        ("### Updated Phase 2: Survey", "2", "Survey"),
        (r"### Phase 2: the \_setup step", "2", "the _setup step"),
        ("### Phase 7: Buoys _(added: 2026-04-07)_", "7", "Buoys"),
    ],
)
def test_the_headings_of_phases(heading, id_, title):
    found = only(f"# Build: Harbour\n\n{heading}\n\n**Status:** not_started\n")
    assert (found.id, found.title, found.status) == (id_, title, Status.NOT_STARTED)


@pytest.mark.parametrize(
    "heading",
    [
        "### Phase 2 Success",
        "### Phase 2 Success Criteria",
        "### Phase 12 Tasks",
        "### Phase 2 Status: COMPLETE",
        "## BLOCK 1: Ground work (Phases 1-6)",
        "## BATCH 1",
        "#### Task 1.1: Dig",
        "### Task",
        "### Step 2",
        "## Week 2",
        "#### Review of the plan (… Phase 0 …)",
        "## Phases",
        "## Phase overview",
        "# Phase 9: the title of the whole",
    ],
)
def test_headings_that_are_no_phases(heading):
    plan = read_plan(plan_text(phase("1", "Dig", "not_started"), heading + "\n\n- [x] not a deliverable of phase 1\n"))
    assert [found.id for found in plan.phases] == ["1"]


def test_what_follows_a_heading_of_the_same_level_belongs_to_no_phase():
    later = "### Notes\n\n**Status:** COMPLETE\n\n- [x] a\n\n#### Deeper\n"
    assert only(plan_text(phase("1", "Dig", None, "- [ ] dig"), later)).status is Status.UNKNOWN
    within = only(plan_text(phase("1", "Dig", None), "#### Deliverables\n\n- [ ] dig\n- [x] fill\n"))
    assert [line.ticked for line in within.deliverables] == [False, True]


def test_phases_keep_the_order_of_the_file_and_their_ids_are_text():
    ids = ["15", "5", "14.9", "14.10", "14F"]
    plan = read_plan(plan_text(*(phase(id_, "Dig", "pending") for id_ in ids)))
    assert [found.id for found in plan.phases] == ids


def test_of_two_phases_with_one_id_the_one_with_a_status_counts():
    for first, second in ((None, "in_progress"), ("in_progress", None), ("✅ COMPLETE", "pending")):
        plan = read_plan(plan_text(phase("11", "One", first), phase("11", "Other", second)))
        (found,) = plan.phases
        assert found.status in (Status.IN_PROGRESS, Status.COMPLETED)
    said = parse(PATH, plan_text(phase("11", "One"), phase("11", "Other", "pending")).encode(), NOW)
    assert [warning.code for warning in said.warnings] == ["duplicate_id"]


def test_a_phase_that_was_added_later_says_when():
    added = only("# Build: x\n\n### Phase 9: Buoys _(added: 2026-04-07)_\n")
    assert added.added == "2026-04-07"
    assert only("# Build: x\n\n### Phase 9: Buoys _(added)_\n").added == ""
    assert only(plan_text(phase("9", "Buoys"))).added is None


@pytest.mark.parametrize(
    ("line", "title"),
    [
        ("# Build: Harbour", "Harbour"),
        ("# BUILD: Harbour", "Harbour"),
        ("# Build 3.5 - Harbour", "Harbour"),
        ("# Build Plan: Harbour", "Harbour"),
        ("# Codex-Optimized BUILD Spec: Harbour", "Harbour"),
        ("# Harbour", "Harbour"),
        ("# Building the harbour: part 2", "Building the harbour: part 2"),
    ],
)
def test_the_title(line, title):
    assert read_plan(f"{line}\n\n### Phase 1: Dig\n").title == title


# -- statuses ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("written", "status"),
    [
        ("complete", Status.COMPLETED),
        ("✅ COMPLETE", Status.COMPLETED),
        ("COMPLETE ✅", Status.COMPLETED),
        ("**COMPLETE**", Status.COMPLETED),
        ("completed", Status.COMPLETED),
        ("done", Status.COMPLETED),
        ("conditionally_complete", Status.COMPLETED),
        ("complete_parallel_shadow", Status.COMPLETED),
        ("complete_local_only", Status.COMPLETED),
        ("✅ COMPLETE (2026-04-20) — 7 lamps lit: in progress is only the paint; " + "x" * 900, Status.COMPLETED),
        ("completed (2026-04-19T18:10Z) — one lamp failed", Status.COMPLETED),
        ("not_started", Status.NOT_STARTED),
        (r"not\_started", Status.NOT_STARTED),
        ("⏳ PENDING", Status.NOT_STARTED),
        ("planned", Status.NOT_STARTED),
        ("not run — needs a complete harbour", Status.NOT_STARTED),
        ("🚧 in_progress", Status.IN_PROGRESS),
        ("in progress (4 of 7 done)", Status.IN_PROGRESS),
        ("partial", Status.IN_PROGRESS),
        ("partially complete", Status.IN_PROGRESS),
        ("paused (requires an interactive session, then complete)", Status.PAUSED),
        ("blocked by the tide", Status.BLOCKED),
        ("🗑️ REMOVED 2026-04-05 — done elsewhere", Status.SKIPPED),
        ("superseded by Phase 9", Status.SKIPPED),
        ("failed", Status.ERROR),
        ("shimmering", Status.UNKNOWN),
    ],
)
def test_the_first_words_of_a_status_decide(written, status):
    found = only(plan_text(phase("1", "Dig", written)))
    assert found.status is status
    assert (found.status_raw or "").startswith(written[:200])


@pytest.mark.parametrize(
    "mark", ["**Status:** {}", "**Status**: {}", "- **Status:** {}", "* **Status**: {}", "**status:** {}"]
)
def test_the_forms_of_a_status_line(mark):
    assert only(plan_text(phase("1", "Dig", None, mark.format("✅ COMPLETE")))).status is Status.COMPLETED


def test_the_first_status_line_of_a_phase_counts():
    assert only(plan_text(phase("1", "Dig", "paused", "", "**Status:** COMPLETE"))).status is Status.PAUSED


def test_a_word_that_nobody_knows_stays_as_written_and_is_warned_of_once():
    text = plan_text(phase("1", "Dig", "shimmering"), phase("2", "Fill", "shimmering"))
    said = parse(PATH, text.encode(), NOW)
    assert [found.status_raw for found in said.detail.phases] == ["shimmering"] * 2
    assert len([warning for warning in said.warnings if "shimmering" in warning.message]) == 1


@pytest.mark.parametrize(
    ("heading", "status"),
    [
        ("### Phase 5 — Lamps ✅ COMPLETE", Status.COMPLETED),
        ("### Phase 5: Lamps — COMPLETE (2026-04-20)", Status.COMPLETED),
        ("### Phase 5: Lamps ✅", Status.COMPLETED),
        ("### Phase 5: Lamps ❌ not COMPLETE", Status.UNKNOWN),
        ("### Phase 5: Complete the lamps", Status.UNKNOWN),
    ],
)
def test_a_status_in_the_heading(heading, status):
    found = only(f"# Build: Harbour\n\n{heading}\n\n- [ ] dig\n")
    assert found.status is status
    assert found.rule == ("heading" if status is Status.COMPLETED else "")
    assert found.title in ("Lamps", "Lamps ❌ not COMPLETE", "Complete the lamps", "Lamps not COMPLETE")


def test_a_status_line_outranks_the_heading():
    found = only("# Build: x\n\n### Phase 5: Lamps ✅ COMPLETE\n\n**Status:** in_progress\n")
    assert (found.status, found.rule) == (Status.IN_PROGRESS, "plan")


@pytest.mark.parametrize(
    "line", ["### Phase 11 Status: COMPLETE ✅", "**PHASE 11 STATUS: COMPLETE** 🎯", "#### Phase 11 status — complete"]
)
def test_a_status_in_prose(line):
    plan = read_plan(plan_text(phase("11", "Lamps", None, "- [ ] light"), phase("12", "Buoys"), f"{line}\n"))
    assert [found.status for found in plan.phases] == [Status.COMPLETED, Status.UNKNOWN]


def test_a_table_of_statuses_is_not_believed():
    table = "| Phase | Status | At |\n|---|---|---|\n| 1 | completed | 2026-04-20T20:00Z |\n"
    plan = read_plan(plan_text(table, phase("1", "Dig", "not_started"), phase("2", "Fill")))
    assert [found.status for found in plan.phases] == [Status.NOT_STARTED, Status.UNKNOWN]


# -- boxes ------------------------------------------------------------------------------------------------------------


def test_boxes_speak_only_for_a_phase_without_a_status_and_only_together():
    ticked, half, none = "- [x] a\n- [X] b", "- [x] a\n- [ ] b", "- [ ] a\n- [ ] b"
    for status, boxes, expected, rule in (
        (None, ticked, Status.COMPLETED, "boxes"),
        (None, half, Status.UNKNOWN, ""),
        (None, none, Status.UNKNOWN, ""),
        ("not_started", ticked, Status.NOT_STARTED, "plan"),
        ("in_progress", ticked, Status.IN_PROGRESS, "plan"),
        ("✅ COMPLETE", none, Status.COMPLETED, "plan"),
        ("shimmering", ticked, Status.UNKNOWN, ""),
    ):
        found = only(plan_text(phase("1", "Dig", status, "", boxes)))
        assert (found.status, found.rule) == (expected, rule), (status, boxes)


def test_the_forms_of_boxes():
    boxes = "- [x] one\n- [ ] two\n- [~] three\n* [X] four\n1. [ ] five\n  - [x] deeper\n- ✅ no box"
    found = only(plan_text(phase("1", "Dig", "in_progress", "**Deliverables:**", "", boxes)))
    assert [(line.name, line.ticked) for line in found.deliverables] == [
        ("one", True),
        ("two", False),
        ("three", None),
        ("four", True),
        ("five", False),
        ("deeper", True),
    ]


# -- the plan's own status --------------------------------------------------------------------------------------------

THREE = (phase("1", "Dig"), phase("2", "Fill"), phase("3", "Light"))
PENDING = tuple(phase(id_, "Dig", "⏳ PENDING") for id_ in "123")
DONE, OPEN, WAITING = [Status.COMPLETED] * 3, [Status.UNKNOWN] * 3, [Status.NOT_STARTED] * 3


@pytest.mark.parametrize(
    ("header", "silent", "pending"),
    [
        ("BUILD COMPLETE — All 3 Phases Done", DONE, DONE),
        ("✅ BUILD COMPLETE — All 3 Phases Done", DONE, DONE),
        ("BUILD COMPLETE — All 2 Phases Done", OPEN, WAITING),  # amended afterwards
        ("3/3 Phases Complete — ALL COMPLETE", DONE, DONE),
        ("✅ COMPLETE (3/3 phases)", DONE, DONE),
        ("2/2 Phases Complete", OPEN, WAITING),
        ("2/3 Phases Complete", OPEN, WAITING),
        ("✅ COMPLETE", DONE, WAITING),
        ("✅ ALL PHASES COMPLETE", DONE, WAITING),
        ("COMPLETE — All 3 phases arbiter-approved", DONE, DONE),
        ("Implementation Complete", DONE, WAITING),
        ("Phases 1-2 Complete — Phase 3 In Progress", OPEN, WAITING),
        ("Phases 1-1 Complete — Phase ? In Progress", OPEN, WAITING),
        ("🚧 in_progress", OPEN, WAITING),
        ("not_started", OPEN, WAITING),
        ("Complete redesign of the harbour, next: the lamps", OPEN, WAITING),
    ],
)
def test_what_the_header_says_of_phases_that_do_not_speak(header, silent, pending):
    assert [found.status for found in read_plan(plan_text(*THREE, header=header)).phases] == silent
    assert [found.status for found in read_plan(plan_text(*PENDING, header=header)).phases] == pending


def test_a_header_says_nothing_of_phases_that_speak():
    phases = (phase("1", "Dig", "✅ COMPLETE"), phase("2", "Fill", "paused"), phase("3", "Light", "in_progress"))
    plan = read_plan(plan_text(*phases, header="BUILD COMPLETE — All 3 Phases Done"))
    assert [found.status for found in plan.phases] == [Status.COMPLETED, Status.PAUSED, Status.IN_PROGRESS]


def test_a_header_may_name_a_blocked_phase():
    plan = read_plan(plan_text(*PENDING, header="Phases 1-1 Complete — Phase 2 Blocked (tide)"))
    assert [found.status for found in plan.phases] == [Status.NOT_STARTED, Status.BLOCKED, Status.NOT_STARTED]
    running = (phase("1", "Dig", "✅ COMPLETE"), phase("2", "Fill", "in_progress"))
    plan = read_plan(plan_text(*running, header="Phase 2 Blocked"))
    assert plan.phases[1].status is Status.IN_PROGRESS


@pytest.mark.parametrize(
    "before",
    [
        "## Session Log\n\n- **Status:** COMPLETE\n",
        "## Progress\n\n### Yesterday\n\n- **STATUS:** ✅ COMPLETE - the lamps of the old quay\n",
        "## 2026-04-04 the crane\n\n**Status:** ✅ COMPLETE\n",
    ],
)
def test_the_status_of_a_day_is_not_that_of_the_plan(before):
    plan = read_plan(f"# Harbour\n\n{before}\n" + "\n".join(THREE))
    assert plan.header is None
    assert [found.status for found in plan.phases] == OPEN


def test_the_fields_of_the_plan():
    plan = read_plan(
        "# Build: Harbour\n\n**Created:** 2026-04-12\n**Status:** not_started\n**Deploy:** quay — `make up`\n\n"
        "## Overview\n\n**Goal:** light\n\n" + "\n".join(THREE)
    )
    assert plan.fields == {"created": "2026-04-12", "deploy": "quay — make up", "goal": "light"}
    assert plan.created is not None
    assert plan.created.date().isoformat() in ("2026-04-11", "2026-04-12", "2026-04-13")  # a day begins where one is


# -- dependencies and files -------------------------------------------------------------------------------------------

IDS = ["0", "1", "2", "3", "4", "5", "6", "7", "8", "10.5"]


def of_last(line: str) -> list[str]:
    phases = [phase(id_, "Dig") for id_ in IDS]
    return read_plan(plan_text(*phases, phase("9", "Light", None, line))).phases[-1].blocked_by


@pytest.mark.parametrize(
    ("written", "ids"),
    [
        ("None", []),
        ("None (different files than Phase 1)", []),
        ("None — all new files, unlike Phase 2", []),
        ("-", []),
        ("—", []),
        ("N/A", []),
        ("Phase 1", ["1"]),
        ("Phase 1, Phase 2", ["1", "2"]),
        ("Phases 1-7", ["1", "2", "3", "4", "5", "6", "7"]),
        ("Phases 5–8", ["5", "6", "7", "8"]),
        ("Phases 1 and 3", ["1", "3"]),
        ("Phase 0, 5, 7", ["0", "5", "7"]),
        ("Phase 1 or 3", ["1", "3"]),
        ("Phase 7 (needs the 3 statistics of 4 lamps)", ["7"]),
        ("Phase 3 (complete)", ["3"]),
        ("Phase 10.5", ["10.5"]),
        ("1, 2, 3", ["1", "2", "3"]),
        (r"1 (lamps.py, state machine), 5 (\_light.sh)", ["1", "5"]),
        ("All previous phases", []),
        ("Phase 77", []),
        ("Phase 9", []),
        ("**Phase 1**", ["1"]),
        ("phase 1", ["1"]),
    ],
)
def test_dependencies(written, ids):
    assert of_last(f"**Blocked by:** {written}") == ids


@pytest.mark.parametrize("name", ["Blocked by", "Blocked By", "Depends on", "Dependencies"])
def test_the_names_of_dependencies(name):
    assert of_last(f"**{name}:** Phase 1") == of_last(f"- **{name}**: Phase 1") == ["1"]


def test_what_comes_after_is_soft_and_what_is_outside_is_external():
    lines = "**Blocked by:** External: BUILD_crane Phase 16 complete", "**After:** Phase 1 (CAN parallelize)"
    found = read_plan(plan_text(phase("1", "Dig"), phase("2", "Light", None, *lines))).phases[1]
    assert (found.blocked_by, found.after, found.external) == ([], ["1"], "External: BUILD_crane Phase 16 complete")


def test_the_files_of_a_phase():
    lines = """**Files:**

- `quay/lamps.py` (NEW)
- `quay/crane.py` (MODIFY - the arm)
- quay/old.py (DELETE)
- `~/.harbour/a b.sh` (APPEND)
- `a.py`, `b.py` (CREATE)
- not a file

**Deliverables:**

- [ ] `c.py` is no file of the list
"""
    found = only(plan_text(phase("1", "Dig", "pending", lines)))
    assert [(file.path, file.action) for file in found.files] == [
        ("quay/lamps.py", "new"),
        ("quay/crane.py", "modify"),
        ("quay/old.py", "delete"),
        ("~/.harbour/a b.sh", "append"),
        ("a.py", "create"),
        ("b.py", "create"),
    ]


# -- what is no part of it --------------------------------------------------------------------------------------------


def test_code_and_comments_say_nothing():
    inside = "### Phase 8: in code\n\n**Status:** ✅ COMPLETE\n- [x] a\n"
    for text in (
        f"```markdown\n{inside}```\n",
        f"~~~\n{inside}~~~\n",
        f"<!--\n{inside.replace(chr(10) * 2, chr(10))}-->\n",
    ):
        plan = read_plan(plan_text(phase("1", "Dig", None, "- [ ] dig", "", text), phase("2", "Fill", "pending")))
        assert [(found.id, found.status) for found in plan.phases] == [
            ("1", Status.UNKNOWN),
            ("2", Status.NOT_STARTED),
        ], text


def test_a_fence_that_was_left_behind_hides_no_phases():
    code = "```python\nlight()\n```\n\n```\n\nAfterwards.\n"
    plan = read_plan(plan_text(phase("1", "Dig", "✅ COMPLETE", code), phase("2", "Fill", "in_progress")))
    assert [found.status for found in plan.phases] == [Status.COMPLETED, Status.IN_PROGRESS]


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-16-be"])
@pytest.mark.parametrize("newline", ["\n", "\r\n", "\r"])
def test_encodings_and_ends_of_lines(encoding, newline):
    text = plan_text(phase("1", "Dig — é", "✅ COMPLETE", "- [x] a"), phase("2", "Fill", "in_progress"))
    text = text.replace("\n", newline)
    raw = ("\ufeff" + text).encode(encoding) if encoding == "utf-16-be" else text.encode(encoding)
    assert read_plan(raw).phases == read_plan(text.replace(newline, "\n")).phases
    assert [found.title for found in read_plan(raw).phases] == ["Dig — é", "Fill"]


def test_bytes_that_are_no_text_spoil_one_character():
    found = read_plan(plan_text(phase("1", "Dig", "✅ COMPLETE")).encode() + b"\n- [x] caf\xe9\n")
    assert [line.name for line in found.phases[0].deliverables] == ["caf\ufffd"]


@pytest.mark.parametrize(("raw", "code"), [(b"", "empty"), (b" \n\t", "empty"), (b"# x\n" * 300_000, "too_big")])
def test_what_is_no_plan_is_refused(raw, code):
    with pytest.raises(CheckpointError) as caught:
        parse(PATH, raw, NOW)
    assert caught.value.code == code


def test_only_plans_of_the_folder_of_builds_are_read():
    from buildwidget.systems import Shape, shape_of

    assert shape_of(".buildrunner/builds/BUILD_x.md") is Shape.PLAN
    for path in (
        ".buildrunner/BUILD_4E_COMPLETE.md",
        ".buildrunner/builds/NOTES.md",
        ".buildrunner/builds/old/BUILD_x.md",
        ".buildrunner/STATUS.md",
        ".buildrunner/plans/phase-1-plan.md",
        "builds/BUILD_x.md",
    ):
        assert shape_of(path) is None, path


def test_the_folders_that_are_left_out_are_told_in_the_readme():
    from pathlib import Path

    from buildwidget.systems.buildrunner.kinds import LEFT_OUT

    readme = (Path(__file__).parent.parent / "README.md").read_text("utf-8")
    assert all(LEFT_OUT.values())
    for folder in LEFT_OUT:
        assert f"`{folder}/`" in readme, folder


def test_one_open_phase_of_very_many_is_not_rounded_away() -> None:
    phases = [phase(str(number), "Part", "✅ COMPLETE") for number in range(1, 2_000)]
    text = plan_text(*phases, phase("2000", "Last", "not_started"))
    assert parse(".buildrunner/builds/BUILD_many.md", text.encode(), NOW).percent == 99.9


def test_ids_of_batches_are_read_as_those_of_locks() -> None:
    raw = b'{"batches": [{"id": 1, "phases": [5.0, 10.5, 1234567, "14.6", null]}], "total_phases": 4}'
    assert parse(".buildrunner/orchestration.json", raw, NOW).detail.phases == ["5", "10.5", "1234567", "14.6"]

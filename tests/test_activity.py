"""What happened, line by line: from locks and plans, and from the journal; nothing twice."""

from __future__ import annotations

import json
import shutil
from datetime import UTC, datetime
from pathlib import Path

import pytest

from buildwidget.activity import of_change
from buildwidget.model import Feature, Status
from buildwidget.session import BuildSession

from .projects import until

NOW = datetime(2026, 3, 1, 9, 0, tzinfo=UTC)
PLAN = "# Build: Shop\n\n### Phase 1: Cart\n\n**Status:** {}\n\n### Phase 2: Pay\n\n**Status:** not_started\n"


def phase(status: Status, **fields: object) -> Feature:
    return Feature(feature_id="shop/1", name="Cart", component_id="shop", feature_type="phase", status=status, **fields)


@pytest.mark.parametrize(
    ("before", "after", "kind"),
    [
        (None, Status.NOT_STARTED, "added"),
        (Status.NOT_STARTED, None, "removed"),
        (Status.NOT_STARTED, Status.IN_PROGRESS, "claimed"),
        (Status.IN_PROGRESS, Status.COMPLETED, "completed"),
        (Status.NOT_STARTED, Status.COMPLETED, "completed"),
        (Status.COMPLETED, Status.IN_PROGRESS, "reopened"),
        (Status.COMPLETED, Status.NOT_STARTED, "rolled_back"),
        (Status.IN_PROGRESS, Status.UNKNOWN, "released"),
        (Status.IN_PROGRESS, Status.ERROR, "failed"),
    ],
)
def test_what_a_change_means(before: Status | None, after: Status | None, kind: str) -> None:
    line = of_change(phase(before) if before else None, phase(after) if after else None, NOW)
    assert line is not None
    assert (line.kind, line.item) == (kind, "shop/1")
    assert line.text.startswith("phase 1 Cart")


def test_the_same_status_is_no_news() -> None:
    assert of_change(phase(Status.IN_PROGRESS), phase(Status.IN_PROGRESS, heartbeat_at=NOW), NOW) is None


def test_a_claim_says_who_and_when() -> None:
    claimed = phase(
        Status.IN_PROGRESS, owner="box", claimed_at=NOW, status_source="lock:.buildrunner/locks/phase-1/claim.json"
    )
    line = of_change(phase(Status.NOT_STARTED), claimed, datetime(2026, 3, 1, 10, 0, tzinfo=UTC))
    assert line is not None
    assert (line.text, line.time) == ("phase 1 Cart by box", NOW)
    assert line.source == ".buildrunner/locks/phase-1/claim.json"


def test_a_live_build_tells_each_thing_once(tmp_path: Path) -> None:
    base = tmp_path / ".buildrunner"
    (base / "builds").mkdir(parents=True)
    (base / "locks").mkdir()
    plan, journal = base / "builds" / "BUILD_shop.md", base / "decisions.log"
    plan.write_text(PLAN.format("not_started"))
    journal.write_text("[2026-03-01T08:00:00Z] [DECISION] a basket, not a list\n")
    session = BuildSession(tmp_path).open()

    def told() -> list[str]:
        return [line.kind for line in session.snapshot().activity]

    try:
        until(lambda: session.loaded and told() == ["decision"])
        lock = base / "locks" / "phase-1"
        lock.mkdir()
        stamp = datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
        (lock / "claim.json").write_text(json.dumps({"phase": 1, "build": "BUILD_shop.md", "claimed_at": stamp}))
        with journal.open("a") as file:
            file.write(f"{stamp} phase-1: START\n[{stamp}] [AMENDMENT] one phase more\n")
        until(lambda: sorted(told()) == ["added", "claimed", "decision"])
        plan.write_text(PLAN.format("✅ COMPLETE"))
        with journal.open("a") as file:
            file.write(f"{stamp} phase-1: COMPLETE\n")
        until(lambda: told()[-1] == "completed")
        shutil.rmtree(lock)
        session.refresh()
        assert sorted(told()) == ["added", "claimed", "completed", "decision"]
    finally:
        session.close()

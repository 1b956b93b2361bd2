"""The past of plans out of git: transitions, durations, amendments, renames, merges."""

from __future__ import annotations

import itertools
import json
import os
import shutil
import subprocess
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from buildwidget.history import NotAGitRepositoryError, read_history, read_plan_history
from buildwidget.session import BuildSession

from .corpus import REAL_FILES

REALITY = REAL_FILES.parent / "reality"
START = datetime(2026, 3, 1, 9, 0, tzinfo=UTC)


class Repository:
    """A project in a git repository, with a clock."""

    def __init__(self, root: Path) -> None:
        self.root, self.base = root, root / ".buildrunner"
        (self.base / "builds").mkdir(parents=True)
        self.git("init", "-q", "-b", "main")

    def git(self, *words: str, at: datetime = START) -> None:
        names = {
            f"GIT_{who}_{what}": "someone@example.org" for who in ("AUTHOR", "COMMITTER") for what in ("NAME", "EMAIL")
        }
        dates = {f"GIT_{who}_DATE": at.isoformat() for who in ("AUTHOR", "COMMITTER")}
        subprocess.run(
            ["git", "-C", str(self.root), *words], check=True, capture_output=True, env={**os.environ, **names, **dates}
        )

    def commit(self, label: str, minutes: float = 0, *, at: datetime | None = None) -> None:
        self.git("add", "-A")
        self.git("commit", "-q", "--allow-empty", "-m", label, at=at or START + timedelta(minutes=minutes))

    def plan(self, slug: str, **statuses: str) -> Path:
        """Write a plan whose phases have these statuses: ``p1="not_started"``."""
        phases = [f"### Phase {key[1:]}: Part {key[1:]}\n\n**Status:** {word}\n" for key, word in statuses.items()]
        path = self.base / "builds" / f"BUILD_{slug}.md"
        path.write_text("\n".join([f"# Build: {slug}\n", *phases]))
        return path

    def claim(self, slug: str, phase: str, at: datetime) -> Path:
        folder = self.base / "locks" / f"{slug}-phase-{phase}"
        folder.mkdir(parents=True)
        stamp = at.strftime("%Y-%m-%dT%H:%M:%SZ")
        body = {"phase": phase, "build": f"BUILD_{slug}.md", "claimed_at": stamp, "host": "box"}
        (folder / "claim.json").write_text(json.dumps(body))
        (folder / "heartbeat").write_text(stamp + "\n")
        return folder


@pytest.fixture
def repository(tmp_path: Path) -> Repository:
    return Repository(tmp_path / "shop")


def kinds(repository: Repository) -> list[tuple[str, str]]:
    rows = read_plan_history(repository.root).transitions
    return list(zip(rows["feature"], rows["kind"], strict=True))


def test_a_build_from_plan_to_end(repository: Repository) -> None:
    repository.plan("cart", p1="not_started", p2="not_started")
    repository.commit("plan")
    lock = repository.claim("cart", "1", START + timedelta(minutes=3))
    repository.commit("claim", 4)
    repository.plan("cart", p1="✅ COMPLETE", p2="not_started")
    shutil.rmtree(lock)
    repository.commit("complete", 15)
    found = read_history(repository.root, git=True).plans
    rows = found.transitions
    assert list(zip(rows["feature"], rows["kind"], rows["label"], strict=True)) == [
        ("cart/1", "added", "plan"),
        ("cart/2", "added", "plan"),
        ("cart/1", "claimed", "claim"),
        ("cart/1", "completed", "complete"),
    ]
    assert rows["source"].iloc[2] == "lock:.buildrunner/locks/cart-phase-1/claim.json"
    phase = found.phases.set_index("feature").loc["cart/1"]
    assert phase["started_at"] == START + timedelta(minutes=3)
    assert phase["start_known"]
    assert phase["duration"] == timedelta(minutes=12)
    assert phase["claims"] == 1
    assert found.amendments.empty


def test_a_lock_that_goes_before_the_plan_speaks_ends_the_work(repository: Repository) -> None:
    repository.plan("cart", p1="not_started")
    lock = repository.claim("cart", "1", START)
    repository.commit("claim")
    shutil.rmtree(lock)
    repository.commit("merge of a worker", 10)
    repository.plan("cart", p1="✅ COMPLETE")
    repository.commit("the plan is corrected", 45)
    found = read_plan_history(repository.root)
    assert list(found.transitions["kind"]) == ["added", "released", "completed"]
    phase = found.phases.iloc[0]
    assert phase["duration"] == timedelta(minutes=10)
    assert phase["completed_at"] == START + timedelta(minutes=45)


def test_amendments_rollbacks_and_removals(repository: Repository) -> None:
    repository.plan("cart", p1="✅ COMPLETE", p2="not_started")
    repository.commit("plan")
    repository.plan("cart", p1="✅ COMPLETE", p2="not_started", p3="not_started", p4="not_started")
    repository.commit("two more", 1)
    repository.plan("cart", p1="not_started", p2="not_started", p3="not_started")
    repository.commit("back", 2)
    found = read_plan_history(repository.root)
    assert kinds(repository)[2:] == [
        ("cart/3", "added"),
        ("cart/4", "added"),
        ("cart/1", "rolled_back"),
        ("cart/4", "removed"),
    ]
    rows = found.amendments
    assert list(zip(rows["kind"], rows["phases_before"], rows["phases_after"], strict=True)) == [
        ("added", 2, 4),
        ("added", 2, 4),
        ("removed", 4, 3),
    ]


def test_a_renamed_plan_keeps_its_past(repository: Repository) -> None:
    path = repository.plan("cart", p1="in_progress", p2="not_started", p3="not_started")
    repository.commit("plan")
    path.rename(path.with_name("BUILD_basket.md"))
    repository.commit("a better name", 5)
    repository.plan("basket", p1="✅ COMPLETE", p2="not_started", p3="not_started")
    repository.commit("done", 20)
    assert kinds(repository)[3:] == [
        ("basket/1", "renamed"),
        ("basket/2", "renamed"),
        ("basket/3", "renamed"),
        ("basket/1", "completed"),
    ]
    phases = read_plan_history(repository.root).phases.set_index("feature")
    assert set(phases.index) == {"basket/1", "basket/2", "basket/3"}
    assert phases.loc["basket/1", "added_at"] == START


def test_work_on_a_branch_is_told_once(repository: Repository) -> None:
    repository.plan("cart", p1="not_started", p2="not_started")
    repository.plan("mail", p1="not_started")
    repository.commit("plans")
    repository.git("checkout", "-q", "-b", "worker")
    repository.plan("cart", p1="✅ COMPLETE", p2="not_started")
    repository.commit("on the branch", 5)
    repository.git("checkout", "-q", "main")
    repository.plan("mail", p1="✅ COMPLETE")
    repository.commit("on main", 7)
    repository.git("merge", "-q", "--no-ff", "-m", "merge", "worker", at=START + timedelta(minutes=9))
    assert kinds(repository)[3:] == [("cart/1", "completed"), ("mail/1", "completed")]


def test_live_and_git_agree(repository: Repository) -> None:
    """What a session saw is what git has, where both have seen it."""
    repository.plan("cart", p1="not_started", p2="not_started")
    repository.commit("plan")
    session = BuildSession(repository.root).open()
    try:
        until(lambda: session.loaded)
        lock = repository.claim("cart", "1", datetime.now(UTC))
        until(lambda: [line.kind for line in session.snapshot().activity] == ["claimed"])
        repository.commit("claim", at=datetime.now(UTC))
        repository.plan("cart", p1="✅ COMPLETE", p2="not_started", p3="not_started")
        until(lambda: len(session.snapshot().activity) == 3)
        shutil.rmtree(lock)
        repository.commit("complete", at=datetime.now(UTC))
        session.refresh()
        seen = [(line.item, line.kind) for line in session.snapshot().activity]
    finally:
        session.close()
    assert sorted(kinds(repository)[2:]) == sorted(seen)


def until(condition, seconds: float = 10) -> None:
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.01)


def test_without_git_it_says_what_to_do(tmp_path: Path, repository: Repository) -> None:
    with pytest.raises(ValueError, match="git=True"):
        _ = read_history(repository.root).plans
    (tmp_path / "bare" / ".buildrunner" / "builds").mkdir(parents=True)
    with pytest.raises(NotAGitRepositoryError):
        read_plan_history(tmp_path / "bare")


@pytest.mark.skipif(not REALITY.is_dir(), reason="the real projects are not here")
def test_the_durations_of_real_builds(tmp_path: Path) -> None:
    """A repository made from the events of eight real builds gives their durations."""
    repository = Repository(tmp_path / "real")
    durations = [json.loads(line) for line in (REALITY / "durations.jsonl").read_text("utf-8").splitlines()]
    events = [json.loads(line) for line in (REALITY / "timeline.jsonl").read_text("utf-8").splitlines()]
    titles = {(row["build"], row["phase"]): row["title"] for row in durations}
    words = {"completed": "✅ COMPLETE", "claimed": "in_progress"}
    plans: dict[str, dict[str, str]] = {}
    events.sort(key=lambda event: event["time"])
    for moment, group in itertools.groupby(events, key=lambda event: event["time"]):
        at = datetime.fromisoformat(moment)
        for event in group:
            slug, phase = event["build"].removeprefix("BUILD_"), event["phase"]
            if event["source"] == "lock":
                shutil.rmtree(repository.base / "locks" / f"{slug}-phase-{phase}", ignore_errors=True)
                if event["to"] == "claimed":
                    repository.claim(slug, phase, at)
            elif event["to"] != "released":
                plans.setdefault(slug, {})[phase] = words.get(event["to"], event["to"])
                text = [f"# Build: {slug}\n"]
                text += [
                    f"### Phase {key}: {titles.get((event['build'], key), 'Part')}\n\n**Status:** {status}\n"
                    for key, status in plans[slug].items()
                ]
                (repository.base / "builds" / f"BUILD_{slug}.md").write_text("\n".join(text))
        repository.commit("x", at=at)
    phases = read_plan_history(repository.root).phases.set_index("feature")
    right = 0
    known = [row for row in durations if row.get("minutes") is not None]
    for row in known:
        found = phases["duration"].get(f"{row['build'].removeprefix('BUILD_')}/{row['phase']}")
        minutes = found.total_seconds() / 60 if found is not None and found == found else None  # noqa: PLR0124 (NaT)
        right += minutes is not None and abs(minutes - row["minutes"]) <= max(0.2, 0.02 * row["minutes"])
    assert len(known) >= 100
    assert right >= 0.97 * len(known)

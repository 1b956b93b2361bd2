"""Log files: followed through growth, rotation and rewriting, whatever they are called and however they are encoded."""

from __future__ import annotations

import time

import pytest

from buildwidget.session import BuildSession
from tests.projects import Project, until


def tail(session: BuildSession) -> list[str]:
    return [row.text for row in session.snapshot().terminal.tail]


@pytest.fixture
def project(tmp_path):
    made = Project(tmp_path / "shop")
    made.checkpoint(1)
    (made.root / ".buildrunner" / "logs").mkdir()
    return made


@pytest.fixture
def log(project):
    return project.root / ".buildrunner" / "logs" / "build.log"


async def test_a_log_is_followed_through_growth_rotation_and_truncation(project, log) -> None:
    log.write_text("before us\n")
    async with BuildSession(project.root) as session:
        until(lambda: tail(session) == ["before us"])
        with log.open("a") as file:
            for number in range(100):
                file.write(f"line {number}\n")
                file.flush()
        until(lambda: tail(session)[-1] == "line 99")
        assert tail(session) == ["before us", *(f"line {n}" for n in range(100))]
        log.rename(log.with_suffix(".log.1"))
        log.write_text("rotated\n")
        until(lambda: tail(session)[-1] == "rotated")
        log.write_text("cut\n")
        until(lambda: tail(session)[-1] == "cut")
        with log.open("a") as file:
            file.write("unfinished")
        until(lambda: tail(session)[-1] == "unfinished")
        log.unlink()
        log.write_text("anew\n")
        until(lambda: tail(session)[-1] == "anew")
        assert len(tail(session)) == 105
        assert {row.source for row in session.snapshot().terminal.tail} == {"logs/build.log"}


async def test_only_the_end_of_a_long_log_is_read_at_the_start(project, log) -> None:
    log.write_text("".join(f"line {number:06d}\n" for number in range(100_000)))
    async with BuildSession(project.root) as session:
        until(lambda: tail(session) and tail(session)[-1] == "line 099999")
        assert session.seq < 50
        assert len(tail(session)) == 500


async def test_a_log_that_runs_ahead_is_skipped_and_it_is_said(project, log) -> None:
    log.write_text("first\n")
    async with BuildSession(project.root) as session:
        until(lambda: tail(session) == ["first"])
        with log.open("a") as file:
            file.write("x" * 99 + "\n")
            file.write("".join(f"line {number:06d}\n" for number in range(600_000)))
        until(lambda: tail(session)[-1] == "line 599999", 20)
        rows = session.since(0) or []
        assert any("bytes skipped" in getattr(row.event, "output", "") for row in rows)


async def test_a_log_that_leads_elsewhere_is_not_read(project, log, tmp_path) -> None:
    (tmp_path / "secret").write_text("secret\n")
    log.symlink_to(tmp_path / "secret")
    async with BuildSession(project.root) as session:
        time.sleep(0.3)
        assert tail(session) == []

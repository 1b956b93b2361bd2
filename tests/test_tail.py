"""Log files: followed through growth, rotation and rewriting, whatever they are called and however they are encoded."""

from __future__ import annotations

import os
import random
import shutil
import time
from collections import Counter

import pytest

from buildwidget.session import BuildSession
from buildwidget.watching import tail as tails
from buildwidget.watching.tail import Tails
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
        rows = session.snapshot().terminal.tail
        assert [(row.line, row.text) for row in rows] == [(n + 1, f"line {n:06d}") for n in range(99_500, 100_000)]


async def test_a_log_that_runs_ahead_is_skipped_and_it_is_said(project, log) -> None:
    log.write_text("first\n")
    async with BuildSession(project.root) as session:
        until(lambda: tail(session) == ["first"])
        with log.open("a") as file:
            file.write("x" * 99 + "\n")
            file.write("".join(f"line {number:06d}\n" for number in range(600_000)))
        until(lambda: tail(session)[-1] == "line 599999", 20)
        rows = session.since(0) or []
        [note] = [row.event for row in rows if getattr(row.event, "output_type", "") == "info"]
        assert note.output.endswith(" earlier lines not shown\n")
        kept = session.snapshot().terminal.tail
        assert [(row.line, row.text) for row in kept] == [(n + 3, f"line {n:06d}") for n in range(599_500, 600_000)]


async def test_a_log_that_leads_elsewhere_is_not_read(project, log, tmp_path) -> None:
    (tmp_path / "secret").write_text("secret\n")
    log.symlink_to(tmp_path / "secret")
    async with BuildSession(project.root) as session:
        time.sleep(0.3)
        assert tail(session) == []


async def test_a_log_of_long_lines_says_how_many_are_not_shown(project, log) -> None:
    log.write_text("".join(f"line {number} {'x' * 640}\n" for number in range(1, 204)))
    async with BuildSession(project.root) as session:
        first, *rows = session.snapshot().terminal.tail
        assert first.output_type == "info"
        assert first.text == f"{first.line} earlier lines not shown"
        assert first.line > 50
        assert [row.line for row in rows] == list(range(first.line + 1, 204))
        assert all(row.text.startswith(f"line {row.line} ") for row in rows)


async def test_hundreds_of_logs_are_told_once(project, log) -> None:
    async with BuildSession(project.root) as session:
        for turn in range(3):
            for number in range(300):
                with log.with_name(f"agent-{number:03}.log").open("a") as file:
                    file.write(f"agent {number} line {turn}\n")
            until(lambda n=300 * (turn + 1): len(told(session)) >= n, 30)
        assert Counter(told(session)) == Counter(f"agent {n} line {t}" for n in range(300) for t in range(3))


def told(session: BuildSession) -> list[str]:
    """Every line that was ever told, a line as often as it was."""
    outputs = [getattr(row.event, "output", "") for row in session.since(0) or []]
    return [line for output in outputs for line in output.splitlines()]


@pytest.mark.parametrize(
    "new", ["build.1.log", "build.2026-03-01.log", "a.log", "z.log", "old/build.log", "build.log.1"]
)
async def test_a_rotated_log_is_not_told_again(project, log, new) -> None:
    (log.parent / "old").mkdir()
    async with BuildSession(project.root) as session:
        log.write_text("old 1\nold 2\n")
        until(lambda: told(session) == ["old 1", "old 2"])
        log.rename(log.parent / new)
        with (log.parent / new).open("a") as file:
            file.write("old 3\n")
        log.write_text("new 1\n")
        until(lambda: "new 1" in told(session))
        wait_for_quiet(session)
        # Of a name that is not followed, what is written after the rename may be missed.
        either = ["old 3"] if new.endswith(".log") or "old 3" in told(session) else []
        assert sorted(told(session)) == ["new 1", "old 1", "old 2", *either]


@pytest.mark.parametrize("new", ["build.log.1", "build.log-20260301", "build.old"])
@pytest.mark.parametrize("again", [True, False])
async def test_what_was_written_just_before_a_rename_is_told(project, log, new, again) -> None:
    async with BuildSession(project.root) as session:
        log.write_text("old 1\n")
        until(lambda: told(session) == ["old 1"])
        with session.lock:  # so that nobody looks in between
            with log.open("a") as file:
                file.write("old 2\nold 3\n")
            log.rename(log.with_name(new))
            if again:
                log.write_text("new 1\n")
        expected = ["old 1", "old 2", "old 3", *(["new 1"] if again else [])]
        until(lambda: told(session) == expected)


@pytest.mark.parametrize("poll", [None, True])
@pytest.mark.parametrize("size", [2, 20_000])
async def test_a_copy_beside_a_log_that_is_emptied_at_once_is_not_told_again(project, log, size, poll) -> None:
    """As logrotate's copytruncate does, to a name that is followed: whichever of the two is looked at first."""
    async with BuildSession(project.root, poll=poll) as session:
        for turn in range(4):
            told_before = session.snapshot().terminal.next_line
            lines = [f"turn {turn}, line {number}\n" for number in range(size)]
            log.write_text("".join(lines))
            last = lines[-1].strip()
            until(lambda last=last: tail(session)[-1:] == [last])
            shutil.copy(log, log.with_name(f"build.{turn}.log"))
            os.truncate(log, 0)
            with log.open("a") as file:
                file.write(f"after {turn}\n")
            until(lambda turn=turn: f"after {turn}" in tail(session))
            wait_for_quiet(session)
            assert session.snapshot().terminal.next_line - told_before == size + 1


async def test_a_copy_that_takes_its_time_is_not_told_again(project, log) -> None:
    lines = [f"line {number}\n" for number in range(3_000)]
    async with BuildSession(project.root) as session:
        log.write_text("".join(lines))
        until(lambda: tail(session)[-1:] == ["line 2999"])
        with log.with_name("build.1.log").open("w") as copy:
            for at in range(0, 3_000, 300):
                copy.writelines(lines[at : at + 300])
                copy.flush()
                session.refresh()  # it is looked at in the middle
        os.truncate(log, 0)
        with log.open("a") as file:
            file.write("after\n")
        until(lambda: "after" in tail(session))
        wait_for_quiet(session)
        assert session.snapshot().terminal.next_line - 1 == 3_001


async def test_a_log_that_begins_like_another_is_shown_all_the_same(project, log) -> None:
    async with BuildSession(project.root) as session:
        log.write_text("agent starts\n")
        until(lambda: told(session) == ["agent starts"])
        log.with_name("second.log").write_text("agent starts\n")
        until(lambda: told(session) == ["agent starts"] * 2)
        log.with_name("third.log").write_text("agent starts\nbuilds the third thing\n")
        until(lambda: told(session)[2:] == ["agent starts", "builds the third thing"])


def wait_for_quiet(session: BuildSession) -> None:
    """Until every file was looked at as it is now, and none is held back any more."""
    for _ in range(3):
        session.refresh()
    until(lambda: session.refresh() >= 0 and session._source.due_in() is None, 20)


# -- Tails, without a session ----------------------------------------------------------------------------------------


class Reader:
    """One project's logs, and all that was told of them."""

    def __init__(self, root) -> None:
        self.root = root
        self.tails = Tails(root)
        self.told: list[str] = []

    def read(self, name: str, *, old: bool = False) -> list[tails.Piece]:
        pieces = []
        while (piece := self.tails.read(name, old=old)) is not None:
            if piece.hold:  # a possible copy
                time.sleep(piece.hold)
                continue
            pieces.append(piece)
            self.told += piece.text.splitlines()
            if not piece.more:
                break
        return pieces


@pytest.fixture
def reader(tmp_path):
    return Reader(tmp_path)


REWRITES = [
    ("run 1: compile\nrun 1: ok\n", "run 2: configure the whole thing\nrun 2: compile\nrun 2: FAILED\n"),
    ("run 1: ok\n", "run 2: ok\n"),
    ("run 1: ok\n", "r\n"),
    ("run 1: ok\n", ""),
    ("one\n" * 100, "two\n" * 100),
    ("banner\n" * 9_000 + "end of run 1\n", "banner\n" * 9_000 + "end of run 2\nand more\n"),
    ("first run\n" + "same\n" * 9_000, "other run\n" + "same\n" * 9_000 + "more\n"),
]


@pytest.mark.parametrize(("before", "after"), REWRITES)
def test_a_log_that_is_written_anew_in_place_is_read_anew(reader, before, after) -> None:
    path = reader.root / "b.log"
    path.write_text(before)
    reader.read("b.log")
    reader.told.clear()
    path.write_text(after)  # the same inode
    assert reader.read("b.log")[0].again
    assert reader.told == after.splitlines()


@pytest.mark.parametrize("copy", ["b.1.log", "a.log", "b-20260301.log"])
@pytest.mark.parametrize("original_first", [True, False])
def test_a_copy_before_truncation_is_not_told_again(reader, copy, original_first) -> None:
    path = reader.root / "b.log"
    path.write_text("old 1\nold 2\n")
    reader.read("b.log")
    with path.open("a") as file:
        file.write("old 3\n")
    shutil.copy(path, reader.root / copy)
    os.truncate(path, 0)
    with path.open("a") as file:
        file.write("new 1\nnew 2\nnew 3\nnew 4\n")
    for name in ("b.log", copy) if original_first else (copy, "b.log"):
        reader.read(name)
    assert sorted(reader.told) == sorted(["old 1", "old 2", "old 3", "new 1", "new 2", "new 3", "new 4"])


def test_a_copy_that_was_seen_while_it_was_empty_is_not_told_again(reader) -> None:
    path, copy = reader.root / "b.log", reader.root / "b.1.log"
    path.write_text("old 1\nold 2\n")
    reader.read("b.log")
    copy.touch()
    reader.read("b.1.log")
    shutil.copy(path, copy)
    os.truncate(path, 0)
    with path.open("a") as file:
        file.write("new 1\n")
    reader.read("b.1.log")
    reader.read("b.log")
    assert reader.told == ["old 1", "old 2", "new 1"]


def test_two_logs_that_begin_alike_are_both_told(reader) -> None:
    for name in ("a.log", "b.log"):
        (reader.root / name).write_text("agent starts\n")
        reader.read(name)
    assert reader.told == ["agent starts", "agent starts"]
    (reader.root / "a.log").write_text("agent starts anew\n")
    reader.read("a.log")
    os.utime(reader.root / "a.log", ns=(0, 0))
    (reader.root / "c.log").write_text("agent starts\n")
    reader.read("c.log")
    assert reader.told[2:] == ["agent starts anew", "agent starts"]


def test_the_same_inode_under_the_same_name_is_a_new_log(reader) -> None:
    path = reader.root / "b.log"
    path.write_text("run\n")
    reader.read("b.log")
    path.unlink()
    reader.tails.forget("b.log")
    path.write_text("run\n")  # most file systems give it the inode that was just freed
    reader.read("b.log")
    assert reader.told == ["run", "run"]


def test_a_log_with_two_names_is_told_once(reader) -> None:
    (reader.root / "b.log").write_text("one\n")
    (reader.root / "latest.log").symlink_to("b.log")
    reader.read("b.log")
    reader.read("latest.log")
    with (reader.root / "b.log").open("a") as file:
        file.write("two\n")
    reader.read("latest.log")
    reader.read("b.log")
    assert reader.told == ["one", "two"]


@pytest.mark.parametrize("size", [100, 5_000, 1 << 20, 32 << 20])
@pytest.mark.parametrize("encoding", ["utf-8", "utf-16"])
def test_a_preallocated_log_is_read_as_it_is_written(reader, size, encoding) -> None:
    path = reader.root / "b.log"
    chance = random.Random(size)
    with path.open("w+b") as file:
        file.truncate(size)
        assert reader.read("b.log") == []
        written = []
        data = b""
        while len(data) < min(size, 20_000) - 100:
            line = f"line {len(written)} {'ö' * chance.randrange(9)}"
            written.append(line)
            data = "".join(f"{text}\n" for text in written).encode(encoding)
            file.seek(0)
            file.write(data)
            file.flush()
            if chance.random() < 0.2:
                reader.read("b.log")
                assert reader.told == written
        file.truncate(len(data))
        reader.read("b.log")
    assert reader.told == written


def test_a_writer_that_goes_on_behind_a_hole_is_read_on(reader) -> None:
    path = reader.root / "b.log"
    with path.open("wb", buffering=0) as file:
        file.write(b"old\n" * 2_000_000)
        reader.read("b.log", old=True)
        reader.told.clear()
        os.truncate(path, 0)
        file.write(b"new 1\nnew 2\n")  # its position is behind the end
        reader.read("b.log")
    assert [line.strip("\0") for line in reader.told] == ["new 1", "new 2"]


TEXT = "Build started\r\nSchritt größe 日本 𝄞\r\n\u0a00\u0100 end\r\n"


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-16-be"])
def test_the_byte_order_mark_says_how_to_read(reader, encoding) -> None:
    data = (b"\xfe\xff" if encoding == "utf-16-be" else b"") + TEXT.encode(encoding)
    with (reader.root / "b.log").open("ab", buffering=0) as file:
        for at in range(len(data)):
            file.write(data[at : at + 1])
            for piece in reader.read("b.log"):
                assert "\ufffd" not in piece.text
    (reader.root / "c.log").write_bytes(data)
    assert "".join(piece.text for piece in reader.read("c.log")) == TEXT


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16"])
def test_the_lines_before_the_middle_are_counted(reader, encoding) -> None:
    lines = [f"line {number} ഀ" for number in range(40_000)]
    (reader.root / "b.log").write_bytes("".join(f"{line}\n" for line in lines).encode(encoding))
    piece, *rest = reader.read("b.log", old=True)
    assert not rest
    assert piece.text.splitlines() == lines[piece.lines :]
    assert len(piece.text) > 10_000


def test_lines_of_more_than_one_look_are_counted(reader, monkeypatch) -> None:
    (reader.root / "b.log").write_text("".join(f"line {n}\n" for n in range(900_000)))
    pieces = reader.read("b.log", old=True)
    assert len(pieces) > 1
    assert f"line {pieces[-1].lines}\n" == pieces[-1].text.splitlines(keepends=True)[0]
    monkeypatch.setattr(tails, "MAX_COUNT", 1 << 20)
    [piece] = Reader(reader.root).read("b.log", old=True)
    assert piece.lines is None
    assert piece.skipped > 9_000_000


def test_what_is_cut_in_a_line_is_not_counted_as_a_line(reader) -> None:
    with (reader.root / "b.log").open("w") as file:
        file.write("first\nsec")
        file.flush()
        reader.read("b.log")
        file.write("ond\n" + "".join(f"line {n}\n" for n in range(3, 600_000)))
    [piece] = [piece for piece in reader.read("b.log") if piece.lines]
    assert piece.text.startswith(f"line {piece.lines + 3}\n")

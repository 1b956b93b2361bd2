"""Output into lines: what a terminal would show, however the output is cut."""

from __future__ import annotations

import json
import os
import time
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from buildwidget import events as ev
from buildwidget.session import BuildSession
from buildwidget.state import BuildState
from buildwidget.terminal import MAX_LINE, Chunk, Terminal
from tests.projects import Project, until

RED, OFF = "\x1b[31m", "\x1b[0m"


def lines_of(chunks: list[Chunk], seen: dict[int, str] | None = None) -> dict[int, str]:
    """Number → text, a later version in the place of an earlier one."""
    seen = {} if seen is None else seen
    for chunk in chunks:
        for number, text in enumerate(chunk.output.removesuffix("\n").split("\n"), chunk.line):
            seen[number] = text
    return seen


def shown(*pieces: str) -> list[str]:
    terminal = Terminal()
    seen: dict[int, str] = {}
    for at, piece in enumerate(pieces):
        lines_of(terminal.feed(piece, now=float(at)), seen)
    lines_of(terminal.finish(), seen)
    return [seen[number] for number in sorted(seen)]


@pytest.mark.parametrize(
    ("text", "lines"),
    [
        ("a\nb\n", ["a", "b"]),
        ("a\r\nb\r\n", ["a", "b"]),
        ("\n\nx\n", ["", "", "x"]),
        ("no end", ["no end"]),
        ("10 %\r20 %\r100 %\n", ["100 %"]),
        ("a long line\rab\n", ["ablong line"]),
        ("a long line\rab\x1b[K\n", ["ab"]),
        ("gone\x1b[2K\rnew\n", ["new"]),
        ("abc\b\bX\n", ["aXc"]),
        ("abc\x1b[2DX\n", ["aXc"]),
        ("abc\x1b[1GX\n", ["Xbc"]),
        ("a\x1b[3Cb\n", ["a   b"]),
        (f"{RED}red{OFF} plain\n", [f"{RED}red{OFF} plain"]),
        (f"{RED}one\ntwo{OFF}\nthree\n", [f"{RED}one{OFF}", f"{RED}two{OFF}", "three"]),
        ("\x1b]0;title\x07text\n", ["text"]),
        ("\x1b]8;;http://evil/\x1b\\link\x1b]8;;\x1b\\\n", ["link"]),
        ("\x1b[2J\x1b[Hclear\x07\x00\n", ["clear"]),
        ("\x1b(Bcharset\x1b=\n", ["charset"]),
        ("half \ud800 pair\n", ["half \ufffd pair"]),
        ("c1 \x9b31m\n", ["c1 31m"]),
        ("tab\there\n", ["tab\there"]),
    ],
)
def test_what_a_line_shows(text, lines) -> None:
    assert shown(text) == lines
    assert shown(*text) == lines, "one character at a time"


PIECES = st.lists(
    st.one_of(
        st.sampled_from(
            ["\n", "\r", "\r\n", "\b", "\t", RED, OFF, "\x1b[K", "\x1b[1;32m", "\x1b[2D", "\x1b]0;t\x07", "\x00"]
        ),
        st.text(st.characters(codec="utf-8", exclude_characters="\x1b"), max_size=12),
    ),
    max_size=30,
).map("".join)


@given(PIECES, st.lists(st.integers(0, 200), max_size=8))
def test_cutting_the_output_changes_nothing(text: str, cuts: list[int]) -> None:
    places = [0, *sorted(cut for cut in cuts if cut < len(text)), len(text)]
    pieces = [text[a:b] for a, b in pairwise(places)]
    assert shown(*pieces) == shown(text)


@given(
    st.lists(st.tuples(PIECES, st.sampled_from(["stdout", "stderr"]), st.sampled_from([None, "a", "b"])), max_size=12)
)
def test_the_fold_holds_the_lines(said: list[tuple[str, str, str | None]]) -> None:
    terminal, state, expected = Terminal(), BuildState(), {}
    chunks: list[Chunk] = []
    for at, (text, kind, source) in enumerate(said):
        chunks += terminal.feed(text, output_type=kind, source=source, now=float(at))
        chunks += terminal.flush(at + 0.5)
    for source in (None, "a", "b"):
        chunks += terminal.finish(source)
    lines_of(chunks, expected)
    for seq, c in enumerate(chunks, 1):
        event = ev.TerminalOutput(output=c.output, output_type=c.output_type, source=c.source, line=c.line, seq=seq)
        state.apply(ev.decode(ev.encode(event)))
    kept = {row.line: row.text for row in state.snapshot().terminal.tail}
    numbers = sorted(expected)
    assert numbers == list(range(1, len(numbers) + 1)), "numbered from 1, without holes"
    assert kept == {number: expected[number] for number in numbers[-500:]}


def test_a_part_of_a_line_is_shown_after_100_ms_and_replaced_later() -> None:
    terminal = Terminal()
    assert terminal.feed("compil", now=1.0) == []
    assert terminal.due() == pytest.approx(1.1)
    assert terminal.flush(1.05) == []
    assert terminal.flush(1.1) == [Chunk(1, "compil")]
    assert terminal.due() is None
    assert terminal.feed("ing\nnext\n", now=2.0) == [Chunk(1, "compiling\nnext\n")]


def test_two_sources_do_not_mix() -> None:
    terminal = Terminal()
    chunks = terminal.feed("one ", source="a", now=0) + terminal.feed("two ", source="b", now=0)
    chunks += terminal.feed("A\n", source="a", now=0) + terminal.feed("B\n", source="b", now=0)
    assert chunks == [Chunk(1, "one A\n", source="a"), Chunk(2, "two B\n", source="b")]


def test_everything_is_bounded() -> None:
    terminal = Terminal()
    for _ in range(160):
        terminal.feed("x" * 65_536, now=0)
    [chunk] = terminal.feed("\n", now=0)
    assert len(chunk.output) < MAX_LINE + 100
    assert "more characters" in chunk.output
    chunks = terminal.feed("line\n" * 100_000, now=0)
    assert max(len(c.output) for c in chunks) < 64 * 1024
    assert len(lines_of(chunks)) == 100_000
    for number in range(2_000):
        terminal.feed("open", source=str(number), now=0)
    assert len(terminal._open) < 300
    noise = os.urandom(1 << 20).decode("utf-8", "replace")
    for chunk in terminal.feed(noise, now=0):
        json.dumps(chunk.output).encode()


# -- log files -------------------------------------------------------------------------------------------------------


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


def test_written_output_is_shown_while_it_is_unfinished() -> None:
    session = BuildSession(None, session_id="x").open()
    try:
        session.write_terminal("working …")
        until(lambda: tail(session) == ["working …"])
        session.write_terminal("\rdone     \n")
        assert tail(session) == ["done     "]
        session.write_terminal("last")
        session.end_terminal()
        assert tail(session) == ["done     ", "last"]
    finally:
        session.close()

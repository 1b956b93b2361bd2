"""Output into lines: what a terminal would show, however the output is cut."""

from __future__ import annotations

import json
import os
from itertools import pairwise

import pyte
import pyte.modes
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from buildwidget import events as ev
from buildwidget.session import BuildSession
from buildwidget.state import BuildState
from buildwidget.terminal import HEIGHT, MAX_LINE, MAX_SOURCES, Chunk, Terminal
from tests.projects import until

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
        ("tab\there\rTAB\n", ["TAB\there"]),
        ("tab\there\r\x1b[5CX\n", ["tab  X  here"]),
        ("日本語\r\x1b[2CX\n", ["日X 語"]),
        ("日本語\x1b[3D?\n", ["日 ?語"]),
        ("e\u0301a\rE\n", ["Ea"]),
        ("stray \x1b\\end\n", ["stray end"]),
        ("cut \x1b]0;title\nnext \x1b[31\nlast\n", ["cut ", "next ", "last"]),
        ("\x1b]1337;File=" + "A" * 9_000 + "\x07picture\n", ["picture"]),
        ("abcdef\x1b[4D\x1b[2P\n", ["abef"]),
        ("abcdef\x1b[4D\x1b[2X\n", ["ab  ef"]),
        ("abcdef\x1b[4D\x1b[2@\n", ["ab  cdef"]),
    ],
)
def test_what_a_line_shows(text, lines) -> None:
    assert shown(text) == lines
    assert shown(*text) == lines, "one character at a time"


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ("\x1b[32m✓\x1b[39m test", "\x1b[32m✓\x1b[0m test"),
        ("\x1b[41ma\x1b[49mb", "\x1b[41ma\x1b[0mb"),
        ("\x1b[1;31ma\x1b[22mb\x1b[39mc", "\x1b[1;31ma\x1b[0;31mb\x1b[0mc"),
        ("\x1b[3;4;7;9ma\x1b[23;24;27;29mb", "\x1b[3;4;7;9ma\x1b[0mb"),
        ("\x1b[2ma\x1b[22mb", "\x1b[2ma\x1b[0mb"),
        ("\x1b[38;5;208ma\x1b[38;2;1;2;3mb\x1b[mc", "\x1b[38;5;208ma\x1b[0;38;2;1;2;3mb\x1b[0mc"),
        ("\x1b[38:2::1:2:3ma\x1b[48:5:7mb\x1b[0mc", "\x1b[38;2;1;2;3ma\x1b[0;38;2;1;2;3;48;5;7mb\x1b[0mc"),
        ("\x1b[91ma\x1b[104mb\x1b[39;49mc", "\x1b[91ma\x1b[0;91;104mb\x1b[0mc"),
        ("\x1b[4:3ma\x1b[4:0mb\x1b[21mc\x1b[24md", "\x1b[4ma\x1b[0mb\x1b[4mc\x1b[0md"),
        ("\x1b[58;5;1;4ma", "\x1b[4ma\x1b[0m"),
        ("\x1b[31m\x1b[31m\x1b[32ma\x1b[00mb", "\x1b[32ma\x1b[0mb"),
        ("\x1b[38;5;300ma\x1b[99999999mb\x1b[>4;1mc\x1b[38;5md", "abcd"),
    ],
)
def test_colours_are_a_state(text, line) -> None:
    assert shown(text + "\n") == [line]
    assert shown(*text, "\n") == [line]


def test_colours_that_are_never_reset_by_0_do_not_pile_up() -> None:
    colours = [f"\x1b[38;2;{n};{n};{n}m\x1b[48;5;{n}m{n}" for n in range(200)]
    lines = shown("".join(f"{text}\n" for text in colours))
    assert lines == [f"\x1b[38;2;{n};{n};{n};48;5;{n}m{n}\x1b[0m" for n in range(200)]


# -- against a terminal emulator -------------------------------------------------------------------------------------

NUMBERS = st.sampled_from(["", "0", "1", "2", "3", "5", "9"])
SGR = st.lists(
    st.sampled_from(
        [
            "",
            "0",
            "1",
            "3",
            "4",
            "7",
            "9",
            "22",
            "23",
            "24",
            "27",
            "29",
            "31",
            "39",
            "42",
            "49",
            "95",
            "103",
            "38;5;208",
            "48;5;17",
            "38;2;1;2;3",
            "48;2;200;100;0",
        ]
    ),
    max_size=3,
).map(lambda codes: f"\x1b[{';'.join(codes)}m")
MOVES = st.one_of(
    st.builds("\x1b[{}{}".format, NUMBERS, st.sampled_from("ABCDEFG")),
    st.builds("\x1b[{}{}".format, st.sampled_from(["", "0", "1"]), st.sampled_from("JK")),
    st.just("\x1b[2K"),
    SGR,
    st.sampled_from(["\n", "\r", "\r\n", "\b", "\t", "\x1b]0;title\x07", "\x00", "\x1b[?25l", "\x1bE", "\x1bD"]),
    st.sampled_from(["Downloading", "ab", "━━━╸", "größe", "#", "  ", "100 %", "✓ ok"]),
)
STREAMS = st.lists(
    st.one_of(
        MOVES,
        st.lists(MOVES, max_size=4).map(lambda inside: "\x1b7" + "".join(inside) + "\x1b8"),
        st.lists(MOVES, max_size=4).map(lambda inside: "\x1b[s" + "".join(inside) + "\x1b[u"),
        st.integers(1, HEIGHT + 5).map(lambda count: "".join(f"line {n}\n" for n in range(count))),
    ),
    max_size=40,
).map("".join)


def emulated(text: str) -> list[list[tuple]]:
    """What a terminal shows: each line as the characters that can be seen, their places and their looks."""
    screen = pyte.HistoryScreen(1_000, HEIGHT, history=100_000)
    screen.set_mode(pyte.modes.LNM)
    pyte.Stream(screen).feed(text.replace("\x1b[s", "\x1b7").replace("\x1b[u", "\x1b8"))  # it knows only these
    lines = [*screen.history.top, *(screen.buffer[y] for y in range(HEIGHT))]
    looks = [[(x, *line[x]) for x in sorted(line) if line[x].data.strip()] for line in lines]
    while looks and not looks[-1]:
        looks.pop()
    return looks


@settings(max_examples=200)
@given(STREAMS, st.lists(st.integers(0, 2_000), max_size=10))
def test_the_lines_are_those_of_a_terminal(text: str, cuts: list[int]) -> None:
    places = [0, *sorted(cut for cut in cuts if cut < len(text)), len(text)]
    lines = shown(*(text[a:b] for a, b in pairwise(places)))
    seen = [look for line in lines for look in emulated(line) or [[]]]
    while seen and not seen[-1]:
        seen.pop()
    assert seen == emulated(text)


# -- what is told, and when ------------------------------------------------------------------------------------------


def test_bars_are_drawn_again_on_their_own_lines() -> None:
    terminal, chunks = Terminal(), []
    chunks += terminal.feed("before\nouter 0/3\n", now=0.0)
    for step in range(1, 16):
        bars = f"\rinner {step % 5}/5\x1b[A\router {step // 5}/3\n"
        chunks += terminal.feed(bars, now=step / 100)
        chunks += terminal.flush(step / 100)
    chunks += terminal.feed("\r\x1b[Kafter\n", now=1.0)
    chunks += terminal.finish()
    assert lines_of(chunks) == {1: "before", 2: "outer 3/3", 3: "after"}
    assert sum(chunk.output.count("outer") for chunk in chunks) <= 4, "once, and then at most every 100 ms"


@pytest.mark.parametrize(
    ("text", "lines"),
    [
        # docker compose: up by all lines, each erased and written anew
        ("a 1\nb 1\n\x1b[2A\x1b[2Ka 2\n\x1b[2Kb 2\n", ["a 2", "b 2"]),
        # rich: erased on the way up
        ("a 1\nb 1\r\x1b[2K\x1b[1A\x1b[2Ka 2\nb 2\n", ["a 2", "b 2"]),
        # npm, listr: up, and all below erased
        ("a 1\nb 1\nc 1\n\x1b[3A\x1b[Jdone\n", ["done"]),
        ("a\nb\n\x1b[2F\x1b[0JX\x1b[1EY\n", ["X", "Y"]),
        # a bar at the end of the screen, and lines that scroll above it
        ("\x1b7bar 1\x1b8\x1b[Kline 1\nbar 2\r\x1b[Kline 2\nbar 3\n", ["line 1", "line 2", "bar 3"]),
    ],
)
def test_progress_as_programs_draw_it(text, lines) -> None:
    assert [line for line in shown(text) if line] == lines
    assert [line for line in shown(*text) if line] == lines


def test_clearing_the_screen_loses_nothing_and_floods_nothing() -> None:
    terminal, chunks = Terminal(), []
    chunks += terminal.feed("old 1\nold 2\n", now=0.0)
    for n in range(50):
        chunks += terminal.feed(f"\x1b[2J\x1b[Hscreen {n}\nsecond line\n", now=float(n))
        chunks += terminal.flush(n + 0.5)
    assert lines_of(chunks) == {1: "old 1", 2: "old 2", 3: "screen 49", 4: "second line"}
    chunks += terminal.feed("\x1b[?1049h\x1b[2Jeditor\x1b[5;3Hx\x1b[?1049lback\n", now=99.0)
    chunks += terminal.finish()
    assert [line for line in lines_of(chunks).values() if line] == [
        "old 1",
        "old 2",
        "screen 49",
        "second line",
        "editor",
        "  x",
        "back",
    ]


def test_lines_that_are_left_out_keep_their_numbers() -> None:
    terminal = Terminal()
    assert terminal.skip(103, "103 earlier lines not shown", source="a") == [
        Chunk(103, "103 earlier lines not shown\n", "info", "a")
    ]
    assert terminal.feed("line 104\n", source="a", now=0) == [Chunk(104, "line 104\n", "stdout", "a")]


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
    assert len(terminal._screens) <= MAX_SOURCES
    noise = os.urandom(1 << 20).decode("utf-8", "replace")
    for chunk in terminal.feed(noise, now=0):
        json.dumps(chunk.output).encode()


def tail(session: BuildSession) -> list[str]:
    return [row.text for row in session.snapshot().terminal.tail]


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

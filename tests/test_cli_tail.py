"""``buildwidget tail`` for people: each line of output once it has settled, however often it is drawn."""

from __future__ import annotations

import contextlib
import os
import pty
import signal
import subprocess
import sys
import time

import pyte
import pytest

from buildwidget import events as ev
from buildwidget.terminal import Terminal
from buildwidget.terminal_view.output import LONGEST, MAX_HELD, MAX_SHOWN, OutputLines
from tests.projects import until
from tests.serving import published, serving

TAIL = [sys.executable, "-m", "buildwidget", "tail"]


def told(line: int, output: str, source: str | None = None) -> ev.TerminalOutput:
    return ev.TerminalOutput(output=output, content=output, line=line, source=source)


def texts(messages: list[ev.TerminalOutput]) -> list[str]:
    return [message.output for message in messages]


class Played:
    """What a program writes, through the product's terminal, with a clock of our own."""

    def __init__(self) -> None:
        self.now = 0.0
        self.shown: list[str] = []
        self._terminal, self._lines = Terminal(), OutputLines()

    def write(self, text: str, source: str | None = None) -> None:
        self._take(self._terminal.feed(text, source=source, now=self.now))

    def wait(self, seconds: float) -> None:
        for _ in range(round(seconds / 0.05)):
            self.now += 0.05
            self._take(self._terminal.flush(self.now))
            self.shown += texts(self._lines.due(self.now))

    def end(self) -> list[str]:
        self._take(self._terminal.finish())
        self.shown += texts(self._lines.finish())
        return self.shown

    def _take(self, chunks) -> None:
        for chunk in chunks:
            self.shown += texts(self._lines.push(told(chunk.line, chunk.output, chunk.source), self.now))


def test_an_ordinary_line_is_shown_at_once() -> None:
    assert texts(OutputLines().push(told(1, "a\n\nb\n"), 0)) == ["a\n", "\n", "b\n"]


def test_a_progress_line_is_one_line() -> None:
    played = Played()
    for percent in range(100):
        played.write(f"\rloading {percent} %")
        played.wait(0.1)
    played.write("\rloading 100 %\nnext\n")
    shown = played.end()
    assert shown[-2:] == ["loading 100 %\n", "next\n"]
    assert len(shown) <= 2 + 100 * 0.1 / LONGEST + 1, "and now and then how far it is"


def test_several_bars_are_a_few_looks_each() -> None:
    played = Played()
    bars = [f"layer {n}" for n in range(4)]
    played.write("".join(f"{bar}: 0 %\n" for bar in bars))
    for percent in range(1, 101):
        played.write("\x1b[4A" + "".join(f"\x1b[2K{bar}: {percent} %\n" for bar in bars))
        played.wait(0.1)
    played.write("done\n")
    played.wait(20)
    shown = [text for text in played.shown if text.startswith("layer 0")]
    assert shown[0] == "layer 0: 0 %\n"
    assert shown[-1] == "layer 0: 100 %\n"
    assert len(shown) <= 4
    assert played.shown.count("done\n") == 1
    before = len(played.shown)
    assert len(played.end()) == before, "all was shown by then"


def test_a_question_is_shown_though_its_line_has_no_end() -> None:
    played = Played()
    played.write("Password: ")
    played.wait(1.5)
    assert played.shown == ["Password: "]
    played.write("ok\n")
    assert played.end() == ["Password: ", "Password: ok\n"]


def test_a_line_that_ends_as_it_was_shown_is_not_shown_again() -> None:
    played = Played()
    played.write("the last")
    played.wait(1.5)
    played.write("\n")
    assert played.end() == ["the last"]
    played = Played()
    played.write("a look\rb look\ra look\n")
    assert played.end() == ["a look\n"]


def test_a_line_that_always_changes_is_shown_now_and_then() -> None:
    played = Played()
    for n in range(600):
        played.write(f"\r{'|/-'[n % 3]} {n}")
        played.wait(0.1)
    assert 3 <= len(played.shown) <= 60 / LONGEST


def test_what_is_remembered_is_bounded() -> None:
    lines = OutputLines()
    shown = [text for n in range(20_000) for text in texts(lines.push(told(n + 1, f"part {n}"), 0))]
    assert len(lines._held) <= MAX_HELD
    assert len(lines._shown) <= MAX_SHOWN
    assert [*shown, *texts(lines.finish())] == [f"part {n}" for n in range(20_000)], "none is lost"


@pytest.fixture
def session():
    with published() as made:
        yield made


@pytest.fixture
def server(session):
    with serving(session) as made:
        yield made


def play(session) -> None:
    for n in range(40):
        session.write_terminal(f"\rloading {n} of 39 \x1b[K", "stdout", "npm")
        time.sleep(0.03)  # the pace of a real bar
    session.write_terminal("\nthe end\n", "stdout", "npm")


def test_tail_in_a_pipe_has_each_line_once(session, server) -> None:
    process = subprocess.Popen([*TAIL, server.url], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    try:
        until(server._sessions.clients, 20)
        play(session)
        lines = []
        while "the end" not in (line := process.stdout.readline()):
            assert line, process.stderr.read()
            lines.append(line.strip())
        process.send_signal(signal.SIGINT)
        rest, said = process.communicate(timeout=20)
    finally:
        process.kill()
        process.wait()
    assert (process.returncode, rest, said) == (130, "", ""), lines
    assert [line.split("  ")[-1].strip() for line in lines] == ["loading 39 of 39"]


def test_events_shows_the_last_look_of_each_line(session, server) -> None:
    play(session)
    done = subprocess.run(
        [*TAIL[:-1], "events", server.url, "--types", "terminal"],
        capture_output=True,
        text=True,
        timeout=40,
        check=False,
    )
    assert (done.returncode, done.stderr) == (0, "")
    assert [line.split("  ")[-1].strip() for line in done.stdout.splitlines()] == ["loading 39 of 39", "the end"]


def test_tail_on_a_terminal_draws_what_moves_in_place(session, server) -> None:
    main, other = pty.openpty()
    environment = {key: value for key, value in os.environ.items() if key != "NO_COLOR"} | {
        "TERM": "xterm-256color", "COLUMNS": "100", "LINES": "24",
    }  # fmt: skip
    process = subprocess.Popen([*TAIL, server.url], stdin=other, stdout=other, stderr=other, env=environment)
    os.close(other)
    try:
        until(server._sessions.clients, 20)
        play(session)
        seen = b""
        while b"the end" not in seen:
            seen += os.read(main, 65_536)
        process.send_signal(signal.SIGINT)
        with contextlib.suppress(OSError):
            while data := os.read(main, 65_536):
                seen += data
        process.wait(20)
    finally:
        process.kill()
        process.wait()
        os.close(main)
    screen = pyte.Screen(100, 24)
    pyte.ByteStream(screen).feed(seen)
    rows = [row.strip() for row in screen.display if row.strip()]
    assert [row.split("  ")[-1].strip() for row in rows[:2]] == ["loading 39 of 39", "the end"]
    assert len(rows) == 2
    assert seen.count(b"loading") > 2, "it was drawn while it moved"

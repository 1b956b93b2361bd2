"""``buildwidget run``: the command is as it would be without it, and its output is in the build."""

from __future__ import annotations

import os
import pty
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from buildwidget.pty_run import Mirror
from tests.projects import Project, component, until
from tests.serving import published, serving

PYTHON = sys.executable
RUN = [PYTHON, "-m", "buildwidget", "run"]


@pytest.fixture
def session():
    with published() as made:
        yield made


@pytest.fixture
def server(session):
    with serving(session, write_token="write-token-1") as made:
        yield made


def lines(session) -> list[tuple[str, str]]:
    return [(row.text, row.output_type) for row in session.snapshot().terminal.tail]


def to(server) -> list[str]:
    return [*RUN, "--to", server.url, "--token", "write-token-1"]


def run(command: list[str], **options) -> subprocess.CompletedProcess[bytes]:
    return subprocess.run(command, capture_output=True, timeout=40, check=False, **options)


def test_output_and_exit_code_are_passed_on_and_mirrored(session, server) -> None:
    script = "import sys; print('out'); print('\\x1b[31mred\\x1b[0m'); sys.exit(3)"
    done = run([*to(server), "--", PYTHON, "-c", script])
    assert done.returncode == 3
    assert done.stdout == b"out\r\n\x1b[31mred\x1b[0m\r\n"  # what a terminal gets
    assert done.stderr == b""
    shown = lines(session)
    assert shown[:2] == [("out", "stdout"), ("\x1b[31mred\x1b[0m", "stdout")]
    assert re.fullmatch(r"python\S* ended with exit code 3 after [\d.]+ s", shown[2][0])
    assert shown[2][1] == "error"
    assert {row.source for row in session.snapshot().terminal.tail} == {Path(PYTHON).name}


def test_without_a_terminal_the_two_streams_stay_apart_byte_for_byte(session, server) -> None:
    script = "import sys,os; os.write(1, bytes(range(256))); os.write(2, b'problem\\n')"
    done = run([*to(server), "--no-pty", "--", PYTHON, "-c", script])
    assert (done.returncode, done.stdout, done.stderr) == (0, bytes(range(256)), b"problem\n")
    assert ("problem", "stderr") in lines(session)
    assert lines(session)[-1][1] == "success"


def test_the_command_sees_a_terminal_and_gets_its_input(session, server) -> None:
    script = "import sys; print(sys.stdout.isatty(), sys.stdin.readline().strip())"
    done = run([*to(server), "--", PYTHON, "-c", script], input=b"hello\n")
    assert done.stdout == b"True hello\r\n"


@pytest.mark.parametrize(
    ("command", "code", "word"),
    [
        (["no-such-command-at-all"], 127, "no such command"),
        (["/etc/passwd"], 126, "cannot be run"),
        ([PYTHON, "-c", "import os; os.kill(os.getpid(), 9)"], 137, ""),
        ([PYTHON, "-c", "import os; os.kill(os.getpid(), 15)"], 143, ""),
    ],
)
def test_exit_codes_are_those_of_a_shell(session, server, command, code, word) -> None:
    done = run([*to(server), "--", *command])
    assert done.returncode == code
    assert word in done.stderr.decode()
    assert b"Traceback" not in done.stderr
    if code > 128:
        assert signal.Signals(code - 128).name in lines(session)[-1][0]


def test_a_signal_goes_to_the_command(session, server) -> None:
    script = (
        "import signal,time,sys\n"
        "def end(*_): print('ending', flush=True); sys.exit(7)\n"
        "signal.signal(signal.SIGTERM, end)\nprint('ready', flush=True)\ntime.sleep(30)"
    )
    process = subprocess.Popen([*to(server), "--", PYTHON, "-c", script], stdout=subprocess.PIPE)
    until(lambda: ("ready", "stdout") in lines(session), 20)
    process.send_signal(signal.SIGTERM)
    out, _ = process.communicate(timeout=20)
    assert process.returncode == 7
    assert b"ending" in out
    assert ("ending", "stdout") in lines(session)


def test_on_a_real_terminal_keys_and_ctrl_c_go_to_the_command(session, server) -> None:
    script = (
        "import sys,time\nprint('name?', flush=True)\nname = input()\nprint('hi', name, flush=True)\n"
        "try:\n    time.sleep(30)\nexcept KeyboardInterrupt:\n    print('stopped'); sys.exit(9)"
    )
    main, other = pty.openpty()
    process = subprocess.Popen([*to(server), "--", PYTHON, "-c", script], stdin=other, stdout=other, stderr=other)
    os.close(other)
    seen = b""

    def read_until(word: bytes) -> None:
        nonlocal seen
        end = time.monotonic() + 20
        while word not in seen and time.monotonic() < end:
            seen += os.read(main, 4096)

    read_until(b"name?")
    os.write(main, b"Ada\r")
    read_until(b"hi Ada")
    os.write(main, b"\x03")
    read_until(b"stopped")
    assert process.wait(20) == 9
    os.close(main)
    assert b"stopped" in seen


def test_a_server_that_is_not_there_does_not_stop_the_command() -> None:
    done = run([*RUN, "--to", "http://127.0.0.1:9/?session=x", "--", PYTHON, "-c", "print('done')"])
    assert done.returncode == 0
    assert done.stdout == b"done\r\n"
    assert done.stderr.count(b"not mirrored") == 1


def test_without_a_server_it_serves_by_itself(tmp_path) -> None:
    import httpx

    project = Project(tmp_path / "shop")
    project.checkpoint(1, components=[component("api", 30)])
    script = "import time; print('begun', flush=True); time.sleep(20)"
    command = [*RUN, "--project", str(project.root), "--", PYTHON, "-c", script]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    try:
        url = re.search(r"http://\S+", process.stderr.readline()).group()

        def shown() -> bool:
            state = httpx.get(f"{url}/api/build/status/shop").json()["state"]
            return bool(state["components"]) and any(row["text"] == "begun" for row in state["terminal"]["tail"])

        until(shown, 20)
    finally:
        process.terminate()
        process.communicate(timeout=20)
    assert process.returncode == 143


def test_a_flood_goes_through_whole_and_is_cut_only_in_the_mirror(session, server) -> None:
    script = "import sys\nfor n in range(300_000): sys.stdout.write(f'line {n} ' + 'x' * 60 + '\\n')"
    started = time.monotonic()
    done = run([*to(server), "--no-pty", "--", PYTHON, "-c", script])
    assert done.returncode == 0
    assert done.stdout.count(b"\n") == 300_000
    assert time.monotonic() - started < 30
    assert lines(session)[-1][1] == "success"


def test_a_slow_sink_is_never_waited_for() -> None:
    class Slow:
        def __init__(self) -> None:
            self.got: list[str] = []

        def write(self, text: str, output_type: str) -> None:
            time.sleep(0.2)
            self.got.append(text)

        def close(self) -> None:
            pass

    sink = Slow()
    mirror = Mirror(sink)
    started = time.monotonic()
    for _ in range(200):
        mirror.write(b"x" * 65_536, "stdout")
    assert time.monotonic() - started < 0.5
    mirror.end(("over\n", "success"))
    assert any("bytes skipped" in text for text in sink.got)
    assert sink.got[-1].startswith("over") or sink.got[-2].startswith("over")

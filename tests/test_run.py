"""``buildwidget run``: the command is as it would be without it, and its output is in the build."""

from __future__ import annotations

import contextlib
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


def on_terminal(command: list[str], **streams) -> tuple[int, bytes]:
    """Run it on a terminal of its own; the exit code and what the terminal got."""
    main, other = pty.openpty()
    try:
        with subprocess.Popen(command, **{"stdin": other, "stdout": other, "stderr": other, **streams}) as process:
            os.close(other)
            seen = b""
            with contextlib.suppress(OSError):  # EIO: nobody has the other side any more
                while data := os.read(main, 65_536):
                    seen += data
            return process.wait(20), seen
    finally:
        os.close(main)


def test_output_and_exit_code_are_passed_on_and_mirrored(session, server) -> None:
    script = "import sys; print('out'); print('\\x1b[31mred\\x1b[0m'); sys.exit(3)"
    done = run([*to(server), "--", PYTHON, "-c", script])
    assert done.returncode == 3
    assert done.stdout == b"out\n\x1b[31mred\x1b[0m\n"
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


SEES = "import sys; print(*(s.isatty() for s in (sys.stdin, sys.stdout, sys.stderr)), flush=True)"


def test_the_command_sees_a_terminal_only_where_there_is_one(session, server, tmp_path) -> None:
    assert on_terminal([*to(server), "--", PYTHON, "-c", SEES]) == (0, b"True True True\r\n")
    done = run([*to(server), "--", PYTHON, "-c", SEES], input=b"")
    assert (done.stdout, done.stderr) == (b"False False False\n", b"")
    with (tmp_path / "errors.txt").open("wb") as errors:
        script = f"{SEES}; print('problem', file=sys.stderr)"
        code, seen = on_terminal([*to(server), "--", PYTHON, "-c", script], stderr=errors)
    assert (code, seen) == (0, b"True True False\r\n")
    assert (tmp_path / "errors.txt").read_bytes() == b"problem\n"
    with (tmp_path / "out.txt").open("wb") as out:
        on_terminal([*to(server), "--", PYTHON, "-c", SEES], stdout=out)
    assert (tmp_path / "out.txt").read_bytes() == b"True False False\n"


def test_a_terminal_on_demand_gets_its_input_and_leaves_line_feeds_alone(session, server) -> None:
    script = "import sys; print(sys.stdout.isatty(), sys.stdin.readline().strip())"
    done = run([*to(server), "--pty", "--", PYTHON, "-c", script], input=b"hello\n")
    assert done.stdout == b"True hello\n"


@pytest.mark.parametrize("data", [b"a\nb\n", b"a\r\nb", bytes(range(256)) * 300, b""])
def test_piped_output_is_unchanged(session, server, data, tmp_path) -> None:
    (tmp_path / "data").write_bytes(data)
    done = run([*to(server), "--", "cat", str(tmp_path / "data")])
    assert (done.returncode, done.stdout, done.stderr) == (0, data, b"")


def test_two_outputs_into_one_file_keep_their_order(session, server) -> None:
    script = "import os\nfor n in range(200): os.write(1 + n % 2, b'%d\\n' % n)"
    done = subprocess.run(
        [*to(server), "--", PYTHON, "-c", script],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        timeout=40,
        check=False,
    )
    assert done.stdout == b"".join(b"%d\n" % n for n in range(200))


OUTLIVES = "import sys,time\nfor n in range(20): print('line', n, flush=True); time.sleep(0.02)\nsys.exit(5)"


@pytest.mark.parametrize("how", ["full", "closed", "nobody reads"])
def test_a_command_outlives_our_own_output(session, server, how) -> None:
    command = [*to(server), "--", PYTHON, "-c", OUTLIVES]
    if how == "full":
        with open("/dev/full", "wb") as full:
            done = subprocess.run(command, stdout=full, stderr=subprocess.PIPE, timeout=40, check=False)
    elif how == "closed":
        shell = ["sh", "-c", 'exec "$@" >&-', "sh", *command]
        done = subprocess.run(shell, stderr=subprocess.PIPE, timeout=40, check=False)
    else:
        reading, writing = os.pipe()
        os.close(reading)
        done = subprocess.run(command, stdout=writing, stderr=subprocess.PIPE, timeout=40, check=False)
        os.close(writing)
    assert done.returncode == 5
    [told] = done.stderr.decode().splitlines()
    assert re.fullmatch(r"buildwidget: standard output cannot be written \(.+\); the command goes on, .*", told)
    shown = [text for text, _ in lines(session)]
    assert shown[:-1] == [f"line {n}" for n in range(20)]
    assert "exit code 5" in shown[-1]


WAYS = {"open": "", "full": "{}>/dev/full", "closed": "{}>&-", "nobody reads": "{}>&9"}


@pytest.mark.parametrize("out", WAYS)
@pytest.mark.parametrize("err", WAYS)
def test_in_every_state_of_our_outputs_the_exit_code_is_that_of_the_command(server, tmp_path, out, err) -> None:
    """Whether the output is a pipe, a file that is full, closed, or a pipe that nobody reads."""
    script = (
        "import sys, pathlib\nfor n in range(9): print('out', n, flush=True); "
        "print('err', n, file=sys.stderr, flush=True)\npathlib.Path(sys.argv[1]).touch()\nsys.exit(5)"
    )
    reading, writing = os.pipe()
    os.close(reading)
    started = []
    ways = [("pipes", "", ""), *([("terminal", "--pty", "<&-")] if out == err else [])]
    for name, options, streams in ways:
        redirections = f"{WAYS[out].format(1)} {WAYS[err].format(2)} {streams} 9>&-"
        command = [*to(server), *options.split(), "--", PYTHON, "-c", script, str(tmp_path / name)]
        shell = ["bash", "-c", f'exec 9>&{writing}; exec "$@" {redirections}', "bash", *command]
        started.append(subprocess.Popen(shell, stdout=subprocess.PIPE, stderr=subprocess.PIPE, pass_fds=[writing]))
    os.close(writing)
    for process in started:
        stdout, stderr = process.communicate(timeout=40)
        assert process.returncode == 5, stderr
        assert (b"out 8" in stdout) == (out == "open")
        assert b"Traceback" not in stderr
        if err == "open":
            assert (b"standard output cannot be written" in stderr) == (out != "open")
    assert {path.name for path in tmp_path.iterdir()} == {name for name, *_ in ways}


def test_a_command_outlives_a_standard_error_that_is_full(session, server, tmp_path) -> None:
    script = "import sys; print('problem', file=sys.stderr, flush=True); print('out'); sys.exit(6)"
    project = Project(tmp_path / "shop")
    for target in (["--to", server.url, "--token", "write-token-1"], ["--project", str(project.root)]):
        with open("/dev/full", "wb") as full:
            command = [*RUN, *target, "--", PYTHON, "-c", script]
            done = subprocess.run(command, stdout=subprocess.PIPE, stderr=full, timeout=40, check=False)
        assert (done.returncode, done.stdout) == (6, b"out\n")
    assert ("problem", "stderr") in lines(session)


def test_ctrl_c_on_a_terminal_reaches_a_piped_command_once(session, server, tmp_path) -> None:
    script = (
        "import signal,time\ncount = 0\n"
        "def end(*_):\n    global count\n    count += 1\n"
        "signal.signal(signal.SIGINT, end)\nprint('ready', flush=True)\n"
        "until = time.monotonic() + 20\nwhile not count and time.monotonic() < until: time.sleep(0.02)\n"
        "time.sleep(0.5)\nprint('count', count)"
    )
    pid, main = pty.fork()
    if pid == 0:
        out = os.open(tmp_path / "out.txt", os.O_WRONLY | os.O_CREAT)
        os.dup2(out, 1)
        os.execv(PYTHON, [*to(server), "--", PYTHON, "-c", script])
    until(lambda: ("ready", "stdout") in lines(session), 20)
    os.write(main, b"\x03")
    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0
    os.close(main)
    assert (tmp_path / "out.txt").read_text() == "ready\ncount 1\n"


@pytest.mark.parametrize(
    ("command", "code", "word"),
    [
        (["no-such-command-at-all"], 127, "command not found"),
        (["/etc/passwd"], 126, "cannot be executed"),
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
    assert done.stdout == b"done\n"
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

"""The command line as a person uses it: in real processes, in a real terminal, ended by a real Ctrl-C."""

from __future__ import annotations

import contextlib
import json
import os
import pty
import re
import select
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from io import StringIO
from pathlib import Path
from typing import Any

import psutil
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from rich.console import Console

from buildwidget import __version__
from buildwidget.demo import prepare, write_instant
from buildwidget.model import (
    BuildStatus,
    BuildWarning,
    Component,
    Counts,
    Feature,
    Progress,
    Session,
    State,
    Status,
    Terminal,
    TerminalLine,
)
from buildwidget.terminal_view import Pulse, clean, milestones, render, span

from .lab.jupyterlab import FLAGS, find_chromium

ROOT = Path(__file__).resolve().parent.parent
COMMAND = [sys.executable, "-m", "buildwidget"]
NOW = datetime(2026, 1, 5, 9, 0, tzinfo=UTC)


def environment(**more: str) -> dict[str, str]:
    drop = ("NO_COLOR", "FORCE_COLOR", "COLUMNS", "LINES", "BUILDWIDGET_PROJECT")
    kept = {key: value for key, value in os.environ.items() if key not in drop}
    path = os.pathsep.join(filter(None, [str(ROOT), kept.get("PYTHONPATH")]))
    return {**kept, "PYTHONPATH": path, "TERM": "xterm-256color", "PYTHONUNBUFFERED": "1", **more}


def run(*words: str | Path, cwd: Path = ROOT, **env: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [*COMMAND, *map(str, words)],
        capture_output=True,
        text=True,
        timeout=50,
        check=False,
        cwd=cwd,
        env=environment(**env),
    )


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The project of a build that failed."""
    folder = prepare(tmp_path_factory.mktemp("cli") / "clinic")
    write_instant(folder, "failure")
    return folder


# -- words ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("words", "told"),
    [
        ((), ["demo", "watch", "parse", "version", "bw.watch"]),
        (("demo",), ["--speed", "--seed", "--lab", "--instant", "rollback", "Examples"]),
        (("watch",), ["--plain", "--until-done", "Examples", ".buildrunner"]),
        (("parse",), ["--json", "Examples"]),
        (("version",), ["version"]),
    ],
)
def test_help_teaches(words: tuple[str, ...], told: list[str]) -> None:
    done = run(*words, "--help")
    assert done.returncode == 0
    assert done.stderr == ""
    for word in told:
        assert word in done.stdout


def test_help_needs_nothing_heavy() -> None:
    code = "import sys, buildwidget.cli; print(sorted({m.split('.')[0] for m in sys.modules}))"
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, env=environment(), timeout=30
    )
    for heavy in ("pandas", "anywidget", "ipywidgets", "IPython", "watchfiles", "jupyter_client", "rich"):
        assert f"'{heavy}'" not in done.stdout


def test_version() -> None:
    assert run("version").stdout.startswith(f"buildwidget {__version__} ")


def test_a_wrong_command_is_an_error() -> None:
    done = run("wotch")
    assert done.returncode == 2
    assert "wotch" in done.stderr


def test_parse_tells_what_a_file_says(finished: Path) -> None:
    newest = max((finished / ".buildrunner/checkpoints").glob("*.json"))
    done = run("parse", newest)
    assert done.returncode == 0
    assert re.search(r"status +failed", done.stdout)
    assert "components (12)" in done.stdout
    assert "Payments" in done.stdout
    assert "ForeignKeyViolation" in done.stdout


FILES: dict[str, tuple[Any, list[str]]] = {
    "checkpoints/checkpoint_20260301_090000_000001.json": (
        {
            "id": "checkpoint_20260301_090000_000001",
            "timestamp": "2026-03-01T09:00:00",
            "phase": "build_1_start",
            "tasks_completed": ["schema", "routes"],
            "files_created": ["api/main.py"],
            "status": "created",
            "metadata": {
                "name": "first light",
                "components": [
                    {"id": "api", "status": "error", "error": "boom", "dependencies": ["db"], "type": "backend"}
                ],
                "features": [{"id": "login", "tasks": [{"id": "t", "name": "a form", "completed": True}]}],
            },
        },
        [
            "tasks_completed (2)",
            "schema",
            "routes",
            "api/main.py",
            "first light",
            "boom",
            "after db",
            "backend",
            "✔ a form",
        ],
    ),
    "state/orchestration_state.json": (
        {
            "version": "1.0",
            "tasks": {
                "t1": {
                    "id": "t1",
                    "name": "Write it",
                    "status": "in_progress",
                    "dependencies": ["t0"],
                    "retry_count": 2,
                }
            },
            "execution_order": ["t1"],
            "progress": {"total": 4, "completed": 1},
        },
        ["tasks (1)", "t1", "Write it", "in_progress", "t0", "retry_count: 2", "execution_order (1)", "total", "4"],
    ),
    "workflows/workflow_01ff406a_checkpoint.json": (
        {
            "checkpoint_id": "0b787bd2",
            "workflow_id": "01ff406a",
            "phase": "explore",
            "completed_items": ["fcc720f9"],
            "state_data": {"status": "running", "total_items": 1, "completed_count": 1, "failed_count": 0},
        },
        [
            "workflow_id",
            "01ff406a",
            "completed_items (1)",
            "fcc720f9",
            "state_data",
            "total_items",
            "failed_count",
            "explore",
        ],
    ),
    "workflows/pool_01ff406b_checkpoint.json": (
        {
            "pool_id": "01ff406b",
            "stats": {"total_items": 2, "completed_items": 1},
            "results": {"r1": {"item_id": "r1", "agent_type": "review", "status": "timeout", "duration_ms": 12.5}},
        },
        ["pool_id", "results (1)", "review", "timeout", "duration_ms: 12.5", "completed_items"],
    ),
    "checkpoints/cp-1.json": (
        {
            "checkpoint_id": "cp-1",
            "task_id": "task-123",
            "runtime": "codex",
            "status": "running",
            "current_step": "review",
            "log_entries": ["began", "went on"],
            "schema_version": "br3.runtime.checkpoint.v1",
        },
        ["task-123", "codex", "review", "log_entries (2)", "went on"],
    ),
    "locks/phase-5/progress.json": (
        {
            "phase": 5,
            "name": "The gate",
            "step": 4,
            "step_label": "Implementing tasks",
            "status": "active",
            "tasks_total": 4,
            "current_task": "5.1 is next",
            "errors": ["no disk"],
            "history": [{"step": 1, "name": "setup", "label": "Setup & sync", "status": "done"}],
        },
        ["The gate", "Implementing tasks", "tasks_total", "5.1 is next", "errors (1)", "no disk", "Setup & sync"],
    ),
    "features.json": (
        {
            "project": "shop",
            "version": "1.2",
            "features": [{"id": "f1", "name": "Basket", "status": "planned", "estimatedTime": 30}],
            "metrics": {"features_complete": 0},
        },
        ["project", "shop", "Basket", "estimated 30 min", "metrics", "features_complete"],
    ),
    "orchestration.json": (
        {"mode": "auto", "batches": [{"id": 1, "phases": [1, 2], "blocker": "no key"}], "total_phases": 2},
        ["mode", "auto", "batches (1)", "no key", "1, 2", "total_phases"],
    ),
    "current-phase.json": (
        {"phase": 3, "name": "Doors", "started": "2026-03-01", "host": "mill", "parallel_with": [4]},
        ["Doors", "2026-03-01", "mill", "parallel_with (1)"],
    ),
}


@pytest.mark.parametrize("name", FILES)
def test_parse_shows_what_each_kind_of_file_holds(tmp_path: Path, name: str) -> None:
    file = tmp_path / ".buildrunner" / name
    file.parent.mkdir(parents=True)
    body, told = FILES[name]
    file.write_text(json.dumps({**body, "odd\x1b[2J": "\x1b]0;title\x07kept"}))
    done = run("parse", file)
    assert (done.returncode, done.stderr) == (0, "")
    assert [word for word in [*told, "kept"] if word not in done.stdout] == []
    assert "\x1b" not in done.stdout


def test_parse_of_a_very_long_list_says_how_much_is_left_out(tmp_path: Path) -> None:
    file = tmp_path / ".buildrunner/checkpoints/c.json"
    file.parent.mkdir(parents=True)
    file.write_text(
        json.dumps(
            {
                "id": "c",
                "tasks_completed": [f"t{n}" for n in range(5_000)],
                "deep": {"a": {"b": {"c": {"d": {"e": {"f": 1}}}}}},
            }
        )
    )
    done = run("parse", file)
    assert "and 4,800 more" in done.stdout
    assert len(done.stdout.splitlines()) < 300


def test_parse_as_json(finished: Path) -> None:
    done = run("parse", finished / ".buildrunner/features.json", "--json")
    assert done.returncode == 0
    assert json.loads(done.stdout)["feature_stats"]["total"] == 40


@pytest.mark.parametrize(("content", "word"), [(None, "no such file"), ("{", "features.json"), ("[]", "features.json")])
def test_parse_of_a_bad_file(tmp_path: Path, content: str | None, word: str) -> None:
    file = tmp_path / "features.json"
    if content is not None:
        file.write_text(content)
    done = run("parse", file)
    assert done.returncode == 1
    assert done.stdout == ""
    assert word in done.stderr
    assert "Traceback" not in done.stderr


LOG = "start\n\x1b[31mERROR: no schema\x1b[0m\nloading 1 %\rloading 100 %\nfailed: api\ngoodbye – übermorgen"


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16-le", "utf-16-be"])
@pytest.mark.parametrize("name", ["build.log", "build.log.1"])
def test_parse_tells_what_a_log_holds(tmp_path: Path, encoding: str, name: str) -> None:
    file = tmp_path / name
    file.write_bytes((("\ufeff" if "16" in encoding else "") + LOG).encode(encoding))
    said = json.loads(run("parse", file, "--json").stdout)
    assert said["kind"] == "log"
    assert said["encoding"] == encoding.removesuffix("-sig")
    assert (said["lines"], said["size"], said["damaged"]) == (5, file.stat().st_size, 0)
    assert said["lines_with_errors"] == 2
    assert said["errors"] == [{"line": 2, "text": "ERROR: no schema"}, {"line": 4, "text": "failed: api"}]
    assert said["last"][2:] == ["loading 100 %", "failed: api", "goodbye – übermorgen"]
    done = run("parse", file)
    assert (done.returncode, done.stderr) == (0, "")
    for word in ("2  ERROR: no schema", "4  failed: api", "übermorgen", "5", encoding.removesuffix("-sig")):
        assert word in done.stdout


def test_parse_tells_what_markdown_holds(tmp_path: Path) -> None:
    file = tmp_path / "context.md"
    file.write_text("# Plan ##\ntext\n\nShop\n====\n```sh\n# no heading\n```\n### \x1b[2JSteps\n- a\n---\n#hash\n")
    said = json.loads(run("parse", file, "--json").stdout)
    assert said["kind"] == "markdown"
    assert [(row["line"], row["level"], row["text"]) for row in said["headings"]] == [
        (1, 1, "Plan"), (4, 1, "Shop"), (9, 3, "Steps"),
    ]  # fmt: skip
    done = run("parse", file)
    assert (done.returncode, done.stderr) == (0, "")
    assert f"{file.stat().st_size} bytes" in done.stdout
    assert "Steps" in done.stdout
    assert "\x1b" not in done.stdout


@pytest.mark.parametrize("name", ["notes.md", "build.log"])
@pytest.mark.parametrize(
    "content", [b"", b"\xff\xfe", b"\x80\x81", b"x" * 3_000_000, b"\n" * 50_000, b"# a\n" * 50_000]
)
def test_parse_of_any_bytes_as_text(tmp_path: Path, name: str, content: bytes) -> None:
    file = tmp_path / name
    file.write_bytes(content)
    done = run("parse", file)
    assert (done.returncode, done.stderr) == (0, "")
    assert len(done.stdout) < 50_000
    assert f"{len(content):,} bytes" in done.stdout


def test_parse_of_a_text_that_is_none(tmp_path: Path) -> None:
    (tmp_path / "folder.log").mkdir()
    for name in ("folder.log", "none.md"):
        done = run("parse", tmp_path / name)
        assert (done.returncode, done.stdout) == (1, "")
        assert done.stderr.count("\n") == 1
        assert "JSON" not in done.stderr


@pytest.mark.parametrize("words", [["--instant"], ["--duration", "2"]], ids=" ".join)
def test_a_demo_whose_disk_is_full_is_74_and_one_line(tmp_path: Path, words: list[str]) -> None:
    """A limit of the system on the size of a file stands for the full disk: the writes fail all the same."""
    limit = (
        "import os, sys, resource as r; r.setrlimit(r.RLIMIT_FSIZE, (300, 300)); os.execvp(sys.argv[1], sys.argv[1:])"
    )
    command = [sys.executable, "-c", limit, *COMMAND, "demo", *words, "--out", str(tmp_path / "demo")]
    done = subprocess.run(
        command, env=environment(PYTHONDONTWRITEBYTECODE="1"), capture_output=True, text=True, timeout=60, check=False
    )
    assert done.returncode == 74, done.stderr
    (line,) = done.stderr.splitlines()
    assert re.fullmatch(
        r"buildwidget: the demo cannot .*write.* to .*: File too large", line.replace("writing", "write")
    )


def test_watch_of_no_folder(tmp_path: Path) -> None:
    done = run("watch", tmp_path / "nowhere")
    assert done.returncode == 2
    assert "there is no folder" in done.stderr
    assert "buildwidget demo" in done.stderr


def test_watch_of_a_file(finished: Path) -> None:
    done = run("watch", finished / ".buildrunner/features.json")
    assert done.returncode == 2
    assert "buildwidget parse" in done.stderr


@pytest.mark.parametrize("below", ["", ".buildrunner"])
def test_watch_until_done(finished: Path, below: str) -> None:
    done = run("watch", finished / below, "--until-done")
    assert done.returncode == 1, "it failed"
    assert "meadow-clinic: failed" in done.stdout
    assert "\x1b" not in done.stdout


# -- demo -------------------------------------------------------------------------------------------------------------


def test_demo_instant(tmp_path: Path) -> None:
    done = run("demo", "--instant", "--out", tmp_path / "shop")
    assert done.returncode == 0
    assert str(tmp_path / "shop") in done.stdout
    assert (tmp_path / "shop/.buildrunner/builds/BUILD_online-booking.md").exists()


def test_demo_instant_by_checkpoints(tmp_path: Path) -> None:
    done = run("demo", "success", "--instant", "--out", tmp_path / "shop")
    assert done.returncode == 0
    assert str(tmp_path / "shop") in done.stdout
    assert len(list((tmp_path / "shop/.buildrunner/checkpoints").glob("*.json"))) > 50


def test_demo_leaves_a_foreign_build_alone(project: Path) -> None:
    for more in ([], ["--instant"]):
        done = run("demo", "--out", project, *more)
        assert done.returncode == 1
        assert "--out" in done.stderr
    assert list((project / ".buildrunner").iterdir()) == [project / ".buildrunner/checkpoints"]


def test_demo_in_a_pipe_is_lines_and_ends(tmp_path: Path) -> None:
    done = run("demo", "success", "--duration", "4", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert str(tmp_path / "buildwidget-demo") in done.stdout
    lines = done.stdout.splitlines()
    assert any("the build is completed" in line for line in lines)
    assert any("Booking engine: in progress" in line for line in lines)
    assert "12 of 12 components, 40 of 40 features" in done.stdout
    assert "\x1b" not in done.stdout


@pytest.mark.parametrize("scenario", ["stall", "plan-stall"])
def test_demo_that_stalls_ends_in_a_pipe(tmp_path: Path, scenario: str) -> None:
    done = run("demo", scenario, "--duration", "2", "--replace", "--out", tmp_path / "p")
    assert done.returncode == 0, done.stderr
    assert "stalled" in done.stdout


def test_demo_of_a_plan_in_a_pipe(tmp_path: Path) -> None:
    done = run("demo", "--duration", "4", "--out", tmp_path / "p")  # what it plays where nothing is named
    assert done.returncode == 0, done.stderr
    assert "9 of 9 phases" in done.stdout
    assert "Reservations: completed" in done.stdout
    assert "the build is completed" in done.stdout


def wait_for(condition: Callable[[], Any], seconds: float = 30.0) -> Any:
    end = time.monotonic() + seconds
    while not (found := condition()):
        assert time.monotonic() < end, "it took too long"
        time.sleep(0.02)
    return found


@contextlib.contextmanager
def running(*words: str | Path, environ: dict[str, str] | None = None, **more: Any) -> Iterator[subprocess.Popen[Any]]:
    env = environment(**(environ or {}))
    with subprocess.Popen([*COMMAND, *map(str, words)], start_new_session=True, env=env, **more) as process:
        try:
            yield process
        finally:
            if process.poll() is None:  # the test has failed: let it end what it started
                process.terminate()
                with contextlib.suppress(subprocess.TimeoutExpired):
                    process.wait(30)
            process.kill()


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 0)])
def test_demo_ends_cleanly_on_a_signal(tmp_path: Path, number: signal.Signals, code: int) -> None:
    with running(
        "demo", "--loop", "--out", tmp_path / "p", stdout=subprocess.PIPE, stderr=subprocess.STDOUT
    ) as process:
        wait_for((tmp_path / "p/.buildrunner/logs/build.log").exists)
        process.send_signal(number)
        out, _ = process.communicate(timeout=20)
    assert process.returncode == code
    assert b"Ended." in out
    assert b"Traceback" not in out


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143), (signal.SIGHUP, 129)])
def test_watch_ends_as_a_shell_says_it(finished: Path, number: signal.Signals, code: int) -> None:
    with running("watch", finished, stdout=subprocess.PIPE, stderr=subprocess.STDOUT) as process:
        assert process.stdout is not None
        assert b"meadow-clinic" in process.stdout.readline()
        process.send_signal(number)
        out, _ = process.communicate(timeout=20)
    assert process.returncode == code
    assert b"Traceback" not in out


@pytest.mark.timeout(120)
@pytest.mark.parametrize("closed", [False, True], ids=["ctrl-c", "ctrl-c-after-the-terminal-is-gone"])
def test_demo_with_lab_leaves_nothing_behind(tmp_path: Path, closed: bool) -> None:
    folder, temporary = tmp_path / "p", tmp_path / "tmp"
    temporary.mkdir()
    more = {"stdout": subprocess.PIPE, "text": True}
    with running("demo", "--lab", "--out", folder, environ={"TMPDIR": str(temporary)}, **more) as process:
        assert process.stdout is not None
        lines: list[str] = []
        while not lines or ("http://127.0.0.1:" not in lines[-1] and lines[-1]):
            lines.append(process.stdout.readline())
        assert re.search(r"/lab/tree/01-live\.ipynb\?token=[\w-]{22}$", lines[-1]), lines
        family = psutil.Process(process.pid).children(recursive=True)
        assert len(family) >= 2, "the server and a kernel"
        cell = json.loads((folder / "01-live.ipynb").read_text())["cells"][1]
        assert cell["execution_count"] == 1
        wait_for((folder / ".buildrunner/logs/build.log").exists)
        if closed:
            process.stdout.close()
        process.send_signal(signal.SIGINT)
        if not closed:
            assert "Ended." in process.communicate(timeout=50)[0]
        assert process.wait(50) in ((130, 74) if closed else (130,))
    assert psutil.wait_procs(family, timeout=5)[1] == []
    assert list(temporary.glob("buildwidget-lab-*")) == []


@pytest.mark.lab
@pytest.mark.timeout(120)
def test_the_live_cell_runs_before_anybody_presses_a_key(tmp_path: Path) -> None:
    words = ("demo", "--lab", "--speed", "2", "--out", tmp_path / "p")  # a phase takes seconds
    with running(*words, stdout=subprocess.PIPE, stderr=subprocess.STDOUT) as process:
        assert process.stdout is not None
        url = ""
        for line in process.stdout:
            if found := re.search(rb"http://127\.0\.0\.1:\S+", line):
                url = found.group().decode()
                break
        assert url
        # In a thread: the synchronous Playwright leaves an event loop behind in the one it runs in.
        with ThreadPoolExecutor(1) as pool:
            first, second = pool.submit(two_looks, url).result()
        process.send_signal(signal.SIGINT)
        process.communicate(timeout=40)
    assert process.returncode == 130
    assert "%" in first
    assert second != first


def two_looks(url: str) -> tuple[str, str]:
    """The percentage in the live cell, and again when it has changed. Nothing is clicked and no key is pressed."""
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=find_chromium(), args=[*FLAGS])
        try:
            page = browser.new_page(viewport={"width": 1200, "height": 900})
            page.goto(url)
            percent = (
                "() => document.querySelector('.jp-OutputArea-output .bw-root')?.innerText.match(/[\\d.]+\\s*%/)?.[0]"
            )
            page.wait_for_function(percent, timeout=60_000)
            first = page.evaluate(percent)
            page.wait_for_function(f"first => ({percent})() !== first", arg=first, timeout=20_000)
            return first, page.evaluate(percent)
        finally:
            browser.close()


# -- in a real terminal -----------------------------------------------------------------------------------------------

# Makes the pseudo-terminal the controlling one, so that the byte of Ctrl-C becomes a signal as it does for a person.
CONTROLLED = (
    "import fcntl, runpy, sys, termios; fcntl.ioctl(0, termios.TIOCSCTTY, 0); sys.argv[0] = 'buildwidget'; "
    "runpy.run_module('buildwidget', run_name='__main__')"
)


def in_terminal(words: list[str], until: str, size: tuple[int, int] = (40, 110), **env: str) -> tuple[int, str]:
    """Run in a terminal (rows, columns), press Ctrl-C when ``until`` is shown; the exit code, and what was shown."""
    master, slave = pty.openpty()
    os.set_blocking(master, False)
    import fcntl
    import struct
    import termios

    fcntl.ioctl(slave, termios.TIOCSWINSZ, struct.pack("HHHH", *size, 0, 0))
    process = subprocess.Popen(
        [sys.executable, "-c", CONTROLLED, *words],
        stdin=slave, stdout=slave, stderr=slave, start_new_session=True, env=environment(**env),
    )  # fmt: skip
    os.close(slave)
    shown = bytearray()
    pressed = False
    end = time.monotonic() + 40
    try:
        while time.monotonic() < end:
            if select.select([master], [], [], 0.1)[0]:
                try:
                    shown += os.read(master, 65536)
                except OSError:  # the other side has closed
                    break
            if not pressed and until in shown.decode(errors="replace"):
                pressed = True
                os.write(master, b"\x03")
            if process.poll() is not None and not select.select([master], [], [], 0)[0]:
                break
        assert pressed, shown.decode(errors="replace")[-2000:]
        return process.wait(10), shown.decode(errors="replace")
    finally:
        process.kill()
        process.wait()
        os.close(master)


def test_watch_in_a_terminal(finished: Path) -> None:
    code, shown = in_terminal(["watch", str(finished)], "Payments")
    assert code == 130
    assert "━━" in shown
    assert "82." in shown
    assert shown.rstrip().endswith("\x1b[?25h"), "the cursor is back"


def test_watch_in_a_terminal_without_colour_is_lines(finished: Path) -> None:
    code, shown = in_terminal(["watch", str(finished)], "meadow-clinic", NO_COLOR="1")
    assert code == 130
    assert "\x1b" not in shown


def test_demo_in_a_terminal(tmp_path: Path) -> None:
    code, shown = in_terminal(["demo", "success", "--speed", "10", "--out", str(tmp_path / "p")], "Calendar sync")
    assert code == 130
    assert "Under way" in shown
    assert "Ctrl-C ends it" in shown
    assert "Ended." in shown


# -- the picture ------------------------------------------------------------------------------------------------------


EVIL = "[bold red]x[/] \x1b]0;owned\x07\x1b[2J\x1b[31mred\r\nnext\x9b5m \u202egnp.exe\x00"


def evil_state() -> State:
    component = Component(component_id="c", name=EVIL, status=Status.ERROR, status_raw=EVIL, error=EVIL, progress=40.0)
    feature = Feature(feature_id="f", name=EVIL, component_id="c", status=Status.IN_PROGRESS, progress=5.0)
    return State(
        session=Session(project=EVIL, phase=EVIL, status=BuildStatus.IN_PROGRESS, counts=Counts(components=1)),
        components=[component],
        features=[feature],
        progress=Progress(percent=40.0),
        terminal=Terminal(tail=[TerminalLine(line=1, text=EVIL)], next_line=2),
        warnings=[BuildWarning(file_path=EVIL, code="odd", message=EVIL)],
    )


def drawn(state: State, width: int, height: int, **more: Any) -> list[str]:
    out = StringIO()
    console = Console(
        file=out, width=width, height=height, force_terminal=True, color_system=None, legacy_windows=False
    )
    console.print(render(state, now=NOW, width=width, height=height, **more))
    return out.getvalue().splitlines()


def test_text_from_files_is_inert() -> None:
    lines = [*drawn(evil_state(), 200, 40), *milestones(None, evil_state()), *milestones(State(), evil_state())]
    text = "\n".join(lines)
    assert "[bold red]x[/]" in text, "markup is shown as it was written"
    assert not re.search(r"[\x00-\x09\x0b-\x1f\x7f-\x9f\u202e]", text)
    assert "owned" not in text


@given(st.text() | st.text("\x1b[]mP\\;0\x07\x9b\x9cA\r\n"))
def test_clean_leaves_no_control_characters(text: str) -> None:
    shown = clean(text)
    assert not re.search(r"[\x00-\x1f\x7f-\x9f\u2028-\u202e\u2066-\u2069]", shown)
    assert len(shown) <= 400
    assert clean(shown) == shown


@given(st.text(st.characters(exclude_categories=("C", "Z")), max_size=300))
def test_clean_keeps_ordinary_text(text: str) -> None:
    assert clean(text) == text


@settings(max_examples=40, deadline=None)
@given(
    width=st.integers(20, 200),
    height=st.integers(8, 80),
    components=st.integers(0, 30),
    features=st.integers(0, 30),
    warnings=st.integers(0, 5),
    log=st.integers(0, 20),
)
def test_the_picture_fits(width: int, height: int, components: int, features: int, warnings: int, log: int) -> None:
    url = "http://127.0.0.1:41234/lab/tree/01-live.ipynb?token=0123456789abcdefghijkl"
    state = State(
        components=[
            Component(component_id=f"c{i:02}", name=f"Part {i}", status=list(Status)[i % 9]) for i in range(components)
        ],
        features=[Feature(feature_id=f"f{i}", name=f"F {i}", status=Status.IN_PROGRESS) for i in range(features)],
        warnings=[BuildWarning(file_path=f"a/{i}.json", code="empty", message="it is empty") for i in range(warnings)],
        terminal=Terminal(tail=[TerminalLine(line=i, text=f"line {i}") for i in range(1, log + 1)]),
    )
    lines = drawn(state, width, height, footer=[url])
    if height >= 24 and width >= 60:
        assert len(lines) <= height
    if width >= 80:
        assert url in [line.rstrip() for line in lines], "in one piece"
    assert max(map(len, lines)) <= width
    assert url in "".join(line.rstrip() for line in lines), "whole, however narrow"


def test_errors_come_first_and_the_rest_stays_where_it_is() -> None:
    parts = [
        Component(component_id="b", name="Bee", status=Status.COMPLETED, started_at=NOW),
        Component(
            component_id="a", name="Ant", status=Status.IN_PROGRESS, started_at=datetime(2026, 1, 5, 10, tzinfo=UTC)
        ),
        Component(component_id="c", name="Cat", status=Status.NOT_STARTED),
        Component(component_id="d", name="Dog", status=Status.ERROR, error="boom"),
    ]
    text = "\n".join(drawn(State(components=parts), 100, 40))
    table = text[text.index("✘ Dog  ") if "✘ Dog  " in text else 0 :]
    assert table.index("Dog") < table.index("Bee") < table.index("Ant") < table.index("Cat")


def test_what_is_unknown_is_not_zero() -> None:
    assert "unknown" in "\n".join(drawn(State(), 80, 24))
    assert "0.0 %" not in "\n".join(drawn(State(), 80, 24))


def test_milestones_are_told_once() -> None:
    before = State(components=[Component(component_id="a", name="Ant", status=Status.IN_PROGRESS)])
    after = State(
        components=[Component(component_id="a", name="Ant", status=Status.COMPLETED)],
        session=Session(status=BuildStatus.COMPLETED),
        progress=Progress(percent=100.0),
    )
    assert milestones(before, after) == ["100.0 %  Ant: completed", "100.0 %  the build is completed"]
    assert milestones(after, after) == []


def test_a_build_stalls_by_its_own_rhythm() -> None:
    pulse = Pulse()
    for second in range(30):
        pulse.beat(second, float(second))
    assert not pulse.stalled(29 + 119)
    assert pulse.stalled(29 + 121)
    slow = Pulse()
    slow.beat(1, 0.0)
    slow.beat(2, 1.0)
    assert not slow.stalled(899)
    assert slow.stalled(902)
    steady = Pulse()
    for turn in range(30):
        steady.beat(turn, 60.0 * turn)
    assert not steady.stalled(60.0 * 29 + 239)
    assert steady.stalled(60.0 * 29 + 241)


@pytest.mark.parametrize(("seconds", "text"), [(-3, "0 s"), (59.9, "59 s"), (60, "1 m 00 s"), (7500, "2 h 05 m")])
def test_span(seconds: float, text: str) -> None:
    assert span(seconds) == text

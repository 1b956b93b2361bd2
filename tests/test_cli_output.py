"""What the commands do when their output is full, closed, or in an encoding that lacks their signs."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
from typer.testing import CliRunner

from buildwidget import __version__
from buildwidget.cli import _output as output_module
from buildwidget.cli import app
from buildwidget.cli._output import CODES
from buildwidget.demo import prepare, write_instant
from tests.projects import Project, component

BW = [sys.executable, "-m", "buildwidget"]
SIGNS = "Café – naïve… ✔ 建築 \U0001f3d7"


@pytest.fixture(scope="module")
def build(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A build that failed."""
    folder = prepare(tmp_path_factory.mktemp("output") / "clinic")
    write_instant(folder, "failure")
    return folder


@pytest.fixture(scope="module")
def signs(tmp_path_factory: pytest.TempPathFactory) -> Project:
    """A build whose names no old encoding holds."""
    project = Project(tmp_path_factory.mktemp("signs") / "shop")
    project.checkpoint("c1", [component("api", 40, error=SIGNS)], timestamp="2026-03-01T09:00:00Z")
    project.checkpoint("c2", [{**component("api", 100, "completed"), "name": SIGNS}], timestamp="2026-03-01T09:05:00Z")
    project.write("logs/build.log", f"{SIGNS}\n")
    return project


def bw(*words: object, **options) -> subprocess.CompletedProcess:
    env = {**os.environ, **options.pop("env", {})}
    options = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, **options}
    return subprocess.run([*BW, *map(str, words)], timeout=50, check=False, env=env, **options)


COMMANDS = [
    ["--help"],
    ["status"],
    ["status", "--json"],
    ["tail", "--no-follow"],
    ["parse", ".buildrunner/features.json"],
    ["history"],
    ["history", "-f", "parquet"],
    ["history", "-f", "arrow"],
    ["diff", "first", "last"],
    ["watch", "--until-done"],
    ["serve", "--port", "0"],
    ["demo", "--duration", "1", "--out", "../demo"],
]


def lines(done: subprocess.CompletedProcess) -> list[str]:
    """What it has said; the lines of the server's log, which begin with a time, left out."""
    return [line for line in done.stderr.decode().splitlines() if not line[:2].isdigit()]


@pytest.mark.parametrize("words", COMMANDS, ids=" ".join)
def test_a_full_output_is_74_and_one_line(build: Path, words: list[str]) -> None:
    with Path("/dev/full").open("wb") as full:
        done = bw(*words, cwd=build, stdout=full)
    assert done.returncode == 74, done.stderr
    (line,) = lines(done)
    assert line == "buildwidget: standard output cannot be written to: no space left on device"


def test_a_full_disk_under_a_table(build: Path) -> None:
    """--output to what is no file: it is written into, and never replaced."""
    device = Path("/dev/full")
    before = device.stat()
    done = bw("history", "-f", "csv", "-o", device, cwd=build)
    assert done.returncode == 74
    assert lines(done) == ["buildwidget: /dev/full cannot be written: No space left on device"]
    assert (device.stat().st_ino, device.stat().st_mode) == (before.st_ino, before.st_mode)


@pytest.mark.parametrize("words", COMMANDS[1::2], ids=" ".join)
def test_a_closed_output_is_74_and_one_line(build: Path, words: list[str]) -> None:
    command = " ".join(["exec", *BW, *words, ">&-"])
    done = subprocess.run(["sh", "-c", command], stderr=subprocess.PIPE, timeout=50, check=False, cwd=build)
    assert done.returncode == 74, done.stderr
    assert lines(done) == ["buildwidget: standard output cannot be written to: it is closed"]


@pytest.mark.parametrize("words", [["status"], ["history"], ["events", "--json"], ["watch", "--until-done"]])
def test_a_reader_that_is_gone_is_74_and_one_line(build: Path, words: list[str]) -> None:
    reading, writing = os.pipe()
    os.close(reading)
    try:
        done = bw(*words, cwd=build, stdout=writing)
    finally:
        os.close(writing)
    assert done.returncode == 74
    assert lines(done) == ["buildwidget: standard output cannot be written to: its reader has closed it"]


@pytest.mark.parametrize("words", [["watch", "--until-done"], ["wait"], ["status", "--exit-status"]])
def test_a_full_standard_error_changes_nothing(build: Path, words: list[str]) -> None:
    with Path("/dev/full").open("wb") as full:
        assert bw(*words, cwd=build, stderr=full).returncode == 1, "the build has failed"
    assert subprocess.run(["sh", "-c", " ".join([*BW, *words, "2>&-"])], cwd=build, check=False).returncode == 1


ENCODINGS = {
    "ascii": {"PYTHONIOENCODING": "ascii"},
    "cp1252, strict": {"PYTHONIOENCODING": "cp1252:strict"},
    "the C locale": {"LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"},
}


@pytest.mark.parametrize("encoding", ENCODINGS)
@pytest.mark.parametrize(
    "words",
    [
        ["status"],
        ["tail", "--no-follow"],
        ["parse", ".buildrunner/checkpoints/c1.json"],
        ["diff", "first", "last"],
        ["history", "-f", "table", "-t", "components"],
        ["watch", "--until-done"],
        ["watch", "nowhere ✔"],
    ],
    ids=" ".join,
)
def test_an_encoding_that_lacks_signs_loses_no_line(signs: Project, words: list[str], encoding: str) -> None:
    env = ENCODINGS[encoding]
    whole = bw(*words, cwd=signs.root, env={"PYTHONIOENCODING": "utf-8"})
    done = bw(*words, cwd=signs.root, env=env)
    assert done.returncode == whole.returncode
    assert b"Traceback" not in done.stderr
    assert done.stdout.count(b"\n") == whole.stdout.count(b"\n")
    assert done.stderr.count(b"\n") == whole.stderr.count(b"\n")
    name = env.get("PYTHONIOENCODING", "ascii").partition(":")[0]
    if "Café" in whole.stdout.decode():
        assert b"Caf" + "é".encode(name, "replace") in done.stdout
        assert b"na" + "ï".encode(name, "replace") + b"ve" in done.stdout


@pytest.mark.parametrize("encoding", ["ascii", "cp1252, strict"])
@pytest.mark.parametrize(
    "words", [["status"], ["events"], ["parse", ".buildrunner/checkpoints/c1.json"]], ids=lambda words: words[0]
)
def test_json_is_whole_in_any_encoding(signs: Project, words: list[str], encoding: str) -> None:
    done = bw(*words, "--json", cwd=signs.root, env=ENCODINGS[encoding])
    assert done.returncode == 0
    text = done.stdout.decode("ascii")
    found = [json.loads(line) for line in text.splitlines()] if words[0] == "events" else json.loads(text)
    assert SIGNS in json.dumps(found, ensure_ascii=False)


def test_in_utf_8_json_is_as_it_is(signs: Project) -> None:
    assert SIGNS.encode() in bw("status", "--json", cwd=signs.root, env={"PYTHONIOENCODING": "utf-8"}).stdout


def test_an_error_handler_of_ones_own_is_kept(signs: Project) -> None:
    done = bw("status", cwd=signs.root, env={"PYTHONIOENCODING": "ascii:xmlcharrefreplace"})
    assert b"Caf&#233;" in done.stdout


@pytest.mark.parametrize("word", ["", *(one.callback.__name__ for one in app.registered_commands)])
def test_help_needs_no_signs(word: str) -> None:
    done = CliRunner().invoke(app, [*([word] if word else []), "--help"])
    assert done.exit_code == 0
    assert done.output.isascii()


def test_the_version_as_an_option() -> None:
    done = bw("--version")
    assert done.stdout.decode().startswith(f"buildwidget {__version__} ")
    assert done.stdout == bw("version").stdout


def test_a_fault_of_ours_is_no_failed_build(tmp_path: Path) -> None:
    """An error that nobody has thought of: 70, and all that a report needs."""
    code = "from buildwidget.cli import _version, main; _version.version.__code__ = (lambda: 1 / 0).__code__; main()"
    done = subprocess.run([sys.executable, "-c", code, "version"], capture_output=True, text=True, check=False)
    assert done.returncode == 70
    assert "ZeroDivisionError" in done.stderr


def test_the_readme_tells_the_exit_codes_of_the_help() -> None:
    readme = (Path(__file__).resolve().parent.parent / "README.md").read_text()
    told = {
        int(code): text.replace("`", "") for code, text in re.findall(r"^\| (\d+) \| (.+) \|$", readme, re.MULTILINE)
    }
    text = " ".join(CODES.split())
    meant = {int(code): text for code, text in re.findall(r"(?<= )(\d+) (.+?)(?= \d+ |run ends|$)", text)}
    assert told == {code: text.strip() for code, text in meant.items()}
    ours = {
        value for name, value in vars(output_module).items() if name in output_module.__all__ and type(value) is int
    }
    assert set(told) == ours


COMMAND_NAMES = [command.name or command.callback.__name__ for command in app.registered_commands if command.callback]


@pytest.mark.parametrize("name", COMMAND_NAMES)
def test_the_help_of_every_command_teaches(name: str) -> None:
    shown = CliRunner().invoke(app, [name, "--help"], prog_name="buildwidget", env={"COLUMNS": "80"})
    assert shown.exit_code == 0
    examples = re.search(r"Examples?:\n((?: {4}.+\n)+)", shown.output)
    assert examples, shown.output
    for line in examples[1].splitlines():
        assert f"buildwidget {name}" in line or "buildwidget --version" in line
    assert "\n  Exit codes: " in shown.output
    codes = {int(code) for code in re.findall(r"^ +(\d+)  ", CODES, re.MULTILINE)}
    said = shown.output.partition("\n  Exit codes: ")[2].partition("\n\n")[0]
    assert {int(code) for code in re.findall(r"\b\d+\b", said)} <= codes


def test_nothing_and_nonsense_are_helped() -> None:
    alone = CliRunner().invoke(app, [], prog_name="buildwidget")
    assert "Commands:" in alone.output
    wrong = CliRunner().invoke(app, ["statsu"], prog_name="buildwidget")
    assert wrong.exit_code == 2
    assert "Did you mean 'status'?" in wrong.output
    option = CliRunner().invoke(app, ["status", "--tokn"], prog_name="buildwidget")
    assert option.exit_code == 2
    assert "--token" in option.output

"""The commands history and diff, as people and scripts use them: in pipes, in a terminal, with their exit codes."""

from __future__ import annotations

import csv
import io
import json
import os
import pty
import select
import subprocess
import sys
import time
from pathlib import Path
from typing import NamedTuple

import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from typer.testing import CliRunner

from buildwidget.cli import app
from buildwidget.demo import prepare, write_instant
from buildwidget.history import read_history
from buildwidget.history.export import described
from buildwidget.history.tables import TABLES

from .projects import Project, component

BW = [sys.executable, "-m", "buildwidget"]


@pytest.fixture(autouse=True)
def own_cache(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> None:
    """What a command keeps for the next time is not the reader's own."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path_factory.mktemp("cache")))
    monkeypatch.setenv("GIT_CEILING_DIRECTORIES", str(tmp_path_factory.getbasetemp()))
    for name in ("NO_COLOR", "FORCE_COLOR", "COLUMNS", "LINES"):
        monkeypatch.delenv(name, raising=False)


class Done(NamedTuple):
    returncode: int
    stdout: str
    stderr: str


def bw(*words: object) -> Done:
    """A command, in this process: that saves the time to start one."""
    result = CliRunner().invoke(app, list(map(str, words)), prog_name="buildwidget", catch_exceptions=False)
    return Done(result.exit_code, result.stdout, result.stderr)


def process(*words: object, **env: str) -> subprocess.CompletedProcess[bytes]:
    """A command in a process of its own, with real pipes."""
    given = {**os.environ, **env}
    return subprocess.run([*BW, *map(str, words)], capture_output=True, timeout=40, check=False, env=given)


def in_terminal(*words: object, columns: int = 100, **env: str) -> tuple[int, str]:
    """The exit code, and what is on the terminal in the end."""
    main, side = pty.openpty()
    given = {**os.environ, "TERM": "xterm-256color", "COLUMNS": str(columns), "LINES": "40", **env}
    process = subprocess.Popen([*BW, *map(str, words)], stdin=side, stdout=side, stderr=side, env=given)
    os.close(side)
    shown = b""
    end = time.monotonic() + 40
    try:
        while time.monotonic() < end:
            if select.select([main], [], [], 0.2)[0]:
                try:
                    piece = os.read(main, 65536)
                except OSError:
                    break
                if not piece:
                    break
                shown += piece
        return process.wait(timeout=10), shown.decode().replace("\r\n", "\n")
    finally:
        process.kill()
        process.wait()
        os.close(main)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    project = prepare(tmp_path_factory.mktemp("cli") / "clinic")
    write_instant(project, "rollback", 0)
    return project


@pytest.fixture
def shop(tmp_path: Path) -> Project:
    """Three checkpoints, a minute apart."""
    made = Project(tmp_path / "shop")
    for number, (api, status) in enumerate([(0, "in_progress"), (50, "in_progress"), (100, "completed")]):
        more = [component("ui", 10)] if number == 2 else []
        made.checkpoint(f"c{number}", [component("api", api, status), *more], timestamp=f"2026-03-01T09:0{number}:00Z")
    return made


# -- help and usage ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("command", "told"),
    [
        ("history", ["--table", "--format", "--git", "--since", "--list", "Examples", "Exit codes", "seconds", "UTC"]),
        ("diff", ["first", "last", "-1", "--all", "--format", "Examples", "Exit codes", "file"]),
    ],
)
def test_help_teaches(command: str, told: list[str]) -> None:
    done = bw(command, "--help")
    assert (done.returncode, done.stderr) == (0, "")
    for word in told:
        assert word in done.stdout
    assert command in bw("--help").stdout


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["--table", "item"], "there is no table 'item'; there are sessions, checkpoints,"),
        (["--format", "xml"], "xml"),
        (["--since", "yesterday"], "--since needs a time such as 2026-03-01"),
        (["--since", "2026-03-01", "--table", "dependencies"], "--since cannot be used for the table dependencies"),
        (["--limit", "-1"], "--limit"),
        (["--format", "table", "--output", "x.txt"], "with --output choose csv, json, parquet or arrow"),
        (["--output", "x.txt"], "cannot tell the format of x.txt from its suffix"),
    ],
)
def test_usage_is_2(shop: Project, words: list[str], told: str) -> None:
    done = bw("history", shop.root, *words)
    assert done.returncode == 2
    assert done.stdout == ""
    assert told in done.stderr


def test_no_build_is_3_and_no_folder_is_2(tmp_path: Path) -> None:
    (tmp_path / "nothing").mkdir()
    for command in (["history"], ["diff", "first", "last"]):
        done = bw(*command, tmp_path / "nothing")
        assert (done.returncode, done.stdout) == (3, ""), command
        assert "no build" in done.stderr
        done = bw(*command, tmp_path / "not there")
        assert (done.returncode, done.stdout) == (2, ""), command
        assert "there is no folder" in done.stderr
    Project(tmp_path / "new")
    done = bw("history", tmp_path / "new")
    assert (done.returncode, done.stdout) == (3, "")
    assert "there is no build in" in done.stderr
    done = bw("history", tmp_path / "x*")
    assert (done.returncode, done.stdout) == (3, "")
    assert "nothing matches" in done.stderr


# -- history in a pipe ------------------------------------------------------------------------------------------------


def test_csv_is_what_a_pipe_gets(shop: Project) -> None:
    done = process("history", shop.root)
    assert (done.returncode, done.stderr) == (0, b"")
    assert done.stdout.decode() == (
        "seq,session_id,ts,kind,item_id,from_status,to_status,progress,checkpoint_id,source\n"
        "1,shop,2026-03-01T09:00:00Z,component,api,,in_progress,0,c0,checkpoint\n"
        "2,shop,2026-03-01T09:01:00Z,component,api,in_progress,in_progress,50,c1,checkpoint\n"
        "3,shop,2026-03-01T09:02:00Z,component,api,in_progress,completed,100,c2,checkpoint\n"
        "4,shop,2026-03-01T09:02:00Z,component,ui,,in_progress,10,c2,checkpoint\n"
    )


def test_json_is_an_object_per_line(shop: Project) -> None:
    done = bw("history", shop.root, "--table", "items", "--format", "json")
    assert (done.returncode, done.stderr) == (0, "")
    api, ui = (json.loads(line) for line in done.stdout.splitlines())
    assert list(api) == list(TABLES["items"])
    assert (api["item_id"], api["status"], api["progress"]) == ("api", "completed", 100)
    assert (api["first_seen"], api["last_changed"]) == ("2026-03-01T09:00:00Z", "2026-03-01T09:02:00Z")
    assert (ui["item_id"], ui["estimated"], ui["error"]) == ("ui", None, None)


def test_since_and_limit(shop: Project) -> None:
    def seqs(*words: str) -> list[int]:
        done = bw("history", shop.root, "-f", "csv", *words)
        assert done.returncode == 0, done.stderr
        return [int(row["seq"]) for row in csv.DictReader(io.StringIO(done.stdout))]

    assert seqs() == [1, 2, 3, 4]
    assert seqs("--limit", "2") == [3, 4]
    assert seqs("--limit", "0") == [1, 2, 3, 4]
    assert seqs("--since", "2026-03-01T09:01") == [2, 3, 4], "without a zone it is UTC, as all that is printed"
    assert seqs("--since", "2026-03-01T10:02:00+01:00") == [3, 4]
    assert seqs("--since", "2026-03-01", "--limit", "1") == [4]
    assert seqs("--since", "2026-03-02") == []


@pytest.mark.parametrize("table", list(TABLES))
def test_every_table_is_there(folder: Path, table: str, tmp_path: Path) -> None:
    done = bw("history", folder, "-t", table, "-o", tmp_path / "x.parquet")
    assert (done.returncode, done.stdout) == (0, "")
    found = pq.read_table(tmp_path / "x.parquet")
    wanted = described(read_history(folder, cache=False), table)
    assert found.equals(wanted)
    assert found.schema.metadata[b"buildwidget.table"].decode() == table
    assert done.stderr == f"buildwidget: wrote {wanted.num_rows:,} rows to {tmp_path / 'x.parquet'}\n"


def test_parquet_and_arrow_in_a_pipe_and_in_a_file(folder: Path, tmp_path: Path) -> None:
    wanted = described(read_history(folder, cache=False), "items")
    parquet = process("history", folder, "-t", "items", "-f", "parquet").stdout
    arrow = process("history", folder, "-t", "items", "-f", "arrow").stdout
    assert pq.read_table(io.BytesIO(parquet)).equals(wanted)
    assert pa.ipc.open_stream(arrow).read_all().equals(wanted)
    assert bw("history", folder, "-t", "items", "-o", tmp_path / "items.arrow").returncode == 0
    assert pa.ipc.open_file(str(tmp_path / "items.arrow")).read_all().equals(wanted)
    assert pl.read_ipc(tmp_path / "items.arrow").height == wanted.num_rows


def test_output_takes_the_format_of_its_ending(shop: Project, tmp_path: Path) -> None:
    for name in ("a.csv", "a.json", "a.ndjson", "a.PARQUET"):
        assert bw("history", shop.root, "-o", tmp_path / name).returncode == 0
    assert (tmp_path / "a.csv").read_text() == bw("history", shop.root).stdout
    assert (tmp_path / "a.json").read_text() == (tmp_path / "a.ndjson").read_text()
    assert json.loads((tmp_path / "a.json").read_text().splitlines()[0])["seq"] == 1
    assert pq.read_table(tmp_path / "a.PARQUET").num_rows == 4
    assert bw("history", shop.root, "-f", "json", "-o", tmp_path / "b.csv").returncode == 0
    assert (tmp_path / "b.csv").read_text() == (tmp_path / "a.json").read_text()
    done = bw("history", shop.root, "-o", tmp_path / "no folder" / "a.csv")
    assert done.returncode == 1
    assert "cannot be written: No such file or directory" in done.stderr
    assert sorted(path.name for path in tmp_path.iterdir() if path.is_file()) == [
        *("a.PARQUET", "a.csv", "a.json", "a.ndjson", "b.csv")
    ]


def test_several_projects(shop: Project, tmp_path: Path) -> None:
    Project(tmp_path / "blog").checkpoint("c9", [component("db", 5)], timestamp="2026-03-01T09:00:00Z")
    for place in (tmp_path, f"{tmp_path}/*"):
        rows = list(csv.DictReader(io.StringIO(bw("history", place, "-t", "sessions").stdout)))
        assert [row["session_id"] for row in rows] == ["blog", "shop"]


def test_list_tells_the_tables(shop: Project) -> None:
    done = bw("history", shop.root, "--list")
    assert (done.returncode, done.stderr) == (0, "")
    lines = [line.split() for line in done.stdout.splitlines()]
    assert lines[0] == ["table", "rows", "columns"]
    assert [line[0] for line in lines[1:]] == list(TABLES)
    rows = {line[0]: line[1] for line in lines}
    assert (rows["transitions"], rows["items"], rows["checkpoints"], rows["sessions"]) == ("4", "2", "3", "1")
    assert "depends_on, known" in done.stdout


def test_warnings_are_told_beside(shop: Project) -> None:
    shop.write("checkpoints/broken.json", "{")
    done = bw("history", shop.root)
    assert len(done.stdout.splitlines()) == 5
    assert done.stderr == "buildwidget: 1 warnings; --table warnings lists them\n"
    done = bw("history", shop.root, "-t", "warnings")
    assert "broken.json" in done.stdout
    assert done.stderr == ""


def test_a_closed_pipe_ends_it_with_a_line(folder: Path) -> None:
    for words in ("history {} -t features", "history {} -t features -f json"):
        done = subprocess.run(
            ["bash", "-c", f"{sys.executable} -m buildwidget {words.format(folder)} | head -1"],
            capture_output=True,
            text=True,
            timeout=40,
            check=False,
        )
        assert len(done.stdout.splitlines()) == 1
        assert done.stderr == "buildwidget: standard output cannot be written to: its reader has closed it\n"


def test_no_cache_keeps_nothing(shop: Project, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    place = tmp_path / "kept"
    place.mkdir()
    monkeypatch.setenv("XDG_CACHE_HOME", str(place))
    done = bw("history", shop.root, "--no-cache")
    assert done.returncode == 0
    assert not [path for path in place.rglob("*") if path.is_file()]


def test_git_has_what_was_overwritten(shop: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    done = bw("history", shop.root, "--git")
    assert (done.returncode, done.stdout) == (2, "")
    assert "shop is not in a git repository" in done.stderr
    someone = {f"GIT_{who}_{what}": "a@example.org" for who in ("AUTHOR", "COMMITTER") for what in ("NAME", "EMAIL")}
    for name, value in {**someone, "GIT_CONFIG_GLOBAL": os.devnull, "GIT_CONFIG_NOSYSTEM": "1"}.items():
        monkeypatch.setenv(name, value)
    for words in (["init", "-q"], ["add", "-A"], ["commit", "-q", "-m", "saved"]):
        subprocess.run(["git", *words], cwd=shop.root, check=True)
    shop.checkpoint("c2", [component("api", 60)], timestamp="2026-03-01T09:02:00Z", status="rolled_back")
    (shop.dir / "checkpoints/c0.json").unlink()
    done = bw("history", shop.root, "--git", "-t", "checkpoints")
    assert done.returncode == 0, done.stderr
    rows = [(row["checkpoint_id"], row["version"]) for row in csv.DictReader(io.StringIO(done.stdout))]
    assert rows == [("c0", "1"), ("c1", "1"), ("c2", "1"), ("c2", "2")]
    rows = list(csv.DictReader(io.StringIO(bw("history", shop.root, "-t", "checkpoints").stdout)))
    assert [row["checkpoint_id"] for row in rows] == ["c1", "c2"]


# -- history in a terminal --------------------------------------------------------------------------------------------


def test_in_a_terminal_it_is_a_table(shop: Project) -> None:
    code, shown = in_terminal("history", shop.root)
    assert code == 0
    assert "\x1b[" in shown
    code, plain = in_terminal("history", shop.root, NO_COLOR="1")
    assert code == 0
    assert "\x1b[3" not in plain
    lines = [line.split() for line in in_terminal("history", shop.root, TERM="dumb", columns=200)[1].splitlines()]
    assert lines[0] == [
        "seq",
        "ts",
        "kind",
        "item_id",
        "from_status",
        "to_status",
        "progress",
        "checkpoint_id",
        "source",
    ]
    assert lines[1] == [
        *("1", "2026-03-01", "09:00:00", "component", "api", "–", "in_progress", "0", "c0", "checkpoint")
    ]
    assert len(lines) == 5


def test_a_narrow_terminal_loses_the_less_important(folder: Path) -> None:
    code, shown = in_terminal("history", folder, "-t", "items", "--limit", "5", columns=80, NO_COLOR="1", TERM="dumb")
    assert code == 0
    *table, note = shown.splitlines()
    assert len(table) == 6
    assert all(len(line) <= 80 for line in table)
    assert table[0].split()[:4] == ["kind", "item_id", "status", "progress"]
    assert note.startswith("buildwidget: no room for ")
    assert "use --format json to see them" in note


def test_in_a_terminal_there_are_a_hundred_rows(folder: Path) -> None:
    count = len(read_history(folder, cache=False).transitions)
    code, shown = in_terminal("history", folder, NO_COLOR="1", TERM="dumb", columns=200)
    assert code == 0
    assert len(shown.splitlines()) == 102
    assert f"the last 100 of {count} rows; --limit 0 shows all" in shown
    code, shown = in_terminal("history", folder, "--limit", "0", NO_COLOR="1", TERM="dumb", columns=200)
    assert len(shown.splitlines()) == count + 1


def test_a_terminal_gets_nothing_binary(shop: Project) -> None:
    code, shown = in_terminal("history", shop.root, "-f", "parquet")
    assert code == 2
    assert "parquet is binary and standard output is a terminal; name a file with --output" in shown.replace("\n", " ")


def test_nothing_from_a_file_moves_the_terminal(tmp_path: Path) -> None:
    project = Project(tmp_path / "shop")
    odd = component("api", 40) | {"name": "x\x1b]0;title\x07\x1b[2Jy\r\nz [red]m[/red]"}
    project.checkpoint("c\x1b[31m1", [odd], timestamp="2026-03-01T09:00:00Z")
    code, shown = in_terminal("history", project.root, "-t", "components", columns=300, NO_COLOR="1", TERM="dumb")
    assert code == 0
    assert "\x1b" not in shown
    assert "[red]m[/red]" in shown
    assert len(shown.splitlines()) == 2


# -- diff -------------------------------------------------------------------------------------------------------------


def changes(*words: object) -> list[tuple]:
    done = bw("diff", *words, "--format", "json")
    assert done.returncode == 0, done.stderr
    lines = [json.loads(line) for line in done.stdout.splitlines()]
    return [(one["item_id"], one["change"], one["field"], one["before"], one["after"]) for one in lines]


LAST_STEP = [
    ("api", "changed", "status", "in_progress", "completed"),
    ("api", "changed", "progress", 50, 100),
    ("ui", "added", "status", None, "in_progress"),
]


def test_diff(shop: Project) -> None:
    assert changes("c1", "c2", shop.root) == LAST_STEP
    assert changes("-2", "-1", shop.root) == LAST_STEP
    assert changes("-2", "last", shop.root) == LAST_STEP
    assert changes("first", "c1", shop.root) == [("api", "changed", "progress", 0, 50)]
    backwards = changes("last", "-2", shop.root)
    assert [one for one in backwards if one[0] == "ui"] == [("ui", "removed", "status", "in_progress", None)]


def test_diff_of_the_project_in_this_folder(shop: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(shop.root)
    assert changes("-2", "-1") == LAST_STEP


def test_diff_as_a_table(shop: Project) -> None:
    done = bw("diff", "-2", "-1", shop.root)
    assert (done.returncode, done.stderr) == (0, "")
    assert [line.split() for line in done.stdout.splitlines()] == [
        ["kind", "item_id", "change", "field", "before", "after"],
        ["component", "api", "changed", "status", "in_progress", "completed"],
        ["component", "api", "changed", "progress", "50", "100"],
        ["component", "ui", "added", "status", "–", "in_progress"],
    ]


def test_diff_in_a_narrow_terminal_has_before_and_after(folder: Path) -> None:
    code, shown = in_terminal("diff", "first", "last", folder, columns=80, NO_COLOR="1", TERM="dumb")
    assert code == 0
    lines = shown.splitlines()
    assert lines[0].split() == ["kind", "item_id", "field", "before", "after"]
    assert all(len(line) <= 80 for line in lines[:-1])
    assert "no room for change" in lines[-1]


def test_diff_with_all_that_is_the_same(shop: Project) -> None:
    found = changes("-2", "-1", shop.root, "--all")
    assert ("api", "same", "name", "Api", "Api") in found
    assert set(LAST_STEP) <= set(found)


def test_what_cannot_be_seen_is_no_difference(tmp_path: Path) -> None:
    """In a table: parts of a second. A difference far inside a long text is seen."""
    project = Project(tmp_path / "shop")
    long = "the same " * 60
    for number, (start, error) in enumerate([("09:00:00.100000", f"{long}red"), ("09:00:00.900000", f"{long}blue")]):
        item = component("api", 50, start_time=f"2026-03-01T{start}Z", error=error)
        project.checkpoint(f"c{number}", [item], timestamp=f"2026-03-01T09:0{number}:00Z")
    shown = bw("diff", "first", "last", project.root).stdout
    assert "started_at" not in shown
    assert "red" in shown
    assert "blue" in shown
    assert "the same the same" not in shown
    assert [one[2] for one in changes("first", "last", project.root)] == ["started_at", "error"]
    rows = bw("diff", "first", "last", project.root, "--all").stdout.splitlines()
    assert [row.split()[2] for row in rows if "started_at" in row] == ["same"]


def test_no_difference_is_0_too(shop: Project) -> None:
    for form in ("table", "json"):
        done = bw("diff", "last", "c2", shop.root, "--format", form)
        assert (done.returncode, done.stdout) == (0, "")
        assert done.stderr == "buildwidget: there is no difference\n"


def test_diff_of_two_files(shop: Project, tmp_path: Path) -> None:
    files = [shop.dir / f"checkpoints/c{number}.json" for number in (1, 2)]
    assert changes(*files) == LAST_STEP
    other = Project(tmp_path / "other").checkpoint("c2", [component("api", 70)], timestamp="2026-03-01T09:02:00Z")
    assert changes(other, files[1])[1] == ("api", "changed", "progress", 70, 100)
    (tmp_path / "bad.json").write_text("{")
    done = bw("diff", files[0], tmp_path / "bad.json")
    assert (done.returncode, done.stdout) == (1, "")
    assert str(tmp_path / "bad.json") in done.stderr


def test_times_and_durations_in_a_diff(folder: Path) -> None:
    found = changes("first", "last", folder)
    ended = [after for _, _, field, _, after in found if field == "ended_at"]
    assert ended
    assert all(one.endswith("Z") and one[10] == "T" for one in ended)
    assert all(isinstance(after, float) for _, _, field, _, after in found if field == "actual")


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["first"], "Missing argument"),
        (["nope", "last"], "'nope'"),
        (["-9", "last"], "no checkpoint at position -9 in 'shop': it has 3"),
        (["first", "last", "--al"], "there is no option --al"),
        (["first", "last", "--format", "csv"], "csv"),
    ],
)
def test_wrong_words_for_diff(shop: Project, words: list[str], told: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(shop.root)
    done = bw("diff", *words)
    assert (done.returncode, done.stdout) == (2, "")
    assert told in done.stderr


def test_one_file_is_not_enough(shop: Project) -> None:
    file = shop.dir / "checkpoints/c1.json"
    done = bw("diff", file, "last", shop.root)
    assert done.returncode == 2
    assert f"{file} is a file, and last is none; name two files, or none" in done.stderr


def test_diff_in_several_projects(shop: Project, tmp_path: Path) -> None:
    Project(tmp_path / "blog").checkpoint("c1", [component("db", 5)], timestamp="2026-03-01T09:00:00Z")
    assert changes("first", "last", tmp_path, "--session", "blog") == []
    done = bw("diff", "first", "last", tmp_path)
    assert done.returncode == 2
    assert "choose with --session one of blog, shop" in done.stderr

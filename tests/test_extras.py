"""What the base install can do, and what it says about the rest."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

from buildwidget._extras import EXTRA_OF

from .projects import Project, component

ROOT = Path(__file__).resolve().parent.parent
BLOCK = """
import sys

class Blocked:
    names = {names!r}

    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in self.names:
            raise ModuleNotFoundError(f"No module named {{name!r}}", name=name)

sys.meta_path.insert(0, Blocked())
"""


@pytest.fixture
def base(tmp_path: Path) -> dict[str, str]:
    """An environment in which the libraries of all extras are missing."""
    folder = tmp_path / "site"
    folder.mkdir()
    (folder / "sitecustomize.py").write_text(BLOCK.format(names=sorted(EXTRA_OF)))
    return {**os.environ, "PYTHONPATH": os.pathsep.join([str(folder), str(ROOT)]), "NO_COLOR": "1"}


@pytest.fixture
def shop(tmp_path: Path) -> Path:
    project = Project(tmp_path / "shop")
    project.checkpoint(components=[component("api", 40)])
    return project.root


def python(code: str, environment: dict[str, str], *arguments: object) -> str:
    done = subprocess.run(
        [sys.executable, "-c", code, *map(str, arguments)],
        env=environment, capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    return done.stdout


def project_settings() -> dict:
    return tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]


def libraries(requirements: list[str]) -> set[str]:
    names = {re.split(r"[\[<>=!; ]", entry)[0] for entry in requirements}
    return {{"vl-convert-python": "vl_convert"}.get(name, name.replace("-", "_")) for name in names} - {"buildwidget"}


def test_the_table_of_extras_is_that_of_the_package() -> None:
    settings = project_settings()
    extras = settings["optional-dependencies"]
    brought = {
        library: name
        for name in ("server", "fastapi", "history", "plot", "lab")
        for library in libraries(extras[name])
        if library not in ("numpy", "uvloop")  # comes with pandas; does without
    }
    assert brought == EXTRA_OF
    assert not libraries(settings["dependencies"]) & set(EXTRA_OF)


def test_the_readme_tells_every_extra() -> None:
    told = set(
        re.findall(r"^\| `(\w+)` \| ", (ROOT / "README.md").read_text().split("## In a notebook")[0], re.MULTILINE)
    )
    assert told == set(project_settings()["optional-dependencies"]) - {"duckdb", "matplotlib"}


def test_the_base_has_the_cell_the_frames_and_the_parser(base, shop) -> None:
    code = """
import asyncio, json, sys, time
import buildwidget as bw
from buildwidget.compat import parse_checkpoint

async def main():
    w = bw.watch(sys.argv[1])
    end = time.monotonic() + 20
    while not len(w.components):
        assert time.monotonic() < end
        await asyncio.sleep(0.01)
    names = ("components", "features", "tasks", "phases", "checkpoints", "warnings")
    frames = {name: len(getattr(w, name)) for name in names}
    table = w._repr_mimebundle_()[0]["text/html"]
    w.close()
    (file,) = __import__("pathlib").Path(sys.argv[1]).glob(".buildrunner/checkpoints/*.json")
    print(json.dumps([frames, "api" in table.lower(), parse_checkpoint(file)["completion_percentage"]]))

asyncio.run(main())
"""
    frames, shown, percent = json.loads(python(code, base, shop))
    assert frames["components"] == frames["checkpoints"] == 1
    assert shown
    assert percent == 40


@pytest.mark.parametrize(
    ("code", "extra", "library"),
    [
        ("bw.serve(sys.argv[1])", "server", r"\w+"),
        ("from buildwidget.server import create_app", "server", "starlette"),
        ("from buildwidget.server import SessionManager", "server", "starlette"),
        ("from buildwidget.client import connect", "server", "websockets"),
        ("from buildwidget.client import connect_sync", "server", "websockets"),
        ("from buildwidget.client import publish", "server", "websockets"),
        ("bw.read_history(sys.argv[1])", "history", r"\w+"),
        ("from buildwidget.history import read_history", "history", r"\w+"),
        ("w = bw.watch(sys.argv[1])\n    w.history", "history", r"\w+"),
    ],
)
def test_a_missing_extra_is_named(base, shop, code, extra, library) -> None:
    program = f"""
import sys
import buildwidget as bw
from buildwidget.errors import BuildwidgetError, MissingExtraError
try:
    {code}
except ImportError as error:
    assert isinstance(error, MissingExtraError) and isinstance(error, BuildwidgetError), repr(error)
    print(error.extra, error)
"""
    said = python(program, base, shop)
    what = r"w\.history" if "w.history" in code else ".*"
    assert re.search(
        rf"^{extra} {what} needs {library}, which is not installed: pip install 'buildwidget\[{extra}\]'$", said
    )


def command(base: dict[str, str], *words: object) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "buildwidget", *map(str, words)],
        env=base, capture_output=True, text=True, timeout=60, check=False, stdin=subprocess.DEVNULL,
    )  # fmt: skip


@pytest.mark.parametrize(
    ("words", "extra"),
    [
        (["serve", "{shop}"], "server"),
        (["tail", "http://127.0.0.1:9"], "server"),
        (["status", "http://127.0.0.1:9"], "server"),
        (["run", "--to", "http://127.0.0.1:9", "--", "true"], "server"),
        (["history", "{shop}"], "history"),
        (["diff", "first", "last", "{shop}"], "history"),
        (["demo", "--lab", "--out", "{shop}-demo"], "lab"),
    ],
)
def test_a_command_that_needs_an_extra_says_so_in_a_line(base, shop, words, extra) -> None:
    done = command(base, *(word.format(shop=shop) for word in words))
    assert done.returncode == 2, done
    assert re.fullmatch(rf"[^\n]*pip install 'buildwidget\[{extra}\]'[^\n]*\n", done.stderr), done.stderr
    assert not Path(f"{shop}-demo").exists(), "nothing is made before the extra is found missing"


def test_commands_that_need_none(base, shop) -> None:
    (file,) = shop.glob(".buildrunner/checkpoints/*.json")
    assert command(base, "parse", file).returncode == 0
    assert "40" in command(base, "status", shop).stdout
    assert command(base, "tail", shop, "--no-follow").returncode == 0
    assert command(base, "events", shop).returncode == 0
    assert command(base, "wait", shop, "--timeout", "0.1").returncode in (4, 124)
    assert command(base, "--help").returncode == 0
    assert command(base, "version").returncode == 0
    done = command(base, "demo", "--duration", "0.5", "--out", f"{shop}-demo")
    assert (done.returncode, done.stderr) == (0, "")
    assert command(base, "watch", f"{shop}-demo", "--until-done").returncode == 0
    assert command(base, "wait", f"{shop}-demo").returncode == 0


def test_a_command_is_run_though_nobody_else_can_watch_it(base, shop) -> None:
    done = command(base, "run", "--project", shop, "--", sys.executable, "-c", "print('out'); raise SystemExit(3)")
    assert (done.returncode, done.stdout) == (3, "out\n")
    assert re.fullmatch(r"buildwidget: the build is not served: [^\n]*'buildwidget\[server\]'\n", done.stderr)


@pytest.mark.parametrize(
    "words",
    [
        ["watch", "{shop}-done", "--until-done"],
        ["demo", "--duration", "0.5", "--out", "{shop}-demo"],
        ["status", "{shop}"],
        ["tail", "{shop}", "--no-follow"],
        ["parse", "{file}"],
        ["run", "--project", "{shop}", "--", "true"],
    ],
    ids=lambda words: words[0],
)
def test_the_terminal_needs_no_pandas(base, shop, words) -> None:
    """Neither pandas nor numpy is loaded for a terminal, where they are installed."""
    (file,) = shop.glob(".buildrunner/checkpoints/*.json")
    Project(shop.parent / "shop-done").checkpoint(components=[component("api", 100, "completed")])
    code = """
import sys
from buildwidget.cli import main
try:
    main()
finally:
    assert not {"pandas", "numpy", "IPython", "ipywidgets"} & set(sys.modules)
"""
    python(code, base, *(word.format(shop=shop, file=file) for word in words))

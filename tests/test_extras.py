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
        ("bw.read_history(sys.argv[1])", "history", r"\w+"),
        ("from buildwidget.history import read_history", "history", r"\w+"),
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
    assert re.search(
        rf"^{extra} .* needs {library}, which is not installed: pip install 'buildwidget\[{extra}\]'$", said
    )

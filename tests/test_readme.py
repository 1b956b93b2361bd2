"""What the README says is true: its code runs, its commands, targets, files and names exist."""

from __future__ import annotations

import os
import re
from pathlib import Path

import nbformat
import pytest
from nbclient import NotebookClient
from typer.testing import CliRunner

import buildwidget
from buildwidget import cli
from buildwidget.demo import prepare, write_instant

ROOT = Path(__file__).resolve().parent.parent
README = (ROOT / "README.md").read_text(encoding="utf-8")
CONTRIBUTING = (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8")


def blocks(language: str, text: str = README) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```$", text, re.MULTILINE | re.DOTALL)


def test_python_code_runs_in_a_notebook(tmp_path: Path) -> None:
    """All Python of the README, in one notebook, beside a build that has ended."""
    project = prepare(tmp_path / "shop")
    write_instant(project, "success", 0)
    codes = [*blocks("python"), "assert status == 'completed'; assert len(w.components) > 3"]
    assert len(codes) > 8
    notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(code) for code in codes])
    client = NotebookClient(notebook, timeout=30, kernel_name="python3", resources={"metadata": {"path": str(project)}})
    client.execute(env={**os.environ, "BUILDWIDGET_STATIC": "0"})  # as for a reader, who sees the widgets live

    def shown(part: str) -> list[str]:
        cell = next(cell for cell in notebook.cells if part in cell.source)
        return [kind for output in cell.outputs if "data" in output for kind in output["data"]]

    assert "application/vnd.jupyter.widget-view+json" in shown("bw.watch")
    assert "application/vnd.jupyter.widget-view+json" in shown("%buildwatch")
    assert "text/html" in shown("w.components")
    assert "text/plain" in shown("get_checkpoint_summary")


def commands() -> list[list[str]]:
    """Every line of a shell block that calls buildwidget."""
    lines = [line.split("#")[0].split() for block in blocks("sh") for line in block.splitlines()]
    return [line[1:] for line in lines if line and line[0] == "buildwidget"]


def test_readme_shows_the_commands() -> None:
    assert {words[0] for words in commands()} == {
        "demo",
        "diff",
        "events",
        "history",
        "parse",
        "run",
        "serve",
        "status",
        "tail",
        "wait",
        "watch",
    }


@pytest.mark.parametrize("words", commands(), ids=" ".join)
def test_command_exists(words: list[str]) -> None:
    done = CliRunner().invoke(cli.app, [words[0], "--help"], env={"COLUMNS": "200", "NO_COLOR": "1"})
    assert done.exit_code == 0, done.output
    assert [word for word in words if word.startswith("--") and word not in done.output] == []


@pytest.mark.parametrize("text", [README, CONTRIBUTING], ids=["README", "CONTRIBUTING"])
def test_targets_of_make_exist(text: str) -> None:
    code = "\n".join([*blocks("sh", text), *re.findall(r"`(make [^`]*)`", text)])
    used = set(re.findall(r"\bmake ([a-z]+)", code))
    targets = set(re.findall(r"^([a-z]+):.*## ", (ROOT / "Makefile").read_text(), re.MULTILINE))
    assert used
    assert used <= targets


@pytest.mark.parametrize("text", [README, CONTRIBUTING], ids=["README", "CONTRIBUTING"])
def test_files_that_are_named_exist(text: str) -> None:
    links = re.findall(r"\]\(([^)#:]+)\)|(?:src|srcset)=\"([^\":]+)\"", text)
    named = [one or other for one, other in links] + re.findall(
        r"`((?:tests|js|scripts|tools|buildwidget)/[\w./-]+)`", text
    )
    built = "buildwidget/static/"
    assert [name for name in named if not name.startswith(built) and not (ROOT / name).exists()] == []


def test_every_public_name_is_told() -> None:
    told = [
        name for name in buildwidget.__all__ if name.islower() and not name.startswith("_") and "ipython" not in name
    ]
    assert told
    assert [name for name in [*told, "BuildSession", "FileWatcher", "CheckpointError"] if name not in README] == []


def test_configuration_table_is_the_signature() -> None:
    import inspect

    section = README.split("## Configuration")[1].split("\n## ")[0]
    table = dict(re.findall(r"^\| `(\w+)` \| `([^`]*)` \|", section, re.MULTILINE))
    signature = inspect.signature(buildwidget.watch)
    assert {name: eval(default) for name, default in table.items()} == {  # the README's own words
        name: parameter.default for name, parameter in signature.parameters.items()
    }


def test_rooms_are_told_in_order() -> None:
    from .test_rooms import FLOORS

    section = CONTRIBUTING.split("## The rooms")[1].split("\n## ")[0]
    rows = re.findall(r"^\| (`[^|]*`) \|", section, re.MULTILINE)
    told = [re.findall(r"`(\w+)`", row) for row in rows]
    assert told == [floor for floor in FLOORS if floor != ["__main__"]]

"""Hosts without a live view: notebooks that a program executes, IPython in a terminal, plain Python."""

from __future__ import annotations

import asyncio
import os
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import nbformat
import pytest
from nbclient import NotebookClient
from nbformat import NotebookNode

from .projects import Project, component

pytestmark = pytest.mark.timeout(120)

VIEW = "application/vnd.jupyter.widget-view+json"
SHOW = "import buildwidget as bw\nw = bw.watch('shop')\nw"
# Not every notebook has time to write a file from outside: its own cell does.
WRITE = "import pathlib\nfile = next(pathlib.Path('shop/.buildrunner/checkpoints').glob('*.json'))\n"
DONE = WRITE + "_ = file.write_text(file.read_text().replace('in_progress', 'completed').replace('41', '100'))"
Execute = Callable[..., NotebookNode]


@pytest.fixture
def project(tmp_path: Path) -> Project:
    project = Project(tmp_path / "shop")
    project.checkpoint(components=[component("api", 41)])
    return project


def notebook(*cells: str) -> NotebookNode:
    kernel = {"name": "python3", "display_name": "Python 3", "language": "python"}
    return nbformat.v4.new_notebook(
        cells=[nbformat.v4.new_code_cell(cell) for cell in cells], metadata={"kernelspec": kernel}
    )


@pytest.fixture
def execute(project: Project) -> Execute:
    """Execute cells, next to the project, as nbconvert and papermill do."""

    def execute_(*cells: str, **environment: str) -> NotebookNode:
        book = notebook(*cells)
        client = NotebookClient(book, kernel_name="python3", resources={"metadata": {"path": project.root.parent}})
        return client.execute(env={**os.environ, **environment})

    return execute_


def outputs(book: NotebookNode, cell: int) -> list[Any]:
    return [output.data for output in book.cells[cell].outputs if "data" in output]


def test_an_executed_notebook_holds_the_table_and_no_widget(execute: Execute) -> None:
    [data] = outputs(execute(SHOW), 0)
    assert VIEW not in data
    assert "<td style='text-align:left'>Api</td>" in data["text/html"]
    assert "shop, in progress, 41 %; 1 component, 1 checkpoint; at work: Api" in data["text/plain"]


def test_every_way_to_show_it_holds_the_table(execute: Execute) -> None:
    book = execute(
        "import buildwidget as bw\nfrom IPython.display import display\nw = bw.watch('shop')",
        "w",
        "display(w)\nprint('after')",
        "%load_ext buildwidget\n%buildwatch shop",
        "for one in (w, bw.watch('shop')): display(one)",
    )
    for cell, number in ((1, 1), (2, 1), (3, 1), (4, 2)):
        shown = outputs(book, cell)
        assert len(shown) == number
        assert all(VIEW not in data and "<table>" in data["text/html"] for data in shown)


def test_a_program_that_executes_cell_by_cell(project: Project) -> None:
    """As Quarto does: the kernel is started first, and the cells are executed one at a time."""

    async def run() -> NotebookNode:
        book = notebook(SHOW, DONE)
        client = NotebookClient(book, resources={"metadata": {"path": str(project.root.parent)}}, record_timing=False)
        client.create_kernel_manager()
        await client.async_start_new_kernel()
        await client.async_start_new_kernel_client()
        try:
            for place, cell in enumerate(book.cells):
                await client.async_execute_cell(cell, place)
        finally:
            await client._async_cleanup_kernel()
        return book

    [data] = outputs(asyncio.run(run()), 0)
    assert VIEW not in data
    assert "completed, 100 %" in data["text/plain"]


@pytest.mark.parametrize(
    "cells",
    [(SHOW, "1 + 1", DONE), (f"from IPython.display import display\n{SHOW[:-1]}display(w)\n{DONE}",)],
    ids=["a later cell", "the same cell"],
)
def test_the_report_shows_the_last_state_not_the_first(execute: Execute, cells: tuple[str, ...]) -> None:
    [data] = outputs(execute(*cells), 0)
    assert "completed, 100 %" in data["text/plain"]
    assert "<td style='text-align:left'>100 %</td>" in data["text/html"]


def test_a_closed_widget_leaves_its_table(execute: Execute) -> None:
    [data] = outputs(execute(SHOW, "w.close()", DONE), 0)
    assert "The widget was closed" in data["text/html"]
    assert "41 %" in data["text/html"]


def test_a_project_that_is_not_there_is_waited_for_in_words(execute: Execute, tmp_path: Path) -> None:
    [data] = outputs(execute(SHOW.replace("shop", "no/where")), 0)
    for text in (data["text/plain"], data["text/html"]):
        assert "Waiting" in text
        assert str(tmp_path / "no" / "where" / ".buildrunner") in text
        assert "unknown" not in text


def test_boxes_of_our_widgets_hold_tables_and_others_stay_alive(execute: Execute) -> None:
    book = execute(
        "import buildwidget as bw, ipywidgets as W\none, two = bw.watch('shop'), bw.watch('shop')",
        "W.VBox([W.HTML('<h2>Mine</h2>'), W.HBox([one, W.Label('a < b')]), two])",
        "W.VBox([one, W.IntSlider()])",
        "W.VBox([W.Label('x')])",
    )
    [data] = outputs(book, 1)
    assert VIEW not in data
    assert data["text/html"].count("<table>") == 2
    assert "<h2>Mine</h2>" in data["text/html"]
    assert "a &lt; b" in data["text/html"]
    assert all(VIEW in outputs(book, cell)[0] for cell in (2, 3))


@pytest.mark.parametrize(
    ("environment", "live"),
    [
        ({"SERVER_SOFTWARE": "voila/0.5.8"}, True),  # it executes the same way, then shows the widgets live
        ({"BUILDWIDGET_STATIC": "0"}, True),
        ({"BUILDWIDGET_STATIC": "1", "SERVER_SOFTWARE": "voila/0.5.8"}, False),
        ({"BUILDWIDGET_STATIC": "perhaps"}, False),
    ],
)
def test_who_shows_widgets_live_gets_them(execute: Execute, environment: dict[str, str], live: bool) -> None:
    [data] = outputs(execute(SHOW, **environment), 0)
    assert (VIEW in data) is live
    assert "<table>" in data["text/html"]


def test_nbconvert_execute(project: Project) -> None:
    book = project.root.parent / "report.ipynb"
    nbformat.write(notebook(SHOW), book)
    done = subprocess.run(
        [sys.executable, "-m", "nbconvert", "--execute", "--to", "html", "--stdout", book.name],
        cwd=book.parent, capture_output=True, text=True, check=False, timeout=90,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    page = re.sub(r"<script.*?</script>", "", done.stdout, flags=re.DOTALL)
    assert page.count("State of ") == 1
    assert ">Api</td>" in page


MANY = """
import buildwidget as bw, ipywidgets as W
ws = [bw.watch(f"many/p{{n % {projects}}}") for n in range(40)]
box = W.VBox(ws)
print(sum(w.closed for w in ws))
"""


@pytest.mark.parametrize("projects", [40, 1])
def test_what_one_cell_makes_stays_open_however_much_it_is(execute: Execute, projects: int) -> None:
    book = execute(MANY.format(projects=projects), "more = bw.watch('shop')\nprint(sum(w.closed for w in ws))", "box")
    assert book.cells[0].outputs[0].text == "0\n"
    # Later, those that nobody sees and that a newer one of the same project replaces are closed.
    assert book.cells[1].outputs[-1].text == ("0\n" if projects == 40 else "9\n")
    assert "<p>" in outputs(book, 2)[0]["text/html"]


def test_plain_python_tells_how_it_stands(project: Project) -> None:
    code = "import buildwidget as bw\nw = bw.watch('shop').refresh()\nprint(w)\nw.close()\nprint([w])"
    done = subprocess.run(
        [sys.executable, "-c", code],
        cwd=project.root.parent, capture_output=True, text=True, check=True, timeout=60,
    )  # fmt: skip
    said = "<BuildWidget shop, in progress, 41 %; 1 component, 1 checkpoint; at work: Api"
    assert done.stdout.splitlines() == [f"{said}>", f"[{said}; closed>]"]
    assert done.stderr == ""


@pytest.mark.parametrize("kind", ["line", "display"])
def test_ipython_in_a_terminal_tells_how_it_stands(project: Project, kind: str) -> None:
    last = {"line": "w", "display": "from IPython.display import display; display(w)"}[kind]
    done = subprocess.run(
        [sys.executable, "-m", "IPython", "--simple-prompt", "--no-banner", "--colors=NoColor"],
        input=f"import buildwidget as bw\nw = bw.watch('shop').refresh()\n{last}\n",
        env={**os.environ, "IPYTHONDIR": str(project.root.parent / "ipython")},
        cwd=project.root.parent, capture_output=True, text=True, check=True, timeout=60,
    )  # fmt: skip
    assert "buildwidget: shop, in progress, 41 %; 1 component, 1 checkpoint; at work: Api; last update " in done.stdout
    assert f"in a terminal: buildwidget watch {project.root}" in done.stdout
    assert " at 0x" not in done.stdout
    assert "Run this cell" not in done.stdout

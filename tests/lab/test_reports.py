"""What a program made of a notebook, opened in a browser that has no network."""

from __future__ import annotations

import os
import subprocess
import sys

import nbformat
import pytest

from .builds import component

CELLS = {
    "alone": "import buildwidget as bw\nw = bw.watch({name!r})\nw",
    "in a box": "import buildwidget as bw, ipywidgets\nipywidgets.VBox([bw.watch({name!r})])",
}


@pytest.mark.parametrize("cell", CELLS.values(), ids=CELLS)
def test_an_executed_notebook_shows_the_table_without_a_network(lab, page, project, cell):
    project.put([component("api", name="Api in the report")])
    path = lab.root / "report.ipynb"
    nbformat.write(
        nbformat.v4.new_notebook(
            cells=[nbformat.v4.new_code_cell(cell.format(name=project.root.name))],
            metadata={"kernelspec": {"name": "python3", "display_name": "Python 3", "language": "python"}},
        ),
        path,
    )
    command = [sys.executable, "-m", "nbconvert", "--execute", "--to", "html", path.name]
    done = subprocess.run(command, cwd=path.parent, env=os.environ, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    context = page.context.browser.new_context(offline=True)
    try:
        report = context.new_page()
        report.goto(path.with_suffix(".html").as_uri())
        shown = report.locator(".jp-OutputArea-output table")
        shown.wait_for(state="visible")
        assert shown.count() == 1
        assert "Api in the report" in shown.inner_text()
        assert "State of " in report.locator(".jp-OutputArea-output").inner_text()
    finally:
        context.close()

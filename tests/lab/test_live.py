"""The main job: the cell shows what is on disk, at once, whatever the kernel is doing."""

from __future__ import annotations

import json
import time

import pytest

from .builds import Project, component, feature
from .face import Face
from .jupyterlab import until


def test_run_all_then_every_change_is_shown(open_notebook, project):
    project.put([component("api"), component("web")], [feature("login")])
    notebook = open_notebook(f"import buildwidget as bw\nbw.watch({project.root.name!r})", "print('after')")
    notebook.run_all()
    face = Face(notebook, 0)
    face.wait()
    face.wait_text("Api")
    face.wait_text("Web")
    face.wait_text("Login")

    project.rewrite(
        project.content([component("api", name="Api in place"), component("web")], [feature("login")]), chunk=64
    )
    face.wait_text("Api in place")

    project.put([component("api", name="Api renamed"), component("web")], [feature("login")])
    face.wait_text("Api renamed")
    face.wait_gone("Api in place")

    project.put([component("api"), component("web"), component("zebra")], [feature("login"), feature("logout")])
    face.wait_text("Zebra")
    face.wait_text("Logout")

    project.put([component("api")], [feature("login")])
    face.wait_gone("Zebra")
    face.wait_gone("Web")
    face.wait_gone("Logout")
    assert "Api" in face.text()


def test_numbers_are_shown(show, project):
    parts = [
        component("api", status="completed", progress=100),
        component("web", progress=40),
        component("db", progress=10),
    ]
    project.put(parts)
    _, face = show()
    face.wait_text("50\u00a0%")
    assert project.root.name in face.text()
    bar = face.page.locator(f"{face.ROOT} [role=progressbar]").first
    assert bar.get_attribute("aria-valuenow") == "50"


BUSY = {
    "sleep": "import time; time.sleep(5)",
    "a busy loop": "import time\nend = time.time() + 5\nwhile time.time() < end:\n    sum(i * i for i in range(1000))",
    "pandas": (
        "import time, pandas as pd\nend = time.time() + 5\nframe = pd.DataFrame({'a': range(2000)})\n"
        "while time.time() < end:\n    frame.apply(lambda row: sum(range(int(row['a']) % 50)), axis=1)"
    ),
}


@pytest.mark.parametrize("code", list(BUSY.values()), ids=list(BUSY))
def test_a_busy_kernel_does_not_freeze_the_cell(show, project, code):
    project.put([component("api")])
    notebook, face = show(code)
    notebook.start(1)
    project.put([component("api", name="Api at once")])  # in the first moments of the block
    face.wait_text("Api at once", timeout=2.5)
    for number in range(6):
        project.put([component("api", name=f"Api number {number}")])
        face.wait_text(f"Api number {number}", timeout=1.5)
    assert notebook.running(1), "the updates came while the cell ran"
    notebook.ended(1)
    project.put([component("api", name="Api afterwards")])
    face.wait_text("Api afterwards")


def test_a_click_is_answered_while_the_kernel_sleeps(show, project):
    project.put([component("api"), component("web")])
    notebook, face = show("import time; time.sleep(5)")
    notebook.start(1)
    face.record_answers()
    face.click("Web")
    until(lambda: face.answers() == [["component:web"]], "the kernel's answer", 2)
    face.click("Api")
    until(lambda: face.answers()[-1] == ["component:api"], "the kernel's answer", 2)
    assert face.selected() == ["Api"]
    assert notebook.running(1), "the answers came while the cell ran"
    notebook.ended(1)
    until(lambda: notebook.evaluate("w.selected") == ["component:api"], "Python knows the selection")


def test_run_all_with_a_long_cell_beneath(open_notebook, project):
    """The cell comes to life while the next one already runs: it is live at once, and clicks are answered."""
    project.put([component("api"), component("web")])
    notebook = open_notebook(
        f"import buildwidget as bw\nw = bw.watch({project.root.name!r})\nw", "import time; time.sleep(6)"
    )
    notebook.start_all()
    face = Face(notebook, 0)
    face.wait()
    face.record_answers()
    project.put([component("api", name="Api meanwhile"), component("web")])
    face.wait_text("Api meanwhile", timeout=2)
    face.click("Web")
    until(lambda: face.answers() == [["component:web"]], "the kernel's answer", 2)
    assert notebook.running(1), "all that happened while the cell ran"
    notebook.ended(1)
    face.wait_live()


def test_a_click_while_the_cell_that_changed_a_trait_goes_on(show, project):
    project.put([component("api"), component("web")])
    notebook, face = show("import time\nw.selected = ['component:api']\nw.filter = 'e'\nw.filter = ''\ntime.sleep(4)")
    notebook.start(1)
    face.wait_selected(["Api"])
    face.record_answers()
    face.click("Web")
    until(lambda: face.answers() == [["component:web"]], "the kernel's answer", 2)
    assert notebook.running(1)
    notebook.ended(1)


def test_wait_for_the_end_of_the_build(show, project):
    project.put([component("api", progress=10)])
    notebook, face = show(
        "heard = []\nw.on('component_update', lambda e: heard.append(e.name))\nprint(await w.wait(timeout=30))"
    )
    notebook.start(1)
    project.put([component("api", name="Api halfway", progress=60)])
    face.wait_text("Api halfway")
    assert notebook.running(1)
    project.put([component("api", name="Api done", status="completed", progress=100)])
    notebook.ended(1)
    assert json.dumps(notebook.outputs(1)).count("completed") == 1
    face.wait_text("Api done")
    assert notebook.evaluate("heard") == ["Api halfway", "Api done"]


def test_the_magic(open_notebook, project):
    project.put([component("api")])
    notebook = open_notebook(
        "%load_ext buildwidget", f"%buildwatch {project.root.name}", "%buildwatch --help", "%buildwatch --hlep"
    )
    notebook.run(0)
    notebook.run(1)
    face = Face(notebook, 1)
    face.wait()
    face.wait_text("Api")
    notebook.run(2)
    help_text = "".join(output["text"] for output in notebook.outputs(2))
    assert "%buildwatch" in help_text
    assert "--height" in help_text
    notebook.start(3)
    notebook.ended(3)
    assert "hlep" in json.dumps(notebook.outputs(3))
    project.put([component("api", name="Api anew")])
    face.wait_text("Api anew")


def test_a_project_that_begins_later(open_notebook, lab):
    """The cell waits for `.buildrunner`, and says so."""
    root = lab.root / f"later-{time.monotonic_ns()}"
    root.mkdir()
    notebook = open_notebook(f"import buildwidget as bw\nbw.watch({root.name!r})")
    notebook.run(0)
    face = Face(notebook, 0)
    face.wait()
    Project(root).put([component("api")])
    face.wait_text("Api")

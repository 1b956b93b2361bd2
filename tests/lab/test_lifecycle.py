"""Reload, restart, run again, close, save: the cell never lies about what it knows."""

from __future__ import annotations

import re
import subprocess
import sys

from .builds import component, feature
from .face import Face
from .jupyterlab import until


def test_reload_of_the_page(show, project):
    project.put([component("api")])
    notebook, face = show()
    project.put([component("api", name="Api before")])
    face.wait_text("Api before")
    notebook.save()
    notebook.reload()
    face = Face(notebook, 0)
    face.wait_text("Api before")
    project.put([component("api", name="Api after")])
    face.wait_text("Api after")
    face.wait_live()


def test_reload_while_the_kernel_is_blocked(show, project):
    project.put([component("api")])
    notebook, face = show("import time; time.sleep(6)")
    notebook.save()
    notebook.start(1)
    notebook.reload()
    project.put([component("api", name="Api meanwhile")])
    face = Face(notebook, 0)
    face.wait_text("Api meanwhile", timeout=30)
    project.put([component("api", name="Api after")])
    face.wait_text("Api after")
    face.wait_live()


def test_restart_of_the_kernel(show, project):
    project.put([component("api", name="Api last seen")])
    notebook, face = show()
    face.wait_live()
    notebook.restart()
    face.wait_not_live(6)
    assert "Api last seen" in face.text()
    notebook.run(0)
    face = Face(notebook, 0)
    face.wait()
    face.wait_live()
    project.put([component("api", name="Api again")])
    face.wait_text("Api again")


def test_the_kernel_dies(show, project):
    project.put([component("api", name="Api last seen")])
    notebook, face = show()
    face.wait_live()
    notebook.page.evaluate(
        "() => { window.jupyterapp.shell.currentWidget.context.sessionContext.session.kernel"
        ".requestExecute({ code: 'import os; os._exit(1)' }); }"
    )
    notebook.answer_dialog()  # JupyterLab says that the kernel died
    face.wait_not_live(6)
    assert "Api last seen" in face.text()


LEFT = """(lambda threading, os, Widget: {
    'threads': sorted(t.name for t in threading.enumerate()),
    'fds': len(os.listdir('/proc/self/fd')),
    'inotify': sum('inotify' in os.readlink(f'/proc/self/fd/{fd}') for fd in os.listdir('/proc/self/fd')
                   if os.path.lexists(f'/proc/self/fd/{fd}')),
    'widgets': len(__import__('ipywidgets').widgets.widget._instances),
    'sessions': len([o for o in __import__('gc').get_objects() if type(o).__name__ == 'BuildSession']),
    'views': len([o for o in __import__('gc').get_objects() if type(o).__name__ == 'BuildWidget']),
})(__import__('threading'), __import__('os'), __import__('ipywidgets').Widget)"""


def test_running_the_cell_100_times_leaves_one_session(show, project):
    project.put([component("api")])
    # what IPython keeps in Out is the user's; what is left after that is ours
    notebook, _ = show("get_ipython().displayhook.flush(); import gc; gc.collect()")
    notebook.run(0)
    notebook.run(1)
    before = notebook.evaluate(LEFT)
    for _ in range(98):
        notebook.run(0)
    notebook.run(1)
    after = notebook.evaluate(LEFT)
    assert after["inotify"] == before["inotify"] == 1
    assert after["threads"] == before["threads"]
    assert after["fds"] <= before["fds"] + 2
    assert after["widgets"] <= before["widgets"] + 2
    assert after["sessions"] <= before["sessions"] + 1
    assert after["views"] <= before["views"] + 2
    comms = notebook.page.evaluate(
        "() => window.jupyterapp.shell.currentWidget.context.sessionContext.session.kernel._comms.size"
    )
    assert comms <= 6, "a model and its layout, and little more"
    face = Face(notebook, 0)
    face.wait()
    project.put([component("api", name="Api after all")])
    face.wait_text("Api after all")


def test_close_leaves_a_table(show, project):
    project.put([component("api", name="Api to the end")], [feature("login", name="Login to the end")])
    notebook, face = show("w.close(); w.close()")
    face.wait_text("Api to the end")
    notebook.run(1)
    output = notebook.output(0)
    until(lambda: output.query_selector("table") is not None, "the static table")
    text = output.inner_text()
    assert "Api to the end" in text
    assert "closed" in text
    assert notebook.page.locator(Face.ROOT).count() == 0
    assert notebook.evaluate("[t.name for t in __import__('threading').enumerate() if 'buildwidget' in t.name]") == []


def test_the_saved_notebook_says_what_it_showed(show, project, lab):
    project.put([component("api", name="Api <saved> & kept")], [feature("login", name="Login saved")])
    notebook, face = show("import asyncio\nw.close()")
    face.wait_text("Login saved")
    data = notebook.save()["cells"][0]["outputs"][-1]["data"]
    assert "application/vnd.jupyter.widget-view+json" in data
    html, plain = "".join(data["text/html"]), "".join(data["text/plain"])
    assert "Api &lt;saved&gt; &amp; kept" in html
    assert "Login saved" in html
    assert "1 component" in plain
    assert "1 feature" in plain
    page = _export(notebook)
    assert "Api &lt;saved&gt; &amp; kept" in page
    assert "Login saved" in page


def _export(notebook) -> str:
    """What nbconvert makes of a saved notebook."""
    done = subprocess.run(
        [sys.executable, "-m", "nbconvert", "--to", "html", "--stdout", str(notebook.path)],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return re.sub(r"<script.*?</script>", "", done.stdout, flags=re.DOTALL)


def test_the_end_of_the_build_renews_the_saved_picture(show, project):
    project.put([component("api", progress=10)])
    notebook, face = show()
    face.wait_text("Api")
    project.put([component("api", name="Api finished", status="completed", progress=100)])
    face.wait_text("Api finished")
    until(lambda: "Api finished" in str(notebook.outputs(0)), "the output is renewed")
    html = "".join(notebook.save()["cells"][0]["outputs"][-1]["data"]["text/html"])
    assert "Api finished" in html
    assert "100 %" in html


def test_the_kernel_knows_whether_a_view_is_on_show(show, project):
    project.put([component("api")])
    notebook, face = show("from IPython.display import display\ndisplay(w)")
    face.wait_live()
    until(lambda: notebook.evaluate("w.on_show") == "shown", "the first view")
    notebook.run(1)
    Face(notebook, 1).wait()
    notebook.edit(0, "'nothing'")
    notebook.run(0)
    until(lambda: notebook.evaluate("w.on_show") == "shown", "the second view is left")
    notebook.edit(1, "'nothing'")
    notebook.run(1)
    until(lambda: notebook.evaluate("w.on_show") == "gone", "no view is left")

"""Drive a real JupyterLab in a real Chromium: for the tests, the benchmarks and the screenshots.

>>> with Lab(folder) as lab, lab.browser() as page:  # doctest: +SKIP
...     notebook = lab.open(page, ["import buildwidget as bw", "bw.watch('project')"])
...     notebook.run_all()

Three facts that shape it:

- While a cell blocks, JupyterLab may show the kernel as idle (comms run on subshells). So the end of a cell is known
  by the promise of its run command, never by the kernel's status.
- Loading the page takes seconds, opening a notebook in it a moment: one page serves many notebooks.
- Nothing here sleeps; everything waits for a condition and has a deadline.
"""

from __future__ import annotations

import ast
import contextlib
import json
import os
import secrets
import shutil
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, Self, TypeVar

import nbformat
import psutil
from playwright.sync_api import Browser, ElementHandle, Page, sync_playwright

__all__ = ["FLAGS", "THEMES", "Lab", "Notebook", "find_chromium", "until"]

T = TypeVar("T")

ROOT = Path(__file__).resolve().parents[2]
THEMES = ("JupyterLab Light", "JupyterLab Dark", "JupyterLab Dark High Contrast")

FLAGS = (
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
)
_QUIET = {"fetchNews": "false", "checkForUpdates": False, "doNotDisturbMode": True}

_READY = """() => {
  const session = window.jupyterapp?.shell.currentWidget?.context?.sessionContext;
  return !!session && session.isReady && session.session?.kernel?.status === 'idle';
}"""


def find_chromium() -> str:
    """The Chromium or Chrome to use: ``CHROMIUM`` if set, else the first of the usual names on the PATH."""
    names = [os.environ.get("CHROMIUM", ""), "chromium", "chromium-browser", "google-chrome", "google-chrome-stable"]
    for name in filter(None, names):
        if found := shutil.which(name):
            return found
    raise RuntimeError("no Chromium on the PATH; install it, or say CHROMIUM=/path/to/it")


def until(
    condition: Callable[[], T],
    what: str,
    timeout: float = 10.0,
    *,
    step: float = 0.02,
    explain: Callable[[], str] | None = None,
) -> T:
    """Ask again and again until ``condition`` gives something true, and return that.

    Raises
    ------
    AssertionError
        After ``timeout`` seconds, with what it gave last, or with what ``explain`` says.
    """
    end = time.monotonic() + timeout
    while not (value := condition()):
        if time.monotonic() > end:
            raise AssertionError(f"not within {timeout:g} s: {what}; instead: {explain() if explain else value!r}")
        time.sleep(step)
    return value


class Lab:
    """A JupyterLab of its own: own folders for everything, a free port of 127.0.0.1, a token, a bounded life.

    Parameters
    ----------
    root
        The folder that JupyterLab shows, and that kernels start in.
    life
        Seconds after which the server is ended, whatever happens.
    arguments
        More of the server's arguments.
    """

    def __init__(self, root: Path, *, life: int = 900, arguments: Sequence[str] = ()) -> None:
        self.root = root
        self.token = secrets.token_hex(16)
        self.url = ""
        self._life = life
        self._arguments = arguments
        self._server: subprocess.Popen[bytes] | None = None
        self._count = 0

    # -- life -----------------------------------------------------------------------------------------------------

    def __enter__(self) -> Self:
        self.root.mkdir(parents=True, exist_ok=True)
        self._own = Path(tempfile.mkdtemp(prefix="lab-"))
        settings = self._own / "settings" / "@jupyterlab" / "apputils-extension"
        settings.mkdir(parents=True)
        (settings / "notification.jupyterlab-settings").write_text(json.dumps(_QUIET))
        env = {
            **os.environ,
            "JUPYTER_CONFIG_DIR": str(self._own / "config"),
            "JUPYTER_DATA_DIR": str(self._own / "data"),
            "JUPYTER_RUNTIME_DIR": str(self._own / "runtime"),
            "JUPYTERLAB_SETTINGS_DIR": str(self._own / "settings"),
            "JUPYTERLAB_WORKSPACES_DIR": str(self._own / "workspaces"),
            "IPYTHONDIR": str(self._own / "ipython"),
            "JUPYTER_PLATFORM_DIRS": "1",
            # this tree is what is tested, whatever is installed
            "PYTHONPATH": os.pathsep.join(filter(None, [str(ROOT), os.environ.get("PYTHONPATH")])),
        }
        command = [
            *(sys.executable, "-m", "jupyterlab", "--no-browser", "--allow-root"),
            "--ServerApp.ip=127.0.0.1",
            "--ServerApp.port=0",
            f"--ServerApp.root_dir={self.root}",
            f"--IdentityProvider.token={self.token}",
            "--LabApp.expose_app_in_browser=True",
            "--LabApp.extension_manager=readonly",
            "--LabApp.news_url=",
            *self._arguments,
        ]
        if limit := shutil.which("timeout"):
            command = [limit, "-k", "5", str(self._life), *command]
        with (self._own / "server.log").open("wb") as log:
            self._server = subprocess.Popen(
                command, env=env, cwd=self.root, stdin=subprocess.DEVNULL, stdout=log, stderr=subprocess.STDOUT
            )
        try:
            until(self._answers, "JupyterLab answers", 60, step=0.1)
        except BaseException:
            self.close()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _answers(self) -> bool:
        assert self._server is not None
        if self._server.poll() is not None:
            raise RuntimeError(f"JupyterLab ended with exit code {self._server.returncode}:\n{self.log()}")
        for path in (self._own / "runtime").glob("jpserver-*.json"):
            with contextlib.suppress(OSError, ValueError):
                self.url = json.loads(path.read_text())["url"].rstrip("/")
                self.request("/api/status")
                return True
        return False

    def close(self) -> None:
        """End the server and every process that it started."""
        server, self._server = self._server, None
        if server is None:
            return
        family: list[psutil.Process] = []
        with contextlib.suppress(psutil.NoSuchProcess):
            family = psutil.Process(server.pid).children(recursive=True)
        with contextlib.suppress(OSError):
            self.request("/api/shutdown", "POST")
        with contextlib.suppress(subprocess.TimeoutExpired):
            server.wait(10)
        for process in family:
            with contextlib.suppress(psutil.NoSuchProcess):
                process.kill()
        psutil.wait_procs(family, timeout=10)
        if server.poll() is None:
            server.kill()
        server.wait()
        self._last_log = self._read_log()
        shutil.rmtree(self._own, ignore_errors=True)

    def log(self, lines: int = 60) -> str:
        """The end of the server's log."""
        text = self._read_log() if self._server else getattr(self, "_last_log", "")
        return "\n".join(text.splitlines()[-lines:])

    def _read_log(self) -> str:
        return (self._own / "server.log").read_text("utf-8", "replace").replace(self.token, "…")

    def request(self, path: str, method: str = "GET") -> Any:
        """Ask the server's REST interface; returns parsed JSON."""
        request = urllib.request.Request(
            self.url + path, method=method, headers={"Authorization": f"token {self.token}"}
        )
        with urllib.request.urlopen(request, timeout=10) as answer:
            body = answer.read()
        return json.loads(body) if body else None

    def end_kernel(self, notebook: str) -> None:
        """End the kernel of a notebook, whatever state the page is in."""
        for session in self.request("/api/sessions"):
            if session["path"] == notebook:
                self.request(f"/api/sessions/{session['id']}", "DELETE")

    # -- browser --------------------------------------------------------------------------------------------------

    @contextlib.contextmanager
    def browser(self, width: int = 1280, height: int = 900) -> Iterator[Page]:
        """A fresh Chromium with JupyterLab open in it."""
        with sync_playwright() as playwright:
            browser = playwright.chromium.launch(executable_path=find_chromium(), headless=True, args=[*FLAGS])
            try:
                yield self.page(browser, width, height)
            finally:
                browser.close()

    def page(self, browser: Browser, width: int = 1280, height: int = 900) -> Page:
        """A new page with JupyterLab open in it, and nothing open in that."""
        page = browser.new_context(viewport={"width": width, "height": height}).new_page()
        page.set_default_timeout(30_000)
        page.goto(f"{self.url}/lab?reset&token={self.token}")
        _wait_started(page)
        return page

    def open(self, page: Page, cells: Sequence[str], name: str | None = None) -> Notebook:
        """Write a notebook, open it in JupyterLab and wait until its kernel is ready."""
        self._count += 1
        name = name or f"notebook-{self._count}.ipynb"
        notebook = nbformat.v4.new_notebook(
            cells=[nbformat.v4.new_code_cell(cell) for cell in cells],
            metadata={"kernelspec": {"name": "python3", "display_name": "Python 3 (ipykernel)", "language": "python"}},
        )
        nbformat.write(notebook, self.root / name)
        opened = Notebook(self, page, name)
        opened.show()
        return opened


def _wait_started(page: Page) -> None:
    page.wait_for_function("() => window.jupyterapp !== undefined")
    page.evaluate("() => window.jupyterapp.restored.then(() => null)")
    page.wait_for_selector("#jupyterlab-splash", state="detached")


class Notebook:
    """One open notebook and its kernel."""

    def __init__(self, lab: Lab, page: Page, name: str) -> None:
        self.lab, self.page, self.name = lab, page, name

    @property
    def path(self) -> Path:
        """The file."""
        return self.lab.root / self.name

    def show(self) -> None:
        """Open it, or bring it to the front, and wait for a ready kernel."""
        self.command("docmanager:open", {"path": self.name, "factory": "Notebook"})
        self.page.wait_for_function(
            "name => window.jupyterapp.shell.currentWidget?.context?.path === name", arg=self.name
        )
        self.page.wait_for_function(_READY, timeout=60_000)

    def reload(self) -> None:
        """Load the whole page anew, as F5 does, and wait until this notebook is shown again.

        The layout is reset: restored from the server, it may bring back a notebook of an earlier test before ours.
        """
        self.page.goto(f"{self.lab.url}/lab/tree/{self.name}?reset&token={self.lab.token}")
        _wait_started(self.page)
        self.page.wait_for_function(
            "name => window.jupyterapp.shell.currentWidget?.context?.path === name", arg=self.name
        )
        self.page.wait_for_function("() => !!window.jupyterapp.shell.currentWidget.context.sessionContext.isReady")

    def answer_dialog(self) -> None:
        """Wait for a dialog and press its main button."""
        self.page.locator(".jp-Dialog .jp-mod-accept").first.click()
        self.page.wait_for_selector(".jp-Dialog", state="detached")

    def close(self) -> None:
        """End the kernel and close the notebook without saving. No question is asked."""
        self.page.evaluate(
            """async name => {
              for (const widget of [...window.jupyterapp.shell.widgets('main')]) {
                if (widget.context?.path === name && widget.context.sessionContext) {
                  await widget.context.sessionContext.shutdown();
                  widget.context.model.dirty = false;
                }
                widget.dispose();
              }
            }""",
            self.name,
        )

    # -- commands -------------------------------------------------------------------------------------------------

    def command(self, name: str, arguments: dict[str, Any] | None = None) -> None:
        """Execute one of JupyterLab's commands and wait for it."""
        self.page.evaluate(
            "([name, args]) => window.jupyterapp.commands.execute(name, args ?? {}).then(() => null)", [name, arguments]
        )

    def run_all(self) -> None:
        """Run every cell and wait until the last has ended."""
        self.command("notebook:run-all-cells")

    def start_all(self) -> None:
        """Run every cell; `running` and `ended` tell of the last one. Does not wait."""
        self.page.evaluate(
            """() => {
              const panel = window.jupyterapp.shell.currentWidget;
              const last = panel.content.widgets.length - 1;
              const running = (window.labRuns ??= {});
              running[last] = false;
              window.jupyterapp.commands.execute('notebook:run-all-cells').then(() => { running[last] = true; });
            }"""
        )

    def run(self, cell: int) -> None:
        """Run one cell and wait until it has ended. Raises if it failed."""
        self.start(cell)
        self.ended(cell)
        for output in self.outputs(cell):
            if output["output_type"] == "error":
                raise AssertionError("\n".join([f"cell {cell} failed", *output["traceback"]]))

    def start(self, cell: int) -> None:
        """Run one cell and return once the kernel has begun with it."""
        self.page.evaluate(
            """async cell => {
              const panel = window.jupyterapp.shell.currentWidget;
              const kernel = panel.context.sessionContext.session.kernel;
              const running = (window.labRuns ??= {});
              panel.content.activeCellIndex = cell;
              panel.content.deselectAll();
              const begun = new Promise(resolve => {
                const heard = (_, message) => {
                  if (message.header.msg_type !== 'execute_input') return;
                  kernel.iopubMessage.disconnect(heard);
                  resolve();
                };
                kernel.iopubMessage.connect(heard);
              });
              running[cell] = false;
              window.jupyterapp.commands.execute('notebook:run-cell').then(() => { running[cell] = true; });
              await begun;
            }""",
            cell,
        )

    def ended(self, cell: int, timeout: float = 60) -> None:
        """Wait until a started cell has ended."""
        self.page.wait_for_function("cell => window.labRuns[cell] === true", arg=cell, timeout=timeout * 1000)

    def running(self, cell: int) -> bool:
        """Whether a started cell has not ended yet."""
        return self.page.evaluate("cell => window.labRuns[cell] === false", cell)

    def outputs(self, cell: int) -> list[dict[str, Any]]:
        """The outputs of a cell, as they would be saved."""
        return self.page.evaluate(
            "cell => window.jupyterapp.shell.currentWidget.content.widgets[cell].model.outputs.toJSON()", cell
        )

    def edit(self, cell: int, source: str) -> None:
        """Replace the source of a cell."""
        self.page.evaluate(
            """([cell, source]) => {
              window.jupyterapp.shell.currentWidget.content.widgets[cell].model.sharedModel.setSource(source);
            }""",
            [cell, source],
        )

    def save(self) -> dict[str, Any]:
        """Save it, and return what was written."""
        self.command("docmanager:save")
        return json.loads(self.path.read_text("utf-8"))

    def restart(self) -> None:
        """Restart the kernel and wait until it is ready."""
        self.page.evaluate(
            """() => {
              const { kernel } = window.jupyterapp.shell.currentWidget.context.sessionContext.session;
              return kernel.restart().then(() => null);
            }"""
        )
        self.page.wait_for_function(_READY, timeout=60_000)

    def evaluate(self, expression: str) -> Any:
        """The value of a Python expression in the kernel. It must be something that JSON can say."""
        answer = self.page.evaluate(
            """async code => {
              const kernel = window.jupyterapp.shell.currentWidget.context.sessionContext.session.kernel;
              const user_expressions = { value: code };
              const request = { code: '', silent: false, store_history: false, user_expressions };
              const reply = await kernel.requestExecute(request, true).done;
              return reply.content.user_expressions?.value ?? reply.content;
            }""",
            f"__import__('json').dumps({expression})",
        )
        if answer.get("status") != "ok":
            raise AssertionError("\n".join([f"{expression} failed", *answer.get("traceback", [str(answer)])]))
        text: str = answer["data"]["text/plain"]  # the repr of a str
        return json.loads(ast.literal_eval(text))

    def kernel_pid(self) -> int:
        """The process id of the kernel."""
        return self.evaluate("__import__('os').getpid()")

    # -- looks ----------------------------------------------------------------------------------------------------

    def output(self, cell: int) -> ElementHandle:
        """The element that holds the outputs of a cell."""
        handle = self.page.evaluate_handle(
            "cell => window.jupyterapp.shell.currentWidget.content.widgets[cell].outputArea.node", cell
        ).as_element()
        assert handle is not None
        return handle

    def resize(self, selector: str, width: int, height: int = 900) -> None:
        """Close the side bar and make the window so wide that an element has this width, in CSS pixels."""
        self.page.evaluate("() => window.jupyterapp.shell.collapseLeft()")

        def fits() -> bool:
            now = self.page.eval_on_selector(selector, "node => node.getBoundingClientRect().width")
            size = self.page.viewport_size
            assert size is not None
            if abs(now - width) < 1 and size["height"] == height:
                return True
            self.page.set_viewport_size({"width": round(size["width"] + width - now), "height": height})
            self.page.evaluate("() => new Promise(done => requestAnimationFrame(() => requestAnimationFrame(done)))")
            return False

        until(fits, f"{selector} is {width} px wide")

    def theme(self, name: str) -> None:
        """Switch JupyterLab's theme and wait until it is on."""
        set_theme(self.page, name)


def set_theme(page: Page, name: str) -> None:
    """Switch JupyterLab's theme and wait until it is on."""
    page.evaluate(
        "name => window.jupyterapp.commands.execute('apputils:change-theme', {theme: name}).then(() => null)", name
    )
    page.wait_for_function("name => document.body.dataset.jpThemeName === name", arg=name)
    page.wait_for_selector("#jupyterlab-splash", state="detached")

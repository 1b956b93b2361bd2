"""A private JupyterLab for the demo, with a notebook whose first cells have already run.

JupyterLab cannot run a notebook when it opens it. But it attaches to a kernel that is already running for the
notebook, and restores every widget in that kernel. So the session is started through the server's REST API, the first
cells are run through a kernel client, and their outputs are saved in the notebook, which is then trusted. Whoever opens
the page sees a live cell at once.
"""

from __future__ import annotations

import contextlib
import json
import logging
import os
import secrets
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
import urllib.request
from collections.abc import Mapping
from importlib.util import find_spec
from pathlib import Path
from types import TracebackType
from typing import Any, Final, Self

from ..errors import DemoError, MissingExtraError

__all__ = ["DemoLab", "check_lab", "notebook_source"]

logger = logging.getLogger("buildwidget.demo")

START_LIMIT: Final = 90.0  # seconds until the server must answer; a slow machine needs most of them
CELL_LIMIT: Final = 60.0  # seconds for one cell
STOP_LIMIT: Final = 10.0  # seconds to wait for the server's end before the next, harder signal
VIEW: Final = "application/vnd.jupyter.widget-view+json"
QUIET: Final = {"fetchNews": "false", "checkForUpdates": False}


def notebook_source() -> Path:
    """Return the path of the notebook ``01-live.ipynb``, in an installed package or in the repository.

    Raises
    ------
    DemoError
        If it is in neither.
    """
    here = Path(__file__).resolve().parent
    for place in (here / "01-live.ipynb", here.parent.parent / "notebooks" / "01-live.ipynb"):
        if place.is_file():
            return place
    raise DemoError("the notebook 01-live.ipynb is missing from this installation; install buildwidget again.")


def check_lab() -> None:
    """Check that JupyterLab and the Python kernel are installed.

    Raises
    ------
    MissingExtraError
        If one of them is not.
    """
    for library in ("jupyterlab", "ipykernel"):
        if find_spec(library) is None:
            raise MissingExtraError("the demo in JupyterLab (without it: --no-lab)", "lab", library)


class DemoLab:
    """JupyterLab on a folder, on a local port, with temporary settings.

    Parameters
    ----------
    folder
        The root folder of the server.
    environment
        Additional environment variables of the server and its kernels.
    port
        The port; 0 chooses a free one.
    stop
        An event that makes `start` return early when it is set.

    Examples
    --------
    >>> with DemoLab(Path("project")) as lab:  # doctest: +SKIP
    ...     lab.run_notebook("01-live.ipynb")
    ...     print(lab.url_of("01-live.ipynb"))
    """

    def __init__(
        self,
        folder: Path,
        *,
        environment: Mapping[str, str] | None = None,
        port: int = 0,
        stop: threading.Event | None = None,
    ) -> None:
        self.folder = folder.resolve()
        self.token = secrets.token_urlsafe(16)  # short enough for the address to fit a line of 80 characters
        self.address = ""
        self._port = port
        self._stop = stop or threading.Event()
        self._extra = dict(environment or {})
        self._own = Path()
        self._process: subprocess.Popen[bytes] | None = None

    # -- start and stop -------------------------------------------------------------------------------------------

    def __enter__(self) -> Self:
        try:
            self.start()
        except BaseException:
            self.stop()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    def start(self) -> None:
        """Start the server and wait until it answers.

        Raises
        ------
        MissingExtraError
            If JupyterLab is not installed.
        DemoError
            If it does not start; the text holds the end of its log.
        """
        check_lab()
        self._own = Path(tempfile.mkdtemp(prefix="buildwidget-lab-"))
        settings = self._own / "settings" / "@jupyterlab" / "apputils-extension"
        settings.mkdir(parents=True)
        (settings / "notification.jupyterlab-settings").write_text(json.dumps(QUIET))
        command = [
            sys.executable, "-m", "jupyterlab", "--no-browser",
            "--ServerApp.ip=127.0.0.1", f"--ServerApp.port={self._port}",
            f"--ServerApp.root_dir={self.folder}", f"--IdentityProvider.token={self.token}",
            "--LabApp.extension_manager=readonly",
        ]  # fmt: skip
        if hasattr(os, "geteuid") and os.geteuid() == 0:
            command.append("--allow-root")  # containers often have no other user
        with (self._own / "lab.log").open("wb") as log:
            self._process = subprocess.Popen(  # noqa: S603
                command,
                env=self._environment(),
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,  # Ctrl-C must reach this process only, which then ends the server in order
            )
        self._wait_until_up(self._process)

    def _environment(self) -> dict[str, str]:
        own = {
            "JUPYTER_CONFIG_DIR": "config",
            "JUPYTER_DATA_DIR": "data",
            "JUPYTER_RUNTIME_DIR": "runtime",
            "JUPYTERLAB_SETTINGS_DIR": "settings",
            "JUPYTERLAB_WORKSPACES_DIR": "workspaces",
            "IPYTHONDIR": "ipython",
        }
        result = {**os.environ, **{key: str(self._own / name) for key, name in own.items()}, **self._extra}
        # The kernels must import this package, also when it runs from a checkout that is not installed.
        home = Path(__file__).resolve().parents[2]
        if home.name not in ("site-packages", "dist-packages"):
            result["PYTHONPATH"] = os.pathsep.join(filter(None, [str(home), os.environ.get("PYTHONPATH")]))
        return result

    def _wait_until_up(self, process: subprocess.Popen[bytes]) -> None:
        deadline = time.monotonic() + START_LIMIT
        while time.monotonic() < deadline and not self._stop.is_set():
            if process.poll() is not None:
                break
            for file in (self._own / "runtime").glob("jpserver-*.json"):
                with contextlib.suppress(OSError, ValueError, KeyError):
                    self.address = str(json.loads(file.read_text())["url"]).rstrip("/")
                    self._request("/api/status")
                    return
            self._stop.wait(0.1)
        if self._stop.is_set():
            return
        raise DemoError(f"JupyterLab did not start. The end of its log:\n{self._log_tail()}")

    def _log_tail(self) -> str:
        with contextlib.suppress(OSError):
            return "\n".join((self._own / "lab.log").read_text(errors="replace").splitlines()[-12:])
        return "(none)"

    @property
    def running(self) -> bool:
        """Whether the server process is running."""
        return self._process is not None and self._process.poll() is None

    def stop(self) -> None:
        """End the server and its kernels, and wait for the server's end. Idempotent."""
        process, self._process = self._process, None
        if process is not None:
            if process.poll() is None and self.address:
                with contextlib.suppress(OSError, ValueError):
                    self._request("/api/shutdown", "POST")
            self._end(process)
        if self._own != Path():
            shutil.rmtree(self._own, ignore_errors=True)

    def _end(self, process: subprocess.Popen[bytes]) -> None:
        for number in (None, signal.SIGTERM, signal.SIGKILL):
            if number is not None:
                process.send_signal(number)
            try:
                process.wait(STOP_LIMIT)
                break
            except subprocess.TimeoutExpired:
                logger.warning("JupyterLab (process %d) did not end within %g s", process.pid, STOP_LIMIT)
        # Kernels run in their own sessions and end with their server; only a killed server may leave processes behind.
        with contextlib.suppress(OSError):
            os.killpg(process.pid, signal.SIGTERM)

    # -- notebooks ------------------------------------------------------------------------------------------------

    def url_of(self, notebook: str) -> str:
        """Return the address, with the token, that opens a notebook in the browser."""
        return f"{self.address}/lab/tree/{notebook}?token={self.token}"

    def run_notebook(self, name: str) -> bool:
        """Run the cells of a notebook up to and including the first that shows a widget, and save their outputs.

        The page that opens the notebook attaches to the same kernel.

        Returns
        -------
        bool
            Whether a widget is shown. If not, the saved outputs show why.
        """
        import nbformat

        files: Any = nbformat  # it has no types
        path = self.folder / name
        notebook = files.read(path, as_version=4)
        session = self._request("/api/sessions", "POST", {
            "path": name, "name": name, "type": "notebook", "kernel": {"name": "python3"},
        })  # fmt: skip
        try:
            shown = self._run_cells(notebook, str(session["kernel"]["id"]))
        finally:
            files.write(notebook, path)
            self._request(f"/api/contents/{name}/trust", "POST")  # JupyterLab shows no widgets of untrusted notebooks
        return shown

    def _run_cells(self, notebook: Any, kernel: str) -> bool:
        from jupyter_client.blocking.client import BlockingKernelClient
        from nbformat import v4

        messages: Any = v4  # it has no types
        client: Any = BlockingKernelClient(connection_file=str(self._own / "runtime" / f"kernel-{kernel}.json"))
        client.load_connection_file()
        client.start_channels(hb=False)  # a kernel that is slow to start has no heartbeat yet, but is not dead
        try:
            client.wait_for_ready(timeout=CELL_LIMIT)
            info = client.kernel_info(reply=True, timeout=CELL_LIMIT)["content"]
            # JupyterLab sets this as well, and would otherwise show the notebook as changed.
            notebook.metadata["language_info"] = info["language_info"]
            for cell in notebook.cells:
                if cell.cell_type != "code":
                    continue
                outputs: list[Any] = []

                def collect(message: Any, outputs: list[Any] = outputs) -> None:
                    if message["msg_type"] in {"display_data", "execute_result", "stream", "error"}:
                        outputs.append(messages.output_from_msg(message))

                def answer_nothing(_message: Any) -> None:
                    client.input("")

                client.session.metadata = {"cellId": cell.get("id")}  # identifies the cell, as JupyterLab does
                # Like JupyterLab, and unlike what makes reports, it says that somebody could answer `input`: the
                # cells are live. Nothing here asks.
                reply = client.execute_interactive(
                    cell.source,
                    store_history=True,
                    allow_stdin=True,
                    stdin_hook=answer_nothing,
                    timeout=CELL_LIMIT,
                    output_hook=collect,
                )
                cell.execution_count = reply["content"].get("execution_count")
                cell.outputs = outputs
                if reply["content"]["status"] != "ok":
                    logger.warning("a cell of the notebook failed: %s", reply["content"].get("evalue"))
                    return False
                if any(VIEW in output.get("data", {}) for output in outputs):
                    return True
        finally:
            client.stop_channels()
        return False

    def _request(self, path: str, method: str = "GET", body: object = None) -> Any:
        request = urllib.request.Request(  # noqa: S310 (the address of the server that was started here)
            self.address + path,
            method=method,
            data=None if body is None else json.dumps(body).encode(),
            headers={"Authorization": f"token {self.token}", "Content-Type": "application/json"},
        )
        # No proxy: the address is local.
        opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
        with opener.open(request, timeout=30) as answer:
            text = answer.read()
        return json.loads(text) if text else None

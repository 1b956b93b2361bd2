# pyright: basic
# (ipywidgets, anywidget and IPython have no types of their own)
"""`BuildWidget`: a live build in a notebook cell."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import threading
import time
from collections import OrderedDict
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import anywidget
import msgspec
import traitlets as t

from .. import __version__, frames
from ..errors import BuildEndedError
from ..events import TYPES, SessionUpdate, Snapshot
from ..log import Logged
from ..model import BuildStatus, State
from ..session import BuildSession
from . import _static
from ._outbox import Outbox

if TYPE_CHECKING:
    import pandas as pd

    from ..history import History

__all__ = ["BuildWidget", "open_widgets", "watch"]

logger = logging.getLogger("buildwidget.widget")

FIRST_LOOK: Final = 0.060  # seconds `watch` gives the first reading, so that the cell opens with the truth
SNAPSHOT_EVERY: Final = 1.0  # seconds between two states kept for a page that reloads
RENEW_EVERY: Final = 60.0  # seconds between two renewals of what the saved notebook shows
IDS: Final = 10_000  # ids in a selection
FINAL: Final = frozenset({BuildStatus.COMPLETED, BuildStatus.FAILED})

_STATIC = Path(__file__).parent.parent / "static"


def _front_end() -> str | Path:
    path = _STATIC / "widget.js"
    if os.environ.get("ANYWIDGET_HMR") == "1":
        return path
    try:
        return path.read_text("utf-8")  # given as text: given as a path, anywidget keeps every widget for ever
    except FileNotFoundError:
        raise ImportError(
            "buildwidget's front end is not built: 'static/widget.js' is missing. In a checkout, run 'make setup'; "
            "otherwise install buildwidget again."
        ) from None


class BuildWidget(anywidget.AnyWidget):
    """A live view of one build, for a notebook cell.

    Use `watch` to make one. The widget follows the build until `close`, or until the kernel ends, also while other
    cells run.

    Parameters
    ----------
    path
        The project: the folder that holds, or will hold, ``.buildrunner``.
    height
        The largest height of the list of items, in pixels; 0 for as high as it needs.
    filter
        What to show at first: words, and ``status:…``, ``kind:…`` terms.
    poll
        True: scan the files instead of listening to the system (for network drives). None: decide by itself.
    session
        Follow this session instead of opening one; it is not closed with the widget.
    """

    _esm = _front_end()
    _gone = True  # until it is made

    _snapshot = t.Bytes(b"").tag(sync=True)  # JSON of epoch, seq and state: what a reloaded page starts from
    _meta = t.Dict().tag(sync=True)
    selected = t.List(t.Unicode(), help="Ids of the selected items, such as 'component:api'.").tag(sync=True)
    filter = t.Unicode("", help="Words, and status:… and kind:… terms; only what fits is shown.").tag(sync=True)
    height = t.Int(0, help="The largest height of the list, in pixels; 0 for as high as it needs.").tag(sync=True)

    def __init__(
        self,
        path: str | Path = ".",
        *,
        height: int = 480,
        filter: str = "",  # noqa: A002 (the trait's name)
        poll: bool | None = None,
        session: BuildSession | None = None,
    ) -> None:
        self._loop = _running_loop()
        self._owned = session is None
        self._session = session.open(self._loop) if session else _sessions.open(Path(path), self._loop, poll)
        self._callbacks: list[tuple[str, Callable[[Any], Any]]] = []
        self._display_id: str | None = None
        self._renewed = self._touched = 0.0
        self._kept = (-SNAPSHOT_EVERY, -1)  # when the snapshot trait was set, and to which seq
        self._keeping = False
        self._was_final = False
        try:
            self._wait_loaded(FIRST_LOOK)
            seq, state = self._session.snapshot_at()
            meta = {"path": _shown(self._session), "version": __version__}
            super().__init__(height=height, filter=filter, _meta=meta, _snapshot=self._packed(seq, state))
        except BaseException:
            if self._owned:
                _sessions.release(self._session)
            raise
        self._gone = False
        self._history: History | None = None
        self._free_replies()
        self._kept = (time.monotonic(), seq)
        self._was_final = state.session.status in FINAL
        self._outbox = Outbox(self._session, self.send)
        self.on_msg(self._receive)
        self._forget = self._session.listen(self._heard)
        self._session.on_tick(self._outbox.tick)
        if self._session.seq != seq:
            self._heard([])

    # -- what is known --------------------------------------------------------------------------------------------

    @property
    def session(self) -> BuildSession:
        """The session that this widget shows."""
        return self._session

    @property
    def state(self) -> State:
        """The whole present state, as typed records."""
        self._session.catch_up()
        return self._session.snapshot()

    @property
    def status(self) -> str:
        """``pending``, ``in_progress``, ``completed``, ``failed`` or ``unknown``."""
        return self.state.session.status.value

    @property
    def percent(self) -> float | None:
        """How much of the build is done, from 0 to 100; None if nothing is known."""
        return self.state.progress.percent

    def _table(self, name: str) -> pd.DataFrame:
        self._wait_loaded(None)
        self._session.catch_up()
        seq, state = self._session.snapshot_at()
        return frames.table(state, name, epoch=self._session.epoch, seq=seq)

    @property
    def components(self) -> pd.DataFrame:
        """The components, a row each."""
        return self._table("components")

    @property
    def features(self) -> pd.DataFrame:
        """The features, a row each."""
        return self._table("features")

    @property
    def tasks(self) -> pd.DataFrame:
        """The tasks of orchestrators, workflows and pools, a row each."""
        return self._table("tasks")

    @property
    def phases(self) -> pd.DataFrame:
        """The phases, a row each."""
        return self._table("phases")

    @property
    def checkpoints(self) -> pd.DataFrame:
        """The newest checkpoints (at most 200), a row each."""
        return self._table("checkpoints")

    @property
    def warnings(self) -> pd.DataFrame:
        """What is wrong with the files, a row each."""
        return self._table("warnings")

    @property
    def history(self) -> History:
        """Everything that this build ever wrote, as tables; it grows as the build goes on.

        It is read when it is first asked for. From then on it holds every version of a file that was seen; of what was
        overwritten before, only what is left on disk.
        """
        if self._history is None:
            from ..history import read_history

            self._history = read_history(self)
        return self._history

    @property
    def closed(self) -> bool:
        """Whether `close` was called."""
        return self._gone

    def refresh(self) -> BuildWidget:
        """Look at every file now; returns when all of them are read."""
        self._wait_loaded(None)
        self._session.refresh()
        return self

    def _wait_loaded(self, timeout: float | None) -> None:
        """Let the first reading end (``timeout`` in seconds; None: 30)."""
        end = time.monotonic() + (30.0 if timeout is None else timeout)
        while not self._session.loaded and not self._session.closed and time.monotonic() < end:
            self._session.catch_up()
            time.sleep(0.001)

    # -- those who want to know -----------------------------------------------------------------------------------

    def on(self, event_type: str, callback: Callable[[Any], Any] | None = None) -> Any:
        """Call back with each new message of a type, in the kernel's event loop.

        Parameters
        ----------
        event_type
            A message type (``component_update``, ``checkpoint_update``, ``session_update``, ``warning`` …), or ``*``.
        callback
            Takes the message (see `buildwidget.events`); may be a coroutine function. Without it, `on` is a decorator.

        Returns
        -------
        A function that ends it; as a decorator, the callback itself.

        Raises
        ------
        ValueError
            If there is no such message type.
        RuntimeError
            If the widget was made outside of an event loop and the callback is a coroutine function: nothing could
            run it. A plain one is called in the watching thread then.
        """
        if event_type != "*" and event_type not in TYPES:
            raise ValueError(f"no message type {event_type!r}; there are: *, {', '.join(sorted(TYPES))}")
        if callback is None:

            def decorate(function: Callable[[Any], Any]) -> Callable[[Any], Any]:
                self.on(event_type, function)
                return function

            return decorate
        if self._loop is None and asyncio.iscoroutinefunction(callback):
            raise RuntimeError("this widget was made outside of an event loop: only plain functions can be called")
        entry = (event_type, callback)
        self._callbacks.append(entry)
        return lambda: self._callbacks.remove(entry) if entry in self._callbacks else None

    async def wait(self, status: str | Iterable[str] = "completed", timeout: float | None = None) -> str:
        """Wait until the build has a status, and return it. Other cells' output and the live cell go on meanwhile.

        Parameters
        ----------
        status
            The status to wait for (``pending``, ``in_progress``, ``completed``, ``failed``), or several.
        timeout
            Seconds; None waits for ever.

        Raises
        ------
        TimeoutError
            If it takes longer.
        BuildEndedError
            If the build ends in another way.
        """
        wanted = {status} if isinstance(status, str) else set(status)
        unknown = wanted - {s.value for s in BuildStatus}
        if unknown:
            raise ValueError(f"no status {sorted(unknown)}; there are: {', '.join(s.value for s in BuildStatus)}")

        def reached() -> str | None:
            now = self._session.status
            if now.value in wanted:
                return now.value
            if now in FINAL:
                raise BuildEndedError(now, sorted(wanted))
            return None

        try:
            async with asyncio.timeout(timeout):
                await self._session.wait_loaded()  # half of the files may say something else than all of them
                start = self._session.seq
                if (now := reached()) is not None:
                    return now
                async for event in self._session.subscribe(since=start):
                    if isinstance(event, SessionUpdate | Snapshot) and (now := reached()) is not None:
                        return now
        except TimeoutError:
            raise TimeoutError(f"the build was not {' or '.join(sorted(wanted))} within {timeout:g} s") from None
        raise RuntimeError("the widget was closed while waiting")

    # -- from the session -----------------------------------------------------------------------------------------

    def _heard(self, rows: list[Logged]) -> None:
        """New messages, in the pumping thread: send them; leave everything else to the loop."""
        wait = self._outbox.offer()
        loop = self._loop
        if loop is None:
            self._call_back(rows)
            return
        with contextlib.suppress(RuntimeError):  # the loop is closed
            if self._callbacks:
                loop.call_soon_threadsafe(self._call_back, rows)
            if wait is not None:
                loop.call_soon_threadsafe(loop.call_later, wait, self._outbox.flush)
            if not self._keeping:
                self._keeping = True
                loop.call_soon_threadsafe(self._keep)

    def _call_back(self, rows: list[Logged]) -> None:
        for row in rows:
            name = row.event.__struct_config__.tag
            for event_type, callback in list(self._callbacks):
                if event_type not in ("*", name):
                    continue
                try:
                    result = callback(row.event)
                    if asyncio.iscoroutine(result):
                        task = asyncio.ensure_future(result)
                        task.add_done_callback(self._finished)
                except Exception as error:  # noqa: BLE001 (it is a stranger's code; the cell tells of it)
                    self._complain(error)

    def _finished(self, task: asyncio.Task[Any]) -> None:
        if not task.cancelled() and (error := task.exception()) is not None:
            self._complain(error)

    def _complain(self, error: BaseException) -> None:
        """An error in a user's callback: nobody sees a task's traceback in a notebook, so the cell says it."""
        logger.error("a callback failed", exc_info=error)
        text = f"A callback failed: {type(error).__name__}: {error}"
        self._outbox.publish({"kind": "notice", "level": "error", "text": text[:1_000]})

    def _packed(self, seq: int, state: State) -> bytes:
        return msgspec.json.encode({"epoch": self._session.epoch, "seq": seq, "state": state})

    def _keep(self) -> None:
        """In the loop: keep a state for a page that reloads, at most once a second, and at the end of the build."""
        self._keeping = False
        if self._gone or self._loop is None:
            return
        at, kept = self._kept
        seq = self._session.seq
        if seq == kept:
            return
        seq, state = self._session.snapshot_at()
        final = state.session.status in FINAL
        ended = final and not self._was_final
        self._was_final = final
        wait = at + SNAPSHOT_EVERY - time.monotonic()
        if wait > 0 and not ended:
            self._keeping = True
            self._loop.call_later(wait, self._keep)
            return
        self._kept = (time.monotonic(), seq)
        packed = self._packed(seq, state)
        self._outbox.run(lambda: self.set_trait("_snapshot", packed))
        now = time.monotonic()
        if ended or (now - self._renewed > RENEW_EVERY and now - self._touched > RENEW_EVERY):
            self._renew()

    def _send(self, msg: Any, buffers: Any = None) -> None:
        """Send, and let the view's next message go to the shell that the view chooses.

        ipykernel 7 remembers the shell that last published on a comm, and sends there whatever comes back. After a
        message from a cell (the opening of the comm is one) that is the main shell, where a click waits for the
        running cell, whichever shell JupyterLab meant.
        """
        super()._send(msg, buffers)
        self._free_replies()

    def _free_replies(self) -> None:
        getattr(self.comm, "__dict__", {}).pop("_reply_subshell_id", None)

    # -- from the view --------------------------------------------------------------------------------------------

    def _receive(self, _widget: Any, content: Any, _buffers: Any) -> None:
        """A message of the view, in whatever thread the kernel chooses. It is answered at once; traits wait."""
        try:
            self._answer(content)
        except Exception:
            logger.exception("a message of the view failed")

    def _answer(self, content: Any) -> None:
        if not isinstance(content, dict) or self._gone:
            return
        self._outbox.adopt()
        match content.get("kind"):
            case "hello":
                welcome = {
                    "id": content.get("id"),
                    "protocol": 1,
                    "server": f"buildwidget {__version__}",
                    "heartbeat": 1,
                    "now": msgspec.to_builtins(_utc_now()),
                }
                self._outbox.hello(content, welcome)
                return
            case "replay":
                self._outbox.replay(content.get("epoch"), content.get("since"))
                return
            case "ping":
                self._outbox.publish({"kind": "pong", "id": content.get("id")})
                return
            case "select":
                ids = content.get("ids")
                if isinstance(ids, list):
                    chosen = [i for i in ids[:IDS] if isinstance(i, str)]
                    self._outbox.publish({"kind": "selected", "ids": chosen})
                    self._later(lambda: self.set_trait("selected", chosen))
            case "filter":
                text = content.get("text")
                if isinstance(text, str):
                    self._outbox.publish({"kind": "filter", "text": text[:1_000]})
                    self._later(lambda: self.set_trait("filter", text[:1_000]))
            case "refresh":
                self._session.refresh()
                self._outbox.publish({"kind": "refreshed", "seq": self._session.seq})
            case _:
                pass
        self._touched = time.monotonic()

    def _later(self, function: Callable[[], Any]) -> None:
        """Traits belong to the loop: another thread could lose or tear them."""
        if self._loop is None or threading.get_ident() == _thread_of(self._loop):
            function()
            return
        with contextlib.suppress(RuntimeError):
            self._loop.call_soon_threadsafe(lambda: self._outbox.run(function))

    # -- in the notebook ------------------------------------------------------------------------------------------

    def __repr__(self) -> str:
        return f"BuildWidget({self._session.root.name if self._session.root else self._session.session_id!r})"

    def _repr_mimebundle_(self, **kwargs: Any) -> Any:
        bundle = super()._repr_mimebundle_(**kwargs)
        data, metadata = bundle if isinstance(bundle, tuple) else (bundle or {}, {})
        state = self._session.snapshot()
        note = "This is a saved picture of it; run the cell again to see the build live."
        return ({**data, "text/plain": _static.to_text(state), "text/html": _static.to_html(state, note)}, metadata)

    def _ipython_display_(self, **_kwargs: Any) -> None:
        """Show the widget so that the saved picture of it can be renewed later."""
        from IPython.display import display

        data, metadata = self._repr_mimebundle_()
        self._display_id = f"buildwidget-{self.model_id}"
        display(data, metadata=metadata, raw=True, display_id=self._display_id)
        self._renewed = time.monotonic()

    def _renew(self, note: str | None = None) -> None:
        """Renew what the saved notebook shows; with a note, the live view gives way to the static table."""
        if self._display_id is None:
            return
        from IPython.display import display

        self._renewed = time.monotonic()
        if note is None:
            data, metadata = self._repr_mimebundle_()
        else:
            state = self._session.snapshot()
            data, metadata = {"text/plain": _static.to_text(state), "text/html": _static.to_html(state, note)}, {}
        try:
            display(data, metadata=metadata, raw=True, display_id=self._display_id, update=True)
        except Exception:
            logger.debug("the picture could not be renewed", exc_info=True)

    def close(self) -> None:
        """Stop following the build; the cell keeps the last state as a table. Can be called again."""
        if self._gone:
            return
        self._gone = True
        self._forget()
        self._session.off_tick(self._outbox.tick)
        self._outbox.publish({"kind": "closed"})
        self._renew("The widget was closed; run the cell again to see the build live.")
        self._callbacks.clear()
        if self._owned:
            _sessions.release(self._session)
        layout = self.layout
        super().close()
        layout.close()  # ipywidgets leaves it, and its comm, to live as long as the kernel


def watch(
    path: str | Path = ".",
    *,
    height: int = 480,
    filter: str = "",  # noqa: A002 (the trait's name)
    poll: bool | None = None,
) -> BuildWidget:
    """Show a build live in this cell.

    Running the cell again replaces the widget it made before; several cells may show the same project.

    Parameters
    ----------
    path
        The project: the folder that holds, or will hold, ``.buildrunner``. A missing one is waited for.
    height
        The largest height of the list of items, in pixels; 0 for as high as it needs.
    filter
        What to show at first: words, and ``status:…``, ``kind:…`` terms.
    poll
        True: scan the files instead of listening to the system (for network drives). None: decide by itself.

    Returns
    -------
    BuildWidget
        Leave it as the last line of the cell to see it.

    Raises
    ------
    NotADirectoryError
        If ``path`` is a file.
    ValueError
        If ``path`` cannot be a path.
    """
    try:
        root = Path(os.path.abspath(Path(path).expanduser()))
        if root.exists() and not root.is_dir():
            raise NotADirectoryError(f"{root} is a file; give the project's folder, the one that holds .buildrunner")
    except (ValueError, RuntimeError) as error:
        raise ValueError(f"{path!r} is no path of a folder: {error}") from None
    if root.name == ".buildrunner":
        root = root.parent
    made = BuildWidget(root, height=height, filter=filter, poll=poll)
    _cells.replace(_cell_id(), made)
    return made


class _Sessions:
    """One session for each project, however many widgets show it."""

    def __init__(self) -> None:
        self._open: dict[tuple[Path, bool | None, int], tuple[BuildSession, int]] = {}
        self._lock = threading.Lock()

    def open(self, root: Path, loop: asyncio.AbstractEventLoop | None, poll: bool | None) -> BuildSession:
        key = (Path(os.path.abspath(root.expanduser())), poll, id(loop))
        with self._lock:
            session, users = self._open.get(key, (None, 0))
            if session is None or session.closed or session.loop is not loop:
                session, users = BuildSession(key[0], poll=poll).open(loop), 0
            self._open[key] = (session, users + 1)
            return session

    def release(self, session: BuildSession) -> None:
        with self._lock:
            key = next((k for k, (known, _) in self._open.items() if known is session), None)
            if key is not None:
                users = self._open[key][1]
                if users > 1:
                    self._open[key] = (session, users - 1)
                    return
                del self._open[key]
        session.close()


class _Cells:
    """The widgets that cells made: a cell that runs again replaces its own, and there is a limit to all of them."""

    LIMIT: Final = 32

    def __init__(self) -> None:
        self._made: OrderedDict[tuple[str, int], BuildWidget] = OrderedDict()
        self._runs: dict[str, object] = {}

    def replace(self, cell: tuple[str, object] | None, made: BuildWidget) -> None:
        if cell is not None:
            name, run = cell
            if self._runs.get(name) != run:  # a new run: what the run before made goes
                self._runs[name] = run
                for key in [k for k in self._made if k[0] == name]:
                    self._made.pop(key).close()
        self._made = OrderedDict((key, widget) for key, widget in self._made.items() if not widget.closed)
        self._made[(cell[0] if cell else "", id(made))] = made
        while len(self._made) > self.LIMIT:
            self._made.popitem(last=False)[1].close()

    def open(self) -> list[BuildWidget]:
        return [widget for widget in self._made.values() if not widget.closed]


def open_widgets() -> list[BuildWidget]:
    """The widgets that `watch` made and that are not closed."""
    return _cells.open()


_sessions = _Sessions()
_cells = _Cells()


def _cell_id() -> tuple[str, object] | None:
    """The notebook cell that runs now and the number of this run, if the front end says so."""
    try:
        from IPython import get_ipython

        shell = get_ipython()
        parent = shell.kernel.get_parent()
        return parent["metadata"]["cellId"], parent["header"]["msg_id"]
    except (ImportError, AttributeError, KeyError, TypeError):  # not in a notebook, or in another one than we know
        return None


def _running_loop() -> asyncio.AbstractEventLoop | None:
    try:
        return asyncio.get_running_loop()
    except RuntimeError:
        return None


def _shown(session: BuildSession) -> str:
    """The project's path as people read it: with ``~``, and without what is no text."""
    if session.root is None:
        return session.session_id
    shown, home = str(session.root), str(Path.home())
    if shown.startswith(home + os.sep):
        shown = "~" + shown[len(home) :]
    return shown.encode("utf-8", "backslashreplace").decode()


def _thread_of(loop: asyncio.AbstractEventLoop) -> int | None:
    return getattr(loop, "_thread_id", None)


def _utc_now() -> Any:
    from datetime import UTC, datetime

    return datetime.now(UTC)

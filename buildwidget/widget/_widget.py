# pyright: basic
# (ipywidgets, anywidget and IPython have no types of their own)
"""`BuildWidget`: a live build in a notebook cell."""

from __future__ import annotations

import asyncio
import contextlib
import os
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final, Literal

import anywidget
import msgspec
import traitlets as t

from .. import __version__
from ..log import Logged
from ..model import State
from ..session import BuildSession
from . import _static
from ._boxes import tables_in_boxes
from ._callbacks import Callbacks
from ._cells import cells
from ._host import is_executed, running
from ._inbox import Inbox
from ._outbox import Outbox
from ._picture import Picture
from ._reading import FINAL, Reading
from ._sessions import sessions

__all__ = ["BuildWidget", "watch"]

# Seconds that `watch` waits for the first reading at most, so that the cell opens with the current state.
FIRST_LOOK: Final = 0.250
SNAPSHOT_EVERY: Final = 1.0  # seconds between two snapshots saved for a page reload

_STATIC = Path(__file__).parent.parent / "static"


def _front_end() -> str | Path:
    path = _STATIC / "widget.js"
    if os.environ.get("ANYWIDGET_HMR") == "1":
        return path
    try:
        return path.read_text("utf-8")  # as text: given a path, anywidget keeps a reference to every widget
    except FileNotFoundError:
        raise ImportError(
            "buildwidget's front end is not built: 'static/widget.js' is missing. In a checkout, run 'make setup'; "
            "otherwise install buildwidget again."
        ) from None


class BuildWidget(Reading, anywidget.AnyWidget):
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
        The initial filter: words, and ``status:…``, ``kind:…`` terms.
    poll
        True: scan the files instead of listening to the system (for network drives). None: detect it.
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
        self._session = session.open(self._loop) if session else sessions.open(Path(path), self._loop, poll)
        self._picture = Picture(self._session, lambda: super(BuildWidget, self)._repr_mimebundle_(), self._wait_loaded)
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
                sessions.release(self._session)
            raise
        self._gone = False
        self._display_name = f"buildwidget-{self.model_id}"  # a closed one has no model
        self._free_replies()
        self._kept = (time.monotonic(), seq)
        self._was_final = state.session.status in FINAL
        self._outbox = Outbox(self._session, self.send)
        self._callbacks = Callbacks(self._report, has_loop=self._loop is not None)
        self._inbox = Inbox(self._session, self._outbox, self._set_later, self._picture.touched)
        self.on_msg(self._receive)
        self._forget = self._session.listen(self._heard)
        self._session.on_tick(self._outbox.tick)
        if self._session.seq != seq:
            self._heard([])

    @property
    def closed(self) -> bool:
        """Whether `close` was called."""
        return self._gone

    @property
    def on_show(self) -> Literal["shown", "gone", "awaited", "none"]:
        """Whether a live view is on show: the last one may be gone, or, just displayed, not have said hello yet."""
        if self._inbox.shown is None:
            return "awaited" if self._picture.live else "none"
        return "shown" if self._inbox.shown else "gone"

    @property
    def abandoned(self) -> bool:
        """Whether the host has closed the connection to the views for good, as marimo does when a cell runs again."""
        return self._gone or bool(getattr(self.comm, "_closed", False))

    # -- callbacks ---------------------------------------------------------------------------------------------------

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
        A function that unregisters the callback; as a decorator, the callback itself.

        Raises
        ------
        ValueError
            If there is no such message type.
        RuntimeError
            If the widget was made outside of an event loop and the callback is a coroutine function: nothing could
            run it. A plain one is called in the watching thread then.
        """
        return self._callbacks.add(event_type, callback)

    # -- from the session -----------------------------------------------------------------------------------------

    def _heard(self, rows: list[Logged]) -> None:
        """Send new messages, in the pumping thread; schedule everything else in the loop."""
        wait = self._outbox.offer()
        loop = self._loop
        if loop is None:
            self._callbacks.call(rows)
            return
        with contextlib.suppress(RuntimeError):  # the loop is closed
            if self._callbacks:
                loop.call_soon_threadsafe(self._callbacks.call, rows)
            if wait is not None:
                loop.call_soon_threadsafe(loop.call_later, wait, self._outbox.flush)
            if not self._keeping:
                self._keeping = True
                loop.call_soon_threadsafe(self._keep)

    def _report(self, text: str) -> None:
        self._outbox.publish({"kind": "notice", "level": "error", "text": text})

    def _packed(self, seq: int, state: State) -> bytes:
        return msgspec.json.encode({"epoch": self._session.epoch, "seq": seq, "state": state})

    def _keep(self) -> None:
        """Save a snapshot for a page reload (in the loop), at most once a second, and at the end of the build."""
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
        if ended:
            self._picture.renew()
        else:
            self._picture.renew_if_old()

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
        if not self._gone:
            self._inbox.receive(content)

    def set_state(self, sync_data: dict[str, Any]) -> None:
        """Set traits from the front end, in any thread; called by the host."""
        self._later(lambda: anywidget.AnyWidget.set_state(self, sync_data))

    def _set_later(self, name: str, value: Any) -> None:
        self._later(lambda: self.set_trait(name, value))

    def _later(self, function: Callable[[], Any]) -> None:
        """Run a function in the loop: traits are not thread-safe."""
        if self._loop is None or _running_loop() is self._loop:
            function()
            return
        with contextlib.suppress(RuntimeError):
            self._loop.call_soon_threadsafe(lambda: self._outbox.run(function))

    # -- in the notebook ------------------------------------------------------------------------------------------

    def __repr__(self) -> str:
        if not self._session.closed:
            self._session.catch_up()
        phrase = _static.to_phrase(self._session.snapshot())
        return f"<BuildWidget {phrase}{'; closed' if self._gone else ''}>"

    def _repr_mimebundle_(self, **kwargs: Any) -> Any:
        return self._picture.bundle(super()._repr_mimebundle_(**kwargs))

    def _ipython_display_(self, **_kwargs: Any) -> None:
        self._picture.display(self._display_name)

    def close(self) -> None:
        """Stop following the build; the cell keeps the last state as a table. Can be called again."""
        if self._gone:
            return
        self._gone = True
        self._forget()
        self._session.off_tick(self._outbox.tick)
        self._outbox.publish({"kind": "closed"})
        self._picture.end()
        self._callbacks.clear()
        if self._owned:
            sessions.release(self._session)
        layout = self.layout
        super().close()
        layout.close()  # ipywidgets does not close it, nor its comm


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
        The initial filter: words, and ``status:…``, ``kind:…`` terms.
    poll
        True: scan the files instead of listening to the system (for network drives). None: detect it.

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
        raise ValueError(f"{path!r} is not a valid path: {error}") from None
    if root.name == ".buildrunner":
        root = root.parent
    made = BuildWidget(root, height=height, filter=filter, poll=poll)
    cells.add(made, running())
    if is_executed():
        tables_in_boxes(BuildWidget)
    return made


def _running_loop() -> asyncio.AbstractEventLoop | None:
    try:
        return asyncio.get_running_loop()
    except RuntimeError:
        return None


def _shown(session: BuildSession) -> str:
    """Return the project's path for display: with ``~``, and with undecodable bytes escaped."""
    if session.root is None:
        return session.session_id
    shown, home = str(session.root), str(Path.home())
    if shown.startswith(home + os.sep):
        shown = "~" + shown[len(home) :]
    return shown.encode("utf-8", "backslashreplace").decode()

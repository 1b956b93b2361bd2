"""Running the application: in the foreground, or in a thread beside a notebook."""

from __future__ import annotations

import asyncio
import contextlib
import html
import logging
import os
import signal
import socket
import threading
from collections.abc import Callable, Generator
from pathlib import Path
from types import FrameType, TracebackType
from typing import Any, Final, Self

import uvicorn
from starlette.applications import Starlette

from ..errors import OptionsError
from ..session import BuildSession
from ._uvicorn import protocols
from .addresses import stream_path
from .app import create_app
from .config import ServerOptions, session_ids
from .listening import announced, inherited, listen
from .logs import configure
from .sessions import Sessions, default_sessions
from .stream import MAX_MESSAGE

__all__ = ["LiveServer", "run", "serve"]

logger = logging.getLogger("buildwidget.server")

START: Final = 10.0  # seconds a server in a thread may take to start
GRACE: Final = 2.0  # seconds for requests that are being answered when it ends
FAREWELL: Final = 10.0  # seconds it may take to end


def run(options: ServerOptions, announce: Callable[[str], None] | None = None) -> int:
    """Serve until SIGINT or SIGTERM, then say goodbye to every client.

    Parameters
    ----------
    options
        What to serve, and how.
    announce
        Called with the address when clients can connect.

    Returns
    -------
    int
        130 after SIGINT, else 0.

    Raises
    ------
    OptionsError
        If the options are unsafe, or the address cannot be used.
    """
    options.check()
    configure(options.log_level, json_lines=options.json_logs)
    _raise_file_limit()
    listeners = inherited(options) or [listen(options)]
    address = announced(listeners, options)
    app = create_app(options=options)
    server = _Server(_config(app, options), app.state.sessions, lambda: announce(address) if announce else None)
    try:
        _run(server.serve(sockets=listeners))
    finally:
        for listener in listeners:
            listener.close()
    if not server.started:
        return 1
    return 130 if server.ended_by == signal.SIGINT else 0


class LiveServer:
    """A server in a thread of its own, with a loop of its own: it goes on while a cell blocks the kernel.

    Attributes
    ----------
    url : str
        The address of the page.
    port : int
        The port that was chosen.
    session_id : str
        The id of the session that it was made for.
    """

    def __init__(self, sessions: Sessions, options: ServerOptions, session_id: str = "") -> None:
        self.session_id, self._options, self._sessions = session_id, options, sessions
        options.check()
        listener = listen(options)
        self.port: int = listener.getsockname()[1]
        self.url = announced([listener], options)
        app = create_app(options=options, sessions=sessions)
        started = threading.Event()
        self._server = _Server(_config(app, options), sessions, started.set)
        self._failure: BaseException | None = None

        def target() -> None:
            try:
                _run(self._server.serve(sockets=[listener]))
            except BaseException as error:  # noqa: BLE001 (told to the one who waits)
                self._failure = error
            finally:
                listener.close()
                started.set()

        self._thread = threading.Thread(target=target, name="buildwidget-server", daemon=True)
        self._thread.start()
        started.wait(START)
        if not self._server.started:
            self.stop()
            raise RuntimeError(f"the server did not start: {self._failure or 'see the log'}")

    @classmethod
    def of_process(cls, *, port: int = 0, **options: Any) -> LiveServer:
        """A server of the sessions that the ``broadcast_*`` functions publish into.

        Parameters
        ----------
        port, **options
            As in `ServerOptions`.
        """
        sessions = default_sessions()
        return cls(sessions, ServerOptions(port=port, open_sessions=True, **options))

    @property
    def stream_url(self) -> str:
        """The address of the WebSocket."""
        return f"{self.url.replace('http', 'ws', 1)}/{stream_path(self.session_id)}"

    @property
    def running(self) -> bool:
        """Whether it still serves."""
        return self._thread.is_alive()

    def stop(self) -> None:
        """Say goodbye to every client and end. Can be called again."""
        self._server.should_exit = True
        if self._thread is not threading.current_thread():
            self._thread.join(FAREWELL)
        self._sessions.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    def __repr__(self) -> str:
        return f"LiveServer({self.url!r}{'' if self.running else ', stopped'})"

    def _repr_html_(self) -> str:
        address = html.escape(self.url)
        if not self.running:
            return f"<p>The server at {address} is stopped.</p>"
        return (
            f'<p>Serving at <a href="{address}" target="_blank" rel="noopener">{address}</a>. '
            f"Programs connect to <code>{html.escape(self.stream_url)}</code></p>"
        )


def serve(
    target: Any = ".",
    *,
    port: int = 0,
    host: str = "127.0.0.1",
    token: str | None = None,
    write_token: str | None = None,
    **options: Any,
) -> LiveServer:
    """Let other programs and browsers follow a build, from this process.

    Parameters
    ----------
    target
        A `BuildWidget` or a `BuildSession`: then clients get the very same session, with its epoch and numbers. Or the
        path of a project.
    port
        0 chooses a free one; see ``.url``.
    host, token, write_token, **options
        As in `ServerOptions`.

    Returns
    -------
    LiveServer
        ``.url`` is the page, ``.stream_url`` the WebSocket; ``.stop()`` ends it.

    Raises
    ------
    OptionsError
        If the options are unsafe, or the address cannot be used.
    """
    chosen = ServerOptions(host=host, port=port, token=token, write_token=write_token, **options)
    session: Any = target if isinstance(target, BuildSession) else getattr(target, "session", None)
    sessions = Sessions(chosen)
    if isinstance(session, BuildSession):
        sessions.add(session)
        session_id = session.session_id
    else:
        path = Path(str(target)).expanduser()
        if not path.is_dir():
            raise OptionsError(f"there is no folder {path}; name the project, or give a widget")
        ((session_id, path),) = session_ids([path]).items()
        sessions.open(session_id, path)
    try:
        return LiveServer(sessions, chosen, session_id)
    except BaseException:
        sessions.close()  # what was opened for this server ends with it; a session of somebody else's goes on
        raise


class _Server(uvicorn.Server):
    """Ends by saying goodbye first; leaves signals alone where they are not ours."""

    def __init__(self, config: uvicorn.Config, sessions: Sessions, ready: Callable[[], None]) -> None:
        super().__init__(config)
        self._sessions, self._ready = sessions, ready
        self.ended_by: int | None = None

    async def main_loop(self) -> None:
        # Ready means that a signal from here on ends it in order. During its start, an older uvicorn would just return.
        _notify_systemd("READY=1")
        self._ready()
        await super().main_loop()

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        _notify_systemd("STOPPING=1")
        for server in self.servers:  # nobody new
            server.close()
        await self._sessions.close_clients()
        timer = asyncio.get_running_loop().call_later(GRACE, self._cut)
        await super().shutdown(sockets=sockets)
        timer.cancel()

    def _cut(self) -> None:
        """End what has not ended by itself: requests that never end, responses that nobody reads."""
        for connection in list(self.server_state.connections):
            connection.transport.abort()

    @contextlib.contextmanager
    def capture_signals(self) -> Generator[None]:
        """SIGINT and SIGTERM end the server, a second one at once; afterwards they mean what they meant before."""
        if threading.current_thread() is not threading.main_thread():
            yield
            return
        before: dict[int, Any] = {}

        def end(number: int, frame: FrameType | None) -> None:  # noqa: ARG001
            if self.should_exit:
                self.force_exit = True
            self.ended_by = self.ended_by or number
            self.should_exit = True

        try:
            for number in (signal.SIGINT, signal.SIGTERM):
                before[number] = signal.signal(number, end)
            yield
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)


def _config(app: Starlette, options: ServerOptions) -> uvicorn.Config:
    http, ws = protocols()
    return uvicorn.Config(
        app,
        http=http,
        ws=ws,
        ws_max_size=MAX_MESSAGE,
        ws_ping_interval=None,  # our own heartbeat does that, and TCP_USER_TIMEOUT ends dead peers
        ws_per_message_deflate=False,  # 70 KiB per client instead of 20
        lifespan="on",
        log_config=None,
        access_log=False,  # addresses may hold tokens
        server_header=False,
        timeout_keep_alive=15,
        timeout_graceful_shutdown=5,
        proxy_headers=bool(options.trusted_proxies),
        forwarded_allow_ips=list(options.trusted_proxies),
        root_path=options.root_path,
        ssl_certfile=options.tls_cert,
        ssl_keyfile=options.tls_key,
    )


def _loop_factory() -> Callable[[], asyncio.AbstractEventLoop]:
    try:
        import uvloop
    except ImportError:  # Windows
        return asyncio.new_event_loop
    return uvloop.new_event_loop


def _run(main: Any) -> None:
    with asyncio.Runner(loop_factory=_loop_factory()) as runner:
        runner.run(main)


def _raise_file_limit() -> None:
    """Each client is an open file; the soft limit of 1,024 is of another time."""
    with contextlib.suppress(ImportError, ValueError, OSError):
        import resource

        _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))


def _notify_systemd(state: str) -> None:
    """Report ``state`` to systemd, if it runs this process with ``Type=notify``."""
    address = os.environ.get("NOTIFY_SOCKET")
    if not address or address[0] not in "/@":
        return
    with contextlib.suppress(OSError), socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as notifier:
        notifier.connect("\0" + address[1:] if address[0] == "@" else address)
        notifier.send(state.encode())

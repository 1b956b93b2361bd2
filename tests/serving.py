"""Real servers for the tests, and clients that fold what they get."""

from __future__ import annotations

import asyncio
import contextlib
import json
import socket
import threading
import time
from collections.abc import Iterator
from typing import Any

import uvicorn
from uvicorn.config import WS_PROTOCOLS
from websockets.asyncio.client import connect as connect_to
from websockets.client import ClientProtocol
from websockets.frames import Frame, Opcode
from websockets.uri import parse_uri

from buildwidget import events as ev
from buildwidget.server import LiveServer, ServerOptions, Sessions, create_app, serve
from buildwidget.session import BuildSession
from buildwidget.state import BuildState

STOCK_WEBSOCKET: Any = "websockets-sansio" if "websockets-sansio" in WS_PROTOCOLS else "auto"


class StockServer:
    """The same application under uvicorn as it comes: no prepared frames."""

    def __init__(self, session: BuildSession, **options: Any) -> None:
        self._options = ServerOptions(port=0, **options)
        sessions = self.sessions = Sessions(self._options)
        sessions.add(session)
        self.session_id = session.session_id
        app = create_app(options=self._options, sessions=sessions)
        listener = socket.create_server(("127.0.0.1", 0))
        self.port = listener.getsockname()[1]
        self.url = f"http://127.0.0.1:{self.port}"
        self.stream_url = f"ws://127.0.0.1:{self.port}/api/build/stream/{self.session_id}"
        config = uvicorn.Config(
            app,
            log_config=None,
            ws=STOCK_WEBSOCKET,
            ws_ping_interval=None,
        )
        self._server = uvicorn.Server(config)
        self._thread = threading.Thread(target=lambda: self._server.run([listener]), daemon=True)
        self._thread.start()
        end = time.monotonic() + 10
        while not self._server.started and time.monotonic() < end:
            time.sleep(0.005)

    def stop(self) -> None:
        self._server.should_exit = True
        self._thread.join(10)


@contextlib.contextmanager
def serving(target: Any, *, stock: bool = False, **options: Any):
    """A server of this session (or path) until the end of the block."""
    server = StockServer(target, **options) if stock else serve(target, **options)
    try:
        yield server
    finally:
        server.stop()


def sessions_of(server: Any) -> Sessions:
    return server._sessions if isinstance(server, LiveServer) else server.sessions


@contextlib.contextmanager
def published(session_id: str = "shop"):
    """A session without files."""
    session = BuildSession(None, session_id=session_id).open()
    try:
        yield session
    finally:
        session.close()


class Folder:
    """A client that keeps the state, and every number it was given."""

    def __init__(self) -> None:
        self.state = BuildState()
        self.epoch: str | None = None
        self.seen: list[int] = []
        self.kinds: list[str] = []
        self.gaps: list[Any] = []

    @property
    def seq(self) -> int:
        return self.state.seq

    def take(self, text: str | bytes) -> dict[str, Any]:
        message = json.loads(text)
        self.kinds.append(message["type"])
        if message.get("seq") is None and message["type"] not in {"pong", "subscribed", "error"}:
            message["seq"] = None
        event = ev.decode(text)
        match event:
            case ev.Connection():
                if event.epoch != self.epoch:
                    self.epoch, self.state = event.epoch, BuildState()
            case ev.Snapshot():
                self.state = BuildState(event.state, event.seq)
                self.epoch = event.epoch
            case ev.Gap():
                self.gaps.append(event)
            case ev.Heartbeat() | ev.Pong() | ev.Subscribed() | ev.StatusReport():
                pass
            case _ if event.seq is not None:
                self.seen.append(event.seq)
                self.state.apply(event)
            case _:
                pass
        return message

    def plain(self) -> Any:
        return json.loads(ev.encode(ev.Snapshot(epoch="", seq=0, state=self.state.snapshot())))["state"]


def plain(session: BuildSession) -> Any:
    """The session's state as parsed JSON."""
    return json.loads(ev.encode(ev.Snapshot(epoch="", seq=0, state=session.snapshot())))["state"]


async def read_until(
    ws: Any, condition: Any, folder: Folder | None = None, seconds: float = 10.0
) -> list[dict[str, Any]]:
    """Messages until one of them (or the folder) satisfies ``condition``."""
    folder = folder or Folder()
    got: list[dict[str, Any]] = []
    async with asyncio.timeout(seconds):
        while True:
            got.append(folder.take(await ws.recv()))
            if condition(got[-1]):
                return got


def of_type(name: str):
    return lambda message: message["type"] == name


def connect(server: Any, query: str = "", **options: Any) -> Any:
    return connect_to(server.stream_url + query, max_size=None, **options)


class Patient:
    """A client that hands on all that it got, in order, and only then tells of the end.

    A connection of an older websockets forgets what lies in its queue when the server says goodbye.
    """

    def __init__(self, url: str) -> None:
        uri = parse_uri(url)
        self._protocol = ClientProtocol(uri, max_size=None)
        self._socket = socket.create_connection((uri.host, uri.port), timeout=20)
        self._protocol.send_request(self._protocol.connect())
        self._flush()

    def _flush(self) -> None:
        for data in self._protocol.data_to_send():
            with contextlib.suppress(OSError):
                if data:
                    self._socket.sendall(data)
                else:
                    self._socket.shutdown(socket.SHUT_WR)

    def _received(self) -> bytes:
        try:
            return self._socket.recv(65_536)
        except ConnectionResetError:  # our answer to a goodbye came when the server had gone; `code` knows
            return b""

    def __iter__(self) -> Iterator[str]:
        """The text of each message, until the connection is closed."""
        with self._socket:
            while data := self._received():
                self._protocol.receive_data(data)
                self._flush()
                for event in self._protocol.events_received():
                    if isinstance(event, Frame) and event.opcode is Opcode.TEXT:
                        yield bytes(event.data).decode()
            self._protocol.receive_eof()

    @property
    def code(self) -> int | None:
        """How the server closed it."""
        return self._protocol.close_code

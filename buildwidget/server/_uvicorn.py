"""Choose the protocol classes for uvicorn: the extended ones if they work with this version, else uvicorn's own.

The classes that are extended are not public API of uvicorn. So a short conversation is held in memory first, and its
output is compared with the expected bytes.
"""

from __future__ import annotations

import contextlib
import functools
import importlib
import logging
import socket
from collections.abc import Callable, Coroutine, Generator
from typing import Any, Final, cast

import uvicorn
from uvicorn.server import ServerState

from .wire import ABORT, EXTENSION, Batch, text_frame

__all__ = ["protocols"]

logger = logging.getLogger("buildwidget.server")

DEAD_MS: Final = 60_000  # without a TCP acknowledgement, after which the peer counts as gone

_REQUEST: Final = (
    b"GET /x HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
    b"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n"
)
_ACCEPTED: Final = b"s3pPLMBiTxaQ9kYGzzhZRbK+xOo="  # the answer to that key (RFC 6455, 1.3)
_PING: Final = b"\x89\x81\0\0\0\0p"
_PONG: Final = b"\x8a\x01p"
_HI: Final = b"\x81\x82\0\0\0\0hi"
_CLOSE: Final = b"\x88\x82\0\0\0\0\x03\xe8"
_CLOSED: Final = b"\x88\x02\x03\xe8"


@functools.cache
def protocols() -> tuple[Any, Any]:
    """Return the arguments ``http`` and ``ws`` of ``uvicorn.Config``."""
    http = _load_if_working("_http", "HttpProtocol", _try_http)
    ws = _load_if_working("_frames", "WebSocketProtocol", _try_websocket)
    if http is None or ws is None:
        logger.info(
            "uvicorn %s does not support the fast path: WebSockets use the slower fallback", uvicorn.__version__
        )
    return http or "auto", ws or plain_websocket()


@functools.cache
def plain_websocket() -> Any:
    """Return uvicorn's default WebSocket class, extended so that the application can abort a connection."""
    config = uvicorn.Config(_empty_app, ws="auto", log_config=None)
    config.load()
    base: Any = config.ws_protocol_class
    if base is None:
        return "auto"

    def connection_made(self: Any, transport: Any) -> None:
        base.connection_made(self, transport)
        app = self.app

        async def with_abort(scope: Any, receive: Any, send: Any) -> None:
            scope.setdefault("extensions", {})[ABORT] = transport.abort
            await app(scope, receive, send)

        self.app = with_abort
        connection = transport.get_extra_info("socket")
        if connection is not None and hasattr(socket, "TCP_USER_TIMEOUT"):
            with contextlib.suppress(OSError):
                connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, DEAD_MS)

    # Read nothing while the socket is full: else uvicorn's own answers, such as pongs, could pile up.
    def pause_writing(self: Any) -> None:
        base.pause_writing(self)
        if hasattr(self, "read_paused"):
            self.transport.pause_reading()

    def resume_writing(self: Any) -> None:
        base.resume_writing(self)
        if not getattr(self, "read_paused", True):
            self.transport.resume_reading()

    methods = (connection_made, pause_writing, resume_writing)
    return type("PlainWebSocketProtocol", (base,), {method.__name__: method for method in methods})


def _load_if_working(module: str, name: str, check: Callable[[Any], bool]) -> Any | None:
    try:
        protocol = getattr(importlib.import_module(f".{module}", __package__), name)
        with _logging_off():
            works = check(protocol)
        if works:
            return protocol
        logger.debug("%s does not produce the expected bytes with uvicorn %s", name, uvicorn.__version__)
    except Exception as error:  # noqa: BLE001 (any error of an incompatible uvicorn)
        logger.debug("%s cannot be used with uvicorn %s: %r", name, uvicorn.__version__, error)
    return None


@contextlib.contextmanager
def _logging_off() -> Generator[None]:
    """Disable the loggers while the test conversations run."""
    names = ("buildwidget.server", "buildwidget.server.wire", "uvicorn.error")
    loggers = [one for one in map(logging.getLogger, names) if not one.disabled]
    for one in loggers:
        one.disabled = True
    try:
        yield
    finally:
        for one in loggers:
            one.disabled = False


# -- conversations in memory -----------------------------------------------------------------------------------------


async def _empty_app(scope: Any, receive: Any, send: Any) -> None:
    """An application that does nothing."""


def _try_websocket(protocol: Any) -> bool:
    """Try a handshake, a prepared frame, a message and its answer, a ping, a full socket, and a close."""
    got: list[Any] = []

    async def app(scope: Any, receive: Any, send: Any) -> None:
        got.append((await receive())["type"])
        await send({"type": "websocket.accept"})
        writer = scope["extensions"][EXTENSION]()
        got.append(writer)
        writer.write(Batch([b"one"]))
        made.data_received(_HI)
        got.append((await receive())["text"])
        await send({"type": "websocket.send", "text": "two"})
        await _Never()

    loop, transport = _Loop(), _Transport()
    made = protocol(config=_config(app), server_state=ServerState(), app_state={}, _loop=loop)
    made.connection_made(transport)
    made.data_received(_REQUEST + b"\r\n")
    loop.run()
    made.data_received(_PING)
    said = transport.said()
    if not (_ACCEPTED in said and said.endswith(text_frame(b"one") + text_frame(b"two") + _PONG)):
        return False
    writer = got[1]
    made.pause_writing()
    made.data_received(_PING)
    writer.write(Batch([b"three"]))
    if transport.said() or not writer.paused:
        return False
    made.resume_writing()
    if transport.said() != text_frame(b"three") + _PONG or writer.paused:
        return False
    made.data_received(_CLOSE)
    made.connection_lost(None)
    loop.close()
    return got[0] == "websocket.connect" and got[2] == "hi" and transport.said() == _CLOSED and bool(writer.closed)


def _try_http(protocol: Any) -> bool:
    """Try a request; an upgrade with a body, which must be refused; and an upgrade, which must be handed on."""
    got: list[Any] = []

    async def app(scope: Any, _: Any, send: Any) -> None:
        got.append(scope["path"])
        await send({"type": "http.response.start", "status": 204, "headers": []})
        await send({"type": "http.response.body", "body": b""})

    class Socket:
        def __init__(self, **kwargs: Any) -> None: ...
        def connection_made(self, transport: Any) -> None: ...
        def data_received(self, data: bytes) -> None:
            got.append(data)

    def talk(data: bytes) -> bytes:
        loop, transport = _Loop(), _Transport()
        config = _config(app)
        config.ws_protocol_class = cast("Any", Socket)
        made = protocol(config=config, server_state=ServerState(), app_state={}, _loop=loop)
        made.connection_made(transport)
        made.data_received(data)
        loop.run()
        made.connection_lost(None)
        loop.close()
        if loop.waiting:
            raise RuntimeError("a timer is still running after the connection was lost")
        return transport.said()

    fine = b" 204 " in talk(b"GET /x HTTP/1.1\r\nHost: x\r\n\r\n") and got == ["/x"]
    return (
        fine
        and b" 400 " in talk(_REQUEST + b"Content-Length: 9\r\n\r\n")
        and got == ["/x"]
        and not talk(_REQUEST + b"\r\n")
        and b"Upgrade: websocket".lower() in got[1].lower()
    )


def _config(app: Any) -> uvicorn.Config:
    config = uvicorn.Config(
        app, http="httptools", ws="none", log_config=None, lifespan="off", ws_ping_interval=None,
        ws_per_message_deflate=False, access_log=False,
    )  # fmt: skip
    config.load()
    return config


class _Timer:
    def __init__(self, loop: _Loop) -> None:
        self._loop = loop
        loop.waiting.add(self)

    def cancel(self) -> None:
        self._loop.waiting.discard(self)


class _Never:
    """An awaitable that never completes."""

    def __await__(self) -> Generator[None]:
        yield


class _Task:
    def add_done_callback(self, act: Any) -> None: ...


class _Loop:
    """A minimal event loop: it runs each task to its first wait and fires no timer."""

    def __init__(self) -> None:
        self._tasks: list[Coroutine[Any, Any, None]] = []
        self.waiting: set[_Timer] = set()

    def create_task(self, task: Coroutine[Any, Any, None], **_: Any) -> _Task:
        self._tasks.append(task)
        return _Task()

    def call_later(self, *_: Any) -> _Timer:
        return _Timer(self)

    def time(self) -> float:
        return 0.0

    def run(self) -> None:
        for task in self._tasks:
            try:
                task.send(None)
            except StopIteration:
                continue

    def close(self) -> None:
        for task in self._tasks:
            task.close()


class _Transport:
    """A transport that accepts and records everything."""

    def __init__(self) -> None:
        self._said = b""
        self._closing = False

    def said(self) -> bytes:
        said, self._said = self._said, b""
        return said

    def write(self, data: Any) -> None:
        self._said += bytes(data)

    def get_extra_info(self, name: str, default: Any = None) -> Any:
        return ("127.0.0.1", 1) if name in {"sockname", "peername"} else default

    def get_write_buffer_size(self) -> int:
        return 0

    def set_write_buffer_limits(self, high: int | None = None, low: int | None = None) -> None: ...
    def set_protocol(self, protocol: Any) -> None: ...
    def pause_reading(self) -> None: ...
    def resume_reading(self) -> None: ...

    def is_closing(self) -> bool:
        return self._closing

    def close(self) -> None:
        self._closing = True

    abort = close

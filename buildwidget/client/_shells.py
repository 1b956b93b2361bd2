"""The two shells around the core: for asyncio, and for programs without a loop."""

from __future__ import annotations

import asyncio
import contextlib
import json
import threading
import time
from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from types import TracebackType
from typing import Any, Final, Self, cast

from websockets.asyncio.client import ClientConnection
from websockets.asyncio.client import connect as ws_connect
from websockets.exceptions import WebSocketException
from websockets.sync import client as ws_sync
from websockets.sync.client import ClientConnection as SyncConnection

from ..model import State
from ._core import Core, Place, post, sessions

__all__ = ["Stream", "SyncStream", "apublish", "connect", "connect_sync", "list_sessions", "publish"]

_BROKEN: Final = (OSError, WebSocketException, TimeoutError, EOFError)
_SOCKET: Final[dict[str, Any]] = {
    "max_size": None,  # a snapshot is as large as the build
    "compression": None,
    "open_timeout": 10,
    "close_timeout": 1,
    "ping_interval": None,  # the server's heartbeat does that
    "user_agent_header": "buildwidget-client",
}


def list_sessions(url: str, *, token: str | None = None) -> list[dict[str, Any]]:
    """The sessions of a server, as ``GET /api/build/sessions`` gives them.

    Raises
    ------
    ClientError
        If it cannot be asked.
    """
    return sessions(Place.of(url, token))


def publish(
    url: str,
    messages: Mapping[str, Any] | Sequence[Mapping[str, Any]],
    *,
    token: str | None = None,
    session: str | None = None,
) -> int:
    """Publish messages into a session of a running server; returns the number of the newest.

    Parameters
    ----------
    url
        Any address of the server; with one session, its base is enough.
    messages
        One message of the protocol, or at most 1,000.
    token
        The server's write token.
    session
        The session's id, if the address does not say it.

    Raises
    ------
    ClientError
        If the server cannot be reached or does not take them.
    """
    return post(Place.of(url, token, session).with_session(), messages)


async def apublish(
    url: str,
    messages: Mapping[str, Any] | Sequence[Mapping[str, Any]],
    *,
    token: str | None = None,
    session: str | None = None,
) -> int:
    """`publish`, without holding up the event loop."""
    return await asyncio.to_thread(publish, url, messages, token=token, session=session)


class _Common:
    """What both streams tell."""

    _core: Core | None

    def _known(self) -> Core:
        if self._core is None:
            raise RuntimeError("the stream is not open; use it in a 'with' block")
        return self._core

    @property
    def epoch(self) -> str | None:
        """The log that the numbers belong to."""
        return self._core.epoch if self._core else None

    @property
    def seq(self) -> int:
        """The number of the newest message taken in."""
        return self._core.seq if self._core else 0

    @property
    def newest(self) -> int:
        """The number of the newest message there is, as far as the server has said."""
        return self._core.newest if self._core else 0

    def snapshot(self) -> State:
        """The present state."""
        return self._known().snapshot()


class Stream(_Common):
    """The messages of one session, for asyncio. Made by `connect`."""

    def __init__(self, place: Place, timeout: float, options: dict[str, Any]) -> None:
        self._place, self._timeout, self._options = place, timeout, options
        self._core = None
        self._socket: ClientConnection | None = None
        self._closed = False

    async def __aenter__(self) -> Self:
        place = await asyncio.to_thread(self._place.with_session)
        self._core = Core(place, **self._options)
        end = time.monotonic() + self._timeout
        while self._socket is None:
            try:
                self._socket = await self._open(self._core)
            except _BROKEN as error:
                pause = self._core.failed(error)
                if time.monotonic() + pause > end:
                    raise self._core.meaning(error) from None
                await asyncio.sleep(pause)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()

    @staticmethod
    async def _open(core: Core) -> ClientConnection:
        return await ws_connect(core.url, additional_headers=core.place.headers, **_SOCKET)

    def __aiter__(self) -> AsyncIterator[Any]:
        return self

    async def __anext__(self) -> Any:
        core = self._known()
        while not self._closed:
            try:
                if self._socket is None:
                    self._socket = await self._open(core)
                async with asyncio.timeout(core.patience):
                    text = await self._socket.recv()
            except _BROKEN as error:
                if self._closed:
                    break
                await self._drop()
                await asyncio.sleep(core.failed(error))
                continue
            message = core.take(text)
            if message is not None:
                return message
        raise StopAsyncIteration

    async def _drop(self) -> None:
        socket, self._socket = self._socket, None
        if socket is not None:
            socket.transport.abort()

    async def send(self, message: Mapping[str, Any]) -> None:
        """Send a client message; its answer comes with the others (see ``raw``).

        Raises
        ------
        ConnectionFailedError
            If the stream is broken at the moment.
        """
        core = self._known()
        try:
            if self._socket is None:
                raise ConnectionError("it is broken at the moment")
            await self._socket.send(json.dumps(message))
        except _BROKEN as error:
            raise core.meaning(error) from None

    async def subscribe(
        self, topics: Sequence[str], components: Sequence[str] | None = None, min_level: str | None = None
    ) -> None:
        """Hear of other things from now on, also after the next reconnection."""
        core = self._known()
        core.filter = {"topics": list(topics), "components": components, "min_level": min_level}
        await self.send({"type": "subscribe", **{k: v for k, v in core.filter.items() if v is not None}})

    async def close(self) -> None:
        """End it. Can be called again."""
        self._closed = True
        socket, self._socket = self._socket, None
        if socket is not None:
            with contextlib.suppress(*_BROKEN):
                await socket.close()


class SyncStream(_Common):
    """The messages of one session, for programs without an event loop. Made by `connect_sync`."""

    def __init__(self, place: Place, timeout: float, options: dict[str, Any]) -> None:
        self._place, self._timeout, self._options = place, timeout, options
        self._core = None
        self._socket: SyncConnection | None = None
        self._closing = threading.Event()

    def __enter__(self) -> Self:
        self._core = Core(self._place.with_session(), **self._options)
        end = time.monotonic() + self._timeout
        while self._socket is None:
            try:
                self._socket = self._open(self._core)
            except _BROKEN as error:
                pause = self._core.failed(error)
                if time.monotonic() + pause > end:
                    raise self._core.meaning(error) from None
                self._closing.wait(pause)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    @staticmethod
    def _open(core: Core) -> SyncConnection:
        # Not every version wants it entered, but all let it be; `close` is its exit.
        opened: Any = cast("Any", ws_sync).connect(core.url, additional_headers=core.place.headers, **_SOCKET)
        connection: SyncConnection = opened.__enter__()
        return connection

    def __iter__(self) -> Iterator[Any]:
        return self

    def __next__(self) -> Any:
        core = self._known()
        while not self._closing.is_set():
            try:
                if self._socket is None:
                    self._socket = self._open(core)
                text = self._socket.recv(timeout=core.patience)
            except _BROKEN as error:
                if self._closing.is_set():
                    break
                self._drop()
                self._closing.wait(core.failed(error))
                continue
            message = core.take(text)
            if message is not None:
                return message
        raise StopIteration

    def _drop(self) -> None:
        socket, self._socket = self._socket, None
        if socket is not None:
            with contextlib.suppress(*_BROKEN):
                socket.socket.close()

    def send(self, message: Mapping[str, Any]) -> None:
        """Send a client message; its answer comes with the others (see ``raw``).

        Raises
        ------
        ConnectionFailedError
            If the stream is broken at the moment.
        """
        core = self._known()
        try:
            if self._socket is None:
                raise ConnectionError("it is broken at the moment")
            self._socket.send(json.dumps(message))
        except _BROKEN as error:
            raise core.meaning(error) from None

    def subscribe(
        self, topics: Sequence[str], components: Sequence[str] | None = None, min_level: str | None = None
    ) -> None:
        """Hear of other things from now on, also after the next reconnection."""
        core = self._known()
        core.filter = {"topics": list(topics), "components": components, "min_level": min_level}
        self.send({"type": "subscribe", **{k: v for k, v in core.filter.items() if v is not None}})

    def close(self) -> None:
        """End it, from any thread. Can be called again."""
        self._closing.set()
        socket, self._socket = self._socket, None
        if socket is not None:
            with contextlib.suppress(*_BROKEN):
                socket.close()


def connect(
    url: str, *, token: str | None = None, session: str | None = None, timeout: float = 10.0, **options: Any
) -> Stream:
    """Follow a session of a server; use the result with ``async with`` and ``async for``.

    Parameters
    ----------
    url
        ``http://host:port`` (with one session), ``…/?session=ID`` or ``…/api/build/stream/ID``; http, https, ws or wss,
        with any path prefix. ``?token=…`` in it is shown to the server as a header only.
    token
        What the server asks for; else BUILDWIDGET_TOKEN of the environment.
    session
        The session's id, if the address does not say it.
    timeout
        Seconds the first connection may take.
    **options
        ``epoch`` and ``since`` (go on after that message), ``topics``, ``components`` and ``min_level`` (the filter),
        ``raw`` (yield messages about the connection too), ``reconnect`` (default True), ``max_backoff`` (seconds).

    Returns
    -------
    Stream
        Yields the numbered messages, typed as in `buildwidget.events`, each once. It connects again by itself and goes
        on where it stopped; ``snapshot()``, ``epoch`` and ``seq`` are always of one moment.

    Raises
    ------
    ClientError
        When used: AuthError, NoSuchSessionError, or ConnectionFailedError if it cannot be reached in time.
    """
    return Stream(Place.of(url, token, session), timeout, options)


def connect_sync(
    url: str, *, token: str | None = None, session: str | None = None, timeout: float = 10.0, **options: Any
) -> SyncStream:
    """`connect` for programs without an event loop: ``with`` and ``for``."""
    return SyncStream(Place.of(url, token, session), timeout, options)

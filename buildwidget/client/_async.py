"""The stream client for asyncio."""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator, Mapping, Sequence
from types import TracebackType
from typing import Any, Self

from websockets.asyncio.client import ClientConnection
from websockets.asyncio.client import connect as ws_connect

from ._core import Core
from ._http import with_session
from ._place import Place
from ._refusals import as_client_error
from ._stream_base import BROKEN, SOCKET, StreamBase

__all__ = ["Stream", "connect"]


class Stream(StreamBase):
    """The messages of one session, for asyncio. Made by `connect`."""

    def __init__(self, place: Place, timeout: float, **options: Any) -> None:
        super().__init__(place, timeout, **options)
        self._socket: ClientConnection | None = None
        self._closed = False

    async def __aenter__(self) -> Self:
        core = self._open_core(await asyncio.to_thread(with_session, self._place))
        loop = asyncio.get_running_loop()
        end = loop.time() + self._timeout
        while self._socket is None:
            try:
                self._socket = await self._open(core)
            except BROKEN as error:
                pause = self._retry_delay(core, error, opened=False)
                if loop.time() + pause > end:
                    raise as_client_error(core.place, error) from None
                await asyncio.sleep(pause)
        await self._await_state(core, self._socket, end - loop.time())
        return self

    async def _await_state(self, core: Core, socket: ClientConnection, patience: float) -> None:
        """Wait for the first snapshot, so that `snapshot` has the build from the start."""
        with contextlib.suppress(*BROKEN):  # the next message is asked for in the same way, and then it is said
            async with asyncio.timeout(patience):
                while not core.is_current:
                    self._ready.extend(core.receive(await socket.recv()))

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()

    @staticmethod
    async def _open(core: Core) -> ClientConnection:
        # The server sends heartbeats, so the client need not send pings.
        return await ws_connect(core.url, additional_headers=core.place.headers, ping_interval=None, **SOCKET)

    def __aiter__(self) -> AsyncIterator[Any]:
        return self

    async def __anext__(self) -> Any:
        core = self._require_core()
        while not self._closed:
            if self._ready:
                return self._next_ready()
            try:
                if self._socket is None:
                    self._socket = await self._open(core)
                async with asyncio.timeout(core.patience):
                    text = await self._socket.recv()
            except BROKEN as error:
                if self._closed:
                    break
                self._drop()
                await asyncio.sleep(self._retry_delay(core, error))
                continue
            self._ready.extend(core.receive(text))
            self._report_connected()
        raise StopAsyncIteration

    def _drop(self) -> None:
        socket, self._socket = self._socket, None
        if socket is not None:
            socket.transport.abort()

    async def send(self, message: Mapping[str, Any]) -> None:
        """Send a client message; its answer comes with the others (see ``raw``).

        Raises
        ------
        ConnectionFailedError
            If the stream is not connected at the moment.
        """
        core = self._require_core()
        try:
            if self._socket is None:
                raise ConnectionError("the stream is not connected at the moment")
            await self._socket.send(json.dumps(message))
        except BROKEN as error:
            raise as_client_error(core.place, error) from None

    async def subscribe(
        self, topics: Sequence[str], components: Sequence[str] | None = None, min_level: str | None = None
    ) -> None:
        """Replace the filter, for this connection and every later one."""
        await self.send(self._subscription(self._require_core(), topics, components, min_level))

    async def close(self) -> None:
        """Close the stream. Can be called again."""
        self._closed = True
        socket, self._socket = self._socket, None
        if socket is not None:
            with contextlib.suppress(*BROKEN):
                await socket.close()


def connect(
    url: str, *, token: str | None = None, session: str | None = None, timeout: float = 10.0, **options: Any
) -> Stream:
    """Follow a session of a server; use the result with ``async with`` and ``async for``.

    Parameters
    ----------
    url
        ``http://host:port`` (with one session), ``…/?session=ID`` or ``…/api/build/stream/ID``; http, https, ws or wss,
        with any path prefix. A ``?token=…`` in it is sent as a header only.
    token
        The server's read token; by default the environment variable BUILDWIDGET_TOKEN.
    session
        The session's id, if the address does not name it.
    timeout
        Seconds the first connection may take.
    **options
        ``epoch`` and ``since`` (resume after that message; the state then holds only later messages), ``topics``,
        ``components`` and ``min_level`` (the filter), ``raw`` (yield messages about the connection too), ``reconnect``
        (default True), ``max_backoff`` (seconds), and

        - ``on_gap``: what to do when messages are lost, because this client was away or slow for too long, or because
          the server has begun a new log (``from_seq`` of the gap is None then). ``"message"``, the default, yields the
          `Gap`; ``"raise"`` raises a `GapError`, after which iteration can continue. Either way the state is complete
          again by then.
        - ``on_connection``: callback; gets a `ClientError` when the connection breaks, and None when it is
          re-established.

    Returns
    -------
    Stream
        Yields the numbered messages, typed as in `buildwidget.events`, each once, and a `Gap` where some are lost. It
        reconnects by itself and resumes where it stopped; ``snapshot()``, ``epoch`` and ``seq`` always belong to the
        same message.

    Raises
    ------
    ClientError
        When used: AuthError, NoSuchSessionError, ConnectionFailedError if the server cannot be reached in time, or
        GapError.
    """
    return Stream(Place.of(url, token, session), timeout, **options)

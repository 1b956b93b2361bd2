"""How messages reach a client: prepared WebSocket frames where the server can write them, ASGI messages elsewhere.

A frame to a client is never masked (RFC 6455, 5.1), so the same bytes suit all clients: they are made once.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable, MutableMapping, Sequence
from functools import cached_property
from struct import pack
from typing import Any, Final, Protocol

__all__ = [
    "EXTENSION",
    "AsgiWriter",
    "Batch",
    "TaskWriter",
    "Writer",
    "binary_frame",
    "nothing",
    "text_frame",
    "writer_of",
]

EXTENSION: Final = "buildwidget.frames"  # in the scope's extensions: a server that writes prepared frames

MAY_WAIT: Final = 256 * 1024  # bytes that wait for a task to send them before their client counts as slow

_Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]


def text_frame(payload: bytes) -> bytes:
    """One whole text message as a WebSocket frame (RFC 6455, 5.2): final, opcode 1, not masked."""
    return _frame(b"\x81", payload)


def binary_frame(payload: bytes) -> bytes:
    """One whole binary message as a WebSocket frame: opcode 2."""
    return _frame(b"\x82", payload)


def _frame(first: bytes, payload: bytes) -> bytes:
    size = len(payload)
    if size < 126:
        return first + bytes((size,)) + payload
    if size < 65_536:
        return first + b"\x7e" + pack("!H", size) + payload
    return first + b"\x7f" + pack("!Q", size) + payload


class Batch:
    """Messages that go out together, made once and written to many clients.

    Parameters
    ----------
    messages
        The JSON of each, UTF-8.
    """

    def __init__(self, messages: Sequence[bytes]) -> None:
        self.messages = messages

    @cached_property
    def size(self) -> int:
        """Bytes of JSON."""
        return sum(map(len, self.messages))

    @cached_property
    def frames(self) -> bytes:
        """All messages as WebSocket frames, one after the other."""
        return b"".join(map(text_frame, self.messages))

    @cached_property
    def texts(self) -> list[str]:
        """The messages as text, for servers that make frames themselves."""
        return [message.decode() for message in self.messages]


class Writer(Protocol):
    """One client's way out. Its methods are called in the loop; none of them blocks or raises."""

    raw: Callable[[bytes], object] | None
    """Writes prepared frames; to be called only while neither ``paused`` nor ``closed``. None on the ASGI path."""
    paused: bool
    """Bytes are waiting: the client does not keep up. Write nothing more; ``on_resumed`` comes when all are gone."""
    closed: bool
    on_paused: Callable[[], None]
    on_resumed: Callable[[], None]
    on_closed: Callable[[], None]

    @property
    def buffered(self) -> int:
        """Bytes that wait here."""
        ...

    def write(self, batch: Batch) -> None:
        """Write messages; nothing happens once it is closed."""
        ...

    def close(self, code: int, reason: str = "") -> None:
        """Say goodbye, then end. Can be called again."""
        ...

    def abort(self) -> None:
        """End at once, whatever waits."""
        ...


def nothing() -> None:
    """What a writer calls while nobody has asked to be told."""


class TaskWriter:
    """A writer on any ASGI server: a task sends what waits, and lives only as long as something does."""

    def __init__(self, send: _Send) -> None:
        self.raw: Callable[[bytes], object] | None = None
        self._send = send
        self.paused = self.closed = False
        self.buffered = 0
        self.on_paused: Callable[[], None] = nothing
        self.on_resumed: Callable[[], None] = nothing
        self.on_closed: Callable[[], None] = nothing
        self._waiting: deque[tuple[MutableMapping[str, Any], int]] = deque()
        self._task: asyncio.Task[None] | None = None
        self._owner = asyncio.current_task()  # serves this client; ends with it
        self.aborted = False

    def messages(self, batch: Batch) -> list[tuple[MutableMapping[str, Any], int]]:
        """The ASGI messages of a batch, and the size of each."""
        raise NotImplementedError

    def farewell(self, code: int, reason: str) -> MutableMapping[str, Any]:
        """The ASGI message that ends the stream."""
        raise NotImplementedError

    def write(self, batch: Batch) -> None:
        """Send these messages after what waits."""
        if not self.closed:
            self._put(self.messages(batch))

    def close(self, code: int, reason: str = "") -> None:
        """End the stream when everything is sent. Can be called again."""
        if not self.closed:
            self.closed = True
            self._put([(self.farewell(code, reason), 0)])
            self.on_closed()

    def abort(self) -> None:
        """Stop sending and serving now."""
        self.closed = self.aborted = True
        self._waiting.clear()
        for task in (self._task, self._owner):
            if task is not None and task is not asyncio.current_task():
                task.cancel()
        self.on_closed()

    def _put(self, messages: list[tuple[MutableMapping[str, Any], int]]) -> None:
        self._waiting += messages
        self.buffered += sum(size for _, size in messages)
        if self._task is None:
            self._task = asyncio.get_running_loop().create_task(self._drain())
        if self.buffered > MAY_WAIT and not self.paused:
            self.paused = True
            self.on_paused()

    async def _drain(self) -> None:
        try:
            while self._waiting:
                message, size = self._waiting.popleft()
                await self._send(message)
                self.buffered -= size
        except Exception:  # noqa: BLE001 (whatever a server raises when its client is gone)
            self._waiting.clear()
            self.closed = True
            self.on_closed()
            return
        finally:
            self._task = None
        if self.paused:
            self.paused = False
            if not self.closed:
                self.on_resumed()


class AsgiWriter(TaskWriter):
    """WebSocket messages on any ASGI server."""

    def messages(self, batch: Batch) -> list[tuple[MutableMapping[str, Any], int]]:
        """One ASGI message for each."""
        return [({"type": "websocket.send", "text": text}, len(text)) for text in batch.texts]

    def farewell(self, code: int, reason: str) -> MutableMapping[str, Any]:
        """The closing handshake."""
        return {"type": "websocket.close", "code": code, "reason": reason}


def writer_of(scope: MutableMapping[str, Any], send: _Send) -> Writer:
    """The best writer for a WebSocket that was accepted."""
    extensions: MutableMapping[str, Any] = scope.get("extensions") or {}
    offered: Callable[[], Writer] | None = extensions.get(EXTENSION)
    return AsgiWriter(send) if offered is None else offered()

"""How messages reach a client: prepared WebSocket frames where the server can write them, ASGI messages elsewhere.

A frame to a client is never masked (RFC 6455, 5.1), so the same bytes suit all clients: they are made once. What is big
is handed to a socket slice by slice, as it drains; all that wait for it share the same bytes.
"""

from __future__ import annotations

import asyncio
import contextlib
import functools
from collections import deque
from collections.abc import Awaitable, Callable, Iterable, Iterator, MutableMapping, Sequence
from functools import cached_property
from struct import pack
from typing import Any, Final, Protocol

from .budget import Budget

__all__ = [
    "ABORT",
    "EXTENSION",
    "SLICE",
    "AsgiWriter",
    "Batch",
    "Message",
    "TaskWriter",
    "Writer",
    "abort_of",
    "binary_frame",
    "do_nothing",
    "in_slices",
    "parts_of",
    "text_frame",
    "writer_of",
]

EXTENSION: Final = "buildwidget.frames"  # in the scope's extensions: a server that writes prepared frames
ABORT: Final = "buildwidget.abort"  # there too: ends the connection, whatever its socket has not taken

SLICE: Final = 64 * 1024  # bytes that a socket is given at a time
MAY_WAIT: Final = 256 * 1024  # bytes that wait for a task to send them before their client counts as slow
COPIES: Final = 3  # of a whole message, that a server may keep until its client has read it
WITNESS: Final = 120.0  # seconds that a message may lie in a server's buffer and be counted

_Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]

_Made = tuple[Callable[[], MutableMapping[str, Any]], int]
"""An ASGI message that is made when its turn comes, and its size."""

Message = bytes | tuple[bytes, ...]
"""The JSON of one message, UTF-8: whole, or in parts, of which the big one is shared with others."""


def parts_of(message: Message) -> tuple[bytes, ...]:
    """A message in the parts that it has."""
    return (message,) if isinstance(message, bytes) else message


def size_of(message: Message) -> int:
    """Bytes of a message."""
    return len(message) if isinstance(message, bytes) else sum(map(len, message))


def in_slices(pieces: Iterable[bytes]) -> Iterator[bytes | memoryview]:
    """The same bytes, small pieces joined and big ones cut: at most `SLICE` at a time. Nothing big is copied."""
    small: list[bytes] = []
    size = 0
    for piece in pieces:
        if size + len(piece) > SLICE:
            if small:
                yield b"".join(small)
            small, size = [], 0
            if len(piece) > SLICE:
                view = memoryview(piece)
                for at in range(0, len(piece), SLICE):
                    yield view[at : at + SLICE]
                continue
        small.append(piece)
        size += len(piece)
    if small:
        yield b"".join(small)


def text_frame(payload: bytes) -> bytes:
    """One whole text message as a WebSocket frame (RFC 6455, 5.2): final, opcode 1, not masked."""
    return _head(b"\x81", len(payload)) + payload


def binary_frame(payload: bytes) -> bytes:
    """One whole binary message as a WebSocket frame: opcode 2."""
    return _head(b"\x82", len(payload)) + payload


def _head(first: bytes, size: int) -> bytes:
    if size < 126:
        return first + bytes((size,))
    if size < 65_536:
        return first + b"\x7e" + pack("!H", size)
    return first + b"\x7f" + pack("!Q", size)


class Batch:
    """Messages that go out together, made once and written to many clients.

    Parameters
    ----------
    messages
        The JSON of each, UTF-8.
    """

    def __init__(self, messages: Sequence[Message]) -> None:
        self.messages = messages

    @cached_property
    def size(self) -> int:
        """Bytes of JSON."""
        return sum(map(size_of, self.messages))

    @cached_property
    def frames(self) -> bytes:
        """All messages as WebSocket frames, one after the other."""
        return b"".join(self._framed())

    def slices(self) -> Iterator[bytes | memoryview]:
        """The same, a slice at a time."""
        return in_slices(self._framed())

    def _framed(self) -> Iterator[bytes]:
        for message in self.messages:
            yield _head(b"\x81", size_of(message))
            yield from parts_of(message)

    @cached_property
    def texts(self) -> list[str]:
        """The messages as text, for servers that make frames themselves."""
        return [b"".join(parts_of(message)).decode() for message in self.messages]


class Writer(Protocol):
    """One client's way out. Its methods are called in the loop; none of them raises."""

    raw: Callable[[bytes], object] | None
    """Writes prepared frames; to be called only while neither ``paused`` nor ``closed``. None on the ASGI path."""
    paused: bool
    """Bytes are waiting: the client does not keep up. Write nothing more; ``on_resumed`` comes when all are gone."""
    closed: bool
    """Nothing more is taken; ``on_closed`` comes when all is written, or nothing more can be."""
    on_paused: Callable[[], None]
    on_resumed: Callable[[], None]
    on_closed: Callable[[], None]
    budget: Budget | None
    """Of all clients together, for writers that can only write whole messages."""
    heartbeat: Callable[[], bytes] | None
    """A message that does no harm, for those that must write something to learn that all before it is gone."""

    @property
    def buffered(self) -> int:
        """Bytes that wait here."""
        ...

    @property
    def waits_for_others(self) -> bool:
        """Whether it is not the client that keeps these bytes waiting."""
        ...

    def write(self, batch: Batch) -> None:
        """Write messages; nothing happens once it is closed."""
        ...

    def lag(self) -> None:
        """Something has been waiting for long: it counts as slow, until nothing waits."""
        ...

    async def drained(self) -> None:
        """Wait until nothing is waiting, or it is closed. A client that lets this wait counts as slow."""
        ...

    def close(self, code: int, reason: str = "") -> None:
        """Say goodbye, then end. Can be called again."""
        ...

    def abort(self) -> None:
        """End at once, whatever waits."""
        ...


def do_nothing() -> None:
    """What a writer calls while nobody has asked to be told."""


class TaskWriter:
    """A writer on any ASGI server: a task sends what waits, and lives only as long as something does."""

    def __init__(self, send: _Send, abort: Callable[[], None] | None = None) -> None:
        self.raw: Callable[[bytes], object] | None = None
        self._send, self._abort = send, abort
        self.paused = self.closed = False
        self.waits_for_others = False
        self.budget: Budget | None = None
        self.heartbeat: Callable[[], bytes] | None = None
        self.on_paused: Callable[[], None] = do_nothing
        self.on_resumed: Callable[[], None] = do_nothing
        self.on_closed: Callable[[], None] = do_nothing
        self._waiting: deque[tuple[Iterator[_Made], int]] = deque()
        self._left = 0  # bytes of the batch that is being sent
        self._more = 0  # bytes of those after it
        self._task: asyncio.Task[None] | None = None
        self._witness = False  # the server holds a whole message, and its buffer cannot be emptied from here
        self._owner = asyncio.current_task()  # serves this client; ends with it
        self._room = asyncio.Event()
        self._over = False
        self.aborted = False

    @property
    def buffered(self) -> int:
        """Bytes that wait for the task."""
        return self._left + self._more

    def messages(self, batch: Batch) -> Iterator[_Made]:
        """The ASGI messages of a batch, and the size of each."""
        raise NotImplementedError

    def farewell(self, code: int, reason: str) -> MutableMapping[str, Any]:
        """The ASGI message that ends the stream."""
        raise NotImplementedError

    def write(self, batch: Batch) -> None:
        """Send these messages after what waits."""
        if not self.closed:
            self._put(self.messages(batch), batch.size)
            if self.buffered > MAY_WAIT:
                self.lag()

    async def drained(self) -> None:
        """Wait until everything is handed to the server, or the stream is closed."""
        await asyncio.sleep(0)  # the task has its turn
        if self.buffered:
            self.lag()
        while self.paused and not self.closed:
            self._room.clear()
            await self._room.wait()

    def close(self, code: int, reason: str = "") -> None:
        """End the stream when everything is sent. Can be called again."""
        if not self.closed:
            self.closed = True
            self._put(iter([(lambda: self.farewell(code, reason), 0)]), 0)
            self._room.set()

    def abort(self) -> None:
        """Stop sending and serving now."""
        self.closed = self.aborted = True
        self._waiting.clear()
        if self._abort is not None:
            self._abort()
        for task in (None if self._witness else self._task, self._owner):
            if task is not None and task is not asyncio.current_task():
                task.cancel()
        self._end()

    def _end(self) -> None:
        self._room.set()
        if not self._over:
            self._over = True
            self.on_closed()

    def lag(self) -> None:
        """From now on it counts as slow, until nothing waits."""
        if not self.paused and not self.closed:
            self.paused = True
            self.on_paused()

    def _put(self, messages: Iterator[_Made], size: int) -> None:
        self._waiting.append((messages, size))
        self._more += size
        if self._task is None:
            self._task = asyncio.get_running_loop().create_task(self._drain())

    async def _drain(self) -> None:
        try:
            while self._waiting:
                messages, self._left = self._waiting.popleft()
                self._more -= self._left
                for make, size in messages:
                    if size > SLICE and self.budget is not None:
                        await self._send_whole(make, size, self.budget)
                    else:
                        await self._send(make())
                    self._left = max(0, self._left - size)
                    if self.aborted:
                        return
                self._left = 0
        except Exception:  # noqa: BLE001 (whatever a server raises when its client is gone)
            self._waiting.clear()
            self.closed = True
            self._end()
            return
        finally:
            self._task = None
            if not self._waiting:
                self._left = self._more = 0
        if self.closed:
            self._end()
        elif self.paused:
            self.paused = False
            self._room.set()
            self.on_resumed()

    async def _send_whole(self, make: Callable[[], MutableMapping[str, Any]], size: int, budget: Budget) -> None:
        """Send a big message when there is room for it; keep the room until the socket has taken it.

        A server takes a message at once, and lets the next one wait until its buffer is empty.
        """
        self.waits_for_others = True
        async with budget.reserve(COPIES * size):
            self.waits_for_others = False
            if self.aborted:
                return
            self._witness = self._abort is None
            try:
                await self._send(make())
                if self.heartbeat is not None:
                    beat = {"type": "websocket.send", "text": self.heartbeat().decode()}
                    with contextlib.suppress(TimeoutError):
                        await asyncio.wait_for(self._send(beat), WITNESS)
            finally:
                self._witness = False


def _as_text(text: str) -> MutableMapping[str, Any]:
    return {"type": "websocket.send", "text": text}


def _decoded(message: Message) -> MutableMapping[str, Any]:
    return _as_text(b"".join(parts_of(message)).decode())


class AsgiWriter(TaskWriter):
    """WebSocket messages on any ASGI server."""

    def messages(self, batch: Batch) -> Iterator[_Made]:
        """One ASGI message for each."""
        if batch.size <= SLICE:
            for text in batch.texts:
                yield functools.partial(_as_text, text), len(text)
        else:
            for message in batch.messages:
                yield functools.partial(_decoded, message), size_of(message)

    def farewell(self, code: int, reason: str) -> MutableMapping[str, Any]:
        """The closing handshake."""
        return {"type": "websocket.close", "code": code, "reason": reason}


def abort_of(scope: MutableMapping[str, Any]) -> Callable[[], None] | None:
    """What ends this connection at once, where the server offers that."""
    extensions: MutableMapping[str, Any] = scope.get("extensions") or {}
    return extensions.get(ABORT)


def writer_of(scope: MutableMapping[str, Any], send: _Send) -> Writer:
    """The best writer for a WebSocket that was accepted."""
    extensions: MutableMapping[str, Any] = scope.get("extensions") or {}
    offered: Callable[[], Writer] | None = extensions.get(EXTENSION)
    return AsgiWriter(send, abort_of(scope)) if offered is None else offered()

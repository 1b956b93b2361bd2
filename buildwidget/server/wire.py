"""Write messages to clients: prepared WebSocket frames where the server supports them, else ASGI messages.

A frame to a client is never masked (RFC 6455, 5.1), so all clients can share the same encoded bytes. Big messages are
written to a socket slice by slice, as it drains.
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
ABORT: Final = "buildwidget.abort"  # also there: cuts the connection and discards what is buffered

SLICE: Final = 64 * 1024  # bytes written to a socket at a time
MAY_WAIT: Final = 256 * 1024  # bytes that wait for a task to send them before their client counts as slow
COPIES: Final = 3  # of a whole message, that a server may keep until its client has read it
FLUSH_SECONDS: Final = 120.0  # to wait until a server's buffer is flushed

_Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]

_Lazy = tuple[Callable[[], MutableMapping[str, Any]], int]
"""A function that makes an ASGI message when it is due, and the size of the message in bytes."""

Message = bytes | tuple[bytes, ...]
"""The JSON of one message, UTF-8: whole, or in parts, of which the big one is shared between messages."""


def parts_of(message: Message) -> tuple[bytes, ...]:
    """Return the parts of a message."""
    return (message,) if isinstance(message, bytes) else message


def size_of(message: Message) -> int:
    """Return the size of a message in bytes."""
    return len(message) if isinstance(message, bytes) else sum(map(len, message))


def in_slices(pieces: Iterable[bytes]) -> Iterator[bytes | memoryview]:
    """Yield the same bytes in slices of at most `SLICE`: small pieces joined, big ones cut without copying."""
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
    """Return a text message as a WebSocket frame (RFC 6455, 5.2): final, opcode 1, not masked."""
    return _head(b"\x81", len(payload)) + payload


def binary_frame(payload: bytes) -> bytes:
    """Return a binary message as a WebSocket frame: opcode 2."""
    return _head(b"\x82", len(payload)) + payload


def _head(first: bytes, size: int) -> bytes:
    if size < 126:
        return first + bytes((size,))
    if size < 65_536:
        return first + b"\x7e" + pack("!H", size)
    return first + b"\x7f" + pack("!Q", size)


class Batch:
    """Messages that are sent together, encoded once and written to many clients.

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
        """Yield the frames in slices of at most `SLICE` bytes."""
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
    """The output side of one client. Its methods are called in the event loop; none of them raises."""

    raw: Callable[[bytes], object] | None
    """Writes prepared frames; to be called only while neither ``paused`` nor ``closed``. None on the ASGI path."""
    paused: bool
    """The client lags: its buffers are not empty. Write no more until the callback ``on_resumed``."""
    closed: bool
    """No more is accepted. The callback ``on_closed`` follows when the buffers are written or discarded."""
    on_paused: Callable[[], None]
    on_resumed: Callable[[], None]
    on_closed: Callable[[], None]
    budget: Budget | None
    """The memory limit of all clients, for writers that can only write whole messages."""
    heartbeat: Callable[[], bytes] | None
    """Makes a harmless message, for writers that must send one to learn that those before it are flushed."""

    @property
    def buffered(self) -> int:
        """Bytes in the buffers."""
        ...

    @property
    def waits_for_others(self) -> bool:
        """Whether the buffered bytes wait for the budget, not for this client."""
        ...

    def write(self, batch: Batch) -> None:
        """Write messages; ignored once the writer is closed."""
        ...

    def lag(self) -> None:
        """Count the client as slow until its buffers are empty."""
        ...

    async def drained(self) -> None:
        """Wait until the buffers are empty or the writer is closed; meanwhile the client counts as slow."""
        ...

    def close(self, code: int, reason: str = "") -> None:
        """Close after everything buffered is written. Can be called again."""
        ...

    def abort(self) -> None:
        """Cut the connection and discard what is buffered."""
        ...


def do_nothing() -> None:
    """The default callback of a writer: does nothing."""


class TaskWriter:
    """A writer for any ASGI server: a task sends what is queued, and ends when the queue is empty."""

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
        self._waiting: deque[tuple[Iterator[_Lazy], int]] = deque()
        self._left = 0  # bytes of the batch that is being sent
        self._more = 0  # bytes of those after it
        self._task: asyncio.Task[None] | None = None
        self._flushing = False  # the server buffers a whole message that cannot be discarded
        self._owner = asyncio.current_task()  # the task that serves this client
        self._room = asyncio.Event()
        self._over = False
        self.aborted = False

    @property
    def buffered(self) -> int:
        """Bytes queued for the task."""
        return self._left + self._more

    def messages(self, batch: Batch) -> Iterator[_Lazy]:
        """Yield the ASGI messages of a batch, each as a function that makes it, and its size."""
        raise NotImplementedError

    def farewell(self, code: int, reason: str) -> MutableMapping[str, Any]:
        """Return the ASGI message that ends the stream."""
        raise NotImplementedError

    def write(self, batch: Batch) -> None:
        """Queue messages for sending."""
        if not self.closed:
            self._push(self.messages(batch), batch.size)
            if self.buffered > MAY_WAIT:
                self.lag()

    async def drained(self) -> None:
        """Wait until everything is handed to the server, or the writer is closed."""
        await asyncio.sleep(0)  # lets the task run
        if self.buffered:
            self.lag()
        while self.paused and not self.closed:
            self._room.clear()
            await self._room.wait()

    def close(self, code: int, reason: str = "") -> None:
        """End the stream after everything queued is sent. Can be called again."""
        if not self.closed:
            self.closed = True
            self._push(iter([(lambda: self.farewell(code, reason), 0)]), 0)
            self._room.set()

    def abort(self) -> None:
        """Cut the connection, discard the queue and cancel the tasks of this client."""
        self.closed = self.aborted = True
        self._waiting.clear()
        if self._abort is not None:
            self._abort()
        for task in (None if self._flushing else self._task, self._owner):
            if task is not None and task is not asyncio.current_task():
                task.cancel()
        self._end()

    def _end(self) -> None:
        self._room.set()
        if not self._over:
            self._over = True
            self.on_closed()

    def lag(self) -> None:
        """Count the client as slow until the queue is empty."""
        if not self.paused and not self.closed:
            self.paused = True
            self.on_paused()

    def _push(self, messages: Iterator[_Lazy], size: int) -> None:
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
        """Send a big message within the budget; hold its bytes in the budget until the socket has accepted it.

        A server accepts a message at once, and blocks the next one until its buffer is empty. So a heartbeat is sent
        after it.
        """
        self.waits_for_others = True
        async with budget.reserve(COPIES * size):
            self.waits_for_others = False
            if self.aborted:
                return
            self._flushing = self._abort is None
            try:
                await self._send(make())
                if self.heartbeat is not None:
                    beat = {"type": "websocket.send", "text": self.heartbeat().decode()}
                    with contextlib.suppress(TimeoutError):
                        await asyncio.wait_for(self._send(beat), FLUSH_SECONDS)
            finally:
                self._flushing = False


def _as_text(text: str) -> MutableMapping[str, Any]:
    return {"type": "websocket.send", "text": text}


def _decoded(message: Message) -> MutableMapping[str, Any]:
    return _as_text(b"".join(parts_of(message)).decode())


class AsgiWriter(TaskWriter):
    """WebSocket messages on any ASGI server."""

    def messages(self, batch: Batch) -> Iterator[_Lazy]:
        """Yield one ASGI message per message."""
        if batch.size <= SLICE:
            for text in batch.texts:
                yield functools.partial(_as_text, text), len(text)
        else:
            for message in batch.messages:
                yield functools.partial(_decoded, message), size_of(message)

    def farewell(self, code: int, reason: str) -> MutableMapping[str, Any]:
        """Return the ASGI message that starts the closing handshake."""
        return {"type": "websocket.close", "code": code, "reason": reason}


def abort_of(scope: MutableMapping[str, Any]) -> Callable[[], None] | None:
    """Return the function that cuts this connection, if the server offers one."""
    extensions: MutableMapping[str, Any] = scope.get("extensions") or {}
    return extensions.get(ABORT)


def writer_of(scope: MutableMapping[str, Any], send: _Send) -> Writer:
    """Return the fastest writer that the server supports for an accepted WebSocket."""
    extensions: MutableMapping[str, Any] = scope.get("extensions") or {}
    offered: Callable[[], Writer] | None = extensions.get(EXTENSION)
    return AsgiWriter(send, abort_of(scope)) if offered is None else offered()

"""uvicorn's WebSocket for many silent readers: prepared frames, in slices; backpressure told at once.

It extends a class of uvicorn that promises nothing, so `_uvicorn` tries it before it is used.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import socket
from collections import deque
from collections.abc import Callable, Iterator
from typing import Any, Final

from uvicorn.protocols.websockets.websockets_sansio_impl import WebSocketsSansIOProtocol
from websockets.exceptions import InvalidState
from websockets.frames import Frame, Opcode
from websockets.server import ServerProtocol

from .budget import Budget
from .wire import EXTENSION, SLICE, Batch, binary_frame, nothing, text_frame

__all__ = ["FrameWriter", "WebSocketProtocol"]

CLOSE_SECONDS: Final = 3.0  # for the answer to a close frame
DEAD_MS: Final = 60_000  # a peer that acknowledges nothing for so long is gone
PIECE: Final = 4096  # bytes that are parsed at a time; what they hold is answered before the next

_BAD_REQUEST: Final = b"HTTP/1.1 400 Bad Request\r\nconnection: close\r\ncontent-length: 0\r\n\r\n"

logger = logging.getLogger("buildwidget.server")
_quiet = logging.getLogger("buildwidget.server.wire")
_quiet.setLevel(logging.WARNING)  # uvicorn's lines at 'info' show whole addresses, and those may hold tokens


class FrameWriter:
    """Writes prepared frames to one WebSocket's transport. See `wire.Writer`.

    The transport gets one slice at a time, and the next when the socket has taken it.
    """

    __slots__ = (
        "_goodbye",
        "_left",
        "_over",
        "_protocol",
        "_queue",
        "_waiters",
        "budget",
        "closed",
        "full",
        "heartbeat",
        "on_closed",
        "on_paused",
        "on_resumed",
        "paused",
        "raw",
    )

    waits_for_others = False

    def __init__(self, protocol: WebSocketProtocol) -> None:
        self._protocol = protocol
        self.paused = self.full = False  # full: the transport holds something
        self.closed = self._over = protocol.is_over
        self.on_paused: Callable[[], None] = nothing
        self.on_resumed: Callable[[], None] = nothing
        self.on_closed: Callable[[], None] = nothing
        self.budget: Budget | None = None
        self.heartbeat: Callable[[], bytes] | None = None
        self._queue: deque[Iterator[bytes | memoryview]] = deque()
        self._left = 0  # bytes in the queue
        self._goodbye: tuple[int, str] | None = None  # to be said when the queue is empty
        self._waiters: list[asyncio.Future[None]] = []
        # With next to nothing as its limit, a transport tries to write at once, and tells at once what it must keep.
        protocol.transport.set_write_buffer_limits(high=1, low=0)
        self.raw: Callable[[bytes], object] | None = protocol.transport.write

    @property
    def buffered(self) -> int:
        """Bytes that the socket has not taken yet."""
        return self._protocol.transport.get_write_buffer_size() + max(0, self._left)

    @property
    def waiting(self) -> bool:
        """Whether some of what was written is not in the transport yet; perhaps the rest of a frame."""
        return bool(self._queue)

    def write(self, batch: Batch) -> None:
        """Write all messages of a batch."""
        if self.closed:
            return
        if batch.size <= SLICE and not self.paused:
            self._protocol.transport.write(batch.frames)
        else:
            self._queue.append(batch.slices())
            self._left += batch.size
            self._pump()

    def _pump(self) -> None:
        transport = self._protocol.transport
        while self._queue and not self.full and not transport.is_closing():
            piece = next(self._queue[0], None)
            if piece is None:
                self._queue.popleft()
                if not self._queue:
                    self._left = 0
            else:
                self._left -= len(piece)
                transport.write(piece)
        if self._queue:
            self.lag()

    def lag(self) -> None:
        """From now on it counts as slow, until nothing waits."""
        if not self.paused:
            self.paused = True
            self.on_paused()

    def fill(self) -> None:
        """The transport holds something."""
        self.full = True
        self.lag()

    def drain(self) -> None:
        """The transport is empty: the next slice."""
        self.full = False
        self._pump()
        if self._queue or self.full:
            return
        self.paused = False
        if self._goodbye is not None:
            goodbye, self._goodbye = self._goodbye, None
            self._protocol.say_goodbye(*goodbye)
        self._protocol.go_on()
        if not self.paused:
            self._wake()
            if not self.closed:
                self.on_resumed()

    async def drained(self) -> None:
        """Wait until nothing is waiting, or it is closed."""
        while self.paused and not self.closed:
            waiter = asyncio.get_running_loop().create_future()
            self._waiters.append(waiter)
            await waiter

    def _wake(self) -> None:
        waiters, self._waiters = self._waiters, []
        for waiter in waiters:
            if not waiter.done():
                waiter.set_result(None)

    def close(self, code: int, reason: str = "") -> None:
        """Send a close frame after what waits, and wait for its answer for a while."""
        if self.closed:
            return
        if self._queue:
            self.closed = True
            self._goodbye = (code, reason)
            self._wake()
        else:
            self._protocol.say_goodbye(code, reason)

    def abort(self) -> None:
        """End the connection without a word."""
        self._protocol.transport.abort()
        self.end()

    def end(self) -> None:
        """No frame may follow."""
        self.closed = True
        self._queue.clear()
        self._left = 0
        self._wake()
        if not self._over:
            self._over = True
            self.on_closed()


class _Conn(ServerProtocol):
    """A close frame may come between the fragments of a message (RFC 6455, 5.4): then the message is given up."""

    def recv_frame(self, frame: Frame) -> None:
        if frame.opcode is Opcode.CLOSE:
            self.current_size = None
        super().recv_frame(frame)


class WebSocketProtocol(WebSocketsSansIOProtocol):
    """uvicorn's WebSocket, with an extension in the scope that writes prepared frames.

    What a client said before it closed, or before it broke the protocol, is still handed to the application, and what
    the application answers to it is still sent: the end waits until the application asks for more.

    What a client sends is parsed a piece at a time, and the next piece when the application has taken the messages of
    the one before. What it is owed is bounded too: of the pongs only the newest waits (RFC 6455, 5.5.3).
    """

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.logger = _quiet
        self.close_timeout = CLOSE_SECONDS
        self._writer: FrameWriter | None = None
        self._last_act: Callable[[], None] | None = None
        self._unparsed = b""
        self._pong = b""
        self._reaper: asyncio.TimerHandle | None = None
        self.conn.__class__ = _Conn

    # -- from the client ------------------------------------------------------------------------------------------

    def data_received(self, data: bytes) -> None:
        """Frames, or parts of them; first of all the request, which `_http` has read already."""
        self._unparsed = self._unparsed + data if self._unparsed else data
        self._parse()

    def _parse(self) -> None:
        """Parse what came, until there is something for the application to do."""
        data, at = self._unparsed, 0
        self._unparsed = b""
        while at < len(data) and (self.queue.empty() or self.close_sent or not self.handshake_initiated):
            step = PIECE if self.handshake_initiated else len(data)
            self._take(data[at : at + step])
            at += step
        self._unparsed = data[at:]
        if self._unparsed and not self.read_paused:
            self.read_paused = True
            self.transport.pause_reading()

    def _take(self, data: bytes) -> None:
        self.conn.receive_data(data)
        broken = self.conn.parser_exc is not None
        self.handle_events()
        if not self.handshake_initiated:  # websockets could not read the request
            logger.info("refused a client: its WebSocket request cannot be read")
            self.transport.write(b"".join(self.conn.data_to_send()) or _BAD_REQUEST)
            self.transport.close()
            self._end()
        elif broken and not self.close_sent:
            self._when_read(self.handle_parser_exception)

    def _when_read(self, act: Callable[[], None]) -> None:
        if self.queue.empty() and not self._in_frame:
            act()
        elif self._last_act is None:
            self._last_act = act

    async def receive(self) -> Any:
        """The next event for the application."""
        if self.queue.empty():
            if self._unparsed:
                self._parse()
            self.go_on()
            if self.read_paused and self.queue.empty() and not self._unparsed:
                self.read_paused = False
                self.transport.resume_reading()
        message = await self.queue.get()
        if self.read_paused and self.queue.empty() and not self._unparsed:
            self.read_paused = False
            self.transport.resume_reading()
        return message

    def send_receive_event_to_app(self) -> None:
        """A message is whole."""
        if self.curr_msg_data_type == "text" and not self.close_sent:
            whole = b"".join(self.frames)
            try:
                whole.decode()
            except UnicodeDecodeError:
                self.frames = []
                logger.info("a client sent text that is not UTF-8: closed")
                if not self._in_frame:
                    self.conn.send_close(1007)
                    self.handle_parser_exception()
                else:
                    self.transport.abort()
                return
            self.frames = [whole]
        super().send_receive_event_to_app()

    def handle_ping(self) -> None:
        """Answer at once, if the socket takes it; else only the newest ping, later."""
        answer = b"".join(self.conn.data_to_send())
        if self._in_frame or not self.writable.is_set():
            self._pong = answer
        else:
            self.transport.write(answer)

    # -- to the client --------------------------------------------------------------------------------------------

    @property
    def _in_frame(self) -> bool:
        """Whether nothing may be written now, since a frame is only half in the transport."""
        return self._writer is not None and self._writer.waiting

    def go_on(self) -> None:
        """Do what had to wait until all was read and written."""
        if self._in_frame:
            return
        if self._pong and self.writable.is_set():
            pong, self._pong = self._pong, b""
            if not self.is_over:
                self.transport.write(pong)
        if self._last_act is not None and self.queue.empty() and not self._unparsed:
            act, self._last_act = self._last_act, None
            act()

    async def send(self, message: Any) -> None:
        """An event of the application."""
        if self._writer is not None and self._in_frame:
            await self._writer.drained()
        if self._last_act is not None and message["type"] == "websocket.send" and not self.transport.is_closing():
            # websockets counts the connection as closing; on the wire it is not yet.
            text, data = message.get("text"), message.get("bytes")
            self.transport.write(text_frame(text.encode()) if data is None else binary_frame(data))
            return
        await super().send(message)

    @property
    def is_over(self) -> bool:
        """Whether no more messages can be sent."""
        return self.close_sent or self.disconnected or not self.handshake_complete or self.transport.is_closing()

    def handle_connect(self, event: Any) -> None:
        """Offer the writer beside what uvicorn offers."""
        super().handle_connect(event)
        if not self.close_sent:
            self.scope["extensions"][EXTENSION] = self._offer  # pyright: ignore[reportArgumentType, reportOptionalSubscript, reportTypedDictNotRequiredAccess]

    def _offer(self) -> FrameWriter:
        if self._writer is None:
            self._writer = FrameWriter(self)
            connection: socket.socket | None = self.transport.get_extra_info("socket")
            if connection is not None and hasattr(socket, "TCP_USER_TIMEOUT"):
                with contextlib.suppress(OSError):
                    connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, DEAD_MS)
        return self._writer

    def pause_writing(self) -> None:
        """The socket is full."""
        super().pause_writing()
        if self._writer is not None:
            self._writer.fill()

    def resume_writing(self) -> None:
        """Everything is written."""
        super().resume_writing()
        if self._writer is not None:
            self._writer.drain()
        else:
            self.go_on()

    # -- the end --------------------------------------------------------------------------------------------------

    def say_goodbye(self, code: int, reason: str) -> None:
        """Start the closing handshake, if it has not begun."""
        if self.is_over:
            return
        if self._in_frame:  # a close frame in the middle of another would be read as its text
            self.transport.abort()
            self._end()
            return
        with contextlib.suppress(InvalidState):
            self.conn.send_close(code, reason)
            self.transport.write(b"".join(self.conn.data_to_send()))
        self.close_sent = True
        self.queue.put_nowait({"type": "websocket.disconnect", "code": code, "reason": reason})
        if self.read_paused:
            self.read_paused = False
            self.transport.resume_reading()
        self.close_timer = self.loop.call_later(self.close_timeout, self.transport.close)
        self._end()
        if self._unparsed:
            self._parse()  # the client's answer may be there

    def shutdown(self) -> None:
        """The server ends: 1001, where uvicorn would say 1012."""
        self.say_goodbye(1001, "the server is going away")
        if not self.handshake_initiated:
            self.transport.abort()
        super().shutdown()

    def handle_close(self, event: Any) -> None:
        """The client says goodbye, or answers ours."""

        def act() -> None:
            WebSocketsSansIOProtocol.handle_close(self, event)
            self._end()

        if self.close_sent:  # nothing can be answered any more, and the application may have gone
            act()
        else:
            self._when_read(act)

    def handle_parser_exception(self) -> None:
        """The client broke the protocol."""
        super().handle_parser_exception()
        self._end()

    def on_task_complete(self, task: asyncio.Task[None]) -> None:
        """The application has nothing more to say."""
        super().on_task_complete(task)
        self._end()

    def connection_lost(self, exc: Exception | None) -> None:
        """There is nobody any more."""
        super().connection_lost(exc)
        if self._reaper is not None:
            self._reaper.cancel()
        self._unparsed = self._pong = b""
        self._end()

    def _end(self) -> None:
        """Nothing more is said. A transport that is closed waits for its reader; that one may never read."""
        if self._reaper is None and not self.disconnected:
            self._reaper = self.loop.call_later(CLOSE_SECONDS + 1, self.transport.abort)
        if self._writer is not None:
            self._writer.end()

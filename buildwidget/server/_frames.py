"""uvicorn's WebSocket protocol, extended to write prepared frames in slices and to report backpressure at once.

It extends a class of uvicorn that is not public API, so `_uvicorn` tests it before it is used.
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
from .wire import EXTENSION, SLICE, Batch, binary_frame, do_nothing, text_frame

__all__ = ["FrameWriter", "WebSocketProtocol"]

CLOSE_SECONDS: Final = 3.0  # that the peer may take to answer a close frame
DEAD_MS: Final = 60_000  # without a TCP acknowledgement, after which the peer counts as gone
PIECE: Final = 4096  # bytes parsed at a time; their messages are answered before the next piece is parsed

_BAD_REQUEST: Final = b"HTTP/1.1 400 Bad Request\r\nconnection: close\r\ncontent-length: 0\r\n\r\n"

logger = logging.getLogger("buildwidget.server")
_quiet = logging.getLogger("buildwidget.server.wire")
_quiet.setLevel(logging.WARNING)  # uvicorn's lines at 'info' show whole addresses, and those may hold tokens


class FrameWriter:
    """Writes prepared frames to one WebSocket's transport. See `wire.Writer`.

    The transport gets one slice at a time, and the next one when the socket has drained.
    """

    __slots__ = (
        "_close_args",
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
        self.paused = self.full = False  # full: the transport's buffer is not empty
        self.closed = self._over = protocol.is_over
        self.on_paused: Callable[[], None] = do_nothing
        self.on_resumed: Callable[[], None] = do_nothing
        self.on_closed: Callable[[], None] = do_nothing
        self.budget: Budget | None = None
        self.heartbeat: Callable[[], bytes] | None = None
        self._queue: deque[Iterator[bytes | memoryview]] = deque()
        self._left = 0  # bytes in the queue
        self._close_args: tuple[int, str] | None = None  # the close frame to send when the queue is empty
        self._waiters: list[asyncio.Future[None]] = []
        # With these limits the transport reports every byte that the socket does not accept at once.
        protocol.transport.set_write_buffer_limits(high=1, low=0)
        self.raw: Callable[[bytes], object] | None = protocol.transport.write

    @property
    def buffered(self) -> int:
        """Bytes that the socket has not accepted yet."""
        return self._protocol.transport.get_write_buffer_size() + max(0, self._left)

    @property
    def waiting(self) -> bool:
        """Whether slices are still queued here, perhaps the rest of a frame that is half written."""
        return bool(self._queue)

    def write(self, batch: Batch) -> None:
        """Write all messages of a batch; the transport gets them slice by slice if they are big."""
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
        """Count the client as slow until its buffers are empty."""
        if not self.paused:
            self.paused = True
            self.on_paused()

    def fill(self) -> None:
        """Note that the transport's buffer is not empty."""
        self.full = True
        self.lag()

    def drain(self) -> None:
        """Go on after the transport's buffer has emptied: write the next slice, or resume the client."""
        self.full = False
        self._pump()
        if self._queue or self.full:
            return
        self.paused = False
        if self._close_args is not None:
            close_args, self._close_args = self._close_args, None
            self._protocol.start_close(*close_args)
        self._protocol.run_deferred()
        if not self.paused:
            self._wake()
            if not self.closed:
                self.on_resumed()

    async def drained(self) -> None:
        """Wait until everything is written, or the writer is closed."""
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
        """Send a close frame after the queued slices; wait up to `CLOSE_SECONDS` for the answer."""
        if self.closed:
            return
        if self._queue:
            self.closed = True
            self._close_args = (code, reason)
            self._wake()
        else:
            self._protocol.start_close(code, reason)

    def abort(self) -> None:
        """Cut the connection without a close frame."""
        self._protocol.transport.abort()
        self.end()

    def end(self) -> None:
        """Discard what is queued; nothing is written from now on."""
        self.closed = True
        self._queue.clear()
        self._left = 0
        self._wake()
        if not self._over:
            self._over = True
            self.on_closed()


class _Conn(ServerProtocol):
    """Accepts a close frame between the fragments of a message (RFC 6455, 5.4) and discards that message."""

    def recv_frame(self, frame: Frame) -> None:
        if frame.opcode is Opcode.CLOSE:
            self.current_size = None
        super().recv_frame(frame)


class WebSocketProtocol(WebSocketsSansIOProtocol):
    """uvicorn's WebSocket protocol, which offers a `FrameWriter` as an extension in the ASGI scope.

    Messages that arrived before a close frame or a protocol error still reach the application, and its answers are
    still sent: the closing handshake is deferred until the application has received everything.

    Input is parsed a piece at a time; the next piece waits until the application has received the messages of the one
    before. Pending pongs are bounded too: only the newest is kept (RFC 6455, 5.5.3).
    """

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.logger = _quiet
        self.close_timeout = CLOSE_SECONDS
        self._writer: FrameWriter | None = None
        self._deferred_close: Callable[[], None] | None = None
        self._unparsed = b""
        self._pong = b""
        self._reaper: asyncio.TimerHandle | None = None
        self.conn.__class__ = _Conn

    # -- from the client ------------------------------------------------------------------------------------------

    def data_received(self, data: bytes) -> None:
        """Buffer and parse bytes of the client; the first are the request, which `_http` has read already."""
        self._unparsed = self._unparsed + data if self._unparsed else data
        self._parse()

    def _parse(self) -> None:
        """Parse buffered input until a message is ready for the application."""
        data, at = self._unparsed, 0
        self._unparsed = b""
        while at < len(data) and (self.queue.empty() or self.close_sent or not self.handshake_initiated):
            step = PIECE if self.handshake_initiated else len(data)
            self._feed(data[at : at + step])
            at += step
        self._unparsed = data[at:]
        if self._unparsed and not self.read_paused:
            self.read_paused = True
            self.transport.pause_reading()

    def _feed(self, data: bytes) -> None:
        self.conn.receive_data(data)
        broken = self.conn.parser_exc is not None
        self.handle_events()
        if not self.handshake_initiated:  # websockets rejected the request
            logger.info("refused a client: its WebSocket request is not valid HTTP")
            self.transport.write(b"".join(self.conn.data_to_send()) or _BAD_REQUEST)
            self.transport.close()
            self._end()
        elif broken and not self.close_sent:
            self._after_input(self.handle_parser_exception)

    def _after_input(self, act: Callable[[], None]) -> None:
        if self.queue.empty() and not self._in_frame:
            act()
        elif self._deferred_close is None:
            self._deferred_close = act

    async def receive(self) -> Any:
        """Return the next ASGI event; resume reading when all input is consumed."""
        if self.queue.empty():
            if self._unparsed:
                self._parse()
            self.run_deferred()
            if self.read_paused and self.queue.empty() and not self._unparsed:
                self.read_paused = False
                self.transport.resume_reading()
        message = await self.queue.get()
        if self.read_paused and self.queue.empty() and not self._unparsed:
            self.read_paused = False
            self.transport.resume_reading()
        return message

    def send_receive_event_to_app(self) -> None:
        """Queue a complete message; close with 1007 if a text is not UTF-8."""
        if self.curr_msg_data_type == "text" and not self.close_sent:
            whole = b"".join(self.frames)
            try:
                whole.decode()
            except UnicodeDecodeError:
                self.frames = []
                logger.info("closed a client: its text message is not UTF-8")
                if not self._in_frame:
                    self.conn.send_close(1007)
                    self.handle_parser_exception()
                else:
                    self.transport.abort()
                return
            self.frames = [whole]
        super().send_receive_event_to_app()

    def handle_ping(self) -> None:
        """Answer at once if the socket can take it; else keep only the newest pong for later."""
        answer = b"".join(self.conn.data_to_send())
        if self._in_frame or not self.writable.is_set():
            self._pong = answer
        else:
            self.transport.write(answer)

    # -- to the client --------------------------------------------------------------------------------------------

    @property
    def _in_frame(self) -> bool:
        """Whether a frame may be half written, so that no other may begin."""
        return self._writer is not None and self._writer.waiting

    def run_deferred(self) -> None:
        """Send the deferred pong, and begin the deferred close when all input is consumed."""
        if self._in_frame:
            return
        if self._pong and self.writable.is_set():
            pong, self._pong = self._pong, b""
            if not self.is_over:
                self.transport.write(pong)
        if self._deferred_close is not None and self.queue.empty() and not self._unparsed:
            act, self._deferred_close = self._deferred_close, None
            act()

    async def send(self, message: Any) -> None:
        """Send an ASGI event of the application."""
        if self._writer is not None and self._in_frame:
            await self._writer.drained()
        if self._deferred_close is not None and message["type"] == "websocket.send" and not self.transport.is_closing():
            # websockets counts the connection as closing already, but no close frame was sent yet.
            text, data = message.get("text"), message.get("bytes")
            self.transport.write(text_frame(text.encode()) if data is None else binary_frame(data))
            return
        await super().send(message)

    @property
    def is_over(self) -> bool:
        """Whether no more messages can be sent."""
        return self.close_sent or self.disconnected or not self.handshake_complete or self.transport.is_closing()

    def handle_connect(self, event: Any) -> None:
        """Add the writer to the extensions that uvicorn offers."""
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
        """Note that the socket accepts no more."""
        super().pause_writing()
        if self._writer is not None:
            self._writer.fill()

    def resume_writing(self) -> None:
        """Go on: the socket has accepted everything."""
        super().resume_writing()
        if self._writer is not None:
            self._writer.drain()
        else:
            self.run_deferred()

    # -- the end --------------------------------------------------------------------------------------------------

    def start_close(self, code: int, reason: str) -> None:
        """Start the closing handshake, unless it has begun."""
        if self.is_over:
            return
        if self._in_frame:  # a close frame in the middle of another would be read as its payload
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
            self._parse()  # the client's close frame may be in it

    def shutdown(self) -> None:
        """Close with 1001 when the server shuts down; uvicorn would use 1012."""
        self.start_close(1001, "the server is going away")
        if not self.handshake_initiated:
            self.transport.abort()
        super().shutdown()

    def handle_close(self, event: Any) -> None:
        """Handle a close frame: the client's own, or the answer to the server's."""

        def act() -> None:
            WebSocketsSansIOProtocol.handle_close(self, event)
            self._end()

        if self.close_sent:  # nothing can be sent any more, and the application may have ended
            act()
        else:
            self._after_input(act)

    def handle_parser_exception(self) -> None:
        """Close after a protocol error of the client."""
        super().handle_parser_exception()
        self._end()

    def on_task_complete(self, task: asyncio.Task[None]) -> None:
        """Release the writer when the application has returned."""
        super().on_task_complete(task)
        self._end()

    def connection_lost(self, exc: Exception | None) -> None:
        """Release everything when the connection is gone."""
        super().connection_lost(exc)
        if self._reaper is not None:
            self._reaper.cancel()
        self._unparsed = self._pong = b""
        self._end()

    def _end(self) -> None:
        """Release the writer, and abort the transport after a while: its peer may never read what is buffered."""
        if self._reaper is None and not self.disconnected:
            self._reaper = self.loop.call_later(CLOSE_SECONDS + 1, self.transport.abort)
        if self._writer is not None:
            self._writer.end()

"""uvicorn's protocols for many silent readers: prepared frames, backpressure told at once, bounded handshakes.

Written against uvicorn 0.54, whose version is pinned: both classes extend classes of uvicorn that promise nothing.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import socket
from collections.abc import Callable
from typing import Any, Final

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol
from uvicorn.protocols.websockets.websockets_sansio_impl import WebSocketsSansIOProtocol
from websockets.exceptions import InvalidState
from websockets.frames import Frame, Opcode
from websockets.server import ServerProtocol

from ._handshake import MAX_TARGET, shortened
from ._http10 import UnchunkedCycle
from .wire import EXTENSION, Batch, binary_frame, nothing, text_frame

__all__ = ["FrameWriter", "HttpProtocol", "WebSocketProtocol"]

HEADER_SECONDS: Final = 10.0  # for a request line and its headers
HEADER_BYTES: Final = 64 * 1024
CLOSE_SECONDS: Final = 3.0  # for the answer to a close frame
DEAD_MS: Final = 60_000  # a peer that acknowledges nothing for so long is gone

_quiet = logging.getLogger("buildwidget.server.wire")
_quiet.setLevel(logging.WARNING)  # uvicorn's lines at 'info' show whole addresses, and those may hold tokens


class FrameWriter:
    """Writes prepared frames to one WebSocket's transport. See `wire.Writer`."""

    __slots__ = ("_protocol", "closed", "on_closed", "on_paused", "on_resumed", "paused", "raw")

    def __init__(self, protocol: WebSocketProtocol) -> None:
        self._protocol = protocol
        self.paused = False
        self.closed = protocol.is_over
        self.on_paused: Callable[[], None] = nothing
        self.on_resumed: Callable[[], None] = nothing
        self.on_closed: Callable[[], None] = nothing
        # With next to nothing as its limit, a transport tries to write at once, and tells at once what it must keep.
        protocol.transport.set_write_buffer_limits(high=1, low=0)
        self.raw: Callable[[bytes], object] | None = protocol.transport.write

    @property
    def buffered(self) -> int:
        """Bytes that the socket has not taken yet."""
        return self._protocol.transport.get_write_buffer_size()

    def write(self, batch: Batch) -> None:
        """Write all messages of a batch."""
        if not self.closed:
            self._protocol.transport.write(batch.frames)

    def close(self, code: int, reason: str = "") -> None:
        """Send a close frame, and wait for its answer for a while."""
        self._protocol.say_goodbye(code, reason)

    def abort(self) -> None:
        """End the connection without a word."""
        self._protocol.transport.abort()
        self.end()

    def end(self) -> None:
        """No frame may follow."""
        if not self.closed:
            self.closed = True
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
    """

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.logger = _quiet
        self.close_timeout = CLOSE_SECONDS
        self._writer: FrameWriter | None = None
        self._last_act: Callable[[], None] | None = None
        self.conn.__class__ = _Conn

    def data_received(self, data: bytes) -> None:
        """Frames, or parts of them."""
        self.conn.receive_data(data)
        broken = self.conn.parser_exc is not None
        self.handle_events()
        if broken and not self.close_sent:
            self._when_read(self.handle_parser_exception)

    def _when_read(self, act: Callable[[], None]) -> None:
        if self.queue.empty():
            act()
        elif self._last_act is None:
            self._last_act = act

    async def receive(self) -> Any:
        """The next event for the application."""
        if self._last_act is not None and self.queue.empty():
            act, self._last_act = self._last_act, None
            act()
        return await super().receive()

    async def send(self, message: Any) -> None:
        """An event of the application."""
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
        writer = self._writer
        if writer is not None and not writer.paused:
            writer.paused = True
            writer.on_paused()

    def resume_writing(self) -> None:
        """Everything is written."""
        super().resume_writing()
        writer = self._writer
        if writer is not None and writer.paused:
            writer.paused = False
            if not writer.closed:
                writer.on_resumed()

    def say_goodbye(self, code: int, reason: str) -> None:
        """Start the closing handshake, if it has not begun."""
        if self.is_over:
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

    def shutdown(self) -> None:
        """The server ends: 1001, where uvicorn would say 1012."""
        self.say_goodbye(1001, "the server is going away")
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

    def connection_lost(self, exc: Exception | None) -> None:
        """There is nobody any more."""
        super().connection_lost(exc)
        self._end()

    def _end(self) -> None:
        if self._writer is not None:
            self._writer.end()


class HttpProtocol(HttpToolsProtocol):
    """uvicorn's HTTP, which does not wait for ever for the end of a request's headers."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._deadline: asyncio.TimerHandle | None = None
        self._head = 0  # bytes of the request's line and headers so far
        self._in_head = True

    def connection_made(self, transport: Any) -> None:
        """The clock for the first request starts."""
        super().connection_made(transport)
        self._start_clock()

    def data_received(self, data: bytes) -> None:
        """Bytes of a request; of its head, only so many."""
        if self._in_head:
            if self._deadline is None:
                self._start_clock()
            self._head += len(data)
        super().data_received(data)
        if self._in_head and self._head > HEADER_BYTES and not self.transport.is_closing():
            self._stop_clock()
            self.send_400_response("The request's headers are too long.")

    def on_headers_complete(self) -> None:
        """The clock stops."""
        self._in_head = False
        self._head = 0
        self._stop_clock()
        super().on_headers_complete()
        cycle: Any = self.cycle  # none yet, if the request became a WebSocket
        if self.scope["http_version"] == "1.0" and cycle is not None:
            cycle.__class__ = UnchunkedCycle

    def handle_websocket_upgrade(self) -> None:
        """Hand the connection over, with a head that the next parser can take."""
        if len(self.url) > MAX_TARGET:
            self.send_400_response("The address is too long; send long lists with a subscribe message.")
            return
        self.scope["headers"] = shortened(self.scope["headers"])
        super().handle_websocket_upgrade()

    def on_message_complete(self) -> None:
        """The next bytes are another request's."""
        self._in_head = True
        super().on_message_complete()

    def connection_lost(self, exc: Exception | None) -> None:
        """Nothing is waited for."""
        self._stop_clock()
        super().connection_lost(exc)

    def _start_clock(self) -> None:
        self._deadline = self.loop.call_later(HEADER_SECONDS, self._give_up)

    def _stop_clock(self) -> None:
        if self._deadline is not None:
            self._deadline.cancel()
            self._deadline = None

    def _give_up(self) -> None:
        self._deadline = None
        self.transport.abort()

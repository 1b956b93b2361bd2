"""uvicorn's HTTP with deadlines: nobody holds a connection by a request that never ends, or a response never read.

It extends a class of uvicorn that promises nothing, so `_uvicorn` tries it before it is used.
"""

from __future__ import annotations

import asyncio
import logging
from typing import Any, Final

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from ._handshake import MAX_TARGET, shortened
from ._http10 import UnchunkedCycle
from .wire import ABORT

__all__ = ["HttpProtocol"]

HEADER_SECONDS: Final = 10.0  # for a request line and its headers
HEADER_BYTES: Final = 64 * 1024
BODY_SECONDS: Final = 10.0  # for a request's body: the biggest publication has 1 MiB
WRITE_SECONDS: Final = 30.0  # in which a client must take something of its response
PIPELINED: Final = 32  # requests that may wait for the response to another

logger = logging.getLogger("buildwidget.server")


class HttpProtocol(HttpToolsProtocol):
    """uvicorn's HTTP, which waits for a client, but not for ever."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._deadline: asyncio.TimerHandle | None = None  # for what is being read
        self._stuck: asyncio.TimerHandle | None = None  # for what is being written
        self._unsent = 0
        self._head = 0  # bytes of the request's line and headers so far
        self._in_head = True
        self._refused = False

    def connection_made(self, transport: Any) -> None:
        """The clock for the first request starts."""
        super().connection_made(transport)
        self._start_clock(HEADER_SECONDS)

    # -- reading --------------------------------------------------------------------------------------------------

    def data_received(self, data: bytes) -> None:
        """Bytes of a request; of its head, only so many."""
        if self._refused:
            return
        if self._in_head:
            if self._deadline is None:
                self._start_clock(HEADER_SECONDS)
            self._head += len(data)
        super().data_received(data)
        if self._in_head and self._head > HEADER_BYTES and not self.transport.is_closing():
            self._stop_clock()
            self.send_400_response("The request's headers are too long.")

    def on_headers_complete(self) -> None:
        """A new clock, for the body."""
        self._in_head = False
        self._head = 0
        self._stop_clock()
        self._start_clock(BODY_SECONDS)
        if self._get_upgrade() == b"websocket":
            if not self.url.isascii():
                self._refuse("The request's address is not ASCII.")
            elif any(name == b"transfer-encoding" or (name == b"content-length" and value.strip() != b"0")
                     for name, value in self.headers):  # fmt: skip
                self._refuse("A WebSocket request has no body.")
        self.scope.setdefault("extensions", {})[ABORT] = self.transport.abort  # pyright: ignore[reportArgumentType, reportOptionalSubscript, reportTypedDictNotRequiredAccess]
        super().on_headers_complete()
        cycle: Any = self.cycle  # none yet, if the request became a WebSocket
        if self.scope["http_version"] == "1.0" and cycle is not None:
            cycle.__class__ = UnchunkedCycle
        if len(self.pipeline) > PIPELINED:
            self._refuse("Too many requests at once.")

    def on_body(self, body: bytes) -> None:
        """A part of the body."""
        if not self._refused:
            super().on_body(body)

    def on_message_complete(self) -> None:
        """The next bytes are another request's."""
        self._in_head = True
        self._stop_clock()
        super().on_message_complete()

    def _get_upgrade(self) -> bytes | None:
        """What the client wants to speak instead. HTTP/1.0 knows no such wish: it is passed over (RFC 9110, 7.8)."""
        parser = self.parser
        return None if parser is None or parser.get_http_version() == "1.0" else super()._get_upgrade()

    def _unsupported_upgrade_warning(self) -> None:
        """Nothing is wrong with the server."""

    def handle_websocket_upgrade(self) -> None:
        """From here on it is a WebSocket."""
        self._stop_clock()
        if self._refused:
            return
        if len(self.url) > MAX_TARGET:
            self._refuse("The address is too long; send long lists with a subscribe message.")
            return
        self.scope["headers"] = shortened(self.headers)
        super().handle_websocket_upgrade()

    def _refuse(self, reason: str) -> None:
        if self._refused:
            return
        self._refused = True
        self._stop_clock()
        logger.info("refused a client: %s", reason)
        answering: Any = self.cycle  # None before the first request
        if answering is None or answering.response_complete:
            self.send_400_response(reason)
        else:  # another response is on its way
            self.transport.abort()

    def _start_clock(self, seconds: float) -> None:
        self._deadline = self.loop.call_later(seconds, self._give_up)

    def _stop_clock(self) -> None:
        if self._deadline is not None:
            self._deadline.cancel()
            self._deadline = None

    def _give_up(self) -> None:
        self._deadline = None
        if not self._in_head:
            logger.info("a client did not send the whole body of its request in %.0f s: closed", BODY_SECONDS)
        self.transport.abort()

    # -- writing --------------------------------------------------------------------------------------------------

    def pause_writing(self) -> None:
        """The socket is full."""
        super().pause_writing()
        self._unsent = self.transport.get_write_buffer_size()
        if self._stuck is None:
            self._stuck = self.loop.call_later(WRITE_SECONDS, self._look)

    def resume_writing(self) -> None:
        """It has taken most of it."""
        super().resume_writing()
        self._stop_looking()

    def _stop_looking(self) -> None:
        if self._stuck is not None:
            self._stuck.cancel()
            self._stuck = None

    def _look(self) -> None:
        self._stuck = None
        unsent = self.transport.get_write_buffer_size()
        if unsent >= self._unsent:
            logger.info("a client has read nothing of its response for %.0f s: closed", WRITE_SECONDS)
            self.transport.abort()
        else:
            self._unsent = unsent
            self._stuck = self.loop.call_later(WRITE_SECONDS, self._look)

    def connection_lost(self, exc: Exception | None) -> None:
        """Nothing is waited for."""
        self._stop_clock()
        self._stop_looking()
        super().connection_lost(exc)

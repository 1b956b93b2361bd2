"""uvicorn's HTTP protocol with deadlines for requests that never end and responses that are never read.

It extends a class of uvicorn that is not public API, so `_uvicorn` tests it before it is used.
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
WRITE_SECONDS: Final = 30.0  # in which a client must read some of its response
PIPELINED: Final = 32  # pipelined requests that may wait for an earlier response

logger = logging.getLogger("buildwidget.server")


class HttpProtocol(HttpToolsProtocol):
    """uvicorn's HTTP protocol with timeouts and limits on the client's side."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._deadline: asyncio.TimerHandle | None = None  # for the request being read
        self._write_timer: asyncio.TimerHandle | None = None  # for the response being written
        self._unsent = 0
        self._head = 0  # bytes of the request's line and headers so far
        self._in_head = True
        self._refused = False

    def connection_made(self, transport: Any) -> None:
        """Start the deadline of the first request."""
        super().connection_made(transport)
        self._start_deadline(HEADER_SECONDS)

    # -- reading --------------------------------------------------------------------------------------------------

    def data_received(self, data: bytes) -> None:
        """Parse bytes of a request; refuse a head above `HEADER_BYTES`."""
        if self._refused:
            return
        if self._in_head:
            if self._deadline is None:
                self._start_deadline(HEADER_SECONDS)
            self._head += len(data)
        super().data_received(data)
        if self._in_head and self._head > HEADER_BYTES and not self.transport.is_closing():
            self._stop_deadline()
            self.send_400_response("The request's headers are too long.")

    def on_headers_complete(self) -> None:
        """Check the request, and start the deadline of its body."""
        self._in_head = False
        self._head = 0
        self._stop_deadline()
        self._start_deadline(BODY_SECONDS)
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
        """Pass on a part of the body, unless the request was refused."""
        if not self._refused:
            super().on_body(body)

    def on_message_complete(self) -> None:
        """End the deadline; the next bytes belong to another request."""
        self._in_head = True
        self._stop_deadline()
        super().on_message_complete()

    def _get_upgrade(self) -> bytes | None:
        """Return the protocol to upgrade to; None for HTTP/1.0, where ``Upgrade`` is ignored (RFC 9110, 7.8)."""
        parser = self.parser
        return None if parser is None or parser.get_http_version() == "1.0" else super()._get_upgrade()

    def _unsupported_upgrade_warning(self) -> None:
        """Log nothing: the server supports what it should."""

    def handle_websocket_upgrade(self) -> None:
        """Hand the connection to the WebSocket protocol."""
        self._stop_deadline()
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
        self._stop_deadline()
        logger.info("refused a client: %s", reason)
        answering: Any = self.cycle  # None before the first request
        if answering is None or answering.response_complete:
            self.send_400_response(reason)
        else:  # another response is on its way
            self.transport.abort()

    def _start_deadline(self, seconds: float) -> None:
        self._deadline = self.loop.call_later(seconds, self._on_deadline)

    def _stop_deadline(self) -> None:
        if self._deadline is not None:
            self._deadline.cancel()
            self._deadline = None

    def _on_deadline(self) -> None:
        self._deadline = None
        if not self._in_head:
            logger.info("closed a client: the body of its request was not complete after %.0f s", BODY_SECONDS)
        self.transport.abort()

    # -- writing --------------------------------------------------------------------------------------------------

    def pause_writing(self) -> None:
        """Start watching whether the client reads."""
        super().pause_writing()
        self._unsent = self.transport.get_write_buffer_size()
        if self._write_timer is None:
            self._write_timer = self.loop.call_later(WRITE_SECONDS, self._check_progress)

    def resume_writing(self) -> None:
        """Stop watching: the socket has room again."""
        super().resume_writing()
        self._stop_write_timer()

    def _stop_write_timer(self) -> None:
        if self._write_timer is not None:
            self._write_timer.cancel()
            self._write_timer = None

    def _check_progress(self) -> None:
        self._write_timer = None
        unsent = self.transport.get_write_buffer_size()
        if unsent >= self._unsent:
            logger.info("closed a client: it has read nothing of its response for %.0f s", WRITE_SECONDS)
            self.transport.abort()
        else:
            self._unsent = unsent
            self._write_timer = self.loop.call_later(WRITE_SECONDS, self._check_progress)

    def connection_lost(self, exc: Exception | None) -> None:
        """Cancel all timers."""
        self._stop_deadline()
        self._stop_write_timer()
        super().connection_lost(exc)

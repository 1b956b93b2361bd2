"""Responses to HTTP/1.0, which has no chunks: the end of the connection ends a body whose length is not known."""

from __future__ import annotations

from typing import Any

from uvicorn.protocols.http.httptools_impl import RequestResponseCycle

__all__ = ["UnchunkedCycle"]


class UnchunkedCycle(RequestResponseCycle):
    """uvicorn's cycle of one request, for clients of HTTP/1.0: nginx by default, `ab`, small devices.

    uvicorn never keeps a connection of HTTP/1.0 open, so that its end can be the end of the body.
    """

    _length_is_known = True

    async def send(self, message: Any) -> None:
        """Write the head of the response, or a part of its body."""
        if message["type"] == "http.response.start":
            names = {name.lower() for name, _ in message.get("headers", ())}
            self._length_is_known = b"content-length" in names
            if not self._length_is_known:
                self.chunked_encoding = False
            if b"connection" not in names:  # not every uvicorn says by itself that it closes
                message = {**message, "headers": [*message.get("headers", ()), (b"connection", b"close")]}
        elif not self._length_is_known:
            self.expected_content_length = len(message.get("body", b""))  # of this part: uvicorn checks the sum
        await super().send(message)

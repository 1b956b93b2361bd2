"""Responses to HTTP/1.0, which has no chunked encoding: closing the connection ends a body of unknown length."""

from __future__ import annotations

from typing import Any

from uvicorn.protocols.http.httptools_impl import RequestResponseCycle

__all__ = ["UnchunkedCycle"]


class UnchunkedCycle(RequestResponseCycle):
    """uvicorn's request-response cycle, for clients of HTTP/1.0: nginx by default, `ab`, small devices.

    uvicorn closes every HTTP/1.0 connection after the response, so that the close can mark the end of the body.
    """

    _length_is_known = True

    async def send(self, message: Any) -> None:
        """Write the head of the response, or a part of its body."""
        if message["type"] == "http.response.start":
            names = {name.lower() for name, _ in message.get("headers", ())}
            self._length_is_known = b"content-length" in names
            if not self._length_is_known:
                self.chunked_encoding = False
            if b"connection" not in names:  # some versions of uvicorn do not announce the close
                message = {**message, "headers": [*message.get("headers", ()), (b"connection", b"close")]}
        elif not self._length_is_known:
            self.expected_content_length = len(
                message.get("body", b"")
            )  # of this part; else uvicorn would reject it as longer than announced
        await super().send(message)

"""The HTTP response with the whole state of a session."""

from __future__ import annotations

from typing import Any

import msgspec
from starlette.responses import Response

from .hub import Hub
from .wire import in_slices

__all__ = ["StateResponse"]


class StateResponse(Response):
    """The current state of a session, encoded once for all requests and sent as fast as the client reads.

    Parameters
    ----------
    hub
        The session's hub in the running loop.
    """

    def __init__(self, hub: Hub) -> None:
        super().__init__(None, 200, {"cache-control": "no-store"}, "application/json")
        self._hub = hub

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:  # noqa: ARG002 (ASGI)
        """Send the state; wait first while too many bytes are in transit to other clients."""
        hub = self._hub
        async with hub.budget.reserve(hub.state_size):
            state = await hub.state_now()
            about = {"session_id": state.session_id, "epoch": state.epoch, "seq": state.seq}
            head = msgspec.json.encode(about)[:-1] + b',"state":'
            parts = (head, state.json, b"}")
            self.headers["content-length"] = str(sum(map(len, parts)))
            await send({"type": "http.response.start", "status": 200, "headers": self.raw_headers})
            for piece in in_slices(parts):
                await send({"type": "http.response.body", "body": bytes(piece), "more_body": True})
            await send({"type": "http.response.body", "body": b"", "more_body": False})

"""The same stream without a WebSocket: server-sent events and newline-delimited JSON, on the same address."""

from __future__ import annotations

import asyncio
import functools
from collections.abc import Awaitable, Callable, Iterator, MutableMapping
from typing import Any, Final

from .access import peer_of
from .clients import Client, Numbered, Start
from .filters import Filter
from .query import start_of
from .sessions import Sessions
from .wire import Batch, TaskWriter, abort_of, in_slices, parts_of

__all__ = ["LinesWriter", "respond", "wants_lines"]

SSE: Final = "text/event-stream"
NDJSON: Final = "application/x-ndjson"

Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]


def wants_lines(accept: str) -> str | None:
    """Return the media type that an ``Accept`` header asks for: NDJSON for any, None if neither is acceptable."""
    kinds = [part.split(";")[0].strip().lower() for part in accept.split(",") if part.strip()]
    for kind in kinds:
        if kind in {SSE, NDJSON}:
            return kind
    return NDJSON if not kinds or "*/*" in kinds or "application/*" in kinds else None


def start_of_lines(scope: MutableMapping[str, Any]) -> tuple[Start, Filter]:
    """Return the start and the filter of a request: its query, and ``Last-Event-ID`` (epoch:seq) of an event source.

    Raises
    ------
    BadRequestError
        If the query cannot be read.
    """
    start, wanted = start_of(scope)
    last = dict(scope.get("headers", ())).get(b"last-event-id", b"").decode("latin-1")
    epoch, _, since = last.rpartition(":")
    if epoch and since.isascii() and since.isdigit() and len(since) <= 16:
        start = Start(epoch, int(since), snapshot=True)
    return start, wanted


class LinesWriter(TaskWriter):
    """Writes batches as the body of one HTTP response."""

    def __init__(self, send: Send, kind: str, abort: Callable[[], None] | None = None) -> None:
        super().__init__(send, abort)
        self._kind = kind

    def messages(self, batch: Batch) -> Iterator[tuple[Callable[[], MutableMapping[str, Any]], int]]:
        """Yield the body in slices, as functions that make the ASGI message, each with its size in bytes."""
        for body in in_slices(self._lines(batch)):
            yield functools.partial(_part, body), len(body)

    def _lines(self, batch: Batch) -> Iterator[bytes]:
        before, after = (b"", b"\n") if self._kind == NDJSON else (b"data: ", b"\n\n")
        ids = batch.ids if self._kind == SSE and isinstance(batch, Numbered) else [""] * len(batch.messages)
        for message, at in zip(batch.messages, ids, strict=True):
            yield (f"id: {at}\n".encode() if at else b"") + before
            yield from parts_of(message)
            yield after

    def farewell(self, code: int, reason: str) -> MutableMapping[str, Any]:  # noqa: ARG002 (HTTP has no close codes)
        """Return the last, empty part of the body."""
        return {"type": "http.response.body", "body": b"", "more_body": False}


def _part(body: bytes | memoryview) -> MutableMapping[str, Any]:
    return {"type": "http.response.body", "body": bytes(body), "more_body": True}


async def respond(
    scope: MutableMapping[str, Any],
    receive: Callable[[], Awaitable[MutableMapping[str, Any]]],
    send: Send,
    *,
    sessions: Sessions,
    session_id: str,
    kind: str,
) -> None:
    """Stream a session as the response to an authorised request.

    Raises
    ------
    BadRequestError, buildwidget.server.sessions.UnknownSessionError
        Before anything was sent.
    """
    start, wanted = start_of_lines(scope)
    sessions.get(session_id)
    headers = [
        (b"content-type", f"{kind}; charset=utf-8".encode()),
        (b"cache-control", b"no-store"),
        (b"x-accel-buffering", b"no"),  # else some proxies buffer the response
    ]
    await send({"type": "http.response.start", "status": 200, "headers": headers})
    if scope["method"] == "HEAD":  # headers only: no client joins the hub
        await send({"type": "http.response.body", "body": b"", "more_body": False})
        return
    hub = sessions.hub(session_id)
    writer = LinesWriter(send, kind, abort_of(scope))
    agent = dict(scope.get("headers", ())).get(b"user-agent", b"")[:200].decode("latin-1")
    client = Client(
        hub,
        writer,
        wanted,
        client_id=sessions.new_id(),
        address=peer_of(scope),
        user_agent=agent,
    )
    try:
        await hub.join(client, start)
        while (await receive())["type"] != "http.disconnect":
            pass
    except asyncio.CancelledError:
        if not writer.aborted:
            raise
    finally:
        hub.leave(client)

"""Serve one WebSocket client: handshake, requests and rate limit."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Awaitable, Callable, MutableMapping
from datetime import UTC, datetime
from typing import Any, Final, cast

import msgspec

from .. import events as ev
from ..errors import BadRequestError, FilterError, UnknownSessionError
from .access import Access, Refusal, peer_of
from .clients import Client, Start
from .filters import EVERYTHING, Filter
from .query import start_of
from .sessions import Sessions
from .wire import writer_of

__all__ = ["handle"]

logger = logging.getLogger("buildwidget.server")

MAX_MESSAGE: Final = 64 * 1024  # bytes of one client message
GOOD_PER_SECOND: Final = 100
BAD_PER_SECOND: Final = 20

Scope = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]
Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]


async def handle(
    scope: Scope, receive: Receive, send: Send, *, sessions: Sessions, access: Access, session_id: str
) -> None:
    """Serve one WebSocket from its first message to its last."""
    message = await receive()
    if message["type"] != "websocket.connect":
        return
    verdict = access.check(scope)
    if isinstance(verdict, Refusal):
        sessions.meters.refusals += 1
        logger.info("refused a client: %s", verdict.error)
        with contextlib.suppress(Exception):  # whatever a server raises when its client has gone meanwhile
            await refuse(scope, send, verdict)
        return
    problem: tuple[int, str] | None = None
    start, wanted = Start(), EVERYTHING
    hub = None
    try:
        start, wanted = start_of(scope)
        hub = sessions.hub(session_id)
        if sessions.closing:
            problem = (1001, "the server is going away")
        elif sessions.is_full:
            problem = (1013, "too many clients; try again later")
    except UnknownSessionError:
        problem = (4404, "no such session")
    except BadRequestError as error:
        problem = (1008, _reason(str(error)))
    if problem is not None or hub is None:
        sessions.meters.refusals += 1
        code, reason = problem or (1011, "")
        logger.info("refused a client: %s", reason)
        with contextlib.suppress(Exception):  # the same
            await send({"type": "websocket.accept"})
            await send({"type": "websocket.close", "code": code, "reason": reason})
        return
    await send({"type": "websocket.accept"})
    headers = dict(scope.get("headers", ()))
    client = Client(
        hub,
        writer_of(scope, send),
        wanted,
        client_id=sessions.new_id(),
        address=peer_of(scope),
        user_agent=headers.get(b"user-agent", b"")[:200].decode("latin-1"),
    )
    await converse(client, receive, start, sessions)


async def converse(client: Client, receive: Receive, start: Start, sessions: Sessions) -> None:
    """Serve an accepted client until it disconnects."""
    hub, writer = client.hub, client.writer
    budget = _Budget()
    try:
        await hub.join(client, start)
        while True:
            message = await receive()
            if message["type"] == "websocket.disconnect":
                return
            if writer.closed:
                continue
            try:
                await _answer(client, message)
                within = budget.good()
            except BadRequestError as error:
                sessions.meters.bad_messages += 1
                within = budget.bad()
                client.send(_complaint(client, str(error)))
            if not within:
                sessions.meters.policy_closes += 1
                writer.close(1008, "too many messages")
            # The next question is read when the answer to this one is on its way: no answers pile up.
            await writer.drained()
    except asyncio.CancelledError:
        if not getattr(writer, "aborted", False):
            raise
    finally:
        hub.leave(client)


async def refuse(scope: Scope, send: Send, refusal: Refusal) -> None:
    """Answer a handshake with an HTTP status, where the server can; else it becomes 403."""
    if "websocket.http.response" in (scope.get("extensions") or {}):
        body = msgspec.json.encode({"error": refusal.error, "message": refusal.message})
        headers = [(b"content-type", b"application/json"), (b"content-length", str(len(body)).encode())]
        if refusal.status == 401:
            headers.append((b"www-authenticate", b"Bearer"))
        await send({"type": "websocket.http.response.start", "status": refusal.status, "headers": headers})
        await send({"type": "websocket.http.response.body", "body": body})
    else:
        await send({"type": "websocket.close", "code": 1008, "reason": _reason(refusal.message)})


async def _answer(client: Client, message: MutableMapping[str, Any]) -> None:
    """Do what a client message asks for."""
    text = message.get("text")
    if text is None:
        raise BadRequestError("binary messages are not understood; send JSON text")
    if len(text) > MAX_MESSAGE:
        client.writer.close(1009, "at most 64 KiB")
        return
    try:
        request = msgspec.json.decode(text.removeprefix("\ufeff"))  # some programs begin every text with it
    except (msgspec.DecodeError, RecursionError) as error:
        raise BadRequestError(f"this is not JSON: {error}") from None
    if not isinstance(request, dict):
        raise BadRequestError("expected a JSON object with a type")
    fields = cast("dict[str, Any]", request)
    hub = client.hub
    match fields.get("type"):
        case "ping":
            client.send(ev.Pong(id=_id(fields), session_id=hub.session.session_id, timestamp=datetime.now(UTC)))
        case "subscribe":
            await hub.refilter(client, _filter(fields))
        case "unsubscribe":
            try:
                wanted = client.filter.without(fields.get("topics"))
            except FilterError as error:
                raise BadRequestError(str(error)) from None
            await hub.refilter(client, wanted)
        case "request_status":
            await hub.report(client, _id(fields))
        case "resume":
            epoch, since = fields.get("epoch"), fields.get("seq")
            if not isinstance(epoch, str) or not isinstance(since, int) or isinstance(since, bool) or since < 0:
                raise BadRequestError("resume needs epoch (a text) and seq (a number)")
            await hub.resume(client, epoch, since)
        case other:
            known = "ping, subscribe, unsubscribe, request_status, resume"
            raise BadRequestError(f"unknown type {_short(other)}. Types are {known}")


def _filter(fields: dict[str, Any]) -> Filter:
    try:
        return Filter.of(fields.get("topics"), fields.get("components"), fields.get("min_level"))
    except FilterError as error:
        raise BadRequestError(str(error)) from None


def _id(fields: dict[str, Any]) -> Any:
    """The id of a request, given back as it came: a short text or a number."""
    value = fields.get("id")
    if value is None or isinstance(value, int | float) or (isinstance(value, str) and len(value) <= 200):
        return value
    raise BadRequestError("id must be a number or a text of at most 200 characters")


def _complaint(client: Client, text: str) -> ev.Error:
    return ev.Error(
        error_message=text,
        message=text,
        error_type="bad_request",
        session_id=client.hub.session.session_id,
        timestamp=datetime.now(UTC),
    )


def _reason(text: str) -> str:
    """What fits into a close frame: 123 bytes."""
    return text.encode("utf-8", "replace")[:120].decode("utf-8", "ignore")


def _short(value: object) -> str:
    text = repr(value)
    return text if len(text) <= 60 else text[:57] + "..."


class _Budget:
    """How many messages a client may send in a second."""

    def __init__(self) -> None:
        self._second: int = 0
        self._good = self._bad = 0

    def good(self) -> bool:
        self._turn()
        self._good += 1
        return self._good <= GOOD_PER_SECOND

    def bad(self) -> bool:
        self._turn()
        self._bad += 1
        return self._bad <= BAD_PER_SECOND

    def _turn(self) -> None:
        second = int(datetime.now(UTC).timestamp())
        if second != self._second:
            self._second, self._good, self._bad = second, 0, 0

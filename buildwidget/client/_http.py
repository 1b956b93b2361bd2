"""Plain HTTP requests to a server: list its sessions, publish messages."""

from __future__ import annotations

import asyncio
import http.client
import json
import urllib.error
import urllib.request
from collections.abc import Mapping, Sequence
from typing import Any, Final, cast

import msgspec

from ..errors import NoSuchSessionError
from ._place import Place
from ._refusals import refused, unreachable

__all__ = ["apublish", "list_sessions", "publish", "with_session"]

MAX_ANSWER: Final = 64 * 2**20  # bytes
PATIENCE: Final = 10.0  # seconds


def list_sessions(url: str, *, token: str | None = None) -> list[dict[str, Any]]:
    """Return the sessions of a server: the rows of ``GET /api/build/sessions``.

    Raises
    ------
    ClientError
        If the server cannot be reached or refuses.
    """
    return _sessions(Place.of(url, token))


def publish(
    url: str,
    messages: Mapping[str, Any] | Sequence[Mapping[str, Any]],
    *,
    token: str | None = None,
    session: str | None = None,
) -> int:
    """Publish messages into a session of a running server; return the sequence number of the last one.

    Parameters
    ----------
    url
        Any address of the server; with one session, its base is enough.
    messages
        One message of the protocol, or at most 1,000.
    token
        The server's write token.
    session
        The session's id, if the address does not name it.

    Raises
    ------
    ClientError
        If the server cannot be reached or refuses the messages.
    """
    place = with_session(Place.of(url, token, session))
    return int(_ask(place, place.events_path, msgspec.json.encode(messages)).get("seq", 0))


async def apublish(
    url: str,
    messages: Mapping[str, Any] | Sequence[Mapping[str, Any]],
    *,
    token: str | None = None,
    session: str | None = None,
) -> int:
    """`publish` without blocking the event loop."""
    return await asyncio.to_thread(publish, url, messages, token=token, session=session)


def with_session(place: Place) -> Place:
    """Return ``place`` with a session: its own, or the only one that the server has (asked over HTTP).

    Raises
    ------
    ClientError
        If the server cannot be reached, or has no session or several.
    """
    if place.session is not None:
        return place
    names = [str(row["session_id"]) for row in _sessions(place)]
    if len(names) == 1:
        return msgspec.structs.replace(place, session=names[0])
    if not names:
        raise NoSuchSessionError(f"{place.base} has no session")
    listed = ", ".join(names[:10]) + (" …" if len(names) > 10 else "")
    raise NoSuchSessionError(f"{place.base} has several sessions: {listed}. Choose one: {place.base}/?session=ID")


def _sessions(place: Place) -> list[dict[str, Any]]:
    rows = _ask(place, "/api/build/sessions").get("sessions")
    return cast("list[dict[str, Any]]", rows) if isinstance(rows, list) else []


def _ask(place: Place, path: str, body: bytes | None = None) -> dict[str, Any]:
    headers = {**place.headers, "Accept": "application/json"}
    if body is not None:
        headers["Content-Type"] = "application/json"
    request = urllib.request.Request(place.base + path, body, headers)  # noqa: S310 (`Place` admits only http and https)
    try:
        with urllib.request.urlopen(request, timeout=PATIENCE) as response:  # noqa: S310
            answer = json.loads(response.read(MAX_ANSWER))
    except urllib.error.HTTPError as error:
        with error:
            raise refused(place, error.code, error.read(65_536)) from None
    except (OSError, ValueError, http.client.HTTPException) as error:
        reason = error.reason if isinstance(error, urllib.error.URLError) else error
        raise unreachable(place, reason) from None
    return cast("dict[str, Any]", answer) if isinstance(answer, dict) else {}

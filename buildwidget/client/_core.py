"""What a client does, without any socket: which address, what to yield, when to come again. Both shells stand on it."""

from __future__ import annotations

import json
import os
import random
import urllib.error
import urllib.request
from collections.abc import Mapping, Sequence
from typing import Any, Final, cast
from urllib.parse import parse_qsl, quote, unquote, urlencode, urlsplit, urlunsplit

import msgspec
from websockets.exceptions import ConnectionClosed, InvalidHandshake, InvalidStatus

from .. import events as ev
from ..errors import AuthError, ClientError, ConnectionFailedError, NoSuchSessionError
from ..model import State
from ..state import BuildState

__all__ = [
    "Core",
    "Place",
    "post",
    "sessions",
]

STREAM: Final = "/api/build/stream/"
FIRST_PAUSE: Final = 0.25  # seconds
MAX_ANSWER: Final = 64 * 2**20  # bytes of an HTTP answer


class Place(msgspec.Struct, frozen=True):
    """A server, the session there, and what to show it: parsed from any of its addresses.

    ``base`` is the address of its page without a final slash; ``session`` None if the address does not say it.
    """

    base: str
    session: str | None
    token: str | None

    @classmethod
    def of(cls, url: str, token: str | None = None, session: str | None = None) -> Place:
        """Take an address apart: a page, ``…/?session=ID``, or a stream; http or ws; with any path prefix.

        Raises
        ------
        ClientError
            If it is no such address.
        """
        parts = urlsplit(url)
        scheme = {"http": "http", "ws": "http", "https": "https", "wss": "https"}.get(parts.scheme)
        if scheme is None or not parts.hostname:
            raise ClientError("an address begins with http://, https://, ws:// or wss://")
        query = dict(parse_qsl(parts.query))
        path, found = parts.path, query.get("session")
        if STREAM in path:
            path, _, name = path.partition(STREAM)
            found = unquote(name.strip("/")) or found
        netloc = parts.netloc.rpartition("@")[2]
        token = token or query.get("token") or os.environ.get("BUILDWIDGET_TOKEN") or None
        return cls(urlunsplit((scheme, netloc, path.rstrip("/"), "", "")), session or found, token)

    @property
    def headers(self) -> dict[str, str]:
        """What the server is shown."""
        return {"Authorization": f"Bearer {self.token}"} if self.token else {}

    def with_session(self) -> Place:
        """The same with a session: the only one that the server has. Asks the server.

        Raises
        ------
        ClientError
            If it cannot be asked, or has none or several.
        """
        if self.session is not None:
            return self
        names = [str(row["session_id"]) for row in sessions(self)]
        if len(names) == 1:
            return msgspec.structs.replace(self, session=names[0])
        if not names:
            raise NoSuchSessionError(f"{self.base} has no session")
        listed = ", ".join(names[:10]) + (" …" if len(names) > 10 else "")
        raise NoSuchSessionError(f"{self.base} has several sessions: {listed}. Choose one: {self.base}/?session=ID")


def sessions(place: Place) -> list[dict[str, Any]]:
    """The sessions of a server: a row each, as ``GET /api/build/sessions`` gives them."""
    rows = _http(place, "/api/build/sessions").get("sessions")
    return cast("list[dict[str, Any]]", rows) if isinstance(rows, list) else []


def post(place: Place, messages: Mapping[str, Any] | Sequence[Mapping[str, Any]]) -> int:
    """Publish; the number of the newest message. ``place`` must name a session."""
    body = msgspec.json.encode(messages)
    answer = _http(place, f"/api/build/sessions/{quote(place.session or '', safe='')}/events", body)
    return int(answer.get("seq", 0))


def _http(place: Place, path: str, body: bytes | None = None) -> dict[str, Any]:
    headers = {**place.headers, "Accept": "application/json"}
    if body is not None:
        headers["Content-Type"] = "application/json"
    request = urllib.request.Request(place.base + path, body, headers)  # noqa: S310 (`Place` lets only http and https in)
    try:
        with urllib.request.urlopen(request, timeout=10) as response:  # noqa: S310
            answer = json.loads(response.read(MAX_ANSWER))
    except urllib.error.HTTPError as error:
        raise _refused(error.code, error.read(65_536), place) from None
    except (OSError, ValueError) as error:
        reason = getattr(error, "reason", None) or error
        raise ConnectionFailedError(f"{place.base} cannot be reached: {reason}") from None
    return cast("dict[str, Any]", answer) if isinstance(answer, dict) else {}


def _refused(status: int, body: bytes, place: Place) -> ClientError:
    try:
        text = str(json.loads(body)["message"])
    except (ValueError, KeyError, TypeError):
        text = f"HTTP status {status}"
    if status == 401:
        hint = "this token is not valid there" if place.token else "give a token: --token, or BUILDWIDGET_TOKEN"
        return AuthError(f"{place.base} refuses: {text} ({hint})")
    if status == 403:
        return AuthError(f"{place.base} refuses: {text}")
    if status == 404:
        return NoSuchSessionError(f"{place.base} has no session {place.session!r}: {text}")
    if status == 400:
        return ClientError(f"{place.base} does not take this: {text}")
    return ConnectionFailedError(f"{place.base} answers: {text}")


class Core:
    """The state of one client. It is told what comes, and says what to yield and what to do next.

    Parameters
    ----------
    place
        With a session.
    epoch, since
        Go on after this message; without, begin with a snapshot.
    topics, components, min_level
        The filter; None for everything.
    raw
        Yield the messages about the connection too.
    """

    def __init__(
        self,
        place: Place,
        *,
        epoch: str | None = None,
        since: int | None = None,
        topics: Sequence[str] | None = None,
        components: Sequence[str] | None = None,
        min_level: str | None = None,
        raw: bool = False,
        max_backoff: float = 15.0,
        reconnect: bool = True,
    ) -> None:
        self.place, self._raw = place, raw
        self._build = BuildState()
        self.epoch: str | None = epoch
        self._seq = since if epoch is not None and since is not None else 0
        self._whole = False  # whether the state is a snapshot folded on
        self.filter: dict[str, Any] = {"topics": list(topics) if topics is not None else None}
        self.filter |= {"components": list(components) if components is not None else None, "min_level": min_level}
        self.newest = 0
        self.heartbeat = 15.0
        self._resumable = epoch is not None and since is not None
        self._tries = 0
        self._max_backoff, self._reconnect = max_backoff, reconnect

    @property
    def seq(self) -> int:
        """The number of the newest message that was taken in."""
        return self._seq

    def snapshot(self) -> State:
        """The present state."""
        return self._build.snapshot()

    @property
    def url(self) -> str:
        """Where to connect now."""
        query = [("epoch", self.epoch or ""), ("since", str(self._seq))] if self._resumable else [("snapshot", "1")]
        lists = [(name, self.filter[name]) for name in ("topics", "components")]
        query += [(name, ",".join(values)) for name, values in lists if values is not None]
        if self.filter["min_level"]:
            query.append(("min_level", self.filter["min_level"]))
        name = quote(self.place.session or "", safe="")
        return f"{self.place.base.replace('http', 'ws', 1)}{STREAM}{name}?{urlencode(query)}"

    @property
    def patience(self) -> float:
        """Seconds of silence after which the connection counts as dead."""
        return 2.5 * self.heartbeat

    def take(self, text: str | bytes) -> Any | None:
        """A message has come: what to yield of it, if anything.

        Raises
        ------
        ConnectionFailedError
            If it is no message of this protocol.
        """
        try:
            message = ev.decode(text)
        except (msgspec.DecodeError, msgspec.ValidationError) as error:
            raise ConnectionFailedError(f"{self.place.base} says what no server of ours says: {error}") from None
        self._tries = 0
        match message:
            case ev.Connection():
                self.newest, self.heartbeat = message.seq, max(0.1, message.heartbeat)
                if not message.resumed:
                    self.epoch = message.epoch
                    self._resumable = False
            case ev.Snapshot():
                self._adopt(message.epoch, message.seq, message.state)
            case ev.StatusReport():
                if message.seq >= self._seq or message.epoch != self.epoch:
                    self._adopt(message.epoch, message.seq, message.state)
            case ev.Gap() | ev.Pong() | ev.Subscribed():
                pass
            case ev.Heartbeat():
                self.newest = max(self.newest, message.seq)
            case _ if message.seq is not None:
                if message.seq <= self._seq:
                    return None  # it was here before
                self._seq = message.seq
                self.newest = max(self.newest, message.seq)
                self._build.apply(message)
                self._resumable = self.epoch is not None
                return message
            case _:
                pass
        return message if self._raw else None

    def _adopt(self, epoch: str, seq: int, state: State) -> None:
        self._build = BuildState(state, seq)
        self.epoch, self._seq = epoch, seq
        self.newest = max(self.newest if epoch == self.epoch else 0, seq)
        self._resumable = True

    def failed(self, error: BaseException) -> float:
        """The connection broke, or was not to be had: how many seconds to wait before the next try.

        Raises
        ------
        ClientError
            If another try makes no sense.
        """
        told = self._meaning(error)
        if not self._reconnect or isinstance(told, AuthError | NoSuchSessionError):
            raise told from None
        self._tries += 1
        longest = min(self._max_backoff, FIRST_PAUSE * 2 ** min(self._tries, 16))
        return random.uniform(0, longest)

    def meaning(self, error: BaseException) -> ClientError:
        """The error as one of ours."""
        return self._meaning(error)

    def _meaning(self, error: BaseException) -> ClientError:
        if isinstance(error, ClientError):
            return error
        if isinstance(error, InvalidStatus):
            return _refused(error.response.status_code, bytes(error.response.body or b""), self.place)
        if isinstance(error, ConnectionClosed):
            close = error.rcvd
            if close is not None and close.code == 4404:
                return NoSuchSessionError(f"{self.place.base} has no session {self.place.session!r}")
            if close is not None and close.code == 1008:
                return AuthError(f"{self.place.base} has closed the stream: {close.reason or 'policy'}")
            return ConnectionFailedError(
                f"{self.place.base} has closed the stream: {close.reason if close else 'it broke off'}"
            )
        if isinstance(error, InvalidHandshake):
            return ConnectionFailedError(f"{self.place.base} is no server of ours: {error}")
        if isinstance(error, TimeoutError):
            return ConnectionFailedError(f"{self.place.base} does not answer")
        return ConnectionFailedError(f"{self.place.base} cannot be reached: {error}")

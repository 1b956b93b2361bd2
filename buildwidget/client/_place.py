"""The parsed address of a server and of a session on it."""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import Any, Final
from urllib.parse import parse_qsl, quote, unquote, urlencode, urlsplit, urlunsplit

import msgspec

from ..errors import ClientError

__all__ = ["Place"]

STREAM: Final = "/api/build/stream/"
_SCHEMES: Final = {"http": "http", "ws": "http", "https": "https", "wss": "https"}


class Place(msgspec.Struct, frozen=True):
    """A server, a session on it and the token for it, parsed from any of the server's addresses.

    Attributes
    ----------
    base
        The http or https address of the server's page, without a final slash.
    session
        The session's id; None if the address does not name one.
    token
        The token to send; None for none.
    """

    base: str
    session: str | None
    token: str | None

    @classmethod
    def of(cls, url: str, token: str | None = None, session: str | None = None) -> Place:
        """Parse an address: a page, ``…/?session=ID``, or a stream; http or ws; with any path prefix.

        Raises
        ------
        ClientError
            If it is not a valid address of that kind.
        """
        try:
            parts = urlsplit(url.strip())
            parts.port  # noqa: B018 (raises ValueError if it is no number, or too large)
        except ValueError as error:
            raise ClientError(f"{url!r} is not a valid address: {error}") from None
        scheme = _SCHEMES.get(parts.scheme)
        if scheme is None or not parts.hostname:
            raise ClientError("the address of a server begins with http://, https://, ws:// or wss://")
        query = dict(parse_qsl(parts.query))
        path, found = parts.path, query.get("session")
        if STREAM in path:
            path, _, name = path.partition(STREAM)
            found = unquote(name.strip("/")) or found
        netloc = parts.netloc.rpartition("@")[2]
        prefix = quote(path.rstrip("/"), safe="/%:@!$&'()*+,;=~-._")
        token = token or query.get("token") or os.environ.get("BUILDWIDGET_TOKEN") or None
        return cls(urlunsplit((scheme, netloc, prefix, "", "")), session or found, token)

    @property
    def headers(self) -> dict[str, str]:
        """The HTTP headers to send: the token, if there is one."""
        return {"Authorization": f"Bearer {self.token}"} if self.token else {}

    def stream_url(self, query: Mapping[str, Any]) -> str:
        """The address of the session's WebSocket."""
        name = quote(self.session or "", safe="")
        return f"{self.base.replace('http', 'ws', 1)}{STREAM}{name}?{urlencode(query)}"

    @property
    def events_path(self) -> str:
        """Where to publish into the session, below ``base``."""
        return f"/api/build/sessions/{quote(self.session or '', safe='')}/events"

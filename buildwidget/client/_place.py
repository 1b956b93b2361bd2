"""Where a session is: the address of its server, taken apart."""

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
        try:
            parts = urlsplit(url.strip())
            parts.port  # noqa: B018 (raises ValueError if it is no number, or too large)
        except ValueError as error:
            raise ClientError(f"{url!r} is no address: {error}") from None
        scheme = _SCHEMES.get(parts.scheme)
        if scheme is None or not parts.hostname:
            raise ClientError("an address begins with http://, https://, ws:// or wss://")
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
        """What the server is shown."""
        return {"Authorization": f"Bearer {self.token}"} if self.token else {}

    def stream_url(self, query: Mapping[str, Any]) -> str:
        """The address of the session's WebSocket."""
        name = quote(self.session or "", safe="")
        return f"{self.base.replace('http', 'ws', 1)}{STREAM}{name}?{urlencode(query)}"

    @property
    def events_path(self) -> str:
        """Where to publish into the session, below ``base``."""
        return f"/api/build/sessions/{quote(self.session or '', safe='')}/events"

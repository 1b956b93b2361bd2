"""Who may connect: tokens, origins and host names. Pure: headers in, a verdict out.

A browser sends ``Origin`` with every WebSocket and cannot be made to lie about it, so a page of somebody else's is
refused. ``Host`` must be a name that this server has: otherwise a foreign name that is pointed at this address (DNS
rebinding) would make a foreign page one of our own.
"""

from __future__ import annotations

import hashlib
import hmac
import ipaddress
from collections.abc import Mapping
from http.cookies import CookieError, SimpleCookie
from typing import Any, Final
from urllib.parse import parse_qs, urlsplit

import msgspec

from .config import ServerOptions, is_loopback

__all__ = ["Access", "Grant", "Refusal"]

_LOOPBACK_NAMES: Final = frozenset({"localhost", "127.0.0.1", "::1"})
_PORTS: Final = {"http": 80, "https": 443, "ws": 80, "wss": 443}


class Refusal(msgspec.Struct, frozen=True):
    """Why somebody may not come in: an HTTP status, a code for programs, a sentence for people."""

    status: int
    error: str
    message: str


class Grant(msgspec.Struct, frozen=True):
    """What somebody may do. Everybody who comes in may read."""

    write: bool = False


class Access:
    """Decides by the options of a server."""

    def __init__(self, options: ServerOptions) -> None:
        self._options = options
        self._origins = frozenset(filter(None, (_origin(one) for one in options.allow_origins)))
        self._any_origin = "*" in options.allow_origins
        self._null_origin = "null" in options.allow_origins
        self._hosts = frozenset(_LOOPBACK_NAMES | {h.lower().strip("[]") for h in options.allow_hosts})
        self._any_host = "*" in options.allow_hosts

    def check(self, scope: Mapping[str, Any], *, write: bool = False) -> Grant | Refusal:
        """Whether the sender of this request (an ASGI scope) may read, or ``write``."""
        headers = _headers(scope)
        return (
            self._check_host(headers, scope) or self._check_origin(headers) or self._check_token(headers, scope, write)
        )

    def check_place(self, scope: Mapping[str, Any]) -> Refusal | None:
        """Only whether the request comes from the right place, whoever sent it."""
        headers = _headers(scope)
        return self._check_host(headers, scope) or self._check_origin(headers)

    # -- where from -----------------------------------------------------------------------------------------------

    def _check_host(self, headers: dict[bytes, bytes], scope: Mapping[str, Any]) -> Refusal | None:
        if self._any_host:
            return None
        host = _host(headers.get(b"host", b"").decode("latin-1"))
        if host is not None:
            name = host[0]
            server = scope.get("server") or ("", None)
            own = str(server[0]).lower()
            if name in self._hosts or (name == own and not is_loopback(own)) or name == self._options.host.lower():
                return None
            # No foreign name can stand behind an address that is written out.
            if not is_loopback(own) and _is_address(name):
                return None
        return Refusal(403, "host", "this server has no such name; start it with --allow-host NAME if it has")

    def _check_origin(self, headers: dict[bytes, bytes]) -> Refusal | None:
        origin = headers.get(b"origin")
        if origin is None or self._any_origin:
            return None
        text = origin.decode("latin-1").strip()
        if text == "null":
            if self._null_origin:
                return None
        else:
            parsed = _origin(text)
            host = _host(headers.get(b"host", b"").decode("latin-1"))
            if parsed is not None:
                # A proxy may have taken TLS away, so the scheme is the browser's word; the name and the port are ours.
                own = None if host is None else (host[0], host[1] or _PORTS[parsed[0]])
                if parsed in self._origins or parsed[1:] == own:
                    return None
        return Refusal(403, "origin", "pages of this origin may not connect; allow them with --allow-origin ORIGIN")

    # -- who ------------------------------------------------------------------------------------------------------

    def _check_token(self, headers: dict[bytes, bytes], scope: Mapping[str, Any], write: bool) -> Grant | Refusal:
        options = self._options
        shown = _shown_token(headers, scope)
        may_write = options.write_token is not None and shown is not None and _same(shown, options.write_token)
        if write:
            if may_write:
                return Grant(write=True)
            if options.write_token is None:
                return Refusal(403, "read_only", "nobody may publish here; start the server with --write-token")
            if shown is None:
                return Refusal(401, "token", "a write token is needed: Authorization: Bearer TOKEN")
            return Refusal(403, "token", "this token may not publish; use the write token")
        if options.token is None or may_write:
            return Grant(write=may_write)
        if shown is not None and _same(shown, options.token):
            return Grant()
        cookie = self._cookie_of(headers, scope)
        if cookie is not None and _same(cookie, self.cookie_value()):
            return Grant()
        if shown is None and cookie is None:
            return Refusal(401, "token", "a token is needed: Authorization: Bearer TOKEN, or ?token=TOKEN")
        return Refusal(401, "token", "this token is not valid here")

    def cookie_name(self, scope: Mapping[str, Any]) -> str:
        """Browsers send cookies to every port of a host: each server has a name of its own."""
        server = scope.get("server") or ("", 0)
        return f"buildwidget-{server[1] or 0}"

    def cookie_value(self) -> str:
        """What stands for the token in a browser: the token cannot be read from it."""
        return hmac.new((self._options.token or "").encode(), b"buildwidget cookie", hashlib.sha256).hexdigest()

    def may_have_cookie(self, scope: Mapping[str, Any]) -> bool:
        """Whether this request shows the token itself in its address, as ``GET /?token=…`` does."""
        shown = _query_token(scope)
        options = self._options
        if shown is None or options.token is None:
            return False
        return _same(shown, options.token) or (options.write_token is not None and _same(shown, options.write_token))

    def _cookie_of(self, headers: dict[bytes, bytes], scope: Mapping[str, Any]) -> str | None:
        raw = headers.get(b"cookie")
        if raw is None or len(raw) > 16_384:
            return None
        try:
            morsel = SimpleCookie(raw.decode("latin-1")).get(self.cookie_name(scope))
        except CookieError:
            return None
        return None if morsel is None else morsel.value


def _headers(scope: Mapping[str, Any]) -> dict[bytes, bytes]:
    """The headers; of one that comes twice the last, except that two hosts or origins are none of ours."""
    found: dict[bytes, bytes] = {}
    for name, value in scope.get("headers", ()):
        found[name] = b"\0" if name in found and name in {b"host", b"origin"} else value
    return found


def _same(one: str, other: str) -> bool:
    return hmac.compare_digest(one.encode("utf-8", "replace"), other.encode("utf-8", "replace"))


def _shown_token(headers: dict[bytes, bytes], scope: Mapping[str, Any]) -> str | None:
    scheme, _, value = headers.get(b"authorization", b"").decode("latin-1").partition(" ")
    if scheme.lower() == "bearer" and value.strip():
        return value.strip()
    return _query_token(scope)


def _query_token(scope: Mapping[str, Any]) -> str | None:
    query = scope.get("query_string", b"")
    if b"token" not in query:
        return None
    try:
        return parse_qs(query.decode("latin-1"), max_num_fields=100).get("token", [None])[0]
    except ValueError:
        return None


def _host(text: str) -> tuple[str, int | None] | None:
    """Name and port of a ``Host`` header; None if it is none."""
    text = text.strip()
    if not text or any(c in text for c in "/\\?#@ \0\t"):
        return None
    try:
        parts = urlsplit(f"//{text}")
        port = parts.port
    except ValueError:
        return None
    return None if not parts.hostname else (parts.hostname.lower(), port)


def _origin(text: str) -> tuple[str, str, int] | None:
    """Scheme, name and port of an origin; None if it is none."""
    try:
        parts = urlsplit(text)
        port = parts.port
    except ValueError:
        return None
    if parts.scheme not in {"http", "https"} or not parts.hostname or parts.username or parts.password:
        return None
    if parts.path not in {"", "/"} or parts.query or parts.fragment or any(c in text for c in " \\\t"):
        return None
    return parts.scheme, parts.hostname.lower(), port or _PORTS[parts.scheme]


def _is_address(name: str) -> bool:
    try:
        ipaddress.ip_address(name)
    except ValueError:
        return False
    return True

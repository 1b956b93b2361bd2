"""Access control by token, origin and host name. Pure: takes headers, returns a grant or a refusal.

A browser sends ``Origin`` with every WebSocket and no page can forge it, so pages of foreign origins are refused.
``Host`` must be a name of this server: otherwise a foreign name that resolves to this address (DNS rebinding) would
make a foreign page count as same-origin.

Nothing that a proxy adds (``X-Forwarded-Host`` and the like) is read here.
"""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Iterator, Mapping
from typing import Any, Final

import msgspec

from ..errors import BadRequestError
from .config import DEFAULT_PORTS, ServerOptions, canonical_name, host_of, is_address, is_loopback, origin_of
from .query import fields_of, text_of

__all__ = ["COOKIE_PREFIX", "Access", "Grant", "Refusal", "cookie_pairs", "peer_of"]

COOKIE_PREFIX: Final = b"buildwidget-"

_LOOPBACK_NAMES: Final = frozenset({"localhost", "127.0.0.1", "::1"})
_ONE_ONLY: Final = frozenset({b"host", b"origin"})


class Refusal(msgspec.Struct, frozen=True):
    """Why a request is refused: an HTTP status, a code for programs, a message for people."""

    status: int
    error: str
    message: str


class Grant(msgspec.Struct, frozen=True):
    """The rights of a request that is let in. It may always read."""

    write: bool = False


class Access:
    """Checks requests against the options of a server."""

    def __init__(self, options: ServerOptions) -> None:
        self._options = options
        self._origins = frozenset(filter(None, (origin_of(one) for one in options.allow_origins)))
        self._any_origin = "*" in options.allow_origins
        self._null_origin = "null" in options.allow_origins
        self._hosts = frozenset(_LOOPBACK_NAMES | {canonical_name(name) for name in options.allow_hosts})
        self._any_host = "*" in options.allow_hosts
        self._bound_to = canonical_name(options.host)
        secret = (options.token or "").encode()
        self._cookie_value = hmac.new(secret, b"buildwidget cookie", hashlib.sha256).hexdigest()
        name = hmac.new(secret, b"buildwidget cookie's name", hashlib.sha256).hexdigest()[:12]
        self._cookie_name = f"{COOKIE_PREFIX.decode()}{name}"

    def check(self, scope: Mapping[str, Any], *, write: bool = False) -> Grant | Refusal:
        """Check host, origin and token of a request (an ASGI scope) for reading, or for publishing if ``write``."""
        headers = _headers(scope)
        return (
            self._check_host(headers, scope)
            or self._check_origin(headers, scope)
            or self._check_token(headers, scope, write)
        )

    def check_source(self, scope: Mapping[str, Any]) -> Refusal | None:
        """Check only host and origin of a request; return None if both are allowed."""
        headers = _headers(scope)
        return self._check_host(headers, scope) or self._check_origin(headers, scope)

    # -- host and origin ----------------------------------------------------------------------------------------------

    def _check_host(self, headers: dict[bytes, bytes], scope: Mapping[str, Any]) -> Refusal | None:
        if self._any_host:
            return None
        raw = headers.get(b"host")
        if raw is None and scope.get("http_version") == "1.0":
            return None  # HTTP/1.0 has no Host, and no browser speaks it
        host = host_of((raw or b"").decode("latin-1"))
        if host is not None:
            name = host[0]
            own = canonical_name(str((scope.get("server") or ("", None))[0]))
            if name in self._hosts or (name == own and not is_loopback(own)) or name == self._bound_to:
                return None
            # DNS rebinding needs a name; a literal IP address cannot be rebound.
            if not is_loopback(own) and is_address(name):
                return None
        return Refusal(
            403, "host", "the Host header is no name of this server; if it is, start it with --allow-host NAME"
        )

    def _check_origin(self, headers: dict[bytes, bytes], scope: Mapping[str, Any]) -> Refusal | None:
        raw = headers.get(b"origin")
        if raw is None or self._any_origin:
            return None
        text = raw.decode("latin-1").strip()
        if text == "null" and self._null_origin:
            return None
        origin = origin_of(text)
        if origin is not None and (origin in self._origins or self._is_own(origin, headers, scope)):
            return None
        return Refusal(403, "origin", "pages of this origin may not connect; allow them with --allow-origin ORIGIN")

    @staticmethod
    def _is_own(origin: tuple[str, str, int], headers: dict[bytes, bytes], scope: Mapping[str, Any]) -> bool:
        """Whether the origin is this server's own. A proxy may terminate TLS, so the scheme is not compared."""
        scheme, name, port = origin
        host = host_of(headers.get(b"host", b"").decode("latin-1"))
        if host is None or host[0] != name:
            return False
        if host[1] is not None:
            return host[1] == port
        # A browser omits a default port. If this server listens on another port, a proxy is in front, and it may
        # have dropped the port (nginx: `Host $host`), so the port cannot be compared.
        listening = (scope.get("server") or ("", None))[1]
        return port == DEFAULT_PORTS[scheme] or listening not in DEFAULT_PORTS.values()

    # -- token and cookie ---------------------------------------------------------------------------------------------

    def _check_token(self, headers: dict[bytes, bytes], scope: Mapping[str, Any], write: bool) -> Grant | Refusal:
        options = self._options
        given = _given_token(headers, scope)
        may_write = options.write_token is not None and given is not None and _same(given, options.write_token)
        if write:
            if may_write:
                return Grant(write=True)
            if options.write_token is None:
                return Refusal(403, "read_only", "nobody may publish here; start the server with --write-token")
            if given is None:
                return Refusal(401, "token", "a write token is needed: Authorization: Bearer TOKEN")
            return Refusal(403, "token", "this token may not publish; use the write token")
        if options.token is None or may_write:
            return Grant(write=may_write)
        if given is not None and _same(given, options.token):
            return Grant()
        cookies = self._cookies_of(headers)
        if any(_same(cookie, self._cookie_value) for cookie in cookies):
            return Grant()
        if given is None and not cookies:
            return Refusal(401, "token", "a token is needed: Authorization: Bearer TOKEN, or ?token=TOKEN")
        return Refusal(401, "token", "the token is not valid for this server")

    @property
    def cookie(self) -> tuple[str, str]:
        """Name and value of the cookie that replaces the token in a browser; they do not reveal the token.

        Browsers send a cookie to every port of a host. The name is derived from the token, so that the cookies of two
        servers on one host do not collide.
        """
        return self._cookie_name, self._cookie_value

    def may_set_cookie(self, scope: Mapping[str, Any]) -> bool:
        """Return whether the request has a valid token in its query, as ``GET /?token=…`` does."""
        given = _query_token(scope)
        options = self._options
        if given is None or options.token is None:
            return False
        return _same(given, options.token) or (options.write_token is not None and _same(given, options.write_token))

    def _cookies_of(self, headers: dict[bytes, bytes]) -> list[str]:
        """Return the values of the server's own cookie; there is one for each path where the page was opened."""
        name = self._cookie_name.encode()
        return [value.decode("latin-1") for found, value in cookie_pairs(headers.get(b"cookie", b"")) if found == name]


def cookie_pairs(header: bytes) -> Iterator[tuple[bytes, bytes]]:
    """Yield name and value of each cookie. A malformed one does not affect the others."""
    for part in header.split(b";"):
        name, equals, value = part.strip().partition(b"=")
        if equals:
            yield name.strip(), value.strip().strip(b'"')


def peer_of(scope: Mapping[str, Any]) -> str:
    """Return the client's address as text: ``10.0.0.1:5000``, ``[2001:db8::1]:5000``; empty if unknown."""
    host, port = scope.get("client") or ("", 0)
    if not host and scope.get("client"):  # older versions of uvicorn leave the host empty if every proxy is trusted
        host = _headers(scope).get(b"x-forwarded-for", b"").decode("latin-1").split(",")[0].strip()
    if not host:
        return ""
    name = canonical_name(str(host))
    given = f"[{name}]" if ":" in name else name
    return f"{given}:{port}" if port else given


def _headers(scope: Mapping[str, Any]) -> dict[bytes, bytes]:
    """Return the headers as a dict: cookies joined, a repeated host or origin invalid, of others the last."""
    found: dict[bytes, bytes] = {}
    for name, value in scope.get("headers", ()):
        if name == b"cookie" and name in found:
            found[name] += b";" + value
        else:
            found[name] = b"\0" if name in found and name in _ONE_ONLY else value
    return found


def _same(one: str, other: str) -> bool:
    return hmac.compare_digest(one.encode("utf-8", "replace"), other.encode("utf-8", "replace"))


def _given_token(headers: dict[bytes, bytes], scope: Mapping[str, Any]) -> str | None:
    scheme, _, value = headers.get(b"authorization", b"").decode("latin-1").partition(" ")
    if scheme.lower() == "bearer" and value.strip():
        return value.strip()
    return _query_token(scope)


def _query_token(scope: Mapping[str, Any]) -> str | None:
    query = scope.get("query_string", b"")
    if b"token" not in query:
        return None
    try:
        texts = {text_of(value) for value in fields_of(query).get("token", ())}
    except BadRequestError:
        return None
    return texts.pop() if len(texts) == 1 else None  # two that differ are ambiguous

"""The options of a server, and their validation."""

from __future__ import annotations

import ipaddress
import os
import re
import secrets
from pathlib import Path
from typing import Final

import msgspec

from ..errors import OptionsError

__all__ = [
    "ServerOptions",
    "canonical_name",
    "host_of",
    "is_address",
    "is_loopback",
    "needs_token",
    "origin_of",
    "read_token",
    "session_ids",
]

DEFAULT_PORT: Final = 8000
ID: Final = re.compile(r"[A-Za-z0-9._-]{1,128}")
MIN_TOKEN: Final = 8  # characters; fewer can be tried out
DEFAULT_PORTS: Final = {"http": 80, "https": 443}

_HOST: Final = re.compile(r"(\[[0-9A-Fa-f:.]+(?:%[\w.~-]+)?\]|[A-Za-z0-9._~-]+)(?::([0-9]{0,5}))?", re.ASCII)
_PREFIX: Final = re.compile(r"(/[A-Za-z0-9._~!$&'()*+,;=:@-]+)*")


class ServerOptions(msgspec.Struct, kw_only=True, frozen=True):
    """The options of a server.

    Attributes
    ----------
    sessions
        Session id → the project's folder. `session_ids` makes them from folders.
    open_sessions
        Whether a session that is not known is made at its first connection or publication (the library's way). Else
        it is refused with 4404.
    host, port
        Where to listen; port 0 chooses a free one. Any address but a loopback one needs a token.
    token, write_token
        What readers, and publishers, must show. None: readers need none; nobody may publish over HTTP.
    allow_origins
        Origins that browsers may connect from besides the server's own, such as ``https://example.org``; ``null`` for
        pages opened from a file; ``*`` for all.
    allow_hosts
        Names of this server besides its own address, without a port; ``*`` for any.
    trusted_proxies
        Addresses of reverse proxies whose ``X-Forwarded-For`` and ``X-Forwarded-Proto`` are believed. Nobody's are by
        default.
    max_clients
        Streams at one time, of all sessions.
    tick, heartbeat, patience
        Seconds: in which messages are joined into one write; of silence before a heartbeat; that a client may read
        nothing before it is dropped.
    queue_bytes
        How far a client may lag behind before it gets a gap and a snapshot.
    log_level, json_logs
        ``debug``, ``info``, ``warning`` or ``error``; one JSON object per line instead of text.
    tls_cert, tls_key
        PEM files; both or none.
    root_path
        The path prefix that a reverse proxy takes away, such as ``/builds``. Requests that still have it are
        understood too.
    """

    sessions: dict[str, Path] = {}
    open_sessions: bool = False
    host: str = "127.0.0.1"
    port: int = DEFAULT_PORT
    token: str | None = None
    write_token: str | None = None
    allow_origins: tuple[str, ...] = ()
    allow_hosts: tuple[str, ...] = ()
    trusted_proxies: tuple[str, ...] = ()
    max_clients: int = 20_000
    tick: float = 0.020
    heartbeat: float = 15.0
    patience: float = 30.0
    queue_bytes: int = 256 * 1024
    log_level: str = "info"
    json_logs: bool = False
    tls_cert: Path | None = None
    tls_key: Path | None = None
    root_path: str = ""

    def check(self) -> None:
        """Refuse what would be unsafe or cannot work.

        Raises
        ------
        OptionsError
            It says what to change.
        """
        if not is_loopback(self.host) and self.token is None:
            raise needs_token(self.host)
        if not 0 <= self.port <= 65_535:
            raise OptionsError(f"there is no port {self.port}; choose 0 to 65535 (0: any free one)")
        for name, token in (("token", self.token), ("write token", self.write_token)):
            if token is not None and (len(token) < MIN_TOKEN or not token.isascii() or not token.isprintable()):
                raise OptionsError(f"the {name} must have at least {MIN_TOKEN} printable ASCII characters")
            if token is not None and " " in token:
                raise OptionsError(f"the {name} must not hold spaces")
        if (self.tls_cert is None) != (self.tls_key is None):
            raise OptionsError("for TLS give both --tls-cert and --tls-key")
        for path in (self.tls_cert, self.tls_key):
            if path is not None and not path.is_file():
                raise OptionsError(f"there is no file {path}")
        for session_id in self.sessions:
            if not ID.fullmatch(session_id) or session_id in {".", ".."}:
                raise OptionsError(
                    f"{session_id!r} cannot be a session id: 1 to 128 letters, digits, dots, hyphens or underscores, "
                    "and more than one or two dots"
                )
        for origin in self.allow_origins:
            if origin not in {"*", "null"} and (origin_of(origin) is None or origin.endswith("/")):
                raise OptionsError(
                    f"{origin!r} is no origin. One looks like https://example.org or http://localhost:3000"
                )
        for name in self.allow_hosts:
            if name != "*" and (host_of(name) or host_of(f"[{name}]") or ("", 0))[1] is not None:
                raise OptionsError(f"{name!r} is no name of a host. One looks like builds.example.org, without a port")
        for proxy in self.trusted_proxies:
            if not is_address(proxy):
                raise OptionsError(f"{proxy!r} is no address of a proxy. One looks like 127.0.0.1")
        if not _PREFIX.fullmatch(self.root_path):
            raise OptionsError(f"{self.root_path!r} is no path prefix. One looks like /builds")


def needs_token(where: str) -> OptionsError:
    """The refusal to listen where strangers can connect, without a token."""
    return OptionsError(
        f"{where} can be reached from other machines, so a token is needed. Give one with --token or in "
        f"BUILDWIDGET_TOKEN, for example {secrets.token_urlsafe(16)}"
    )


def canonical_name(name: str) -> str:
    """A host's name in the one form in which two can be compared: lower case, without brackets and final dot.

    Of an address the shortest form; of an IPv4 address mapped into IPv6 (``::ffff:10.0.0.1``) the IPv4 address.
    """
    bare = name.strip("[]").lower()
    try:
        address = ipaddress.ip_address(bare)
    except ValueError:
        return bare.removesuffix(".")
    mapped = address.ipv4_mapped if isinstance(address, ipaddress.IPv6Address) else None
    return str(mapped or address)


def host_of(text: str) -> tuple[str, int | None] | None:
    """Name (canonical) and port of a ``Host`` header, the port None if it says none; None if it is no host at all."""
    found = _HOST.fullmatch(text.strip(" \t"))
    if found is None:
        return None
    port = int(found[2]) if found[2] else None
    return None if port is not None and port > 65_535 else (canonical_name(found[1]), port)


def origin_of(text: str) -> tuple[str, str, int] | None:
    """Scheme, name (canonical) and port of an origin; None if it is none of http or https."""
    scheme, separator, rest = text.strip(" \t").partition("://")
    scheme = scheme.lower()
    host = host_of(rest.removesuffix("/"))
    if not separator or scheme not in DEFAULT_PORTS or host is None:
        return None
    return scheme, host[0], DEFAULT_PORTS[scheme] if host[1] is None else host[1]


def is_address(name: str) -> bool:
    """Whether this is an IP address, and no name."""
    try:
        ipaddress.ip_address(name.strip("[]"))
    except ValueError:
        return False
    return True


def is_loopback(host: str) -> bool:
    """Whether only this machine can reach that address."""
    name = canonical_name(host)
    return name == "localhost" or (is_address(name) and ipaddress.ip_address(name).is_loopback)


def session_ids(projects: list[Path], named: dict[str, Path] | None = None) -> dict[str, Path]:
    """Give every project an id: its folder's name, with a number where two have the same.

    Parameters
    ----------
    projects
        Folders without a name of their own.
    named
        Session id → folder, as they were given.
    """
    found = dict(named or {})
    for project in projects:
        base = re.sub(r"[^A-Za-z0-9._-]+", "-", Path(os.path.abspath(project)).name).strip("-")[:120]
        base = "build" if base in {"", ".", ".."} else base  # browsers take dots alone for steps in the path
        name, number = base, 1
        while name in found:
            number += 1
            name = f"{base}-{number}"
        found[name] = project
    return found


def read_token(path: Path) -> str:
    """The token in a file: its first line.

    Raises
    ------
    OptionsError
        If there is none.
    """
    try:
        lines = path.read_text("utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise OptionsError(f"the token file {path} cannot be read: {error}") from None
    if not lines or not lines[0].strip():
        raise OptionsError(f"the token file {path} is empty; its first line is the token")
    return lines[0].strip()

"""Reduce the headers of a WebSocket request to what its parser accepts: websockets allows 128 lines of 8 KiB.

Browsers send the cookies of every program on a host in one line, and proxies add headers. Without this, either could
make the handshake fail.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

from .access import COOKIE_PREFIX, cookie_pairs

__all__ = ["MAX_TARGET", "shortened"]

MAX_LINE: Final = 8_000
MAX_TARGET: Final = 8_000  # bytes of path and query
_MAX_SAME: Final = 4  # lines of one name
_NEEDED: Final = frozenset(
    {b"host", b"origin", b"authorization", b"user-agent", b"connection", b"upgrade", b"x-forwarded-for"}
    | {b"x-forwarded-proto", b"sec-websocket-key", b"sec-websocket-version", b"sec-websocket-extensions"}
    | {b"sec-websocket-protocol"}
)


def shortened(headers: Iterable[tuple[bytes, bytes]]) -> list[tuple[bytes, bytes]]:
    """Return only the headers that the server uses, and of the cookies only its own; values too long are replaced."""
    found: list[tuple[bytes, bytes]] = []
    cookies: list[bytes] = []
    seen: dict[bytes, int] = {}
    for name, value in headers:
        if name == b"cookie":
            cookies += [b"%b=%b" % pair for pair in cookie_pairs(value) if pair[0].startswith(COOKIE_PREFIX)]
        elif name in _NEEDED:
            seen[name] = seen.get(name, 0) + 1
            if seen[name] <= _MAX_SAME:
                found.append((name, value if len(value) <= MAX_LINE else b"too-long"))
    line: list[bytes] = []
    for cookie in [one for one in cookies if len(one) <= MAX_LINE]:
        if line and sum(map(len, line)) + 2 * len(line) + len(cookie) > MAX_LINE:
            found.append((b"cookie", b"; ".join(line)))
            line = []
        line.append(cookie)
    if line:
        found.append((b"cookie", b"; ".join(line)))
    return found

"""Listening sockets, and the URL that a server announces, which works on this machine."""

from __future__ import annotations

import os
import socket
from collections.abc import Sequence
from typing import Final

from ..errors import OptionsError
from .config import ServerOptions, canonical_name, is_address, is_loopback, needs_token

__all__ = ["announced", "inherited", "listen"]

BACKLOG: Final = 2048
_EVERYWHERE: Final = frozenset({"0.0.0.0", "::"})  # noqa: S104 (what was asked for)
_FIRST_HANDED_OVER: Final = 3  # sd_listen_fds(3)


def listen(options: ServerOptions) -> socket.socket:
    """Open a listening socket. ``::`` accepts IPv4 too, where the system supports dual-stack sockets.

    Raises
    ------
    OptionsError
        If the address cannot be used.
    """
    host = canonical_name(options.host) or "0.0.0.0"  # noqa: S104 (an empty name stands for all of IPv4)
    try:
        family = socket.getaddrinfo(host, options.port, type=socket.SOCK_STREAM)[0][0]
        both = family == socket.AF_INET6 and host in _EVERYWHERE and socket.has_dualstack_ipv6()
        listener = socket.create_server((host, options.port), family=family, backlog=BACKLOG, dualstack_ipv6=both)
    except (OSError, OverflowError, UnicodeError) as error:
        hint = " Choose another port with --port, or --port 0 for any free one." if options.port else ""
        reason = getattr(error, "strerror", None) or str(error)
        raise OptionsError(f"cannot listen on {options.host}, port {options.port}: {reason}.{hint}") from None
    listener.setblocking(False)
    return listener


def inherited(options: ServerOptions) -> list[socket.socket]:
    """Return the listening sockets passed by systemd (``LISTEN_FDS``); empty if there are none.

    Raises
    ------
    OptionsError
        If one is not a listening stream socket, or not on a loopback address while there is no token.
    """
    told = {name: os.environ.get(name, "") for name in ("LISTEN_PID", "LISTEN_FDS")}
    if told["LISTEN_PID"] != str(os.getpid()) or not told["LISTEN_FDS"].isdecimal():
        return []
    for name in ("LISTEN_PID", "LISTEN_FDS", "LISTEN_FDNAMES"):  # child processes must not inherit them
        os.environ.pop(name, None)
    found: list[socket.socket] = []
    for number in range(_FIRST_HANDED_OVER, _FIRST_HANDED_OVER + int(told["LISTEN_FDS"])):
        try:
            os.set_inheritable(number, False)
            listener = socket.socket(fileno=number)
            listens = listener.type == socket.SOCK_STREAM and listener.getsockopt(
                socket.SOL_SOCKET, socket.SO_ACCEPTCONN
            )
        except OSError as error:
            raise OptionsError(f"LISTEN_FDS names file {number}, which is no socket: {error.strerror}") from None
        if not listens:
            raise OptionsError("the socket unit must have ListenStream= and Accept=no")
        if listener.family != socket.AF_UNIX and options.token is None:
            host = str(listener.getsockname()[0])
            if not is_loopback(host):
                raise needs_token(host)
        listener.setblocking(False)
        found.append(listener)
    return found


def announced(listeners: Sequence[socket.socket], options: ServerOptions) -> str:
    """Return the URL of a server: of its first TCP socket, else ``unix:PATH``."""
    listener = next((one for one in listeners if one.family != socket.AF_UNIX), listeners[0])
    where = listener.getsockname()
    if listener.family == socket.AF_UNIX:
        path = os.fsdecode(where)
        return f"unix:@{path[1:]}" if path.startswith("\0") else f"unix:{path}"
    host, port = canonical_name(str(where[0])), int(where[1])
    if host in _EVERYWHERE:
        host = "::1" if _is_ipv6_only(listener) else "127.0.0.1"
    asked = canonical_name(options.host)
    if not is_address(asked) and asked and _leads_to(asked, listener):
        host = asked  # the name in a certificate, for example
    if ":" in host:
        host = f"[{host.replace('%', '%25')}]"
    return f"{'https' if options.tls_cert else 'http'}://{host}:{port}{options.root_path}"


def _is_ipv6_only(listener: socket.socket) -> bool:
    return listener.family == socket.AF_INET6 and bool(
        listener.getsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY),
    )


def _leads_to(name: str, listener: socket.socket) -> bool:
    try:
        found = socket.getaddrinfo(name, None, listener.family, socket.SOCK_STREAM)
    except OSError:
        return False
    return str(listener.getsockname()[0]) in {str(one[4][0]) for one in found}

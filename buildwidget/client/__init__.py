"""A client for the server's streams: typed messages, the folded state, and resuming built in.

>>> from buildwidget.client import connect_sync
>>> with connect_sync("http://127.0.0.1:8000") as stream:  # doctest: +SKIP
...     for message in stream:
...         print(message.seq, type(message).__name__, stream.snapshot().progress.percent)

The names below are imported when they are first used; most need the extra ``server``.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from .._lazy import lazy_exports

if TYPE_CHECKING:
    from ..errors import (
        AuthError,
        CertificateError,
        ClientError,
        ConnectionFailedError,
        GapError,
        NoSuchSessionError,
    )
    from ..events import Gap
    from ._async import Stream, connect
    from ._http import apublish, list_sessions, publish
    from ._place import Place
    from ._sync import SyncStream, connect_sync

__all__ = [
    "AuthError",
    "CertificateError",
    "ClientError",
    "ConnectionFailedError",
    "Gap",
    "GapError",
    "NoSuchSessionError",
    "Place",
    "Stream",
    "SyncStream",
    "apublish",
    "connect",
    "connect_sync",
    "list_sessions",
    "publish",
]

_HOMES: Final = {
    "AuthError": ".errors",
    "CertificateError": ".errors",
    "ClientError": ".errors",
    "ConnectionFailedError": ".errors",
    "Gap": ".events",
    "GapError": ".errors",
    "NoSuchSessionError": ".errors",
    "Place": "_place",
    "Stream": "_async",
    "SyncStream": "_sync",
    "apublish": "_http",
    "connect": "_async",
    "connect_sync": "_sync",
    "list_sessions": "_http",
    "publish": "_http",
}


__getattr__, __dir__ = lazy_exports(__name__, _HOMES)

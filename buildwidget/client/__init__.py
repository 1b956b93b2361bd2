"""A client for the server's streams: typed messages, the folded state, and resuming built in.

>>> from buildwidget.client import connect_sync
>>> with connect_sync("http://127.0.0.1:8000") as stream:  # doctest: +SKIP
...     for message in stream:
...         print(message.seq, type(message).__name__, stream.snapshot().progress.percent)
"""

from __future__ import annotations

from ..errors import AuthError, ClientError, ConnectionFailedError, GapError, NoSuchSessionError
from ..events import Gap
from ._async import Stream, connect
from ._http import apublish, list_sessions, publish
from ._place import Place
from ._sync import SyncStream, connect_sync

__all__ = [
    "AuthError",
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

"""A client for the server's streams: typed messages, the folded state, and resuming built in.

>>> from buildwidget.client import connect_sync
>>> with connect_sync("http://127.0.0.1:8000") as stream:  # doctest: +SKIP
...     for message in stream:
...         print(message.seq, type(message).__name__, stream.snapshot().progress.percent)
"""

from __future__ import annotations

from ..errors import AuthError, ClientError, ConnectionFailedError, NoSuchSessionError
from ._core import Place
from ._shells import Stream, SyncStream, apublish, connect, connect_sync, list_sessions, publish

__all__ = [
    "AuthError",
    "ClientError",
    "ConnectionFailedError",
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

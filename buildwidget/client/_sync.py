"""The blocking stream client, for programs without an event loop."""

from __future__ import annotations

import contextlib
import inspect
import json
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from types import TracebackType
from typing import Any, Final, Self, cast

from websockets.sync import client as ws_sync
from websockets.sync.client import ClientConnection as SyncConnection

from ..model import State
from ._core import Core
from ._http import with_session
from ._place import Place
from ._refusals import as_client_error
from ._stream_base import BROKEN, SOCKET, StreamBase

__all__ = ["SyncStream", "connect_sync"]


_PINGS: Final = "ping_interval" in inspect.signature(SyncConnection).parameters


class SyncStream(StreamBase):
    """The messages of one session, for programs without an event loop. Made by `connect_sync`."""

    def __init__(self, place: Place, timeout: float, **options: Any) -> None:
        super().__init__(place, timeout, **options)
        self._lock = threading.Lock()  # `snapshot` may be called from another thread
        self._socket: SyncConnection | None = None
        self._closing = threading.Event()

    def __enter__(self) -> Self:
        core = self._open_core(with_session(self._place))
        end = time.monotonic() + self._timeout
        while self._socket is None:
            try:
                self._socket = self._open(core)
            except BROKEN as error:
                pause = self._retry_delay(core, error, opened=False)
                if time.monotonic() + pause > end:
                    raise as_client_error(core.place, error) from None
                self._closing.wait(pause)
        self._await_state(core, self._socket, end)
        return self

    def _await_state(self, core: Core, socket: SyncConnection, end: float) -> None:
        """Wait for the first snapshot, so that `snapshot` has the build from the start."""
        while not core.is_current:
            try:
                text = socket.recv(timeout=max(0.01, end - time.monotonic()))
            except BROKEN:
                return  # the next message is asked for in the same way, and then it is said
            self._ready.extend(core.receive(text))

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    @staticmethod
    def _open(core: Core) -> SyncConnection:
        # The server sends heartbeats, so pings are off; websockets before 15 sends none and has no such option.
        options = {**SOCKET, "ping_interval": None} if _PINGS else SOCKET
        # Some versions of websockets return a context manager here and all accept being entered; `close` ends it.
        opened: Any = cast("Any", ws_sync).connect(core.url, additional_headers=core.place.headers, **options)
        connection: SyncConnection = opened.__enter__()
        return connection

    def __iter__(self) -> Iterator[Any]:
        return self

    def __next__(self) -> Any:
        core = self._require_core()
        while not self._closing.is_set():
            if self._ready:
                return self._next_ready()
            try:
                if self._socket is None:
                    self._socket = self._open(core)
                text = self._socket.recv(timeout=core.patience)
            except BROKEN as error:
                if self._closing.is_set():
                    break
                self._drop()
                self._closing.wait(self._retry_delay(core, error))
                continue
            with self._lock:
                self._ready.extend(core.receive(text))
            self._report_connected()
        raise StopIteration

    def _drop(self) -> None:
        socket, self._socket = self._socket, None
        if socket is not None:
            with contextlib.suppress(*BROKEN):
                socket.socket.close()

    def snapshot(self) -> State:
        """Return the current state. May be called from any thread."""
        with self._lock:
            return super().snapshot()

    def send(self, message: Mapping[str, Any]) -> None:
        """Send a client message; its answer comes with the others (see ``raw``).

        Raises
        ------
        ConnectionFailedError
            If the stream is not connected at the moment.
        """
        core = self._require_core()
        try:
            if self._socket is None:
                raise ConnectionError("the stream is not connected at the moment")
            self._socket.send(json.dumps(message))
        except BROKEN as error:
            raise as_client_error(core.place, error) from None

    def subscribe(
        self, topics: Sequence[str], components: Sequence[str] | None = None, min_level: str | None = None
    ) -> None:
        """Replace the filter, for this connection and every later one."""
        self.send(self._subscription(self._require_core(), topics, components, min_level))

    def close(self) -> None:
        """Close the stream. May be called from any thread, and again."""
        self._closing.set()
        socket, self._socket = self._socket, None
        if socket is not None:
            with contextlib.suppress(*BROKEN):
                socket.close()


def connect_sync(
    url: str, *, token: str | None = None, session: str | None = None, timeout: float = 10.0, **options: Any
) -> SyncStream:
    """`connect` for programs without an event loop: use ``with`` and ``for``. The arguments are the same."""
    return SyncStream(Place.of(url, token, session), timeout, **options)

"""The shell for programs without an event loop."""

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
from ._refusals import meaning
from ._shell import BROKEN, SOCKET, Shell

__all__ = ["SyncStream", "connect_sync"]


_PINGS: Final = "ping_interval" in inspect.signature(SyncConnection).parameters


class SyncStream(Shell):
    """The messages of one session, for programs without an event loop. Made by `connect_sync`."""

    def __init__(self, place: Place, timeout: float, **options: Any) -> None:
        super().__init__(place, timeout, **options)
        self._lock = threading.Lock()  # the state may be asked for from another thread
        self._socket: SyncConnection | None = None
        self._closing = threading.Event()

    def __enter__(self) -> Self:
        core = self._open_core(with_session(self._place))
        end = time.monotonic() + self._timeout
        while self._socket is None:
            try:
                self._socket = self._open(core)
            except BROKEN as error:
                pause = self._pause(core, error, opened=False)
                if time.monotonic() + pause > end:
                    raise meaning(core.place, error) from None
                self._closing.wait(pause)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    @staticmethod
    def _open(core: Core) -> SyncConnection:
        # The server's heartbeat takes the place of pings; websockets before 15 sends none and has no such option.
        options = {**SOCKET, "ping_interval": None} if _PINGS else SOCKET
        # Not every version wants it entered, but all let it be; `close` is its exit.
        opened: Any = cast("Any", ws_sync).connect(core.url, additional_headers=core.place.headers, **options)
        connection: SyncConnection = opened.__enter__()
        return connection

    def __iter__(self) -> Iterator[Any]:
        return self

    def __next__(self) -> Any:
        core = self._known()
        while not self._closing.is_set():
            if self._ready:
                return self._yielded()
            try:
                if self._socket is None:
                    self._socket = self._open(core)
                text = self._socket.recv(timeout=core.patience)
            except BROKEN as error:
                if self._closing.is_set():
                    break
                self._drop()
                self._closing.wait(self._pause(core, error))
                continue
            with self._lock:
                self._ready.extend(core.take(text))
            self._is_there()
        raise StopIteration

    def _drop(self) -> None:
        socket, self._socket = self._socket, None
        if socket is not None:
            with contextlib.suppress(*BROKEN):
                socket.socket.close()

    def snapshot(self) -> State:
        """The present state, from any thread."""
        with self._lock:
            return super().snapshot()

    def send(self, message: Mapping[str, Any]) -> None:
        """Send a client message; its answer comes with the others (see ``raw``).

        Raises
        ------
        ConnectionFailedError
            If the stream is broken at the moment.
        """
        core = self._known()
        try:
            if self._socket is None:
                raise ConnectionError("it is broken at the moment")
            self._socket.send(json.dumps(message))
        except BROKEN as error:
            raise meaning(core.place, error) from None

    def subscribe(
        self, topics: Sequence[str], components: Sequence[str] | None = None, min_level: str | None = None
    ) -> None:
        """Hear of other things from now on, also after the next reconnection."""
        self.send(self._subscription(self._known(), topics, components, min_level))

    def close(self) -> None:
        """End it, from any thread. Can be called again."""
        self._closing.set()
        socket, self._socket = self._socket, None
        if socket is not None:
            with contextlib.suppress(*BROKEN):
                socket.close()


def connect_sync(
    url: str, *, token: str | None = None, session: str | None = None, timeout: float = 10.0, **options: Any
) -> SyncStream:
    """`connect` for programs without an event loop: ``with`` and ``for``."""
    return SyncStream(Place.of(url, token, session), timeout, **options)

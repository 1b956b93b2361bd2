"""The base of both stream clients: the core, the queue of messages to yield, and the connection callback."""

from __future__ import annotations

import random
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final, Literal

from websockets.exceptions import WebSocketException

from .. import events as ev
from ..errors import ClientError, GapError
from ..model import State
from ._core import Core
from ._place import Place
from ._refusals import as_client_error

__all__ = ["BROKEN", "SOCKET", "OnConnection", "OnGap", "StreamBase"]

OnGap = Literal["message", "raise"]
OnConnection = Callable[[ClientError | None], object]

BROKEN: Final = (OSError, WebSocketException, TimeoutError, EOFError)
SOCKET: Final[dict[str, Any]] = {
    "max_size": None,  # a snapshot is as large as the build
    "compression": None,
    "open_timeout": 10,
    "close_timeout": 1,
    "user_agent_header": "buildwidget-client",
}


class StreamBase:
    """What the asyncio stream and the blocking stream have in common."""

    def __init__(
        self,
        place: Place,
        timeout: float,
        *,
        on_gap: OnGap = "message",
        on_connection: OnConnection | None = None,
        **options: Any,
    ) -> None:
        if on_gap not in {"message", "raise"}:
            raise ValueError(f"on_gap must be 'message' or 'raise', got {on_gap!r}")
        self._place, self._timeout, self._options = place, timeout, options
        self._on_gap, self._on_connection = on_gap, on_connection
        self._core: Core | None = None
        self._ready: deque[Any] = deque()  # received and not yielded yet
        self._disconnected = False

    def _require_core(self) -> Core:
        if self._core is None:
            raise RuntimeError("the stream is not open; use it in a 'with' block")
        return self._core

    @property
    def epoch(self) -> str | None:
        """The epoch that the sequence numbers belong to."""
        return self._core.epoch if self._core else None

    @property
    def seq(self) -> int:
        """The sequence number of the newest message applied to the state."""
        return self._core.seq if self._core else 0

    @property
    def newest(self) -> int:
        """The newest sequence number that the server has announced."""
        return self._core.newest if self._core else 0

    def snapshot(self) -> State:
        """Return the current state.

        In a stream that was opened with ``since`` it holds only what came after that message. The whole state comes
        with a stream opened without ``since``, or when the server cannot resume and sends a snapshot.
        """
        return self._require_core().snapshot()

    def _open_core(self, place: Place) -> Core:
        self._core = Core(place, **self._options)
        return self._core

    def _report_connected(self) -> None:
        """Report that messages arrive again, if the connection was broken."""
        if self._disconnected:
            self._disconnected = False
            if self._on_connection is not None:
                self._on_connection(None)

    def _next_ready(self) -> Any:
        """Return the next message of the queue; raise `GapError` for a gap if ``on_gap`` says so."""
        message = self._ready.popleft()
        if self._on_gap == "raise" and isinstance(message, ev.Gap):
            missed = "the server has begun a new log" if message.from_seq is None else f"from {message.from_seq}"
            text = f"messages up to {message.to_seq} are missing ({missed}): {message.reason.replace('_', ' ')}"
            raise GapError(text, message)
        return message

    def _retry_delay(self, core: Core, error: BaseException, *, opened: bool = True) -> float:
        """Report a failed connection, unless it never opened; return the seconds to wait before the next try.

        Raises
        ------
        ClientError
            If retrying is pointless or switched off.
        """
        failure = as_client_error(core.place, error)
        longest = core.failed(failure)
        if opened and not self._disconnected:
            self._disconnected = True
            if self._on_connection is not None:
                self._on_connection(failure)
        return random.uniform(0, longest)

    @staticmethod
    def _subscription(core: Core, topics: Sequence[str], components: Sequence[str] | None, level: str | None) -> Any:
        """Store a new filter in the core and return the ``subscribe`` message for it."""
        core.filter = {"topics": list(topics), "components": components, "min_level": level}
        wanted: Mapping[str, Any] = {key: value for key, value in core.filter.items() if value is not None}
        return {"type": "subscribe", **wanted}

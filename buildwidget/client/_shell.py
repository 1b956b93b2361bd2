"""What both shells around the core share: its making, what waits to be yielded, and word of the connection."""

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
from ._refusals import meaning

__all__ = ["BROKEN", "SOCKET", "OnConnection", "OnGap", "Shell"]

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


class Shell:
    """The part of a stream that needs no socket of a certain kind."""

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
        self._ready: deque[Any] = deque()  # what has come and is not yielded yet
        self._away = False

    def _known(self) -> Core:
        if self._core is None:
            raise RuntimeError("the stream is not open; use it in a 'with' block")
        return self._core

    @property
    def epoch(self) -> str | None:
        """The log that the numbers belong to."""
        return self._core.epoch if self._core else None

    @property
    def seq(self) -> int:
        """The number of the newest message taken in."""
        return self._core.seq if self._core else 0

    @property
    def newest(self) -> int:
        """The number of the newest message there is, as far as the server has said."""
        return self._core.newest if self._core else 0

    def snapshot(self) -> State:
        """The present state.

        Of a stream that was opened with ``since``, it holds only what came after that message: the whole state comes
        with a stream opened without, or when the server can no longer go on from there.
        """
        return self._known().snapshot()

    def _open_core(self, place: Place) -> Core:
        self._core = Core(place, **self._options)
        return self._core

    def _is_there(self) -> None:
        """Something has come."""
        if self._away:
            self._away = False
            if self._on_connection is not None:
                self._on_connection(None)

    def _yielded(self) -> Any:
        """The next of what is ready."""
        message = self._ready.popleft()
        if self._on_gap == "raise" and isinstance(message, ev.Gap):
            missed = "the log is another one" if message.from_seq is None else f"from {message.from_seq}"
            text = f"messages up to {message.to_seq} are missing ({missed}): {message.reason.replace('_', ' ')}"
            raise GapError(text, message)
        return message

    def _pause(self, core: Core, error: BaseException, *, opened: bool = True) -> float:
        """The connection broke, or was not to be had: how many seconds to wait before the next try.

        Raises
        ------
        ClientError
            If another try makes no sense.
        """
        told = meaning(core.place, error)
        longest = core.failed(told)
        if opened and not self._away:
            self._away = True
            if self._on_connection is not None:
                self._on_connection(told)
        return random.uniform(0, longest)

    @staticmethod
    def _subscription(core: Core, topics: Sequence[str], components: Sequence[str] | None, level: str | None) -> Any:
        """The message that asks for other things, also after the next reconnection."""
        core.filter = {"topics": list(topics), "components": components, "min_level": level}
        wanted: Mapping[str, Any] = {key: value for key, value in core.filter.items() if value is not None}
        return {"type": "subscribe", **wanted}

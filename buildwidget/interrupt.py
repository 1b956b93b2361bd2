"""An orderly shutdown on Ctrl-C, a closed terminal or ``kill``: whatever was started is stopped before the exit."""

from __future__ import annotations

import signal
import threading
from collections.abc import Generator
from contextlib import contextmanager
from types import FrameType, TracebackType
from typing import Any, Final, Self

__all__ = ["Interrupts"]

SIGNALS: Final = tuple(getattr(signal, name) for name in ("SIGINT", "SIGTERM", "SIGHUP") if hasattr(signal, name))


class Interrupts:
    """A context manager that turns SIGINT, SIGTERM and SIGHUP into an event, so that no code is interrupted midway.

    Inside `raising`, they raise KeyboardInterrupt as well, for blocking calls that cannot wait for an event.
    The signal handlers that were installed before are restored at the exit.

    Attributes
    ----------
    stop : threading.Event
        Set by the first signal.
    ended_by : signal.Signals or None
        The first signal.
    """

    def __init__(self) -> None:
        self.stop = threading.Event()
        self.ended_by: signal.Signals | None = None
        self._raise = False
        self._before: dict[Any, Any] = {}

    def __enter__(self) -> Self:
        for number in SIGNALS:
            self._before[number] = signal.signal(number, self._handle)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)

    def _handle(self, number: int, _frame: FrameType | None) -> None:
        self.ended_by = self.ended_by or signal.Signals(number)
        self.stop.set()
        if self._raise:
            self._raise = False
            raise KeyboardInterrupt

    @contextmanager
    def raising(self) -> Generator[None]:
        """Let a signal raise KeyboardInterrupt inside the block; raise it at once if a signal came before."""
        if self.stop.is_set():
            raise KeyboardInterrupt
        self._raise = True
        try:
            yield
        finally:
            self._raise = False

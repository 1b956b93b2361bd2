# pyright: basic
# (ipywidgets, anywidget and IPython have no types of their own)
"""User callbacks for new messages."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from typing import Any

from ..events import TYPES
from ..log import Logged

__all__ = ["Callbacks"]

logger = logging.getLogger("buildwidget.widget")


class Callbacks:
    """Callbacks by message type.

    Parameters
    ----------
    has_loop
        Whether they are called in an event loop, so that they may be coroutine functions.
    report
        Called with a message about a failed callback: a notebook does not show the traceback of a task.
    """

    def __init__(self, report: Callable[[str], None], *, has_loop: bool) -> None:
        self._report_to, self._has_loop = report, has_loop
        self._entries: list[tuple[str, Callable[[Any], Any]]] = []

    def __bool__(self) -> bool:
        return bool(self._entries)

    def clear(self) -> None:
        """Remove all callbacks."""
        self._entries.clear()

    def add(self, event_type: str, callback: Callable[[Any], Any] | None) -> Any:
        """See `BuildWidget.on`."""
        if event_type != "*" and event_type not in TYPES:
            raise ValueError(f"no message type {event_type!r}; there are: *, {', '.join(sorted(TYPES))}")
        if callback is None:

            def decorate(function: Callable[[Any], Any]) -> Callable[[Any], Any]:
                self.add(event_type, function)
                return function

            return decorate
        if not self._has_loop and asyncio.iscoroutinefunction(callback):
            raise RuntimeError("this widget was made outside of an event loop: the callback must be a plain function")
        entry = (event_type, callback)
        self._entries.append(entry)
        return lambda: self._entries.remove(entry) if entry in self._entries else None

    def call(self, rows: list[Logged]) -> None:
        """Call the callbacks that are registered for the types of these messages."""
        for row in rows:
            name = row.event.__struct_config__.tag
            for event_type, callback in list(self._entries):
                if event_type not in ("*", name):
                    continue
                try:
                    result = callback(row.event)
                    if asyncio.iscoroutine(result):
                        task = asyncio.ensure_future(result)
                        task.add_done_callback(self._finished)
                except Exception as error:  # noqa: BLE001 (user code may raise anything; the cell shows the error)
                    self._report(error)

    def _finished(self, task: asyncio.Task[Any]) -> None:
        if not task.cancelled() and (error := task.exception()) is not None:
            self._report(error)

    def _report(self, error: BaseException) -> None:
        logger.error("a callback failed", exc_info=error)
        self._report_to(f"A callback failed: {type(error).__name__}: {error}"[:1_000])

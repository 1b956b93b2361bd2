# pyright: basic
# (ipywidgets, anywidget and IPython have no types of their own)
"""The static output of a build for saved notebooks: made when the cell is displayed, updated from time to time."""

from __future__ import annotations

import logging
import shlex
import time
from collections.abc import Callable
from typing import Any, Final

from ..session import BuildSession
from . import _static
from ._host import after_each_cell, in_kernel, is_executed

__all__ = ["Picture"]

logger = logging.getLogger("buildwidget.widget")

RENEW_EVERY: Final = 60.0  # seconds between two updates of the saved output
LOAD: Final = 20.0  # seconds that a report waits for the first reading of all files
CLOSED: Final = "The widget was closed; run the cell again to see the build live."
NOTE: Final = "This is a static snapshot; run the cell again to see the build live."


class Picture:
    """The output of one widget: its MIME bundle, live or static.

    If a program executes the notebook, the output is the static table alone, updated after each cell: front ends prefer
    a saved widget view to the table, but the view shows nothing without a network.

    Parameters
    ----------
    view
        Returns the MIME bundle of the live view, and its metadata.
    load
        Waits until all files have been read once, for at most the given seconds.
    """

    def __init__(self, session: BuildSession, view: Callable[[], Any], load: Callable[[float], None]) -> None:
        self._session, self._view, self._load = session, view, load
        self._display_id: str | None = None
        self._renewed = self._touched = 0.0
        self._seq = 0  # sequence number of the newest output
        self._executed = self._ended = False
        self._forget: Callable[[], None] = lambda: None

    @property
    def live(self) -> bool:
        """Whether it was displayed with a live view."""
        return self._display_id is not None and not self._executed

    def touched(self) -> None:
        """Record that a user interacts with a view: it is not redrawn for a while."""
        self._touched = time.monotonic()

    def bundle(self, given: Any = None) -> tuple[dict[str, Any], dict[str, Any]]:
        """Return the MIME bundle and its metadata: a table and a line of text, and the live view if one can be seen."""
        if self._executed or is_executed():
            self._load(LOAD)
            return self.still(CLOSED if self._ended else NOTE), {}
        if self._ended:
            return self.still(CLOSED), {}
        given = self._view() if given is None else given
        data, metadata = given if isinstance(given, tuple) else (given or {}, {})
        return {**data, **self.still()}, metadata

    def still(self, note: str = NOTE) -> dict[str, str]:
        """Return the static MIME bundle of the current state."""
        self._seq, state = self._session.snapshot_at()
        return {"text/plain": _static.to_text(state, self._hint()), "text/html": _static.to_html(state, note)}

    def _hint(self) -> str:
        if in_kernel():
            return "Run this cell again to see the build live."
        root = self._session.root
        command = f"; in a terminal: buildwidget watch {shlex.quote(str(root))}" if root else ""
        return f"A notebook shows it live{command}"

    def display(self, name: str) -> None:
        """Display the output under a display id, so that it can be updated later."""
        from IPython.display import display

        self._executed = is_executed()
        data, metadata = self.bundle()
        self._display_id = name
        display(data, metadata=metadata, raw=True, display_id=name)
        self._renewed = time.monotonic()
        self._forget()
        self._forget = after_each_cell(self._after_cell) if self._executed else lambda: None

    def _after_cell(self) -> None:
        """Update the output now: in an executed notebook nothing after the last cell is saved."""
        self._session.refresh()
        if self._session.seq != self._seq:
            self.renew()

    def renew_if_old(self) -> None:
        """Update the output unless it was updated, or a user interacted with the view, within `RENEW_EVERY`."""
        now = time.monotonic()
        if now - self._renewed > RENEW_EVERY and now - self._touched > RENEW_EVERY:
            self.renew()

    def renew(self, note: str | None = None) -> None:
        """Update the output to the current state; with a note, replace the live view by the static table."""
        if self._display_id is None:
            return
        from IPython.display import display

        self._renewed = time.monotonic()
        data, metadata = self.bundle() if note is None else (self.still(note), {})
        try:
            display(data, metadata=metadata, raw=True, display_id=self._display_id, update=True)
        except Exception:
            logger.debug("the output could not be updated", exc_info=True)

    def end(self) -> None:
        """Replace the view by the static table of the last state, with a note that the widget is closed."""
        self._ended = True
        self._forget()
        self.renew(CLOSED)

# pyright: basic
# (ipywidgets, anywidget and IPython have no types of their own)
"""The picture of a build that a saved notebook shows: made when the cell is shown, renewed now and then."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from typing import Any, Final

from ..session import BuildSession
from . import _static

__all__ = ["Picture"]

logger = logging.getLogger("buildwidget.widget")

RENEW_EVERY: Final = 60.0  # seconds between two renewals of what the saved notebook shows
NOTE: Final = "This is a saved picture of it; run the cell again to see the build live."


class Picture:
    """The output of one widget, in all its forms.

    Parameters
    ----------
    view
        Gives the live view's MIME bundle, and its metadata.
    """

    def __init__(self, session: BuildSession, view: Callable[[], Any]) -> None:
        self._session, self._view = session, view
        self._display_id: str | None = None
        self._renewed = self._touched = 0.0

    def touched(self) -> None:
        """Somebody is at work in a view, which must not be drawn again under their hands."""
        self._touched = time.monotonic()

    def bundle(self, given: Any = None) -> tuple[dict[str, Any], dict[str, Any]]:
        """The live view, and for those who cannot show it a table and a line of text."""
        given = self._view() if given is None else given
        data, metadata = given if isinstance(given, tuple) else (given or {}, {})
        return {**data, **self._still(NOTE)}, metadata

    def _still(self, note: str) -> dict[str, str]:
        state = self._session.snapshot()
        return {"text/plain": _static.to_text(state), "text/html": _static.to_html(state, note)}

    def display(self, name: str) -> None:
        """Show it so that it can be renewed later."""
        from IPython.display import display

        data, metadata = self.bundle()
        self._display_id = name
        display(data, metadata=metadata, raw=True, display_id=name)
        self._renewed = time.monotonic()

    def renew_if_old(self) -> None:
        """Renew it, unless that was done of late or somebody is at work in the view."""
        now = time.monotonic()
        if now - self._renewed > RENEW_EVERY and now - self._touched > RENEW_EVERY:
            self.renew()

    def renew(self, note: str | None = None) -> None:
        """Show the present state; with a note, the live view gives way to the static table."""
        if self._display_id is None:
            return
        from IPython.display import display

        self._renewed = time.monotonic()
        data, metadata = self.bundle() if note is None else (self._still(note), {})
        try:
            display(data, metadata=metadata, raw=True, display_id=self._display_id, update=True)
        except Exception:
            logger.debug("the picture could not be renewed", exc_info=True)

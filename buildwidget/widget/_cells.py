# pyright: basic
# (ipywidgets, anywidget and IPython have no types of their own)
"""The widgets that cells made: a cell that runs again replaces its own, and those that nobody sees are bounded."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Final, NamedTuple

from ._host import Run

if TYPE_CHECKING:
    from ._widget import BuildWidget

__all__ = ["LIMIT", "Cells", "cells", "open_widgets"]

LIMIT: Final = 32  # widgets; beyond, those that nobody sees are closed
NEW: Final = 10.0  # seconds that a widget is safe where no runs of cells are known: its cell may still be at work
AWAITED: Final = 600.0  # seconds that a view which was shown may take to say hello: the kernel may be busy


class _Made(NamedTuple):
    widget: BuildWidget
    run: Run | None
    at: float


class Cells:
    """What `watch` made and what is still open, oldest first."""

    def __init__(self) -> None:
        self._made: list[_Made] = []

    def add(self, widget: BuildWidget, run: Run | None) -> None:
        """Note a new widget, and close those that it replaces or that are too many.

        What the running cell made stays, however much it is, and so does all that is on show.
        """
        kept: list[_Made] = []
        for made in self._made:
            if made.widget.closed:
                continue
            if made.widget.abandoned or (run is not None and run.replaces(made.run)):
                made.widget.close()
            else:
                kept.append(made)
        self._made = [*kept, _Made(widget, run, time.monotonic())]
        self._evict(run)

    def _evict(self, run: Run | None) -> None:
        surplus = len(self._made) - LIMIT
        if surplus <= 0:
            return
        now = time.monotonic()
        newest = {made.widget.session: made for made in self._made}
        ranked: list[tuple[int, int]] = []
        for place, made in enumerate(self._made):
            new = made.run == run if run else now - made.at < NEW
            rank = None if new else _rank(made, now, superseded=newest[made.widget.session] is not made)
            if rank is not None:
                ranked.append((rank, place))
        evicted = {place for _, place in sorted(ranked)[:surplus]}
        for place in evicted:
            self._made[place].widget.close()
        self._made = [made for place, made in enumerate(self._made) if place not in evicted]

    def open(self) -> list[BuildWidget]:
        """Those that are not closed."""
        return [made.widget for made in self._made if not made.widget.closed]


def _rank(made: _Made, now: float, *, superseded: bool) -> int | None:
    """How soon a widget may be closed, 0 first; None: not at all."""
    match made.widget.on_show:
        case "gone":
            return 0
        case "none" if superseded:  # a name that was given to a newer one, most likely
            return 1
        case "awaited" if now - made.at > AWAITED:
            return 2
        case _:
            return None


cells = Cells()


def open_widgets() -> list[BuildWidget]:
    """The widgets that `watch` made and that are not closed."""
    return cells.open()

# pyright: basic
# (ipywidgets, anywidget and IPython have no types of their own)
"""Registry of the widgets made by `watch`: re-running a cell replaces its widgets, and hidden widgets are bounded."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Final, NamedTuple

from ._host import Run

if TYPE_CHECKING:
    from ._widget import BuildWidget

__all__ = ["LIMIT", "Cells", "cells", "open_widgets"]

LIMIT: Final = 32  # open widgets; beyond, those that are not on show are closed
NEW: Final = 10.0  # seconds that a widget is never evicted where the host does not identify runs of cells
AWAITED: Final = 600.0  # seconds that a displayed view has to send its hello: the kernel may be busy


class _Made(NamedTuple):
    widget: BuildWidget
    run: Run | None
    at: float


class Cells:
    """The open widgets that `watch` made, oldest first."""

    def __init__(self) -> None:
        self._made: list[_Made] = []

    def add(self, widget: BuildWidget, run: Run | None) -> None:
        """Register a new widget; close those that it replaces and those beyond `LIMIT`.

        Widgets of the running cell and widgets on show are never closed for the limit.
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
        """Return the widgets that are not closed."""
        return [made.widget for made in self._made if not made.widget.closed]


def _rank(made: _Made, now: float, *, superseded: bool) -> int | None:
    """Return the eviction rank of a widget, lowest first; None if it must stay."""
    match made.widget.on_show:
        case "gone":
            return 0
        case "none" if superseded:  # most likely its variable was reassigned to the newer one
            return 1
        case "awaited" if now - made.at > AWAITED:
            return 2
        case _:
            return None


cells = Cells()


def open_widgets() -> list[BuildWidget]:
    """Return the widgets that `watch` made and that are not closed."""
    return cells.open()

# pyright: basic
# (ipywidgets, anywidget and IPython have no types of their own)
"""The widgets that cells made: a cell that runs again replaces its own, and there is a limit to all of them."""

from __future__ import annotations

from collections import OrderedDict
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from ._widget import BuildWidget

__all__ = ["Cells", "cells", "open_widgets", "running_cell"]


class Cells:
    """What is open, by the cell that made it."""

    LIMIT: Final = 32

    def __init__(self) -> None:
        self._made: OrderedDict[tuple[str, int], BuildWidget] = OrderedDict()
        self._runs: dict[str, object] = {}

    def replace(self, cell: tuple[str, object] | None, made: BuildWidget) -> None:
        if cell is not None:
            name, run = cell
            if self._runs.get(name) != run:  # a new run: what the run before made goes
                self._runs[name] = run
                for key in [k for k in self._made if k[0] == name]:
                    self._made.pop(key).close()
        self._made = OrderedDict((key, widget) for key, widget in self._made.items() if not widget.closed)
        self._made[(cell[0] if cell else "", id(made))] = made
        while len(self._made) > self.LIMIT:
            self._made.popitem(last=False)[1].close()

    def open(self) -> list[BuildWidget]:
        return [widget for widget in self._made.values() if not widget.closed]


cells = Cells()


def open_widgets() -> list[BuildWidget]:
    """The widgets that `watch` made and that are not closed."""
    return cells.open()


def running_cell() -> tuple[str, object] | None:
    """The notebook cell that runs now and the number of this run, if the front end says so."""
    try:
        from IPython import get_ipython

        shell = get_ipython()
        parent = shell.kernel.get_parent()
        return parent["metadata"]["cellId"], parent["header"]["msg_id"]
    except (ImportError, AttributeError, KeyError, TypeError):  # not in a notebook, or in another one than we know
        return None

# pyright: basic
# (IPython has no types of its own)
"""The host: which cell and which run of it is executing, and whether a live view can be seen."""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import Any, Final, NamedTuple

__all__ = ["SWITCH", "Run", "after_each_cell", "get_shell", "in_kernel", "is_executed", "running"]

SWITCH: Final = "BUILDWIDGET_STATIC"
"""The environment variable that selects static outputs: 1 always, 0 never, otherwise it is detected."""

_YES: Final = frozenset({"1", "true", "yes", "on"})
_NO: Final = frozenset({"0", "false", "no", "off"})


class Run(NamedTuple):
    """One run of a cell."""

    cell: str | None  # None: the front end does not send it (nbclassic, nbclient)
    number: str

    def replaces(self, other: Run | None) -> bool:
        """Return whether this is another run of the same cell; False if the cell is not known."""
        return other is not None and self.cell is not None and self.cell == other.cell and self != other


def get_shell() -> Any:
    """Return the IPython shell; None in plain Python."""
    try:
        from IPython import get_ipython

        return get_ipython()
    except ImportError:
        return None


def in_kernel() -> bool:
    """Return whether this is a Jupyter kernel: not IPython in a terminal, not plain Python."""
    return getattr(get_shell(), "kernel", None) is not None


def _request() -> dict[str, Any]:
    """Return the execute request that is being handled; empty if there is none."""
    try:
        found = get_shell().kernel.get_parent()
    except (AttributeError, LookupError, TypeError):  # not in a kernel, or in one without this method
        return {}
    return found if isinstance(found, dict) else {}


def running() -> Run | None:
    """Return the current run; None outside of a kernel, and in marimo."""
    request = _request()
    number = (request.get("header") or {}).get("msg_id")
    cell = (request.get("metadata") or {}).get("cellId")
    return Run(cell if isinstance(cell, str) else None, number) if isinstance(number, str) else None


def is_executed() -> bool:
    """Return whether a program executes this notebook, so that only the saved outputs are seen.

    nbclient, which nbconvert, papermill and Quarto use, sends requests with ``allow_stdin`` false; interactive front
    ends do not. Voilà uses nbclient too, but then shows the widgets live.
    """
    value = os.environ.get(SWITCH, "").strip().lower()
    if value in _YES or value in _NO:
        return value in _YES
    if (_request().get("content") or {}).get("allow_stdin") is not False:
        return False
    return not (os.environ.get("SERVER_SOFTWARE", "").startswith("voila") or "VOILA_PREHEAT" in os.environ)


def after_each_cell(function: Callable[[], None]) -> Callable[[], None]:
    """Call a function after each run of a cell; return a function that unregisters it."""
    shell = get_shell()
    if shell is None:
        return lambda: None

    def call(_result: Any) -> None:
        function()

    def end() -> None:
        if call in shell.events.callbacks["post_run_cell"]:
            shell.events.unregister("post_run_cell", call)

    shell.events.register("post_run_cell", call)
    return end

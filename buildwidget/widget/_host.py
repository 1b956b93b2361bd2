# pyright: basic
# (IPython has no types of its own)
"""Where the code runs: in which cell, in which run of it, and whether anybody can see a live view."""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import Any, Final, NamedTuple

__all__ = ["SWITCH", "Run", "after_each_cell", "get_shell", "in_kernel", "is_executed", "running"]

SWITCH: Final = "BUILDWIDGET_STATIC"
"""The environment variable that says whether outputs are static: 1 always, 0 never, otherwise we find out."""

_YES: Final = frozenset({"1", "true", "yes", "on"})
_NO: Final = frozenset({"0", "false", "no", "off"})


class Run(NamedTuple):
    """One run of a cell."""

    cell: str | None  # None: the front end does not say (nbclassic, nbclient)
    number: str

    def replaces(self, other: Run | None) -> bool:
        """Whether this is another run of the same cell, as far as is known."""
        return other is not None and self.cell is not None and self.cell == other.cell and self != other


def get_shell() -> Any:
    """IPython's shell; None in plain Python."""
    try:
        from IPython import get_ipython

        return get_ipython()
    except ImportError:
        return None


def in_kernel() -> bool:
    """Whether this is a Jupyter kernel: not IPython in a terminal, not plain Python."""
    return getattr(get_shell(), "kernel", None) is not None


def _request() -> dict[str, Any]:
    """The message that asked for what runs now; empty where there is none."""
    try:
        found = get_shell().kernel.get_parent()
    except (AttributeError, LookupError, TypeError):  # not in a kernel, or in another one than we know
        return {}
    return found if isinstance(found, dict) else {}


def running() -> Run | None:
    """The run that is going on; None outside of a kernel, and in marimo."""
    request = _request()
    number = (request.get("header") or {}).get("msg_id")
    cell = (request.get("metadata") or {}).get("cellId")
    return Run(cell if isinstance(cell, str) else None, number) if isinstance(number, str) else None


def is_executed() -> bool:
    """Whether a program executes this notebook, so that nobody sees a live view and the report is all there is.

    nbclient, which nbconvert, papermill and Quarto execute with, is the one that cannot answer `input`; whoever sits
    before a notebook can. Voilà uses it too, but then shows the widgets live.
    """
    said = os.environ.get(SWITCH, "").strip().lower()
    if said in _YES or said in _NO:
        return said in _YES
    if (_request().get("content") or {}).get("allow_stdin") is not False:
        return False
    return not (os.environ.get("SERVER_SOFTWARE", "").startswith("voila") or "VOILA_PREHEAT" in os.environ)


def after_each_cell(function: Callable[[], None]) -> Callable[[], None]:
    """Call a function at the end of each cell's run; gives a function that ends it."""
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

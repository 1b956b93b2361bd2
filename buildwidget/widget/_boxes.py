# pyright: basic
# (ipywidgets and IPython have no types of their own)
"""Static output of boxes (`VBox`, `Tab` …) in a notebook that a program executes, such as nbconvert.

Only boxes that hold nothing but our widgets and texts are converted; a box with any other widget keeps its live view.
"""

from __future__ import annotations

from html import escape
from typing import Any

import ipywidgets

from ._host import get_shell, is_executed

__all__ = ["tables_in_boxes"]


def tables_in_boxes(kind: type) -> None:
    """Register a formatter that shows boxes of these widgets and texts as tables in an executed notebook.

    Parameters
    ----------
    kind
        The widget class; its MIME bundle must have ``text/html`` and ``text/plain``.
    """
    shell = get_shell()
    if shell is None:
        return

    def bundle(box: Any) -> Any:
        parts = _parts(box, kind) if is_executed() else None
        if parts is None or not any(ours for ours, _, _ in parts):
            return box._repr_mimebundle_()
        return {
            "text/plain": "\n".join(plain for _, plain, _ in parts),
            "text/html": "".join(html for _, _, html in parts),
        }

    shell.display_formatter.mimebundle_formatter.for_type(ipywidgets.Box, bundle)


def _parts(widget: Any, kind: type) -> list[tuple[bool, str, str]] | None:
    """Return (is ours, plain text, HTML) of each widget in a box; None if one of them has no static form."""
    if isinstance(widget, kind):
        ours: Any = widget
        data, _ = ours._picture.bundle()  # noqa: SLF001 (same package; a closed widget has no public bundle)
        return [(True, data["text/plain"], data["text/html"])]
    if isinstance(widget, ipywidgets.Box):
        found = [_parts(child, kind) for child in widget.children]
        return None if any(part is None for part in found) else [one for part in found for one in part or ()]
    if isinstance(widget, ipywidgets.HTML):
        return [(False, widget.value, f"<div>{widget.value}</div>")]
    if isinstance(widget, ipywidgets.Label):
        return [(False, widget.value, f"<div>{escape(widget.value)}</div>")]
    return None

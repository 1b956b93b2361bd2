# pyright: basic
# (ipywidgets and IPython have no types of their own)
"""Boxes (`VBox`, `Tab` …) in a notebook that a program executes: they hold tables, as the widgets alone do.

Other people's widgets keep their live view: a box with anything in it that is neither ours nor a text is left as it is.
"""

from __future__ import annotations

from html import escape
from typing import Any

import ipywidgets

from ._host import get_shell, is_executed

__all__ = ["tables_in_boxes"]


def tables_in_boxes(kind: type) -> None:
    """From now on show boxes that hold widgets of this kind, and texts, as tables where nobody sees a live view.

    Parameters
    ----------
    kind
        Its MIME bundle is used, which has ``text/html`` and ``text/plain``.
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
    """Whether it is ours, the text and the HTML of each widget in a box; None if one has no such form."""
    if isinstance(widget, kind):
        ours: Any = widget
        data, _ = ours._picture.bundle()  # noqa: SLF001 (of this very room; a closed widget has no other form)
        return [(True, data["text/plain"], data["text/html"])]
    if isinstance(widget, ipywidgets.Box):
        found = [_parts(child, kind) for child in widget.children]
        return None if any(part is None for part in found) else [one for part in found for one in part or ()]
    if isinstance(widget, ipywidgets.HTML):
        return [(False, widget.value, f"<div>{widget.value}</div>")]
    if isinstance(widget, ipywidgets.Label):
        return [(False, widget.value, f"<div>{escape(widget.value)}</div>")]
    return None

"""The text style that SGR sequences (``ESC [ … m``; ECMA-48, 8.3.117) set, as a value."""

from __future__ import annotations

from functools import lru_cache
from typing import Any, Final, NamedTuple

__all__ = ["PLAIN", "Style", "changed", "parameters", "switch"]


class Style(NamedTuple):
    """Attributes and colours.

    A colour is the SGR parameters that set it (``31``, ``38;5;208``, ``38;2;255;0;0``), or empty for the default.
    """

    bold: bool = False
    dim: bool = False
    italic: bool = False
    underline: bool = False
    inverse: bool = False
    strike: bool = False
    fg: str = ""
    bg: str = ""


PLAIN: Final = Style()

_FLAGS: Final[dict[int, dict[str, Any]]] = {
    1: {"bold": True},
    2: {"dim": True},
    3: {"italic": True},
    4: {"underline": True},
    7: {"inverse": True},
    9: {"strike": True},
    21: {"underline": True},  # double underline
    22: {"bold": False, "dim": False},
    23: {"italic": False},
    24: {"underline": False},
    27: {"inverse": False},
    29: {"strike": False},
    39: {"fg": ""},
    49: {"bg": ""},
}
_ON: Final = {"bold": "1", "dim": "2", "italic": "3", "underline": "4", "inverse": "7", "strike": "9"}
_COLOURS: Final = {38: "fg", 48: "bg", 58: ""}  # 58 is the colour of the underline, which is not displayed


@lru_cache(1024)
def changed(style: Style, text: str) -> Style:
    """Return the style after one SGR sequence.

    Parameters
    ----------
    style
        The style before it.
    text
        The parameters between ``ESC [`` and ``m``. Unknown ones are ignored.
    """
    fields = text.split(";")
    at = 0
    while at < len(fields):
        first, *sub = fields[at].split(":")
        at += 1
        code = _number(first)
        if code is None:
            continue
        if code in _COLOURS:
            # 38;5;N and 38;2;R;G;B, or the same with colons, where the id of a colour space may precede R.
            if len(sub) > 4 and sub[0] == "2":
                del sub[1]
            colour, used = _colour(code, sub or fields[at : at + 4])
            at += 0 if sub else used
            if colour and _COLOURS[code]:
                style = style._replace(**{_COLOURS[code]: colour})
        elif code == 0:
            style = PLAIN
        elif code == 4 and sub[:1] == ["0"]:
            style = style._replace(underline=False)
        elif code in _FLAGS:
            style = style._replace(**_FLAGS[code])
        elif 30 <= code <= 37 or 90 <= code <= 97:
            style = style._replace(fg=str(code))
        elif 40 <= code <= 47 or 100 <= code <= 107:
            style = style._replace(bg=str(code))
    return style


@lru_cache(1024)
def parameters(style: Style) -> str:
    """Return the SGR parameters that set ``style`` when `PLAIN` is in force; empty for `PLAIN`."""
    on = [code for name, code in _ON.items() if getattr(style, name)]
    return ";".join([*on, *filter(None, (style.fg, style.bg))])


def switch(before: str, after: str) -> str:
    """Return the sequence that changes from one style to another, both as `parameters` returns them."""
    if not after:
        return "\x1b[0m"
    return f"\x1b[0;{after}m" if before else f"\x1b[{after}m"


def _number(text: str) -> int | None:
    """Return the value of one parameter: 0 if it is omitted, None if it is not a number."""
    if not text:
        return 0
    return int(text) if len(text) <= 5 and text.isdigit() else None


def _colour(code: int, rest: list[str]) -> tuple[str, int]:
    """Return the colour that follows 38 or 48 (empty if invalid), and the number of parameters it has."""
    count = {"5": 2, "2": 4}.get(rest[0] if rest else "", 0)
    values = [_number(text) for text in rest[:count]]
    if not count or len(values) < count or any(value is None or value > 255 for value in values):
        return "", count
    return ";".join(map(str, [code, *values])), count

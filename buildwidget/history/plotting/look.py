"""Colours, and words for times and numbers, the same in every chart.

A chart is transparent: what is behind it is white in one notebook and nearly black in the next. So every fill stands
out from both (3 : 1 or more, WCAG 2.2, 1.4.11), and what is written on a fill is black (4.5 : 1 or more, 1.4.3). Text
beside the fills takes the colour of the page's own text, where the library can do that, else a grey in the middle. No
grey has 4.5 : 1 on white and on #111 both; the best there is has 4.3 : 1. `Ink` of a named theme has far more.
"""

from __future__ import annotations

import math
import textwrap
from dataclasses import dataclass
from typing import Any, Final

import pandas as pd

__all__ = [
    "ACCENT",
    "COLOURS",
    "INKS",
    "LIFECYCLE",
    "ON_FILL",
    "OPEN_START",
    "PAGE",
    "STATUS_WORDS",
    "STRONG",
    "Ink",
    "contrast",
    "count_of",
    "date_words",
    "duration_words",
    "lines_of",
    "time_words",
]

LIFECYCLE: Final = (
    "completed",
    "skipped",
    "cancelled",
    "error",
    "blocked",
    "paused",
    "in_progress",
    "not_started",
    "unknown",
)
"""The statuses in the order of a stack, from the bottom: finished, in progress, not started."""

STATUS_WORDS: Final = {
    "not_started": "not started",
    "in_progress": "in progress",
    "completed": "done",
    "error": "error",
    "blocked": "blocked",
    "skipped": "skipped",
    "cancelled": "cancelled",
    "paused": "paused",
    "unknown": "unknown",
}

COLOURS: Final = {
    "completed": "#2a9c57",  # the live cell's --bw-done-fill, --bw-run-fill and so on (js/src/views/tokens.css)
    "in_progress": "#3d7fcf",
    "error": "#e0525c",
    "blocked": "#b98a24",
    "not_started": "#848e99",
    "paused": "#8f6fc0",
    "skipped": "#4f9aa8",
    "cancelled": "#998578",
    "unknown": "#7d8792",
}
ACCENT: Final = "#3d7fcf"
OPEN_START: Final = "began before"  # what an arrow at the left of a bar says
ON_FILL: Final = "#000000"
STRONG: Final = "#c0469c"  # what matters most, on any of the others
PAGE: Final = "var(--jp-content-font-color1, var(--vscode-editor-foreground, currentColor))"


@dataclass(frozen=True, slots=True)
class Ink:
    """The colours of text, lines and grid."""

    text: str
    line: str = "#797979"
    grid: str = "#808080"
    grid_opacity: float = 0.3


INKS: Final = {
    "neutral": Ink("#797979"),
    "page": Ink(PAGE),
    "light": Ink("#1c2228", "#55606c"),
    "dark": Ink("#e4e8ec", "#a2acb6"),
}


def contrast(one: str, other: str) -> float:
    """The contrast of two colours such as ``#2a9c57``, 1 to 21.

    (L1 + 0.05) / (L2 + 0.05), L being the relative luminance, the lighter one first. WCAG 2.2, "contrast ratio".
    """
    high, low = sorted((_luminance(one), _luminance(other)), reverse=True)
    return (high + 0.05) / (low + 0.05)


def _luminance(colour: str) -> float:
    parts = [int(colour[at : at + 2], 16) / 255 for at in (1, 3, 5)]
    red, green, blue = (part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in parts)
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue


def duration_words(seconds: float) -> str:
    """A length of time in its two largest units: ``45 s``, ``12 min``, ``1 h 20 min``, ``3 d 4 h``."""
    if not math.isfinite(seconds):
        return "unknown"
    whole = max(0, round(seconds))
    if whole < 60:
        return f"{whole} s"
    minutes = round(seconds / 60)
    if minutes < 60:
        return f"{minutes} min"
    hours, minutes = divmod(minutes, 60)
    if hours < 24:
        return f"{hours} h {minutes} min" if minutes else f"{hours} h"
    days, hours = divmod(round(seconds / 3600), 24)
    return f"{days} d {hours} h" if hours else f"{days} d"


def time_words(moment: Any, beside: Any = None) -> str:
    """A time to the minute: ``17:50``; with its day if that is not the day of ``beside``: ``25 Nov 17:50``."""
    moment = pd.Timestamp(moment)
    if beside is not None and moment.date() == pd.Timestamp(beside).date():
        return f"{moment:%H:%M}"
    return f"{moment.day} {moment:%b %H:%M}"


def date_words(first: Any, last: Any) -> str:
    """The days from one time to another: ``24 November 2026``, ``24–26 November 2026``."""
    first, last = pd.Timestamp(first), pd.Timestamp(last)
    if first.date() == last.date():
        return f"{last.day} {last:%B %Y}"
    if (first.year, first.month) == (last.year, last.month):
        return f"{first.day}–{last.day} {last:%B %Y}"
    if first.year == last.year:
        return f"{first.day} {first:%B} – {last.day} {last:%B %Y}"
    return f"{first.day} {first:%B %Y} – {last.day} {last:%B %Y}"


def count_of(number: int, noun: str) -> str:
    """``1 feature``, ``12,345 features``."""
    return f"{number:,} {noun}" if number == 1 else f"{number:,} {noun}s"


def lines_of(text: str, width: float, *, size: float = 12) -> list[str]:
    """Break a text into lines that fit into so many pixels, at a size of letters in pixels."""
    return textwrap.wrap(text, max(20, int(width / (size * 0.54)))) if text else []

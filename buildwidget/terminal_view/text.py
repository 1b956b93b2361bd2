"""Icons and styles of the terminal view, and the sanitising of text from files."""

from __future__ import annotations

import re
from datetime import datetime
from typing import Final

from ..model import BuildStatus, Status

__all__ = ["BUILD_STYLES", "ICONS", "RANK", "ago", "clean", "clock", "span"]

ICONS: Final = {
    Status.NOT_STARTED: ("○", "dim"),
    Status.IN_PROGRESS: ("◐", "cyan"),
    Status.COMPLETED: ("✔", "green"),
    Status.ERROR: ("✘", "bold red"),
    Status.BLOCKED: ("⊘", "yellow"),
    Status.SKIPPED: ("–", "dim"),
    Status.CANCELLED: ("–", "dim"),
    Status.PAUSED: ("‖", "yellow"),
    Status.UNKNOWN: ("?", "dim"),
}
BUILD_STYLES: Final = {
    BuildStatus.PENDING: "dim",
    BuildStatus.IN_PROGRESS: "bold cyan",
    BuildStatus.COMPLETED: "bold green",
    BuildStatus.FAILED: "bold red",
    BuildStatus.UNKNOWN: "dim",
}
RANK: Final = {Status.ERROR: 0, Status.IN_PROGRESS: 1, Status.BLOCKED: 2, Status.PAUSED: 2, Status.COMPLETED: 4}

# CSI, then OSC and the other strings (ended by BEL or ST, or cut off), then any other two-character escape.
_ESCAPES: Final = re.compile(
    r"(?:\x1b\[|\x9b)[0-?]*[ -/]*[@-~]?|(?:\x1b[\]PX^_]|[\x90\x98\x9d-\x9f]).*?(?:\x07|\x1b\\|\x9c|$)|\x1b[ -/]*[0-~]?",
    re.DOTALL,
)
# Control characters, and those that change the direction of the text.
_CONTROLS: Final = re.compile(
    r"[\x00-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069\ufff9-\ufffb\ud800-\udfff\U000e0000-\U000e007f]"
)


def clean(text: object, limit: int = 400) -> str:
    """Return text as one inert line: no escape sequence, no control character, at most ``limit`` characters."""
    shown = _CONTROLS.sub(" ", _ESCAPES.sub("", str(text)[: 4 * limit]))
    return shown if len(shown) <= limit else shown[: limit - 1] + "…"


def span(seconds: float) -> str:
    """Return a duration as text: ``47 s``, ``3 m 08 s``, ``2 h 05 m``."""
    whole = max(0, int(seconds))
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} m {whole % 60:02d} s"
    return f"{whole // 3600} h {whole % 3600 // 60:02d} m"


def ago(seconds: float) -> str:
    """Return an age as text: ``just now``, ``12 s ago``, ``5 min ago``, ``2 h ago``, ``4 d ago``."""
    for size, unit in ((86_400, "d"), (3_600, "h"), (60, "min"), (1, "s")):
        if seconds >= size:
            return f"{int(seconds // size)} {unit} ago"
    return "just now"


def clock(at: datetime | None) -> str:
    """Return the local time of day as ``HH:MM:SS``; dashes for None."""
    return f"{at.astimezone():%H:%M:%S}" if at else "--:--:--"

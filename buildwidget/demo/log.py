"""The log of the demo, ``logs/build.log``: lines in colour, and a progress line that is overwritten."""

from __future__ import annotations

import re
from typing import Final

from .clock import Clock
from .world import Write

__all__ = ["BuildLog"]

PATH: Final = ".buildrunner/logs/build.log"
PRINTED: Final = re.compile(r"\x1b\[[0-9;]*m")
PAD: Final = 96  # columns; a line is padded to this width to overwrite an unfinished progress line


class BuildLog:
    """Returns what is appended to the log."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._partial = False

    def lines(self, *lines: str) -> Write:
        """Append lines; the first overwrites an unfinished progress line."""
        stamp = f"\x1b[2m{self._clock.now().astimezone():%H:%M:%S}\x1b[0m "
        text = [stamp + line for line in lines]
        if self._partial:
            text[0] = "\r" + _padded(text[0])
            self._partial = False
        return Write(PATH, "\n".join(text) + "\n", append=True)

    def progress(self, name: str, percent: float) -> Write:
        """Write a progress line, with a carriage return before it and no end of line."""
        filled = round(percent / 5)
        bar = "━" * filled + "\x1b[2m" + "━" * (20 - filled) + "\x1b[0m"
        self._partial = True
        return Write(PATH, "\r" + _padded(f"  {name} {bar} {percent:3.0f}%"), append=True)


def _padded(text: str) -> str:
    return text + " " * max(0, PAD - len(PRINTED.sub("", text)))

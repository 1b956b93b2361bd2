"""Debounced terminal output for append-only displays: a line is shown once it has settled, not each time it is redrawn.

The protocol sends a line again while it is unfinished, and when a program redraws it (progress bars). In a list of
messages, each of these versions would be a line.
"""

from __future__ import annotations

from collections import OrderedDict
from typing import Final, NamedTuple

import msgspec

from .. import events as ev
from .text import clean

__all__ = ["OutputLines"]

QUIET: Final = 1.0  # seconds without a change until a line is shown; doubled (up to 8) each time it was shown
LONGEST: Final = 10.0  # seconds after which a line that keeps changing is shown all the same
MAX_HELD: Final = 500  # lines that are held back
MAX_SHOWN: Final = 5_000  # lines that are known to have been shown


class _Held(NamedTuple):
    version: ev.TerminalOutput
    since: float
    changed: float


class _Shown(NamedTuple):
    text: str
    whole: bool
    times: int


class OutputLines:
    """Decides which version of a line is shown, and when. Times are in seconds of any monotonic clock."""

    def __init__(self) -> None:
        self._held: OrderedDict[int, _Held] = OrderedDict()  # by line number; the last changed is last
        self._shown: OrderedDict[int, _Shown] = OrderedDict()

    @property
    def newest(self) -> ev.TerminalOutput | None:
        """The held-back line that changed last; None if there is none."""
        return next(reversed(self._held.values())).version if self._held else None

    def push(self, message: ev.TerminalOutput, now: float) -> list[ev.TerminalOutput]:
        """Add a message and return the messages to show now, one per line."""
        texts = message.output.split("\n")
        unfinished = texts.pop()
        ready: list[ev.TerminalOutput] = []
        for number, text in enumerate(texts, message.line):
            version = msgspec.structs.replace(message, output=f"{text}\n", content=f"{text}\n", line=number)
            shown = self._shown.get(number)
            if shown is None or not shown.whole:
                self._held.pop(number, None)
                ready += self._show(version)
            else:
                self._hold(version, now)
        if unfinished or not texts:
            number = message.line + len(texts)
            self._hold(msgspec.structs.replace(message, output=unfinished, content=unfinished, line=number), now)
        while len(self._held) > MAX_HELD:
            ready += self._show(self._held.popitem(last=False)[1].version)
        return ready

    def due(self, now: float) -> list[ev.TerminalOutput]:
        """Return the lines that have settled by now, and those that have been changing for longer than `LONGEST`."""
        found: list[int] = []
        for number, held in self._held.items():
            shown = self._shown.get(number)
            quiet = QUIET * 2 ** min(3, shown.times if shown else 0)
            if now - held.changed >= quiet or now - held.since >= LONGEST:
                found.append(number)
        return [line for number in sorted(found) for line in self._show(self._held.pop(number).version)]

    def finish(self) -> list[ev.TerminalOutput]:
        """Return all lines that are held back, and reset: line numbers may start again."""
        rest = [line for number in sorted(self._held) for line in self._show(self._held[number].version)]
        self._held.clear()
        self._shown.clear()
        return rest

    def _hold(self, version: ev.TerminalOutput, now: float) -> None:
        before = self._held.pop(version.line, None)
        self._held[version.line] = _Held(version, before.since if before else now, now)

    def _show(self, version: ev.TerminalOutput) -> list[ev.TerminalOutput]:
        """Return a version of a line as a list; empty if its text equals the version shown last."""
        text, whole = clean(version.output, 2_000).rstrip(), version.output.endswith("\n")
        before = self._shown.pop(version.line, None)
        times = before.times if before else 0
        known = before.text == text if before else not text and not whole
        self._shown[version.line] = _Shown(text, whole or (before is not None and before.whole), times + (not known))
        if len(self._shown) > MAX_SHOWN:
            self._shown.popitem(last=False)
        return [] if known else [version]

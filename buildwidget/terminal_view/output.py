"""Output for a reader that cannot take a line back: a line is shown when it has settled, not each time it is drawn.

The protocol tells a line again while it is unfinished, and when a program draws it anew (progress bars). In a list of
messages, each of these looks would be a line.
"""

from __future__ import annotations

from collections import OrderedDict
from typing import Final, NamedTuple

import msgspec

from .. import events as ev
from .text import clean

__all__ = ["OutputLines"]

QUIET: Final = 1.0  # seconds without a change after which a look is shown; twice as long after each time it was
LONGEST: Final = 10.0  # seconds after which a line that keeps changing is shown all the same
MAX_HELD: Final = 500  # lines that wait
MAX_SHOWN: Final = 5_000  # lines that are known to have been shown


class _Held(NamedTuple):
    look: ev.TerminalOutput
    since: float
    changed: float


class _Shown(NamedTuple):
    text: str
    whole: bool
    times: int


class OutputLines:
    """Decides which looks of which lines are shown, and when. Times are seconds of any clock."""

    def __init__(self) -> None:
        self._held: OrderedDict[int, _Held] = OrderedDict()  # what changed last is last
        self._shown: OrderedDict[int, _Shown] = OrderedDict()

    @property
    def newest(self) -> ev.TerminalOutput | None:
        """The look of the line that changed last, of those that wait."""
        return next(reversed(self._held.values())).look if self._held else None

    def take(self, message: ev.TerminalOutput, now: float) -> list[ev.TerminalOutput]:
        """Take a message; give what is to be shown because of it, a line each."""
        texts = message.output.split("\n")
        unfinished = texts.pop()
        ready: list[ev.TerminalOutput] = []
        for number, text in enumerate(texts, message.line):
            look = msgspec.structs.replace(message, output=f"{text}\n", content=f"{text}\n", line=number)
            shown = self._shown.get(number)
            if shown is None or not shown.whole:
                self._held.pop(number, None)
                ready += self._show(look)
            else:
                self._hold(look, now)
        if unfinished or not texts:
            number = message.line + len(texts)
            self._hold(msgspec.structs.replace(message, output=unfinished, content=unfinished, line=number), now)
        while len(self._held) > MAX_HELD:
            ready += self._show(self._held.popitem(last=False)[1].look)
        return ready

    def due(self, now: float) -> list[ev.TerminalOutput]:
        """What has settled by now, and what has changed for so long that it is shown all the same."""
        found: list[int] = []
        for number, held in self._held.items():
            shown = self._shown.get(number)
            quiet = QUIET * 2 ** min(3, shown.times if shown else 0)
            if now - held.changed >= quiet or now - held.since >= LONGEST:
                found.append(number)
        return [line for number in sorted(found) for line in self._show(self._held.pop(number).look)]

    def finish(self) -> list[ev.TerminalOutput]:
        """All that waits; what comes after it has numbers of its own."""
        rest = [line for number in sorted(self._held) for line in self._show(self._held[number].look)]
        self._held.clear()
        self._shown.clear()
        return rest

    def _hold(self, look: ev.TerminalOutput, now: float) -> None:
        before = self._held.pop(look.line, None)
        self._held[look.line] = _Held(look, before.since if before else now, now)

    def _show(self, look: ev.TerminalOutput) -> list[ev.TerminalOutput]:
        """A look as a list, empty if the line looks as it was shown last."""
        text, whole = clean(look.output, 2_000).rstrip(), look.output.endswith("\n")
        before = self._shown.pop(look.line, None)
        times = before.times if before else 0
        known = before.text == text if before else not text and not whole
        self._shown[look.line] = _Shown(text, whole or (before is not None and before.whole), times + (not known))
        if len(self._shown) > MAX_SHOWN:
            self._shown.popitem(last=False)
        return [] if known else [look]

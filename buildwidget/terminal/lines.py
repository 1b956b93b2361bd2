"""The lines of all sources of one build, numbered from 1.

A line is given when it is complete, or 100 ms after a part of it; a later look of it has the same number. A line that
is drawn again after it was complete is given again, at most every 100 ms. All is bounded: a line's length, a message's
size, the lines that can be drawn again, the sources that are remembered.
"""

from __future__ import annotations

from collections import OrderedDict
from typing import Final

import msgspec

from .screen import Row, Screen

__all__ = ["MAX_CHUNK", "MAX_SOURCES", "Chunk", "Terminal"]

MAX_CHUNK: Final = 48 * 1024  # characters of one message
MAX_SOURCES: Final = 1_024  # whose last lines can be drawn again
PATIENCE: Final = 0.1  # seconds before an unfinished line, or one that was drawn again, is shown

_Key = tuple[str | None, str]


class Chunk(msgspec.Struct):
    """Lines of one source, each with its newline; the first has number ``line``. Without the newline: a part of one."""

    line: int
    output: str
    output_type: str = "stdout"
    source: str | None = None


class Terminal:
    """Numbers the lines of one build."""

    def __init__(self) -> None:
        self._next = 1
        self._screens: OrderedDict[_Key, Screen] = OrderedDict()  # who wrote last is last
        self._due: dict[_Key, float] = {}

    def feed(self, text: str, *, output_type: str = "stdout", source: str | None = None, now: float) -> list[Chunk]:
        """Take output in.

        Parameters
        ----------
        text
            As a program wrote it, cut anywhere.
        output_type
            stdout, stderr, info, error or success. Each has lines of its own.
        source
            Where it comes from; each source has lines of its own.
        now
            The time in seconds.

        Returns
        -------
        list of Chunk
            The lines that are complete.
        """
        key = (source, output_type)
        screen = self._screens.get(key)
        if screen is None:
            screen = self._screens[key] = Screen()
        self._screens.move_to_end(key)
        screen.feed(text)
        done = screen.take_settled()
        done += [row for row in screen.rows[:-1] if not (row.told and row.told[1])]
        chunks = self._tell(key, done)
        if key not in self._due and any(row.dirty for row in screen.rows):
            self._due[key] = now + PATIENCE
        if len(self._screens) > MAX_SOURCES:
            chunks += self._finish(next(iter(self._screens)))
        return chunks

    def skip(self, count: int, note: str, *, source: str | None = None) -> list[Chunk]:
        """Leave out lines that have numbers: ``note`` says so, with the number of the last of them."""
        self._next += max(0, count - 1)
        return [Chunk(self._number(), note + "\n", "info", source)]

    def due(self) -> float | None:
        """When `flush` has something to show; None if everything is shown."""
        return min(self._due.values(), default=None)

    def flush(self, now: float) -> list[Chunk]:
        """What has waited for 100 ms, as it looks now: unfinished lines, and lines that were drawn again."""
        chunks: list[Chunk] = []
        for key, due in list(self._due.items()):
            if due <= now:
                del self._due[key]
                *rows, last = self._screens[key].rows
                chunks += self._tell(key, [row for row in rows if row.dirty])
                if last.dirty and (look := last.look(), False) != last.told and (look or last.number is not None):
                    number = last.number = self._number() if last.number is None else last.number
                    last.told = (look, False)
                    chunks.append(Chunk(number, look, key[1], key[0]))
                last.dirty = False
        return chunks

    def finish(self, source: str | None = None) -> list[Chunk]:
        """A source has ended: what it left unfinished is a line."""
        return [chunk for key in [k for k in self._screens if k[0] == source] for chunk in self._finish(key)]

    def _finish(self, key: _Key) -> list[Chunk]:
        rows = self._screens.pop(key).rows
        self._due.pop(key, None)
        if rows[-1].is_empty and rows[-1].number is None:
            rows.pop()
        return self._tell(key, rows)

    def _number(self) -> int:
        self._next += 1
        return self._next - 1

    def _tell(self, key: _Key, rows: list[Row]) -> list[Chunk]:
        """Complete lines, numbered, as few messages as their numbers and sizes allow."""
        chunks: list[Chunk] = []
        first, size, texts = 0, 0, list[str]()
        for row in rows:
            told = (row.look(), True)
            row.dirty = False
            if told == row.told:
                continue
            row.told = told
            if row.number is None:
                row.number = self._number()
            if texts and (row.number != first + len(texts) or size + len(told[0]) >= MAX_CHUNK):
                chunks.append(Chunk(first, "\n".join([*texts, ""]), key[1], key[0]))
                texts, size = [], 0
            if not texts:
                first = row.number
            texts.append(told[0])
            size += len(told[0]) + 1
        if texts:
            chunks.append(Chunk(first, "\n".join([*texts, ""]), key[1], key[0]))
        return chunks

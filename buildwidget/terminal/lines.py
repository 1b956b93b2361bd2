"""The lines of all sources of one build, numbered from 1.

A line is emitted when it is complete, or 100 ms after its first part; each later version of it has the same number. A
line that changes after it was complete is emitted again, at most every 100 ms. Everything is bounded: the length of a
line, the size of a message, the number of lines that can still change, the number of sources.
"""

from __future__ import annotations

from collections import OrderedDict
from typing import Final

import msgspec

from .screen import Row, Screen

__all__ = ["MAX_CHUNK", "MAX_SOURCES", "Chunk", "Terminal"]

MAX_CHUNK: Final = 48 * 1024  # characters of one message
MAX_SOURCES: Final = 1_024  # with a screen each; the one that has been silent the longest is closed beyond that
PATIENCE: Final = 0.1  # seconds until an unfinished or a changed line is emitted

_Key = tuple[str | None, str]


class Chunk(msgspec.Struct):
    """Lines of one source, each with its newline; the first has number ``line``. Without a newline: a partial line."""

    line: int
    output: str
    output_type: str = "stdout"
    source: str | None = None


class Terminal:
    """Numbers the lines of output of one build."""

    def __init__(self) -> None:
        self._next = 1
        self._screens: OrderedDict[_Key, Screen] = OrderedDict()  # least recently written first
        self._due: dict[_Key, float] = {}

    def feed(self, text: str, *, output_type: str = "stdout", source: str | None = None, now: float) -> list[Chunk]:
        """Process a chunk of output.

        Parameters
        ----------
        text
            The output as a program wrote it; chunks may be cut anywhere.
        output_type
            stdout, stderr, info, error or success. Each type of a source has separate lines.
        source
            The name of the program or file that wrote it, if there is one. Each source has separate lines.
        now
            The time in seconds.

        Returns
        -------
        list of Chunk
            The lines that are now complete.
        """
        key = (source, output_type)
        screen = self._screens.get(key)
        if screen is None:
            screen = self._screens[key] = Screen()
        self._screens.move_to_end(key)
        screen.feed(text)
        done = screen.pop_scrolled()
        done += [row for row in screen.rows[:-1] if not (row.emitted and row.emitted[1])]
        chunks = self._emit(key, done)
        if key not in self._due and any(row.dirty for row in screen.rows):
            self._due[key] = now + PATIENCE
        if len(self._screens) > MAX_SOURCES:
            chunks += self._finish(next(iter(self._screens)))
        return chunks

    def skip(self, count: int, note: str, *, source: str | None = None) -> list[Chunk]:
        """Reserve ``count`` line numbers for lines that are left out; emit ``note`` with the last of these numbers."""
        self._next += max(0, count - 1)
        return [Chunk(self._number(), note + "\n", "info", source)]

    def due(self) -> float | None:
        """Return the time at which `flush` has something to emit; None if there is nothing."""
        return min(self._due.values(), default=None)

    def flush(self, now: float) -> list[Chunk]:
        """Return the unfinished and the changed lines that have waited for 100 ms, in their current version."""
        chunks: list[Chunk] = []
        for key, due in list(self._due.items()):
            if due <= now:
                del self._due[key]
                *rows, last = self._screens[key].rows
                chunks += self._emit(key, [row for row in rows if row.dirty])
                if last.dirty and (text := last.render(), False) != last.emitted and (text or last.number is not None):
                    number = last.number = self._number() if last.number is None else last.number
                    last.emitted = (text, False)
                    chunks.append(Chunk(number, text, key[1], key[0]))
                last.dirty = False
        return chunks

    def finish(self, source: str | None = None) -> list[Chunk]:
        """End a source: its unfinished line is emitted as complete."""
        return [chunk for key in [k for k in self._screens if k[0] == source] for chunk in self._finish(key)]

    def _finish(self, key: _Key) -> list[Chunk]:
        rows = self._screens.pop(key).rows
        self._due.pop(key, None)
        if rows[-1].is_empty and rows[-1].number is None:
            rows.pop()
        return self._emit(key, rows)

    def _number(self) -> int:
        self._next += 1
        return self._next - 1

    def _emit(self, key: _Key, rows: list[Row]) -> list[Chunk]:
        """Number complete lines, and join those with consecutive numbers into chunks of at most `MAX_CHUNK`."""
        chunks: list[Chunk] = []
        first, size, texts = 0, 0, list[str]()
        for row in rows:
            emitted = (row.render(), True)
            row.dirty = False
            if emitted == row.emitted:
                continue
            row.emitted = emitted
            if row.number is None:
                row.number = self._number()
            if texts and (row.number != first + len(texts) or size + len(emitted[0]) >= MAX_CHUNK):
                chunks.append(Chunk(first, "\n".join([*texts, ""]), key[1], key[0]))
                texts, size = [], 0
            if not texts:
                first = row.number
            texts.append(emitted[0])
            size += len(emitted[0]) + 1
        if texts:
            chunks.append(Chunk(first, "\n".join([*texts, ""]), key[1], key[0]))
        return chunks

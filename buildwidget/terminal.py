"""Output into numbered lines. Pure: the time is given. (So far: whole lines, as they come.)"""

from __future__ import annotations

import msgspec

__all__ = ["Chunk", "Terminal"]


class Chunk(msgspec.Struct):
    """One or more whole lines, joined with newlines; the first has number ``line``."""

    line: int
    output: str
    output_type: str = "stdout"
    source: str | None = None


class Terminal:
    """Numbers the lines of one build, of all sources together, from 1."""

    def __init__(self) -> None:
        self._next = 1

    def feed(self, text: str, *, output_type: str = "stdout", source: str | None = None, now: float) -> list[Chunk]:  # noqa: ARG002
        """Take text in, and give what is to be shown."""
        out = text.removesuffix("\n")
        line = self._next
        self._next += out.count("\n") + 1
        return [Chunk(line, out, output_type, source)]

    def due(self) -> float | None:
        """When `flush` has something to show."""
        return None

    def flush(self, now: float) -> list[Chunk]:  # noqa: ARG002
        """What is unfinished for long enough to be shown."""
        return []

    def finish(self, source: str | None = None) -> list[Chunk]:  # noqa: ARG002
        """The last line of a source that has ended."""
        return []

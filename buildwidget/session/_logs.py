"""The output that log files hold, as they grow."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Final, NamedTuple

from ..reading.files import as_text
from ..terminal import Chunk, Terminal
from ..watching.pending import FileChange
from ..watching.tail import Tails

__all__ = ["Followed", "LogFollower"]

LOG_INTERVAL: Final = 1.0  # seconds between two file_change messages of one *.log file


class Followed(NamedTuple):
    """What a log file had to add, and the seconds after which there is more (None: that was all)."""

    chunks: list[Chunk]
    again: float | None = None


class LogFollower:
    """Reads what is new in log files, and feeds it to the terminal. The caller holds the session's lock."""

    def __init__(self, root: Path, terminal: Terminal) -> None:
        self._tails = Tails(root)
        self._terminal = terminal
        self._reported: dict[str, float] = {}  # monotonic times

    def follow(self, change: FileChange, *, live: bool, obstructed: bool) -> Followed:
        """Read the new output of one log file. ``obstructed``: the path must not be read."""
        path, terminal = change.path, self._terminal
        source = _source_of(path)
        chunks: list[Chunk] = []
        while (piece := self._tails.rest(path)) is not None:
            chunks += terminal.feed(piece.text, source=source, now=time.monotonic())
        if change.change_type == "deleted":
            if self._tails.forget(path):
                chunks += terminal.finish(source)
            return Followed(chunks)
        if obstructed:
            return Followed(chunks)
        try:
            piece = self._tails.read(path, old=not live)
        except OSError:
            return Followed(chunks)  # the reader of the file warns of it if the error persists
        if piece is None:
            return Followed(chunks)
        if piece.renamed is not None:
            chunks += terminal.finish(_source_of(piece.renamed))
        if piece.again or piece.skipped:
            chunks += terminal.finish(source)
        if piece.skipped:
            count, what = (piece.lines, "line") if piece.lines else (piece.skipped, "byte")
            note = f"{count:,} earlier {what}{'' if count == 1 else 's'} not shown"
            chunks += terminal.skip(piece.lines or 0, note, source=source)
        chunks += terminal.feed(piece.text, source=source, now=time.monotonic())
        return Followed(chunks, (piece.hold or 0.001) if piece.more or piece.hold else None)

    def hold_back(self, change: FileChange) -> float | None:
        """Return the seconds to wait if this log's change was reported less than a second ago; else note it."""
        if change.change_type == "deleted":
            return None
        now = time.monotonic()
        wait = self._reported.get(change.path, -LOG_INTERVAL) + LOG_INTERVAL - now
        if wait > 0.001:
            return wait
        self._reported[change.path] = now
        return None

    def forget(self, path: str) -> None:
        """Report a new file at this path at once."""
        self._reported.pop(path, None)


def _source_of(path: str) -> str:
    """Return the ``source`` of a log file's output: its path below ``.buildrunner``."""
    return as_text(path).removeprefix(".buildrunner/")

"""Following log files from where one stopped reading: growth, rotation, truncation."""

from __future__ import annotations

import codecs
import os
from pathlib import Path
from typing import Final

import msgspec

from ..reading.files import open_file

__all__ = ["Piece", "Tails"]

FIRST: Final = 64 * 1024  # bytes at the end of a file that was there before us
PIECE: Final = 256 * 1024  # bytes in one look
BEHIND: Final = 4 * 2**20  # bytes; a file that is further ahead of its reader is not read whole
MAX_FILES: Final = 256  # that are followed


class Piece(msgspec.Struct):
    """What is new in a file.

    ``again``: it is another file, or was written anew, so what came before has ended. ``skipped``: bytes that were left
    out before this. ``more``: there is more to read at once.
    """

    text: str
    again: bool = False
    skipped: int = 0
    more: bool = False


class _Tail:
    __slots__ = ("decoder", "inode", "position")

    def __init__(self, inode: int, position: int) -> None:
        self.inode, self.position = inode, position
        self.decoder = codecs.getincrementaldecoder("utf-8")("replace")


class Tails:
    """The log files of one project, and how far each was read."""

    def __init__(self, root: Path) -> None:
        self._root = root
        self._tails: dict[str, _Tail] = {}

    def forget(self, path: str) -> bool:
        """The file is gone. Whether it was followed."""
        return self._tails.pop(path, None) is not None

    def read(self, path: str, *, old: bool) -> Piece | None:
        """What a file has to say now; None if nothing.

        Parameters
        ----------
        path
            Relative to the project.
        old
            Whether a file that is not known yet was there before us: then only its end is read.

        Raises
        ------
        OSError
            If it cannot be opened, or is no plain file inside the project.
        """
        fd, about = open_file(self._root, path)
        try:
            tail = self._tails.get(path)
            again = tail is not None and (tail.inode != about.st_ino or about.st_size < tail.position)
            skipped = 0
            if tail is None or again:
                if tail is None and len(self._tails) >= MAX_FILES:
                    del self._tails[next(iter(self._tails))]
                tail = self._tails[path] = _Tail(about.st_ino, 0)
                if old and not again:
                    tail.position = _line_start(fd, about.st_size - FIRST)
            if about.st_size - tail.position > BEHIND:
                at = _line_start(fd, about.st_size - PIECE)
                skipped = at - tail.position
                tail.position = at
                tail.decoder.reset()
            data = os.pread(fd, PIECE, tail.position)
        finally:
            os.close(fd)
        tail.position += len(data)
        text = tail.decoder.decode(data)
        if not text and not again and not skipped:
            return None
        return Piece(text, again, skipped, more=len(data) == PIECE)


def _line_start(fd: int, at: int) -> int:
    """The beginning of the first line that begins at ``at`` or later; 0 for the beginning of the file."""
    if at <= 0:
        return 0
    data = os.pread(fd, FIRST, at - 1)
    found = data.find(b"\n")
    return at + found if found >= 0 else at

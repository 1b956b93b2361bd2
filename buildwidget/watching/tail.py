"""Following log files from where one stopped reading: growth, rotation under any name, rewriting, preallocation.

A file is known by its device and inode, not by its name: renamed, it is read on. What was read of it is known again by
checksums of its first and its last bytes: if they differ, it was written anew. Nothing else is kept, so that hundreds
of files cost little.
"""

from __future__ import annotations

import contextlib
import os
import zlib
from collections import OrderedDict
from pathlib import Path
from typing import Final

import msgspec

from ..reading.files import open_file
from ..reading.text import UNIT, decode_part, encoding_of

__all__ = ["Piece", "Tails"]

FIRST: Final = 64 * 1024  # bytes at the end of a file that was there before us
PIECE: Final = 256 * 1024  # bytes in one look
BEHIND: Final = 4 * 2**20  # bytes; a file that is further ahead of its reader is not read whole
COUNT: Final = 4 * 2**20  # bytes in which one look counts the lines that are left out
MAX_COUNT: Final = 256 * 2**20  # bytes; in more than these they are not counted
HEAD: Final = 256  # bytes by which a file is known again
LAST: Final = 16 * 1024  # bytes before the position by which it is seen that they were not rewritten
BLOCK: Final = 4_096
MAX_FILES: Final = 16_384  # whose positions are kept

_Id = tuple[int, int]  # device, inode


class Piece(msgspec.Struct):
    """What is new in a file.

    Attributes
    ----------
    text
        The next part of it.
    again
        It is another file, or was written anew: what came before under this name has ended.
    renamed
        The name under which it was read before; what came from there has ended.
    skipped
        Bytes that were left out before this.
    lines
        The whole lines in them; None: they were not counted.
    more
        There is more to read at once.
    """

    text: str = ""
    again: bool = False
    renamed: str | None = None
    skipped: int = 0
    lines: int | None = None
    more: bool = False


class _Sums(msgspec.Struct, frozen=True):
    """What was read of a file, to know it again: the position and checksums of the bytes before it."""

    position: int
    head: int
    last: int
    modified: int  # the file's time, in ns


class _Tail(msgspec.Struct):
    """How far one file was read."""

    path: str
    encoding: str = ""  # empty: not known yet
    position: int = 0
    sums: _Sums | None = None
    former: _Sums | None = None  # before it was written anew: a copy of that may turn up under another name
    skip_to: int | None = None  # where reading will go on when the lines before it are counted
    skip_from: int = 0
    lines: int = 0


class Tails:
    """The log files of one project, and how far each was read."""

    def __init__(self, root: Path) -> None:
        self._root = root
        self._tails: OrderedDict[_Id, _Tail] = OrderedDict()  # who was read last is last
        self._names: dict[str, _Id] = {}

    def forget(self, path: str) -> bool:
        """The file is gone from there. Whether it was followed."""
        return self._names.pop(path, None) is not None

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
            piece = Piece()
            tail = self._recognise(fd, about, path, piece, old=old)
            if tail is None:  # another name of a file that is read under its first one
                return None
            if tail.encoding or self._begin(fd, about, tail, old=old and not piece.again):
                self._advance(fd, about, tail, piece)
        finally:
            os.close(fd)
        return piece if piece != Piece() else None

    # -- which file it is -----------------------------------------------------------------------------------------

    def _recognise(self, fd: int, about: os.stat_result, path: str, piece: Piece, *, old: bool) -> _Tail | None:
        """What is known of the file, or a new entry; None: it is read under another name, which it has still."""
        file = (about.st_dev, about.st_ino)
        before = self._names.get(path)
        tail = self._tails.get(file)
        if tail is not None and tail.path != path and self._is_at(tail.path, file):
            return None
        if tail is not None and self._is_same(fd, about, tail, known=before == file or tail.path != path):
            if tail.path != path:
                piece.again = before is not None  # the file that had this name was another
                if self._names.get(tail.path) == file:
                    piece.renamed = tail.path
                    del self._names[tail.path]
                tail.path = path
        else:
            piece.again = before is not None
            new = _Tail(path)
            if tail is None and not old:
                self._take_copy(fd, about, new)
            elif tail is not None and tail.sums is not None:
                new.former = msgspec.structs.replace(tail.sums, modified=about.st_mtime_ns)
            tail = self._tails[file] = new
        self._names[path] = file
        self._tails.move_to_end(file)
        while len(self._tails) > MAX_FILES:
            oldest, gone = self._tails.popitem(last=False)
            if self._names.get(gone.path) == oldest:
                del self._names[gone.path]
        return tail

    def _is_same(self, fd: int, about: os.stat_result, tail: _Tail, *, known: bool) -> bool:
        """Whether this is the file that was read, and not another one that got its inode, or was written anew.

        ``known``: its name was never gone, or it has another name now. A file that is there again under the same name
        is another one, unless it was not written since.
        """
        if tail.sums is None:
            return known and about.st_size >= tail.position
        if not known and about.st_mtime_ns != tail.sums.modified:
            return False
        return _is_continued(fd, about.st_size, tail.sums)

    def _is_at(self, path: str, file: _Id) -> bool:
        """Whether a file has this name still."""
        if self._names.get(path) != file:
            return False
        try:
            about = os.stat(self._root / path)
        except OSError:
            return False
        return (about.st_dev, about.st_ino) == file

    def _take_copy(self, fd: int, about: os.stat_result, new: _Tail) -> None:
        """A copy that was made before a log was emptied (logrotate's copytruncate) was told already: read on there."""
        head = os.pread(fd, HEAD, 0)
        for tail in self._tails.values():
            for sums in (tail.former, tail.sums):
                if sums is None or not 0 < sums.position <= about.st_size:
                    continue
                if zlib.crc32(head[: sums.position]) != sums.head or not _is_continued(fd, about.st_size, sums):
                    continue
                emptied = sums.modified if sums is tail.former else self._written_anew(tail, sums)
                if about.st_mtime_ns <= emptied:
                    new.encoding, new.position, new.sums = tail.encoding or "utf-8", sums.position, sums
                    tail.former = None
                    return

    def _written_anew(self, tail: _Tail, sums: _Sums) -> int:
        """When a log was written last, in ns, if it does not begin any more with what was read of it; else 0."""
        try:
            fd, about = open_file(self._root, tail.path)
        except Exception:  # noqa: BLE001 (whatever is wrong with that one is told when it is read)
            return 0
        try:
            return 0 if _is_continued(fd, about.st_size, sums) else about.st_mtime_ns
        finally:
            os.close(fd)

    # -- what is in it --------------------------------------------------------------------------------------------

    def _begin(self, fd: int, about: os.stat_result, tail: _Tail, *, old: bool) -> bool:
        """Find the encoding and where to begin; False if there is too little to know it."""
        end = _content_end(fd, 0, about.st_size)
        found = encoding_of(os.pread(fd, 3, 0)) if end else None
        if found is None:
            return False
        tail.encoding, tail.position = found
        tail.skip_from = tail.position
        if old and end - tail.position > FIRST:
            tail.skip_to = _line_start(fd, end - FIRST, tail.encoding)
        return True

    def _advance(self, fd: int, about: os.stat_result, tail: _Tail, piece: Piece) -> None:
        """Read on: count what is left out, or give what comes next."""
        end = _content_end(fd, tail.position, about.st_size)
        if tail.skip_to is None:
            _pass_hole(fd, tail, end)
            if end - tail.position > BEHIND:
                tail.skip_from, tail.skip_to = tail.position, _line_start(fd, end - PIECE, tail.encoding)
        if tail.skip_to is not None and not _count(fd, tail, piece):
            piece.more = True
            return
        # The last byte of a character may be 0, as the bytes after the end are.
        wanted = end - tail.position
        wanted += -wanted % UNIT[tail.encoding]
        data = os.pread(fd, min(PIECE, max(0, wanted)), tail.position)
        piece.text, used = decode_part(data, tail.encoding)
        tail.position += used
        piece.more = len(data) == PIECE
        if tail.sums is None or used:
            tail.sums = _Sums(tail.position, *_sums(fd, tail.position), about.st_mtime_ns)
        elif tail.sums.modified != about.st_mtime_ns:
            tail.sums = msgspec.structs.replace(tail.sums, modified=about.st_mtime_ns)


def _sums(fd: int, position: int) -> tuple[int, int]:
    """Checksums of the first bytes of a file, and of those before a position."""
    last = min(LAST, position)
    return zlib.crc32(os.pread(fd, min(HEAD, position), 0)), zlib.crc32(os.pread(fd, last, position - last))


def _is_continued(fd: int, size: int, sums: _Sums) -> bool:
    """Whether a file begins with what was read of it, as far as can be told."""
    return size >= sums.position and _sums(fd, sums.position) == (sums.head, sums.last)


def _line_start(fd: int, at: int, encoding: str) -> int:
    """The beginning of the first line that begins at ``at`` or later, where one begins near."""
    unit, newline = UNIT[encoding], "\n".encode(encoding)
    at -= at % unit + unit
    data = os.pread(fd, FIRST, at)
    found = data.find(newline)
    while found >= 0 and found % unit:
        found = data.find(newline, found + 1)
    return at + max(found, 0) + unit


def _count(fd: int, tail: _Tail, piece: Piece) -> bool:
    """Count the lines before the place to go on from, some of them in each look; whether all are counted."""
    assert tail.skip_to is not None
    newline = "\n".encode(tail.encoding)
    piece.skipped = tail.skip_to - tail.skip_from
    if piece.skipped <= MAX_COUNT:
        data = b""
        for _ in range(COUNT // PIECE):
            data = os.pread(fd, min(PIECE, tail.skip_to - tail.position), tail.position)
            if not data:
                break
            is_wide = len(newline) > 1
            tail.lines += data.decode(tail.encoding, "replace").count("\n") if is_wide else data.count(newline)
            tail.position += len(data)
        if tail.position < tail.skip_to and data:
            piece.skipped = 0
            return False
        begun = os.pread(fd, len(newline), max(0, tail.skip_from - len(newline)))  # what was told ends there
        at_start = tail.skip_from <= 3 or begun == newline
        piece.lines = max(0, tail.lines - (not at_start))
    tail.position, tail.skip_to, tail.lines = tail.skip_to, None, 0
    return True


def _content_end(fd: int, position: int, size: int) -> int:
    """Where the text of a file ends: a preallocated one is longer, and has NULs there."""
    at = max(position, size - BLOCK)
    found = os.pread(fd, BLOCK, at).rstrip(b"\0") if size > at else b""
    if found or size <= position:
        return at + len(found)
    end, nothing = position, at
    while end < nothing:  # the text ends between them
        at = (end + nothing) // 2
        found = os.pread(fd, BLOCK, at).rstrip(b"\0")
        if found:
            end = at + len(found)
        else:
            nothing = at
    return end


def _pass_hole(fd: int, tail: _Tail, end: int) -> None:
    """Go past NULs that have text after them: a log was emptied, and its writer went on where it was."""
    unit = UNIT[tail.encoding]
    for _ in range(4 * COUNT // PIECE):  # the rest with the next look
        data = os.pread(fd, min(PIECE, max(0, end - tail.position)), tail.position)
        empty = len(data) - len(data.lstrip(b"\0"))
        tail.position += empty - empty % unit
        if empty < unit or empty < len(data):
            return
        with contextlib.suppress(OSError, AttributeError):  # not every system can tell
            tail.position = max(tail.position, os.lseek(fd, tail.position, os.SEEK_DATA) // BLOCK * BLOCK)

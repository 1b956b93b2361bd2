"""Follow log files by position: growth, rotation under any name, rewriting, preallocation.

A file is identified by its device and inode, so reading continues after a rename. Its first bytes and a checksum of
the last ones read tell whether it was rewritten. Only these and positions are stored, so that hundreds of files cost
little.

Some rotation copies a log and then empties it (logrotate's copytruncate). A new file that so far holds nothing but what
another log holds is therefore not shown at once: it may be such a copy, whose lines were shown already.
"""

from __future__ import annotations

import contextlib
import os
import time
import zlib
from collections import OrderedDict
from pathlib import Path
from typing import Final

import msgspec

from ..errors import CheckpointError
from ..reading.files import open_file
from ..reading.text import UNIT, decode_part, encoding_of
from ..systems.paths import is_wanted

__all__ = ["Piece", "Tails"]

FIRST: Final = 64 * 1024  # bytes read at the end of a file that existed at the start
PIECE: Final = 256 * 1024  # bytes per read
BEHIND: Final = 4 * 2**20  # bytes; with more than these unread, the older ones are skipped
COUNT: Final = 4 * 2**20  # bytes per read in which skipped lines are counted
MAX_COUNT: Final = 256 * 2**20  # bytes; the lines of a longer skip are not counted
HEAD: Final = 256  # bytes at the start of a file that are stored
LAST: Final = 16 * 1024  # bytes before the position that its checksum covers
BLOCK: Final = 4_096
MAX_FILES: Final = 16_384  # files whose positions are stored
HOLD: Final = 0.25  # seconds that a possible copy is held back after it grew last
MAX_HOLD: Final = 5.0  # seconds that it is held back in all
HOLD_STEP: Final = 0.05  # seconds between two looks at it
MAX_COMPARED: Final = 8  # logs that a new file is compared with, byte by byte

_Id = tuple[int, int]  # device, inode


class Piece(msgspec.Struct):
    """The next part of a log file.

    Attributes
    ----------
    text
        Its decoded text.
    again
        The file was replaced or rewritten: the earlier output under this name has ended.
    renamed
        The earlier name of a renamed file; the output under that name has ended.
    skipped
        Bytes that were skipped before this text.
    lines
        Complete lines among the skipped bytes; None: not counted.
    more
        More is available now.
    hold
        Seconds after which to read again; 0: nothing is held back.
    """

    text: str = ""
    again: bool = False
    renamed: str | None = None
    skipped: int = 0
    lines: int | None = None
    more: bool = False
    hold: float = 0.0


class _Sums(msgspec.Struct, frozen=True):
    """A read position, and what identifies the content before it."""

    position: int
    head: bytes  # the first bytes
    last: int  # a checksum of the last ones
    modified: int  # the file's time, in ns


class _Tail(msgspec.Struct):
    """The read position of one file."""

    path: str
    encoding: str = ""  # empty: not detected yet
    position: int = 0
    sums: _Sums | None = None
    former: _Sums | None = None  # before it was rewritten: a copy of that may appear under another name
    skip_to: int | None = None  # where reading continues after the skipped lines are counted
    skip_from: int = 0
    lines: int = 0
    held: _Held | None = None


class _Held(msgspec.Struct):
    """A new file that may be a copy of another log."""

    since: float  # on the monotonic clock
    grew: float
    size: int


class Tails:
    """The log files of one project and their read positions."""

    def __init__(self, root: Path) -> None:
        self._root = root
        self._tails: OrderedDict[_Id, _Tail] = OrderedDict()  # least recently read first
        self._names: dict[str, _Id] = {}

    def forget(self, path: str) -> bool:
        """Forget a path whose file is gone; return whether it was followed."""
        return self._names.pop(path, None) is not None

    def rest(self, path: str) -> Piece | None:
        """Read what was written to a file just before it was renamed to a name that is not followed.

        It is looked for in the folder where it was, by its inode. To be called before `read` and `forget`, until there
        is nothing more.
        """
        file = self._names.get(path)
        if file is not None and self._is_at(path, file):
            return None
        tail = self._tails.get(file) if file is not None else None
        if file is None or tail is None or tail.path != path or not tail.encoding or tail.skip_to is not None:
            return None
        folder = os.path.dirname(path)
        try:
            with os.scandir(self._root / folder) as entries:
                name = next((entry.name for entry in entries if entry.inode() == file[1]), None)
            if name is None or is_wanted(folder, name):  # that name is followed itself
                return None
            fd, about = open_file(self._root, f"{folder}/{name}")
        except (OSError, CheckpointError):
            return None
        try:
            if (about.st_dev, about.st_ino) != file or tail.sums is None:
                return None
            if not _is_continued(fd, about.st_size, tail.sums):
                return None
            piece = Piece()
            self._advance(fd, about, tail, piece)
        finally:
            os.close(fd)
        return piece if piece != Piece() else None

    def read(self, path: str, *, old: bool) -> Piece | None:
        """Read the next part of a file; None if there is nothing new.

        Parameters
        ----------
        path
            Relative to the project.
        old
            Whether a file seen for the first time existed before the start: then only its end is read.

        Raises
        ------
        OSError
            If it cannot be opened, or is no plain file inside the project.
        """
        fd, about = open_file(self._root, path)
        try:
            piece = Piece()
            tail = self._recognise(fd, about, path, piece, old=old)
            if tail is None:  # a hard link to a file that is followed under its first name
                return None
            if tail.held is not None and self._is_held(fd, about, tail):
                return Piece(again=piece.again, renamed=piece.renamed, hold=HOLD_STEP)
            if tail.encoding or self._begin(fd, about, tail, old=old and not piece.again):
                self._advance(fd, about, tail, piece)
        finally:
            os.close(fd)
        return piece if piece != Piece() else None

    # -- which file it is -----------------------------------------------------------------------------------------

    def _recognise(self, fd: int, about: os.stat_result, path: str, piece: Piece, *, old: bool) -> _Tail | None:
        """Return the entry of the file, or a new one; None if it is followed under another name that still exists."""
        file = (about.st_dev, about.st_ino)
        before = self._names.get(path)
        tail = self._tails.get(file)
        if tail is not None and tail.path != path and self._is_at(tail.path, file):
            return None
        may_be_copy = tail is not None and not tail.encoding and tail.held is None and not old
        if tail is not None and self._is_same(fd, about, tail, known=before == file or tail.path != path):
            if tail.path != path:
                piece.again = before is not None  # another file had this name
                if self._names.get(tail.path) == file:
                    piece.renamed = tail.path
                    del self._names[tail.path]
                tail.path = path
        else:
            piece.again = before is not None
            new = _Tail(path)
            if tail is not None and tail.sums is not None:
                # The kernel sets the time after the size: what is emptied right now still has the old one.
                emptied = about.st_mtime_ns if about.st_mtime_ns != tail.sums.modified else time.time_ns()
                new.former = msgspec.structs.replace(tail.sums, modified=emptied)
            may_be_copy = tail is None and not old
            tail = self._tails[file] = new
        # A copy may be seen before anything is in it.
        if may_be_copy and self._may_become_copy(fd, about, tail):
            now = time.monotonic()
            tail.held = _Held(now, now, about.st_size)
        elif may_be_copy:  # asked second, because the log may be emptied between the two looks at it
            self._take_copy(fd, tail)
        self._names[path] = file
        self._tails.move_to_end(file)
        while len(self._tails) > MAX_FILES:
            oldest, gone = self._tails.popitem(last=False)
            if self._names.get(gone.path) == oldest:
                del self._names[gone.path]
        return tail

    def _is_same(self, fd: int, about: os.stat_result, tail: _Tail, *, known: bool) -> bool:
        """Whether this is the file that was read, neither rewritten nor a new file that reuses the inode.

        ``known``: the path never disappeared, or the file was renamed. A file that reappears under its old name is
        another one, unless it was not modified since.
        """
        if tail.sums is None:
            return known and about.st_size >= tail.position
        if not known and about.st_mtime_ns != tail.sums.modified:
            return False
        return _is_continued(fd, about.st_size, tail.sums)

    def _is_at(self, path: str, file: _Id) -> bool:
        """Whether the path still leads to this file."""
        if self._names.get(path) != file:
            return False
        try:
            about = os.stat(self._root / path)
        except OSError:
            return False
        return (about.st_dev, about.st_ino) == file

    def _is_held(self, fd: int, about: os.stat_result, tail: _Tail) -> bool:
        """Decide on a file that may be a copy; whether it is still held back."""
        held = tail.held
        assert held is not None
        now = time.monotonic()
        if about.st_size != held.size:
            held.grew, held.size = now, about.st_size
        if now < min(held.grew + HOLD, held.since + MAX_HOLD) and self._may_become_copy(fd, about, tail):
            return True
        tail.held = None
        self._take_copy(fd, tail)
        return False

    def _may_become_copy(self, fd: int, about: os.stat_result, new: _Tail) -> bool:
        """Whether a file holds nothing but the beginning of what a followed log holds, which was not emptied yet."""
        size = _content_end(fd, 0, about.st_size)
        if not size:
            return False
        head = os.pread(fd, HEAD, 0)[:size]
        compared = 0
        for tail in reversed(self._tails.values()):  # a log that is rotated was written lately
            if tail is new or tail.held is not None or tail.sums is None or not tail.sums.position:
                continue
            if not (head.startswith(tail.sums.head) or tail.sums.head.startswith(head)):
                continue
            compared += 1
            if compared > MAX_COMPARED:
                return False
            with contextlib.suppress(OSError, CheckpointError):  # its error is reported when that file is read
                if self._begins_alike(fd, size, tail.path, tail.sums):
                    return True
        return False

    def _begins_alike(self, fd: int, size: int, path: str, sums: _Sums) -> bool:
        """Whether the first ``size`` bytes of a file are those of a log, by their first and last ones."""
        other, about = open_file(self._root, path)
        try:
            if about.st_size < sums.position and about.st_mtime_ns == sums.modified:
                return True  # it is being emptied right now: the kernel sets the time after the size
            last = min(LAST, size)
            parts = [(min(HEAD, size), 0), (last, size - last)]
            return all(os.pread(fd, count, at) == os.pread(other, count, at) for count, at in parts)
        finally:
            os.close(other)

    def _take_copy(self, fd: int, new: _Tail) -> None:
        """Take over the position of an emptied log of which this is a copy: that part was read already."""
        about = os.fstat(fd)  # anew: the copy was complete before the log was emptied, but not when it was opened here
        head = os.pread(fd, HEAD, 0)
        for tail in self._tails.values():
            for sums in (tail.former, tail.sums):
                if sums is None or not 0 < sums.position <= about.st_size:
                    continue
                if not head.startswith(sums.head) or not _is_continued(fd, about.st_size, sums):
                    continue
                emptied = sums.modified if sums is tail.former else self._written_anew(tail, sums)
                if about.st_mtime_ns <= emptied:
                    new.encoding, new.position, new.sums = tail.encoding or "utf-8", sums.position, sums
                    tail.former = None
                    return

    def _written_anew(self, tail: _Tail, sums: _Sums) -> int:
        """Return the mtime of a log in ns if it no longer begins with the content that was read; else 0."""
        try:
            fd, about = open_file(self._root, tail.path)
        except Exception:  # noqa: BLE001 (its error is reported when that file is read)
            return 0
        try:
            if _is_continued(fd, about.st_size, sums):
                return 0
            for _ in range(5):  # the kernel sets the time a moment after the size
                about = os.fstat(fd)
                if about.st_mtime_ns != sums.modified:
                    break
                time.sleep(0.001)
            return about.st_mtime_ns
        finally:
            os.close(fd)

    # -- what is in it --------------------------------------------------------------------------------------------

    def _begin(self, fd: int, about: os.stat_result, tail: _Tail, *, old: bool) -> bool:
        """Detect the encoding and the start position; False if there are too few bytes to tell."""
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
        """Count the skipped lines, or read the next part into ``piece``."""
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


def _sums(fd: int, position: int) -> tuple[bytes, int]:
    """The first bytes of a file, and a checksum of those before a position."""
    last = min(LAST, position)
    return os.pread(fd, min(HEAD, position), 0), zlib.crc32(os.pread(fd, last, position - last))


def _is_continued(fd: int, size: int, sums: _Sums) -> bool:
    """Whether a file still begins with the content that was read."""
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

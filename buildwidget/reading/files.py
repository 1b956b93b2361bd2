"""Which files are read, and how: without blocking, never half-written, never outside the project.

`read_file` reads once and raises `Torn` when the file changed meanwhile: callers with a queue try again later.
`read_settled` retries by itself, for callers that need the content now.
"""

from __future__ import annotations

import os
import stat
import time
from collections.abc import Callable
from pathlib import Path
from typing import Final, TypeVar

from ..errors import CheckpointError

__all__ = [
    "BASE",
    "FOREIGN",
    "MAX_BYTES",
    "MAX_DEPTH",
    "MAYBE_TORN",
    "STILL",
    "TOO_DEEP",
    "UNSTABLE",
    "Torn",
    "as_text",
    "describe_kind",
    "is_inside",
    "open_file",
    "read_file",
    "read_settled",
    "stamp_of",
    "too_big",
]

T = TypeVar("T")

#: The reason given when no attempt to read a file found it at rest.
UNSTABLE: Final = "the file changed during every attempt to read it"

#: Bytes; a larger file is refused unread. The files of a build have a few kilobytes, rarely a megabyte.
MAX_BYTES: Final = 32 << 20

#: The folder of a project that BuildRunner writes to.
BASE = ".buildrunner"
#: Folders that are never entered: they hold thousands of files that are not part of a build.
FOREIGN: Final = frozenset({".git", "node_modules", "__pycache__", ".venv"})
#: The codes of `CheckpointError` that a half-written file can cause.
MAYBE_TORN = frozenset({"empty", "not_json", "not_utf8"})
#: Seconds for which a file must be still of which no parser can tell whether it is complete.
STILL: Final = 0.03
#: The depth, in folders below `BASE`, down to which files are looked for.
MAX_DEPTH = 8
#: Why what lies deeper is left out, as a warning with the code ``folder_too_deep`` says it.
TOO_DEEP: Final = f"lies more than {MAX_DEPTH} folders below {BASE}; what is in it is left out"

_PROC_FD = "/proc/self/fd"
_OPEN_FLAGS = os.O_RDONLY | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_CLOEXEC", 0) | getattr(os, "O_BINARY", 0)


class Torn(Exception):  # noqa: N818 - not an error: the file is being written, read it again
    """The file changed while it was read. Read it again in a moment."""


def as_text(path: str) -> str:
    """Return a path as valid Unicode: bytes that are not UTF-8 are written as escapes, as Python does."""
    if path.isascii():
        return path
    return path.encode("utf-8", "surrogateescape").decode("utf-8", "backslashreplace")


def stamp_of(found: os.stat_result) -> tuple[int, int, int, int]:
    """Return what shows that a file has changed: mtime and ctime in ns, size in bytes, inode.

    The ctime is needed because any program can set the mtime back (``rsync -t``, ``touch -r``); only the kernel sets
    the ctime.
    """
    return found.st_mtime_ns, found.st_ctime_ns, found.st_size, found.st_ino


def describe_kind(mode: int) -> str:
    """Describe a file that is not a regular one: ``is a directory``, ``is a FIFO``."""
    if stat.S_ISDIR(mode):
        return "is a directory"
    if stat.S_ISFIFO(mode):
        return "is a FIFO"
    if stat.S_ISSOCK(mode):
        return "is a socket"
    if stat.S_ISBLK(mode) or stat.S_ISCHR(mode):
        return "is a device"
    return "is not a regular file"


def is_inside(real_path: str, real_root: str) -> bool:
    """Tell whether a resolved path is the resolved root, or lies under it."""
    return real_path == real_root or real_path.startswith(real_root.rstrip(os.sep) + os.sep)


def open_file(root: str | Path | None, rel_path: str) -> tuple[int, os.stat_result]:
    """Open one regular file for reading, without ever blocking.

    Parameters
    ----------
    root : str, Path or None
        The project. None: the file may lie anywhere, and ``rel_path`` is its path.
    rel_path : str
        The file, relative to the project.

    Returns
    -------
    tuple of int and os.stat_result
        The file descriptor, which the caller closes, and its fstat.

    Raises
    ------
    CheckpointError
        With code ``not_a_file`` for a directory, FIFO, socket or device; with code ``outside`` for a path or a link
        that leaves the project.
    FileNotFoundError, PermissionError
        As the system says.
    """
    path = rel_path
    if root is not None:
        root = os.path.abspath(root)
        if os.path.isabs(rel_path) or ".." in rel_path.replace("\\", "/").split("/"):
            raise _outside(rel_path, root)
        path = os.path.join(root, rel_path)
    try:
        # Opening can have side effects (it unblocks the writer of a FIFO, a device may act): check the kind first.
        _refuse_kind(rel_path, os.stat(path).st_mode)
        fd = os.open(path, _OPEN_FLAGS)
    except CheckpointError:
        raise
    except (OSError, ValueError) as error:  # ValueError: a name with a NUL in it
        raise _as_checkpoint_error(rel_path, error) from error
    try:
        found = os.fstat(fd)
        _refuse_kind(rel_path, found.st_mode)
        if root is not None:
            _refuse_outside(fd, found, rel_path, root)
    except BaseException:
        os.close(fd)
        raise
    return fd, found


def read_file(
    root: str | Path | None, rel_path: str, max_bytes: int = MAX_BYTES, *, still: float = 0.0
) -> tuple[bytes, os.stat_result]:
    """Read one whole file whose stat is the same before and after the read.

    Only the parser can tell whether the text is complete: a slow writer leaves a cut file that does not change for a
    moment. Where it cannot tell either (a cut Markdown file is one too), ask for a file that is ``still``.

    Parameters
    ----------
    root, rel_path
        As for `open_file`.
    max_bytes : int
        The largest size that is read.
    still : float
        Seconds for which the file must not have changed.

    Returns
    -------
    tuple of bytes and os.stat_result
        The content and its fstat.

    Raises
    ------
    Torn
        If the file changed during the read, or less than ``still`` seconds before it.
    CheckpointError
        With code ``too_big``, ``not_a_file`` or ``outside``.
    FileNotFoundError, PermissionError
        As the system says.
    """
    fd, before = open_file(root, rel_path)
    try:
        size = before.st_size
        if size > max_bytes:
            raise too_big(rel_path, size, max_bytes)
        # Asking for one byte more than the size finds the end of the file in one call, and a buffer of that size is
        # much cheaper than a large one.
        data = os.read(fd, size + 1)
        while 0 < len(data) < size:
            more = os.read(fd, size + 1 - len(data))
            if not more:
                break
            data += more
        after = os.fstat(fd)
    finally:
        os.close(fd)
    if still and 0 <= time.time() - after.st_mtime < still:
        raise Torn(rel_path)
    if len(data) != size or (before.st_mtime_ns, size) != (after.st_mtime_ns, after.st_size):
        raise Torn(rel_path)
    return data, after


def read_settled(
    root: str | Path | None,
    rel_path: str,
    parse: Callable[[bytes, os.stat_result], T],
    *,
    patience: float,
    still: float = 0.0,
) -> T:
    """Read and parse one file, and retry while it is being written.

    Parameters
    ----------
    root, rel_path
        As for `open_file`.
    parse
        Called with the content and its fstat; its result is returned. A `CheckpointError` of it with a code of
        `MAYBE_TORN` makes the file be read again; any other exception is raised.
    patience : float
        Seconds to retry. The call blocks for so long at most.
    still : float
        As for `read_file`.

    Raises
    ------
    CheckpointError
        As `read_file` and ``parse`` do; with code ``unstable`` if the file changed during every read.
    FileNotFoundError, PermissionError
        As the system says.
    """
    deadline = time.monotonic() + patience
    while True:
        try:
            return parse(*read_file(root, rel_path, still=still))
        except Torn:
            error = CheckpointError(rel_path, UNSTABLE, code="unstable")
        except CheckpointError as found:
            if found.code not in MAYBE_TORN:
                raise
            error = found
        if time.monotonic() >= deadline:
            raise error
        time.sleep(0.002)


def too_big(path: object, size: int, most: int) -> CheckpointError:
    """Return the error for a file of ``size`` bytes when at most ``most`` are read."""
    reason = f"the file has {size:,} bytes; at most {most:,} are read. Make it smaller or delete it"
    return CheckpointError(path, reason, code="too_big")


def _outside(rel_path: str, root: str) -> CheckpointError:
    return CheckpointError(rel_path, f"leads outside the project {root}; only files inside it are read", code="outside")


def _refuse_kind(rel_path: str, mode: int) -> None:
    if not stat.S_ISREG(mode):
        raise CheckpointError(rel_path, f"{describe_kind(mode)}, but a regular file was expected", code="not_a_file")


def _as_checkpoint_error(rel_path: str, error: OSError | ValueError) -> Exception:
    """Return FileNotFoundError and PermissionError unchanged; turn others (ELOOP, ENXIO, EIO …) into a reason."""
    if isinstance(error, FileNotFoundError | PermissionError):
        return error
    if isinstance(error, NotADirectoryError):  # a folder of the path became a file
        return FileNotFoundError(error.errno, error.strerror, error.filename)
    return CheckpointError(
        rel_path, f"it cannot be opened: {getattr(error, 'strerror', None) or error}", code="unreadable"
    )


def _refuse_outside(fd: int, found: os.stat_result, rel_path: str, root: str) -> None:
    """Raise if the opened file is outside the project. The path itself may point elsewhere by now."""
    try:
        real = os.readlink(f"{_PROC_FD}/{fd}")
    except OSError:  # no /proc: resolve the path, and make sure that it is still the opened file
        real = os.path.realpath(os.path.join(root, rel_path))
        try:
            again = os.stat(real)
        except OSError:
            raise Torn(rel_path) from None
        if (again.st_dev, again.st_ino) != (found.st_dev, found.st_ino):
            raise Torn(rel_path) from None
    # The kernel's path holds no links, so it can begin with `root` only if `root` holds none either.
    if not (is_inside(real, root) or is_inside(real, os.path.realpath(root))):
        raise _outside(rel_path, root)

"""One change of a file becomes what is said of it: a record or a warning, and a message."""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

from .. import events as ev
from .. import publish, systems
from ..errors import CheckpointError
from ..model import BuildWarning
from ..reading.files import MAX_BYTES, MAYBE_TORN, STILL, UNSTABLE, Torn, as_text, open_file, read_file, stamp_of
from ..reading.memo import Memo
from ..reading.retry import Retry
from ..reading.values import utc_of
from ..state import is_context
from ..systems.paths import is_wanted
from ..systems.record import Record
from ..watching.folder import Obstacle
from ..watching.pending import FileChange

__all__ = ["FileReader", "Later", "NotParsed", "Reading", "warning_of"]


class NotParsed(NamedTuple):
    """Stands for the record of a file that is only reported."""


class Later(NamedTuple):
    """A file that is being written: it must be read again after so many seconds."""

    seconds: float


class Reading(NamedTuple):
    """What one look at a file gave.

    ``record`` is None if the file is gone, a warning if it cannot be read. ``told`` is the message for subscribers.
    """

    record: Record | BuildWarning | NotParsed | None
    told: ev.FileChange | None = None
    stat: os.stat_result | None = None
    gone: bool = False


class FileReader:
    """Reads and parses one file after the other, and remembers which of them must be read again."""

    def __init__(self, root: Path) -> None:
        self._root = root
        self._retry = Retry()
        self._memo = Memo()

    @property
    def retrying(self) -> bool:
        """Whether some files that are being written are still to be read."""
        return bool(len(self._retry))

    def read(
        self,
        change: FileChange,
        *,
        live: bool,
        obstacle: Obstacle | None,
        failed: Callable[[str], bool],
        is_written: Callable[[str], bool],
    ) -> Reading | Later | None:
        """Read and parse one file; None if nothing is to be said of it.

        Parameters
        ----------
        change
            What the watcher reported.
        live
            Whether the files that existed at the start have all been read.
        obstacle
            Why this path must not be read, if so.
        failed
            Whether the file of this name could not be read when it was last looked at.
        is_written
            Whether a writer has this path open. A plan that is cut off is a plan too: it is read when it is closed.
        """
        path = change.path
        name = as_text(path)  # for messages, as valid UTF-8; `path` is for the system
        shape = systems.shape_of(path)
        record: Record | NotParsed = NotParsed()
        content: str | None = None
        try:
            # Only files that the watcher knows are read: it reports the deletion of no others.
            if change.change_type == "deleted":
                raise FileNotFoundError(path)  # noqa: TRY301 (handled with real deletions below)
            if obstacle is not None:
                raise CheckpointError(path, obstacle.reason, code=obstacle.code)  # noqa: TRY301 (handled below)
            if shape is not None:
                still = STILL if shape in systems.OPEN_ENDED else 0.0
                data, stat = read_file(self._root, path, MAX_BYTES, still=still)
                if still and is_written(path):
                    raise Torn(path)  # noqa: TRY301 (handled below)
                record = systems.parse(name, data, utc_of(stat.st_mtime), self._memo)
            else:
                content, stat = self._look(path)
        except FileNotFoundError:
            self._retry.settled(path)
            told = ev.FileChange(file_path=name, change_type="deleted")
            forget = shape is not None or failed(name)
            # An obstacle may be a folder, which is not reported as a file change.
            tell = (live and is_wanted(*os.path.split(path))) or is_context(path)
            return Reading(None if forget else NotParsed(), told if tell else None, gone=True)
        except (Torn, CheckpointError, OSError) as error:
            if isinstance(error, Torn) or getattr(error, "code", None) in MAYBE_TORN:
                delay = self._retry.failed(path, time.monotonic(), self._fingerprint(path))
                if delay is not None:
                    return Later(delay)
            self._retry.settled(path)
            return Reading(warning_of(name, error)) if shape is not None or obstacle is not None else None
        self._retry.settled(path)
        told = None
        if live or is_context(path):
            told = ev.FileChange(
                file_path=name,
                change_type=change.change_type,
                content=content,
                size=stat.st_size,
                modified=utc_of(stat.st_mtime),
            )
        return Reading(record, told, stat)

    def _look(self, path: str) -> tuple[str | None, os.stat_result]:
        """Return the start of the text of a context file (None for any other file), and the file's stat."""
        fd, stat = open_file(self._root, path)
        try:
            if not is_context(path):
                return None, stat
            return os.read(fd, publish.CONTENT_LIMIT).decode("utf-8", "replace"), stat
        finally:
            os.close(fd)

    def _fingerprint(self, path: str) -> object:
        try:
            stat = os.stat(self._root / path)
        except OSError:
            return None
        return stamp_of(stat)


def warning_of(path: str, error: Exception) -> BuildWarning:
    """Return the warning about a file that cannot be read."""
    if isinstance(error, CheckpointError):
        message = error.reason + (f" ({error.place})" if error.place else "")
        return BuildWarning(file_path=path, code=error.code, message=message)
    if isinstance(error, Torn):
        return BuildWarning(file_path=path, code="unstable", message=UNSTABLE)
    if isinstance(error, PermissionError):
        return BuildWarning(file_path=path, code="unreadable", message="permission denied; make it readable")
    reason = getattr(error, "strerror", None) or type(error).__name__
    return BuildWarning(file_path=path, code="unreadable", message=f"it cannot be read: {reason}")

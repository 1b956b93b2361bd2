"""Which files of a build changed.

`FileWatcher` is the public class: a callback per settled change, in the event loop it was started from. `ChangeSource`
is the layer below, for a session: a thread that reports changed paths, without an event loop and without reading.
"""

from __future__ import annotations

import contextlib
import hashlib
import inspect
import logging
import os
import re
import time
from collections import deque
from collections.abc import Awaitable, Callable
from datetime import datetime
from pathlib import Path
from types import TracebackType
from typing import Any, Self, TypeAlias

import anyio
import anyio.lowlevel

from ._lazy import lazy_exports
from .errors import CheckpointError
from .reading.decode import decode_object
from .reading.files import BASE, MAYBE_TORN, Torn, open_file, read_file, read_settled
from .reading.retry import Retry
from .systems.paths import is_output, is_wanted
from .watching.host import Host
from .watching.pending import FileChange
from .watching.source import ChangeSource

__all__ = ["ChangeSource", "FileChange", "FileWatcher", "Retry", "Torn", "open_file", "read_file"]

logger = logging.getLogger("buildwidget.watcher")


# A name of the original API whose implementation imports this module.
__getattr__, __dir__ = lazy_exports(__name__, {"create_file_watcher_with_websocket": ".compat"})

Callback: TypeAlias = Callable[[Path, str], Awaitable[None] | None]

_CHECKPOINTS = f"{BASE}/checkpoints"
_CONTEXT = f"{BASE}/context"
_STAMP = re.compile(r"_(\d{8}_\d{6}(?:_\d{1,6})?)\.json$")
_QUIET_NS = 20_000_000
_READ_PATIENCE = 0.1  # seconds that a reading call, which blocks its caller, waits for a writer
_START_PATIENCE = 30.0


class FileWatcher:
    """Calls a callback for every change under ``<project>/.buildrunner``, once the change has settled.

    A JSON file is reported when its text is complete: a writer that is not atomic causes one call, not one for the
    empty file, one for a half and one for the whole. A file that stays incomplete for a second is reported as it is.
    Markdown is reported when it was not written to for 20 ms, a log at each change. Files that exist at the start are
    not reported; a missing ``.buildrunner`` is waited for. Links that leave the project, and folders or pipes with the
    name of a checkpoint, are logged and not reported.

    Parameters
    ----------
    project_root : str or Path
        The project.
    callback : callable, optional
        Gets the absolute path and ``created``, ``modified`` or ``deleted``. Plain or async; one call at a time, in the
        event loop that called `start`. Its exceptions are logged.
    poll : bool, optional
        True: poll instead of using the system's notifier. None: poll only where the notifier does not work.

    Examples
    --------
    >>> async with FileWatcher(".", lambda path, change: print(change, path.name)):  # doctest: +SKIP
    ...     await asyncio.sleep(60)
    """

    def __init__(self, project_root: str | Path, callback: Callback | None = None, *, poll: bool | None = None) -> None:
        self.project_root = Path(os.path.abspath(Path(project_root).expanduser()))
        self.callback = callback
        self._poll = poll
        self._source: ChangeSource | None = None
        self._host: Host | None = None
        self._retry = Retry()
        self._baseline = False
        self._known: dict[str, tuple[object, bytes]] = {}  # what was reported: fingerprint and digest
        self._queue: deque[tuple[Path, str]] = deque()
        self._more = anyio.Event()

    async def start(self) -> None:
        """Start watching: every change after this call returns is reported. Works in asyncio and trio."""
        if self._source is not None:
            return
        host = self._host = Host()
        self._baseline = False
        self._known.clear()
        self._queue.clear()
        self._more = anyio.Event()
        source = self._source = ChangeSource(self.project_root, wake=self._settle, tick=self._begin, poll=self._poll)
        host.spawn(self._deliver, source.stop)
        source.start()
        try:
            with anyio.fail_after(_START_PATIENCE):
                await host.started.wait()
        except BaseException:
            await self.stop()
            raise

    async def stop(self) -> None:
        """Stop watching, and end the thread and the task. May be called repeatedly, and from a callback."""
        source, host = self._source, self._host
        self._source = self._host = None
        if source is not None:
            source.stop()
        if host is not None:
            await host.stop()

    async def __aenter__(self) -> Self:
        await self.start()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.stop()

    # -- queries ----------------------------------------------------------------------------------------------

    def get_checkpoint_files(self) -> list[Path]:
        """Return the build checkpoints, oldest first; empty when there are none."""
        return sorted(self._list(_CHECKPOINTS, ".json"), key=_age)

    def get_context_files(self) -> list[Path]:
        """Return the markdown files of the context, sorted by name; empty when there are none."""
        return sorted(self._list(_CONTEXT, ".md"))

    def get_latest_checkpoint(self) -> Path | None:
        """Return the newest build checkpoint by the time in its name (by mtime if the name has none), or None.

        A rollback rewrites old files, so the mtime alone is not enough.
        """
        return max(self.get_checkpoint_files(), key=_age, default=None)

    def read_checkpoint(self, path: str | Path) -> dict[str, Any]:
        """Read one JSON file of the project.

        Parameters
        ----------
        path : str or Path
            Absolute, or relative to the project.

        Returns
        -------
        dict
            The parsed object, as `parse_checkpoint` reads it.

        Raises
        ------
        CheckpointError
            The file is not a JSON object, is no regular file, or lies outside the project. A file that is being
            written is waited for, for at most 0.1 s.
        FileNotFoundError, PermissionError
            As raised by the system.
        """
        rel = self._inside(path)
        return read_settled(self.project_root, rel, lambda raw, _stat: decode_object(rel, raw), patience=_READ_PATIENCE)

    def read_context(self, path: str | Path) -> str:
        """Read one text file of the project; invalid UTF-8 becomes U+FFFD. Raises as `read_checkpoint` does."""
        rel = self._inside(path)
        return read_settled(
            self.project_root, rel, lambda raw, _stat: raw.decode("utf-8", "replace"), patience=_READ_PATIENCE
        )

    def _list(self, folder: str, suffix: str) -> list[Path]:
        # A folder that is a link out of the project holds none of the project's files.
        path = self.project_root / folder
        root = os.path.realpath(self.project_root)
        try:
            with os.scandir(path) as entries:
                found = [path / entry.name for entry in entries if entry.name.endswith(suffix) and entry.is_file()]
        except OSError:
            return []
        return [
            file for file in found if is_wanted(folder, file.name) and Path(os.path.realpath(file)).is_relative_to(root)
        ]

    def _inside(self, path: str | Path) -> str:
        absolute = os.path.normpath(self.project_root / Path(path).expanduser())
        for root in (str(self.project_root), os.path.realpath(self.project_root)):
            if absolute.startswith(root.rstrip(os.sep) + os.sep):
                return Path(os.path.relpath(absolute, root)).as_posix()
        raise CheckpointError(
            path, f"lies outside the project {self.project_root}; only files inside it are read", code="outside"
        )

    # -- in the source's thread -------------------------------------------------------------------------------

    def _begin(self) -> float | None:
        """After the first scan, record its files as known and finish `start`; until then, ask for another tick."""
        source, host = self._source, self._host
        if self._baseline or source is None or host is None:
            return None
        if not source.ready.is_set():
            return 0.0
        for change in source.take():
            self._known[change.path] = (None, b"")
        self._baseline = True
        host.post(host.started.set)
        return None

    def _settle(self) -> None:
        """Read changed files; report the complete ones, and retry the others."""
        source, host = self._source, self._host
        if source is None or host is None:
            return
        if not self._baseline:
            self._begin()
            return
        told: list[tuple[Path, str]] = []
        for change in source.take():
            try:
                kind = self._verdict(source, change)
            except Exception:  # an error in one file must not lose the events of others
                logger.exception("%s could not be checked; it is reported as modified", change.path)
                kind = "modified"
            if kind is not None:
                told.append((self.project_root / change.path, kind))
        if told:
            host.post(lambda: self._enqueue(told))

    def _verdict(self, source: ChangeSource, change: FileChange) -> str | None:
        """Return the kind of change to report; None when there is none, or not yet."""
        path = change.path
        obstacle = source.obstacles.get(path)
        if obstacle is not None and is_wanted(*os.path.split(path)):  # the source logs folders
            logger.warning("%s is not read: it %s", path, obstacle.reason)
        if obstacle is not None or change.change_type == "deleted":
            self._retry.settled(path)
            return None if self._known.pop(path, None) is None else "deleted"
        fingerprint: object = None
        digest = b""
        try:
            if not is_output(path):  # a log is never complete, and may be huge
                raw, stat = read_file(self.project_root, path)
                fingerprint = (stat.st_mtime_ns, stat.st_size, stat.st_ino)  # a changed mode is not reported
                digest = hashlib.blake2b(raw, digest_size=16).digest()
                _refuse_incomplete(path, raw, stat)
        except FileNotFoundError:
            return None  # its deletion will be reported next
        except (Torn, CheckpointError, OSError) as error:
            if isinstance(error, Torn) or getattr(error, "code", "") in MAYBE_TORN:
                delay = self._retry.failed(path, time.monotonic(), fingerprint)
                if delay is not None:
                    source.put_back(change, delay)
                    return None
            logger.debug("reported although incomplete or unreadable: %s", error)
        self._retry.settled(path)
        before = self._known.get(path)
        self._known[path] = (fingerprint, digest)
        if before is None:
            return "created"
        # The writer closing the file, for example, is a separate event without new content.
        return None if digest and before == (fingerprint, digest) else "modified"

    # -- in the event loop ------------------------------------------------------------------------------------

    def _enqueue(self, told: list[tuple[Path, str]]) -> None:
        self._queue.extend(told)
        self._more.set()

    async def _deliver(self) -> None:
        while True:
            while self._queue:
                path, kind = self._queue.popleft()
                if self.callback is not None:
                    try:
                        result = self.callback(path, kind)
                        if inspect.isawaitable(result):
                            await result
                    except Exception:
                        logger.exception("the callback of the watcher failed for %s (%s)", path, kind)
                # A plain callback never yields: without this, a burst would block the loop and could not be cancelled.
                await anyio.lowlevel.checkpoint()
            self._more = anyio.Event()
            await self._more.wait()


def _refuse_incomplete(path: str, raw: bytes, stat: os.stat_result) -> None:
    """Raise when a file is still being written. Text never looks incomplete, so it must be unchanged for 20 ms."""
    if path.endswith(".json"):
        decode_object(path, raw)
    elif 0 <= time.time_ns() - stat.st_mtime_ns < _QUIET_NS:
        raise Torn(path)


def _age(path: Path) -> tuple[float, str]:
    """Return the sort key of a checkpoint: the time in its name, else its mtime, in seconds; then its name."""
    stamp = _STAMP.search(path.name)
    if stamp is not None:
        with contextlib.suppress(ValueError):
            text = stamp[1] if stamp[1].count("_") == 2 else f"{stamp[1]}_0"
            # BuildRunner names files by the local time.
            return datetime.strptime(text, "%Y%m%d_%H%M%S_%f").astimezone().timestamp(), path.name
    try:
        return path.stat().st_mtime, path.name
    except OSError:
        return 0.0, path.name

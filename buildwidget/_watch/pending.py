"""What changed and was not taken yet: each path once, with the time from which it is due."""

from __future__ import annotations

import heapq
import threading
import time
from collections.abc import Callable

import msgspec

__all__ = ["FileChange", "Pending"]


class FileChange(msgspec.Struct, frozen=True):
    """One file is to be looked at.

    ``path`` is relative to the project, with ``/``. ``change_type`` is ``created``, ``modified`` or ``deleted``; a
    rename is a deletion and a creation.
    """

    path: str
    change_type: str


class _Entry(msgspec.Struct):
    due: float
    kind: str
    told: bool  # the reader has had it before and put it back


class Pending:
    """The queue between the thread that finds changes and whoever reads the files. Thread-safe; keeps no history.

    Parameters
    ----------
    clock : callable
        Seconds, monotonic.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._lock = threading.Lock()
        self._moment: float | None = None
        self._entries: dict[str, _Entry] = {}
        self._alarms: list[tuple[float, str]] = []  # a heap; an alarm whose entry is gone or moved is ignored

    def begin(self) -> None:
        """What is added from now on was found at one moment, and is ordered by path."""
        self._moment = self._clock()

    def add(self, path: str, kind: str, delay: float = 0.0) -> None:
        """Note a change. What was said of the path before and not taken is merged with it."""
        due = (self._clock() if self._moment is None else self._moment) + delay
        with self._lock:
            entry = self._entries.get(path)
            if entry is None:
                self._entries[path] = _Entry(due, kind, False)
            else:
                merged = _merge(entry, kind)
                if merged is None:
                    del self._entries[path]
                    return
                entry.kind = merged
                if due >= entry.due:
                    return
                entry.due = due
            heapq.heappush(self._alarms, (due, path))

    def put_back(self, change: FileChange, delay: float) -> None:
        """Have a change that was taken due again later, unless the path was reported anew meanwhile."""
        due = self._clock() + max(0.0, delay)
        with self._lock:
            entry = self._entries.get(change.path)
            if entry is not None:
                before = _Entry(entry.due, change.change_type, True)
                entry.kind, entry.told = _merge(before, entry.kind) or entry.kind, True
                return
            self._entries[change.path] = _Entry(due, change.change_type, True)
            heapq.heappush(self._alarms, (due, change.path))

    def take(self) -> list[FileChange]:
        """Take everything that is due, by the time it fell due, then by path."""
        now = self._clock()
        with self._lock:
            due = sorted((entry.due, path, entry.kind) for path, entry in self._entries.items() if entry.due <= now)
            for _, path, _ in due:
                del self._entries[path]
        return [FileChange(path, kind) for _, path, kind in due]

    def ring(self) -> bool:
        """Tell, once for each, whether anything fell due since the last call."""
        now = self._clock()
        rang = False
        with self._lock:
            while self._alarms and self._alarms[0][0] <= now:
                _, path = heapq.heappop(self._alarms)
                entry = self._entries.get(path)
                rang = rang or (entry is not None and entry.due <= now)
        return rang

    def due_in(self) -> float | None:
        """Seconds until something is due; 0.0 when something is due now, None when nothing is pending."""
        now = self._clock()
        with self._lock:
            if not self._entries:
                return None
            return max(0.0, min(entry.due for entry in self._entries.values()) - now)

    def alarm_in(self) -> float | None:
        """Seconds until `ring` may have something to say; None when nothing is to come."""
        with self._lock:
            return max(0.0, self._alarms[0][0] - self._clock()) if self._alarms else None

    def __contains__(self, path: str) -> bool:
        return path in self._entries

    def __len__(self) -> int:
        return len(self._entries)


def _merge(old: _Entry, kind: str) -> str | None:
    """What two changes of one path amount to; None when they cancel out and nobody was told of the first."""
    if kind == "deleted":
        return "deleted" if old.told or old.kind != "created" else None
    return "created" if old.kind == "created" else "modified"

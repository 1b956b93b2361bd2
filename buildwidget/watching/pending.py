"""The queue of pending changes: each path once, with the time at which it is due."""

from __future__ import annotations

import heapq
import threading
import time
from collections.abc import Callable

import msgspec

__all__ = ["FileChange", "Pending"]


_HOLD = 0.1  # seconds


class FileChange(msgspec.Struct, frozen=True):
    """A change of one file.

    ``path`` is relative to the project, with ``/``. ``change_type`` is ``created``, ``modified`` or ``deleted``; a
    rename is a deletion and a creation.
    """

    path: str
    change_type: str


class _Entry(msgspec.Struct):
    due: float
    kind: str
    since: float  # when this kind of change was noted


class Pending:
    """The thread-safe queue between the thread that finds changes and the reader of the files.

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
        """Start a group: changes added from now on share one time, and are ordered by path."""
        self._moment = self._clock()

    def add(self, path: str, kind: str, delay: float = 0.0) -> None:
        """Add a change, merged with a pending one of the same path."""
        due = (self._clock() if self._moment is None else self._moment) + delay
        with self._lock:
            entry = self._entries.get(path)
            if entry is None:
                self._entries[path] = _Entry(due, kind, due)
            else:
                if kind == "deleted" != entry.kind:
                    entry.since = due
                entry.kind = _merge(entry.kind, kind)
                if due >= entry.due:
                    return
                entry.due = due
            heapq.heappush(self._alarms, (due, path))

    def put_back(self, change: FileChange, delay: float) -> None:
        """Make a taken change due again after ``delay`` seconds, or merge it with one reported meanwhile."""
        due = self._clock() + max(0.0, delay)
        with self._lock:
            entry = self._entries.get(change.path)
            if entry is not None:
                entry.kind = _merge(change.change_type, entry.kind)
                return
            self._entries[change.path] = _Entry(due, change.change_type, due)
            heapq.heappush(self._alarms, (due, change.path))

    def take(self, is_back: Callable[[str], bool] | None = None) -> list[FileChange]:
        """Take everything that is due, by the time it fell due, then by path.

        A deletion is held for at most 0.1 s while ``is_back`` says that the file exists again: its creation is likely
        to be reported next, and the two are one modification.
        """
        now = self._clock()
        taken: list[tuple[float, str, str]] = []
        with self._lock:
            for path, entry in list(self._entries.items()):
                if entry.due > now:
                    continue
                if entry.kind == "deleted" and is_back is not None and now < entry.since + _HOLD and is_back(path):
                    entry.due = now + _HOLD / 10
                    heapq.heappush(self._alarms, (entry.due, path))
                    continue
                del self._entries[path]
                taken.append((entry.due, path, entry.kind))
        return [FileChange(path, kind) for _, path, kind in sorted(taken)]

    def ring(self) -> bool:
        """Return whether any change fell due since the last call."""
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
        """Seconds until `ring` may return True; None when no alarm is set."""
        with self._lock:
            return max(0.0, self._alarms[0][0] - self._clock()) if self._alarms else None

    def __contains__(self, path: str) -> bool:
        return path in self._entries

    def __len__(self) -> int:
        return len(self._entries)


def _merge(old: str, new: str) -> str:
    """Combine two successive changes of one path.

    Created and deleted do not cancel out: a reader of an earlier change may have seen the file.
    """
    if new == "deleted":
        return new
    return "created" if old == "created" else "modified"

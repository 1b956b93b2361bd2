"""Help for the tests of the watcher: a reader that takes what a source has, and waits with a deadline."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from buildwidget.watcher import ChangeSource, FileChange

BASE = ".buildrunner"
DEADLINE = 15.0

#: Every way to find changes that works on this system.
WAYS: dict[str, dict[str, Any]] = {
    "inotify": {"notifier": "inotify"},
    "watchfiles": {"notifier": "watchfiles"},
    "poll": {"poll": True},
}


class Reader:
    """Takes changes as soon as the source calls, in its thread, and keeps them."""

    def __init__(self, root: Path, **options: Any) -> None:
        self.root = root
        self.changes: list[FileChange] = []
        self.ticks = 0
        self._news = threading.Condition()
        self.on_change: Callable[[FileChange], None] | None = None
        self.source = ChangeSource(root, wake=self._wake, **{"tick": self._tick, **options})

    def _wake(self) -> None:
        changes = self.source.take()
        if self.on_change is not None:
            for change in changes:
                self.on_change(change)
        with self._news:
            self.changes += changes
            self._news.notify_all()

    def _tick(self) -> float:
        self.ticks += 1
        return 0.0

    def until(self, condition: Callable[[], object], what: str, deadline: float = DEADLINE) -> None:
        """Wait until a condition holds."""
        end = time.monotonic() + deadline
        while not condition():
            left = end - time.monotonic()
            with self._news:
                if left <= 0:
                    raise AssertionError(f"not within {deadline} s: {what}; seen: {self.changes[-20:]}")
                self._news.wait(min(left, 0.02))

    def seen(self, path: str) -> list[str]:
        """The change types seen of a path."""
        with self._news:
            return [change.change_type for change in self.changes if change.path == path]

    def sees(self, path: str, kind: str) -> None:
        """Wait for a change of a path."""
        self.until(lambda: kind in self.seen(path), f"{path} {kind}")

    def quiet(self, seconds: float = 0.3) -> None:
        """Wait until nothing has come for a while: repeated notices of one change are allowed, and over by then."""
        seen, since = -1, time.monotonic()
        end = since + DEADLINE
        while time.monotonic() - since < seconds:
            assert time.monotonic() < end, "changes never end"
            with self._news:
                if len(self.changes) != seen:
                    seen, since = len(self.changes), time.monotonic()
                self._news.wait(0.02)

    def forget(self) -> None:
        """Begin a new chapter."""
        with self._news:
            self.changes.clear()


@contextmanager
def reading(root: Path, **options: Any) -> Iterator[Reader]:
    """Run a source and its reader."""
    reader = Reader(root, **options)
    reader.source.start()
    try:
        assert reader.source.ready.wait(DEADLINE)
        yield reader
    finally:
        reader.source.stop()


def write(path: Path, text: str = "{}") -> Path:
    """Write a file in place, with its folders."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8")
    return path

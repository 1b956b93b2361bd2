"""A source of changes for sessions without a project folder."""

from __future__ import annotations

import threading
from typing import Final

from .folder import Obstacle
from .pending import FileChange

__all__ = ["StillSource"]


class StillSource:
    """A `ChangeSource` that never reports a change and has no thread."""

    state: Final = "none"

    def __init__(self) -> None:
        self.ready = threading.Event()
        self.ready.set()
        self.obstacles: dict[str, Obstacle] = {}

    def start(self) -> None:
        """Do nothing."""

    def stop(self) -> None:
        """Do nothing."""

    def scan(self) -> None:
        """Do nothing."""

    def take(self) -> list[FileChange]:
        """Return an empty list."""
        return []

    def due_in(self) -> float | None:
        """Return None: nothing is ever pending."""
        return None

    def tick_in(self, seconds: float) -> None:
        """Do nothing."""

    def put_back(self, change: FileChange, delay: float) -> None:
        """Do nothing."""

    def is_written(self, path: str) -> bool:  # noqa: ARG002 - nothing is watched
        """Return False."""
        return False

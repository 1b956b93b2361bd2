"""A source of changes where there is nothing to watch."""

from __future__ import annotations

import threading
from typing import Final

from .folder import Obstacle
from .pending import FileChange

__all__ = ["StillSource"]


class StillSource:
    """What `ChangeSource` is to a project, for a session without one: nothing ever changes, and no thread looks."""

    state: Final = "none"

    def __init__(self) -> None:
        self.ready = threading.Event()
        self.ready.set()
        self.obstacles: dict[str, Obstacle] = {}

    def start(self) -> None:
        """Nothing to start."""

    def stop(self) -> None:
        """Nothing to stop."""

    def scan(self) -> None:
        """Nothing to look at."""

    def take(self) -> list[FileChange]:
        """No changes."""
        return []

    def due_in(self) -> float | None:
        """Never."""
        return None

    def tick_in(self, seconds: float) -> None:
        """Nobody ticks."""

    def put_back(self, change: FileChange, delay: float) -> None:
        """Nothing comes back."""

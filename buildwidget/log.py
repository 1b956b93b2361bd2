"""The numbered log of one build, in memory: what lets every face resume where it stopped."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable
from itertools import islice
from typing import Any, Final

import msgspec

from . import events as ev

__all__ = ["EventLog", "Logged"]

MAX_MESSAGES: Final = 100_000
MAX_BYTES: Final = 64 * 2**20


class Logged(msgspec.Struct, frozen=True, eq=False):
    """One numbered message and its JSON, encoded once for all faces."""

    event: Any
    data: bytes


class EventLog:
    """The newest messages of one epoch, without holes: at most ``max_messages`` and ``max_bytes`` of JSON."""

    def __init__(self, epoch: str, *, max_messages: int = MAX_MESSAGES, max_bytes: int = MAX_BYTES) -> None:
        self.epoch = epoch
        self._max_messages, self._max_bytes = max_messages, max_bytes
        self._rows: deque[Logged] = deque()
        self._bytes = 0
        self.seq = 0

    @property
    def first_seq(self) -> int:
        """The oldest number still held; ``seq + 1`` when the log is empty."""
        return self.seq - len(self._rows) + 1

    def extend(self, events: Iterable[Any]) -> list[Logged]:
        """Append numbered messages; they must follow on without a hole."""
        rows = [Logged(event, ev.encode(event)) for event in events]
        for row in rows:
            if row.event.seq != self.seq + 1:
                raise ValueError(f"message {row.event.seq} cannot follow {self.seq}")
            self.seq += 1
            self._bytes += len(row.data)
            self._rows.append(row)
        while self._rows and (len(self._rows) > self._max_messages or self._bytes > self._max_bytes):
            self._bytes -= len(self._rows.popleft().data)
        return rows

    def since(self, seq: int, limit: int | None = None) -> list[Logged] | None:
        """The messages after ``seq``, oldest first; None if the log no longer reaches back so far."""
        if seq < self.first_seq - 1 or seq > self.seq:
            return None
        wanted = self.seq - seq
        if wanted > len(self._rows) // 2:
            rows = list(islice(self._rows, len(self._rows) - wanted, None))
        else:  # the newest few: from the right end
            rows = list(islice(reversed(self._rows), wanted))
            rows.reverse()
        return rows[:limit]

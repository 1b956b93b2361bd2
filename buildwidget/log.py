"""The log of one build's numbered messages, in memory. Every view and client resumes from it."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable
from itertools import islice
from typing import Any, Final

import msgspec

from . import events as ev
from .state import is_context

__all__ = ["EventLog", "Logged", "collapse"]

MAX_MESSAGES: Final = 100_000
MAX_BYTES: Final = 64 * 2**20


class Logged(msgspec.Struct, frozen=True, eq=False):
    """One numbered message and its JSON, which is encoded once for all readers.

    ``end`` is the offset of the end of this message: the bytes of JSON of the epoch so far, this message included.
    """

    event: Any
    data: bytes
    end: int = 0


def collapse(rows: list[Logged]) -> list[Logged]:
    """Drop every message that a later one of the same item replaces, unless a `removed` of that item lies between."""
    last: dict[tuple[str, str], int] = {}
    needed = [True] * len(rows)
    for at, row in enumerate(rows):
        event = row.event
        match event:
            case ev.ComponentUpdate():
                key = ("component", event.component_id)
            case ev.FeatureUpdate():
                key = ("feature", event.feature_id)
            case ev.TaskUpdate():
                key = ("task", event.task_id)
            case ev.PhaseUpdate():
                key = ("phase", event.phase_id)
            case ev.BuildProgress() | ev.SessionUpdate() | ev.RuntimeUpdate():
                key = (type(event).__name__, "")
            case ev.FileChange() if not is_context(event.file_path):
                key = ("file", event.file_path)
            case ev.Removed():
                last.pop((event.kind, event.id), None)
                continue
            case _:
                continue
        if key in last:
            needed[last[key]] = False
        last[key] = at
    return [row for row, is_needed in zip(rows, needed, strict=True) if is_needed]


class EventLog:
    """The newest messages of one epoch, numbered without holes.

    Parameters
    ----------
    epoch
        The identifier of the log: a server or kernel that starts again has another.
    max_messages, max_bytes
        The most messages, and bytes of JSON, that are held. The oldest messages are dropped beyond that.
    """

    def __init__(self, epoch: str, *, max_messages: int = MAX_MESSAGES, max_bytes: int = MAX_BYTES) -> None:
        self.epoch = epoch
        self._max_messages, self._max_bytes = max_messages, max_bytes
        self._rows: deque[Logged] = deque()
        self._bytes = 0
        self._end = 0
        self.seq = 0

    @property
    def first_seq(self) -> int:
        """The sequence number of the oldest message that is held; ``seq + 1`` when the log is empty."""
        return self.seq - len(self._rows) + 1

    def extend(self, events: Iterable[Any]) -> list[Logged]:
        """Append numbered messages.

        Returns
        -------
        list of Logged
            The same messages with their JSON.

        Raises
        ------
        ValueError
            If a message does not have the next sequence number.
        """
        rows: list[Logged] = []
        for event in events:
            if event.seq != self.seq + 1:
                raise ValueError(f"expected a message with seq {self.seq + 1}, found seq {event.seq}")
            data = ev.encode(event)
            self.seq += 1
            self._bytes += len(data)
            self._end += len(data)
            rows.append(Logged(event, data, self._end))
            self._rows.append(rows[-1])
        while self._rows and (len(self._rows) > self._max_messages or self._bytes > self._max_bytes):
            self._bytes -= len(self._rows.popleft().data)
        return rows

    def size_since(self, seq: int) -> int:
        """Return how many bytes of JSON follow ``seq``; the size of the whole log if older messages are missing."""
        if seq < self.first_seq or not self._rows:
            return self._bytes if seq < self.seq else 0
        return self._end - self._rows[seq - self.first_seq].end if seq <= self.seq else 0

    def since(self, seq: int, limit: int | None = None) -> list[Logged] | None:
        """Return the messages after ``seq``, oldest first and at most ``limit``; None if the log lacks some of them."""
        if seq < self.first_seq - 1 or seq > self.seq:
            return None
        wanted = self.seq - seq
        if wanted > len(self._rows) // 2:
            rows = list(islice(self._rows, len(self._rows) - wanted, None))
        else:  # a deque is fast at its ends only: take the newest few from the right
            rows = list(islice(reversed(self._rows), wanted))
            rows.reverse()
        return rows[:limit]

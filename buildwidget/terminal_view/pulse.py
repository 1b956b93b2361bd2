"""Stall detection: whether a silent build has stopped."""

from __future__ import annotations

from collections import deque

from ..progress import GAPS_KEPT, silent_after

__all__ = ["Pulse"]


class Pulse:
    """Distinguishes a slow build from a stalled one by the intervals between its messages.

    The rule is `buildwidget.progress.silent_after`.
    """

    def __init__(self) -> None:
        self._gaps: deque[float] = deque(maxlen=GAPS_KEPT)
        self._seq: int | None = None
        self._last = 0.0

    def beat(self, seq: int, now: float) -> None:
        """Record the newest sequence number at a time of a monotonic clock, in seconds."""
        if seq == self._seq:
            return
        if self._seq is not None:
            self._gaps.append(now - self._last)
        self._seq, self._last = seq, now

    def silence(self, now: float) -> float:
        """Return the seconds since the newest message."""
        return 0.0 if self._seq is None else now - self._last

    def stalled(self, now: float) -> bool:
        """Return whether the silence is longer than the earlier intervals explain."""
        return self.silence(now) > silent_after(sorted(self._gaps))

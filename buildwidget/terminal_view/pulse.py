"""Whether a build that is silent has stopped."""

from __future__ import annotations

from collections import deque

__all__ = ["Pulse"]


class Pulse:
    """Tells a build that is slow from one that has stopped, by its own rhythm.

    Stalled: unfinished, and silent for max(120 s, 4 × the 95th percentile of its gaps so far) once 20 gaps are known;
    for 15 minutes before that.
    """

    def __init__(self) -> None:
        self._gaps: deque[float] = deque(maxlen=1_000)
        self._seq: int | None = None
        self._last = 0.0

    def beat(self, seq: int, now: float) -> None:
        """The newest message number, at a time of a monotonic clock."""
        if seq == self._seq:
            return
        if self._seq is not None:
            self._gaps.append(now - self._last)
        self._seq, self._last = seq, now

    def silence(self, now: float) -> float:
        """Seconds since the newest message."""
        return 0.0 if self._seq is None else now - self._last

    def stalled(self, now: float) -> bool:
        """Whether the silence is longer than this build's rhythm explains."""
        limit = 900.0
        if len(self._gaps) >= 20:
            limit = max(120.0, 4 * sorted(self._gaps)[int(0.95 * (len(self._gaps) - 1))])
        return self.silence(now) > limit

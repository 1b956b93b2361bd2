"""Retry with exponential backoff for files that cannot be read yet."""

from __future__ import annotations

from dataclasses import dataclass

__all__ = ["Retry"]


@dataclass(slots=True)
class _Failure:
    first: float  # time of the first failed attempt
    since: float  # time when the file was last seen to change
    attempts: int  # since then
    fingerprint: object


class Retry:
    """Backoff for files that are being written: after each failed attempt, the delay until the next one.

    A writer that is not atomic leaves an empty or a cut file for a while. The first retry comes after ``first_delay``
    seconds, each further one after twice as long, at most ``longest``. When the file has not changed for ``give_up``
    seconds and still cannot be read, it is broken and `failed` returns None. Each change of the file restarts the
    backoff, until ``patience`` seconds have passed since the first failure.

    It has no clock: the time is passed in. It is not thread-safe: the caller holds a lock.

    Parameters
    ----------
    first_delay, longest, give_up, patience : float
        Seconds.
    """

    def __init__(
        self, first_delay: float = 0.001, longest: float = 0.25, give_up: float = 1.0, patience: float = 10.0
    ) -> None:
        self.first_delay = first_delay
        self.longest = longest
        self.give_up = give_up
        self.patience = patience
        self._failures: dict[str, _Failure] = {}

    def failed(self, key: str, now: float, fingerprint: object = None) -> float | None:
        """Record that an attempt to read ``key`` failed.

        Parameters
        ----------
        key : str
            The file's path.
        now : float
            Seconds on a monotonic clock.
        fingerprint : object
            A value that differs when the file has changed, such as ``(mtime_ns, size, inode)``. None if it is not
            known: then only the time since the first failure counts.

        Returns
        -------
        float or None
            Seconds until the next attempt; None to give up. After None, the next failure of the same key starts anew.
        """
        failure = self._failures.get(key)
        if failure is None:
            failure = self._failures[key] = _Failure(now, now, 0, fingerprint)
        elif failure.fingerprint != fingerprint:
            failure.since, failure.attempts, failure.fingerprint = now, 0, fingerprint
        deadline = min(failure.since + self.give_up, failure.first + self.patience)
        left = deadline - now
        if left <= 0:
            del self._failures[key]
            return None
        # Without the limit, 2 ** attempts would overflow for a caller that retries earlier than after the delay.
        delay = min(self.first_delay * 2 ** min(failure.attempts, 30), self.longest, left)
        failure.attempts += 1
        return delay

    def settled(self, key: str) -> None:
        """Forget the failures of ``key``: the file was read, or it no longer exists."""
        self._failures.pop(key, None)

    def __contains__(self, key: str) -> bool:
        return key in self._failures

    def __len__(self) -> int:
        return len(self._failures)

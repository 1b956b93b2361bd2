"""When to look again at a file that could not be read yet."""

from __future__ import annotations

from dataclasses import dataclass

__all__ = ["Retry"]


@dataclass(slots=True)
class _Trouble:
    first: float  # when this trouble began
    since: float  # when the file was last seen to change during it
    attempts: int
    fingerprint: object


class Retry:
    """The patience with files that are being written: attempt → delay, until it is time to give up.

    A writer that is not atomic shows an empty or a cut file for a while. The first look again comes after
    ``first_delay`` seconds, each further one after twice as long, at most ``longest``. When the file has stayed the
    same for ``give_up`` seconds and still cannot be read, it is broken and `failed` returns None. A file that goes on
    changing gets a new chance with each change, until ``patience`` seconds have passed in all.

    It has no clock: the time is passed in. It is not thread-safe; its owner has a lock.

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
        self._troubles: dict[str, _Trouble] = {}

    def failed(self, key: str, now: float, fingerprint: object = None) -> float | None:
        """Note that a look at ``key`` failed.

        Parameters
        ----------
        key : str
            The file's path.
        now : float
            Seconds on a monotonic clock.
        fingerprint : object
            Anything that differs when the file has changed, such as ``(mtime_ns, size, inode)``. None: not known, so
            that only the time since the first failure counts.

        Returns
        -------
        float or None
            Seconds until the next look; None when the file is to be taken as it is. After None the next failure of
            the same key begins anew.
        """
        trouble = self._troubles.get(key)
        if trouble is None:
            trouble = self._troubles[key] = _Trouble(now, now, 0, fingerprint)
        elif trouble.fingerprint != fingerprint:
            trouble.since, trouble.attempts, trouble.fingerprint = now, 0, fingerprint
        deadline = min(trouble.since + self.give_up, trouble.first + self.patience)
        left = deadline - now
        if left <= 0:
            del self._troubles[key]
            return None
        # 2 ** attempts would overflow a float for a caller that retries faster than it was told to.
        delay = min(self.first_delay * 2 ** min(trouble.attempts, 30), self.longest, left)
        trouble.attempts += 1
        return delay

    def settled(self, key: str) -> None:
        """Forget the trouble with ``key``: it was read, or it is gone."""
        self._troubles.pop(key, None)

    def __contains__(self, key: str) -> bool:
        return key in self._troubles

    def __len__(self) -> int:
        return len(self._troubles)

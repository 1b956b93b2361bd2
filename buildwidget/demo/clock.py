"""The one clock of the demo: whatever it writes, dates or shows, it takes from here."""

from __future__ import annotations

from datetime import datetime, timedelta

__all__ = ["Clock", "in_minutes", "in_words"]


class Clock:
    """Turns minutes of the simulated build into the times and durations that its files hold.

    A build that is played fast must not say that something took 35 minutes which its own times put nine seconds apart.
    So durations, estimates and words go through the same clock as times do.

    Parameters
    ----------
    start
        The time of minute 0, aware.
    pace
        Seconds of file time per simulated second: 1 for a build of several hours, less for one that is played fast.
    """

    def __init__(self, start: datetime, pace: float = 1.0) -> None:
        self.minute = 0.0
        self.pace = pace
        self._start = start

    def now(self) -> datetime:
        """The present time."""
        return self.at(self.minute)

    def at(self, minute: float) -> datetime:
        """The time of a minute of the simulated build."""
        return self._start + timedelta(seconds=minute * 60 * self.pace)

    def delay(self, seconds: float) -> None:
        """Put all times to come so much later: the build could not be written as fast as it was meant to be."""
        self._start += timedelta(seconds=seconds)

    def span(self, minutes: float) -> timedelta:
        """How long so many simulated minutes take."""
        return timedelta(seconds=minutes * 60 * self.pace)


def in_minutes(span: timedelta) -> float:
    """A duration as files hold it: in minutes, to the millisecond, a whole number where it is one."""
    minutes = round(span.total_seconds() / 60, 5)
    return int(minutes) if minutes.is_integer() else minutes


def in_words(span: timedelta) -> str:
    """A duration as a person reads it."""
    seconds = span.total_seconds()
    if seconds >= 90:
        return f"{seconds / 60:.0f} min"
    return f"{seconds:.0f} s" if seconds >= 10 else f"{seconds:.1f} s"

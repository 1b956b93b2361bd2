"""The clock of the demo: every time and duration in its files and its log is computed here."""

from __future__ import annotations

from datetime import datetime, timedelta

__all__ = ["Clock", "in_minutes", "in_words"]


class Clock:
    """Converts simulated minutes to the times and durations in the files of the demo.

    When a build is played fast, its durations and estimates are scaled like its times, so that they agree.

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
        """Return the current time of the simulation."""
        return self.at(self.minute)

    def at(self, minute: float) -> datetime:
        """Return the time of a simulated minute."""
        return self._start + timedelta(seconds=minute * 60 * self.pace)

    def delay(self, seconds: float) -> None:
        """Shift all further times by ``seconds``, when the build could not be written as fast as planned."""
        self._start += timedelta(seconds=seconds)

    def span(self, minutes: float) -> timedelta:
        """Return the duration of a number of simulated minutes."""
        return timedelta(seconds=minutes * 60 * self.pace)


def in_minutes(span: timedelta) -> float:
    """Return a duration as the files hold it: in minutes, rounded to 0.6 ms, as an int if it is whole."""
    minutes = round(span.total_seconds() / 60, 5)
    return int(minutes) if minutes.is_integer() else minutes


def in_words(span: timedelta) -> str:
    """Format a duration for the log: ``12 min``, ``34 s``, ``5.6 s``."""
    seconds = span.total_seconds()
    if seconds >= 90:
        return f"{seconds / 60:.0f} min"
    return f"{seconds:.0f} s" if seconds >= 10 else f"{seconds:.1f} s"

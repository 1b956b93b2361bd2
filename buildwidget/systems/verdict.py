"""What a system says of a build as a whole: which work is present, how far it is, and how that is known."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Final

import msgspec

from ..model import BuildStatus

__all__ = ["TOGETHER", "Verdict"]

#: Signs of life within it of the newest one belong to the present too.
TOGETHER: Final = timedelta(minutes=30)


class Verdict(msgspec.Struct, kw_only=True, frozen=True):
    """The verdict of one system on its files.

    Attributes
    ----------
    system
        The name of the system.
    present
        The ids of the components that are being built now, or were last.
    why
        The rule that chose them, in words.
    total, completed, running
        Features of the present components: all that count, those that are completed, those in progress; None: not
        known.
    percent, low, high
        Percent of the features that are completed; ``high`` if all that is in progress were. None: not known.
    status
        The status of the present components together.
    evidence_at, evidence
        The newest sign of life of the present components, and what it is.
    silent_after
        Seconds without a sign of life after which running work counts as silent.
    component, feature, phase
        The work in progress that gave the newest sign of life: its ids, and its name.
    started_at
        The first evidence of work.
    valid_until
        When the passing of time alone may change the verdict; None: never.
    """

    system: str
    present: tuple[str, ...] = ()
    why: str = ""
    total: int | None = None
    completed: int | None = None
    running: int = 0
    percent: float | None = None
    low: float | None = None
    high: float | None = None
    status: BuildStatus = BuildStatus.UNKNOWN
    evidence_at: datetime | None = None
    evidence: str | None = None
    silent_after: float | None = None
    component: str | None = None
    feature: str | None = None
    phase: str | None = None
    started_at: datetime | None = None
    valid_until: datetime | None = None

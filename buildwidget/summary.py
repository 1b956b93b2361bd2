"""What is said of a build in a few words: present work, statuses, percentage, life, and what that rests on. Pure."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

from .model import State, Status
from .progress import Life, life_of

if TYPE_CHECKING:
    from datetime import datetime

__all__ = ["Summary", "summarise"]


class Summary(msgspec.Struct, kw_only=True):
    """A build at one moment.

    Attributes
    ----------
    system
        The system whose files decide; None: checkpoints and registries.
    present
        The ids of the components that are being built, or were last.
    features
        Id → status: of the present components; of all features if no system decides.
    percent, low, high
        Percent completed, and the range that running work leaves; None: not known.
    life
        One of `buildwidget.progress.Life`.
    since
        The sign of life that ``life`` rests on.
    why
        What decided, and the sign of life in words.
    conflicts
        Id → what else said otherwise.
    """

    system: str | None
    present: list[str]
    features: dict[str, Status]
    percent: float | None
    low: float | None
    high: float | None
    life: Life
    since: datetime | None
    why: str
    conflicts: dict[str, str]


def summarise(state: State, now: datetime) -> Summary:
    """Return the summary of a state at ``now``."""
    session, progress = state.session, state.progress
    present = set(session.present)
    every = not present and session.system is None
    features = [item for item in state.features if every or item.component_id in present]
    components = [item for item in state.components if item.component_id in present]
    reasons = [session.status_source or "no file says anything", *([session.evidence] if session.evidence else [])]
    return Summary(
        system=session.system,
        present=session.present,
        features={item.feature_id: item.status for item in features},
        percent=progress.percent,
        low=progress.low,
        high=progress.high,
        life=life_of(state, now),
        since=session.evidence_at or state.updated_at,
        why="; ".join(reasons),
        conflicts={
            **{item.component_id: item.conflict for item in components if item.conflict},
            **{item.feature_id: item.conflict for item in features if item.conflict},
        },
    )

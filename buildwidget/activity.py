"""What happened in a build, in lines: from what changed of its phases, and from its journal. Pure."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from .model import Activity, Feature, Status
from .progress import SETTLED

if TYPE_CHECKING:
    from collections.abc import Iterable
    from datetime import datetime

    from .systems.buildrunner.journal import Entry

__all__ = ["of_change", "of_journal"]

_MOST: Final = 200  # lines of a journal that are told at once: as many as the state holds


def of_change(before: Feature | None, after: Feature | None, now: datetime) -> Activity | None:
    """Return what a change of one feature means; None if it is not worth a line.

    Parameters
    ----------
    before, after
        The feature before and after the change; None: it was or is not there. Not both None.
    now
        The time for what the files give none.
    """
    item = after or before
    assert item is not None
    kind, time = _kind_of(before, after, now)
    if kind is None:
        return None
    source = (item.status_source or "").partition(":")[2] or None
    word = item.feature_type or "feature"
    number = item.feature_id.rpartition("/")[2]
    name = f" {item.name}" if item.name and item.name.lower() != f"{word} {number}".lower() else ""
    by = f" by {item.owner}" if kind == "claimed" and item.owner else ""
    return Activity(kind=kind, text=f"{word} {number}{name}{by}", time=time, item=item.feature_id, source=source)


def _kind_of(before: Feature | None, after: Feature | None, now: datetime) -> tuple[str | None, datetime]:
    if after is None:
        return "removed", now
    if before is None:
        return "added", now
    if before.status is after.status:
        return None, now
    beat = after.heartbeat_at or now
    match after.status:
        case Status.IN_PROGRESS:
            return ("reopened" if before.status in SETTLED else "claimed"), after.claimed_at or beat
        case Status.COMPLETED:
            return "completed", min(beat, now)
        case Status.ERROR:
            return "failed", now
        case Status.UNKNOWN if before.status is Status.IN_PROGRESS:
            return "released", now
        case _ if before.status in SETTLED:
            return "rolled_back", now
        case Status.NOT_STARTED if before.status is Status.IN_PROGRESS:
            return "released", now
        case _:
            return None, now


def of_journal(before: Iterable[Entry], after: Iterable[Entry], path: str) -> list[Activity]:
    """Return the lines that a journal holds now and did not hold before, in its order, the newest 200."""
    known = set(before)
    new = [entry for entry in after if entry not in known][-_MOST:]
    return [
        Activity(
            kind=entry.kind,
            text=entry.text,
            time=entry.at,
            item=f"{entry.build}/{entry.phase}" if entry.build and entry.phase else None,
            source=path,
        )
        for entry in new
    ]

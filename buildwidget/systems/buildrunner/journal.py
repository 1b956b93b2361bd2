"""The journal of a project, ``decisions.log``, and a session that was saved to be taken up again.

People, models, hooks and tests write the journal; it is rotated and merged, so it is read anew each time. Most lines
say nothing about a build, and a fresh journal is no sign of life. What counts are approved phases.
"""

from __future__ import annotations

import re
from datetime import datetime
from typing import Any, Final

import msgspec

from ...errors import CheckpointError
from ...model import TsSource
from ...reading.text import encoding_of
from ...reading.values import MAX_NAME, Reader, parse_time
from ..record import Record, Shape
from .plan import slug_of

__all__ = ["Approval", "Entry", "Journal", "SavedSession", "read_journal", "read_saved"]

_MAX_JOURNAL: Final = 4 << 20  # bytes at its end that are read
_MAX_ENTRIES: Final = 500  # the newest ones
_MAX_APPROVALS: Final = 5_000

_REVIEW: Final = re.compile(r"phase-review\]?:?\s+build=(\S+)\s+phase=(\S+)\s.*?verdict=(\S+)")
_STAMPED: Final = re.compile(r"\[?(\d{4}-\d\d-\d\dT[\d:.]+(?:Z|[+-]\d\d:?\d\d)?)\]?\s+(.*)")
_TAGGED: Final = re.compile(r"\[([A-Z][A-Z -]{2,30})\]\s*(.*)")
_STARTED: Final = re.compile(r"(?:autopilot-)?phase-(\S+):\s+(START|COMPLETE)\b(.*)")
_KINDS: Final = {
    "DECISION": "decision",
    "ARCHITECTURE": "decision",
    "CONSTRAINT": "decision",
    "PATTERN": "decision",
    "REJECTED": "decision",
    "GOAL": "decision",
    "TRADE-OFF": "decision",
    "AMENDMENT": "added",
}


class Approval(msgspec.Struct, frozen=True):
    """The result of a review of a phase that was built."""

    build: str
    phase: str
    verdict: str
    at: datetime | None = None


class Entry(msgspec.Struct, frozen=True):
    """A line of the journal that tells something about a build."""

    at: datetime | None
    kind: str
    text: str
    build: str | None = None
    phase: str | None = None


class Journal(msgspec.Struct, kw_only=True):
    """What the journal says. ``approvals`` are the newest of each phase."""

    approvals: list[Approval] = []
    entries: list[Entry] = []


class SavedSession(msgspec.Struct, kw_only=True, frozen=True):
    """A session that was saved and left: the plan it worked on, and the last phase that it completed."""

    build: str
    last_completed: int | None = None


def read_journal(path: str, raw: bytes, reader: Reader) -> Record:
    """The record of ``decisions.log``. Raises `CheckpointError` with code ``empty``."""
    encoding, mark = encoding_of(raw[:3]) or ("utf-8", 0)
    part = raw[mark:][-_MAX_JOURNAL:]
    text = part.decode(encoding, "replace")
    if not text.strip():
        raise CheckpointError(path, "the file is empty", code="empty")
    approvals: dict[tuple[str, str], Approval] = {}
    entries: list[Entry] = []
    for line in text.splitlines():
        stamped = _STAMPED.match(line[:10_000])
        if stamped is None:
            continue
        at = parse_time(stamped[1], reader.mtime)
        time = at[0] if at else None
        rest = stamped[2]
        review = _REVIEW.search(rest)
        if review is not None:
            build, phase, verdict = slug_of(review[1]), review[2].lower(), review[3]
            if len(approvals) < _MAX_APPROVALS:
                approvals[build, phase] = Approval(build, phase, verdict, time)
            entries.append(Entry(time, "review", f"phase {review[2]}: {verdict}"[:MAX_NAME], build, review[2]))
            continue
        started = _STARTED.match(rest)
        if started is not None:
            kind = "claimed" if started[2] == "START" else "completed"
            entries.append(Entry(time, kind, rest[:MAX_NAME], None, started[1]))
            continue
        tagged = _TAGGED.match(rest)
        if tagged is not None and tagged[1] in _KINDS:
            entries.append(Entry(time, _KINDS[tagged[1]], tagged[2][:MAX_NAME]))
    journal = Journal(approvals=list(approvals.values()), entries=entries[-_MAX_ENTRIES:])
    return Record(path=path, shape=Shape.JOURNAL, time=reader.mtime, ts_source=TsSource.MTIME, detail=journal)


def read_saved(data: dict[str, Any], reader: Reader) -> Record:
    """The record of ``autopilot-resume.json``: only which plan, and how far. The rest of it is prose."""
    last = data.get("last_completed_phase")
    saved = SavedSession(
        build=slug_of(reader.text(data.get("build_spec"), "build_spec") or ""),
        last_completed=last if type(last) is int else None,
    )
    return Record(path=reader.path, shape=Shape.SAVED, time=reader.mtime, ts_source=TsSource.MTIME, detail=saved)

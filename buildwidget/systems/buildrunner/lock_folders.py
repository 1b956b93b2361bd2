"""A lock as a whole: what the files of its folder say together, and which plan it belongs to."""

from __future__ import annotations

import re
from datetime import datetime
from typing import TYPE_CHECKING, Final, TypeVar

import msgspec

from ...model import Phase, Status
from ...reading.values import SKEW
from ..record import Record, Shape
from .claims import Claim, ExitStatus, Heartbeat, Sidecar
from .lock import LockProgress, phase_id
from .plan import slug_of

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping

__all__ = ["Lock", "lock_of", "phase_of", "same_build", "words_of"]

#: The files of a lock, in the order in which they are named as the source of a status.
LOCK_SHAPES: Final = (Shape.CLAIM, Shape.HEARTBEAT, Shape.LOCK, Shape.SIDECAR, Shape.EXIT)

_PREFIX: Final = re.compile(r"^(?P<build>.+)[-_]phase[-_](?P<phase>.+)$", re.IGNORECASE)
_INFIX: Final = re.compile(r"^phase[-_](?P<build>[A-Za-z][\w-]*?)[-_](?P<phase>\d[\w.]*)$", re.IGNORECASE)
_NUMBERED: Final = re.compile(r"^phase[-_ ]+(?=.)", re.IGNORECASE)
_PLAIN: Final = re.compile(r"^phase[-_ ]?(?P<phase>.+)$", re.IGNORECASE)
T = TypeVar("T")

_WORD: Final = re.compile(r"[a-z0-9]{3,}")


class Lock(msgspec.Struct, kw_only=True):
    """One folder of ``locks/``.

    Attributes
    ----------
    folder, path
        Its name, and the file that is named as the source of what it says.
    phase, name
        The id of its phase as text, and the phase's name.
    said
        The plan that its claim or its folder names; None: neither does.
    at, evidence
        The last sign of life and the file that it comes from. In a copied folder the files' own times do not count.
    claimed
        When the phase was claimed.
    is_alive
        Whether its files say that somebody works: a session that ended, and nothing else, does not.
    finished
        Whether it says that its phase is completed, and by which file.
    """

    folder: str
    path: str
    phase: str
    name: str = ""
    said: str | None = None
    at: datetime
    evidence: str
    claimed: datetime
    finished: str | None = None
    host: str | None = None
    mode: str | None = None
    has_claim: bool = False
    is_alive: bool = True
    heartbeat: datetime | None = None
    ended: ExitStatus | None = None
    progress: Phase | None = None


def lock_of(folder: str, records: Mapping[Shape, Record], *, copied: bool) -> Lock | None:
    """Return the lock that the files of one folder make; None if they say nothing of a phase's life."""
    present = [records[shape] for shape in LOCK_SHAPES if shape in records]
    alive = [record for record in present if record.shape in (Shape.CLAIM, Shape.HEARTBEAT, Shape.LOCK)]
    if not alive:
        alive = present
    claim = _detail(records, Shape.CLAIM, Claim)
    beat = _detail(records, Shape.HEARTBEAT, Heartbeat)
    progress = _detail(records, Shape.LOCK, LockProgress)
    sidecar = _detail(records, Shape.SIDECAR, Sidecar)
    ended = _detail(records, Shape.EXIT, ExitStatus)
    build, number = _of_folder(folder)
    stated = claim.phase if claim and claim.phase else progress.phase if progress and progress.phase else None
    phase = stated or number
    if build and phase.lower().startswith(build.lower() + "-"):
        phase = phase[len(build) + 1 :]
    phase = _NUMBERED.sub("", phase)
    times = [_evidence(record, copied=copied) for record in alive]
    at, evidence = max(times)
    finished: str | None = None
    if progress is not None and progress.finished:
        finished = records[Shape.LOCK].path
    elif claim is not None and claim.status is Status.COMPLETED:
        finished = records[Shape.CLAIM].path
    return Lock(
        folder=folder,
        path=alive[0].path,
        phase=phase,
        name=(claim.name if claim else None) or (progress.name if progress else None) or "",
        said=slug_of(claim.build) if claim and claim.build else build,
        at=at,
        evidence=evidence,
        claimed=claim.claimed_at if claim else min(times)[0],
        finished=finished,
        host=(claim.host if claim else None) or (sidecar.node if sidecar else None),
        mode=claim.mode if claim else None,
        has_claim=claim is not None,
        is_alive=alive is not present or ended is None,
        heartbeat=beat.at if beat else None,
        ended=ended,
        progress=records[Shape.LOCK].phases[0] if Shape.LOCK in records and records[Shape.LOCK].phases else None,
    )


def _detail(records: Mapping[Shape, Record], shape: Shape, kind: type[T]) -> T | None:
    record = records.get(shape)
    return record.detail if record is not None and isinstance(record.detail, kind) else None


def _evidence(record: Record, *, copied: bool) -> tuple[datetime, str]:
    """When a file proves that somebody worked: a heartbeat at the time in it, another file when it was written."""
    if record.shape is Shape.HEARTBEAT or copied or record.written is None:
        return record.time, record.path
    return max(record.written, min(record.time, record.written + SKEW)), record.path


def _of_folder(folder: str) -> tuple[str | None, str]:
    for pattern in (_PREFIX, _INFIX):
        found = pattern.match(folder)
        if found is not None:
            return slug_of(found["build"]), found["phase"]
    found = _PLAIN.match(folder)
    return None, found["phase"] if found else folder


def phase_of(lock: Lock, component: str | None, feature: str | None, *, over: bool) -> Phase:
    """Return a lock as a phase in execution. ``component``, ``feature``: the plan and phase it works on, if known."""
    known = lock.progress
    if known is None:
        stated = lock.phase if lock.has_claim else None
        known = Phase(
            phase_id=phase_id(stated, lock.path),
            name=lock.name,
            status=Status.COMPLETED if lock.finished or over else Status.IN_PROGRESS,
        )
    ended = lock.ended
    return msgspec.structs.replace(
        known,
        name=known.name or lock.name,
        component_id=component,
        feature_id=feature,
        owner=lock.host,
        mode=lock.mode,
        claimed_at=lock.claimed if lock.has_claim else None,
        heartbeat_at=lock.heartbeat,
        exit_code=ended.code if ended else None,
        exit_at=ended.at if ended else None,
    )


def words_of(text: str) -> set[str]:
    """The words of a name, for comparison: three letters or more, in lower case."""
    return set(_WORD.findall(text.lower()))


def same_build(said: str, slugs: Collection[str]) -> str | None:
    """Return the plan that a name means: the same, or the only one that begins with it or holds all of its words."""
    if said in slugs:
        return said
    known = list(slugs)
    lower = said.lower()
    same = [slug for slug in known if slug.lower() == lower]
    if len(same) == 1:
        return same[0]
    begins = [slug for slug in known if lower and slug.lower().startswith(lower)]
    if len(begins) == 1:
        return begins[0]
    words = words_of(said)
    holds = [slug for slug in known if words and words <= words_of(slug)]
    return holds[0] if len(holds) == 1 else None

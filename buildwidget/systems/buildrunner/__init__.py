"""Parsers for the files of a build: bytes → `Record`, one module for each shape.

The shape is chosen by path, then by keys. Nothing is invented: what a file does not state is None, an empty list or
``unknown`` in its record, and an invalid value is None with a warning. Only a file that is not a JSON object, or has
none of the keys of any shape, is an error.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from ...errors import CheckpointError
from ...reading.decode import decode_object
from ...reading.markdown import Sections
from ...reading.memo import Memo
from ...reading.values import Reader
from ..record import Record, Shape
from . import checkpoint, claims, journal, lock, one_build, orchestration, plan, project, runtime, workflow
from .kinds import shape_of, shape_of_keys

if TYPE_CHECKING:
    from collections.abc import Callable
    from datetime import datetime

    from ...model import Component, Feature

__all__ = ["OPEN_ENDED", "TEXTS", "parse", "plan_items", "read", "shape_of"]

#: The kinds of file of which no parser can tell whether they are complete: what is cut off is valid too.
OPEN_ENDED: Final = frozenset({Shape.PLAN, Shape.JOURNAL})

_READERS: Final[dict[Shape, Callable[[dict[str, Any], Reader], Record]]] = {
    Shape.CHECKPOINT: checkpoint.read,
    Shape.ORCHESTRATION: orchestration.read,
    Shape.WORKFLOW: workflow.read_workflow,
    Shape.POOL: workflow.read_pool,
    Shape.RUNTIME: runtime.read,
    Shape.LOCK: lock.read,
    Shape.FEATURES: project.read_features,
    Shape.BATCHES: project.read_batches,
    Shape.CURRENT_PHASE: project.read_current_phase,
    Shape.CLAIM: claims.read_claim,
    Shape.EXIT: claims.read_exit,
    Shape.SIDECAR: claims.read_sidecar,
    Shape.SAVED: journal.read_saved,
}
#: The kinds of file that are no JSON.
TEXTS: Final = frozenset({Shape.PLAN, Shape.HEARTBEAT, Shape.JOURNAL})


def parse(path: str, raw: bytes, mtime: datetime, memo: Memo | None = None) -> Record:
    """Parse one file.

    Parameters
    ----------
    path
        The file, relative to the project, with ``/``.
    raw
        Its bytes.
    mtime
        Its modification time, aware: the fallback for a file that does not state its time.
    memo
        A cache of parsed items; several times as fast when many files, or versions of one file, share items.

    Raises
    ------
    CheckpointError
        If the bytes are not one JSON object, or neither the path nor the keys tell its shape. Nothing else is raised,
        whatever the bytes.
    """
    shape = shape_of(path)
    if shape not in TEXTS:
        return read(path, decode_object(path, raw), mtime, memo)
    reader = Reader(path, mtime, memo)
    match shape:
        case Shape.HEARTBEAT:
            record = claims.read_heartbeat(path, raw, reader)
        case Shape.JOURNAL:
            record = journal.read_journal(path, raw, reader)
        case _:
            record = plan.read(path, raw, reader, memo.sections if memo else Sections())
    return _finished(record, reader)


def read(path: str, data: dict[str, Any], mtime: datetime, memo: Memo | None = None) -> Record:
    """Parse a file whose JSON is decoded already. ``data`` is not mutated. Raises `CheckpointError` as `parse` does."""
    shape = shape_of_keys(data, shape_of(path))
    if shape is None:
        keys = ", ".join(repr(key[:40]) for key in list(data)[:5]) or "none"
        reason = f"not a build file: expected the keys of a known kind of file, found: {keys}"
        raise CheckpointError(path, reason, "$", "wrong_shape")
    reader = Reader(path, mtime, memo)
    reader.settle_zone(data)
    record = _READERS[shape](data, reader)
    return _finished(record, reader)


def plan_items(record: Record) -> tuple[Component, list[Feature]] | None:
    """Return a plan and its phases as items, by its own words alone; None for any other file."""
    if not isinstance(record.detail, plan.Plan):
        return None
    evidence = one_build.Evidence(slug=record.detail.slug, plan=record.detail, path=record.path, written=record.written)
    return one_build.items_of(one_build.decide(evidence))


def _finished(record: Record, reader: Reader) -> Record:
    record.warnings = reader.warnings
    record.written = reader.mtime
    return record

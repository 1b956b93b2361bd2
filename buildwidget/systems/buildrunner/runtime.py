"""A runtime checkpoint: where an agent runtime stands with one task. Known by its ``schema_version``."""

from __future__ import annotations

from typing import Any

from ...model import Checkpoint, Runtime
from ...progress import build_status
from ...reading import items
from ...reading.values import Reader, as_dict
from ..record import Record, Shape

__all__ = ["SCHEMA", "read"]

SCHEMA = "br3.runtime.checkpoint"


def read(data: dict[str, Any], reader: Reader) -> Record:
    """The record of one runtime checkpoint."""
    data = dict(data)
    own: object = data.get("metadata")
    inner = as_dict(own)

    def said(name: str) -> Any:
        first, *rest = name.split("_")
        camel = first + "".join(part.title() for part in rest)
        values = (place.get(key) for place in (data, inner) for key in (name, camel))
        return next((value for value in values if value is not None), None)

    texts = {
        name: reader.text(said(name), name, 200)
        for name in (
            "runtime",
            "backend",
            "runtime_source",
            "runtime_session_id",
            "dispatch_mode",
            "shadow_runtime",
            "shadow_status",
        )
    }
    runtime = Runtime(capabilities=reader.texts(said("capabilities"), "capabilities"), **texts)
    id_ = reader.ident(items.take(data, "checkpoint_id", "checkpointId", "id")) or reader.stem
    time, source = reader.file_time(data.pop("timestamp", None), "timestamp", id_, reader.stem)
    word, raw = reader.status(data.pop("status", None))
    step = reader.text(said("current_step"), "current_step")
    error = data.get("error") or data.get("errors") or data.get("error_message")
    phase = reader.text(data.pop("phase", None), "phase") or step
    status, rule = build_status((), errors=bool(error), own=word, phase=phase)
    data.pop("metadata", None)
    return Record(
        path=reader.path,
        shape=Shape.RUNTIME,
        time=time,
        ts_source=source,
        phase=phase,
        status=status,
        status_source=rule,
        checkpoint=Checkpoint(
            checkpoint_id=id_,
            phase=phase,
            status=raw,
            created_at=time,
            ts_source=source,
            metadata=reader.metadata(own, data),
        ),
        runtime=runtime,
    )

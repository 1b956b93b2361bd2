"""A build checkpoint: ``checkpoints/checkpoint_<time>.json``, written by the checkpoint manager.

Its ``status`` (created, active, rolled_back) is the state of the checkpoint, not of the build. Components and features
are read at the top level and inside ``metadata``, because the original loader refuses unknown top-level keys.
"""

from __future__ import annotations

from typing import Any

from ...model import Checkpoint
from ...progress import build_status, overall_percentage, percentage_said, rounded
from ...reading import items
from ...reading.items import Tally
from ...reading.values import Reader, as_dict
from ..record import Record, Shape

__all__ = ["read"]

_KEYS = frozenset(
    (
        *("id", "checkpoint_id", "checkpointId", "timestamp", "phase", "status", "metadata", "components", "features"),
        *("tasks_completed", "tasksCompleted", "files_created", "filesCreated"),
    )
)
# These words are about the checkpoint itself. Any other word in its place is about the build.
_LIFE = frozenset({"created", "active", "rolled_back"})


def read(data: dict[str, Any], reader: Reader) -> Record:
    """The record of one build checkpoint."""
    if _KEYS.isdisjoint(data):
        reader.warn("no_known_keys", "the file has none of the keys of a checkpoint")
    data = dict(data)
    own: object = data.pop("metadata", None)
    inner = dict(as_dict(own))
    # Only what is read as items leaves the metadata: a key that holds something else is kept there.
    parts = {
        name: [part.pop(name) for part in (inner, data) if isinstance(part.get(name), list | dict)]
        for name in ("components", "features")
    }
    for part in (inner, data):
        for name in parts:
            if part.get(name) is not None:
                reader.invalid(name, part[name], "a list")
    components = items.components(reader, *parts["components"])
    features = items.features(reader, *parts["features"])
    reader.at()

    pop = data.pop
    id_ = reader.ident(items.take(data, "id", "checkpoint_id", "checkpointId")) or reader.stem
    time, source = reader.file_time(pop("timestamp", None), "timestamp", id_, reader.stem)
    phase = reader.text(pop("phase", None), "phase")
    life = reader.text(pop("status", None), "status", 200)
    done = reader.texts(items.take(data, "tasks_completed", "tasksCompleted"), "tasks_completed")
    files = reader.texts(items.take(data, "files_created", "filesCreated"), "files_created")
    error = data.get("error") or data.get("errors")
    named = {name: data.get(name, inner.get(name)) for name in ("project", "current_component", "current_feature")}

    percent = overall_percentage(components, features)
    statuses = [item.status for item in (*components, *features)]
    word, _ = reader.status(None if life is None or life.strip().lower() in _LIFE else life)
    status, rule = build_status(statuses, percent=percent, phase=phase, errors=bool(error), own=word)
    percent = percentage_said(percent, statuses, (status, rule))
    started, ended = items.span(
        status, (item.started_at for item in components), (item.ended_at for item in components)
    )
    return Record(
        path=reader.path,
        shape=Shape.CHECKPOINT,
        own=word,
        time=time,
        ts_source=source,
        project=reader.text(named["project"], "project"),
        phase=phase,
        status=status,
        status_source=rule,
        percent=None if percent is None else rounded(percent),
        # Writers leave the list empty when they do not track tasks, so an empty list does not mean zero.
        tally=Tally(completed=len(set(done))) if done else None,
        checkpoint=Checkpoint(
            checkpoint_id=id_,
            phase=phase,
            tasks_completed=done,
            files_created=files,
            status=life,
            created_at=time,
            ts_source=source,
            metadata=reader.metadata(inner if type(own) is dict else own, data),
        ),
        components=components,
        features=features,
        current_component=reader.text(named["current_component"], "current_component")
        or items.newest_in_progress(components, lambda item: item.component_id),
        current_feature=reader.text(named["current_feature"], "current_feature")
        or items.newest_in_progress(features, lambda item: item.feature_id),
        started_at=started,
        ended_at=ended,
    )

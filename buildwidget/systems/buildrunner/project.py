"""The state of the project: ``features.json``, ``orchestration.json`` (the plan) and ``current-phase.json``."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ...model import Phase, Status, TsSource
from ...progress import (
    build_status,
    calculate_completion_percentage,
    percentage_said,
    rounded,
    task_percentage,
)
from ...reading import items
from ...reading.items import Tally
from ...reading.values import Reader, is_list
from ..record import Record, Shape

if TYPE_CHECKING:
    from datetime import datetime

__all__ = ["read_batches", "read_current_phase", "read_features"]


def _time(data: dict[str, Any], reader: Reader) -> tuple[datetime, TsSource]:
    field = next((name for name in ("last_updated", "lastUpdated", "updated_at") if data.get(name)), "last_updated")
    return reader.file_time(data.get(field), field)


def read_features(data: dict[str, Any], reader: Reader) -> Record:
    """The record of the feature registry."""
    time, source = _time(data, reader)
    features = items.features(reader, data.get("features"))
    reader.at()
    percent = calculate_completion_percentage(features) if features else None
    own, _ = reader.status(data.get("status"))
    statuses = [item.status for item in features]
    status, rule = build_status(
        statuses,
        percent=percent,
        errors=bool(data.get("error") or data.get("errors")),
        own=own,
    )
    percent = percentage_said(percent, statuses, (status, rule))
    return Record(
        path=reader.path,
        shape=Shape.FEATURES,
        own=own,
        time=time,
        ts_source=source,
        project=reader.text(data.get("project"), "project"),
        status=status,
        status_source=rule,
        percent=None if percent is None else rounded(percent),
        features=features,
        current_feature=items.newest_in_progress(features, lambda item: item.feature_id),
    )


def read_batches(data: dict[str, Any], reader: Reader) -> Record:
    """The record of the autopilot's plan: its batches of phases."""
    time, source = _time(data, reader)
    total = reader.count(data.get("total_phases"), "total_phases")
    finished: Any = data.get("completed_phases")  # a number, or the ids of the phases
    ids = reader.texts(finished, "completed_phases") if is_list(finished) else []
    completed = len(set(ids)) if is_list(finished) else reader.count(finished, "completed_phases")
    phases = [Phase(phase_id=id_, status=Status.COMPLETED) for id_ in dict.fromkeys(ids)]
    known = set(ids)
    for number, (_, stated) in enumerate(items.listed(reader, data.get("batches"), "batches"), 1):
        batch = dict(stated)
        reader.at()
        batch_id = reader.ident(batch.pop("id", None)) or str(number)
        reader.at("batch", batch_id)
        listed = reader.texts(batch.pop("phases", None), "phases")
        status, raw = reader.status(batch.pop("status", None))
        metadata = reader.metadata(batch.pop("metadata", None), batch)
        phases += [
            Phase(phase_id=id_, status=status, status_raw=raw, metadata={"batch": batch_id, **metadata})
            for id_ in listed
            if id_ and id_ not in known  # that a phase is completed is better known than the state of its batch
        ]
    reader.at()
    phases = items.unique(reader, "phase", phases, lambda item: item.phase_id)
    tally = Tally(
        total=total or len(phases) or None,
        completed=completed,
        failed=sum(item.status is Status.ERROR for item in phases),
        in_progress=sum(item.status is Status.IN_PROGRESS for item in phases),
    )
    percent = task_percentage(tally.total, completed)
    # The plan lists the phases that are left: a list of completed ones does not complete a longer plan.
    partial = total is not None and total > len(phases)
    statuses = [item.status for item in phases] + ([Status.UNKNOWN] if partial else [])
    status, rule = build_status(
        statuses,
        percent=percent,
        errors=bool(data.get("error") or data.get("errors")),
        own=reader.status(data.get("status"))[0],
    )
    percent = percentage_said(percent, () if partial else statuses, (status, rule))
    return Record(
        path=reader.path,
        shape=Shape.BATCHES,
        time=time,
        ts_source=source,
        project=reader.text(data.get("project"), "project"),
        status=status,
        status_source=rule,
        percent=None if percent is None else rounded(percent),
        tally=tally if total or phases else None,
        phases=phases,
        started_at=reader.time(data.get("started", data.get("started_at")), "started"),
    )


def read_current_phase(data: dict[str, Any], reader: Reader) -> Record:
    """The record of the file that names the present phase. It does not say how far the phase is."""
    time, source = _time(data, reader)
    data = dict(data)
    id_ = reader.ident(data.pop("phase", None))
    name = reader.text(data.pop("name", None), "name") or ""
    started = reader.time(items.take(data, "started_at", "startedAt", "started"), "started")
    word, raw = reader.status(data.pop("status", None))
    phases: list[Phase] = []
    if id_:
        metadata = reader.metadata(data.pop("metadata", None), data)
        phases.append(
            Phase(phase_id=id_, name=name, status=word, status_raw=raw, started_at=started, metadata=metadata)
        )
    else:
        reader.warn("no_id", "the file names no phase")
    status, rule = build_status((), own=word)
    return Record(
        path=reader.path,
        shape=Shape.CURRENT_PHASE,
        time=time,
        ts_source=source,
        project=reader.text(data.get("project"), "project"),
        phase=name or id_,
        status=status,
        status_source=rule,
        phases=phases,
        present_phase=id_,
        started_at=started,
    )

"""The state of the project: ``features.json``, ``orchestration.json`` (the plan) and ``current-phase.json``."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import msgspec

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
from ...reading.values import MAX_ITEMS, Reader, as_list, is_dict, is_list
from ...words import map_status
from ..record import Record, Shape

if TYPE_CHECKING:
    from datetime import datetime

__all__ = ["Batches", "CurrentPhase", "read_batches", "read_current_phase", "read_features"]


class CurrentPhase(msgspec.Struct, kw_only=True, frozen=True):
    """What ``current-phase.json`` names. The last writer wins, and it may be left behind: a hint, never a verdict."""

    build: str | None = None
    phases: list[str] = []


class Batches(msgspec.Struct, kw_only=True, frozen=True):
    """The phases of ``orchestration.json`` in their order, and those of blocked batches. It names no build."""

    phases: list[str] = []
    blocked: list[str] = []


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
        detail=_batches(data, reader),
    )


def _batches(data: dict[str, Any], reader: Reader) -> Batches:
    phases: list[str] = []
    blocked: list[str] = []
    for batch in as_list(data.get("batches"))[:MAX_ITEMS]:
        if is_dict(batch):
            ids = [ident for value in as_list(batch.get("phases"))[:MAX_ITEMS] if (ident := reader.ident(value))]
            phases += ids
            if map_status(batch.get("status")) is Status.BLOCKED:
                blocked += ids
    return Batches(phases=list(dict.fromkeys(phases)), blocked=list(dict.fromkeys(blocked)))


def read_current_phase(data: dict[str, Any], reader: Reader) -> Record:
    """The record of the file that names the present phase. It does not say how far the phase is."""
    time, source = _time(data, reader)
    data = dict(data)
    build = reader.text(data.get("build"), "build") or None
    listed = [ident for value in as_list(data.get("phases"))[:MAX_ITEMS] if (ident := reader.ident(value))]
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
    elif not listed:
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
        detail=CurrentPhase(build=build, phases=[id_] if id_ else listed),
    )

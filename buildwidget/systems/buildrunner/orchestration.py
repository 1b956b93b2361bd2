"""The task orchestrator's state: ``orchestration_state.json``, the source of the dependency graph and of estimates.

Two relatives are read as well: one that lists task ids in batches with ``total_tasks`` and ``completed_tasks``, and the
template of a project that has not begun.
"""

from __future__ import annotations

from typing import Any

from ...model import Status, Task
from ...progress import build_status, percentage_said, rounded, task_percentage
from ...reading import items
from ...reading.items import Tally
from ...reading.values import Reader, as_dict
from ..record import Record, Shape

__all__ = ["read"]


def read(data: dict[str, Any], reader: Reader) -> Record:
    """The record of one orchestration state."""
    time, source = reader.file_time(data.get("timestamp"), "timestamp")
    tasks = items.tasks(reader, data.get("tasks"), "orchestration")
    reader.at()
    tally = items.tally_of(tasks) if tasks else _stated(data.get("progress"), reader)
    if not tasks and "batches" in data:
        tasks, tally = _batches(data, reader)
    phase = reader.text(data.get("phase"), "phase")
    percent = task_percentage(tally.total, tally.completed, tally.skipped) if tally else None
    statuses = _statuses(tasks, tally)
    status, rule = build_status(
        statuses,
        percent=percent,
        phase=phase,
        errors=bool(data.get("error") or data.get("errors")),
        own=reader.status(data.get("status"))[0],
    )
    percent = percentage_said(percent, statuses, (status, rule))
    started, ended = items.span(status, (item.started_at for item in tasks), (item.completed_at for item in tasks))
    return Record(
        path=reader.path,
        shape=Shape.ORCHESTRATION,
        time=time,
        ts_source=source,
        project=reader.text(data.get("project"), "project"),
        phase=phase,
        status=status,
        status_source=rule,
        percent=None if percent is None else rounded(percent),
        tally=tally,
        tasks=tasks,
        started_at=started,
        ended_at=ended,
    )


def _stated(progress: object, reader: Reader) -> Tally | None:
    """The counts that the file states, for one that lists no tasks."""
    stated = as_dict(progress)
    counts: dict[str, int | None] = {
        name: reader.count(stated.get(name), name)
        for name in ("total", "completed", "failed", "skipped", "in_progress")
    }
    if not counts["total"]:
        return None
    return Tally(
        total=counts["total"],
        completed=counts["completed"],
        failed=counts["failed"] or 0,
        skipped=counts["skipped"] or 0,
        in_progress=counts["in_progress"] or 0,
    )


def _batches(data: dict[str, Any], reader: Reader) -> tuple[list[Task], Tally | None]:
    """The tasks of a state that only lists their ids in batches. Who is done is known when all or none are."""
    total = reader.count(data.get("total_tasks"), "total_tasks")
    completed = reader.count(data.get("completed_tasks"), "completed_tasks")
    status = Status.COMPLETED if total and completed is not None and completed >= total else Status.UNKNOWN
    made: list[Task] = []
    for number, (_, batch) in enumerate(items.listed(reader, data.get("batches"), "batches")):
        reader.at()
        id_ = reader.ident(batch.get("id")) or str(number)
        reader.at("batch", id_)
        made += [
            Task(
                task_id=name,
                name=name,
                kind="orchestration",
                status=status,
                progress=100.0 if status is Status.COMPLETED else 0.0,
                metadata={"batch": id_},
            )
            for name in reader.texts(batch.get("tasks"), "tasks")
            if name
        ]
    tasks = items.unique(reader, "task", made, lambda item: item.task_id)
    reader.at()
    if total is None and not tasks:
        return tasks, None
    return tasks, Tally(total=total if total is not None else len(tasks), completed=completed)


def _statuses(tasks: list[Task], tally: Tally | None) -> list[Status]:
    if tasks or tally is None:
        return [item.status for item in tasks]
    return [
        status
        for status, count in (
            (Status.ERROR, tally.failed),
            (Status.IN_PROGRESS, tally.in_progress),
            (Status.COMPLETED, tally.completed or 0),
            (Status.UNKNOWN, (tally.total or 0) - tally.failed - (tally.completed or 0) - tally.skipped),
        )
        if count > 0
    ]

"""Workflow and pool checkpoints: ``workflow_<id>_checkpoint.json`` and ``pool_<id>_checkpoint.json`` in ``workflows/``.

A workflow saves its status one step too early, so that a finished one still says ``running``. What counts is the
counts: when completed + failed = total it is over. Each file gives a task for every item it names and one for the
workflow or the pool itself. The id of an item's task is ``<workflow or pool>/<item>``: two pools may each have an item
``src/x.py``, and one that failed must not hide behind one that did not.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ...model import Status, Task, TsSource
from ...progress import build_status, rounded, task_percentage
from ...reading import items
from ...reading.items import Tally
from ...reading.values import Reader, as_dict
from ..record import Record, Shape

if TYPE_CHECKING:
    from datetime import datetime

__all__ = ["read_pool", "read_workflow"]


def read_workflow(data: dict[str, Any], reader: Reader) -> Record:
    """The record of one workflow checkpoint."""
    id_ = reader.ident(items.take(dict(data), "workflow_id", "workflowId")) or _id_in_name(reader.stem)
    time, source = reader.file_time(data.get("timestamp"), "timestamp")
    stated: object = data.get("state_data", data.get("stateData"))
    state = as_dict(stated)
    if not state and stated:
        reader.invalid("state_data", stated, "an object")
    done = list(dict.fromkeys(reader.texts(data.get("completed_items"), "completed_items")))
    completed = reader.count(state.get("completed_count"), "completed_count")
    tally = Tally(
        total=reader.count(state.get("total_items"), "total_items"),
        completed=completed if completed is not None else len(done),
        failed=reader.count(state.get("failed_count"), "failed_count") or 0,
    )
    phase = reader.text(data.get("phase"), "phase")
    word, raw = reader.status(state.get("status", data.get("status")))
    tasks = [
        Task(
            task_id=f"{id_}/{item}",
            name=item,
            kind="workflow",
            parent_id=id_,
            status=Status.COMPLETED,
            progress=100.0,
            metadata={"item_id": item},
        )
        for item in done
        if item
    ]
    summary = _summary(reader, id_, phase or "", "workflow", tally, word, raw)
    own = {key: data[key] for key in ("checkpoint_id",) if data.get(key) is not None}
    summary.metadata = reader.metadata(data.get("metadata"), own)
    return _record(Shape.WORKFLOW, reader, time, source, phase, tally, [summary, *tasks], data)


def read_pool(data: dict[str, Any], reader: Reader) -> Record:
    """The record of one pool checkpoint."""
    id_ = reader.ident(items.take(dict(data), "pool_id", "poolId")) or _id_in_name(reader.stem)
    time, source = reader.file_time(data.get("timestamp"), "timestamp")
    tasks = items.tasks(reader, data.get("results"), "pool", id_)
    reader.at()
    counted = items.tally_of(tasks)
    stated: object = data.get("stats")
    stats = as_dict(stated)
    if not stats and stated:
        reader.invalid("stats", stated, "an object")
    numbers = [reader.count(stats.get(name), name) for name in ("total_items", "completed_items", "failed_items")]
    total, completed, failed = (
        number if number is not None else default
        for number, default in zip(numbers, (len(tasks) or None, counted.completed, counted.failed), strict=True)
    )
    tally = Tally(
        total=total,
        completed=completed,
        failed=failed or 0,
        skipped=counted.skipped,
        in_progress=counted.in_progress,
    )
    word, raw = reader.status(data.get("status"))
    if word is Status.UNKNOWN and counted.in_progress:
        word = Status.IN_PROGRESS
    summary = _summary(reader, id_, "pool", "pool", tally, word, raw)
    summary.duration_ms = reader.number(stats.get("total_duration_ms"), "total_duration_ms")
    average = stats.get("avg_item_duration_ms")
    summary.metadata = reader.metadata(
        data.get("metadata"), {} if average is None else {"avg_item_duration_ms": average}
    )
    return _record(Shape.POOL, reader, time, source, None, tally, [summary, *tasks], data)


def _id_in_name(stem: str) -> str:
    """``0475d097`` in ``workflow_0475d097_checkpoint``."""
    return stem.removesuffix("_checkpoint").removeprefix("workflow_").removeprefix("pool_") or stem


def _summary(reader: Reader, id_: str, name: str, kind: str, tally: Tally, word: Status, raw: str | None) -> Task:
    """The task that stands for the workflow itself. The counts decide its status; only without them its word does."""
    total, completed = tally.total, tally.completed or 0
    over = completed + tally.failed + tally.skipped
    if not total:
        status = word
    elif over >= total:
        status = Status.ERROR if tally.failed else Status.COMPLETED
    elif word is Status.COMPLETED:
        # The counts win, and the word is kept: something is not done yet.
        status = Status.IN_PROGRESS
    elif word is Status.UNKNOWN:
        status = Status.IN_PROGRESS if over else Status.NOT_STARTED
    else:
        status = word
    if total is not None and over > total:
        reader.warn("counts_disagree", f"{over} of {total} items are over")
    elif total and over < total and word is Status.COMPLETED:
        reader.warn("says_complete_but_counts_disagree", f"the status is {raw!r}, but {over} of {total} items are over")
    percent = task_percentage(total, completed, tally.skipped)
    return Task(
        task_id=id_,
        name=name,
        kind=kind,
        status=status,
        status_raw=raw,
        progress=rounded(percent) if percent is not None else 100.0 if status is Status.COMPLETED else 0.0,
    )


def _record(
    shape: Shape,
    reader: Reader,
    time: datetime,
    source: TsSource,
    phase: str | None,
    tally: Tally,
    tasks: list[Task],
    data: dict[str, Any],
) -> Record:
    percent = task_percentage(tally.total, tally.completed, tally.skipped)
    # The summary has taken all counts into account; the items of a running workflow must not decide against it.
    status, rule = build_status(
        (tasks[0].status,), percent=percent, phase=phase, errors=bool(data.get("error") or data.get("errors"))
    )
    started, ended = items.span(status, (item.started_at for item in tasks), (item.completed_at for item in tasks))
    return Record(
        path=reader.path,
        shape=shape,
        time=time,
        ts_source=source,
        phase=phase,
        status=status,
        status_source=rule,
        percent=None if percent is None else rounded(percent),
        tally=tally,
        tasks=tasks,
        started_at=started,
        ended_at=ended,
    )

"""The progress of a phase: ``locks/<phase>/progress.json``, rewritten often by the phase runner."""

from __future__ import annotations

import re
from typing import Any

import msgspec

from ...model import Phase, PhaseStep, Status, TsSource
from ...progress import build_status, rounded, task_percentage
from ...reading import items
from ...reading.items import Tally
from ...reading.values import MAX_TEXT, Reader, is_dict
from ...words import plain_word
from ..record import Record, Shape
from .claims import folder_of

__all__ = ["LockProgress", "phase_id", "read"]

_LAST_STEP = 7  # finalize: the runner's own word "done" means the phase only from here on


class LockProgress(msgspec.Struct, kw_only=True, frozen=True):
    """What a lock's progress says of its phase. ``finished``: that the phase is over, not only one of its steps."""

    folder: str
    phase: str | None = None
    name: str | None = None
    finished: bool = False


def read(data: dict[str, Any], reader: Reader) -> Record:
    """The record of one lock file. It holds one phase."""
    data = dict(data)
    pop = data.pop
    stated = reader.ident(data.get("phase"))
    id_ = phase_id(stated, reader.path)
    if id_ == stated:
        del data["phase"]  # else it stays, in the metadata
    reader.at("phase", id_)
    time, source = reader.file_time(pop("updated_at", None), "updated_at")
    status, raw = reader.status(pop("status", None))
    total = reader.count(pop("tasks_total", None), "tasks_total")
    done = reader.count(pop("tasks_done", None), "tasks_done")
    errors = reader.texts(pop("errors", None), "errors", MAX_TEXT)
    name = reader.text(pop("name", None), "name") or ""
    label = reader.text(items.take(data, "step_label", "step_name"), "step_label")
    started = reader.time(pop("started_at", None), "started_at")
    current = _current_task(pop("current_task", None), data, reader)
    if total and done is not None and done > total:
        reader.warn("counts_disagree", f"{done} of {total} tasks are done")
    elif total and done is not None and done < total and status is Status.COMPLETED:
        reader.warn("says_complete_but_counts_disagree", f"the status is {raw!r}, but {done} of {total} tasks are done")
    percent = task_percentage(total, done)
    verdict, rule = build_status(
        (status,) if status is not Status.UNKNOWN else (),
        percent=percent,
        errors=bool(errors or data.get("error")),
        own=status,
    )
    over = status in (Status.COMPLETED, Status.ERROR, Status.SKIPPED, Status.CANCELLED)
    phase = Phase(
        phase_id=id_,
        name=name,
        step=reader.number(pop("step", None), "step"),
        step_label=label,
        status=status,
        status_raw=raw,
        tasks_total=total,
        tasks_done=done,
        current_task=current,
        errors=errors,
        warnings=reader.texts(pop("warnings", None), "warnings", MAX_TEXT),
        history=_history(pop("history", None), reader),
        started_at=started,
        updated_at=time if source is not TsSource.MTIME else None,
        metadata={},
    )
    phase.metadata = reader.metadata(pop("metadata", None), data)
    return Record(
        path=reader.path,
        shape=Shape.LOCK,
        time=time,
        ts_source=source,
        phase=name or id_,
        status=verdict,
        status_source=rule,
        percent=None if percent is None else rounded(percent),
        tally=None if total is None and done is None else Tally(total=total or None, completed=done),
        phases=[phase],
        started_at=started,
        ended_at=phase.updated_at if over else None,
        detail=LockProgress(
            folder=folder_of(reader.path),
            phase=stated,
            name=name or None,
            finished=_is_finished(status, raw, phase.step),
        ),
    )


def _is_finished(status: Status, raw: str | None, step: float | None) -> bool:
    if status is not Status.COMPLETED:
        return False
    return plain_word(raw or "") != "done" or (step is not None and step >= _LAST_STEP)


def phase_id(stated: str | None, path: str) -> str:
    """Return the id of the phase: its number, unless the folder says that it belongs to another plan.

    ``locks/phase-2`` and ``locks/dashboard-intel-phase-2`` both state phase 2 and are different phases at the same
    time. So the number is the id in a folder named after nothing else, and the folder's name is in any other.
    """
    parts = path.split("/")
    folder = parts[parts.index("locks") + 1] if "locks" in parts[:-2] else ""
    number = re.sub(r"^phase[-_ ]?(?=.)", "", folder, flags=re.IGNORECASE)
    if stated is None:
        return number or "unknown"
    return stated if not folder or number.lower() == stated.lower() else folder


def _current_task(value: object, data: dict[str, Any], reader: Reader) -> str | None:
    """The task at hand: a text, or an object with a name, which is kept in the metadata as well."""
    if not is_dict(value):
        return reader.text(value, "current_task")
    data["current_task"] = value
    name = next((value[key] for key in ("name", "title", "label", "description", "id") if value.get(key)), None)
    return reader.text(name, "current_task")


def _history(value: object, reader: Reader) -> list[PhaseStep]:
    return [
        PhaseStep(
            step=reader.number(entry.get("step"), "step of the history"),
            name=reader.text(entry.get("name"), "name of a step") or "",
            label=reader.text(entry.get("label"), "label of a step") or "",
            at=reader.time(entry.get("at"), "at of a step"),
            status=reader.text(entry.get("status"), "status of a step", 200),
        )
        for _, entry in items.listed(reader, value, "history")
    ]

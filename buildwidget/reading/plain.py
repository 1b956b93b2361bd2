"""The fast path for items without invalid values: validated by msgspec in one step, field by field in C.

Every function returns None for an item that is odd in any way: a wrong type, a number out of range, a text too long,
two spellings of one key, a rare spelling. `items` then reads it leniently and says what is odd. Both paths give equal
records for whatever both can read.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any, Final

import msgspec
from msgspec import Meta

from ..model import ChecklistTask, Component, Feature, Status, Task
from ..progress import item_percentage, rounded
from ..words import map_status
from .values import MAX_ITEMS, MAX_NAME, MAX_TEXT, Reader

if TYPE_CHECKING:
    from datetime import datetime

__all__ = ["PlainComponent", "PlainFeature", "component", "feature", "task"]

_Id = Annotated[str, Meta(min_length=1, max_length=MAX_NAME)]
_Word = Annotated[str, Meta(max_length=200)]
_Name = Annotated[str, Meta(max_length=MAX_NAME)]
_Text = Annotated[str, Meta(max_length=MAX_TEXT)]
_Names = Annotated[list[_Name], Meta(max_length=MAX_ITEMS)]
_Percent = Annotated[float, Meta(ge=0, le=100)]
_Amount = Annotated[float, Meta(ge=0, le=1e15)]


class PlainComponent(msgspec.Struct, gc=False):
    """A component without rare keys or invalid values."""

    id: _Id
    name: _Name | None = None
    type: _Word | None = None
    status: _Word | None = None
    progress: _Percent | None = None
    files: _Names | None = None
    dependencies: _Names | None = None
    tests_pass: bool | None = None
    testsPass: bool | None = None  # noqa: N815 (as the files spell it)
    start_time: _Name | None = None
    startTime: _Name | None = None  # noqa: N815
    end_time: _Name | None = None
    endTime: _Name | None = None  # noqa: N815
    error: _Text | None = None


class _ChecklistTask(msgspec.Struct, gc=False):
    id: _Id
    completed: bool
    name: _Name | None = None
    timestamp: _Name | None = None


class PlainFeature(msgspec.Struct, gc=False):
    """A feature without rare keys or invalid values."""

    id: _Id
    name: _Name | None = None
    description: _Text | None = None
    component: _Name | None = None
    status: _Word | None = None
    progress: _Percent | None = None
    priority: _Word | None = None
    tasks: Annotated[list[_ChecklistTask], Meta(max_length=MAX_ITEMS)] | None = None
    dependencies: _Names | None = None
    estimated_time: _Amount | None = None
    estimatedTime: _Amount | None = None  # noqa: N815
    actual_time: _Amount | None = None
    actualTime: _Amount | None = None  # noqa: N815
    error: _Text | None = None


class _Task(msgspec.Struct, gc=False):
    id: _Id
    name: _Id
    status: _Word | None = None
    progress: _Percent | None = None
    dependencies: _Names | None = None
    estimated_minutes: _Amount | None = None
    started_at: _Name | None = None
    completed_at: _Name | None = None
    duration_ms: _Amount | None = None
    retry_count: Annotated[int, Meta(ge=0, le=10**15)] | None = None
    error_message: _Text | None = None


_COMPONENT_KEYS: Final = frozenset(PlainComponent.__struct_fields__)
_FEATURE_KEYS: Final = frozenset(PlainFeature.__struct_fields__)
_TASK_KEYS: Final = frozenset(_Task.__struct_fields__)

# Spellings of known fields that only the lenient parser reads.
_RARE: Final = frozenset(
    (
        *("component_id", "componentId", "feature_id", "featureId", "task_id", "taskId", "item_id", "itemId"),
        *("component_type", "componentType", "error", "error_message", "errorMessage", "retry_count", "retryCount"),
        *("started_at", "startedAt", "start_time", "startTime", "ended_at", "endedAt", "end_time", "endTime"),
        *("completed_at", "completedAt", "estimated_time", "estimatedTime", "estimated_minutes", "estimatedMinutes"),
        *("duration_ms", "durationMs"),
    )
)
_RARE_OF_COMPONENT: Final = _RARE - _COMPONENT_KEYS
# A feature has no times: the registry's created_at and completed_at are unknown keys like any other.
_RARE_OF_FEATURE: Final = frozenset(
    (
        *("feature_id", "featureId", "component_id", "componentId", "error_message", "errorMessage"),
        *("estimated_minutes", "estimatedMinutes", "actual_minutes", "actualMinutes"),
    )
)
_RARE_OF_TASK: Final = _RARE - _TASK_KEYS


class _NeedsFallbackError(Exception):
    """The entry holds something that only the lenient parser in `items` reads."""


def _own(status: Status, progress: float | None) -> float:
    # `item_percentage` for what is known to be a number within 0 to 100.
    return 100.0 if status is Status.COMPLETED else progress or 0.0


def _one(snake: Any, camel: Any) -> Any:
    if camel is None:
        return snake
    if snake is not None:
        raise _NeedsFallbackError
    return camel


def _time(reader: Reader, value: str | None) -> datetime | None:
    if not value:
        return None
    found = reader.plain_time(value)
    if found is None:
        raise _NeedsFallbackError
    return found


def _extra(reader: Reader, entry: dict[str, Any], keys: frozenset[str]) -> dict[str, Any]:
    unknown = {key: value for key, value in entry.items() if key not in keys}
    return reader.metadata(unknown.pop("metadata", None), unknown)


def component(reader: Reader, entry: dict[str, Any]) -> Component | None:
    """Return a component, or None if the entry needs the lenient parser."""
    if not _RARE_OF_COMPONENT.isdisjoint(entry):
        return None
    try:
        raw = msgspec.convert(entry, PlainComponent)
        tests_pass = _one(raw.tests_pass, raw.testsPass)
        start, end = _one(raw.start_time, raw.startTime), _one(raw.end_time, raw.endTime)
        started_at, ended_at = _time(reader, start) if start else None, _time(reader, end) if end else None
    except (msgspec.ValidationError, _NeedsFallbackError):
        return None
    status = map_status(raw.status)
    if status is Status.UNKNOWN:
        reader.note_word(raw.status)
    reader.at("component", raw.id)
    return Component(
        component_id=raw.id,
        name=raw.name or "",
        component_type=raw.type,
        status=status,
        status_raw=raw.status,
        progress=rounded(_own(status, raw.progress)),
        files=raw.files or [],
        dependencies=raw.dependencies or [],
        tests_pass=tests_pass,
        started_at=started_at,
        ended_at=ended_at,
        error=raw.error,
        metadata={} if _COMPONENT_KEYS.issuperset(entry) else _extra(reader, entry, _COMPONENT_KEYS),
    )


def feature(reader: Reader, entry: dict[str, Any]) -> Feature | None:
    """Return a feature, or None if the entry needs the lenient parser."""
    if not _RARE_OF_FEATURE.isdisjoint(entry):
        return None
    try:
        raw = msgspec.convert(entry, PlainFeature)
        estimated = _one(raw.estimated_time, raw.estimatedTime)
        actual = _one(raw.actual_time, raw.actualTime)
        checklist = [
            ChecklistTask(
                id=task.id, name=task.name or "", completed=task.completed, timestamp=_time(reader, task.timestamp)
            )
            for task in raw.tasks or ()
        ]
    except (msgspec.ValidationError, _NeedsFallbackError):
        return None
    if len({task.id for task in checklist}) < len(checklist):
        return None
    status = map_status(raw.status)
    if status is Status.UNKNOWN:
        reader.note_word(raw.status)
    reader.at("feature", raw.id)
    return Feature(
        feature_id=raw.id,
        name=raw.name or "",
        description=raw.description,
        component_id=raw.component,
        status=status,
        status_raw=raw.status,
        progress=rounded(item_percentage(status, raw.progress, checklist)),
        priority=raw.priority,
        tasks=checklist,
        dependencies=raw.dependencies or [],
        estimated_minutes=estimated,
        actual_minutes=actual,
        error=raw.error,
        metadata={} if _FEATURE_KEYS.issuperset(entry) else _extra(reader, entry, _FEATURE_KEYS),
    )


def task(reader: Reader, entry: dict[str, Any], kind: str, parent: str | None) -> Task | None:
    """Return a task, or None if the entry needs the lenient parser. With ``parent``, its id is ``parent/id``."""
    if not _RARE_OF_TASK.isdisjoint(entry):
        return None
    try:
        raw = msgspec.convert(entry, _Task)
        started_at, completed_at = _time(reader, raw.started_at), _time(reader, raw.completed_at)
    except (msgspec.ValidationError, _NeedsFallbackError):
        return None
    status = map_status(raw.status)
    if status is Status.UNKNOWN:
        reader.note_word(raw.status)
    reader.at("task", raw.id)
    metadata = {} if _TASK_KEYS.issuperset(entry) else _extra(reader, entry, _TASK_KEYS)
    if parent is not None:
        metadata.setdefault("item_id", raw.id)
    return Task(
        task_id=raw.id if parent is None else f"{parent}/{raw.id}",
        name=raw.name,
        kind=kind,
        parent_id=parent,
        status=status,
        status_raw=raw.status,
        progress=rounded(_own(status, raw.progress)),
        dependencies=raw.dependencies or [],
        estimated_minutes=raw.estimated_minutes,
        started_at=started_at,
        completed_at=completed_at,
        duration_ms=raw.duration_ms,
        retry_count=raw.retry_count,
        error=raw.error_message,
        metadata=metadata,
    )

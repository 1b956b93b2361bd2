"""Validate what programs publish into a build: JSON messages in, typed publications out. Pure.

A publication holds the new fields of one item. `buildwidget.session.BuildSession.publish` merges it into the state and
logs the whole item. An invalid message raises `PublishError`, which says what is wrong and where, before anything
changes.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any, Final, Literal, cast

import msgspec
from msgspec import UNSET, UnsetType

from . import events as ev
from . import model
from .errors import PublishError
from .model import FIRST_TIME, LAST_TIME, BuildStatus, Status
from .progress import rounded
from .reading.decode import valid_text
from .state import KINDS, is_context
from .words import map_status

__all__ = ["CONTENT_LIMIT", "MAX_LINE", "MAX_MESSAGES", "ItemNews", "Output", "PublishError", "read", "shapes"]

MAX_MESSAGES: Final = 1_000  # in one publication
MAX_ID: Final = 512  # characters of an item's id
MAX_TEXT: Final = 1024 * 1024  # characters of output in one message
MAX_LINE: Final = 2_000  # characters of a line of activity
MAX_DEPTH: Final = 32  # levels of objects and lists in a message
MAX_SAFE_INT: Final = 2**53  # beyond it JavaScript loses digits
CONTENT_LIMIT: Final = 64 * 1024  # bytes of context markdown carried in a message

_REFUSED: Final = ("seq", "epoch")
_IGNORED: Final = ("type", "session_id", "timestamp")
_ALIASES: Final = {
    "checkpoint_update": {"tasks": "tasks_completed", "files": "files_created"},
    "build_progress": {"total_components": "total", "completed_components": "completed"},
    "terminal_output": {"content": "output"},
    "error": {"message": "error_message"},
}
_BUILD_STATUS: Final = {
    Status.NOT_STARTED: BuildStatus.PENDING,
    Status.IN_PROGRESS: BuildStatus.IN_PROGRESS,
    Status.COMPLETED: BuildStatus.COMPLETED,
    Status.ERROR: BuildStatus.FAILED,
}


class ItemNews(msgspec.Struct, frozen=True):
    """The new fields of one item: ``changes`` are fields of the record ``item`` (a type of `KINDS`)."""

    item: type
    id: str
    changes: dict[str, Any]


class Output(msgspec.Struct, frozen=True):
    """Raw text for the terminal: whole lines, parts of lines, carriage returns and colours."""

    text: str
    output_type: str
    source: str | None


class _Output(msgspec.Struct):
    output: str
    output_type: Literal["stdout", "stderr", "info", "error", "success"] = "stdout"
    source: str | None = None
    line: int | None = None


class _File(msgspec.Struct):
    file_path: str
    change_type: Literal["created", "modified", "deleted", "moved"]
    content: str | None = None
    size: int | None = None
    modified: datetime | None = None


class _Error(msgspec.Struct):
    error_message: str
    error_type: str | None = None
    traceback: str | None = None
    file_path: str | None = None


class _Box(msgspec.Struct):
    """A line of a checklist, with a free word for its status."""

    id: str
    name: str = ""
    completed: bool | None = None
    timestamp: datetime | None = None
    status: str | None = None


class _Progress(msgspec.Struct):
    total: int | None = None
    completed: int | None = None
    percent: float | None = None
    low: float | None = None
    high: float | None = None
    status: str | None = None
    current_component: str | None = None
    current_feature: str | None = None


def _partial(record: type, id_field: str) -> type[msgspec.Struct]:
    """Make a variant of a record type: every field but the id is optional, and statuses are free words."""
    fields: list[Any] = []
    for field in msgspec.structs.fields(record):
        if field.name == id_field:
            fields.append((field.name, str))
        elif field.name == "version":
            continue
        elif field.name == "progress":
            fields.append((field.name, float | None | UnsetType, UNSET))
        elif field.name == "status":
            fields.append((field.name, str | UnsetType, UNSET))
        elif field.type == list[model.ChecklistTask]:
            fields.append((field.name, list[_Box] | UnsetType, UNSET))
        else:
            fields.append((field.name, field.type | UnsetType, UNSET))
    return msgspec.defstruct(f"{record.__name__}News", fields, kw_only=True)


_ITEMS: Final = {
    ev.type_of(ev.MESSAGES[record]): (record, id_field, _partial(record, id_field))
    for record, (_, id_field) in KINDS.items()
}
_SHAPES: Final[dict[str, type[Any]]] = {
    **{tag: shape for tag, (_, _, shape) in _ITEMS.items()},
    "terminal_output": _Output,
    "build_progress": _Progress,
    "file_change": _File,
    "error": _Error,
    "runtime_update": model.Runtime,
    "activity": model.Activity,
}

Publication = ItemNews | Output | model.Progress | model.Runtime | model.Activity | ev.FileChange | ev.Error
"""One validated message."""


def shapes() -> dict[str, type[Any]]:
    """Return message type → the fields that a publication of it may have."""
    return dict(_SHAPES)


def read(messages: object) -> list[Publication]:
    """Validate messages and convert them to publications.

    Parameters
    ----------
    messages
        A mapping, or a sequence of at most 1,000: the fields of protocol messages (``type``, the id, the new fields).
        ``session_id`` and ``timestamp`` are ignored; ``seq`` and ``epoch`` are refused, as the log assigns them.

    Raises
    ------
    PublishError
        If any of them is not a message that may be published.
    """
    if isinstance(messages, Mapping):
        return [_read(cast("object", messages), "")]
    if not isinstance(messages, Sequence) or isinstance(messages, str | bytes | bytearray):
        raise PublishError(f"expected a message (an object) or a list of messages, got {_kind(messages)}")
    listed = cast("Sequence[object]", messages)
    if len(listed) > MAX_MESSAGES:
        raise PublishError(f"{len(listed):,} messages at once; at most {MAX_MESSAGES:,} are taken. Send them in parts")
    return [_read(message, f"message {number}: ") for number, message in enumerate(listed, 1)]


def _read(message: object, where: str) -> Publication:
    if not isinstance(message, Mapping):
        raise PublishError(f"{where}expected an object, got {_kind(message)}")
    message = cast("Mapping[str, Any]", message)
    name = message.get("type")
    shape = _SHAPES.get(name) if isinstance(name, str) else None
    if shape is None:
        raise PublishError(f"{where}type {_short(name)} cannot be published. Types are {', '.join(sorted(_SHAPES))}")
    assert isinstance(name, str)
    fields: dict[str, Any] = {}
    aliases = _ALIASES.get(name, {})
    known = {field.encode_name for field in msgspec.structs.fields(shape)}
    for key, value in message.items():
        if key in _REFUSED:
            raise PublishError(f"{where}{key!r} cannot be given: the log numbers the messages")
        if key in _IGNORED:
            continue
        target = aliases.get(key, key)
        if target not in known:
            raise PublishError(f"{where}{name} has no field {_short(key)}. Its fields are {', '.join(sorted(known))}")
        if target not in fields or key == target:
            fields[target] = _exact(value, where)
    try:
        given = msgspec.convert(fields, shape)
    except msgspec.ValidationError as error:
        raise PublishError(f"{where}{name}: {error}") from None
    try:
        return _typed(name, given)
    except ValueError as error:
        raise PublishError(f"{where}{name}: {error}") from None


def _exact(value: Any, where: str, depth: int = 0) -> Any:
    """Convert to values exact in every language.

    Integers beyond 2^53 become text, NaN and infinities null, and lone surrogates, which UTF-8 cannot hold, U+FFFD.
    """
    if isinstance(value, str):
        return valid_text(value)
    if isinstance(value, int) and not isinstance(value, bool):
        return value if -MAX_SAFE_INT <= value <= MAX_SAFE_INT else str(value)
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if depth > MAX_DEPTH:
        raise PublishError(f"{where}the message is nested more than {MAX_DEPTH} levels deep")
    if isinstance(value, Mapping):
        found = cast("Mapping[Any, Any]", value)
        return {_exact(key, where, depth + 1): _exact(inner, where, depth + 1) for key, inner in found.items()}
    if isinstance(value, list | tuple):
        return [_exact(inner, where, depth + 1) for inner in cast("Sequence[Any]", value)]
    return value


def _typed(name: str, given: Any) -> Publication:
    if name in _ITEMS:
        return _item(name, given)
    match given:
        case _Output():
            if len(given.output) > MAX_TEXT:
                raise ValueError(f"output has {len(given.output):,} characters; at most {MAX_TEXT:,} are taken at once")
            return Output(given.output, given.output_type, given.source)
        case _Progress():
            return _progress(given)
        case _File():
            return _file(given)
        case model.Activity():
            return _activity(given)
        case _Error():
            return ev.Error(
                error_message=given.error_message[:MAX_TEXT],
                message=given.error_message[:MAX_TEXT],
                error_type=given.error_type,
                file_path=given.file_path,
            )
        case _:
            return given


def _item(name: str, given: Any) -> ItemNews:
    record, id_field, shape = _ITEMS[name]
    item_id = getattr(given, id_field)
    if not item_id.strip() or len(item_id) > MAX_ID:
        raise ValueError(f"{id_field} must have 1 to {MAX_ID} characters")
    changes: dict[str, Any] = {}
    for field in msgspec.structs.fields(shape):
        value = getattr(given, field.name)
        if value is not UNSET and field.name != id_field:
            changes[field.name] = _in_utc(field.name, value)
    if record is model.Feature and "tasks" in changes:
        changes["tasks"] = [_checklist_task(box) for box in changes["tasks"]]
    if record is model.Checkpoint:
        changes.setdefault("ts_source", model.TsSource.FILE)
    elif "status" in changes:
        changes.setdefault("status_raw", changes["status"])
        changes["status"] = map_status(changes["status"])
    if "progress" in changes:
        changes["progress"] = _percent(changes["progress"] or 0.0)
    return ItemNews(record, item_id, changes)


def _checklist_task(box: _Box) -> model.ChecklistTask:
    status = None if box.status is None else map_status(box.status)
    completed = status is Status.COMPLETED if box.completed is None else box.completed
    return model.ChecklistTask(id=box.id, name=box.name, completed=completed, timestamp=box.timestamp, status=status)


def _percent(value: float | None) -> float | None:
    return None if value is None else rounded(min(100.0, max(0.0, value)))


def _progress(given: _Progress) -> model.Progress:
    total, completed, percent = given.total, given.completed, given.percent
    if (total is not None and total < 0) or (completed is not None and completed < 0):
        raise ValueError("total and completed must not be negative")
    if percent is None and total and completed is not None:
        percent = 100 * completed / total
    percent = _percent(percent)
    if given.status is not None:
        status = _BUILD_STATUS.get(map_status(given.status), BuildStatus.UNKNOWN)
    elif percent is None and not completed:
        status = BuildStatus.UNKNOWN
    elif percent is not None and percent >= 100:
        status = BuildStatus.COMPLETED
    else:
        status = BuildStatus.IN_PROGRESS if percent or completed else BuildStatus.PENDING
    return model.Progress(
        total=total,
        completed=completed,
        percent=percent,
        low=_percent(given.low),
        high=_percent(given.high),
        status=status,
        current_component=given.current_component,
        current_feature=given.current_feature,
    )


def _activity(given: model.Activity) -> model.Activity:
    if not given.kind.strip():
        raise ValueError("kind must be a word for what happened")
    return model.Activity(
        kind=given.kind[:MAX_ID],
        text=given.text[:MAX_LINE],
        time=_utc("time", given.time) if given.time else None,
        item=given.item[:MAX_ID] if given.item else None,
        source=given.source[:MAX_ID] if given.source else None,
    )


def _file(given: _File) -> ev.FileChange:
    path = given.file_path
    if not path or len(path) > 4096 or path.startswith(("/", "\\")) or ".." in path.replace("\\", "/").split("/"):
        raise ValueError("file_path must be a path inside the project, relative to it")
    content = given.content if is_context(path) else None  # others are not shown, and may be large
    if content is not None:
        content = content.encode("utf-8", "replace")[:CONTENT_LIMIT].decode("utf-8", "ignore")
    modified = _utc("modified", given.modified) if given.modified else None
    return ev.FileChange(
        file_path=path, change_type=given.change_type, content=content, size=given.size, modified=modified
    )


def _in_utc(name: str, value: Any) -> Any:
    """A field of an item with every time in it in UTC, also those in the records of a list."""
    if isinstance(value, datetime):
        return _utc(name, value)
    if isinstance(value, list):
        return [_in_utc(name, inner) for inner in cast("list[Any]", value)]
    if isinstance(value, msgspec.Struct):
        found = {field: _in_utc(f"{name}.{field}", getattr(value, field)) for field in value.__struct_fields__}
        return msgspec.structs.replace(value, **found)
    return value


def _utc(name: str, value: datetime) -> datetime:
    """An aware time in UTC; one without a zone is read as UTC, as publishers may be in other zones.

    Raises
    ------
    ValueError
        If it lies at an edge of the calendar, where it has no local time in some zone.
    """
    bare = value.replace(tzinfo=None)
    if not FIRST_TIME <= bare <= LAST_TIME:
        raise ValueError(f"{name} is {value.isoformat()}, at the edge of the calendar; give the time of a build")
    return value.replace(tzinfo=UTC) if value.tzinfo is None else value.astimezone(UTC)


def _kind(value: object) -> str:
    match value:
        case None:
            return "null"
        case bool():
            return "true or false"
        case int() | float():
            return "a number"
        case str():
            return "text"
        case list():
            return "a list"
        case _:
            return type(value).__name__


def _short(value: object) -> str:
    text = repr(value)
    return text if len(text) <= 80 else text[:77] + "..."

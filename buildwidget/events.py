"""The messages of the wire protocol, version 1, as one tagged union. All schemas and types are generated from it.

A *numbered* message changes the build and has a sequence number ``seq`` (1, 2, 3 … without holes in the log of one
epoch). An *unnumbered* one is about a connection. An item message holds the whole item (the record of
`buildwidget.model` plus the common fields) and replaces the previous one. ``make protocol`` generates
``js/src/protocol.ts`` and ``js/src/guards.ts`` from these classes. Which fields are on the wire: `buildwidget.model`.
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime
from typing import Any, ClassVar, get_args

import msgspec

from . import model
from .model import State, always

__all__ = [
    "MESSAGES",
    "PROTOCOL",
    "TOPICS",
    "TYPES",
    "ActivityMessage",
    "BuildProgress",
    "CheckpointUpdate",
    "ComponentUpdate",
    "Connection",
    "Error",
    "Event",
    "FeatureUpdate",
    "FileChange",
    "Gap",
    "Heartbeat",
    "Message",
    "PhaseUpdate",
    "Pong",
    "Removed",
    "RuntimeUpdate",
    "SessionUpdate",
    "Snapshot",
    "StatusReport",
    "Subscribed",
    "TaskUpdate",
    "TerminalOutput",
    "Warning_",
    "decode",
    "encode",
    "item_of",
    "message_of",
    "type_of",
    "types_of",
]

PROTOCOL = 1


class ComponentUpdate(model.Component, kw_only=True, tag_field="type", tag="component_update"):
    """A component, complete: it replaces the previous one."""

    seq: int | None = always(None)
    session_id: str = always("")
    timestamp: datetime | None = always(None)
    ITEM: ClassVar = model.Component


class FeatureUpdate(model.Feature, kw_only=True, tag_field="type", tag="feature_update"):
    """A feature, complete: it replaces the previous one."""

    seq: int | None = always(None)
    session_id: str = always("")
    timestamp: datetime | None = always(None)
    ITEM: ClassVar = model.Feature


class TaskUpdate(model.Task, kw_only=True, tag_field="type", tag="task_update"):
    """A task, complete: it replaces the previous one."""

    seq: int | None = None
    session_id: str = ""
    timestamp: datetime | None = None
    ITEM: ClassVar = model.Task


class PhaseUpdate(model.Phase, kw_only=True, tag_field="type", tag="phase_update"):
    """A phase, complete: it replaces the previous one."""

    seq: int | None = always(None)
    session_id: str = always("")
    timestamp: datetime | None = always(None)
    ITEM: ClassVar = model.Phase


class CheckpointUpdate(model.Checkpoint, kw_only=True, tag_field="type", tag="checkpoint_update"):
    """A checkpoint, complete: it replaces the previous one."""

    seq: int | None = None
    session_id: str = ""
    timestamp: datetime | None = None
    ITEM: ClassVar = model.Checkpoint


class SessionUpdate(model.Session, kw_only=True, tag_field="type", tag="session_update"):
    """The build as a whole."""

    seq: int | None = always(None)
    session_id: str = always("")
    timestamp: datetime | None = always(None)
    ITEM: ClassVar = model.Session


class BuildProgress(model.Progress, kw_only=True, tag_field="type", tag="build_progress"):
    """The progress of the build."""

    seq: int | None = always(None)
    session_id: str = always("")
    timestamp: datetime | None = always(None)
    ITEM: ClassVar = model.Progress


class RuntimeUpdate(model.Runtime, kw_only=True, tag_field="type", tag="runtime_update"):
    """The agent runtime that does the work."""

    seq: int | None = None
    session_id: str = ""
    timestamp: datetime | None = None
    ITEM: ClassVar = model.Runtime


class Warning_(model.BuildWarning, kw_only=True, tag_field="type", tag="warning"):  # noqa: N801 (Warning is a builtin)
    """A warning about a file. With ``cleared``, the warning no longer applies."""

    cleared: bool = False
    seq: int | None = None
    session_id: str = ""
    timestamp: datetime | None = None
    ITEM: ClassVar = model.BuildWarning


class ActivityMessage(model.Activity, kw_only=True, tag_field="type", tag="activity"):
    """A line of what happened. The newest 200 are part of the state."""

    seq: int | None = None
    session_id: str = ""
    timestamp: datetime | None = None
    ITEM: ClassVar = model.Activity


class TerminalOutput(msgspec.Struct, kw_only=True, tag_field="type", tag="terminal_output"):
    """Output of the build: one or more lines, the first numbered ``line``. ``content`` repeats ``output``."""

    output: str
    content: str = ""
    output_type: str = "stdout"
    source: str | None = None
    line: int
    seq: int | None = None
    session_id: str = ""
    timestamp: datetime | None = None


class FileChange(msgspec.Struct, kw_only=True, tag_field="type", tag="file_change"):
    """A file under ``.buildrunner`` changed. ``content`` is given for context markdown only, at most 64 KiB."""

    file_path: str
    change_type: str
    content: str | None = None
    size: int | None = None
    modified: datetime | None = None
    seq: int | None = None
    session_id: str = ""
    timestamp: datetime | None = None


class Error(msgspec.Struct, kw_only=True, tag_field="type", tag="error"):
    """An error of the build; without ``seq``, an error about this connection. ``traceback`` is always null."""

    error_message: str
    message: str = ""
    error_type: str | None = None
    traceback: str | None = None
    file_path: str | None = None
    seq: int | None = None
    session_id: str = ""
    timestamp: datetime | None = None


class Removed(msgspec.Struct, kw_only=True, tag_field="type", tag="removed"):
    """An item no longer exists. ``kind``: component, feature, task, phase, checkpoint or context."""

    kind: str
    id: str
    seq: int | None = None
    session_id: str = ""
    timestamp: datetime | None = None


class Connection(msgspec.Struct, kw_only=True, tag_field="type", tag="connection"):
    """The first message of a connection."""

    status: str = "connected"
    protocol: int = PROTOCOL
    epoch: str
    seq: int
    resumed: bool = False
    server: str = ""
    heartbeat: float = 15
    session_id: str = ""
    timestamp: datetime | None = None


class Snapshot(msgspec.Struct, kw_only=True, tag_field="type", tag="snapshot"):
    """The whole state after message ``seq``."""

    epoch: str
    seq: int
    state: State
    session_id: str = ""
    timestamp: datetime | None = None


class Gap(msgspec.Struct, kw_only=True, tag_field="type", tag="gap"):
    """Messages ``from_seq`` to ``to_seq`` are lost for this client; a snapshot follows at once."""

    from_seq: int | None
    to_seq: int
    reason: str
    session_id: str = ""
    timestamp: datetime | None = None


class Heartbeat(msgspec.Struct, kw_only=True, tag_field="type", tag="heartbeat"):
    """Sent when nothing else was sent for a while, with the newest ``seq``."""

    seq: int
    session_id: str = ""
    timestamp: datetime | None = None


class Pong(msgspec.Struct, kw_only=True, tag_field="type", tag="pong"):
    """The answer to a ping, with its ``id``."""

    id: Any = None
    session_id: str = ""
    timestamp: datetime | None = None


class Subscribed(msgspec.Struct, kw_only=True, tag_field="type", tag="subscribed"):
    """The filter now in force."""

    topics: list[str]
    components: list[str] | None = None
    min_level: str | None = None
    seq: int = 0
    session_id: str = ""
    timestamp: datetime | None = None


class StatusReport(msgspec.Struct, kw_only=True, tag_field="type", tag="status"):
    """The answer to ``request_status``."""

    epoch: str
    seq: int
    state: State
    id: Any = None
    session_id: str = ""
    timestamp: datetime | None = None


Event = (
    SessionUpdate
    | ComponentUpdate
    | FeatureUpdate
    | TaskUpdate
    | PhaseUpdate
    | CheckpointUpdate
    | TerminalOutput
    | BuildProgress
    | FileChange
    | Error
    | Warning_
    | RuntimeUpdate
    | Removed
    | ActivityMessage
)
"""The numbered messages."""

Message = Event | Connection | Snapshot | Gap | Heartbeat | Pong | Subscribed | StatusReport
"""Every server message."""


def type_of(message: Any) -> str:
    """Return the ``type`` of a message or of a message class."""
    return message.__struct_config__.tag


TYPES = frozenset(map(type_of, get_args(Event)))
"""The types of the numbered messages."""

TOPICS: dict[str, frozenset[str]] = {
    "components": frozenset({type_of(ComponentUpdate)}),
    "features": frozenset({type_of(FeatureUpdate)}),
    "tasks": frozenset({type_of(TaskUpdate)}),
    "phases": frozenset({type_of(PhaseUpdate)}),
    "checkpoints": frozenset({type_of(CheckpointUpdate)}),
    "terminal": frozenset({type_of(TerminalOutput)}),
    "progress": frozenset({type_of(BuildProgress)}),
    "files": frozenset({type_of(FileChange)}),
    "errors": frozenset({type_of(Error), type_of(Warning_)}),
    "all": TYPES,
}
"""Topic → the message types in it. Clients subscribe to topics, or to single types."""

MESSAGES: dict[type, Any] = {cls.ITEM: cls for cls in get_args(Event) if hasattr(cls, "ITEM")}
"""Class of a record → class of the message that holds the whole record."""

_encoder = msgspec.json.Encoder()
_decoder: msgspec.json.Decoder[Any] = msgspec.json.Decoder(Message)


def encode(message: Any) -> bytes:
    """Return a message as compact JSON (UTF-8)."""
    return _encoder.encode(message)


def decode(data: bytes | str) -> Any:
    """Return the message that the JSON in ``data`` holds.

    Raises
    ------
    msgspec.ValidationError, msgspec.DecodeError
        If it is not a message of this protocol.
    """
    return _decoder.decode(data)


def types_of(topics: Iterable[str]) -> frozenset[str]:
    """Return the message types of some topics, each a key of `TOPICS` or a type.

    Raises
    ------
    ValueError
        If a topic is unknown; the text lists the known ones.
    """
    found: set[str] = set()
    for topic in topics:
        if topic in TOPICS:
            found |= TOPICS[topic]
        elif topic in TYPES:
            found.add(topic)
        else:
            known = ", ".join([*TOPICS, *sorted(TYPES)])
            raise ValueError(f"unknown topic {topic[:60]!r}. Topics are {known}")
    return frozenset(found)


def message_of(record: Any, **common: Any) -> Any:
    """Return the message that holds a whole record: its fields and the common ones. The inverse of `item_of`.

    Parameters
    ----------
    record
        An instance of a key of `MESSAGES`: an item, a session, a progress, a runtime or a warning.
    **common
        ``seq``, ``session_id`` and ``timestamp``; for a warning also ``cleared``.
    """
    return MESSAGES[type(record)](**msgspec.structs.asdict(record), **common)


def item_of(event: Any) -> Any:
    """Return the record that a message holds, without the common fields. The inverse of `message_of`."""
    cls = event.ITEM
    fields = msgspec.structs.asdict(event)
    return cls(**{name: fields[name] for name in cls.__struct_fields__})

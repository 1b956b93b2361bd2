"""The messages of the wire protocol, version 1: one tagged union, the single source of all its descriptions.

A *numbered* message changes the build and carries ``seq`` (1, 2, 3 … without holes in one epoch's log). An *unnumbered*
one is about a connection. An item message is the whole item (the record of `buildwidget.model` plus the common fields)
and replaces it. ``js/src/protocol.ts`` and ``js/src/guards.ts`` are generated from these classes by ``make protocol``.
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime
from typing import Any, ClassVar, get_args

import msgspec

from . import model
from .model import State

__all__ = [
    "MESSAGES",
    "PROTOCOL",
    "TOPICS",
    "TYPES",
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
    """A component, whole."""

    seq: int | None = None
    session_id: str = ""
    timestamp: datetime | None = None
    ITEM: ClassVar = model.Component


class FeatureUpdate(model.Feature, kw_only=True, tag_field="type", tag="feature_update"):
    """A feature, whole."""

    seq: int | None = None
    session_id: str = ""
    timestamp: datetime | None = None
    ITEM: ClassVar = model.Feature


class TaskUpdate(model.Task, kw_only=True, tag_field="type", tag="task_update"):
    """A task, whole."""

    seq: int | None = None
    session_id: str = ""
    timestamp: datetime | None = None
    ITEM: ClassVar = model.Task


class PhaseUpdate(model.Phase, kw_only=True, tag_field="type", tag="phase_update"):
    """A phase, whole."""

    seq: int | None = None
    session_id: str = ""
    timestamp: datetime | None = None
    ITEM: ClassVar = model.Phase


class CheckpointUpdate(model.Checkpoint, kw_only=True, tag_field="type", tag="checkpoint_update"):
    """A checkpoint, whole."""

    seq: int | None = None
    session_id: str = ""
    timestamp: datetime | None = None
    ITEM: ClassVar = model.Checkpoint


class SessionUpdate(model.Session, kw_only=True, tag_field="type", tag="session_update"):
    """The build as a whole."""

    seq: int | None = None
    session_id: str = ""
    timestamp: datetime | None = None
    ITEM: ClassVar = model.Session


class BuildProgress(model.Progress, kw_only=True, tag_field="type", tag="build_progress"):
    """How far the build is."""

    seq: int | None = None
    session_id: str = ""
    timestamp: datetime | None = None
    ITEM: ClassVar = model.Progress


class RuntimeUpdate(model.Runtime, kw_only=True, tag_field="type", tag="runtime_update"):
    """The agent runtime that does the work."""

    seq: int | None = None
    session_id: str = ""
    timestamp: datetime | None = None
    ITEM: ClassVar = model.Runtime


class Warning_(model.BuildWarning, kw_only=True, tag_field="type", tag="warning"):  # noqa: N801 (Warning is a builtin)
    """A warning about a file, or (``cleared``) the end of one."""

    cleared: bool = False
    seq: int | None = None
    session_id: str = ""
    timestamp: datetime | None = None
    ITEM: ClassVar = model.BuildWarning


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
    """An item is gone. ``kind``: component, feature, task, phase, checkpoint or context."""

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
    """Messages this client will not get; a snapshot follows at once."""

    from_seq: int | None
    to_seq: int
    reason: str
    session_id: str = ""
    timestamp: datetime | None = None


class Heartbeat(msgspec.Struct, kw_only=True, tag_field="type", tag="heartbeat"):
    """Sent in silence, with the newest ``seq``."""

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
)
"""The numbered messages."""

Message = Event | Connection | Snapshot | Gap | Heartbeat | Pong | Subscribed | StatusReport
"""Every server message."""


def type_of(message: Any) -> str:
    """The ``type`` of a message, or of its class."""
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
"""Names for groups of types: what clients ask for, besides the types themselves."""

MESSAGES: dict[type, Any] = {cls.ITEM: cls for cls in get_args(Event) if hasattr(cls, "ITEM")}
"""Record type → the type of the message that tells it whole."""

_encoder = msgspec.json.Encoder()
_decoder: msgspec.json.Decoder[Any] = msgspec.json.Decoder(Message)


def encode(message: Any) -> bytes:
    """One message as compact JSON (UTF-8)."""
    return _encoder.encode(message)


def decode(data: bytes | str) -> Any:
    """The message in ``data``.

    Raises
    ------
    msgspec.ValidationError, msgspec.DecodeError
        If it is not a message of this protocol.
    """
    return _decoder.decode(data)


def types_of(topics: Iterable[str]) -> frozenset[str]:
    """The types that some topics (groups or types) stand for.

    Raises
    ------
    ValueError
        If one of them is neither; the text names those that there are.
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
    """The message that tells a record whole: its fields, and the common ones. `item_of` is the way back.

    Parameters
    ----------
    record
        A record that has a message: an item, a session, a progress, a runtime or a warning.
    **common
        ``seq``, ``session_id``, ``timestamp``; for a warning ``cleared`` too.
    """
    return MESSAGES[type(record)](**msgspec.structs.asdict(record), **common)


def item_of(event: Any) -> Any:
    """The record inside a message that `message_of` makes, without the common fields."""
    cls = event.ITEM
    fields = msgspec.structs.asdict(event)
    return cls(**{name: fields[name] for name in cls.__struct_fields__})

"""The items of a build (components, features, tasks, phases, checkpoints …) as typed records.

Pure data: no files, no clock, no sockets. Every time is an aware UTC ``datetime``; every percentage is a float from
0 to 100. ``None`` (or an empty list) means *not known*, never zero. The fields are those of the wire protocol, so an
item, its message and its row in a snapshot have the same shape.

On the wire a field made by `always` is always present; clients of the first edition rely on that. The fields that were
added later have plain defaults and are left out while they have them, so an item costs only what is known of it.
"""

from __future__ import annotations

from datetime import datetime
from enum import Enum, StrEnum
from typing import Any, TypeVar, cast

import msgspec

__all__ = [
    "FIRST_TIME",
    "LAST_TIME",
    "Activity",
    "BuildStatus",
    "BuildWarning",
    "ChecklistTask",
    "Checkpoint",
    "Component",
    "ContextFile",
    "Counts",
    "Feature",
    "FileAction",
    "Phase",
    "PhaseStep",
    "Progress",
    "Runtime",
    "Session",
    "State",
    "Status",
    "Task",
    "Terminal",
    "TerminalLine",
    "TsSource",
    "always",
]


#: The earliest and the latest valid time. Beyond them a time cannot be converted to the local time of every zone.
FIRST_TIME = datetime(1, 1, 3)  # noqa: DTZ001
LAST_TIME = datetime(9999, 12, 29)  # noqa: DTZ001


class Status(StrEnum):
    """The status of one item. The word in the file is kept as ``status_raw``."""

    NOT_STARTED = "not_started"
    IN_PROGRESS = "in_progress"
    COMPLETED = "completed"
    ERROR = "error"
    BLOCKED = "blocked"
    SKIPPED = "skipped"
    CANCELLED = "cancelled"
    PAUSED = "paused"
    UNKNOWN = "unknown"


class BuildStatus(StrEnum):
    """The status of one file or of the whole build."""

    PENDING = "pending"
    IN_PROGRESS = "in_progress"
    COMPLETED = "completed"
    FAILED = "failed"
    UNKNOWN = "unknown"


class TsSource(StrEnum):
    """The source of a time, from the most to the least reliable."""

    FILE = "file"  # written with a zone
    ASSUMED_LOCAL = "assumed_local"  # written without one
    ASSUMED_UTC = "assumed_utc"  # written without one; as local time it would lie after the file was written
    FILENAME = "filename"  # read from the checkpoint's id
    MTIME = "mtime"  # the file's modification time


_T = TypeVar("_T")


def always(default: _T) -> _T:
    """Declare a field of a `_Growing` record that is on the wire even while it has its default.

    msgspec leaves out a plain default, but not the result of a factory.
    """
    factory: Any
    if isinstance(default, list | dict):
        factory = cast("list[Any]", default).copy
    elif isinstance(default, Enum):
        factory = lambda: default  # noqa: E731 (an enum has no factory of its own)
    else:
        factory = type(default)  # the default is that of the type: "", 0, 0.0, False or None
    return msgspec.field(default_factory=factory)


class _Record(msgspec.Struct, kw_only=True):
    """Base of all records: keyword-only, compared by value."""


class _Growing(_Record, omit_defaults=True):
    """Base of the records that have got fields since the first edition: a plain default is left out on the wire."""


class ChecklistTask(_Growing):
    """One line of a feature's checklist. ``status`` is None if only its box is known."""

    id: str
    name: str = always("")
    completed: bool = always(False)
    timestamp: datetime | None = always(None)
    status: Status | None = None


class Component(_Growing):
    """A component of the product that is built, or a plan (``component_type`` is the word of its system).

    ``status_source`` names the rule and the file that determined ``status``; ``conflict`` says in a sentence what else
    said otherwise.
    """

    component_id: str
    name: str = always("")
    component_type: str | None = always(None)
    status: Status = always(Status.UNKNOWN)
    status_raw: str | None = always(None)
    progress: float = always(0.0)
    files: list[str] = always([])
    dependencies: list[str] = always([])
    tests_pass: bool | None = always(None)
    started_at: datetime | None = always(None)
    ended_at: datetime | None = always(None)
    error: str | None = always(None)
    metadata: dict[str, Any] = always({})
    status_source: str | None = None
    conflict: str | None = None
    created_at: datetime | None = None


class FileAction(_Record):
    """A file that a feature touches, and what it does to it.

    ``action`` is in lower case: new, modify, delete, append, create, rewrite, or another word of the plan.
    """

    path: str
    action: str | None = None


class Feature(_Growing):
    """A feature of the product, or a phase of a plan (``feature_type`` is the word of its system).

    It belongs to a component and may have a checklist. ``owner`` (a host or an agent) claimed it at ``claimed_at``, and
    gave its newest sign of life at ``heartbeat_at``. ``status_source`` names the rule and the file that determined
    ``status``; ``conflict`` says in a sentence what else said otherwise.
    """

    feature_id: str
    name: str = always("")
    description: str | None = always(None)
    component_id: str | None = always(None)
    status: Status = always(Status.UNKNOWN)
    status_raw: str | None = always(None)
    progress: float = always(0.0)
    priority: str | None = always(None)
    tasks: list[ChecklistTask] = always([])
    dependencies: list[str] = always([])
    estimated_minutes: float | None = always(None)
    actual_minutes: float | None = always(None)
    error: str | None = always(None)
    metadata: dict[str, Any] = always({})
    feature_type: str | None = None
    files: list[FileAction] = []
    owner: str | None = None
    claimed_at: datetime | None = None
    heartbeat_at: datetime | None = None
    status_source: str | None = None
    conflict: str | None = None


class Task(_Record):
    """A unit of work of an orchestrator, a workflow or an agent pool (``kind``)."""

    task_id: str
    name: str = ""
    kind: str = "orchestration"
    parent_id: str | None = None
    status: Status = Status.UNKNOWN
    status_raw: str | None = None
    progress: float = 0.0
    dependencies: list[str] = []
    estimated_minutes: float | None = None
    started_at: datetime | None = None
    completed_at: datetime | None = None
    duration_ms: float | None = None
    retry_count: int | None = None
    error: str | None = None
    metadata: dict[str, Any] = {}


class PhaseStep(_Record):
    """One entry of a phase's history."""

    step: float | None = None
    name: str = ""
    label: str = ""
    at: datetime | None = None
    status: str | None = None


class Phase(_Growing):
    """A piece of work in execution, from its lock files. It names the component and the feature that it works on.

    ``exit_code`` and ``exit_at`` are those of a process that said how it ended; None if none did.
    """

    phase_id: str
    name: str = always("")
    step: float | None = always(None)
    step_label: str | None = always(None)
    status: Status = always(Status.UNKNOWN)
    status_raw: str | None = always(None)
    tasks_total: int | None = always(None)
    tasks_done: int | None = always(None)
    current_task: str | None = always(None)
    errors: list[str] = always([])
    warnings: list[str] = always([])
    history: list[PhaseStep] = always([])
    started_at: datetime | None = always(None)
    updated_at: datetime | None = always(None)
    metadata: dict[str, Any] = always({})
    component_id: str | None = None
    feature_id: str | None = None
    owner: str | None = None
    mode: str | None = None
    claimed_at: datetime | None = None
    heartbeat_at: datetime | None = None
    exit_code: int | None = None
    exit_at: datetime | None = None


class Checkpoint(_Record):
    """One checkpoint file. ``status`` is that of the checkpoint (created, active, rolled_back), not of the build.

    ``version`` counts the contents seen of this file, from 1.
    """

    checkpoint_id: str
    phase: str | None = None
    tasks_completed: list[str] = []
    files_created: list[str] = []
    status: str | None = None
    version: int = 1
    created_at: datetime | None = None
    ts_source: TsSource = TsSource.MTIME
    metadata: dict[str, Any] = {}


class Counts(_Growing):
    """The numbers of items in the whole build, including those that the windows of `State` leave out.

    ``by_type`` counts components and features by their type, where one is given: ``{"plan": 3, "phase": 21}``.
    """

    components: int = always(0)
    features: int = always(0)
    tasks: int = always(0)
    phases: int = always(0)
    checkpoints: int = always(0)
    files: int = always(0)
    warnings: int = always(0)
    by_type: dict[str, int] = {}


class Session(_Growing):
    """The build as a whole. ``status_source`` names the rule and the file that determined ``status``.

    ``present`` are the ids of the components that are built now. ``evidence_at`` is the time of the newest sign of life
    and ``evidence`` says what it is. ``silent_after`` is how long the rhythm of this build explains a silence, in
    seconds.
    """

    project: str = always("")
    status: BuildStatus = always(BuildStatus.UNKNOWN)
    status_source: str = always("")
    phase: str | None = always(None)
    started_at: datetime | None = always(None)
    ended_at: datetime | None = always(None)
    counts: Counts = msgspec.field(default_factory=Counts)
    system: str | None = None
    present: list[str] = []
    evidence_at: datetime | None = None
    evidence: str | None = None
    silent_after: float | None = None


class Progress(_Growing):
    """The progress of the build. ``percent`` is None, not zero, when it is not known.

    ``low`` and ``high`` are the range that running work leaves, in percent: without it and with all of it done.
    """

    total: int | None = always(None)
    completed: int | None = always(None)
    percent: float | None = always(None)
    status: BuildStatus = always(BuildStatus.UNKNOWN)
    current_component: str | None = always(None)
    current_feature: str | None = always(None)
    low: float | None = None
    high: float | None = None


class TerminalLine(_Record):
    """One line of output; ``line`` counts from 1."""

    line: int
    text: str
    output_type: str = "stdout"
    source: str | None = None


class Terminal(_Record):
    """The newest lines of output (at most 500)."""

    first_line: int = 1
    next_line: int = 1
    tail: list[TerminalLine] = []


class ContextFile(_Record):
    """A markdown file of the build's context."""

    file_path: str
    modified: datetime | None = None
    size: int | None = None


class Runtime(_Record):
    """The agent runtime that does the work."""

    runtime: str | None = None
    backend: str | None = None
    runtime_source: str | None = None
    runtime_session_id: str | None = None
    capabilities: list[str] = []
    dispatch_mode: str | None = None
    shadow_runtime: str | None = None
    shadow_status: str | None = None


class BuildWarning(_Record):
    """A problem with a file. There is at most one per file and code."""

    file_path: str
    code: str
    message: str


class Activity(_Record):
    """One line of what happened to an item.

    ``kind``: claimed, released, completed, failed, reopened, added, removed, decision, review or rolled_back; an
    unknown one is kept as it was written. ``item`` is the id of the item, ``source`` the file that says so.
    """

    kind: str
    text: str = ""
    time: datetime | None = None
    item: str | None = None
    source: str | None = None


class State(_Growing):
    """The current state of a build, as a snapshot contains it.

    Lists are sorted by id; checkpoints by time, then id, the newest 200; warnings by file and code, the first 200;
    activity in the order of its arrival, the newest 200. ``updated_at`` is the time of the newest message that was
    folded in.
    """

    session: Session = msgspec.field(default_factory=Session)
    components: list[Component] = always([])
    features: list[Feature] = always([])
    tasks: list[Task] = always([])
    phases: list[Phase] = always([])
    checkpoints: list[Checkpoint] = always([])
    progress: Progress = msgspec.field(default_factory=Progress)
    terminal: Terminal = msgspec.field(default_factory=Terminal)
    context: list[ContextFile] = always([])
    runtime: Runtime | None = always(None)
    warnings: list[BuildWarning] = always([])
    updated_at: datetime | None = always(None)
    activity: list[Activity] = []

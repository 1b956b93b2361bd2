"""The items of a build (components, features, tasks, phases, checkpoints …) as typed records.

Pure data: no files, no clock, no sockets. Every time is an aware UTC ``datetime``; every percentage is a float from
0 to 100. ``None`` (or an empty list) means *not known*, never zero. The fields are those of the wire protocol, so an
item, its message and its row in a snapshot have the same shape.
"""

from __future__ import annotations

from datetime import datetime
from enum import StrEnum
from typing import Any

import msgspec

__all__ = [
    "FIRST_TIME",
    "LAST_TIME",
    "BuildStatus",
    "BuildWarning",
    "ChecklistTask",
    "Checkpoint",
    "Component",
    "ContextFile",
    "Counts",
    "Feature",
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


class _Record(msgspec.Struct, kw_only=True):
    """Base of all records: keyword-only, compared by value."""


class ChecklistTask(_Record):
    """One line of a feature's checklist."""

    id: str
    name: str = ""
    completed: bool = False
    timestamp: datetime | None = None


class Component(_Record):
    """A component of the product that is built."""

    component_id: str
    name: str = ""
    component_type: str | None = None
    status: Status = Status.UNKNOWN
    status_raw: str | None = None
    progress: float = 0.0
    files: list[str] = []
    dependencies: list[str] = []
    tests_pass: bool | None = None
    started_at: datetime | None = None
    ended_at: datetime | None = None
    error: str | None = None
    metadata: dict[str, Any] = {}


class Feature(_Record):
    """A feature of the product. It belongs to a component and may have a checklist."""

    feature_id: str
    name: str = ""
    description: str | None = None
    component_id: str | None = None
    status: Status = Status.UNKNOWN
    status_raw: str | None = None
    progress: float = 0.0
    priority: str | None = None
    tasks: list[ChecklistTask] = []
    dependencies: list[str] = []
    estimated_minutes: float | None = None
    actual_minutes: float | None = None
    error: str | None = None
    metadata: dict[str, Any] = {}


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


class Phase(_Record):
    """A phase of the build plan, from its lock file."""

    phase_id: str
    name: str = ""
    step: float | None = None
    step_label: str | None = None
    status: Status = Status.UNKNOWN
    status_raw: str | None = None
    tasks_total: int | None = None
    tasks_done: int | None = None
    current_task: str | None = None
    errors: list[str] = []
    warnings: list[str] = []
    history: list[PhaseStep] = []
    started_at: datetime | None = None
    updated_at: datetime | None = None
    metadata: dict[str, Any] = {}


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


class Counts(_Record):
    """The numbers of items in the whole build, including those that the windows of `State` leave out."""

    components: int = 0
    features: int = 0
    tasks: int = 0
    phases: int = 0
    checkpoints: int = 0
    files: int = 0
    warnings: int = 0


class Session(_Record):
    """The build as a whole. ``status_source`` names the rule and the file that determined ``status``."""

    project: str = ""
    status: BuildStatus = BuildStatus.UNKNOWN
    status_source: str = ""
    phase: str | None = None
    started_at: datetime | None = None
    ended_at: datetime | None = None
    counts: Counts = msgspec.field(default_factory=Counts)


class Progress(_Record):
    """The progress of the build. ``percent`` is None, not zero, when it is not known."""

    total: int | None = None
    completed: int | None = None
    percent: float | None = None
    status: BuildStatus = BuildStatus.UNKNOWN
    current_component: str | None = None
    current_feature: str | None = None


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


class State(_Record):
    """The current state of a build, as a snapshot contains it.

    Lists are sorted by id; checkpoints by time, then id, the newest 200; warnings by file and code, the first 200.
    ``updated_at`` is the time of the newest message that was folded in.
    """

    session: Session = msgspec.field(default_factory=Session)
    components: list[Component] = []
    features: list[Feature] = []
    tasks: list[Task] = []
    phases: list[Phase] = []
    checkpoints: list[Checkpoint] = []
    progress: Progress = msgspec.field(default_factory=Progress)
    terminal: Terminal = msgspec.field(default_factory=Terminal)
    context: list[ContextFile] = []
    runtime: Runtime | None = None
    warnings: list[BuildWarning] = []
    updated_at: datetime | None = None

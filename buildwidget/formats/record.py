"""The parsed content of one file, the same for every shape: the input of `buildwidget.merge`."""

from __future__ import annotations

from datetime import datetime
from enum import StrEnum
from typing import Final

import msgspec

from ..model import (
    BuildStatus,
    Checkpoint,
    Component,
    Feature,
    Phase,
    Runtime,
    Status,
    Task,
    TsSource,
)

__all__ = ["UNKNOWN_WORD", "ItemWarning", "Record", "Shape", "Tally"]


#: The code of the warning about a status word that is not in the table of `buildwidget.words`.
UNKNOWN_WORD: Final = "unknown_word"


class Shape(StrEnum):
    """The kinds of file a BuildRunner project holds."""

    CHECKPOINT = "checkpoint"  # A
    ORCHESTRATION = "orchestration_state"  # C
    WORKFLOW = "workflow_checkpoint"  # D
    POOL = "pool_checkpoint"  # E
    RUNTIME = "runtime_checkpoint"  # F
    LOCK = "lock_progress"  # G
    FEATURES = "features"  # H
    PLAN = "orchestration"  # H
    CURRENT_PHASE = "current_phase"  # H


class ItemWarning(msgspec.Struct, frozen=True):
    """A warning about one file: its code, and a message that names the item, the field and the value found."""

    code: str
    message: str


class Tally(msgspec.Struct, kw_only=True):
    """Counts of finished work that a file states about itself. None means the file does not say."""

    total: int | None = None
    completed: int | None = None
    failed: int = 0
    skipped: int = 0
    in_progress: int = 0


class Record(msgspec.Struct, kw_only=True):
    """The parsed content of one file.

    ``path`` is relative to the project, with ``/``. ``time`` orders the sources of one item: the newest wins.
    An item's field that is None, empty or unknown is absent, and never hides the value of an older source.
    ``written`` is the file's modification time.
    ``status`` is the status derived from the file and ``status_source`` the rule that gave it (see
    `buildwidget.progress.build_status`); ``own`` is the meaning of the file's own status word, if it has one.
    """

    path: str
    shape: Shape
    time: datetime
    ts_source: TsSource
    project: str | None = None
    phase: str | None = None
    status: BuildStatus = BuildStatus.UNKNOWN
    status_source: str = ""
    written: datetime | None = None
    own: Status = Status.UNKNOWN
    percent: float | None = None
    tally: Tally | None = None
    checkpoint: Checkpoint | None = None
    components: list[Component] = []
    features: list[Feature] = []
    tasks: list[Task] = []
    phases: list[Phase] = []
    runtime: Runtime | None = None
    present_phase: str | None = None
    current_component: str | None = None
    current_feature: str | None = None
    started_at: datetime | None = None
    ended_at: datetime | None = None
    warnings: list[ItemWarning] = []

"""The parsed content of one file, the same for every shape: the input of `buildwidget.merge`."""

from __future__ import annotations

from datetime import datetime
from enum import StrEnum
from typing import Any, Final

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
from ..reading.items import Tally
from ..reading.values import ItemWarning

__all__ = ["OF_PLANS", "Record", "Shape"]


class Shape(StrEnum):
    """The kinds of file a BuildRunner project holds."""

    CHECKPOINT = "checkpoint"  # A
    ORCHESTRATION = "orchestration_state"  # C
    WORKFLOW = "workflow_checkpoint"  # D
    POOL = "pool_checkpoint"  # E
    RUNTIME = "runtime_checkpoint"  # F
    LOCK = "lock_progress"  # G
    FEATURES = "features"  # H
    BATCHES = "orchestration"  # H
    CURRENT_PHASE = "current_phase"  # H
    PLAN = "plan"
    CLAIM = "lock_claim"
    HEARTBEAT = "lock_heartbeat"
    EXIT = "lock_exit_status"
    SIDECAR = "lock_sidecar"
    JOURNAL = "decisions_log"
    SAVED = "saved_session"


#: The kinds of file that plans are judged by. Their past is `buildwidget.history.PlanHistory`.
OF_PLANS: Final = frozenset(
    {Shape.PLAN, Shape.CLAIM, Shape.HEARTBEAT, Shape.EXIT, Shape.SIDECAR, Shape.JOURNAL, Shape.SAVED}
)


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
    detail: Any = None

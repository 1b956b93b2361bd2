"""The state of the simulated build, and its steps and file writes. Data only."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Any, Final

import msgspec

from .product import ComponentSpec, FeatureSpec

__all__ = ["DEFAULT", "ComponentState", "FeatureState", "Scenario", "Step", "World", "Write"]


class Scenario(StrEnum):
    """The course of a simulated build."""

    SUCCESS = "success"
    FAILURE = "failure"
    STALL = "stall"
    ROLLBACK = "rollback"
    GROWTH = "growth"
    PLAN = "plan"
    PLAN_FAILURE = "plan-failure"
    PLAN_STALL = "plan-stall"
    PLAN_ROLLBACK = "plan-rollback"
    PLAN_GROWTH = "plan-growth"

    @property
    def is_plan(self) -> bool:
        """Whether it is run from a plan, with locks; otherwise it is told by checkpoints."""
        return self.value.startswith("plan")

    @property
    def stalls(self) -> bool:
        """Whether it ends with silence."""
        return self.value.endswith("stall")


#: The scenario where none is named.
DEFAULT: Final = Scenario.PLAN


@dataclass(frozen=True)
class Write:
    """One write: the whole new content of a file, or with ``append`` the text that is added at its end.

    The content of a JSON file is encoded on demand: `write_instant` needs only the last version of each file. With
    ``remove``, the file or the folder with all that is in it is removed. ``at`` is the file's modification time, if
    that is not the time of the step.
    """

    path: str
    text: str = ""
    append: bool = False
    data: Any = None
    remove: bool = False
    at: datetime | None = None

    @property
    def content(self) -> str:
        """The text to write."""
        if self.data is None:
            return self.text
        # The same text as json.dumps(…, indent=2, ensure_ascii=False), twenty times as fast.
        return msgspec.json.format(msgspec.json.encode(self.data), indent=2).decode() + "\n"


@dataclass(frozen=True)
class Step:
    """The writes at ``minute`` of the virtual clock; ``note`` describes a milestone in one line, or is empty."""

    minute: float
    writes: tuple[Write, ...]
    note: str = ""


@dataclass
class FeatureState:
    """The state of a feature.

    ``done`` holds the time at which each task of the checklist was finished, or None; ``minutes`` is the work that the
    feature really takes, in virtual minutes (0: not drawn yet).
    """

    spec: FeatureSpec
    status: str = "pending"
    progress: float = 0.0
    done: list[datetime | None] = field(default_factory=list)
    started: datetime | None = None
    ended: datetime | None = None
    minutes: float = 0.0
    retries: int = 0
    error: str | None = None

    def __post_init__(self) -> None:
        self.done = self.done or [None] * len(self.spec.tasks)

    @property
    def duration(self) -> timedelta | None:
        """The time from start to end; None if it has not ended."""
        return self.ended - self.started if self.started and self.ended else None

    @property
    def tasks_done(self) -> int:
        """The number of finished tasks of the checklist."""
        return sum(at is not None for at in self.done)


@dataclass
class ComponentState:
    """The state of a component."""

    spec: ComponentSpec
    status: str = "pending"
    started: datetime | None = None
    ended: datetime | None = None
    tests_pass: bool | None = None
    tests: int = 0
    error: str | None = None


@dataclass
class World:
    """The whole state of the build, which a rollback restores."""

    components: dict[str, ComponentState]
    features: dict[str, FeatureState]
    phases: dict[int, str]  # pending, active, complete, failed, blocked
    phase_started: dict[int, datetime] = field(default_factory=dict[int, datetime])
    commits: int = 0

    def features_of(self, component: str) -> list[FeatureState]:
        """Return the features of a component."""
        return [state for state in self.features.values() if state.spec.component == component]

    def component_progress(self, component: str) -> float:
        """Return the mean progress of a component's features; 100 only if the component is completed."""
        if self.components[component].status == "completed":
            return 100.0
        mine = self.features_of(component)
        return min(99.0, round(sum(state.progress for state in mine) / len(mine), 1)) if mine else 0.0

    def share_done(self, total: float | None = None) -> float:
        """Return the share of the estimated work that is done, 0 to 1.

        Parameters
        ----------
        total
            The work that counts as all, in minutes; by default that of the current plan.
        """
        planned = sum(state.spec.estimate for state in self.features.values())
        done = sum(state.spec.estimate * state.progress / 100 for state in self.features.values())
        return done / (total or planned)

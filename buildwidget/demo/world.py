"""What the simulated build knows: its parts, and the writes and steps that it makes of them. Data only."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Any

import msgspec

from .product import ComponentSpec, FeatureSpec

__all__ = ["ComponentState", "FeatureState", "Scenario", "Step", "World", "Write"]


class Scenario(StrEnum):
    """What happens to the build."""

    SUCCESS = "success"
    FAILURE = "failure"
    STALL = "stall"
    ROLLBACK = "rollback"
    GROWTH = "growth"


@dataclass(frozen=True)
class Write:
    """One write: the whole new content of a file, or (``append``) what is added at its end.

    A JSON file is kept as its data and becomes text when somebody asks: the instant demo needs only the last text of
    each file.
    """

    path: str
    text: str = ""
    append: bool = False
    data: Any = None

    @property
    def content(self) -> str:
        """What is written."""
        if self.data is None:
            return self.text
        # The same text as json.dumps(…, indent=2, ensure_ascii=False), twenty times as fast.
        return msgspec.json.format(msgspec.json.encode(self.data), indent=2).decode() + "\n"


@dataclass(frozen=True)
class Step:
    """What happens at ``minute`` of the virtual clock; ``note`` is a milestone in one line, or empty."""

    minute: float
    writes: tuple[Write, ...]
    note: str = ""


@dataclass
class FeatureState:
    """A feature under way. ``done`` holds the time of each finished checklist task, ``minutes`` the work there is."""

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
    def took(self) -> timedelta | None:
        """The time from its start to its end."""
        return self.ended - self.started if self.started and self.ended else None

    @property
    def tasks_done(self) -> int:
        """How many tasks of the checklist are finished."""
        return sum(at is not None for at in self.done)


@dataclass
class ComponentState:
    """A component under way."""

    spec: ComponentSpec
    status: str = "pending"
    started: datetime | None = None
    ended: datetime | None = None
    tests_pass: bool | None = None
    tests: int = 0
    error: str | None = None


@dataclass
class World:
    """Everything that a rollback takes back."""

    components: dict[str, ComponentState]
    features: dict[str, FeatureState]
    phases: dict[int, str]  # pending, active, complete, failed, blocked
    phase_started: dict[int, datetime] = field(default_factory=dict[int, datetime])
    commits: int = 0

    def of(self, component: str) -> list[FeatureState]:
        """The features of a component."""
        return [state for state in self.features.values() if state.spec.component == component]

    def component_progress(self, component: str) -> float:
        """The mean of its features, 100 only when the component is completed."""
        if self.components[component].status == "completed":
            return 100.0
        mine = self.of(component)
        return min(99.0, round(sum(state.progress for state in mine) / len(mine), 1)) if mine else 0.0

    def share_done(self, whole: float | None = None) -> float:
        """Finished work by estimate, 0 to 1; ``whole``: of that many minutes instead of those planned by now."""
        planned = sum(state.spec.estimate for state in self.features.values())
        done = sum(state.spec.estimate * state.progress / 100 for state in self.features.values())
        return done / (whole or planned)

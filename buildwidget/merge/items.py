"""The merged items, and what is counted of them: kept up to date item by item, nothing is counted anew."""

from __future__ import annotations

from collections import Counter
from datetime import UTC, datetime
from fractions import Fraction
from typing import Any, Final, NamedTuple

from .. import progress as pg
from ..model import Status
from ..ordered import Ordered
from ..state import CHECKPOINT_WINDOW, KINDS, checkpoint_key

__all__ = ["Items", "Key", "Kind", "key_of"]

_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)


class Key(NamedTuple):
    """Which item is meant. ``kind`` is one of `buildwidget.state.KINDS`."""

    kind: str
    id: str


def key_of(item: Any) -> Key:
    """The key of a record of the model."""
    kind, id_field = KINDS[type(item)]
    return Key(kind, getattr(item, id_field))


class Kind:
    """The items of one kind: components, features, tasks or phases.

    Parameters
    ----------
    measured
        Whether `percentage` is asked for.

    Attributes
    ----------
    items
        Id → item.
    statuses
        How many items have each status.
    running
        Those in progress, by their start.
    starts
        Those that state a start, by it.
    dated, dated_running
        Those that state when they were updated, by that; and those of them in progress.
    """

    def __init__(self, *, measured: bool = False) -> None:
        self._measured = measured
        self.items: dict[str, Any] = {}
        self.statuses: Counter[Status] = Counter()
        self.running: Ordered[str] = Ordered()
        self.starts: Ordered[str] = Ordered()
        self.dated: Ordered[str] = Ordered()
        self.dated_running: Ordered[str] = Ordered()
        self._sum = Fraction()  # exact: floats added and subtracted for hours would drift
        self._counted = 0

    def replace(self, id_: str, new: Any | None) -> None:
        """Store an item; None: it is gone."""
        old = self.items.pop(id_, None) if new is None else self.items.get(id_)
        if old is not None:
            self._count(old, -1)
        if new is not None:
            self.items[id_] = new
            self._count(new, 1)
        started = getattr(new, "started_at", None)
        updated = getattr(new, "updated_at", None)
        runs = new is not None and new.status is Status.IN_PROGRESS
        self.running.put_if(id_, (started or _EPOCH) if runs else None)
        self.starts.put_if(id_, started)
        self.dated.put_if(id_, updated)
        self.dated_running.put_if(id_, updated if runs else None)

    def _count(self, item: Any, by: int) -> None:
        self.statuses[item.status] += by
        if not self.statuses[item.status]:
            del self.statuses[item.status]
        percent = pg.counted_percentage(item) if self._measured else None
        if percent is not None:
            self._sum += by * Fraction(percent)
            self._counted += by

    @property
    def percentage(self) -> float | None:
        """As `buildwidget.progress.calculate_completion_percentage`, to the last bit; None without items."""
        if not self.items:
            return None
        return float(self._sum) / self._counted if self._counted else 100.0


class Items:
    """All merged items."""

    def __init__(self) -> None:
        self.components, self.features = Kind(measured=True), Kind(measured=True)
        self.tasks, self.phases = Kind(), Kind()
        self._kinds = {
            "component": self.components,
            "feature": self.features,
            "task": self.tasks,
            "phase": self.phases,
        }
        self.checkpoints: dict[str, Any] = {}
        self._checkpoints_in_order: Ordered[str] = Ordered()
        self._types: Counter[str] = Counter()
        self._types_sorted: dict[str, int] | None = None

    def get(self, key: Key) -> Any | None:
        """The merged item; None if there is none."""
        return self._of(key.kind).get(key.id)

    def _of(self, kind: str) -> dict[str, Any]:
        return self.checkpoints if kind == "checkpoint" else self._kinds[kind].items

    def replace(self, key: Key, new: Any | None) -> bool:
        """Store an item (None: it is gone); return whether it differs from what was there."""
        old = self.get(key)
        if old == new:
            return False
        if key.kind == "checkpoint":
            self.checkpoints.pop(key.id, None)
            if new is not None:
                self.checkpoints[key.id] = new
            self._checkpoints_in_order.put_if(key.id, None if new is None else checkpoint_key(new))
            return True
        self._kinds[key.kind].replace(key.id, new)
        before, now = _type_of(old), _type_of(new)
        if before != now:
            self._types_sorted = None
            self._types.update([now] if now else [])
            self._types.subtract([before] if before else [])
        return True

    @property
    def counts(self) -> dict[str, int]:
        """How many items of each kind: ``components``, ``features``, …"""
        return {f"{kind}s": len(self._of(kind)) for kind, _ in KINDS.values()}

    @property
    def by_type(self) -> dict[str, int]:
        """How many components and features have each type. Not to be mutated."""
        if self._types_sorted is None:
            self._types = +self._types
            self._types_sorted = dict(sorted(self._types.items()))
        return self._types_sorted

    @property
    def newest_checkpoints(self) -> list[Any]:
        """The checkpoints that fit into the fold's window, oldest first."""
        return [self.checkpoints[id_] for id_ in self._checkpoints_in_order.newest(CHECKPOINT_WINDOW)]


def _type_of(item: Any | None) -> str | None:
    return getattr(item, "component_type", None) or getattr(item, "feature_type", None) or None

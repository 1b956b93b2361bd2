"""Who says what of each item, and what follows from it for the item."""

from __future__ import annotations

from collections import Counter
from datetime import datetime
from enum import IntEnum
from typing import TYPE_CHECKING, Any, Final, NamedTuple

import msgspec

from ..errors import PublishError
from ..model import Checkpoint
from ..state import KINDS, Delta
from ..systems.record import Shape
from .items import Items, Key, key_of
from .overlay import amended, overlaid

if TYPE_CHECKING:
    from collections.abc import Iterable

    from ..publish import ItemNews

__all__ = ["Said", "Source", "SourceKind", "Sources", "in_order"]

_MAX_PUBLISHED: Final = 10_000  # items that exist only in publications
_RANK: Final = {Shape.CHECKPOINT: 3, Shape.FEATURES: 2, Shape.ORCHESTRATION: 1}


class SourceKind(IntEnum):
    """The kinds of source. Of two that say something at the same time with the same rank, the higher one wins."""

    BUILD = 0  # a plan and its phases, as decided from plan and locks
    CHOSEN = 1  # the checkpoint that all components, or all features, come from
    LOCKS = 2  # the locks of a build, or those of none
    FILE = 3


class Source(NamedTuple):
    """Where an item comes from: a file by its path, a build by its id."""

    kind: SourceKind
    name: str


class Said(NamedTuple):
    """One source's version of one item, with its time and rank: the newest wins, then the highest rank."""

    time: datetime
    rank: int
    item: Any


def in_order(item: Any) -> tuple[int, Any, str]:
    """Return the sort key of an item in a batch: by kind, then time (checkpoints only), then id."""
    key = key_of(item)
    rank = ("phase", "component", "feature", "task", "checkpoint").index(key.kind)
    at = item.created_at.timestamp() if isinstance(item, Checkpoint) and item.created_at else 0.0
    return (rank, at, key.id)


class Sources:
    """What every source says of every item; and what is published, which is newer than all of them.

    Parameters
    ----------
    items
        Where the merged items are kept.
    """

    def __init__(self, items: Items) -> None:
        self._items = items
        self._said: dict[Key, dict[Source, Said]] = {}
        self._by_source: dict[Source, set[Key]] = {}
        self._published: dict[Key, Any] = {}
        self._amended: set[Key] = set()  # published items that a source contains too: removed with it
        self._only_published = 0
        self._versions: Counter[str] = Counter()

    def replace(
        self, source: Source, said: Iterable[tuple[Any, datetime]], touched: set[Key], shape: Shape | None = None
    ) -> None:
        """Replace all items of a source, each given with its time, and note those that may differ in ``touched``."""
        rank = 0 if shape is None else _RANK.get(shape, 0)
        now: set[Key] = set()
        for item, time in said:
            key = key_of(item)
            now.add(key)
            of_item = self._said.setdefault(key, {})
            before = of_item.get(source)
            if before is not None and before.item == item and (before.time, before.rank) == (time, rank):
                continue
            of_item[source] = Said(time, rank, item)
            touched.add(key)
            if key in self._published and (before is None or before.item != item):
                self._published[key] = amended(self._published[key], before.item if before else None, item)
        for key in self._by_source.get(source, set()) - now:
            of_item = self._said[key]
            del of_item[source]
            if not of_item:
                del self._said[key]
                if key in self._amended:
                    self._amended.discard(key)
                    del self._published[key]
            touched.add(key)
        if now:
            self._by_source[source] = now
        else:
            self._by_source.pop(source, None)

    def publish(self, news: ItemNews, now: datetime) -> Key:
        """Apply a published item. Raises `PublishError` beyond 10,000 items that no file contains."""
        kind, id_field = KINDS[news.item]
        key = Key(kind, news.id)
        present = self._items.get(key)
        changes = dict(news.changes)
        if present is None:
            if self._only_published >= _MAX_PUBLISHED:
                raise PublishError(
                    f"this build has {_MAX_PUBLISHED:,} published items, the most allowed; reuse their ids"
                )
            present = news.item(**{id_field: news.id})
        if "metadata" in changes:
            changes["metadata"] = {**present.metadata, **changes["metadata"]}
        if news.item is Checkpoint:
            changes.setdefault("created_at", present.created_at or now)
        elif (
            "error" not in changes
            and hasattr(present, "error")
            and changes.get("status", present.status) != present.status
        ):
            changes["error"] = None  # an error goes with the status that it explains
        if key not in self._published:
            if key in self._said:
                self._amended.add(key)
            else:
                self._only_published += 1
        self._published[key] = msgspec.structs.replace(present, **changes)
        return key

    def resolve(self, touched: Iterable[Key], delta: Delta) -> None:
        """Merge these items anew, and add to ``delta`` those that differ."""
        for key in sorted(touched):
            merged = self._merged(key)
            if isinstance(merged, Checkpoint):
                before = self._items.get(key)
                if before is None or msgspec.structs.replace(before, version=1) != merged:
                    self._versions[key.id] += 1
                merged = msgspec.structs.replace(merged, version=self._versions[key.id])
            if self._items.replace(key, merged):
                if merged is None:
                    delta.removed.append(key)
                else:
                    delta.items.append(merged)
        delta.items.sort(key=in_order)

    def _merged(self, key: Key) -> Any | None:
        if key in self._published:
            return self._published[key]
        said = self._said.get(key)
        if not said:
            return None
        ordered = sorted(said.items(), key=lambda pair: (pair[1].time, pair[1].rank, pair[0]))
        item = ordered[-1][1].item
        if len(ordered) > 1 and not isinstance(item, Checkpoint):
            item = ordered[0][1].item
            for _, one in ordered[1:]:
                item = overlaid(item, one.item)
        return item

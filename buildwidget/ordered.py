"""Keys kept in order of a rank, so that the first, the last and the newest of many are found without sorting. Pure."""

from __future__ import annotations

from bisect import bisect_left, insort
from typing import Any, Generic, TypeVar

__all__ = ["Ordered"]

K = TypeVar("K")


class Ordered(Generic[K]):
    """Keys, each with a rank, in the order of rank and key. Every operation costs about the same for any number.

    Ranks must be comparable with each other, and so must keys.
    """

    def __init__(self) -> None:
        self._rank: dict[K, Any] = {}
        self._order: list[tuple[Any, Any]] = []  # (rank, key)

    def __len__(self) -> int:
        return len(self._order)

    def __contains__(self, key: object) -> bool:
        return key in self._rank

    def put(self, key: K, rank: Any) -> None:
        """Add a key, or move it to another rank."""
        before = self._rank.get(key)
        if before is not None:
            if before == rank:
                return
            self.drop(key)
        self._rank[key] = rank
        insort(self._order, (rank, key))

    def drop(self, key: K) -> None:
        """Remove a key, if it is here."""
        rank = self._rank.pop(key, None)
        if rank is not None:
            del self._order[bisect_left(self._order, (rank, key))]

    def put_if(self, key: K, rank: Any | None) -> None:
        """Add or move a key; remove it if its rank is None."""
        if rank is None:
            self.drop(key)
        else:
            self.put(key, rank)

    @property
    def keys(self) -> list[K]:
        """All keys, in order."""
        return [key for _, key in self._order]

    @property
    def last(self) -> K | None:
        """The key with the highest rank; None if there is no key."""
        return self._order[-1][1] if self._order else None

    @property
    def first(self) -> K | None:
        """The key with the lowest rank; None if there is no key."""
        return self._order[0][1] if self._order else None

    @property
    def highest(self) -> Any | None:
        """The highest rank; None if there is no key."""
        return self._order[-1][0] if self._order else None

    @property
    def lowest(self) -> Any | None:
        """The lowest rank; None if there is no key."""
        return self._order[0][0] if self._order else None

    def since(self, rank: Any) -> list[K]:
        """The keys of this rank and higher ones, in order."""
        return [key for _, key in self._order[bisect_left(self._order, (rank,)) :]]

    def oldest(self, count: int) -> list[K]:
        """The keys with the ``count`` lowest ranks, in order."""
        return [key for _, key in self._order[:count]]

    def newest(self, count: int) -> list[K]:
        """The keys with the ``count`` highest ranks, in order."""
        return [key for _, key in self._order[-count:]] if count else []

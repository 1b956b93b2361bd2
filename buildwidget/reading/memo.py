"""A cache of parsed items, for files that are rewritten with few changes."""

from __future__ import annotations

from typing import Any, Final

import msgspec

from .markdown import Sections

__all__ = ["Memo"]

_mark: Final = msgspec.msgpack.Encoder().encode


class Memo:
    """A cache of parsed items: most items of a file are the same in its next version.

    Items are never mutated, so one item may be returned many times. An item that caused a warning is not cached: it is
    parsed again each time, so that the warning is given each time.

    Parameters
    ----------
    limit
        The most items to hold. A new item beyond the limit empties the cache first.
    """

    def __init__(self, limit: int = 20_000) -> None:
        self._limit = limit
        self.sections = Sections()
        self._items: dict[tuple[object, ...], tuple[bytes, Any]] = {}

    @staticmethod
    def mark(entry: dict[str, Any]) -> bytes | None:
        """Encode an entry for a type-exact comparison (1, 1.0 and True differ); None if it cannot be encoded."""
        try:
            return _mark(entry)
        except (OverflowError, RecursionError):  # an integer of more than 64 bits; nested too deeply
            return None

    def get(self, key: tuple[object, ...], mark: bytes) -> Any | None:
        """Return the item cached under ``key`` if its entry had this mark, else None."""
        known = self._items.get(key)
        return known[1] if known is not None and known[0] == mark else None

    def put(self, key: tuple[object, ...], mark: bytes, item: Any) -> None:
        """Cache an item under ``key``, with the mark of the entry that it was parsed from."""
        if len(self._items) >= self._limit and key not in self._items:
            self._items.clear()
        self._items[key] = (mark, item)

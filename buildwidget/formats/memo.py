"""Items that were read before, of a file that is written again and again."""

from __future__ import annotations

from typing import Any, Final

import msgspec

__all__ = ["Memo"]

_mark: Final = msgspec.msgpack.Encoder().encode


class Memo:
    """Items that were read before: of a file that is written again and again, little changes from one time to the next.

    An item is never changed once it is made, so the same one may be given out again. What had a warning is not kept:
    it is read, and warned of, each time.

    Parameters
    ----------
    limit
        The number of items to keep. When there are more, all are forgotten: those still in use soon come back.
    """

    def __init__(self, limit: int = 20_000) -> None:
        self._limit = limit
        self._items: dict[tuple[object, ...], tuple[bytes, Any]] = {}

    @staticmethod
    def mark(entry: dict[str, Any]) -> bytes | None:
        """What tells an entry from any other: for Python 1, 1.0 and True are equal. None if it cannot be told."""
        try:
            return _mark(entry)
        except (OverflowError, RecursionError):  # an integer of more than 64 bits; nested too deeply
            return None

    def get(self, key: tuple[object, ...], mark: bytes) -> Any | None:
        """The item that was made of an entry with this mark."""
        known = self._items.get(key)
        return known[1] if known is not None and known[0] == mark else None

    def keep(self, key: tuple[object, ...], mark: bytes, item: Any) -> None:
        """Remember an item."""
        if len(self._items) >= self._limit and key not in self._items:
            self._items.clear()
        self._items[key] = (mark, item)

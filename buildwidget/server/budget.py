"""How much memory all clients of a server may hold together.

A client's own share is bounded by its writer. What many share is bounded here: the versions of a big state that slow
clients still read, and, where a server takes only whole messages, the copies that it makes of them.
"""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import threading
from collections import deque
from collections.abc import AsyncGenerator, Callable
from typing import Any, Final, Protocol
from weakref import WeakSet

__all__ = ["LIMIT", "Budget", "Holder", "Version"]

LIMIT: Final = 64 * 2**20  # bytes


class Holder(Protocol):
    """A client that still reads a version."""

    def give_up(self) -> None:
        """End the client now; from any thread."""
        ...


class Version:
    """An encoded state that clients read at their own speed. It lives as long as somebody refers to it."""

    def __init__(self) -> None:
        self.size = 0
        self.number = 0  # by age
        self.holders: WeakSet[Any] = WeakSet()


class Budget:
    """Counts what is held; makes room, or makes those wait who want more. May be used from any thread."""

    def __init__(self, limit: int = LIMIT) -> None:
        self.limit = limit
        self._lock = threading.Lock()
        self._versions: WeakSet[Version] = WeakSet()
        self._numbers = itertools.count()
        self._used = 0
        self._waiting: deque[tuple[int, Callable[[], object]]] = deque()

    # -- versions of a state --------------------------------------------------------------------------------------

    @property
    def held(self) -> int:
        """Bytes of all versions that somebody refers to."""
        with self._lock:
            return sum(version.size for version in self._versions)

    def is_tight(self, more: int) -> bool:
        """Whether a further version of that size would be too much."""
        return self.held + more > self.limit

    def admit(self, version: Version) -> None:
        """Count a new version. If that is too much, those that have read an old one for longest are given up."""
        with self._lock:
            others = sorted((one for one in self._versions if one is not version), key=lambda one: one.number)
            version.number = next(self._numbers)
            self._versions.add(version)
            total = version.size + sum(one.size for one in others)
        for old in others:
            if total <= self.limit:
                return
            holders: list[Holder] = list(old.holders)
            for holder in holders:
                holder.give_up()
            if holders:
                total -= old.size

    # -- whole messages -------------------------------------------------------------------------------------------

    @contextlib.asynccontextmanager
    async def whole(self, size: int) -> AsyncGenerator[None]:
        """Hold ``size`` bytes; first come, first served. More than there is at all is let through alone."""
        size = min(size, self.limit)
        await self._take(size)
        try:
            yield
        finally:
            self._give_back(size)

    async def _take(self, size: int) -> None:
        loop = asyncio.get_running_loop()
        with self._lock:
            if not self._waiting and self._used + size <= self.limit:
                self._used += size
                return
            turn: asyncio.Future[None] = loop.create_future()

            def wake() -> None:
                if turn.cancelled():  # it did not wait for its turn
                    self._give_back(size)
                else:
                    turn.set_result(None)

            entry: tuple[int, Callable[[], object]] = (size, lambda: loop.call_soon_threadsafe(wake))
            self._waiting.append(entry)
        try:
            await turn
        except asyncio.CancelledError:
            with self._lock:
                queued = entry in self._waiting
                if queued:
                    self._waiting.remove(entry)
            if not queued and turn.done() and not turn.cancelled():
                self._give_back(size)
            raise

    def _give_back(self, size: int) -> None:
        ready: list[Callable[[], object]] = []
        with self._lock:
            self._used -= size
            while self._waiting and self._used + self._waiting[0][0] <= self.limit:
                more, wake = self._waiting.popleft()
                self._used += more
                ready.append(wake)
        for wake in ready:
            with contextlib.suppress(RuntimeError):  # its loop is closed
                wake()

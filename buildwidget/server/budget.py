"""A limit on the memory that all clients of a server hold together.

A client's own buffer is bounded by its writer. This bounds what they share: the versions of a big state that slow
clients are still reading, and, on servers that accept only whole messages, the copies that they make.
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
    """A client that is still reading a version."""

    def evict(self) -> None:
        """Disconnect the client now. May be called from any thread."""
        ...


class Version:
    """An encoded state that clients read at their own speed; it is freed with the last reference to it."""

    def __init__(self) -> None:
        self.size = 0
        self.number = 0  # in order of creation
        self.holders: WeakSet[Any] = WeakSet()


class Budget:
    """Counts the bytes held; evicts slow clients or makes new requests wait. May be used from any thread."""

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
        """Bytes of all versions that are still referenced."""
        with self._lock:
            return sum(version.size for version in self._versions)

    def is_tight(self, more: int) -> bool:
        """Return whether another version of ``more`` bytes would exceed the limit."""
        return self.held + more > self.limit

    def admit(self, version: Version) -> None:
        """Count a new version. If the limit is exceeded, evict the clients that read the oldest versions."""
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
                holder.evict()
            if holders:
                total -= old.size

    # -- whole messages -------------------------------------------------------------------------------------------

    @contextlib.asynccontextmanager
    async def reserve(self, size: int) -> AsyncGenerator[None]:
        """Reserve ``size`` bytes in first-come order. A request above the limit gets through alone."""
        size = min(size, self.limit)
        await self._acquire(size)
        try:
            yield
        finally:
            self._release(size)

    async def _acquire(self, size: int) -> None:
        loop = asyncio.get_running_loop()
        with self._lock:
            if not self._waiting and self._used + size <= self.limit:
                self._used += size
                return
            turn: asyncio.Future[None] = loop.create_future()

            def wake() -> None:
                if turn.cancelled():  # the waiter was cancelled before its turn
                    self._release(size)
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
                self._release(size)
            raise

    def _release(self, size: int) -> None:
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

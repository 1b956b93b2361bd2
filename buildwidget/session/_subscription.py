"""Subscriptions to a session's messages: each reads the log at its own pace, and is woken by new messages."""

from __future__ import annotations

import asyncio
import contextlib
from collections import deque
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Self

from .. import events as ev
from ..bridge import Bridge

if TYPE_CHECKING:
    from ._session import BuildSession

__all__ = ["Subscription", "Waker"]


class Subscription:
    """An async iterator over the messages of a session after sequence number ``at``. It needs no closing."""

    def __init__(self, session: BuildSession, at: int) -> None:
        self._session, self._at = session, at
        self._ready: deque[Any] = deque()
        self._waker: Waker | None = None

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> Any:
        session = self._session
        waker = self._waker = self._waker or session.waker()
        while not self._ready:
            waker.clear()
            rows = session.since(self._at, 1_000)
            if rows is None:
                self._skip()
            elif rows:
                self._ready.extend(row.event for row in rows)
                self._at = rows[-1].event.seq
            elif session.closed:
                raise StopAsyncIteration
            else:
                await waker.wait(None)
        return self._ready.popleft()

    def _skip(self) -> None:
        seq, state = self._session.snapshot_at()
        common: dict[str, Any] = {"session_id": self._session.session_id, "timestamp": datetime.now(UTC)}
        first = self._at + 1 if self._at <= seq else None
        self._ready.append(ev.Gap(from_seq=first, to_seq=seq, reason="log_exceeded", **common))
        self._ready.append(ev.Snapshot(epoch=self._session.epoch, seq=seq, state=state, **common))
        self._at = seq


class Waker:
    """Wakes one task of the running event loop (asyncio or trio) from any thread."""

    def __init__(self) -> None:
        self._bridge = Bridge()
        self._trio: Any = None
        if self._bridge.library == "trio":
            import trio

            self._trio = trio
        self._event: Any = self._trio.Event() if self._trio else asyncio.Event()

    def wake(self) -> None:
        """Wake the task. From any thread; without effect when its loop has ended."""
        self._bridge.post(self._set)

    def _set(self) -> None:
        self._event.set()

    def clear(self) -> None:
        if self._trio:
            if self._event.is_set():
                self._event = self._trio.Event()
        else:
            self._event.clear()

    async def wait(self, timeout: float | None) -> None:
        if self._trio:
            with self._trio.move_on_after(timeout if timeout is not None else float("inf")):
                await self._event.wait()
        else:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(timeout):
                    await self._event.wait()

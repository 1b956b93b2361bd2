"""The event loop that callbacks run in: asyncio or trio, reached from the watcher's thread."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import anyio

from ..bridge import Bridge

__all__ = ["Host"]


class Host:
    """One background task in the running event loop, and a way to call into that loop from any thread.

    Create it in the loop. The task ends with `stop`, or with the loop.
    """

    def __init__(self) -> None:
        self.started = anyio.Event()
        self._finished = anyio.Event()
        self._scope = anyio.CancelScope()
        self._task_id: int | None = None
        self._task: asyncio.Task[None] | None = None  # asyncio itself keeps no strong reference
        self._bridge = Bridge()

    def post(self, function: Callable[[], object]) -> bool:
        """Call a function in the loop, soon. From any thread. False when the loop has ended."""
        return self._bridge.post(function)

    def spawn(self, function: Callable[[], Awaitable[Any]], last: Callable[[], object]) -> None:
        """Run a function as the background task; ``last`` is called when it has ended, in every case."""

        async def task() -> None:
            self._task_id = anyio.get_current_task().id
            try:
                with self._scope:
                    await function()
            finally:
                last()
                self._finished.set()

        if self._bridge.library == "asyncio":
            self._task = asyncio.get_running_loop().create_task(task(), name="buildwidget-watch")
        else:
            import trio

            trio.lowlevel.spawn_system_task(task, name="buildwidget-watch")

    async def stop(self) -> None:
        """Cancel the task and wait for its end, unless called from the task itself."""
        self._scope.cancel()
        if anyio.get_current_task().id != self._task_id:
            await self._finished.wait()

"""The way from any thread into an event loop, asyncio's or trio's."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import sniffio

__all__ = ["Bridge"]


class Bridge:
    """Hands work to the event loop that it was made in.

    Attributes
    ----------
    library
        ``asyncio`` or ``trio``.

    Raises
    ------
    RuntimeError
        If it is made where another kind of loop runs, or none.
    """

    def __init__(self) -> None:
        try:
            self.library = sniffio.current_async_library()
        except sniffio.AsyncLibraryNotFoundError:  # a callback of asyncio runs in no task, but in a loop
            asyncio.get_running_loop()
            self.library = "asyncio"
        self._call: Callable[..., Any]
        if self.library == "asyncio":
            self._call = asyncio.get_running_loop().call_soon_threadsafe
        elif self.library == "trio":
            import trio

            self._call = trio.lowlevel.current_trio_token().run_sync_soon
        else:
            raise RuntimeError(f"buildwidget runs in asyncio or trio, not in {self.library}")

    def post(self, function: Callable[..., object], *arguments: object) -> bool:
        """Call a function in the loop, soon. From any thread. False when the loop has ended."""
        try:
            self._call(function, *arguments)
        except RuntimeError:  # asyncio says it so; trio's RunFinishedError is one too
            return False
        return True

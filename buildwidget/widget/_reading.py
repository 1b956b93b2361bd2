# pyright: basic
# (ipywidgets, anywidget and IPython have no types of their own)
"""What a widget tells Python: the present state as records, as frames, and the wait for the end."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterable
from typing import TYPE_CHECKING, Final, Self

from .. import frames
from .._extras import needs_extra
from ..errors import BuildEndedError
from ..events import SessionUpdate, Snapshot
from ..model import BuildStatus, State
from ..session import BuildSession

if TYPE_CHECKING:
    import pandas as pd

    from ..history import History

__all__ = ["FINAL", "Reading"]

FINAL: Final = frozenset({BuildStatus.COMPLETED, BuildStatus.FAILED})


class Reading:
    """The half of a `BuildWidget` that reads its session and sends nothing."""

    _session: BuildSession
    _history: History | None = None

    @property
    def session(self) -> BuildSession:
        """The session that this widget shows."""
        return self._session

    @property
    def state(self) -> State:
        """The whole present state, as typed records."""
        self._session.catch_up()
        return self._session.snapshot()

    @property
    def status(self) -> str:
        """``pending``, ``in_progress``, ``completed``, ``failed`` or ``unknown``."""
        return self.state.session.status.value

    @property
    def percent(self) -> float | None:
        """How much of the build is done, from 0 to 100; None if nothing is known."""
        return self.state.progress.percent

    def _table(self, name: str) -> pd.DataFrame:
        self._wait_loaded(None)
        self._session.catch_up()
        seq, state = self._session.snapshot_at()
        return frames.table(state, name, epoch=self._session.epoch, seq=seq)

    @property
    def components(self) -> pd.DataFrame:
        """The components, a row each."""
        return self._table("components")

    @property
    def features(self) -> pd.DataFrame:
        """The features, a row each."""
        return self._table("features")

    @property
    def tasks(self) -> pd.DataFrame:
        """The tasks of orchestrators, workflows and pools, a row each."""
        return self._table("tasks")

    @property
    def phases(self) -> pd.DataFrame:
        """The phases, a row each."""
        return self._table("phases")

    @property
    def checkpoints(self) -> pd.DataFrame:
        """The newest checkpoints (at most 200), a row each."""
        return self._table("checkpoints")

    @property
    def warnings(self) -> pd.DataFrame:
        """What is wrong with the files, a row each."""
        return self._table("warnings")

    @property
    def history(self) -> History:
        """Everything that this build ever wrote, as tables; it grows as the build goes on.

        It is read when it is first asked for. From then on it holds every version of a file that was seen; of what was
        overwritten before, only what is left on disk.

        Raises
        ------
        MissingExtraError
            If the extra ``history`` is not installed.
        """
        if self._history is None:
            with needs_extra("w.history"):
                from ..history import read_history

                self._history = read_history(self)
        return self._history

    def refresh(self) -> Self:
        """Look at every file now; returns when all of them are read."""
        self._wait_loaded(None)
        self._session.refresh()
        return self

    def _wait_loaded(self, timeout: float | None) -> None:
        """Let the first reading end (``timeout`` in seconds; None: 30)."""
        end = time.monotonic() + (30.0 if timeout is None else timeout)
        while not self._session.loaded and not self._session.closed and time.monotonic() < end:
            self._session.catch_up()
            time.sleep(0.001)

    async def wait(self, status: str | Iterable[str] = "completed", timeout: float | None = None) -> str:
        """Wait until the build has a status, and return it. Other cells' output and the live cell go on meanwhile.

        Parameters
        ----------
        status
            The status to wait for (``pending``, ``in_progress``, ``completed``, ``failed``), or several.
        timeout
            Seconds; None waits for ever.

        Raises
        ------
        TimeoutError
            If it takes longer.
        BuildEndedError
            If the build ends in another way.
        """
        wanted = {status} if isinstance(status, str) else set(status)
        unknown = wanted - {s.value for s in BuildStatus}
        if unknown:
            raise ValueError(f"no status {sorted(unknown)}; there are: {', '.join(s.value for s in BuildStatus)}")

        def reached() -> str | None:
            now = self._session.status
            if now.value in wanted:
                return now.value
            if now in FINAL:
                raise BuildEndedError(now, sorted(wanted))
            return None

        try:
            async with asyncio.timeout(timeout):
                await self._session.wait_loaded()  # half of the files may say something else than all of them
                start = self._session.seq
                if (now := reached()) is not None:
                    return now
                async for event in self._session.subscribe(since=start):
                    if isinstance(event, SessionUpdate | Snapshot) and (now := reached()) is not None:
                        return now
        except TimeoutError:
            raise TimeoutError(f"the build was not {' or '.join(sorted(wanted))} within {timeout:g} s") from None
        raise RuntimeError("the widget was closed while waiting")

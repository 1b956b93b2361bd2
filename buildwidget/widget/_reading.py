# pyright: basic
# (ipywidgets, anywidget and IPython have no types of their own)
"""The read side of a widget: its state as records and data frames, and waiting for a status."""

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
    """The part of a `BuildWidget` that only reads its session."""

    _session: BuildSession
    _history: History | None = None

    @property
    def session(self) -> BuildSession:
        """The session that this widget shows."""
        return self._session

    @property
    def state(self) -> State:
        """The current state, as typed records."""
        self._session.catch_up()
        return self._session.snapshot()

    @property
    def status(self) -> str:
        """``pending``, ``in_progress``, ``completed``, ``failed`` or ``unknown``."""
        return self.state.session.status.value

    @property
    def percent(self) -> float | None:
        """Progress of the build in percent, 0 to 100; None if unknown."""
        return self.state.progress.percent

    def _table(self, name: str) -> pd.DataFrame:
        self._wait_loaded(None)
        self._session.catch_up()
        seq, state = self._session.snapshot_at()
        return frames.table(state, name, epoch=self._session.epoch, seq=seq)

    @property
    def components(self) -> pd.DataFrame:
        """The components, a row each; of builds by plans, the plans.

        Among the columns: ``status_source`` (the rule and the file that determined ``status``) and ``conflict`` (what
        else said otherwise).
        """
        return self._table("components")

    @property
    def features(self) -> pd.DataFrame:
        """The features, a row each; of builds by plans, their phases.

        Among the columns: ``owner``, ``claimed_at`` and ``heartbeat_at`` of claimed work, ``status_source`` and
        ``conflict``.
        """
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
    def activity(self) -> pd.DataFrame:
        """What happened: the newest lines (at most 200), oldest first, with ``kind, text, time, item, source``."""
        return self._table("activity")

    @property
    def warnings(self) -> pd.DataFrame:
        """The warnings about files, a row each."""
        return self._table("warnings")

    @property
    def history(self) -> History:
        """Everything that this build has written, as tables; it grows as the build goes on.

        It is read on first access. From then on it holds every version of a file that was seen; of earlier versions,
        only what is still on disk.

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
        """Read every changed file now; return the widget when that is done."""
        self._wait_loaded(None)
        self._session.refresh()
        return self

    def _wait_loaded(self, timeout: float | None) -> None:
        """Wait until all files have been read once (``timeout`` in seconds; None: 30)."""
        end = time.monotonic() + (30.0 if timeout is None else timeout)
        while not self._session.loaded and not self._session.closed and time.monotonic() < end:
            self._session.catch_up()
            time.sleep(0.001)

    async def wait(self, status: str | Iterable[str] = "completed", timeout: float | None = None) -> str:
        """Wait until the build has a status, and return it. Other outputs and the live view keep updating.

        Parameters
        ----------
        status
            The status to wait for (``pending``, ``in_progress``, ``completed``, ``failed``), or several.
        timeout
            Seconds; None waits for ever.

        Raises
        ------
        TimeoutError
            If the status is not reached in time.
        BuildEndedError
            If the build ends with another status.
        ValueError
            If there is no such status.
        RuntimeError
            If the widget is closed meanwhile.
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
                await self._session.wait_loaded()  # the status may be wrong while only some files are read
                start = self._session.seq
                if (now := reached()) is not None:
                    return now
                async for event in self._session.subscribe(since=start):
                    if isinstance(event, SessionUpdate | Snapshot) and (now := reached()) is not None:
                        return now
        except TimeoutError:
            raise TimeoutError(f"the build was not {' or '.join(sorted(wanted))} within {timeout:g} s") from None
        raise RuntimeError("the widget was closed while waiting")

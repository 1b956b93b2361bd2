"""One session for each project, however many widgets show it."""

from __future__ import annotations

import asyncio
import os
import threading
from pathlib import Path

from ..session import BuildSession

__all__ = ["SharedSessions", "sessions"]


class SharedSessions:
    """The open sessions with their reference counts."""

    def __init__(self) -> None:
        self._open: dict[tuple[Path, bool | None, int], tuple[BuildSession, int]] = {}
        self._lock = threading.Lock()

    def open(self, root: Path, loop: asyncio.AbstractEventLoop | None, poll: bool | None) -> BuildSession:
        """Return the shared session of a project, opened if needed; add a reference."""
        key = (Path(os.path.abspath(root.expanduser())), poll, id(loop))
        with self._lock:
            session, users = self._open.get(key, (None, 0))
            if session is None or session.closed or session.loop is not loop:
                session, users = BuildSession(key[0], poll=poll).open(loop), 0
            self._open[key] = (session, users + 1)
            return session

    def release(self, session: BuildSession) -> None:
        """Drop a reference to a session; close it with the last one."""
        with self._lock:
            key = next((k for k, (known, _) in self._open.items() if known is session), None)
            if key is not None:
                users = self._open[key][1]
                if users > 1:
                    self._open[key] = (session, users - 1)
                    return
                del self._open[key]
        session.close()


sessions = SharedSessions()

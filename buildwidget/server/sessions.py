"""The sessions of a server by id: opened, served and dropped when unused."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import logging
import threading
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final
from weakref import WeakSet

from ..errors import UnknownSessionError
from ..model import BuildStatus
from ..session import BuildSession
from .addresses import check_id, page_query, stream_path
from .budget import Budget
from .clients import Client
from .config import ID, ServerOptions
from .hub import Hub
from .meters import Meters

__all__ = [
    "Sessions",
    "default_sessions",
    "note_sessions",
    "sessions_with",
    "set_default_sessions",
]

logger = logging.getLogger("buildwidget.server")

MAX_SESSIONS: Final = 1_000
UNUSED: Final = 3600.0  # seconds without clients and messages before a session that was made on demand is dropped
SWEEP: Final = 1.0


class Sessions:
    """Session id → `BuildSession`. May be used from any thread; hubs belong to the loop they were made in.

    Parameters
    ----------
    options
        How to serve. With ``open_sessions`` a session without files is made when somebody asks for one.
    """

    def __init__(self, options: ServerOptions | None = None) -> None:
        self.options = options or ServerOptions()
        self.meters = Meters()
        self.budget = Budget()  # of all clients together
        self.started_at = time.time()
        self._lock = threading.RLock()
        self._sessions: dict[str, BuildSession] = {}
        self._owned: set[str] = set()  # those to close with this
        self._fixed: set[str] = set()  # those that are never dropped
        self._used: dict[str, float] = {}
        self._hubs: dict[tuple[str, asyncio.AbstractEventLoop], Hub] = {}
        self._sweepers: dict[asyncio.AbstractEventLoop, asyncio.TimerHandle] = {}
        self._ids = itertools.count(1)
        self.closing = False

    # -- sessions -------------------------------------------------------------------------------------------------

    def open(self, session_id: str, project: str | Path | None) -> BuildSession:
        """Watch a project under this id from now on."""
        with self._lock:
            if session_id in self._sessions:
                raise ValueError(f"there is a session {session_id!r} already")
            check_id(session_id)
            session = BuildSession(project, session_id=session_id)
            session.open()
            self._sessions[session_id] = session
            self._owned.add(session_id)
            self._fixed.add(session_id)
            return session

    def add(self, session: BuildSession) -> None:
        """Serve a session that the caller owns, under its own id. It is not closed with the server.

        Raises
        ------
        OptionsError
            If the id cannot be a part of an address.
        """
        check_id(session.session_id)
        with self._lock:
            self._sessions[session.session_id] = session
            self._fixed.add(session.session_id)

    def ids(self) -> list[str]:
        """All ids, sorted."""
        with self._lock:
            return sorted(self._sessions)

    def has(self, session_id: str) -> bool:
        """Whether there is such a session now."""
        return session_id in self._sessions

    def get(self, session_id: str) -> BuildSession:
        """The session; made now, if this server makes sessions.

        Raises
        ------
        UnknownSessionError
            If there is none, and none is made.
        """
        with self._lock:
            session = self._sessions.get(session_id)
            if session is None:
                if not self.options.open_sessions:
                    raise UnknownSessionError(f"there is no session {session_id[:128]!r} here")
                if not ID.fullmatch(session_id) or session_id in {".", ".."}:
                    raise UnknownSessionError("a session id has 1 to 128 letters, digits, dots, hyphens or underscores")
                if len(self._sessions) >= MAX_SESSIONS and not self._drop_unused(UNUSED / 60):
                    raise UnknownSessionError(f"there are {MAX_SESSIONS:,} sessions already")
                session = BuildSession(None, session_id=session_id).open()
                self._sessions[session_id] = session
                self._owned.add(session_id)
            self._used[session_id] = time.monotonic()
            return session

    def publish(self, session_id: str, messages: Mapping[str, Any] | Sequence[Mapping[str, Any]]) -> int:
        """Publish into a session; returns the newest number. From any thread.

        Raises
        ------
        UnknownSessionError, buildwidget.publish.PublishError
            If there is no such session; if the messages are none that may be published.
        """
        seq = self.get(session_id).publish(messages)
        self.meters.publications += 1
        return seq

    def _drop_unused(self, age: float) -> int:
        """Close the sessions that were made on demand and that nobody has used for so long."""
        now = time.monotonic()
        with self._lock:
            watched = {name for (name, _), hub in self._hubs.items() if hub.clients}
            old = [name for name in self._owned - self._fixed - watched if now - self._used.get(name, now) > age]
            for name in old:
                self._sessions.pop(name).close()
                self._owned.discard(name)
                self._used.pop(name, None)
                for key in [key for key in self._hubs if key[0] == name]:
                    self._retire(key)
            return len(old)

    def _retire(self, key: tuple[str, asyncio.AbstractEventLoop]) -> None:
        hub = self._hubs.pop(key)
        with contextlib.suppress(RuntimeError):  # its loop is closed
            key[1].call_soon_threadsafe(hub.close, 1000, "done")

    # -- clients --------------------------------------------------------------------------------------------------

    def new_id(self) -> str:
        """An id for a client: for logs and lists."""
        return f"c{next(self._ids)}"

    def hub(self, session_id: str) -> Hub:
        """The hub of a session in the running loop.

        Raises
        ------
        UnknownSessionError
            If there is no such session.
        """
        session = self.get(session_id)
        loop = asyncio.get_running_loop()
        with self._lock:
            hub = self._hubs.get((session_id, loop))
            if hub is None:
                hub = self._hubs[session_id, loop] = Hub(session, self.options, self.meters, self.budget)
            if loop not in self._sweepers:
                self._sweepers[loop] = loop.call_later(SWEEP, self._sweep, loop)
            return hub

    def hubs(self) -> list[Hub]:
        """All hubs, of all loops."""
        with self._lock:
            return list(self._hubs.values())

    def clients(self, session_id: str | None = None) -> list[Client]:
        """The clients of one session, or of all."""
        with self._lock:
            hubs = [hub for (name, _), hub in self._hubs.items() if session_id in {None, name}]
        return [client for hub in hubs for client in list(hub.clients)]

    @property
    def is_full(self) -> bool:
        """Whether no more clients are taken."""
        return sum(len(hub.clients) for hub in self.hubs()) >= self.options.max_clients

    def _sweep(self, loop: asyncio.AbstractEventLoop) -> None:
        with self._lock:
            mine = {key: hub for key, hub in self._hubs.items() if key[1] is loop}
        for (name, _), hub in mine.items():
            try:
                hub.sweep()
            except Exception:
                logger.exception("the sweep of session %s failed", name)
            if hub.clients:
                self._used[name] = time.monotonic()
        self._drop_unused(UNUSED)
        if self._hubs and not self.closing:
            self._sweepers[loop] = loop.call_later(SWEEP, self._sweep, loop)
        else:
            self._sweepers.pop(loop, None)

    # -- what is shown --------------------------------------------------------------------------------------------

    def overview(self) -> list[dict[str, Any]]:
        """One row per session: id, project, status, percent, epoch, numbers of the log, newest time, clients."""
        rows: list[dict[str, Any]] = []
        for name in self.ids():
            session = self._sessions.get(name)
            if session is None:
                continue
            with session.lock:
                first, (seq, state) = session.log.first_seq, session.snapshot_at()
            rows.append(
                {
                    "session_id": name,
                    "project": state.session.project,
                    "status": state.session.status,
                    "percent": state.progress.percent,
                    "phase": state.session.phase,
                    "epoch": session.epoch,
                    "first_seq": first,
                    "seq": seq,
                    "updated_at": state.updated_at,
                    "clients": len(self.clients(name)),
                    "stream": stream_path(name),
                    "page": page_query(name),
                }
            )
        return rows

    @property
    def ready(self) -> bool:
        """Whether every project has been read once."""
        with self._lock:
            return all(session.loaded for session in self._sessions.values())

    def is_over(self, session_id: str) -> bool:
        """Whether the build of that session has ended."""
        return self.get(session_id).status in {BuildStatus.COMPLETED, BuildStatus.FAILED}

    # -- the end --------------------------------------------------------------------------------------------------

    async def close_clients(
        self, code: int = 1001, reason: str = "the server is going away", patience: float = 5.0
    ) -> None:
        """Close every stream of the running loop; wait until all is written, at most ``patience`` seconds."""
        self.closing = True
        loop = asyncio.get_running_loop()
        with self._lock:
            hubs = [hub for key, hub in self._hubs.items() if key[1] is loop]
        for hub in hubs:
            hub.close(code, reason)
        end = loop.time() + patience
        while any(hub.clients for hub in hubs) and loop.time() < end:  # noqa: ASYNC110 (many, and seldom)
            await asyncio.sleep(0.01)
        for hub in hubs:
            for client in list(hub.clients):
                client.writer.abort()
        with self._lock:
            for key in [key for key in self._hubs if key[1] is loop]:
                del self._hubs[key]
            timer = self._sweepers.pop(loop, None)
        if timer is not None:
            timer.cancel()

    def close(self) -> None:
        """Close the sessions that were opened here. Can be called again."""
        self.closing = True
        with self._lock:
            for name in list(self._owned):
                self._sessions[name].close()


_default: Sessions | None = None
_noted: WeakSet[Sessions] = WeakSet()  # those of running applications
_default_lock = threading.Lock()


def default_sessions() -> Sessions:
    """The sessions of this process that `router` serves and that are made when somebody publishes into them."""
    global _default  # noqa: PLW0603 (one registry per process is what the original's functions stand for)
    with _default_lock:
        if _default is None or _default.closing:
            _default = Sessions(ServerOptions(open_sessions=True))
        return _default


def set_default_sessions(sessions: Sessions) -> None:
    """Replace the default sessions of this process."""
    global _default  # noqa: PLW0603 (see above)
    with _default_lock:
        _default = sessions


def note_sessions(sessions: Sessions) -> None:
    """Register the sessions of an application, so that `sessions_with` finds them until they are closed."""
    if sessions.options.open_sessions:
        set_default_sessions(sessions)
    else:
        with _default_lock:
            _noted.add(sessions)


def sessions_with(session_id: str) -> Sessions:
    """Where a session of this process is: with the application that serves it, else with the default ones."""
    with _default_lock:
        found = [noted for noted in _noted if not noted.closing and noted.has(session_id)]
    return max(found, key=lambda noted: noted.started_at, default=None) or default_sessions()

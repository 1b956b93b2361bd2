"""The original system's session manager: the clients of every session, for endpoints of one's own."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from datetime import datetime
from typing import Any
from weakref import WeakKeyDictionary

import msgspec
from starlette.websockets import WebSocket, WebSocketState

from .clients import Client, Start
from .sessions import Sessions, default_sessions
from .stream import MAX_MESSAGE, converse
from .wire import Batch, writer_of

__all__ = ["ClientInfo", "SessionManager"]


class ClientInfo(msgspec.Struct, frozen=True):
    """One client: its id, address and program, since when, which topics, and its lag in bytes."""

    id: str
    address: str
    user_agent: str
    since: datetime
    topics: list[str]
    lag: int


class SessionManager:
    """Clients by session. All sessions are those of the process, unless others are given.

    Examples
    --------
    >>> manager = SessionManager()
    >>> @app.websocket("/mine/{session_id}")  # doctest: +SKIP
    ... async def mine(websocket: WebSocket, session_id: str) -> None:
    ...     await manager.handle(websocket, session_id)
    """

    def __init__(self, sessions: Sessions | None = None) -> None:
        self._given = sessions
        self._clients: WeakKeyDictionary[WebSocket, Client] = WeakKeyDictionary()

    @property
    def sessions(self) -> Sessions:
        """Where the sessions are."""
        return self._given or default_sessions()

    async def connect(
        self,
        websocket: WebSocket,
        session_id: str,
        metadata: Mapping[str, Any] | None = None,
        *,
        start: Start | None = None,
    ) -> Client:
        """Accept a WebSocket and let it follow a session from now on.

        Parameters
        ----------
        websocket
            Of Starlette or FastAPI; accepted here if it is not yet.
        session_id
            The session; made if it is not known.
        metadata
            Accepted as the original did; ``user_agent`` and ``address`` in it replace those of the connection.
        start
            Where to begin; by default with the present state as ordinary messages.

        Raises
        ------
        UnknownSessionError
            If there is no such session and none can be made.
        """
        hub = self.sessions.hub(session_id)
        if websocket.application_state is WebSocketState.CONNECTING:
            await websocket.accept()
        given = dict(metadata or {})
        peer = websocket.client
        client = Client(
            hub,
            writer_of(websocket.scope, websocket.send),
            client_id=self.sessions.new_id(),
            address=str(given.get("address") or (f"{peer.host}:{peer.port}" if peer else "")),
            user_agent=str(given.get("user_agent") or websocket.headers.get("user-agent", ""))[:200],
        )
        self._clients[websocket] = client
        await hub.join(client, start or Start())
        return client

    async def handle(self, websocket: WebSocket, session_id: str) -> None:
        """Serve a WebSocket to its end: `connect`, answer what it asks, `disconnect`."""
        hub = self.sessions.hub(session_id)
        if websocket.application_state is WebSocketState.CONNECTING:
            await websocket.accept()
        peer = websocket.client
        client = Client(
            hub,
            writer_of(websocket.scope, websocket.send),
            client_id=self.sessions.new_id(),
            address=f"{peer.host}:{peer.port}" if peer else "",
            user_agent=websocket.headers.get("user-agent", "")[:200],
        )
        self._clients[websocket] = client
        await converse(client, websocket.receive, Start(), self.sessions)

    def disconnect(self, websocket: WebSocket, session_id: str | None = None) -> None:  # noqa: ARG002 (the original took it)
        """Forget a WebSocket. One that is not known is no error."""
        client = self._clients.pop(websocket, None)
        if client is not None:
            client.hub.leave(client)

    async def send_to_client(self, websocket: WebSocket, message: Mapping[str, Any]) -> None:
        """Send one client a message of your own. It is not part of the build and has no number."""
        client = self._clients.get(websocket)
        if client is not None:
            client.writer.write(_batch(message))

    async def send_to_session(self, session_id: str, message: Mapping[str, Any]) -> None:
        """Send all clients of a session a message of your own. Clients in other loops get it there."""
        self._send(self.sessions.clients(session_id), message)

    async def broadcast_to_all(self, message: Mapping[str, Any]) -> None:
        """Send all clients of all sessions a message of your own."""
        self._send(self.sessions.clients(), message)

    def _send(self, clients: list[Client], message: Mapping[str, Any]) -> None:
        batch = _batch(message)
        here = asyncio.get_running_loop()
        for client in clients:
            if client.hub.loop is here:
                _write(client, batch)
            else:
                client.hub.loop.call_soon_threadsafe(_write, client, batch)

    def get_session_count(self) -> int:
        """How many sessions have clients."""
        return len(self.get_active_sessions())

    def get_total_connections(self) -> int:
        """How many clients there are, of all sessions."""
        return len(self.sessions.clients())

    def get_active_sessions(self) -> list[str]:
        """The ids of the sessions that have clients, sorted."""
        return [name for name in self.sessions.ids() if self.sessions.clients(name)]

    def clients(self, session_id: str) -> list[ClientInfo]:
        """The clients of a session, oldest first."""
        found = sorted(self.sessions.clients(session_id), key=lambda client: client.connected_at)
        return [ClientInfo(c.id, c.address, c.user_agent, c.connected_at, c.filter.names, c.lag) for c in found]


def _batch(message: Mapping[str, Any]) -> Batch:
    data = msgspec.json.encode(dict(message))
    if len(data) > MAX_MESSAGE:
        raise ValueError(f"a message has at most {MAX_MESSAGE:,} bytes, this one {len(data):,}")
    return Batch([data])


def _write(client: Client, batch: Batch) -> None:
    if not client.writer.paused:  # one that does not keep up misses what has no number
        client.writer.write(batch)

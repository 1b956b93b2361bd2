"""The clients of a session, and groups of clients that keep up and have the same filter."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import msgspec

from .. import events as ev
from .filters import EVERYTHING, Filter
from .wire import SLICE, Batch, Message, Writer

if TYPE_CHECKING:
    from .hub import Hub
    from .snapshots import EncodedState

__all__ = ["Client", "Group", "Numbered", "Start"]


class Numbered(Batch):
    """A batch whose messages have event ids (``epoch:seq``, or empty), for server-sent events."""

    def __init__(self, messages: list[bytes] | list[Message], ids: list[str]) -> None:
        super().__init__(messages)
        self.ids = ids


class Start(msgspec.Struct, frozen=True):
    """Where a client's stream begins.

    With ``epoch`` and ``since``: after that message. With ``snapshot``: with the whole state. With neither: with the
    current state as ordinary messages.
    """

    epoch: str | None = None
    since: int | None = None
    snapshot: bool = False

    @property
    def resumes(self) -> bool:
        """Whether the client asks to resume."""
        return self.epoch is not None or self.since is not None


class Client:
    """One client of one session."""

    __slots__ = (
        "__weakref__",
        "_holding",
        "_seen",
        "address",
        "at",
        "connected_at",
        "exact_until",
        "filter",
        "group",
        "hub",
        "id",
        "leaving",
        "stalled_at",
        "user_agent",
        "wants_state",
        "writer",
    )

    def __init__(
        self, hub: Hub, writer: Writer, wanted: Filter = EVERYTHING, *, client_id: str, address: str, user_agent: str
    ) -> None:
        self.hub, self.writer, self.filter, self.id = hub, writer, wanted, client_id
        self.address, self.user_agent = address, user_agent
        self.connected_at = datetime.now(UTC)
        self.at = 0  # the newest number it was sent; valid only while it lags
        self.exact_until = 0  # up to this number nothing may be collapsed: it resumes
        self.wants_state = False  # its filter became wider: it gets a snapshot after the messages it missed
        self.group: Group | None = None  # the group it is in while it keeps up
        self.stalled_at = 0.0
        self._holding: EncodedState | None = None
        self._seen = 0
        self.leaving = False

    @property
    def seq(self) -> int:
        """The newest sequence number that was written to the client."""
        return self.hub.at if self.group is not None else self.at

    @property
    def lag(self) -> int:
        """Bytes of the log not sent to the client yet, plus bytes in its buffers."""
        behind = 0 if self.group is not None else self.hub.session.log.size_since(self.at)
        return behind + self.writer.buffered

    def send(self, *messages: Any) -> None:
        """Write unnumbered messages, about the connection."""
        self.writer.write(Batch([ev.encode(message) for message in messages]))

    def has_progressed(self) -> bool:
        """Return whether the client has read since the last call, or waits for other clients itself."""
        buffered = self.writer.buffered
        moved = buffered < self._seen or self.writer.waits_for_others
        self._seen = buffered
        return moved

    def hold(self, state: EncodedState | None) -> None:
        """Register as a reader of ``state`` while its bytes are buffered in the writer; None ends that."""
        if self._holding is not None:
            self._holding.holders.discard(self)
        self._holding = state if self.writer.paused else None
        if self._holding is not None:
            self._holding.holders.add(self)

    def evict(self) -> None:
        """Disconnect the client to free memory for others. May be called from any thread."""
        self.hub.evict(self)


class Group:
    """Clients that keep up and have the same filter."""

    def __init__(self, wanted: Filter, now: float) -> None:
        self.filter = wanted
        self.clients: set[Client] = set()
        self.spoke_at = now
        self._raws: list[Callable[[bytes], object]] | None = None
        self._plain: list[Writer] = []

    def add(self, client: Client) -> None:
        """Add a client that keeps up."""
        self.clients.add(client)
        self._raws = None

    def discard(self, client: Client) -> None:
        """Remove a client."""
        self.clients.discard(client)
        self._raws = None

    def send(self, batch: Batch) -> None:
        """Write a batch to every client: the same encoded bytes, in one write each. This is the hot loop."""
        if batch.size > SLICE:  # one big message
            for client in list(self.clients):
                client.writer.write(batch)
            return
        raws, plain = self._write_paths()
        if raws:
            frames = batch.frames
            for write in raws:
                write(frames)
        for writer in plain:
            writer.write(batch)

    def mark_lagging(self) -> None:
        """Mark clients with buffered bytes as lagging, where the ASGI server reports no backpressure."""
        for writer in list(self._write_paths()[1]):
            if writer.buffered:
                writer.lag()

    def _write_paths(self) -> tuple[list[Callable[[bytes], object]], list[Writer]]:
        if self._raws is None:
            self._raws = [c.writer.raw for c in self.clients if c.writer.raw is not None]
            self._plain = [c.writer for c in self.clients if c.writer.raw is None]
        return self._raws, self._plain

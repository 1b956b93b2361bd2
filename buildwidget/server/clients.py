"""The readers of a session: one client, and the groups of those that keep up and want the same."""

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
    """A batch whose messages say where in the log they lead (``epoch:seq``, or nothing), for event sources."""

    def __init__(self, messages: list[bytes] | list[Message], ids: list[str]) -> None:
        super().__init__(messages)
        self.ids = ids


class Start(msgspec.Struct, frozen=True):
    """Where a client wants to begin.

    With ``epoch`` and ``since``: after that message. With ``snapshot``: with the whole state. With neither: with the
    present state as ordinary messages.
    """

    epoch: str | None = None
    since: int | None = None
    snapshot: bool = False

    @property
    def resumes(self) -> bool:
        """Whether it asks to go on somewhere."""
        return self.epoch is not None or self.since is not None


class Client:
    """One reader of one session."""

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
        self.at = 0  # the newest number it has got; only looked at while it does not keep up
        self.exact_until = 0  # up to here nothing may be left out: it resumes
        self.wants_state = False  # it hears of more than before, and gets a snapshot when it has what it missed
        self.group: Group | None = None  # of those that keep up
        self.stalled_at = 0.0
        self._holding: EncodedState | None = None
        self._seen = 0
        self.leaving = False

    @property
    def seq(self) -> int:
        """The newest number that was written to it."""
        return self.hub.at if self.group is not None else self.at

    @property
    def lag(self) -> int:
        """How many bytes of the log it has not got yet, and how many wait in its socket."""
        behind = 0 if self.group is not None else self.hub.session.log.size_since(self.at)
        return behind + self.writer.buffered

    def send(self, *messages: Any) -> None:
        """Write messages about the connection."""
        self.writer.write(Batch([ev.encode(message) for message in messages]))

    def moves(self) -> bool:
        """Whether it has read something since it was last asked, or cannot have."""
        buffered = self.writer.buffered
        moved = buffered < self._seen or self.writer.waits_for_others
        self._seen = buffered
        return moved

    def hold(self, state: EncodedState | None) -> None:
        """It reads from this state, as long as something waits in its writer."""
        if self._holding is not None:
            self._holding.holders.discard(self)
        self._holding = state if self.writer.paused else None
        if self._holding is not None:
            self._holding.holders.add(self)

    def evict(self) -> None:
        """End it, so that others have room. May be called from any thread."""
        self.hub.evict(self)


class Group:
    """Clients that keep up and want the same."""

    def __init__(self, wanted: Filter, now: float) -> None:
        self.filter = wanted
        self.clients: set[Client] = set()
        self.spoke_at = now
        self._raws: list[Callable[[bytes], object]] | None = None
        self._plain: list[Writer] = []

    def add(self, client: Client) -> None:
        """It keeps up from now on."""
        self.clients.add(client)
        self._raws = None

    def discard(self, client: Client) -> None:
        """It does so no longer."""
        self.clients.discard(client)
        self._raws = None

    def send(self, batch: Batch) -> None:
        """The hot loop: one write per client, of bytes that were made once."""
        if batch.size > SLICE:  # one big message
            for client in list(self.clients):
                client.writer.write(batch)
            return
        raws, plain = self._ways()
        if raws:
            frames = batch.frames
            for write in raws:
                write(frames)
        for writer in plain:
            writer.write(batch)

    def look(self) -> None:
        """Find those whose server does not tell that they do not keep up."""
        for writer in list(self._ways()[1]):
            if writer.buffered:
                writer.lag()

    def _ways(self) -> tuple[list[Callable[[bytes], object]], list[Writer]]:
        if self._raws is None:
            self._raws = [c.writer.raw for c in self.clients if c.writer.raw is not None]
            self._plain = [c.writer for c in self.clients if c.writer.raw is None]
        return self._raws, self._plain

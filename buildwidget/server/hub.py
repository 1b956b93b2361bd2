"""From the log of one session to its clients: who gets what, when, in how few writes.

There is no queue per client. Every client has a place in the log of its session. One that keeps up has the hub's own
place, and all that do, and want the same, get the same bytes: made once, written once to each. One whose socket is full
stays where it is until the socket is empty again; then it gets what it missed, collapsed, or, if that is more than
``queue_bytes``, a gap and a snapshot. So a client that does not read costs nothing but the bytes of its last write, and
nobody waits for it.

The first message after a silence goes out at once; while more keep coming, those of one tick are joined.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections import deque
from collections.abc import AsyncGenerator, Callable, Iterable
from datetime import UTC, datetime
from typing import Any, Final

import msgspec

from .. import __version__
from .. import events as ev
from ..log import Logged, collapse
from ..model import State
from ..session import BuildSession
from ..state import KINDS
from .config import ServerOptions
from .filters import EVERYTHING, Filter
from .meters import Meters
from .wire import Batch, Writer

__all__ = ["Client", "Hub", "Start"]

logger = logging.getLogger("buildwidget.server")

SERVER: Final = f"buildwidget/{__version__}"
SLICE: Final = 500  # clients that get a heartbeat in one turn of the loop
CHUNK: Final = 128 * 1024  # bytes that a client which resumes gets at a time
GOODBYE: Final = 1.0  # seconds between the close frame and the end of a client that does not read


class Numbered(Batch):
    """A batch whose messages say where in the log they lead (``epoch:seq``, or nothing), for event sources."""

    def __init__(self, messages: list[bytes], ids: list[str]) -> None:
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


class Client:
    """One reader of one session."""

    __slots__ = (
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
        self.group: _Group | None = None  # of those that keep up
        self.stalled_at = 0.0
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
        """Whether it has read something since it was last asked."""
        buffered = self.writer.buffered
        moved = buffered < self._seen
        self._seen = buffered
        return moved


class _Group:
    """Clients that keep up and want the same."""

    def __init__(self, wanted: Filter, now: float) -> None:
        self.filter = wanted
        self.clients: set[Client] = set()
        self.spoke_at = now
        self._raws: list[Callable[[bytes], object]] | None = None
        self._plain: list[Writer] = []

    def add(self, client: Client) -> None:
        self.clients.add(client)
        self._raws = None

    def discard(self, client: Client) -> None:
        self.clients.discard(client)
        self._raws = None

    def send(self, batch: Batch) -> None:
        """The hot loop: one write per client, of bytes that were made once."""
        raws = self._raws
        if raws is None:
            raws = self._raws = [c.writer.raw for c in self.clients if c.writer.raw is not None]
            self._plain = [c.writer for c in self.clients if c.writer.raw is None]
        if raws:
            frames = batch.frames
            for write in raws:
                write(frames)
        for writer in self._plain:
            writer.write(batch)


class Hub:
    """All clients of one session in one event loop. Every method is called in that loop, unless it says otherwise."""

    def __init__(self, session: BuildSession, options: ServerOptions, meters: Meters) -> None:
        self.session, self._options, self._meters = session, options, meters
        self.loop = self._loop = asyncio.get_running_loop()
        self.clients: set[Client] = set()
        self._groups: dict[Filter, _Group] = {}
        self._lagging: set[Client] = set()
        self._inbox: deque[list[Logged]] = deque()
        self._woken = False
        self._timer: asyncio.TimerHandle | None = None
        self._last = -self._options.tick
        self._closed = False
        self._state: tuple[int, bytes, State] | None = None  # the newest snapshot that somebody needed
        self._present: tuple[int, list[tuple[Any, bytes]]] | None = None
        self.used_at = self._loop.time()
        with session.lock:
            self.at = session.seq
            self._forget = session.listen(self._heard)

    # -- from the log ---------------------------------------------------------------------------------------------

    def _heard(self, rows: list[Logged]) -> None:
        """In whatever thread pumps the session."""
        self._inbox.append(rows)
        if not self._woken:
            self._woken = True
            try:
                self._loop.call_soon_threadsafe(self._wake)
            except RuntimeError:  # the loop is closed, and nobody said so
                self._forget()

    def _wake(self) -> None:
        self._woken = False
        if self._timer is None and not self._closed:
            wait = self._last + self._options.tick - self._loop.time()
            if wait <= 0:
                self._flush()
            else:
                self._timer = self._loop.call_later(wait, self._on_timer)

    def _on_timer(self) -> None:
        self._timer = None
        self._flush()

    def _flush(self) -> None:
        """Hand on what was logged since the last time."""
        rows: list[Logged] = []
        while self._inbox:
            rows += self._inbox.popleft()
        if not rows:
            return
        now = self._last = self.used_at = self._loop.time()
        self.at = rows[-1].event.seq
        self._meters.events += len(rows)
        for group in list(self._groups.values()):
            self._send_rows(group, rows, now)

    def _send_rows(self, group: _Group, rows: list[Logged], now: float) -> None:
        wanted = rows if group.filter is EVERYTHING else [row for row in rows if group.filter.passes(row.event)]
        if not wanted:
            return
        batch = self._batch(wanted)
        group.spoke_at = now
        self._meters.delivered += len(wanted) * len(group.clients)
        self._meters.delivered_bytes += batch.size * len(group.clients)
        group.send(batch)

    def _batch(self, rows: list[Logged]) -> Batch:
        epoch = self.session.epoch
        return Numbered([row.data for row in rows], [f"{epoch}:{row.event.seq}" for row in rows])

    def _whole(self, messages: list[bytes]) -> Batch:
        """Messages after which a client has everything up to now."""
        return Numbered(messages, [""] * (len(messages) - 1) + [f"{self.session.epoch}:{self.at}"])

    @contextlib.asynccontextmanager
    async def _aligned(self) -> AsyncGenerator[None]:
        """Hold the session's lock, with everything that was logged handed on: ``at`` is the newest number.

        The pump may hold the lock for a while; the loop does not wait for it, it comes again.
        """
        while not self.session.lock.acquire(blocking=False):  # noqa: ASYNC110 (the lock is a thread's, not the loop's)
            await asyncio.sleep(0.001)
        try:
            self._flush()
            yield
        finally:
            self.session.lock.release()

    # -- clients come and go --------------------------------------------------------------------------------------

    async def join(self, client: Client, start: Start) -> None:
        """Begin to send to a client: who we are, what it lacks, and from then on everything new."""
        client.writer.on_paused = lambda: self._paused(client)
        client.writer.on_resumed = lambda: self._resumed(client)
        client.writer.on_closed = lambda: self.leave(client)
        async with self._aligned():
            self.used_at = self._loop.time()
            self.clients.add(client)
            self._meters.connects += 1
            resumed = self._can_resume(start.epoch, start.since)
            if start.epoch is not None or start.since is not None:
                self._count_resume(resumed)
            hello = ev.Connection(
                epoch=self.session.epoch,
                seq=self.at,
                resumed=resumed,
                server=SERVER,
                heartbeat=self._options.heartbeat,
                **self._common(),
            )
            messages = [ev.encode(hello)]
            if resumed:
                assert start.since is not None
                client.at, client.exact_until = start.since, self.at
            else:
                client.at = self.at
                if start.snapshot or start.epoch is not None or start.since is not None:
                    messages.append(self._snapshot())
                else:
                    messages += [data for event, data in self._present_state() if client.filter.passes(event)]
            self._write(client, Batch(messages) if resumed else self._whole(messages))
            self._catch_up(client)

    async def resume(self, client: Client, epoch: str, since: int) -> None:
        """A client asks to go on elsewhere in the log."""
        async with self._aligned():
            self._leave_group(client)
            possible = self._can_resume(epoch, since)
            self._count_resume(possible)
            if possible:
                client.at, client.exact_until = since, self.at
            else:
                same = epoch == self.session.epoch
                self._gap(
                    client, since + 1 if same and since <= self.at else None, "log_exceeded" if same else "new_epoch"
                )
            self._catch_up(client)

    async def refilter(self, client: Client, wanted: Filter) -> None:
        """Let a client hear of other things from now on; of more than before: with a snapshot."""
        async with self._aligned():
            wider = not wanted.is_within(client.filter)
            keeps_up = client.group is not None
            self._leave_group(client)
            client.filter = EVERYTHING if wanted == EVERYTHING else wanted
            if keeps_up:
                client.at = self.at
            client.send(
                ev.Subscribed(
                    topics=wanted.names,
                    components=None if wanted.components is None else sorted(wanted.components),
                    min_level=wanted.min_level,
                    seq=self.at,
                    **self._common(),
                )
            )
            if wider:
                client.at, client.exact_until = self.at, 0
                self._write(client, self._whole([self._snapshot()]))
            self._catch_up(client)

    async def report(self, client: Client, request_id: Any) -> None:
        """Answer ``request_status``."""
        async with self._aligned():
            state = self._encoded()[2]
            client.send(
                ev.StatusReport(epoch=self.session.epoch, seq=self.at, state=state, id=request_id, **self._common())
            )

    def leave(self, client: Client) -> None:
        """Forget a client. Can be called again."""
        self._leave_group(client)
        self._lagging.discard(client)
        self.clients.discard(client)
        self.used_at = self._loop.time()

    def close(self, code: int, reason: str) -> None:
        """Say goodbye to every client and listen no longer."""
        self._closed = True
        self._forget()
        if self._timer is not None:
            self._timer.cancel()
        self._flush()
        for client in list(self.clients):
            client.writer.close(code, reason)

    # -- one client -----------------------------------------------------------------------------------------------

    def _common(self) -> dict[str, Any]:
        return {"session_id": self.session.session_id, "timestamp": datetime.now(UTC)}

    def _can_resume(self, epoch: str | None, since: int | None) -> bool:
        if epoch != self.session.epoch or since is None:
            return False
        log = self.session.log
        return log.first_seq - 1 <= since <= log.seq

    def _count_resume(self, possible: bool) -> None:
        if possible:
            self._meters.resume_hits += 1
        else:
            self._meters.resume_misses += 1

    def _encoded(self) -> tuple[int, bytes, State]:
        """The present snapshot as a message, made once for all that need it now. The lock is held."""
        if self._state is None or self._state[0] != self.at:
            state = self.session.snapshot()
            message = ev.Snapshot(epoch=self.session.epoch, seq=self.at, state=state, **self._common())
            self._state = (self.at, ev.encode(message), state)
        return self._state

    def _snapshot(self) -> bytes:
        return self._encoded()[1]

    def _present_state(self) -> list[tuple[Any, bytes]]:
        """The present state as ordinary messages without numbers, for clients that know nothing of snapshots."""
        if self._present is None or self._present[0] != self.at:
            events = list(_as_messages(self._encoded()[2], self._common()))
            self._present = (self.at, [(event, _unnumbered(event)) for event in events])
        return self._present[1]

    def _write(self, client: Client, batch: Batch) -> None:
        self._meters.delivered += len(batch.messages)
        self._meters.delivered_bytes += batch.size
        client.writer.write(batch)

    def _gap(self, client: Client, first: int | None, reason: str) -> None:
        """Tell a client that it misses something, and give it the whole. The lock is held."""
        self._meters.gaps += 1
        gap = ev.Gap(from_seq=first, to_seq=self.at, reason=reason, **self._common())
        client.at, client.exact_until = self.at, 0
        self._write(client, self._whole([ev.encode(gap), self._snapshot()]))

    def _catch_up(self, client: Client) -> None:
        """Bring a client to where the hub is, as far as its socket takes it. The lock is held, ``at`` is the newest."""
        while not client.writer.closed:
            if client.writer.paused:
                self._lag(client)
                return
            if client.at >= self.at:
                self._lagging.discard(client)
                self._join_group(client)
                return
            rows = self.session.log.since(client.at)
            if rows is None:
                self._gap(client, client.at + 1, "log_exceeded")
                continue
            wanted = [row for row in rows if client.filter.passes(row.event)]
            if client.at < client.exact_until:
                self._write_some(client, rows, wanted)
                continue
            kept = collapse(wanted)
            if sum(len(row.data) for row in kept) > self._options.queue_bytes:
                self._gap(client, client.at + 1, "too_slow")
                continue
            self._meters.collapsed += len(wanted) - len(kept)
            client.at = self.at
            if kept:
                self._write(client, self._batch(kept))

    def _write_some(self, client: Client, rows: list[Logged], wanted: list[Logged]) -> None:
        """To one that resumes: exactly what it missed, a piece at a time."""
        part: list[Logged] = []
        size = 0
        for row in wanted:
            if part and size + len(row.data) > CHUNK:
                break
            part.append(row)
            size += len(row.data)
        done = len(part) == len(wanted)
        client.at = rows[-1].event.seq if done else part[-1].event.seq
        if part:
            self._write(client, self._batch(part))

    def _join_group(self, client: Client) -> None:
        if client.group is None and not client.writer.closed:
            group = self._groups.get(client.filter)
            if group is None:
                group = self._groups[client.filter] = _Group(client.filter, self._loop.time())
            client.group = group
            group.add(client)

    def _leave_group(self, client: Client) -> None:
        group = client.group
        if group is not None:
            client.at = self.at
            client.group = None
            group.discard(client)
            if not group.clients and self._groups.get(group.filter) is group:
                del self._groups[group.filter]

    def _lag(self, client: Client) -> None:
        self._lagging.add(client)
        client.stalled_at = self._loop.time()
        client.moves()

    def _paused(self, client: Client) -> None:
        """Its socket is full. What was written is on its way; from here on it waits for the socket."""
        if client.group is not None:
            self._leave_group(client)
            self._lag(client)

    def _resumed(self, client: Client) -> None:
        if client not in self._lagging or client.writer.closed:
            return
        if self.session.lock.acquire(blocking=False):
            try:
                self._flush()
                self._catch_up(client)
            finally:
                self.session.lock.release()
        else:
            self._loop.call_later(0.001, self._resumed, client)

    # -- time passes ----------------------------------------------------------------------------------------------

    def sweep(self) -> None:
        """About once a second: heartbeats, and an end to those that do not read."""
        now = self._loop.time()
        for group in list(self._groups.values()):
            if now - group.spoke_at >= self._options.heartbeat:
                group.spoke_at = now
                beat = Batch([ev.encode(ev.Heartbeat(seq=self.at, **self._common()))])
                self._send_sliced(beat, list(group.clients))
        for client in list(self._lagging):
            if client.moves():
                client.stalled_at = now
            elif now - client.stalled_at >= self._options.patience and not client.leaving:
                client.leaving = True
                self._meters.dropped_clients += 1
                logger.warning("client %s has read nothing for %.0f s: dropped", client.id, self._options.patience)
                client.writer.close(1013, "too slow")
                self._loop.call_later(GOODBYE, client.writer.abort)

    def _send_sliced(self, batch: Batch, clients: list[Client]) -> None:
        """To many, without keeping the loop for long."""
        for client in clients[:SLICE]:
            if client.group is not None:
                client.writer.write(batch)
        if len(clients) > SLICE:
            self._loop.call_soon(self._send_sliced, batch, clients[SLICE:])


def _unnumbered(event: Any) -> bytes:
    fields = msgspec.to_builtins(event)
    del fields["seq"]
    return msgspec.json.encode(fields)


def _as_messages(state: State, common: dict[str, Any]) -> Iterable[Any]:
    """A state as the messages that tell it, in the order people read them."""
    asdict = msgspec.structs.asdict
    yield ev.SessionUpdate(**asdict(state.session), **common)
    if state.runtime is not None:
        yield ev.RuntimeUpdate(**asdict(state.runtime), **common)
    items = [*state.phases, *state.components, *state.features, *state.tasks, *state.checkpoints]
    for item in items:
        yield KINDS[type(item)][2](**asdict(item), **common)
    for warning in state.warnings:
        yield ev.Warning_(**asdict(warning), **common)
    for file in state.context:
        yield ev.FileChange(change_type="modified", **asdict(file), **common)
    for row in state.terminal.tail:
        yield ev.TerminalOutput(
            output=row.text + "\n",
            content=row.text + "\n",
            output_type=row.output_type,
            source=row.source,
            line=row.line,
            **common,
        )
    yield ev.BuildProgress(**asdict(state.progress), **common)

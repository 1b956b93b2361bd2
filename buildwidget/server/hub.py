"""Fan out the log of one session to its clients.

There is no queue per client: each has a cursor in the log of its session. Clients that keep up share the hub's own
cursor, and those with the same filter get the same bytes, encoded once. The cursor of a client whose socket is full
stays until the socket has drained; then the client gets what it missed, collapsed, or, if that is more than
``queue_bytes``, a gap and a snapshot. So a client that does not read costs only its last write, of which it holds one
slice and shares the rest, and no other client waits for it.

The first message after a pause is sent at once; those that follow within one tick are joined into one write.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections import deque
from collections.abc import AsyncGenerator, Iterator
from typing import Any, Final

from .. import __version__
from .. import events as ev
from ..log import Logged, collapse
from ..session import BuildSession
from .budget import Budget
from .clients import Client, Group, Numbered, Start
from .config import ServerOptions
from .filters import EVERYTHING, Filter
from .meters import Meters
from .snapshots import EncodedState, stamp
from .wire import SLICE, Batch, Message

__all__ = ["Hub"]

logger = logging.getLogger("buildwidget.server")

SERVER: Final = f"buildwidget/{__version__}"
MANY: Final = 500  # clients that get a heartbeat in one turn of the loop
CHUNK: Final = 128 * 1024  # bytes per write to a client that resumes
GOODBYE: Final = 1.0  # seconds between the close frame and the end of a client that does not read


class Hub:
    """All clients of one session in one event loop. Every method is called in that loop, unless it says otherwise."""

    def __init__(self, session: BuildSession, options: ServerOptions, meters: Meters, budget: Budget) -> None:
        self.session, self._options, self._meters, self.budget = session, options, meters, budget
        self.loop = self._loop = asyncio.get_running_loop()
        self.clients: set[Client] = set()
        self._groups: dict[Filter, Group] = {}
        self._lagging: set[Client] = set()
        self._inbox: deque[list[Logged]] = deque()
        self._woken = False
        self._timer: asyncio.TimerHandle | None = None
        self._last = -self._options.tick
        self._closed = False
        self._close_args: tuple[int, str] | None = None
        self._state: EncodedState | None = None  # the newest that was encoded
        self._state_used = False  # since the last sweep
        self._state_size = 0
        self.used_at = self._loop.time()
        with session.lock:
            self.at = session.seq
            self._forget = session.listen(self._heard)

    # -- from the log ---------------------------------------------------------------------------------------------

    def _heard(self, rows: list[Logged]) -> None:
        """Queue new rows and wake the loop. Called in the thread that pumps the session."""
        self._inbox.append(rows)
        if not self._woken:
            self._woken = True
            try:
                self._loop.call_soon_threadsafe(self._wake)
            except RuntimeError:  # the loop was closed without closing the hub
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
        """Send what was logged since the last flush."""
        rows: list[Logged] = []
        while self._inbox:
            rows += self._inbox.popleft()
        if not rows:
            return
        now = self._last = self.used_at = self._loop.time()
        self._meters.events += len(rows)
        # If a socket becomes full, its client buffers the current part, and its cursor is at the end of that part.
        for part in _in_parts(rows):
            self.at = part[-1].event.seq
            for group in list(self._groups.values()):
                self._send_rows(group, part, now)

    def _send_rows(self, group: Group, rows: list[Logged], now: float) -> None:
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

    def _whole(self, messages: list[bytes] | list[Message], seq: int) -> Batch:
        """Return a batch after which a client has everything up to ``seq``; the last message gets the event id."""
        return Numbered(messages, [""] * (len(messages) - 1) + [f"{self.session.epoch}:{seq}"])

    @contextlib.asynccontextmanager
    async def _aligned(self) -> AsyncGenerator[None]:
        """Hold the session's lock after a flush, so that ``at`` is the newest sequence number.

        The pump may hold the lock for a while; the event loop polls instead of blocking.
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
        """Start a client's stream: the ``connection`` message, what it lacks, then everything new."""
        client.writer.on_paused = lambda: self._paused(client)
        client.writer.on_resumed = lambda: self._resumed(client)
        client.writer.on_closed = lambda: self.leave(client)
        client.writer.budget = self.budget
        client.writer.heartbeat = lambda: ev.encode(ev.Heartbeat(seq=client.seq, **self._common()))
        async with self._aligned():
            self.used_at = self._loop.time()
            self.clients.add(client)
            self._meters.connects += 1
            resumed = self._can_resume(start.epoch, start.since)
            if start.resumes:
                self._count_resume(resumed)
            hello = ev.Connection(
                epoch=self.session.epoch,
                seq=self.at,
                resumed=resumed,
                server=SERVER,
                heartbeat=self._options.heartbeat,
                **self._common(),
            )
            self._write(client, Batch([ev.encode(hello)]))
            if resumed:
                assert start.since is not None
                client.at, client.exact_until = start.since, self.at
            elif start.resumes or start.snapshot:
                self._give_state(client, newer_than=0)
            else:
                state = self._encoded(newer_than=0)
                client.at = state.seq
                self._write_state(client, state, self._whole(state.messages(client.filter), state.seq))
            self._catch_up(client)

    async def resume(self, client: Client, epoch: str, since: int) -> None:
        """Answer ``resume``: move the client's cursor, or send a gap and a snapshot if that is impossible."""
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
        """Replace a client's filter; if the new one is wider, send a snapshot."""
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
            # A lagging client first gets what it missed, or a gap: a snapshot alone would hide the loss.
            client.wants_state |= wider
            self._catch_up(client)

    async def report(self, client: Client, request_id: Any) -> None:
        """Answer ``request_status``."""
        async with self._aligned():
            state = self._encoded(newer_than=client.seq)
            self._write_state(client, state, Batch([state.status(request_id)]))

    @property
    def state_size(self) -> int:
        """Approximate size of the encoded state in bytes; 0 if it was never encoded."""
        return self._state_size

    async def state_now(self) -> EncodedState:
        """Return the current state, encoded once for all that need it now."""
        async with self._aligned():
            return self._encoded(newer_than=self.at)

    def leave(self, client: Client) -> None:
        """Forget a client. Can be called again."""
        self._leave_group(client)
        self._lagging.discard(client)
        self.clients.discard(client)
        client.hold(None)
        self.used_at = self._loop.time()

    def close(self, code: int, reason: str) -> None:
        """Close every client, a lagging one after it has caught up, and stop listening to the session."""
        self._closed = True
        self._close_args = (code, reason)
        self._forget()
        if self._timer is not None:
            self._timer.cancel()
        self._flush()
        for client in list(self.clients):
            if client not in self._lagging:
                client.writer.close(code, reason)

    # -- one client -----------------------------------------------------------------------------------------------

    def _common(self) -> dict[str, Any]:
        return stamp(self.session.session_id)

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

    def _encoded(self, newer_than: int) -> EncodedState:
        """Return the current state, encoded once for all that need it now. The lock is held.

        While the budget is nearly used up by older versions, it may be a slightly older state, but none before
        ``newer_than``; the log then supplies the messages after it.
        """
        self._state_used = True
        state = self._state
        if state is not None:
            if state.seq == self.at or (newer_than <= state.seq and self._can_reuse(state)):
                return state
            self._state = None  # frees its bytes if no client reads them
        state = EncodedState(
            self.session.session_id, self.session.epoch, self.at, self.session.snapshot(), self.budget.admit
        )
        self._state, self._state_size = state, len(state.json)
        return state

    def _can_reuse(self, state: EncodedState) -> bool:
        log = self.session.log
        reaches = log.first_seq - 1 <= state.seq and log.size_since(state.seq) <= self._options.queue_bytes
        return reaches and self.budget.is_tight(state.size)

    def _give_state(self, client: Client, newer_than: int, *before: bytes) -> None:
        """Write a snapshot and set the cursor to its number. The lock is held."""
        state = self._encoded(newer_than)
        client.at, client.exact_until, client.wants_state = state.seq, 0, False
        self._write_state(client, state, self._whole([*before, state.snapshot], state.seq))

    def _write_state(self, client: Client, state: EncodedState, batch: Batch) -> None:
        self._write(client, batch)
        client.hold(state)

    def _write(self, client: Client, batch: Batch) -> None:
        self._meters.delivered += len(batch.messages)
        self._meters.delivered_bytes += batch.size
        client.writer.write(batch)

    def _gap(self, client: Client, first: int | None, reason: str) -> None:
        """Send a gap and a snapshot. The lock is held."""
        self._meters.gaps += 1
        gap = ev.Gap(from_seq=first, to_seq=self.at, reason=reason, **self._common())
        self._give_state(client, client.at, ev.encode(gap))

    def _catch_up(self, client: Client) -> None:
        """Send a client what it lacks until it has caught up or its socket is full. Lock held, ``at`` is the newest."""
        while not client.writer.closed:
            if client.writer.paused:
                self._lag(client)
                return
            if client.at >= self.at:
                if client.wants_state:
                    self._give_state(client, newer_than=self.at)
                    continue
                self._lagging.discard(client)
                if self._close_args is None:
                    self._join_group(client)
                else:
                    client.writer.close(*self._close_args)
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
        """Write the next `CHUNK` of what a resuming client missed, not collapsed."""
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
                group = self._groups[client.filter] = Group(client.filter, self._loop.time())
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
        client.has_progressed()

    def _paused(self, client: Client) -> None:
        """Move a client whose socket is full out of its group; its cursor stays behind what was written."""
        if client.group is not None:
            self._leave_group(client)
            self._lag(client)

    def _resumed(self, client: Client) -> None:
        client.hold(None)
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
        """Send heartbeats and drop clients that do not read. Called about once a second."""
        now = self._loop.time()
        if not self._state_used:
            self._state = None
        self._state_used = False
        for group in list(self._groups.values()):
            group.mark_lagging()
            if now - group.spoke_at >= self._options.heartbeat:
                group.spoke_at = now
                beat = Batch([ev.encode(ev.Heartbeat(seq=self.at, **self._common()))])
                self._send_sliced(beat, list(group.clients))
        for client in list(self._lagging):
            if client.has_progressed():
                client.stalled_at = now
            elif now - client.stalled_at >= self._options.patience and not client.leaving:
                logger.warning("dropped client %s: it has read nothing for %.0f s", client.id, self._options.patience)
                self._drop(client)
                self._loop.call_later(GOODBYE, client.writer.abort)

    def _drop(self, client: Client) -> None:
        client.leaving = True
        self._meters.dropped_clients += 1
        client.writer.close(1013, "too slow")
        self.leave(client)

    def evict(self, client: Client) -> None:
        """Disconnect a client to free memory for others. May be called from any thread."""

        def act() -> None:
            if client in self.clients:
                logger.warning(
                    "dropped client %s: it still reads an old snapshot, and the memory for snapshots is used up",
                    client.id,
                )
                self._drop(client)
                client.writer.abort()

        with contextlib.suppress(RuntimeError):  # the loop is closed
            self._loop.call_soon_threadsafe(act)

    def _send_sliced(self, batch: Batch, clients: list[Client]) -> None:
        """Write to many clients, `MANY` per turn of the loop, so that it is not blocked for long."""
        for client in clients[:MANY]:
            if client.group is not None:
                client.writer.write(batch)
        if len(clients) > MANY:
            self._loop.call_soon(self._send_sliced, batch, clients[MANY:])


def _in_parts(rows: list[Logged]) -> Iterator[list[Logged]]:
    """Split rows into parts of at most `SLICE` bytes, each of at least one row."""
    part: list[Logged] = []
    size = 0
    for row in rows:
        if part and size + len(row.data) > SLICE:
            yield part
            part, size = [], 0
        part.append(row)
        size += len(row.data)
    if part:
        yield part

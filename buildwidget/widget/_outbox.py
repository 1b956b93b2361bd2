# pyright: basic
# (ipywidgets, anywidget and IPython have no types of their own)
"""Batched sending from the log to the cell.

The first message after a silence is sent at once; further ones are batched, one envelope every 50 ms at most. Messages
may be lost on the way (JupyterLab drops them above a rate), so every envelope carries its range of sequence numbers.
"""

from __future__ import annotations

import contextvars
import logging
import time
from collections.abc import Callable
from typing import Any, Final

import msgspec

from ..log import Logged, collapse
from ..session import BuildSession

__all__ = ["Outbox"]

logger = logging.getLogger("buildwidget.widget")

INTERVAL: Final = 0.050  # seconds between two envelopes
HEARTBEAT: Final = 1.0  # seconds of silence before a heartbeat
MANY: Final = 2_000  # messages; beyond, a snapshot is shorter

Send = Callable[[dict[str, Any], "list[bytes] | None"], None]


class Outbox:
    """Sends one session's messages over one comm.

    Every public method may be called from any thread. What is sent goes out in the context that a view's newest
    message came in: the kernel answers a comm on the shell that last published on it, and only that way are clicks
    answered while another cell runs.
    """

    def __init__(self, session: BuildSession, send: Send) -> None:
        self._session = session
        self._send = send
        self._context = contextvars.copy_context()
        self._sent = 0  # the newest sequence number that was sent
        self._last = -INTERVAL  # when
        self._beat = 0.0  # when the last heartbeat was
        self._due = False
        self._greeted = False

    def publish(self, content: dict[str, Any], buffers: list[bytes] | None = None) -> None:
        """Send one custom message. A closed comm is not an error."""
        try:
            self._context.copy().run(self._send, content, buffers)
        except Exception:
            logger.debug("a message could not be sent", exc_info=True)

    def run(self, function: Callable[[], None]) -> None:
        """Call ``function`` in the context that messages are sent in."""
        self._context.copy().run(function)

    # -- requests of the view ----------------------------------------------------------------------------------------

    def adopt(self) -> None:
        """Send in the current context from now on. Called for every message of a view.

        The first `hello` may be older than the subshell that JupyterLab makes for comms: its context leads to the main
        shell, where clicks would wait for the running cell.
        """
        self._context = contextvars.copy_context()

    def hello(self, content: dict[str, Any], welcome: dict[str, Any]) -> None:
        """Answer the hello of a view: send a welcome, then the messages that it has missed."""
        self._greeted = True
        with self._session.lock:
            session = self._session
            self.publish({"kind": "welcome", "epoch": session.epoch, "seq": session.seq, **welcome})
            self.replay(content.get("epoch"), content.get("seq"))

    def replay(self, epoch: object, since: object) -> None:
        """Send the messages after ``since``, or a snapshot if the log does not hold all of them."""
        with self._session.lock:
            rows = None
            if epoch == self._session.epoch and isinstance(since, int):
                rows = self._session.since(since)
            self._send_rows(rows)

    # -- updates of the session --------------------------------------------------------------------------------------

    def offer(self) -> float | None:
        """Send newly logged messages if it is time; else return the seconds after which to call `flush`."""
        wait = self._last + INTERVAL - time.monotonic()
        if wait <= 0:
            self.flush()
            return None
        self._due = True
        return wait

    def flush(self) -> None:
        """Send the messages not sent yet; if the session is locked, leave them to the next `tick`."""
        if not self._session.lock.acquire(blocking=False):
            self._due = True  # the lock holder is about to log more; the next tick sends
            return
        try:
            self._due = False
            self._send_rows(self._session.since(self._sent))
        finally:
            self._session.lock.release()

    def tick(self) -> None:
        """Send pending messages or a heartbeat. Called by the watcher's thread about every 50 ms."""
        now = time.monotonic()
        if self._due and now - self._last >= INTERVAL:
            self.flush()
        elif self._greeted and now - max(self._last, self._beat) >= HEARTBEAT:
            self._beat = now
            self._session.probe()
            session = self._session
            self.publish({"kind": "heartbeat", "epoch": session.epoch, "seq": session.seq, "busy": session.busy})

    def _send_rows(self, rows: list[Logged] | None) -> None:
        """Send messages, or a snapshot if there are too many or the log no longer holds them (None)."""
        if rows is None or len(rows) > MANY:
            self._send_snapshot()
        elif rows:
            self._send_events(rows)

    def _send_events(self, rows: list[Logged]) -> None:
        first, last = rows[0].event.seq, rows[-1].event.seq
        body = b"[" + b",".join(row.data for row in collapse(rows)) + b"]"
        content = {"kind": "events", "epoch": self._session.epoch, "from": first, "to": last, "encoded": True}
        self._mark(last)
        self.publish(content, [body])

    def _send_snapshot(self) -> None:
        seq, state = self._session.snapshot_at()
        content = {"kind": "snapshot", "epoch": self._session.epoch, "seq": seq, "encoded": True}
        self._mark(seq)
        self.publish(content, [msgspec.json.encode(state)])

    def _mark(self, seq: int) -> None:
        self._sent = max(self._sent, seq)
        self._last = time.monotonic()

"""One interface to the messages of a build, read from a project's folder or from a server; the commands use it.

The client is imported only when a server is used: a folder needs no more than the base install.
"""

from __future__ import annotations

import queue
import threading
import time
from collections.abc import Callable, Generator, Iterable
from datetime import UTC, datetime
from pathlib import Path
from types import TracebackType
from typing import Any, Final, NamedTuple, Self

from . import events as ev
from .errors import ClientError
from .model import BuildStatus, State
from .session import BuildSession
from .terminal_view.pulse import Pulse

__all__ = [
    "Feed",
    "LocalFeed",
    "RemoteFeed",
    "ServerSink",
    "SessionSink",
    "has_build",
    "is_url",
    "open_feed",
    "stalled",
]

FINAL: Final = frozenset({BuildStatus.COMPLETED, BuildStatus.FAILED})
Notify = Callable[[str], object]

MAX_QUEUED: Final = 2_000  # received messages that `messages` has not returned yet
SEND_EVERY: Final = 0.1  # seconds between two publications of output
BATCH: Final = 256 * 1024  # characters of one publication


class _Notice(NamedTuple):
    """A line for the ``notify`` callback, queued between the messages."""

    text: str


def _log_of(url: str, token: str | None) -> tuple[str | None, int, int]:
    """Return the epoch of a server's session and its oldest and newest sequence numbers; None, 0, 0 if unknown."""
    from .client import Place, list_sessions

    wanted = Place.of(url, token).session
    rows = [row for row in list_sessions(url, token=token) if wanted in {None, row["session_id"]}]
    if len(rows) != 1:
        return None, 0, 0
    (row,) = rows
    return str(row["epoch"]), int(row.get("first_seq", 0)), int(row["seq"])  # an older server has no first_seq


def is_url(place: str) -> bool:
    """Return whether ``place`` is the address of a server, not a path."""
    return place.startswith(("http://", "https://", "ws://", "wss://"))


class Feed:
    """The messages of one build as they arrive, and its current state. A context manager, used from one thread."""

    epoch: str = ""
    #: The sequence number after which its messages begin.
    begins_after: int = 0

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    @property
    def state(self) -> State:
        """The current state."""
        raise NotImplementedError

    @property
    def seq(self) -> int:
        """The sequence number of the newest message in `state`."""
        raise NotImplementedError

    @property
    def newest(self) -> int:
        """The newest sequence number known of."""
        return self.seq

    def messages(self, timeout: float) -> list[Any]:
        """Return the messages that arrived since the last call; wait up to ``timeout`` seconds for the first.

        They are the numbered messages, and a `Gap` where some are missing.
        """
        raise NotImplementedError

    def close(self) -> None:
        """Close the feed."""
        raise NotImplementedError


class LocalFeed(Feed):
    """A project on this machine, read by this process.

    Parameters
    ----------
    project
        The folder that holds ``.buildrunner``.
    since
        Begin after this sequence number; None: only new messages; -10: the newest ten as well.
    """

    def __init__(self, project: Path, since: int | None = None) -> None:
        self._session = BuildSession(project)
        self._news = threading.Event()
        self._session.listen(lambda _: self._news.set())
        self._session.open()
        end = time.monotonic() + 60
        while not self._session.loaded and time.monotonic() < end:
            time.sleep(0.002)
        self.epoch = self._session.epoch
        newest = self._session.seq
        self.begins_after = self._at = newest if since is None else since if since >= 0 else max(0, newest + since)

    @property
    def state(self) -> State:
        """The current state."""
        return self._session.snapshot()

    @property
    def seq(self) -> int:
        """The sequence number of the newest message in `state`."""
        return self._session.seq

    def messages(self, timeout: float) -> list[Any]:
        """Return the messages since the last call. See `Feed.messages`."""
        self._news.clear()
        rows = self._session.since(self._at)
        if rows == []:
            self._news.wait(timeout)
            rows = self._session.since(self._at)
        gaps: list[Any] = []
        while rows is None:  # the log no longer reaches back
            first = self._session.log.first_seq
            missed = self._at + 1 if self._at < first else None
            gaps = [ev.Gap(from_seq=missed, to_seq=first - 1, reason="log_exceeded", timestamp=datetime.now(UTC))]
            rows = self._session.since(first - 1)
        if rows:
            self._at = rows[-1].event.seq
        return [*gaps, *(row.event for row in rows)]

    def close(self) -> None:
        """Close the feed."""
        self._session.close()


class RemoteFeed(Feed):
    """A session of a running server.

    Parameters
    ----------
    url
        Its address; see `buildwidget.client`.
    token
        The server's read token.
    epoch, since
        Resume after this message of this epoch; ``since=-10``: begin with the newest ten messages.
    reconnect
        Whether to keep retrying while the server is unreachable.
    notify
        Callback; `messages` calls it with one line of text when the server becomes unreachable, and when it is back.
    """

    def __init__(
        self,
        url: str,
        *,
        token: str | None = None,
        epoch: str | None = None,
        since: int | None = None,
        reconnect: bool = True,
        notify: Notify | None = None,
    ) -> None:
        from .client import connect_sync

        missed: int | None = None
        if since is not None and epoch is None:
            epoch, first, newest = _log_of(url, token)
            since = None if epoch is None else since if since >= 0 else max(0, newest + since)
            if since is not None and since < first - 1:  # the log no longer reaches back so far
                missed, since = since + 1, first - 1
        self._notify = notify
        self._queue: queue.Queue[Any] = queue.Queue(MAX_QUEUED)
        if missed is not None:
            assert since is not None
            self._queue.put(ev.Gap(from_seq=missed, to_seq=since, reason="log_exceeded", timestamp=datetime.now(UTC)))
        self._known = threading.Event()
        self._closed = False
        self._error: BaseException | None = None  # what ended the stream
        self._stream = connect_sync(
            url,
            token=token,
            epoch=epoch,
            since=since,
            raw=True,
            timeout=3,
            reconnect=reconnect,
            on_connection=self._on_connection,
        )
        self._stream.__enter__()
        self._thread = threading.Thread(target=self._read, name="buildwidget-feed", daemon=True)
        self._thread.start()
        if not self._known.wait(10):
            self.close()
            raise ClientError(
                f"{url} sent no state of the build within 10 seconds; check the server's log, or try again"
            )
        self.begins_after = self._stream.seq if since is None else since

    def _read(self) -> None:
        try:
            for message in self._stream:
                if isinstance(message, ev.Gap) or (ev.type_of(message) in ev.TYPES and message.seq is not None):
                    self._put(message)
                if isinstance(message, ev.Snapshot) or (isinstance(message, ev.Connection) and message.resumed):
                    self._known.set()
            error: BaseException = ClientError("the server has closed the stream")
        except BaseException as caught:  # noqa: BLE001 (re-raised by `messages`)
            error = caught
        self._put(error)
        self._known.set()

    def _put(self, item: Any) -> None:
        """Queue an item for `messages`; block while the queue is full, so that the server sees the backpressure."""
        while not self._closed:
            try:
                self._queue.put(item, timeout=0.5)
            except queue.Full:
                continue
            return

    def _on_connection(self, error: ClientError | None) -> None:
        self._put(_Notice("the server is back" if error is None else f"the server is away, retrying: {error}"))

    @property
    def newest(self) -> int:
        """The newest sequence number that the server has announced."""
        return self._stream.newest

    @property
    def epoch(self) -> str:  # pyright: ignore[reportIncompatibleVariableOverride]
        """The epoch that the sequence numbers belong to."""
        return self._stream.epoch or ""

    @property
    def state(self) -> State:
        """The current state."""
        return self._stream.snapshot()

    @property
    def seq(self) -> int:
        """The sequence number of the newest message in `state`."""
        return self._stream.seq

    def messages(self, timeout: float) -> list[Any]:
        """Return the messages since the last call. See `Feed.messages`.

        Raises
        ------
        ClientError
            If the stream has ended and is not retried.
        """
        found: list[Any] = []
        end = time.monotonic() + timeout
        while True:
            if self._error is not None:
                if found:
                    return found
                raise self._error
            try:
                wait = 0.0 if found else max(0.0, end - time.monotonic())
                item = self._queue.get(timeout=wait) if wait else self._queue.get_nowait()
            except queue.Empty:
                return found
            if isinstance(item, BaseException):
                self._error = item
            elif not isinstance(item, _Notice):
                found.append(item)
            elif self._notify is not None:
                self._notify(item.text)

    def close(self) -> None:
        """Close the feed."""
        self._closed = True
        self._stream.close()


def open_feed(
    place: str,
    *,
    token: str | None = None,
    epoch: str | None = None,
    since: int | None = None,
    reconnect: bool = True,
    notify: Notify | None = None,
) -> Feed:
    """Open the feed of a build at a path or an address. See `LocalFeed` and `RemoteFeed` for the arguments."""
    if is_url(place):
        return RemoteFeed(place, token=token, epoch=epoch, since=since, reconnect=reconnect, notify=notify)
    return LocalFeed(Path(place), since)


def has_build(state: State) -> bool:
    """Return whether the state holds any sign of a build: an item, output, a status or a percentage."""
    items = (
        state.components or state.features or state.tasks or state.phases or state.checkpoints or state.terminal.tail
    )
    return bool(items) or state.session.status is not BuildStatus.UNKNOWN or state.progress.percent is not None


def stalled(state: State, now: datetime | None = None) -> float | None:
    """Return for how many seconds a build has been silent, if that is unusually long for it; else None.

    A build that has ended is never stalled. What is usual follows from the times in the state: of checkpoints, and of
    the starts and ends of items. See `Pulse` for the rule.
    """
    if state.session.status in FINAL or state.updated_at is None or not has_build(state):
        return None
    pulse = Pulse()
    for number, at in enumerate(sorted(_times(state))):
        pulse.beat(number, at)
    moment = (now or datetime.now(UTC)).timestamp()
    return pulse.silence(moment) if pulse.stalled(moment) else None


def _times(state: State) -> set[float]:
    times = {c.created_at for c in state.checkpoints}
    for item in (*state.components, *state.tasks, *state.phases):
        for name in ("started_at", "ended_at", "completed_at", "updated_at"):
            times.add(getattr(item, name, None))
    times.add(state.updated_at)
    assert state.updated_at is not None
    return {at.timestamp() for at in times if at is not None and at <= state.updated_at}


# -- sinks for the output of a command ------------------------------------------------------------------------


class SessionSink:
    """Writes the output of a command into a session of this process."""

    def __init__(self, session: BuildSession, source: str) -> None:
        self._session, self._source = session, source

    def write(self, text: str, output_type: str) -> None:
        """Append ``text`` to the session's terminal."""
        if text:
            self._session.write_terminal(text, output_type, self._source)

    def close(self) -> None:
        """End the last line, even if it has no newline."""
        self._session.end_terminal(self._source)


class ServerSink:
    """Publishes the output of a command into a session of a running server, at most every 100 ms.

    If the server cannot be reached, the sink retries with exponential backoff. Output beyond `BATCH` is dropped
    meanwhile, and one line says how much. The callback ``warn`` gets the reason, once.
    """

    def __init__(self, url: str, source: str, *, token: str | None, session: str | None, warn: Any) -> None:
        from .client import publish  # fails here, before the command runs, if the extra is missing

        self._publish = publish
        self._url, self._source, self._token, self._session, self._warn = url, source, token, session, warn
        self._waiting: list[tuple[str, str]] = []
        self._size = 0
        self._lost = 0
        self._next = 0.0
        self._pause = SEND_EVERY
        self._warned = False

    def write(self, text: str, output_type: str) -> None:
        """Buffer ``text`` and publish the buffer when it is due; with an empty text only publish what is due."""
        now = time.monotonic()
        if not text:  # nothing new, but the buffer may be due
            if now >= self._next:
                self._send(now)
            return
        if (
            self._size > BATCH and self._pause == SEND_EVERY
        ):  # the server is reachable; output comes faster than it is sent
            time.sleep(max(0.0, self._next - now))
            self._send(time.monotonic())
        if self._size > BATCH:
            self._lost += len(text)
        else:
            self._waiting.append((text, output_type))
            self._size += len(text)
        if time.monotonic() >= self._next:
            self._send(time.monotonic())

    def close(self) -> None:
        """Publish what is left, in one attempt."""
        self._send(time.monotonic())

    def _send(self, now: float) -> None:
        if not self._waiting:
            return
        pieces = list(_joined(self._waiting))
        if self._lost:
            pieces.append((f"\n… {self._lost:,} characters skipped\n", "info"))
        messages = [
            {"type": "terminal_output", "output": text, "output_type": kind, "source": self._source}
            for text, kind in pieces
        ]
        try:
            self._publish(self._url, messages, token=self._token, session=self._session)
        except ClientError as error:
            self._pause = min(5.0, self._pause * 2)
            if not self._warned:
                self._warned = True
                self._warn(f"the output is not mirrored: {error}")
        else:
            self._waiting, self._size, self._lost, self._pause = [], 0, 0, SEND_EVERY
        self._next = now + self._pause


def _joined(pieces: Iterable[tuple[str, str]]) -> Generator[tuple[str, str]]:
    """Merge neighbouring pieces of the same output type."""
    text, kind = "", ""
    for more, more_kind in pieces:
        if more_kind != kind and text:
            yield text, kind
            text = ""
        text, kind = text + more, more_kind
    if text:
        yield text, kind

"""One build, from wherever it is: a project's folder, or a server. What the commands for programs are made of.

The client is imported where a server is spoken to: a folder needs nothing but the base install.
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
Tell = Callable[[str], object]

WAITING: Final = 2_000  # messages of a server that nobody has asked for yet
SEND_EVERY: Final = 0.1  # seconds between two publications of output
BATCH: Final = 256 * 1024  # characters of one of them


class _Word(NamedTuple):
    """A line for a person, between the messages."""

    text: str


def _log_of(url: str, token: str | None) -> tuple[str | None, int, int]:
    """The log that a server's session has now, its oldest number and its newest."""
    from .client import Place, list_sessions

    wanted = Place.of(url, token).session
    rows = [row for row in list_sessions(url, token=token) if wanted in {None, row["session_id"]}]
    if len(rows) != 1:
        return None, 0, 0
    (row,) = rows
    return str(row["epoch"]), int(row.get("first_seq", 0)), int(row["seq"])  # an older server has no first_seq


def is_url(place: str) -> bool:
    """Whether this names a server, not a folder."""
    return place.startswith(("http://", "https://", "ws://", "wss://"))


class Feed:
    """The messages of one build, as they come, and its present state. Used as a context manager, from one thread."""

    epoch: str = ""
    #: The number after which its messages begin.
    begins_after: int = 0

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    @property
    def state(self) -> State:
        """The present state."""
        raise NotImplementedError

    @property
    def seq(self) -> int:
        """The number of the newest message in it."""
        raise NotImplementedError

    @property
    def newest(self) -> int:
        """The number of the newest message there is, as far as is known here."""
        return self.seq

    def messages(self, timeout: float) -> list[Any]:
        """What has come since the last call; waits for the first at most so many seconds.

        The numbered messages, and a `Gap` where some are missing.
        """
        raise NotImplementedError

    def close(self) -> None:
        """End it."""
        raise NotImplementedError


class LocalFeed(Feed):
    """A project on this machine, read by this process.

    Parameters
    ----------
    project
        The folder that holds ``.buildrunner``.
    since
        Give the messages after this number; None: only those from now on; -10: the newest ten, too.
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
        """The present state."""
        return self._session.snapshot()

    @property
    def seq(self) -> int:
        """The number of the newest message in it."""
        return self._session.seq

    def messages(self, timeout: float) -> list[Any]:
        """What has come."""
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
        """End it."""
        self._session.close()


class RemoteFeed(Feed):
    """A session of a running server.

    Parameters
    ----------
    url
        Its address; see `buildwidget.client`.
    token
        What the server asks for.
    epoch, since
        Go on after this message of this log; -10: the newest ten of the present one, too.
    reconnect
        Whether to wait for a server that is away.
    tell
        Called, by `messages`, with a line for a person when the server is away, and when it is back.
    """

    def __init__(
        self,
        url: str,
        *,
        token: str | None = None,
        epoch: str | None = None,
        since: int | None = None,
        reconnect: bool = True,
        tell: Tell | None = None,
    ) -> None:
        from .client import connect_sync

        missed: int | None = None
        if since is not None and epoch is None:
            epoch, first, newest = _log_of(url, token)
            since = None if epoch is None else since if since >= 0 else max(0, newest + since)
            if since is not None and since < first - 1:  # the log no longer reaches back: what it still holds
                missed, since = since + 1, first - 1
        self._tell = tell
        self._queue: queue.Queue[Any] = queue.Queue(WAITING)
        if missed is not None:
            assert since is not None
            self._queue.put(ev.Gap(from_seq=missed, to_seq=since, reason="log_exceeded", timestamp=datetime.now(UTC)))
        self._known = threading.Event()
        self._closed = False
        self._error: BaseException | None = None  # the stream has ended with it
        self._stream = connect_sync(
            url,
            token=token,
            epoch=epoch,
            since=since,
            raw=True,
            timeout=3,
            reconnect=reconnect,
            on_connection=self._connection_changes,
        )
        self._stream.__enter__()
        self._thread = threading.Thread(target=self._read, name="buildwidget-feed", daemon=True)
        self._thread.start()
        if not self._known.wait(10):
            self.close()
            raise ClientError("the server does not say how the build stands")
        self.begins_after = self._stream.seq if since is None else since

    def _read(self) -> None:
        try:
            for message in self._stream:
                if isinstance(message, ev.Gap) or (ev.type_of(message) in ev.TYPES and message.seq is not None):
                    self._put(message)
                if isinstance(message, ev.Snapshot) or (isinstance(message, ev.Connection) and message.resumed):
                    self._known.set()
            error: BaseException = ClientError("the server has ended the stream")
        except BaseException as caught:  # noqa: BLE001 (raised where somebody waits for messages)
            error = caught
        self._put(error)
        self._known.set()

    def _put(self, item: Any) -> None:
        """Hand on to `messages`; wait while much waits there. The server is not read then, and says what it drops."""
        while not self._closed:
            try:
                self._queue.put(item, timeout=0.5)
            except queue.Full:
                continue
            return

    def _connection_changes(self, error: ClientError | None) -> None:
        self._put(_Word("the server is back" if error is None else f"the server is away, trying again: {error}"))

    @property
    def newest(self) -> int:
        """The number of the newest message that the server has told of."""
        return self._stream.newest

    @property
    def epoch(self) -> str:  # pyright: ignore[reportIncompatibleVariableOverride]
        """The log that the numbers belong to."""
        return self._stream.epoch or ""

    @property
    def state(self) -> State:
        """The present state."""
        return self._stream.snapshot()

    @property
    def seq(self) -> int:
        """The number of the newest message in it."""
        return self._stream.seq

    def messages(self, timeout: float) -> list[Any]:
        """What has come; raises `ClientError` when the stream has ended for good."""
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
            elif not isinstance(item, _Word):
                found.append(item)
            elif self._tell is not None:
                self._tell(item.text)

    def close(self) -> None:
        """End it."""
        self._closed = True
        self._stream.close()


def open_feed(
    place: str,
    *,
    token: str | None = None,
    epoch: str | None = None,
    since: int | None = None,
    reconnect: bool = True,
    tell: Tell | None = None,
) -> Feed:
    """The build at a path or an address. See `LocalFeed` and `RemoteFeed` for the arguments."""
    if is_url(place):
        return RemoteFeed(place, token=token, epoch=epoch, since=since, reconnect=reconnect, tell=tell)
    return LocalFeed(Path(place), since)


def has_build(state: State) -> bool:
    """Whether there is anything at all to tell of."""
    items = (
        state.components or state.features or state.tasks or state.phases or state.checkpoints or state.terminal.tail
    )
    return bool(items) or state.session.status is not BuildStatus.UNKNOWN or state.progress.percent is not None


def stalled(state: State, now: datetime | None = None) -> float | None:
    """For how many seconds a build has been silent, if that is longer than its own rhythm explains; else None.

    A build that has ended is never stalled. The rhythm is that of the times in the state: of checkpoints, and of the
    beginnings and ends of items. See `Pulse` for the rule.
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


# -- where the output of a command goes ------------------------------------------------------------------------


class SessionSink:
    """A session of this process."""

    def __init__(self, session: BuildSession, source: str) -> None:
        self._session, self._source = session, source

    def write(self, text: str, output_type: str) -> None:
        """Add it to the session's terminal."""
        if text:
            self._session.write_terminal(text, output_type, self._source)

    def close(self) -> None:
        """The last line is a whole one."""
        self._session.end_terminal(self._source)


class ServerSink:
    """A session of a running server: what came within 100 ms goes in one request.

    A server that cannot be reached is tried again, less and less often. What it has missed by then it is told in one
    line. ``warn`` is called once with what is wrong.
    """

    def __init__(self, url: str, source: str, *, token: str | None, session: str | None, warn: Any) -> None:
        from .client import publish  # an extra that is missing is told before the command runs

        self._publish = publish
        self._url, self._source, self._token, self._session, self._warn = url, source, token, session, warn
        self._waiting: list[tuple[str, str]] = []
        self._size = 0
        self._lost = 0
        self._next = 0.0
        self._pause = SEND_EVERY
        self._warned = False

    def write(self, text: str, output_type: str) -> None:
        """Take it; send it when it is time."""
        now = time.monotonic()
        if not text:  # nothing new; what waits may go
            if now >= self._next:
                self._send(now)
            return
        if self._size > BATCH and self._pause == SEND_EVERY:  # all is well, there is only much of it
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
        """Send what is left; one try."""
        self._send(time.monotonic())

    def _send(self, now: float) -> None:
        if not self._waiting:
            return
        said = list(_joined(self._waiting))
        if self._lost:
            said.append((f"\n… {self._lost:,} characters skipped\n", "info"))
        messages = [
            {"type": "terminal_output", "output": text, "output_type": kind, "source": self._source}
            for text, kind in said
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
    """Neighbours of one kind as one piece."""
    text, kind = "", ""
    for more, its in pieces:
        if its != kind and text:
            yield text, kind
            text = ""
        text, kind = text + more, its
    if text:
        yield text, kind

"""One live build: files in, numbered messages out.

A `BuildSession` connects the stages: watcher → formats → merge → state → log → subscribers. One pump drains the pending
changes, under one lock. It runs in one of two places:

- by default in the watcher's thread (subscribers may live in any event loop);
- with ``open(loop=…)`` in that loop, so that callbacks and observers run there. The watcher's thread schedules the
  pump in the loop and waits 4 ms for it to begin. A loop that does not begin counts as blocked: the thread then pumps
  itself until the loop answers again. Nothing waits for the loop, and no change is processed twice.
"""

from __future__ import annotations

import asyncio
import logging
import os
import secrets
import threading
import time
from collections.abc import AsyncIterator, Callable, Generator, Iterable, Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from types import TracebackType
from typing import Any, Final, NamedTuple, Self
from weakref import WeakSet

from .. import events as ev
from .. import publish
from ..log import EventLog, Logged
from ..merge import Merge
from ..model import Activity, BuildStatus, BuildWarning, Progress, Runtime, State
from ..reading.files import as_text
from ..reading.values import utc_of
from ..state import BuildState, Delta
from ..systems import OPEN_ENDED, shape_of
from ..systems.paths import is_output
from ..systems.record import Record
from ..terminal import Chunk, Terminal
from ..watching.pending import FileChange
from ..watching.source import ChangeSource
from ..watching.still import StillSource
from ._interrupts import uninterrupted
from ._logs import LogFollower
from ._reading import FileReader, Later, NotParsed, Reading
from ._subscription import Subscription, Waker

__all__ = ["BuildSession"]

logger = logging.getLogger("buildwidget.session")

PATIENCE: Final = 0.5  # seconds without an answer to a probe, after which a loop counts as blocked
PROBE_EVERY: Final = 0.9  # seconds between two probes at least; a little less than the interval of a heartbeat
GRACE: Final = 0.004  # seconds a loop gets to begin pumping before the thread does it; when free, it needs < 1 ms
OPENING: Final = 1.0  # seconds for which what was read at the start may wait for plans that are being written
RETRY: Final = 0.05  # seconds until a pump that could not take the lock is tried again


class _Early(NamedTuple):
    """What was read at the start and waits for a plan: records, messages, and the time of the newest file."""

    said: list[tuple[str, Record | BuildWarning | None]] = []
    files: list[ev.FileChange | ev.TerminalOutput | ev.Error] = []
    newest: float | None = None


class BuildSession:
    """One live build.

    Parameters
    ----------
    project_root
        The folder that holds (or will hold) ``.buildrunner``. None: no files are watched, and the build consists of
        what `publish` is given.
    session_id
        The name in every message; the folder's name by default.
    poll
        True: poll instead of using the system's notifier. None: poll only where the notifier does not work.

    Raises
    ------
    ValueError
        If the session id cannot be encoded as UTF-8.

    Examples
    --------
    >>> async with BuildSession(".") as session:  # doctest: +SKIP
    ...     async for event in session.subscribe():
    ...         print(event)
    """

    def __init__(
        self,
        project_root: str | Path | None,
        *,
        session_id: str | None = None,
        poll: bool | None = None,
        **options: Any,
    ) -> None:
        self.root = None if project_root is None else Path(os.path.abspath(Path(project_root).expanduser()))
        name = as_text(self.root.name) if self.root else ""
        self.session_id = session_id or name or "build"
        try:
            self.session_id.encode()
        except UnicodeEncodeError:
            raise ValueError(
                f"{self.session_id!r} cannot be a session id: it holds surrogates, which no message can"
            ) from None
        self.log = EventLog(secrets.token_hex(8))
        self._state = BuildState()
        self._merge = Merge(name or self.session_id)
        self._terminal = Terminal()
        self.lock = threading.RLock()  # held while state and log change; hold it to read both consistently
        self._source: ChangeSource | StillSource = StillSource()
        if self.root is not None:
            self._source = ChangeSource(self.root, wake=self._wake, tick=self._tick, poll=poll, **options)
        self._reader = FileReader(self.root) if self.root else None
        self._logs = LogFollower(self.root, self._terminal) if self.root else None
        self._listeners: list[Callable[[list[Logged]], None]] = []
        self._tickers: list[Callable[[], None]] = []
        self._recorders: list[Callable[[str, Record | BuildWarning | None, os.stat_result | None], None]] = []
        self._loop: asyncio.AbstractEventLoop | None = None
        self._begun = threading.Event()
        self._responsive = True
        self._probing = False
        self._probed_at = 0.0  # monotonic time of the last probe
        self._opened = self._closed = self._loaded = False
        self._stamp: datetime | None = None
        self._opened_at = 0.0  # monotonic time
        self._unread: set[str] = set()  # plans that were being written when they were found at the start
        self._early = _Early()
        self._wakers: WeakSet[Waker] = WeakSet()
        self._flusher: threading.Timer | None = None

    # -- life -----------------------------------------------------------------------------------------------------

    def open(self, loop: asyncio.AbstractEventLoop | None = None) -> Self:
        """Start watching; return at once. ``loop``: the asyncio loop to run the pump in unless it is blocked."""
        if self._closed:
            raise RuntimeError("this session is closed; make a new one")
        if not self._opened:
            self._opened = True
            self._opened_at = _now()
            self._loop = loop
            with self.lock:
                # The project's name, before there is any file. It must not look newer than what is already there.
                self._emit(self._merge.update([]), _mtime(self.root / ".buildrunner") if self.root else None)
            self._source.start()
        return self

    def close(self) -> None:
        """Stop watching and end every subscription. Can be called again."""
        if self._closed:
            return
        self._closed = True
        if self._opened:
            self._source.stop()
        with self.lock:
            self._notify()
            self._listeners.clear()
            self._tickers.clear()
            self._recorders.clear()

    async def __aenter__(self) -> Self:
        self.open()
        await self.wait_loaded()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    async def wait_loaded(self) -> None:
        """Wait until all files that existed at the start have been read. Under asyncio or trio."""
        waker = self.waker()
        while not self.loaded and not self._closed:
            waker.clear()
            await waker.wait(0.02)

    def waker(self) -> Waker:
        """Return a `Waker` that wakes the calling task at every new message. The session holds it only weakly."""
        waker = Waker()
        with self.lock:  # the pump iterates over them
            self._wakers.add(waker)
        return waker

    @property
    def closed(self) -> bool:
        """Whether `close` was called."""
        return self._closed

    @property
    def loaded(self) -> bool:
        """Whether all files that existed at the start have been read."""
        if not self._loaded and self._source.ready.is_set():
            # Changes due later belong to growing logs and do not count; torn files that are still retried do.
            self._loaded = self._source.due_in() != 0.0 and not (self._reader and self._reader.retrying)
        return self._loaded

    @property
    def busy(self) -> bool:
        """Whether the loop given to `open` is blocked: it has not answered a `probe` for half a second."""
        return self._loop is not None and self._probing and _now() - self._probed_at >= PATIENCE

    @property
    def loop(self) -> asyncio.AbstractEventLoop | None:
        """The loop given to `open`."""
        return self._loop

    @property
    def watching(self) -> str:
        """``waiting`` (there is no ``.buildrunner`` yet), ``notify`` or ``poll``."""
        return self._source.state

    # -- reading --------------------------------------------------------------------------------------------------

    @property
    def epoch(self) -> str:
        """The random id of this log; sequence numbers are comparable only within one epoch."""
        return self.log.epoch

    @property
    def seq(self) -> int:
        """The sequence number of the newest message."""
        return self._state.seq

    @property
    def status(self) -> BuildStatus:
        """The status of the build."""
        return self._state.session.status

    def snapshot(self) -> State:
        """Return the current state."""
        with self.lock:
            return self._state.snapshot()

    def snapshot_at(self) -> tuple[int, State]:
        """Return the sequence number of the newest message, and the state that includes it."""
        with self.lock:
            return self._state.seq, self._state.snapshot()

    def since(self, seq: int, limit: int | None = None) -> list[Logged] | None:
        """Return at most ``limit`` messages after ``seq``; None if the log no longer holds them all."""
        with self.lock:
            return self.log.since(seq, limit)

    def catch_up(self) -> None:
        """Process the pending changes, without scanning for more."""
        if self._source.due_in() == 0.0:
            with self.lock:
                self._drain()

    def refresh(self) -> int:
        """Scan all files now, process what changed, and return the newest sequence number."""
        if self._opened and not self._closed:
            self._source.scan()
        with self.lock:
            self._drain()
        return self.seq

    # -- publishing -----------------------------------------------------------------------------------------------

    def publish(self, messages: Mapping[str, Any] | Sequence[Mapping[str, Any]]) -> int:
        """Publish into this build: merge the given fields into the state, and send the whole items to all subscribers.

        May be called from any thread.

        Parameters
        ----------
        messages
            A message of the protocol, or at most 1,000 of them: ``type``, the id, and what is new. Types are
            component_update, feature_update, task_update, phase_update, checkpoint_update, terminal_output,
            build_progress, file_change, error, runtime_update and activity.

        Returns
        -------
        int
            The number of the newest message.

        Raises
        ------
        buildwidget.publish.PublishError
            If one of them is not such a message; then none of them is published.
        """
        news = publish.read(messages)
        with self.lock, uninterrupted():
            for group in _groups(news):
                self._publish(group)
            return self.seq

    def _publish(self, group: list[publish.Publication]) -> None:
        delta = Delta()
        match group[0]:
            case publish.Output(text=text, output_type=kind, source=source):
                delta.messages += self._output(self._terminal.feed(text, output_type=kind, source=source, now=_now()))
            case ev.FileChange() | ev.Error() as message:
                delta.messages.append(message)
            case Activity() as line:
                delta.activity.append(line)
            case _:
                items = [n for n in group if isinstance(n, publish.ItemNews | Progress | Runtime)]
                delta = self._merge.publish(items, datetime.now(UTC))
        self._emit(delta, live=True)

    def write_terminal(self, text: str, output_type: str = "stdout", source: str | None = None) -> None:
        """Add raw output to the terminal: whole lines, parts of lines, carriage returns, colours. From any thread."""
        with self.lock, uninterrupted():
            self._emit(
                Delta(
                    messages=self._output(self._terminal.feed(text, output_type=output_type, source=source, now=_now()))
                ),
                live=True,
            )

    def end_terminal(self, source: str | None = None) -> None:
        """End the output of ``source``: its unfinished line is emitted as complete."""
        with self.lock, uninterrupted():
            self._emit(Delta(messages=self._output(self._terminal.finish(source))), live=True)

    def flush_terminal(self) -> None:
        """Emit lines that have been unfinished for 100 ms."""
        if self._terminal.due() is not None:
            with self.lock, uninterrupted():
                self._emit(Delta(messages=self._output(self._terminal.flush(_now()))), live=True)

    def _output(self, chunks: list[Chunk]) -> list[ev.FileChange | ev.TerminalOutput | ev.Error]:
        self._arm_flush()
        return [
            ev.TerminalOutput(
                output=c.output, content=c.output, output_type=c.output_type, source=c.source, line=c.line
            )
            for c in chunks
        ]

    def _arm_flush(self) -> None:
        """Schedule `flush_terminal` for unfinished lines: by a tick, or by a timer if no watcher thread runs."""
        due = self._terminal.due()
        if due is None or self._flusher is not None or self._closed:
            return
        if self.root is not None:
            self._source.tick_in(due - _now())
            return

        def flush() -> None:
            self._flusher = None
            self.flush_terminal()

        self._flusher = threading.Timer(max(0.001, due - _now()), flush)
        self._flusher.daemon = True
        self._flusher.start()

    # -- callbacks and subscribers --------------------------------------------------------------------------------

    def listen(self, callback: Callable[[list[Logged]], None]) -> Callable[[], None]:
        """Register a callback for each batch of new messages, called in the pumping thread; return its removal."""
        with self.lock:
            self._listeners.append(callback)
        return lambda: self._listeners.remove(callback) if callback in self._listeners else None

    def record(self, callback: Callable[[str, Record | BuildWarning | None, os.stat_result | None], None]) -> None:
        """Register a callback for every version of a file that is read, called in the pumping thread until `close`.

        It gets the path, the parsed record (a warning: the file cannot be read; None: it was deleted), and the file's
        stat. It must not raise.
        """
        with self.lock:
            self._recorders.append(callback)

    def on_tick(self, callback: Callable[[], None]) -> None:
        """Register a callback that the watcher's thread calls about every 50 ms."""
        self._tickers.append(callback)
        self._source.tick_in(0.0)

    def off_tick(self, callback: Callable[[], None]) -> None:
        """Unregister a callback of `on_tick`."""
        if callback in self._tickers:
            self._tickers.remove(callback)

    def subscribe(self, since: int | None = None) -> AsyncIterator[Any]:
        """Iterate over the numbered messages after ``since`` (default: new ones), under asyncio or trio, until `close`.

        Subscribers have no queues: each reads the log at its own pace. One that falls behind the start of the log gets
        a `Gap` and a `Snapshot`, and continues from there.
        """
        return Subscription(self, self.seq if since is None else since)

    def _notify(self) -> None:
        for waker in list(self._wakers):
            waker.wake()

    # -- the pump -------------------------------------------------------------------------------------------------

    def _wake(self) -> None:
        """Process pending changes, called in the watcher's thread: in the loop if it responds, else here."""
        loop = self._loop
        if loop is None:
            self._pump()
            return
        self._source.tick_in(RETRY)  # tries again should the pump in the loop be interrupted
        if self._responsive:
            self._begun.clear()
            if self._post(loop) and self._begun.wait(GRACE):
                return
            self._responsive = False
            logger.debug("the loop is blocked; the watcher's thread pumps")
        elif not self._probing:
            self._post(loop)
        self._pump()

    def _post(self, loop: asyncio.AbstractEventLoop) -> bool:
        self._probing, self._probed_at = True, _now()  # before the loop can answer
        try:
            loop.call_soon_threadsafe(self._pump_in_loop)
        except RuntimeError:  # the loop is closed: the thread carries on alone
            self._loop = None
            return False
        return True

    def _pump_in_loop(self) -> None:
        self._probing = False
        self._responsive = True
        self._begun.set()
        self._pump(patience=0.002)

    def probe(self) -> None:
        """Probe whether the loop responds; `busy` has the result later.

        Many views may call this: there is at most one probe in 0.9 s.
        """
        if self.busy:
            self._responsive = False
        elif self._loop is not None and not self._probing and _now() - self._probed_at >= PROBE_EVERY:
            self._post(self._loop)

    def _tick(self) -> float | None:
        """Do what is due, called in the watcher's thread; return the seconds until the next call (None: not needed)."""
        due = self._terminal.due()
        if due is not None and due <= _now():
            self.flush_terminal()
        self._tell_time()
        waits = self._source.due_in() == 0.0  # an earlier pump could not take the lock
        if waits:
            if self._loop is None or not self._responsive:
                self._pump()
            elif not self._probing:
                self._post(self._loop)
        for callback in list(self._tickers):
            try:
                callback()
            except Exception:
                logger.exception("a tick callback failed")
        if waits or self._tickers:
            return 0.0
        self._arm_clock()
        due = self._terminal.due()
        return None if due is None else due - _now()

    def _pump(self, patience: float = 0.05) -> None:
        """Process pending changes; if the lock is not free within ``patience`` seconds, let `_tick` retry."""
        while self._source.due_in() == 0.0 and not self._closed:
            if not self.lock.acquire(timeout=patience):
                self._source.tick_in(RETRY)
                return
            try:
                self._drain()
            finally:
                self.lock.release()

    def _drain(self) -> None:
        """Process all due changes: read, parse, merge, number, log, notify. The caller holds the lock."""
        while True:
            with uninterrupted():
                changes = self._source.take()
                if not changes:
                    return
                try:
                    self._batch(changes)
                except Exception:
                    logger.exception("a batch of %d changes failed", len(changes))

    def _batch(self, changes: list[FileChange]) -> None:
        said: list[tuple[str, Record | BuildWarning | None]] = []
        files: list[ev.FileChange | ev.TerminalOutput | ev.Error] = []
        newest: float | None = None
        live = self._loaded
        if not live:  # the newest output last
            changes = sorted(changes, key=lambda change: _log_time(self.root, change.path))
        for change in changes:
            if is_output(change.path) and self._follow(change, files, live):
                continue
            reading = self._read(change, live)
            if reading is None:
                if not live and shape_of(change.path) in OPEN_ENDED:
                    self._unread.add(change.path)
                continue
            self._unread.discard(change.path)
            stat = reading.stat
            mtime = time.time() if stat is None else stat.st_mtime
            if not isinstance(reading.record, NotParsed):
                said.append((as_text(change.path), reading.record))
                for recorder in self._recorders:
                    recorder(as_text(change.path), reading.record, stat)
            if reading.told is not None:
                files.append(reading.told)
            newest = mtime if newest is None or mtime > newest else newest
        said, files = [*self._early.said, *said], [*self._early.files, *files]
        newest = max((at for at in (self._early.newest, newest) if at is not None), default=None)
        self._early = _Early()
        if self._unread and not live and _now() < self._opened_at + OPENING:
            # The plan that runs may be the one that is being written: without it, the others may all be finished.
            self._early = _Early(said, files, newest)
            return
        if not said and not files:
            return
        delta = self._merge.update(said, datetime.now(UTC), live=live) if said else Delta()
        delta.messages += files
        self._emit(delta, newest, live=live)
        self._arm_clock()

    def _arm_clock(self) -> None:
        """Schedule a tick for when the passing of time alone may change what is said of the build."""
        until = self._merge.valid_until
        if until is not None:
            self._source.tick_in(max(0.05, (until - datetime.now(UTC)).total_seconds()))

    def _tell_time(self) -> None:
        """Say what the passing of time has changed."""
        until = self._merge.valid_until
        now = datetime.now(UTC)
        if until is None or now < until or not self.lock.acquire(timeout=0.05):
            return
        try:
            with uninterrupted():
                delta = self._merge.tick(now)
                if delta is not None:
                    self._emit(delta, live=True)
        finally:
            self.lock.release()

    def _emit(self, delta: Delta, newest: float | None = None, *, live: bool = False) -> None:
        """Number, log and apply what differs from the state, and notify everyone. The caller holds the lock."""
        if self.log.seq != self._state.seq:  # complete a batch that an error (out of memory) interrupted
            for row in self.log.since(self._state.seq) or ():
                self._state.apply(row.event)
        changes = self._state.diff(delta, session_id=self.session_id, now=self._time(newest, live))
        if not changes:
            return
        rows = self.log.extend(event for event, _ in changes)
        for change in changes:
            self._state.apply(*change)
        for callback in list(self._listeners):
            try:
                callback(rows)
            except Exception:
                logger.exception("a listener failed")
        self._notify()

    def _time(self, mtime: float | None, live: bool) -> datetime:
        """Return the timestamp of a batch: that of its newest file, never in the future or before an earlier batch.

        A live batch of older files (one moved into place, say) gets the current time.
        """
        now = datetime.now(UTC)
        stamp = now if mtime is None else min(now, utc_of(mtime))
        if self._stamp is not None and stamp < self._stamp:
            stamp = now if live else self._stamp
        self._stamp = stamp
        return stamp

    def _follow(self, change: FileChange, messages: list[Any], live: bool) -> bool:
        """Add the new output of a log file to ``messages``; True if the change was put back, to be looked at later."""
        assert self._logs is not None
        found = self._logs.follow(change, live=live, obstructed=change.path in self._source.obstacles)
        messages += self._output(found.chunks)
        wait = self._logs.hold_back(change) if found.again is None else found.again
        if wait is not None:
            self._source.put_back(change, wait)
        return wait is not None

    def _read(self, change: FileChange, live: bool) -> Reading | None:
        """Read one file; None if it has nothing to say, or was put back, to be read later."""
        assert self._reader is not None
        reading = self._reader.read(
            change,
            live=live,
            obstacle=self._source.obstacles.get(change.path),
            failed=self._merge.failed,
            is_written=self._source.is_written,
        )
        if isinstance(reading, Later):
            self._source.put_back(change, reading.seconds)
            return None
        if reading is not None and reading.gone and self._logs is not None:
            self._logs.forget(change.path)
        return reading


def _groups(news: Iterable[publish.Publication]) -> Generator[list[publish.Publication]]:
    """Group publications that one merge can take: consecutive items, each at most once."""
    group: list[publish.Publication] = []
    seen: set[tuple[type, str]] = set()
    for one in news:
        key = (one.item, one.id) if isinstance(one, publish.ItemNews) else None
        if group and (key is None or not seen or key in seen):
            yield group
            group, seen = [], set()
        group.append(one)
        if key is not None:
            seen.add(key)
    if group:
        yield group


_now = time.monotonic


def _log_time(root: Path | None, path: str) -> float:
    """Return the mtime of a log file, in seconds; 0 for all other files, so that they sort first."""
    return (_mtime((root or Path()) / path) or 0.0) if is_output(path) else 0.0


def _mtime(path: Path) -> float | None:
    try:
        return path.stat().st_mtime
    except OSError:
        return None

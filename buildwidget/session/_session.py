"""One live build: files in, numbered messages out.

A `BuildSession` ties the rooms together: watcher → formats → merge → state → log → subscribers. One pump does the work,
under one lock. Who runs it depends on where the session lives:

- by default the watcher's own thread (any event loop, or none, may subscribe);
- with ``open(loop=…)`` that loop runs the pump, so that callbacks and observers live where it lives. The watcher's
  thread hands it each batch and waits 4 ms for it to begin. A loop that does not begin is blocked; then the thread
  pumps the batch itself, and goes on doing so until the loop answers again. Nothing waits for the loop, nothing is
  pumped twice.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import secrets
import signal
import threading
import time
from collections.abc import AsyncIterator, Callable, Generator, Iterable, Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from types import TracebackType
from typing import Any, Final, Self
from weakref import WeakSet

from .. import events as ev
from .. import formats, publish
from ..errors import CheckpointError
from ..formats.record import Record
from ..formats.values import utc_of
from ..log import EventLog, Logged
from ..merge import Merge
from ..model import BuildStatus, BuildWarning, Progress, Runtime, State
from ..reading.files import MAYBE_TORN, UNSTABLE, Torn, as_text, is_wanted, open_file, read_file, stamp_of
from ..reading.retry import Retry
from ..state import BuildState, Delta, is_context
from ..terminal import Chunk, Terminal
from ..watching.pending import FileChange
from ..watching.source import ChangeSource
from ..watching.still import StillSource
from ..watching.tail import Tails
from ._subscription import Subscription, Waker

__all__ = ["BuildSession"]

logger = logging.getLogger("buildwidget.session")

PATIENCE: Final = 0.5  # seconds without a sign of life, after which a loop counts as blocked
PROBE_EVERY: Final = 0.9  # seconds between two questions for one, however many views ask: a little less than a beat
GRACE: Final = 0.004  # seconds a loop gets to begin pumping before the thread does it; when free, it needs < 1 ms
RETRY: Final = 0.05  # seconds until a pump that had to give way is looked after
LOG_INTERVAL: Final = 1.0  # seconds between two file_change messages of one *.log file


class BuildSession:
    """One live build.

    Parameters
    ----------
    project_root
        The folder that holds (or will hold) ``.buildrunner``. None: nothing is watched, the build is what `publish`
        makes it.
    session_id
        The name in every message; the folder's name by default.
    poll
        True: scan instead of listening to the system. None: decide by itself.

    Raises
    ------
    ValueError
        If the session id is no text that UTF-8 can hold.

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
        self.lock = threading.RLock()  # held while state and log change; take it to see both at one moment
        self._source: ChangeSource | StillSource = StillSource()
        if self.root is not None:
            self._source = ChangeSource(self.root, wake=self._wake, tick=self._tick, poll=poll, **options)
        self._retry = Retry()
        self._memo = formats.Memo()
        self._log_seen: dict[str, float] = {}
        self._tails = Tails(self.root) if self.root else None
        self._listeners: list[Callable[[list[Logged]], None]] = []
        self._tickers: list[Callable[[], None]] = []
        self._recorders: list[Callable[[str, Record | BuildWarning | None, os.stat_result | None], None]] = []
        self._loop: asyncio.AbstractEventLoop | None = None
        self._begun = threading.Event()
        self._responsive = True
        self._probing = False
        self._probed_at = 0.0  # when the loop was asked last
        self._opened = self._closed = self._loaded = False
        self._stamp: datetime | None = None
        self._wakers: WeakSet[Waker] = WeakSet()
        self._flusher: threading.Timer | None = None

    # -- life -----------------------------------------------------------------------------------------------------

    def open(self, loop: asyncio.AbstractEventLoop | None = None) -> Self:
        """Start watching; returns at once. ``loop``: the asyncio loop that should do the work while it can."""
        if self._closed:
            raise RuntimeError("this session is closed; make a new one")
        if not self._opened:
            self._opened = True
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
        """Wait until what was there at the start has been read. Under asyncio or trio."""
        waker = self.waker()
        while not self.loaded and not self._closed:
            waker.clear()
            await waker.wait(0.02)

    def waker(self) -> Waker:
        """What wakes the task that calls this, whenever there is something new. It lives as long as it is held."""
        waker = Waker()
        with self.lock:  # the pump goes through them
            self._wakers.add(waker)
        return waker

    @property
    def closed(self) -> bool:
        """Whether `close` was called."""
        return self._closed

    @property
    def loaded(self) -> bool:
        """Whether everything that was there at the start has been read."""
        if not self._loaded and self._source.ready.is_set():
            # What waits for its time later is a log that grows; a torn file is waited for.
            self._loaded = self._source.due_in() != 0.0 and not len(self._retry)
        return self._loaded

    @property
    def busy(self) -> bool:
        """Whether the loop given to `open` is blocked: asked by `probe`, it has not answered for half a second."""
        return self._loop is not None and self._probing and _now() - self._probed_at >= PATIENCE

    @property
    def loop(self) -> asyncio.AbstractEventLoop | None:
        """The loop given to `open`."""
        return self._loop

    @property
    def watching(self) -> str:
        """``waiting`` (there is no ``.buildrunner`` yet), ``notify`` or ``poll``."""
        return self._source.state

    # -- what is known --------------------------------------------------------------------------------------------

    @property
    def epoch(self) -> str:
        """A random id of this unbroken log."""
        return self.log.epoch

    @property
    def seq(self) -> int:
        """The number of the newest message."""
        return self._state.seq

    @property
    def status(self) -> BuildStatus:
        """The status of the build."""
        return self._state.session.status

    def snapshot(self) -> State:
        """The whole present state."""
        with self.lock:
            return self._state.snapshot()

    def snapshot_at(self) -> tuple[int, State]:
        """The whole present state and the number of the newest message in it."""
        with self.lock:
            return self._state.seq, self._state.snapshot()

    def since(self, seq: int, limit: int | None = None) -> list[Logged] | None:
        """The messages after ``seq``; None if the log no longer reaches back so far."""
        with self.lock:
            return self.log.since(seq, limit)

    def catch_up(self) -> None:
        """Work off what is known to have changed, without looking for more."""
        if self._source.due_in() == 0.0:
            with self.lock:
                self._drain()

    def refresh(self) -> int:
        """Look at every file now, and return the newest number when all of them are read."""
        if self._opened and not self._closed:
            self._source.scan()
        with self.lock:
            self._drain()
        return self.seq

    # -- what programs say ----------------------------------------------------------------------------------------

    def publish(self, messages: Mapping[str, Any] | Sequence[Mapping[str, Any]]) -> int:
        """Say something about this build: what is given is merged into what is known, and told to everyone, whole.

        May be called from any thread.

        Parameters
        ----------
        messages
            A message of the protocol, or at most 1,000 of them: ``type``, the id, and what is new. Types are
            component_update, feature_update, task_update, phase_update, checkpoint_update, terminal_output,
            build_progress, file_change, error and runtime_update.

        Returns
        -------
        int
            The number of the newest message.

        Raises
        ------
        buildwidget.publish.PublishError
            If one of them is not such a message; then nothing of the list is taken.
        """
        news = publish.read(messages)
        with self.lock, _uninterrupted():
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
            case _:
                items = [n for n in group if isinstance(n, publish.ItemNews | Progress | Runtime)]
                delta = self._merge.publish(items, datetime.now(UTC))
        self._emit(delta, live=True)

    def write_terminal(self, text: str, output_type: str = "stdout", source: str | None = None) -> None:
        """Add raw output to the terminal: whole lines, parts of lines, carriage returns, colours. From any thread."""
        with self.lock, _uninterrupted():
            self._emit(
                Delta(
                    messages=self._output(self._terminal.feed(text, output_type=output_type, source=source, now=_now()))
                ),
                live=True,
            )

    def end_terminal(self, source: str | None = None) -> None:
        """No more output comes from ``source``: its unfinished line is a whole one."""
        with self.lock, _uninterrupted():
            self._emit(Delta(messages=self._output(self._terminal.finish(source))), live=True)

    def flush_terminal(self) -> None:
        """Show the lines that are unfinished for 100 ms."""
        if self._terminal.due() is not None:
            with self.lock, _uninterrupted():
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
        """Have shown what stays unfinished: by a tick, or by a timer where there is no watcher's thread."""
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

    # -- those who want to know -----------------------------------------------------------------------------------

    def listen(self, callback: Callable[[list[Logged]], None]) -> Callable[[], None]:
        """Call back with each batch of new messages, in the pumping thread; returns a function that ends it."""
        with self.lock:
            self._listeners.append(callback)
        return lambda: self._listeners.remove(callback) if callback in self._listeners else None

    def record(self, callback: Callable[[str, Record | BuildWarning | None, os.stat_result | None], None]) -> None:
        """Call back with every version of a file that is read, in the pumping thread, until `close`.

        It gets the path, what the file says (a warning: it cannot be read; None: it is gone), and the file's stat. It
        must not raise.
        """
        with self.lock:
            self._recorders.append(callback)

    def on_tick(self, callback: Callable[[], None]) -> None:
        """Call back about every 50 ms in the watcher's thread."""
        self._tickers.append(callback)
        self._source.tick_in(0.0)

    def off_tick(self, callback: Callable[[], None]) -> None:
        """End what `on_tick` began."""
        if callback in self._tickers:
            self._tickers.remove(callback)

    def subscribe(self, since: int | None = None) -> AsyncIterator[Any]:
        """Every numbered message after ``since`` (default: from now on), under asyncio or trio, until `close`.

        A subscriber costs no memory: it reads the log at its own pace. If it falls so far behind that the log no
        longer reaches back, it gets a `Gap` and a `Snapshot`, and goes on from there.
        """
        return Subscription(self, self.seq if since is None else since)

    def _notify(self) -> None:
        for waker in list(self._wakers):
            waker.wake()

    # -- the pump -------------------------------------------------------------------------------------------------

    def _wake(self) -> None:
        """In the watcher's thread: something is pending. The loop does it if it can, else this thread does."""
        loop = self._loop
        if loop is None:
            self._pump()
            return
        self._source.tick_in(RETRY)  # whatever becomes of it in the loop, an interrupt included, it is not forgotten
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
        """Ask the loop for a sign of life; `busy` says later whether it gave one.

        Any number of views may ask: it is one question in about a second.
        """
        if self.busy:
            self._responsive = False
        elif self._loop is not None and not self._probing and _now() - self._probed_at >= PROBE_EVERY:
            self._post(self._loop)

    def _tick(self) -> float | None:
        """In the watcher's thread: what has waited for its time. Returns in how many seconds there is more to do."""
        due = self._terminal.due()
        if due is not None and due <= _now():
            self.flush_terminal()
        waits = self._source.due_in() == 0.0  # the pump gave way to somebody who held the lock for another reason
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
        due = self._terminal.due()
        return None if due is None else due - _now()

    def _pump(self, patience: float = 0.05) -> None:
        """Work off what is pending. Who holds the lock for longer than ``patience`` is waited for by `_tick`."""
        while self._source.due_in() == 0.0 and not self._closed:
            if not self.lock.acquire(timeout=patience):
                self._source.tick_in(RETRY)
                return
            try:
                self._drain()
            finally:
                self.lock.release()

    def _drain(self) -> None:
        """One batch: read, parse, merge, number, log, tell. The lock is held."""
        while True:
            with _uninterrupted():
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
            if change.path.endswith(".log") and self._follow(change, files, live):
                continue
            if change.change_type != "deleted" and self._hold_back(change):
                continue
            result = self._read(change, live)
            if result is None:
                continue
            record, file_change, stat = result
            mtime = time.time() if stat is None else stat.st_mtime
            if record is not _NOTHING:
                said.append((as_text(change.path), record))
                for recorder in self._recorders:
                    recorder(as_text(change.path), record, stat)
            if file_change is not None:
                files.append(file_change)
            newest = mtime if newest is None or mtime > newest else newest
        if not said and not files:
            return
        delta = self._merge.update(said) if said else Delta()
        delta.messages += files
        self._emit(delta, newest, live=live)

    def _emit(self, delta: Delta, newest: float | None = None, *, live: bool = False) -> None:
        """Number what differs, log it, fold it in, tell everyone. The lock is held."""
        if self.log.seq != self._state.seq:  # a batch that was cut short (out of memory) goes on here
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
        """The time of a batch: of its newest file, never in the future and never before an earlier batch.

        An old file that is moved into place while we watch is news of this moment.
        """
        now = datetime.now(UTC)
        stamp = now if mtime is None else min(now, utc_of(mtime))
        if self._stamp is not None and stamp < self._stamp:
            stamp = now if live else self._stamp
        self._stamp = stamp
        return stamp

    def _follow(self, change: FileChange, messages: list[Any], live: bool) -> bool:
        """Add what a log file has to say; True if it has more, and this change comes back at once."""
        path = change.path
        assert self._tails is not None
        source = _source_of(path)
        if change.change_type == "deleted":
            if self._tails.forget(path):
                messages += self._output(self._terminal.finish(source))
            return False
        if path in self._source.obstacles:
            return False
        try:
            piece = self._tails.read(path, old=not live)
        except OSError:
            return False  # `_read` says what is wrong, if it stays so
        if piece is None:
            return False
        if piece.renamed is not None:
            messages += self._output(self._terminal.finish(_source_of(piece.renamed)))
        if piece.again or piece.skipped:
            messages += self._output(self._terminal.finish(source))
        if piece.skipped:
            count, what = (piece.lines, "line") if piece.lines else (piece.skipped, "byte")
            note = f"{count:,} earlier {what}{'' if count == 1 else 's'} not shown"
            messages += self._output(self._terminal.skip(piece.lines or 0, note, source=source))
        now = _now()
        messages += self._output(self._terminal.feed(piece.text, source=source, now=now))
        if piece.more:
            self._source.put_back(change, 0.001)
        return piece.more

    def _hold_back(self, change: FileChange) -> bool:
        """A log grows all the time: tell of it once a second."""
        if not change.path.endswith(".log"):
            return False
        now = time.monotonic()
        wait = self._log_seen.get(change.path, -LOG_INTERVAL) + LOG_INTERVAL - now
        if wait > 0.001:
            self._source.put_back(change, wait)
            return True
        self._log_seen[change.path] = now
        return False

    def _read(
        self, change: FileChange, live: bool
    ) -> tuple[Record | BuildWarning | None, ev.FileChange | None, os.stat_result | None] | None:
        """What one file says now; None if it must be read again later."""
        path = change.path
        name = as_text(path)  # what messages say; `path` is what the system calls it
        shape = formats.shape_of(path)
        assert self.root is not None
        try:
            # Only what the watcher knows to be there is read: it would not tell of the end of anything else.
            if change.change_type == "deleted":
                raise FileNotFoundError(path)  # noqa: TRY301 (one place forgets it)
            obstacle = self._source.obstacles.get(path)
            if obstacle is not None:
                raise CheckpointError(path, obstacle.reason, code=obstacle.code)  # noqa: TRY301 (one place makes the warning)
            if shape is not None:
                data, stat = read_file(self.root, path, formats.MAX_BYTES)
                record: Any = formats.parse(name, data, utc_of(stat.st_mtime), self._memo)
                content = None
            else:
                content, stat = self._look(path)
                record = _NOTHING
        except FileNotFoundError:
            self._retry.settled(path)
            self._log_seen.pop(path, None)
            gone = ev.FileChange(file_path=name, change_type="deleted")
            forget = shape is not None or self._merge.failed(name)
            tell = (live and is_wanted(*os.path.split(path))) or is_context(path)  # a folder's obstacle is no file
            return (None if forget else _NOTHING, gone if tell else None, None)
        except (Torn, CheckpointError, OSError) as error:
            if isinstance(error, Torn) or getattr(error, "code", None) in MAYBE_TORN:
                delay = self._retry.failed(path, time.monotonic(), self._fingerprint(path))
                if delay is not None:
                    self._source.put_back(change, delay)
                    return None
            self._retry.settled(path)
            tell = shape is not None or path in self._source.obstacles
            return (_warning(name, error), None, None) if tell else None
        self._retry.settled(path)
        told = None
        if live or is_context(path):
            told = ev.FileChange(
                file_path=name,
                change_type=change.change_type,
                content=content,
                size=stat.st_size,
                modified=utc_of(stat.st_mtime),
            )
        return record, told, stat

    def _look(self, path: str) -> tuple[str | None, os.stat_result]:
        """The beginning of a context file's text, and the stat of any file that is not parsed."""
        assert self.root is not None
        fd, stat = open_file(self.root, path)
        try:
            if not is_context(path):
                return None, stat
            return os.read(fd, publish.CONTENT_LIMIT).decode("utf-8", "replace"), stat
        finally:
            os.close(fd)

    def _fingerprint(self, path: str) -> object:
        assert self.root is not None
        try:
            stat = os.stat(self.root / path)
        except OSError:
            return None
        return stamp_of(stat)


def _groups(news: Iterable[publish.Publication]) -> Generator[list[publish.Publication]]:
    """Publications that can be taken in together: items, as long as none of them comes twice."""
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


def _source_of(path: str) -> str:
    """What the output of a log file is labelled with."""
    return as_text(path).removeprefix(".buildrunner/")


def _log_time(root: Path | None, path: str) -> float:
    """When a log file was written last; 0 for all other files, which come before them."""
    return (_mtime((root or Path()) / path) or 0.0) if path.endswith(".log") else 0.0


def _mtime(path: Path) -> float | None:
    try:
        return path.stat().st_mtime
    except OSError:
        return None


_NOTHING: Any = object()  # a file that no reader is interested in


def _warning(path: str, error: Exception) -> BuildWarning:
    if isinstance(error, CheckpointError):
        message = error.reason + (f" ({error.place})" if error.place else "")
        return BuildWarning(file_path=path, code=error.code, message=message)
    if isinstance(error, Torn):
        return BuildWarning(file_path=path, code="unstable", message=UNSTABLE)
    if isinstance(error, PermissionError):
        return BuildWarning(file_path=path, code="unreadable", message="permission denied; make it readable")
    reason = getattr(error, "strerror", None) or type(error).__name__
    return BuildWarning(file_path=path, code="unreadable", message=f"it cannot be read: {reason}")


@contextlib.contextmanager
def _uninterrupted() -> Generator[None]:
    """Hold Ctrl-C back: a KeyboardInterrupt in the middle of a batch would leave merge, log and state at odds."""
    if threading.current_thread() is not threading.main_thread() or not callable(signal.getsignal(signal.SIGINT)):
        yield
        return
    caught: list[tuple[int, Any]] = []

    def note(number: int, frame: Any) -> None:
        caught.append((number, frame))

    before: Any = signal.signal(signal.SIGINT, note)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)
        if caught:
            before(*caught[0])

"""The thread that knows which files changed."""

from __future__ import annotations

import atexit
import logging
import os
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Literal

from ..reading.files import BASE
from ..systems.paths import is_wanted
from .folder import split
from .notify import Notices, Notifier, Sleeper, WatchfilesNotifier, on_network
from .pending import FileChange, Pending
from .tree import Tree

__all__ = ["ChangeSource", "open_notifier"]

logger = logging.getLogger("buildwidget.watcher")

TICK = 0.045  # seconds between two ticks at the least: under 50 ms with the time a tick takes
IDENTITY_INTERVAL = 0.25
REOPEN_INTERVAL = 30.0
SHORTEST_POLL, LONGEST_POLL = 0.05, 0.25
MISSES = 3


class ChangeSource:
    """Reports which files under ``<project>/.buildrunner`` changed, without reading them.

    A daemon thread listens to the system's notifier and also scans, because every notifier loses some events: a folder
    that is missing, deleted and made again, swapped or linked elsewhere, a full queue, a network drive. Where no
    notifier works, it only scans. It needs no event loop.

    Parameters
    ----------
    project_root : str or Path
        The project. It need not exist yet, and neither need its ``.buildrunner``.
    wake : callable
        Called in the source's thread when a change is due, to call `take`.
    tick : callable, optional
        Called in the source's thread at its start, then after as many seconds as it returned (50 ms at least); None:
        not until `tick_in` requests it.
    step_ms, debounce_ms : int
        How long watchfiles waits for quiet, and how long at most. A file that its writer keeps open is reported
        ``debounce_ms`` after it was written to; at once when it is closed or renamed.
    poll : bool, optional
        True: scan only. False: use the notifier even on a network drive. None: scan only where the notifier fails.
    scan_interval : float
        Seconds between two scans that verify the notifier; more when a scan costs more than a hundredth of it.
    notifier : str, optional
        ``inotify`` or ``watchfiles``. None: the best one of this system.

    Attributes
    ----------
    ready : threading.Event
        Set when the first scan is done.
    obstacles : dict of str to Obstacle
        Paths that are named like a file or folder of a build but cannot be read: path → reason
        (``is a directory``, ``is a FIFO``, ``link leaves the project``). Each comes as a change too, and so does its
        end. A missing ``.buildrunner`` is one, with the code ``waiting``.
    """

    def __init__(
        self,
        project_root: str | Path,
        *,
        wake: Callable[[], None],
        tick: Callable[[], float | None] | None = None,
        step_ms: int = 1,
        debounce_ms: int = 10,
        poll: bool | None = None,
        scan_interval: float = 2.0,
        notifier: Literal["inotify", "watchfiles"] | None = None,
    ) -> None:
        self.ready = threading.Event()
        self._wake, self._tick = wake, tick
        self._step_ms, self._debounce_ms = step_ms, debounce_ms
        self._poll, self._scan_interval, self._kind = poll, scan_interval, notifier
        self._pending = Pending()
        self._tree = Tree(project_root, self._pending.add)
        self.obstacles = self._tree.obstacles
        self._notifier: Notifier = Sleeper()
        self._thread: threading.Thread | None = None
        self._lifecycle = threading.Lock()
        self._stopping = False
        self._scanning_only = poll is True
        self._reopen_at: float | None = None
        self._next_tick = self._next_scan = self._next_identity = 0.0
        self._tick_lock = threading.Lock()
        self._scan_due = False
        self._doubts: dict[str, float] = {}
        self._misses = 0

    # -- public ---------------------------------------------------------------------------------------------------

    def start(self) -> None:
        """Start watching. Returns at once; the first scan is done in the thread. Does nothing while it runs."""
        with self._lifecycle:
            thread = self._thread
            if thread is not None and thread.is_alive():
                if not self._stopping or thread is threading.current_thread():
                    return
                thread.join(5.0)
            self._stopping = False
            self._next_tick = 0.0
            self._thread = threading.Thread(target=self._run, name="buildwidget-watch", daemon=True)
            # A daemon thread that is inside a C library when the interpreter ends can take the process down with it.
            atexit.register(self.stop)
            self._thread.start()

    def stop(self) -> None:
        """End the thread and release its resources. May be called repeatedly, from any thread."""
        with self._lifecycle:
            thread = self._thread
            self._stopping = True
            self._notifier.interrupt()
            atexit.unregister(self.stop)
        if thread is not None and thread is not threading.current_thread():
            thread.join(5.0)
            if thread.is_alive():
                logger.warning("the watching thread of %s did not end within 5 s", self._tree.root)

    @property
    def state(self) -> Literal["waiting", "notify", "poll"]:
        """``waiting`` for a ``.buildrunner`` to appear, else how changes are found."""
        if not self._tree.present:
            return "waiting"
        return "poll" if self._scanning_only else "notify"

    def take(self) -> list[FileChange]:
        """Take everything that is due now, each path once, by time, then by path. From any thread.

        Look at a file that was ``created`` or ``modified``; not at one that was ``deleted``, even when it is there
        again (another change will say so): what is seen then may be gone before the source has known of it.
        """
        taken = self._pending.take(self._is_back)
        if self._pending.alarm_in() is not None:
            self._interrupt()  # what it keeps back falls due sooner than the thread may know
        return taken

    def _is_back(self, path: str) -> bool:
        # An obstacle that is gone is no file: it does not come back.
        wanted = is_wanted(*split(path)) and path not in self.obstacles
        return wanted and os.path.lexists(os.path.join(self._tree.root, path))

    def put_back(self, change: FileChange, delay: float) -> None:
        """Have a change due again after ``delay`` seconds, or as soon as the path changes again."""
        self._pending.put_back(change, delay)
        self._interrupt()

    def is_written(self, path: str) -> bool:
        """Whether a writer is known to have a file open that it has written to. From any thread."""
        return self._notifier.is_written(*split(path))

    def tick_in(self, seconds: float) -> None:
        """Request a call of ``tick`` in ``seconds`` at the latest. From any thread."""
        due = time.monotonic() + seconds
        with self._tick_lock:
            if due >= self._next_tick:
                return
            self._next_tick = due
        self._interrupt()

    def _interrupt(self) -> None:
        """Wake the thread so that it computes its timeout again."""
        if threading.current_thread() is not self._thread:
            self._notifier.interrupt()

    def scan(self) -> None:
        """Compare with the disk now, in this thread. Afterwards `take` has all that differed."""
        self._pending.begin()
        self._tree.scan()
        self._tree.doubt()
        self._notifier.interrupt()

    def pending(self) -> bool:
        """Whether anything waits to be taken, due or not."""
        return len(self._pending) > 0

    def due_in(self) -> float | None:
        """Seconds until `take` has something; 0.0 when it has now, None when nothing is pending."""
        return self._pending.due_in()

    # -- the thread -----------------------------------------------------------------------------------------------

    def _run(self) -> None:
        failures = 0
        try:
            while not self._stopping:
                try:
                    self._open()
                    self._serve()
                except OSError as error:
                    self._fall_back(f"{error.strerror or error}")
                    time.sleep(0.01)
                except Exception:
                    failures += 1
                    logger.exception("watching %s failed; scanning instead", self._tree.root)
                    self._fall_back("an internal error", again=failures < 5)
                    time.sleep(min(0.05 * failures, 1.0))
        finally:
            self._close()

    def _open(self) -> None:
        """Open a notifier, or choose to scan only; then compare everything."""
        self._close()
        with self._lifecycle:
            if self._poll is True or self._reopen_at is not None:
                self._notifier = Sleeper()
            else:
                self._notifier = open_notifier(self._kind, self._step_ms, self._debounce_ms)
                self._scanning_only = False
        self._begin()

    def _begin(self) -> None:
        """Watch and compare everything, from the project's folder down."""
        self._pending.begin()
        self._tree.wary = self._scanning_only
        self._tree.disarm()
        self._watch_root()
        self._full_scan()
        self._arm()
        base = self._tree.folders.get(BASE)
        if base is not None and self._poll is None and not self._scanning_only and on_network(base.path):
            logger.info("%s is on a network drive: scanned besides being watched", self._tree.root)
            self._scan_besides()
        self.ready.set()
        self._announce()

    def _close(self) -> None:
        with self._lifecycle:
            self._notifier.close()
            self._notifier = Sleeper()

    def _fall_back(self, reason: str, *, again: bool = True) -> None:
        """Scan only, and try the notifier again later."""
        if self._poll is not True and self._reopen_at is None:
            logger.warning("%s is scanned instead of watched: %s", self._tree.root, reason)
        self._scanning_only = True
        self._reopen_at = time.monotonic() + REOPEN_INTERVAL if again else float("inf")

    def _scan_besides(self) -> None:
        self._scanning_only = self._tree.wary = True

    def _serve(self) -> None:
        while not self._stopping:
            notices = self._notifier.wait(self._wait_for())
            if self._stopping:
                return
            self._pending.begin()
            if notices.found or notices.lost:
                self._note(notices)
            now = time.monotonic()
            if now >= self._next_identity:
                self._next_identity = now + IDENTITY_INTERVAL
                self._check_identity()
            self._tree.recheck()
            if self._scan_due or now >= self._next_scan:
                self._verify()
            self._settle()
            self._announce()
            if self._reopen_at is not None and now >= self._reopen_at and self._poll is not True:
                self._reopen_at = None
                return  # to be opened again

    def _wait_for(self) -> float:
        """Return the seconds until the thread has something to do."""
        now = time.monotonic()
        until = min(self._next_identity, self._next_scan)
        if self._tick is not None:
            until = min(until, self._next_tick)
        wait = min(until - now, IDENTITY_INTERVAL)
        for other in (self._pending.alarm_in(), self._tree.recheck_in()):
            if other is not None:
                wait = min(wait, other)
        return max(0.0, wait)

    def _announce(self) -> None:
        """Call ``wake`` if changes are due, and ``tick`` if it is due."""
        if self._pending.ring():
            self._call(self._wake)
        self._beat()

    def _beat(self) -> None:
        now = time.monotonic()
        if self._tick is None or now < self._next_tick:
            return
        with self._tick_lock:
            self._next_tick = float("inf")
        wait = self._call(self._tick, failed=TICK)
        if wait is not None:
            self.tick_in(max(wait, TICK))

    def _call(self, function: Callable[[], float | None], failed: float | None = None) -> float | None:
        try:
            return function()
        except Exception:
            logger.exception("a callback of the watcher failed")
            return failed

    # -- finding ----------------------------------------------------------------------------------------------

    def _note(self, notices: Notices) -> None:
        look, debounce = self._tree.look, self._debounce_ms / 1000
        whole = False
        for notice in notices.found:
            if notice.rel == "":
                whole = whole or notice.name in ("", BASE)
            elif notice.name == "":
                self._tree.disarm(notice.rel)
            else:
                look(notice.rel, notice.name, 0.0 if notice.done else debounce)
                self._misses = 0
                if self._doubts:
                    self._doubts.pop(f"{notice.rel}/{notice.name}", None)
        if whole:
            self._begin()
        elif notices.lost:
            logger.info("the notifier of %s lost events: scanning", self._tree.root)
            self._full_scan()
            self._tree.doubt()

    def _check_identity(self) -> None:
        if self._tree.moved():
            self._begin()

    def _watch_root(self) -> None:
        self._notifier.add([("", self._tree.root)])

    def _full_scan(self) -> set[str]:
        self._scan_due = False
        started = time.thread_time()  # what it costs, not how long a busy machine made it wait
        missed = self._tree.scan(pause=self._beat)
        cost = time.thread_time() - started
        ended = time.monotonic()
        if self._scanning_only:
            wait = max(SHORTEST_POLL, min(10 * cost, LONGEST_POLL), 4 * cost)
        else:
            wait = max(self._scan_interval, 100 * cost)
        self._next_scan = ended + wait
        return missed

    def _verify(self) -> None:
        """Scan regularly, to detect a notifier that misses changes."""
        missed = self._full_scan()
        if self._scanning_only:
            return
        now = time.monotonic()
        if any(due <= now for due in self._doubts.values()):
            self._doubts.clear()
            self._misses += 1
            if self._misses >= MISSES and self._poll is None:
                logger.warning("%s changes without notice: scanned besides being watched", self._tree.root)
                self._scan_besides()
            else:
                self._tree.disarm()
        for path in list(missed)[:100]:
            self._doubts.setdefault(path, now + 1.0)

    def _settle(self) -> None:
        """Scan what turned out to be another folder, and watch what is new."""
        stale = self._tree.take_stale()
        if stale:
            self._tree.scan(stale, pause=self._beat)
        self._arm()

    def _arm(self) -> None:
        for _ in range(20):
            gone, bare = self._tree.take_unwatched()
            if gone:
                self._notifier.remove(gone)
            if not bare:
                return
            refused = set(self._notifier.add(bare))
            for rel, _ in bare:
                self._tree.mark_armed(rel, self._pending.__contains__)
            # This scan finds changes from before the watch; the notifier reports later ones.
            self._tree.scan([rel for rel, _ in bare], deep=False, pause=self._announce)
            if refused:
                self._tree.disarm_all(refused)
                return


def open_notifier(kind: str | None, step_ms: int, debounce_ms: int) -> Notifier:
    """Open the notifier of that name, or the best one of this system. Raises OSError when none is available."""
    if kind is None:
        kind = "inotify" if sys.platform == "linux" and hasattr(os, "eventfd") else "watchfiles"
    if kind == "inotify":
        from .inotify import Inotify  # on Linux only

        return Inotify()
    if kind == "watchfiles":
        return WatchfilesNotifier(step_ms, debounce_ms)
    raise ValueError(f"notifier must be 'inotify', 'watchfiles' or None, not {kind!r}")

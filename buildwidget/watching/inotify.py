"""The kernel's inotify, through inotify_simple: one instance for all sessions of a process.

Linux gives a user 128 instances in all, and every editor and ``tail -f`` needs one. So there is one `_Instance` here,
with one thread that reads it. Each `Inotify` is a member, with watches and notices of its own. The first member opens
the instance, the last one closes it. A forked child opens a new one: the inherited one belongs to its parent.

inotify_simple keeps everything that is needed: names that are not UTF-8 come as `os.fsdecode` gives them, an overflow
comes as an event with the watch descriptor -1, and errors come with their number. Which system limit an error
means is told by `limits`.
"""

from __future__ import annotations

import contextlib
import errno
import logging
import os
import select
import threading
import time
from collections.abc import Iterable
from queue import Empty, SimpleQueue
from typing import Any, Final

from inotify_simple import INotify, flags

from .limits import explain
from .notify import Notice, Notices

__all__ = ["Inotify"]

# Plain numbers: arithmetic with an IntEnum is ten times slower, and a burst has thousands of events.
_MODIFY, _ATTRIB, _CLOSE_WRITE = int(flags.MODIFY), int(flags.ATTRIB), int(flags.CLOSE_WRITE)
_MOVED = int(flags.MOVED_FROM | flags.MOVED_TO)
_DELETE, _MOVE_SELF, _IGNORED = int(flags.DELETE), int(flags.MOVE_SELF), int(flags.IGNORED)
_Q_OVERFLOW, _ISDIR = int(flags.Q_OVERFLOW), int(flags.ISDIR)
_NAMES = _MOVED | int(flags.CREATE | flags.DELETE_SELF) | _DELETE | _MOVE_SELF
_HOW = int(flags.ONLYDIR | flags.MASK_ADD)
_DONE = _CLOSE_WRITE | _MOVED | _DELETE | _ATTRIB | _ISDIR
_CLOSED = _CLOSE_WRITE | _MOVED | _DELETE
_SELF = int(flags.DELETE_SELF | flags.UNMOUNT) | _MOVE_SELF | _IGNORED
_ALWAYS = int(flags.UNMOUNT) | _IGNORED  # delivered whatever the mask is

logger = logging.getLogger("buildwidget.watcher")

_MANY: Final = 5_000  # queued notices of one session; beyond, they are dropped and it scans
_FORGOTTEN: Final = 0.5  # seconds after its last write from which a file counts as complete, although it is still open
_NOT_THERE: Final = frozenset({errno.ENOENT, errno.ENOTDIR, errno.EACCES, errno.ELOOP, errno.ESTALE, errno.EIO})


class _Instance:
    """One inotify instance, its watches by descriptor, and the thread that reads it.

    The kernel has one watch per folder, whatever its path; so each watch lists all members that asked for it.
    """

    def __init__(self) -> None:
        self.lock = threading.Lock()  # guards the watches: an event is handed out after the `add` it belongs to
        self.members: set[Inotify] = set()
        self._watches: dict[
            int, dict[tuple[Inotify, str], int]
        ] = {}  # descriptor → (member, its name of the folder) → mask
        self._fd: Any = INotify(nonblocking=True)  # it has no type hints
        try:
            self._kick = os.eventfd(0, os.EFD_NONBLOCK | os.EFD_CLOEXEC)
        except OSError:
            self._fd.close()
            raise
        self._thread = threading.Thread(target=self._run, name="buildwidget-inotify", daemon=True)
        self._thread.start()

    def add(self, member: Inotify, rel: str, path: str, mask: int) -> int:
        """Watch a folder for a member; return the descriptor. Raises OSError."""
        with self.lock:
            # MASK_ADD: a second watch of a folder must not narrow the mask of the first.
            wd: int = self._fd.add_watch(path, mask | _HOW)
            self._watches.setdefault(wd, {})[member, rel] = mask
        return wd

    def remove(self, member: Inotify, watches: Iterable[tuple[str, int]]) -> None:
        """Remove watches of a member, given as (name, descriptor)."""
        with self.lock:
            for rel, wd in watches:
                who = self._watches.get(wd)
                if who is not None and who.pop((member, rel), None) is not None and not who:
                    self._forget(wd)

    def _forget(self, wd: int) -> None:
        self._watches.pop(wd, None)
        with contextlib.suppress(OSError, ValueError):  # the folder is gone, or all is closed: forgotten already
            self._fd.rm_watch(wd)

    def _run(self) -> None:
        poll = select.poll()
        poll.register(self._fd.fileno(), select.POLLIN)
        poll.register(self._kick, select.POLLIN)
        try:
            while all(fd != self._kick for fd, _ in poll.poll()):
                self._hand_out(self._fd.read(timeout=0))
        except Exception:
            logger.exception("reading inotify failed")
            _process.retire(self)
            with self.lock:
                for member in self.members:
                    member.fail(OSError(errno.EIO, "reading inotify failed"))

    def _hand_out(self, events: Iterable[tuple[int, int, int, str]]) -> None:
        told: dict[Inotify, tuple[set[tuple[str, str]], set[tuple[str, str]]]] = {}
        with self.lock:
            for wd, mask, _, name in events:
                if mask & _Q_OVERFLOW:
                    for member in self.members:
                        member.lose()
                    continue
                who = self._watches.get(wd)
                if who is None:
                    continue
                for (member, rel), wanted in who.items():
                    if not mask & (wanted | _ALWAYS):
                        continue
                    done, open_ = told.setdefault(member, (set(), set()))
                    if mask & _SELF:
                        done.add((rel, ""))
                    else:
                        (done if mask & _DONE else open_).add((rel, name))
                        member.note(rel, name, closed=bool(mask & _CLOSED))
                if mask & _IGNORED:
                    del self._watches[wd]
                elif mask & _MOVE_SELF:
                    self._forget(wd)  # it would follow the folder to wherever it went
            for member, (done, open_) in told.items():
                member.tell(done, open_ - done)

    def close(self) -> None:
        """End the thread and close the descriptors. Idempotent."""
        if self._kick < 0:
            return
        os.eventfd_write(self._kick, 1)
        if self._thread is not threading.current_thread():
            self._thread.join()
        self.abandon()

    def abandon(self) -> None:
        """Close the descriptors without the thread, as in a forked child."""
        kick, self._kick = self._kick, -1
        if kick >= 0:
            os.close(kick)
            self._fd.close()


class _Process:
    """The instance of this process, if it has one."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._instance: _Instance | None = None

    def join(self, member: Inotify) -> _Instance:
        """Add a member and return the instance, which is opened for the first one. Raises OSError."""
        with self._lock:
            if self._instance is None:
                try:
                    self._instance = _Instance()
                except OSError as error:
                    raise explain(error, "inotify_init1") from error
            with self._instance.lock:
                self._instance.members.add(member)
            return self._instance

    def leave(self, member: Inotify, instance: _Instance) -> None:
        """End a membership; the last one closes the instance."""
        with self._lock:
            with instance.lock:
                instance.members.discard(member)
                last = not instance.members
            if last and self._instance is instance:
                self._instance = None  # before it is closed: who comes now opens another
        if last:
            instance.close()

    def retire(self, instance: _Instance) -> None:
        """Let no further member join an instance."""
        with self._lock:
            if self._instance is instance:
                self._instance = None

    def begin_anew(self) -> None:
        """Abandon the inherited instance in a forked child: reading it would steal the parent's events."""
        self._lock = threading.Lock()  # new locks: a thread of the parent may have held the old ones
        instance, self._instance = self._instance, None
        if instance is not None:
            instance.lock = threading.Lock()
            instance.abandon()


_process = _Process()
if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_process.begin_anew)


class Inotify:
    """One session's part of the process's inotify instance. See `Notifier`.

    Raises
    ------
    OSError
        A limit of the system or the process is reached; its text says which one.
    """

    name = "inotify"

    def __init__(self) -> None:
        self._wds: dict[str, int] = {}
        self._found: set[tuple[str, str]] = set()
        self._open: set[tuple[str, str]] = set()  # a writer may still have these open
        self._written: dict[tuple[str, str], float] = {}  # the last write to a file that was not closed since
        self._lost = False
        self._failure: OSError | None = None
        self._bell: SimpleQueue[None] = SimpleQueue()
        self._instance = _process.join(self)

    def add(self, folders: Iterable[tuple[str, str]]) -> list[str]:
        """See `Notifier`."""
        refused: list[str] = []
        for rel, path in folders:
            # In the project's root only names matter, not the contents of files.
            mask = _NAMES | (_MODIFY | _CLOSE_WRITE | _ATTRIB if rel else 0)
            try:
                wd = self._instance.add(self, rel, path, mask)
            except OSError as error:
                if error.errno in _NOT_THERE:
                    refused.append(rel)
                    continue
                raise explain(error, path) from error
            old = self._wds.get(rel)
            if old is not None and old != wd:
                self._instance.remove(self, [(rel, old)])
            self._wds[rel] = wd
        return refused

    def remove(self, rels: Iterable[str]) -> None:
        """See `Notifier`."""
        gone = [(rel, self._wds.pop(rel)) for rel in rels if rel in self._wds]
        self._instance.remove(self, gone)

    def wait(self, timeout: float) -> Notices:
        """See `Notifier`."""
        with contextlib.suppress(Empty):
            self._bell.get(timeout=max(0.0, timeout))
            while True:  # one wake-up serves all requests before it
                self._bell.get_nowait()
        with self._instance.lock:
            found, open_, lost = self._found, self._open, self._lost
            self._found, self._open, self._lost = set(), set(), False
        if self._failure is not None:
            raise self._failure
        notices = {Notice(rel, name) for rel, name in found}
        notices.update(Notice(rel, name, False) for rel, name in open_ - found)
        return Notices(notices, lost)

    def is_written(self, rel: str, name: str) -> bool:
        """See `Notifier`."""
        with self._instance.lock:
            at = self._written.get((rel, name))
            return at is not None and time.monotonic() - at < _FORGOTTEN

    def note(self, rel: str, name: str, *, closed: bool) -> None:
        """Note that a file was written to, or closed. Called as `tell` is, in the order of the events."""
        if closed:
            self._written.pop((rel, name), None)
            return
        if len(self._written) >= _MANY:
            self._written.clear()
        self._written[rel, name] = time.monotonic()

    def tell(self, done: set[tuple[str, str]], open_: set[tuple[str, str]]) -> None:
        """Add notices. Called by the reading thread, which holds the instance's lock."""
        self._found |= done
        self._open |= open_
        if max(len(self._found), len(self._open)) > _MANY:  # the session does not keep up: bounded
            self._found.clear()
            self._open.clear()
            self._lost = True
        self.interrupt()

    def lose(self) -> None:
        """Record that the queue overflowed: the kernel dropped events, of any member. Called as `tell` is."""
        self._lost = True
        self._written.clear()
        self.interrupt()

    def fail(self, error: OSError) -> None:
        """Record that the reading thread has failed. Called as `tell` is."""
        self._failure = error
        self.interrupt()

    def interrupt(self) -> None:
        """See `Notifier`."""
        if self._bell.empty():  # a pending wake-up serves this request too
            self._bell.put(None)

    def close(self) -> None:
        """See `Notifier`."""
        self._instance.remove(self, self._wds.items())
        self._wds = {}
        _process.leave(self, self._instance)

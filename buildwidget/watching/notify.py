"""Who tells us of changes: the kernel's inotify where there is one, watchfiles elsewhere, nobody when polling.

watchfiles is the notifier of every other system. On Linux it stands back: to answer within 2 ms its loop must run
once a millisecond, which costs 1-4 % of a core for as long as a notebook is open. Waiting on inotify itself costs
nothing, answers sooner, says when a writer has closed the file (so fewer torn reads) and admits when it lost events.
"""

from __future__ import annotations

import contextlib
import ctypes
import errno
import logging
import os
import select
import struct
import sys
import threading
import time
from collections.abc import Iterable
from typing import Any, Protocol

import msgspec

__all__ = ["Inotify", "Notice", "Notices", "Notifier", "Sleeper", "WatchfilesNotifier", "on_network", "open_notifier"]

logger = logging.getLogger("buildwidget.watcher")


MANY = 500
SLICE_MS = 10


class Notice(msgspec.Struct, frozen=True):
    """Something happened to ``name`` in the folder ``rel``; with an empty name, to the folder itself.

    ``done`` is False while a writer may still have the file open.
    """

    rel: str
    name: str
    done: bool = True


class Notices(msgspec.Struct):
    """What one wait brought. ``lost``: there was more, and nobody knows what."""

    found: set[Notice]
    lost: bool = False


class Notifier(Protocol):
    """Watches single folders, never whole trees: which ones is for the tree to say, links and all."""

    name: str

    def add(self, folders: Iterable[tuple[str, str]]) -> list[str]:
        """Watch folders, given as (name for us, path); return those that were not there or not allowed."""
        ...

    def remove(self, rels: Iterable[str]) -> None:
        """Stop watching."""
        ...

    def wait(self, timeout: float) -> Notices:
        """Wait for changes, for `interrupt`, or for ``timeout`` seconds."""
        ...

    def interrupt(self) -> None:
        """Make `wait` return. From any thread."""
        ...

    def close(self) -> None:
        """Release everything."""
        ...


class Sleeper:
    """Tells nothing: for polling."""

    name = "poll"

    def __init__(self) -> None:
        self._kick = threading.Event()

    def add(self, folders: Iterable[tuple[str, str]]) -> list[str]:  # noqa: ARG002 - nothing to do with them
        """See `Notifier`."""
        return []

    def remove(self, rels: Iterable[str]) -> None:
        """See `Notifier`."""

    def wait(self, timeout: float) -> Notices:
        """See `Notifier`."""
        self._kick.wait(timeout)
        self._kick.clear()
        return Notices(set())

    def interrupt(self) -> None:
        """See `Notifier`."""
        self._kick.set()

    def close(self) -> None:
        """See `Notifier`."""


# The kernel's <sys/inotify.h>
_MODIFY, _ATTRIB, _CLOSE_WRITE = 0x2, 0x4, 0x8
_MOVED_FROM, _MOVED_TO, _CREATE, _DELETE = 0x40, 0x80, 0x100, 0x200
_DELETE_SELF, _MOVE_SELF = 0x400, 0x800
_UNMOUNT, _Q_OVERFLOW, _IGNORED = 0x2000, 0x4000, 0x8000
_ONLYDIR, _ISDIR = 0x0100_0000, 0x4000_0000
_NAMES = _MOVED_FROM | _MOVED_TO | _CREATE | _DELETE | _DELETE_SELF | _MOVE_SELF
_DONE = _CLOSE_WRITE | _MOVED_FROM | _MOVED_TO | _DELETE | _ATTRIB | _ISDIR
_SELF = _DELETE_SELF | _MOVE_SELF | _UNMOUNT | _IGNORED
_HEAD = struct.Struct("iIII")


class Inotify:
    """The kernel's own notifier, read directly. Raises OSError when the user's limits are used up."""

    name = "inotify"

    def __init__(self) -> None:
        libc: Any = ctypes.CDLL(None, use_errno=True)
        self._add, self._rm = libc.inotify_add_watch, libc.inotify_rm_watch
        self._add.argtypes = (ctypes.c_int, ctypes.c_char_p, ctypes.c_uint32)
        self._rm.argtypes = (ctypes.c_int, ctypes.c_int)
        self._lock = threading.Lock()
        self._fd: int = libc.inotify_init1(os.O_NONBLOCK | os.O_CLOEXEC)
        if self._fd < 0:
            raise _os_error("inotify_init1")
        try:
            self._kick: int = os.eventfd(0, os.EFD_NONBLOCK | os.EFD_CLOEXEC)
        except OSError:
            os.close(self._fd)
            raise
        self._poll = select.poll()
        self._poll.register(self._fd, select.POLLIN)
        self._poll.register(self._kick, select.POLLIN)
        self._rels: dict[int, str] = {}
        self._wds: dict[str, int] = {}

    def add(self, folders: Iterable[tuple[str, str]]) -> list[str]:
        """See `Notifier`."""
        refused: list[str] = []
        for rel, path in folders:
            # In the project's root only names matter; what is written there is no business of ours.
            mask = _NAMES | (_MODIFY | _CLOSE_WRITE | _ATTRIB if rel else 0) | _ONLYDIR
            wd: int = self._add(self._fd, os.fsencode(path), mask)
            if wd < 0:
                error = _os_error(path)
                if error.errno in (errno.ENOENT, errno.ENOTDIR, errno.EACCES, errno.ELOOP):
                    refused.append(rel)
                    continue
                raise error
            old = self._wds.get(rel)
            if old is not None and old != wd:
                self._forget(old)
            self._wds[rel], self._rels[wd] = wd, rel
        return refused

    def remove(self, rels: Iterable[str]) -> None:
        """See `Notifier`."""
        for rel in rels:
            wd = self._wds.pop(rel, None)
            if wd is not None and self._rels.get(wd) == rel:
                self._forget(wd)

    def _forget(self, wd: int) -> None:
        self._rels.pop(wd, None)
        self._rm(self._fd, wd)  # fails when the folder is gone: the kernel has forgotten it already

    def wait(self, timeout: float) -> Notices:
        """See `Notifier`."""
        notices = Notices(set())
        # Rounded up: poll counts whole milliseconds, and 0 would make a busy loop of the last one.
        ready = self._poll.poll(int(timeout * 1000 + 0.999))
        for fd, _ in ready:
            if fd == self._kick:
                with contextlib.suppress(BlockingIOError):
                    os.eventfd_read(fd)
            else:
                self._read(notices)
        return notices

    def _read(self, notices: Notices) -> None:
        done: set[tuple[str, str]] = set()
        open_: set[tuple[str, str]] = set()
        while True:
            try:
                data = os.read(self._fd, 1 << 16)
            except BlockingIOError:
                break
            at = 0
            while at < len(data):
                wd, mask, _, size = _HEAD.unpack_from(data, at)
                at += _HEAD.size + size
                if mask & _Q_OVERFLOW:
                    notices.lost = True
                    continue
                rel = self._rels.get(wd)
                if rel is None:
                    continue
                if mask & _SELF:
                    if mask & _MOVE_SELF:
                        self.remove([rel])  # the watch would follow the folder to wherever it went
                    elif mask & _IGNORED:
                        self._rels.pop(wd, None)
                        if self._wds.get(rel) == wd:
                            del self._wds[rel]
                    done.add((rel, ""))
                    continue
                name = os.fsdecode(data[at - size : at].rstrip(b"\0"))
                (done if mask & _DONE else open_).add((rel, name))
            if len(data) < 1 << 15:
                break
        notices.found.update(Notice(rel, name) for rel, name in done)
        notices.found.update(Notice(rel, name, False) for rel, name in open_ - done)

    def interrupt(self) -> None:
        """See `Notifier`."""
        with self._lock:
            if self._kick >= 0:
                with contextlib.suppress(BlockingIOError):
                    os.eventfd_write(self._kick, 1)

    def close(self) -> None:
        """See `Notifier`."""
        with self._lock:
            fds, self._fd, self._kick = (self._fd, self._kick), -1, -1
        for fd in fds:
            if fd >= 0:
                os.close(fd)


class WatchfilesNotifier:
    """watchfiles, for every system that it knows.

    Its lowest layer is used because only there can a wait end early without losing the watch.
    """

    name = "watchfiles"

    def __init__(self, step_ms: int, debounce_ms: int) -> None:
        from watchfiles._rust_notify import RustNotify

        self._make = RustNotify
        self._step, self._debounce = step_ms, debounce_ms
        self._folders: dict[str, str] = {}  # our name → path
        self._rels: dict[str, str] = {}  # path as reported → our name
        self._notify: RustNotify | None = None
        self._early: set[tuple[int, str]] = set()
        self._kick = threading.Event()

    def add(self, folders: Iterable[tuple[str, str]]) -> list[str]:
        """See `Notifier`."""
        wanted = {**self._folders, **dict(folders)}
        refused: list[str] = []
        while True:
            missing = [rel for rel, path in wanted.items() if not os.path.isdir(path)]
            for rel in missing:
                del wanted[rel]
            refused += missing
            try:
                # watchfiles cannot add a folder: a second one is made, and the first is emptied only after that.
                notify = self._make(list(wanted.values()), False, False, 0, False, True) if wanted else None
                break
            except FileNotFoundError:
                time.sleep(0.001)  # a folder went between the two lines above: count again
        old, self._notify = self._notify, notify
        if old is not None:
            left = old.watch(1, 1, 2, None)
            if isinstance(left, set):
                self._early |= left
            old.close()
        self._folders = wanted
        self._rels = {path: rel for rel, path in wanted.items()}
        for rel, path in wanted.items():
            self._rels.setdefault(os.path.realpath(path), rel)  # some systems report resolved paths
        return refused

    def remove(self, rels: Iterable[str]) -> None:
        """See `Notifier`."""
        for rel in rels:
            self._folders.pop(rel, None)

    def wait(self, timeout: float) -> Notices:
        """See `Notifier`."""
        raw, self._early = self._early, set()
        if not raw and self._notify is None:
            self._kick.wait(timeout)
        elif not raw and self._notify is not None:
            end = time.monotonic() + max(timeout, 0.001)
            while not self._kick.is_set() and (left := end - time.monotonic()) > 0:
                # In slices: it can be stopped by an event of ours, but then throws away what it had.
                found = self._notify.watch(self._debounce, self._step, max(1, min(SLICE_MS, int(left * 1000))), None)
                if isinstance(found, set):
                    raw = found
                    break
        self._kick.clear()
        # It does not say when the kernel lost some; after so many at once it may have.
        notices = Notices(set(), lost=len(raw) > MANY)
        for _, path in raw:
            own = self._rels.get(path)
            if own is not None:
                notices.found.add(Notice(own, ""))
            parent, name = os.path.split(path)
            rel = self._rels.get(parent)
            if rel is not None:
                notices.found.add(Notice(rel, name))
        return notices

    def interrupt(self) -> None:
        """See `Notifier`."""
        self._kick.set()

    def close(self) -> None:
        """See `Notifier`."""
        notify, self._notify = self._notify, None
        if notify is not None:
            notify.close()


def open_notifier(kind: str | None, step_ms: int, debounce_ms: int) -> Notifier:
    """Open the notifier of that name, or the best one of this system. Raises OSError when there is none to be had."""
    if kind is None:
        kind = "inotify" if sys.platform == "linux" and hasattr(os, "eventfd") else "watchfiles"
    if kind == "inotify":
        return Inotify()
    if kind == "watchfiles":
        return WatchfilesNotifier(step_ms, debounce_ms)
    raise ValueError(f"notifier must be 'inotify', 'watchfiles' or None, not {kind!r}")


_NETWORK = frozenset(
    {
        *("nfs", "nfs4", "cifs", "smb3", "smbfs", "afs", "ceph", "glusterfs", "lustre", "davfs"),
        *("9p", "virtiofs", "vboxsf", "prl_fs", "drvfs", "fakeowner"),  # folders of a host in its guests
    }
)


def on_network(path: str) -> bool:
    """Tell whether a path lies on a file system where others can write without this kernel's notifier knowing."""
    real = os.path.realpath(path)
    best, kind = "", ""
    try:
        with open("/proc/self/mountinfo", encoding="utf-8", errors="surrogateescape") as lines:
            for line in lines:
                fields, _, rest = line.partition(" - ")
                mount = fields.split()[4].replace("\\040", " ")
                if len(mount) >= len(best) and (real == mount or real.startswith(mount.rstrip("/") + "/")):
                    best, kind = mount, rest.split()[0]
    except (OSError, IndexError):
        return False
    return kind in _NETWORK or (kind.startswith("fuse") and kind != "fuseblk")


def _os_error(what: str) -> OSError:
    number = ctypes.get_errno()
    return OSError(number, os.strerror(number), what)

"""The interface of notifiers, and the notifiers for polling and for watchfiles.

watchfiles is the notifier of every system but Linux, where it is a choice (``notifier="watchfiles"``): to answer within
2 ms its loop must run once a millisecond, which costs 1-4 % of a core for as long as a notebook is open. Waiting on
inotify itself (see `inotify`) costs nothing, answers sooner, says when a writer has closed the file (so fewer torn
reads) and admits when it lost events.
"""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Iterable
from typing import Protocol

import msgspec

__all__ = ["Notice", "Notices", "Notifier", "Sleeper", "WatchfilesNotifier", "on_network"]

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
    """The result of one wait. ``lost``: events were dropped, so a scan is needed."""

    found: set[Notice]
    lost: bool = False


class Notifier(Protocol):
    """Watches single folders, not recursively; `Tree` decides which, links included."""

    name: str

    def add(self, folders: Iterable[tuple[str, str]]) -> list[str]:
        """Watch folders, given as (rel, path); return the rels that do not exist or must not be watched."""
        ...

    def remove(self, rels: Iterable[str]) -> None:
        """Stop watching."""
        ...

    def wait(self, timeout: float) -> Notices:
        """Wait for changes, for `interrupt`, or for ``timeout`` seconds."""
        ...

    def is_written(self, rel: str, name: str) -> bool:
        """Whether a writer is known to have a file open that it has written to. From any thread."""
        ...

    def interrupt(self) -> None:
        """Make `wait` return. From any thread."""
        ...

    def close(self) -> None:
        """Release everything."""
        ...


class Sleeper:
    """A notifier that reports nothing: for polling."""

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

    def is_written(self, rel: str, name: str) -> bool:  # noqa: ARG002 - it does not know
        """See `Notifier`."""
        return False

    def interrupt(self) -> None:
        """See `Notifier`."""
        self._kick.set()

    def close(self) -> None:
        """See `Notifier`."""


class WatchfilesNotifier:
    """A notifier on watchfiles, for every system that it supports.

    Its lowest layer is used because only there can a wait end early without losing the watch.
    """

    name = "watchfiles"

    def __init__(self, step_ms: int, debounce_ms: int) -> None:
        from watchfiles._rust_notify import RustNotify

        self._make = RustNotify
        self._step, self._debounce = step_ms, debounce_ms
        self._folders: dict[str, str] = {}  # rel → path
        self._rels: dict[str, str] = {}  # path as reported → rel
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
                time.sleep(0.001)  # a folder was deleted after the check: try again
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
                # In slices: watchfiles can be stopped by an event, but then discards the changes it had collected.
                found = self._notify.watch(self._debounce, self._step, max(1, min(SLICE_MS, int(left * 1000))), None)
                if isinstance(found, set):
                    raw = found
                    break
        self._kick.clear()
        # watchfiles does not report lost events; after a burst of this size some may be lost.
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

    def is_written(self, rel: str, name: str) -> bool:  # noqa: ARG002 - it does not know
        """See `Notifier`."""
        return False

    def interrupt(self) -> None:
        """See `Notifier`."""
        self._kick.set()

    def close(self) -> None:
        """See `Notifier`."""
        notify, self._notify = self._notify, None
        if notify is not None:
            notify.close()


_NETWORK = frozenset(
    {
        *("nfs", "nfs4", "cifs", "smb3", "smbfs", "afs", "ceph", "glusterfs", "lustre", "davfs"),
        *("9p", "virtiofs", "vboxsf", "prl_fs", "drvfs", "fakeowner"),  # folders of a host in its guests
    }
)


def on_network(path: str) -> bool:
    """Whether a path is on a file system where other machines write without notice to this kernel."""
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

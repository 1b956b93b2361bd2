"""The known picture of a project's ``.buildrunner``: its folders, and for each file a fingerprint to compare with."""

from __future__ import annotations

import logging
import os
import stat
import threading
import time
from collections import deque
from collections.abc import Callable, Iterable
from pathlib import Path

from ..reading.files import BASE, MAX_DEPTH, is_inside, is_wanted
from .folder import LEAVES, Folder, fingerprint, identify, split, young_for

__all__ = ["MAX_FILES", "Tree"]

logger = logging.getLogger("buildwidget.watcher")

MAX_FILES = 200_000
MAX_FOLDERS = 8_000  # below the usual limit of inotify watches of one user (8,192)

#: Never entered: they hold other people's files by the ten thousand.
_FOREIGN = frozenset({".git", "node_modules", "__pycache__", ".venv"})
# A folder whose mtime is this young may change again without its mtime changing.
_YOUNG_NS = 3_000_000_000
_LINK_INTERVAL = 0.05  # seconds


class Tree:
    """Compares what is on disk with what was there before, and reports every difference.

    Every fingerprint is taken and reported before the reader opens the file, so whatever is written after that differs
    from it and is reported again. One lock guards the picture; it is never held while a caller's function runs, except
    for `report`, which must not block.

    Parameters
    ----------
    root : str or Path
        The project.
    report : callable
        Gets the path relative to the project, ``created`` | ``modified`` | ``deleted``, and the delay in seconds.
    """

    def __init__(self, root: str | Path, report: Callable[[str, str, float], None]) -> None:
        self.root = os.path.abspath(root)
        self.folders: dict[str, Folder] = {}
        self.odd: dict[str, str] = {}
        self.lock = threading.Lock()
        self.wary = False  # nobody notifies us: a fingerprint that is too young to be trusted is looked at again
        self.root_ident: tuple[int, int] | None = None
        self._report = report
        self._real_root = os.path.realpath(self.root)
        self._links: set[str] = set()
        self._links_at = 0.0  # when the links are to be followed again
        self._racy: dict[str, float] = {}
        self._stale: set[str] = set()
        self._dropped: list[str] = []
        self._count = 0
        self._full = False

    @property
    def present(self) -> bool:
        """Whether there is a ``.buildrunner`` to watch."""
        return BASE in self.folders

    # -- scanning -------------------------------------------------------------------------------------------------

    def scan(
        self, start: Iterable[str] = (BASE,), *, deep: bool = True, pause: Callable[[], None] | None = None
    ) -> set[str]:
        """Compare folders with the disk.

        Parameters
        ----------
        start : iterable of str
            The folders to begin with.
        deep : bool
            Go into their folders too; otherwise only into those that are new.
        pause : callable, optional
            Called between two folders, without the lock.

        Returns
        -------
        set of str
            Files that differed though a notifier watches their folder: it should have said so.
        """
        missed: set[str] = set()
        todo = deque(start)
        while todo:
            rel = todo.popleft()
            with self.lock:
                if rel == BASE and not self._open_base():
                    continue
                subs, new = self._scan_folder(rel, missed)
            todo.extend(subs if deep else new)
            if pause is not None:
                pause()
        return missed

    def _open_base(self) -> bool:
        """Find ``.buildrunner`` itself, by whatever way it is there now."""
        path = os.path.join(self.root, BASE)
        reason = None
        try:
            root = os.stat(self.root)
            self.root_ident = (root.st_dev, root.st_ino)
            self._real_root = os.path.realpath(self.root)
            entry = os.lstat(path)
            linked = stat.S_ISLNK(entry.st_mode)
            if linked and not is_inside(os.path.realpath(path), self._real_root):
                reason = LEAVES
            elif linked and is_inside(self._real_root, os.path.realpath(path)):
                reason = "links to the project itself"
            elif not stat.S_ISDIR(os.stat(path).st_mode):
                reason = "is not a directory"
        except OSError:
            self.root_ident = identify(self.root)
            self._drop(BASE)
            self._set_odd(BASE, None)
            return False
        if reason is not None:
            self._drop(BASE)
            self._set_odd(BASE, reason)
            return False
        self._set_odd(BASE, None)
        if BASE not in self.folders:
            self.folders[BASE] = Folder(BASE, path, linked)
        return True

    def _set_odd(self, rel: str, reason: str | None) -> None:
        """Note or clear what is wrong with something that is no file of ours, and have the reader look."""
        before = self.odd.get(rel)
        if before == reason:
            return
        if reason is None:
            del self.odd[rel]
            self._report(rel, "deleted", 0.0)
        else:
            self.odd[rel] = reason
            self._report(rel, "created" if before is None else "modified", 0.0)

    def _scan_folder(self, rel: str, missed: set[str]) -> tuple[list[str], list[str]]:
        """Compare one folder; return the folders in it, and those among them that are new."""
        folder = self.folders.get(rel)
        if folder is None:
            return [], []
        try:
            found = os.stat(folder.path)
            if not stat.S_ISDIR(found.st_mode):
                self._drop(rel)
                return [], []
            ident = (found.st_dev, found.st_ino)
            if ident != folder.ident:
                folder.ident, folder.armed, folder.mtime_ns = ident, False, -1
            if found.st_mtime_ns == folder.mtime_ns:
                self._compare_known(folder, missed)
                return [f"{rel}/{name}" for name in folder.subs], []
            return self._compare_listing(folder, found.st_mtime_ns, missed)
        except (FileNotFoundError, NotADirectoryError):
            self._drop(rel)
        except OSError as error:  # permission taken away, I/O error: what is known of it stays
            folder.mtime_ns = -1
            if rel not in self.odd:
                logger.warning("cannot list %s: %s", folder.path, error.strerror or error)
            self._set_odd(rel, f"cannot be listed: {error.strerror or error}")
        return [], []

    def _compare_known(self, folder: Folder, missed: set[str]) -> None:
        """The names are known to be the same: ask for the files only."""
        prefix = folder.path + os.sep
        for name, old in list(folder.files.items()):
            try:
                found = os.lstat(prefix + name)
            except OSError:
                self._record(folder, name, None, missed)
                continue
            if (found.st_mtime_ns, found.st_size, found.st_ino) != old:
                self._record(folder, name, found, missed)

    def _compare_listing(self, folder: Folder, mtime_ns: int, missed: set[str]) -> tuple[list[str], list[str]]:
        started_ns = time.time_ns()
        # A file deleted and made again within a tick of the clock can be the same by all appearances.
        doubtful = self.wary or not folder.armed
        rel, files = folder.rel, folder.files
        gone = set(files)
        subs: dict[str, os.DirEntry[str] | None] = {}
        settled = True
        with os.scandir(folder.path) as entries:
            for entry in entries:
                name = entry.name
                wanted = is_wanted(rel, name)
                try:
                    if not wanted:
                        if entry.is_symlink():
                            settled = False  # what it points to can come and go without a trace in this folder
                        if name not in _FOREIGN and entry.is_dir():
                            subs[name] = entry
                        continue
                    found = entry.stat(follow_symlinks=False)
                except OSError:
                    settled = False
                    continue  # gone since it was listed; if it was known, it is told of below
                gone.discard(name)
                same = (found.st_mtime_ns, found.st_size, found.st_ino) == files.get(name)
                if not same or (doubtful and found.st_mtime_ns > started_ns - _YOUNG_NS):
                    self._record(folder, name, found, missed)
        for name in gone:
            self._record(folder, name, None, missed)
        for name in folder.subs - subs.keys():
            self._drop(f"{rel}/{name}")
        new = [child for name in subs if f"{rel}/{name}" not in self.folders and (child := self._enter(folder, name))]
        folder.subs.intersection_update(subs)
        if rel in self.odd:
            self._set_odd(rel, None)
        folder.mtime_ns = mtime_ns if settled and mtime_ns < started_ns - _YOUNG_NS else -1
        return [f"{rel}/{name}" for name in folder.subs], new

    def _enter(self, parent: Folder, name: str) -> str | None:
        """Begin to watch a folder, unless it is too deep, leaves the project or is watched by another path."""
        rel = f"{parent.rel}/{name}"
        path = os.path.join(parent.path, name)
        if rel in self.folders:
            return rel
        if rel.count("/") > MAX_DEPTH:
            return None
        if len(self.folders) >= MAX_FOLDERS:
            self._tell_full(f"{MAX_FOLDERS} folders")
            return None
        linked = os.path.islink(path)
        if linked:
            real, base = os.path.realpath(path), os.path.realpath(os.path.join(self.root, BASE))
            if not is_inside(real, self._real_root):
                if rel not in self.odd:
                    logger.warning("%s is not watched: it %s", rel, LEAVES)
                self._set_odd(rel, LEAVES)
                return None
            # Into .buildrunner: watched where it really is. Above it: would lead round in circles.
            if is_inside(real, base) or is_inside(base, real):
                return None
            if any(folder.linked and os.path.realpath(folder.path) == real for folder in self.folders.values()):
                return None
        self._set_odd(rel, None)
        self.folders[rel] = Folder(rel, path, linked)
        parent.subs.add(name)
        return rel

    def _drop(self, rel: str) -> None:
        """A folder is gone, and everything in it."""
        below = rel + "/"
        for key in [key for key in self.folders if key == rel or key.startswith(below)]:
            folder = self.folders.pop(key)
            self._dropped.append(key)
            for name in list(folder.files):
                self._record(folder, name, None, None)
        parent, _, name = rel.rpartition("/")
        if parent in self.folders:
            self.folders[parent].subs.discard(name)
        for key in [key for key in self.odd if key.startswith(below)]:
            self._set_odd(key, None)

    # -- single files ---------------------------------------------------------------------------------------------

    def look(self, rel_folder: str, name: str, delay: float = 0.0) -> None:
        """A notifier named this path: compare it, and report it even when its fingerprint is the same."""
        with self.lock:
            folder = self.folders.get(rel_folder)
            if folder is None:
                return
            try:
                found = os.lstat(os.path.join(folder.path, name))
            except OSError:
                found = None
            if is_wanted(rel_folder, name):
                self._record(folder, name, found, None, force=True, delay=delay)
            elif found is None:
                if name in folder.subs:
                    self._drop(f"{rel_folder}/{name}")
                else:
                    self._set_odd(f"{rel_folder}/{name}", None)
            elif not stat.S_ISREG(found.st_mode):
                self._look_at_folder(folder, name, found)

    def _look_at_folder(self, parent: Folder, name: str, found: os.stat_result) -> None:
        rel = f"{parent.rel}/{name}"
        parent.mtime_ns = -1
        if name in _FOREIGN:
            return
        if stat.S_ISLNK(found.st_mode):
            self._drop(rel)  # it may point elsewhere now: begin anew
            if not os.path.isdir(os.path.join(parent.path, name)):
                self._set_odd(rel, None)
                return
        elif not stat.S_ISDIR(found.st_mode):
            self._drop(rel)
            return
        child = self._enter(parent, name)
        if child is not None:
            self._disarm(child)
            self._stale.add(child)

    def _record(
        self,
        folder: Folder,
        name: str,
        found: os.stat_result | None,
        missed: set[str] | None,
        *,
        force: bool = False,
        delay: float = 0.0,
    ) -> None:
        """Compare one wanted file with what is known of it, note what it is now, and report a difference."""
        rel = f"{folder.rel}/{name}"
        old = folder.files.get(name)
        new, reason, linked = fingerprint(os.path.join(folder.path, name), found, self._real_root)
        (self._links.add if linked else self._links.discard)(rel)
        if new is None:
            if old is not None:
                del folder.files[name]
                self._count -= 1
                self.odd.pop(rel, None)
                self._racy.pop(rel, None)
                self._report(rel, "deleted", 0.0)
                if missed is not None and folder.armed:
                    missed.add(rel)
            return
        if old is None and self._count >= MAX_FILES:
            self._tell_full(f"{MAX_FILES} files")
            return
        if reason is None:
            self.odd.pop(rel, None)
        else:
            self.odd[rel] = reason
        if linked or not folder.armed or self.wary:
            young = young_for(new)
            if young:
                self._racy.setdefault(rel, time.monotonic() + young)
        if new == old and not force:
            return
        if old is None:
            self._count += 1
        folder.files[name] = new
        self._report(rel, "created" if old is None else "modified", delay)
        if missed is not None and folder.armed and not linked:
            missed.add(rel)

    def doubt(self) -> None:
        """Report every file so young that it may have changed again and kept its fingerprint."""
        with self.lock:
            for folder in self.folders.values():
                for name, known in folder.files.items():
                    if young_for(known):
                        self._report(f"{folder.rel}/{name}", "modified", 0.0)

    def recheck(self) -> None:
        """Look again at what cannot be told apart by its fingerprint, and at what no notifier can see: links."""
        now = time.monotonic()
        if self._racy:
            for rel in [rel for rel, due in list(self._racy.items()) if due <= now]:
                self._racy.pop(rel, None)
                self.look(*split(rel))
        if self._links and now >= self._links_at:
            with self.lock:
                for rel in list(self._links):
                    self._follow_again(rel)
            ended = time.monotonic()
            self._links_at = ended + max(_LINK_INTERVAL, 20 * (ended - now))

    def _follow_again(self, rel: str) -> None:
        parent, name = split(rel)
        folder = self.folders.get(parent)
        if folder is None:
            self._links.discard(rel)
            return
        try:
            found = os.lstat(os.path.join(folder.path, name))
        except OSError:
            found = None
        self._record(folder, name, found, None)

    def recheck_in(self) -> float | None:
        """Seconds until `recheck` has something to do."""
        due = min(list(self._racy.values()), default=None)
        if self._links:
            due = self._links_at if due is None else min(due, self._links_at)
        return None if due is None else max(0.0, due - time.monotonic())

    def _tell_full(self, what: str) -> None:
        if not self._full:
            self._full = True
            logger.warning("%s holds more than %s; the rest is not watched", os.path.join(self.root, BASE), what)

    # -- what a notifier has to watch -----------------------------------------------------------------------------

    def moved(self) -> bool:
        """Tell whether the project or its ``.buildrunner`` is another one than before. Linked folders become stale."""
        with self.lock:
            path = os.path.join(self.root, BASE)
            base = self.folders.get(BASE)
            if identify(self.root) != self.root_ident:
                return True
            if base is None:
                return BASE in self.odd or os.path.isdir(path)
            if identify(path) != base.ident or (base.linked and not is_inside(os.path.realpath(path), self._real_root)):
                return True
            for folder in list(self.folders.values()):
                if folder.linked and folder.rel != BASE and identify(folder.path) != folder.ident:
                    self._disarm(folder.rel)
                    self._stale.add(folder.rel)
        return False

    def disarm(self, rel: str = BASE) -> None:
        """A watch was lost or may be of another folder now: watch this one and all below anew, and scan them."""
        with self.lock:
            self._disarm(rel)
            if rel in self.folders:
                self._stale.add(rel)

    def disarm_all(self, rels: Iterable[str]) -> None:
        """These folders could not be watched: try again at the next scan."""
        with self.lock:
            for rel in rels:
                if rel in self.folders:
                    self.folders[rel].armed = False

    def _disarm(self, rel: str) -> None:
        for key, folder in self.folders.items():
            if key == rel or key.startswith(rel + "/"):
                folder.armed = False
                folder.mtime_ns = -1

    def take_stale(self) -> set[str]:
        """Folders that are to be scanned now."""
        with self.lock:
            stale, self._stale = self._stale, set()
        return stale

    def take_unwatched(self) -> tuple[list[str], list[tuple[str, str]]]:
        """Folders that are gone, and folders that are not watched yet, with their paths."""
        with self.lock:
            gone, self._dropped = self._dropped, []
            return gone, [(folder.rel, folder.path) for folder in self.folders.values() if not folder.armed]

    def mark_armed(self, rel: str, unread: Callable[[str], bool]) -> None:
        """A notifier watches this folder from now on. What was not read before is told of if it changes after."""
        with self.lock:
            folder = self.folders.get(rel)
            if folder is None:
                return
            folder.armed = True
            if self._racy and not self.wary:
                for name in folder.files:
                    path = f"{rel}/{name}"
                    if path in self._racy and path not in self._links and unread(path):
                        del self._racy[path]

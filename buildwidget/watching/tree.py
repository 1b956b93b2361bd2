"""The last known contents of a project's ``.buildrunner``: its folders, and a fingerprint of each file."""

from __future__ import annotations

import logging
import os
import stat
import threading
import time
from collections import deque
from collections.abc import Callable, Iterable
from pathlib import Path

from ..reading.files import BASE, MAX_DEPTH, TOO_DEEP, is_inside, stamp_of
from ..systems.paths import is_wanted
from .folder import (
    LEAVES,
    Difference,
    Folder,
    Listing,
    Obstacle,
    compare,
    identify,
    is_foreign,
    is_gone,
    list_folder,
    look_at,
    split,
    stat_known,
    young_for,
)

__all__ = ["MAX_FILES", "Tree"]

logger = logging.getLogger("buildwidget.watcher")

MAX_FILES = 200_000
MAX_FOLDERS = 8_000  # below the usual limit of inotify watches of one user (8,192)
MAX_OBSTACLES = 200  # reported folders that are not watched; bounds the warnings in a state

# A folder whose times are younger than this may change again within the same timestamp.
_YOUNG_NS = 3_000_000_000
_LINK_INTERVAL = 0.05  # seconds


class Tree:
    """Compares what is on disk with what was there before, and reports every difference.

    Every fingerprint is taken and reported before the reader opens the file, so whatever is written after that differs
    from it and is reported again. One lock guards the contents; it is never held while a caller's function runs, except
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
        self.obstacles: dict[str, Obstacle] = {}
        self.lock = threading.Lock()
        self.wary = False  # no notifier: a fingerprint that is too young to be trusted is checked again
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
        """Whether there is a ``.buildrunner`` that can be watched."""
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
            Files that differed although a notifier watches their folder: it missed them.
        """
        missed: set[str] = set()
        todo = deque(start)
        while todo:
            rel = todo.popleft()
            with self.lock:
                if rel == BASE and not self._open_base():
                    continue
                subs, new, found = self._scan_folder(rel)
            missed |= found
            todo.extend(subs if deep else new)
            if pause is not None:
                pause()
        return missed

    def _open_base(self) -> bool:
        """Find ``.buildrunner``, a folder or a link; return whether it can be scanned."""
        path = os.path.join(self.root, BASE)
        obstacle, linked = None, False
        try:
            root = os.stat(self.root)
            self.root_ident = (root.st_dev, root.st_ino)
            self._real_root = os.path.realpath(self.root)
            entry = os.lstat(path)
            linked = stat.S_ISLNK(entry.st_mode)
            if linked and not is_inside(os.path.realpath(path), self._real_root):
                obstacle = LEAVES
            elif linked and is_inside(self._real_root, os.path.realpath(path)):
                obstacle = Obstacle("outside", "links to the project itself")
            elif not stat.S_ISDIR(os.stat(path).st_mode):
                obstacle = Obstacle("not_a_file", "is not a directory")
        except OSError as error:
            if not is_gone(error):  # what is known of it stays
                self._blame(BASE, error)
                return False
            obstacle = self._missing()
        if obstacle is not None:
            self._drop(BASE)
            self._set_obstacle(BASE, obstacle)
            return False
        if BASE not in self.folders:
            self.folders[BASE] = Folder(BASE, path, linked)
        return True

    def _missing(self) -> Obstacle:
        """Return the obstacle for a missing ``.buildrunner``: where it is expected, and what to do."""
        try:
            self.root_ident = identify(self.root)
        except OSError:
            self.root_ident = None
        path = os.path.join(self.root, BASE)
        where = f"{path} does not exist" if self.root_ident else f"the folder {self.root} does not exist"
        return Obstacle(
            "waiting",
            f"Waiting: {where}. This starts by itself as soon as a build writes its first file into {path}. If the"
            " build is somewhere else, give that folder instead.",
        )

    def _set_obstacle(self, rel: str, obstacle: Obstacle | None) -> None:
        """Set or clear the reason why a folder is not read, and report the change."""
        before = self.obstacles.get(rel)
        if before == obstacle:
            return
        if obstacle is None:
            del self.obstacles[rel]
            self._report(rel, "deleted", 0.0)
            return
        if before is None and rel != BASE and len(self.obstacles) >= MAX_OBSTACLES:
            return
        level = logging.INFO if obstacle.code == "waiting" else logging.WARNING
        logger.log(level, "%s is not watched: %s", os.path.join(self.root, rel), obstacle.reason)
        self.obstacles[rel] = obstacle
        self._report(rel, "created" if before is None else "modified", 0.0)

    def _scan_folder(self, rel: str) -> tuple[list[str], list[str], set[str]]:
        """Compare one folder; return the folders in it, those of them that are new, and the files that were missed."""
        folder = self.folders.get(rel)
        if folder is None:
            return [], [], set()
        try:
            found = os.stat(folder.path)
            if not stat.S_ISDIR(found.st_mode):
                self._drop(rel)
                return [], [], set()
            ident = (found.st_dev, found.st_ino)
            if ident != folder.ident:
                folder.ident, folder.armed, folder.trusted = ident, False, None
            started_ns = time.time_ns()
            same_names = stamp_of(found) == folder.trusted
            listing = stat_known(folder) if same_names else list_folder(rel, folder.path)
        except OSError as error:
            if is_gone(error):
                self._drop(rel)
            else:  # permission taken away, I/O error: what is known of it stays
                folder.trusted = None
                self._blame(rel, error)
            return [], [], set()
        missed = self._apply(folder, compare(folder.files, listing))
        new: list[str] = []
        if not same_names:
            if not folder.armed or self.wary:
                # A file deleted and made again within a tick of the clock can be the same by all appearances.
                for name, entry in listing.files.items():
                    if young_for(stamp_of(entry)):
                        self._note(folder, name, entry)
            new = self._apply_folders(folder, listing)
            old = max(found.st_mtime_ns, found.st_ctime_ns) < started_ns - _YOUNG_NS
            folder.trusted = stamp_of(found) if listing.settled and old else None
        if listing.failure is None:
            self._set_obstacle(rel, None)
        else:
            self._blame(rel, listing.failure)
        return [f"{rel}/{name}" for name in folder.subs], new, missed

    def _blame(self, rel: str, error: OSError) -> None:
        """Set the obstacle of the outermost folder that cannot be read, and of none below it."""
        above = rel
        while above != BASE:
            above = split(above)[0]
            known = self.obstacles.get(above)
            if known is not None and known.code == "unreadable":
                return
            try:
                os.scandir(self.folders[above].path).close()
            except (OSError, KeyError) as found:
                if isinstance(found, OSError) and not is_gone(found):
                    rel, error = above, found
        for key in [key for key in self.obstacles if key.startswith(rel + "/")]:
            if self.obstacles[key].code == "unreadable":
                self._set_obstacle(key, None)
        reason = f"cannot be read: {error.strerror or error}; what is known of it stays as it was"
        self._set_obstacle(rel, Obstacle("unreadable", reason))

    def _apply(self, folder: Folder, differences: Iterable[Difference]) -> set[str]:
        """Apply the differences; return the files that a notifier missed."""
        told = [name for name, found in differences if self._note(folder, name, found)]
        return {f"{folder.rel}/{name}" for name in told} - self._links if folder.armed else set()

    def _apply_folders(self, folder: Folder, listing: Listing) -> list[str]:
        """Apply the subfolders of a folder; return those that are new."""
        rel, subs = folder.rel, set(listing.subs)
        for name in folder.subs - subs - listing.hidden:
            self._drop(f"{rel}/{name}")
        for key in [key for key in self.obstacles if key not in self.folders]:
            parent, name = split(key)
            if parent == rel and name not in listing.names and not is_wanted(rel, name):
                self._set_obstacle(key, None)
        new = [child for name in subs if f"{rel}/{name}" not in self.folders and (child := self._enter(folder, name))]
        folder.subs.intersection_update(subs | listing.hidden)
        return new

    def _enter(self, parent: Folder, name: str) -> str | None:
        """Add a subfolder, return its path; None if it is too deep, leaves the project or is known by another path."""
        rel = f"{parent.rel}/{name}"
        path = os.path.join(parent.path, name)
        if rel in self.folders:
            return rel
        if rel.count("/") > MAX_DEPTH:
            self._set_obstacle(rel, Obstacle("folder_too_deep", TOO_DEEP))
            return None
        if len(self.folders) >= MAX_FOLDERS:
            self._tell_full(f"{MAX_FOLDERS} folders")
            return None
        linked = os.path.islink(path)
        if linked:
            real, base = os.path.realpath(path), os.path.realpath(os.path.join(self.root, BASE))
            if not is_inside(real, self._real_root):
                self._set_obstacle(rel, LEAVES)
                return None
            # Into .buildrunner: watched where it really is. Above it: would lead round in circles.
            if is_inside(real, base) or is_inside(base, real):
                return None
            if any(folder.linked and os.path.realpath(folder.path) == real for folder in self.folders.values()):
                return None
        self._set_obstacle(rel, None)
        self.folders[rel] = Folder(rel, path, linked)
        parent.subs.add(name)
        return rel

    def _drop(self, rel: str) -> None:
        """Remove a folder and everything in it, and report its files as deleted."""
        below = rel + "/"
        for key in [key for key in self.folders if key == rel or key.startswith(below)]:
            folder = self.folders.pop(key)
            self._dropped.append(key)
            for name in list(folder.files):
                self._note(folder, name, None)
        parent, _, name = rel.rpartition("/")
        if parent in self.folders:
            self.folders[parent].subs.discard(name)
        for key in [key for key in self.obstacles if key.startswith(below)]:
            self._set_obstacle(key, None)

    # -- single files ---------------------------------------------------------------------------------------------

    def look(self, rel_folder: str, name: str, delay: float = 0.0) -> None:
        """Compare a path that a notifier named; report a file even if its fingerprint is the same."""
        with self.lock:
            folder = self.folders.get(rel_folder)
            if folder is None:
                return
            try:
                found = os.lstat(os.path.join(folder.path, name))
            except OSError as error:
                if not is_gone(error):
                    self._stale.add(rel_folder)  # the folder's next scan tells of it
                    folder.trusted = None
                    return
                found = None
            if is_wanted(rel_folder, name):
                self._note(folder, name, found, force=True, delay=delay)
            elif found is None:
                if name in folder.subs:
                    self._drop(f"{rel_folder}/{name}")
                else:
                    self._set_obstacle(f"{rel_folder}/{name}", None)
            elif not stat.S_ISREG(found.st_mode):
                self._look_at_folder(folder, name, found)

    def _look_at_folder(self, parent: Folder, name: str, found: os.stat_result) -> None:
        rel = f"{parent.rel}/{name}"
        parent.trusted = None
        if is_foreign(name):
            return
        if stat.S_ISLNK(found.st_mode):
            self._drop(rel)  # it may point elsewhere now: begin anew
            if not os.path.isdir(os.path.join(parent.path, name)):
                self._set_obstacle(rel, None)
                return
        elif not stat.S_ISDIR(found.st_mode):
            self._drop(rel)
            return
        child = self._enter(parent, name)
        if child is not None:
            self._disarm(child)
            self._stale.add(child)

    def _note(
        self, folder: Folder, name: str, found: os.stat_result | None, *, force: bool = False, delay: float = 0.0
    ) -> bool:
        """Compare a file with its known fingerprint, store the new one, report it, and return whether it differs.

        ``force``: report it even when it does not.
        """
        rel = f"{folder.rel}/{name}"
        old = folder.files.get(name)
        look = None if found is None else look_at(os.path.join(folder.path, name), found, self._real_root)
        if look is None:
            if found is None:
                self._links.discard(rel)
            else:
                self._links.add(rel)  # to nothing, for now
            if old is None:
                return False
            del folder.files[name]
            self._count -= 1
            self.obstacles.pop(rel, None)
            self._racy.pop(rel, None)
            self._report(rel, "deleted", 0.0)
            return True
        (self._links.add if look.linked else self._links.discard)(rel)
        if old is None and self._count >= MAX_FILES:
            self._tell_full(f"{MAX_FILES} files")
            return False
        if look.obstacle is None:
            self.obstacles.pop(rel, None)
        else:
            self.obstacles[rel] = look.obstacle
        if look.linked or not folder.armed or self.wary:
            young = young_for(look.fingerprint)
            if young:
                self._racy.setdefault(rel, time.monotonic() + young)
        if look.fingerprint == old and not force:
            return False
        if old is None:
            self._count += 1
        folder.files[name] = look.fingerprint
        self._report(rel, "created" if old is None else "modified", delay)
        return True

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
        except OSError as error:
            if not is_gone(error):
                return
            found = None
        self._note(folder, name, found)

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
        """Return whether the project or its ``.buildrunner`` was replaced. Replaced linked folders become stale."""
        with self.lock:
            try:
                return self._moved()
            except OSError as error:  # it cannot be seen: what is known of it stays
                self._blame(BASE, error)
                return False

    def _moved(self) -> bool:
        path = os.path.join(self.root, BASE)
        base = self.folders.get(BASE)
        if identify(self.root) != self.root_ident:
            return True
        if base is None:
            obstacle = self.obstacles.get(BASE)
            return (obstacle is not None and obstacle.code != "waiting") or identify(path) is not None
        if identify(path) != base.ident or (base.linked and not is_inside(os.path.realpath(path), self._real_root)):
            return True
        for folder in list(self.folders.values()):
            if folder.linked and folder.rel != BASE and identify(folder.path) != folder.ident:
                self._disarm(folder.rel)
                self._stale.add(folder.rel)
        return False

    def disarm(self, rel: str = BASE) -> None:
        """Mark a folder as stale, and it and all below as unwatched: a watch was lost, or the folder was replaced."""
        with self.lock:
            self._disarm(rel)
            if rel in self.folders:
                self._stale.add(rel)

    def disarm_all(self, rels: Iterable[str]) -> None:
        """Mark folders as unwatched, so that the next scan tries again."""
        with self.lock:
            for rel in rels:
                if rel in self.folders:
                    self.folders[rel].armed = False

    def _disarm(self, rel: str) -> None:
        for key, folder in self.folders.items():
            if key == rel or key.startswith(rel + "/"):
                folder.armed = False
                folder.trusted = None

    def take_stale(self) -> set[str]:
        """Return and clear the folders that must be scanned."""
        with self.lock:
            stale, self._stale = self._stale, set()
        return stale

    def take_unwatched(self) -> tuple[list[str], list[tuple[str, str]]]:
        """Return the removed folders (and clear them), and the unwatched ones as (relative, absolute) paths."""
        with self.lock:
            gone, self._dropped = self._dropped, []
            return gone, [(folder.rel, folder.path) for folder in self.folders.values() if not folder.armed]

    def mark_armed(self, rel: str, unread: Callable[[str], bool]) -> None:
        """Record that a notifier watches a folder; files that were not read yet need no second check then."""
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

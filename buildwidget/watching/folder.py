"""One watched folder, how a file is known again, and what differs between two looks at a folder. No more than that."""

from __future__ import annotations

import errno
import os
import stat
import time
from collections.abc import Mapping
from typing import NamedTuple, TypeAlias

import msgspec

from ..reading.files import describe_kind, is_inside, is_wanted, stamp_of

__all__ = [
    "LEAVES",
    "Difference",
    "Fingerprint",
    "Folder",
    "Listing",
    "Look",
    "Obstacle",
    "compare",
    "identify",
    "is_foreign",
    "is_gone",
    "list_folder",
    "look_at",
    "split",
    "stat_known",
    "young_for",
]

# How long a file may change again without its fingerprint changing: a tick of the kernel's coarse clock and some room;
# longer where times have no fraction.
_TICK_NS = 30_000_000
_COARSE_NS = 2_000_000_000

#: `stamp_of` a regular file; for any other, the reason why it is not read and its inode.
Fingerprint: TypeAlias = tuple[object, ...]

# Folders never entered: they hold other people's files by the ten thousand.
_FOREIGN = frozenset({".git", "node_modules", "__pycache__", ".venv"})


class Obstacle(msgspec.Struct, frozen=True):
    """Why something is not read. ``code`` is that of the warning it becomes; ``reason`` goes on after the path."""

    code: str
    reason: str


LEAVES = Obstacle("outside", "link leaves the project")


class Folder:
    """One folder that is watched."""

    __slots__ = ("armed", "files", "ident", "linked", "path", "rel", "subs", "trusted")

    def __init__(self, rel: str, path: str, linked: bool) -> None:
        self.rel = rel
        self.path = path
        self.linked = linked
        self.ident: tuple[int, int] | None = None
        self.trusted: Fingerprint | None = None  # the folder's, when its names are surely known; None: list it again
        self.armed = False  # a notifier watches this very folder
        self.files: dict[str, Fingerprint] = {}
        self.subs: set[str] = set()


class Listing(msgspec.Struct):
    """What one look at a folder found.

    ``files`` has the lstat of those that are ours, ``subs`` the folders in it, ``names`` all that is there. ``hidden``
    are names of which the system would not say anything, and ``failure`` is its reason. ``settled`` is False when the
    folder's own times do not tell of every change in it.
    """

    files: dict[str, os.stat_result]
    subs: list[str]
    names: set[str]
    hidden: set[str]
    failure: OSError | None
    settled: bool


class Difference(NamedTuple):
    """A name that is not what it was; ``found`` is None when it is gone."""

    name: str
    found: os.stat_result | None


class Look(NamedTuple):
    """What a file is known by; ``linked``: it may come to point to something else at any time."""

    fingerprint: Fingerprint
    obstacle: Obstacle | None
    linked: bool


def compare(known: Mapping[str, Fingerprint], listing: Listing) -> list[Difference]:
    """Tell what differs between what is known of a folder and a look at it. What is hidden is as it was."""
    found = [Difference(name, stat) for name, stat in listing.files.items() if known.get(name) != stamp_of(stat)]
    gone = known.keys() - listing.files.keys() - listing.hidden
    return found + [Difference(name, None) for name in sorted(gone)]


def list_folder(rel: str, path: str) -> Listing:
    """Look at everything in a folder. Raises OSError when it cannot be listed."""
    listing = Listing({}, [], set(), set(), None, settled=True)
    with os.scandir(path) as entries:
        for entry in entries:
            name = entry.name
            listing.names.add(name)
            try:
                if is_wanted(rel, name):
                    listing.files[name] = entry.stat(follow_symlinks=False)
                    continue
                if entry.is_symlink():
                    listing.settled = False  # what it points to can come and go without a trace in this folder
                if not is_foreign(name) and entry.is_dir():
                    listing.subs.append(name)
            except OSError as error:
                listing.settled = False
                if not is_gone(error):  # else gone since it was listed
                    listing.hidden.add(name)
                    listing.failure = error
    return listing


def stat_known(folder: Folder) -> Listing:
    """Look at the files of a folder whose names are known."""
    listing = Listing({}, [], set(), set(), None, settled=True)
    prefix = folder.path + os.sep
    for name in list(folder.files):
        try:
            listing.files[name] = os.lstat(prefix + name)
        except OSError as error:
            if not is_gone(error):
                listing.hidden.add(name)
                listing.failure = error
    return listing


def look_at(path: str, found: os.stat_result, real_root: str) -> Look | None:
    """Say by what a file will be known again.

    Parameters
    ----------
    path : str
        The file.
    found : os.stat_result
        Its lstat.
    real_root : str
        The project, resolved.

    Returns
    -------
    Look or None
        None when it is a link to nothing.
    """
    linked = stat.S_ISLNK(found.st_mode)
    if linked:
        inode = found.st_ino
        if not is_inside(os.path.realpath(path), real_root):
            return Look((LEAVES, inode), LEAVES, linked)
        try:
            found = os.stat(path)
        except OSError as error:
            if error.errno == errno.ENOENT:
                return None
            obstacle = Obstacle("unreadable", f"link cannot be followed: {error.strerror or error}")
            return Look((obstacle, inode), obstacle, linked)
    if not stat.S_ISREG(found.st_mode):
        obstacle = Obstacle("not_a_file", describe_kind(found.st_mode))
        return Look((obstacle, found.st_ino), obstacle, linked)
    return Look(stamp_of(found), None, linked)


def young_for(fingerprint: Fingerprint) -> float:
    """Seconds for which a file may yet change and keep this fingerprint; 0.0 when it is old enough to be trusted."""
    if len(fingerprint) < 4:
        return 0.0  # not of a regular file
    now = time.time_ns()
    longest = 0.0
    for moment in fingerprint[:2]:
        assert isinstance(moment, int)
        window = _TICK_NS if moment % 1_000_000_000 else _COARSE_NS
        # A time in the future says nothing: another clock set it, or somebody's hand.
        if abs(now - moment) < window:
            longest = max(longest, window / 1e9)
    return longest


def is_foreign(name: str) -> bool:
    """Whether a folder of this name is never entered."""
    return name in _FOREIGN


def is_gone(error: OSError) -> bool:
    """Whether an error says that there is no such thing, and not only that it cannot be seen now (EACCES, EIO …)."""
    return error.errno in (errno.ENOENT, errno.ENOTDIR)


def identify(path: str) -> tuple[int, int] | None:
    """Device and inode of what a path leads to; None when it leads nowhere. Raises OSError when that cannot be seen."""
    try:
        found = os.stat(path)
    except OSError as error:
        if is_gone(error) or error.errno == errno.ELOOP:
            return None
        raise
    return found.st_dev, found.st_ino


def split(rel: str) -> tuple[str, str]:
    """Part a path into its folder and its name."""
    folder, _, name = rel.rpartition("/")
    return folder, name

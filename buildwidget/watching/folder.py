"""Watched folders: the fingerprints of files, and the differences between two listings of a folder."""

from __future__ import annotations

import errno
import os
import stat
import time
from collections.abc import Mapping
from typing import NamedTuple, TypeAlias

import msgspec

from ..reading.files import FOREIGN, describe_kind, is_inside, stamp_of
from ..systems.paths import is_left_out, is_wanted

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


class Obstacle(msgspec.Struct, frozen=True):
    """Why a path is not read. ``code`` is the code of its warning; ``reason`` continues a sentence after the path."""

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
        self.trusted: Fingerprint | None = None  # the folder's own, while its listing is current; None: list it again
        self.armed = False  # a notifier watches this folder
        self.files: dict[str, Fingerprint] = {}
        self.subs: set[str] = set()


class Listing(msgspec.Struct):
    """The listing of a folder.

    ``files`` has the lstat of the files to read, ``subs`` the subfolders, ``names`` all names. ``hidden`` are names
    that could not be examined, and ``failure`` is the last such error. ``settled`` is False when the folder's own times
    do not show every change in it.
    """

    files: dict[str, os.stat_result]
    subs: list[str]
    names: set[str]
    hidden: set[str]
    failure: OSError | None
    settled: bool


class Difference(NamedTuple):
    """A name whose file changed; ``found`` is its lstat, None when it is gone."""

    name: str
    found: os.stat_result | None


class Look(NamedTuple):
    """The fingerprint of a file. ``linked``: it is a symbolic link, whose target may change at any time."""

    fingerprint: Fingerprint
    obstacle: Obstacle | None
    linked: bool


def compare(known: Mapping[str, Fingerprint], listing: Listing) -> list[Difference]:
    """Return the differences between known fingerprints and a listing. Hidden names count as unchanged."""
    found = [Difference(name, stat) for name, stat in listing.files.items() if known.get(name) != stamp_of(stat)]
    gone = known.keys() - listing.files.keys() - listing.hidden
    return found + [Difference(name, None) for name in sorted(gone)]


def list_folder(rel: str, path: str) -> Listing:
    """List a folder. Raises OSError when it cannot be listed."""
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
                    listing.settled = False  # its target can appear and disappear without changing this folder's times
                if not is_foreign(name) and entry.is_dir():
                    listing.subs.append(name)
            except OSError as error:
                listing.settled = False
                if not is_gone(error) and error.errno != errno.ELOOP:  # else it was deleted, or is a circular link
                    listing.hidden.add(name)
                    listing.failure = error
    return listing


def stat_known(folder: Folder) -> Listing:
    """Return a listing with the lstat of the known files of a folder, without listing it."""
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
    """Take the fingerprint of a file.

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
        # A time in the future was set by another clock or by hand, so it does not show the age.
        if abs(now - moment) < window:
            longest = max(longest, window / 1e9)
    return longest


def is_foreign(name: str) -> bool:
    """Whether a folder of this name is never entered."""
    return name in FOREIGN or is_left_out(name)


def is_gone(error: OSError) -> bool:
    """Whether an error means that the path does not exist, and not that it is inaccessible (EACCES, EIO …)."""
    return error.errno in (errno.ENOENT, errno.ENOTDIR)


def identify(path: str) -> tuple[int, int] | None:
    """Device and inode of the target of a path; None when there is none. Raises OSError when it is inaccessible."""
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

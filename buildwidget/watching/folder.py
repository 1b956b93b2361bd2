"""One watched folder, and the fingerprint by which a file is known again."""

from __future__ import annotations

import os
import stat
import time

from ..reading.files import describe_kind, is_inside

__all__ = ["LEAVES", "Fingerprint", "Folder", "fingerprint", "identify", "split", "young_for"]

LEAVES = "link leaves the project"

# How long a file may change again without its fingerprint changing: a tick of the kernel's coarse clock and some room;
# longer where mtimes have no fraction.
_TICK_NS = 30_000_000
_COARSE_NS = 2_000_000_000

Fingerprint = tuple[object, ...]  # (mtime_ns, size, inode) of a regular file; begins with a reason for any other


class Folder:
    """One folder that is watched."""

    __slots__ = ("armed", "files", "ident", "linked", "mtime_ns", "path", "rel", "subs")

    def __init__(self, rel: str, path: str, linked: bool) -> None:
        self.rel = rel
        self.path = path
        self.linked = linked
        self.ident: tuple[int, int] | None = None
        self.mtime_ns = -1  # of a listing that can be trusted; -1: list it again
        self.armed = False  # a notifier watches this very folder
        self.files: dict[str, Fingerprint] = {}
        self.subs: set[str] = set()


def fingerprint(path: str, found: os.stat_result | None, real_root: str) -> tuple[Fingerprint | None, str | None, bool]:
    """Say by what a file will be known again.

    Parameters
    ----------
    path : str
        The file.
    found : os.stat_result or None
        Its lstat; None when there is no such file.
    real_root : str
        The project, resolved.

    Returns
    -------
    tuple of Fingerprint or None, str or None, and bool
        The fingerprint (None: there is nothing to read), what keeps it from being read, if anything, and whether it
        is a link, which may come to point to something else at any time.
    """
    if found is None:
        return None, None, False
    linked = stat.S_ISLNK(found.st_mode)
    if linked:
        inode = found.st_ino
        if not is_inside(os.path.realpath(path), real_root):
            return (LEAVES, inode), LEAVES, True
        try:
            found = os.stat(path)
        except FileNotFoundError:
            return None, None, True
        except OSError as error:
            reason = f"link cannot be followed: {error.strerror or error}"
            return (reason, inode), reason, True
    if not stat.S_ISREG(found.st_mode):
        reason = describe_kind(found.st_mode)
        return (reason, found.st_ino), reason, linked
    return (found.st_mtime_ns, found.st_size, found.st_ino), None, linked


def young_for(fingerprint: Fingerprint) -> float:
    """Seconds for which a file may yet change and keep this fingerprint; 0.0 when it is old enough to be trusted."""
    mtime_ns = fingerprint[0]
    if not isinstance(mtime_ns, int):
        return 0.0
    window = _TICK_NS if mtime_ns % 1_000_000_000 else _COARSE_NS
    # A time in the future says nothing: another clock set it, or somebody's hand.
    return window / 1e9 if abs(time.time_ns() - mtime_ns) < window else 0.0


def identify(path: str) -> tuple[int, int] | None:
    """Device and inode of what a path leads to; None when it leads nowhere."""
    try:
        found = os.stat(path)
    except OSError:
        return None
    return found.st_dev, found.st_ino


def split(rel: str) -> tuple[str, str]:
    """Part a path into its folder and its name."""
    folder, _, name = rel.rpartition("/")
    return folder, name

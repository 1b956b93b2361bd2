"""Explain which system limit made inotify fail, and how to raise it."""

from __future__ import annotations

import errno
import os

__all__ = ["explain"]

_SYSCTL = "/proc/sys/fs/inotify"


def explain(error: OSError, what: str) -> OSError:
    """Return an inotify error with a text that explains it.

    Parameters
    ----------
    error : OSError
        The original error.
    what : str
        The call or the path that failed.

    Returns
    -------
    OSError
        With the same number. Where a limit was reached, its text names it, its value, how much of it is in use, and
        how to raise it.
    """
    if error.errno == errno.ENOSPC:
        return OSError(error.errno, _limit("max_user_watches", "watches", _count_watches()), what)
    if error.errno == errno.EMFILE:
        if _process_is_full():
            return OSError(
                error.errno, "this process has no file descriptor left (see ulimit -n); close some or raise it", what
            )
        return OSError(error.errno, _limit("max_user_instances", "instances", _count_instances()), what)
    return OSError(error.errno or errno.EIO, error.strerror or str(error), what)


def _limit(name: str, what: str, used: int) -> str:
    try:
        with open(f"{_SYSCTL}/{name}", encoding="ascii") as file:
            value = int(file.read())
    except (OSError, ValueError):
        value = None
    said = "its limit" if value is None else str(value)
    raised = "a larger number" if value is None else str(max(2 * value, 1024))
    return (
        f"the limit of inotify {what} of this user is reached: fs.inotify.{name} is {said}, at least {used} are in"
        f" use; raise it with: sysctl fs.inotify.{name}={raised}"
    )


def _process_is_full() -> bool:
    """Whether the process has no file descriptor left; else EMFILE means the user's inotify instances."""
    try:
        os.close(os.open(os.devnull, os.O_RDONLY))
    except OSError:
        return True
    return False


def _instances() -> list[str]:
    """Return the fdinfo paths of the inotify instances of this user's processes, as far as /proc is readable."""
    found: list[str] = []
    me = os.geteuid()
    for process in os.listdir("/proc"):
        folder = f"/proc/{process}"
        if not process.isdigit():
            continue
        try:
            fds = os.listdir(f"{folder}/fd") if os.stat(folder).st_uid == me else []
        except OSError:
            continue  # it has ended, or must not be read
        found += [f"{folder}/fdinfo/{fd}" for fd in fds if _is_inotify(f"{folder}/fd/{fd}")]
    return found


def _is_inotify(fd: str) -> bool:
    try:
        return os.readlink(fd) == "anon_inode:inotify"
    except OSError:
        return False


def _count_instances() -> int:
    return len(_instances())


def _count_watches() -> int:
    used = 0
    for path in _instances():
        try:
            with open(path, encoding="ascii", errors="replace") as lines:
                used += sum(line.startswith("inotify ") for line in lines)
        except OSError:
            continue
    return used

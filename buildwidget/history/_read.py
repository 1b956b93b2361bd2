"""From files on disk into a `Store`."""

from __future__ import annotations

import contextlib
import gc
import os
import stat as st
import time
from collections.abc import Callable, Generator, Iterable
from itertools import islice
from typing import Final

from ..errors import CheckpointError
from ..reading.files import MAX_BYTES, MAYBE_TORN, as_text, read_settled
from ._scan import Root, is_plain_folder
from ._store import Stamp, Store

__all__ = ["PIECE", "is_plain", "read_files"]

PIECE: Final = 100  # files that are read before they are parsed: what was read last is still near
_FLAGS: Final = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
PATIENCE: Final = 0.4  # seconds that a file which is being written is waited for
YOUNG: Final = 2.0  # seconds after which what looks cut is not being written any more


def is_plain(root: Root, path: str) -> bool:
    """Whether the place of a file says that it is a build checkpoint."""
    folder, _, name = path.rpartition("/")
    return not root.loose and is_plain_folder(folder) and name != "orchestration_state.json"


def read_files(
    store: Store, root: int, paths: Iterable[str], *, on_progress: Callable[[int], object] | None = None
) -> None:
    """Read files into a store; what is wrong with one becomes a warning.

    Parameters
    ----------
    on_progress
        Called now and then with the number of files read since.
    """
    with _uncollected():
        _read_all(store, root, paths, on_progress)


@contextlib.contextmanager
def _uncollected() -> Generator[None]:
    """Without the cyclic garbage collector: there is no such garbage here, and looking for it doubles the time."""
    if not gc.isenabled():
        yield
        return
    gc.disable()
    try:
        yield
    finally:
        gc.enable()


def _read_all(store: Store, root: int, paths: Iterable[str], on_progress: Callable[[int], object] | None) -> None:
    home = store.roots[root]
    prefix = f"{home.path}/"
    pieces = iter(paths)
    while piece := list(islice(pieces, PIECE)):
        plain: list[tuple[str, bytes, Stamp]] = []
        places: list[int] = []  # of those in the piece
        others: list[int] = []
        for at, path in enumerate(piece):
            if is_plain(home, path):
                try:
                    data, stat = read_quickly(prefix + path)
                except OSError:
                    data, stat = None, None  # a link, no permission, gone: `_read_carefully` finds out which
                if data is not None and stat is not None:
                    plain.append((as_text(path), data, stat))
                    places.append(at)
                    continue
            others.append(at)
        others += [places[at] for at in store.add_many(root, plain)]
        for at in sorted(others):
            _read_carefully(store, root, piece[at])
        store.pack()
        if on_progress is not None:
            on_progress(len(piece))


def read_quickly(path: str) -> tuple[bytes | None, Stamp]:
    """A regular file and its stamp; None for data of anything else.

    Raises
    ------
    OSError
        As the system says; also for a link.
    """
    fd = os.open(path, _FLAGS)
    try:
        stat = os.fstat(fd)
        size = stat.st_size
        stamp = Stamp.of(stat)
        if not st.S_ISREG(stat.st_mode) or size > MAX_BYTES:
            return None, stamp
        data = os.read(fd, size + 1)  # a buffer of the right size: making a larger one costs more than reading
        if len(data) != size:
            return None, stamp
        return data, stamp
    finally:
        os.close(fd)


def _read_carefully(store: Store, root: int, path: str) -> bool:
    """As the live view reads: no link out of the project, nothing that blocks, nothing torn."""
    home, name = store.roots[root], as_text(path)

    def add(data: bytes, stat: os.stat_result) -> bool:
        before = len(store.warnings)
        if store.add(root, name, data, Stamp.of(stat), plain=False):
            return True
        _, _, code, reason = store.warnings[-1][:4]
        if code in MAYBE_TORN and time.time() - stat.st_mtime < YOUNG:  # it may be half written: once more
            del store.warnings[before:]
            raise CheckpointError(name, reason, code=code)
        return False

    try:
        return read_settled(home.path, path, add, patience=PATIENCE)
    except FileNotFoundError:
        return False  # it is gone: there is nothing to tell
    except CheckpointError as error:
        store.warn(root, name, error.code, error.reason)
    except OSError as error:
        store.warn(root, name, "unreadable", f"it cannot be read: {error.strerror or error}")
    return False

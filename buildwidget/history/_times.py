"""How old what is in a store is, where modification times may not say it.

A folder that was copied has the times of the copy: nothing began or ended then. `merge.is_copied` tells such a folder
by the files that state a time of their own. What states none is then at most as old as it can be: the newest time that
the folder states. The times of commits are no times of a copy, and stay.
"""

# numpy leaves the types of elements open.
# pyright: reportUnknownMemberType=false, reportUnknownArgumentType=false, reportUnknownVariableType=false

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from ..merge import is_copied
from ..model import TsSource
from ..reading.values import SKEW
from ._columns import NONE
from ._store import Store

__all__ = ["Times", "newest_versions", "on_disk", "times_of"]

_SKEW: Final = SKEW // timedelta(microseconds=1)

Array = NDArray[Any]


@dataclass(frozen=True, slots=True)
class Times:
    """The times of the files of a store, in microseconds since 1970.

    Attributes
    ----------
    copied
        For each root whether it is a copy.
    ts
        When each file says what it says.
    modified
        When each was written; NONE where that is the time of a copy.
    """

    copied: list[bool]
    ts: Array
    modified: Array


def times_of(store: Store) -> Times:
    """The times of the files of a store."""
    files = store.files
    ts, modified, root = files.raw("ts"), files.raw("modified"), files.raw("root")
    every = np.arange(len(files))
    alive = store.alive()
    texts = files.texts("ts_source")
    stated = files.raw("ts_source") != (texts.index(TsSource.MTIME) if TsSource.MTIME in texts else -2)
    counted = alive & stated & on_disk(store, every) & newest_versions(store, every)
    later = modified - ts > _SKEW
    copied = [
        is_copied(int((counted & ~later & (root == of)).sum()), int((counted & later & (root == of)).sum()))
        for of in range(len(store.roots))
    ]
    if not any(copied):
        return Times(copied, ts, modified)
    of_copy = np.array(copied)[root] & (files.raw("inode") != 0)  # a commit has none
    ended = files.raw("ended_at")
    newest = np.array(
        [np.maximum(ts, ended)[alive & stated & (root == of)].max(initial=NONE) for of in range(len(store.roots))]
    )
    unsaid = of_copy & ~stated & (newest[root] != NONE)
    return Times(
        copied,
        np.where(unsaid, np.minimum(ts, newest[root]), ts) if unsaid.any() else ts,
        np.where(of_copy, NONE, modified),
    )


def on_disk(store: Store, order: Array) -> Array:
    """Which files, in this order, are still on disk."""
    present = np.ones(len(order), dtype=bool)
    if store.gone:
        texts = store.files.texts("file_path")
        paths, roots = store.files.raw("file_path")[order].tolist(), store.files.raw("root")[order].tolist()
        present[:] = [(root, texts[path]) not in store.gone for root, path in zip(roots, paths, strict=True)]
    return present


def newest_versions(store: Store, order: Array) -> Array:
    """Which files, in this order, are the newest version of theirs."""
    paths, roots = store.files.raw("file_path"), store.files.raw("root")
    if not (store.files.raw("version") > 1).any():
        return np.ones(len(order), dtype=bool)
    last = {key: row for row, key in enumerate(zip(roots.tolist(), paths.tolist(), strict=True))}
    newest = np.zeros(len(order), dtype=bool)
    newest[list(last.values())] = True
    return newest[order]

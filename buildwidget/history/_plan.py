"""What is to be read: all files of some projects, or, where most of them are known from the last time, the rest."""

# numpy, pandas and pyarrow leave the types of elements open.
# pyright: reportUnknownMemberType=false, reportUnknownArgumentType=false, reportUnknownVariableType=false

from __future__ import annotations

import time
from collections.abc import Sequence
from itertools import repeat
from typing import Final

import numpy as np

from ..reading.files import as_text
from . import _cache
from ._scan import Root, files_of, plain_folders_of
from ._store import Store

__all__ = ["Plan"]

_FEW: Final = 200  # files that are rather read again each time than that all is written anew


class Plan:
    """Which files are to be read into a store, which may hold others already.

    Attributes
    ----------
    store : Store
        With what is known from the last time.
    paths : list of list of str
        For each root the files to read, sorted.
    """

    def __init__(self, roots: Sequence[Root], *, cache: bool) -> None:
        self._since = time.time_ns()
        self.store = Store(roots)
        self._cached = cache and len(roots) == 1 and bool(plain_folders_of(roots[0]))
        self._known = 0
        if self._cached:
            self.paths = [self._what_changed(roots[0])]
        else:
            self.paths = [files_of(root) for root in roots]

    @property
    def total(self) -> int:
        """How many files are to be read."""
        return sum(map(len, self.paths))

    def _what_changed(self, root: Root) -> list[str]:
        try:
            known = _cache.load(self.store, root)
        except _cache.UnusableError:
            known = None
            self.store = Store([root])
        if known is None:
            return files_of(root)
        folders = plain_folders_of(root)
        paths = files_of(root, skip=folders)
        same: list[np.ndarray] = []
        for folder in folders:
            names, stamps = _cache.stamps_of(root, folder)
            found = list(map(f"{folder}/".__add__, names))
            texts = found if "".join(names).isascii() else list(map(as_text, found))
            rows = np.fromiter(map(known.rows.get, texts, repeat(-1)), dtype=np.int64, count=len(texts))
            kept = (rows >= 0) & (known.stamps[rows] == stamps).all(axis=1) if len(known.stamps) else rows >= 0
            paths += [found[at] for at in np.flatnonzero(~kept).tolist()]
            same.append(rows[kept])
        gone = np.ones(len(known.rows), dtype=bool)
        gone[np.concatenate(same)] = False
        self._known = len(known.rows) - int(gone.sum())
        if gone.any():
            self.store.drop(np.flatnonzero(gone))
            self.store.forget(known.name(row) for row in np.flatnonzero(gone).tolist())
        paths.sort()
        return paths

    def save_cache(self) -> None:
        """Write the cache, unless so few files were read that reading them again is cheaper."""
        if self._cached and (self.total > _FEW or not self._known):
            self.store.derive()
            _cache.save(self.store, 0, since=self._since)

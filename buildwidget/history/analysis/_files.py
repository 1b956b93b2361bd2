"""The table of checkpoints as arrays: to look up one, and to follow them."""

from __future__ import annotations

import operator
from datetime import date
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from ._core import Tables, codes_in, micros_in, moment_of, numbers_in, session_codes, texts_in

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = ["Files", "is_id"]

_NAMED: Final[dict[Any, Any]] = {"first": 0, "last": -1}


class Files:
    """The table of checkpoints, to look up one in."""

    def __init__(self, t: Tables) -> None:
        frame: Any = t.checkpoints
        self.session, self.sessions = session_codes(frame)
        self.ids = texts_in(frame["checkpoint_id"])
        self.paths = texts_in(frame["file_path"])
        self.version = numbers_in(frame["version"])
        self.ts = micros_in(frame["ts"])
        shape, shapes = codes_in(frame["shape"])
        self.build = shape == (shapes.index("checkpoint") if "checkpoint" in shapes else -2)
        life, lives = codes_in(frame["status"])
        self.undone = life == (lives.index("rolled_back") if "rolled_back" in lives else -2)

    def of(self, session: str) -> NDArray[Any]:
        """The rows of a project."""
        return np.flatnonzero(self.session == (self.sessions.index(session) if session in self.sessions else -2))

    def named(self, session: str, checkpoint_id: str) -> list[int]:
        """The rows of a checkpoint, all its versions."""
        return [row for row in self.of(session).tolist() if self.ids[row] == checkpoint_id]

    def newest(self, rows: NDArray[Any], *, build: bool) -> NDArray[Any]:
        """Of some rows of a project the newest version of each file; of build checkpoints only, if asked for."""
        found: dict[str | None, int] = {}
        listed: list[int] = rows.tolist()
        for row in listed:
            known = found.get(self.paths[row])
            if (self.build[row] or not build) and (known is None or self.version[row] >= self.version[known]):
                found[self.paths[row]] = row
        return np.array(sorted(found.values()), dtype=np.int64)

    def find(self, session: str, wanted: Any) -> int:
        """The row of a checkpoint: by its id, a time, ``"first"``, ``"last"`` or a position."""
        if is_id(wanted):
            found = self.newest(np.array(self.named(session, wanted), dtype=np.int64), build=False)
            if not len(found):
                raise ValueError(
                    f"there is no checkpoint {wanted!r} in {session!r}; see the table checkpoints for the ids"
                )
            return int(found[-1])
        rows = self.of(session)
        rows = self.newest(rows, build=bool(self.build[rows].any()))
        if isinstance(wanted, date):
            before = rows[self.ts[rows] <= moment_of(wanted, "a time")]
            if not len(before):
                raise ValueError(f"there is no checkpoint at {wanted} or before in {session!r}")
            return int(before[-1])
        try:
            position = operator.index(_NAMED.get(wanted, wanted))
        except TypeError:
            raise TypeError(f'a checkpoint is an id, a time, a position, "first" or "last", got {wanted!r}') from None
        if not -len(rows) <= position < len(rows):
            raise ValueError(f"there is no checkpoint at position {position} in {session!r}: it has {len(rows)}")
        return int(rows[position])


def is_id(wanted: Any) -> bool:
    """Whether somebody means a checkpoint by its id."""
    return isinstance(wanted, str) and wanted not in _NAMED

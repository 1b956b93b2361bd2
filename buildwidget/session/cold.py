"""The state of a project's files at one moment, read once: no watching, no log, no output."""

from __future__ import annotations

import os
from datetime import UTC, datetime
from pathlib import Path

from .. import systems
from ..errors import CheckpointError
from ..merge import Merge
from ..model import BuildWarning, State
from ..reading.files import STILL, as_text, read_settled
from ..reading.memo import Memo
from ..reading.values import utc_of
from ..state import BuildState
from ..systems.record import Record
from ..watching.tree import Tree
from ._reading import warning_of

__all__ = ["read_state"]

_PATIENCE = 1.0  # seconds that a file that is being written is waited for


def read_state(project: str | Path, at: datetime | None = None) -> State:
    """Read all files of a project once.

    Parameters
    ----------
    project
        The folder that holds ``.buildrunner``.
    at
        The moment to look from, aware; default: now. A file that was written later counts as written then.

    Returns
    -------
    State
        As a live session would show it just after it was opened, without output.
    """
    root = Path(os.path.abspath(project))
    now = (at or datetime.now(UTC)).astimezone(UTC)
    paths: dict[str, None] = {}
    tree = Tree(root, lambda path, change, _: paths.setdefault(path) if change != "deleted" else None)
    tree.scan()
    memo = Memo()
    read: list[tuple[str, Record | BuildWarning | None]] = []
    newest: datetime | None = None
    for path in sorted(paths):
        name = as_text(path)
        obstacle = tree.obstacles.get(path)
        if obstacle is not None:
            read.append((name, BuildWarning(file_path=name, code=obstacle.code, message=obstacle.reason)))
            continue
        shape = systems.shape_of(path)
        if shape is None:
            continue

        def parse(raw: bytes, stat: os.stat_result, name: str = name) -> Record:
            return systems.parse(name, raw, min(utc_of(stat.st_mtime), now), memo)

        still = STILL if shape in systems.OPEN_ENDED else 0.0
        try:
            record = read_settled(root, path, parse, patience=_PATIENCE, still=still)
        except FileNotFoundError:
            continue
        except (CheckpointError, OSError) as error:
            read.append((name, warning_of(name, error)))
            continue
        read.append((name, record))
        written = record.written or record.time
        newest = written if newest is None or written > newest else newest
    merge, state = Merge(as_text(root.name)), BuildState()
    for change in state.diff(merge.update(read, now), session_id=as_text(root.name) or "build", now=newest or now):
        state.apply(*change)
    return state.snapshot()

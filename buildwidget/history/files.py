"""Two checkpoint files, wherever they are, as the tables of one project."""

# pyright: reportUnknownMemberType=false
# (pandas leaves the types of elements open)

from __future__ import annotations

import os
from pathlib import Path

from ._history import History
from ._read import read_files
from ._scan import Root
from ._store import Store
from .analysis import Given

__all__ = ["two_files"]


def two_files(a: Path, b: Path) -> tuple[Given, str]:
    """The tables of two checkpoint files, wherever they are, as checkpoints ``a`` and ``b`` of one project.

    Returns
    -------
    Given
        What `buildwidget.history.analysis.diff` needs.
    str
        Why one of them cannot be read; empty if both can.
    """
    files = [Path(os.path.abspath(file)) for file in (a, b)]
    store = Store([Root(name, file.parent, "", loose=True) for name, file in zip("ab", files, strict=True)])
    problem = ""
    for number, file in enumerate(files):
        before = len(store.files)
        read_files(store, number, [file.name])
        if len(store.files) == before:
            messages = [message for root, _, _, message in store.unique_warnings if root == number]
            problem = problem or f"{(a, b)[number]}: {messages[-1] if messages else 'it cannot be read'}"
    history = History(store)
    frames = {"sessions": history.frame("sessions").head(1).assign(session_id="files")}
    for name in ("checkpoints", "components", "features", "tasks", "phases"):
        frame = history.frame(name)
        frame["checkpoint_id"] = frame["session_id"]
        frame["session_id"] = "files"
        frames[name] = frame
    return Given(**frames), problem

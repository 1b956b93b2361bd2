"""Which files of a project are read, by their paths alone."""

from __future__ import annotations

from typing import Final

from ..reading.files import BASE
from .buildrunner.kinds import LEFT_OUT, shape_of

__all__ = ["is_left_out", "is_output", "is_wanted"]

_CONTEXT: Final = f"{BASE}/context"


def is_wanted(folder: str, name: str) -> bool:
    """Tell by its name alone whether a file in ``folder`` (relative to the project) is to be read.

    Those are the files that a system knows; other ``*.json`` files, whose changes are reported; ``*.log``, which are
    shown as output; and ``*.md`` under ``context``. The temporary files of editors and of atomic writers (``*.tmp``,
    ``*~``, ``*.swp``, ``.#*``) are left out.
    """
    if name.startswith(".#"):
        return False
    if name.endswith((".json", ".log")):
        return True
    if name.endswith(".md") and (folder == _CONTEXT or folder.startswith(_CONTEXT + "/")):
        return True
    return shape_of(f"{folder}/{name}") is not None


def is_output(path: str) -> bool:
    """Whether a file is shown as output, line by line: a log that no system reads as something else."""
    return path.endswith(".log") and shape_of(path) is None


def is_left_out(name: str) -> bool:
    """Whether a folder of this name is never entered: see `buildwidget.systems.buildrunner.kinds.LEFT_OUT`."""
    return name in LEFT_OUT

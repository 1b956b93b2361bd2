"""The whole history of builds as pandas DataFrames, and what it means.

>>> from buildwidget.history import read_history
>>> h = read_history("path/to/project")  # doctest: +SKIP
>>> h.transitions.tail()  # doctest: +SKIP

The names below are imported when they are first used.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from ._git import GitError, NotAGitRepositoryError
    from ._history import History, read_history

__all__ = ["GitError", "History", "NotAGitRepositoryError", "read_history"]

_HOMES: Final = {
    "GitError": "_git",
    "History": "_history",
    "NotAGitRepositoryError": "_git",
    "read_history": "_history",
}


def __getattr__(name: str) -> Any:
    home = _HOMES.get(name)
    if home is None:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = getattr(import_module(f".{home}", __name__), name)
    globals()[name] = value  # from now on an ordinary attribute
    return value

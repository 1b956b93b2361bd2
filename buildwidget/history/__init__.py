"""The whole history of builds as pandas DataFrames, and what it means.

>>> from buildwidget.history import read_history
>>> h = read_history("path/to/project")  # doctest: +SKIP
>>> h.transitions.tail()  # doctest: +SKIP

The names below are imported when they are first used.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from .._lazy import lazy_exports

if TYPE_CHECKING:
    from ..errors import GitError, NotAGitRepositoryError
    from ._history import History, read_history
    from .plan_history import PlanHistory, read_plan_history

__all__ = ["GitError", "History", "NotAGitRepositoryError", "PlanHistory", "read_history", "read_plan_history"]

_HOMES: Final = {
    "GitError": ".errors",
    "History": "_history",
    "NotAGitRepositoryError": ".errors",
    "PlanHistory": "plan_history",
    "read_history": "_history",
    "read_plan_history": "plan_history",
}


__getattr__, __dir__ = lazy_exports(__name__, _HOMES)

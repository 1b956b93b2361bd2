"""``df.build``: analyses right on a DataFrame of transitions, or of items, also one that was filtered or read back.

>>> h.transitions.query("kind == 'task'").build.burnup()  # doctest: +SKIP
>>> h.items.build.counts()  # doctest: +SKIP
"""

from __future__ import annotations

from typing import Any, Final

import numpy as np
import pandas as pd

from . import analysis
from ._columns import STATUSES
from .analysis._core import (
    DONE,
    UNCOUNTED,
    check_kind,
    codes_in,
    floats,
    ints,
    numbers_in,
    result,
    session_codes,
    statuses_in,
    text,
)

__all__ = ["ITEMS", "TRANSITIONS", "BuildAccessor"]

TRANSITIONS: Final = ("ts", "kind", "item_id", "from_status", "to_status", "progress")
"""The columns that a frame of transitions has at least."""
ITEMS: Final = ("kind", "item_id", "status", "progress")
"""The columns that a frame of items has at least."""


@pd.api.extensions.register_dataframe_accessor("build")
class BuildAccessor:
    """Analyses of a DataFrame that has the columns of ``History.transitions`` or of ``History.items``.

    Transitions need `TRANSITIONS`; ``session_id``, ``seq``, ``checkpoint_id`` and ``source`` are used if they are
    there. Without ``session_id`` all rows are of one project, named ``build``. The present is the newest time in the
    frame. An item whose first row tells what it was before has been that since the frame begins.

    Items need `ITEMS`.

    Raises
    ------
    AttributeError
        If the frame has the columns of neither.
    """

    def __init__(self, frame: Any) -> None:
        if not (_has(frame, TRANSITIONS) or _has(frame, ITEMS)):
            raise AttributeError(
                f".build needs transitions, with the columns {', '.join(TRANSITIONS)}, or items, with the columns "
                f"{', '.join(ITEMS)}; found {_found(frame)}"
            )
        self._frame: Any = frame

    # -- of transitions -----------------------------------------------------------------------------------------------

    def burnup(self, *, kind: str | None = None, freq: Any = None, session_id: str | None = None) -> pd.DataFrame:
        """How much there is to do and how much is done, over time: see `analysis.burnup`."""
        return analysis.burnup(self._moves("burnup"), kind=kind, freq=freq, session_id=session_id)

    def cumulative_flow(
        self, *, kind: str | None = None, freq: Any = None, session_id: str | None = None
    ) -> pd.DataFrame:
        """How many items there were in each status, over time: see `analysis.cumulative_flow`."""
        return analysis.cumulative_flow(self._moves("cumulative_flow"), kind=kind, freq=freq, session_id=session_id)

    def velocity(self, *, freq: Any = "1h", kind: str | None = None, session_id: str | None = None) -> pd.DataFrame:
        """How many items were completed in each hour: see `analysis.velocity`. Estimates are not known here."""
        return analysis.velocity(self._moves("velocity"), freq=freq, kind=kind, session_id=session_id)

    def cycle_time(self, *, kind: str | None = None, session_id: str | None = None) -> pd.DataFrame:
        """How long each item that is completed now has taken: see `analysis.cycle_time`."""
        return analysis.cycle_time(self._moves("cycle_time"), kind=kind, session_id=session_id)

    def time_in_status(self, *, kind: str | None = None, session_id: str | None = None) -> pd.DataFrame:
        """How long each item has been in each status: see `analysis.time_in_status`."""
        return analysis.time_in_status(self._moves("time_in_status"), kind=kind, session_id=session_id)

    def churn(self, *, kind: str | None = None, session_id: str | None = None) -> pd.DataFrame:
        """How much of the work on each item was done over again: see `analysis.churn`."""
        return analysis.churn(self._moves("churn"), kind=kind, session_id=session_id)

    def regressions(self, *, session_id: str | None = None) -> pd.DataFrame:
        """Every step back: see `analysis.regressions`."""
        return analysis.regressions(self._moves("regressions"), session_id=session_id)

    # -- of items -----------------------------------------------------------------------------------------------------

    def counts(self, *, kind: str | None = None) -> pd.DataFrame:
        """How many items there are in each status.

        Parameters
        ----------
        kind
            One kind of items; None for all.

        Returns
        -------
        pandas.DataFrame
            One row per project and kind: ``session_id, kind``, a count for each status in the order of an item's life,
            and ``total``, which they add up to.
        """
        groups, status, _, group = self._groups("counts", kind)
        counts = np.zeros((len(next(iter(groups.values())).data), len(STATUSES)), dtype=np.int64)
        np.add.at(counts, (group, status), 1)
        columns = {name: ints(counts[:, at]) for at, name in enumerate(STATUSES)}
        return result({**groups, **columns, "total": ints(counts.sum(axis=1))}, self._given())

    def percent(self, *, kind: str | None = None) -> pd.DataFrame:
        """How much of the items is done: the mean of their progress, by the rule of `calculate_completion_percentage`.

        What is completed is 100; what is skipped or cancelled does not count, and if there is nothing else, it is 100.

        Parameters
        ----------
        kind
            One kind of items; None for all.

        Returns
        -------
        pandas.DataFrame
            One row per project and kind: ``session_id, kind, percent``, from 0 to 100.
        """
        groups, status, progress, group = self._groups("percent", kind)
        size = len(next(iter(groups.values())).data)
        counted = ~np.isin(status, UNCOUNTED)
        share = np.where(status == DONE, 100.0, np.nan_to_num(progress))
        number = np.bincount(group[counted], minlength=size)
        total = np.bincount(group[counted], share[counted], size)
        percent = np.divide(total, number, out=np.full(size, 100.0), where=number > 0)
        return result({**groups, "percent": floats(percent)}, self._given())

    # -- both ---------------------------------------------------------------------------------------------------------

    def _moves(self, method: str) -> analysis.Given:
        self._check(method, "transitions", TRANSITIONS)
        return analysis.Given(transitions=self._frame)

    def _groups(self, method: str, kind: str | None) -> tuple[dict[str, Any], Any, Any, Any]:
        """The columns that name the groups, and the status, the progress and the group of each item."""
        self._check(method, "items", ITEMS)
        check_kind(kind)
        frame = self._frame
        session, sessions = session_codes(frame)
        kinds, names = codes_in(frame["kind"])
        status, progress = statuses_in(frame["status"]), numbers_in(frame["progress"])
        valid = (session >= 0) & (kinds >= 0) & (status >= 0)
        if kind is not None:
            valid &= kinds == (names.index(kind) if kind in names else -2)
        owner = (session * (len(names) + 1) + kinds)[valid]
        known, group = np.unique(owner, return_inverse=True)
        groups = {
            "session_id": text(known // (len(names) + 1), sessions),
            "kind": text(known % (len(names) + 1), names),
        }
        return groups, status[valid], progress[valid], group

    def _given(self) -> analysis.Given:
        """Tables of which only what they are made of is asked."""
        given = analysis.Given()
        given.transitions.attrs.update(self._frame.attrs)
        return given

    def _check(self, method: str, shape: str, needed: tuple[str, ...]) -> None:
        if not _has(self._frame, needed):
            raise TypeError(
                f".build.{method}() needs {shape}, with the columns {', '.join(needed)}; found {_found(self._frame)}"
            )


def _has(frame: Any, needed: tuple[str, ...]) -> bool:
    return set(needed) <= {name for name in frame.columns if isinstance(name, str)}


def _found(frame: Any) -> str:
    return ", ".join(map(str, frame.columns)) or "no columns"

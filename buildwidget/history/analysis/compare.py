"""What changed between two checkpoints."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import numpy as np
import pandas as pd

from .._columns import of
from ..tables import COMPONENT, FEATURE, PHASE, TASK
from ._core import Tables, check_session, codes_in, numbers_in, result, session_codes, session_names
from ._files import Files, is_id

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = ["diff"]

_TABLES: Final = {
    "component": ("components", COMPONENT),
    "feature": ("features", FEATURE),
    "task": ("tasks", TASK),
    "phase": ("phases", PHASE),
}
_UNTOLD: Final = {"status_raw"}  # the word that was written for a status is no change of its own


def diff(t: Tables, a: Any, b: Any, *, changes_only: bool = True, session_id: str | None = None) -> pd.DataFrame:
    """What differs between two checkpoints, item by item and field by field.

    Parameters
    ----------
    t
        The tables of a history.
    a, b
        Each a checkpoint: its id; a time (a `datetime`, a `pandas.Timestamp`; the newest checkpoint at that time);
        ``"first"`` or ``"last"``; or its position, also from the end: ``-1`` is the last. Times and positions are those
        of build checkpoints, rolled back ones too; of all files where there are none.
    changes_only
        False: also the fields that are the same, and all known fields of an item that is new or gone.
    session_id
        The project. It can be left out if there is one only, or only one that has checkpoints of these ids.

    Returns
    -------
    pandas.DataFrame
        ``kind, item_id, change, field, before, after``, by kind, id and field. ``change`` is ``added``, ``removed``,
        ``changed`` or, if asked for, ``same``. An item that was added or removed has one row, with its ``status``.
        ``before`` and ``after`` are Python values, None where nothing is known. ``diff(t, b, a)`` is the same with
        ``before`` and ``after``, and ``added`` and ``removed``, changed over. ``attrs`` holds ``a``, ``b`` and
        ``session_id``.

        A checkpoint that holds no items of a kind says nothing of it: the newest one before it that does speaks for it.

    Raises
    ------
    ValueError
        If there is no such checkpoint, or if it is not clear in which project.
    """
    check_session(t, session_id)
    files = Files(t)
    chosen = _project(t, files, a, b, session_id)
    if chosen is None:
        raise ValueError(f"there is no checkpoint {a!r}: this history has none")
    first, second = (files.find(chosen, wanted) for wanted in (a, b))
    rows: list[tuple[str, str | None, str, str, Any, Any]] = []
    for kind, (name, columns) in _TABLES.items():
        table: Any = getattr(t, name)
        old, new = (_items_at(files, table, row, kind) for row in (first, second))
        fields = [column for column in columns if column != f"{kind}_id" and column not in _UNTOLD]
        for item in sorted({*old, *new}, key=lambda item: item or ""):
            told = _compared(old.get(item), new.get(item), fields, changes_only=changes_only)
            rows += [(kind, item, *one) for one in told]
    frame = result(
        {name: of("text", [row[at] for row in rows]) for at, name in enumerate(("kind", "item_id", "change", "field"))},
        t,
        a=files.ids[first],
        b=files.ids[second],
        session_id=chosen,
    )
    for at, name in ((4, "before"), (5, "after")):
        frame[name] = pd.Series([row[at] for row in rows], dtype=object)
    return frame


def _compared(
    old: dict[str, Any] | None, new: dict[str, Any] | None, fields: list[str], *, changes_only: bool
) -> list[tuple[str, str, Any, Any]]:
    """Rows of change, field, before and after for one item."""
    if old is None or new is None:
        change, there = ("added", new) if old is None else ("removed", old)
        assert there is not None
        told = ["status"] if changes_only else [name for name in fields if there[name] is not None]
        return [(change, name, old and old[name], new and new[name]) for name in told]
    rows = [
        ("same" if old[name] == new[name] else "changed", name, old[name], new[name])
        for name in fields
        if old[name] is not None or new[name] is not None
    ]
    return [row for row in rows if row[0] == "changed" or not changes_only]


def _project(t: Tables, files: Files, a: Any, b: Any, session_id: str | None) -> str | None:
    """Return the project that holds both checkpoints; None if the tables are empty."""
    if session_id is not None:
        return session_id
    names = session_names(t)
    ids = [wanted for wanted in (a, b) if is_id(wanted)]
    holding = [name for name in names if all(files.named(name, wanted) for wanted in ids)] if ids else names
    if not holding and ids:
        raise ValueError(f"no project holds {' and '.join(map(repr, ids))}; see the table checkpoints for the ids")
    if len(holding) > 1:
        raise ValueError(f"several projects may be meant: choose with session_id= one of {', '.join(holding)}")
    return holding[0] if holding else None


def _items_at(files: Files, table: Any, row: int, kind: str) -> dict[str | None, dict[str, Any]]:
    """Return the items of a kind in a checkpoint; if a build checkpoint has none, those of the newest before it."""
    session, sessions = session_codes(table)
    ids, texts = codes_in(table["checkpoint_id"])
    version = numbers_in(table["version"])
    places = {name: at for at, name in enumerate(texts)}
    project = files.sessions[int(files.session[row])]
    mine = np.flatnonzero(session == (sessions.index(project) if project in sessions else -2))
    ids, version = ids[mine], version[mine]

    def holds(one: int) -> NDArray[Any]:
        return mine[(ids == places.get(files.ids[one] or "", -2)) & (version == files.version[one])]

    found = holds(row)
    if not len(found) and files.build[row]:
        holding = set(np.unique(ids).tolist())
        rows: list[int] = files.of(project).tolist()
        for one in reversed(rows[: rows.index(row)]):
            if not files.build[one]:
                continue
            if places.get(files.ids[one] or "", -2) not in holding or (files.undone[one] and not files.undone[row]):
                continue
            found = holds(one)
            if len(found):
                break
    if not len(found):
        return {}
    part: Any = table.iloc[found]
    cells = {name: _values(part[name]) for name in part.columns}
    keys = cells[f"{kind}_id"]
    return {key: {name: cells[name][at] for name in cells} for at, key in enumerate(keys)}


def _values(series: Any) -> list[Any]:
    """Return Python values that can be compared, with None for missing ones."""
    return [None if gone else value for value, gone in zip(series.tolist(), series.isna().tolist(), strict=True)]

"""How fast a build goes: velocity, and throughput by group."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import numpy as np
import pandas as pd

from .._columns import NONE
from ._core import (
    DONE,
    HOUR,
    Tables,
    check_bins,
    codes_in,
    durations_in,
    floats,
    ints,
    micros_in,
    result,
    session_codes,
    share,
    step_of,
    text,
    times,
)
from ._moves import Moves, by_item, moves_of, spans

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = ["GROUPS", "throughput", "velocity"]

GROUPS: Final = ("component", "kind", "phase", "priority", "type")


def velocity(t: Tables, *, freq: Any = "1h", kind: str | None = None, session_id: str | None = None) -> pd.DataFrame:
    """How many items were completed in each hour, or other length of time.

    Parameters
    ----------
    t, kind, session_id
        As of `burnup`.
    freq
        The length of a bin, such as ``"15min"``. Bins begin at its multiples since 1970, in UTC.

    Returns
    -------
    pandas.DataFrame
        One row per bin from the first change to the present, empty bins too: ``session_id``; ``ts``, when the bin
        begins; ``completed``, how often an item became completed; ``minutes``, the sum of their estimates (NA in a
        project in which no completed item has an estimate); ``reopened``, how often an item ceased to be completed,
        also because it went; ``net`` = completed - reopened, which adds up to the items completed now.
    """
    moves = moves_of(t, kind=kind, session_id=session_id)
    step = step_of(freq)
    present = moves.present(t)
    won = (moves.after == DONE) & (moves.before != DONE)
    lost = (moves.before == DONE) & (moves.after != DONE)
    estimates = by_item(t, moves, durations_in(t.items["estimated"]), NONE)[moves.key]
    known = won & (estimates != NONE)
    minutes = np.where(known, estimates / 60_000_000, 0.0)
    parts: list[tuple[NDArray[Any], ...]] = []
    order = np.argsort(moves.session, kind="stable")
    for session, run in spans(moves.session[order]):
        rows = order[run]
        first = int(moves.ts[rows].min()) // step
        size = int(present[session]) // step - first + 1
        check_bins(size, freq)
        at = moves.ts[rows] // step - first
        spent = np.bincount(at, minutes[rows], size) if known[rows].any() else np.full(size, np.nan)
        counts = [np.bincount(at[which[rows]], minlength=size) for which in (won, lost)]
        parts.append((np.full(size, session), (np.arange(size) + first) * step, counts[0], spent, counts[1]))
    session, ts, completed, spent, reopened = _joined(parts, 5)
    return result(
        {
            "session_id": text(session, moves.sessions),
            "ts": times(ts),
            "completed": ints(completed),
            "minutes": floats(spent),
            "reopened": ints(reopened),
            "net": ints(completed - reopened),
        },
        t,
    )


def throughput(
    t: Tables, *, by: str = "component", freq: Any = None, kind: str | None = None, session_id: str | None = None
) -> pd.DataFrame:
    """How many items of each group are completed per hour.

    Parameters
    ----------
    t, session_id
        As of `burnup`.
    by
        ``component``: the component of a feature (of a component itself, of a task its pool or workflow). ``kind``: the
        kind of item. ``priority``: that of a feature. ``type``: that of the item's component. ``phase``: the phase that
        the first checkpoint after the completion names; its hours are those between each of its checkpoints and the
        checkpoint before.
    freq
        None: one row per group, for the whole time. Otherwise one row per group and bin: see `velocity`.
    kind
        As of `burnup`; None means all kinds if ``by`` is ``kind``.

    Returns
    -------
    pandas.DataFrame
        ``session_id``; a column named as ``by`` says, NA for items that are in no group; ``ts``, when the bin begins;
        ``completed``, how often an item became completed; ``hours``, how much of the bin has been observed;
        ``per_hour`` = completed / hours, NA where that is no time.
    """
    if by not in GROUPS:
        raise ValueError(f"by must be one of {', '.join(GROUPS)}, got {by!r}")
    moves = moves_of(t, kind=kind, session_id=session_id, every=by == "kind")
    step = None if freq is None else step_of(freq)
    present = moves.present(t)
    won = (moves.after == DONE) & (moves.before != DONE)
    phases = _Phases(t) if by == "phase" else None
    names = phases.names if phases else _groups(t, moves, by)
    places = {name: at for at, name in enumerate(sorted({name for name in names if name is not None}))}
    owner = np.array([places.get(name, -1) if name is not None else -1 for name in names], dtype=np.int64)
    parts: list[tuple[NDArray[Any], ...]] = []
    order = np.argsort(moves.session, kind="stable")
    for session, run in spans(moves.session[order]):
        rows = order[run]
        first, end = int(moves.ts[rows].min()), int(present[session])
        done = rows[won[rows]]
        if phases:
            x, phase = phases.of(moves.sessions[session], owner)
            first = min(first, int(x[0])) if len(x) else first
            group = (
                phase[np.minimum(np.searchsorted(x, moves.ts[done]), len(x) - 1)] if len(x) else np.full(len(done), -1)
            )
            groups = np.unique(np.concatenate([phase, group] if len(phase) else [[-1]]))
            x = np.concatenate([[first], x, [end]])
            phase = np.concatenate([phase, phase[-1:], [-1] if not len(phase) else []]).astype(np.int64)
        else:
            group = owner[moves.key[done]]
            groups = np.unique(owner[moves.key[rows]])
            x, phase = np.array([first, end]), None
        edges = np.array([first, end]) if step is None else np.arange(first // step, end // step + 2) * step
        bins = len(edges) - 1
        check_bins(bins * len(groups), freq)
        at = np.searchsorted(groups, group) * bins
        at += 0 if step is None else moves.ts[done] // step - first // step
        hours = np.stack([_elapsed(x, None if phase is None else phase == one, edges) for one in groups]).ravel() / HOUR
        completed = np.bincount(at, minlength=bins * len(groups))
        size = len(groups) * bins
        parts.append(
            (np.full(size, session), np.repeat(groups, bins), np.tile(edges[:-1], len(groups)), completed, hours)
        )
    session, group, ts, completed, hours = _joined(parts, 5)
    return result(
        {
            "session_id": text(session, moves.sessions),
            by: text(group, list(places)),
            "ts": times(ts),
            "completed": ints(completed),
            "hours": floats(hours),
            "per_hour": floats(share(completed, hours)),
        },
        t,
    )


def _elapsed(x: NDArray[Any], within: NDArray[Any] | None, edges: NDArray[Any]) -> NDArray[Any]:
    """How much time of each bin lies in the stretches between ``x`` that count; None: all do."""
    stretches = np.diff(x)
    if within is not None:
        stretches = np.where(within, stretches, 0)
    return np.diff(np.interp(edges, x, np.concatenate([[0], np.cumsum(stretches)])))


def _groups(t: Tables, moves: Moves, by: str) -> list[str | None]:
    """The group of each item."""
    owners = moves.owners()
    if by == "kind":
        return [kind for _, kind, _ in owners]
    if by == "priority":
        known = _newest(t.features, "feature_id", "priority")
        return [known.get((session, item)) if kind == "feature" else None for session, kind, item in owners]
    codes, parents = codes_in(t.items["parent_id"])
    places: list[int] = by_item(t, moves, codes, -1).tolist()
    found = [
        item if kind == "component" else parents[place] if place >= 0 else None
        for (_, kind, item), place in zip(owners, places, strict=True)
    ]
    if by == "component":
        return found
    known = _newest(t.components, "component_id", "component_type")
    return [known.get((session, item or "")) for (session, *_), item in zip(owners, found, strict=True)]


def _newest(frame: Any, id_column: str, column: str) -> dict[tuple[str, str], str]:
    """What is known last of a text of each item, of a table with a row per item per checkpoint."""
    session, sessions = session_codes(frame)
    item, items = codes_in(frame[id_column])
    value, values = codes_in(frame[column])
    last = np.full(len(sessions) * len(items), -1)
    rows = np.flatnonzero(value >= 0)
    last[session[rows] * len(items) + item[rows]] = value[rows]
    return {
        (sessions[place // len(items)], items[place % len(items)]): values[last[place]]
        for place in np.flatnonzero(last >= 0).tolist()
    }


class _Phases:
    """Which phase each checkpoint of each project names: those of build checkpoints, else those of other files."""

    def __init__(self, t: Tables) -> None:
        frame: Any = t.checkpoints
        self._session, self._sessions = session_codes(frame)
        self._phase, texts = codes_in(frame["phase"])
        self._ts = micros_in(frame["ts"])
        shape, shapes = codes_in(frame["shape"])
        self._build = shape == (shapes.index("checkpoint") if "checkpoint" in shapes else -2)
        self.names: list[str | None] = [*texts]

    def of(self, session: str, owner: NDArray[Any]) -> tuple[NDArray[Any], NDArray[Any]]:
        """The times of a project's checkpoints, and their phases."""
        here = self._session == (self._sessions.index(session) if session in self._sessions else -2)
        here &= self._phase >= 0
        rows = np.flatnonzero(here & self._build)
        rows = rows if len(rows) else np.flatnonzero(here)
        rows = rows[np.argsort(self._ts[rows], kind="stable")]
        return self._ts[rows], owner[self._phase[rows]]


def _joined(parts: list[tuple[NDArray[Any], ...]], count: int) -> tuple[NDArray[Any], ...]:
    """Columns in parts, each as one."""
    if not parts:
        return tuple(np.empty(0, dtype=np.int64) for _ in range(count))
    return tuple(np.concatenate(one) for one in zip(*parts, strict=True))

"""What the tables of a history say of one build at one moment: all that the forecast may know.

Everything is rebuilt from the transitions up to the moment, so a forecast for a past moment knows nothing of what came
after it. Only an item's estimate, its parent and what it depends on are those of the present tables.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, Final, Self

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from ._attempts import DONE, GONE, NEVER, RUNNING, SECOND, STATUSES, UNSEEN, Attempts, Changes, meaning_of

__all__ = ["ENOUGH", "KINDS", "Known", "Source", "source_of"]

Array = NDArray[Any]
_pd: Any = pd  # whose functions have no types that say anything

KINDS: Final = ("feature", "task", "component", "phase")
"""The kinds of items, in the order in which they are chosen."""

ENOUGH: Final = 5
"""So many durations must have been seen before anything is forecast."""

_NAT: Final = np.iinfo(np.int64).min


@dataclass(slots=True)
class Known:
    """What is known of a build at a moment; times and durations in seconds. An item's number is its place in `ids`."""

    now: int  # microseconds since 1970, UTC
    began: int  # when the first item was first seen
    changed: int  # when an item last changed its status
    ids: list[str]
    present: Array  # bool: seen, and not dropped
    status: Array  # place in the statuses; -1: dropped
    done: Array  # bool
    running: Array  # bool: in progress
    age: Array  # since its present attempt began, in progress or held; NaN if there is none
    since_done: Array  # since its last completion, of items that are done; NaN of others
    estimate: Array  # NaN: none
    parent: list[str | None]
    before: Array  # edges: this item ...
    after: Array  # ... must be done before that one begins
    lag_of: Array  # per edge: which of the components ends in between; -1: none
    lags: Array  # how long after its last feature a component was completed, of those of which that was seen
    pending: dict[int, Array]  # such a component: the items that wait for it alone, its features being done ...
    pending_age: dict[int, float]  # ... and how long they have been
    failed_build: bool  # the whole build has failed, and nothing has happened since
    looked: int  # the newest time at which anything was seen to change, in microseconds since 1970
    duration: Array  # durations of attempts
    duration_least: Array  # their bounds, where nobody saw the start
    duration_most: Array
    duration_item: Array  # whose
    over: Array  # attempts that were under way when the first checkpoint was written: they took longer than this
    over_item: Array
    unseen: int  # completions of which nobody saw when they began
    tried: int  # attempts that ended
    failed: int  # attempts that ended in an error, or were undone
    completions: int
    reopened: int
    reopened_after: float  # sum of the times between a completion and the reopening
    added: Array  # how many items came at each look after the first at which any came
    added_until: float  # share of the completions that came before the last of those
    workers: float  # the mean number of items in progress while others could have begun
    workers_error: float  # its standard error
    idle: float  # share of the time in which nothing was in progress though something could have been

    @property
    def open(self) -> Array:
        """Which items are not done yet."""
        return self.present & ~self.done


@dataclass(slots=True)
class Source:
    """What the tables hold of the items of one kind in one build."""

    kind: str
    changes: Changes
    first_look: int  # time of the first checkpoint that shows any; NaT if there is none
    estimate: dict[str, float]  # seconds; NaN: none
    recorded: dict[str, int]  # how long an item took by the build's own record, in microseconds; below 0: none
    parent: dict[str, str | None]
    own: list[tuple[str, str]]  # (before, after)
    of_components: list[tuple[str, str]]  # the same, of components
    component_done: dict[str, int]  # when a component was completed the first time
    failed: int  # the newest time known of a build that has failed; NEVER if it has not

    @classmethod
    def of(cls, t: Any, session_id: str, kind: str) -> Self:
        """Gather it from the tables."""
        frame: Any = t.transitions
        frame = frame.loc[_here(frame, session_id, kind), ["ts", "item_id", "to_status", "progress", "source"]]
        ts = _micros(_pd.DatetimeIndex(_pd.to_datetime(frame["ts"], utc=True)))
        codes, names = _pd.factorize(frame["item_id"])
        status = np.asarray(
            pd.Categorical(frame["to_status"].astype("object"), categories=STATUSES).codes, dtype=np.int64
        )
        shown = ts[np.asarray((frame["source"] == "checkpoint").fillna(value=False), dtype=bool)]
        progress = frame["progress"].to_numpy(dtype="float64", na_value=np.nan)
        inferred = np.asarray(frame["source"].isin(["times", "rollback"]).fillna(value=False), dtype=bool)
        items: Any = t.items
        items = items.loc[_here(items, session_id, kind)]
        ids = [str(one) for one in items["item_id"]]
        micros = _micros(_pd.TimedeltaIndex(_pd.to_timedelta(items["estimated"])))
        recorded = _micros(_pd.TimedeltaIndex(_pd.to_timedelta(items["actual"])))
        seconds = np.where(micros > 0, micros / SECOND, np.nan).tolist()  # NaT is below 0
        parents = [None if _pd.isna(one) else str(one) for one in items["parent_id"]]
        return cls(
            kind=kind,
            changes=Changes.of(
                [str(one) for one in names],
                np.asarray(codes),
                ts,
                status,
                under_way=(progress > 0) & ~inferred,
                looked=_looks(t.checkpoints, session_id, kind),
            ),
            first_look=int(shown[0]) if len(shown) else _NAT,
            estimate=dict(zip(ids, seconds, strict=True)),
            recorded=dict(zip(ids, recorded.tolist(), strict=True)),
            parent=dict(zip(ids, parents, strict=True)),
            own=_pairs(t.dependencies, session_id, kind),
            of_components=_pairs(t.dependencies, session_id, "component") if kind == "feature" else [],
            failed=_failed(t.sessions, session_id),
            component_done=_completions(t.transitions, session_id) if kind == "feature" else {},
        )

    def at(self, now: int) -> Known:
        """All that was known at a moment (microseconds since 1970, UTC)."""
        changes = self.changes.until(now)
        ids, count = changes.ids, len(changes.ids)
        began = int(changes.ts[0]) if count else now
        changes = changes.as_recorded(self._recorded(ids, now), began)
        status = changes.last_status()
        meaning = meaning_of(status)
        attempts = Attempts.of(changes, now=now)
        start = max(began, self.first_look) if self.first_look <= now else began
        leeway = SECOND + 0.01 * (now - start)  # the first checkpoints of a build often come in a row
        added = attempts.first_seen > start + leeway
        last_added = int(attempts.first_seen[added].max(initial=0))
        parent = [self.parent.get(one) for one in ids]
        edges = self._edges(ids, parent, attempts)
        gates = _Gates.of(edges, parent, meaning, attempts, self.component_done, now)
        looked = int(changes.looked[-1]) if len(changes.looked) else now
        workers, workers_error, idle = _parallelism(changes, attempts, edges, gates, looked)
        return Known(
            now=now,
            began=began,
            changed=int(changes.ts[-1]) if count else now,
            ids=ids,
            present=meaning != GONE,
            status=status,
            done=meaning == DONE,
            running=meaning == RUNNING,
            age=attempts.age,
            since_done=np.where(meaning == DONE, attempts.since_done, np.nan),
            estimate=np.array([self.estimate.get(one, np.nan) for one in ids], dtype=np.float64),
            parent=parent,
            before=edges.before,
            after=edges.after,
            lag_of=gates.lag_of,
            lags=gates.lags,
            pending=gates.pending,
            pending_age=gates.pending_age,
            failed_build=now >= self.failed,
            looked=looked,
            duration=attempts.duration,
            duration_least=attempts.duration_least,
            duration_most=attempts.duration_most,
            duration_item=attempts.duration_item,
            over=attempts.over,
            over_item=attempts.over_item,
            unseen=attempts.unseen,
            tried=attempts.tried,
            failed=attempts.failed,
            completions=len(attempts.completed_at),
            reopened=attempts.reopened,
            reopened_after=attempts.reopened_after,
            added=np.unique(attempts.first_seen[added], return_counts=True)[1],
            added_until=float((attempts.completed_at < last_added).mean()) if len(attempts.completed_at) else 0.0,
            workers=workers,
            workers_error=workers_error,
            idle=idle,
        )

    def _recorded(self, ids: list[str], now: int) -> Array:
        """The records of those items that were over by then: a record of the present may be of what came later."""
        changed: list[int] = np.unique(self.changes.item[self.changes.ts > now]).tolist()
        later = {self.changes.ids[at] for at in changed}
        return np.array([0 if one in later else self.recorded.get(one, 0) for one in ids], dtype=np.int64)

    def _edges(self, ids: list[str], parent: list[str | None], attempts: Attempts) -> _Edges:
        """The edges between items that were seen: their own, and those that features have from their components."""
        number = {one: at for at, one in enumerate(ids)}
        own = {(number[one], number[two]) for one, two in self.own if one in number and two in number and one != two}
        inherited = _inherited(self.of_components, own, parent) - own
        if not inherited or not _kept(inherited, attempts):
            inherited = set[tuple[int, int]]()
        pairs = np.array(sorted(own | inherited), dtype=np.int64).reshape(-1, 2)
        through = [(one, two) in inherited for one, two in pairs.tolist()]
        return _Edges(pairs[:, 0], pairs[:, 1], np.array(through, dtype=bool))


@dataclass(slots=True)
class _Edges:
    before: Array
    after: Array
    inherited: Array  # bool: from the components


@dataclass(slots=True)
class _Gates:
    """Components between features: the next ones wait until a component is completed, not just its last feature."""

    lag_of: Array
    lags: Array
    pending: dict[int, Array]
    pending_age: dict[int, float]
    ready: Array  # per edge: when its component was completed; NEVER if it is not, 0 if there is none in between

    @classmethod
    def of(
        cls,
        edges: _Edges,
        parent: list[str | None],
        meaning: Array,
        attempts: Attempts,
        completed: dict[str, int],
        now: int,
    ) -> Self:
        """What was known at a moment. A component that nothing says is ever completed holds nothing up."""
        lag_of = np.full(len(edges.before), -1)
        ready = np.zeros(len(edges.before), dtype=np.int64)
        pending: dict[int, Array] = {}
        pending_age: dict[int, float] = {}
        lags: list[float] = []
        members: dict[str, list[int]] = {}
        for at, one in enumerate(parent):
            if one is not None:
                members.setdefault(one, []).append(at)
        kept = any(when <= now for when in completed.values())
        through_one: list[int] = edges.before[edges.inherited].tolist() if kept else []
        gates = sorted({parent[at] or "" for at in through_one})
        for number, name in enumerate(gates):
            mine = np.array(members[name])
            through = edges.inherited & np.isin(edges.before, mine)
            lag_of[through] = number
            over = completed.get(name, NEVER)
            ready[through] = over if over <= now else NEVER
            if (meaning[mine] == DONE).all():
                last = int(attempts.first_done[mine].max())
                if over <= now:
                    lags.append(max(over - last, 0) / SECOND)
                else:
                    pending[number] = np.unique(edges.after[through])
                    pending_age[number] = (now - last) / SECOND
        return cls(lag_of, np.array(lags), pending, pending_age, ready)


def source_of(t: Any, session_id: str | None, kind: str | None, now: int | None) -> Source | None:
    """What the tables hold of the build and the kind of items that are meant; None if there is nothing.

    Of several kinds the first is chosen that has items which are not done, and `ENOUGH` attempts seen from beginning to
    end: features first, which are the scope of a build, then tasks, components and phases.

    Raises
    ------
    ValueError
        If there are several builds and none is named, none of that name, or no such kind.
    """
    if kind is not None and kind not in KINDS:
        raise ValueError(f"kind must be one of {', '.join(KINDS)}, got {kind!r}")
    sessions: Any = t.sessions
    names = [str(one) for one in sessions["session_id"]]
    if session_id is not None and session_id not in names:
        raise ValueError(f"there is no build {session_id!r}; there are: {', '.join(names) or 'none'}")
    if session_id is None and len(names) > 1:
        shown = ", ".join(names[:5]) + (", …" if len(names) > 5 else "")
        raise ValueError(f"a forecast is of one build, and here are {len(names)}: name one as session_id= ({shown})")
    if not names:
        return None
    session_id = session_id or names[0]
    if kind is not None:
        return Source.of(t, session_id, kind)
    best: tuple[int, bool] = (-1, False)
    chosen: Source | None = None
    for one in KINDS:
        source = Source.of(t, session_id, one)
        changes = source.changes if now is None else source.changes.until(now)
        if not len(changes.ts):
            continue
        seen = len(Attempts.of(changes, now=int(changes.ts[-1])).duration) >= ENOUGH
        left = bool(np.isin(meaning_of(changes.last_status()), (DONE, GONE), invert=True).any())
        if (left + seen, left) > best:
            best, chosen = (left + seen, left), source
    return chosen


def _here(frame: Any, session_id: str, kind: str) -> Array:
    """Which rows are of this build and kind."""
    matches = (frame["kind"] == kind) & (frame["session_id"] == session_id)
    return np.asarray(matches.fillna(value=False), dtype=bool)


def _micros(index: Any) -> Array:
    """Times or durations as int64 microseconds (NaT is the least)."""
    return np.asarray(index.as_unit("us").asi8)


def _pairs(frame: Any, session_id: str, kind: str) -> list[tuple[str, str]]:
    """(what comes before, what after) of the edges of a kind."""
    frame = frame.loc[_here(frame, session_id, kind)]
    return [(str(one), str(two)) for one, two in zip(frame["depends_on"], frame["item_id"], strict=True)]


def _failed(frame: Any, session_id: str) -> int:
    """The newest time known of a build that has failed; NEVER if it has not."""
    if "status" not in frame.columns:
        return NEVER
    frame = frame.loc[np.asarray((frame["session_id"] == session_id).fillna(value=False), dtype=bool)]
    if not (frame["status"] == "failed").fillna(value=False).any():
        return NEVER
    return int(_micros(_pd.DatetimeIndex(_pd.to_datetime(frame["last_ts"], utc=True)))[0])


def _looks(frame: Any, session_id: str, kind: str) -> Array:
    """The times of the build checkpoints that show items of a kind."""
    chosen = frame["session_id"] == session_id
    if "shape" in frame.columns:
        chosen &= frame["shape"] == "checkpoint"
    if f"n_{kind}s" in frame.columns:
        chosen &= frame[f"n_{kind}s"] > 0
    frame = frame.loc[np.asarray(chosen.fillna(value=False), dtype=bool)]
    return _micros(_pd.DatetimeIndex(_pd.to_datetime(frame["ts"], utc=True)))


def _completions(frame: Any, session_id: str) -> dict[str, int]:
    """When each component was completed the first time."""
    frame = frame.loc[_here(frame, session_id, "component"), ["ts", "item_id", "to_status"]]
    frame = frame.loc[np.asarray((frame["to_status"] == "completed").fillna(value=False), dtype=bool)]
    ts = _micros(_pd.DatetimeIndex(_pd.to_datetime(frame["ts"], utc=True)))
    found: dict[str, int] = {}
    for name, when in zip(frame["item_id"], ts.tolist(), strict=True):
        found[str(name)] = min(found.get(str(name), NEVER), when)
    return found


def _inherited(
    between: Iterable[tuple[str, str]], own: set[tuple[int, int]], parent: list[str | None]
) -> set[tuple[int, int]]:
    """The features of a component wait for those of the components that it depends on.

    Enough for that: the last ones there come before the first ones here.
    """
    members: dict[str, list[int]] = {}
    for at, one in enumerate(parent):
        if one is not None:
            members.setdefault(one, []).append(at)
    leads = {one for one, two in own if parent[one] == parent[two]}
    follows = {two for one, two in own if parent[one] == parent[two]}
    return {
        (one, two)
        for before, after in between
        if before != after
        for one in members.get(before, ())
        if one not in leads
        for two in members.get(after, ())
        if two not in follows
    }


def _kept(edges: set[tuple[int, int]], attempts: Attempts) -> bool:
    """Whether the build so far kept to these edges: nine of ten items that began did so after the other was done."""
    pairs = np.array(sorted(edges), dtype=np.int64)
    begun = attempts.first_begun[pairs[:, 1]]
    started = begun < NEVER
    return not started.any() or bool((attempts.first_done[pairs[:, 0]] <= begun)[started].mean() >= 0.9)


def _parallelism(
    changes: Changes, attempts: Attempts, edges: _Edges, gates: _Gates, now: int
) -> tuple[float, float, float]:
    """How many can work at once: the mean number in progress while others could have begun, and its standard error.

    While nothing else could have begun, the number in progress says how much there was to do, not how many can work.
    The third is the share of the time in which nothing was in progress though something could have been.
    """
    run_from, run_to = changes.spans(RUNNING, now)
    run_from = np.concatenate([run_from, attempts.guessed_from])
    run_to = np.concatenate([run_to, attempts.guessed_to])
    if not len(run_from):
        return 1.0, 0.0, 0.0
    ready = attempts.first_seen.copy()
    np.maximum.at(ready, edges.after, np.maximum(attempts.first_done[edges.before], gates.ready))
    stop = np.minimum(np.minimum(attempts.first_begun, attempts.first_done), now)
    waits = ready < stop
    unsure = (changes.since != changes.ts) & (changes.since != UNSEEN)  # somebody began at some time in between
    unsure_from, unsure_to = changes.since[unsure], changes.ts[unsure]
    times = np.concatenate([run_from, run_to, ready[waits], stop[waits], unsure_from, unsure_to])
    counts = [len(run_from), len(run_to), *[int(waits.sum())] * 2, *[len(unsure_from)] * 2]
    order = np.argsort(times, kind="stable")
    busy = np.repeat([1, -1, 0, 0, 0, 0], counts)[order].cumsum()[:-1]
    waiting = np.repeat([0, 0, 1, -1, 0, 0], counts)[order].cumsum()[:-1] > 0
    waiting &= np.repeat([0, 0, 0, 0, 1, -1], counts)[order].cumsum()[:-1] == 0
    span = np.diff(times[order]) / SECOND
    total = float(span[busy > 0].sum())
    idle = float(span[waiting & (busy == 0)].sum())
    share = idle / (idle + total) if idle > 0 else 0.0
    chosen = waiting & (busy > 0)
    weight = np.where(chosen, span, 0.0)
    if weight.sum() <= 0.05 * total:  # hardly ever: all that could begin did so at once
        return float(busy[span > 0].max(initial=1)), 0.0, share
    mean = float((busy * weight).sum() / weight.sum())
    spread = float(np.sqrt((weight * (busy - mean) ** 2).sum() / weight.sum()))
    return mean, spread / np.sqrt(max(len(attempts.duration), 1)), share

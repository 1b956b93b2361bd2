"""What changed when: from the items of each checkpoint to one row per change of an item.

Files are put in sequences: all build checkpoints of a project are one, by time and id; every other file, which is
rewritten in place, is one of its own, by version. An item changes where its status or progress differs from that of its
last occurrence in the sequence; it begins where it had none, and ends where the next file no longer holds it (a
checkpoint that holds no items of a kind says nothing of that kind). A run of checkpoints that are rolled back ends with
a return to the newest one before it that stands.

The time of a change is that of the checkpoint which shows it, unless the item itself says when it began or ended, and
that lies since the checkpoint before.
"""

# numpy, pandas and pyarrow leave the types of elements open.
# pyright: reportUnknownMemberType=false, reportUnknownArgumentType=false, reportUnknownVariableType=false

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from ..model import Phase, State, Status
from . import tables
from ._columns import NONE, STATUSES, Column, Texts, empty
from ._store import Items, Store
from ._times import Times

__all__ = ["SOURCES", "transitions"]

SOURCES: Final = ["checkpoint", "times", "rollback", "merge"]
KINDS: Final = ["phase", "component", "feature", "task"]
_CHECKPOINT, _TIMES, _ROLLBACK, _MERGE = range(4)
_RUNNING: Final = STATUSES.index(Status.IN_PROGRESS)
_OVER: Final = np.isin(
    np.arange(len(STATUSES)),
    [STATUSES.index(one) for one in (Status.COMPLETED, Status.ERROR, Status.SKIPPED, Status.CANCELLED)],
)
_ENDS: Final = {"component": "ended_at", "task": "ended_at"}
_STARTS: Final = {"component": "started_at", "task": "started_at", "phase": "started_at"}
_BEFORE: Final = NONE + 1

Array = NDArray[Any]


@dataclass(slots=True)
class _Looks:
    """A sequence of looks at the items of one kind: which file, whose sequence, when, and why."""

    file: Array  # row of the store; of a rollback: that which stands again; -1: nothing stands
    sequence: Array
    ts: Array
    source: Array


@dataclass(slots=True)
class _Changes:
    """Changes of items, one array per field."""

    root: Array
    kind: Array
    item: Array  # place of its id in the texts of all kinds
    ts: Array
    before: Array  # -1: it was not there
    after: Array  # -1: it is no longer there
    progress: Array
    file: Array
    source: Array
    sequence: Array
    within: Array  # orders the changes of one item at one time

    def take(self, rows: Array) -> _Changes:
        return _Changes(*(getattr(self, field.name)[rows] for field in fields(self)))


def transitions(store: Store, order: Array, states: list[State], times: Times) -> dict[str, Column]:
    """All changes of all items, as the table ``transitions``."""
    ids = Texts()
    parts = [part for kind in KINDS if (part := _of_kind(store, kind, order, ids, times)) is not None]
    parts = [_one_sequence_each(store, _joined(parts))] if parts else []
    parts.append(_to_the_present(store, parts[0] if parts else None, states, ids))
    changes = _joined(parts)
    count = len(changes.ts)
    if not count:
        return empty(tables.TABLES["transitions"])
    texts = list(ids.places)
    rank = np.empty(len(texts), dtype=np.int64)
    rank[sorted(range(len(texts)), key=texts.__getitem__)] = np.arange(len(texts))
    rows = np.lexsort((changes.within, rank[changes.item], changes.kind, changes.ts, changes.root))
    changes = changes.take(rows)
    files = store.files
    checkpoint = np.where(changes.file >= 0, files.raw("checkpoint_id")[changes.file], -1)
    named = Texts(files.texts("checkpoint_id"))
    return {
        "seq": Column("int", np.arange(1, count + 1)),
        "session_id": Texts(home.session_id for home in store.roots).column(changes.root.astype(np.int32)),
        "ts": Column("time", changes.ts),
        "kind": Texts(KINDS).column(changes.kind.astype(np.int32)),
        "item_id": ids.column(changes.item.astype(np.int32)),
        "from_status": Column("status", changes.before.astype(np.int8)),
        "to_status": Column("status", changes.after.astype(np.int8)),
        "progress": Column("float", changes.progress),
        "checkpoint_id": named.column(checkpoint.astype(np.int32)),
        "source": Texts(SOURCES).column(changes.source.astype(np.int32)),
    }


def _joined(parts: list[_Changes]) -> _Changes:
    return _Changes(*(np.concatenate([getattr(part, field.name) for part in parts]) for field in fields(_Changes)))


def _of_kind(store: Store, kind: str, order: Array, ids: Texts, times: Times) -> _Changes | None:
    items = store.items[kind]
    looks = _looks(store, kind, order, times)
    if not len(looks.file) or not len(items.codes):
        return None
    counts = items.count().astype(np.int64)
    begin = np.cumsum(counts) - counts
    lengths = np.where(looks.file >= 0, counts[looks.file], 0)
    starts = np.cumsum(lengths) - lengths
    total = int(lengths.sum())
    if not total:
        return None
    index = np.arange(total) - np.repeat(starts - begin[looks.file], lengths)
    codes = items.array()[index]
    look = np.repeat(np.arange(len(looks.file)), lengths)
    place = np.array([ids.place(text) for text in items.pool.texts(items.id_field)], dtype=np.int64)
    item = place[items.pool.raw(items.id_field)][codes]
    return _compare(store, items, kind, looks, codes, look, item, len(ids))


def _looks(store: Store, kind: str, order: Array, times: Times) -> _Looks:
    """Every file that may say something of a kind, in the order of its sequence, with the rollbacks."""
    files = store.files
    shapes = files.texts("shape")
    is_checkpoint = files.raw("shape")[order] == (shapes.index("checkpoint") if "checkpoint" in shapes else -2)
    root = files.raw("root")[order]
    ts = times.ts[order]
    counts = store.items[kind].count()[order]
    # Checkpoints are in order already; they come first, a sequence for each root.
    at = np.flatnonzero(is_checkpoint)
    looks = _with_rollbacks(store, order, at, counts, root, times)
    rest = np.flatnonzero(~is_checkpoint)
    path = files.raw("file_path")[order][rest] * len(store.roots) + root[rest]
    holding = np.isin(path, path[counts[rest] > 0])  # files that never hold any say nothing of the kind
    rest, path = rest[holding], path[holding]
    rows = np.lexsort((files.raw("version")[order][rest], path))
    rest, path = rest[rows], path[rows]
    return _Looks(
        file=np.concatenate([looks.file, order[rest]]),
        sequence=np.concatenate([looks.sequence, path + len(store.roots)]),
        ts=np.concatenate([looks.ts, ts[rest]]),
        source=np.concatenate([looks.source, np.full(len(rest), _CHECKPOINT)]),
    )


def _with_rollbacks(store: Store, order: Array, at: Array, counts: Array, root: Array, times: Times) -> _Looks:
    """The looks at checkpoints: those that hold any, and after each run of rolled back ones a look at what stands."""
    files = store.files
    ts = times.ts[order]
    lives = files.texts("status")
    holding = counts[at] > 0
    if "rolled_back" not in lives:
        at = at[holding]
        return _Looks(order[at], root[at], ts[at], np.full(len(at), _CHECKPOINT))
    life = files.raw("status")[order][at]
    path = files.raw("file_path")[order][at] * len(store.roots) + root[at]
    back = life == lives.index("rolled_back")
    if (files.raw("version") > 1).any():  # what a file says last holds for all its versions
        last = dict(zip(path.tolist(), back.tolist(), strict=True))
        back = np.array([last[one] for one in path.tolist()], dtype=bool)
    modified = times.modified[order][at]
    file: list[int] = []
    sequence: list[int] = []
    when: list[int] = []
    source: list[int] = []
    stands = -1  # the newest that stands, of this root
    in_run, latest, of = False, 0, -1

    def look(row: int, of: int, moment: int, why: int) -> None:
        file.append(row)
        sequence.append(of)
        when.append(moment)
        source.append(why)

    def undo(until: int | None) -> None:
        moment = latest
        if moment < when[-1] or (until is not None and moment > until):
            moment = until if until is not None else when[-1]
        look(stands, of, moment, _ROLLBACK)

    for n, row in enumerate(order[at].tolist()):
        if root[at[n]] != of:
            if in_run:
                undo(None)
            of, stands, in_run = int(root[at[n]]), -1, False
        if in_run and not back[n]:
            undo(int(ts[at[n]]))
            in_run = False
        if not holding[n]:
            continue
        if back[n]:
            latest = int(modified[n]) if not in_run else max(latest, int(modified[n]))
            in_run = True
        else:
            stands = row
        look(row, of, int(ts[at[n]]), _CHECKPOINT)
    if in_run:
        undo(None)
    return _Looks(*(np.array(one, dtype=np.int64) for one in (file, sequence, when, source)))


def _compare(
    store: Store, items: Items, kind: str, looks: _Looks, codes: Array, look: Array, item: Array, n_ids: int
) -> _Changes:
    pool = items.pool
    key = looks.sequence[look] * n_ids + item
    _, small = np.unique(key, return_inverse=True) if key.max(initial=0) >= 65_536 else (None, key)
    rows = np.argsort(small.astype(np.uint16) if small.max(initial=0) < 65_536 else small, kind="stable")
    key, codes, look = key[rows], codes[rows], look[rows]
    same = np.zeros(len(key), dtype=bool)
    same[1:] = key[1:] == key[:-1]
    follows = same.copy()  # the file before holds it too
    follows[1:] &= look[1:] == look[:-1] + 1
    status, progress = pool.raw("status"), pool.raw("progress") if "progress" in pool.kinds else None
    differs = np.ones(len(key), dtype=bool)
    differs[1:] = codes[1:] != codes[:-1]
    differs |= ~follows
    at = np.flatnonzero(differs)
    now, then = codes[at], codes[at - 1]
    was = np.where(follows[at], status[then], -1).astype(np.int64)
    is_now = status[now].astype(np.int64)
    percent = _progress(store, kind, now) if progress is None else progress[now]
    before = _progress(store, kind, then) if progress is None else progress[then]
    real = (was != is_now) | (percent != before)
    at, now, was, is_now, percent, before = at[real], now[real], was[real], is_now[real], percent[real], before[real]
    ts = looks.ts[look[at]]
    since = np.where(same[at], looks.ts[look[at - 1]], _BEFORE)
    why = looks.source[look[at]]
    when, from_checkpoint = ts.copy(), why == _CHECKPOINT
    for names, chosen in ((_STARTS, is_now == _RUNNING), (_ENDS, _OVER[is_now])):
        if kind in names:
            own = pool.raw(names[kind])[now]
            use = chosen & from_checkpoint & (was != is_now) & (own > since) & (own <= ts)
            when[use] = own[use]
            why = np.where(use, _TIMES, why)
    changes = [_made(looks, kind, item[rows][at], look[at], when, was, is_now, percent, why, 1)]
    if kind in _STARTS:  # it began and ended between two looks
        own = pool.raw(_STARTS[kind])[now]
        jump = _OVER[is_now] & (was != _RUNNING) & (was != is_now) & from_checkpoint & (own > since) & (own <= when)
        if jump.any():
            begun = np.flatnonzero(jump)
            changes[0].before = np.where(jump, _RUNNING, was)
            changes.append(
                _made(
                    looks,
                    kind,
                    item[rows][at][begun],
                    look[at][begun],
                    own[begun],
                    was[begun],
                    np.full(len(begun), _RUNNING),
                    np.where(was[begun] < 0, 0.0, before[begun]),
                    np.full(len(begun), _TIMES),
                    0,
                )
            )
    # It is gone where the file after the last that held it does not hold it.
    last = np.append(~follows[1:], True)
    newest = np.zeros(len(looks.file), dtype=bool)
    newest[:-1] = looks.sequence[1:] != looks.sequence[:-1]
    newest[-1] = True
    gone = np.flatnonzero(last & ~newest[look])
    if len(gone):
        left = codes[gone]
        percent = _progress(store, kind, left) if progress is None else progress[left]
        after = look[gone] + 1
        changes.append(
            _made(
                looks,
                kind,
                item[rows][gone],
                after,
                looks.ts[after],
                status[left].astype(np.int64),
                np.full(len(gone), -1),
                percent,
                looks.source[after],
                2,
            )
        )
    return _joined(changes)


def _progress(store: Store, kind: str, codes: Array) -> Array:
    """The percentage of phases, which state tasks done and in all."""
    pool = store.items[kind].pool
    total, done = pool.raw("tasks_total")[codes].astype(float), pool.raw("tasks_done")[codes].astype(float)
    known = (total > 0) & (done >= 0)
    share = np.where(known, 100 * np.minimum(done, total) / np.where(known, total, 1), 0.0)
    return np.where(pool.raw("status")[codes] == STATUSES.index(Status.COMPLETED), 100.0, np.round(share, 1))


def _made(
    looks: _Looks,
    kind: str,
    item: Array,
    look: Array,
    ts: Array,
    before: Array,
    after: Array,
    progress: Array,
    source: Array,
    step: int,
) -> _Changes:
    count = len(item)
    sequence = looks.sequence[look]
    return _Changes(
        root=np.zeros(count, dtype=np.int64),  # set when the sequences are told apart
        kind=np.full(count, KINDS.index(kind)),
        item=item,
        ts=ts,
        before=before,
        after=after,
        progress=progress.astype(np.float64),
        file=looks.file[look],
        source=source,
        sequence=sequence,
        within=look * 3 + step,
    )


def _one_sequence_each(store: Store, changes: _Changes) -> _Changes:
    """Give each change its root; of an item in several sequences, keep one: the checkpoints', else the newest."""
    roots = len(store.roots)
    changes.root = np.where(changes.sequence < roots, changes.sequence, (changes.sequence - roots) % roots)
    if (changes.sequence < roots).all():
        return changes
    owner = (changes.root * len(KINDS) + changes.kind) * (int(changes.item.max(initial=0)) + 1) + changes.item
    best: dict[int, tuple[bool, int, int]] = {}
    for own, sequence, ts in zip(owner.tolist(), changes.sequence.tolist(), changes.ts.tolist(), strict=True):
        rank = (sequence < roots, ts if sequence >= roots else 0, sequence)
        if rank > best.get(own, (False, _BEFORE, -1)):
            best[own] = rank
    chosen = np.array([best[own][2] for own in owner.tolist()], dtype=np.int64)
    return changes.take(np.flatnonzero(chosen == changes.sequence))


def _to_the_present(store: Store, changes: _Changes | None, states: list[State], ids: Texts) -> _Changes:
    """What is still missing between the last change of every item and its present state."""
    last: dict[tuple[int, int, int], tuple[int, float]] = {}
    latest: dict[int, int] = {}
    if changes is not None:
        rows = np.lexsort((changes.within, changes.ts))
        keys = zip(changes.root[rows].tolist(), changes.kind[rows].tolist(), changes.item[rows].tolist(), strict=True)
        last = dict(
            zip(keys, zip(changes.after[rows].tolist(), changes.progress[rows].tolist(), strict=True), strict=True)
        )
        for root, ts in zip(changes.root.tolist(), changes.ts.tolist(), strict=True):
            latest[root] = max(latest.get(root, NONE), ts)
    found: list[tuple[Any, ...]] = []
    alive = store.alive()
    files_root, files_ts = store.files.raw("root"), store.files.raw("ts")
    for root, state in enumerate(states):
        here = files_ts[(files_root == root) & alive]
        moment = max(int(here.max(initial=NONE)), latest.get(root, NONE))
        present: dict[tuple[int, int, int], tuple[int, float]] = {}
        for kind, items, field in (
            ("phase", state.phases, "phase_id"),
            ("component", state.components, "component_id"),
            ("feature", state.features, "feature_id"),
            ("task", state.tasks, "task_id"),
        ):
            for item in items:
                key = (root, KINDS.index(kind), ids.place(getattr(item, field)))
                percent: float = phase_progress(item) if isinstance(item, Phase) else item.progress
                present[key] = (STATUSES.index(item.status), percent)
        found += [
            (*key, moment, status, -1, percent)
            for key, (status, percent) in last.items()
            if key[0] == root and key not in present and status >= 0
        ]
        for key, (status, percent) in present.items():
            known = last.get(key, (-1, -1.0))
            if known != (status, percent):
                found.append((*key, moment, known[0], status, percent))
    table = list(zip(*found, strict=True)) if found else [()] * 7
    root, kind, item, ts, before, after = (np.array(column, dtype=np.int64) for column in table[:6])
    count = len(found)
    return _Changes(
        root=root,
        kind=kind,
        item=item,
        ts=ts,
        before=before,
        after=after,
        progress=np.array(table[6], dtype=np.float64),
        file=np.full(count, -1),
        source=np.full(count, _MERGE),
        sequence=np.full(count, -1),
        within=np.full(count, np.iinfo(np.int64).max),
    )


def phase_progress(phase: Any) -> float:
    """The percentage of a phase: its tasks done of all, 100 when it is completed."""
    if phase.status is Status.COMPLETED:
        return 100.0
    if not phase.tasks_total or phase.tasks_done is None:
        return 0.0
    return round(100 * min(phase.tasks_done, phase.tasks_total) / phase.tasks_total, 1)

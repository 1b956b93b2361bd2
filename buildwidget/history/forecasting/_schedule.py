"""The rest of a build, many times over: workers take what is ready, until nothing is left.

A list schedule [1]_: whenever a worker is free it takes the first item in the list all of whose predecessors are done.
All runs are simulated side by side, one decision of each per step.

.. [1] Graham (1966), Bounds for certain multiprocessing anomalies, Bell System Technical Journal 45, 1563-1581.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

__all__ = ["Work", "finish_times"]

Array = NDArray[Any]
_np: Any = np  # some of whose functions have types that say less


@dataclass(slots=True)
class Work:
    """What is left to do in each run. Times in seconds from now; items are numbered by their order in the list."""

    workers: Array  # (runs,) how many
    going: Array  # (runs, going) when those in progress end; their numbers come after those of the items to begin
    takes: Array  # (runs, items) durations of the items to begin
    before: Array  # edges: this one (to begin, or in progress) ...
    after: Array  # ... before that one (to begin)
    extra_of: Array  # (runs, extras) which item's end brings this extra work, -1: known already, -2: none
    extra_lag: Array  # (runs, extras) how long after it (or from now)
    extra_takes: Array  # (runs, extras) durations
    lag_of: Array | None = None  # (edges,) which of the lags below comes between the two; -1: none
    lags: Array | None = None  # (runs, lags)
    not_before: Array | None = None  # (runs, items) the earliest start of the items to begin


def finish_times(work: Work, *, at_once: int = 250) -> Array:
    """When everything is done, in seconds from now, for each run."""
    runs = len(work.workers)
    count = work.takes.shape[1]
    order = np.argsort(work.before, kind="stable")
    targets = work.after[order]
    lag_of = np.full(len(order), -1) if work.lag_of is None else work.lag_of[order]
    starts: Array = _np.searchsorted(work.before[order], _np.arange(count + work.going.shape[1] + 1))
    waits = np.bincount(work.after, minlength=count)[:count]
    parts = [
        _finish_chunk(work, slice(first, min(first + at_once, runs)), targets, lag_of, starts, waits)
        for first in range(0, runs, at_once)
    ]
    return np.concatenate(parts) if parts else np.zeros(0)


def _finish_chunk(work: Work, chosen: slice, targets: Array, lag_of: Array, starts: Array, waits: Array) -> Array:
    takes = np.concatenate([work.takes[chosen], work.extra_takes[chosen]], axis=1)
    going, workers = work.going[chosen], work.workers[chosen].astype(np.int64)
    parent, lag = work.extra_of[chosen], work.extra_lag[chosen]
    runs, total = takes.shape
    count = work.takes.shape[1]
    rows: Array = _np.arange(runs)
    ready = np.full((runs, total), np.inf)
    since = np.zeros((runs, count))  # when the last of the predecessors so far is done
    if work.not_before is not None:
        since[:] = work.not_before[chosen]
    ready[:, :count] = np.where(waits == 0, since, np.inf)
    # The last lag is none.
    lags = np.zeros((runs, 1)) if work.lags is None else np.pad(work.lags[chosen], ((0, 0), (0, 1)))
    ready[:, count:][parent == -1] = lag[parent == -1]
    left = np.broadcast_to(waits, (runs, count)).copy()
    to_begin = np.full(runs, count)

    # Those in progress hold a worker each; of more than there are workers now, the first to end make room for nobody.
    free = np.full((runs, max(int(workers.max(initial=1)), 1)), np.inf)
    free[np.arange(free.shape[1]) < workers[:, None]] = 0.0
    held = min(going.shape[1], free.shape[1])
    if held:
        latest = -np.sort(-going, axis=1)[:, :held]
        free[:, :held] = np.where(_np.arange(held) < workers[:, None], latest, np.inf)
    done = going.max(axis=1, initial=0.0)

    def ended(item: Array, when: Array, which: Array) -> None:
        """Let begin what waited for these, one item in each of these runs."""
        lengths = starts[item + 1] - starts[item]
        if lengths.any():
            run = np.repeat(which, lengths)
            first = np.repeat(starts[item] - np.cumsum(lengths) + lengths, lengths)
            edge = first + np.arange(len(run))
            target = targets[edge]
            moment = np.repeat(when, lengths) + lags[run, lag_of[edge]]
            since[run, target] = np.maximum(since[run, target], moment)
            left[run, target] -= 1
            open_ = left[run, target] == 0
            ready[run[open_], target[open_]] = since[run[open_], target[open_]]
        if parent.shape[1]:
            mine = parent[which] == item[:, None]
            if mine.any():
                line, slot = np.nonzero(mine)
                ready[which[line], count + slot] = when[line] + lag[which[line], slot]

    for at in range(going.shape[1]):
        ended(_np.full(runs, count + at), going[:, at], rows)
    begin = np.empty_like(ready)
    for _ in range(total):
        worker = free.argmin(axis=1)
        np.maximum(ready, free[rows, worker][:, None], out=begin)
        item = begin.argmin(axis=1)  # of equal ones the first in the list
        start = begin[rows, item]
        # Work that comes back only after all else is done does not: the build is over then.
        on = np.isfinite(start) & ((to_begin > 0) | (start <= done))
        if not on.any():
            break
        which = rows[on]
        item, start, worker = item[on], start[on], worker[on]
        end = start + takes[which, item]
        ready[which, item] = np.inf
        free[which, worker] = end
        done[which] = np.maximum(done[which], end)
        regular = item < count
        to_begin[which[regular]] -= 1
        ended(item[regular], end[regular], which[regular])
    return done

"""From what is known of a build to samples of when it will be finished."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from ._attempts import SECOND, STATUSES
from ._durations import Durations, centred_logs, posterior
from ._known import ENOUGH, Known
from ._schedule import Work, finish_times

__all__ = ["PLURAL", "seconds_left", "too_little"]

Array = NDArray[Any]

PLURAL: Final = {"component": "components", "feature": "features", "task": "tasks", "phase": "phases"}
# Before anything is seen, one of ten items fails, is reopened, brings a new one; that counts as much as five seen.
_PRIOR: Final = (0.5, 4.5)
_RECENT: Final = 1000  # items that may still be reopened are looked for among so many, the last that were done
_MOST_FAILURES: Final = 8  # of one item
_MOST_GROWTH: Final = (
    0.5  # items that one item brings, so that with those that they bring the work left at most doubles
)


def too_little(known: Known, kind: str) -> str:
    """Why nothing can be said, and what would help; an empty text if something can."""
    what = PLURAL[kind]
    if not known.present.any():
        return f"no {what} are known at that time"
    if not known.open.any():
        return f"nothing is left: all {int(known.present.sum())} {what} are done"
    if reason := _stuck(known, what):
        return reason
    seen = len(known.duration)
    if seen >= ENOUGH and known.duration.max() > 0:
        return ""
    if known.unseen >= ENOUGH:
        return (
            f"{known.unseen} {what} were completed of which it is not known when they began; checkpoints that show "
            "them in progress before would help"
        )
    if seen < ENOUGH:
        return (
            f"{seen} of the {ENOUGH} durations that are needed were seen: {what} whose work was watched from beginning "
            f"to end; try again when more of the {int(known.open.sum())} that are left are done"
        )
    return f"the {what} seen so far took no time at all; checkpoints written more often would help"


def seconds_left(
    known: Known,
    *,
    runs: int,
    seed: int,
    workers: int | None = None,
    speed: float = 1.0,
    speed_of: Mapping[int, float] | None = None,
) -> Array:
    """The seconds from now until everything is done, for each run.

    Parameters
    ----------
    known
        `too_little` of it must be empty.
    workers
        How many; by default as many as were seen.
    speed, speed_of
        How many times as fast everything is, and instead of it the items of these numbers.
    """
    rng = np.random.default_rng(seed)
    # Each part of chance has a stream of its own: a scenario that needs more of one does not change the others.
    of_durations, of_takes, of_reopening, of_growth, of_failures, of_workers, of_lags = rng.spawn(7)
    speeds = np.full(len(known.ids), float(speed))
    for item, factor in (speed_of or {}).items():
        speeds[item] = factor
    logs = centred_logs(known.estimate)
    aged = np.flatnonzero(known.open & np.isfinite(known.age))
    durations, lasts = posterior(
        known.duration,
        logs[known.duration_item],
        np.concatenate([known.age[aged], known.over]),
        logs[np.concatenate([aged, known.over_item])],
        of_durations,
        runs,
        least=known.duration_least,
        most=known.duration_most,
    )
    estimates = _Estimates(logs, np.isfinite(known.estimate), durations.slope)

    begun = _begun_since(known)
    begin = np.flatnonzero(known.open & ~known.running & ~begun)
    going = np.flatnonzero(known.open & (known.running | begun))
    listed = np.concatenate([begin, going])
    more = _Extras(runs)
    _reopen(more, known, listed, estimates, speeds, of_reopening)
    _grow(more, known, len(listed), estimates, speed, of_growth)
    parent, lag, more_moved, more_speed = more.spread()

    moved = np.concatenate([estimates.move(np.arange(runs)[:, None], listed, of_takes), more_moved], axis=1)
    takes = np.exp(durations.draw(of_takes, moved.shape[1]) + moved)
    place = {int(item): at for at, item in enumerate(listed)}
    for at, item in enumerate(aged.tolist()):
        takes[:, place[item]] = np.maximum(np.exp(lasts[:, at]) - known.age[item], 0.0)
    silent = (known.now - known.looked) / SECOND
    for item in np.flatnonzero(begun).tolist():  # what would be over by now, and is not, has not begun
        drawn = takes[:, place[item]]
        takes[:, place[item]] = np.where(drawn > silent, drawn - silent, drawn)
    _fail(takes, known, durations, moved, of_failures)
    takes /= np.concatenate([np.broadcast_to(speeds[listed], (runs, len(listed))), more_speed], axis=1)

    # 2.4 at work are 3 of whom each is at work four fifths of the time, or is seen to be: all takes 1/0.8 as long.
    number = np.maximum(known.workers + known.workers_error * of_workers.standard_normal(runs), 0.5)
    hands = np.maximum(np.ceil(number - 0.05), 1.0)
    slower = hands / np.maximum(number, 0.5)
    before, after, lag_of = _edges_left(known, begin, place)
    lags, not_before = _lags(known, len(begin), place, runs, of_lags)
    work = Work(
        workers=hands if workers is None else np.full(runs, workers),
        takes=takes[:, : len(begin)],
        going=takes[:, len(begin) : len(listed)],
        before=before,
        after=after,
        extra_of=parent,
        extra_lag=lag,
        extra_takes=takes[:, len(listed) :],
        lag_of=lag_of,
        lags=lags,
        not_before=not_before,
    )
    # Nights and other pauses: as much of the time to come as of the time so far.
    return finish_times(work) * slower / max(1.0 - known.idle, 0.05)


def _stuck(known: Known, what: str) -> str:
    """Why what is left cannot go on by itself; an empty text if something of it can.

    What is in error waits for somebody to mend it, what is blocked for somebody to unblock it, and what depends on
    either waits as well. When that will be nobody can know from how the build went so far.
    """
    words = np.array(STATUSES, dtype=object)[known.status]
    failed, blocked = (known.open & (words == word) for word in ("error", "blocked"))
    held = failed | blocked
    if not held.any() and not known.failed_build:
        return ""
    before, after = known.before, known.after
    while (more := known.open[after] & held[before] & ~held[after] & ~known.running[after]).any():
        held[after[more]] = True
    stuck = [(int(which.sum()), word) for which, word in ((failed, "in error"), (blocked, "blocked"))]
    said = " and ".join(f"{count} {word}" for count, word in stuck if count)
    left = f"{int(known.open.sum())} {what} are left" + (f", {said}" if said else "")
    if known.failed_build:
        return f"the build has failed, and nothing is in progress: {left}; a forecast can be made when it goes on"
    if (known.open & ~held).any():
        return ""
    return f"nothing of what is left can go on by itself: {left}; a forecast can be made when the build goes on"


class _Extras:
    """Work that is not in the list yet: reopened and new items."""

    def __init__(self, runs: int) -> None:
        self._runs = runs
        self._parts: list[tuple[Array, ...]] = []

    def add(self, run: Array, parent: Array, lag: Array, moved: Array, speed: Array) -> None:
        """Add some: in which run, after the end of which place in the list (-1: none), how long after, and as what."""
        self._parts.append((run, parent, lag, moved, speed))

    def spread(self) -> tuple[Array, Array, Array, Array]:
        """As arrays of shape (runs, most of a run): parent (-2 where there is none), lag, moved, speed."""
        run, *columns = (np.concatenate(column) for column in zip(*self._parts, strict=True))
        order = np.argsort(run, kind="stable")
        slots = _within(run[order], self._runs)
        width = int(slots.max(initial=-1)) + 1
        made: list[Array] = []
        for column, fill in zip(columns, (-2, 0.0, 0.0, 1.0), strict=True):
            array = np.full((self._runs, width), fill)
            array[run[order], slots] = column[order]
            made.append(array)
        return made[0], made[1], made[2], made[3]


def _within(run: Array, runs: int) -> Array:
    """The number of each row within its run; runs are sorted."""
    counts = np.bincount(run, minlength=runs)
    return np.arange(len(run)) - np.repeat(np.cumsum(counts) - counts, counts)


@dataclass(slots=True)
class _Estimates:
    """By how much estimates move the logarithms of durations."""

    logs: Array  # per item
    given: Array  # per item, bool
    slope: Array  # per run

    def move(self, run: Array, item: Array, rng: np.random.Generator) -> Array:
        """Of these items in these runs, broadcast; of an item without an estimate by what that of some other would."""
        other = self.of_any(run + 0 * item, rng)
        return np.where(self.given[item], self.logs[item] * self.slope[run], other)

    def of_any(self, run: Array, rng: np.random.Generator) -> Array:
        """Of some item in each of these runs."""
        if not self.given.any():
            return np.zeros(run.shape)
        return rng.choice(self.logs[self.given], run.shape) * self.slope[run]


def _reopen(
    more: _Extras, known: Known, listed: Array, estimates: _Estimates, speeds: Array, rng: np.random.Generator
) -> None:
    """Completed items that come back.

    The share is Beta(1/2 + reopened, 9/2 + not reopened), the time until then exponential; its mean is
    ``(sum of those seen + one duration) / Gamma(reopened + 1)``. An item done already may be reopened as well, the less
    likely the longer ago that is.
    """
    runs = len(estimates.slope)
    share = rng.beta(_PRIOR[0] + known.reopened, _PRIOR[1] + known.completions - known.reopened, runs)[:, None]
    mean = (known.reopened_after + float(known.duration.mean())) / rng.gamma(known.reopened + 1.0, size=(runs, 1))
    done = np.flatnonzero(known.done & (known.since_done < 20.0 * np.median(mean)))
    done = done[np.argsort(known.since_done[done], kind="stable")[:_RECENT]]
    late = np.exp(-known.since_done[done] / mean)
    chance = np.concatenate(
        [np.broadcast_to(share, (runs, len(listed))), share * late / (1.0 - share * (1.0 - late))], axis=1
    )
    run, at = np.nonzero(rng.random(chance.shape) < chance)
    item = np.concatenate([listed, done])[at]
    lag = mean[run, 0] * rng.exponential(size=len(run))
    more.add(run, np.where(at < len(listed), at, -1), lag, estimates.move(run, item, rng), speeds[item])


def _grow(
    more: _Extras, known: Known, count: int, estimates: _Estimates, speed: float, rng: np.random.Generator
) -> None:
    """New items: an item that is completed brings some, those bring others.

    Items that came at one look are one batch. The rate of batches per completion is Gamma(1/2 + batches) / (5 +
    completions) (Gamma-Poisson), and each is as large as one of those seen. It is per completion and not per hour, as
    an hour of waiting for one long item brings nothing.

    Growth may be over: of k batches that came after the first look, the last came when a share x of the completions so
    far was done. If growth stopped at some moment of the build, each equally likely, then that explains it
    ``(x^(1/2 - k) - 1) / (k - 1/2)`` times as well as growth that goes on (both with Jeffreys' prior of the rate). That
    decides in how many runs there is any. Where there is, it goes on to the end or stops on the way, each in half of
    the runs.
    """
    runs, batches = len(estimates.slope), len(known.added)
    sizes = known.added if batches else np.ones(1, dtype=np.int64)
    rate = rng.gamma(_PRIOR[0] + batches, size=runs) / (sum(_PRIOR) + known.completions)
    over = 0.0
    if batches:
        until = max(known.added_until, 0.5 / max(known.completions, 1))
        over = float(np.expm1(min((0.5 - batches) * np.log(until), 500.0)) / (batches - 0.5))
    goes_on = rng.random(runs) < 1.0 / (1.0 + over)
    brings = np.minimum(rate * sizes.mean(), _MOST_GROWTH) * goes_on * np.minimum(1.0, 2.0 * rng.random(runs))
    number = rng.poisson(np.broadcast_to((brings / (1.0 - brings) / sizes.mean())[:, None], (runs, count)))
    run, item = np.nonzero(number)
    run, item = (np.repeat(one, number[run, item]) for one in (run, item))
    size = rng.choice(sizes, len(run))
    run, item = np.repeat(run, size), np.repeat(item, size)
    more.add(run, item, np.zeros(len(run)), estimates.of_any(run, rng), np.full(len(run), speed))


def _fail(takes: Array, known: Known, durations: Durations, moved: Array, rng: np.random.Generator) -> None:
    """Attempts that fail and are made again, each of another duration: a share Beta(1/2 + failed, 9/2 + not failed)."""
    runs = len(takes)
    share = rng.beta(_PRIOR[0] + known.failed, _PRIOR[1] + known.tried - known.failed, (runs, 1))
    times = np.minimum(rng.geometric(np.maximum(1.0 - share, 0.05), takes.shape) - 1, _MOST_FAILURES)
    run, item = np.nonzero(times)
    again = times[run, item]
    run, item = np.repeat(run, again), np.repeat(item, again)
    slots = _within(run, runs)
    further = durations.draw(rng, int(slots.max(initial=-1)) + 1)
    np.add.at(takes, (run, item), np.exp(further[run, slots] + moved[run, item]))


def _begun_since(known: Known) -> Array:
    """What will have begun since anything was seen: whoever had nothing to do then took the first that was ready."""
    begun = np.zeros(len(known.ids), dtype=bool)
    idle = math.ceil(known.workers - 0.05) - int((known.open & known.running).sum())
    if idle <= 0 or known.now <= known.looked:
        return begun
    waits = np.zeros(len(known.ids), dtype=bool)
    waits[known.after[known.open[known.before]]] = True
    for items in known.pending.values():
        waits[items] = True
    ready = known.open & ~known.running & ~waits & ~np.isfinite(known.age)
    begun[np.flatnonzero(ready)[:idle]] = True
    return begun


def _lags(
    known: Known, count: int, place: Mapping[int, int], runs: int, rng: np.random.Generator
) -> tuple[Array | None, Array | None]:
    """How long after their last feature components are completed: as one of those that were seen, each run.

    Returns the lags, of shape (runs, components), and the earliest starts of what waits for a component whose features
    are done already.
    """
    number = int(known.lag_of.max(initial=-1)) + 1
    if not number or not len(known.lags):
        return (np.zeros((runs, number)) if number else None), None
    lags = rng.choice(known.lags, (runs, number)) * rng.uniform(0.8, 1.25, (runs, number))
    not_before = np.zeros((runs, count)) if known.pending else None
    for gate, items in known.pending.items():
        left = np.maximum(lags[:, gate] - known.pending_age[gate], 0.0)
        for item in items.tolist():
            at = place.get(item, count)
            if at < count and not_before is not None:
                not_before[:, at] = np.maximum(not_before[:, at], left)
    return lags, not_before


def _edges_left(known: Known, begin: Array, place: Mapping[int, int]) -> tuple[Array, Array, Array]:
    """The edges that still hold something up, by places in the list; those of a cycle hold nothing up."""
    waiting = set(begin.tolist())
    edges = [
        (place[one], place[two], lag)
        for one, two, lag in zip(known.before.tolist(), known.after.tolist(), known.lag_of.tolist(), strict=True)
        if one in place and two in waiting
    ]
    follows: dict[int, list[int]] = {}
    waits: dict[int, int] = {}
    for one, two, _ in edges:
        follows.setdefault(one, []).append(two)
        waits[two] = waits.get(two, 0) + 1
    reached = [one for one in place.values() if one not in waits]
    for one in reached:  # which grows meanwhile
        for two in follows.get(one, ()):
            waits[two] -= 1
            if not waits[two]:
                reached.append(two)
    fine = set(reached)
    pairs = np.array([edge for edge in edges if edge[1] in fine], dtype=np.int64).reshape(-1, 3)
    return pairs[:, 0], pairs[:, 1], pairs[:, 2]

"""From changes of status to attempts: when the work on an item began, how it ended, and whether it came back."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final, Self

import numpy as np
from numpy.typing import NDArray

from ...model import Status

__all__ = ["DONE", "GONE", "NEVER", "RUNNING", "SECOND", "STATUSES", "UNSEEN", "Attempts", "Changes", "meaning_of"]

Array = NDArray[Any]

SECOND: Final = 1e6  # microseconds
UNSEEN: Final = np.iinfo(np.int64).min  # of a start: nobody looked before
NEVER: Final = np.iinfo(np.int64).max
STATUSES: Final = [str(status) for status in Status]

# What a status means for the work on an item.
HELD, WAITING, RUNNING, DONE, FAILED, GONE = range(6)
_MEANING: Final = {
    Status.NOT_STARTED: WAITING,
    Status.IN_PROGRESS: RUNNING,
    Status.COMPLETED: DONE,
    Status.SKIPPED: DONE,
    Status.CANCELLED: DONE,
    Status.ERROR: FAILED,
}  # blocked, paused, unknown: held. The work on such an item goes on some time
_MEANINGS: Final = np.array([*(_MEANING.get(Status(one), HELD) for one in STATUSES), GONE])  # -1, dropped, is the last
_RUNNING: Final = STATUSES.index(Status.IN_PROGRESS)
_COMPLETED: Final = STATUSES.index(Status.COMPLETED)


def meaning_of(status: Array) -> Array:
    """What places in the statuses mean; -1 is dropped."""
    return _MEANINGS[status]


@dataclass(slots=True)
class Changes:
    """Changes of status of the items of one kind in one build, by time; items are numbered in the order first seen."""

    ids: list[str]
    item: Array  # number of the item
    ts: Array  # microseconds since 1970, UTC
    status: Array  # place in the statuses; -1: dropped
    since: Array  # the earliest time at which it may have been: that of the change, except of a start nobody saw
    looked: Array  # the times at which a checkpoint shows the items, or anything changed; sorted, each once

    @classmethod
    def of(cls, ids: list[str], item: Array, ts: Array, status: Array, *, under_way: Array, looked: Array) -> Self:
        """Of all transitions those in which the status changed.

        ``under_way`` says which of them show an item that has got somewhere already. If that is the first that is seen
        of the work on it, then the work began after the look before: `UNSEEN` if there is none.
        """
        rows = np.argsort(item, kind="stable")
        changed = np.ones(len(rows), dtype=bool)
        changed[1:] = (item[rows[1:]] != item[rows[:-1]]) | (status[rows[1:]] != status[rows[:-1]])
        since = ts.copy()
        looked = np.unique(np.concatenate([ts, looked]))
        meaning = meaning_of(status[rows])
        late = changed & under_way[rows] & (meaning == RUNNING)
        late[1:] &= (item[rows[1:]] != item[rows[:-1]]) | (meaning[:-1] == WAITING)
        before = np.searchsorted(looked, ts[rows[late]]) - 1
        since[rows[late]] = np.where(before < 0, UNSEEN, looked[before])
        kept = np.sort(rows[changed])
        return cls(ids, item[kept], ts[kept], status[kept], since[kept], looked)

    def until(self, now: int) -> Changes:
        """The changes up to a moment."""
        end = int(np.searchsorted(self.ts, now, side="right"))
        looked = self.looked[: int(np.searchsorted(self.looked, now, side="right"))]
        ids = self.ids[: int(self.item[:end].max(initial=-1)) + 1]
        return Changes(ids, self.item[:end], self.ts[:end], self.status[:end], self.since[:end], looked)

    def as_recorded(self, recorded: Array, began: int) -> Changes:
        """The same, where items began when the build's own record of how long they took says.

        Parameters
        ----------
        recorded
            Per item, in microseconds; 0 where nothing is recorded. It is believed of an item that went straight to its
            only completion: of one that failed or came back on the way nobody knows which of the attempts it is of.
        began
            When the build began: nothing began before.
        """
        meaning = meaning_of(self.status)
        count = len(self.ids)
        ends = np.zeros(count, dtype=np.int64)
        ends[self.item] = self.ts
        completions = np.bincount(self.item[self.status == _COMPLETED], minlength=count)
        others = np.bincount(self.item[np.isin(meaning, (FAILED, GONE))], minlength=count)
        believed = (recorded > 0) & (completions == 1) & (others == 0) & (self.last_status() == _COMPLETED)
        starts = np.maximum(ends - recorded, min(began, int(self.ts.min(initial=began))))
        believed &= starts < ends
        if not believed.any():
            return self
        kept = ~believed[self.item] | (meaning == DONE) | ((meaning != RUNNING) & (self.ts < starts[self.item]))
        begun = np.flatnonzero(believed)
        item = np.concatenate([self.item[kept], begun])
        ts = np.concatenate([self.ts[kept], starts[begun]])
        status = np.concatenate([self.status[kept], np.full(len(begun), _RUNNING)])
        since = np.concatenate([self.since[kept], starts[begun]])
        order = np.argsort(ts, kind="stable")
        return Changes(self.ids, item[order], ts[order], status[order], since[order], self.looked)

    def last_status(self) -> Array:
        """The status of each item after all changes."""
        last = np.full(len(self.ids), -1)
        last[self.item] = self.status  # of several assignments to one place the last holds
        return last

    def spans(self, meaning: int, now: int) -> tuple[Array, Array]:
        """When items were of this meaning: from, to."""
        rows = np.argsort(self.item, kind="stable")
        ends = np.full(len(rows), now)
        same = np.flatnonzero(self.item[rows[1:]] == self.item[rows[:-1]])
        ends[same] = self.ts[rows[same + 1]]
        of = meaning_of(self.status[rows]) == meaning
        return self.guess()[rows][of], ends[of]

    def guess(self) -> Array:
        """When each of them was: half way between the earliest and the latest time."""
        return np.where(self.since == UNSEEN, self.ts, self.ts - (self.ts - self.since) // 2)


@dataclass(slots=True)
class Attempts:
    """The attempts at items that the changes show. Durations in seconds, times in microseconds."""

    duration: Array  # durations of those that ended in a completion or a failure; a guess where no start was seen ...
    duration_least: Array  # ... and its bounds
    duration_most: Array
    duration_item: Array
    over: Array  # of those that were under way when first looked at and have ended: they took longer than this
    over_item: Array
    guessed_from: Array  # when those began, in microseconds, of which only the end was seen ...
    guessed_to: Array  # ... and that end
    unseen: int  # completions of which nobody saw when the work began
    tried: int
    failed: int
    completed_at: Array  # times of completions, in no order
    reopened: int
    reopened_after: float
    age: Array  # per item: since its present attempt began, as far as that is known; NaN if there is none
    since_done: Array  # per item: since it was done the last time; NaN if it is not
    first_seen: Array  # per item
    first_begun: Array  # per item; NEVER
    first_done: Array  # per item; NEVER

    @classmethod
    def of(cls, changes: Changes, *, now: int) -> Self:
        """Find the attempts. A pause does not end one; going back to not started does, as a failure does."""
        count = len(changes.ids)
        rows = np.argsort(changes.item, kind="stable")
        rows = rows[meaning_of(changes.status[rows]) != HELD]
        item, ts, status, since = changes.item[rows], changes.ts[rows], changes.status[rows], changes.since[rows]
        guess = changes.guess()[rows]
        meaning = meaning_of(status)
        new = np.ones(len(rows), dtype=bool)
        new[1:] = (item[1:] != item[:-1]) | (meaning[1:] != meaning[:-1])
        item, ts, status, meaning = item[new], ts[new], status[new], meaning[new]
        since, guess = since[new], guess[new]
        followed = np.append(item[1:] == item[:-1], False) if len(item) else np.zeros(0, dtype=bool)
        preceded = np.roll(followed, 1)  # the last is never followed
        then, later, well = np.roll(meaning, -1), np.roll(ts, -1), np.roll(status == _COMPLETED, -1)
        completed = status == _COMPLETED
        running, done = meaning == RUNNING, meaning == DONE

        ended = running & followed
        bad = ended & ((then == FAILED) | (then == WAITING))
        seen = (ended & (then == DONE) & well) | bad
        # What was waiting at one look and completed at the next took less than the time between the two.
        jumped = completed & preceded & (np.roll(meaning, 1) == WAITING)
        guessed_to = ts[jumped]
        look = np.maximum(np.searchsorted(changes.looked, guessed_to) - 1, 0)
        guessed_from = (guessed_to + changes.looked[look]) // 2
        open_ended = seen & (since == UNSEEN)
        within = seen & ~open_ended
        duration, duration_item = (later - guess)[within] / SECOND, item[within]
        least, most = (later - ts)[within] / SECOND, (later[within] - since[within]) / SECOND
        if len(guessed_to) <= len(duration):  # of a few that says something
            half = (guessed_to - guessed_from) / SECOND
            duration, least, most = (np.concatenate([one, half]) for one in (duration, least, most))
            duration_item = np.concatenate([duration_item, item[jumped]])
        again = completed & followed & np.isin(then, (RUNNING, WAITING, FAILED))

        age, since_done = np.full(count, np.nan), np.full(count, np.nan)
        age[item[running & ~followed]] = (now - guess[running & ~followed]) / SECOND
        since_done[item[done & ~followed]] = (now - ts[done & ~followed]) / SECOND
        first_seen, first_begun, first_done = (np.full(count, NEVER) for _ in range(3))
        np.minimum.at(first_seen, changes.item, changes.ts)
        np.minimum.at(first_begun, item[running], guess[running])
        np.minimum.at(first_done, item[done], ts[done])
        return cls(
            duration=duration,
            duration_least=least,
            duration_most=most,
            duration_item=duration_item,
            over=(later - ts)[open_ended] / SECOND,
            over_item=item[open_ended],
            guessed_from=guessed_from,
            guessed_to=guessed_to,
            unseen=int(jumped.sum()),
            tried=int(seen.sum() + jumped.sum()),
            failed=int(bad.sum()),
            completed_at=ts[completed],
            reopened=int(again.sum()),
            reopened_after=float((later - ts)[again].sum() / SECOND),
            age=age,
            since_done=since_done,
            first_seen=first_seen,
            first_begun=first_begun,
            first_done=first_done,
        )

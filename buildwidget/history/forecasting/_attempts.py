"""From changes of status to attempts: when the work on an item began, how it ended, and whether it came back."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final, Self

import numpy as np
from numpy.typing import NDArray

from ...model import Status

__all__ = ["DONE", "GONE", "NEVER", "RUNNING", "SECOND", "STATUSES", "Attempts", "Changes", "meaning_of"]

Array = NDArray[Any]

SECOND: Final = 1e6  # microseconds
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
    looked: Array  # the times at which anything changed, progress as well; sorted, each once

    @classmethod
    def of(cls, ids: list[str], item: Array, ts: Array, status: Array) -> Self:
        """Of all transitions those in which the status changed."""
        rows = np.argsort(item, kind="stable")
        changed = np.ones(len(rows), dtype=bool)
        changed[1:] = (item[rows[1:]] != item[rows[:-1]]) | (status[rows[1:]] != status[rows[:-1]])
        kept = np.sort(rows[changed])
        return cls(ids, item[kept], ts[kept], status[kept], np.unique(ts))

    def until(self, now: int) -> Changes:
        """The changes up to a moment."""
        end = int(np.searchsorted(self.ts, now, side="right"))
        looked = self.looked[: int(np.searchsorted(self.looked, now, side="right"))]
        ids = self.ids[: int(self.item[:end].max(initial=-1)) + 1]
        return Changes(ids, self.item[:end], self.ts[:end], self.status[:end], looked)

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
        return self.ts[rows][of], ends[of]


@dataclass(slots=True)
class Attempts:
    """The attempts at items that the changes show. Durations in seconds, times in microseconds."""

    took: Array  # durations of those that ended in a completion or a failure
    took_item: Array
    guessed_from: Array  # when those began, in microseconds, of which only the end was seen ...
    guessed_to: Array  # ... and that end
    unseen: int  # completions of which nobody saw when the work began
    tried: int
    failed: int
    completed_at: Array  # times of completions, in no order
    reopened: int
    reopened_after: float
    age: Array  # per item: since its present attempt began; NaN if there is none
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
        item, ts, status = changes.item[rows], changes.ts[rows], changes.status[rows]
        meaning = meaning_of(status)
        new = np.ones(len(rows), dtype=bool)
        new[1:] = (item[1:] != item[:-1]) | (meaning[1:] != meaning[:-1])
        item, ts, status, meaning = item[new], ts[new], status[new], meaning[new]
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
        took, took_item = (later - ts)[seen] / SECOND, item[seen]
        if len(guessed_to) <= len(took):  # of a few that says something
            took = np.concatenate([took, (guessed_to - guessed_from) / SECOND])
            took_item = np.concatenate([took_item, item[jumped]])
        again = completed & followed & np.isin(then, (RUNNING, WAITING, FAILED))

        age, since_done = np.full(count, np.nan), np.full(count, np.nan)
        age[item[running & ~followed]] = (now - ts[running & ~followed]) / SECOND
        since_done[item[done & ~followed]] = (now - ts[done & ~followed]) / SECOND
        first_seen, first_begun, first_done = (np.full(count, NEVER) for _ in range(3))
        np.minimum.at(first_seen, changes.item, changes.ts)
        np.minimum.at(first_begun, item[running], ts[running])
        np.minimum.at(first_done, item[done], ts[done])
        return cls(
            took=took,
            took_item=took_item,
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

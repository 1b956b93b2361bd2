"""How far a build is: counts, percentages and the status of a file. Pure arithmetic, no files and no clock.

The formulas, in one place:

- *Item percentage*: 100 if completed; else its own ``progress``, clamped to 0 to 100; else the share of its checklist
  that is completed; else 0.
- *Completion percentage* of a list: the mean of the items' percentages. Skipped and cancelled items do not count; a
  list with nothing else is 100; an empty list is 0.
- *Overall percentage*: 0.6 of the components' percentage + 0.4 of the features'; one alone if the other is absent; if
  both are absent, tasks done / (tasks total - tasks skipped); None, never 0, when nothing is known.
- *Status*: `build_status`. Where a file's own word completes it although items with unknown words are left, these
  items are left out of the percentage: `percentage_said`.
- *Silence and life*: `silent_after`, `life` and `life_of`, the same in TypeScript (``js/src/derive.ts``,
  ``js/src/life.ts``).
"""

from __future__ import annotations

import math
import re
from enum import StrEnum
from typing import TYPE_CHECKING, Any, Final, cast

from .model import BuildStatus, Status
from .words import PHASE_ENDINGS, map_status

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from datetime import datetime

    from .model import State

__all__ = [
    "CLAIMS_SILENT_AFTER",
    "COMPONENT_WEIGHT",
    "DORMANT_AFTER",
    "FEATURE_WEIGHT",
    "GAPS_KEPT",
    "GAPS_NEEDED",
    "QUIET_AFTER",
    "SETTLED",
    "Life",
    "build_status",
    "calculate_completion_percentage",
    "counted_percentage",
    "item_percentage",
    "item_stats",
    "life",
    "life_of",
    "map_status",
    "overall_percentage",
    "percentage_said",
    "phase_status",
    "rounded",
    "silent_after",
    "task_percentage",
    "weighted",
]

GAPS_NEEDED: Final = 20  # fewest gaps between messages from which a quantile is taken
GAPS_KEPT: Final = 1_000  # the newest ones count
SILENT_AT_FIRST: Final = 900.0  # seconds, while the rhythm of a build is not known
QUIET_AFTER: Final = 600.0  # seconds after the newest sign of life of claimed work
CLAIMS_SILENT_AFTER: Final = 1_800.0  # the `silent_after` of builds whose work is claimed by locks
DORMANT_AFTER: Final = 86_400.0
COMPONENT_WEIGHT: Final = 0.6
FEATURE_WEIGHT: Final = 0.4

#: The statuses of items that need no more work, and did not fail.
SETTLED: Final = frozenset({Status.COMPLETED, Status.SKIPPED, Status.CANCELLED})

_PHASE_STATUS: Final = {
    Status.NOT_STARTED: BuildStatus.PENDING,
    Status.IN_PROGRESS: BuildStatus.IN_PROGRESS,
    Status.COMPLETED: BuildStatus.COMPLETED,
    Status.ERROR: BuildStatus.FAILED,
}
_SEPARATORS: Final = re.compile(r"[\s_-]+")

_FINAL: Final = frozenset({Status.COMPLETED, Status.ERROR, Status.SKIPPED, Status.CANCELLED})
_UNCOUNTED: Final = frozenset({Status.SKIPPED, Status.CANCELLED})
_OPEN: Final = frozenset({Status.NOT_STARTED, Status.IN_PROGRESS, Status.BLOCKED, Status.PAUSED})

# The name of a status in the statistics: the original ones, and for the rest the status itself.
_STAT_KEYS: Final[dict[Status, str]] = {
    Status.COMPLETED: "completed",
    Status.IN_PROGRESS: "in_progress",
    Status.NOT_STARTED: "pending",
    Status.ERROR: "failed",
    Status.BLOCKED: "blocked",
    Status.SKIPPED: "skipped",
    Status.CANCELLED: "cancelled",
    Status.PAUSED: "paused",
    Status.UNKNOWN: "unknown",
}


def rounded(percent: float) -> float:
    """Round a percentage to one decimal. Less than 100 never rounds to 100, and more than 0 never to 0."""
    if percent >= 100 or percent <= 0:
        return 100.0 if percent > 0 else 0.0
    return min(max(round(percent, 1), 0.1), 99.9)


def _clamped(value: object) -> float | None:
    """A number within 0 to 100, or None for what is not a finite number."""
    if type(value) is float:
        if not math.isfinite(value):
            return None
    elif type(value) is not int:  # bool is not accepted as a number
        return None
    return 0.0 if value <= 0 else 100.0 if value >= 100 else float(value)


def _get(item: Any, name: str) -> Any:
    """A field of a record or of a dict."""
    return cast("dict[str, Any]", item).get(name) if isinstance(item, dict) else getattr(item, name, None)


def _done(task: Any) -> bool:
    flag = _get(task, "completed")
    if flag is None:
        flag = _get(task, "status")
    return flag is True or map_status(flag) is Status.COMPLETED


def item_percentage(status: Status, own_progress: object = None, tasks: Sequence[Any] = ()) -> float:
    """How far one item is, from 0 to 100.

    100 if it is completed; else its own progress, clamped to 0 to 100; else the share of its tasks that are completed;
    else 0. A progress that is not a finite number (text, NaN, an infinity, a truth value) is no progress.

    Parameters
    ----------
    status
        The item's status.
    own_progress
        What the file states, or None.
    tasks
        The item's checklist: records or dicts with ``completed``.
    """
    if status is Status.COMPLETED:
        return 100.0
    own = _clamped(own_progress)
    if own is not None:
        return own
    return 100.0 * sum(map(_done, tasks)) / len(tasks) if tasks else 0.0


def _status_of(item: Any) -> Status:
    return map_status(_get(item, "status"))


def _percentage_of(item: Any, status: Status) -> float:
    if not isinstance(item, dict):
        # The progress of a record is already the result of `item_percentage`.
        return 100.0 if status is Status.COMPLETED else getattr(item, "progress", 0.0)
    tasks = _get(item, "tasks")
    checklist = cast("list[Any]", tasks) if isinstance(tasks, list) else ()
    return item_percentage(status, _get(item, "progress"), checklist)


def calculate_completion_percentage(components: Iterable[Any]) -> float:
    """The mean percentage of components, features or tasks, from 0 to 100.

    Skipped and cancelled items do not count; a list of nothing else is 100.0, an empty list 0.0. Items are records of
    `buildwidget.model` or dicts with ``status``, ``progress`` and ``tasks`` as a file holds them.
    """
    found = [counted_percentage(item) for item in components]
    counted = [percent for percent in found if percent is not None]
    if counted:
        # Exactly rounded, so that the order of the items does not matter.
        return math.fsum(counted) / len(counted)
    return 100.0 if found else 0.0


def counted_percentage(item: Any) -> float | None:
    """The percentage of one item, as it counts in `calculate_completion_percentage`; None if it does not count."""
    status = _status_of(item)
    return None if status in _UNCOUNTED else _percentage_of(item, status)


def item_stats(items: Iterable[Any]) -> dict[str, int | float]:
    """How many items there are of each kind of status, and their completion percentage.

    Returns
    -------
    dict
        ``total, completed, in_progress, pending, failed, blocked, skipped, cancelled, paused, unknown`` (the last nine
        add up to the first) and ``completion_percentage``.
    """
    listed = list(items)
    counts: dict[str, int | float] = {"total": len(listed), **dict.fromkeys(_STAT_KEYS.values(), 0)}
    for item in listed:
        counts[_STAT_KEYS[_status_of(item)]] += 1
    counts["completion_percentage"] = calculate_completion_percentage(listed)
    return counts


def task_percentage(total: int | None, completed: int | None, skipped: int = 0) -> float | None:
    """Tasks done / tasks total, from 0 to 100; skipped tasks do not count. None if a number is missing or
    ``total`` is 0. If all tasks are skipped: 100.
    """
    if total is None or completed is None or total <= 0:
        return None
    counted = total - skipped
    return 100.0 if counted <= 0 else min(100.0, max(0.0, 100.0 * completed / counted))


def overall_percentage(
    components: Sequence[Any], features: Sequence[Any], task_percent: float | None = None
) -> float | None:
    """How far a file, or a build, is: 0.6 of the components' percentage + 0.4 of the features'.

    One of the two alone if the other is absent, ``task_percent`` if both are, None if that is not known either.
    """
    of_components = calculate_completion_percentage(components) if components else None
    of_features = calculate_completion_percentage(features) if features else None
    together = weighted(of_components, of_features)
    return task_percent if together is None else together


def weighted(of_components: float | None, of_features: float | None) -> float | None:
    """The components' and the features' percentage together; one alone if the other is None."""
    if of_components is None or of_features is None:
        return of_features if of_components is None else of_components
    # Written so that two equal percentages give exactly that percentage: 0.6 x 100 + 0.4 x 100 must be 100.
    return of_components + FEATURE_WEIGHT / (COMPONENT_WEIGHT + FEATURE_WEIGHT) * (of_features - of_components)


def phase_status(phase: str | None) -> BuildStatus | None:
    """Return the status that the last words of a phase's name imply, or None.

    ``build_3a_batch_2_complete`` is completed, ``build_4e_start`` in progress, ``build_4a_migration_tools`` None. The
    longest known ending wins; the beginning of a name does not count.
    """
    words = _SEPARATORS.sub("_", phase[-200:].strip()).lower().strip("_").split("_") if phase else []
    for length in (2, 1):
        found = PHASE_ENDINGS.get("_".join(words[-length:]))
        if found is not None:
            return _PHASE_STATUS[found]
    return None


def build_status(
    statuses: Iterable[Status],
    *,
    percent: float | None = None,
    phase: str | None = None,
    errors: bool = False,
    own: Status = Status.UNKNOWN,
) -> tuple[BuildStatus, str]:
    """The status of one file, and which rule gave it. The first rule that matches wins.

    1. *failed*: an item failed and none is in progress (``failed item``), or the file states errors together with a
       final status (``errors``), or its own status is an error and none is in progress (``own word``);
    2. *completed*: every item is completed, skipped or cancelled (``items``), or the percentage is 100
       (``percentage``);
    3. *in progress*: an item is (``items``);
    4. *completed* by the file's own word, if all items are settled or have an unknown word; a cancelled file with
       items left is *failed* (``own word``);
    5. the status that the phase's name implies (``phase``), see `phase_status`;
    6. *unknown* if nothing is known, else *pending* (``nothing known``, ``nothing begun``).

    Parameters
    ----------
    statuses
        Those of all items of the file.
    percent
        The file's overall percentage, if known.
    phase
        The free-text name of its phase.
    errors
        Whether the file states an error of its own.
    own
        The file's own status. It counts as an item if there are no others; otherwise it is used only while nothing is
        in progress.
    """
    seen = set(statuses)
    if not seen and own is not Status.UNKNOWN:
        seen = {own}
    by_phase = phase_status(phase)
    if Status.ERROR in seen and Status.IN_PROGRESS not in seen:
        return BuildStatus.FAILED, "failed item"
    if errors and (own in _FINAL or by_phase in (BuildStatus.COMPLETED, BuildStatus.FAILED)):
        return BuildStatus.FAILED, "errors"
    if own is Status.ERROR and Status.IN_PROGRESS not in seen:
        return BuildStatus.FAILED, "own word"
    if seen and seen <= SETTLED:
        return BuildStatus.COMPLETED, "items"
    if percent is not None and percent >= 100:
        return BuildStatus.COMPLETED, "percentage"
    if Status.IN_PROGRESS in seen:
        return BuildStatus.IN_PROGRESS, "items"
    if own in SETTLED and seen <= {*SETTLED, Status.UNKNOWN}:
        return BuildStatus.COMPLETED, "own word"
    if own is Status.CANCELLED:
        return BuildStatus.FAILED, "own word"
    if by_phase is not None:
        return by_phase, "phase"
    if percent is None and not seen - {Status.UNKNOWN}:
        return BuildStatus.UNKNOWN, "nothing known"
    return BuildStatus.PENDING, "nothing begun"


def percentage_said(
    percent: float | None, statuses: Iterable[Status], verdict: tuple[BuildStatus, str]
) -> float | None:
    """Return the percentage to report with a result of `build_status`.

    If the file is completed by its own word, items with an unknown word do not count: their progress is unknown. All
    others are completed, skipped or cancelled, which is 100; without any others it is None. Every other result keeps
    the percentage.
    """
    if verdict != (BuildStatus.COMPLETED, "own word"):
        return percent
    return 100.0 if any(status in SETTLED for status in statuses) else None


def silent_after(gaps: Sequence[float], second: float = 1.0) -> float:
    """Return the silence after which an unfinished build counts as stalled.

    Four times the 95th percentile (nearest rank) of the gaps between its messages, and at least two minutes; 15 minutes
    while fewer than 20 gaps are known.

    Parameters
    ----------
    gaps
        The newest gaps between two messages, at most `GAPS_KEPT`, in ascending order.
    second
        How many units of ``gaps`` a second has.

    Returns
    -------
    float
        The limit, in the unit of ``gaps``.
    """
    if len(gaps) < GAPS_NEEDED:
        return SILENT_AT_FIRST * second
    rank = (95 * len(gaps) + 99) // 100
    return max(120 * second, 4 * gaps[rank - 1])


class Life(StrEnum):
    """Whether somebody works on a build. None of these says that it failed or crashed."""

    ALIVE = "alive"
    QUIET = "quiet"
    SILENT = "silent"
    IDLE = "idle"
    DORMANT = "dormant"
    DONE = "done"
    UNKNOWN = "unknown"


def life(
    status: BuildStatus,
    running: int,
    *,
    work_left: bool,
    evidence_at: datetime | None,
    silent_after: float | None,
    now: datetime,
    claims: bool = False,
) -> Life:
    """Say whether somebody works on a build. The first rule that matches wins.

    1. *done*: its status is completed;
    2. while work runs, by the age of the newest sign of life: *alive*; *quiet* from `QUIET_AFTER` on, if work is
       claimed; *silent* beyond ``silent_after``; *unknown* without any sign;
    3. *idle* if work is left that nobody does; *dormant* if the newest sign is older than a day;
    4. *done* if no work is left of a build that began; else *unknown*.

    Work runs if an item does. Without claims it also runs while the build's own status is in progress, as the files
    may not say which item is worked on; that ends after a day. A sign of life in the future is as good as one of now.

    Parameters
    ----------
    status
        The build's status. A failed build is as alive as its work; without any it is over.
    running
        How many items are in progress: claimed, where work is claimed.
    work_left
        Whether an item is neither finished nor failed.
    evidence_at
        The time of the newest sign of life, or None.
    silent_after
        The silence that this build's rhythm explains, in seconds; 15 minutes if it is None.
    now
        The present time.
    claims
        Whether work is claimed, by locks that show signs of life.
    """
    if status is BuildStatus.COMPLETED:
        return Life.DONE
    age = None if evidence_at is None else (now - evidence_at).total_seconds()
    is_old = age is not None and age > DORMANT_AFTER
    if running > 0 or (status is BuildStatus.IN_PROGRESS and not claims and not is_old):
        if age is None:
            return Life.UNKNOWN
        if age > (SILENT_AT_FIRST if silent_after is None else silent_after):
            return Life.SILENT
        return Life.QUIET if claims and age > QUIET_AFTER else Life.ALIVE
    if work_left:
        return Life.DORMANT if is_old else Life.IDLE
    return Life.DONE if status in (BuildStatus.FAILED, BuildStatus.IN_PROGRESS) else Life.UNKNOWN


def life_of(state: State, now: datetime) -> Life:
    """Return the `life` of a build. Without a sign of life in the session, its newest message is the sign.

    Where work is claimed, a component is in progress between two claims too; so the features of the present components
    count alone, or the phases if no component is present. There, an item of unknown status is work that is left: a
    phase that was released with an unknown result does not end its build.
    """
    session = state.session
    claims = session.system is not None and session.silent_after == CLAIMS_SILENT_AFTER
    present = set(session.present)
    left = _OPEN | {Status.UNKNOWN} if claims else _OPEN
    items: list[Any]
    if not claims:
        items = [*state.components, *state.features, *state.tasks, *state.phases]
    elif present:
        items = [feature for feature in state.features if feature.component_id in present]
    else:
        items = list(state.phases)
    return life(
        session.status,
        sum(item.status is Status.IN_PROGRESS for item in items),
        work_left=any(item.status in left for item in items),
        evidence_at=session.evidence_at or state.updated_at,
        silent_after=session.silent_after,
        now=now,
        claims=claims,
    )

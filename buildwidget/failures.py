"""The distinct failures of a build: items that fail for one reason are one failure. Pure.

The rules, the same in TypeScript (``js/src/failures.ts``):

- What fails is an item with the status ``error``. A phase fails with each error that it states, whatever its status.
- A failed item that contains a failed one (a task in a feature, a feature in a component, a task in a task) belongs to
  the failure of the inner one. Containment also counts through items that did not fail.
- An item that failed without a reason has the reason of the nearest failed item that contains it.
- Failures with the same reason are one failure. Without any reason, each is separate.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from .model import Component, Feature, Phase, State, Status, Task

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

__all__ = ["Failed", "Failure", "failures", "failures_of"]

# What JavaScript's trim() takes away, so that both sides compare the same texts.
_BLANKS: Final = (
    "\t\n\v\f\r \u00a0\u1680\u2000\u2001\u2002\u2003\u2004\u2005\u2006\u2007\u2008\u2009\u200a\u2028\u2029\u202f\u205f"
    "\u3000\ufeff"
)

_Key = tuple[str, str]  # (kind, id)


class Failed(NamedTuple):
    """An item that failed: its kind (``component``, ``feature``, ``task`` or ``phase``), id and name."""

    kind: str
    id: str
    name: str


@dataclass(slots=True)
class Failure:
    """One failure, and all items that belong to it: components, then features, tasks and phases.

    ``reason`` is the text of the error, without blanks around it; empty if no item gives one.
    """

    reason: str
    items: list[Failed] = field(default_factory=list[Failed])


def failures_of(state: State) -> list[Failure]:
    """The failures of a state; see `failures`."""
    return failures(state.components, state.features, state.tasks, state.phases)


def failures(
    components: Iterable[Component] = (),
    features: Iterable[Feature] = (),
    tasks: Iterable[Task] = (),
    phases: Iterable[Phase] = (),
) -> list[Failure]:
    """Return the distinct failures of a build.

    They are ordered by their first item: components before features, tasks and phases. Takes time in proportion to the
    number of items.

    Parameters
    ----------
    components, features, tasks, phases
        All items of the build, in the order of the result.
    """
    items: dict[_Key, Any] = {
        **{("component", item.component_id): item for item in components},
        **{("feature", item.feature_id): item for item in features},
        **{("task", item.task_id): item for item in tasks},
    }
    failed = {key: _trimmed(item.error) for key, item in items.items() if item.status is Status.ERROR}
    # (the failed item, the key that identifies the failure, the reason)
    told: list[tuple[Failed, _Key, str]] = []
    if failed:
        told += _of_items(items, failed)
    for phase in phases:
        who = Failed("phase", phase.phase_id, phase.name or phase.phase_id)
        reasons = dict.fromkeys(reason for error in phase.errors if (reason := _trimmed(error)))
        told += [(who, ("", reason), reason) for reason in reasons]
        if phase.status is Status.ERROR and not reasons:
            told.append((who, ("phase", phase.phase_id), ""))
    found: dict[_Key, Failure] = {}
    for who, same, reason in told:
        found.setdefault(same, Failure(reason)).items.append(who)
    return list(found.values())


def _of_items(items: Mapping[_Key, Any], failed: Mapping[_Key, str]) -> list[tuple[Failed, _Key, str]]:
    """Return (item, failure key, reason) of each failed item, in their order."""
    above = _failed_parents(items, failed)
    reasons: dict[_Key, str] = {}
    for key in failed:
        way: list[_Key] = []
        at: _Key | None = key
        while at is not None and at not in reasons:
            way.append(at)
            at = above[at]
        reason = reasons[at] if at is not None else ""
        for one in reversed(way):
            reason = reasons[one] = failed[one] or reason
    whole = {parent for parent in above.values() if parent is not None}
    same = {key: ("", reasons[key]) if reasons[key] else key for key in failed if key not in whole}
    known = set(same.values())
    for key in [key for key in failed if key not in whole]:
        # A container joins the inner failure with its own reason if there is one, else that of its first part.
        mark = same[key]
        at = above[key]
        while at is not None and at not in same:
            own = ("", failed[at])
            same[at] = own if own in known else mark
            at = above[at]
    texts = {mark: mark[1] if not mark[0] else "" for mark in known}
    return [
        (Failed(*key, name=items[key].name or key[1]), same[key], texts[same[key]]) for key in items if key in failed
    ]


def _failed_parents(items: Mapping[_Key, Any], failed: Mapping[_Key, str]) -> dict[_Key, _Key | None]:
    """Map each failed item to the nearest failed one that contains it; None for those whose parents form a cycle."""
    above: dict[_Key, _Key | None] = {}
    nearest: dict[_Key, _Key | None] = {}  # itself if it failed, else the nearest failed one above
    circular: set[_Key] = set()
    for key in failed:
        way: list[_Key] = []
        seen: set[_Key] = set()
        at: _Key | None = key
        while at is not None and at not in nearest and at not in seen:
            way.append(at)
            seen.add(at)
            at = _parent(items, at)
        endless = at is not None and (at in seen or at in circular)
        near = nearest[at] if at is not None and not endless else None
        if endless:
            circular.update(way)
        for one in reversed(way):
            if one in failed:
                above[one] = near
                near = None if endless else one
            nearest[one] = near
    return above


def _parent(items: Mapping[_Key, Any], key: _Key) -> _Key | None:
    """Return the key of the item that contains this one, or None."""
    kind, id_ = key
    item = items[key]
    if kind == "feature":
        wanted = [("component", item.component_id)]
    elif kind == "task":
        parent = item.parent_id
        wanted = [("task", parent), ("feature", parent), ("component", parent)]
    else:
        return None
    return next((one for one in wanted if one in items and one != (kind, id_)), None)


def _trimmed(text: str | None) -> str:
    return text.strip(_BLANKS) if text else ""

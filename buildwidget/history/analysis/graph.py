"""The network of dependencies: the critical path, and how long each item may be late."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass, field
from typing import Any, Final

import numpy as np
import pandas as pd

from .._columns import NONE, of
from ._core import (
    DONE,
    KINDS,
    UNCOUNTED,
    Tables,
    bools,
    check_kind,
    check_session,
    durations_in,
    result,
    status,
    statuses_in,
    texts_in,
)
from ._moves import item_keys, moves_of
from .flow import work_of

__all__ = ["critical_path", "slack"]

_UNKNOWN: Final = "unknown"

_Key = tuple[str, str, str]  # project, kind, id
_TEXTS: Final = ("session_id", "kind", "item_id")


@dataclass(slots=True)
class _Node:
    """One item in the network of its project. Times are microseconds from the start of the project."""

    key: _Key
    status: int
    duration: int
    source: str
    needs: list[_Node] = field(default_factory=list["_Node"])
    start: int = 0
    latest: int = 0  # when it has to be finished

    @property
    def finish(self) -> int:
        return self.start + self.duration

    @property
    def slack(self) -> int:
        return self.latest - self.finish


def slack(t: Tables, *, kind: str | None = None, session_id: str | None = None) -> pd.DataFrame:
    """How long each item may be late before the whole project is: the critical path method.

    An item starts when all items that it depends on are finished. ``earliest_start`` is the latest of their
    ``earliest_finish``; ``latest_finish`` is the earliest ``latest_start`` of those that depend on it, or the end of
    the project; ``slack`` = latest_start - earliest_start, never negative; an item without slack is ``critical``.

    Dependencies on items that are not known do not count. Dependencies in a circle cannot all hold: in the order of
    ids, the one that would close a circle is left out, and named in ``attrs["cycles"]``.

    Parameters
    ----------
    t
        The tables of a history.
    kind
        ``feature``, ``task``, ``component`` or ``phase``. None: in each project the first of these that has
        dependencies; if none has, the first that there is.
    session_id
        One project; None for all. Each project is a network of its own.

    Returns
    -------
    pandas.DataFrame
        One row per item, by project, ``earliest_start`` and id: ``session_id, kind, item_id, status, duration,
        duration_source``; ``earliest_start, earliest_finish, latest_start, latest_finish``, counted from the start of
        the project; ``slack``; ``critical``.

        ``duration_source`` is ``actual`` (it is completed, and says how long it took, or was seen to take its cycle
        time), else ``estimate`` (its own), else ``median`` (of the cycle times of its kind in the project, or of the
        estimates if there are none). What is skipped or cancelled takes no time: ``none``. In a project of which no
        duration is known at all it is ``unknown``, and so are all times: NaT; nothing is ``critical`` then.

        ``attrs["reason"]`` names such projects, or is empty.
        ``attrs["cycles"]`` lists dependencies that were left out: ``[session_id, item_id, depends_on]``.

    References
    ----------
    J. E. Kelley and M. R. Walker, "Critical-Path Planning and Scheduling", *Proceedings of the Eastern Joint Computer
    Conference*, 1959.
    """
    networks, cycles = _networks(t, kind, session_id)
    nodes = [node for network in networks for node in sorted(network, key=lambda node: (node.start, node.key))]
    return _frame(nodes, cycles, t, _reason(networks))


def critical_path(t: Tables, *, kind: str | None = None, session_id: str | None = None) -> pd.DataFrame:
    """The longest chain of dependencies: the items that decide how long the project takes, in their order.

    Where several chains are the longest, it is the one that comes first by ids, from its end. Its durations add up to
    the length of the project, which is the largest ``earliest_finish``.

    Parameters
    ----------
    t, kind, session_id
        As of `slack`.

    Returns
    -------
    pandas.DataFrame
        The rows of `slack` that are on the chain, by project, from its first item to its last. A project of which no
        duration is known has no critical path, and no rows: ``attrs["reason"]`` says so.
    """
    networks, cycles = _networks(t, kind, session_id)
    known = [network for network in networks if not _without_durations(network)]
    return _frame([node for network in known for node in _longest(network)], cycles, t, _reason(networks))


def _without_durations(network: list[_Node]) -> bool:
    return any(node.source == _UNKNOWN for node in network)


def _reason(networks: list[list[_Node]]) -> str:
    """Which projects have no times, and why; an empty text if all have."""
    names = sorted(network[0].key[0] for network in networks if _without_durations(network))
    if not names:
        return ""
    return (
        f"no duration is known in {', '.join(map(repr, names))}: no item has an estimate, a record of how long it took "
        "or a cycle time that was seen, so there is no critical path"
    )


def _longest(network: list[_Node]) -> list[_Node]:
    """Return the chain that ends last."""
    chain: list[_Node] = []
    node = min(network, key=lambda node: (-node.finish, node.key), default=None)
    while node is not None:
        chain.append(node)
        start = node.start
        node = min((need for need in node.needs if need.finish == start), key=lambda need: need.key, default=None)
    return chain[::-1]


def _frame(nodes: list[_Node], cycles: list[list[str]], t: Tables, reason: str) -> pd.DataFrame:
    unknown = np.array([node.source == _UNKNOWN for node in nodes], dtype=bool)
    columns = {name: of("text", [node.key[at] for node in nodes]) for at, name in enumerate(_TEXTS)}
    columns["status"] = status(np.array([node.status for node in nodes], dtype=np.int8))
    times = {
        name: of("duration", np.where(unknown, NONE, np.array(values, dtype=np.int64)).tolist())
        for name, values in {
            "duration": [node.duration for node in nodes],
            "earliest_start": [node.start for node in nodes],
            "earliest_finish": [node.finish for node in nodes],
            "latest_start": [node.latest - node.duration for node in nodes],
            "latest_finish": [node.latest for node in nodes],
            "slack": [node.slack for node in nodes],
        }.items()
    }
    columns["duration"] = times.pop("duration")
    columns["duration_source"] = of("text", [node.source for node in nodes])
    columns.update(times)
    columns["critical"] = bools(np.array([node.slack == 0 for node in nodes], dtype=bool) & ~unknown)
    return result(columns, t, cycles=cycles, reason=reason)


# -- the network ------------------------------------------------------------------------------------------------------


def _networks(t: Tables, kind: str | None, session_id: str | None) -> tuple[list[list[_Node]], list[list[str]]]:
    """The network of each project, with its times, in an order in which each item comes after what it needs."""
    check_kind(kind)
    check_session(t, session_id)
    needs = _needs(t)
    by_network: dict[tuple[str, str], list[_Node]] = defaultdict(list)
    for node in _nodes(t):
        by_network[node.key[0], node.key[1]].append(node)
    linked = {(key[0], key[1]) for key in needs}
    networks: list[list[_Node]] = []
    cycles: list[list[str]] = []
    for session in sorted({session for session, _ in by_network}):
        kinds = [one for one in KINDS if (session, one) in by_network]
        chosen = kind or next((one for one in kinds if (session, one) in linked), kinds[0] if kinds else None)
        if (session_id is not None and session != session_id) or chosen not in kinds:
            continue
        nodes = sorted(by_network[session, chosen], key=lambda node: node.key)
        known = {node.key[2]: node for node in nodes}
        for node in nodes:
            node.needs = [known[one] for one in sorted(needs.get(node.key, ())) if one in known]
        ordered = _in_order(nodes, cycles)
        _schedule(ordered)
        networks.append(ordered)
    return networks, cycles


def _needs(t: Tables) -> dict[_Key, set[str]]:
    """What each item depends on."""
    frame: Any = t.dependencies
    needs: dict[_Key, set[str]] = defaultdict(set)
    for session, kind, item, other in zip(
        *(texts_in(frame[name]) for name in ("session_id", "kind", "item_id", "depends_on")), strict=True
    ):
        needs[session or "", kind or "", item or ""].add(other or "")
    return dict(needs)


def _nodes(t: Tables) -> list[_Node]:
    """All items, with how long each takes."""
    items: Any = t.items
    moves = moves_of(t, kind=None, session_id=None, every=True)
    work = work_of(t, moves)
    cycles: dict[_Key, int] = {}
    of_kind: dict[tuple[str, str], list[int]] = defaultdict(list)
    for key, cycle in zip(moves.owners(), work.cycle.tolist(), strict=True):
        if cycle != NONE:
            cycles[key] = cycle
            of_kind[key[:2]].append(cycle)
    estimates: dict[tuple[str, str], list[int]] = defaultdict(list)
    for given, estimate in zip(item_keys(items), durations_in(items["estimated"]).tolist(), strict=True):
        if estimate >= 0:
            estimates[given[0] or "", given[1] or ""].append(estimate)
    medians = {key: round(float(np.median(found))) for key, found in (estimates | of_kind).items()}
    nodes: list[_Node] = []
    for given, state, actual, estimate in zip(
        item_keys(items),
        statuses_in(items["status"]).tolist(),
        durations_in(items["actual"]).tolist(),
        durations_in(items["estimated"]).tolist(),
        strict=True,
    ):
        key = (given[0] or "", given[1] or "", given[2] or "")
        cycle, median = cycles.get(key, NONE), medians.get(key[:2], NONE)
        nodes.append(_Node(key, state, *_duration(state, actual, cycle, estimate, median)))
    return nodes


def _duration(state: int, actual: int, cycle: int, estimate: int, median: int) -> tuple[int, str]:
    """Return the duration of an item and its source. A negative number means unknown, as `NONE` does."""
    if state in UNCOUNTED:
        return 0, "none"
    if state == DONE and (actual >= 0 or cycle >= 0):
        return (actual if actual >= 0 else cycle), "actual"
    if estimate >= 0:
        return estimate, "estimate"
    return (median, "median") if median >= 0 else (0, _UNKNOWN)


def _in_order(nodes: list[_Node], cycles: list[list[str]]) -> list[_Node]:
    """Return the items in topological order; a dependency that closes a cycle is removed and added to ``cycles``."""
    ordered: list[_Node] = []
    seen: set[str] = set()  # it is in the order, or on the way
    path: dict[str, int] = {}  # on the way: which of its needs comes next
    for root in nodes:
        way = [] if root.key[2] in seen else [root]
        while way:
            node = way[-1]
            seen.add(node.key[2])
            at = path.setdefault(node.key[2], 0)
            if at == len(node.needs):
                ordered.append(way.pop())
                del path[node.key[2]]
                continue
            need = node.needs[at]
            if need.key[2] in path:
                cycles.append([node.key[0], node.key[2], need.key[2]])
                del node.needs[at]
                continue
            path[node.key[2]] = at + 1
            if need.key[2] not in seen:
                way.append(need)
    return ordered


def _schedule(ordered: list[_Node]) -> None:
    """Compute the earliest times in a forward pass and the latest in a backward pass."""
    for node in ordered:
        node.start = max((need.finish for need in node.needs), default=0)
    end = max((node.finish for node in ordered), default=0)
    for node in ordered:
        node.latest = end
    for node in reversed(ordered):
        for need in node.needs:
            need.latest = min(need.latest, node.latest - node.duration)

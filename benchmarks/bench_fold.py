"""What one changed item costs between the merge and the log: compared, numbered, encoded, folded in.

The peer, in the same run: the same messages folded by one who has only the messages, as a client does.
"""

from __future__ import annotations

import statistics
import sys
import time
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

from benchmarks._numbers import table
from buildwidget import model
from buildwidget.log import EventLog
from buildwidget.state import BuildState, Change, Delta

NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)
ITEMS = 1_000


def delta(number: int) -> Delta:
    """As many components, features and tasks, all of them changed."""
    done = float(number % 100)
    items: list[Any] = []
    for n in range(ITEMS // 2):
        items.append(
            model.Component(
                component_id=f"part{n}",
                name=f"Part {n}",
                status=model.Status.IN_PROGRESS,
                progress=done,
                files=[f"src/part{n}.py", f"tests/test_part{n}.py"],
                dependencies=[f"part{n - 1}"],
                started_at=NOW,
                metadata={"by": "agent"},
            )
        )
        items.append(
            model.Feature(
                feature_id=f"thing{n}",
                name=f"Thing {n}",
                component_id=f"part{n}",
                status=model.Status.IN_PROGRESS,
                progress=done,
                tasks=[model.ChecklistTask(id=str(k), name=f"Step {k}", completed=k < number) for k in range(4)],
            )
        )
    return Delta(items=items)


def timed(function: Callable[[], Any]) -> tuple[float, Any]:
    started = time.thread_time()
    result = function()
    return (time.thread_time() - started) / ITEMS * 1e6, result


def fold(state: BuildState, changes: list[Change]) -> None:
    for change in changes:
        state.apply(*change)


def fold_messages(state: BuildState, changes: list[Change]) -> None:
    for event, _ in changes:
        state.apply(event)


def main() -> None:
    rounds = 10 if "--quick" in sys.argv else 60
    session, reader, log = BuildState(), BuildState(), EventLog("bench")
    costs: dict[str, list[float]] = {}

    def note(name: str, function: Callable[[], Any]) -> Any:
        cost, result = timed(function)
        costs.setdefault(name, []).append(cost)
        return result

    for number in range(rounds):
        new = delta(number)
        changes = note("compared and numbered", lambda new=new: session.diff(new, session_id="bench", now=NOW))
        note("encoded and logged", lambda changes=changes: log.extend(event for event, _ in changes))
        note("folded: the record is at hand", lambda changes=changes: fold(session, changes))
        note("folded: only the message is", lambda changes=changes: fold_messages(reader, changes))
    middle = {name: statistics.median(values) for name, values in costs.items()}
    print(table(["per item", "µs"], [[name, f"{value:.2f}"] for name, value in middle.items()]))
    *both, kept, made = middle.values()
    print(f"   the fold keeps the record: {kept / made:.2f} × of reading it from the message")
    print(f"   from the merge to the fold: {(sum(both) + kept) / (sum(both) + made):.2f} ×")


if __name__ == "__main__":
    main()

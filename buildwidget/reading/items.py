"""Components, features and tasks: JSON objects → records. Shared by all shapes of file.

Both spellings of a key are read, snake_case first. What nobody knows goes into the item's ``metadata``.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final, TypeVar

import msgspec
from msgspec.structs import replace

from ..model import BuildStatus, ChecklistTask, Component, Feature, Status, Task
from ..progress import item_percentage, rounded
from . import plain
from .values import Reader, as_dict, as_list, is_dict, is_list

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from datetime import datetime

__all__ = [
    "Tally",
    "components",
    "features",
    "listed",
    "newest_in_progress",
    "span",
    "take",
    "tally_of",
    "tasks",
    "unique",
    "warn_of_cycles",
]

T = TypeVar("T")

_MAX_CYCLES: Final = 3  # named in warnings; more are counted
_MAX_CYCLE_NAMES: Final = 8  # of one cycle

_STARTED: Final = ("started_at", "startedAt", "start_time", "startTime")


class Tally(msgspec.Struct, kw_only=True):
    """Counts of finished work that a file states about itself. None means the file does not say."""

    total: int | None = None
    completed: int | None = None
    failed: int = 0
    skipped: int = 0
    in_progress: int = 0


def take(entry: dict[str, Any], *keys: str) -> Any:
    """Remove and return the first of ``keys`` that holds something. The others stay: nothing written is lost."""
    found: Any = None
    for key in keys:
        value = entry.get(key)
        if value is None:
            entry.pop(key, None)
        elif found is None:
            found = entry.pop(key)
    return found


def listed(reader: Reader, value: object, field: str) -> list[tuple[str | None, dict[str, Any]]]:
    """The objects in a list, or in an object keyed by id, as (id by key, the object)."""
    if value is None:
        return []
    pairs: list[tuple[str | None, Any]] = [*as_dict(value).items(), *((None, entry) for entry in as_list(value))]
    if not is_dict(value) and not is_list(value):
        reader.invalid(field, value, "a list")
    result: list[tuple[str | None, dict[str, Any]]] = []
    for key, entry in reader.bounded(pairs, field):
        if is_dict(entry):
            result.append((key, entry))
        else:
            reader.invalid(f"an entry of {field}", entry, "an object")
    return result


def unique(reader: Reader, kind: str, items: Iterable[T], id_of: Callable[[T], str]) -> list[T]:
    """The items with different ids: of two that share one, the last. Items that are equal are no duplicates."""
    found: dict[str, T] = {}
    for item in items:
        id_ = id_of(item)
        if id_ in found and found[id_] != item:
            reader.at()
            reader.warn("duplicate_id", f"there are several {kind}s with the id {id_[:60]!r}; the last one counts")
        found[id_] = item
    return list(found.values())


def components(reader: Reader, *sources: object) -> list[Component]:
    """The components in ``sources``; of two with one id the later."""
    made: list[Component] = []
    for source in sources:
        reader.at()  # warnings about the list must not name the previous item
        for key, entry in listed(reader, source, "components"):
            item = reader.cached(("component",), entry, plain.component) or _component(reader, key, dict(entry))
            if item is not None:
                made.append(item)
    result = unique(reader, "component", made, lambda item: item.component_id)
    warn_of_cycles(reader, "component", {item.component_id: item.dependencies for item in result})
    return result


def _identity(reader: Reader, kind: str, key: str | None, entry: dict[str, Any], *id_keys: str) -> str | None:
    """Return the id of an item and make it the reader's current item; None, with a warning, if it has none."""
    # Only the key that serves is taken: an item may well have an ``id`` and a ``name``.
    reader.at()  # until the id is known, warnings must not name the previous item
    for name in ("id", *id_keys):
        id_ = reader.ident(entry.get(name))
        if id_:
            del entry[name]
            reader.at(kind, id_)
            return id_
    id_ = key or reader.ident(entry.get("name"))
    reader.at(kind if id_ else "", id_ or "")
    if not id_:
        reader.warn("no_id", f"a {kind} without an id was left out")
    return id_


def _component(reader: Reader, key: str | None, entry: dict[str, Any]) -> Component | None:
    id_ = _identity(reader, "component", key, entry, "component_id", "componentId")
    if not id_:
        return None
    pop = entry.pop
    status, raw = reader.status(pop("status", None))
    return Component(
        component_id=id_,
        name=reader.text(pop("name", None), "name") or "",
        component_type=reader.text(take(entry, "type", "component_type", "componentType"), "type", 200),
        status=status,
        status_raw=raw,
        progress=rounded(item_percentage(status, reader.progress(pop("progress", None)))),
        files=reader.texts(pop("files", None), "files"),
        dependencies=reader.texts(pop("dependencies", None), "dependencies"),
        tests_pass=reader.verdict(take(entry, "tests_pass", "testsPass"), "tests_pass"),
        started_at=reader.time(take(entry, *_STARTED), "start_time"),
        ended_at=reader.time(
            take(entry, "ended_at", "endedAt", "end_time", "endTime", "completed_at", "completedAt"), "end_time"
        ),
        error=_error(reader, entry),
        metadata=reader.metadata(pop("metadata", None), entry),
    )


def _error(reader: Reader, entry: dict[str, Any]) -> str | None:
    error = take(entry, "error", "error_message", "errorMessage")
    if is_dict(error):
        error = error.get("message", "an error without a message")
    elif is_list(error):
        error = "\n".join(reader.texts(error, "error"))
    return reader.text(error, "error", 10_000) if error is not False else None


def features(reader: Reader, *sources: object) -> list[Feature]:
    """The features in ``sources``; of two with one id the later."""
    made: list[Feature] = []
    for source in sources:
        reader.at()
        for key, entry in listed(reader, source, "features"):
            item = reader.cached(("feature",), entry, plain.feature) or _feature(reader, key, dict(entry))
            if item is not None:
                made.append(item)
    result = unique(reader, "feature", made, lambda item: item.feature_id)
    warn_of_cycles(reader, "feature", {item.feature_id: item.dependencies for item in result})
    return result


def _feature(reader: Reader, key: str | None, entry: dict[str, Any]) -> Feature | None:
    id_ = _identity(reader, "feature", key, entry, "feature_id", "featureId")
    if not id_:
        return None
    pop = entry.pop
    status, raw = reader.status(pop("status", None))
    checklist = _checklist(reader, pop("tasks", None))
    return Feature(
        feature_id=id_,
        name=reader.text(pop("name", None), "name") or "",
        description=reader.text(pop("description", None), "description", 10_000),
        component_id=reader.text(take(entry, "component", "component_id", "componentId"), "component"),
        status=status,
        status_raw=raw,
        progress=rounded(item_percentage(status, reader.progress(pop("progress", None)), checklist)),
        priority=reader.text(pop("priority", None), "priority", 200),
        tasks=checklist,
        dependencies=reader.texts(pop("dependencies", None), "dependencies"),
        estimated_minutes=reader.number(_minutes(entry, "estimated"), "estimated_time"),
        actual_minutes=reader.number(_minutes(entry, "actual"), "actual_time"),
        error=_error(reader, entry),
        metadata=reader.metadata(pop("metadata", None), entry),
    )


def _minutes(entry: dict[str, Any], which: str) -> Any:
    return take(entry, f"{which}_time", f"{which}Time", f"{which}_minutes", f"{which}Minutes")


def _checklist(reader: Reader, value: object) -> list[ChecklistTask]:
    if not value:
        return []
    if is_list(value):  # a plain text is a task by its name
        value = [{"name": entry} if type(entry) is str else entry for entry in value]
    made: list[ChecklistTask] = []
    for number, (key, entry) in enumerate(listed(reader, value, "tasks"), 1):
        name = reader.text(entry.get("name", entry.get("title")), "the name of a task")
        completed = reader.truth(entry.get("completed"), "completed of a task")
        if completed is None:
            completed = reader.status(entry.get("status"))[0] is Status.COMPLETED
        made.append(
            ChecklistTask(
                id=reader.ident(entry.get("id")) or key or str(number),
                name=name or "",
                completed=completed,
                timestamp=reader.time(entry.get("timestamp"), "timestamp of a task"),
            )
        )
    found = {task.id: task for task in made}
    if len(found) < len(made):
        reader.warn("duplicate_id", "its tasks share ids; the last one of each counts")
    return list(found.values())


def tasks(reader: Reader, value: object, kind: str, parent: str | None = None) -> list[Task]:
    """The tasks in a list, or in an object keyed by id; of two with one id the last.

    With ``parent``, a task is an item of a pool: two pools may well name their items alike, so its id becomes
    ``parent/item``. Its ``metadata`` keeps the plain ``item_id``, and so does its name if it has no other.
    """
    made: list[Task] = []

    def read(reader: Reader, entry: dict[str, Any]) -> Task | None:
        return plain.task(reader, entry, kind, parent)

    reader.at()
    for key, entry in listed(reader, value, "tasks"):
        item = reader.cached((kind, parent), entry, read) or _task(reader, key, dict(entry), kind, parent)
        if item is not None:
            made.append(item)
    result = unique(reader, "task", made, lambda item: item.task_id)
    if parent is not None:
        result = _among_siblings(parent, result)
    warn_of_cycles(reader, "task", {item.task_id: item.dependencies for item in result})
    return result


def _among_siblings(parent: str, items: list[Task]) -> list[Task]:
    """The items, with those that they depend on by the ids that those have now."""
    ids = {item.task_id for item in items}
    return [
        replace(item, dependencies=[full if (full := f"{parent}/{id_}") in ids else id_ for id_ in item.dependencies])
        if item.dependencies
        else item
        for item in items
    ]


def _task(reader: Reader, key: str | None, entry: dict[str, Any], kind: str, parent: str | None) -> Task | None:
    id_ = _identity(reader, "task", key, entry, "item_id", "itemId", "task_id", "taskId")
    if not id_:
        return None
    pop = entry.pop
    status, raw = reader.status(pop("status", None))
    name = reader.text(pop("name", None), "name") or reader.text(entry.get("task_id"), "task_id") or ""
    task_id = id_
    if parent is not None:
        task_id, name = f"{parent}/{id_}", name or id_
    item = Task(
        task_id=task_id,
        name=name,
        kind=kind,
        parent_id=parent,
        status=status,
        status_raw=raw,
        progress=rounded(item_percentage(status, reader.progress(pop("progress", None)))),
        dependencies=reader.texts(pop("dependencies", None), "dependencies"),
        estimated_minutes=reader.number(_minutes(entry, "estimated"), "estimated_minutes"),
        started_at=reader.time(take(entry, *_STARTED), "started_at"),
        completed_at=reader.time(take(entry, "completed_at", "completedAt", "end_time", "endTime"), "completed_at"),
        duration_ms=reader.number(take(entry, "duration_ms", "durationMs"), "duration_ms"),
        retry_count=reader.count(take(entry, "retry_count", "retryCount"), "retry_count"),
        error=_error(reader, entry),
        metadata=reader.metadata(pop("metadata", None), entry),
    )
    if parent is not None:
        item.metadata.setdefault("item_id", id_)
    return item


def tally_of(items: list[Task]) -> Tally:
    """The counts of tasks by status. Cancelled tasks count as skipped."""
    statuses = [item.status for item in items]
    return Tally(
        total=len(items),
        completed=statuses.count(Status.COMPLETED),
        failed=statuses.count(Status.ERROR),
        skipped=statuses.count(Status.SKIPPED) + statuses.count(Status.CANCELLED),
        in_progress=statuses.count(Status.IN_PROGRESS),
    )


def newest_in_progress(items: list[Any], id_of: Callable[[Any], str]) -> str | None:
    """The id of the item in progress that began last; without times, the first one in the file."""
    best, began = None, None
    for item in items:
        if item.status is not Status.IN_PROGRESS:
            continue
        start: datetime | None = getattr(item, "started_at", None)
        if best is None or (start is not None and (began is None or start > began)):
            best, began = id_of(item), start
    return best


def span(
    status: BuildStatus, starts: Iterable[datetime | None], ends: Iterable[datetime | None]
) -> tuple[datetime | None, datetime | None]:
    """When the work of a file began, and when it ended if it has."""
    started = min((start for start in starts if start is not None), default=None)
    over = status in (BuildStatus.COMPLETED, BuildStatus.FAILED)
    ended = max((end for end in ends if end is not None), default=None) if over else None
    return started, ended


def warn_of_cycles(reader: Reader, kind: str, graph: dict[str, list[str]]) -> None:
    """Warn of each cycle of dependencies, by name. Takes time in proportion to the edges."""
    seen: set[str] = set()
    for id_, needed in graph.items():
        if needed and not seen.issuperset(needed) and any(other in graph and other not in seen for other in needed):
            break
        seen.add(id_)
    else:  # everything needs only what comes before it, as usual: there can be no cycle
        return
    # Drop, again and again, what waits for nobody: only cycles and what waits for them is left.
    waits = {id_: {other for other in needed if other in graph} for id_, needed in graph.items()}
    waiting: dict[str, list[str]] = {id_: [] for id_ in graph}
    for id_, needed in waits.items():
        for other in needed:
            waiting[other].append(id_)
    free = [id_ for id_, needed in waits.items() if not needed]
    cycles = 0
    while True:
        while free:
            id_ = free.pop()
            waits.pop(id_, None)
            for other in waiting[id_]:
                needed = waits.get(other)
                if needed is not None:
                    needed.discard(id_)
                    if not needed:
                        free.append(other)
        if not waits:
            return
        cycle = _a_cycle(waits)
        cycles += 1
        if cycles > _MAX_CYCLES:
            reader.at()
            reader.warn("dependency_cycle", f"and more {kind}s depend on each other in cycles")
            return
        names = [name[:60] for name in cycle[:_MAX_CYCLE_NAMES]]
        names.append(names[0] if len(cycle) <= _MAX_CYCLE_NAMES else f"… ({len(cycle)} in all)")
        reader.at()
        reader.warn("dependency_cycle", f"{kind}s depend on each other in a cycle: {' → '.join(names)}")
        free = cycle  # break it, to find the next one


def _a_cycle(waits: dict[str, set[str]]) -> list[str]:
    """A cycle of a graph in which everything waits for something; it begins with its smallest id."""
    here = min(waits)
    order: dict[str, int] = {}
    while here not in order:
        order[here] = len(order)
        here = min(waits[here])
    cycle = list(order)[order[here] :]
    first = cycle.index(min(cycle))
    return cycle[first:] + cycle[:first]

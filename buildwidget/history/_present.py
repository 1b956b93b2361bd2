"""The present state of the builds of a store, by the rules of `buildwidget.merge`, as the live view has it."""

# numpy, pandas and pyarrow leave the types of elements open.
# pyright: reportUnknownMemberType=false, reportUnknownArgumentType=false, reportUnknownVariableType=false

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import numpy as np

from ..merge import Merge
from ..model import BuildStatus, Checkpoint, Component, Feature, State, Status, TsSource
from ..reading.files import as_text
from ..state import fold
from ..systems import Record, Shape
from ._columns import BUILD_STATUSES, NONE, STATUSES
from ._store import Store
from ._times import Times, newest_versions, on_disk

__all__ = ["present_states"]

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def present_states(store: Store, order: np.ndarray[Any, Any], times: Times) -> list[State]:
    """One state for each root.

    Only the checkpoints that have a say are given to the merge: of those that are not rolled back the first, the
    newest, and the newest that holds components, and features.
    ``order`` sorts the files by root, time and id.
    """
    files = store.files
    root, shape, life = files.raw("root")[order], files.raw("shape")[order], files.raw("status")[order]
    shapes, lives = files.texts("shape"), files.texts("status")
    is_checkpoint = shape == (shapes.index("checkpoint") if "checkpoint" in shapes else -2)
    present = on_disk(store, order)
    standing = is_checkpoint & present & (life != (lives.index("rolled_back") if "rolled_back" in lives else -2))
    newest = newest_versions(store, order)
    states: list[State] = []
    for number, home in enumerate(store.roots):
        here = standing & (root == number) & newest
        chosen = {int(row) for row in order[np.flatnonzero(here)[:1]]}  # when it began
        for kind in (None, "component", "feature"):
            holding = here if kind is None else here & (store.items[kind].count()[order] > 0)
            rows = np.flatnonzero(holding)
            if len(rows):
                chosen.add(int(order[rows[-1]]))
        merge = Merge(home.session_id if home.loose else as_text(home.path.name), copied=times.copied[number])
        records = [
            (path, record)
            for (of, path), record in store.records.items()
            if of == number and (of, path) not in store.gone
        ]
        records += [
            (record.path, record) for record in (_record(store, row, int(times.ts[row])) for row in sorted(chosen))
        ]
        delta = merge.update(records)
        delta.warnings.clear()
        state = fold([])
        for change in state.diff(delta, session_id=home.session_id, now=_EPOCH):
            state.apply(*change)
        states.append(state.snapshot())
    return states


def _record(store: Store, row: int, ts: int) -> Record:
    """One checkpoint of the store as `systems` would give it, as far as the merge looks at it."""
    files = store.files

    def text(name: str) -> str | None:
        place = int(files.raw(name)[row])
        return None if place < 0 else files.texts(name)[place]

    percent = float(files.raw("percent")[row])
    record = Record(
        path=text("file_path") or "",
        shape=Shape.CHECKPOINT,
        time=_time(ts) or _EPOCH,
        ts_source=TsSource(text("ts_source") or TsSource.MTIME),
        phase=text("phase"),
        status=BuildStatus(BUILD_STATUSES[int(files.raw("build_status")[row])]),
        status_source=text("status_source") or "",
        percent=None if np.isnan(percent) else percent,
        started_at=_time(files.raw("started_at")[row]),
        ended_at=_time(files.raw("ended_at")[row]),
    )
    record.checkpoint = Checkpoint(
        checkpoint_id=text("checkpoint_id") or "",
        phase=record.phase,
        tasks_completed=list(store.lists[int(files.raw("done")[row])]),
        files_created=list(store.lists[int(files.raw("made")[row])]),
        status=text("status"),
        created_at=record.time,
        ts_source=record.ts_source,
    )
    record.components = [_component(store, code) for code in _codes(store, "component", row)]
    record.features = [_feature(store, code) for code in _codes(store, "feature", row)]
    return record


def _codes(store: Store, kind: str, row: int) -> list[int]:
    items = store.items[kind]
    counts = items.count()
    first = int(counts[:row].sum())
    return items.array()[first : first + int(counts[row])].tolist()


def _cells(store: Store, kind: str, code: int) -> dict[str, Any]:
    """One item's fields, as Python values."""
    pool = store.items[kind].pool
    cells: dict[str, Any] = {}
    for name, column_kind in pool.kinds.items():
        value = pool.raw(name)[code].item()
        match column_kind:
            case "text":
                cells[name] = None if value < 0 else pool.texts(name)[value]
            case "status":
                cells[name] = Status(STATUSES[value])
            case "time":
                cells[name] = _time(value)
            case "duration":
                cells[name] = None if value == NONE else value / 60_000_000
            case "bool":
                cells[name] = None if value < 0 else bool(value)
            case _:
                cells[name] = value
    return cells


def _component(store: Store, code: int) -> Component:
    cells = _cells(store, "component", code)
    needs, own_files = cells.pop("needs"), cells.pop("own_files")
    name = cells.pop("name") or ""
    return Component(**cells, name=name, dependencies=list(store.lists[needs]), files=list(store.lists[own_files]))


def _feature(store: Store, code: int) -> Feature:
    cells = _cells(store, "feature", code)
    needs = cells.pop("needs")
    for name in ("own_files", "n_tasks", "n_tasks_completed"):
        del cells[name]
    estimated, actual = cells.pop("estimated"), cells.pop("actual")
    name = cells.pop("name") or ""
    return Feature(
        **cells,
        name=name,
        dependencies=list(store.lists[needs]),
        estimated_minutes=estimated,
        actual_minutes=actual,
    )


def _time(value: Any) -> datetime | None:
    return None if int(value) == NONE else _EPOCH + timedelta(microseconds=int(value))

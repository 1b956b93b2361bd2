"""The tables of a history, each made of a `Store` when it is asked for."""

# numpy, pandas and pyarrow leave the types of elements open.
# pyright: reportUnknownMemberType=false, reportUnknownArgumentType=false, reportUnknownVariableType=false

from __future__ import annotations

import os
from functools import cached_property
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from ..failures import failures_of
from ..model import State
from ..reading.files import as_text, open_file
from ..reading.text import decode_part, encoding_of
from ..terminal import Terminal
from . import tables
from ._columns import BUILD_STATUSES, NONE, STATUSES, Column, Texts, compact, empty, micros, of
from ._present import present_states
from ._scan import Root, logs_of
from ._store import Store
from ._times import Times, times_of
from ._transitions import phase_progress, transitions

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = ["ITEM_TABLES", "Maker"]

ITEM_TABLES: Final = {"components": "component", "features": "feature", "tasks": "task", "phases": "phase"}


class Maker:
    """Makes the tables of one store as it is now; a store that has grown needs another."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._kept: dict[str, dict[str, Column]] = {}

    def table(self, name: str) -> dict[str, Column]:
        """A table by its name.

        Raises
        ------
        KeyError
            If there is no such table.
        """
        made = self._kept.get(name)
        if made is None:
            if name not in tables.TABLES:
                raise KeyError(f"there is no table {name!r}; there are {', '.join(tables.TABLES)}")
            self._store.derive()
            make = getattr(self, f"_make_{name}", None)
            made = make() if make is not None else self._make_items_of(ITEM_TABLES[name])
            made = {column: made[column] for column in tables.TABLES[name]}
            if name not in ITEM_TABLES:  # the big ones are not kept twice: a frame has all of it
                self._kept[name] = made
        return made

    # -- the order of things --------------------------------------------------------------------------------------

    @cached_property
    def times(self) -> Times:
        """When each file says what it says."""
        self._store.derive()
        return times_of(self._store)

    @cached_property
    def _order(self) -> NDArray[Any]:
        """The files by project, time, when they were written (not of a copy), id and version."""
        files = self._store.files
        ids = files.column("checkpoint_id").data
        root, version = files.raw("root"), files.raw("version")
        written = self.times.modified
        if len(version) and version.max() > 1:  # a later version was not written before an earlier one
            written = written.copy()
            grouped = np.lexsort((version, ids, root))
            for at in np.flatnonzero(version[grouped] > 1).tolist():
                one, before = grouped[at], grouped[at - 1]
                if at and ids[one] == ids[before] and root[one] == root[before]:
                    written[one] = max(written[one], written[before])
        order = np.lexsort((version, ids, written, self.times.ts, root))
        return order[self._store.alive()[order]] if self._store.has_dropped else order

    @cached_property
    def _states(self) -> list[State]:
        return present_states(self._store, self._order, self.times)

    def _sessions_of(self, root: NDArray[Any]) -> Column:
        return Texts(home.session_id for home in self._store.roots).column(root.astype(np.int32))

    # -- one for each table ---------------------------------------------------------------------------------------

    def _make_checkpoints(self) -> dict[str, Column]:
        store, order = self._store, self._order
        files = store.files
        made = {name: files.take(name, order, all_used=not store.has_dropped) for name in (*tables.FILE, "version")}
        made["ts"] = Column("time", self.times.ts).take(order)
        made["session_id"] = self._sessions_of(files.raw("root")[order])
        for kind in ("component", "feature", "task"):
            made[f"n_{kind}s"] = Column("count", store.items[kind].count()[order])
        lengths = np.array([len(set(one)) for one in store.lists], dtype=np.int64)
        made["n_tasks_completed"] = Column("count", lengths[files.raw("done")[order]])
        made["n_files_created"] = Column("count", lengths[files.raw("made")[order]])
        return made

    def _lines(self, lengths: NDArray[Any]) -> dict[str, Column]:
        """The columns that say which checkpoint a row is of, for so many rows of each file (in order)."""
        files, order = self._store.files, self._order
        every = bool(lengths.all())
        ids = files.take("checkpoint_id", order, all_used=every and not self._store.has_dropped).repeat(lengths)
        ids = Column("text", ids.data, ids.texts)
        names = self._sessions_of(files.raw("root")[order]).repeat(lengths)
        return {
            "session_id": names if every else compact(names),
            "checkpoint_id": ids if every else compact(ids),
            "version": files.column("version").take(order).repeat(lengths),
            "ts": Column("time", self.times.ts).take(order).repeat(lengths),
        }

    def _make_items_of(self, kind: str) -> dict[str, Column]:
        store, order = self._store, self._order
        items = store.items[kind]
        made = self._lines(items.count()[order])
        rows = items.of_files(order).astype(np.intp)  # once, not for every column
        used = np.zeros(len(items.pool), dtype=bool)
        used[rows] = True
        for name in tables.OF_KIND[kind]:
            made[name] = items.pool.take(name, rows, all_used=bool(used.all()))
        return made

    def _make_checkpoint_tasks(self) -> dict[str, Column]:
        return self._make_lists("done", "task")

    def _make_checkpoint_files(self) -> dict[str, Column]:
        return self._make_lists("made", "file_path")

    def _make_lists(self, which: str, name: str) -> dict[str, Column]:
        store = self._store
        chosen = store.files.raw(which)[self._order]
        lengths = np.array([len(one) for one in store.lists], dtype=np.int64)
        texts = Texts()
        flat = np.array([texts.place(text) for one in store.lists for text in one], dtype=np.int32)
        begin = np.cumsum(lengths) - lengths
        counts = lengths[chosen]
        starts = np.cumsum(counts) - counts
        position = np.arange(int(counts.sum())) - np.repeat(starts, counts)
        made = self._lines(counts)
        made["position"] = Column("count", (position + 1).astype(np.int32))
        made[name] = texts.column(flat[position + np.repeat(begin[chosen], counts)])
        return made

    def _make_transitions(self) -> dict[str, Column]:
        return transitions(self._store, self._order, self._states, self.times)

    def _make_items(self) -> dict[str, Column]:
        rows: list[dict[str, Any]] = []
        for home, state in zip(self._store.roots, self._states, strict=True):
            for kind, id_, parent, found in (
                ("component", "component_id", None, state.components),
                ("feature", "feature_id", "component_id", state.features),
                ("phase", "phase_id", None, state.phases),
                ("task", "task_id", "parent_id", state.tasks),
            ):
                rows += [
                    _item_row(home, kind, getattr(item, id_), getattr(item, parent) if parent else None, item)
                    for item in found
                ]
        times = self._times_of_items()
        for row in rows:
            row["first_seen"], row["last_changed"] = times.get(
                (row["session_id"], row["kind"], row["item_id"]), (NONE, NONE)
            )
        return {name: of(kind, [row[name] for row in rows]) for name, kind in tables.TABLES["items"].items()}

    def _times_of_items(self) -> dict[tuple[str, str, str], tuple[int, int]]:
        """When an item was first seen, and when it changed last."""
        table = self.table("transitions")
        texts = [table[name].texts or [] for name in ("session_id", "kind", "item_id")]
        data = [table[name].data.tolist() for name in ("session_id", "kind", "item_id")]
        times: dict[tuple[int, ...], tuple[int, int]] = {}
        for *key, ts in zip(*data, table["ts"].data.tolist(), strict=True):
            place = tuple(key)
            first = times.get(place)
            times[place] = (ts if first is None else first[0], ts)
        return {(texts[0][one], texts[1][two], texts[2][three]): found for (one, two, three), found in times.items()}

    def _make_dependencies(self) -> dict[str, Column]:
        rows: list[tuple[str, str, str, str, int]] = []
        for home, state in zip(self._store.roots, self._states, strict=True):
            for kind, id_, found in (
                ("component", "component_id", state.components),
                ("feature", "feature_id", state.features),
                ("task", "task_id", state.tasks),
            ):
                known = {getattr(item, id_) for item in found}
                rows += [
                    (home.session_id, kind, getattr(item, id_), other, int(other in known))
                    for item in found
                    for other in dict.fromkeys(item.dependencies)
                ]
        kinds = tables.TABLES["dependencies"]
        return {name: of(kind, [row[at] for row in rows]) for at, (name, kind) in enumerate(kinds.items())}

    def _make_sessions(self) -> dict[str, Column]:
        store = self._store
        files = store.files
        root, ts, shape = files.raw("root"), self.times.ts, files.raw("shape")
        shapes = files.texts("shape")
        checkpoint = shapes.index("checkpoint") if "checkpoint" in shapes else -2
        warned = [of_root for of_root, *_ in store.unique_warnings]
        alive = store.alive()
        rows: list[dict[str, Any]] = []
        for number, (home, state) in enumerate(zip(store.roots, self._states, strict=True)):
            here = ts[(root == number) & alive]
            percent = state.progress.percent
            rows.append(
                {
                    "session_id": home.session_id,
                    "project": state.session.project or home.session_id,
                    "path": as_text(str(home.path)),
                    "status": BUILD_STATUSES.index(state.session.status),
                    "status_source": state.session.status_source or None,
                    "percent": np.nan if percent is None else percent,
                    "phase": state.session.phase,
                    "started_at": micros(state.session.started_at),
                    "ended_at": micros(state.session.ended_at),
                    "first_ts": int(here.min()) if len(here) else NONE,
                    "last_ts": int(here.max()) if len(here) else NONE,
                    "n_checkpoints": int(((root == number) & (shape == checkpoint) & alive).sum()),
                    "n_components": len(state.components),
                    "n_features": len(state.features),
                    "n_tasks": len(state.tasks),
                    "n_failures": len(failures_of(state)),
                    "n_warnings": warned.count(number),
                }
            )
        return {name: of(kind, [row[name] for row in rows]) for name, kind in tables.TABLES["sessions"].items()}

    def _make_terminal(self) -> dict[str, Column]:
        rows: list[tuple[str, int, str, str, str]] = []
        for home in self._store.roots:
            first = 1
            for path in logs_of(home):
                lines = _lines_of(home, path)
                rows += [
                    (home.session_id, first + at, text, kind, as_text(path)) for at, (text, kind) in enumerate(lines)
                ]
                first += len(lines)
        kinds = tables.TABLES["terminal"]
        return {name: of(kind, [row[at] for row in rows]) for at, (name, kind) in enumerate(kinds.items())}

    def _make_warnings(self) -> dict[str, Column]:
        rows = self._store.unique_warnings
        if not rows:
            return empty(tables.TABLES["warnings"])
        names = [root.session_id for root in self._store.roots]
        return {
            "session_id": of("text", [names[row[0]] for row in rows]),
            "file_path": of("words", [row[1] for row in rows]),
            "code": of("text", [row[2] for row in rows]),
            "message": of("words", [row[3] for row in rows]),
        }


def _item_row(home: Root, kind: str, item_id: str, parent: str | None, item: Any) -> dict[str, Any]:
    estimated = getattr(item, "estimated_minutes", None)
    actual = getattr(item, "actual_minutes", None)
    duration = getattr(item, "duration_ms", None)
    spent = NONE
    if actual is not None:
        spent = round(actual * 60_000_000)
    elif duration is not None:
        spent = round(duration * 1000)
    return {
        "session_id": home.session_id,
        "kind": kind,
        "item_id": item_id,
        "name": item.name or None,
        "parent_id": parent,
        "status": STATUSES.index(item.status),
        "status_raw": item.status_raw,
        "progress": phase_progress(item) if kind == "phase" else item.progress,
        "started_at": micros(getattr(item, "started_at", None)),
        "ended_at": micros(getattr(item, "ended_at", None) or getattr(item, "completed_at", None)),
        "estimated": NONE if estimated is None else round(estimated * 60_000_000),
        "actual": spent,
        "error": getattr(item, "error", None),
    }


def _lines_of(home: Root, path: str) -> list[tuple[str, str]]:
    """The whole lines of a log file, and the kind of each."""
    terminal = Terminal()
    chunks: list[Any] = []
    try:
        fd, _ = open_file(home.path, path)
    except (OSError, ValueError):
        return []
    try:
        encoding, at = encoding_of(os.pread(fd, 3, 0)) or ("utf-8", 0)
        while piece := os.pread(fd, 1 << 20, at):
            text, used = decode_part(piece, encoding)
            chunks += terminal.feed(text, source=path, now=0.0)
            at += used or len(piece)
    finally:
        os.close(fd)
    chunks += terminal.finish(path)
    lines: dict[int, tuple[str, str]] = {}
    for chunk in chunks:
        for at, text in enumerate(chunk.output.removesuffix("\n").split("\n")):
            lines[chunk.line + at] = (text, chunk.output_type)
    return [lines[at] for at in sorted(lines)]

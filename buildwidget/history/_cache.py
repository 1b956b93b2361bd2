"""What was read of a history, kept for the next time, so that only what has changed is read again.

One file per project in the user's cache directory. It holds the columns of a `Store`, as Arrow IPC files one after the
other, and is mapped into memory, not read. A file of the project is known again by its name and its stamp: size, inode,
time of modification and time of change (ns). The first can be set back, and tools that keep times do. One that was
written shortly before the reading began is not trusted: it may have been changed again without a difference in any of
them.

The cache is written beside its place and renamed, so a reader sees a whole one or none, and a writer that is killed
leaves at most a temporary file, which a later one removes. A cache that cannot be read or written is no error: the
files are read.
"""

# numpy, pandas and pyarrow leave the types of elements open.
# pyright: reportUnknownMemberType=false, reportUnknownArgumentType=false, reportUnknownVariableType=false
# pyright: reportUnknownParameterType=false, reportUnknownLambdaType=false

from __future__ import annotations

import contextlib
import hashlib
import json
import logging
import os
import tempfile
import time
from array import array
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import numpy as np
import platformdirs
import pyarrow as pa

from .. import __version__
from . import tables
from ._columns import NONE, Column
from ._scan import Root, plain_folders_of
from ._store import Stamp, Store

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = ["TICK_NS", "Known", "UnusableError", "load", "place_of", "save", "stamps_of"]

logger = logging.getLogger("buildwidget.history")

FORMAT: Final = 3
_MAGIC: Final = b"bwhist01"
_YOUNG_NS: Final = 2_000_000_000  # the coarsest times that a file system has: FAT's
TICK_NS: Final = 100_000_000  # the coarsest that a kernel has, ten times over
_SECOND_NS: Final = 1_000_000_000
_OLD: Final = 3600.0  # seconds after which a temporary file is nobody's
_KINDS: Final = ("component", "feature")
_FILES: Final = [*tables.FILE, "mtime_ns", "ctime_ns", "inode", "done", "made", "plain"]


def place_of(root: Root) -> Path:
    """Where the cache of a project is. The machine's time zone is part of it: times without one are local."""
    zone = f"{time.tzname}{time.timezone}{time.altzone}{os.environ.get('TZ', '')}"
    key = json.dumps([FORMAT, __version__, str(root.path), root.below, zone]).encode()
    folder = platformdirs.user_cache_path("buildwidget", appauthor=False) / "history"
    return folder / f"{hashlib.sha256(key).hexdigest()[:32]}.arrow"


def stamps_of(root: Root, folder: str) -> tuple[list[str], NDArray[Any]]:
    """The names of the files in a folder of build checkpoints, and their stamps, in any order.

    A stamp is a row of size, mtime_ns, ctime_ns and inode.
    """
    names: list[str] = []
    stamps: list[int] = []
    try:
        fd = os.open(root.path / folder, os.O_RDONLY | os.O_DIRECTORY)
    except OSError:
        return [], np.zeros((0, 4), dtype=np.int64)
    try:
        with os.scandir(fd) as entries:
            for entry in entries:
                name = entry.name
                if name[-5:] == ".json" and name[0] != ".":
                    try:
                        stat = entry.stat(follow_symlinks=False)
                    except OSError:  # it was removed meanwhile
                        continue
                    stamps += (stat.st_size, stat.st_mtime_ns, stat.st_ctime_ns, stat.st_ino)
                    names.append(name)
    finally:
        os.close(fd)
    return names, np.array(stamps, dtype=np.int64).reshape(-1, 4)


# -- writing ----------------------------------------------------------------------------------------------------------


def save(store: Store, root: int, *, since: int) -> bool:
    """Keep the build checkpoints that were read of one project; its other files are few. False: they were not kept.

    Parameters
    ----------
    since
        When the reading began, in ns since 1970: what was changed just before or after is not kept.
    """
    place = place_of(store.roots[root])
    try:
        place.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        _sweep(place.parent)
        handle, temporary = tempfile.mkstemp(prefix=place.stem, suffix=".tmp", dir=place.parent)
    except OSError as error:
        logger.info("the history is not kept in %s: %s", place.parent, error)
        return False
    try:
        with os.fdopen(handle, "wb") as file:
            _write(file, store, root, since)
        os.replace(temporary, place)
    except (OSError, pa.ArrowException) as error:
        logger.info("the history is not kept in %s: %s", place, error)
        with contextlib.suppress(OSError):
            os.unlink(temporary)
        return False
    return True


def _sweep(folder: Path) -> None:
    """Remove what writers left that were killed."""
    for path in folder.glob("*.tmp"):
        with contextlib.suppress(OSError):
            if time.time() - path.stat().st_mtime > _OLD:
                path.unlink()


def _write(file: Any, store: Store, root: int, since: int) -> None:
    files = store.files
    paths = files.texts("file_path")
    raw_paths = files.raw("file_path")
    folders = set(plain_folders_of(store.roots[root]))
    inside = np.array([path.rpartition("/")[0] in folders for path in paths] or [False])
    shapes = files.texts("shape")
    checkpoint = shapes.index("checkpoint") if "checkpoint" in shapes else -2
    changed = files.raw("ctime_ns")
    rows = np.flatnonzero(
        store.alive()
        & (files.raw("root") == root)
        & (files.raw("shape") == checkpoint)
        & (files.raw("mtime_ns") < since - _YOUNG_NS)
        & (changed < since - np.where(changed % _SECOND_NS == 0, _YOUNG_NS, TICK_NS))
        & (inside[raw_paths] if len(raw_paths) else False)
    )
    kept = {paths[place] for place in raw_paths[rows].tolist()}
    sections: dict[str, pa.Table] = {
        "files": pa.table({name: _array(files.column(name).take(rows)) for name in _FILES}),
        "lists": pa.table({"texts": pa.array([list(one) for one in store.lists], pa.list_(pa.string()))}),
        "warnings": pa.table(
            {
                name: pa.array([one[at] for one in store.warnings if one[0] == root and one[1] in kept], pa.string())
                for at, name in ((1, "path"), (2, "code"), (3, "message"))
            }
        ),
    }
    for kind in _KINDS:
        items = store.items[kind]
        counts = items.count()
        codes, lengths = items.of_files(rows), counts[rows]
        used = np.zeros(len(items.pool) + 1, dtype=bool)
        used[codes] = True
        new = np.cumsum(used[:-1], dtype=np.int32) - 1
        chosen = np.flatnonzero(used[:-1])
        sections[kind] = pa.table({name: _array(items.pool.column(name).take(chosen)) for name in items.pool.kinds})
        sections[f"{kind} codes"] = pa.table({"code": new[codes]})
        sections[f"{kind} counts"] = pa.table({"count": lengths.astype(np.int32)})
    file.write(_MAGIC)
    at = len(_MAGIC)
    index: list[tuple[str, int, int]] = []
    for name, table in sections.items():
        padding = -at % 64
        file.write(b"\0" * padding)
        at += padding
        sink = pa.BufferOutputStream()
        with pa.ipc.new_file(sink, table.schema) as writer:
            writer.write_table(table.combine_chunks())
        data = sink.getvalue()
        file.write(data)
        index.append((name, at, data.size))
        at += data.size
    tail = json.dumps(index).encode()
    file.write(tail + len(tail).to_bytes(8, "little") + _MAGIC)


def _array(column: Column) -> Any:
    if column.texts is None:
        return pa.array(column.data)
    indices = pa.array(column.data, mask=column.data < 0) if (column.data < 0).any() else pa.array(column.data)
    return pa.DictionaryArray.from_arrays(indices, pa.array(column.texts, pa.string()))


# -- reading ----------------------------------------------------------------------------------------------------------


class Known:
    """The files that a cache holds: name → row, and the stamp of each."""

    def __init__(self, paths: list[str], stamps: NDArray[Any]) -> None:
        self.rows = dict(zip(paths, range(len(paths)), strict=True))
        self.stamps = stamps
        self._paths = paths

    def name(self, row: int) -> str:
        """The file in a row."""
        return self._paths[row]


def load(store: Store, root: Root) -> Known | None:
    """Fill an empty store with what is kept of its only project; None if nothing is.

    The arrays stay where they are: in a file that is mapped into memory.
    """
    place = place_of(root)
    try:
        sections = _sections(place)
        return _fill(store, sections)
    except FileNotFoundError:
        return None
    except (OSError, ValueError, KeyError, IndexError, TypeError, pa.ArrowException) as error:
        logger.info("the cache %s is of no use: %s", place, error)
        raise UnusableError from error


class UnusableError(Exception):
    """The cache is damaged; a store that was being filled from it is to be thrown away."""


def _sections(place: Path) -> dict[str, pa.Table]:
    with pa.memory_map(str(place)) as source:
        size = source.size()
        if size < 2 * len(_MAGIC) + 8:
            raise ValueError("it is too short")
        data = source.read_buffer(size)
    view = memoryview(data)
    if bytes(view[:8]) != _MAGIC or bytes(view[-8:]) != _MAGIC:
        raise ValueError("it is not whole")
    length = int.from_bytes(view[-16:-8], "little")
    index = json.loads(bytes(view[-16 - length : -16]))
    return {name: pa.ipc.open_file(data.slice(at, count)).read_all() for name, at, count in index}


def _fill(store: Store, sections: dict[str, pa.Table]) -> Known:
    table = sections["files"]
    rows = table.num_rows
    columns = {name: _column(table, name, kind) for name, kind in store.files.kinds.items() if name in _FILES}
    columns["root"] = Column("count", np.zeros(rows, dtype=np.int32))
    columns["version"] = Column("count", np.ones(rows, dtype=np.int32))
    store.files.load(columns)
    store.lists = [tuple(one) for one in sections["lists"].column("texts").to_pylist()]
    store.forget_lists()
    warned = sections["warnings"].to_pydict()
    store.warnings = [
        (0, path, code, message)
        for path, code, message in zip(warned["path"], warned["code"], warned["message"], strict=True)
    ]
    for kind, items in store.items.items():
        if kind not in _KINDS:
            items.counts = array("i", bytes(4 * rows))
            continue
        pool = sections[kind]
        items.pool.load({name: _column(pool, name, of) for name, of in items.pool.kinds.items()})
        items.edge = [0] * pool.num_rows
        items.latest = [NONE] * pool.num_rows
        items.known.count = pool.num_rows
        codes = _column(sections[f"{kind} codes"], "code", "count").data
        counts = _column(sections[f"{kind} counts"], "count", "count").data
        if len(counts) != rows or int(counts.sum()) != len(codes) or (len(codes) and codes.max() >= pool.num_rows):
            raise ValueError("its parts do not go together")
        items.codes, items.counts = array("i"), array("i")
        items.codes.frombytes(codes.tobytes())
        items.counts.frombytes(counts.tobytes())
    store.derived(rows)
    paths = columns["file_path"]
    texts = paths.texts or []
    ordered = [texts[place] for place in paths.data.tolist()]
    stamps = np.stack([columns[name].data for name in Stamp.__struct_fields__], axis=1)
    return Known(ordered, stamps)


def _column(table: pa.Table, name: str, kind: str) -> Column:
    chunks = table.column(name)
    data: Any = chunks.chunk(0) if chunks.num_chunks else chunks.combine_chunks()
    if not isinstance(data, pa.DictionaryArray):
        return Column(kind, data.to_numpy(zero_copy_only=False))
    indices: Any = data.indices
    places = indices.fill_null(-1) if indices.null_count else indices
    return Column(kind, places.to_numpy(zero_copy_only=False), data.dictionary.to_pylist())

"""The original system's functions for reading one checkpoint file, with their documented names and fields.

They take a ``str`` or a ``Path`` and read every shape of file. Everything they return is plain JSON: dicts, lists,
texts, numbers, True, False and None; a time is RFC 3339 text in UTC.
"""

from __future__ import annotations

import contextlib
import inspect
import logging
import os
from collections.abc import Callable, Generator
from functools import partial
from pathlib import Path
from typing import Any, Final

import msgspec

from .errors import CheckpointError
from .progress import calculate_completion_percentage, item_stats
from .reading.decode import decode_object
from .reading.files import read_settled
from .reading.values import Reader, utc_of
from .systems import TEXTS, Record, parse, plan_items, read, shape_of
from .watcher import FileWatcher

__all__ = [
    "CheckpointError",
    "calculate_completion_percentage",
    "create_file_watcher_with_websocket",
    "extract_component_updates",
    "extract_feature_updates",
    "get_checkpoint_summary",
    "parse_checkpoint",
]

logger = logging.getLogger("buildwidget.compat")

_ROOT: Final = ".buildrunner"
_PATIENCE: Final = 0.1  # seconds that a reading call, which blocks its caller, waits for a writer


def parse_checkpoint(path: str | os.PathLike[str]) -> dict[str, Any]:
    """Parse a checkpoint file, and compute the progress of the build from it.

    Parameters
    ----------
    path
        A file of any kind that a build writes: JSON, a plan (``builds/BUILD_*.md``), a heartbeat, the journal.

    Returns
    -------
    dict
        The file's own fields, and

        - ``id``, ``timestamp`` and ``phase``, if the file or its name states them;
        - ``components``, ``features``: lists of dicts as `extract_component_updates` and `extract_feature_updates`
          return them;
        - ``component_stats``, ``feature_stats``: ``total, completed, in_progress, pending, failed, blocked, skipped,
          cancelled, paused, unknown, completion_percentage``;
        - ``overall_progress``: ``tasks_completed, files_created, completion_percentage, status, status_source``;
        - ``completion_percentage``: from 0 to 100, or None if unknown.

    Raises
    ------
    CheckpointError
        If the file cannot be read or is no such file. It names the file, the reason and the place.
    """
    data, record = _load(path)
    result: dict[str, Any] = Reader(record.path, record.time).clean(data)
    checkpoint = record.checkpoint
    if checkpoint is not None:
        result["id"] = checkpoint.checkpoint_id
        result["tasks_completed"] = checkpoint.tasks_completed
        result["files_created"] = checkpoint.files_created
    result.setdefault("timestamp", _plain(record.time))
    result.setdefault("phase", record.phase)
    result["components"] = _components(record)
    result["features"] = _features(record)
    result["component_stats"] = item_stats(record.components)
    result["feature_stats"] = item_stats(record.features)
    result["overall_progress"] = {
        "tasks_completed": _tasks_completed(record),
        "files_created": 0 if checkpoint is None else len(set(checkpoint.files_created)),
        "completion_percentage": record.percent,
        "status": record.status.value,
        "status_source": record.status_source,
    }
    result["completion_percentage"] = record.percent
    return result


def is_build_file(path: str | os.PathLike[str]) -> bool:
    """Whether `parse_checkpoint` reads a file of this name, whatever is in it, as a text that a build is judged by."""
    return shape_of(_in_project(path)) in TEXTS


def extract_component_updates(path: str | os.PathLike[str]) -> list[dict[str, Any]]:
    """The components in a checkpoint file: the fields of a ``component_update`` message, and ``id`` and ``type``.

    Raises
    ------
    CheckpointError
        If the file cannot be read or is no such file.
    """
    return _components(_load(path)[1])


def extract_feature_updates(path: str | os.PathLike[str]) -> list[dict[str, Any]]:
    """The features in a checkpoint file: the fields of a ``feature_update`` message, and ``id`` and ``component``.

    Raises
    ------
    CheckpointError
        If the file cannot be read or is no such file.
    """
    return _features(_load(path)[1])


def get_checkpoint_summary(path: str | os.PathLike[str]) -> dict[str, Any]:
    """Summarise a checkpoint file.

    Returns
    -------
    dict
        ``id, timestamp, timestamp_source, shape, phase, status`` (of the build: pending, in_progress, completed, failed
        or unknown), ``status_source, checkpoint_status`` (the word in the file), ``completion_percentage,
        tasks_completed, files_created, total_components, completed_components, total_features, completed_features,
        current_component, current_feature`` and ``warnings``, a list of texts.

    Raises
    ------
    CheckpointError
        If the file cannot be read or is no such file.
    """
    data, record = _load(path)
    checkpoint = record.checkpoint
    components, features = item_stats(record.components), item_stats(record.features)
    ids = (data.get(key) for key in ("id", "workflow_id", "pool_id"))
    id_ = next((value for value in ids if isinstance(value, str | int)), None)
    return {
        "id": checkpoint.checkpoint_id if checkpoint is not None else str(id_) if id_ is not None else None,
        "timestamp": _plain(record.time),
        "timestamp_source": record.ts_source.value,
        "shape": record.shape.value,
        "phase": record.phase,
        "status": record.status.value,
        "status_source": record.status_source,
        "checkpoint_status": None if checkpoint is None else checkpoint.status,
        "completion_percentage": record.percent,
        "tasks_completed": _tasks_completed(record),
        "files_created": 0 if checkpoint is None else len(set(checkpoint.files_created)),
        "total_components": components["total"],
        "completed_components": components["completed"],
        "total_features": features["total"],
        "completed_features": features["completed"],
        "current_component": record.current_component,
        "current_feature": record.current_feature,
        "warnings": [warning.message for warning in record.warnings],
    }


async def create_file_watcher_with_websocket(
    project_root: str | os.PathLike[str], session_id: str, websocket_broadcaster: Any
) -> FileWatcher:
    """Start to watch a project, and broadcast every change of a file.

    Parameters
    ----------
    project_root
        The folder that holds, or will hold, ``.buildrunner``.
    session_id
        The session to broadcast into.
    websocket_broadcaster
        A function as ``buildwidget.server.broadcast_file_change``: it is called with the session's id, the path
        (relative to the project), the kind of change and the text of context markdown, if it is that. Or something
        that has functions of the original's names, such as the module ``buildwidget.server``: then components,
        features and checkpoints in the file are broadcast too.

    Returns
    -------
    FileWatcher
        Started; end it with ``await watcher.stop()``.
    """
    root = Path(project_root)

    async def tell(path: Path, change_type: str) -> None:
        try:
            for call in _broadcasts(websocket_broadcaster, session_id, root, path, change_type):
                result = call()
                if inspect.isawaitable(result):
                    await result
        except Exception:
            logger.exception("%s could not be broadcast", path)

    watcher = FileWatcher(root, tell)
    await watcher.start()
    return watcher


def _broadcasts(
    broadcaster: Any, session_id: str, root: Path, path: Path, change_type: str
) -> Generator[Callable[[], Any]]:
    """Yield the broadcast calls for one change."""
    relative = Path(os.path.relpath(path, root)).as_posix()
    content = None
    if path.suffix == ".md" and change_type != "deleted":
        with contextlib.suppress(OSError):
            content = FileWatcher(root).read_context(path)
    file_change = getattr(broadcaster, "broadcast_file_change", broadcaster)
    yield partial(file_change, session_id, relative, change_type, content)
    if not hasattr(broadcaster, "broadcast_component_update") or path.suffix != ".json" or change_type == "deleted":
        return
    try:
        data, record = _load(path)
    except CheckpointError as error:
        yield partial(broadcaster.broadcast_error, session_id, str(error), "CheckpointError")
        return
    del data
    for item in record.components:
        status = item.status_raw or item.status.value
        yield partial(
            broadcaster.broadcast_component_update, session_id, item.component_id, status, item.progress, item.metadata
        )
    for item in record.features:
        status = item.status_raw or item.status.value
        yield partial(
            broadcaster.broadcast_feature_update, session_id, item.feature_id, status, item.progress, item.metadata
        )
    if record.checkpoint is not None:
        at = record.checkpoint
        yield partial(
            broadcaster.broadcast_checkpoint_update,
            session_id,
            at.checkpoint_id,
            at.phase or "",
            at.tasks_completed,
            at.files_created,
            at.metadata,
        )


def _load(path: str | os.PathLike[str]) -> tuple[dict[str, Any], Record]:
    """The file's JSON object and its record. A file that is being written is waited for, for at most 0.1 s."""
    name: str = os.path.expanduser(os.fspath(path))

    def load(raw: bytes, about: os.stat_result) -> tuple[dict[str, Any], Record]:
        place = _in_project(path)
        if shape_of(place) in TEXTS:
            record = parse(place, raw, utc_of(about.st_mtime))
            _put_items(record)
            return msgspec.to_builtins(record.detail), record
        data = decode_object(name, raw)
        return data, read(place, data, utc_of(about.st_mtime))

    try:
        return read_settled(None, name, load, patience=_PATIENCE)
    except FileNotFoundError:
        raise CheckpointError(name, "there is no such file", code="unreadable") from None
    except OSError as error:
        reason = (error.strerror or str(error)).lower()
        raise CheckpointError(name, f"it cannot be read: {reason}", code="unreadable") from None
    except CheckpointError as error:  # with the path that the caller gave
        raise CheckpointError(name, error.reason, error.place, error.code) from None


def _put_items(record: Record) -> None:
    found = plan_items(record)
    if found is not None:
        record.components, record.features = [found[0]], found[1]


def _in_project(path: str | os.PathLike[str]) -> str:
    """Return the path from ``.buildrunner`` on; for a file elsewhere its name, so that the keys decide the shape."""
    parts = (Path.cwd() / path).parts
    if _ROOT in parts[:-1]:
        # The outermost: an orchestration state may lie in a .buildrunner inside another one.
        return "/".join(parts[parts.index(_ROOT) :])
    return parts[-1]


def _components(record: Record) -> list[dict[str, Any]]:
    return [{"id": item.component_id, "type": item.component_type, **_plain(item)} for item in record.components]


def _features(record: Record) -> list[dict[str, Any]]:
    return [{"id": item.feature_id, "component": item.component_id, **_plain(item)} for item in record.features]


def _tasks_completed(record: Record) -> int:
    return (record.tally.completed or 0) if record.tally is not None else 0


def _plain(value: object) -> Any:
    return msgspec.to_builtins(value)

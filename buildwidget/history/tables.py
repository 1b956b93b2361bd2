"""The tables of a history, and the kinds of their columns (see `_columns.Column`)."""

from __future__ import annotations

from typing import Final

__all__ = ["COMPONENT", "FEATURE", "FILE", "OF_KIND", "PHASE", "TABLES", "TASK"]

# Columns that say which checkpoint a row is of.
_OF: Final = {"session_id": "text", "checkpoint_id": "text", "version": "count", "ts": "time"}

FILE: Final[dict[str, str]] = {
    "checkpoint_id": "words",
    "ts": "time",
    "ts_source": "text",
    "shape": "text",
    "phase": "text",
    "status": "text",
    "build_status": "build_status",
    "status_source": "text",
    "percent": "float",
    "started_at": "time",
    "ended_at": "time",
    "file_path": "words",
    "size": "int",
    "modified": "time",
}
"""One version of one file."""

COMPONENT: Final[dict[str, str]] = {
    "component_id": "text",
    "name": "text",
    "component_type": "text",
    "status": "status",
    "status_raw": "text",
    "progress": "float",
    "tests_pass": "bool",
    "started_at": "time",
    "ended_at": "time",
    "error": "text",
}
FEATURE: Final[dict[str, str]] = {
    "feature_id": "text",
    "name": "text",
    "description": "text",
    "component_id": "text",
    "status": "status",
    "status_raw": "text",
    "progress": "float",
    "priority": "text",
    "n_tasks": "count",
    "n_tasks_completed": "count",
    "estimated": "duration",
    "actual": "duration",
    "error": "text",
}
TASK: Final[dict[str, str]] = {
    "task_id": "text",
    "name": "text",
    "task_kind": "text",
    "parent_id": "text",
    "status": "status",
    "status_raw": "text",
    "progress": "float",
    "estimated": "duration",
    "started_at": "time",
    "ended_at": "time",
    "duration": "duration",
    "retry_count": "int",
    "error": "text",
}
PHASE: Final[dict[str, str]] = {
    "phase_id": "text",
    "name": "text",
    "step": "float",
    "step_label": "text",
    "status": "status",
    "status_raw": "text",
    "tasks_total": "int",
    "tasks_done": "int",
    "current_task": "text",
    "started_at": "time",
    "updated_at": "time",
}
OF_KIND: Final = {"component": COMPONENT, "feature": FEATURE, "task": TASK, "phase": PHASE}

TABLES: Final[dict[str, dict[str, str]]] = {
    "sessions": {
        "session_id": "text",
        "project": "text",
        "path": "text",
        "status": "build_status",
        "status_source": "text",
        "percent": "float",
        "phase": "text",
        "started_at": "time",
        "ended_at": "time",
        "first_ts": "time",
        "last_ts": "time",
        "n_checkpoints": "count",
        "n_components": "count",
        "n_features": "count",
        "n_tasks": "count",
        "n_failures": "count",
        "n_warnings": "count",
    },
    "checkpoints": {
        "session_id": "text",
        "checkpoint_id": "words",
        "version": "count",
        **{name: kind for name, kind in FILE.items() if name != "checkpoint_id"},
        "n_components": "count",
        "n_features": "count",
        "n_tasks": "count",
        "n_tasks_completed": "count",
        "n_files_created": "count",
    },
    "checkpoint_tasks": {**_OF, "position": "count", "task": "text"},
    "checkpoint_files": {**_OF, "position": "count", "file_path": "text"},
    "components": {**_OF, **COMPONENT},
    "features": {**_OF, **FEATURE},
    "tasks": {**_OF, **TASK},
    "phases": {**_OF, **PHASE},
    "items": {
        "session_id": "text",
        "kind": "text",
        "item_id": "text",
        "name": "text",
        "parent_id": "text",
        "status": "status",
        "status_raw": "text",
        "progress": "float",
        "started_at": "time",
        "ended_at": "time",
        "first_seen": "time",
        "last_changed": "time",
        "estimated": "duration",
        "actual": "duration",
        "error": "text",
    },
    "transitions": {
        "seq": "int",
        "session_id": "text",
        "ts": "time",
        "kind": "text",
        "item_id": "text",
        "from_status": "status",
        "to_status": "status",
        "progress": "float",
        "checkpoint_id": "text",
        "source": "text",
    },
    "dependencies": {"session_id": "text", "kind": "text", "item_id": "text", "depends_on": "text", "known": "bool"},
    "terminal": {"session_id": "text", "line": "count", "text": "words", "output_type": "text", "source": "text"},
    "warnings": {"session_id": "text", "file_path": "words", "code": "text", "message": "words"},
}

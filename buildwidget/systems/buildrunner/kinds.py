"""Which shape a file has: by its path, then by its keys."""

from __future__ import annotations

from typing import Any, Final

from ..record import Shape
from .runtime import SCHEMA

__all__ = ["LEFT_OUT", "shape_of", "shape_of_keys"]

#: Folders that are never entered, and why.
LEFT_OUT: Final = {
    "adversarial-reviews": "reviews of drafts of plans, by the hundred: blocked there says nothing of a phase",
    "cluster-reviews": "reviews of drafts and of tests",
    "build-reports": "results of a commit hook",
    "research-runs": "runs of another program",
    "research-budgets": "the budgets of another program",
}

_ROOT: Final = ".buildrunner"
_PROJECT: Final = {
    "features.json": Shape.FEATURES,
    "orchestration.json": Shape.BATCHES,
    "current-phase.json": Shape.CURRENT_PHASE,
    "autopilot-resume.json": Shape.SAVED,
}
_LOCK: Final = {
    "claim.json": Shape.CLAIM,
    "heartbeat": Shape.HEARTBEAT,
    "exit-status.json": Shape.EXIT,
    "sidecar.json": Shape.SIDECAR,
}


def shape_of(path: str) -> Shape | None:
    """The shape that a path (relative to the project, with ``/``) implies; None if the file is not read."""
    parts = path.split("/")
    if _ROOT not in parts[:-1] or parts[-1].startswith("."):
        return None
    below, name = parts[parts.index(_ROOT) + 1 :], parts[-1]
    folder = below[-2] if len(below) > 1 else ""
    if below[0] == "locks" and len(below) == 3 and name in _LOCK:
        return _LOCK[name]
    if not name.endswith(".json"):
        if below[0] == "builds" and len(below) == 2 and name.startswith("BUILD_") and name.endswith(".md"):
            return Shape.PLAN
        return Shape.JOURNAL if below == ["decisions.log"] else None
    if name == "orchestration_state.json":  # found at any depth
        return Shape.ORCHESTRATION
    if not folder:
        return _PROJECT.get(name)
    if below[0] == "locks":
        return Shape.LOCK if len(below) > 2 and name == "progress.json" else None
    if folder == "workflows":
        if name.startswith("pool_"):
            return Shape.POOL
        return Shape.WORKFLOW if name.startswith("workflow_") else None
    return Shape.CHECKPOINT if folder == "checkpoints" else None


def shape_of_keys(data: dict[str, Any], by_path: Shape | None = None) -> Shape | None:
    """The shape that the keys imply, where the path implies none or only some checkpoint; None if unknown."""
    schema = data.get("schema_version")
    if by_path is not None and by_path not in (Shape.CHECKPOINT, Shape.WORKFLOW, Shape.POOL):
        return by_path
    if type(schema) is str and schema.startswith(SCHEMA):
        return Shape.RUNTIME
    if "pool_id" in data or "poolId" in data or ("results" in data and "stats" in data):
        return Shape.POOL
    if "workflow_id" in data or "workflowId" in data or "state_data" in data:
        return Shape.WORKFLOW
    return by_path or _by_keys(data)


def _by_keys(data: dict[str, Any]) -> Shape | None:
    keys = data.keys()
    if "tasks_total" in keys or "tasks_done" in keys or "step_name" in keys:
        return Shape.LOCK
    if keys & {"total_phases", "completed_phases"}:
        return Shape.BATCHES
    if type(data.get("tasks")) is dict or keys & {"execution_order", "total_tasks", "current_build"}:
        return Shape.ORCHESTRATION
    if keys & {"timestamp", "tasks_completed", "files_created", "tasksCompleted", "filesCreated", "components"}:
        return Shape.CHECKPOINT
    if "features" in keys:
        return Shape.FEATURES if keys & {"metrics", "last_updated", "project", "version"} else Shape.CHECKPOINT
    if "phase" in keys:
        return Shape.CURRENT_PHASE if keys & {"started", "started_at", "name"} else Shape.CHECKPOINT
    return Shape.CHECKPOINT if keys & {"id", "checkpoint_id", "checkpointId"} else None

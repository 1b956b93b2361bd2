"""A project on disk that tests write to, the way BuildRunner does."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any


class Project:
    """A folder with ``.buildrunner`` in it."""

    def __init__(self, root: Path, *, make: bool = True) -> None:
        self.root = root
        self.dir = root / ".buildrunner"
        root.mkdir(parents=True, exist_ok=True)
        if make:
            (self.dir / "checkpoints").mkdir(parents=True)

    def checkpoint(
        self,
        name: str = "checkpoint_20260301_090000_000001",
        components: list[dict[str, Any]] | None = None,
        features: list[dict[str, Any]] | None = None,
        **fields: Any,
    ) -> Path:
        """Write a checkpoint in place, with components and features in its metadata."""
        body = {
            "id": name,
            "timestamp": "2026-03-01T09:00:00.000005",
            "phase": "build_1_start",
            "tasks_completed": [],
            "files_created": [],
            "status": "created",
            "metadata": {"components": components or [], "features": features or []},
            **fields,
        }
        path = self.dir / "checkpoints" / f"{name}.json"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps(body), "utf-8")
        return path

    def replace(self, path: Path, body: Any) -> None:
        """Write a file by rename."""
        temporary = path.with_name(path.name + ".tmp")
        temporary.write_text(body if isinstance(body, str) else json.dumps(body), "utf-8")
        os.replace(temporary, path)

    def write(self, relative: str, body: Any) -> Path:
        """Write any file below ``.buildrunner``; text as it is, the rest as JSON."""
        path = self.dir / relative
        path.parent.mkdir(parents=True, exist_ok=True)
        if isinstance(body, bytes):
            path.write_bytes(body)
        else:
            path.write_text(body if isinstance(body, str) else json.dumps(body), "utf-8")
        return path


def component(name: str, progress: float = 50, status: str = "in_progress", **fields: Any) -> dict[str, Any]:
    """A component as a file holds it."""
    return {"id": name, "name": name.title(), "type": "service", "status": status, "progress": progress, **fields}


def until(condition: Callable[[], Any], seconds: float = 10.0, what: str = "") -> Any:
    """Wait for a condition; fail after a deadline."""
    end = time.monotonic() + seconds
    while not (found := condition()):
        if time.monotonic() > end:
            raise AssertionError(f"not within {seconds} s: {what or condition}")
        time.sleep(0.002)
    return found

"""Build projects on disk, written the ways that real builds write them."""

from __future__ import annotations

import json
import os
from collections.abc import Iterable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

__all__ = ["Project", "component", "feature"]

START = datetime(2026, 3, 2, 9, 0, tzinfo=UTC)


def component(key: str, **fields: Any) -> dict[str, Any]:
    """A component as a checkpoint holds it."""
    return {"id": key, "name": key.capitalize(), "type": "service", "status": "in_progress", "progress": 50, **fields}


def feature(key: str, owner: str = "api", **fields: Any) -> dict[str, Any]:
    """A feature as a checkpoint holds it."""
    tasks = [{"id": f"{key}.{n}", "name": f"Step {n} of {key}", "completed": n == 1} for n in (1, 2)]
    base = {"id": key, "name": key.capitalize(), "component": owner, "status": "in_progress", "priority": "high"}
    return {**base, "tasks": tasks, **fields}


class Project:
    """One project folder with its ``.buildrunner``."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.folder = root / ".buildrunner" / "checkpoints"
        self.folder.mkdir(parents=True, exist_ok=True)

    def path(self, number: int = 1) -> Path:
        """The file of a checkpoint."""
        return self.folder / f"checkpoint_20260302_09{number // 60 % 60:02d}{number % 60:02d}_{number:06d}.json"

    def content(
        self, components: Iterable[Any] = (), features: Iterable[Any] = (), *, number: int = 1, **more: Any
    ) -> bytes:
        """What a checkpoint file holds."""
        body = {
            "id": self.path(number).stem,
            "timestamp": (START + timedelta(seconds=number)).isoformat(),
            "phase": "building",
            "tasks_completed": [],
            "files_created": [],
            "status": "created",
            "metadata": {"components": list(components), "features": list(features)},
            **more,
        }
        return json.dumps(body).encode()

    def replace(self, data: bytes, number: int = 1) -> Path:
        """Put a file in its place by rename, as careful writers do."""
        path = self.path(number)
        temporary = self.root / f".{path.name}.tmp"
        temporary.write_bytes(data)
        os.replace(temporary, path)
        return path

    def rewrite(self, data: bytes, number: int = 1, chunk: int = 200) -> Path:
        """Write a file in place, piece by piece, as most writers do."""
        path = self.path(number)
        with path.open("wb", buffering=0) as file:
            for at in range(0, len(data), chunk):
                file.write(data[at : at + chunk])
        return path

    def put(
        self, components: Iterable[Any] = (), features: Iterable[Any] = (), *, number: int = 1, **more: Any
    ) -> Path:
        """Write a checkpoint with these items, by rename."""
        return self.replace(self.content(components, features, number=number, **more), number)

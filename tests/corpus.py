"""The real files in `tests/fixtures/corpus`, with the paths they had."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, NamedTuple

from buildwidget.formats import Record, parse

FOLDER = Path(__file__).resolve().parent / "fixtures" / "corpus"
MTIME = datetime(2026, 5, 1, 12, 0, tzinfo=UTC)

CHECKPOINT = ".buildrunner/checkpoints/checkpoint_20260301_090000_000001.json"
ORCHESTRATION = ".buildrunner/state/orchestration_state.json"
WORKFLOW = ".buildrunner/workflows/workflow_0475d097_checkpoint.json"
POOL = ".buildrunner/workflows/pool_29e647c6_checkpoint.json"
LOCK = ".buildrunner/locks/phase-5/progress.json"
FEATURES = ".buildrunner/features.json"
PLAN = ".buildrunner/orchestration.json"
CURRENT = ".buildrunner/current-phase.json"


class Real(NamedTuple):
    """One real file: its folder in the corpus, the path it had in its project, and where it lies now."""

    kind: str
    path: str
    file: Path

    @property
    def data(self) -> dict[str, Any]:
        return json.loads(self.file.read_bytes())

    def parse(self) -> Record:
        return parse(self.path, self.file.read_bytes(), MTIME)


def real_files(kind: str = "*") -> list[Real]:
    """The real JSON files of one kind, or all of them."""
    files = sorted(FOLDER.glob(f"{kind}/*.json"))
    return [Real(file.parent.name, _path(file.name.split("@")[0]), file) for file in files]


def _path(name: str) -> str:
    path = name.replace("__", "/")
    return "." + path if path.startswith("buildrunner/") else path


def record(path: str, data: object) -> Record:
    """What a made-up file says."""
    return parse(path, json.dumps(data).encode(), MTIME)

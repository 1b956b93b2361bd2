"""Every frame can be saved: Parquet, Feather, an Arrow table."""

from __future__ import annotations

import json
from pathlib import Path

import pandas as pd
import pyarrow as pa
import pytest

from buildwidget import frames, read_history
from buildwidget.history.tables import TABLES
from buildwidget.merge import Merge
from buildwidget.model import State
from buildwidget.state import BuildState
from buildwidget.systems import parse

from .projects import Project

NOW = pd.Timestamp("2026-03-02T09:00Z").to_pydatetime()
ODD = {
    "components": [
        {"id": "a", "x": 1, "files": ["a.py"]},
        {"id": "b", "x": "one", "y": {}},
        {"id": "c\ud800", "z": 2**70},
    ],
    "features": [
        {"id": "f", "tasks": [{"id": "t", "name": "n\udfff", "completed": True, "timestamp": "2026-03-02T08:00:00Z"}]},
        {"id": "g", "metadata": {"deep": [{"a": None}]}},
    ],
}


@pytest.fixture
def project(tmp_path: Path) -> Project:
    project = Project(tmp_path / "shop")
    project.write("checkpoints/checkpoint_20260302_090000.json", {"id": "c", **ODD})
    step = {"step": 1, "name": "setup", "at": "2026-03-02T08:00:00Z"}
    project.write("locks/phase-1/progress.json", {"phase": 1, "status": "active", "history": [step], "errors": ["no"]})
    project.write("state/orchestration_state.json", {"tasks": {"t": {"id": "t", "status": "ready", "tags": []}}})
    return project


def state_of(project: Project) -> State:
    merge, state = Merge("shop"), BuildState()
    files = sorted(path for path in project.dir.rglob("*.json"))
    records = [
        (str(p.relative_to(project.root)), parse(str(p.relative_to(project.root)), p.read_bytes(), NOW)) for p in files
    ]
    for change in state.diff(merge.update(records), session_id="s", now=NOW):
        state.apply(*change)
    return state.snapshot()


def save(frame: pd.DataFrame, folder: Path) -> None:
    frame.to_parquet(folder / "x.parquet")
    frame.to_feather(folder / "x.feather")
    assert pa.Table.from_pandas(frame).num_rows == len(frame) == len(pd.read_parquet(folder / "x.parquet"))


def test_frames_of_now(project, tmp_path) -> None:
    state = state_of(project)
    for name in frames.TABLES:
        save(frames.table(state, name, epoch="e", seq=3), tmp_path)
        save(frames.table(State(), name), tmp_path)
    save(frames.checklist(state), tmp_path)
    features = frames.table(state, "features")
    assert features.tasks[0][0]["completed"] is True
    assert json.loads(features.metadata[1]) == {"deep": [{"a": None}]}
    assert json.loads(frames.table(state, "components").metadata[2]) == {"z": str(2**70)}


@pytest.mark.parametrize("backend", ["numpy_nullable", "pyarrow"])
def test_frames_of_the_history(project, tmp_path, backend) -> None:
    history = read_history(project.root, cache=False, dtype_backend=backend)
    for name in TABLES:
        save(history.frame(name), tmp_path)

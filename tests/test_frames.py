"""Every frame can be saved: Parquet, Feather, an Arrow table."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow as pa
import pytest

from buildwidget import frames, read_history
from buildwidget.history.tables import TABLES
from buildwidget.merge import Merge
from buildwidget.model import State
from buildwidget.session import BuildSession
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


PLAN: list[dict[str, Any]] = [
    {
        "type": "feature_update",
        "feature_id": "shop/2",
        "component_id": "shop",
        "feature_type": "phase",
        "status": "running",
        "owner": "host-a",
        "claimed_at": "2026-03-02T08:00:00Z",
        "heartbeat_at": "2026-03-02T08:59:00Z",
        "status_source": "claim: claim.json",
        "conflict": "the plan lags",
        "files": [{"path": "src/cart.py", "action": "new"}, {"path": "n\udfff.md"}],
        "tasks": [{"id": "1", "status": "done"}, {"id": "2"}],
    },
    {"type": "feature_update", "feature_id": "login"},
    {"type": "component_update", "component_id": "shop", "created_at": "2026-03-01T00:00:00Z", "conflict": "no"},
    {"type": "phase_update", "phase_id": "2", "feature_id": "shop/2", "mode": "auto", "exit_code": 1},
    {"type": "activity", "kind": "claimed", "item": "shop/2", "text": "n\udfff", "time": "2026-03-02T08:00:00Z"},
    {"type": "activity", "kind": "a new kind"},
]


def test_frames_tell_who_works_on_what_and_what_a_status_rests_on(tmp_path) -> None:
    session = BuildSession(None)
    session.publish(PLAN)
    state = session.snapshot()
    for name in frames.TABLES:
        save(frames.table(state, name), tmp_path)
    save(frames.checklist(state), tmp_path)
    features = frames.table(state, "features").set_index("feature_id")
    claimed = features.loc["shop/2"]
    assert claimed[["owner", "status_source", "conflict", "feature_type"]].tolist() == [
        *("host-a", "claim: claim.json", "the plan lags", "phase")
    ]
    assert claimed.heartbeat_at == pd.Timestamp("2026-03-02T08:59:00Z")
    assert claimed.files == [{"path": "src/cart.py", "action": "new"}, {"path": "n\ufffd.md", "action": None}]
    nothing = features.loc["login"]
    assert nothing[["owner", "claimed_at", "heartbeat_at", "conflict"]].isna().all()
    assert nothing.files == []
    assert frames.table(state, "phases")[["exit_code", "mode"]].to_numpy().tolist() == [[1, "auto"]]
    boxes = frames.checklist(state).status
    assert (boxes[0], boxes.isna().tolist()) == ("completed", [False, True])
    activity = frames.table(state, "activity")
    assert list(activity.columns) == ["kind", "text", "time", "item", "source"]
    assert activity.kind.tolist() == ["claimed", "a new kind"]
    # The same columns, and the same types, where nothing is known.
    for name in frames.TABLES:
        assert frames.table(State(), name).dtypes.equals(frames.table(state, name).dtypes)


@pytest.mark.parametrize("backend", ["numpy_nullable", "pyarrow"])
def test_frames_of_the_history(project, tmp_path, backend) -> None:
    history = read_history(project.root, cache=False, dtype_backend=backend)
    for name in TABLES:
        save(history.frame(name), tmp_path)

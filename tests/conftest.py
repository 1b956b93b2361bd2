"""What every test may ask for."""

from __future__ import annotations

from pathlib import Path

import pytest


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """An empty BuildRunner project: a folder named ``shop`` with ``.buildrunner/checkpoints``."""
    path = tmp_path / "shop"
    (path / ".buildrunner" / "checkpoints").mkdir(parents=True)
    return path

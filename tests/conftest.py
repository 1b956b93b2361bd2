"""What every test may ask for."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import pytest
from hypothesis import settings

# A test says what is true, not how fast it was on a busy machine.
settings.register_profile("buildwidget", deadline=None)
settings.load_profile("buildwidget")

LAB = Path(__file__).resolve().parent / "lab"

if node := shutil.which("node"):
    # Playwright brings a Node.js of its own, which needs a library that a bare Debian does not have.
    os.environ.setdefault("PLAYWRIGHT_NODEJS_PATH", node)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Everything in tests/lab drives a real JupyterLab: ``-m 'not lab'`` leaves it out."""
    for item in items:
        if LAB in item.path.parents:
            item.add_marker(pytest.mark.lab)


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """An empty BuildRunner project: a folder named ``shop`` with ``.buildrunner/checkpoints``."""
    path = tmp_path / "shop"
    (path / ".buildrunner" / "checkpoints").mkdir(parents=True)
    return path

"""What every test may ask for."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent


@pytest.fixture(scope="session")
def root() -> Path:
    """The root of the repository."""
    return ROOT


@pytest.fixture(scope="session")
def chromium() -> str:
    """The path of the browser, as `scripts/chromium.sh` finds it."""
    names = [os.environ.get("CHROMIUM"), "chromium", "chromium-browser", "google-chrome", "google-chrome-stable"]
    for name in names:
        found = shutil.which(name) if name else None
        if found:
            return found
    raise RuntimeError("No Chromium. Run `sh scripts/chromium.sh`, or say CHROMIUM=/path/to/it.")


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """An empty BuildRunner project: a folder named ``shop`` with ``.buildrunner/checkpoints``."""
    path = tmp_path / "shop"
    (path / ".buildrunner" / "checkpoints").mkdir(parents=True)
    return path

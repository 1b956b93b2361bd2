"""What every test may ask for."""

from __future__ import annotations

import os
import shutil
from pathlib import Path
from typing import Any

import pytest
from hypothesis import settings

# A test says what is true, not how fast it was on a busy machine.
settings.register_profile("buildwidget", deadline=None)
settings.load_profile("buildwidget")

LAB = Path(__file__).resolve().parent / "lab"
#: Folders and modules whose tests need the machine for themselves: a browser, limits of the user, memory, rates.
ALONE = {"lab", "page", "test_kernel", "test_server_pressure", "test_watcher_shared", "test_watcher_torture"}

if node := shutil.which("node"):
    # Playwright brings a Node.js of its own, which needs a library that a bare Debian does not have.
    os.environ.setdefault("PLAYWRIGHT_NODEJS_PATH", node)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Everything in tests/lab drives a real JupyterLab: ``-m 'not lab'`` leaves it out."""
    for item in items:
        if LAB in item.path.parents:
            item.add_marker(pytest.mark.lab)
        if item.path.parent.name in ALONE or item.path.stem in ALONE:
            item.add_marker(pytest.mark.alone)


@pytest.hookimpl(optionalhook=True)
def pytest_testnodedown(node: Any) -> None:
    """Take over what a worker of pytest-xdist has read."""
    from tests import corpus

    corpus.read_real_files.update(getattr(node, "workeroutput", {}).get("real_files", []))


def pytest_sessionfinish(session: pytest.Session) -> None:
    """In a worker of pytest-xdist: hand on what was read."""
    from tests import corpus

    if (output := getattr(session.config, "workeroutput", None)) is not None:
        output["real_files"] = sorted(corpus.read_real_files)


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Say how many real files were read; without them the tests have only invented ones."""
    from tests import corpus

    there = len(corpus.real_samples()) + len(corpus.real_project_files()) + len(corpus.moments())
    said = f"{len(corpus.read_real_files)} of {there}" if there else "none (../shared is not there)"
    terminalreporter.write_line(f"real files read: {said}")


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """An empty BuildRunner project: a folder named ``shop`` with ``.buildrunner/checkpoints``."""
    path = tmp_path / "shop"
    (path / ".buildrunner" / "checkpoints").mkdir(parents=True)
    return path

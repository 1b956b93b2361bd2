"""A simulated build that writes the files of a real one, for demonstrations and tests.

`ensure_demo` returns a project to watch. ``buildwidget demo`` on the command line plays a whole build.
"""

from __future__ import annotations

import atexit
import os
import shutil
import tempfile
from pathlib import Path

from ..errors import DemoError
from .model import Simulation
from .runner import DemoRunner, prepare, write_instant
from .world import DEFAULT, Scenario, Step, Write

__all__ = [
    "DemoError",
    "DemoRunner",
    "Scenario",
    "Simulation",
    "Step",
    "Write",
    "ensure_demo",
    "prepare",
    "write_instant",
]

_runners: list[DemoRunner] = []  # those of `ensure_demo(live=True)`, for the lifetime of the process


def ensure_demo(scenario: Scenario | str = DEFAULT, *, seed: int = 0, live: bool = False, speed: float = 1.0) -> Path:
    """Return a project with a build in it.

    This is the folder that the environment variable ``BUILDWIDGET_PROJECT`` names, if it is set (``buildwidget demo
    --lab`` sets it); otherwise a demo in a new temporary folder, which is deleted when the process ends.

    Parameters
    ----------
    scenario
        A name of `Scenario`: ``plan``, or for a build that is told by checkpoints, ``success``.
    seed
        The seed of the random numbers.
    live
        False: a build that has just ended. True: one that begins now and is written by a thread.
    speed
        The speed of a live build, see `DemoRunner`.

    Returns
    -------
    Path
        The project folder.
    """
    if given := os.environ.get("BUILDWIDGET_PROJECT"):
        return Path(given)
    temporary = tempfile.mkdtemp(prefix="buildwidget-")
    atexit.register(shutil.rmtree, temporary, ignore_errors=True)
    folder = prepare(Path(temporary) / "meadow-clinic")
    if live:
        runner = DemoRunner(folder, scenario, seed, speed=speed)
        runner.start()
        _runners.append(runner)
    else:
        write_instant(folder, scenario, seed)
    return folder

"""Writes a simulated build into a folder: step by step, at any speed, or all at once."""

from __future__ import annotations

import logging
import os
import random
import shutil
import threading
import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Final

from ..errors import DemoError
from .files import ROOT
from .model import Simulation
from .plan_model import PlanSimulation
from .world import DEFAULT, Scenario, Step, Write

__all__ = ["SECONDS_PER_MINUTE", "DemoRunner", "prepare", "write_instant"]

logger = logging.getLogger("buildwidget.demo")

SECONDS_PER_MINUTE: Final = 0.25  # real seconds per virtual minute at speed 1: a build takes one to four minutes
MARKER: Final = ".buildwidget-demo"  # marks a folder that the demo made and may empty
LATE: Final = 0.02  # seconds that a step may be late before the clock is delayed
PAUSE: Final = 0.004  # the longest pause between two chunks of one file, in seconds
ENDED_AGO: Final = timedelta(minutes=4)


def prepare(folder: Path) -> Path:
    """Make an empty demo project at ``folder``, and remove the build of an earlier demo.

    Raises
    ------
    DemoError
        If the folder holds anything that the demo did not make, or cannot be written.
    """
    build, marker = folder / ROOT, folder / MARKER
    try:
        if folder.exists() and not folder.is_dir():
            raise DemoError(f"{folder} is a file, not a folder. Choose another place with --out.")
        if folder.exists() and not marker.exists() and (held := sorted(folder.iterdir())):
            raise DemoError(
                f"{folder} already holds something that the demo did not make ({held[0].name}). "
                "It is left alone; choose a new or an empty folder with --out."
            )
        folder.mkdir(parents=True, exist_ok=True)
        marker.write_text("Made by 'buildwidget demo'. This folder is emptied when the demo runs again.\n")
        if build.exists():
            shutil.rmtree(build)
    except OSError as error:
        raise DemoError(
            f"cannot make the demo project {folder}: {error.strerror or error}. Choose another place with --out."
        ) from error
    return folder


class DemoRunner:
    """Writes a simulated build step by step.

    Parameters
    ----------
    folder
        The project; its ``.buildrunner`` is written.
    scenario, seed
        The build, see `Simulation`.
    speed
        1: one to four minutes, by scenario; 10: ten times as fast.
    duration
        The time of the whole build in seconds, in place of ``speed``.
    replace
        Replace files atomically by rename. By default they are written in place, in chunks, as BuildRunner does: a
        reader may see an empty or a cut file.
    on_step
        Called after each step, with the step.
    stop
        Set it to end the run before its next step; `stop` sets it too.
    """

    def __init__(
        self,
        folder: Path,
        scenario: Scenario | str = DEFAULT,
        seed: int = 0,
        *,
        speed: float = 1.0,
        duration: float | None = None,
        replace: bool = False,
        on_step: Callable[[Step], None] | None = None,
        stop: threading.Event | None = None,
    ) -> None:
        self.folder = folder
        self.scenario = Scenario(scenario)
        self.seed = seed
        self.replace = replace
        self.on_step = on_step
        self._stopped = stop or threading.Event()
        per_minute = SECONDS_PER_MINUTE / speed
        if duration is not None:
            per_minute = duration / length(self.scenario, seed)
        self.pace = per_minute / 60
        self._pauses = random.Random(seed)
        self._pause = min(PAUSE, PAUSE * per_minute / SECONDS_PER_MINUTE)

    def run(self) -> bool:
        """Write the build; True at its end, False if it was stopped."""
        began = time.monotonic()
        simulation = simulate(self.scenario, self.seed, start=datetime.now(UTC), pace=self.pace)
        for step in simulation.steps():
            wait = began + step.minute * 60 * self.pace - time.monotonic()
            if self._stopped.wait(max(0.0, wait)):
                return False
            if wait < -LATE:  # writing takes too long: delay the clock, so that times in files match those of the files
                simulation.clock.delay(-wait)
                began -= wait
            for write in step.writes:
                self._write(write)
            if self.on_step is not None:
                self.on_step(step)
        return True

    def start(self) -> threading.Thread:
        """Call `run` in a new thread."""
        thread = threading.Thread(target=self._guarded, name="buildwidget-demo", daemon=True)
        thread.start()
        return thread

    def stop(self) -> None:
        """Let `run` end before its next step."""
        self._stopped.set()

    def _guarded(self) -> None:
        try:
            self.run()
        except OSError:
            logger.exception("the demo cannot go on writing to %s", self.folder)

    def _write(self, write: Write) -> None:
        path = self.folder / write.path
        if write.remove:
            _remove(path)
            return
        path.parent.mkdir(parents=True, exist_ok=True)
        text = write.content
        if write.append:
            with path.open("a", encoding="utf-8", newline="") as file:
                file.write(text)
        elif self.replace or write.at is not None:
            # In the same folder, so that the rename is atomic, and with a name that readers ignore.
            beside = path.with_name(f".{path.name}.tmp")
            beside.write_text(text, encoding="utf-8", newline="")
            if write.at is not None:  # a file of an earlier time never looks new
                os.utime(beside, (write.at.timestamp(), write.at.timestamp()))
            beside.replace(path)
        else:
            with path.open("w", encoding="utf-8", newline="") as file:
                self._in_chunks(file.write, file.flush, text)

    def _in_chunks(self, write: Callable[[str], object], flush: Callable[[], None], text: str) -> None:
        """Write in one to four chunks, each flushed, with a short pause before each; one line in one chunk.

        Such a line, as ``date > heartbeat`` makes it, is found empty at worst: it is one write of the system.
        """
        count = self._pauses.randint(1, 4) if text.count("\n") > 1 else 1
        size = len(text) // count + 1
        for at in range(0, len(text), size):
            if self._pause > 0:
                time.sleep(self._pauses.uniform(0, self._pause))
            write(text[at : at + size])
            flush()


def _remove(path: Path) -> None:
    if path.is_dir():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)


def simulate(
    scenario: Scenario | str,
    seed: int = 0,
    *,
    start: datetime,
    pace: float = 1.0,
    dry: bool = False,
    only_checkpoints: bool = False,
) -> Simulation | PlanSimulation:
    """Return the simulation of a scenario, see `Simulation` for the parameters."""
    if not Scenario(scenario).is_plan:
        return Simulation(scenario, seed, start=start, pace=pace, dry=dry, only_checkpoints=only_checkpoints)
    return PlanSimulation(scenario, seed, start=start, pace=pace, dry=dry or only_checkpoints)


def length(scenario: Scenario | str, seed: int) -> float:
    """Return the length of a build in minutes of the virtual clock."""
    start = datetime(2026, 1, 5, 9, tzinfo=UTC)
    return max(step.minute for step in simulate(scenario, seed, start=start, dry=True).steps())


def write_instant(
    folder: Path,
    scenario: Scenario | str = DEFAULT,
    seed: int = 0,
    *,
    end: datetime | None = None,
    share: float = 1.0,
    only_checkpoints: bool = False,
) -> int:
    """Write the final state of a whole build at once, with the times of a build of several hours.

    Parameters
    ----------
    folder
        The project, see `prepare`.
    scenario, seed
        The build, see `Simulation`.
    end
        The time at which the build ended, aware; by default a few minutes ago.
    share
        How much of the build's time is over at ``end``, 0 to 1. The rest is not written.
    only_checkpoints
        Write only the build checkpoints, which takes a fraction of the time. A build by a plan has none.

    Returns
    -------
    int
        The number of files written.
    """
    finish = end or datetime.now(UTC) - ENDED_AGO
    minutes = length(scenario, seed) * share
    start = finish - timedelta(minutes=minutes)
    simulation = simulate(scenario, seed, start=start, only_checkpoints=only_checkpoints)
    files: dict[str, tuple[list[Write], datetime]] = {}
    for step in simulation.steps():
        if step.minute > minutes:
            break
        for write in step.writes:
            if write.remove:
                for name in [name for name in files if f"{name}/".startswith(f"{write.path}/")]:
                    del files[name]
                continue
            before = files[write.path][0] if write.append and write.path in files else []
            files[write.path] = ([*before, write], write.at or simulation.clock.at(step.minute))
    for name, (writes, at) in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("".join(write.content for write in writes), encoding="utf-8", newline="")
        os.utime(path, (at.timestamp(), at.timestamp()))
    return len(files)

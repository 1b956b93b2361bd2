"""The ``demo`` and ``watch`` commands: show a build live in this terminal."""

from __future__ import annotations

import signal
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, NoReturn

import typer

from ._options import project_folder
from ._output import FAILED, INTERRUPTED, code_of_write, echo, fail, make_console

if TYPE_CHECKING:
    from ..errors import DemoError
    from ..model import State

__all__ = ["demo", "watch"]


class ScenarioName(StrEnum):
    """The scenarios of the demo, known here without importing it."""

    SUCCESS = "success"
    FAILURE = "failure"
    STALL = "stall"
    ROLLBACK = "rollback"
    GROWTH = "growth"
    PLAN = "plan"
    PLAN_FAILURE = "plan-failure"
    PLAN_STALL = "plan-stall"
    PLAN_ROLLBACK = "plan-rollback"
    PLAN_GROWTH = "plan-growth"


def demo(
    scenario: Annotated[
        ScenarioName | None,
        typer.Argument(
            help="What happens: plan (the default), plan-failure, plan-stall, plan-rollback or plan-growth, told by a "
            "plan and its locks; or success, failure, stall, rollback or growth, told by checkpoints.",
            show_choices=False,
            show_default=False,
        ),
    ] = None,
    out: Annotated[
        Path | None,
        typer.Option(help="The project folder to write. Default: buildwidget-demo, here.", show_default=False),
    ] = None,
    speed: Annotated[
        float, typer.Option(min=0.01, help="At 1 a build lasts one to four minutes; 10 is ten times as fast.")
    ] = 1.0,
    duration: Annotated[
        float | None,
        typer.Option(min=0.01, help="Length of the build in seconds, instead of --speed.", show_default=False),
    ] = None,
    seed: Annotated[int, typer.Option(help="Random seed: another number gives another build.")] = 0,
    replace: Annotated[
        bool,
        typer.Option(
            "--replace", help="Replace files by rename. Default: rewrite them in place, in pieces, as BuildRunner does."
        ),
    ] = False,
    loop: Annotated[bool, typer.Option("--loop/--once", help="Begin again when a build has ended.")] = False,
    lab: Annotated[bool, typer.Option("--lab/--no-lab", help="Start JupyterLab with the live cell, too.")] = False,
    open_browser: Annotated[bool, typer.Option("--open", help="With --lab: open it in a browser.")] = False,
    port: Annotated[int, typer.Option(min=0, max=65535, help="With --lab: its port. 0: any free one.")] = 0,
    instant: Annotated[
        bool, typer.Option("--instant", help="Write the whole build at once, with times in the past.")
    ] = False,
) -> None:
    """Play a simulated build that writes the files of a real one.

    It is shown here while it is written; with --lab, in JupyterLab as well. Ctrl-C ends all of it.

    \b
    Examples:
      buildwidget demo                           a  build by a plan, with phases, locks and heartbeats
      buildwidget demo plan-failure --speed 5     one in which phases fail, five times as fast
      buildwidget demo plan-rollback --lab        one that goes back, also in JupyterLab
      buildwidget demo plan-growth --duration 30  one whose plan grows, in 30 seconds
      buildwidget demo plan-stall                 one in which a heartbeat stops
      buildwidget demo success                    one without a plan, told by checkpoints
      buildwidget demo --instant --out shop       all files of a finished build, at once

    \b
    Exit codes: 0 ended by itself or by SIGTERM, 1 an error, which is printed,
    2 usage, or the extra "lab" is missing, 74 the disk is full, 130 Ctrl-C.
    """
    from ..demo.runner import prepare, write_instant
    from ..demo.world import DEFAULT, Scenario
    from ..errors import DemoError

    folder = out or Path("buildwidget-demo")
    chosen = Scenario(scenario.value) if scenario else DEFAULT
    try:
        if instant:
            count = write_instant(prepare(folder), chosen, seed)
            echo(f"{count} files of a build ({chosen}) are in {folder.resolve()}")
            echo(f"Look at it: buildwidget watch {folder}")
            return
    except (DemoError, OSError) as error:
        _end(error, folder)

    from ..demo import play

    options = play.DemoOptions(
        scenario=chosen,
        folder=folder,
        seed=seed,
        speed=speed,
        duration=duration,
        replace=replace,
        loop=loop,
        lab=lab,
        open_browser=open_browser,
        port=port,
    )
    try:
        ended_by = play.play(options, make_console())
    except (DemoError, OSError) as error:
        _end(error, folder)
    if ended_by is signal.SIGINT:
        raise typer.Exit(INTERRUPTED)


def _end(error: DemoError | OSError, folder: Path) -> NoReturn:
    """Print why the demo cannot go on and exit; a full disk has an exit code of its own."""
    cause = error if isinstance(error, OSError) else error.__cause__
    code = code_of_write(cause) if isinstance(cause, OSError) else FAILED
    if isinstance(error, OSError):
        fail(f"the demo cannot write to {folder}: {error.strerror or error}", code)
    fail(str(error), code)


def watch(
    path: Annotated[
        Path, typer.Argument(help="The project: the folder that holds, or will hold, .buildrunner.")
    ] = Path(),
    plain: Annotated[
        bool, typer.Option("--plain", help="One line per milestone. Default where nothing can move: a pipe, NO_COLOR.")
    ] = False,
    until_done: Annotated[
        bool, typer.Option("--until-done", help="End with the build: exit code 0 if it completed, 1 if it failed.")
    ] = False,
    poll: Annotated[
        bool, typer.Option("--poll", help="Scan the files instead of listening to the system (network drives).")
    ] = False,
) -> None:
    """Show a build live in this terminal. Ctrl-C ends it (exit code 130).

    \b
    Examples:
      buildwidget watch                    the project in this folder
      buildwidget watch ~/shop             another one; its build may begin later
      buildwidget watch . --until-done && ./deploy.sh

    \b
    Exit codes: 0 completed, 1 failed (with --until-done), 2 usage, 130 Ctrl-C.
    """
    from ..interrupt import Interrupts
    from ..model import BuildStatus
    from ..session import BuildSession
    from ..terminal_view import show_live

    final = (BuildStatus.COMPLETED, BuildStatus.FAILED)
    session = BuildSession(project_folder(path), poll=True if poll else None)

    def over(state: State) -> bool:
        return until_done and session.loaded and state.session.status in final

    with Interrupts() as interrupts:
        session.open()
        try:
            state = show_live(session, make_console(), stop=interrupts.stop, done=over, plain=True if plain else None)
        finally:
            session.close()
    if interrupts.ended_by is not None:
        raise typer.Exit(128 + interrupts.ended_by)  # SIGTERM neither: the build has not completed
    raise typer.Exit(0 if state.session.status is BuildStatus.COMPLETED else 1)

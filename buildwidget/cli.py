"""The command ``buildwidget``: thin. What a command does lives in the rooms; heavy imports happen inside commands."""

from __future__ import annotations

import os
import sys
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, NoReturn

import typer

from . import __version__

if TYPE_CHECKING:
    from rich.console import Console

__all__ = ["app", "main"]

app = typer.Typer(
    name="buildwidget",
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
    help=(
        "Watch a build that writes checkpoint files.\n\n"
        "In a notebook: import buildwidget as bw; bw.watch('path/to/project')\n\n"
        "\b\nIn a terminal:\n"
        "  buildwidget demo                 a simulated build, to see what it is like\n"
        "  buildwidget demo --lab           the same, and live in JupyterLab\n"
        "  buildwidget watch path/to/proj   a real build, live\n"
        "  buildwidget parse FILE           what one file says"
    ),
)


class ScenarioName(StrEnum):
    """The scenarios of the demo, known here without importing it."""

    SUCCESS = "success"
    FAILURE = "failure"
    STALL = "stall"
    ROLLBACK = "rollback"
    GROWTH = "growth"


def main() -> None:
    """Run the command line."""
    app(prog_name="buildwidget")


def _console() -> Console:
    from rich.console import Console

    return Console(highlight=False, markup=False, emoji=False)


def _fail(message: str, code: int = 1) -> NoReturn:
    typer.echo(f"buildwidget: {message}", err=True)
    raise typer.Exit(code)


@app.command()
def demo(
    scenario: Annotated[
        ScenarioName,
        typer.Argument(help="What happens: success, failure, stall, rollback or growth.", show_choices=False),
    ] = ScenarioName.SUCCESS,
    out: Annotated[
        Path | None,
        typer.Option(help="The project folder to write. Default: buildwidget-demo, here.", show_default=False),
    ] = None,
    speed: Annotated[
        float, typer.Option(min=0.01, help="1 takes two to three minutes; 10 is ten times as fast.")
    ] = 1.0,
    duration: Annotated[
        float | None,
        typer.Option(min=0.01, help="Length of the build in seconds, instead of --speed.", show_default=False),
    ] = None,
    seed: Annotated[int, typer.Option(help="Another number, another build.")] = 0,
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
    r"""Play a simulated build that writes real checkpoint files.

    It is shown here while it is written; with --lab, in JupyterLab as well. Ctrl-C ends all of it.

    \b
    Examples:
      buildwidget demo                        a build that succeeds
      buildwidget demo failure --speed 5      one that fails, five times as fast
      buildwidget demo rollback --lab         one that goes back, also in JupyterLab
      buildwidget demo growth --duration 30   one whose scope grows, in 30 seconds
      buildwidget demo --instant --out shop   all files of a finished build, at once
    """
    from .demo.runner import DemoError, prepare, write_instant
    from .demo.world import Scenario

    folder = out or Path("buildwidget-demo")
    try:
        if instant:
            count = write_instant(prepare(folder), scenario.value, seed)
            typer.echo(f"{count} files of a build ({scenario.value}) are in {folder.resolve()}")
            typer.echo(f"Look at it: buildwidget watch {folder}")
            return
    except DemoError as error:
        _fail(str(error))

    from .demo import play

    options = play.DemoOptions(
        scenario=Scenario(scenario.value),
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
        play.play(options, _console())
    except DemoError as error:
        _fail(str(error))


@app.command()
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
    r"""Show a build live in this terminal. Ctrl-C ends it (exit code 130).

    \b
    Examples:
      buildwidget watch                    the project in this folder
      buildwidget watch ~/shop             another one; its build may begin later
      buildwidget watch . --until-done && ./deploy.sh
    """
    from .interrupt import Interrupts
    from .model import BuildStatus, State
    from .session import BuildSession
    from .terminal_view import show_live

    final = (BuildStatus.COMPLETED, BuildStatus.FAILED)
    session = BuildSession(_project(path), poll=True if poll else None)

    def over(state: State) -> bool:
        return until_done and session.loaded and state.session.status in final

    with Interrupts() as interrupts:
        session.open()
        try:
            state = show_live(session, _console(), stop=interrupts.stop, done=over, plain=True if plain else None)
        finally:
            session.close()
    if interrupts.stop.is_set():
        raise typer.Exit(130)
    raise typer.Exit(0 if state.session.status is BuildStatus.COMPLETED else 1)


def _project(path: Path) -> Path:
    """The project that a path means, or a clear word why it means none."""
    path = path.expanduser()
    if path.name == ".buildrunner":
        path = path.parent
    if path.is_file():
        _fail(
            f"{path} is a file. Name the project folder to watch it, or read the file with 'buildwidget parse {path}'.",
            2,
        )
    if not path.is_dir():
        _fail(
            f"there is no folder {path}. Name the project: the folder that holds .buildrunner. "
            "(No project yet? Try 'buildwidget demo'.)",
            2,
        )
    return path


@app.command()
def parse(
    file: Annotated[Path, typer.Argument(help="A file below .buildrunner.")],
    as_json: Annotated[bool, typer.Option("--json", help="Everything, as JSON.")] = False,
) -> None:
    r"""Tell what one file of a build says.

    \b
    Examples:
      buildwidget parse .buildrunner/features.json
      buildwidget parse .buildrunner/checkpoints/checkpoint_20260301_090000_000001.json --json
    """
    import json

    from .compat import CheckpointError, parse_checkpoint

    try:
        said = parse_checkpoint(file)
    except CheckpointError as error:
        _fail(str(error))
    if as_json:
        typer.echo(json.dumps(said, indent=2, ensure_ascii=False, default=str))
        return
    from .terminal_view import describe

    console = _console()
    for line in describe(said):
        console.print(line, soft_wrap=True)


@app.command()
def version() -> None:
    """Print the version."""
    typer.echo(f"buildwidget {__version__} (Python {sys.version.split()[0]}, {os.uname().sysname})")

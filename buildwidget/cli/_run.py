"""The ``run`` command: run a program and publish its output in a build."""

from __future__ import annotations

import contextlib
import os
from pathlib import Path
from typing import Annotated

import typer

from ._options import project_folder
from ._output import note

__all__ = ["run"]


def run(
    command: Annotated[list[str], typer.Argument(metavar="-- COMMAND...", help="The command and its arguments.")],
    to: Annotated[
        str | None,
        typer.Option(
            "--to", metavar="URL", help="A running server. Default: start one for this run.", show_default=False
        ),
    ] = None,
    token: Annotated[
        str | None,
        typer.Option(
            help="The server's write token. Also: BUILDWIDGET_WRITE_TOKEN.",
            envvar="BUILDWIDGET_WRITE_TOKEN",
            show_envvar=False,
        ),
    ] = None,
    session: Annotated[
        str | None, typer.Option(metavar="ID", help="The session on that server, if it has several.")
    ] = None,
    project: Annotated[Path, typer.Option(help="Without --to: the project that is served with the output.")] = Path(),
    port: Annotated[int, typer.Option(min=0, max=65535, help="Without --to: the port. 0: any free one.")] = 0,
    source: Annotated[str | None, typer.Option(help="Label of the output. Default: the command's name.")] = None,
    use_pty: Annotated[
        bool | None,
        typer.Option(
            "--pty/--no-pty",
            help="Give the command a terminal, or pipes. Default: a terminal if standard output is one.",
            show_default=False,
        ),
    ] = None,
) -> None:
    """Run a command; show its output here, unchanged, and live in the build.

    Exits with the exit code of the command: 128 + n if signal n ended it, 127 if it was not found. If its output
    can no longer be written here (disk full, pipe closed), the command goes on and one warning is printed.

    \b
    Examples:
      buildwidget run -- make -j2                      serve this folder's build while it runs
      buildwidget run --to http://127.0.0.1:8000 -- pytest

    \b
    Exit codes: that of the command, as in a shell; 2 usage.
    """
    from ..errors import MissingExtraError
    from ..feeds import ServerSink, SessionSink
    from ..pty_run import run as run_command

    label = source or os.path.basename(command[0])
    with contextlib.ExitStack() as stack:
        if to is not None:
            sink = ServerSink(to, label, token=token, session=session, warn=note)
        else:
            from ..session import BuildSession

            build = BuildSession(project_folder(project)).open()
            stack.callback(build.close)
            sink = SessionSink(build, label)
            try:
                from ..server import serve

                note(f"live at {stack.enter_context(serve(build, port=port)).url}")
            except MissingExtraError as error:
                note(f"the build is not served: {error}")
        result = run_command(command, sink, use_pty=use_pty)
    if result.exit_code in {126, 127} and result.seconds < 1:
        note(f"{command[0]}: {'command not found' if result.exit_code == 127 else 'cannot be executed'}")
    raise typer.Exit(result.exit_code)

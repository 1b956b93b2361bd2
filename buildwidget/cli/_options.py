"""Options shared by several commands, and the resolution of a path to a project."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from ._output import USAGE, fail

__all__ = ["AsJson", "Place", "Token", "Types", "project_folder"]


Place = Annotated[str, typer.Argument(metavar="URL|PATH", help="The URL of a server, or a project folder.")]
Token = Annotated[
    str | None,
    typer.Option(
        help="The server's read token. Also: BUILDWIDGET_TOKEN.", envvar="BUILDWIDGET_TOKEN", show_envvar=False
    ),
]
Types = Annotated[
    str | None,
    typer.Option(
        metavar="A,B",
        help="Only these: components, features, tasks, phases, checkpoints, terminal, progress, "
        "files, errors, or types such as task_update.",
    ),
]
AsJson = Annotated[bool, typer.Option("--json", help="One JSON object per line.")]


def project_folder(path: Path) -> Path:
    """Return the project folder for a path; exit with an error message if it is not a folder."""
    path = path.expanduser()
    if path.name == ".buildrunner":
        path = path.parent
    if path.is_file():
        fail(
            f"{path} is a file. Name the project folder to watch it, or read the file with 'buildwidget parse {path}'.",
            USAGE,
        )
    if not path.is_dir():
        fail(
            f"there is no folder {path}. Name the project: the folder that holds .buildrunner. "
            "(No project yet? Try 'buildwidget demo'.)",
            USAGE,
        )
    return path

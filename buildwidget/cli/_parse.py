"""``parse``: what one file says."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from ._output import echo_json, fail, make_console

__all__ = ["parse"]


def parse(
    file: Annotated[Path, typer.Argument(help="A file below .buildrunner.")],
    as_json: Annotated[bool, typer.Option("--json", help="Everything, as JSON.")] = False,
) -> None:
    """Tell what one file of a build says: a checkpoint or any other JSON, a log, context in Markdown.

    \b
    Examples:
      buildwidget parse .buildrunner/features.json
      buildwidget parse .buildrunner/checkpoints/checkpoint_20260301_090000_000001.json --json
      buildwidget parse .buildrunner/logs/build.log

    \b
    Exit codes: 0, 1 it cannot be read and a line says why, 2 usage, 74 it cannot be
    written.
    """
    import json

    from ..compat import parse_checkpoint
    from ..errors import CheckpointError
    from ._texts import describe_text, kind_of_text, read_text

    is_text = kind_of_text(file) is not None
    try:
        said = read_text(file) if is_text else parse_checkpoint(file)
    except CheckpointError as error:
        fail(str(error))
    if as_json:
        echo_json(json.dumps(said, indent=2, ensure_ascii=False, default=str).encode("utf-8", "surrogatepass"))
        return
    from ._described import describe

    console = make_console()
    for line in describe_text(said) if is_text else describe(said):
        console.print(line, soft_wrap=True)

"""The ``parse`` command: print the content of one file."""

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
    """Print the content of one file of a build: a plan, a checkpoint or other JSON, a log.

    \b
    Examples:
      buildwidget parse .buildrunner/features.json
      buildwidget parse .buildrunner/checkpoints/checkpoint_20260301_090000_000001.json --json
      buildwidget parse .buildrunner/builds/BUILD_shop.md
      buildwidget parse .buildrunner/logs/build.log

    \b
    Exit codes: 0, 1 the file cannot be read (the error is printed), 2 usage, 74 the
    output cannot be written.
    """
    import json

    from ..compat import is_build_file, parse_checkpoint
    from ..errors import CheckpointError
    from ._texts import describe_text, kind_of_text, read_text

    is_text = kind_of_text(file) is not None and not is_build_file(file)
    try:
        content = read_text(file) if is_text else parse_checkpoint(file)
    except CheckpointError as error:
        fail(str(error))
    if as_json:
        echo_json(json.dumps(content, indent=2, ensure_ascii=False, default=str).encode("utf-8", "surrogatepass"))
        return
    from ._described import describe

    console = make_console()
    for line in describe_text(content) if is_text else describe(content):
        console.print(line, soft_wrap=True)

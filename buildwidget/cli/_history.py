"""``history`` and ``diff``: tables of all that a build ever wrote."""

from __future__ import annotations

import sys
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from ._options import project_folder
from ._output import FAILED, NO_BUILD, USAGE, code_of_write, fail, note
from ._tables import plain_value, show_rows, show_table, visible_changes

if TYPE_CHECKING:
    from datetime import datetime

__all__ = ["diff", "history"]


class TableFormat(StrEnum):
    """How ``history`` writes a table, known here without importing it."""

    TABLE = "table"
    CSV = "csv"
    JSON = "json"
    PARQUET = "parquet"
    ARROW = "arrow"


class DiffFormat(StrEnum):
    """How ``diff`` writes."""

    TABLE = "table"
    JSON = "json"


SHOWN_ROWS = 100  # rows of a table in a terminal, unless --limit is given
ENDINGS = {
    "csv": "csv",
    "json": "json",
    "jsonl": "json",
    "ndjson": "json",
    "parquet": "parquet",
    "arrow": "arrow",
    "feather": "arrow",
}


def history(
    path: Annotated[
        str, typer.Argument(help="A project, a folder of checkpoints, a folder of projects, or a pattern of those.")
    ] = ".",
    table: Annotated[
        str, typer.Option("--table", "-t", metavar="NAME", help="Which table; see --list.")
    ] = "transitions",
    form: Annotated[
        TableFormat | None,
        typer.Option(
            "--format",
            "-f",
            help="Default: as FILE ends; else table in a terminal, csv in a pipe.",
            show_default=False,
        ),
    ] = None,
    output: Annotated[
        Path | None,
        typer.Option(
            "--output", "-o", metavar="FILE", help="The file to write. Default: standard output.", show_default=False
        ),
    ] = None,
    git: Annotated[
        bool, typer.Option("--git", help="Also every version that was committed to git: what rollbacks overwrote.")
    ] = False,
    since: Annotated[
        str | None,
        typer.Option(
            metavar="TIME",
            help="No older rows: 2026-03-01, 2026-03-01T09:00, with a zone or in UTC.",
            show_default=False,
        ),
    ] = None,
    limit: Annotated[
        int | None,
        typer.Option(
            min=0,
            metavar="N",
            help=f"The last N rows; 0: all. Default: all, in a terminal {SHOWN_ROWS}.",
            show_default=False,
        ),
    ] = None,
    no_cache: Annotated[
        bool, typer.Option("--no-cache", help="Read every file again and do not write the cache.")
    ] = False,
    listed: Annotated[bool, typer.Option("--list", help="List the tables, their rows and columns, and end.")] = False,
) -> None:
    """Print a table of all that a build ever wrote.

    \b
    Times are in UTC. csv and json (an object per line) have them as ISO 8601,
    and durations as seconds; what is not known is empty, or null. parquet and
    arrow are binary: for a file, or a pipe. In a pipe, arrow is a stream.

    \b
    Examples:
      buildwidget history                          what changed when, in this folder
      buildwidget history ~/shop --list            which tables there are
      buildwidget history --table items            how everything stands now
      buildwidget history --since 2026-03-01 --format json | jq .item_id
      buildwidget history "builds/*" -t components -o components.parquet
      buildwidget history --git -t checkpoints     also what rollbacks overwrote

    \b
    Exit codes: 0, 1 an error, which is printed, 2 usage, 3 no build there, 74 the
    output is full or closed.
    """
    from ..history.tables import TABLES

    if table not in TABLES:
        fail(f"there is no table {table!r}; there are {', '.join(TABLES)}", USAGE)
    wanted = form or _form_of(output)
    if output is not None and wanted is TableFormat.TABLE:
        fail("format table is only for the terminal; with --output choose csv, json, parquet or arrow", USAGE)
    binary = wanted in {TableFormat.PARQUET, TableFormat.ARROW}
    if binary and output is None and sys.stdout.isatty():
        fail(f"{wanted} is binary and standard output is a terminal; name a file with --output, or use a pipe", USAGE)
    moment = None if since is None else _moment(since)
    build = _history(path, git=git, cache=not no_cache)
    if listed:
        show_table(
            [(name, build.arrow(name).num_rows, ", ".join(TABLES[name])) for name in TABLES], "table rows columns"
        )
        return

    from ..history.export import described, replacing, selected, write

    try:
        found = described(build, table) if binary else build.arrow(table)
        found = selected(found, since=moment, limit=limit or None)
    except ValueError as error:
        fail(f"--since cannot be used for the table {table}: {error}", USAGE)
    if wanted is TableFormat.TABLE:
        show_rows(found, SHOWN_ROWS if limit is None and sys.stdout.isatty() else None)
    elif output is None:
        write(found, sys.stdout.buffer, wanted, stream=True)
        sys.stdout.buffer.flush()
    else:
        try:
            with replacing(output.expanduser()) as file:
                write(found, file, wanted)
        except OSError as error:
            fail(f"{output} cannot be written: {error.strerror or error}", code_of_write(error))
        note(f"wrote {found.num_rows:,} rows to {output}")
    warnings = build.arrow("warnings").num_rows
    if warnings and table != "warnings":
        note(f"{warnings:,} warnings; --table warnings lists them")


def diff(
    a: Annotated[
        str, typer.Argument(metavar="A", help="A checkpoint: its id, first, last, -1 (the last), -2 ..., or a file.")
    ],
    b: Annotated[str, typer.Argument(metavar="B", help="The other checkpoint; a file if A is one.")],
    path: Annotated[str, typer.Argument(help="The project. Not used if A and B are files.")] = ".",
    everything: Annotated[bool, typer.Option("--all", help="Also list what is the same in both.")] = False,
    form: Annotated[DiffFormat, typer.Option("--format", "-f", help="json: an object per line.")] = DiffFormat.TABLE,
    session: Annotated[
        str | None,
        typer.Option("--session", metavar="ID", help="Which project, if PATH holds several.", show_default=False),
    ] = None,
) -> None:
    """Print what changed from one checkpoint to another, item by item.

    Differences too small to be shown (less than a second, in a table) are left out.

    \b
    Examples:
      buildwidget diff first last                     all that the build in this folder did
      buildwidget diff -2 -1 ~/shop                   the last step of another one
      buildwidget diff checkpoint_20260301_090000_000001 last --format json
      buildwidget diff old/checkpoint.json new/checkpoint.json

    \b
    Exit codes: 0 also when there are differences, 1 a file cannot be read, 2 usage,
    3 no build there.
    """
    for word in (a, b, path):
        if word.startswith("--"):
            fail(f"there is no option {word}; see buildwidget diff --help", USAGE)
    files = [Path(one).expanduser() for one in (a, b)]
    there = [file.is_file() for file in files]
    if any(there) and not all(there):
        fail(f"{a if there[0] else b} is a file, and {b if there[0] else a} is none; name two files, or none", USAGE)

    from ..history.analysis import diff as compare

    if all(there):
        from ..history.files import two_files

        tables, problem = two_files(*files)
        if problem:
            fail(problem)
        found = compare(tables, "a", "b", changes_only=not everything)
    else:
        build = _history(path)
        try:
            first, second = (_checkpoint(one) for one in (a, b))
            found = compare(build, first, second, changes_only=not everything, session_id=session)
        except ValueError as error:
            fail(str(error).replace("session_id=", "--session"), USAGE)
    as_json = form is DiffFormat.JSON
    rows = list(visible_changes(found.itertuples(index=False, name=None), as_json=as_json, everything=everything))
    if as_json:
        import msgspec

        lines = [dict(zip(found.columns, map(plain_value, row), strict=True)) for row in rows]
        sys.stdout.buffer.write(msgspec.json.Encoder().encode_lines(lines))
        sys.stdout.buffer.flush()
    elif rows:
        show_table(rows, " ".join(found.columns), all_columns=True)
    if not rows:
        note("there is no difference")


def _form_of(output: Path | None) -> TableFormat:
    """Return the format for a file suffix; without a file, a table on a terminal and CSV in a pipe."""
    if output is None:
        return TableFormat.TABLE if sys.stdout.isatty() else TableFormat.CSV
    form = ENDINGS.get(output.suffix.lower().removeprefix("."))
    if form is None:
        fail(f"cannot tell the format of {output} from its suffix; choose one with --format", USAGE)
    return TableFormat(form)


def _moment(text: str) -> datetime:
    """Parse a time option; without a zone it is in UTC, like all printed times."""
    from datetime import UTC, datetime

    try:
        moment = datetime.fromisoformat(text.strip())
    except ValueError:
        fail(f"--since needs a time such as 2026-03-01 or 2026-03-01T09:00:00Z, got {text!r}", USAGE)
    return moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment


def _checkpoint(text: str) -> str | int:
    """Parse a checkpoint argument: a negative position from the end, else an id, first or last."""
    return int(text) if text.startswith("-") and text[1:].isdecimal() and text.isascii() else text


def _history(path: str, *, git: bool = False, cache: bool = True) -> Any:
    """Return the `History` of the builds at a path; exit with an error message if there is none."""
    from ..errors import GitError, NotAGitRepositoryError
    from ..history import read_history

    if not any(magic in path for magic in "*?["):
        project_folder(Path(path))
    options: dict[str, Any] = {**({"git": True} if git else {}), **({} if cache else {"cache": False})}
    try:
        build: Any = read_history(path, **options)
    except FileNotFoundError as error:
        fail(str(error), NO_BUILD)
    except GitError as error:
        fail(str(error), USAGE if isinstance(error, NotAGitRepositoryError) else FAILED)
    if not build.arrow("checkpoints").num_rows and not build.arrow("warnings").num_rows:
        fail(f"there is no build in {path} yet", NO_BUILD)
    return build

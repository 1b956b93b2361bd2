"""Output, error messages and exit codes of the commands."""

from __future__ import annotations

import errno
import json
import re
import sys
from typing import TYPE_CHECKING, NoReturn

import typer

from ..errors import (
    BuildwidgetError,
    ClientError,
    MissingExtraError,
    NotAGitRepositoryError,
    OptionsError,
    OutputError,
)

if TYPE_CHECKING:
    from rich.console import Console

__all__ = [
    "CODES",
    "COMPLETED",
    "CONNECTION",
    "FAILED",
    "FAULT",
    "INTERRUPTED",
    "NO_BUILD",
    "OUTPUT",
    "STALLED",
    "TIMEOUT",
    "USAGE",
    "code_of",
    "code_of_write",
    "echo",
    "echo_json",
    "fail",
    "make_console",
    "note",
]

COMPLETED, FAILED, USAGE, NO_BUILD, STALLED, CONNECTION = 0, 1, 2, 3, 4, 5
FAULT, OUTPUT, TIMEOUT, INTERRUPTED = 70, 74, 124, 130
CODES = (
    "\b\nExit codes:\n"
    "    0  success; wait, watch --until-done: the build has completed\n"
    "    1  an error, which is printed; wait, watch --until-done,\n"
    "       status --exit-status: the build has failed\n"
    "    2  wrong usage, or an extra of buildwidget that is not installed\n"
    "    3  there is no build\n"
    "    4  the build has stalled\n"
    "    5  the server refuses or cannot be reached\n"
    "   70  an internal error of buildwidget\n"
    "   74  the output cannot be written: disk full, or pipe closed\n"
    "  124  timed out (--timeout)\n"
    "  130  ended by Ctrl-C\n"
    "run ends with the exit code of its command."
)
_CODE_OF: dict[type[BuildwidgetError], int] = {  # the first match counts
    OutputError: OUTPUT,
    ClientError: CONNECTION,
    OptionsError: USAGE,
    MissingExtraError: USAGE,
    NotAGitRepositoryError: USAGE,
}


def code_of(error: BuildwidgetError) -> int:
    """Return the exit code of a command that ends with this error."""
    return next((code for kind, code in _CODE_OF.items() if isinstance(error, kind)), FAILED)


def code_of_write(error: OSError) -> int:
    """Return the exit code for a failed write: `OUTPUT` for a full disk, closed pipe or I/O error, else `FAILED`."""
    full_or_closed = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EPIPE, errno.EIO}
    return OUTPUT if error.errno in full_or_closed else FAILED


def echo(text: str) -> None:
    """Write a line to standard output and flush it."""
    sys.stdout.write(f"{text}\n")
    sys.stdout.flush()


def echo_json(data: bytes) -> None:
    """Write JSON (UTF-8) as a line to standard output; escape non-ASCII characters if the output is not UTF-8.

    So a program can read it whatever the encoding is, and no character is lost.
    """
    text = data.decode()
    if sys.stdout.encoding.lower().replace("-", "") != "utf8":
        text = re.sub(r"[^\x00-\x7f]", lambda found: json.dumps(found[0])[1:-1], text)
    echo(text)


def note(text: str) -> None:
    """Write a message to standard error."""
    line = "".join(char if char.isprintable() else " " for char in text)  # it may hold text from a server
    sys.stderr.write(f"buildwidget: {line}\n")
    sys.stderr.flush()


def fail(message: str, code: int = FAILED) -> NoReturn:
    """Print an error message and exit with a code."""
    note(message)
    raise typer.Exit(code)


def make_console() -> Console:
    """Return a rich console that does not interpret markup, emoji codes or patterns in text."""
    from rich.console import Console

    return Console(highlight=False, markup=False, emoji=False)

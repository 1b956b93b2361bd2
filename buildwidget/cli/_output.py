"""What the commands say, where, and with which exit code they end."""

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
    "    0  all is well; wait, watch --until-done: the build is completed\n"
    "    1  it cannot be done, and a line says why; wait, watch --until-done,\n"
    "       status --exit-status: the build has failed\n"
    "    2  wrong usage, or a part of buildwidget that is not installed\n"
    "    3  there is no build\n"
    "    4  the build has stalled\n"
    "    5  a server refuses, or cannot be reached\n"
    "   70  a fault of buildwidget itself\n"
    "   74  the output cannot be written: it is full, or closed\n"
    "  124  --timeout is over\n"
    "  130  ended by Ctrl-C\n"
    "run ends with the exit code of its command."
)
_CODE_OF: dict[type[BuildwidgetError], int] = {  # the first that fits
    OutputError: OUTPUT,
    ClientError: CONNECTION,
    OptionsError: USAGE,
    MissingExtraError: USAGE,
    NotAGitRepositoryError: USAGE,
}


def code_of(error: BuildwidgetError) -> int:
    """The exit code of a command that ends with this error."""
    return next((code for kind, code in _CODE_OF.items() if isinstance(error, kind)), FAILED)


def code_of_write(error: OSError) -> int:
    """The exit code of a command that cannot write what it is asked to: whether that is full or closed, or wrong."""
    full_or_closed = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EPIPE, errno.EIO}
    return OUTPUT if error.errno in full_or_closed else FAILED


def echo(text: str) -> None:
    """A line on standard output, there at once."""
    sys.stdout.write(f"{text}\n")
    sys.stdout.flush()


def echo_json(data: bytes) -> None:
    """JSON (UTF-8) as a line on standard output: as it is, or with escapes where the output is in another encoding.

    So a program can read it whatever the encoding is, and no sign is lost.
    """
    text = data.decode()
    if sys.stdout.encoding.lower().replace("-", "") != "utf8":
        text = re.sub(r"[^\x00-\x7f]", lambda found: json.dumps(found[0])[1:-1], text)
    echo(text)


def note(text: str) -> None:
    """A line for the person at the terminal, on standard error."""
    line = "".join(sign if sign.isprintable() else " " for sign in text)  # it may hold what a server has said
    sys.stderr.write(f"buildwidget: {line}\n")
    sys.stderr.flush()


def fail(message: str, code: int = FAILED) -> NoReturn:
    """Say why it cannot be done, and end the command."""
    note(message)
    raise typer.Exit(code)


def make_console() -> Console:
    """Where rich draws: text is text there, whatever is in it."""
    from rich.console import Console

    return Console(highlight=False, markup=False, emoji=False)

"""Where the commands write to, how they end, and with which exit code."""

from __future__ import annotations

from typing import TYPE_CHECKING, NoReturn

import typer

if TYPE_CHECKING:
    from rich.console import Console

__all__ = [
    "CODES",
    "COMPLETED",
    "CONNECTION",
    "FAILED",
    "INTERRUPTED",
    "NO_BUILD",
    "STALLED",
    "TIMEOUT",
    "USAGE",
    "fail",
    "make_console",
]


COMPLETED, FAILED, USAGE, NO_BUILD, STALLED, CONNECTION, TIMEOUT, INTERRUPTED = 0, 1, 2, 3, 4, 5, 124, 130
CODES = (
    "Exit codes: 0 completed, 1 failed, 2 usage, 3 no build, 4 stalled, 5 refused or unreachable, 124 timeout, "
    "130 interrupted."
)


def make_console() -> Console:
    from rich.console import Console

    return Console(highlight=False, markup=False, emoji=False)


def fail(message: str, code: int = 1) -> NoReturn:
    typer.echo(f"buildwidget: {message}", err=True)
    raise typer.Exit(code)

"""``version`` and ``--version``."""

from __future__ import annotations

import os
import sys

import typer

from .. import __version__
from ._output import echo

__all__ = ["version", "version_option"]


def version() -> None:
    """Print the version.

    \b
    Examples:
      buildwidget version
      buildwidget --version                the same

    \b
    Exit codes: 0.
    """
    echo(f"buildwidget {__version__} (Python {sys.version.split()[0]}, {os.uname().sysname})")


def version_option(wanted: bool) -> None:
    """What ``--version`` does."""
    if wanted:
        version()
        raise typer.Exit

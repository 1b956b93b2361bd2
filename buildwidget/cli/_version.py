"""``version``."""

from __future__ import annotations

import os
import sys

import typer

from .. import __version__

__all__ = ["version"]


def version() -> None:
    """Print the version."""
    typer.echo(f"buildwidget {__version__} (Python {sys.version.split()[0]}, {os.uname().sysname})")

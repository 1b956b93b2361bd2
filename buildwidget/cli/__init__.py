"""The command ``buildwidget``: thin. What a command does lives in the rooms; heavy imports happen inside commands.

One module for each family of commands; `app` puts them together.
"""

from __future__ import annotations

from ._app import app, main

__all__ = ["app", "main"]

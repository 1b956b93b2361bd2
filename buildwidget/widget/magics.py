# pyright: basic
# (ipywidgets, anywidget and IPython have no types of their own)
"""IPython magics: ``%load_ext buildwidget`` adds ``%buildwatch PATH``."""

from __future__ import annotations

from typing import Any

from IPython.core.magic import Magics, line_magic, magics_class
from IPython.core.magic_arguments import argument, magic_arguments, parse_argstring

__all__ = ["BuildMagics", "load_ipython_extension", "unload_ipython_extension"]


@magics_class
class BuildMagics(Magics):
    """The magics of buildwidget."""

    @magic_arguments()
    @argument("path", nargs="?", default=".", help="the project: the folder that holds .buildrunner (default: here)")
    @argument("--height", type=int, default=480, help="largest height of the list in pixels; 0 for no limit")
    @argument("--filter", default="", help="initial filter, for example 'status:error'")
    @argument("--poll", action="store_true", help="scan the files instead of listening (for network drives)")
    @line_magic
    def buildwatch(self, line: str) -> Any:
        """Show a build live in this cell. Returns the widget, so you can write: w = %buildwatch PATH"""
        if set(line.split()) & {"-h", "--help"}:
            print(getattr(self.buildwatch, "parser").format_help())  # noqa: B009 (`magic_arguments` put it there)
            return None
        from . import watch

        args = parse_argstring(self.buildwatch, line)
        path = args.path.strip("'\"")
        return watch(path, height=args.height, filter=args.filter.strip("'\""), poll=args.poll or None)


def load_ipython_extension(ipython: Any) -> None:
    """Add ``%buildwatch``."""
    ipython.register_magics(BuildMagics)


def unload_ipython_extension(ipython: Any) -> None:
    """Remove ``%buildwatch``; its widgets stay open."""
    ipython.magics_manager.magics["line"].pop("buildwatch", None)

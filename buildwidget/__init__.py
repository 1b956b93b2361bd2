"""buildwidget: watch a build that writes checkpoint files.

>>> import buildwidget as bw
>>> bw.watch(".")  # doctest: +SKIP

The names below are imported when they are first used, so that ``import buildwidget`` costs nearly nothing.
"""

from __future__ import annotations

import logging
from importlib import import_module
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from .compat import (
        calculate_completion_percentage,
        create_file_watcher_with_websocket,
        extract_component_updates,
        extract_feature_updates,
        get_checkpoint_summary,
        parse_checkpoint,
    )
    from .formats.record import CheckpointError
    from .history import read_history
    from .server import serve
    from .session import BuildSession
    from .watcher import FileWatcher
    from .widget import BuildWidget, watch

__all__ = [
    "BuildSession",
    "BuildWidget",
    "CheckpointError",
    "FileWatcher",
    "__version__",
    "calculate_completion_percentage",
    "create_file_watcher_with_websocket",
    "extract_component_updates",
    "extract_feature_updates",
    "get_checkpoint_summary",
    "load_ipython_extension",
    "parse_checkpoint",
    "read_history",
    "serve",
    "unload_ipython_extension",
    "watch",
]

__version__ = "0.1.0"

_HOMES: Final = {
    "BuildSession": "session",
    "BuildWidget": "widget",
    "CheckpointError": "formats.record",
    "FileWatcher": "watcher",
    "calculate_completion_percentage": "compat",
    "create_file_watcher_with_websocket": "compat",
    "extract_component_updates": "compat",
    "extract_feature_updates": "compat",
    "get_checkpoint_summary": "compat",
    "parse_checkpoint": "compat",
    "read_history": "history",
    "serve": "server",
    "watch": "widget",
}
"""Public name → the module it lives in."""

logging.getLogger(__name__).addHandler(logging.NullHandler())


def __getattr__(name: str) -> Any:
    home = _HOMES.get(name)
    if home is None:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = getattr(import_module(f".{home}", __name__), name)
    globals()[name] = value  # from now on an ordinary attribute
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})


def load_ipython_extension(ipython: Any) -> None:
    """Add ``%buildwatch`` to IPython. Called by ``%load_ext buildwidget``."""
    from .widget.magics import load_ipython_extension as load

    load(ipython)


def unload_ipython_extension(ipython: Any) -> None:
    """Take ``%buildwatch`` away again. Called by ``%unload_ext buildwidget``."""
    from .widget.magics import unload_ipython_extension as unload

    unload(ipython)

"""buildwidget: watch a build by its plans, locks and checkpoint files.

>>> import buildwidget as bw
>>> bw.watch(".")  # doctest: +SKIP

The names below are imported when they are first used, so that ``import buildwidget`` costs nearly nothing.
"""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Any, Final

from ._lazy import lazy_exports
from ._version import __version__

if TYPE_CHECKING:
    from .compat import (
        calculate_completion_percentage,
        create_file_watcher_with_websocket,
        extract_component_updates,
        extract_feature_updates,
        get_checkpoint_summary,
        parse_checkpoint,
    )
    from .errors import BuildwidgetError, CheckpointError
    from .history import read_history
    from .server import serve
    from .session import BuildSession
    from .watcher import FileWatcher
    from .widget import BuildWidget, watch

__all__ = [
    "BuildSession",
    "BuildWidget",
    "BuildwidgetError",
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

_HOMES: Final = {
    "BuildSession": "session",
    "BuildWidget": "widget",
    "BuildwidgetError": "errors",
    "CheckpointError": "errors",
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
"""Public name → the module that defines it."""

logging.getLogger(__name__).addHandler(logging.NullHandler())


__getattr__, __dir__ = lazy_exports(__name__, _HOMES)


def load_ipython_extension(ipython: Any) -> None:
    """Register ``%buildwatch`` with IPython. Called by ``%load_ext buildwidget``."""
    from .widget.magics import load_ipython_extension as load

    load(ipython)


def unload_ipython_extension(ipython: Any) -> None:
    """Remove ``%buildwatch`` from IPython. Called by ``%unload_ext buildwidget``."""
    from .widget.magics import unload_ipython_extension as unload

    unload(ipython)

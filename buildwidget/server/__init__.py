"""The headless server: streams builds to any client over WebSocket, SSE and NDJSON.

>>> from buildwidget.server import create_app
>>> app = create_app("path/to/project")  # doctest: +SKIP

The names below are imported when they are first used.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from .._lazy import lazy_exports

if TYPE_CHECKING:
    from fastapi import APIRouter

    from ..errors import OptionsError, UnknownSessionError
    from ._fastapi import configure
    from .app import create_app
    from .broadcast import (
        broadcast_build_progress,
        broadcast_checkpoint_update,
        broadcast_component_update,
        broadcast_error,
        broadcast_feature_update,
        broadcast_file_change,
        broadcast_terminal_output,
    )
    from .config import ServerOptions, read_token, session_ids
    from .manager import ClientInfo, SessionManager
    from .run import LiveServer, run, serve
    from .sessions import Sessions

    router: APIRouter

__all__ = [
    "ClientInfo",
    "LiveServer",
    "OptionsError",
    "ServerOptions",
    "SessionManager",
    "Sessions",
    "UnknownSessionError",
    "broadcast_build_progress",
    "broadcast_checkpoint_update",
    "broadcast_component_update",
    "broadcast_error",
    "broadcast_feature_update",
    "broadcast_file_change",
    "broadcast_terminal_output",
    "configure",
    "create_app",
    "read_token",
    "router",
    "run",
    "serve",
    "session_ids",
]

_HOMES: Final = {
    "ClientInfo": "manager",
    "LiveServer": "run",
    "OptionsError": ".errors",
    "ServerOptions": "config",
    "SessionManager": "manager",
    "Sessions": "sessions",
    "UnknownSessionError": ".errors",
    "broadcast_build_progress": "broadcast",
    "broadcast_checkpoint_update": "broadcast",
    "broadcast_component_update": "broadcast",
    "broadcast_error": "broadcast",
    "broadcast_feature_update": "broadcast",
    "broadcast_file_change": "broadcast",
    "broadcast_terminal_output": "broadcast",
    "configure": "_fastapi",
    "create_app": "app",
    "read_token": "config",
    "run": "run",
    "serve": "run",
    "session_ids": "config",
}
"""Public name → the module it lives in."""


def _router() -> Any:
    from ._fastapi import make_router  # needs FastAPI, and the sessions as they are configured when it is first used

    return make_router()


__getattr__, __dir__ = lazy_exports(__name__, _HOMES, {"router": _router})

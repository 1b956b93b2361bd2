"""The headless server: the same truth for any client.

>>> from buildwidget.server import create_app
>>> app = create_app("path/to/project")  # doctest: +SKIP

The names below are imported when they are first used.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from fastapi import APIRouter

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
    from .config import OptionsError, ServerOptions, read_token, session_ids
    from .manager import ClientInfo, SessionManager
    from .run import LiveServer, run, serve
    from .sessions import Sessions, UnknownSessionError

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
    "OptionsError": "config",
    "ServerOptions": "config",
    "SessionManager": "manager",
    "Sessions": "sessions",
    "UnknownSessionError": "sessions",
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


def __getattr__(name: str) -> Any:
    if name == "router":  # needs FastAPI, and the sessions as they are configured when it is first used
        from ._fastapi import make_router

        globals()[name] = made = make_router()
        return made
    home = _HOMES.get(name)
    if home is None:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = getattr(import_module(f".{home}", __name__), name)
    globals()[name] = value  # from now on an ordinary attribute
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})

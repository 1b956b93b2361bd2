"""The headless server: the same truth for any client.

>>> from buildwidget.server import create_app
>>> app = create_app("path/to/project")  # doctest: +SKIP

The names below are imported when they are first used.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from .app import create_app
    from .config import OptionsError, ServerOptions, read_token, session_ids
    from .run import LiveServer, run, serve
    from .sessions import Sessions, UnknownSessionError

__all__ = [
    "LiveServer",
    "OptionsError",
    "ServerOptions",
    "Sessions",
    "UnknownSessionError",
    "create_app",
    "read_token",
    "run",
    "serve",
    "session_ids",
]

_HOMES: Final = {
    "LiveServer": "run",
    "OptionsError": "config",
    "ServerOptions": "config",
    "Sessions": "sessions",
    "UnknownSessionError": "sessions",
    "create_app": "app",
    "read_token": "config",
    "run": "run",
    "serve": "run",
    "session_ids": "config",
}
"""Public name → the module it lives in."""


def __getattr__(name: str) -> Any:
    home = _HOMES.get(name)
    if home is None:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = getattr(import_module(f".{home}", __name__), name)
    globals()[name] = value  # from now on an ordinary attribute
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})

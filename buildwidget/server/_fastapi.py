"""``router``, an ``APIRouter`` for FastAPI applications that serve other things too."""

from __future__ import annotations

from typing import Any

from starlette.routing import Route

from .._extras import needs_extra
from .access import Access
from .app import Guard, build_routes
from .config import ServerOptions
from .sessions import Sessions, default_sessions, set_default_sessions

__all__ = ["configure", "make_router"]


def configure(**options: Any) -> Sessions:
    """Set the options of `router` and the ``broadcast_*`` functions: tokens, origins, host names, limits.

    Call it once, before the router is included. The keywords are the attributes of `ServerOptions`.

    Raises
    ------
    OptionsError
        If an option is invalid, or two contradict each other.
    """
    options.setdefault("open_sessions", True)
    chosen = ServerOptions(**options)
    chosen.check()
    sessions = Sessions(chosen)
    set_default_sessions(sessions)
    return sessions


def make_router() -> Any:
    """The routes below ``/api/build`` as an ``APIRouter``, guarded as the server guards them.

    Raises
    ------
    MissingExtraError
        If FastAPI is not installed.
    """
    with needs_extra("the router"):
        from fastapi import APIRouter
    sessions = default_sessions()
    access = Access(sessions.options)
    routes: list[Any] = []
    for route in build_routes(sessions, access):
        if isinstance(route, Route):  # a WebSocket is checked by its handler, which can refuse it with a reason
            # FastAPI builds new routes from the endpoints, so the guard must wrap the endpoint.
            routes.append(Route(route.path, Guard(route.app, access), methods=list(route.methods or ())))
        else:
            routes.append(route)
    return APIRouter(routes=routes)

"""``router`` for an application of one's own: FastAPI takes only its own kind."""

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
    """Set how `router` and the ``broadcast_*`` functions serve: tokens, origins, names, limits.

    Call it once, before the router is included. See `ServerOptions` for what there is to set.

    Raises
    ------
    OptionsError
        If the options do not go together.
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
        Without FastAPI.
    """
    with needs_extra("the router"):
        from fastapi import APIRouter
    sessions = default_sessions()
    access = Access(sessions.options)
    routes: list[Any] = []
    for route in build_routes(sessions, access):
        if isinstance(route, Route):  # WebSockets are checked where their refusal can be told
            # FastAPI makes routes anew from their endpoints, so the guard must be the endpoint.
            routes.append(Route(route.path, Guard(route.app, access), methods=list(route.methods or ())))
        else:
            routes.append(route)
    return APIRouter(routes=routes)

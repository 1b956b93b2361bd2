"""The ASGI application: routes, access control and security headers."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from codecs import BOM_UTF8
from collections.abc import AsyncGenerator, Mapping, MutableMapping, Sequence
from pathlib import Path
from typing import Any, Final
from urllib.parse import quote

import msgspec
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.requests import ClientDisconnect, Request
from starlette.responses import FileResponse, Response
from starlette.routing import Route, WebSocketRoute

from ..errors import BadRequestError, PublishError, UnknownSessionError
from .access import Access, Refusal
from .config import ServerOptions, session_ids
from .lines import respond, wants_lines
from .responses import StateResponse
from .sessions import Sessions, note_sessions
from .stream import Receive, Scope, Send, handle

__all__ = ["build_routes", "create_app"]

logger = logging.getLogger("buildwidget.server")

STATIC: Final = Path(__file__).parent.parent / "static"
ASSETS: Final = {"page.js": "text/javascript", "page.css": "text/css"}
MAX_BODY: Final = 2**20  # bytes of one publication
DRAIN_SECONDS: Final = 5.0  # for reading a body that is refused
DRAIN_BYTES: Final = 64 * 2**20  # of it; they are read and discarded

# No foreign resources, no inline code, no embedding in frames.
POLICY: Final = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; connect-src 'self'; "
    "base-uri 'none'; form-action 'none'; frame-ancestors 'none'; "
    "require-trusted-types-for 'script'; trusted-types lit-html"
)
SECURITY: Final = [
    (b"content-security-policy", POLICY.encode()),
    (b"x-content-type-options", b"nosniff"),
    (b"referrer-policy", b"no-referrer"),
    (b"cross-origin-resource-policy", b"same-origin"),
    (b"x-frame-options", b"DENY"),
]
OPEN: Final = frozenset({"/healthz", "/readyz"})  # health checks need no token; they reveal nothing about builds


def create_app(
    projects: str | Path | Sequence[str | Path] | Mapping[str, str | Path] | None = None,
    *,
    options: ServerOptions | None = None,
    sessions: Sessions | None = None,
) -> Starlette:
    """Make the server's ASGI application, for any ASGI server.

    Parameters
    ----------
    projects
        A project's folder, several, or a mapping of session ids to folders. None, and no ``sessions``: a session is
        created when a client connects to it or publishes into it.
    options
        How to serve.
    sessions
        Serve these instead of ``projects``; they are not closed with the application.

    Returns
    -------
    starlette.applications.Starlette
        ``app.state.sessions`` are its sessions. The ``broadcast_*`` functions find them until the application ends.

    Raises
    ------
    OptionsError
        If a session id is not possible.
    """
    options = options or ServerOptions()
    if projects is None:
        named = dict(options.sessions)
    elif isinstance(projects, Mapping):
        named = {name: Path(path) for name, path in projects.items()}
    else:
        listed = [projects] if isinstance(projects, str | Path) else projects
        named = session_ids([Path(path) for path in listed], dict(options.sessions))
    options = msgspec.structs.replace(options, sessions=named, open_sessions=options.open_sessions or not named)
    options.check()
    served = sessions or Sessions(options)

    @contextlib.asynccontextmanager
    async def lifespan(_: Starlette) -> AsyncGenerator[None]:
        for name, path in named.items():
            if name not in served.ids():
                served.open(name, path)
        try:
            yield
        finally:
            await served.close_clients()
            if sessions is None:
                served.close()

    access = Access(options)
    app = Starlette(
        routes=[*build_routes(served, access), *_pages(served, access)],
        middleware=[Middleware(Guard, access=access)],
        exception_handlers={HTTPException: _http_error, Exception: _crash},  # pyright: ignore[reportArgumentType]
        lifespan=lifespan,
    )
    app.state.sessions = served
    app.state.options = options
    note_sessions(served)
    return app


def build_routes(sessions: Sessions, access: Access, prefix: str = "/api/build") -> list[Any]:
    """Return the routes of the protocol: streams, status, publishing."""
    api = _Api(sessions, access)
    return [
        WebSocketRoute(f"{prefix}/stream/{{session_id}}", _Stream(sessions, access)),
        Route(f"{prefix}/stream/{{session_id}}", _Lines(sessions), methods=["GET"]),
        Route(f"{prefix}/sessions", api.list, methods=["GET"]),
        Route(f"{prefix}/status/{{session_id}}", api.status, methods=["GET"]),
        Route(f"{prefix}/sessions/{{session_id}}/events", api.publish, methods=["POST"]),
    ]


def _pages(sessions: Sessions, access: Access) -> list[Any]:
    pages = _Pages(sessions, access)
    return [
        Route("/", pages.page, methods=["GET"]),
        Route("/static/{name}", pages.asset, methods=["GET"]),
        Route("/healthz", pages.healthz, methods=["GET"]),
        Route("/readyz", pages.readyz, methods=["GET"]),
        Route("/metrics", pages.metrics, methods=["GET"]),
        Route("/asyncapi.json", pages.asyncapi, methods=["GET"]),
        Route("/openapi.json", pages.openapi, methods=["GET"]),
        Route("/schema/{name}.json", pages.schema, methods=["GET"]),
    ]


def json_response(value: Any, status: int = 200, headers: Mapping[str, str] | None = None) -> Response:
    """Return ``value`` as compact JSON that caches must not store."""
    all_headers = {"cache-control": "no-store", **(headers or {})}
    return Response(msgspec.json.encode(value), status, all_headers, "application/json")


def error_response(status: int, error: str, message: str, headers: Mapping[str, str] | None = None) -> Response:
    """Return an error body: a code for programs and a message for people."""
    return json_response({"error": error, "message": message}, status, headers)


class Guard:
    """Middleware that refuses unauthorized requests and adds security and CORS headers."""

    def __init__(self, app: Any, access: Access) -> None:
        self._app, self._access = app, access

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request."""
        _strip_repeated_prefix(scope)
        if scope["type"] != "http":  # a WebSocket is checked by its handler, which can refuse it with a reason
            await self._app(scope, receive, send)
            return
        extra = list(SECURITY)
        origin = dict(scope["headers"]).get(b"origin")
        path = scope["path"].removeprefix(scope.get("root_path", "") or "\0")
        preflight = scope["method"] == "OPTIONS"
        if path in OPEN:
            refusal = None
        elif preflight or path in {"", "/"} or path.startswith("/static/"):
            refusal = self._access.check_source(scope)
        elif scope["method"] == "POST":
            refusal = self._access.check(scope, write=True)
        else:
            refusal = self._access.check(scope)
        if origin is not None and not isinstance(refusal, Refusal):
            extra += [(b"access-control-allow-origin", origin), (b"vary", b"Origin")]
            extra = [
                (b"cross-origin-resource-policy", b"cross-origin") if k == b"cross-origin-resource-policy" else (k, v)
                for k, v in extra
            ]

        async def send_more(message: MutableMapping[str, Any]) -> None:
            if message["type"] == "http.response.start":
                given = {name for name, _ in message.get("headers", ())}
                message["headers"] = [*message.get("headers", ()), *(pair for pair in extra if pair[0] not in given)]
            await send(message)

        if isinstance(refusal, Refusal):
            headers = {"www-authenticate": "Bearer"} if refusal.status == 401 else None
            if scope["method"] == "POST":
                await _drain(scope, receive)
            response = error_response(refusal.status, refusal.error, refusal.message, headers)
            await response(scope, receive, send_more)
        elif preflight:
            allow = {
                "access-control-allow-methods": "GET, POST",
                "access-control-allow-headers": "authorization, content-type, last-event-id",
                "access-control-max-age": "600",
            }
            await Response(status_code=204, headers=allow)(scope, receive, send_more)
        elif path == "" and scope["method"] in {"GET", "HEAD"}:  # the page's links are relative
            query = b"?" + scope["query_string"] if scope["query_string"] else b""
            there = {"location": f"{quote(scope['path'])}/{query.decode('latin-1')}"}
            await Response(status_code=307, headers=there)(scope, receive, send_more)
        else:
            await self._app(scope, receive, send_more)


async def _drain(scope: Scope, receive: Receive) -> None:
    """Read and discard a refused body: closing with unread bytes would reset the connection and lose the response.

    Bounded by `DRAIN_BYTES` and `DRAIN_SECONDS`. A client that sent ``Expect: 100-continue`` sends no body at all.
    """
    if b"expect" in dict(scope["headers"]):
        return
    size, more = 0, True
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(DRAIN_SECONDS):
            while more and size <= DRAIN_BYTES:
                message = await receive()
                size += len(message.get("body", b""))
                more = message.get("more_body", False)


def _strip_repeated_prefix(scope: Scope) -> None:
    """Strip ``root_path`` once if it is there twice: the server adds it, and no proxy had removed it."""
    root = scope.get("root_path", "")
    if root and f"{scope.get('path', '')}/".startswith(f"{root}{root}/"):
        scope["path"] = scope["path"].removeprefix(root)
        scope["raw_path"] = (scope.get("raw_path") or b"").removeprefix(root.encode())


class _Stream:
    """``WS /api/build/stream/{session_id}``."""

    def __init__(self, sessions: Sessions, access: Access) -> None:
        self._sessions, self._access = sessions, access

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        session_id = scope["path_params"]["session_id"]
        await handle(scope, receive, send, sessions=self._sessions, access=self._access, session_id=session_id)


class _Lines:
    """``GET /api/build/stream/{session_id}``: the same as SSE or NDJSON."""

    def __init__(self, sessions: Sessions) -> None:
        self._sessions = sessions

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        request = Request(scope)
        kind = wants_lines(request.headers.get("accept", ""))
        problem: Response | None = None
        if kind is None:
            problem = error_response(
                406, "not_acceptable", "connect with a WebSocket, or accept text/event-stream or application/x-ndjson"
            )
        elif self._sessions.is_full:
            problem = error_response(503, "too_many", "too many clients; try again later", {"retry-after": "5"})
        else:
            try:
                await respond(
                    scope,
                    receive,
                    send,
                    sessions=self._sessions,
                    session_id=scope["path_params"]["session_id"],
                    kind=kind,
                )
            except UnknownSessionError as error:
                problem = error_response(404, "no_session", str(error))
            except BadRequestError as error:
                problem = error_response(400, "bad_request", str(error))
        if problem is not None:
            await problem(scope, receive, send)


class _Api:
    def __init__(self, sessions: Sessions, access: Access) -> None:
        self._sessions, self._access = sessions, access

    async def list(self, request: Request) -> Response:  # noqa: ARG002 (the shape of an endpoint)
        return json_response({"sessions": self._sessions.overview()})

    async def status(self, request: Request) -> Response:
        try:
            hub = self._sessions.hub(request.path_params["session_id"])
        except UnknownSessionError as error:
            return error_response(404, "no_session", str(error))
        return StateResponse(hub)

    async def publish(self, request: Request) -> Response:
        session_id = request.path_params["session_id"]
        body = bytearray()
        too_big = int(request.headers.get("content-length", 0)) > MAX_BODY  # the parser has validated the number
        try:
            if not too_big:
                async for part in request.stream():
                    too_big = len(body) + len(part) > MAX_BODY
                    if too_big:
                        break
                    body += part
        except ClientDisconnect:
            logger.info("the client disconnected in the middle of a publication into %s", session_id)
            return Response(status_code=400)  # the client is gone
        if too_big:
            del body
            await _drain(request.scope, request.receive)
            return error_response(413, "too_big", "at most 1 MiB at once; send the messages in several requests")
        try:
            messages = msgspec.json.decode(bytes(body).removeprefix(BOM_UTF8))
        except (msgspec.DecodeError, RecursionError) as error:
            return error_response(400, "bad_request", f"this is not JSON: {error}")
        try:
            seq = self._sessions.publish(session_id, messages)
        except PublishError as error:
            return error_response(400, "bad_request", str(error))
        except UnknownSessionError as error:
            return error_response(404, "no_session", str(error))
        return json_response({"session_id": session_id, "epoch": self._sessions.get(session_id).epoch, "seq": seq})


class _Pages:
    def __init__(self, sessions: Sessions, access: Access) -> None:
        self._sessions, self._access = sessions, access

    async def page(self, request: Request) -> Response:
        verdict = self._access.check(request.scope)
        if isinstance(verdict, Refusal):
            text = f"{verdict.message}\n\nOpen this page once as …/?token=TOKEN; the browser then remembers it.\n"
            return Response(text, verdict.status, {"www-authenticate": "Bearer"}, "text/plain")
        path = STATIC / "page.html"
        if not path.is_file():
            return error_response(500, "no_page", "the page is not built; in a checkout run 'make setup'")
        response = Response(path.read_bytes(), 200, {"cache-control": "no-cache"}, "text/html")
        if self._access.may_set_cookie(request.scope):
            name, value = self._access.cookie
            response.set_cookie(
                name,
                value,
                path=None,  # by default that of the URL in the browser, which a proxy may have changed
                httponly=True,
                samesite="lax",  # a link from a chat or an issue opens the page; a cookie never publishes
                secure=request.scope["scheme"] == "https",
            )
        return response

    async def asset(self, request: Request) -> Response:
        name = request.path_params["name"]
        if name not in ASSETS or not (STATIC / name).is_file():
            return error_response(404, "not_found", "there is no resource at this address")
        return FileResponse(STATIC / name, media_type=ASSETS[name], headers={"cache-control": "no-cache"})

    async def healthz(self, request: Request) -> Response:  # noqa: ARG002
        return json_response({"status": "ok"})

    async def readyz(self, request: Request) -> Response:  # noqa: ARG002
        if self._sessions.closing:
            return json_response({"status": "closing"}, 503)
        return json_response({"status": "ready"}) if self._sessions.ready else json_response({"status": "reading"}, 503)

    async def metrics(self, request: Request) -> Response:
        from .metrics import render

        body, kind = render(self._sessions, request.headers.get("accept", ""))
        return Response(body, 200, {"cache-control": "no-store", "content-type": kind})

    async def asyncapi(self, request: Request) -> Response:  # noqa: ARG002
        from .schema import asyncapi

        return json_response(asyncapi())

    async def openapi(self, request: Request) -> Response:  # noqa: ARG002
        from .schema import openapi

        return json_response(openapi())

    async def schema(self, request: Request) -> Response:
        from .schema import schemas

        found = schemas().get(request.path_params["name"])
        if found is None:
            names = ", ".join(sorted(schemas()))
            return error_response(404, "not_found", f"there is no such schema; the schemas are {names}")
        return json_response(found)


async def _http_error(request: Request, error: HTTPException) -> Response:  # noqa: ARG001
    text = {404: "there is no resource at this address", 405: "this address does not take that method"}.get(
        error.status_code, error.detail
    )
    return error_response(error.status_code, "not_found" if error.status_code == 404 else "refused", text)


async def _crash(request: Request, error: Exception) -> Response:
    logger.error("%s %s failed", request.method, request.url.path, exc_info=error)
    return error_response(500, "internal", "the server failed to answer; its log has the traceback")

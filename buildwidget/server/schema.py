"""The protocol for programs: JSON Schemas of every message, AsyncAPI for the stream, OpenAPI for the rest.

All of it is made from the classes of `buildwidget.events`, which are the protocol.
"""

from __future__ import annotations

import inspect
from functools import cache
from typing import Any, Final, cast, get_args

import msgspec

from .. import __version__
from .. import events as ev
from ..publish import shapes
from .filters import LEVELS

__all__ = ["asyncapi", "openapi", "schemas"]

DIALECT: Final = "https://json-schema.org/draft/2020-12/schema"
_STREAM: Final = "/api/build/stream/{session_id}"
_NUMBERED: Final = tuple(get_args(ev.Event))
_OTHERS: Final = (
    ev.Connection,
    ev.Snapshot,
    ev.Gap,
    ev.Heartbeat,
    ev.Pong,
    ev.Subscribed,
    ev.StatusReport,
)
_TOPICS: Final[dict[str, Any]] = {"type": "array", "maxItems": 64, "items": {"enum": [*ev.TOPICS, *sorted(ev.TYPES)]}}
_IDS: Final[dict[str, Any]] = {"type": "array", "maxItems": 1000, "items": {"type": "string"}}
_CLIENT: Final[dict[str, dict[str, Any]]] = {
    "ping": {"id": {"type": ["number", "string", "null"]}},
    "subscribe": {"topics": _TOPICS, "components": _IDS, "min_level": {"enum": list(LEVELS)}},
    "unsubscribe": {"topics": _TOPICS},
    "request_status": {"id": {"type": ["number", "string", "null"]}},
    "resume": {"epoch": {"type": "string"}, "seq": {"type": "integer", "minimum": 0}},
}
_NEEDED: Final = {"unsubscribe": ["topics"], "resume": ["epoch", "seq"]}


@cache
def schemas() -> dict[str, dict[str, Any]]:
    """Return self-contained JSON Schemas by name: one for each message type, and

    ``server-message`` (any of them), ``client-message``, ``publication`` (what may be published), ``error-body`` and
    ``sessions``.
    """
    found: dict[str, dict[str, Any]] = {}
    classes = (*_NUMBERED, *_OTHERS)
    for cls in classes:
        [own], parts = msgspec.json.schema_components([cls], ref_template="#/$defs/{name}")
        found[ev.type_of(cls)] = _whole(ev.type_of(cls), own, parts, inspect.getdoc(cls) or "")
    owns, parts = msgspec.json.schema_components(classes, ref_template="#/$defs/{name}")
    found["server-message"] = _whole("server-message", {"oneOf": list(owns)}, parts, "Any message of the server.")
    asks: list[dict[str, Any]] = []
    for name, fields in _CLIENT.items():
        properties = {"type": {"const": name}, **fields}
        asks.append({"type": "object", "properties": properties, "required": ["type", *_NEEDED.get(name, [])]})
    found["client-message"] = _whole("client-message", {"oneOf": asks}, {}, "What a client may send.")
    found["publication"] = _publication()
    error = {"error": {"type": "string"}, "message": {"type": "string"}}
    body: dict[str, Any] = {"type": "object", "properties": error, "required": ["error", "message"]}
    found["error-body"] = _whole("error-body", body, {}, "What every HTTP error says: a code, and what to do.")
    found["sessions"] = _whole("sessions", _sessions(), {}, "The sessions of a server.")
    return found


def _whole(name: str, own: dict[str, Any], parts: dict[str, Any], text: str) -> dict[str, Any]:
    head = {"$schema": DIALECT, "$id": f"schema/{name}.json", "title": name, "description": text}
    return {**head, **own, **({"$defs": parts} if parts else {})}


def _publication() -> dict[str, Any]:
    """Return the schema of one publication or a list, from the types that validate them."""
    found = shapes()
    owns, parts = msgspec.json.schema_components(list(found.values()), ref_template="#/$defs/{name}")
    one: list[dict[str, Any]] = []
    for name, own in zip(found, owns, strict=True):
        one.append({"allOf": [{"properties": {"type": {"const": name}}, "required": ["type"]}, own]})
    many = {"type": "array", "maxItems": 1000, "items": {"anyOf": one}}
    text = "What POST …/events takes: one message, or at most 1,000. Fields that are not given stay as they are."
    return _whole("publication", {"anyOf": [*one, many]}, parts, text)


def _sessions() -> dict[str, Any]:
    texts = ("session_id", "project", "status", "epoch", "stream", "page")
    row = {name: {"type": "string"} for name in texts}
    numbers: dict[str, Any] = {name: {"type": "integer"} for name in ("first_seq", "seq", "clients")}
    numbers["percent"] = {"type": ["number", "null"]}
    more = {"phase": {"type": ["string", "null"]}, "updated_at": {"type": ["string", "null"], "format": "date-time"}}
    item = {"type": "object", "properties": {**row, **numbers, **more}, "required": [*texts, *numbers]}
    return {"type": "object", "properties": {"sessions": {"type": "array", "items": item}}, "required": ["sessions"]}


_QUERY: Final[dict[str, tuple[str, dict[str, Any]]]] = {
    "epoch": ("The log that a client has read, with `since`.", {"type": "string"}),
    "since": (
        "The number of the last message it has: exactly those after it follow.",
        {"type": "integer", "minimum": 0},
    ),
    "snapshot": ("1: begin with the whole state as one message.", {"enum": ["0", "1"]}),
    "topics": ("Message types or groups of them; with commas between, or repeated.", _TOPICS),
    "components": (
        "Ids of components: only these, and their features. With commas between, or repeated; a comma in an id is %2C.",
        _IDS,
    ),
    "min_level": ("The least level of output, warnings and errors.", {"enum": list(LEVELS)}),
    "token": ("The read token, where no header can be set.", {"type": "string"}),
}


@cache
def asyncapi() -> dict[str, Any]:
    """Return the AsyncAPI 3.0 document of the WebSocket."""
    found = schemas()
    server = [ev.type_of(cls) for cls in (*_OTHERS, *_NUMBERED)]
    messages: dict[str, Any] = {
        name: {"name": name, "summary": found[name]["description"].split("\n")[0], "payload": _part(found[name])}
        for name in server
    }
    messages["client"] = {
        "name": "client",
        "summary": "What a client may send.",
        "payload": _part(found["client-message"]),
    }
    query = {name: {"description": text, **schema} for name, (text, schema) in _QUERY.items()}
    channel = {
        "address": _STREAM,
        "description": "One build, live. Close codes: 1000 done, 1001 going away, 1008 policy, 1009 too big, 1013 too "
        "slow or too many, 4404 no such session.",
        "parameters": {"session_id": {"description": "The session's id, percent-encoded."}},
        "messages": {name: {"$ref": f"#/components/messages/{name}"} for name in messages},
        "bindings": {"ws": {"query": {"type": "object", "properties": query}}},
    }
    return {
        "asyncapi": "3.0.0",
        "info": {"title": "buildwidget stream", "version": __version__, "description": "Protocol version 1."},
        "channels": {"stream": channel},
        "operations": {
            "follow": {
                "action": "send",
                "channel": {"$ref": "#/channels/stream"},
                "messages": [{"$ref": f"#/channels/stream/messages/{name}"} for name in server],
            },
            "ask": {
                "action": "receive",
                "channel": {"$ref": "#/channels/stream"},
                "messages": [{"$ref": "#/channels/stream/messages/client"}],
            },
        },
        "components": {
            "messages": messages,
            "schemas": _shared(),
            "securitySchemes": {"bearer": {"type": "http", "scheme": "bearer"}},
        },
    }


@cache
def openapi() -> dict[str, Any]:
    """Return the OpenAPI 3.1 document of the HTTP interface."""
    found = schemas()
    one = {
        "name": "session_id",
        "in": "path",
        "required": True,
        "schema": {"type": "string", "minLength": 1},
    }
    query = [{"name": n, "in": "query", "description": t, "schema": s} for n, (t, s) in _QUERY.items() if n != "token"]
    last = {
        "name": "Last-Event-ID",
        "in": "header",
        "description": "epoch:seq, as event sources send it.",
        "schema": {"type": "string"},
    }

    def answer(text: str, schema: dict[str, Any] | None = None, kind: str = "application/json") -> dict[str, Any]:
        return {"description": text, **({"content": {kind: {"schema": schema}}} if schema is not None else {})}

    refused = {
        "401": answer("No valid token.", {"$ref": "#/components/schemas/error-body"}),
        "403": answer("Not from here, or not with this token.", {"$ref": "#/components/schemas/error-body"}),
    }
    missing = {"404": answer("No such session.", {"$ref": "#/components/schemas/error-body"})}
    text: dict[str, Any] = {"type": "string"}
    stream = {
        "summary": "The same stream as on the WebSocket, as events or lines.",
        "parameters": [one, *query, last],
        "responses": {
            "200": {
                "description": "Messages, as long as the client stays.",
                "content": {"text/event-stream": {"schema": text}, "application/x-ndjson": {"schema": text}},
            },
            "400": answer("The query cannot be read.", {"$ref": "#/components/schemas/error-body"}),
            **refused,
            **missing,
        },
    }
    place: dict[str, Any] = {"session_id": text, "epoch": text, "seq": {"type": "integer"}}
    taken: dict[str, Any] = {"type": "object", "properties": place}
    publish = {
        "summary": "Publish into a build. Needs the write token.",
        "parameters": [one],
        "requestBody": {"content": {"application/json": {"schema": {"$ref": "#/components/schemas/publication"}}}},
        "responses": {
            "200": answer("Taken; the number of the newest message.", taken),
            "400": answer(
                "Not a message that may be published; nothing was taken.", {"$ref": "#/components/schemas/error-body"}
            ),
            "413": answer("More than 1 MiB at once.", {"$ref": "#/components/schemas/error-body"}),
            **refused,
            **missing,
        },
    }
    whole = {**place, "state": {"$ref": "#/components/schemas/State"}}
    status: dict[str, Any] = {"type": "object", "properties": whole}

    def plain(summary: str, kind: str = "application/json") -> dict[str, Any]:
        return {"get": {"summary": summary, "responses": {"200": answer(summary, {}, kind)}}}

    return {
        "openapi": "3.1.0",
        "info": {"title": "buildwidget", "version": __version__, "description": "Builds, live. Protocol version 1."},
        "paths": {
            "/": plain("The live page.", "text/html"),
            _STREAM: {"get": stream},
            "/api/build/sessions": {
                "get": {
                    "summary": "The sessions of this server.",
                    "responses": {"200": answer("A row each.", {"$ref": "#/components/schemas/sessions"}), **refused},
                }
            },
            "/api/build/status/{session_id}": {
                "get": {
                    "summary": "The present state.",
                    "parameters": [one],
                    "responses": {"200": answer("The state and its number.", status), **refused, **missing},
                }
            },
            "/api/build/sessions/{session_id}/events": {"post": publish},
            "/healthz": plain("Whether the server lives. Open to all."),
            "/readyz": plain("Whether every project has been read; 503 until then. Open to all."),
            "/metrics": plain("Numbers for Prometheus.", "text/plain"),
            "/asyncapi.json": plain("The stream, for programs."),
            "/openapi.json": plain("This."),
            "/schema/{name}.json": {
                "get": {
                    "summary": "A JSON Schema.",
                    "parameters": [{"name": "name", "in": "path", "required": True, "schema": {"enum": sorted(found)}}],
                    "responses": {"200": answer("The schema.", {})},
                }
            },
        },
        "security": [{}, {"bearer": []}],
        "components": {
            "schemas": {**_shared(), **{n: _part(found[n]) for n in ("publication", "error-body", "sessions")}},
            "securitySchemes": {"bearer": {"type": "http", "scheme": "bearer"}},
        },
    }


def _shared() -> dict[str, Any]:
    """Return the definitions that several messages share, for ``components/schemas``."""
    _, parts = msgspec.json.schema_components((*_NUMBERED, *_OTHERS), ref_template="#/components/schemas/{name}")
    _, more = msgspec.json.schema_components(list(shapes().values()), ref_template="#/components/schemas/{name}")
    return {**more, **parts}


def _part(schema: dict[str, Any]) -> dict[str, Any]:
    """Return a schema as part of a document: its ``$defs`` references point to ``components/schemas``."""
    head = {"$schema", "$id", "$defs", "title"}
    return _moved({name: value for name, value in schema.items() if name not in head})


def _moved(value: Any) -> Any:
    if isinstance(value, dict):
        return {name: _moved(inner) for name, inner in cast("dict[str, Any]", value).items()}
    if isinstance(value, list):
        return [_moved(inner) for inner in cast("list[Any]", value)]
    if isinstance(value, str) and value.startswith("#/$defs/"):
        return value.replace("#/$defs/", "#/components/schemas/")
    return value

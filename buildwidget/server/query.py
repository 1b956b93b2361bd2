"""Parsing of the query string of a stream: where to start, and the filter. Pure functions of bytes."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, Final
from urllib.parse import unquote_to_bytes

from ..errors import BadRequestError, FilterError
from .clients import Start
from .filters import EVERYTHING, MAX_COMPONENTS, MAX_TOPICS, Filter

__all__ = ["fields_of", "start_of", "text_of"]

MAX_FIELDS: Final = MAX_COMPONENTS + MAX_TOPICS + 100
_ONCE: Final = ("since", "epoch", "snapshot", "min_level")


def fields_of(raw: bytes) -> dict[str, list[bytes]]:
    """Return the values of each field by name, in order, still percent-encoded. Empty fields are ignored.

    Raises
    ------
    BadRequestError
        If there are more than `MAX_FIELDS`, or a name is not UTF-8.
    """
    parts = raw.split(b"&", MAX_FIELDS)
    if len(parts) > MAX_FIELDS:
        raise BadRequestError(f"the query has more than {MAX_FIELDS:,} fields")
    found: dict[str, list[bytes]] = {}
    for part in parts:
        name, _, value = part.partition(b"=")
        if value:
            found.setdefault(text_of(name), []).append(value)
    return found


def text_of(value: bytes) -> str:
    """Decode a percent-encoded name or value.

    Raises
    ------
    BadRequestError
        If it is not UTF-8.
    """
    try:
        return unquote_to_bytes(value.replace(b"+", b" ")).decode()
    except UnicodeDecodeError:
        raise BadRequestError(f"{value[:40].decode('ascii', 'replace')!r} in the query is not UTF-8") from None


def start_of(scope: Mapping[str, Any]) -> tuple[Start, Filter]:
    """Return the start and the filter that the query of an ASGI scope asks for.

    Lists are written with commas, by repeating the field, or both.

    Raises
    ------
    BadRequestError
        If ``since``, ``topics``, ``components`` or ``min_level`` cannot be read, or if a field that has one value has
        several that differ.
    """
    raw = scope.get("query_string", b"")
    if not raw:
        return Start(), EVERYTHING
    fields = fields_of(raw)
    values = {name: _only(name, fields[name]) for name in _ONCE if name in fields}
    since = None
    if "since" in values:
        text = values["since"]
        if not (text.isascii() and text.isdigit() and len(text) <= 16):
            raise BadRequestError(f"since must be a sequence number, got {text[:40]!r}")
        since = int(text)
    topics = _topics(fields["topics"]) if "topics" in fields else None
    components = _ids(fields["components"]) if "components" in fields else None
    try:
        wanted = Filter.of(topics, components, values.get("min_level"))
    except FilterError as error:
        raise BadRequestError(str(error)) from None
    snapshot = values.get("snapshot", "") not in {"", "0", "false"}
    return Start(values.get("epoch"), since, snapshot), (EVERYTHING if wanted == EVERYTHING else wanted)


def _only(name: str, values: list[bytes]) -> str:
    texts = {text_of(value) for value in values}
    if len(texts) > 1:
        raise BadRequestError(f"{name} is given {len(values)} times, with different values")
    return texts.pop()


def _topics(values: Iterable[bytes]) -> list[str] | None:
    """Split lists of topics; no topic holds a comma, so an encoded comma separates as well."""
    names = [name.strip() for value in values for name in text_of(value).split(",")]
    return list(dict.fromkeys(filter(None, names))) or None


def _ids(values: Iterable[bytes]) -> list[str] | None:
    """Split lists of ids.

    An encoded comma is ambiguous: it may belong to an id, or the library may have encoded the commas of a list. So the
    result holds both the whole text and its parts.
    """
    found: dict[str, None] = {}
    for value in values:
        for piece in value.split(b","):
            whole = text_of(piece)
            for one in (whole, *map(str.strip, whole.split(","))):
                if one:
                    found[one] = None
    return list(found) or None

"""Bytes → one JSON object, or a `CheckpointError` that says what is wrong and where.

The fast path is msgspec, three times as fast as the standard library; it reads strict JSON, and nearly all files are.
The fallback is the standard library, for what real files also hold: NaN, 1e400, lone surrogates, a byte order mark.
"""

from __future__ import annotations

import json
from typing import Any, Final, TypeGuard, cast

import msgspec

from ..errors import CheckpointError
from .files import MAX_BYTES, too_big

__all__ = ["decode_object", "is_dict", "valid_text"]

_LONGEST_INT: Final = 400  # digits; a longer number exceeds the range of a float and is kept as text
_BOM: Final = b"\xef\xbb\xbf"
_decoder: Final = msgspec.json.Decoder()
_KIND: Final[dict[type, str]] = {list: "a list", str: "a text", bool: "a truth value", type(None): "null"}


def is_dict(value: object) -> TypeGuard[dict[str, Any]]:
    """Tell whether a decoded JSON value is an object. Its keys are always strings."""
    return isinstance(value, dict)


def decode_object(path: object, raw: bytes) -> dict[str, Any]:
    """Decode the JSON object in ``raw``.

    Strings in it are valid Unicode; lone surrogates were replaced. Numbers may be NaN or infinite.

    Raises
    ------
    CheckpointError
        With code ``empty``, ``too_big``, ``not_utf8``, ``not_json``, ``too_deep`` or ``not_object``.
    """
    if len(raw) > MAX_BYTES:
        raise too_big(path, len(raw), MAX_BYTES)
    try:
        value = _decoder.decode(raw)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError, ValueError):
        value = _lenient(path, raw)
    if not is_dict(value):
        kind = _KIND.get(cast("type[object]", type(value)), "a number")
        raise CheckpointError(path, f"expected a JSON object, found {kind}", "$", code="not_object")
    return value


def _lenient(path: object, raw: bytes) -> object:
    if not raw.strip(b" \t\r\n\0\xef\xbb\xbf"):
        reason = "the file is empty" if not raw else "the file holds nothing but blanks"
        raise CheckpointError(path, reason, code="empty")
    try:
        text = raw.removeprefix(_BOM).decode("utf-8")
    except UnicodeDecodeError as error:
        if error.reason == "unexpected end of data":  # cut in the middle of a character
            raise CheckpointError(path, "the JSON is cut off", f"byte {error.start}", code="not_json") from None
        raise CheckpointError(
            path, f"the text is not UTF-8 ({error.reason})", f"byte {error.start}", code="not_utf8"
        ) from None
    try:
        value = json.loads(text, parse_int=_int)
    except json.JSONDecodeError as error:
        # A cut file fails at its end, or at a string without a closing quote.
        cut = error.pos >= len(text.rstrip()) or error.msg.startswith("Unterminated")
        reason = "the JSON is cut off" if cut else f"not JSON: {error.msg[0].lower()}{error.msg[1:]}"
        place = f"line {error.lineno}, column {error.colno}"
        raise CheckpointError(path, reason, place, code="not_json") from None
    except RecursionError:
        raise CheckpointError(path, "the JSON is nested too deeply to be a checkpoint", code="too_deep") from None
    return _repaired(value)


def _int(digits: str) -> int | str:
    # The conversion takes quadratic time, and Python refuses more than 4,300 digits.
    return int(digits) if len(digits) <= _LONGEST_INT else digits


def _repaired(value: object) -> object:
    """Replace every lone surrogate in ``value``. Not recursive: valid JSON may be nested 900 levels deep."""
    root: list[Any] = [value]
    todo: list[Any] = [root]
    while todo:
        container = todo.pop()
        entries: list[tuple[Any, Any]]
        if is_dict(container):
            for key in [key for key in container if not _is_valid(key)]:
                container[valid_text(key)] = container.pop(key)
            entries = list(container.items())
        else:
            entries = list(enumerate(cast("list[Any]", container)))
        for key, child in entries:
            if type(child) is str:
                container[key] = valid_text(child)
            elif type(child) is dict or type(child) is list:
                todo.append(child)
    return root[0]


def _is_valid(text: str) -> bool:
    if text.isascii():
        return True
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


def valid_text(text: str) -> str:
    """Return the text with every lone surrogate, which UTF-8 cannot hold, replaced by U+FFFD."""
    if _is_valid(text):
        return text
    return text.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "replace")

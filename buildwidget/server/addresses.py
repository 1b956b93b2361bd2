"""Encode session ids in URLs, and check that they can be."""

from __future__ import annotations

from typing import Final
from urllib.parse import quote

from ..errors import OptionsError

__all__ = ["check_id", "page_query", "stream_path"]

MAX_ID: Final = 500  # bytes of UTF-8; a folder's name has at most 255


def stream_path(session_id: str) -> str:
    """Return the URL of the session's stream, relative to the page."""
    return f"api/build/stream/{quote(session_id, safe='')}"


def page_query(session_id: str) -> str:
    """Return the query string that opens the page of this session."""
    return f"?session={quote(session_id, safe='')}"


def check_id(session_id: str) -> None:
    """Refuse an id that no client could write into a URL.

    Browsers and proxies resolve ``.`` and ``..`` as path segments, and many decode an encoded slash.

    Raises
    ------
    OptionsError
        If the id is not possible; the message says which ids are.
    """
    try:
        size = len(session_id.encode())
    except UnicodeEncodeError:
        size = 0
    if session_id in {".", ".."} or not {"/", "\0"}.isdisjoint(session_id) or not 0 < size <= MAX_ID:
        raise OptionsError(
            f"{session_id[:80]!r} cannot be a part of an address. Give the session another id: text of at most "
            f"{MAX_ID} bytes, without slash and zero byte, and not '.' or '..'"
        )

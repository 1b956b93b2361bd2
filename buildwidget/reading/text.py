"""Decode logs chunk by chunk, without state: in the encoding of their byte order mark, or else as UTF-8."""

from __future__ import annotations

import codecs
from collections.abc import Callable
from typing import Final

__all__ = ["UNIT", "decode_part", "encoding_of"]

_MARKS: Final = {
    codecs.BOM_UTF8: "utf-8",
    codecs.BOM_UTF16_LE: "utf-16-le",  # PowerShell 5.1 writes it
    codecs.BOM_UTF16_BE: "utf-16-be",
}
_DECODERS: Final[dict[str, Callable[..., tuple[str, int]]]] = {
    "utf-8": codecs.utf_8_decode,
    "utf-16-le": codecs.utf_16_le_decode,
    "utf-16-be": codecs.utf_16_be_decode,
}
#: Encoding → size of its code unit in bytes. A chunk must begin at a multiple of it.
UNIT: Final = {"utf-8": 1, "utf-16-le": 2, "utf-16-be": 2}


def encoding_of(head: bytes) -> tuple[str, int] | None:
    """Detect the encoding of a file by its byte order mark.

    Parameters
    ----------
    head
        The first three bytes of the file, or fewer if it is shorter.

    Returns
    -------
    tuple of str and int, or None
        The encoding, and the size of the mark in bytes. None if ``head`` may be the beginning of a mark.
    """
    for mark, name in _MARKS.items():
        if head.startswith(mark):
            return name, len(mark)
    if any(mark.startswith(head) for mark in _MARKS):
        return None
    return "utf-8", 0


def decode_part(data: bytes, encoding: str) -> tuple[str, int]:
    """Decode a chunk; return its text and the number of bytes that were decoded.

    An incomplete character at the end is left for the next chunk; invalid bytes become U+FFFD.
    """
    text, used = _DECODERS[encoding](data, "replace", False)
    return text, used

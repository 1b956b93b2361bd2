"""Bytes of logs as text: by their byte order mark, else as UTF-8; a piece at a time, without anything kept between."""

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
#: Bytes of the smallest unit of an encoding, which a piece must not begin in the middle of.
UNIT: Final = {"utf-8": 1, "utf-16-le": 2, "utf-16-be": 2}


def encoding_of(head: bytes) -> tuple[str, int] | None:
    """The encoding of a file, and the size of the mark that tells it.

    Parameters
    ----------
    head
        The first three bytes, or what there is of them.

    Returns
    -------
    tuple of str and int, or None
        None: these may be the first bytes of a mark, and more must come before it is known.
    """
    for mark, name in _MARKS.items():
        if head.startswith(mark):
            return name, len(mark)
    if any(mark.startswith(head) for mark in _MARKS):
        return None
    return "utf-8", 0


def decode_part(data: bytes, encoding: str) -> tuple[str, int]:
    """The text of some bytes, and how many of them it took.

    A character that has begun and is not whole yet is left for the next part; what is no character becomes U+FFFD.
    """
    text, used = _DECODERS[encoding](data, "replace", False)
    return text, used

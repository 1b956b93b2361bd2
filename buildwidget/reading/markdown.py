"""The structure of a Markdown file: headings, paragraphs, list items and table rows, in reading order.

markdown-it-py parses the blocks (CommonMark, and tables); code, comments and other HTML are left out. A text is cut
before its headings and each section is parsed once: of a plan that is rewritten with one change, one section is parsed.
"""

from __future__ import annotations

import re
from collections import OrderedDict
from enum import StrEnum
from typing import TYPE_CHECKING, Final

import msgspec
from markdown_it import MarkdownIt

from ..errors import CheckpointError
from .files import too_big
from .text import encoding_of

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from markdown_it.token import Token

__all__ = ["MAX_MARKDOWN", "Block", "BlockKind", "Sections", "decode_markdown"]

#: Bytes; a larger file is refused. The largest known plan has 192 kB.
MAX_MARKDOWN: Final = 1 << 20
_MAX_CACHED: Final = 8 << 20  # characters of sections whose blocks are cached

_HEADING: Final = re.compile(r"^#{1,6}[ \t]", re.MULTILINE)
_NEWLINES: Final = re.compile(r"\r\n?")
_MAX_STRAYS: Final = 50  # fences of one text that open nothing


class BlockKind(StrEnum):
    """The kinds of `Block`."""

    HEADING = "heading"
    PARAGRAPH = "paragraph"
    ITEM = "item"  # the first paragraph of a list item
    ROW = "row"  # of a table


class Block(msgspec.Struct, frozen=True):
    """One block of text, its inline marks as written.

    Attributes
    ----------
    kind
        What it is.
    lines
        Its lines; the cells of a table's row.
    level
        Of a heading: 1 to 6. Of an item: how deep its list is nested, from 1. Of a row: 0 in the table's head, else 1.
    """

    kind: BlockKind
    lines: tuple[str, ...]
    level: int = 0


def decode_markdown(path: object, raw: bytes) -> str:
    """Decode a Markdown file: UTF-8 or, with its mark, UTF-16; invalid bytes become U+FFFD.

    Raises
    ------
    CheckpointError
        With code ``empty`` or ``too_big``.
    """
    if len(raw) > MAX_MARKDOWN:
        raise too_big(path, len(raw), MAX_MARKDOWN)
    encoding, mark = encoding_of(raw[:3]) or ("utf-8", 0)
    text = raw[mark:].decode(encoding, "replace")
    if not text.strip():
        raise CheckpointError(path, "the file is empty", code="empty")
    return text


class Sections:
    """Parses Markdown, and caches the blocks of each section by its text.

    Parameters
    ----------
    limit
        The most characters of sections to hold. The least recently used ones are dropped.
    """

    def __init__(self, limit: int = _MAX_CACHED) -> None:
        self._limit = limit
        self._size = 0
        self._cache: OrderedDict[str, tuple[Block, ...]] = OrderedDict()
        self._parser = MarkdownIt("commonmark").enable("table")
        # No setext headings: a rule under a paragraph is a rule. No reference definitions: "[x]: done" is text.
        self._parser.disable(["lheading", "reference"])
        self._parser.core.ruler.enableOnly(["normalize", "block"])

    def blocks(self, text: str) -> Iterator[Block]:
        """Iterate over the blocks of a text.

        A fence without a name, before a blank line, that takes in a heading opens nothing: people and models leave such
        a fence behind where code in code was closed twice.
        """
        text = _NEWLINES.sub("\n", text)
        at = strays = 0
        while at < len(text):
            end, blocks, stray = self._next(text, at, mend=strays < _MAX_STRAYS)
            if stray is not None:
                strays += 1
                text = text[: stray[0]] + text[stray[1] :]
                continue
            yield from blocks
            at = end

    def _next(self, text: str, start: int, *, mend: bool) -> tuple[int, tuple[Block, ...], tuple[int, int] | None]:
        """The end of the section that starts at ``start``, its blocks, and where a fence stands that opens nothing."""
        end, skip = start, 1
        while True:
            for _ in range(skip):
                found = _HEADING.search(text, end + 1)
                end = found.start() if found else len(text)
            section = text[start:end]
            blocks = self._cache.get(section)
            if blocks is not None:
                self._cache.move_to_end(section)
                return end, blocks, None
            tokens = self._parser.parse(section)
            stray = _stray(tokens, section) if mend else None
            if stray is not None:
                return end, (), (start + stray[0], start + stray[1])
            if end == len(text) or not _is_open(tokens, section):
                blocks = tuple(_blocks(tokens))
                self._put(section, blocks)
                return end, blocks, None
            skip *= 2  # what looks like a heading is inside of code or of a comment, and more may be

    def _put(self, section: str, blocks: tuple[Block, ...]) -> None:
        self._cache[section] = blocks
        self._size += len(section)
        while self._size > self._limit and len(self._cache) > 1:
            dropped, _ = self._cache.popitem(last=False)
            self._size -= len(dropped)


def _is_open(tokens: Sequence[Token], section: str) -> bool:
    """Whether code or HTML may go on after the end of a section."""
    lines = section.count("\n") + (not section.endswith("\n"))
    last = tokens[-1] if tokens else None
    return last is not None and last.type in ("fence", "html_block") and (last.map or [0, 0])[1] >= lines


def _stray(tokens: Sequence[Token], section: str) -> tuple[int, int] | None:
    """Where the line of a fence that opens nothing begins and ends; None if there is no such fence."""
    for token in tokens:
        if token.type == "fence" and token.level == 0 and token.map and not token.info.strip():
            begins_blank = not token.content.split("\n", 1)[0].strip()
            if begins_blank and _HEADING.search(token.content):
                lines = section.split("\n")  # not splitlines: the parser knows no other ends of lines
                start = sum(len(line) + 1 for line in lines[: token.map[0]])
                return start, min(start + len(lines[token.map[0]]) + 1, len(section))
    return None


def _blocks(tokens: Sequence[Token]) -> Iterator[Block]:
    lists = 0
    first = False  # whether the next paragraph is the first of a list item
    heading = 0
    row: list[str] | None = None
    head = False
    for token in tokens:
        match token.type:
            case "inline":
                lines = tuple(line.strip() for line in token.content.split("\n"))
                if row is not None:
                    row.append(lines[0])
                elif heading:
                    yield Block(BlockKind.HEADING, lines, heading)
                elif first:
                    yield Block(BlockKind.ITEM, lines, lists)
                else:
                    yield Block(BlockKind.PARAGRAPH, lines)
                first = False
            case "heading_open":
                heading = int(token.tag[1:])
            case "heading_close":
                heading = 0
            case "bullet_list_open" | "ordered_list_open":
                lists += 1
            case "bullet_list_close" | "ordered_list_close":
                lists -= 1
            case "list_item_open":
                first = True
            case "list_item_close":
                first = False
            case "thead_open" | "thead_close":
                head = token.type == "thead_open"
            case "tr_open":
                row = []
            case "tr_close":
                yield Block(BlockKind.ROW, tuple(row or ()), 0 if head else 1)
                row = None
            case _:
                pass

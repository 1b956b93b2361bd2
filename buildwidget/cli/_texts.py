"""Summary of a text file: a log, or context in Markdown. It is read in pieces, so its size does not matter."""

from __future__ import annotations

import os
import re
from collections import deque
from collections.abc import Generator, Iterable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final, Literal

from rich.text import Text

from ..errors import CheckpointError
from ..reading.files import open_file
from ..reading.text import decode_part, encoding_of
from ..terminal_view import clean

__all__ = ["describe_text", "kind_of_text", "read_text"]

PIECE: Final = 1 << 20  # bytes that are read at once
LINE: Final = 2_000  # characters of a line that are kept
LAST: Final = 10  # lines that are shown of the end of a log
MOST: Final = 200  # headings, and lines with errors, that are listed one by one
_LOG: Final = re.compile(r"\.log(\.\d+)?$", re.IGNORECASE)  # also build.log.1
_ERROR: Final = re.compile(r"\b(errors?|failed|failure|fatal|panic|exception|traceback)\b", re.IGNORECASE)
_HEADING: Final = re.compile(r" {0,3}(#{1,6})(?:[ \t]+(.*?))?(?:[ \t]+#+)?[ \t]*$")
_NO_TITLE: Final = re.compile(r"\s{4}|\t|\s*([-*+>|]|\d+[.)]\s)")  # code, a list, a quotation, a table
_FENCE: Final = re.compile(r" {0,3}(`{3,}|~{3,})")


def kind_of_text(path: Path) -> Literal["log", "markdown"] | None:
    """What a file is by its name; None if it should be JSON."""
    if _LOG.search(path.name):
        return "log"
    return "markdown" if path.name.lower().endswith((".md", ".markdown")) else None


def read_text(path: Path) -> dict[str, Any]:
    """All that is known of a log or a Markdown file: values for JSON.

    Raises
    ------
    CheckpointError
        If the file cannot be read.
    """
    kind = kind_of_text(path)
    name = os.path.expanduser(path)
    try:
        descriptor, about = open_file(None, name)
    except FileNotFoundError:
        raise CheckpointError(path, "there is no such file", code="unreadable") from None
    except OSError as error:
        reason = (error.strerror or str(error)).lower()
        raise CheckpointError(path, f"it cannot be read: {reason}", code="unreadable") from None
    try:
        lines = _Lines(descriptor, about.st_size)
        found = _of_log(lines) if kind == "log" else _of_markdown(lines)
    except OSError as error:
        reason = (error.strerror or str(error)).lower()
        raise CheckpointError(path, f"it cannot be read: {reason}", code="unreadable") from None
    finally:
        os.close(descriptor)
    modified = datetime.fromtimestamp(about.st_mtime, UTC).isoformat().replace("+00:00", "Z")
    facts = {"kind": kind, "path": str(path), "size": about.st_size, "modified": modified}
    return {**facts, "encoding": lines.encoding, "damaged": lines.damaged, "lines": lines.count, **found}


class _Lines:
    """The lines of an open file, up to the size that it had. Iterated once; the attributes are right afterwards.

    Attributes
    ----------
    encoding : str
        By the byte order mark; without one UTF-8.
    count : int
        How many lines.
    damaged : int
        Number of characters that are invalid in this encoding.
    """

    def __init__(self, descriptor: int, size: int) -> None:
        self.encoding, self.count, self.damaged = "utf-8", 0, 0
        self._descriptor, self._left = descriptor, size

    def __iter__(self) -> Generator[str]:
        rest = ""
        for text in self._texts():
            *whole, rest = (rest + text).split("\n")
            rest = rest[-LINE * 10 :]  # a line without an end is no reason to hold all of it
            for line in whole:
                self.count += 1
                yield line[: LINE * 10].removesuffix("\r")
        if rest:
            self.count += 1
            yield rest

    def _texts(self) -> Generator[str]:
        data, known = b"", False
        while self._left > 0 and (more := os.read(self._descriptor, min(PIECE, self._left))):
            self._left -= len(more)
            data += more
            if not known:
                self.encoding, mark = encoding_of(data[:3]) or ("utf-8", 0)
                data, known = data[mark:], True
            text, used = decode_part(data, self.encoding)
            written = data[:used].count("\ufffd".encode(self.encoding))  # the sign itself may stand in the file
            self.damaged += max(0, text.count("\ufffd") - written)
            data = data[used:]
            yield text
        if data:  # a character that is cut off
            self.damaged += 1
            yield "\ufffd"


def _of_log(lines: Iterable[str]) -> dict[str, Any]:
    errors: list[dict[str, Any]] = []
    count = 0
    last: deque[str] = deque(maxlen=LAST)
    for number, line in enumerate(lines, 1):
        shown = clean(line.rsplit("\r", 1)[-1], LINE)  # of what was drawn over, the last look
        last.append(shown)
        if _ERROR.search(shown):
            count += 1
            if len(errors) < MOST:
                errors.append({"line": number, "text": shown})
    return {"lines_with_errors": count, "errors": errors, "last": list(last)}


def _of_markdown(lines: Iterable[str]) -> dict[str, Any]:
    headings: list[dict[str, Any]] = []
    words, fence, before = 0, "", ""
    for number, line in enumerate(lines, 1):
        words += len(line.split())
        mark = _FENCE.match(line)
        if fence:
            if mark and mark[1].startswith(fence) and not line.strip().strip(fence[0]):
                fence = ""
            before = ""
            continue
        if mark:
            fence, before = mark[1], ""
            continue
        found = _HEADING.match(line)
        if found:
            headings.append({"line": number, "level": len(found[1]), "text": clean(found[2] or "", LINE)})
        elif (
            before.strip() and not _NO_TITLE.match(before) and re.fullmatch(r" {0,3}(=+|-+)[ \t]*", line)
        ):  # a title, and a rule below it
            headings.append({"line": number - 1, "level": 1 if "=" in line else 2, "text": clean(before.strip(), LINE)})
        before = "" if found else line
    return {"words": words, "headings": headings[:MOST], "further_headings": max(0, len(headings) - MOST)}


def describe_text(content: dict[str, Any]) -> Generator[Text]:
    """The lines for what `read_text` gives."""
    facts = [
        ("file", content["path"]),
        ("size", f"{content['size']:,} bytes"),
        ("modified", content["modified"]),
        ("encoding", content["encoding"]),
        ("lines", f"{content['lines']:,}"),
        *([("words", f"{content['words']:,}")] if "words" in content else []),
        *(
            [("damaged", f"{content['damaged']:,} characters that are invalid in this encoding")]
            if content["damaged"]
            else []
        ),
    ]
    for name, value in facts:
        yield Text.assemble((f"{name:9}", "dim"), " ", clean(value, 400))
    if content["kind"] == "markdown":
        yield from _listed("headings", content["headings"], content["further_headings"])
        return
    count = content["lines_with_errors"]
    title = "lines with a word such as error, failed or exception"
    yield from _listed(f"{title} ({count:,})", content["errors"], count - len(content["errors"]), style="red")
    if content["last"]:
        yield Text()
        yield Text("the last lines", style="bold")
        yield from (Text(f"  {line}") for line in content["last"])


def _listed(title: str, rows: list[dict[str, Any]], further: int, style: str = "") -> Generator[Text]:
    """Lines of the file, with their numbers."""
    if not rows:
        return
    yield Text()
    yield Text(title, style="bold")
    width = len(str(rows[-1]["line"]))
    for row in rows:
        indent = "  " * (row.get("level", 1) - 1)
        yield Text.assemble((f"  {row['line']:>{width}}  ", "dim"), (f"{indent}{row['text']}", style))
    if further > 0:
        yield Text(f"  … and {further:,} more", style="dim")

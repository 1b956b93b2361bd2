"""Logs of the server: lines for people, or one JSON object per line for programs. Always on stderr."""

from __future__ import annotations

import asyncio
import logging
import sys
from datetime import UTC, datetime
from typing import Final

import msgspec

__all__ = ["configure"]

_MARK = "_buildwidget"
ALIKE: Final = 100  # lines …
WHILE: Final = 10.0  # … in so many seconds


class _Text(logging.Formatter):
    def format(self, record: logging.LogRecord) -> str:
        when = datetime.fromtimestamp(record.created).astimezone().strftime("%H:%M:%S")
        text = f"{when} {record.levelname.lower():<7} {_safe(record.getMessage())}"
        return f"{text}\n{self.formatException(record.exc_info)}" if record.exc_info else text


class _Json(logging.Formatter):
    def format(self, record: logging.LogRecord) -> str:
        line = {
            "time": datetime.fromtimestamp(record.created, UTC),
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": record.getMessage(),
        }
        if record.exc_info:
            line["exception"] = self.formatException(record.exc_info)
        return msgspec.json.encode(line).decode()


class _Plain(logging.Filter):
    """What a client did wrong is one line: where in the server it was noticed is of no use to anybody."""

    def filter(self, record: logging.LogRecord) -> bool:
        if record.exc_info and isinstance(record.exc_info[1], (UnicodeError, OSError, asyncio.CancelledError)):
            record.exc_info = record.exc_text = None
            record.msg, record.args = record.getMessage().strip(), None
        return True


class _Throttle(logging.Filter):
    """Lets an attack not fill the log: of lines that differ in their details only, so many in a while.

    The first one after that while tells how many were left out.
    """

    def __init__(self) -> None:
        super().__init__()
        self._seen: dict[tuple[str, str], list[float]] = {}  # since when, how many

    def filter(self, record: logging.LogRecord) -> bool:
        key = (record.name, str(record.msg))
        if len(self._seen) > 1_000:
            self._seen.clear()
        seen = self._seen.setdefault(key, [record.created, 0])
        if record.created - seen[0] > WHILE:
            left_out = int(seen[1]) - ALIKE
            if left_out > 0:
                record.msg = f"{record.getMessage()} (and {left_out:,} more like it before)"
                record.args = None
            seen[:] = [record.created, 0]
        seen[1] += 1
        return seen[1] <= ALIKE


def configure(level: str = "info", *, json_lines: bool = False) -> None:
    """Send the logs of the server to stderr. Can be called again."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(_Json() if json_lines else _Text())
    handler.addFilter(_Throttle())
    setattr(handler, _MARK, True)
    for name in ("uvicorn.error", "buildwidget.server.wire"):  # as told by uvicorn, which means its clients
        told = logging.getLogger(name)
        if not any(isinstance(one, _Plain) for one in told.filters):
            told.addFilter(_Plain())
    # Below a warning, uvicorn and websockets tell of every header and address; those may hold tokens.
    for name, least in (("buildwidget", level), ("uvicorn", max(level, "warning", key=_rank))):
        logger = logging.getLogger(name)
        for old in [h for h in logger.handlers if hasattr(h, _MARK)]:
            logger.removeHandler(old)
        logger.addHandler(handler)
        logger.setLevel(least.upper())
        logger.propagate = False


def _rank(level: str) -> int:
    return logging.getLevelNamesMapping()[level.upper()]


def _safe(text: str) -> str:
    """One line, without what could move a terminal's cursor."""
    return "".join(c if c.isprintable() or c == "\t" else repr(c)[1:-1] for c in text)

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
MAX_ALIKE: Final = 100  # records with the same format string that are logged in one window
WINDOW: Final = 10.0  # seconds


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
    """Drops the traceback of errors that a client caused: the place in the server's code does not matter."""

    def filter(self, record: logging.LogRecord) -> bool:
        if record.exc_info and isinstance(record.exc_info[1], (UnicodeError, OSError, asyncio.CancelledError)):
            record.exc_info = record.exc_text = None
            record.msg, record.args = record.getMessage().strip(), None
        return True


class _Throttle(logging.Filter):
    """Limits the rate of records with the same format string, so that an attack cannot fill the log.

    The first record after a window says how many were dropped in it.
    """

    def __init__(self) -> None:
        super().__init__()
        self._seen: dict[tuple[str, str], list[float]] = {}  # start of the window, number of records

    def filter(self, record: logging.LogRecord) -> bool:
        key = (record.name, str(record.msg))
        if len(self._seen) > 1_000:
            self._seen.clear()
        seen = self._seen.setdefault(key, [record.created, 0])
        if record.created - seen[0] > WINDOW:
            left_out = int(seen[1]) - MAX_ALIKE
            if left_out > 0:
                record.msg = f"{record.getMessage()} (and {left_out:,} more like it before)"
                record.args = None
            seen[:] = [record.created, 0]
        seen[1] += 1
        return seen[1] <= MAX_ALIKE


def configure(level: str = "info", *, json_lines: bool = False) -> None:
    """Send the logs of the server to stderr. A second call replaces the first configuration."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(_Json() if json_lines else _Text())
    handler.addFilter(_Throttle())
    setattr(handler, _MARK, True)
    for name in ("uvicorn.error", "buildwidget.server.wire"):  # the loggers that report errors of clients
        told = logging.getLogger(name)
        if not any(isinstance(one, _Plain) for one in told.filters):
            told.addFilter(_Plain())
    # Below warning, uvicorn and websockets log every header and URL; those may hold tokens.
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
    """Return the text in one line, with control characters escaped."""
    return "".join(c if c.isprintable() or c == "\t" else repr(c)[1:-1] for c in text)

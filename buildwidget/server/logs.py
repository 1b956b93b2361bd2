"""Logs of the server: lines for people, or one JSON object per line for programs. Always on stderr."""

from __future__ import annotations

import logging
import sys
from datetime import UTC, datetime

import msgspec

__all__ = ["configure"]

_MARK = "_buildwidget"


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


def configure(level: str = "info", *, json_lines: bool = False) -> None:
    """Send what the server has to say to stderr. Can be called again."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(_Json() if json_lines else _Text())
    setattr(handler, _MARK, True)
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

"""The files of a lock, ``locks/<folder>/``, that say who works on a phase: claim, heartbeat, exit status, sidecar.

A folder is made by an atomic ``mkdir`` and removed when the phase is over. Of the times in it only the heartbeat can be
relied on: a script writes it. What a language model wrote is believed only if it is not later than the file itself.
"""

from __future__ import annotations

import re
from datetime import datetime
from typing import Any, Final

import msgspec

from ...errors import CheckpointError
from ...model import Status, TsSource
from ...reading.values import SKEW, Reader, parse_time
from ...words import map_status
from ..record import Record, Shape

__all__ = [
    "Claim",
    "ExitStatus",
    "Heartbeat",
    "Sidecar",
    "folder_of",
    "read_claim",
    "read_exit",
    "read_heartbeat",
    "read_sidecar",
]

_MAX_HEARTBEAT: Final = 4_096  # bytes


class Claim(msgspec.Struct, kw_only=True, frozen=True):
    """Who works on which phase. ``claimed_at`` is never later than the file's own time."""

    folder: str
    phase: str | None = None
    name: str | None = None
    build: str | None = None
    host: str | None = None
    mode: str | None = None
    status: Status | None = None
    claimed_at: datetime


class Heartbeat(msgspec.Struct, kw_only=True, frozen=True):
    """The last sign of life of a phase."""

    folder: str
    at: datetime


class ExitStatus(msgspec.Struct, kw_only=True, frozen=True):
    """How a session of a phase ended."""

    folder: str
    code: int | None = None
    at: datetime


class Sidecar(msgspec.Struct, kw_only=True, frozen=True):
    """The process that watches over a session; its node is where the session runs."""

    folder: str
    node: str | None = None
    started_at: datetime | None = None


def folder_of(path: str) -> str:
    """Return the name of the lock's folder that a file is in."""
    parts = path.split("/")
    return parts[-2] if len(parts) > 1 else ""


def _believed(value: object, field: str, reader: Reader) -> datetime | None:
    """A time that is not later than the file's, give or take two minutes; else None, with a warning if it is later."""
    found = parse_time(value, reader.mtime)
    if found is None:
        if value not in (None, ""):
            reader.invalid(field, value, "a time")
        return None
    if found[0] > reader.mtime + SKEW:
        reader.warn("future_time", f"{field} is later than the file itself; the file's time is used")
        return None
    return found[0]


def _source(stated: datetime | None) -> TsSource:
    return TsSource.MTIME if stated is None else TsSource.FILE


def read_claim(data: dict[str, Any], reader: Reader) -> Record:
    """The record of ``claim.json``."""
    folder = folder_of(reader.path)
    stated = _believed(data.get("claimed_at") or data.get("claimed"), "claimed_at", reader)
    word = data.get("status")
    claim = Claim(
        folder=folder,
        phase=reader.ident(data.get("phase")),
        name=reader.text(data.get("name"), "name") or None,
        build=reader.text(data.get("build"), "build") or None,
        host=reader.text(data.get("host") or data.get("node"), "host") or None,
        mode=reader.text(data.get("mode"), "mode", 200) or None,
        status=map_status(word) if isinstance(word, str) else None,
        claimed_at=stated or reader.mtime,
    )
    return Record(
        path=reader.path,
        shape=Shape.CLAIM,
        time=claim.claimed_at,
        ts_source=_source(stated),
        detail=claim,
    )


def read_exit(data: dict[str, Any], reader: Reader) -> Record:
    """The record of ``exit-status.json``."""
    code = data.get("exit_code")
    stated = _believed(data.get("timestamp"), "timestamp", reader)
    if type(code) is not int or not -(2**31) <= code < 2**31:
        if code is not None:
            reader.invalid("exit_code", code, "a number")
        code = None
    status = ExitStatus(folder=folder_of(reader.path), code=code, at=stated or reader.mtime)
    return Record(
        path=reader.path,
        shape=Shape.EXIT,
        time=status.at,
        ts_source=_source(stated),
        detail=status,
    )


def read_sidecar(data: dict[str, Any], reader: Reader) -> Record:
    """The record of ``sidecar.json``. Its process ids say nothing: they outlive the session, or belong to others."""
    started = _believed(data.get("started_at"), "started_at", reader)
    sidecar = Sidecar(
        folder=folder_of(reader.path), node=reader.text(data.get("node"), "node") or None, started_at=started
    )
    return Record(
        path=reader.path,
        shape=Shape.SIDECAR,
        time=started or reader.mtime,
        ts_source=_source(started),
        detail=sidecar,
    )


def read_heartbeat(path: str, raw: bytes, reader: Reader) -> Record:
    """The record of ``heartbeat``: one line with a time.

    Raises
    ------
    CheckpointError
        With code ``empty`` or ``too_big``.
    """
    if len(raw) > _MAX_HEARTBEAT:
        raise CheckpointError(
            path, f"a heartbeat is one line with a time; this file has {len(raw):,} bytes", code="too_big"
        )
    text = raw.decode("utf-8-sig", "replace").strip()
    if not text:
        raise CheckpointError(path, "the file is empty", code="empty")
    line = re.split(r"[\r\n]", text, maxsplit=1)[0].strip()
    at = _believed(line, "the heartbeat", reader)
    beat = Heartbeat(folder=folder_of(path), at=at or reader.mtime)
    return Record(path=path, shape=Shape.HEARTBEAT, time=beat.at, ts_source=_source(at), detail=beat)

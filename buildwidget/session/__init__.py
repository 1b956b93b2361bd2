"""One live build: files in, numbered messages out."""

from __future__ import annotations

from ._session import BuildSession

__all__ = ["BuildSession"]

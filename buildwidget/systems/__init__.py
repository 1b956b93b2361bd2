"""The systems that write builds: which files are theirs, and what each of them says.

A system is a package in this folder. BuildRunner is the first.
"""

from __future__ import annotations

from .buildrunner import OPEN_ENDED, TEXTS, parse, plan_items, read, shape_of
from .record import Record, Shape

__all__ = ["OPEN_ENDED", "TEXTS", "Record", "Shape", "parse", "plan_items", "read", "shape_of"]

"""The output of programs as numbered lines. Pure: the time is passed in, in seconds of any monotonic clock.

`style` interprets colours, `screen` emulates a terminal for the output of one source, and `lines` numbers the lines of
all sources.
"""

from __future__ import annotations

from .lines import MAX_CHUNK, MAX_SOURCES, Chunk, Terminal
from .screen import HEIGHT, MAX_LINE

__all__ = ["HEIGHT", "MAX_CHUNK", "MAX_LINE", "MAX_SOURCES", "Chunk", "Terminal"]

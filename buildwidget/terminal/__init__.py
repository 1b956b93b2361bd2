"""Output of programs into numbered lines. Pure: the time is given, in seconds of any clock that goes forward.

`style` knows colours, `screen` knows what a terminal does with the output of one source, `lines` numbers the lines of
all of them.
"""

from __future__ import annotations

from .lines import MAX_CHUNK, MAX_SOURCES, Chunk, Terminal
from .screen import HEIGHT, MAX_LINE

__all__ = ["HEIGHT", "MAX_CHUNK", "MAX_LINE", "MAX_SOURCES", "Chunk", "Terminal"]

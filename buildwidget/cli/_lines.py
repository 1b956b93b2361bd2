"""Messages of a feed as lines of text."""

from __future__ import annotations

import time
from typing import Any

from rich.text import Text

from ..events import Gap, TerminalOutput
from ..terminal_view import clean, is_plain
from ..terminal_view.messages import message_line
from ..terminal_view.output import OutputLines
from ._output import make_console

__all__ = ["MessageLines"]


class MessageLines:
    """Prints messages; lines of output once they have settled. On a terminal, the unsettled one is redrawn below."""

    def __init__(self) -> None:
        self._console = make_console()
        self._moves = not is_plain(self._console)
        self._output = OutputLines()
        self._last = ""  # text of the last line, to be overwritten

    def show(self, message: Any) -> None:
        """Print a message; hold back output that has not settled."""
        if isinstance(message, TerminalOutput):
            self._print(self._output.push(message, time.monotonic()))
            return
        if isinstance(message, Gap) and message.from_seq is None:  # a new log: line numbers start again
            self._print(self._output.finish())
        self._print([message])

    def tick(self) -> None:
        """Print lines that have settled by now. Call it regularly."""
        self._print(self._output.due(time.monotonic()))
        if not self._moves:
            return
        newest = self._output.newest
        text = "" if newest is None else clean(newest.output, 500).rstrip()
        if text != self._last:
            self._erase()
            line = Text(text)
            line.truncate(self._console.width - 1, overflow="ellipsis")
            self._console.print(line, end="\r", soft_wrap=True)
            self._console.file.flush()
            self._last = text

    def end(self) -> None:
        """Print everything that is held back."""
        self._print(self._output.finish())
        self._erase()

    def _print(self, messages: list[Any]) -> None:
        for message in messages:
            self._erase()
            for line in message_line(message):
                self._console.print(line, soft_wrap=True)

    def _erase(self) -> None:
        if self._last:
            self._console.file.write("\x1b[2K")
            self._last = ""

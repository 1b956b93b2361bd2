"""Output into numbered lines. Pure: the time is given, in seconds of any clock that goes forward.

Programs write what a terminal shows: parts of lines, lines that are drawn again and again after a carriage return,
colours, cursor movements. Here it becomes lines, each with a number from 1, of all sources together. What a terminal
would show on the line is kept: colours (SGR, ECMA-48, 8.3.117), overwriting after a carriage return or a backspace,
erasing in the line (EL), moving within the line. Everything that would leave the line is dropped.

A line is given when it is complete, or 100 ms after a part of it; a later version of it has the same number. All is
bounded: a line's length, a message's size, the sources that are remembered.
"""

from __future__ import annotations

import re
from collections import OrderedDict
from typing import Final

import msgspec

__all__ = ["MAX_LINE", "Chunk", "Terminal"]

MAX_LINE: Final = 16_384  # characters of a line; the rest is only counted
MAX_CHUNK: Final = 48 * 1024  # characters of one message
MAX_SOURCES: Final = 256  # with an unfinished line at the same time
MAX_ESCAPE: Final = 4_096  # characters of an escape sequence that has not ended
PATIENCE: Final = 0.1  # seconds before an unfinished line is shown

_SGR: Final = re.compile(r"\x1b\[[0-9;:]*m")
_ODD: Final = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\ud800-\udfff]")
_TOKEN: Final = re.compile(
    "(?P<text>[^\x00-\x08\x0a-\x1f\x7f-\x9f\ud800-\udfff]+)"
    "|(?P<csi>\x1b\\[[0-?]*[ -/]*[@-~])"
    "|\x1b\\][^\x07\x1b]*(?:\x07|\x1b\\\\)"  # titles and links
    "|\x1b[PX^_][^\x1b]*\x1b\\\\"  # strings for devices
    "|\x1b[ -/]*[0-OQ-WYZ`-~]"  # other short sequences
    "|(?P<other>.)",
    re.DOTALL,
)
_UNFINISHED: Final = re.compile("\x1b(?:\\[[0-?]*[ -/]*|\\][^\x07\x1b]*\x1b?|[PX^_][^\x1b]*\x1b?|[ -/]*)?\\Z")


class Chunk(msgspec.Struct):
    """Lines of one source, each with its newline; the first has number ``line``. Without the newline: a part of one."""

    line: int
    output: str
    output_type: str = "stdout"
    source: str | None = None


class _Line:
    """The unfinished line of one source."""

    __slots__ = ("cells", "column", "due", "escape", "number", "over", "style", "text")

    def __init__(self) -> None:
        self.number: int | None = None  # once it was shown
        self.text = ""  # as long as nothing moved the cursor
        self.cells: list[tuple[str, str]] | None = None  # else: (character, its colours)
        self.column = 0
        self.style = ""  # SGR parameters in force; they outlive the line
        self.over = 0  # characters beyond the limit
        self.escape = ""  # the beginning of a sequence
        self.due: float | None = None

    @property
    def is_empty(self) -> bool:
        return not self.text and not self.cells and not self.over

    def clear(self) -> None:
        self.number, self.text, self.cells, self.column, self.over, self.due = None, "", None, 0, 0, None

    def shown(self) -> str:
        """The line as it looks now, with its colours and nothing else."""
        if self.cells is None:
            return self.text + self.rest()
        parts: list[str] = []
        style = ""
        for character, wanted in self.cells:
            if wanted != style:
                parts.append("\x1b[0m" if not wanted else f"\x1b[{wanted}m" if not style else f"\x1b[0;{wanted}m")
                style = wanted
            parts.append(character)
        if style:
            parts.append("\x1b[0m")
        return "".join(parts) + self.rest()

    def rest(self) -> str:
        return f" … cut, {self.over:,} more characters" if self.over else ""

    # -- what a terminal does -------------------------------------------------------------------------------------

    def to_cells(self) -> list[tuple[str, str]]:
        if self.cells is None:
            self.cells = [(character, "") for character in self.text]
            self.column = len(self.cells)
            self.text = ""
        return self.cells

    def put(self, text: str) -> None:
        cells = self.to_cells()
        room = MAX_LINE - self.column
        if len(text) > room:
            self.over += len(text) - max(0, room)
            text = text[: max(0, room)]
        if text:
            if self.column > len(cells):
                cells.extend([(" ", "")] * (self.column - len(cells)))
            style = self.style
            cells[self.column : self.column + len(text)] = [(character, style) for character in text]
            self.column += len(text)

    def control(self, sequence: str) -> None:
        """A control sequence: ESC [ parameters, a letter."""
        parameters, letter = sequence[2:-1], sequence[-1]
        if letter == "m":
            self.colour(parameters)
            return
        if letter not in "KCDG" or not (parameters.isdigit() or not parameters) or len(parameters) > 5:
            return
        cells, number = self.to_cells(), int(parameters or 0)
        if letter == "K":
            if number == 0:
                del cells[self.column :]
                self.over = 0
            elif number == 1:
                cells[: self.column + 1] = [(" ", "")] * min(self.column + 1, len(cells))
            else:
                cells.clear()
                self.over = 0
        elif letter == "G":
            self.column = min(max(number, 1) - 1, MAX_LINE)
        else:
            step = max(number, 1) if letter == "C" else -max(number, 1)
            self.column = min(max(0, self.column + step), MAX_LINE)

    def colour(self, parameters: str) -> None:
        if not re.fullmatch("[0-9;:]*", parameters):
            return
        head, _, tail = parameters.partition(";")
        if head in {"", "0", "00"}:
            self.style = ""
            parameters = tail
        if parameters and len(self.style) + len(parameters) < 64:
            self.style = f"{self.style};{parameters}" if self.style else parameters


class Terminal:
    """Numbers the lines of one build."""

    def __init__(self) -> None:
        self._next = 1
        self._open: OrderedDict[tuple[str | None, str], _Line] = OrderedDict()

    def feed(self, text: str, *, output_type: str = "stdout", source: str | None = None, now: float) -> list[Chunk]:
        """Take output in.

        Parameters
        ----------
        text
            As a program wrote it, cut anywhere.
        output_type
            stdout, stderr, info, error or success. Each has lines of its own.
        source
            Where it comes from; each source has lines of its own.
        now
            The time in seconds.

        Returns
        -------
        list of Chunk
            The lines that are complete.
        """
        key = (source, output_type)
        line = self._open.get(key)
        if line is None:
            line = self._open[key] = _Line()
        done: list[tuple[int | None, str]] = []
        if line.escape:
            text, line.escape = line.escape + text, ""
        text = text.replace("\r\n", "\n")
        lines = text.split("\n")
        plain = not _ODD.search(text)
        last = len(lines) - 1
        for at, piece in enumerate(lines):
            if at < last:
                if line.is_empty and not line.style and (plain or _is_simple(piece)) and len(piece) <= MAX_LINE:
                    done.append((line.number, piece))
                else:
                    self._take(line, piece, plain=plain, whole=True)
                    done.append((line.number, line.shown()))
                line.clear()
            elif piece:
                self._take(line, piece, plain=plain, whole=False)
        if not line.is_empty:
            line.due = line.due or now + PATIENCE
        chunks = self._chunks(done, output_type, source)
        if line.is_empty and line.number is None and not line.escape and not line.style:
            del self._open[key]
        elif len(self._open) > MAX_SOURCES:
            oldest = next(iter(self._open))
            chunks += self._finish(oldest)
        return chunks

    def due(self) -> float | None:
        """When `flush` has something to show; None if everything is shown."""
        return min((line.due for line in self._open.values() if line.due is not None), default=None)

    def flush(self, now: float) -> list[Chunk]:
        """The lines that are unfinished for 100 ms, as they look now."""
        chunks: list[Chunk] = []
        for (source, output_type), line in self._open.items():
            if line.due is not None and line.due <= now:
                line.due = None
                if line.number is None:
                    line.number = self._number()
                chunks.append(Chunk(line.number, line.shown(), output_type, source))
        return chunks

    def finish(self, source: str | None = None) -> list[Chunk]:
        """A source has ended: what it left unfinished is a line."""
        return [chunk for key in [k for k in self._open if k[0] == source] for chunk in self._finish(key)]

    def _finish(self, key: tuple[str | None, str]) -> list[Chunk]:
        line = self._open.pop(key)
        if line.is_empty:
            return []
        return self._chunks([(line.number, line.shown())], key[1], key[0])

    def _number(self) -> int:
        self._next += 1
        return self._next - 1

    def _take(self, line: _Line, piece: str, *, plain: bool, whole: bool) -> None:
        if plain and line.cells is None and not line.style and len(line.text) + len(piece) <= MAX_LINE:
            line.text += piece
        else:
            self._take_any(line, piece, whole=whole)

    def _take_any(self, line: _Line, text: str, *, whole: bool) -> None:
        """A piece of one line, whatever is in it."""
        if "\x1b" in text:
            unfinished = _UNFINISHED.search(text, max(0, len(text) - MAX_ESCAPE))
            if unfinished is not None:
                if not whole:
                    line.escape = unfinished.group()
                text = text[: unfinished.start()]
        for found in _TOKEN.finditer(text):
            match found.lastgroup:
                case "text":
                    line.put(found.group())
                case "csi":
                    line.control(found.group())
                case "other":
                    self._control(line, found.group())
                case _:
                    pass  # nothing of a title or a device shows on a line

    def _control(self, line: _Line, character: str) -> None:
        if character == "\r":
            line.to_cells()
            line.column = 0
        elif character == "\b":
            line.to_cells()
            line.column = max(0, line.column - 1)
        elif "\ud800" <= character <= "\udfff":
            line.put("\ufffd")

    def _chunks(self, done: list[tuple[int | None, str]], output_type: str, source: str | None) -> list[Chunk]:
        """Complete lines, numbered, as few messages as their numbers and sizes allow."""
        chunks: list[Chunk] = []
        first, size, texts = 0, 0, list[str]()
        for number, text in done:
            at = self._number() if number is None else number
            if texts and (at != first + len(texts) or size + len(text) >= MAX_CHUNK):
                chunks.append(Chunk(first, "\n".join([*texts, ""]), output_type, source))
                texts, size = [], 0
            if not texts:
                first = at
            texts.append(text)
            size += len(text) + 1
        if texts:
            chunks.append(Chunk(first, "\n".join([*texts, ""]), output_type, source))
        return chunks


def _is_simple(text: str) -> bool:
    """Whether a line holds nothing but characters, and colours that end where it ends: as most programs write it."""
    if "\x1b" not in text:
        return not _ODD.search(text)
    if not text.startswith(("\x1b[0m", "\x1b[m"), text.rfind("\x1b")):
        return False
    return not _ODD.search(_SGR.sub("", text))

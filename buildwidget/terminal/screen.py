"""A terminal emulator for the output of one source: it holds the last lines, which the source may still change.

It behaves like a terminal of unlimited width: lines do not wrap. Older lines scroll off and can no longer change. It
interprets line feeds, carriage returns, backspaces, colours, cursor movements and erasing (ECMA-48; xterm's control
sequences), and ignores everything else: titles, links, device control strings, unknown sequences.

It differs from a terminal in one respect, so that no output is lost: when a program first clears the screen or
positions the cursor absolutely, the existing lines scroll off unchanged and the program continues on new lines. Those
are the program's own, and clearing the screen again erases them.
"""

from __future__ import annotations

import re
import unicodedata
from typing import Final

from . import style as sgr

__all__ = ["HEIGHT", "MAX_LINE", "Row", "Screen"]

HEIGHT: Final = 64  # lines that can still change
MAX_LINE: Final = 16_384  # characters of a line; the rest is only counted
MAX_TEXT: Final = 65_536  # characters of all lines that can still change
MAX_ESCAPE: Final = 4_096  # characters of an unfinished escape sequence
MAX_MARKS: Final = 16  # code points of one cell: a character and its combining marks
TAB: Final = 8  # columns between tab stops

_CONTROL: Final = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\ud800-\udfff]")
_NOT_ASCII: Final = re.compile("[^ -~]")  # text with any of these may have characters that are not one column wide
_STRING: Final = "\x1b[\\]PX^_][^\x07\x1b\n]*"  # a title, a link or a device control string
_TOKEN: Final = re.compile(
    "(?P<text>[^\x00-\x08\x0a-\x1f\x7f-\x9f\ud800-\udfff]+)"
    "|\x1b\\[(?P<csi>[0-?]*[ -/]*[@-~])"
    f"|{_STRING}(?:\x07|\x1b\\\\|(?=[\n\x1b])|\\Z)"
    "|\x1b(?P<short>[ -/]*[0-OQ-WYZ\\\\`-~])"
    "|\x1b(?:\\[[0-?]*)?[ -/]*"  # a sequence that is interrupted before its end
    "|(?P<other>.)",
    re.DOTALL,
)
_UNFINISHED: Final = re.compile(f"{_STRING}\x1b?|\x1b(?:\\[[0-?]*)?[ -/]*")
_SGR: Final = re.compile("\x1b\\[([0-9;]*)m")

Cell = tuple[str, str]  # a character, and its style; an empty character is covered by the one before it
_BLANK: Final[Cell] = (" ", "")


class Row:
    """One line: a text with SGR sequences, or a list of cells while the line is edited."""

    __slots__ = ("cells", "dirty", "emitted", "end", "length", "number", "over", "text")

    def __init__(self) -> None:
        self.number: int | None = None  # set when the line is first emitted
        self.emitted: tuple[str, bool] | None = None  # the last emitted text, and whether it was complete
        self.dirty = False  # changed since then
        self.text = ""
        self.end = ""  # the style at the end of the text
        self.length = 0  # characters of the text, without the sequences
        self.cells: list[Cell] | None = None
        self.over = 0  # characters beyond `MAX_LINE`

    @property
    def is_empty(self) -> bool:
        """Whether the line holds no characters."""
        return not self.text and not self.cells and not self.over

    def render(self) -> str:
        """Return the line with its colours, reset at the end."""
        self.close()
        rest = f" … cut, {self.over:,} more characters" if self.over else ""
        return self.text + ("\x1b[0m" if self.end else "") + rest

    def append(self, text: str, style: str) -> None:
        """Write after the last character."""
        room = MAX_LINE - self.length
        if len(text) > room:
            self.over += len(text) - room
            text = text[:room]
        if text:
            if style != self.end and len(self.text) < 2 * MAX_LINE:
                self.text += sgr.switch(self.end, style)
                self.end = style
            self.text += text
            self.length += len(text)
        self.dirty = True

    def clear(self) -> None:
        """Erase the content; the line and its number remain."""
        self.text, self.end, self.length, self.cells, self.over, self.dirty = "", "", 0, None, 0, True

    def open(self) -> list[Cell]:
        """Convert the line to cells, which can be changed, and return them."""
        if self.cells is None:
            self.cells = []
            style, at = "", 0
            for found in _SGR.finditer(self.text):
                _lay(self.cells, len(self.cells), self.text[at : found.start()], style)
                style = found.group(1).removeprefix("0;") if found.group(1) != "0" else ""
                at = found.end()
            _lay(self.cells, len(self.cells), self.text[at:], style)
        return self.cells

    def close(self) -> None:
        """Convert the cells back to a text, which takes less memory."""
        if self.cells is None:
            return
        cells, over, dirty = self.cells, self.over, self.dirty
        self.clear()
        self.over, self.dirty = over, dirty
        parts: list[str] = []
        style = ""
        for character, wanted in cells:
            if wanted != style and character and len(parts) < 2 * MAX_LINE:
                parts.append(sgr.switch(style, wanted))
                style = wanted
            parts.append(character)
        self.text, self.end, self.length = "".join(parts), style, len(cells)


class Screen:
    """The last lines of one source, which it can still change, and the cursor."""

    def __init__(self) -> None:
        self.rows = [Row()]
        self.scrolled: list[Row] = []  # rows that have scrolled off since the last `pop_scrolled`
        self.line = 0  # row of the cursor; may be below all rows
        self.column: int | None = None  # None: after the last character of its row
        self.style = sgr.PLAIN
        self.colour = ""  # the SGR parameters of `style`
        self.escape = ""  # an unfinished escape sequence
        self.saved: tuple[int, int, sgr.Style] | None = None  # the saved cursor: line, column, style
        self.is_full_screen = False  # the rows began with clearing the screen: clearing it again erases them

    def feed(self, text: str) -> None:
        """Process a chunk of output; it may be cut anywhere."""
        if self.escape:
            text, self.escape = self.escape + text, ""
        text = text.replace("\r\n", "\n")
        if not _CONTROL.search(text):
            first, *more = text.split("\n")
            if first:
                self._put(first)
            for piece in more:
                self._line_feed()
                if piece:
                    self._put(piece)
            return
        text = self._hold_back(text)
        for found in _TOKEN.finditer(text):
            match found.lastgroup:
                case "text":
                    self._put(found.group())
                case "csi":
                    self._control(found.group("csi"))
                case "short":
                    self._short(found.group("short"))
                case "other":
                    self._character(found.group())
                case _:
                    pass

    def pop_scrolled(self) -> list[Row]:
        """Return the rows that have scrolled off since the last call."""
        scrolled, self.scrolled = self.scrolled, []
        return scrolled

    def _hold_back(self, text: str) -> str:
        """Buffer an unfinished escape sequence at the end of ``text``; return the text before it."""
        at = text.rfind("\x1b")
        if at < 0:
            return text
        before = text.rfind("\x1b", 0, at) if at == len(text) - 1 else -1
        for start in (before, at):  # a string that began with one ESC ends with another (ESC \)
            if start >= 0 and _UNFINISHED.fullmatch(text, start):
                self.escape = text[start:]
                if len(self.escape) > MAX_ESCAPE:  # its content is never shown: only its kind matters
                    self.escape = self.escape[:2] + ("\x1b" if self.escape.endswith("\x1b") else "")
                return text[:start]
        return text

    # -- writing --------------------------------------------------------------------------------------------------

    def _row(self) -> Row:
        while len(self.rows) <= self.line:
            self.rows.append(Row())
        return self.rows[self.line]

    def _put(self, text: str) -> None:
        row = self._row()
        if self.column is None:
            row.append(text, self.colour)
            return
        cells = row.open()
        room = max(0, MAX_LINE - self.column)
        if len(text) > room:
            row.over += len(text) - room
            text = text[:room]
        self.column = _lay(cells, self.column, text, self.colour)
        row.dirty = True

    def _character(self, character: str) -> None:
        if character == "\n":
            self._line_feed()
        elif character == "\r":
            self._go(self.line, 0)
        elif character == "\b":
            self._go(self.line, self._at() - 1)
        elif "\ud800" <= character <= "\udfff":
            self._put("\ufffd")

    def _line_feed(self, column: int = 0) -> None:
        row = self._row()
        row.close()
        if self.line == len(self.rows) - 1:
            self.rows.append(Row())
        self.line += 1
        if len(self.rows) > HEIGHT:
            self._scroll(1)
        if len(row.text) > MAX_TEXT // HEIGHT:  # lines of at most this length cannot exceed the limit
            size = sum(len(row.text) for row in self.rows)
            while size > MAX_TEXT and self.line > 0:
                size -= len(self.rows[0].text)
                self._scroll(1)
        self.column = None if column == 0 and not self.rows[self.line].text else column

    def _scroll(self, count: int) -> None:
        self.scrolled += self.rows[:count]
        del self.rows[:count]
        self.line = max(0, self.line - count)
        self.is_full_screen = False

    # -- moving ---------------------------------------------------------------------------------------------------

    def _at(self) -> int:
        """Return the column of the cursor, from 0."""
        if self.column is None:
            self.column = len(self._row().open()) if self.line < len(self.rows) else 0
        return self.column

    def _go(self, line: int, column: int) -> None:
        if self.line < len(self.rows):
            self.rows[self.line].close()
        self.line = min(max(0, line), HEIGHT - 1)
        self.column = min(max(0, column), MAX_LINE)
        if self.column == 0 and (self.line >= len(self.rows) or not self.rows[self.line].text):
            self.column = None

    def _go_absolute(self, line: int, column: int) -> None:
        """Move the cursor to a position of the screen: only full-screen programs do so."""
        if not self.is_full_screen:
            self._begin_full_screen()
        self._go(line, column)

    def _begin_full_screen(self) -> None:
        """Scroll all rows off unchanged, and continue on new ones."""
        for row in self.rows:
            row.close()
        count = len(self.rows)
        while count and self.rows[count - 1].is_empty and self.rows[count - 1].number is None:
            count -= 1
        self._scroll(count)
        self.rows, self.line, self.column, self.saved, self.is_full_screen = [Row()], 0, None, None, True

    # -- sequences ------------------------------------------------------------------------------------------------

    def _short(self, sequence: str) -> None:
        match sequence:
            case "7":
                self.saved = (self.line, self._at(), self.style)
            case "8":
                self._restore()
            case "D":
                self._line_feed(self._at())
            case "E":
                self._line_feed()
            case "M":
                self._go(self.line - 1, self._at())
            case "c":
                self._erase_screen(2)
                self._go(0, 0)
                self._set_style(sgr.PLAIN)
            case _:
                pass

    def _control(self, sequence: str) -> None:
        """Execute a control sequence, given without its ``ESC [``."""
        given, letter = sequence[:-1], sequence[-1]
        if letter == "m":
            if not given.strip("0123456789;:"):
                self._set_style(sgr.changed(self.style, given))
        elif letter in "hl":
            if given in {"?47", "?1047", "?1049"}:  # to the alternate screen (h), and back (l)
                self._begin_full_screen()
                self.is_full_screen = letter == "h"
        elif not given.strip("0123456789;"):
            numbers = [int(text or 0) if len(text) <= 5 else 99_999 for text in given.split(";")]
            if letter in "JK":
                (self._erase_line if letter == "K" else self._erase_screen)(numbers[0])
            elif letter in "PX@":
                self._shift(letter, max(1, numbers[0]))
            else:
                self._move(letter, max(1, numbers[0]), max(1, *numbers[1:2], 1))

    def _move(self, letter: str, number: int, second: int) -> None:
        match letter:
            case "A":
                self._go(self.line - number, self._at())
            case "B" | "e":
                self._go(self.line + number, self._at())
            case "C" | "a":
                self._go(self.line, self._at() + number)
            case "D":
                self._go(self.line, self._at() - number)
            case "E":
                self._go(self.line + number, 0)
            case "F":
                self._go(self.line - number, 0)
            case "G" | "`":
                self._go(self.line, number - 1)
            case "d":
                self._go_absolute(number - 1, self._at())
            case "H" | "f":
                self._go_absolute(number - 1, second - 1)
            case "s":
                self.saved = (self.line, self._at(), self.style)
            case "u":
                self._restore()
            case _:
                pass

    def _set_style(self, style: sgr.Style) -> None:
        self.style = style
        self.colour = sgr.parameters(style)

    def _restore(self) -> None:
        if self.saved is not None:
            line, column, style = self.saved
            self._go(line, column)
            self._set_style(style)

    def _erase_line(self, which: int) -> None:
        if self.line >= len(self.rows):
            return
        row = self.rows[self.line]
        if which == 0 and self.column is None:  # nothing to erase; many programs write it after a coloured word
            row.over = 0
            return
        column, cells = self._at(), row.open()
        if which == 0:
            _split(cells, column)
            del cells[column:]
            row.over = 0
        elif which == 1:
            _split(cells, column + 1)
            cells[: column + 1] = [_BLANK] * min(column + 1, len(cells))
        elif which == 2:
            row.clear()
        row.dirty = True

    def _erase_screen(self, which: int) -> None:
        if which == 2 and not self.is_full_screen:
            self._begin_full_screen()
            return
        self._at()
        if which in {0, 1}:
            self._erase_line(which)
        for row in {0: self.rows[self.line + 1 :], 1: self.rows[: self.line], 2: self.rows}.get(which, []):
            row.clear()

    def _shift(self, letter: str, number: int) -> None:
        """Delete (P), blank (X) or insert (@) characters at the cursor."""
        if self.line >= len(self.rows):
            return
        row, column = self.rows[self.line], self._at()
        cells = row.open()
        number = min(number, max(0, len(cells) - column))
        _split(cells, column)
        if letter != "@":
            _split(cells, column + number)
        if letter == "X":
            cells[column : column + number] = [_BLANK] * number
        elif letter == "P":
            del cells[column : column + number]
        elif len(cells) + number <= MAX_LINE:
            cells[column:column] = [_BLANK] * number
        row.dirty = True


def _lay(cells: list[Cell], column: int, text: str, style: str) -> int:
    """Write text into cells at a column; return the column after it."""
    if column > len(cells):
        cells.extend([_BLANK] * (column - len(cells)))
    if not _NOT_ASCII.search(text):
        _split(cells, column)
        _split(cells, column + len(text))
        cells[column : column + len(text)] = [(character, style) for character in text]
        return column + len(text)
    for character in text:
        width = _width(character)
        if character == "\t":
            width = TAB - column % TAB
            if column < len(cells):  # a tab moves the cursor and does not erase
                column += width
                continue
        if column > len(cells):
            cells.extend([_BLANK] * (column - len(cells)))
        if width == 0 and column > 0:
            _mark(cells, column - 1, character)
            continue
        width = max(1, width)
        _split(cells, column)
        _split(cells, column + width)
        cells[column : column + width] = [(character, style), *[("", style)] * (width - 1)]
        column += width
    return column


def _mark(cells: list[Cell], at: int, mark: str) -> None:
    while at > 0 and not cells[at][0]:
        at -= 1
    character, style = cells[at]
    if len(character) < MAX_MARKS:
        cells[at] = (character + mark, style)


def _split(cells: list[Cell], at: int) -> None:
    """Make ``at`` a boundary between characters: a wide character across it is replaced by blanks."""
    if at >= len(cells) or cells[at][0]:
        return
    start, end = at, at
    while start > 0 and not cells[start][0]:
        start -= 1
    while end < len(cells) and not cells[end][0]:
        end += 1
    cells[start:end] = [_BLANK] * (end - start)


def _width(character: str) -> int:
    """Return the width of a character on a terminal, in columns."""
    if character.isascii():
        return 1
    if unicodedata.category(character) in {"Mn", "Me", "Cf"}:
        return 0
    return 2 if unicodedata.east_asian_width(character) in {"W", "F"} else 1

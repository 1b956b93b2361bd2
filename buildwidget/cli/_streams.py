"""Standard output and standard error that neither end a command nor keep silent about what could not be written.

- A sign that the output cannot hold (a pipe in cp1252, ``LANG=C``, ``PYTHONIOENCODING=ascii``) is written as a plain
  one.
- Output that is full or closed raises `OutputError`, once; what is written after that is thrown away, so that nothing
  in the way out of a command, the interpreter's own last flush included, can fail a second time.
- What cannot be written to standard error is left out: nobody is there to be told.
"""

from __future__ import annotations

import codecs
import errno
import io
import locale
import os
import select
import sys
from typing import TYPE_CHECKING, Final, TextIO

from ..errors import OutputError

if TYPE_CHECKING:
    from _typeshed import ReadableBuffer

__all__ = ["Output", "open_streams"]

_PLAIN_SIGNS: Final = "buildwidget-plain-signs"  # the name of the handler of encoding errors
# One sign for one, so that columns stay in line.
_SIGNS: Final = {
    "…": "~",
    "–": "-",
    "—": "-",
    "×": "x",
    "·": ".",
    "‖": "=",
    "’": "'",
    "‘": "'",
    "“": '"',
    "”": '"',
    "✔": "+",
    "✓": "+",
    "✘": "x",
    "✗": "x",
    "○": "o",
    "◐": "*",
    "⊘": "!",
    "▶": ">",
    "→": ">",
    "\xa0": " ",
}
_REASONS: Final = {
    errno.EPIPE: "its reader has closed it",
    errno.EBADF: "it is closed",
}


def _plain_signs(error: UnicodeError) -> tuple[str, int]:
    """What an encoding lacks, as plain signs: one for one."""
    if not isinstance(error, UnicodeEncodeError):
        raise error
    return "".join(_SIGNS.get(sign, "?") for sign in error.object[error.start : error.end]), error.end


class Output(io.FileIO):
    """An open file that says once that it cannot be written to, and takes everything from then on.

    Parameters
    ----------
    descriptor
        The number of the open file. It is not closed with this.
    name
        What a person calls it. Empty: nothing is said, what cannot be written is left out.

    Attributes
    ----------
    problem : OutputError or None
        Why it cannot be written to.
    """

    def __init__(self, descriptor: int, name: str) -> None:
        super().__init__(descriptor, "wb", closefd=False)
        self.problem: OutputError | None = None
        self._called = name

    def write(self, data: ReadableBuffer, /) -> int:
        """Write all of it, also where the file is one that does not wait."""
        rest = memoryview(data).cast("B")
        size = len(rest)
        while rest and self.problem is None:
            try:
                written = super().write(rest)
                if written is None:  # non-blocking, and full at the moment
                    select.select([], [self], [])
                rest = rest[written or 0 :]
            except OSError as error:
                reason = _REASONS.get(error.errno or 0) or (error.strerror or str(error)).lower()
                self.problem = OutputError(f"{self._called or 'this'} cannot be written to: {reason}")
                if self._called:
                    raise self.problem from None
        return size


def open_streams() -> Output:
    """Put such files in the places of ``sys.stdout`` and ``sys.stderr``; the one of standard output."""
    codecs.register_error(_PLAIN_SIGNS, _plain_signs)
    for descriptor in (0, 1, 2):
        _occupy(descriptor)
    output = Output(1, "standard output")
    sys.stdout = _text(output, sys.stdout)
    sys.stderr = _text(Output(2, ""), sys.stderr)
    return output


def _occupy(descriptor: int) -> None:
    """Keep the number of a file that is closed, so that no file opened later gets what is written there."""
    try:
        os.fstat(descriptor)
    except OSError:
        unwritable = os.open(os.devnull, os.O_RDONLY)
        if unwritable != descriptor:
            os.dup2(unwritable, descriptor)
            os.close(unwritable)


def _text(output: Output, before: TextIO | None) -> TextIO:
    """Text into a file, in the encoding of the stream before it, a line at a time where a person reads."""
    errors = getattr(before, "errors", None)
    wished = errors if errors not in {None, "strict", "surrogateescape", "backslashreplace"} else _PLAIN_SIGNS
    # No `BufferedWriter` between: it would write again what was written when Ctrl-C came.
    return io.TextIOWrapper(
        output,
        encoding=getattr(before, "encoding", None) or locale.getpreferredencoding(do_setlocale=False),
        errors=wished,
        line_buffering=output.isatty() or output.fileno() == 2,
        write_through=getattr(before, "write_through", False),
    )

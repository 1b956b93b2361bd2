"""Standard output and standard error that survive failed writes and report them.

- A character that the output encoding lacks (a pipe in cp1252, ``LANG=C``, ``PYTHONIOENCODING=ascii``) is replaced
  by an ASCII one.
- A write to a full or closed output raises `OutputError`, once; later writes are discarded, so that nothing during
  the exit of a command, the interpreter's last flush included, can fail a second time.
- A failed write to standard error is discarded: there is no other place to report it.
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
# One character for one, so that columns stay aligned.
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
    """Replace each character that an encoding lacks by one ASCII character (handler of encoding errors)."""
    if not isinstance(error, UnicodeEncodeError):
        raise error
    return "".join(_SIGNS.get(sign, "?") for sign in error.object[error.start : error.end]), error.end


class Output(io.FileIO):
    """An open file that raises on its first failed write and discards everything from then on.

    Parameters
    ----------
    descriptor
        The number of the open file. It is not closed with this.
    name
        Its name in the error message. Empty: no error is raised, failed writes are discarded.

    Attributes
    ----------
    problem : OutputError or None
        The error of the first failed write; None if there was none.
    """

    def __init__(self, descriptor: int, name: str) -> None:
        super().__init__(descriptor, "wb", closefd=False)
        self.problem: OutputError | None = None
        self._called = name

    def write(self, data: ReadableBuffer, /) -> int:
        """Write all of the data, also to a non-blocking file, and return its size in bytes."""
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
    """Replace ``sys.stdout`` and ``sys.stderr`` by such files; return the one of standard output."""
    codecs.register_error(_PLAIN_SIGNS, _plain_signs)
    for descriptor in (0, 1, 2):
        _occupy(descriptor)
    output = Output(1, "standard output")
    sys.stdout = _text(output, sys.stdout)
    sys.stderr = _text(Output(2, ""), sys.stderr)
    return output


def _occupy(descriptor: int) -> None:
    """Reserve a closed descriptor, so that no file opened later gets what is written to it."""
    try:
        os.fstat(descriptor)
    except OSError:
        unwritable = os.open(os.devnull, os.O_RDONLY)
        if unwritable != descriptor:
            os.dup2(unwritable, descriptor)
            os.close(unwritable)


def _text(output: Output, before: TextIO | None) -> TextIO:
    """Return a text stream with the encoding of ``before``; line-buffered on a terminal and for standard error."""
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

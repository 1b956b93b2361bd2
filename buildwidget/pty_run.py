"""Running a command so that its output is shown twice: here, unchanged, and in a build.

The command gets what we have: on a terminal a pseudo-terminal, so that it writes at once and in colour, in a pipe or a
file pipes. What it writes goes to our own outputs byte for byte, and besides to a *sink*, which is never waited for:
what it cannot take in time is left out there, and said to be. An output of ours that cannot be written any more (a full
disk, a reader that has gone) is given up, which is told on standard error; the command goes on.
"""

from __future__ import annotations

import codecs
import contextlib
import errno
import fcntl
import os
import pty
import queue
import selectors
import signal
import struct
import subprocess
import sys
import termios
import threading
import time
import tty
from collections.abc import Generator
from types import FrameType
from typing import IO, Any, Final, Protocol

import msgspec

__all__ = ["Mirror", "RunResult", "Sink", "run"]

PIECE: Final = 64 * 1024
MAY_WAIT: Final = 2**20  # bytes that wait for the sink before more are left out
GIVE_UP: Final = 5.0  # seconds the sink has after the command has ended
FORWARDED: Final = ("SIGINT", "SIGTERM", "SIGHUP", "SIGQUIT", "SIGUSR1", "SIGUSR2")


class Sink(Protocol):
    """Takes output; may be slow, may fail."""

    def write(self, text: str, output_type: str) -> None:
        """Take some output."""
        ...

    def close(self) -> None:
        """Nothing more comes."""
        ...


class RunResult(msgspec.Struct, frozen=True):
    """How a command ended.

    ``exit_code`` is what a shell would say: its own, 128 + n when signal n ended it, 127 not found, 126 not executable.
    """

    exit_code: int
    signal: str | None = None
    seconds: float = 0.0


class Mirror:
    """Hands output on to a sink in a thread of its own; drops, and says so, what the sink is too slow for."""

    def __init__(self, sink: Sink) -> None:
        self._sink = sink
        self._queue: queue.SimpleQueue[tuple[bytes, str] | None] = queue.SimpleQueue()
        self._waiting = 0
        self._dropped = 0
        self._lock = threading.Lock()
        self._thread: threading.Thread | None = None  # not before the command runs: a child is made of one thread

    def write(self, data: bytes, output_type: str) -> None:
        """Take bytes; never waits."""
        with self._lock:
            if self._waiting + len(data) > MAY_WAIT:
                self._dropped += len(data)
                return
            self._waiting += len(data)
        self._queue.put((data, output_type))
        self._start()

    def end(self, *lines: tuple[str, str]) -> None:
        """Let the rest be taken, and these last lines (text, output type), for a few seconds at most."""
        for text, kind in lines:
            self._queue.put((text.encode(), kind))
        self._queue.put(None)
        self._start().join(GIVE_UP)

    def _start(self) -> threading.Thread:
        if self._thread is None:
            self._thread = threading.Thread(target=self._work, name="buildwidget-mirror", daemon=True)
            self._thread.start()
        return self._thread

    def _next(self) -> tuple[bytes, str] | None:
        """What comes next; empty after 100 ms of silence, so that a sink may send what it has kept."""
        try:
            return self._queue.get(timeout=0.1)
        except queue.Empty:
            return b"", "stdout"

    def _work(self) -> None:
        decoders: dict[str, Any] = {}
        unfinished: set[str] = set()  # kinds whose last line has no end yet
        try:
            while (item := self._next()) is not None:
                data, kind = item
                decoder = decoders.setdefault(kind, codecs.getincrementaldecoder("utf-8")("replace"))
                with self._lock:
                    self._waiting -= min(len(data), self._waiting)
                    dropped, self._dropped = self._dropped, 0
                if kind in {"success", "error"} or dropped:
                    for other in sorted(unfinished):
                        self._sink.write("\n", other)
                    unfinished.clear()
                if dropped:
                    self._sink.write(f"… {dropped:,} bytes skipped\n", "info")
                self._sink.write(decoder.decode(data), kind)
                if data.endswith(b"\n"):
                    unfinished.discard(kind)
                elif data:
                    unfinished.add(kind)
        finally:
            with contextlib.suppress(Exception):
                self._sink.close()


def run(command: list[str], sink: Sink, *, use_pty: bool | None = None) -> RunResult:
    """Run a command to its end, passing its output through and mirroring it.

    Parameters
    ----------
    command
        The program and its arguments.
    sink
        Where the output goes besides.
    use_pty
        Give it a pseudo-terminal, or pipes, where standard output and standard error stay apart. None: a
        pseudo-terminal if our standard output is a terminal; and an output that is none gets a pipe.

    Returns
    -------
    RunResult
        How it ended; its last word is mirrored too.
    """
    mirror = Mirror(sink)
    started = time.monotonic()
    try:
        is_terminal = sys.__stdout__ is not None and os.isatty(1) if use_pty is None else use_pty
        code = (_on_pty if is_terminal else _on_pipes)(command, mirror, as_ours=use_pty is None)
    except FileNotFoundError:
        code = 127
    except PermissionError:
        code = 126
    except OSError as error:
        code = 126
        _tell(f"{command[0]}: {error.strerror}")
    name = None
    if code < 0:
        with contextlib.suppress(ValueError):
            name = signal.Signals(-code).name
        code = 128 - code
    seconds = time.monotonic() - started
    mirror.end((_last_word(command, code, name, seconds), "success" if code == 0 else "error"))
    return RunResult(code, name, seconds)


def _last_word(command: list[str], code: int, name: str | None, seconds: float) -> str:
    program = os.path.basename(command[0])
    if code == 127:
        how = "was not found"
    elif code == 126:
        how = "cannot be run"
    elif name:
        how = f"was ended by {name} after {seconds:.1f} s"
    else:
        how = f"ended with exit code {code} after {seconds:.1f} s"
    return f"{program} {how}\n"


# -- on a pseudo-terminal ------------------------------------------------------------------------------------


def _on_pty(command: list[str], mirror: Mirror, *, as_ours: bool) -> int:
    apart = as_ours and not os.isatty(2)  # `2> errors.txt`
    main, other = pty.openpty()
    try:
        _copy_size(main)
        if not os.isatty(1):  # a terminal of ours would make CR LF of LF itself
            attributes = termios.tcgetattr(other)
            attributes[1] &= ~termios.ONLCR
            termios.tcsetattr(other, termios.TCSANOW, attributes)
        own = _terminal_stdin() is None  # then the command reads what we would read
        # The child does nothing between fork and exec but two system calls: no lock of another thread is needed.
        streams: Any = {
            "stdin": _own_stdin() if own else other,
            "stdout": other,
            "stderr": subprocess.PIPE if apart else other,
        }
        process: Any = subprocess.Popen(command, **streams, preexec_fn=_own_terminal)  # noqa: PLW1509, S603
    except BaseException:
        os.close(main)
        raise
    finally:
        os.close(other)
    sources = {main: (_Output(1), "stdout")}
    if apart:
        sources[process.stderr.fileno()] = (_Output(2), "stderr")
    with _forwarding(process), _raw_stdin(), _resizing(main):
        _pump(sources, process, mirror, keys_to=main)
    os.close(main)
    if apart:
        process.stderr.close()
    return process.wait()


def _own_terminal() -> None:
    """In the child: the pseudo-terminal is its controlling terminal, so that Ctrl-C there reaches it."""
    os.setsid()
    fcntl.ioctl(1, termios.TIOCSCTTY, 0)


@contextlib.contextmanager
def _raw_stdin() -> Generator[None]:
    """Keys go to the command as they are; whatever happens, the terminal is as it was afterwards."""
    fd = _terminal_stdin()
    if fd is None:
        yield
        return
    before = termios.tcgetattr(fd)
    try:
        tty.setraw(fd)
        yield
    finally:
        termios.tcsetattr(fd, termios.TCSAFLUSH, before)


@contextlib.contextmanager
def _resizing(main: int) -> Generator[None]:
    """The command's terminal is as large as ours."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = signal.signal(signal.SIGWINCH, lambda _number, _frame: _copy_size(main))
    try:
        yield
    finally:
        signal.signal(signal.SIGWINCH, before)


def _copy_size(main: int) -> None:
    size = struct.pack("HHHH", 24, 80, 0, 0)
    for stream in (sys.stdout, sys.stderr, sys.stdin):
        fd = _fd(stream)
        if fd is not None and os.isatty(fd):
            with contextlib.suppress(OSError):
                size = fcntl.ioctl(fd, termios.TIOCGWINSZ, b"\0" * 8)
                break
    with contextlib.suppress(OSError):
        fcntl.ioctl(main, termios.TIOCSWINSZ, size)


# -- on pipes ------------------------------------------------------------------------------------------------


def _on_pipes(command: list[str], mirror: Mirror, *, as_ours: bool) -> int:
    joined = as_ours and _are_one(1, 2)  # `> log 2>&1`: what is said in order stays in order
    error = subprocess.STDOUT if joined else subprocess.PIPE
    process = subprocess.Popen(command, stdin=_own_stdin(), stdout=subprocess.PIPE, stderr=error)  # noqa: S603 (the user's own command)
    assert process.stdout is not None
    sources = {process.stdout.fileno(): (_Output(1), "stdout")}
    if process.stderr is not None:
        sources[process.stderr.fileno()] = (_Output(2), "stderr")
    with _forwarding(process, hears_keys=True):
        _pump(sources, process, mirror)
    process.stdout.close()
    if process.stderr is not None:
        process.stderr.close()
    return process.wait()


def _are_one(one: int, other: int) -> bool:
    try:
        return os.path.sameopenfile(one, other)
    except OSError:
        return False


# -- both ----------------------------------------------------------------------------------------------------


class _Output:
    """One of our own outputs. When it cannot be written any more, that is told once, and it is left alone."""

    def __init__(self, fd: int) -> None:
        self._fd = fd
        self._works = True
        if (sys.__stdout__ if fd == 1 else sys.__stderr__) is None:  # its number may be another file's by now
            self._give_up("it is closed")

    def write(self, data: bytes) -> None:
        """Write all of it, or give up."""
        try:
            if self._works:
                _write_all(self._fd, data)
        except OSError as error:
            self._give_up(error.strerror or str(error))

    def _give_up(self, why: str) -> None:
        self._works = False
        name = "standard output" if self._fd == 1 else "standard error"
        _tell(f"{name} cannot be written ({why}); the command goes on, and its output is in the build")


def _tell(text: str) -> None:
    """A line on standard error, if it can be written."""
    if sys.__stderr__ is not None:
        with contextlib.suppress(OSError):
            os.write(2, f"buildwidget: {text}\n".encode())


def _pump(
    sources: dict[int, tuple[_Output, str]],
    process: subprocess.Popen[bytes],
    mirror: Mirror,
    *,
    keys_to: int | None = None,
) -> None:
    """Pass everything on until its end. ``keys_to``: the pseudo-terminal that gets the keys of ours."""
    with selectors.DefaultSelector() as selector:
        for fd in sources:
            selector.register(fd, selectors.EVENT_READ)
        unread = set(sources)
        stdin = None if keys_to is None else _terminal_stdin()
        if stdin is not None:
            selector.register(stdin, selectors.EVENT_READ)
        while unread:
            ready = {key.fd for key, _ in selector.select(0.2)}
            for fd in ready & unread:
                output, kind = sources[fd]
                data = _read(fd)
                if data:
                    output.write(data)
                    mirror.write(data, kind)
                else:
                    selector.unregister(fd)
                    unread.discard(fd)
            if keys_to is not None and not ready and process.poll() is not None:
                return  # a grandchild may keep the terminal open
            if keys_to is not None and stdin is not None and stdin in ready:
                data = _read(stdin)
                if data:
                    with contextlib.suppress(OSError):  # the command is about to end
                        _write_all(keys_to, data)
                else:
                    selector.unregister(stdin)
                    stdin = None


@contextlib.contextmanager
def _forwarding(process: subprocess.Popen[bytes], *, hears_keys: bool = False) -> Generator[None]:
    """Signals that would end us go to the command; we end when it does.

    ``hears_keys``: it is in our process group, and Ctrl-C on a terminal reaches both of us.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return

    def forward(number: int, _frame: FrameType | None) -> None:
        if hears_keys and number in {signal.SIGINT, signal.SIGQUIT} and _is_in_foreground():
            return
        with contextlib.suppress(ProcessLookupError):
            process.send_signal(number)

    before: dict[int, Any] = {}
    try:
        for name in FORWARDED:
            number = getattr(signal, name)
            before[number] = signal.signal(number, forward)
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _read(fd: int) -> bytes:
    try:
        return os.read(fd, PIECE)
    except OSError as error:
        if error.errno in {errno.EIO, errno.EBADF}:  # the other side of a pseudo-terminal is closed
            return b""
        raise


def _write_all(fd: int, data: bytes) -> None:
    view = memoryview(data)
    while view:
        try:
            view = view[os.write(fd, view) :]
        except BlockingIOError:
            _wait_writable(fd)


def _wait_writable(fd: int) -> None:
    with selectors.DefaultSelector() as selector:
        selector.register(fd, selectors.EVENT_WRITE)
        selector.select(1.0)


def _is_in_foreground() -> bool:
    """Whether the keys of our terminal are for our process group."""
    try:
        fd = os.open("/dev/tty", os.O_RDWR | os.O_NOCTTY)
    except OSError:
        return False
    try:
        return os.tcgetpgrp(fd) == os.getpgrp()
    except OSError:
        return False
    finally:
        os.close(fd)


def _own_stdin() -> int | None:
    """What the command gets as its input: ours, if we have one."""
    return subprocess.DEVNULL if sys.__stdin__ is None else None


def _terminal_stdin() -> int | None:
    fd = _fd(sys.stdin)
    return fd if fd is not None and os.isatty(fd) else None


def _fd(stream: IO[Any] | None) -> int | None:
    try:
        return None if stream is None else stream.fileno()
    except (OSError, ValueError):
        return None

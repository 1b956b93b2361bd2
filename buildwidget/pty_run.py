"""Run a command and pass its output through, unchanged, while copying it to a build.

If our standard output is a terminal, the command gets a pseudo-terminal, so that it writes unbuffered and in colour;
otherwise it gets pipes. Its output goes to our own outputs byte for byte, and also to a *sink*, which never blocks the
command: output that the sink is too slow for is dropped there and replaced by a note. If one of our own outputs can no
longer be written (disk full, pipe closed), it is abandoned with one warning on standard error; the command goes on.
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

CHUNK: Final = 64 * 1024
MAX_QUEUED: Final = 2**20  # bytes queued for the sink; more are dropped
DRAIN_TIMEOUT: Final = 5.0  # seconds to drain the queue after the command has ended
FORWARDED: Final = ("SIGINT", "SIGTERM", "SIGHUP", "SIGQUIT", "SIGUSR1", "SIGUSR2")


class Sink(Protocol):
    """A consumer of output; it may be slow and may fail."""

    def write(self, text: str, output_type: str) -> None:
        """Consume a piece of output."""
        ...

    def close(self) -> None:
        """End the output."""
        ...


class RunResult(msgspec.Struct, frozen=True):
    """How a command ended.

    ``exit_code`` is as in a shell: the command's own, 128 + n if signal n ended it, 127 not found, 126 not executable.
    """

    exit_code: int
    signal: str | None = None
    seconds: float = 0.0


class Mirror:
    """Passes output to a sink in a thread of its own; drops what exceeds the queue and notes how much was dropped."""

    def __init__(self, sink: Sink) -> None:
        self._sink = sink
        self._queue: queue.SimpleQueue[tuple[bytes, str] | None] = queue.SimpleQueue()
        self._waiting = 0
        self._dropped = 0
        self._lock = threading.Lock()
        self._thread: threading.Thread | None = None  # started by the first write, so that the fork happens without it

    def write(self, data: bytes, output_type: str) -> None:
        """Queue bytes for the sink without blocking."""
        with self._lock:
            if self._waiting + len(data) > MAX_QUEUED:
                self._dropped += len(data)
                return
            self._waiting += len(data)
        self._queue.put((data, output_type))
        self._start()

    def end(self, *lines: tuple[str, str]) -> None:
        """Queue the last lines (text, output type) and drain, for at most `DRAIN_TIMEOUT` seconds."""
        for text, kind in lines:
            self._queue.put((text.encode(), kind))
        self._queue.put(None)
        self._start().join(DRAIN_TIMEOUT)

    def _start(self) -> threading.Thread:
        if self._thread is None:
            self._thread = threading.Thread(target=self._work, name="buildwidget-mirror", daemon=True)
            self._thread.start()
        return self._thread

    def _next(self) -> tuple[bytes, str] | None:
        """Return the next item; empty bytes after 100 ms of silence, so that a sink can flush its buffer."""
        try:
            return self._queue.get(timeout=0.1)
        except queue.Empty:
            return b"", "stdout"

    def _work(self) -> None:
        decoders: dict[str, Any] = {}
        unfinished: set[str] = set()  # kinds whose last line has no newline yet
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
        Where the output is copied to.
    use_pty
        True: a pseudo-terminal. False: pipes, which keep standard output and standard error separate. None: a
        pseudo-terminal if our standard output is a terminal, with a pipe for standard error if that is not one.

    Returns
    -------
    RunResult
        How it ended. The sink also gets a last line about it.
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
        _warn(f"{command[0]}: {error.strerror}")
    name = None
    if code < 0:
        with contextlib.suppress(ValueError):
            name = signal.Signals(-code).name
        code = 128 - code
    seconds = time.monotonic() - started
    mirror.end((_summary(command, code, name, seconds), "success" if code == 0 else "error"))
    return RunResult(code, name, seconds)


def _summary(command: list[str], code: int, name: str | None, seconds: float) -> str:
    program = os.path.basename(command[0])
    if code == 127:
        how = "was not found"
    elif code == 126:
        how = "cannot be executed"
    elif name:
        how = f"was ended by {name} after {seconds:.1f} s"
    else:
        how = f"ended with exit code {code} after {seconds:.1f} s"
    return f"{program} {how}\n"


# -- on a pseudo-terminal ------------------------------------------------------------------------------------


def _on_pty(command: list[str], mirror: Mirror, *, as_ours: bool) -> int:
    separate = as_ours and not os.isatty(2)  # `2> errors.txt`
    main, other = pty.openpty()
    try:
        _copy_size(main)
        if not os.isatty(1):  # our own terminal would translate LF to CR LF itself
            attributes = termios.tcgetattr(other)
            attributes[1] &= ~termios.ONLCR
            termios.tcsetattr(other, termios.TCSANOW, attributes)
        own = _terminal_stdin() is None  # the command then inherits our standard input
        # Between fork and exec the child makes two system calls only, so it needs no lock that another thread may hold.
        streams: Any = {
            "stdin": _own_stdin() if own else other,
            "stdout": other,
            "stderr": subprocess.PIPE if separate else other,
        }
        process: Any = subprocess.Popen(command, **streams, preexec_fn=_own_terminal)  # noqa: PLW1509, S603
    except BaseException:
        os.close(main)
        raise
    finally:
        os.close(other)
    sources = {main: (_Output(1), "stdout")}
    if separate:
        sources[process.stderr.fileno()] = (_Output(2), "stderr")
    with _forwarding(process), _raw_stdin(), _resizing(main):
        _pump(sources, process, mirror, keys_to=main)
    os.close(main)
    if separate:
        process.stderr.close()
    return process.wait()


def _own_terminal() -> None:
    """Make the pseudo-terminal the controlling terminal of the child, so that Ctrl-C reaches it."""
    os.setsid()
    fcntl.ioctl(1, termios.TIOCSCTTY, 0)


@contextlib.contextmanager
def _raw_stdin() -> Generator[None]:
    """Put our terminal into raw mode, so that keys reach the command unchanged; restore it afterwards."""
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
    """Keep the pseudo-terminal as large as our terminal."""
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
    joined = as_ours and _are_same_file(1, 2)  # `> log 2>&1`: one pipe keeps the order of both
    error = subprocess.STDOUT if joined else subprocess.PIPE
    process = subprocess.Popen(command, stdin=_own_stdin(), stdout=subprocess.PIPE, stderr=error)  # noqa: S603 (the user's own command)
    assert process.stdout is not None
    sources = {process.stdout.fileno(): (_Output(1), "stdout")}
    if process.stderr is not None:
        sources[process.stderr.fileno()] = (_Output(2), "stderr")
    with _forwarding(process, same_group=True):
        _pump(sources, process, mirror)
    process.stdout.close()
    if process.stderr is not None:
        process.stderr.close()
    return process.wait()


def _are_same_file(one: int, other: int) -> bool:
    try:
        return os.path.sameopenfile(one, other)
    except OSError:
        return False


# -- both ----------------------------------------------------------------------------------------------------


class _Output:
    """One of our own outputs. After the first failed write it prints a warning and discards everything."""

    def __init__(self, fd: int) -> None:
        self._fd = fd
        self._works = True
        if (sys.__stdout__ if fd == 1 else sys.__stderr__) is None:  # the descriptor may belong to another file by now
            self._give_up("it is closed")

    def write(self, data: bytes) -> None:
        """Write all of the data; after an error, abandon the output."""
        try:
            if self._works:
                _write_all(self._fd, data)
        except OSError as error:
            self._give_up(error.strerror or str(error))

    def _give_up(self, why: str) -> None:
        self._works = False
        name = "standard output" if self._fd == 1 else "standard error"
        _warn(f"{name} cannot be written ({why}); the command goes on, and its output is in the build")


def _warn(text: str) -> None:
    """Write a line to standard error; ignore failure."""
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
    """Copy sources to outputs until they end. ``keys_to``: the pseudo-terminal that gets what is typed on ours."""
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
                return  # a grandchild may hold the terminal open
            if keys_to is not None and stdin is not None and stdin in ready:
                data = _read(stdin)
                if data:
                    with contextlib.suppress(OSError):  # the command is about to end
                        _write_all(keys_to, data)
                else:
                    selector.unregister(stdin)
                    stdin = None


@contextlib.contextmanager
def _forwarding(process: subprocess.Popen[bytes], *, same_group: bool = False) -> Generator[None]:
    """Forward the signals that would end this process to the command.

    ``same_group``: the command is in our process group, so Ctrl-C on a terminal already reaches it.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return

    def forward(number: int, _frame: FrameType | None) -> None:
        if same_group and number in {signal.SIGINT, signal.SIGQUIT} and _is_in_foreground():
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
        return os.read(fd, CHUNK)
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
    """Return whether our process group is the foreground group of the terminal."""
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
    """Return the command's standard input: None to inherit ours, ``DEVNULL`` if ours is closed."""
    return subprocess.DEVNULL if sys.__stdin__ is None else None


def _terminal_stdin() -> int | None:
    fd = _fd(sys.stdin)
    return fd if fd is not None and os.isatty(fd) else None


def _fd(stream: IO[Any] | None) -> int | None:
    try:
        return None if stream is None else stream.fileno()
    except (OSError, ValueError):
        return None

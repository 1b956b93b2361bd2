"""Running a command so that its output is shown twice: here, unchanged, and in a build.

The command gets a pseudo-terminal, so that it writes as it would on a terminal: at once, and in colour. What it writes
goes to our own standard output byte for byte, and besides to a *sink*, which is never waited for: what it cannot take
in time is left out there, and said to be.
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


def run(command: list[str], sink: Sink, *, use_pty: bool = True) -> RunResult:
    """Run a command to its end, passing its output through and mirroring it.

    Parameters
    ----------
    command
        The program and its arguments.
    sink
        Where the output goes besides.
    use_pty
        Give it a pseudo-terminal. Without one, standard output and standard error stay apart.

    Returns
    -------
    RunResult
        How it ended; its last word is mirrored too.
    """
    mirror = Mirror(sink)
    started = time.monotonic()
    try:
        code = _on_pty(command, mirror) if use_pty else _on_pipes(command, mirror)
    except FileNotFoundError:
        code = 127
    except PermissionError:
        code = 126
    except OSError as error:
        code = 126
        print(f"buildwidget: {command[0]}: {error.strerror}", file=sys.stderr)  # noqa: T201 (a command's own words)
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


def _on_pty(command: list[str], mirror: Mirror) -> int:
    main, other = pty.openpty()
    try:
        _copy_size(main)
        own = _terminal_stdin() is None  # then the command reads what we would read
        # The child does nothing between fork and exec but two system calls: no lock of another thread is needed.
        streams: Any = {"stdin": None if own else other, "stdout": other, "stderr": other}
        process: Any = subprocess.Popen(command, **streams, preexec_fn=_own_terminal)  # noqa: PLW1509, S603
    except BaseException:
        os.close(main)
        raise
    finally:
        os.close(other)
    with _forwarding(process), _raw_stdin(), _resizing(main):
        _pump_pty(main, process, mirror)
    os.close(main)
    return process.wait()


def _own_terminal() -> None:
    """In the child: the pseudo-terminal is its controlling terminal, so that Ctrl-C there reaches it."""
    os.setsid()
    fcntl.ioctl(1, termios.TIOCSCTTY, 0)


def _pump_pty(main: int, process: subprocess.Popen[bytes], mirror: Mirror) -> None:
    with selectors.DefaultSelector() as selector:
        selector.register(main, selectors.EVENT_READ)
        stdin = _terminal_stdin()
        if stdin is not None:
            selector.register(stdin, selectors.EVENT_READ)
        while True:
            ready = {key.fd for key, _ in selector.select(0.2)}
            if main in ready:
                data = _read(main)
                if not data:
                    return
                _write_all(1, data)
                mirror.write(data, "stdout")
            elif process.poll() is not None and not ready:
                return  # a grandchild may keep the terminal open
            if stdin is not None and stdin in ready:
                data = _read(stdin)
                if data:
                    _write_all(main, data)
                else:
                    selector.unregister(stdin)
                    stdin = None


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


def _on_pipes(command: list[str], mirror: Mirror) -> int:
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE)  # noqa: S603 (the user's own command)
    assert process.stdout is not None
    assert process.stderr is not None
    ways = {process.stdout.fileno(): (1, "stdout"), process.stderr.fileno(): (2, "stderr")}
    with _forwarding(process), selectors.DefaultSelector() as selector:
        for fd in ways:
            selector.register(fd, selectors.EVENT_READ)
        while selector.get_map():
            for key, _ in selector.select():
                data = _read(key.fd)
                if not data:
                    selector.unregister(key.fd)
                    continue
                out, kind = ways[key.fd]
                _write_all(out, data)
                mirror.write(data, kind)
    process.stdout.close()
    process.stderr.close()
    return process.wait()


# -- both ----------------------------------------------------------------------------------------------------


@contextlib.contextmanager
def _forwarding(process: subprocess.Popen[bytes]) -> Generator[None]:
    """Signals that would end us go to the command; we end when it does."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return

    def forward(number: int, _frame: FrameType | None) -> None:
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
        except OSError as error:
            if error.errno in {errno.EPIPE, errno.EIO, errno.EBADF}:
                return  # nobody reads here any more; the command goes on, as its mirror does
            raise


def _wait_writable(fd: int) -> None:
    with selectors.DefaultSelector() as selector:
        selector.register(fd, selectors.EVENT_WRITE)
        selector.select(1.0)


def _terminal_stdin() -> int | None:
    fd = _fd(sys.stdin)
    return fd if fd is not None and os.isatty(fd) else None


def _fd(stream: IO[Any] | None) -> int | None:
    try:
        return None if stream is None else stream.fileno()
    except (OSError, ValueError):
        return None

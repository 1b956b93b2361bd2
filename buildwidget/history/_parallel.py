"""Reading in two processes: this one, and one that sends what it has read in pieces.

The other process is an ordinary Python that runs this module: nothing is forked, and the program that reads needs no
``if __name__ == "__main__"``. It has a `Store` of its own. A thread here gives it one piece after the other, and takes
the answers; this process reads pieces meanwhile. If the other one dies, its pieces are read here.
"""

# numpy, pandas and pyarrow leave the types of elements open.
# pyright: reportUnknownMemberType=false, reportUnknownArgumentType=false, reportUnknownVariableType=false

from __future__ import annotations

import os
import pickle
import queue
import subprocess
import sys
import threading
from collections import deque
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, BinaryIO, Final, Self

from ._read import read_files
from ._scan import Root
from ._store import Store

__all__ = ["read_in_two"]

PIECE: Final = 1_000


def read_in_two(
    store: Store, root: int, paths: Sequence[str], *, on_progress: Callable[[int], object] | None = None
) -> None:
    """As `read_files`, in this process and another."""
    store.reset_maps()
    todo = deque(paths[at : at + PIECE] for at in range(0, len(paths), PIECE))
    with _Other(store.roots[root], todo) as other:
        while todo or other.busy:
            for answer in other.answers():
                store.absorb(root, answer)
                if on_progress is not None:
                    on_progress(answer["files_read"])
            try:
                piece = todo.popleft()
            except IndexError:
                other.wait()
                continue
            read_files(store, root, piece)
            if on_progress is not None:
                on_progress(len(piece))
        for answer in other.answers():
            store.absorb(root, answer)


class _Other:
    """The other process, fed by a thread."""

    def __init__(self, root: Root, todo: deque[Sequence[str]]) -> None:
        self._todo = todo
        self._answers: queue.SimpleQueue[dict[str, Any] | None] = queue.SimpleQueue()
        self._held: dict[str, Any] | None = None
        self.busy = False
        environment = {
            **os.environ,
            "PYTHONPATH": os.pathsep.join([str(Path(__file__).parents[2]), *filter(None, sys.path)]),
        }
        try:
            self._process: subprocess.Popen[bytes] | None = subprocess.Popen(
                [sys.executable, "-m", "buildwidget.history._parallel"],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.DEVNULL,
                env=environment,
            )
        except (OSError, ValueError):  # no interpreter that can be started: read it all here
            self._process = None
            return
        self.busy = True
        self._thread = threading.Thread(target=self._feed, args=(root,), name="buildwidget-history", daemon=True)
        self._thread.start()

    def _feed(self, root: Root) -> None:
        process = self._process
        assert process is not None
        assert process.stdin is not None
        assert process.stdout is not None
        piece: Sequence[str] | None = None
        try:
            _send(process.stdin, root)
            while True:
                try:
                    piece = self._todo.popleft()
                except IndexError:
                    piece = None
                    return
                _send(process.stdin, piece)
                answer = _receive(process.stdout)
                piece = None
                self._answers.put(answer)
        except (OSError, EOFError, pickle.UnpicklingError):
            if piece is not None:
                self._todo.append(piece)
        finally:
            self._answers.put(None)

    def answers(self) -> list[dict[str, Any]]:
        """What has come since."""
        found: list[dict[str, Any]] = []
        if self._held is not None:
            found.append(self._held)
            self._held = None
        while True:
            try:
                answer = self._answers.get_nowait()
            except queue.Empty:
                return found
            if answer is None:
                self.busy = False
            else:
                found.append(answer)

    def wait(self) -> None:
        """Wait for the next answer."""
        if self.busy and self._held is None:
            answer = self._answers.get()
            if answer is None:
                self.busy = False
            self._held = answer

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        process = self._process
        if process is None:
            return
        self._todo.clear()
        process.kill()
        process.wait()
        self._thread.join(5)
        for stream in (process.stdin, process.stdout):
            if stream is not None:
                try:
                    stream.close()
                except OSError:  # what was to be flushed has nowhere to go
                    continue


def _send(stream: BinaryIO | Any, value: object) -> None:
    data = pickle.dumps(value, protocol=5)
    stream.write(len(data).to_bytes(8, "little") + data)
    stream.flush()


def _receive(stream: BinaryIO | Any) -> Any:
    """The next value from the process that we started ourselves."""
    head = stream.read(8)
    if len(head) < 8:
        raise EOFError
    size = int.from_bytes(head, "little")
    data = stream.read(size)
    if len(data) < size:
        raise EOFError
    return pickle.loads(data)  # noqa: S301 (our own child wrote it)


def main() -> None:
    """The other process: a root, then lists of paths; an answer for each list."""
    ins, outs = sys.stdin.buffer, sys.stdout.buffer
    sys.stdout = sys.stderr
    root = _receive(ins)
    store = Store([root], sends=True)
    while True:
        try:
            paths = _receive(ins)
        except EOFError:
            return
        read_files(store, 0, paths)
        _send(outs, {**store.drain(), "files_read": len(paths)})


if __name__ == "__main__":
    main()

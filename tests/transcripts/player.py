"""Plays transcripts at a real server. `tests/test_transcripts.py` and `tools/record_transcripts.py` stand on it."""

from __future__ import annotations

import contextlib
import json
import os
import re
import tempfile
import time
from bisect import bisect_right
from collections.abc import Iterable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, Self

from websockets.exceptions import ConnectionClosed
from websockets.sync.client import ClientConnection, connect

from buildwidget import events as ev
from buildwidget.session import BuildSession
from buildwidget.watching.pending import FileChange, Pending
from buildwidget.watching.still import StillSource
from tests.projects import until
from tests.serving import serving

FOLDER = Path(__file__).resolve().parent
ACTIONS = ("publish", "write", "delete", "restart", "connect", "send", "disconnect")
RESULTS = ("receive", "close", "state")
EPOCHS = ("0123456789abcdef", "fedcba9876543210")
BASE = datetime(2026, 3, 1, 9, tzinfo=UTC)
COMPLAINT = "what is wrong, in words"
PATIENCE = 10.0  # seconds until a message that does not come is missed
FENCE = "nothing more?"
TIME = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?Z")

Line = dict[str, Any]


# -- files -----------------------------------------------------------------------------------------------------------


def names() -> list[str]:
    """The transcripts that there are."""
    return sorted(path.stem for path in FOLDER.glob("*.jsonl"))


def path_of(name: str) -> Path:
    return FOLDER / f"{name}.jsonl"


def load(name: str) -> list[Line]:
    return [json.loads(line) for line in path_of(name).read_text("utf-8").splitlines()]


def dump(lines: Iterable[Line]) -> str:
    return "".join(json.dumps(line, ensure_ascii=False) + "\n" for line in lines)


def parts(lines: Iterable[Line]) -> Iterator[tuple[str, Any]]:
    """What kind of line, and what it says."""
    for line in lines:
        ((kind, body),) = line.items()
        yield kind, body


def received(lines: Iterable[Line]) -> list[Any]:
    return [body for kind, body in parts(lines) if kind == "receive"]


def queries(lines: Iterable[Line]) -> list[str]:
    return [body["query"] for kind, body in parts(lines) if kind == "connect"]


def final_state(lines: Iterable[Line]) -> Any | None:
    return next((body for kind, body in parts(lines) if kind == "state"), None)


# -- a time for every line -------------------------------------------------------------------------------------------


class Clock:
    """Every line that does something is a second; what the server's clock said meanwhile becomes that second."""

    def __init__(self) -> None:
        self._starts = [datetime.now(UTC) - timedelta(minutes=1)]

    def tick(self) -> None:
        self._starts.append(datetime.now(UTC))

    @property
    def now(self) -> str:
        return self._shown(len(self._starts) - 1)

    def fixed(self, value: Any) -> Any:
        match value:
            case dict():
                return {key: self.fixed(one) for key, one in value.items()}
            case list():
                return [self.fixed(one) for one in value]
            case str() if TIME.fullmatch(value):
                when = datetime.fromisoformat(value)
                step = bisect_right(self._starts, when) - 1
                return value if step < 0 or when > datetime.now(UTC) else self._shown(step)
            case _:
                return value

    @staticmethod
    def _shown(step: int) -> str:
        return (BASE + timedelta(seconds=step)).isoformat().replace("+00:00", "Z")


# -- files that change when they are told to -------------------------------------------------------------------------


class Told(StillSource):
    """Knows of a change when it is told, once. A watcher has its own time, and tells of young files twice."""

    def __init__(self) -> None:
        super().__init__()
        self._pending = Pending()

    def tell(self, path: str, kind: str) -> None:
        self._pending.add(path, kind)

    def take(self) -> list[FileChange]:
        return self._pending.take()

    def due_in(self) -> float | None:
        return self._pending.due_in()

    def put_back(self, change: FileChange, delay: float) -> None:
        self._pending.put_back(change, delay)


# -- a server and its client -----------------------------------------------------------------------------------------


class Player:
    """A server, and one client of it, that do what the lines of a transcript say.

    Parameters
    ----------
    session, keeps, files
        The body of the line ``server``: the session's id; how many messages its log keeps (None: as many as usual);
        whether it reads a folder.
    stock
        Serve with uvicorn as it comes, without prepared frames.
    """

    def __init__(
        self, *, session: str = "shop", keeps: int | None = None, files: bool = False, stock: bool = False
    ) -> None:
        self._name, self._keeps, self._files, self._stock = session, keeps, files, stock
        self._clock = Clock()
        self._stack = contextlib.ExitStack()
        self._epochs = iter(EPOCHS)
        self._client: ClientConnection | None = None

    def __enter__(self) -> Self:
        if self._files:
            place = Path(self._stack.enter_context(tempfile.TemporaryDirectory()))
            self._root, self._desk = place / self._name, place / "desk"
            (self._root / ".buildrunner").mkdir(parents=True)
        self._start()
        return self

    def __exit__(self, *_: object) -> None:
        self.disconnect()
        self._running.close()
        self._stack.close()

    def _start(self) -> None:
        session = BuildSession(self._root if self._files else None, session_id=self._name)
        session.log.epoch = next(self._epochs)
        self._told = session._source = Told()
        if self._keeps is not None:
            session.log._max_messages = self._keeps
        self._running = contextlib.ExitStack()
        self._running.callback(session.close)
        session.open()
        assert session.loaded
        self._session = session
        self._server = self._running.enter_context(serving(session, stock=self._stock))

    # -- what a line does ---------------------------------------------------------------------------------------------

    def act(self, kind: str, body: Any) -> None:
        """Do what a line says."""
        self._clock.tick()
        getattr(self, kind)(**body) if kind in {"write", "delete", "connect"} else getattr(self, kind)(body)
        if self._client is None:
            self._settle()  # what comes is not waited for: there is nobody to hear it

    def publish(self, messages: Any) -> None:
        self._session.publish(messages)

    def write(self, path: str, content: Any) -> None:
        """Put a file into the project at once, whole."""
        self._desk.write_text(content if isinstance(content, str) else json.dumps(content), "utf-8")
        now = time.time_ns()  # the clock of new files is a little slow
        os.utime(self._desk, ns=(now, now))
        target = self._root / path
        target.parent.mkdir(parents=True, exist_ok=True)
        kind = "modified" if target.exists() else "created"
        os.replace(self._desk, target)
        self._told.tell(path, kind)
        self._session.catch_up()

    def delete(self, path: str) -> None:
        (self._root / path).unlink()
        self._told.tell(path, "deleted")
        self._session.catch_up()

    def restart(self, _: Any) -> None:
        self._running.close()
        self._start()

    def connect(self, query: str, session: str | None = None) -> None:
        url = self._server.stream_url.removesuffix(self._name) + (session or self._name)
        opened: Any = connect(f"{url}?{query}" if query else url, max_size=None, compression=None)
        self._client = opened.__enter__()  # not every version wants it entered, but all let it be; `close` is its exit

    def send(self, message: Any) -> None:
        assert self._client is not None
        self._client.send(message if isinstance(message, str) else json.dumps(message))

    def disconnect(self, _: Any = None) -> None:
        client, self._client = self._client, None
        if client is not None:
            client.close()

    # -- what comes of it ---------------------------------------------------------------------------------------------

    @property
    def connected(self) -> bool:
        return self._client is not None

    def hear(self) -> Line:
        """The next line that the server writes. Heartbeats come by the clock: they are passed over."""
        assert self._client is not None
        while True:
            try:
                message = json.loads(self._client.recv(timeout=PATIENCE))
            except ConnectionClosed as closed:
                self._client = None
                return {"close": {"code": closed.rcvd.code if closed.rcvd else 1006}}
            if message["type"] != "heartbeat":
                return {"receive": self._fixed(message)}

    def all(self) -> list[Line]:
        """Everything that comes of what was done."""
        self._settle()
        return self.rest()[0]

    def rest(self) -> tuple[list[Line], Any]:
        """What was sent and not yet heard, and the state of the server."""
        lines: list[Line] = []
        if self._client is not None:
            with contextlib.suppress(ConnectionClosed):
                self.send({"type": "request_status", "id": FENCE})
            while self._client is not None:
                line = self.hear()
                if line.get("receive", {}).get("id") == FENCE:
                    return lines, line["receive"]["state"]
                lines.append(line)
        return lines, None

    def _settle(self) -> None:
        """Wait until everything that was done is in the log."""
        session = self._session
        until(lambda: session._terminal.due() is None, what="the unfinished line is shown")
        with session.lock:  # whoever shows it holds the lock until it is logged
            pass

    def _fixed(self, message: Any) -> Any:
        sent = message["timestamp"]
        assert TIME.fullmatch(sent), sent
        message = self._clock.fixed(message)
        if message["type"] not in ev.TYPES or message.get("seq") is None:
            message["timestamp"] = self._clock.now  # of the sending, which is no part of the build
        if message["type"] == "connection":
            assert re.fullmatch(r"buildwidget/\d+\.\d+.*", message["server"]), message["server"]
            message["server"] = "buildwidget/*"
        if message.get("error_type") == "bad_request":
            assert message["error_message"] == message["message"] != ""
            message["error_message"] = message["message"] = COMPLAINT
        return message


def _player(lines: list[Line], stock: bool) -> Player:
    options = next((body for kind, body in parts(lines) if kind == "server"), {})
    return Player(**options, stock=stock)


def record(lines: list[Line], *, stock: bool = False) -> list[Line]:
    """The same transcript with what comes of it now."""
    made: list[Line] = []
    with _player(lines, stock) as player:
        for line, (kind, body) in zip(lines, parts(lines), strict=True):
            if kind in RESULTS:
                continue
            made.append(line)
            if kind in ACTIONS:
                player.act(kind, body)
                made += player.all()
        if player.connected:
            made.append({"state": player.rest()[1]})
    return made


def replay(lines: list[Line], *, stock: bool = False) -> Iterator[tuple[str, Any, Any]]:
    """Play a transcript: (where, what it says that comes, what comes) for every line that says so."""
    with _player(lines, stock) as player:
        for number, (kind, body) in enumerate(parts(lines), 1):
            where = f"line {number}"
            if kind in {"disconnect", "restart"}:
                yield f"before {where}", [], player.rest()[0]
            if kind in ACTIONS:
                player.act(kind, body)
            elif kind == "state":
                more, state = player.rest()
                yield f"before {where}", [], more
                yield where, body, state
            elif kind in RESULTS:
                yield where, {kind: body}, player.hear() if player.connected else None
        yield "after the last line", [], player.rest()[0]

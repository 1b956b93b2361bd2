"""The server under attack: what a client may cost that does not read, does not end, or sends what nobody can read."""

from __future__ import annotations

import asyncio
import contextlib
import importlib
import json
import logging
import os
import signal
import socket
import struct
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from typing import Any

import httpx
import psutil
import pytest
import uvicorn
from websockets.exceptions import ConnectionClosed

from buildwidget.server import _uvicorn
from buildwidget.server.budget import Budget, Version
from buildwidget.server.logs import configure
from buildwidget.server.wire import SLICE, Batch, in_slices
from tests.projects import until
from tests.serving import Folder, Patient, connect, of_type, plain, published, read_until, serving, sessions_of

MIB = 2**20

SERVER = """
import sys
import buildwidget.server.run
from buildwidget.server import _uvicorn, serve
from buildwidget.server.logs import configure
from buildwidget.session import BuildSession

configure("info")
way, size, patience = sys.argv[1], int(sys.argv[2]), float(sys.argv[3])
if way == "plain":
    sys.modules["buildwidget.server.run"].protocols = lambda: (_uvicorn.protocols()[0], _uvicorn.plain_websocket())
session = BuildSession(None, session_id="shop").open()
items = max(1, size // 2000)
turn = 0

def say(first, last):
    session.publish([
        {"type": "component_update", "component_id": f"c{n}", "metadata": {"turn": turn, "text": "y" * 1700}}
        for n in range(first, min(last, items))
    ])

for first in range(0, items, 100):
    say(first, first + 100)
server = serve(session, patience=patience, heartbeat=2.0)
meters = server._sessions.meters
print(server.port, flush=True)
for line in sys.stdin:
    if line == "say\\n":
        turn += 1
        say(0, 1)
    print(len(server._sessions.clients()), meters.dropped_clients, meters.policy_closes, flush=True)
server.stop()
"""


def masked(payload: bytes, first: int = 0x81) -> bytes:
    """A frame of a client."""
    size = len(payload)
    length = bytes([0x80 | size]) if size < 126 else bytes([0xFE]) + struct.pack("!H", size)
    return bytes([first]) + length + b"\0\0\0\0" + payload


def handshake(query: str = "", more: str = "") -> bytes:
    return (
        f"GET /api/build/stream/shop{query} HTTP/1.1\r\nHost: 127.0.0.1\r\nUpgrade: websocket\r\n"
        "Connection: Upgrade\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n"
        f"{more}\r\n"
    ).encode()


class Target:
    """A server in a process of its own, whose memory can be measured."""

    def __init__(self, way: str, size: int, patience: float) -> None:
        command = [sys.executable, "-c", SERVER, way, str(size), str(patience)]
        pipes: dict[str, Any] = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
        self.process = subprocess.Popen(command, text=True, **pipes)
        assert self.process.stdout is not None
        self.port = int(self.process.stdout.readline())
        self.sockets: list[socket.socket] = []
        httpx.get(f"http://127.0.0.1:{self.port}/api/build/status/shop")
        self.stream("?snapshot=1").close()
        self.sockets.clear()
        until(lambda: self.meters[0] == 0)
        self._memory = psutil.Process(self.process.pid).memory_info
        self.before = self.peak = self._memory().rss

    def ask(self, what: str = "") -> tuple[int, int, int]:
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        self.process.stdin.write(what + "\n")
        self.process.stdin.flush()
        clients, dropped, closed = self.process.stdout.readline().split()
        return int(clients), int(dropped), int(closed)

    @property
    def meters(self) -> tuple[int, int, int]:
        """Clients, dropped ones, those that asked too much."""
        return self.ask()

    def open(self, data: bytes) -> socket.socket:
        """A client that does not read: nothing, or the head of the answer at most."""
        made = socket.socket()
        made.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        made.settimeout(10)
        made.connect(("127.0.0.1", self.port))
        made.sendall(data)
        self.sockets.append(made)
        return made

    def stream(self, query: str = "") -> socket.socket:
        made = self.open(handshake(query))
        assert made.recv(12).startswith(b"HTTP/1.1 101")
        return made

    def look(self) -> None:
        self.peak = max(self.peak, self._memory().rss)

    @property
    def grown(self) -> float:
        """MiB more than before, at the most."""
        return (self.peak - self.before) / MIB

    def end(self) -> str:
        """Stop; what it said on stderr."""
        for one in self.sockets:
            one.close()
        try:
            _, said = self.process.communicate(timeout=15)
        finally:
            self.process.kill()
        return said


@pytest.fixture(params=["frames", "plain"])
def way(request) -> str:
    return request.param


@pytest.fixture
def target(way) -> Iterator[Any]:
    made: list[Target] = []

    def begin(size: int, patience: float = 2.0) -> Target:
        made.append(Target(way, size, patience))
        return made[-1]

    yield begin
    for one in made:
        said = one.end()
        assert "Traceback" not in said
        assert one.process.returncode == 0


# -- what is asked, and not read -------------------------------------------------------------------------------------

STATUS = [masked(b'{"type":"request_status","id":1}')]
RESUME = [masked(b'{"type":"resume","epoch":"other","seq":1}'), masked(b'{"type":"resume","epoch":"x","seq":0}')]
SUBSCRIBE = [masked(b'{"type":"unsubscribe","topics":["tasks"]}'), masked(b'{"type":"subscribe","topics":["all"]}')]
PINGS = [masked(b"p" * 125, 0x89) * 80]
MESSAGE_PINGS = [masked(json.dumps({"type": "ping", "id": "p" * 190}).encode())]


@pytest.mark.parametrize(
    "questions",
    [STATUS, RESUME, SUBSCRIBE, PINGS, MESSAGE_PINGS],
    ids=["request_status", "resume", "subscribe", "pings of the protocol", "ping messages"],
)
def test_one_that_asks_and_does_not_read_costs_nothing_and_is_dropped(target, questions) -> None:
    server = target(170_000)
    client = server.stream()
    if questions is MESSAGE_PINGS:  # a pong is small: what fills the socket first is something else
        client.sendall(b"".join(STATUS * 40))
    client.setblocking(False)
    rest = b""
    end = time.monotonic() + 25
    gone = False
    while not gone and time.monotonic() < end:
        for question in questions:
            rest = rest or question
            try:
                done = client.send(rest)
                rest = rest[done:]
            except BlockingIOError:
                pass
            except OSError:
                gone = True
                break
        server.look()
        time.sleep(1 / 95 if questions is not PINGS else 0.001)  # what is allowed: fewer than 100 in a second
    assert server.grown < 16
    assert gone
    assert server.meters[:2] == (0, 1)


@pytest.mark.parametrize("query", ["?snapshot=1", "", "?topics=components"], ids=["snapshot", "messages", "filtered"])
def test_many_that_do_not_read_a_big_state_share_it(target, way, query) -> None:
    server = target(6 * MIB, 3.0)
    for number in range(200):
        server.stream(query)
        if number % 4 == 0:
            server.ask("say")  # so that the next would need another version
        server.look()
    if way == "frames" and _uvicorn.protocols()[1] is not _uvicorn.plain_websocket():
        until(lambda: server.look() or server.meters[0] == 0, 45)
        assert server.meters[1] == 200
    else:
        # A server that takes only whole messages copies each: as many clients as the budget has room for are served at
        # a time, for as long as their patience lasts. The others wait for their turn, and that is not their fault: to
        # drop all 200 takes minutes.
        until(lambda: server.look() or server.meters[1] >= 10, 45)
    assert server.grown < 128


@pytest.mark.parametrize("accept", ["text/event-stream", "application/x-ndjson", "application/json"])
def test_the_same_over_http(target, way, accept) -> None:
    server = target(6 * MIB, 3.0)
    path = "status" if accept == "application/json" else "stream"
    request = f"GET /api/build/{path}/shop?snapshot=1 HTTP/1.1\r\nHost: 127.0.0.1\r\nAccept: {accept}\r\n\r\n"
    for _ in range(200):
        server.open(request.encode())
        server.look()
    end = time.monotonic() + 3
    while time.monotonic() < end:
        server.look()
        server.ask("say")
    assert server.grown < 128


# -- requests that do not end ----------------------------------------------------------------------------------------


def gone(one: socket.socket, seconds: float) -> bool:
    """Whether the server ends this connection in time."""
    one.settimeout(max(0.01, seconds))
    try:
        while one.recv(65_536):
            pass
    except TimeoutError:
        return False
    except OSError:
        pass
    return True


def test_upgrades_with_a_body_are_refused_at_once(target) -> None:
    server = target(2_000)
    started = time.monotonic()
    for number in range(2_000):
        kind = ("Content-Length: 1000000\r\n", "Transfer-Encoding: chunked\r\n", "Content-Length: 5\r\n")[number % 3]
        server.open(handshake(more=kind) + (b"", b"5\r\nhello\r\n", b"hello")[number % 3])
    assert all(gone(one, started + 15 - time.monotonic()) for one in server.sockets)
    server.stream("?snapshot=1")


@pytest.mark.parametrize("more", ["", "Expect: 100-continue\r\n"])
def test_a_body_that_does_not_come_ends_the_connection(monkeypatch, caplog, more) -> None:
    from buildwidget.server import _http

    caplog.set_level("INFO")
    monkeypatch.setattr(_http, "BODY_SECONDS", 0.5)
    head = (
        "POST /api/build/sessions/shop/events HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: 1000\r\n"
        f"Authorization: Bearer write-token-1\r\n{more}\r\n[{{"
    )
    with published() as session, serving(session, write_token="write-token-1") as server:
        for data in (head, head.replace("write-token-1", "wrong-token-1")):
            with socket.create_connection(("127.0.0.1", server.port)) as one:
                one.sendall(data.encode())
                assert gone(one, 5)
        with socket.create_connection(("127.0.0.1", server.port)) as one:
            one.sendall(head.encode())  # and away
        assert httpx.get(f"{server.url}/healthz").status_code == 200
        until(lambda: "the client disconnected in the middle of a publication" in caplog.text)
    assert not [record for record in caplog.records if record.exc_info]


def test_a_signal_ends_it_with_0_while_all_of_these_hang(tmp_path) -> None:
    (tmp_path / "shop").mkdir()
    command = [sys.executable, "-m", "buildwidget", "serve", str(tmp_path / "shop"), "--port", "0"]
    command += ["--write-token", "write-token-1"]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=dict(os.environ))
    assert process.stdout is not None
    port = int(process.stdout.readline().strip().rsplit(":", 1)[1].strip("/"))
    post = (
        b"POST /api/build/sessions/shop/events HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: 1000\r\n"
        b"Authorization: Bearer write-token-1\r\n\r\n[{"
    )
    hanging = [
        *(handshake(), handshake("?snapshot=1"), handshake(more="Content-Length: 9\r\n"), b"GET / HT", post),
        handshake(more="Transfer-Encoding: chunked\r\n") + b"5\r\nhel",
        handshake().replace(b"Sec-WebSocket-Version: 13", b"Sec-WebSocket-Version: x"),
        handshake().replace(b"GET", b"POST") + b"x",
    ]
    sockets = [socket.create_connection(("127.0.0.1", port)) for _ in hanging]
    try:
        for one, data in zip(sockets, hanging, strict=True):
            one.sendall(data)
        assert httpx.get(f"http://127.0.0.1:{port}/healthz").status_code == 200
        process.send_signal(signal.SIGTERM)
        _, said = process.communicate(timeout=20)
        assert process.returncode == 0
        assert "Traceback" not in said
    finally:
        process.kill()
        for one in sockets:
            one.close()


# -- what cannot be read ---------------------------------------------------------------------------------------------


def test_what_is_refused_leaves_one_plain_line_each(target) -> None:
    server = target(2_000)
    wrong = [
        handshake().replace(b"/shop", b"/sh\xc3\xb6p"),
        handshake().replace(b"/shop", b"/sh%ff%00p"),
        handshake("?since=x"),
        handshake(more="Origin: http://evil.example\r\n"),
        handshake(more="Host: two\r\n"),
        handshake(more="X-Odd: \xff\xfe\r\n").replace(b"\xc3\xbf\xc3\xbe", b"\xff\xfe"),
        handshake().replace(b"Sec-WebSocket-Version: 13", b"Sec-WebSocket-Version: 99"),
        handshake().replace(b"dGhlIHNhbXBsZSBub25jZQ==", b"short"),
        handshake().replace(b"HTTP/1.1", b"HTTP/1.0"),
        handshake().replace(b"GET", b"PUT"),
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",
        b"GET /\xff\xfe HTTP/1.1\r\nHost: x\r\n\r\n",
        b"GET /api/build/status/%ff HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n",
    ]
    for data in wrong:
        server.open(data).close()
        one = server.open(data)
        one.settimeout(5)
        with contextlib.suppress(OSError):
            one.recv(100)
    for payload in (b"\xff\xfe", b'{"type":"ping","id":"\xed\xa0\x80"}', b"\xf4\x90\x80\x80"):
        one = server.stream("?topics=errors")
        one.sendall(masked(payload))
        assert gone(one, 10)
    server.stream("?snapshot=1")


# -- what is big comes whole all the same ----------------------------------------------------------------------------


@pytest.fixture(params=["prepared frames", "plain ASGI"])
def stock(request) -> bool:
    return request.param == "plain ASGI"


async def test_a_slow_reader_gets_a_big_state_whole_and_then_what_came_meanwhile(stock) -> None:
    folder = Folder()
    with published() as session, serving(session, stock=stock) as server:
        for number in range(2_000):
            session.publish({"type": "component_update", "component_id": f"c{number}", "metadata": {"x": "é" * 900}})
        async with connect(server, "?snapshot=1", max_queue=1) as ws:
            await ws.send('{"type":"ping","id":7}')
            await ws.ping()
            for number in range(50):
                session.publish({"type": "component_update", "component_id": "c1", "metadata": {"n": number}})
                await asyncio.sleep(0.001)
            got = await read_until(ws, lambda m: m["type"] == "pong", folder, 20)
            assert [m["type"] for m in got][:2] == ["connection", "snapshot"]
            await read_until(ws, lambda _: True, folder) if folder.seq < session.seq else None
            while folder.seq < session.seq:
                await read_until(ws, lambda _: True, folder)
            assert folder.plain() == plain(session)
            await ws.send('{"type":"request_status","id":"é"}')
            status = (await read_until(ws, of_type("status"), folder))[-1]
            assert (status["id"], status["seq"], status["state"]) == ("é", session.seq, plain(session))
            await ws.send('{"type":"request_status"}')
            closing = asyncio.create_task(ws.close())  # in the middle of the answer
            with contextlib.suppress(ConnectionClosed):  # this library hears no goodbye while two messages are unread
                while True:
                    await ws.recv()
            await closing
            assert ws.protocol.close_code == 1000


def test_the_end_comes_after_a_big_state(stock) -> None:
    folder = Folder()
    with published() as session, serving(session, stock=stock) as server:
        for number in range(4_000):
            session.publish({"type": "component_update", "component_id": f"c{number}", "metadata": {"x": "y" * 1_800}})
        client = Patient(server.stream_url + "?snapshot=1")
        stopping = threading.Thread(target=server.stop)
        for text in client:
            folder.take(text)
            if folder.kinds == ["connection"]:
                stopping.start()
        stopping.join(20)
        assert client.code in ({1001, 1012} if stock else {1001})  # an older uvicorn says goodbye before we can
        assert folder.plain() == plain(session)


def test_slices() -> None:
    pieces = [b"a" * 10, b"b" * SLICE, b"", b"c" * (3 * SLICE + 5), b"d", b"e" * (SLICE - 1), b"f"]
    slices = list(in_slices(pieces))
    assert b"".join(slices) == b"".join(pieces)
    assert max(map(len, slices)) <= SLICE
    batch = Batch([b"x", (b"y" * 200, b"z" * 70_000, b"!"), b"w" * 126])
    assert b"".join(batch.slices()) == batch.frames
    assert batch.texts == ["x", "y" * 200 + "z" * 70_000 + "!", "w" * 126]


# -- the budget ------------------------------------------------------------------------------------------------------


class Reader:
    def __init__(self) -> None:
        self.over = False

    def evict(self) -> None:
        self.over = True


def test_the_oldest_versions_give_way() -> None:
    budget = Budget(limit=100)
    versions, readers = [], []
    for _ in range(4):
        version, reader = Version(), Reader()
        version.size = 30
        version.holders.add(reader)
        budget.admit(version)
        versions.append(version)
        readers.append(reader)
    assert [reader.over for reader in readers] == [True, False, False, False]
    del version
    versions.clear()
    assert budget.held == 0


async def test_whole_messages_wait_for_their_turn() -> None:
    budget = Budget(limit=100)
    order: list[int] = []
    most = 0
    inside = 0

    async def one(number: int, size: int) -> None:
        nonlocal inside, most
        async with budget.reserve(size):
            inside += min(size, 100)
            most = max(most, inside)
            order.append(number)
            await asyncio.sleep(0)
            inside -= min(size, 100)

    tasks = [asyncio.create_task(one(n, (60, 60, 500, 10)[n % 4])) for n in range(40)]
    await asyncio.sleep(0)
    for n in (5, 17, 30):
        tasks[n].cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
    assert most <= 100
    assert order == [n for n in range(40) if n not in {5, 17, 30}]
    async with budget.reserve(100):
        pass


# -- the log ---------------------------------------------------------------------------------------------------------


def test_an_attack_does_not_fill_the_log(capsys) -> None:
    configure("info")
    logger = logging.getLogger("buildwidget.server.test")
    for number in range(5_000):
        logger.info("refused a client: %d", number)
    logger.info("something else")
    lines = capsys.readouterr().err.splitlines()
    assert 100 <= len(lines) < 200
    assert lines[0].endswith("refused a client: 0")
    assert lines[-1].endswith("something else")


# -- which way -------------------------------------------------------------------------------------------------------


def test_our_own_protocols_are_used_where_they_work_and_only_there(monkeypatch) -> None:
    http, ws = _uvicorn.protocols()
    assert http.__name__ == "HttpProtocol"
    newest = tuple(map(int, uvicorn.__version__.split(".")[:2])) >= (0, 54)
    assert ws.__name__ == "WebSocketProtocol" if newest else ws.__name__.endswith("WebSocketProtocol")

    class Broken(http):
        def data_received(self, data: bytes) -> None:
            raise AttributeError("gone in a later uvicorn")

    from buildwidget.server import _http

    monkeypatch.setattr(_http, "HttpProtocol", Broken)
    _uvicorn.protocols.cache_clear()
    try:
        assert _uvicorn.protocols()[0] == "auto"
    finally:
        _uvicorn.protocols.cache_clear()


async def test_the_plain_way_of_our_own_server(monkeypatch) -> None:
    running = importlib.import_module("buildwidget.server.run")
    monkeypatch.setattr(running, "protocols", lambda: ("auto", _uvicorn.plain_websocket()))
    folder = Folder()
    with published() as session, serving(session) as server:
        session.publish({"type": "component_update", "component_id": "api", "progress": 40})
        async with connect(server, "?snapshot=1") as ws:
            await read_until(ws, of_type("snapshot"), folder)
            (client,) = sessions_of(server).clients()
            assert client.writer.raw is None
            session.publish({"type": "component_update", "component_id": "api", "progress": 50})
            await read_until(ws, lambda _: folder.seq == session.seq, folder)
            assert folder.plain() == plain(session)

"""The Python client against a real server, through a network that breaks."""

from __future__ import annotations

import ast
import asyncio
import itertools
import random
import threading
import time
from pathlib import Path

import pytest

from buildwidget import client as bc
from buildwidget import events as ev
from buildwidget.client import Place
from buildwidget.client import _core as core_module
from buildwidget.client import _place as place_module
from buildwidget.client._core import Core
from tests.serving import plain, published, serving


@pytest.fixture
def session():
    with published() as made:
        made.publish({"type": "component_update", "component_id": "api", "status": "running", "progress": 40})
        yield made


@pytest.fixture
def server(session):
    with serving(session, write_token="write-token-1") as made:
        yield made


def say(session, number: int, item: str = "api") -> int:
    return session.publish({"type": "component_update", "component_id": item, "metadata": {"n": number}})


def state_of(stream):
    import json

    return json.loads(ev.encode(ev.Snapshot(epoch="", seq=0, state=stream.snapshot())))["state"]


class Proxy:
    """A network in between that breaks off after a random number of bytes."""

    def __init__(self, port: int, seed: int) -> None:
        self._target, self._chance = port, random.Random(seed)
        self.cuts = 0
        self.calm = False

    async def __aenter__(self):
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        self.port = self._server.sockets[0].getsockname()[1]
        return self

    async def __aexit__(self, *_):
        self._server.close()

    async def _serve(self, reader, writer):
        left = 10**9 if self.calm else self._chance.randrange(400, 12_000)
        there = None
        try:
            there_reader, there = await asyncio.open_connection("127.0.0.1", self._target)

            async def up():
                while data := await reader.read(65_536):
                    there.write(data)

            forward = asyncio.create_task(up())
            while data := await there_reader.read(65_536):
                writer.write(data[:left])
                left -= len(data)
                if left <= 0:
                    self.cuts += 1
                    break
            forward.cancel()
        except OSError:
            pass
        finally:
            for one in (writer, there):
                if one is not None:
                    one.transport.abort()


async def test_a_client_follows_and_holds_the_state(session, server) -> None:
    async with bc.connect(server.url) as stream:
        seqs = []
        for n in range(20):
            say(session, n)
        async for message in stream:
            seqs.append(message.seq)
            if message.seq == session.seq:
                break
        assert seqs == list(range(seqs[0], session.seq + 1))
        assert state_of(stream) == plain(session)
        assert (stream.epoch, stream.seq) == (session.epoch, session.seq)


async def test_nothing_is_lost_or_told_twice_though_the_network_breaks_all_the_time(session, server) -> None:
    seqs: list[int] = []
    async with Proxy(server.port, 3) as proxy:
        async with bc.connect(f"http://127.0.0.1:{proxy.port}", session="shop", max_backoff=0.02) as stream:
            done = asyncio.Event()

            async def talk() -> None:
                for n in range(2_000):
                    say(session, n, f"c{n % 40}")
                    if n % 5 == 0:
                        await asyncio.sleep(0.002)
                proxy.calm = True
                done.set()

            talking = asyncio.create_task(talk())
            async with asyncio.timeout(50):
                async for message in stream:
                    seqs.append(message.seq)
                    if done.is_set() and stream.seq == session.seq:
                        break
            await talking
            assert proxy.cuts >= 30
            assert seqs == list(range(seqs[0], session.seq + 1))
            assert state_of(stream) == plain(session)


def test_without_an_event_loop(session, server) -> None:
    with bc.connect_sync(server.url + "/?session=shop") as stream:
        threading.Timer(0.1, lambda: [say(session, n) for n in range(10)]).start()
        got = []
        for message in stream:
            got.append(message.seq)
            if len(got) == 10:
                break
        assert got == list(range(got[0], got[0] + 10))
        assert stream.snapshot().components[0].metadata["n"] == 9
    assert list(stream) == []


async def test_the_state_is_there_as_soon_as_the_stream_is_entered(session, server) -> None:
    """Also of a build in which nothing happens: no message needs to be waited for."""
    with bc.connect_sync(server.url) as stream:
        assert [item.component_id for item in stream.snapshot().components] == ["api"]
        assert stream.seq == session.seq
    async with bc.connect(server.url) as stream:
        assert [item.component_id for item in stream.snapshot().components] == ["api"]
        assert stream.seq == session.seq


async def test_a_new_server_is_taken_up_with_a_snapshot(session) -> None:
    with serving(session) as first:
        port = first.port
        stream = await bc.connect(first.stream_url, max_backoff=0.1).__aenter__()
        say(session, 1)
        assert (await anext(stream)).seq == session.seq
        old = stream.epoch
    with published() as fresh, serving(fresh, port=port):
        say(fresh, 7)
        waiting = asyncio.create_task(anext(stream))
        async with asyncio.timeout(10):
            while stream.epoch == old:
                await asyncio.sleep(0.01)
        seq = say(fresh, 8)
        gap = await waiting
        assert isinstance(gap, bc.Gap)
        assert (gap.from_seq, gap.reason) == (None, "new_epoch")
        assert (await anext(stream)).seq == seq
        assert stream.epoch == fresh.epoch
        assert state_of(stream) == plain(fresh)
        await stream.close()


@pytest.mark.parametrize("on_gap", ["message", "raise"])
@pytest.mark.parametrize("sync", [False, True], ids=["asyncio", "sync"])
async def test_what_the_log_no_longer_holds_reaches_the_caller(session, server, on_gap, sync) -> None:
    """A client asks for messages that are gone. It hears which, when its state is whole again, and can read on."""
    epoch, since = session.epoch, session.seq
    session.log._max_messages = 5
    for n in range(20):
        say(session, n)
    options = {"epoch": epoch, "since": since, "on_gap": on_gap}

    def check(gap) -> None:
        assert (gap.from_seq, gap.to_seq, gap.reason) == (since + 1, session.seq, "log_exceeded")

    def in_a_thread() -> None:
        with bc.connect_sync(server.url, **options) as stream:
            if on_gap == "raise":
                with pytest.raises(bc.GapError, match="are missing") as raised:
                    next(stream)
                check(raised.value.gap)
            else:
                check(next(stream))
            assert state_of(stream) == plain(session)
            seq = say(session, 99)
            assert next(stream).seq == seq

    if sync:
        await asyncio.to_thread(in_a_thread)
        return
    async with bc.connect(server.url, **options) as stream:
        if on_gap == "raise":
            with pytest.raises(bc.GapError, match="are missing") as raised:
                await anext(stream)
            check(raised.value.gap)
        else:
            check(await anext(stream))
        assert state_of(stream) == plain(session)
        seq = say(session, 99)
        assert (await anext(stream)).seq == seq


def test_an_unknown_wish_for_gaps_is_refused(server) -> None:
    with pytest.raises(ValueError, match="on_gap must be"):
        bc.connect_sync(server.url, on_gap="ignore")


async def test_a_client_hears_that_the_connection_breaks_and_is_back(session, server) -> None:
    told: list[bc.ClientError | None] = []
    async with Proxy(server.port, 3) as proxy:
        url = f"http://127.0.0.1:{proxy.port}"
        async with bc.connect(url, session="shop", max_backoff=0.02, on_connection=told.append) as stream:

            async def read() -> None:
                async for _ in stream:
                    pass

            reading = asyncio.create_task(read())
            async with asyncio.timeout(30):
                numbers = itertools.count()
                while len(told) < 6:
                    say(session, next(numbers))
                    await asyncio.sleep(0.005)
            proxy.calm = True
            reading.cancel()
    assert all(isinstance(one, bc.ConnectionFailedError) for one in told[::2])
    assert all(one is None for one in told[1::2])


async def test_a_status_report_swallows_nothing() -> None:
    """A report may be ahead of messages that are on their way: they are yielded all the same, each once."""
    core = Core(bc.Place("http://127.0.0.1:8000", "shop", None))
    with published() as session:
        say(session, 1)
        common = {"epoch": session.epoch, "session_id": "shop"}
        core.receive(ev.encode(ev.Snapshot(seq=session.seq, state=session.snapshot(), **common)))
        first = session.seq
        for n in range(5):
            say(session, n)
        core.receive(ev.encode(ev.StatusReport(seq=session.seq, state=session.snapshot(), **common)))
        got = [message.seq for row in session.since(first) for message in core.receive(row.data)]
        assert got == list(range(first + 1, session.seq + 1))


def test_the_core_needs_no_socket() -> None:
    """Nor a clock, nor chance, nor a thread: all that it imports is of this package, or about data."""
    for module in (core_module, place_module):
        tree = ast.parse(Path(module.__file__).read_text(encoding="utf-8"))
        names = {
            alias.name.partition(".")[0]
            for node in ast.walk(tree)
            if isinstance(node, ast.Import)
            for alias in node.names
        }
        names |= {
            (node.module or "").partition(".")[0]
            for node in ast.walk(tree)
            if isinstance(node, ast.ImportFrom)
            if not node.level
        }
        assert names <= {"__future__", "collections", "msgspec", "os", "typing", "urllib"}


async def test_filters_and_raw_messages(session, server) -> None:
    async with bc.connect(server.url, topics=["features"], raw=True) as stream:
        kinds = [ev.type_of(await anext(stream)), ev.type_of(await anext(stream))]
        assert kinds == ["connection", "snapshot"]
        say(session, 1)
        session.publish({"type": "feature_update", "feature_id": "f"})
        seen = set()
        async for message in stream:
            seen.add(ev.type_of(message))
            if isinstance(message, ev.FeatureUpdate):
                break
        assert "component_update" not in seen
        await stream.subscribe(["components"])
        await stream.send({"type": "ping", "id": 5})
        async for message in stream:
            if isinstance(message, ev.Pong):
                break
        assert stream.seq == session.seq


def test_publishing(session, server) -> None:
    seq = bc.publish(server.url, {"type": "component_update", "component_id": "ui"}, token="write-token-1")
    assert seq == session.seq
    with pytest.raises(bc.AuthError, match="refuses"):
        bc.publish(server.url, {"type": "component_update", "component_id": "ui"}, token="wrong-token-1")
    with pytest.raises(bc.ClientError, match="no field"):
        bc.publish(server.url, {"type": "error", "nonsense": 1}, token="write-token-1")
    with pytest.raises(bc.NoSuchSessionError):
        bc.publish(server.url, [], token="write-token-1", session="other")


@pytest.mark.parametrize("sync", [False, True])
async def test_what_is_wrong_is_said(session, server, sync, monkeypatch) -> None:
    monkeypatch.delenv("BUILDWIDGET_TOKEN", raising=False)

    async def open_at(url: str, **options):
        if sync:

            def run() -> None:
                with bc.connect_sync(url, timeout=0.5, **options) as stream:
                    next(stream)

            await asyncio.to_thread(run)
        else:
            async with bc.connect(url, timeout=0.5, **options) as stream:
                await anext(stream)

    with pytest.raises(bc.ConnectionFailedError, match="cannot be reached"):
        await open_at("http://127.0.0.1:9/?session=x")
    with pytest.raises(bc.NoSuchSessionError, match="other"):
        await open_at(server.url, session="other")
    with pytest.raises(bc.ClientError, match="begins with"):
        await open_at("ftp://x")
    with published("two") as two, serving(two, token="read-token-1") as guarded:
        for token in (None, "wrong-token-1"):
            with pytest.raises(bc.AuthError) as refused:
                await open_at(guarded.stream_url, token=token)
            assert "wrong-token-1" not in str(refused.value)
        guarded._sessions.add(session)
        with pytest.raises(bc.NoSuchSessionError, match="shop, two"):
            await open_at(guarded.url, token="read-token-1")
        monkeypatch.setenv("BUILDWIDGET_TOKEN", "read-token-1")
        async with bc.connect(guarded.stream_url, raw=True) as stream:
            assert isinstance(await anext(stream), ev.Connection)


async def test_a_silent_connection_is_given_up(session) -> None:
    """One that is open and says nothing, not even a heartbeat, is dead."""
    calls = 0
    hold = asyncio.Event()

    async def serve(reader, writer) -> None:
        """The first connection goes silent after the handshake; the others are passed on."""
        nonlocal calls
        calls += 1
        mute = calls == 1
        there_reader, there = await asyncio.open_connection("127.0.0.1", server.port)

        async def up() -> None:
            while data := await reader.read(65_536):
                there.write(data)

        task = asyncio.create_task(up())
        while data := await there_reader.read(65_536):
            writer.write(data)
            if mute:
                await hold.wait()
                break
        task.cancel()
        there.transport.abort()
        writer.transport.abort()

    with serving(session, heartbeat=0.3) as server:
        front = await asyncio.start_server(serve, "127.0.0.1", 0)
        port = front.sockets[0].getsockname()[1]
        stream = bc.connect(f"http://127.0.0.1:{port}", session="shop", max_backoff=0.05)
        async with stream:
            stream._require_core().heartbeat = 0.3  # else it would wait for those 15 seconds that are usual
            waiting = asyncio.create_task(anext(stream))
            end = time.monotonic() + 10
            while calls < 2 and time.monotonic() < end:
                await asyncio.sleep(0.02)
            assert calls >= 2
            while stream.seq < session.seq and time.monotonic() < end:
                await asyncio.sleep(0.02)
            say(session, 1)
            async with asyncio.timeout(10):
                await waiting
        hold.set()
        front.close()
    await asyncio.sleep(0.05)


@pytest.mark.parametrize(
    ("url", "base", "session_id"),
    [
        ("http://h:8000", "http://h:8000", None),
        ("http://h:8000/", "http://h:8000", None),
        ("https://h/builds/?session=a%20b", "https://h/builds", "a b"),
        ("ws://h/api/build/stream/x-1", "http://h", "x-1"),
        ("wss://h/p/api/build/stream/x?token=secret-1", "https://h/p", "x"),
        ("http://user:pass@h/", "http://h", None),
    ],
)
def test_addresses(url, base, session_id, monkeypatch) -> None:
    monkeypatch.delenv("BUILDWIDGET_TOKEN", raising=False)
    place = Place.of(url)
    assert (place.base, place.session) == (base, session_id)
    assert place.token == ("secret-1" if "secret" in url else None)

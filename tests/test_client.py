"""The Python client against a real server, through a network that breaks."""

from __future__ import annotations

import asyncio
import random
import threading
import time

import pytest

from buildwidget import client as bc
from buildwidget import events as ev
from buildwidget.client._core import Place
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
        assert (await waiting).seq == seq
        assert stream.epoch == fresh.epoch
        assert state_of(stream) == plain(fresh)
        await stream.close()


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
            stream._known().heartbeat = 0.3  # else it would wait for those 15 seconds that are usual
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

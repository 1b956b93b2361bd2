"""The stream over a real socket: what a client is told, in what order, and that nothing is lost or told twice."""

from __future__ import annotations

import asyncio
import json
import random
import socket
import time

import pytest
import websockets
from websockets.asyncio.client import connect as connect_to

from buildwidget.session import BuildSession
from tests.projects import Project, component
from tests.serving import Folder, connect, of_type, plain, published, read_until, serving, sessions_of


@pytest.fixture(params=["prepared frames", "plain ASGI"])
def stock(request) -> bool:
    return request.param == "plain ASGI"


@pytest.fixture
def session():
    with published() as made:
        made.publish({"type": "component_update", "component_id": "api", "status": "running", "progress": 40})
        yield made


HANDSHAKE = (
    b"GET /api/build/stream/shop?snapshot=1 HTTP/1.1\r\nHost: 127.0.0.1\r\nUpgrade: websocket\r\n"
    b"Connection: Upgrade\r\n"
    b"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n"
)


def say(session: BuildSession, number: int, item: str = "api") -> int:
    return session.publish({"type": "component_update", "component_id": item, "metadata": {"n": number}})


# -- how a client begins ---------------------------------------------------------------------------------------------


async def test_a_documentation_style_client_sees_the_present_state_as_ordinary_messages(session, stock) -> None:
    session.write_terminal("compiling\n")
    with serving(session, stock=stock) as server:
        async with connect(server) as ws:
            first = json.loads(await ws.recv())
            assert (first["type"], first["status"], first["seq"]) == ("connection", "connected", session.seq)
            got = await read_until(ws, of_type("build_progress"))
            names = [message["type"] for message in got]
            assert names[0] == "session_update"
            assert {"component_update", "terminal_output", "build_progress"} <= set(names)
            assert all("seq" not in json.dumps(m) or m["seq"] is None for m in got)
            api = next(m for m in got if m["type"] == "component_update")
            assert (api["component_id"], api["status"], api["progress"]) == ("api", "in_progress", 40)
            seq = say(session, 1)
            live = await read_until(ws, of_type("component_update"))
            assert live[-1]["seq"] == seq
            assert live[-1]["files"] == [] == live[-1]["dependencies"]


async def test_with_snapshot_the_state_comes_whole_and_folds_on(session, stock) -> None:
    folder = Folder()
    with serving(session, stock=stock) as server:
        async with connect(server, "?snapshot=1") as ws:
            await read_until(ws, of_type("snapshot"), folder)
            assert folder.kinds == ["connection", "snapshot"]
            for number in range(50):
                say(session, number)
            await read_until(ws, lambda _: folder.seq == session.seq, folder)
        assert folder.plain() == plain(session)
        assert folder.seen == sorted(set(folder.seen))


async def test_resuming_gives_exactly_what_was_missed(session, stock) -> None:
    with serving(session, stock=stock) as server:
        seen = session.seq
        for number in range(500):
            say(session, number)
        async with connect(server, f"?epoch={session.epoch}&since={seen}") as ws:
            first = json.loads(await ws.recv())
            assert first["resumed"] is True
            got = await read_until(ws, lambda m: m["seq"] == session.seq)
            assert [m["seq"] for m in got] == list(range(seen + 1, session.seq + 1))
        async with connect(server, f"?epoch={session.epoch}&since={session.seq}") as ws:
            assert json.loads(await ws.recv())["resumed"] is True
            say(session, -1)
            assert json.loads(await ws.recv())["seq"] == session.seq


@pytest.mark.parametrize(
    "query", ["?epoch=other&since=1", "?since=1", "?epoch={epoch}&since=99999999", "?epoch={epoch}"]
)
async def test_what_cannot_be_resumed_gets_a_snapshot_and_is_told_so(session, query) -> None:
    with serving(session) as server:
        async with connect(server, query.format(epoch=session.epoch)) as ws:
            assert json.loads(await ws.recv())["resumed"] is False
            assert json.loads(await ws.recv())["type"] == "snapshot"
        assert sessions_of(server).meters.resume_misses == 1


async def test_a_log_that_no_longer_reaches_back_is_an_honest_miss() -> None:
    with published() as session:
        session.log._max_messages = 50
        for number in range(100):
            say(session, number)
        with serving(session) as server:
            async with connect(server, f"?epoch={session.epoch}&since=2") as ws:
                assert json.loads(await ws.recv())["resumed"] is False
                assert json.loads(await ws.recv())["seq"] == session.seq


async def test_resume_as_a_message(session) -> None:
    with serving(session) as server:
        async with connect(server, "?snapshot=1") as ws:
            await read_until(ws, of_type("snapshot"))
            start = session.seq
            for number in range(5):
                say(session, number)
            await read_until(ws, lambda m: m["seq"] == session.seq)
            await ws.send(json.dumps({"type": "resume", "epoch": session.epoch, "seq": start}))
            got = await read_until(ws, lambda m: m["seq"] == session.seq)
            assert [m["seq"] for m in got] == list(range(start + 1, session.seq + 1))
            await ws.send(json.dumps({"type": "resume", "epoch": "gone", "seq": 3}))
            gap, snapshot = await read_until(ws, of_type("snapshot"))
            assert (gap["type"], gap["from_seq"], gap["to_seq"]) == ("gap", None, session.seq)
            assert snapshot["seq"] == session.seq


# -- what a client may ask -------------------------------------------------------------------------------------------


async def test_filters(session, stock) -> None:
    with serving(session, stock=stock) as server:
        async with connect(server, "?snapshot=1&topics=features") as ws:
            await read_until(ws, of_type("snapshot"))
            say(session, 1)
            session.publish({"type": "feature_update", "feature_id": "f", "component_id": "ui", "status": "done"})
            got = await read_until(ws, of_type("feature_update"))
            assert "component_update" not in {m["type"] for m in got}
            await ws.send(json.dumps({"type": "subscribe", "topics": ["components"], "components": ["ui"]}))
            *_, told, whole = await read_until(ws, of_type("snapshot"))
            assert (told["type"], told["topics"], told["components"]) == ("subscribed", ["component_update"], ["ui"])
            assert whole["seq"] == session.seq
            say(session, 2)
            say(session, 3, "ui")
            got = await read_until(ws, of_type("component_update"))
            assert got[-1]["component_id"] == "ui"
            await ws.send(json.dumps({"type": "unsubscribe", "topics": ["components"]}))
            await read_until(ws, of_type("subscribed"))
            say(session, 4, "ui")
            session.publish({"type": "build_progress", "total": 2, "completed": 2})
            got = await read_until(ws, of_type("session_update"))
            assert {m["type"] for m in got} == {"session_update"}


async def test_the_least_level(session) -> None:
    with serving(session) as server:
        async with connect(server, "?snapshot=1&topics=terminal&min_level=error") as ws:
            await read_until(ws, of_type("snapshot"))
            session.write_terminal("fine\n")
            session.write_terminal("odd\n", "stderr")
            session.write_terminal("bad\n", "error")
            got = await read_until(ws, of_type("terminal_output"))
            assert [m["output"] for m in got] == ["bad\n"]


async def test_ping_status_and_nonsense(session, stock) -> None:
    with serving(session, stock=stock) as server:
        async with connect(server, "?snapshot=1") as ws:
            await read_until(ws, of_type("snapshot"))
            await ws.send('{"type":"ping","id":"a"}')
            assert json.loads(await ws.recv())["id"] == "a"
            await ws.send('{"type":"ping"}')
            assert json.loads(await ws.recv())["type"] == "pong"
            await ws.send('{"type":"request_status","id":7}')
            status = json.loads(await ws.recv())
            assert (status["type"], status["id"], status["seq"]) == ("status", 7, session.seq)
            assert status["state"] == plain(session)
            for bad in [
                *("{", "[]", "3", '{"type":"x"}', '{"type":"subscribe","topics":"all"}', '{"type":"resume"}'),
                *('{"type":"subscribe","topics":["no such"]}', '{"type":"ping","id":{}}', b"\x00", "[" * 50_000),
            ]:
                await ws.send(bad)
                answer = json.loads(await ws.recv())
                assert (answer["type"], answer["error_type"]) == ("error", "bad_request")
                assert answer["error_message"] == answer["message"] != ""
                assert "Traceback" not in answer["message"]
            await ws.send('{"type":"ping","id":1}')
            assert json.loads(await ws.recv())["type"] == "pong"


@pytest.mark.parametrize(("message", "many"), [("{", 40), ('{"type":"ping"}', 220)])
async def test_a_flood_of_messages_ends_with_1008(session, message, many) -> None:
    with serving(session) as server:
        async with connect(server) as ws:
            with pytest.raises(websockets.ConnectionClosed) as closed:
                for _ in range(many):
                    await ws.send(message)
                while True:
                    await asyncio.wait_for(ws.recv(), 5)
            assert closed.value.rcvd is not None
            assert closed.value.rcvd.code == 1008
        async with connect(server, "?snapshot=1") as ws:
            await read_until(ws, of_type("snapshot"))


async def test_a_message_that_is_too_big_ends_with_1009(session, stock) -> None:
    with serving(session, stock=stock) as server:
        async with connect(server) as ws:
            with pytest.raises(websockets.ConnectionClosed) as closed:
                await ws.send('{"type":"ping","id":"' + "x" * 70_000 + '"}')
                while True:
                    await asyncio.wait_for(ws.recv(), 5)
            assert closed.value.rcvd.code == 1009


async def test_no_such_session_is_accepted_and_closed_with_4404(session) -> None:
    refused = {}
    with serving(session) as server:
        for name in ("other", "..%2f..%2fetc", "%00", "a" * 500, "shop%20"):
            url = server.stream_url.replace("/shop", f"/{name}")
            try:
                async with connect_to(url) as ws:
                    with pytest.raises(websockets.ConnectionClosed) as closed:
                        await asyncio.wait_for(ws.recv(), 5)
                    assert closed.value.rcvd.code == 4404
            except websockets.InvalidStatus as error:
                refused[name] = error.response.status_code
        assert refused == {"..%2f..%2fetc": 403}  # another path altogether


async def test_too_many_clients_are_told_to_come_later(session) -> None:
    with serving(session, max_clients=2) as server:
        async with connect(server) as one, connect(server) as two:
            await one.recv()
            await two.recv()
            async with connect(server) as three:
                with pytest.raises(websockets.ConnectionClosed) as closed:
                    await asyncio.wait_for(three.recv(), 5)
                assert closed.value.rcvd.code == 1013
        async with connect(server) as again:
            assert json.loads(await again.recv())["type"] == "connection"


async def test_silence_is_filled_with_heartbeats(session, stock) -> None:
    with serving(session, stock=stock, heartbeat=0.5) as server:
        async with connect(server, "?snapshot=1") as ws:
            got = await read_until(ws, of_type("heartbeat"))
            assert got[0]["heartbeat"] == 0.5
            assert got[-1]["seq"] == session.seq


async def test_the_end_of_the_server_is_1001_after_everything_that_was_said(session, stock) -> None:
    folder = Folder()
    with serving(session, stock=stock) as server:
        async with connect(server, "?snapshot=1") as ws:
            await read_until(ws, of_type("snapshot"), folder)
            for number in range(100):
                last = say(session, number)
            stopping = asyncio.get_running_loop().run_in_executor(None, server.stop)
            with pytest.raises(websockets.ConnectionClosed) as closed:
                while True:
                    folder.take(await asyncio.wait_for(ws.recv(), 10))
            await stopping
            assert closed.value.rcvd.code in ({1001, 1012} if stock else {1001})  # uvicorn itself says 1012
            assert folder.seq == last


# -- a real build ----------------------------------------------------------------------------------------------------


async def test_files_reach_a_client(tmp_path) -> None:
    project = Project(tmp_path / "shop")
    project.checkpoint(1, components=[component("api", 10)])
    folder = Folder()
    async with BuildSession(project.root) as session:
        with serving(session) as server:
            async with connect(server, "?snapshot=1") as ws:
                await read_until(ws, of_type("snapshot"), folder)
                for progress in range(20, 100, 10):
                    project.checkpoint(1, components=[component("api", progress)])
                    await read_until(ws, lambda m, p=progress: m.get("progress") == p, folder)
                await read_until(ws, lambda _: folder.seq == session.seq, folder)
                assert folder.plain() == plain(session)


# -- sockets that die ------------------------------------------------------------------------------------------------


async def test_a_socket_killed_at_200_random_points_loses_nothing_and_repeats_nothing(session, stock) -> None:
    """10,000 messages flow while one client's connection is cut again and again, at any byte."""
    batches, cuts = (200, 40) if stock else (1_000, 200)
    chance = random.Random(7)
    steady, broken = Folder(), Folder()
    with serving(session, stock=stock) as server:
        done = asyncio.Event()
        kills = 0

        async def talk() -> None:
            last = 0
            for batch in range(batches):
                items = [f"c{chance.randrange(300)}" for _ in range(10)]
                last = session.publish(
                    [
                        {"type": "component_update", "component_id": item, "metadata": {"n": batch * 10 + at}}
                        for at, item in enumerate(dict.fromkeys(items))
                    ]
                )
                await asyncio.sleep(0.003)
            assert last > 9 * batches
            done.set()

        async def follow_steadily() -> None:
            async with connect(server, "?snapshot=1") as ws:
                while not (done.is_set() and steady.seq == session.seq):
                    steady.take(await asyncio.wait_for(ws.recv(), 20))

        async def follow_brokenly() -> None:
            nonlocal kills
            while not (done.is_set() and broken.seq == session.seq and kills >= cuts):
                query = f"?epoch={broken.epoch}&since={broken.seq}" if broken.epoch else "?snapshot=1"
                async with connect(server, query) as ws:
                    for _ in range(chance.randrange(2, 40)):
                        if done.is_set() and broken.seq == session.seq:
                            break
                        broken.take(await asyncio.wait_for(ws.recv(), 20))
                    kills += 1
                    ws.transport.abort()  # whatever is on its way is lost

        await asyncio.gather(talk(), follow_steadily(), follow_brokenly())
        assert kills >= cuts
        assert broken.plain() == steady.plain() == plain(session)
        assert broken.seen == sorted(set(broken.seen)), "told twice, or out of order"
        first = broken.seen[0]
        assert broken.seen == list(range(first, session.seq + 1)), "one is missing"
        assert not broken.gaps


async def test_a_new_server_on_the_same_port_is_an_honest_miss() -> None:
    folder = Folder()
    with published() as session, serving(session) as server:
        port = server.port
        say(session, 1)
        async with connect(server, "?snapshot=1") as ws:
            await read_until(ws, of_type("snapshot"), folder)
    old = folder.epoch
    with published() as session, serving(session, port=port) as server:
        say(session, 2)
        async with connect(server, f"?epoch={folder.epoch}&since={folder.seq}") as ws:
            got = await read_until(ws, of_type("snapshot"), folder)
            assert got[0]["resumed"] is False
        assert folder.epoch == session.epoch != old
        assert folder.plain() == plain(session)


# -- clients that do not read ----------------------------------------------------------------------------------------


def flood(session: BuildSession, until_bytes: int) -> None:
    """Terminal output: nothing that a newer message replaces."""
    text = ("x" * 120 + "\n") * 400
    sent = 0
    while sent < until_bytes:
        session.write_terminal(text)
        sent += len(text)


async def test_one_that_reads_again_in_time_gets_a_gap_and_a_snapshot(session, stock) -> None:
    folder = Folder()
    with serving(session, stock=stock) as server:
        async with connect(server, "?snapshot=1", max_queue=1) as ws:
            await read_until(ws, of_type("snapshot"), folder)
            ws.transport.pause_reading()
            await asyncio.to_thread(flood, session, 24 << 20)
            (client,) = sessions_of(server).clients()
            assert client.writer.buffered < 8 << 20, "the writes of one tick are all that may wait"
            ws.transport.resume_reading()
            await read_until(ws, lambda _: bool(folder.gaps) and folder.seq == session.seq, folder, 30)
            assert folder.gaps[0].reason in {"too_slow", "log_exceeded"}
            assert folder.plain() == plain(session)
            say(session, 1)
            await read_until(ws, lambda _: folder.seq == session.seq, folder)
        assert sessions_of(server).meters.gaps >= 1


async def test_one_that_lags_a_little_gets_only_the_newest_of_each_item() -> None:
    folder = Folder()
    with published() as session, serving(session, queue_bytes=64 << 20) as server:
        async with connect(server, "?snapshot=1", max_queue=1) as ws:
            await read_until(ws, of_type("snapshot"), folder)
            ws.transport.pause_reading()
            big = "y" * 20_000

            def press() -> None:
                for number in range(1_000):
                    session.publish(
                        {"type": "component_update", "component_id": "api", "metadata": {"n": number, "big": big}}
                    )

            await asyncio.to_thread(press)
            ws.transport.resume_reading()
            await read_until(ws, lambda _: folder.seq == session.seq, folder, 30)
            assert len(folder.seen) < 900
            assert not folder.gaps
            assert folder.plain() == plain(session)
        assert sessions_of(server).meters.collapsed > 100


@pytest.mark.parametrize("topics", [["all"], ["terminal", "errors"]], ids=["all", "two topics"])
async def test_one_that_lags_and_asks_for_more_misses_nothing_without_being_told(session, stock, topics) -> None:
    """A snapshot holds the newest 500 lines of the output only: it must not stand in the place of what was missed."""
    folder = Folder()
    with serving(session, stock=stock, queue_bytes=64 << 20) as server:
        async with connect(server, "?snapshot=1&topics=terminal", max_queue=1) as ws:
            await read_until(ws, of_type("snapshot"), folder)
            (client,) = sessions_of(server).clients()
            ws.transport.pause_reading()
            async with asyncio.timeout(20):
                while not client.writer.paused or client.lag < 1 << 20:
                    await asyncio.to_thread(flood, session, 200 << 10)
            await ws.send(json.dumps({"type": "subscribe", "topics": topics}))
            say(session, 1)
            last = session.publish({"type": "error", "error_message": "the last one"})
            ws.transport.resume_reading()
            got = await read_until(ws, lambda m: m.get("seq") == last or folder.seq >= last, folder, 30)
            while not any(m["type"] == "snapshot" for m in got):
                got += await read_until(ws, lambda _: True, folder)
            said = [m for m in got if m["type"] == "terminal_output"]
            lines = [m["line"] + n for m in said for n in range(m["output"].count("\n"))]
            assert not folder.gaps
            assert lines == list(range(1, session.snapshot().terminal.next_line))
            assert any(m["type"] == "subscribed" for m in got)
            assert folder.plain() == plain(session)


async def test_one_that_never_reads_is_dropped_and_nobody_else_notices(session, stock) -> None:
    folder = Folder()
    with serving(session, stock=stock, patience=1.0) as server:
        async with connect(server, "?snapshot=1&topics=components") as healthy:
            await read_until(healthy, of_type("snapshot"), folder)
            dead = socket.socket()  # one that shakes hands, and then does nothing
            dead.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
            dead.connect(("127.0.0.1", server.port))
            dead.sendall(HANDSHAKE)
            try:
                deadline = time.monotonic() + 20
                while sessions_of(server).meters.dropped_clients == 0 and time.monotonic() < deadline:
                    await asyncio.to_thread(flood, session, 200 << 10)
                    seq = say(session, time.monotonic_ns())
                    await read_until(healthy, lambda m, seq=seq: m["seq"] == seq, folder)
                assert len(sessions_of(server).clients()) == 1
                assert sessions_of(server).meters.dropped_clients == 1
                assert not folder.gaps
            finally:
                dead.close()


async def test_a_refusal_ends_at_once(session, stock) -> None:
    """The closing handshake is over when the client has answered; it does not wait for the server's patience."""
    with serving(session, stock=stock) as server:
        started = time.monotonic()
        for _ in range(5):
            async with connect_to(server.stream_url.replace("/shop", "/other")) as ws:
                with pytest.raises(websockets.ConnectionClosed) as closed:
                    await ws.recv()
            assert closed.value.rcvd.code == 4404
        assert time.monotonic() - started < 2.5  # each would wait three seconds

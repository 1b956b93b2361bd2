"""Publishing: the original's names, and what becomes of what is said beside what the files say."""

from __future__ import annotations

import asyncio
import json
import threading
import time

import httpx
import pytest
import websockets
from fastapi import FastAPI
from hypothesis import given, settings
from hypothesis import strategies as st
from websockets.asyncio.client import connect as connect_to

from buildwidget import events as ev
from buildwidget import server as bs
from buildwidget.publish import PublishError
from buildwidget.server.sessions import set_default_sessions
from buildwidget.session import BuildSession
from buildwidget.state import fold
from tests.projects import Project, component, until
from tests.serving import STOCK_WEBSOCKET, Folder, of_type, plain, published, read_until


@pytest.fixture
def sessions():
    """Sessions of this test alone, made on demand."""
    made = bs.configure()
    yield made
    made.close()
    set_default_sessions(bs.Sessions(bs.ServerOptions(open_sessions=True)))


@pytest.fixture
def live(sessions):
    with bs.LiveServer.of_process() as server:
        yield server


def state(session: BuildSession):
    return session.snapshot()


# -- the seven -------------------------------------------------------------------------------------------------------


async def test_the_seven_reach_a_client_whole_and_numbered(sessions, live) -> None:
    async with connect_to(f"{live.url.replace('http', 'ws')}/api/build/stream/s1") as ws:
        await read_until(ws, of_type("build_progress"))
        await bs.broadcast_component_update("s1", "api", "running", 40, {"lang": "py"})
        bs.broadcast_feature_update("s1", "login", "done", 100)  # nobody has to wait for it
        bs.broadcast_terminal_output("s1", "hello", "stderr", source="make")
        bs.broadcast_checkpoint_update("s1", "cp1", "build_1", ["t1"], ["a.py"])
        bs.broadcast_build_progress("s1", 4, 1)
        bs.broadcast_file_change("s1", "src/a.py", "modified", "secret text")
        bs.broadcast_error("s1", "it broke", "ValueError", traceback="File secret.py, line 1")
        got = await read_until(ws, of_type("error"))
        by_type = {m["type"]: m for m in got}
        assert by_type["component_update"]["status"] == "in_progress"
        assert by_type["component_update"]["metadata"] == {"lang": "py"}
        assert by_type["feature_update"]["progress"] == 100
        assert (by_type["terminal_output"]["content"], by_type["terminal_output"]["line"]) == ("hello\n", 1)
        assert by_type["checkpoint_update"]["tasks_completed"] == ["t1"]
        assert by_type["checkpoint_update"]["files_created"] == ["a.py"]
        assert by_type["build_progress"]["percent"] == 25
        assert by_type["file_change"]["content"] is None
        assert by_type["error"]["message"] == by_type["error"]["error_message"] == "it broke"
        assert "secret" not in json.dumps(got)
        numbers = [m["seq"] for m in got]
        assert numbers == list(range(numbers[0], numbers[0] + len(numbers)))


async def test_from_many_threads_and_tasks(sessions, live) -> None:
    folder = Folder()
    async with connect_to(f"{live.url.replace('http', 'ws')}/api/build/stream/s2?snapshot=1") as ws:
        await read_until(ws, of_type("snapshot"), folder)

        def work(name: str) -> None:
            for n in range(50):
                bs.broadcast_component_update("s2", name, "in_progress", n)

        threads = [threading.Thread(target=work, args=(f"t{n}",)) for n in range(4)]
        for thread in threads:
            thread.start()

        async def task(name: str) -> None:
            for n in range(50):
                await bs.broadcast_feature_update("s2", name, "in_progress", n)
                await asyncio.sleep(0)

        await asyncio.gather(*(task(f"f{n}") for n in range(4)))
        for thread in threads:
            await asyncio.to_thread(thread.join)
        session = sessions.get("s2")
        await read_until(ws, lambda _: folder.seq == session.seq, folder)
        assert folder.plain() == plain(session)
        assert {c.progress for c in state(session).components} == {49}


def test_to_a_session_that_nobody_watches_it_is_cheap_and_no_error(sessions) -> None:
    started = time.perf_counter()
    for n in range(1_000):
        bs.broadcast_component_update("nobody", "api", "in_progress", n % 100)
    assert time.perf_counter() - started < 5  # some 100 µs each; a busy machine may be slow
    assert sessions.get("nobody").seq > 1_000


def test_what_cannot_be_said_is_told_clearly(sessions) -> None:
    for call in (
        lambda: bs.broadcast_component_update("s", "", "done", 1),
        lambda: bs.broadcast_component_update("s", "a", 5, 1),
        lambda: bs.broadcast_component_update("s", "a", "done", "half"),
        lambda: bs.broadcast_file_change("s", "../x", "modified"),
        lambda: bs.broadcast_file_change("s", "x", "eaten"),
        lambda: bs.broadcast_build_progress("s", -1, 0),
        lambda: bs.broadcast_terminal_output("s", "x", "loud"),
    ):
        with pytest.raises(PublishError):
            call()
    with pytest.raises(bs.UnknownSessionError, match="letters"):
        bs.broadcast_error("no/such id", "x")


# -- beside files ----------------------------------------------------------------------------------------------------


async def test_reading_a_file_again_does_not_undo_what_was_published(tmp_path) -> None:
    project = Project(tmp_path / "shop")
    parts = [component("api", 10), component("ui", 20)]
    path = project.checkpoint(1, components=parts)
    async with BuildSession(project.root) as session:

        def of(name: str):
            return next(c for c in state(session).components if c.component_id == name)

        session.publish({"type": "component_update", "component_id": "api", "progress": 70, "metadata": {"by": "hand"}})
        assert (of("api").progress, of("api").metadata["by"]) == (70, "hand")
        project.replace(path, path.read_text())  # the same again
        session.refresh()
        assert of("api").progress == 70
        project.checkpoint(1, components=[component("api", 10), component("ui", 25)])  # the other changes
        session.refresh()
        assert (of("api").progress, of("ui").progress) == (70, 25)
        project.checkpoint(1, components=[{**component("api", 10), "name": "New name"}, component("ui", 25)])
        session.refresh()
        assert (of("api").progress, of("api").name) == (70, "New name"), "only what changed in the file counts"
        project.checkpoint(1, components=[{**component("api", 80), "name": "New name"}, component("ui", 25)])
        session.refresh()
        assert (of("api").progress, of("api").metadata["by"]) == (80, "hand")
        session.publish({"type": "component_update", "component_id": "extra", "status": "done"})
        project.checkpoint(1, components=[component("ui", 25)])
        session.refresh()
        assert {c.component_id for c in state(session).components} == {"ui", "extra"}, "its file has dropped it"


def test_what_is_given_is_merged() -> None:
    with published() as session:
        say = session.publish
        say(
            {
                "type": "component_update",
                "component_id": "a",
                "status": "failed",
                "error": "broken",
                "metadata": {"x": 1},
            }
        )
        [a] = state(session).components
        assert (a.status, a.status_raw, a.error) == ("error", "failed", "broken")
        assert state(session).session.status == "failed"
        say(
            {
                "type": "component_update",
                "component_id": "a",
                "status": "running",
                "progress": 250,
                "metadata": {"y": 2},
            }
        )
        [a] = state(session).components
        assert (a.status, a.error, a.progress, a.metadata) == ("in_progress", None, 100, {"x": 1, "y": 2})
        say({"type": "build_progress", "total": 10, "completed": 10})
        assert (state(session).progress.percent, state(session).session.status) == (100, "completed")
        seq = session.seq
        say({"type": "build_progress", "total": 10, "completed": 10})
        assert session.seq == seq, "nothing new is nothing said"
        say({"type": "runtime_update", "runtime": "codex"})
        say({"type": "runtime_update", "backend": "local"})
        assert (state(session).runtime.runtime, state(session).runtime.backend) == ("codex", "local")
        say([{"type": "phase_update", "phase_id": "3", "status": "active"}, {"type": "task_update", "task_id": "t"}])
        assert state(session).phases[0].status == "in_progress"
        say({"type": "checkpoint_update", "checkpoint_id": "c", "phase": "one"})
        say({"type": "checkpoint_update", "checkpoint_id": "c", "phase": "two"})
        [c] = state(session).checkpoints
        assert (c.phase, c.version, c.created_at is not None) == ("two", 2, True)


STEPS = st.lists(
    st.one_of(
        st.tuples(st.just("file"), st.lists(st.tuples(st.sampled_from("abc"), st.integers(0, 100)), max_size=3)),
        st.tuples(st.just("say"), st.tuples(st.sampled_from("abcd"), st.integers(0, 100))),
        st.tuples(st.just("print"), st.text(max_size=20)),
        st.tuples(st.just("gone"), st.none()),
    ),
    max_size=12,
)


@settings(max_examples=25)
@given(STEPS)
def test_files_and_publications_in_any_order_fold_to_the_same(tmp_path_factory, steps) -> None:
    project = Project(tmp_path_factory.mktemp("p") / "shop")
    session = BuildSession(project.root, poll=True).open()
    try:
        until(lambda: session.loaded)
        for what, value in steps:
            if what == "file":
                parts = [component(name, progress) for name, progress in dict(value).items()]
                project.checkpoint(1, components=parts)
                session.refresh()
            elif what == "say":
                session.publish({"type": "component_update", "component_id": value[0], "progress": value[1]})
                [item] = [c for c in state(session).components if c.component_id == value[0]]
                assert item.progress == value[1], "what was just published stands"
            elif what == "print":
                session.write_terminal(value)
            else:
                for path in (project.root / ".buildrunner" / "checkpoints").glob("*.json"):
                    path.unlink()
                session.refresh()
        rows = session.since(0)
        assert rows is not None
        folded = fold([ev.decode(row.data) for row in rows]).snapshot()
        assert ev.encode(ev.Snapshot(epoch="", seq=0, state=folded)) == ev.encode(
            ev.Snapshot(epoch="", seq=0, state=session.snapshot())
        )
    finally:
        session.close()


# -- in an application of one's own ----------------------------------------------------------------------------------


class Running:
    """An ASGI application on a free port, in a thread."""

    def __init__(self, app) -> None:
        import socket

        import uvicorn

        listener = socket.create_server(("127.0.0.1", 0))
        self.port = listener.getsockname()[1]
        self.url = f"http://127.0.0.1:{self.port}"
        self.server = uvicorn.Server(uvicorn.Config(app, log_config=None, ws=STOCK_WEBSOCKET))
        self.thread = threading.Thread(target=lambda: self.server.run([listener]), daemon=True)
        self.thread.start()
        until(lambda: self.server.started)

    def stop(self) -> None:
        self.server.should_exit = True
        self.thread.join(10)


@pytest.fixture
def router(sessions):
    bs.__dict__.pop("router", None)  # made anew, for the sessions of this test
    yield bs.router
    bs.__dict__.pop("router", None)


@pytest.mark.parametrize("prefix", ["", "/builds"])
async def test_the_router_in_fastapi(sessions, router, prefix) -> None:
    app = FastAPI()
    app.include_router(router, prefix=prefix)
    running = Running(app)
    try:
        url = f"ws://127.0.0.1:{running.port}{prefix}/api/build/stream/mine"
        async with connect_to(url) as ws:
            await read_until(ws, of_type("build_progress"))
            await asyncio.to_thread(bs.broadcast_component_update, "mine", "api", "done", 100)
            got = await read_until(ws, of_type("component_update"))
            assert got[-1]["status"] == "completed"
        base = f"{running.url}{prefix}/api/build"
        assert httpx.get(f"{base}/sessions").json()["sessions"][0]["session_id"] == "mine"
        assert httpx.get(f"{base}/status/mine").json()["seq"] == sessions.get("mine").seq
        foreign = {"Origin": "http://evil.example"}
        assert httpx.get(f"{base}/status/mine", headers=foreign).status_code == 403
        assert httpx.get(f"{base}/status/mine", headers={"Host": "evil.example"}).status_code == 403
        assert httpx.post(f"{base}/sessions/mine/events", json=[]).status_code == 403
        with pytest.raises(websockets.InvalidStatus):
            await connect_to(url, additional_headers=foreign)
        for path in ("/sessions", "/status/mine", "/stream/mine"):
            assert httpx.head(base + path, timeout=10).status_code == 200
        await asyncio.to_thread(until, lambda: not sessions.clients())
    finally:
        running.stop()


async def test_the_session_manager_in_an_endpoint_of_ones_own(sessions) -> None:
    from starlette.websockets import WebSocket, WebSocketDisconnect

    manager = bs.SessionManager()
    app = FastAPI()

    @app.websocket("/own/{session_id}")
    async def own(websocket: WebSocket, session_id: str) -> None:
        await manager.connect(websocket, session_id)
        try:
            while True:
                text = await websocket.receive_text()
                await manager.send_to_client(websocket, {"type": "echo", "text": text})
        except WebSocketDisconnect:
            manager.disconnect(websocket)

    @app.websocket("/ours/{session_id}")
    async def ours(websocket: WebSocket, session_id: str) -> None:
        await manager.handle(websocket, session_id)

    for route in app.router.routes:  # `from __future__` annotations name a local class
        getattr(route, "endpoint", own).__annotations__.update(websocket=WebSocket, session_id=str)
    app.router.routes.clear()
    app.websocket("/own/{session_id}")(own)
    app.websocket("/ours/{session_id}")(ours)
    running = Running(app)
    try:
        base = f"ws://127.0.0.1:{running.port}"
        async with connect_to(f"{base}/own/one") as one, connect_to(f"{base}/ours/two") as two:
            await read_until(one, of_type("build_progress"))
            await read_until(two, of_type("build_progress"))
            assert (manager.get_session_count(), manager.get_total_connections()) == (2, 2)
            assert manager.get_active_sessions() == ["one", "two"]
            [info] = manager.clients("one")
            assert info.address.startswith("127.0.0.1:")
            assert "websockets" in info.user_agent
            assert (info.topics, info.lag) == (["all"], 0)
            await one.send("hi")
            assert json.loads(await one.recv()) == {"type": "echo", "text": "hi"}
            await two.send('{"type":"ping","id":1}')
            assert json.loads(await two.recv())["type"] == "pong"
            await manager.send_to_session("one", {"type": "note", "n": 1})
            assert json.loads(await one.recv()) == {"type": "note", "n": 1}
            await manager.broadcast_to_all({"type": "note", "n": 2})
            assert json.loads(await one.recv())["n"] == json.loads(await two.recv())["n"] == 2
            bs.broadcast_component_update("one", "api", "done", 100)
            assert (await read_until(one, of_type("component_update")))[-1]["component_id"] == "api"
        until(lambda: manager.get_total_connections() == 0)
    finally:
        running.stop()


async def test_a_watcher_with_a_broadcaster(sessions, tmp_path) -> None:
    from buildwidget.watcher import create_file_watcher_with_websocket

    project = Project(tmp_path / "shop")
    watcher = await create_file_watcher_with_websocket(project.root, "w", bs)
    heard: list[tuple] = []
    plain_one = await create_file_watcher_with_websocket(project.root, "w", lambda *said: heard.append(said))
    try:
        project.checkpoint(1, components=[component("api", 30)])
        session = sessions.get("w")
        async with asyncio.timeout(10):
            while not (state(session).components and state(session).checkpoints and heard):
                await asyncio.sleep(0.01)
        assert state(session).components[0].progress == 30
        assert heard[0][:3] == ("w", ".buildrunner/checkpoints/" + heard[0][1].split("/")[-1], "created")
    finally:
        await watcher.stop()
        await plain_one.stop()


async def test_a_session_that_is_served_is_found_and_any_other_is_made(sessions) -> None:
    """As beside a live cell: ``bw.serve(w)`` has one session, and a program also speaks of builds of its own."""
    with published("cell") as session:
        with bs.serve(session) as server:
            bs.broadcast_component_update("cell", "api", "in_progress", 40)
            bs.broadcast_component_update("my-build", "api", "in_progress", 60)
            with pytest.raises(websockets.ConnectionClosed):  # the server of the cell does not know it
                async with connect_to(f"ws://127.0.0.1:{server.port}/api/build/stream/my-build") as ws:
                    await ws.recv()
        assert state(session).components[0].progress == 40
        assert state(sessions.get("my-build")).components[0].progress == 60
        bs.broadcast_component_update("cell", "api", "in_progress", 90)  # the server has ended: nobody watches
        assert state(session).components[0].progress == 40


def test_numbers_that_javascript_cannot_hold_travel_as_text(sessions) -> None:
    session = sessions.get("numbers")
    big = 2**53 + 1
    session.publish(
        {
            "type": "component_update",
            "component_id": "api",
            "metadata": {"big": big, "in": [{"list": -big}], "none": float("nan"), "fine": 2**53, "true": True},
        }
    )
    found = state(session).components[0].metadata
    assert found == {"big": str(big), "in": [{"list": str(-big)}], "none": None, "fine": 2**53, "true": True}
    with pytest.raises(PublishError, match="total"):
        session.publish({"type": "build_progress", "total": big})
    deep: list = []
    for _ in range(100):
        deep = [deep]
    with pytest.raises(PublishError, match="levels deep"):
        session.publish({"type": "component_update", "component_id": "api", "metadata": {"deep": deep}})

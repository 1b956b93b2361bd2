"""Clients that other people wrote: to the original documentation, and the upstream interface. Both work unmodified."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from typing import Any

import pytest
import websockets
from websockets.asyncio.client import connect as connect_to

from buildwidget.session import BuildSession
from tests.projects import Project, component, until
from tests.serving import plain, serving


@pytest.fixture(params=["prepared frames", "plain ASGI"])
def stock(request) -> bool:
    return request.param == "plain ASGI"


@pytest.fixture
def project(tmp_path) -> Project:
    return Project(tmp_path / "shop")


@pytest.fixture
def session(project):
    """A build that is under way: what files and programs say of it, much of it as little as they may say."""
    project.checkpoint(
        "cp-1",
        components=[component("api", 40, files=["src/api.py"], owner="ann"), {"id": "ui"}],
        features=[{"id": "login", "component": "api", "status": "completed"}, {"id": "bare"}],
        tasks_completed=["t0"],
        files_created=["src/db.py", "src/api.py"],
        timestamp="2026-01-05T08:00:00Z",
    )
    project.write("checkpoints/cp-bare.json", {"id": "cp-bare", "timestamp": "2026-01-05T07:00:00Z"})
    project.write("context/notes.md", "# Notes\n")
    project.write("logs/build.log", "compiling\n\nlinking <b>all</b>\n")
    made = BuildSession(project.root).open()
    try:
        until(lambda: made.loaded and made.snapshot().terminal.next_line == 4, what="everything is read")
        made.publish({"type": "component_update", "component_id": "by hand"})
        made.publish({"type": "feature_update", "feature_id": "search", "metadata": {"by": "hand"}})
        made.publish({"type": "checkpoint_update", "checkpoint_id": "cp-2", "phase": "build_1"})
        # What these clients do not know: fields and a message of a later edition.
        made.publish({"type": "component_update", "component_id": "by hand", "conflict": "a lock was left behind"})
        made.publish({"type": "feature_update", "feature_id": "search", "owner": "host-a", "files": [{"path": "a.py"}]})
        made.publish({"type": "activity", "kind": "claimed", "item": "search", "text": "host-a claims it"})
        made.write_terminal("an old warning\n", "stderr")
        yield made
    finally:
        made.close()


class Client:
    """What both have in common: a socket, and a switch over the types that they know."""

    async def follow(self, ws: Any, enough: Callable[[], bool], seconds: float = 10.0) -> None:
        async with asyncio.timeout(seconds):
            while not enough():
                self.take(json.loads(await ws.recv()))

    def take(self, message: dict[str, Any]) -> None:
        raise NotImplementedError


# -- to the original documentation -----------------------------------------------------------------------------------


class DocumentationClient(Client):
    """It knows the seven messages of the documentation and their fields, and passes over all else."""

    def __init__(self) -> None:
        self.components: dict[str, Any] = {}
        self.features: dict[str, Any] = {}
        self.checkpoints: dict[str, Any] = {}
        self.output: list[tuple[str, str]] = []
        self.progress: Any = None
        self.files: dict[str, str] = {}
        self.errors: list[str] = []

    def take(self, message: dict[str, Any]) -> None:
        match message["type"]:
            case "component_update":
                fields = ("status", "progress", "metadata")
                self.components[message["component_id"]] = [message[name] for name in fields]
            case "feature_update":
                fields = ("status", "progress", "metadata")
                self.features[message["feature_id"]] = [message[name] for name in fields]
            case "terminal_output":
                self.output += [(message["output_type"], line) for line in message["output"].splitlines()]
            case "checkpoint_update":
                fields = ("phase", "tasks_completed", "files_created")
                self.checkpoints[message["checkpoint_id"]] = [message[name] for name in fields]
            case "build_progress":
                self.progress = [message[name] for name in ("total", "completed", "percent")]
            case "file_change":
                self.files[message["file_path"]] = message["change_type"]
            case "error":
                self.errors.append(message["error_message"])

    def holds(self) -> dict[str, Any]:
        """What it shows of the build."""
        return {
            "components": self.components,
            "features": self.features,
            "checkpoints": self.checkpoints,
            "output": self.output,
            "progress": self.progress,
        }


def documented(session: BuildSession) -> dict[str, Any]:
    """The same, by the session itself."""
    state = plain(session)
    item = ("status", "progress", "metadata")
    checkpoint = ("phase", "tasks_completed", "files_created")
    return {
        "components": {c["component_id"]: [c[name] for name in item] for c in state["components"]},
        "features": {f["feature_id"]: [f[name] for name in item] for f in state["features"]},
        "checkpoints": {c["checkpoint_id"]: [c[name] for name in checkpoint] for c in state["checkpoints"]},
        "output": [(line["output_type"], line["text"]) for line in state["terminal"]["tail"]],
        "progress": [state["progress"][name] for name in ("total", "completed", "percent")],
    }


async def test_one_that_knows_only_the_documentation_holds_the_whole_present_state(session, stock) -> None:
    wanted = documented(session)
    assert [len(part) for part in wanted.values()] == [3, 3, 3, 4, 3]
    assert wanted["components"]["api"] == ["in_progress", 40, {"owner": "ann"}]
    with serving(session, stock=stock) as server:
        async with connect_to(server.stream_url) as ws:
            client = DocumentationClient()
            await client.follow(ws, lambda: client.progress is not None)
            assert client.holds() == wanted
            assert client.files == {".buildrunner/context/notes.md": "modified"}
            assert client.errors == []


async def test_and_follows_what_files_and_programs_say(session, project, stock) -> None:
    client = DocumentationClient()
    with serving(session, stock=stock) as server:
        async with connect_to(server.stream_url) as ws:
            await client.follow(ws, lambda: client.progress is not None)
            project.checkpoint(
                "cp-3",
                components=[component("api", 100, "completed"), component("ui", 5)],
                features=[{"id": "login"}, {"id": "bare"}],
                timestamp="2026-01-05T09:00:00Z",
            )
            await client.follow(ws, lambda: client.components["ui"][1] == 5)
            project.write("context/notes.md", "# More notes\n")
            project.write("context/new.md", "# New\n")
            session.publish(
                [
                    {"type": "component_update", "component_id": "by hand", "status": "failed", "metadata": {"n": 1}},
                    {"type": "feature_update", "feature_id": "search", "status": "done", "progress": 100},
                    {"type": "terminal_output", "output": "one\ntwo\n", "output_type": "error"},
                    {"type": "checkpoint_update", "checkpoint_id": "cp-2", "tasks": ["t1"], "files": ["a.py"]},
                    {"type": "build_progress", "total": 9, "completed": 3},
                    {"type": "error", "message": "it broke"},
                ]
            )
            await client.follow(ws, lambda: bool(client.errors) and "two" in client.output[-1])
            await client.follow(ws, lambda: ".buildrunner/context/new.md" in client.files)
            await client.follow(ws, lambda: client.holds() == documented(session))
            assert client.errors == ["it broke"]
            assert client.components["by hand"] == ["error", 0, {"n": 1}]
            assert client.checkpoints["cp-2"] == ["build_1", ["t1"], ["a.py"]]
            assert client.output[-2:] == [("error", "one"), ("error", "two")]
            ws.transport.abort()
        session.publish({"type": "component_update", "component_id": "ui", "progress": 50})
        again = DocumentationClient()
        async with connect_to(server.stream_url) as ws:
            await again.follow(ws, lambda: again.progress is not None)
            assert again.holds() == documented(session)
            assert again.components["ui"][1] == 50


# -- the upstream interface ------------------------------------------------------------------------------------------

ORIGIN = "http://localhost:5173"
PING_EVERY = 0.05  # seconds; 30 in a browser


class InterfaceClient(Client):
    """It reads fields as JavaScript does: a field that is missing or null is an error as soon as it is used."""

    def __init__(self) -> None:
        self.components: dict[str, Any] = {}
        self.features: dict[str, Any] = {}
        self.checkpoints: dict[str, Any] = {}
        self.lines: list[str] = []
        self.errors: list[str] = []
        self.pings = self.pongs = 0

    async def follow(self, ws: Any, enough: Callable[[], bool], seconds: float = 10.0) -> None:
        now = asyncio.get_running_loop().time
        ping_at = now() + PING_EVERY
        async with asyncio.timeout(seconds):
            while not enough():
                try:
                    async with asyncio.timeout_at(ping_at):
                        message = json.loads(await ws.recv())
                except TimeoutError:
                    ping_at = now() + PING_EVERY
                    await ws.send(json.dumps({"type": "ping"}))
                    self.pings += 1
                else:
                    self.take(message)

    def take(self, message: dict[str, Any]) -> None:
        match message["type"]:
            case "component_update":
                status = message["status"].upper()
                self.components[message["component_id"]] = [status, message["progress"] / 100, len(message["files"])]
            case "feature_update":
                status = message["status"].upper()
                self.features[message["feature_id"]] = [status, message["progress"] / 100, len(message["tasks"])]
            case "checkpoint_update":
                counts = [len(message["tasks_completed"]), len(message["files_created"])]
                self.checkpoints[message["checkpoint_id"]] = counts
            case "terminal_output":
                self.lines += [line for line in message["content"].split("\n") if line]
            case "error":
                self.errors.append(message["message"].strip())
            case "pong":
                self.pongs += 1


def shown(session: BuildSession) -> list[Any]:
    """What the interface should show, by the session itself."""
    state = plain(session)
    return [
        {c["component_id"]: [c["status"].upper(), c["progress"] / 100, len(c["files"])] for c in state["components"]},
        {f["feature_id"]: [f["status"].upper(), f["progress"] / 100, len(f["tasks"])] for f in state["features"]},
        {c["checkpoint_id"]: [len(c["tasks_completed"]), len(c["files_created"])] for c in state["checkpoints"]},
        [line["text"] for line in state["terminal"]["tail"] if line["text"]],
    ]


async def test_the_upstream_interface_is_refused_until_its_origin_is_allowed(session, stock) -> None:
    with serving(session, stock=stock) as server:
        with pytest.raises(websockets.InvalidStatus) as refused:
            async with connect_to(server.stream_url, origin=ORIGIN):
                pass
        assert refused.value.response.status_code == 403
    with serving(session, stock=stock, allow_origins=(ORIGIN,)) as server:
        # Without a limit: this library hears no goodbye while more than 16 messages are unread.
        async with connect_to(server.stream_url, origin=ORIGIN, max_queue=10_000) as ws:
            assert json.loads(await ws.recv())["type"] == "connection"
        with pytest.raises(websockets.InvalidStatus):
            async with connect_to(server.stream_url, origin="http://localhost:5174"):
                pass


async def test_the_upstream_interface_never_meets_a_missing_field(session, project, stock) -> None:
    client = InterfaceClient()

    def holds() -> list[Any]:
        return [client.components, client.features, client.checkpoints, client.lines]

    with serving(session, stock=stock, allow_origins=(ORIGIN,)) as server:
        async with connect_to(server.stream_url, origin=ORIGIN) as ws:
            await client.follow(ws, lambda: holds() == shown(session))
            assert client.components["api"] == ["IN_PROGRESS", 0.4, 1]
            assert client.components["ui"][2] == client.features["bare"][2] == 0
            assert client.checkpoints["cp-bare"] == [0, 0]
            await client.follow(ws, lambda: client.pongs >= 3)

            project.checkpoint(
                "cp-3",
                components=[component("api", 70), {"id": "ui", "files": None, "status": None, "progress": None}],
                features=[{"id": "login", "tasks": [{"id": "a", "completed": True}, {"id": "b"}]}, {"id": "bare"}],
                tasks_completed=None,
                files_created=None,
                timestamp="2026-01-05T09:00:00Z",
            )
            session.publish(
                [
                    {"type": "component_update", "component_id": "new"},
                    {"type": "feature_update", "feature_id": "new"},
                    {"type": "checkpoint_update", "checkpoint_id": "new"},
                    {"type": "terminal_output", "output": "done\n"},
                    {"type": "error", "error_message": "it broke"},
                ]
            )
            session.write_terminal("half a line")
            await client.follow(ws, lambda: client.lines[-1] == "half a line")
            await client.follow(ws, lambda: "cp-3" in client.checkpoints and holds() == shown(session))
            assert client.errors == ["it broke"]
            assert client.features["login"][2] == 2
            assert client.checkpoints["cp-3"] == [0, 0]
            assert client.components["new"] == ["UNKNOWN", 0, 0]

            await ws.send("a slip of the pen")
            await client.follow(ws, lambda: len(client.errors) == 2)
            pongs = client.pongs
            await client.follow(ws, lambda: client.pongs > pongs)
            assert client.pongs <= client.pings

"""What those who run a server need: health, metrics, logs, schemas, a graceful end."""

from __future__ import annotations

import json
import os
import re
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import httpx
import pytest
import websockets
from jsonschema import Draft202012Validator

from buildwidget import events as ev
from buildwidget.server.schema import asyncapi, openapi, schemas
from tests.projects import Project, component
from tests.serving import Folder, Patient, connect, of_type, published, read_until, serving

LOGS = Path(__file__).parent / "fixtures" / "logs"


@pytest.fixture
def session():
    with published() as made:
        made.publish({"type": "component_update", "component_id": "api", "status": "running", "progress": 40})
        yield made


@pytest.fixture
def server(session):
    with serving(session) as made:
        yield made


def numbers(server) -> dict[str, float]:
    answer = httpx.get(f"{server.url}/metrics")
    assert answer.headers["content-type"].startswith("text/plain")
    found = re.findall(r"^([a-z_]+(?:\{[^}]*\})?) ([-+0-9.e]+)$", answer.text, re.MULTILINE)
    return {name: float(value) for name, value in found}


def test_health(server) -> None:
    assert httpx.get(f"{server.url}/healthz").json() == {"status": "ok"}
    assert httpx.get(f"{server.url}/readyz").json() == {"status": "ready"}


async def test_metrics_move_with_what_happens(session, server) -> None:
    before = numbers(server)
    assert before['buildwidget_clients{session="shop"}'] == 0
    assert before['buildwidget_build_percent{session="shop"}'] == 40
    async with connect(server, "?snapshot=1") as ws:
        await read_until(ws, of_type("snapshot"))
        session.publish({"type": "component_update", "component_id": "api", "progress": 60})
        await read_until(ws, of_type("component_update"))
        await ws.send("{")
        await read_until(ws, of_type("error"))
        now = numbers(server)
    assert now['buildwidget_clients{session="shop"}'] == 1
    assert now["buildwidget_connections_total"] == before["buildwidget_connections_total"] + 1
    assert now["buildwidget_events_total"] > before["buildwidget_events_total"]
    assert now["buildwidget_messages_sent_total"] > before["buildwidget_messages_sent_total"]
    assert now["buildwidget_bad_messages_total"] == before["buildwidget_bad_messages_total"] + 1
    assert now['buildwidget_queue_bytes{session="shop"}'] == 0
    assert now['buildwidget_seq{session="shop"}'] == session.seq
    assert now["process_resident_memory_bytes"] > 0
    answer = httpx.get(f"{server.url}/metrics", headers={"Accept": "application/openmetrics-text; version=1.0.0"})
    assert answer.text.endswith("# EOF\n")


# -- schemas ---------------------------------------------------------------------------------------------------------


def refs(value):
    if isinstance(value, dict):
        for key, inner in value.items():
            if key == "$ref":
                yield inner
            yield from refs(inner)
    elif isinstance(value, list):
        for inner in value:
            yield from refs(inner)


@pytest.mark.parametrize("make", [asyncapi, openapi])
def test_documents_are_whole(make) -> None:
    document = make()
    assert list(refs(document))
    for ref in refs(document):
        at = document
        for part in ref.removeprefix("#/").split("/"):
            at = at[part.replace("~1", "/")]


@pytest.mark.parametrize("name", sorted(schemas()))
def test_every_schema_is_valid_and_served(name) -> None:
    schema = schemas()[name]
    Draft202012Validator.check_schema(schema)
    assert schema["description"]
    for ref in refs(schema):
        assert ref.removeprefix("#/$defs/") in schema["$defs"]


def test_they_are_served(server) -> None:
    assert httpx.get(f"{server.url}/schema/component_update.json").json()["title"] == "component_update"
    assert httpx.get(f"{server.url}/asyncapi.json").json()["asyncapi"] == "3.0.0"
    assert httpx.get(f"{server.url}/openapi.json").json()["openapi"] == "3.1.0"


def test_openapi_names_every_address(server) -> None:
    served = {route.path for route in server._server.config.app.routes if "static" not in route.path}
    described = {path.replace("{name}.json", "{name}.json") for path in openapi()["paths"]}
    assert served == described


async def test_what_the_server_says_is_as_its_schemas_say(session, server) -> None:
    valid = {name: Draft202012Validator(schema) for name, schema in schemas().items()}
    seen = set()
    async with connect(server) as ws:
        got = await read_until(ws, of_type("build_progress"))
        for ask in ("ping", "request_status"):
            await ws.send(json.dumps({"type": ask}))
        await ws.send(json.dumps({"type": "subscribe", "topics": ["all"]}))
        await ws.send(json.dumps({"type": "resume", "epoch": "other", "seq": 1}))
        got += await read_until(ws, of_type("snapshot"))
        session.publish(
            [
                {
                    "type": "feature_update",
                    "feature_id": "f",
                    "owner": "host-a",
                    "files": [{"path": "a", "action": "new"}],
                },
                {"type": "task_update", "task_id": "t"},
                {"type": "phase_update", "phase_id": "p"},
                {"type": "checkpoint_update", "checkpoint_id": "c"},
                {"type": "runtime_update", "runtime": "r"},
                {"type": "file_change", "file_path": "a", "change_type": "created"},
                {"type": "terminal_output", "output": "x\n"},
                {"type": "activity", "kind": "claimed", "item": "f"},
                {"type": "error", "error_message": "e"},
            ]
        )
        got += await read_until(ws, lambda m: m["type"] == "error" and m.get("seq"))
    for message in got:
        seen.add(message["type"])
        if message.get("seq") is None and message["type"] not in {"pong", "subscribed"}:
            message.setdefault("seq", None)
        valid[message["type"]].validate(message)
        valid["server-message"].validate(message)
    assert seen >= ev.TYPES - {"removed", "warning"} | {"connection", "gap", "snapshot", "status", "pong", "subscribed"}


@pytest.mark.parametrize("path", sorted(LOGS.glob("*")), ids=lambda path: path.name)
def test_recorded_messages_are_as_the_schemas_say(path) -> None:
    valid = {name: Draft202012Validator(schemas()[name]) for name in ev.TYPES}
    messages = [m for m in _messages(json.loads(path.read_text())) if m.get("type") in ev.TYPES]
    assert messages
    for message in messages[:: max(1, len(messages) // 200)]:
        valid[message["type"]].validate(message)


def _messages(value):
    if isinstance(value, dict):
        if "type" in value and "seq" in value:
            yield value
            return
        value = list(value.values())
    if isinstance(value, list):
        for inner in value:
            yield from _messages(inner)


def test_a_publication_is_as_its_schema_says() -> None:
    valid = Draft202012Validator(schemas()["publication"])
    valid.validate({"type": "component_update", "component_id": "a", "status": "done"})
    valid.validate([{"type": "terminal_output", "output": "x"}])
    assert not valid.is_valid({"type": "component_update"})
    assert not valid.is_valid({"type": "snapshot"})


# -- the command -----------------------------------------------------------------------------------------------------


@pytest.fixture
def start(tmp_path):
    """Start ``buildwidget serve``; gives the process and its address."""
    running = []
    project = Project(tmp_path / "shop")
    project.checkpoint(1, components=[component("api", 30)])

    def begin(*args: str, **env: str) -> tuple[subprocess.Popen[str], str]:
        command = [sys.executable, "-m", "buildwidget", "serve", str(project.root), "--port", "0", *args]
        pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
        running.append(subprocess.Popen(command, **pipes, env={**os.environ, **env}))
        return running[-1], running[-1].stdout.readline().strip()

    yield begin
    for process in running:
        if process.poll() is None:
            process.kill()
        process.communicate(timeout=10)


@pytest.mark.parametrize(("number", "code"), [(signal.SIGTERM, 0), (signal.SIGINT, 130)])
def test_a_signal_ends_it_after_everything_was_said(start, number, code) -> None:
    process, url = start("--write-token", "write-token-1")
    folder = Folder()
    client = Patient(url.replace("http", "ws") + "/api/build/stream/shop?snapshot=1")
    last = 0
    for text in client:
        folder.take(text)
        if not last and folder.kinds[-1] == "snapshot":
            body = [{"type": "terminal_output", "output": f"line {n}\n"} for n in range(500)]
            headers = {"Authorization": "Bearer write-token-1"}
            answer = httpx.post(f"{url}/api/build/sessions/shop/events", json=body, headers=headers)
            last = answer.json()["seq"]
            process.send_signal(number)
    assert client.code == 1001
    assert folder.seq == last, "nothing is cut"
    assert process.wait(15) == code


def test_logs_for_programs_hold_no_token(start) -> None:
    process, url = start("--json-logs", "--log-level", "debug", "--token", "read-token-1")
    assert httpx.get(f"{url}/?token=read-token-1").status_code == 200
    assert httpx.get(f"{url}/api/build/status/shop?token=wrong-token-1").status_code == 401
    with pytest.raises(websockets.InvalidStatus):
        from websockets.sync.client import connect as connect_sync

        connect_sync(url.replace("http", "ws") + "/api/build/stream/shop?token=wrong-token-1")
    process.send_signal(signal.SIGTERM)
    _, text = process.communicate(timeout=15)
    lines = [json.loads(line) for line in text.splitlines()]
    assert lines
    assert {"time", "level", "logger", "message"} <= lines[0].keys()
    assert "token-1" not in text


def test_systemd_is_told(start, tmp_path) -> None:
    path = str(tmp_path / "notify")
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as notifier:
        notifier.bind(path)
        notifier.settimeout(10)
        process, _ = start(NOTIFY_SOCKET=path)
        assert notifier.recv(100) == b"READY=1"
        process.send_signal(signal.SIGTERM)
        assert notifier.recv(100) == b"STOPPING=1"


def test_what_cannot_be_is_said_clearly(tmp_path) -> None:
    (tmp_path / "shop").mkdir()
    with socket.create_server(("127.0.0.1", 0)) as taken:
        for args, word in {
            ("--port", str(taken.getsockname()[1])): "--port 0",
            ("--host", "0.0.0.0"): "--token",
            ("--tls-cert", "x.pem"): "--tls-key",
            ("--session", "nonsense"): "ID=PATH",
            ("--session", f"a/b={tmp_path}"): "session id",
            ("--token-file", str(tmp_path / "none")): "token file",
            ("--allow-origin", "evil"): "origin",
        }.items():
            command = [sys.executable, "-m", "buildwidget", "serve", str(tmp_path / "shop"), *args]
            done = subprocess.run(command, capture_output=True, text=True, timeout=30, check=False)
            assert done.returncode == 2, args
            assert word in done.stderr
            assert "Traceback" not in done.stderr


def test_tls(start, tmp_path) -> None:
    made = tmp_path / "cert.pem"
    command = ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj", "/CN=localhost"]
    command += ["-addext", "subjectAltName=IP:127.0.0.1", "-keyout", str(tmp_path / "key.pem"), "-out", str(made)]
    subprocess.run(command, check=True, capture_output=True)
    _, url = start("--tls-cert", str(made), "--tls-key", str(tmp_path / "key.pem"))
    assert url.startswith("https://")
    import ssl

    context = ssl.create_default_context(cafile=str(made))
    assert httpx.get(f"{url}/healthz", verify=context).json() == {"status": "ok"}
    from websockets.sync.client import connect as connect_sync

    folder = Folder()
    with connect_sync(url.replace("http", "ws") + "/api/build/stream/shop?snapshot=1", ssl=context) as ws:
        deadline = time.monotonic() + 10
        while not folder.state.snapshot().components and time.monotonic() < deadline:
            folder.take(ws.recv(timeout=5))
    assert folder.state.snapshot().components[0].component_id == "api"

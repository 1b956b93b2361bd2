"""The server over plain HTTP: event streams, status, publishing; who may come in; and what attackers try."""

from __future__ import annotations

import asyncio
import contextlib
import json
import socket
import threading
import time
from collections.abc import Iterator
from typing import Any

import httpx
import msgspec
import pytest
import websockets
from websockets.asyncio.client import connect as connect_to

from buildwidget.publish import shapes
from buildwidget.server import OptionsError, ServerOptions, serve
from tests.projects import until
from tests.serving import connect, of_type, plain, published, read_until, serving, sessions_of

READ, WRITE = "read-token-1", "write-token-1"


@pytest.fixture
def session():
    with published() as made:
        made.publish({"type": "component_update", "component_id": "api", "status": "running", "progress": 40})
        yield made


@pytest.fixture
def server(session):
    with serving(session) as made:
        yield made


@pytest.fixture
def guarded(session):
    with serving(session, token=READ, write_token=WRITE, allow_origins=("https://good.example", "null")) as made:
        yield made


def bearer(token: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {token}"}


# -- event streams ---------------------------------------------------------------------------------------------------


def events_of(lines):
    """Server-sent events: (id, message)."""
    at = None
    for line in lines:
        if line.startswith("id: "):
            at = line[4:]
        elif line.startswith("data: "):
            yield at, json.loads(line[6:])
            at = None


def test_server_sent_events_and_last_event_id(session, server) -> None:
    url = f"{server.url}/api/build/stream/shop"
    with httpx.stream("GET", url, headers={"Accept": "text/event-stream"}, timeout=10) as response:
        assert response.headers["content-type"].startswith("text/event-stream")
        events = events_of(response.iter_lines())
        assert next(events)[1]["type"] == "connection"
        at = next(at for at, message in events if message["type"] == "build_progress")
        assert at == f"{session.epoch}:{session.seq}"
    missed = [session.publish({"type": "component_update", "component_id": "api", "progress": n}) for n in (50, 60)]
    headers = {"Accept": "text/event-stream", "Last-Event-ID": at}
    with httpx.stream("GET", url, headers=headers, timeout=10) as response:
        events = events_of(response.iter_lines())
        assert next(events)[1]["resumed"] is True
        got = []
        for at, message in events:
            got.append(message["seq"])
            assert at == f"{session.epoch}:{message['seq']}"
            if message["seq"] == session.seq:
                break
        assert set(missed) <= set(got)
        assert got == list(range(got[0], session.seq + 1))
    with httpx.stream("GET", url, headers={**headers, "Last-Event-ID": "other:4"}, timeout=10) as response:
        events = events_of(response.iter_lines())
        assert next(events)[1]["resumed"] is False
        at, message = next(events)
        assert (message["type"], at) == ("snapshot", f"{session.epoch}:{session.seq}")


def test_newline_delimited_json(session, server) -> None:
    with httpx.stream(
        "GET", f"{server.url}/api/build/stream/shop?snapshot=1&topics=components", timeout=10
    ) as response:
        assert response.headers["content-type"].startswith("application/x-ndjson")
        lines = (json.loads(line) for line in response.iter_lines())
        assert next(lines)["type"] == "connection"
        assert next(lines)["state"] == plain(session)
        seq = session.publish({"type": "component_update", "component_id": "api", "name": "API"})
        assert next(lines)["seq"] == seq


def test_a_reader_that_leaves_is_forgotten(session, server) -> None:
    with httpx.stream("GET", f"{server.url}/api/build/stream/shop", timeout=10) as response:
        lines = response.iter_lines()  # held: without it the response is closed
        next(lines)
        assert len(server._sessions.clients()) == 1
    deadline = time.monotonic() + 10
    while server._sessions.clients() and time.monotonic() < deadline:
        time.sleep(0.01)
    assert not server._sessions.clients()


@pytest.mark.parametrize(
    ("path", "accept", "status"),
    [
        ("/api/build/stream/other", "*/*", 404),
        ("/api/build/stream/shop", "text/html", 406),
        ("/api/build/stream/shop?since=x", "*/*", 400),
        ("/api/build/stream/shop?topics=nonsense", "*/*", 400),
        ("/api/build/status/other", "*/*", 404),
        ("/nothing", "*/*", 404),
        ("/static/../run.py", "*/*", 404),
        ("/static/..%2frun.py", "*/*", 404),
        ("/static/widget.js", "*/*", 404),
        ("/schema/..%2f..%2fsecret.json", "*/*", 404),
    ],
)
def test_errors_say_what_is_wrong_and_show_no_traceback(server, path, accept, status) -> None:
    answer = httpx.get(server.url + path, headers={"Accept": accept})
    assert answer.status_code == status
    assert answer.json().keys() == {"error", "message"}
    assert "Traceback" not in answer.text


# -- status and publishing -------------------------------------------------------------------------------------------


def test_sessions_and_status(session, server) -> None:
    (row,) = httpx.get(f"{server.url}/api/build/sessions").json()["sessions"]
    assert (row["session_id"], row["status"], row["percent"]) == ("shop", "in_progress", 40)
    assert (row["epoch"], row["first_seq"], row["seq"]) == (session.epoch, 1, session.seq)
    status = httpx.get(f"{server.url}/api/build/status/shop").json()
    assert status == {"session_id": "shop", "epoch": session.epoch, "seq": session.seq, "state": plain(session)}


def test_publishing_needs_the_write_token_and_reaches_every_client(session, guarded) -> None:
    url = f"{guarded.url}/api/build/sessions/shop/events"
    body = [
        {"type": "component_update", "component_id": "ui", "status": "completed"},
        {"type": "terminal_output", "output": "done\n"},
    ]
    assert httpx.post(url, json=body).status_code == 401
    assert httpx.post(url, json=body, headers=bearer(READ)).status_code == 403
    assert httpx.post(url, json=body, headers=bearer("x" * 20)).status_code == 403
    before = session.seq
    answer = httpx.post(url, json=body, headers=bearer(WRITE))
    assert answer.status_code == 200
    assert answer.json() == {"session_id": "shop", "epoch": session.epoch, "seq": session.seq}
    assert session.seq > before
    assert {c.component_id: c.status for c in session.snapshot().components}["ui"] == "completed"


def test_a_refusal_reaches_who_is_still_sending(guarded) -> None:
    body = b"x" * 900_000
    head = f"Host: 127.0.0.1:{guarded.port}\r\nConnection: close\r\nContent-Length: {len(body)}\r\n\r\n"
    request = f"POST /api/build/sessions/shop/events HTTP/1.1\r\n{head}".encode() + body
    for _ in range(20):
        with socket.create_connection(("127.0.0.1", guarded.port), timeout=10) as one:
            one.sendall(request)
            answer = b"".join(iter(lambda: one.recv(65_536), b""))
        assert answer.startswith(b"HTTP/1.1 401")
        assert answer.endswith(b"}")


def test_a_refusal_does_not_wait_for_ever(guarded, monkeypatch) -> None:
    monkeypatch.setattr("buildwidget.server.app.DRAIN_SECONDS", 0.2)
    head = f"POST /api/build/sessions/shop/events HTTP/1.1\r\nHost: 127.0.0.1:{guarded.port}\r\nContent-Length: 900\r\n"
    for more in ("\r\n", "Expect: 100-continue\r\n\r\n"):
        assert raw(guarded, (head + more).encode()).startswith(b"HTTP/1.1 401")


def test_without_a_write_token_nobody_publishes(server) -> None:
    answer = httpx.post(f"{server.url}/api/build/sessions/shop/events", json=[], headers=bearer(WRITE))
    assert answer.status_code == 403
    assert "--write-token" in answer.json()["message"]


@pytest.mark.parametrize(
    "body",
    [
        b"{",
        b"3",
        b'"x"',
        b"\xff",
        b'{"type":"snapshot"}',
        b'{"type":"component_update"}',
        b'{"type":"component_update","component_id":""}',
        b'{"type":"component_update","component_id":"a","seq":9}',
        b'{"type":"component_update","component_id":"a","epoch":"e"}',
        b'{"type":"component_update","component_id":"a","progress":"half"}',
        b'{"type":"component_update","component_id":"a","progress":NaN}',
        b'{"type":"gap","from_seq":1}',
        b'{"type":"file_change","file_path":"../../etc/passwd","change_type":"modified"}',
        b'{"type":"file_change","file_path":"/etc/passwd","change_type":"modified"}',
        b'[{"type":"component_update","component_id":"ok"},{"type":"nonsense"}]',
        b"[" * 100_000,
        b"[" + b"{}," * 2_000 + b"{}]",
    ],
)
def test_a_bad_publication_is_refused_whole(session, guarded, body) -> None:
    before = session.seq
    answer = httpx.post(f"{guarded.url}/api/build/sessions/shop/events", content=body, headers=bearer(WRITE))
    assert answer.status_code == 400
    assert answer.json()["message"]
    assert session.seq == before


@pytest.mark.parametrize("mark", [b"", b"\xef\xbb\xbf"])
def test_a_byte_order_mark_before_the_json_is_read_over(session, guarded, mark) -> None:
    body = mark + b'{"type":"component_update","component_id":"bom","name":"J\xc3\xbcrgen"}'
    url = f"{guarded.url}/api/build/sessions/shop/events"
    assert httpx.post(url, content=body, headers=bearer(WRITE)).status_code == 200
    assert "Jürgen" in {component.name for component in session.snapshot().components}
    assert httpx.post(url, content=mark + mark + body, headers=bearer(WRITE)).status_code == (400 if mark else 200)


async def test_a_byte_order_mark_before_a_message_is_read_over(server) -> None:
    async with connect(server) as ws:
        await ws.send('\ufeff{"type":"ping","id":7}')
        assert (await read_until(ws, of_type("pong")))[-1]["id"] == 7


def test_a_publication_that_is_too_big(session, guarded) -> None:
    body = b'{"type":"terminal_output","output":"' + b"x" * (2 << 20) + b'"}'
    answer = httpx.post(f"{guarded.url}/api/build/sessions/shop/events", content=body, headers=bearer(WRITE))
    assert answer.status_code == 413


@pytest.mark.parametrize("size", [(1 << 20) + 1, 3 << 20, 20 << 20], ids=["a byte too many", "3 MiB", "20 MiB"])
@pytest.mark.parametrize("chunked", [False, True], ids=["length", "chunks"])
@pytest.mark.parametrize("token", [WRITE, "x" * 20], ids=["let in", "refused"])
def test_a_big_body_is_read_before_it_is_refused(guarded, size, chunked, token) -> None:
    head = f"POST /api/build/sessions/shop/events HTTP/1.1\r\nHost: 127.0.0.1:{guarded.port}\r\n"
    head += f"Authorization: Bearer {token}\r\n"
    head += "Transfer-Encoding: chunked\r\n\r\n" if chunked else f"Content-Length: {size}\r\n\r\n"
    body = b"%x\r\n%b\r\n0\r\n\r\n" % (size, b"x" * size) if chunked else b"x" * size
    with socket.create_connection(("127.0.0.1", guarded.port), timeout=20) as one:
        one.sendall(head.encode() + body)
        answer = one.recv(65_536)
        assert answer.split(b" ")[1] == (b"413" if token == WRITE else b"403")
        # Nothing of the body is taken for another request.
        one.sendall(f"GET /healthz HTTP/1.1\r\nHost: 127.0.0.1:{guarded.port}\r\nConnection: close\r\n\r\n".encode())
        assert b"".join(iter(lambda: one.recv(65_536), b"")).endswith(b'{"status":"ok"}')


def test_a_big_body_is_not_asked_for(guarded) -> None:
    head = f"POST /api/build/sessions/shop/events HTTP/1.1\r\nHost: 127.0.0.1:{guarded.port}\r\n"
    head += f"Authorization: Bearer {WRITE}\r\nContent-Length: 9000000\r\nExpect: 100-continue\r\n\r\n"
    with socket.create_connection(("127.0.0.1", guarded.port), timeout=10) as one:
        one.sendall(head.encode())
        assert one.recv(65_536).startswith(b"HTTP/1.1 413 ")


def with_a_time(kind: Any, text: str) -> Iterator[tuple[Any, str]]:
    """A value of this type for each time that it can hold, and where in it that time is."""
    match kind:
        case msgspec.inspect.DateTimeType():
            yield text, ""
        case msgspec.inspect.UnionType(types=kinds):
            for one in kinds:
                yield from with_a_time(one, text)
        case msgspec.inspect.ListType(item_type=one):
            for value, path in with_a_time(one, text):
                yield [value], path
        case msgspec.inspect.DictType(value_type=one):
            for value, path in with_a_time(one, text):
                yield {"k": value}, path
        case msgspec.inspect.StructType(fields=fields):
            needed = {field.encode_name: plainest(field.type) for field in fields if field.required}
            for field in fields:
                for value, path in with_a_time(field.type, text):
                    yield {**needed, field.encode_name: value}, f"{field.encode_name}.{path}".rstrip(".")


def plainest(kind: Any) -> Any:
    match kind:
        case msgspec.inspect.LiteralType(values=values):
            return values[0]
        case msgspec.inspect.IntType():
            return 1
    return "x"


EDGES = ["0001-01-01T00:00:00Z", "0001-01-01T00:00:00+05:00", "9999-12-31T23:59:59-05:00", "9999-12-31T00:00:00"]


@pytest.mark.parametrize("text", EDGES)
def test_a_time_at_the_edge_of_the_calendar_is_a_400(session, guarded, text) -> None:
    before = session.seq
    paths = []
    for name, shape in shapes().items():
        for whole, path in with_a_time(msgspec.inspect.type_info(shape), text):
            paths.append(f"{name}.{path}")
            answer = httpx.post(
                f"{guarded.url}/api/build/sessions/shop/events",
                json=[{"type": "terminal_output", "output": "x\n"}, {**whole, "type": name}],
                headers=bearer(WRITE),
            )
            assert answer.status_code == 400, paths[-1]
            assert path in answer.json()["message"]
    assert session.seq == before, "a bad list is refused whole"
    assert {"checkpoint_update.created_at", "feature_update.tasks.timestamp"} <= set(paths)


# -- who may come in -------------------------------------------------------------------------------------------------


async def status_of(server, query: str = "", **headers: str) -> int:
    """The status of a WebSocket handshake: 101 if it is let in."""
    given = {name.replace("_", "-"): value for name, value in headers.items()}
    host = given.pop("Host", None)
    try:
        async with connect_to(server.stream_url + query, additional_headers=given) as ws:
            await ws.recv()
            return 101
    except websockets.InvalidStatus as error:
        assert host is None
        return error.response.status_code


async def test_tokens(guarded) -> None:
    assert await status_of(guarded) == 401
    assert await status_of(guarded, "?token=wrong-token") == 401
    assert await status_of(guarded, "?token=") == 401
    assert await status_of(guarded, Authorization="Basic cmVhZA==") == 401
    assert await status_of(guarded, f"?token={READ}x") == 401
    assert await status_of(guarded, f"?token={READ}") == 101
    assert await status_of(guarded, Authorization=f"Bearer {READ}") == 101
    assert await status_of(guarded, Authorization=f"bearer {WRITE}") == 101
    for path in (
        "/api/build/sessions",
        "/api/build/status/shop",
        "/api/build/stream/shop",
        "/metrics",
        "/asyncapi.json",
    ):
        assert httpx.get(guarded.url + path).status_code == 401
    for path in ("/healthz", "/readyz"):
        assert httpx.get(guarded.url + path).status_code == 200


async def test_a_browser_gets_a_cookie_that_opens_the_stream_and_does_not_hold_the_token(guarded) -> None:
    assert httpx.get(guarded.url).status_code == 401
    answer = httpx.get(f"{guarded.url}/?token={READ}")
    assert answer.status_code == 200
    cookie = answer.headers["set-cookie"]
    assert READ not in cookie
    assert "HttpOnly" in cookie
    assert "samesite=lax" in cookie.lower()
    pair = cookie.split(";")[0]
    assert await status_of(guarded, Cookie=pair) == 101
    assert await status_of(guarded, Cookie=pair + "0") == 401
    assert httpx.get(guarded.url, headers={"Cookie": pair}).status_code == 200
    url = f"{guarded.url}/api/build/sessions/shop/events"
    assert httpx.post(url, json=[], headers={"Cookie": pair}).status_code == 401  # a cookie never publishes


FOREIGN = [
    b'prefs={"a": 1, "b": [2]}',
    b"a[b]=1",
    b"bare",
    b"name=J\xc3\xbcrgen",
    b"name=J\xfcrgen",
    b"=nameless",
    b"; ;;  ;",
    b'open="never closed',
    b"spaces in a name=x",
    b"buildwidget-8000=older",
    b"buildwidget-=x",
    b"{own}=somebody-elses",
    b'{own}=""',
    b"{own}",
    b"{own}==",
    b"big=" + b"x" * 4_000,
    b"; ".join(b"n%d=%b" % (number, b"y" * 3_000) for number in range(12)),
    b"; ".join(b"n%d=1" % number for number in range(3_000)),
    b"$Version=1; $Path=/",
    b"expires=Wed, 09 Jun 2027 10:18:14 GMT",
]


@pytest.mark.parametrize("foreign", FOREIGN, ids=lambda cookie: cookie[:24].decode("latin-1"))
@pytest.mark.parametrize("apart", [False, True], ids=["one line", "lines"])
def test_cookies_of_other_programs_do_no_harm(guarded, foreign, apart) -> None:
    name, _, value = httpx.get(f"{guarded.url}/?token={READ}").headers["set-cookie"].split(";")[0].partition("=")
    foreign = foreign.replace(b"{own}", name.encode())
    own = f"{name}={value}".encode()
    for cookies in ([foreign, own], [own, foreign], [foreign, own, foreign]):
        lines = [b"Cookie: " + one for one in (cookies if apart else [b"; ".join(cookies)])]
        head = b"\r\n".join([f"Host: 127.0.0.1:{guarded.port}".encode(), *lines])
        page = raw(guarded, b"GET / HTTP/1.1\r\nConnection: close\r\n" + head + b"\r\n\r\n")
        assert page.split(b" ")[1] == b"200"
        asked = raw(guarded, b"GET /api/build/stream/shop HTTP/1.1\r\n" + UPGRADE + head + b"\r\n\r\n")
        assert asked.split(b" ")[1] == b"101"
    head = f"Host: 127.0.0.1:{guarded.port}\r\nCookie: ".encode() + foreign
    assert raw(guarded, b"GET / HTTP/1.1\r\nConnection: close\r\n" + head + b"\r\n\r\n").split(b" ")[1] == b"401"
    asked = raw(guarded, b"GET /api/build/stream/shop HTTP/1.1\r\n" + UPGRADE + head + b"\r\n\r\n")
    assert asked.split(b" ")[1] == b"401"


async def test_the_cookie_of_one_server_leaves_that_of_another_alone(session, guarded) -> None:
    with serving(session, token="another-token") as other:
        pairs = [
            httpx.get(f"{server.url}/?token={token}").headers["set-cookie"].split(";")[0]
            for server, token in ((guarded, READ), (other, "another-token"))
        ]
        assert pairs[0].split("=")[0] != pairs[1].split("=")[0]
        for server in (guarded, other):
            assert await status_of(server, Cookie="; ".join(pairs)) == 101
        assert await status_of(other, Cookie=pairs[0]) == 401


@pytest.mark.parametrize(
    "lines",
    [
        b"X-Long: " + b"x" * 20_000,
        b"\r\n".join(b"X-%d: y" % number for number in range(400)),
        b"User-Agent: " + b"u" * 9_000,
        b"Referer: http://127.0.0.1/" + b"r" * 30_000,
    ],
    ids=["long", "many", "agent", "referer"],
)
def test_long_headers_keep_nobody_out(server, lines) -> None:
    head = f"Host: 127.0.0.1:{server.port}\r\n".encode() + lines + b"\r\n\r\n"
    assert raw(server, b"GET / HTTP/1.1\r\nConnection: close\r\n" + head).split(b" ")[1] == b"200"
    assert raw(server, b"GET /api/build/stream/shop HTTP/1.1\r\n" + UPGRADE + head).split(b" ")[1] == b"101"


def test_long_headers_let_nobody_in(guarded) -> None:
    target = f"GET /api/build/stream/shop?token={READ} HTTP/1.1\r\n".encode() + UPGRADE
    own = f"Host: 127.0.0.1:{guarded.port}\r\n".encode()
    evil = b"Origin: https://evil.example\r\n"
    for head in (own + b"Origin: http://" + b"e" * 9_000 + b"\r\n", own + evil * 40, own * 3 + own):
        assert raw(guarded, target + head + b"\r\n").split(b" ")[1] in {b"400", b"403"}
    long = b"GET /api/build/stream/shop?components=" + b"c" * 20_000 + b" HTTP/1.1\r\n" + UPGRADE + own + b"\r\n"
    answer = raw(guarded, long)
    assert answer.split(b" ")[1] == b"400"
    assert b"too long" in answer


@pytest.mark.parametrize(
    ("origin", "status"),
    [
        ("{own}", 101),
        ("https://good.example", 101),
        ("null", 101),
        ("http://good.example", 403),
        ("https://good.example:8443", 403),
        ("https://good.example.evil.example", 403),
        ("https://evil.example", 403),
        ("{own}.evil.example", 403),
        ("http://127.0.0.1.evil.example", 403),
        ("http://127.0.0.1", 403),
        ("http://127.0.0.1@evil.example", 403),
        ("http://evil.example#{own}", 403),
        ("http://localhost.evil.example", 403),
        ("file://", 403),
        ("", 403),
        ("garbage", 403),
    ],
)
async def test_origins(guarded, origin, status) -> None:
    given = origin.format(own=guarded.url)
    assert await status_of(guarded, f"?token={READ}", Origin=given) == status
    answer = httpx.get(f"{guarded.url}/api/build/sessions", headers={**bearer(READ), "Origin": given})
    assert answer.status_code == (200 if status == 101 else 403)
    assert ("access-control-allow-origin" in answer.headers) == (status == 101)


async def test_null_is_refused_unless_it_is_allowed(server) -> None:
    assert await status_of(server, Origin="null") == 403
    assert await status_of(server, Origin=server.url) == 101


UPGRADE = (
    b"Connection: Upgrade\r\nUpgrade: websocket\r\n"
    b"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n"
)


def raw(server, request: bytes, seconds: float = 5.0) -> bytes:
    with socket.create_connection(("127.0.0.1", server.port), timeout=seconds) as one:
        one.sendall(request)
        with contextlib.suppress(TimeoutError):
            return one.recv(65_536)
        return b""


@pytest.mark.parametrize(
    ("host", "status"),
    [
        ("127.0.0.1:{port}", b"200"),
        ("localhost:{port}", b"200"),
        ("[::1]:{port}", b"200"),
        ("[0:0:0:0:0:0:0:1]:{port}", b"200"),
        ("[::FFFF:127.0.0.1]", b"200"),
        ("LOCALHOST", b"200"),
        ("localhost.:{port}", b"200"),
        ("localhost..", b"403"),
        ("::1", b"403"),
        ("[::1", b"403"),
        ("[::2]", b"403"),
        ("localhost, evil.example", b"403"),
        ("localhost@evil.example", b"403"),
        ("localhost:99999", b"403"),
        ("locälhost", b"403"),
        ("evil.example", b"403"),
        ("evil.example:{port}", b"403"),
        ("127.0.0.1.evil.example", b"403"),
        ("localhost.evil.example", b"403"),
        ("10.1.2.3", b"403"),
        ("", b"403"),
        ("127.0.0.1:port", b"403"),
        ("evil.example\r\nHost: localhost", b"403"),
    ],
)
def test_a_host_must_be_our_own(server, host, status) -> None:
    name = host.format(port=server.port)
    for path in ("/", "/api/build/sessions", "/static/page.js"):
        answer = raw(server, f"GET {path} HTTP/1.1\r\nHost: {name}\r\nConnection: close\r\n\r\n".encode())
        assert answer.split(b" ")[1] in ({status, b"404", b"500"} if status == b"200" else {status, b"400"})
    request = f"GET /api/build/stream/shop HTTP/1.1\r\nHost: {name}\r\n".encode() + UPGRADE + b"\r\n"
    assert raw(server, request).split(b" ")[1] in ({b"101"} if status == b"200" else {b"403", b"400"})


@pytest.mark.parametrize(
    ("host", "origin", "port", "let_in"),
    [
        # the default port is left out
        ("builds.example.org", "http://builds.example.org", 8000, True),
        ("builds.example.org", "https://builds.example.org", 8000, True),
        ("builds.example.org", "http://builds.example.org:80", 80, True),
        ("builds.example.org:443", "https://builds.example.org", 8000, True),
        ("builds.example.org:80", "https://builds.example.org", 8000, False),
        # one form of each name
        ("BUILDS.example.org.", "https://builds.EXAMPLE.org", 8000, True),
        ("builds.example.org", "HTTPS://Builds.Example.Org.", 8000, True),
        ("[2001:DB8:0::7]:8000", "http://[2001:db8::7]:8000", 8000, True),
        ("[2001:db8::7]:8000", "http://[2001:db8::7]", 8000, False),
        ("[::1]:8000", "http://[0:0:0:0:0:0:0:1]:8000", 8000, True),
        ("127.0.0.1:8000", "http://localhost:8000", 8000, False),
        # a proxy on another port, which names it
        ("builds.example.org:8443", "https://builds.example.org:8443", 8000, True),
        ("builds.example.org:8080", "https://builds.example.org:8443", 8000, False),
        # and one that drops it
        ("builds.example.org", "http://builds.example.org:8080", 8000, True),
        ("builds.example.org", "https://builds.example.org:8443", None, True),
        ("builds.example.org", "http://evil.example:8080", 8000, False),
        ("builds.example.org", "http://sub.builds.example.org:8080", 8000, False),
        # without one in between the port is known
        ("builds.example.org", "http://builds.example.org:8080", 80, False),
        ("builds.example.org", "https://builds.example.org:8443", 443, False),
        ("builds.example.org:8000", "http://builds.example.org:9000", 8000, False),
        # nonsense
        ("builds.example.org", "http://builds.example.org:0", 80, False),
        ("builds.example.org", "http://builds.example.org/page", 8000, False),
        ("builds.example.org", "http://a@builds.example.org", 8000, False),
        ("builds.example.org", "ws://builds.example.org", 8000, False),
        ("builds.example.org", "http://builds.example.org, http://builds.example.org", 8000, False),
        ("evil.example", "http://evil.example", 8000, False),
        ("builds.example.org:x", "http://builds.example.org", 8000, False),
    ],
)
def test_whether_a_page_is_one_of_our_own(host, origin, port, let_in) -> None:
    from buildwidget.server.access import Access, Grant

    access = Access(ServerOptions(allow_hosts=("Builds.example.org.", "[2001:db8:0:0::7]")))
    headers = [(b"host", host.encode()), (b"origin", origin.encode())]
    scope = {"type": "http", "http_version": "1.1", "server": ("127.0.0.1", port), "headers": headers}
    assert isinstance(access.check(scope), Grant) == let_in


def test_what_a_proxy_says_is_believed_only_from_a_proxy_that_is_trusted(session) -> None:
    says = {"X-Forwarded-Proto": "https", "X-Forwarded-For": "203.0.113.9", "X-Forwarded-Host": "evil.example"}
    for trusted, secure, address in (((), False, "127.0.0.1:"), (("127.0.0.1",), True, "203.0.113.9")):
        with serving(session, token=READ, trusted_proxies=trusted) as server:
            answer = httpx.get(f"{server.url}/?token={READ}", headers=says)
            assert ("secure" in answer.headers["set-cookie"].lower()) == secure
            url = f"{server.url}/api/build/stream/shop"
            with httpx.stream("GET", url, headers={**bearer(READ), **says}, timeout=10) as stream:
                lines = stream.iter_lines()
                next(lines)
                (client,) = sessions_of(server).clients()
                assert client.address.startswith(address)
            assert httpx.get(url, headers={**says, "Origin": "https://evil.example"}).status_code == 403
    with pytest.raises(OptionsError, match="proxy"):
        ServerOptions(trusted_proxies=("everybody",)).check()


# -- HEAD and HTTP/1.0 -----------------------------------------------------------------------------------------------

GET_ROUTES = [
    ("/", "text/html"),
    ("/healthz", "*/*"),
    ("/readyz", "*/*"),
    ("/metrics", "*/*"),
    ("/asyncapi.json", "*/*"),
    ("/openapi.json", "*/*"),
    ("/schema/snapshot.json", "*/*"),
    ("/static/page.js", "*/*"),
    ("/api/build/sessions", "*/*"),
    ("/api/build/status/shop", "*/*"),
    ("/api/build/stream/shop", "application/x-ndjson"),
    ("/api/build/stream/shop", "text/event-stream"),
    ("/api/build/stream/shop?snapshot=1&topics=components", "*/*"),
]
ERRORS = [
    ("/api/build/stream/shop?since=x", "*/*"),
    ("/api/build/stream/shop", "text/html"),
    ("/api/build/stream/other", "*/*"),
    ("/api/build/sessions/shop/events", "*/*"),
    ("/nothing", "*/*"),
]


@pytest.mark.parametrize(("path", "accept"), GET_ROUTES + ERRORS)
def test_head_is_the_head_of_get_and_the_connection_goes_on(server, path, accept) -> None:
    with httpx.stream("GET", server.url + path, headers={"Accept": accept}, timeout=10) as answer:
        status, kind = answer.status_code, answer.headers["content-type"]
    until(lambda: not sessions_of(server).clients())
    joined = sessions_of(server).meters.connects
    request = f"{path} HTTP/1.1\r\nHost: 127.0.0.1:{server.port}\r\nAccept: {accept}\r\n\r\n"
    with socket.create_connection(("127.0.0.1", server.port), timeout=10) as one:
        for _ in range(3):
            one.sendall(f"HEAD {request}".encode())
            head = b""
            while not head.endswith(b"\r\n\r\n"):
                head += one.recv(1)
            assert head.split(b" ")[1] == str(status).encode()
            assert f"content-type: {kind}".encode() in head
        one.sendall(f"GET /healthz HTTP/1.1\r\nHost: 127.0.0.1:{server.port}\r\nConnection: close\r\n\r\n".encode())
        rest = b"".join(iter(lambda: one.recv(65_536), b""))
        assert rest.startswith(b"HTTP/1.1 200"), "nothing of a body came before"
        assert rest.endswith(b'{"status":"ok"}')
    assert not sessions_of(server).clients()
    assert sessions_of(server).meters.connects == joined


@pytest.mark.parametrize("keep", ["", "Connection: keep-alive\r\n"], ids=["close", "keep-alive"])
@pytest.mark.parametrize("host", ["", "Host: 127.0.0.1:{port}\r\n"], ids=["no host", "host"])
def test_http_1_0_has_no_chunks(session, server, keep, host) -> None:
    lines = keep + host.format(port=server.port)
    for accept, start in (("application/x-ndjson", b'{"type":"connection"'), ("text/event-stream", b"data: {")):
        with socket.create_connection(("127.0.0.1", server.port), timeout=10) as one:
            one.sendall(f"GET /api/build/stream/shop HTTP/1.0\r\nAccept: {accept}\r\n{lines}\r\n".encode())
            got = b""
            while b"build_progress" not in got:
                got += one.recv(65_536)
            head, _, body = got.partition(b"\r\n\r\n")
            assert b"transfer-encoding" not in head.lower()
            assert b"connection: close" in head.lower()
            session.publish({"type": "error", "error_message": "the last one"})
            while b"the last one" not in body:
                body += one.recv(65_536)
        assert body.startswith(start)
        for line in body.split(b"\n")[:-1]:
            if line and not line.startswith(b"id: "):
                json.loads(line.removeprefix(b"data: "))


@pytest.mark.parametrize("keep", ["", "Connection: keep-alive\r\n"], ids=["close", "keep-alive"])
@pytest.mark.parametrize(("path", "accept"), [one for one in GET_ROUTES if "stream" not in one[0]] + ERRORS)
def test_other_answers_to_http_1_0_are_whole_and_end(server, path, accept, keep) -> None:
    whole = httpx.get(server.url + path, headers={"Accept": accept})
    request = f"GET {path} HTTP/1.0\r\nHost: 127.0.0.1:{server.port}\r\nAccept: {accept}\r\n{keep}\r\n"
    with socket.create_connection(("127.0.0.1", server.port), timeout=10) as one:
        one.sendall(request.encode())
        head, _, body = b"".join(iter(lambda: one.recv(65_536), b"")).partition(b"\r\n\r\n")
    assert head.split(b" ")[1] == str(whole.status_code).encode()
    assert f"content-length: {len(body)}".encode() in head.lower()
    if path != "/metrics":  # they move
        assert body == whole.content


def test_an_end_of_the_server_ends_a_stream_of_http_1_0(session) -> None:
    with serving(session) as server, socket.create_connection(("127.0.0.1", server.port), timeout=10) as one:
        one.sendall(b"GET /api/build/stream/shop HTTP/1.0\r\n\r\n")
        got = one.recv(65_536)
        server.stop()
        got += b"".join(iter(lambda: one.recv(65_536), b""))
        assert got.endswith(b"}\n")


def test_http_1_0_cannot_become_a_websocket(server, caplog) -> None:
    for path, start in (("stream/shop", b'{"type":"connection"'), ("status/shop", b'{"session_id":"shop"')):
        with socket.create_connection(("127.0.0.1", server.port), timeout=10) as one:
            one.sendall(
                f"GET /api/build/{path} HTTP/1.0\r\nHost: 127.0.0.1:{server.port}\r\nUpgrade: websocket\r\n"
                "Connection: Upgrade\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n"
                "Sec-WebSocket-Version: 13\r\n\r\n".encode()
            )
            got = b""
            while b"\r\n\r\n" not in got or got.endswith(b"\r\n\r\n"):
                got += one.recv(65_536)
        head, _, body = got.partition(b"\r\n\r\n")
        assert head.split(b" ")[1] == b"200"
        assert body.startswith(start)
    assert not caplog.records


def test_other_machines_need_a_token() -> None:
    for host in ("0.0.0.0", "::", "192.168.1.5", "example.org"):
        with pytest.raises(OptionsError, match="token"):
            ServerOptions(host=host).check()
        ServerOptions(host=host, token="long-enough").check()
    for host in ("127.0.0.1", "127.0.0.2", "::1", "localhost"):
        ServerOptions(host=host).check()
    for bad in ({"token": "short"}, {"token": "with a space"}, {"port": 70_000}, {"allow_origins": ("evil",)}):
        with pytest.raises(OptionsError):
            ServerOptions(**bad).check()


def test_what_browsers_are_told(server) -> None:
    for path in ("/", "/api/build/sessions", "/nothing", "/healthz"):
        headers = httpx.get(server.url + path).headers
        assert "default-src 'none'" in headers["content-security-policy"]
        assert "unsafe" not in headers["content-security-policy"]
        assert headers["x-content-type-options"] == "nosniff"
        assert headers["referrer-policy"] == "no-referrer"
        assert headers["x-frame-options"] == "DENY"
        assert "server" not in headers


# -- what attackers try ----------------------------------------------------------------------------------------------


async def still_serves(server) -> None:
    async with connect(server, "?snapshot=1") as ws:
        await read_until(ws, of_type("snapshot"))


async def test_half_open_connections_do_not_keep_others_out(server, monkeypatch) -> None:
    from buildwidget.server import _http

    monkeypatch.setattr(_http, "HEADER_SECONDS", 1.0)
    half = []
    try:
        for number in range(800):
            one = socket.create_connection(("127.0.0.1", server.port))
            if number % 2:
                one.sendall(b"GET /api/build/stream/shop HTTP/1.1\r\nHost: 127.0")
            half.append(one)
        await still_serves(server)
        half[-1].settimeout(10)
        assert await asyncio.to_thread(_ended, half[-1])
        assert await asyncio.to_thread(_ended, half[-2])
    finally:
        for one in half:
            one.close()
    await still_serves(server)


def _ended(one: socket.socket) -> bool:
    one.settimeout(10)
    try:
        return one.recv(1) == b""
    except ConnectionResetError:
        return True


async def test_a_slow_handshake_ends(server, monkeypatch) -> None:
    from buildwidget.server import _http

    monkeypatch.setattr(_http, "HEADER_SECONDS", 0.5)

    def drip() -> bool:
        with socket.create_connection(("127.0.0.1", server.port)) as one:
            started = time.monotonic()
            with contextlib.suppress(OSError):
                for byte in b"GET / HTTP/1.1\r\nHost: localhost\r\n" + b"X-A: " * 400:
                    one.sendall(bytes([byte]))
                    time.sleep(0.05)
            return time.monotonic() - started < 5

    assert await asyncio.to_thread(drip)
    await still_serves(server)


async def test_endless_headers_are_refused(server) -> None:
    answer = raw(server, b"GET / HTTP/1.1\r\nHost: localhost\r\nX-Long: " + b"x" * 200_000)
    assert answer.startswith(b"HTTP/1.1 400") or answer == b""
    await still_serves(server)


@pytest.mark.parametrize(
    "garbage",
    [
        b"\x00" * 1000,
        b"GET / HTTP/9.9\r\n\r\n",
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",
        b"GET " + b"/" * 60_000 + b" HTTP/1.1\r\nHost: localhost\r\n\r\n",
        b"POST / HTTP/1.1\r\nHost: localhost\r\nContent-Length: -5\r\n\r\n",
        b"POST / HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\nzzzz\r\n",
    ],
)
async def test_garbage_instead_of_http(server, garbage) -> None:
    answer = await asyncio.to_thread(raw, server, garbage, 2.0)
    assert b"Traceback" not in answer
    await still_serves(server)


async def test_markup_in_every_text_field_stays_text(session, server) -> None:
    evil = '<img src=x onerror="alert(1)"></script><script>alert(2)</script>\u2028\x00'
    session.publish(
        [
            {
                "type": "component_update",
                "component_id": evil,
                "name": evil,
                "error": evil,
                "status": evil,
                "metadata": {evil: evil},
            },
            {"type": "terminal_output", "output": evil + "\n", "source": evil},
            {"type": "error", "error_message": evil, "traceback": "File secret.py"},
        ]
    )
    async with connect(server, "?snapshot=1") as ws:
        got = await read_until(ws, of_type("snapshot"))
        assert evil in {c["component_id"] for c in got[-1]["state"]["components"]}
    answer = httpx.get(f"{server.url}/api/build/status/shop")
    assert answer.headers["content-type"] == "application/json"
    assert "secret.py" not in answer.text


async def test_compression_is_not_offered(server) -> None:
    async with connect_to(server.stream_url, compression="deflate") as ws:
        assert ws.response.headers.get("Sec-WebSocket-Extensions") is None


# -- beside a notebook -----------------------------------------------------------------------------------------------


def test_a_server_says_where_it_is_and_stops(tmp_path) -> None:
    (tmp_path / "my shop").mkdir()
    with serve(tmp_path / "my shop") as server:
        assert httpx.get(server.url + "/healthz").status_code == 200
        assert server.session_id == "my-shop"
        assert server.url in repr(server)
        assert server.stream_url in server._repr_html_()
        before = threading.active_count()
        with pytest.raises(OptionsError, match=str(server.port)):
            serve(tmp_path, port=server.port)
        assert threading.active_count() == before  # what was opened for it is closed again
    assert not server.running
    assert "stopped" in repr(server)
    server.stop()
    with pytest.raises(OptionsError, match="no folder"):
        serve(tmp_path / "nowhere")

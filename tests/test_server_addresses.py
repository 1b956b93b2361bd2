"""Addresses: what a server announces leads to it, every name can be written, every list in a query is read."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from urllib.parse import quote, urlencode

import httpx
import pytest
import websockets
from websockets.asyncio.client import connect as connect_to

from buildwidget import BuildSession
from buildwidget.server import OptionsError, ServerOptions, serve, session_ids
from tests.projects import Project, component, until
from tests.serving import connect, of_type, published, read_until, serving

ROOT = Path(__file__).resolve().parents[1]

# -- names -----------------------------------------------------------------------------------------------------------

NAMES = [
    "my shop",
    "R&D #2",
    "a?b=c",
    "x%2Fy",
    "100%25",
    "%",
    "a+b",
    "ümläut",
    "日本語",
    "🏗 build",
    "semi;colon,comma",
    "back\\slash",
    'quo"te<b>',
    "...",
    ".hidden",
    "colon:8000@host",
    "tab\tand\nnewline",
    "[brackets]{braces}|^`",
    "n" * 255,
    "ü" * 127,
]


@pytest.mark.parametrize("name", NAMES, ids=lambda name: ascii(name)[:20])
async def test_a_folder_of_any_name_can_be_followed(tmp_path, name) -> None:
    project = Project(tmp_path / name)
    project.checkpoint(components=[component("api", 40)])
    with contextlib.closing(BuildSession(project.root).open()) as session, serving(session) as server:
        until(lambda: session.loaded)
        async with connect(server, "?snapshot=1") as ws:
            got = await read_until(ws, of_type("snapshot"))
            assert got[0]["session_id"] == session.session_id
        (row,) = httpx.get(f"{server.url}/api/build/sessions").json()["sessions"]
        assert row["session_id"] == session.session_id
        async with connect_to(f"{server.url.replace('http', 'ws')}/{row['stream']}") as ws:
            assert json.loads(await ws.recv())["type"] == "connection"
        assert httpx.get(f"{server.url}/{row['page']}").status_code == 200
        assert httpx.URL(f"{server.url}/{row['page']}").params["session"] == session.session_id
        status = httpx.get(f"{server.url}/api/build/status/{quote(session.session_id, safe='')}").json()
        assert status["session_id"] == session.session_id
        assert server.stream_url.isascii()
        assert not set(' #<>"\\\n\t') & set(server.stream_url)


@pytest.mark.parametrize("name", [".", "..", "a/b", "/", "nul\0", "x" * 501], ids=ascii)
def test_a_name_that_no_address_can_hold_is_refused_at_the_start(name, tmp_path) -> None:
    with published(name) as session, pytest.raises(OptionsError, match="address"):
        serve(session)
    with pytest.raises(OptionsError, match="session id"):
        ServerOptions(sessions={name: tmp_path}).check()


def test_a_folder_of_signs_only_gets_an_id_that_can_be_reached(tmp_path) -> None:
    paths = [tmp_path / name for name in ("-.-", "-..-", "日本", "---")]
    ids = session_ids(paths)
    assert list(ids.values()) == paths
    ServerOptions(sessions=ids).check()


def test_a_path_prefix_works_with_and_without_a_proxy(session_shop) -> None:
    with serving(session_shop, root_path="/builds", token="read-token") as server:
        assert server.url.endswith("/builds")
        bare = server.url.removesuffix("/builds")
        for base in (server.url, bare):
            page = httpx.get(f"{base}/?token=read-token")
            assert page.status_code == 200
            assert "path=" not in page.headers["set-cookie"].lower()  # the browser knows it better
            assert httpx.get(f"{base}/healthz").status_code == 200
            assert httpx.get(f"{base}/api/build/sessions").status_code == 401
        answer = httpx.get(f"{server.url}?token=read-token")
        assert (answer.status_code, answer.headers["location"]) == (307, "/builds/?token=read-token")
    for bad in ("builds", "/builds/", "//evil.example", "/a b", "/ü", "/a?b", "/%2e"):
        with pytest.raises(OptionsError, match="prefix"):
            ServerOptions(root_path=bad).check()


async def test_the_stream_too_works_under_the_prefix(session_shop) -> None:
    with serving(session_shop, root_path="/builds") as server:
        for url in (server.stream_url, server.stream_url.replace("/builds", "")):
            async with connect_to(url) as ws:
                assert json.loads(await ws.recv())["type"] == "connection"


@pytest.fixture
def session_shop():
    with published() as made:
        yield made


# -- where it listens ------------------------------------------------------------------------------------------------


def reached(url: str) -> int:
    return httpx.get(f"{url}/healthz", timeout=10).status_code


@pytest.mark.parametrize(
    ("host", "also"),
    [
        ("127.0.0.1", []),
        ("127.0.0.2", []),
        ("localhost", []),
        ("::1", []),
        ("[::1]", []),
        ("::ffff:127.0.0.1", []),
        ("LOCALHOST.", []),
        ("0.0.0.0", ["127.0.0.1", "localhost"]),
        ("", ["127.0.0.1"]),
        ("::", ["127.0.0.1", "[::1]"]),
        ("0:0:0:0:0:0:0:0", ["127.0.0.1", "[::1]"]),
        ("[::]", ["127.0.0.1", "[::1]"]),
    ],
)
def test_the_announced_address_is_served(session_shop, host, also) -> None:
    with serving(session_shop, host=host, token="long-enough") as server:
        assert reached(server.url) == 200
        headers = {"Authorization": "Bearer long-enough"}
        assert httpx.get(f"{server.url}/api/build/sessions", headers=headers).status_code == 200
        for name in also:
            url = f"http://{name}:{server.port}"
            assert httpx.get(f"{url}/api/build/sessions", headers=headers).status_code == 200
            with httpx.stream("GET", f"{url}/api/build/stream/shop", headers=headers, timeout=10) as stream:
                assert stream.status_code == 200
                lines = stream.iter_lines()
                next(lines)
                (client,) = server._sessions.clients()
                assert "ffff" not in client.address
            until(lambda: not server._sessions.clients())


def test_every_form_of_an_address_of_this_machine_alone_needs_no_token() -> None:
    for host in ("127.9.9.9", "[::1]", "::ffff:127.0.0.1", "0:0:0:0:0:0:0:1", "Localhost."):
        ServerOptions(host=host).check()
    for host in ("", "0", "::ffff:10.0.0.1", "[::]", "localhost.evil.example", "fe80::1%eth0"):
        with pytest.raises(OptionsError, match="token"):
            ServerOptions(host=host).check()


def test_a_name_of_a_host_is_one(tmp_path) -> None:
    for name in ("builds.example.org", "::1", "[2001:db8::1]", "*", "my_host", "10.0.0.1"):
        ServerOptions(allow_hosts=(name,)).check()
    for name in ("builds.example.org:8080", "https://builds.example.org", "*.example.org", "", "a b", "a/b"):
        with pytest.raises(OptionsError, match="host"):
            ServerOptions(allow_hosts=(name,)).check()


# -- sockets of systemd ----------------------------------------------------------------------------------------------

# What systemd does: the sockets are files 3, 4 …, and the variables name this very process.
_HAND_OVER = """
import os, sys
files = [int(one) for one in sys.argv[1].split(",")]
for number, file in enumerate(files):
    os.dup2(file, 50 + number)
for number in range(len(files)):
    os.dup2(50 + number, 3 + number)
    os.set_inheritable(3 + number, True)
os.environ.update(LISTEN_PID=str(os.getpid()), LISTEN_FDS=str(len(files)))
os.execv(sys.executable, [sys.executable, "-m", "buildwidget", "serve", *sys.argv[2:]])
"""


@contextlib.contextmanager
def handed_over(project: Path, *listeners: socket.socket, token: str | None = None, more: Sequence[str] = ()):
    """A server that got these sockets, and the first line that it says."""
    files = [one.fileno() for one in listeners]
    environment = {name: value for name, value in os.environ.items() if name != "BUILDWIDGET_TOKEN"}
    if token is not None:
        environment["BUILDWIDGET_TOKEN"] = token
    command = [sys.executable, "-c", _HAND_OVER, ",".join(map(str, files)), str(project), *more]
    process = subprocess.Popen(
        command, pass_fds=files, cwd=ROOT, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    try:
        assert process.stdout is not None
        yield process, process.stdout.readline().strip()
    finally:
        if process.poll() is None:
            process.send_signal(signal.SIGTERM)
        process.communicate(timeout=20)


@pytest.fixture
def shop(tmp_path) -> Path:
    project = Project(tmp_path / "shop")
    project.checkpoint(components=[component("api", 40)])
    return project.root


def unix_listener(address: str) -> socket.socket:
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    listener.bind(address)
    listener.listen()
    return listener


@pytest.mark.parametrize("abstract", [False, True], ids=["path", "abstract"])
def test_a_socket_unit_with_a_unix_path(shop, tmp_path, abstract) -> None:
    path = f"buildwidget-{os.getpid()}" if abstract else str(tmp_path / "x.sock")
    with contextlib.closing(unix_listener(f"\0{path}" if abstract else path)) as listener:
        with handed_over(shop, listener) as (_, line):
            assert line == (f"unix:@{path}" if abstract else f"unix:{path}")
            where = {"uds": f"\0{path}" if abstract else path}
            with httpx.Client(transport=httpx.HTTPTransport(**where), timeout=10) as client:
                assert client.get("http://localhost/healthz").status_code == 200
                assert client.get("http://localhost/api/build/sessions").json()["sessions"][0]["session_id"] == "shop"
                assert client.get("http://evil.example/").status_code == 403
                with client.stream("GET", "http://localhost/api/build/stream/shop") as stream:
                    assert json.loads(next(stream.iter_lines()))["type"] == "connection"


def test_a_socket_unit_with_a_port(shop) -> None:
    for listener in (
        socket.create_server(("127.0.0.1", 0)),
        socket.create_server(("::1", 0), family=socket.AF_INET6),
    ):
        with listener, handed_over(shop, listener) as (_, line):
            assert line.endswith(f":{listener.getsockname()[1]}")
            assert reached(line) == 200


def test_a_socket_unit_with_several(shop, tmp_path) -> None:
    path = str(tmp_path / "x.sock")
    with contextlib.closing(unix_listener(path)) as first, socket.create_server(("127.0.0.1", 0)) as second:
        with handed_over(shop, first, second) as (_, line):
            assert line == f"http://127.0.0.1:{second.getsockname()[1]}"
            assert reached(line) == 200
            with httpx.Client(transport=httpx.HTTPTransport(uds=path)) as client:
                assert client.get("http://localhost/healthz").status_code == 200


def test_a_socket_unit_that_strangers_can_reach_needs_a_token(shop) -> None:
    for listener in (
        socket.create_server(("0.0.0.0", 0)),
        socket.create_server(("::", 0), family=socket.AF_INET6, dualstack_ipv6=True),
    ):
        with listener:
            with handed_over(shop, listener) as (process, line):
                assert line == ""
                assert process.wait(20) == 2
                assert process.stderr is not None
                assert "token" in process.stderr.read()
            with handed_over(shop, listener, token="long-enough") as (_, line):
                assert line == f"http://127.0.0.1:{listener.getsockname()[1]}"
                assert reached(line) == 200


def test_an_ipv6_socket_that_takes_no_ipv4_is_announced_as_it_is(shop) -> None:
    with socket.create_server(("::", 0), family=socket.AF_INET6) as listener:
        with handed_over(shop, listener, token="long-enough") as (_, line):
            assert line == f"http://[::1]:{listener.getsockname()[1]}"
            assert reached(line) == 200


def test_a_unit_that_hands_over_no_listening_socket_is_told_so(shop) -> None:
    one, other = socket.socketpair()
    with one, other, handed_over(shop, one) as (process, line):
        assert line == ""
        assert process.wait(20) == 2
        assert process.stderr is not None
        assert "ListenStream" in process.stderr.read()


# -- lists in a query ------------------------------------------------------------------------------------------------

IDS = ("api", "ui", "Auth, Sessions", "a+b", "ü", "x&y=z", "100%")


@pytest.mark.parametrize(
    ("query", "heard"),
    [
        ("components=api,ui", {"api", "ui"}),
        ("components=api&components=ui", {"api", "ui"}),
        ("components=api,ui&components=ü", {"api", "ui", "ü"}),
        ("components=api%2Cui", {"api", "ui"}),
        ("components=api,%20ui", {"api", "ui"}),
        ("components=Auth%2C%20Sessions", {"Auth, Sessions"}),
        ("components=Auth%2C+Sessions&components=api", {"Auth, Sessions", "api"}),
        ("components=Auth%2C%20Sessions,ui", {"Auth, Sessions", "ui"}),
        (urlencode([("components", one) for one in IDS]), set(IDS)),
        (urlencode({"components": ",".join(IDS[:2])}), {"api", "ui"}),
        ("components=a%2Bb", {"a+b"}),
        ("components=x%26y%3Dz&components=100%25", {"x&y=z", "100%"}),
        ("components=%C3%BC", {"ü"}),
        ("components=nothing", set()),
        ("components=", set(IDS)),
        ("components=,", set(IDS)),
        ("components=&components=api", {"api"}),
        ("topics=components&topics=features", set(IDS)),
        ("topics=features,components&topics=errors", set(IDS)),
        ("topics=components%2Cfeatures", set(IDS)),
        ("topics=errors&topics=terminal", set()),
        ("&".join(f"components=n{number}" for number in range(500)) + "&components=api", {"api"}),
        ("snapshot=0&snapshot=0&components=api&components=api", {"api"}),
    ],
)
async def test_repeated_fields_are_a_list(session_shop, query, heard) -> None:
    for name in IDS:
        session_shop.publish({"type": "component_update", "component_id": name})
    with serving(session_shop) as server:
        got = set()
        with httpx.stream("GET", f"{server.url}/api/build/stream/shop?{query}", timeout=10) as stream:
            lines = (json.loads(line) for line in stream.iter_lines())
            assert next(lines)["type"] == "connection"
            session_shop.publish(END)
            for message in lines:
                if message["type"] == "component_update":
                    got.add(message["component_id"])
                if message["type"] == "session_update" and message.get("seq"):
                    break
        assert got == heard
        if query.isascii() and len(query) < 4_000:
            async with connect(server, f"?{query}") as ws:
                assert json.loads(await ws.recv())["type"] == "connection"


END = {"type": "feature_update", "feature_id": "end"}  # a new item changes the counts, so a session_update follows


@pytest.mark.parametrize(
    "query",
    [
        "since=1&since=2&epoch=e",
        "epoch=a&epoch=b&since=1",
        "min_level=error&min_level=warning",
        "snapshot=0&snapshot=1",
        "topics=components&topics=nonsense",
        "components=%FF",
        "%FF=x",
        "&".join(f"components={number}" for number in range(1_001)),
        "&".join(f"f{number}=1" for number in range(2_000)),
    ],
    ids=lambda query: query[:30],
)
async def test_what_cannot_all_be_meant_is_refused(session_shop, query) -> None:
    with serving(session_shop) as server:
        answer = httpx.get(f"{server.url}/api/build/stream/shop?{query}")
        assert answer.status_code == 400
        assert answer.json()["message"]
        if len(query) < 4_000:
            async with connect(server, f"?{query}") as ws:
                with pytest.raises(websockets.ConnectionClosed) as closed:
                    await ws.recv()
                assert closed.value.rcvd is not None
                assert closed.value.rcvd.code == 1008


def test_of_two_tokens_that_differ_none_is_believed(session_shop) -> None:
    with serving(session_shop, token="read-token") as server:
        url = f"{server.url}/api/build/sessions?token=read-token"
        assert httpx.get(url).status_code == 200
        assert httpx.get(f"{url}&token=read-token").status_code == 200
        assert httpx.get(f"{url}&token=other-token").status_code == 401
        many = "&".join(f"components=n{number}" for number in range(900))
        assert httpx.get(f"{server.url}/api/build/stream/other?{many}&token=read-token").status_code == 404

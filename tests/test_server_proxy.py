"""The nginx configuration of docs/server.md, as it is written there, run by a real nginx before a real server."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import re
import shutil
import signal
import socket
import ssl
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Self

import httpx
import pytest
import websockets
from websockets.asyncio.client import connect as connect_to

from buildwidget import BuildSession
from tests.projects import Project, component, until
from tests.serving import of_type, published, read_until, serving, sessions_of

ROOT = Path(__file__).resolve().parents[1]
NAME = "builds.example.org"
READ, WRITE = "read-token-1", "write-token-1"


def documented() -> str:
    """The one block of nginx's lines in the documentation."""
    (block,) = re.findall(r"^```nginx\n(.*?)^```$", (ROOT / "docs" / "server.md").read_text(), re.DOTALL | re.MULTILINE)
    return block


def find_nginx() -> str:
    found = shutil.which(os.environ.get("NGINX_PROGRAM", "nginx"), path=os.environ.get("PATH", "") + ":/usr/sbin")
    assert found is not None, "nginx is missing: 'sh scripts/nginx.sh' installs it, or says how"
    return found


def free_ports(count: int) -> list[int]:
    with contextlib.ExitStack() as stack:
        held = [stack.enter_context(socket.create_server(("127.0.0.1", 0))) for _ in range(count)]
        return [one.getsockname()[1] for one in held]


class Nginx:
    """A running nginx with the documented lines; only ports, paths and the certificate are those of this machine."""

    def __init__(self, folder: Path, upstream: str, **changes: str) -> None:
        self.http_port, self.https_port = free_ports(2)
        folder.mkdir()
        openssl = shutil.which("openssl")
        assert openssl is not None, "openssl is missing: 'sh scripts/nginx.sh' installs it, or says how"
        self.certificate, key = folder / "cert.pem", folder / "key.pem"
        command = (
            f"{openssl} req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 2 -subj /CN={NAME}"
        )
        files = ["-addext", f"subjectAltName=DNS:{NAME}", "-keyout", str(key), "-out", str(self.certificate)]
        subprocess.run([*command.split(), *files], check=True, capture_output=True)
        lines = documented()
        mine = {
            "listen 80;": f"listen 127.0.0.1:{self.http_port};",
            "listen 443 ssl;": f"listen 127.0.0.1:{self.https_port} ssl;",
            f"/etc/ssl/{NAME}.pem": str(self.certificate),
            f"/etc/ssl/{NAME}.key": str(key),
            "http://127.0.0.1:8000/": upstream,
        }
        for old, new in {**mine, **changes}.items():
            assert lines.count(old) == 1, f"{old!r} is not in the documentation once"
            lines = lines.replace(old, new)
        places = "\n".join(
            f"    {kind}_temp_path {folder / kind};" for kind in ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")
        )
        self._log = folder / "error.log"
        configuration = folder / "nginx.conf"
        user = "user root;\n" if os.geteuid() == 0 else ""  # else its worker could not write below our folder
        configuration.write_text(
            f"{user}daemon off;\nworker_processes 1;\npid {folder / 'pid'};\nerror_log {self._log} warn;\n"
            f"events {{ worker_connections 256; }}\nhttp {{\n    access_log off;\n{places}\n{lines}\n}}\n"
        )
        self._process = subprocess.Popen(
            [find_nginx(), "-p", str(folder), "-e", str(self._log), "-c", str(configuration)], stderr=subprocess.PIPE
        )

    def __enter__(self) -> Self:
        def listens() -> bool:
            assert self._process.poll() is None, self._process.stderr.read().decode()  # type: ignore[union-attr]
            try:
                socket.create_connection(("127.0.0.1", self.https_port), 1).close()
            except OSError:
                return False
            return True

        try:
            until(listens, what="nginx listens")
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        if self._process.poll() is None:
            self._process.send_signal(signal.SIGTERM)
        self._process.communicate(timeout=10)

    def complaints(self) -> list[str]:
        """What nginx did not like. That it keeps a big request in a file is as it should be."""
        usual = ("[notice]", "a client request body is buffered to a temporary file")
        return [line for line in self._log.read_text().splitlines() if not any(one in line for one in usual)]


class Door:
    """One way in: http or https, with the name and the port that a browser would use."""

    def __init__(self, nginx: Nginx, scheme: str, path: str = "/builds") -> None:
        self.scheme, self.path = scheme, path
        self.port = nginx.https_port if scheme == "https" else nginx.http_port
        self.authority = f"{NAME}:{self.port}"
        self.origin = f"{scheme}://{self.authority}"
        self.tls = ssl.create_default_context(cafile=nginx.certificate) if scheme == "https" else None
        # There is no such name in the DNS: connect to this machine, and say the name.
        self.client = httpx.Client(
            base_url=f"{scheme}://127.0.0.1:{self.port}",
            headers={"Host": self.authority},
            verify=self.tls or True,
            timeout=10,
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.client.close()

    def get(self, path: str, **options: Any) -> httpx.Response:
        return self.client.get(self.path + path, extensions={"sni_hostname": NAME}, **options)

    def stream(self, path: str, **options: Any) -> Any:
        return self.client.stream("GET", self.path + path, extensions={"sni_hostname": NAME}, **options)

    def connect(self, path: str, **headers: str) -> Any:
        """A WebSocket as a page of this very address opens it."""
        scheme = self.scheme.replace("http", "ws")
        return connect_to(
            f"{scheme}://{self.authority}{self.path}{path}",
            host="127.0.0.1",
            port=self.port,
            ssl=self.tls,
            origin=self.origin,  # type: ignore[arg-type]
            additional_headers=headers,
            max_size=None,
        )


@pytest.fixture
def session() -> Iterator[BuildSession]:
    with published() as made:
        made.publish({"type": "component_update", "component_id": "api", "status": "running", "progress": 40})
        yield made


@pytest.fixture
def server(session):
    with serving(session, token=READ, write_token=WRITE, allow_hosts=(NAME,), trusted_proxies=("127.0.0.1",)) as made:
        yield made


@pytest.fixture
def nginx(server, tmp_path):
    with Nginx(tmp_path / "nginx", f"http://127.0.0.1:{server.port}/") as made:
        yield made
        assert made.complaints() == []


@pytest.fixture(params=["http", "https"])
def door(request, nginx):
    with Door(nginx, request.param) as made:
        yield made


def bearer(token: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {token}"}


async def test_a_browser_logs_in_and_follows(session, server, door) -> None:
    assert door.get("/").status_code == 401
    moved = door.get(f"?token={READ}")
    assert (moved.status_code, moved.headers["location"]) == (301, f"/builds/?token={READ}")
    page = door.get(f"/?token={READ}")
    assert page.status_code == 200
    attributes = [part.strip().lower() for part in page.headers["set-cookie"].split(";")]
    assert ("secure" in attributes) == (door.scheme == "https")
    assert {"samesite=lax", "httponly"} <= set(attributes)
    cookie = {"Cookie": page.headers["set-cookie"].split(";")[0]}
    assert door.get("/static/page.js", headers=cookie).status_code == 200
    (row,) = door.get("/api/build/sessions", headers={**cookie, "Origin": door.origin}).json()["sessions"]
    assert door.get(f"/{row['page']}", headers=cookie).status_code == 200
    async with door.connect(f"/{row['stream']}?snapshot=1", **cookie) as ws:
        await read_until(ws, of_type("snapshot"))
        (client,) = sessions_of(server).clients()
        assert client.address == "127.0.0.1"  # nginx's word for it, which has no port
        session.publish({"type": "component_update", "component_id": "api", "progress": 60})
        await read_until(ws, of_type("component_update"))
        await ws.send('{"type":"ping","id":1}')
        await read_until(ws, of_type("pong"))


async def test_strangers_stay_outside(door, nginx) -> None:
    stream = "/api/build/stream/shop"
    with pytest.raises(websockets.InvalidStatus) as refused:
        async with door.connect(stream):
            pass
    assert refused.value.response.status_code == 401
    other = nginx.http_port if door.scheme == "https" else nginx.https_port
    for origin in ("https://evil.example", f"{door.scheme}://{NAME}", f"{door.scheme}://{NAME}:{other}", "null"):
        answer = door.get(stream, headers={**bearer(READ), "Origin": origin})
        assert (answer.status_code, answer.json()["error"]) == (403, "origin")
    answer = door.get(stream, headers={**bearer(READ), "Host": "evil.example"})
    assert (answer.status_code, answer.json()["error"]) == (403, "host")


@pytest.mark.parametrize("accept", ["text/event-stream", "application/x-ndjson"])
def test_a_stream_is_not_held_back(session, server, door, accept) -> None:
    with door.stream("/api/build/stream/shop", headers={**bearer(READ), "Accept": accept}) as response:
        assert response.headers["content-type"].startswith(accept)
        lines = (line for line in response.iter_lines() if line and not line.startswith("id: "))
        read = lambda: json.loads(next(lines).removeprefix("data: "))  # noqa: E731
        assert read()["type"] == "connection"
        # Each is read before the next is sent: a proxy that collects would wait for ever.
        for progress in (50, 60, 70):
            seq = session.publish({"type": "component_update", "component_id": "api", "progress": progress})
            while (got := read()).get("seq", 0) < seq:
                pass
            assert got["seq"] == seq
    until(lambda: not sessions_of(server).clients(), what="nginx tells that the reader has gone")


def test_publishing_and_head(session, server, door) -> None:
    url = "/builds/api/build/sessions/shop/events"
    body = b'\xef\xbb\xbf{"type":"terminal_output","output":"' + b"x" * 900_000 + b'\\n"}'
    answer = door.client.post(url, content=body, headers=bearer(WRITE), extensions={"sni_hostname": NAME})
    assert answer.json()["seq"] == session.seq
    assert door.client.post(url, content=body, extensions={"sni_hostname": NAME}).status_code == 401
    for path in ("/", "/healthz", "/metrics", "/api/build/stream/shop", "/api/build/status/shop"):
        head = door.client.head(f"/builds{path}", headers=bearer(READ), extensions={"sni_hostname": NAME})
        assert (head.status_code, head.content) == (200, b"")
    assert door.get("/healthz").json() == {"status": "ok"}
    assert not sessions_of(server).clients()


@pytest.mark.parametrize(
    "name", ["my shop", "R&D #2", "a?b", "x%2Fy", "100%25", "ümläut", "a+b;c,d", "back\\slash", "...", 'q"<b>']
)
async def test_names_of_any_signs_come_through(tmp_path, name) -> None:
    project = Project(tmp_path / name)
    project.checkpoint(components=[component("api", 40)])
    with contextlib.closing(BuildSession(project.root).open()) as session:
        until(lambda: session.loaded)
        with serving(session, allow_hosts=(NAME,)) as server:
            with Nginx(tmp_path / "nginx", f"http://127.0.0.1:{server.port}/") as nginx, Door(nginx, "http") as door:
                (row,) = door.get("/api/build/sessions").json()["sessions"]
                assert row["session_id"] == session.session_id
                async with door.connect(f"/{row['stream']}?components=a%2Cb&components=api") as ws:
                    got = await read_until(ws, of_type("component_update"))
                    assert got[-1]["component_id"] == "api"
                assert door.get(f"/{row['page']}").status_code == 200
                status = door.get(f"/{row['stream'].replace('/stream/', '/status/')}")
                assert status.json()["session_id"] == session.session_id


async def test_a_proxy_that_speaks_http_1_0_and_drops_the_port(session, tmp_path) -> None:
    """What nginx does without the lines that the documentation has."""
    older = {"proxy_http_version 1.1;": "", "Host $http_host;": "Host $host;"}
    with serving(session, allow_hosts=(NAME,)) as server:
        with Nginx(tmp_path / "nginx", f"http://127.0.0.1:{server.port}/", **older) as nginx:
            for scheme in ("http", "https"):
                with Door(nginx, scheme) as door:
                    with door.stream("/api/build/stream/shop", headers={"Origin": door.origin}) as response:
                        assert response.status_code == 200
                        lines = response.iter_lines()
                        types = [json.loads(next(lines))["type"] for _ in range(3)]
                        assert types[0] == "connection"
                    assert door.get("/", headers={"Origin": door.origin}).status_code == 200
                    assert door.get("/api/build/status/shop").json()["session_id"] == "shop"


async def test_a_prefix_that_the_server_knows(session, tmp_path) -> None:
    """With ``--root-path`` it is the same whether the proxy takes the prefix away or not."""
    with serving(session, root_path="/builds", allow_hosts=(NAME,)) as server:
        for number, end in enumerate(("/", "")):
            with Nginx(tmp_path / f"nginx-{number}", f"http://127.0.0.1:{server.port}{end}") as nginx:
                with Door(nginx, "http") as door:
                    assert door.get("/").status_code == 200
                    assert door.get("/static/page.css").status_code == 200
                    async with door.connect("/api/build/stream/shop") as ws:
                        await read_until(ws, of_type("connection"))


async def test_a_unix_socket_behind_it(tmp_path) -> None:
    from tests.test_server_addresses import handed_over, unix_listener

    project = Project(tmp_path / "shop")
    project.checkpoint(components=[component("api", 40)])
    path = tmp_path / "buildwidget.sock"
    lines = re.findall(r"`proxy_pass (http://unix:\S+?);`", (ROOT / "docs" / "server.md").read_text())
    (upstream,) = [line.replace("/run/buildwidget.sock", str(path)) for line in lines]
    with contextlib.closing(unix_listener(str(path))) as listener:
        with handed_over(project.root, listener, more=["--allow-host", NAME]) as (_, line):
            assert line == f"unix:{path}"
            with Nginx(tmp_path / "nginx", upstream) as nginx, Door(nginx, "https") as door:
                assert door.get("/", headers={"Origin": door.origin}).status_code == 200
                async with asyncio.timeout(10), door.connect("/api/build/stream/shop") as ws:
                    await read_until(ws, of_type("component_update"))

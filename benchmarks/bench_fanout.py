"""The server's CPU time for sending one message to many clients.

    python -m benchmarks.bench_fanout [--clients 1000] [--rounds 5]

Four servers in one run, each in a process of its own, interleaved over the rounds, with the same clients (one other
process that reads everything) and messages of the same size:

- ``C send(2)``: the floor, `peers/fanout.c`: one send per client and message, and nothing else;
- ``original``: FastAPI, and ``await websocket.send_json(…)`` for one client after the other;
- ``buildwidget``: the product, with numbering, filters, backpressure and prepared frames;
- ``buildwidget, bursts``: the same with 20 messages in each tick.

The figure is the server's CPU time (user and system), divided by the number of messages that the clients received.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import resource
import selectors
import shutil
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

HERE = Path(__file__).parent
EVERY_MS = 30  # longer than a tick of the server, so that messages are not batched
MESSAGES = 40  # in one measurement
BURST = 20


def cpu() -> float:
    used = resource.getrusage(resource.RUSAGE_SELF)
    return used.ru_utime + used.ru_stime


# -- the servers: each reads "go ROUNDS MS SIZE" from stdin and answers with CPU seconds --------------------------


async def commands(send, ready) -> None:
    """Execute commands from stdin, and print the CPU time of each."""
    loop = asyncio.get_running_loop()
    reader = asyncio.StreamReader()
    await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(reader), sys.stdin)
    await ready()
    print("ready", flush=True)
    while line := (await reader.readline()).split():
        rounds, ms, size = map(int, line[1:4])
        before = cpu()
        for number in range(rounds):
            await asyncio.sleep(ms / 1000)
            await send(number, size)
        await asyncio.sleep(0.1)
        print(f"{cpu() - before:.6f}", flush=True)


async def serve_original(clients: int) -> None:
    import uvicorn
    from fastapi import FastAPI, WebSocket, WebSocketDisconnect

    app = FastAPI()
    sockets: list[WebSocket] = []

    @app.websocket("/api/build/stream/{session_id}")
    async def stream(websocket: WebSocket, session_id: str) -> None:
        await websocket.accept()
        sockets.append(websocket)
        try:
            while True:
                await websocket.receive_text()
        except WebSocketDisconnect:
            sockets.remove(websocket)

    # With `from __future__ import annotations` the annotations are strings, and FastAPI cannot resolve local classes.
    stream.__annotations__.update(websocket=WebSocket, session_id=str)
    app.router.routes.clear()
    app.websocket("/api/build/stream/{session_id}")(stream)

    async def send(number: int, size: int) -> None:
        message = {"type": "component_update", "component_id": "api", "progress": number, "padding": ""}
        message["padding"] = "x" * max(0, size - 4 - len(json.dumps(message)))
        for websocket in tuple(sockets):
            await websocket.send_json(message)

    async def ready() -> None:
        while len(sockets) < clients:
            await asyncio.sleep(0.01)

    listener = socket.create_server(("127.0.0.1", 0), backlog=2048)
    config = uvicorn.Config(app, log_config=None, access_log=False, ws_ping_interval=None, ws_per_message_deflate=False)
    print(listener.getsockname()[1], flush=True)
    await asyncio.gather(uvicorn.Server(config).serve(sockets=[listener]), commands(send, ready))


async def serve_product(clients: int, burst: int) -> None:
    import uvicorn

    from buildwidget.server import ServerOptions, Sessions, create_app
    from buildwidget.server.run import _config, _listen
    from buildwidget.session import BuildSession

    options = ServerOptions(port=0, open_sessions=True)
    session = BuildSession(None, session_id="bench").open()
    session.publish({"type": "component_update", "component_id": "api", "status": "running", "progress": 50})
    sessions = Sessions(options)
    sessions.add(session)
    app = create_app(options=options, sessions=sessions)
    count = 0

    async def send(number: int, size: int) -> None:
        nonlocal count
        for _ in range(burst):
            count += 1
            session.publish({"type": "component_update", "component_id": "api", "metadata": {"n": f"{count:06d}"}})

    async def ready() -> None:
        while len(sessions.clients("bench")) < clients:
            await asyncio.sleep(0.01)

    listener = _listen(options)
    print(listener.getsockname()[1], flush=True)
    await asyncio.gather(uvicorn.Server(_config(app, options)).serve(sockets=[listener]), commands(send, ready))


# -- the clients: one process that reads all sockets and counts -----------------------------------------------------


def clients_main(port: int, clients: int, websocket: bool, size: int) -> None:
    """Connect, then answer every line on stdin with the number of messages received since the previous one."""
    selector = selectors.DefaultSelector()
    hello = (
        b"GET /api/build/stream/bench?topics=components HTTP/1.1\r\nHost: 127.0.0.1\r\nUpgrade: websocket\r\n"
        b"Connection: Upgrade\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n"
    )
    if not websocket:
        hello = b""
    for _ in range(clients):
        one = socket.create_connection(("127.0.0.1", port))
        if hello:
            one.sendall(hello.replace(b"?topics=components", b""))
        one.setblocking(False)
        selector.register(one, selectors.EVENT_READ)
    selector.register(sys.stdin, selectors.EVENT_READ)
    total = 0
    tails: dict[object, bytes] = {}
    mark = b'"type":"component_update"' if websocket else None
    if websocket and size:  # the original spaces its JSON
        mark = b"component_update"
    while True:
        for key, _ in selector.select():
            if key.fileobj is sys.stdin:
                if not sys.stdin.readline():
                    return
                print(total if mark else total // size, flush=True)
                total = 0
                continue
            data = key.fileobj.recv(1 << 18)
            if not data:
                selector.unregister(key.fileobj)
            elif mark is None:
                total += len(data)
            else:
                data = tails.get(key.fileobj, b"") + data
                total += data.count(mark)
                tails[key.fileobj] = data[-(len(mark) - 1) :]


class Server:
    """One server and its clients."""

    def __init__(self, name: str, command: list[str], clients: int, websocket: bool, size: int) -> None:
        self.name, self.size = name, size
        pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True, "bufsize": 1}
        self.server = subprocess.Popen(command, **pipes)
        port = self.server.stdout.readline().strip()
        me = [sys.executable, "-m", "benchmarks.bench_fanout", "--as", "clients"]
        options = [
            "--port",
            port,
            "--clients",
            str(clients),
            "--size",
            str(size),
            *(["--websocket"] if websocket else []),
        ]
        self.clients = subprocess.Popen([*me, *options], **pipes)
        assert self.server.stdout.readline().strip() == "ready", f"{name} did not start"
        time.sleep(0.3)
        self.count()

    def count(self) -> int:
        self.clients.stdin.write("\n")
        return int(self.clients.stdout.readline())

    def measure(self) -> tuple[float, int]:
        """Return the CPU seconds and the number of messages delivered."""
        self.server.stdin.write(f"go {MESSAGES} {EVERY_MS} {self.size}\n")
        seconds = float(self.server.stdout.readline())
        time.sleep(0.2)
        return seconds, self.count()

    def stop(self) -> None:
        for process in (self.clients, self.server):
            process.kill()
            process.wait()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--clients", type=int, default=1000)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--quick", action="store_true")
    for name in ("--as", "--port", "--size"):
        parser.add_argument(name, dest=name.strip("-").replace("as", "role"), default="0", help=argparse.SUPPRESS)
    parser.add_argument("--websocket", action="store_true", help=argparse.SUPPRESS)
    parser.add_argument("--burst", type=int, default=1, help=argparse.SUPPRESS)
    args = parser.parse_args()
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    if args.role == "clients":
        clients_main(int(args.port), args.clients, args.websocket, int(args.size))
        return
    if args.role in {"original", "product"}:
        import uvloop

        serve = serve_original(args.clients) if args.role == "original" else serve_product(args.clients, args.burst)
        uvloop.run(serve)
        return
    if args.quick:
        args.rounds = 2
    compare(args.clients, args.rounds)


def compare(clients: int, rounds: int) -> None:
    from buildwidget.server.wire import text_frame
    from buildwidget.session import BuildSession

    session = BuildSession(None, session_id="bench").open()
    session.publish({"type": "component_update", "component_id": "api", "status": "running", "progress": 50})
    before = session.seq
    session.publish({"type": "component_update", "component_id": "api", "metadata": {"n": "000001"}})
    (row,) = session.since(before)
    size = len(text_frame(row.data))
    me = [sys.executable, "-m", "benchmarks.bench_fanout", "--clients", str(clients), "--as"]
    servers: list[Server] = []
    with tempfile.TemporaryDirectory() as folder:
        try:
            compiler = shutil.which("gcc") or shutil.which("cc")
            if compiler:
                floor = str(Path(folder) / "fanout")
                subprocess.run([compiler, "-O2", "-o", floor, str(HERE / "peers" / "fanout.c")], check=True)
                servers.append(Server("C send(2)", [floor, str(clients)], clients, False, size))
            else:
                print("no C compiler (gcc): the floor is left out")
            servers.append(Server("original", [*me, "original"], clients, True, size))
            servers.append(Server("buildwidget", [*me, "product"], clients, True, size))
            servers.append(Server("buildwidget, bursts", [*me, "product", "--burst", str(BURST)], clients, True, size))
            costs: dict[str, list[float]] = {server.name: [] for server in servers}
            for _ in range(rounds):
                for server in servers:
                    seconds, delivered = server.measure()
                    wanted = clients * MESSAGES * (BURST if "bursts" in server.name else 1)
                    if delivered != wanted:
                        print(f"  {server.name}: {delivered} of {wanted} messages were received")
                    costs[server.name].append(seconds / max(delivered, 1) * 1e6)
        finally:
            for server in servers:
                server.stop()
    medians = {name: statistics.median(found) for name, found in costs.items()}
    floor, original = medians.get("C send(2)"), medians["original"]
    print(f"{clients:,} clients, messages of {size} bytes, medians of {rounds} rounds; µs of server CPU per delivery")
    for name, value in medians.items():
        ratio = f"{value / floor:5.2f} × C" if floor else ""
        print(f"  {name:20} {value:7.2f}   {ratio:10}  {value / original:5.2f} × original")


if __name__ == "__main__":
    sys.path.insert(0, os.fspath(HERE.parent))
    main()

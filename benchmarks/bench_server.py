"""The latency of the server, the effect of a slow client on the others, and the memory of an idle client.

    python -m benchmarks.bench_server [--files 300] [--idle 10000]

- *latency*: from the replacement of a file until a WebSocket client in another process has the message. The floor is a
  ping of the protocol through the same server and client, in the same run.
- *slow client*: 100 clients read, and one more does not. The delay from publishing to each reader, with and without it,
  alternating; and the memory of the server.
- *idle*: the memory of the server per idle client.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import resource
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import psutil

HELLO = (
    b"GET /api/build/stream/{id}?{query} HTTP/1.1\r\nHost: 127.0.0.1\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
    b"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n"
)


def hello(session_id: str, query: str = "snapshot=1") -> bytes:
    return HELLO.replace(b"{id}", session_id.encode()).replace(b"{query}", query.encode())


# -- the server, in a process of its own ------------------------------------------------------------------------------


async def server_main(project: str) -> None:
    """Serve a project and a session without files; commands on stdin, answers on stdout."""
    import uvicorn

    from buildwidget.server import ServerOptions, Sessions, create_app
    from buildwidget.server.listening import listen
    from buildwidget.server.run import _config, _raise_file_limit
    from buildwidget.session import BuildSession

    _raise_file_limit()
    options = ServerOptions(port=0)
    sessions = Sessions(options)
    watched = sessions.open("shop", project)
    talking = BuildSession(None, session_id="talk").open()
    sessions.add(talking)
    server = uvicorn.Server(_config(create_app(options=options, sessions=sessions), options))
    listener = listen(options)
    serving = asyncio.create_task(server.serve(sockets=[listener]))
    loop = asyncio.get_running_loop()
    reader = asyncio.StreamReader()
    await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(reader), sys.stdin)
    while not (server.started and watched.loaded):
        await asyncio.sleep(0.01)
    print(listener.getsockname()[1], flush=True)
    while line := (await reader.readline()).split():
        match line:
            case [b"clients"]:
                print(len(sessions.clients()), sum(c.writer.paused for c in sessions.clients()), flush=True)
            case [b"fill"]:  # output, which the readers have not asked for
                for number in range(400):
                    talking.write_terminal(f"{number:06d} {'x' * 120}\n" * 480)
                    await asyncio.sleep(0.01)
                print("filled", flush=True)
            case [b"talk", seconds]:
                padding = "x" * 4000
                end = loop.time() + float(seconds)
                number = 0
                while loop.time() < end:
                    number += 1
                    data = {"sent": time.monotonic(), "padding": padding}
                    talking.publish({"type": "component_update", "component_id": f"c{number % 50}", "metadata": data})
                    await asyncio.sleep(0.02)
                print(number, flush=True)
    server.should_exit = True
    await serving


class Server:
    def __init__(self, project: Path) -> None:
        command = [sys.executable, "-m", "benchmarks.bench_server", "--as", "server", "--project", str(project)]
        self.process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, bufsize=1)
        self.port = int(self.process.stdout.readline())
        self.memory = psutil.Process(self.process.pid).memory_info

    def ask(self, line: str) -> list[str]:
        self.process.stdin.write(line + "\n")
        return self.process.stdout.readline().split()

    def stop(self) -> None:
        self.process.kill()
        self.process.wait()


# -- what is measured ------------------------------------------------------------------------------------------------


def percentile(values: list[float], share: float) -> float:
    return sorted(values)[min(len(values) - 1, int(share * len(values)))]


def latency(server: Server, project: Path, writes: int) -> None:
    from websockets.sync.client import connect

    folder = project / ".buildrunner" / "checkpoints"
    took: list[float] = []
    pings: list[float] = []
    with connect(f"ws://127.0.0.1:{server.port}/api/build/stream/shop?snapshot=1", compression=None) as ws:
        for number in range(writes):
            text = checkpoint(number)
            temporary = folder / "next.tmp"
            temporary.write_text(text)
            started = time.perf_counter()
            os.replace(temporary, folder / "checkpoint_20260301_090000_000001.json")
            while True:
                message = json.loads(ws.recv(timeout=10))
                if message["type"] == "component_update" and message["name"] == f"Number {number}":
                    break
            took.append((time.perf_counter() - started) * 1000)
            time.sleep(0.06)
            started = time.perf_counter()
            ws.send(json.dumps({"type": "ping", "id": number}))
            while json.loads(ws.recv(timeout=10))["type"] != "pong":
                pass
            pings.append((time.perf_counter() - started) * 1000)
    floor = statistics.median(pings)
    print(f"latency, {writes} files replaced, ms from the rename to the client")
    print(f"  ping and pong (floor)   median {floor:6.2f}   p99 {percentile(pings, 0.99):6.2f}")
    print(
        f"  file → client           median {statistics.median(took):6.2f}   p99 {percentile(took, 0.99):6.2f}"
        f"   {statistics.median(took) / floor:.1f} × the floor"
    )


def checkpoint(number: int) -> str:
    parts = [
        {
            "id": f"part-{at}",
            "name": f"Number {number}" if at == 0 else f"Part {at}",
            "status": "in_progress",
            "progress": 50,
        }
        for at in range(20)
    ]
    body = {"id": "checkpoint_20260301_090000_000001", "timestamp": "2026-03-01T09:00:00Z", "phase": "build_1_start"}
    return json.dumps({**body, "tasks_completed": [], "files_created": [], "status": "created", "components": parts})


async def readers_main(port: int, clients: int) -> None:
    """Run clients that read; answer every line on stdin with the delays since the previous one, in seconds."""
    from websockets.asyncio.client import connect

    delays: list[float] = []
    ready = 0

    async def read() -> None:
        nonlocal ready
        url = f"ws://127.0.0.1:{port}/api/build/stream/talk?snapshot=1&topics=components"
        async with connect(url, compression=None, max_size=None, ping_interval=None) as ws:
            await ws.recv()
            await ws.recv()
            ready += 1
            async for text in ws:
                now = time.monotonic()
                at = text.find('"sent":')
                if at > 0:
                    delays.append(now - float(text[at + 7 : text.index(",", at)]))

    tasks = [asyncio.create_task(read()) for _ in range(clients)]
    while ready < clients:
        await asyncio.sleep(0.01)
    print("ready", flush=True)
    loop = asyncio.get_running_loop()
    reader = asyncio.StreamReader()
    await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(reader), sys.stdin)
    while await reader.readline():
        print(json.dumps(delays), flush=True)
        delays.clear()
    for task in tasks:
        task.cancel()


def slow_client(server: Server, rounds: int) -> None:
    command = [sys.executable, "-m", "benchmarks.bench_server", "--as", "readers", "--port", str(server.port)]
    readers = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, bufsize=1)
    try:
        readers.stdout.readline()
        server.ask("talk 2")
        readers.stdin.write("\n")
        readers.stdout.readline()
        found: dict[str, list[list[float]]] = {"without": [], "with": []}
        memory: list[float] = []
        for _ in range(rounds):
            for which, delays in found.items():
                server.ask("fill")
                before = server.memory().rss
                stalled = None
                if which == "with":
                    stalled = socket.socket()
                    stalled.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
                    stalled.connect(("127.0.0.1", server.port))
                    stalled.sendall(hello("talk"))
                    server.ask("fill")  # until its socket is full
                    readers.stdin.write("\n")
                    readers.stdout.readline()
                server.ask("talk 5")
                paused = int(server.ask("clients")[1])
                if stalled is not None:
                    memory.append((server.memory().rss - before) / 2**20)
                    if not paused:
                        print("  (the client that does not read was not held back yet)")
                    stalled.close()
                time.sleep(0.3)
                readers.stdin.write("\n")
                delays.append(json.loads(readers.stdout.readline()))
    finally:
        readers.kill()
        readers.wait()
    print(
        f"slow client: 100 that read, 4 KB fifty times a second, {rounds} rounds in turns; "
        "ms from publishing to reading"
    )
    tails = {}
    for which, delays in found.items():
        tails[which] = statistics.median(percentile(d, 0.99) for d in delays) * 1000
        middle = statistics.median(statistics.median(d) for d in delays) * 1000
        print(f"  {which:8} one that does not   median {middle:6.2f}   p99 {tails[which]:6.2f}")
    print(
        f"  p99 changes by {100 * (tails['with'] / tails['without'] - 1):+.0f} %, "
        f"memory by {max(memory):+.1f} MiB at most"
    )


def idle(server: Server, clients: int) -> None:
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    before = server.memory().rss
    sockets = []
    request = hello("shop")
    for number in range(clients):
        one = socket.socket()
        one.bind((f"127.0.0.{2 + number % 20}", 0))  # one address does not have enough ports
        one.connect(("127.0.0.1", server.port))
        one.sendall(request)
        sockets.append(one)
        if number % 200 == 199:
            for each in sockets[-200:]:
                each.recv(65_536)
    end = time.monotonic() + 60
    while int(server.ask("clients")[0]) < clients and time.monotonic() < end:
        time.sleep(0.1)
    time.sleep(1)
    held = int(server.ask("clients")[0])
    each = (server.memory().rss - before) / max(held, 1) / 1024
    print(f"idle: {held:,} clients that only wait, {each:.1f} KiB of the server's memory each")
    for one in sockets:
        one.close()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--files", type=int, default=300)
    parser.add_argument("--idle", type=int, default=10_000)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--only", choices=["latency", "slow", "idle"])
    parser.add_argument("--as", dest="role", help=argparse.SUPPRESS)
    parser.add_argument("--project", help=argparse.SUPPRESS)
    parser.add_argument("--port", type=int, help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.role:
        import uvloop

        uvloop.run(server_main(args.project) if args.role == "server" else readers_main(args.port, 100))
        return
    with tempfile.TemporaryDirectory() as folder:
        project = Path(folder) / "shop"
        (project / ".buildrunner" / "checkpoints").mkdir(parents=True)
        (project / ".buildrunner" / "checkpoints" / "checkpoint_20260301_090000_000001.json").write_text(checkpoint(-1))
        for name, measure in {
            "latency": lambda server: latency(server, project, args.files),
            "slow": lambda server: slow_client(server, args.rounds),
            "idle": lambda server: idle(server, args.idle),
        }.items():
            if args.only in {None, name}:
                server = Server(project)
                try:
                    measure(server)
                finally:
                    server.stop()


if __name__ == "__main__":
    main()

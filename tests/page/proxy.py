"""A small reverse proxy: it takes a path prefix away, cuts connections, and lets WebSockets through, or not."""

from __future__ import annotations

import asyncio
import contextlib
import threading
from typing import Self


class Proxy:
    """Forwards ``http://127.0.0.1:port<prefix>/…`` to a port of this machine, in a thread of its own.

    Parameters
    ----------
    target
        The port behind.
    prefix
        The first part of every path, such as ``/builds``; paths without it are answered with 404.
    websockets
        Whether upgrades are passed on.
    policy
        What is added to the content security policy of every answer.
    """

    def __init__(self, target: int, prefix: str = "", *, websockets: bool = True, policy: str = "") -> None:
        self.target, self.prefix, self.websockets, self.policy = target, prefix, websockets, policy
        self.open = True
        self._writers: set[asyncio.StreamWriter] = set()
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        self._server = asyncio.run_coroutine_threadsafe(
            asyncio.start_server(self._serve, "127.0.0.1", 0), self._loop
        ).result(5)
        self.port: int = self._server.sockets[0].getsockname()[1]
        self.url = f"http://127.0.0.1:{self.port}{self.prefix}"
        return self

    def __exit__(self, *_: object) -> None:
        async def end() -> None:
            self._server.close()
            self._cut()
            others = [task for task in asyncio.all_tasks() if task is not asyncio.current_task()]
            for task in others:
                task.cancel()
            await asyncio.gather(*others, return_exceptions=True)
            self._cut()  # also what was accepted meanwhile
            for _ in range(5):
                await asyncio.sleep(0.002)  # an aborted transport closes its socket a turn later

        asyncio.run_coroutine_threadsafe(end(), self._loop).result(5)
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(5)
        self._loop.close()

    def cut(self, *, stay_shut: bool = False) -> None:
        """End every connection at once; with ``stay_shut`` new ones too, until `mend`."""
        self.open = not stay_shut
        self._loop.call_soon_threadsafe(self._cut)

    def mend(self) -> None:
        """Let connections through again."""
        self.open = True

    def _cut(self) -> None:
        for writer in self._writers:
            writer.transport.abort()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._writers.add(writer)
        try:
            if not self.open:
                return
            head = await reader.readuntil(b"\r\n\r\n")
            method, path, rest = head.split(b" ", 2)
            prefix = self.prefix.encode()
            upgrade = b"upgrade: websocket" in head.lower()
            if not path.startswith(prefix + b"/") or (upgrade and not self.websockets):
                writer.write(b"HTTP/1.1 404 Not Found\r\ncontent-length: 0\r\nconnection: close\r\n\r\n")
                await writer.drain()
                return
            # One request per connection: then what follows need not be understood.
            if not upgrade:
                rest = rest.replace(b"\r\n", b"\r\nconnection: close\r\n", 1).replace(
                    b"Connection: keep-alive\r\n", b""
                )
            behind, ahead = await asyncio.open_connection("127.0.0.1", self.target)
            self._writers.add(ahead)
            try:
                ahead.write(b" ".join([method, path[len(prefix) :], rest]))
                await asyncio.wait(
                    [asyncio.create_task(_pump(reader, ahead)), asyncio.create_task(self._answer(behind, writer))],
                    return_when=asyncio.FIRST_COMPLETED,
                )
            finally:
                self._writers.discard(ahead)
                ahead.close()
        except (OSError, asyncio.IncompleteReadError, ValueError):
            pass
        finally:
            self._writers.discard(writer)
            writer.close()

    async def _answer(self, behind: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if self.policy:
            head = await behind.readuntil(b"\r\n\r\n")
            name = b"content-security-policy: "
            writer.write(head.replace(name, name + self.policy.encode() + b"; "))
        await _pump(behind, writer)


async def _pump(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    with contextlib.suppress(OSError):
        while data := await reader.read(65_536):
            writer.write(data)
            await writer.drain()

"""RFC 6455, on our protocol classes over a real socket: the cases of the Autobahn test suite, groups 1–7, 9 and 10.

Autobahn's own runner needs Python 2.7, so its cases are written out here, with its numbers, against an echo application
under uvicorn and uvloop. The client is a bare socket: it can send what no library would.
"""

from __future__ import annotations

import contextlib
import os
import socket
import struct
import threading
import time
from typing import Any

import pytest
import uvicorn

from buildwidget.server._uvicorn import plain_websocket, protocols
from tests.projects import until

TEXT, BINARY, CLOSE, PING, PONG, CONT = 0x1, 0x2, 0x8, 0x9, 0xA, 0x0


async def echo(scope: Any, receive: Any, send: Any) -> None:
    if scope["type"] != "websocket":
        return
    await receive()
    await send({"type": "websocket.accept"})
    while (message := await receive())["type"] == "websocket.receive":
        await send({"type": "websocket.send", "text": message.get("text"), "bytes": message.get("bytes")})


@pytest.fixture(scope="module", params=["fast", "plain"])
def port(request):
    http, ws = protocols()
    if request.param == "plain":
        ws = plain_websocket()
    listener = socket.create_server(("127.0.0.1", 0))
    options: dict[str, Any] = {"http": http, "ws": ws, "log_config": None, "lifespan": "off"}
    server = uvicorn.Server(uvicorn.Config(echo, ws_ping_interval=None, ws_per_message_deflate=False, **options))
    thread = threading.Thread(target=lambda: server.run([listener]), daemon=True)
    thread.start()
    until(lambda: server.started)
    yield listener.getsockname()[1], ws is plain_websocket()
    server.should_exit = True
    thread.join(10)


def frame(opcode: int, payload: bytes = b"", *, fin: bool = True, rsv: int = 0, mask: bool = True) -> bytes:
    head = bytes([(0x80 if fin else 0) | rsv << 4 | opcode])
    size, bit = len(payload), 0x80 if mask else 0
    if size < 126:
        head += bytes([bit | size])
    elif size < 65_536:
        head += bytes([bit | 126]) + struct.pack("!H", size)
    else:
        head += bytes([bit | 127]) + struct.pack("!Q", size)
    if not mask:
        return head + payload
    key = os.urandom(4)
    whole = int.from_bytes(payload, "big") ^ int.from_bytes((key * (size // 4 + 1))[:size], "big")
    return head + key + whole.to_bytes(size, "big")


class Peer:
    """The other side of one connection."""

    def __init__(self, port: int, plain: bool) -> None:
        self.plain = plain
        self.seen: list[tuple[int, bytes]] = []
        self.socket = socket.create_connection(("127.0.0.1", port), timeout=20)
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.buffer = b""
        self.socket.sendall(
            b"GET / HTTP/1.1\r\nHost: localhost\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
            b"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n"
        )
        while b"\r\n\r\n" not in self.buffer:
            self.buffer += self.socket.recv(4096)
        head, _, self.buffer = self.buffer.partition(b"\r\n\r\n")
        assert head.startswith(b"HTTP/1.1 101 ")
        assert b"s3pPLMBiTxaQ9kYGzzhZRbK+xOo=" in head

    def send(self, *data: bytes, piece: int = 0) -> None:
        for one in data:
            if piece:
                for at in range(0, len(one), piece):
                    self.socket.sendall(one[at : at + piece])
            else:
                self.socket.sendall(one)

    def _take(self, size: int) -> bytes | None:
        parts = [self.buffer]
        have = len(self.buffer)
        while have < size:
            try:
                more = self.socket.recv(1 << 20)
            except ConnectionResetError:
                return None
            if not more:
                return None
            parts.append(more)
            have += len(more)
        whole = b"".join(parts)
        self.buffer = whole[size:]
        return whole[:size]

    def read(self) -> tuple[int, bytes] | None:
        """The next frame: opcode and payload; None at the end."""
        if self.seen:
            return self.seen.pop()
        head = self._take(2)
        if head is None:
            return None
        assert head[0] & 0x70 == 0, "no reserved bits"
        assert head[1] & 0x80 == 0, "a server does not mask"
        assert head[0] & 0x80, "whole frames"
        size = head[1]
        if size == 126:
            size = struct.unpack("!H", self._take(2) or b"")[0]
        elif size == 127:
            size = struct.unpack("!Q", self._take(8) or b"")[0]
        return head[0] & 0x0F, self._take(size) or b""

    def answers_first(self, payload: bytes) -> None:
        """What came before the end is answered. uvicorn's own classes may end at once (RFC 6455, 7.1.7)."""
        got = self.read()
        if self.plain and got is not None and got[0] == CLOSE:
            self.seen.append(got)
        else:
            assert got == (TEXT, payload)

    def closes_with(self, *codes: int | None) -> None:
        """The server closes: with one of these codes (None: without one), and ends the connection."""
        got = self.read()
        while got is not None and got[0] != CLOSE:
            got = self.read()
        if got is None:
            assert None in codes
            return
        code = struct.unpack("!H", got[1][:2])[0] if got[1] else None
        assert code in codes
        got[1][2:].decode()
        self.send_quietly(frame(CLOSE, got[1][:2]))
        assert self.read() is None

    def send_quietly(self, data: bytes) -> None:
        with contextlib.suppress(OSError):
            self.socket.sendall(data)


@pytest.fixture
def peer(port):
    made = Peer(*port)
    yield made
    made.socket.close()


def close(code: int | None = 1000, reason: bytes = b"") -> bytes:
    return frame(CLOSE, b"" if code is None else struct.pack("!H", code) + reason)


# -- 1: framing ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("opcode", [TEXT, BINARY], ids=["1.1", "1.2"])
@pytest.mark.parametrize("size", [0, 125, 126, 127, 128, 65_535, 65_536])
@pytest.mark.parametrize("piece", [0, 997], ids=["whole", "in pieces"])
def test_1_sizes(peer, opcode, size, piece) -> None:
    payload = b"*" * size
    peer.send(frame(opcode, payload), piece=piece)
    assert peer.read() == (opcode, payload)
    peer.send(close())
    peer.closes_with(1000)


# -- 2: pings and pongs ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "payload", [b"", b"Hello", b"\x00\xff\xfe\xfd", b"\xfe" * 125], ids=["2.1", "2.2", "2.3", "2.4"]
)
@pytest.mark.parametrize("piece", [0, 1], ids=["whole", "2.6"])
def test_2_a_ping_is_answered(peer, payload, piece) -> None:
    peer.send(frame(PING, payload), piece=piece)
    assert peer.read() == (PONG, payload)


def test_2_5_a_ping_that_is_too_long(peer) -> None:
    peer.send(frame(PING, b"\xfe" * 126))
    peer.closes_with(1002)


@pytest.mark.parametrize("payload", [b"", b"unsolicited"], ids=["2.7", "2.8"])
def test_2_a_pong_that_nobody_asked_for(peer, payload) -> None:
    peer.send(frame(PONG, payload), frame(PING, b"now"))
    assert peer.read() == (PONG, b"now")


@pytest.mark.parametrize("piece", [0, 1], ids=["2.10", "2.11"])
def test_2_ten_pings(peer, piece) -> None:
    for n in range(10):
        peer.send(frame(PING, b"payload-%d" % n), piece=piece)
    assert [peer.read() for _ in range(10)] == [(PONG, b"payload-%d" % n) for n in range(10)]


# -- 3, 4: reserved bits and opcodes ---------------------------------------------------------------------------------


@pytest.mark.parametrize("rsv", range(1, 8))
@pytest.mark.parametrize("opcode", [TEXT, BINARY, PING, CLOSE])
def test_3_reserved_bits(peer, rsv, opcode) -> None:
    peer.send(frame(TEXT, b"first") + frame(opcode, b"", rsv=rsv) + frame(PING))
    peer.answers_first(b"first")
    peer.closes_with(1002)


@pytest.mark.parametrize("opcode", [3, 4, 5, 6, 7, 11, 12, 13, 14, 15])
@pytest.mark.parametrize("payload", [b"", b"reserved"])
def test_4_reserved_opcodes(peer, opcode, payload) -> None:
    peer.send(frame(TEXT, b"first") + frame(opcode, payload) + frame(PING))
    peer.answers_first(b"first")
    peer.closes_with(1002)


def test_a_frame_without_a_mask(peer) -> None:
    peer.send(frame(TEXT, b"x", mask=False))
    peer.closes_with(1002)


# -- 5: fragments ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("opcode", [PING, PONG, CLOSE], ids=["5.1", "5.2", "close"])
def test_5_control_frames_have_no_fragments(peer, opcode) -> None:
    peer.send(frame(opcode, b"a", fin=False), frame(CONT, b"b"))
    peer.closes_with(1002)


@pytest.mark.parametrize("piece", [0, 1], ids=["5.3, 5.6", "5.5, 5.8"])
def test_5_fragments_are_put_together_with_pings_between(peer, piece) -> None:
    peer.send(frame(TEXT, b"frag", fin=False), frame(CONT, b"ment"), piece=piece)
    assert peer.read() == (TEXT, b"fragment")
    peer.send(frame(BINARY, b"frag", fin=False), frame(PING, b"p"), frame(CONT, b"ment"), piece=piece)
    assert peer.read() == (PONG, b"p")
    assert peer.read() == (BINARY, b"fragment")


@pytest.mark.parametrize("fin", [True, False], ids=["5.9, 5.11", "5.12, 5.14"])
def test_5_a_continuation_of_nothing(peer, fin) -> None:
    peer.send(frame(CONT, b"x", fin=fin) + frame(TEXT, b"y"))
    peer.closes_with(1002)


@pytest.mark.parametrize("fin", [True, False], ids=["5.15", "5.16, 5.17"])
def test_5_continuations_after_the_end(peer, fin) -> None:
    peer.send(frame(TEXT, b"a", fin=False) + frame(CONT, b"b") + frame(CONT, b"c", fin=fin) + frame(TEXT, b"d"))
    peer.answers_first(b"ab")
    peer.closes_with(1002)


def test_5_18_a_new_message_inside_a_message(peer) -> None:
    peer.send(frame(TEXT, b"a", fin=False) + frame(TEXT, b"b"))
    peer.closes_with(1002)


def test_5_19_and_20_many_fragments_with_pings_and_a_pause(peer) -> None:
    peer.send(frame(TEXT, b"1", fin=False), frame(CONT, b"2", fin=False), frame(PING, b"x"))
    assert peer.read() == (PONG, b"x")
    time.sleep(0.1)
    peer.send(frame(CONT, b"3", fin=False), frame(CONT, b"4", fin=False), frame(PING, b"y"), frame(CONT, b"5"))
    assert peer.read() == (PONG, b"y")
    assert peer.read() == (TEXT, b"12345")


def test_6_1_empty_fragments(peer) -> None:
    peer.send(frame(TEXT, b"", fin=False), frame(CONT, b"", fin=False), frame(CONT, b""))
    assert peer.read() == (TEXT, b"")
    peer.send(frame(TEXT, b"", fin=False), frame(CONT, b"middle", fin=False), frame(CONT, b""))
    assert peer.read() == (TEXT, b"middle")


# -- 6: UTF-8 --------------------------------------------------------------------------------------------------------

GOOD = "Hello-µ@ßöäüàá-UTF-8!!".encode()
VALID = [
    *(b"", GOOD, "κόσμε".encode(), b"\x00", b"\xc2\x80", b"\xe0\xa0\x80", b"\xf0\x90\x80\x80", b"\x7f", b"\xdf\xbf"),
    *(b"\xef\xbf\xbf", b"\xf4\x8f\xbf\xbf", b"\xed\x9f\xbf", b"\xee\x80\x80", b"\xef\xbf\xbd", b"\xef\xbf\xbe"),
    *(b"\xf0\x9f\xbf\xbe", b"\xf3\xbf\xbf\xbf", b"\xef\xb7\x90"),
]
INVALID = [
    *(
        b"\xce\xba\xe1\xbd\xb9\xcf\x83\xce\xbc\xce\xb5\xed\xa0\x80edited",
        b"\x80",
        b"\xbf",
        b"\x80\xbf",
        b"\xc0 ",
        b"\xe0 ",
    ),
    *(
        b"\xf8 ",
        b"\xfc ",
        b"\xc0",
        b"\xe0\x80",
        b"\xf0\x80\x80",
        b"\xf8\x80\x80\x80",
        b"\xdf",
        b"\xef\xbf",
        b"\xf7\xbf\xbf",
    ),
    *(
        b"\xfe",
        b"\xff",
        b"\xfe\xfe\xff\xff",
        b"\xc0\xaf",
        b"\xe0\x80\xaf",
        b"\xf0\x80\x80\xaf",
        b"\xf8\x80\x80\x80\xaf",
    ),
    *(
        b"\xc1\xbf",
        b"\xe0\x9f\xbf",
        b"\xf0\x8f\xbf\xbf",
        b"\xc0\x80",
        b"\xed\xa0\x80",
        b"\xed\xaf\xbf",
        b"\xed\xbf\xbf",
    ),
    *(b"\xed\xa0\x80\xed\xb0\x80", b"\xf4\x90\x80\x80", b"\xf7\xbf\xbf\xbf", b"\xfb\xbf\xbf\xbf\xbf"),
]


@pytest.mark.parametrize("payload", VALID)
def test_6_valid_text_in_any_pieces(peer, payload) -> None:
    peer.send(frame(TEXT, payload))
    assert peer.read() == (TEXT, payload)
    fragments = [frame(TEXT, payload[:1], fin=False), *(frame(CONT, bytes([b]), fin=False) for b in payload[1:])]
    peer.send(*fragments, frame(CONT))
    assert peer.read() == (TEXT, payload)


@pytest.mark.parametrize("payload", INVALID)
def test_6_invalid_text_is_refused(peer, payload) -> None:
    peer.send(frame(TEXT, payload))
    peer.closes_with(1007)


@pytest.mark.parametrize("payload", INVALID)
def test_6_invalid_text_in_fragments_is_refused(peer, payload) -> None:
    peer.send(frame(TEXT, GOOD, fin=False), frame(CONT, payload, fin=False), frame(CONT, b"end"))
    peer.closes_with(1007)


# -- 7: closing ------------------------------------------------------------------------------------------------------


def test_7_1_a_close_is_answered_and_nothing_after_it(peer) -> None:
    peer.send(frame(TEXT, b"Hello") + close() + frame(TEXT, b"late") + frame(PING))
    peer.answers_first(b"Hello")
    peer.closes_with(1000)


def test_7_1_5_a_close_inside_a_message(peer) -> None:
    peer.send(frame(TEXT, b"frag", fin=False) + close() + frame(CONT, b"ment"))
    peer.closes_with(*((1000, 1002) if peer.plain else (1000,)))  # websockets itself counts it as a fault


@pytest.mark.parametrize(
    ("data", "codes"),
    [
        (close(None), (None, 1000, 1005)),
        (frame(CLOSE, b"a"), (1002,)),
        (close(1000, b"Hello World!"), (1000,)),
        (close(1000, b"*" * 123), (1000,)),
        (frame(CLOSE, struct.pack("!H", 1000) + b"*" * 124), (1002,)),
        (close(1000, b"\xce\xba\xe1\xbd\xb9\xcf\x83\xce\xbc\xce\xb5\xed\xa0\x80"), (1007,)),
    ],
    ids=["7.3.1", "7.3.2", "7.3.4", "7.3.5", "7.3.6", "7.5.1"],
)
def test_7_3_bodies_of_close_frames(peer, data, codes) -> None:
    peer.send(data)
    peer.closes_with(*codes)


@pytest.mark.parametrize("code", [1000, 1001, 1002, 1003, 1007, 1008, 1009, 1010, 1011, 3000, 3999, 4000, 4999])
def test_7_7_valid_codes(peer, code) -> None:
    peer.send(close(code))
    peer.closes_with(code)


@pytest.mark.parametrize("code", [0, 999, 1004, 1005, 1006, 1016, 1100, 2000, 2999])
def test_7_9_invalid_codes(peer, code) -> None:
    peer.send(close(code))
    peer.closes_with(1002)


# -- 9, 10: limits and pieces ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("opcode", [TEXT, BINARY], ids=["9.1", "9.2"])
@pytest.mark.parametrize("size", [64 << 10, 1 << 20, 4 << 20, 8 << 20, 16 << 20])
def test_9_large_messages(peer, opcode, size) -> None:
    payload = b"*" * size
    sending = threading.Thread(target=peer.send, args=(frame(opcode, payload),))
    sending.start()
    assert peer.read() == (opcode, payload)
    sending.join()


@pytest.mark.parametrize("fragment", [64, 1024, 65_536], ids=["9.3.1", "9.3.3", "9.3.6"])
def test_9_3_large_messages_in_fragments(peer, fragment) -> None:
    payload = os.urandom(1 << 20)
    pieces = [payload[at : at + fragment] for at in range(0, len(payload), fragment)]
    frames = [frame(BINARY if n == 0 else CONT, p, fin=n == len(pieces) - 1) for n, p in enumerate(pieces)]
    sending = threading.Thread(target=peer.send, args=(b"".join(frames),))
    sending.start()
    assert peer.read() == (BINARY, payload)
    sending.join()


@pytest.mark.parametrize("piece", [64, 1024, 4096], ids=["9.5.1", "9.5.5", "9.5.6"])
def test_9_5_a_large_message_in_small_pieces(peer, piece) -> None:
    payload = b"*" * (1 << 18)
    sending = threading.Thread(target=peer.send, args=(frame(TEXT, payload),), kwargs={"piece": piece})
    sending.start()
    assert peer.read() == (TEXT, payload)
    sending.join()


@pytest.mark.parametrize("size", [0, 16, 1024], ids=["9.7.1", "9.7.2", "9.7.6"])
def test_9_7_a_thousand_messages(peer, size) -> None:
    payload = b"*" * size
    sending = threading.Thread(target=peer.send, args=(frame(TEXT, payload) * 1_000,))
    sending.start()
    for _ in range(1_000):
        assert peer.read() == (TEXT, payload)
    sending.join()


def test_10_1_fragments_of_1300_bytes(peer) -> None:
    payload = b"*" * 65_536
    pieces = [payload[at : at + 1_300] for at in range(0, len(payload), 1_300)]
    frames = [frame(TEXT if n == 0 else CONT, p, fin=n == len(pieces) - 1) for n, p in enumerate(pieces)]
    peer.send(b"".join(frames))
    assert peer.read() == (TEXT, payload)


def test_more_than_the_limit_is_1009(peer) -> None:
    head = bytes([0x82, 0xFF]) + struct.pack("!Q", (16 << 20) + 1) + b"\0\0\0\0"
    peer.send(head)
    peer.closes_with(1009)

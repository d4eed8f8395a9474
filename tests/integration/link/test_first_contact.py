"""Whatever a stranger sends first, the next one is served: against the doors alone, and behind the real edge."""

import os
import socket
import struct
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from random import Random
from typing import Any

import pytest
import trio

from tests.integration.link.conftest import Runner, authenticate, granted
from tests.integration.link.helpers import chunk
from tests.support.doorway import doorway, websocket
from tests.support.links import link_settings
from townwatch.app.supervision_tree import CLIENTS, LINKS
from townwatch.transports.control import ControlDeps, ControlEndpoint
from townwatch.transports.edge.server import Edge, EdgeSettings
from townwatch.transports.runners import LinkDeps, LinkSettings, RunnerEndpoint
from townwatch.transports.websocket.socket import SocketLimits

KEY = b"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ=="
GOOD = [
    b"Host: 127.0.0.1", b"Upgrade: websocket", b"Connection: Upgrade", KEY, b"Sec-WebSocket-Version: 13",
    b"Authorization: Bearer secret-1",
]  # fmt: skip


def request(
    *more: bytes, without: bytes = b"\xff", line: bytes = b"GET /runner HTTP/1.1", end: bytes = b"\r\n"
) -> bytes:
    kept = [header for header in GOOD if not header.startswith(without)]
    return end.join([line, *kept, *more, b"", b""])


def frame(opcode: int, payload: bytes = b"", *, masked: bool = True, fin: bool = True, rsv: int = 0) -> bytes:
    first = (0x80 if fin else 0) | rsv << 4 | opcode
    head = bytes([first, (0x80 if masked else 0) | len(payload)])
    return head + (b"\0\0\0\0" if masked else b"") + payload


OPEN = request()
ATTACKS: dict[str, bytes] = {
    "nothing": b"",
    "one byte": b"G",
    "a good request": OPEN,
    "half a request": OPEN[:60],
    "no end": OPEN[:-2],
    "a blank line": b"\r\n\r\n",
    "nul bytes": b"\0" * 100,
    "a TLS hello": b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + bytes(range(200)) + b"\r\n\r\n",
    "HTTP/2": b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
    "HTTP/1.0": request(line=b"GET /runner HTTP/1.0"),
    "HTTP/9.9": request(line=b"GET /runner HTTP/9.9"),
    "POST": request(line=b"POST /runner HTTP/1.1"),
    "no version": request(line=b"GET /runner"),
    "no target": request(line=b"GET  HTTP/1.1"),
    "a target of bytes": request(line=b"GET /\xff\xfe HTTP/1.1"),
    "a long target": request(line=b"GET /" + b"a" * 10_000 + b" HTTP/1.1"),
    "a query of bytes": request(line=b"GET /runner?token=\xff%ff%00&runner=r1 HTTP/1.1", without=b"Auth"),
    "bare newlines": request(end=b"\n"),
    "bytes in Host": request(b"Host: \xff\xfe", without=b"Host"),
    "bytes in Connection": request(b"Connection: Upgrade, \xff", without=b"Connection"),
    "bytes in a subprotocol": request(b"Sec-WebSocket-Protocol: \xff\xfe"),
    "bytes in an extension": request(b"Sec-WebSocket-Extensions: \xc3\x28"),
    "bytes in the key": request(b"Sec-WebSocket-Key: \xff\xff", without=b"Sec-WebSocket-Key"),
    "bytes in a version": request(b"Sec-WebSocket-Version: \xb2", without=b"Sec-WebSocket-Version"),
    "bytes in a token": request(b"Authorization: Bearer \xff\xfe", without=b"Auth"),
    "bytes in an upgrade": request(b"Upgrade: websocket\xff", without=b"Upgrade"),
    "bytes in an unknown header": request(b"X-Mood: \xf0\x28\x8c\x28"),
    "bytes in a name": request(b"X-\xff: y"),
    "a header without a colon": request(b"nonsense"),
    "a header with a space": request(b"X y: z"),
    "a folded header": request(b"X: a\r\n b"),
    "no host": request(without=b"Host"),
    "two hosts": request(b"Host: evil"),
    "no key": request(without=b"Sec-WebSocket-Key"),
    "two keys": request(KEY),
    "a short key": request(b"Sec-WebSocket-Key: abc", without=b"Sec-WebSocket-Key"),
    "no version header": request(without=b"Sec-WebSocket-Version"),
    "an old version": request(b"Sec-WebSocket-Version: 8", without=b"Sec-WebSocket-Version"),
    "a version that is no number": request(b"Sec-WebSocket-Version: x", without=b"Sec-WebSocket-Version"),
    "no upgrade": request(without=b"Upgrade"),
    "an upgrade to something else": request(b"Upgrade: h2c", without=b"Upgrade"),
    "no connection": request(without=b"Connection"),
    "a thousand headers": request(*[b"X-%d: y" % n for n in range(1000)]),
    "a huge header": request(b"X: " + b"y" * 200_000),
    "a body": request(b"Content-Length: 5") + b"hello",
    "a body that is a lie": request(b"Content-Length: 99999999999999999999"),
    "chunks": request(b"Transfer-Encoding: chunked") + b"zz\r\n",
    "both lengths": request(b"Content-Length: 5", b"Transfer-Encoding: chunked") + b"0\r\n\r\n",
    "many subprotocols": request(b"Sec-WebSocket-Protocol: " + b",".join([b"p"] * 5000)),
    "deflate": request(b"Sec-WebSocket-Extensions: permessage-deflate; client_max_window_bits=x"),
    "an origin": request(b"Origin: null"),
    "no token": request(without=b"Auth"),
    "a token that is not UTF-8 base64": request(b"Authorization: Basic \xff", without=b"Auth"),
    "frames before the upgrade": OPEN + frame(1, b"{}"),
    "an unmasked frame": OPEN + frame(1, b"{}", masked=False),
    "a reserved opcode": OPEN + frame(3, b"x"),
    "a reserved bit": OPEN + frame(1, b"{}", rsv=4),
    "text that is no UTF-8": OPEN + frame(1, b"\xff\xfe"),
    "half a character": OPEN + frame(1, b"\xc3", fin=False) + frame(0, b"\x28"),
    "a continuation of nothing": OPEN + frame(0, b"x"),
    "a ping in pieces": OPEN + frame(9, b"x", fin=False),
    "a long ping": OPEN + b"\x89\xfe\x01\x00" + b"\0" * 300,
    "a close of one byte": OPEN + frame(8, b"\x03"),
    "a close with a bad code": OPEN + frame(8, struct.pack("!H", 1005)),
    "a close with bytes": OPEN + frame(8, struct.pack("!H", 1000) + b"\xff\xff"),
    "a proper close": OPEN + frame(8, struct.pack("!H", 1000)),
    "half a frame": OPEN + b"\x81\xfe\xff",
    "a frame of 2**63 bytes": OPEN + b"\x81\xff" + b"\x80" + b"\0" * 11,
    "a frame of 2**62 bytes": OPEN + b"\x81\xff" + b"\x40" + b"\0" * 11 + b"x" * 1000,
    "deep JSON": OPEN + b"\x81\xfe" + struct.pack("!H", 60_000) + b"\0\0\0\0" + b"[" * 60_000,
    "a hello of another": OPEN + frame(1, b'{"type":"hello","runnerId":"r2","name":"","version":""}'),
    "an event before hello": OPEN + frame(1, b'{"type":"events","events":[]}'),
    "pings for ever": OPEN + frame(9) * 1000,
    "empty fragments": OPEN + frame(1, fin=False) + frame(0, fin=False) * 1000,
}


async def attack(port: int, data: bytes, *, reset: bool, linger: float = 0.0) -> None:
    """Send it, wait a little for an answer, go away: politely or with a reset."""
    with suppress(OSError, trio.BrokenResourceError, trio.TooSlowError):
        stream = await trio.open_tcp_stream("127.0.0.1", port)
        try:
            with trio.move_on_after(2):
                await stream.send_all(data)
            if linger:
                with trio.move_on_after(linger):
                    await stream.receive_some()
            if reset:
                stream.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        finally:
            await trio.aclose_forcefully(stream)


def settings() -> LinkSettings:
    return link_settings(handshake=0.3, hello=0.3, socket=SocketLimits(close=0.1))


@asynccontextmanager
async def behind_the_edge(house: Any) -> AsyncIterator[tuple[int, Edge]]:
    edge = Edge(EdgeSettings(port=0, header_timeout=0.5))
    context = house.context
    door = RunnerEndpoint(
        LinkDeps(context=context, links=LINKS, authenticate=authenticate, grants=granted, settings=settings())
    )

    async def nobody(_token: str | None) -> Any:
        raise ValueError("nobody")

    people: Any = None
    control = ControlEndpoint(ControlDeps(context=context, clients=CLIENTS, authenticate=nobody, access=people))
    edge.websocket("/runner", door.serve)
    edge.websocket("/ws", control.serve)
    async with trio.open_nursery() as nursery:
        addresses = await nursery.start(edge.serve)
        yield addresses[0][1], edge
        nursery.cancel_scope.cancel()


async def is_served(port: int) -> None:
    """A proper runner comes in and its event is stored."""
    async with websocket(port, "/runner", {"Authorization": "Bearer secret-2"}) as ws:
        runner = Runner(ws)
        await runner.hello("r2")
        await runner.send(chunk(1, "honest"))
        await runner.acked(1, "honest")


@pytest.mark.parametrize("reset", [False, True])
async def test_behind_the_edge_no_first_contact_stops_anything(house: Any, reset: bool) -> None:
    async with house() as h, behind_the_edge(h) as (port, edge):
        async with trio.open_nursery() as nursery:
            for data in ATTACKS.values():
                for wait in (0.0, 0.05):
                    nursery.start_soon(_one, port, data, reset, wait)
                    nursery.start_soon(_one, port, data.replace(b"/runner", b"/ws"), reset, wait)
        await is_served(port)
        assert edge.failed_connections == 0


@pytest.mark.parametrize("reset", [False, True])
async def test_the_door_alone_stands_too(house: Any, reset: bool) -> None:
    """The edge refuses most of it; what it will let through one day must not matter."""
    async with house() as h:
        context = h.context
        door = RunnerEndpoint(
            LinkDeps(context=context, links=LINKS, authenticate=authenticate, grants=granted, settings=settings())
        )
        async with doorway(door.serve) as port:
            async with trio.open_nursery() as nursery:
                for data in ATTACKS.values():
                    for wait in (0.0, 0.05):
                        nursery.start_soon(_one, port, data, reset, wait)
            await is_served(port)


OPENINGS = int(os.environ.get("BROKEN_OPENINGS", "900"))


@pytest.mark.timeout(120 + OPENINGS / 50)
@pytest.mark.parametrize("seed", range(3))
async def test_broken_openings(house: Any, seed: int) -> None:
    """Good openings with bytes changed, cut, doubled. By hand: BROKEN_OPENINGS=100000 pytest -k broken_openings."""
    random = Random(seed)
    async with house() as h, behind_the_edge(h) as (port, edge):
        limit = trio.CapacityLimiter(50)
        async with trio.open_nursery() as nursery:
            for _ in range(-(-OPENINGS // 3)):
                data = _broken(random, random.choice(list(ATTACKS.values()))[:4000])
                await limit.acquire_on_behalf_of(data_token := object())
                nursery.start_soon(_limited, limit, data_token, port, data, random.random() < 0.5)
        await is_served(port)
        assert edge.failed_connections == 0


def _broken(random: Random, data: bytes) -> bytes:
    broken = bytearray(data)
    for _ in range(random.randint(1, 8)):
        place = random.randrange(len(broken) + 1)
        match random.randrange(4):
            case 0:
                broken[place : place + 1] = bytes([random.randrange(256)])
            case 1:
                del broken[place : place + random.randint(1, 20)]
            case 2:
                broken[place:place] = random.randbytes(random.randint(1, 20))
            case _:
                broken[place:place] = broken[max(0, place - 40) : place]
    return bytes(broken)


async def _limited(limit: trio.CapacityLimiter, token: object, port: int, data: bytes, reset: bool) -> None:
    try:
        await attack(port, data, reset=reset, linger=0.01)
    finally:
        limit.release_on_behalf_of(token)


async def _one(port: int, data: bytes, reset: bool, wait: float) -> None:
    await attack(port, data, reset=reset, linger=wait)


async def ask_healthy(port: int) -> bytes:
    """The first bytes of the answer to a proper request."""
    with trio.fail_after(5):
        async with await trio.open_tcp_stream("127.0.0.1", port) as stream:
            await stream.send_all(b"GET /x HTTP/1.1\r\nhost: localhost\r\n\r\n")
            return await stream.receive_some(12)


@asynccontextmanager
async def small_edge(**settings: Any) -> AsyncIterator[int]:
    edge = Edge(EdgeSettings(port=0, **settings))
    async with trio.open_nursery() as nursery:
        ((_, port),) = await nursery.start(edge.serve)
        yield port
        nursery.cancel_scope.cancel()


async def test_connections_that_ask_nothing_keep_nobody_out() -> None:
    """However many there are: the one that has waited longest makes room for one that asks."""
    async with small_edge(connections=20) as port:
        silent = [await trio.open_tcp_stream("127.0.0.1", port) for _ in range(60)]
        for one in silent[::2]:
            with suppress(trio.BrokenResourceError):
                await one.send_all(b"GET /half")
        for _ in range(5):
            assert await ask_healthy(port) == b"HTTP/1.1 404"
        with trio.fail_after(5):
            assert await silent[0].receive_some() == b""
        for one in silent:
            await trio.aclose_forcefully(one)


async def test_unfinished_bodies_of_strangers_are_bounded_together() -> None:
    async with small_edge() as port:
        head = b"POST /x HTTP/1.1\r\nhost: localhost\r\ncontent-length: 1000000\r\n\r\n"
        open_ones = [await trio.open_tcp_stream("127.0.0.1", port) for _ in range(80)]
        refused = 0
        for one in open_ones:
            with suppress(trio.BrokenResourceError), trio.fail_after(10):
                await one.send_all(head + b" " * 900_000)
                with trio.move_on_after(0.02):
                    refused += (await one.receive_some(12)) == b"HTTP/1.1 503"
        assert refused > 20
        with trio.fail_after(5):
            async with await trio.open_tcp_stream("127.0.0.1", port) as small:
                await small.send_all(head.replace(b"1000000", b"2") + b"{}")
                assert await small.receive_some(12) == b"HTTP/1.1 404"
        for one in open_ones:
            await trio.aclose_forcefully(one)

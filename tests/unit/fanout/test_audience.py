"""The same bytes to many connections: whoever is slow, gone or cut costs the others nothing, and order holds."""

import socket
from collections.abc import Iterator
from contextlib import contextmanager

import trio

from townwatch.transports.edge.connection import Audience, Connection

PIECE = bytes(range(256)) * 64


@contextmanager
def pair(nursery: trio.Nursery, backlog: int = 1 << 30) -> Iterator[tuple[Connection, socket.socket]]:
    """A connection and its peer."""
    ours, theirs = socket.socketpair()
    ours.setblocking(False)
    theirs.setblocking(False)
    connection = Connection(ours, nursery, backlog)
    try:
        yield connection, theirs
    finally:
        connection.abort()
        theirs.close()


async def read(peer: socket.socket, size: int) -> bytes:
    """So many bytes."""
    found = bytearray()
    with trio.fail_after(5):
        while len(found) < size:
            try:
                found += peer.recv(65536)
            except BlockingIOError:
                await trio.lowlevel.wait_readable(peer)
    return bytes(found)


async def test_a_congested_connection_gets_everything_in_order_once_it_reads() -> None:
    async with trio.open_nursery() as nursery:
        with pair(nursery) as (slow, slow_peer), pair(nursery) as (quick, quick_peer):
            sent = b""
            for number in range(200):
                piece = number.to_bytes(4, "big") + PIECE
                Audience([slow, quick]).write(piece)
                assert await read(quick_peer, len(piece)) == piece
                sent += piece
            assert slow.waiting_bytes > 0
            slow.write(b"the last word")
            assert await read(slow_peer, len(sent) + 13) == sent + b"the last word"
            await slow.flush(5)
            assert slow.writable
            Audience([slow]).write(b"directly again")
            assert slow.waiting_bytes == 0


async def test_one_that_is_too_slow_is_reported_once_and_gets_nothing_more() -> None:
    async with trio.open_nursery() as nursery:
        with pair(nursery, backlog=100_000) as (slow, _), pair(nursery) as (quick, quick_peer):
            reports: list[str] = []
            slow.on_slow = lambda: reports.append("slow")
            for _number in range(100):
                Audience([slow, quick]).write(PIECE)
                await read(quick_peer, len(PIECE))
            assert reports == ["slow"]
            assert slow.waiting_bytes == 0
            assert not slow.writable


async def test_one_that_is_gone_does_not_keep_the_others_from_theirs() -> None:
    async with trio.open_nursery() as nursery:
        with pair(nursery) as (gone, gone_peer), pair(nursery) as (quick, quick_peer):
            gone_peer.close()
            for word in (b"one", b"two"):
                Audience([gone, quick]).write(word)
                assert await read(quick_peer, 3) == word
            assert gone.closed

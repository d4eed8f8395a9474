"""One writer a socket: what cannot be sent in time ends the connection, and nothing follows a torn frame."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import attrs
import pytest
import trio
import trio.testing
from trio_websocket import WebSocketConnection

from tests.support.doorway import doorway, websocket
from tests.support.raw_websocket import RawWebSocket, frame, opening, raw_websocket
from townwatch.transports.edge.connection import Connection
from townwatch.transports.edge.http import Request
from townwatch.transports.websocket.frames import CLOSE, PING, PONG, TEXT
from townwatch.transports.websocket.handshake import accept
from townwatch.transports.websocket.messages import Ending
from townwatch.transports.websocket.socket import TOO_SLOW, MessageSocket, SocketLimits


@attrs.define
class Pair:
    """Both ends of a connection. `heard`: what came to ours."""

    ours: MessageSocket
    theirs: WebSocketConnection
    heard: list[bytes]
    endings: list[Ending]


@asynccontextmanager
async def pair(limits: SocketLimits) -> AsyncIterator[Pair]:
    made: list[MessageSocket] = []
    heard: list[bytes] = []
    endings: list[Ending] = []
    opened = trio.Event()

    async def listen(_opcode: int, data: bytes) -> None:
        heard.append(data)

    async def serve(request: Request, connection: Connection, leftover: bytes) -> None:
        accept(request, connection)
        made.append(MessageSocket(connection, leftover, limits))
        opened.set()
        endings.append(await made[0].run(listen))

    async with doorway(serve) as port, websocket(port) as theirs:
        await opened.wait()
        yield Pair(made[0], theirs, heard, endings)


@asynccontextmanager
async def raw_pair(limits: SocketLimits) -> AsyncIterator[tuple[MessageSocket, RawWebSocket, list[Ending]]]:
    """Ours, and a peer that reads only when it is told to."""
    made: list[MessageSocket] = []
    endings: list[Ending] = []

    async def serve(request: Request, connection: Connection, leftover: bytes) -> None:
        accept(request, connection)
        made.append(MessageSocket(connection, leftover, limits))
        endings.append(await made[0].run(None))

    async with doorway(serve) as port, raw_websocket(port, opening("/")) as theirs:
        yield made[0], theirs, endings


async def until_over(socket: MessageSocket) -> None:
    with trio.fail_after(5):
        await socket.over.wait()
    await trio.testing.wait_all_tasks_blocked()


async def never(_max_bytes: int | None = None) -> bytes:
    await trio.sleep_forever()
    raise AssertionError


async def test_messages_go_both_ways_in_order() -> None:
    async with pair(SocketLimits()) as both:
        for n in range(50):
            assert both.ours.send(b"%d" % n)
        with trio.fail_after(5):
            assert [await both.theirs.get_message() for _ in range(50)] == [str(n) for n in range(50)]
        await both.theirs.send_message("hello")
        both.ours.close(1000, "enough")
        await until_over(both.ours)
        assert both.endings == [Ending(1000, "enough", ours=True)]
        assert both.theirs.closed is not None
        assert (both.theirs.closed.code, both.theirs.closed.reason) == (1000, "enough")


async def test_what_was_queued_before_the_goodbye_is_sent_and_nothing_after_it() -> None:
    async with pair(SocketLimits()) as both:
        assert both.ours.send(b"last")
        both.ours.close(1008, "ü" * 200)
        assert not both.ours.send(b"too late")
        both.ours.close(1000, "a second reason does not count")
        with trio.fail_after(5):
            assert await both.theirs.get_message() == "last"
        await until_over(both.ours)
        assert both.theirs.closed is not None
        assert both.theirs.closed.code == 1008
        assert both.theirs.closed.reason == "ü" * 61


async def test_a_send_that_takes_too_long_ends_it_and_no_byte_follows_the_torn_frame() -> None:
    async with pair(SocketLimits(send=0.1, close=0.1, outbox_bytes=100 << 20)) as both:
        both.theirs._stream.receive_some = never  # it stops reading
        await both.theirs.send_message("wake the reader up")  # which then waits for ever
        both.ours.send(b"a" * (30 << 20))
        both.ours.send(b"b" * 1000)
        await until_over(both.ours)
        assert both.endings[0].code == 1006
        assert "in time" in both.endings[0].reason
        got = b""
        del both.theirs._stream.receive_some
        with trio.move_on_after(2):
            try:
                while piece := await both.theirs._stream.receive_some(1 << 20):
                    got += piece[-1:]
            except (trio.BrokenResourceError, trio.BusyResourceError):
                pass
        assert b"b" not in got


@pytest.mark.parametrize("limit", [{"outbox_messages": 10}, {"outbox_bytes": 1 << 20}])
async def test_too_much_that_waits_closes_with_1013_behind_the_frame_that_is_on_its_way(limit: dict[str, int]) -> None:
    async with raw_pair(SocketLimits(**limit)) as (ours, theirs, endings):
        sent = 0
        while ours.send(b"x" * 300_000):
            sent += 1
        assert ours.closing
        assert not ours.send(b"too late")
        found = [await theirs.next()]
        while found[-1][0] != CLOSE:
            found.append(await theirs.next())
        assert found[-1][1] == (1013, TOO_SLOW)
        assert 0 < len(found) - 1 <= sent
        assert all(one == (TEXT, "x" * 300_000) for one in found[:-1])
        await theirs.send(frame(CLOSE))
        await until_over(ours)
        assert endings == [Ending(1013, TOO_SLOW, ours=True)]


async def test_pings_and_pongs_go_before_what_waits() -> None:
    async with raw_pair(SocketLimits(outbox_bytes=100 << 20)) as (ours, theirs, _):
        sent = 0
        while ours.outbox_depth < 5:
            sent += ours.send(b"x" * 300_000)
        waiting = ours.outbox_depth
        await theirs.send(frame(PING, b"are you there"))
        with trio.fail_after(5):
            while ours.outbox_depth == waiting:
                await trio.sleep(0.001)
        before = 0
        while (found := await theirs.next())[0] != PONG:
            before += 1
        assert found == (PONG, b"are you there")
        assert before < sent
        for _ in range(sent - before):
            assert await theirs.next() == (TEXT, "x" * 300_000)


async def test_abort_is_at_once_and_before_the_start_too() -> None:
    async with pair(SocketLimits()) as both:
        both.ours.abort()
        assert not both.ours.send(b"x")
        await until_over(both.ours)
        assert both.endings[0].code == 1006


async def test_while_a_message_is_handled_silence_says_nothing() -> None:
    limits = SocketLimits(ping=10, silent=0.1)
    busy = trio.Event()

    async def slowly(_opcode: int, _data: bytes) -> None:
        await busy.wait()

    async def serve(request: Request, connection: Connection, leftover: bytes) -> None:
        accept(request, connection)
        await MessageSocket(connection, leftover, limits).run(slowly)

    async with doorway(serve) as port, websocket(port) as theirs:
        await theirs.send_message("work")
        await trio.sleep(0.35)
        assert theirs.closed is None
        busy.set()
        with trio.fail_after(5):
            while theirs.closed is None:
                await trio.sleep(0.01)
        assert theirs.closed.code == 1001

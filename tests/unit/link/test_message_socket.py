"""One writer a socket: what cannot be sent in time ends the connection, and nothing follows a torn frame."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import attrs
import trio
import trio.testing
from trio_websocket import WebSocketConnection, wrap_server_stream

from tests.support.doorway import doorway, websocket
from transports.ws_door import Knock
from transports.ws_socket import Ending, GuardedStream, Message, MessageSocket, SocketLimits


@attrs.define
class Pair:
    """Both ends of a connection. `heard`: what came to ours."""

    ours: MessageSocket
    theirs: WebSocketConnection
    heard: list[Message]
    endings: list[Ending]


@asynccontextmanager
async def pair(limits: SocketLimits) -> AsyncIterator[Pair]:
    made: list[MessageSocket] = []
    heard: list[Message] = []
    endings: list[Ending] = []
    opened = trio.Event()

    async def listen(message: Message) -> None:
        heard.append(message)

    async def serve(_knock: Knock, stream: trio.abc.Stream) -> None:
        async with trio.open_nursery() as nursery:
            guarded = GuardedStream(stream, limits.frames)
            ws = await (await wrap_server_stream(nursery, guarded)).accept()
            made.append(MessageSocket(ws, guarded, limits))
            opened.set()
            endings.append(await made[0].run(listen))
            nursery.cancel_scope.cancel()

    async with doorway(serve) as port, websocket(port) as theirs:
        await opened.wait()
        yield Pair(made[0], theirs, heard, endings)


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
        assert both.theirs.closed.reason == "ü" * 60


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


async def test_too_much_that_waits_closes_with_1013() -> None:
    async with pair(SocketLimits(outbox_messages=10, send=0.2, close=0.1)) as both:
        sent = [both.ours.send(b"x") for _ in range(11)]
        assert sent == [True] * 10 + [False]
        await until_over(both.ours)
        assert both.endings[0].code == 1013


async def test_abort_is_at_once_and_before_the_start_too() -> None:
    async with pair(SocketLimits()) as both:
        both.ours.abort()
        assert not both.ours.send(b"x")
        await until_over(both.ours)
        assert both.endings[0].code == 1006


async def test_while_a_message_is_handled_silence_says_nothing() -> None:
    limits = SocketLimits(ping=10, silent=0.1)
    busy = trio.Event()

    async def slowly(_message: Message) -> None:
        await busy.wait()

    async def serve(_knock: Knock, stream: trio.abc.Stream) -> None:
        async with trio.open_nursery() as nursery:
            guarded = GuardedStream(stream, limits.frames)
            ws = await (await wrap_server_stream(nursery, guarded)).accept()
            await MessageSocket(ws, guarded, limits).run(slowly)
            nursery.cancel_scope.cancel()

    async with doorway(serve) as port, websocket(port) as theirs:
        await theirs.send_message("work")
        await trio.sleep(0.35)
        assert theirs.closed is None
        busy.set()
        with trio.fail_after(5):
            while theirs.closed is None:
                await trio.sleep(0.01)
        assert theirs.closed.code == 1001

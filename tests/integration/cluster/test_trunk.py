"""The connection that carries many clients to the leader, when clients or the replica at its other end mean harm."""

import gc
import socket
from collections import deque
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager, suppress

import attrs
import pytest
import trio
import trio.testing

from tests.integration.cluster.test_relay import HOST, House, open_house, request, rest_of
from tests.integration.service.test_crowd_at_the_door import counted_passes
from tests.support.raw_websocket import opening
from townwatch.transports.edge.connection import Audience
from townwatch.transports.edge.relay.wire import RelayClaim
from townwatch.transports.trunk import far_end, frames as f
from townwatch.transports.trunk.far_end import CarriedClient
from townwatch.transports.trunk.lines import LineAudience

pytestmark = pytest.mark.timeout(60)
CROWD = 200
CLAIM = RelayClaim(peer="10.0.0.1").encode().encode() + b"\n"
DEAF = CLAIM + opening("/shared/deaf")


async def until(what: bytes, stream: trio.abc.Stream) -> None:
    """Read until these bytes have come."""
    heard = b""
    with trio.fail_after(10):
        while what not in heard:
            more = await stream.receive_some(65536)
            assert more, heard
            heard += more


async def carried(house: House, path: str = "/shared/echo") -> trio.abc.Stream:
    """A client whose WebSocket goes over the trunk."""
    stream = await house.connect()
    await stream.send_all(opening(path))
    await until(b"\r\n\r\n", stream)
    return stream


async def echoes(stream: trio.abc.Stream, said: bytes = b"hello") -> None:
    await stream.send_all(said)
    await until(said, stream)


async def comes_true(what: Callable[[], bool]) -> None:
    """Wait until a question is answered with yes."""
    with trio.fail_after(10):
        while not what():
            await trio.sleep(0.01)


@attrs.define(eq=False)
class ForeignReplica:
    """A process that knows the secret, and says on a trunk what it likes."""

    stream: trio.SocketStream
    buffer: f.FrameBuffer = attrs.field(factory=f.FrameBuffer)
    heard: deque[f.Frame] = attrs.field(factory=deque)

    async def say(self, kind: int, number: int, payload: bytes = b"") -> None:
        with suppress(trio.BrokenResourceError):
            await self.stream.send_all(f.frame(kind, number, payload))

    async def hears(self, kind: int) -> bytes:
        """The payload of the next frame of this kind. A question whether a client has it all is answered with yes."""
        with trio.fail_after(10):
            while True:
                while self.heard:
                    found, number, payload = self.heard.popleft()
                    if found == kind:
                        return payload
                    if found == f.FLUSH:
                        await self.say(f.FLUSHED, number)
                data = await self.stream.receive_some(65536)
                assert data, "the trunk ended"
                self.buffer.feed(bytes(data))
                self.heard.extend(self.buffer.frames())


@asynccontextmanager
async def foreign_replica(house: House) -> AsyncIterator[ForeignReplica]:
    assert house.relaying.dialler is not None
    sock, claim = await house.relaying.dialler.open(house.door, RelayClaim(peer="", replica="foreign"), "trunk")
    async with trio.SocketStream(trio.socket.from_stdlib_socket(sock)) as stream:
        await stream.send_all(claim)
        yield ForeignReplica(stream)


async def test_clients_that_hold_places_at_the_leader_do_not_end_the_trunk() -> None:
    async with open_house(places=6) as house, await carried(house) as client, AsyncExitStack() as stack:
        for _ in range(12):
            await stack.enter_async_context(await trio.open_tcp_stream(HOST, house.leader.port))
        await trio.testing.wait_all_tasks_blocked(0.02)
        await echoes(client)
        assert len(house.trunks) == 1


async def test_what_is_no_websocket_is_not_carried_for_its_answer_could_not_wait_for_its_reader() -> None:
    async with open_house() as house:
        for fields in (
            ("Upgrade: h2c", "Connection: Upgrade"),
            ("Upgrade: websocket",),
            ("Content-Length: 45", "", "\r\nUpgrade: websocket\r\nConnection: Upgrade"),
        ):
            async with await house.connect() as stream:
                await stream.send_all(request("/shared/large?pieces=3", *fields))
                assert len(await rest_of(stream)) > 3_000_000, fields
        assert house.trunks == []
        async with foreign_replica(house) as replica:
            await replica.say(f.OPEN, 1, CLAIM + request("/shared/large?pieces=3"))
            assert (await replica.hears(f.WRITE)).startswith(b"HTTP/1.1 400 ")
            await replica.hears(f.CUT)
        assert len(house.pages.streams) == 3


async def test_a_replica_that_sends_more_of_a_client_than_it_may_is_cut() -> None:
    async with open_house() as house:
        async with foreign_replica(house) as replica:
            await replica.say(f.OPEN, 1, DEAF)
            await replica.hears(f.WRITE)
            for _ in range(40):
                await replica.say(f.DATA, 1, bytes(16384))
            await rest_of(replica.stream)
        assert house.pages.heard == 0
        house.pages.listens.set()
        await comes_true(lambda: not house.trunks[0].lines and house.leader.open_connections == 0)


@pytest.mark.parametrize(
    "said",
    [
        f.frame(99, 1),
        f.frame(f.WRITE, 1, b"x"),
        f.frame(f.OPEN, 1, b"no claim\n"),
        f.frame(f.OPEN, 1, b"[" * 50_000 + b"\n"),
        f.frame(f.OPEN, 1, b'{"peer":"10.0.0.300","scheme":"http","certificate":[],"hosts":[],"replica":"x"}\n'),
        f.frame(f.OPEN, 1, DEAF) + f.frame(f.OPEN, 1, DEAF),
        f.frame(f.DATA, 1, bytes(400_000)),
        bytes([f.DATA]) + b"\0\0\0\1\xff\xff\xff\xff",
        b"GET / HTTP/1.1\r\n\r\n",
    ],
    ids=["kind", "way", "claim", "deep claim", "address", "line twice", "large", "huge", "no frame"],
)
async def test_what_is_no_trunk_ends_and_nothing_else_does(said: bytes) -> None:
    async with open_house() as house, await carried(house) as client:
        async with foreign_replica(house) as replica:
            with suppress(trio.BrokenResourceError):
                await replica.stream.send_all(said)
            await rest_of(replica.stream)
        await echoes(client)


async def test_answers_to_questions_and_clients_that_are_not_known_are_passed_over() -> None:
    async with open_house() as house, foreign_replica(house) as replica:
        for kind in (f.FLUSHED, f.DATA, f.ENDED, f.SLOW):
            await replica.say(kind, 77)
        await replica.say(f.OPEN, 1, CLAIM + opening("/shared/echo"))
        assert (await replica.hears(f.WRITE)).startswith(b"HTTP/1.1 101 ")


async def test_clients_that_send_more_than_the_leader_takes_wait_and_end_no_trunk(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(far_end, "TRUNK_BYTES", 3 * 1024 * 1024)
    async with open_house() as house, await carried(house) as other, AsyncExitStack() as stack:
        clients = [await stack.enter_async_context(await carried(house, "/shared/deaf")) for _ in range(CROWD)]
        for client in clients:  # all before the loop runs again, as if the leader were slow
            assert isinstance(client, trio.SocketStream)
            with suppress(BlockingIOError):
                client.socket._sock.send(bytes(100_000))  # pyright: ignore
        await echoes(other)
        assert len(house.trunks) == 1
        house.pages.listens.set()
        await comes_true(lambda: house.pages.heard >= CROWD * 60_000)


async def test_a_crowd_that_ends_with_its_trunk_ends_in_many_passes() -> None:
    async with open_house() as house, AsyncExitStack() as stack:
        clients = [await stack.enter_async_context(await carried(house)) for _ in range(CROWD)]
        await trio.testing.wait_all_tasks_blocked(0.01)
        with counted_passes() as passes:
            house.relaying.end_all_but("another life")
            await comes_true(lambda: house.leader.open_connections + house.follower.open_connections == 0)
        assert passes.most < CROWD
        for client in clients:
            await rest_of(client)


async def test_of_clients_that_come_and_go_nothing_is_left_at_either_end() -> None:
    async with open_house() as house:
        for _ in range(3):
            async with AsyncExitStack() as stack:
                for number in range(CROWD // 4):
                    client = await stack.enter_async_context(await carried(house, "/shared/told"))
                    if number % 3 == 0:  # goes with a reset
                        assert isinstance(client, trio.SocketStream)
                        client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
            await comes_true(lambda: not house.pages.listeners and house.leader.open_connections == 1)
        trunk, end = house.trunks[0], house.relaying.trunks
        await comes_true(lambda: len(end) == 0)
        assert len(house.trunks) == 1
        assert trunk.lines == {}
        gc.collect()
        left = [one for one in gc.get_objects() if isinstance(one, (Audience, LineAudience, CarriedClient))]
        assert len(left) <= 4  # the last one that was told, at either end

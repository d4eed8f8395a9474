"""Clients whose connections another process holds: what all are told goes over the trunk once, and each ends alone."""

import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import attrs
import trio
from trio_websocket import WebSocketConnection

from tests.support.wire import CarryingEdge, Place, closed, pair, receive
from townwatch.transports.edge.connection import Connection
from townwatch.transports.edge.server import Edge, EdgeSettings
from townwatch.transports.socketio import EngineSettings, TrioServer
from townwatch.transports.trunk import frames as f
from townwatch.transports.trunk.far_end import FarEnd
from townwatch.transports.trunk.lines import Trunk

SLOW = EngineSettings(ping_interval=60, ping_timeout=60, backlog=200_000)


@attrs.define(eq=False)
class Carried:
    """A leader and a process that carries clients to it."""

    server: TrioServer
    edge: Edge
    front: CarryingEdge
    trunk: Trunk
    place: Place
    link: Connection
    """The leader's end."""

    @asynccontextmanager
    async def client(self) -> AsyncIterator[WebSocketConnection]:
        """A client in the room."""
        async with self.place.websocket() as socket:
            await receive(socket)
            await socket.send_message("40")
            await receive(socket)
            yield socket


@asynccontextmanager
async def carried() -> AsyncIterator[Carried]:
    server = TrioServer(engine=SLOW, recovery=None)

    async def connect(sid: str, _environ: Any, _auth: Any = None) -> None:
        server.enter_room_nowait(sid, "room")

    on: Any = server.on
    on("connect", connect)
    on("echo", lambda _sid, text: text)
    edge, front = Edge(EdgeSettings(port=0)), CarryingEdge(EdgeSettings(port=0))
    server.mount(edge)
    async with trio.open_nursery() as nursery:
        await nursery.start(server.run)
        await nursery.start(edge.serve)
        ours, theirs = (Connection(sock, nursery) for sock in pair())
        front.far_end, trunk = FarEnd(theirs, nursery), Trunk(ours, edge, nursery)
        nursery.start_soon(trunk.run)
        nursery.start_soon(front.far_end.run)
        (address,) = await nursery.start(front.serve)
        place = Place(f"127.0.0.1:{address[1]}", "/socket.io", None, edge, server)  # type: ignore[arg-type]
        yield Carried(server, edge, front, trunk, place, ours)
        assert edge.failed_connections == front.failed_connections == 0
        nursery.cancel_scope.cancel()


async def until(true: Any) -> None:
    with trio.fail_after(5):
        while not true():
            await trio.sleep(0.01)


async def test_a_broadcast_goes_over_the_trunk_once_however_many_hear_it() -> None:
    async with carried() as town, town.client() as one, town.client() as two, town.client() as three:
        for number in range(5):
            town.server.publish("news", json.dumps(number).encode(), ("room",))
            for client in (one, two, three):
                assert await receive(client) == f'42["news",{number}]'
        assert town.trunk.spreads == 5
        async with town.client() as four:  # the audience is another now
            town.server.publish("news", b"5", ("room",))
            for client in (one, two, three, four):
                assert await receive(client) == '42["news",5]'
        assert town.trunk.spreads == 6


async def test_one_that_reads_nothing_is_cut_and_costs_the_others_nothing() -> None:
    async with carried() as town, town.client() as slow, town.client() as quick:
        text, heard = json.dumps("x" * 100_000).encode(), 0
        with trio.fail_after(10):
            while town.server.engine.slow_clients_cut == 0:
                town.server.publish("news", text, ("room",))
                assert len(await receive(quick)) > 100_000
                heard += 1
        await until(lambda: len(town.front.far_end) == 1)
        assert await closed(slow)
        town.server.publish("news", b"1", ("room",))
        assert await receive(quick) == '42["news",1]'
        assert len(town.server.engine.sessions) == 1


async def test_clients_end_with_the_trunk_and_with_their_own_connection() -> None:
    async with carried() as town, town.client() as one:
        async with town.client():
            await until(lambda: len(town.trunk.lines) == 2)
        await until(lambda: len(town.trunk.lines) == 1)
        await until(lambda: len(town.server.engine.sessions) == 1)
        town.link.abort()
        assert await closed(one)
        await until(lambda: not town.server.engine.sessions)
        await until(lambda: town.edge.open_connections == town.front.open_connections == 0)
        assert not town.front.far_end.open


async def test_what_a_client_sends_waits_where_it_is_connected() -> None:
    """The leader keeps a window of a client that sends faster than it is read."""
    async with carried() as town:
        gate = trio.Event()

        async def wait(_session: Any) -> None:
            await gate.wait()

        town.server.engine.gate = wait
        async with town.client() as client, trio.open_nursery() as nursery:

            async def send() -> None:
                for _ in range(400):
                    await client.send_message('42["echo","' + "y" * 10_000 + '"]')
                await client.send_message('421["echo","still here"]')

            nursery.start_soon(send)
            (line,) = town.trunk.lines.values()
            held = -1
            while held != (held := len(line._received)) or not held:  # pyright: ignore[reportPrivateUsage]
                await trio.sleep(0.3)
            assert held <= 2 * f.WINDOW
            gate.set()
            assert await receive(client, 10) == '431["still here"]'


async def test_a_peer_that_does_not_speak_it_ends_its_trunk_only() -> None:
    async with carried() as town, town.client() as client, trio.open_nursery() as nursery:
        for said in (
            f.frame(99, 1),
            f.frame(f.OPEN, 1, b"{}"),
            f.frame(f.DATA, 1) * 3 + f.frame(f.OPEN, 7, b"no"),
            b"\xff" * 99,
        ):
            ours, theirs = pair()
            nursery.start_soon(Trunk(Connection(ours, nursery), town.edge, nursery).run)
            theirs.send(said)
            with trio.fail_after(5):
                await trio.lowlevel.wait_readable(theirs)
            assert theirs.recv(100) == b"", said
            theirs.close()
        town.server.publish("news", b"1", ("room",))
        assert await receive(client) == '42["news",1]'

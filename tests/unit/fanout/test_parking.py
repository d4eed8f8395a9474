"""Connections that wait without a task."""

import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import attrs
import trio
import trio.testing

from townwatch.transports.edge.connection import Connection
from townwatch.transports.edge.idle import IdlePoller, Resume


@attrs.define
class Yard:
    """A parking, its connections, and what they got."""

    nursery: trio.Nursery
    parking: IdlePoller[Connection]
    heard: list[bytes | None] = attrs.field(factory=list)

    def connect(self) -> tuple[Connection, socket.socket]:
        ours, theirs = socket.socketpair()
        ours.setblocking(False)
        connection = Connection(ours, self.nursery)
        connection.poller = self.parking
        return connection, theirs

    def park(self, connection: Connection) -> bool:
        async def resume() -> None:
            self.heard.append(connection.recv_nowait())

        return connection.park(resume)

    @property
    def tasks(self) -> int:
        return len(self.nursery.child_tasks)


@asynccontextmanager
async def yard() -> AsyncIterator[Yard]:
    async def go_on(_connection: Connection, resume: Resume) -> None:
        await resume()

    async with trio.open_nursery() as nursery:
        place = Yard(nursery, IdlePoller(nursery, go_on))
        nursery.start_soon(place.parking.run)
        await trio.testing.wait_all_tasks_blocked()
        yield place
        nursery.cancel_scope.cancel()


async def until_heard(place: Yard, count: int) -> None:
    with trio.fail_after(5):
        while len(place.heard) < count:
            await trio.sleep(0.001)


async def test_a_thousand_wait_in_one_task_and_each_goes_on_with_what_it_is_told():
    async with yard() as place:
        peers = [place.connect() for _ in range(200)]
        assert all(place.park(ours) for ours, _ in peers)
        await trio.testing.wait_all_tasks_blocked()
        assert (place.tasks, len(place.parking)) == (1, 200)
        for number, (_, theirs) in enumerate(peers):
            theirs.send(b"%d" % number)
        await until_heard(place, 200)
        assert sorted(place.heard, key=lambda one: int(one or b"")) == [b"%d" % number for number in range(200)]
        assert len(place.parking) == 0
        for ours, theirs in peers:
            ours.abort()
            theirs.close()


async def test_what_came_before_it_was_parked_counts():
    async with yard() as place:
        ours, theirs = place.connect()
        theirs.send(b"early")
        place.park(ours)
        await until_heard(place, 1)
        assert place.heard == [b"early"]
        ours.abort()
        theirs.close()


async def test_who_hangs_up_is_heard():
    async with yard() as place:
        ours, theirs = place.connect()
        place.park(ours)
        theirs.close()
        await until_heard(place, 1)
        assert place.heard == [b""]
        ours.abort()


async def test_what_is_cut_while_it_is_parked_goes_on_to_see_that_it_is_over():
    async with yard() as place:
        ours, theirs = place.connect()
        place.park(ours)
        ours.abort()
        await until_heard(place, 1)
        assert (place.heard, ours.ticket, len(place.parking)) == ([b""], None, 0)
        assert not place.park(ours)
        theirs.close()


async def test_a_descriptor_that_is_used_again_is_another_connection():
    async with yard() as place:
        first, peer = place.connect()
        number = first.sock.fileno()
        place.park(first)
        first.abort()
        peer.close()
        second, other = place.connect()
        assert second.sock.fileno() == number
        assert place.park(second)
        other.send(b"second")
        await until_heard(place, 2)
        assert sorted(one or b"" for one in place.heard) == [b"", b"second"]
        second.abort()
        other.close()


async def test_when_the_listener_ends_all_go_on_and_nobody_is_parked_any_more():
    async with yard() as place:
        peers = [place.connect() for _ in range(3)]
        for ours, _ in peers:
            place.park(ours)
        place.nursery.cancel_scope.cancel()
    assert place.heard == [None, None, None]
    assert not any(ours.can_park or place.park(ours) for ours, _ in peers)
    for ours, theirs in peers:
        ours.abort()
        theirs.close()

"""Connections that wait without a task."""

import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import attrs
import pytest
import trio
import trio.testing

from townwatch.transports.edge.connection import Connection
from townwatch.transports.edge.idle import ALONE, BEGUN_AT_ONCE, ENCRYPTED_AT_ONCE, IdlePoller, Resume


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
async def yard(**options: Any) -> AsyncIterator[Yard]:
    async def go_on(_connection: Connection, resume: Resume) -> None:
        await resume()

    async with trio.open_nursery() as nursery:
        place = Yard(nursery, IdlePoller(nursery, go_on, **options))
        nursery.start_soon(place.parking.run)
        await trio.testing.wait_all_tasks_blocked()
        yield place
        nursery.cancel_scope.cancel()


async def until_heard(place: Yard, count: int) -> None:
    with trio.fail_after(30):
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


def add_new(place: Yard, seconds: float = 60.0) -> tuple[Connection, socket.socket]:
    connection, theirs = place.connect()

    async def resume() -> None:
        place.heard.append(connection.recv_nowait())

    connection.ticket = place.parking.add_new(connection, resume, seconds)
    return connection, theirs


@pytest.mark.parametrize("begun", [BEGUN_AT_ONCE, ENCRYPTED_AT_ONCE])
async def test_of_a_crowd_only_so_many_begin_in_one_pass_and_health_is_asked_first(begun: int):
    async with yard(begun=begun) as place:
        peers = [add_new(place) for _ in range(100)]
        for number, (_, theirs) in enumerate(peers):
            theirs.send(b"GET /healthz HTTP/1.1" if number == 60 else b"%03d" % number)
        at_once = 0
        with trio.fail_after(30):
            while len(place.heard) < 100:
                before = len(place.heard)
                await trio.lowlevel.checkpoint()
                at_once = max(at_once, len(place.heard) - before)
        assert at_once <= 2 * begun + 1, "of two passes, and the one that asked for health"
        assert b"GET /healthz HTTP/1.1" in place.heard[: 2 * begun]
        assert {b"000", b"099"} <= set(place.heard[: 2 * begun]), "the oldest and the newest"
        for ours, theirs in peers:
            ours.abort()
            theirs.close()


@pytest.mark.parametrize("said", [b"GET /healthz HTTP/1.1", b"GET / HTTP/1.1"], ids=["health", "a page"])
async def test_a_crowd_from_one_network_has_one_turn_of_each_pass(said: bytes):
    async with yard() as place:
        peers: list[tuple[Connection, socket.socket]] = []
        for number in range(300):
            ours, theirs = place.connect()
            ours.peer = f"2001:db8:1:2::{number:x}" if number not in (100, 200) else f"192.0.2.{number}"

            async def resume(name: bytes = ours.peer.encode()) -> None:
                place.heard.append(name)

            theirs.send(said)
            ours.ticket = place.parking.add_new(ours, resume, 60.0)
            peers.append((ours, theirs))
        await until_heard(place, 300)
        assert {b"192.0.2.100", b"192.0.2.200"} <= set(place.heard[:BEGUN_AT_ONCE])
        for ours, theirs in peers:
            ours.abort()
            theirs.close()


async def test_a_new_connection_that_says_nothing_is_closed_in_its_time():
    async with yard() as place:
        ours, theirs = add_new(place, 0.01)
        later, other = add_new(place, 60.0)
        await until_heard(place, 1)
        assert (place.heard, ours.closed, later.closed) == ([b""], True, False)
        assert theirs.recv(1) == b""
        later.abort()
        theirs.close()
        other.close()


async def test_what_is_cut_while_it_stands_in_line_goes_on_to_see_that_it_is_over():
    async with yard() as place:
        peers = [add_new(place) for _ in range(50)]
        for _, theirs in peers:
            theirs.send(b"x")
        await trio.lowlevel.checkpoint()
        for ours, theirs in peers:
            ours.abort()
            theirs.close()
        await until_heard(place, 50)
        assert len(place.parking) == 0


async def test_tasks_beyond_a_few_wait_in_line_and_each_is_told_when_its_time_is_over() -> None:
    async with yard() as place:
        told: list[tuple[int, bytes | None]] = []
        peers = [place.connect() for _ in range(ALONE + 100)]

        async def read(number: int, connection: Connection) -> None:
            try:
                told.append((number, await connection.recv(ends=trio.current_time() + (0.05 if number % 2 else 60))))
            except trio.TooSlowError:
                told.append((number, None))

        for number, (ours, _) in enumerate(peers):
            place.nursery.start_soon(read, number, ours)
        await trio.testing.wait_all_tasks_blocked()
        assert len(place.parking) == 100
        with trio.fail_after(30):
            while len(told) < len(peers) // 2:
                await trio.sleep(0.01)
        for number, (_, theirs) in enumerate(peers):
            if not number % 4:
                theirs.send(b"%d" % number)
        awaited = sum(number % 2 or not number % 4 for number in range(len(peers)))
        with trio.fail_after(30):
            while len(told) < awaited:
                await trio.sleep(0.01)
        place.nursery.cancel_scope.cancel()
    assert sorted(told) == sorted((n, None if n % 2 else b"%d" % n) for n in range(len(peers)) if n % 2 or not n % 4)
    assert len(place.parking) == 0
    for ours, theirs in peers:
        ours.abort()
        theirs.close()

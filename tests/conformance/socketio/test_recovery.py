"""Connection state recovery, on the wire: as the official server does it, and where that is known to fail, right."""

import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import attrs
import pytest
import trio
from trio_websocket import WebSocketConnection

from tests.support.wire import Place, receive, socketio_place
from townwatch.transports.socketio import EngineSettings, RecoverySettings, TrioServer

CALM = EngineSettings()
seen_connects: list[bool] = []


def application(server: TrioServer) -> None:
    on: Any = server.on

    async def connect(_sid: str, environ: dict[str, Any], _auth: Any) -> None:
        seen_connects.append(environ["townwatch.recovered"])

    async def join(sid: str, room: str) -> str:
        server.enter_room_nowait(sid, room)
        return "in"

    on("connect", connect)
    on("join", join)
    on("?", lambda _sid: None)


@asynccontextmanager
async def place(**settings: Any) -> AsyncIterator[Place]:
    seen_connects.clear()
    async with socketio_place(application, CALM, RecoverySettings(**settings)) as found:
        yield found


@attrs.define
class Client:
    socket: WebSocketConnection
    sid: str
    pid: str
    offset: str | None = None

    async def event(self) -> list[Any]:
        """The next event's arguments, without its offset."""
        packet = json.loads((await receive(self.socket))[2:])
        self.offset = packet.pop()
        return packet

    async def join(self, room: str) -> None:
        await self.socket.send_message(f'421["join","{room}"]')
        assert await receive(self.socket) == '431["in"]'


@asynccontextmanager
async def connect(found: Place) -> AsyncIterator[Client]:
    async with found.websocket() as socket:
        await receive(socket)
        await socket.send_message("40")
        greeting = json.loads((await receive(socket))[2:])
        yield Client(socket, greeting["sid"], greeting["pid"])


@asynccontextmanager
async def come_back(
    found: Place, pid: str, offset: Any = None
) -> AsyncIterator[tuple[list[list[Any]], dict[str, str], Any]]:
    """(missed events with their offsets, the greeting, the socket)."""
    async with found.websocket() as socket:
        await receive(socket)
        auth = {"pid": pid} if offset is None else {"pid": pid, "offset": offset}
        await socket.send_message("40" + json.dumps(auth))
        greeting = json.loads((await receive(socket))[2:])
        await socket.send_message('429["?"]')
        missed: list[list[Any]] = []
        while (packet := await receive(socket)).startswith("42"):
            missed.append(json.loads(packet[2:]))
        assert packet == "439[]"
        yield missed, greeting, socket


def publish(found: Place, number: int, *rooms: str) -> None:
    found.server.publish("e", json.dumps(number).encode(), rooms)


async def until_gone(found: Place, sid: str) -> None:
    with trio.fail_after(3):
        while sid in found.server.space("/").sockets:
            await trio.sleep(0.01)


async def test_who_comes_back_in_time_is_the_same_and_gets_what_it_missed() -> None:
    async with place() as found:
        async with connect(found) as client:
            await client.join("r")
            publish(found, 1, "r")
            assert await client.event() == ["e", 1]
        await until_gone(found, client.sid)
        publish(found, 2, "r")
        publish(found, 3, "elsewhere")
        publish(found, 4, client.sid)
        async with come_back(found, client.pid, client.offset) as (missed, greeting, socket):
            assert [packet[:2] for packet in missed] == [["e", 2], ["e", 4]]
            assert greeting == {"sid": client.sid, "pid": client.pid}
            publish(found, 5, "r")
            assert json.loads((await receive(socket))[2:])[:2] == ["e", 5]
        assert seen_connects == [False, True]


async def test_without_any_event_seen_one_is_recovered_too() -> None:
    async with place() as found:
        publish(found, 0, "r")
        async with connect(found) as client:
            await client.join("r")
        await until_gone(found, client.sid)
        publish(found, 1, "r")
        async with come_back(found, client.pid) as (missed, greeting, _):
            assert [packet[:2] for packet in missed] == [["e", 1]]
            assert greeting["sid"] == client.sid


async def test_a_room_has_an_audience_while_somebody_is_there_or_may_come_back() -> None:
    async with place(seconds=0.2) as found:
        audience = found.server.has_audience
        assert not audience(["r"])
        async with connect(found) as client:
            await client.join("r")
            assert audience(["r"]) and audience(["other", "r"]) and not audience(["other"])
        await until_gone(found, client.sid)
        assert audience(["r"]) and not audience(["other"])
        await trio.sleep(0.3)
        assert not audience(["r"])


@pytest.mark.parametrize("offset", ["nonsense", "00000000.1", 5, ""])
async def test_an_offset_of_another_time_begins_anew(offset: Any) -> None:
    async with place() as found:
        async with connect(found) as client:
            await client.join("r")
        await until_gone(found, client.sid)
        async with come_back(found, client.pid, offset) as (missed, greeting, _):
            assert missed == []
            assert greeting["sid"] != client.sid


async def test_an_unknown_private_id_begins_anew() -> None:
    async with place() as found, come_back(found, "guessed", "x.1") as (missed, greeting, _):
        assert (missed, bool(greeting["sid"])) == ([], True)


async def test_a_private_id_is_good_once() -> None:
    async with place() as found:
        async with connect(found) as client:
            pass
        await until_gone(found, client.sid)
        async with come_back(found, client.pid) as (_, first, _socket):
            assert first["sid"] == client.sid
            publish(found, 1, client.sid)
        await until_gone(found, client.sid)
        async with come_back(found, client.pid) as (_, again, _socket):
            assert again["sid"] == client.sid  # lost again, so kept again


async def test_after_its_time_one_begins_anew() -> None:
    async with place(seconds=0.2) as found:
        async with connect(found) as client:
            await client.join("r")
        await until_gone(found, client.sid)
        await trio.sleep(0.3)
        async with come_back(found, client.pid) as (_, greeting, _socket):
            assert greeting["sid"] != client.sid


async def test_a_client_that_said_goodbye_does_not_come_back() -> None:
    async with place() as found:
        async with connect(found) as client:
            await client.socket.send_message("41")
            await until_gone(found, client.sid)
        async with come_back(found, client.pid) as (_, greeting, _socket):
            assert greeting["sid"] != client.sid


async def test_a_client_that_was_cut_comes_back() -> None:
    async with place() as found:
        async with connect(found) as client:
            await found.server.close_transport(client.sid)
            await until_gone(found, client.sid)
        async with come_back(found, client.pid) as (_, greeting, _socket):
            assert greeting["sid"] == client.sid


async def test_a_half_open_connection_is_taken_over() -> None:
    async with place() as found, connect(found) as client:
        await client.join("r")
        publish(found, 1, "r")
        assert await client.event() == ["e", 1]
        async with come_back(found, client.pid, client.offset) as (missed, greeting, socket):
            assert (missed, greeting["sid"]) == ([], client.sid)
            publish(found, 2, "r")
            assert json.loads((await receive(socket))[2:])[:2] == ["e", 2]


@pytest.mark.parametrize("cut_in_the_middle", [True, False])
async def test_an_offset_of_a_catch_up_does_not_say_what_was_seen_so_it_begins_anew(cut_in_the_middle: bool) -> None:
    """What is published during a catch-up follows it, with an offset below those of the catch-up."""
    async with place() as found:
        async with connect(found) as client:
            await client.join("r")
            async with found.server.catch_up(client.sid) as replay:
                publish(found, 2, "r")
                replay.send("e", b"1")
                assert await client.event() == ["e", 1]
                if cut_in_the_middle:
                    await client.socket.aclose()
                    await until_gone(found, client.sid)
            if not cut_in_the_middle:
                assert await client.event() == ["e", 2]
        await until_gone(found, client.sid)
        async with come_back(found, client.pid, client.offset) as (missed, greeting, _):
            assert (missed, greeting["sid"] != client.sid) == ([], True)


async def test_after_a_catch_up_in_which_nothing_was_held_back_it_is_recovered() -> None:
    async with place() as found:
        async with connect(found) as client:
            await client.join("r")
            async with found.server.catch_up(client.sid) as replay:
                replay.send("e", b"1")
            assert await client.event() == ["e", 1]
        await until_gone(found, client.sid)
        publish(found, 2, "r")
        async with come_back(found, client.pid, client.offset) as (missed, greeting, _):
            assert ([packet[:2] for packet in missed], greeting["sid"]) == ([["e", 2]], client.sid)


async def test_a_volatile_event_does_not_spoil_the_offset() -> None:
    async with place() as found:
        async with connect(found) as client:
            await client.join("r")
            publish(found, 1, "r")
            assert await client.event() == ["e", 1]
            found.server.emit_nowait("v", "text", to="r", volatile=True)
            assert await client.event() == ["v", "text"]
        await until_gone(found, client.sid)
        publish(found, 2, "r")
        async with come_back(found, client.pid, client.offset) as (missed, _, _socket):
            assert [packet[:2] for packet in missed] == [["e", 2]]


async def test_what_is_purged_matters_only_to_those_it_was_for() -> None:
    async with place(packets=5) as found:
        async with connect(found) as mine, connect(found) as theirs:
            await mine.join("mine")
            await theirs.join("theirs")
            publish(found, 0, "mine")
            publish(found, 0, "theirs")
            await mine.event()
            await theirs.event()
        await until_gone(found, mine.sid)
        await until_gone(found, theirs.sid)
        for number in range(1, 20):
            publish(found, number, "theirs")
        async with come_back(found, mine.pid, mine.offset) as (missed, greeting, _):
            assert (missed, greeting["sid"]) == ([], mine.sid)
        async with come_back(found, theirs.pid, theirs.offset) as (_, greeting, _socket):
            assert greeting["sid"] != theirs.sid

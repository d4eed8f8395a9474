"""The Socket.IO Admin UI's side of the server: who may look, what is told, what it may do.

The events and their arguments are those of https://github.com/socketio/socket.io-admin-ui, server version 0.5.
"""

import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest
import trio
from trio_websocket import WebSocketConnection

from tests.support.wire import Place, receive, socketio_place
from transports.socketio import EngineSettings, TrioServer

SECRET = {"username": "ada", "password": "right"}


@asynccontextmanager
async def place(**options: Any) -> AsyncIterator[Place]:
    def application(server: TrioServer) -> None:
        async def join(sid: str, room: str) -> str:
            await server.enter_room(sid, room)
            return "in"

        on: Any = server.on
        on("join", join)
        server.instrument(**{"auth": SECRET, "server_stats_interval": 0.1, **options})

    async with socketio_place(application, EngineSettings(origins=None)) as found:
        yield found


class Admin:
    """Somebody at the Admin UI."""

    def __init__(self, socket: WebSocketConnection) -> None:
        self.socket = socket

    async def told(self, event: str) -> list[Any]:
        """The arguments of the next event of this name; others are passed over."""
        while True:
            packet: str = await receive(self.socket)
            if packet.startswith("42/admin,"):
                name, *arguments = json.loads(packet.removeprefix("42/admin,"))
                if name == event:
                    return arguments

    async def ask(self, *event: Any) -> None:
        await self.socket.send_message("42/admin," + json.dumps(event))


async def enter(socket: WebSocketConnection, name: str = "/", auth: Any = None) -> str:
    """The server's answer to a CONNECT."""
    if name == "/":
        await receive(socket)
    prefix = "" if name == "/" else f"{name},"
    await socket.send_message(f"40{prefix}{json.dumps(auth or {})}")
    return await receive(socket)


@asynccontextmanager
async def looking(found: Place, auth: Any = SECRET) -> AsyncIterator[Admin]:
    async with found.websocket() as socket:
        await receive(socket)
        assert (await enter(socket, "/admin", auth)).startswith("40/admin,")
        yield Admin(socket)


@asynccontextmanager
async def somebody(found: Place) -> AsyncIterator[tuple[WebSocketConnection, str]]:
    async with found.websocket() as socket:
        yield socket, json.loads((await enter(socket))[2:])["sid"]


def by_name(shown: Any) -> bool:
    return shown.get("username") == "ada"


async def by_name_later(shown: Any) -> bool:
    await trio.lowlevel.checkpoint()
    return by_name(shown)


@pytest.mark.parametrize("auth", [SECRET, [{"username": "x"}, SECRET], by_name, by_name_later, False])
async def test_who_may_look(auth: Any) -> None:
    async with place(auth=auth) as found, looking(found) as admin:
        assert "serverId" in (await admin.told("server_stats"))[0]


@pytest.mark.parametrize("auth", [SECRET, [SECRET], by_name, by_name_later])
@pytest.mark.parametrize("shown", [{"username": "eve", "password": "right"}, {}, {"username": ["ada"]}])
async def test_who_may_not(auth: Any, shown: Any) -> None:
    async with place(auth=auth) as found, found.websocket() as socket:
        await receive(socket)
        refusal = await enter(socket, "/admin", shown)
        assert refusal == '44/admin,{"message":"authentication failed"}'


def test_it_is_not_open_by_oversight() -> None:
    with pytest.raises(ValueError, match="auth"):
        TrioServer().instrument()


async def test_who_comes_is_told_what_the_server_can_do_and_who_is_there() -> None:
    async with place(server_id="one") as found, somebody(found) as (socket, sid):
        await socket.send_message('421["join","red"]')
        assert await receive(socket) == '431["in"]'
        async with looking(found) as admin:
            features = (await admin.told("config"))[0]["supportedFeatures"]
            commands = {"EMIT", "JOIN", "LEAVE", "DISCONNECT", "MJOIN", "MLEAVE", "MDISCONNECT"}
            assert set(features) == commands | {"AGGREGATED_EVENTS", "ALL_EVENTS"}
            (everybody,) = await admin.told("all_sockets")
            (one,) = [known for known in everybody if known["nsp"] == "/"]
            assert (one["id"], one["transport"], one["rooms"]) == (sid, "websocket", [sid, "red"])
            assert one["handshake"]["address"] == "127.0.0.1"
            (stats,) = await admin.told("server_stats")
            assert (stats["serverId"], stats["clientsCount"], stats["pollingClientsCount"]) == ("one", 2, 0)
            assert {"name": "/", "socketsCount": 1} in stats["namespaces"]


async def test_what_happens_is_told_as_it_happens() -> None:
    async with place() as found, looking(found) as admin:
        async with somebody(found) as (socket, sid):
            assert (await admin.told("socket_connected"))[0]["id"] == sid
            await socket.send_message('421["join","red"]')
            assert (await admin.told("event_received"))[:3] == ["/", sid, ["join", "red"]]
            assert (await admin.told("room_joined"))[:3] == ["/", "red", sid]
            found.server.publish("news", b'{"n":1}', ["red"])
            assert (await admin.told("event_sent"))[:3] == ["/", sid, ["news", {"n": 1}]]
            await found.server.emit("direct", "x", to=sid)
            assert (await admin.told("event_sent"))[:3] == ["/", sid, ["direct", "x"]]
            found.server.leave_room_nowait(sid, "red")
            assert (await admin.told("room_left"))[:3] == ["/", "red", sid]
        assert (await admin.told("socket_disconnected"))[:2] == ["/", sid]


async def test_the_numbers_count_what_went_in_and_out() -> None:
    async with place(mode="production") as found, looking(found) as admin, somebody(found) as (socket, sid):
        for _ in range(3):
            found.server.publish("news", b"1", [sid])
            assert await receive(socket) == '42["news",1]'
        counted = dict[str, int]()
        with trio.fail_after(5):
            while counted.get("packetsOut", 0) < 3 or not counted.get("rawConnection"):
                for one in (await admin.told("server_stats"))[0]["aggregatedEvents"]:
                    counted[one["type"]] = counted.get(one["type"], 0) + one["count"]
        assert counted["packetsIn"] >= 1  # the CONNECT
        assert counted["bytesOut"] >= 3


async def test_it_may_move_speak_to_and_cut_sockets() -> None:
    async with place() as found, looking(found) as admin, somebody(found) as (socket, sid):
        await admin.ask("join", "/", "blue", sid)
        assert (await admin.told("room_joined"))[:3] == ["/", "blue", sid]
        await admin.ask("emit", "/", "blue", "hello", 1, 2)
        assert await receive(socket) == '42["hello",1,2]'
        await admin.ask("leave", "/", "blue", sid)
        assert (await admin.told("room_left"))[:3] == ["/", "blue", sid]
        await admin.ask("_disconnect", "/", False, sid)
        assert await receive(socket) == "41"


async def test_read_only_it_may_look_and_touch_nothing() -> None:
    async with place(read_only=True) as found, looking(found) as admin, somebody(found) as (socket, sid):
        assert "JOIN" not in (await admin.told("config"))[0]["supportedFeatures"]
        await admin.ask("_disconnect", "/", False, sid)
        await admin.told("server_stats")
        await socket.send_message('421["join","red"]')
        assert await receive(socket) == '431["in"]'


async def test_nothing_is_told_after_the_end() -> None:
    async with place() as found, looking(found) as admin:
        await admin.told("server_stats")
        found.server.observer.uninstrument()
        async with somebody(found):
            with pytest.raises(trio.TooSlowError), trio.fail_after(0.4):
                await admin.told("socket_connected")

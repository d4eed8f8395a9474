"""A client that comes back before the service has done with its old connection is let in, and stays."""

import json
from pathlib import Path
from typing import Any

import trio
from trio_websocket import WebSocketConnection

from tests.support.people import raw
from tests.support.service import Town, open_town

PATH = "/socket.io/?EIO=4&transport=websocket"


async def come(socket: WebSocketConnection, auth: dict[str, Any]) -> tuple[str, dict[str, Any]]:
    """(40 or 44, what comes with it)."""
    with trio.fail_after(10):
        assert (await socket.get_message())[:1] == "0"
        await socket.send_message("40" + json.dumps(auth))
        while (text := await socket.get_message())[:2] not in ("40", "44"):
            pass
        return text[:2], json.loads(text[2:])


async def joins(socket: WebSocketConnection) -> bool:
    with trio.fail_after(10):
        await socket.send_message('427["join_village",{"villageId":"demo"}]')
        while not (text := await socket.get_message()).startswith("437"):
            assert text == "2", text
        return json.loads(text[3:])[0]["ok"]


def slow_to_end(town: Town, sid: str) -> None:
    """Its old actor is still at something when the new connection comes."""
    actor: Any = town.service.context.directory.clients[sid]._actor_weakref()
    ends = actor.on_stop

    async def later() -> None:
        await trio.sleep(0.2)
        ends()

    actor.on_stop = later


async def test_who_comes_back_while_their_actor_ends_is_let_in(tmp_path: Path) -> None:
    async with open_town(tmp_path) as town, raw(town, PATH) as old, raw(town, PATH) as new:
        _, first = await come(old, {"token": town.token})
        slow_to_end(town, first["sid"])
        answer, second = await come(new, {"token": town.token, "pid": first["pid"]})
        assert (answer, second) == ("40", first)
        assert await joins(new)


async def test_what_is_told_late_of_an_old_connection_does_not_end_the_new_one(tmp_path: Path) -> None:
    async with open_town(tmp_path) as town, raw(town, PATH) as old, raw(town, PATH) as new:
        _, first = await come(old, {"token": town.token})
        answer, _ = await come(new, {"token": town.token, "pid": first["pid"]})
        assert answer == "40"
        await town.service.server._trigger("disconnect", "/", first["sid"], "transport close")
        assert await joins(new)

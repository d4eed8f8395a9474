"""A change of role, a removal, a revoked token: they hold on connections that live, at once."""

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import attrs
import httpx
import pytest
import trio

from tests.support.cast import event
from tests.support.people import KINDS, Kind, Live, connected, person, rest
from tests.support.service import ScriptedRunner, Town, open_town
from townwatch.contracts.scopes import wire_room

SOON = 1.0
MEMBER = "/api/villages/demo/members/user_ada"
STARTED = event("SESSION_STARTED", 1, providerId="command", providerVersion="1", workspacePath="/w")


@attrs.define
class Place:
    town: Town
    runner: ScriptedRunner
    admin: httpx.AsyncClient
    socketio: Live
    control: Live
    token: str

    def rooms(self) -> set[str]:
        """Where ada's connections are, as the service sees it."""
        found = self.town.service.context.directory.of_user("user_ada")
        inside = {
            room
            for one in found
            if one.kind == "socketio"
            for room in self.town.service.server.rooms(one.connection_id)
        }
        return {wire_room(room) for room in inside if ":" in room} | {room for one in found for room in one.rooms()}

    async def soon(self, done: Callable[[], bool]) -> None:
        with trio.fail_after(SOON):
            while not done():
                await trio.sleep(0.01)


@asynccontextmanager
async def open_place(path: Path, role: str = "operator") -> AsyncIterator[Place]:
    """Ada is in the village on both transports, in every room there is."""
    async with open_town(path) as town, town.runner() as runner:
        await runner.send(STARTED)
        await runner.acked(1)
        token = await person(town, "ada", role)
        async with (
            connected(town, "socketio", token) as socketio,
            connected(town, "control", token) as control,
            rest(town, town.token) as admin,
        ):
            state = town.service.context.board.session("s1")
            assert state is not None
            assert (await socketio.emit("join_village", {"villageId": "demo"}))["ok"]
            assert (await socketio.emit("join_agent", {"agentId": state.agent_id, "terminal": True}))["ok"]
            assert (await control.say("subscribe", sessionId="s1"))["event"] == "subscribed"
            place = Place(town, runner, admin, socketio, control, token)
            assert len(place.rooms()) == 5
            yield place


async def refused_everywhere(place: Place) -> None:
    """What was fine a second ago is E_FORBIDDEN, and no event comes any more."""
    typed = {"sessionId": "s1", "data": "x"}
    for name, payload in (
        ("join_village", {"villageId": "demo"}),
        ("join_agent", {"agentId": "runner_s1"}),
        ("terminal_input", typed),
    ):
        assert (await place.socketio.emit(name, payload))["error"]["code"] == "E_FORBIDDEN"
    assert (await place.control.say("subscribe", sessionId="s1"))["event"] == "unsubscribed"  # it had been told so
    assert (await place.control.next())["code"] == "FORBIDDEN"
    told = await place.control.say("terminal", sessionId="s1", action="input", data="x")
    assert told["code"] in ("FORBIDDEN", "NOT_SUBSCRIBED")
    place.socketio.heard.clear()
    place.control.heard.clear()
    await place.runner.send(event("TERMINAL_CHUNK", 2, data="secret", stream="stdout"))
    await place.runner.acked(2)
    await place.soon(lambda: place.town.service.context.published.get("s1", 0) >= 2)
    await place.socketio.emit("leave_village", {"villageId": "demo"})
    await place.control.say("ping")
    assert "secret" not in str(place.socketio.heard + place.control.heard)


async def test_who_is_removed_is_out_of_every_room(tmp_path: Path) -> None:
    async with open_place(tmp_path) as place:
        assert (await place.admin.delete(MEMBER)).status_code == 200
        await place.soon(lambda: not place.rooms())
        await refused_everywhere(place)


async def test_a_viewer_types_no_more_and_goes_on_watching(tmp_path: Path) -> None:
    async with open_place(tmp_path) as place:
        typed = {"sessionId": "s1", "data": "x"}
        assert (await place.socketio.emit("terminal_input", typed))["ok"]
        assert (await place.admin.put(MEMBER, json={"role": "viewer"})).status_code == 200
        refused = await place.socketio.emit("terminal_input", typed)
        assert refused["error"]["code"] == "E_FORBIDDEN"
        resize = {"sessionId": "s1", "cols": 80, "rows": 24}
        assert (await place.socketio.emit("terminal_resize", resize))["error"]["code"] == "E_FORBIDDEN"
        assert (await place.control.say("terminal", sessionId="s1", action="input", data="x"))["code"] == "FORBIDDEN"
        assert len(place.rooms()) == 5
        assert (await place.admin.put(MEMBER, json={"role": "operator"})).status_code == 200
        assert (await place.socketio.emit("terminal_input", typed))["ok"]


async def test_a_village_that_closes_lets_the_anonymous_go(tmp_path: Path) -> None:
    async with open_place(tmp_path) as place:
        assert (await place.admin.patch("/api/villages/demo", json={"public": True})).status_code == 200
        async with connected(place.town, "socketio", None) as anonymous:
            assert (await anonymous.emit("join_village", {"villageId": "demo"}))["ok"]
            (one,) = [c for c in place.town.service.context.directory.connections.values() if c.user_id is None]
            assert (await place.admin.patch("/api/villages/demo", json={"public": False})).status_code == 200
            await place.soon(lambda: not one.rooms())
            assert (await anonymous.emit("join_village", {"villageId": "demo"}))["error"]["code"] == "E_FORBIDDEN"


@pytest.mark.parametrize("kind", KINDS)
async def test_a_revoked_token_ends_what_came_in_with_it(tmp_path: Path, kind: Kind) -> None:
    async with open_place(tmp_path) as place, rest(place.town, place.token) as adas:
        (token,) = (await adas.get("/api/tokens")).json()["items"]
        assert (await adas.delete(f"/api/tokens/{token['tokenId']}")).status_code == 200
        with trio.fail_after(SOON):
            await (place.socketio if kind == "socketio" else place.control).closed()
        await place.soon(lambda: not place.rooms())
        assert (await adas.get("/api/me")).status_code == 401


async def test_a_client_whose_mailbox_is_full_is_evicted_all_the_same(tmp_path: Path) -> None:
    """Rights do not wait behind what the person sends, and no client's crowd keeps another's rights up."""
    async with open_place(tmp_path) as place:
        crowd: list[Any] = []
        for number in range(400):
            crowd.append(
                place.socketio.socket.send_message(f'42{number + 1000}["join_village",{{"villageId":"demo"}}]')
            )
        for one in crowd:
            await one
        assert (await place.admin.delete(MEMBER)).status_code == 200
        await place.soon(lambda: not place.rooms())

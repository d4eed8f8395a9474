"""Live connections: seen and closed by their owner, and never more than the limit, whatever storms."""

from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

import attrs
import pytest
import trio

from tests.support.people import KINDS, Kind, Refused, connected, person, raw, rest
from tests.support.service import Town, open_town

LIMIT = 10
STORM = 500


def of(town: Town, user_id: str) -> list[Any]:
    return town.service.context.directory.of_user(user_id)


async def until_left(town: Town, user_id: str, count: int) -> None:
    with trio.fail_after(10):
        while len(of(town, user_id)) != count:
            await trio.sleep(0.01)


@pytest.mark.parametrize("kind", KINDS)
async def test_people_see_their_own_connections_and_close_one(tmp_path: Path, kind: Kind) -> None:
    async with open_town(tmp_path) as town:
        ada = await person(town, "ada", "operator")
        bob = await person(town, "bob", "operator")
        async with (
            connected(town, kind, ada, user_agent="a browser") as live,
            connected(town, "socketio", ada) as other,
            rest(town, ada) as http,
            rest(town, bob) as bobs,
        ):
            assert (await other.emit("join_village", {"villageId": "demo"}))["ok"]
            items = (await http.get("/api/me/connections")).json()["items"]
            assert [one["kind"] for one in items] == [kind, "socketio"]
            assert items[0]["userAgent"] == "a browser"
            assert items[0]["address"] == "127.0.0.1"
            assert (items[0]["rooms"], items[1]["rooms"]) == ([], ["village:demo"])
            mine = f"/api/me/connections/{items[0]['connectionId']}"
            assert (await bobs.get("/api/me/connections")).json()["items"] == []
            assert (await bobs.delete(mine)).status_code == 404
            assert (await http.delete(mine)).status_code == 200
            await live.closed()
            await until_left(town, "user_ada", 1)
            assert (await http.delete(mine)).status_code == 404


async def test_an_administrator_sees_everybody_and_closes_anyone(tmp_path: Path) -> None:
    async with open_town(tmp_path) as town:
        ada = await person(town, "ada", "viewer")
        async with connected(town, "control", ada) as live, rest(town, ada) as http, rest(town, town.token) as admin:
            assert (await http.get("/api/connections")).status_code == 403
            (item,) = (await admin.get("/api/connections?userId=user_ada")).json()["items"]
            assert (await admin.delete(f"/api/me/connections/{item['connectionId']}")).status_code == 200
            await live.closed()
            await until_left(town, "user_ada", 0)


@attrs.define
class Storm:
    """Attempts of one user; `live` is counted by who has the connections, `most_inside` by the service."""

    town: Town
    token: str
    live: int = 0
    most: int = 0
    most_inside: int = 0
    refused: list[Any] = attrs.field(factory=list)
    over: trio.Event = attrs.field(factory=trio.Event)

    async def attempt(self, kind: Kind, stay: bool) -> None:
        try:
            async with connected(self.town, kind, self.token):
                self.live += 1
                self.most = max(self.most, self.live)
                try:
                    if stay:
                        await self.over.wait()
                finally:
                    self.live -= 1
        except* Refused as refused:
            self.refused += [error.args[0] for error in refused.exceptions]

    async def watch(self) -> None:
        """Looks at every turn of the loop."""
        while True:
            self.most_inside = max(self.most_inside, len(of(self.town, "user_ada")))
            await trio.lowlevel.checkpoint()


@pytest.mark.parametrize("kinds", [("socketio",), KINDS], ids="+".join)
async def test_a_storm_of_500_attempts_at_once_never_has_more_than_10_live(
    tmp_path: Path, kinds: tuple[Kind, ...]
) -> None:
    async with open_town(tmp_path) as town:
        storm = Storm(town, await person(town, "ada", "viewer"))
        async with trio.open_nursery() as watching:
            watching.start_soon(storm.watch)
            async with trio.open_nursery() as attempts:
                for number in range(STORM):
                    attempts.start_soon(storm.attempt, kinds[number % len(kinds)], True)
                with trio.fail_after(60):
                    while storm.live + len(storm.refused) < STORM:
                        await trio.sleep(0.05)
                assert (storm.live, storm.most, storm.most_inside) == (LIMIT, LIMIT, LIMIT)
                assert len(storm.refused) == STORM - LIMIT
                storm.over.set()
            watching.cancel_scope.cancel()
        for told in storm.refused:
            said = told.get("data", told)
            assert said["code"] == "CONNECTION_LIMIT"
            assert "10 of 10" in told["message"]
        await until_left(town, "user_ada", 0)


async def test_who_comes_and_goes_in_a_storm_leaves_no_place_taken(tmp_path: Path) -> None:
    """Half of them hang up as soon as they are in, some before they know: all ten places are free in the end."""
    async with open_town(tmp_path) as town:
        ada = await person(town, "ada", "viewer")
        storm = Storm(town, ada)
        async with trio.open_nursery() as watching:
            watching.start_soon(storm.watch)
            async with trio.open_nursery() as attempts:
                for number in range(100):
                    attempts.start_soon(storm.attempt, KINDS[number % 2], False)
                    attempts.start_soon(_hang_up, town, ada, KINDS[number % 2])
            watching.cancel_scope.cancel()
        assert storm.most_inside <= LIMIT
        await until_left(town, "user_ada", 0)
        with trio.fail_after(20):
            async with AsyncExitStack() as stack:
                for _ in range(LIMIT):
                    await stack.enter_async_context(connected(town, "socketio", ada))
                assert len(of(town, "user_ada")) == LIMIT


async def _hang_up(town: Town, token: str, kind: Kind) -> None:
    """Says who it is and is gone before the answer."""
    path, hello = ("/socket.io/?EIO=4&transport=websocket", f'40{{"token":"{token}"}}')
    if kind == "control":
        path, hello = "/ws", f'{{"type":"authenticate","token":"{token}"}}'
    async with raw(town, path) as socket:
        await socket.send_message(hello)

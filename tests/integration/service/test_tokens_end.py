"""A token that ends takes its live connections with it, within a second, and no others."""

import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import attrs
import httpx
import pytest
import trio
import trio_websocket
from trio_websocket import ConnectionClosed

from tests.support import golden
from tests.support.doorway import websocket
from tests.support.service import NodeClient, Town, open_town
from townwatch.access.grants import grant_api_token
from townwatch.store import members, users

pytestmark = pytest.mark.node
WITHIN_SECONDS = 1.0
JOIN = [["join_village", {"villageId": "demo"}]]
ROW = next(row for row in golden.TABLE if row.name == "output")


@attrs.define
class Desk:
    town: Town
    http: httpx.AsyncClient

    async def ask(self, method: str, path: str, body: Any = None, token: str | None = None) -> httpx.Response:
        headers = {"authorization": f"Bearer {token or self.town.token}"}
        return await self.http.request(method, path, json=body, headers=headers)

    async def token(self, *scopes: str) -> tuple[str, str]:
        """(token, tokenId) of a new API token of the owner."""
        made = await self.ask("POST", "/api/tokens", {"name": "test", "scopes": list(scopes or ("read",))})
        return made.json()["token"], made.json()["tokenId"]

    @asynccontextmanager
    async def control(self, token: str) -> AsyncIterator[trio_websocket.WebSocketConnection]:
        """Authenticated on /ws."""
        async with websocket(int(self.town.url.rpartition(":")[2]), "/ws") as socket:
            await socket.get_message()
            await socket.send_message(json.dumps({"type": "authenticate", "token": token}))
            assert json.loads(await socket.get_message())["event"] == "authenticated"
            yield socket


@asynccontextmanager
async def open_desk(path: Path) -> AsyncIterator[Desk]:
    async with open_town(path) as town, httpx.AsyncClient(base_url=town.url) as http:
        yield Desk(town, http)


async def sent_away(client: NodeClient) -> list[dict[str, Any]]:
    """What it heard until the service disconnected it, for good."""
    with trio.fail_after(WITHIN_SECONDS):
        await client.until(lambda line: line.get("disconnected") == "io server disconnect")
    return client.lines


async def closed(socket: trio_websocket.WebSocketConnection) -> tuple[int, str | None]:
    with trio.fail_after(WITHIN_SECONDS), pytest.raises(ConnectionClosed) as gone:
        while True:
            await socket.get_message()
    assert gone.value.reason is not None
    return gone.value.reason.code, gone.value.reason.reason


@pytest.mark.parametrize("transport", ["websocket", "polling"])
async def test_a_revoked_api_token_takes_its_connections_with_it(tmp_path: Path, transport: str) -> None:
    async with open_desk(tmp_path) as desk:
        (doomed, token_id), (other, _) = await desk.token(), await desk.token()
        options: Any = {"transports": [transport], "joins": JOIN}
        async with desk.town.client(token=doomed, **options) as first, desk.town.client(token=other) as second:
            async with desk.control(doomed) as socket, desk.control(other) as living:
                assert (await desk.ask("DELETE", f"/api/tokens/{token_id}")).status_code == 200
                heard = await sent_away(first)
                assert {"code": "E_UNAUTH", "message": "you were signed out"} in [
                    line["args"][0]["error"] for line in heard if line.get("event") == "ws_error"
                ]
                assert await closed(socket) == (1008, "you were signed out")
                await living.send_message(json.dumps({"type": "ping"}))
                assert json.loads(await living.get_message())["type"] == "pong"
            assert (await second.emit("join_village", {"villageId": "demo"}))["ok"] is True
        async with desk.town.client(token=doomed) as again:
            assert again.lines[-1]["data"] == {"code": "WS_INVALID_TOKEN"}


async def test_signing_out_ends_this_sign_in_and_no_other(tmp_path: Path) -> None:
    async with open_desk(tmp_path) as desk:
        service = desk.town.service
        code = (await service.link()).partition("code=")[2]
        other = (await service.sign_in.exchange(code)).token
        async with desk.town.client() as first, desk.town.client(token=other) as second:
            assert (await desk.ask("POST", "/api/auth/logout")).status_code == 200
            await sent_away(first)
            assert (await second.emit("join_village", {"villageId": "demo"}))["ok"] is True
        assert (await desk.ask("GET", "/api/me")).status_code == 401
        assert (await desk.ask("GET", "/api/me", token=other)).status_code == 200


async def test_a_token_that_is_over_ends_its_connections_by_itself(tmp_path: Path) -> None:
    async with open_desk(tmp_path) as desk:
        now = desk.town.service.context.clock.now_ms()
        short = await desk.town.service.database.call(
            grant_api_token, "user_owner", "short", frozenset({"read"}), now, lifetime_ms=4000
        )
        async with desk.town.client(token=short.token) as client, desk.control(short.token) as socket:
            with trio.fail_after(5):
                await client.until(lambda line: line.get("disconnected") == "io server disconnect")
            assert desk.town.service.context.clock.now_ms() > now + 4000
            assert await closed(socket) == (1008, "your sign-in is over; sign in again")


async def test_who_was_removed_while_away_recovers_nothing(tmp_path: Path) -> None:
    async with open_desk(tmp_path) as desk:
        database, sign_in = desk.town.service.database, desk.town.service.sign_in
        await database.call(users.create, "Bob", 1, user_id="bob")
        await database.call(members.put, "demo", "bob", "viewer", 1)
        token = (await sign_in.exchange(await sign_in.issue_code("bob"))).token
        async with desk.town.runner() as runner, desk.town.client(token=token, joins=JOIN, reconnection=True) as client:
            await runner.send(ROW.event(1))
            await client.until(lambda line: line.get("event") == "work_stream_event")
            await database.call(members.remove, "demo", "bob")  # behind the service's back, as another process may
            await client.cut()
            await client.until(lambda line: "disconnected" in line)
            await runner.send(ROW.event(2))
            await runner.acked(2)
            before = len(client.lines)
            await client.until(lambda line: "joined" in line or "error" in line)
            assert not [line for line in client.lines[before:] if line.get("event") == "work_stream_event"]

"""Any door, any replica: what comes to the port of a replica that does not lead is handed on to the one that does, as
if it had come there.
"""

import itertools
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import attrs
import httpx
import pytest
import trio

from tests.integration.cluster.test_standby import ask, on, readiness
from tests.integration.service.test_promises import SESSIONS, asked, started
from tests.support import postgres
from tests.support.people import connected, person, rest
from tests.support.raw_websocket import frame, opening, raw_websocket
from tests.support.service import Town, open_town, quiet_settings
from townwatch.app.service import open_service
from townwatch.config.process import free_port
from townwatch.runner import identity

pytestmark = pytest.mark.timeout(120)
HOST, CROWD = "127.0.0.1", 500


@attrs.define(eq=False)
class Replicas:
    """A service that leads in this process, and the ports of followers of it."""

    town: Town
    url: str
    ports: list[int]

    def at(self, port: int) -> Town:
        """The town as it is reached at another port."""
        return attrs.evolve(self.town, service=attrs.evolve(self.town.service, url=f"http://{HOST}:{port}"))


async def follow(state: Path, url: str, port: int, leads: trio.Event, name: str, **server: Any) -> None:
    settings = on(url, quiet_settings(state), port=port, **server)
    settings = attrs.evolve(settings, database=attrs.evolve(settings.database, process_name=name))
    async with open_service(settings):
        leads.set()
        await trio.sleep_forever()


async def relays(port: int) -> str:
    """Wait until a follower says that it relays; what it says."""
    with trio.fail_after(20):
        while (said := await readiness(port)).status != 200:
            await trio.sleep(0.05)
    return said.body["cluster"]


@asynccontextmanager
async def open_replicas(folder: Path, server: str, schema: str, followers: int = 2) -> AsyncIterator[Replicas]:
    url = postgres.fresh_schema(server, schema)
    ports = [free_port(HOST) for _ in range(followers)]
    async with open_town(folder / "first", partial(on, url)) as town, trio.open_nursery() as nursery:
        for number, port in enumerate(ports):
            nursery.start_soon(follow, folder / f"follower{number}", url, port, trio.Event(), f"follower{number}")
        for port in ports:
            await relays(port)
        yield Replicas(town, url, ports)
        nursery.cancel_scope.cancel()


async def listed(http: httpx.AsyncClient, count: int) -> list[dict[str, Any]]:
    """The replicas, once so many have been seen."""
    with trio.fail_after(10):
        while len(rows := (await http.get("/api/replicas")).json()["items"]) < count:
            await trio.sleep(0.1)
    return rows


async def test_a_runner_a_person_and_a_program_come_to_three_replicas(tmp_path: Path, postgres_server: str) -> None:
    async with open_replicas(tmp_path, postgres_server, "doors") as all_:
        one, two = all_.ports
        assert (await relays(one)).startswith("relays to first, which leads since 20")
        known = identity.load(all_.town.state)
        identity.save(all_.town.state, attrs.evolve(known, url=f"ws://{HOST}:{one}/runner"))
        ada = await person(all_.town, "ada", "operator")
        async with all_.town.runner() as runner, connected(all_.at(two), "socketio", ada) as live:
            assert (await live.emit("join_village", {"villageId": "demo"}))["ok"]
            await runner.send(started(), asked("a1", 2))
            await runner.acked(2)
            assert [s["sessionId"] for s in (await ask(two, SESSIONS, ada)).body["items"]] == ["s1"]
            for port in all_.ports:  # a person decides at either: the first decision counts
                async with rest(all_.at(port), ada) as http:
                    told = await http.post(f"{SESSIONS}/s1/approvals/a1", json={"decision": "allow"})
                    assert told.status_code == 200
            command = await runner.next("command")
            assert (command["command"], command["approvalId"]) == ("approve", "a1")
            async with connected(all_.at(one), "control", ada) as control:
                assert (await control.say("ping"))["type"] == "pong"
            mcp = {"jsonrpc": "2.0", "id": 1, "method": "ping"}
            async with rest(all_.at(one), ada) as http:
                assert (await http.post("/mcp", json=mcp)).json()["jsonrpc"] == "2.0"
                assert "Townwatch" in (await http.get("/")).text
                rows = await listed(http, 3)
                assert sorted((row["name"], row["role"]) for row in rows) == [
                    ("first", "leader"), ("follower0", "follower"), ("follower1", "follower"),
                ]  # fmt: skip
                assert {row["address"] for row in rows} == {None}


async def test_the_clients_address_is_what_counts_and_is_noted(tmp_path: Path, postgres_server: str) -> None:
    async with open_replicas(tmp_path, postgres_server, "address", followers=1) as all_:
        town, (port,) = all_.town, all_.ports
        transport = httpx.AsyncHTTPTransport(local_address="127.0.0.77")
        headers = {"authorization": f"Bearer {town.token}"}
        async with httpx.AsyncClient(base_url=f"http://{HOST}:{port}", transport=transport, headers=headers) as http:
            made = await http.post("/api/villages", json={"name": "Harbour", "villageId": "harbour"})
            assert made.status_code in (200, 201), made.text
            noted = (await http.get("/api/audit")).json()["items"]
            assert [one["address"] for one in noted if one["action"].startswith("village.")] == ["127.0.0.77"]
            rows = await listed(http, 2)
            assert {f"{HOST}:{port}"} < {row["address"] for row in rows}
            # The follower's own figures are for those who may have the leader's.
        async with httpx.AsyncClient(base_url=f"http://{HOST}:{port}", headers=headers) as http:
            figures = await http.get("/metrics")  # on a connection of its own: the first request decides
            assert 'townwatch_replica_info{replica="follower0",role="follower"' in figures.text
            assert "townwatch_relayed_total" in figures.text
            leaders = await http.get(f"{town.url}/metrics")
            assert 'townwatch_relay_admitted_total{replica="follower0"}' in leaders.text
        asked = {"authorization": "Bearer twp_wrong", "x-forwarded-for": "192.0.2.1"}
        async with httpx.AsyncClient(headers=asked) as stranger:
            refused = await stranger.get(f"http://{HOST}:{port}/metrics")
        assert (refused.status_code, "townwatch_replica" in refused.text) == (401, False)


async def test_one_person_has_ten_connections_however_many_replicas_there_are(
    tmp_path: Path, postgres_server: str
) -> None:
    async with open_replicas(tmp_path, postgres_server, "limits") as all_:
        ada = await person(all_.town, "ada", "viewer")
        doors = [urlsplit(all_.town.url).port or 0, *all_.ports]
        said: list[str] = []
        done = trio.Event()

        async def come(port: int) -> None:
            async with raw_websocket(port, opening("/socket.io/?EIO=4&transport=websocket")) as socket:
                await socket.send(frame(1, b'40{"token":"' + ada.encode() + b'"}'))
                said.append((await socket.until(1))[:2])  # the handshake
                said.append((await socket.until(1))[:2])
                if len(said) == 2 * CROWD:
                    done.set()
                await done.wait()

        with trio.fail_after(60):
            async with trio.open_nursery() as nursery:
                for number in range(CROWD):
                    nursery.start_soon(come, doors[number % len(doors)])
                await done.wait()
                assert len(all_.town.service.context.directory.of_user("user_ada")) == 10
        assert (said.count("40"), said.count("44")) == (10, CROWD - 10)


async def test_who_loses_a_right_is_cut_at_every_replica(tmp_path: Path, postgres_server: str) -> None:
    async with open_replicas(tmp_path, postgres_server, "rights") as all_:
        ada, bob = [await person(all_.town, name, "viewer") for name in ("ada", "bob")]
        one, two = (all_.at(port) for port in all_.ports)
        async with (
            connected(one, "socketio", ada) as adas,
            connected(two, "control", ada) as control,
            connected(two, "socketio", bob) as bobs,
            rest(one, all_.town.token) as http,
        ):
            assert (await http.post("/api/users/user_bob/disable")).status_code == 200
            async with rest(two, ada) as adas_own:
                (token,) = (await adas_own.get("/api/tokens")).json()["items"]
                assert (await adas_own.delete(f"/api/tokens/{token['tokenId']}")).status_code == 200
            for live in (adas, control, bobs):
                await live.closed()
        assert (await ask(all_.ports[1], SESSIONS, ada)).status == 401


async def test_polling_needs_no_replica_of_its_own(tmp_path: Path, postgres_server: str) -> None:
    async with open_replicas(tmp_path, postgres_server, "polling") as all_:
        doors = itertools.cycle([all_.town.url, *(f"http://{HOST}:{port}" for port in all_.ports)])
        query = "/socket.io/?EIO=4&transport=polling"
        async with httpx.AsyncClient(timeout=30) as http:

            async def poll() -> str:
                return (await http.get(f"{next(doors)}{query}&sid={sid}")).text

            async def post(packet: str) -> None:
                assert (await http.post(f"{next(doors)}{query}&sid={sid}", content=packet)).text == "ok"

            sid = json.loads((await http.get(f"{next(doors)}{query}")).text[1:])["sid"]
            await post("40" + json.dumps({"token": all_.town.token}))
            assert (await poll()).startswith("40")
            for number in range(6):
                await post(f'42{number}["join_village",{{"villageId":"demo"}}]')
                heard = ""
                while f"43{number}[" not in heard:
                    heard += await poll()


async def test_what_a_village_is_told_goes_to_a_replica_once_for_all_who_hear_it(
    tmp_path: Path, postgres_server: str
) -> None:
    async with open_replicas(tmp_path, postgres_server, "trunk", followers=1) as all_:
        ada, bob = [await person(all_.town, name, "viewer") for name in ("ada", "bob")]
        there = all_.at(all_.ports[0])
        async with (
            all_.town.runner() as runner,
            connected(there, "socketio", ada) as adas,
            connected(there, "socketio", bob) as bobs,
        ):
            for live in (adas, bobs):
                assert (await live.emit("join_village", {"villageId": "demo"}))["ok"]
            await runner.send(started(), asked("a1", 2))
            for live in (adas, bobs):
                while not (said := await live.next()).startswith('42["approval_requested"'):
                    pass
                assert '"approvalId":"a1"' in said
            async with httpx.AsyncClient(headers={"authorization": f"Bearer {all_.town.token}"}) as http:
                figures = (await http.get(f"{there.url}/metrics")).text
            assert "townwatch_carried_clients 2.0" in figures

"""The bridge in a whole service: official emitters and servers say something to our rooms, the official client hears it
once; and nothing else of theirs gets through.
"""

import re
import socket
from functools import partial
from pathlib import Path
from typing import Any

import attrs
import pytest
import socketio
import trio

from tests.integration.cluster.test_any_door import relays
from tests.integration.cluster.test_standby import on
from tests.integration.interop.cluster import KEY, bridged, figures, joined, official_cluster, until_figure, until_up
from tests.integration.service.test_promises import event, started
from tests.support import postgres
from tests.support.people import rest
from tests.support.redis import RedisServer
from tests.support.service import NodeClient, open_node_client, open_town, quiet_settings
from townwatch.app.service import open_service
from townwatch.config.process import free_port

pytestmark = [pytest.mark.node, pytest.mark.timeout(180)]


async def deployed(client: NodeClient, until: Any) -> list[list[Any]]:
    """What the client was told of `deployed`, up to and with one whose first argument is `until`."""
    found: list[list[Any]] = []
    while not found or found[-1][:1] != [until]:
        line = await client.until(lambda line: line.get("event") == "deployed")
        found.append(line["args"])
    return found


def says_python(redis: RedisServer, *args: Any, **more: Any) -> None:
    """As a program with python-socketio's write-only manager."""
    manager: Any = socketio.RedisManager(redis.url, channel=KEY, write_only=True)
    manager.emit("deployed", args, **{"room": "village:demo", **more})
    manager.redis.close()


async def test_what_official_servers_emit_comes_once_at_the_leader_and_at_a_follower(
    tmp_path: Path, postgres_server: str, redis_server: RedisServer
) -> None:
    url, port = postgres.fresh_schema(postgres_server, "bridge"), free_port("127.0.0.1")

    def settings(given: Any) -> Any:
        found = bridged(redis_server, on(url, given))
        return attrs.evolve(found, database=attrs.evolve(found.database, lease_seconds=60.0))  # no take-over in here

    async def follow() -> None:
        given = settings(quiet_settings(tmp_path / "follower", allowed_hosts=[]))
        given = attrs.evolve(given, server=attrs.evolve(given.server, port=port))
        async with open_service(given):
            await trio.sleep_forever()

    async with open_town(tmp_path / "leader", settings) as town, trio.open_nursery() as nursery:
        nursery.start_soon(follow)
        await relays(port)
        await until_up(town)
        options = joined(token=town.token, transports=["websocket"])
        async with (
            open_node_client(town.url, options) as near,
            open_node_client(f"http://127.0.0.1:{port}", options) as far,
            official_cluster(redis_server) as cluster,
        ):
            for via in ("emitter", "adapter", "streams"):
                await cluster.emits(via, via, {"n": [1, None, "ü"]})
                await cluster.emits(via, via, "two", rooms=["village:demo", "village:demo"])
            await trio.to_thread.run_sync(says_python, redis_server, "python", {"n": 1})
            await cluster.emits("emitter", "end")
            for client in (near, far):
                with trio.fail_after(60):
                    told = [await _next(client) for _ in range(8)]
                by = [one[0] for one in told]
                assert sorted(by) == sorted(["emitter", "adapter", "streams"] * 2 + ["python", "end"])
                assert [one for one in told if one[0] == "streams"] == [
                    ["streams", {"n": [1, None, "ü"]}],
                    ["streams", "two"],
                ]
        nursery.cancel_scope.cancel()


async def _next(client: NodeClient) -> list[Any]:
    return (await client.until(lambda line: line.get("event") == "deployed"))["args"]


async def test_what_is_not_listed_never_comes_and_is_counted(tmp_path: Path, redis_server: RedisServer) -> None:
    settings = partial(bridged, redis_server, most_bytes=500)
    async with (
        open_town(tmp_path, settings) as town,
        town.client(**joined()) as client,
        official_cluster(redis_server) as cluster,
    ):
        await until_up(town)
        sid = next(iter(town.service.server.space("/").sockets))
        for via in ("emitter", "adapter", "streams"):
            await cluster.emits(via, {"approvalId": "a1"}, event="approval_requested")  # forged
            await cluster.emits(via, 1, event="something_else")
            await cluster.emits(via, 1, namespace="/other")
            await cluster.emits(via, 1, rooms=None)  # to all clients of all villages
            await cluster.emits(via, 1, rooms="village:other")
            await cluster.emits(via, 1, rooms=sid)  # one client
            await cluster.emits(via, 1, rooms=["village:demo", "output:demo"])
            await cluster.emits(via, "x" * 501)
            await cluster.emits(via, "x" * 100_000)
            await cluster.emits(via, "$bytes")
            await cluster.emits(via, 1, **{"except": "village:demo"})  # passes, and nobody is left who hears it
            await cluster.does(via=via, order="disconnectSockets", rooms="village:demo")
            await cluster.does(via=via, order="socketsJoin")
        for more in ({"room": None}, {"room": sid}, {"namespace": "/other"}):
            await trio.to_thread.run_sync(partial(says_python, redis_server, 1, **more))
        await trio.to_thread.run_sync(says_python, redis_server, b"bytes")
        await cluster.emits("streams", "end")
        with trio.fail_after(60):
            assert await deployed(client, "end") == [["end"]]
        await until_figure(town, 'townwatch_bridge_refused_total{why="own_event"}', lambda value: value == 3)
        assert {line.get("event") for line in client.lines} & {"approval_requested", "something_else"} == set()
        assert not any("disconnected" in line for line in client.lines)
        found = await figures(town)
        refused = {name.partition('"')[2][:-2]: value for name, value in found.items() if "refused" in name}
        # Of "/other" only the stream is read: the adapter's channels of other namespaces are not even subscribed to.
        assert refused == {
            "own_event": 3, "event": 3, "namespace": 2, "room": 14,
            "too_long": 6, "binary": 3, "order": 2, "unreadable": 1,
        }  # fmt: skip


async def test_a_flood_is_cut_to_its_rate_and_nothing_else_waits(tmp_path: Path, redis_server: RedisServer) -> None:
    settings = partial(bridged, redis_server, per_second=20.0, burst=50)
    async with (
        open_town(tmp_path, settings) as town,
        town.client(**joined()) as client,
        official_cluster(redis_server) as cluster,
    ):
        await until_up(town)
        for via in ("emitter", "streams"):
            await cluster.emits(via, "$number", times=3000)
        async with town.runner() as runner:  # our own events come as always, and once
            await runner.send(started())
            await runner.acked(1)
            await client.until(lambda line: line.get("event") == "agent_spawn")
        refused = 'townwatch_bridge_refused_total{why="rate"}'
        await until_figure(town, refused, lambda value: value > 3000)
        told = [line["args"][0] for line in client.lines if line.get("event") == "deployed"]
        assert 0 < len(told) < 2000


async def test_events_that_are_listed_reach_clients_of_official_servers(
    tmp_path: Path, redis_server: RedisServer
) -> None:
    async with official_cluster(redis_server) as cluster:
        for via, to in (("adapter", "key"), ("streams", "stream")):
            changes = {"events": [], "publish_events": ["agent_spawn"], "publish_to": to}
            async with open_town(tmp_path / via, partial(bridged, redis_server, **changes)) as town:
                await until_up(town, "publishing")
                await cluster.does(listen=via, room="village:demo")
                async with town.runner() as runner:
                    await runner.send(started())
                    await runner.acked(1)
                    heard = await cluster.hears("agent_spawn")
                assert (heard["by"], heard["args"][0]["sessionId"]) == (via, "s1")
                await until_figure(town, "townwatch_bridge_published_total", lambda value: value >= 1)
        assert {line["heard"] for line in cluster.heard} == {"agent_spawn"}  # and nothing that was not listed


async def test_a_redis_that_freezes_dies_and_comes_back_costs_the_service_nothing(
    tmp_path: Path, redis_server: RedisServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("townwatch.app.interop.bridge.SILENCE_SECONDS", 1.0)
    monkeypatch.setattr("townwatch.app.interop.bridge.PING_SECONDS", 0.4)
    monkeypatch.setattr("townwatch.app.interop.bridge.READ_SECONDS", 0.4)
    settings = partial(bridged, redis_server, publish_events=["agent_spawn"])
    async with open_town(tmp_path, settings) as town, town.client(**joined()) as client, town.runner() as runner:
        await until_up(town, "channels", "stream", "publishing")
        number = 0

        async def service_works() -> None:
            nonlocal number
            number += 1
            await runner.send(started() if number == 1 else event("FILE_TOUCHED", number, path="a", reason="write"))
            await runner.acked(number)

        async with rest(town, town.token) as http:
            for deed, undo in ((redis_server.freeze, redis_server.thaw), (redis_server.kill, redis_server.start)):
                await trio.to_thread.run_sync(deed)
                for line in ("channels", "stream", "publishing"):
                    await until_figure(town, f'townwatch_bridge_up{{line="{line}"}}', lambda value: value == 0)
                await service_works()
                ready = await http.get("/readyz")
                assert ready.status_code == 200
                assert any("the bridge has no connection to its Redis since" in one for one in ready.json()["warnings"])
                node = next(
                    one for one in (await http.get("/api/supervision")).json()["children"] if one["id"] == "bridge"
                )
                assert "no Redis at 127.0.0.1" in node["note"]
                assert node["restarts"] == 0
                await trio.to_thread.run_sync(undo)
                await until_up(town, "channels", "stream", "publishing")
                async with official_cluster(redis_server) as cluster:
                    for via in ("emitter", "streams"):
                        await cluster.emits(via, f"{via} after {deed.__name__}")
                        with trio.fail_after(60):
                            assert (await deployed(client, f"{via} after {deed.__name__}"))[:-1] == []
                assert (await http.get("/readyz")).json()["warnings"] == []
        assert not any("disconnected" in line for line in client.lines)


async def test_what_a_stream_got_while_redis_was_out_of_reach_is_told_afterwards(
    tmp_path: Path, redis_server: RedisServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("townwatch.app.interop.bridge.FIRST_PAUSE", 1.0)
    settings = partial(bridged, redis_server, key="", python_channel="")
    async with open_town(tmp_path, settings) as town, town.client(**joined()) as client:
        await until_up(town, "stream")
        async with official_cluster(redis_server) as cluster:
            await cluster.emits("streams", "before")
            assert await deployed(client, "before") == [["before"]]
            await trio.to_thread.run_sync(_cut_bridge, redis_server)
            await cluster.emits("streams", "meanwhile")
            with trio.fail_after(60):
                assert await deployed(client, "meanwhile") == [["meanwhile"]]


def _cut_bridge(redis: RedisServer) -> None:
    with socket.create_connection(("127.0.0.1", redis.port)) as line:
        line.sendall(b"CLIENT LIST\r\n")
        found = re.search(rb"id=(\d+) [^\n]*name=townwatch ", line.recv(65536))
        assert found is not None
        line.sendall(b"CLIENT KILL ID %b\r\n" % found[1])
        assert line.recv(100) == b":1\r\n"

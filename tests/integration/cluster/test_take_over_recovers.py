"""Official clients recover on the process that took over: they are who they were, in their rooms, and get what they
missed, once and in order. Two real processes; the one that leads is killed, or told to end.
"""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
import trio

from tests.chaos.nemesis.proxy import Proxy
from tests.integration.cluster.test_releases import HOST, Release, release, signed_in
from tests.integration.service.test_promises import event, started
from tests.support import postgres
from tests.support.service import NodeClient, open_node_client

pytestmark = [pytest.mark.node, pytest.mark.timeout(240)]
JOIN_ALL = [["join", {"villageId": "demo", "agents": ["runner_s1"]}]]
JOIN_TERMINAL = [
    ["join_village", {"villageId": "demo", "output": "none"}],
    ["join_agent", {"agentId": "runner_s1", "terminal": True}],
]


def chunk(seq: int) -> dict[str, Any]:
    return event("TERMINAL_CHUNK", seq, data=f"line {seq}\r\n", stream="stdout")


@asynccontextmanager
async def replicas(folder: Path, url: str) -> AsyncIterator[tuple[Release, Release, Proxy]]:
    """The one that leads, one that relays to it, and a way to either."""
    first, second = release(folder, url, "first"), release(folder, url, "second")
    way = Proxy(first.port)
    try:
        async with trio.open_nursery() as nursery:
            await nursery.start(way.run)
            await first.member.start()
            await first.says("leads")
            await second.member.start()
            await second.says("relays to first")
            yield first, second, way
            nursery.cancel_scope.cancel()
    finally:
        with trio.CancelScope(shield=True):
            await first.member.aclose()
            await second.member.aclose()


@asynccontextmanager
async def watching(way: Proxy, token: str, joins: list[Any], **options: Any) -> AsyncIterator[NodeClient]:
    chosen = {"token": token, "transports": ["websocket"], "joins": joins, "reconnection": True, **options}
    async with open_node_client(f"http://{HOST}:{way.port}", chosen) as client:
        yield client


async def seqs_until(client: NodeClient, last: int, *events: str) -> list[int]:
    """The seq of each of these events that comes, to the last one."""
    found: list[int] = []
    while not found or found[-1] < last:
        line = await client.line()
        if line.get("event") in events:
            found.append(line["args"][0]["seq"])
    return found


async def back(client: NodeClient) -> dict[str, Any]:
    return await client.until(lambda line: "connected" in line)


@pytest.mark.parametrize("how", ["kill", "stop"])
async def test_clients_recover_on_the_next_leader(
    tmp_path: Path, postgres_server: str, monkeypatch: pytest.MonkeyPatch, how: str
) -> None:
    url = postgres.fresh_schema(postgres_server, f"recovers_{how}")
    monkeypatch.setenv("TOWNWATCH_DATABASE_URL", url)
    async with replicas(tmp_path, url) as (first, second, way):
        token, state = await signed_in(first), first.member.state
        async with first.runner(state, 0) as runner:
            await runner.send(started(), chunk(2))
            await runner.acked(2)
            async with watching(way, token, JOIN_ALL) as whole, watching(way, token, JOIN_TERMINAL) as terminal:
                ids = [next(line["id"] for line in one.lines if "connected" in line) for one in (whole, terminal)]
                await runner.send(*[chunk(seq) for seq in range(3, 8)])
                assert await seqs_until(whole, 7, "work_stream_event") == [3, 4, 5, 6, 7]
                assert await seqs_until(terminal, 7, "terminal_output") == [3, 4, 5, 6, 7]
                way.target = second.port
                await (first.member.kill() if how == "kill" else first.member.stop())
                await second.says("leads")
                async with second.runner(state, 7) as again:
                    await again.send(*[chunk(seq) for seq in range(8, 11)])
                    await again.acked(10)
                    for one, id_ in zip((whole, terminal), ids, strict=True):
                        line = await back(one)
                        assert (line["recovered"], line["id"]) == (True, id_)
                    await again.send(*[chunk(seq) for seq in range(11, 14)])
                    assert await seqs_until(whole, 13, "work_stream_event") == [8, 9, 10, 11, 12, 13]
                    assert await seqs_until(terminal, 13, "terminal_output") == [8, 9, 10, 11, 12, 13]
                    assert (await whole.emit("join_village", {"villageId": "demo"}))["ok"]

"""A service with a bridge, and the official cluster at its other end."""

import json
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from functools import partial
from typing import Any

import attrs
import httpx
import trio

from tests.support.redis import RedisServer
from tests.support.service import JS, Town, open_node
from townwatch.config.settings import Settings

KEY, STREAM = "theirs", "their-stream"


def bridged(redis: RedisServer, settings: Settings, **more: Any) -> Settings:
    """Settings with a bridge for the village demo and the event `deployed`."""
    given = {"villages": ["demo"], "events": ["deployed"], "key": KEY, "stream": STREAM, "python_channel": KEY}
    bridge = attrs.evolve(settings.bridge, redis=redis.url, **{**given, **more})
    return attrs.evolve(settings, bridge=bridge)


class OfficialCluster:
    """`cluster.mjs`: what it is told, and what its clients hear."""

    def __init__(self, process: trio.Process) -> None:
        self._process = process
        self._buffer = b""
        self.heard: list[dict[str, Any]] = []

    async def does(self, **order: Any) -> None:
        """Give an order and wait until it is done."""
        assert self._process.stdin is not None
        await self._process.stdin.send_all(json.dumps(order).encode() + b"\n")
        await self.until(lambda line: "done" in line)

    async def emits(
        self, via: str, *args: Any, event: str = "deployed", rooms: Any = "village:demo", **more: Any
    ) -> None:
        """Emit by one of the official ways. `rooms=None`: to all."""
        await self.does(via=via, event=event, args=list(args), **({"rooms": rooms} if rooms else {}), **more)

    async def until(self, wanted: Callable[[dict[str, Any]], bool]) -> dict[str, Any]:
        """The first line that is wanted; what clients heard before it is kept."""
        with trio.fail_after(60):
            while True:
                while b"\n" not in self._buffer:
                    assert self._process.stdout is not None
                    data = await self._process.stdout.receive_some(65536)
                    assert data, "the cluster ended"
                    self._buffer += data
                text, _, self._buffer = self._buffer.partition(b"\n")
                line = json.loads(text)
                if "heard" in line:
                    self.heard.append(line)
                if wanted(line):
                    return line

    async def hears(self, event: str) -> dict[str, Any]:
        """What a client hears next of this name."""
        return await self.until(lambda line: line.get("heard") == event)


@asynccontextmanager
async def official_cluster(redis: RedisServer) -> AsyncIterator[OfficialCluster]:
    options = {"redis": redis.url, "key": KEY, "stream": STREAM}
    async with open_node(JS / "cluster.mjs", json.dumps(options)) as process:
        cluster = OfficialCluster(process)
        await cluster.until(lambda line: "up" in line)
        yield cluster


async def figures(town: Town) -> dict[str, float]:
    """The bridge's metrics."""
    async with httpx.AsyncClient(headers={"authorization": f"Bearer {town.token}"}) as http:
        text = (await http.get(f"{town.url}/metrics")).text
    lines = (line.rpartition(" ") for line in text.splitlines() if line.startswith("townwatch_bridge"))
    return {name: float(value) for name, _, value in lines}


async def until_figure(town: Town, name: str, wanted: Callable[[float], bool]) -> None:
    """Wait until a metric of the bridge is as wanted."""
    with trio.fail_after(60):
        while not wanted((await figures(town)).get(name, 0.0)):
            await trio.sleep(0.05)


async def until_up(town: Town, *lines: str) -> None:
    for line in lines or ("channels", "stream"):
        await until_figure(town, f'townwatch_bridge_up{{line="{line}"}}', lambda value: value == 1)


joined = partial(dict, joins=[["join_village", {"villageId": "demo"}]])

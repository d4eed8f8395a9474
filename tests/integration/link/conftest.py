"""A cast of real actors with the runners' door on a real port, and a runner that speaks by hand."""

import json
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import attrs
import pytest
import trio
from trio_websocket import ConnectionClosed, WebSocketConnection

from tests.support.cast import Cast, open_cast
from tests.support.doorway import doorway, websocket
from tests.support.links import link_settings
from townwatch.actors.context import Context
from townwatch.app.supervision_tree import LINKS
from townwatch.transports.runners import InvalidToken, LinkDeps, RunnerEndpoint, RunnerIdentity

GRANTED = {"demo": "demo"}
TOKENS = {
    "secret-1": RunnerIdentity(runner_id="r1", villages=lambda: GRANTED),
    "secret-2": RunnerIdentity(runner_id="r2", villages=lambda: GRANTED),
}
"""Who may, decided here: what a rule refuses is tested over the composed service."""


def granted(_runner_id: str) -> dict[str, str]:
    return GRANTED


async def authenticate(token: str) -> RunnerIdentity:
    await trio.lowlevel.checkpoint()
    if token not in TOKENS:
        raise InvalidToken("not one of ours")
    return TOKENS[token]


class Runner:
    """A runner's end of the wire, message by message."""

    def __init__(self, ws: WebSocketConnection) -> None:
        self.ws = ws

    async def say(self, kind: str, **fields: Any) -> None:
        await self.ws.send_message(json.dumps({"type": kind, **fields}))

    async def hear(self, kind: str | None = None) -> dict[str, Any]:
        """The next message, or the next of a type."""
        with trio.fail_after(5):
            while True:
                message = json.loads(await self.ws.get_message())
                if kind is None or message["type"] == kind:
                    return message

    async def hello(self, runner_id: str = "r1", **fields: Any) -> dict[str, Any]:
        """Say hello; the welcome."""
        await self.say("hello", runnerId=runner_id, name="a runner", version="1", **fields)
        return await self.hear("welcome")

    async def send(self, *events: dict[str, Any]) -> None:
        await self.say("events", events=list(events))

    async def acked(self, seq: int, session: str = "s1") -> None:
        """Until everything up to `seq` is acknowledged."""
        while True:
            ack = await self.hear("ack")
            if ack["sessionId"] == session and ack["seq"] >= seq:
                return

    async def closed(self) -> tuple[int, str]:
        """Until the service closes: the code and the reason."""
        with trio.fail_after(8):
            try:
                while True:
                    await self.ws.get_message()
            except ConnectionClosed as gone:
                assert gone.reason is not None
                return gone.reason.code, gone.reason.reason or ""


@attrs.define
class House:
    """What a test of the link holds in its hands."""

    cast: Cast
    door: RunnerEndpoint
    port: int

    @property
    def context(self) -> Context:
        return self.cast.context

    @asynccontextmanager
    async def runner(self, token: str = "secret-1", **options: Any) -> AsyncIterator[Runner]:
        """A connection with a token, before its hello."""
        async with websocket(self.port, "/runner", {"Authorization": f"Bearer {token}"}, **options) as ws:
            yield Runner(ws)

    @asynccontextmanager
    async def welcomed(self, **hello: Any) -> AsyncIterator[Runner]:
        """A connection that said hello."""
        async with self.runner() as runner:
            await runner.hello(**hello)
            yield runner


Build = Callable[..., Any]


@pytest.fixture
def house(tmp_path: Path) -> Build:
    """`async with house() as h`, or `house(window=4)` with other settings."""

    @asynccontextmanager
    async def build(**settings: Any) -> AsyncIterator[House]:
        async with open_cast(tmp_path) as cast:
            made = link_settings(**settings)
            door = RunnerEndpoint(
                LinkDeps(context=cast.context, links=LINKS, authenticate=authenticate, grants=granted, settings=made)
            )
            async with doorway(door.serve) as port:
                yield House(cast, door, port)

    return build

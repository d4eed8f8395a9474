"""The people who watch: node processes with many official clients each."""

import json
from collections.abc import AsyncGenerator, Mapping, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import attrs
import trio

from tests.support.service import JS, open_node

SWARM = Path(__file__).with_name("swarm.mjs")
ANSWER_SECONDS = 60


@attrs.define(eq=False)
class Swarm:
    """One node process."""

    process: trio.Process
    _buffer: bytearray = attrs.field(factory=bytearray)

    async def ask(self, what: str) -> list[dict[str, Any]]:
        """One entry a client."""
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        await self.process.stdin.send_all(what.encode() + b"\n")
        with trio.fail_after(ANSWER_SECONDS):
            while (end := self._buffer.find(b"\n")) < 0:
                data = await self.process.stdout.receive_some(1 << 20)
                assert data, "the clients' process ended"
                self._buffer += data
        line, self._buffer = bytes(self._buffer[:end]), self._buffer[end + 1 :]
        return json.loads(line)


@asynccontextmanager
async def open_swarm(url: str, token: str, first: int, clients: int, delay_ms: int = 50) -> AsyncGenerator[Swarm]:
    """`clients` of them, the first with the number `first`; they come by themselves and stay."""
    library = JS / "node_modules" / "socket.io-client" / "build" / "esm-debug" / "index.js"
    options = {
        "url": url,
        "token": token,
        "village": "demo",
        "first": first,
        "clients": clients,
        "delay": delay_ms,
        "socketio": library.as_uri(),
    }
    async with open_node(SWARM, json.dumps(options)) as process:
        yield Swarm(process)


async def all_seen(swarms: Sequence[Swarm], heads: Mapping[str, int], seconds: float) -> list[str]:
    """Waits until every client has seen the last event of every session; who has not in time is named."""
    late: list[str] = ["nobody was asked"]
    with trio.move_on_after(seconds):
        while late:
            late = []
            for swarm in swarms:
                for one in await swarm.ask("report"):
                    behind = {
                        s: one["last"]["work"].get(s, 0) for s in heads if one["last"]["work"].get(s, 0) < heads[s]
                    }
                    away = one["wanted"] - len(one["rooms"])
                    if behind or away:
                        late.append(f"client {one['number']}: behind in {behind}, out of {away} rooms")
            await trio.sleep(0.5)
    return late

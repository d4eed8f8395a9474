"""The three doors of the service behind one edge: Socket.IO's engine, `/runner` and `/ws`."""

from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from pathlib import Path
from typing import Any

import attrs
import pytest
import trio

from tests.support.cast import open_cast
from tests.support.links import link_settings
from tests.support.raw_websocket import RawWebSocket, opening, raw_websocket
from townwatch.access.subject import Subject
from townwatch.app.supervision_tree import CLIENTS, LINKS
from townwatch.transports.control import ControlDeps, ControlEndpoint
from townwatch.transports.edge.server import Edge, EdgeSettings
from townwatch.transports.runners import LinkDeps, RunnerEndpoint, RunnerIdentity
from townwatch.transports.socketio import EngineSettings
from townwatch.transports.socketio.engine import Engine
from townwatch.transports.socketio.message import Message
from townwatch.transports.websocket.frames import TEXT

WORDS = "κόσμε 🙂 hello"


@attrs.frozen
class Door:
    """One WebSocket endpoint. `good`: a text that it understands; `answer`: a part of what it says to that."""

    name: str
    path: str
    headers: tuple[str, ...]
    good: str
    answer: str
    limit: int
    """Bytes of a message."""


DOORS = [
    Door("socket.io", "/engine.io/?EIO=4&transport=websocket", (), f"4{WORDS}", WORDS, 1_000_000),
    Door(
        "runner", "/runner", ("Authorization: Bearer secret",),
        f'{{"type":"hello","runnerId":"r1","name":"{WORDS}","version":"1"}}', '"welcome"', 4 << 20,
    ),
    Door("control", "/ws", (), f'{{"type":"ping","note":"{WORDS}"}}', '"pong"', 1 << 20),
]  # fmt: skip


@attrs.frozen
class Place:
    """A door with somebody behind it, on a port."""

    door: Door
    port: int
    edge: Edge

    def open(self, *more: str, **options: str) -> AbstractAsyncContextManager[RawWebSocket]:
        """A connection after its opening request, with more headers, or flaws."""
        return raw_websocket(self.port, opening(self.door.path, *self.door.headers, *more, **options))

    @property
    def good(self) -> bytes:
        return self.door.good.encode()

    async def is_answered(self, websocket: RawWebSocket) -> None:
        while self.door.answer not in await websocket.until(TEXT):
            pass


async def _runner(_token: str) -> RunnerIdentity:
    await trio.lowlevel.checkpoint()
    return RunnerIdentity(runner_id="r1", villages=dict)


async def _nobody(_token: str | None) -> Subject:
    raise ValueError("no token is good here")


def _echo(session: Any, data: str | bytes) -> None:
    session.send(Message("4" + data) if isinstance(data, str) else Message(binary=data))


@pytest.fixture(params=DOORS, ids=lambda door: door.name)
def place(request: pytest.FixtureRequest, tmp_path: Path) -> Callable[[], AbstractAsyncContextManager[Place]]:
    """`async with place() as at`, once for each door."""

    @asynccontextmanager
    async def build() -> AsyncIterator[Place]:
        async with open_cast(tmp_path) as cast, trio.open_nursery() as nursery:
            edge, engine, access = Edge(EdgeSettings(port=0)), Engine(EngineSettings()), Any
            engine.on_message = _echo
            links = LinkDeps(
                context=cast.context, links=LINKS, authenticate=_runner, grants=lambda _: {}, settings=link_settings()
            )
            people: Any = access
            control = ControlDeps(context=cast.context, clients=CLIENTS, authenticate=_nobody, access=people)
            edge.http("/engine.io", engine.handle, waits=True)
            edge.websocket("/engine.io", engine.handle_websocket)
            edge.websocket("/runner", RunnerEndpoint(links).serve)
            edge.websocket("/ws", ControlEndpoint(control).serve)
            await nursery.start(engine.run)
            ((_, port),) = await nursery.start(edge.serve)
            yield Place(request.param, port, edge)
            nursery.cancel_scope.cancel()
        assert edge.failed_connections == 0

    return build

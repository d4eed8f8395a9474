"""Engine.IO and Socket.IO by hand, over real sockets: what the official protocol suites do, restated."""

import socket
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager
from typing import Any

import attrs
import httpx
import pytest
import trio
import trio_websocket
from trio_websocket import ConnectionClosed, WebSocketConnection

from townwatch.transports.edge.connection import Connection
from townwatch.transports.edge.relay.wire import RelayClaim
from townwatch.transports.edge.server import Edge, EdgeSettings
from townwatch.transports.socketio import EngineSettings, RecoverySettings, TrioServer
from townwatch.transports.socketio.engine import Engine
from townwatch.transports.socketio.message import Message
from townwatch.transports.trunk.far_end import FarEnd
from townwatch.transports.trunk.lines import Trunk

FAST = EngineSettings(ping_interval=0.3, ping_timeout=0.2)


@attrs.define(eq=False)
class Place:
    """A server, and how to reach it."""

    host: str
    path: str
    http: httpx.AsyncClient
    edge: Edge
    server: Any

    def url(self, query: str) -> str:
        return f"http://{self.host}{self.path}/?{query}"

    async def get(self, query: str) -> httpx.Response:
        return await self.http.get(self.url(query))

    async def post(self, query: str, body: str | bytes, **headers: str) -> httpx.Response:
        return await self.http.post(self.url(query), content=body, headers=headers)

    async def polling(self) -> str:
        """A new session's id."""
        answer = await self.get("EIO=4&transport=polling")
        return answer.text.partition('"sid":"')[2].partition('"')[0]

    @asynccontextmanager
    async def websocket(self, query: str = "EIO=4&transport=websocket") -> AsyncIterator[WebSocketConnection]:
        host, _, port = self.host.partition(":")
        stream = await trio.open_tcp_stream(host, int(port))
        try:  # the library leaves the stream open when the server closes first
            async with trio.open_nursery() as nursery:
                resource = f"{self.path}/?{query}"
                yield await trio_websocket.wrap_client_stream(nursery, stream, self.host, resource)
                nursery.cancel_scope.cancel()
        finally:
            await trio.aclose_forcefully(stream)


@asynccontextmanager
async def engine_place(settings: EngineSettings = FAST) -> AsyncIterator[Place]:
    """An Engine.IO server that echoes."""
    engine = Engine(settings)

    def echo(session: Any, data: str | bytes) -> None:
        session.send(Message("4" + data) if isinstance(data, str) else Message(binary=data))

    engine.on_message = echo
    edge = Edge(EdgeSettings(port=0))
    edge.http("/engine.io", engine.handle, waits=True)
    edge.websocket("/engine.io", engine.handle_websocket)
    async with _serve(edge, engine.run) as host, httpx.AsyncClient(timeout=10) as http:
        yield Place(host, "/engine.io", http, edge, engine)


@asynccontextmanager
async def socketio_place(
    prepare: Callable[[TrioServer], None],
    settings: EngineSettings = FAST,
    recovery: RecoverySettings | None = None,
    **options: Any,
) -> AsyncIterator[Place]:
    """A Socket.IO server; recovery is off unless it is asked for."""
    server = TrioServer(engine=settings, recovery=recovery, **options)
    prepare(server)
    edge = Edge(EdgeSettings(port=0))
    server.mount(edge)
    async with _serve(edge, server.run) as host, httpx.AsyncClient(timeout=10) as http:
        yield Place(host, "/socket.io", http, edge, server)


@asynccontextmanager
async def _serve(edge: Edge, run: Any) -> AsyncIterator[str]:
    async with trio.open_nursery() as nursery:
        await nursery.start(run)
        (address,) = await nursery.start(edge.serve)
        async with _front(edge, address[1]) as port:
            yield f"127.0.0.1:{port}"
        assert edge.failed_connections == 0
        nursery.cancel_scope.cancel()


WAYS = ["own port", "carried"]


@pytest.fixture(autouse=True, params=WAYS)
def way(request: pytest.FixtureRequest) -> Iterator[None]:
    """For suites that run twice: at the service's own port, and at that of another process that carries them there."""
    CarryingEdge.used = request.param == WAYS[1]
    yield
    CarryingEdge.used = False


class CarryingEdge(Edge):
    """A port whose connections are all carried to another edge."""

    used = False
    """Whether clients are told of such a port."""

    far_end: FarEnd

    async def _begin(self, connection: Connection) -> None:
        await self.far_end.carry(connection, RelayClaim(peer=connection.peer), b"")


@asynccontextmanager
async def _front(edge: Edge, port: int) -> AsyncIterator[int]:
    """The port that clients are told of: the edge's own, or another one whose connections are carried there."""
    if not CarryingEdge.used:
        yield port
        return
    front = CarryingEdge(EdgeSettings(port=0))
    async with trio.open_nursery() as nursery:
        ours, theirs = (Connection(sock, nursery) for sock in pair())
        front.far_end = FarEnd(theirs, nursery)
        nursery.start_soon(Trunk(ours, edge, nursery).run)
        nursery.start_soon(front.far_end.run)
        (address,) = await nursery.start(front.serve)
        yield address[1]
        assert front.failed_connections == 0
        nursery.cancel_scope.cancel()


def pair() -> tuple[socket.socket, socket.socket]:
    """Two connected sockets that do not block."""
    found = socket.socketpair()
    for one in found:
        one.setblocking(False)
    return found


async def receive(socket: WebSocketConnection, seconds: float = 3) -> Any:
    """The next message; pings are answered and passed over."""
    with trio.fail_after(seconds):
        while True:
            message = await socket.get_message()
            if message != "2":
                return message
            await socket.send_message("3")


async def closed(socket: WebSocketConnection, seconds: float = 3) -> bool:
    """Whether the server closes it, though its pings are answered."""
    with trio.move_on_after(seconds):
        try:
            while True:
                if await socket.get_message() == "2":
                    await socket.send_message("3")
        except ConnectionClosed:
            return True
    return False

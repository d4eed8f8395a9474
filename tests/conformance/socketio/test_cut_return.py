"""The official client returns and is cut at any byte of the answer: it sees each event once.

It keeps what comes before CONNECT for later, and forgets none of that when its connection breaks: what was missed must
follow CONNECT.
"""

import json
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

import attrs
import pytest
import trio

from tests.support.service import open_node_client
from tests.support.wire import socketio_place
from townwatch.transports.socketio import EngineSettings, RecoverySettings, TrioServer

pytestmark = pytest.mark.node
MISSED = 3


@pytest.fixture(autouse=True)
def way() -> None:
    """It takes long: at the service's own port only."""


def application(server: TrioServer) -> None:
    on: Any = server.on

    async def join(sid: str, room: str) -> dict[str, bool]:
        server.enter_room_nowait(sid, room)
        return {"ok": True}

    on("join", join)
    on("connect", lambda _sid, _environ, _auth: None)


@attrs.define(eq=False)
class Network:
    """Forwards connections; breaks the next one after so many bytes from the server."""

    target: int
    allowed: list[int] = attrs.field(factory=list[int])
    passed: list[int] = attrs.field(factory=list[int])
    """Bytes that each connection brought from the server."""
    there: set[trio.SocketStream] = attrs.field(factory=set[trio.SocketStream])

    async def serve(self, near: trio.SocketStream) -> None:
        allowed = self.allowed.pop(0) if self.allowed else 1 << 30
        async with near, await trio.open_tcp_stream("127.0.0.1", self.target) as far, trio.open_nursery() as nursery:
            self.there |= {near}
            self.passed.append(0)
            nursery.start_soon(self._forward, near, far, 1 << 30, nursery.cancel_scope)
            nursery.start_soon(self._forward, far, near, allowed, nursery.cancel_scope)
        self.there -= {near}

    async def _forward(
        self, source: trio.SocketStream, sink: trio.SocketStream, allowed: int, ended: trio.CancelScope
    ) -> None:
        try:
            while allowed > 0 and (data := await source.receive_some(min(allowed, 65536))):
                await sink.send_all(data)
                allowed -= len(data)
                if sink in self.there:
                    self.passed[-1] += len(data)
        except (trio.BrokenResourceError, trio.ClosedResourceError):
            pass
        ended.cancel()


@asynccontextmanager
async def network(target: int) -> AsyncIterator[tuple[Network, int]]:
    between = Network(target)
    async with trio.open_nursery() as nursery:
        (listener,) = await trio.open_tcp_listeners(0, host="127.0.0.1")
        nursery.start_soon(trio.serve_listeners, between.serve, [listener])
        yield between, listener.socket.getsockname()[1]
        nursery.cancel_scope.cancel()


async def test_cut_at_any_byte_of_its_return_it_sees_each_event_once() -> None:
    options = {"transports": ["websocket"], "reconnection": True, "timeout": 1000, "joins": [["join", "r"]]}
    async with (
        socketio_place(application, EngineSettings(), RecoverySettings()) as found,
        network(int(found.host.rpartition(":")[2])) as (between, port),
        open_node_client(f"http://127.0.0.1:{port}", options) as client,
    ):
        sockets = found.server.space("/").sockets
        sent = 0

        async def away() -> None:
            """The client loses its connection, misses some, and returns until it has the last."""
            nonlocal sent
            for stream in list(between.there):
                await stream.aclose()
            await _until(lambda: not sockets)
            for _ in range(MISSED):
                sent += 1
                found.server.publish("e", json.dumps(sent).encode(), ("r",))
            await client.until(lambda line: line.get("args") == [sent])
            await _until(lambda: any(socket.connected for socket in sockets.values()))

        await away()
        answer = between.passed[-1]
        for allowed in range(answer - 60 * (MISSED + 1), answer, 9):
            between.allowed = [allowed]
            await away()
        seen = [line["args"][0] for line in client.lines if line.get("event") == "e"]
        assert seen == list(range(1, sent + 1))


async def _until(true: Callable[[], bool]) -> None:
    with trio.fail_after(5):
        while not true():
            await trio.sleep(0.001)

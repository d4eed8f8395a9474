"""A reverse proxy that publishes a service below a path: one that keeps the path, or one that strips it. And a way to a
service that can be cut.
"""

from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from queue import Queue
from threading import Thread

import attrs
import trio

MAX_HEAD = 1 << 16


@attrs.define(eq=False)
class Way:
    """A way to a port. Cut, nothing comes through: what is open breaks, and what is begun breaks at once."""

    target: int
    port: int = 0
    _passing: trio.CancelScope = attrs.field(factory=trio.CancelScope)
    _is_cut: bool = False

    def cut(self) -> None:
        self._is_cut = True
        self._passing.cancel()

    def mend(self) -> None:
        self._is_cut, self._passing = False, trio.CancelScope()

    async def pass_on(self, client: trio.SocketStream) -> None:
        """Serve one connection."""
        if self._is_cut:
            return
        with trio.CancelScope() as scope:
            passing = self._passing
            async with trio.open_nursery() as nursery:
                nursery.start_soon(_break_with, passing, scope)
                try:
                    async with await trio.open_tcp_stream("127.0.0.1", self.target) as server:
                        nursery.start_soon(_pump, client, server)
                        await _pump(server, client)
                except OSError:
                    pass
                nursery.cancel_scope.cancel()


async def _break_with(passing: trio.CancelScope, scope: trio.CancelScope) -> None:
    while not passing.cancel_called:
        await trio.sleep(0.02)
    scope.cancel()


@asynccontextmanager
async def way_to(port: int) -> AsyncIterator[Way]:
    """A way to this port, from a port of its own."""
    way = Way(port)
    async with trio.open_nursery() as nursery:
        (listener,) = await trio.open_tcp_listeners(0, host="127.0.0.1")
        way.port = listener.socket.getsockname()[1]
        nursery.start_soon(trio.serve_listeners, way.pass_on, [listener])
        yield way
        nursery.cancel_scope.cancel()


@asynccontextmanager
async def prefix_proxy(port: int, path: str, *, strips: bool, host: str | None = None) -> AsyncIterator[int]:
    """Pass what is below `path` on to the port; yields the proxy's own. `host`: said instead of the client's."""

    async def serve(client: trio.SocketStream) -> None:
        try:
            await _exchange(client, port, path, strips=strips, host=host)
        except (trio.BrokenResourceError, trio.ClosedResourceError):
            return

    async with trio.open_nursery() as nursery:
        (listener,) = await trio.open_tcp_listeners(0, host="127.0.0.1")
        nursery.start_soon(trio.serve_listeners, serve, [listener])
        yield listener.socket.getsockname()[1]
        nursery.cancel_scope.cancel()


async def _exchange(client: trio.SocketStream, port: int, path: str, *, strips: bool, host: str | None) -> None:
    """One request, or one WebSocket: the next request comes over a connection of its own."""
    head, rest = await _head(client)
    if not head:
        return
    first, *lines = head.decode("latin-1").split("\r\n")
    method, target, version = first.split(" ")
    if target != path and not target.startswith((f"{path}/", f"{path}?")):
        await client.send_all(b"HTTP/1.1 404 Not Found\r\ncontent-length: 0\r\nconnection: close\r\n\r\n")
        return
    if strips:
        target = target.removeprefix(path) or "/"
    upgrade = any(line.lower().startswith("upgrade:") for line in lines)
    kept = [line for line in lines if upgrade or not line.lower().startswith("connection:")]
    if host is not None:
        kept = [f"Host: {host}" if line.lower().startswith("host:") else line for line in kept]
    if not upgrade:
        kept.append("Connection: close")
    server = await trio.open_tcp_stream("127.0.0.1", port)
    async with server, trio.open_nursery() as nursery:
        await server.send_all("\r\n".join([f"{method} {target} {version}", *kept, "", ""]).encode("latin-1") + rest)
        nursery.start_soon(_pump, client, server)
        await _pump(server, client)
        nursery.cancel_scope.cancel()


async def _head(stream: trio.SocketStream) -> tuple[bytes, bytes]:
    got = b""
    while b"\r\n\r\n" not in got and len(got) < MAX_HEAD:
        more = await stream.receive_some()
        if not more:
            return b"", b""
        got += more
    head, _, rest = got.partition(b"\r\n\r\n")
    return head, rest


async def _pump(source: trio.SocketStream, target: trio.SocketStream) -> None:
    try:
        async for data in source:
            await target.send_all(data)
    except (trio.BrokenResourceError, trio.ClosedResourceError):
        return


@contextmanager
def proxy_thread(port: int, path: str, *, strips: bool, host: str | None = None) -> Iterator[int]:
    """The same beside a test that has no loop; yields the proxy's port."""
    ready: Queue[tuple[int, trio.lowlevel.TrioToken, trio.CancelScope]] = Queue()

    async def run() -> None:
        with trio.CancelScope() as scope:
            async with prefix_proxy(port, path, strips=strips, host=host) as own:
                ready.put((own, trio.lowlevel.current_trio_token(), scope))
                await trio.sleep_forever()

    thread = Thread(target=trio.run, args=(run,), daemon=True)
    thread.start()
    own, token, scope = ready.get(timeout=10)
    yield own
    token.run_sync_soon(scope.cancel)
    thread.join(10)

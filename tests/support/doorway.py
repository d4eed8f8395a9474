"""The edge in front of one WebSocket endpoint, and a client that trio-websocket makes."""

from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from urllib.parse import urlsplit

import trio
from trio_websocket import WebSocketConnection, wrap_client_stream

from townwatch.transports.edge.http import WebSocketHandler
from townwatch.transports.edge.server import Edge, EdgeSettings


@asynccontextmanager
async def doorway(serve: WebSocketHandler) -> AsyncIterator[int]:
    """Serve every path on a free port of the loopback; yields the port."""
    edge = Edge(EdgeSettings(port=0))
    edge.websocket("/", serve)
    async with trio.open_nursery() as nursery:
        ((_, port),) = await nursery.start(edge.serve)
        yield port
        nursery.cancel_scope.cancel()
    assert edge.failed_connections == 0


@asynccontextmanager
async def websocket(
    port: int, path: str = "/", headers: dict[str, str] | None = None, subprotocols: list[str] | None = None
) -> AsyncIterator[WebSocketConnection]:
    """trio-websocket's own client, with a deadline around everything it does."""
    extra = [(name.encode(), value.encode()) for name, value in (headers or {}).items()]
    with trio.fail_after(30):
        stream = await trio.open_tcp_stream("127.0.0.1", port)
    try:
        async with trio.open_nursery() as nursery:
            with trio.fail_after(30):
                ws = await wrap_client_stream(
                    nursery, stream, f"127.0.0.1:{port}", path, subprotocols=subprotocols, extra_headers=extra
                )
            yield ws
            with trio.move_on_after(1):
                await ws.aclose()
            nursery.cancel_scope.cancel()
    except BaseExceptionGroup as group:  # as if there were no nursery
        if len(group.exceptions) == 1:
            raise group.exceptions[0] from None
        raise
    finally:
        await trio.aclose_forcefully(stream)


def websocket_url(url: str, token: str | None = None) -> AbstractAsyncContextManager[WebSocketConnection]:
    """The same by a URL of the service; `token`: in the Authorization header."""
    where = urlsplit(url)
    assert where.port is not None, url
    path = f"{where.path}?{where.query}" if where.query else where.path
    return websocket(where.port, path, {} if token is None else {"authorization": f"Bearer {token}"})

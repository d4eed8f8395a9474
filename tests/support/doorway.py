"""A listener in front of a WebSocket endpoint, as small as can be: the edge has tests of its own."""

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from functools import partial

import trio
from trio_websocket import WebSocketConnection, wrap_client_stream

from transports.ws_door import Knock

Serve = Callable[[Knock, trio.abc.Stream], Awaitable[None]]


class Replayed(trio.abc.HalfCloseableStream):
    """A stream that gives back what was read of it already."""

    def __init__(self, stream: trio.SocketStream, head: bytes) -> None:
        self._stream, self._head = stream, head

    async def receive_some(self, max_bytes: int | None = None) -> bytes | bytearray:
        if self._head:
            await trio.lowlevel.checkpoint()
            data, self._head = self._head, b""
            return data
        return await self._stream.receive_some(max_bytes)

    async def send_all(self, data: bytes | bytearray | memoryview) -> None:
        await self._stream.send_all(data)

    async def send_eof(self) -> None:
        await self._stream.send_eof()

    async def wait_send_all_might_not_block(self) -> None:
        await self._stream.wait_send_all_might_not_block()

    async def aclose(self) -> None:
        await self._stream.aclose()


@asynccontextmanager
async def doorway(serve: Serve) -> AsyncIterator[int]:
    """Serve on a free port of the loopback; yields the port."""

    async def one(stream: trio.SocketStream) -> None:
        head = b""
        try:
            while b"\r\n\r\n" not in head:
                more = await stream.receive_some(4096)
                if not more:
                    return
                head += more
        except trio.BrokenResourceError:
            return
        await serve(knock_of(head), Replayed(stream, head))

    async with trio.open_nursery() as nursery:
        listeners = await nursery.start(partial(trio.serve_tcp, one, 0, host="127.0.0.1"))
        yield listeners[0].socket.getsockname()[1]
        nursery.cancel_scope.cancel()


def knock_of(head: bytes) -> Knock:
    lines = head.partition(b"\r\n\r\n")[0].decode("latin-1").split("\r\n")
    target = lines[0].split(" ")[1] if lines[0].count(" ") > 1 else "/"
    pairs = [line.partition(":") for line in lines[1:]]
    headers = tuple((name.strip().lower(), value.strip()) for name, _, value in pairs)
    return Knock(headers, target.partition("?")[2], "127.0.0.1")


@asynccontextmanager
async def websocket(
    port: int, path: str = "/", headers: dict[str, str] | None = None, subprotocols: list[str] | None = None
) -> AsyncIterator[WebSocketConnection]:
    """trio-websocket's own client, with a deadline around everything it does."""
    extra = [(name.encode(), value.encode()) for name, value in (headers or {}).items()]
    with trio.fail_after(5):
        stream = await trio.open_tcp_stream("127.0.0.1", port)
    try:
        async with trio.open_nursery() as nursery:
            with trio.fail_after(5):
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

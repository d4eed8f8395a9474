"""Notice a service that hangs: it is asked with a ping, and a connection on which nothing comes is given up."""

from contextlib import suppress

import trio
from trio_websocket import ConnectionClosed, WebSocketConnection

PING_SECONDS = 5.0
"""A service that has said nothing for so long is asked whether it is there."""
SILENCE_SECONDS = 15.0
"""A service that has said nothing for so long, asked, is gone."""


class HeardStream(trio.abc.Stream):
    """A stream that knows when something last came."""

    def __init__(self, stream: trio.abc.Stream) -> None:
        self._stream = stream
        self._ended = trio.Event()
        self.heard_at = trio.current_time()

    async def fail_at_its_end(self) -> None:
        """Raise once the other side has hung up: during a handshake the library would wait on."""
        await self._ended.wait()
        raise trio.BrokenResourceError("the service hung up during the handshake")

    async def send_all(self, data: bytes | bytearray | memoryview) -> None:
        await self._stream.send_all(data)

    async def wait_send_all_might_not_block(self) -> None:
        await self._stream.wait_send_all_might_not_block()

    async def receive_some(self, max_bytes: int | None = None) -> bytes | bytearray:
        data = b""
        try:
            data = await self._stream.receive_some(max_bytes)
        finally:
            if not data:
                self._ended.set()
        self.heard_at = trio.current_time()
        return data

    async def aclose(self) -> None:
        await self._stream.aclose()


async def patrol(stream: HeardStream, socket: WebSocketConnection) -> None:
    """Raises `trio.TooSlowError` when the service has said nothing at all for too long."""
    async with trio.open_nursery() as nursery:
        asked_at = float("-inf")
        while (now := trio.current_time()) < (gone := stream.heard_at + SILENCE_SECONDS):
            if now < (due := stream.heard_at + PING_SECONDS):
                await trio.sleep_until(due)
                continue
            if asked_at < stream.heard_at:
                asked_at = now
                nursery.start_soon(_ask, socket)
            await trio.sleep_until(min(gone, now + PING_SECONDS))
        raise trio.TooSlowError


async def _ask(socket: WebSocketConnection) -> None:
    """Send a ping, in a task of its own: it may have to wait behind a long message. Anything that comes answers it."""
    with suppress(ConnectionClosed, OSError, trio.BrokenResourceError, trio.ClosedResourceError):
        await socket.ping()

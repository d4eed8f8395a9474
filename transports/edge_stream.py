"""A connection as a trio stream that begins with the request's head again.

For libraries that want to read the handshake themselves: trio-websocket takes no request that somebody else has read.
"""

import trio

from transports.edge_connection import Connection
from transports.edge_http import Request

WRITE_STALL_SECONDS = 60.0


class ReplayStream(trio.abc.Stream):
    """`receive_some` gives the head, then what came behind it, then what the connection receives."""

    def __init__(self, request: Request, connection: Connection, leftover: bytes) -> None:
        lines = [
            f"{request.method} {request.target} HTTP/1.1",
            *(f"{name}: {value}" for name, value in request.headers),
        ]
        self._before = "\r\n".join([*lines, "", ""]).encode("latin-1") + leftover
        self._connection = connection

    async def receive_some(self, max_bytes: int | None = None) -> bytes:
        await trio.lowlevel.checkpoint()
        if self._before:
            limit = max_bytes or len(self._before)
            data, self._before = self._before[:limit], self._before[limit:]
            return data
        return await self._connection.recv(max_bytes or 16 * 1024)

    async def send_all(self, data: bytes | bytearray | memoryview) -> None:
        """Waits until the kernel has it all, so that a slow peer slows its own sender."""
        await trio.lowlevel.checkpoint()
        if not self._connection.write(bytes(data)):
            raise trio.BrokenResourceError("the peer is gone")
        if not self._connection.writable:
            await self._connection.flush(WRITE_STALL_SECONDS)

    async def wait_send_all_might_not_block(self) -> None:
        await trio.lowlevel.checkpoint()
        await self._connection.flush(WRITE_STALL_SECONDS)

    async def aclose(self) -> None:
        """Hang up at once."""
        self._connection.abort()
        await trio.lowlevel.checkpoint()

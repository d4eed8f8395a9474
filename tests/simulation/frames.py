"""The client's half of a WebSocket, as little as a page needs: masked frames out, whole frames in."""

import struct

import trio

TEXT, CLOSE, PING, PONG = 1, 8, 9, 10


class Closed(Exception):
    """The connection is over."""


def masked(payload: bytes, opcode: int = TEXT) -> bytes:
    """One frame; a mask of zeros is a mask."""
    length = len(payload)
    short = length < 126
    head = bytes((0x80 | opcode, 0x80 | (length if short else 126))) + (b"" if short else struct.pack("!H", length))
    return head + bytes(4) + payload


class Frames:
    """Messages of a connection that was upgraded. Raises `Closed`."""

    def __init__(self, stream: trio.abc.Stream) -> None:
        self._stream = stream
        self._buffer = bytearray()

    async def upgrade(self, path: str, headers: str = "") -> None:
        head = (
            f"GET {path} HTTP/1.1\r\nHost: localhost:8484\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
            "Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\nSec-WebSocket-Version: 13\r\n"
            f"{headers}\r\n"
        )
        await self.write(head.encode())
        while (end := self._buffer.find(b"\r\n\r\n")) < 0:
            await self._more()
        if not self._buffer.startswith(b"HTTP/1.1 101"):
            raise Closed(bytes(self._buffer[:60]).decode(errors="replace"))
        del self._buffer[: end + 4]

    async def write(self, data: bytes) -> None:
        try:
            await self._stream.send_all(data)
        except (trio.BrokenResourceError, trio.ClosedResourceError) as error:
            raise Closed from error

    async def say(self, text: str) -> None:
        await self.write(masked(text.encode()))

    async def _more(self) -> None:
        try:
            data = await self._stream.receive_some()
        except (trio.BrokenResourceError, trio.ClosedResourceError) as error:
            raise Closed from error
        if not data:
            raise Closed("end of stream")
        self._buffer += data

    async def next(self) -> str:
        """The next text message; pings are answered, a close ends it."""
        while True:
            while (frame := self._frame()) is None:
                await self._more()
            opcode, payload = frame
            if opcode == TEXT:
                return payload.decode()
            if opcode == PING:
                await self.write(masked(payload, PONG))
            elif opcode == CLOSE:
                raise Closed("closed by the service")

    def _frame(self) -> tuple[int, bytes] | None:
        buffer = self._buffer
        if len(buffer) < 2:
            return None
        length, begin = buffer[1], 2
        if length == 126:
            length, begin = int.from_bytes(buffer[2:4]), 4
        elif length == 127:
            length, begin = int.from_bytes(buffer[2:10]), 10
        if len(buffer) < begin + length:
            return None
        payload = bytes(buffer[begin : begin + length])
        opcode = buffer[0] & 15
        del buffer[: begin + length]
        return opcode, payload

"""A WebSocket client byte by byte: it sends what no library would, and sees every frame of the answer."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from typing import Any

import attrs
import trio

from townwatch.transports.websocket.frame_reader import FrameReader
from townwatch.transports.websocket.frames import build_frame
from townwatch.transports.websocket.pace import MessageLimits

KEY = "dGhlIHNhbXBsZSBub25jZQ=="
MASK = b"\x01\x80\xfe\x33"
GONE = -2
"""The opcode of the end of the connection."""


def opening(path: str, *more: str, without: str = "\xff", line: str = "GET {} HTTP/1.1") -> bytes:
    """A good request to upgrade; with more headers, without those that begin so."""
    good = [
        "Host: localhost", "Upgrade: websocket", "Connection: keep-alive, Upgrade", f"Sec-WebSocket-Key: {KEY}",
        "Sec-WebSocket-Version: 13",
    ]  # fmt: skip
    kept = [header for header in good if not header.startswith(without)]
    return "\r\n".join([line.format(path), *kept, *more, "", ""]).encode("latin-1")


def frame(opcode: int, payload: bytes = b"", *, fin: bool = True, rsv: int = 0, masked: bool = True) -> bytes:
    """A frame of a client, with any flaw."""
    made = bytearray(build_frame(opcode, payload, mask=MASK if masked else b""))
    made[0] = (0x80 if fin else 0) | rsv << 4 | opcode
    return bytes(made)


@attrs.define(eq=False)
class RawWebSocket:
    """After the answer to its request. `status`: of HTTP; `head`: that answer; `body`: what came behind it, no 101."""

    stream: trio.SocketStream
    status: int
    head: str
    reader: FrameReader
    body: bytes = b""

    async def send(self, data: bytes) -> None:
        """Sends, whether or not the other side still listens."""
        with suppress(trio.BrokenResourceError):
            await self.stream.send_all(data)

    async def next(self) -> tuple[int, Any]:
        """The next frame; (GONE, None) at the end of the connection."""
        with trio.fail_after(10):
            while (found := self.reader.take()) is None:
                try:
                    data = await self.stream.receive_some(65536)
                except trio.BrokenResourceError:
                    return GONE, None
                if not data:
                    return GONE, None
                self.reader.feed(bytes(data))
        return found

    async def until(self, opcode: int) -> Any:
        """What the next frame of this kind brings; messages before it are passed over."""
        while True:
            found, data = await self.next()
            if found == opcode:
                return data
            if found == GONE:
                raise AssertionError(f"the connection ended before a frame {opcode}")

    def header(self, name: str) -> str | None:
        lines = (line.partition(":") for line in self.head.split("\r\n")[1:])
        return next((value.strip() for key, _, value in lines if key.lower() == name), None)


@asynccontextmanager
async def raw_websocket(port: int, request: bytes) -> AsyncIterator[RawWebSocket]:
    """Connect, send the request, read the head of the answer."""
    stream = await trio.open_tcp_stream("127.0.0.1", port)
    try:
        with trio.fail_after(30):
            await stream.send_all(request)
            got = b""
            while b"\r\n\r\n" not in got:
                piece = await stream.receive_some(65536)
                if not piece:
                    break
                got += bytes(piece)
            head, _, rest = got.partition(b"\r\n\r\n")
            status = int(head.split(b" ")[1])
            if status != 101:
                while piece := await stream.receive_some(65536):
                    rest += bytes(piece)
        reader = FrameReader(MessageLimits(message_bytes=64 << 20, fragments=1 << 20), client=True)
        if status == 101:
            reader.feed(rest)
        yield RawWebSocket(stream, status, head.decode("latin-1"), reader, rest)
    finally:
        await trio.aclose_forcefully(stream)

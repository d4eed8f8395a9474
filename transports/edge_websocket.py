"""WebSockets that we speak ourselves (Socket.IO's): the 101, and the messages that come in, within limits."""

from typing import Any

import attrs
import trio

from transports import edge_frames
from transports.edge_connection import Connection
from transports.edge_frame_reader import FrameError, FrameReader
from transports.edge_frames import PONG, accept_key, build_frame, close_frame
from transports.edge_http import Request

FRAMES_PER_CHECKPOINT = 64


@attrs.frozen(kw_only=True)
class MessageLimits:
    """message_bytes: of one message. fragments: of one message. frames_per_second: over a second, control frames
    too.
    """

    message_bytes: int = 1_000_000
    fragments: int = 1024
    frames_per_second: int = 5000


class NotAWebSocket(Exception):
    """The handshake is not one; the message says why."""


def check_handshake(request: Request) -> None:
    """Raises `NotAWebSocket`."""
    if request.method != "GET":
        raise NotAWebSocket("a WebSocket is opened with GET")
    if request.header("sec-websocket-version") != "13":
        raise NotAWebSocket("Sec-WebSocket-Version must be 13")
    if not request.header("sec-websocket-key"):
        raise NotAWebSocket("Sec-WebSocket-Key is missing")


def switching_protocols(request: Request, extra: list[tuple[str, str]] | None = None) -> bytes:
    """The 101."""
    lines = [
        "HTTP/1.1 101 Switching Protocols",
        "Upgrade: websocket",
        "Connection: Upgrade",
        f"Sec-WebSocket-Accept: {accept_key(request.header('sec-websocket-key'))}",
        *(f"{name}: {value}" for name, value in extra or []),
    ]
    return ("\r\n".join(lines) + "\r\n\r\n").encode("latin-1")


class Incoming:
    """Whole messages from a connection after its 101. Pings are answered, a close is answered, limits close it."""

    __slots__ = ("_connection", "_frames", "_limits", "_over", "_reader", "_second", "deflated")

    def __init__(
        self, connection: Connection, leftover: bytes, limits: MessageLimits, *, deflated: bool = False
    ) -> None:
        """`deflated`: permessage-deflate was negotiated; the limit is that of what a message becomes."""
        self.deflated = deflated
        self._connection = connection
        self._reader = FrameReader(limits.message_bytes, limits.fragments, deflated=deflated)
        self._reader.feed(leftover)
        self._limits = limits
        self._over = False
        self._frames = 0
        self._second = 0.0

    async def receive(self, *, wait: bool = True) -> str | bytes | None:
        """The next message; None when the peer closed, broke the protocol, or exceeded a limit.

        Raises trio.WouldBlock where nothing has come and the caller does not want to wait.
        """
        try:
            while not self._over:
                found = self._reader.take()
                if found is not None:
                    await self._pace()
                    message = self._heed(*found)
                    if message is not None:
                        return message
                else:
                    await self._more(wait=wait)
        except FrameError as error:
            self._end(close_frame(error.code, str(error)))
        return None

    async def _more(self, *, wait: bool) -> None:
        """More bytes, or the end."""
        data = self._connection.recv_nowait()
        if data is None:
            if not wait:
                raise trio.WouldBlock
            data = await self._connection.recv()
        if data:
            self._reader.feed(data)
        else:
            self._over = True

    async def _pace(self) -> None:
        """A flood of frames must not keep the loop; beyond the limit it is slowed to a halt by its own socket."""
        self._frames += 1
        if self._frames % FRAMES_PER_CHECKPOINT == 0:
            await trio.lowlevel.checkpoint()
        now = trio.current_time()
        if now - self._second >= 1:
            self._second, self._frames = now, 0
        elif self._frames > self._limits.frames_per_second:
            await trio.sleep_until(self._second + 1)

    def _heed(self, opcode: int, data: Any) -> str | bytes | None:
        """A message, or None to go on."""
        match opcode:
            case edge_frames.TEXT | edge_frames.BINARY:
                return data
            case edge_frames.PING:
                self._connection.write(build_frame(PONG, data))
            case edge_frames.CLOSE:
                self._end(close_frame(data))
            case _:
                pass
        return None

    def _end(self, last: bytes) -> None:
        self._connection.write(last)
        self._over = True

"""WebSockets that we speak ourselves (Socket.IO's): the 101, and the messages that come in, within limits."""

import struct
from collections.abc import Iterator

import attrs
import trio
from wsproto.connection import Connection as Protocol
from wsproto.connection import ConnectionType
from wsproto.events import BytesMessage, CloseConnection, Event, Ping, TextMessage
from wsproto.extensions import Extension
from wsproto.utilities import RemoteProtocolError

from transports.edge_connection import Connection
from transports.edge_deflate import Inflate
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


class _Over(Exception):
    """No more messages; the close frame, if any, is written."""


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

    def __init__(
        self, connection: Connection, leftover: bytes, limits: MessageLimits, *, deflated: bool = False
    ) -> None:
        """`deflated`: permessage-deflate was negotiated; the limit is that of what a message becomes."""
        extensions: list[Extension] = [Inflate(limits.message_bytes)] if deflated else []
        self.deflated = deflated
        self._connection = connection
        self._protocol = Protocol(ConnectionType.SERVER, extensions, leftover)
        self._limits = limits
        self._events: Iterator[Event] = self._protocol.events()
        self._over = False
        self._parts: list[str | bytes] = []
        self._size = 0
        self._frames = 0
        self._second = 0.0
        self.heard_at = trio.current_time()

    async def receive(self, *, wait: bool = True) -> str | bytes | None:
        """The next message; None when the peer closed, broke the protocol, or exceeded a limit.

        Raises trio.WouldBlock where nothing has come and the caller does not want to wait.
        """
        try:
            while not self._over:
                for event in self._events:
                    await self._pace()
                    message = self._take(event)
                    if message is not None:
                        return message
                data = self._connection.recv_nowait()
                if data is None:
                    if not wait:
                        raise trio.WouldBlock
                    data = await self._connection.recv()
                if not data:
                    break
                self.heard_at = trio.current_time()
                self._protocol.receive_data(data)
                self._events = self._protocol.events()
        except _Over:
            pass
        except (RemoteProtocolError, UnicodeDecodeError, struct.error):
            self._connection.write(close_frame(1002, "protocol error"))
        self._over = True
        return None

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

    def _take(self, event: Event) -> str | bytes | None:
        """A whole message, or None to go on. Raises `_Over`."""
        match event:
            case TextMessage() | BytesMessage():
                return self._add(event)
            case Ping():
                self._connection.write(build_frame(PONG, bytes(event.payload)))
            case CloseConnection():
                self._connection.write(close_frame(None if event.code in (1005, 1006) else event.code))
                raise _Over
            case _:
                pass
        return None

    def _add(self, event: TextMessage | BytesMessage) -> str | bytes | None:
        data = event.data if isinstance(event, TextMessage) else bytes(event.data)
        self._size += len(data) if isinstance(data, bytes) or data.isascii() else len(data.encode())
        self._parts.append(data)
        if self._size > self._limits.message_bytes or len(self._parts) > self._limits.fragments:
            limit = f"a message may have {self._limits.message_bytes} bytes"
            self._connection.write(close_frame(1009, limit))
            raise _Over
        if not event.message_finished:
            return None
        parts, self._parts, self._size = self._parts, [], 0
        if isinstance(event, TextMessage):
            return "".join(part for part in parts if isinstance(part, str))
        return b"".join(part for part in parts if isinstance(part, bytes))

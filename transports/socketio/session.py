"""One Engine.IO session: a client's connection over polling, a WebSocket, or the one upgraded to the other."""

import base64
import binascii
from collections.abc import Awaitable, Callable, Sequence
from typing import Protocol

import trio

from townwatch.transports.edge.connection import Connection
from townwatch.transports.edge.http import Request
from townwatch.transports.socketio.heartbeat import HeartbeatSchedule
from townwatch.transports.socketio.message import CLOSE, NOOP, Message
from townwatch.transports.websocket.frames import TEXT, build_frame, close_frame
from townwatch.transports.websocket.messages import Incoming
from townwatch.transports.websocket.pace import MessageLimits

SEPARATOR = "\x1e"
POLLING_BACKLOG = 1 << 20
"""Bytes that may wait for the next poll."""


class SessionHost(Protocol):
    """The part of the Engine.IO server that a session needs."""

    heartbeat: "HeartbeatSchedule[EngineSession]"
    limits: MessageLimits
    sessions: "dict[str, EngineSession]"
    on_message: "Callable[[EngineSession, str | bytes], None]"
    on_close: "Callable[[EngineSession, str], None]"

    def cut_later(self, session: "EngineSession") -> None: ...
    async def read(self, session: "EngineSession") -> None: ...
    def remember_closed(self, sid: str, /) -> None: ...
    def spawn(self, function: Callable[..., Awaitable[object]], /, *args: object) -> object: ...


class EngineSession:
    """`send` never blocks. What comes in goes to the engine's `on_message`; the end to its `on_close`, once."""

    __slots__ = (
        "__weakref__", "_buffered", "bare", "base64", "buffer", "connection", "direct", "engine", "id",
        "incoming", "limits", "open", "ping_due", "poll", "pong_due", "posting", "probed", "request", "transport",
        "upgrading", "window",
    )  # fmt: skip

    def __init__(self, engine: SessionHost, sid: str, request: Request, transport: str) -> None:
        self.engine = engine
        self.id = sid
        self.request = request
        self.transport = transport
        self.open = True
        self.connection: Connection | None = None
        self.incoming: Incoming | None = None
        """Frames that the connection received."""
        self.limits: MessageLimits | None = None
        """Of what its WebSocket may send; None: the engine's."""
        self.base64 = request.argument("b64") is not None
        self.bare = request.argument("recovery") == "0"
        """It asked for events without the recovery offset: python-socketio's clients hand that to their handlers."""
        self.direct: Connection | None = None
        """The connection, where a message's frame can be written to it as it is."""
        self.window = 0
        """Bits of the window that messages to its WebSocket may be compressed with; 0: permessage-deflate is not
        negotiated.
        """
        self.buffer: list[Message] = []
        self.poll: trio.Event | None = None
        """Set while a GET waits."""
        self.posting = False
        self.upgrading = False
        self.probed = False
        self.ping_due = 0.0
        self.pong_due = 0.0
        self._buffered = 0

    def limit(self, limits: MessageLimits | None) -> None:
        """Change what its WebSocket may send, now or once it has one."""
        self.limits = limits
        if self.incoming is not None:
            self.incoming.limit(limits or self.engine.limits)

    # --- out --------------------------------------------------------------------------------------------------------

    @property
    def writable(self) -> bool:
        """True if a message sent now would be written at once."""
        if self.connection is not None:
            return self.connection.writable
        return self.poll is not None and not self.buffer

    def send(self, message: Message) -> bool:
        """Send one message. False when it is closed or too slow."""
        if not self.open:
            return False
        if self.bare:
            message = message.bare
        if self.connection is None:
            return self._buffer(message)
        if self.base64 and message.binary is not None:
            return self.connection.write(build_frame(TEXT, message.payload.encode()))
        return self.connection.write(message.deflated_for(self.window) if self.window else message.frame)

    def send_joined(self, joined: bytes, messages: Sequence[Message]) -> None:
        """Send many messages, whose frames are joined already for the peers that can take them so."""
        if self.direct is not None and not self.window:
            self.direct.write(joined)
            return
        for message in messages:
            self.send(message)

    def _buffer(self, message: Message) -> bool:
        self.buffer.append(message)
        self._buffered += message.size
        if self._buffered > POLLING_BACKLOG and self.poll is None:
            self.engine.cut_later(self)
            return False
        if self.poll is not None:
            self.poll.set()
        return True

    def take(self, packets: int) -> str:
        """The payload of a poll's answer: so many packets at most, all that there are where it has ended."""
        taken = self.buffer[:packets] if self.open else self.buffer
        self.buffer = self.buffer[len(taken) :]
        self._buffered = max(0, self._buffered - sum(message.size for message in taken)) if self.buffer else 0
        return SEPARATOR.join(message.payload for message in taken)

    def cut_later(self) -> None:
        """Cut a session that is too slow, outside of the broadcast that noticed it."""
        self.engine.cut_later(self)

    # --- the end ----------------------------------------------------------------------------------------------------

    def close(self, reason: str = "forced server close") -> None:
        """Say so to the client, and be closed."""
        if not self.open:
            return
        if self.connection is not None:
            self.connection.write(close_frame())
        else:
            self.buffer.append(CLOSE)
        self.ended(reason)

    def ended(self, reason: str, *, noop: bool = False) -> None:
        """End the session. `noop`: a waiting poll ends with a noop."""
        if not self.open:
            return
        self.open = False
        self.engine.sessions.pop(self.id, None)
        if self.poll is not None:
            if noop:
                self.buffer.append(NOOP)
            self.poll.set()
        if self.connection is not None:
            self.engine.spawn(self.connection.finish)
        self.engine.on_close(self, reason)

    # --- in ---------------------------------------------------------------------------------------------------------

    async def read(self) -> None:
        """See `Engine.read`."""
        await self.engine.read(self)

    def receive(self, packet: str | bytes) -> bool:
        """Take one Engine.IO packet; return whether to go on."""
        if not self.open:
            return False
        if isinstance(packet, bytes):
            self.engine.on_message(self, packet)
            return self.open
        match packet[:1]:
            case "4":
                self.engine.on_message(self, packet[1:])
            case "3":
                if self.pong_due:  # an unasked pong changes nothing: each would be a place in the schedule
                    self.pong_due = 0.0
                    self.engine.heartbeat.expect_ping(self)
            case "b":
                self._receive_base64(packet[1:])
            case "1":
                if self.poll is None and self.connection is None:
                    self.engine.remember_closed(self.id)
                self.ended("transport close", noop=True)
            case "0" | "5" | "6":
                pass
            case "2":
                self.ended("transport error")
            case _:
                self.ended("parse error")
        return self.open

    def _receive_base64(self, text: str) -> None:
        try:
            data = base64.b64decode(text)
        except (binascii.Error, ValueError):
            self.ended("parse error")
            return
        self.engine.on_message(self, data)

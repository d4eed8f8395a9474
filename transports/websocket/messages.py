"""Messages of a WebSocket after its 101: whole ones, within limits.

Pings and the closing handshake are answered here.
"""

import os
from typing import Any

import attrs
import trio

from townwatch.transports.edge.connection import Connection
from townwatch.transports.websocket.close_codes import CloseCode
from townwatch.transports.websocket.frame_reader import FrameError, FrameReader
from townwatch.transports.websocket.frames import BINARY, CLOSE, PING, PONG, TEXT, build_frame, close_payload
from townwatch.transports.websocket.pace import MessageLimits, Pace

FRAMES_PER_CHECKPOINT = 64
READS_PER_CHECKPOINT = 16
BYTES_PER_CHECKPOINT = 256 * 1024
"""Of messages, as they are handed on: a kilobyte that came can be a megabyte inflated."""
NO_CODE = 1005
"""Stands for a close frame without a code; never sent."""
Message = tuple[int, Any]
"""TEXT or BINARY, and the payload."""


@attrs.frozen
class Ending:
    """End of a connection. `ours`: whether this side closed it. `code`: 1006 where no close frame came."""

    code: int
    reason: str
    ours: bool


class Incoming:
    """Whole messages from a connection. One task at a time may read. It writes pongs, and one close frame at most."""

    __slots__ = (
        "_agreed_bytes", "_client", "_connection", "_frames", "_limits", "_pace", "_reader", "_reads", "_said",
        "_weighed", "ending", "heard_at", "window",
    )  # fmt: skip

    def __init__(
        self,
        connection: Connection,
        leftover: bytes,
        limits: MessageLimits,
        *,
        window: int = 0,
        decodes: bool = True,
        client: bool = False,
        agreed_bytes: int | None = None,
    ) -> None:
        """`leftover`: what came behind the handshake. `agreed_bytes`: the limit of a message that the peer was told
        before; beyond it 1009 goes without a reason, as from the official Socket.IO server. `window`: bits of the
        window that permessage-deflate was agreed on with; 0: it was not. The other options are those of `FrameReader`.
        """
        self.window = window
        self.ending: Ending | None = None
        """How it ended, once nothing more comes."""
        self.heard_at = trio.current_time()
        """When the last byte came, on trio's clock."""
        self._connection = connection
        self._reader = FrameReader(limits, deflated=window > 0, decodes=decodes, client=client)
        self._reader.feed(leftover)
        self._limits = limits
        self._client = client
        self._agreed_bytes = agreed_bytes
        self._pace: Pace | None = None
        self._said: Ending | None = None
        self._frames = self._reads = self._weighed = 0

    def limit(self, limits: MessageLimits) -> None:
        """Change what the peer may send, from the next frame on. Its rates are counted anew."""
        self._limits, self._pace = limits, None
        self._reader.limit(limits)

    # --- in -------------------------------------------------------------------------------------------------------

    async def receive(self, *, wait: bool = True) -> Any:
        """The payload of the next message; None when the peer closed, broke the protocol, or exceeded a limit.

        Raises trio.WouldBlock where nothing has come and the caller does not want to wait.
        """
        try:
            message = await self.next(wait=wait)
        except FrameError as error:
            self.fail(error)
            return None
        return None if message is None else message[1]

    async def next(self, *, wait: bool = True) -> Message | None:
        """As `receive`, with the opcode. Raises `FrameError`, after which the caller says `fail` or `close`."""
        while self.ending is None:
            found = self._reader.take()
            if found is None:
                await self._more(wait=wait)
                continue
            await self._count(found[0])
            if self._heed(*found):
                await self._weigh(len(found[1]))
                return found
        return None

    async def _more(self, *, wait: bool) -> None:
        """Read more bytes, or the end. A peer that sends without a pause must not keep the loop."""
        data = self._connection.recv_nowait()
        if data is None:
            if not wait:
                raise trio.WouldBlock
            data = await self._connection.recv()
        self._reads += 1
        if self._reads % READS_PER_CHECKPOINT == 0:
            await trio.lowlevel.checkpoint()
        if not data:
            self.ending = self._said or Ending(CloseCode.LOST, "lost", ours=False)
            return
        now = self.heard_at = trio.current_time()
        self._reader.feed(data)
        if self._pace is None:
            self._pace = Pace(self._limits, now)
        pause = self._pace.received(len(data), now)
        if pause:
            await trio.sleep(pause)

    async def _count(self, opcode: int) -> None:
        self._frames += 1
        if self._frames % FRAMES_PER_CHECKPOINT == 0:
            await trio.lowlevel.checkpoint()
        now = trio.current_time()
        if self._pace is None:
            self._pace = Pace(self._limits, now)
        problem = self._pace.frame(now, control=opcode in (PING, PONG))
        if problem is not None and self._said is None:
            raise FrameError(1008, problem)

    async def _weigh(self, size: int) -> None:
        """Count a message as large as it is to read. What was inflated counts in the peer's bytes a second, too."""
        self._weighed += size
        if self._weighed >= BYTES_PER_CHECKPOINT:
            self._weighed = 0
            await trio.lowlevel.checkpoint()
        if self.window and self._pace is not None:
            pause = self._pace.received(size, trio.current_time())
            if pause:
                await trio.sleep(pause)

    def _heed(self, opcode: int, data: Any) -> bool:
        """Return whether this is a message for the reader."""
        if opcode in (TEXT, BINARY):
            return self._said is None
        if opcode == PING and self._said is None:
            self._connection.write_ahead(self.frame(PONG, data))
        if opcode == CLOSE:
            self._closed_by_peer(data)
        return False

    def _closed_by_peer(self, told: tuple[int, str] | None) -> None:
        code, reason = told or (NO_CODE, "closed without a code")
        self.ending = self._said or Ending(code, reason, ours=False)
        if self._said is None:
            self._connection.write(self.frame(CLOSE, close_payload(None if told is None else code)))

    # --- out ------------------------------------------------------------------------------------------------------

    def frame(self, opcode: int, payload: bytes) -> bytes:
        """A frame of this side of the connection: a client's is masked."""
        return build_frame(opcode, payload, mask=os.urandom(4) if self._client else b"")

    def close(self, code: int, reason: str) -> None:
        """Say goodbye. From then on only the peer's close frame is waited for. The second time does nothing."""
        if self._said is None and self.ending is None:
            self._said = Ending(code, reason, ours=True)
            self._connection.write(self.frame(CLOSE, close_payload(code, reason)))

    def fail(self, error: FrameError) -> None:
        """End a connection whose frames cannot be read any further, and say why."""
        agreed = error.code == 1009 and self._limits.message_bytes == self._agreed_bytes
        self.close(error.code, "" if agreed else str(error))
        self.ending = self.ending or self._said

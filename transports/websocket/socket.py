"""One WebSocket of the service: messages in and out as bytes, one writer, a pulse, and an end that says why.

Nothing here waits to write: a frame goes to the edge's connection, which hands it to the kernel or keeps it, in order.
So a broadcast is framed once and costs no task switch a peer. What a slow peer may keep waiting is bounded; pings and
pongs go before it. A peer that takes nothing for a stated time is cut, and nothing follows a torn frame.
"""

from collections.abc import Awaitable, Callable
from functools import partial

import attrs
import trio

from townwatch.transports.edge.connection import Connection
from townwatch.transports.edge.sending import drained
from townwatch.transports.websocket.close_codes import CloseCode
from townwatch.transports.websocket.frame_reader import FrameError
from townwatch.transports.websocket.frames import PING, TEXT
from townwatch.transports.websocket.messages import Ending, Incoming, Message
from townwatch.transports.websocket.pace import MessageLimits

FAREWELL_SECONDS = 0.25
"""How long to wait for the end of a peer that has answered our goodbye: nothing of ours is under way any more."""
CONTROL_ROOM_BYTES = 64 * 1024
"""What may wait beyond the outbox: pongs, and the goodbye."""
TOO_SLOW = "too slow: the messages that wait for you do not fit any more; come back and catch up"

OnMessage = Callable[[int, bytes], Awaitable[None]]
"""Told of a message: TEXT, whose bytes are UTF-8, or BINARY."""


@attrs.frozen(kw_only=True)
class SocketLimits:
    """Bounds of one connection. Seconds, bytes, messages.

    incoming: of what the peer sends. ping: how often we ask. silent: how long nothing at all may come before the peer
    is given up. send: how long the peer may take nothing of what waits for it. close: how long the closing handshake
    may take. outbox: what may wait to be sent; beyond it the peer is too slow.
    """

    incoming: MessageLimits = attrs.field(factory=lambda: MessageLimits(message_bytes=1 << 20))
    ping: float = 20.0
    silent: float = 30.0
    send: float = 10.0
    close: float = 2.0
    outbox_bytes: int = 4 << 20
    outbox_messages: int = 8192


class MessageSocket:
    """The connection object. `send`, `close` and `abort` never block; `run` does the work until all is over."""

    def __init__(
        self,
        connection: Connection,
        leftover: bytes,
        limits: SocketLimits,
        *,
        subprotocol: str | None = None,
        client: bool = False,
    ) -> None:
        """A connection after its 101. `leftover`: what came behind the handshake. `client`: this side dialled."""
        connection.backlog = limits.outbox_bytes + CONTROL_ROOM_BYTES
        self.subprotocol = subprotocol
        self.explain: Callable[[int, str], bytes | None] = lambda _code, _reason: None
        """Makes the last message to a peer whose frames cannot be read any further, from the code and the reason."""
        self._connection = connection
        self._limits = limits
        self._incoming = Incoming(connection, leftover, limits.incoming, decodes=False, client=client)
        self._closing: Ending | None = None
        self._told = trio.Event()
        self._scope: trio.CancelScope | None = None
        self._nursery: trio.Nursery | None = None
        self._watched = False
        self._aborted = False
        self._busy = False
        self.over = trio.Event()
        self.ending: Ending | None = None

    @property
    def closing(self) -> bool:
        """Return whether `close` or `abort` was called, the peer said goodbye, or all is over."""
        return self._closing is not None or self._aborted or self._incoming.ending is not None or self.over.is_set()

    @property
    def outbox_depth(self) -> int:
        """Messages that wait to be sent."""
        return self._connection.waiting_pieces

    # --- from any task ----------------------------------------------------------------------------

    def frame(self, text: bytes) -> bytes:
        """The frame of a text, to be given to `send_frame` of every connection that gets it."""
        return self._incoming.frame(TEXT, text)

    def send(self, text: bytes) -> bool:
        """Send one text frame, in its turn. False when it cannot be: the connection is closing, or the peer too slow
        (which closes it with 1013).
        """
        return not self.closing and self.send_frame(self.frame(text))

    def send_frame(self, frame: bytes) -> bool:
        """As `send`, of a whole frame that was made before."""
        if self.closing:
            return False
        waiting = self._connection.waiting_bytes
        limits = self._limits
        full = waiting + len(frame) > limits.outbox_bytes or self.outbox_depth >= limits.outbox_messages
        if waiting and full:
            self._connection.drop_waiting()
            self.close(CloseCode.TRY_AGAIN, TOO_SLOW)
            return False
        sent = self._connection.write(frame)
        self._watch_stall()
        return sent

    def send_if(self, text: bytes | None) -> None:
        """`send`, where there is something to say."""
        if text is not None:
            self.send(text)

    def close(self, code: int, reason: str) -> None:
        """Say goodbye after what is queued. The first call counts."""
        if self.closing:
            return
        self._closing = Ending(code, reason, ours=True)
        self._incoming.close(code, reason)
        self._told.set()
        self._watch_stall()

    def abort(self) -> None:
        """Close the connection at once, without a close frame."""
        self._aborted = True
        self._connection.abort()
        if self._scope is not None:
            self._scope.cancel()
        else:  # nothing runs yet, and nothing will
            self.over.set()

    # --- the tasks --------------------------------------------------------------------------------

    async def first(self, seconds: float) -> Message | None:
        """The first message, before `run`; None when none came in time, or the connection is `closing`."""
        with trio.move_on_after(seconds):
            return await self._next()
        return None

    async def run(self, on_message: OnMessage | None) -> Ending:
        """Read, ping, and see it off, until the connection is over. Raises what `on_message` raises.

        While `on_message` waits, nothing is read. None: messages are dropped, only what is queued is sent.
        """
        try:
            with trio.CancelScope() as self._scope:
                if self._aborted:
                    self._scope.cancel()
                async with trio.open_nursery() as self._nursery:
                    self._watch_stall()
                    self._nursery.start_soon(self._pulse)
                    self._nursery.start_soon(self._see_off)
                    await self._read(on_message)
                    self._nursery.cancel_scope.cancel()
        finally:
            self.ending = self.ending or self._closing or Ending(CloseCode.LOST, "aborted", ours=True)
            self._aborted = True
            self._nursery = None
            self.over.set()
            self._connection.abort()
        return self.ending

    def _end(self, ending: Ending) -> None:
        self.ending = self.ending or ending
        if self._scope is not None:
            self._scope.cancel()

    async def _next(self) -> Message | None:
        try:
            return await self._incoming.next()
        except FrameError as error:
            if not self.closing:
                self.send_if(self.explain(error.code, str(error)))
                self.close(error.code, str(error))
            self._incoming.fail(error)
            return None

    async def _read(self, on_message: OnMessage | None) -> None:
        """Yield messages until the peer's end; then wait until the peer has ours."""
        while (message := await self._next()) is not None:
            if self._closing is None and on_message is not None:
                self._busy = True
                await on_message(*message)
                self._busy = False
                self._incoming.heard_at = trio.current_time()  # nothing was read meanwhile
        self.ending = self.ending or self._incoming.ending
        await self._connection.hang_up(min(self._limits.close, FAREWELL_SECONDS))

    async def _see_off(self) -> None:
        """Close in order: send what waits, wait for the peer's close frame, each within its time."""
        await self._told.wait()
        await self._connection.flush(self._limits.send)
        await trio.sleep(self._limits.close)
        self._end(self._closing or Ending(CloseCode.LOST, "lost", ours=True))

    async def _pulse(self) -> None:
        """A ping every now and then, and the end of a peer from which nothing comes. Any byte is life. While we do not
        read, silence says nothing about the peer.
        """
        ping_at = trio.current_time() + self._limits.ping
        while True:
            await trio.sleep_until(min(ping_at, self._silent_at()))
            if trio.current_time() >= self._silent_at():
                return self.close(CloseCode.GOING_AWAY, f"nothing was heard for {self._limits.silent:g} s")
            if trio.current_time() >= ping_at:
                if self._closing is None and self._connection.writable:
                    self._connection.write_ahead(self._incoming.frame(PING, b""))
                ping_at = trio.current_time() + self._limits.ping

    def _silent_at(self) -> float:
        return (trio.current_time() if self._busy else self._incoming.heard_at) + self._limits.silent

    def _watch_stall(self) -> None:
        """Watch that the peer takes something now and then while anything waits to be sent."""
        if self._nursery is not None and not self._watched and self._connection.waiting_bytes:
            self._watched = True
            self._nursery.start_soon(partial(self._until_drained, self._limits.send))

    async def _until_drained(self, stall: float) -> None:
        try:
            if not await drained(self._connection, stall):
                self._end(Ending(CloseCode.LOST, f"nothing of what waits was taken in time ({stall:g} s)", ours=True))
        finally:
            self._watched = False

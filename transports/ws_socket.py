"""One WebSocket of ours over trio-websocket: a reader, one writer, a pulse.

Why not plain trio-websocket: a cancelled `send_message` leaves a torn frame and the next send succeeds, so only the
writer task here sends, and when its deadline passes the connection is aborted. Pongs wait behind queued messages, so
any byte received is life. A flood of frames that never make a message passes its size limit, so the stream counts.
"""

from collections import deque
from collections.abc import Awaitable, Callable
from typing import Any

import attrs
import structlog
import trio
from trio_websocket import CloseReason, ConnectionClosed, WebSocketConnection
from wsproto.utilities import LocalProtocolError

from transports.ws_frames import FrameLimits, FrameMeter

log = structlog.get_logger("websocket")

RECEIVE_BYTES = 16_384
REASON_BYTES = 120
"""A close frame has room for 123 bytes of reason."""

Message = str | bytes


@attrs.frozen(kw_only=True)
class SocketLimits:
    """Bounds of one connection. Seconds, bytes, messages.

    ping: how often we ask. silent: how long nothing at all may come before the peer is given up.
    send: how long one message may take to leave. close: how long the closing handshake may take.
    outbox: what may wait to be sent; beyond it the peer is too slow.
    """

    message_bytes: int = 1 << 20
    ping: float = 20.0
    silent: float = 30.0
    send: float = 10.0
    close: float = 2.0
    outbox_bytes: int = 4 << 20
    outbox_messages: int = 8192
    frames: FrameLimits = attrs.field(factory=FrameLimits)


class GuardedStream(trio.abc.Stream):
    """A stream that knows when it last heard something, reads in small bites and counts frames."""

    def __init__(self, stream: trio.abc.Stream, limits: FrameLimits) -> None:
        self._stream = stream
        self._meter = FrameMeter(limits, trio.current_time())
        self.heard_at = trio.current_time()
        self.on_flood: Callable[[str], None] | None = None

    async def send_all(self, data: bytes | bytearray | memoryview) -> None:
        await self._stream.send_all(data)

    async def wait_send_all_might_not_block(self) -> None:
        await self._stream.wait_send_all_might_not_block()

    async def receive_some(self, max_bytes: int | None = None) -> bytes | bytearray:
        data = await self._stream.receive_some(min(max_bytes or RECEIVE_BYTES, RECEIVE_BYTES))
        self.heard_at = trio.current_time()
        problem = self._meter.feed(data, self.heard_at)
        if problem is None:
            return data
        if self.on_flood is None:
            raise trio.BrokenResourceError(problem)
        self.on_flood(problem)
        await trio.sleep_forever()  # nothing more is read; the closing handshake has a deadline and ends this

    async def aclose(self) -> None:
        await self._stream.aclose()


@attrs.frozen
class Ending:
    """How a connection ended. `ours`: whether it was closed from this side. `code`: 1006 where there was no goodbye."""

    code: int
    reason: str
    ours: bool


class MessageSocket:
    """The connection object. `send`, `close` and `abort` never block; `run` does the work until all is over."""

    def __init__(self, ws: WebSocketConnection, stream: GuardedStream, limits: SocketLimits) -> None:
        self._ws = ws
        self._stream = stream
        self._limits = limits
        self._outbox: deque[bytes] = deque()
        self._outbox_bytes = 0
        self._wake = trio.Event()
        self._closing: Ending | None = None
        self._scope: trio.CancelScope | None = None
        self._aborted = False
        self._busy = False
        self.over = trio.Event()
        self.ending: Ending | None = None
        stream.on_flood = lambda problem: self.close(1008, problem)

    @property
    def subprotocol(self) -> str | None:
        return self._ws.subprotocol

    @property
    def closing(self) -> bool:
        """Whether `close` or `abort` was called, or all is over."""
        return self._closing is not None or self._aborted or self.over.is_set()

    @property
    def outbox_depth(self) -> int:
        """Messages that wait to be sent."""
        return len(self._outbox)

    # --- from any task ----------------------------------------------------------------------------

    def send(self, text: bytes) -> bool:
        """One text frame, in its turn. False when it cannot be: the connection is closing, or the peer too slow
        (which closes it with 1013).
        """
        if self.closing:
            return False
        full = len(self._outbox) >= self._limits.outbox_messages
        if full or self._outbox_bytes + len(text) > self._limits.outbox_bytes:
            self._outbox.clear()
            self.close(1013, "too slow: the messages that wait for you do not fit any more; come back and catch up")
            return False
        self._outbox.append(text)
        self._outbox_bytes += len(text)
        self._wake.set()
        return True

    def send_if(self, text: bytes | None) -> None:
        """`send`, where there is something to say."""
        if text is not None:
            self.send(text)

    def close(self, code: int, reason: str) -> None:
        """Say goodbye after what is queued. The first call counts."""
        if self.closing:
            return
        self._closing = Ending(code, reason, ours=True)
        self._wake.set()

    def abort(self) -> None:
        """Away with it, at once and without a goodbye."""
        self._aborted = True
        if self._scope is not None:
            self._scope.cancel()
        else:  # nothing runs yet, and nothing will
            self.over.set()

    async def discard(self) -> None:
        """Free the stream of a connection that `run` never had or has left."""
        await trio.aclose_forcefully(self._stream)

    # --- the tasks --------------------------------------------------------------------------------

    async def first(self, seconds: float) -> Message | None:
        """The first message, before `run`; None when none came in time. Raises `ConnectionClosed`."""
        with trio.move_on_after(seconds):
            return await self._ws.get_message()
        return None

    async def run(self, on_message: Callable[[Message], Awaitable[None]] | None) -> Ending:
        """Read, write, ping, until the connection is over. Raises what `on_message` raises.

        While `on_message` waits, nothing is read. None: nothing is read at all, only what is queued is sent.
        """
        try:
            with trio.CancelScope() as self._scope:
                if self._aborted:
                    self._scope.cancel()
                async with trio.open_nursery() as nursery:
                    nursery.start_soon(self._write)
                    if on_message is not None:
                        nursery.start_soon(self._read, on_message)
                        nursery.start_soon(self._ask)
                        nursery.start_soon(self._listen)
        finally:
            self.ending = self.ending or self._closing or Ending(1006, "aborted", ours=True)
            self._aborted = True
            self._outbox.clear()
            self.over.set()
            await trio.aclose_forcefully(self._stream)
        return self.ending

    def _end(self, ending: Ending) -> None:
        self.ending = self.ending or ending
        assert self._scope is not None
        self._scope.cancel()

    async def _read(self, on_message: Callable[[Message], Awaitable[None]]) -> None:
        while True:
            try:
                message = await self._ws.get_message()
            except ConnectionClosed as closed:
                if self._closing is not None:
                    return  # our own goodbye: the writer sees it through
                self._end(_ending_of(closed.reason))
                return
            if self._closing is not None:
                continue
            self._busy = True
            await on_message(message)
            self._busy = False

    async def _write(self) -> None:
        """The one task that sends. A send that takes too long has left a torn frame behind: nothing can follow it."""
        while True:
            while self._outbox:
                text = self._outbox.popleft()
                self._outbox_bytes -= len(text)
                if not await self._put(lambda text=text: self._ws.send_message(text.decode())):
                    return
            if self._closing is not None:
                await self._say_goodbye(self._closing)
                return
            self._wake = trio.Event()
            await self._wake.wait()

    async def _put(self, send: Callable[[], Awaitable[Any]]) -> bool:
        try:
            with trio.move_on_after(self._limits.send) as deadline:
                await send()
        except (ConnectionClosed, LocalProtocolError):
            if self._closing is None and self._ws.closed is not None:
                self._end(_ending_of(self._ws.closed))
            else:
                self._end(Ending(1006, "lost", ours=False))
            return False
        if deadline.cancelled_caught:
            self._end(Ending(1006, "a message could not be sent in time", ours=True))
            return False
        return True

    async def _say_goodbye(self, ending: Ending) -> None:
        with trio.move_on_after(self._limits.close):
            await self._ws.aclose(ending.code, _shortened(ending.reason))
        self._end(ending)

    async def _ask(self) -> None:
        """A ping every now and then. It waits for its pong, so at most one is on its way."""
        while True:
            await trio.sleep(self._limits.ping)
            try:
                await self._ws.ping()
            except (ConnectionClosed, LocalProtocolError):
                return

    async def _listen(self) -> None:
        """Any byte is life. While we do not read, silence says nothing about the peer."""
        due = self._stream.heard_at + self._limits.silent
        while True:
            await trio.sleep_until(due)
            due = (trio.current_time() if self._busy else self._stream.heard_at) + self._limits.silent
            if trio.current_time() >= due:
                return self.close(1001, f"nothing was heard for {self._limits.silent:g} s")


def _ending_of(reason: CloseReason | None) -> Ending:
    if reason is None:
        return Ending(1006, "lost", ours=False)
    return Ending(reason.code, reason.reason or reason.name, ours=False)


def _shortened(reason: str) -> str:
    """At most so many bytes of UTF-8, cut between two characters."""
    return reason.encode()[:REASON_BYTES].decode(errors="ignore")

"""Writer used while a client catches up: bypasses the socket's held queue."""

from collections.abc import AsyncGenerator, Collection
from contextlib import asynccontextmanager
from typing import Protocol

import trio

from townwatch.transports.socketio.message import Message, Tag
from townwatch.transports.socketio.namespace import Socket, not_covered


class Prepare(Protocol):
    """`TrioServer.prepare`."""

    def __call__(
        self, event: str, payload: bytes, rooms: Collection[str], tag: Tag | None, *, mark: str | None = None
    ) -> Message: ...


ROOM_BYTES = 256 << 10
"""What a client may have before it that it has not taken yet, a quarter of what gets it cut."""
PATIENCE_SECONDS = 15.0
"""How long a whole catch-up waits for its client; what is live is held meanwhile. A slower one is cut, comes back, and
goes on from where it was.
"""
LOOK_SECONDS = 0.02
UNFINISHED = "x"
"""Mark of what is replayed, but for the last of it: who has seen it has not seen all."""


class ReplayWriter:
    """Open while `TrioServer.catch_up` is."""

    def __init__(self, prepare: Prepare, socket: Socket) -> None:
        self._prepare = prepare
        self._socket = socket
        self.covered: dict[str, int] = {}
        """stream → the highest number shown."""
        self.sent = False
        self._last: tuple[str, bytes, Tag | None] | None = None
        """What waits to be sent, until it is known whether it is the last."""
        recovery = socket.namespace.recovery
        self._marks = recovery is not None and recovery.mark is not None
        self._before = 0
        self._patience_ends = trio.current_time() + PATIENCE_SECONDS

    async def room(self, size: int) -> None:
        """Wait, where much was sent already, until the client has taken it: a slow one is late then, and not cut.

        To be called before `size` bytes are sent.
        """
        self._before += size
        if self._before > ROOM_BYTES:
            self._before = size
            await self._taken()

    async def _taken(self) -> None:
        session = self._socket.client.session
        with trio.move_on_at(self._patience_ends):
            while session.open and session.connection is None and session.buffer:  # noqa: ASYNC110 - until it polls
                await trio.sleep(LOOK_SECONDS)
            if session.connection is not None:
                await session.connection.flush(PATIENCE_SECONDS)

    def send(self, event: str, payload: bytes, tag: Tag | None = None) -> None:
        """Send one event whose argument is JSON already."""
        self.sent = True
        if self._marks:
            self._send_last(UNFINISHED)
            self._last = event, payload, tag
        else:
            self._socket.send_now((self._prepare(event, payload, (self._socket.sid,), tag),))
        if tag is not None:
            self.covered[tag[0]] = max(self.covered.get(tag[0], 0), tag[1])

    def end(self, finished: bool) -> None:
        """Send what waits. `finished`: when the client has it, it has seen all up to now."""
        self._send_last(None if finished else UNFINISHED)

    def _send_last(self, mark: str | None) -> None:
        last, self._last = self._last, None
        if last is not None:
            event, payload, tag = last
            self._socket.send_now((self._prepare(event, payload, (self._socket.sid,), tag, mark=mark),))


@asynccontextmanager
async def catch_up(prepare: Prepare, socket: Socket) -> AsyncGenerator[ReplayWriter, None]:
    """Hold back what is published to this socket while open; let it follow at the end, without what was replayed.

    Where the replay fails, nothing follows and the transport is closed: what is live would be taken for all there was.
    The client comes back with a new socket, and goes on from the last that it saw.
    """
    socket.namespace.flush_group(socket.group)
    nested = socket.held is not None
    if not nested:
        socket.held = []
    replay = ReplayWriter(prepare, socket)
    try:
        yield replay
    except BaseException:
        socket.client.session.close("transport close")
        raise
    socket.namespace.flush_group(socket.group)
    if not nested:
        socket.held = not_covered(socket.held or (), replay.covered)
    finished, recovery = not nested and not socket.held, socket.namespace.recovery
    replay.end(finished)
    if replay.sent and recovery is not None:
        if not nested and not finished:
            socket.whole_from = recovery.next
        if recovery.mark is not None:
            socket.joins.floor = recovery.next - finished
    if not nested:
        socket.release()

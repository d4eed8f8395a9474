"""The other end of a trunk: this process has the clients' connections, the leader has what they are told.

async with trio.open_nursery() as nursery:
    end = FarEnd(link, nursery)             # a connection on which the leader expects a trunk
    nursery.start_soon(end.run)
    await end.carry(connection, RelayClaim(peer="10.1.2.3"), head)
"""

from collections.abc import Awaitable, Callable
from functools import partial

import attrs
import structlog
import trio

from townwatch.transports.edge.connection import RECEIVE_BYTES, Audience, Connection
from townwatch.transports.edge.relay.wire import RelayClaim
from townwatch.transports.trunk import frames as f
from townwatch.transports.trunk.lines import TRUNK_BYTES

log = structlog.get_logger("trunk")

FLUSH_SECONDS = 30.0
"""A client that takes nothing for longer is cut for being slow, or ends by its heartbeat."""
SHUT_SECONDS = 2.0
LAST_WORDS_SECONDS = 5.0
"""How long the leader may take to end a line whose client has ended."""
READS_PER_CHECKPOINT = 16
FEED_BYTES = 1024 * 1024
"""While so much waits for the leader, nothing more is read of clients: what they send must not be what ends a trunk."""


@attrs.define(eq=False)
class CarriedClient:
    """A client's connection, and how much of what it sent the leader has not read yet."""

    connection: Connection
    unread: int = 0
    room: trio.Event | None = None
    over: trio.Event | None = None

    def took(self, size: int) -> None:
        """Take in that the leader has read so many bytes."""
        self.unread -= size
        if self.room is not None and self.unread <= f.WINDOW:
            self.room.set()
            self.room = None


class FarEnd:
    """The clients of this process that the leader serves over one trunk. They end with it."""

    def __init__(self, link: Connection, nursery: trio.Nursery) -> None:
        self._link = link
        link.backlog = TRUNK_BYTES
        self._nursery = nursery
        self._turn = trio.Lock()
        """Held by the client that waits for the leader to take more; the others stand behind it."""
        self._clients: dict[int, CarriedClient] = {}
        self._audiences: dict[int, Audience] = {}
        self._last = 0

    def __len__(self) -> int:
        return len(self._clients)

    @property
    def open(self) -> bool:
        """True while the leader is at the other end."""
        return not self._link.closed

    def end(self) -> None:
        """End the trunk, and with it all that it carries."""
        self._link.abort()

    async def carry(self, connection: Connection, claim: RelayClaim, head: bytes) -> None:
        """Carry a client's connection until it is over, or parked. `head`: what it has sent so far."""
        self._last = number = self._last + 1
        client = self._clients[number] = CarriedClient(connection)
        connection.on_slow = partial(self._too_slow, number)
        connection.upgraded = True  # or the leader ends it in a moment
        await self._until_leader_takes()
        self._tell(f.OPEN, number, claim.encode().encode() + b"\n" + head)
        await self._read(number, client)

    async def run(self) -> None:
        """Do what the leader says until the trunk ends. Never raises an `Exception`."""
        buffer = f.FrameBuffer()
        try:
            while data := await self._link.recv(16 * RECEIVE_BYTES):
                buffer.feed(data)
                for kind, number, payload in buffer.frames():
                    self._do(kind, number, payload)
                    if kind == f.SPREAD:
                        await trio.lowlevel.checkpoint()
                await trio.lowlevel.checkpoint()
        except f.TrunkBroken as error:
            log.error("trunk_broken", peer=self._link.peer, reason=str(error))
        finally:
            self._link.abort()
            self._audiences.clear()
            for count, number in enumerate(list(self._clients), 1):
                self._cut(number)
                if count % f.ENDED_AT_ONCE == 0:
                    await trio.lowlevel.cancel_shielded_checkpoint()

    # --- what clients say ---------------------------------------------------------------------------------------------

    async def _read(self, number: int, client: CarriedClient) -> None:
        connection, reads = client.connection, 0
        await self._until_leader_takes()
        while (data := connection.recv_nowait()) != b"":
            if data is None:
                if connection.park(partial(self._read, number, client)):
                    return
                data = await connection.recv()
                if not data:
                    break
            self._tell(f.DATA, number, data)
            client.unread += len(data)
            reads += 1
            if client.unread > f.WINDOW:
                client.room = trio.Event()
                await client.room.wait()  # until the leader has read some of it, or cuts the line: `_took`, `_cut`
            elif reads % READS_PER_CHECKPOINT == 0:
                await trio.lowlevel.checkpoint()
            await self._until_leader_takes()
        await self._end(number, client)

    async def _until_leader_takes(self) -> None:
        if self._link.waiting_bytes > FEED_BYTES:
            async with self._turn:
                while self._link.waiting_bytes > FEED_BYTES:
                    await self._link.flush(FLUSH_SECONDS)

    async def _end(self, number: int, client: CarriedClient) -> None:
        """Tell the leader that the client has said all; let it have the last words."""
        if number in self._clients:
            client.over = trio.Event()
            self._tell(f.ENDED, number)
            with trio.move_on_after(LAST_WORDS_SECONDS):
                await client.over.wait()
            self._cut(number)

    def _too_slow(self, number: int) -> None:
        self._tell(f.SLOW, number)

    # --- what the leader says -----------------------------------------------------------------------------------------

    def _do(self, kind: int, number: int, payload: bytes) -> None:
        match kind:
            case f.SPREAD:
                audience = self._audiences.get(number)
                if audience is not None:
                    audience.write(payload)
            case f.AUDIENCE:
                clients = [client for line in f.unpacked(payload) if (client := self._clients.get(line)) is not None]
                self._audiences[number] = Audience([client.connection for client in clients])
            case f.FORGET:
                self._audiences.pop(number, None)
            case f.FLUSH:
                self._spawn(self._flush, number, f.only(payload))
            case f.CUT:
                self._cut(number)
            case _ if kind >= f.MAY_BE_PASSED_OVER:
                pass
            case _:
                client = self._clients.get(number)
                if client is not None:  # else it ended here while this was on its way
                    self._do_to(client, kind, payload)

    def _do_to(self, client: CarriedClient, kind: int, payload: bytes) -> None:
        match kind:
            case f.WRITE:
                client.connection.write(payload)
            case f.WRITE_AHEAD:
                client.connection.write_ahead(payload)
            case f.TOOK:
                client.took(f.only(payload))
            case f.BACKLOG:
                client.connection.backlog = f.only(payload)
            case f.DROP:
                client.connection.drop_waiting()
            case f.SHUT:
                self._spawn(client.connection.half_close, SHUT_SECONDS)
            case _:
                raise f.TrunkBroken(f"a frame of kind {kind}")

    async def _flush(self, question: int, number: int) -> None:
        client = self._clients.get(number)
        if client is not None:
            await client.connection.flush(FLUSH_SECONDS)
        self._tell(f.FLUSHED, question)

    def _cut(self, number: int) -> None:
        client = self._clients.pop(number, None)
        if client is None:
            return
        client.connection.abort()
        for event in (client.room, client.over):
            if event is not None:
                event.set()

    def _tell(self, kind: int, number: int, payload: bytes = b"") -> None:
        self._link.write(f.frame(kind, number, payload))

    def _spawn(self, function: Callable[..., Awaitable[object]], *args: object) -> None:
        if not self._nursery.cancel_scope.cancel_called:
            self._nursery.start_soon(function, *args)

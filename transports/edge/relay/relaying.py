"""The follower's side: what comes to the port of a replica that does not lead is handed on to the leader.

A connection is handed on once its first request has a whole head: lines on which nothing is said, and heads that
never end, stay here, with the limits of the edge. What the replica answers itself (whether it lives, is ready, what it
counts) is told apart by that head. While no replica leads, a connection waits some seconds for the next leader.
"""

import re
import socket
from collections.abc import Awaitable, Callable, Collection
from typing import Literal, Protocol

import structlog
import trio

from townwatch.transports.edge.connection import Connection
from townwatch.transports.edge.http import MAX_HEAD_BYTES
from townwatch.transports.edge.relay.dialling import Dialler, LeaderDoor
from townwatch.transports.edge.relay.pump import Pair, Pump
from townwatch.transports.edge.relay.wire import MAGIC, RelayClaim, RelayRefused
from townwatch.transports.edge.server import Edge

log = structlog.get_logger("cluster")

DIALS_AT_ONCE = 256
FIRST_RETRY_SECONDS, LONGEST_RETRY_SECONDS = 0.1, 1.0
DRAIN_SECONDS = 1.0
ASK_SECONDS = 5.0
SAY_SECONDS = 5.0
_OPENING = (b"upgrade", b"websocket"), (b"connection", b"upgrade")


class LeaderView(Protocol):
    """The leading replica, as another one knows it."""

    @property
    def door(self) -> LeaderDoor | None:
        """The leader's; None while none is known."""
        ...

    @property
    def may_come(self) -> bool:
        """True where it makes sense to wait for a leader."""
        ...

    async def changed(self) -> None:
        """Wait until `door` or `may_come` is another."""
        ...

    def doubt(self, why: str) -> None:
        """The leader did not answer: look again who leads."""
        ...


Carry = Callable[[Connection, RelayClaim, bytes], Awaitable[None]]
"""Carries a client to the leader until it is over, or parked. The bytes: what it has said so far."""


class Trunks(Protocol):
    """One connection to the leader that carries many clients who are told the same."""

    def __len__(self) -> int: ...
    async def to(self, door: LeaderDoor, dialler: Dialler, nursery: trio.Nursery, /) -> Carry | None:
        """Return what carries clients to this leader; None where it takes them one by one only."""
        ...

    def end_unless(self, life: str | None, /) -> None:
        """End what is carried to another leader than this one."""
        ...


class Relaying:
    """`Front` of a replica that does not lead."""

    def __init__(
        self, edge: Edge, view: LeaderView, name: str, own: Collection[str], wait: float, trunks: Trunks, shared: str
    ) -> None:
        """`own`: paths that this replica answers itself; `wait`: seconds that a connection waits for a leader;
        `trunks`: carry the WebSockets at the path `shared`, where thousands are told the same.
        """
        settings = edge.settings
        self._edge = edge
        self._view = view
        self._name = name
        self._own = frozenset((*own, *(f"{settings.path}{path}" for path in own)))
        self._wait = wait
        self.trunks = trunks
        self._shared = (f"{shared}/".encode(), f"{settings.path}{shared}/".encode())
        self._head_seconds = settings.header_timeout
        self._scheme: Literal["http", "https"] = "https" if settings.tls_certificate else "http"
        self._dials = trio.CapacityLimiter(DIALS_AT_ONCE)
        self._under_way: dict[trio.CancelScope, str] = {}
        self._said = -SAY_SECONDS
        self.pump = Pump(edge.release, settings.stall_timeout)
        self.dialler: Dialler | None = None
        self.waiting = 0
        """Connections that wait for a leader."""
        self.unanswered = 0
        """Connections that waited in vain."""
        self.stopping = False

    def __len__(self) -> int:
        return len(self.pump) + len(self.trunks)

    async def __call__(self, connection: Connection) -> bytes | None:
        """`Front`."""
        taken = bytearray()
        try:
            if not await self._read_head(connection, taken):
                return None
            if self._is_own(taken):
                return bytes(taken)
            # It has said all that it has to for now, and is not one of those that only hold a place.
            self._edge.has_request(connection)
            carry = await self._trunk_for(connection, taken)
            if carry is None:
                return await self._hand_on(connection, bytes(taken))
        except trio.Cancelled:
            if not self.stopping:
                self._edge.carry(connection, bytes(taken))
            raise
        await carry(connection, self._claim(connection.peer, connection.certificate), bytes(taken))
        return None

    async def drain(self) -> None:
        """End what is relayed, before this process stops: requests that are being answered have a moment for it."""
        self.stopping = True
        self.trunks.end_unless(None)
        self.pump.end(pair for pair in self.pump.pairs() if pair.is_websocket)
        with trio.move_on_after(DRAIN_SECONDS):
            while len(self.pump):
                self.pump.end(pair for pair in self.pump.pairs() if not pair.asked)
                await trio.sleep(0.02)

    async def ask_leader(self, head: bytes, peer: str) -> int | None:
        """Ask the leader in a client's name; return the status of its answer, None where none comes."""
        door, status = self._view.door, b""
        if door is None:
            return None
        with trio.move_on_after(ASK_SECONDS):
            try:
                made = await self._dial(door, peer, ())
                if made is not None:
                    status = await _status_line(made[0], made[1] + head)
            except OSError:
                return None
        words = status.split(b" ")
        return int(words[1]) if len(words) > 1 and words[1].isdigit() else None

    def end_all_but(self, life: str | None) -> None:
        """End what is relayed to another leader than this one, and do not wait for an answer of another one."""
        self.trunks.end_unless(life)
        self.pump.end(pair for pair in self.pump.pairs() if pair.life != life)
        for scope, dialled in self._under_way.items():
            if dialled != life:
                scope.cancel()

    async def _read_head(self, connection: Connection, taken: bytearray) -> bool:
        """Read until the head of the first request is whole, or too large. False: the peer ended, or took too long."""
        with trio.move_on_after(self._head_seconds):
            while True:
                data = await connection.recv()
                if not data:
                    return False
                taken += data
                if taken.startswith(MAGIC):  # another replica takes this one for the leader
                    return False
                if b"\r\n\r\n" in taken or b"\n\n" in taken or len(taken) > MAX_HEAD_BYTES:
                    return True
        return False

    def _is_own(self, head: bytes | bytearray) -> bool:
        line = bytes(head[:1024]).split(b"\n", 1)[0].split(b" ")
        if len(line) != 3 or line[0] not in (b"GET", b"HEAD"):
            return False
        return line[1].partition(b"?")[0].decode("latin-1") in self._own

    async def _trunk_for(self, connection: Connection, head: bytes | bytearray) -> Carry | None:
        door = self._view.door
        if door is None or self.dialler is None or self.stopping:
            return None
        target = bytes(head[:1024]).split(b"\n", 1)[0].split(b" ")[1:2]
        if not target or not target[0].startswith(self._shared) or not _is_websocket(head):
            return None
        carry = await self.trunks.to(door, self.dialler, connection.nursery)
        now = self._view.door
        if now is None or now.life != door.life:  # another leads since
            self.trunks.end_unless(None if now is None else now.life)
            return None
        return carry

    async def _hand_on(self, connection: Connection, head: bytes) -> bytes | None:
        """Give the connection to the pump, and return None; or the head where no leader is to be had."""
        found = None
        self.waiting += 1
        try:
            with trio.move_on_after(self._wait):
                found = await self._reach(connection)
        finally:
            self.waiting -= 1
        if found is None:
            self.unanswered += 1
            return head
        sock, life, claim = found
        pair = Pair(connection, sock, life, is_websocket=_is_upgrade(head))
        self._edge.keep(connection)
        self.pump.add(pair, claim + head)
        return None

    async def _reach(self, connection: Connection) -> "tuple[socket.socket, str, bytes] | None":
        """(connection to the leader, its life, the claim); None where waiting for a leader is of no use."""
        pause = FIRST_RETRY_SECONDS
        while not self.stopping:
            door = self._view.door
            if door is None:
                if not self._view.may_come:
                    return None
                await self._view.changed()
                continue
            async with self._dials:
                made = await self._dial(door, connection.peer, connection.certificate)
            if made is not None:
                return made[0], door.life, made[1]
            with trio.move_on_after(pause):  # thousands may wait here for one that does not answer
                await self._view.changed()
            pause = min(2 * pause, LONGEST_RETRY_SECONDS)
        return None

    async def _dial(
        self, door: LeaderDoor, peer: str, certificate: tuple[str, ...]
    ) -> tuple[socket.socket, bytes] | None:
        """None where the leader cannot be reached, or another one leads meanwhile."""
        assert self.dialler is not None  # it is there while the edge serves
        claim = self._claim(peer, certificate)
        with trio.CancelScope() as scope:
            self._under_way[scope] = door.life
            try:
                return await self.dialler.open(door, claim)
            except (OSError, RelayRefused) as error:
                self._say(door, str(error) or type(error).__name__)
                self._view.doubt(str(error))
            finally:
                del self._under_way[scope]
        return None

    def _claim(self, peer: str, certificate: tuple[str, ...]) -> RelayClaim:
        return RelayClaim(
            peer=peer,
            scheme=self._scheme,
            certificate=certificate,
            hosts=self._edge.hosts,
            replica=self._name,
        )

    def _say(self, door: LeaderDoor, why: str) -> None:
        if trio.current_time() - self._said >= SAY_SECONDS:
            self._said = trio.current_time()
            log.warning("leader_not_reached", leader=door.name, address=f"{door.host}:{door.port}", reason=why)


async def _status_line(sock: socket.socket, head: bytes) -> bytes:
    """Send a head, and read the first line of its answer. Closes the socket. Raises OSError."""
    stream = trio.SocketStream(trio.socket.from_stdlib_socket(sock))
    try:
        await stream.send_all(head)
        return (await stream.receive_some(1024)).split(b"\r\n", 1)[0]
    except (trio.BrokenResourceError, trio.ClosedResourceError):
        return b""
    finally:
        stream.socket.close()


def _is_upgrade(head: bytes | bytearray) -> bool:
    """Return whether the request asks for a WebSocket; good enough to tell which connections never come to an end."""
    return b"\nupgrade:" in head.lower()


def _is_websocket(head: bytes | bytearray) -> bool:
    """Return whether the leader will take the request for one to open a WebSocket, and for no other."""
    fields = re.split(rb"\r?\n\r?\n", head, maxsplit=1)[0].lower()
    return all(re.search(rb"\n%b:[^\n]*\b%b\b" % found, fields) for found in _OPENING)

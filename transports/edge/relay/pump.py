"""Carries the bytes of thousands of connections to the leader and back, without a task for any of them.

One epoll instance watches both sockets of every pair; what comes is read into one buffer and handed to the other
socket at once. Only what that one's kernel does not take is kept, at most one read of it, and nothing more is read for
it until it is gone: a slow reader slows its own sender down, and costs the others nothing. An end of sending is passed
on as one, a reset as a reset. Both are told apart from the end of the whole connection only by time: once the leader
has ended, its client has some seconds to end as well.
"""

import select
import socket
from collections.abc import Callable, Iterable

import structlog
import trio

from townwatch.transports.edge.connection import Connection
from townwatch.transports.edge.sending import unsent, without_lingering

log = structlog.get_logger("edge")

READ_BYTES = 32 * 1024
"""What is read at once, and the most that is kept of each direction of a pair."""
EVENTS_AT_ONCE = 128
LOOK_SECONDS = 1.0
"""How often pairs are looked at that wait for a slow peer."""
LAST_SECONDS = 5.0
"""Time that a client has to close its side when the leader has closed its own."""


class _Side:
    """One socket of a pair. `pending`: what its kernel has not taken; `ended`: nothing more comes from it."""

    __slots__ = ("broken", "ended", "fd", "mask", "other", "pair", "pending", "shut", "sock")

    def __init__(self, sock: socket.socket, pair: "Pair") -> None:
        self.sock = sock
        self.fd = sock.fileno()
        self.pair = pair
        self.other: _Side = self
        self.pending: memoryview | None = None
        self.ended = self.shut = self.broken = False
        self.mask = 0

    @property
    def wanted(self) -> int:
        """Events that epoll is to report of this socket."""
        reading = 0 if self.ended or self.other.pending is not None else select.EPOLLIN
        return reading | (select.EPOLLOUT if self.pending is not None else 0)


class Pair:
    """A client's connection and the one to the leader. `life`: the leader's; `asked`: the client spoke last."""

    __slots__ = (
        "asked", "client", "connection", "deadline", "inner", "is_websocket", "life", "moved", "over", "reset", "seen",
    )  # fmt: skip

    def __init__(self, connection: Connection, inner: socket.socket, life: str, *, is_websocket: bool) -> None:
        self.connection = connection
        self.life = life
        self.is_websocket = is_websocket
        self.client, self.inner = _Side(connection.sock, self), _Side(inner, self)
        self.client.other, self.inner.other = self.inner, self.client
        self.asked = True
        self.over = self.reset = False
        self.deadline: float | None = None
        self.seen: object = None
        self.moved = 0.0


class Pump:
    """The pairs of a process. `release(connection)` closes a client's connection whose pair is over."""

    def __init__(self, release: Callable[[Connection], None], stall: float) -> None:
        """`stall`: seconds without any progress after which a peer that is to take something is cut."""
        self._release = release
        self._stall = stall
        self._epoll = select.epoll()
        self._sides: dict[int, _Side] = {}
        self._slow: set[Pair] = set()
        self._buffer = memoryview(bytearray(READ_BYTES))
        self.bytes_up = self.bytes_down = 0
        self.started = 0
        self.cut = 0
        """Pairs that were ended because a peer took nothing."""

    @staticmethod
    def possible() -> bool:
        """Return whether this system has epoll."""
        return hasattr(select, "epoll")

    def __len__(self) -> int:
        return len(self._sides) // 2

    def add(self, pair: Pair, first: bytes) -> None:
        """Carry a pair on; `first` goes to the leader before what comes from the client."""
        self.started += 1
        for side in (pair.client, pair.inner):
            self._sides[side.fd] = side
        self._send(pair.inner, memoryview(first))
        if not pair.over:
            self._watch(pair)

    def end(self, pairs: Iterable[Pair]) -> None:
        """Close both sides of these pairs."""
        for pair in list(pairs):
            self._end(pair, reset=False)

    def pairs(self) -> list[Pair]:
        """Return the pairs that are carried now."""
        return [side.pair for side in self._sides.values() if side is side.pair.client]

    async def run(self) -> None:
        """Carry until cancelled; then every pair ends."""
        try:
            async with trio.open_nursery() as nursery:
                nursery.start_soon(self._look_at_slow)
                while True:
                    await trio.lowlevel.wait_readable(self._epoll.fileno())
                    for fd, _events in self._epoll.poll(0, EVENTS_AT_ONCE):
                        side = self._sides.get(fd)
                        if side is not None:  # it may have ended in this very pass
                            self._serve(side)
        finally:
            self.end(self.pairs())
            trio.lowlevel.notify_closing(self._epoll.fileno())
            self._epoll.close()

    def _serve(self, side: _Side) -> None:
        """Do what this socket was watched for. An error or a hang-up is seen by trying."""
        pair, wanted = side.pair, side.mask
        if wanted & select.EPOLLOUT and side.pending is not None:
            pending, side.pending = side.pending, None
            self._send(side, pending)
        if wanted & select.EPOLLIN and not pair.over and side.other.pending is None:
            self._read(side)
        if not pair.over:
            self._watch(pair)

    def _read(self, side: _Side) -> None:
        pair = side.pair
        try:
            size = side.sock.recv_into(self._buffer)
        except (BlockingIOError, InterruptedError):
            return
        except OSError:
            self._ended(side, reset=True)
            return
        if size == 0:
            self._ended(side, reset=False)
            return
        if side is pair.client:
            pair.asked = True
            self.bytes_up += size
        else:
            pair.asked = False
            self.bytes_down += size
        if not side.other.broken:
            self._send(side.other, self._buffer[:size])

    def _send(self, side: _Side, data: memoryview) -> None:
        try:
            sent = side.sock.send(data)
        except (BlockingIOError, InterruptedError):
            sent = 0
        except OSError:
            self._cannot_send(side)
            return
        if sent < len(data):
            side.pending = memoryview(bytes(data[sent:]))
            self._note_slow(side.pair)
        elif side.other.ended:
            self._pass_end_on(side.other)

    def _cannot_send(self, side: _Side) -> None:
        """A client that is gone ends its pair. A leader that hears no more may still have an answer on its way."""
        side.broken, side.pending = True, None
        if side is side.pair.client:
            self._end(side.pair, reset=True)

    def _ended(self, side: _Side, *, reset: bool) -> None:
        side.ended = True
        side.pair.reset |= reset
        if side.other.pending is None or (reset and side is side.pair.client):
            self._pass_end_on(side)

    def _pass_end_on(self, side: _Side) -> None:
        """Nothing more comes from `side`, and the other one has all of it."""
        pair, other = side.pair, side.other
        if pair.reset or other.ended:
            self._end(pair, reset=pair.reset)
            return
        if not other.shut and not other.broken:
            other.shut = True
            try:
                other.sock.shutdown(socket.SHUT_WR)
            except OSError:
                self._cannot_send(other)
        if side is pair.inner and not pair.over:
            pair.deadline = trio.current_time() + LAST_SECONDS
            self._slow.add(pair)

    def _end(self, pair: Pair, *, reset: bool) -> None:
        if pair.over:
            return
        pair.over = True
        self._slow.discard(pair)
        for side in (pair.client, pair.inner):
            if self._sides.pop(side.fd, None) is not None and side.mask:
                self._epoll.unregister(side.fd)
            side.mask = 0
            side.pending = None
            if reset:
                without_lingering(side.sock)
        pair.inner.sock.close()
        self._release(pair.connection)

    def _watch(self, pair: Pair) -> None:
        """Tell epoll what is wanted of both sockets now."""
        for side in (pair.client, pair.inner):
            wanted = side.wanted
            if wanted == side.mask:
                continue
            if not side.mask:
                self._epoll.register(side.fd, wanted)
            elif not wanted:
                self._epoll.unregister(side.fd)  # else a hang-up would be reported for ever
            else:
                self._epoll.modify(side.fd, wanted)
            side.mask = wanted

    def _note_slow(self, pair: Pair) -> None:
        if pair not in self._slow:
            pair.seen, pair.moved = _progress(pair), trio.current_time()
            self._slow.add(pair)

    async def _look_at_slow(self) -> None:
        while True:
            await trio.sleep(LOOK_SECONDS)
            now = trio.current_time()
            for pair in list(self._slow):
                self._look(pair, now)

    def _look(self, pair: Pair, now: float) -> None:
        """End a pair whose time is over, or in which nothing has moved for too long."""
        if pair.client.pending is None and pair.inner.pending is None:
            if pair.deadline is None:
                self._slow.discard(pair)
            elif now >= pair.deadline and not unsent(pair.client.sock):
                self._end(pair, reset=False)
                return
        seen = _progress(pair)
        if seen != pair.seen:
            pair.seen, pair.moved = seen, now
        elif now - pair.moved >= self._stall and pair in self._slow:
            self.cut += 1
            log.info("relayed_peer_stopped", peer=pair.connection.peer, seconds=self._stall)
            self._end(pair, reset=True)


def _progress(pair: Pair) -> object:
    """Return a value that changes when a peer takes something: what waits here, and the kernel's send queues."""
    wire = pair.connection.wire
    return (
        *(len(side.pending or b"") for side in (pair.client, pair.inner)),
        *(unsent(side.sock) for side in (pair.client, pair.inner)),
        None if wire is None else unsent(wire),
    )

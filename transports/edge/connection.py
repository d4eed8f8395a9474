"""A TCP connection with a synchronous write that never blocks.

`write` hands the bytes to the kernel at once; only what the kernel does not take is queued, and only then is there a
task to drain it. The queue is bounded in bytes: a peer that is too slow is reported to `on_slow` (or cut), and costs
other peers nothing. Why not a trio stream: a task switch a message a client is most of the price of a broadcast
(docs/socketio.md).
"""

import socket
from collections import deque
from collections.abc import Callable, Sequence
from contextlib import suppress
from itertools import islice
from math import inf
from sys import intern
from typing import Any, Protocol

import structlog
import trio

from townwatch.transports.edge.idle import IdlePoller, Resume, readable_until

log = structlog.get_logger("edge")

DEFAULT_BACKLOG = 1 << 20
RECEIVE_BYTES = 16 * 1024
"""One read: small, so that a flood of tiny frames is interrupted often."""
KEPT = -1
"""The ticket of a connection that is kept without a task, and not by the idle poller."""
_PIECES = 64

_held_up: set["Connection"] = set()
"""Connections with queued bytes, or about to be cut. All others can be written to directly."""


class SharedWriter(Protocol):
    """Writes the same bytes to many peers."""

    def write(self, data: bytes) -> None: ...
    def end(self) -> None:
        """Forget it: nothing is written to it any more."""
        ...


class Carrier(Protocol):
    """Carrier of connections that another process holds."""

    def audience(self, connections: "Sequence[Connection]") -> SharedWriter:
        """Return a writer to connections that are all its own."""
        ...


class Connection:
    """One peer. Draining belongs to `nursery`, which may be that of all connections; one task at a time may `recv`."""

    __slots__ = (
        "_drained", "_draining", "_waiting", "_waiting_bytes", "backlog", "certificate", "claim", "closed",
        "nursery", "on_slow", "peer", "poller", "sock", "ticket", "upgraded", "wire", "write_closed",
    )  # fmt: skip

    takes_frames = True
    """Whether what is written is a WebSocket's bytes on the wire, which many connections can share."""

    def __init__(self, sock: socket.socket, nursery: trio.Nursery, backlog: int = DEFAULT_BACKLOG) -> None:
        self.sock = sock
        self.nursery = nursery
        self.backlog = backlog
        """Bytes that may wait for a slow peer."""
        self.on_slow: Callable[[], None] | None = None
        """Called when the backlog is exceeded; without it the connection is aborted."""
        self.closed = False
        self.write_closed = False
        """Nothing is written any more: the connection is about to be cut."""
        self.peer = intern(_peer(sock))
        self.certificate: tuple[str, ...] = ()
        """Names in the certificate that the peer showed and that was checked."""
        self.claim: Any = None
        """What another replica says of the client whose connection it hands on (`relay.wire.RelayClaim`)."""
        self.poller: IdlePoller[Connection] | None = None
        """The poller with which it may wait without a task."""
        self.ticket: int | None = None
        """While it is parked, or its task stands in line."""
        self.upgraded = False
        """Whether it is a WebSocket by now."""
        self.wire: Any = None
        """The socket of the network where `sock` is only the plain side of TLS."""
        self._waiting: deque[bytes | memoryview] | None = None
        """None while the kernel takes what is sent."""
        self._waiting_bytes = 0
        self._draining = False
        self._drained: trio.Event | None = None

    @property
    def carrier(self) -> Carrier | None:
        """None: its socket is this process's."""
        return None

    @property
    def writable(self) -> bool:
        """True if no bytes wait to be written."""
        return self._waiting is None and not self.write_closed and not self.closed

    @property
    def waiting_bytes(self) -> int:
        return self._waiting_bytes

    @property
    def waiting_pieces(self) -> int:
        """Writes that wait."""
        return len(self._waiting or ())

    def recv_nowait(self, limit: int = RECEIVE_BYTES) -> bytes | None:
        """As `recv`; None when nothing has come."""
        if self.closed:
            return b""
        try:
            return self.sock.recv(limit)
        except (BlockingIOError, InterruptedError):
            return None
        except OSError:
            return b""

    async def recv(self, limit: int = RECEIVE_BYTES, ends: float = inf) -> bytes:
        """Return up to `limit` bytes; b"" when the peer (or we) closed. Raises trio.TooSlowError when nothing has come
        at the time `ends` of trio's clock.
        """
        while (data := self.recv_nowait(limit)) is None:
            if trio.current_time() >= ends:
                raise trio.TooSlowError
            try:
                if self.poller is not None and self.poller.open:
                    await self.poller.readable(self, ends)
                else:
                    await readable_until(self.sock, ends)
            except trio.ClosedResourceError:
                return b""
        return data

    @property
    def can_park(self) -> bool:
        return self.poller is not None and self.poller.open

    def park(self, resume: Resume) -> bool:
        """Nothing is to be done until the peer says something or it is over: `resume()` runs then, in a task of its
        own, and the caller returns. False where that is not possible, or not any more.
        """
        if self.poller is None or not self.poller.open or self.closed:
            return False
        self.ticket = self.poller.add(self, resume)
        return True

    def write(self, data: bytes | memoryview) -> bool:
        """Send, or queue in order. False when the peer is gone or was too slow. Never blocks, never raises."""
        if self.closed or self.write_closed:
            return False
        if self._waiting is None:
            try:
                sent = self.sock.send(data)
            except (BlockingIOError, InterruptedError):
                sent = 0
            except OSError:
                self.abort()
                return False
            if sent == len(data):
                return True
            data = memoryview(data)[sent:]  # refers to the shared bytes; nothing is copied
        return self.wait_with(data)

    def write_ahead(self, data: bytes) -> bool:
        """As `write`, before everything that waits but the piece that is on its way: for pings and pongs. Whatever
        writes here hands over whole frames, so none is torn.
        """
        if self._waiting is None or self.closed or self.write_closed:
            return self.write(data)
        self._waiting.insert(1, data)
        return self._added(len(data))

    def drop_waiting(self) -> None:
        """Forget what waits but the piece that is on its way: a peer that is too slow is told so, and not all of it."""
        if self._waiting:
            head = self._waiting[0]
            self._waiting.clear()
            self._waiting.append(head)
            self._waiting_bytes = len(head)

    def wait_with(self, data: bytes | memoryview) -> bool:
        """Queue what the kernel did not take. False when that is too much."""
        if self._waiting is None:
            self._waiting = deque()
            _held_up.add(self)
        self._waiting.append(data)
        return self._added(len(data))

    def _added(self, size: int) -> bool:
        self._waiting_bytes += size
        if self._waiting_bytes > self.backlog:
            self._too_slow()
            return False
        if not self._draining:
            self._draining = True
            self._drained = trio.Event()
            self.nursery.start_soon(self._drain)
        return True

    def _too_slow(self) -> None:
        """Drop the backlog, which is of no use any more. Cutting it is left to `on_slow`, as we may be in the middle of
        a broadcast.
        """
        self.write_closed = True
        self._forget_waiting()
        if self.on_slow is not None:
            self.on_slow()
        else:
            self.abort()

    def _forget_waiting(self) -> None:
        """Forget what waits: nothing is written any more."""
        self._waiting = None
        self._waiting_bytes = 0

    async def _drain(self) -> None:
        """Write what waits; runs only while the peer is congested."""
        drained = self._drained
        try:
            while waiting := self._waiting:
                await trio.lowlevel.wait_writable(self.sock)
                if self._waiting is waiting:
                    self._send_waiting(waiting)
            if not self.closed and not self.write_closed:
                self._waiting = None
                _held_up.discard(self)
        except trio.ClosedResourceError:
            pass  # aborted meanwhile
        except Exception:  # the nursery belongs to all connections
            log.exception("drain_failed")
            self.abort()
        finally:
            self._draining, self._drained = False, None
            if drained is not None:
                drained.set()

    def _send_waiting(self, waiting: deque[bytes | memoryview]) -> None:
        try:
            sent = self.sock.sendmsg(list(islice(waiting, _PIECES)))
        except (BlockingIOError, InterruptedError):
            return
        except OSError:
            self.abort()
            return
        self._waiting_bytes -= sent
        while sent:
            head = waiting[0]
            if sent >= len(head):
                sent -= len(head)
                waiting.popleft()
            else:
                waiting[0] = memoryview(head)[sent:]
                sent = 0

    async def flush(self, seconds: float) -> None:
        """Wait until the queued bytes are written, for at most `seconds`."""
        if self._drained is not None:
            with trio.move_on_after(seconds):
                await self._drained.wait()

    async def hang_up(self, seconds: float = 2.0) -> None:
        """Flush, half-close and read to the peer's end, so that no last words are lost in a reset. For the reading
        task.
        """
        await self.half_close(seconds)
        ends = trio.current_time() + seconds
        with suppress(trio.TooSlowError):
            while trio.current_time() < ends and await self.recv(ends=ends):
                await trio.lowlevel.checkpoint()  # a peer that sends on and on must not keep the loop
        self.abort()

    async def half_close(self, seconds: float = 2.0) -> None:
        """Flush and shut down the sending side; the reading task sees the peer's end."""
        await self.flush(seconds)
        if not self.closed:
            with suppress(OSError):
                self.sock.shutdown(socket.SHUT_WR)

    async def finish(self, seconds: float = 2.0) -> None:
        """As `half_close`, and abort when the peer takes too long over its part."""
        await self.half_close(seconds)
        await trio.sleep(seconds)
        self.abort()

    def abort(self) -> None:
        """Close now. The second time does nothing."""
        if not self.closed:
            self.closed = True
            if self.ticket is not None and self.poller is not None:
                self.poller.remove(self.ticket)
            self._forget_waiting()
            _held_up.discard(self)
            trio.lowlevel.notify_closing(self.sock)
            self.sock.close()


class Audience:
    """Peers to whom the same bytes are written, time and again."""

    __slots__ = ("_carried", "_connections", "_size", "_socks")

    def __init__(self, connections: Sequence[Connection]) -> None:
        self._size = len(connections)
        carried = dict[Carrier, list[Connection]]()
        self._connections = list[Connection]()
        for connection in connections:
            carrier = connection.carrier
            (self._connections if carrier is None else carried.setdefault(carrier, [])).append(connection)
        self._socks = [connection.sock for connection in self._connections]
        self._carried = [carrier.audience(its) for carrier, its in carried.items()]

    def __len__(self) -> int:
        return self._size

    def end(self) -> None:
        """Forget it: nothing is written to it any more."""
        for carried in self._carried:
            carried.end()

    def write(self, data: bytes) -> None:
        """As `Connection.write` to each. While no peer is held up, one object of each peer is looked at, not three:
        with thousands of peers they come from memory every time, and that is most of what Python adds to a broadcast.
        """
        for carried in self._carried:
            carried.write(data)
        if _held_up:
            for connection in self._connections:
                connection.write(data)
            return
        size = len(data)
        for sock in self._socks:
            try:
                sent = sock.send(data)
            except (BlockingIOError, InterruptedError):
                sent = 0
            except OSError:
                self._connection(sock).abort()
                continue
            if sent != size:
                self._connection(sock).wait_with(memoryview(data)[sent:])

    def _connection(self, sock: socket.socket) -> Connection:
        return self._connections[self._socks.index(sock)]


def _peer(sock: socket.socket) -> str:
    """The peer's IP address."""
    try:
        return str(sock.getpeername()[0])
    except (OSError, IndexError):
        return ""

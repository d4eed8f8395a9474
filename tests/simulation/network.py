"""A network of pipes in memory, behind the socket calls that the product makes. Delays and faults come from dice.

Bytes of one direction of one connection stay in order; those of different connections overtake each other.
"""

import random
import zlib
from collections import deque
from collections.abc import Callable, Sequence
from typing import Any

import attrs
import trio

CAPACITY = 64 * 1024
"""Bytes that fit between two peers: the kernel's buffers."""
Note = Callable[..., None]


class Pipe:
    """One direction of one connection."""

    def __init__(self, label: str, delay: Callable[[], float], note: Note) -> None:
        self.label = label
        self._delay = delay
        self._note = note
        self._chunks: deque[tuple[float, bytes]] = deque()
        self._last = 0.0
        self._changed = trio.Event()
        self.size = 0
        self.ended = False
        """The sender sends no more."""
        self.reset = False
        self.deaf = False
        """The receiver is gone: who sends gets a reset."""
        self.black = False
        """Nothing arrives any more, and nobody is told."""
        self.frozen_until = 0.0

    def change(self) -> None:
        self._changed.set()
        self._changed = trio.Event()

    def put(self, data: bytes | memoryview) -> int:
        if self.reset or self.deaf:
            raise BrokenPipeError(32, "broken pipe")
        taken = bytes(data[: CAPACITY - self.size])
        if not taken:
            raise BlockingIOError
        self._last = max(self._last, trio.current_time() + self._delay())
        self._chunks.append((self._last, taken))
        self.size += len(taken)
        self.change()
        return len(taken)

    def _due(self) -> float:
        """When there is something to see: bytes, an end, a reset."""
        if self.reset:
            return 0.0
        if self.black:
            return float("inf")
        if self._chunks:
            return max(self._chunks[0][0], self.frozen_until)
        return max(self._last, self.frozen_until) if self.ended else float("inf")

    def get(self, limit: int) -> bytes:
        if self.reset:
            raise ConnectionResetError(104, "connection reset by peer")
        if self._due() > trio.current_time():
            raise BlockingIOError
        if not self._chunks:
            return b""
        at, data = self._chunks.popleft()
        if len(data) > limit:
            self._chunks.appendleft((at, data[limit:]))
            data = data[:limit]
        self.size -= len(data)
        self._note(self.label, len(data), zlib.crc32(data))
        self.change()
        return data

    async def until_readable(self, closed: Callable[[], bool]) -> None:
        await trio.lowlevel.checkpoint()
        while not closed() and self._due() > trio.current_time():
            changed = self._changed
            with trio.move_on_at(self._due()):
                await changed.wait()

    async def until_writable(self, closed: Callable[[], bool]) -> None:
        await trio.lowlevel.checkpoint()
        while not closed() and not (self.reset or self.deaf) and self.size >= CAPACITY:
            await self._changed.wait()

    def break_off(self) -> None:
        self.reset = True
        self._chunks.clear()
        self.change()


class SimSocket:
    """One end. The part of `socket.socket`, non-blocking, that transports/edge* use."""

    def __init__(self, incoming: Pipe, outgoing: Pipe, peer: str) -> None:
        self.incoming = incoming
        self.outgoing = outgoing
        self.closed = False
        self._peer = peer

    def send(self, data: bytes | memoryview) -> int:
        self._check()
        return self.outgoing.put(data)

    def sendmsg(self, pieces: Sequence[bytes | memoryview]) -> int:
        return self.send(b"".join(pieces))

    def recv(self, limit: int) -> bytes:
        self._check()
        return self.incoming.get(limit)

    def _check(self) -> None:
        if self.closed:
            raise OSError(9, "bad file descriptor")

    def shutdown(self, _how: int) -> None:
        self._check()
        self.outgoing.ended = True
        self.outgoing.change()

    def close(self) -> None:
        if self.closed:
            return
        self.closed = True
        self.outgoing.ended = self.incoming.deaf = True
        self.outgoing.change()
        self.incoming.change()

    def setblocking(self, _flag: bool) -> None:
        pass

    def setsockopt(self, *_option: Any) -> None:
        pass

    def getpeername(self) -> tuple[str, int]:
        return self._peer, 40000

    async def until_readable(self) -> None:
        await self.incoming.until_readable(lambda: self.closed)
        if self.closed:
            raise trio.ClosedResourceError

    async def until_writable(self) -> None:
        await self.outgoing.until_writable(lambda: self.closed)
        if self.closed:
            raise trio.ClosedResourceError

    def notify_closing(self) -> None:
        """`close` wakes whoever waits."""


class SimStream(trio.abc.HalfCloseableStream):
    """The same as a trio stream, for those who dial."""

    def __init__(self, sock: SimSocket) -> None:
        self.sock = sock

    async def send_all(self, data: bytes | bytearray | memoryview) -> None:
        view = memoryview(bytes(data))
        await trio.lowlevel.checkpoint()
        while len(view):
            try:
                view = view[self.sock.send(view) :]
            except BlockingIOError:
                await self.sock.until_writable()
            except OSError as error:
                raise trio.BrokenResourceError from error

    async def wait_send_all_might_not_block(self) -> None:
        await self.sock.until_writable()

    async def receive_some(self, max_bytes: int | None = None) -> bytes:
        await trio.lowlevel.checkpoint()
        while True:
            try:
                return self.sock.recv(max_bytes or 65536)
            except BlockingIOError:
                await self.sock.until_readable()
            except OSError as error:
                if self.sock.closed:
                    raise trio.ClosedResourceError from error
                raise trio.BrokenResourceError from error

    async def send_eof(self) -> None:
        await trio.lowlevel.checkpoint()
        self.sock.shutdown(1)

    async def aclose(self) -> None:
        self.sock.close()
        await trio.lowlevel.checkpoint()


class SimListener:
    """What `socket.create_server` gives, for the edge."""

    def __init__(self, network: "Network") -> None:
        self._network = network
        self._waiting: deque[SimSocket] = deque()
        self._arrived = trio.Event()
        self.closed = False

    def offer(self, sock: SimSocket) -> None:
        self._waiting.append(sock)
        self._arrived.set()
        self._arrived = trio.Event()

    def accept(self) -> tuple[SimSocket, str]:
        if not self._waiting:
            raise BlockingIOError
        return self._waiting.popleft(), ""

    async def until_readable(self) -> None:
        await trio.lowlevel.checkpoint()
        while not self._waiting:
            await self._arrived.wait()

    def getsockname(self) -> tuple[str, int]:
        return "127.0.0.1", 8484

    def close(self) -> None:
        self.closed = True
        if self._network.listener is self:
            self._network.listener = None
        for sock in self._waiting:
            sock.close()

    def __enter__(self) -> "SimListener":
        return self

    def __exit__(self, *_error: object) -> None:
        self.close()


@attrs.define(eq=False)
class Wire:
    """A connection: `near` is who dialled, `far` the service."""

    name: str
    near: SimSocket
    far: SimSocket

    @property
    def pipes(self) -> tuple[Pipe, Pipe]:
        return self.near.incoming, self.near.outgoing

    @property
    def alive(self) -> bool:
        return not (self.near.closed or self.far.closed or self.near.incoming.reset)

    def cut(self) -> None:
        """Both ends get a reset; what was on its way is lost."""
        for pipe in self.pipes:
            pipe.break_off()

    def darken(self, *, inward: bool, outward: bool) -> None:
        """Half open: nothing arrives any more, for good, and neither end is told."""
        self.near.outgoing.black |= inward
        self.near.incoming.black |= outward

    def freeze(self, until: float) -> None:
        """Nothing arrives until then; nothing is lost."""
        for pipe in self.pipes:
            pipe.frozen_until = until
            pipe.change()


class Network:
    """Everything between the processes."""

    def __init__(self, dice: random.Random, note: Note) -> None:
        self._dice = dice
        self._note = note
        self._count = 0
        self.listener: SimListener | None = None
        self.wires: list[Wire] = []
        self.calm = False
        """No more faults of the network's own."""

    def listen(self) -> SimListener:
        self.listener = SimListener(self)
        return self.listener

    async def dial(self, name: str, address: str = "10.0.0.1") -> SimSocket:
        """Raises `ConnectionRefusedError`."""
        await trio.sleep(self._dice.uniform(0.0001, 0.02))
        if self.listener is None or (not self.calm and self._dice.random() < 0.05):
            raise ConnectionRefusedError(111, "connection refused")
        self._count += 1
        label = f"{name}#{self._count}"
        base = self._dice.choice((0.0001, 0.001, 0.01, 0.05))
        up, down = (Pipe(f"{label}{arrow}", lambda: self._delay(base), self._note) for arrow in "><")
        wire = Wire(label, SimSocket(down, up, "10.0.0.254"), SimSocket(up, down, address))
        self.wires = [known for known in self.wires if known.alive] + [wire]
        self.listener.offer(wire.far)
        return wire.near

    def _delay(self, base: float) -> float:
        if self.calm or self._dice.random() > 0.03:
            return base * self._dice.uniform(0.5, 1.5)
        return self._dice.uniform(0.05, 2.0)

    def of(self, prefix: str) -> list[Wire]:
        """Live connections of those whose name begins so."""
        return [wire for wire in self.wires if wire.alive and wire.name.startswith(prefix)]

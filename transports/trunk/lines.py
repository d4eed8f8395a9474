"""The leader's end of a trunk: clients whose connections another process holds.

To everything behind the edge a `CarriedLine` is a connection like any other. What is written to many lines of one trunk
goes over it once (`Audience`), and the process at its other end writes it to each of them.
"""

from collections.abc import Callable, Sequence
from math import inf
from typing import Any, Protocol, cast

import attrs
import structlog
import trio

from townwatch.transports.edge.connection import DEFAULT_BACKLOG, RECEIVE_BYTES, Connection, SharedWriter
from townwatch.transports.edge.idle import Resume
from townwatch.transports.edge.relay.wire import RelayClaim, RelayRefused, read_claim
from townwatch.transports.trunk import frames as f

log = structlog.get_logger("trunk")

TRUNK_BYTES = 64 * 1024 * 1024
"""May wait for a process that is slow; beyond it, the trunk is cut and its clients come again."""
TAKEN_BYTES = f.WINDOW // 2
"""So many bytes of a line are told at once as read."""
OF_A_LINE = (f.DATA, f.ENDED, f.SLOW)
PARKED = 1


class Port(Protocol):
    """The part of the edge that serves a client."""

    def serve_line(self, connection: Connection) -> bool:
        """Serve HTTP on a connection, in a task of its own; False where there are too many."""
        ...

    def has_request(self, connection: Connection) -> None:
        """Do not close this connection to make room for others."""
        ...

    async def go_on(self, connection: Connection, resume: Resume) -> None:
        """Run a parked connection's task to its end, or until it is parked again."""
        ...


class Trunk:
    """One process that relays, as the leader sees it. `run` until either side ends it; all its lines end with it."""

    def __init__(self, link: Connection, port: Port, nursery: trio.Nursery) -> None:
        self.nursery = nursery
        self.lines: dict[int, CarriedLine] = {}
        self.spreads = 0
        """Writes to an audience: each went over the trunk once."""
        self._link = link
        link.backlog = TRUNK_BYTES
        self._port = port
        self._last = 0
        self._flushes: dict[int, trio.Event] = {}

    async def run(self) -> None:
        """Read until the trunk ends. Never raises an `Exception`."""
        buffer = f.FrameBuffer(f.MOST_OF_A_LINE)
        self._port.has_request(self._link)  # it is older than most: else it is the first to go when places are rare
        try:
            while data := await self._link.recv(4 * RECEIVE_BYTES):
                buffer.feed(data)
                for kind, number, payload in buffer.frames():
                    self._heed(kind, number, payload)
                await trio.lowlevel.checkpoint()
        except (f.TrunkBroken, RelayRefused) as error:
            log.error("trunk_broken", peer=self._link.peer, reason=str(error))
        finally:
            self._link.abort()
            for count, line in enumerate(list(self.lines.values()), 1):
                line.abort()
                if count % f.ENDED_AT_ONCE == 0:
                    await trio.lowlevel.cancel_shielded_checkpoint()
            for flushed in self._flushes.values():
                flushed.set()

    def tell(self, kind: int, number: int, payload: bytes = b"") -> bool:
        """Send a frame; False when the trunk has ended."""
        return self._link.write(f.frame(kind, number, payload))

    def number(self) -> int:
        """Return a number for an audience or a question: the next one, never 0."""
        self._last = self._last % (2**32 - 1) + 1
        return self._last

    async def flush(self, line: int, seconds: float) -> None:
        """Wait until what was written to a line has reached its client's kernel, for at most so long."""
        number = self.number()
        flushed = self._flushes[number] = trio.Event()
        try:
            with trio.move_on_after(seconds):
                if self.tell(f.FLUSH, number, f.packed([line])):
                    await flushed.wait()
        finally:
            del self._flushes[number]

    def go_on(self, line: "CarriedLine", resume: Resume) -> None:
        """Run what a parked line waited with."""
        self.nursery.start_soon(self._port.go_on, line, resume)

    def _heed(self, kind: int, number: int, payload: bytes) -> None:
        if kind == f.OPEN:
            self._open(number, payload)
            return
        if kind == f.FLUSHED:
            flushed = self._flushes.get(number)
            if flushed is not None:
                flushed.set()
            return
        if kind >= f.MAY_BE_PASSED_OVER:
            return
        if kind not in OF_A_LINE:
            raise f.TrunkBroken(f"a frame of kind {kind}")
        line = self.lines.get(number)
        if line is None:  # it was cut here while this was on its way
            return
        match kind:
            case f.DATA:
                line.received(payload)
            case f.ENDED:
                line.ended()
            case _:
                line.is_slow()

    def _open(self, number: int, payload: bytes) -> None:
        claim, _, head = payload.partition(b"\n")
        if number in self.lines:
            raise f.TrunkBroken(f"line {number} twice")
        line = CarriedLine(self, number, read_claim(claim))
        self.lines[number] = line
        line.received(head)
        if not self._port.serve_line(line):
            line.abort()

    # --- townwatch.transports.edge.connection.Carrier -----------------------------------------------------------------

    def audience(self, connections: Sequence[Connection]) -> SharedWriter:
        """Return a writer to all of these lines, each of which is one of this trunk's."""
        return LineAudience(self, [cast(CarriedLine, connection).line for connection in connections])


class LineAudience:
    """Lines of one trunk to which the same bytes are written, time and again. They are named when the first come."""

    __slots__ = ("_lines", "_number", "_trunk")

    def __init__(self, trunk: Trunk, lines: list[int]) -> None:
        self._trunk = trunk
        self._lines = lines
        self._number = 0

    def write(self, data: bytes) -> None:
        """Write to every line."""
        if self._number == 0:
            self._number = self._trunk.number()
            self._trunk.tell(f.AUDIENCE, self._number, f.packed(self._lines))
        self._trunk.spreads += 1
        self._trunk.tell(f.SPREAD, self._number, data)

    def end(self) -> None:
        """Forget it at the other side."""
        if self._number:
            self._trunk.tell(f.FORGET, self._number)
            self._number = 0


@attrs.frozen
class Elsewhere:
    """Stands for the socket, which another process has."""

    write: Callable[[bytes], bool]

    def send(self, data: bytes | memoryview) -> int:
        """Write all of the data. Raises BrokenPipeError when the client is gone."""
        if not self.write(bytes(data)):
            raise BrokenPipeError
        return len(data)

    def fileno(self) -> int:
        """Return what no file has."""
        return -1


class CarriedLine(Connection):
    """A client's connection at another process. `write` hands the bytes to the trunk; what waits there is bounded."""

    __slots__ = ("_backlog", "_heard", "_over", "_received", "_resume", "_taken", "line", "trunk")

    def __init__(self, trunk: Trunk, number: int, claim: RelayClaim) -> None:
        self.trunk = trunk
        self.line = number
        self.sock = cast(Any, Elsewhere(self._write))
        self.nursery = trunk.nursery
        self._backlog = DEFAULT_BACKLOG
        self.on_slow = None
        self.closed = self.write_closed = False
        self.claim, self.peer, self.certificate = claim, claim.peer, claim.certificate
        self.poller = self.ticket = self.wire = None
        self.upgraded = False
        self._received = bytearray()
        self._taken = 0
        self._over = False
        """The client sends nothing more."""
        self._heard: trio.Event | None = None
        self._resume: Resume | None = None

    @property
    def carrier(self) -> Trunk:
        """The trunk it is a line of."""
        return self.trunk

    @property
    def backlog(self) -> int:
        """Bytes that may wait for a slow client, where it is connected."""
        return self._backlog

    @backlog.setter
    def backlog(self, size: int) -> None:  # pyright: ignore[reportIncompatibleVariableOverride]
        self._backlog = size
        self.trunk.tell(f.BACKLOG, self.line, f.packed([size]))

    @property
    def writable(self) -> bool:
        return not (self.write_closed or self.closed)

    @property
    def waiting_bytes(self) -> int:
        """Zero: what waits for the client waits where it is connected."""
        return 0

    @property
    def waiting_pieces(self) -> int:
        return 0

    # --- in -----------------------------------------------------------------------------------------------------------

    def received(self, data: bytes) -> None:
        """Take in what the client sent. Raises `TrunkBroken` where the other side keeps no window."""
        if data:
            self._received += data
            if len(self._received) > f.MOST_OF_A_LINE:
                raise f.TrunkBroken(f"{len(self._received)} bytes of a client that were not asked for")
            self._news()

    def ended(self) -> None:
        """Take in that the client sends nothing more."""
        self._over = True
        self._news()

    def is_slow(self) -> None:
        """Take in that the client took too little."""
        if self.write_closed or self.closed:
            return
        self.write_closed = True
        if self.on_slow is not None:
            self.on_slow()
        else:
            self.abort()

    def _news(self) -> None:
        if self._heard is not None:
            self._heard.set()
        resume, self._resume = self._resume, None
        if resume is not None:
            self.ticket = None
            self.trunk.go_on(self, resume)

    def recv_nowait(self, limit: int = RECEIVE_BYTES) -> bytes | None:
        if self.closed:
            return b""
        if not self._received:
            return b"" if self._over else None
        data = bytes(memoryview(self._received)[:limit])
        del self._received[:limit]
        self._taken += len(data)
        if self._taken >= TAKEN_BYTES:
            self.trunk.tell(f.TOOK, self.line, f.packed([self._taken]))
            self._taken = 0
        return data

    async def recv(self, limit: int = RECEIVE_BYTES, ends: float = inf) -> bytes:
        while (data := self.recv_nowait(limit)) is None:
            self._heard = trio.Event()
            try:
                with trio.fail_at(ends):
                    await self._heard.wait()  # set by what comes, and by `abort`
            finally:
                self._heard = None
        return data

    @property
    def can_park(self) -> bool:
        return not self.closed

    def park(self, resume: Resume) -> bool:
        if self.closed or self._over or self._received:
            return False
        self._resume, self.ticket = resume, PARKED
        return True

    # --- out ----------------------------------------------------------------------------------------------------------

    def write(self, data: bytes | memoryview) -> bool:
        return self._write(bytes(data))

    def _write(self, data: bytes) -> bool:
        if self.closed or self.write_closed:
            return False
        return self.trunk.tell(f.WRITE, self.line, data)

    def write_ahead(self, data: bytes) -> bool:
        if self.closed or self.write_closed:
            return False
        return self.trunk.tell(f.WRITE_AHEAD, self.line, data)

    def drop_waiting(self) -> None:
        self.trunk.tell(f.DROP, self.line)

    async def flush(self, seconds: float) -> None:
        if not self.closed and not self.write_closed:
            await self.trunk.flush(self.line, seconds)

    async def half_close(self, seconds: float = 2.0) -> None:
        await self.flush(seconds)
        if not self.closed:
            self.trunk.tell(f.SHUT, self.line)

    def abort(self) -> None:
        if not self.closed:
            self.closed = True
            self._received.clear()
            if self.trunk.lines.pop(self.line, None) is not None:
                self.trunk.tell(f.CUT, self.line)
            self._news()

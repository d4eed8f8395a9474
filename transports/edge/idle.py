"""Connections that wait for their peer without a task of their own.

Thousands of clients only listen, and send something once in half a minute. A task that waits for that is most of the
memory of such a connection. So the reader of a connection adds it to the idle poller and ends: one epoll instance
watches them all (it can be waited for itself, epoll(7)), and when bytes come, the connection is resumed in a new task.

New connections wait here for their first bytes, too. When thousands come at once, each costs next to nothing until its
turn, and only so many get one in a pass of the loop: what is connected already goes on meanwhile, and a question
whether the service is alive does not stand behind them.

So do the tasks of a crowd that wait for their peers: thousands of peers that end in the same moment would else make
one pass of the loop a second long.
"""

import heapq
import select
import socket
from collections.abc import Awaitable, Callable, Iterator
from itertools import count, islice
from math import inf
from typing import Any, Generic, Protocol, TypeVar

import attrs
import trio

from townwatch.contracts.networks import network_of
from townwatch.transports.edge.relay.wire import PROBE
from townwatch.transports.edge.trusted import TrustedProxies

Resume = Callable[[], Awaitable[None]]
RESUMED_AT_ONCE = 64
"""Known connections that go on in one pass of the loop: many may end in the same moment, at 0.1 ms each."""
ASKING_AT_ONCE = 32
"""Connections that only speak HTTP, and go on."""
ALONE = 64
"""Tasks of each kind that wait for their peers by themselves, which is quicker; those beyond stand in line."""
BEGUN_AT_ONCE = 4
"""New connections that get one: their first request costs about a millisecond."""
ENCRYPTED_AT_ONCE = 2
"""The same with TLS: a handshake costs one and a half, and a question over it some twenty passes."""
HEARD_AT_ONCE = 1024
"""Connections that get a place in a line in one pass."""
ENDED_AT_ONCE = 64
"""New connections that are closed in one pass because they never said anything."""
URGENT = (b"GET /healthz ", b"HEAD /healthz ", b"GET /readyz ", b"HEAD /readyz ", PROBE)
"""How a request begins that is answered before those of other new connections."""


class Pollable(Protocol):
    """A connection. `ticket` is None unless the poller watches it. `upgraded`: whether it is a WebSocket by now."""

    sock: socket.socket
    peer: str
    ticket: int | None
    upgraded: bool

    def abort(self) -> None: ...


C = TypeVar("C", bound=Pollable)
Line = dict[int, None]
"""Tickets of connections that have something to read, in the order in which that came."""


@attrs.define(eq=False)
class _Idle(Generic[C]):
    """`goes_on`: the task that waits for it, or what a new task runs. `is_new`: it has said nothing so far. `ends`:
    when it is given up. `late`: it was. `line`: the one in which it stands.
    """

    connection: C
    goes_on: Resume | trio.lowlevel.Task
    is_new: bool = False
    ends: float = inf
    late: bool = False
    line: Line | None = None


class IdlePoller(Generic[C]):
    """The idle connections of one listener. `go_on(connection, resume)` is what runs in the new task."""

    takes_new = True
    """Whether new connections wait here, too."""

    def __init__(
        self,
        nursery: trio.Nursery,
        go_on: Callable[[C, Resume], Awaitable[None]],
        trusted: TrustedProxies | None = None,
        begun: int = BEGUN_AT_ONCE,
    ) -> None:
        """`trusted`: proxies, whose new connections take the turns of their clients. `begun`: new connections that get
        a task in one pass of the loop.
        """
        self._trusted = trusted or TrustedProxies()
        self._begun = begun
        self._nursery = nursery
        self._go_on = go_on
        self._epoll = select.epoll()
        self._idle: dict[int, _Idle[C]] = {}
        self._silent: dict[int, _Idle[C]] = {}
        """New connections that have said nothing, the oldest first."""
        self._known: Line = {}
        self._asking: Line = {}
        self._new: dict[str, Line] = {}
        self._urgent: dict[str, Line] = {}
        """New connections by the network they come from: a crowd from one keeps the others waiting for one turn."""
        self._ends: list[tuple[float, int, _Idle[C]]] = []
        """A heap of when tasks in line are told that their peers took too long; some of them have gone on since."""
        self._counted = count()
        self._alone = {True: 0, False: 0}
        """Tasks that wait by themselves: of WebSockets, and of the rest."""
        self._wait = trio.CancelScope()
        self.open = True

    @staticmethod
    def possible() -> bool:
        """Return whether this system has epoll; elsewhere each connection keeps its task."""
        return hasattr(select, "epoll")

    def __len__(self) -> int:
        return len(self._idle)

    def add(self, connection: C, resume: Resume) -> int:
        """Watch a connection without a task. Returns the ticket to `remove` it with."""
        return self._watch(_Idle(connection, resume))

    def add_new(self, connection: C, resume: Resume, seconds: float) -> int:
        """As `add`, for a new connection. It is closed if it says nothing within the time, the same for all."""
        idle = _Idle(connection, resume, True, trio.current_time() + seconds)
        said = _first_bytes(connection.sock)
        if said is not None:  # it stood in the kernel's line so long that it has spoken
            ticket = connection.sock.fileno()
            self._idle[ticket] = idle
            self._stand(ticket, idle, self._line_of_new(idle, said))
            self._wait.cancel()
            return ticket
        ticket = self._watch(idle)
        self._silent[ticket] = idle
        self._wait.deadline = min(self._wait.deadline, idle.ends)
        return ticket

    async def readable(self, connection: C, ends: float) -> None:
        """Wait until a connection has something to read, or is closed (returns, or raises trio.ClosedResourceError).
        Where many tasks wait, this one goes on in its turn.

        Raises trio.TooSlowError at the time `ends` of trio's clock.
        """
        kind = connection.upgraded
        if self._alone[kind] >= ALONE:
            await self._in_line(connection, ends)
            return
        self._alone[kind] += 1
        try:
            await readable_until(connection.sock, ends)
        finally:
            self._alone[kind] -= 1

    async def _in_line(self, connection: C, ends: float) -> None:
        idle = _Idle(connection, trio.lowlevel.current_task(), ends=ends)
        ticket = connection.ticket = self._watch(idle)
        if ends < inf:
            self._note_end(idle)

        def give_up(_cancelled: object) -> trio.lowlevel.Abort:
            self._forget(ticket)
            return trio.lowlevel.Abort.SUCCEEDED

        await trio.lowlevel.wait_task_rescheduled(give_up)
        if idle.late:
            raise trio.TooSlowError

    def _note_end(self, idle: _Idle[C]) -> None:
        if len(self._ends) > 2 * len(self._idle) + HEARD_AT_ONCE:  # most of them are over by now
            self._ends = [one for one in self._ends if self._idle.get(one[2].connection.ticket or -1) is one[2]]
            heapq.heapify(self._ends)
        heapq.heappush(self._ends, (idle.ends, next(self._counted), idle))
        self._wait.deadline = min(self._wait.deadline, idle.ends)

    def _watch(self, idle: _Idle[C]) -> int:
        ticket = idle.connection.sock.fileno()
        self._epoll.register(ticket, select.EPOLLIN)  # level-triggered: what has come already counts
        self._idle[ticket] = idle
        return ticket

    def remove(self, ticket: int) -> None:
        """Let a connection go on, in its task or in a new one: there is something to read, or it is closed."""
        idle = self._forget(ticket)
        if isinstance(idle.goes_on, trio.lowlevel.Task):
            trio.lowlevel.reschedule(idle.goes_on)
        else:
            self._nursery.start_soon(self._go_on, idle.connection, idle.goes_on)

    def _forget(self, ticket: int) -> _Idle[C]:
        idle = self._idle.pop(ticket)
        self._silent.pop(ticket, None)
        if idle.line is None:
            self._epoll.unregister(ticket)
        else:
            del idle.line[ticket]
        idle.connection.ticket = None
        return idle

    async def run(self) -> None:
        """Poll until cancelled; then resume every connection, so that each sees the end."""
        try:
            while True:
                await self._news()
                for ticket, _ in self._epoll.poll(0, HEARD_AT_ONCE):
                    self._line_up(ticket)
                self._line_up_late()
                for ticket in [*self._next()]:
                    self.remove(ticket)
                self._end_silent()
        finally:
            self.open = False
            for ticket in list(self._idle):
                self.remove(ticket)
            trio.lowlevel.notify_closing(self._epoll.fileno())
            self._epoll.close()

    async def _news(self) -> None:
        """Wait until a connection has something to read or is to be closed; one pass of the loop where some stand in
        line.
        """
        if self._known or self._asking or self._new or self._urgent:
            await trio.lowlevel.checkpoint()
            return
        oldest = next(iter(self._silent.values()), None)
        ends = min(inf if oldest is None else oldest.ends, self._ends[0][0] if self._ends else inf)
        with trio.CancelScope(deadline=ends) as self._wait:
            await trio.lowlevel.wait_readable(self._epoll.fileno())

    def _line_up(self, ticket: int) -> None:
        """Put a connection at the end of its line."""
        idle = self._idle[ticket]
        self._epoll.unregister(ticket)
        self._silent.pop(ticket, None)
        line = self._known if idle.connection.upgraded else self._asking
        if idle.is_new:
            line = self._line_of_new(idle, _first_bytes(idle.connection.sock) or b"")
        self._stand(ticket, idle, line)

    def _stand(self, ticket: int, idle: _Idle[C], line: Line) -> None:
        idle.line = line
        line[ticket] = None

    def _line_up_late(self) -> None:
        """Queue the tasks whose peers took too long, too."""
        now = trio.current_time()
        for _ in range(HEARD_AT_ONCE):
            if not self._ends or self._ends[0][0] > now:
                return
            idle = heapq.heappop(self._ends)[2]
            ticket = idle.connection.ticket
            if ticket is not None and self._idle.get(ticket) is idle and idle.line is None:
                idle.late = True
                self._line_up(ticket)

    def _line_of_new(self, idle: _Idle[C], said: bytes) -> Line:
        if not said:  # it is over already
            return self._asking
        lines = self._urgent if said.startswith(URGENT) else self._new
        client = self._trusted.client_behind(idle.connection.peer, idle.connection.sock)
        return lines.setdefault(network_of(client), {})

    def _next(self) -> Iterator[int]:
        """Return the tasks whose turn it is."""
        yield from islice(self._known, RESUMED_AT_ONCE)
        yield from islice(self._asking, ASKING_AT_ONCE)
        yield from _in_turn(self._urgent, self._begun)
        yield from _in_turn(self._new, self._begun)

    def _end_silent(self) -> None:
        now = trio.current_time()
        for idle in [*islice(self._silent.values(), ENDED_AT_ONCE)]:
            if idle.ends > now:
                return
            idle.connection.abort()


T = TypeVar("T")


def _both_ends(line: dict[T, Any], most: int) -> list[T]:
    """Return the oldest and the newest: in a long line the oldest have waited too long already, and the newest must not
    wait for all of them.
    """
    if len(line) <= most:
        return [*line]
    return [*islice(line, most // 2), *islice(reversed(line), most - most // 2)]


def _in_turn(lines: dict[str, Line], most: int) -> Iterator[int]:
    """Yield those whose turn it is, of as many networks as possible. One that has more goes to the end."""
    networks = _both_ends(lines, most)
    for network in networks:
        line = lines.pop(network)
        found = _both_ends(line, most // len(networks))
        if len(line) > len(found):
            lines[network] = line
        yield from found


async def readable_until(sock: socket.socket, ends: float) -> None:
    """Wait until a socket has something to read. Raises trio.TooSlowError at the time `ends` of trio's clock."""
    if ends == inf:
        await trio.lowlevel.wait_readable(sock)
        return
    with trio.move_on_at(ends) as scope:
        await trio.lowlevel.wait_readable(sock)
    if scope.cancelled_caught:
        raise trio.TooSlowError


def _first_bytes(sock: socket.socket) -> bytes | None:
    """Return how a request begins, b"" where none will come, None where nothing has come yet."""
    try:
        return sock.recv(max(map(len, URGENT)), socket.MSG_PEEK)
    except BlockingIOError:
        return None
    except OSError:
        return b""

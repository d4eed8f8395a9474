"""Connections that wait for their peer without a task of their own.

Thousands of people only watch, and say something once in half a minute. A task that waits for that is most of the
memory of such a connection. So whoever reads one *parks* it: one epoll instance knows them all (it can be waited for
itself, epoll(7)), and when something comes, what was left behind goes on in a new task.
"""

import select
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING

import trio

if TYPE_CHECKING:
    from transports.edge_connection import Connection

Resume = Callable[[], Awaitable[None]]
AT_ONCE = 256
"""Connections that get a task in one pass of the loop: many may end in the same moment."""


class Parking:
    """One for each listener. `go_on(connection, resume)` is what runs in the new task."""

    def __init__(self, nursery: trio.Nursery, go_on: Callable[["Connection", Resume], Awaitable[None]]) -> None:
        self._nursery = nursery
        self._go_on = go_on
        self._epoll = select.epoll()
        self._parked: dict[int, tuple[Connection, Resume]] = {}
        self.open = True

    @staticmethod
    def possible() -> bool:
        """Elsewhere each connection keeps its task."""
        return hasattr(select, "epoll")

    def __len__(self) -> int:
        return len(self._parked)

    def park(self, connection: "Connection", resume: Resume) -> int:
        """Wait without a task. Returns the ticket to `rouse` it with."""
        ticket = connection.sock.fileno()
        self._epoll.register(ticket, select.EPOLLIN)  # level-triggered: what has come already counts
        self._parked[ticket] = connection, resume
        return ticket

    def rouse(self, ticket: int) -> None:
        """It goes on, because there is something to read, or because it is over."""
        connection, resume = self._parked.pop(ticket)
        connection.ticket = None
        self._epoll.unregister(ticket)
        self._nursery.start_soon(self._go_on, connection, resume)

    async def run(self) -> None:
        """Until cancelled; then everybody goes on, to see that it is over."""
        try:
            while True:
                await trio.lowlevel.wait_readable(self._epoll.fileno())
                for ticket, _ in self._epoll.poll(0, AT_ONCE):
                    self.rouse(ticket)
        finally:
            self.open = False
            for ticket in list(self._parked):
                self.rouse(ticket)
            trio.lowlevel.notify_closing(self._epoll.fileno())
            self._epoll.close()

"""Connections that wait for their peer without a task of their own.

Thousands of clients only listen, and send something once in half a minute. A task that waits for that is most of the
memory of such a connection. So the reader of a connection adds it to the idle poller and ends: one epoll instance
watches them all (it can be waited for itself, epoll(7)), and when bytes come, the connection is resumed in a new task.
"""

import select
import socket
from collections.abc import Awaitable, Callable
from typing import Generic, Protocol, TypeVar

import trio

Resume = Callable[[], Awaitable[None]]
RESUMED_AT_ONCE = 256
"""Connections that get a task in one pass of the loop: many may end in the same moment."""


class Pollable(Protocol):
    """A connection. `ticket` is None unless the poller watches it."""

    sock: socket.socket
    ticket: int | None


C = TypeVar("C", bound=Pollable)


class IdlePoller(Generic[C]):
    """The idle connections of one listener. `go_on(connection, resume)` is what runs in the new task."""

    def __init__(self, nursery: trio.Nursery, go_on: Callable[[C, Resume], Awaitable[None]]) -> None:
        self._nursery = nursery
        self._go_on = go_on
        self._epoll = select.epoll()
        self._idle: dict[int, tuple[C, Resume]] = {}
        self.open = True

    @staticmethod
    def possible() -> bool:
        """Return whether this system has epoll; elsewhere each connection keeps its task."""
        return hasattr(select, "epoll")

    def __len__(self) -> int:
        return len(self._idle)

    def add(self, connection: C, resume: Resume) -> int:
        """Watch a connection without a task. Returns the ticket to `remove` it with."""
        ticket = connection.sock.fileno()
        self._epoll.register(ticket, select.EPOLLIN)  # level-triggered: what has come already counts
        self._idle[ticket] = connection, resume
        return ticket

    def remove(self, ticket: int) -> None:
        """Resume a connection in a task: there is something to read, or it is closed."""
        connection, resume = self._idle.pop(ticket)
        connection.ticket = None
        self._epoll.unregister(ticket)
        self._nursery.start_soon(self._go_on, connection, resume)

    async def run(self) -> None:
        """Poll until cancelled; then resume every connection, so that each sees the end."""
        try:
            while True:
                await trio.lowlevel.wait_readable(self._epoll.fileno())
                for ticket, _ in self._epoll.poll(0, RESUMED_AT_ONCE):
                    self.remove(ticket)
        finally:
            self.open = False
            for ticket in list(self._idle):
                self.remove(ticket)
            trio.lowlevel.notify_closing(self._epoll.fileno())
            self._epoll.close()

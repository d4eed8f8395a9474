"""Parked connections, where a socket is no descriptor: each has somebody who waits in its stead."""

from collections.abc import Awaitable, Callable
from contextlib import suppress

import trio

from townwatch.transports.edge.idle import IdlePoller, Resume, readable_until
from townwatch.transports.edge.server import Connection


class SimParking(IdlePoller[Connection]):
    """What is parked goes on as in the product, and when the product says."""

    takes_new = False

    def __init__(self, nursery: trio.Nursery, go_on: Callable[[Connection, Resume], Awaitable[None]]) -> None:
        self._nursery, self._go_on = nursery, go_on
        self._waiting: dict[int, tuple[Connection, Resume]] = {}
        self._count = 0
        self.open = True

    def add(self, connection: Connection, resume: Resume) -> int:
        self._count += 1
        self._waiting[self._count] = connection, resume
        self._nursery.start_soon(self._wait, connection, self._count)
        return self._count

    async def readable(self, connection: Connection, ends: float) -> None:
        await readable_until(connection.sock, ends)

    async def _wait(self, connection: Connection, ticket: int) -> None:
        with suppress(trio.ClosedResourceError):  # it has been roused, then
            await trio.lowlevel.wait_readable(connection.sock)
        if ticket in self._waiting:
            self.remove(ticket)

    def remove(self, ticket: int) -> None:
        connection, resume = self._waiting.pop(ticket)
        connection.ticket = None
        self._nursery.start_soon(self._go_on, connection, resume)

    async def run(self) -> None:
        try:
            await trio.sleep_forever()
        finally:
            self.open = False
            for ticket in list(self._waiting):
                self.remove(ticket)

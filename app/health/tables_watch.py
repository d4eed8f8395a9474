"""Looks every second whether the tables database can be read and written, and whether its file is still there.

While it cannot, readiness is 503 with the reason and every call to it fails at once (503 with Retry-After), instead of
each waiting for its own timeout. The next successful look ends that.
"""

import trio

from townwatch.runtime.tasks import TaskOwner
from townwatch.store.database import Database

PERIOD_SECONDS = 1.0
LOOK_SECONDS = 5.0
"""A database that has not answered for so long is away: calls that wait for it are ended."""


class TablesWatch(TaskOwner):
    """The one writer of the database's `outage` that also ends it."""

    def __init__(self, database: Database) -> None:
        super().__init__()
        self._database = database
        self._looking = False

    def on_start(self) -> None:
        self._database.outage.watched = True
        self.tasks.start_soon(self._rounds)

    def on_stop(self) -> None:
        self._database.outage.watched = False

    async def _rounds(self) -> None:
        while True:
            if self._looking:  # the last one still hangs, in a thread that was left to itself
                await trio.to_thread.run_sync(self._database.cut)
            else:
                await self._look()
            await trio.sleep(PERIOD_SECONDS)

    async def _look(self) -> None:
        with trio.move_on_after(LOOK_SECONDS) as scope:
            self._looking = True
            await trio.to_thread.run_sync(self._probe, abandon_on_cancel=True)
        if scope.cancelled_caught:
            reason = f"{self._database.name} does not answer; retrying"
            self._database.outage.begin(reason, reads_too=True)

    def _probe(self) -> None:
        try:
            self._database.probe()
        finally:
            self._looking = False

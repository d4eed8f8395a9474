"""Villages that each runner serves: the rows of the database, in memory, and the effects of a change."""

from collections.abc import Mapping
from contextlib import suppress
from types import MappingProxyType

import structlog
import trio

from townwatch.actors.context import Context
from townwatch.app.upkeep.ending import end_session
from townwatch.contracts.decoding.bridge import is_bridge
from townwatch.contracts.faults import TablesUnavailable
from townwatch.contracts.village_ids import name_of
from townwatch.runtime.tasks import TaskOwner
from townwatch.store import runner_grants
from townwatch.store.database import Database

log = structlog.get_logger("grants")

ROUND_SECONDS = 0.5
"""How often the rows are read: a change by another process holds after this time, one by this process at once."""
NONE: Mapping[str, str] = MappingProxyType({})
REASON = "its runner no longer serves this village"


class GrantBook:
    """Runner → name → key of the villages that it serves. A runner that is not in it serves none.

    Read at each event of a runner; written by `refresh` alone.
    """

    def __init__(self) -> None:
        self._of: dict[str, Mapping[str, str]] = {}
        self._lock = trio.Lock()  # an older reading of the rows must not overwrite a newer one

    def of(self, runner_id: str) -> Mapping[str, str]:
        """Return name → key of the villages that the runner serves now, the first one granted first."""
        return self._of.get(runner_id, NONE)

    def serves(self, runner_id: str, village_id: str) -> bool:
        """Return True if a runner, or the one whose slot it is (``r1.run-2`` of ``r1``), serves the village of this
        key.
        """
        name = name_of(village_id)
        while runner_id:
            if self.of(runner_id).get(name) == village_id:
                return True
            runner_id = runner_id.rpartition(".")[0]
        return False

    async def refresh(self, database: Database) -> None:
        """Read the rows again."""
        async with self._lock:
            rows = await database.read(runner_grants.everything)
            self._of = {runner: {one.public_id: one.village_id for one in found} for runner, found in rows.items()}


class GrantKeeper:
    """Makes a change of the rows hold: for the runners' links, which ask the book, and for the sessions that live."""

    def __init__(self, context: Context, book: GrantBook, database: Database) -> None:
        self._context = context
        self._book = book
        self._database = database
        self._lock = trio.Lock()  # a session is ended once

    async def settle(self) -> None:
        """Read the rows, and end the sessions whose runner does not serve their village: its own word on them is
        refused from now on, so that nothing else would ever end them.
        """
        async with self._lock:
            await self._book.refresh(self._database)
            for state in self._context.board:
                ours = not state.runner_id or is_bridge(state.runner_id)  # a bridge reports by its person's rights
                if not ours and not state.ended and not self._book.serves(state.runner_id, state.village_id):
                    await end_session(self._context, state, REASON)

    async def changed(self, runner_id: str) -> None:
        """Settle at once, after a change that this process made to a runner's rows."""
        await self.settle()
        log.info("grants_changed", runner=runner_id, villages=list(self._book.of(runner_id)))


class GrantWatch(TaskOwner):
    """Settles now and then: for changes that another process made, and for what a crash kept from being done."""

    def __init__(self, keeper: GrantKeeper) -> None:
        super().__init__()
        self._keeper = keeper

    def on_start(self) -> None:
        self.tasks.start_soon(self._rounds)

    async def _rounds(self) -> None:
        while True:
            await trio.sleep(ROUND_SECONDS)
            with suppress(TablesUnavailable):  # while the tables are away, what they said last holds
                await self._keeper.settle()

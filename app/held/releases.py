"""Releases held decisions when their time is over: the service counts, not the page."""

from contextlib import suppress

import structlog
import trio

from townwatch.actors import messages as m
from townwatch.actors.context import Context
from townwatch.actors.directory import tell_if_alive
from townwatch.contracts.faults import TablesUnavailable
from townwatch.runtime.tasks import TaskOwner
from townwatch.store.database import Database
from townwatch.store.deciding import holds
from townwatch.store.deciding.holds import Hold

log = structlog.get_logger("releases")

AGAIN_SECONDS = 1.0
"""After which a release is tried again while the tables are away."""
LEAST_SECONDS = 0.01


class Releases(TaskOwner):
    """Message: HoldsChanged. The rows are the truth; the start of the service gave each its full time again."""

    def __init__(self, context: Context, database: Database) -> None:
        super().__init__()
        self._context = context
        self._database = database
        self._changed = trio.Event()
        self._due: dict[Hold, float] = {}
        """Hold → when it ends by trio's clock, which is never set back."""

    def on_start(self) -> None:
        self._context.releases = self.actor_ref
        self.tasks.start_soon(self._rounds)

    def on_receive(self, message: m.HoldsChanged) -> None:
        self._changed.set()

    async def _rounds(self) -> None:
        while True:
            self._changed, rest = trio.Event(), AGAIN_SECONDS
            with suppress(TablesUnavailable):
                rest = await self._look()
            with trio.move_on_after(rest):
                await self._changed.wait()

    async def _look(self) -> float:
        """Release what is due; return the seconds until the next one is, infinite without any."""
        waiting, now = await self._database.read(holds.waiting), trio.current_time()
        self._due = {hold: self._due.get(hold, now + self._seconds_left(hold)) for hold in waiting}
        for hold, due in list(self._due.items()):
            if due <= now:
                await self._release(hold)
        return max(min((due - now for due in self._due.values() if due > now), default=float("inf")), LEAST_SECONDS)

    def _seconds_left(self, hold: Hold) -> float:
        return min(hold.release_ms - self._context.clock.now_ms(), hold.hold_ms) / 1000

    async def _release(self, hold: Hold) -> None:
        if not await self._database.call(holds.release, hold):
            return
        log.info("decision_released", session=hold.session_id, approval=hold.approval_id)
        state = self._context.board.session(hold.session_id)
        if state is not None:
            runner = self._context.directory.alive(self._context.directory.runners, state.runner_id)
            tell_if_alive(runner, m.LookAgain())

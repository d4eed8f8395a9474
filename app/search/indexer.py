"""The one task that keeps the search index up with the log, on a fifth of a processor at most."""

from collections.abc import Collection
from functools import partial

import structlog
import trio

from townwatch.actors.context import Context
from townwatch.app.search.index import SearchIndex
from townwatch.runtime.tasks import TaskOwner
from townwatch.store.log.port import DurableLog
from townwatch.store.search.records import Found, Freshness, SearchError, Wanted

log = structlog.get_logger("search")

LOOK_SECONDS = 0.5
"""How often the log is looked at for something new: a step for each line of a terminal would cost a commit each."""
REST = 4.0
"""Times as long as a step took that nothing is done behind it: what is live comes first."""
RETRY_SECONDS = 5.0
EVERY_SECONDS = 10.0
"""A step is made this often even where the log has nothing new."""
TYPED_SECONDS = 1.0
"""After a key nothing is indexed for so long. A thread that computes takes from the loop a moment for each call of the
system, of which the way of a key and its echo has a hundred."""
MOST_SECONDS = 20.0
"""But one step is made this often however much is typed."""
FINDERS = 2


class Indexer(TaskOwner):
    """Steps until it is stopped."""

    def __init__(self, index: SearchIndex, event_log: DurableLog, context: Context) -> None:
        super().__init__()
        self._index = index
        self._log = event_log
        self._context = context
        self._threads = trio.CapacityLimiter(1)

    def on_start(self) -> None:
        self.tasks.start_soon(self._rounds)

    async def _rounds(self) -> None:
        while True:
            await self._until_quiet()
            position, began = self._log.position, trio.current_time()
            try:
                more = await trio.to_thread.run_sync(self._index.step, limiter=self._threads)
            except SearchError:
                await trio.sleep(RETRY_SECONDS)
                continue
            if more:
                await trio.sleep(max(0.01, REST * (trio.current_time() - began)))
                continue
            await trio.sleep(LOOK_SECONDS)
            with trio.move_on_after(EVERY_SECONDS):
                while self._log.position == position:  # noqa: ASYNC110 - another thread writes the log
                    await trio.sleep(LOOK_SECONDS)

    async def _until_quiet(self) -> None:
        """Wait until no person types, for a time."""
        with trio.move_on_after(MOST_SECONDS):
            while (due := self._context.typed_at + TYPED_SECONDS) > trio.current_time():  # noqa: ASYNC110 - keys go on
                await trio.sleep_until(due)


class Finder:
    """`townwatch.transports.http.deps.Search`: questions in threads of their own, few at a time."""

    def __init__(self, index: SearchIndex) -> None:
        self._index = index
        self._threads = trio.CapacityLimiter(FINDERS)

    async def find(self, wanted: Wanted) -> Found:
        return await trio.to_thread.run_sync(partial(self._index.find, wanted), limiter=self._threads)

    async def freshness(self, village_ids: Collection[str]) -> Freshness:
        return await trio.to_thread.run_sync(partial(self._index.freshness, village_ids), limiter=self._threads)

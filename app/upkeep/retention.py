"""Retention of the journal: removes what is too old or too much, in short steps between two commits."""

from functools import partial

import structlog
import trio

from townwatch.actors.context import Context
from townwatch.config.settings import JournalSettings
from townwatch.runtime.tasks import TaskOwner
from townwatch.store.log.port import DurableLog
from townwatch.store.log.records import Retention

log = structlog.get_logger("retention")

ROUND_SECONDS = 60.0
DAY_MS = 86_400_000.0
VACUUM_PAGES = 256


def retention(settings: JournalSettings) -> Retention | None:
    """Return the limits that the settings ask for; None: keep everything."""
    age = settings.keep_days * DAY_MS if settings.keep_days else None
    size = int(settings.keep_mb * 1_000_000) if settings.keep_mb else None
    return Retention(max_age_ms=age, max_bytes=size) if age is not None or size is not None else None


class Keeper(TaskOwner):
    """Once a minute, village by village. Sessions that live are never touched."""

    def __init__(self, context: Context, event_log: DurableLog, keep: Retention, every: float = ROUND_SECONDS) -> None:
        super().__init__()
        self._context = context
        self._log = event_log
        self._keep = keep
        self._every = every

    def on_start(self) -> None:
        self.tasks.start_soon(self._rounds)

    async def _rounds(self) -> None:
        while True:
            await trio.sleep(self._every)
            for village_id in await trio.to_thread.run_sync(self._log.village_sizes):
                await self._trim(village_id)
            await trio.to_thread.run_sync(self._log.vacuum, VACUUM_PAGES)

    async def _trim(self, village_id: str) -> None:
        live = [state.session_id for state in self._context.board if not state.ended]
        events = 0
        while True:
            step = partial(self._log.retain, village_id, self._keep, spare=live)
            removed = await trio.to_thread.run_sync(step)
            events += removed.events
            if not removed.more:
                break
        if events:
            log.info("trimmed", village=village_id, events=events)

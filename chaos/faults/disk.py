"""A disk that can be slow or full: what the journal's writer sees of the log."""

import time
from collections.abc import Mapping, Sequence

import attrs
import trio

from townwatch.contracts.records import LogRecord
from townwatch.store.log.port import DurableLog
from townwatch.store.log.records import DiskFull, Snapshot


@attrs.define(eq=False)
class FaultyDisk:
    """`actors.ports.Journal` over the log. `delay`: seconds that each commit takes longer; `full`: nothing fits."""

    log: DurableLog
    delay: float = 0.0
    full: bool = False

    def append(self, batch: Sequence[LogRecord]) -> object:
        self._suffer()
        return self.log.append(batch)

    def save_snapshots(self, snapshots: Mapping[str, tuple[int, bytes]]) -> None:
        self._suffer()
        self.log.save_snapshots(snapshots)

    def load_snapshot(self, key: str) -> Snapshot | None:
        return self.log.load_snapshot(key)

    def read(self, session_id: str, after: int, limit: int, max_bytes: int) -> Sequence[LogRecord]:
        return self.log.read(session_id, after, limit, max_bytes)

    def deleted(self, session_id: str) -> bool:
        return self.log.deleted(session_id)

    def size(self, session_id: str, after: int, until: int) -> int:
        return self.log.size(session_id, after, until)

    def _suffer(self) -> None:
        """Delay or fail a write, in the writer's thread."""
        if self.delay:
            time.sleep(self.delay)
        if self.full:
            raise DiskFull("journal.db")

    async def slow_for(self, delay: float, seconds: float) -> None:
        """Make each commit take `delay` seconds longer, for so many seconds."""
        self.delay = delay
        try:
            await trio.sleep(seconds)
        finally:
            self.delay = 0.0

    async def full_for(self, seconds: float) -> None:
        """Refuse every write, for so many seconds."""
        self.full = True
        try:
            await trio.sleep(seconds)
        finally:
            self.full = False

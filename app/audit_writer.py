"""Writer of the audit log for actions over live connections: noted at once, written in groups.

REST notes each request before it answers. A terminal is typed into a key at a time: what one person types into one
session without a pause longer than a round of the writer is one entry that counts the characters.
"""

from contextlib import suppress
from typing import Any

import attrs
import structlog
import trio
from sqlalchemy import Connection

from townwatch.actors.directory import Origin
from townwatch.actors.ports import Principal
from townwatch.contracts.faults import TablesUnavailable
from townwatch.runtime.tasks import TaskOwner
from townwatch.store import audit
from townwatch.store.audit import Entry
from townwatch.store.database import Database

log = structlog.get_logger("audit")

ROUND_SECONDS = 0.25
MOST_WAITING = 20_000
"""Entries in memory while the database cannot be written to; more are lost, and the log says so."""
FLUSH_SECONDS = 2.0
COUNTED = "characters"


class AuditTrail:
    """`townwatch.actors.ports.Audit` on the database."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._waiting: list[Entry] = []
        self._lost = 0

    def note(
        self,
        action: str,
        subject: Principal,
        origin: Origin,
        at_ms: int,
        village_id: str,
        session_id: str,
        **details: Any,
    ) -> None:
        """Never blocks."""
        entry = Entry(
            at_ms=at_ms,
            kind=getattr(subject, "kind", "user"),
            action=action,
            user_id=subject.user_id,
            token_id=subject.token_id,
            village_id=village_id,
            session_id=session_id,
            address=origin.address or None,
            details=details or None,
        )
        last = self._waiting[-1] if self._waiting else None
        if last is not None and _same_hand(last, entry):
            total = (last.details or {})[COUNTED] + details[COUNTED]
            self._waiting[-1] = attrs.evolve(last, details={**details, COUNTED: total})
        elif len(self._waiting) < MOST_WAITING:
            self._waiting.append(entry)
        else:
            self._lost += 1

    def keep(self, entry: Entry) -> None:
        """An entry that could not be written at once, for the writer to try again."""
        if len(self._waiting) < MOST_WAITING:
            self._waiting.append(entry)
        else:
            self._lost += 1

    async def write(self) -> None:
        """Store everything that waits in one transaction. It waits on where the database cannot be written to."""
        if not self._waiting:
            return
        batch, self._waiting = self._waiting, []
        try:
            await self._database.call(_add_all, batch)
        except BaseException:
            self._waiting = batch + self._waiting
            raise
        if self._lost:
            log.error("audit_entries_lost", count=self._lost)
            self._lost = 0

    async def flush(self) -> None:
        """The last of it, at the end of the service."""
        with trio.move_on_after(FLUSH_SECONDS, shield=True):
            try:
                await self.write()
            except Exception as error:
                log.error("audit_not_written", entries=len(self._waiting), reason=repr(error))


def _same_hand(last: Entry, entry: Entry) -> bool:
    if COUNTED not in (entry.details or {}) or COUNTED not in (last.details or {}):
        return False
    names = ("action", "user_id", "token_id", "session_id", "address")
    return all(getattr(last, name) == getattr(entry, name) for name in names)


def _add_all(connection: Connection, entries: list[Entry]) -> None:
    for entry in entries:
        audit.add(connection, entry)


class AuditWriter(TaskOwner):
    """Writes what the trail holds, a few times a second. Its failure is its supervisor's to see: nothing is lost."""

    def __init__(self, trail: AuditTrail) -> None:
        super().__init__()
        self._trail = trail

    def on_start(self) -> None:
        self.tasks.start_soon(self._rounds)

    async def _rounds(self) -> None:
        while True:
            await trio.sleep(ROUND_SECONDS)
            with suppress(TablesUnavailable):  # said by readiness and the log; what waits is written afterwards
                await self._trail.write()

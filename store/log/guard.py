"""Watches over an open event log: are its files the ones that were opened, is all there that was acknowledged."""

import sqlite3
from collections.abc import Iterable, Mapping
from pathlib import Path

import structlog

from townwatch.contracts.clock import epoch_ms
from townwatch.store.engine.file_identity import FileIdentity
from townwatch.store.log.heads import HeadsFile, Loss, losses
from townwatch.store.log.records import Head, LogReplaced
from townwatch.store.log.schema import WAL_LIMIT_BYTES

log = structlog.get_logger("journal")

BY_HEADS = "acknowledged before the last stop, and not in the log any more"
_NOTE = "INSERT OR IGNORE INTO loss (session_id, village_id, from_seq, to_seq, noticed_ms, why) VALUES (?,?,?,?,?,?)"


class LogGuard:
    """One for each open log. `quarantined`: rows that are set aside."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self.files = FileIdentity(path, WAL_LIMIT_BYTES)
        self._heads = HeadsFile(path)
        self.replaced: str | None = None
        self.quarantined = 0

    def check(self) -> None:
        """Raise `LogReplaced` where a file was removed, replaced or cut off; from then on always, until a restart."""
        if self.replaced is None:
            self.replaced = self.files.check()
            if self.replaced is not None:
                log.error("journal_files_changed", reason=self.replaced)
        if self.replaced is not None:
            raise LogReplaced(str(self._path), self.replaced)

    def keep(self, heads: Mapping[str, Head], position: int) -> None:
        """Write how far each session is, beside the log. Failing to is no harm to the log: the next time, then."""
        try:
            self._heads.write(heads, position)
        except OSError as error:
            log.warning("heads_not_kept", reason=str(error))

    def compare(self, writer: sqlite3.Connection, heads: Mapping[str, Head]) -> int:
        """Note in the log what was acknowledged once and is missing; return the newest position ever known."""
        known = self._heads.read()
        if known is None:
            return 0
        note_losses(writer, losses(known, heads, BY_HEADS))
        return known.position


def note_losses(writer: sqlite3.Connection, found: Iterable[Loss]) -> list[Loss]:
    """Keep these losses, inside a transaction, and say each in the service's log; returns those that are new."""
    now, new = epoch_ms(), list[Loss]()
    for loss in found:
        row = (loss.session_id, loss.village_id, loss.from_seq, loss.to_seq, now, loss.why)
        if writer.execute(_NOTE, row).rowcount > 0:
            new.append(loss)
            log.error(
                "acknowledged_events_lost",
                session=loss.session_id,
                village=loss.village_id,
                from_seq=loss.from_seq,
                to_seq=loss.to_seq,
                reason=loss.why,
            )
    return new


def known_losses(connection: sqlite3.Connection) -> list[Loss]:
    """Return the ranges of events that are recorded as lost and have not been restored."""
    rows = connection.execute(
        "SELECT session_id, village_id, from_seq, to_seq, why FROM loss ORDER BY session_id, from_seq"
    )
    return [Loss(*row) for row in rows]


def forget_healed(writer: sqlite3.Connection) -> None:
    """Losses whose events came again (a runner still had them) are none any more."""
    writer.execute(
        "DELETE FROM loss WHERE to_seq - from_seq + 1 <= (SELECT count(*) FROM event e"
        " JOIN session_head h ON h.id = e.session WHERE h.session_id = loss.session_id"
        " AND e.seq BETWEEN loss.from_seq AND loss.to_seq)"
        " OR session_id IN (SELECT session_id FROM session_head WHERE deleted)"
    )

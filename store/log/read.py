"""Reading the event log, from any thread, while it is being written."""

import sqlite3
from collections import deque
from collections.abc import Generator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from townwatch.store.log.quarantine import event_fault
from townwatch.store.log.records import LogRecord, Lost, Snapshot
from townwatch.store.log.schema import connect_reader, translate

MAX_IDLE = 4
"""Connections kept open between reads."""
DEFAULT_LIMIT = 1000
DEFAULT_BYTES = 4 << 20

_COLUMNS = "h.session_id, e.seq, v.village_id, e.type, e.ts, e.body, e.position, e.stored_at"
_EVENTS = f"SELECT {_COLUMNS} FROM event e JOIN session_head h ON h.id = e.session JOIN village v ON v.id = e.village"
_SESSION = "e.session = (SELECT id FROM session_head WHERE session_id = ?)"


class LogReader:
    """Read-only. Every call sees one consistent state of the log: all of a batch or nothing of it.

    Lists are cut at `limit` records or `max_bytes` of bodies, whichever comes first, but have at least one record when
    there is one: reading on from the last one always gets further.
    """

    def __init__(self, path: Path | str) -> None:
        self._path = Path(path)
        self._idle: deque[sqlite3.Connection] = deque()
        self._closed = False

    def read(
        self, session_id: str, after: int = 0, limit: int = DEFAULT_LIMIT, max_bytes: int = DEFAULT_BYTES
    ) -> list[LogRecord]:
        """A session's events with seq > `after`, oldest first."""
        return self._records(
            f"{_EVENTS} WHERE {_SESSION} AND e.seq > ? ORDER BY e.seq", (session_id, after), limit, max_bytes
        )

    def of_types(self, types: Sequence[str], after: int, until: int) -> list[LogRecord]:
        """Events of all sessions and of these types, with `after` < position <= `until`, in the order they came."""
        marks = ", ".join("?" * len(types))
        where = f"WHERE e.position > ? AND e.position <= ? AND e.type IN ({marks}) ORDER BY e.position"
        return self._records(f"{_EVENTS} {where}", (after, until, *types), max(1, until - after), 1 << 40)

    def first_after(self, village_id: str, position: int) -> dict[str, tuple[int, int]]:
        """Session → (lowest seq, number) of a village's events that were stored behind this position."""
        sql = (
            "SELECT h.session_id, min(e.seq), count(*) FROM event e JOIN session_head h ON h.id = e.session"
            " WHERE e.village = (SELECT id FROM village WHERE village_id = ?) AND e.position > ? GROUP BY 1"
        )
        with self.connection() as connection:
            return {row[0]: (row[1], row[2]) for row in connection.execute(sql, (village_id, position))}

    def places(self, positions: Sequence[int]) -> dict[int, tuple[str, int]]:
        """Position → (session, seq) of the events that stand there."""
        marks = ", ".join("?" * len(positions))
        sql = (
            "SELECT e.position, h.session_id, e.seq FROM event e JOIN session_head h ON h.id = e.session"
            f" WHERE e.position IN ({marks})"
        )
        with self.connection() as connection:
            return {row[0]: (row[1], row[2]) for row in connection.execute(sql, tuple(positions))}

    def size(self, session_id: str, after: int, until: int) -> int:
        """Bytes of the bodies that are stored of a session, of seq > `after` up to and with `until`."""
        sql = f"SELECT coalesce(sum(length(e.body)), 0) FROM event e WHERE {_SESSION} AND e.seq > ? AND e.seq <= ?"
        with self.connection() as connection:
            return connection.execute(sql, (session_id, after, until)).fetchone()[0]

    def lost(self, session_id: str) -> list[Lost]:
        """Return the ranges of a session that were declared lost, in order."""
        sql = (
            "SELECT from_seq, to_seq, reason FROM lost"
            " WHERE session = (SELECT id FROM session_head WHERE session_id = ?) ORDER BY from_seq"
        )
        with self.connection() as connection:
            return [Lost(session_id, *row) for row in connection.execute(sql, (session_id,))]

    def load_snapshots(self, prefix: str = "") -> dict[str, Snapshot]:
        """key → snapshot, of the keys that begin with `prefix`."""
        sql = "SELECT key, position, body FROM snapshot WHERE substr(key, 1, ?) = ?"
        with self.connection() as connection:
            rows = connection.execute(sql, (len(prefix), prefix)).fetchall()
        return {key: Snapshot(position, bytes(body)) for key, position, body in rows}

    def load_snapshot(self, key: str) -> Snapshot | None:
        """The snapshot of one key."""
        with self.connection() as connection:
            row = connection.execute("SELECT position, body FROM snapshot WHERE key = ?", (key,)).fetchone()
        return None if row is None else Snapshot(row[0], bytes(row[1]))

    def set_aside(self, position: int, why: str) -> None:
        """Deal with an event that cannot be read. A log that is open for reading alone passes over it."""

    def close(self) -> None:
        """Close what is idle; what is being used is closed when it is done."""
        self._closed = True
        while self._idle:
            self._idle.pop().close()

    @contextmanager
    def connection(self) -> Generator[sqlite3.Connection]:
        """A connection for one read."""
        try:
            connection = self._idle.pop()
        except IndexError:
            connection = connect_reader(self._path)
        try:
            yield connection
        except sqlite3.Error as error:
            connection.close()
            raise translate(error, self._path) from error
        except BaseException:
            connection.close()
            raise
        if self._closed or len(self._idle) >= MAX_IDLE:
            connection.close()
        else:
            self._idle.append(connection)

    def _records(self, sql: str, args: Sequence[Any], limit: int, max_bytes: int) -> list[LogRecord]:
        records: list[LogRecord] = []
        unreadable: list[tuple[int, str]] = []
        room = max_bytes
        with self.connection() as connection:
            cursor = connection.execute(f"{sql} LIMIT ?", (*args, max(1, limit)))
            for row in cursor:
                if (why := event_fault(row[:7])) is not None:
                    unreadable.append((row[6], why))
                    continue
                room -= len(row[5])
                if room < 0 and records:
                    break
                records.append(LogRecord(*row[:7], stored_ms=row[7] if type(row[7]) is int else 0))
            cursor.close()  # ends the read: an open one would keep the WAL from being reset
        for position, why in unreadable:
            self.set_aside(position, why)
        return records

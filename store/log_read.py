"""Reading the event log, from any thread, while it is being written."""

import sqlite3
from collections import deque
from collections.abc import Generator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from store.log_records import LogRecord, Lost, Snapshot
from store.log_schema import connect_reader, translate

MAX_IDLE = 4
"""Connections kept open between reads."""
DEFAULT_LIMIT = 1000
DEFAULT_BYTES = 4 << 20

_COLUMNS = "h.session_id, e.seq, v.village_id, e.type, e.ts, e.body, e.position"
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

    def read_back(
        self, session_id: str, before: int | None = None, limit: int = DEFAULT_LIMIT, max_bytes: int = DEFAULT_BYTES
    ) -> list[LogRecord]:
        """A session's events with seq < `before` (None: from the end), newest first."""
        below = before if before is not None else 2**62
        sql = f"{_EVENTS} WHERE {_SESSION} AND e.seq < ? ORDER BY e.seq DESC"
        return self._records(sql, (session_id, below), limit, max_bytes)

    def read_village(
        self, village_id: str, after: int = 0, limit: int = DEFAULT_LIMIT, max_bytes: int = DEFAULT_BYTES
    ) -> list[LogRecord]:
        """A village's events with position > `after`, in the order in which they became durable."""
        sql = (
            f"{_EVENTS} WHERE e.village = (SELECT id FROM village WHERE village_id = ?)"
            " AND e.position > ? ORDER BY e.position"
        )
        return self._records(sql, (village_id, after), limit, max_bytes)

    def read_all(self, after: int = 0, limit: int = DEFAULT_LIMIT, max_bytes: int = DEFAULT_BYTES) -> list[LogRecord]:
        """Every event with position > `after`: the tail behind a snapshot."""
        return self._records(f"{_EVENTS} WHERE e.position > ? ORDER BY e.position", (after,), limit, max_bytes)

    def size(self, session_id: str, after: int, until: int) -> int:
        """Bytes of the bodies that are stored of a session, of seq > `after` up to and with `until`."""
        sql = f"SELECT coalesce(sum(length(e.body)), 0) FROM event e WHERE {_SESSION} AND e.seq > ? AND e.seq <= ?"
        with self.connection() as connection:
            return connection.execute(sql, (session_id, after, until)).fetchone()[0]

    def lost(self, session_id: str) -> list[Lost]:
        """What was declared lost of a session, in order."""
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
        room = max_bytes
        with self.connection() as connection:
            cursor = connection.execute(f"{sql} LIMIT ?", (*args, max(1, limit)))
            for row in cursor:
                room -= len(row[5])
                if room < 0 and records:
                    break
                records.append(LogRecord(*row))
            cursor.close()  # ends the read: an open one would keep the WAL from being reset
        return records

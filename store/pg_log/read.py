"""Reading the event log in PostgreSQL, from any thread, while it is being written."""

from collections import deque
from collections.abc import Generator, Sequence
from contextlib import contextmanager, suppress
from typing import Any

from sqlalchemy.engine import URL

from townwatch.store.engine import driver, postgres
from townwatch.store.log.read import DEFAULT_BYTES, DEFAULT_LIMIT, MAX_IDLE
from townwatch.store.log.records import LogRecord, Lost, Snapshot
from townwatch.store.pg_log.schema import packed, translate, unpacked

_COLUMNS = "h.session_id, e.seq, v.village_id, e.type, e.ts, e.body, e.position, e.stored_at"
_EVENTS = f"""
SELECT * FROM (
  SELECT {_COLUMNS}, sum(octet_length(e.body)) OVER w AS upto, row_number() OVER w AS number
  FROM log_event e JOIN log_session h ON h.id = e.session JOIN log_village v ON v.id = e.village
  WHERE h.session_id = %s AND e.seq > %s WINDOW w AS (ORDER BY e.seq ROWS UNBOUNDED PRECEDING)
  ORDER BY e.seq LIMIT %s) AS part
WHERE upto <= %s OR number = 1
"""
_OF_TYPES = f"""
SELECT {_COLUMNS} FROM log_event e JOIN log_session h ON h.id = e.session JOIN log_village v ON v.id = e.village
WHERE e.position > %s AND e.position <= %s AND e.type = ANY(%s::text[]) ORDER BY e.position
"""
_LOST = "SELECT from_seq, to_seq, reason FROM log_lost WHERE session = {} ORDER BY from_seq"
_SESSION = "(SELECT id FROM log_session WHERE session_id = %s)"


class PostgresLogReader:
    """`store.log.read.LogReader` on PostgreSQL: every call sees one consistent state of the log."""

    def __init__(self, url: URL, application: str | None) -> None:
        self._url = url
        self._application = application
        self._place = postgres.place_of(url)
        self._idle: deque[Any] = deque()
        self._closed = False

    def read(
        self, session_id: str, after: int = 0, limit: int = DEFAULT_LIMIT, max_bytes: int = DEFAULT_BYTES
    ) -> list[LogRecord]:
        """A session's events with seq > `after`, oldest first; at least one where there is one."""
        rows = self._rows(_EVENTS, (packed(session_id), after, max(1, limit), max_bytes))
        return [LogRecord(session_id, *row[1:7], stored_ms=row[7]) for row in rows]

    def of_types(self, types: Sequence[str], after: int, until: int) -> list[LogRecord]:
        """Events of all sessions and of these types, with `after` < position <= `until`, in the order they came."""
        rows = self._rows(_OF_TYPES, (after, until, list(types)))
        return [LogRecord(unpacked(row[0]), *row[1:7], stored_ms=row[7]) for row in rows]

    def first_after(self, village_id: str, position: int) -> dict[str, tuple[int, int]]:
        """Session → (lowest seq, number) of a village's events that were stored behind this position."""
        sql = (
            "SELECT h.session_id, min(e.seq), count(*) FROM log_event e JOIN log_session h ON h.id = e.session"
            " WHERE e.village = (SELECT id FROM log_village WHERE village_id = %s) AND e.position > %s GROUP BY 1"
        )
        return {unpacked(row[0]): (row[1], row[2]) for row in self._rows(sql, (packed(village_id), position))}

    def places(self, positions: Sequence[int]) -> dict[int, tuple[str, int]]:
        """Position → (session, seq) of the events that stand there."""
        sql = (
            "SELECT e.position, h.session_id, e.seq FROM log_event e JOIN log_session h ON h.id = e.session"
            " WHERE e.position = ANY(%s::bigint[])"
        )
        return {row[0]: (unpacked(row[1]), row[2]) for row in self._rows(sql, (list(positions),))}

    def size(self, session_id: str, after: int, until: int) -> int:
        """Bytes of the bodies that are stored of a session, of seq > `after` up to and with `until`."""
        sql = (
            "SELECT coalesce(sum(octet_length(body)), 0)::bigint FROM log_event"
            f" WHERE session = {_SESSION} AND seq > %s AND seq <= %s"
        )
        return self._rows(sql, (packed(session_id), after, until))[0][0]

    def lost(self, session_id: str) -> list[Lost]:
        """Return the ranges of a session that were declared lost, in order."""
        rows = self._rows(_LOST.format(_SESSION), (packed(session_id),))
        return [Lost(session_id, low, high, unpacked(reason)) for low, high, reason in rows]

    def load_snapshots(self, prefix: str = "") -> dict[str, Snapshot]:
        """key → snapshot, of the keys that begin with `prefix`."""
        rows = self._rows("SELECT key, position, body FROM log_snapshot WHERE starts_with(key, %s)", (packed(prefix),))
        return {unpacked(key): Snapshot(position, body) for key, position, body in rows}

    def snapshot_marks(self, prefix: str = "") -> dict[str, str]:
        """key → what tells this snapshot from every other, of the keys that begin with `prefix`."""
        rows = self._rows("SELECT key, md5(body) FROM log_snapshot WHERE starts_with(key, %s)", (packed(prefix),))
        return {unpacked(key): mark for key, mark in rows}

    def load_snapshot(self, key: str) -> Snapshot | None:
        """The snapshot of one key."""
        rows = self._rows("SELECT position, body FROM log_snapshot WHERE key = %s", (packed(key),))
        return Snapshot(*rows[0]) if rows else None

    def village_sizes(self) -> dict[str, tuple[int, int]]:
        """Village id → (events, bytes of bodies) that are stored."""
        rows = self._rows("SELECT village_id, events, bytes FROM log_village", ())
        return {unpacked(village_id): (events, size) for village_id, events, size in rows}

    def close(self) -> None:
        """Close what is idle; what is being used is closed when it is done."""
        self._closed = True
        self._close_idle()

    @contextmanager
    def connection(self) -> Generator[Any]:
        """A connection for one read, in autocommit. One that PostgreSQL ended meanwhile is replaced."""
        try:
            connection = self._taken()
        except driver.Error as error:
            raise translate(error, self._place) from error
        try:
            yield connection
        except driver.Error as error:
            connection.close()
            raise translate(error, self._place) from error
        except BaseException:
            connection.close()
            raise
        if len(self._idle) >= MAX_IDLE:
            connection.close()
            return
        self._idle.append(connection)
        if self._closed:  # looked at last: another thread may close the reader at any moment
            self._close_idle()

    def _close_idle(self) -> None:
        with suppress(IndexError):  # two threads may close
            while True:
                self._idle.pop().close()

    def _taken(self) -> Any:
        while self._idle:
            kept = self._idle.pop()
            try:
                kept.execute("SELECT 1")
            except driver.Error:
                kept.close()
            else:
                return kept
        made = postgres.connect(self._url, self._application)
        made.autocommit = True
        return made

    def _rows(self, sql: str, args: Sequence[Any]) -> list[Any]:
        with self.connection() as connection:
            return connection.cursor(binary=True).execute(sql, args).fetchall()

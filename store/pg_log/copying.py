"""Copying a whole event log between the file and PostgreSQL: the tables are the same, but for their names."""

import hashlib
import sqlite3
from collections.abc import Callable, Iterable, Iterator
from typing import Any

import attrs

from townwatch.store.log.quarantine import event_fault
from townwatch.store.pg_log.schema import packed, unpacked

BATCH = 2000
_SOME_EVENTS = "SELECT {} FROM {} WHERE position > {} ORDER BY position LIMIT {}"


@attrs.frozen
class _Kind:
    """A table under both names. `texts`: columns with text of others, which PostgreSQL keeps packed."""

    file: str
    postgres: str
    columns: tuple[str, ...]
    texts: tuple[str, ...] = ()

    @property
    def list(self) -> str:
        return ", ".join(self.columns)

    def into_postgres(self, row: Iterable[Any]) -> tuple[Any, ...]:
        return tuple(
            packed(value) if name in self.texts and value is not None else value
            for name, value in zip(self.columns, row, strict=True)
        )

    def into_file(self, row: Iterable[Any]) -> tuple[Any, ...]:
        return tuple(
            unpacked(value) if name in self.texts and value is not None else value
            for name, value in zip(self.columns, row, strict=True)
        )


_HEAD = "id session_id village first_seq max_seq events bytes first_ts last_ts holes deleted"
_EVENT = _Kind("event", "log_event", tuple("position session seq village type ts stored_at body".split()))
_OTHERS = (
    _Kind("village", "log_village", ("id", "village_id", "events", "bytes"), ("village_id",)),
    _Kind("session_head", "log_session", tuple(_HEAD.split()), ("session_id",)),
    _Kind("lost", "log_lost", ("session", "from_seq", "to_seq", "reason"), ("reason",)),
    _Kind("snapshot", "log_snapshot", ("key", "position", "body"), ("key",)),
    _Kind("quarantine", "log_quarantine", ("id", "at_ms", "source", "row_id", "why", "raw"), ("source", "why", "raw")),
    _Kind(
        "loss",
        "log_loss",
        ("session_id", "village_id", "from_seq", "to_seq", "noticed_ms", "why"),
        ("session_id", "village_id", "why"),
    ),
)


def copy_into_postgres(file: sqlite3.Connection, writer: Any, going_on: Callable[[], None]) -> int:
    """Copy everything within the writer's transaction into empty tables; return the number of events.

    Raises ValueError for an event that cannot be read, and where what arrived differs from what left.
    """
    for kind in _OTHERS:
        rows = file.execute(f"SELECT {kind.list} FROM {kind.file}")
        _copy(writer, kind, (kind.into_postgres(row) for row in rows), going_on)
    left = _Digest()
    _copy(writer, _EVENT, (left.note(_event(row)) for row in _events_of_file(file)), going_on)
    writer.execute("UPDATE log_meta SET value = %s WHERE key = 'next_position'", (_next_of_file(file),))
    arrived = _Digest()
    for row in _events_of_postgres(writer):
        arrived.note(row)
        going_on()
    return left.compared(arrived)


def copy_into_file(reader: Any, file: sqlite3.Connection, going_on: Callable[[], None]) -> int:
    """Copy everything within the file's transaction into empty tables; return the number of events."""
    for kind in _OTHERS:
        rows = reader.execute(f"SELECT {kind.list} FROM {kind.postgres}").fetchall()
        file.executemany(_insert(kind), [kind.into_file(row) for row in rows])
        going_on()
    left = _Digest()
    for batch in _batched(_events_of_postgres(reader)):
        file.executemany(_insert(_EVENT), [left.note(row) for row in batch])
        going_on()
    (following,) = reader.execute("SELECT value FROM log_meta WHERE key = 'next_position'").fetchone()
    (newest,) = reader.execute("SELECT coalesce(max(position), 0) FROM log_event").fetchone()
    file.execute("UPDATE meta SET value = ? WHERE key = 'next_position'", (max(following, newest + 1),))
    arrived = _Digest()
    for row in _events_of_file(file):
        arrived.note(row)
    return left.compared(arrived)


def rows_in(writer: Any) -> int:
    """Return how many sessions, events and snapshots a log in PostgreSQL has."""
    sums = " + ".join(f"(SELECT count(*) FROM {name})" for name in ("log_event", "log_session", "log_snapshot"))
    return writer.execute(f"SELECT {sums}").fetchone()[0]


@attrs.define
class _Digest:
    """Digest of events, in the order of their positions."""

    count: int = 0
    sha: Any = attrs.field(factory=hashlib.sha256)

    def note(self, row: tuple[Any, ...]) -> tuple[Any, ...]:
        position, session, seq, village, kind, ts, stored_at, body = row
        self.count += 1
        self.sha.update(f"{position} {session} {seq} {village} {kind} {float(ts)!r} {stored_at} {len(body)} ".encode())
        self.sha.update(body)
        return row

    def compared(self, arrived: "_Digest") -> int:
        if (self.count, self.sha.digest()) != (arrived.count, arrived.sha.digest()):
            raise ValueError(f"{self.count} events left and {arrived.count} arrived, or other ones")
        return self.count


def _event(row: tuple[Any, ...]) -> tuple[Any, ...]:
    position, session, seq, village, kind, ts, stored_at, body = row
    if (why := event_fault((session, seq, village, kind, ts, body, position))) is not None:
        raise ValueError(f"the event at position {position} cannot be read ({why}): run `townwatch doctor --repair`")
    return position, session, seq, village, kind, float(ts), stored_at, body


def _copy(writer: Any, kind: _Kind, rows: Iterable[tuple[Any, ...]], going_on: Callable[[], None]) -> None:
    with writer.cursor().copy(f"COPY {kind.postgres} ({kind.list}) FROM STDIN") as out:
        for number, row in enumerate(rows):
            out.write_row(row)
            if number % BATCH == 0:
                going_on()


def _insert(kind: _Kind) -> str:
    return f"INSERT INTO {kind.file} ({kind.list}) VALUES ({','.join('?' * len(kind.columns))})"


def _next_of_file(file: sqlite3.Connection) -> int:
    (kept,) = file.execute("SELECT value FROM meta WHERE key = 'next_position'").fetchone()
    (newest,) = file.execute("SELECT coalesce(max(position), 0) FROM event").fetchone()
    return max(kept, newest + 1)


def _events_of_file(file: sqlite3.Connection) -> Iterator[tuple[Any, ...]]:
    after = 0
    while rows := file.execute(_SOME_EVENTS.format(_EVENT.list, "event", "?", "?"), (after, BATCH)).fetchall():
        yield from rows
        after = rows[-1][0]


def _events_of_postgres(reader: Any) -> Iterator[tuple[Any, ...]]:
    after = 0
    while rows := reader.execute(
        _SOME_EVENTS.format(_EVENT.list, "log_event", "%s", "%s"), (after, BATCH), binary=True
    ).fetchall():
        yield from rows
        after = rows[-1][0]


def _batched(rows: Iterable[tuple[Any, ...]]) -> Iterator[list[tuple[Any, ...]]]:
    batch: list[tuple[Any, ...]] = []
    for row in rows:
        batch.append(row)
        if len(batch) == BATCH:
            yield batch
            batch = []
    yield batch

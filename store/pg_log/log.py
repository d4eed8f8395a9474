"""The durable event log in PostgreSQL: the same promises as the file (`store/log/event_log.py`), for several processes
of which one leads.

Heads and counters are in memory, as with the file: only the leader writes, and each write passes the fence within its
own transaction, so what is in memory is what is stored, or the write is refused. After every failure the memory is read
anew, behind the lock that every write to the log holds until it ended: whether a commit whose answer was lost had
happened is found out there, never guessed. The caller then sends the batch again, and what is stored is a repeat.
"""

import threading
import time
from collections.abc import Callable, Generator, Iterable, Mapping, Sequence
from contextlib import contextmanager, suppress
from types import TracebackType
from typing import Any, Self

from townwatch.contracts.faults import TablesUnavailable
from townwatch.store.engine import driver, postgres
from townwatch.store.engine.fence import PASS_FENCE_TO_LOG, Term
from townwatch.store.log.head_memory import HeadMemory
from townwatch.store.log.heads import Loss
from townwatch.store.log.intake import plan_batch
from townwatch.store.log.port import nobody_asks
from townwatch.store.log.records import AppendResult, Head, LogRecord, LogUnreachable, Lost, Removed, Retention
from townwatch.store.log.retention import CHUNK
from townwatch.store.pg_log import arrays, schema, writing
from townwatch.store.pg_log.read import PostgresLogReader
from townwatch.store.pg_log.schema import translate, unpacked

_HEAL_LOSSES = """
DELETE FROM log_loss l WHERE l.to_seq - l.from_seq + 1 <= (
  SELECT count(*) FROM log_event e JOIN log_session h ON h.id = e.session
  WHERE h.session_id = l.session_id AND e.seq BETWEEN l.from_seq AND l.to_seq)
OR l.session_id IN (SELECT session_id FROM log_session WHERE deleted = 1)
"""

_MEMORY = (
    "SELECT village_id, id FROM log_village",
    "SELECT coalesce(max(position), 0) FROM log_event",
    "SELECT value FROM log_meta WHERE key = 'next_position'",
    "SELECT count(*) FROM log_quarantine",
)
"""Beside the heads: what is kept in memory."""


class PostgresLog(HeadMemory, PostgresLogReader):
    """The log, open for writing and reading. Make one with `open`; close it, or use it in a ``with``.

    Errors of every writing call: `LogUnreachable`, `DiskFull`, `LogBroken`, and `LogFenced` once another process leads.
    """

    reserve_in_use = 0
    """The file's log keeps room on the disk back; PostgreSQL's disk is PostgreSQL's business."""
    replaced: str | None = None

    def __init__(self, url: str, term: Term, now_ms: Callable[[], float]) -> None:
        super().__init__(postgres.parse(url), term.application)
        self._term = term
        self._now_ms = now_ms
        self._lock = threading.Lock()
        self.on_removed: Callable[[Sequence[str]], None] = nobody_asks
        self._writer: Any = None
        """None: there is none, and what is in memory may not be what is stored."""
        self._heads: dict[str, Head] = {}
        self._villages: dict[str, int] = {}
        self._next_key = 1
        self._next_position = 1
        self.quarantined = 0

    @classmethod
    def open(cls, url: str, term: Term, now_ms: Callable[[], float] = lambda: time.time() * 1000) -> Self:
        """Open the log, make its tables where there are none. Raises `TablesUnavailable` where waiting may help,
        `TablesRefused`, `LogTooNew`, `LogFenced`.
        """
        log = cls(url, term, now_ms)
        try:
            log._connect()
            log._heal()
        except LogUnreachable as error:
            log.close()
            raise TablesUnavailable(f"{log._place}: {error.strerror}") from error
        except BaseException:
            log.close()
            raise
        return log

    @classmethod
    def stand_by(cls, url: str, life: str, now_ms: Callable[[], float] = lambda: time.time() * 1000) -> Self:
        """Open the log for reading, in a process that may lead later. Raises as `open`, and `TablesUnavailable` where
        there are no tables yet.
        """
        log = cls(url, Term(0, life), now_ms)
        try:
            log.look()
        except BaseException:
            log.close()
            raise
        return log

    def look(self) -> None:
        """Read heads and counters, as a standby: they may be old when the call returns."""
        with self._lock, self._dropped_on_error():
            if self._writer is None:
                self._writer = self._connected()
            with self._writer.transaction():
                if not schema.has_tables(self._writer):
                    raise TablesUnavailable(f"{self._place} has no event log yet")
                self._read_heads(self._writer)

    def cut(self) -> None:
        """End the wait of a `look` whose PostgreSQL does not answer."""
        if self._writer is not None:
            postgres.cut(self._writer)

    def lead(self, term: Term) -> bool:
        """Begin to write in this term; False where the connection that `look` used is lost: what was read on it may be
        of another server. Raises as `open`.
        """
        with self._lock:
            self._term = term
            try:
                schema.make_tables(self._writer, self._place)
                self._load()
                self._heal()
            except (driver.Error, LogUnreachable):
                self._drop_writer()
                return False
        return True

    def make_room(self) -> bool:
        """Return False: nothing is kept back."""
        return False

    # --- writing ----------------------------------------------------------------------------------------------------

    def append(self, batch: Sequence[LogRecord], lost: Iterable[Lost] = ()) -> AppendResult:
        """Store what is new of the batch in one commit; durable in PostgreSQL when it returns."""
        gone = tuple(lost)
        with self._lock:
            self._connect()
            plan = plan_batch(self._heads, batch, gone, self._next_key, self._next_position)
            changed = {s: head for s, head in plan.heads.items() if head != self._heads.get(s) and head.max_seq}
            if changed:
                villages = self._village_keys(changed.values())
                with self._transaction() as writer:
                    writing.write_plan(writer, plan, changed, villages, gone, int(self._now_ms()))
                self._villages.update(villages)
                self._heads.update(changed)
                self._next_key = max(self._next_key, *(head.key + 1 for head in changed.values()))
                self._next_position += len(plan.stored)
        return AppendResult(heads=plan.heads, stored=plan.stored, repeats=plan.repeats, refused=plan.refused)

    def watch(self) -> None:
        """Nothing lies beside this log that could be removed under it."""

    def set_aside(self, position: int, why: str) -> None:
        """Move an event that cannot be used to the quarantine; its number is declared lost."""
        with self._lock:
            self._connect()
            with self._transaction(read=True) as writer:
                row = writer.execute(
                    "DELETE FROM log_event WHERE position = %s RETURNING session, seq, village, octet_length(body),"
                    " row_to_json(log_event)::text",
                    (position,),
                ).fetchone()
                if row is not None:
                    session, seq, village, length, raw = row
                    writer.execute(
                        "INSERT INTO log_quarantine (id, at_ms, source, row_id, why, raw) SELECT"
                        " coalesce(max(id), 0) + 1, %s, 'event', %s, %s, %s FROM log_quarantine",
                        (int(self._now_ms()), position, why, raw),
                    )
                    writing.take_from_sums(writer, village, [(session, length)])
                    writer.execute(
                        "INSERT INTO log_lost (session, from_seq, to_seq, reason) VALUES (%s, %s, %s, %s)",
                        (session, seq, seq, why),
                    )
            self._load()

    def note_loss(self, loss: Loss) -> bool:
        """Keep that acknowledged events are missing, as a runner knows; False where that was known."""
        with self._lock:
            self._connect()
            with self._transaction(read=True) as writer:
                return writing.note_loss(writer, loss)

    def save_snapshots(self, snapshots: Mapping[str, tuple[int, bytes]]) -> None:
        """Store (position, body) by key, all in one commit; one of a session that was deleted is dropped."""
        with self._lock:
            self._connect()
            kept = {key: one for key, one in snapshots.items() if not self.deleted(key.removeprefix("session:"))}
            with self._transaction() as writer:
                writing.save_snapshots(writer, kept)

    def retain(self, village_id: str, keep: Retention, chunk: int = CHUNK, spare: Iterable[str] = ()) -> Removed:
        """Take at most `chunk` of the oldest events of a village that are beyond `keep`. Call again while `more`."""
        with self._lock:
            self._connect()
            village = self._villages.get(village_id)
            if village is None:
                return Removed(0, 0, False)
            spared = [self._heads[s].key for s in spare if s in self._heads]
            with self._transaction(read=True) as writer:
                self._keep_position(writer)
                removed, touched = writing.retain(writer, village, keep, self._now_ms(), chunk, spared)
                heads = writing.load_heads(writer, touched)
            self._heads.update({head.session_id: head for head in heads})
        if heads:
            self.on_removed([head.session_id for head in heads])
        return removed

    def delete_session(self, session_id: str, chunk: int = CHUNK) -> Removed:
        """Delete at most `chunk` events of a session. Call again while `more`. Its head stays, hidden."""
        with self._lock:
            self._connect()
            head = self._heads.get(session_id)
            if head is None:
                return Removed(0, 0, False)
            with self._transaction(read=True) as writer:
                self._keep_position(writer)
                removed = writing.delete_session(writer, head.key, session_id, chunk)
                (now,) = writing.load_heads(writer, [head.key])
            self._heads[session_id] = now
        self.on_removed([session_id])
        return removed

    def vacuum(self, pages: int = 256) -> int:
        """Nothing to do: PostgreSQL's autovacuum does that."""
        del pages
        return 0

    def checkpoint(self) -> None:
        """Nothing to do: PostgreSQL does that."""

    # --- what is there ------------------------------------------------------------------------------------------------

    def losses(self) -> list[Loss]:
        """Events that were acknowledged and are missing, as far as is known."""
        rows = self._rows(
            "SELECT session_id, village_id, from_seq, to_seq, why FROM log_loss ORDER BY session_id, from_seq", ()
        )
        return [Loss(unpacked(row[0]), unpacked(row[1]), row[2], row[3], unpacked(row[4])) for row in rows]

    def close(self) -> None:
        """Close every connection. A second close does nothing."""
        super().close()
        with self._lock:
            self._drop_writer()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, tb: TracebackType | None) -> None:
        self.close()

    # --- inside -------------------------------------------------------------------------------------------------------

    def _connect(self) -> None:
        """Have a writer, and in memory what is stored: read again wherever the last call may have ended unknown."""
        if self._writer is not None:
            return
        with self._dropped_on_error():
            self._writer = self._connected()
            schema.make_tables(self._writer, self._place)
            self._load()

    def _connected(self) -> Any:
        if self._closed:  # by another thread, since this one began
            raise driver.OperationalError("the log is closed")
        made = postgres.connect(self._url, self._term.application)
        with postgres.closed_on_error(made):
            arrays.teach(made)
        return made

    def _load(self) -> None:
        """Heads and counters from the tables, when no earlier write of this process can still be under way."""
        with self._transaction(read=True) as writer:
            self._read_heads(writer)

    def _read_heads(self, writer: Any) -> None:
        with writer.pipeline():  # one round trip
            asked = [writer.execute(sql) for sql in _MEMORY]
            heads = writing.load_heads(writer)
            rows, *counts = [one.fetchall() for one in asked]
        ((newest,),), ((kept,),), ((self.quarantined,),) = counts
        villages = {unpacked(village_id): key for village_id, key in rows}
        self._villages = villages
        self._heads = {head.session_id: head for head in heads}
        self._next_key = max((head.key for head in heads), default=0) + 1
        self._next_position = max(newest + 1, kept)

    def _heal(self) -> None:
        """Losses whose events came again are none any more."""
        with self._transaction() as writer:
            writer.execute(_HEAL_LOSSES)

    def _village_keys(self, heads: Iterable[Head]) -> dict[str, int]:
        following = max(self._villages.values(), default=0) + 1
        wanted = dict.fromkeys(head.village_id for head in heads)
        new = [village_id for village_id in wanted if village_id not in self._villages]
        return self._villages | {village_id: following + i for i, village_id in enumerate(new)}

    def _keep_position(self, writer: Any) -> None:
        """Positions are never given twice, even when the newest events were deleted."""
        writer.execute("UPDATE log_meta SET value = %s WHERE key = 'next_position'", (self._next_position,))

    @contextmanager
    def _transaction(self, *, read: bool = False) -> Generator[Any]:
        """One transaction behind the fence. Without `read`, its statements, fence and commit go to PostgreSQL in one
        round trip: none of their results can be looked at inside.
        """
        writer = self._writer
        try:
            if read:
                writer.execute(PASS_FENCE_TO_LOG, (self._term.epoch,))
                yield writer
                writer.commit()
            else:
                with writer.pipeline():
                    writer.execute(PASS_FENCE_TO_LOG, (self._term.epoch,))
                    yield writer
                    writer.commit()
        except BaseException as error:
            self._drop_writer()
            if isinstance(error, driver.Error):
                raise translate(error, self._place) from error
            raise

    @contextmanager
    def _dropped_on_error(self) -> Generator[None]:
        """Drop the writer where something goes wrong; the driver's errors become ours."""
        try:
            yield
        except driver.Error as error:
            self._drop_writer()
            raise translate(error, self._place) from error
        except BaseException:
            self._drop_writer()
            raise

    def _drop_writer(self) -> None:
        """Forget the connection, and with it what is in memory: the next call reads it again."""
        writer, self._writer = self._writer, None
        if writer is not None:
            with suppress(Exception):
                writer.close()

"""The durable event log: append in one commit, read back, forget the old.

One file (``journal.db``), one writer. What `append` has returned for survives a crash of the process and, with
``synchronous="full"``, a loss of power. The pair (session, seq) is the identity of an event: a repeat is dropped.

Everything here is synchronous and may be called from any thread: writing calls wait for each other on a lock, so give
them one thread of their own; reading calls do not wait for the writer.
"""

import os
import sqlite3
import threading
import time
from collections.abc import Callable, Generator, Iterable, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from types import TracebackType
from typing import Self, TypeVar

from townwatch.store.log import retention as log_retention
from townwatch.store.log.guard import LogGuard, forget_healed, known_losses, note_losses
from townwatch.store.log.head_memory import HeadMemory
from townwatch.store.log.head_rows import load_heads
from townwatch.store.log.heads import Loss
from townwatch.store.log.intake import plan_batch
from townwatch.store.log.lock import lock_file
from townwatch.store.log.port import nobody_asks
from townwatch.store.log.quarantine import clean_small_tables, quarantined, set_event_aside
from townwatch.store.log.read import LogReader
from townwatch.store.log.records import (
    AppendResult,
    DiskFull,
    Head,
    LogError,
    LogRecord,
    Lost,
    Removed,
    Retention,
)
from townwatch.store.log.reserve import RESERVE_BYTES, Reserve
from townwatch.store.log.schema import BUSY_MS, Synchronous, connect_writer, translate
from townwatch.store.log.writing import write_plan

T = TypeVar("T")

_SAVE_SNAPSHOT = """
INSERT INTO snapshot (key, position, body) VALUES (?,?,?)
ON CONFLICT (key) DO UPDATE SET position = excluded.position, body = excluded.body
"""


def _wall_clock() -> float:
    return time.time() * 1000


class EventLog(HeadMemory, LogReader):
    """The log, open for writing and reading. Make one with `open`; close it, or use it in a ``with``.

    Errors of every writing call: `DiskFull` and `LogBroken`; nothing of the call is stored then, and the next one may
    succeed.
    """

    def __init__(
        self,
        path: Path,
        lock_descriptor: int,
        connect: Callable[[], sqlite3.Connection],
        now_ms: Callable[[], float],
        reserve: Reserve,
    ) -> None:
        super().__init__(path)
        self._lock_descriptor = lock_descriptor
        self._connect = connect
        self._now_ms = now_ms
        self._reserve = reserve
        self._writer = connect()
        self._lock = threading.Lock()
        self._heads: dict[str, Head] = {}
        self._villages: dict[str, int] = {}
        self._next_key = 1
        self._next_position = 1
        self._guard = LogGuard(path)
        self.on_removed: Callable[[Sequence[str]], None] = nobody_asks
        try:
            self._recover()
        except sqlite3.Error as error:
            raise translate(error, path) from error
        self._reserve.hold()

    @classmethod
    def open(
        cls,
        path: Path | str,
        synchronous: Synchronous = "full",
        now_ms: Callable[[], float] = _wall_clock,
        reserve_bytes: int = RESERVE_BYTES,
    ) -> Self:
        """Open the log, make it where it is not there. Raises `LogInUse`, `LogTooNew`, `LogBroken`, `DiskFull`.

        `synchronous`: "full" syncs the disk at each commit. "normal" syncs at checkpoints only: a crash of the process
        loses nothing, a loss of power the last commits, acknowledged or not. `reserve_bytes`: kept back on the disk for
        deleting when it is full; 0 for none.
        """
        place = Path(path)
        place.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        descriptor = lock_file(place)
        reserve = Reserve(place.with_name(place.name + ".reserve"), reserve_bytes)

        def make() -> Self:
            return cls(place, descriptor, lambda: connect_writer(place, synchronous), now_ms, reserve)

        try:
            try:
                return make()
            except LogError:  # SQLite needs some room even to read
                if not reserve.release_when_full():
                    raise
                return make()
        except BaseException:
            os.close(descriptor)
            raise

    @property
    def reserve_in_use(self) -> int:
        """Bytes that are free only because the reserve was given back to a full disk."""
        return self._reserve.given_back

    def make_room(self) -> bool:
        """Release the reserve if the disk is full, so that other writes succeed; return True if it was released."""
        return self._reserve.release_when_full()

    # --- writing ----------------------------------------------------------------------------------------------------

    def append(self, batch: Sequence[LogRecord], lost: Iterable[Lost] = ()) -> AppendResult:
        """Store what is new of the batch in one commit; durable when it returns.

        A record whose (session, seq) the log has is dropped and counted. A jump in the numbers leaves a hole:
        `last_seq` stays before it until the missing events come, or until they are given up with `lost`.
        """
        gone = tuple(lost)
        with self._lock:
            plan = plan_batch(self._heads, batch, gone, self._next_key, self._next_position)
            changed = {s: head for s, head in plan.heads.items() if head != self._heads.get(s) and head.max_seq}
            if changed:
                villages = self._village_keys(changed.values())
                with self._transaction() as writer:
                    write_plan(writer, plan, changed, villages, gone, int(self._now_ms()))
                self._villages.update(villages)
                self._guard.check()  # before anything is acknowledged: what went into a removed file is not kept
                self._heads.update(changed)
                self._next_key = max(self._next_key, *(head.key + 1 for head in changed.values()))
                self._next_position += len(plan.stored)
        return AppendResult(heads=plan.heads, stored=plan.stored, repeats=plan.repeats, refused=plan.refused)

    def watch(self) -> None:
        """Once a second: keep how far each session is beside the log. Raises `LogReplaced` where files changed."""
        with self._lock:
            self._guard.check()
        self._guard.keep(self._heads.copy(), self.position)

    def set_aside(self, position: int, why: str) -> None:
        """Move an event that cannot be read to the quarantine; its number is declared lost."""
        with self._lock:
            with self._transaction() as writer:
                set_event_aside(writer, position, why)
                self._guard.quarantined = quarantined(writer)
            self._heads = {head.session_id: head for head in load_heads(self._writer, "")}

    def note_loss(self, loss: Loss) -> bool:
        """Keep that acknowledged events are missing, as a runner knows; False where that was known."""
        with self._lock, self._transaction() as writer:
            return bool(note_losses(writer, [loss]))

    def save_snapshots(self, snapshots: Mapping[str, tuple[int, bytes]]) -> None:
        """Store (position, body) by key, all in one commit; what the keys had before is replaced.

        A snapshot that was on its way while its session (``session:<id>``) was deleted is dropped.
        """
        with self._lock:
            kept = {key: one for key, one in snapshots.items() if not self.deleted(key.removeprefix("session:"))}
            rows = [(key, position, body) for key, (position, body) in kept.items()]
            with self._transaction() as writer:
                writer.executemany(_SAVE_SNAPSHOT, rows)

    def retain(
        self,
        village_id: str,
        keep: Retention,
        chunk: int = log_retention.CHUNK,
        spare: Iterable[str] = (),
    ) -> Removed:
        """Take at most `chunk` of the oldest events of a village that are beyond `keep`, in one short commit.

        Call again while `more`. `spare`: sessions that are never touched (live ones).
        """
        village = self._villages.get(village_id)
        if village is None:
            return Removed(0, 0, False)
        with self._lock:
            spared = [self._heads[s].key for s in spare if s in self._heads]
            removed, touched = self._forget(
                lambda writer: log_retention.retain(writer, village, keep, self._now_ms(), chunk, spared)
            )
            sessions = self._reload(touched)
        if sessions:
            self.on_removed(sessions)
        return removed

    def delete_session(self, session_id: str, chunk: int = log_retention.CHUNK) -> Removed:
        """Delete at most `chunk` events of a session. Call again while `more`.

        Its head stays, hidden: events of it that still come are dropped (and acknowledged), not stored anew.
        """
        with self._lock:
            head = self._heads.get(session_id)
            if head is None:
                return Removed(0, 0, False)
            removed = self._forget(lambda writer: log_retention.delete_session(writer, head.key, session_id, chunk))
            self._reload([head.key])
        self.on_removed([session_id])
        return removed

    def vacuum(self, pages: int = 256) -> int:
        """Give at most `pages` free pages back to the file system; returns how many are left to give."""
        with self._lock:
            try:
                # Each row of this PRAGMA frees one page: it does nothing unless it is read to the end.
                self._writer.execute(f"PRAGMA incremental_vacuum({int(pages)})").fetchall()
                left = self._writer.execute("PRAGMA freelist_count").fetchone()[0]
                self._reserve.hold()
                return left
            except sqlite3.Error as error:
                raise translate(error, self._path) from error

    def checkpoint(self) -> None:
        """Copy the WAL into the database as far as readers allow, without waiting for them."""
        with self._lock:
            try:
                self._writer.execute("PRAGMA wal_checkpoint(PASSIVE)").fetchall()
            except sqlite3.Error as error:
                raise translate(error, self._path) from error

    # --- what is there ------------------------------------------------------------------------------------------------

    @property
    def quarantined(self) -> int:
        """Number of rows that could not be read and are set aside."""
        return self._guard.quarantined

    @property
    def replaced(self) -> str | None:
        """Description of what happened to the open files; None while they are the ones that were opened."""
        return self._guard.replaced

    def losses(self) -> list[Loss]:
        """Events that were acknowledged and are missing, as far as is known."""
        with self.connection() as connection:
            return known_losses(connection)

    def village_sizes(self) -> dict[str, tuple[int, int]]:
        """Village id → (events, bytes of bodies) that are stored."""
        with self.connection() as connection:
            rows = connection.execute("SELECT village_id, events, bytes FROM village").fetchall()
        return {village_id: (events, size) for village_id, events, size in rows}

    def close(self) -> None:
        """Copy the WAL into the database and let go of the file. A second close does nothing."""
        if self._closed:
            return
        super().close()
        with self._lock:
            if self._guard.replaced is None:
                self._guard.keep(self._heads, self.position)
            self._writer.close()
            self._guard.files.close()
            os.close(self._lock_descriptor)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, tb: TracebackType | None) -> None:
        self.close()

    # --- inside -------------------------------------------------------------------------------------------------------

    def _recover(self) -> None:
        """Set unreadable rows aside, load what is left, and note what was acknowledged and is missing."""
        with self._transaction() as writer:
            clean_small_tables(writer)
            forget_healed(writer)
            self._guard.quarantined = quarantined(writer)
        self._load()
        with self._transaction() as writer:
            self._next_position = max(self._next_position, self._guard.compare(writer, self._heads) + 1)
        self._guard.check()
        self._guard.keep(self._heads, self.position)

    def _load(self) -> None:
        """Heads and counters from the tables: what it costs depends on the sessions, not on the events."""
        self._villages = dict(self._writer.execute("SELECT village_id, id FROM village").fetchall())
        self._heads = {head.session_id: head for head in load_heads(self._writer, "")}
        (used,) = self._writer.execute("SELECT coalesce(max(session), 0) FROM event").fetchone()
        # Also beyond the key of a head that is set aside: its events are still there.
        self._next_key = max(used, max((head.key for head in self._heads.values()), default=0)) + 1
        (newest,) = self._writer.execute("SELECT coalesce(max(position), 0) FROM event").fetchone()
        (kept,) = self._writer.execute("SELECT value FROM meta WHERE key = 'next_position'").fetchone()
        self._next_position = max(newest + 1, kept)

    def _reload(self, keys: Iterable[int]) -> list[str]:
        heads = [head for key in keys for head in load_heads(self._writer, f"WHERE h.id = {int(key)}")]
        self._heads.update({head.session_id: head for head in heads})
        return [head.session_id for head in heads]

    def _village_keys(self, heads: Iterable[Head]) -> dict[str, int]:
        following = max(self._villages.values(), default=0) + 1
        wanted = dict.fromkeys(head.village_id for head in heads)
        new = [village_id for village_id in wanted if village_id not in self._villages]
        return self._villages | {village_id: following + i for i, village_id in enumerate(new)}

    def _forget(self, work: Callable[[sqlite3.Connection], T]) -> T:
        """Run one transaction that makes room; on a full disk it may use what is kept back for that."""
        try:
            with self._transaction() as writer:
                self._keep_position(writer)
                return work(writer)
        except DiskFull:
            if not self._reserve.release():
                raise
            self._shrink_wal()
            with self._transaction() as writer:
                self._keep_position(writer)
                return work(writer)

    def _keep_position(self, writer: sqlite3.Connection) -> None:
        """Positions are never given twice, even when the newest events were deleted."""
        writer.execute("UPDATE meta SET value = ? WHERE key = 'next_position'", (self._next_position,))

    @contextmanager
    def _transaction(self) -> Generator[sqlite3.Connection]:
        if self._guard.replaced is not None:
            self._guard.check()  # raises: nothing more goes into files that no restart finds
        try:
            self._writer.execute("BEGIN IMMEDIATE")
            yield self._writer
            self._writer.execute("COMMIT")
        except BaseException as error:
            self._roll_back()
            if isinstance(error, sqlite3.Error):
                raise translate(error, self._path) from error
            raise

    def _roll_back(self) -> None:
        """Roll back the open transaction. A connection on which that fails is replaced."""
        try:
            if self._writer.in_transaction:
                self._writer.execute("ROLLBACK")
        except sqlite3.Error:
            self._writer.close()
            self._writer = self._connect()

    def _shrink_wal(self) -> None:
        """Copy the WAL into the database and truncate it. Does nothing while readers are in the way."""
        self._guard.files.wal_was_cut()
        with suppress(sqlite3.Error):
            self._writer.execute("PRAGMA busy_timeout = 100")  # readers may be in the way: the next time, then
            self._writer.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchall()
        with suppress(sqlite3.Error):
            self._writer.execute(f"PRAGMA busy_timeout = {BUSY_MS}")

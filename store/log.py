"""The durable event log: append in one commit, read back, forget the old.

One file (``journal.db``), one writer. What `append` has returned for survives a crash of the process and, with
``synchronous="full"``, a loss of power. The pair (session, seq) is the identity of an event: a repeat is dropped.

Everything here is synchronous and may be called from any thread: writing calls wait for each other on a lock, so give
them one thread of their own; reading calls do not wait for the writer.
"""

import fcntl
import json
import os
import sqlite3
import threading
import time
from collections.abc import Callable, Generator, Iterable, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from types import TracebackType
from typing import Self, TypeVar

from store import log_retention
from store.log_intake import Plan, plan_batch
from store.log_read import LogReader
from store.log_records import AppendResult, DiskFull, Head, LogInUse, LogRecord, Lost, Removed, Retention
from store.log_reserve import RESERVE_BYTES, Reserve
from store.log_schema import BUSY_MS, Synchronous, connect_writer, translate

T = TypeVar("T")

_INSERT = "INSERT INTO event (position, session, seq, village, type, ts, stored_at, body) VALUES (?,?,?,?,?,?,?,?)"
_SAVE_HEAD = """
INSERT INTO session_head (id, session_id, village, first_seq, max_seq, events, bytes, first_ts, last_ts, holes, deleted)
VALUES (?,?,?,?,?,?,?,?,?,?,?)
ON CONFLICT (id) DO UPDATE SET first_seq = excluded.first_seq, max_seq = excluded.max_seq, events = excluded.events,
  bytes = excluded.bytes, first_ts = excluded.first_ts, last_ts = excluded.last_ts, holes = excluded.holes,
  deleted = excluded.deleted
"""
_SAVE_VILLAGE = """
INSERT INTO village (id, village_id, events, bytes) VALUES (?,?,?,?)
ON CONFLICT (id) DO UPDATE SET events = events + excluded.events, bytes = bytes + excluded.bytes
"""
_SAVE_SNAPSHOT = """
INSERT INTO snapshot (key, position, body) VALUES (?,?,?)
ON CONFLICT (key) DO UPDATE SET position = excluded.position, body = excluded.body
"""


def _wall_clock() -> float:
    return time.time() * 1000


class EventLog(LogReader):
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
        self._load()
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
        descriptor = _lock_file(place)
        reserve = Reserve(place.with_name(place.name + ".reserve"), reserve_bytes)
        try:
            return cls(place, descriptor, lambda: connect_writer(place, synchronous), now_ms, reserve)
        except BaseException:
            os.close(descriptor)
            raise

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
                    self._write(writer, plan, changed, villages, gone)
                self._villages.update(villages)
                self._heads.update(changed)
                self._next_key = max(self._next_key, *(head.key + 1 for head in changed.values()))
                self._next_position += len(plan.stored)
        return AppendResult(heads=plan.heads, stored=plan.stored, repeats=plan.repeats, refused=plan.refused)

    def save_snapshots(self, snapshots: Mapping[str, tuple[int, bytes]]) -> None:
        """Store (position, body) by key, all in one commit; what the keys had before is replaced."""
        rows = [(key, position, body) for key, (position, body) in snapshots.items()]
        with self._lock, self._transaction() as writer:
            writer.executemany(_SAVE_SNAPSHOT, rows)

    def save_snapshot(self, key: str, position: int, body: bytes) -> None:
        """Store one snapshot."""
        self.save_snapshots({key: (position, body)})

    def delete_snapshots(self, keys: Iterable[str]) -> None:
        """Forget snapshots; keys that are not there are no error."""
        rows = [(key,) for key in keys]
        with self._lock, self._transaction() as writer:
            writer.executemany("DELETE FROM snapshot WHERE key = ?", rows)

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
            self._reload(touched)
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
        """Copy the WAL into the database as far as readers allow, without waiting for anybody."""
        with self._lock:
            try:
                self._writer.execute("PRAGMA wal_checkpoint(PASSIVE)").fetchall()
            except sqlite3.Error as error:
                raise translate(error, self._path) from error

    # --- what is there ------------------------------------------------------------------------------------------------

    def heads(self) -> dict[str, Head]:
        """Session id → head, of all sessions that were not deleted. From memory."""
        return {session_id: head for session_id, head in self._heads.copy().items() if not head.deleted}

    def head(self, session_id: str) -> Head | None:
        """One session's head; None where it is not known or was deleted."""
        head = self._heads.get(session_id)
        return None if head is None or head.deleted else head

    def deleted(self, session_id: str) -> bool:
        """Whether this session was here and was deleted. From memory."""
        head = self._heads.get(session_id)
        return head is not None and head.deleted

    @property
    def position(self) -> int:
        """The position of the newest event, 0 in an empty log."""
        return self._next_position - 1

    def village_sizes(self) -> dict[str, tuple[int, int]]:
        """Village id → (events, bytes of bodies) that are stored."""
        with self.connection() as connection:
            rows = connection.execute("SELECT village_id, events, bytes FROM village").fetchall()
        return {village_id: (events, size) for village_id, events, size in rows}

    def file_bytes(self) -> int:
        """What the log takes on the disk, its WAL included."""
        files = (self._path, self._path.with_name(self._path.name + "-wal"))
        return sum(file.stat().st_size for file in files if file.exists())

    def close(self) -> None:
        """Copy the WAL into the database and let go of the file. A second close does nothing."""
        if self._closed:
            return
        super().close()
        with self._lock:
            self._writer.close()
            os.close(self._lock_descriptor)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, tb: TracebackType | None) -> None:
        self.close()

    # --- inside -------------------------------------------------------------------------------------------------------

    def _load(self) -> None:
        """Heads and counters from the tables: what it costs depends on the sessions, not on the events."""
        self._villages = dict(self._writer.execute("SELECT village_id, id FROM village").fetchall())
        self._heads = {head.session_id: head for head in _load_heads(self._writer, "")}
        self._next_key = max((head.key for head in self._heads.values()), default=0) + 1
        (newest,) = self._writer.execute("SELECT coalesce(max(position), 0) FROM event").fetchone()
        (kept,) = self._writer.execute("SELECT value FROM meta WHERE key = 'next_position'").fetchone()
        self._next_position = max(newest + 1, kept)

    def _reload(self, keys: Iterable[int]) -> None:
        for key in keys:
            for head in _load_heads(self._writer, f"WHERE h.id = {int(key)}"):
                self._heads[head.session_id] = head

    def _village_keys(self, heads: Iterable[Head]) -> dict[str, int]:
        following = max(self._villages.values(), default=0) + 1
        wanted = dict.fromkeys(head.village_id for head in heads)
        new = [village_id for village_id in wanted if village_id not in self._villages]
        return self._villages | {village_id: following + i for i, village_id in enumerate(new)}

    def _write(
        self,
        writer: sqlite3.Connection,
        plan: Plan,
        changed: Mapping[str, Head],
        villages: Mapping[str, int],
        lost: Sequence[Lost],
    ) -> None:
        heads, now = plan.heads, int(self._now_ms())
        for village_id in {head.village_id for head in changed.values()}:
            writer.execute(_SAVE_VILLAGE, (villages[village_id], village_id, *plan.villages.get(village_id, (0, 0))))
        writer.executemany(_SAVE_HEAD, [_head_row(head, villages[head.village_id]) for head in changed.values()])
        writer.executemany(
            _INSERT,
            [
                (r.position, heads[r.session_id].key, r.seq, villages[r.village_id], r.type, r.ts_ms, now, r.body)
                for r in plan.stored
            ],
        )
        rows = [(heads[g.session_id].key, g.from_seq, g.to_seq, g.reason) for g in lost if g.session_id in heads]
        if rows:
            writer.executemany("INSERT INTO lost (session, from_seq, to_seq, reason) VALUES (?,?,?,?)", rows)

    def _forget(self, work: Callable[[sqlite3.Connection], T]) -> T:
        """One transaction that makes room; on a full disk it may use what is kept back for that."""
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
        """To where we were. A connection that cannot even do that is replaced."""
        try:
            if self._writer.in_transaction:
                self._writer.execute("ROLLBACK")
        except sqlite3.Error:
            self._writer.close()
            self._writer = self._connect()

    def _shrink_wal(self) -> None:
        """What the WAL holds goes into the database and takes less there. Tried, no more."""
        with suppress(sqlite3.Error):
            self._writer.execute("PRAGMA busy_timeout = 100")  # readers may be in the way: the next time, then
            self._writer.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchall()
        with suppress(sqlite3.Error):
            self._writer.execute(f"PRAGMA busy_timeout = {BUSY_MS}")


def _lock_file(path: Path) -> int:
    """The lock is a file beside: SQLite's own locks come and go with each transaction."""
    descriptor = os.open(f"{path}.lock", os.O_CREAT | os.O_RDWR | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        os.close(descriptor)
        raise LogInUse(str(path)) from None
    return descriptor


def _head_row(head: Head, village: int) -> tuple[object, ...]:
    holes = json.dumps(head.holes) if head.holes else None
    return (
        head.key, head.session_id, village, head.first_seq, head.max_seq, head.events, head.bytes,
        head.first_ts_ms, head.last_ts_ms, holes, int(head.deleted),
    )  # fmt: skip


def _load_heads(connection: sqlite3.Connection, where: str) -> list[Head]:
    rows = connection.execute(
        "SELECT h.id, h.session_id, v.village_id, h.first_seq, h.max_seq, h.events, h.bytes, h.first_ts, h.last_ts,"
        f" h.holes, h.deleted FROM session_head h JOIN village v ON v.id = h.village {where}"
    )
    return [
        Head(
            key=key, session_id=session_id, village_id=village_id, first_seq=first, max_seq=highest, events=events,
            bytes=size, first_ts_ms=first_ts, last_ts_ms=last_ts,
            holes=tuple((low, high) for low, high in json.loads(holes)) if holes else (), deleted=bool(deleted),
        )
        for key, session_id, village_id, first, highest, events, size, first_ts, last_ts, holes, deleted in rows
    ]  # fmt: skip

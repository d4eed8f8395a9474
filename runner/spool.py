"""The runner's spool: every event is on this disk before it is sent, and stays until the service has it.

One SQLite file. The spool gives out the numbers: +1 per event within a session, never used again, also after a kill -9.
It survives the death of the process (WAL, synchronous NORMAL); after a loss of power the very last events may be
missing, and they were never sent. Bounded: beyond its limit the oldest terminal output is emptied (the event stays,
with its number, so that no hole appears; the first of them tells what is gone), structured events never.
"""

import json
import sqlite3
import threading
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import attrs

from contracts.codec import encode
from contracts.events import Gap

DEFAULT_LIMIT_BYTES = 256 << 20
MARKER = "\r\n\x1b[7m[ {kilobytes} KB of output were dropped here: the spool was full ]\x1b[0m\r\n"

_SCHEMA = """
CREATE TABLE IF NOT EXISTS event (
  session TEXT NOT NULL, seq INTEGER NOT NULL, type TEXT NOT NULL, size INTEGER NOT NULL, body BLOB NOT NULL,
  PRIMARY KEY (session, seq)
) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS session (
  session TEXT PRIMARY KEY, last_seq INTEGER NOT NULL, acked INTEGER NOT NULL, state TEXT NOT NULL, started_ms
  INTEGER NOT NULL, village TEXT NOT NULL, provider TEXT NOT NULL, pid INTEGER NOT NULL, live INTEGER NOT NULL
) WITHOUT ROWID;
"""


@attrs.frozen(kw_only=True)
class SpoolSession:
    """A session the spool knows. `live`: its SESSION_ENDED is not in the spool yet. Times in epoch ms."""

    session_id: str
    last_seq: int
    acked: int
    state: str
    started_ms: int
    village: str
    provider: str
    pid: int
    live: bool


@attrs.frozen
class Stored:
    """An event waiting to be acknowledged."""

    session_id: str
    seq: int
    type: str
    body: bytes


class Spool:
    """Synchronous, for worker threads; calls wait for each other on a lock."""

    def __init__(self, path: Path, limit_bytes: int = DEFAULT_LIMIT_BYTES) -> None:
        path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        self._lock = threading.Lock()
        self._limit = limit_bytes
        self._db = sqlite3.connect(path, check_same_thread=False, isolation_level=None)
        path.chmod(0o600)
        for statement in ("journal_mode=WAL", "synchronous=NORMAL", "busy_timeout=5000", "wal_autocheckpoint=2000"):
            self._db.execute(f"PRAGMA {statement}")
        self._db.executescript(_SCHEMA)
        (self._bytes,) = self._db.execute("SELECT coalesce(sum(size), 0) FROM event").fetchone()

    def open_session(self, session_id: str, *, village: str, provider: str, started_ms: int) -> None:
        """A new session; numbers begin at 1. Opening one that is there again changes nothing."""
        with self._lock:
            self._db.execute(
                "INSERT OR IGNORE INTO session VALUES (?, 0, 0, 'CREATED', ?, ?, ?, 0, 1)",
                (session_id, started_ms, village, provider),
            )

    def note(self, session_id: str, *, state: str | None = None, pid: int | None = None, live: bool = True) -> None:
        """What a restarted runner must know of a session."""
        with self._lock:
            self._db.execute(
                "UPDATE session SET state = coalesce(?, state), pid = coalesce(?, pid), live = ? WHERE session = ?",
                (state, pid, int(live), session_id),
            )

    def append(self, events: Sequence[tuple[str, dict[str, Any]]]) -> list[Stored]:
        """Number the events (session id, event without seq) and write them, all in one commit.

        Raises KeyError for a session that was never opened, `sqlite3.Error` when the disk refuses (nothing is written).
        """
        with self._lock:
            self._db.execute("BEGIN IMMEDIATE")
            try:
                stored = self._number(events)
                self._db.executemany(
                    "INSERT INTO event VALUES (?, ?, ?, ?, ?)",
                    [(one.session_id, one.seq, one.type, len(one.body), one.body) for one in stored],
                )
                self._db.execute("COMMIT")
            except BaseException:
                self._db.execute("ROLLBACK")
                raise
            self._bytes += sum(len(one.body) for one in stored)
            if self._bytes > self._limit:
                self._thin_out()
        return stored

    def _number(self, events: Sequence[tuple[str, dict[str, Any]]]) -> list[Stored]:
        stored: list[Stored] = []
        for session_id, event in events:
            row = self._db.execute(
                "UPDATE session SET last_seq = last_seq + 1 WHERE session = ? RETURNING last_seq", (session_id,)
            ).fetchone()
            if row is None:
                raise KeyError(session_id)
            stored.append(Stored(session_id, row[0], event["type"], encode({**event, "seq": row[0]})))
        return stored

    def unacked(self, session_id: str, after: int, limit: int) -> list[Stored]:
        """Events with seq > `after`, oldest first."""
        with self._lock:
            rows = self._db.execute(
                "SELECT seq, type, body FROM event WHERE session = ? AND seq > ? ORDER BY seq LIMIT ?",
                (session_id, after, limit),
            ).fetchall()
        return [Stored(session_id, seq, kind, bytes(body)) for seq, kind, body in rows]

    def ack(self, session_id: str, seq: int) -> None:
        """The service has everything up to `seq`: forget it."""
        with self._lock:
            (gone,) = self._db.execute(
                "SELECT coalesce(sum(size), 0) FROM event WHERE session = ? AND seq <= ?", (session_id, seq)
            ).fetchone()
            self._db.execute("BEGIN IMMEDIATE")
            self._db.execute("DELETE FROM event WHERE session = ? AND seq <= ?", (session_id, seq))
            self._db.execute("UPDATE session SET acked = max(acked, ?) WHERE session = ?", (seq, session_id))
            self._db.execute("COMMIT")
            self._bytes -= gone

    def drop(self, session_id: str, seq: int) -> None:
        """The service will never take this event (nack)."""
        with self._lock:
            self._db.execute("DELETE FROM event WHERE session = ? AND seq = ?", (session_id, seq))

    def forget(self, session_id: str) -> None:
        """A session that ended and is acknowledged to its end needs no line here any more."""
        with self._lock:
            self._db.execute("DELETE FROM session WHERE session = ? AND live = 0 AND acked >= last_seq", (session_id,))

    def sessions(self) -> list[SpoolSession]:
        """All that are not forgotten, oldest first."""
        names = [field.name for field in attrs.fields(SpoolSession)]
        columns = ", ".join(["session", *names[1:]])
        with self._lock:
            rows = self._db.execute(f"SELECT {columns} FROM session ORDER BY started_ms").fetchall()
        return [SpoolSession(**{**dict(zip(names, row[:-1], strict=False)), "live": bool(row[-1])}) for row in rows]  # pyright: ignore

    def size(self) -> tuple[int, int]:
        """(events, bytes) waiting."""
        with self._lock:
            (events,) = self._db.execute("SELECT count(*) FROM event").fetchone()
        return events, self._bytes

    def close(self) -> None:
        with self._lock:
            self._db.close()

    def _thin_out(self) -> None:
        """Empty the oldest terminal output until a tenth of the limit is free."""
        goal = self._limit - self._limit // 10
        rows = self._db.execute(
            "SELECT e.session, e.seq, e.size, e.body FROM event e JOIN session s ON s.session = e.session"
            " WHERE e.type = 'TERMINAL_CHUNK' AND e.size > 512 ORDER BY s.started_ms, e.seq"
        )
        runs: dict[str, list[tuple[int, dict[str, Any], int]]] = {}
        freed = 0
        for session_id, seq, size, body in rows:
            if self._bytes - freed <= goal:
                break
            runs.setdefault(session_id, []).append((seq, json.loads(body), size))
            freed += size - 200
        for session_id, run in runs.items():
            self._empty(session_id, run)

    def _empty(self, session_id: str, run: Sequence[tuple[int, dict[str, Any], int]]) -> None:
        dropped = sum(len(event["data"].encode()) for _, event, _ in run)
        first, last = run[0][0], run[-1][0]
        for seq, event, size in run:
            emptied = {**event, "data": ""}
            if seq == first:
                gap = Gap(from_seq=first, to_seq=last, bytes=dropped)
                emptied |= {"data": MARKER.format(kilobytes=max(1, dropped // 1000)), "gap": gap}
            body = encode(emptied)
            self._db.execute(
                "UPDATE event SET body = ?, size = ? WHERE session = ? AND seq = ?", (body, len(body), session_id, seq)
            )
            self._bytes += len(body) - size

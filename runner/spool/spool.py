"""The runner's spool: every event is on this disk before it is sent, and stays until the service has it.

One SQLite file. The spool gives out the numbers: +1 per event within a session, never used again, also after a kill -9.
It survives kill -9 and a loss of power (WAL, synchronous FULL): a number that the service has seen is never given out
twice, for the service would take the second event for a repeat of the first. Bounded: beyond its limit the oldest
terminal output is dropped, and the first event of each dropped run tells in its place which numbers and how many bytes
are gone; structured events never are.
"""

import json
import sqlite3
import threading
from collections.abc import Generator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, cast

import attrs
import structlog

from townwatch.contracts.codec import encode, to_json_values
from townwatch.contracts.events import Gap

log = structlog.get_logger("spool")

DEFAULT_LIMIT_BYTES = 256 << 20
MARKER = "\r\n\x1b[7m[ {kilobytes} KB of output were dropped here: the spool was full ]\x1b[0m\r\n"
MARKER_BYTES = 400
"""About what a marker's event takes."""

_SCHEMA = """
CREATE TABLE IF NOT EXISTS event (
  session TEXT NOT NULL, seq INTEGER NOT NULL, type TEXT NOT NULL, size INTEGER NOT NULL, body BLOB NOT NULL,
  PRIMARY KEY (session, seq)
) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS session (
  session TEXT PRIMARY KEY, last_seq INTEGER NOT NULL, acked INTEGER NOT NULL, state TEXT NOT NULL, started_ms
  INTEGER NOT NULL, village TEXT NOT NULL, provider TEXT NOT NULL, pid INTEGER NOT NULL, live INTEGER NOT NULL
) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS waiting (session TEXT NOT NULL, approval TEXT NOT NULL, PRIMARY KEY (session, approval))
  WITHOUT ROWID;
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


@attrs.frozen
class _Chunk:
    """A piece of terminal output in the spool; `size` is its event's, in bytes."""

    session_id: str
    seq: int
    size: int
    event: dict[str, Any]

    def is_before(self, other: "_Chunk") -> bool:
        return self.session_id == other.session_id and self.seq + 1 == other.seq


class Spool:
    """Synchronous, for worker threads; calls wait for each other on a lock."""

    def __init__(self, path: Path, limit_bytes: int = DEFAULT_LIMIT_BYTES) -> None:
        path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        self._lock = threading.Lock()
        self._limit = limit_bytes
        self._db = sqlite3.connect(path, check_same_thread=False, isolation_level=None)
        path.chmod(0o600)
        for statement in ("journal_mode=WAL", "synchronous=FULL", "busy_timeout=5000", "wal_autocheckpoint=2000"):
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

    def note(self, session_id: str, *, pid: int) -> None:
        """The process that a restarted runner must look for. State and end it knows from the events themselves."""
        with self._lock:
            self._db.execute("UPDATE session SET pid = ? WHERE session = ?", (pid, session_id))

    def append(self, events: Sequence[tuple[str, dict[str, Any]]]) -> list[Stored]:
        """Number the events (session id, event without seq) and write them, all in one commit, and what a restarted
        runner must know of them: the session's state, and whether its end was told.

        Raises KeyError for a session that was never opened, `sqlite3.Error` when the disk refuses (nothing is written).
        """
        with self._lock:
            with self._transaction():
                stored = self._number(events)
                self._db.executemany(
                    "INSERT INTO event VALUES (?, ?, ?, ?, ?)",
                    [(one.session_id, one.seq, one.type, len(one.body), one.body) for one in stored],
                )
                for session_id, event in events:
                    self._follow(session_id, event)
            self._bytes += sum(len(one.body) for one in stored)
            if self._bytes > self._limit:
                self._make_room()
        return stored

    def _make_room(self) -> None:
        """Delete what may go. An error here does not fail the append: its events would be written twice."""
        try:
            with self._transaction():
                freed = self._thin_out()
            self._bytes -= freed
        except sqlite3.Error as error:
            log.error("spool_not_thinned", reason=str(error))

    @contextmanager
    def _transaction(self) -> Generator[None, None, None]:
        self._db.execute("BEGIN IMMEDIATE")
        try:
            yield
            self._db.execute("COMMIT")
        except BaseException:
            if self._db.in_transaction:  # a full disk rolls back by itself
                self._db.execute("ROLLBACK")
            raise

    def _follow(self, session_id: str, event: dict[str, Any]) -> None:
        """The session's line says what its events say, in the same commit: a kill -9 finds both or neither."""
        match event["type"]:
            case "SESSION_STATE_CHANGED":
                self._db.execute("UPDATE session SET state = ? WHERE session = ?", (event["newState"], session_id))
            case "SESSION_ENDED":
                self._db.execute("UPDATE session SET live = 0 WHERE session = ?", (session_id,))
                self._db.execute("DELETE FROM waiting WHERE session = ?", (session_id,))
            case "APPROVAL_REQUESTED":
                asked = _plain(to_json_values(event["approval"])["approvalId"])
                self._db.execute("INSERT OR IGNORE INTO waiting VALUES (?, ?)", (session_id, asked))
            case "APPROVAL_RESOLVED":
                answered = (session_id, _plain(event["approvalId"]))
                self._db.execute("DELETE FROM waiting WHERE session = ? AND approval = ?", answered)
            case _:
                pass

    def _number(self, events: Sequence[tuple[str, dict[str, Any]]]) -> list[Stored]:
        stored: list[Stored] = []
        for session_id, event in events:
            row = self._db.execute(
                "UPDATE session SET last_seq = last_seq + 1 WHERE session = ? RETURNING last_seq", (session_id,)
            ).fetchone()
            if row is None:
                raise KeyError(session_id)
            stored.append(Stored(session_id, row[0], event["type"], _encoded({**event, "seq": row[0]})))
        return stored

    def unacked(self, session_id: str, after: int, limit: int, most_bytes: int = 2**31) -> list[Stored]:
        """Events with seq > `after`, oldest first; none after the one with which they are `most_bytes`."""
        found: list[Stored] = []
        size = 0
        with self._lock:
            rows = self._db.execute(
                "SELECT seq, type, body FROM event WHERE session = ? AND seq > ? ORDER BY seq LIMIT ?",
                (session_id, after, limit),
            )
            for seq, kind, body in rows:
                found.append(Stored(session_id, seq, kind, bytes(body)))
                size += len(body)
                if size >= most_bytes:
                    break
            rows.close()
        return found

    def ack(self, session_id: str, seq: int) -> None:
        """The service has everything up to `seq`: forget it."""
        with self._lock:
            (gone,) = self._db.execute(
                "SELECT coalesce(sum(size), 0) FROM event WHERE session = ? AND seq <= ?", (session_id, seq)
            ).fetchone()
            with self._transaction():
                self._db.execute("DELETE FROM event WHERE session = ? AND seq <= ?", (session_id, seq))
                self._db.execute(  # numbers that the service has are used up, whatever this disk remembers
                    "UPDATE session SET acked = max(acked, ?1), last_seq = max(last_seq, ?1) WHERE session = ?2",
                    (seq, session_id),
                )
            self._bytes -= gone

    def drop(self, session_id: str, seq: int) -> None:
        """The service will never take this event (nack)."""
        with self._lock:
            row = self._db.execute(
                "DELETE FROM event WHERE session = ? AND seq = ? RETURNING size", (session_id, seq)
            ).fetchone()
            self._bytes -= row[0] if row is not None else 0

    def forget(self, session_id: str) -> None:
        """A session that ended, and of which nothing waits to be sent, needs no line here any more."""
        with self._lock:
            self._db.execute(
                "DELETE FROM session WHERE session = ? AND live = 0"
                " AND NOT EXISTS (SELECT 1 FROM event WHERE event.session = session.session)",
                (session_id,),
            )

    def waiting(self, session_id: str) -> list[str]:
        """Approvals of a session that were asked for and not resolved."""
        with self._lock:
            rows = self._db.execute("SELECT approval FROM waiting WHERE session = ? ORDER BY approval", (session_id,))
            return [approval_id for (approval_id,) in rows]

    def sessions(self) -> list[SpoolSession]:
        """Return all sessions that are not forgotten, oldest first."""
        names = [field.name for field in attrs.fields(SpoolSession)]
        columns = ", ".join(["session", *names[1:]])
        with self._lock:
            rows = self._db.execute(f"SELECT {columns} FROM session ORDER BY started_ms").fetchall()
        return [SpoolSession(**{**dict(zip(names, row[:-1], strict=False)), "live": bool(row[-1])}) for row in rows]  # pyright: ignore

    def size(self) -> tuple[int, int]:
        """Return (events, bytes) that wait."""
        with self._lock:
            (events,) = self._db.execute("SELECT count(*) FROM event").fetchone()
        return events, self._bytes

    def close(self) -> None:
        with self._lock:
            self._db.close()

    def _thin_out(self) -> int:
        """Drop the oldest terminal output until a tenth of the limit is free. Returns the bytes gained."""
        goal = self._bytes - (self._limit - self._limit // 10)
        gained = 0
        for run in self._runs(goal):
            gained += self._shrink(run)
            if gained >= goal:
                break
        return gained

    def _runs(self, goal: int) -> list[list[_Chunk]]:
        """Neighbouring pieces of output, oldest session first; a little more than `goal` bytes of them."""
        rows = self._db.execute(
            "SELECT e.session, e.seq, e.size, e.body FROM event e JOIN session s ON s.session = e.session"
            " WHERE e.type = 'TERMINAL_CHUNK' ORDER BY s.started_ms, e.session, e.seq"
        )
        runs: list[list[_Chunk]] = []
        found = 0
        for session_id, seq, size, body in rows:
            chunk = _Chunk(session_id, seq, size, json.loads(body))
            if "gap" in chunk.event:  # dropped before
                continue
            if runs and runs[-1][-1].is_before(chunk):
                runs[-1].append(chunk)
            else:
                runs.append([chunk])
            found += size
            if found >= goal + len(runs) * MARKER_BYTES:
                break
        return runs

    def _shrink(self, run: Sequence[_Chunk]) -> int:
        """One marker in place of a run of output, under the first of its numbers. Returns the bytes gained."""
        first, last = run[0], run[-1]
        dropped = sum(len(chunk.event["data"].encode(errors="replace")) for chunk in run)
        gap = Gap(from_seq=first.seq, to_seq=last.seq, bytes=dropped)
        body = encode({**first.event, "data": MARKER.format(kilobytes=max(1, dropped // 1000)), "gap": gap})
        gained = sum(chunk.size for chunk in run) - len(body)
        if gained <= 0:
            return 0
        where = "session = ? AND seq"
        self._db.execute(f"DELETE FROM event WHERE {where} > ? AND seq <= ?", (first.session_id, first.seq, last.seq))
        self._db.execute(
            f"UPDATE event SET body = ?, size = ? WHERE {where} = ?", (body, len(body), first.session_id, first.seq)
        )
        return gained


def _encoded(event: dict[str, Any]) -> bytes:
    """The event as JSON can say it. Names of files and arguments of programs are bytes to the system, and Python's
    stand-ins for those that are no UTF-8 are no text: they become U+FFFD.
    """
    try:
        return encode(event)
    except UnicodeEncodeError:
        return encode(_plain(event))


def _plain(value: Any) -> Any:
    match value:
        case str():
            return value.encode("utf-8", "surrogatepass").decode("utf-8", "replace")
        case dict():
            return {name: _plain(inner) for name, inner in cast(dict[str, Any], value).items()}
        case list() | tuple():
            return [_plain(inner) for inner in cast(list[Any], value)]
        case _:
            return _plain(to_json_values(value)) if attrs.has(type(value)) else value  # pyright: ignore[reportUnknownArgumentType]

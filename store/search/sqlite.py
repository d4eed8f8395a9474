"""The search index in a SQLite file of its own, beside the log: its load, its size and its faults stay its own.

The words go into an FTS5 table that keeps no text; the text is in `piece`. A rowid is a time (`place_of`), so that
FTS5 itself gives matches newest first and a page costs what it shows, however many there are.
"""

import json
import os
import sqlite3
import threading
import time
from collections.abc import Collection, Generator, Sequence
from contextlib import closing, contextmanager, suppress
from pathlib import Path
from typing import Any

import structlog

from townwatch.store.search.query import to_fts5, words_of
from townwatch.store.search.records import (
    CHUNK,
    COUNTED,
    VERSION,
    Advance,
    FirstSeq,
    Found,
    FoundText,
    SearchError,
    SearchTooSlow,
    Wanted,
    place_of,
)

log = structlog.get_logger("search")

FIND_SECONDS = 2.0
_STEPS = 5000
"""Steps of SQLite's machine between two looks at the clock."""
_BUSY_MS = 2000
_TABLES = """
CREATE TABLE session (
  id INTEGER PRIMARY KEY, session_id TEXT NOT NULL UNIQUE, village_id TEXT NOT NULL, seq INTEGER NOT NULL);
CREATE TABLE piece (
  place INTEGER PRIMARY KEY, session INTEGER NOT NULL, kind TEXT NOT NULL, from_seq INTEGER NOT NULL,
  seq INTEGER NOT NULL, text TEXT NOT NULL);
CREATE INDEX piece_by_session ON piece (session, from_seq);
CREATE VIRTUAL TABLE words USING fts5(said, content='', tokenize='unicode61 remove_diacritics 0');
"""
_FROM = """
FROM words CROSS JOIN piece p ON p.place = words.rowid CROSS JOIN session s ON s.id = p.session
WHERE words MATCH :query AND words.rowid < :before AND s.village_id IN (SELECT value FROM json_each(:villages))
"""
_LAST = (1 << 63) - 1


class SqliteSearch:
    """`townwatch.store.search.records.SearchStore`."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._lock = threading.Lock()
        self._renewed = False
        self._untidy = True  # as far as is known: a crash may have left words of removed text
        self._writer = self._open()
        self._inode = os.stat(path).st_ino

    def positions(self) -> dict[str, int]:
        with self._reading() as reader:
            return dict(reader.execute("SELECT session_id, seq FROM session").fetchall())

    def add(self, advances: Sequence[Advance], first_seq: FirstSeq) -> None:
        with self._lock, self._transaction() as writer:
            for one in advances:
                first = first_seq(one.session_id)
                if first is not None:
                    self._add(writer, one, first)

    def forget(self, session_ids: Collection[str]) -> None:
        for session_id in session_ids:
            self.trim(session_id, _LAST)
            with self._lock, self._transaction() as writer:
                writer.execute("DELETE FROM session WHERE session_id = ?", (session_id,))

    def trim(self, session_id: str, first_seq: int) -> None:
        while True:
            with self._lock, self._transaction() as writer:
                rows = writer.execute(
                    "SELECT p.place, p.text FROM piece p JOIN session s ON s.id = p.session"
                    " WHERE s.session_id = ? AND p.from_seq < ? LIMIT ?",
                    (session_id, first_seq, CHUNK),
                ).fetchall()
                delete = "INSERT INTO words (words, rowid, said) VALUES ('delete', ?, ?)"
                writer.executemany(delete, [(place, " ".join(words_of(text))) for place, text in rows])
                writer.executemany("DELETE FROM piece WHERE place = ?", [(place,) for place, _ in rows])
            self._untidy = self._untidy or bool(rows)
            if len(rows) < CHUNK:
                return

    def find(self, wanted: Wanted) -> Found:
        given: dict[str, Any] = {
            "query": to_fts5(wanted.query),
            "before": _LAST,
            "villages": json.dumps(list(wanted.village_ids)),
        }
        where = _FROM
        if wanted.session_ids is not None:
            where += " AND s.session_id IN (SELECT value FROM json_each(:sessions))"
            given["sessions"] = json.dumps(list(wanted.session_ids))
        if wanted.kind is not None:
            where += " AND p.kind = :kind"
            given["kind"] = wanted.kind
        columns = "p.place, s.session_id, s.village_id, p.kind, p.from_seq, p.seq, p.text"
        page = f"SELECT {columns} {where} ORDER BY words.rowid DESC LIMIT :limit"
        before = _LAST if wanted.before is None else wanted.before
        with self._reading(FIND_SECONDS) as reader:
            rows = reader.execute(page, {**given, "before": before, "limit": wanted.limit + 1}).fetchall()
            counting = f"SELECT count(*) FROM (SELECT 1 {where} LIMIT {COUNTED + 1})"
            (total,) = reader.execute(counting, given).fetchone()
        names = ("place", "session_id", "village_id", "kind", "from_seq", "seq", "text")
        matches = [FoundText(**dict(zip(names, row, strict=True))) for row in rows]
        return Found(
            matches=matches[: wanted.limit],
            next=matches[wanted.limit - 1].place if len(matches) > wanted.limit else None,
            total=min(total, COUNTED),
            more_than_total=total > COUNTED,
        )

    def renewed(self) -> bool:
        with self._lock:
            try:
                there = os.stat(self._path).st_ino == self._inode
            except FileNotFoundError:
                there = False
            if not there:
                log.warning("search_index_gone", path=str(self._path), advice="it is built again")
                self._renew()
            found, self._renewed = self._renewed, False
            return found

    def tidy(self) -> bool:
        """Merge the word lists: only that removes the words of removed text from the file."""
        if not self._untidy:
            return False
        with self._lock, self._transaction() as writer:
            before = writer.total_changes
            writer.execute("INSERT INTO words (words, rank) VALUES ('merge', -64)")
            self._untidy = writer.total_changes - before >= 2
        return self._untidy

    def close(self) -> None:
        with self._lock:
            self._writer.close()

    def _add(self, writer: sqlite3.Connection, one: Advance, first: int) -> None:
        (session,) = writer.execute(
            "INSERT INTO session (session_id, village_id, seq) VALUES (?, ?, ?)"
            " ON CONFLICT (session_id) DO UPDATE SET seq = excluded.seq RETURNING id",
            (one.session_id, one.village_id, one.seq),
        ).fetchone()
        for piece in one.pieces:
            if piece.from_seq < first:
                continue
            least = place_of(piece.at_ms)
            (last,) = writer.execute(
                "SELECT max(place) FROM piece WHERE place >= ? AND place < ?", (least, place_of(piece.at_ms + 1))
            ).fetchone()
            place = least if last is None else last + 1
            writer.execute(
                "INSERT INTO piece (place, session, kind, from_seq, seq, text) VALUES (?, ?, ?, ?, ?, ?)",
                (place, session, piece.kind, piece.from_seq, piece.seq, piece.text),
            )
            said = " ".join(words_of(piece.text))
            writer.execute("INSERT INTO words (rowid, said) VALUES (?, ?)", (place, said))

    # --- the file -----------------------------------------------------------------------------------

    def _open(self) -> sqlite3.Connection:
        """The writing connection. A file of another version, or a damaged one, is replaced by an empty one."""
        try:
            return self._connect()
        except sqlite3.DatabaseError as error:
            if isinstance(error, sqlite3.OperationalError) and _code(error) not in (sqlite3.SQLITE_CORRUPT, 0):
                raise self._error(error) from error
            log.warning("search_index_rebuilt", path=str(self._path), reason=str(error))
            self._remove()
            try:
                return self._connect()
            except sqlite3.Error as again:
                raise self._error(again) from again

    def _connect(self) -> sqlite3.Connection:
        if not self._path.exists():
            os.close(os.open(self._path, os.O_CREAT | os.O_RDWR | os.O_CLOEXEC, 0o600))
        connection = sqlite3.connect(self._path, isolation_level=None, check_same_thread=False)
        try:
            connection.execute(f"PRAGMA busy_timeout = {_BUSY_MS}")
            connection.execute("PRAGMA journal_mode = WAL")
            connection.execute("PRAGMA synchronous = NORMAL")  # what a power cut takes is built again
            connection.execute("PRAGMA secure_delete = ON")
            (version,) = connection.execute("PRAGMA user_version").fetchone()
            if version == 0:
                connection.executescript(f"BEGIN IMMEDIATE; {_TABLES} PRAGMA user_version = {VERSION}; COMMIT;")
            elif version != VERSION:
                raise sqlite3.DatabaseError(f"it has version {version}, not {VERSION}")
            connection.execute("SELECT count(*) FROM (SELECT 1 FROM words LIMIT 1)").fetchall()
        except BaseException:
            connection.close()
            raise
        return connection

    def _renew(self) -> None:
        with suppress(sqlite3.Error):
            self._writer.close()
        self._remove()
        self._writer = self._open()
        self._inode = os.stat(self._path).st_ino
        self._renewed = True

    def _remove(self) -> None:
        for suffix in ("", "-wal", "-shm"):
            Path(f"{self._path}{suffix}").unlink(missing_ok=True)

    @contextmanager
    def _transaction(self) -> Generator[sqlite3.Connection]:
        writer = self._writer
        try:
            writer.execute("BEGIN IMMEDIATE")
            yield writer
            writer.execute("COMMIT")
        except BaseException as error:
            with suppress(sqlite3.Error):
                if writer.in_transaction:
                    writer.execute("ROLLBACK")
            if isinstance(error, sqlite3.Error):
                if _code(error) in (sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB):
                    self._renew()
                raise self._error(error) from error
            raise

    @contextmanager
    def _reading(self, seconds: float | None = None) -> Generator[sqlite3.Connection]:
        try:
            uri = f"file:{self._path.absolute().as_posix().replace('?', '%3f').replace('#', '%23')}?mode=ro"
            with closing(sqlite3.connect(uri, uri=True, isolation_level=None)) as reader:
                reader.execute(f"PRAGMA busy_timeout = {_BUSY_MS}")
                if seconds is not None:
                    until = time.monotonic() + seconds
                    reader.set_progress_handler(lambda: time.monotonic() > until, _STEPS)
                yield reader
        except sqlite3.Error as error:
            if seconds is not None and _code(error) == sqlite3.SQLITE_INTERRUPT:
                raise SearchTooSlow(seconds) from None
            raise self._error(error) from error

    def _error(self, error: sqlite3.Error) -> SearchError:
        why = "the disk is full" if _code(error) == sqlite3.SQLITE_FULL else str(error)
        return SearchError(f"the search index {self._path.name} cannot be used: {why}")


def _code(error: sqlite3.Error) -> int:
    return getattr(error, "sqlite_errorcode", 0) & 0xFF

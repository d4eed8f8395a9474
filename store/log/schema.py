"""The event log's file: its tables, and how a connection to it is opened."""

import os
import sqlite3
from pathlib import Path
from typing import Literal

from townwatch.contracts.files import sync_directory
from townwatch.store.log.records import DiskFull, LogBroken, LogDamaged, LogError, LogTooNew

Synchronous = Literal["full", "normal"]

VERSION = 1
APPLICATION_ID = 0x5457_4A4C  # "TWJL"
PAGE_BYTES = 4096
CHECKPOINT_PAGES = 4000
"""The WAL is copied into the database when it has this many pages (about 16 MiB)."""
BUSY_MS = 5000
WAL_LIMIT_BYTES = 64 << 20
"""A WAL that a long reader made bigger is cut back to this."""

# Events are rows in order of arrival, so that a commit writes one run of pages however many sessions are in it; the
# index by session holds only small integers. `stored_at` is our clock, `ts` the runner's, which may be years off.
# The heads make a restart cost the number of sessions, not of events.
TABLES = """
CREATE TABLE village (
  id INTEGER PRIMARY KEY, village_id TEXT NOT NULL UNIQUE, events INTEGER NOT NULL, bytes INTEGER NOT NULL);
CREATE TABLE session_head (
  id INTEGER PRIMARY KEY, session_id TEXT NOT NULL UNIQUE, village INTEGER NOT NULL REFERENCES village(id),
  first_seq INTEGER NOT NULL, max_seq INTEGER NOT NULL, events INTEGER NOT NULL, bytes INTEGER NOT NULL,
  first_ts NUMERIC NOT NULL, last_ts NUMERIC NOT NULL, holes TEXT, deleted INTEGER NOT NULL DEFAULT 0);
CREATE TABLE event (
  position INTEGER PRIMARY KEY, session INTEGER NOT NULL, seq INTEGER NOT NULL, village INTEGER NOT NULL,
  type TEXT NOT NULL, ts NUMERIC NOT NULL, stored_at INTEGER NOT NULL, body BLOB NOT NULL);
CREATE UNIQUE INDEX event_by_session ON event (session, seq);
CREATE INDEX event_by_village ON event (village, position);
CREATE TABLE lost (
  session INTEGER NOT NULL, from_seq INTEGER NOT NULL, to_seq INTEGER NOT NULL, reason TEXT NOT NULL);
CREATE INDEX lost_by_session ON lost (session, from_seq);
CREATE TABLE snapshot (key TEXT PRIMARY KEY, position INTEGER NOT NULL, body BLOB NOT NULL) WITHOUT ROWID;
CREATE TABLE meta (key TEXT PRIMARY KEY, value INTEGER NOT NULL) WITHOUT ROWID;
INSERT INTO meta VALUES ('next_position', 1);
"""

# What was damaged: rows that could not be read, whole (JSON with bytes in hexadecimal), and ranges of events that had
# been acknowledged and are not there any more. Made where they are missing, so that VERSION need not change.
DAMAGE_TABLES = """
CREATE TABLE IF NOT EXISTS quarantine (
  id INTEGER PRIMARY KEY, at_ms INTEGER NOT NULL, source TEXT NOT NULL, row_id INTEGER, why TEXT NOT NULL,
  raw TEXT NOT NULL);
CREATE TABLE IF NOT EXISTS loss (
  session_id TEXT NOT NULL, village_id TEXT NOT NULL, from_seq INTEGER NOT NULL, to_seq INTEGER NOT NULL,
  noticed_ms INTEGER NOT NULL, why TEXT NOT NULL, PRIMARY KEY (session_id, from_seq, to_seq)) WITHOUT ROWID;
"""
QUICK_CHECK_BYTES = 64 << 20
"""A larger file is not read through at every start; `townwatch doctor` does that."""


def connect_writer(path: Path, synchronous: Synchronous) -> sqlite3.Connection:
    """The one connection that writes. Makes the file (mode 0600) and its tables when they are not there."""
    is_new = not path.exists()
    if is_new:
        os.close(os.open(path, os.O_CREAT | os.O_RDWR | os.O_CLOEXEC, 0o600))
    connection = _connect(path, f"file:{_quoted(path)}?mode=rw")
    try:
        _prepare(connection, path, synchronous)
    except sqlite3.Error as error:
        connection.close()
        raise translate(error, path) from error
    except BaseException:
        connection.close()
        raise
    if is_new:
        sync_directory(path.parent)
    return connection


def connect_reader(path: Path) -> sqlite3.Connection:
    """A connection that can only read, from any thread (one at a time), while the writer writes."""
    connection = _connect(path, f"file:{_quoted(path)}?mode=ro")
    connection.execute("PRAGMA query_only = 1")
    connection.text_factory = _text  # a row that is not UTF-8 is judged by the reader of the row, not by an exception
    return connection


def _text(value: bytes) -> str:
    return value.decode("utf-8", "surrogateescape")


def _connect(path: Path, uri: str) -> sqlite3.Connection:
    try:
        connection = sqlite3.connect(uri, uri=True, isolation_level=None, check_same_thread=False, cached_statements=64)
        connection.execute(f"PRAGMA busy_timeout = {BUSY_MS}")
    except sqlite3.Error as error:
        raise translate(error, path) from error
    return connection


def _prepare(connection: sqlite3.Connection, path: Path, synchronous: Synchronous) -> None:
    (version,) = connection.execute("PRAGMA user_version").fetchone()
    if version > VERSION:
        raise LogTooNew(str(path), version, VERSION)
    if version == 0:
        connection.execute(f"PRAGMA page_size = {PAGE_BYTES}")
        connection.execute("PRAGMA auto_vacuum = INCREMENTAL")  # only possible before the first table
    connection.execute("PRAGMA journal_mode = WAL")
    connection.execute(f"PRAGMA synchronous = {synchronous.upper()}")
    # On macOS a plain fsync leaves the data in the drive's cache; elsewhere these two say nothing.
    connection.execute(f"PRAGMA fullfsync = {int(synchronous == 'full')}")
    connection.execute("PRAGMA checkpoint_fullfsync = 1")
    connection.execute(f"PRAGMA wal_autocheckpoint = {CHECKPOINT_PAGES}")
    connection.execute(f"PRAGMA journal_size_limit = {WAL_LIMIT_BYTES}")
    connection.execute("PRAGMA cache_size = -32768")
    if version == 0:
        connection.executescript(
            f"BEGIN IMMEDIATE; {TABLES} PRAGMA application_id = {APPLICATION_ID};"
            f" PRAGMA user_version = {VERSION}; COMMIT;"
        )
    elif path.stat().st_size <= QUICK_CHECK_BYTES:
        (found,) = connection.execute("PRAGMA quick_check(1)").fetchone()
        if found != "ok":
            raise LogDamaged(str(path), str(found).splitlines()[0][:200])
    connection.executescript(DAMAGE_TABLES)


def translate(error: sqlite3.Error, path: Path) -> LogError:
    """SQLite's error in our words. SQLite says FULL for ENOSPC, and IOERR_WRITE for a quota."""
    code = getattr(error, "sqlite_errorcode", 0)
    if code & 0xFF == sqlite3.SQLITE_FULL or code == sqlite3.SQLITE_IOERR_SHMSIZE:  # no room for the WAL's index
        return DiskFull(str(path))
    if code & 0xFF in (sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB):
        return LogDamaged(str(path), str(error))
    name = getattr(error, "sqlite_errorname", "") or type(error).__name__
    return LogBroken(str(path), f"{error} ({name})")


def _quoted(path: Path) -> str:
    return str(path.absolute()).replace("%", "%25").replace("?", "%3f").replace("#", "%23")

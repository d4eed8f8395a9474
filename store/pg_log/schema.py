"""Tables of the event log in PostgreSQL: those of the file (`store/log/schema.py`), with names of their own."""

from typing import Any

from townwatch.contracts.faults import TablesRefused, TablesUnavailable
from townwatch.store.engine import driver
from townwatch.store.engine.fence import FENCED
from townwatch.store.engine.outage import postgres_fault
from townwatch.store.log.records import DiskFull, LogBroken, LogError, LogFenced, LogTooNew, LogUnreachable

VERSION = 1
_MAKING = 0x7477_6464  # any number, the same in every process: one makes the tables, others wait

TABLES = """
CREATE TABLE log_village (
  id INTEGER PRIMARY KEY, village_id TEXT NOT NULL UNIQUE, events BIGINT NOT NULL, bytes BIGINT NOT NULL);
CREATE TABLE log_session (
  id BIGINT PRIMARY KEY, session_id TEXT NOT NULL UNIQUE, village INTEGER NOT NULL REFERENCES log_village (id),
  first_seq BIGINT NOT NULL, max_seq BIGINT NOT NULL, events BIGINT NOT NULL, bytes BIGINT NOT NULL,
  first_ts DOUBLE PRECISION NOT NULL, last_ts DOUBLE PRECISION NOT NULL, holes TEXT,
  deleted INTEGER NOT NULL DEFAULT 0) WITH (fillfactor = 50);
CREATE TABLE log_event (
  position BIGINT PRIMARY KEY, session BIGINT NOT NULL, seq BIGINT NOT NULL, village INTEGER NOT NULL,
  type TEXT NOT NULL, ts DOUBLE PRECISION NOT NULL, stored_at BIGINT NOT NULL, body BYTEA NOT NULL);
CREATE UNIQUE INDEX log_event_by_session ON log_event (session, seq);
CREATE INDEX log_event_by_village ON log_event (village, position);
CREATE TABLE log_lost (
  session BIGINT NOT NULL, from_seq BIGINT NOT NULL, to_seq BIGINT NOT NULL, reason TEXT NOT NULL);
CREATE INDEX log_lost_by_session ON log_lost (session, from_seq);
CREATE TABLE log_snapshot (key TEXT PRIMARY KEY, position BIGINT NOT NULL, body BYTEA NOT NULL);
CREATE TABLE log_meta (key TEXT PRIMARY KEY, value BIGINT NOT NULL);
CREATE TABLE log_quarantine (
  id BIGINT PRIMARY KEY, at_ms BIGINT NOT NULL, source TEXT NOT NULL, row_id BIGINT, why TEXT NOT NULL,
  raw TEXT NOT NULL);
CREATE TABLE log_loss (
  session_id TEXT NOT NULL, village_id TEXT NOT NULL, from_seq BIGINT NOT NULL, to_seq BIGINT NOT NULL,
  noticed_ms BIGINT NOT NULL, why TEXT NOT NULL, PRIMARY KEY (session_id, from_seq, to_seq));
INSERT INTO log_meta VALUES ('next_position', 1), ('version', 1);
"""


def make_tables(connection: Any, place: str) -> None:
    """Make the tables where there are none, in one transaction. Raises `LogTooNew` and `TablesRefused`."""
    with connection.transaction():
        connection.execute("SELECT pg_advisory_xact_lock(%s)", (_MAKING,))
        (encoding,) = connection.execute("SHOW server_encoding").fetchone()
        if encoding != "UTF8":
            raise TablesRefused(f"{place} has the encoding {encoding}: make it anew with ENCODING 'UTF8'")
        if not has_tables(connection):
            connection.execute(TABLES)
        (version,) = connection.execute("SELECT value FROM log_meta WHERE key = 'version'").fetchone()
    if version > VERSION:
        raise LogTooNew(place, version, VERSION)


def has_tables(connection: Any) -> bool:
    """Return whether this schema has an event log."""
    return connection.execute("SELECT to_regclass('log_meta') IS NOT NULL").fetchone()[0]


def translate(error: driver.Error, place: str) -> LogError:
    """PostgreSQL's error in our words."""
    state = error.sqlstate or ""
    text = next((line.strip() for line in str(error).splitlines() if line.strip()), type(error).__name__)
    if state == FENCED:
        return LogFenced(place, text)
    if state == "53100":
        return DiskFull(place)
    if isinstance(postgres_fault(error, place), TablesUnavailable):
        return LogUnreachable(place, text)
    return LogBroken(place, f"{text} ({state})")


def packed(text: str) -> str:
    r"""A text of others as PostgreSQL can keep it, which has no NUL: ``\`` becomes ``\\`` and NUL ``\0``."""
    return text.replace("\\", "\\\\").replace("\0", "\\0") if "\\" in text or "\0" in text else text


def unpacked(text: str) -> str:
    """The text that `packed` got."""
    if "\\" not in text:
        return text
    return "\\".join(part.replace("\\0", "\0") for part in text.split("\\\\"))

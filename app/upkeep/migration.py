"""`townwatch migrate`: the whole state of a stopped service from SQLite into PostgreSQL, or back.

All or nothing. Into PostgreSQL it is one transaction, committed when everything that arrived was compared with what
left; into files it is a new directory, whose files take their places when they were compared. The source stays as it
is. While it copies, no service can start on either side: it holds the file's lock and PostgreSQL's lease.
"""

import os
import shutil
import sqlite3
import time
from collections.abc import Callable, Generator, Mapping
from contextlib import ExitStack, closing, contextmanager
from pathlib import Path
from typing import Any

import attrs
from sqlalchemy.exc import SQLAlchemyError

from townwatch.access import secrets
from townwatch.access.bootstrap import SECRET_FILE, share_secret
from townwatch.cluster.lease import Leader, ProcessLease
from townwatch.config.settings import Settings
from townwatch.contracts.files import sync_directory
from townwatch.store import service_secrets
from townwatch.store.database import Database
from townwatch.store.engine.copying import copy_tables, counts
from townwatch.store.engine.fence import Term, pass_fence
from townwatch.store.log.event_log import EventLog
from townwatch.store.log.records import Head
from townwatch.store.pg_log.copying import copy_into_file, copy_into_postgres, rows_in
from townwatch.store.pg_log.log import PostgresLog

LEASE_SECONDS = 60.0
RENEW_SECONDS = 10.0
FOLDER = "migrating"
TABLES, JOURNAL = "townwatch.db", "journal.db"
FAILURES = (OSError, ValueError, SQLAlchemyError, sqlite3.Error)


class MigrationRefused(Exception):
    """Nothing was copied, and why: one line."""


@attrs.frozen
class Migrated:
    """Rows that arrived and were compared. `tables`: by table; empty where only the event log was copied."""

    events: int
    sessions: int
    tables: Mapping[str, int]


def into_postgres(settings: Settings, url: str) -> Migrated:
    """Copy the files of the state directory into the database of this URL, which must have nothing of a service yet.

    A service that already had its tables there, and its event log in a file, gets the log copied alone.
    Raises `MigrationRefused` and one of `FAILURES`; nothing is stored then.
    """
    state, log_only = settings.state, settings.database.url == url
    if not (state / JOURNAL).exists() or (not log_only and not (state / TABLES).exists()):
        raise MigrationRefused(f"{state}: there is no {JOURNAL} and {TABLES} to copy")
    with ExitStack() as stack:
        source_log = stack.enter_context(EventLog.open(state / JOURNAL, reserve_bytes=0))
        term, going_on = stack.enter_context(_lease(url))
        target = stack.enter_context(_opened(url, term))
        PostgresLog.open(url, term).close()  # makes its tables
        writing = stack.enter_context(target.engine.begin())
        pass_fence(writing, term)
        raw: Any = writing.connection.driver_connection
        _refuse_what_is_used({} if log_only else counts(writing), rows_in(raw), url)
        copied: dict[str, int] = {}
        if not log_only:
            tables = stack.enter_context(_opened(state / TABLES))
            with tables.engine.connect() as reading:
                copied = copy_tables(reading, writing, going_on)
        with source_log.connection() as file:
            events = copy_into_postgres(file, raw, going_on)
        _compare(source_log.heads(), _heads_through(raw))
        share_secret(writing, state)
        going_on()
        return Migrated(events, len(source_log.heads()), copied)


def into_files(settings: Settings) -> Migrated:
    """Copy the database of the settings into files of the state directory, which must not have them yet."""
    state, url = settings.state, settings.database.url
    state.mkdir(parents=True, exist_ok=True, mode=0o700)
    for name in (JOURNAL, TABLES):
        if (state / name).exists():
            raise MigrationRefused(f"{state / name} is there: move it away first, nothing is overwritten")
    folder = state / FOLDER
    shutil.rmtree(folder, ignore_errors=True)  # of an attempt that was cut off
    folder.mkdir(mode=0o700)
    with ExitStack() as stack:
        term, going_on = stack.enter_context(_lease(url))
        source = stack.enter_context(_opened(url, term))
        source_log = stack.enter_context(closing(PostgresLog.open(url, term)))
        target = stack.enter_context(_opened(folder / TABLES))
        EventLog.open(folder / JOURNAL, reserve_bytes=0).close()
        with source.engine.connect() as reading, target.engine.begin() as writing:
            copied = copy_tables(reading, writing, going_on)
            secret = service_secrets.keep(reading, SECRET_FILE, secrets.keep_in_file(state / SECRET_FILE).hex())
        with closing(sqlite3.connect(folder / JOURNAL, isolation_level=None)) as file, source_log.connection() as raw:
            file.execute("BEGIN IMMEDIATE")
            events = copy_into_file(raw, file, going_on)
            file.execute("COMMIT")
        with EventLog.open(folder / JOURNAL, reserve_bytes=0) as arrived:
            _compare(source_log.heads(), arrived.heads())
        going_on()
    for name in ("journal-heads.0", "journal-heads.1", TABLES, JOURNAL):
        if (folder / name).exists():
            os.replace(folder / name, state / name)
    secrets.replace_file(state / SECRET_FILE, bytes.fromhex(secret))
    shutil.rmtree(folder)
    sync_directory(state)
    return Migrated(events, len(source_log.heads()), copied)


@contextmanager
def _lease(url: str) -> Generator[tuple[Term, Callable[[], None]]]:
    """Lead on the database, so that no service starts meanwhile, and give what keeps the lease alive."""
    with ProcessLease(url, f"townwatch migrate/{os.getpid()}", LEASE_SECONDS) as lease:
        lease.prepare()
        term = lease.take()
        if isinstance(term, Leader):
            raise MigrationRefused(f"{term} on {lease.place}: stop every service on it first")
        renewed = time.monotonic()

        def going_on() -> None:
            nonlocal renewed
            if time.monotonic() - renewed > RENEW_SECONDS:
                renewed = time.monotonic()
                if not lease.renew(term):
                    raise MigrationRefused("another process took the database over: nothing was copied")

        try:
            yield term, going_on
        finally:
            lease.release(term)


@contextmanager
def _opened(where: str | Path, term: Term | None = None) -> Generator[Database]:
    database = Database.open(where, term)
    try:
        yield database
    finally:
        database.close()


def _refuse_what_is_used(rows: Mapping[str, int], in_log: int, url: str) -> None:
    used = [f"{count} rows in {name}" for name, count in rows.items()]
    used += [f"{in_log} rows of an event log"] if in_log else []
    if used:
        where = url.rpartition("@")[2]
        raise MigrationRefused(f"{where} has something already ({', '.join(used)}): give an empty database")


def _heads_through(raw: Any) -> dict[str, Head]:
    from townwatch.store.pg_log.writing import load_heads

    return {head.session_id: head for head in load_heads(raw) if not head.deleted}


def _compare(left: Mapping[str, Head], arrived: Mapping[str, Head]) -> None:
    """Raises ValueError for the first session of which the copy is at another place than the original."""
    for session_id in left.keys() | arrived.keys():
        if left.get(session_id) != arrived.get(session_id):
            raise ValueError(f"session {session_id}: {left.get(session_id)} left, {arrived.get(session_id)} arrived")

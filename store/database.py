"""The one way to the tables: an engine, and calls into a worker thread.

    agent = await database.read(villages.get, village_id)
    won = await database.call(approvals.decide, session_id, approval_id, "allow", user_id, None, now_ms)

Every function of `store` that is called so takes the connection first; the call is one transaction.
"""

import os
import sqlite3
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from typing import Any, Concatenate, ParamSpec, TypeVar, cast

import trio
from sqlalchemy import Connection, Engine, create_engine, event
from sqlalchemy.engine import URL
from sqlalchemy.exc import SQLAlchemyError

from townwatch.contracts.faults import FilesDamaged, TablesRefused, TablesUnavailable
from townwatch.contracts.files import sync_directory
from townwatch.store.engine import postgres
from townwatch.store.engine.fence import Term, application_of, pass_fence
from townwatch.store.engine.file_identity import FileIdentity
from townwatch.store.engine.outage import Outage, damaged, is_locked, is_undecodable, stops_reading, translate
from townwatch.store.engine.quarantine import quarantined, set_aside
from townwatch.store.migrations import migrate

P = ParamSpec("P")
T = TypeVar("T")

BUSY_MS = 5000
SQLITE_THREADS = 2
"""One reads while the other writes. More only wait for each other, and each has a cache of its own."""
POSTGRES_THREADS = 16
READY_CONNECTIONS = 3
"""That a standby keeps open."""
PROBE_BUSY_MS = 500
QUICK_CHECK_BYTES = 64 << 20
"""A larger file is not read through at every start; `townwatch doctor` does that."""


class Database:
    """An open database, migrated. `call` to write, `read` to read; `run` is `call` for code in a thread of its own."""

    def __init__(self, engine: Engine, term: Term | None = None) -> None:
        """`term`: of a process that shares a PostgreSQL; each of its writes passes the fence. None: of one that is
        alone, or a command.
        """
        self.engine = engine
        self._term = term
        self.outage = Outage()
        threads = SQLITE_THREADS if self.is_sqlite else POSTGRES_THREADS
        self._limiter = trio.CapacityLimiter(threads)
        self._reading = engine.execution_options(townwatch_read=True)
        self.quarantined = 0
        """Rows that could not be read and were set aside, since ever."""
        self._anchor: sqlite3.Connection | None = None
        """Keeps SQLite from removing the WAL between two connections: one that is gone is then always a fault."""
        self._over = False
        self._pool = engine.pool
        self._open: set[Any] = set()
        """Driver connections: also those of the pool, which are asked whether they live before they are handed out."""
        self._writers: set[object] = set()
        """One for each transaction of our own that writes."""
        self._files = FileIdentity(Path(engine.url.database or "")) if self.is_sqlite else None
        event.listen(engine, "connect", self._opened, insert=True)
        event.listen(engine, "close", self._closed)
        event.listen(engine, "checkin", self._returned)

    @classmethod
    def open(cls, url: str | Path, term: Term | None = None) -> "Database":
        """Open by URL (``postgresql://user@host/name``) or by path (SQLite; the file is made, mode 0600), and migrate.

        Blocks: call it before the loop, or in a thread. Raises `TablesUnavailable` where waiting may help,
        `TablesRefused` where the settings must change, `FilesDamaged` where the file must be repaired.
        """
        target = _url(url)
        if target.get_backend_name() == "sqlite":
            _make_private_file(Path(target.database or ""))
            engine = create_engine(target, connect_args={"timeout": BUSY_MS / 1000}, pool_size=SQLITE_THREADS)
            _prepare_sqlite(engine)
        else:
            engine = _postgres_engine(target, term.application if term is not None else None)
        database = cls(engine, term)
        try:
            database.run(_examine)
            database.run(migrate)
            database.set_unreadable_rows_aside()
            database._watch_files()
        except BaseException:
            engine.dispose()
            raise
        return database

    @classmethod
    def stand_by(cls, url: str, life: str) -> "Database":
        """Open a PostgreSQL for reading, in a process that may `lead` later: it migrates nothing, and has connections
        that are ready. Blocks. Raises as `open`.
        """
        database = cls(_postgres_engine(_url(url), application_of(life)))
        try:
            database.refresh_connections()
        except BaseException:
            database.close()
            raise
        return database

    def refresh_connections(self) -> None:
        """Have some connections that live. Blocks."""
        try:
            with ExitStack() as stack:
                for _ in range(READY_CONNECTIONS):
                    stack.enter_context(self.engine.connect())
        except SQLAlchemyError as error:
            raise translate(error, self.name) or error from error

    def lead(self, term: Term) -> None:
        """Begin to write in this term. The caller migrates."""
        self._term = term

    @property
    def is_sqlite(self) -> bool:
        return self.engine.dialect.name == "sqlite"

    @property
    def name(self) -> str:
        """Name for messages: the file's path, or the database's name and host; never a password."""
        url = self.engine.url
        if self.is_sqlite:
            return f"the tables database {url.database}"
        return f"the tables database {url.database!r} on {url.host or url.query.get('host') or 'the local socket'}"

    def run(self, fn: Callable[Concatenate[Connection, P], T], *args: P.args, **kwargs: P.kwargs) -> T:
        """``fn(connection, *args)`` in one transaction, here and now. Raises `TablesUnavailable`, `FilesDamaged`."""
        return self._attempt(self.engine, lambda connection: fn(connection, *args, **kwargs), writes=True)

    async def call(self, fn: Callable[Concatenate[Connection, P], T], *args: P.args, **kwargs: P.kwargs) -> T:
        """The same in a worker thread. Not abandoned when cancelled: a transaction ends one way or the other."""
        self.outage.check(writes=True)
        return await trio.to_thread.run_sync(lambda: self.run(fn, *args, **kwargs), limiter=self._limiter)

    async def read(self, fn: Callable[Concatenate[Connection, P], T], *args: P.args, **kwargs: P.kwargs) -> T:
        """As `call`, for functions that only read: never waits for a writer."""
        self.outage.check(writes=False)

        def run() -> T:
            return self._attempt(self._reading, lambda connection: fn(connection, *args, **kwargs), writes=False)

        return await trio.to_thread.run_sync(run, limiter=self._limiter)

    def probe(self) -> str | None:
        """Try to read and write; return None, or why that fails. Blocks. Begins or ends the outage by the result."""
        if self._files is not None and self.outage.lasting is None and (wrong := self._files.check()) is not None:
            self.outage.lasting = (
                f"{self.name}: {wrong}; nothing is written to it any more: put the file back and restart the service"
            )
        if self.outage.lasting is not None:
            return self.outage.lasting
        try:
            self._look(write=self.outage.writing is not None)
        except (SQLAlchemyError, sqlite3.Error) as error:
            if is_locked(error) and self._writers:
                return None  # by a write of our own, on a slow disk: that says itself how it goes
            fault = translate(error, self.name)
            reason = str(fault) if fault is not None else f"{self.name}: {error}"
            self.outage.begin(reason, reads_too=stops_reading(error))
            return reason
        except Exception as error:  # the driver's own, from a connection that was taken away
            self.outage.begin(f"{self.name} cannot be reached ({type(error).__name__}); retrying", reads_too=True)
            return self.outage.reason()
        self.outage.end()
        return None

    def cut(self) -> None:
        """End the waits of calls whose PostgreSQL does not answer: each fails as if the server had gone."""
        if self.is_sqlite:
            return
        for raw in self._open.copy():
            postgres.cut(raw)

    def close(self) -> None:
        """Close every connection; one that a call has, in another thread, when that is done."""
        self._over = True
        self.engine.dispose()
        if self._anchor is not None:
            self._anchor.close()
        if self._files is not None:
            self._files.close()

    def set_unreadable_rows_aside(self) -> int:
        """Move rows that cannot be read into the quarantine table; how many there were. SQLite only: PostgreSQL checks
        types and encodings itself.
        """
        return self._set_aside(everything=False) if self.is_sqlite else 0

    def _opened(self, raw: Any, *_more: object) -> None:
        self._open.add(raw)

    def _closed(self, raw: Any, *_more: object) -> None:
        self._open.discard(raw)

    def _returned(self, raw: Any, *_more: object) -> None:
        if self._over and raw is not None:  # SQLAlchemy would leave it to the garbage collector
            raw.close()

    def _watch_files(self) -> None:
        """Record the identity of the open files: a later check fails if one was removed or replaced."""
        if self._files is not None:
            self._anchor = sqlite3.connect(self._files.path, check_same_thread=False)
            self._anchor.execute("SELECT count(*) FROM schema_version").fetchall()
            self._files.check()

    def _set_aside(self, *, everything: bool) -> int:
        raw = self.engine.raw_connection()
        try:
            driver = cast(sqlite3.Connection, raw.driver_connection)
            count = set_aside(driver, everything=everything)
            self.quarantined = quarantined(driver)
            return count
        finally:
            raw.close()

    def _attempt(self, engine: Engine, work: Callable[[Connection], T], *, writes: bool) -> T:
        """One transaction; a row that cannot be decoded is set aside, and the work done once more."""
        self.outage.check(writes=writes)
        writer = object()
        if writes:
            self._writers.add(writer)
        try:
            with engine.begin() as connection:
                if writes and self._term is not None:
                    pass_fence(connection, self._term)
                return work(connection)
        except SQLAlchemyError as error:
            if not (self.is_sqlite and is_undecodable(error)):
                self._fail(error)
                raise
        finally:
            self._writers.discard(writer)
            self._close_returned()
        self._set_aside(everything=True)
        with engine.begin() as connection:
            return work(connection)

    def _fail(self, error: SQLAlchemyError) -> None:
        """Raise the fault that the error stands for, and note the outage; return where it is the statement's own."""
        fault = translate(error, self.name)
        if fault is None:
            return
        if isinstance(fault, TablesUnavailable | FilesDamaged):
            self.outage.begin(str(fault), reads_too=stops_reading(error))
        raise fault from error

    def _look(self, *, write: bool) -> None:
        raw = self.engine.raw_connection()
        try:
            if self.is_sqlite:
                _look_at_sqlite(cast(sqlite3.Connection, raw.driver_connection), write=write)
            else:
                _look_at_postgres(raw.driver_connection)
        except BaseException:
            if not self.is_sqlite:
                raw.invalidate()
            raise
        finally:
            raw.close()
            self._close_returned()

    def _close_returned(self) -> None:
        """Close what came back to the pool in the moment in which another thread closed it."""
        if self._over:
            self._pool.dispose()


def _url(url: str | Path) -> URL:
    if isinstance(url, Path) or "://" not in url:
        return URL.create("sqlite", database=str(url))
    made = postgres.parse(url)
    if made.get_backend_name() not in ("sqlite", "postgresql"):
        raise TablesRefused(f"database: {made.get_backend_name()} is not supported, use sqlite or postgresql")
    return made


def _postgres_engine(target: URL, application: str | None) -> Engine:
    given = postgres.connect_args(target, application)
    try:
        engine = create_engine(target, pool_size=POSTGRES_THREADS, pool_pre_ping=True, connect_args=given)
    except ModuleNotFoundError:
        raise TablesRefused("database: PostgreSQL needs psycopg: pip install 'townwatch[postgres]'") from None

    @event.listens_for(engine, "connect")
    def connected(raw: Any, _record: object) -> None:  # pyright: ignore[reportUnusedFunction]
        with postgres.closed_on_error(raw):
            postgres.prepare(raw)
            postgres.replace_nul(raw)

    return engine


def _examine(connection: Connection) -> None:
    """Raise `FilesDamaged` where SQLite's own check finds damage, before anything is written."""
    if connection.dialect.name != "sqlite" or os.stat(connection.engine.url.database or "").st_size > QUICK_CHECK_BYTES:
        return
    found = [str(row[0]) for row in connection.exec_driver_sql("PRAGMA quick_check(3)")]
    if found != ["ok"]:
        raise damaged(f"the tables database {connection.engine.url.database}", found[0].splitlines()[0][:200])


def _look_at_sqlite(raw: sqlite3.Connection, *, write: bool) -> None:
    raw.execute(f"PRAGMA busy_timeout = {PROBE_BUSY_MS}").close()
    try:
        raw.execute("BEGIN IMMEDIATE").close()
        try:
            raw.execute("SELECT version FROM schema_version LIMIT 1").fetchall()
            if write:  # an outage is over when a page reached the disk, not when a lock was given
                raw.execute("PRAGMA user_version = 0").close()
        finally:
            raw.execute("COMMIT").close()
    finally:
        raw.execute(f"PRAGMA busy_timeout = {BUSY_MS}").close()


def _look_at_postgres(raw: Any) -> None:
    with raw.cursor() as cursor:
        (read_only,) = cursor.execute("SHOW transaction_read_only").fetchone()
    raw.rollback()
    if read_only == "on":
        raise OSError("it is read-only")


def _make_private_file(path: Path) -> None:
    if not path.name:
        raise ValueError("database: SQLite needs the path of a file")
    if not path.exists():
        path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        os.close(os.open(path, os.O_CREAT | os.O_RDWR | os.O_CLOEXEC, 0o600))
        sync_directory(path.parent)


def _prepare_sqlite(engine: Engine) -> None:
    @event.listens_for(engine, "connect")
    def connected(raw: Any, _record: object) -> None:  # pyright: ignore[reportUnusedFunction]
        raw.isolation_level = None  # we say BEGIN ourselves, below: the driver would say it late and weakly
        for pragma in (
            "journal_mode = WAL",
            "synchronous = FULL",
            "fullfsync = 1",
            "foreign_keys = ON",
            f"busy_timeout = {BUSY_MS}",
        ):
            raw.execute(f"PRAGMA {pragma}").close()

    @event.listens_for(engine, "begin")
    def began(connection: Connection) -> None:  # pyright: ignore[reportUnusedFunction]
        # A writer takes its lock at once: one that read first and then wants to write cannot be made to wait.
        reading = connection.get_execution_options().get("townwatch_read")
        connection.exec_driver_sql("BEGIN" if reading else "BEGIN IMMEDIATE")

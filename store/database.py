"""The one way to the tables: an engine, and calls into a worker thread.

    agent = await database.read(agents.get, "runner_12345678")
    won = await database.call(approvals.decide, session_id, approval_id, "allow", user_id, None, now_ms)

Every function of `store` that is called so takes the connection first; the call is one transaction.
"""

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any, Concatenate, ParamSpec, TypeVar

import trio
from sqlalchemy import Connection, Engine, create_engine, event
from sqlalchemy.engine import URL, make_url

from store.log_schema import sync_directory
from store.migrations import migrate

P = ParamSpec("P")
T = TypeVar("T")

BUSY_MS = 5000
SQLITE_THREADS = 2
"""One reads while the other writes. More only wait for each other, and each has a cache of its own."""
POSTGRES_THREADS = 16


class Database:
    """An open database, migrated. `call` to write, `read` to read; `run` is `call` for code in a thread of its own."""

    def __init__(self, engine: Engine) -> None:
        self.engine = engine
        threads = SQLITE_THREADS if self.is_sqlite else POSTGRES_THREADS
        self._limiter = trio.CapacityLimiter(threads)
        self._reading = engine.execution_options(townwatch_read=True)

    @classmethod
    def open(cls, url: str | Path) -> "Database":
        """Open by URL (``postgresql://user@host/name``) or by path (SQLite; the file is made, mode 0600), and migrate.

        Blocks: call it before the loop, or in a thread.
        """
        target = _url(url)
        if target.get_backend_name() == "sqlite":
            _make_private_file(Path(target.database or ""))
            engine = create_engine(target, connect_args={"timeout": BUSY_MS / 1000}, pool_size=SQLITE_THREADS)
            _prepare_sqlite(engine)
        else:
            engine = _postgres_engine(target)
        database = cls(engine)
        try:
            database.run(migrate)
        except BaseException:
            engine.dispose()
            raise
        return database

    @property
    def is_sqlite(self) -> bool:
        return self.engine.dialect.name == "sqlite"

    def run(self, fn: Callable[Concatenate[Connection, P], T], *args: P.args, **kwargs: P.kwargs) -> T:
        """``fn(connection, *args)`` in one transaction, here and now."""
        with self.engine.begin() as connection:
            return fn(connection, *args, **kwargs)

    async def call(self, fn: Callable[Concatenate[Connection, P], T], *args: P.args, **kwargs: P.kwargs) -> T:
        """The same in a worker thread. Not abandoned when cancelled: a transaction ends one way or the other."""
        return await trio.to_thread.run_sync(lambda: self.run(fn, *args, **kwargs), limiter=self._limiter)

    async def read(self, fn: Callable[Concatenate[Connection, P], T], *args: P.args, **kwargs: P.kwargs) -> T:
        """As `call`, for functions that only read: never waits for a writer."""

        def run() -> T:
            with self._reading.begin() as connection:
                return fn(connection, *args, **kwargs)

        return await trio.to_thread.run_sync(run, limiter=self._limiter)

    def close(self) -> None:
        """Close every connection."""
        self.engine.dispose()


def _url(url: str | Path) -> URL:
    if isinstance(url, Path) or "://" not in url:
        return URL.create("sqlite", database=str(url))
    made = make_url(url)
    if made.drivername in ("postgresql", "postgres"):
        made = made.set(drivername="postgresql+psycopg")
    if made.get_backend_name() not in ("sqlite", "postgresql"):
        raise ValueError(f"database: {made.get_backend_name()} is not supported, use sqlite or postgresql")
    return made


def _postgres_engine(target: URL) -> Engine:
    try:
        return create_engine(target, pool_size=POSTGRES_THREADS, pool_pre_ping=True)
    except ModuleNotFoundError:
        raise ValueError("database: PostgreSQL needs psycopg; install townwatch[postgres]") from None


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

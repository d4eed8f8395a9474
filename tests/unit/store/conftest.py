"""A log and a database in a directory of their own."""

import itertools
from collections.abc import Callable, Iterator
from pathlib import Path

import psycopg
import pytest

from tests.support import postgres
from tests.support.databases import (
    database as database,
    database_url as database_url,
    postgres_server as postgres_server,
)
from townwatch.cluster.lease import ProcessLease
from townwatch.contracts.records import LogRecord
from townwatch.store.engine.fence import Term
from townwatch.store.log.event_log import EventLog
from townwatch.store.log.port import DurableLog
from townwatch.store.pg_log.log import PostgresLog

_numbers = itertools.count(1)


@pytest.fixture
def log(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[DurableLog]:
    """The file's log; PostgreSQL's where the test is `on_both`."""
    if getattr(request, "param", "file") == "file":
        with EventLog.open(tmp_path / "journal.db") as opened:
            yield opened
    else:
        with open_postgres_log(fresh_schema(request.getfixturevalue("postgres_server"))) as opened:
            yield opened


def fresh_schema(server: str) -> str:
    return postgres.fresh_schema(server, f"log{next(_numbers)}")


def lead(url: str, name: str = "alone") -> Term:
    """Take the lease, whoever has it: as if it had run out."""
    with ProcessLease(url, name, seconds=60) as lease:
        lease.prepare()
        with psycopg.connect(url) as connection:
            connection.execute("UPDATE lease SET expires = '-infinity'")
        taken = lease.take()
        assert isinstance(taken, Term)
        return taken


def open_postgres_log(url: str, now_ms: Callable[[], float] = lambda: 1000.0) -> PostgresLog:
    """The log of a process that leads, whoever led before."""
    return PostgresLog.open(url, lead(url), now_ms)


@pytest.fixture
def record() -> Callable[..., LogRecord]:
    """A record with a readable body: record(3) is the third event of session s1."""

    def make(
        seq: int, session: str = "s1", village: str = "demo", type: str = "TERMINAL_CHUNK", body: bytes | None = None
    ) -> LogRecord:
        return LogRecord(session, seq, village, type, 1000.0 + seq, body if body is not None else b'{"seq":%d}' % seq)

    return make

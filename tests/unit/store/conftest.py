"""A log and a database in a directory of their own."""

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.support.databases import (
    database as database,
    database_url as database_url,
    postgres_server as postgres_server,
)
from townwatch.contracts.records import LogRecord
from townwatch.store.log.event_log import EventLog


@pytest.fixture
def log(tmp_path: Path) -> Iterator[EventLog]:
    with EventLog.open(tmp_path / "journal.db") as opened:
        yield opened


@pytest.fixture
def record() -> Callable[..., LogRecord]:
    """A record with a readable body: record(3) is the third event of session s1."""

    def make(
        seq: int, session: str = "s1", village: str = "demo", type: str = "TERMINAL_CHUNK", body: bytes | None = None
    ) -> LogRecord:
        return LogRecord(session, seq, village, type, 1000.0 + seq, body if body is not None else b'{"seq":%d}' % seq)

    return make

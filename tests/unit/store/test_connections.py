"""No connection is left to the garbage collector: not where a server goes while one is made, not where a call ends
after the close.
"""

import os
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import attrs
import pytest
from sqlalchemy import text

from tests.unit.store.conftest import fresh_schema, open_postgres_log
from townwatch.contracts.faults import TablesUnavailable
from townwatch.store.database import Database
from townwatch.store.engine import driver, postgres
from townwatch.store.pg_log import log as pg_log


@pytest.fixture
def postgres_url(postgres_server: str) -> str:
    return fresh_schema(postgres_server)


@pytest.fixture(params=["sqlite", "postgresql"])
def url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    return request.getfixturevalue("postgres_url") if request.param == "postgresql" else str(tmp_path / "t.db")


@pytest.fixture
def sockets() -> Iterator[Any]:
    if not os.path.isdir("/proc/self/fd"):
        pytest.skip("needs /proc")

    def count() -> int:
        return len(os.listdir("/proc/self/fd"))

    yield count


@attrs.frozen
class Refusing:
    """In the place of a step that settles a new connection: its server goes in that moment."""

    given: list[Any] = attrs.field(factory=list[Any])

    def __call__(self, connection: Any) -> None:
        self.given.append(connection)
        raise driver.OperationalError("the server is gone")

    @property
    def left_open(self) -> list[Any]:
        assert self.given
        return [one for one in self.given if not one.closed]


def test_a_call_that_ends_after_the_close_leaves_no_connection(url: str, sockets: Any) -> None:
    before = sockets()
    database = Database.open(url)
    began, closed = threading.Event(), threading.Event()
    kept: list[Any] = []

    def slow(connection: Any) -> None:
        connection.execute(text("SELECT 1"))
        kept.append(connection.connection.driver_connection)
        began.set()
        closed.wait(10)

    call = threading.Thread(target=database.run, args=(slow,))
    call.start()
    began.wait(10)
    database.close()
    closed.set()
    call.join(10)
    assert sockets() == before


def test_a_connection_for_the_tables_that_cannot_be_settled_is_closed(
    postgres_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    refuse = Refusing()
    monkeypatch.setattr(postgres, "prepare", refuse)
    with pytest.raises(TablesUnavailable):
        Database.open(postgres_url)
    assert refuse.left_open == []


def test_a_connection_for_the_log_that_cannot_be_settled_is_closed(
    postgres_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    refuse = Refusing()
    monkeypatch.setattr(pg_log.arrays, "teach", refuse)
    with pytest.raises(TablesUnavailable):
        open_postgres_log(postgres_url)
    assert refuse.left_open == []


def test_a_reader_that_is_closed_while_it_is_read_keeps_no_connection(postgres_url: str, sockets: Any) -> None:
    before = sockets()
    log = open_postgres_log(postgres_url)
    with log.connection():
        log.close()
    assert sockets() == before

"""A connection of its own: given up under whoever waits on it, and left to nobody."""

import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from tests.unit.store.conftest import fresh_schema, lead
from townwatch.cluster.connection import OwnConnection
from townwatch.store.engine import driver, postgres
from townwatch.store.log.records import LogUnreachable
from townwatch.store.pg_log.log import PostgresLog

NAME = "townwatch of a test"


@pytest.fixture
def made(monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    """Every connection that is made."""
    found: list[Any] = []
    connect = postgres.connect

    def noted(*args: Any) -> Any:
        found.append(connect(*args))
        return found[-1]

    monkeypatch.setattr(postgres, "connect", noted)
    return found


@pytest.fixture
def url(postgres_server: str) -> str:
    return fresh_schema(postgres_server)


@pytest.fixture
def threads() -> Iterator[ThreadPoolExecutor]:
    with ThreadPoolExecutor(4) as pool:
        yield pool


def ask(line: OwnConnection, sql: str = "SELECT 1") -> Any:
    with line.use() as connection:
        return connection.execute(sql).fetchone()[0]


def test_a_call_under_which_it_is_given_up_fails_and_closes_it(
    url: str, made: list[Any], threads: ThreadPoolExecutor
) -> None:
    line = OwnConnection(postgres.parse(url), NAME)
    assert ask(line) == 1
    waiting = threads.submit(ask, line, "SELECT pg_sleep(600)")
    while not made[0].lock.locked():
        pass
    line.give_up()
    with pytest.raises(driver.OperationalError):
        waiting.result(30)
    assert [one.closed for one in made] == [True]
    assert (ask(line), len(made), line.given_up) == (1, 2, 1)
    line.close()
    assert [one.closed for one in made] == [True, True]


def test_threads_that_connect_at_the_same_time_have_one(url: str, made: list[Any], threads: ThreadPoolExecutor) -> None:
    both = threading.Barrier(2, timeout=30)
    line = OwnConnection(postgres.parse(url), NAME, lambda _connection: both.wait() and None)
    calls = [threads.submit(ask, line) for _ in range(2)]
    assert [call.result(30) for call in calls] == [1, 1]
    assert sorted(one.closed for one in made) == [False, True]
    line.close()
    assert all(one.closed for one in made)


@pytest.mark.parametrize("end", [OwnConnection.give_up, OwnConnection.close])
def test_what_is_given_up_while_it_is_made_is_closed(
    url: str, made: list[Any], threads: ThreadPoolExecutor, end: Callable[[OwnConnection], None]
) -> None:
    begun, go_on = threading.Event(), threading.Event()

    def prepare(_connection: Any) -> None:
        begun.set()
        assert go_on.wait(30)

    line = OwnConnection(postgres.parse(url), NAME, prepare)
    call = threads.submit(ask, line)
    assert begun.wait(30)
    end(line)
    go_on.set()
    with pytest.raises(driver.OperationalError, match="given up before it was there"):
        call.result(30)
    assert [one.closed for one in made] == [True]


def test_a_call_that_begins_after_the_end_connects_to_nothing(url: str, made: list[Any]) -> None:
    line = OwnConnection(postgres.parse(url), NAME)
    line.close()
    with pytest.raises(driver.OperationalError, match="closed"):
        ask(line)
    assert made == []


def test_a_look_at_a_log_that_another_thread_closed_connects_to_nothing(url: str, made: list[Any]) -> None:
    PostgresLog.open(url, lead(url)).close()
    log = PostgresLog.stand_by(url, "second")
    log.close()
    before = len(made)
    with pytest.raises(LogUnreachable):
        log.look()
    assert all(one.closed for one in made[before:])
    assert len(made) == before

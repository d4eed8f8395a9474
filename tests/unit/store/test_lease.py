"""A leader that is gone is replaced before its lease ends, and one that only lost connections is not."""

from collections.abc import Iterator

import psycopg
import pytest
import trio

from tests.unit.store.conftest import fresh_schema
from townwatch.cluster import lease as leases
from townwatch.cluster.leadership import Leadership
from townwatch.cluster.lease import Leader, ProcessLease
from townwatch.store.engine import postgres
from townwatch.store.engine.fence import Term

LONG, SHORT = 600.0, 0.2
"""Seconds: no lease of these tests runs out; and how long a standby looks at a leader that it must leave alone."""


@pytest.fixture
def url(postgres_server: str) -> str:
    return fresh_schema(postgres_server)


@pytest.fixture
def leader(url: str) -> Iterator[ProcessLease]:
    with ProcessLease(url, "first", LONG) as one:
        one.prepare()
        yield one


@pytest.fixture
def standby(url: str) -> Iterator[ProcessLease]:
    with ProcessLease(url, "second", LONG) as one:
        yield one


def term_of(lease: ProcessLease) -> Term:
    taken = lease.take()
    assert isinstance(taken, Term)
    return taken


def another_connection(url: str, term: Term) -> psycopg.Connection:
    """As the leader's event log and tables have them."""
    return postgres.connect(postgres.parse(url), term.application)


def test_a_leader_whose_process_ended_is_replaced_before_its_lease_ends(
    leader: ProcessLease, standby: ProcessLease
) -> None:
    first = term_of(leader)
    standby.watch(SHORT)
    assert isinstance(standby.take(), Leader)
    leader.disconnect()  # as the kernel does for a process that was killed
    standby.watch(LONG)
    assert term_of(standby).epoch == first.epoch + 1
    assert leader.renew(first) is False


def test_the_next_leader_has_a_life_sign_too(url: str, leader: ProcessLease, standby: ProcessLease) -> None:
    with ProcessLease(url, "third", LONG) as third:
        term_of(leader)
        standby.watch(SHORT)
        leader.disconnect()
        standby.watch(LONG)
        second = term_of(standby)
        third.watch(SHORT)
        standby.disconnect()
        third.watch(LONG)
        assert term_of(third).epoch == second.epoch + 1


def test_a_leader_that_lost_the_connection_of_its_lease_alone_is_at_work(
    url: str, leader: ProcessLease, standby: ProcessLease
) -> None:
    term = term_of(leader)
    with another_connection(url, term):
        standby.watch(SHORT)
        leader.disconnect()
        standby.watch(SHORT)
        assert isinstance(standby.take(), Leader)
        assert leader.renew(term) is True
    standby.watch(SHORT)  # the life sign is held again
    assert isinstance(standby.take(), Leader)


def test_a_leader_whose_connections_were_all_ended_and_that_renews_in_time_stays(
    url: str, leader: ProcessLease, standby: ProcessLease
) -> None:
    term = term_of(leader)
    standby.watch(SHORT)
    leader.disconnect()
    standby.watch(LONG)  # to the moment before the standby takes over
    assert leader.renew(term) is True
    assert isinstance(standby.take(), Leader)
    standby.watch(SHORT)
    assert isinstance(standby.take(), Leader)


def test_what_a_standby_did_not_see_itself_says_nothing(url: str, leader: ProcessLease) -> None:
    """One that came later, or was cut off: PostgreSQL may have restarted meanwhile, with every connection."""
    term_of(leader)
    leader.disconnect()
    with ProcessLease(url, "late", LONG) as late:
        late.watch(SHORT)
        assert isinstance(late.take(), Leader)


def test_a_standby_that_was_cut_off_forgets_what_it_saw(leader: ProcessLease, standby: ProcessLease) -> None:
    term_of(leader)
    standby.watch(SHORT)
    standby.disconnect()
    leader.disconnect()
    standby.watch(SHORT)
    assert isinstance(standby.take(), Leader)


def test_one_that_was_cut_off_gives_a_leader_time_to_come_back_too(
    url: str, standby: ProcessLease, monkeypatch: pytest.MonkeyPatch
) -> None:
    with ProcessLease(url, "first", 0) as leader:
        leader.prepare()
        term = term_of(leader)
        standby.look()
        standby.disconnect()  # PostgreSQL restarted: both are cut off, and the lease ran out
        assert isinstance(standby.take(), Leader)
        assert leader.renew(term) is True
        monkeypatch.setattr(leases, "RETURN_SECONDS", 0.0)
        assert isinstance(standby.take(), Term)


def test_a_released_lease_is_taken_at_once_however_new_the_connection_is(
    leader: ProcessLease, standby: ProcessLease
) -> None:
    term = term_of(leader)
    standby.look()
    standby.disconnect()
    leader.release(term)
    standby.watch(LONG)
    assert isinstance(standby.take(), Term)


async def test_a_leader_whose_connection_was_ended_renews_at_once(url: str, leader: ProcessLease) -> None:
    """Not at the next renewal, which is minutes away: a standby would not wait for that."""
    leadership = Leadership(leader, term_of(leader))
    async with trio.open_nursery() as nursery:
        nursery.start_soon(leadership.keep)
        with psycopg.connect(url, autocommit=True) as connection, trio.fail_after(20):
            (first,) = holders(connection)
            connection.execute("SELECT pg_terminate_backend(%s)", (first,))
            while first in (held := holders(connection)) or not held:
                await trio.sleep(0.01)
        nursery.cancel_scope.cancel()
    assert not leadership.lost.is_set()


def holders(connection: psycopg.Connection) -> list[int]:
    """The process ids of connections that hold a life sign."""
    found = (
        "SELECT pid FROM pg_locks WHERE locktype = 'advisory' AND objsubid = 1 AND mode = 'ExclusiveLock' AND granted"
    )
    return [pid for (pid,) in connection.execute(found)]

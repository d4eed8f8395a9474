"""The event log in PostgreSQL: one process leads, and only that one writes, whatever happened to the others."""

from collections.abc import Callable, Iterator
from pathlib import Path

import psycopg
import pytest

from tests.support.lost_answers import losing_way
from tests.unit.store.conftest import fresh_schema, lead, open_postgres_log
from townwatch.cluster.lease import Leader, ProcessLease
from townwatch.contracts.faults import TablesFenced
from townwatch.contracts.records import LogRecord
from townwatch.store import villages
from townwatch.store.database import Database
from townwatch.store.engine import postgres
from townwatch.store.engine.fence import PASS_FENCE_TO_LOG, Term
from townwatch.store.log.records import LogFenced, LogUnreachable, Retention
from townwatch.store.pg_log.log import PostgresLog
from townwatch.store.pg_log.schema import packed, unpacked

Make = Callable[..., LogRecord]


@pytest.fixture
def url(postgres_server: str) -> str:
    return fresh_schema(postgres_server)


@pytest.fixture
def lease(url: str) -> Iterator[ProcessLease]:
    with ProcessLease(url, "first", seconds=60) as one:
        one.prepare()
        yield one


def bodies(url: str) -> list[tuple[int, bytes]]:
    with psycopg.connect(url) as connection:
        return connection.execute("SELECT seq, body FROM log_event ORDER BY position").fetchall()


# --- the lease -------------------------------------------------------------------------------------------------------


def test_one_process_leads_and_the_next_is_told_which(url: str, lease: ProcessLease) -> None:
    term = lease.take()
    assert isinstance(term, Term)
    with ProcessLease(url, "second", seconds=60) as other:
        leader = other.take()
        assert isinstance(leader, Leader)
        assert str(leader).startswith("first leads since 20")
        lease.release(term)
        after = other.take()
        assert isinstance(after, Term)
        assert after.epoch == term.epoch + 1
    assert lease.renew(term) is False


def test_a_lease_that_ran_out_is_renewed_unless_another_process_took_it(url: str) -> None:
    with ProcessLease(url, "first", seconds=0) as slow, ProcessLease(url, "second", seconds=60) as other:
        slow.prepare()
        term = slow.take()
        assert isinstance(term, Term)
        assert slow.renew(term) is True
        assert isinstance(other.take(), Term)
        assert slow.renew(term) is False


# --- the fence -------------------------------------------------------------------------------------------------------


def test_a_replaced_process_cannot_write_one_event(url: str, record: Make) -> None:
    with open_postgres_log(url) as old:
        old.append([record(1)])
        with open_postgres_log(url) as new:
            with pytest.raises(LogUnreachable):  # its connections were ended
                old.append([record(2, body=b"late")])
            for write in (
                lambda: old.append([record(2, body=b"late")]),
                lambda: old.save_snapshots({"session:s1": (1, b"late")}),
                lambda: old.delete_session("s1"),
                lambda: old.retain("demo", Retention(max_bytes=0)),
            ):
                with pytest.raises(LogFenced, match="this process led in epoch 1, and alone leads in epoch 2"):
                    write()
            assert new.append([record(2)]).heads["s1"].last_seq == 2
            assert new.load_snapshots() == {}
    assert bodies(url) == [(1, b'{"seq":1}'), (2, b'{"seq":2}')]


def test_a_replaced_process_cannot_write_to_the_tables_either(url: str) -> None:
    first = lead(url)
    old = Database.open(url, first)
    old.run(villages.create, "mine", "Mine", 1)
    lead(url)
    with pytest.raises(TablesFenced, match="leads in epoch 2"):
        old.run(villages.create, "late", "Late", 2)
    old.close()
    alone = Database.open(url)
    assert alone.run(villages.key_of, "mine") is not None
    assert alone.run(villages.key_of, "late") is None
    alone.close()


def test_frozen_in_the_middle_of_a_transaction_it_is_ended_by_the_one_that_takes_over(url: str, record: Make) -> None:
    term = lead(url)
    with PostgresLog.open(url, term) as log:
        log.append([record(1)])
    frozen = postgres.connect(postgres.parse(url), term.application)
    frozen.execute(PASS_FENCE_TO_LOG, (term.epoch,))
    frozen.execute("UPDATE log_session SET max_seq = 99")
    with open_postgres_log(url) as new:  # within the lease's time for this, not after the frozen transaction's end
        assert new.append([record(2)]).heads["s1"].last_seq == 2
    with pytest.raises(psycopg.OperationalError):
        frozen.commit()
    frozen.close()
    assert [seq for seq, _body in bodies(url)] == [1, 2]


# --- what a commit came to -------------------------------------------------------------------------------------------


@pytest.mark.parametrize("lost", ["lose_answers", "lose_commits"])
def test_a_commit_whose_answer_was_lost_is_found_out_by_reading(
    postgres_server: str, url: str, record: Make, lost: str
) -> None:
    with losing_way(postgres_server) as way, PostgresLog.open(way.through(url), lead(url)) as log:
        log.append([record(1)])
        setattr(way, lost, True)
        with pytest.raises(LogUnreachable):
            log.append([record(2), record(3)])
        assert way.lost == 1
        again = log.append([record(2), record(3), record(4)])
        assert again.heads["s1"].last_seq == 4
        assert again.repeats == ({"s1": 2} if lost == "lose_answers" else {})
        assert [r.seq for r in log.read("s1")] == [1, 2, 3, 4]
        assert [r.position for r in log.read("s1")] == [1, 2, 3, 4]


def test_what_was_stored_is_there_for_the_next_leader(url: str, record: Make) -> None:
    with open_postgres_log(url) as log:
        log.append([record(1), record(2), record(4), record(1, session="s2", village="other")])
        log.append([record(1, session="gone")])
        log.delete_session("gone")
        before, position = log.heads(), log.position
    with open_postgres_log(url) as log:
        assert (log.heads(), log.position) == (before, position)
        assert log.deleted("gone")
        assert log.append([record(3)]).heads["s1"].last_seq == 4
        assert log.read("s1", after=2)[0].position == 6


def test_an_event_that_cannot_be_used_is_set_aside_with_a_declared_loss(url: str, record: Make) -> None:
    with open_postgres_log(url) as log:
        log.append([record(1), record(2)])
        log.set_aside(2, "no event")
        assert (log.quarantined, log.lost("s1")[0].reason, log.village_sizes()["demo"][0]) == (1, "no event", 1)
        assert [r.seq for r in log.read("s1")] == [1]


def test_ids_of_others_are_kept_with_every_character_that_they_may_have(url: str, record: Make) -> None:
    odd = "a\0b\\0c\\\\\0"
    assert unpacked(packed(odd)) == odd
    with open_postgres_log(url) as log:
        log.append([record(1, session=odd)])
    with open_postgres_log(url) as log:
        assert log.read(odd)[0].session_id == odd
        assert set(log.heads()) == {odd}


def test_by_age_of_our_own_clock(url: str, record: Make, tmp_path: Path) -> None:
    now = [1_000.0]
    with open_postgres_log(url, lambda: now[0]) as log:
        log.append([record(1)])
        now[0] = 5_000.0
        log.append([record(2)])
        assert log.retain("demo", Retention(max_age_ms=4_500)).events == 0
        now[0] = 6_000.0
        assert log.retain("demo", Retention(max_age_ms=4_500)).events == 1
        assert [r.seq for r in log.read("s1")] == [2]

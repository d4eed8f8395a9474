"""Forgetting: by age, by size, by session; in chunks, with sums that stay true."""

from collections.abc import Callable
from pathlib import Path

import pytest

from townwatch.store.log.event_log import EventLog
from townwatch.store.log.port import DurableLog
from townwatch.store.log.records import LogRecord, Retention

Make = Callable[..., LogRecord]
on_both = pytest.mark.parametrize("log", ["file", "postgresql"], indirect=True)


def sizes(log: DurableLog) -> tuple[int, int]:
    rows = [r for session_id in log.heads() for r in log.read(session_id) if r.village_id == "demo"]
    return len(rows), sum(len(r.body) for r in rows)


@on_both
def test_by_size_the_oldest_go_until_it_fits(log: EventLog, record: Make) -> None:
    log.append([record(seq, body=b"x" * 100) for seq in range(1, 11)])
    log.append([record(1, session="o", village="other", body=b"x" * 5000)])
    removed = log.retain("demo", Retention(max_bytes=300))
    assert (removed.events, removed.bytes, removed.more) == (7, 700, False)
    assert [r.seq for r in log.read("s1")] == [8, 9, 10]
    assert log.heads()["s1"].first_seq == 8
    assert log.village_sizes()["demo"] == sizes(log) == (3, 300)
    assert len(log.read("o")) == 1


def test_by_age_of_our_own_clock_whatever_the_runner_says(tmp_path: Path, record: Make) -> None:
    now = 1_000.0
    with EventLog.open(tmp_path / "j.db", now_ms=lambda: now) as log:
        log.append([record(1)])
        now = 5_000.0
        log.append([record(2)])
        assert log.retain("demo", Retention(max_age_ms=4_500)).events == 0
        now = 6_000.0
        assert log.retain("demo", Retention(max_age_ms=4_500)).events == 1
        assert [r.seq for r in log.read("s1")] == [2]


@on_both
def test_in_chunks_with_appends_in_between(log: EventLog, record: Make) -> None:
    log.append([record(seq) for seq in range(1, 101)])
    steps, appended = 0, 100
    while log.retain("demo", Retention(max_bytes=0), chunk=10).more:
        steps += 1
        if steps <= 5:
            appended += 1
            log.append([record(appended)])
    assert steps == 10
    assert log.read("s1") == []
    assert log.heads()["s1"].max_seq == 105
    assert log.append([record(105), record(106)]).repeats == {"s1": 1}  # forgotten, and still known as a repeat


@on_both
def test_spared_sessions_are_not_touched(log: EventLog, record: Make) -> None:
    log.append([record(seq, session=s) for seq in range(1, 4) for s in ("live", "done")])
    log.retain("demo", Retention(max_bytes=0), spare=["live", "unknown"])
    assert (len(log.read("live")), len(log.read("done"))) == (3, 0)


def test_a_deleted_session_is_gone_and_does_not_come_back(tmp_path: Path, record: Make) -> None:
    with EventLog.open(tmp_path / "j.db") as log:
        log.append([record(seq, session=s) for seq in range(1, 6) for s in ("s1", "s2")])
        log.save_snapshots({"session:s1": (1, b"state")})
        while log.delete_session("s1", chunk=2).more:
            pass
        assert set(log.heads()) == {"s2"}
        assert log.load_snapshots() == {}
        result = log.append([record(5), record(6)])
        assert (result.stored, result.heads["s1"].last_seq) == ((), 6)  # acknowledged, so that the runner lets go
        assert log.village_sizes()["demo"] == sizes(log)
    with EventLog.open(tmp_path / "j.db") as log:
        assert log.head("s1") is None
        assert log.append([record(7)]).stored == ()


@on_both
def test_what_was_derived_from_removed_events_is_told_of_their_sessions(log: EventLog, record: Make) -> None:
    told: list[str] = []
    log.on_removed = told.extend
    log.append([record(seq, session=s) for seq in range(1, 4) for s in ("live", "old", "gone")])
    log.retain("demo", Retention(max_bytes=0), spare=["live", "gone"])
    assert told == ["old"]
    log.delete_session("gone")
    assert told == ["old", "gone"]


@on_both
def test_unknown_names_are_no_error(log: EventLog) -> None:
    assert log.retain("nowhere", Retention(max_bytes=0)).events == 0
    assert log.delete_session("nobody").events == 0


def test_vacuum_gives_the_space_back_a_step_at_a_time(log: EventLog, record: Make, tmp_path: Path) -> None:
    log.append([record(seq, body=b"x" * 4000) for seq in range(1, 1001)])
    log.checkpoint()
    path = tmp_path / "journal.db"
    before = path.stat().st_size
    log.retain("demo", Retention(max_bytes=0))
    left = log.vacuum(100)
    assert left > 0
    while log.vacuum(500):
        pass
    log.close()
    assert path.stat().st_size < before / 10

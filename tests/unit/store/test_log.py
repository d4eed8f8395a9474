"""The event log: what is appended is there once, in order, after whatever."""

import os
import sqlite3
import stat
import threading
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.support.whole_log import read_all
from townwatch.store.log.event_log import EventLog
from townwatch.store.log.port import DurableLog
from townwatch.store.log.read import LogReader
from townwatch.store.log.records import DiskFull, LogBroken, LogInUse, LogRecord, LogTooNew, Lost

Make = Callable[..., LogRecord]
on_both = pytest.mark.parametrize("log", ["file", "postgresql"], indirect=True)


def seqs(records: list[LogRecord]) -> list[int]:
    return [record.seq for record in records]


@on_both
def test_what_was_appended_can_be_read_back_byte_for_byte(log: EventLog, record: Make) -> None:
    body = '{"data":"\\u0000 ünï \x1b[2J"}'.encode()
    log.append([record(1, body=body), record(2)])
    first, second = log.read("s1")
    assert (first.body, first.type, first.ts_ms, first.village_id) == (body, "TERMINAL_CHUNK", 1001.0, "demo")
    assert second.seq == 2


@on_both
def test_a_repeat_is_dropped_and_counted_and_the_first_one_stands(log: EventLog, record: Make) -> None:
    log.append([record(1, body=b"first")])
    result = log.append([record(1, body=b"second"), record(2), record(2)])
    assert result.repeats == {"s1": 2}
    assert [r.seq for r in result.stored] == [2]
    assert [r.body for r in log.read("s1")] == [b"first", b'{"seq":2}']


@on_both
def test_the_head_is_the_highest_seq_without_a_hole_before_it(log: EventLog, record: Make) -> None:
    result = log.append([record(1), record(2), record(5)])
    head = result.heads["s1"]
    assert (head.last_seq, head.max_seq, head.holes) == (2, 5, ((3, 4),))
    assert log.append([record(4)]).heads["s1"].last_seq == 2
    assert log.append([record(3)]).heads["s1"].last_seq == 5
    assert seqs(log.read("s1")) == [1, 2, 3, 4, 5]


@on_both
def test_what_is_declared_lost_no_longer_holds_the_head_back(log: EventLog, record: Make) -> None:
    log.append([record(1), record(4)])
    result = log.append([record(5)], lost=[Lost("s1", 2, 3, "E_BAD_PAYLOAD")])
    assert result.heads["s1"].last_seq == 5
    assert log.lost("s1") == [Lost("s1", 2, 3, "E_BAD_PAYLOAD")]
    assert log.append([record(2)]).repeats == {"s1": 1}  # what was given up does not come back later, out of order


@on_both
def test_losing_the_next_number_moves_the_head_without_an_event(log: EventLog, record: Make) -> None:
    log.append([record(1)])
    assert log.append([], lost=[Lost("s1", 2, 2, "E_BAD_PAYLOAD")]).heads["s1"].last_seq == 2
    assert log.append([record(3)]).heads["s1"].last_seq == 3


@on_both
def test_a_session_stays_in_its_village(log: EventLog, record: Make) -> None:
    log.append([record(1)])
    result = log.append([record(2, village="other"), record(2)])
    assert [(r.seq, r.reason) for r in result.refused] == [(2, "wrong_village")]


@on_both
@pytest.mark.parametrize("seq", [0, -1, 2**53])
def test_a_seq_outside_of_the_contract_is_refused(log: EventLog, record: Make, seq: int) -> None:
    result = log.append([record(seq), record(1)])
    assert [r.reason for r in result.refused] == ["bad_seq"]
    assert result.heads["s1"].last_seq == 1


@on_both
def test_a_runner_that_makes_holes_without_end_is_refused(log: EventLog, record: Make) -> None:
    result = log.append([record(seq) for seq in range(1, 1200, 2)])
    assert {r.reason for r in result.refused} == {"too_many_holes"}
    assert len(result.heads["s1"].holes) == 256


def test_heads_survive_a_restart(tmp_path: Path, record: Make) -> None:
    with EventLog.open(tmp_path / "j.db") as log:
        log.append([record(1), record(2), record(4), record(1, session="s2", village="other")])
        before, position = log.heads(), log.position
    with EventLog.open(tmp_path / "j.db") as log:
        assert log.heads() == before
        assert log.position == position == 4
        assert log.append([record(2), record(3)]).heads["s1"].last_seq == 4


def test_positions_grow_over_all_sessions_and_are_never_given_twice(tmp_path: Path, record: Make) -> None:
    with EventLog.open(tmp_path / "j.db") as log:
        log.append([record(1), record(1, session="s2")])
        log.append([record(1, session="s3")])
        log.delete_session("s3")
    with EventLog.open(tmp_path / "j.db") as log:
        log.append([record(2)])
        assert [(r.session_id, r.position) for r in read_all(log)] == [("s1", 1), ("s2", 2), ("s1", 4)]


@on_both
def test_reads_are_cut_at_limit_and_bytes_and_always_get_further(log: EventLog, record: Make) -> None:
    log.append([record(seq, body=b"x" * 100) for seq in range(1, 11)])
    assert seqs(log.read("s1", after=3, limit=2)) == [4, 5]
    assert seqs(log.read("s1", max_bytes=250)) == [1, 2]
    assert seqs(log.read("s1", max_bytes=1)) == [1]
    assert log.read("s1", after=10) == [] == log.read("nobody")


@on_both
def test_snapshots_replace_each_other_by_key(log: EventLog) -> None:
    log.save_snapshots({"session:s1": (5, b"one"), "village:demo": (5, b"two")})
    log.save_snapshots({"session:s1": (9, b"three")})
    found = log.load_snapshots("session:")
    assert {key: (s.position, s.body) for key, s in found.items()} == {"session:s1": (9, b"three")}
    assert set(log.load_snapshots()) == {"session:s1", "village:demo"}


def test_only_the_owner_of_the_machine_account_can_read_the_files(log: EventLog, record: Make, tmp_path: Path) -> None:
    log.append([record(1)])
    modes = {file.name: stat.S_IMODE(file.stat().st_mode) for file in tmp_path.iterdir()}
    assert modes.keys() >= {"journal.db", "journal.db-wal"}
    assert set(modes.values()) == {0o600}


def test_a_second_writer_is_told_that_the_log_is_in_use(log: EventLog, tmp_path: Path) -> None:
    with pytest.raises(LogInUse, match="in use by another townwatch"):
        EventLog.open(tmp_path / "journal.db")


def test_a_file_of_a_later_version_is_left_alone(tmp_path: Path) -> None:
    EventLog.open(tmp_path / "j.db").close()
    connection = sqlite3.connect(tmp_path / "j.db")
    connection.execute("PRAGMA user_version = 99")
    connection.close()
    with pytest.raises(LogTooNew, match="version 99"):
        EventLog.open(tmp_path / "j.db")


def test_a_file_that_is_no_database_is_refused_with_its_name(tmp_path: Path) -> None:
    (tmp_path / "j.db").write_bytes(b"this is no database at all" * 100)
    with pytest.raises(LogBroken, match="not a database"):
        EventLog.open(tmp_path / "j.db")
    assert (tmp_path / "j.db").read_bytes().startswith(b"this is no")


def test_full_is_what_the_writer_runs_with_by_default(log: EventLog) -> None:
    writer = log._writer
    assert writer.execute("PRAGMA synchronous").fetchone() == (2,)
    assert writer.execute("PRAGMA journal_mode").fetchone() == ("wal",)


def test_a_full_disk_stores_nothing_says_so_and_is_forgotten_when_there_is_room(log: EventLog, record: Make) -> None:
    log.append([record(1)])
    (pages,) = log._writer.execute("PRAGMA page_count").fetchone()
    log._writer.execute(f"PRAGMA max_page_count = {pages + 2}")
    with pytest.raises(DiskFull, match="no room left"):
        log.append([record(seq, body=b"x" * 3000) for seq in range(2, 50)])
    assert seqs(log.read("s1")) == [1]
    assert log.heads()["s1"].max_seq == 1
    log._writer.execute("PRAGMA max_page_count = 1000000")
    assert log.append([record(seq) for seq in range(2, 50)]).heads["s1"].last_seq == 49


def test_readers_in_other_threads_see_whole_batches_only(log: EventLog, record: Make) -> None:
    stop, torn = threading.Event(), list[int]()
    reads = 0

    def watch() -> None:
        nonlocal reads
        while not stop.is_set():
            torn.extend([len(rows)] if (rows := log.read("s1", limit=10_000)) and len(rows) % 10 else [])
            reads += 1

    thread = threading.Thread(target=watch)
    thread.start()
    batches = 0
    while batches < 50 or reads < 5:
        log.append([record(seq) for seq in range(batches * 10 + 1, batches * 10 + 11)])
        batches += 1
    stop.set()
    thread.join()
    assert torn == []


def test_a_reader_alone_can_follow_the_log_of_a_running_service(log: EventLog, record: Make, tmp_path: Path) -> None:
    reader = LogReader(tmp_path / "journal.db")
    log.append([record(1)])
    assert seqs(reader.read("s1")) == [1]
    log.append([record(2)])
    assert seqs(reader.read("s1")) == [1, 2]
    reader.close()


def test_nothing_of_the_log_stays_open_after_close(tmp_path: Path, record: Make) -> None:
    before = len(os.listdir("/proc/self/fd")) if os.path.isdir("/proc/self/fd") else None
    log = EventLog.open(tmp_path / "j.db")
    log.append([record(1)])
    log.read("s1")
    log.close()
    log.close()
    if before is not None:
        assert len(os.listdir("/proc/self/fd")) == before


def test_a_snapshot_that_comes_after_its_session_was_deleted_is_not_kept(
    log: EventLog, record: Callable[..., LogRecord]
) -> None:
    log.append([record(1)])
    log.delete_session("s1")
    log.save_snapshots({"session:s1": (1, b"late"), "session:s2": (1, b"kept")})
    assert set(log.load_snapshots()) == {"session:s2"}


@on_both
def test_events_of_some_types_are_read_in_the_order_they_came(log: DurableLog, record: Make) -> None:
    log.append([record(1, "s1", type="A"), record(1, "s\\2", type="B"), record(2, "s1", type="C"), record(3, type="A")])
    found = log.of_types(["A", "B"], 1, log.position)
    assert [(one.session_id, one.seq, one.type, one.position) for one in found] == [
        ("s\\2", 1, "B", 2),
        ("s1", 3, "A", 4),
    ]
    assert found[0].body == log.read("s\\2")[0].body
    assert found[0].stored_ms == log.read("s\\2")[0].stored_ms
    assert log.of_types(["A"], 0, 1)[0].position == 1
    assert log.of_types(["D"], 0, log.position) == []

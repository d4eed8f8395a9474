"""A disk that is really full: a small file system of our own, filled to the last byte."""

import subprocess
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path

import pytest

from townwatch.contracts.records import LogRecord
from townwatch.store.log.event_log import EventLog
from townwatch.store.log.records import DiskFull, Retention

Make = Callable[..., LogRecord]
SIZE = 6 << 20
RESERVE = 1 << 20


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    place = tmp_path / "disk"
    place.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", f"size={SIZE}", "tmpfs", str(place)]
    if subprocess.run(mount, capture_output=True, check=False).returncode:
        pytest.skip("needs the right to mount a tmpfs (root)")
    yield place
    subprocess.run(["umount", str(place)], check=True)


def fill(log: EventLog, record: Make) -> int:
    """Append until it is refused; the last seq that was acknowledged."""
    acknowledged = 0
    with pytest.raises(DiskFull):
        while True:
            acknowledged = log.append([record(acknowledged + 1, body=b"x" * 5000)]).heads["s1"].last_seq
    return acknowledged


def stored(log: EventLog) -> list[int]:
    return [r.seq for r in log.read("s1", limit=100_000, max_bytes=1 << 40)]


def test_nothing_acknowledged_is_lost_and_reading_goes_on(small_disk: Path, record: Make) -> None:
    with EventLog.open(small_disk / "j.db", reserve_bytes=RESERVE) as log:
        acknowledged = fill(log, record)
        for _ in range(3):
            with pytest.raises(DiskFull):
                log.append([record(acknowledged + 1, body=b"x" * 5000)])
        assert log.heads()["s1"].last_seq == acknowledged
        assert stored(log) == list(range(1, acknowledged + 1))
        crashed = {f.name: f.read_bytes() for f in small_disk.iterdir() if f.suffix in (".db", ".db-wal")}
    elsewhere = small_disk.parent / "elsewhere"
    elsewhere.mkdir()
    for name, content in crashed.items():
        (elsewhere / name).write_bytes(content)
    with EventLog.open(elsewhere / "j.db") as log:
        assert stored(log) == list(range(1, acknowledged + 1))


def test_it_goes_on_when_there_is_room_again(small_disk: Path, record: Make) -> None:
    filler = small_disk / "somebody elses"
    filler.write_bytes(bytes(SIZE // 2))
    with EventLog.open(small_disk / "j.db", reserve_bytes=0) as log:
        acknowledged = fill(log, record)
        filler.unlink()
        assert log.append([record(acknowledged + 1)]).heads["s1"].last_seq == acknowledged + 1


def test_the_old_can_be_deleted_even_then_and_the_reserve_comes_back(small_disk: Path, record: Make) -> None:
    with EventLog.open(small_disk / "j.db", reserve_bytes=RESERVE) as log:
        acknowledged = fill(log, record)
        assert log.retain("demo", Retention(max_bytes=100_000), chunk=5000).events > 0
        while log.vacuum():
            pass
        log.checkpoint()
        assert log.append([record(acknowledged + 1)]).heads["s1"].last_seq == acknowledged + 1
        log.vacuum()
        assert log._reserve.held


def test_without_a_reserve_nothing_can_be_deleted(small_disk: Path, record: Make) -> None:
    """Why there is one."""
    with EventLog.open(small_disk / "j.db", reserve_bytes=0) as log:
        fill(log, record)
        with pytest.raises(DiskFull):
            log.retain("demo", Retention(max_bytes=100_000), chunk=5000)


def test_the_reserve_is_not_what_fills_the_disk(small_disk: Path) -> None:
    with EventLog.open(small_disk / "j.db", reserve_bytes=2 * SIZE):
        reserve = small_disk / "j.db.reserve"
        assert reserve.stat().st_size == 2 * SIZE // 16  # a part of it, where the whole would be too much
    reserve.unlink()
    with EventLog.open(small_disk / "j.db", reserve_bytes=20 * SIZE) as log:
        assert not log._reserve.held


def test_a_part_of_the_reserve_is_enough_to_open_and_delete(small_disk: Path, record: Make) -> None:
    with EventLog.open(small_disk / "j.db", reserve_bytes=16 * RESERVE) as log:
        fill(log, record)
    filler = small_disk / "filler"
    with filler.open("ab", buffering=0) as file, suppress(OSError):
        while file.write(bytes(1 << 12)):
            pass
    with EventLog.open(small_disk / "j.db", reserve_bytes=16 * RESERVE) as log:
        assert stored(log)
        assert log.retain("demo", Retention(max_bytes=100_000), chunk=10).events


def test_a_larger_reserve_is_taken_when_there_is_room(small_disk: Path) -> None:
    filler, path = small_disk / "filler", small_disk / "j.db"
    filler.write_bytes(bytes(3 << 20))
    with EventLog.open(path, reserve_bytes=RESERVE) as log:
        assert path.with_name("j.db.reserve").stat().st_size == RESERVE // 16
        filler.unlink()
        log.vacuum()
        assert path.with_name("j.db.reserve").stat().st_size == RESERVE

"""Pull the plug: whatever the disk was doing, what was acknowledged is there afterwards."""

import os
import pickle
import random
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.chaos import power_loss_trace as trace
from tests.chaos.power_loss_trace import Disk, Mark, Op
from townwatch.contracts.records import LogRecord
from townwatch.store.log.event_log import EventLog
from townwatch.store.log.records import LogError

CUTS = int(os.environ.get("TOWNWATCH_POWER_CUTS", "300"))
"""How many cuts at random; more by hand."""


def recorded(directory: Path, synchronous: str) -> list[Op]:
    command = [sys.executable, "-m", "tests.chaos.power_loss_trace", str(directory), synchronous]
    root = Path(__file__).parents[2]
    done = subprocess.run(command, cwd=root, check=True, stdout=subprocess.PIPE, timeout=60)
    return [getattr(trace, name)(*fields) for *fields, name in pickle.loads(done.stdout)]


def lost_after(files: dict[str, bytes], acknowledged: dict[str, int], where: Path, thorough: bool = True) -> str | None:
    """What is wrong with the log that these files hold; None when it has all that was acknowledged.

    Thorough: the file is sound in every page, and the log goes on.
    """
    for old in where.iterdir():
        old.unlink()
    for name, content in files.items():
        (where / name).write_bytes(content)
    try:
        with EventLog.open(where / "journal.db", reserve_bytes=0) as log:
            heads = log.heads()
            for session, seq in acknowledged.items():
                found = heads[session].last_seq if session in heads else 0
                if found < seq:
                    return f"{session}: {found} of {seq}"
                kept = [r.seq for r in log.read(session, limit=100_000, max_bytes=1 << 40)]
                if kept != list(range(heads[session].first_seq, found + 1)) and (kept or heads[session].events):
                    return f"{session}: head and events differ"
            if not thorough:
                return None
            (state,) = log._writer.execute("PRAGMA integrity_check").fetchone()
            if state != "ok":
                return f"broken: {state}"
            session, seq = next(iter(acknowledged.items()), ("new", 0))
            again = log.append([LogRecord(session, heads[session].last_seq + 1 if seq else 1, "demo", "X", 1.0, b"{}")])
            if not again.stored:
                return "does not go on"
    except LogError as error:
        return f"does not open: {error}"
    return None


def cuts(ops: list[Op], where: Path, count: int, seed: int) -> list[str]:
    """Cut the power `count` times at random; what went wrong."""
    choose = random.Random(seed)
    points = sorted(choose.randrange(len(ops) + 1) for _ in range(count))
    disk, done, wrong = Disk(), 0, list[str]()
    for point in points:
        for op in ops[done:point]:
            disk.apply(op)
        done = point
        if (fault := lost_after(disk.after_cut(choose), disk.acknowledged, where)) is not None:
            wrong.append(f"seed {seed}, cut before operation {point}: {fault}")
    return wrong


@pytest.fixture
def where(tmp_path: Path) -> Iterator[Path]:
    """Where the log is opened after a cut: in memory if the machine can, the disk's own speed is not the question."""
    memory = Path("/dev/shm")
    home = memory if os.access(memory, os.W_OK) else tmp_path
    with tempfile.TemporaryDirectory(prefix="tw-power-", dir=home) as place:
        yield Path(place)


def test_a_cut_at_any_moment_loses_nothing_acknowledged(tmp_path: Path, where: Path) -> None:
    ops = recorded(tmp_path / "life", "full")
    assert sum(isinstance(op, Mark) for op in ops) == 120
    seed = random.randrange(1 << 32)
    assert cuts(ops, where, CUTS, seed) == []


def test_the_same_cuts_find_what_the_setting_normal_risks(tmp_path: Path, where: Path) -> None:
    """The simulation is worth something only if it catches a log that does not sync."""
    ops = recorded(tmp_path / "life", "normal")
    wrong = cuts(ops, where, 100, seed=1)
    assert len(wrong) > 20
    assert not any("does not open" in fault or "broken" in fault for fault in wrong)


def test_the_last_commit_torn_anywhere(tmp_path: Path, where: Path) -> None:
    """Copies of the files around the last commit; the WAL cut within it at one byte after the other.

    Every byte of the frame's header, and every fifth of the page behind it.
    """
    life = tmp_path / "life"
    with EventLog.open(life / "journal.db", reserve_bytes=0) as log:
        log.append([LogRecord("a", seq, "demo", "X", 1.0, b"x" * 200) for seq in range(1, 21)])
        before = {f.name: f.read_bytes() for f in life.iterdir() if f.suffix in (".db", ".db-wal")}
        log.append([LogRecord("a", 21, "demo", "X", 1.0, b"y" * 50)])
        after = (life / "journal.db-wal").read_bytes()
    start = len(before["journal.db-wal"])
    assert start < len(after)
    seen: set[int] = set()
    for end in (
        *range(start, start + 64),
        *range(start + 64, len(after) - 8, 5),
        *range(len(after) - 8, len(after) + 1),
    ):
        files = before | {"journal.db-wal": after[:end]}
        complete = end == len(after)
        wrong = lost_after(files, {"a": 21 if complete else 20}, where, thorough=end % 50 == 0 or complete)
        assert wrong is None, f"cut at byte {end}: {wrong}"
        seen.add(end)
    garbled = [bytearray(after) for _ in range(50)]
    for i, wal in enumerate(garbled):
        at = start + (len(after) - start) * i // 50
        wal[at] ^= 0xFF
        assert lost_after(before | {"journal.db-wal": bytes(wal)}, {"a": 20}, where) is None, f"garbled at byte {at}"
    assert len(seen) > 800

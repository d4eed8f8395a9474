"""How fast the event log is: ``python bench/journal.py`` (options: --seconds 3 --sessions 50 --events 1000000).

Appends by batch size and setting, a commit's latency, reading back, and a restart on a big log. Figures are of this
machine and this disk; run it on yours.
"""

import argparse
import statistics
import sys
import tempfile
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))

from tests.support.whole_log import read_all
from townwatch.contracts.records import LogRecord
from townwatch.store.log.event_log import EventLog
from townwatch.store.log.port import DurableLog
from townwatch.store.log.schema import Synchronous

BODY = (
    b'{"type":"TERMINAL_CHUNK","sessionId":"session-%d","orgId":"demo","ts":1700000000000,"seq":%d,"data":"'
    + b"x" * 150
    + b'","stream":"stdout"}'
)


def batches(size: int, sessions: int, seqs: list[int]) -> list[LogRecord]:
    """The next batch, spread over the sessions in turn."""
    records: list[LogRecord] = []
    for i in range(size):
        session = (seqs[0] + i) % sessions
        seqs[session] += 1
        body = BODY % (session, seqs[session])
        records.append(LogRecord(f"session-{session}", seqs[session], "demo", "TERMINAL_CHUNK", 1.7e12, body))
    return records


def timed_appends(log: DurableLog, size: int, sessions: int, seqs: list[int], seconds: float) -> list[float]:
    """Append batches of this size for so long; the seconds that each took."""
    times, begun = list[float](), time.perf_counter()
    while time.perf_counter() - begun < seconds:
        batch = batches(size, sessions, seqs)
        before = time.perf_counter()
        log.append(batch)
        times.append(time.perf_counter() - before)
    return times


def append_rate(home: Path, synchronous: Synchronous, size: int, sessions: int, seconds: float) -> str:
    """Events a second, and how long a commit takes."""
    log = EventLog.open(home / f"{synchronous}-{size}-{sessions}.db", synchronous)
    times = timed_appends(log, size, sessions, [0] * sessions, seconds)
    events, inside = size * len(times), sum(times)
    log.close()
    cut = statistics.quantiles(times, n=100)
    return (
        f"{synchronous:6} sessions {sessions:4} batch {size:5}: {events / inside:9,.0f} events/s in append,"
        f" commit p50 {cut[49] * 1e3:6.2f} ms, p99 {cut[98] * 1e3:6.2f} ms, max {max(times) * 1e3:6.1f} ms"
    )


def restart(home: Path, events: int, sessions: int) -> list[str]:
    """A log of so many events: how long until heads are known, how fast it is read back."""
    path = home / "big.db"
    seqs = [0] * sessions
    with EventLog.open(path) as log:
        for _ in range(events // 5000):
            log.append(batches(5000, sessions, seqs))
    before = time.perf_counter()
    log = EventLog.open(path)
    heads = log.heads()
    opened = time.perf_counter() - before
    assert sum(head.events for head in heads.values()) == events // 5000 * 5000
    before, read, after = time.perf_counter(), 0, 0
    while rows := log.read("session-0", after):
        read, after = read + len(rows), rows[-1].seq
    session_rate = read / (time.perf_counter() - before)
    before, read, after = time.perf_counter(), 0, 0
    while read < 200_000 and (rows := read_all(log, after, limit=5000)):
        read, after = read + len(rows), rows[-1].position
    log_rate = read / (time.perf_counter() - before)
    size = path.stat().st_size
    log.close()
    return [
        f"restart on {events:,} events of {sessions:,} sessions ({size / 2**20:.0f} MiB): heads after"
        f" {opened * 1e3:.0f} ms",
        f"reading back: one session {session_rate:,.0f} events/s, all of them {log_rate:,.0f} events/s",
    ]


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--seconds", type=float, default=3)
    options.add_argument("--sessions", type=int, default=50)
    options.add_argument("--events", type=int, default=1_000_000)
    options.add_argument("--directory", type=Path, default=Path.cwd(), help="on the disk that is to be measured")
    chosen = options.parse_args()
    with tempfile.TemporaryDirectory(prefix="bench-journal-", dir=chosen.directory) as home:
        for synchronous in ("full", "normal"):
            for size in (1, 10, 100, 1000):
                print(append_rate(Path(home), synchronous, size, chosen.sessions, chosen.seconds), flush=True)
        for sessions in (1, 10, 100):
            print(append_rate(Path(home), "full", 100, sessions, chosen.seconds), flush=True)
        for line in restart(Path(home), chosen.events, chosen.sessions):
            print(line, flush=True)
        for line in restart(Path(home) / "many", chosen.events, 10_000):
            print(line, flush=True)


if __name__ == "__main__":
    main()

"""How fast the event log in PostgreSQL is: ``python bench/pg_log.py`` (options: --seconds 3 --sessions 50).

A PostgreSQL of its own with fsync on, and `pg_test_fsync` of the same disk beside it. Appends by batch size, each one a
commit behind the fence, through the log's own `append`: events a second, how long a commit takes, processor time.
"""

import argparse
import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))

from bench.journal import batches, timed_appends
from tests.support import postgres
from townwatch.cluster.lease import ProcessLease
from townwatch.store.engine.fence import Term
from townwatch.store.pg_log.log import PostgresLog


def append_rate(url: str, size: int, sessions: int, seconds: float) -> str:
    """Events a second, and how long a commit takes."""
    with ProcessLease(url, "bench", 600) as lease:
        lease.prepare()
        term = lease.take()
        assert isinstance(term, Term)
        with PostgresLog.open(url, term) as log:
            seqs = [0] * sessions
            for _ in range(5):
                log.append(batches(size, sessions, seqs))
            cpu = time.process_time()
            times = timed_appends(log, size, sessions, seqs, seconds)
            cpu = time.process_time() - cpu
        lease.release(term)
    events = size * len(times)
    cut = statistics.quantiles(times, n=100)
    return (
        f"sessions {sessions:4} batch {size:5}: {events / sum(times):9,.0f} events/s in append, commit p50"
        f" {cut[49] * 1e3:6.2f} ms, p99 {cut[98] * 1e3:6.2f} ms; our processor time {cpu / events * 1e6:5.1f} us each"
    )


def fsync(seconds: int = 1) -> list[str]:
    """What the disk gives: lines of pg_test_fsync for one 8 kB write."""
    programs = postgres.binaries()
    assert programs is not None
    with tempfile.TemporaryDirectory() as folder:
        command = [str(programs / "pg_test_fsync"), "-s", str(seconds), "-f", f"{folder}/file"]
        said = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    return [line.strip() for line in said.splitlines() if "ops/sec" in line][:4]


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--seconds", type=float, default=3)
    options.add_argument("--sessions", type=int, default=50)
    options.add_argument("--sizes", type=int, nargs="+", default=[1, 10, 100, 1000])
    chosen = options.parse_args()
    print(*fsync(), sep="\n")
    with postgres.server(fsync=True) as server:
        for number, size in enumerate(chosen.sizes):
            url = server.fresh_schema(f"bench{number}")
            print(append_rate(url, size, chosen.sessions, chosen.seconds), f"load {os.getloadavg()[0]:.1f}", flush=True)


if __name__ == "__main__":
    main()

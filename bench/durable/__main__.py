"""Durable events/s, ack latency, recovery and replay: `python -m bench.durable [--seconds 5] [--rounds 3]`.

The service runs as people run it, with its journal on the disk of --directory; figures are of this machine and this
disk. CPU is the service's processor time, which other work on the machine disturbs less than it does events/s.
"""

import argparse
import statistics
import tempfile
from pathlib import Path

from bench.durable.people import Person
from bench.durable.recovery import recovery
from bench.durable.replay import replay
from bench.durable.town import Measured, Town

SHAPES = ((1, 1), (10, 1), (100, 10))
"""(sessions, runners)"""
WATCHED = (10, 1)
"""Once more with somebody who follows the village: then everything is translated and sent, too."""


def throughput(home: Path, seconds: float, rounds: int, only: str) -> None:
    """As many as are taken, then half of the goal with its latency; shapes take turns, so that a busy minute of the
    machine hits all of them.
    """
    shapes = [(*shape, "") for shape in SHAPES] + [(*WATCHED, " watched")]
    plans = [(f"{mode} {s:3}{w}", mode, s, r) for mode in ("flood", "10000/s") for s, r, w in shapes]
    plans = [plan for plan in plans if only in plan[0]]
    found: dict[str, list[Measured]] = {name: [] for name, *_ in plans}
    town = Town.start(home / "load")
    town.token()
    try:
        for turn in range(rounds):
            for name, mode, sessions, runners in plans:
                rate = None if mode == "flood" else 10_000.0
                label = f"{name.replace(' ', '').replace('/', '')}-{turn}"
                job = {"sessions": sessions, "runners": runners, "seconds": seconds, "rate": rate, "name": label}
                person = Person(town) if "watched" in name else None
                if person is not None:
                    person.watch()
                found[name].append(town.load(**job))
                if person is not None:
                    person.close()
    finally:
        town.stop()
    heading = ("events/s", "CPU s/100k", "p50 ms", "p99 ms", "max ms", "RSS MB")
    print(f"{'load, sessions':20} " + " ".join(f"{name:>10}" for name in heading))
    for name, rows in found.items():
        p50, p99, most = (statistics.median(row.outcome.latencies[i] for row in rows) for i in range(3))
        rate = statistics.median(row.rate for row in rows)
        cpu = statistics.median(row.cpu_per_100k for row in rows)
        rss = max(row.rss for row in rows) / 1e6
        print(f"{name:20} {rate:10,.0f} {cpu:10.2f} {p50:10.1f} {p99:10.1f} {most:10.1f} {rss:10.0f}", flush=True)


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--seconds", type=float, default=5)
    options.add_argument("--rounds", type=int, default=3)
    options.add_argument("--events", type=int, nargs="*", default=[10_000, 100_000, 1_000_000], help="to recover from")
    options.add_argument("--only", default="", help="a part of a row's name, or load, recovery, replay")
    options.add_argument("--directory", type=Path, default=Path.cwd(), help="on the disk that is to be measured")
    chosen = options.parse_args()
    only = chosen.only
    with tempfile.TemporaryDirectory(prefix="bench-durable-", dir=chosen.directory) as folder:
        home = Path(folder)
        if only not in ("recovery", "replay"):
            throughput(home, chosen.seconds, chosen.rounds, "" if only == "load" else only)
        if only in ("", "recovery"):
            recovery(home, chosen.events, chosen.rounds)
        if only in ("", "replay"):
            replay(home, chosen.rounds)


if __name__ == "__main__":
    main()

"""`python -m tests.simulation --seeds 1000`: many runs; `--seed 17 --trace`: one of them, told."""

import argparse
import multiprocessing
import os
import sys
import time
from collections import Counter

from tests.simulation.batch import short
from tests.simulation.world import Outcome, simulate


def replay(seed: int) -> str:
    """The command that runs a seed again."""
    return f"python -m tests.simulation --seed {seed} --seeds 1 --trace"


def tell(outcome: Outcome) -> int:
    for line in outcome.trace:
        print(line)
    print(f"seed {outcome.seed}: {outcome.seconds:.0f} virtual seconds, trace {outcome.digest}")
    for violation in outcome.violations:
        print(f"  {violation}")
    return 1 if outcome.violations else 0


def many(first: int, count: int, workers: int) -> int:
    began, failed, counts, virtual = time.perf_counter(), 0, Counter[str](), 0.0
    with multiprocessing.get_context("spawn").Pool(workers, maxtasksperchild=500) as pool:
        for seed, violations, _digest, counted, seconds in pool.imap_unordered(short, range(first, first + count), 4):
            counts += counted
            virtual += seconds
            if violations:
                failed += 1
                print(f"seed {seed}: {violations[0]}\n  {replay(seed)}", flush=True)
    spent = time.perf_counter() - began
    print(
        f"{count} seeds in {spent:.1f} s ({count / spent:.1f}/s), {failed} failed; {virtual / 3600:.1f} hours simulated"
    )
    for what, times in sorted(counts.items()):
        print(f"  {what}: {times}")
    return 1 if failed else 0


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.simulation", description=__doc__)
    parser.add_argument("--seed", type=int, default=1, help="the first seed")
    parser.add_argument("--seeds", type=int, default=1, help="how many")
    parser.add_argument("--trace", action="store_true", help="tell every step")
    parser.add_argument("--workers", type=int, default=os.cpu_count() or 1)
    wanted = parser.parse_args()
    if wanted.trace:
        return max(tell(simulate(seed)) for seed in range(wanted.seed, wanted.seed + wanted.seeds))
    return many(wanted.seed, wanted.seeds, wanted.workers)


if __name__ == "__main__":
    sys.exit(main())

"""A long differential run: `python -m tests.terminal --first 5000 --seeds 500 --rare` prints what is not equal."""

import argparse
import sys
from collections import Counter

from tests.terminal.comparing import differences
from tests.terminal.generator import program, shrink
from tests.terminal.oracle import Oracle
from tests.terminal.programs import PROGRAMS

BATCH = 100


def main() -> int:
    parser = argparse.ArgumentParser()
    parser.add_argument("--seeds", type=int, default=1000)
    parser.add_argument("--first", type=int, default=0)
    parser.add_argument("--sizes", action="store_true", help="random changes of size, too")
    parser.add_argument("--rare", action="store_true", help="what few programs print, too")
    parser.add_argument("--show", type=int, default=5, help="failures to shrink and print")
    chosen = parser.parse_args()
    oracle, counts, shown = Oracle(), Counter[str](), 0
    hand = differences(oracle, list(PROGRAMS.values()), seed=7)
    for name, bad in zip(PROGRAMS, hand, strict=True):
        if bad:
            print(f"{name}: {bad}")
    print(f"hand-written: {sum(not bad for bad in hand)} of {len(hand)} equal for everybody")
    seeds = range(chosen.first, chosen.first + chosen.seeds)
    for start in range(0, len(seeds), BATCH):
        batch = seeds[start : start + BATCH]
        programs = [program(seed, sizes=chosen.sizes, rare=chosen.rare) for seed in batch]
        for seed, (steps, size), bad in zip(batch, programs, differences(oracle, programs, seed=start), strict=True):
            counts.update(bad.keys())
            counts["equal for everybody"] += not bad
            if bad and shown < chosen.show:
                shown += 1
                least = shrink(steps, lambda trial, size=size: any(differences(oracle, [(trial, size)], seed=1)))
                print(f"seed {seed}, {size}: {least}\n  {differences(oracle, [(least, size)], seed=1)[0] or bad}")
    print(f"random: {counts['equal for everybody']} of {len(seeds)} equal for everybody")
    print("differ:", {name: count for name, count in counts.items() if name != "equal for everybody"})
    oracle.close()
    return 0


if __name__ == "__main__":
    sys.exit(main())

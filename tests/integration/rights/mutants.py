"""The rights matrix notices a check that is taken out: each of mutants.toml, planted alone.

    python -m tests.integration.rights.mutants [part of a name] [--mutants-only]

As tests/property/mutants/actors.py: everything is imported once, each mutant runs in a fork.
"""

import logging
import os
import sys
import time
import tomllib
from pathlib import Path

from tests.property.mutants.actors import Mutant, fork, run

SECONDS = 120
"""For one test: the matrix asks thousands of questions, and a mutant must fail it, not outlast it."""


def listed() -> list[Mutant]:
    """Return the checks that are taken out."""
    data = tomllib.loads(Path(__file__).with_suffix(".toml").read_text(encoding="utf-8"))
    return [Mutant(**{**one, "tests": tuple(one["tests"])}) for one in data["mutant"]]


MUTANTS = listed()


def survived(mutant: Mutant) -> bool:
    """Return whether the tests pass with this check taken out. Raises SystemExit where it is not there to take out."""
    _, status = os.waitpid(fork(mutant, mutant.tests, SECONDS), 0)
    code = os.waitstatus_to_exitcode(status)
    if code == 3:
        raise SystemExit(f"mutant {mutant.name!r} could not be planted")
    return code != 1


def main(part: str = "", only: str = "") -> int:
    """Try all mutants, or those with `part` in their name; return how many survived.

    `only`: leave out the run without a mutant, where the tests are known to pass.
    """
    logging.disable(logging.CRITICAL)
    begin = time.perf_counter()
    chosen = [mutant for mutant in MUTANTS if part in mutant.name]
    everything = tuple(sorted({one for mutant in chosen for one in mutant.tests}))
    run(everything, SECONDS, "--collect-only")  # imports all there is, once; no thread starts
    if not only:
        _, status = os.waitpid(fork(None, everything, SECONDS), 0)
        if os.waitstatus_to_exitcode(status):
            raise SystemExit("the matrix fails without a mutant: nothing can be said")
    survivors = [mutant.name for mutant in chosen if survived(mutant)]
    for name in survivors:
        print(f"SURVIVED  {name}")
    print(f"{len(chosen)} mutants, {len(survivors)} survived, {time.perf_counter() - begin:.0f} s")
    return len(survivors)


if __name__ == "__main__":
    sys.exit(min(main(*sys.argv[1:]), 1))

"""What a worker process of many runs does. Beside `__main__`, whose functions another process cannot find."""

from collections import Counter

from tests.simulation.bugs import planted
from tests.simulation.world import simulate


def short(seed: int) -> tuple[int, list[str], str, Counter[str], float]:
    """An outcome that is quick to hand to another process."""
    outcome = simulate(seed)
    return seed, outcome.violations, outcome.digest, outcome.counts, outcome.seconds


def found(name: str, first: int, count: int) -> tuple[str, int | None, str]:
    """How many seeds it takes until the simulation finds a deliberate bug (None: not found), and what it says."""
    with planted(name):
        for seed in range(first, first + count):
            outcome = simulate(seed)
            if outcome.violations:
                return name, seed - first + 1, outcome.violations[0]
    return name, None, ""

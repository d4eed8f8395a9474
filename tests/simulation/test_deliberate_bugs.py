"""The simulation can fail: it finds every bug of a list, each in fewer than 200 seeds."""

import pytest

from tests.simulation.batch import found
from tests.simulation.bugs import BUGS

SEEDS = 200


@pytest.mark.timeout(900)  # a seed takes a third of a second, and five seconds on a machine that is busy
@pytest.mark.parametrize("name", BUGS)
def test_a_deliberate_bug_is_found(name: str):
    _, seeds, violation = found(name, 1, SEEDS)
    assert seeds is not None, f"{SEEDS} seeds did not find it"
    print(f"{name}: {seeds} seeds: {violation[:100]}")

"""Several services on one log in PostgreSQL: nothing is lost, doubled or acknowledged too early, whichever of them is
killed, frozen, cut off or replaced; and a leader that is at work is not replaced.

The lease, the leadership and the log are the product's; PostgreSQL is simulated (`replicas/server.py`). More seeds:
SIMULATION_SEEDS=1000 python -m pytest tests/simulation/test_replicas.py -k whichever
"""

import os
from collections import Counter

import pytest

from tests.simulation.replicas.bugs import BUGS, CALM, planted
from tests.simulation.replicas.world import FAULTS, simulate

SEEDS = int(os.environ.get("SIMULATION_SEEDS", "8"))
SEARCHED = 200
FIRST = {"what_a_standby_saw_before_postgresql_restarted_counts": 6}
"""Where the search begins for a bug that the seeds before do not show."""


@pytest.mark.timeout(600)
def test_whichever_of_them_goes_nothing_is_lost_or_doubled():
    counts: Counter[str] = Counter()
    for seed in range(1, SEEDS + 1):
        outcome = simulate(seed)
        assert not outcome.violations, f"seed {seed}: {outcome.violations[0]}"
        counts += outcome.counts
    assert counts["taken"] > SEEDS
    assert not [fault for fault in FAULTS if not counts[fault]], counts


@pytest.mark.timeout(600)
def test_a_leader_that_is_at_work_is_not_replaced():
    for seed in range(1, SEEDS + 1):
        outcome = simulate(seed, calm=True)
        assert not outcome.violations, f"seed {seed}: {outcome.violations[0]}"


def test_a_seed_gives_the_same_run():
    assert simulate(3).counts == simulate(3).counts


@pytest.mark.timeout(600)
@pytest.mark.parametrize("name", BUGS)
def test_a_deliberate_bug_is_found(name: str):
    with planted(name):
        for seed in range(FIRST.get(name, 1), SEARCHED + 1):
            if simulate(seed, calm=name in CALM).violations:
                return
    pytest.fail(f"{SEARCHED} seeds did not find it")

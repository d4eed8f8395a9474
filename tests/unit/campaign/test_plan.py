"""What is pulled when, and what comes of the times."""

from itertools import islice

import pytest

from townwatch.chaos.campaign.goals import judge
from townwatch.chaos.campaign.plan import UnknownFault, choose, plan
from townwatch.chaos.campaign.recovery_times import FaultEvent, buckets, by_kind, seconds, spread

OFFERED = ["kill-actor", "kill-process", "cut-runner", "a-new-one"]


def test_the_same_seed_is_the_same_plan() -> None:
    assert list(islice(plan(7, OFFERED), 200)) == list(islice(plan(7, OFFERED), 200))
    assert list(islice(plan(7, OFFERED), 200)) != list(islice(plan(8, OFFERED), 200))


def test_everything_comes_once_before_anything_comes_often() -> None:
    faults = [planned.fault for planned in islice(plan(1, OFFERED), 400)]
    assert sorted(faults[:4]) == sorted(OFFERED)
    assert faults.count("kill-actor") > faults.count("kill-process") > 0
    even = [planned.fault for planned in islice(plan(1, OFFERED, even=True), 400)]
    assert min(even.count(name) for name in OFFERED) > 60


def test_one_may_say_what_is_pulled() -> None:
    assert choose(["cut-runner"], OFFERED, kept=False) == ["cut-runner"]
    assert choose([], OFFERED, kept=True) == OFFERED
    assert "kill-process" not in choose([], OFFERED, kept=False)


@pytest.mark.parametrize(("name", "says"), [("make-coffee", "it offers kill-actor"), ("kill-process", "--keep")])
def test_what_cannot_be_pulled_is_said(name: str, says: str) -> None:
    with pytest.raises(UnknownFault, match=says):
        choose([name], OFFERED, kept=False)


def test_quantiles_are_values_that_were_measured() -> None:
    assert spread([]) is None
    found = spread([float(n) for n in range(1, 201)])
    assert found is not None
    assert (found.count, found.p50, found.p99, found.longest) == (200, 100, 198, 200)
    few = spread([3.0, 1.0, 2.0])
    assert few is not None
    assert (few.p50, few.p99) == (2, 3)


def test_the_histogram_is_logarithmic_and_loses_nobody() -> None:
    assert buckets([0.0005, 0.002, 0.02, 0.2, 2, 20, 2000], 0.001, 100, 5) == [2, 1, 1, 1, 2]


def fault_event(fault: str, answers: float | None, flows: float | None) -> FaultEvent:
    return FaultEvent(fault=fault, kind=fault, target="t", at=0.0, answers=answers, flows=flows)


def test_a_goal_is_met_or_missed_at_its_99th_percentile() -> None:
    actors = [fault_event("kill-actor", 0.01, 5.0)] * 99
    met = judge([*actors, fault_event("cut-runner", None, 1.9)])
    assert [one.met for one in met] == [True, True, True]
    assert "none was pulled" in str(met[2])
    slow = [fault_event("kill-actor", 0.2, 5.0)] * 2
    missed = judge([*actors, *slow, fault_event("cut-runner", None, 2.1), fault_event("kill-process", None, 5.1)])
    assert [one.met for one in missed] == [False, False, False]
    assert all("MISSED" in str(one) for one in missed)


def test_the_most_frequent_kind_is_first() -> None:
    fault_events = [fault_event("a", None, 1.0), fault_event("b", None, 1.0), fault_event("b", None, None)]
    assert list(by_kind(fault_events)) == ["b", "a"]


def test_times_are_said_as_people_do() -> None:
    assert [seconds(one) for one in (0.0123, 0.9, 3.21, 15.6, None)] == ["12 ms", "900 ms", "3.2 s", "16 s", "–"]

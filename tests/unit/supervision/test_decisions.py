"""The pure parts: decision tables, restart budget, backoff, limits, specs."""

import math
import random
from typing import ClassVar

import pytest

from townwatch.runtime import KILLED, NORMAL, SHUTDOWN, Shutdown, TrioActor
from townwatch.supervision import (
    AdmissionLimits,
    Backoff,
    ChildSpec,
    DynamicSupervisor,
    KeyedCount,
    Rate,
    RateLimited,
    RateWindow,
    Supervisor,
    TokenBuckets,
    TooManyChildren,
    child,
)
from townwatch.supervision.intensity import Intensity
from townwatch.supervision.spec import check
from townwatch.supervision.strategies import after_exit, restart_group, shuts_down


class Worker(TrioActor):
    pass


# -- strategies


@pytest.mark.parametrize(
    ("restart", "reason", "decision"),
    [
        ("permanent", NORMAL, "restart"),
        ("permanent", SHUTDOWN, "restart"),
        ("permanent", KILLED, "restart"),
        ("permanent", ValueError(), "restart"),
        ("transient", NORMAL, "keep"),
        ("transient", SHUTDOWN, "keep"),
        ("transient", Shutdown(), "keep"),
        ("transient", KILLED, "restart"),
        ("transient", ValueError(), "restart"),
        ("temporary", NORMAL, "remove"),
        ("temporary", KILLED, "remove"),
        ("temporary", ValueError(), "remove"),
    ],
)
def test_what_becomes_of_a_child_that_ended(restart, reason, decision):
    assert after_exit(restart, reason) == decision


@pytest.mark.parametrize(("strategy", "fate"), [("one_for_one", "b"), ("rest_for_one", "bcd"), ("one_for_all", "abcd")])
def test_who_shares_the_fate_of_the_failed_child(strategy, fate):
    assert restart_group(strategy, list("abcd"), "b") == list(fate)


@pytest.mark.parametrize(
    ("mode", "significant", "others", "ends"),
    [
        ("never", True, False, False),
        ("any_significant", True, True, True),
        ("any_significant", False, False, False),
        ("all_significant", True, True, False),
        ("all_significant", True, False, True),
        ("all_significant", False, False, False),
    ],
)
def test_when_a_supervisor_ends_with_its_significant_children(mode, significant, others, ends):
    assert shuts_down(mode, significant, others) is ends


# -- intensity


def test_one_failure_more_than_the_limit_within_the_period_is_too_many():
    budget = Intensity(2, 10.0)
    assert [budget.exceeded_by_failure(at) for at in (0, 5, 10)] == [False, False, True]


def test_the_window_slides_and_includes_its_edge():
    budget = Intensity(2, 10.0)
    assert [budget.exceeded_by_failure(at) for at in (0, 5, 10.1, 15.2, 20.2)] == [False, False, False, False, False]
    assert budget.exceeded_by_failure(25.2)
    assert budget.recent(36) == 0


def test_a_limit_of_zero_forgives_nothing():
    assert Intensity(0, 1.0).exceeded_by_failure(0)


@pytest.mark.parametrize(("limit", "period"), [(-1, 5.0), (1, 0.0), (1, math.nan)])
def test_impossible_budgets_are_refused(limit, period):
    with pytest.raises(ValueError, match="intensity needs"):
        Intensity(limit, period)


# -- backoff


def test_backoff_doubles_up_to_its_cap():
    backoff = Backoff(base=1, cap=10, jitter=0)
    assert [backoff.delay(n, random.Random(0)) for n in range(1, 7)] == [1, 2, 4, 8, 10, 10]
    assert backoff.delay(100_000, random.Random(0)) == 10


def test_jitter_spreads_and_never_exceeds_the_cap():
    backoff, rng = Backoff(base=1, cap=8, jitter=0.5), random.Random(1)
    delays = [backoff.delay(9, rng) for _ in range(200)]
    assert all(4 <= delay <= 8 for delay in delays)
    assert len(set(delays)) > 190


def test_a_healthy_time_resets_the_failures_in_a_row():
    backoff = Backoff(reset_after=60)
    assert backoff.failures_after(7, lived=59.9) == 8
    assert backoff.failures_after(7, lived=60) == 1
    assert backoff.failures_after(0, lived=0) == 1


@pytest.mark.parametrize("wrong", [{"base": 0}, {"base": 2, "cap": 1}, {"jitter": 1.5}, {"jitter": -0.1}])
def test_impossible_backoffs_are_refused(wrong):
    with pytest.raises(ValueError, match="backoff"):
        Backoff(**wrong)


# -- limits


def test_a_refusal_says_which_limit_whose_how_many_and_whether_to_retry():
    users = KeyedCount("user", 2)
    users.take("u1")
    users.take("u1")
    with pytest.raises(TooManyChildren, match="limit 'user' for 'u1': 2 of 2") as raised:
        users.take("u1")
    error = raised.value
    assert (error.limit, error.key, error.current, error.allowed, error.retry_after) == ("user", "u1", 2, 2, None)
    users.take("u2")
    users.give_back("u1")
    users.take("u1")


def test_a_place_cannot_be_given_back_twice():
    users = KeyedCount("user", 2)
    users.take("u1")
    users.give_back("u1")
    with pytest.raises(ValueError, match="given back twice"):
        users.give_back("u1")


def test_a_token_bucket_allows_a_burst_and_then_its_rate():
    buckets = TokenBuckets("address", Rate(per_second=2, burst=3))
    for _ in range(3):
        buckets.take("a", 10.0)
    with pytest.raises(RateLimited) as raised:
        buckets.take("a", 10.1)
    assert raised.value.retry_after == pytest.approx(0.4)
    buckets.take("b", 10.1)
    buckets.take("a", 10.1 + 0.4)
    with pytest.raises(RateLimited):
        buckets.take("a", 10.6)


def test_a_bucket_never_holds_more_than_its_burst():
    buckets = TokenBuckets("address", Rate(per_second=1, burst=2))
    buckets.take("a", 0.0)
    assert buckets.tokens("a", 1e9) == 2


def test_a_clock_that_goes_back_takes_no_tokens():
    buckets = TokenBuckets("address", Rate(per_second=1, burst=2))
    buckets.take("a", 100.0)
    assert buckets.tokens("a", 50.0) == 1


def test_full_buckets_are_forgotten():
    buckets = TokenBuckets("address", Rate(per_second=1000, burst=1))
    for n in range(10_000):
        buckets.take(f"10.0.{n}", float(n))
    assert len(buckets) <= 1024


def test_a_window_never_holds_more_than_allowed_and_says_how_long_to_wait():
    window = RateWindow()
    assert [window.take(2, 5, now) for now in (0, 1, 2)] == [0, 0, 3]
    assert window.take(2, 5, 5) == 0  # the one at 0 has left the window
    assert window.take(2, 5, 5.5) == 0.5
    assert RateWindow().take(0, 5, 1) == 5


def test_an_admission_takes_all_places_or_none():
    admission = AdmissionLimits(10, {"user": 5, "address": 1}, {"user": Rate(per_second=1, burst=3)})
    keys = {"user": "u", "address": "a"}
    admission.admit(keys, 0.0)
    with pytest.raises(TooManyChildren, match="'address'"):
        admission.admit(keys, 0.0)
    assert admission.counts["user"].taken("u") == 1
    assert admission.total.taken() == 1
    assert admission.rates["user"].tokens("u", 0.0) == 2
    admission.admit({"user": "u", "address": "b"}, 0.0)
    admission.admit({"user": "u"}, 0.0)
    with pytest.raises(RateLimited):
        admission.admit({"user": "u"}, 0.0)
    assert admission.counts["user"].taken("u") == 3
    for given in (keys, {"user": "u", "address": "b"}, {"user": "u"}):
        admission.release(given)
    assert (admission.total.taken(), admission.counts["user"].taken("u")) == (0, 0)


def test_the_total_holds_for_children_without_keys():
    admission = AdmissionLimits(1, {}, {})
    admission.admit({}, 0.0)
    with pytest.raises(TooManyChildren, match="limit 'max_children': 1 of 1"):
        admission.admit({}, 0.0)


# -- specs


def test_defaults_are_otps():
    worker, supervisor = ChildSpec("w", Worker), ChildSpec("s", DynamicSupervisor)
    assert (worker.restart, worker.type, worker.shutdown, worker.stop_timeout) == ("permanent", "worker", 5.0, 5.0)
    assert (supervisor.type, supervisor.shutdown, supervisor.stop_timeout) == ("supervisor", "infinity", math.inf)
    assert ChildSpec("b", Worker, shutdown="brutal").stop_timeout == 0


@pytest.mark.parametrize(
    ("wrong", "says"),
    [
        ({"actor": int}, "must be a TrioActor class"),
        ({"restart": "always"}, "restart must be"),
        ({"mailbox": "lose"}, "mailbox must be"),
        ({"significant": True}, "cannot be significant"),
        ({"start_timeout": math.inf}, "start_timeout must be finite"),
        ({"start_timeout": 0}, "start_timeout must be finite"),
        ({"shutdown": -1}, "shutdown must be"),
        ({"shutdown": True}, "shutdown must be"),
        ({"shutdown": "soon"}, "shutdown must be"),
    ],
)
def test_a_wrong_spec_says_which_child_and_what(wrong, says):
    with pytest.raises(ValueError, match=rf"child spec 'x': .*{says}"):
        ChildSpec(**{"id": "x", "actor": Worker, **wrong})


def test_specs_that_cannot_stand_side_by_side():
    with pytest.raises(ValueError, match="a appear more than once"):
        check([ChildSpec("a", Worker), ChildSpec("a", Worker)], "never")
    with pytest.raises(ValueError, match="means nothing"):
        check([ChildSpec("a", Worker, restart="transient", significant=True)], "never")


@pytest.mark.parametrize("wrong", [{"strategy": "one_for_two"}, {"auto_shutdown": "sometimes"}, {"intensity": -1}])
async def test_a_supervisor_refuses_nonsense(world, wrong):
    with pytest.raises(ValueError, match=r"is not one of|intensity needs"):
        Supervisor.start([], **wrong)


def test_a_child_in_one_line_has_the_defaults_of_its_class():
    class Own(Worker):
        child_options: ClassVar = {"restart": "transient", "shutdown": 1.5}

    assert child("a", Worker, "x", 1) == ChildSpec("a", Worker, ("x", 1))
    assert child("a", Own, "x") == ChildSpec("a", Own, ("x",), restart="transient", shutdown=1.5)
    assert child("a", Own, shutdown="brutal").stop_timeout == 0
    assert child("a", Own, restart="permanent").restart == "permanent"

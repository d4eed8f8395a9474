"""Leases and pace: what is spent and leased is never more than the budget, whatever is late, lost or away."""

import pytest
from hypothesis import given, settings, strategies as st

from townwatch.contracts.budgets import BudgetTerms, Spender, subject_of
from townwatch.contracts.codec import ContractError
from townwatch.policy.budgets.leases import BudgetLease, end_of, period_of, renewed, used_up
from townwatch.policy.budgets.pace import Sample, SpendingPace, clock_of, pace_of

MINUTE = 60_000.0
NOON = 1_796_040_000_000.0
"""2026-11-30 12:00 UTC."""


class World:
    """Sessions that spend up to their caps, runners that answer late or never, and the arithmetic in between."""

    def __init__(self, amount: float, sessions: int) -> None:
        self.amount = amount
        self.spent = [0.0] * sessions
        self.counted = [0.0] * sessions
        self.held = [0.0] * sessions  # what the runner holds
        self.cap = [0.0] * sessions  # the largest that it can be holding, as the service knows
        self.told = [0.0] * sessions
        self.way: list[list[float]] = [[] for _ in range(sessions)]  # messages to the runner
        self.there = [True] * sessions
        self.ticks = [0.0] * sessions  # the part of a session's last tick beyond its cap

    def leases(self) -> list[BudgetLease]:
        return [
            BudgetLease(session_id=str(i), counted=self.counted[i], cap=self.cap[i], told=self.told[i], reachable=there)
            for i, there in enumerate(self.there)
        ]

    def round(self) -> None:
        for name, cap in renewed(self.amount, sum(self.counted), self.leases()).items():
            i = int(name)
            self.cap[i], self.told[i] = max(self.cap[i], cap), cap
            self.way[i].append(cap)

    def deliver(self, i: int) -> None:
        """The runner gets all that is on its way, and its answer comes back."""
        if self.way[i]:
            self.held[i] = self.way[i][-1]
            self.way[i] = []
            self.cap[i] = self.told[i]

    def deliver_unheard(self, i: int) -> None:
        """The runner gets the next message, and its answer is lost."""
        if self.way[i]:
            self.held[i] = self.way[i].pop(0)

    def spend(self, i: int, tick: float) -> None:
        if self.spent[i] < self.held[i]:
            self.spent[i] += tick
            self.ticks[i] = max(0.0, self.spent[i] - self.held[i])

    def report(self, i: int) -> None:
        if self.there[i]:
            self.counted[i] = self.spent[i]


@settings(max_examples=300, deadline=None)
@given(
    amount=st.floats(1, 100),
    sessions=st.integers(1, 4),
    steps=st.lists(st.tuples(st.integers(0, 6), st.integers(0, 3), st.floats(0.01, 10)), max_size=80),
)
def test_a_budget_is_passed_by_one_tick_of_each_session_at_most(
    amount: float, sessions: int, steps: list[tuple[int, int, float]]
) -> None:
    world = World(amount, sessions)
    for step, which, tick in steps:
        i = which % sessions
        match step:
            case 0:
                world.round()
            case 1:
                world.deliver(i)
            case 2:
                world.deliver_unheard(i)
            case 3 | 4:
                world.spend(i, tick)
            case 5:
                world.report(i)
            case _:
                world.there[i] = not world.there[i]
        assert sum(world.spent) <= amount + sum(world.ticks) + 1e-6


def test_one_that_works_gets_what_idle_ones_do_not_use() -> None:
    world = World(10.0, 2)
    for _ in range(400):
        world.round()
        for i in (0, 1):
            world.deliver(i)
        world.spend(0, 0.1)
        world.report(0)
    assert world.spent[0] == pytest.approx(10, abs=0.11)
    assert world.spent[1] == 0


def test_what_one_that_is_away_holds_is_nobody_elses() -> None:
    here, away = (
        BudgetLease(session_id="a", counted=6, cap=6, told=6),
        BudgetLease(session_id="b", counted=0, cap=4, reachable=False),
    )
    assert not used_up(10, 5, [here])
    assert used_up(10, 6, [here, away])
    assert renewed(10, 6, [here, away]) == {}
    assert renewed(12, 6, [here, away]) == {"a": 8}


def test_days_are_of_utc() -> None:
    assert period_of("day", NOON) == "2026-11-30"
    assert period_of("total", NOON) == "all"
    assert end_of("2026-11-30") == NOON + 12 * 60 * MINUTE
    assert end_of("all") is None


@pytest.mark.parametrize(
    ("scope", "target", "subject"),
    [
        ("village", None, ""),
        ("session", None, "s"),
        ("agent", None, "Cody"),
        ("agent", "runner_s", "runner_s"),
        ("house", "/srv/other", None),
        ("person", None, None),
        ("person", "ada", None),
    ],
)
def test_whose_budget_a_session_uses(scope: str, target: str | None, subject: str | None) -> None:
    terms = BudgetTerms(scope=scope, unit="usd", amount=1, target=target)  # type: ignore[arg-type]
    spender = Spender(session_id="s", agents=("Cody", "runner_s"), house="/srv/app", person=None)
    assert subject_of(terms, spender) == subject


@pytest.mark.parametrize(
    ("terms", "field"),
    [
        (BudgetTerms(scope="village", unit="usd", amount=1, target="x"), "target"),
        (BudgetTerms(scope="session", unit="sessions", amount=1), "unit"),
        (BudgetTerms(scope="person", unit="tokens", amount=1.5), "amount"),
    ],
)
def test_terms_that_mean_nothing_are_refused(terms: BudgetTerms, field: str) -> None:
    with pytest.raises(ContractError, match=field):
        terms.verify()


def steady(per_minute: float, minutes: int, start: float = 0.0) -> list[Sample]:
    return [Sample(NOON + (n - minutes) * MINUTE, start + n * per_minute) for n in range(minutes + 1)]


def test_a_steady_pace_says_when_it_is_over() -> None:
    found = pace_of(steady(0.1, 10), 20, NOON, end_of("2026-11-30"))
    assert found is not None and found.over_ms is not None
    assert found.per_hour == pytest.approx(6)
    assert clock_of(found.over_ms, NOON) == "15:10 UTC"


@pytest.mark.parametrize(
    ("samples", "amount"),
    [
        (steady(0.1, 1), 20),  # two figures are no trend
        ([], 20),
        (steady(0.01, 10), 20),  # hardly begun
        (steady(2, 10), 20),  # used up already
    ],
)
def test_where_too_little_is_known_no_pace_is_told(samples: list[Sample], amount: float) -> None:
    assert pace_of(samples, amount, NOON, end_of("2026-11-30")) is None


def test_a_budget_that_lasts_until_its_end_is_not_over_before() -> None:
    assert pace_of(steady(0.1, 10), 200, NOON, end_of("2026-11-30"), open_episode=True) is None
    found = pace_of(steady(0.1, 10, start=90), 180, NOON, end_of("2026-11-30"))
    assert found == SpendingPace(per_hour=pytest.approx(6), over_ms=None)


def test_an_episode_ends_only_where_the_pace_is_clearly_slower() -> None:
    end = NOON + 10 * 60 * MINUTE  # 6 an hour; 60 until then
    amount = 61 + 1 + 0.5  # over half an hour's worth later than the end
    barely = pace_of(steady(0.1, 10, start=4), amount + 4, NOON, end)
    assert barely is not None and barely.over_ms is None
    still = pace_of(steady(0.1, 10, start=4), amount + 4, NOON, end, open_episode=True)
    assert still is not None and still.over_ms is not None


def test_what_stopped_has_no_pace_but_none() -> None:
    rest = [Sample(NOON - n * MINUTE, 5.0) for n in (40, 30, 10, 5)]
    assert pace_of(rest, 20, NOON) == SpendingPace(per_hour=0.0, over_ms=None)
    assert clock_of(NOON + 24 * 60 * MINUTE, NOON) == "2026-12-01 12:00 UTC"

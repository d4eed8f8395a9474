"""Warnings about budgets are said once: at 80 %, for each episode of a pace, and where a cost is not known."""

import attrs

from townwatch.app.budgets.ledger import BudgetAccount
from townwatch.app.budgets.warnings import due_notices, notice_of
from townwatch.contracts.budgets import SharedBudget
from townwatch.policy.budgets.pace import Sample
from townwatch.store.budgets.rows import BudgetWarning
from townwatch.store.budgets.spending import Used

NOON = 1_796_040_000_000
MINUTE = 60_000
BUDGET = SharedBudget(budget_id="bud_1", scope="village", unit="usd", amount=10, period="day")


class Watch:
    """An account that is looked at every minute, and what was said of it."""

    def __init__(self) -> None:
        self.account = BudgetAccount("demo", BUDGET, "", "2026-11-30", Used(), 0)
        self.now = NOON
        self.said: list[BudgetWarning] = []

    def minute(self, usd: float, amount: float = 10) -> list[str]:
        """Spend; return the titles of what is said now."""
        self.now += MINUTE
        self.account.total = self.account.total.plus(Used(usd=usd))
        self.account.samples.append(Sample(self.now, self.account.used))
        due = due_notices(self.account, amount, self.said, "s1", self.now)
        over = {one.kind for one in due.over}
        self.said = [attrs.evolve(one, over_ms=self.now) if one.kind in over else one for one in self.said] + due.new
        return [one.title for one in due.new]


def test_a_pace_is_said_once_an_episode_and_80_percent_once_an_amount() -> None:
    watch = Watch()
    titles = [title for _ in range(10) for title in watch.minute(0.1)]
    assert titles == ["The village's budget of this day: at this pace over by 13:40 UTC"]
    assert [title for _ in range(40) for title in watch.minute(0)] == []
    assert watch.said[0].over_ms is not None, "it stopped spending: the episode is over"
    again = [title for _ in range(12) for title in watch.minute(0.2)]
    assert len(again) == 1
    assert [one.kind for one in watch.said if one.kind.startswith("pace")] == ["pace:1", "pace:2"]
    late = [title for _ in range(25) for title in watch.minute(0.2)]
    assert late == ["The village's budget of this day is nearly used up"]
    assert watch.minute(1.0, amount=20) == [], "raised: 80 % of that is not used yet"
    assert notice_of(watch.said[0]).alert_id == "budget:bud_1:2026-11-30:pace:1"


def test_a_cost_that_is_not_known_is_said_once() -> None:
    watch = Watch()
    watch.account.unknown = 1
    assert watch.minute(0) == ["The village's budget of this day cannot be held in whole"]
    assert watch.minute(0) == []

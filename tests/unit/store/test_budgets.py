"""Rows of budgets: what was used by whom on which day, starts that leave no room, raises; after a restart, too."""

import pytest

from townwatch.contracts.budgets import BudgetTerms, SharedBudget, Spender
from townwatch.store import villages
from townwatch.store.audit import Entry
from townwatch.store.budgets import rows, spending
from townwatch.store.budgets.rows import Raise
from townwatch.store.budgets.spending import BudgetUsedUp, SpendingRow, StartLimit, Used
from townwatch.store.database import Database

ADA = Spender(session_id="s1", agents=("Cody", "runner_s1"), house="/srv/app", person="ada")
BOB = Spender(session_id="s2", agents=("Linus", "runner_s2"), house="/srv/app", person="bob")
MADE = Entry(at_ms=1, kind="user", action="budget.make", village_id="demo")


@pytest.fixture
def shop(database: Database) -> Database:
    database.run(villages.create, "demo", "Demo", 1, key="demo")
    return database


def row(spender: Spender, day: str = "2026-11-30", village: str = "demo", **used: float) -> SpendingRow:
    return SpendingRow(village_id=village, spender=spender, day=day, used=Used(**used))  # type: ignore[arg-type]


def budget(scope: str, unit: str = "usd", amount: float = 1.0, target: str | None = None) -> SharedBudget:
    return SharedBudget(budget_id="b", scope=scope, unit=unit, amount=amount, target=target)  # type: ignore[arg-type]


def test_what_was_used_is_summed_for_whom_it_is_and_by_day(shop: Database) -> None:
    shop.run(spending.add, [row(ADA, usd=0.25, tokens=10, started=1), row(BOB, usd=0.5, unpriced=3)])
    shop.run(spending.add, [row(ADA, usd=0.25), row(ADA, "2026-12-01", usd=1, seconds=90), row(BOB, village="gone")])

    def used(scope: str, subject: str, day: str | None = None) -> float:
        return shop.run(spending.sum_of, "demo", budget(scope), subject, day)[0].usd

    assert used("village", "") == 2
    assert used("village", "", "2026-11-30") == 1
    assert [used("person", "ada"), used("agent", "Cody"), used("agent", "runner_s2"), used("house", "/srv/app")] == [
        *(1.5, 1.5, 0.5, 2)
    ]
    assert shop.run(spending.sum_of, "demo", budget("village"), "", None)[1] == 1, "sessions with an unknown price"
    assert shop.run(spending.of_sessions)["s1"] == Used(1.5, 0, 10, 0, 90, 1)
    assert Used(seconds=90).of("minutes") == 1.5
    assert shop.run(spending.subjects_of, "demo", "person", None, 5) == ["ada", "bob"]


def test_rows_with_fractions_are_there_after_a_restart(shop: Database) -> None:
    budget_id = shop.run(rows.add, "demo", BudgetTerms(scope="village", unit="usd", amount=0.5), "ada", 1, MADE)
    shop.run(spending.add, [row(ADA, usd=0.1 + 0.2)])
    shop.run(spending.lease, {("s1", budget_id): 0.3, ("s1", "removed"): 1.0})
    assert shop.set_unreadable_rows_aside() == 0
    assert shop.run(spending.leases) == {("s1", budget_id): 0.3}
    shop.run(spending.lease, {}, ["s1"])
    assert shop.run(spending.leases) == {}
    assert shop.run(rows.remove, "demo", budget_id)
    assert shop.run(spending.of_sessions)["s1"].usd == pytest.approx(0.3)


@pytest.mark.parametrize(
    ("unit", "amount", "fits"), [("sessions", 2, True), ("sessions", 1, False), ("usd", 0.5, False)]
)
def test_a_start_needs_room_in_every_budget(shop: Database, unit: str, amount: float, fits: bool) -> None:
    shop.run(spending.add, [row(ADA, usd=0.5, started=1)])
    roomy = StartLimit(budget=budget("village", "tokens", 10), subject="", period="all", amount=10)
    limit = StartLimit(budget=budget("person", unit, amount), subject="ada", period="2026-11-30", amount=amount)
    if fits:
        shop.run(spending.check_start, "demo", [roomy, limit])
        return
    with pytest.raises(BudgetUsedUp) as refused:
        shop.run(spending.check_start, "demo", [roomy, limit])
    assert refused.value.limit == limit


def test_an_allow_adds_once_and_can_be_taken_back(shop: Database) -> None:
    budget_id = shop.run(rows.add, "demo", BudgetTerms(scope="village", unit="usd", amount=5), "ada", 1, MADE)
    raised = Raise(
        budget_id=budget_id, subject="", period="all", amount=5, raised_by="ada", raised_ms=2, from_ms=2,
        session_id="s1", approval_id="a1",
    )  # fmt: skip
    shop.run(rows.add_raise, raised)
    shop.run(rows.add_raise, raised)
    assert shop.run(rows.raises, ["all"]) == [raised]
    shop.run(rows.take_back, "s1", "a1")
    assert shop.run(rows.raises, ["all"]) == []
    assert shop.run(rows.exists, "elsewhere", budget_id) is None

"""Budgets of all villages in memory, with what was added to them and what was said of them."""

from collections.abc import Mapping

import attrs
from sqlalchemy import Connection

from townwatch.contracts.budgets import ALL_TIME, SharedBudget
from townwatch.store.budgets import rows
from townwatch.store.budgets.rows import BudgetRow, BudgetWarning, Raise
from townwatch.store.database import Database


@attrs.frozen
class _Page:
    budgets: Mapping[str, tuple[BudgetRow, ...]] = attrs.field(factory=dict[str, tuple[BudgetRow, ...]])
    raises: Mapping[tuple[str, str, str], tuple[Raise, ...]] = attrs.field(
        factory=dict[tuple[str, str, str], tuple[Raise, ...]]
    )
    notices: Mapping[tuple[str, str, str], tuple[BudgetWarning, ...]] = attrs.field(
        factory=dict[tuple[str, str, str], tuple[BudgetWarning, ...]]
    )


class BudgetBook:
    """Village key → its budgets. Written by `refresh` alone."""

    def __init__(self) -> None:
        self._page = _Page()

    def of(self, village_id: str) -> tuple[BudgetRow, ...]:
        """Return the budgets of the village of this key, oldest first."""
        return self._page.budgets.get(village_id, ())

    def sent(self, village_id: str) -> list[SharedBudget]:
        """Return them as runners get them."""
        return [row.budget for row in self.of(village_id)]

    def villages(self) -> list[str]:
        """Return the keys of the villages that have budgets."""
        return list(self._page.budgets)

    def amount(self, budget: SharedBudget, subject: str, period: str, now_ms: float) -> float:
        """Return how much may be used in a period, with what was added by now."""
        added = self._page.raises.get((budget.budget_id, subject, period), ())
        return budget.amount + sum(one.amount for one in added if one.from_ms <= now_ms)

    def raises(self, budget_id: str, subject: str, period: str) -> tuple[Raise, ...]:
        return self._page.raises.get((budget_id, subject, period), ())

    def notices(self, budget_id: str, subject: str, period: str) -> tuple[BudgetWarning, ...]:
        return self._page.notices.get((budget_id, subject, period), ())

    async def refresh(self, database: Database, day: str) -> None:
        """Read the rows of this day, and those of no day, again."""
        self._page = await database.read(read_page, day)


def read_page(connection: Connection, day: str) -> _Page:
    """Read the rows of this day, and those of no day."""
    periods = [day, ALL_TIME]
    budgets: dict[str, tuple[BudgetRow, ...]] = {}
    for row in rows.everything(connection):
        budgets[row.village_id] = (*budgets.get(row.village_id, ()), row)
    raises: dict[tuple[str, str, str], tuple[Raise, ...]] = {}
    for one in rows.raises(connection, periods):
        key = (one.budget_id, one.subject, one.period)
        raises[key] = (*raises.get(key, ()), one)
    notices: dict[tuple[str, str, str], tuple[BudgetWarning, ...]] = {}
    for said in rows.notices(connection, periods):
        key = (said.budget_id, said.subject, said.period)
        notices[key] = (*notices.get(key, ()), said)
    return _Page(budgets, raises, notices)

"""Budgets of a village over REST."""

from typing import Literal

import attrs

from townwatch.contracts.budgets import Amount, BudgetTerms, Period, Scope, Target, Unit


@attrs.frozen(kw_only=True)
class BudgetAccountView:
    """The amount of a budget that was used in the period that is now. `subject`: whose, where each one has the budget
    for itself, else its target. Times are epoch milliseconds.
    """

    subject: str
    name: str
    """The subject in words: of a person the name."""
    period: str
    """The day (UTC), ``2026-11-30``, or ``all``."""
    used: float
    of: float
    """The budget's amount and what was added in this period."""
    raised: float
    leased: float
    """What sessions may still use without asking again: their runners hold it, also while they are away."""
    listed_usd: float | None = None
    """Of a budget of money: the part of `used` that is from a table of prices; the rest the agents said."""
    unknown_sessions: int = 0
    """Of a budget of money: how many sessions used tokens whose price is not known. What they cost is in no figure."""
    state: Literal["ok", "warned", "used_up"]
    per_hour: float | None = None
    """The pace of late; null: too little is known to tell."""
    over_at: int | None = None
    """When it is used up at this pace; null: not before the period ends, or not within a day."""
    resets_at: int | None = None


@attrs.frozen(kw_only=True)
class BudgetView:
    """A budget. `accounts`: those who used most of it first; `accounts_left_out`: how many are not listed."""

    budget_id: str
    scope: Scope
    target: str | None
    unit: Unit
    amount: float
    period: Period
    changed_by: str | None
    changed_ms: int
    accounts: list[BudgetAccountView]
    more_accounts: bool = False
    """Whether there are more than are listed."""


@attrs.frozen(kw_only=True)
class BudgetList:
    """`zone`: where a day begins at midnight."""

    items: list[BudgetView]
    next: str | None = None
    zone: str = "UTC"


@attrs.frozen(kw_only=True)
class NewBudget(BudgetTerms):
    """A budget that is to be held from now on; what was used in its period before counts."""


@attrs.frozen(kw_only=True)
class BudgetChange:
    amount: Amount


@attrs.frozen(kw_only=True)
class BudgetRaise:
    """An amount that is added in the period that is now. `subject`: for whom, where each one has the budget for
    itself.
    """

    amount: Amount
    subject: Target | None = None

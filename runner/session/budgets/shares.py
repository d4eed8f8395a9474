"""Leases of one session on budgets that it shares with others: how far it may go by its own count.

A lease that was never told is none: a session that begins while the service is away stops with its first tick, for what
is left of a budget is not known here.
"""

from collections.abc import Callable, Iterator, Mapping
from typing import TypeAlias

import attrs

from townwatch.contracts.budgets import (
    Allowance,
    BudgetNotice,
    SessionAllowances,
    SharedBudget,
    Spender,
    Unit,
    subject_of,
)

Leases: TypeAlias = Callable[[], SessionAllowances | None]
UNLEASED: Mapping[Unit, float] = {"usd": 0.0, "tokens": 0.0, "minutes": 0.25, "sessions": 1.0}
"""How far a session goes before it was told: to its first price or tokens, and for a quarter of a minute."""
UNITS: dict[Unit, str] = {"usd": "$", "tokens": "tokens", "minutes": "minutes", "sessions": "sessions"}


def no_leases() -> None:
    """Know no lease: of a session whose runner shares no budgets."""


@attrs.define(eq=False)
class Shares:
    """`budgets`: those of the village, as they are now. `leases`: what the service said last."""

    budgets: Callable[[], list[SharedBudget]]
    spender: Callable[[], Spender]
    leases: Leases
    _raised: set[str] = attrs.field(factory=set[str])

    @property
    def concerned(self) -> bool:
        """Return whether any budget is about this session."""
        return next(self._mine(), None) is not None

    def reached(self, used: Mapping[Unit, float]) -> Allowance | None:
        """Return the first lease that is used; one that cannot be filled up before the others."""
        found = [one for one in self._allowances() if used[one.unit] > 0 and used[one.unit] >= one.cap]
        return next((one for one in found if one.used_up), found[0] if found else None)

    def new_notices(self) -> list[BudgetNotice]:
        """Return the warnings that were not raised yet. Each is returned once."""
        told = self.leases()
        found = [] if told is None else [one for one in told.notices if one.alert_id not in self._raised]
        self._raised |= {one.alert_id for one in found}
        return found

    def _mine(self) -> Iterator[SharedBudget]:
        spender = self.spender()
        return (one for one in self.budgets() if subject_of(one, spender) is not None)

    def _allowances(self) -> list[Allowance]:
        told = self.leases()
        known = {} if told is None else {one.budget_id: one for one in told.allowances}
        return [known.get(one.budget_id) or _unleased(one) for one in self._mine()]


def _unleased(budget: SharedBudget) -> Allowance:
    return Allowance(
        budget_id=budget.budget_id,
        unit=budget.unit,
        cap=UNLEASED[budget.unit] + (1 if budget.unit == "sessions" else 0),
        name=f"a budget of the {budget.scope}",
    )


def said(unit: Unit, value: float) -> str:
    """Return an amount in words: ``0.6 $``, ``120 tokens``."""
    if unit == "usd":
        return f"{value:.4g} $" if value < 1 else f"{value:.2f} $"
    return f"{value:.1f} minutes" if unit == "minutes" else f"{value:.0f} {UNITS[unit]}"

"""Budgets for REST: `townwatch.transports.http.deps.BudgetPort`."""

from collections.abc import Sequence

from sqlalchemy import Connection

from townwatch.app.budgets.accountant import Accountant
from townwatch.app.budgets.ledger import BudgetAccount
from townwatch.app.budgets.warnings import pace_now
from townwatch.app.policies import PolicyKeeper
from townwatch.contracts import rest
from townwatch.contracts.budgets import ALL_TIME, WARN_SHARE, SharedBudget, Spender, subject_of
from townwatch.policy.budgets.leases import DUST, end_of, period_of
from townwatch.store import users
from townwatch.store.budgets import spending
from townwatch.store.budgets.rows import BudgetRow
from townwatch.store.budgets.spending import SpendingRow, StartLimit

SUBJECTS = 20
"""Accounts of one budget that are listed."""


class BudgetsOverRest:
    """Budgets, for the routes."""

    def __init__(self, accountant: Accountant, policies: PolicyKeeper) -> None:
        self._accountant, self._policies = accountant, policies

    async def changed(self, village_id: str) -> None:
        """Let changed budgets hold: leases first, so that no session stops for want of one, then the runners' rules."""
        await self._accountant.changed()
        self._policies.tell_runners()

    def limits(self, village_id: str, spender: Spender) -> list[StartLimit]:
        """Return the budgets that a session would use."""
        now = self._accountant.context.clock.now_ms()
        book = self._accountant.book
        found: list[StartLimit] = []
        for budget in book.sent(village_id):
            subject = subject_of(budget, spender)
            if subject is not None:
                period = period_of(budget.period, now)
                amount = book.amount(budget, subject, period, now)
                found.append(StartLimit(budget=budget, subject=subject, period=period, amount=amount))
        return found

    async def began(self, row: SpendingRow) -> None:
        await self._accountant.began(row)

    def void(self, session_id: str) -> None:
        self._accountant.ledger.void(session_id)

    async def views(self, village_id: str) -> list[rest.BudgetView]:
        """Return the budgets of a village, oldest first, each with who used most of it."""
        return [await self._view(row) for row in self._accountant.book.of(village_id)]

    async def _view(self, row: BudgetRow) -> rest.BudgetView:
        budget, database = row.budget, self._accountant.database
        now = self._accountant.context.clock.now_ms()
        period = period_of(budget.period, now)
        subjects = [budget.target or ""]
        if budget.scope != "village" and budget.target is None:
            day = None if period == ALL_TIME else period
            subjects = await database.read(spending.subjects_of, row.village_id, budget.scope, day, SUBJECTS + 1)
        accounts = [
            await self._accountant.account(row.village_id, budget, subject, now) for subject in subjects[:SUBJECTS]
        ]
        names = await database.read(_names, subjects) if budget.scope == "person" else {}
        return rest.BudgetView(
            budget_id=budget.budget_id,
            scope=budget.scope,
            target=budget.target,
            unit=budget.unit,
            amount=budget.amount,
            period=budget.period,
            changed_by=row.changed_by,
            changed_ms=row.changed_ms,
            accounts=[self._account(budget, one, names, now) for one in accounts],
            more_accounts=len(subjects) > SUBJECTS,
        )

    def _account(
        self, budget: SharedBudget, account: BudgetAccount, names: dict[str, str], now: int
    ) -> rest.BudgetAccountView:
        of, used = self._accountant.amount(account, now), account.used
        known = self._accountant.book.notices(*account.key)
        pace = pace_now(account, of, known, now)
        money = budget.unit == "usd"
        return rest.BudgetAccountView(
            subject=account.subject,
            name=names.get(account.subject, account.subject),
            period=account.period,
            used=used,
            of=of,
            raised=of - budget.amount,
            leased=0.0 if budget.unit == "sessions" else self._accountant.leased(account),
            listed_usd=account.total.listed_usd if money else None,
            unknown_sessions=account.unknown if money else 0,
            state="used_up" if of - used <= DUST else "warned" if used >= WARN_SHARE * of else "ok",
            per_hour=None if pace is None else pace.per_hour,
            over_at=None if pace is None or pace.over_ms is None else int(pace.over_ms),
            resets_at=end_of(account.period),
        )


def _names(connection: Connection, user_ids: Sequence[str]) -> dict[str, str]:
    found = {user_id: users.get(connection, user_id) for user_id in user_ids if user_id}
    return {user_id: user.name for user_id, user in found.items() if user is not None}

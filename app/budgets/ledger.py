"""The count of what sessions use: the sums of the event log, divided by days as the service hears of them."""

from collections.abc import Sequence

import attrs

from townwatch.actors.session.state import SessionState
from townwatch.contracts.budgets import ALL_TIME, SharedBudget, Spender, subject_of
from townwatch.contracts.events import UsageMetrics
from townwatch.policy.budgets.leases import day_of
from townwatch.policy.budgets.pace import Sample
from townwatch.store import sessions
from townwatch.store.budgets import spending
from townwatch.store.budgets.spending import SpendingRow, Used
from townwatch.store.database import Database

AT_ONCE = 500
"""Sessions that are counted in one transaction: after an upgrade there are many, and others wait to write."""
SAMPLES, SAMPLE_MS = 240, 5_000
"""How many figures an account keeps for its pace, and how far apart they are at least."""


def used_of(state: SessionState) -> Used:
    """Return what a session has used, by its ticks: what its runner lost with a crash is in no tick."""
    units = state.usage
    tokens = (units.input_tokens or 0) + (units.output_tokens or 0)
    unpriced = units.unpriced_tokens
    if unpriced is None:
        unpriced = tokens if units.cost_usd is None else 0
    return Used(units.cost_usd or 0.0, units.listed_usd or 0.0, tokens, unpriced, units.agent_seconds)


@attrs.define(eq=False)
class BudgetAccount:
    """The amount of a budget that a subject used in a period."""

    village_id: str
    budget: SharedBudget
    subject: str
    period: str
    total: Used
    unknown: int
    """Sessions that used tokens without a price."""
    samples: list[Sample] = attrs.field(factory=list[Sample])

    @property
    def key(self) -> tuple[str, str, str]:
        return self.budget.budget_id, self.subject, self.period

    @property
    def used(self) -> float:
        return self.total.of(self.budget.unit)

    def sample(self, now_ms: float) -> None:
        """Remember how much is used now, for the pace."""
        if not self.samples or now_ms - self.samples[-1].at_ms >= SAMPLE_MS:
            self.samples = [*self.samples[-SAMPLES:], Sample(now_ms, self.used)]


class Ledger:
    """Written by the accountant alone."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._counted: dict[str, Used] = {}
        self._seen: dict[str, UsageMetrics] = {}
        """Session → its figures when it was looked at last: the very object, so that nearly all cost one comparison."""
        self._spenders: dict[str, Spender] = {}
        self._starters: dict[str, str | None] = {}
        self._unpriced: set[tuple[tuple[str, str, str], str]] = set()
        self._accounts: dict[tuple[str, str, str], BudgetAccount] = {}

    async def load(self) -> None:
        """Read how far each session was counted."""
        self._counted = await self._database.read(spending.of_sessions)

    def counted(self, session_id: str) -> Used:
        """Return how far a session is counted, over all its days."""
        return self._counted.get(session_id, Used())

    def spender(self, state: SessionState) -> Spender:
        """Return a session as budgets tell sessions apart."""
        known = self._spenders.get(state.session_id)
        agents = (state.agent_name or state.agent_id, state.agent_id)
        house = state.repo_path or (known.house if known is not None else None)
        return Spender(
            session_id=state.session_id, agents=agents, house=house, person=self._starters.get(state.session_id)
        )

    async def count(self, states: Sequence[SessionState], now_ms: int) -> None:
        """Add what sessions have used since they were counted last. Raises `TablesUnavailable`, and changes nothing
        more then.
        """
        changed = [one for one in states if self._seen.get(one.session_id) is not one.usage]
        for first in range(0, len(changed), AT_ONCE):
            await self._count(changed[first : first + AT_ONCE], now_ms)

    async def _count(self, changed: Sequence[SessionState], now_ms: int) -> None:
        await self._know_starters([state.session_id for state in changed])
        found = [(state, row) for state in changed if (row := self._row(state, now_ms)) is not None]
        if found:
            await self._database.call(spending.add, [row for _state, row in found])
        self._seen |= {state.session_id: state.usage for state in changed}
        for state, row in found:
            self._counted[state.session_id] = self.counted(state.session_id).plus(row.used)
            self._apply(row)

    async def account(self, village_id: str, budget: SharedBudget, subject: str, period: str) -> BudgetAccount:
        """Return an account; its sum is read where it is not in memory."""
        key = (budget.budget_id, subject, period)
        known = self._accounts.get(key)
        if known is None:
            day = None if period == ALL_TIME else period
            total, unknown = await self._database.read(spending.sum_of, village_id, budget, subject, day)
            known = self._accounts[key] = BudgetAccount(village_id, budget, subject, period, total, unknown)
        known.budget = budget
        return known

    def drop(self, now_ms: float) -> None:
        """Let go of accounts of days that are over."""
        current = {ALL_TIME, day_of(now_ms)}
        self._accounts = {key: one for key, one in self._accounts.items() if one.period in current}

    def began(self, row: SpendingRow) -> None:
        """Count a session that is about to start by its row."""
        if row.spender.session_id not in self._counted:
            self._counted[row.spender.session_id] = row.used
            self._starters[row.spender.session_id] = row.spender.person
            self._apply(row)

    def void(self, session_id: str) -> None:
        """A session never began: its row is gone, and the sums are read anew."""
        self._counted.pop(session_id, None)
        self._seen.pop(session_id, None)
        self._accounts.clear()

    async def _know_starters(self, session_ids: Sequence[str]) -> None:
        unknown = [one for one in session_ids if one not in self._starters]
        if unknown:
            found = await self._database.read(sessions.starters, unknown)
            self._starters |= {one: found[one][0] if one in found else None for one in unknown}

    def _row(self, state: SessionState, now_ms: int) -> SpendingRow | None:
        """Return what is to be added. A session that had ended before it was counted used it on the day of its end."""
        known = self._counted.get(state.session_id)
        used = used_of(state).minus(attrs.evolve(known or Used(), started=0))
        if known is None:
            used = attrs.evolve(used, started=1)
        elif not any(attrs.astuple(used)):
            return None
        at = min(state.ended_at, now_ms) if known is None and state.ended and state.ended_at else now_ms
        return SpendingRow(village_id=state.village_id, spender=self.spender(state), day=day_of(at), used=used)

    def _apply(self, row: SpendingRow) -> None:
        before = self._spenders.get(row.spender.session_id)
        self._spenders[row.spender.session_id] = row.spender
        if before is not None and before != row.spender:  # where it works was not known so far: sums are read anew
            self._accounts = {key: one for key, one in self._accounts.items() if one.village_id != row.village_id}
            return
        for one in self._accounts.values():
            mine = one.village_id == row.village_id and one.period in (ALL_TIME, row.day)
            if mine and subject_of(one.budget, row.spender) == one.subject:
                one.total = one.total.plus(row.used)
                if row.used.unpriced and (one.key, row.spender.session_id) not in self._unpriced:
                    self._unpriced.add((one.key, row.spender.session_id))
                    one.unknown += 1

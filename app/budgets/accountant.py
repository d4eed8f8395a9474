"""Holds budgets: counts what is used, leases what is left, warns, and tells when a budget is used up.

Each round counts first and leases then: what was spent and what is leased is never more than the budget
(policy/budgets/leases.py). A lease is a row before its runner is told of it, and stays one until the runner says that
it holds a smaller one or the session has ended; so a crash of this process, or of a runner, frees nothing that may be
spent.
"""

from collections import defaultdict
from collections.abc import Mapping
from contextlib import suppress

import attrs
import structlog
import trio

from townwatch.actors.context import Context
from townwatch.actors.session.state import SessionState
from townwatch.app.budgets.book import BudgetBook
from townwatch.app.budgets.desk import LeaseDesk
from townwatch.app.budgets.ledger import BudgetAccount, Ledger
from townwatch.app.budgets.warnings import due_notices, notice_of
from townwatch.contracts.budgets import Allowance, BudgetNotice, SessionAllowances, SharedBudget, subject_of
from townwatch.contracts.faults import TablesUnavailable
from townwatch.policy.budgets.leases import BudgetLease, day_of, name_of, period_of, renewed, used_up
from townwatch.runtime.tasks import TaskOwner
from townwatch.store.budgets import rows, spending
from townwatch.store.budgets.spending import SpendingRow
from townwatch.store.database import Database

log = structlog.get_logger("budgets")

ROUND_SECONDS = 0.5
"""Between two looks while there are budgets."""
QUIET_SECONDS = 5.0
"""Between two looks while there are none: what is used is counted all the same, for a budget that is made later."""
COUNTS_AS = 2.0
"""The lease of a session that may begin, of a budget of sessions: it is one of them."""


@attrs.define(eq=False)
class Accountant:
    """The accounts, and the rounds over them. One look at a time."""

    context: Context
    database: Database
    book: BudgetBook
    desk: LeaseDesk
    ledger: Ledger = attrs.field(init=False)
    _caps: dict[tuple[str, str], float] = attrs.field(factory=dict[tuple[str, str], float])
    """(session, budget) → the largest cap that its runner can be holding. As in the rows."""
    _told: dict[tuple[str, str], float] = attrs.field(factory=dict[tuple[str, str], float])
    _turn: trio.Lock = attrs.field(factory=trio.Lock)
    _loaded: bool = False
    _day: str = ""
    wake: trio.Event = attrs.field(factory=trio.Event)

    def __attrs_post_init__(self) -> None:
        self.ledger = Ledger(self.database)
        self.desk.changed = self.look_soon

    def look_soon(self, *, again: bool = False) -> None:
        """Look before the next round: something came or went, or was decided. `again`: what was added to budgets may
        have changed, and is read again.
        """
        if again:
            self._day = ""
        self.wake.set()

    async def changed(self) -> None:
        """Read the budgets and what was added to them again, and look. Raises `TablesUnavailable`."""
        async with self._turn:
            await self.book.refresh(self.database, day_of(self.context.clock.now_ms()))
            await self._look()

    async def look(self) -> None:
        """Do one round. Raises `TablesUnavailable`."""
        async with self._turn:
            now = self.context.clock.now_ms()
            if self._day != day_of(now):
                self._day = day_of(now)
                self.ledger.drop(now)
                await self.book.refresh(self.database, self._day)
            await self._look()

    async def began(self, row: SpendingRow) -> None:
        """Lease to a session that was stored and is about to start, before its runner hears of it."""
        await self._load()
        self.ledger.began(row)
        await self.look()

    async def account(self, village_id: str, budget: SharedBudget, subject: str, now_ms: float) -> BudgetAccount:
        """Return an account of the period that is now."""
        return await self.ledger.account(village_id, budget, subject, period_of(budget.period, now_ms))

    def amount(self, account: BudgetAccount, now_ms: float) -> float:
        """Return how much of a budget may be used in its period."""
        return self.book.amount(account.budget, account.subject, account.period, now_ms)

    def leased(self, account: BudgetAccount) -> float:
        """Return how much of a budget is leased and not used."""
        live = [one for one in self.context.board.of_village(account.village_id) if not one.ended]
        return sum(one.open for one in self._leases(account.budget, account.subject, live))

    # --- a round ----------------------------------------------------------------------------------------------------

    async def _load(self) -> None:
        if not self._loaded:
            await self.ledger.load()
            self._caps = await self.database.read(spending.leases)
            self._told = dict(self._caps)
            self._loaded = True

    async def _look(self) -> None:
        await self._load()
        now = self.context.clock.now_ms()
        # One look at all sessions: what of one is not counted yet is in its lease, also where it ends this moment.
        states = {one.session_id: one for one in self.context.board}
        await self.ledger.count(list(states.values()), now)
        self._take_answers(states)
        told: dict[str, dict[str, SessionAllowances]] = defaultdict(dict)
        caps: dict[tuple[str, str], float] = {}
        live: dict[str, list[SessionState]] = defaultdict(list)
        for state in states.values():
            if not state.ended and state.runner_id:
                live[state.village_id].append(state)
        for village_id in self.book.villages():
            await self._village(village_id, live[village_id], now, caps, told)
        await self._keep(caps, states)
        for runner_id, sessions in told.items():
            self.desk.tell(runner_id, sessions)

    def _take_answers(self, states: Mapping[str, SessionState]) -> None:
        """Take what was told as the largest cap, of each runner that has said that it holds it, once what the session
        used before it did is counted.
        """
        for key, told in self._told.items():
            state = states.get(key[0])
            if state is not None and self.desk.holds(state.runner_id, state.session_id, state.seq):
                self._caps[key] = told

    async def _keep(self, caps: Mapping[tuple[str, str], float], states: Mapping[str, SessionState]) -> None:
        """Write what may be spent from now on, before anything of it is told."""
        largest = {key: max(cap, self._caps.get(key, 0.0)) for key, cap in caps.items()}
        over = [one for one in {key[0] for key in self._caps} if (state := states.get(one)) is None or state.ended]
        if largest or over:
            await self.database.call(spending.lease, largest, over)
        self._caps |= largest
        self._told |= caps
        if over:
            self._caps = {key: cap for key, cap in self._caps.items() if key[0] not in over}
            self._told = {key: cap for key, cap in self._told.items() if key[0] not in over}

    async def _village(
        self,
        village_id: str,
        live: list[SessionState],
        now: int,
        caps: dict[tuple[str, str], float],
        told: dict[str, dict[str, SessionAllowances]],
    ) -> None:
        found: dict[str, list[Allowance]] = {one.session_id: [] for one in live}
        notices: dict[str, list[BudgetNotice]] = defaultdict(list)
        for budget in self.book.sent(village_id):
            groups: dict[str, list[SessionState]] = defaultdict(list)
            for state in live:
                subject = subject_of(budget, self.ledger.spender(state))
                if subject is not None:
                    groups[subject].append(state)
            for subject, states in groups.items():
                account = await self.account(village_id, budget, subject, now)
                await self._lease(account, states, now, caps, found)
                for one in await self._notices(account, states, now):
                    notices[one.session_id].append(notice_of(one))
        for state in live:
            if self.desk.reachable(state.runner_id):
                said = SessionAllowances(
                    session_id=state.session_id, allowances=found[state.session_id], notices=notices[state.session_id]
                )
                told[state.runner_id][state.session_id] = said

    def _leases(self, budget: SharedBudget, subject: str, states: list[SessionState]) -> list[BudgetLease]:
        return [
            BudgetLease(
                session_id=one.session_id,
                counted=self.ledger.counted(one.session_id).of(budget.unit),
                cap=self._caps.get((one.session_id, budget.budget_id), 0.0),
                told=self._told.get((one.session_id, budget.budget_id), 0.0),
                reachable=self.desk.reachable(one.runner_id),
            )
            for one in states
            if subject_of(budget, self.ledger.spender(one)) == subject
        ]

    async def _lease(
        self,
        account: BudgetAccount,
        states: list[SessionState],
        now: int,
        caps: dict[tuple[str, str], float],
        found: dict[str, list[Allowance]],
    ) -> None:
        budget, amount = account.budget, self.amount(account, now)
        leases = self._leases(budget, account.subject, states)
        if budget.unit == "sessions":
            fits = account.used <= amount
            wanted = {one.session_id: COUNTS_AS for one in leases if fits and one.told < COUNTS_AS}
            over = not fits
        else:
            wanted, over = renewed(amount, account.used, leases), used_up(amount, account.used, leases)
        name = name_of(budget, account.subject)
        away = sum(one.open for one in leases if not one.reachable)
        for one in leases:
            cap = wanted.get(one.session_id, one.told)
            if one.session_id in wanted:
                caps[one.session_id, budget.budget_id] = cap
            # Figures for words are told with a change only: a new one in each round would be a message in each.
            shown = {"used": account.used, "of": amount, "held_elsewhere": away} if over else {"of": amount}
            allowance = Allowance(
                budget_id=budget.budget_id,
                unit=budget.unit,
                cap=cap,
                name=name,
                used_up=over,
                more=budget.amount,
                **shown,
            )
            found[one.session_id].append(allowance)

    async def _notices(self, account: BudgetAccount, states: list[SessionState], now: int) -> list[rows.BudgetWarning]:
        """Return what is to be raised as an alert; what is new is a row first, so that it is said once."""
        account.sample(now)
        known = self.book.notices(*account.key)
        speakers = [one for one in states if self.desk.reachable(one.runner_id)] or states
        due = due_notices(account, self.amount(account, now), known, speakers[-1].session_id, now)
        if due.new or due.over:
            await self.database.call(_note, due.new, due.over, now)
            await self.book.refresh(self.database, self._day or day_of(now))
            for one in due.new:
                log.info("budget_notice", budget=one.budget_id, subject=one.subject, kind=one.kind)
        return [*known, *due.new]


def _note(connection: rows.Connection, new: list[rows.BudgetWarning], over: list[rows.BudgetWarning], now: int) -> None:
    for one in new:
        rows.note(connection, one)
    for one in over:
        rows.end_notice(connection, one, now)


class BudgetRounds(TaskOwner):
    """Looks until it is stopped."""

    def __init__(self, accountant: Accountant) -> None:
        super().__init__()
        self._accountant = accountant

    def on_start(self) -> None:
        self.tasks.start_soon(self._rounds)

    async def _rounds(self) -> None:
        while True:
            self._accountant.wake = trio.Event()
            with suppress(TablesUnavailable):  # the next round comes; what runners hold they hold
                await self._accountant.look()
            await trio.sleep(ROUND_SECONDS / 5)
            with trio.move_on_after(ROUND_SECONDS if self._accountant.book.villages() else QUIET_SECONDS):
                await self._accountant.wake.wait()

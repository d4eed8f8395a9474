"""The budgets of one session, held by its runner's own count, whether the service is there or not.

At 80 % of a limit an alert is raised. At 100 % the session is paused and a person is asked: as much again, or stop. No
answer in time is a no, and stops it. What the agent names no price for, and the table of prices does not know, is not
guessed: tokens and minutes are counted. Of budgets that it shares with others (shares.py) it has leases: at the end of
one it pauses, says what it used, and goes on or asks by what the service answers.
"""

from collections.abc import Awaitable, Callable
from functools import partial
from typing import Any, Literal, Protocol

import attrs
import structlog
import trio

from townwatch.contracts.budgets import WARN_SHARE, Allowance, Spender, Unit
from townwatch.contracts.events import default_agent_id
from townwatch.contracts.policy import Budget
from townwatch.runner.observers.usage import Spent, UsageMeter
from townwatch.runner.session.approvals import Approvals
from townwatch.runner.session.budgets.shares import Leases, Shares, said
from townwatch.runner.session.lifecycle import Lifecycle, NotPossible
from townwatch.runner.session.plan import SessionSpec
from townwatch.runner.session.rules import SessionRules

log = structlog.get_logger("budget")

RUNS = ("RUNNING", "WAITING_FOR_APPROVAL")
TICK_SECONDS = 1.0
"""How often the time is looked at; tokens and their price are looked at as they come."""
REPORT_SECONDS, REPORT_TIME_SECONDS = 0.5, 5.0
"""How often a session that shares budgets tells what it used: tokens, and time alone."""
ALLOWED_SECONDS = 60.0
"""How long an allowed question waits for the service to fill the lease up, before it is asked again."""
STOP_SECONDS = 5.0
"""How long who told what it used waits for the session to stand still, where that was its last."""
Limit = Literal["usd", "tokens", "minutes"]


class Budgeted(Protocol):
    """The session, as far as its budget acts on it."""

    lifecycle: Lifecycle
    usage: UsageMeter
    approvals: Approvals

    async def pause(self, reason: str = ...) -> None: ...

    async def go_on(self, reason: str) -> None: ...

    def stop_soon(self, reason: str) -> None: ...

    async def alert(self, request: dict[str, Any]) -> None: ...

    async def say_usage(self) -> None: ...


@attrs.define(eq=False)
class _Question:
    """The question of a shared budget that is used up. `of`: the budget when it was asked."""

    of: float
    approval_id: str = ""
    answer: dict[str, Any] | None = None
    answered_at: float = 0.0


@attrs.define(eq=False)
class BudgetGuard:
    """Watches one session. `limits`: the budget as it is now; `spent`: what was used so far; `ask`: asks a person, and
    returns the answer.
    """

    session: Budgeted
    limits: Callable[[], Budget]
    spent: Callable[[], Spent]
    ask: Callable[..., Awaitable[dict[str, Any]]]
    shares: Shares
    used_up: bool = False
    """Whether it is paused for its budget: only the answer to that question lets it go on."""
    _more: dict[Limit, float] = attrs.field(factory=dict[Limit, float])
    _warned: set[tuple[str, float]] = attrs.field(factory=set[tuple[str, float]])
    _warnings: list[tuple[str, float, str]] = attrs.field(factory=list[tuple[str, float, str]])
    _reported_at: float = 0.0
    _changed: trio.Event = attrs.field(factory=trio.Event)
    _looked: trio.Event = attrs.field(factory=trio.Event)
    _stopping: bool = False

    def wake(self) -> None:
        """Look now: something was used, or a lease was changed."""
        self._changed.set()

    async def looked(self) -> None:
        """Return once the session may go on with what it has used, or stands still. Who tells a bill is answered then,
        and not earlier: an agent in haste would be billed again before it is paused.
        """
        with trio.move_on_after(STOP_SECONDS):
            while self._stopping or (self.session.lifecycle.state in RUNS and self._reached()):
                await self._looked.wait()

    def _reached(self) -> bool:
        used = self._used()
        return any(used[limit] >= most for limit, most in self._limits(self.limits())) or (
            self.shares.reached(used) is not None
        )

    async def run(self) -> None:
        """Watch until cancelled."""
        while True:
            await self._wait()
            if self.session.lifecycle.state not in RUNS:
                continue
            found = self._over()
            await self._tell_warnings()
            if found is not None:
                await self._hold(*found)
                continue
            share = self.shares.reached(self._used())
            if share is not None:
                await self._wait_for_share(share)
            else:
                await self._report()

    async def _wait(self) -> None:
        with trio.move_on_after(TICK_SECONDS):
            await self._changed.wait()
        self._changed = trio.Event()  # what comes from here on is looked at in the next turn

    def _used(self) -> dict[Unit, float]:
        spent, meter = self.spent(), self.session.usage
        return {"usd": spent.usd, "tokens": spent.tokens, "minutes": meter.seconds / 60, "sessions": 1.0}

    def _over(self) -> tuple[Limit, float, float] | None:
        """Return (limit, used, allowed) of the first limit that is reached."""
        budget, used = self.limits(), self._used()
        if budget.usd is not None and self.spent().unpriced:
            self._warn("usd", 0, "its agent names no price for some of its tokens: what it costs is not known")
        for limit, most in self._limits(budget):
            if used[limit] >= most:
                return limit, used[limit], most
            if used[limit] >= WARN_SHARE * most:
                self._warn(limit, most, f"{said(limit, used[limit])} of {said(limit, most)} are used")
        return None

    def _limits(self, budget: Budget) -> list[tuple[Limit, float]]:
        given: list[tuple[Limit, float | None]] = [
            ("usd", budget.usd),
            ("tokens", budget.tokens),
            ("minutes", budget.minutes),
        ]
        return [(limit, most + self._more.get(limit, 0)) for limit, most in given if most is not None]

    def _warn(self, limit: Limit, most: float, text: str) -> None:
        if (limit, most) not in self._warned:
            self._warned.add((limit, most))
            self._warnings.append((limit, most, text))

    async def _tell_warnings(self) -> None:
        while self._warnings:
            limit, most, text = self._warnings.pop(0)
            what = "cannot be held" if not most else "is nearly used up"
            await self._alert(f"budget:{limit}:{most:g}", f"The budget of this session {what}", text)
        for notice in self.shares.new_notices():
            await self._alert(notice.alert_id, notice.title, notice.description)

    async def _alert(self, alert_id: str, title: str, text: str) -> None:
        alert = {"alertId": alert_id, "severity": "warn", "category": "policy", "title": title, "description": text}
        await self.session.alert(alert)

    async def _hold(self, limit: Limit, used: float, most: float) -> None:
        """Pause, ask, and go on or stop."""
        base = most - self._more.get(limit, 0)
        summary = f"{said(limit, used)} of {said(limit, most)} are used: {said(limit, base)} more, or stop"
        if not await self._pause(f"its budget is used up: {said(limit, most)}"):
            return
        told = {"limit": limit, "used": round(used, 6), "of": most, "more": base}
        answer = await self.ask({"category": "budget", "risk": "med", "summary": summary, "context": {"budget": told}})
        self.used_up = False
        if answer["decision"] == "allow":
            self._more[limit] = self._more.get(limit, 0) + base
            await self._go_on(f"{said(limit, base)} more, by {answer['resolvedBy']}")
        else:
            self.session.stop_soon(f"its budget is used up, and no more was allowed ({answer['resolvedBy']})")

    async def _pause(self, reason: str) -> bool:
        self.used_up = self._stopping = True
        try:
            await self.session.pause(reason)
        except NotPossible as error:  # it is ending, or was paused by a person this moment: looked at again
            log.info("budget_waits", reason=str(error))
            self.used_up = False
        finally:
            self._stopping = False
            self._looked.set()
            self._looked = trio.Event()
        return self.used_up

    async def _go_on(self, reason: str) -> None:
        if self.session.lifecycle.state == "PAUSED_BY_HUMAN":
            await self.session.go_on(reason)

    # --- budgets that are shared ------------------------------------------------------------------------------------

    async def _report(self) -> None:
        """Tell what was used, so that the service can fill the leases up before they are used."""
        since = trio.current_time() - self._reported_at
        due = REPORT_SECONDS if self.session.usage.untold else REPORT_TIME_SECONDS
        if since >= due and self.shares.concerned:
            await self._say_usage()

    async def _say_usage(self) -> None:
        self._reported_at = trio.current_time()
        await self.session.say_usage()

    async def _wait_for_share(self, share: Allowance) -> None:
        """Pause until the lease is filled up. Where nothing is left to fill it up with, a person is asked."""
        if not await self._pause(f"waits for its part of {share.name}"):
            return
        await self._say_usage()
        question: _Question | None = None
        reason = "its budget has room"
        async with trio.open_nursery() as asking:
            while (reached := self.shares.reached(self._used())) is not None:
                if question is not None and question.answer is not None:
                    if question.answer["decision"] != "allow":
                        self.session.stop_soon(
                            f"{share.name} is used up, and no more was allowed ({question.answer['resolvedBy']})"
                        )
                        await trio.sleep_forever()  # until the session has ended
                    if trio.current_time() - question.answered_at > ALLOWED_SECONDS:
                        question = None
                if question is None and reached.used_up:
                    question = _Question(reached.of)
                    asking.start_soon(self._ask_for_more, reached, question)
                await self._wait()
                await self._tell_warnings()
            if question is not None and question.answer is not None:
                reason = f"more of its budget, by {question.answer['resolvedBy']}"
            elif question is not None and question.approval_id:
                note = "the budget has room again: nothing is left to decide"
                await self.session.approvals.settle(question.approval_id, "withdrawn", "budget", note)
            asking.cancel_scope.cancel()
        self.used_up = False
        await self._go_on(reason)

    async def _ask_for_more(self, share: Allowance, question: _Question) -> None:
        def told(approval_id: str) -> None:
            question.approval_id = approval_id

        unit = share.unit
        name, of_all = share.name[:1].upper() + share.name[1:], f"{said(unit, share.used)} of {said(unit, share.of)}"
        away = (
            f", {said(unit, share.held_elsewhere)} are held by sessions that are away" if share.held_elsewhere else ""
        )
        summary = f"{name}: {of_all} are used{away}: {said(unit, share.more)} more, or stop"
        about = {
            "limit": unit,
            "used": round(share.used, 6),
            "of": share.of,
            "more": share.more,
            "budgetId": share.budget_id,
        }
        fields = {"category": "budget", "risk": "med", "summary": summary, "context": {"budget": about}}
        answer = await self.ask(fields, told=told)
        if answer["decision"] != "withdrawn":
            question.answer, question.answered_at = answer, trio.current_time()
        self.wake()


def guard_of(session: Budgeted, plan: SessionSpec, rules: SessionRules | None, leases: Leases) -> BudgetGuard:
    """Return the guard of a session: of its own budget and of its village's, as they are now, each smaller limit; and
    of the budgets that it shares.
    """

    def limits() -> Budget:
        own = plan.order.budget if plan.order is not None else None
        village = rules.policy(plan.village).budget if rules is not None else None
        return (own or Budget()).with_limits(village)

    def spender() -> Spender:
        agent_id = plan.agent_id or default_agent_id(plan.session_id)
        return Spender(
            session_id=plan.session_id,
            agents=(plan.agent_name or agent_id, agent_id),
            house=(rules.house if rules is not None else None) or str(plan.directory),
            person=plan.order.started_by if plan.order is not None else None,
        )

    shared = Shares(lambda: rules.policy(plan.village).shared if rules is not None else [], spender, leases)
    ask = partial(session.approvals.ask, by_rule=False)
    guard = BudgetGuard(session, limits, lambda: session.usage.spent, ask, shared)
    session.usage.grown = guard.wake
    return guard

"""The budget of one session, held by its runner's own count, whether the service is there or not.

At 80 % of a limit an alert is raised. At 100 % the session is paused and a person is asked: as much again, or stop. No
answer in time is a no, and stops it. What the agent names no price for is not guessed: tokens and minutes are counted.
"""

import time
from collections.abc import Awaitable, Callable
from functools import partial
from typing import Any, Literal, Protocol

import attrs
import structlog
import trio

from townwatch.contracts.policy import Budget
from townwatch.runner.observers.usage import Spent, UsageMeter
from townwatch.runner.session.approvals import Approvals
from townwatch.runner.session.lifecycle import Lifecycle, NotPossible
from townwatch.runner.session.plan import SessionSpec
from townwatch.runner.session.rules import SessionRules

log = structlog.get_logger("budget")

TICK_SECONDS = 1.0
"""How often the time is looked at; tokens and their price are looked at as they come."""
WARN_SHARE = 0.8
Limit = Literal["usd", "tokens", "minutes"]
_UNITS: dict[Limit, str] = {"usd": "$", "tokens": "tokens", "minutes": "minutes"}


class Budgeted(Protocol):
    """The session, as far as its budget acts on it."""

    lifecycle: Lifecycle
    usage: UsageMeter
    approvals: Approvals

    async def pause(self, reason: str = ...) -> None: ...

    async def go_on(self, reason: str) -> None: ...

    def stop_soon(self, reason: str) -> None: ...

    async def alert(self, request: dict[str, Any]) -> None: ...


@attrs.define(eq=False)
class BudgetGuard:
    """Watches one session. `limits`: the budget as it is now; `spent`: what was used so far; `ask`: asks a person, and
    returns the answer.
    """

    session: Budgeted
    limits: Callable[[], Budget]
    spent: Callable[[], Spent]
    ask: Callable[[dict[str, Any]], Awaitable[dict[str, Any]]]
    used_up: bool = False
    """Whether it is paused for its budget: only the answer to that question lets it go on."""
    _more: dict[Limit, float] = attrs.field(factory=dict[Limit, float])
    _warned: set[tuple[str, float]] = attrs.field(factory=set[tuple[str, float]])
    _warnings: list[tuple[str, float, str]] = attrs.field(factory=list[tuple[str, float, str]])
    _seconds: float = 0.0
    _changed: trio.Event = attrs.field(factory=trio.Event)

    def wake(self) -> None:
        """Look now: something was used."""
        self._changed.set()

    async def run(self) -> None:
        """Watch until cancelled."""
        before = time.monotonic()
        while True:
            self._changed = trio.Event()
            with trio.move_on_after(TICK_SECONDS):
                await self._changed.wait()
            now = time.monotonic()
            running = self.session.lifecycle.state in ("RUNNING", "WAITING_FOR_APPROVAL")
            if running:
                self._seconds += now - before
            before = now
            if not running:
                continue
            found = self._over()
            await self._tell_warnings()
            if found is not None:
                await self._hold(*found)
                before = time.monotonic()

    def _used(self) -> dict[Limit, float]:
        spent = self.spent()
        return {"usd": spent.usd, "tokens": spent.tokens, "minutes": self._seconds / 60}

    def _over(self) -> tuple[Limit, float, float] | None:
        """Return (limit, used, allowed) of the first limit that is reached."""
        budget, used = self.limits(), self._used()
        if budget.usd is not None and self.spent().unpriced:
            self._warn("usd", 0, "its agent names no price for some of its tokens: what it costs is not known")
        for limit, most in self._limits(budget):
            if used[limit] >= most:
                return limit, used[limit], most
            if used[limit] >= WARN_SHARE * most:
                self._warn(limit, most, f"{_said(limit, used[limit])} of {_said(limit, most)} are used")
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
            await self.session.alert(
                {
                    "alertId": f"budget:{limit}:{most:g}",
                    "severity": "warn",
                    "category": "policy",
                    "title": f"The budget of this session {what}",
                    "description": text,
                }
            )

    async def _hold(self, limit: Limit, used: float, most: float) -> None:
        """Pause, ask, and go on or stop."""
        base = most - self._more.get(limit, 0)
        summary = f"{_said(limit, used)} of {_said(limit, most)} are used: {_said(limit, base)} more, or stop"
        self.used_up = True
        try:
            await self.session.pause(f"its budget is used up: {_said(limit, most)}")
        except NotPossible as error:  # it is ending, or was paused by a person this moment: looked at again
            log.info("budget_waits", reason=str(error))
            self.used_up = False
            return
        told = {"limit": limit, "used": round(used, 6), "of": most, "more": base}
        answer = await self.ask({"category": "budget", "risk": "med", "summary": summary, "context": {"budget": told}})
        self.used_up = False
        if answer["decision"] == "allow":
            self._more[limit] = self._more.get(limit, 0) + base
            if self.session.lifecycle.state == "PAUSED_BY_HUMAN":
                await self.session.go_on(f"{_said(limit, base)} more, by {answer['resolvedBy']}")
        else:
            self.session.stop_soon(f"its budget is used up, and no more was allowed ({answer['resolvedBy']})")


def _said(limit: Limit, value: float) -> str:
    if limit == "usd":
        return f"{value:.4g} $" if value < 1 else f"{value:.2f} $"
    return f"{value:.0f} tokens" if limit == "tokens" else f"{value:.1f} minutes"


def guard_of(session: Budgeted, plan: SessionSpec, rules: SessionRules | None) -> BudgetGuard:
    """Return the guard of a session: of its own budget and of its village's, as they are now, each smaller limit."""

    def limits() -> Budget:
        own = plan.order.budget if plan.order is not None else None
        village = rules.policy(plan.village).budget if rules is not None else None
        return (own or Budget()).with_limits(village)

    ask = partial(session.approvals.ask, by_rule=False)
    guard = BudgetGuard(session, limits, lambda: session.usage.spent, ask)
    session.usage.grown = guard.wake
    return guard

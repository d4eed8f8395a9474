"""The guard of a session's budgets looks at each bill: none that comes while it is busy waits for its next round."""

from collections.abc import Callable
from typing import Any, cast

import trio
from trio.testing import MockClock

from townwatch.contracts.policy import Budget
from townwatch.runner.observers.usage import UsageMeter
from townwatch.runner.session.budgets.guard import BudgetGuard
from townwatch.runner.session.budgets.shares import Shares, no_leases
from townwatch.runner.session.lifecycle import Lifecycle


class Hasty:
    """A session whose agent is billed whenever it can run: `busy` is called while the guard waits for an alert."""

    def __init__(self) -> None:
        self.lifecycle, self.usage = Lifecycle(), UsageMeter()
        self.approvals = cast(Any, None)
        self.busy: Callable[[], None] = lambda: None
        self.still_at = 0.0
        self.lifecycle.state = "RUNNING"

    async def pause(self, reason: str = "") -> None:
        self.lifecycle.go("PAUSED_BY_HUMAN")
        await trio.sleep(0.1)  # its processes are told, one after the other
        self.still_at = trio.current_time()

    async def go_on(self, reason: str) -> None:
        self.lifecycle.go("RUNNING")

    def stop_soon(self, reason: str) -> None: ...

    async def alert(self, request: dict[str, Any]) -> None:
        self.busy()

    async def say_usage(self) -> None: ...


async def _never(*_: Any, **__: Any) -> dict[str, Any]:
    await trio.sleep_forever()
    return {}


def guarded(session: Hasty) -> BudgetGuard:
    shares = Shares(list, lambda: cast(Any, None), no_leases)
    guard = BudgetGuard(cast(Any, session), lambda: Budget(usd=1), lambda: session.usage.spent, _never, shares)
    session.usage.grown = guard.wake
    return guard


def test_a_bill_that_comes_while_the_guard_tells_a_warning_is_looked_at_at_once() -> None:
    async def act() -> float:
        session = Hasty()
        session.busy = lambda: session.usage.tokens(1, 1, 0.5)
        guard = guarded(session)
        async with trio.open_nursery() as nursery:
            nursery.start_soon(guard.run)
            session.usage.tokens(1, 1, 0.9)  # a warning is due, and while it is told comes the bill that is too much
            billed = trio.current_time()
            while not session.still_at:
                await trio.sleep(0.01)
            nursery.cancel_scope.cancel()
        return session.still_at - billed

    assert trio.run(act, clock=MockClock(autojump_threshold=0)) < 0.2


def test_who_tells_a_bill_that_is_too_much_is_answered_when_the_session_stands_still() -> None:
    async def act() -> tuple[float, float]:
        session = Hasty()
        guard = guarded(session)
        async with trio.open_nursery() as nursery:
            nursery.start_soon(guard.run)
            await trio.sleep(0.05)
            session.usage.tokens(1, 1, 1.0)
            await guard.looked()
            answered = trio.current_time()
            nursery.cancel_scope.cancel()
        return session.still_at, answered

    still, answered = trio.run(act, clock=MockClock(autojump_threshold=0))
    assert 0 < still <= answered

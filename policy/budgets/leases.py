"""Leases: how what is left of a budget is divided among the sessions that spend of it.

The rule that holds whatever is lost, late or away: what was spent, and what every session may still spend by the
largest cap that its runner can be holding, is together no more than the budget. So a runner without a service stops its
session in time, and the budget is passed by what one tick of each session costs, at most.
"""

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta

import attrs

from townwatch.contracts.budgets import ALL_TIME, Period, SharedBudget

REFILL_SHARE = 0.5
"""A lease is filled up where less than this share of it is left."""
DUST = 1e-9
"""Less than this is nothing: sums of fractions of a dollar are not exact."""


def period_of(period: Period, at_ms: float) -> str:
    """Return the name of the period that a time is in: ``2026-11-30``, a day of UTC, or ``all``."""
    return ALL_TIME if period == "total" else day_of(at_ms)


def day_of(at_ms: float) -> str:
    """Return the day of UTC."""
    return datetime.fromtimestamp(at_ms / 1000, UTC).date().isoformat()


def end_of(period: str) -> int | None:
    """Return the end of a period, epoch milliseconds; None for one that has none."""
    if period == ALL_TIME:
        return None
    day = datetime.fromisoformat(period).replace(tzinfo=UTC) + timedelta(days=1)
    return int(day.timestamp() * 1000)


def name_of(budget: SharedBudget, subject: str) -> str:
    """Return whose budget it is, in words for people."""
    whose = {
        "village": "the village's budget",
        "session": "this session's budget",
        "agent": f"the budget of agent {subject}",
        "house": f"the budget of house {subject}",
        "person": f"the budget of {subject}",
    }[budget.scope]
    return f"{whose} of this day" if budget.period == "day" else whose


@attrs.frozen(kw_only=True)
class BudgetLease:
    """Share of a budget that one live session has. `counted`: its own count, as far as it has told. `cap`: the largest
    that its runner may be holding; `told`: the one that it was sent last. `reachable`: whether its runner is
    connected.
    """

    session_id: str
    counted: float
    cap: float = 0.0
    told: float = 0.0
    reachable: bool = True

    @property
    def open(self) -> float:
        """Return how much it may still spend before it stops."""
        return max(0.0, self.cap - self.counted)


def left(amount: float, used: float) -> float:
    """Return what is left of a budget; never less than nothing."""
    rest = amount - used
    return rest if rest > DUST else 0.0


def renewed(amount: float, used: float, leases: Sequence[BudgetLease]) -> dict[str, float]:
    """Return sessionId → the cap that it is to have, for each one that is to be told another one than it was.

    A reachable session gets an equal part of what is not leased to the unreachable. One whose lease is more than half
    used is filled up as far as there is room; where there is none, the others' are cut, and the room is there once
    their runners have said that they hold the new ones.
    """
    there = [one for one in leases if one.reachable]
    if not there:
        return {}
    rest = left(amount, used)
    part = max(0.0, rest - sum(one.open for one in leases if not one.reachable)) / len(there)
    room = max(0.0, rest - sum(one.open for one in leases))
    caps: dict[str, float] = {}
    short = False
    for one in there:
        open_now = max(0.0, one.told - one.counted)
        if part > DUST and open_now < part * REFILL_SHARE:
            more = min(part - one.open, room)
            if more > DUST:
                caps[one.session_id] = one.counted + one.open + more
                room -= more
            short = short or more < part * REFILL_SHARE
    over = sum(one.open for one in leases) > rest + DUST
    if short or over:
        for one in there:
            if one.session_id not in caps and one.told - one.counted > part + DUST:
                caps[one.session_id] = one.counted + part
    return caps


def used_up(amount: float, used: float, leases: Sequence[BudgetLease]) -> bool:
    """Return whether nothing is left to lease to a reachable session."""
    away = sum(one.open for one in leases if not one.reachable)
    return left(amount, used + away) == 0.0

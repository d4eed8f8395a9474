"""Amounts that sessions used, by day: rows of absolute figures, so that a repeated write changes nothing.

The event log is the truth of what a session used in all; here it is divided by days, when the service has heard of it.
"""

from collections.abc import Sequence
from typing import cast

import attrs
from sqlalchemy import Connection, delete, func, select

from townwatch.contracts.budgets import ALL_TIME, SharedBudget, Spender
from townwatch.store.budgets.tables import budget_leases, budgets, spending
from townwatch.store.rows import insert_new, upsert
from townwatch.store.tables import villages


@attrs.frozen
class Used:
    """Figures of a session, or sums of them. `unpriced`: tokens whose cost is not known."""

    usd: float = 0.0
    listed_usd: float = 0.0
    tokens: int = 0
    unpriced: int = 0
    seconds: float = 0.0
    started: int = 0
    """How many sessions began."""

    def plus(self, other: "Used") -> "Used":
        return Used(*(a + b for a, b in zip(attrs.astuple(self), attrs.astuple(other), strict=True)))

    def minus(self, other: "Used") -> "Used":
        """Return the difference; no figure falls below 0."""
        return Used(*(max(0, a - b) for a, b in zip(attrs.astuple(self), attrs.astuple(other), strict=True)))

    def of(self, unit: str) -> float:
        """Return the figure that a budget of this unit counts."""
        match unit:
            case "usd":
                return self.usd
            case "tokens":
                return float(self.tokens)
            case "minutes":
                return self.seconds / 60
            case _:
                return float(self.started)


FIGURES = tuple(attrs.fields_dict(Used))


@attrs.frozen(kw_only=True)
class SpendingRow:
    """A session's row for one day."""

    village_id: str
    spender: Spender
    day: str
    used: Used


def _sums() -> list[object]:
    return [func.coalesce(func.sum(spending.c[name]), 0) for name in FIGURES]


def of_sessions(connection: Connection) -> dict[str, Used]:
    """Return sessionId → how far each session was counted, over all its days."""
    query = select(spending.c.session_id, *_sums()).group_by(spending.c.session_id)  # pyright: ignore
    return {str(row[0]): _used(row[1:]) for row in cast(list[Sequence[object]], connection.execute(query).all())}


def day_of(connection: Connection, session_id: str, day: str) -> Used:
    """Return what a session used on a day."""
    where = (spending.c.session_id == session_id) & (spending.c.day == day)
    row = connection.execute(select(*(spending.c[name] for name in FIGURES)).where(where)).first()
    return Used() if row is None else _used(tuple(row))


def add(connection: Connection, rows: Sequence[SpendingRow]) -> None:
    """Add what sessions used since they were counted last to their days."""
    ids = {row.village_id for row in rows}
    there = set(connection.execute(select(villages.c.village_id).where(villages.c.village_id.in_(ids))).scalars())
    for row in (one for one in rows if one.village_id in there):  # a village that was deleted meanwhile counts nothing
        session, today = row.spender.session_id, row.used.plus(day_of(connection, row.spender.session_id, row.day))
        upsert(connection, spending, _values(row, session) | attrs.asdict(today))


def begin(connection: Connection, row: SpendingRow) -> None:
    """Count a session that is about to start; nothing where it is counted."""
    insert_new(connection, spending, _values(row, row.spender.session_id) | attrs.asdict(row.used))


def forget(connection: Connection, session_id: str) -> None:
    """Forget a session that never began."""
    connection.execute(delete(spending).where(spending.c.session_id == session_id))


def sum_of(
    connection: Connection, village_id: str, budget: SharedBudget, subject: str, day: str | None
) -> tuple[Used, int]:
    """Return (what was used of a budget, how many sessions of that had tokens without a price). `day`: None for all."""
    where = [spending.c.village_id == village_id]
    match budget.scope:
        case "session":
            where.append(spending.c.session_id == subject)
        case "agent":
            where.append((spending.c.agent == subject) | (spending.c.agent_id == subject))
        case "house":
            where.append(spending.c.house == subject)
        case "person":
            where.append(spending.c.person == subject)
        case "village":
            pass
    if day is not None:
        where.append(spending.c.day == day)
    row = cast(Sequence[object], connection.execute(select(*_sums()).where(*where)).one())  # pyright: ignore
    unknown = select(func.count(spending.c.session_id.distinct())).where(*where, spending.c.unpriced > 0)
    return _used(row), connection.execute(unknown).scalar_one()


def subjects_of(connection: Connection, village_id: str, scope: str, day: str | None, most: int) -> list[str]:
    """Return for whom something was spent, who spent most (tokens) first; `most` of them."""
    column = {"session": "session_id", "agent": "agent", "house": "house", "person": "person"}[scope]
    where = [spending.c.village_id == village_id, spending.c[column].is_not(None)]
    if day is not None:
        where.append(spending.c.day == day)
    query = select(spending.c[column]).where(*where).group_by(spending.c[column])
    query = query.order_by(func.sum(spending.c.tokens).desc(), spending.c[column]).limit(most)
    return list(connection.execute(query).scalars())


def leases(connection: Connection) -> dict[tuple[str, str], float]:
    """Return (sessionId, budgetId) → the largest cap that the session's runner can be holding."""
    query = select(budget_leases.c.session_id, budget_leases.c.budget_id, budget_leases.c.cap)
    return {(row[0], row[1]): float(row[2]) for row in connection.execute(query)}


def lease(connection: Connection, caps: dict[tuple[str, str], float], over: Sequence[str] = ()) -> None:
    """Keep caps before they are sent; let go of those of sessions that are over."""
    ids = {budget_id for _session, budget_id in caps}
    there = set(connection.execute(select(budgets.c.budget_id).where(budgets.c.budget_id.in_(ids))).scalars())
    for (session_id, budget_id), cap in caps.items():
        if budget_id not in there:  # removed meanwhile
            continue
        upsert(connection, budget_leases, {"session_id": session_id, "budget_id": budget_id, "cap": cap})
    if over:
        connection.execute(delete(budget_leases).where(budget_leases.c.session_id.in_(over)))


def _values(row: SpendingRow, session_id: str) -> dict[str, object]:
    agents = row.spender.agents or ("", "")
    return {
        "session_id": session_id,
        "day": row.day,
        "village_id": row.village_id,
        "agent": agents[0],
        "agent_id": agents[-1],
        "house": row.spender.house,
        "person": row.spender.person,
    }


def _used(row: Sequence[object]) -> Used:
    usd, listed, tokens, unpriced, seconds, started = row
    return Used(float(usd), float(listed), int(tokens), int(unpriced), float(seconds), int(started))  # pyright: ignore


@attrs.frozen(kw_only=True)
class StartLimit:
    """A budget that a session would use if it began: for whom, in which period, and how much may be used in it."""

    budget: SharedBudget
    subject: str
    period: str
    amount: float


class BudgetUsedUp(Exception):
    """Nothing is left of a budget that a session would use. `limit`: which; `used`: how much was."""

    def __init__(self, limit: StartLimit, used: float) -> None:
        super().__init__(f"budget {limit.budget.budget_id} is used up")
        self.limit, self.used = limit, used


def check_start(connection: Connection, village_id: str, limits: Sequence[StartLimit]) -> None:
    """Raise `BudgetUsedUp` where a budget leaves no room for one more session. In the transaction that keeps it, two
    starts at the same moment are one after the other.
    """
    for one in limits:
        day = None if one.period == ALL_TIME else one.period
        total, _unknown = sum_of(connection, village_id, one.budget, one.subject, day)
        used = total.of(one.budget.unit)
        if one.amount - used < (1 if one.budget.unit == "sessions" else 1e-9):
            raise BudgetUsedUp(one, used)

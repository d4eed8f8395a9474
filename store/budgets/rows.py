"""Budgets of villages, what was added to them, and what was said of them once."""

import uuid
from collections.abc import Sequence

import attrs
from sqlalchemy import Connection, delete, func, select, update

from townwatch.contracts.budgets import MAX_BUDGETS, BudgetTerms, SharedBudget
from townwatch.store import audit
from townwatch.store.budgets.tables import budget_notices, budget_raises, budgets
from townwatch.store.rows import insert_new
from townwatch.store.tables import villages


class TooManyBudgets(Exception):
    """The village has as many budgets as it may; the message says how many."""


@attrs.frozen(kw_only=True)
class BudgetRow:
    """A budget as it is stored. `public_id`: the village's name."""

    village_id: str
    public_id: str
    budget: SharedBudget
    changed_by: str | None
    changed_ms: int


@attrs.frozen(kw_only=True)
class Raise:
    """An amount that was added for a subject in a period, from a time on."""

    budget_id: str
    subject: str
    period: str
    amount: float
    raised_by: str
    raised_ms: int
    from_ms: int
    session_id: str | None = None
    approval_id: str | None = None


@attrs.frozen(kw_only=True)
class BudgetWarning:
    """A warning, and the session whose runner raises it. `over_ms`: when its reason was gone."""

    budget_id: str
    subject: str
    period: str
    kind: str
    session_id: str
    title: str
    description: str
    raised_ms: int
    over_ms: int | None = None


_TERMS = ("budget_id", "scope", "target", "unit", "amount", "period")
_ALL = select(
    *(budgets.c[name] for name in _TERMS),
    budgets.c.village_id,
    villages.c.public_id,
    budgets.c.changed_by,
    budgets.c.changed_ms,
).join(villages, villages.c.village_id == budgets.c.village_id)


def everything(connection: Connection) -> list[BudgetRow]:
    """Return the budgets of all villages, oldest first."""
    found: list[BudgetRow] = []
    for row in connection.execute(_ALL.order_by(budgets.c.created_ms, budgets.c.budget_id)):
        known = dict(row._mapping)  # pyright: ignore[reportPrivateUsage] - SQLAlchemy's documented name
        terms = {name: known.pop(name) for name in _TERMS}
        found.append(BudgetRow(budget=SharedBudget(**terms), **known))
    return found


def add(
    connection: Connection, village_id: str, terms: BudgetTerms, by: str | None, now_ms: int, entry: audit.Entry
) -> str:
    """Keep a budget, with the audit entry; return its id. Raises `TooManyBudgets`."""
    count = select(func.count()).select_from(budgets).where(budgets.c.village_id == village_id)
    if connection.execute(count).scalar_one() >= MAX_BUDGETS:
        raise TooManyBudgets(f"the village has {MAX_BUDGETS} budgets, which is the most: remove one first")
    budget_id = f"bud_{uuid.uuid4().hex[:12]}"
    values = {"budget_id": budget_id, "village_id": village_id, "changed_by": by, "changed_ms": now_ms}
    connection.execute(budgets.insert().values(**values, created_ms=now_ms, **attrs.asdict(terms)))
    audit.add(connection, attrs.evolve(entry, target=budget_id))
    return budget_id


def change(connection: Connection, village_id: str, budget_id: str, amount: float, by: str | None, now_ms: int) -> bool:
    """Give a budget another amount. False where the village has none of this id."""
    where = (budgets.c.budget_id == budget_id) & (budgets.c.village_id == village_id)
    values = {"amount": amount, "changed_by": by, "changed_ms": now_ms}
    return connection.execute(update(budgets).where(where).values(**values)).rowcount > 0


def remove(connection: Connection, village_id: str, budget_id: str) -> bool:
    """Delete a budget, with its leases, raises and notices. What was spent stays counted."""
    where = (budgets.c.budget_id == budget_id) & (budgets.c.village_id == village_id)
    return connection.execute(delete(budgets).where(where)).rowcount > 0


def exists(connection: Connection, village_id: str, budget_id: str) -> SharedBudget | None:
    """Return a village's budget of this id."""
    row = connection.execute(
        select(*(budgets.c[name] for name in _TERMS)).where(
            (budgets.c.budget_id == budget_id) & (budgets.c.village_id == village_id)
        )
    ).first()
    return None if row is None else SharedBudget(**row._mapping)  # pyright: ignore[reportPrivateUsage]


def add_raise(connection: Connection, one: Raise) -> None:
    """Add an amount to a budget. One that an approval brings is added once."""
    if one.approval_id is not None:
        known = (budget_raises.c.session_id == one.session_id) & (budget_raises.c.approval_id == one.approval_id)
        if connection.execute(select(budget_raises.c.raise_id).where(known)).first() is not None:
            return
    connection.execute(budget_raises.insert().values(raise_id=uuid.uuid4().hex, **attrs.asdict(one)))


def take_back(connection: Connection, session_id: str, approval_id: str) -> None:
    """Undo what a decision added that was taken back."""
    where = (budget_raises.c.session_id == session_id) & (budget_raises.c.approval_id == approval_id)
    connection.execute(delete(budget_raises).where(where))


def raises(connection: Connection, periods: Sequence[str]) -> list[Raise]:
    """Return what was added in these periods, oldest first."""
    columns = [budget_raises.c[name] for name in attrs.fields_dict(Raise)]
    query = select(*columns).where(budget_raises.c.period.in_(periods)).order_by(budget_raises.c.raised_ms)
    return [Raise(**row._mapping) for row in connection.execute(query)]  # pyright: ignore[reportPrivateUsage]


def notices(connection: Connection, periods: Sequence[str]) -> list[BudgetWarning]:
    """Return what was said of budgets in these periods, oldest first."""
    columns = [budget_notices.c[name] for name in attrs.fields_dict(BudgetWarning)]
    query = select(*columns).where(budget_notices.c.period.in_(periods)).order_by(budget_notices.c.raised_ms)
    return [BudgetWarning(**row._mapping) for row in connection.execute(query)]  # pyright: ignore[reportPrivateUsage]


def note(connection: Connection, one: BudgetWarning) -> bool:
    """Keep a notice; False where it was said before."""
    return insert_new(connection, budget_notices, attrs.asdict(one))


def end_notice(connection: Connection, one: BudgetWarning, now_ms: int) -> None:
    """Note that the reason of a notice is gone."""
    where = [budget_notices.c[name] == getattr(one, name) for name in ("budget_id", "subject", "period", "kind")]
    connection.execute(update(budget_notices).where(*where).values(over_ms=now_ms))

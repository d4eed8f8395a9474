"""An allowed question of a shared budget adds to it: in the transaction of the decision, so that both are there or
neither.
"""

from typing import Any, cast

import attrs
from sqlalchemy import Connection, select

from townwatch.actors.ports import Deciding
from townwatch.contracts.budgets import SharedBudget, Spender, subject_of
from townwatch.contracts.events import ApprovalRequest
from townwatch.policy.budgets.leases import period_of
from townwatch.store import audit
from townwatch.store.budgets import rows
from townwatch.store.budgets.tables import spending


def budget_asked(asked: Any) -> str | None:
    """Return the id of the shared budget that a question wants more of; None for any other question."""
    if not isinstance(asked, ApprovalRequest) or asked.category != "budget" or not isinstance(asked.context, dict):
        return None
    about = cast(dict[str, Any], asked.context).get("budget")
    found = cast(dict[str, Any], about).get("budgetId") if isinstance(about, dict) else None
    return found if isinstance(found, str) else None


def raise_budget(
    connection: Connection, session_id: str, approval_id: str, by: str, now_ms: int, deciding: Deciding
) -> None:
    """Add as much again as the budget's row says, for whom the session spends. What its runner wrote into the question
    names the budget, and nothing else of it counts. A budget that is gone, or not about the session, is not raised.
    """
    budget_id = budget_asked(deciding.asked)
    budget = None if budget_id is None else rows.exists(connection, deciding.village_id, budget_id)
    if budget is None:
        return
    subject = _subject(connection, budget, session_id)
    if subject is None:
        return
    period = period_of(budget.period, now_ms)
    one = rows.Raise(
        budget_id=budget.budget_id,
        subject=subject,
        period=period,
        amount=budget.amount,
        raised_by=by,
        raised_ms=now_ms,
        from_ms=deciding.release_ms or now_ms,
        session_id=session_id,
        approval_id=approval_id,
    )
    rows.add_raise(connection, one)
    if deciding.entry is not None:
        details = {"subject": subject, "period": period, "amount": budget.amount, "unit": budget.unit}
        entry = attrs.evolve(deciding.entry, action="budget.raise", target=budget.budget_id, details=details)
        audit.add(connection, entry)


def _subject(connection: Connection, budget: SharedBudget, session_id: str) -> str | None:
    columns = (spending.c.agent, spending.c.agent_id, spending.c.house, spending.c.person)
    found = select(*columns).where(spending.c.session_id == session_id).order_by(spending.c.day.desc())
    row = connection.execute(found).first()
    if row is None:
        return None
    spender = Spender(session_id=session_id, agents=(row.agent, row.agent_id), house=row.house, person=row.person)
    return subject_of(budget, spender)

"""A session that is about to start is kept and counted in one transaction, where its budgets leave room for it."""

from sqlalchemy import Connection

from townwatch.store import runner_grants, sessions
from townwatch.store.budgets import spending
from townwatch.store.budgets.spending import SpendingRow, StartLimit
from townwatch.store.sessions import SessionRow


def keep(connection: Connection, row: SessionRow, spends: SpendingRow, limits: list[StartLimit]) -> bool:
    """Store a session where its runner still has its village; False where either is gone by now. Raises `BudgetUsedUp`.
    A start that is tried again is the same session, and is counted once.
    """
    granted = runner_grants.of_runner(connection, row.runner_id or "")
    if row.village_id not in {one.village_id for one in granted}:
        return False
    if sessions.get(connection, row.session_id) is None:
        spending.check_start(connection, row.village_id, limits)
        sessions.create(connection, row)
        spending.begin(connection, spends)
    return True


def forget(connection: Connection, session_id: str) -> None:
    """A session that never began is counted nowhere."""
    sessions.remove(connection, session_id)
    spending.forget(connection, session_id)

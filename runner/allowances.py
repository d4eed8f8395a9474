"""Amounts that this runner's sessions may use of budgets that they share with others, as the service said last.

Kept in memory: a runner process that is gone takes its sessions with it.
"""

from collections.abc import Mapping

from townwatch.contracts.budgets import SessionAllowances
from townwatch.contracts.link import Allowances


class AllowanceShelf:
    """Session → its allowances. Written by `replace` alone."""

    def __init__(self) -> None:
        self._of: Mapping[str, SessionAllowances] = {}

    def of(self, session_id: str) -> SessionAllowances | None:
        """Return a session's allowances; None where the service has said none."""
        return self._of.get(session_id)

    def replace(self, found: Allowances) -> list[str]:
        """Take what the service says. What it does not name any more keeps what it had: the service has not looked.
        Return the sessions that may use less than before.
        """
        before, self._of = self._of, {**self._of, **{one.session_id: one for one in found.sessions}}
        return [one.session_id for one in found.sessions if _is_less(one, before.get(one.session_id))]

    def forget(self, session_id: str) -> None:
        """Let go of a session that is over."""
        self._of = {key: one for key, one in self._of.items() if key != session_id}


def _is_less(now: SessionAllowances, before: SessionAllowances | None) -> bool:
    caps = {} if before is None else {one.budget_id: one.cap for one in before.allowances}
    return any(one.cap < caps.get(one.budget_id, one.cap) for one in now.allowances)

"""Held decisions: an allow is on record at once, its runner gets it later, and until then it can be taken back.

Its command is a row that is not sent (`commands.held`). Release and taking back are conditional on that row, each in
one transaction: exactly one of them wins.
"""

import attrs
from sqlalchemy import ColumnElement, Connection, select, update

from townwatch.contracts.scopes import approve_command
from townwatch.store import commands
from townwatch.store.tables import approvals


@attrs.frozen(kw_only=True)
class Hold:
    """A decision that waits for its release."""

    session_id: str
    approval_id: str
    village_id: str
    hold_ms: int
    release_ms: int


def begin(connection: Connection, session_id: str, approval_id: str, hold_ms: int, release_ms: int) -> None:
    """Hold a decision that was just recorded."""
    where = _is(session_id, approval_id)
    connection.execute(update(approvals).where(where).values(hold_ms=hold_ms, release_ms=release_ms))


def waiting(connection: Connection) -> list[Hold]:
    """All held decisions, the next to be released first."""
    columns = [approvals.c[name] for name in ("session_id", "approval_id", "village_id", "hold_ms", "release_ms")]
    query = select(*columns).where(approvals.c.release_ms.is_not(None)).order_by(approvals.c.release_ms)
    return [Hold(**row._mapping) for row in connection.execute(query)]  # pyright: ignore[reportPrivateUsage]


def begin_again(connection: Connection, now_ms: int) -> int:
    """Give every held decision its full time once more: after a crash, who made it could not take it back meanwhile."""
    held = update(approvals).where(approvals.c.release_ms.is_not(None))
    return connection.execute(held.values(release_ms=now_ms + approvals.c.hold_ms)).rowcount


def release(connection: Connection, hold: Hold) -> bool:
    """Let a decision go to its runner. False where it was taken back, or its session ended meanwhile."""
    where = _is(hold.session_id, hold.approval_id) & approvals.c.release_ms.is_not(None)
    ended = connection.execute(update(approvals).where(where).values(hold_ms=None, release_ms=None)).rowcount == 0
    command_id = approve_command(hold.session_id, hold.approval_id)
    if ended:
        return False
    if connection.execute(select(approvals.c.confirmed_ms).where(_is(hold.session_id, hold.approval_id))).scalar():
        commands.withdraw(connection, command_id)  # it was answered where it was asked
        return False
    return commands.release(connection, command_id)


def take_back(connection: Connection, session_id: str, approval_id: str) -> bool:
    """Undo a held decision: the approval waits again. False where nothing of it is held any more."""
    where = _is(session_id, approval_id) & approvals.c.release_ms.is_not(None) & approvals.c.confirmed_ms.is_(None)
    undecided = dict.fromkeys(("decision", "resolved_by", "note", "resolved_ms", "hold_ms", "release_ms"))
    if connection.execute(update(approvals).where(where).values(**undecided)).rowcount == 0:
        return False
    commands.withdraw(connection, approve_command(session_id, approval_id))
    return True


def _is(session_id: str, approval_id: str) -> ColumnElement[bool]:
    return (approvals.c.session_id == session_id) & (approvals.c.approval_id == approval_id)

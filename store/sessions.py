"""Sessions that were started by request: where, on which runner, with which configuration.

The event log says what became of them; a session that was started at its runner is in the event log only.
"""

from collections.abc import Sequence
from typing import Any

import attrs
from sqlalchemy import Connection, Row, delete, select

from townwatch.store.rows import MAX_LIMIT, from_json, insert_new, to_json
from townwatch.store.tables import alert_resolutions, approval_answers, approvals, clips, seen_failures, sessions, users


@attrs.frozen(kw_only=True)
class SessionRow:
    """A requested session. `config`: its SessionConfig, without the values of its environment.

    Only the runner `runner_id` may speak for it.
    """

    session_id: str
    village_id: str
    agent_id: str
    provider_id: str
    created_ms: int
    runner_id: str | None = None
    config: dict[str, Any] | None = attrs.field(default=None, repr=False)
    created_by: str | None = None
    """The user who asked for it; None: not known (sessions of earlier versions)."""


def create(connection: Connection, session: SessionRow) -> bool:
    """Add it; False where the id is taken."""
    values = attrs.asdict(session, recurse=False)
    config = None if session.config is None else to_json(session.config)
    return insert_new(connection, sessions, values | {"config": config})


def get(connection: Connection, session_id: str) -> SessionRow | None:
    """Return the session with this id, or None."""
    row = connection.execute(select(sessions).where(sessions.c.session_id == session_id)).first()
    return _session(row) if row else None


def starter_of(connection: Connection, session_id: str) -> str | None:
    """Return the user who started a session; None: not known, as of one that began at its runner."""
    return connection.execute(select(sessions.c.created_by).where(sessions.c.session_id == session_id)).scalar()


def starters(connection: Connection, session_ids: Sequence[str]) -> dict[str, tuple[str, str | None]]:
    """Return session → (user id, name) of who started it, of those where that is known. The name is None for a user
    who is gone.
    """
    found: dict[str, tuple[str, str | None]] = {}
    for start in range(0, len(session_ids), MAX_LIMIT):
        query = (
            select(sessions.c.session_id, sessions.c.created_by, users.c.name)
            .select_from(sessions.outerjoin(users, users.c.user_id == sessions.c.created_by))
            .where(sessions.c.session_id.in_(session_ids[start : start + MAX_LIMIT]))
            .where(sessions.c.created_by.is_not(None))
        )
        found |= {row[0]: (row[1], row[2]) for row in connection.execute(query)}
    return found


def everything(connection: Connection) -> list[SessionRow]:
    """Return all requested sessions, oldest first."""
    query = select(sessions).order_by(sessions.c.created_ms, sessions.c.session_id)
    return [_session(row) for row in connection.execute(query)]


def remove(connection: Connection, session_id: str) -> bool:
    """Delete the row; the events are the log's to delete."""
    return connection.execute(delete(sessions).where(sessions.c.session_id == session_id)).rowcount > 0


def delete_all_of(connection: Connection, session_id: str) -> None:
    """The row, its approvals, the links to its parts, and what was said of its alerts and its end, for good; the
    events are the log's to delete.
    """
    connection.execute(delete(seen_failures).where(seen_failures.c.session_id == session_id))
    connection.execute(delete(clips).where(clips.c.session_id == session_id))
    connection.execute(delete(alert_resolutions).where(alert_resolutions.c.session_id == session_id))
    connection.execute(delete(approvals).where(approvals.c.session_id == session_id))
    connection.execute(delete(approval_answers).where(approval_answers.c.session_id == session_id))
    remove(connection, session_id)


def _session(row: Row[*tuple[Any, ...]]) -> SessionRow:
    values = dict(row._mapping)  # pyright: ignore[reportPrivateUsage] - SQLAlchemy's documented name
    return SessionRow(**{**values, "config": from_json(values["config"])})

"""Sessions as they last: whose, where, in which state, what they used. What happened in them is in the event log."""

from typing import Any

import attrs
from sqlalchemy import Connection, Row, and_, delete, func, or_, select, update

from contracts.events import FINAL_STATES
from store.rows import MAX_LIMIT, Page, from_json, insert_new, to_json
from store.tables import approvals, sessions

_JSON = ("usage", "config")
_FIXED = ("session_id", "village_id", "created_ms", "runner_id")


class UnknownSession(LookupError):
    """No such session."""


@attrs.frozen(kw_only=True)
class Session:
    """One run of an agent. `usage`: UsageMetrics as on the wire. `config`: the SessionConfig it was started with.

    `runner_id` is given once: only that runner may speak for the session.
    """

    session_id: str
    village_id: str
    agent_id: str
    provider_id: str
    state: str
    created_ms: int
    house_id: str | None = None
    runner_id: str | None = None
    workspace_path: str | None = None
    reason: str | None = None
    detached: bool = False
    exit_code: int | None = None
    last_seq: int = 0
    last_event_ms: int | None = None
    started_ms: int | None = None
    ended_ms: int | None = None
    usage: dict[str, Any] | None = None
    config: dict[str, Any] | None = attrs.field(default=None, repr=False)
    created_by: str | None = None


def create(connection: Connection, session: Session) -> bool:
    """Add it; False where the id is taken."""
    return insert_new(connection, sessions, _columns(attrs.asdict(session, recurse=False)))


def change(connection: Connection, session_id: str, **changes: Any) -> bool:
    """Set some fields (named as in `Session`); False where there is no such session.

    What makes a session itself (id, village, runner, beginning) cannot be changed: ValueError.
    """
    wrong = [name for name in changes if name in _FIXED or name not in attrs.fields_dict(Session)]
    if wrong:
        raise ValueError(f"session: {', '.join(wrong)} cannot be changed")
    statement = update(sessions).where(sessions.c.session_id == session_id).values(**_columns(changes))
    return connection.execute(statement).rowcount > 0


def bind_runner(connection: Connection, session_id: str, runner_id: str) -> str:
    """Give the session to a runner, unless it has one: returns the one it has. Raises `UnknownSession`."""
    free = (sessions.c.session_id == session_id) & sessions.c.runner_id.is_(None)
    connection.execute(update(sessions).where(free).values(runner_id=runner_id))
    owner = connection.execute(select(sessions.c.runner_id).where(sessions.c.session_id == session_id)).scalar()
    if owner is None:
        raise UnknownSession(f"there is no session {session_id}")
    return owner


def get(connection: Connection, session_id: str) -> Session | None:
    """By id."""
    row = connection.execute(select(sessions).where(sessions.c.session_id == session_id)).first()
    return _session(row) if row else None


def page(
    connection: Connection, village_id: str, *, cursor: str | None = None, limit: int = 50, live_only: bool = False
) -> Page[Session]:
    """A village's sessions, newest first. `cursor`: from the page before; one that makes no sense is a ValueError."""
    limit = max(1, min(limit, MAX_LIMIT))
    query = select(sessions).where(sessions.c.village_id == village_id)
    if live_only:
        query = query.where(sessions.c.state.not_in(FINAL_STATES))
    if cursor is not None:
        created, _, last_id = cursor.partition(".")
        if not created.isdecimal() or len(created) > 18:
            raise ValueError("cursor: is not one that this list gave out")
        earlier = sessions.c.created_ms < int(created)
        same = and_(sessions.c.created_ms == int(created), sessions.c.session_id > last_id)
        query = query.where(or_(earlier, same))
    query = query.order_by(sessions.c.created_ms.desc(), sessions.c.session_id).limit(limit + 1)
    found = [_session(row) for row in connection.execute(query)]
    shown = found[:limit]
    following = f"{shown[-1].created_ms}.{shown[-1].session_id}" if len(found) > limit else None
    return Page(shown, following)


def live(connection: Connection, runner_id: str | None = None) -> list[Session]:
    """All sessions that have not ended, or those of one runner."""
    query = select(sessions).where(sessions.c.state.not_in(FINAL_STATES))
    if runner_id is not None:
        query = query.where(sessions.c.runner_id == runner_id)
    return [_session(row) for row in connection.execute(query.order_by(sessions.c.created_ms, sessions.c.session_id))]


def count_live(connection: Connection, runner_id: str) -> int:
    """How many sessions a runner has that have not ended."""
    where = (sessions.c.runner_id == runner_id) & sessions.c.state.not_in(FINAL_STATES)
    return connection.execute(select(func.count()).select_from(sessions).where(where)).scalar_one()


def remove(connection: Connection, session_id: str) -> bool:
    """Delete the row; the events are the log's to delete."""
    return connection.execute(delete(sessions).where(sessions.c.session_id == session_id)).rowcount > 0


def delete_all_of(connection: Connection, session_id: str) -> None:
    """The row and its approvals, for good; the events are the log's to delete."""
    connection.execute(delete(approvals).where(approvals.c.session_id == session_id))
    remove(connection, session_id)


def _columns(values: dict[str, Any]) -> dict[str, Any]:
    return {k: to_json(v) if k in _JSON and v is not None else v for k, v in values.items()}


def _session(row: Row[*tuple[Any, ...]]) -> Session:
    values = dict(row._mapping)  # pyright: ignore[reportPrivateUsage] - SQLAlchemy's documented name
    return Session(**{**values, **{name: from_json(values[name]) for name in _JSON}})

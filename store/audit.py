"""The audit log: who did what, from where. Rows are only ever added."""

from collections.abc import Sequence
from typing import Any

import attrs
from sqlalchemy import Connection, Row, select

from townwatch.store.rows import MAX_LIMIT, RowPage, from_json, to_json
from townwatch.store.tables import audit


@attrs.frozen(kw_only=True)
class Entry:
    """One action of a person or program. `details` holds no secret and no terminal input, only what was meant by it."""

    at_ms: int
    kind: str
    action: str
    user_id: str | None = None
    token_id: str | None = None
    village_id: str | None = None
    session_id: str | None = None
    target: str | None = None
    address: str | None = None
    details: dict[str, Any] | None = None
    audit_id: int = 0


def add(connection: Connection, entry: Entry) -> int:
    """Keep it; returns its number."""
    values = attrs.asdict(entry, recurse=False)
    del values["audit_id"]
    values["details"] = None if entry.details is None else to_json(entry.details)
    return connection.execute(audit.insert().values(**values).returning(audit.c.audit_id)).scalar_one()


def page(
    connection: Connection, village_ids: Sequence[str] | None, *, cursor: str | None = None, limit: int = 50
) -> RowPage[Entry]:
    """Newest first, of these villages or (None) of all and of the service. A senseless cursor is a ValueError."""
    limit = max(1, min(limit, MAX_LIMIT))
    query = select(audit)
    if village_ids is not None:
        query = query.where(audit.c.village_id.in_(village_ids))
    if cursor is not None:
        if not cursor.isdecimal() or len(cursor) > 18:
            raise ValueError("cursor: must be one that this list returned")
        query = query.where(audit.c.audit_id < int(cursor))
    found = [_entry(row) for row in connection.execute(query.order_by(audit.c.audit_id.desc()).limit(limit + 1))]
    shown = found[:limit]
    return RowPage(shown, str(shown[-1].audit_id) if len(found) > limit else None)


def later(connection: Connection, after: int, limit: int, village_id: str | None) -> list[Entry]:
    """The next `limit` entries behind number `after`, oldest first; of a village or (None) of everything."""
    query = select(audit).where(audit.c.audit_id > after).order_by(audit.c.audit_id).limit(limit)
    if village_id is not None:
        query = query.where(audit.c.village_id == village_id)
    return [_entry(row) for row in connection.execute(query)]


def _entry(row: Row[*tuple[Any, ...]]) -> Entry:
    values = dict(row._mapping)  # pyright: ignore[reportPrivateUsage] - SQLAlchemy's documented name
    return Entry(**{**values, "details": from_json(values["details"])})

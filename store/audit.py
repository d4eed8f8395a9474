"""The audit log: who did what, from where. Rows are only ever added."""

from collections.abc import Sequence
from typing import Any

import attrs
from sqlalchemy import ColumnElement, Connection, Row, func, select

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


@attrs.frozen(kw_only=True)
class Filter:
    """Conditions for entries, all of which must hold. `villages`: None is all, and the service. `action`: what an
    action begins with. `since_ms`, `until_ms`: at or after, and before.
    """

    villages: Sequence[str] | None
    user_id: str | None = None
    action: str | None = None
    since_ms: int | None = None
    until_ms: int | None = None

    def clauses(self) -> list[ColumnElement[bool]]:
        """Return them for the database."""
        found: list[ColumnElement[bool]] = []
        if self.villages is not None:
            found.append(audit.c.village_id.in_(self.villages))
        if self.user_id is not None:
            found.append(audit.c.user_id == self.user_id)
        if self.action is not None:
            found.append(audit.c.action.startswith(self.action, autoescape=True))
        if self.since_ms is not None:
            found.append(audit.c.at_ms >= self.since_ms)
        if self.until_ms is not None:
            found.append(audit.c.at_ms < self.until_ms)
        return found


def add(connection: Connection, entry: Entry) -> int:
    """Keep it; returns its number."""
    values = attrs.asdict(entry, recurse=False)
    del values["audit_id"]
    values["details"] = None if entry.details is None else to_json(entry.details)
    return connection.execute(audit.insert().values(**values).returning(audit.c.audit_id)).scalar_one()


def page(connection: Connection, wanted: Filter, *, cursor: str | None = None, limit: int = 50) -> RowPage[Entry]:
    """Return a page of entries, newest first. Raises ValueError for a cursor that was not given out."""
    limit = max(1, min(limit, MAX_LIMIT))
    query = select(audit).where(*wanted.clauses())
    if cursor is not None:
        if not cursor.isdecimal() or len(cursor) > 18:
            raise ValueError("cursor: must be one that this list returned")
        query = query.where(audit.c.audit_id < int(cursor))
    found = [_entry(row) for row in connection.execute(query.order_by(audit.c.audit_id.desc()).limit(limit + 1))]
    shown = found[:limit]
    return RowPage(shown, str(shown[-1].audit_id) if len(found) > limit else None)


def count(connection: Connection, wanted: Filter, at_most: int) -> int:
    """Return how many entries there are, and no more than `at_most`: counting all of a long log takes its time."""
    some = select(audit.c.audit_id).where(*wanted.clauses()).limit(at_most).subquery()
    return connection.execute(select(func.count()).select_from(some)).scalar_one()


def entries_after(connection: Connection, after: int, limit: int, village_id: str | None) -> list[Entry]:
    """The next `limit` entries behind number `after`, oldest first; of a village or (None) of everything."""
    query = select(audit).where(audit.c.audit_id > after).order_by(audit.c.audit_id).limit(limit)
    if village_id is not None:
        query = query.where(audit.c.village_id == village_id)
    return [_entry(row) for row in connection.execute(query)]


def _entry(row: Row[*tuple[Any, ...]]) -> Entry:
    values = dict(row._mapping)  # pyright: ignore[reportPrivateUsage] - SQLAlchemy's documented name
    return Entry(**{**values, "details": from_json(values["details"])})

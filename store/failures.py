"""Failed sessions that a person who drives their village has seen."""

import attrs
from sqlalchemy import Connection, select

from townwatch.store.rows import insert_new, to_attrs
from townwatch.store.tables import seen_failures as table


@attrs.frozen(kw_only=True)
class SeenFailure:
    """`seen_by`: the name of the first who saw it."""

    session_id: str
    village_id: str
    seen_by: str
    seen_ms: int


def mark(connection: Connection, seen: SeenFailure) -> SeenFailure:
    """Note that a person saw it. Returns the first who did."""
    insert_new(connection, table, attrs.asdict(seen))
    row = connection.execute(select(table).where(table.c.session_id == seen.session_id)).one()
    return to_attrs(SeenFailure, row)


def all_seen(connection: Connection) -> list[SeenFailure]:
    """Return every one that was seen."""
    return [to_attrs(SeenFailure, row) for row in connection.execute(select(table))]

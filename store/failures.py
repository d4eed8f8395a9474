"""Which failed sessions a person who drives their village has seen."""

import attrs
from sqlalchemy import Connection, select

from townwatch.store.rows import insert_new, to_attrs
from townwatch.store.tables import seen_failures as table


@attrs.frozen(kw_only=True)
class Seen:
    """`seen_by`: the name of the first who saw it."""

    session_id: str
    village_id: str
    seen_by: str
    seen_ms: int


def mark(connection: Connection, seen: Seen) -> Seen:
    """Note that a person saw it. Returns the first who did."""
    insert_new(connection, table, attrs.asdict(seen))
    row = connection.execute(select(table).where(table.c.session_id == seen.session_id)).one()
    return to_attrs(Seen, row)


def all_seen(connection: Connection) -> list[Seen]:
    """Return every one that was seen."""
    return [to_attrs(Seen, row) for row in connection.execute(select(table))]

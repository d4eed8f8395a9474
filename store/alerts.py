"""People's answers to alerts. The alerts themselves are in the event log; open ones, in their sessions' states."""

from collections.abc import Sequence

import attrs
from sqlalchemy import Connection, select

from townwatch.contracts.scopes import AlertKey, alert_key
from townwatch.store.rows import insert_new, to_attrs
from townwatch.store.tables import alert_resolutions as table


@attrs.frozen(kw_only=True)
class Resolution:
    """`raised_seq`: the event that had raised it. Raised again by a later one, the alert is open again."""

    session_id: str
    alert_id: str
    raised_seq: int
    village_id: str
    resolved_by: str
    resolved_ms: int


def resolve(connection: Connection, resolution: Resolution) -> bool:
    """Note that a person resolved it; False (and nothing changes) where a person had already."""
    return insert_new(connection, table, attrs.asdict(resolution))


def of_villages(connection: Connection, village_ids: Sequence[str]) -> dict[AlertKey, Resolution]:
    """Return the latest resolution of each alert in these villages."""
    query = select(table).where(table.c.village_id.in_(village_ids)).order_by(table.c.raised_seq)
    found = [to_attrs(Resolution, row) for row in connection.execute(query)]
    return {alert_key(one.session_id, one.alert_id): one for one in found}


def settled(connection: Connection) -> dict[AlertKey, int]:
    """Each alert that a person resolved, and the event that had raised it, the latest."""
    query = select(table.c.session_id, table.c.alert_id, table.c.raised_seq).order_by(table.c.raised_seq)
    return {alert_key(session_id, alert_id): seq for session_id, alert_id, seq in connection.execute(query)}

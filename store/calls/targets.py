"""Targets of messages: webhooks of villages and channels of people, which share one table of deliveries."""

from collections.abc import Sequence
from typing import Any

import attrs
from sqlalchemy import ColumnElement, Connection, Select, func, select, union_all, update

from townwatch.store.calls.tables import call_deliveries, channels, webhooks

CHANNEL = "chan"
"""How ids of channels begin."""
_IDS = ((webhooks, webhooks.c.webhook_id), (channels, channels.c.channel_id))


@attrs.frozen(kw_only=True)
class MessageCounts:
    """Messages of a target that wait, and that were given up."""

    waiting: int = 0
    dead: int = 0


def ids(*, on: bool | None = None) -> Select[Any]:
    """Build a query of the ids of all targets. `on`: only those that are switched on."""
    every = [select(column.label("target_id")) for _, column in _IDS]
    if on:
        every = [query.where(table.c.enabled) for query, (table, _) in zip(every, _IDS, strict=True)]
    return select(union_all(*every).subquery().c.target_id)


def exists(connection: Connection, target_id: str) -> bool:
    """Return whether there is such a target."""
    table, is_it = _of(target_id)
    return connection.execute(select(func.count()).select_from(table).where(is_it)).scalar_one() > 0


def oldest(connection: Connection) -> int | None:
    """Return the lowest position of the event log from which a target that is on is told; None where none is on."""
    found = [
        connection.execute(select(func.min(table.c.from_position)).where(table.c.enabled)).scalar() for table, _ in _IDS
    ]
    return min((one for one in found if one is not None), default=None)


def count_dropped(connection: Connection, target_id: str) -> None:
    """Count a message that found the queue of its target full."""
    table, is_it = _of(target_id)
    connection.execute(update(table).where(is_it).values(dropped=table.c.dropped + 1))


def switch_off(connection: Connection, target_id: str, why: str) -> None:
    """Switch one off for a reason that its people are shown."""
    table, is_it = _of(target_id)
    connection.execute(update(table).where(is_it).values(enabled=False, trouble=why))


def counts(connection: Connection, target_ids: Sequence[str]) -> dict[str, MessageCounts]:
    """Return what waits and what was given up, of each that has such messages."""
    table = call_deliveries
    known = table.c.target_id.in_(target_ids) & table.c.state.in_(("waiting", "dead"))
    query = select(table.c.target_id, table.c.state, func.count()).where(known)
    found: dict[str, dict[str, int]] = {}
    for target_id, state, count in connection.execute(query.group_by(table.c.target_id, table.c.state)):
        found.setdefault(target_id, {})[state] = count
    return {one: MessageCounts(**states) for one, states in found.items()}


def _of(target_id: str) -> tuple[Any, ColumnElement[bool]]:
    table, column = _IDS[target_id.startswith(f"{CHANNEL}_")]
    return table, column == target_id

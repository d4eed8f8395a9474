"""Messages for webhooks and for people: what waits to be delivered, what was, and dead letters.

A message is a row before anything is sent, and it waits until the receiver's answer was written down: a service that
is killed in between sends it again.
"""

from collections.abc import Collection, Iterable, Sequence

import attrs
from sqlalchemy import Connection, delete, func, select, update

from townwatch.store.calls import targets, webhooks
from townwatch.store.calls.tables import call_deliveries as table
from townwatch.store.rows import MAX_LIMIT, RowPage, insert_new, to_attrs

QUEUE = 1000
"""Messages that may wait for one target. Later ones are counted and not kept."""


@attrs.frozen(kw_only=True)
class CallMessage:
    """One message for one webhook or channel (`target_id`), before it is a row. `not_before_ms`: 0 is at once."""

    target_id: str
    message_id: str
    kind: str
    body: str
    session_id: str | None = None
    not_before_ms: int = 0


@attrs.frozen(kw_only=True)
class Delivery:
    """A row. `next_ms`: not to be sent before; of one that is done, when that was. `status`: of the latest answer."""

    delivery_id: int
    target_id: str
    message_id: str
    kind: str
    body: str
    session_id: str | None = None
    state: str
    attempts: int
    created_ms: int
    next_ms: int
    status: int | None = None
    error: str | None = None


def take(connection: Connection, messages: Iterable[CallMessage], now_ms: int, position: int | None = None) -> None:
    """Store messages to be delivered and, in the same transaction, up to where the event log was read for them.

    A message that is there already is the same one. Of a target whose queue is full they are counted.
    """
    room: dict[str, int] = {}
    for one in messages:
        if one.target_id not in room:
            if not targets.exists(connection, one.target_id):
                continue  # deleted meanwhile
            room[one.target_id] = QUEUE - _waiting(connection, one.target_id)
        if room[one.target_id] <= 0:
            targets.count_dropped(connection, one.target_id)
        elif _insert(connection, one, now_ms):
            room[one.target_id] -= 1
    if position is not None:
        webhooks.move(connection, position)


def queue(connection: Connection, message: CallMessage, now_ms: int) -> int | None:
    """Store one message and return its id; None where the queue is full."""
    if _waiting(connection, message.target_id) >= QUEUE:
        return None
    _insert(connection, message, now_ms)
    same = (table.c.target_id == message.target_id) & (table.c.message_id == message.message_id)
    return connection.execute(select(table.c.delivery_id).where(same)).scalar_one()


def waiting_targets(connection: Connection, now_ms: int) -> tuple[list[str], int | None]:
    """Return the targets that have something due, and when the next other one is; None without any."""
    waiting = (table.c.state == "waiting") & table.c.target_id.in_(targets.ids(on=True))
    due = select(table.c.target_id).where(waiting, table.c.next_ms <= now_ms).distinct()
    later = select(func.min(table.c.next_ms)).where(waiting, table.c.next_ms > now_ms)
    return list(connection.execute(due).scalars()), connection.execute(later).scalar()


def due_of(connection: Connection, target_id: str, now_ms: int, limit: int, without: Collection[int]) -> list[Delivery]:
    """Return what is due for one target, the oldest first, apart from what is under way (`without`)."""
    mine = (table.c.target_id == target_id) & (table.c.state == "waiting") & (table.c.next_ms <= now_ms)
    query = select(table).where(mine, table.c.delivery_id.not_in(without))
    order = query.order_by(table.c.next_ms, table.c.delivery_id).limit(limit)
    return [to_attrs(Delivery, row) for row in connection.execute(order)]


def settle(
    connection: Connection,
    delivery_id: int,
    *,
    state: str,
    next_ms: int,
    status: int | None,
    error: str | None,
) -> None:
    """Note the outcome of an attempt: done, given up, or to be tried again at `next_ms`."""
    values = {"state": state, "next_ms": next_ms, "status": status, "error": error, "attempts": table.c.attempts + 1}
    still = (table.c.delivery_id == delivery_id) & (table.c.state == "waiting")
    connection.execute(update(table).where(still).values(**values))


def postpone(connection: Connection, delivery_id: int, next_ms: int) -> None:
    """Send one that waits later."""
    still = (table.c.delivery_id == delivery_id) & (table.c.state == "waiting")
    connection.execute(update(table).where(still).values(next_ms=next_ms))


def withdraw(connection: Connection, delivery_id: int, why: str, now_ms: int) -> None:
    """Note that a message is not to be sent any more."""
    still = (table.c.delivery_id == delivery_id) & (table.c.state == "waiting")
    connection.execute(update(table).where(still).values(state="void", error=why, next_ms=now_ms))


def redeliver(connection: Connection, target_id: str, delivery_id: int, now_ms: int) -> bool:
    """Deliver a message once more, from its first attempt on, with the same message id; False where there is none."""
    mine = (table.c.target_id == target_id) & (table.c.delivery_id == delivery_id)
    values = {"state": "waiting", "next_ms": now_ms, "attempts": 0, "status": None, "error": None}
    return connection.execute(update(table).where(mine).values(**values)).rowcount > 0


def page(
    connection: Connection, target_ids: Sequence[str], state: str | None, cursor: str | None, limit: int
) -> RowPage[Delivery]:
    """Return deliveries of these targets, the latest first. Raises ValueError for a cursor that was not given out."""
    query = select(table).where(table.c.target_id.in_(target_ids))
    if state is not None:
        query = query.where(table.c.state == state)
    if cursor is not None:
        query = query.where(table.c.delivery_id < int(cursor))
    limit = min(limit, MAX_LIMIT)
    found = connection.execute(query.order_by(table.c.delivery_id.desc()).limit(limit + 1)).all()
    items: Sequence[Delivery] = [to_attrs(Delivery, row) for row in found[:limit]]
    return RowPage(items, str(items[-1].delivery_id) if len(found) > limit else None)


def forget(connection: Connection, delivered_before_ms: int, dead_before_ms: int) -> int:
    """Delete what was delivered or withdrawn, and what was given up, before these times, and all that belongs to no
    target any more; return how many.
    """
    count = connection.execute(delete(table).where(table.c.target_id.not_in(targets.ids()))).rowcount
    for state, before in (("delivered", delivered_before_ms), ("void", delivered_before_ms), ("dead", dead_before_ms)):
        old = (table.c.state == state) & (table.c.next_ms < before)
        count += connection.execute(delete(table).where(old)).rowcount
    return count


def _waiting(connection: Connection, target_id: str) -> int:
    mine = (table.c.target_id == target_id) & (table.c.state == "waiting")
    return connection.execute(select(func.count()).select_from(table).where(mine)).scalar_one()


def _insert(connection: Connection, message: CallMessage, now_ms: int) -> bool:
    values = attrs.asdict(message, filter=attrs.filters.exclude("not_before_ms"))
    when = max(now_ms, message.not_before_ms)
    return insert_new(
        connection, table, {**values, "state": "waiting", "attempts": 0, "created_ms": now_ms, "next_ms": when}
    )

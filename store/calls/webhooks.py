"""Webhooks of villages, and how far the event log was read for them. Secrets are sealed by the caller."""

import attrs
from sqlalchemy import Connection, delete, func, select, update

from townwatch.store.calls.tables import call_deliveries, webhook_cursor, webhooks
from townwatch.store.rows import new_id, to_attrs, upsert

PER_VILLAGE = 20


class TooManyWebhooks(Exception):
    """A village has no room for another webhook."""

    def __init__(self) -> None:
        super().__init__(f"a village has at most {PER_VILLAGE} webhooks; delete one first")


@attrs.frozen(kw_only=True)
class Webhook:
    """A webhook as it is stored. `from_position`: of the event log; later events are told. `village`: its name."""

    webhook_id: str
    village_id: str
    name: str
    url: str
    kinds: str
    enabled: bool
    secret: str = attrs.field(repr=False)
    old_secret: str | None = attrs.field(default=None, repr=False)
    old_until_ms: int | None = None
    from_position: int
    dropped: int = 0
    trouble: str | None = None
    created_by: str
    created_ms: int


def new_webhook_id() -> str:
    """Return an id; the secret is sealed for it before the row is there."""
    return new_id("hook")


def add(connection: Connection, webhook: Webhook) -> None:
    """Store a new one. Raises `TooManyWebhooks`."""
    count = select(func.count()).select_from(webhooks).where(webhooks.c.village_id == webhook.village_id)
    if connection.execute(count).scalar_one() >= PER_VILLAGE:
        raise TooManyWebhooks
    connection.execute(webhooks.insert().values(**attrs.asdict(webhook)))


def of_village(connection: Connection, village_id: str) -> list[Webhook]:
    """Return a village's webhooks, the oldest first."""
    query = select(webhooks).where(webhooks.c.village_id == village_id)
    order = query.order_by(webhooks.c.created_ms, webhooks.c.webhook_id)
    return [to_attrs(Webhook, row) for row in connection.execute(order)]


def get(connection: Connection, village_id: str, webhook_id: str) -> Webhook | None:
    """Return one of a village."""
    row = connection.execute(select(webhooks).where(_is(village_id, webhook_id))).first()
    return None if row is None else to_attrs(Webhook, row)


def by_id(connection: Connection, webhook_id: str) -> Webhook | None:
    """Return one, whatever its village is."""
    row = connection.execute(select(webhooks).where(webhooks.c.webhook_id == webhook_id)).first()
    return None if row is None else to_attrs(Webhook, row)


def enabled(connection: Connection) -> dict[str, list[Webhook]]:
    """Return the webhooks that are on, by the key of their village."""
    found: dict[str, list[Webhook]] = {}
    for row in connection.execute(select(webhooks).where(webhooks.c.enabled)):
        one = to_attrs(Webhook, row)
        found.setdefault(one.village_id, []).append(one)
    return found


def change(connection: Connection, village_id: str, webhook_id: str, **values: object) -> Webhook | None:
    """Change columns and return the row; None where it is not there any more."""
    if values:
        connection.execute(update(webhooks).where(_is(village_id, webhook_id)).values(**values))
    return get(connection, village_id, webhook_id)


def remove(connection: Connection, village_id: str, webhook_id: str) -> bool:
    """Delete one with its deliveries; whether it was there."""
    if connection.execute(delete(webhooks).where(_is(village_id, webhook_id))).rowcount == 0:
        return False
    connection.execute(delete(call_deliveries).where(call_deliveries.c.target_id == webhook_id))
    return True


def position(connection: Connection) -> int:
    """Return up to where the event log was read; 0 at first."""
    return connection.execute(select(webhook_cursor.c.position)).scalar() or 0


def move(connection: Connection, position: int) -> None:
    """Note up to where the event log was read."""
    upsert(connection, webhook_cursor, {"cursor_id": 1, "position": position})


def _is(village_id: str, webhook_id: str):
    return (webhooks.c.village_id == village_id) & (webhooks.c.webhook_id == webhook_id)

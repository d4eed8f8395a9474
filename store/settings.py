"""Settings that the service itself makes and keeps, by key."""

from sqlalchemy import Connection, select

from store.rows import insert_new, upsert
from store.tables import settings


def get(connection: Connection, key: str) -> str | None:
    """The value, None where there is none."""
    return connection.execute(select(settings.c.value).where(settings.c.key == key)).scalar()


def put(connection: Connection, key: str, value: str) -> None:
    """Set it."""
    upsert(connection, settings, {"key": key, "value": value})


def once(connection: Connection, key: str, value: str) -> str:
    """Set it unless it is set; returns what stands. Of several processes that start at once, all get the same."""
    insert_new(connection, settings, {"key": key, "value": value})
    return get(connection, key) or value

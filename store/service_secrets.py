"""Secrets that the processes of one database share: what sign-ins are signed with. The one table that keeps a secret
itself and not its hash; with SQLite it is empty, and the secret is a file.
"""

from sqlalchemy import Connection, select

from townwatch.store.rows import insert_new
from townwatch.store.tables import service_secrets


def keep(connection: Connection, name: str, value: str) -> str:
    """Keep `value` under this name if there is none; return the one that is kept."""
    insert_new(connection, service_secrets, {"name": name, "value": value})
    return connection.execute(select(service_secrets.c.value).where(service_secrets.c.name == name)).scalar_one()

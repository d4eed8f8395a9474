"""Connections to PostgreSQL: the URL's driver, time limits, and settings that the promises rest on."""

import os
import socket
from collections.abc import Generator
from contextlib import contextmanager, suppress
from typing import Any

from sqlalchemy.engine import URL, make_url

from townwatch.contracts.faults import TablesRefused

CONNECT_SECONDS = 5
"""Time limit for a connection to PostgreSQL, and for a lock there."""
IDLE_SECONDS = 10
"""A transaction whose process does nothing for so long (it is frozen, or cut off) is ended by PostgreSQL."""
_ALIVE: dict[str, object] = {
    "keepalives": 1,
    "keepalives_idle": 3,
    "keepalives_interval": 2,
    "keepalives_count": 2,
    "tcp_user_timeout": 6000,
}
"""Over a network, a server that is cut off is noticed within seconds. Unix sockets ignore these."""


def is_postgres(url: str) -> bool:
    """Return whether a [database] url names a PostgreSQL."""
    return url.startswith(("postgresql", "postgres:"))


def parse(url: str) -> URL:
    """Return the URL with the one driver that we use."""
    made = make_url(url)
    return made.set(drivername="postgresql+psycopg") if made.drivername in ("postgresql", "postgres") else made


def connect_args(url: URL, application: str | None) -> dict[str, object]:
    """Arguments of psycopg that the URL does not give itself."""
    wanted = {"connect_timeout": CONNECT_SECONDS, **_ALIVE}
    if application is not None:
        wanted["application_name"] = application
    return {name: value for name, value in wanted.items() if name not in url.query}


def prepare(raw: Any) -> None:
    """Settle a new connection, for its life. A commit that is answered is on PostgreSQL's disk, whatever the server's
    default is; a stricter default (remote_apply) stays.
    """
    raw.execute(f"SET lock_timeout = '{CONNECT_SECONDS}s'")
    raw.execute(f"SET idle_in_transaction_session_timeout = '{IDLE_SECONDS}s'")
    raw.execute("SET default_transaction_isolation = 'read committed'")
    raw.execute(
        "SELECT set_config('synchronous_commit', 'on', false) WHERE current_setting('synchronous_commit') = 'off'"
    )
    raw.commit()


def replace_nul(raw: Any) -> None:
    """Let a connection send NUL as its symbol, U+2400: PostgreSQL refuses text with one. What others write (names, ids,
    a note) must not make every statement fail that it gets into.
    """
    from psycopg.adapt import Dumper, PyFormat

    encoding: str = raw.info.encoding

    class WithoutNul(Dumper):
        """Text without NUL."""

        oid = raw.adapters.get_dumper(str, PyFormat.TEXT).oid

        def dump(self, obj: str) -> bytes:
            return obj.replace("\0", "\u2400").encode(encoding)

    raw.adapters.register_dumper(str, WithoutNul)


def connect(url: URL, application: str | None) -> Any:
    """A psycopg connection of its own, settled. Raises psycopg's errors, `TablesRefused` where it is missing."""
    try:
        import psycopg
    except ModuleNotFoundError:
        raise TablesRefused("database: PostgreSQL needs psycopg: pip install 'townwatch[postgres]'") from None
    _, arguments = _dialect(url).create_connect_args(url)
    given: dict[str, Any] = {**connect_args(url, application), **arguments}
    connection = psycopg.connect(**given)
    with closed_on_error(connection):
        prepare(connection)
    return connection


@contextmanager
def closed_on_error(connection: Any) -> Generator[None]:
    """Close a new connection that cannot be settled: its server may go in that moment, and it would stay open."""
    try:
        yield
    except BaseException:
        connection.close()
        raise


def weaknesses(connection: Any) -> list[str]:
    """Return what of this server's settings makes a promise smaller: one line each, with what to set."""
    names = ("fsync", "full_page_writes", "synchronous_standby_names")
    found = dict(
        connection.execute("SELECT name, setting FROM pg_settings WHERE name = ANY(%s)", (list(names),)).fetchall()
    )
    lines = [
        f"{name} is off: a crash of its machine can lose acknowledged events or damage the database; set it on"
        for name in ("fsync", "full_page_writes")
        if found.get(name) == "off"
    ]
    (standbys,) = connection.execute("SELECT count(*) FROM pg_stat_replication").fetchone()
    if standbys and not found.get("synchronous_standby_names"):
        lines.append(
            "it has replicas and no synchronous_standby_names: a fail-over to one can lose acknowledged events; set it"
        )
    return lines


def cut(connection: Any) -> None:
    """End a connection under the thread that waits on it: its call fails as if the server had gone."""
    with suppress(Exception), socket.socket(fileno=os.dup(connection.pgconn.socket)) as line:
        line.shutdown(socket.SHUT_RDWR)


def place_of(url: URL) -> str:
    """Name for messages: the database and its host; never a password."""
    return f"the database {url.database!r} on {url.host or url.query.get('host') or 'the local socket'}"


def _dialect(url: URL) -> Any:
    return url.get_dialect()()

"""The processes that share a PostgreSQL: a row each, by PostgreSQL's clock alone.

    table = ReplicaTable(url, Replica(…))
    seen = table.look(relayed=12)     # renews the own row; all rows, and who holds the lease
    table.leave()                     # at the end

Everything here blocks and is for one thread at a time. A row promises nothing: who leads is the lease's to say, and a
process that hands a connection on makes sure whom it reaches (`transports/edge/relay`).
"""

import os
import socket
from collections.abc import Generator
from contextlib import contextmanager, suppress
from datetime import datetime
from ipaddress import ip_address
from typing import Any

import attrs

from townwatch.cluster.connection import OwnConnection
from townwatch.contracts.faults import TablesUnavailable
from townwatch.store.engine import driver, postgres
from townwatch.store.engine.outage import postgres_fault

SECRET = "relay"
"""Under this name the secret of relayed connections is in `service_secrets`."""
KEPT_SECONDS = 10.0
"""A process that has not renewed its row for so long is not listed any more."""
_MADE = 0x7477_7265  # any number, the same in every process: one makes the table, others wait
_SCHEMA = f"""
SELECT pg_advisory_xact_lock({_MADE});
CREATE TABLE IF NOT EXISTS replica (
  life TEXT PRIMARY KEY, name TEXT NOT NULL, address TEXT NOT NULL, fingerprint TEXT, version TEXT NOT NULL,
  since TIMESTAMPTZ NOT NULL, renewed TIMESTAMPTZ NOT NULL, relayed INTEGER NOT NULL, link_ms DOUBLE PRECISION);
"""
_RENEW = """
INSERT INTO replica (life, name, address, fingerprint, version, since, renewed, relayed, link_ms)
VALUES (%s, %s, %s, %s, %s, clock_timestamp(), clock_timestamp(), %s, %s)
ON CONFLICT (life) DO UPDATE SET renewed = clock_timestamp(), relayed = excluded.relayed, link_ms = excluded.link_ms
"""
_FORGET = "DELETE FROM replica WHERE renewed < clock_timestamp() - make_interval(secs => %s)"
_LOOK = """
SELECT life, name, address, fingerprint, version, since, extract(epoch FROM clock_timestamp() - renewed) * 1000,
  relayed, link_ms
FROM replica ORDER BY since, life
"""
_LEADER = """
SELECT epoch, holder, name, since FROM lease WHERE id = 1 AND holder IS NOT NULL AND expires > clock_timestamp()
"""
_HAS_SECRETS = "SELECT to_regclass('service_secrets') IS NOT NULL"
_SECRET = "SELECT value FROM service_secrets WHERE name = %s"


@attrs.frozen(kw_only=True)
class Replica:
    """A process. `address`: host:port where others reach it; `fingerprint`: of its port's certificate; `lag_ms`: age
    of its last sign of life; `link_ms`: how long the leader took to answer it, None of the leader or where it did not.
    """

    life: str
    name: str
    address: str
    fingerprint: str | None
    version: str
    since: datetime | None = None
    lag_ms: float = 0.0
    relayed: int = 0
    link_ms: float | None = None


@attrs.frozen
class HeldLease:
    """The lease while it runs."""

    epoch: int
    life: str
    name: str
    since: datetime


@attrs.frozen(kw_only=True)
class ReplicasSeen:
    """Result of a look at the table. `secret`: of relayed connections; None before the first leader has made it."""

    replicas: tuple[Replica, ...] = ()
    leader: HeldLease | None = None
    secret: bytes | None = attrs.field(default=None, repr=False)


class ReplicaTable:
    """One process's handle."""

    def __init__(self, url: str, mine: Replica) -> None:
        """`mine.address`: ":port" for the port alone; the host is then the one from which PostgreSQL is reached."""
        target = postgres.parse(url)
        self._place = postgres.place_of(target)
        self._mine = mine
        self._line = OwnConnection(target, "townwatch replica", self._prepare)
        self._secret: bytes | None = None

    def look(self, relayed: int, link_ms: float | None, *, renew: bool) -> ReplicasSeen:
        """Renew the own row, where that is wanted, and read all. Raises `TablesUnavailable` and other OSErrors."""
        with self._connected() as connection:
            if renew:
                me = self._mine
                row = (me.life, me.name, me.address, me.fingerprint, me.version, relayed, link_ms)
                with connection.transaction():
                    connection.execute(_RENEW, row)
                    connection.execute(_FORGET, (KEPT_SECONDS,))
            rows = connection.execute(_LOOK).fetchall()
            leader = connection.execute(_LEADER).fetchone()
            return ReplicasSeen(
                replicas=tuple(map(_replica, rows)),
                leader=None if leader is None else HeldLease(leader[0], leader[1], leader[2] or "?", leader[3]),
                secret=self._read_secret(connection),
            )

    def leave(self) -> None:
        """Take the own row away, and close. Raises as `look`."""
        try:
            with self._connected() as connection:
                connection.execute("DELETE FROM replica WHERE life = %s", (self._mine.life,))
        finally:
            self.close()

    def disconnect(self) -> None:
        """Give the connection up, also while another thread waits on it. The next look connects anew."""
        self._line.give_up()

    def close(self) -> None:
        """Disconnect for good."""
        self._line.close()

    @contextmanager
    def _connected(self) -> Generator[Any]:
        """The connection, for one call: an error of the driver ends it, and becomes ours."""
        try:
            with self._line.use() as connection:
                yield connection
        except driver.Error as error:
            self.disconnect()
            raise postgres_fault(error, self._place) or TablesUnavailable(str(error)) from None

    def _read_secret(self, connection: Any) -> bytes | None:
        if self._secret is None and connection.execute(_HAS_SECRETS).fetchone()[0]:
            found = connection.execute(_SECRET, (SECRET,)).fetchone()
            self._secret = None if found is None else bytes.fromhex(found[0])
        return self._secret

    def _prepare(self, connection: Any) -> None:
        with connection.transaction():
            connection.execute(_SCHEMA)
        if self._mine.address.startswith(":"):
            self._mine = attrs.evolve(self._mine, address=f"{_own_host(connection)}{self._mine.address}")


def _own_host(connection: Any) -> str:
    """Return this machine's address as others of the database reach it: its end of the connection to PostgreSQL, where
    that goes over a network; else its name.
    """
    with suppress(OSError, ValueError), socket.socket(fileno=os.dup(connection.pgconn.socket)) as line:
        if line.family in (socket.AF_INET, socket.AF_INET6):
            host = ip_address(line.getsockname()[0])
            if not host.is_loopback and not host.is_link_local:
                return f"[{host}]" if host.version == 6 else str(host)
    return socket.gethostname()


def _replica(row: Any) -> Replica:
    life, name, address, fingerprint, version, since, lag, relayed, link = row
    return Replica(
        life=life, name=name, address=address, fingerprint=fingerprint, version=version, since=since,
        lag_ms=float(lag), relayed=relayed, link_ms=link,
    )  # fmt: skip

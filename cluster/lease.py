"""The lease of the process that leads: one row of the shared PostgreSQL, by PostgreSQL's clock alone.

    lease = ProcessLease(url, "house-1:8787", seconds=5)
    lease.prepare()
    taken = lease.take()        # a Term, or the Leader that holds it
    lease.renew(taken)          # every second; False: another process took over
    lease.release(taken)        # at the end, when nothing writes any more

Everything here blocks and is for one thread at a time.
"""

import uuid
from datetime import UTC, datetime
from types import TracebackType
from typing import Any, Self

import attrs
import psycopg

from townwatch.store.engine import postgres
from townwatch.store.engine.fence import LEASE_SCHEMA, LOCK_FENCE, Term, application_of
from townwatch.store.engine.outage import postgres_fault

LOCK_MS = 2000
"""Time for transactions of the last leader to end, once its connections were ended."""
_LOOK = "SELECT epoch, holder, name, since, expires < clock_timestamp() FROM lease WHERE id = 1"
_TAKE = """
UPDATE lease SET epoch = epoch + 1, holder = %s, name = %s, since = clock_timestamp(),
  expires = clock_timestamp() + make_interval(secs => %s)
WHERE id = 1 AND expires < clock_timestamp() RETURNING epoch
"""
_RENEW = """
UPDATE lease SET expires = clock_timestamp() + make_interval(secs => %s) WHERE id = 1 AND epoch = %s RETURNING epoch
"""
_RELEASE = "UPDATE lease SET holder = NULL, expires = '-infinity' WHERE id = 1 AND epoch = %s"
_END_CONNECTIONS = """
SELECT pg_terminate_backend(pid) FROM pg_stat_activity
WHERE application_name = %s AND datname = current_database() AND usename = current_user
"""


@attrs.frozen
class Leader:
    """The process that holds the lease. `expired`: it has not renewed it in time; the next one may take it."""

    epoch: int
    name: str
    since: datetime | None
    expired: bool

    def __str__(self) -> str:
        since = self.since.astimezone(UTC).isoformat(timespec="seconds").replace("+00:00", "Z") if self.since else "?"
        return f"{self.name} leads since {since}"


class ProcessLease:
    """One process's handle. `name`: for people, where this process is; `seconds`: from a renewal to the end of it."""

    def __init__(self, url: str, name: str, seconds: float) -> None:
        self._url = postgres.parse(url)
        self.place = postgres.place_of(self._url)
        self.name = name
        self.seconds = seconds
        self.life = uuid.uuid4().hex
        self._connection: Any = None
        self._closings = 0
        self._prepared = False

    def prepare(self) -> None:
        """Make the row and the fence where they are not there. Raises `TablesUnavailable` and `TablesRefused`."""
        if self._prepared:
            return
        with _Translated(self), self._open().transaction():
            self._open().execute(LEASE_SCHEMA)
        self._prepared = True

    def look(self) -> Leader:
        """Return who holds the lease, or held it last."""
        with _Translated(self):
            return self._look()

    def take(self) -> Term | Leader:
        """Take the lease if no process holds it; return this process's term, or the leader that there is.

        What the last leader has open is ended first: a frozen process may have been in the middle of a transaction.
        """
        with _Translated(self):
            leader = self._look()
            if not leader.expired:
                return leader
            connection = self._open()
            try:
                with connection.transaction():
                    (holder,) = connection.execute("SELECT holder FROM lease WHERE id = 1").fetchone()
                    if holder is not None:
                        connection.execute(_END_CONNECTIONS, (application_of(holder),))
                    connection.execute(f"SET LOCAL lock_timeout = {LOCK_MS}")
                    connection.execute(LOCK_FENCE)
                    row = connection.execute(_TAKE, (self.life, self.name, self.seconds)).fetchone()
            except psycopg.errors.LockNotAvailable:
                return leader
            return self._look() if row is None else Term(row[0], self.life)

    def renew(self, term: Term) -> bool:
        """Extend the lease; False where another process leads. Raises `TablesUnavailable` where it cannot be known."""
        with _Translated(self):
            return self._open().execute(_RENEW, (self.seconds, term.epoch)).fetchone() is not None

    def release(self, term: Term) -> None:
        """Give the lease back, so that another process need not wait for its end."""
        with _Translated(self):
            self._open().execute(_RELEASE, (term.epoch,))

    def close(self) -> None:
        """Give the connection up, also while another thread waits on it. The lease stays as it is."""
        connection, self._connection = self._connection, None
        self._closings += 1
        if connection is not None:
            postgres.cut(connection)
            if connection.lock.acquire(timeout=1.0):  # the thread that waited on it has its error by then
                try:
                    connection.close()
                finally:
                    connection.lock.release()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, tb: TracebackType | None) -> None:
        self.close()

    def _look(self) -> Leader:
        epoch, holder, name, since, expired = self._open().execute(_LOOK).fetchone()
        return Leader(epoch, name or "no process", since if holder else None, expired)

    def _open(self) -> Any:
        if self._connection is None:
            # Not under the life's own name: ending a leader's connections must not end the taker-over's, ever.
            before = self._closings
            made = postgres.connect(self._url, "townwatch lease")
            if before != self._closings:  # given up while it was being made
                made.close()
                raise psycopg.OperationalError("the connection was given up before it was there")
            made.autocommit = True
            self._connection = made
        return self._connection


class _Translated:
    """Turns the driver's errors into ours, and drops the connection they came from."""

    def __init__(self, lease: ProcessLease) -> None:
        self._lease = lease

    def __enter__(self) -> None:
        return None

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, tb: TracebackType | None) -> None:
        if error is None:
            return
        self._lease.close()
        if isinstance(error, psycopg.Error):
            raise postgres_fault(error, self._lease.place) or error

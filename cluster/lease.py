"""The lease of the process that leads: one row of the shared PostgreSQL, by PostgreSQL's clock alone.

    lease = ProcessLease(url, "house-1:8787", seconds=5)
    lease.prepare()
    taken = lease.take()        # a Term, or the Leader that holds it
    lease.watch(1.0)            # as a standby: until the leader is gone, or so long
    lease.renew(taken)          # every second; False: another process took over
    lease.release(taken)        # at the end, when nothing writes any more

The leader's lease connection also holds a lock, its **life sign**. When its process is killed, PostgreSQL frees that
lock at once, and a standby need not wait for the end of the lease. It takes over before only where all of this holds:

- on one and the same connection of the standby, the life sign was seen held and then free. PostgreSQL that restarts, or
  a standby that is cut off itself, ends that connection: what it saw before counts no more;
- the leader has no other connection either: one that lost its lease connection alone is at work;
- for `GONE_SECONDS` it stays so, and the lease is not renewed: a leader whose connections were all ended (by an
  administrator, or a pooler that restarts) sees that at once, connects anew and renews.

A wrong guess is harmless: the fence refuses whatever the replaced one writes. A frozen process keeps its life sign, and
so does, for PostgreSQL, a machine that lost its power: their lease runs out.

Everything here blocks and is for one thread at a time.
"""

import time
import uuid
from collections.abc import Generator
from contextlib import contextmanager
from datetime import UTC, datetime
from types import TracebackType
from typing import Any, Self

import attrs

from townwatch.cluster.connection import OwnConnection
from townwatch.store.engine import driver, postgres
from townwatch.store.engine.fence import HOLD_LIFE_SIGN, LEASE_SCHEMA, LOCK_FENCE, Term, application_of
from townwatch.store.engine.outage import postgres_fault

LOCK_MS = 2000
"""Time for transactions of the last leader to end, once its connections were ended."""
_LOOK = "SELECT epoch, holder, name, since, expires < clock_timestamp() FROM lease WHERE id = 1"
_FREE = "id = 1 AND (expires < clock_timestamp() OR expires = %s)"
_HOLDER = f"SELECT holder FROM lease WHERE {_FREE} FOR UPDATE"
_TAKE = f"""
UPDATE lease SET epoch = epoch + 1, holder = %s, name = %s, since = clock_timestamp(),
  expires = clock_timestamp() + make_interval(secs => %s)
WHERE {_FREE} RETURNING epoch
"""
_WATCH = "SELECT held, gone FROM townwatch_watch(%s, %s, %s)"
RETURN_SECONDS = 2.0
"""Where PostgreSQL was away, its leader has so long to come back before its lease counts as run out, or half of it."""
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
        target = postgres.parse(url)
        self.place = postgres.place_of(target)
        self.name = name
        self.seconds = seconds
        self.life = uuid.uuid4().hex
        # Not under the life's own name: ending a leader's connections must not end the taker-over's, ever.
        self._line = OwnConnection(target, "townwatch lease", self._note_connected)
        self._connected_at = 0.0
        self._prepared = False
        self._holds: Any = None
        """The connection that holds the life sign."""
        self._seen = 0
        """The epoch whose life sign this connection saw."""
        self._gone: datetime | None = None
        """The end of the lease whose leader is gone."""

    def prepare(self) -> None:
        """Make the row and the fence where they are not there. Raises `TablesUnavailable` and `TablesRefused`."""
        if self._prepared:
            return
        with self._connected() as connection, connection.transaction():
            connection.execute(LEASE_SCHEMA)
        self._prepared = True

    def look(self) -> Leader:
        """Return who holds the lease, or held it last."""
        with self._connected() as connection:
            return _look(connection)

    def take(self) -> Term | Leader:
        """Take the lease if no process holds it; return this process's term, or the leader that there is.

        What the last leader has open is ended first: a frozen process may have been in the middle of a transaction.
        """
        gone, self._gone = self._gone, None
        with self._connected() as connection:
            leader = _look(connection)
            if gone is None and not (leader.expired and self._may_judge(leader)):
                return leader
            try:
                row = self._replace(connection, gone)
            except driver.LockNotAvailable:
                return leader
            if row is None:
                return _look(connection)
            term = Term(row[0], self.life)
            self._hold(connection, term)
            return term

    def watch(self, seconds: float) -> None:
        """Return when the next `take` may succeed, or after so long."""
        with self._connected() as connection:
            epoch = _look(connection).epoch
            held, self._gone = connection.execute(_WATCH, (epoch, self._seen == epoch, seconds)).fetchone()
            self._seen = epoch if held else 0

    def renew(self, term: Term) -> bool:
        """Extend the lease; False where another process leads. Raises `TablesUnavailable` where it cannot be known."""
        with self._connected() as connection:
            if connection.execute(_RENEW, (self.seconds, term.epoch)).fetchone() is None:
                return False
            self._hold(connection, term)
            return True

    def release(self, term: Term) -> None:
        """Give the lease back, so that another process need not wait for its end."""
        with self._connected() as connection:
            connection.execute(_RELEASE, (term.epoch,))

    @property
    def line(self) -> int | None:
        """The connection's file descriptor; it becomes readable when the connection ends. None: there is none."""
        return self._line.descriptor

    def disconnect(self) -> None:
        """Give the connection up, also while another thread waits on it. The lease stays as it is, and the next call
        connects anew.
        """
        self._holds, self._seen, self._gone = None, 0, None
        self._line.give_up()

    def close(self) -> None:
        """Disconnect for good. The lease stays as it is."""
        self._line.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, tb: TracebackType | None) -> None:
        self.close()

    @contextmanager
    def _connected(self) -> Generator[Any]:
        """The connection, for one call: an error ends it, and the driver's become ours."""
        try:
            with self._line.use() as connection:
                yield connection
        except driver.Error as error:
            self.disconnect()
            fault = postgres_fault(error, self.place)
            if fault is None:
                raise
            raise fault from error
        except BaseException:
            self.disconnect()
            raise

    def _note_connected(self, _connection: Any) -> None:
        self._connected_at = time.monotonic()

    def _may_judge(self, leader: Leader) -> bool:
        """Return whether a lease that ran out says something of its leader: where this process was cut off from
        PostgreSQL itself, the leader may have been, too, and is about to come back.
        """
        patience = min(RETURN_SECONDS, self.seconds / 2)
        return leader.since is None or self._line.given_up == 0 or time.monotonic() - self._connected_at >= patience

    def _replace(self, connection: Any, gone: datetime | None) -> Any:
        """Return the row with the new epoch, or None where the lease was renewed meanwhile."""
        with connection.transaction():
            found = connection.execute(_HOLDER, (gone,)).fetchone()
            if found is None:
                return None
            if found[0] is not None:
                connection.execute(_END_CONNECTIONS, (application_of(found[0]),))
            connection.execute(f"SET LOCAL lock_timeout = {LOCK_MS}")
            connection.execute(LOCK_FENCE)
            return connection.execute(_TAKE, (self.life, self.name, self.seconds, gone)).fetchone()

    def _hold(self, connection: Any, term: Term) -> None:
        if self._holds is not connection:
            connection.execute(HOLD_LIFE_SIGN, (term.epoch,))
            self._holds = connection


def _look(connection: Any) -> Leader:
    epoch, holder, name, since, expired = connection.execute(_LOOK).fetchone()
    return Leader(epoch, name or "no process", since if holder else None, expired)

"""PostgreSQL as the lease and the event log use it: a table of each, locks, transactions, and connections that break.

It knows the statements of the product by their text. What a statement does takes effect at one moment; a transaction's
writes wait for its commit. Locks are held as PostgreSQL holds them: until the end of the transaction or of the session.
"""

import random
from collections import Counter
from collections.abc import Callable, Generator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import Any

import attrs
import trio
from psycopg import OperationalError, errors

from tests.simulation.replicas.threads import Process, ask, process
from townwatch.store.engine.fence import GONE_SECONDS
from townwatch.store.engine.postgres import IDLE_SECONDS

LOCK_SECONDS = 5.0
WATCH_STEP = 0.04
LEASE_APPLICATION = "townwatch lease"
SINCE = datetime(2026, 1, 1, tzinfo=UTC)
Row = tuple[Any, ...]


class Fenced(errors.RaiseException):
    """What `townwatch_fence` raises."""

    sqlstate = "TW001"


@attrs.define
class LeaseRow:
    epoch: int = 0
    holder: str | None = None
    name: str | None = None
    expires: float = float("-inf")


@attrs.define(eq=False)
class Session:
    """A connection, as the server sees it. `life_sign`: the epoch whose life sign it holds."""

    application: str
    owner: Process
    alive: bool = True
    locks: dict[str, bool] = attrs.field(factory=dict[str, bool])
    """Name → exclusive, of those that its transaction holds."""
    life_sign: int = 0
    writes: list[Callable[[], None]] = attrs.field(factory=list[Callable[[], None]])
    lock_seconds: float = LOCK_SECONDS
    active: float = 0.0
    """When it did something last, within its transaction."""
    ended: trio.Event = attrs.field(factory=trio.Event)


@attrs.define(eq=False)
class Server:
    """The server and its disk. `check(holds, what)` hears of what must never be."""

    dice: random.Random
    check: Callable[[bool, str], None]
    lease: LeaseRow = attrs.field(factory=LeaseRow)
    villages: dict[int, str] = attrs.field(factory=dict[int, str])
    heads: dict[int, Row] = attrs.field(factory=dict[int, Row])
    events: list[Row] = attrs.field(factory=list[Row])
    stored: dict[str, list[tuple[int, bytes]]] = attrs.field(factory=dict[str, list[tuple[int, bytes]]])
    sessions: list[Session] = attrs.field(factory=list[Session])
    counts: Counter[str] = attrs.field(factory=Counter[str])
    up: bool = True
    lose: str = ""
    """"answer" or "commit": what the next commit to the log loses."""

    # --- connections ----------------------------------------------------------------------------------

    async def connect(self, application: str, owner: Process) -> Session:
        await trio.sleep(self.dice.uniform(0.0002, 0.01))
        if not self.up:
            raise OperationalError("connection refused")
        made = Session(application, owner)
        self.sessions.append(made)
        return made

    def end(self, session: Session) -> None:
        """Its transaction is rolled back, its locks are free."""
        if session.alive:
            session.alive = False
            session.life_sign = 0
            self._over(session)
            session.ended.set()
            self.sessions.remove(session)

    def end_all(self, wanted: Callable[[Session], bool] = lambda _session: True) -> None:
        for session in [one for one in self.sessions if wanted(one)]:
            self.end(session)

    async def sweep(self) -> None:
        """`idle_in_transaction_session_timeout`."""
        while True:
            await trio.sleep(0.5)
            self.end_all(lambda one: bool(one.locks) and trio.current_time() - one.active > IDLE_SECONDS)

    async def run(self, session: Session, statements: Sequence[tuple[str, Sequence[Any]]]) -> list[list[Row]]:
        """One round trip."""
        await trio.sleep(self.dice.choice((0.0, 0.0002, 0.001, 0.004)))
        commits = any(sql == "COMMIT" for sql, _ in statements) and bool(session.writes or len(statements) > 2)
        lose = self.lose if commits and session.application != LEASE_APPLICATION else ""
        if lose:
            self.lose = ""
            self.counts[f"lost {lose}"] += 1
        if lose == "commit":
            self.end(session)
        self._alive(session)
        found: list[list[Row]] = []
        try:
            for sql, args in statements:
                session.active = trio.current_time()
                found.append(await self._statement(session, sql, args))
                self._alive(session)
        except OperationalError:
            raise
        except Exception:
            self._over(session)
            raise
        if lose:
            self.end(session)
        await trio.sleep(self.dice.choice((0.0, 0.0002, 0.001)))
        self._alive(session)
        return found

    def _alive(self, session: Session) -> None:
        if not session.alive:
            raise OperationalError("the connection was lost")

    # --- locks ----------------------------------------------------------------------------------------

    async def _lock(self, session: Session, name: str, exclusive: bool = True) -> None:
        until = trio.current_time() + session.lock_seconds
        while any(
            name in other.locks and (exclusive or other.locks[name]) for other in self.sessions if other is not session
        ):
            if trio.current_time() > until:
                raise errors.LockNotAvailable("canceling statement due to lock timeout")
            await trio.sleep(0.01)
            self._alive(session)
        session.locks[name] = exclusive

    def _over(self, session: Session, commit: bool = False) -> None:
        if commit:
            if session.writes and session.application != LEASE_APPLICATION:
                right = session.application == f"townwatch {self.lease.holder}"
                self.check(right, f"{session.owner.name} wrote, and {self.lease.name} leads")
            for write in session.writes:
                write()
        session.writes, session.locks = [], {}
        session.lock_seconds = LOCK_SECONDS

    # --- statements -----------------------------------------------------------------------------------

    async def _statement(self, session: Session, sql: str, args: Sequence[Any]) -> list[Row]:
        lease, now = self.lease, trio.current_time()
        match sql.split():
            case ["COMMIT"]:
                self._over(session, commit=True)
            case ["ROLLBACK"]:
                self._over(session)
            case ["SET", "LOCAL", *_]:
                session.lock_seconds = 2.0
            case ["SELECT", "epoch,", *_]:  # a look at the lease
                return [(lease.epoch, lease.holder, lease.name, SINCE, lease.expires < now)]
            case ["SELECT", "holder", *_]:
                await self._lock(session, "row")
                return [(lease.holder,)] if self._free(args[0]) else []
            case ["SELECT", "pg_terminate_backend(pid)", *_]:
                self.end_all(lambda one: one.application == args[0])
            case ["UPDATE", "lease", "SET", "epoch", *_]:
                return self._take(session, "epoch + 1" in sql, args)
            case ["UPDATE", "lease", "SET", "expires", *_]:
                return await self._renew(session, args)
            case ["UPDATE", "lease", "SET", "holder", *_]:
                if lease.epoch == args[0]:
                    lease.holder, lease.expires = None, float("-inf")
            case ["SELECT", "held,", *_]:
                return await self._watch(session, *args)
            case ["SELECT", call, *_] if call.startswith("pg_advisory_lock"):
                session.life_sign = args[0]
            case ["SELECT", call, *_] if call.startswith("pg_advisory_xact_lock"):
                await self._lock(session, "fence")
            case ["SELECT", call, *_] if call.startswith("townwatch_fence"):
                await self._fence(session, *args)
            case ["INSERT", "INTO", table, *_]:
                self._insert(session, table, args)
            case _:
                return self._read(sql)
        return []

    def _free(self, gone: float | None) -> bool:
        return self.lease.expires < trio.current_time() or self.lease.expires == gone

    def _take(self, session: Session, raises: bool, args: Sequence[Any]) -> list[Row]:
        holder, name, seconds, gone = args
        if not self._free(gone):
            return []
        epoch, expires = self.lease.epoch + int(raises), trio.current_time() + seconds

        def write() -> None:
            self.lease = LeaseRow(epoch, holder, name, expires)
            self.counts["taken"] += 1

        session.writes.append(write)
        return [(epoch,)]

    async def _renew(self, session: Session, args: Sequence[Any]) -> list[Row]:
        seconds, epoch = args
        await self._lock(session, "row")
        session.locks = {}
        if self.lease.epoch != epoch:
            return []
        self.lease.expires = trio.current_time() + seconds
        return [(epoch,)]

    async def _watch(self, session: Session, epoch: int, seen: bool, seconds: float) -> list[Row]:
        """The function `townwatch_watch`, line by line."""
        until, held, gone, missed = trio.current_time() + seconds, seen, None, None
        while self.lease.epoch == epoch and self.lease.expires >= trio.current_time():
            if any(one.life_sign == epoch for one in self.sessions):
                held, missed = True, None
            elif not held or any(one.application == f"townwatch {self.lease.holder}" for one in self.sessions):
                missed = None
            elif missed is None or gone != self.lease.expires:
                missed, gone = trio.current_time(), self.lease.expires
            elif missed + GONE_SECONDS < trio.current_time():
                return [(held, gone)]
            if missed is None and trio.current_time() > until:
                break
            await trio.sleep(WATCH_STEP)
            self._alive(session)
        return [(held, None)]

    async def _fence(self, session: Session, mine: int) -> None:
        await self._lock(session, "fence", exclusive=False)
        await self._lock(session, "log")
        if self.lease.epoch != mine:
            raise Fenced(f"this process led in epoch {mine}, and {self.lease.name} leads in epoch {self.lease.epoch}")

    def _insert(self, session: Session, table: str, args: Sequence[Any]) -> None:
        match table:
            case "log_village":
                rows = dict(zip(args[0], args[1], strict=True))
                session.writes.append(lambda: self.villages.update(rows))
            case "log_session":
                heads = {row[0]: row for row in zip(*args, strict=True)}
                session.writes.append(lambda: self.heads.update(heads))
            case _:
                self._insert_events(session, list(zip(*args[1:], strict=True)))

    def _insert_events(self, session: Session, rows: list[Row]) -> None:
        have = {(row[1], row[2]) for row in self.events}
        if any((row[1], row[2]) in have for row in rows) or {row[0] for row in self.events} & {row[0] for row in rows}:
            raise errors.UniqueViolation("duplicate key")

        def write() -> None:
            for row in rows:
                self.events.append(row)
                self.stored.setdefault(self.heads[row[1]][1], []).append((row[2], row[6]))

        session.writes.append(write)

    def _read(self, sql: str) -> list[Row]:
        if "FROM log_session h JOIN" in sql:
            return [(h[0], h[1], self.villages[h[2]], *h[3:]) for h in self.heads.values()]
        if "FROM log_village" in sql:
            return [(name, key) for key, name in self.villages.items()]
        if "max(position)" in sql:
            return [(max((row[0] for row in self.events), default=0),)]
        if "next_position" in sql:
            return [(1,)]
        return [(0,)] if "count(*)" in sql else []


class _Cursor:
    def __init__(self, connection: "SimConnection") -> None:
        self._connection = connection
        self.rows: list[Row] | None = None

    def fetchall(self) -> list[Row]:
        if self.rows is None:
            self._connection.sync()
        assert self.rows is not None
        return self.rows

    def fetchone(self) -> Row | None:
        rows = self.fetchall()
        return rows[0] if rows else None


class SimConnection:
    """The part of psycopg's connection that the product uses, from within a worker thread."""

    autocommit = False

    def __init__(self, server: Server, session: Session) -> None:
        self._server, self._session = server, session
        self._queue: list[tuple[str, Sequence[Any], _Cursor]] = []
        self._pipelines = 0
        self._transactions = 0

    @property
    def closed(self) -> bool:
        return not self._session.alive

    def fileno(self) -> "SimConnection":
        return self

    async def until_readable(self) -> None:
        """When the connection ended."""
        await self._session.ended.wait()
        await self._session.owner.running()

    def execute(self, sql: str, args: Sequence[Any] = ()) -> _Cursor:
        cursor = _Cursor(self)
        self._queue.append((sql, args, cursor))
        if not self._pipelines:
            self.sync()
        return cursor

    def sync(self) -> None:
        queue, self._queue = self._queue, []
        if queue:
            statements = [(sql, args) for sql, args, _ in queue]
            for (_, _, cursor), rows in zip(
                queue, ask(lambda: self._server.run(self._session, statements)), strict=True
            ):
                cursor.rows = rows

    def commit(self) -> None:
        self.execute("COMMIT")

    @contextmanager
    def pipeline(self) -> Generator[None]:
        self._pipelines += 1
        try:
            yield
            self.sync()
        finally:
            self._pipelines -= 1
            self._queue = []

    @contextmanager
    def transaction(self) -> Generator[None]:
        try:
            yield
        except BaseException:
            if self._session.alive:
                self._server._over(self._session)
            raise
        self.execute("COMMIT")

    def close(self) -> None:
        self._server.end(self._session)


def connector(server: Server) -> Callable[[Any, str], SimConnection]:
    """`store.engine.postgres.connect`."""

    def connect(_url: Any, application: str) -> SimConnection:
        owner = process.get()
        return SimConnection(server, ask(lambda: server.connect(application, owner)))

    return connect

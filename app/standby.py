"""The start of a process that shares a PostgreSQL: it leads, or waits as a standby until it does."""

import os
import socket
import sqlite3
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager, closing, suppress
from pathlib import Path

import structlog
import trio

from townwatch.app.waiting_room import AnotherLeads, wait_for
from townwatch.cluster.leadership import Leadership
from townwatch.cluster.lease import Leader, ProcessLease
from townwatch.config.settings import Settings
from townwatch.contracts.faults import TablesRefused
from townwatch.store.engine import postgres
from townwatch.store.engine.fence import Term
from townwatch.store.pg_log.log import PostgresLog
from townwatch.transports.edge.server import Edge

log = structlog.get_logger("cluster")


@asynccontextmanager
async def leading(settings: Settings, edge: Edge, told: trio.Event) -> AsyncGenerator[Leadership]:
    """Take the lease, waiting as a standby for as long as another process has it; keep it renewed, give it back.

    Raises `StoppedWaiting`, `TablesRefused` and other OSErrors where waiting is of no use.
    """
    lease = ProcessLease(settings.database.url, _name(settings, edge), settings.database.lease_seconds)
    try:
        term = await wait_for(lambda: _take(lease), edge, told)
        leadership = Leadership(lease, term)
        log.info("leads", epoch=term.epoch, name=lease.name, lease_seconds=lease.seconds)
        async with trio.open_nursery() as nursery:
            nursery.start_soon(leadership.keep)
            try:
                yield leadership
            finally:
                nursery.cancel_scope.cancel()
                await leadership.give_back()
    finally:
        lease.close()


def open_log(settings: Settings, term: Term) -> PostgresLog:
    """The event log in PostgreSQL. Refuses to begin an empty one beside a file that has events."""
    event_log = PostgresLog.open(settings.database.url, term)
    with event_log.connection() as connection:
        for line in postgres.weaknesses(connection):
            log.warning("postgresql_promises_less", reason=line)
    file = settings.state / "journal.db"
    if not event_log.heads() and event_log.position == 0 and has_events(file):
        event_log.close()
        raise TablesRefused(
            f"{file} has events, and the event log in PostgreSQL has none: copy them with `townwatch migrate`,"
            f" or move {file.name} away to begin anew"
        )
    return event_log


def has_events(file: Path) -> bool:
    """Return whether an event log in a file has an event."""
    if not file.exists():
        return False
    with suppress(sqlite3.Error), closing(sqlite3.connect(f"{file.absolute().as_uri()}?mode=ro", uri=True)) as log_file:
        return log_file.execute("SELECT 1 FROM event LIMIT 1").fetchone() is not None
    return True  # damaged, or in use: not to be passed over


def _take(lease: ProcessLease) -> Term:
    lease.prepare()
    taken = lease.take()
    if isinstance(taken, Leader):
        raise AnotherLeads(str(taken))
    return taken


def _name(settings: Settings, edge: Edge) -> str:
    return settings.database.process_name or f"{socket.gethostname()}:{edge.port}/{os.getpid()}"

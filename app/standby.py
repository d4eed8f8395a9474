"""The start of a process that shares a PostgreSQL: it leads, or relays to the one that does until it leads itself."""

import os
import secrets
import socket
import sqlite3
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager, closing, suppress
from functools import partial
from pathlib import Path

import structlog
import trio
from prometheus_client import CollectorRegistry

from townwatch.app.health.replica_metrics import ReplicaMetrics
from townwatch.app.member import ClusterMember
from townwatch.app.waiting_room import AnotherLeads, wait_for
from townwatch.app.warm_start import WarmStart, warn_of_weaknesses
from townwatch.cluster import replicas
from townwatch.cluster.leadership import Leadership
from townwatch.cluster.lease import Leader, ProcessLease
from townwatch.config.settings import Settings
from townwatch.contracts.faults import TablesRefused
from townwatch.store import service_secrets
from townwatch.store.database import Database
from townwatch.store.engine.fence import Term
from townwatch.store.pg_log.log import PostgresLog
from townwatch.transports.edge.connection import Connection
from townwatch.transports.edge.relay.admission import RelayAdmission
from townwatch.transports.edge.server import Edge
from townwatch.transports.trunk.lines import Trunk

log = structlog.get_logger("cluster")

WATCH_SECONDS = 1.0


@asynccontextmanager
async def leading(
    settings: Settings, edge: Edge, told: trio.Event
) -> AsyncGenerator[tuple[Leadership, ClusterMember, WarmStart]]:
    """Take the lease, relaying to the process that has it for as long as it does; keep it renewed, give it back. With
    it comes what was prepared meanwhile.

    Raises `StoppedWaiting`, `TablesRefused` and other OSErrors where waiting is of no use.
    """
    lease = ProcessLease(settings.database.url, _name(settings, edge), settings.database.lease_seconds)
    member, prepared = ClusterMember(settings, edge, lease), WarmStart(settings, lease.life)
    failure: Exception | None = None
    try:
        async with trio.open_nursery() as nursery:
            await nursery.start(member.run)
            try:
                term = await wait_for(
                    _Taking(lease, prepared), edge, told, member, prepared.keep, close_it=partial(_give_back, lease)
                )
            except Exception as error:
                failure = error  # raised outside the nursery, which would wrap it
            else:
                member.take_the_lead()
                leadership = Leadership(lease, term)
                log.info("leads", epoch=term.epoch, name=lease.name, lease_seconds=lease.seconds)
                nursery.start_soon(leadership.keep)
                try:
                    yield leadership, member, prepared
                finally:
                    nursery.cancel_scope.cancel()
                    await leadership.give_back()
            nursery.cancel_scope.cancel()
        if failure is not None:
            raise failure
    finally:
        prepared.close()
        lease.close()


def open_log(settings: Settings, term: Term, prepared: WarmStart) -> PostgresLog:
    """The event log in PostgreSQL. Refuses to begin an empty one beside a file that has events."""
    event_log = prepared.take_log(term)
    fresh = event_log is None
    if event_log is None:
        event_log = PostgresLog.open(settings.database.url, term)
    try:
        if fresh:
            warn_of_weaknesses(event_log)
        file = settings.state / "journal.db"
        if not event_log.heads() and event_log.position == 0 and has_events(file):
            raise TablesRefused(
                f"{file} has events, and the event log in PostgreSQL has none: copy them with `townwatch migrate`,"
                f" or move {file.name} away to begin anew"
            )
    except BaseException:
        event_log.close()
        raise
    return event_log


async def take_relayed(edge: Edge, database: Database, member: ClusterMember, registry: CollectorRegistry) -> None:
    """Let the edge of the process that leads take the connections that others hand on to it."""
    secret = await database.call(service_secrets.keep, replicas.SECRET, secrets.token_hex(32))

    async def carry(link: Connection) -> None:
        await Trunk(link, edge, link.nursery).run()

    edge.front = RelayAdmission(bytes.fromhex(secret), member.life, edge.settings.header_timeout, carry)
    registry.register(ReplicaMetrics(member, edge.front))


def has_events(file: Path) -> bool:
    """Return whether an event log in a file has an event."""
    if not file.exists():
        return False
    with suppress(sqlite3.Error), closing(sqlite3.connect(f"{file.absolute().as_uri()}?mode=ro", uri=True)) as log_file:
        return log_file.execute("SELECT 1 FROM event LIMIT 1").fetchone() is not None
    return True  # damaged, or in use: not to be passed over


class _Taking:
    """Take the lease; from the second call on, after a look at what the leader does meanwhile."""

    def __init__(self, lease: ProcessLease, prepared: WarmStart) -> None:
        self._lease = lease
        self._prepared = prepared
        self._stands_by = False

    def __call__(self) -> Term:
        self._lease.prepare()
        if self._stands_by:
            self._lease.watch(WATCH_SECONDS)
            if self._prepared.must_not_lead is not None:  # another one can; this one still relays to it
                raise AnotherLeads(self._prepared.must_not_lead)
        taken = self._lease.take()
        if isinstance(taken, Leader):
            self._stands_by = True
            raise AnotherLeads(str(taken))
        return taken


def _give_back(lease: ProcessLease, term: Term) -> None:
    """Release a lease that was taken when the process was told to stop: a standby need not wait for its end."""
    with suppress(OSError):  # it runs out
        lease.release(term)


def _name(settings: Settings, edge: Edge) -> str:
    return settings.database.process_name or f"{socket.gethostname()}:{edge.port}/{os.getpid()}"

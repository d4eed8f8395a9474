"""Resources that the service opens before its supervision tree starts: port, log, database, access, restored board."""

import re
from contextlib import AsyncExitStack
from functools import partial
from pathlib import Path
from urllib.parse import urlsplit

import attrs
import structlog
import trio
from sqlalchemy import Connection

from townwatch.access.authenticator import Authenticator
from townwatch.access.bootstrap import bootstrap, share_secret, token_secret
from townwatch.access.gate import Gate
from townwatch.access.jwt import OwnTokens
from townwatch.access.sealing import Sealer
from townwatch.access.sign_in import SignIn
from townwatch.actors.context import Context
from townwatch.actors.people.progress import LogProgress
from townwatch.app.audit_writer import AuditTrail
from townwatch.app.budgets.accountant import Accountant
from townwatch.app.budgets.book import BudgetBook
from townwatch.app.budgets.desk import LeaseDesk
from townwatch.app.grants import GrantBook, GrantKeeper
from townwatch.app.health.damage import Damage
from townwatch.app.health.metrics import Metrics
from townwatch.app.held.commands import HeldCommands
from townwatch.app.identity import known_issuers, open_database
from townwatch.app.interop.bridge import ClusterBridge
from townwatch.app.interop.opening import bridge_of
from townwatch.app.member import ClusterMember
from townwatch.app.policies import PolicyBook, PolicyKeeper
from townwatch.app.promises import StoredDecisions, StoredPromises, recall
from townwatch.app.returning.keeper import ClientKeeper
from townwatch.app.rights import Rights
from townwatch.app.rulings import StoredRulings
from townwatch.app.search.index import SearchIndex, room_on
from townwatch.app.standby import leading, open_log, take_relayed
from townwatch.app.tracing.maker import Tracing, all_of, tracing_of
from townwatch.app.upkeep.restore import restore
from townwatch.app.waiting_room import wait_for
from townwatch.app.warm_start import WarmStart
from townwatch.chaos.faults.injection import FaultInjection
from townwatch.cluster.leadership import Leadership
from townwatch.config.place import note_tables
from townwatch.config.settings import ConfigError, Settings
from townwatch.contracts.clock import epoch_ms
from townwatch.contracts.faults import TablesUnavailable
from townwatch.notify.sender import SenderBell
from townwatch.policy.budgets.leases import day_of
from townwatch.runtime import telemetry
from townwatch.store.database import Database
from townwatch.store.engine.fence import Term
from townwatch.store.engine.postgres import is_postgres
from townwatch.store.log.event_log import EventLog
from townwatch.store.log.port import DurableLog
from townwatch.store.migrations import migrate
from townwatch.store.search.postgres import PostgresSearch
from townwatch.store.search.records import SearchStore
from townwatch.store.search.sqlite import SqliteSearch
from townwatch.supervision import History
from townwatch.transports.edge.server import Edge, EdgeSettings
from townwatch.transports.edge.trusted import TrustedProxies
from townwatch.transports.socketio import EngineSettings, RecoverySettings, TrioServer

log = structlog.get_logger("service")


class WallClock:
    """`townwatch.actors.ports.Clock`."""

    def now_ms(self) -> int:
        return epoch_ms()


@attrs.frozen(kw_only=True)
class Resources:
    """Nothing here runs by itself yet."""

    edge: Edge
    event_log: DurableLog
    database: Database
    authenticator: Authenticator
    gate: Gate
    rights: Rights
    grants: GrantBook
    grant_keeper: GrantKeeper
    policies: PolicyBook
    policy_keeper: PolicyKeeper
    accountant: Accountant
    sign_in: SignIn
    metrics: Metrics
    server: TrioServer
    context: Context
    trail: AuditTrail
    history: History
    damage: Damage
    sealer: Sealer
    sender_bell: SenderBell
    leadership: Leadership | None
    """None where no other process can share the database."""
    member: ClusterMember | None
    """The view of the processes that share the database; None as `leadership`."""
    search: SearchIndex
    tracing: Tracing | None
    """None where no collector is named."""
    bridge: ClusterBridge | None
    """None where no Redis is named."""
    keeper: ClientKeeper | None
    """Keeps Socket.IO's clients for the process that takes over; None where none can."""


async def open_resources(
    settings: Settings, stack: AsyncExitStack, faults: FaultInjection | None, told: trio.Event
) -> Resources:
    """Open what lasts and read back what was. `stack` closes it. Raises OSError for a port or a file in use."""
    settings.state.mkdir(parents=True, exist_ok=True, mode=0o700)
    edge = faults.edge(edge_settings(settings)) if faults else Edge(edge_settings(settings))
    edge.bind()
    stack.callback(edge.close)
    leadership, member, term, prepared = None, None, None, None
    if is_postgres(settings.database.url):
        leadership, member, prepared = await stack.enter_async_context(leading(settings, edge, told))
        term = leadership.term
    event_log = await wait_for(
        partial(_open_log, settings, term, prepared), edge, told, member, close_it=lambda one: one.close()
    )
    stack.callback(event_log.close)
    database = await wait_for(
        partial(_open_database, event_log, settings, term, prepared), edge, told, member, close_it=Database.close
    )
    stack.callback(database.close)
    await trio.to_thread.run_sync(_note_tables, settings)
    search = SearchIndex(event_log, partial(_open_search, settings, database), room_on(settings.state))
    stack.callback(search.close)
    event_log.on_removed = search.removed
    clock = WallClock()
    if term is None:
        await database.call(bootstrap, settings.state, clock.now_ms())
    own = OwnTokens(token_secret(settings.state))
    authenticator, gate = Authenticator(database, own, known_issuers(settings)), Gate(database)

    grants = GrantBook()
    await grants.refresh(database)
    budgets = BudgetBook()
    await budgets.refresh(database, day_of(clock.now_ms()))
    policies = PolicyBook(budgets)
    await policies.refresh(database)

    metrics = Metrics()
    if member is not None:
        await take_relayed(edge, database, member, metrics.registry)
    stack.callback(telemetry.subscribe(metrics.telemetry))
    history = History()
    stack.callback(telemetry.subscribe(history.note))
    tracing = tracing_of(settings.telemetry, metrics.registry)
    server = TrioServer(engine=EngineSettings(origins=settings.server.origins), recovery=RecoverySettings())
    bridge, outlet = bridge_of(settings.bridge, metrics.registry, server, lambda: context.directory.villages)
    disk = faults.disk(event_log) if faults else event_log
    trail = AuditTrail(database)
    stack.push_async_callback(trail.flush)
    desk = LeaseDesk()
    held = HeldCommands()
    context = Context(
        disk,
        outlet,
        clock,
        StoredDecisions(database, lambda: accountant.look_soon(again=True), held),
        StoredPromises(database, clock, held),
        trail,
        StoredRulings(policies, database),
        measure=metrics.measure if tracing is None else all_of(metrics.measure, tracing.maker.measure),
    )
    accountant = Accountant(context, database, budgets, desk)
    read = await trio.to_thread.run_sync(_restore, event_log, context, prepared)
    await recall(database, context)
    keeper = _keeper(event_log, database, context) if leadership is not None else None
    damage = Damage(context, event_log, database, metrics.registry)
    context.missing = damage.runner_knows
    log.info("restored", sessions=len(list(context.board)), events_read=read)
    return Resources(
        edge=edge,
        event_log=event_log,
        database=database,
        authenticator=authenticator,
        gate=gate,
        rights=Rights(authenticator, gate, grants),
        grants=grants,
        grant_keeper=GrantKeeper(context, grants, database),
        policies=policies,
        policy_keeper=PolicyKeeper(context, policies, database),
        accountant=accountant,
        sign_in=SignIn(database, own, kept_days=settings.people.sign_ins_kept_days),
        metrics=metrics,
        server=server,
        context=context,
        trail=trail,
        history=history,
        damage=damage,
        sealer=Sealer(token_secret(settings.state)),
        sender_bell=SenderBell(),
        leadership=leadership,
        member=member,
        search=search,
        tracing=tracing,
        bridge=bridge,
        keeper=keeper,
    )


def _keeper(event_log: DurableLog, database: Database, context: Context) -> ClientKeeper:
    """Keep clients for the process that takes over. The board has been read: all of the log counts as told."""
    context.progress = LogProgress(event_log.position)
    return ClientKeeper(database, event_log, context, context.progress, RecoverySettings().seconds)


def _open_log(settings: Settings, term: Term | None, prepared: WarmStart | None) -> DurableLog:
    """The event log: a file in the state directory, or in the PostgreSQL that processes share."""
    if term is not None and prepared is not None:
        return open_log(settings, term, prepared)
    return EventLog.open(settings.state / "journal.db", settings.journal.synchronous)


def _restore(event_log: DurableLog, context: Context, prepared: WarmStart | None) -> int:
    return restore(event_log, context, prepared.known(event_log) if prepared is not None else None)


def _note_tables(settings: Settings) -> None:
    """Note for commands where the tables are; a service starts on a full disk, too."""
    try:
        note_tables(settings.state, settings.database.url)
    except OSError as error:
        log.warning("place_of_tables_not_noted", reason=str(error), advice="make room on this disk")


def _open_search(settings: Settings, database: Database) -> SearchStore:
    """The search index: beside the journal, or beside the tables where those are in PostgreSQL."""
    return SqliteSearch(settings.state / "search.db") if database.is_sqlite else PostgresSearch(database)


def _open_database(
    event_log: DurableLog, settings: Settings, term: Term | None, prepared: WarmStart | None
) -> Database:
    """Open the tables; where the disk is so full that they cannot even be opened, the journal's reserve makes room."""
    if term is not None and prepared is not None:
        return _lead_on_tables(settings, term, prepared)
    try:
        return open_database(settings)
    except TablesUnavailable:
        if not event_log.make_room():
            raise
        return open_database(settings)


def _lead_on_tables(settings: Settings, term: Term, prepared: WarmStart) -> Database:
    """Open the tables that processes share, and make in one transaction what is missing."""
    database = prepared.take_database(term) or open_database(settings, term)
    try:
        database.run(_begin_to_lead, settings.state)
    except BaseException:
        database.close()
        raise
    return database


def _begin_to_lead(connection: Connection, state: Path) -> None:
    migrate(connection)
    share_secret(connection, state)
    bootstrap(connection, state, epoch_ms(), shared=True)


def edge_settings(settings: Settings) -> EdgeSettings:
    """The one port. Raises `ConfigError`."""
    server = settings.server
    if not re.fullmatch(r"(/[A-Za-z0-9_~-][A-Za-z0-9._~-]*)*", server.path):
        raise ConfigError(f"[server] path: {server.path!r} is no prefix like /tw, without a slash at its end")
    public = urlsplit(server.public_url)
    if server.public_url and (public.scheme not in ("http", "https") or not public.hostname):
        raise ConfigError(f"[server] public_url: {server.public_url!r} is no address like https://town.example")
    try:
        TrustedProxies(server.trusted_proxies)
    except ValueError as error:
        raise ConfigError(f"[server] trusted_proxies: {error}") from None
    return EdgeSettings(
        host=server.host,
        port=server.port,
        path=server.path,
        max_body=server.max_body_bytes,
        header_timeout=server.header_timeout,
        stall_timeout=server.stall_timeout,
        trusted_proxies=tuple(server.trusted_proxies),
        allowed_hosts=tuple(server.allowed_hosts),
        tls_certificate=server.tls_certificate or None,
        tls_key=server.tls_key or None,
        tls_client_ca=server.tls_client_ca or None,
    )

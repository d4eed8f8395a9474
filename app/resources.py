"""Resources that the service opens before its supervision tree starts: port, log, database, access, restored board."""

from contextlib import AsyncExitStack
from functools import partial

import attrs
import structlog
import trio

from townwatch.access.authenticator import Authenticator
from townwatch.access.bootstrap import bootstrap, share_secret, token_secret
from townwatch.access.gate import Gate
from townwatch.access.jwt import OwnTokens
from townwatch.access.sealing import Sealer
from townwatch.access.sign_in import SignIn
from townwatch.actors.context import Context
from townwatch.app.audit_writer import AuditTrail
from townwatch.app.grants import GrantBook, GrantKeeper
from townwatch.app.health.damage import Damage
from townwatch.app.health.metrics import Metrics
from townwatch.app.identity import known_issuers, open_database
from townwatch.app.policies import PolicyBook, PolicyKeeper
from townwatch.app.promises import StoredDecisions, StoredPromises, recall
from townwatch.app.rights import Rights
from townwatch.app.rulings import StoredRulings
from townwatch.app.search.index import SearchIndex, room_on
from townwatch.app.standby import leading, open_log
from townwatch.app.upkeep.restore import restore
from townwatch.app.waiting_room import wait_for
from townwatch.chaos.faults.sabotage import FaultInjection
from townwatch.cluster.leadership import Leadership
from townwatch.config.settings import Settings
from townwatch.contracts.clock import epoch_ms
from townwatch.contracts.faults import TablesUnavailable
from townwatch.notify.sender import SenderBell
from townwatch.runtime import telemetry
from townwatch.store.database import Database
from townwatch.store.engine.fence import Term
from townwatch.store.engine.postgres import is_postgres
from townwatch.store.log.event_log import EventLog
from townwatch.store.log.port import DurableLog
from townwatch.store.search.postgres import PostgresSearch
from townwatch.store.search.records import SearchStore
from townwatch.store.search.sqlite import SqliteSearch
from townwatch.supervision import History
from townwatch.transports.edge.server import Edge, EdgeSettings
from townwatch.transports.socketio import EngineSettings, TrioServer
from townwatch.transports.socketio.handlers import SocketIoOutlet

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
    search: SearchIndex


async def lay(
    settings: Settings, stack: AsyncExitStack, sabotage: FaultInjection | None, told: trio.Event
) -> Resources:
    """Open what lasts and read back what was. `stack` closes it. Raises OSError for a port or a file in use."""
    settings.state.mkdir(parents=True, exist_ok=True, mode=0o700)
    edge = sabotage.edge(edge_settings(settings)) if sabotage else Edge(edge_settings(settings))
    edge.bind()
    stack.callback(edge.close)
    leadership, term = None, None
    if is_postgres(settings.database.url):
        leadership = await stack.enter_async_context(leading(settings, edge, told))
        term = leadership.term
    event_log = await wait_for(partial(_open_log, settings, term), edge, told)
    stack.callback(event_log.close)
    database = await wait_for(partial(_open_database, event_log, settings, term), edge, told)
    stack.callback(database.close)
    search = SearchIndex(event_log, partial(_open_search, settings, database), room_on(settings.state))
    stack.callback(search.close)
    event_log.on_removed = search.removed
    clock = WallClock()
    if term is not None:
        await database.call(share_secret, settings.state)
    await database.call(bootstrap, settings.state, clock.now_ms(), shared=term is not None)
    own = OwnTokens(token_secret(settings.state))
    authenticator, gate = Authenticator(database, own, known_issuers(settings)), Gate(database)

    grants = GrantBook()
    await grants.refresh(database)
    policies = PolicyBook()
    await policies.refresh(database)

    metrics = Metrics()
    stack.callback(telemetry.subscribe(metrics.telemetry))
    history = History()
    stack.callback(telemetry.subscribe(history.note))
    server = TrioServer(engine=EngineSettings(origins=tuple(settings.server.allowed_origins)))
    disk = sabotage.disk(event_log) if sabotage else event_log
    trail = AuditTrail(database)
    stack.push_async_callback(trail.flush)
    context = Context(
        disk,
        SocketIoOutlet(server),
        clock,
        StoredDecisions(database),
        StoredPromises(database, clock),
        trail,
        StoredRulings(policies, database),
        measure=metrics.measure,
    )
    read = await trio.to_thread.run_sync(restore, event_log, context)
    await recall(database, context)
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
        sign_in=SignIn(database, own),
        metrics=metrics,
        server=server,
        context=context,
        trail=trail,
        history=history,
        damage=damage,
        sealer=Sealer(token_secret(settings.state)),
        sender_bell=SenderBell(),
        leadership=leadership,
        search=search,
    )


def _open_log(settings: Settings, term: Term | None) -> DurableLog:
    """The event log: a file in the state directory, or in the PostgreSQL that processes share."""
    if term is not None:
        return open_log(settings, term)
    return EventLog.open(settings.state / "journal.db", settings.journal.synchronous)


def _open_search(settings: Settings, database: Database) -> SearchStore:
    """The search index: beside the journal, or beside the tables where those are in PostgreSQL."""
    return SqliteSearch(settings.state / "search.db") if database.is_sqlite else PostgresSearch(database)


def _open_database(event_log: DurableLog, settings: Settings, term: Term | None) -> Database:
    """Open the tables; where the disk is so full that they cannot even be opened, the journal's reserve makes room."""
    try:
        return open_database(settings, term)
    except TablesUnavailable:
        if not event_log.make_room():
            raise
        return open_database(settings, term)


def edge_settings(settings: Settings) -> EdgeSettings:
    """The one port."""
    server = settings.server
    return EdgeSettings(
        host=server.host,
        port=server.port,
        max_body=server.max_body_bytes,
        header_timeout=server.header_timeout,
        stall_timeout=server.stall_timeout,
        trusted_proxies=tuple(server.trusted_proxies),
        allowed_hosts=tuple(server.allowed_hosts),
        tls_certificate=server.tls_certificate or None,
        tls_key=server.tls_key or None,
        tls_client_ca=server.tls_client_ca or None,
    )

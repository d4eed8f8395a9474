"""Resources that the service opens before its supervision tree starts: port, log, database, access, restored board."""

from contextlib import AsyncExitStack
from functools import partial

import attrs
import structlog
import trio

from townwatch.access.authenticator import Authenticator
from townwatch.access.bootstrap import bootstrap, token_secret
from townwatch.access.gate import Gate
from townwatch.access.jwt import OwnTokens
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
from townwatch.app.upkeep.restore import restore
from townwatch.app.waiting_room import wait_for
from townwatch.chaos.faults.sabotage import FaultInjection
from townwatch.config.settings import Settings
from townwatch.contracts.clock import epoch_ms
from townwatch.contracts.faults import TablesUnavailable
from townwatch.runtime import telemetry
from townwatch.store.database import Database
from townwatch.store.log.event_log import EventLog
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
    event_log: EventLog
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


async def lay(
    settings: Settings, stack: AsyncExitStack, sabotage: FaultInjection | None, told: trio.Event
) -> Resources:
    """Open what lasts and read back what was. `stack` closes it. Raises OSError for a port or a file in use."""
    settings.state.mkdir(parents=True, exist_ok=True, mode=0o700)
    edge = sabotage.edge(edge_settings(settings)) if sabotage else Edge(edge_settings(settings))
    edge.bind()
    stack.callback(edge.close)
    journal = settings.state / "journal.db"
    event_log = await wait_for(partial(EventLog.open, journal, settings.journal.synchronous), edge, told)
    stack.callback(event_log.close)
    database = await wait_for(partial(_open_database, event_log, settings), edge, told)
    stack.callback(database.close)
    clock = WallClock()
    await database.call(bootstrap, settings.state, clock.now_ms())
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
    )


def _open_database(event_log: EventLog, settings: Settings) -> Database:
    """Open the tables; where the disk is so full that they cannot even be opened, the journal's reserve makes room."""
    try:
        return open_database(settings)
    except TablesUnavailable:
        if not event_log.make_room():
            raise
        return open_database(settings)


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

"""What a service stands on before anybody lives in it: port, log, database, who may, the board as it was."""

import time
from contextlib import AsyncExitStack

import attrs
import structlog
import trio

from access.authenticator import Authenticator
from access.bootstrap import bootstrap, token_secret
from access.gate import Gate
from access.jwt import OwnTokens
from access.sign_in import SignIn
from actors.context import Context
from actors.runtime import telemetry
from app.chaos.sabotage import Sabotage
from app.identity import known_issuers, open_database
from app.metrics import Metrics
from app.restore import restore
from app.rights import Rights, StoredDecisions
from app.trail import AuditTrail
from config.settings import Settings
from store.database import Database
from store.log import EventLog
from supervision import History
from transports.edge import Edge, EdgeSettings
from transports.people import SocketIoOutlet
from transports.socketio import EngineSettings, TrioServer

log = structlog.get_logger("service")


class WallClock:
    """`actors.ports.Clock`."""

    def now_ms(self) -> int:
        return time.time_ns() // 1_000_000


@attrs.frozen(kw_only=True)
class Foundation:
    """Nothing here runs by itself yet."""

    edge: Edge
    event_log: EventLog
    database: Database
    authenticator: Authenticator
    gate: Gate
    rights: Rights
    sign_in: SignIn
    metrics: Metrics
    server: TrioServer
    context: Context
    trail: AuditTrail
    history: History


async def lay(settings: Settings, stack: AsyncExitStack, sabotage: Sabotage | None) -> Foundation:
    """Open what lasts and read back what was. `stack` closes it. Raises OSError for a port or a file in use."""
    settings.state.mkdir(parents=True, exist_ok=True, mode=0o700)
    edge = sabotage.edge(edge_settings(settings)) if sabotage else Edge(edge_settings(settings))
    edge.bind()
    stack.callback(edge.close)
    journal = settings.state / "journal.db"
    event_log = await trio.to_thread.run_sync(EventLog.open, journal, settings.journal.synchronous)
    stack.callback(event_log.close)
    database = await trio.to_thread.run_sync(open_database, settings)
    stack.callback(database.close)
    clock = WallClock()
    await database.call(bootstrap, settings.state, clock.now_ms())
    own = OwnTokens(token_secret(settings.state))
    authenticator, gate = Authenticator(database, own, known_issuers(settings)), Gate(database)

    metrics = Metrics()
    stack.callback(telemetry.subscribe(metrics.telemetry))
    history = History()
    stack.callback(telemetry.subscribe(history.note))
    server = TrioServer(engine=EngineSettings(origins=tuple(settings.server.allowed_origins)))
    disk = sabotage.disk(event_log) if sabotage else event_log
    trail = AuditTrail(database)
    stack.push_async_callback(trail.flush)
    context = Context(
        disk, SocketIoOutlet(server), clock, StoredDecisions(database), measure=metrics.measure, audit=trail
    )
    read = await trio.to_thread.run_sync(restore, event_log, context)
    log.info("restored", sessions=len(list(context.board)), events_read=read)
    return Foundation(
        edge=edge,
        event_log=event_log,
        database=database,
        authenticator=authenticator,
        gate=gate,
        rights=Rights(authenticator, gate),
        sign_in=SignIn(database, own),
        metrics=metrics,
        server=server,
        context=context,
        trail=trail,
        history=history,
    )


def edge_settings(settings: Settings) -> EdgeSettings:
    """The one port."""
    server = settings.server
    return EdgeSettings(
        host=server.host,
        port=server.port,
        max_body=server.max_body_bytes,
        header_timeout=server.header_timeout,
        trusted_proxies=tuple(server.trusted_proxies),
        allowed_hosts=tuple(server.allowed_hosts),
        tls_certificate=server.tls_certificate or None,
        tls_key=server.tls_key or None,
        tls_client_ca=server.tls_client_ca or None,
    )

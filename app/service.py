"""The composition root: opens what lasts, restores what was, starts who lives, listens; and undoes it in reverse."""

import gc
import signal
import time
from collections.abc import Callable
from contextlib import AsyncExitStack, suppress
from functools import partial
from importlib.metadata import version
from typing import Any

import attrs
import structlog
import trio

from access.authenticator import Authenticator
from access.bootstrap import OWNER_ID, bootstrap, token_secret
from access.gate import Gate
from access.jwt import OwnTokens
from access.sign_in import SignIn
from actors.context import Context
from actors.directory import tell_if_alive
from actors.messages import Evict
from actors.runtime import open_world, telemetry, whereis
from app import cast
from app.chaos.sabotage import Sabotage, lifted
from app.demo import DemoRunner
from app.forget import delete_session, forget_session
from app.hosted import Hosted
from app.identity import known_issuers, open_database, open_provider_door, person_signed_out, provider_of, token_ended
from app.metrics import Metrics
from app.pulse import Health, Pulse
from app.restore import restore
from app.retention import Keeper, retention
from app.rights import Rights, StoredDecisions, rates
from app.trail import AuditTrail, AuditWriter
from app.watch import Watch
from config.settings import Settings
from dashboard import ROOT as PAGE
from runner import identity
from store.database import Database
from store.log import EventLog
from supervision import Backoff, ChildError, ChildSpec, Supervisor
from transports.control import ControlDeps, ControlDoor
from transports.edge import Edge, EdgeSettings
from transports.http.deps import Api
from transports.http.mount import mount
from transports.people import People, SocketIoOutlet
from transports.runners import DialTarget, LinkDeps, LinkSettings, RunnerDoor, dial_specs
from transports.socketio import EngineSettings, TrioServer

log = structlog.get_logger("service")

STOP_SECONDS = 5.0
"""From SIGTERM to the end of the process, at most."""
DRAIN_SECONDS = 1.0
GREETING = """
  Townwatch {version} is up. This link signs you in, once, within a quarter of an hour:

    {link}
"""


class WallClock:
    """`actors.ports.Clock`."""

    def now_ms(self) -> int:
        return time.time_ns() // 1_000_000


@attrs.frozen(kw_only=True)
class Service:
    """A running service, for whoever started it."""

    settings: Settings
    context: Context
    root: Any
    url: str
    sign_in: SignIn
    database: Database
    metrics: Metrics
    server: TrioServer
    cut_runner: Callable[[str, str], int]
    """Closes a runner's connections, for a reason; how many there were."""

    async def link(self) -> str:
        """A link that signs the owner in, once."""
        return f"{self.url}/?code={await self.sign_in.issue_code(OWNER_ID)}"


async def run_service(settings: Settings, demo_seed: int | None = None) -> int:
    """`townwatch serve`: until SIGTERM or SIGINT, then in order and within `STOP_SECONDS`. Raises OSError at the
    start.
    """
    began = time.monotonic()
    async with open_service(settings, demo_seed) as service:
        log.info("listening", url=service.url, ms=round((time.monotonic() - began) * 1000))
        _calm_the_collector()
        print(GREETING.format(version=version("townwatch"), link=await service.link()), flush=True)
        with trio.open_signal_receiver(signal.SIGTERM, signal.SIGINT) as signals:
            ended = service.root.actor_stopped
            async with trio.open_nursery() as nursery:
                nursery.start_soon(_until_signal, signals, nursery.cancel_scope)
                nursery.start_soon(_until_gone, ended.is_set, nursery.cancel_scope)
        gave_up = ended.is_set()
    log.info("stopped", reason="the supervision tree gave up" if gave_up else "told to")
    return 1 if gave_up else 0


def _calm_the_collector() -> None:
    """Fewer passes of the garbage collector, over less. As Python sets it, it took a quarter of the processor time of a
    busy service, and its full passes held everything up for 100 ms: nearly all that it walks over is not garbage.
    """
    gc.freeze()  # what is there now stays for ever
    gc.set_threshold(20_000, 20, 20)


async def _until_signal(signals: Any, scope: trio.CancelScope) -> None:
    async for number in signals:
        log.info("stopping", signal=signal.Signals(number).name)
        scope.cancel()
        return


async def _until_gone(gone: Callable[[], bool], scope: trio.CancelScope) -> None:
    """The root supervisor gave up: the process must end, and say so with its status."""
    while not gone():  # noqa: ASYNC110 - a flag that other threads may set too
        await trio.sleep(0.1)
    scope.cancel()


class open_service:
    """A service at work. Leaving the block drains clients, stops everybody in order and closes what lasts."""

    def __init__(self, settings: Settings, demo_seed: int | None = None) -> None:
        self._settings = lifted(settings) if settings.server.chaos else settings
        self._demo_seed = demo_seed
        self._stack = AsyncExitStack()
        self._sabotage = Sabotage() if settings.server.chaos else None

    async def __aenter__(self) -> Service:
        try:
            return await self._open()
        except BaseException:
            await self._stack.aclose()
            raise

    async def __aexit__(self, *_error: Any) -> None:
        await self._stack.aclose()  # each step has its own deadline; together they stay below STOP_SECONDS

    async def _open(self) -> Service:
        settings, stack, sabotage = self._settings, self._stack, self._sabotage
        settings.state.mkdir(parents=True, exist_ok=True, mode=0o700)
        edge = sabotage.edge(edge_settings(settings)) if sabotage else Edge(edge_settings(settings))
        edge.bind()
        stack.callback(edge.close)
        journal = settings.state / "journal.db"
        event_log = await trio.to_thread.run_sync(EventLog.open, journal, settings.journal.synchronous)
        stack.callback(event_log.close)
        database = await trio.to_thread.run_sync(open_database, settings)
        stack.callback(database.close)
        await database.call(bootstrap, settings.state, WallClock().now_ms())
        own = OwnTokens(token_secret(settings.state))
        authenticator, gate = Authenticator(database, own, known_issuers(settings)), Gate(database)
        rights = Rights(authenticator, gate)

        metrics = Metrics()
        unsubscribe = telemetry.subscribe(metrics.telemetry)
        stack.callback(unsubscribe)
        server = TrioServer(engine=EngineSettings(origins=tuple(settings.server.allowed_origins)))
        outlet, decisions = SocketIoOutlet(server), StoredDecisions(database)
        disk = sabotage.disk(event_log) if sabotage else event_log
        context = Context(disk, outlet, WallClock(), decisions, measure=metrics.measure)
        read = await trio.to_thread.run_sync(restore, event_log, context)
        log.info("restored", sessions=len(list(context.board)), events_read=read)

        context.audit = trail = AuditTrail(database)
        stack.push_async_callback(trail.flush)
        await stack.enter_async_context(open_world())
        specs = cast.tree(context, settings.limits, metrics.observe_commit)
        root = Supervisor.start(specs, "one_for_one", name=cast.ROOT, intensity=20, period=10.0)
        await root.ping()
        stack.push_async_callback(_stop, root)
        stack.push_async_callback(server.drain, DRAIN_SECONDS)

        socketio = ChildSpec(id="socketio", actor=Hosted, args=(server.run,), shutdown=1000)
        await root.proxy().start_child(socketio)
        await root.proxy().start_child(ChildSpec(id="audit", actor=AuditWriter, args=(trail,), backoff=cast.BACKOFF))
        People(server, context, rights.person, rights, cast.CLIENTS)
        sign_in = SignIn(database, own)
        server.mount(edge)
        door = await self._doors(edge, context, rights)
        health = Health()
        api = Api(
            context=context,
            database=database,
            authenticator=authenticator,
            gate=gate,
            sign_in=sign_in,
            version=version("townwatch"),
            root=lambda: root,
            reasons_not_ready=partial(_not_ready, context, health),
            registry=metrics.registry,
            metrics_open=settings.server.host in ("127.0.0.1", "::1", "localhost"),
            forget_session=partial(forget_session, context),
            delete_session=partial(delete_session, context, event_log, database),
            stop_runner=partial(_stop_runner, door),
            cut_runner=partial(_cut_runner, door),
            membership_changed=partial(_membership_changed, context),
            token_ended=partial(token_ended, context),
            person_signed_out=partial(person_signed_out, context),
            oidc=provider_of(settings),
            public_url=settings.server.public_url,
            rates=rates(settings.limits),
        )
        await mount(edge, api, PAGE)
        open_provider_door(edge, api, settings)
        if sabotage:
            await sabotage.open(root, edge, api, context)

        url = await self._listen(root, edge)
        watch = (context, metrics, cast.ROOT, partial(_connections, server))
        await root.proxy().start_child(ChildSpec(id="watch", actor=Watch, args=watch))
        await root.proxy().start_child(ChildSpec(id="pulse", actor=Pulse, args=(context, health)))
        keep = retention(settings.journal)
        if keep is not None:
            await root.proxy().start_child(ChildSpec(id="keeper", actor=Keeper, args=(context, event_log, keep)))
        await self._local_runner(root, url)
        return Service(
            settings=settings,
            context=context,
            root=root,
            url=url,
            sign_in=sign_in,
            database=database,
            metrics=metrics,
            server=server,
            cut_runner=door.cut,
        )

    async def _doors(self, edge: Edge, context: Context, rights: Rights) -> RunnerDoor:
        """Where runners and the control plane's clients come in, and the runners that are dialled."""
        set_ = self._settings.runners
        link_settings = LinkSettings(window=set_.window, heartbeat_ms=set_.heartbeat_ms, ackless=set_.ackless)
        links = LinkDeps(
            context=context,
            links=cast.LINKS,
            authenticate=rights.runner,
            recognize=rights.certified,
            settings=link_settings,
        )
        door = RunnerDoor(links)
        edge.websocket("/runner", door.serve)
        targets = [DialTarget(url=dial.url, token=dial.token, runner_id=dial.runner_id or None) for dial in set_.dial]
        for spec in dial_specs(links, targets):
            supervisor = whereis(cast.LINKS)
            assert supervisor is not None  # the tree has started
            await supervisor.proxy().start_child(spec)
        control = ControlDoor(
            ControlDeps(
                context=context,
                clients=cast.CLIENTS,
                authenticate=rights.person,
                access=rights,
                allow_origin=partial(own_origin, tuple(self._settings.server.allowed_origins)),
            )
        )
        edge.websocket("/ws", control.serve)
        self._stack.callback(control.shutdown)
        return door

    async def _listen(self, root: Any, edge: Edge) -> str:
        addresses: list[Any] = []
        spec = ChildSpec(id="listener", actor=Hosted, args=(edge.serve, addresses.extend), shutdown=1000)
        await root.proxy().start_child(spec)
        host, port = addresses[0][:2]
        shown = "127.0.0.1" if host in ("0.0.0.0", "::") else host
        scheme = "https" if self._settings.server.tls_certificate else "http"
        return f"{scheme}://{f'[{shown}]' if ':' in shown else shown}:{port}"

    async def _local_runner(self, root: Any, url: str) -> None:
        """This machine's runner.json names the address that was bound; the demo, if wanted, runs beside us."""
        state = self._settings.state
        known = attrs.evolve(identity.load(state), url=url.replace("http", "ws", 1) + "/runner")
        await trio.to_thread.run_sync(identity.save, state, known)
        if self._demo_seed is not None:
            backoff = Backoff(base=1.0, cap=30.0)
            spec = ChildSpec(id="demo", actor=DemoRunner, args=(state, self._demo_seed), backoff=backoff, shutdown=4000)
            await root.proxy().start_child(spec)


def own_origin(allowed: tuple[str, ...], origin: str | None, host: str | None) -> bool:
    """No Origin (no browser), the service's own page, or one of the list."""
    return origin is None or origin in allowed or origin in (f"http://{host}", f"https://{host}")


def _not_ready(context: Context, health: Health) -> list[str]:
    """Why the service should get no work now."""
    journal = context.journal
    if journal is None or not journal.is_up:
        return ["the journal is not running"]
    refusal = context.disk.refusal
    return [f"the journal cannot write: {refusal}"] if refusal else health.late()


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


async def _stop_runner(door: RunnerDoor, runner_id: str) -> None:
    """A removed runner's connections end."""
    door.cut(runner_id, "this runner was removed")
    supervisor = whereis(cast.RUNNERS)
    if supervisor is not None:
        with suppress(ChildError):
            await supervisor.proxy().terminate_child(f"runner:{runner_id}")


async def _cut_runner(door: RunnerDoor, runner_id: str) -> None:
    """A revoked runner's connections end; it may be enrolled anew, and its sessions wait for that."""
    door.cut(runner_id, "this runner's token was revoked: enrol it anew with townwatch runner join")


async def _membership_changed(context: Context, _village_id: str) -> None:
    """Everybody looks again whether they may still be where they are."""
    for client in list(context.directory.clients.values()):
        tell_if_alive(client, Evict())


def _connections(server: TrioServer) -> dict[str, float]:
    stats = server.stats()
    return {name: float(value) for name, value in attrs.asdict(stats).items() if name.endswith("connections")}


async def _stop(root: Any) -> None:
    if root.is_alive():
        with trio.move_on_after(STOP_SECONDS - DRAIN_SECONDS - 1, shield=True):
            await root.stop(block=False)


async def new_link(settings: Settings) -> str:
    """A sign-in link for the service of this state directory, which may be running."""
    database = await trio.to_thread.run_sync(open_database, settings)
    try:
        code = await SignIn(database, OwnTokens(token_secret(settings.state))).issue_code(OWNER_ID)
    finally:
        database.close()
    url = identity.load(settings.state).url.replace("ws", "http", 1).removesuffix("/runner")
    return f"{url}/?code={code}"


async def local_access(settings: Settings) -> tuple[str, str]:
    """The address of the service of this state directory, and a token of its owner."""
    link = await new_link(settings)
    url, _, code = link.partition("/?code=")
    database = await trio.to_thread.run_sync(open_database, settings)
    try:
        signed_in = await SignIn(database, OwnTokens(token_secret(settings.state))).exchange(code)
    finally:
        database.close()
    return url, signed_in.token

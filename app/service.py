"""The composition root: opens resources, starts the supervision tree, listens; shuts down in reverse order."""

import gc
import resource
import signal
import sys
import time
from collections.abc import Callable
from contextlib import AsyncExitStack, suppress
from functools import partial
from importlib.metadata import version
from typing import Any

import attrs
import structlog
import trio

from townwatch.access.bootstrap import OWNER_ID
from townwatch.access.sign_in import SignIn
from townwatch.actors.context import Context
from townwatch.app import supervision_tree as cast
from townwatch.app.audit_writer import AuditWriter
from townwatch.app.budgets.accountant import BudgetRounds
from townwatch.app.calls import sender_spec
from townwatch.app.deadline import Deadline
from townwatch.app.demo import DemoRunner
from townwatch.app.endpoints import deleted_village, open_api, open_control_endpoint, open_runner_endpoint
from townwatch.app.grants import GrantWatch
from townwatch.app.health.damage import JournalWatch
from townwatch.app.health.gauges import GaugeSampler
from townwatch.app.health.liveness import Health, Pulse
from townwatch.app.health.metrics import Metrics
from townwatch.app.health.tables_watch import TablesWatch
from townwatch.app.held.presence import Presence
from townwatch.app.held.releases import Releases
from townwatch.app.lockout import LockOutWatch
from townwatch.app.resources import Resources, open_resources
from townwatch.app.search.indexer import Indexer
from townwatch.app.service_task import Hosted
from townwatch.app.upkeep.authority import Authority
from townwatch.app.upkeep.retention import Keeper, retention
from townwatch.app.upkeep.session_gc import Forgetter
from townwatch.app.waiting_room import StoppedWaiting
from townwatch.chaos.faults.injection import FaultInjection, lifted
from townwatch.chaos.faults.vitals import Instruments
from townwatch.config.settings import Settings
from townwatch.contracts.codec import prepare_decoders
from townwatch.net.shown import reachable_from_a_phone, shown
from townwatch.runner import identity
from townwatch.runtime import open_world
from townwatch.store.database import Database
from townwatch.supervision import Backoff, ChildSpec, Supervisor
from townwatch.transports.edge.server import Edge
from townwatch.transports.socketio import TrioServer
from townwatch.transports.socketio.handlers import ClientHandlers

log = structlog.get_logger("service")

STOOD_DOWN = 75
"""Status of a process that another one replaced as the leader: start it again, as a standby (EX_TEMPFAIL)."""
STOP_SECONDS = 5.0
"""The longest time from SIGTERM to the end of the process."""
DRAIN_SECONDS = 1.0
MOST_FILES = 65_536
"""Open files that the service asks the system for; the unit in packaging/systemd allows as many."""
GREETING = """
  Townwatch {version} is up. This link signs you in, once, within a quarter of an hour:

    {link}
"""


@attrs.frozen(kw_only=True)
class RunningService:
    """Handle of a running service."""

    settings: Settings
    context: Context
    root: Any
    url: str
    sign_in: SignIn
    database: Database
    metrics: Metrics
    server: TrioServer
    replaced: trio.Event
    """Set once another process leads on the shared database: this one must end."""
    cut_runner: Callable[[str, str], int]
    """Closes a runner's connections, for a reason; how many there were."""

    async def link(self) -> str:
        """A link that signs the owner in, once."""
        return f"{self.url}{self.settings.server.path}/?code={await self.sign_in.issue_code(OWNER_ID)}"

    async def link_elsewhere(self) -> str | None:
        """The same at an address for other machines; None where the settings name none."""
        server = self.settings.server
        base = server.public_address or (f"{self.url}{server.path}" if reachable_from_a_phone(self.url) else "")
        return f"{base}/?code={await self.sign_in.issue_code(OWNER_ID)}" if base else None


async def run_service(settings: Settings, demo_seed: int | None = None, qr: bool = False) -> int:
    """`townwatch serve`: until SIGTERM or SIGINT, then in order and within `STOP_SECONDS`. Raises OSError at the
    start. `qr`: show the sign-in link as a code also where only this machine can open it.
    """
    try:
        return await _run_service(settings, demo_seed, qr)
    except ExceptionGroup as group:
        raise _only_one(group) from None


def _only_one(group: ExceptionGroup[Exception]) -> Exception:
    """Return the exception itself where a nursery wrapped just one."""
    return group.exceptions[0] if len(group.exceptions) == 1 else group


async def _run_service(settings: Settings, demo_seed: int | None, qr: bool) -> int:
    _allow_more_files()
    prepare_decoders()
    began, gave_up, replaced, told = time.monotonic(), False, False, trio.Event()
    deadline = Deadline(STOP_SECONDS)
    # Before the service listens: one that is told to stop in its first moment stops in order, too.
    with trio.open_signal_receiver(signal.SIGTERM, signal.SIGINT) as signals, deadline.on_signals():
        async with trio.open_nursery() as listening:
            listening.start_soon(_until_signal, signals, told)
            try:
                async with open_service(settings, demo_seed, told) as service:
                    log.info("listening", url=service.url, ms=round((time.monotonic() - began) * 1000))
                    _calm_the_collector()
                    await _greet(service, qr)
                    ended = service.root.actor_stopped
                    async with trio.open_nursery() as nursery:
                        nursery.start_soon(_until_told, told, nursery.cancel_scope)
                        nursery.start_soon(_until_told, service.replaced, nursery.cancel_scope)
                        nursery.start_soon(_until_gone, ended.is_set, nursery.cancel_scope)
                    deadline.begin()
                    gave_up, replaced = ended.is_set(), service.replaced.is_set()
            except StoppedWaiting:
                gc.freeze()  # the end of the interpreter need not look through everything once more
            listening.cancel_scope.cancel()
    log.info("stopped", reason=_why(gave_up, replaced))
    return STOOD_DOWN if replaced and not told.is_set() else 1 if gave_up else 0


def _allow_more_files() -> None:
    """Raise the process's own limit of open files as far as the system lets it: 1024, the usual one, is fewer than the
    connections that `[limits] connections` allows.
    """
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = MOST_FILES if hard == resource.RLIM_INFINITY else min(hard, MOST_FILES)
    if soft != resource.RLIM_INFINITY and soft < wanted:
        with suppress(OSError, ValueError):
            resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))


def _why(gave_up: bool, replaced: bool) -> str:
    if replaced:
        return "another process leads on this database"
    return "the supervision tree gave up" if gave_up else "told to"


async def _greet(service: RunningService, qr: bool) -> None:
    """A link that signs the owner in; making one needs a database that can be written to. On a terminal, another one
    as a QR code, where a phone can open it.
    """
    try:
        link = await service.link()
        elsewhere = await service.link_elsewhere() if sys.stdout.isatty() else None
    except Exception as error:
        log.error("no_sign_in_link", reason=str(error), advice="make one with townwatch link, when that is mended")
        return
    print(GREETING.format(version=version("townwatch"), link=link), flush=True)
    if code := shown(elsewhere or link, sys.stdout, qr):
        print(f"  On a phone, once as well: {elsewhere}\n\n{code}\n" if elsewhere else f"{code}\n", flush=True)


def _calm_the_collector() -> None:
    """Make the garbage collector pass less often, over less. As Python sets it, it took a quarter of the processor time
    of a busy service, and its full passes held everything up for 100 ms: nearly all that it walks over is not
    garbage. The young are looked at a little more often than the middle and the old: what of them is garbage is
    memory that waits.
    """
    gc.freeze()  # what is there now stays for ever
    gc.set_threshold(5_000, 20, 80)


async def _until_signal(signals: Any, told: trio.Event) -> None:
    async for number in signals:
        log.info("stopping", signal=signal.Signals(number).name)
        told.set()
        return


async def _until_told(told: trio.Event, scope: trio.CancelScope) -> None:
    await told.wait()
    scope.cancel()


async def _until_gone(gone: Callable[[], bool], scope: trio.CancelScope) -> None:
    """The root supervisor gave up: the process must end, and say so with its status."""
    while not gone():  # noqa: ASYNC110 - a flag that other threads may set too
        await trio.sleep(0.1)
    scope.cancel()


class open_service:
    """A service at work. Leaving the block drains clients, stops all actors in order and closes the stores."""

    def __init__(self, settings: Settings, demo_seed: int | None = None, told: trio.Event | None = None) -> None:
        """`told`: set when the service is told to stop; a start that waits for its database ends then with
        `StoppedWaiting`.
        """
        self._told = trio.Event() if told is None else told
        self._settings = lifted(settings) if settings.server.chaos else settings
        self._demo_seed = demo_seed
        self._stack = AsyncExitStack()
        self._faults = FaultInjection() if settings.server.chaos else None

    async def __aenter__(self) -> RunningService:
        try:
            return await self._open()
        except BaseException:
            await self._stack.aclose()
            raise

    async def __aexit__(self, *_error: Any) -> None:
        await self._stack.aclose()  # each step has its own deadline; together they stay below STOP_SECONDS

    async def _open(self) -> RunningService:
        settings, stack, faults = self._settings, self._stack, self._faults
        base = await open_resources(settings, stack, faults, self._told)
        root = await self._start(base)
        runners = await open_runner_endpoint(base, settings)
        control = open_control_endpoint(base, settings, stack)
        health = Health()
        api = await open_api(base, settings, root, runners, control, health)
        if faults:
            instruments = Instruments(
                registry=base.metrics.registry,
                slowest_commit=base.metrics.recent_commits.worst,
                slowest_lag=base.metrics.recent_lags.worst,
                reasons_not_ready=api.reasons_not_ready,
            )
            await faults.open(root, base.edge, api, base.context, instruments)
        if base.member is not None:
            await base.member.close_port()
            base.member.serves = True
        url = await self._listen(root, base.edge)
        await self._watch(root, base, health)
        await self._local_runner(root, url)
        return RunningService(
            settings=settings,
            context=base.context,
            root=root,
            url=url,
            sign_in=base.sign_in,
            database=base.database,
            metrics=base.metrics,
            server=base.server,
            replaced=base.leadership.lost if base.leadership is not None else trio.Event(),
            cut_runner=runners.cut,
        )

    async def _start(self, base: Resources) -> Any:
        """The tree: the cast, Socket.IO and its people."""
        stack, server = self._stack, base.server
        await stack.enter_async_context(open_world())
        specs = cast.tree(base.context, self._settings.limits, base.metrics.observe_commit)
        root = Supervisor.start(specs, "one_for_one", name=cast.ROOT, intensity=20, period=10.0)
        await root.ping()
        stack.push_async_callback(_stop, root)
        stack.push_async_callback(server.drain, DRAIN_SECONDS)
        for spec in (
            ChildSpec(id="socketio", actor=Hosted, args=(server.run,), shutdown=1.0),
            ChildSpec(id="audit", actor=AuditWriter, args=(base.trail,), backoff=cast.BACKOFF),
        ):
            await Supervisor.start_child(root, spec)
        handlers = ClientHandlers(server, base.context, base.rights.person, base.rights, cast.CLIENTS)
        if base.keeper is not None:
            server.keep_clients(base.keeper, handlers.show_missed)
            keeping = ChildSpec(id="kept-clients", actor=Hosted, args=(base.keeper.run,), backoff=cast.BACKOFF)
            await Supervisor.start_child(root, keeping)
        server.mount(base.edge)
        return root

    async def _watch(self, root: Any, base: Resources, health: Health) -> None:
        """Start the actors that look after the service itself."""
        watch = (base.context, base.metrics, cast.ROOT, partial(_connections, base.server))
        ending = partial(deleted_village, base)
        specs = [
            ChildSpec(id="watch", actor=GaugeSampler, args=watch),
            ChildSpec(id="pulse", actor=Pulse, args=(base.context, health)),
            ChildSpec(id="journal-watch", actor=JournalWatch, args=(base.event_log,), backoff=cast.BACKOFF),
            ChildSpec(id="tables", actor=TablesWatch, args=(base.database,), backoff=cast.BACKOFF),
            ChildSpec(
                id="lock_out_watch", actor=LockOutWatch, args=(base.context, base.database), backoff=cast.BACKOFF
            ),
            ChildSpec(id="forgetter", actor=Forgetter, args=(base.context, base.database, ending)),
            ChildSpec(id="releases", actor=Releases, args=(base.context, base.database), backoff=cast.BACKOFF),
            ChildSpec(id="search", actor=Indexer, args=_indexing(base), backoff=cast.BACKOFF),
            ChildSpec(id="presence", actor=Presence, args=(base.context, base.database), backoff=cast.BACKOFF),
            ChildSpec(id="grants", actor=GrantWatch, args=(base.grant_keeper,), backoff=cast.BACKOFF),
            ChildSpec(
                id="authority",
                actor=Authority,
                args=(base.context, base.database, self._settings.runners.end_detached_hours),
                backoff=cast.BACKOFF,
            ),
            ChildSpec(id="budgets", actor=BudgetRounds, args=(base.accountant,), backoff=cast.BACKOFF),
            sender_spec(base, self._settings),
        ]
        if base.tracing is not None:
            run = base.tracing.exporter.run
            specs.append(ChildSpec(id="spans", actor=Hosted, args=(run,), shutdown=1.5, backoff=cast.BACKOFF))
        if base.bridge is not None:
            told = {"told": base.bridge.told}
            specs.append(
                ChildSpec(id="bridge", actor=Hosted, args=(base.bridge.run,), kwargs=told, backoff=cast.BACKOFF)
            )
        keep = retention(self._settings.journal)
        if keep is not None:
            specs.append(ChildSpec(id="keeper", actor=Keeper, args=(base.context, base.event_log, keep)))
        for spec in specs:
            await Supervisor.start_child(root, spec)

    async def _listen(self, root: Any, edge: Edge) -> str:
        addresses: list[Any] = []
        spec = ChildSpec(id="listener", actor=Hosted, args=(edge.serve, addresses.extend), shutdown=1.0)
        await Supervisor.start_child(root, spec)
        host, port = addresses[0][:2]
        shown = "127.0.0.1" if host in ("0.0.0.0", "::") else host
        scheme = "https" if self._settings.server.tls_certificate else "http"
        return f"{scheme}://{f'[{shown}]' if ':' in shown else shown}:{port}"

    async def _local_runner(self, root: Any, url: str) -> None:
        """Write the address that was bound into this machine's runner.json; start the demo, if wanted."""
        state = self._settings.state
        known = attrs.evolve(identity.load(state), url=url.replace("http", "ws", 1) + "/runner")
        try:
            await trio.to_thread.run_sync(identity.save, state, known)
        except OSError as error:
            log.error(
                "runner_file_not_written", reason=str(error), advice="its runner finds this service at the old address"
            )
        if self._demo_seed is not None:
            backoff = Backoff(base=1.0, cap=30.0)
            spec = ChildSpec(id="demo", actor=DemoRunner, args=(state, self._demo_seed), backoff=backoff, shutdown=4.0)
            await Supervisor.start_child(root, spec)


def _connections(server: TrioServer) -> dict[str, float]:
    stats = server.stats()
    return {name: float(value) for name, value in attrs.asdict(stats).items() if name.endswith("connections")}


async def _stop(root: Any) -> None:
    if root.is_alive():
        with trio.move_on_after(STOP_SECONDS - DRAIN_SECONDS - 1, shield=True):
            await root.stop()


def _indexing(base: Resources) -> tuple[Any, ...]:
    return base.search, base.event_log, base.context

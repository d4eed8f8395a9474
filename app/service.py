"""The composition root: opens what lasts, restores what was, starts who lives, listens; and undoes it in reverse."""

import gc
import signal
import time
from collections.abc import Callable
from contextlib import AsyncExitStack
from functools import partial
from importlib.metadata import version
from typing import Any

import attrs
import structlog
import trio

from access.bootstrap import OWNER_ID, token_secret
from access.jwt import OwnTokens
from access.sign_in import SignIn
from actors.context import Context
from actors.runtime import open_world
from app import cast
from app.chaos.sabotage import Sabotage, lifted
from app.demo import DemoRunner
from app.doors import open_api, open_control_door, open_runner_door
from app.forget import Forgetter
from app.foundation import Foundation, lay
from app.hosted import Hosted
from app.identity import open_database
from app.metrics import Metrics
from app.pulse import Health, Pulse
from app.retention import Keeper, retention
from app.trail import AuditWriter
from app.watch import Watch
from config.settings import Settings
from runner import identity
from store.database import Database
from supervision import Backoff, ChildSpec, Supervisor
from transports.edge import Edge
from transports.people import People
from transports.socketio import TrioServer

log = structlog.get_logger("service")

STOP_SECONDS = 5.0
"""From SIGTERM to the end of the process, at most."""
DRAIN_SECONDS = 1.0
GREETING = """
  Townwatch {version} is up. This link signs you in, once, within a quarter of an hour:

    {link}
"""


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
    async with AsyncExitStack() as stack:
        # Before the service listens: who is told to stop in its first moment stops in order, too.
        signals = stack.enter_context(trio.open_signal_receiver(signal.SIGTERM, signal.SIGINT))
        service = await stack.enter_async_context(open_service(settings, demo_seed))
        log.info("listening", url=service.url, ms=round((time.monotonic() - began) * 1000))
        _calm_the_collector()
        print(GREETING.format(version=version("townwatch"), link=await service.link()), flush=True)
        ended = service.root.actor_stopped
        async with trio.open_nursery() as nursery:
            nursery.start_soon(_until_signal, signals, nursery.cancel_scope)
            nursery.start_soon(_until_gone, ended.is_set, nursery.cancel_scope)
        gave_up = ended.is_set()
    log.info("stopped", reason="the supervision tree gave up" if gave_up else "told to")
    return 1 if gave_up else 0


def _calm_the_collector() -> None:
    """Fewer passes of the garbage collector, over less. As Python sets it, it took a quarter of the processor time of a
    busy service, and its full passes held everything up for 100 ms: nearly all that it walks over is not garbage. The
    young are looked at a little more often than the middle and the old: what of them is garbage is memory that waits.
    """
    gc.freeze()  # what is there now stays for ever
    gc.set_threshold(5_000, 80, 20)


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
        base = await lay(settings, stack, sabotage)
        root = await self._start(base)
        door = await open_runner_door(base, settings)
        open_control_door(base, settings, stack)
        health = Health()
        api = await open_api(base, settings, root, door, health)
        if sabotage:
            await sabotage.open(root, base.edge, api, base.context, base.metrics)
        url = await self._listen(root, base.edge)
        await self._watch(root, base, health)
        await self._local_runner(root, url)
        return Service(
            settings=settings,
            context=base.context,
            root=root,
            url=url,
            sign_in=base.sign_in,
            database=base.database,
            metrics=base.metrics,
            server=base.server,
            cut_runner=door.cut,
        )

    async def _start(self, base: Foundation) -> Any:
        """The tree: the cast, Socket.IO and its people."""
        stack, server = self._stack, base.server
        await stack.enter_async_context(open_world())
        specs = cast.tree(base.context, self._settings.limits, base.metrics.observe_commit)
        root = Supervisor.start(specs, "one_for_one", name=cast.ROOT, intensity=20, period=10.0)
        await root.ping()
        stack.push_async_callback(_stop, root)
        stack.push_async_callback(server.drain, DRAIN_SECONDS)
        for spec in (
            ChildSpec(id="socketio", actor=Hosted, args=(server.run,), shutdown=1000),
            ChildSpec(id="audit", actor=AuditWriter, args=(base.trail,), backoff=cast.BACKOFF),
        ):
            await root.proxy().start_child(spec)
        People(server, base.context, base.rights.person, base.rights, cast.CLIENTS)
        server.mount(base.edge)
        return root

    async def _watch(self, root: Any, base: Foundation, health: Health) -> None:
        """Those that look after the service itself."""
        watch = (base.context, base.metrics, cast.ROOT, partial(_connections, base.server))
        specs = [
            ChildSpec(id="watch", actor=Watch, args=watch),
            ChildSpec(id="pulse", actor=Pulse, args=(base.context, health)),
            ChildSpec(id="forgetter", actor=Forgetter, args=(base.context, base.database)),
        ]
        keep = retention(self._settings.journal)
        if keep is not None:
            specs.append(ChildSpec(id="keeper", actor=Keeper, args=(base.context, base.event_log, keep)))
        for spec in specs:
            await root.proxy().start_child(spec)

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

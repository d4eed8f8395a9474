"""The whole service in memory: the edge, both doors, Socket.IO, the cast under its supervisors, on a disk that lasts.

It is put together as app/service.py does it, without REST and without the database of people.
"""

import random
from collections.abc import Callable
from pathlib import Path
from typing import Any

import attrs
import trio

from tests.simulation.disk import SimDecisions, SimLog, Truth
from tests.simulation.network import Network
from tests.simulation.parking import SimParking
from tests.simulation.place import Place, here
from tests.simulation.runners import OTHER_VILLAGE, VILLAGE
from tests.support.cast import NoAudit, NoRules
from tests.support.links import link_settings
from townwatch.access.subject import ALL_SCOPES, ANONYMOUS, Subject
from townwatch.actors.context import Context
from townwatch.app import supervision_tree as cast
from townwatch.app.service_task import Hosted
from townwatch.app.upkeep.restore import restore
from townwatch.config.settings import LimitsSettings
from townwatch.runtime import open_world
from townwatch.supervision import ChildSpec, Supervisor
from townwatch.transports.control import ControlDeps, ControlEndpoint
from townwatch.transports.edge.server import Edge, EdgeSettings
from townwatch.transports.runners import LinkDeps, RunnerEndpoint
from townwatch.transports.runners.ports import InvalidToken, RunnerIdentity
from townwatch.transports.socketio import EngineSettings, RecoverySettings, TrioServer
from townwatch.transports.socketio.handlers import ClientHandlers, SocketIoOutlet

LIMITS = LimitsSettings(connections_per_user=3, connections_per_address=3, connections=8, runners=8)
WINDOW = 16


class SimEdge(Edge):
    """The edge on the simulated network."""

    network: Network

    def bind(self) -> Any:
        return self.network.listen()

    def _idle_poller(self, nursery: trio.Nursery) -> SimParking:
        return SimParking(nursery, self._live)


GRANTED = {VILLAGE: VILLAGE}
"""Name → key of the villages that the runners of the simulation were granted."""
VILLAGES = {**GRANTED, OTHER_VILLAGE: OTHER_VILLAGE}
"""Name → key of all villages."""


class Everybody:
    """Who may: every person may see and drive the villages of the simulation."""

    async def readable_village(self, subject: Any, name: str) -> str | None:
        await trio.lowlevel.checkpoint()
        return VILLAGES.get(name)

    async def may_read(self, subject: Any, village_id: str) -> bool:
        await trio.lowlevel.checkpoint()
        return True

    async def may_drive(self, subject: Any, village_id: str) -> bool | None:
        await trio.lowlevel.checkpoint()
        return subject.user_id is not None


def granted(_runner_id: str) -> dict[str, str]:
    return GRANTED


async def person(token: str | None) -> Subject:
    """The token is the person's name."""
    await trio.lowlevel.checkpoint()
    return ANONYMOUS if token is None else Subject(kind="user", user_id=token, name=token, scopes=ALL_SCOPES)


async def runner_of(token: str) -> RunnerIdentity:
    """The token is the runner's id; it serves the villages of the simulation."""
    await trio.lowlevel.checkpoint()
    if not token.startswith("r"):
        raise InvalidToken
    return RunnerIdentity(runner_id=token, villages=lambda: GRANTED)


@attrs.define(eq=False)
class House:
    """One life of the service's process."""

    place: Place
    context: Context
    root: Any
    server: TrioServer
    log: SimLog
    scope: trio.CancelScope

    @property
    def gone(self) -> bool:
        """Whether its supervision tree gave up: the process ends then."""
        return not self.root.is_alive()


@attrs.define(eq=False)
class Machine:
    """Where the service runs: its disk outlives its processes."""

    path: Path
    network: Network
    truth: Truth
    dice: random.Random
    decisions: SimDecisions
    observe: Callable[[str, dict[str, Any]], None] = lambda _event, _fields: None
    lives: int = 0
    house: House | None = None
    """The life that is up now."""
    skew_ms: int = 0

    async def live(self, *, task_status: trio.TaskStatus[House] = trio.TASK_STATUS_IGNORED) -> None:
        """One life, until its scope is cancelled. Raises nothing that a dead process would not."""
        self.lives += 1
        place = Place(f"service {self.lives}", self.dice, skew_ms=self.skew_ms)
        here.set(place)
        log = SimLog(self.path, place, self.truth, self.dice)
        try:
            with trio.CancelScope() as scope:
                await self._serve(place, log, scope, task_status)
        finally:
            self.house = None
            log.close()

    async def _serve(
        self, place: Place, log: SimLog, scope: trio.CancelScope, task_status: trio.TaskStatus[House]
    ) -> None:
        server = TrioServer(engine=EngineSettings(ping_interval=5.0, ping_timeout=5.0), recovery=RecoverySettings())
        promises = self.decisions.promises
        doors = (log, SocketIoOutlet(server), place, self.decisions, promises, NoAudit(), NoRules())
        context = Context(*doors, measure=self.observe)
        await trio.to_thread.run_sync(restore, log, context)
        for session_id, standing in self.decisions.undelivered():  # what app/promises.py recalls
            context.decided[session_id, standing.approval_id] = standing
        async with open_world():
            root = Supervisor.start(cast.tree(context, LIMITS, _unseen), "one_for_one", name=cast.ROOT, intensity=20,
                                    period=10.0)  # fmt: skip
            await root.ping()
            try:
                await self._open_doors(context, server, root)
                house = House(place=place, context=context, root=root, server=server, log=log, scope=scope)
                self.house = house
                task_status.started(house)
                while root.is_alive():
                    await trio.sleep(0.1)
            finally:
                with trio.move_on_after(3, shield=True):
                    if root.is_alive() and not place.dead:
                        await server.drain(1.0)
                        await root.stop()

    async def _open_doors(self, context: Context, server: TrioServer, root: Any) -> None:
        await Supervisor.start_child(root, ChildSpec(id="socketio", actor=Hosted, args=(server.run,), shutdown=1.0))
        ClientHandlers(server, context, person, Everybody(), cast.CLIENTS)
        edge = SimEdge(EdgeSettings())
        edge.network = self.network
        server.mount(edge)
        settings = link_settings(window=WINDOW, heartbeat_ms=5000, handshakes=8)
        door = RunnerEndpoint(
            LinkDeps(context=context, links=cast.LINKS, authenticate=runner_of, grants=granted, settings=settings)
        )
        edge.websocket("/runner", door.serve)
        control = ControlEndpoint(
            ControlDeps(context=context, clients=cast.CLIENTS, authenticate=person, access=Everybody())
        )
        edge.websocket("/ws", control.serve)
        await Supervisor.start_child(root, ChildSpec(id="listener", actor=Hosted, args=(edge.serve,), shutdown=1.0))


def _unseen(_events: int, _seconds: float) -> None:
    return None

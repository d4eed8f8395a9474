"""K services on one log: the product's own lease, leadership and event log on a simulated PostgreSQL.

Runners send numbered events to whichever service takes them, and keep each until it is acknowledged. Services are
killed and frozen, PostgreSQL is restarted, connections end, commits lose their answer, a take-over hangs and heals.
"""

import random
from collections import Counter
from contextlib import ExitStack
from unittest.mock import patch

import attrs
import trio
import trio.testing

from tests.simulation.determinism import deterministic
from tests.simulation.place import Place, here
from tests.simulation.replicas.server import Server, connector
from tests.simulation.replicas.threads import Process, process, run_sync
from townwatch.cluster.leadership import Leadership
from townwatch.cluster.lease import Leader, ProcessLease
from townwatch.contracts.records import LogRecord
from townwatch.store.engine import postgres
from townwatch.store.log.records import LogError, LogFenced
from townwatch.store.pg_log import arrays, schema, writing
from townwatch.store.pg_log.log import PostgresLog

SERVICES, RUNNERS = 3, 3
LEASE_SECONDS, CHAOS_SECONDS, REST_SECONDS = 3.0, 20.0, 60.0
CALM = ("cut the lease", "cut the leader", "restart", "lost answer", "lost commit")
"""None of them is a reason to replace the leader."""
FAULTS = (*CALM, "kill", "freeze", "freeze", "hang", "lost answer")


@attrs.define(eq=False)
class Runner:
    """One session's events, and how many of them are acknowledged."""

    name: str
    bodies: list[bytes] = attrs.field(factory=list[bytes])
    acked: int = 0
    shown: int = 0


@attrs.define(eq=False)
class Service:
    """One process: stands by, leads, stores, acknowledges. `takes`: whether it takes events of runners."""

    world: "World"
    me: Process
    takes: bool = False
    leadership: Leadership | None = None
    inbox: trio.Event = attrs.field(factory=trio.Event)
    scope: trio.CancelScope = attrs.field(factory=trio.CancelScope)

    async def live(self) -> None:
        process.set(self.me)
        here.set(Place(self.me.name, self.world.dice))
        with self.scope:
            while True:
                await self._term()

    async def _term(self) -> None:
        """Stand by, and lead until another one does."""
        lease = ProcessLease("postgresql://sim/sim", self.me.name, LEASE_SECONDS)
        term, event_log = None, None
        while event_log is None:
            try:
                if term is None:
                    await run_sync(lease.watch, 1.0, abandon_on_cancel=True)
                    taken = await run_sync(lease.take, abandon_on_cancel=True)
                    term = None if isinstance(taken, Leader) else taken
                if term is not None:
                    event_log = await run_sync(PostgresLog.open, "postgresql://sim/sim", term)
            except LogFenced:
                return
            except OSError:
                await trio.sleep(0.05)
        leadership = self.leadership = Leadership(lease, term)
        async with trio.open_nursery() as nursery:
            nursery.start_soon(leadership.keep)
            nursery.start_soon(self.serve, event_log)
            await leadership.lost.wait()
            nursery.cancel_scope.cancel()
        self.takes, self.leadership = False, None
        lease.close()

    async def serve(self, event_log: PostgresLog) -> None:
        """Store what runners have, and tell them; until the log refuses it."""
        self.takes = True
        while True:
            await trio.sleep(self.world.dice.uniform(0.05, 0.2))
            await self.me.running()
            for runner in self.world.of(self):
                after = runner.acked
                batch = [
                    LogRecord(runner.name, after + i, "demo", "TERMINAL_CHUNK", 1.0, body)
                    for i, body in enumerate(runner.bodies[after : after + 5], 1)
                ]
                if batch:
                    await self.store(event_log, runner, batch)

    async def store(self, event_log: PostgresLog, runner: Runner, batch: list[LogRecord]) -> None:
        """Store, show, acknowledge. What went wrong is tried again when the runner sends it again."""
        try:
            await run_sync(event_log.append, batch)
        except LogFenced:
            self.takes = False
            await trio.sleep_forever()
        except LogError:
            await trio.sleep(0.1)
            return
        self.world.show(runner, batch[-1].seq)
        self.world.acknowledge(runner, batch[-1].seq)


class World:
    """Everything that there is in a run."""

    def __init__(self, seed: int, calm: bool) -> None:
        self.dice = random.Random(f"replicas {seed}")
        self.violations: list[str] = []
        self.server = Server(random.Random(f"postgresql {seed}"), self.check)
        self.runners = [Runner(f"session-{n}") for n in range(RUNNERS)]
        self.services: list[Service] = []
        self.faults = CALM if calm else FAULTS
        self.calm = calm
        self._nursery: trio.Nursery
        self._numbers = 0

    def check(self, holds: bool, what: str) -> None:
        if not holds:
            self.violations.append(what)

    # --- runners --------------------------------------------------------------------------------------

    def of(self, service: Service) -> list[Runner]:
        """The runners that this service hears at the moment: a frozen or replaced one may be heard still."""
        return self.dice.sample(self.runners, self.dice.randint(0, RUNNERS)) if service.takes else []

    def show(self, runner: Runner, seq: int) -> None:
        runner.shown = max(runner.shown, seq)
        self._durable(runner, seq, "shown")

    def acknowledge(self, runner: Runner, seq: int) -> None:
        self._durable(runner, seq, "acknowledged")
        runner.acked = max(runner.acked, seq)

    def _durable(self, runner: Runner, seq: int, what: str) -> None:
        stored = self.server.stored.get(runner.name, [])
        wanted = list(enumerate(runner.bodies[:seq], 1))
        self.check(stored[:seq] == wanted, f"{runner.name}: {what} up to {seq}, stored {len(stored)}")

    async def _talk(self, runner: Runner) -> None:
        while True:
            await trio.sleep(self.dice.uniform(0.1, 1.0))
            runner.bodies.append(f"{runner.name} {len(runner.bodies) + 1}".encode())

    # --- a run ----------------------------------------------------------------------------------------

    async def run(self) -> None:
        async with trio.open_nursery() as self._nursery:
            self._nursery.start_soon(self.server.sweep)
            for _ in range(SERVICES):
                self._start()
            async with trio.open_nursery() as talking:
                for runner in self.runners:
                    talking.start_soon(self._talk, runner)
                await self._led()
                epoch = self.server.lease.epoch
                ends = trio.current_time() + CHAOS_SECONDS
                while trio.current_time() < ends and not self.violations:
                    await trio.sleep(self.dice.uniform(0.05, 3.0))
                    await self._fault(self.dice.choice(self.faults))
                talking.cancel_scope.cancel()
            await self._rest()
            if self.calm:
                self.check(self.server.lease.epoch == epoch, "a leader that was at work was replaced")
            self._nursery.cancel_scope.cancel()

    def _start(self) -> None:
        self._numbers += 1
        service = Service(self, Process(f"service {self._numbers}", self._nursery))
        self.services.append(service)
        self._nursery.start_soon(service.live)

    async def _led(self) -> None:
        with trio.move_on_after(REST_SECONDS):
            while not any(one.takes for one in self.services):
                await trio.sleep(0.1)
            return
        self.check(False, "no service leads")

    def _leader(self) -> Service:
        leads = [one for one in self.services if one.leadership is not None]
        return self.dice.choice(leads or self.services)

    async def _fault(self, fault: str) -> None:
        server, victim = self.server, self._leader()
        server.counts[fault] += 1
        match fault:
            case "cut the lease":
                server.end_all(lambda one: bool(one.life_sign))
            case "cut the leader":
                server.end_all(lambda one: one.owner is victim.me and victim.leadership is not None)
            case "restart":
                server.up = False
                server.end_all()
                await trio.sleep(self.dice.uniform(0.0, LEASE_SECONDS * 2))
                server.up = True
                await self._led()
                await trio.sleep(LEASE_SECONDS)
            case "lost answer" | "lost commit":
                server.lose = fault.removeprefix("lost ")
            case "kill":
                victim.me.dead = True
                victim.scope.cancel()
                server.end_all(lambda one: one.owner is victim.me)
                self.services.remove(victim)
                self._nursery.start_soon(self._later, 1.0)
            case "freeze":
                self._nursery.start_soon(self._freeze, victim, self.dice.choice((0.5, LEASE_SECONDS * 2, 14.0)))
            case _:  # one that may be taking over stands still, and heals
                self._nursery.start_soon(self._freeze, self.dice.choice(self.services), LEASE_SECONDS * 2)
                self._nursery.start_soon(self._freeze, victim, LEASE_SECONDS * 1.5)

    async def _later(self, seconds: float) -> None:
        await trio.sleep(seconds)
        self._start()

    async def _freeze(self, victim: Service, seconds: float) -> None:
        if victim.me.thawed.is_set():
            victim.me.thawed = trio.Event()
            await trio.sleep(seconds)
            victim.me.thawed.set()

    async def _rest(self) -> None:
        """No more faults: everything is stored and acknowledged, once and in order."""
        with trio.move_on_after(REST_SECONDS):
            while not self.violations and any(one.acked < len(one.bodies) for one in self.runners):
                await trio.sleep(0.2)
        for runner in self.runners:
            stored = self.server.stored.get(runner.name, [])
            self.check(stored == list(enumerate(runner.bodies, 1)), f"{runner.name}: stored {[n for n, _ in stored]}")
            self.check(runner.acked == len(runner.bodies), f"{runner.name}: {len(runner.bodies)} made, {runner.acked}")
        positions = [row[0] for row in self.server.events]
        self.check(positions == list(range(1, len(positions) + 1)), f"positions {positions}")


@attrs.frozen
class Outcome:
    seed: int
    violations: list[str]
    counts: Counter[str]


def simulate(seed: int, calm: bool = False) -> Outcome:
    """One run. The same seed gives the same run."""
    world = World(seed, calm)
    with deterministic(seed), ExitStack() as stack:
        plain = (list, list, list, list, list)
        for name, kind in zip(("bigints", "integers", "floats", "texts", "bodies"), plain, strict=True):
            stack.enter_context(patch.object(writing, name, kind))
        for owner, name, value in (
            (postgres, "connect", connector(world.server)),
            (postgres, "cut", lambda connection: connection.close()),
            (arrays, "teach", lambda _connection: None),
            (schema, "make_tables", lambda _connection, _place: None),
            (PostgresLog, "_heal", lambda _self: None),
            (trio.to_thread, "run_sync", run_sync),
        ):
            stack.enter_context(patch.object(owner, name, value))
        try:
            trio.run(world.run, clock=trio.testing.MockClock(autojump_threshold=0))
        except Exception as error:
            world.violations.append(f"the run failed: {error!r}")
    return Outcome(seed, world.violations, world.server.counts)

"""One run: a service, runners and people, faults from a seed; then peace, in which all must be well again."""

import hashlib
import random
import shutil
import tempfile
from collections import Counter
from contextlib import ExitStack, suppress
from pathlib import Path
from typing import Any
from unittest.mock import patch

import attrs
import trio
import trio.testing

from tests.simulation.checks import Watcher, check_end, check_limits, check_rest
from tests.simulation.clients import Page
from tests.simulation.control import Program
from tests.simulation.determinism import deterministic
from tests.simulation.disk import SimDecisions, Truth
from tests.simulation.faults import CAST, FAULTS, SILENT, Armed, crash_at_message, crashing, interruptible
from tests.simulation.history import History, Seen
from tests.simulation.network import Network
from tests.simulation.place import Place, here
from tests.simulation.runners import RunnerMachine
from tests.simulation.service import Machine
from townwatch.actors import messages as m
from townwatch.app import supervision_tree as cast
from townwatch.runtime import ActorDeadError, ActorRef, telemetry, whereis
from townwatch.runtime.testing import leftovers

CHAOS_SECONDS = 25.0
REST_SECONDS = 120.0
"""After the last fault, everything is well again within this time."""
LONGEST_DELAY = cast.BACKOFF.cap
STOP_SECONDS = 60.0
MEMORY_DISK = Path("/dev/shm")


@attrs.frozen
class Outcome:
    """What became of one seed."""

    seed: int
    violations: list[str]
    trace: list[str]
    counts: Counter[str]
    seconds: float
    """Virtual ones."""

    @property
    def digest(self) -> str:
        return hashlib.sha256("\n".join(self.trace).encode()).hexdigest()[:16]


class World:
    """Everything that there is in a run."""

    def __init__(self, seed: int, dice: random.Random, directory: Path) -> None:
        self.dice, self.directory = dice, directory
        self.truth = Truth()
        self.history = History(self.truth)
        self.history.pending = self._pending
        self.armed: dict[type, Armed] = {}
        self.slow_until = -1.0
        """Until when the service's disk is slow, or was."""
        self.network = Network(random.Random(f"network {seed}"), self.history.note)
        decisions = SimDecisions(self.truth)
        self.machine = Machine(
            directory / "journal.db", self.network, self.truth, random.Random(f"disk {seed}"), decisions, self._measured
        )
        self.runners = [
            RunnerMachine(
                f"r{number}",
                directory / f"r{number}.db",
                self.network,
                self.truth,
                random.Random(f"runner {number} {seed}"),
                self.history.acked,
                random.Random(f"strays {number} {seed}"),
            )
            for number in range(1, dice.choice((1, 1, 2)) + 1)
        ]
        users = [dice.choice(("ann", "bob", None)) for _ in range(dice.choice((1, 2, 3)))]
        self.pages = [self._page(f"page{number}", user, seed) for number, user in enumerate(users, 1)]
        self.visitors: list[Page] = []
        programs = dice.choice((0, 1, 1))
        self.programs = [
            Program(f"program{number}", "dan", self.network, random.Random(f"program {number} {seed}"), self.history)
            for number in range(1, programs + 1)
        ]
        self.seed = seed
        self.nursery: trio.Nursery
        self.calm = False
        self.stopped: set[str] = set()
        """Sessions whose stop was promised to a person."""
        self._done = False

    def _page(self, name: str, user: str | None, seed: int) -> Page:
        view = Seen(name, self.history)
        dice = random.Random(f"{name} {seed}")
        page = Page(name, user, self.network, dice, self.history, self._decide, view)
        page.terminals = dice.random() < 0.5
        return page

    # --- what others do with it -----------------------------------------------------------------------

    def _measured(self, event: str, fields: dict[str, Any]) -> None:
        self.history.count(f"{event}:{fields.get('code', '')}" if event == "nack" else event)
        if event == "runner_status":
            self.history.note("status", fields["runner"], fields["status"])
            self.history.statuses[fields["runner"]] = fields["status"]

    def _pending(self) -> set[str]:
        house = self.machine.house
        if house is None:
            return set()
        shown = house.context.published
        states = [state for state in house.context.board if shown.get(state.session_id, 0) >= state.seq]
        return {one.approval_id for state in states for one in house.context.undecided(state)}

    def place(self) -> Place | None:
        """Of the service, while it is up."""
        return self.machine.house.place if self.machine.house is not None else None

    def kill_service(self) -> None:
        house = self.machine.house
        assert house is not None
        house.place.dead = True
        if self.network.listener is not None:
            self.network.listener.close()
        for wire in self.network.wires:
            wire.cut()
        house.scope.cancel()

    def exit_actor(self, path: str, error: Exception) -> None:
        ref = whereis(path)
        if ref is not None:
            ref.exit(error, ref)

    def crowd(self) -> None:
        for number in range(4):
            page = self._page(
                f"visitor{len(self.visitors)}", self.dice.choice(("ann", "bob", None)), self.seed + number
            )
            page.view.whole = self.dice.random() < 0.3
            self.visitors.append(page)
            self.nursery.start_soon(self._visit, page)

    async def _visit(self, page: Page) -> None:
        with trio.move_on_after(self.dice.uniform(1, 10)):
            await page.run()

    async def _decide(self, session_id: str, approval_id: str, decision: str, by: str) -> None:
        """The REST call: what transports/http/routes/approvals.py does."""
        house = self.machine.house
        if house is None or house.place.dead or (self.history.accepted.get(approval_id) and not self._insists()):
            return
        ours = here.get(None)
        here.set(house.place)
        refused = (m.UnknownApproval, m.SessionOver)
        try:
            with trio.move_on_after(10), suppress(ActorDeadError, trio.TooSlowError, OSError, *refused):
                session = await house.context.router_call(m.LocateSession(session_id))
                if session is not None:
                    standing = await session.call(m.Decide(approval_id, decision, by), timeout=5)
                    if not house.place.dead:
                        self.history.answered(approval_id, standing.decision, standing.resolved_by, standing.confirmed)
        except Exception as error:
            if not house.place.dead and type(error).__name__ != "Crash":
                self.history.check(False, f"a decision on {approval_id} failed with {error!r}")
        finally:
            if ours is not None:
                here.set(ours)

    async def _stop_session(self, session_id: str) -> None:
        """The REST call: what transports/http/routes/sessions.py does. It is asked for until it is promised, and never
        after that: who was told that it is stopped waits.
        """
        house = self.machine.house
        if house is None or house.place.dead or session_id in self.stopped:
            return
        ours = here.get(None)
        here.set(house.place)
        try:
            with trio.move_on_after(10), suppress(ActorDeadError, trio.TooSlowError, m.SessionOver, OSError):
                session = await house.context.router_call(m.LocateSession(session_id))
                if session is not None:
                    await session.call(m.Stop(True), timeout=5)
                    if not house.place.dead:
                        self.stopped.add(session_id)
                        self.history.count("stop promised")
        except Exception as error:
            if not house.place.dead and type(error).__name__ != "Crash":
                self.history.check(False, f"a stop of {session_id} failed with {error!r}")
        finally:
            if ours is not None:
                here.set(ours)

    async def _stop_some(self) -> None:
        """In the end every session that goes on is stopped, once."""
        house = self.machine.house
        for state in house.context.board if house is not None else ():
            if not state.ended:
                await self._stop_session(state.session_id)

    def telemetry(self, event: str, fields: dict[str, Any]) -> None:
        """From the runtime and the supervisors, at the very moment."""
        check = self.history.check
        if event == "started" and fields["actor"] == "ClientActor":
            check_limits(self)
        report = fields.get("report")
        if report is not None and report.decision in ("restart", "give_up"):
            spent = report.recent > report.intensity
            what = f"{report.supervisor}: {report.recent} of {report.intensity} failures, then {report.decision}"
            check(spent == (report.decision == "give_up"), what)
            check(0 <= report.delay <= LONGEST_DELAY, f"{report.child}: restarted after {report.delay} s")

    def _insists(self) -> bool:
        """Now and then somebody decides what was decided; in the end nobody helps a decision on its way."""
        return not self.calm and self.dice.random() < 0.1

    # --- a run ----------------------------------------------------------------------------------------

    async def run(self) -> None:
        async with trio.open_nursery() as self.nursery:
            self.nursery.start_soon(self._keep, self.machine)
            for machine in self.runners:
                self.nursery.start_soon(self._keep, machine)
            for page in (*self.pages, *self.programs):
                self.nursery.start_soon(page.run)
            watcher = Watcher(self)
            self.nursery.start_soon(watcher.run)
            await self._chaos()
            await self._peace()
            await watcher.look()
            if not self.history.violations:
                check_rest(self)
            await self._stop()
            self.nursery.cancel_scope.cancel()

    async def _stop(self) -> None:
        """Everybody ends in order; who does not is an invariant that does not hold."""
        self._done = True
        with trio.move_on_after(STOP_SECONDS) as late:
            while lives := [life for life in (self.machine.house, *(m.life for m in self.runners)) if life]:
                for life in lives:
                    life.scope.cancel()
                await trio.sleep(0.05)
        self.history.check(not late.cancelled_caught, "the service or a runner did not stop")

    async def _keep(self, machine: Any) -> None:
        """As systemd does: what ended is started again."""
        while not self._done:
            async with trio.open_nursery() as nursery:
                nursery.start_soon(machine.live)
            self.history.note("ended", type(machine).__name__)
            if machine is self.machine:
                self.history.statuses.clear()
            await trio.sleep(self.dice.uniform(0.05, 1.0) + getattr(machine, "away", 0.0))

    async def _chaos(self) -> None:
        ends = trio.current_time() + CHAOS_SECONDS
        faults, weights = list(FAULTS), list(FAULTS.values())
        while trio.current_time() < ends and not self.history.violations:
            await trio.sleep(self.dice.uniform(0.05, 2.5))
            if self.dice.random() < 0.35:
                self.dice.choice(self.runners).begin()
            if self.dice.random() < 0.2 and self.machine.house is not None:
                live = [state.session_id for state in self.machine.house.context.board if not state.ended]
                if live:
                    self.nursery.start_soon(self._stop_session, self.dice.choice(live))
            if self.dice.random() < 0.8:
                (fault,) = self.dice.choices(faults, weights)
                self.history.count(f"fault {fault.__name__}")
                self.nursery.start_soon(fault, self)

    async def _peace(self) -> None:
        """No more faults; wait until everything is done."""
        await trio.sleep(6)  # the slow and the full disks end
        self.armed.clear()
        self.calm = self.network.calm = True
        self.history.note("peace")
        await self._last_crash()
        ends, stops_at = trio.current_time() + REST_SECONDS, trio.current_time() + 20
        while not self.history.violations:
            waits = self.waits_for()
            if not waits:
                return
            if trio.current_time() > ends:
                self.history.check(False, f"not at rest after {REST_SECONDS:g} s: {waits}")
                return
            await self._decide_all()
            if trio.current_time() > stops_at:
                await self._stop_some()
            await trio.sleep(0.5)

    async def _last_crash(self) -> None:
        """Into the peace: no other fault follows that might mend it by the way."""
        for runner in self.runners:
            runner.begin()
        await trio.sleep(self.dice.uniform(0.5, 3))
        await crash_at_message(self, SILENT)
        await trio.sleep(2)
        self.armed.clear()

    async def _decide_all(self) -> None:
        """The last watch: who is still asking gets an answer."""
        house = self.machine.house
        for state in house.context.board if house is not None else ():
            for approval_id in state.pending:
                await self._decide(state.session_id, approval_id, "allow", "carol")

    def waits_for(self) -> str:
        """What is not done yet; "" when all is."""
        if self.machine.house is None:
            return "the service is down"
        directory, sockets = self.machine.house.context.directory, self.machine.house.server.stats().sockets
        kinds = Counter(connection.kind for connection in directory.connections.values())
        if kinds["socketio"] != sockets:
            return f"there are {kinds['socketio']} actors of clients, and {sockets} of them are connected"
        programs = sum(program.connected for program in self.programs)
        if kinds["control"] != programs:
            return f"there are {kinds['control']} actors of programs, and {programs} of them are connected"
        for machine in self.runners:
            if machine.busy:
                return f"{machine.name} is busy"
            if not machine.connected:
                return f"{machine.name} is not connected"
            said = {self.history.statuses.get(machine.name), *(one.runners.get(machine.name) for one in self.programs)}
            if not said <= {None, "online"}:
                return f"{machine.name} is online, and {said} was said of it"
        for session_id, bodies in self.truth.spooled.items():
            if self.truth.last(session_id) < len(bodies):
                return f"{session_id} has {self.truth.last(session_id)} of {len(bodies)} stored"
        decisions = self.machine.decisions
        for approval_id in decisions.standing:
            if approval_id not in decisions.confirmed:
                return f"{approval_id} was decided, and its end is not on record"
        for command_id in decisions.promises.rows:
            return f"{command_id} was promised, and what became of it is not on record"
        for page in self.pages:
            if not page.joined:
                return f"{page.name} has not joined"
            behind = page.view.behind()
            if behind:
                return f"{page.name} lacks {behind}"
        for program in self.programs:
            if not program.connected:
                return f"{program.name} is not connected"
            if behind := program.behind():
                return f"{program.name} lacks {behind}"
        return ""


def simulate(seed: int) -> Outcome:
    """One run. The same seed gives the same trace, to the byte."""
    directory = Path(tempfile.mkdtemp(prefix="sim", dir=MEMORY_DISK if MEMORY_DISK.is_dir() else None))
    clock = trio.testing.MockClock(autojump_threshold=0)
    try:
        with deterministic(seed) as dice, ExitStack() as stack:
            world = World(seed, dice, directory)
            for actor in CAST:
                stack.enter_context(patch.object(actor, "on_receive", crashing(actor.on_receive, world.armed)))
            stack.enter_context(patch.object(ActorRef, "tell", interruptible(ActorRef.tell)))
            stack.callback(telemetry.subscribe(world_listener(world)))
            try:
                trio.run(world.run, clock=clock)
            except BaseException as error:
                if isinstance(error, KeyboardInterrupt):
                    raise
                world.history.violations.append(f"the run failed: {_first(error)!r}")
            check_end(world)
        history = world.history
        return Outcome(seed, history.violations, history.trace, history.counts, clock.current_time())
    finally:
        for left in leftovers():  # told already; the next run begins with none
            left.actor_inbox.world.unregister(left, left.path)
        shutil.rmtree(directory, ignore_errors=True)


def world_listener(world: World) -> Any:
    """Telemetry into the trace and the counters."""

    def listen(event: str, fields: dict[str, Any]) -> None:
        world.history.count(event)
        if event in ("crashed", "restarted", "escalated", "dead_letter"):
            said = {name: fields[name] for name in ("path", "reason", "to", "why", "message_type") if name in fields}
            world.history.note(event, said)
        world.telemetry(event, fields)

    return listen


def _first(error: BaseException) -> BaseException:
    while isinstance(error, BaseExceptionGroup):
        error = error.exceptions[0]
    return error

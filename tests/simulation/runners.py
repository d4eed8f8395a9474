"""Runners in memory: the product's own runner, link, spool, approvals and sessions; only the command in the terminal is
a script of dice.
"""

import random
import sqlite3
from collections.abc import Callable, Sequence
from contextlib import suppress
from contextvars import Context, copy_context
from pathlib import Path
from typing import Any

import attrs
import trio

from tests.simulation.disk import Truth
from tests.simulation.network import Network, SimStream
from tests.simulation.place import Killed, Place, here
from townwatch.runner.identity import Identity
from townwatch.runner.observers.observers import Shared
from townwatch.runner.runner import Runner
from townwatch.runner.session.lifecycle import NotPossible
from townwatch.runner.session.plan import SessionSpec
from townwatch.runner.session.session import Session
from townwatch.runner.session.terminal import CommandExit
from townwatch.runner.spool.spool import Spool, Stored

VILLAGE = "demo"
OTHER_VILLAGE = "elsewhere"
"""A village that is there, and that no runner of the simulation was granted."""


class SimSpool(Spool):
    """The real spool, whose disk may refuse, and which tells the truth what it holds."""

    def __init__(self, path: Path, truth: Truth, acked: Callable[[str, int], None]) -> None:
        super().__init__(path, 1 << 30)
        self._db.execute("PRAGMA synchronous=OFF")
        self._truth = truth
        self._acked = acked

    def append(self, events: Sequence[tuple[str, dict[str, Any]]]) -> list[Stored]:
        place = here.get()
        error = place.refusal() if place.refusal is not None else None
        if error is not None:
            raise sqlite3.OperationalError(str(error))
        stored = super().append(events)
        for one in stored:
            ungranted = one.session_id in self._truth.ungranted
            bodies = (self._truth.ungranted if ungranted else self._truth.spooled)[one.session_id]
            assert one.seq == len(bodies) + 1, (
                f"the runner gave number {one.seq} of {one.session_id} after {len(bodies)}"
            )
            bodies.append(one.body)
        return stored

    def ack(self, session_id: str, seq: int) -> None:
        self._acked(session_id, seq)
        super().ack(session_id, seq)


class Scripted(Session):
    """A session whose command is a script."""

    def __init__(self, plan: SessionSpec, recorder: Any, dice: random.Random, shared: Shared) -> None:
        super().__init__(plan, recorder, {}, shared)
        self._dice = dice
        self.unheard = plan.village != VILLAGE
        """Whether nobody hears of it, to answer or to stop it."""
        self.endless = dice.random() < 0.25 and not self.unheard
        """Whether it ends only when it is stopped."""

    async def run(self) -> CommandExit:
        ended, reason = CommandExit(code=self._dice.choice((0, 0, 1))), ""
        try:
            await self._open()
            async with trio.open_nursery() as nursery:
                nursery.start_soon(self._stop_when_denied)
                nursery.start_soon(self._end_when_stopped, nursery.cancel_scope)
                await self._play(nursery)
                nursery.cancel_scope.cancel()
            reason = self._stop_reason or ended.reason
        except trio.Cancelled:
            self._stop_reason = reason = "runner shutting down"
            raise
        finally:
            if not here.get().dead:
                with trio.CancelScope(shield=True), trio.move_on_after(10):
                    await self._finish(ended, reason)
        return ended

    async def _open(self) -> None:
        plan, spool = self.plan, self._recorder.spool
        started = here.get().now_ms()
        await trio.to_thread.run_sync(
            lambda: spool.open_session(plan.session_id, village=plan.village, provider="command", started_ms=started)
        )
        await self.events.become("PREPARING_WORKSPACE")
        await self.events.become("STARTING_PROVIDER")
        await self._say_started()
        await self.events.become("RUNNING")

    async def _end_when_stopped(self, scope: trio.CancelScope) -> None:
        await self._stop_asked.wait()
        await trio.sleep(self._dice.uniform(0, 1))
        scope.cancel()

    async def _play(self, nursery: trio.Nursery) -> None:
        dice = self._dice
        for step in range(dice.randint(2, 9)):
            await trio.sleep(dice.choice((0.0, 0.01, 0.1, 1.0, 4.0)))
            match dice.choice("oooofappu"):
                case "o":
                    for part in range(dice.choice((1, 2, 5, 24))):
                        await self.output.say(f"{self.plan.session_id} step {step} part {part}\r\n")
                case "f":
                    await self.events.tell("FILE_TOUCHED", path=f"src/{step}.py", reason="write")
                case "a":
                    await self.alert({"severity": "error", "category": "test", "title": "t", "description": "d"})
                case "u":
                    await self._say_usage()
                case _:
                    seconds = dice.choice((3.0, None, None))
                    nursery.start_soon(self._ask, 3.0 if self.unheard else seconds)
        while self.lifecycle.waiting:
            await trio.sleep(0.5)
        if self.endless:
            await trio.sleep_forever()

    async def _ask(self, seconds: float | None) -> None:
        fields = {"category": "shell", "risk": "low", "summary": "may I", "timeoutSeconds": seconds}
        with suppress(NotPossible):  # it ended meanwhile
            await self.approvals.ask(fields)


class SimRunner(Runner):
    """The runner, with scripts in place of terminals."""

    dice: random.Random

    def start(self, plan: SessionSpec, prepare: Callable[[Session], None] = lambda _session: None) -> Session:
        session = Scripted(plan, self.recorder, self.dice, self.shared)
        self.sessions[plan.session_id] = session
        self._nursery.start_soon(self._run, session)
        return session


@attrs.define(eq=False)
class Life:
    """One life of a runner's process."""

    place: Place
    runner: SimRunner
    scope: trio.CancelScope
    context: Context = attrs.field(factory=copy_context)


@attrs.define(eq=False)
class RunnerMachine:
    """Where a runner runs: its spool outlives its processes."""

    name: str
    path: Path
    network: Network
    truth: Truth
    dice: random.Random
    acked: Callable[[str, int], None]
    strays: random.Random
    """Which of its sessions are in a village that it was not granted."""
    lives: int = 0
    sessions: int = 0
    life: Life | None = None
    away: float = 0.0
    """Seconds that its machine stays off."""
    unplugged: bool = False
    """Whether its cable is out."""

    async def live(self, *, task_status: trio.TaskStatus[Life] = trio.TASK_STATUS_IGNORED) -> None:
        """One life, until its scope is cancelled."""
        self.lives += 1
        place = Place(f"{self.name} {self.lives}", self.dice, dial=self._dial)
        here.set(place)
        spool = SimSpool(self.path, self.truth, self.acked)
        try:
            with trio.CancelScope() as scope:
                await self._serve(place, spool, scope, task_status)
        except* Killed:
            assert place.dead
        finally:
            self.life = None
            spool.close()

    async def _dial(self) -> SimStream:
        stream = None if self.unplugged else SimStream(await self.network.dial(self.name))
        if stream is None or self.unplugged:  # it may have been pulled while the connection was being made
            if stream is not None:
                stream.sock.close()
            raise OSError(113, "no route to host")
        return stream

    async def _serve(self, place: Place, spool: SimSpool, scope: trio.CancelScope, task_status: Any) -> None:
        identity = Identity(runner_id=self.name, token=self.name, url="ws://localhost:8484/runner", name=self.name)
        async with trio.open_nursery() as services, trio.open_nursery() as sessions:
            runner = SimRunner(identity, spool, sessions, directory=Path("/"), max_sessions=8)
            runner.dice = self.dice
            services.start_soon(runner.recorder.run)
            await runner.report_lost()
            services.start_soon(runner.link.run)
            self.life = Life(place, runner, scope)
            task_status.started(self.life)
            await trio.sleep_forever()

    def begin(self) -> None:
        """A new session."""
        if self.life is not None:
            self.sessions += 1
            session_id = f"{self.name}s{self.sessions:03}-session"
            village = VILLAGE if self.strays.random() > 0.15 else OTHER_VILLAGE
            if village != VILLAGE:
                self.truth.ungranted[session_id] = []
            plan = SessionSpec(session_id=session_id, village=village, command=["script"], directory=Path("/sim"),
                        provider="command", agent_id=f"agent-{session_id}")  # fmt: skip
            self.life.context.run(self.life.runner.start, plan)

    @property
    def connected(self) -> bool:
        return self.life is not None and self.life.runner.link.online

    @property
    def busy(self) -> bool:
        """Whether a session goes on, or something waits to be sent."""
        life = self.life
        return life is None or bool(life.runner.sessions) or life.runner.recorder.spool.size()[0] > 0

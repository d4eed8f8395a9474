"""A runner: its spool, its link and its sessions; started by the daemon, by `townwatch run` and by the demo alike."""

import fcntl
import os
import shutil
from collections.abc import AsyncGenerator, Callable
from contextlib import asynccontextmanager
from functools import partial
from importlib.metadata import version
from pathlib import Path
from typing import Any

import attrs
import psutil
import structlog
import trio

from contracts import link as wire
from contracts.codec import ContractError
from contracts.events import FINAL_STATES, UsageMetrics
from contracts.tasks import SessionConfig
from runner import git, workspace
from runner.approvals import SESSION_END
from runner.asks import AskServer
from runner.identity import Identity, load
from runner.lifecycle import NotPossible
from runner.link import Link, held
from runner.recorder import Recorder, now_ms
from runner.session import GRACE_SECONDS, Plan, Session
from runner.spool import DEFAULT_LIMIT_BYTES, Spool, SpoolSession

log = structlog.get_logger("runner")

LOST = "runner process lost"
PROVIDERS = {"claude_code": "claude", "codex": "codex", "gemini_cli": "gemini", "omnara": "omnara"}
SHUTTING_DOWN = "runner shutting down"
STOP_SECONDS = 2.0
"""How long a session has, beyond its command's grace, to be read to its end."""
RESULTS_KEPT = 1000
DEFAULT_SESSIONS = 8
GOODBYE_SECONDS, NOBODY_SECONDS = 2.0, 0.3
"""How long the end waits for the last events to be acknowledged, where the service is there and where it is not."""


class SlotTaken(Exception):
    """Another runner process uses this slot."""


def take_slot(state_dir: Path, wanted: str | None = None) -> tuple[str, Path, int]:
    """(name, directory, lock): a directory of our own for the spool. Runners beside each other each have one.

    `wanted`: that one or `SlotTaken`; None: the first free of run-1, run-2 … What its last owner left behind when it
    was killed is found there.
    """
    names = [wanted] if wanted else [f"run-{number}" for number in range(1, 1000)]
    for name in names:
        directory = state_dir / "runner" / name
        directory.mkdir(parents=True, exist_ok=True, mode=0o700)
        lock = os.open(directory / "lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(lock)
            continue
        return name, directory, lock
    raise SlotTaken(f"a runner is running already in {state_dir / 'runner'}; stop it first")


class Runner:
    """Made by `open_runner`. `start` begins a session; `stop_all` ends them."""

    def __init__(
        self, identity: Identity, spool: Spool, nursery: trio.Nursery, *, directory: Path, max_sessions: int
    ) -> None:
        self.identity = identity
        self.sessions: dict[str, Session] = {}
        self._spool = spool
        self._nursery = nursery
        self._directory = directory
        self._max_sessions = max_sessions
        self._draining = False
        self._results: dict[str, wire.Result] = {}
        self._under_way: dict[str, trio.Event] = {}
        self.link = Link(self.identity, self._hello, spool, self._handle)
        self.recorder = Recorder(spool, self.link.wake)
        self.asks = AskServer(self._asked)

    # --- sessions ---------------------------------------------------------------------------------------------------

    def start(self, plan: Plan, prepare: Callable[[Session], None] = lambda _session: None) -> Session:
        """Begin a session; it runs in the runner's nursery until its command ends."""
        session = Session(plan, self.recorder, self.asks.environment(plan.session_id))
        prepare(session)
        self.sessions[plan.session_id] = session
        self._nursery.start_soon(self._run, session, name=f"session {plan.session_id}")
        return session

    async def _run(self, session: Session) -> None:
        try:
            await session.run()
        except Exception as error:  # one session's trouble is not the others'; it has told its own end
            log.error("session_failed", session=session.plan.session_id, reason=f"{type(error).__name__}: {error}")
        finally:
            self.sessions.pop(session.plan.session_id, None)
            self.asks.forget(session.plan.session_id)
            session.over.set()

    async def report_lost(self) -> None:
        """Sessions whose runner process was killed: end what is left of them, and say truly what happened."""
        for left in self._spool.sessions():
            if left.live and left.session_id not in self.sessions:
                await trio.to_thread.run_sync(_end_leftovers, left)
                await self._report_lost(left)

    async def _report_lost(self, left: SpoolSession) -> None:
        async def tell(kind: str, **fields: Any) -> None:
            await self.recorder.record(left.session_id, left.village, kind, **fields)

        for approval_id in await trio.to_thread.run_sync(self._spool.waiting, left.session_id):
            await tell("APPROVAL_RESOLVED", approvalId=approval_id, decision="deny", resolvedBy=SESSION_END, note=LOST)
        final = left.state if left.state in FINAL_STATES else "FAILED"
        if left.state != final:
            await tell("SESSION_STATE_CHANGED", previousState=left.state, newState=final, reason=LOST)
        await tell(
            "SESSION_ENDED",
            finalState=final,
            reason=LOST,
            totalDurationMs=max(0, now_ms() - left.started_ms),
            totalUsage=UsageMetrics.zero(),
        )
        await self.recorder.settle()

    async def stop_all(self) -> None:
        """Every session is asked to end, and read to its last line. Who takes too long is left as it is.
        None begins any more.
        """
        self._draining = True
        with trio.move_on_after(GRACE_SECONDS + STOP_SECONDS):
            async with trio.open_nursery() as nursery:
                for session in list(self.sessions.values()):
                    nursery.start_soon(partial(session.stop, reason=SHUTTING_DOWN))

    async def sent_all(self, seconds: float) -> bool:
        """Whether the service had everything within the time. What it has not stays in the spool."""
        with trio.move_on_after(seconds):
            await self.recorder.settle()
            while (await trio.to_thread.run_sync(self._spool.size))[0]:  # noqa: ASYNC110 - only at the very end
                await trio.sleep(0.02)
            return True
        return False

    # --- the service's side -----------------------------------------------------------------------------------------

    def _hello(self) -> wire.Hello:
        providers = ["command", *(name for name, program in PROVIDERS.items() if shutil.which(program))]
        return wire.Hello(
            runner_id=self.identity.runner_id,
            name=self.identity.name,
            version=version("townwatch"),
            capabilities=wire.Capabilities(
                providers=providers, max_concurrent_sessions=self._max_sessions, features=["resize", "pause", "ask"]
            ),
            sessions=held(self._spool),
        )

    async def _handle(self, command: wire.Command) -> wire.Result:
        """Do it once: a command that was done is answered as it was, not done again."""
        known = self._results.get(command.command_id)
        if known is not None:
            return known
        if command.command in ("input", "resize"):  # keys wait for their turn, and go with the connection they came by
            return await self._do_once(command)
        under_way = self._under_way.get(command.command_id)
        if under_way is None:
            under_way = self._under_way[command.command_id] = trio.Event()
            self._nursery.start_soon(self._do_whole, command, under_way)
        await under_way.wait()
        ending = wire.ErrorBody(code="NOT_POSSIBLE", message="the runner is shutting down")
        unfinished = wire.Result(command_id=command.command_id, ok=False, error=ending)
        return self._results.get(command.command_id, unfinished)

    async def _do_whole(self, command: wire.Command, done: trio.Event) -> None:
        """Not cut in the middle where the connection is: half a decision would be known here and told to nobody."""
        try:
            await self._do_once(command)
        finally:
            del self._under_way[command.command_id]
            done.set()

    async def _do_once(self, command: wire.Command) -> wire.Result:
        error = None
        try:
            await self._do(command)
        except (NotPossible, ContractError, git.GitError, OSError) as trouble:
            error = wire.ErrorBody(code="NOT_POSSIBLE", message=str(trouble))
        except KeyError as unknown:
            error = wire.ErrorBody(code="NOT_POSSIBLE", message=f"no such approval or session: {unknown}")
        except Exception as failure:  # one command's trouble is not the runner's
            log.error("command_failed", command=command.command, reason=repr(failure))
            error = wire.ErrorBody(code="INTERNAL", message=f"the runner failed over it: {type(failure).__name__}")
        result = wire.Result(command_id=command.command_id, ok=error is None, error=error)
        self._results[command.command_id] = result
        while len(self._results) > RESULTS_KEPT:
            del self._results[next(iter(self._results))]
        return result

    async def _do(self, command: wire.Command) -> None:
        match command.command:
            case "start":
                if command.config is None:
                    raise ContractError("config", "is required")
                await self._start(command.config)
            case "drain":
                self._draining = True
            case _:
                await self._drive(self._session(command), command)

    async def _drive(self, session: Session, command: wire.Command) -> None:
        match command.command:
            case "input":
                await session.type((command.data or "") + ("\r" if command.mode == "line" else ""))
            case "resize":
                session.resize(command.cols or 80, command.rows or 24)
            case "stop":
                await session.stop(graceful=command.graceful is not False)
            case "pause":
                await session.pause()
            case "resume":
                await session.resume()
            case "approve" if command.approval_id and command.decision:
                await session.approvals.decide(command.approval_id, command.decision, command.resolved_by, command.note)
            case _:
                raise ContractError("command", f"{command.command} lacks what it needs")

    def _session(self, command: wire.Command) -> Session:
        session = self.sessions.get(command.session_id or "")
        if session is None:
            raise NotPossible(f"there is no live session {command.session_id} on this runner")
        return session

    async def _start(self, config: SessionConfig) -> None:
        self._check_not_draining()
        if len(self.sessions) >= self._max_sessions:
            raise NotPossible(f"this runner has {len(self.sessions)} of {self._max_sessions} sessions")
        if config.session_id in self.sessions:
            return
        if any(known.session_id == config.session_id for known in await trio.to_thread.run_sync(self._spool.sessions)):
            raise NotPossible(f"session {config.session_id} has ended on this runner; it is not run a second time")
        directory = await workspace.prepare(config, self._directory)
        self._check_not_draining()  # it may have begun meanwhile
        self.start(
            Plan(
                session_id=config.session_id,
                village=config.org_id,
                command=command_line(config),
                directory=directory,
                provider=config.provider_id,
                agent_id=config.agent_id,
                agent_name=config.agent_name,
                room_path=config.room_path,
                env=config.env,
            )
        )

    def _check_not_draining(self) -> None:
        if self._draining:
            raise NotPossible("this runner is draining and takes no new sessions")

    async def _asked(self, session_id: str, request: dict[str, Any]) -> dict[str, Any]:
        """`townwatch ask`, `alert` and `usage`, from inside a session."""
        session = self.sessions.get(session_id)
        if session is None:
            raise ContractError("session", "has ended")
        match request.get("action"):
            case "ask":
                return await session.approvals.ask(request)
            case "alert":
                await session.alert(request)
            case "usage":
                await session.used(request)
            case other:
                raise ContractError("action", f"{other!r} is none of ask, alert, usage")
        return {"ok": True}


def _in_slot(identity: Identity, slot: str) -> Identity:
    """The main slot is the machine's runner; one beside it is told apart by its slot: ``r1.run-2``."""
    return identity if slot == "main" else attrs.evolve(identity, runner_id=f"{identity.runner_id}.{slot}")


def command_line(config: SessionConfig) -> list[str]:
    """What to run for a provider. Raises `ContractError` where that is not on this machine."""
    if config.provider_id == "command":
        if not config.command:
            raise ContractError("config.command", "is required for the provider command")
        return config.command
    program = shutil.which(PROVIDERS[config.provider_id])
    if program is None:
        raise ContractError("config.providerId", f"{PROVIDERS[config.provider_id]} is not installed on this machine")
    return [program, *(config.command or [f"{config.task.title}\n\n{config.task.goal}"])]


@asynccontextmanager
async def open_runner(
    identity: Identity,
    state_dir: Path,
    *,
    slot: str | None = None,
    dispatch: bool = True,
    max_sessions: int = DEFAULT_SESSIONS,
    spool_bytes: int = DEFAULT_LIMIT_BYTES,
) -> AsyncGenerator[Runner, None]:
    """A runner at work. Leaving the block ends its sessions truly; what the service has not, the spool keeps.

    Raises `SlotTaken`.
    """
    name, directory, lock = await trio.to_thread.run_sync(take_slot, state_dir, slot)
    spool = await trio.to_thread.run_sync(Spool, directory / "spool.db", spool_bytes)
    try:
        async with trio.open_nursery() as services, trio.open_nursery() as sessions:
            most = max_sessions if dispatch else 0
            runner = Runner(_in_slot(identity, name), spool, sessions, directory=directory, max_sessions=most)
            runner.link.renew = lambda: _in_slot(load(state_dir), name)
            await services.start(runner.asks.run)
            services.start_soon(runner.recorder.run)
            await runner.report_lost()
            services.start_soon(runner.link.run)
            try:
                yield runner
            finally:
                with trio.CancelScope(shield=True), trio.move_on_after(30):
                    await runner.stop_all()
                    sessions.cancel_scope.cancel()
                    for session in list(runner.sessions.values()):
                        await session.over.wait()
                    await runner.sent_all(GOODBYE_SECONDS if runner.link.online else NOBODY_SECONDS)
                services.cancel_scope.cancel()
    finally:
        spool.close()
        os.close(lock)


def _end_leftovers(left: SpoolSession) -> None:
    """Kill what a killed runner left running, if it is certain that it is that session's."""
    for process in psutil.process_iter():
        try:
            if process.environ().get("TOWNWATCH_SESSION") == left.session_id:
                process.kill()
        except (psutil.Error, OSError):
            continue

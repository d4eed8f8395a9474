"""A runner: its spool, its link and its sessions; started by the daemon, by `townwatch run` and by the demo alike."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Sequence
from functools import cached_property, partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import attrs
import structlog
import trio

from townwatch import __version__
from townwatch.contracts import link as wire
from townwatch.contracts.codec import ContractError, to_json_values
from townwatch.contracts.events import FINAL_STATES, UsageMetrics
from townwatch.contracts.tasks import SessionConfig
from townwatch.runner import dispatch
from townwatch.runner.account import Account, acting
from townwatch.runner.allowances import AllowanceShelf
from townwatch.runner.identity import Identity
from townwatch.runner.link.link import Link, held
from townwatch.runner.observers.git import GitError
from townwatch.runner.observers.observers import Shared
from townwatch.runner.observers.process_watch import ProcessWatch
from townwatch.runner.observers.trees import Trees
from townwatch.runner.policies import PolicyShelf
from townwatch.runner.session import worktrees
from townwatch.runner.session.agent_socket import SESSION_VARIABLE, AskServer
from townwatch.runner.session.answering import Answer
from townwatch.runner.session.approvals import SESSION_END
from townwatch.runner.session.lifecycle import NotPossible
from townwatch.runner.session.plan import SessionSpec
from townwatch.runner.session.processes import ProcessTable, kill_marked
from townwatch.runner.session.rules import SessionRules
from townwatch.runner.session.session import GRACE_SECONDS, Session
from townwatch.runner.session.system import cgroups
from townwatch.runner.spool.recorder import Recorder, now_ms
from townwatch.runner.spool.spool import Spool, SpoolSession

if TYPE_CHECKING:
    from townwatch.contracts.landing import LandReport, LandStatus
    from townwatch.contracts.lists import Conversations, SessionDiff
    from townwatch.runner.agents.discovery import Discovery
    from townwatch.runner.agents.http import AgentHttp
    from townwatch.runner.landing.landing import Landing

log = structlog.get_logger("runner")
AGENT_FILES = "agents"
"""What sessions of agents need while they run: below a slot's directory, or in the home of `run_as`."""
LOST = "runner process lost"
SHUTTING_DOWN = "runner shutting down"
STOP_SECONDS = 2.0
"""How long a session has, beyond its command's grace, to be read to its end."""
RESULTS_KEPT = 1000


class Runner:
    """Opened by `opening.open_runner`. `start` begins a session; `stop_all` ends them."""

    def __init__(
        self,
        identity: Identity,
        spool: Spool,
        nursery: trio.Nursery,
        *,
        directory: Path,
        max_sessions: int,
        own_directories: Sequence[Path] = (),
        account: Account | None = None,
        policies: PolicyShelf | None = None,
    ) -> None:
        """`own_directories`: where files of ours are, which no session is told of. `account`: the user that sessions
        are executed as; None: this process's own.
        """
        self.identity = identity
        self.account = account
        self.sessions: dict[str, Session] = {}
        self.told = False
        """Whether the service has had everything, known when the runner has ended."""
        self._spool = spool
        self._nursery = nursery
        self._directory = directory
        self._max_sessions = max_sessions
        self._draining = False
        self._preparing = trio.Lock()
        self._results: dict[str, wire.Result] = {}
        self._under_way: dict[str, trio.Event] = {}
        self.policies = policies or PolicyShelf(directory)
        self.allowances = AllowanceShelf()
        self.link = Link(self.identity, self._hello, spool, self._handle, self._take_rules, self._counted)
        self._to_count: set[str] = set()
        self._counting = trio.Lock()
        self.link.open_questions = self._open_questions
        self.recorder = Recorder(spool, self.link.wake)
        self.asks = AskServer(self._asked)
        self.shared = Shared(Trees(own_directories), ProcessWatch(ProcessTable()))
        self.hears_agents = False  # whether the port for agents is open

    @cached_property
    def agent_http(self) -> AgentHttp:
        """The port for agents' hooks; a runner that has no agents does without."""
        from townwatch.runner.agents.http import AgentHttp

        return AgentHttp()

    @cached_property
    def landing(self) -> Landing:
        """Return what commits, pushes and merges for people."""
        from townwatch.runner.landing.landing import Landing

        records, policy = self._directory, self.policies.of
        return Landing(self.sessions, records, self.account, policy, self._nursery, self._preparing, self._say_late)

    def _say_late(self, result: wire.Result) -> None:
        """Answer a command again, which was answered before what it was about was over."""
        self._results[result.command_id] = result
        self.link.late.add(result)

    @cached_property
    def discovery(self) -> Discovery:
        """Return what knows the agents on this machine; only a runner that takes orders asks."""
        from townwatch.runner.agents.discovery import Discovery

        return Discovery()

    # --- sessions ---------------------------------------------------------------------------------------------------

    @property
    def agent_files(self) -> Path:
        """The directory of what sessions of agents need while they run: the session's user's."""
        if self.account is None:
            return self._directory / AGENT_FILES
        return self.account.home / ".townwatch" / AGENT_FILES / self.identity.runner_id

    def start(self, plan: SessionSpec, prepare: Callable[[Session], None] = lambda _session: None) -> Session:
        """Begin a session; it runs in the runner's nursery until its command ends."""
        plan = attrs.evolve(plan, account=self.account)
        rules = SessionRules(plan, self.policies.of)
        leases = partial(self.allowances.of, plan.session_id)
        env = self.asks.environment(plan.session_id)
        plain = dispatch.plain_telemetry(plan, self.agent_http, env) if self.hears_agents else None
        session = Session(plan, self.recorder, env, self.shared, rules, leases)
        if plan.adapter is not None:
            session.agent = dispatch.host_for(session, self.agent_files, self.agent_http)
        elif plain is not None:
            plain(session)
        prepare(session)
        self.sessions[plan.session_id] = session
        self._nursery.start_soon(self._run, session, name=f"session {plan.session_id}")
        return session

    async def _run(self, session: Session) -> None:
        acting.set(self.account)  # of this task, and of those that it starts
        try:
            await session.run()
        except Exception as error:  # one session's trouble is not the others'; it has told its own end
            log.error("session_failed", session=session.plan.session_id, reason=f"{type(error).__name__}: {error}")
        finally:
            self.sessions.pop(session.plan.session_id, None)
            self.asks.forget(session.plan.session_id)
            if self.hears_agents:
                self.agent_http.forget(session.plan.session_id)
            self.allowances.forget(session.plan.session_id)
            session.over.set()

    async def _take_rules(self, found: wire.Policies | wire.Allowances) -> None:
        if isinstance(found, wire.Policies):
            await self.policies.replace(found)
        else:
            self._to_count |= set(self.allowances.replace(found))
        for session in self.sessions.values():
            session.budget.wake()

    async def _counted(self) -> dict[str, int]:
        """Session → the event by which all is told that it used before its allowance became smaller."""
        async with self._counting:
            for session_id in list(self._to_count):
                if session_id in self.sessions:
                    await self.sessions[session_id].say_usage()
                self._to_count.discard(session_id)
            await self.recorder.settle()
            known = await trio.to_thread.run_sync(self._spool.sessions)
            return {one.session_id: one.last_seq for one in known if one.session_id in self.sessions}

    async def report_lost(self) -> None:
        """Sessions whose runner process was killed: end what is left of them, and say truly what happened."""
        for left in self._spool.sessions():
            if left.live and left.session_id not in self.sessions:
                await trio.to_thread.run_sync(kill_marked, left.session_id)
                if self.account is not None:
                    await self.account.kill_marked(SESSION_VARIABLE, left.session_id)
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
        """Every session is asked to end, and read to its last line, within a time. None begins any more."""
        self._draining = True
        with trio.move_on_after(GRACE_SECONDS + STOP_SECONDS):
            async with trio.open_nursery() as nursery:
                for session in list(self.sessions.values()):
                    nursery.start_soon(partial(session.stop, reason=SHUTTING_DOWN))

    async def sent_all(self, seconds: float) -> bool:
        """Return whether the service had everything within the time. What it has not stays in the spool."""
        with trio.move_on_after(seconds):
            await self.recorder.settle()
            while (await trio.to_thread.run_sync(self._spool.size))[0]:  # noqa: ASYNC110 - only at the very end
                await trio.sleep(0.02)
            return True
        return False

    # --- the service's side -----------------------------------------------------------------------------------------

    def _open_questions(self) -> list[wire.OpenQuestions]:
        waiting = {key: session.approvals.waiting() for key, session in self.sessions.items()}
        return [wire.OpenQuestions(session_id=key, approvals=asked) for key, asked in waiting.items() if asked]

    def _hello(self) -> wire.Hello:
        acting.set(self.account)  # of this worker thread, which looks for the agents
        env = os.environ if self.account is None else self.account.environment()
        agents = self.discovery.agents(env) if self._max_sessions else []
        return wire.Hello(
            runner_id=self.identity.runner_id,
            name=self.identity.name,
            version=__version__,
            capabilities=wire.Capabilities(
                providers=["command", "acp", *(agent.provider_id for agent in agents)],
                max_concurrent_sessions=self._max_sessions,
                features=dispatch.FEATURES if cgroups.usable() is None else [*dispatch.FEATURES, cgroups.FEATURE],
                agents=agents,
            ),
            provider_versions={agent.provider_id: agent.version for agent in agents if agent.version},
            clock=time.time() * 1000,
            sessions=held(self._spool),
        )

    async def _handle(self, command: wire.Command) -> wire.Result:
        """Do it once: a command that was done is answered as it was, not done again. A question is answered anew."""
        if command.command in ("diff", "land_status", "conversations"):
            acting.set(self.account)
            return await self._answered(command)
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
        """Do it whole, also when the connection ends: half a decision would be known here only."""
        acting.set(self.account)
        try:
            await self._do_once(command)
        finally:
            del self._under_way[command.command_id]
            done.set()

    async def _do_once(self, command: wire.Command) -> wire.Result:
        result = self._results[command.command_id] = await self._answered(command)
        while len(self._results) > RESULTS_KEPT:
            del self._results[next(iter(self._results))]
        return result

    async def _answered(self, command: wire.Command) -> wire.Result:
        """Do a command and say what became of it."""
        error = data = None
        try:
            data = await self._do(command)
        except NotPossible as trouble:
            error = wire.ErrorBody(code=trouble.code, message=str(trouble), details=to_json_values(trouble.details))
        except (ContractError, GitError, OSError) as trouble:
            error = wire.ErrorBody(code="NOT_POSSIBLE", message=str(trouble))
        except KeyError as unknown:
            error = wire.ErrorBody(code="NOT_POSSIBLE", message=f"no such approval or session: {unknown}")
        except Exception as failure:  # one command's trouble is not the runner's
            log.error("command_failed", command=command.command, reason=repr(failure))
            error = wire.ErrorBody(code="INTERNAL", message=f"the runner failed over it: {type(failure).__name__}")
        return wire.Result(command_id=command.command_id, ok=error is None, error=error, data=to_json_values(data))

    async def _do(self, command: wire.Command) -> SessionDiff | Conversations | LandReport | LandStatus | None:
        """Return what was asked for; None where something was to be done."""
        match command.command:
            case "start":
                if command.config is None:
                    raise ContractError("config", "is required")
                await self._start(command.config, command.traceparent)
            case "drain":
                self._draining = True
            case "diff":
                return await self._session(command).changes(command.path)
            case "conversations":
                return await dispatch.conversations(self.account)
            case "clean_worktree":
                await self.landing.clean_tree(command.session_id or "", discard=command.discard is True)
            case "land":
                return await self.landing.do(command)
            case "land_status":
                return await self.landing.status(command.session_id or "")
            case _:
                await self._drive(self._session(command), command)
        return None

    async def _drive(self, session: Session, command: wire.Command) -> None:
        match command.command:
            case "input":
                if session.agent is not None:
                    session.agent.check_text((command.data or "") + ("\r" if command.mode == "line" else ""))
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
                stop = command.stop is True
                more = Answer(
                    decision=command.decision,
                    option_id=command.option_id,
                    answers=command.answers,
                    updated_input=command.updated_input,
                )
                await session.approvals.decide(
                    command.approval_id, command.decision, command.resolved_by, command.note, stop=stop, answer=more
                )
            case "prompt" if command.prompt_id and (command.data or command.mode == "interrupt"):
                mode = command.mode if command.mode in ("send", "queue", "interrupt") else "send"
                await dispatch.agent_of(session).prompt(command.prompt_id, command.data or "", mode, command.by)
            case "withdraw_prompt" if command.prompt_id:
                await dispatch.agent_of(session).prompts.withdraw(command.prompt_id)
            case _:
                raise ContractError("command", f"{command.command} lacks what it needs")

    def _session(self, command: wire.Command) -> Session:
        session = self.sessions.get(command.session_id or "")
        if session is None:
            raise NotPossible(f"there is no live session {command.session_id} on this runner")
        return session

    async def _start(self, config: SessionConfig, traceparent: str | None) -> None:
        self._check_not_draining()
        if len(self.sessions) >= self._max_sessions:
            raise NotPossible(f"this runner has {len(self.sessions)} of {self._max_sessions} sessions")
        if config.session_id in self.sessions:
            return
        if any(known.session_id == config.session_id for known in await trio.to_thread.run_sync(self._spool.sessions)):
            raise NotPossible(f"session {config.session_id} has ended on this runner; it is not run a second time")
        async with self._preparing:  # of two orders for one branch, the second finds the first one's session in it
            dispatch.check_not_twice(config, [one.plan for one in self.sessions.values()])
            busy = {one.plan.tree.path for one in self.sessions.values() if one.plan.tree is not None}
            plan = await dispatch.plan_for(config, self._directory, self.account, busy, traceparent)
            try:
                self._check_not_draining()  # it may have begun meanwhile
            except NotPossible:
                if plan.tree is not None:
                    await worktrees.clean_at_end(plan.tree)
                raise
            self.start(plan)

    def _check_not_draining(self) -> None:
        if self._draining:
            raise NotPossible("this runner is draining and takes no new sessions")

    async def _asked(self, session_id: str, request: dict[str, Any]) -> dict[str, Any]:
        """`townwatch ask`, `alert` and `usage`, from inside a session."""
        session = self.sessions.get(session_id)
        if session is None:
            raise ContractError("session", "has ended")
        return await dispatch.answer_process(session, request)

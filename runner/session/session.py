"""One session: a command in a terminal next to a repository, and everything that is told about it."""

from __future__ import annotations

import signal
import time
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, cast

import trio

from townwatch.contracts import agent_events
from townwatch.contracts.codec import ContractError
from townwatch.contracts.events import UsageMetrics
from townwatch.runner.account import inherited
from townwatch.runner.observers.observers import NotChanged, ObservedSession, Observers, Shared
from townwatch.runner.session import place, requests, worktrees
from townwatch.runner.session.approvals import Approvals
from townwatch.runner.session.budgets.guard import guard_of
from townwatch.runner.session.budgets.shares import Leases, no_leases
from townwatch.runner.session.environment import TRACEPARENT, session_environment
from townwatch.runner.session.events import SessionEvents
from townwatch.runner.session.lifecycle import AdapterOff, NothingToShow, NotPossible
from townwatch.runner.session.output import SessionOutput
from townwatch.runner.session.plan import SessionSpec
from townwatch.runner.session.redact import Redactor, secrets_of
from townwatch.runner.session.rules import SessionRules
from townwatch.runner.session.terminal import POLL_SECONDS, CannotStart, CommandExit, Terminal
from townwatch.runner.spool.recorder import Recorder

if TYPE_CHECKING:
    from townwatch.contracts.lists import SessionDiff
    from townwatch.runner.agents.host import AgentHost

GRACE_SECONDS = 10.0
"""How long a command has to end after SIGTERM, before SIGKILL."""
DENY_GRACE_SECONDS = 1.0
"""How long an asker that was denied has to say so, before its session is stopped."""
USAGE_SECONDS = 30.0
LINGER_SECONDS = 0.5
"""How long to read on after the command ended: what it started in the background may still hold the terminal."""


class _StoppedEarly(Exception):
    """It was stopped before its command began."""


class Session:
    """`run` it in a nursery; everything else may be called while it runs."""

    def __init__(
        self,
        plan: SessionSpec,
        recorder: Recorder,
        environment: Mapping[str, str],
        shared: Shared,
        rules: SessionRules | None = None,
        leases: Leases = no_leases,
    ) -> None:
        """`environment`: what its processes need to reach us (see asks). `shared`: what this runner's sessions observe
        together. `rules`: for each question before a person is asked. `leases`: of budgets that it shares with others.
        """
        self.plan = plan
        own = session_environment(plan.own_terminal, inherited(plan.account), plan.directory)
        self._env = {**own, **plan.env, **environment}
        redactor = Redactor(secrets_of(self._env))
        self.events = SessionEvents(plan, recorder, redactor)
        self.lifecycle, self.usage = self.events.lifecycle, self.events.usage
        self.output = SessionOutput(plan, self.events, redactor)
        self.approvals = Approvals(plan, self.events, self.stop_soon, rules)
        self.budget = guard_of(self, plan, rules, leases)
        self.local_size = False
        """Whether the local screen alone says how large the terminal is."""
        self.agent: AgentHost | None = None
        """Beside a command that is an agent's CLI."""
        self.exit: CommandExit | None = None
        self._recorder, self._shared = recorder, shared
        self._terminal: Terminal | None = None
        self._started_ns = 0
        self._began = time.monotonic()
        self._stop_reason: str | None = None
        self._stop_asked, self._kill_asked, self._gone = trio.Event(), trio.Event(), trio.Event()
        self._stop_soon_asked, self._stop_soon_reason = trio.Event(), cast(str | None, None)
        self._observers: Observers | None = None
        self._place = place.SessionPlace()
        self._start_error: CannotStart | None = None
        self.started = trio.Event()
        """Set when there is a terminal to type into."""
        self.over = trio.Event()
        """Set when nothing is left to be told."""

    # --- its life ---------------------------------------------------------------------------------------------------

    async def run(self) -> CommandExit:
        """Run it from CREATED to COMPLETED or FAILED; ends with SESSION_ENDED, also when it is cancelled."""
        ended = CommandExit(code=1)
        reason = ""
        try:
            await self._prepare()
            ended = await self._live()
            reason = self._stop_reason or self._why_not_started() or ended.reason
        except CannotStart as error:
            ended, reason = CommandExit(code=error.code), f"could not start: {error}"
        except _StoppedEarly:
            ended, reason = CommandExit(signal=signal.SIGTERM), self._stop_reason or ""
        except Exception as error:
            reason = f"the runner failed: {type(error).__name__}"
            raise
        except BaseException:  # cancelled; nurseries bring it as a group
            self._stop_reason = reason = "runner shutting down"
            raise
        finally:
            with trio.CancelScope(shield=True), trio.move_on_after(GRACE_SECONDS + 5):
                await self._finish(ended, reason)
        return ended

    async def _prepare(self) -> None:
        plan = self.plan
        spool = self._recorder.spool
        started = time.time_ns() // 1_000_000
        await trio.to_thread.run_sync(
            lambda: spool.open_session(
                plan.session_id, village=plan.village, provider=plan.provider, started_ms=started
            )
        )
        await self.events.become("PREPARING_WORKSPACE")
        if not await trio.Path(plan.directory).is_dir():
            raise CannotStart(f"the directory {plan.directory} is not there")
        if plan.account is not None and not await plan.account.may_enter(plan.directory):
            raise CannotStart(f"the user {plan.account.name} may not enter the directory {plan.directory}")
        self._place = await place.look(plan.directory)
        if self.approvals.rules is not None:
            self.approvals.rules.know(self._place, lambda: self.events.work_seen)

    async def _start(self) -> Terminal:
        plan, spool = self.plan, self._recorder.spool
        self._go_on_unless_stopped()
        await self.events.become("STARTING_PROVIDER")
        command, env = plan.command, self._env
        if self.agent is not None:
            command, env = self.agent.prepared.command, self.agent.environment
        self._started_ns = time.time_ns()
        self._terminal = terminal = await Terminal.start(
            command, cwd=plan.directory, env=env, cols=plan.cols, rows=plan.rows, stdin=plan.stdin,
            account=plan.account, session_id=plan.session_id,
        )  # fmt: skip
        terminal.on_bytes = self.output.screen
        self._shared.processes.table.add(plan.session_id, terminal.pid)
        terminal.find = lambda: list(self._shared.processes.table.members(plan.session_id, POLL_SECONDS))
        self.started.set()
        await trio.to_thread.run_sync(lambda: spool.note(plan.session_id, pid=terminal.pid))
        await self._say_started()
        if self._stop_reason is None:  # a stop that came meanwhile ends it as soon as it lives
            await self.events.become("RUNNING")
            if self.lifecycle.waiting:
                await self.events.become("WAITING_FOR_APPROVAL")
        return terminal

    async def _begin_agent(self, nursery: trio.Nursery) -> None:
        if self.agent is not None:
            self._go_on_unless_stopped()
            try:
                await nursery.start(self.agent.run)
            except (ContractError, AdapterOff) as error:
                raise CannotStart(str(error)) from None

    def _go_on_unless_stopped(self) -> None:
        if self._stop_reason is not None:
            raise _StoppedEarly

    def _why_not_started(self) -> str | None:
        return f"could not start: {self._start_error}" if self._start_error is not None else None

    async def _say_started(self) -> None:
        plan = self.plan
        await self.events.tell(
            "SESSION_STARTED",
            providerId=plan.provider,
            providerVersion=plan.provider_version,
            workspacePath=str(plan.directory),
            roomPath=plan.room_path,
            repoRef=self._place.repo_ref,
            agentId=plan.agent_id, agentName=plan.agent_name,
            traceparent=self._env.get(TRACEPARENT),
        )  # fmt: skip
        if plan.tree is not None:
            await self.events.provider(plan.tree.event("made"))
        if plan.order is not None and plan.order.resume_of is not None:
            await self.events.provider(agent_events.CliSession(resume_of=plan.order.resume_of))

    async def _live(self) -> CommandExit:
        """Everything that goes on while the command runs. Its observers begin after it, and it waits for none."""
        async with trio.open_nursery() as nursery:
            try:
                await self._begin_agent(nursery)
                terminal = await self._start()
            except (CannotStart, _StoppedEarly) as error:
                if isinstance(error, CannotStart):
                    self._start_error = error
                    return CommandExit(code=error.code)
                return CommandExit(signal=signal.SIGTERM)
            pumped = trio.Event()
            nursery.start_soon(self.output.pump, terminal, pumped)
            for beside in (self._tick, self.budget.run, self.approvals.tell_trouble_with_rules):
                nursery.start_soon(beside)
            nursery.start_soon(self._end_when_asked, terminal)
            nursery.start_soon(self._stop_when_denied)
            self._observers = observers = Observers(self.events, self._subject(), self._shared)
            self.output.observed = observers.output
            nursery.start_soon(observers.run, terminal.pid)
            ended = await terminal.wait()
            await self._read_out(terminal, pumped)
            if self.agent is not None:
                await self.agent.finish()
            await observers.finish(ended.shell_code)
            nursery.cancel_scope.cancel()
        return ended

    def _subject(self) -> ObservedSession:
        plan, found = self.plan, self._place
        return ObservedSession(
            session_id=plan.session_id, provider=plan.provider, directory=plan.directory, command=plan.command,
            repository=found.repository, commit=found.commit, started_ns=self._started_ns,
            told_by_agent=lambda: self.agent is not None and self.agent.sees_commands,
        )  # fmt: skip

    async def _read_out(self, terminal: Terminal, pumped: trio.Event) -> None:
        """All that the ended command had written, however slow the local screen is. What it left running in the
        background may hold the terminal for ever, and is read for a moment only.
        """
        while not pumped.is_set():
            with trio.move_on_after(LINGER_SECONDS):
                await pumped.wait()
            if terminal.idle or self._stop_reason or await trio.to_thread.run_sync(terminal.members):
                break

    async def _tick(self) -> None:
        while True:
            await trio.sleep(USAGE_SECONDS)
            await self.say_usage()

    async def say_usage(self) -> None:
        """Tell what was used since it was told last."""
        units, interval_ms = self.usage.take()
        if self.agent is not None:
            units = self.agent.usage(units)
        await self.events.tell("USAGE_TICK", providerId=self.plan.provider, units=units, intervalMs=interval_ms)

    async def _finish(self, ended: CommandExit, reason: str) -> None:
        """The command and all it started are gone, every waiting asker has a no, and the end is told truly."""
        if self._terminal is not None:
            if self._stop_reason == "runner shutting down":
                await self._terminal.end(GRACE_SECONDS)
                ended = await self._terminal.wait()
            await self._terminal.end(0)
            self._terminal.close()
            if left := self._terminal.left_running():
                reason = f"{reason}; still running: {left}" if reason else f"still running: {left}"
            self._shared.processes.table.forget(self.plan.session_id)
        self._gone.set()
        self.exit = ended
        if self.agent is not None:
            await self.agent.close()
        await self.approvals.deny_all("the session ended")
        if self.plan.tree is not None and self._stop_reason != "runner shutting down":
            await self.events.provider(await worktrees.clean_at_end(self.plan.tree))
        stopped = self._stop_reason is not None
        ok = ended.ok or (stopped and self._stop_reason != "runner shutting down")
        for state in self.lifecycle.path_to_end(ok):
            await self.events.become(state, reason)
        if self._terminal is not None:
            await self.say_usage()
        await self.events.tell(
            "SESSION_ENDED",
            finalState=self.lifecycle.state,
            exitCode=ended.shell_code,
            reason=reason,
            totalDurationMs=int((time.monotonic() - self._began) * 1000),
            totalUsage=self._total_usage,
        )
        await self._recorder.settle()

    @property
    def pid(self) -> int | None:
        return None if self._terminal is None else self._terminal.pid

    @property
    def _total_usage(self) -> UsageMetrics:
        total = self.usage.total
        return total if self.agent is None else self.agent.total_usage(total)

    async def alert(self, request: dict[str, Any]) -> None:
        """`townwatch alert`. Raises `ContractError`."""
        await self.events.tell("ALERT_RAISED", **requests.alert(request, self.plan, self.events.clean))

    async def used(self, request: dict[str, Any]) -> None:
        """`townwatch usage`: tokens, told with the next tick, and at once where budgets are shared."""
        self.usage.tokens(*requests.tokens(request))
        if self.budget.shares.concerned:
            await self.say_usage()
            await self._recorder.settle()
        await self.budget.looked()

    async def changes(self, path: str | None) -> SessionDiff:
        """The text of what the session changed, of one file or of all. Raises `NotPossible`, `GitError`."""
        if self._observers is None:
            raise NothingToShow("the session's command has not begun")
        try:
            return await self._observers.text(path)
        except NotChanged as why:
            raise NothingToShow(str(why)) from None

    # --- what others want of it ---------------------------------------------------------------------------------------

    async def type(self, data: str) -> None:
        """Keys, as they are. Raises `NotPossible`."""
        await self.type_bytes(data.encode(errors="replace"))

    async def type_bytes(self, data: bytes) -> None:
        """Raises `NotPossible`."""
        if self._terminal is None or self.lifecycle.ended:
            raise NotPossible("the session has no terminal to type into")
        self.output.typed()
        await self._terminal.write(data)

    def resize(self, cols: int, rows: int) -> None:
        """A wish from afar: a terminal that is on a local screen keeps that screen's size."""
        if not self.local_size:
            self.fit(cols, rows)

    def fit(self, cols: int, rows: int) -> None:
        if self._terminal is not None:
            self._terminal.resize(cols, rows)

    def interrupt(self, number: int) -> None:
        """A signal as from the keyboard: to the foreground of the terminal."""
        if self._terminal is not None:
            self._terminal.interrupt(number)

    async def stop(self, *, graceful: bool = True, reason: str = "stopped by user") -> None:
        """End it: ask, then kill; a second stop that is not graceful kills now. Returns when its processes are gone.

        Who asked may go away meanwhile: the ending is the session's own task.
        """
        if self.lifecycle.ended:
            return
        if not graceful:
            self._kill_asked.set()
        if self._stop_reason is None:
            self._stop_reason = reason
            if self.lifecycle.state != "CREATED":
                await self.events.become("STOPPING", reason)
            self._stop_asked.set()
        await self._gone.wait()

    def stop_soon(self, reason: str) -> None:
        """A stop that leaves an asker that was denied the time to say so."""
        if self._stop_soon_reason is None:
            self._stop_soon_reason = reason
            self._stop_soon_asked.set()

    async def _stop_when_denied(self) -> None:
        await self._stop_soon_asked.wait()
        await trio.sleep(DENY_GRACE_SECONDS)
        await self.stop(reason=self._stop_soon_reason or "")

    async def _end_when_asked(self, terminal: Terminal) -> None:
        await self._stop_asked.wait()
        async with trio.open_nursery() as nursery:
            nursery.start_soon(self._kill_when_asked, terminal)
            await terminal.end(GRACE_SECONDS)
            nursery.cancel_scope.cancel()

    async def _kill_when_asked(self, terminal: Terminal) -> None:
        await self._kill_asked.wait()
        terminal.signal(signal.SIGKILL)

    async def pause(self, reason: str = "paused by a person") -> None:
        """Stop the clock for every process of it. Raises `NotPossible`."""
        await self.events.become("PAUSED_BY_HUMAN", reason)
        self.usage.pause()
        if self._terminal is not None:
            await self._terminal.halt(lambda: self.lifecycle.state == "PAUSED_BY_HUMAN")

    async def resume(self) -> None:
        """Let it go on, as a person wants. Raises `NotPossible`."""
        if self.budget.used_up:
            raise NotPossible("its budget is used up: answer its question, more or stop")
        await self.go_on("resumed by a person")

    async def go_on(self, reason: str) -> None:
        """Let a paused session go on. Raises `NotPossible`."""
        if self.lifecycle.state != "PAUSED_BY_HUMAN":
            raise NotPossible("the session is not paused")
        self.usage.resume()
        if self._terminal is not None:
            self._terminal.signal(signal.SIGCONT)
        await self.events.become("RUNNING", reason)
        if self.lifecycle.waiting:
            await self.events.become("WAITING_FOR_APPROVAL")

"""One session: a command in a terminal next to a repository, and everything that is told about it."""

import signal
import time
import uuid
from collections.abc import Awaitable, Callable, Mapping
from pathlib import Path
from typing import Any, cast

import attrs
import structlog
import trio

from contracts.codec import ContractError, encode
from contracts.events import DiffFile, RepoRef, State, UsageMetrics, decode_event
from runner import git
from runner.approvals import Approvals
from runner.lifecycle import Lifecycle, NotPossible
from runner.recorder import Recorder
from runner.redact import Redactor, secrets_of
from runner.size import SizeReport
from runner.terminal import CannotStart, Exit, Terminal, terminal_environment
from runner.usage import UsageMeter
from runner.watchers import TestWatch, watch_diff, watch_files, watch_processes

log = structlog.get_logger("session")

GRACE_SECONDS = 10.0
"""How long a command has to end after SIGTERM, before SIGKILL."""
DENY_GRACE_SECONDS = 1.0
"""How long an asker that was denied has to say so, before its session is stopped."""
USAGE_SECONDS = 30.0
HOLD_SECONDS = 0.3
"""How long output that may be the beginning of a secret is held back."""
LINGER_SECONDS = 0.5
"""How long to read on after the command ended: what it started in the background may still hold the terminal."""


@attrs.frozen(kw_only=True)
class Plan:
    """What to run, and where."""

    session_id: str
    village: str
    command: list[str]
    directory: Path
    provider: str = "command"
    provider_version: str = ""
    agent_id: str | None = None
    agent_name: str | None = None
    room_path: str | None = None
    env: Mapping[str, str] = attrs.field(factory=dict[str, str])
    cols: int = 80
    rows: int = 24
    stdin: int | None = None
    """A descriptor that the command reads from instead of its terminal: what was piped into `townwatch run`."""


class _StoppedEarly(Exception):
    """It was stopped before its command began."""


class Session:
    """`run` it in a nursery; everything else may be called while it runs."""

    def __init__(self, plan: Plan, recorder: Recorder, environment: Mapping[str, str]) -> None:
        """`environment`: what the session's processes need to reach us (see asks)."""
        self.plan = plan
        self.lifecycle = Lifecycle()
        self.usage = UsageMeter()
        self.approvals = Approvals(self)
        self.on_output: Callable[[bytes], Awaitable[None]] | None = None
        """The local screen: every byte at once, as it is, before anything else happens with it."""
        self.local_size = False
        """Whether the local screen alone says how large the terminal is."""
        self.exit: Exit | None = None
        self._recorder = recorder
        self._env = {**terminal_environment(), **plan.env, **environment}
        self._redactor = Redactor(secrets_of(self._env))
        self._terminal: Terminal | None = None
        self._began = time.monotonic()
        self._stop_reason: str | None = None
        self._stopping = trio.Event()
        self._stop_asked, self._kill_asked, self._gone = trio.Event(), trio.Event(), trio.Event()
        self._stop_soon_asked, self._stop_soon_reason = trio.Event(), cast(str | None, None)
        self._tests = TestWatch(self)
        self._size = SizeReport(plan.cols, plan.rows)
        self._repo: RepoRef | None = None
        self._start_error: CannotStart | None = None
        self.tree_changed = trio.Event()
        self.tree_changed.set()
        self.last_diff: list[DiffFile] = []
        self.started = trio.Event()
        """Set when there is a terminal to type into."""
        self.over = trio.Event()
        """Set when nothing is left to be told."""

    # --- what it says -----------------------------------------------------------------------------------------------

    async def tell(self, kind: str, **fields: Any) -> None:
        """One event of this session."""
        await self._recorder.record(self.plan.session_id, self.plan.village, kind, **fields)

    async def become(self, state: State, reason: str | None = None) -> None:
        """Change the state and say so; nothing is said where it is there already. Raises `NotPossible`."""
        change = self.lifecycle.go(state)
        if change is None:
            return
        self.lifecycle.reason = reason
        await self.tell("SESSION_STATE_CHANGED", previousState=change[0], newState=change[1], reason=reason)

    def clean(self, value: Any) -> Any:
        """What goes on the wire (a text, or JSON data that holds texts) without secrets."""
        return self._redactor.clean_data(value)

    # --- its life ---------------------------------------------------------------------------------------------------

    async def run(self) -> Exit:
        """From CREATED to COMPLETED or FAILED; always ends with SESSION_ENDED, also when it is cancelled."""
        ended = Exit(code=1)
        reason = ""
        try:
            await self._prepare()
            ended = await self._live()
            reason = self._stop_reason or self._why_not_started() or ended.reason
        except CannotStart as error:
            ended, reason = Exit(code=127), f"could not start: {error}"
        except _StoppedEarly:
            ended, reason = Exit(signal=signal.SIGTERM), self._stop_reason or ""
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
        await self.become("PREPARING_WORKSPACE")
        if not await trio.Path(plan.directory).is_dir():
            raise CannotStart(f"the directory {plan.directory} is not there")
        self._repo = await git.repo_ref(plan.directory)

    async def _start(self) -> Terminal:
        plan, spool = self.plan, self._recorder.spool
        self._go_on_unless_stopped()
        await self.become("STARTING_PROVIDER")
        self._terminal = terminal = await Terminal.start(
            plan.command, cwd=plan.directory, env=self._env, cols=plan.cols, rows=plan.rows, stdin=plan.stdin
        )
        terminal.on_bytes = self.on_output
        self.started.set()
        await trio.to_thread.run_sync(lambda: spool.note(plan.session_id, pid=terminal.pid))
        await self._say_started()
        if self._stop_reason is None:  # a stop that came meanwhile ends it as soon as it lives
            await self.become("RUNNING")
            if self.lifecycle.waiting:
                await self.become("WAITING_FOR_APPROVAL")
        return terminal

    def _go_on_unless_stopped(self) -> None:
        if self._stop_reason is not None:
            raise _StoppedEarly

    def _why_not_started(self) -> str | None:
        return f"could not start: {self._start_error}" if self._start_error is not None else None

    async def _say_started(self) -> None:
        plan = self.plan
        await self.tell(
            "SESSION_STARTED",
            providerId=plan.provider,
            providerVersion=plan.provider_version,
            workspacePath=str(plan.directory),
            roomPath=plan.room_path,
            repoRef=self._repo,
            agentId=plan.agent_id,
            agentName=plan.agent_name,
        )

    async def _live(self) -> Exit:
        """Everything that goes on while the command runs. Who watches is there before who is watched."""
        top = await git.top_level(self.plan.directory)
        async with trio.open_nursery() as nursery:
            nursery.start_soon(watch_files, self, top or self.plan.directory, self._stopping, top is not None)
            try:
                terminal = await self._start()
            except (CannotStart, _StoppedEarly) as error:
                nursery.cancel_scope.cancel()
                self._start_error = error if isinstance(error, CannotStart) else None
                self._stopping.set()
                return Exit(code=127) if self._start_error is not None else Exit(signal=signal.SIGTERM)
            pumped = trio.Event()
            nursery.start_soon(self._pump, terminal, pumped)
            nursery.start_soon(self._tick)
            nursery.start_soon(self._size.run, self, self.plan.provider)
            nursery.start_soon(self._end_when_asked, terminal)
            nursery.start_soon(self._stop_when_denied)
            nursery.start_soon(watch_processes, self, terminal.pid, self._tests)
            if top is not None:
                nursery.start_soon(watch_diff, self, top)
            await self._tests.own_command(terminal.pid, self.plan.command)
            ended = await terminal.wait()
            await self._read_out(terminal, pumped)
            await self._tests.finish(ended)
            if top is not None:
                await watch_diff(self, top, once=True)
            self._stopping.set()
            nursery.cancel_scope.cancel()
        return ended

    async def _read_out(self, terminal: Terminal, pumped: trio.Event) -> None:
        """All that the ended command had written, however slow the local screen is. What it left running in the
        background may hold the terminal for ever, and is read for a moment only.
        """
        while not pumped.is_set():
            with trio.move_on_after(LINGER_SECONDS):
                await pumped.wait()
            if terminal.idle or self._stop_reason or await trio.to_thread.run_sync(terminal.members):
                break

    async def _pump(self, terminal: Terminal, pumped: trio.Event) -> None:
        """Output: to the local screen, then masked, then told. Never waits for the service."""
        async with trio.open_nursery() as nursery:
            heard = trio.Event()

            async def flush_held() -> None:
                nonlocal heard
                while True:
                    await heard.wait()
                    heard = trio.Event()
                    with trio.move_on_after(HOLD_SECONDS):
                        await heard.wait()
                        continue
                    await self._say_output(self._redactor.flush())

            nursery.start_soon(flush_held)
            async for text in terminal.output():
                self._tests.output(text)
                await self._say_output(self._redactor.feed(text))
                heard.set()
            await self._say_output(self._redactor.flush())
            nursery.cancel_scope.cancel()
        pumped.set()

    async def _say_output(self, text: str) -> None:
        if text:
            self.usage.terminal(len(text.encode(errors="replace")))
            await self.tell("TERMINAL_CHUNK", data=text, stream="stdout")

    async def _tick(self) -> None:
        while True:
            await trio.sleep(USAGE_SECONDS)
            await self._say_usage()

    async def _say_usage(self) -> None:
        units, interval_ms = self.usage.take()
        await self.tell("USAGE_TICK", providerId=self.plan.provider, units=units, intervalMs=interval_ms)

    async def _finish(self, ended: Exit, reason: str) -> None:
        """The command and all it started are gone, every waiting asker has a no, and the end is told truly."""
        if self._terminal is not None:
            if self._stop_reason == "runner shutting down":
                await self._terminal.end(GRACE_SECONDS)
                ended = await self._terminal.wait()
            await self._terminal.end(0)
            self._terminal.close()
        self._gone.set()
        self.exit = ended
        await self.approvals.deny_all("the session ended")
        stopped = self._stop_reason is not None
        ok = ended.ok or (stopped and self._stop_reason != "runner shutting down")
        for state in self.lifecycle.path_to_end(ok):
            await self.become(state, reason)
        if self._terminal is not None:
            await self._say_usage()
        await self.tell(
            "SESSION_ENDED",
            finalState=self.lifecycle.state,
            exitCode=ended.shell_code,
            reason=reason,
            totalDurationMs=int((time.monotonic() - self._began) * 1000),
            totalUsage=self.total_usage,
        )
        await self._recorder.settle()

    @property
    def total_usage(self) -> UsageMetrics:
        return self.usage.total

    async def alert(self, request: dict[str, Any]) -> None:
        """`townwatch alert`. Raises `ContractError`."""
        fields = {name: request.get(name) for name in ("severity", "category", "title", "description", "context")}
        fields = self.clean(fields)
        fields["alertId"] = request.get("alertId") or f"al_{uuid.uuid4().hex[:16]}"
        self._check("ALERT_RAISED", fields)
        await self.tell("ALERT_RAISED", **fields)

    async def used(self, request: dict[str, Any]) -> None:
        """`townwatch usage`: tokens, told with the next tick. Raises `ContractError`."""
        tokens = [request.get(name) or 0 for name in ("inputTokens", "outputTokens", "costUsd")]
        if not all(isinstance(n, int | float) and not isinstance(n, bool) and n >= 0 for n in tokens):
            raise ContractError("inputTokens", "inputTokens, outputTokens and costUsd must be numbers, 0 or more")
        self.usage.tokens(int(tokens[0]), int(tokens[1]), float(tokens[2]))

    def _check(self, kind: str, fields: Mapping[str, Any]) -> None:
        """Refuse here what the service would refuse later."""
        said = {name: value for name, value in fields.items() if value is not None}
        envelope = {"type": kind, "sessionId": self.plan.session_id, "orgId": self.plan.village, "ts": 0, "seq": 1}
        decode_event(encode({**envelope, **said}))

    # --- what others want of it ---------------------------------------------------------------------------------------

    async def type(self, data: str) -> None:
        """Keys, as they are. Raises `NotPossible`."""
        await self.type_bytes(data.encode(errors="replace"))

    async def type_bytes(self, data: bytes) -> None:
        """Raises `NotPossible`."""
        if self._terminal is None or self.lifecycle.ended:
            raise NotPossible("the session has no terminal to type into")
        await self._terminal.write(data)

    def resize(self, cols: int, rows: int) -> None:
        """A wish from afar: a terminal that is on a local screen keeps that screen's size."""
        if not self.local_size:
            self.fit(cols, rows)

    def fit(self, cols: int, rows: int) -> None:
        if self._terminal is not None:
            self._terminal.resize(cols, rows)
            self._size.now(cols, rows)

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
                await self.become("STOPPING", reason)
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

    async def pause(self) -> None:
        """Stop the clock for every process of it. Raises `NotPossible`."""
        await self.become("PAUSED_BY_HUMAN", "paused by a person")
        if self._terminal is not None:
            self._terminal.signal(signal.SIGSTOP)

    async def resume(self) -> None:
        """Raises `NotPossible`."""
        if self.lifecycle.state != "PAUSED_BY_HUMAN":
            raise NotPossible("the session is not paused")
        if self._terminal is not None:
            self._terminal.signal(signal.SIGCONT)
        await self.become("RUNNING", "resumed by a person")
        if self.lifecycle.waiting:
            await self.become("WAITING_FOR_APPROVAL")

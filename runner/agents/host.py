"""The agent side of a session: its adapter, what that may do, and what happens when it fails.

The observer never harms the observed: whatever goes wrong with an adapter, the session goes on as a plain terminal, and
one alert says why.
"""

import signal
from collections.abc import Mapping
from typing import Any, Literal, cast

import attrs
import structlog
import trio

from townwatch.contracts.codec import ContractError
from townwatch.contracts.events import UsageMetrics
from townwatch.contracts.keystrokes import is_text
from townwatch.runner.agents import events as a, shared_files
from townwatch.runner.agents.adapter import Adapter, AdapterOff, HttpHandler, Launch, Prepared, PromptMode
from townwatch.runner.agents.http import AgentHttp
from townwatch.runner.agents.port import SessionPort
from townwatch.runner.agents.prompts import Prompts
from townwatch.runner.agents.teller import Teller, cut_input
from townwatch.runner.session.lifecycle import NotPossible

log = structlog.get_logger("agents")

ADAPTER_ALERT = "agent:adapter"
TOKEN_VARIABLE = "TOWNWATCH_ASK_TOKEN"
MOST_QUESTIONS = 200
"""Questions of one agent that may be open at once. People are told each, and can answer no more."""
LAST_WORDS_SECONDS = 0.5
"""How long an adapter may still read what its CLI wrote before it ended."""


class AgentHost:
    """Implements `adapter.Host` for one session."""

    def __init__(self, session: SessionPort, launch: Launch, kind: type[Adapter], http: AgentHttp) -> None:
        self._session = session
        self._session_id = launch.session_id
        self._launch = launch
        self._http = http
        self._teller = Teller(session, kind.provider)
        self._adapter = kind(self)
        self._nursery: trio.Nursery | None = None
        self._on = False
        self.prepared = Prepared(command=list(launch.command))
        self.prompts = Prompts(self._teller, lambda: self.asking, self._give, self._interrupt_turn)
        self._open: set[str] = set()

    # --- for the session ----------------------------------------------------------------------------------------------

    async def run(self, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
        """Prepare the CLI's start, say so by `task_status`, and be beside it until cancelled.

        Raises, before it has started only: `ContractError` for an order that cannot be carried out, `AdapterOff` for a
        dispatched agent that cannot be driven. Any other failure is told, and the session goes on.
        """
        started = False
        try:
            async with trio.open_nursery() as nursery:
                self._nursery = nursery
                await trio.to_thread.run_sync(shared_files.make_directory, self._launch.directory)
                self.prepared = await self._adapter.prepare()
                nursery.start_soon(self._teller.run)
                await self._teller.say(a.Status(status="starting"))
                await nursery.start(self._adapter.run)
                self._on = True
                nursery.start_soon(self.prompts.run)
                started = True
                task_status.started()
        except* ContractError as errors:
            raise first_of(errors) from None
        except* Exception as errors:
            self._on = False
            reason = _reason(first_of(errors))
            log.error("adapter_off", session=self._session_id, adapter=self._adapter.provider, reason=reason)
            if self._launch.dispatched and not started:
                raise AdapterOff(reason) from None
            await self._step_back(reason)
            if not started:
                self.prepared = Prepared(command=list(self._launch.command))
                task_status.started()

    async def _step_back(self, reason: str) -> None:
        """Say once that the adapter is off. A dispatched agent is stopped, unless it goes on in its own screen."""
        self._http.forget(self._session_id)
        if self._session.events.lifecycle.ended:
            return
        for approval_id in list(self._open):
            await self.settle(approval_id, "withdrawn", "terminal", "the runner no longer sees this dialog")
        await self._teller.say(a.Status(status="unknown", for_=f"not connected: {reason}"))
        stopped = self._launch.dispatched and not self._goes_on_alone()
        goes_on = "The session is stopped." if stopped else "The session goes on as a plain terminal."
        title = f"adapter off: {self._adapter.provider}"
        await self.say(a.Alert(id=ADAPTER_ALERT, title=title, description=f"{reason}. {goes_on}", severity="info"))
        if stopped:
            self._session.stop_soon(f"the agent cannot be driven: {reason}")

    def _goes_on_alone(self) -> bool:
        """Return whether a dispatched agent works on without its adapter. Where it has a budget that counts what only
        the adapter tells, it does not.
        """
        budget = None if self._launch.order is None else self._launch.order.budget
        counted = budget is not None and (budget.usd is not None or budget.tokens is not None)
        return self._adapter.goes_on_alone and not counted

    async def finish(self) -> None:
        """The CLI has ended: what it wrote before is read, what is held is told."""
        if self._launch.dispatched:
            await trio.sleep(LAST_WORDS_SECONDS)
        await self._teller.flush()

    async def close(self) -> None:
        """Remove what was added for the CLI."""
        self._http.forget(self._session_id)
        await trio.to_thread.run_sync(shared_files.remove_directory, self._launch.directory)

    @property
    def environment(self) -> Mapping[str, str]:
        """The environment that the CLI is to have."""
        changes = self.prepared.env
        kept = {name: value for name, value in self._launch.env.items() if name not in changes}
        return {**kept, **{name: value for name, value in changes.items() if value is not None}}

    def usage(self, units: UsageMetrics) -> UsageMetrics:
        """Return the units of a tick with what the meter does not count."""
        return self._teller.usage(units)

    def total_usage(self, units: UsageMetrics) -> UsageMetrics:
        """Return the units of the whole session with what the meter does not count."""
        return self._teller.total_usage(units)

    def check_text(self, data: str) -> None:
        """Raises `Waiting` for text that is no keystroke, while the agent's dialog could take it for an answer."""
        if self._on and is_text(data):
            self.prompts.check_no_dialog()

    async def prompt(self, prompt_id: str, text: str, mode: PromptMode, by: str | None) -> None:
        """Raises `NotPossible`."""
        if not self._on:
            raise NotPossible(f"the channel of this agent is not connected; type into its terminal: {self.status}")
        await self.prompts.take(prompt_id, text, mode, by)

    @property
    def status(self) -> str:
        """The status in words."""
        status = self._teller.status
        return status.status + (f" ({status.for_})" if status.for_ else "")

    @property
    def sees_commands(self) -> bool:
        """Return whether the adapter tells the agent's commands, and so its test runs."""
        return self._on

    # --- for the adapter ----------------------------------------------------------------------------------------------

    @property
    def launch(self) -> Launch:
        return self._launch

    @property
    def base_url(self) -> str:
        return self._http.base_url(self._session_id)

    @property
    def pid(self) -> int | None:
        return self._session.pid

    @property
    def quiet_seconds(self) -> float | None:
        heard = self._session.output.heard_at
        return None if heard is None else trio.current_time() - heard

    @property
    def asking(self) -> bool:
        return bool(self._open)

    def serve(self, handler: HttpHandler) -> None:
        self._http.serve(self._session_id, self._launch.env.get(TOKEN_VARIABLE, ""), handler)

    async def say(self, event: a.AgentEvent | a.Fact) -> None:
        await self._teller.say(event)

    async def show(self, text: str) -> None:
        await self._session.output.show(text)

    async def type(self, data: bytes) -> None:
        await self._session.type_bytes(data)

    async def interrupt(self) -> None:
        self._session.interrupt(signal.SIGINT)

    async def ask(self, question: a.Question, deliver: a.Deliver) -> str:
        if len(self._open) >= MOST_QUESTIONS:
            raise AdapterOff(f"the agent asks more than {MOST_QUESTIONS} questions at once")

        async def give(answer: a.Answer) -> bool:
            why = question.from_afar.refusal(answer.decision, answer.option_id, answer.updated_input)
            if why is not None:
                raise NotPossible(why)
            return await deliver(answer)

        approval_id = await self._session.approvals.ask_for_agent(_fields(question), give)
        self._open.add(approval_id)
        assert self._nursery is not None
        self._nursery.start_soon(self._session.approvals.settle_by_rule, approval_id)
        self._nursery.start_soon(self._until_over, approval_id)
        return approval_id

    async def forbid(self, question: a.Question) -> str | None:
        return await self._session.approvals.forbid(_fields(question))

    async def _until_over(self, approval_id: str) -> None:
        await self._session.approvals.expire(approval_id)
        self._open.discard(approval_id)

    async def settle(
        self,
        approval_id: str,
        decision: Literal["allow", "deny", "withdrawn"],
        by: str = "terminal",
        note: str = "",
    ) -> None:
        if self._session.events.lifecycle.ended or self._session.events.lifecycle.state == "STOPPING":
            return  # its end denies what is still open, and says so
        self._open.discard(approval_id)
        await self._session.approvals.settle(approval_id, decision, by, note)

    # --- prompts ------------------------------------------------------------------------------------------------------

    async def _give(self, text: str) -> None:
        self.prompts.check_no_dialog()
        await self._adapter.prompt(text)

    async def _interrupt_turn(self) -> None:
        await self._adapter.interrupt()


def first_of(errors: BaseException) -> BaseException:
    """Return the first single exception in a group."""
    while isinstance(errors, BaseExceptionGroup):
        errors = cast("BaseExceptionGroup[BaseException]", errors).exceptions[0]
    return errors


def _reason(error: BaseException) -> str:
    return str(error) if isinstance(error, AdapterOff) else f"{type(error).__name__}: {error}"


def _fields(question: a.Question) -> dict[str, Any]:
    """The request in the words of `Approvals`."""
    context: dict[str, Any] = {
        "tool": question.tool,
        "toolUseId": question.tool_use_id,
        "input": cut_input(question.input),
        "cwd": question.cwd,
        "diff": question.diff[: a.INPUT_BYTES] if question.diff is not None else None,
        "options": [attrs.asdict(option) for option in question.options] or None,
        "suggestions": cut_input(question.suggestions),
        "subagent": question.subagent,
        "questions": cut_input(question.questions),
        "fromAfar": question.from_afar.told(),
    }
    return {
        "summary": question.summary,
        "category": question.category,
        "risk": question.risk,
        "context": {name: value for name, value in context.items() if value is not None},
        "timeoutSeconds": question.timeout_seconds,
    }

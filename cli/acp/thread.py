"""One conversation of an editor: a session of the service, its events as updates, its questions as permissions."""

from collections.abc import Awaitable, Callable
from typing import Any

import attrs
import trio

from townwatch.cli.acp.updates import OWN_PREFIX, STOP_REASONS, Json, UpdateMaker, permission, text_block
from townwatch.client import NotReached, RemoteSession, ServiceError, TownwatchClient, UnknownEvent
from townwatch.contracts import agent_events as a
from townwatch.contracts.events import (
    FINAL_STATES,
    ApprovalRequest,
    ApprovalRequested,
    ApprovalResolved,
    ProviderEventForwarded,
    RunnerEvent,
    SessionEnded,
)
from townwatch.contracts.rest import SessionView
from townwatch.runner.agents import shape
from townwatch.runner.agents.jsonrpc import Rpc, RpcError

GOAL_CHARACTERS = 4000
"""The longest first prompt: it is the goal of the session's task."""
AGAIN_SECONDS = 1.0
WITHOUT_AGENT = ("command", None)
Send = Callable[[Json], Awaitable[None]]


class PromptFailed(Exception):
    """The turn did not end as turns do; the message says why."""


@attrs.frozen(kw_only=True)
class ThreadOptions:
    """Options of sessions that are started. `directory`: on the runner; None: the editor's own. `command`: of an agent
    `acp`.
    """

    agent: Any = "claude_code"
    command: list[str] | None = None
    village: str = "demo"
    runner_id: str | None = None
    model: str | None = None
    directory: str | None = None


@attrs.define(eq=False)
class EditorTurn:
    """A prompt whose end the editor waits for. `text`: None where the first turn that ends is meant."""

    text: str | None
    began: bool = False
    cancelled: bool = False
    stop_reason: str | None = None
    failure: str | None = None
    over: trio.Event = attrs.field(factory=trio.Event)

    def end(self, stop_reason: str | None, failure: str | None = None) -> None:
        self.stop_reason, self.failure = stop_reason, failure
        self.over.set()


@attrs.define(eq=False)
class EditorThread:
    """`name`: the session's name, as the editor knows it. `following`: a nursery for what runs beside requests."""

    name: str
    directory: str
    client: TownwatchClient
    options: ThreadOptions
    rpc: Rpc
    following: trio.Nursery
    agent_name: str
    session: RemoteSession | None = None
    provider: str | None = None
    ended: bool = False
    maker: UpdateMaker = attrs.field(factory=UpdateMaker)
    _turn: EditorTurn | None = None
    _seq: int = 0
    _asked: dict[str, int] = attrs.field(factory=dict[str, int])
    """Approval → the request at the editor that waits for its answer."""

    async def prompt(self, text: str) -> str:
        """Give the agent a prompt and return the stop reason of its turn.

        Raises:
            PromptFailed: it could not be given, or its turn failed. ServiceError, NotReached.
        """
        if self._turn is not None:
            raise PromptFailed("a prompt is under way in this session; cancel it first, or wait")
        fresh = self.session is None or self.ended
        turn = self._turn = EditorTurn(None if fresh else text)
        self.maker.own.append(text)
        try:
            if fresh:
                await self._start(text)
            elif self.provider in WITHOUT_AGENT:
                await self._session.type(text)
                return "end_turn"
            else:
                await self._session.prompt(text)
            await turn.over.wait()
        finally:
            self._turn = None
            if text in self.maker.own:
                self.maker.own.remove(text)
        if turn.cancelled:
            return "cancelled"
        if turn.stop_reason is None:
            raise PromptFailed(turn.failure or "the turn failed")
        return turn.stop_reason

    async def cancel(self) -> None:
        """End the turn under way; nothing happens where there is none."""
        turn = self._turn
        if turn is None or self.session is None:
            return
        turn.cancelled = True
        try:
            await self.session.interrupt()
        except (ServiceError, NotReached) as error:
            await self.note(f"not interrupted: {error}")
        turn.over.set()

    async def close(self) -> None:
        """Stop the session."""
        if self.session is not None and not self.ended:
            await self.session.stop()

    async def load(self, view: SessionView) -> None:
        """Show everything that a session has said so far, and go on with it."""
        self._take(RemoteSession(self.client.asking, view.session_id), view.provider_id)
        events = await self._session.events()
        open_now: dict[str, ApprovalRequest] = {}
        for event in events:
            self._seq = event.seq
            match event:
                case ApprovalRequested(approval=approval):
                    open_now[approval.approval_id] = approval
                case ApprovalResolved(approval_id=approval_id):
                    open_now.pop(approval_id, None)
                case SessionEnded():
                    self.ended = True
                case _:
                    pass
            await self._show(event)
        self.ended = self.ended or view.state in FINAL_STATES
        if not self.ended:
            self.following.start_soon(self._follow, self._session)
            for approval in open_now.values():
                await self._ask(approval)

    @property
    def _session(self) -> RemoteSession:
        assert self.session is not None
        return self.session

    def _take(self, session: RemoteSession, provider: str | None) -> None:
        self.session, self.provider, self.ended, self._seq = session, provider, False, 0
        self.maker.structured = provider not in WITHOUT_AGENT

    async def _start(self, text: str) -> None:
        """Start the session, or one that goes on with the conversation of one that has ended."""
        if len(text) > GOAL_CHARACTERS:
            raise PromptFailed(
                f"the first prompt has {len(text)} characters of {GOAL_CHARACTERS}: begin with a shorter one, the next"
                " may have 65536"
            )
        options = self.options
        provider: Any = self.provider or options.agent
        session = await self.client.start(
            self.directory,
            goal=text,
            title=text.splitlines()[0][:200],
            agent=provider,
            command=options.command if provider == "acp" else None,
            village=options.village,
            name=self.agent_name,
            runner_id=options.runner_id,
            model=options.model,
            resume_of=self.session.id if self.session is not None else None,
        )
        self._take(session, provider)
        self.following.start_soon(self._follow, session)

    # --- events -------------------------------------------------------------------------------------------------------

    async def _follow(self, session: RemoteSession) -> None:
        """Turn the session's events into updates, until it has ended; a service that is away is waited for."""
        while not self.ended and self.session is session:
            try:
                async with session.follow(self._seq) as events:
                    async for event in events:
                        self._seq = event.seq
                        await self._take_event(event)
            except* NotReached:
                await trio.sleep(AGAIN_SECONDS)
            except* ServiceError as group:
                why = str(group.exceptions[0])
                self.ended = True
                if self._turn is not None:
                    self._turn.end(None, why)

    async def _take_event(self, event: RunnerEvent | UnknownEvent) -> None:
        await self._show(event)
        match event:
            case ApprovalRequested(approval=approval):
                await self._ask(approval)
            case ApprovalResolved(approval_id=approval_id):
                await self._withdraw(approval_id)
            case SessionEnded(final_state=final, reason=reason):
                self.ended = True
                if self._turn is not None:
                    whole = final == "COMPLETED"
                    self._turn.end("end_turn" if whole else None, f"the session ended: {reason or final}")
            case ProviderEventForwarded(provider_event=values):
                self._follow_turn(a.from_provider_event(values))
            case _:
                pass

    def _follow_turn(self, told: a.AgentEvent | None) -> None:
        turn = self._turn
        if turn is None:
            return
        match told:
            case a.Prompt(text=text, queued=None | False, withdrawn=None | False) if turn.text in (None, text):
                turn.began = True
            case a.Prompt(text=text, withdrawn=True) if text == turn.text:
                turn.end("cancelled")
            case a.Turn(result=result, reason=reason) if turn.began or turn.text is None:
                why = f"the agent's turn failed: {reason}" if reason else "the agent's turn failed; its page says more"
                turn.end(STOP_REASONS.get(result), why)
            case _:
                pass

    async def _show(self, event: RunnerEvent | UnknownEvent) -> None:
        for update in self.maker.of(event):
            await self.update(update)

    async def update(self, update: Json) -> None:
        """Tell the editor."""
        await self.rpc.notify("session/update", {"sessionId": self.name, "update": update})

    async def note(self, text: str) -> None:
        """Tell the person at the editor something that the agent did not say."""
        content = text_block(f"\n\n[Townwatch] {text}\n")
        await self.update({"sessionUpdate": "agent_message_chunk", "content": content})

    # --- permissions --------------------------------------------------------------------------------------------------

    async def _ask(self, approval: ApprovalRequest) -> None:
        """Ask the editor too: the first decision stands, wherever it is made."""
        asked = permission(approval)
        if asked is None:
            await self.note(f"the agent asks what only the page can answer: {approval.summary}")
            return
        session = self._session

        async def answered(result: Any, error: RpcError | None) -> None:
            if self._asked.pop(approval.approval_id, None) is not None and error is None:
                self.following.start_soon(self._decide, session, approval.approval_id, asked["options"], result)

        params = {"sessionId": self.name, **asked}
        self._asked[approval.approval_id] = await self.rpc.begin("session/request_permission", params, answered)

    async def _withdraw(self, approval_id: str) -> None:
        """Take a question back from the editor: it was decided elsewhere."""
        request = self._asked.pop(approval_id, None)
        if request is not None:
            await self.rpc.notify("$/cancel_request", {"requestId": request})

    async def _decide(self, session: RemoteSession, approval_id: str, options: list[Json], result: Any) -> None:
        """Hand the editor's answer on. No answer, or one that is none of the options, decides nothing."""
        chosen = shape.maybe(shape.maybe(result).get("outcome")).get("optionId")
        option = next((one for one in options if one["optionId"] == chosen), None)
        if option is None:
            return
        own = None if str(chosen).startswith(OWN_PREFIX) else str(chosen)
        try:
            if str(option["kind"]).startswith("allow"):
                await session.allow(approval_id, option_id=own)
            else:
                await session.deny(approval_id)
        except ServiceError as refused:
            if refused.code not in ("E_DECIDED", "E_NOT_FOUND"):
                await self.note(f"not decided: {refused}")
        except NotReached as lost:
            await self.note(f"not decided, as far as is known: {lost}")

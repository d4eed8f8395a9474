"""SessionRouter: looks up where an event belongs and forwards it.

It is also the one place where sessions, villages, agents and runners come to life, so that two first events at the same
moment make one actor.
"""

from collections.abc import Mapping
from contextlib import suppress
from typing import Any

import attrs
import structlog
import trio

from townwatch.actors import messages as m
from townwatch.actors.agent import AgentActor
from townwatch.actors.context import Context
from townwatch.actors.directory import Directory, tell_if_alive
from townwatch.actors.ports import Ref
from townwatch.actors.runner import RunnerActor
from townwatch.actors.session import state as session_state
from townwatch.actors.session.actor import SessionActor
from townwatch.actors.session.state import SessionState
from townwatch.actors.timers import After
from townwatch.actors.village import VillageActor
from townwatch.contracts import scopes, ui
from townwatch.runtime import ActorDeadError, MailboxSpec, TrioActor, whereis
from townwatch.supervision import ChildSpec, Supervisor

log = structlog.get_logger("router")


RESTART_LOOKS, RESTART_LOOK_SECONDS = 50, 0.02
"""How often, and how long apart, to look for a supervisor that is being restarted."""
LOOK_BACK_SECONDS = 3.0
"""How often to look for what is durable and was not shown: twice in a row, and it was lost on its way."""
NURSERIES = {"session": SessionActor, "village": VillageActor, "agent": AgentActor, "runner": RunnerActor}
"""What the router has made: each kind under a dynamic supervisor of its own, found by its path."""


class SessionRouter(TrioActor):
    """Messages: Forward from sessions; EnsureSession, EnsureVillage, EnsureAgent, EnsureRunner, LocateSession."""

    mailbox = MailboxSpec(capacity=4096, policy="wait")
    message_in_hand = "retry"  # who gets it drops what was shown already
    expected_errors = (m.ForeignSession,)

    def __init__(self, context: Context, nurseries: Mapping[str, str]) -> None:
        """`nurseries`: kind → path of the dynamic supervisor of its actors."""
        super().__init__()
        self._context = context
        self._nurseries = nurseries
        self._behind: dict[str, int] = {}
        self._look_back_at = 0.0

    async def on_start(self) -> None:
        """Forward again what a crash kept from a village or an agent: the session may have no further event."""
        self._context.router = self.actor_ref
        for state in self._context.board:
            if self._context.behind(state):
                await self._forward(m.Forward(state, ()))
        self._look_back_later()

    async def on_receive(self, message: Any) -> Any:
        match message:
            case m.Forward():
                await self._forward(message)
            case m.CheckUnpublished():
                await self._look_back()
            case m.EnsureSession():
                return await self._ensure_session(message)
            case m.LocateSession(session_id=session_id):
                state = self._context.board.session(session_id)
                return None if state is None else await self._session(state)
            case m.EnsureVillage(village_id=village_id):
                return await self._village(village_id)
            case m.EnsureAgent(agent_id=agent_id, village_id=village_id):
                return await self._agent(agent_id, village_id)
            case m.EnsureRunner(runner_id=runner_id):
                return await self._runner(runner_id)
            case _:
                log.warning("unknown_message", kind=type(message).__name__)

    async def _forward(self, forward: m.Forward) -> None:
        """Send it to the village first: a client that follows both rooms sees the work stream and the terminal from the
        same event on.
        """
        state = forward.state
        village = await self._village(state.village_id)
        await village.send(forward)
        agent = await self._agent(state.agent_id, state.village_id)
        await agent.send(forward)

    def _look_back_later(self) -> None:
        self._look_back_at = trio.current_time() + LOOK_BACK_SECONDS
        tell_if_alive(self._context.timers, After(LOOK_BACK_SECONDS, self.actor_ref, m.CheckUnpublished()))

    async def _look_back(self) -> None:
        """Forward again events that were lost on their way, without waiting for the session's next event."""
        if trio.current_time() < self._look_back_at:
            return  # of the incarnation before this one
        shown = {s.session_id: self._context.shown_to(s) for s in self._context.board if self._context.behind(s)}
        for session_id, seq in shown.items():
            state = self._context.board.session(session_id)
            if state is not None and self._behind.get(session_id) == seq:
                await self._forward(m.Forward(state, ()))
        self._behind = shown
        for runner_id, (status, _) in list(self._context.last_seen.items()):
            if status != "offline":  # its actor may have ended too, and must notice that it is away
                with suppress(ActorDeadError):  # the next look finds it
                    await self._runner(runner_id)
        self._look_back_later()

    async def _ensure_session(self, wanted: m.EnsureSession) -> Ref:
        state = self._context.board.session(wanted.session_id)
        if state is None:
            if self._context.journal_log.deleted(wanted.session_id):
                raise m.DeletedSession("the session was deleted")
            self._check_room(wanted.runner_id)
            state = SessionState(
                session_id=wanted.session_id,
                village_id=wanted.village_id,
                runner_id=wanted.runner_id,
                agent_id=wanted.agent_id or ui.default_agent_id(wanted.session_id),
                agent_name=wanted.agent_name,
                provider_id=wanted.provider_id,
                created_at=self._context.clock.now_ms(),
            )
            await self._keep_owner(state)
            self._context.board.post(state)
        elif state.village_id != wanted.village_id or state.runner_id not in ("", wanted.runner_id):
            raise m.ForeignSession(f"session {wanted.session_id} belongs to another runner or village")
        elif not state.runner_id:  # of a log that does not say: it belongs to the runner of its village that has it
            state = attrs.evolve(state, runner_id=wanted.runner_id)
            await self._keep_owner(state)
            self._context.board.post(state)
        return await self._session(state)

    async def _keep_owner(self, state: SessionState) -> None:
        """Store whose session it is, before its first event: else a crash between that and the session's first
        snapshot would leave it to the next runner that names it.
        """
        assert self._context.journal is not None  # started before the router
        key = f"session:{state.session_id}"
        await self._context.journal.send(m.SaveSnapshot(key, state.seq, session_state.dump(state)))

    def _check_room(self, runner_id: str) -> None:
        """A runner may begin sessions by itself, but not without end."""
        allowed = self._context.allowances.sessions_per_runner
        living = sum(not state.ended for state in self._context.board.of_runner(runner_id))
        if living >= allowed:
            self._context.measure("limit", {"limit": "sessions_per_runner"})
            raise m.TooManySessions(f"limit sessions_per_runner: {runner_id} has {living} of {allowed} live sessions")

    async def _session(self, state: SessionState) -> Ref:
        return await self._find(self._context.directory.sessions, "session", state.session_id, state)

    async def _village(self, village_id: str) -> Ref:
        return await self._find(self._context.directory.villages, "village", village_id, village_id)

    async def _agent(self, agent_id: str, village_id: str) -> Ref:
        name = scopes.actor_name(village_id, agent_id)
        return await self._find(self._context.directory.agents, "agent", name, agent_id, village_id)

    async def _runner(self, runner_id: str) -> Ref:
        return await self._find(self._context.directory.runners, "runner", runner_id, runner_id)

    async def _find(self, table: dict[str, Ref], kind: str, name: str, *args: Any) -> Ref:
        """The address, or that of a new actor."""
        found = Directory.alive(table, name)
        if found is not None:
            return found
        spec = ChildSpec(id=f"{kind}:{name}", actor=NURSERIES[kind], args=(self._context, *args))
        for _ in range(RESTART_LOOKS):
            supervisor = whereis(self._nurseries[kind])
            if supervisor is not None:
                with suppress(ActorDeadError):  # it was restarted in the middle of this: ask the next incarnation
                    table[name] = await Supervisor.start_child(supervisor, spec)
                    return table[name]
            await trio.sleep(RESTART_LOOK_SECONDS)
        raise ActorDeadError(f"there is no supervisor at {self._nurseries[kind]}")

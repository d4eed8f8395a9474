"""SessionRouter: looks up where an event belongs, translates it once, encodes it once, forwards it.

It is also the one place where sessions, villages, agents and runners come to life, so that two first events at the same
moment make one actor.
"""

from collections.abc import Sequence
from typing import Any

import attrs
import structlog

from actors import messages as m
from actors.agent import AgentActor
from actors.compose import compose
from actors.context import Context
from actors.ports import Ref
from actors.runner import RunnerActor
from actors.runtime import MailboxSpec, TrioActor
from actors.session import SessionActor
from actors.session_state import SessionState
from actors.village import VillageActor
from contracts import events as e
from contracts import ui
from supervision import ChildSpec

log = structlog.get_logger("router")


@attrs.frozen
class Nurseries:
    """The dynamic supervisors in which the router has its children made."""

    sessions: Ref
    villages: Ref
    agents: Ref
    runners: Ref


class SessionRouter(TrioActor):
    """Messages: Forward from sessions; EnsureSession, EnsureVillage, EnsureAgent, EnsureRunner, LocateSession."""

    mailbox = MailboxSpec(capacity=4096, policy="wait")
    expected = (m.ForeignSession,)

    def __init__(self, context: Context, nurseries: Nurseries) -> None:
        super().__init__()
        self._context = context
        self._nurseries = nurseries

    def on_start(self) -> None:
        self._context.router = self.actor_ref

    async def on_receive(self, message: Any) -> Any:
        match message:
            case m.Forward(state=state, events=events):
                await self._forward(state, events)
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

    async def _forward(self, state: SessionState, events: Sequence[e.RunnerEvent]) -> None:
        """Village first: who follows both rooms sees the work stream and the terminal from the same event on."""
        translated = m.Translated(state.origin, state, events, compose(state, events))
        self._context.taps.tell(f"session:{state.session_id}", [(state, event) for event in events])
        village = await self._village(state.village_id)
        await village.send(translated)
        agent = await self._agent(state.agent_id, state.village_id)
        await agent.send(translated)

    async def _ensure_session(self, wanted: m.EnsureSession) -> Ref:
        state = self._context.board.session(wanted.session_id)
        if state is None:
            state = SessionState(
                session_id=wanted.session_id,
                village_id=wanted.village_id,
                runner_id=wanted.runner_id,
                agent_id=wanted.agent_id or ui.default_agent_id(wanted.session_id),
                agent_name=wanted.agent_name,
                created_at=self._context.clock.now_ms(),
            )
            self._context.board.post(state)
        elif (state.village_id, state.runner_id) != (wanted.village_id, wanted.runner_id):
            raise m.ForeignSession(f"session {wanted.session_id} belongs to another runner or village")
        return await self._session(state)

    async def _session(self, state: SessionState) -> Ref:
        found = self._context.directory.alive(self._context.directory.sessions, state.session_id)
        if found is not None:
            return found
        spec = ChildSpec(id=f"session:{state.session_id}", actor=SessionActor, args=(self._context, state))
        return await self._start(self._nurseries.sessions, spec)

    async def _village(self, village_id: str) -> Ref:
        found = self._context.directory.alive(self._context.directory.villages, village_id)
        if found is not None:
            return found
        spec = ChildSpec(id=f"village:{village_id}", actor=VillageActor, args=(self._context, village_id))
        return await self._start(self._nurseries.villages, spec)

    async def _agent(self, agent_id: str, village_id: str) -> Ref:
        found = self._context.directory.alive(self._context.directory.agents, agent_id)
        if found is not None:
            return found
        spec = ChildSpec(id=f"agent:{agent_id}", actor=AgentActor, args=(self._context, agent_id, village_id))
        return await self._start(self._nurseries.agents, spec)

    async def _runner(self, runner_id: str) -> Ref:
        found = self._context.directory.alive(self._context.directory.runners, runner_id)
        if found is not None:
            return found
        spec = ChildSpec(id=f"runner:{runner_id}", actor=RunnerActor, args=(self._context, runner_id))
        return await self._start(self._nurseries.runners, spec)

    @staticmethod
    async def _start(nursery: Ref, spec: ChildSpec) -> Ref:
        return await nursery.proxy().start_child(spec)

"""One actor an agent: its terminal's last screenful, and what only its own watchers get.

It alone publishes to the agent's terminal watchers, so that who comes in gets the screen and then exactly what follows.
"""

from collections.abc import Sequence
from typing import Any

import structlog

from actors import messages as m
from actors.compose import compose
from actors.context import Context
from actors.runtime import MailboxSpec, TrioActor
from actors.session import read_for_viewers
from actors.session_state import SessionState
from actors.terminal import Screen
from contracts import events as e
from contracts import ui
from contracts.codec import encode
from contracts.translate import for_agent_alone
from contracts.ui import Scope

log = structlog.get_logger("agent")

SCREEN_EVENTS = 2000
"""How many of the last events a restarted agent reads to have its screen again."""


class AgentActor(TrioActor):
    """Messages: Forward from the router, Enter from clients, Describe."""

    mailbox = MailboxSpec(capacity=4096, policy="wait")
    message_in_hand = "retry"  # `shown` keeps it from being shown twice

    def __init__(self, context: Context, agent_id: str, village_id: str) -> None:
        super().__init__()
        self._context = context
        self.agent_id = agent_id
        self.village_id = village_id
        self._screen = Screen()
        self._session_id = ""

    async def on_start(self) -> None:
        """The screen from the journal; what was durable but not shown when this actor crashed is shown now."""
        self._context.directory.agents[self.agent_id] = self.actor_ref
        state = self._context.board.of_agent(self.agent_id)
        if state is None or not state.seq:
            return
        self._session_id = state.session_id
        shown = self._context.shown.get(state.session_id, 0)
        await self._read_back(state, after=max(0, min(shown, state.seq) - SCREEN_EVENTS), until=state.seq)

    async def on_receive(self, message: Any) -> Any:
        match message:
            case m.Forward(state=state, events=events):
                shown, before = self._context.shown.get(state.session_id, 0), message.first - 1
                if shown < before:  # a message on the way here became a dead letter, or the runner left a hole
                    await self._read_back(state, after=shown, until=before)
                self._publish(state, events)
            case m.Enter(client_id=client_id, room=room):
                self._context.outlet.enter(client_id, room)
                return self._entered()
            case m.Describe():
                return self._context.board.of_agent(self.agent_id)
            case _:
                log.warning("unknown_message", kind=type(message).__name__)

    async def _read_back(self, state: SessionState, after: int, until: int) -> None:
        """From the journal: what was shown is drawn again, what was not is shown."""
        shown = self._context.shown.get(state.session_id, 0)
        while after < until and (events := await read_for_viewers(self._context, state.session_id, after)):
            after = events[-1].seq
            events = [event for event in events if event.seq <= until]
            self._draw(event for event in events if event.seq <= shown)
            self._publish(state, events)

    def _publish(self, state: SessionState, events: Sequence[e.RunnerEvent]) -> None:
        """What was not shown yet; translated only where somebody is to see it."""
        if state.session_id != self._session_id:  # the agent has a new session: a new terminal
            self._session_id, self._screen = state.session_id, Screen()
        outlet, shown = self._context.outlet, self._context.shown.get(state.session_id, 0)
        fresh = [event for event in events if event.seq > shown]
        if not fresh:
            return
        listened_to = outlet.listens((ui.agent_room(self.agent_id), ui.terminal_room(self.agent_id)))
        messages = list(compose(state, fresh, for_agent_alone)) if listened_to else ()
        self._draw(fresh)
        for message in messages:  # from here to the note that they are shown, nothing waits and nothing can fail
            room = ui.terminal_room if Scope.TERMINAL in message.scope else ui.agent_room
            outlet.publish(message.event, message.payload, (room(self.agent_id),), (state.session_id, message.seq))
        self._context.shown[state.session_id] = fresh[-1].seq

    def _draw(self, events: Any) -> None:
        for event in events:
            match event:
                case e.TerminalChunk(data=data):
                    self._screen.write(data)
                case e.ProviderEventForwarded(
                    provider_event={"type": "terminal_resized", "cols": int() as cols, "rows": int() as rows}
                ):
                    self._screen.size = (cols, rows)
                case _:
                    pass

    def _entered(self) -> m.Entered:
        """The screen as it stands between two messages; what is published next follows it."""
        seq = self._context.shown.get(self._session_id, 0)
        text = self._screen.text()
        if not text:
            return m.Entered({self._session_id: seq})
        cols, rows = self._screen.size or (None, None)
        snapshot = ui.TerminalOutput(
            agent_id=self.agent_id,
            session_id=self._session_id,
            data=text,
            stream="stdout",
            seq=seq,
            snapshot=True,
            cols=cols,
            rows=rows,
        )
        screen = m.Outgoing("terminal_output", encode(snapshot), Scope.TERMINAL, seq)
        return m.Entered({self._session_id: seq}, (screen,))

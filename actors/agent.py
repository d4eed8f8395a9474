"""One actor an agent: its terminal's state, and what only its own watchers get.

It alone publishes to the agent's terminal watchers, so that who comes in gets the screen and then exactly what follows.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import attrs
import structlog
import trio

from townwatch.actors import messages as m
from townwatch.actors.context import Context
from townwatch.actors.log_reading import read_for_viewers
from townwatch.actors.ports import Journal
from townwatch.actors.rendering.compose import compose
from townwatch.actors.rendering.terminal import LazyScreen, size_of
from townwatch.actors.replay import REPLAY_EVENTS
from townwatch.actors.session.keeping import leaves_out
from townwatch.actors.session.state import SessionState
from townwatch.contracts import events as e, scopes, ui
from townwatch.contracts.codec import ContractError, Decoder, encode
from townwatch.contracts.translate import for_agent_alone
from townwatch.contracts.ui import Scope
from townwatch.runtime import MailboxSpec, TrioActor

log = structlog.get_logger("agent")

MOST_BEHIND = 64 * 1024
"""Characters of output that the terminal's state may be behind; a viewer who comes waits for so much at most."""
MOST_SCROLLED = 512 * 1024
"""The same for lines that only scroll: of those just the last are drawn, for a viewer who comes."""
CHECKPOINT_CHARS = 1 << 20
"""Characters of output between two stored states: what a restart has to read again."""
SCROLLED_FACTOR = 16
"""So many times as much of lines that only scroll: of those it draws just the last, a thousand for each state."""


@attrs.frozen
class StoredTerminal:
    """A terminal's state as the journal keeps it."""

    session_id: str
    data: str
    cols: int | None = None
    rows: int | None = None


_stored = Decoder(StoredTerminal, max_bytes=64 << 20)


def stored_terminal(journal: Journal, session_id: str) -> tuple[int, StoredTerminal] | None:
    """The last stored state of a session's terminal and the seq it was stored at. Blocks: call it in a thread."""
    stored = journal.load_snapshot(f"terminal:{session_id}")
    if stored is None:
        return None
    try:
        return stored.position, _stored.decode(stored.body)
    except ContractError as error:
        log.warning("stored_terminal_unreadable", session=session_id, reason=str(error))
        return None


class AgentActor(TrioActor):
    """Messages: Forward from the router, Enter from clients, Describe."""

    mailbox = MailboxSpec(capacity=4096, policy="wait")
    message_in_hand = "retry"  # `shown` keeps it from being shown twice

    def __init__(self, context: Context, agent_id: str, village_id: str) -> None:
        super().__init__()
        self._context = context
        self.agent_id = agent_id
        self.village_id = village_id
        self._room = scopes.agent_room(village_id, agent_id)
        self._terminal_room = scopes.terminal_room(village_id, agent_id)
        self._screen: LazyScreen | None = None
        """None after a restart, until a client wants to see it: the journal has it."""
        self._since_checkpoint = 0
        self._session_id = ""

    async def on_start(self) -> None:
        """Publish the events that were durable but not published when this actor crashed."""
        self._context.directory.agents[scopes.actor_name(self.village_id, self.agent_id)] = self.actor_ref
        state = self._context.board.of_agent(self.village_id, self.agent_id)
        if state is None or not state.seq:
            return
        self._session_id = state.session_id
        shown = self._context.shown.get(state.session_id, 0)
        if shown < state.seq:
            await self._read_back(state, after=shown, until=state.seq)

    async def on_receive(self, message: Any) -> Any:
        match message:
            case m.Forward(state=state, events=events):
                shown, before = self._context.shown.get(state.session_id, 0), message.first - 1
                if shown < before:  # a message on the way here became a dead letter, or the runner left a hole
                    await self._read_back(state, after=shown, until=before)
                self._publish(state, events)
                await self._keep_up()
            case m.Enter(client_id=client_id, room=room, since=since):
                entered = self._known(since) or await self._entered(await self._current())
                self._context.outlet.enter(client_id, room)  # nothing is published between the snapshot and this
                return entered
            case m.Describe():
                return self._context.board.of_agent(self.village_id, self.agent_id)
            case _:
                log.warning("unknown_message", kind=type(message).__name__)

    async def _read_back(self, state: SessionState, after: int, until: int) -> None:
        """Publish events after `after` up to `until` from the journal."""
        while after < until and (events := await read_for_viewers(self._context, state.session_id, after)):
            after = events[-1].seq
            events = [event for event in events if event.seq <= until]
            self._publish(state, events)

    def _publish(self, state: SessionState, events: Sequence[e.RunnerEvent]) -> None:
        """Publish the events that were not published yet; translate them only if a client listens."""
        if state.session_id != self._session_id:  # the agent has a new session: a new terminal
            self._session_id, self._screen, self._since_checkpoint = state.session_id, None, 0
        outlet, shown = self._context.outlet, self._context.shown.get(state.session_id, 0)
        fresh = [event for event in events if event.seq > shown]
        if not fresh:
            return
        listened_to = outlet.listens((self._room, self._terminal_room))
        messages = list(compose(state, fresh, for_agent_alone)) if listened_to else ()
        if self._screen is None and shown == 0 and fresh[0].seq == 1:
            self._screen = LazyScreen()  # a session that begins: nothing has to be read
        self._draw(fresh)
        progress = self._context.progress
        for message in messages:  # from here to the note that they are shown, nothing waits and nothing can fail
            if progress is not None:
                progress.telling("t", state.session_id, message.seq)
            room = self._terminal_room if Scope.TERMINAL in message.scope else self._room
            outlet.publish(message.event, message.payload, (room,), (state.session_id, message.seq))
        self._context.shown[state.session_id] = fresh[-1].seq
        if progress is not None:
            progress.told("t", state.session_id, fresh[-1].seq)
        self._context.measure("shown", {"by": "agent", "events": fresh})

    def _draw(self, events: Sequence[e.RunnerEvent]) -> None:
        for event in events:
            if isinstance(event, e.TerminalChunk):
                self._since_checkpoint += len(event.data)
            if self._screen is not None:
                _draw_on(self._screen, event)

    # --- the terminal's state -----------------------------------------------------------------------

    async def _keep_up(self) -> None:
        """Catch the screen up after a message, and store it from time to time."""
        screen = self._screen
        scrolls = screen is not None and screen.only_scrolls
        if self._since_checkpoint >= CHECKPOINT_CHARS * (SCROLLED_FACTOR if scrolls else 1):
            await self._checkpoint(await self._current())
        elif screen is not None and screen.behind > MOST_BEHIND:
            if screen.only_scrolls and screen.behind > MOST_SCROLLED:
                screen.skip()
            if not screen.only_scrolls or screen.behind > MOST_SCROLLED:
                await _catch_up(screen)

    async def _current(self) -> LazyScreen:
        """The terminal after the last event that was shown."""
        if self._screen is None:
            self._screen = await self._rebuilt()
        await _catch_up(self._screen)
        return self._screen

    async def _rebuilt(self) -> LazyScreen:
        """Return the screen, rebuilt from the stored state and the journal's events after it."""
        screen, after = LazyScreen(), 0
        session_id, shown = self._session_id, self._context.shown.get(self._session_id, 0)
        stored = await trio.to_thread.run_sync(stored_terminal, self._context.journal_log, session_id)
        if stored is not None and stored[0] <= shown:
            after, state = stored
            if state.cols is not None and state.rows is not None:
                screen.resize(state.cols, state.rows)
            screen.write(state.data)
        self._since_checkpoint = 0
        while after < shown and (events := await read_for_viewers(self._context, session_id, after)):
            after = events[-1].seq
            events = [event for event in events if event.seq <= shown]
            self._since_checkpoint += sum(len(one.data) for one in events if isinstance(one, e.TerminalChunk))
            for event in events:
                _draw_on(screen, event)
            await _catch_up(screen)
        return screen

    async def _checkpoint(self, screen: LazyScreen) -> None:
        """Store the state: a restart goes on from here. Not where texts are left out: then it begins empty."""
        self._since_checkpoint = 0
        session = self._context.board.session(self._session_id)
        if self.village_id in self._context.leaves_out if session is None else leaves_out(self._context, session):
            return
        cols, rows = screen.size or (None, None)
        state = StoredTerminal(self._session_id, await _snapshot(screen), cols, rows)
        seq = self._context.shown.get(self._session_id, 0)
        assert self._context.journal is not None
        await self._context.journal.send(m.SaveSnapshot(f"terminal:{self._session_id}", seq, encode(state)))

    def _known(self, since: Mapping[str, int]) -> m.Entered | None:
        """Return the answer for a client that gets what it missed as it was printed; None where it needs a screen."""
        seq, after = self._context.shown.get(self._session_id, 0), since.get(self._session_id)
        return None if after is None or seq - after > REPLAY_EVENTS else m.Entered({self._session_id: seq})

    async def _entered(self, screen: LazyScreen) -> m.Entered:
        """The terminal as it stands between two messages; what is published next follows it."""
        seq = self._context.shown.get(self._session_id, 0)
        if screen.blank and screen.size is None:
            return m.Entered({self._session_id: seq})
        cols, rows = screen.size or (None, None)
        snapshot = ui.TerminalOutput(
            agent_id=self.agent_id,
            session_id=self._session_id,
            data=await _snapshot(screen),
            stream="stdout",
            seq=seq,
            snapshot=True,
            cols=cols,
            rows=rows,
        )
        outgoing = m.UiFrame("terminal_output", encode(snapshot), Scope.TERMINAL, seq)
        return m.Entered({self._session_id: seq}, (outgoing,))


def _draw_on(screen: LazyScreen, event: e.RunnerEvent) -> None:
    if isinstance(event, e.TerminalChunk):
        screen.write(event.data)
    elif (size := size_of(event)) is not None:
        screen.resize(*size)


async def _catch_up(screen: LazyScreen) -> None:
    """Bring it up to date; between two slices of a few milliseconds others run."""
    more = True
    while more:
        if screen.resizes_next:
            more = await trio.to_thread.run_sync(screen.advance)
        else:
            more = screen.advance()
            await trio.lowlevel.checkpoint()


async def _snapshot(screen: LazyScreen) -> str:
    """Return its snapshot; others run while it is made."""
    if screen.unsettled:
        await trio.to_thread.run_sync(screen.settle)
    pieces: list[str] = []
    for piece in screen.snapshot_slices():
        pieces.append(piece)
        await trio.lowlevel.checkpoint()
    return "".join(pieces)

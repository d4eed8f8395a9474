"""The part of a session that goes to the journal: its events and its snapshots, without texts where its village leaves
them out.

Here alone records are made. So nothing that is left out reaches a disk, whether a runner told it, one that does not
acknowledge, a bridge, or the service itself. What is shown live is the event as it came.
"""

from collections.abc import Sequence

import attrs

from townwatch.actors import messages as m
from townwatch.actors.context import Context
from townwatch.actors.ports import Ref
from townwatch.actors.session import state as session_state
from townwatch.actors.session.ending import body_of
from townwatch.actors.session.state import SessionState
from townwatch.contracts import events as e
from townwatch.contracts.records import LogRecord
from townwatch.contracts.secrets import left_out

SNAPSHOT_EVERY = 500
"""Events between two snapshots; a restart reads at most about this many events a session."""


def leaves_out(context: Context, state: SessionState) -> bool:
    """Return whether texts of a session are left out. Once they are, they are to its end: a later change of the setting
    brings none of them to the disk.
    """
    return state.texts_left_out or state.village_id in context.leaves_out


class SessionKeeping:
    """Used by the session's actor, which has the state."""

    def __init__(self, context: Context, seq: int) -> None:
        """`seq`: how far the last snapshot is."""
        self._context = context
        self._snapshot_at = seq
        self._marked = False
        self._terminal_said = False

    def marked(self, state: SessionState) -> SessionState:
        """Return a state of which it is known that texts are left out. What was asked and is decided goes at once."""
        if not leaves_out(self._context, state):
            return state
        decided = {key: one if one.left_out else left_out.request(one) for key, one in state.resolved.items()}
        return attrs.evolve(state, texts_left_out=True, resolved=decided)

    async def append(self, state: SessionState, fresh: Sequence[m.IncomingEvent], reply_to: Ref) -> None:
        """Give events to the journal."""
        without_texts = leaves_out(self._context, state)
        records = [self._record(state, incoming, without_texts) for incoming in fresh]
        assert self._context.journal is not None  # started before any session
        await self._context.journal.send(m.Append(records, reply_to))

    def _record(self, state: SessionState, incoming: m.IncomingEvent, without_texts: bool) -> LogRecord:
        event, body = incoming.event, incoming.body
        if without_texts:
            body = body_of(left_out.event(event, first=not self._terminal_said))
            self._terminal_said |= isinstance(event, e.TerminalChunk) and bool(event.data)
        return LogRecord(event.session_id, event.seq, state.village_id, event.TYPE, event.ts, body)

    async def snapshot(self, state: SessionState, *, important: bool) -> None:
        """Store the state now and then. The first one at once: it says which runner and agent the session has, and the
        events do not; the first one without texts as well.
        """
        behind = state.seq - self._snapshot_at
        due = behind >= SNAPSHOT_EVERY or not self._snapshot_at or (state.texts_left_out and not self._marked)
        if due or (important and (state.ended or behind >= SNAPSHOT_EVERY // 10)):
            await self.save(state)

    async def without_worktree(self, state: SessionState) -> SessionState:
        """Return the state of a session whose worktree is removed. Its runner has no events after the end: the snapshot
        is what remembers this.
        """
        if state.worktree is None:
            return state
        gone = attrs.evolve(state.worktree, status="removed", reason=None)
        state = attrs.evolve(state, worktree=gone)
        self._context.board.post(state)
        await self.save(state)
        return state

    async def save(self, state: SessionState) -> None:
        self._snapshot_at, self._marked = state.seq, state.texts_left_out
        assert self._context.journal is not None
        key = f"session:{state.session_id}"
        await self._context.journal.send(m.SaveSnapshot(key, state.seq, session_state.dump(state)))

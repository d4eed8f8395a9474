"""Sessions that are no more: one that never began, and one that somebody deleted."""

from contextlib import suppress

import structlog
import trio

from actors.context import Context
from actors.runtime import whereis
from actors.runtime.tasks import TaskOwner
from app import cast
from store import sessions
from store.database import Database
from store.log import EventLog
from supervision import ChildError

log = structlog.get_logger("forget")

ROUND_SECONDS = 10.0
UNBEGUN_SECONDS = 60.0
"""A start that was not obeyed after so long never will be: its command is not kept beyond 15 s."""


async def forget_session(context: Context, session_id: str) -> None:
    """A session that never began: its actor ends, nobody knows it any more."""
    await _end(cast.SESSIONS, f"session:{session_id}")
    context.directory.sessions.pop(session_id, None)
    context.board.remove(session_id)


async def delete_session(context: Context, event_log: EventLog, database: Database, session_id: str) -> None:
    """A session that has ended: its events, snapshot, approvals, and the screen that its agent still shows.

    First the log, which from its first commit on takes nothing more of the session: begun, it cannot come back.
    """
    state = context.board.session(session_id)
    while (await trio.to_thread.run_sync(event_log.delete_session, session_id)).more:
        pass
    await forget_session(context, session_id)
    context.published.pop(session_id, None)
    context.shown.pop(session_id, None)
    if state is not None and context.board.of_agent(state.agent_id) is None:
        await _end(cast.AGENTS, f"agent:{state.agent_id}")
        context.directory.agents.pop(state.agent_id, None)
    await database.call(sessions.delete_all_of, session_id)
    log.info("session_deleted", session=session_id)


class Forgetter(TaskOwner):
    """Takes back sessions whose start was lost on its way, with whoever had it: nobody will ever begin them, and while
    they seem to live their runner and village cannot be removed. Should one begin after all, its events make it anew.
    """

    def __init__(self, context: Context, database: Database) -> None:
        super().__init__()
        self._context = context
        self._database = database
        self._known: dict[str, float] = {}
        """Session that has not begun → since when we know of it (trio's clock)."""

    def on_start(self) -> None:
        self.tasks.start_soon(self._rounds)

    async def _rounds(self) -> None:
        while True:
            await trio.sleep(ROUND_SECONDS)
            now = trio.current_time()
            waiting = [state.session_id for state in self._context.board if state.seq == 0 and not state.ended]
            self._known = {one: self._known.get(one, now) for one in waiting}
            for session_id, since in self._known.items():
                if now - since >= UNBEGUN_SECONDS and self._unbegun(session_id):
                    await self._take_back(session_id)

    def _unbegun(self, session_id: str) -> bool:
        state = self._context.board.session(session_id)
        return state is not None and state.seq == 0

    async def _take_back(self, session_id: str) -> None:
        await forget_session(self._context, session_id)
        await self._database.call(sessions.remove, session_id)
        log.warning("session_never_began", session=session_id, seconds=UNBEGUN_SECONDS)


async def _end(supervisor_path: str, child: str) -> None:
    supervisor = whereis(supervisor_path)
    if supervisor is not None:
        with suppress(ChildError):
            await supervisor.proxy().terminate_child(child)

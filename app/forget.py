"""Sessions that are no more: one that never began, and one that somebody deleted."""

from contextlib import suppress

import structlog
import trio

from actors.context import Context
from actors.runtime import whereis
from app import cast
from store import sessions
from store.database import Database
from store.log import EventLog
from supervision import ChildError

log = structlog.get_logger("forget")


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


async def _end(supervisor_path: str, child: str) -> None:
    supervisor = whereis(supervisor_path)
    if supervisor is not None:
        with suppress(ChildError):
            await supervisor.proxy().terminate_child(child)

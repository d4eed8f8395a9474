"""Removal of sessions that never began, that were deleted, or whose village was deleted."""

from collections.abc import Awaitable, Callable
from contextlib import suppress

import structlog
import trio

from townwatch.actors.context import Context
from townwatch.app import supervision_tree as cast
from townwatch.contracts import scopes
from townwatch.contracts.faults import TablesUnavailable
from townwatch.runtime import whereis
from townwatch.runtime.tasks import TaskOwner
from townwatch.store import sessions, villages
from townwatch.store.database import Database
from townwatch.store.log.port import DurableLog
from townwatch.supervision import ChildError, Supervisor

log = structlog.get_logger("forget")

ROUND_SECONDS = 10.0
UNBEGUN_SECONDS = 60.0
"""A start that was not obeyed after so long never will be: its command is not kept beyond that."""


async def forget_session(context: Context, session_id: str) -> None:
    """Remove a session that never began, and end its actor."""
    await end_child(cast.SESSIONS, f"session:{session_id}")
    context.directory.sessions.pop(session_id, None)
    context.board.remove(session_id)


async def delete_session(context: Context, event_log: DurableLog, database: Database, session_id: str) -> None:
    """A session that has ended: its events, snapshot, approvals, and the screen that its agent still shows.

    First the log, which from its first commit on takes nothing more of the session: begun, it cannot come back.
    """
    state = context.board.session(session_id)
    while (await trio.to_thread.run_sync(event_log.delete_session, session_id)).more:
        pass
    await forget_session(context, session_id)
    context.published.pop(session_id, None)
    context.shown.pop(session_id, None)
    if context.progress is not None:
        context.progress.forget(session_id)
    context.seen_failures.pop(session_id, None)
    if state is not None and context.board.of_agent(state.village_id, state.agent_id) is None:
        name = scopes.actor_name(state.village_id, state.agent_id)
        await end_child(cast.AGENTS, f"agent:{name}")
        context.directory.agents.pop(name, None)
    if database.outage.writing is not None:  # deleting is the way out of a full disk: the reserve is for it
        await trio.to_thread.run_sync(event_log.make_room)
        await trio.to_thread.run_sync(database.probe)
    await database.call(sessions.delete_all_of, session_id)
    log.info("session_deleted", session=session_id)


class Forgetter(TaskOwner):
    """Takes back sessions whose start command was lost together with its receiver: they will never begin, and while
    they seem to live their runner and village cannot be removed. Should one begin after all, its events make it anew.
    """

    def __init__(self, context: Context, database: Database, village_deleted: Callable[[str], Awaitable[None]]) -> None:
        """`village_deleted`: ends what is left of a deleted village, where a crash or a deadline kept that from being
        done at once.
        """
        super().__init__()
        self._context = context
        self._database = database
        self._village_deleted = village_deleted
        self._known: dict[str, float] = {}
        """Session that has not begun → since when we know of it (trio's clock)."""

    def on_start(self) -> None:
        self.tasks.start_soon(self._rounds)

    async def _rounds(self) -> None:
        while True:
            await trio.sleep(ROUND_SECONDS)
            with suppress(TablesUnavailable):  # the next round comes
                for village_id in await self._database.read(villages.removed):
                    await self._village_deleted(village_id)
            now = trio.current_time()
            waiting = [state.session_id for state in self._context.board if state.seq == 0 and not state.ended]
            self._known = {one: self._known.get(one, now) for one in waiting}
            for session_id, since in list(self._known.items()):
                if now - since >= UNBEGUN_SECONDS and self._unbegun(session_id):
                    with suppress(TablesUnavailable):  # the next round comes
                        await self._take_back(session_id)

    def _unbegun(self, session_id: str) -> bool:
        state = self._context.board.session(session_id)
        return state is not None and state.seq == 0

    async def _take_back(self, session_id: str) -> None:
        await self._context.promises.void_session(session_id, "the session never began")
        await self._database.call(sessions.remove, session_id)
        await forget_session(self._context, session_id)
        self._known.pop(session_id, None)  # should it begin now, it has its full time
        log.warning("session_never_began", session=session_id, seconds=UNBEGUN_SECONDS)


async def end_child(supervisor_path: str, child: str) -> None:
    """End a child of a dynamic supervisor, if it is there."""
    supervisor = whereis(supervisor_path)
    if supervisor is not None:
        with suppress(ChildError):
            await Supervisor.terminate_child(supervisor, child)

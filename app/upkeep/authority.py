"""The service's own authority over sessions that their runner will never end, and over promises whose time is over.

The runner's actor sees that its runner does not have a session any more; an owner may say at any time that it is lost.
Here a session ends when its runner has been away for longer than the settings allow, or was removed.
"""

from contextlib import suppress

import structlog
import trio
from sqlalchemy import Connection

from townwatch.actors import messages as m
from townwatch.actors.context import Context
from townwatch.actors.session.state import SessionState
from townwatch.contracts.faults import TablesUnavailable
from townwatch.runtime import ActorDeadError
from townwatch.runtime.tasks import TaskOwner
from townwatch.store import commands, idempotency
from townwatch.store.database import Database

log = structlog.get_logger("authority")

ROUND_SECONDS = 5.0
END_SECONDS = 5.0
KEPT_MS = 7 * 86_400_000
"""How long settled commands and idempotency keys are kept."""


class Authority(TaskOwner):
    """Looks until it is stopped."""

    def __init__(
        self, context: Context, database: Database, detached_hours: float, every: float = ROUND_SECONDS
    ) -> None:
        """`detached_hours`: 0 for no end of detached sessions."""
        super().__init__()
        self._context = context
        self._database = database
        self._detached_seconds = detached_hours * 3600
        self._every = every
        self._away: dict[str, float] = {}
        """Runner → since when it is known to be away, by trio's clock."""

    def on_start(self) -> None:
        self.tasks.start_soon(self._rounds)

    async def _rounds(self) -> None:
        while True:
            with suppress(TablesUnavailable):  # the next round comes
                await self.look()
            await trio.sleep(self._every)

    async def look(self) -> None:
        """Do one round."""
        now = self._context.clock.now_ms()
        for command_id in await self._database.call(commands.expire, now):
            log.warning("command_expired", command=command_id)
        await self._database.call(_forget, now - KEPT_MS)
        for state in self._context.board:
            reason = None if state.ended or not state.runner_id else self._why_end(state)
            if reason is not None:
                await end(self._context, state.session_id, reason)

    def _why_end(self, state: SessionState) -> str | None:
        status, _heard = self._context.last_seen.get(state.runner_id, ("offline", 0.0))
        if status != "offline":
            self._away.pop(state.runner_id, None)
            return None
        away = trio.current_time() - self._away.setdefault(state.runner_id, trio.current_time())
        if self._detached_seconds and away >= self._detached_seconds and state.seq > 0:
            return f"detached: its runner has been away for more than {self._detached_seconds / 3600:g} hours"
        return None


async def end(context: Context, session_id: str, reason: str, *, stop: bool = True) -> None:
    """End one session; returns when the end is on its way to the disk. Nothing is raised where it has ended already, or
    could not be told in time.
    """
    with suppress(ActorDeadError, trio.TooSlowError, m.SessionOver):
        session = await context.router_call(m.LocateSession(session_id))
        if session is not None:
            await session.call(m.End(reason, "the service", stop), timeout=END_SECONDS)


async def end_all_of(context: Context, runner_id: str, reason: str) -> None:
    """End every live session of a runner that is no more, and of its slots."""
    for state in context.board:
        if not state.ended and (state.runner_id == runner_id or state.runner_id.startswith(f"{runner_id}.")):
            await end(context, state.session_id, reason, stop=False)


def _forget(connection: Connection, before_ms: int) -> None:
    commands.forget(connection, before_ms)
    idempotency.forget(connection, before_ms)

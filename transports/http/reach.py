"""How routes reach sessions: those that one may see, and the actor of one."""

from typing import Any

import structlog

from access.gate import NotFound
from access.policy import Action
from actors import messages as m
from actors.session_state import SessionState
from store import villages
from transports.http.operation import Call
from transports.http.problems import ProblemError, not_found

log = structlog.get_logger("http")

SESSION_SECONDS = 10.0


async def sessions(call: Call[Any, Any], village_id: str | None) -> list[SessionState]:
    """The sessions of one village, or of all that the caller may see. Raises 404 for a village they may not."""
    board = call.api.context.board
    if village_id is not None:
        try:
            await call.api.gate.check(call.subject, Action.READ, "village", village_id)
        except NotFound:
            raise not_found(f"village {village_id!r}") from None
        return board.of_village(village_id)
    seen = await call.api.database.read(villages.of_user, call.subject.user_id)
    return [state for village in seen for state in board.of_village(village.village_id)]


async def tell(call: Call[Any, Any], message: Any) -> Any:
    """The answer of the session's actor."""
    session = await call.api.context.router_call(m.LocateSession(call.session.session_id))
    if session is None:
        raise not_found(f"session {call.session.session_id!r}")
    try:
        return await session.call(message, timeout=SESSION_SECONDS)
    except m.RunnerOffline as error:
        state = call.api.context.board.session(call.session.session_id)
        if state is not None and state.ended:
            raise ProblemError(409, str(error), "E_SESSION_ENDED") from None
        raise

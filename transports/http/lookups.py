"""Lookups of what the caller may see: villages, sessions, and the actor of one session."""

from collections.abc import Sequence
from typing import Any

import structlog

from townwatch.access.gate import NotFound
from townwatch.access.policy import Action, administers
from townwatch.actors import commands
from townwatch.actors.rendering import shown
from townwatch.actors.session.state import SessionState
from townwatch.contracts import rest
from townwatch.store import sessions as session_rows, villages
from townwatch.store.villages import VillageOf
from townwatch.transports.http.operation import Call
from townwatch.transports.http.problems import ProblemError, not_found

log = structlog.get_logger("http")
Filters = rest.SessionQuery | rest.SearchQuery | rest.SessionFilter


async def village(call: Call[Any, Any], action: Action, name: str) -> str:
    """Return the key of the village of this name. Raises 404 where the caller may not see it, 403 where they may not
    do that in it.
    """
    try:
        return await call.api.gate.village(call.subject, action, name)
    except NotFound:
        raise not_found(f"village {name[:200]!r}") from None


async def villages_seen(call: Call[Any, Any], *, public_too: bool = True) -> list[VillageOf]:
    """Return the villages that the caller may see; an administrator sees all."""
    subject = call.subject
    everything = administers(subject)
    return await call.api.database.read(
        villages.of_user, subject.user_id, public_too=public_too, all_of_them=everything
    )


async def sessions(call: Call[Any, Any], name: str | None) -> list[SessionState]:
    """Return the sessions of one village, or of all that the caller may see. Raises 404 for one they may not see."""
    board = call.api.context.board
    return [state for key in await village_keys(call, name) for state in board.of_village(key)]


async def matching(call: Call[Any, Any], query: Filters, states: Sequence[SessionState]) -> list[SessionState]:
    """Return those of the sessions that the query's filters leave."""
    found = [one for one in states if _matches(one, query)]
    if query.started_by is None:
        return found
    known = await starters(call, found)
    return [one for one in found if one.session_id in known and known[one.session_id].user_id == query.started_by]


def _matches(one: SessionState, query: Filters) -> bool:
    created = one.created_at or 0
    runner_id = query.runner_id if isinstance(query, rest.SessionQuery) else None
    return (
        query.outcome in (None, one.state.lower() if one.ended else "live")
        and query.repo_id in (None, one.repo_id)
        and query.agent_id in (None, one.agent_id)
        and (runner_id is None or one.runner_id == runner_id or one.runner_id.startswith(f"{runner_id}."))
        and (query.since is None or created >= query.since)
        and (query.until is None or created < query.until)
    )


def listed(call: Call[Any, Any], state: SessionState) -> dict[str, Any]:
    """Return the fields that lists show of a session beside its own."""
    context = call.api.context
    return shown.fields_of(state, context.open_alerts(state), context.seen_failures.get(state.session_id), call.now_ms)


async def village_keys(call: Call[Any, Any], name: str | None) -> list[str]:
    """Return the key of one village, or of all that the caller may see. Raises 404 for one they may not see."""
    if name is not None:
        return [await village(call, Action.READ, name)]
    return [one.village_id for one in await villages_seen(call)]


async def starters(call: Call[Any, Any], states: Sequence[SessionState]) -> dict[str, rest.StartedBy]:
    """Return who started which of these sessions, for those in villages that the caller is a member of."""
    seen = await villages_seen(call, public_too=False)
    mine = {one.village_id for one in seen}
    asked = [one.session_id for one in states if one.village_id in mine]
    known = await call.api.database.read(session_rows.starters, asked) if asked else {}
    return {session: rest.StartedBy(user_id=who, name=name) for session, (who, name) in known.items()}


async def tell(call: Call[Any, Any], message: Any) -> Any:
    """Return the answer of the session's actor. Raises 404 where it is gone."""
    try:
        return await commands.tell(call.api.context, call.session.session_id, message)
    except commands.NotVisible:
        raise not_found(f"session {call.session.session_id!r}") from None


async def order(call: Call[Any, Any], message: Any, seconds: float) -> rest.Promised:
    """Tell the session, and wait a moment for its runner's word. Raises 409 where the runner refuses."""
    try:
        outcome = await commands.wait_for_runner(await tell(call, message), seconds)
    except commands.RunnerRefused as error:
        raise ProblemError(409, str(error), "E_RUNNER_REFUSED", {"code": error.code}) from None
    return rest.Promised(command_id=outcome.command_id, state=outcome.state)

"""Sessions counted by what a list of them can be narrowed by."""

from collections import Counter
from collections.abc import Callable, Sequence

import attrs

from townwatch.access.policy import Action
from townwatch.actors.session.state import SessionState
from townwatch.contracts import rest
from townwatch.transports.http import lookups
from townwatch.transports.http.operation import Call, Routes

routes = Routes("Sessions")
MOST = 2000
"""Sessions that are counted; of more it would hold up other requests."""


@routes.get(
    "/api/session-counts", rest.SessionCounts, who="visitor", may=Action.READ, on="list", query=rest.SessionFilter
)
async def count_sessions(call: Call[None, rest.SessionFilter]) -> rest.SessionCounts:
    """Count the sessions you may see by house, agent, person and outcome, for each as the other filters leave them."""
    seen = await lookups.sessions(call, call.query.village_id)
    if len(seen) > MOST:
        return rest.SessionCounts(houses=None, agents=None, people=None, outcomes=None)

    async def by(name: str, key: Callable[[SessionState], str | None]) -> dict[str, int]:
        return _counted(await lookups.matching(call, attrs.evolve(call.query, **{name: None}), seen), key)

    started = await lookups.starters(call, seen)

    def starter(one: SessionState) -> str | None:
        found = started.get(one.session_id)
        return None if found is None else found.user_id

    return rest.SessionCounts(
        houses=await by("repo_id", lambda one: one.repo_id if one.repo_path else None),
        agents=await by("agent_id", lambda one: one.agent_id),
        people=await by("started_by", starter),
        outcomes=await by("outcome", lambda one: one.state.lower() if one.ended else "live"),
    )


def _counted(states: Sequence[SessionState], key: Callable[[SessionState], str | None]) -> dict[str, int]:
    return dict(Counter(found for one in states if (found := key(one)) is not None))

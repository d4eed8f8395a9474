"""Search in what was said and done in sessions: by the rights of reading them, and no others."""

from townwatch.access.policy import Action
from townwatch.actors.session.state import SessionState
from townwatch.contracts import rest
from townwatch.contracts.village_ids import name_of
from townwatch.store.search.query import QueryError, parse
from townwatch.store.search.records import FoundText, Freshness, SearchError, Wanted
from townwatch.transports.http import lookups
from townwatch.transports.http.operation import Call, Routes
from townwatch.transports.http.paging import unknown_cursor
from townwatch.transports.http.problems import ProblemError
from townwatch.transports.http.streams import reader_of

routes = Routes("Search")


@routes.get("/api/search", rest.SearchResults, who="visitor", may=Action.READ, on="list", query=rest.SearchQuery)
async def search(call: Call[None, rest.SearchQuery]) -> rest.SearchResults:
    """Search prompts, messages, tools, terminals, paths, approvals, tests and alerts of the sessions you may see.

    Newest first. Words must all be there; "words in this order"; prefix*; !word that must not be there. The terminal
    is searched as people saw it. The index follows the log and says how far it is behind.
    """
    asked = call.query
    villages = await lookups.village_keys(call, asked.village_id)
    before = _place(asked.cursor)
    try:
        query = parse(asked.q)
    except QueryError as error:
        return await _nothing(call, villages, str(error))
    wanted = Wanted(
        query=query,
        village_ids=villages,
        session_ids=await _sessions(call, villages),
        kind=asked.kind,
        before=before,
        limit=asked.limit,
    )
    try:
        async with call.api.pages.place(reader_of(call)):
            freshness = await call.api.search.freshness(villages)  # first: the answer has at least what it counts
            found = await call.api.search.find(wanted)
    except SearchError as error:
        raise ProblemError(503, str(error), "E_SEARCH", headers={"retry-after": "5"}) from None
    board = call.api.context.board
    seen = [(one, board.session(one.session_id)) for one in found.matches]
    return rest.SearchResults(
        items=[_hit(one, state) for one, state in seen if state is not None and state.village_id in villages],
        next=str(found.next) if found.next is not None else None,
        total=found.total,
        more_than_total=found.more_than_total,
        advice=None,
        index=_index(freshness),
    )


async def _nothing(call: Call[None, rest.SearchQuery], villages: list[str], advice: str) -> rest.SearchResults:
    """The answer to a query that names nothing to look for."""
    index = _index(await call.api.search.freshness(villages))
    return rest.SearchResults(items=[], next=None, total=0, more_than_total=False, advice=advice, index=index)


async def _sessions(call: Call[None, rest.SearchQuery], villages: list[str]) -> list[str] | None:
    """The sessions that the filters leave; None for all of the villages."""
    asked = call.query
    filters = (asked.repo_id, asked.agent_id, asked.session_id, asked.started_by, asked.outcome, asked.since)
    if asked.until is None and not any(one is not None for one in filters):
        return None
    board = call.api.context.board
    seen = [state for village in villages for state in board.of_village(village)]
    found = await lookups.matching(call, asked, seen)
    return [one.session_id for one in found if asked.session_id in (None, one.session_id)]


def _place(cursor: str | None) -> int | None:
    if cursor is None:
        return None
    if not (cursor.isascii() and cursor.isdecimal() and len(cursor) <= 18):
        raise unknown_cursor()
    return int(cursor)


def _hit(match: FoundText, state: SessionState) -> rest.SearchHit:
    return rest.SearchHit(
        session_id=state.session_id,
        agent_id=state.agent_id,
        agent_name=state.agent_name or state.agent_id,
        village_id=name_of(state.village_id),
        repo_id=state.repo_id,
        repo_path=state.repo_path,
        state=state.state,
        kind=match.kind,
        seq=match.seq,
        at=match.at_ms,
        snippet=match.snippet,
        matches=[list(span) for span in match.spans],
    )


def _index(freshness: Freshness) -> rest.SearchIndexView:
    state = "current" if not freshness.behind else "behind" if freshness.reason is None else "stopped"
    return rest.SearchIndexView(
        state=state, behind_events=freshness.behind, current_at=freshness.current_at, reason=freshness.reason
    )

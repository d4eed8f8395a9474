"""Full-text search over what happened in sessions."""

from typing import Annotated, Literal

import attrs
import msgspec

from townwatch.contracts.events import EpochMs, Id, State
from townwatch.contracts.rest.sessions import SessionOutcome
from townwatch.contracts.rest.shared import Cursor

Kind = Literal["prompt", "message", "tool", "terminal", "path", "approval", "test", "alert", "state"]


@attrs.frozen(kw_only=True)
class SearchQuery:
    """`q`: words that must all be there; "words in this order"; prefix*; !word that must not be there. `kind`: kind
    of the text. The others say in which sessions, as for their list.
    """

    q: Annotated[str, msgspec.Meta(min_length=1, max_length=200)]
    village_id: Id | None = None
    repo_id: Id | None = None
    agent_id: Id | None = None
    session_id: Id | None = None
    started_by: Id | None = None
    outcome: SessionOutcome | None = None
    since: EpochMs | None = None
    until: EpochMs | None = None
    kind: Kind | None = None
    cursor: Cursor | None = None
    limit: Annotated[int, msgspec.Meta(ge=1, le=100)] = 20


@attrs.frozen(kw_only=True)
class SearchHit:
    """Text that matches, said in a session up to its event `seq`, at `at`.

    `matches`: pairs of from and to before, in characters (Unicode code points) of `snippet`.
    """

    session_id: str
    agent_id: str
    agent_name: str
    village_id: str
    repo_id: str
    repo_path: str
    state: State
    kind: Kind
    seq: int
    at: int
    snippet: str
    matches: list[Annotated[list[int], msgspec.Meta(min_length=2, max_length=2)]]


@attrs.frozen(kw_only=True)
class SearchIndexView:
    """State of the index. `behindEvents`: how many events it is behind what there is to search. current: nothing is
    missing. stopped: it does not go on now, `reason` says why. `currentAt`: when it had everything last; null: not
    since the service started.
    """

    state: Literal["current", "behind", "stopped"]
    behind_events: int
    current_at: int | None
    reason: str | None


@attrs.frozen(kw_only=True)
class SearchResults:
    """Newest first. `total`: matches on all pages; `moreThanTotal`: they were not counted further. `advice`: why
    nothing can be found with this query, and what to do; null where something may be.
    """

    items: list[SearchHit]
    next: str | None
    total: int
    more_than_total: bool
    advice: str | None
    index: SearchIndexView

"""Sessions of agents, and what people tell them."""

from typing import Annotated, Any, Literal

import attrs
import msgspec

from contracts.events import ApprovalRequest, Id, State, UsageMetrics
from contracts.rest.shared import Cursor, Limit


@attrs.frozen(kw_only=True)
class SessionQuery:
    """`live`: only those that have not ended."""

    village_id: Id | None = None
    live: bool = False
    cursor: Cursor | None = None
    limit: Limit = 100


@attrs.frozen(kw_only=True)
class StartedSession:
    session_id: str
    agent_id: str


@attrs.frozen(kw_only=True)
class SessionView:
    """A session after its event number `lastEventSeq`. `detached`: its runner is away; it has not ended."""

    session_id: str
    agent_id: str
    agent_name: str
    village_id: str
    repo_id: str
    repo_path: str
    provider_id: str | None
    workspace_path: str | None
    runner_id: str
    state: State
    reason: str | None
    detached: bool
    last_event_seq: int
    last_event_at: float | None
    created_at: float | None
    started_at: float | None
    ended_at: float | None
    exit_code: int | None
    pending_approvals: list[ApprovalRequest]
    usage: UsageMetrics
    last_test: dict[str, Any] | None
    diff: dict[str, Any] | None


@attrs.frozen(kw_only=True)
class SessionList:
    items: list[SessionView]
    next: str | None


@attrs.frozen(kw_only=True)
class TypedInput:
    """`mode` raw sends the text as it is, line adds Enter."""

    data: Annotated[str, msgspec.Meta(max_length=65_536)]
    mode: Literal["raw", "line"] = "raw"


@attrs.frozen(kw_only=True)
class StopSession:
    graceful: bool = True


@attrs.frozen(kw_only=True)
class TerminalSize:
    cols: Annotated[int, msgspec.Meta(ge=1, le=1000)]
    rows: Annotated[int, msgspec.Meta(ge=1, le=1000)]


@attrs.frozen(kw_only=True)
class EventQuery:
    """`after`: a seq, or the `next` of the page before. `exclude`: types to leave out, with commas between."""

    after: Annotated[int, msgspec.Meta(ge=0, le=2**53 - 1)] = 0
    cursor: Annotated[int, msgspec.Meta(ge=0, le=2**53 - 1)] | None = None
    limit: Annotated[int, msgspec.Meta(ge=1, le=1000)] = 200
    exclude: Annotated[str, msgspec.Meta(max_length=500)] | None = None


@attrs.frozen(kw_only=True)
class EventExport:
    """`after`: the seq of the last line one has, or the `x-next-after` of the answer before."""

    after: Annotated[int, msgspec.Meta(ge=0, le=2**53 - 1)] = 0


@attrs.frozen(kw_only=True)
class EventList:
    """Runner events as on the wire. `next` is the seq to go on after; null when there is nothing later yet."""

    items: list[dict[str, Any]]
    next: int | None

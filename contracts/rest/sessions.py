"""Sessions of agents, and what people tell them."""

from typing import Annotated, Any, Literal

import attrs
import msgspec

from townwatch.contracts.agent_events import AgentStatus, WorktreeStatus
from townwatch.contracts.events import ApprovalRequest, EpochMs, Id, RepoRef, State, UsageMetrics
from townwatch.contracts.lists import LastTest, ListedAlert, SeenBy
from townwatch.contracts.policy import Budget
from townwatch.contracts.rest.shared import Cursor, Limit
from townwatch.contracts.tasks import CheckoutSpec, PolicySpec, TaskSpec, WorktreeSpec

SessionOutcome = Literal["live", "completed", "failed"]


@attrs.frozen(kw_only=True)
class SessionQuery:
    """`live`: only those that have not ended; `outcome` says more. `repoId`: one house. `startedBy`: a user id, of
    sessions that were started at the service in villages where you are a member. `runnerId`: of this runner
    and its slots. `since`, `until`: created from then
    on, and before then.
    """

    village_id: Id | None = None
    live: bool = False
    repo_id: Id | None = None
    agent_id: Id | None = None
    runner_id: Id | None = None
    started_by: Id | None = None
    outcome: SessionOutcome | None = None
    since: EpochMs | None = None
    until: EpochMs | None = None
    cursor: Cursor | None = None
    limit: Limit = 100


@attrs.frozen(kw_only=True)
class StartedSession:
    session_id: str
    agent_id: str


@attrs.frozen(kw_only=True)
class SessionOrderView:
    """The order that a session was started with. `runnerId`: the runner that took it."""

    provider_id: str
    repo_ref: RepoRef
    task: TaskSpec
    policy: PolicySpec
    agent_name: str | None
    checkout: CheckoutSpec | None
    room_path: str | None
    command: list[str] | None
    worktree: WorktreeSpec | None
    model: str | None
    runner_id: str | None
    budget: Budget | None = None


@attrs.frozen(kw_only=True)
class QueuedPromptView:
    prompt_id: str
    text: str
    by: str | None
    queued_at: float


@attrs.frozen(kw_only=True)
class AgentStateView:
    """State of an agent's CLI, as it tells it. `statusFor`: what it waits for, or why its status is not known."""

    status: AgentStatus
    status_for: str | None
    since: float | None
    cli_session_id: str | None
    model: str | None
    mode: str | None
    version: str | None
    prompts: list[QueuedPromptView]
    resume: list[str] | None = None
    """The command line that goes on with the conversation in a terminal."""


@attrs.frozen(kw_only=True)
class WorktreeView:
    """The working tree of the session's own. kept: it outlived the session, and `reason` says what only it has."""

    branch: str
    path: str
    status: WorktreeStatus
    base: str | None = None
    reason: str | None = None


@attrs.frozen(kw_only=True)
class CleanWorktree:
    """`discard`: remove it with whatever only it has; else it is removed only where all of it is merged."""

    discard: bool = False


@attrs.frozen(kw_only=True)
class PromptBody:
    """`mode` send gives it now (or when a turn under way has ended), queue when the agent is idle, interrupt ends the
    turn under way first; without a text, that is all it does.
    """

    text: Annotated[str, msgspec.Meta(max_length=65_536)]
    mode: Literal["send", "queue", "interrupt"] = "send"


@attrs.frozen(kw_only=True)
class TakenPrompt:
    prompt_id: str


@attrs.frozen(kw_only=True)
class PromptList:
    items: list[QueuedPromptView]


@attrs.frozen(kw_only=True)
class StartedBy:
    """The person who started a session at the service. `name` is null where the person is gone."""

    user_id: str
    name: str | None


@attrs.frozen(kw_only=True)
class WorkspaceView:
    """The place that a session works in, in the original's words, as far as it is known."""

    worktree_path: str
    repo_ref: RepoRef | None = None
    created_at: float | None = None


@attrs.frozen(kw_only=True)
class SessionView:
    """A session after its event number `lastEventSeq`. `detached`: its runner is away; it has not ended. `startedBy`:
    for members of its village; null where it was started at its machine.

    `pendingApprovalIds`, `workspace` and `errorMessage` (why it failed) are what the original's clients read.
    Times are of the service's clock, but `reportedAt`, the runner's at the last event. `activityAt`: the last sign of
    work (output, a file, a test, a provider's event, input); `activity`: signs in each of the last fifteen minutes.
    """

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
    last_test: LastTest | None
    diff: dict[str, Any] | None
    reported_at: float | None
    activity_at: int | None
    activity: list[int]
    state_at: int | None
    turn_ended_at: int | None
    last_line: str
    open_alerts: list[ListedAlert]
    seen_by: SeenBy | None = None
    agent: AgentStateView | None = None
    worktree: WorktreeView | None = None
    resume_of: str | None = None
    started_by: StartedBy | None
    pending_approval_ids: list[str]
    workspace: WorkspaceView | None = None
    error_message: str | None = None


@attrs.frozen(kw_only=True)
class SessionFilter:
    """Filters of the sessions to count; the same as those of their list."""

    village_id: Id | None = None
    repo_id: Id | None = None
    agent_id: Id | None = None
    started_by: Id | None = None
    outcome: SessionOutcome | None = None
    since: EpochMs | None = None
    until: EpochMs | None = None


@attrs.frozen(kw_only=True)
class SessionCounts:
    """Sessions by house (`repoId`), agent, person who started them (`userId`) and outcome. Each counts what all the
    other filters leave, so that a count is what one would see by choosing it. All null: there are too many to count.
    """

    houses: dict[str, int] | None
    agents: dict[str, int] | None
    people: dict[str, int] | None
    outcomes: dict[str, int] | None


@attrs.frozen(kw_only=True)
class SessionList:
    """`total`: sessions on all pages."""

    items: list[SessionView]
    next: str | None
    total: int


@attrs.frozen(kw_only=True)
class TypedInput:
    """`mode` raw sends the text as it is, line adds Enter."""

    data: Annotated[str, msgspec.Meta(max_length=65_536)]
    mode: Literal["raw", "line"] = "raw"


@attrs.frozen(kw_only=True)
class StopSession:
    graceful: bool = True


@attrs.frozen(kw_only=True)
class EndSession:
    """An owner's word that a session is lost."""

    reason: Annotated[str, msgspec.Meta(min_length=1, max_length=500)]


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

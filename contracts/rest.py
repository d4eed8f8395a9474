"""REST (CONTRACT section 6): the bodies that come in, the query parameters, the answers. The OpenAPI document is made
from these classes.

Times are epoch milliseconds. Lists are {items, next}: `next` is the cursor of the following page, null at the end.
"""

from typing import Annotated, Any, Literal

import attrs
import msgspec

from contracts.events import ApprovalRequest, Decision, Id, NonNegative, State, UsageMetrics
from contracts.link import Capabilities, Load, SpoolSize
from contracts.ui import Indicators

NO_CONTROLS = r"^[^\x00-\x1f\x7f]*$"
Name = Annotated[str, msgspec.Meta(min_length=1, max_length=200, pattern=NO_CONTROLS)]
Note = Annotated[str, msgspec.Meta(max_length=2000, pattern=r"^[^\x00]*$")]
VillageId = Annotated[str, msgspec.Meta(min_length=1, max_length=64, pattern=r"^[A-Za-z0-9][A-Za-z0-9_.-]*$")]
RunnerId = Annotated[str, msgspec.Meta(min_length=1, max_length=200, pattern=r"^[\x21-\x7e]+$")]
Secret = Annotated[str, msgspec.Meta(min_length=1, max_length=1000)]
Cursor = Annotated[str, msgspec.Meta(min_length=1, max_length=1000)]
Limit = Annotated[int, msgspec.Meta(ge=1, le=200)]
Role = Literal["owner", "operator", "viewer"]
RunnerStatus = Literal["online", "offline", "draining", "maintenance"]
Scope = Literal["read", "drive", "decide", "manage", "admin"]


# --- what all routes share ---------------------------------------------------------------------------------------


@attrs.frozen(kw_only=True)
class Problem:
    """What was wrong, where, and what to do. `code` is for programs, `message` is one line for people."""

    code: str
    message: str
    details: Any = None


@attrs.frozen(kw_only=True)
class ErrorAnswer:
    """Every answer that is not a success."""

    error: Problem


@attrs.frozen(kw_only=True)
class Done:
    """It was done."""

    ok: bool = True


@attrs.frozen(kw_only=True)
class PageQuery:
    """`cursor`: the `next` of the page before."""

    cursor: Cursor | None = None
    limit: Limit = 100


# --- system ------------------------------------------------------------------------------------------------------


@attrs.frozen(kw_only=True)
class Alive:
    """The process answers."""

    status: Literal["ok"] = "ok"


@attrs.frozen(kw_only=True)
class Ready:
    """The service takes work."""

    ready: bool


@attrs.frozen(kw_only=True)
class ServiceStatus:
    """Which version, and since when."""

    version: str
    uptime_ms: float
    started_at: float


@attrs.frozen(kw_only=True)
class MailboxView:
    """Messages waiting, the most there may be (null: no limit) and the most there ever were."""

    depth: int
    capacity: int | None
    high_water: int
    dropped: int
    policy: str


@attrs.frozen(kw_only=True)
class ExitView:
    """Why it last ended, and how many seconds ago."""

    reason: str
    age: float


@attrs.frozen(kw_only=True)
class SupervisionNode:
    """An actor or a supervisor; its children are such nodes too. `more`: children left out. Times are seconds."""

    id: str
    kind: str
    actor: str
    path: str | None
    state: str
    incarnation: int
    uptime: float
    restarts: int
    in_hand: str | None
    mailbox: MailboxView | None
    last_exit: ExitView | None
    strategy: str | None
    intensity: int | None
    period: float | None
    recent: int | None
    children: list[dict[str, Any]]
    more: int


# --- sign-in -----------------------------------------------------------------------------------------------------


@attrs.frozen(kw_only=True)
class ExchangeCode:
    """The one-time code of a sign-in link."""

    code: Secret


@attrs.frozen(kw_only=True)
class PasswordSignIn:
    email: Annotated[str, msgspec.Meta(min_length=1, max_length=320)]
    password: Secret


@attrs.frozen(kw_only=True)
class UserView:
    user_id: str
    name: str


@attrs.frozen(kw_only=True)
class SignedIn:
    """An access token, for the Authorization header and the handshake."""

    token: str
    expires_at: float
    user: UserView


@attrs.frozen(kw_only=True)
class SignInProvider:
    """`label`: what people call it. `start`: where a browser goes, with `?then=#/place/on/the/page`."""

    label: str
    start: str


@attrs.frozen(kw_only=True)
class SignInMethods:
    """How one can sign in here, beside a link. `provider`: another's, by OpenID Connect; null: there is none."""

    password: bool
    provider: SignInProvider | None


@attrs.frozen(kw_only=True)
class SignedOut:
    """`providerUrl`: where a browser goes to end its session at the provider too; null: nowhere."""

    provider_url: str | None


@attrs.frozen(kw_only=True)
class SignInLink:
    """`code` signs in once; `path` is where the page takes it."""

    code: str
    path: str
    expires_at: float


@attrs.frozen(kw_only=True)
class MyVillage:
    """`role` is null for a public village of others."""

    village_id: str
    name: str
    public: bool
    role: Role | None


@attrs.frozen(kw_only=True)
class Me:
    user_id: str
    name: str
    admin: bool
    scopes: list[str]
    villages: list[MyVillage]


@attrs.frozen(kw_only=True)
class NewToken:
    """`lifetimeDays`: days until it ends, at most ten years."""

    name: Name
    scopes: Annotated[list[Scope], msgspec.Meta(min_length=1)]
    lifetime_days: Annotated[int, msgspec.Meta(ge=1, le=3650)] = 90


@attrs.frozen(kw_only=True)
class GrantedToken:
    """The secret is shown here once and kept nowhere."""

    token_id: str
    token: str
    expires_at: float | None


@attrs.frozen(kw_only=True)
class TokenView:
    """`usedAt` is right to the minute."""

    token_id: str
    name: str
    scopes: list[str]
    created_at: float
    expires_at: float | None
    used_at: float | None
    revoked_at: float | None


@attrs.frozen(kw_only=True)
class TokenList:
    items: list[TokenView]
    next: str | None


# --- villages ----------------------------------------------------------------------------------------------------


@attrs.frozen(kw_only=True)
class VillageList:
    items: list[MyVillage]
    next: str | None


@attrs.frozen(kw_only=True)
class NewVillage:
    """Whoever makes it is its owner."""

    village_id: VillageId
    name: Name
    public: bool = False


@attrs.frozen(kw_only=True)
class VillageChange:
    """What is left out stays."""

    name: Name | None = None
    public: bool | None = None


@attrs.frozen(kw_only=True)
class HouseView:
    """A repository and what goes on in it. `houseId` and `repoId` are the same."""

    house_id: str
    repo_id: str
    village_id: str
    name: str
    repo_path: str
    version: int
    indicators: Indicators


@attrs.frozen(kw_only=True)
class HouseList:
    items: list[HouseView]
    next: str | None


@attrs.frozen(kw_only=True)
class AgentView:
    """An agent in its latest session."""

    agent_id: str
    session_id: str
    village_id: str
    repo_id: str
    agent_name: str
    agent_type: str
    repo_path: str
    state: State
    reason: str | None
    runner_id: str
    runner_status: RunnerStatus
    started_at: float | None
    ended_at: float | None
    last_event_at: float | None
    last_event_seq: int
    pending_approvals: list[ApprovalRequest]
    usage: UsageMetrics


@attrs.frozen(kw_only=True)
class AgentList:
    items: list[AgentView]
    next: str | None


@attrs.frozen(kw_only=True)
class MemberView:
    user_id: str
    name: str
    email: str | None
    role: Role
    added_at: float


@attrs.frozen(kw_only=True)
class MemberList:
    items: list[MemberView]
    next: str | None


@attrs.frozen(kw_only=True)
class MemberRole:
    role: Role


@attrs.frozen(kw_only=True)
class AuditEntry:
    """One action of somebody."""

    audit_id: int
    at: float
    kind: str
    action: str
    user_id: str | None
    token_id: str | None
    village_id: str | None
    session_id: str | None
    target: str | None
    address: str | None
    details: Any


@attrs.frozen(kw_only=True)
class AuditList:
    items: list[AuditEntry]
    next: str | None


# --- sessions ----------------------------------------------------------------------------------------------------


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
class EventList:
    """Runner events as on the wire. `next` is the seq to go on after; null when there is nothing later yet."""

    items: list[dict[str, Any]]
    next: int | None


# --- approvals ---------------------------------------------------------------------------------------------------


@attrs.frozen(kw_only=True)
class ApprovalQuery:
    village_id: Id | None = None
    cursor: Cursor | None = None
    limit: Limit = 100


@attrs.frozen(kw_only=True)
class PendingApproval(ApprovalRequest):
    """What waits for a decision, and where it belongs."""

    agent_id: str
    village_id: str


@attrs.frozen(kw_only=True)
class ApprovalList:
    items: list[PendingApproval]
    next: str | None


@attrs.frozen(kw_only=True)
class DecisionBody:
    decision: Decision
    note: Note | None = None


# --- runners -----------------------------------------------------------------------------------------------------


@attrs.frozen(kw_only=True)
class RegisterRunner:
    """What a runner says of itself. With a runner's own token `runnerId` may be left out."""

    runner_id: RunnerId | None = None
    name: Name | None = None
    hostname: Name | None = None
    version: Name | None = None
    mode: Literal["hosted", "customer_hosted"] = "customer_hosted"
    capabilities: Capabilities = attrs.field(factory=Capabilities)
    labels: dict[str, str] = attrs.field(factory=dict)
    metadata: dict[str, Any] = attrs.field(factory=dict)


@attrs.frozen(kw_only=True)
class RunnerHeartbeat:
    active_sessions: list[Id] = attrs.field(factory=list)
    load: Load = attrs.field(factory=Load)
    spool: SpoolSize = attrs.field(factory=SpoolSize)


@attrs.frozen(kw_only=True)
class RunnerQuery:
    """`villageId`: those that may serve this village."""

    village_id: Id | None = None
    cursor: Cursor | None = None
    limit: Limit = 100


@attrs.frozen(kw_only=True)
class RunnerView:
    """`status` says what the service sees and people want; `connected`: it has a connection now; `heardAt`: when
    anything was last heard of it.
    """

    runner_id: str
    name: str
    village_id: str | None
    hostname: str | None
    version: str | None
    mode: str
    status: RunnerStatus
    connected: bool
    heard_at: float | None
    created_at: float | None
    capabilities: Capabilities
    labels: dict[str, str]
    metadata: dict[str, Any]
    active_sessions: NonNegative
    load: Load | None


@attrs.frozen(kw_only=True)
class RunnerList:
    items: list[RunnerView]
    next: str | None


@attrs.frozen(kw_only=True)
class RunnerMode:
    """active takes new sessions again; draining and maintenance take none."""

    state: Literal["active", "draining", "maintenance"]


@attrs.frozen(kw_only=True)
class NewEnrolment:
    """A code that takes one runner in. `villageId` left out: a runner for every village."""

    village_id: Id | None = None
    name: Name | None = None


@attrs.frozen(kw_only=True)
class EnrolmentCode:
    """For ``townwatch runner join URL --code …``; good once, for an hour."""

    code: str
    expires_at: float


@attrs.frozen(kw_only=True)
class JoinRunner:
    code: Secret
    name: Name
    hostname: Name | None = None


@attrs.frozen(kw_only=True)
class JoinedRunner:
    """The runner's token is shown here once."""

    runner_id: str
    token: str

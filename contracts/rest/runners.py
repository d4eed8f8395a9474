"""Runners: who they are, and how they are."""

from typing import Annotated, Any, Literal

import attrs
import msgspec

from townwatch.contracts.events import Id, NonNegative
from townwatch.contracts.link import Capabilities, Load, SpoolSize
from townwatch.contracts.lists import OutsideConversation, UnreadConversations
from townwatch.contracts.rest.shared import Cursor, Limit, Name, RunnerId, RunnerStatus, Secret, VillageId


@attrs.frozen(kw_only=True)
class RegisterRunner:
    """A runner's description of itself. With a runner's own token `runnerId` may be left out."""

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
    active_sessions: list[Id] | None = None
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
    """`status` says what the service sees and people want, `wanted` what people want; `connected`: it has a connection
    now; `heardAt`: when anything was last heard of it. `villages`: those that it serves, as far as one may know of
    them. `activeSessions`: of its daemon, `sessionsBeside`: of other processes of it (`townwatch run`, the demo), which
    may be there while the daemon is not. `clockOffsetMs`: how far the service's clock is ahead of its own; `spool`:
    what it has not delivered yet; null where it has not told.
    """

    runner_id: str
    name: str
    villages: list[str]
    hostname: str | None
    version: str | None
    mode: str
    status: RunnerStatus
    wanted: Literal["active", "draining", "maintenance"]
    connected: bool
    heard_at: float | None
    created_at: float | None
    capabilities: Capabilities
    labels: dict[str, str]
    metadata: dict[str, Any]
    active_sessions: NonNegative
    sessions_beside: NonNegative
    load: Load | None
    spool: SpoolSize | None
    clock_offset_ms: float | None


@attrs.frozen(kw_only=True)
class RunnerList:
    items: list[RunnerView]
    next: str | None


@attrs.frozen(kw_only=True)
class ConversationQuery:
    """`runnerId`: the runner whose machine is asked; it has to serve the village."""

    runner_id: RunnerId


@attrs.frozen(kw_only=True)
class ConversationList:
    """The newest first, without those that this service knows as its own sessions' (`resumeOf` goes on with them).
    `unknown`: agents whose CLI's store could not be read, and why: nothing is known of their conversations.
    `truncated`: there are more.
    """

    runner_id: str
    items: list[OutsideConversation]
    unknown: list[UnreadConversations]
    truncated: bool


@attrs.frozen(kw_only=True)
class RunnerVillages:
    """The villages that a runner serves, by villageId, as far as the asker may see them. An empty list means none."""

    villages: Annotated[list[VillageId], msgspec.Meta(max_length=1000)]


@attrs.frozen(kw_only=True)
class RunnerMode:
    """active takes new sessions again; draining and maintenance take none."""

    state: Literal["active", "draining", "maintenance"]


@attrs.frozen(kw_only=True)
class NewEnrolment:
    """A code that takes one runner in. `villageId` left out: the runner serves none until it is granted."""

    village_id: Id | None = None
    name: Name | None = None


@attrs.frozen(kw_only=True)
class EnrolmentCode:
    """A code for ``townwatch runner join URL --code …``; good once, for an hour."""

    code: str
    expires_at: float


@attrs.frozen(kw_only=True)
class JoinRunner:
    code: Secret
    name: Name
    hostname: Name | None = None


@attrs.frozen(kw_only=True)
class JoinedRunner:
    """The runner's token is shown here once. `villageId` null: it serves none yet."""

    runner_id: str
    token: str
    village_id: str | None

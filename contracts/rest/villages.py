"""Villages: their houses, agents, members, and what was done in them."""

from typing import Annotated, Any

import attrs
import msgspec

from townwatch.contracts.events import ApprovalRequest, State, UsageMetrics
from townwatch.contracts.lists import LastTest, ListedAlert, SeenBy
from townwatch.contracts.rest.shared import Name, Role, RunnerStatus, VillageId
from townwatch.contracts.rest.sign_in import MyVillage
from townwatch.contracts.ui import Indicators


@attrs.frozen(kw_only=True)
class VillageList:
    items: list[MyVillage]
    next: str | None


@attrs.frozen(kw_only=True)
class NewVillage:
    """Its maker becomes its owner."""

    village_id: VillageId
    name: Name
    public: bool = False


@attrs.frozen(kw_only=True)
class VillageChange:
    """A field that is left out is not changed."""

    name: Name | None = None
    public: bool | None = None


@attrs.frozen(kw_only=True)
class HouseView:
    """A repository and what goes on in it. `houseId` and `repoId` are the same. `lastTest`: its roof, the last test run
    that has a result.
    """

    house_id: str
    repo_id: str
    village_id: str
    name: str
    repo_path: str
    version: int
    indicators: Indicators
    last_test: LastTest | None


@attrs.frozen(kw_only=True)
class HouseList:
    items: list[HouseView]
    next: str | None


@attrs.frozen(kw_only=True)
class AgentView:
    """An agent in its latest session. Times as in `SessionView`."""

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
    """One action of a person or a program."""

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
class AuditExport:
    """`after`: the auditId of the last line one has, or the `x-next-after` of the answer before."""

    after: Annotated[int, msgspec.Meta(ge=0, le=2**53 - 1)] = 0
    limit: Annotated[int, msgspec.Meta(ge=1, le=5000)] = 5000


@attrs.frozen(kw_only=True)
class AuditList:
    items: list[AuditEntry]
    next: str | None

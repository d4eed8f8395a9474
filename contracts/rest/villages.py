"""Villages: their houses, agents, members, and what was done in them."""

from typing import Annotated, Any

import attrs
import msgspec

from townwatch.contracts.events import ApprovalRequest, EpochMs, Id, State, UsageMetrics
from townwatch.contracts.lists import LastTest, ListedAlert, SeenBy
from townwatch.contracts.rest.shared import Cursor, Limit, Name, Role, RunnerStatus, VillageId
from townwatch.contracts.rest.sign_in import MyVillage
from townwatch.contracts.ui import Indicators


@attrs.frozen(kw_only=True)
class VillageList:
    items: list[MyVillage]
    next: str | None


@attrs.frozen(kw_only=True)
class NewVillage:
    """Its maker becomes its owner. `leaveOutTexts`: as in `VillageChange`."""

    village_id: VillageId
    name: Name
    public: bool = False
    leave_out_texts: bool = False


@attrs.frozen(kw_only=True)
class VillageChange:
    """A field that is left out is not changed. `leaveOutTexts`: what is said in the village's sessions (prompts,
    messages, inputs and outputs of tools, plans, questions, terminals) is shown live and not kept, from now on; a
    session of which something was left out stays so to its end.
    """

    name: Name | None = None
    public: bool | None = None
    leave_out_texts: bool | None = None


@attrs.frozen(kw_only=True)
class HouseChange:
    """`name`: what people call the house; null: as its repository's folder is called."""

    name: Name | None


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
class AuditQuery:
    """`userId`: what this person did. `action`: what it begins with, `runner.` or `runner.drain`. `since`, `until`: at
    or after, and before.
    """

    user_id: Id | None = None
    action: Annotated[str, msgspec.Meta(min_length=1, max_length=100)] | None = None
    since: EpochMs | None = None
    until: EpochMs | None = None
    cursor: Cursor | None = None
    limit: Limit = 100


@attrs.frozen(kw_only=True)
class AuditExport:
    """`after`: the auditId of the last line one has, or the `x-next-after` of the answer before."""

    after: Annotated[int, msgspec.Meta(ge=0, le=2**53 - 1)] = 0
    limit: Annotated[int, msgspec.Meta(ge=1, le=5000)] = 5000


@attrs.frozen(kw_only=True)
class AuditList:
    """`total`: how many fit the query; with `moreThanTotal` there are more than were counted."""

    items: list[AuditEntry]
    total: int
    more_than_total: bool
    next: str | None

"""What agents ask for, and what people decide."""

import attrs

from contracts.events import ApprovalRequest, Decision, Id
from contracts.rest.shared import Cursor, Limit, Note


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

"""What agents ask for, and what people decide."""

from access.policy import Action
from actors import messages as m
from contracts import rest
from transports.http import reach, views
from transports.http.operation import Call, Routes
from transports.http.paging import cut
from transports.http.problems import ProblemError

routes = Routes("Approvals")


@routes.get("/api/approvals", rest.ApprovalList, query=rest.ApprovalQuery)
async def list_approvals(call: Call[None, rest.ApprovalQuery]) -> rest.ApprovalList:
    """What waits for a decision in the villages that one may see, oldest first."""
    waiting = [
        views.pending_view(state, approval)
        for state in await reach.sessions(call, call.query.village_id)
        for approval in state.pending.values()
    ]
    page, following = cut(
        waiting,
        lambda one: (one.requested_at, one.session_id, one.approval_id),
        call.query.cursor,
        call.query.limit,
    )
    return rest.ApprovalList(items=page, next=following)


@routes.post(
    "/api/runner/sessions/{sessionId}/approvals/{approvalId}",
    rest.Done,
    on="session",
    may=Action.DECIDE,
    body=rest.DecisionBody,
    fails=(409,),
    audit="approval.decide",
)
async def decide_approval(call: Call[rest.DecisionBody, None]) -> rest.Done:
    """Allow or deny what an agent asks for.

    The first decision wins and names who made it. The same one again is fine; another one is a 409 with the one that
    stands. Without an answer in time the answer is no. A session that ends before the decision is with its runner is
    a no too: approval_resolved tells everybody how it ended, and from then on that is what stands."""
    approval_id, wanted = call.path["approvalId"][:200], call.body
    call.target, call.notes = approval_id, {"decision": wanted.decision}
    by = call.subject.name or call.user_id
    decision = m.Decide(approval_id, wanted.decision, by, wanted.note)
    standing = await reach.tell(call, decision)
    if standing.decision != wanted.decision:
        details = {"decision": standing.decision, "resolvedBy": standing.resolved_by, "note": standing.note}
        who = standing.resolved_by or "somebody"
        message = f"it is decided already: {standing.decision} by {who}"
        raise ProblemError(409, message, "E_DECIDED", {"standing": {k: v for k, v in details.items() if v is not None}})
    return rest.Done()

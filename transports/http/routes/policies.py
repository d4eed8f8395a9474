"""Rules of a village."""

from typing import Any

import trio

from townwatch.access.policy import Action
from townwatch.contracts import rest
from townwatch.contracts.codec import ContractError, Decoder
from townwatch.contracts.events import ApprovalRequest
from townwatch.contracts.policy import PolicyBody
from townwatch.policy.commands.paths import Place
from townwatch.policy.requests import request_of
from townwatch.policy.village import LayeredRule, PolicyDecision, decide_request
from townwatch.store import approvals, policies
from townwatch.store.approvals import Approval
from townwatch.transports.http.operation import Call, Routes
from townwatch.transports.http.problems import ProblemError
from townwatch.transports.http.streams import reader_of

routes = Routes("Policies")
_asked: Decoder[ApprovalRequest] = Decoder(ApprovalRequest)


@routes.get("/api/villages/{villageId}/policy", rest.PolicyView, on="village", may=Action.READ)
async def get_policy(call: Call[None, None]) -> rest.PolicyView:
    """Return the rules of a village."""
    found = await call.api.database.read(policies.of_village, call.path["villageId"])
    if found is None:
        return rest.PolicyView(version=0, rules=[], variables=[])
    body = found.body
    return rest.PolicyView(
        version=found.version,
        rules=body.rules,
        variables=body.variables,
        changed_by=found.changed_by,
        changed_ms=found.changed_ms,
    )


@routes.put(
    "/api/villages/{villageId}/policy",
    rest.PolicyView,
    on="village",
    may=Action.MANAGE,
    body=rest.PolicyChange,
    fails=(409,),
    audit="policy.put",
)
async def put_policy(call: Call[rest.PolicyChange, None]) -> rest.PolicyView:
    """Replace the rules of a village; its runners have them at once, and keep them while we are away.

    Give the `version` that you read: a change by another person in the meantime is a 409, not lost.
    """
    village_id, body = call.path["villageId"], call.body
    kept = PolicyBody(rules=body.rules, variables=body.variables)
    _check(kept)
    try:
        version = await call.api.database.call(policies.put, village_id, kept, call.user_id, call.now_ms, body.version)
    except policies.PolicyMoved as error:
        raise ProblemError(409, str(error)) from None
    call.notes = {"version": version, "rules": len(kept.rules)}
    await call.api.policy_changed(village_id)
    return rest.PolicyView(
        version=version,
        rules=kept.rules,
        variables=kept.variables,
        changed_by=call.user_id,
        changed_ms=call.now_ms,
    )


@routes.post(
    "/api/villages/{villageId}/policy/try",
    rest.PolicyTrialResult,
    on="village",
    may=Action.MANAGE,
    body=rest.PolicyTrial,
)
async def try_policy(call: Call[rest.PolicyTrial, None]) -> rest.PolicyTrialResult:
    """Say what rules would have decided about the latest questions. Nothing is changed.

    Links of the runner's file system, and which agent, provider and house it was, are not known here: a rule that names
    them may decide otherwise on the runner.
    """
    _check(call.body)
    found = await call.api.database.read(approvals.latest_of, call.path["villageId"], call.body.limit)
    rules = [LayeredRule(rule=rule) for rule in call.body.rules]
    items: list[rest.TriedApproval] = []
    async with call.api.pages.place(reader_of(call)):
        decided = await trio.to_thread.run_sync(_said, rules, found, call.body.variables)
    for one, said in zip(found, decided, strict=True):
        items.append(
            rest.TriedApproval(
                session_id=one.session_id,
                approval_id=one.approval_id,
                summary=str(one.request.get("summary", ""))[:200],
                verdict=said.verdict,
                rule=said.rule,
                reason=said.reason[:500],
                decision=one.decision,
            )
        )
    counts = {verdict: sum(one.verdict == verdict for one in items) for verdict in ("allow", "ask", "deny")}
    differ = sum(one.decision is not None and one.verdict != "ask" and one.verdict != one.decision for one in items)
    return rest.PolicyTrialResult(
        allowed=counts["allow"], asked=counts["ask"], denied=counts["deny"], differ=differ, items=items
    )


def _check(body: PolicyBody) -> None:
    try:
        body.check()
    except ContractError as error:
        raise ProblemError(400, str(error)) from None


def _said(rules: list[LayeredRule], found: list[Approval], variables: list[str]) -> list[PolicyDecision]:
    """Decide questions of the past, as far as they are known here. Long commands take their time: for a thread."""
    return [_decide(rules, one.request, variables) for one in found]


def _decide(rules: list[LayeredRule], request: dict[str, Any], variables: list[str]) -> PolicyDecision:
    try:
        return decide_request(rules, request_of(_asked.convert(request), Place()), variables)
    except ContractError:
        return PolicyDecision(verdict="ask", rule=None, reason="the question was not kept, or is of another version")

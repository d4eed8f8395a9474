"""Rules of a village."""

from collections.abc import Mapping, Sequence
from typing import Any

import trio

from townwatch.access.policy import Action
from townwatch.actors.session.asked import request_in
from townwatch.actors.session.state import SessionState
from townwatch.contracts import rest
from townwatch.contracts.codec import ContractError, Decoder
from townwatch.contracts.events import ApprovalRequest
from townwatch.contracts.policy import PolicyBody, PolicyRule
from townwatch.policy.never import never_matching
from townwatch.policy.village import LayeredRule, PolicyDecision, decide_request
from townwatch.store.audit import Entry
from townwatch.store.deciding import approvals, policies
from townwatch.store.deciding.approvals import Approval
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
    return await _view(found.version, found.body, found.changed_by, found.changed_ms)


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

    Give the `version` that you read: a change by another person in the meantime is a 409, not lost. A rule that can
    never match is kept, and named in `warnings`.
    """
    body = call.body
    kept = PolicyBody(rules=body.rules, variables=body.variables, budget=body.budget)
    _check(kept)
    view = await keep_rules(call, call.path["villageId"], kept, body.version)
    call.notes = {"version": view.version, "rules": len(kept.rules)}
    return view


@routes.post(
    "/api/villages/{villageId}/policy/try",
    rest.PolicyTrialResult,
    on="village",
    may=Action.MANAGE,
    body=rest.PolicyTrial,
)
async def try_policy(call: Call[rest.PolicyTrial, None]) -> rest.PolicyTrialResult:
    """Say what rules would have decided about the latest questions. Nothing is changed.

    Links of the runner's file system, and who started a session, are not known here: a rule that depends on them may
    decide otherwise on the runner.
    """
    _check(call.body)
    items = await tried(call, call.path["villageId"], call.body, call.body.limit)
    counts = {verdict: sum(one.verdict == verdict for one in items) for verdict in ("allow", "ask", "deny")}
    return rest.PolicyTrialResult(
        allowed=counts["allow"], asked=counts["ask"], denied=counts["deny"], differ=differing(items), items=items,
        warnings=await warnings_of(call.body.rules),
    )  # fmt: skip


async def keep_rules(
    call: Call[Any, Any], village_id: str, body: PolicyBody, expected: int | None, entry: Entry | None = None
) -> rest.PolicyView:
    """Replace a village's rules, if they are at version `expected`, and tell its runners. 409 where they are not.

    A program cannot replace rules that want people: it could take away what keeps it from answering. What it replaces
    is therefore what was looked at here, whatever version it names.
    """
    if not call.subject.signed_in_here:
        found = await call.api.database.read(policies.of_village, village_id)
        if found is not None and any(rule.answer is not None and rule.answer.human for rule in found.body.rules):
            raise ProblemError(403, "a rule wants people who have signed in: only such a person changes these rules")
        version = 0 if found is None else found.version
        if expected not in (None, version):
            raise ProblemError(409, f"the policy is at version {version}, not {expected}: read it again, change that")
        expected = version
    try:
        version = await call.api.database.call(
            policies.put, village_id, body, call.user_id, call.now_ms, expected, entry
        )
    except policies.PolicyMoved as error:
        raise ProblemError(409, str(error)) from None
    await call.api.policy_changed(village_id)
    return await _view(version, body, call.user_id, call.now_ms)


async def warnings_of(rules: Sequence[PolicyRule]) -> list[rest.RuleWarning]:
    """Return what is said of rules that can never match."""
    found = await trio.to_thread.run_sync(never_matching, rules)
    return [rest.RuleWarning(rule=one.rule, field=one.field, why=one.why, instead=one.instead) for one in found]


async def _view(version: int, body: PolicyBody, changed_by: str | None, changed_ms: int) -> rest.PolicyView:
    return rest.PolicyView(
        version=version,
        rules=body.rules,
        variables=body.variables,
        budget=body.budget,
        changed_by=changed_by,
        changed_ms=changed_ms,
        warnings=await warnings_of(body.rules),
    )


def differing(items: list[rest.TriedApproval]) -> int:
    """Return how many of these people decided otherwise."""
    return sum(one.decision is not None and one.verdict != "ask" and one.verdict != one.decision for one in items)


async def tried(call: Call[Any, Any], village_id: str, body: PolicyBody, limit: int) -> list[rest.TriedApproval]:
    """Compare the latest questions of a village with rules; not those of which it is not kept what was asked."""
    found = await call.api.database.read(approvals.latest_of, village_id, limit)
    found = [one for one in found if not one.request.get("leftOut")]
    board = call.api.context.board
    states = {one.session_id: board.session(one.session_id) for one in found}
    async with call.api.pages.place(reader_of(call)):
        decided = await trio.to_thread.run_sync(_said, body, found, states)
    return [
        rest.TriedApproval(
            session_id=one.session_id,
            approval_id=one.approval_id,
            summary=str(one.request.get("summary", ""))[:200],
            verdict=said.verdict,
            rule=said.rule,
            reason=said.reason[:500],
            decision=one.decision,
        )
        for one, said in zip(found, decided, strict=True)
    ]


def _check(body: PolicyBody) -> None:
    try:
        body.check()
    except ContractError as error:
        raise ProblemError(400, str(error)) from None


def _said(body: PolicyBody, found: list[Approval], states: Mapping[str, SessionState | None]) -> list[PolicyDecision]:
    """Decide questions of the past, as far as they are known here. Long commands take their time: for a thread."""
    rules = [LayeredRule(rule=rule) for rule in body.rules]
    return [_decide(rules, one.request, states[one.session_id], body.variables) for one in found]


def _decide(
    rules: list[LayeredRule], request: dict[str, Any], state: SessionState | None, variables: list[str]
) -> PolicyDecision:
    try:
        return decide_request(rules, request_in(state, _asked.convert(request)), variables)
    except ContractError:
        return PolicyDecision(verdict="ask", rule=None, reason="the question was not kept, or is of another version")

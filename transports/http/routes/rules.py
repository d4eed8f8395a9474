"""Rules made of one decision: what the narrowest ones are, what they would have answered, and saving them."""

import attrs
import trio

from townwatch.access.policy import Action
from townwatch.actors.session.asked import request_in
from townwatch.contracts import rest
from townwatch.contracts.codec import ContractError, Decoder
from townwatch.contracts.events import ApprovalRequest
from townwatch.contracts.policy import PolicyBody
from townwatch.contracts.secrets.left_out import LEFT_OUT
from townwatch.policy.proposals import NoRule, propose
from townwatch.store.deciding import approvals, policies
from townwatch.transports.http.operation import Call, Routes
from townwatch.transports.http.problems import ProblemError, not_found
from townwatch.transports.http.routes.approvals import ONE
from townwatch.transports.http.routes.policies import differing, keep_rules, tried

routes = Routes("Policies")
LATEST = 200
"""Questions of the past that a proposal is tried on."""
_asked: Decoder[ApprovalRequest] = Decoder(ApprovalRequest)


@routes.get(f"{ONE}/rule", rest.RuleProposal, on="session", may=Action.MANAGE, query=rest.RuleQuery)
async def propose_rule(call: Call[None, rest.RuleQuery]) -> rest.RuleProposal:
    """Propose the narrowest rules for what was asked, and say what they would have answered. Nothing is saved.

    They name the very words, file or host, and the house; widen them by hand where that is meant.
    """
    version, present = await _present(call)
    asked = await _question(call)
    if asked is None:
        return rest.RuleProposal(rules=[], version=version, why_not="this session has asked no such thing")
    if asked.left_out:
        return rest.RuleProposal(rules=[], version=version, why_not=f"what was asked was {LEFT_OUT}")
    request = request_in(call.session, asked)
    try:
        rules = await trio.to_thread.run_sync(
            propose, call.query.effect, request, present.rules, tuple(present.variables)
        )
    except NoRule as error:
        return rest.RuleProposal(rules=[], version=version, why_not=str(error))
    village = call.session.village_id
    before = await tried(call, village, present, LATEST)
    after = await tried(call, village, attrs.evolve(present, rules=[*present.rules, *rules]), LATEST)
    had = {(one.session_id, one.approval_id): one.verdict for one in before}
    items = [one for one in after if had.get((one.session_id, one.approval_id), one.verdict) != one.verdict]
    return rest.RuleProposal(
        rules=rules, version=version, answers=len(items), differ=differing(items), of=len(after), items=items
    )


@routes.post(
    f"{ONE}/rule",
    rest.PolicyView,
    on="session",
    may=Action.MANAGE,
    body=rest.RuleSaving,
    fails=(409,),
    audit="policy.rule",
)
async def save_rule(call: Call[rest.RuleSaving, None]) -> rest.PolicyView:
    """Add rules to the village's, as they were proposed for this question or changed by you.

    409 where the village's rules were changed since: ask for the proposal again.
    """
    if await _question(call) is None:
        raise not_found(f"approval {call.path['approvalId'][:200]!r} in this session")
    version, present = await _present(call)
    village, wanted = call.session.village_id, call.body
    if wanted.version not in (None, version):
        raise ProblemError(409, f"the rules are at version {version}, not {wanted.version}: ask for the proposal again")
    body = attrs.evolve(present, rules=[*present.rules, *wanted.rules])
    try:
        body.check()
    except ContractError as error:
        raise ProblemError(400, str(error)) from None
    call.target = call.path["approvalId"][:200]
    call.notes = {"rules": [f"{one.effect} {one.id}" for one in wanted.rules], "version": version + 1}
    view = await keep_rules(call, village, body, version, call.entry())
    call.noted = True
    return view


async def _question(call: Call[rest.RuleSaving, None] | Call[None, rest.RuleQuery]) -> ApprovalRequest | None:
    """Return what was asked."""
    state, approval_id = call.session, call.path["approvalId"]
    asked = state.pending.get(approval_id) or state.resolved.get(approval_id)
    if asked is not None:
        return asked
    row = await call.api.database.read(approvals.get, state.session_id, approval_id)
    try:
        return _asked.convert(row.request) if row is not None and row.request else None
    except ContractError:  # of another version
        return None


async def _present(call: Call[rest.RuleSaving, None] | Call[None, rest.RuleQuery]) -> tuple[int, PolicyBody]:
    row = await call.api.database.read(policies.of_village, call.session.village_id)
    return (0, PolicyBody()) if row is None else (row.version, row.body)

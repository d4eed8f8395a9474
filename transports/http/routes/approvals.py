"""Routes of approvals: what agents ask for, and what people decide."""

import hashlib
import json
from typing import Any

import attrs

from townwatch.access.policy import Action
from townwatch.actors import messages as m
from townwatch.actors.session.state import SessionState
from townwatch.contracts import rest
from townwatch.contracts.answers import Answerer, AnswerRefused, FromAfar
from townwatch.contracts.codec import ContractError, Decoder
from townwatch.contracts.events import ApprovalRequest
from townwatch.store.deciding import answers, approvals
from townwatch.transports.http import lookups, views
from townwatch.transports.http.operation import Call, Routes
from townwatch.transports.http.paging import cut, unknown_cursor
from townwatch.transports.http.problems import ProblemError

routes = Routes("Approvals")
ONE = "/api/runner/sessions/{sessionId}/approvals/{approvalId}"
_asked: Decoder[ApprovalRequest] = Decoder(ApprovalRequest)


@routes.get("/api/approvals", rest.ApprovalList, may=Action.READ, on="list", query=rest.ApprovalQuery)
async def list_approvals(call: Call[None, rest.ApprovalQuery]) -> rest.ApprovalList:
    """List the open approvals of the villages you may see, oldest first.

    With `state=decided`, list the decisions, latest first: who decided what and when, and whether the runner has
    confirmed it.
    """
    if call.query.state == "decided":
        return await _decided(call)
    context = call.api.context
    waiting = [
        (state, approval)
        for state in await lookups.sessions(call, call.query.village_id)
        for approval in context.undecided(state)
    ]
    page, following = cut(
        waiting,
        lambda one: (one[1].requested_at, one[1].session_id, one[1].approval_id),
        call.query.cursor,
        call.query.limit,
    )
    items = [views.pending_view(state, asked, await _answer(call, state, asked)) for state, asked in page]
    return rest.ApprovalList(items=items, next=following)


async def _answer(
    call: Call[None, rest.ApprovalQuery], state: SessionState, asked: ApprovalRequest
) -> rest.AnswerView | None:
    """Return who may allow it, where a rule says so."""
    try:
        ruling = await call.api.context.rulings.of(state, asked)
    except AnswerRefused:
        return None
    if ruling.terms is None:
        return None
    names = await call.api.database.read(answers.names_of, state.session_id, asked.approval_id)
    terms = attrs.asdict(ruling.terms)
    return rest.AnswerView(**terms, needed=ruling.needed, allowed_by=names, rules=list(ruling.rules))


async def _decided(call: Call[None, rest.ApprovalQuery]) -> rest.ApprovalList:
    query, api = call.query, call.api
    villages = await lookups.village_keys(call, query.village_id)
    try:
        page = await api.database.read(approvals.decided, villages, cursor=query.cursor, limit=query.limit)
    except ValueError:
        raise unknown_cursor() from None
    items: list[rest.PendingApproval] = []
    for one in page.items:
        state = api.context.board.session(one.session_id)
        asked = _request(one.request)
        if asked is None and state is not None:
            asked = state.resolved.get(one.approval_id) or state.pending.get(one.approval_id)
        if asked is not None:  # rows of earlier versions do not say what was asked
            items.append(views.decided_view(one, asked, state.agent_id if state is not None else ""))
    return rest.ApprovalList(items=items, next=page.next)


def _request(values: dict[str, object]) -> ApprovalRequest | None:
    try:
        return _asked.convert(values) if values else None
    except ContractError:
        return None


@routes.post(
    ONE,
    rest.DecisionMade,
    on="session",
    may=Action.DECIDE,
    body=rest.DecisionBody,
    fails=(409,),
    audit="approval.decide",
)
async def decide_approval(call: Call[rest.DecisionBody, None]) -> rest.DecisionMade:
    """Allow or deny an approval that an agent asked for.

    The first decision stands, with the name of its maker, whether the runner is connected or not. The same decision
    again succeeds; another one is a 409 with the one that stands; one after the end of the session is a 409
    E_SESSION_ENDED. An approval that is not answered in time is denied. A denial refuses the one call, and the
    agent goes on; `stop` also ends the session. The list of decided approvals says how each ended. An allow with
    `holdMs` stands at once, is given to the runner after that time, and can be taken back until then.

    What its agent cannot take from here (`context.fromAfar`) is a 409 E_NOT_FROM_AFAR that says where it is answered.

    Where a rule says who may allow it, an allow of another person is a 403 E_ANSWER_REFUSED that says why, and one that
    needs more people is counted: the answer has `needed` and `allowedBy`, and nothing is decided yet. A denial ends it.
    """
    return await decided(call, call.path["approvalId"], call.body)


async def decided(call: Call[Any, Any], approval_id: str, wanted: rest.DecisionBody) -> rest.DecisionMade:
    """Decide for the call's person, in the call's session. Raises `ProblemError` for a decision that does not stand."""
    call.target, call.notes = approval_id[:200], {**call.notes, "decision": wanted.decision}
    if wanted.stop:
        call.notes["stop"] = True
    by = call.subject.name or call.user_id
    waiting = call.session.pending.get(approval_id)
    if waiting is not None:
        wanted.check_for(waiting)
        why = FromAfar.of(waiting.context).refusal(wanted.decision, wanted.option_id, wanted.updated_input)
        if why is not None:
            raise ProblemError(409, why, "E_NOT_FROM_AFAR")
    decision = m.Decide(
        approval_id,
        wanted.decision,
        by,
        wanted.note,
        person=Answerer(user_id=call.user_id, name=by, signed_in=call.subject.signed_in_here, given=_digest(wanted)),
        stop=wanted.stop,
        entry=call.entry(),
        option_id=wanted.option_id,
        answers=wanted.answers,
        updated_input=wanted.updated_input,
        hold_ms=wanted.hold_ms,
        traceparent=call.traceparent,
    )
    standing = await lookups.tell(call, decision)
    call.noted = True  # with the decision; one that did not win decided nothing
    if standing.counted is not None:
        return rest.DecisionMade(needed=standing.counted.needed, allowed_by=list(standing.counted.names))
    if standing.decision != wanted.decision:
        details = {"decision": standing.decision, "resolvedBy": standing.resolved_by, "note": standing.note}
        who = standing.resolved_by or "its runner"
        message = f"it is decided already: {standing.decision} by {who}"
        raise ProblemError(409, message, "E_DECIDED", {"standing": {k: v for k, v in details.items() if v is not None}})
    return rest.DecisionMade(release_at=standing.release_ms)


def _digest(wanted: rest.DecisionBody) -> str:
    """Return what tells two allows apart that would give an agent something else."""
    given = (wanted.option_id, wanted.answers, wanted.updated_input)
    if given == (None, None, None):
        return ""
    return hashlib.sha256(json.dumps(given, sort_keys=True, default=str).encode()).hexdigest()


@routes.post(
    f"{ONE}/take-back",
    rest.Done,
    on="session",
    may=Action.DECIDE,
    fails=(409,),
    audit="approval.take_back",
)
async def take_back_approval(call: Call[None, None]) -> rest.Done:
    """Take a held allow back: the approval waits again. 409 E_RELEASED where its runner has it, or may have."""
    approval_id = call.path["approvalId"]
    call.target = approval_id[:200]
    try:
        await lookups.tell(call, m.TakeBack(approval_id, call.entry()))
    except m.Released as error:
        raise ProblemError(409, str(error), "E_RELEASED") from None
    call.noted = True
    return rest.Done()

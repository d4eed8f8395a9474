"""Links in calls: the one approval that a person was called about, looked at and answered without signing in.

To look never decides: link previews and mail scanners look. To decide takes a POST that the page itself sends, and the
link does it once. Who decided is the person whose link it is, and what they may do is asked anew each time.
"""

from typing import Any
from urllib.parse import urlsplit

import attrs
import trio

from townwatch.access.gate import Denied, NotFound
from townwatch.access.policy import Action, Open
from townwatch.access.secrets import digest
from townwatch.access.subject import Subject, WrongSecret
from townwatch.actors import messages as m
from townwatch.actors.ports import Decision
from townwatch.contracts import rest
from townwatch.contracts.events import ApprovalRequest
from townwatch.contracts.networks import network_of
from townwatch.contracts.village_ids import name_of
from townwatch.store import users
from townwatch.store.calls import links
from townwatch.store.calls.links import CallLink
from townwatch.transports.http import lookups, views
from townwatch.transports.http.operation import Call, Routes
from townwatch.transports.http.problems import ProblemError
from townwatch.transports.http.routes.approvals import decided

routes = Routes("Calls")
OVER = "this link is over: sign in to see what waits"
HIGH = "a high risk is answered only by a person who has signed in"
SCOPES = frozenset({"read", "decide"})


@routes.post(
    "/api/links/look",
    rest.LinkView,
    who="any",
    may=Open.OPEN,
    on="public",
    body=rest.OpenLink,
    secret=True,
    fails=(401, 429),
)
async def look_at_link(call: Call[rest.OpenLink, None]) -> rest.LinkView:
    """Return the approval of a link in a call, and how it stands. It decides nothing, however often it is asked."""
    link = await _enter(call)
    asked, standing = _approval(call, link)
    return _view(call, link, asked, standing)


@routes.post(
    "/api/links/decide",
    rest.DecisionMade,
    who="any",
    may=Open.OPEN,
    on="public",
    body=rest.LinkDecision,
    secret=True,
    fails=(401, 403, 409, 429),
    audit="approval.decide",
)
async def decide_by_link(call: Call[rest.LinkDecision, None]) -> rest.DecisionMade:
    """Allow or deny the approval of a link in a call, as the person who was called. A link does it once.

    The request must come from a page of this service (Origin). High risks and questions are answered after signing in:
    403 E_SIGN_IN. Everything else is as for a decision on the page: the first one stands, an allow with `holdMs` can be
    taken back.
    """
    _demand_own_page(call)
    link = await _enter(call)
    asked, standing = _approval(call, link)
    why = _sign_in(asked)
    if why is not None and standing is None:
        raise ProblemError(403, why, "E_SIGN_IN")
    if not await call.api.database.call(links.use, link.hash, call.now_ms):
        raise ProblemError(409, "this link has decided already", "E_USED")
    body = call.body
    wanted = rest.DecisionBody(
        decision=body.decision, note=body.note, hold_ms=body.hold_ms if body.decision == "allow" else 0
    )
    call.notes = {"by": "link", "channel": link.channel_id}
    try:
        return await decided(call, link.approval_id, wanted)
    except Exception:  # it decided nothing: who was called may try again
        await call.api.database.call(links.give_back, link.hash)
        raise


@routes.post(
    "/api/links/take-back",
    rest.Done,
    who="any",
    may=Open.OPEN,
    on="public",
    body=rest.OpenLink,
    secret=True,
    fails=(401, 403, 409, 429),
    audit="approval.take_back",
)
async def take_back_by_link(call: Call[rest.OpenLink, None]) -> rest.Done:
    """Take back a held allow that this link gave: the approval waits again, and the link may decide it."""
    _demand_own_page(call)
    link = await _enter(call)
    if link.used_ms is None:
        raise ProblemError(409, "this link has decided nothing", "E_RELEASED")
    call.target, call.notes = link.approval_id[:200], {"by": "link"}
    try:
        await lookups.tell(call, m.TakeBack(link.approval_id, call.entry()))
    except m.Released as error:
        raise ProblemError(409, str(error), "E_RELEASED") from None
    call.noted = True
    await call.api.database.call(links.give_back, link.hash)
    return rest.Done()


async def _enter(call: Call[Any, Any]) -> CallLink:
    """Make the link's person the caller and its session the call's. Raises `WrongSecret` where either is no more."""
    call.api.links.take(network_of(call.address), trio.current_time())
    link = await call.api.database.read(links.get, digest(call.body.link), call.now_ms)
    if link is None:
        raise WrongSecret(OVER)
    person = await call.api.database.read(users.get, link.user_id)
    state = call.api.context.board.session(link.session_id)
    if person is None or person.disabled or person.tokens_from_ms > link.created_ms or state is None:
        raise WrongSecret(OVER)
    call.subject = Subject(kind="user", user_id=person.user_id, name=person.name, scopes=SCOPES)
    try:
        await call.api.gate.check(call.subject, Action.DECIDE, "village", state.village_id)
    except (NotFound, Denied):
        raise WrongSecret(OVER) from None
    call.session = state
    return link


def _demand_own_page(call: Call[Any, Any]) -> None:
    """Raise 403 for a request that no page of this service has sent."""
    origin, public = call.origin, call.api.public_url
    own = {f"http://{call.host}", f"https://{call.host}"}
    if public:
        parts = urlsplit(public)
        own.add(f"{parts.scheme}://{parts.netloc}")
    if origin is None or origin not in own:
        raise ProblemError(403, "only the page that the link opens may decide", "E_ORIGIN")


def _approval(call: Call[Any, Any], link: CallLink) -> tuple[ApprovalRequest, Decision | None]:
    """Return what is asked, and the decision that stands. Raises `WrongSecret` for an approval that is forgotten."""
    state, context = call.session, call.api.context
    asked = state.pending.get(link.approval_id)
    if asked is not None:
        return asked, context.decided.get((link.session_id, link.approval_id))
    asked = state.resolved.get(link.approval_id)
    if asked is None:
        raise WrongSecret(OVER)
    by, note = asked.resolved_by, asked.note
    return asked, Decision(approval_id=asked.approval_id, decision=asked.decision or "deny", resolved_by=by, note=note)


def _sign_in(asked: ApprovalRequest) -> str | None:
    """Return why this is answered only after signing in; None where it is not."""
    if asked.risk == "high":
        return HIGH
    if asked.truncated:
        return "what it asks is longer than what came here: sign in to read all of it"
    return "a question is answered on the page: sign in" if asked.category == "question" else None


def _view(call: Call[Any, Any], link: CallLink, asked: ApprovalRequest, standing: Decision | None) -> rest.LinkView:
    state = call.session
    held = standing is not None and standing.release_ms is not None and standing.release_ms > call.now_ms
    shown = views.pending_view(state, asked, None)
    if standing is not None:
        decision: Any = standing.decision
        told = {"decision": decision, "resolved_by": standing.resolved_by, "note": standing.note}
        shown = attrs.evolve(shown, **told, release_at=standing.release_ms)
    return rest.LinkView(
        person=call.subject.name,
        village=name_of(state.village_id),
        agent_name=state.agent_name or state.agent_id,
        state="waiting" if standing is None else "held" if held else "decided",
        approval=shown,
        server_time=call.now_ms,
        mine=link.used_ms is not None,
        sign_in=None if standing is not None else _sign_in(asked),
    )

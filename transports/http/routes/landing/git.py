"""Commit, switch branches, push, open a pull request and merge: by a person, with git on the session's runner."""

from typing import Any, cast

import attrs
import trio

from townwatch.access.policy import Action, token_allows, why_token_refused
from townwatch.actors import commands, messages as m
from townwatch.actors.runner import command_result
from townwatch.actors.session.asked import work_of
from townwatch.actors.session.state import SessionState
from townwatch.contracts import scopes
from townwatch.contracts.agent_events import Landed, LandingAct
from townwatch.contracts.codec import ContractError, encode
from townwatch.contracts.events import ApprovalRequest
from townwatch.contracts.landing import (
    BY_PERSON,
    CONFIRM,
    DENIED,
    LAND,
    LandAsker,
    LandOrder,
    LandReport,
    LandStatus,
    LandSubject,
    land_status,
    rule_said,
)
from townwatch.contracts.link import Command, ErrorBody, Result
from townwatch.contracts.rest import landing as wire
from townwatch.contracts.secrets.shapes import masked_event
from townwatch.contracts.village_ids import name_of
from townwatch.store import commands as orders, members, sessions
from townwatch.transports.http import lookups
from townwatch.transports.http.operation import Call, Routes
from townwatch.transports.http.problems import ProblemError

routes = Routes("Landing")

BASE = "/api/runner/sessions/{sessionId}/git"
LAND_SECONDS = 20.0
"""How long the answer waits for the outcome: a push or a hook may take longer, and is followed by its event."""
STATUS_SECONDS = 25.0
TOLD_MS = 10_000
"""How long the event of what was done may come behind the runner's result."""


@routes.get(BASE, wire.LandStatusView, on="session", may=Action.DRIVE, fails=(409, 502, 504))
async def get_git_status(call: Call[None, None]) -> wire.LandStatusView:
    """Return what of a session's changes is not committed, pushed or merged, and what could be done with it.

    Asked of its runner now, also where the session has ended and its worktree is still there. 409 E_RUNNER_OFFLINE
    while the runner is away, 409 E_UNSUPPORTED where it is of a release that cannot do this. `whyNot` says why there is
    nothing: outside of a repository, or where an ended session had no worktree of its own.
    """
    state = call.session
    command = Command(
        command_id=scopes.session_command("land_status", state.session_id, f"{call.now_ms}"),
        command="land_status",
        session_id=state.session_id,
    )
    runner = await call.api.context.router_call(m.EnsureRunner(state.runner_id))
    try:
        result: Result = await command_result(runner, command, STATUS_SECONDS)
    except trio.TooSlowError:
        message = f"runner {state.runner_id} did not answer within {STATUS_SECONDS:g} s; ask again"
        raise ProblemError(504, message) from None
    landed = [_view(one.outcome, one.at) for one in (call.api.context.board.session(state.session_id) or state).landed]
    if result.error is not None and result.error.code == "NOT_POSSIBLE":
        return wire.LandStatusView(at=call.now_ms, why_not=result.error.message, landed=landed)
    if not result.ok:
        raise _refused(result.error)
    try:
        found = await trio.to_thread.run_sync(_status, result.data)
    except ContractError as error:
        raise ProblemError(502, f"runner {state.runner_id} answered with something else: {error}") from None
    return wire.LandStatusView(at=call.now_ms, landed=landed, **attrs.asdict(found, recurse=False))


def _status(said: Any) -> LandStatus:
    return land_status.decode(masked_event(encode(said)))


@routes.post(
    f"{BASE}/commit",
    wire.LandAnswer,
    on="session",
    may=Action.DRIVE,
    body=wire.CommitChanges,
    fails=(409,),
    audit="session.commit",
)
async def commit_changes(call: Call[wire.CommitChanges, None]) -> wire.LandAnswer:
    """Commit files that the session's working tree has changed, as they are now: those of `paths`, or all.

    The repository's own hooks run, as the user that the session is executed as. What an agent has staged besides stays
    staged. As for every act here, the village's rules decide over the command that it is (`git commit …`): denied is a
    403 E_POLICY with the rule; where one asks, an approval of the session waits (`state` asked), and of a session that
    has ended 409 E_CONFIRM wants `confirm`. 409 E_GIT has git's own words where it fails.
    """
    body = call.body
    return await _land(call, "commit", message=body.message, paths=body.paths)


@routes.post(
    f"{BASE}/branch",
    wire.LandAnswer,
    on="session",
    may=Action.DRIVE,
    body=wire.SwitchBranch,
    fails=(409,),
    audit="session.branch",
)
async def switch_branch(call: Call[wire.SwitchBranch, None]) -> wire.LandAnswer:
    """Switch the session's working tree to another branch (`git switch`), made there with `create`."""
    return await _land(call, "branch", branch=call.body.branch, create=call.body.create)


@routes.post(
    f"{BASE}/push",
    wire.LandAnswer,
    on="session",
    may=Action.DRIVE,
    body=wire.PushBranch,
    fails=(409,),
    audit="session.push",
)
async def push_branch(call: Call[wire.PushBranch, None]) -> wire.LandAnswer:
    """Push the branch that is checked out, never by force (`git push REMOTE BRANCH`)."""
    return await _land(call, "push", remote=call.body.remote)


@routes.post(
    f"{BASE}/pull-request",
    wire.LandAnswer,
    on="session",
    may=Action.DRIVE,
    body=wire.OpenPullRequest,
    fails=(409,),
    audit="session.pull_request",
)
async def open_pull_request(call: Call[wire.OpenPullRequest, None]) -> wire.LandAnswer:
    """Open a pull request of the branch that is checked out and pushed, with `gh` or `glab` on the runner's machine.

    Whether the program is signed in there is not known before: where it is not, 409 E_GIT has its own words.
    """
    body = call.body
    more = {"title": body.title, "message": body.body, "base": body.base, "remote": body.remote, "draft": body.draft}
    return await _land(call, "pull_request", **more)


@routes.post(
    f"{BASE}/merge",
    wire.LandAnswer,
    on="session",
    may=Action.DRIVE,
    body=wire.MergeBranch,
    fails=(409,),
    audit="session.merge",
)
async def merge_branch(call: Call[wire.MergeBranch, None]) -> wire.LandAnswer:
    """Merge the branch that is checked out into a local branch (`git merge --no-edit BRANCH`).

    Where that one is checked out somewhere, it is merged there, if nothing in that tree could be lost; else the branch
    alone moves. With conflicts nothing is changed, and 409 E_GIT names the files.
    """
    return await _land(call, "merge", base=call.body.base)


@routes.get(f"{BASE}/orders/{{commandId}}", wire.LandOrderView, on="session", may=Action.DRIVE)
async def get_land_order(call: Call[None, None]) -> wire.LandOrderView:
    """Return what became of an order to commit, push, propose or merge, by the `commandId` of its answer.

    The order is a row: it is there after a crash of the service or of its runner, too. Asks no runner. It is forgotten
    some weeks after it is over.
    """
    state, command_id = call.session, call.path["commandId"]
    row = None
    if scopes.is_session_command(command_id, LAND, state.session_id):
        row = await call.api.database.read(orders.get, command_id)
    if row is None or row.runner_id != state.runner_id:
        raise ProblemError(404, f"there is no order {command_id[:200]!r} of this session, or none any more")
    state = call.api.context.board.session(state.session_id) or state
    return _order_view(row, state, call.now_ms)


def _order_view(row: orders.CommandRow, state: SessionState, now: int) -> wire.LandOrderView:
    view = wire.LandOrderView(command_id=row.command_id, state="waiting", ordered_at=row.created_ms)
    landed = next((one for one in state.landed if one.outcome.id == row.command_id), None)
    if landed is not None:
        outcome = landed.outcome
        how = "done" if outcome.ok else "unknown" if outcome.unknown else "failed"
        at = row.settled_ms or int(landed.at)
        return attrs.evolve(view, state=how, over_at=at, outcome=_view(outcome, landed.at), why=outcome.says)
    if row.open or _is_being_told(row, now):
        for approval in state.pending.values():
            if _order_of(approval) == row.command_id:
                return attrs.evolve(view, state="asked", approval_id=approval.approval_id)
        allowed = any(_order_of(one) == row.command_id for one in state.resolved.values())
        return attrs.evolve(view, state="allowed" if allowed else "waiting")
    if row.outcome == "failed":
        return attrs.evolve(view, state="refused", over_at=row.settled_ms, why=row.error)
    if row.outcome == "ok":  # its event is older than those that are kept at hand
        how = "done" if row.error is None else "failed"
        return attrs.evolve(view, state=how, over_at=row.settled_ms, why=row.error)
    return attrs.evolve(view, state="expired", over_at=row.settled_ms, why=row.error)


def _is_being_told(row: orders.CommandRow, now: int) -> bool:
    """Return True for what was done a moment ago: the row is settled by the runner's result, and the event that says
    what was done comes beside it, by way of the log.
    """
    return row.outcome == "ok" and row.settled_ms is not None and now - row.settled_ms < TOLD_MS


def _order_of(asked: ApprovalRequest) -> str | None:
    """Return the order that a question is about."""
    context = cast("dict[str, Any]", asked.context) if isinstance(asked.context, dict) else dict[str, Any]()
    return context.get("order") if context.get("tool") == BY_PERSON else None


async def _land(call: Call[Any, None], act: LandingAct, **fields: Any) -> wire.LandAnswer:
    """Give the order to the session, and wait a moment for what becomes of it. Raises `ProblemError`."""
    state, body = call.session, call.body
    if body.confirm is not None and not token_allows(call.subject, Action.DECIDE):
        raise ProblemError(403, why_token_refused(call.subject, Action.DECIDE))
    asker, subject = await _asker(call, state, body.confirm), await _subject(call, state)
    order = LandOrder(act=act, asker=asker, subject=subject, head=body.head, **fields)
    call.notes = _notes(order)
    ordered = await lookups.tell(call, m.Land(order, call.entry(), call.claim, call.traceparent))
    call.noted = True  # with the promise
    result = await commands.result_of(ordered, LAND_SECONDS)
    if result is None:
        return _later(call, ordered)
    report = commands.report_of(result)
    if report is None:
        raise _refused(result.error)
    return _answer(ordered.command_id, report)


def _later(call: Call[Any, None], ordered: m.Ordered) -> wire.LandAnswer:
    """Answer what has no result in hand: done before, under way, or for a runner that is away."""
    state = call.api.context.board.session(call.session.session_id) or call.session
    if ordered.done:
        known = [one for one in state.landed if one.outcome.id == ordered.command_id]
        if known:
            return _answer(ordered.command_id, LandReport(told=True, outcome=known[-1].outcome))
        return wire.LandAnswer(command_id=ordered.command_id, state="sent")
    return wire.LandAnswer(command_id=ordered.command_id, state="waiting" if ordered.waiting is None else "sent")


def _answer(command_id: str, report: LandReport) -> wire.LandAnswer:
    if report.asked is not None:
        asked = report.asked
        return wire.LandAnswer(
            command_id=command_id, state="asked", approval_id=asked.approval_id, rule=asked.rule, why=asked.why
        )
    outcome = report.outcome
    if outcome is None:
        raise ProblemError(502, "the runner did not say what became of it; look at the branch")
    if not outcome.ok:
        code = "E_NOT_KNOWN" if outcome.unknown else "E_GIT"
        raise ProblemError(409, outcome.says or "git failed, and did not say why", code, {"act": outcome.act})
    return wire.LandAnswer(command_id=command_id, state="done", outcome=_view(outcome, None))


def _view(outcome: Landed, at: float | None) -> wire.LandedView:
    fields = attrs.asdict(outcome, filter=lambda field, _: field.name != "id")
    return wire.LandedView(at=at, **fields)


def _refused(error: ErrorBody | None) -> ProblemError:
    """Return the answer for a runner's refusal."""
    if error is None:
        return ProblemError(409, "the runner did not say why", "E_RUNNER_REFUSED")
    match error.code:
        case code if code in (DENIED, CONFIRM):
            try:
                said = rule_said.convert(error.details or {})
            except ContractError:
                return ProblemError(403, error.message, "E_POLICY")
            details = {"rule": said.rule, "why": said.why}
            if code == DENIED:
                return ProblemError(403, error.message, "E_POLICY", details)
            return ProblemError(409, error.message, "E_CONFIRM", details)
        case "E_VOID":
            return ProblemError(409, "its runner did not take it in time: it is not done, and is not tried any more")
        case _:
            return ProblemError(409, error.message, "E_RUNNER_REFUSED", {"code": error.code})


async def _asker(call: Call[Any, None], state: SessionState, confirms: str | None) -> LandAsker:
    role = await call.api.database.read(members.role_of, state.village_id, call.user_id)
    starter = await call.api.database.read(sessions.starter_of, state.session_id)
    return LandAsker(
        name=call.subject.name or call.user_id,
        signed_in=call.subject.signed_in_here,
        owner=role == "owner",
        started=None if starter is None else starter == call.user_id,
        confirms=confirms,
    )


async def _subject(call: Call[Any, None], state: SessionState) -> LandSubject:
    return LandSubject(
        village=name_of(state.village_id),
        agent_id=state.agent_id,
        provider_id=state.provider_id,
        house=state.repo_path or None,
        started_by=await call.api.database.read(sessions.starter_of, state.session_id),
        tests=work_of(state).tests,
    )


def _notes(order: LandOrder) -> dict[str, Any]:
    """Return what the audit log says of it: nothing that was typed as text."""
    told = {"branch": order.branch, "remote": order.remote, "base": order.base, "confirms": order.asker.confirms}
    files = {"files": len(order.paths)} if order.paths is not None else {}
    return {**{name: value for name, value in told.items() if value is not None}, **files}

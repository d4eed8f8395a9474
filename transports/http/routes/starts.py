"""Start a session: on which runner, with what, and what of it is kept."""

import uuid
from datetime import UTC, datetime
from functools import partial
from typing import Any

import attrs
import trio

from townwatch.access.policy import Action
from townwatch.actors import messages as m
from townwatch.actors.placement import NoRunner, choose
from townwatch.actors.session.state import SessionState
from townwatch.contracts import rest, scopes, ui
from townwatch.contracts.budgets import Spender
from townwatch.contracts.codec import ContractError, Decoder, to_json_values
from townwatch.contracts.events import RepoRef
from townwatch.contracts.link import CONVERSATIONS, Command, Result
from townwatch.contracts.policy import START
from townwatch.contracts.secrets import left_out
from townwatch.contracts.secrets.left_out import LEFT_OUT
from townwatch.contracts.tasks import SessionConfig, StartSession, WorktreeSpec
from townwatch.policy.budgets.leases import day_of, end_of, name_of
from townwatch.policy.starts import decide_start, terms_of
from townwatch.store import members, runners, sessions
from townwatch.store.budgets import starting
from townwatch.store.budgets.spending import BudgetUsedUp, SpendingRow, Used
from townwatch.store.deciding import policies
from townwatch.store.sessions import SessionRow
from townwatch.transports.http import runner_views
from townwatch.transports.http.deps import Api
from townwatch.transports.http.operation import Call, Routes
from townwatch.transports.http.problems import ProblemError, not_found

routes = Routes("Sessions")

SEND_SECONDS = 5.0
START_KEPT_MS = 60_000
"""How long a start is kept for a runner that has not answered it."""
_repo_ref = Decoder(RepoRef).convert


@routes.post(
    "/api/runner/sessions",
    rest.StartedSession,
    status=201,
    may=Action.DRIVE,
    on="body",
    body=StartSession,
    fails=(404, 409, 504),
    audit="session.start",
)
async def start_session(call: Call[StartSession, None]) -> rest.StartedSession:
    """Start a session on a runner.

    Uses the runner that is named, or else the least loaded one that has the provider, matches the labels and has
    less than 80 % of its session limit in use; 409 E_NO_RUNNER with the reason if there is none. 409 if the runner
    refuses, and 409 E_BUDGET where nothing is left of a budget that it would use: the details say of which; 504 if it
    did not answer in time: it may still start the session then. 403 E_POLICY where a rule of the category `start`
    refuses it. With `resumeOf` the conversation of an ended session goes on, on its runner and in its directory; 409
    where its agent named none. With `conversation` one goes on that the agent's CLI had outside of Townwatch; 409 where
    it is a session's here, or open in another process.
    """
    wanted = call.body
    village = call.village_id or ""
    earlier = await _earlier(call, wanted, village)
    session_id = str(uuid.uuid5(uuid.NAMESPACE_OID, call.claim) if call.claim is not None else uuid.uuid4())
    known = await call.api.database.read(sessions.get, session_id) if call.claim is not None else None
    runner_id = known.runner_id if known is not None else None
    if known is None:
        _check_outside(call, wanted.conversation, village)
        await _ruled(call, wanted, village)
    if runner_id is None:
        runner_id = await _place(call.api, wanted, village, earlier)
    config = await _config(call, wanted, session_id, earlier)
    call.target = config.session_id
    title = LEFT_OUT if village in call.api.context.leaves_out else wanted.task.title
    call.notes = {"runnerId": runner_id, "providerId": wanted.provider_id, "title": title}
    if wanted.conversation is not None:
        call.notes["conversation"] = wanted.conversation
    spends = _spending_row(config, village, call.user_id, call.now_ms)
    limits = call.api.budgets.limits(village, spends.spender)
    try:
        kept = await call.api.database.call(starting.keep, _row(call, config, village, runner_id), spends, limits)
    except BudgetUsedUp as error:
        raise _refused(error) from None
    if not kept:
        raise ProblemError(409, "the village was deleted, or its runner withdrawn, meanwhile; start it elsewhere")
    ensure = m.EnsureSession(
        config.session_id,
        village,
        runner_id,
        agent_id=config.agent_id,
        agent_name=config.agent_name,
        provider_id=config.provider_id,
    )
    await call.api.context.router_call(ensure)
    await call.api.budgets.began(spends)
    await _command(call, runner_id, config)
    return rest.StartedSession(session_id=config.session_id, agent_id=config.agent_id)


async def _ruled(call: Call[StartSession, None], wanted: StartSession, village: str) -> None:
    """Compare a start with the village's rules. Raises `ProblemError` where they refuse it."""
    row = await call.api.database.read(policies.of_village, village)
    if row is None or not any(rule.category == START for rule in row.body.rules):
        return
    decide = partial(decide_start, row.body.rules, row.body.variables, wanted, call.user_id, call.now_ms)
    said = await trio.to_thread.run_sync(decide)
    if said.verdict == "allow":
        return
    refused = f"the village's rule {said.rule} refuses this start"
    if said.verdict == "ask":
        role = await call.api.database.read(members.role_of, village, call.user_id)
        terms = terms_of(said)
        if call.subject.signed_in_here and (terms.role != "owner" or role == "owner"):
            return
        who = "an owner of the village" if terms.role == "owner" else "a person"
        refused = f"the village's rule {said.rule} wants {who} who has signed in to start this"
    raise ProblemError(403, refused, "E_POLICY", {"rule": said.rule})


async def _earlier(call: Call[StartSession, None], wanted: StartSession, village: str) -> SessionState | None:
    """Return the session that is to go on. Raises `ProblemError` where it cannot."""
    if wanted.resume_of is None:
        return None
    state = call.api.context.board.session(wanted.resume_of)
    if state is None or state.village_id != village:
        raise not_found(f"resumeOf: session {wanted.resume_of!r}")
    if not state.ended:
        raise ProblemError(409, f"resumeOf: the session is {state.state.lower()}; stop it first, or give it a prompt")
    if state.provider_id != wanted.provider_id:
        raise ContractError("providerId", f"the session to resume is one of {state.provider_id}")
    if state.agent is None or not state.agent.cli_session_id:
        raise ProblemError(409, "resumeOf: the agent of this session has named no conversation that could go on")
    return state


def _check_outside(call: Call[StartSession, None], conversation: str | None, village: str) -> None:
    """Raises `ProblemError` for a conversation that this service knows as a session's own."""
    for state in call.api.context.board if conversation is not None else ():
        if state.agent is None or state.agent.cli_session_id != conversation:
            continue
        if state.village_id != village:
            raise ProblemError(409, "conversation: it is one of Townwatch's own sessions, elsewhere")
        how = "stop it first, then resumeOf" if not state.ended else "resumeOf"
        raise ProblemError(409, f"conversation: it is that of session {state.session_id}; {how} goes on with it")


async def _place(api: Api, wanted: StartSession, village: str, earlier: SessionState | None) -> str:
    """Choose only among the runners that were granted the village; for a session that goes on, its own machine's."""
    rows = await api.database.read(runners.everyone, village)
    states = await runner_views.seen(api, [row.runner_id for row in rows])
    candidates = [runner_views.candidate(api, row, states.get(row.runner_id)) for row in rows]
    named = wanted.runner_id
    if earlier is not None:
        named = _machine(earlier.runner_id, [one.runner_id for one in candidates])
        if wanted.runner_id not in (None, named):
            raise ProblemError(409, f"runnerId: the session to resume is on {named}")
    needs = {
        "worktree": wanted.worktree,
        "model": wanted.model,
        "resume_of": wanted.resume_of,
        CONVERSATIONS: wanted.conversation,
    }
    features = [name for name, value in needs.items() if value is not None]
    chosen = choose(candidates, wanted.provider_id, wanted.labels, named, features)
    if isinstance(chosen, NoRunner):
        raise ProblemError(409, f"no runner can take the session: {chosen.reason}", "E_NO_RUNNER")
    return chosen


def _machine(runner_id: str, known: list[str]) -> str:
    """Return the runner that takes orders where a session was: of a slot beside it (``r1.run-2``), its main one."""
    return next((one for one in known if runner_id.startswith(f"{one}.")), runner_id)


async def _config(
    call: Call[StartSession, None], wanted: StartSession, session_id: str, earlier: SessionState | None
) -> SessionConfig:
    config = SessionConfig(
        session_id=session_id,
        org_id=wanted.village_id,
        agent_id=ui.default_agent_id(session_id),
        provider_id=wanted.provider_id,
        repo_ref=wanted.repo_ref,
        task=wanted.task,
        agent_name=wanted.agent_name,
        checkout=wanted.checkout,
        room_path=wanted.room_path,
        policy=wanted.policy,
        env=wanted.env,
        command=wanted.command,
        worktree=wanted.worktree,
        model=wanted.model,
        cli_session_id=wanted.conversation,
        started_by=call.user_id,
        budget=wanted.budget,
    )
    return config if earlier is None else await _going_on(call.api, config, earlier)


async def _going_on(api: Api, config: SessionConfig, earlier: SessionState) -> SessionConfig:
    """Return the config of a session that continues another: where that was, with its conversation."""
    agent = earlier.agent
    where: dict[str, Any] = {
        "repo_ref": RepoRef(provider="local", path=earlier.workspace_path or config.repo_ref.path),
        "checkout": None,
        "room_path": None,
        "worktree": None,
    }
    row = await api.database.read(sessions.get, earlier.session_id)
    if earlier.worktree is not None and row is not None and row.config is not None:
        where["repo_ref"] = _repo_ref(row.config["repoRef"])
        where["room_path"] = row.config.get("roomPath")
        where["worktree"] = WorktreeSpec(branch=earlier.worktree.branch, base=earlier.worktree.base)
    return attrs.evolve(
        config,
        **where,
        agent_name=config.agent_name or earlier.agent_name,
        resume_of=earlier.session_id,
        cli_session_id=agent.cli_session_id if agent is not None else None,
    )


def _row(call: Call[StartSession, None], config: SessionConfig, village: str, runner_id: str) -> SessionRow:
    """Build the row to keep. The values of the environment are left out: secrets travel in them."""
    kept = attrs.evolve(config, env=dict.fromkeys(config.env, "…"))
    if village in call.api.context.leaves_out:
        kept = left_out.config(kept)
    return SessionRow(
        session_id=config.session_id,
        village_id=village,
        agent_id=config.agent_id,
        provider_id=config.provider_id,
        created_ms=call.now_ms,
        runner_id=runner_id,
        config=to_json_values(kept),
        created_by=call.user_id,
    )


async def _command(call: Call[StartSession, None], runner_id: str, config: SessionConfig) -> None:
    """Promise the start and wait for the runner's word. A session that never began is taken back."""
    api, session_id = call.api, config.session_id
    command = Command(
        command_id=scopes.session_command("start", session_id),
        command="start",
        config=config,
        traceparent=call.traceparent,
    )
    runner = await api.context.router_call(m.EnsureRunner(runner_id))
    if not await runner.call(m.CanDo("start"), timeout=SEND_SECONDS):
        await _take_back(api, session_id)
        raise ProblemError(409, f"no runner can take the session: {runner_id} is not connected", "E_NO_RUNNER")
    promise = await api.context.promises.promise(
        runner_id,
        command,
        expires_ms=call.now_ms + START_KEPT_MS,
        session_id=session_id,
        entry=call.entry(),
        leave_out=call.village_id in api.context.leaves_out,
    )
    call.noted = True
    if not promise.open:
        return
    waiting = await runner.call(m.Send(promise.command, wait=True, promised=True), timeout=SEND_SECONDS)
    with trio.move_on_after(api.start_seconds):
        await waiting.done.wait()
    result: Result | None = waiting.result
    if result is None:
        message = f"runner {runner_id} did not answer within {api.start_seconds:g} s; it may still start the session"
        details = {"sessionId": session_id, "agentId": config.agent_id}
        raise ProblemError(504, message, details=details)
    if not result.ok:
        await _take_back(api, session_id)
        why = result.error
        message = why.message if why is not None else "it did not say why"
        details = {"runnerId": runner_id, "code": why.code} if why is not None else {"runnerId": runner_id}
        raise ProblemError(409, f"runner {runner_id} refused the session: {message}", "E_RUNNER_REFUSED", details)


async def _take_back(api: Api, session_id: str) -> None:
    with trio.CancelScope(shield=True):
        await api.context.promises.void_session(session_id, "the session never began")
        await api.forget_session(session_id)
        api.context.board.remove(session_id)
        await api.database.call(starting.forget, session_id)
        api.budgets.void(session_id)


def _spending_row(config: SessionConfig, village_id: str, user_id: str, now_ms: int) -> SpendingRow:
    """Return the row in which the session is counted from its start on."""
    spender = Spender(
        session_id=config.session_id,
        agents=(config.agent_name or config.agent_id, config.agent_id),
        house=config.repo_ref.repo_path or None,
        person=user_id,
    )
    return SpendingRow(village_id=village_id, spender=spender, day=day_of(now_ms), used=Used(started=1))


def _refused(error: BudgetUsedUp) -> ProblemError:
    """Return the answer to a start for which a budget has no room: which, how much was used, who may raise it."""
    limit, budget = error.limit, error.limit.budget
    unit = "$" if budget.unit == "usd" else budget.unit
    until = end_of(limit.period)
    anew = ""
    if until is not None:
        anew = f", or wait: it begins anew at {datetime.fromtimestamp(until / 1000, UTC):%Y-%m-%d %H:%M} UTC"
    message = (
        f"{name_of(budget, limit.subject)} is used up: {error.used:.6g} of {limit.amount:.6g} {unit};"
        f" an owner of the village may raise it (townwatch budget raise {budget.budget_id}){anew}"
    )
    details = {
        "budgetId": budget.budget_id,
        "scope": budget.scope,
        "subject": limit.subject,
        "unit": budget.unit,
        "used": error.used,
        "of": limit.amount,
        "period": limit.period,
        "mayRaise": "owner",
        **({} if until is None else {"resetsAt": until}),
    }
    return ProblemError(409, message, "E_BUDGET", details)

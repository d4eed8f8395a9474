"""The fleet: enrol, register, beat, list, drain, maintain, remove."""

from access.gate import NotFound
from access.grants import ENROLMENT_LIFETIME_MS, ROTATION_OVERLAP_MS, enrol, grant_runner_token, issue_enrolment_code
from access.policy import Action
from actors import messages as m
from contracts import rest
from contracts.codec import to_json_values
from contracts.link import Command, Heartbeat
from store import runners, tokens, villages
from store.rows import new_id
from store.runners import Runner
from transports.http import fleet
from transports.http.operation import Call, Routes
from transports.http.paging import cut
from transports.http.problems import ProblemError, not_found

routes = Routes("Runners")
SEND_SECONDS = 5.0


@routes.post(
    "/api/runners/enrolments",
    rest.EnrolmentCode,
    status=201,
    body=rest.NewEnrolment,
    secret=True,
    fails=(404,),
    audit="runner.enrol",
)
async def make_enrolment(call: Call[rest.NewEnrolment, None]) -> rest.EnrolmentCode:
    """A one-time code that takes a runner in: for a village by its owners, for all of them by an administrator."""
    village_id = call.village_id = call.body.village_id
    if village_id is None:
        call.api.gate.check_service(call.subject, Action.ADMIN)
    else:
        await _check_village(call, Action.MANAGE, village_id)
    now = call.now_ms
    code = await call.api.database.call(
        issue_enrolment_code, call.user_id, now, village_id=village_id, name=call.body.name
    )
    return rest.EnrolmentCode(code=code, expires_at=now + ENROLMENT_LIFETIME_MS)


@routes.post(
    "/api/runners/join",
    rest.JoinedRunner,
    status=201,
    who="anybody",
    body=rest.JoinRunner,
    secret=True,
    sign_in=True,
    fails=(401,),
    audit="runner.join",
)
async def join_runner(call: Call[rest.JoinRunner, None]) -> rest.JoinedRunner:
    """Take a runner in for its one-time code. The answer shows its token, once."""
    body = call.body
    joined = await call.api.database.call(enrol, body.code, body.name, call.now_ms, body.hostname)
    call.target = joined.runner_id
    return rest.JoinedRunner(runner_id=joined.runner_id, token=joined.token, village_id=joined.village_id)


@routes.post(
    "/api/runners/register",
    rest.RunnerView,
    status=201,
    who="runner",
    body=rest.RegisterRunner,
    audit="runner.register",
)
async def register_runner(call: Call[rest.RegisterRunner, None]) -> rest.RunnerView:
    """What a runner says of itself: by the runner, or for it by an administrator. Said again, it replaces the old."""
    body, api = call.body, call.api
    runner_id = call.subject.runner_id
    if runner_id is None:
        api.gate.check_service(call.subject, Action.ADMIN)
        runner_id = body.runner_id or new_id("runner")
    elif body.runner_id not in (None, runner_id):
        raise ProblemError(403, f"runnerId: this is the token of {runner_id}")
    known = await api.database.read(runners.get, runner_id)
    row = Runner(
        runner_id=runner_id,
        name=body.name or (known.name if known is not None else body.hostname or runner_id),
        created_ms=call.now_ms,
        hostname=body.hostname,
        version=body.version,
        mode=body.mode,
        capabilities=to_json_values(body.capabilities),
        labels=body.labels,
        details=body.metadata,
        last_seen_ms=call.now_ms if call.subject.runner_id else known.last_seen_ms if known is not None else None,
    )
    call.target = runner_id
    await api.database.call(runners.put, row)
    return await _view(call, runner_id)


@routes.get("/api/runners", rest.RunnerList, query=rest.RunnerQuery)
async def list_runners(call: Call[None, rest.RunnerQuery]) -> rest.RunnerList:
    """The runners that serve one's villages, by name."""
    api, village_id = call.api, call.query.village_id
    if village_id is not None:
        await _check_village(call, Action.READ, village_id)
    rows = await api.database.read(runners.everyone, village_id)
    mine = {one.village_id for one in await api.database.read(villages.of_user, call.user_id, public_too=False)}
    shown = [row for row in rows if row.village_id is None or row.village_id in mine]
    page, following = cut(shown, lambda row: (row.name, row.runner_id), call.query.cursor, call.query.limit)
    states = await fleet.seen(api, [row.runner_id for row in page])
    items = [fleet.view(api, row, states.get(row.runner_id)) for row in page]
    return rest.RunnerList(items=items, next=following)


@routes.get("/api/runners/{runnerId}", rest.RunnerView, who="runner", on="runner")
async def get_runner(call: Call[None, None]) -> rest.RunnerView:
    """One runner as it is now."""
    return await _view(call, call.runner.runner_id)


@routes.delete(
    "/api/runners/{runnerId}", rest.Done, on="runner", may=Action.MANAGE, fails=(409,), audit="runner.remove"
)
async def remove_runner(call: Call[None, None]) -> rest.Done:
    """Remove a runner and its token. 409 while it has live sessions."""
    runner_id = call.runner.runner_id
    living = fleet.live_sessions(call.api, runner_id)
    if living:
        raise ProblemError(409, f"the runner has {living} live sessions; stop them first, or drain it")
    await call.api.database.call(runners.remove, runner_id)
    await call.api.stop_runner(runner_id)
    return rest.Done()


@routes.post(
    "/api/runners/{runnerId}/heartbeat",
    rest.Done,
    who="runner",
    on="runner",
    may=Action.MANAGE,
    body=rest.RunnerHeartbeat,
    body_optional=True,
)
async def beat_runner(call: Call[rest.RunnerHeartbeat, None]) -> rest.Done:
    """A runner is there, and this busy. Two missed ones, and it is offline."""
    body, api = call.body, call.api
    beat = Heartbeat(ts=call.now_ms, active_sessions=list(body.active_sessions), load=body.load, spool=body.spool)
    runner = await api.context.router_call(m.EnsureRunner(call.runner.runner_id))
    await runner.send(m.Beat(beat))
    await api.database.call(runners.seen, call.runner.runner_id, call.now_ms)
    return rest.Done()


@routes.post("/api/runners/{runnerId}/drain", rest.Done, on="runner", may=Action.MANAGE, audit="runner.drain")
async def drain_runner(call: Call[None, None]) -> rest.Done:
    """No new sessions on this runner; those it has go on."""
    await _set_state(call, "draining")
    return rest.Done()


@routes.put(
    "/api/runners/{runnerId}/state",
    rest.Done,
    on="runner",
    may=Action.MANAGE,
    body=rest.RunnerMode,
    audit="runner.state",
)
async def set_runner_state(call: Call[rest.RunnerMode, None]) -> rest.Done:
    """Drain a runner, take it into maintenance, or let it have sessions again."""
    call.notes = {"state": call.body.state}
    await _set_state(call, call.body.state)
    return rest.Done()


@routes.post(
    "/api/runners/{runnerId}/token",
    rest.GrantedToken,
    status=201,
    who="runner",
    on="runner",
    may=Action.MANAGE,
    secret=True,
    audit="runner.rotate",
)
async def rotate_runner_token(call: Call[None, None]) -> rest.GrantedToken:
    """A new token for a runner, shown once. The old one is good for five more minutes."""
    granted = await call.api.database.call(grant_runner_token, call.runner.runner_id, call.now_ms, ROTATION_OVERLAP_MS)
    return rest.GrantedToken(token_id=granted.token_id, token=granted.token, expires_at=granted.expires_ms)


@routes.delete("/api/runners/{runnerId}/token", rest.Done, on="runner", may=Action.MANAGE, audit="runner.revoke")
async def revoke_runner_token(call: Call[None, None]) -> rest.Done:
    """Revoke a runner's tokens: its connections are cut, and it must be enrolled anew to come back."""
    await call.api.database.call(tokens.revoke_runner_tokens, call.runner.runner_id, call.now_ms)
    await call.api.cut_runner(call.runner.runner_id)
    return rest.Done()


async def _set_state(call: Call[None, None] | Call[rest.RunnerMode, None], state: runners.State) -> None:
    runner_id, api = call.runner.runner_id, call.api
    await api.database.call(runners.set_state, runner_id, state)
    ref = api.context.directory.alive(api.context.directory.runners, runner_id)
    if state == "draining" and ref is not None:
        command = Command(command_id=f"drain:{runner_id}:{call.now_ms}", command="drain")
        await ref.call(m.Send(command), timeout=SEND_SECONDS)


async def _view(call: Call[rest.RegisterRunner, None] | Call[None, None], runner_id: str) -> rest.RunnerView:
    row = await call.api.database.read(runners.get, runner_id)
    if row is None:
        raise not_found(f"runner {runner_id!r}")
    states = await fleet.seen(call.api, [runner_id])
    return fleet.view(call.api, row, states.get(runner_id))


async def _check_village(
    call: Call[rest.NewEnrolment, None] | Call[None, rest.RunnerQuery], action: Action, village_id: str
) -> None:
    try:
        await call.api.gate.check(call.subject, action, "village", village_id)
    except NotFound:
        raise not_found(f"village {village_id!r}") from None

"""The fleet: enrol, register, beat, list, drain, maintain, remove."""

from typing import Any

import attrs
from sqlalchemy import Connection

from townwatch.access.grants import (
    ENROLMENT_LIFETIME_MS,
    ROTATION_OVERLAP_MS,
    enrol,
    grant_runner_token,
    issue_enrolment_code,
)
from townwatch.access.policy import Action, Open, administers
from townwatch.actors import messages as m
from townwatch.contracts import rest
from townwatch.contracts.codec import ContractError, to_json_values
from townwatch.contracts.decoding.bridge import is_bridge
from townwatch.contracts.link import Command, Heartbeat
from townwatch.contracts.village_ids import name_of
from townwatch.store import audit, commands, runner_grants, runners, tokens, villages
from townwatch.store.audit import Entry
from townwatch.store.rows import new_id
from townwatch.store.runner_grants import RunnerGrant
from townwatch.store.runners import RunnerRow
from townwatch.transports.http import lookups, runner_views
from townwatch.transports.http.operation import Call, Routes
from townwatch.transports.http.paging import cut
from townwatch.transports.http.problems import ProblemError, not_found

routes = Routes("Runners")
SEND_SECONDS = 5.0
SESSIONS_NAMED = 20
"""Ids of live sessions that a refusal to remove their runner names."""


@attrs.frozen(kw_only=True)
class Change:
    """Keys of the villages that a runner is to serve from now on, and of those no more."""

    granted: list[str]
    withdrawn: list[str]


@routes.post(
    "/api/runners/enrolments",
    rest.EnrolmentCode,
    status=201,
    may=Action.MANAGE,
    on="body",
    body=rest.NewEnrolment,
    secret=True,
    fails=(404,),
    audit="runner.enrol",
)
async def make_enrolment(call: Call[rest.NewEnrolment, None]) -> rest.EnrolmentCode:
    """Make a one-time code for a new runner: for a village by its owners, for none yet by an administrator.

    A runner that joins without a village serves none until an administrator grants it one.
    """
    now = call.now_ms
    code = await call.api.database.call(
        issue_enrolment_code, call.user_id, now, village_id=call.village_id, name=call.body.name
    )
    return rest.EnrolmentCode(code=code, expires_at=now + ENROLMENT_LIFETIME_MS)


@routes.post(
    "/api/runners/join",
    rest.JoinedRunner,
    status=201,
    who="any",
    may=Open.OPEN,
    on="public",
    body=rest.JoinRunner,
    secret=True,
    sign_in=True,
    fails=(401,),
    audit="runner.join",
)
async def join_runner(call: Call[rest.JoinRunner, None]) -> rest.JoinedRunner:
    """Register a new runner with a one-time code. The answer shows its token once."""
    body = call.body
    joined = await call.api.database.call(enrol, body.code, body.name, call.now_ms, body.hostname)
    call.target, call.village_id = joined.runner_id, joined.village_id
    await call.api.grants_changed(joined.runner_id)
    shown = None if joined.village_id is None else name_of(joined.village_id)
    return rest.JoinedRunner(runner_id=joined.runner_id, token=joined.token, village_id=shown)


@routes.post(
    "/api/runners/register",
    rest.RunnerView,
    status=201,
    who="runner",
    may=Action.ADMIN,
    on="service",
    body=rest.RegisterRunner,
    fails=(409,),
    audit="runner.register",
)
async def register_runner(call: Call[rest.RegisterRunner, None]) -> rest.RunnerView:
    """Register or replace a runner's description, as the runner or as an administrator."""
    body, api = call.body, call.api
    runner_id = call.subject.runner_id
    if runner_id is None:
        runner_id = body.runner_id or new_id("runner")
    elif body.runner_id not in (None, runner_id):
        raise ProblemError(403, f"runnerId: this is the token of {runner_id}")
    if is_bridge(runner_id):
        raise ContractError(
            "runnerId", "names that begin with bridge: are those of bridges' sessions; take another one"
        )
    known = await api.database.read(runners.get, runner_id)
    if known is None and api.context.board.of_runner(runner_id):
        # A new runner of an old one's id would be the owner of its sessions.
        raise ProblemError(409, f"runnerId: {runner_id} was a runner that is removed and has sessions; take another id")
    row = RunnerRow(
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


@routes.get("/api/runners", rest.RunnerList, may=Action.READ, on="list", query=rest.RunnerQuery)
async def list_runners(call: Call[None, rest.RunnerQuery]) -> rest.RunnerList:
    """List the runners of your villages by name; all for administrators."""
    api, name = call.api, call.query.village_id
    village = None if name is None else await lookups.village(call, Action.READ, name)
    rows = await api.database.read(runners.everyone, village)
    grants = await _grants_seen(call)
    shown = [row for row in rows if grants.get(row.runner_id) or administers(call.subject)]
    page, following = cut(shown, lambda row: (row.name, row.runner_id), call.query.cursor, call.query.limit)
    states = await runner_views.seen(api, [row.runner_id for row in page])
    items = [
        runner_views.view(api, row, states.get(row.runner_id), villages=grants.get(row.runner_id, [])) for row in page
    ]
    return rest.RunnerList(items=items, next=following)


@routes.put(
    "/api/runners/{runnerId}/villages",
    rest.RunnerVillages,
    may=Action.MANAGE,
    on="runner",
    any_owner=True,
    body=rest.RunnerVillages,
    fails=(409,),
    audit="runner.grant",
)
async def set_runner_villages(call: Call[rest.RunnerVillages, None]) -> rest.RunnerVillages:
    """Set the villages that a runner serves; an empty list means none.

    Owners grant and withdraw their own villages only, do not see the grants of others, and may grant only to a
    runner that already serves one of their villages; administrators may change all. When a village is withdrawn,
    the runner's sessions there are stopped, and its events for that village are refused.
    """
    api, runner_id = call.api, call.runner.runner_id
    wanted = {await lookups.village(call, Action.READ, name): name for name in call.body.villages}
    seen = {one.village_id: one.public_id for one in (await _grants_seen(call)).get(runner_id, [])}
    change = Change(granted=sorted(wanted.keys() - seen.keys()), withdrawn=sorted(seen.keys() - wanted.keys()))
    for key in (*change.granted, *change.withdrawn):
        await lookups.village(call, Action.MANAGE, wanted.get(key) or seen[key])
    call.notes = {"granted": [wanted[key] for key in change.granted], "withdrawn": [seen[k] for k in change.withdrawn]}
    await api.database.call(_change_grants, call, change)
    await api.grants_changed(runner_id)
    now = (await _grants_seen(call)).get(runner_id, [])
    return rest.RunnerVillages(villages=[one.public_id for one in now])


@routes.get("/api/runners/{runnerId}", rest.RunnerView, who="runner", on="runner", may=Action.READ)
async def get_runner(call: Call[None, None]) -> rest.RunnerView:
    """Return one runner in its current state."""
    return await _view(call, call.runner.runner_id)


@routes.delete(
    "/api/runners/{runnerId}", rest.Done, on="runner", may=Action.MANAGE, fails=(409,), audit="runner.remove"
)
async def remove_runner(call: Call[None, None]) -> rest.Done:
    """Remove a runner and its token. 409 while it has live sessions: stop them, or end them if the runner is gone."""
    runner_id = call.runner.runner_id
    living = runner_views.all_live(call.api, runner_id)
    if living:
        ids = [state.session_id for state in living]
        how = "stop them, or, where the runner is gone for good, end each: POST /api/runner/sessions/:id/end {reason}"
        message = f"the runner has {len(ids)} live sessions; {how}"
        raise ProblemError(409, message, details={"sessionIds": ids[:SESSIONS_NAMED], "sessions": len(ids)})
    await call.api.database.call(_remove, runner_id, call.now_ms)
    await call.api.stop_runner(runner_id)
    await call.api.end_sessions(runner_id)  # one may have begun meanwhile
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
    """Report that a runner is there, and its load. After two missed reports it is offline."""
    body, api = call.body, call.api
    beat = Heartbeat(ts=call.now_ms, active_sessions=body.active_sessions, load=body.load, spool=body.spool)
    runner = await api.context.router_call(m.EnsureRunner(call.runner.runner_id))
    await runner.send(m.HeartbeatReceived(beat))
    await api.database.call(runners.seen, call.runner.runner_id, call.now_ms)
    return rest.Done()


@routes.post("/api/runners/{runnerId}/drain", rest.Done, on="runner", may=Action.MANAGE, audit="runner.drain")
async def drain_runner(call: Call[None, None]) -> rest.Done:
    """Drain a runner: it gets no new sessions; current ones continue."""
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
    """Set a runner to active, draining or maintenance."""
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
    """Replace a runner's token. The answer shows the new one once; the old one works for five more minutes."""
    granted = await call.api.database.call(grant_runner_token, call.runner.runner_id, call.now_ms, ROTATION_OVERLAP_MS)
    return rest.GrantedToken(token_id=granted.token_id, token=granted.token, expires_at=granted.expires_ms)


@routes.delete("/api/runners/{runnerId}/token", rest.Done, on="runner", may=Action.MANAGE, audit="runner.revoke")
async def revoke_runner_token(call: Call[None, None]) -> rest.Done:
    """Revoke a runner's tokens and close its connections. It must be enrolled again to come back."""
    await call.api.database.call(tokens.revoke_runner_tokens, call.runner.runner_id, call.now_ms)
    await call.api.cut_runner(call.runner.runner_id)
    return rest.Done()


def _remove(connection: Connection, runner_id: str, now_ms: int) -> None:
    """The runner, its token, and what was promised of it."""
    runners.remove(connection, runner_id)
    commands.void(connection, "the runner was removed", now_ms, runner_id=runner_id)


async def _set_state(call: Call[None, None] | Call[rest.RunnerMode, None], state: runners.State) -> None:
    runner_id, api = call.runner.runner_id, call.api
    ref = api.context.directory.alive(api.context.directory.runners, runner_id)
    tell = state == "draining"
    if tell and ref is not None:
        try:
            await ref.call(m.CanDo("drain"), timeout=SEND_SECONDS)
        except m.Unsupported:  # it need not know: no session is placed on it
            tell = False
    await api.database.call(_want, runner_id, state, call.now_ms, tell=tell)
    if ref is not None:
        ref.tell(m.LookAgain())


def _want(connection: Connection, runner_id: str, state: runners.State, now_ms: int, *, tell: bool) -> None:
    """Store the wanted state and the command that tells the runner. A command not delivered yet becomes void."""
    runners.set_state(connection, runner_id, state)
    commands.void(connection, "people want something else of the runner", now_ms, runner_id=runner_id, kind="drain")
    if tell:
        command = Command(command_id=f"drain:{runner_id}:{now_ms}", command="drain")
        commands.promise(connection, runner_id, command, now_ms)


async def _view(call: Call[rest.RegisterRunner, None] | Call[None, None], runner_id: str) -> rest.RunnerView:
    row = await call.api.database.read(runners.get, runner_id)
    if row is None:
        raise not_found(f"runner {runner_id!r}")
    states = await runner_views.seen(call.api, [runner_id])
    shown = await _grants_seen(call)
    return runner_views.view(call.api, row, states.get(runner_id), villages=shown.get(runner_id, []))


async def _grants_seen(call: Call[Any, Any]) -> dict[str, list[RunnerGrant]]:
    """Return runner → those of its grants that the caller may know of: of villages that they are a member of, for an
    administrator all, for a runner its own.
    """
    grants = await call.api.database.read(runner_grants.everything)
    if call.subject.kind == "runner":
        return {runner: found for runner, found in grants.items() if runner == call.subject.runner_id}
    mine = {one.village_id for one in await lookups.villages_seen(call, public_too=False)}
    shown = {runner: [one for one in found if one.village_id in mine] for runner, found in grants.items()}
    return {runner: found for runner, found in shown.items() if found}


def _change_grants(connection: Connection, call: Call[Any, Any], change: Change) -> None:
    """The rows, and an audit entry in each village that it is about, in one transaction."""
    runner_id, by, now = call.runner.runner_id, call.user_id, call.now_ms
    for key in change.granted:
        if villages.get(connection, key) is None:
            raise ProblemError(409, f"village {name_of(key)} was deleted meanwhile; choose another")
        runner_grants.grant(connection, runner_id, key, by, now)
    runner_grants.withdraw(connection, runner_id, change.withdrawn)
    for action, keys in (("runner.granted", change.granted), ("runner.withdrawn", change.withdrawn)):
        for key in keys:
            entry = Entry(
                at_ms=now,
                kind=call.subject.kind,
                action=action,
                user_id=by,
                token_id=call.subject.token_id,
                village_id=key,
                target=runner_id,
                address=call.address,
            )
            audit.add(connection, entry)

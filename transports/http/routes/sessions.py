"""Sessions: start, list, look, type, stop, pause, resume, resize, read what happened."""

import uuid

import attrs
import structlog
import trio

from access.gate import NotFound
from access.policy import Action
from actors import messages as m
from actors.placement import NoRunner, choose
from actors.runner import command_result
from actors.session import read_for_viewers
from contracts import rest, ui
from contracts.codec import to_json_values
from contracts.link import Command, Result
from contracts.tasks import SessionConfig, StartSession
from store import runners, sessions
from store.sessions import Session
from transports.http import fleet, reach, recording, views
from transports.http.deps import Api
from transports.http.operation import Call, Routes
from transports.http.paging import cut
from transports.http.problems import NDJSON, Answer, ProblemError, not_found

routes = Routes("Sessions")
log = structlog.get_logger("http")

READS = 20
"""Reads of the log for one page, where most of what they bring is left out."""
BASE = "/api/runner/sessions"
ONE = f"{BASE}/{{sessionId}}"


@routes.post(BASE, rest.StartedSession, status=201, body=StartSession, fails=(404, 504), audit="session.start")
async def start_session(call: Call[StartSession, None]) -> rest.StartedSession:
    """Start a session on a runner.

    On the runner that is named, else on the least loaded one that has the provider, matches the labels and is below
    80 % of its sessions; 503 with the reason where there is none. 409 where the runner refuses; 504 where it did not
    answer in time: it may still start it then."""
    wanted = call.body
    try:
        await call.api.gate.check(call.subject, Action.DRIVE, "village", wanted.village_id)
    except NotFound:
        raise not_found(f"village {wanted.village_id!r}") from None
    runner_id = await _place(call.api, wanted)
    config = _config(wanted, uuid.uuid4().hex)
    call.village_id, call.target = wanted.village_id, config.session_id
    call.notes = {"runnerId": runner_id, "providerId": wanted.provider_id, "title": wanted.task.title}
    await call.api.database.call(sessions.create, _row(call, config, runner_id))
    ensure = m.EnsureSession(
        config.session_id, config.org_id, runner_id, agent_id=config.agent_id, agent_name=config.agent_name
    )
    await call.api.context.router_call(ensure)
    await _command(call.api, runner_id, config)
    return rest.StartedSession(session_id=config.session_id, agent_id=config.agent_id)


async def _place(api: Api, wanted: StartSession) -> str:
    rows = await api.database.read(runners.everyone, wanted.village_id)
    states = await fleet.seen(api, [row.runner_id for row in rows])
    candidates = [fleet.candidate(api, row, states.get(row.runner_id)) for row in rows]
    chosen = choose(candidates, wanted.provider_id, wanted.labels, wanted.runner_id)
    if isinstance(chosen, NoRunner):
        raise ProblemError(503, f"no runner can take the session: {chosen.reason}", "E_NO_RUNNER")
    return chosen


def _config(wanted: StartSession, session_id: str) -> SessionConfig:
    return SessionConfig(
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
    )


def _row(call: Call[StartSession, None], config: SessionConfig, runner_id: str) -> Session:
    """What is kept of it. The values of the environment are not: secrets travel in them."""
    kept = attrs.evolve(config, env=dict.fromkeys(config.env, "…"))
    return Session(
        session_id=config.session_id,
        village_id=config.org_id,
        agent_id=config.agent_id,
        provider_id=config.provider_id,
        state="CREATED",
        created_ms=call.now_ms,
        runner_id=runner_id,
        config=to_json_values(kept),
        created_by=call.subject.user_id,
    )


async def _command(api: Api, runner_id: str, config: SessionConfig) -> None:
    """Send the start and wait for the runner's word. A session that never began is taken back."""
    command = Command(command_id=f"start:{config.session_id}", command="start", config=config)
    runner = await api.context.router_call(m.EnsureRunner(runner_id))
    try:
        result: Result = await command_result(runner, command, api.start_seconds)
    except m.RunnerOffline as error:
        await _take_back(api, config.session_id)
        raise ProblemError(503, f"no runner can take the session: {error}", "E_NO_RUNNER") from None
    except trio.TooSlowError:
        message = f"runner {runner_id} did not answer within {api.start_seconds:g} s; it may still start the session"
        details = {"sessionId": config.session_id, "agentId": config.agent_id}
        raise ProblemError(504, message, details=details) from None
    if not result.ok:
        await _take_back(api, config.session_id)
        why = result.error
        message = why.message if why is not None else "it did not say why"
        details = {"runnerId": runner_id, "code": why.code} if why is not None else {"runnerId": runner_id}
        raise ProblemError(409, f"runner {runner_id} refused the session: {message}", "E_RUNNER_REFUSED", details)


async def _take_back(api: Api, session_id: str) -> None:
    with trio.CancelScope(shield=True):
        await api.forget_session(session_id)
        api.context.board.remove(session_id)
        await api.database.call(sessions.remove, session_id)


@routes.get(BASE, rest.SessionList, who="visitor", query=rest.SessionQuery)
async def list_sessions(call: Call[None, rest.SessionQuery]) -> rest.SessionList:
    """The sessions that one may see, the newest first."""
    query = call.query
    found = [one for one in await reach.sessions(call, query.village_id) if not (query.live and one.ended)]
    page, following = cut(found, lambda one: (-(one.created_at or 0), one.session_id), query.cursor, query.limit)
    statuses = await fleet.statuses(call.api, {state.runner_id for state in page})
    items = [views.session_view(one, runner_away=statuses[one.runner_id] == "offline") for one in page]
    return rest.SessionList(items=items, next=following)


@routes.get(ONE, rest.SessionView, who="visitor", on="session")
async def get_session(call: Call[None, None]) -> rest.SessionView:
    """A session as it is now."""
    state = call.session
    statuses = await fleet.statuses(call.api, {state.runner_id})
    return views.session_view(state, runner_away=statuses[state.runner_id] == "offline")


@routes.post(
    f"{ONE}/input", rest.Done, on="session", may=Action.DRIVE, body=rest.TypedInput, fails=(409,), audit="session.input"
)
async def type_input(call: Call[rest.TypedInput, None]) -> rest.Done:
    """Type into the session's terminal."""
    call.api.context.allowances.typing.take(call.user_id, trio.current_time())
    call.notes = {"characters": len(call.body.data)}
    await reach.tell(call, m.Input(call.body.data, call.body.mode))
    return rest.Done()


@routes.post(
    f"{ONE}/stop",
    rest.Done,
    on="session",
    may=Action.DRIVE,
    body=rest.StopSession,
    body_optional=True,
    fails=(409,),
    audit="session.stop",
)
async def stop_session(call: Call[rest.StopSession, None]) -> rest.Done:
    """Stop a session: ask it to end, or (graceful false) kill it. It is kept for a runner that is away."""
    call.notes = {"graceful": call.body.graceful}
    await reach.tell(call, m.Stop(graceful=call.body.graceful, by=call.user_id))
    return rest.Done()


@routes.post(f"{ONE}/pause", rest.Done, on="session", may=Action.DRIVE, fails=(409,), audit="session.pause")
async def pause_session(call: Call[None, None]) -> rest.Done:
    """Hold a session where it is."""
    await reach.tell(call, m.Pause())
    return rest.Done()


@routes.post(f"{ONE}/resume", rest.Done, on="session", may=Action.DRIVE, fails=(409,), audit="session.resume")
async def resume_session(call: Call[None, None]) -> rest.Done:
    """Let a paused session go on."""
    await reach.tell(call, m.Resume())
    return rest.Done()


@routes.post(
    f"{ONE}/resize",
    rest.Done,
    on="session",
    may=Action.DRIVE,
    body=rest.TerminalSize,
    fails=(409,),
    audit="session.resize",
)
async def resize_session(call: Call[rest.TerminalSize, None]) -> rest.Done:
    """Give the session's terminal another size."""
    call.api.context.allowances.typing.take(call.user_id, trio.current_time())
    await reach.tell(call, m.Resize(call.body.cols, call.body.rows))
    return rest.Done()


@routes.delete(ONE, rest.Done, on="session", may=Action.MANAGE, fails=(409,), audit="session.delete")
async def delete_session(call: Call[None, None]) -> rest.Done:
    """Delete a session that has ended: its events, its recording, its approvals, for good.

    What its runner may still send of it is refused."""
    if not call.session.ended:
        raise ProblemError(409, "the session has not ended; stop it first")
    with trio.CancelScope(shield=True):
        await call.api.delete_session(call.session.session_id)
    return rest.Done()


@routes.get(f"{ONE}/events", rest.EventList, who="visitor", on="session", query=rest.EventQuery)
async def list_events(call: Call[None, rest.EventQuery]) -> rest.EventList:
    """What happened in a session, from the durable log, oldest first.

    Terminal output is as viewers may have it: without sequences that act on their terminal."""
    query, context, session_id = call.query, call.api.context, call.session.session_id
    left_out = {name.strip() for name in (query.exclude or "").split(",")}
    after = query.after if query.cursor is None else query.cursor
    found: list[dict[str, object]] = []
    for _ in range(READS if query.exclude else 1):
        batch = await read_for_viewers(context, session_id, after, limit=1000 if query.exclude else query.limit)
        for event in batch:
            if len(found) == query.limit:
                break
            after = event.seq
            if event.TYPE not in left_out:
                found.append(to_json_values(event))
        if not batch or len(found) == query.limit:
            break
    return rest.EventList(items=found, next=after if after < call.session.seq else None)


@routes.get(f"{ONE}/recording.cast", recording.MEDIA_TYPE, who="visitor", on="session", fails=(413,))
async def get_recording(call: Call[None, None]) -> Answer:
    """The session's terminal as asciicast v3, for asciinema's player."""
    state = call.session
    body = await trio.to_thread.run_sync(recording.make, call.api.context.journal_log, state)
    return Answer(200, body, recording.MEDIA_TYPE, _as_file(state.session_id, "cast"))


@routes.get(f"{ONE}/events.ndjson", NDJSON, who="visitor", on="session", query=rest.EventExport)
async def export_events(call: Call[None, rest.EventExport]) -> Answer:
    """The session's events as on the wire, oldest first, one JSON object a line, about 16 MiB at a time.

    Terminal output is as viewers may have it. The header x-next-after says where to go on; without it that was all."""
    state, after = call.session, call.query.after
    body, last = await trio.to_thread.run_sync(recording.lines, call.api.context.journal_log, state, after)
    headers = _as_file(state.session_id, "ndjson")
    if after < last < state.seq:
        headers["x-next-after"] = str(last)
    return Answer(200, body, NDJSON, headers)


def _as_file(session_id: str, ending: str) -> dict[str, str]:
    name = f"{session_id[:80]}.{ending}".encode("ascii", "replace").decode().replace('"', "'")
    return {"content-disposition": f'attachment; filename="{name}"'}

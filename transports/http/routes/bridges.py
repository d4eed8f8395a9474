"""Sessions that run beside a bridge: it registers them and says what it sees, over REST (docs/original.md)."""

from typing import Any

import structlog
import trio
from sqlalchemy import Connection

from townwatch.access.gate import NotFound
from townwatch.access.policy import Action
from townwatch.actors import messages as m
from townwatch.actors.session.state import SessionState
from townwatch.contracts import events as e, rest
from townwatch.contracts.codec import encode
from townwatch.contracts.decoding import bridge
from townwatch.contracts.decoding.runner_events import decode_event
from townwatch.contracts.secrets.shapes import masked_event
from townwatch.contracts.ui import iso
from townwatch.contracts.village_ids import name_of
from townwatch.store import sessions
from townwatch.store.sessions import SessionRow
from townwatch.supervision import LimitReached
from townwatch.transports.http import lookups, runner_views
from townwatch.transports.http.operation import Call, Routes
from townwatch.transports.http.problems import ProblemError, not_found

routes = Routes("Bridges")
log = structlog.get_logger("http")

MOST_ACTIVE = 100
TAKE_SECONDS = 5.0
DURABLE_SECONDS = 10.0


@routes.post(
    "/api/sessions",
    rest.BridgeRegistered,
    status=201,
    may=Action.DRIVE,
    on="body",
    body=rest.BridgeSession,
    fails=(404, 409),
    audit="bridge.register",
)
async def register_bridge(call: Call[rest.BridgeSession, None]) -> rest.BridgeRegistered:
    """Register a session that runs beside a bridge on your machine.

    It is yours to report and takes no orders: input, stop and pause are 409. Registering it again while it lives
    changes nothing; 409 where the id is another session's or this one has ended.
    """
    wanted, village, context = call.body, call.village_id or "", call.api.context
    call.target, call.notes = wanted.session_id, {"agentType": wanted.agent_type}
    runner_id = bridge.runner_of(call.user_id, wanted.session_id)
    known = context.board.session(wanted.session_id)
    if known is not None and (known.runner_id != runner_id or known.village_id != village or known.ended):
        raise ProblemError(409, "sessionId: there is another session of this id, or it has ended; take a new id")
    if known is None:
        _check_room(call)
    ensure = m.EnsureSession(
        wanted.session_id,
        village,
        runner_id,
        agent_id=wanted.agent_id,
        agent_name=bridge.agent_name(wanted),
        provider_id=bridge.provider_of(wanted.agent_type),
    )
    session = await context.router_call(ensure)
    if known is None or known.seq == 0:
        await call.api.database.call(_keep, _row(call, village, runner_id))
        await _report(call, session, bridge.beginning(wanted, name_of(village), call.now_ms))
    await _heard(call, runner_id)
    state = context.board.session(wanted.session_id)
    assert state is not None  # EnsureSession put it there
    agent = rest.BridgeAgentView(id=state.agent_id, name=state.agent_name or state.agent_id, status="connected")
    return rest.BridgeRegistered(agent=agent, session=_view(state, call.now_ms))


@routes.post(
    "/api/events/batch",
    rest.BridgeTaken,
    status=201,
    may=Action.DRIVE,
    on="self",
    body=rest.BridgeEvents,
    fails=(404, 409),
)
async def report_events(call: Call[rest.BridgeEvents, None]) -> rest.BridgeTaken:
    """Report what a bridge saw of its sessions, in order, 100 events at most.

    Answered when they are durable. `session_end` ends the session; 409 for one that has ended before.
    """
    found: dict[str, list[rest.BridgeEvent]] = {}
    for event in call.body.events:
        found.setdefault(event.session_id, []).append(event)
    states = [await _mine(call, session_id) for session_id in found]
    ids: list[str] = []
    for state in states:
        said = bridge.reported(found[state.session_id], _reporter(state), call.now_ms)
        ids += await _tell(call, state, said)
    return rest.BridgeTaken(ids=ids, count=len(call.body.events))


@routes.post(
    "/api/events",
    rest.BridgeTakenOne,
    status=201,
    may=Action.DRIVE,
    on="self",
    body=rest.BridgeEvent,
    fails=(404, 409),
)
async def report_event(call: Call[rest.BridgeEvent, None]) -> rest.BridgeTakenOne:
    """Report one thing that a bridge saw of its session.

    Answered when it is durable. `session_end` ends the session; 409 for one that has ended before.
    """
    state = await _mine(call, call.body.session_id)
    ids = await _tell(call, state, bridge.reported([call.body], _reporter(state), call.now_ms))
    return rest.BridgeTakenOne(id=ids[-1] if ids else f"{state.session_id}:{bridge.STARTED_SEQ}")


@routes.get("/api/sessions/active", rest.ActiveSession, most=MOST_ACTIVE, who="visitor", may=Action.READ, on="list")
async def list_active_sessions(call: Call[None, None]) -> list[rest.ActiveSession]:
    """List the live sessions you may see, as the original does: newest first, 100 at most.

    `GET /api/runner/sessions?live=true` says more of each, and goes on where this ends.
    """
    seen = [state for state in await lookups.sessions(call, None) if not state.ended]
    page = sorted(seen, key=_began, reverse=True)[:MOST_ACTIVE]
    statuses = await runner_views.statuses(call.api, {state.runner_id for state in page})
    return [
        rest.ActiveSession(
            id=state.session_id,
            agent_id=state.agent_id,
            agent_name=state.agent_name or state.agent_id,
            agent_status="offline" if statuses[state.runner_id] == "offline" else "connected",
            agent_type=bridge.agent_type_of(state.provider_id),
            repo_path=state.workspace_path or state.repo_path,
            village_id=name_of(state.village_id),
            started_at=iso(_began(state) or call.now_ms),
        )
        for state in page
    ]


@routes.put(
    "/api/sessions/{sessionId}/end",
    rest.BridgeEnded,
    may=Action.DRIVE,
    on="session",
    fails=(409,),
    audit="bridge.end",
)
async def end_bridge(call: Call[None, None]) -> rest.BridgeEnded:
    """Say that the command beside a bridge has ended. How it ended is not known then."""
    state = await _mine(call, call.session.session_id)
    await _tell(call, state, bridge.ending(_reporter(state), call.now_ms, None, None))
    ended = call.api.context.board.session(state.session_id)
    return rest.BridgeEnded(session=_view(ended or state, call.now_ms))


def _check_room(call: Call[Any, Any]) -> None:
    """Limit the live sessions of one person's bridges to those of a runner. Raises `LimitReached`."""
    allowed, mine = call.api.context.allowances.sessions_per_runner, bridge.runner_of(call.user_id, "")
    living = sum(not one.ended and one.runner_id.startswith(mine) for one in call.api.context.board)
    if living >= allowed:
        raise LimitReached("sessions_per_runner", None, living, allowed)


async def _mine(call: Call[Any, Any], session_id: str) -> SessionState:
    """The session, where this person registered it and may still drive its village. Raises 404, 403, 409."""
    state = call.api.context.board.session(session_id)
    if state is None or state.runner_id != bridge.runner_of(call.user_id, session_id):
        raise not_found(f"session {session_id!r} of a bridge of yours; register it with POST /api/sessions")
    try:
        await call.api.gate.check(call.subject, Action.DRIVE, "village", state.village_id)
    except NotFound:
        raise not_found(f"session {session_id!r} of a bridge of yours") from None
    if state.ended:
        raise ProblemError(409, f"the session has ended ({state.state})", "E_SESSION_ENDED")
    return state


async def _tell(call: Call[Any, Any], state: SessionState, said: list[e.RunnerEvent]) -> list[str]:
    """Give the events to the session; their ids, once they are durable."""
    await _heard(call, state.runner_id)
    session = await call.api.context.router_call(m.LocateSession(state.session_id))
    if session is None:
        raise not_found(f"session {state.session_id!r}")
    if not said:
        return []
    last = await _report(call, session, said)
    if isinstance(said[-1], e.SessionEnded):
        await call.api.stop_runner(state.runner_id)
    return [f"{state.session_id}:{seq}" for seq in range(last - len(said) + 1, last + 1)]


async def _report(call: Call[Any, Any], session: Any, said: list[e.RunnerEvent]) -> int:
    report = m.Reported(await trio.to_thread.run_sync(_masked, said))
    last: int = await session.call(report, timeout=TAKE_SECONDS)
    with trio.fail_after(DURABLE_SECONDS):
        await report.durable.wait()
    return last


def _masked(said: list[e.RunnerEvent]) -> list[e.RunnerEvent]:
    """The events without secrets, as a runner's are."""
    return [decode_event(masked_event(encode(event))) for event in said]


async def _heard(call: Call[Any, Any], runner_id: str) -> None:
    runner = await call.api.context.router_call(m.EnsureRunner(runner_id))
    await runner.send(m.HeartbeatReceived(None))


def _reporter(state: SessionState) -> bridge.Reporter:
    return bridge.Reporter(
        session_id=state.session_id,
        org_id=name_of(state.village_id),
        provider_id=state.provider_id or "command",
        state=state.state,
        usage=state.total_usage,
        began_ms=state.signs.started_at or state.created_at,
    )


def _began(state: SessionState) -> float:
    return state.signs.started_at or state.created_at or 0


def _view(state: SessionState, now_ms: int) -> rest.BridgeSessionView:
    ended = state.signs.ended_at
    return rest.BridgeSessionView(
        id=state.session_id,
        agent_id=state.agent_id,
        started_at=iso(state.signs.started_at or state.created_at or now_ms),
        ended_at=None if ended is None else iso(ended),
    )


def _row(call: Call[rest.BridgeSession, None], village: str, runner_id: str) -> SessionRow:
    return SessionRow(
        session_id=call.body.session_id,
        village_id=village,
        agent_id=call.body.agent_id,
        provider_id=bridge.provider_of(call.body.agent_type),
        created_ms=call.now_ms,
        runner_id=runner_id,
        created_by=call.user_id,
    )


def _keep(connection: Connection, row: SessionRow) -> bool:
    return sessions.create(connection, row)

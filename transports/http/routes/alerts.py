"""Routes of alerts: what went wrong in sessions, and who has seen to it."""

from townwatch.access.policy import Action
from townwatch.actors import messages as m
from townwatch.actors.rendering.house_news import ListsChanged
from townwatch.actors.session.state import OpenAlert, SessionState
from townwatch.contracts import rest, scopes
from townwatch.contracts.lists import SeenBy
from townwatch.contracts.village_ids import name_of
from townwatch.store import alerts, failures
from townwatch.store.alerts import Resolution
from townwatch.transports.http import lookups
from townwatch.transports.http.operation import Call, Routes
from townwatch.transports.http.paging import cut
from townwatch.transports.http.problems import ProblemError, not_found

routes = Routes("Alerts")


@routes.get("/api/alerts", rest.AlertList, may=Action.READ, on="list", query=rest.AlertQuery)
async def list_alerts(call: Call[None, rest.AlertQuery]) -> rest.AlertList:
    """List the alerts of the villages you may see, oldest first."""
    states = await lookups.sessions(call, call.query.village_id)
    done = await call.api.database.read(alerts.of_villages, sorted({state.village_id for state in states}))
    shown = [
        _view(state, alert, resolution)
        for state in states
        for alert in state.alerts.values()
        for resolution in [_standing(done.get(scopes.alert_key(state.session_id, alert.alert_id)), alert)]
        if (resolution is None) is (call.query.state == "open")
    ]
    page, following = cut(
        shown, lambda one: (one.raised_at, one.session_id, one.alert_id), call.query.cursor, call.query.limit
    )
    return rest.AlertList(items=page, next=following)


@routes.post(
    "/api/alerts/{sessionId}/{alertId}/resolve", rest.Done, on="session", may=Action.DRIVE, audit="alert.resolve"
)
async def resolve_alert(call: Call[None, None]) -> rest.Done:
    """Mark an alert as resolved. Its bug bot disappears.

    Resolving it again changes nothing. If the session raises it again, it is open again.
    """
    session_id, alert_id = call.session.session_id, call.path["alertId"]
    call.target = alert_id[: scopes.ID_LENGTH]
    state = call.api.context.board.session(session_id)
    alert = None if state is None else state.alerts.get(alert_id)
    if state is None or alert is None:
        raise not_found(f"open alert {call.target!r} of session {session_id!r}")
    resolution = Resolution(
        session_id=session_id,
        alert_id=alert_id,
        raised_seq=alert.seq,
        village_id=state.village_id,
        resolved_by=call.subject.name or call.user_id,
        resolved_ms=call.now_ms,
    )
    await call.api.database.call(alerts.resolve, resolution)
    call.api.context.settled_alerts[scopes.alert_key(session_id, alert_id)] = alert.seq
    village = await call.api.context.router_call(m.EnsureVillage(state.village_id))
    await village.send(m.ResolveAlert(session_id, alert_id))
    return rest.Done()


@routes.put(
    "/api/runner/sessions/{sessionId}/seen",
    rest.Done,
    on="session",
    may=Action.DRIVE,
    fails=(409,),
    audit="session.seen",
)
async def see_failure(call: Call[None, None]) -> rest.Done:
    """Say that you have seen that a session failed: it is no longer first in the lists.

    The first who sees it stays in `seenBy`; seeing it again changes nothing. 409 where the session has not failed.
    """
    state, context = call.session, call.api.context
    if state.state != "FAILED":
        raise ProblemError(409, f"the session has not failed ({state.state})")
    if state.session_id in context.seen_failures:
        return rest.Done()
    by = call.subject.name or call.user_id
    seen = failures.SeenFailure(
        session_id=state.session_id, village_id=state.village_id, seen_by=by, seen_ms=call.now_ms
    )
    first = await call.api.database.call(failures.mark, seen)
    context.seen_failures[state.session_id] = SeenBy(name=first.seen_by, at=first.seen_ms)
    village = await context.router_call(m.EnsureVillage(state.village_id))
    await village.send(ListsChanged(state.session_id))
    return rest.Done()


def _standing(resolution: Resolution | None, alert: OpenAlert) -> Resolution | None:
    """Return the resolution if it is of this alert, not of an earlier one with the same id."""
    return resolution if resolution is not None and resolution.raised_seq == alert.seq else None


def _view(state: SessionState, alert: OpenAlert, resolution: Resolution | None) -> rest.AlertView:
    return rest.AlertView(
        session_id=state.session_id,
        alert_id=alert.alert_id,
        agent_id=state.agent_id,
        village_id=name_of(state.village_id),
        severity=alert.severity,
        category=alert.category,
        title=alert.title,
        description=alert.description,
        raised_at=alert.raised_at,
        resolved_by=None if resolution is None else resolution.resolved_by,
        resolved_at=None if resolution is None else resolution.resolved_ms,
    )

"""Sessions: list, look, type, stop, pause, resume, resize, read what happened."""

from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

import structlog
import trio

from townwatch.access.policy import Action
from townwatch.actors import commands, messages as m
from townwatch.actors.log_reading import read_for_viewers
from townwatch.contracts import rest
from townwatch.contracts.codec import to_json_values
from townwatch.transports.http import lookups, recording, runner_views, views
from townwatch.transports.http.operation import Call, Routes
from townwatch.transports.http.paging import cut
from townwatch.transports.http.problems import NDJSON, ProblemError, RestResponse
from townwatch.transports.http.streams import Download, reader_of

routes = Routes("Sessions")
log = structlog.get_logger("http")

READS = 20
"""Reads of the log for one page, where most of what they bring is left out."""
KEYS_SECONDS, STOP_SECONDS, PAUSE_SECONDS = 1.0, 0.5, 3.0
"""How long to wait for a runner's refusal before the answer is that it was sent."""
END_SECONDS = 10.0
BASE = "/api/runner/sessions"
ONE = f"{BASE}/{{sessionId}}"


@routes.get(BASE, rest.SessionList, who="visitor", may=Action.READ, on="list", query=rest.SessionQuery)
async def list_sessions(call: Call[None, rest.SessionQuery]) -> rest.SessionList:
    """List the sessions you may see, newest first."""
    query = call.query
    seen = await lookups.sessions(call, query.village_id)
    found = await lookups.matching(call, query, [one for one in seen if not (query.live and one.ended)])
    page, following = cut(found, lambda one: (-(one.created_at or 0), one.session_id), query.cursor, query.limit)
    statuses = await runner_views.statuses(call.api, {state.runner_id for state in page})
    starters = await lookups.starters(call, page)
    items = [
        views.session_view(
            one,
            call.api.context.undecided(one),
            lookups.listed(call, one),
            runner_away=statuses[one.runner_id] == "offline",
            started_by=starters.get(one.session_id),
        )
        for one in page
    ]
    return rest.SessionList(items=items, next=following, total=len(found))


@routes.get(ONE, rest.SessionView, who="visitor", on="session", may=Action.READ)
async def get_session(call: Call[None, None]) -> rest.SessionView:
    """Return a session in its current state."""
    state = call.session
    statuses = await runner_views.statuses(call.api, {state.runner_id})
    starters = await lookups.starters(call, [state])
    return views.session_view(
        state,
        call.api.context.undecided(state),
        lookups.listed(call, state),
        runner_away=statuses[state.runner_id] == "offline",
        started_by=starters.get(state.session_id),
    )


@routes.post(
    f"{ONE}/input", rest.Done, on="session", may=Action.DRIVE, body=rest.TypedInput, fails=(409,), audit="session.input"
)
async def type_input(call: Call[rest.TypedInput, None]) -> rest.Done:
    """Type into the terminal of a session."""
    commands.limit(call.api.context, call.user_id)
    call.notes = {"characters": len(call.body.data)}
    await lookups.order(
        call, m.Input(call.body.data, call.body.mode, call.claim, call.user_id, call.traceparent), KEYS_SECONDS
    )
    return rest.Done()


@routes.post(
    f"{ONE}/stop",
    rest.Promised,
    on="session",
    may=Action.DRIVE,
    body=rest.StopSession,
    body_optional=True,
    fails=(409,),
    audit="session.stop",
)
async def stop_session(call: Call[rest.StopSession, None]) -> rest.Promised:
    """Stop a session: ask it to end, or kill it (`graceful` false).

    The order is kept until the session has ended, while its runner is away and over a restart of the service.
    """
    call.notes = {"graceful": call.body.graceful}
    stop = m.Stop(call.body.graceful, call.user_id, call.entry(), call.traceparent)
    return await _promised(call, stop, STOP_SECONDS)


@routes.post(f"{ONE}/pause", rest.Promised, on="session", may=Action.DRIVE, fails=(409,), audit="session.pause")
async def pause_session(call: Call[None, None]) -> rest.Promised:
    """Pause a session. The order is kept for ten minutes while its runner is away."""
    return await _promised(call, m.Pause(call.entry(), call.claim, call.traceparent), PAUSE_SECONDS)


@routes.post(f"{ONE}/resume", rest.Promised, on="session", may=Action.DRIVE, fails=(409,), audit="session.resume")
async def resume_session(call: Call[None, None]) -> rest.Promised:
    """Resume a paused session. The order is kept for ten minutes while its runner is away."""
    return await _promised(call, m.Resume(call.entry(), call.claim, call.traceparent), PAUSE_SECONDS)


async def _promised(
    call: Call[rest.StopSession, None] | Call[None, None], order: m.Stop | m.Pause | m.Resume, seconds: float
) -> rest.Promised:
    answer = await lookups.order(call, order, seconds)
    call.noted = True  # with the promise
    return answer


@routes.post(
    f"{ONE}/end",
    rest.Done,
    on="session",
    may=Action.MANAGE,
    body=rest.EndSession,
    fails=(409,),
    audit="session.end",
)
async def end_session(call: Call[rest.EndSession, None]) -> rest.Done:
    """Declare a session lost: the service ends it as FAILED with this reason, whatever its runner says later.

    For a session that its runner will never end. Its place is freed and its approvals are denied. If the runner
    returns, it is told to stop the session, and later events of it are refused.
    """
    reason, by = call.body.reason, call.subject.name or call.user_id
    call.notes = {"reason": reason}
    over = await lookups.tell(call, m.End(f"ended by {by}: {reason}", by))
    with trio.move_on_after(END_SECONDS):
        await over.wait()
    state = call.api.context.board.session(call.session.session_id)
    if state is not None and not state.ended:
        raise ProblemError(503, "the end of the session is not written yet; ask again")
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
    """Resize the terminal of a session."""
    commands.limit(call.api.context, call.user_id)
    await lookups.order(call, m.Resize(call.body.cols, call.body.rows, call.user_id, call.traceparent), KEYS_SECONDS)
    return rest.Done()


@routes.delete(ONE, rest.Done, on="session", may=Action.MANAGE, fails=(409,), audit="session.delete")
async def delete_session(call: Call[None, None]) -> rest.Done:
    """Delete a session that has ended, with its events, recording and approvals, permanently.

    Events that its runner still sends for it are refused.
    """
    if not call.session.ended:
        how = "stop it first, or, where its runner is gone, end it: POST …/end"
        raise ProblemError(409, f"the session has not ended; {how}")
    with trio.CancelScope(shield=True):
        await call.api.delete_session(call.session.session_id)
    return rest.Done()


@routes.get(f"{ONE}/events", rest.EventList, who="visitor", on="session", may=Action.READ, query=rest.EventQuery)
async def list_events(call: Call[None, rest.EventQuery]) -> rest.EventList:
    """List the events of a session from the durable log, oldest first.

    Terminal output is filtered as for viewers: without sequences that act on their terminal.
    """
    async with call.api.pages.place(reader_of(call)):
        return await _events(call)


async def _events(call: Call[None, rest.EventQuery]) -> rest.EventList:
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


@routes.get(f"{ONE}/recording.cast", recording.MEDIA_TYPE, who="visitor", on="session", may=Action.READ)
async def get_recording(call: Call[None, None]) -> RestResponse:
    """Return the terminal of a session as asciicast v3, for asciinema's player."""
    state = call.session
    pieces = partial(recording.cast, call.api.context.journal_log, state)
    return _download(call, pieces, recording.MEDIA_TYPE, _as_file(state.session_id, "cast"))


@routes.get(f"{ONE}/events.ndjson", NDJSON, who="visitor", on="session", may=Action.READ, query=rest.EventExport)
async def export_events(call: Call[None, rest.EventExport]) -> RestResponse:
    """Export the events of a session as on the wire, oldest first, one JSON object a line.

    Terminal output is filtered as for viewers. To continue an answer that was cut short, pass the seq of the last
    whole line as `after`.
    """
    state = call.session
    pieces = partial(recording.lines, call.api.context.journal_log, state, call.query.after)
    return _download(call, pieces, NDJSON, _as_file(state.session_id, "ndjson"))


def _download(
    call: Call[Any, Any], pieces: Callable[[], Iterator[bytes]], media_type: str, headers: dict[str, str]
) -> RestResponse:
    return RestResponse(200, b"", media_type, headers, Download(call.api.streams, reader_of(call), pieces))


def _as_file(session_id: str, ending: str) -> dict[str, str]:
    name = f"{session_id[:80]}.{ending}".encode("ascii", "replace").decode().replace('"', "'")
    return {"content-disposition": f'attachment; filename="{name}"'}

"""The worktree of an ended session: removed where all of it is merged, or with what only it has."""

import uuid

import trio

from townwatch.access.policy import Action
from townwatch.actors import messages as m
from townwatch.actors.runner import command_result
from townwatch.contracts import rest, scopes
from townwatch.contracts.link import Command, Result
from townwatch.transports.http import lookups
from townwatch.transports.http.operation import Call, Routes
from townwatch.transports.http.problems import ProblemError

routes = Routes("Sessions")

RESULT_SECONDS = 30.0


@routes.post(
    "/api/runner/sessions/{sessionId}/worktree/clean",
    rest.Done,
    on="session",
    may=Action.DRIVE,
    body=rest.CleanWorktree,
    body_optional=True,
    fails=(409, 504),
    audit="session.worktree.clean",
)
async def clean_worktree(call: Call[rest.CleanWorktree, None]) -> rest.Done:
    """Remove the worktree that was made for an ended session, and its branch where that was made for it, too.

    409 with what only the worktree has, unless `discard`: then that is lost.
    """
    state, discard = call.session, call.body.discard
    if state.worktree is None:
        raise ProblemError(409, "no worktree was made for this session")
    if not state.ended:
        raise ProblemError(409, "the session works in its worktree; stop it first")
    call.notes = {"branch": state.worktree.branch, "discard": discard}
    command = Command(
        command_id=scopes.session_command("clean_worktree", state.session_id, uuid.uuid4().hex[:16]),
        command="clean_worktree",
        session_id=state.session_id,
        discard=discard,
        traceparent=call.traceparent,
    )
    runner = await call.api.context.router_call(m.EnsureRunner(state.runner_id))
    try:
        result: Result = await command_result(runner, command, RESULT_SECONDS)
    except trio.TooSlowError:
        message = f"runner {state.runner_id} did not answer within {RESULT_SECONDS:g} s; it may still do this"
        raise ProblemError(504, message) from None
    if not result.ok:
        why = result.error
        raise ProblemError(409, why.message if why is not None else "the runner did not say why", "E_RUNNER_REFUSED")
    await lookups.tell(call, m.WorktreeRemoved())
    return rest.Done()

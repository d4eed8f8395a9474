"""Prompts for a session's agent, through its structured channel."""

import uuid
from typing import Any

import trio

from townwatch.access.policy import Action
from townwatch.actors import messages as m
from townwatch.actors.runner import command_result
from townwatch.contracts import rest, scopes
from townwatch.contracts.link import Command, Result
from townwatch.transports.http import views
from townwatch.transports.http.operation import Call, Routes
from townwatch.transports.http.problems import ProblemError

routes = Routes("Prompts")

PROMPTS = "/api/runner/sessions/{sessionId}/prompts"
RESULT_SECONDS = 30.0
"""How long a runner may take: a turn that is interrupted ends first."""


@routes.post(
    PROMPTS,
    rest.TakenPrompt,
    on="session",
    may=Action.DRIVE,
    body=rest.PromptBody,
    status=201,
    fails=(409, 504),
    audit="session.prompt",
)
async def give_prompt(call: Call[rest.PromptBody, None]) -> rest.TakenPrompt:
    """Give the session's agent a prompt.

    It never answers a dialog: while the agent waits for a decision, only `queue` is taken, the others are 409 WAITING.
    409 as well where the session runs no agent that takes prompts."""
    if not call.body.text and call.body.mode != "interrupt":
        raise ProblemError(409, "text: is needed; only an interruption has none")
    call.api.context.allowances.typing.take(call.user_id, trio.current_time())
    prompt_id = f"pr_{uuid.uuid4().hex[:16]}"
    call.target, call.notes = prompt_id, {"mode": call.body.mode, "characters": len(call.body.text)}
    session_id = call.session.session_id
    command = Command(
        command_id=scopes.session_command("prompt", session_id, prompt_id),
        command="prompt",
        session_id=session_id,
        prompt_id=prompt_id,
        data=call.body.text,
        mode=call.body.mode,
        by=call.subject.name or call.user_id,
        traceparent=call.traceparent,
    )
    await _done(call, command)
    return rest.TakenPrompt(prompt_id=prompt_id)


@routes.get(PROMPTS, rest.PromptList, on="session", may=Action.DRIVE)
async def list_prompts(call: Call[None, None]) -> rest.PromptList:
    """The prompts that wait for the session's agent, the next one first."""
    return rest.PromptList(items=views.prompts(call.session))


@routes.delete(
    f"{PROMPTS}/{{promptId}}",
    rest.Done,
    on="session",
    may=Action.DRIVE,
    fails=(409, 504),
    audit="session.prompt.withdraw",
)
async def withdraw_prompt(call: Call[None, None]) -> rest.Done:
    """Take a waiting prompt back. 409 where the agent has it already."""
    prompt_id, session_id = call.path["promptId"][:200], call.session.session_id
    call.target = prompt_id
    command = Command(
        command_id=scopes.session_command("withdraw_prompt", session_id, f"{prompt_id}:{uuid.uuid4().hex[:8]}"),
        command="withdraw_prompt",
        session_id=session_id,
        prompt_id=prompt_id,
        traceparent=call.traceparent,
    )
    await _done(call, command)
    return rest.Done()


async def _done(call: Call[Any, None], command: Command) -> None:
    """The runner has done it. Raises `ProblemError`, `RunnerOffline`."""
    if call.session.ended:
        raise ProblemError(409, f"the session has ended ({call.session.state})", "E_SESSION_ENDED")
    runner_id = call.session.runner_id
    runner = await call.api.context.router_call(m.EnsureRunner(runner_id))
    try:
        result: Result = await command_result(runner, command, RESULT_SECONDS)
    except trio.TooSlowError:
        message = f"runner {runner_id} did not answer within {RESULT_SECONDS:g} s; it may still do this"
        raise ProblemError(504, message) from None
    if not result.ok:
        why = result.error
        code = why.code if why is not None and why.code == "WAITING" else "E_RUNNER_REFUSED"
        raise ProblemError(409, why.message if why is not None else "the runner did not say why", code)

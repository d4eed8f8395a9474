"""Conversations that agents had outside of Townwatch, on a runner's machine: for who may start sessions there."""

import uuid
from typing import Any

import trio

from townwatch.access.policy import Action
from townwatch.actors import messages as m
from townwatch.actors.runner import command_result
from townwatch.contracts import rest
from townwatch.contracts.codec import ContractError, encode
from townwatch.contracts.link import Command
from townwatch.contracts.lists import Conversations, conversations_of
from townwatch.contracts.secrets.shapes import masked_event
from townwatch.store import runner_grants
from townwatch.transports.http.operation import Call, Routes
from townwatch.transports.http.problems import ProblemError, not_found

routes = Routes("Runners")

RUNNER_SECONDS = 25.0


@routes.get(
    "/api/villages/{villageId}/conversations",
    rest.ConversationList,
    on="village",
    may=Action.DRIVE,
    query=rest.ConversationQuery,
    fails=(409, 502, 504),
)
async def list_conversations(call: Call[None, rest.ConversationQuery]) -> rest.ConversationList:
    """List conversations that the agents' CLIs of a runner's machine keep, and that began outside of Townwatch.

    For who may start sessions there: `conversation` in POST /api/runner/sessions goes on with one. The runner is asked
    now; nothing of the answer is stored. 409 E_RUNNER_OFFLINE while it is away, 409 E_UNSUPPORTED where it cannot.
    """
    runner_id = call.query.runner_id
    grants = await call.api.database.read(runner_grants.of_runner, runner_id)
    if call.village_id not in {grant.village_id for grant in grants}:
        raise not_found(f"runner {runner_id[:200]!r} of this village")
    said = await _asked(call, runner_id)
    known = {state.agent.cli_session_id for state in call.api.context.board if state.agent is not None}
    return rest.ConversationList(
        runner_id=runner_id,
        items=[one for one in said.conversations if one.conversation not in known],
        unknown=said.unknown,
        truncated=said.truncated,
    )


async def _asked(call: Call[None, rest.ConversationQuery], runner_id: str) -> Conversations:
    """The runner's answer, masked once more. Raises `ProblemError`, `RunnerOffline`, `Unsupported`."""
    command = Command(command_id=f"conversations:{uuid.uuid4().hex}", command="conversations")
    runner = await call.api.context.router_call(m.EnsureRunner(runner_id))
    try:
        result = await command_result(runner, command, RUNNER_SECONDS)
    except trio.TooSlowError:
        raise ProblemError(504, f"runner {runner_id} did not answer within {RUNNER_SECONDS:g} s; ask again") from None
    if not result.ok:
        why = result.error.message if result.error is not None else "the runner did not say why"
        raise ProblemError(409, why, "E_RUNNER_REFUSED")
    try:
        return await trio.to_thread.run_sync(_checked, result.data)
    except ContractError as error:
        raise ProblemError(502, f"runner {runner_id} answered with something else: {error}") from None


def _checked(said: Any) -> Conversations:
    return conversations_of.decode(masked_event(encode(said)))

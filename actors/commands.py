"""Commands of people to sessions, shared by REST, Socket.IO and the control WebSocket.

`for_session` makes the command that travels to the runner, `visible` asks for the right where a door has not asked
before, `drive` is limit, call and audit of what only makes sense now (keys, a size), `wait_for_runner` waits for
what became of an order. A stop, a pause and a resume are rows before they are promised (`actors/session/actor.py`),
with their audit entry in the same transaction.
"""

import uuid
from typing import Any, Literal

import attrs
import trio

from townwatch.actors import orders
from townwatch.actors.context import Context
from townwatch.actors.directory import Origin
from townwatch.actors.messages import LocateSession
from townwatch.actors.ports import Access, Principal
from townwatch.actors.session.state import SessionState
from townwatch.contracts import scopes
from townwatch.contracts.agent_events import Landed
from townwatch.contracts.codec import ContractError, encode
from townwatch.contracts.keystrokes import is_text
from townwatch.contracts.landing import LandReport, land_report
from townwatch.contracts.link import Command, Result
from townwatch.contracts.secrets.shapes import masked_event

SessionOrder = orders.Input | orders.Resize | orders.Stop | orders.Pause | orders.Resume
CALL_SECONDS = 10.0
"""How long a session's actor may take to take an order."""


class NotVisible(Exception):
    """There is no such session, or the person may not see it."""


class NotAllowed(Exception):
    """The person may see the session, and may not drive it."""


class RunnerRefused(Exception):
    """The runner did not do it, and said why. `code` is the runner's own; None where it gave none."""

    def __init__(self, message: str, code: str | None) -> None:
        super().__init__(message)
        self.code = code


@attrs.frozen
class CommandProgress:
    """Progress of an order. done: the runner did it. sent: it has it. waiting: the runner is away."""

    command_id: str
    state: Literal["done", "sent", "waiting"]


def for_session(order: SessionOrder, session_id: str) -> Command:
    """Return the command that tells a runner this order; its id names the session, and is the same for a repeat."""
    claim = None if isinstance(order, orders.Stop | orders.Resize) else order.claim
    command_id = scopes.session_command(type(order).__name__.lower(), session_id, claim or uuid.uuid4().hex)
    base = Command(command_id=command_id, command="input", session_id=session_id, traceparent=order.traceparent)
    match order:
        case orders.Input(data=data, mode=mode):
            return attrs.evolve(base, data=data, mode="line" if mode == "line" else "raw")
        case orders.Resize(cols=cols, rows=rows):
            return attrs.evolve(base, command="resize", cols=cols, rows=rows)
        case orders.Stop(graceful=graceful):
            stop_id = scopes.session_command("stop", session_id, str(graceful))
            return attrs.evolve(base, command="stop", graceful=graceful, command_id=stop_id)
        case orders.Pause():
            return attrs.evolve(base, command="pause")
        case orders.Resume():
            return attrs.evolve(base, command="resume")


def decision(
    session_id: str, approval_id: str, decided: str, by: str | None, note: str | None, *, asked_as: str, stop: bool
) -> Command:
    """Return the command that brings a decision to the runner. `asked_as`: the id under which the runner knows it."""
    return Command(
        command_id=scopes.approve_command(session_id, approval_id),
        command="approve",
        session_id=session_id,
        approval_id=asked_as,
        decision="allow" if decided == "allow" else "deny",
        note=note,
        resolved_by=by,
        stop=stop or None,
    )


def check_no_dialog(state: SessionState, typed: orders.Input) -> None:
    """Refuse text while an agent shows a dialog: only a key of a person who sees it gets there. Raises `AgentWaits`."""
    agent = state.agent
    if agent is None or not (state.pending or agent.status == "waiting"):
        return
    if is_text(typed.data + ("\r" if typed.mode == "line" else "")):
        what = next((one.summary for one in state.pending.values()), agent.status_for or "a decision")
        message = f"the agent waits for {what!r}; answer that first, text could answer it by accident"
        raise orders.AgentWaits(message)


async def result_of(ordered: orders.Ordered, seconds: float) -> Result | None:
    """Wait for a runner's result of an order; None where it did not come in time, or where it was done before."""
    if ordered.waiting is None:
        return None
    with trio.move_on_after(seconds):
        await ordered.waiting.done.wait()
    return ordered.waiting.result


def untold(result: Result) -> Landed | None:
    """Return the outcome of an order that its runner told with the result alone; masked, as every event is."""
    report = report_of(result)
    return report.outcome if report is not None and not report.told else None


def report_of(result: Result) -> LandReport | None:
    """Return a runner's report of an order, masked; None where it reports none, or something else."""
    if not result.ok or result.data is None:
        return None
    try:
        return land_report.decode(masked_event(encode(result.data)))
    except ContractError:
        return None


async def visible(context: Context, access: Access, subject: Principal, session_id: str) -> SessionState:
    """Return the session that a person wants to drive. Raises `NotVisible`, `NotAllowed`."""
    state = context.board.session(session_id)
    may = None if state is None else await access.may_drive(subject, state.village_id)
    if state is None or may is None:
        raise NotVisible("there is no such session, or you may not see it")
    if not may:
        raise NotAllowed("watching only: typing needs the role operator or owner")
    return state


async def drive(
    context: Context, subject: Principal, origin: Origin, state: SessionState, order: orders.Input | orders.Resize
) -> orders.Ordered:
    """Type into a session or change its size: limit, call, audit.

    Raises `supervision.RateLimited`, `orders.RunnerOffline`, `orders.Unsupported`, `NotVisible` where it is gone.
    """
    limit(context, subject.user_id)
    context.typed_at = trio.current_time()
    answer = await tell(context, state.session_id, attrs.evolve(order, by=subject.user_id))
    now = context.clock.now_ms()
    note, where = context.audit.note, (subject, origin, now, state.village_id, state.session_id)
    match order:
        case orders.Input(data=data):
            note("session.input", *where, characters=len(data))
        case orders.Resize(cols=cols, rows=rows):
            note("session.resize", *where, cols=cols, rows=rows)
    return answer


def limit(context: Context, user_id: str | None) -> None:
    """Take one from a person's allowance of typing, over all doors together. Raises `supervision.RateLimited`."""
    context.allowances.typing.take(user_id or "", trio.current_time())


async def tell(context: Context, session_id: str, message: Any) -> Any:
    """Return the answer of a session's actor. Raises `NotVisible` where there is none."""
    session = context.directory.alive(context.directory.sessions, session_id)
    if session is None:  # the router wakes it; keys do not wait behind what others print
        session = await context.router_call(LocateSession(session_id))
    if session is None:
        raise NotVisible(f"there is no session {session_id[:200]!r}")
    return await session.call(message, timeout=CALL_SECONDS)


async def wait_for_runner(ordered: orders.Ordered, seconds: float) -> CommandProgress:
    """Wait a moment for what the runner says to an order. Raises `RunnerRefused`."""
    if ordered.done:
        return CommandProgress(ordered.command_id, "done")
    if ordered.waiting is None:
        return CommandProgress(ordered.command_id, "waiting")
    with trio.move_on_after(seconds):
        await ordered.waiting.done.wait()
    result = ordered.waiting.result
    if result is None:
        return CommandProgress(ordered.command_id, "sent")
    if not result.ok:
        why = result.error.message if result.error is not None else "it did not say why"
        raise RunnerRefused(f"the runner refused it: {why}", result.error.code if result.error is not None else None)
    return CommandProgress(ordered.command_id, "done")

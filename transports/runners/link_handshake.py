"""Start of a link's actor on a fresh WebSocket: the hello first. For runners that dial in and those we dial."""

from itertools import count

import attrs
import structlog

from townwatch.actors.ports import Ref
from townwatch.contracts.codec import encode
from townwatch.contracts.link import Hello, LinkError
from townwatch.runtime import ActorDeadError, whereis
from townwatch.supervision import ChildSpec, LimitReached, Supervisor
from townwatch.transports.runners.frames import Dialect, FrameProblem, silent_hello, text_of
from townwatch.transports.runners.link import AcceptedRunner, RunnerLink
from townwatch.transports.runners.ports import LinkDeps, LinkSettings, RunnerIdentity
from townwatch.transports.websocket.close_codes import CloseCode
from townwatch.transports.websocket.socket import MessageSocket

log = structlog.get_logger("links")

START_SECONDS = 30.0

_numbers = count(1)


@attrs.frozen
class Admission:
    """A runner that may come in, and its dialect."""

    identity: RunnerIdentity
    dialect: Dialect


async def hear_hello(socket: MessageSocket, admission: Admission, settings: LinkSettings) -> Hello | None:
    """The runner's first message; None when it was none, was another runner's, or came too late: the connection is
    then over, and the runner was told the reason.
    """
    runner_id = admission.identity.runner_id
    if admission.dialect.lenient:
        return silent_hello(runner_id)
    try:
        message = await socket.first(settings.hello)
        if message is None and socket.closing:
            await socket.run(None)
            return None
        if message is None:
            raise FrameProblem("E_HELLO", f"no hello came within {settings.hello:g} s", CloseCode.POLICY)
        hello = admission.dialect.read(text_of(*message))
        if not isinstance(hello, Hello):
            raise FrameProblem("E_HELLO", "the first message must be hello", CloseCode.POLICY)
        if not admission.identity.speaks_for(hello.runner_id):
            raise FrameProblem("E_FORBIDDEN", "runnerId: is not the runner of the token", CloseCode.POLICY)
    except FrameProblem as problem:
        await reject(socket, problem)
        return None
    return hello


async def reject(socket: MessageSocket, problem: FrameProblem) -> None:
    """Say what is wrong and close, before an actor uses the socket. Where it is our fault, the close code says it all:
    a runner takes an error frame for its own fault, and stays away longer.
    """
    log.info("runner_turned_away", code=problem.code, reason=problem.message[:300])
    if problem.code != "E_UNAVAILABLE":
        socket.send(encode(LinkError(code=problem.code, message=problem.message)))
    socket.close(problem.close or CloseCode.POLICY, problem.message)
    await socket.run(None)


async def start_link(deps: LinkDeps, arrival: AcceptedRunner) -> Ref | None:
    """Start the connection's actor under its supervisor; None where that failed: the runner was told to come back."""
    runner_id = arrival.identity.runner_id
    spec = ChildSpec(
        id=f"link:{runner_id}:{next(_numbers)}",
        actor=RunnerLink,
        args=(deps.context, deps.settings, arrival),
        restart="temporary",
        start_timeout=START_SECONDS,
        keys={"runner": runner_id},
    )
    supervisor = whereis(deps.links)
    try:
        if supervisor is None:
            raise ActorDeadError("the service is starting or stopping; connect again in a moment")
        return await Supervisor.start_child(supervisor, spec)
    except LimitReached as refused:
        problem = FrameProblem("E_LIMIT", f"{refused}; come back later", CloseCode.TRY_AGAIN)
    except Exception as error:  # whatever on_start() raised: the next connection may fare better
        log.warning("link_not_started", runner=runner_id, reason=repr(error)[:300])
        problem = FrameProblem(
            "E_UNAVAILABLE", "the service cannot take this connection now; come back", CloseCode.TRY_AGAIN
        )
    if not arrival.socket.over.is_set():
        await reject(arrival.socket, problem)
    return None

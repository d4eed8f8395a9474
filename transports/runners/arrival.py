"""From a fresh WebSocket to a link's actor: the hello, and the start. For those who dial in and those we dial."""

from itertools import count

import attrs
import structlog

from actors.ports import Ref
from actors.runtime import ActorDeadError, whereis
from contracts.codec import encode
from contracts.link import Hello, LinkError
from supervision import ChildSpec, Refused
from transports.runners.frames import Dialect, FrameProblem, silent_hello, text_of
from transports.runners.link import Arrival, RunnerLink
from transports.runners.ports import LinkDeps, LinkSettings, RunnerIdentity
from transports.ws_socket import MessageSocket

log = structlog.get_logger("links")

POLICY, TRY_AGAIN = 1008, 1013
START_SECONDS = 30.0

_numbers = count(1)


@attrs.frozen
class Admission:
    """Who may come in, and how it speaks."""

    identity: RunnerIdentity
    dialect: Dialect


async def hear_hello(socket: MessageSocket, admission: Admission, settings: LinkSettings) -> Hello | None:
    """The runner's first message; None when it was none, was another runner's, or came too late: the connection is
    then closed with the reason. An admission without a runner id takes any runner. Raises `ConnectionClosed`.
    """
    runner_id = admission.identity.runner_id
    if admission.dialect.lenient:
        return silent_hello(runner_id)
    try:
        message = await socket.first(settings.hello)
        if message is None:
            raise FrameProblem("E_HELLO", f"no hello came within {settings.hello:g} s", POLICY)
        hello = admission.dialect.read(text_of(message, settings.socket.message_bytes))
        if not isinstance(hello, Hello):
            raise FrameProblem("E_HELLO", "the first message must be hello", POLICY)
        if runner_id and not admission.identity.speaks_for(hello.runner_id):
            raise FrameProblem("E_FORBIDDEN", "runnerId: is not the runner of the token", POLICY)
    except FrameProblem as problem:
        await turn_away(socket, problem)
        return None
    return hello


async def turn_away(socket: MessageSocket, problem: FrameProblem) -> None:
    """Say what is wrong and close, before anybody else uses the socket. Where it is our fault, the close code says it
    all: a runner takes an error frame for its own fault, and stays away longer.
    """
    log.info("runner_turned_away", code=problem.code, reason=problem.message[:300])
    if problem.code != "E_UNAVAILABLE":
        socket.send(encode(LinkError(code=problem.code, message=problem.message)))
    socket.close(problem.close or POLICY, problem.message)
    await socket.run(None)


async def start_link(deps: LinkDeps, arrival: Arrival) -> Ref | None:
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
            raise ActorDeadError("the service is starting or stopping")
        return await supervisor.proxy().start_child(spec)
    except Refused as refused:
        problem = FrameProblem("E_LIMIT", f"{refused}; come back later", TRY_AGAIN)
    except Exception as error:  # whatever on_start() raised: the next connection may fare better
        log.warning("link_not_started", runner=runner_id, reason=repr(error)[:300])
        problem = FrameProblem("E_UNAVAILABLE", "the service cannot take this connection now; come back", TRY_AGAIN)
    if not arrival.socket.over.is_set():
        await turn_away(arrival.socket, problem)
    return None

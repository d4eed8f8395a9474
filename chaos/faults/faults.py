"""The faults by name. Each takes the place it happens at and an order, and says what it did.

A new one is a function with a docstring under `@fault`; the route, the page's buttons and `townwatch chaos` find it.
"""

import os
import signal
import time
from collections.abc import Awaitable, Callable
from random import Random
from typing import Any, Literal

import attrs
import trio
from pykka.messages import ProxyGetAttr

from townwatch.actors.ports import Ref
from townwatch.chaos.faults.faulty_sockets import FaultySocket
from townwatch.chaos.faults.targets import FaultContext, Killed, NoTarget
from townwatch.config.process import is_kept
from townwatch.runtime import MailboxFull
from townwatch.runtime.kernel import actor_behind

Aim = Literal["actor", "supervisor", "runner", "client", "nothing"]
ROUTER, JOURNAL, LISTENER = "townwatch/router", "townwatch/ledger/journal", "townwatch/listener"
ANSWER_FIRST_SECONDS = 0.05
"""What ends the connection of the request itself waits so long, so that there is an answer."""
BLINK_SECONDS, SHUT_SECONDS = 0.01, 0.2


@attrs.frozen(kw_only=True)
class FaultRequest:
    """Parameters of a fault. `seconds`: how long a fault lasts that lasts; each has its own limit."""

    target: str | None = None
    dice: Random
    seconds: float = 1.0


@attrs.frozen(kw_only=True)
class FaultResult:
    """target: what it hit. back: seconds until who was killed answered again, None where nothing comes back by itself.
    lasts: seconds that it goes on.
    """

    target: str
    back: float | None = None
    lasts: float = 0.0


Inject = Callable[[FaultContext, FaultRequest], Awaitable[FaultResult]]


@attrs.frozen(kw_only=True)
class Fault:
    """One way to break something. `aims`: what its target is; its docstring is `says`. `lasts`: it goes on for the
    order's seconds. `felt`: by all users.
    """

    name: str
    aims: Aim
    says: str
    inject: Inject
    lasts: bool = False
    felt: bool = False


FAULTS: dict[str, Fault] = {}


def fault(name: str, aims: Aim = "nothing", *, lasts: bool = False, felt: bool = False) -> Callable[[Inject], Inject]:
    """Register a fault. The function's docstring is what people read."""

    def register(inject: Inject) -> Inject:
        says = " ".join((inject.__doc__ or "").split())
        FAULTS[name] = Fault(name=name, aims=aims, says=says, inject=inject, lasts=lasts, felt=felt)
        return inject

    return register


# --- actors -------------------------------------------------------------------------------------------


@fault("kill-actor", "actor")
async def kill_actor(place: FaultContext, order: FaultRequest) -> FaultResult:
    """End an actor where it stands. Its supervisor starts it anew behind the same address."""
    return await _kill(place, *place.actor(order.target, order.dice))


@fault("kill-supervisor", "supervisor")
async def kill_supervisor(place: FaultContext, order: FaultRequest) -> FaultResult:
    """End a supervisor, and with it all actors below it."""
    return await _kill(place, *place.actor(order.target, order.dice, kind="supervisor"))


@fault("kill-router")
async def kill_router(place: FaultContext, order: FaultRequest) -> FaultResult:
    """End the router: no event finds its village until it is back."""
    return await _kill(place, *place.actor(ROUTER, order.dice))


@fault("kill-journal")
async def kill_journal(place: FaultContext, order: FaultRequest) -> FaultResult:
    """End the journal, and with it all sessions and all runner connections, which come back to resume."""
    return await _kill(place, *place.actor(JOURNAL, order.dice))


@fault("kill-listener", felt=True)
async def kill_listener(place: FaultContext, order: FaultRequest) -> FaultResult:
    """End the listening socket and every connection of every kind at once."""
    path, ref = place.actor(LISTENER, order.dice)

    async def kill() -> None:
        await trio.sleep(ANSWER_FIRST_SECONDS)
        ref.kill(Killed("kill-listener"))

    place.later(kill)
    return FaultResult(target=path, lasts=ANSWER_FIRST_SECONDS)


async def _kill(place: FaultContext, path: str, ref: Ref) -> FaultResult:
    return FaultResult(target=path, back=await place.kill(path, ref, "pulled by /api/chaos"))


@fault("wedge-actor", "actor")
async def wedge_actor(place: FaultContext, order: FaultRequest) -> FaultResult:
    """Let an actor (the router, if none is named) never return from its next message. Router and journal are seen."""
    path, ref = place.actor(order.target or ROUTER, order.dice)
    actor: Any = actor_behind(ref)

    async def never(_message: Any) -> None:
        await trio.sleep_forever()

    actor.on_receive = never  # of this incarnation; the next one is as its class says
    ref.tell(Nudge())
    return FaultResult(target=path)


class Nudge:
    """Sent to an actor that was wedged, so that it handles a message and blocks."""


@fault("flood", "actor")
async def flood(place: FaultContext, order: FaultRequest) -> FaultResult:
    """Fill an actor's mailbox to its bound with messages that mean nothing."""
    path, ref = place.actor(order.target, order.dice)
    sent, bound = 0, min(ref.actor_inbox.capacity, 20_000)
    try:
        while sent < bound:
            ref.tell(ProxyGetAttr(attr_path=("actor_urn",)))
            sent += 1
    except MailboxFull:
        pass
    return FaultResult(target=f"{path} ({sent} messages)")


# --- connections --------------------------------------------------------------------------------------


@fault("cut-runner", "runner")
async def cut_runner(place: FaultContext, order: FaultRequest) -> FaultResult:
    """Reset a runner's connection."""
    return _cut(place.connection("runner", order.target, order.dice))


@fault("freeze-runner", "runner", lasts=True)
async def freeze_runner(place: FaultContext, order: FaultRequest) -> FaultResult:
    """Let nothing pass on a runner's connection for some seconds (at most 60)."""
    return _freeze(place, place.connection("runner", order.target, order.dice), order)


@fault("half-open-runner", "runner")
async def half_open_runner(place: FaultContext, order: FaultRequest) -> FaultResult:
    """Let a runner's connection die without a word: what is written vanishes, nothing comes."""
    return _half_open(place.connection("runner", order.target, order.dice))


@fault("cut-client", "client")
async def cut_client(place: FaultContext, order: FaultRequest) -> FaultResult:
    """Reset a client's WebSocket."""
    return _cut(place.connection("socket.io", order.target, order.dice))


@fault("freeze-client", "client", lasts=True)
async def freeze_client(place: FaultContext, order: FaultRequest) -> FaultResult:
    """Let nothing pass on a client's WebSocket for some seconds (at most 60): a sleeping tab."""
    return _freeze(place, place.connection("socket.io", order.target, order.dice), order)


@fault("half-open-client", "client")
async def half_open_client(place: FaultContext, order: FaultRequest) -> FaultResult:
    """Let a client's WebSocket die without a word: a laptop that was closed."""
    return _half_open(place.connection("socket.io", order.target, order.dice))


@fault("slow-client", "client", lasts=True)
async def slow_client(place: FaultContext, order: FaultRequest) -> FaultResult:
    """Let a client's WebSocket through for a blink now and then only, for some seconds (at most 60)."""
    plug, seconds = place.connection("socket.io", order.target, order.dice), min(order.seconds, 60.0)

    async def blink() -> None:
        try:
            with trio.move_on_after(seconds):
                while True:
                    plug.set_state("frozen")
                    await trio.sleep(SHUT_SECONDS)
                    plug.set_state("well")
                    await trio.sleep(BLINK_SECONDS)
        finally:
            plug.set_state("well")

    place.later(blink)
    return FaultResult(target=plug.name, lasts=seconds)


def _cut(plug: FaultySocket) -> FaultResult:
    plug.cut()
    return FaultResult(target=plug.name)


def _freeze(place: FaultContext, plug: FaultySocket, order: FaultRequest) -> FaultResult:
    seconds = min(order.seconds, 60.0)
    plug.set_state("frozen")
    place.plugs.later(seconds, lambda: plug.set_state("well"))
    return FaultResult(target=plug.name, lasts=seconds)


def _half_open(plug: FaultySocket) -> FaultResult:
    plug.set_state("gone")
    return FaultResult(target=plug.name)


# --- the machine --------------------------------------------------------------------------------------


@fault("slow-disk", lasts=True)
async def slow_disk(place: FaultContext, order: FaultRequest) -> FaultResult:
    """Let each commit take 200 ms longer, for some seconds (at most 60)."""
    seconds = min(order.seconds, 60.0)
    place.later(place.disk.slow_for, 0.2, seconds)
    return FaultResult(target="journal.db", lasts=seconds)


@fault("full-disk", lasts=True)
async def full_disk(place: FaultContext, order: FaultRequest) -> FaultResult:
    """Let the disk refuse every write of the journal, for some seconds (at most 60)."""
    seconds = min(order.seconds, 60.0)
    place.later(place.disk.full_for, seconds)
    return FaultResult(target="journal.db", lasts=seconds)


@fault("block-loop", lasts=True, felt=True)
async def block_loop(place: FaultContext, order: FaultRequest) -> FaultResult:
    """Hold the event loop up for some seconds (at most 5): a call that blocks."""
    seconds = min(order.seconds, 5.0)
    time.sleep(seconds)  # noqa: ASYNC251 - that is the fault
    return FaultResult(target="the event loop")


@fault("kill-process", felt=True)
async def kill_process(place: FaultContext, order: FaultRequest) -> FaultResult:
    """kill -9 of the process. Only where it is started again: by `townwatch serve --keep`, or systemd."""
    if not is_kept():
        raise NoTarget("nothing would start this process again: run it with `townwatch serve --keep`, or under systemd")

    async def kill() -> None:
        await trio.sleep(ANSWER_FIRST_SECONDS)
        os.kill(os.getpid(), signal.SIGKILL)

    place.later(kill)
    return FaultResult(target=f"process {os.getpid()}", lasts=ANSWER_FIRST_SECONDS)

"""What goes wrong, chosen by dice. Each fault is a function of the world; `FAULTS` says how often each comes."""

import sqlite3
from collections.abc import Callable, Generator, Sequence
from contextlib import contextmanager, nullcontext
from types import CoroutineType, coroutine
from typing import TYPE_CHECKING, Any

import attrs
import trio

from tests.simulation.determinism import OFFLINE_SECONDS
from townwatch.actors.agent import AgentActor
from townwatch.actors.client import ClientActor
from townwatch.actors.journal import JournalActor
from townwatch.actors.router import SessionRouter
from townwatch.actors.runner import RunnerActor
from townwatch.actors.session.actor import SessionActor
from townwatch.actors.timers import Timers
from townwatch.actors.village import VillageActor
from townwatch.store.log.records import DiskFull
from townwatch.supervision import tree
from townwatch.transports.control import ControlClient
from townwatch.transports.runners.link import RunnerLink

if TYPE_CHECKING:
    from tests.simulation.world import World

CAST = (
    JournalActor,
    SessionActor,
    SessionRouter,
    VillageActor,
    AgentActor,
    RunnerActor,
    ClientActor,
    ControlClient,
    Timers,
    RunnerLink,
)
SILENT = (*CAST, SessionActor, SessionActor, SessionActor)
"""Whom a crash strikes that nothing follows. A session more often: the next event tells that one was lost, so only the
loss of its last is ever seen.
"""

TELL_SECONDS = 4.0
"""For whoever has crashed meanwhile."""


class Crash(RuntimeError):
    """Planted in an actor."""


@attrs.define
class Armed:
    """What happens to the next messages of an actor. `when`: before or after handling it, at its so-manieth wait, or
    when it has "said" one thing of several.
    """

    when: str | int
    times: int = 1


def crashing(original: Callable[[Any, Any], Any], armed: dict[type, Armed]) -> Callable[[Any, Any], Any]:
    """`on_receive` that crashes where its class is armed."""

    def on_receive(self: Any, message: Any) -> Any:
        plan = armed.get(type(self)) if armed else None
        if plan is None:
            return original(self, message)
        plan.times -= 1
        if plan.times <= 0:
            del armed[type(self)]
        return crash(self, message, plan.when)

    async def crash(self: Any, message: Any, when: str | int) -> Any:
        error = Crash(f"{type(self).__name__} {when} {type(message).__name__}")
        if when == "before":
            raise error
        with _silenced(error) if when == "said" else nullcontext():
            result = original(self, message)
            if isinstance(result, CoroutineType):
                result = await _interrupted(result, when, error)  # pyright: ignore[reportUnknownArgumentType]
        if when == "after":
            raise error
        return result

    return on_receive


_silencing: dict[trio.lowlevel.Task, Crash] = {}


@contextmanager
def _silenced(error: Crash) -> Generator[None]:
    """Within, the task's first message to somebody is its last word."""
    task = trio.lowlevel.current_task()
    _silencing[task] = error
    try:
        yield
    finally:
        _silencing.pop(task, None)


def interruptible(tell: Callable[[Any, Any], None]) -> Callable[[Any, Any], None]:
    """`ActorRef.tell` behind which one may crash: what was said is on its way, what was to follow is not."""

    def last_word(self: Any, message: Any) -> None:
        tell(self, message)
        if _silencing and (error := _silencing.pop(trio.lowlevel.current_task(), None)) is not None:
            raise error

    return last_word


@coroutine
def _interrupted(handler: Any, when: str | int, error: Exception) -> Generator[Any, Any, Any]:
    """The handler, until it wakes up for the `when`-th time: then it crashes there."""
    value, raised = None, None
    while True:
        try:
            trap = handler.send(value) if raised is None else handler.throw(raised)
        except StopIteration as done:
            return done.value
        value = raised = None
        try:
            value = yield trap
        except BaseException as thrown:
            raised = thrown
        else:
            if isinstance(when, int):
                when -= 1
                raised = error if when == 0 else None


async def crash_at_message(world: "World", victims: Sequence[type] = CAST) -> None:
    """The next message of some actor is its last; now and then it crashes over it again and again."""
    dice, victim = world.dice, world.dice.choice(victims)
    when = dice.choice(("before", "after", 1, "said", 2, 3))
    if when == "said" and victim in (VillageActor, AgentActor):  # what they show, and that they have, is one step
        when = 1
    world.armed[victim] = Armed(when, dice.choice((1, 1, 1, 2, 3)))
    world.history.note("fault crash", victim.__name__, when, world.armed[victim].times)


async def crash_anywhere(world: "World") -> None:
    """Some actor, or a supervisor, fails where it stands."""
    house = world.machine.house
    if house is None or house.gone:
        return
    refs: list[Any] = []

    def collect(node: Any) -> None:
        for child in node.children:
            if child.state == "up":
                refs.append(child.path)
            collect(child)

    collect(tree(house.root))
    if refs:
        path = world.dice.choice(refs)
        world.history.note("fault exit", path)
        world.exit_actor(path, Crash("where it stands"))


async def cut(world: "World") -> None:
    """A connection is reset."""
    wires = world.network.of("")
    if wires:
        wire = world.dice.choice(wires)
        world.history.note("fault cut", wire.name)
        wire.cut()


async def half_open(world: "World") -> None:
    """A connection goes silent for good, one way or both, and nobody is told."""
    wires = world.network.of("")
    if wires:
        wire = world.dice.choice(wires)
        inward, outward = world.dice.choice(((True, True), (True, False), (False, True)))
        world.history.note("fault half-open", wire.name, inward, outward)
        wire.darken(inward=inward, outward=outward)


async def freeze(world: "World") -> None:
    """A connection stands still for a while."""
    wires = world.network.of("")
    if wires:
        wire, seconds = world.dice.choice(wires), world.dice.choice((0.5, 3.0, 20.0))
        world.history.note("fault freeze", wire.name, seconds)
        wire.freeze(trio.current_time() + seconds)


async def kill_service(world: "World") -> None:
    """kill -9: only what was durable is kept."""
    if world.machine.house is not None:
        world.history.note("fault kill service")
        world.kill_service()


async def restart_service(world: "World") -> None:
    """SIGTERM."""
    if world.machine.house is not None:
        world.history.note("fault restart service")
        world.machine.house.scope.cancel()


async def kill_runner(world: "World") -> None:
    """kill -9 of a runner: its spool stays."""
    machine = world.dice.choice(world.runners)
    if machine.life is not None:
        world.history.note("fault kill", machine.name)
        _kill(world, machine)


async def runner_away(world: "World") -> None:
    """A runner's machine is off, or its cable out, for so long that its sessions are detached; that must be told."""
    machine, lives = world.dice.choice(world.runners), world.machine.lives
    if machine.life is None or machine.away or world.machine.house is None:
        return
    machine.away = OFFLINE_SECONDS + world.dice.uniform(5, 8)
    machine.unplugged = world.dice.random() < 0.7
    world.history.note("fault away", machine.name, machine.away, machine.unplugged)
    if machine.unplugged:
        for wire in world.network.of(f"{machine.name}#"):
            wire.cut()
    else:
        _kill(world, machine)
    gone_at = trio.current_time()
    await trio.sleep(OFFLINE_SECONDS + TELL_SECONDS)
    watched = world.machine.lives == lives and world.machine.house is not None
    prompt = world.slow_until < gone_at  # with a slow disk, its last words may be heard long after they were said
    if watched and prompt and world.history.statuses.get(machine.name):
        said = world.history.statuses[machine.name]
        world.history.check(said == "offline", f"{machine.name} is away, and said to be {said}")
    await trio.sleep(machine.away - OFFLINE_SECONDS - TELL_SECONDS)
    machine.away, machine.unplugged = 0.0, False


def _kill(world: "World", machine: Any) -> None:
    machine.life.place.dead = True
    for wire in world.network.of(f"{machine.name}#"):
        wire.cut()
    machine.life.scope.cancel()


async def slow_disk(world: "World") -> None:
    """Every piece of work of the service's disk takes long, for a while."""
    place = world.place()
    if place is not None:
        place.stall, seconds = world.dice.choice((0.1, 0.5, 2.5)), world.dice.uniform(1, 6)
        world.slow_until = trio.current_time() + seconds
        world.history.note("fault slow disk", place.stall, seconds)
        await trio.sleep(seconds)
        place.stall = 0.0


async def full_disk(world: "World") -> None:
    """The disk of the service, or of a runner, takes nothing, for a while."""
    lives = [machine.life.place for machine in world.runners if machine.life is not None]
    place = world.dice.choice([*lives, world.place(), world.place()])
    if place is None:
        return
    seconds = world.dice.uniform(0.5, 6)
    world.history.note("fault full disk", place.name, seconds)
    error = (
        DiskFull("no space left on device") if place.name.startswith("service") else sqlite3.OperationalError("full")
    )
    place.refusal = lambda: error
    await trio.sleep(seconds)
    place.refusal = None


async def clock_jump(world: "World") -> None:
    """A wall clock jumps."""
    lives = [machine.life.place for machine in world.runners if machine.life is not None]
    place = world.dice.choice([*lives, world.place()])
    if place is not None:
        jump = world.dice.choice((-3_600_000, -5000, 5000, 3_600_000))
        world.history.note("fault clock", place.name, jump)
        place.skew_ms += jump


async def slow_page(world: "World") -> None:
    """A page takes its time."""
    page = world.dice.choice(world.pages)
    page.slow = world.dice.choice((0.05, 0.5))
    world.history.note("fault slow", page.name, page.slow)
    await trio.sleep(world.dice.uniform(1, 5))
    page.slow = 0.0


async def crowd(world: "World") -> None:
    """Somebody opens one page after another."""
    world.history.note("fault crowd")
    world.crowd()


FAULTS: dict[Callable[["World"], Any], int] = {
    crash_at_message: 12,
    crash_anywhere: 5,
    cut: 5,
    half_open: 3,
    freeze: 3,
    kill_service: 2,
    restart_service: 1,
    kill_runner: 1,
    runner_away: 1,
    slow_disk: 2,
    full_disk: 2,
    clock_jump: 1,
    slow_page: 1,
    crowd: 1,
}

"""Acts a scenario out on our supervisor and writes the same trace as oracle.erl."""

from typing import Any

import trio
import trio.testing

from tests.conformance.otp.scenarios import Scenario
from townwatch.runtime import ActorRef, TrioActor, open_world
from townwatch.supervision import ChildError, ChildSpec, Shutdown, Supervisor

SHUTDOWN = {"polite": 5.0, "deaf": 0.005, "brutal": "brutal"}


class Crash(Exception):
    """What a child dies of."""


class Worker(TrioActor):
    """A child that writes down what happens to it: + started, ! did not start, - stopped, ~ asked to stop in vain."""

    def __init__(self, id: str, stop: str, plan: list[str], trace: list[str]) -> None:
        super().__init__()
        self.id, self.manner, self.plan, self.trace = id, stop, plan, trace
        self.ends_by_itself = False

    def on_start(self) -> None:
        if self.plan and self.plan.pop(0) == "fail":
            self.trace.append("!" + self.id)
            raise Crash
        self.trace.append("+" + self.id)

    def on_receive(self, message: str) -> None:
        self.ends_by_itself = True
        match message:
            case "crash":
                raise Crash
            case "shutdown":
                raise Shutdown
            case _:
                self.stop()

    async def on_stop(self) -> None:
        if self.ends_by_itself:
            return
        if self.manner == "deaf":
            self.trace.append("~" + self.id)
            await trio.sleep_forever()
        self.trace.append("-" + self.id)


def child_spec(spec: list[Any], trace: list[str]) -> ChildSpec:
    """A scenario's spec as ours."""
    id, restart, significant, stop, plan = spec
    args = (id, stop, list(plan), trace)
    return ChildSpec(id, Worker, args, restart=restart, significant=significant, shutdown=SHUTDOWN[stop])  # type: ignore[arg-type]


async def act(one: Scenario, supervisor: type[Supervisor] = Supervisor) -> str:
    """The trace of a scenario."""
    trace: list[str] = []
    async with open_world():
        sup = supervisor.start(
            [child_spec(child, trace) for child in one["children"]],
            one["strategy"],
            intensity=one["intensity"],
            period=3600,
            auto_shutdown=one["auto"],
        )
        await settled()
        if not sup.is_alive():
            return " ".join([*trace, "nostart"])
        for what, arg in one["steps"]:
            if not sup.is_alive():
                break
            answer = await step(sup, what, arg, trace)
            await settled()
            trace += [answer, *await states(sup), ";"]
        if sup.is_alive():
            trace.append("end")
            await sup.stop()
        else:
            trace.append("dead")
    return " ".join(trace)


async def step(sup: ActorRef[Any], what: str, arg: Any, trace: list[str]) -> str:
    """Do one step; what the supervisor answered."""
    if what in ("crash", "normal", "shutdown"):
        refs = {child.id: child.ref for child in await Supervisor.which_children(sup) if child.state == "up"}
        if arg in refs:
            refs[arg].tell(what)
        return "|"
    try:
        if what == "start":
            await Supervisor.start_child(sup, child_spec(arg, trace))
        else:
            await getattr(Supervisor, f"{what}_child")(sup, arg)
    except ChildError as error:
        return f"={error.code}"
    except Crash:
        return "=fail"
    return "=ok"


async def states(sup: ActorRef[Any]) -> list[str]:
    """Which children there are, in start order, and which of them are up."""
    if not sup.is_alive():
        return ["dead"]
    return [child.id + ("^" if child.state == "up" else "_") for child in await Supervisor.which_children(sup)]


async def settled() -> None:
    """Wait until nothing happens any more; deadlines of deaf children pass at once under a MockClock."""
    await trio.sleep(1)


def run(one: Scenario, supervisor: type[Supervisor] = Supervisor) -> str:
    """`act()` in a trio run of its own, in virtual time."""
    return trio.run(act, one, supervisor, clock=trio.testing.MockClock(autojump_threshold=0))

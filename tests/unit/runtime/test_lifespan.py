"""`lifespan()`: what an actor holds while it runs."""

from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest
import trio

from tests.support.actors import Crash
from townwatch.runtime import TrioActor
from townwatch.runtime.tasks import TaskOwner
from townwatch.supervision import ChildSpec, Supervisor


class Holder(TrioActor):
    def __init__(self, trace: list[str], bad: str = "") -> None:
        super().__init__()
        self.trace, self.bad = trace, bad

    async def lifespan(self) -> AsyncGenerator[None, None]:
        self.trace.append("open")
        self.fail_at("open")
        try:
            yield
        finally:
            self.trace.append("close")
            self.fail_at("close")

    def fail_at(self, place: str) -> None:
        if self.bad == place:
            raise Crash(place)

    def on_start(self) -> None:
        self.trace.append("start")

    def on_receive(self, message: Any) -> Any:
        raise Crash("handler")

    def on_stop(self) -> None:
        self.trace.append("stop")

    def on_failure(self, *_: Any) -> None:
        self.trace.append("failure")


async def test_it_surrounds_start_and_stop(world):
    trace: list[str] = []
    ref = Holder.start(trace)
    await ref.stop()
    assert await ref.stopped() == "normal"
    assert trace == ["open", "start", "stop", "close"]


async def test_it_is_closed_after_a_crash_and_after_a_kill(world):
    for how in ("crash", "kill"):
        trace: list[str] = []
        ref = Holder.start(trace)
        await ref.ping()
        if how == "crash":
            ref.tell("x")
        else:
            ref.kill()
        await ref.stopped()
        assert trace == ["open", "start", *(["failure"] if how == "crash" else []), "close"]


async def test_a_context_manager_will_do(world):
    trace: list[str] = []

    class Managed(Holder):
        @asynccontextmanager
        async def lifespan(self) -> AsyncIterator[None]:  # pyright: ignore
            self.trace.append("in")
            yield
            self.trace.append("out")

    await Managed.start(trace).stop()
    await trio.testing.wait_all_tasks_blocked()
    assert trace == ["in", "start", "stop", "out"]


@pytest.mark.parametrize(
    ("bad", "told"), [("open", ["open"]), ("close", ["open", "start", "stop", "close"])], ids=["opening", "closing"]
)
async def test_what_it_raises_is_why_the_actor_ended(world, bad, told):
    trace: list[str] = []
    ref = Holder.start(trace, bad)
    if bad == "close":
        await ref.stop()
    reason = await ref.stopped()
    assert (str(reason), trace) == (bad, told)


async def test_the_crash_counts_not_what_closing_raises_after_it(world):
    ref = Holder.start([], "close")
    ref.tell("x")
    assert str(await ref.stopped()) == "handler"


class Tasks(TaskOwner):
    def __init__(self, fails: list[bool]) -> None:
        super().__init__()
        self.fails = fails

    def on_start(self) -> None:
        if self.fails.pop():
            self.tasks.start_soon(self.fail)

    async def fail(self) -> None:
        raise Crash("in a task beside the mailbox")


async def test_a_task_that_fails_crashes_its_actor_and_no_other(world, events):
    sup = Supervisor.start([ChildSpec("a", Tasks, ([False, True],)), ChildSpec("b", Tasks, ([False],))], name="top")
    await sup.ping()
    await trio.testing.wait_all_tasks_blocked()
    assert [(child.state, child.restarts) for child in await Supervisor.which_children(sup)] == [("up", 1), ("up", 0)]
    (crash,) = [fields for event, fields in events if event == "crashed"]
    assert crash["reason"] == "Crash: in a task beside the mailbox"


async def test_a_child_whose_lifespan_cannot_open_did_not_start(world):
    sup = Supervisor.start(name="top")
    with pytest.raises(Crash, match="open"):
        await Supervisor.start_child(sup, ChildSpec("a", Holder, ([], "open")))
    assert await Supervisor.which_children(sup) == []


async def test_a_lifespan_that_is_none_is_said_so(world):
    class Coroutine(TrioActor):
        async def lifespan(self) -> None:  # pyright: ignore
            """The yield is forgotten."""

    class Nothing(TrioActor):
        def lifespan(self) -> None:  # pyright: ignore
            """What it makes is not returned."""

    class Failing(TrioActor):
        def lifespan(self) -> Any:
            raise Crash("before there was one")

    for actor, says in (
        (Coroutine, r"Coroutine\.lifespan\(\) must yield once"),
        (Nothing, r"Nothing\.lifespan\(\) must yield once"),
        (Failing, "before there was one"),
    ):
        reason = await actor.start().stopped()
        with pytest.raises((TypeError, Crash), match=says):
            raise reason


def test_an_actor_with_a_lifespan_cannot_hibernate():
    with pytest.raises(TypeError, match=r"Sleeper has a lifespan\(\).*leave out `hibernate`"):

        class Sleeper(Holder):  # pyright: ignore[reportUnusedClass]
            hibernate = True

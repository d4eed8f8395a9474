"""Actors that sleep: no task while nothing waits, and nobody can tell the difference."""

from typing import Any

import pytest
import trio
import trio.testing

from tests.support.actors import Crash, Recorder
from townwatch.runtime import ActorDeadError, resume, suspend
from townwatch.supervision import ChildSpec, DynamicSupervisor, Supervisor


class Sleeper(Recorder):
    hibernate = True

    def __init__(self, trace: list[Any]) -> None:
        super().__init__(trace)
        trace.append("born")

    def on_stop(self) -> None:
        self.trace.append("stop")

    def on_gone(self) -> None:
        self.trace.append("gone")

    async def on_receive(self, message: Any) -> Any:
        if message == "rest":
            await trio.sleep(1)
        return await super().on_receive(message)


def tasks_of(sup: Any, id: str) -> int:
    """How many tasks there are for a child."""
    nursery = sup._actor_weakref()._nursery
    return sum(task.name.startswith(f"sup/{id}#") for task in nursery.child_tasks)


async def bring_up(trace: list[Any], **options: Any) -> tuple[Any, Any]:
    sup = DynamicSupervisor.start(name="sup", intensity=5)
    ref = await Supervisor.start_child(sup, ChildSpec("one", Sleeper, args=(trace,), **options))
    await trio.testing.wait_all_tasks_blocked()
    return sup, ref


async def test_it_has_a_task_only_while_it_has_something_to_do(world, autojump_clock):
    sup, ref = await bring_up([])
    assert tasks_of(sup, "one") == 0
    answer = ref.ask("rest", block=False)
    await trio.testing.wait_all_tasks_blocked()
    assert tasks_of(sup, "one") == 1
    assert await answer == "rest"
    await trio.testing.wait_all_tasks_blocked()
    assert tasks_of(sup, "one") == 0
    assert ref.is_up


async def test_it_is_the_same_all_the_time(world, autojump_clock):
    trace: list[Any] = []
    _, ref = await bring_up(trace)
    for number in range(3):
        assert await ref.call(number) == number
    assert (trace, ref.incarnation) == (["born"], 1)
    assert (await ref.get_state())["seen"] == [0, 1, 2]


async def test_messages_that_come_together_find_one_task_and_their_order(world, autojump_clock):
    sup, ref = await bring_up([])
    for number in range(100):
        ref.tell(number)
    assert tasks_of(sup, "one") == 1
    await trio.testing.wait_all_tasks_blocked()
    assert (await ref.get_state())["seen"] == list(range(100))


async def test_a_crash_after_waking_is_restarted_like_any_other(world, autojump_clock):
    trace: list[Any] = []
    _, ref = await bring_up(trace)
    ref.tell("crash")
    await trio.testing.wait_all_tasks_blocked()
    assert await ref.call("again") == "again"
    assert (trace, ref.incarnation) == (["born", "gone", "born"], 2)


@pytest.mark.parametrize("awake", [False, True])
async def test_whoever_is_killed_asleep_or_awake_is_restarted(world, autojump_clock, awake: bool):
    trace: list[Any] = []
    _, ref = await bring_up(trace)
    if awake:
        ref.tell("hang")
        await trio.testing.wait_all_tasks_blocked()
    ref.exit("killed")
    await trio.testing.wait_all_tasks_blocked()
    assert await ref.call("again") == "again"
    assert (trace, ref.incarnation) == (["born", "gone", "born"], 2)


async def test_the_failure_of_who_it_is_linked_to_reaches_it_in_its_sleep(world, autojump_clock):
    trace: list[Any] = []
    sup, ref = await bring_up(trace, restart="temporary")
    other = await Supervisor.start_child(sup, ChildSpec("two", Sleeper, args=([],), restart="temporary"))
    ref.link(other)
    other.tell("crash")
    await trio.testing.wait_all_tasks_blocked()
    assert trace == ["born", "gone"]
    assert isinstance(ref.end_reason, Crash)


async def test_it_is_woken_to_be_stopped_in_order(world, autojump_clock):
    trace: list[Any] = []
    sup, ref = await bring_up(trace)
    await Supervisor.terminate_child(sup, "one")
    assert trace == ["born", "stop", "gone"]
    with pytest.raises(ActorDeadError):
        await ref.call("late")


async def test_its_supervisors_end_is_its_own(world, autojump_clock):
    trace: list[Any] = []
    sup, ref = await bring_up(trace)
    await sup.stop()
    assert (trace, ref.is_alive()) == (["born", "stop", "gone"], False)


async def test_suspended_in_its_sleep_it_waits(world, autojump_clock):
    sup, ref = await bring_up([])
    suspend(ref)
    ref.tell("later")
    await trio.testing.wait_all_tasks_blocked()
    assert (await ref.get_state())["seen"] == []
    resume(ref)
    await trio.testing.wait_all_tasks_blocked()
    assert (await ref.get_state())["seen"] == ["later"]
    assert tasks_of(sup, "one") == 0

"""Death watch and links."""

from typing import Any

import pytest
import trio
import trio.testing

from tests.support.actors import Crash, Recorder
from townwatch.runtime import KILLED, ActorDeadError, Down, Exit, TrioActor


async def seen_by(ref: Any) -> list[Any]:
    await trio.testing.wait_all_tasks_blocked()
    return (await ref.get_state())["seen"]


async def test_down_comes_once_with_the_reason(world):
    ref, watcher = Recorder.start(), Recorder.start()
    watcher.watch(ref)
    watcher.watch(ref)
    ref.tell("crash")
    (down,) = await seen_by(watcher)
    assert isinstance(down, Down)
    assert down.ref is ref
    assert isinstance(down.reason, Crash)


async def test_watching_a_dead_actor_is_answered_at_once(world):
    ref, watcher = Recorder.start(), Recorder.start()
    await ref.stop()
    watcher.watch(ref)
    (down,) = await seen_by(watcher)
    assert (down.ref, down.reason) == (ref, "noproc")


async def test_unwatch(world):
    ref, watcher = Recorder.start(), Recorder.start()
    watcher.watch(ref)
    watcher.unwatch(ref)
    await ref.stop()
    assert await seen_by(watcher) == []


async def test_a_watcher_that_died_first_is_no_trouble(world):
    ref, watcher = Recorder.start(), Recorder.start()
    watcher.watch(ref)
    await watcher.stop()
    assert await ref.stop() is True


async def test_linked_actors_fail_together(world):
    refs = [Recorder.start() for _ in range(3)]
    watcher = Recorder.start()
    refs[0].link(refs[1])
    refs[1].link(refs[2])
    watcher.watch(refs[2])
    refs[0].tell("crash")
    (down,) = await seen_by(watcher)
    assert isinstance(down.reason, Crash)
    assert [ref.is_alive() for ref in refs] == [False, False, False]


async def test_a_link_reaches_an_actor_in_the_middle_of_something(world):
    one, two = Recorder.start(), Recorder.start()
    one.link(two)
    hanging = two.ask("hang", block=False)
    await trio.testing.wait_all_tasks_blocked()
    one.tell("crash")
    with pytest.raises(ActorDeadError, match="while handling"):
        await hanging


async def test_a_normal_end_does_not_hurt_the_other(world):
    one, two = Recorder.start(), Recorder.start()
    one.link(two)
    await one.stop()
    assert await two.call("alive") == "alive"


async def test_unlink(world):
    one, two = Recorder.start(), Recorder.start()
    one.link(two)
    two.unlink(one)
    one.tell("crash")
    await trio.testing.wait_all_tasks_blocked()
    assert two.is_alive()


class Trapping(Recorder):
    trap_exits = True


async def test_an_actor_that_traps_exits_is_told_instead(world):
    one, two = Recorder.start(), Trapping.start()
    one.link(two)
    one.tell("crash")
    (exit_,) = await seen_by(two)
    assert isinstance(exit_, Exit)
    assert exit_.ref is one
    assert isinstance(exit_.reason, Crash)


async def test_killed_cannot_be_trapped(world):
    ref, watcher = Trapping.start(), Recorder.start()
    watcher.watch(ref)
    await ref.ping()
    ref.exit(KILLED)
    (down,) = await seen_by(watcher)
    assert down.reason == "killed"


async def test_linking_to_a_dead_actor_is_an_exit_at_once(world):
    one, two = Recorder.start(), Trapping.start()
    await one.stop()
    two.link(one)
    (exit_,) = await seen_by(two)
    assert exit_.reason == "noproc"


async def test_an_exit_signal_before_the_first_step_counts(world):
    started = []

    class Late(TrioActor):
        async def on_start(self) -> None:
            started.append("begun")
            await trio.lowlevel.checkpoint()
            started.append("finished")

    ref = Late.start()
    ref.exit(KILLED)
    await trio.testing.wait_all_tasks_blocked()
    assert (ref.is_alive(), started) == (False, ["begun"])

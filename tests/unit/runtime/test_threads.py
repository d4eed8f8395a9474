"""From other threads, and from other trio loops."""

import threading
from typing import Any

import pykka
import pytest
import trio
import trio.testing

from tests.support.actors import Crash, Recorder
from townwatch.runtime import ActorDeadError, MailboxFull, MailboxSpec, dead_letters, open_world


async def test_threads_use_pykka_as_ever(world):
    class Counter(Recorder):
        count = 0

        async def add(self, n: int) -> int:
            self.count += n
            return self.count

    ref = Counter.start()

    def thread() -> None:
        ref.tell("from a thread")
        proxy = ref.proxy()
        proxy.count = 41
        assert proxy.add(1).get(timeout=5) == 42
        assert ref.ask("echo", timeout=5) == "echo"
        with pytest.raises(Crash):
            ref.ask("crash", timeout=5)
        with pytest.raises(pykka.Timeout):
            ref.ask("hang", timeout=0.01)

    await trio.to_thread.run_sync(thread)


async def test_an_actor_can_be_started_and_stopped_from_a_thread(world):
    def thread() -> Any:
        ref = Recorder.start()
        assert ref.ask("hello", timeout=5) == "hello"
        assert ref.stop(timeout=5) is True
        return ref

    assert not (await trio.to_thread.run_sync(thread)).is_alive()


async def test_a_bare_thread_starts_actors_in_the_world_opened_last(world):
    refs = []
    thread = threading.Thread(target=lambda: refs.append(Recorder.start()))
    thread.start()
    await trio.to_thread.run_sync(thread.join)
    assert await refs[0].call("hello") == "hello"


async def test_each_thread_keeps_its_order(world):
    class Deep(Recorder):
        mailbox = MailboxSpec(capacity=64)

    ref = Deep.start()

    def send(who: int) -> None:
        for n in range(300):
            ref.tell((who, n))

    async with trio.open_nursery() as nursery:
        for who in range(4):
            nursery.start_soon(trio.to_thread.run_sync, send, who)
    seen = await ref.proxy().seen
    assert len(seen) == 1200
    for who in range(4):
        assert [n for w, n in seen if w == who] == list(range(300))
    assert ref.actor_inbox.high_water <= 64


async def test_wait_holds_a_thread_up(world):
    gate = trio.Event()

    class Gated(Recorder):
        mailbox = MailboxSpec(capacity=2)

        async def on_receive(self, message: Any) -> Any:
            await gate.wait()
            return await super().on_receive(message)

    ref, sent = Gated.start(), []
    ref.tell("first")
    await trio.testing.wait_all_tasks_blocked()
    full = threading.Event()

    def send() -> None:
        for n in range(6):
            if n == 2:
                full.set()
            ref.tell(n)
            sent.append(n)

    async with trio.open_nursery() as nursery:
        nursery.start_soon(trio.to_thread.run_sync, send)
        await trio.to_thread.run_sync(full.wait)
        while not ref.actor_inbox.waiting:  # the thread's message waits for room
            await trio.lowlevel.checkpoint()
        assert sent == [0, 1]
        gate.set()
    await ref.ping()
    while ref.actor_inbox.report().depth:
        await trio.lowlevel.checkpoint()
    assert (await ref.get_state())["seen"] == ["first", 0, 1, 2, 3, 4, 5]


@pytest.mark.parametrize("policy", ["refuse", "drop_oldest"])
async def test_other_policies_decide_at_once_for_threads_too(world, policy):
    class Bounded(Recorder):
        mailbox = MailboxSpec(capacity=2, policy=policy)

    ref = Bounded.start()
    ref.tell("hang")
    await trio.testing.wait_all_tasks_blocked()

    def thread() -> list[int]:
        refused = []
        for n in range(4):
            try:
                ref.tell(n)
            except MailboxFull:
                refused.append(n)
        return refused

    refused = await trio.to_thread.run_sync(thread)
    await trio.testing.wait_all_tasks_blocked()
    waiting = [envelope.message for envelope in ref.actor_inbox.queue]
    assert (refused, waiting) == (([2, 3], [0, 1]) if policy == "refuse" else ([], [2, 3]))


async def test_a_message_that_comes_too_late_from_a_thread_is_a_dead_letter_or_an_answer(world):
    ref = Recorder.start()
    await ref.ping()
    asked = []

    def thread() -> None:  # runs while the loop stands still, so both messages are on their way when the actor ends
        ref.tell("too late")
        asked.append(ref.ask("too late too", block=False))

    worker = threading.Thread(target=thread)
    ref.actor_inbox.world.nursery  # noqa: B018
    ref.request_stop()
    worker.start()
    worker.join()
    ref.kill("killed")
    with pytest.raises(ActorDeadError):
        await asked[0]
    await trio.testing.wait_all_tasks_blocked()
    whys = [(letter.message, letter.why) for letter in dead_letters.recent()]
    assert ("too late", "late") in whys or ("too late", "stopped") in whys


async def test_after_the_run_a_thread_gets_actor_dead_error():
    async def inner() -> Any:
        async with open_world():
            ref = Recorder.start()
            await ref.ping()
            return ref

    def other_loop() -> Any:
        return trio.run(inner)

    ref = await trio.to_thread.run_sync(other_loop)
    with pytest.raises(ActorDeadError):
        ref.tell("anybody there?")
    with pytest.raises(ActorDeadError):
        await ref.call("anybody there?")


async def test_the_end_of_an_actor_is_not_disturbed_by_a_watcher_or_link_whose_loop_is_over(world):
    ref, other = Recorder.start(), Recorder.start()

    async def elsewhere() -> None:
        async with open_world():
            gone = Recorder.start()
            await gone.ping()
            gone.watch(ref)
            ref._actor_weakref()._incarnation.links[gone] = None

    await trio.to_thread.run_sync(trio.run, elsewhere)
    other.watch(ref)
    ref.tell("crash")
    await trio.testing.wait_all_tasks_blocked()
    assert len((await other.get_state())["seen"]) == 1


async def test_actors_of_two_loops_talk_without_blocking_either(world):
    ref = Recorder.start()

    async def other() -> Any:
        async with open_world():
            theirs = Recorder.start()
            assert await ref.call("across", timeout=5) == "across"
            ref.tell(("reply to", theirs))
            return "fine"

    assert await trio.to_thread.run_sync(lambda: trio.run(other)) == "fine"
    await trio.testing.wait_all_tasks_blocked()
    assert (await ref.get_state())["seen"][0] == "across"


async def test_a_threading_actor_and_a_trio_actor_talk_both_ways(world):
    class Old(pykka.ThreadingActor):
        use_daemon_thread = True

        def relay(self, ref: Any) -> Any:
            return ref.ask("relayed", timeout=5)

    old, new = Old.start(), Recorder.start()
    future = old.proxy().relay(new)
    assert await trio.to_thread.run_sync(lambda: future.get(timeout=5)) == "relayed"
    await trio.to_thread.run_sync(old.stop)

"""An actor from start to end: hooks, failures, cancellation, and that it never outlives its world."""

from typing import Any

import pytest
import trio
import trio.testing

from tests.support.actors import Crash, Recorder
from townwatch.runtime import (
    ActorDeadError,
    BlockingCallError,
    Down,
    Shutdown,
    TrioActor,
    dead_letters,
    inspect,
    open_world,
)


class Hooked(Recorder):
    """Writes down its hooks."""

    def on_start(self) -> None:
        self.trace.append("start")

    async def on_stop(self) -> None:
        await trio.lowlevel.checkpoint()
        self.trace.append("stop")

    async def on_failure(self, kind: Any, error: Any, traceback: Any) -> None:
        await trio.lowlevel.checkpoint()
        self.trace.append(kind.__name__)


async def reason_of(ref: Any) -> Any:
    """Why an actor ended, as a watcher hears it."""
    watcher = Recorder.start()
    watcher.watch(ref)
    await trio.testing.wait_all_tasks_blocked()
    (down,) = (await watcher.get_state())["seen"]
    assert isinstance(down, Down)
    return down.reason


# -- hooks and reasons


async def test_a_stop_runs_on_stop_after_what_was_sent_before(world):
    trace: list[str] = []
    ref = Hooked.start(trace)
    watcher = Recorder.start()
    watcher.watch(ref)
    before = ref.ask("before", block=False)
    assert await ref.stop() is True
    assert await before == "before"
    assert trace == ["start", "stop"]
    assert (await watcher.get_state())["seen"][0].reason == "normal"
    assert await ref.stop() is False


async def test_a_crash_runs_on_failure_and_not_on_stop(world):
    trace: list[str] = []
    ref, watcher = Hooked.start(trace), Recorder.start()
    watcher.watch(ref)
    ref.tell("crash")
    await trio.testing.wait_all_tasks_blocked()
    assert trace == ["start", "Crash"]
    assert isinstance((await watcher.get_state())["seen"][0].reason, Crash)


async def test_what_on_start_raises_ends_the_actor_without_other_hooks(world):
    class Stillborn(Hooked):
        async def on_start(self) -> None:
            raise Crash

    trace: list[str] = []
    ref = Stillborn.start(trace)
    with pytest.raises(ActorDeadError, match="Crash"):
        await ref.ping()
    assert trace == []


async def test_what_on_stop_raises_is_the_reason(world):
    class Clumsy(Recorder):
        def on_stop(self) -> None:
            raise Crash

    ref, watcher = Clumsy.start(), Recorder.start()
    watcher.watch(ref)
    assert await ref.stop() is True
    await trio.testing.wait_all_tasks_blocked()
    assert isinstance((await watcher.get_state())["seen"][0].reason, Crash)


async def test_what_on_failure_raises_does_not_hide_the_first_failure(world):
    class Clumsier(Recorder):
        def on_failure(self, kind: Any, error: Any, traceback: Any) -> None:
            raise KeyError

    ref, watcher = Clumsier.start(), Recorder.start()
    watcher.watch(ref)
    ref.tell("crash")
    await trio.testing.wait_all_tasks_blocked()
    assert isinstance((await watcher.get_state())["seen"][0].reason, Crash)


async def test_raising_shutdown_is_an_orderly_end(world):
    class Tired(Hooked):
        def on_receive(self, message: Any) -> None:
            raise Shutdown("enough")

    trace: list[str] = []
    ref, watcher = Tired.start(trace), Recorder.start()
    watcher.watch(ref)
    with pytest.raises(Shutdown, match="enough"):
        await ref.call("x")
    await trio.testing.wait_all_tasks_blocked()
    assert trace == ["start", "stop"]
    assert isinstance((await watcher.get_state())["seen"][0].reason, Shutdown)


async def test_an_exception_group_of_one_counts_as_what_is_in_it(world):
    class Nursed(Recorder):
        async def on_receive(self, message: Any) -> None:
            async with trio.open_nursery() as nursery:
                nursery.start_soon(self.fail)

        async def fail(self) -> None:
            raise Shutdown

    ref, watcher = Nursed.start(), Recorder.start()
    watcher.watch(ref)
    ref.tell("go")
    await trio.testing.wait_all_tasks_blocked()
    assert type((await watcher.get_state())["seen"][0].reason) is Shutdown


# -- failure policy


class Choosy(Recorder):
    """A wrong value is an answer; anything else is a crash."""

    expected_errors = (ValueError,)

    def on_receive(self, message: Any) -> None:
        raise message


async def test_by_default_what_an_ask_raises_goes_to_the_asker_only(world):
    ref = Recorder.start()
    with pytest.raises(Crash):
        await ref.call("crash")
    assert await ref.call("still here") == "still here"


async def test_expected_errors_are_answers_and_others_crash_too(world):
    ref = Choosy.start()
    with pytest.raises(ValueError, match="wrong"):
        await ref.call(ValueError("wrong"))
    assert ref.is_alive()
    with pytest.raises(KeyError):
        await ref.call(KeyError("bug"))
    await trio.testing.wait_all_tasks_blocked()
    assert not ref.is_alive()


async def test_an_expected_error_that_nobody_asked_for_crashes(world):
    ref = Choosy.start()
    ref.tell(ValueError())
    await trio.testing.wait_all_tasks_blocked()
    assert not ref.is_alive()


# -- the asker


async def test_an_ask_to_an_actor_that_dies_says_which_and_why(world):
    ref = Recorder.start()
    ref.tell("crash")
    late = ref.ask("late", block=False)
    with pytest.raises(ActorDeadError, match=rf"Recorder \({ref.actor_urn}\) stopped before .*Crash: on purpose"):
        await late
    with pytest.raises(ActorDeadError, match=r"not found: it ended \(Crash: on purpose\)"):
        await ref.call("later")
    with pytest.raises(ActorDeadError, match="it ended"):
        ref.tell("later still")


async def test_the_asker_of_the_message_in_hand_is_told_when_the_world_ends(nursery):
    told = []

    async def ask(ref: Any) -> None:
        with pytest.raises(ActorDeadError, match="while handling the message"):
            await ref.call("hang", timeout=None)
        told.append("told")

    async with open_world():
        ref = Recorder.start()
        nursery.start_soon(ask, ref)
        await trio.testing.wait_all_tasks_blocked()
    await trio.testing.wait_all_tasks_blocked()
    assert told == ["told"]


async def test_call_times_out_with_an_error_that_says_what_did_not_answer(world, autojump_clock):
    ref = Recorder.start()
    with pytest.raises(trio.TooSlowError, match=r"Recorder .* did not answer str within 2 s"):
        await ref.call("hang", timeout=2)
    assert trio.current_time() > 0


async def test_a_call_that_was_cancelled_leaves_the_actor_alone(world, autojump_clock):
    class Slow(Recorder):
        async def on_receive(self, message: Any) -> Any:
            await trio.sleep(5)
            return await super().on_receive(message)

    ref = Slow.start()
    with trio.move_on_after(1) as scope:
        await ref.call("x")
    assert scope.cancelled_caught
    await trio.sleep(10)
    assert (await ref.get_state())["seen"] == ["x"]


async def test_a_promised_reply_comes_later_and_the_actor_goes_on(world, autojump_clock):
    class Promising(TrioActor):
        def __init__(self) -> None:
            super().__init__()
            self.promised: list[Any] = []

        def on_receive(self, message: Any) -> Any:
            if message == "keep":
                self.promised.pop(0).set("kept")
                return "done"
            self.promised.append(self.reply_later())
            return self.promised[-1]

    ref = Promising.start()
    first, second = ref.ask(1, block=False), ref.ask(2, block=False)
    assert await ref.call("keep") == "done"
    assert await first == "kept"
    assert not second.done
    await ref.stop()
    with pytest.raises(ActorDeadError, match="ended before it replied"):
        await second


async def test_a_handler_may_return_a_future_as_a_value(world):
    from townwatch.runtime import TrioFuture

    class Broker(TrioActor):
        def lend(self, future: Any) -> Any:
            return future

    inner: Any = TrioFuture()
    assert await Broker.start().proxy().lend(inner) is inner


# -- one thing at a time, and cancellation


async def test_an_actor_does_one_thing_at_a_time(world, autojump_clock):
    class Adder(TrioActor):
        def __init__(self) -> None:
            super().__init__()
            self.total = 0

        async def slow_add(self, n: int) -> int:
            before = self.total
            await trio.sleep(1)
            self.total = before + n
            return self.total

    proxy = Adder.start().proxy()
    futures = [proxy.slow_add(n) for n in (1, 2, 3)]
    assert [await future for future in futures] == [1, 3, 6]


async def test_on_stop_runs_when_the_world_ends_and_has_its_grace(autojump_clock):
    trace: list[Any] = []

    class Careful(Recorder):
        stop_grace = 3.0

        async def on_stop(self) -> None:
            self.trace.append("begun")
            await trio.sleep(2)
            self.trace.append("done")

    class Endless(Recorder):
        async def on_stop(self) -> None:
            await trio.sleep_forever()

    async with open_world():
        refs = [Careful.start(trace), Endless.start()]
        await refs[1].ping()
        start = trio.current_time()
    assert trace == ["begun", "done"]
    assert trio.current_time() - start == pytest.approx(2)
    assert [ref.is_alive() for ref in refs] == [False, False]


async def test_no_actor_starts_in_a_world_that_is_closed():
    async with open_world() as world:
        pass
    with pytest.raises(RuntimeError, match="no world for this actor"):
        Recorder.start()
    assert world.nursery.cancel_scope.cancel_called


async def test_worlds_nest_and_the_inner_one_ends_first():
    async with open_world():
        outer = Recorder.start()
        async with open_world():
            inner = Recorder.start()
            await inner.ping()
        assert (inner.is_alive(), outer.is_alive()) == (False, True)
        after = Recorder.start()
        await after.ping()
    assert not outer.is_alive()


async def test_an_actor_started_by_an_actor_lives_in_the_same_world(world):
    class Parent(TrioActor):
        def on_receive(self, message: Any) -> Any:
            return Recorder.start()

    child = await Parent.start().call("bear")
    assert await child.call("hello") == "hello"


async def test_a_base_exception_ends_everything_and_is_not_swallowed():
    class Poisoned(Recorder):
        def on_receive(self, message: Any) -> None:
            raise KeyboardInterrupt

    trace: list[str] = []
    with pytest.raises(BaseExceptionGroup) as raised:
        async with open_world():
            bystander = Hooked.start(trace)
            await bystander.ping()
            Poisoned.start().tell("x")
            await trio.sleep_forever()
    assert raised.group_contains(KeyboardInterrupt)
    assert trace == ["start", "stop"]


async def test_blocking_calls_in_a_task_are_refused_before_anything_is_sent(world):
    ref = Recorder.start()
    with pytest.raises(BlockingCallError, match=r"await ref\.call"):
        ref.ask("x")
    with pytest.raises(BlockingCallError):
        ref.proxy().seen = []
    with pytest.raises(BlockingCallError, match=r"await ref\.stop\(\)"):
        ref.stop(block=True)
    await ref.assign("trace", ["assigned"])
    state = await ref.get_state()
    assert (state["seen"], state["trace"]) == ([], ["assigned"])


async def test_a_call_that_is_cancelled_already_sends_nothing(world):
    ref = Recorder.start()
    with trio.CancelScope() as scope:
        scope.cancel()
        await ref.call("never sent")
    assert (await ref.get_state())["seen"] == []


async def test_is_up_tells_whether_somebody_is_there_to_answer(world):
    ref = Recorder.start()
    assert not ref.is_up
    await ref.ping()
    assert ref.is_up
    await ref.stop()
    assert not ref.is_up


# -- the message in hand


async def test_a_message_that_crashed_its_actor_is_a_dead_letter_by_default(world):
    ref = Recorder.start()
    ref.tell("crash")
    await trio.testing.wait_all_tasks_blocked()
    assert [(letter.message, letter.why) for letter in dead_letters.recent()] == [("crash", "crashed")]
    assert inspect(ref).mailbox.dead == 1


async def test_a_class_may_choose_to_drop_it(world):
    class Dropping(Recorder):
        message_in_hand = "drop"

    ref = Dropping.start()
    ref.tell("crash")
    await trio.testing.wait_all_tasks_blocked()
    assert dead_letters.recent() == []
    assert inspect(ref).mailbox.dropped_by == {"crash": 1}

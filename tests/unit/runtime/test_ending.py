"""`stop()`, `request_stop()` and `stopped()`: to stop and wait, to ask, to wait."""

import gc
import warnings

import pytest
import trio

from tests.support.actors import Recorder
from townwatch.runtime import BlockingCallError
from townwatch.supervision import ChildSpec, Supervisor


async def test_stop_waits_until_all_that_was_sent_before_is_handled(world):
    trace: list[str] = []
    ref = Recorder.start(trace)
    seen = ref._actor_weakref().seen
    ref.tell("first")
    assert await ref.stop() is True
    assert (seen, ref.is_alive()) == (["first"], False)
    assert await ref.stop() is False


async def test_a_stop_that_is_not_awaited_warns(world):
    ref = Recorder.start()
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        ref.stop()
        gc.collect()
    assert any("never awaited" in str(one.message) for one in caught)
    assert ref.is_alive()


async def test_stop_gives_up_after_its_timeout(world, autojump_clock):
    ref = Recorder.start()
    ref.tell("hang")
    with pytest.raises(trio.TooSlowError):
        await ref.stop(timeout=3)


async def test_request_stop_goes_on_and_is_no_error_after_the_end(world):
    ref = Recorder.start()
    ref.request_stop()
    assert ref.is_alive()
    assert await ref.stopped() == "normal"
    ref.request_stop()


async def test_stopped_waits_for_the_end_for_good_and_tells_why(world):
    sup = Supervisor.start([ChildSpec("a", Recorder)], name="top")
    ref = await Supervisor.child_ref(sup, "a", Recorder)
    reasons: list[object] = []

    async def wait() -> None:
        reasons.append(await ref.stopped())

    async with trio.open_nursery() as nursery:
        nursery.start_soon(wait)
        nursery.start_soon(wait)
        ref.tell("crash")
        await trio.testing.wait_all_tasks_blocked()
        assert (reasons, ref.incarnation) == ([], 2)
        await Supervisor.terminate_child(sup, "a")
    assert reasons == ["shutdown", "shutdown"]
    assert await ref.stopped() == "shutdown"


async def test_a_blocking_stop_is_refused_in_a_task_and_fine_in_a_thread(world):
    ref = Recorder.start()
    with pytest.raises(BlockingCallError, match=r"await ref\.stop\(\)"):
        ref.stop(block=True)
    assert await trio.to_thread.run_sync(ref.stop) is True


async def test_stopped_can_be_awaited_in_another_loop(world):
    ref = Recorder.start()

    async def elsewhere() -> object:
        return await ref.stopped()

    async with trio.open_nursery() as nursery:
        nursery.start_soon(trio.to_thread.run_sync, trio.run, elsewhere)
        await trio.sleep(0.05)
        ref.request_stop()

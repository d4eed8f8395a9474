"""TrioFuture: awaitable in trio, blocking in threads, and never a deadlock."""

import queue
import threading

import pykka
import pytest
import trio
import trio.testing

from townwatch.runtime import BlockingCallError, TrioFuture


async def test_many_tasks_await_one_future(nursery):
    future: TrioFuture[int] = TrioFuture()
    got = []

    async def wait() -> None:
        got.append(await future)

    for _ in range(5):
        nursery.start_soon(wait)
    await trio.testing.wait_all_tasks_blocked()
    assert (got, future.done) == ([], False)
    future.set(7)
    await trio.testing.wait_all_tasks_blocked()
    assert (got, future.done) == ([7] * 5, True)


async def test_awaiting_a_future_that_is_done_is_still_a_checkpoint():
    future: TrioFuture[int] = TrioFuture()
    future.set(1)
    with trio.CancelScope() as scope:
        scope.cancel()
        await future
    assert scope.cancelled_caught


async def test_a_cancelled_wait_leaves_the_future_alone(autojump_clock):
    future: TrioFuture[int] = TrioFuture()
    with trio.move_on_after(1):
        await future
    future.set(3)
    assert await future == 3


async def test_get_in_a_task_is_refused_with_advice_unless_the_value_is_there():
    future: TrioFuture[int] = TrioFuture()
    with pytest.raises(BlockingCallError, match="use `await future`"):
        future.get()
    with pytest.raises(BlockingCallError):
        future.map(str).get()
    future.set(1)
    assert future.get() == 1


async def test_combinators_can_be_awaited_before_their_parts_are_there(nursery, autojump_clock):
    one: TrioFuture[int] = TrioFuture()
    two: TrioFuture[int] = TrioFuture()

    async def later() -> None:
        await trio.sleep(1)
        two.set(2)
        await trio.sleep(1)
        one.set(1)

    nursery.start_soon(later)
    both = one.join(two)
    assert await both.reduce(lambda a, b: a + b, 10) == 13
    assert await both.filter(lambda n: n > 1) == [2]
    assert await one.map(lambda n: n * 100) == 100


async def test_an_exception_in_a_part_reaches_whoever_awaits_the_whole():
    one: TrioFuture[int] = TrioFuture()
    whole = one.map(lambda n: n + 1).map(str)
    one.fail(KeyError("lost"))
    with pytest.raises(KeyError, match="lost"):
        await whole


async def test_set_from_a_thread_wakes_a_task():
    future: TrioFuture[str] = TrioFuture()
    async with trio.open_nursery() as nursery:
        nursery.start_soon(trio.to_thread.run_sync, future.set, "from a thread")
        assert await future == "from a thread"


def test_threads_wait_and_time_out():
    future: TrioFuture[int] = TrioFuture()
    with pytest.raises(pykka.Timeout, match=r"0\.01 seconds"):
        future.get(timeout=0.01)
    threading.Timer(0.01, future.set, [5]).start()
    assert future.get(timeout=5) == 5
    assert pykka.get_all([future, future]) == [5, 5]


def test_only_one_of_two_threads_that_set_at_once_wins():
    for _ in range(50):
        future: TrioFuture[int] = TrioFuture()
        barrier, full = threading.Barrier(4), []

        def race(n: int, future: TrioFuture[int] = future, barrier: threading.Barrier = barrier, full=full) -> None:
            barrier.wait()
            try:
                future.set(n)
            except queue.Full:
                full.append(n)

        threads = [threading.Thread(target=race, args=(n,)) for n in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert len(full) == 3
        assert future.get() not in full


def test_fail_leaves_a_settled_future_alone():
    future: TrioFuture[int] = TrioFuture()
    future.set(1)
    future.fail(ValueError())
    assert future.get() == 1


def test_outside_trio_await_is_pykkas():
    future: TrioFuture[int] = TrioFuture()
    future.set(9)

    async def main() -> int:
        return await future

    coroutine = main()
    with pytest.raises(StopIteration) as end:
        while True:
            coroutine.send(None)
    assert end.value.value == 9

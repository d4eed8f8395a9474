"""When the processes of sessions are looked at: often enough to see a short command, and never without end."""

from collections.abc import Mapping

import pytest
import trio
import trio.testing

from townwatch.runner.observers.differences import THREADS
from townwatch.runner.observers.process_watch import BURST, LOOK_SECONDS, REFILL_SECONDS, ProcessWatch
from townwatch.runner.session.processes import Process, ProcessTable


class Counting(ProcessTable):
    """A table whose looks are counted."""

    def __init__(self) -> None:
        super().__init__()
        self.looks: list[float] = []

    def all_members(self, max_age: float = 0.0) -> Mapping[str, Mapping[int, Process]]:  # type: ignore[override]
        self.looks.append(trio.from_thread.run_sync(trio.current_time))
        return {}


async def settled() -> None:
    """Wait until every task waits for the clock, and no thread looks: time does not pass while one does."""
    looking = True
    while looking:
        looking = THREADS.borrowed_tokens > 0
        await trio.testing.wait_all_tasks_blocked()
        looking = looking or THREADS.borrowed_tokens > 0


async def looks_while(clock: trio.testing.MockClock, seconds: float, every: float | None) -> list[float]:
    """Look for so long, with output every so many seconds; return the times between the looks."""
    table = Counting()
    watch = ProcessWatch(table)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(watch.run)
        nursery.start_soon(watch.changed, "s1")
        end = trio.current_time() + seconds
        while trio.current_time() < end:
            await settled()
            clock.jump(0.01 if every is None else every)
            if every is not None:
                watch.printed()
        nursery.cancel_scope.cancel()
    return [after - before for before, after in zip(table.looks, table.looks[1:], strict=False)]


async def test_without_output_a_look_every_so_often(mock_clock: trio.testing.MockClock) -> None:
    between = await looks_while(mock_clock, 10, None)
    assert min(between) >= LOOK_SECONDS * 0.99
    assert len(between) == pytest.approx(10 / LOOK_SECONDS, rel=0.1)


async def test_output_is_followed_by_a_look_at_once(mock_clock: trio.testing.MockClock) -> None:
    between = await looks_while(mock_clock, 0.3, 0.001)
    assert max(between) < LOOK_SECONDS / 2


async def test_output_without_end_is_looked_at_now_and_then(mock_clock: trio.testing.MockClock) -> None:
    between = await looks_while(mock_clock, 20, 0.01)
    assert len(between) < 20 / LOOK_SECONDS + BURST + 20 / REFILL_SECONDS

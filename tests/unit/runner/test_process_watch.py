"""When the processes of sessions are looked at: often enough to see a short command, and never without end."""

from collections.abc import Mapping

import trio
import trio.testing

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


async def looks_while(watch: ProcessWatch, seconds: float, every: float | None) -> list[float]:
    """Look for so long, with output every so many seconds; return the times between the looks."""
    table = watch.table
    assert isinstance(table, Counting)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(watch.run)
        nursery.start_soon(watch.changed, "s1")
        with trio.move_on_after(seconds):
            while True:
                await trio.sleep(0.01 if every is None else every)  # short: the clock does not wait for a thread
                if every is not None:
                    watch.printed()
        nursery.cancel_scope.cancel()
    return [after - before for before, after in zip(table.looks, table.looks[1:], strict=False)]


async def test_without_output_a_look_every_so_often(autojump_clock: trio.testing.MockClock) -> None:
    between = await looks_while(ProcessWatch(Counting()), 10, None)
    assert min(between) >= LOOK_SECONDS * 0.99
    assert len(between) > 10  # the clock jumps while a thread looks


async def test_output_is_followed_by_a_look_at_once(autojump_clock: trio.testing.MockClock) -> None:
    between = await looks_while(ProcessWatch(Counting()), 0.3, 0.001)
    assert max(between) < LOOK_SECONDS / 2


async def test_output_without_end_is_looked_at_now_and_then(autojump_clock: trio.testing.MockClock) -> None:
    between = await looks_while(ProcessWatch(Counting()), 20, 0.01)
    assert len(between) < 20 / LOOK_SECONDS + BURST + 20 / REFILL_SECONDS + 5

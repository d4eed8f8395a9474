"""The search index leaves the processor to keys and their echoes, for a time."""

from types import SimpleNamespace
from typing import Any, cast

import pytest
import trio
from trio.testing import MockClock

from townwatch.app.search.indexer import MOST_SECONDS, TYPED_SECONDS, Indexer
from townwatch.runtime import open_world


@pytest.fixture(autouse=True)
def in_this_thread(monkeypatch: pytest.MonkeyPatch) -> None:
    """A clock that is moved by hand does not wait for threads."""

    async def run_sync(work: Any, **_options: Any) -> Any:
        await trio.lowlevel.checkpoint()
        return work()

    monkeypatch.setattr(trio.to_thread, "run_sync", run_sync)


async def _steps(seconds: float, typed: list[float]) -> list[float]:
    """When an index that is always behind made steps, while keys came at these times."""
    found: list[float] = []
    start = trio.current_time()

    def step() -> bool:
        found.append(trio.current_time() - start)
        return True

    context = SimpleNamespace(typed_at=float("-inf"))
    with trio.move_on_after(seconds):
        async with open_world(), trio.open_nursery() as nursery:
            index, log = SimpleNamespace(step=step), SimpleNamespace(position=0)
            nursery.start_soon(Indexer(cast(Any, index), cast(Any, log), cast(Any, context))._rounds)
            for at in typed:
                await trio.sleep_until(start + at)
                context.typed_at = trio.current_time()
    return found


async def test_nothing_is_indexed_while_a_person_types(autojump_clock: MockClock) -> None:
    steps = await _steps(10, [2 + key / 10 for key in range(30)])
    last = 4.9 + TYPED_SECONDS
    assert not [at for at in steps if 2.02 < at < last - 0.01]
    assert [at for at in steps if at < 2]
    assert [at for at in steps if at >= last - 0.01]


async def test_who_types_without_end_holds_it_up_for_a_bounded_time(autojump_clock: MockClock) -> None:
    steps = await _steps(4 * MOST_SECONDS, [key / 2 for key in range(int(8 * MOST_SECONDS))])
    assert len([at for at in steps if at > 1]) >= 3

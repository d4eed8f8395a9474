"""One deadline for many: the same time for each of them, so that a queue is in order and one task is enough."""

from collections.abc import Callable
from typing import Generic, TypeVar

import trio

Item = TypeVar("Item")


class Deadlines(Generic[Item]):
    """`due(item)` is called `seconds` after the item was added, to look whether anything is to be done about it."""

    def __init__(self, seconds: float, due: Callable[[Item], None]) -> None:
        self.seconds = seconds
        self._due = due
        self._queue: dict[Item, float] = {}
        self._first = trio.Event()

    def add(self, item: Item) -> None:
        self._queue[item] = trio.current_time() + self.seconds
        self._first.set()

    def discard(self, item: Item) -> None:
        """Forget an item that needs no look any more."""
        self._queue.pop(item, None)

    async def run(self) -> None:
        """Handle each item when its time has come, until cancelled."""
        while True:
            while self._queue:
                await trio.sleep_until(next(iter(self._queue.values())))  # holds no item: it may be discarded meanwhile
                self._look()
            self._first = trio.Event()
            await self._first.wait()

    def _look(self) -> None:
        now = trio.current_time()
        while self._queue and next(iter(self._queue.values())) <= now:
            item = next(iter(self._queue))
            del self._queue[item]
            self._due(item)

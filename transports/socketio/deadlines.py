"""One deadline for many: the same time for each of them, so that a queue is in order and one task is enough."""

from collections import deque
from collections.abc import Callable
from typing import Generic, TypeVar

import trio

Item = TypeVar("Item")


class Deadlines(Generic[Item]):
    """`due(item)` is called `seconds` after the item was added, to look whether anything is to be done about it."""

    def __init__(self, seconds: float, due: Callable[[Item], None]) -> None:
        self.seconds = seconds
        self._due = due
        self._queue: deque[tuple[float, Item]] = deque()
        self._first = trio.Event()

    def add(self, item: Item) -> None:
        self._queue.append((trio.current_time() + self.seconds, item))
        self._first.set()

    async def run(self) -> None:
        """Handle each item when its time has come, until cancelled."""
        while True:
            while self._queue:
                at, item = self._queue[0]
                await trio.sleep_until(at)
                self._queue.popleft()
                self._due(item)
            self._first = trio.Event()
            await self._first.wait()

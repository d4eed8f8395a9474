"""Outcomes of commands that were answered before what they are about was over, as where people are asked first."""

from collections.abc import Awaitable, Callable
from typing import Any

import trio

from townwatch.contracts.link import Result

LATE = 1000
"""Outcomes that wait for a connection."""


class LateResults:
    """Outcomes to be sent. One that is lost with a connection is asked for again: its command is told anew."""

    def __init__(self) -> None:
        self._waiting: dict[str, Result] = {}
        self._news = trio.Event()

    def add(self, result: Result) -> None:
        """Send it, now or with the next connection."""
        self._waiting[result.command_id] = result
        while len(self._waiting) > LATE:
            del self._waiting[next(iter(self._waiting))]
        self._news.set()

    async def send(self, say: Callable[[Any], Awaitable[None]]) -> None:
        """Send until cancelled."""
        while True:
            self._news = trio.Event()
            for command_id, result in list(self._waiting.items()):
                await say(result)
                if self._waiting.get(command_id) is result:
                    del self._waiting[command_id]
            await self._news.wait()

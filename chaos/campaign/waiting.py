"""Polling for conditions that no event announces."""

from collections.abc import Callable

import trio


async def until(holds: Callable[[], bool], every: float = 0.05) -> None:
    """Wait until a condition holds, looking every so many seconds. The caller has the deadline."""
    while not holds():  # noqa: ASYNC110 - it is another process that changes
        await trio.sleep(every)

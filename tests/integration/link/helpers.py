"""What several tests of the link say."""

from collections.abc import Awaitable, Callable
from typing import Any

import trio

from tests.support.cast import event


def chunk(seq: int, session: str = "s1", text: str = "x", **fields: Any) -> dict[str, Any]:
    """A piece of terminal output."""
    return event("TERMINAL_CHUNK", seq, session, **{"data": text, "stream": "stdout", **fields})


def seqs(house: Any, session: str = "s1") -> list[int]:
    """What is durable."""
    return [record.seq for record in house.cast.log.read(session)]


async def until(condition: Callable[[], Any] | Callable[[], Awaitable[Any]], seconds: float = 5) -> None:
    """Wait for something that other actors bring about."""
    with trio.fail_after(seconds):
        while True:
            found: Any = condition()
            if found if isinstance(found, bool) else await found:
                return
            await trio.sleep(0.002)
